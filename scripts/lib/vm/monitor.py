# SPDX-License-Identifier: GPL-2.0
"""QEMU's own monitor, by which a machine stands still and goes on: its clocks do not run meanwhile."""

import json
import socket

# Seconds for an answer.
PATIENCE = 30


class Monitor:
    def __init__(self):
        self.ours, self.theirs = socket.socketpair()
        self.ours.settimeout(PATIENCE)
        self.lines = self.ours.makefile("rb")
        self.greeted = False

    def arguments(self):
        return ["-chardev", f"socket,id=monitor,fd={self.theirs.fileno()}", "-mon", "chardev=monitor,mode=control"]

    def command(self, name):
        """True: it was done. QEMU may end meanwhile."""
        try:
            if not self.greeted:
                self.greeted = self.ask("qmp_capabilities")
            return self.greeted and self.ask(name)
        except (OSError, ValueError):
            return False

    def ask(self, name):
        self.ours.sendall(json.dumps({"execute": name}).encode() + b"\n")
        # Before the answer there may be news.
        while line := self.lines.readline():
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return "return" in answer
        return False

    def close(self):
        self.lines.close()
        self.ours.close()
