# SPDX-License-Identifier: GPL-2.0
import unittest

from vm.faults import Faults
from vm.faults import OVERTAKEN
from vm.faults import WrongCommand


class TestFaults(unittest.TestCase):
    def setUp(self):
        self.faults = Faults(3, seed=1)

    def reached(self):
        return {pair for pair in self.faults.pairs if self.faults.fates(*pair)}

    def test_nothing_goes_wrong_by_itself(self):
        self.assertEqual(str(self.faults), "none")
        for pair in self.faults.pairs:
            self.assertEqual(self.faults.fates(*pair), [0.0])

    def test_a_partition_has_sides(self):
        self.faults.command("partition 0,1 | 2")
        self.assertEqual(self.reached(), {(0, 1), (1, 0)})
        self.faults.command("partition 1")
        self.assertEqual(self.reached(), {(0, 2), (2, 0)})
        self.faults.command("partition 0|1|2")
        self.assertEqual(self.reached(), set())
        self.faults.command("heal")
        self.assertEqual(len(self.reached()), 6)

    def test_one_direction(self):
        self.faults.command("cut 0>1")
        self.assertNotIn((0, 1), self.reached())
        self.assertIn((1, 0), self.reached())
        self.faults.command("cut 1-2 0-2")
        self.assertEqual(self.reached(), {(1, 0)})

    def test_healing_leaves_other_faults(self):
        self.faults.command("drop 100%")
        self.faults.command("partition 0")
        self.faults.command("heal")
        self.assertEqual(self.reached(), set())
        self.faults.command("clear")
        self.assertEqual(len(self.reached()), 6)

    def test_chances(self):
        self.faults.command("drop 5% 0>1")
        arrived = sum(len(self.faults.fates(0, 1)) for _ in range(10000))
        self.assertTrue(9300 < arrived < 9700, arrived)
        self.assertEqual(sum(len(self.faults.fates(1, 0)) for _ in range(1000)), 1000)
        self.faults.command("drop 0")
        self.faults.command("duplicate 50")
        arrived = sum(len(self.faults.fates(0, 1)) for _ in range(10000))
        self.assertTrue(14500 < arrived < 15500, arrived)

    def test_times(self):
        self.faults.command("delay 200ms 0-1")
        self.assertEqual(self.faults.fates(1, 0), [0.2])
        self.assertEqual(self.faults.fates(1, 2), [0.0])
        self.faults.command("delay 100 50ms")
        times = [self.faults.fates(1, 2)[0] for _ in range(1000)]
        self.assertTrue(0.05 <= min(times) < 0.06 and 0.14 < max(times) <= 0.15)
        self.faults.command("delay 0")
        self.faults.command("reorder 100%")
        self.assertEqual(self.faults.fates(1, 2), [OVERTAKEN])

    def test_says_what_is(self):
        self.faults.command("drop 5% 0>1")
        self.faults.command("cut 0>1")
        self.assertEqual(str(self.faults), "0>1 cut, drop 5.00%")

    def test_wrong_commands_change_nothing(self):
        for text in ("", "explode", "partition", "partition 0,1,2", "partition 0 | 0", "partition 3 | 0", "partition a",
                     "cut", "cut 0", "cut 0-0", "cut 0-3", "cut 0-1 x", "heal 0-1", "clear 1", "drop", "drop 101%", "drop -1",
                     "drop 0-1", "drop 5 0", "delay", "delay 0-1", "delay 1 2 3", "delay 1s", "delay 61000"):
            with self.subTest(text), self.assertRaises(WrongCommand):
                self.faults.command(text)
            self.assertEqual(str(self.faults), "none", text)


if __name__ == "__main__":
    unittest.main()
