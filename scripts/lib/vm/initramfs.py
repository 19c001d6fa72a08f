# SPDX-License-Identifier: GPL-2.0
"""What a machine boots with: an initramfs with a static busybox, guest/init, and what that machine is to do."""

import os
import stat


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
