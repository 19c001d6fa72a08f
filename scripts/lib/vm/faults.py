# SPDX-License-Identifier: GPL-2.0
"""What goes wrong on the way between two machines, when a test wants it.

  partition 0,1 | 2          the machines of one side do not reach those of another; those that are not named are one
                             more side
  cut PAIR...                not these
  heal                       all reach all again
  drop CHANCE [PAIR...]      frames are lost
  duplicate CHANCE [PAIR...] come twice
  reorder CHANCE [PAIR...]   come so late that others overtake them
  delay TIME [TIME] [PAIR...] come later; the second is by how much that varies, which changes their order as well
  clear                      nothing goes wrong any more

PAIR: 0-1, or 0>1 for one direction; without any, all. CHANCE: 5 or 5%. TIME: 200 or 200ms. 0 ends it.
"""

import dataclasses
import itertools
import math
import random
import re

# Seconds by which a frame is late that others are to overtake.
OVERTAKEN = 0.02
# As long as this nobody waits; and frames on their way are kept.
DELAY_MAX = 60


class WrongCommand(ValueError):
    pass


@dataclasses.dataclass
class Fault:
    """What happens to frames from one machine to another: chances from 0 to 1, times in seconds."""

    cut: bool = False
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0

    def __str__(self):
        said = ["cut"] if self.cut else []
        said += [f"{name} {getattr(self, name):.2%}" for name in ("drop", "duplicate", "reorder") if getattr(self, name)]
        if self.delay or self.jitter:
            said.append(f"delay {self.delay * 1000:g}ms +-{self.jitter * 1000:g}ms")
        return ", ".join(said)


def chance(word):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)%?", word)
    if not match or float(match[1]) > 100:
        raise WrongCommand(f"'{word}' is no chance from 0% to 100%")
    return float(match[1]) / 100


def duration(word):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(?:ms)?", word)
    seconds = float(match[1]) / 1000 if match else math.inf
    if seconds > DELAY_MAX:
        raise WrongCommand(f"'{word}' is no time from 0ms to {DELAY_MAX * 1000}ms")
    return seconds


class Faults:
    """Of all pairs. One thread gives commands, another asks for fates: what the second reads is replaced whole."""

    def __init__(self, machines, seed=None):
        self.machines = machines
        self.random = random.Random(seed)
        self.pairs = {pair: Fault() for pair in itertools.permutations(range(machines), 2)}

    def fates(self, sender, receiver):
        """For each copy of a frame that is to arrive: in how many seconds."""
        fault = self.pairs[sender, receiver]
        if fault.cut or self.happens(fault.drop):
            return []
        copies = 2 if self.happens(fault.duplicate) else 1
        return [self.lateness(fault) for _ in range(copies)]

    def happens(self, probability):
        return probability > 0 and self.random.random() < probability

    def lateness(self, fault):
        late = fault.delay
        if fault.jitter:
            late = max(0.0, late + self.random.uniform(-fault.jitter, fault.jitter))
        if self.happens(fault.reorder):
            late += OVERTAKEN
        return late

    def __str__(self):
        return "; ".join(f"{a}>{b} {fault}" for (a, b), fault in self.pairs.items() if str(fault)) or "none"

    def command(self, text):
        """Does what a line says, or raises WrongCommand and changes nothing."""
        name, _, rest = text.strip().partition(" ")
        words = rest.split()
        if name == "partition":
            self.partition(rest)
        elif name == "cut":
            if not words:
                raise WrongCommand("which pairs?")
            self.change(words, cut=True)
        elif name in ("drop", "duplicate", "reorder"):
            if not words:
                raise WrongCommand(f"{name} at which chance?")
            self.change(words[1:], **{name: chance(words[0])})
        elif name == "delay":
            times = list(itertools.takewhile(lambda word: not re.search("[->]", word), words))
            if not 1 <= len(times) <= 2:
                raise WrongCommand("delay by which time?")
            delay, jitter = [duration(word) for word in times + ["0"]][:2]
            self.change(words[len(times):], delay=delay, jitter=jitter)
        elif name in ("heal", "clear") and words:
            raise WrongCommand(f"{name} is for all")
        elif name == "heal":
            self.change([], cut=False)
        elif name == "clear":
            self.pairs = {pair: Fault() for pair in self.pairs}
        else:
            raise WrongCommand(f"there is no fault '{name}'")

    def change(self, words, **what):
        """Sets something for the pairs that these words name."""
        chosen = [pair for word in words for pair in self.named(word)] if words else list(self.pairs)
        self.pairs = self.pairs | {pair: dataclasses.replace(self.pairs[pair], **what) for pair in chosen}

    def named(self, word):
        match = re.fullmatch(r"(\d+)([->])(\d+)", word)
        pair = match and (int(match[1]), int(match[3]))
        if pair not in self.pairs:
            raise WrongCommand(f"'{word}' is no pair of machines")
        return [pair] if match[2] == ">" else [pair, pair[::-1]]

    def partition(self, text):
        side = dict.fromkeys(range(self.machines), -1)
        for number, names in enumerate(text.split("|")):
            for word in names.replace(",", " ").split():
                if not word.isdigit() or int(word) not in side:
                    raise WrongCommand(f"there is no machine '{word}'")
                if side[int(word)] != -1:
                    raise WrongCommand(f"machine {word} is on one side only")
                side[int(word)] = number
        if len(set(side.values())) < 2:
            raise WrongCommand("a partition has two sides")
        self.pairs = {(a, b): dataclasses.replace(fault, cut=side[a] != side[b]) for (a, b), fault in self.pairs.items()}
