# SPDX-License-Identifier: GPL-2.0
"""What scripts/popcorn-vm, which has looked at it first, asks for."""

import argparse
import os

from vm.ports import PORTS_MAX
from vm.ports import PORTS_OF_OURS

# As in rust/core/ids.rs.
NODE_MAX = 64


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
    p.add_argument("--slowness", type=int, default=1)
    p.add_argument("--topology", choices=["multikernel", "cluster"], default="multikernel")
    p.add_argument("--kernels-per-machine", type=int, default=1)
    p.add_argument("--transport", choices=["tcp", "tls", "none"], default="tcp")
    p.add_argument("--network", default="10.0.0")
    p.add_argument("--share", action="store_true")
    p.add_argument("--device", action="append", default=[])
    p.add_argument("--iommu", action="store_true")
    p.add_argument("--numa", type=int)
    p.add_argument("--apic-ids", type=lambda text: [int(word) for word in text.split(",")])
    p.add_argument("--trace", type=lambda text: text.split(","), default=[])
    p.add_argument("--keep-memory", action="store_true")
    p.add_argument("argv", nargs="+")
    a = p.parse_args(arguments)
    a.cluster = a.topology == "cluster"
    a.timeout *= a.slowness
    # How many machines there are, and how many kernels on each.
    a.machines, a.kernels = (a.nodes, a.kernels_per_machine) if a.cluster else (1, a.nodes)
    # Whether there are messages, and so modules.
    a.messages = a.kernels > 1 or a.cluster and a.transport != "none"
    check(a)
    return a


def check(a):
    for path in [a.kernel] + ([a.modules] if a.messages else []) + ([a.initrd] if a.kernels > 1 else []):
        if not os.path.exists(path) or a.messages and not path.startswith(a.tree + "/"):
            raise Impossible(f"{path} is not there, or not below the tree, which is what the guest sees")
    if a.machines * a.kernels > NODE_MAX:
        raise Impossible(f"{a.machines * a.kernels} kernels: there are {NODE_MAX} node ids", 2)
    if a.kernels > 1 and a.transport == "none":
        raise Impossible("--transport none is for machines of one kernel: others have messages all the same", 2)
    ours = PORTS_OF_OURS + a.cluster
    if ours + a.kernels - 1 > PORTS_MAX - 1:  # port 0 is a console's
        raise Impossible(f"at most {PORTS_MAX - ours} nodes: each secondary's console needs a port")
