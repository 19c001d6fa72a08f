# SPDX-License-Identifier: GPL-2.0
"""What COMMAND, on the first machine of a cluster, may ask of the run, by guest/control. A line is a command, with a word
in front that comes back in the answer: "ok ..." or "error ...".

  state N               starting, up, ready (all joined it), frozen, or dead
  kill N                machine N ends at once, as if its power were switched off
  start N               it boots again, after its end
  freeze N, thaw N      it stands still, and goes on as if there had been no time between
  expect N PATTERN      its end is no failure in this life, nor what its log says from the first line on that matches
                        the extended regular expression
  faults                what goes wrong on the network: see faults.py for the commands that change it
  frames N              how many frames it sent, got, and would have got
"""

import re

from vm.faults import WrongCommand

LINE_MAX = 4096


class Control:
    """Done in a thread of its own; `run` does what there is to do with machines."""

    def __init__(self, run, hub):
        self.run = run
        self.hub = hub

    def serve(self, source):
        """Until the machine has ended."""
        with source, source.makefile("rb") as lines:
            try:
                while line := lines.readline(LINE_MAX):
                    name, _, command = line.decode(errors="replace").strip().partition(" ")
                    source.sendall(f"{name} {self.answer(command)}\n".encode())
            except OSError:
                pass

    def answer(self, command):
        try:
            return f"ok {self.obey(command)}".rstrip()
        except WrongCommand as why:
            return f"error {why}"

    def obey(self, command):
        word, _, rest = command.strip().partition(" ")
        if word == "faults" and not rest:
            return str(self.hub.faults)
        if word == "expect":
            number, _, pattern = rest.partition(" ")
            return self.run.expect(self.machine(number), self.pattern(pattern))
        if word == "frames":
            counters = self.hub.counters[self.machine(rest)]
            return f"sent {counters.sent} received {counters.received} lost {counters.lost}"
        if word in ("state", "kill", "start", "freeze", "thaw"):
            return getattr(self.run, word)(self.machine(rest))
        self.hub.faults.command(command)
        return ""

    def machine(self, word):
        if not word.isdigit() or int(word) >= len(self.run.machines):
            raise WrongCommand(f"there is no machine '{word}'")
        return int(word)

    @staticmethod
    def pattern(text):
        try:
            return re.compile(text) and text
        except re.error as why:
            raise WrongCommand(f"'{text}' is no pattern: {why}") from why
