# SPDX-License-Identifier: GPL-2.0
"""A run, from the first start of a machine to the end of the last: one machine, or those of a cluster."""

import contextlib
import os
import signal
import threading
import time

from vm.faults import WrongCommand
from vm.machine import STARTS_MAX
from vm.say import complain

# Seconds between two looks at the machines.
LOOK = 0.05
# For the other machines to switch themselves off when COMMAND has ended.
END_WITHIN = int(os.environ.get("POPCORN_END_WITHIN", "60"))


class Run:
    """All machines, until they have ended or are ended. COMMAND runs on the first."""

    def __init__(self, machines, logs, timeout, sound_within, end_within, cluster=None):
        self.machines = machines
        self.first = machines[0]
        self.logs = logs
        self.timeout = timeout
        self.sound_within = sound_within
        self.end_within = end_within
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
            if self.signal or not all(self.is_sound_or_again(machine) for machine in self.machines):
                return True
            if self.first.has_ended():
                return True
            for machine in self.machines[1:]:
                if machine.has_ended() and not machine.may_end and "end" not in self.told:
                    self.fault = machine
                    return True
            if self.cluster:
                self.tell_the_machines()
            self.late = time.monotonic() - self.begin >= self.timeout
            return self.late

    def is_sound_or_again(self, machine):
        """False: it never comes up."""
        if machine.said.sound or machine.frozen or self.sound_within >= self.timeout:
            return True
        which = "the emulated machine" if not self.cluster else f"the emulated {machine}"
        if machine.has_aborted():
            what = f"QEMU gave {which} up while it booted ({machine.last_words()})"
        elif machine.has_ended() or time.monotonic() - machine.begin < self.sound_within:
            return True
        else:
            machine.kill()
            what = f"after {self.sound_within} s {which}'s clocks were not seen to run"
        again = machine.starts < STARTS_MAX
        complain(what + ("; starting it again" if again else ""))
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
        end = time.monotonic() + self.end_within
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
