# SPDX-License-Identifier: GPL-2.0
"""QEMU's arguments for the hardware of a machine."""

DISK_MIB = 64


class WrongHardware(Exception):
    pass


def escaped(path):
    """As part of an argument."""
    return path.replace(",", ",,")


def devices(kinds, cpus, iommu, disks):
    """Each behind a port of its own, in the order in which they were asked for: bus 1, 2, ... Names of disks begin so."""
    # The devices of the machine itself do without, so that they work whatever is tested with these.
    behind = ",iommu_platform=on" if iommu else ""
    arguments = []
    for i, kind in enumerate(kinds):
        # In the slots behind those that QEMU gives to the others.
        arguments += ["-device", f"pcie-root-port,id=port{i},chassis={i + 1},slot={i + 1},addr={0x10 + i:#x}"]
        if kind == "net":
            # No way out of the machine. Something to talk to by TCP: it says what it hears.
            arguments += ["-netdev", f"user,id=net{i},restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat",
                          "-device", f"virtio-net-pci,bus=port{i},netdev=net{i},romfile={behind}"]
            continue
        functions = 2 if kind == "twin" else 1
        for f in range(functions):
            path = f"{disks}{i}.{f}"
            with open(path, "wb") as disk:
                disk.truncate(DISK_MIB << 20)
            # The first function last, as when a device is plugged in: it is what says that there are more.
            address = functions - 1 - f
            arguments += ["-drive", f"if=none,id=disk{i}.{f},format=raw,file={escaped(path)}",
                          "-device", f"virtio-blk-pci,bus=port{i},addr=0.{address},drive=disk{i}.{f}"
                                     f",num-queues={cpus}"
                                     f"{',multifunction=on' if functions > 1 else ''}{behind}"]
    return arguments


def processors(count, sockets, ids, model):
    """QEMU's arguments for processors, and the kernel's parameters for them."""
    if not ids:
        # A NUMA node is a socket: the kernel warns of sockets that are divided.
        return ["-smp", f"{count},sockets={sockets}" if sockets else str(count)], []
    if len(ids) != count or len(set(ids)) != count:
        raise WrongHardware(f"--apic-ids must name {count} processors, each with an id of its own")
    # One socket of so many cores that each id is that of a core; all but the first are plugged in.
    cores = max(ids) + 1
    arguments = ["-smp", f"1,maxcpus={cores},sockets=1,cores={cores},threads=1"]
    for i in ids[1:]:
        arguments += ["-device", f"{model}-x86_64-cpu,socket-id=0,core-id={i},thread-id=0"]
    # Else the kernel makes room for those that could be plugged in later.
    return arguments, [f"possible_cpus={count}"]


def numa(nodes, cpus, mib):
    """Even shares of both for each."""
    if cpus % nodes or mib % nodes:
        raise WrongHardware(f"{cpus} processors and {mib} MiB cannot be divided between {nodes} NUMA nodes")
    arguments = []
    each = cpus // nodes
    for n in range(nodes):
        arguments += ["-object", f"memory-backend-ram,id=ram{n},size={mib // nodes}M",
                      "-numa", f"node,nodeid={n},memdev=ram{n},cpus={n * each}-{(n + 1) * each - 1}"]
    return arguments


def share(tag, path, options):
    return ["-fsdev", f"local,id={tag},path={escaped(path)},security_model=none,multidevs=remap{options}",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
