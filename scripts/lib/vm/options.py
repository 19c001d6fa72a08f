# SPDX-License-Identifier: GPL-2.0
"""What scripts/popcorn-vm, which has looked at it first, asks for."""

import argparse
import os

from vm.ports import PORTS_MAX
from vm.ports import PORTS_OF_OURS


class Impossible(Exception):
    """It cannot be; the exit status of the run says whose fault that is."""

    def __init__(self, text, status=125):
        super().__init__(text)
        self.status = status


def parse(arguments=None):
    p = argparse.ArgumentParser()
    for name in ("tree", "root", "cache", "logs", "kernel", "modules", "initrd", "accel", "append"):
        p.add_argument(f"--{name}", required=True)
    for name in ("nodes", "cpus", "mib", "timeout"):
        p.add_argument(f"--{name}", type=int, required=True)
    p.add_argument("--share", action="store_true")
    p.add_argument("--device", action="append", default=[])
    p.add_argument("--iommu", action="store_true")
    p.add_argument("--numa", type=int)
    p.add_argument("--apic-ids", type=lambda text: [int(word) for word in text.split(",")])
    p.add_argument("--trace", type=lambda text: text.split(","), default=[])
    p.add_argument("--keep-memory", action="store_true")
    p.add_argument("argv", nargs="+")
    a = p.parse_args(arguments)
    check(a)
    return a


def check(a):
    for path in [a.kernel] + ([a.modules, a.initrd] if a.nodes > 1 else []):
        if not os.path.exists(path) or a.nodes > 1 and not path.startswith(a.tree + "/"):
            raise Impossible(f"{path} is not there, or not below the tree, which is what the guest sees")
    if PORTS_OF_OURS + a.nodes - 1 > PORTS_MAX - 1:  # port 0 is a console's
        raise Impossible(f"at most {PORTS_MAX - PORTS_OF_OURS} nodes: each secondary's console needs a port")
