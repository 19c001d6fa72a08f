# SPDX-License-Identifier: GPL-2.0
import time
import unittest

from vm.faults import Faults
from vm.hub import Hub
from vm.hub import QUEUE_MAX

ALL = b"\xff" * 6


def address(number):
    return bytes([0x52, 0x54, 0, 0, 0, number])


class TestHub(unittest.TestCase):
    def setUp(self):
        self.hub = Hub(Faults(3, seed=1))
        self.ends = []
        for number in range(3):
            self.attach(number)

    def tearDown(self):
        self.hub.close()
        for end in self.ends:
            end.close()

    def attach(self, number):
        end = self.hub.attach(number, address(number))
        end.settimeout(5)
        self.ends[number:number + 1] = [end]

    def send(self, sender, receiver, text):
        self.ends[sender].send((ALL if receiver is None else address(receiver)) + text)

    def read_by_now(self, sender, frames):
        """The hub has seen so many frames of that machine, and what became of them is decided."""
        while self.hub.counters[sender].sent < frames:
            time.sleep(0.001)
        self.hub.tell(lambda: None)

    def got(self, number):
        return self.ends[number].recv(1 << 17)[6:]

    def nothing(self, number, seconds=0.1):
        self.ends[number].settimeout(seconds)
        with self.assertRaises(TimeoutError):
            self.ends[number].recv(1 << 17)
        self.ends[number].settimeout(5)

    def test_a_frame_goes_to_its_receiver(self):
        self.send(0, 1, b"one")
        self.assertEqual(self.got(1), b"one")
        self.nothing(0)
        self.nothing(2)

    def test_a_frame_for_all_goes_to_the_others(self):
        self.send(1, None, b"all")
        self.assertEqual([self.got(0), self.got(2)], [b"all", b"all"])
        self.nothing(1)

    def test_so_does_one_for_nobody_known(self):
        self.ends[1].send(b"\x02\0\0\0\0\0who")
        self.assertEqual([self.got(0), self.got(2)], [b"who", b"who"])

    def test_order_and_content_stay(self):
        frames = [bytes([n % 256]) * (n * 7 % 1500) for n in range(1000)]
        for n, frame in enumerate(frames):
            self.send(0, 2, frame)
            self.assertEqual(self.got(2), frame, n)

    def test_a_large_frame(self):
        self.send(0, 1, b"x" * 65536)
        self.assertEqual(len(self.got(1)), 65536)

    def test_who_takes_nothing_stops_nobody(self):
        for n in range(QUEUE_MAX + 10000):
            self.send(0, 1, b"%d" % n)
        self.send(0, 2, b"and you")
        self.assertEqual(self.got(2), b"and you")
        self.assertEqual(self.got(1), b"0")
        self.assertGreater(self.hub.counters[1].lost, 0)
        # What was kept comes in order once there is room again.
        for n in range(1, QUEUE_MAX):
            self.assertEqual(self.got(1), b"%d" % n)

    def test_a_partition(self):
        self.hub.faults.command("partition 0,1 | 2")
        self.send(0, None, b"first")
        self.assertEqual(self.got(1), b"first")
        self.nothing(2)
        self.hub.faults.command("heal")
        self.send(0, None, b"second")
        self.assertEqual(self.got(2), b"second")

    def test_late_frames_keep_their_order(self):
        self.hub.faults.command("delay 200ms")
        begin = time.monotonic()
        for n in range(50):
            self.send(0, 1, b"%d" % n)
        self.assertEqual([self.got(1) for _ in range(50)], [b"%d" % n for n in range(50)])
        self.assertGreaterEqual(time.monotonic() - begin, 0.2)

    def test_others_overtake(self):
        self.hub.faults.command("reorder 30%")
        for n in range(100):
            self.send(0, 1, b"%d" % n)
        got = [self.got(1) for _ in range(100)]
        self.assertEqual(set(got), {b"%d" % n for n in range(100)})
        self.assertNotEqual(got, [b"%d" % n for n in range(100)])

    def test_a_machine_goes_and_another_life_of_it_comes(self):
        self.hub.faults.command("delay 300ms 0>1")
        self.send(0, 1, b"for the old one")
        self.read_by_now(0, 1)
        old = self.ends[1]
        self.hub.detach(1)
        self.send(0, 1, b"for nobody")
        self.read_by_now(0, 2)
        self.hub.faults.command("clear")
        self.attach(1)
        old.close()
        self.nothing(1, 0.5)
        self.send(0, 1, b"for the new one")
        self.assertEqual(self.got(1), b"for the new one")
        # For nobody known, then.
        self.assertEqual(self.got(2), b"for nobody")

    def test_a_machine_that_died_is_no_harm(self):
        self.ends[1].close()
        for _ in range(10):
            self.send(0, None, b"still there?")
            self.assertEqual(self.got(2), b"still there?")
        self.hub.detach(1)
        self.hub.detach(1)
        self.send(2, None, b"yes")
        self.assertEqual(self.got(0), b"yes")
        self.hub.attach(1, address(1)).close()


if __name__ == "__main__":
    unittest.main()
