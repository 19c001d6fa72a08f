# SPDX-License-Identifier: GPL-2.0
"""What came of a run."""

import os
import sys
import time

from vm.machine import STARTS_MAX
from vm.say import complain


def name(run, machine):
    """With one machine there is no need to say which."""
    return "the machine" if not run.cluster else str(machine)


def tell_end(a, run, machine):
    """That a machine has ended, and how."""
    status = machine.process.returncode
    if status:
        what = f"QEMU of {machine} ended with {status}" if run.cluster else f"QEMU ended with {status}"
    else:
        what = f"the primary kernel {f'of {machine} ' if run.cluster else ''}died or was reset"
    complain(f"{what} {'while COMMAND ran' if run.first.said.ready else 'before COMMAND started'}; "
             f"logs in {os.path.relpath(a.logs, a.tree)}/")
    with open(f"{machine.file('qemu')}.log", errors="replace") as log:
        for line in log.read().splitlines()[-5:]:
            print(f"  | {line}", file=sys.stderr)


def verdict(a, run, trouble):
    """The exit status, with the reason on stderr."""
    said = run.first.said
    logs = os.path.relpath(a.logs, a.tree)
    failed = next((machine for machine in run.machines if machine.said and machine.said.failure), None)
    if run.signal:
        complain("interrupted")
        return 128 + run.signal
    if run.unsound:
        complain(f"{name(run, run.unsound)} did not start, {STARTS_MAX} times; logs in {logs}/unsound*.log")
        return 125
    if run.late:
        where = "while COMMAND ran" if said.ready else "before COMMAND started"
        complain(f"ended after {a.timeout} s, {where} (--timeout)")
        return 124
    if failed:
        complain(f"{name(run, failed)} did not start: {failed.said.failure}; logs in {logs}/")
        return 125
    if run.fault or said.code is None:
        tell_end(a, run, run.fault or run.first)
        return 125
    for machine in run.stuck:
        complain(f"{machine} did not switch itself off within {run.end_within} s; logs in {logs}/")
    return said.code or (125 if run.stuck else 1 if trouble else 0)


def write_times(path, accel, run):
    with open(path, "w") as f:
        f.write(f"accel {accel}\n")
        if run.first.said.ready:
            f.write(f"ready {run.first.said.ready - run.begin:.2f}\n")
        f.write(f"total {time.monotonic() - run.begin:.2f}\n")
