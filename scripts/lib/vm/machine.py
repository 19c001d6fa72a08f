# SPDX-License-Identifier: GPL-2.0
"""One machine: QEMU, and what comes from it."""

import os
import subprocess
import threading
import time

from vm.ports import Ports
from vm.ports import Status
from vm.ports import pump

# Rarely an emulated machine comes up with a processor whose timers never fire: its kernel, before any module of
# ours is loaded, waits for a grace period of RCU for ever. guest/node0 looks, and such a machine is started again.
# Its log may speak of that stall, and of nothing else: any other trouble is the run's.
# Seconds until a machine counts as such, far more than a crowded host needs:
SOUND_WITHIN = int(os.environ.get("POPCORN_SOUND_WITHIN", "120"))
STARTS_MAX = 3


class Machine:
    """One QEMU, started once, or again if it did not run."""

    def __init__(self, plan, logs):
        self.plan = plan
        self.logs = logs
        # Starts after the first, because its clocks did not run.
        self.starts = 0
        self.begin = None
        self.process = None
        self.said = None
        self.threads = []

    def log_names(self):
        """Of its kernels, without ".log"."""
        return [f"node{k}" for k in self.plan.nodes] + ["others"]

    def start(self):
        """Starts QEMU, which must not run."""
        self.starts += 1
        self.begin = time.monotonic()
        ports = Ports()
        out, err, status = (ports.stream(n) for n in ("stdout", "stderr", "status"))
        for k in self.plan.nodes[1:]:
            ports.file(f"node{k}", f"{self.logs}/node{k}.log")
        ports.file("others", f"{self.logs}/others.log")
        command = ["qemu-system-x86_64"] + self.plan.arguments + ports.arguments
        with open(f"{self.logs}/command", "w") as f:
            f.write("\n".join(command) + "\n")
        with open(f"{self.logs}/qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[s.fileno() for s in ports.inherited])
        for s in ports.inherited:
            s.close()
        self.said = Status(status)
        self.threads = [threading.Thread(target=pump, args=(out, 1)), threading.Thread(target=pump, args=(err, 2)),
                        threading.Thread(target=self.said.run)]
        for t in self.threads:
            t.start()

    def has_ended(self):
        """Whether QEMU has; then all that the machine said has been read."""
        if self.process.poll() is None:
            return False
        for t in self.threads:
            t.join()
        return True

    def kill(self):
        """As if its power were switched off. All that it said has been read then."""
        self.process.kill()
        self.process.wait()
        self.has_ended()
