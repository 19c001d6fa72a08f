# SPDX-License-Identifier: GPL-2.0
"""How QEMU runs the processors: by KVM, or by emulating them."""

import os
import re
import socket
import subprocess

from vm.say import complain


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
