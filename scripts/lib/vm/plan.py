# SPDX-License-Identifier: GPL-2.0
"""All that a machine is started with, but for its ports."""

import dataclasses

from vm import hardware
from vm.hardware import WrongHardware

# For all kernels of a machine. Under software emulation a processor may not run for seconds; KUnit runs when
# it is asked for (kunit.enable=1 after this), not at each load of a module.
COMMON = "watchdog_thresh=60 kunit.enable=0"


@dataclasses.dataclass
class Plan:
    """One machine."""

    # Its kernels' node ids; the first is the primary's.
    nodes: range
    # What guest/init and guest/node0 read.
    settings: dict
    # File of its initramfs.
    image: str
    # QEMU's.
    arguments: list


def settings(a):
    def inside(path):
        return "/opt/popcorn" + path.removeprefix(a.tree)

    said = {
        "nodes": a.nodes, "cpus": a.cpus, "share": int(a.share), "modules": inside(a.modules), "kernel": inside(a.kernel),
        "initrd": inside(a.initrd),
        "cmdline": COMMON,
    }
    for k in range(1, a.nodes):
        # The primary boots with all processors and memory of the machine, and keeps the first.
        first = k * a.cpus
        said |= {f"cpus{k}": f"{first}-{first + a.cpus - 1}", f"memory{k}": f"{a.mib}M"}
    return said


def arguments(a, accel, image):
    """QEMU's, with this way of running processors. Raises WrongHardware."""
    cpus, mib = a.cpus * a.nodes, a.mib * a.nodes
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
    more += hardware.devices(a.device, cpus, a.iommu, a.logs)
    for event in a.trace:
        more += ["-trace", event]
    if a.trace:
        more += ["-D", f"{a.logs}/trace"]

    board = "q35,kernel-irqchip=split" if a.iommu and accel == "kvm" else "q35"
    memory = []
    if a.keep_memory:
        board += ",memory-backend=memory"
        path = hardware.escaped(f"{a.logs}/memory")
        memory = ["-object", f"memory-backend-file,id=memory,size={mib}M,share=on,mem-path={path}"]
    return (
        ["-M", board, *memory, *acceleration, "-m", f"{mib}M", *more,
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
         "-kernel", a.kernel, "-initrd", image,
         "-append", " ".join(["console=ttyS0,115200 panic=-1 oops=panic", COMMON, *parameters, a.append]),
         "-chardev", f"file,id=log0,path={hardware.escaped(a.logs)}/node0.log", "-serial", "chardev:log0",
         "-device", "virtio-rng-pci"]
        + hardware.share("root", a.root, ",readonly=on") + hardware.share("tree", a.tree, ",readonly=on")
        + (hardware.share("share", "/mnt/share", "") if a.share else [])
    )
