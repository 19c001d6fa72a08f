# SPDX-License-Identifier: GPL-2.0
"""All that a machine is started with, but for its ports and its network."""

import dataclasses

from vm import hardware
from vm.hardware import WrongHardware

# For all kernels of a machine. Under software emulation a processor may not run for seconds; KUnit runs when
# it is asked for (kunit.enable=1 after this), not at each load of a module.
COMMON = "watchdog_thresh=60 kunit.enable=0"

# For the same reason a node may not be heard for longer than the default of 2 s, and is not dead.
DEAD_MS = 5000

# Of the cards of a cluster's machines, before the number of the machine.
ADDRESS = bytes([0x52, 0x54, 0x00, 0x70, 0x63])


@dataclasses.dataclass
class Plan:
    """One machine."""

    number: int
    # Its kernels' node ids; the first is the primary's.
    nodes: range
    # Hardware address of its card, if it is in a cluster.
    address: bytes | None
    # QEMU's.
    arguments: list

    @property
    def suffix(self):
        """Behind the names of its files, so that each machine has its own."""
        return suffix(self.number)


def suffix(number):
    return str(number or "")


def nodes(a, number):
    """The ids of a machine's kernels."""
    return range(number * a.kernels, (number + 1) * a.kernels)


def address(a, number):
    """Of its card."""
    return ADDRESS + bytes([number]) if a.cluster else None


def settings(a, number, secret):
    """What guest/init and guest/node0 of a machine read; `secret` is what all know of each other."""
    def inside(path):
        return "/opt/popcorn" + path.removeprefix(a.tree)

    ids = nodes(a, number)
    dead_ms = DEAD_MS * max(1, a.slowness // 2)
    said = {
        "topology": a.topology, "machine": number, "first_node": ids[0],
        "nodes": a.kernels, "cpus": a.cpus, "share": int(a.share), "modules": inside(a.modules), "kernel": inside(a.kernel),
        "initrd": inside(a.initrd),
        "cmdline": f"{COMMON} popcorn_msg.dead_ms={dead_ms}", "dead_ms": dead_ms, "slowness": a.slowness,
    }
    for k in range(1, a.kernels):
        # The primary boots with all processors and memory of the machine, and keeps the first.
        first = k * a.cpus
        said |= {f"cpus{ids[k]}": f"{first}-{first + a.cpus - 1}", f"memory{ids[k]}": f"{a.mib}M"}
    if a.cluster:
        said |= {
            "machines": a.machines, "transport": a.transport, "network": a.network, "secret": secret,
            "card": address(a, number).hex(":"), "address": f"{a.network}.{ids[0] + 1}",
        }
    return said


def arguments(a, number, accel, image):
    """QEMU's for a machine, with this way of running processors. Raises WrongHardware."""
    end = suffix(number)
    cpus, mib = a.cpus * a.kernels, a.mib * a.kernels
    parameters = []
    if accel == "kvm":
        acceleration = ["-accel", "kvm", "-cpu", "host"]
    else:
        acceleration = ["-accel", "tcg,thread=multi", "-cpu", "max"]
        # the emulated TSCs agree; the kernel's check of that takes a stopped processor for a wrong clock
        parameters.append("tsc=reliable")

    # The devices come behind the IOMMU, which must be there before them.
    more = ["-device", "intel-iommu,intremap=on,eim=on"] if a.iommu else []
    smp, for_smp = hardware.processors(cpus, a.numa, a.apic_ids, "max" if accel == "tcg" else "host")
    if a.numa and a.apic_ids:
        raise WrongHardware("--numa and --apic-ids exclude each other")
    if max(a.apic_ids or [0]) > 254 and not a.iommu:
        raise WrongHardware("hardware ids above 254 need --iommu")
    more += smp
    parameters += for_smp
    more += hardware.numa(a.numa, cpus, mib) if a.numa else []
    more += hardware.devices(a.device, cpus, a.iommu, f"{a.logs}/disk{end and end + '-'}")
    for event in a.trace:
        more += ["-trace", event]
    if a.trace:
        more += ["-D", f"{a.logs}/trace{end}"]

    board = "q35,kernel-irqchip=split" if a.iommu and accel == "kvm" else "q35"
    memory = []
    if a.keep_memory:
        board += ",memory-backend=memory"
        path = hardware.escaped(f"{a.logs}/memory{end}")
        memory = ["-object", f"memory-backend-file,id=memory,size={mib}M,share=on,mem-path={path}"]
    return (
        ["-M", board, *memory, *acceleration, "-m", f"{mib}M", *more,
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
         "-kernel", a.kernel, "-initrd", image,
         "-append", " ".join(["console=ttyS0,115200 panic=-1 oops=panic", COMMON, *parameters, a.append]),
         "-chardev", f"file,id=log0,path={hardware.escaped(a.logs)}/node{nodes(a, number)[0]}.log", "-serial", "chardev:log0",
         "-device", "virtio-rng-pci"]
        + hardware.share("root", a.root, ",readonly=on") + hardware.share("tree", a.tree, ",readonly=on")
        + (hardware.share("share", "/mnt/share", "") if a.share else [])
    )
