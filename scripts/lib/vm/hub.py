# SPDX-License-Identifier: GPL-2.0
"""The network of a cluster: frames go from each machine to the others, through this process and nothing else.

A machine's card is QEMU's `dgram` on one end of a pair of sockets, a datagram a frame; the other end is here. The hub
knows whose hardware address is whose, so a frame goes to its receiver only, or to all if it is for all. It never waits
for a machine: what one does not take is lost once its queue is full, as in any switch.
"""

import collections
import contextlib
import dataclasses
import heapq
import itertools
import selectors
import socket
import threading
import time

# Bytes of a frame, more than QEMU sends.
FRAME_MAX = 128 * 1024
# Frames that wait for a machine, and those that are late on purpose.
QUEUE_MAX = 2000
LATE_MAX = 20000
# Frames read from one machine before it is the others' turn.
BUDGET = 64
SOCKET_BUFFER = 1 << 20


@dataclasses.dataclass
class Counters:
    """Of one machine's frames."""

    sent: int = 0
    received: int = 0
    # By a fault, or because nobody took it.
    lost: int = 0


class Port:
    """The hub's side of one life of a machine."""

    def __init__(self, number, address, end):
        self.number = number
        self.address = address
        self.end = end
        self.queue = collections.deque()
        self.waits = False

    def push(self):
        """Gives the machine what it takes now. False: nobody is there any more."""
        while self.queue:
            try:
                self.end.send(self.queue[0])
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            self.queue.popleft()
        return True


class Hub:
    """A thread of its own moves the frames; machines come and go by attach() and detach(), from any other thread."""

    def __init__(self, faults):
        self.faults = faults
        self.counters = collections.defaultdict(Counters)
        self.ports = {}
        self.late = []
        self.order = itertools.count()
        self.selector = selectors.DefaultSelector()
        self.orders = collections.deque()
        self.ending = False
        self.bell, self.ring = socket.socketpair()
        self.bell.setblocking(False)
        self.ring.setblocking(False)
        self.selector.register(self.bell, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.run, name="hub")
        self.thread.start()

    # --- for others ---

    def attach(self, number, address):
        """A machine with a hardware address, of six bytes: the end of the wire that QEMU gets."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (ours, theirs):
            # Not more than the host allows, which is enough.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BUFFER)
        ours.setblocking(False)
        self.tell(lambda: self.add(Port(number, address, ours)))
        return theirs

    def detach(self, number):
        """The machine is gone. What was on its way to it is lost."""
        self.tell(lambda: self.remove(number))

    def close(self):
        """Ends the thread, and all wires."""
        if self.thread.is_alive():
            self.tell(self.end)
            self.thread.join()

    def tell(self, order):
        """Has the hub's thread do that, and waits until it has."""
        done = threading.Event()
        self.orders.append((order, done))
        with contextlib.suppress(BlockingIOError):
            self.ring.send(b"!")
        while not done.wait(1):
            if not self.thread.is_alive():
                raise RuntimeError("the network between the machines has ended")

    # --- in the thread ---

    def run(self):
        while not self.ending:
            for key, events in self.selector.select(self.patience()):
                if key.data is None:
                    self.obey()
                    continue
                # An order of a moment ago may have removed it.
                if self.ports.get(key.data.number) is not key.data:
                    continue
                if events & selectors.EVENT_WRITE:
                    self.push(key.data)
                if events & selectors.EVENT_READ:
                    self.read(key.data)
            self.deliver_late()
        for number in list(self.ports):
            self.remove(number)
        self.selector.close()
        self.bell.close()
        self.ring.close()

    def patience(self):
        return max(0.0, self.late[0][0] - time.monotonic()) if self.late else None

    def obey(self):
        with contextlib.suppress(BlockingIOError):
            self.bell.recv(4096)
        while self.orders:
            order, done = self.orders.popleft()
            order()
            done.set()

    def end(self):
        self.ending = True

    def add(self, port):
        self.remove(port.number)
        self.ports[port.number] = port
        self.selector.register(port.end, selectors.EVENT_READ, port)

    def remove(self, number):
        port = self.ports.pop(number, None)
        if port:
            self.selector.unregister(port.end)
            port.end.close()

    def read(self, port):
        for _ in range(BUDGET):
            try:
                frame = port.end.recv(FRAME_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # The other end is closed; whoever has closed it detaches this one.
                return
            if not frame:
                return
            self.counters[port.number].sent += 1
            for receiver in self.receivers(port, frame):
                self.send(port, receiver, frame)

    def receivers(self, sender, frame):
        others = [port for port in self.ports.values() if port is not sender]
        return [port for port in others if port.address == frame[:6]] or others

    def send(self, sender, receiver, frame):
        fates = self.faults.fates(sender.number, receiver.number)
        if not fates:
            self.counters[receiver.number].lost += 1
        for lateness in fates:
            if not lateness:
                self.deliver(receiver, frame)
            elif len(self.late) < LATE_MAX:
                heapq.heappush(self.late, (time.monotonic() + lateness, next(self.order), receiver, frame))
            else:
                self.counters[receiver.number].lost += 1

    def deliver_late(self):
        now = time.monotonic()
        while self.late and self.late[0][0] <= now:
            _, _, receiver, frame = heapq.heappop(self.late)
            # Not to another life of the machine.
            if self.ports.get(receiver.number) is receiver:
                self.deliver(receiver, frame)

    def deliver(self, port, frame):
        if len(port.queue) >= QUEUE_MAX:
            self.counters[port.number].lost += 1
            return
        self.counters[port.number].received += 1
        port.queue.append(frame)
        if not port.waits:
            self.push(port)

    def push(self, port):
        if not port.push():
            port.queue.clear()
        if bool(port.queue) != port.waits:
            port.waits = bool(port.queue)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if port.waits else 0)
            self.selector.modify(port.end, events, port)
