# SPDX-License-Identifier: GPL-2.0
"""A run, from the first start of a machine to the verdict."""

import os
import signal
import sys
import time

from vm import judge
from vm import options
from vm import plan
from vm.acceleration import kvm_works
from vm.hardware import WrongHardware
from vm.initramfs import initramfs
from vm.machine import Machine
from vm.machine import SOUND_WITHIN
from vm.machine import STARTS_MAX
from vm.options import Impossible
from vm.say import complain

# Seconds between two looks at the machines.
LOOK = 0.05


class Run:
    """The machine, until it has ended or is ended."""

    def __init__(self, machine, logs, timeout, sound_within):
        self.machine = machine
        self.logs = logs
        self.timeout = timeout
        self.sound_within = sound_within
        self.signal = None
        self.late = False
        self.unsound = False

    def run(self):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, self.interrupt)
        self.machine.start()
        try:
            while not self.over():
                time.sleep(LOOK)
        finally:
            self.machine.kill()

    def interrupt(self, signum, _frame):
        self.signal = signum

    def over(self):
        """Whether nothing more is to be waited for. Starts a machine again that does not run."""
        if self.signal or self.machine.has_ended():
            return True
        age = time.monotonic() - self.machine.begin
        if self.sound_within < self.timeout and age >= self.sound_within and not self.machine.said.sound:
            return self.give_up_or_start_again()
        self.late = age >= self.timeout
        return self.late

    def give_up_or_start_again(self):
        again = self.machine.starts < STARTS_MAX
        self.machine.kill()
        complain(f"after {SOUND_WITHIN} s the emulated machine's clocks were not seen to run"
                 f"{'; starting it again' if again else ''}")
        os.rename(f"{self.logs}/node0.log", f"{self.logs}/unsound{self.machine.starts}.log")
        if again:
            self.machine.start()
        self.unsound = not again
        return self.unsound


def verdict(a, run, trouble):
    """The exit status, with the reason on stderr."""
    said = run.machine.said
    logs = os.path.relpath(a.logs, a.tree)
    if run.signal:
        complain("interrupted")
        return 128 + run.signal
    if run.unsound:
        complain(f"the machine did not start, {STARTS_MAX} times; logs in {logs}/unsound*.log")
        return 125
    if run.late:
        where = "while COMMAND ran" if said.ready else "before COMMAND started"
        complain(f"ended after {a.timeout} s, {where} (--timeout)")
        return 124
    if said.failure:
        complain(f"the machine did not start: {said.failure}; logs in {logs}/")
        return 125
    if said.code is None:
        status = run.machine.process.returncode
        what = f"QEMU ended with {status}" if status else "the primary kernel died or was reset"
        complain(f"{what} {'while COMMAND ran' if said.ready else 'before COMMAND started'}; logs in {logs}/")
        with open(f"{a.logs}/qemu.log", errors="replace") as log:
            for line in log.read().splitlines()[-5:]:
                print(f"  | {line}", file=sys.stderr)
        return 125
    return said.code or (1 if trouble else 0)


def write_times(path, accel, machine):
    with open(path, "w") as f:
        f.write(f"accel {accel}\n")
        if machine.said.ready:
            f.write(f"ready {machine.said.ready - machine.begin:.2f}\n")
        f.write(f"total {time.monotonic() - machine.begin:.2f}\n")


def prepare(a):
    """How it is accelerated, and the plan of the machine, whose initramfs is there."""
    settings = plan.settings(a)
    image = f"{a.logs}/initramfs"
    with open(image, "wb") as f:
        f.write(initramfs(a.tree, settings, a.argv))
    accel = a.accel
    if accel == "auto":
        accel = "kvm" if kvm_works(a.kernel, image, a.cache) else "tcg"
    return accel, plan.Plan(range(a.nodes), settings, image, plan.arguments(a, accel, image))


def main():
    try:
        a = options.parse()
        accel, planned = prepare(a)
    except Impossible as why:
        complain(why)
        return why.status
    except WrongHardware as why:
        complain(why)
        return 2
    run = Run(Machine(planned, a.logs), a.logs, a.timeout, SOUND_WITHIN if accel == "tcg" else a.timeout)
    run.run()
    os.unlink(planned.image)
    for name in os.listdir(a.logs):
        if name.startswith("disk"):
            os.unlink(f"{a.logs}/{name}")
    write_times(f"{a.logs}/times", accel, run.machine)
    trouble = judge.scan(a.logs, run.machine.log_names())
    judge.report(trouble, a.logs, a.tree)
    return verdict(a, run, trouble)
