# SPDX-License-Identifier: GPL-2.0
"""One machine: QEMU, and what comes from it."""

import contextlib
import os
import signal
import subprocess
import threading
import time

from vm.monitor import Monitor
from vm.ports import Ports
from vm.ports import Status
from vm.ports import pump

# Rarely an emulated machine comes up with a processor whose timers never fire: its kernel, before any module of
# ours is loaded, waits for a grace period of RCU for ever. guest/node0 looks, and such a machine is started again.
# Its log may speak of that stall, and of nothing else: any other trouble is the run's. Rarer still QEMU itself fails an
# assertion while the kernel looks for PCI devices (iotlb_to_section): then, too.
# Seconds until a machine counts as such, far more than a crowded host needs:
SOUND_WITHIN = int(os.environ.get("POPCORN_SOUND_WITHIN", "120"))
STARTS_MAX = 3


class Machine:
    """One QEMU, started once, again if it did not run, or again because a test wants another life of it."""

    def __init__(self, plan, logs, cluster=None):
        self.plan = plan
        self.logs = logs
        # What it has in common with others, if there are any.
        self.cluster = cluster
        self.life = 0
        # Starts in this life: more than one if its clocks did not run.
        self.starts = 0
        self.begin = None
        self.process = None
        self.said = None
        self.threads = []
        self.monitor = None
        self.frozen = False
        # Its end is wanted in this life, and from which line of its log on what that says.
        self.may_end = False
        self.expected = None
        # Logs of former lives, without ".log", and what was expected of them.
        self.former = {}

    def __str__(self):
        return f"machine {self.plan.number}"

    # --- its files ---

    def file(self, name):
        """Of those that each machine has."""
        return f"{self.logs}/{name}{self.plan.suffix}"

    def own_log_names(self):
        return [f"node{k}" for k in self.plan.nodes] + [f"others{self.plan.suffix}"]

    def log_names(self):
        """Of its kernels in all their lives, without ".log"."""
        return list(self.former) + self.own_log_names()

    def expectations(self):
        """By name of a log."""
        return self.former | {f"node{self.plan.nodes[0]}": self.expected}

    def keep_logs(self):
        """Another life writes its own."""
        for name in self.own_log_names():
            former = f"{name}.life{self.life}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self.logs}/{name}.log", f"{self.logs}/{former}.log")
                self.former[former] = self.expectations().get(name)

    # --- its life ---

    def begin_life(self):
        """Starts it, or starts it again, as another life."""
        if self.life:
            self.keep_logs()
        self.life += 1
        self.starts = 0
        self.may_end = False
        self.expected = None
        self.start()

    def start(self):
        """Starts QEMU, which must not run."""
        self.starts += 1
        self.begin = time.monotonic()
        first = self.plan.number == 0
        ports = Ports()
        sinks = [(ports.stream("stdout"), 1), (ports.stream("stderr"), 2)] if first else []
        self.said = Status(ports.stream("status"))
        for k in self.plan.nodes[1:]:
            ports.file(f"node{k}", f"{self.logs}/node{k}.log")
        ports.file("others", f"{self.file('others')}.log")
        network, inherited = [], ports.inherited
        if self.cluster:
            network, wires = self.cluster.begin(self, ports.stream("control") if first else None)
            self.monitor = Monitor()
            network += self.monitor.arguments()
            inherited = inherited + wires + [self.monitor.theirs]
        command = ["qemu-system-x86_64"] + self.plan.arguments + ports.arguments + network
        with open(self.file("command"), "w") as f:
            f.write("\n".join(command) + "\n")
        with open(f"{self.file('qemu')}.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[s.fileno() for s in inherited])
        for s in inherited:
            s.close()
        self.threads = [threading.Thread(target=pump, args=sink) for sink in sinks]
        self.threads.append(threading.Thread(target=self.said.run))
        for t in self.threads:
            t.start()

    def has_ended(self):
        """Whether QEMU has; then all that the machine said has been read."""
        if self.process.poll() is None:
            return False
        for t in self.threads:
            t.join()
        if self.monitor:
            self.monitor.close()
            self.monitor = None
            self.frozen = False
            self.cluster.end(self)
        return True

    def has_aborted(self):
        """Whether QEMU has ended because of something that it takes for impossible in itself."""
        return self.has_ended() and self.process.returncode == -signal.SIGABRT

    def last_words(self):
        """The last line that QEMU wrote."""
        with open(f"{self.file('qemu')}.log", errors="replace") as log:
            return (log.read().splitlines() or ["without a word"])[-1]

    def kill(self):
        """As if its power were switched off. All that it said has been read then."""
        self.process.kill()
        self.process.wait()
        self.has_ended()

    def freeze(self, frozen):
        """It stands still, or goes on. False: it does not."""
        if not self.monitor.command("stop" if frozen else "cont"):
            return False
        self.frozen = frozen
        return True

    def state(self):
        """In a word."""
        if self.has_ended():
            return "dead"
        if self.frozen:
            return "frozen"
        return "ready" if self.said.ready else "up" if self.said.up else "starting"
