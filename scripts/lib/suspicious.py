#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What a healthy kernel never says.

  suspicious.py FILE...    prints the lines of these logs that must not be there; exit status 0 if there are none

A file may hold the logs of several kernels' lives, one after the other, as guest/keep writes them: each begins with a
line that names it, and that may tell from which line on its trouble is what the test wanted.
"""

import re
import sys

# The forms are those of the kernel's own reports: the log also holds lines about user programs ("traps: a.out
# general protection fault ip:...") that are no fault of it.
BAD = re.compile(
    r"WARNING: |BUG: |kernel BUG at|Oops: |Oops\b.*\[#|Kernel panic|Call Trace:|invalid opcode: [0-9]"
    r"|possible (circular|recursive) locking|possible irq lock inversion|inconsistent lock state"
    r"|suspicious RCU usage|bad unlock balance|held lock freed|lock held when returning|DEBUG_LOCKS_WARN_ON"
    r"|turning off the locking correctness validator|trying to register non-static key"
    r"|rcu.*(detected|self-detected).*stall|rcu.*kthread.*starved|rcu: INFO: "
    r"|blocked for more than|soft lockup|hard LOCKUP|UBSAN: |KASAN: |KFENCE: |KCSAN: "
    r"|general protection fault(, probably|: [0-9])|unable to handle (kernel|page fault)|double fault: "
    r"|(list_add|list_del) corruption|refcount_t: |scheduling while atomic|Bad (page|rss-counter) "
    r"|kmemleak: [1-9][0-9]* new suspected|rust_kernel: panicked|page allocation failure: "
    r"|ODEBUG: |stack segment: [0-9]|Bad pagetable"
)
# As guest/keep writes it.
LIFE = re.compile(r"popcorn: log of \S+, started at [0-9]+(?:; expected: (.+))?$")


def suspicious(lines, expected=None):
    """The numbers, from 0 on, of the lines that must not be there; none from the first on that matches `expected`."""
    expected, is_expected = expected and re.compile(expected), False
    for number, line in enumerate(lines):
        life = LIFE.match(line)
        if life:
            expected, is_expected = life[1] and re.compile(life[1]), False
        elif expected and expected.search(line):
            is_expected = True
        elif BAD.search(line) and not is_expected:
            yield number


def main():
    found = False
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().replace("\r", "").split("\n")
        for number in suspicious(lines):
            print(f"{path}:{number + 1}: {lines[number]}")
            found = True
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
