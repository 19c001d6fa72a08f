# SPDX-License-Identifier: GPL-2.0
"""A run, from the first start of a machine to the verdict: one machine, or those of a cluster."""

import contextlib
import os
import secrets
import signal
import sys
import threading
import time

from vm import judge
from vm import options
from vm import plan
from vm.acceleration import kvm_works
from vm.cluster import Cluster
from vm.faults import WrongCommand
from vm.hardware import WrongHardware
from vm.initramfs import initramfs
from vm.machine import Machine
from vm.machine import SOUND_WITHIN
from vm.machine import STARTS_MAX
from vm.options import Impossible
from vm.say import complain

# Seconds between two looks at the machines.
LOOK = 0.05
# For the other machines to switch themselves off when COMMAND has ended.
END_WITHIN = int(os.environ.get("POPCORN_END_WITHIN", "60"))


class Run:
    """All machines, until they have ended or are ended. COMMAND runs on the first."""

    def __init__(self, machines, logs, timeout, sound_within, cluster=None):
        self.machines = machines
        self.first = machines[0]
        self.logs = logs
        self.timeout = timeout
        self.sound_within = sound_within
        self.cluster = cluster
        # For what the first machine asks for, in a thread of its own.
        self.lock = threading.RLock()
        self.begin = None
        self.told = set()
        self.unsound_starts = 0
        # Why it is over, if not because COMMAND is.
        self.is_over = False
        self.signal = None
        self.late = False
        self.unsound = None
        self.fault = None
        self.stuck = []

    def run(self):
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, self.interrupt)
        self.begin = time.monotonic()
        try:
            with self.lock:
                for machine in self.machines:
                    machine.begin_life()
            while not self.over():
                time.sleep(LOOK)
            self.wait_for_others()
        finally:
            with self.lock:
                self.is_over = True
                for machine in self.machines:
                    if machine.process:
                        machine.kill()
            if self.cluster:
                self.cluster.close()

    def interrupt(self, signum, _frame):
        self.signal = signum

    def over(self):
        """Whether nothing more is to be waited for. Starts a machine again that does not run."""
        with self.lock:
            if self.signal or self.first.has_ended():
                return True
            for machine in self.machines[1:]:
                if machine.has_ended() and not machine.may_end and "end" not in self.told:
                    self.fault = machine
                    return True
            if not all(self.is_sound_or_again(machine) for machine in self.machines):
                return True
            if self.cluster:
                self.tell_the_machines()
            self.late = time.monotonic() - self.begin >= self.timeout
            return self.late

    def is_sound_or_again(self, machine):
        """False: it never comes up."""
        if machine.said.sound or machine.frozen or self.sound_within >= self.timeout or machine.has_ended():
            return True
        if time.monotonic() - machine.begin < self.sound_within:
            return True
        again = machine.starts < STARTS_MAX
        machine.kill()
        which = "the emulated machine" if not self.cluster else f"the emulated {machine}"
        complain(f"after {SOUND_WITHIN} s {which}'s clocks were not seen to run{'; starting it again' if again else ''}")
        self.unsound_starts += 1
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{self.logs}/node{machine.plan.nodes[0]}.log", f"{self.logs}/unsound{self.unsound_starts}.log")
        if again:
            machine.start()
            self.begin = machine.begin
        else:
            self.unsound = machine
        return again

    def tell_the_machines(self):
        """How far all are."""
        if all(machine.said.up for machine in self.machines):
            self.tell("go")
        if all(machine.said.ready for machine in self.machines[1:]):
            self.tell("ready")
        if self.first.said.code is not None:
            self.tell("end")

    def tell(self, name):
        if name not in self.told:
            self.told.add(name)
            self.cluster.exchange.tell(name)

    def wait_for_others(self):
        """If COMMAND has come to its end, the other machines come to theirs."""
        if len(self.machines) == 1 or self.first.said.code is None or self.signal or self.fault or self.unsound or self.late:
            return
        self.tell("end")
        end = time.monotonic() + END_WITHIN
        others = [machine for machine in self.machines[1:] if not machine.frozen]
        while not self.signal and time.monotonic() < end:
            with self.lock:
                if all([machine.has_ended() for machine in others]):
                    return
            time.sleep(LOOK)
        self.stuck = [machine for machine in others if not machine.has_ended()]

    # --- what the first machine may ask for (control.py) ---

    def other(self, number):
        """One that can be played with, under the lock."""
        if self.is_over:
            raise WrongCommand("the run is over")
        if number == 0:
            raise WrongCommand("COMMAND runs on machine 0")
        return self.machines[number]

    def living(self, number):
        machine = self.other(number)
        if machine.has_ended():
            raise WrongCommand(f"machine {number} is dead")
        return machine

    def state(self, number):
        with self.lock:
            return self.machines[number].state()

    def kill(self, number):
        with self.lock:
            machine = self.living(number)
            machine.may_end = True
            machine.kill()
        return ""

    def start(self, number):
        with self.lock:
            machine = self.other(number)
            if not machine.has_ended():
                raise WrongCommand(f"machine {number} runs")
            machine.begin_life()
        return ""

    def expect(self, number, pattern):
        with self.lock:
            machine = self.living(number)
            machine.may_end = True
            machine.expected = pattern or None
        return ""

    def freeze(self, number):
        return self.set_frozen(number, True)

    def thaw(self, number):
        return self.set_frozen(number, False)

    def set_frozen(self, number, frozen):
        with self.lock:
            if not self.living(number).freeze(frozen):
                raise WrongCommand(f"QEMU of machine {number} does not do that")
        return ""


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
        complain(f"{machine} did not switch itself off within {END_WITHIN} s; logs in {logs}/")
    return said.code or (125 if run.stuck else 1 if trouble else 0)


def write_times(path, accel, run):
    with open(path, "w") as f:
        f.write(f"accel {accel}\n")
        if run.first.said.ready:
            f.write(f"ready {run.first.said.ready - run.begin:.2f}\n")
        f.write(f"total {time.monotonic() - run.begin:.2f}\n")


def prepare(a):
    """How they are accelerated, and the plans of all machines, whose initramfs are there."""
    secret = secrets.token_hex(32)
    images = [f"{a.logs}/initramfs{plan.suffix(number)}" for number in range(a.machines)]
    for number, image in enumerate(images):
        with open(image, "wb") as f:
            # It has the secret.
            os.fchmod(f.fileno(), 0o600)
            f.write(initramfs(a.tree, plan.settings(a, number, secret), a.argv))
    accel = a.accel
    if accel == "auto":
        accel = "kvm" if kvm_works(a.kernel, images[0], a.cache) else "tcg"
    return accel, [
        plan.Plan(number, plan.nodes(a, number), plan.address(a, number), plan.arguments(a, number, accel, image))
        for number, image in enumerate(images)
    ]


def clean_up(folder):
    """What no longer serves."""
    for file in os.listdir(folder):
        if file.startswith(("initramfs", "disk")):
            os.unlink(f"{folder}/{file}")


def main():
    try:
        a = options.parse()
        accel, plans = prepare(a)
    except Impossible as why:
        complain(why)
        return why.status
    except WrongHardware as why:
        complain(why)
        return 2
    cluster = Cluster(a.machines) if a.cluster else None
    machines = [Machine(planned, a.logs, cluster) for planned in plans]
    run = Run(machines, a.logs, a.timeout, SOUND_WITHIN if accel == "tcg" else a.timeout, cluster)
    if cluster:
        cluster.serve(run)
    run.run()
    clean_up(a.logs)
    write_times(f"{a.logs}/times", accel, run)
    names, expected = [], {}
    for machine in machines:
        names += machine.log_names()
        expected |= machine.expectations()
    trouble = judge.scan(a.logs, names, expected)
    judge.report(trouble, a.logs, a.tree)
    return verdict(a, run, trouble)
