# SPDX-License-Identifier: GPL-2.0
"""Whether the kernels' logs hold what they must not."""

import os
import sys

from suspicious import suspicious
from vm.say import complain


def without_stalls(lines):
    """The same lines without the reports of RCU's stalls, each from its first line to the last of its traces."""
    kept = list(lines)
    inside, traces = False, 0
    for i, line in enumerate(lines):
        if "rcu_preempt detected stalls on CPUs" in line:
            inside, traces = True, 0
        if inside:
            kept[i] = ""
            # Two traces end the report: that of the processor, and of RCU's own thread.
            traces += "</TASK>" in line
            inside = traces < 2
    return kept


def scan(folder, names, expected=None):
    """The lines of these logs, and of those of machines that did not run, that must not be there, as (file, number,
    text). `expected` has, by name, a pattern from which on a log may say anything. Carriage returns are taken out of the
    files."""
    expected = expected or {}
    found = []
    unsound = sorted(name[:-4] for name in os.listdir(folder) if name.startswith("unsound"))
    for name in names + unsound:
        path = f"{folder}/{name}.log"
        try:
            with open(path, "rb") as f:
                text = f.read()
        except OSError:
            continue
        text = text.replace(b"\r", b"")
        with open(path, "wb") as f:
            f.write(text)
        lines = text.decode(errors="replace").split("\n")
        if name in unsound:
            lines = without_stalls(lines)
        found += [(path, i + 1, lines[i:i + 12]) for i in suspicious(lines, expected.get(name))]
    return found


def report(trouble, folder, tree):
    """Tells of what scan() has found, and keeps it in a file."""
    with open(f"{folder}/trouble", "w") as f:
        f.writelines(f"{os.path.basename(path)}:{number}: {lines[0]}\n" for path, number, lines in trouble)
    for path, number, lines in trouble[:3]:
        complain(f"{os.path.relpath(path, tree)}:{number}:")
        for line in lines:
            print(f"  | {line}", file=sys.stderr)
    if trouble:
        complain(f"{len(trouble)} suspicious lines in the kernels' logs, in {os.path.relpath(folder, tree)}/")
