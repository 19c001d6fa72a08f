# SPDX-License-Identifier: GPL-2.0
"""What the machines of a cluster have in common, beside the run: the network, the folder, and a way to ask for more."""

import os
import threading

from vm import hardware
from vm.control import Control
from vm.exchange import Exchange
from vm.faults import Faults
from vm.hub import Hub


class Cluster:
    def __init__(self, machines):
        # With the same seed a test takes the same decisions again.
        self.hub = Hub(Faults(machines, os.environ.get("POPCORN_SEED")))
        self.exchange = Exchange(machines)
        self.control = None
        self.threads = []

    def serve(self, run):
        """It is this run that does what the first machine asks for."""
        self.control = Control(run, self.hub)

    def begin(self, machine, asks):
        """A life of a machine begins: QEMU's arguments, and the sockets that it inherits. `asks` is where the first
        machine's questions come from."""
        if asks:
            thread = threading.Thread(target=self.control.serve, args=(asks,), daemon=True)
            self.threads.append(thread)
            thread.start()
        self.exchange.begin(machine.plan.number, machine.life)
        wire = self.hub.attach(machine.plan.number, machine.plan.address)
        arguments = ["-netdev", f"dgram,id=cluster,local.type=fd,local.str={wire.fileno()}",
                     "-device", f"virtio-net-pci,netdev=cluster,mac={machine.plan.address.hex(':')},romfile="]
        return arguments + hardware.share("exchange", self.exchange.path, ""), [wire]

    def end(self, machine):
        """It has ended. Again is no harm."""
        self.hub.detach(machine.plan.number)
        self.exchange.end(machine.plan.number)

    def close(self):
        """All machines have ended."""
        for thread in self.threads:
            # It hears of its machine's end; if that was never started, of nothing.
            thread.join(1)
        self.hub.close()
        self.exchange.close()
