# SPDX-License-Identifier: GPL-2.0
"""The serial ports of a machine, and what is read from them."""

import os
import socket
import time

from vm.hardware import escaped

PORTS_MAX = 31
PORTS_OF_OURS = 4    # stdout, stderr, status, others; the rest are consoles


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
        self.arguments += ["-chardev", f"file,id={name},path={escaped(path)}",
                           "-device", f"virtserialport,chardev={name},name=popcorn.{name}"]


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
        self.up = False
        self.ready = None
        self.code = None
        self.failure = None

    def run(self):
        with self.source.makefile("r", errors="replace") as lines:
            for line in lines:
                word, _, rest = line.strip().partition(" ")
                if word == "sound":
                    self.sound = True
                elif word == "up":
                    self.up = True
                elif word == "ready":
                    self.ready = time.monotonic()
                elif word == "exit" and rest.isdigit() and int(rest) < 256:
                    self.code = int(rest)
                elif word == "failed":
                    self.failure = rest or "no reason given"
