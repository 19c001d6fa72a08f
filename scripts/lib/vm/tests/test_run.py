# SPDX-License-Identifier: GPL-2.0
"""A whole run, with something else in place of QEMU (fake_qemu)."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

LIBRARY = pathlib.Path(__file__).resolve().parents[2]
TREE = LIBRARY.parents[1]


class TestRun(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name)
        for name in ("bin", "fake", "logs", "modules"):
            (self.work / name).mkdir()
        (self.work / "bin/qemu-system-x86_64").symlink_to(LIBRARY / "vm/tests/fake_qemu")
        (self.work / "guest").symlink_to(TREE / "guest")
        for name in ("bzImage", "modules/secondary.cpio"):
            (self.work / name).touch()

    def machine(self, name, *lines):
        """What a machine does; "1.2" is machine 1 when it is started for the second time."""
        (self.work / "fake" / name).write_text("\n".join(lines))

    def run_vm(self, *arguments, sound_within=60, end_within=60, timeout=60):
        """Fills in status, out, err."""
        a = {name: str(self.work) for name in ("tree", "root", "cache")}
        a |= {"logs": f"{self.work}/logs", "kernel": f"{self.work}/bzImage", "modules": f"{self.work}/modules",
              "initrd": f"{self.work}/modules/secondary.cpio", "cpus": "1", "mib": "256", "accel": "tcg", "append": "",
              "timeout": str(timeout)}
        command = [sys.executable, "-B", "-m", "vm"]
        command += [f"--{name}={value}" for name, value in a.items()] + list(arguments) + ["--", "true"]
        environment = os.environ | {
            "PYTHONPATH": str(LIBRARY), "PATH": f"{self.work}/bin:{os.environ['PATH']}", "FAKE_QEMU": f"{self.work}/fake",
            "POPCORN_SOUND_WITHIN": str(sound_within), "POPCORN_END_WITHIN": str(end_within),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr
        left = [name for name in os.listdir(self.work / "logs") if name.startswith(("initramfs", "disk"))]
        self.assertEqual(left, [])

    def run_cluster(self, *arguments, **options):
        self.run_vm("--topology=cluster", "--nodes=3", "--transport=tcp", *arguments, **options)

    def log(self, name):
        return (self.work / "logs" / name).read_text()

    def ends(self, status, words=""):
        self.assertEqual(self.status, status, self.err)
        self.assertIn(words, self.err)

    # --- one machine ---

    def test_output_and_status_are_relayed(self):
        self.machine("0", 'm.say("sound\\nready\\n"); m.say("to out", "stdout"); m.say("to err", "stderr")',
                     'm.say("exit 37\\n")')
        self.run_vm("--nodes=2")
        self.ends(37)
        self.assertEqual((self.out, self.err), ("to out", "to err"))

    def test_a_reset_is_a_failure(self):
        self.machine("0", 'm.say("sound\\n")')
        self.run_vm("--nodes=2")
        self.ends(125, "the primary kernel died or was reset before COMMAND started")

    def test_a_machine_that_never_runs(self):
        self.machine("0", 'm.log("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:")', "time.sleep(100)")
        self.run_vm("--nodes=2", sound_within=1)
        self.ends(125, "the machine did not start, 3 times")
        self.assertEqual(self.err.count("starting it again"), 2)

    def test_qemu_gives_up_while_it_boots(self):
        self.machine("0.1", "os.write(2, b'an assertion\\n'); os.abort()")
        self.machine("0.2", 'm.say("sound\\nready\\nexit 5\\n")')
        self.run_vm("--nodes=2", sound_within=30)
        self.ends(5, "QEMU gave the emulated machine up while it booted (an assertion); starting it again")

    def test_qemu_always_gives_up(self):
        self.machine("0", "os.abort()")
        self.run_vm("--nodes=2", sound_within=30)
        self.ends(125, "the machine did not start, 3 times")
        self.assertEqual(self.err.count("starting it again"), 2)

    def test_qemu_gives_up_later(self):
        self.machine("0", 'm.say("sound\\n"); os.abort()')
        self.run_vm("--nodes=2", sound_within=30)
        self.ends(125, "QEMU ended with -6 before COMMAND started")

    def test_the_time_limit(self):
        self.machine("0", 'm.say("sound\\nready\\n")', "time.sleep(100)")
        self.run_vm("--nodes=2", timeout=2)
        self.ends(124, "ended after 2 s")

    def test_an_interruption(self):
        self.machine("0", 'm.say("sound\\nready\\n")', "os.kill(os.getppid(), 15)", "time.sleep(100)")
        self.run_vm("--nodes=2")
        self.ends(143, "interrupted")

    def test_a_warning(self):
        self.machine("0", 'm.log("WARNING: at nowhere"); m.say("sound\\nready\\nexit 0\\n")')
        self.run_vm("--nodes=2")
        self.ends(1, "at nowhere")

    # --- several ---

    def others_are_good(self):
        for name in ("1", "2"):
            self.machine(name, "m.end_with_the_others()")

    def test_a_cluster(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.say("exit 7\\n")')
        self.run_cluster()
        self.ends(7)
        self.assertEqual(self.err, "")

    def test_a_warning_of_another_machine(self):
        self.others_are_good()
        self.machine("1", 'm.log("WARNING: at nowhere")', "m.end_with_the_others()")
        self.machine("0", "m.join()", 'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(1, "node1.log:1:")

    def test_another_machine_dies(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.exchange.joinpath("die").touch()', "time.sleep(100)")
        self.machine("2", "m.join()", 'm.wait("die")', 'm.log("Kernel panic - not syncing")')
        self.run_cluster()
        self.ends(125, "the primary kernel of machine 2 died or was reset while COMMAND ran")

    def test_another_machine_does_not_start(self):
        self.others_are_good()
        self.machine("0", "m.join()", "time.sleep(100)")
        self.machine("2", 'm.say("sound\\nfailed no module\\n")')
        self.run_cluster()
        self.ends(125, "machine 2 did not start: no module")

    def test_another_machine_never_runs(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.say("exit 0\\n")')
        self.machine("1.1", "time.sleep(100)")
        self.run_cluster(sound_within=8)
        self.ends(0, "the emulated machine 1's clocks were not seen to run; starting it again")
        self.assertEqual(self.log("unsound1.log"), "")

    def test_qemu_gives_another_machine_up(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.say("exit 0\\n")')
        self.machine("2.1", "os.abort()")
        self.run_cluster(sound_within=30)
        self.ends(0, "QEMU gave the emulated machine 2 up while it booted (without a word); starting it again")

    def test_the_time_limit_ends_all(self):
        self.others_are_good()
        self.machine("0", "m.join()", "time.sleep(100)")
        self.run_cluster(timeout=4)
        self.ends(124, "ended after 4 s")

    def test_an_interruption_ends_all(self):
        self.others_are_good()
        self.machine("0", "m.join()", "time.sleep(100)")
        self.machine("1", "m.join()", "os.kill(os.getppid(), 2)", "time.sleep(100)")
        self.run_cluster()
        self.ends(130, "interrupted")

    def test_a_machine_that_does_not_end(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.say("exit 0\\n")')
        self.machine("1", "m.join()", "time.sleep(1000)")
        self.run_cluster(end_within=2)
        self.ends(125, "machine 1 did not switch itself off within 2 s")

    def test_frames_travel_and_faults_stop_them(self):
        self.others_are_good()
        self.machine("1", 'm.say("sound\\nup\\n")', 'm.wait("go")', 'm.say("ready\\n")',
                     "while True: m.wire.send(m.wire.recv(2000)[6:12] + m.address + b'pong')")
        self.machine("0", "m.join()", "peer = m.address[:5] + b'\\x01'; m.wire.settimeout(5)",
                     "m.wire.send(peer + m.address + b'ping'); assert m.wire.recv(2000)[12:] == b'pong'",
                     'assert m.ask("partition 0 | 1,2") == "ok"',
                     "m.wire.send(peer + m.address + b'ping')",
                     "m.wire.settimeout(0.3)",
                     "try: m.wire.recv(2000); assert False",
                     "except TimeoutError: pass",
                     'assert m.ask("faults").startswith("ok 0>1 cut; "), m.ask("faults")',
                     'assert m.ask("heal") == "ok"',
                     "m.wire.settimeout(5)",
                     "m.wire.send(peer + m.address + b'ping'); assert m.wire.recv(2000)[12:] == b'pong'",
                     'assert m.ask("frames 1") == "ok sent 2 received 2 lost 1", m.ask("frames 1")',
                     'assert m.ask("kill 1") == "ok"',
                     'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(0)

    def test_a_machine_is_killed_and_comes_back(self):
        self.others_are_good()
        self.machine("1.1", 'm.log("WARNING: of the first life"); m.end_with_the_others()')
        self.machine("1.2", 'm.log("second life"); m.end_with_the_others()')
        self.machine("0", "m.join()", 'assert m.ask("state 1") == "ok ready"', 'assert m.ask("kill 1") == "ok"',
                     'assert m.ask("state 1") == "ok dead"', 'assert not (m.exchange / "1/life").exists()',
                     'assert m.ask("kill 1").startswith("error ")', 'assert m.ask("start 1") == "ok"',
                     'm.until("state 1", "ok ready")', 'assert (m.exchange / "1/life").read_text() == "2\\n"',
                     'assert m.ask("start 1").startswith("error ")', 'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(1, "node1.life1.log:1:")
        self.assertEqual(self.log("node1.log").strip(), "second life")

    def test_an_end_that_was_wanted(self):
        self.others_are_good()
        self.machine("1", "m.join()", 'm.wait("panic")', 'm.log("Kernel panic - as wanted")')
        self.machine("0", "m.join()", 'assert m.ask("expect 1 Kernel panic - as wanted") == "ok"',
                     'm.exchange.joinpath("panic").touch()', 'm.until("state 1", "ok dead")', 'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(0)

    def test_that_is_no_pardon_for_the_next_life(self):
        self.others_are_good()
        self.machine("1.1", "m.join()", 'm.log("Kernel panic - as wanted")', 'm.wait("panic")')
        self.machine("1.2", "m.join()", 'm.log("Kernel panic - as wanted")')
        self.machine("0", "m.join()", 'assert m.ask("expect 1 Kernel panic") == "ok"', 'm.exchange.joinpath("panic").touch()',
                     'm.until("state 1", "ok dead")', 'assert m.ask("start 1") == "ok"', "time.sleep(100)")
        self.run_cluster()
        self.ends(125, "machine 1 died")
        self.assertIn("node1.log:1:", self.err)
        self.assertNotIn("life1", self.err)

    def test_a_machine_stands_still(self):
        self.others_are_good()
        self.machine("1", "m.join()", "m.monitor()")
        self.machine("0", "m.join()", 'assert m.ask("freeze 1") == "ok"', 'assert m.ask("state 1") == "ok frozen"',
                     'assert m.ask("thaw 1") == "ok"', 'assert m.ask("state 1") == "ok ready"', 'assert m.ask("freeze 1") == "ok"',
                     'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(0)

    def test_what_cannot_be_asked_for(self):
        self.others_are_good()
        for_it = ("kill 0", "kill 3", "kill", "start 1", "expect 1 (", "frames x", "state", "faults 1", "nonsense", "")
        self.machine("0", "m.join()", f"for text in {for_it!r}:", "    assert m.ask(text).startswith('error '), text",
                     'm.say("exit 0\\n")')
        self.run_cluster()
        self.ends(0)

    def test_too_many_kernels(self):
        self.run_vm("--topology=cluster", "--nodes=33", "--kernels-per-machine=2")
        self.ends(2, "there are 64 node ids")

    def test_machines_with_several_kernels_have_ids_of_their_own(self):
        self.others_are_good()
        self.machine("0", "m.join()", 'm.say("exit 0\\n")')
        self.run_cluster("--kernels-per-machine=2")
        self.ends(0)
        for machine, nodes in (("", (0, 1)), ("1", (2, 3)), ("2", (4, 5))):
            command = self.log(f"command{machine}")
            for node in nodes:
                self.assertIn(f"/node{node}.log", command)


if __name__ == "__main__":
    unittest.main()
