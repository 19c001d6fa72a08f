# SPDX-License-Identifier: GPL-2.0
"""Inner half of scripts/popcorn-vm: runs in the Debian 13 root, starts QEMU, and reads what comes.

What the guest has to say arrives on ports of a virtio serial device, one per stream, so no verdict is
ever read from a console:
  popcorn.stdout, popcorn.stderr   bytes of COMMAND, passed on as they come
  popcorn.status                   lines: "sound" when the machine's clocks were seen to run, "ready", then
                                   "exit N"; or "failed TEXT" if the start failed
  popcorn.nodeK                    log of secondary kernel K
  popcorn.others                   logs of the kernels that COMMAND makes itself, by guest/keep
The primary's log is the serial port, written by QEMU itself: it survives whatever happens inside.
"""

import argparse
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

from suspicious import suspicious

PORTS_MAX = 31
PORTS_OF_OURS = 4    # stdout, stderr, status, others; the rest are consoles

# Rarely an emulated machine comes up with a processor whose timers never fire: its kernel, before any module of
# ours is loaded, waits for a grace period of RCU for ever. guest/node0 looks, and such a machine is started again.
# Its log may speak of that stall, and of nothing else: any other trouble is the run's.
# Seconds until a machine counts as such, far more than a crowded host needs:
SOUND_WITHIN = int(os.environ.get("POPCORN_SOUND_WITHIN", "120"))
STARTS_MAX = 3

# For all kernels of a machine. Under software emulation a processor may not run for seconds; KUnit runs when
# it is asked for (kunit.enable=1 after this), not at each load of a module.
COMMON = "watchdog_thresh=60 kunit.enable=0"


def complain(text):
    print(f"popcorn-vm: {text}", file=sys.stderr, flush=True)


# --- initramfs ------------------------------------------------------------------------------------

class Cpio:
    """A cpio archive in the newc format, with device nodes, without a staging directory."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 1

    def add(self, name, mode, content=b"", rdev=(0, 0)):
        raw = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, rdev[0], rdev[1], len(raw), 0)
        self.inode += 1
        self.data += b"070701" + b"".join(b"%08X" % f for f in fields) + raw
        self.pad()
        self.data += content
        self.pad()

    def pad(self):
        self.data += b"\0" * (-len(self.data) % 4)

    def directory(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o644):
        self.add(name, stat.S_IFREG | mode, content)

    def finish(self):
        self.add("TRAILER!!!", 0)
        self.data += b"\0" * (-len(self.data) % 512)
        return bytes(self.data)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def quote(value):
    return "'" + str(value).replace("'", "'\\''") + "'"


def initramfs(tree, settings, argv):
    c = Cpio()
    for d in ("bin", "dev", "proc", "lower", "rw", "new", "run"):
        c.directory(d)
    c.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    c.file("bin/busybox", read("/bin/busybox"), 0o755)
    c.file("init", read(f"{tree}/guest/init"), 0o755)
    c.file("run/node0", read(f"{tree}/guest/node0"), 0o755)
    c.file("run/settings", "".join(f"{k}={quote(v)}\n" for k, v in settings.items()).encode())
    c.file("run/argv", b"".join(os.fsencode(a) + b"\0" for a in argv))
    return c.finish()


# --- QEMU -------------------------------------------------------------------------------------------

def kvm_works(kernel, image, cache):
    """KVM counts only if the processor offers it *and* a machine really starts with it."""
    try:
        flags = re.search(r"^flags\s*:.*$", open("/proc/cpuinfo").read(), re.M)
    except OSError:
        flags = None
    if not flags or not re.search(r"\b(vmx|svm)\b", flags.group()) or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = open("/proc/sys/kernel/random/boot_id").read().strip()
    memo = f"{cache}/kvm-probe"
    try:
        known, verdict = open(memo).read().split()
        if known == boot:
            return verdict == "works"
    except (OSError, ValueError):
        pass
    complain("probing KVM")
    ours, theirs = socket.socketpair()
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256", "-nodefaults",
               "-no-user-config", "-display", "none", "-no-reboot", "-kernel", kernel, "-initrd", image,
               "-append", "popcorn.probe panic=-1", "-device", "virtio-serial-pci",
               "-chardev", f"socket,id=status,fd={theirs.fileno()}",
               "-device", "virtserialport,chardev=status,name=popcorn.status"]
    works = False
    with ours:
        try:
            subprocess.run(command, pass_fds=[theirs.fileno()], timeout=30, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            ours.setblocking(False)
            works = b"probed" in ours.recv(64)
        except (subprocess.TimeoutExpired, OSError):
            pass
        finally:
            theirs.close()
    with open(memo, "w") as f:
        f.write(f"{boot} {'works' if works else 'fails'}\n")
    return works


class Ports:
    """The machine's serial ports; each of ours is one end of a socket pair."""

    def __init__(self):
        self.arguments = ["-device", f"virtio-serial-pci,max_ports={PORTS_MAX}"]
        self.inherited = []

    def stream(self, name):
        ours, theirs = socket.socketpair()
        self.inherited.append(theirs)
        self.arguments += ["-chardev", f"socket,id={name},fd={theirs.fileno()}",
                           "-device", f"virtserialport,chardev={name},name=popcorn.{name}"]
        return ours

    def file(self, name, path):
        self.arguments += ["-chardev", f"file,id={name},path={path.replace(',', ',,')}",
                           "-device", f"virtserialport,chardev={name},name=popcorn.{name}"]


def share(tag, path, options):
    path = path.replace(",", ",,")
    return ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap{options}",
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


# --- more hardware, if it was asked for -----------------------------------------------------------

DISK_MIB = 64


class WrongHardware(Exception):
    pass


def devices(kinds, cpus, iommu, logs):
    """Each behind a port of its own, in the order in which they were asked for: bus 1, 2, ..."""
    # The devices of the machine itself do without, so that they work whatever is tested with these.
    behind = ",iommu_platform=on" if iommu else ""
    arguments = []
    for i, kind in enumerate(kinds):
        # In the slots behind those that QEMU gives to the others.
        arguments += ["-device", f"pcie-root-port,id=port{i},chassis={i + 1},slot={i + 1},addr={0x10 + i:#x}"]
        if kind == "net":
            # No way out of the machine.
            arguments += ["-netdev", f"user,id=net{i},restrict=on",
                          "-device", f"virtio-net-pci,bus=port{i},netdev=net{i},romfile={behind}"]
            continue
        functions = 2 if kind == "twin" else 1
        for f in range(functions):
            path = f"{logs}/disk{i}.{f}"
            with open(path, "wb") as disk:
                disk.truncate(DISK_MIB << 20)
            # The first function last, as when a device is plugged in: it is what says that there are more.
            address = functions - 1 - f
            arguments += ["-drive", f"if=none,id=disk{i}.{f},format=raw,file={path.replace(',', ',,')}",
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


def pump(source, sink):
    """Pass on every byte until QEMU closes its end. A reader of ours that goes away must not stop the guest."""
    broken = False
    while True:
        try:
            data = source.recv(65536)
        except OSError:
            return
        if not data:
            return
        while data and not broken:
            try:
                data = data[os.write(sink, data):]
            except OSError:
                broken = True


class Status:
    """What the guest reported."""

    def __init__(self, source):
        self.source = source
        self.sound = False
        self.ready = None
        self.code = None
        self.failure = None

    def run(self):
        with self.source.makefile("r", errors="replace") as lines:
            for line in lines:
                word, _, rest = line.strip().partition(" ")
                if word == "sound":
                    self.sound = True
                elif word == "ready":
                    self.ready = time.monotonic()
                elif word == "exit" and rest.isdigit() and int(rest) < 256:
                    self.code = int(rest)
                elif word == "failed":
                    self.failure = rest or "no reason given"


def without_stalls(lines):
    """The same lines without the reports of RCU's stalls, each from its first line to the last of its traces."""
    kept = list(lines)
    inside, traces = False, 0
    for i, line in enumerate(lines):
        if "rcu_preempt detected stalls on CPUs" in line:
            inside, traces = True, 0
        if inside:
            kept[i] = ""
            # Two traces end the report: that of the processor, and of RCU's own thread.
            traces += "</TASK>" in line
            inside = traces < 2
    return kept


def scan(folder, nodes):
    """The lines of all kernels' logs that must not be there, as (file, number, text)."""
    found = []
    unsound = sorted(name[:-4] for name in os.listdir(folder) if name.startswith("unsound"))
    for name in [f"node{k}" for k in range(nodes)] + ["others"] + unsound:
        path = f"{folder}/{name}.log"
        try:
            text = read(path)
        except OSError:
            continue
        text = text.replace(b"\r", b"")
        with open(path, "wb") as f:
            f.write(text)
        lines = text.decode(errors="replace").split("\n")
        if name in unsound:
            lines = without_stalls(lines)
        found += [(path, i + 1, lines[i:i + 12]) for i in suspicious(lines)]
    return found


class Machine:
    """One start of QEMU, and what came of it."""

    def __init__(self, a, arguments):
        self.begin = time.monotonic()
        self.signal = None
        self.late = False
        self.unsound = False
        ports = Ports()
        out, err, status = (ports.stream(n) for n in ("stdout", "stderr", "status"))
        for k in range(1, a.nodes):
            ports.file(f"node{k}", f"{a.logs}/node{k}.log")
        ports.file("others", f"{a.logs}/others.log")
        command = ["qemu-system-x86_64"] + arguments + ports.arguments
        with open(f"{a.logs}/command", "w") as f:
            f.write("\n".join(command) + "\n")
        with open(f"{a.logs}/qemu.log", "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[s.fileno() for s in ports.inherited])
        for s in ports.inherited:
            s.close()
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, self.stop)
        self.said = Status(status)
        self.threads = [threading.Thread(target=pump, args=(out, 1)), threading.Thread(target=pump, args=(err, 2)),
                        threading.Thread(target=self.said.run)]
        for t in self.threads:
            t.start()

    def stop(self, signum, _frame):
        self.signal = signum
        self.process.kill()

    def wait(self, timeout, sound_within):
        """Until it ends; after `timeout` seconds, or if it is not sound after `sound_within`, it is ended."""
        try:
            if sound_within < timeout:
                try:
                    self.process.wait(sound_within)
                except subprocess.TimeoutExpired:
                    self.unsound = not self.said.sound
                    timeout = 0 if self.unsound else timeout - sound_within
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.late = not self.unsound
            self.process.kill()
            self.process.wait()
        for t in self.threads:
            t.join()


def main():
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
    a = p.parse_args()

    for path in [a.kernel] + ([a.modules, a.initrd] if a.nodes > 1 else []):
        if not os.path.exists(path) or a.nodes > 1 and not path.startswith(a.tree + "/"):
            complain(f"{path} is not there, or not below the tree, which is what the guest sees")
            return 125
    if PORTS_OF_OURS + a.nodes - 1 > PORTS_MAX - 1:  # port 0 is a console's
        complain(f"at most {PORTS_MAX - PORTS_OF_OURS} nodes: each secondary's console needs a port")
        return 125
    parameters = []
    inside = lambda path: "/opt/popcorn" + path.removeprefix(a.tree)
    settings = {
        "nodes": a.nodes, "cpus": a.cpus, "share": int(a.share), "modules": inside(a.modules), "kernel": inside(a.kernel),
        "initrd": inside(a.initrd),
        "cmdline": COMMON,
    }
    for k in range(1, a.nodes):
        # The primary boots with all processors and memory of the machine, and keeps the first.
        first = k * a.cpus
        settings |= {f"cpus{k}": f"{first}-{first + a.cpus - 1}", f"memory{k}": f"{a.mib}M"}
    image = f"{a.logs}/initramfs"
    with open(image, "wb") as f:
        f.write(initramfs(a.tree, settings, a.argv))

    if a.accel == "auto":
        a.accel = "kvm" if kvm_works(a.kernel, image, a.cache) else "tcg"
    if a.accel == "kvm":
        accel = ["-accel", "kvm", "-cpu", "host"]
    else:
        accel = ["-accel", "tcg,thread=multi", "-cpu", "max"]
        # the emulated TSCs agree; the kernel's check of that takes a stopped processor for a wrong clock
        parameters.append("tsc=reliable")

    # The devices come behind the IOMMU, which must be there before them.
    hardware = ["-device", "intel-iommu,intremap=on,eim=on"] if a.iommu else []
    try:
        smp, for_smp = processors(a.cpus * a.nodes, a.numa, a.apic_ids, "max" if a.accel == "tcg" else "host")
        if a.numa and a.apic_ids:
            raise WrongHardware("--numa and --apic-ids exclude each other")
        if max(a.apic_ids or [0]) > 254 and not a.iommu:
            raise WrongHardware("hardware ids above 254 need --iommu")
        hardware += smp
        parameters += for_smp
        hardware += numa(a.numa, a.cpus * a.nodes, a.mib * a.nodes) if a.numa else []
    except WrongHardware as wrong:
        complain(wrong)
        return 2
    hardware += devices(a.device, a.cpus * a.nodes, a.iommu, a.logs)
    for event in a.trace:
        hardware += ["-trace", event]
    if a.trace:
        hardware += ["-D", f"{a.logs}/trace"]

    board = "q35,kernel-irqchip=split" if a.iommu and a.accel == "kvm" else "q35"
    memory = []
    if a.keep_memory:
        board += ",memory-backend=memory"
        path = f"{a.logs}/memory".replace(",", ",,")
        memory = ["-object", f"memory-backend-file,id=memory,size={a.mib * a.nodes}M,share=on,mem-path={path}"]
    arguments = (
        ["-M", board, *memory, *accel, "-m", f"{a.mib * a.nodes}M", *hardware,
         "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
         "-kernel", a.kernel, "-initrd", image,
         "-append", " ".join(["console=ttyS0,115200 panic=-1 oops=panic", COMMON, *parameters, a.append]),
         "-chardev", f"file,id=log0,path={a.logs.replace(',', ',,')}/node0.log", "-serial", "chardev:log0",
         "-device", "virtio-rng-pci"]
        + share("root", a.root, ",readonly=on") + share("tree", a.tree, ",readonly=on")
        + (share("share", "/mnt/share", "") if a.share else [])
    )
    for start in range(1, STARTS_MAX + 1):
        machine = Machine(a, arguments)
        machine.wait(a.timeout, SOUND_WITHIN if a.accel == "tcg" else a.timeout)
        if not machine.unsound or machine.signal:
            break
        complain(f"after {SOUND_WITHIN} s the emulated machine's clocks were not seen to run"
                 f"{'' if start == STARTS_MAX else '; starting it again'}")
        os.rename(f"{a.logs}/node0.log", f"{a.logs}/unsound{start}.log")
    said = machine.said
    os.unlink(image)
    for name in os.listdir(a.logs):
        if name.startswith("disk"):
            os.unlink(f"{a.logs}/{name}")

    with open(f"{a.logs}/times", "w") as f:
        f.write(f"accel {a.accel}\n")
        if said.ready:
            f.write(f"ready {said.ready - machine.begin:.2f}\n")
        f.write(f"total {time.monotonic() - machine.begin:.2f}\n")

    trouble = scan(a.logs, a.nodes)
    with open(f"{a.logs}/trouble", "w") as f:
        f.writelines(f"{os.path.basename(path)}:{number}: {lines[0]}\n" for path, number, lines in trouble)
    for path, number, lines in trouble[:3]:
        complain(f"{os.path.relpath(path, a.tree)}:{number}:")
        for line in lines:
            print(f"  | {line}", file=sys.stderr)
    if trouble:
        complain(f"{len(trouble)} suspicious lines in the kernels' logs, in {os.path.relpath(a.logs, a.tree)}/")

    if machine.signal:
        complain("interrupted")
        return 128 + machine.signal
    if machine.unsound:
        complain(f"the machine did not start, {STARTS_MAX} times; logs in {os.path.relpath(a.logs, a.tree)}/unsound*.log")
        return 125
    if machine.late:
        where = "while COMMAND ran" if said.ready else "before COMMAND started"
        complain(f"ended after {a.timeout} s, {where} (--timeout)")
        return 124
    if said.failure:
        complain(f"the machine did not start: {said.failure}; logs in {os.path.relpath(a.logs, a.tree)}/")
        return 125
    if said.code is None:
        what = f"QEMU ended with {machine.process.returncode}" if machine.process.returncode else "the primary kernel died or was reset"
        complain(f"{what} {'while COMMAND ran' if said.ready else 'before COMMAND started'}; "
                 f"logs in {os.path.relpath(a.logs, a.tree)}/")
        for line in read(f"{a.logs}/qemu.log").decode(errors="replace").splitlines()[-5:]:
            print(f"  | {line}", file=sys.stderr)
        return 125
    return said.code or (1 if trouble else 0)


if __name__ == "__main__":
    sys.exit(main())
