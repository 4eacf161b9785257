# SPDX-License-Identifier: Apache-2.0
"""tests/support/run_unittests.py: what it counts, and that it leaves nothing behind when it is stopped."""
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[1] / "support/run_unittests.py"
KINDS = """
import unittest
class ClassIsSkipped(unittest.TestCase):
    @classmethod
    def setUpClass(cls): raise unittest.SkipTest("no")
    def test_1(self): pass
    def test_2(self): pass
class Each(unittest.TestCase):
    def test_passes(self): pass
    def test_parts_fail(self):
        for i in range(3):
            with self.subTest(i=i): self.assertEqual(i, 1)
    def test_part_is_skipped(self):
        for i in range(3):
            with self.subTest(i=i):
                if i == 1: self.skipTest("part")
    def test_is_skipped(self): self.skipTest("whole")
    def test_error(self): 1 / 0
    @unittest.expectedFailure
    def test_fails_as_expected(self): 1 / 0
    @unittest.expectedFailure
    def test_passes_unexpectedly(self): pass
class SetUpFails(unittest.TestCase):
    @classmethod
    def setUpClass(cls): 1 / 0
    def test_1(self): pass
    def test_2(self): pass
class TearDownFails(unittest.TestCase):
    def tearDown(self): 1 / 0
    def test_1(self): pass
class ClassTearDownFails(unittest.TestCase):
    @classmethod
    def tearDownClass(cls): 1 / 0
    def test_1(self): pass
"""
FILES = {  # text, passed, failed, skipped
    "kinds": (KINDS, 3, 7, 4),
    "all_pass": ("import unittest\nclass A(unittest.TestCase):\n    def test_1(self): pass\n", 1, 0, 0),
    "is_skipped": ("import unittest\nraise unittest.SkipTest('no such package')", 0, 0, 1),
    "has_no_such_import": ("import nothing_of_this_name", 0, 1, 0),
    "has_no_test": ("", 0, 1, 0),
    "exits_with_0": ("import os\nos._exit(0)", 0, 1, 0),
    "is_killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 0, 1, 0),
}
SLEEPS = "import unittest, subprocess\nclass A(unittest.TestCase):\n    def test_0(self): print('so far', flush=True)\n    def test_1(self): subprocess.run(['sleep', '{seconds}'])\n"


class RunUnittests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, text):
        (self.folder / f"test_{name}.py").write_text(text)

    def run_it(self, *arguments):
        return subprocess.run([sys.executable, RUNNER, self.folder, *arguments], capture_output=True, text=True, timeout=100)

    def test_counts(self):
        for name, (text, *_) in FILES.items():
            self.write(name, text)
        for lanes in ("1", "3"):
            done = self.run_it("--lanes", lanes, "--first", "test_is_*.py")
            self.assertEqual(done.returncode, 1, done.stderr)
            for name, (_, *counts) in FILES.items():
                self.assertIn("== test_{}.py: {} passed, {} failed, {} skipped".format(name, *counts), done.stdout)
            sums = [sum(one[i] for one in FILES.values()) for i in (1, 2, 3)]
            self.assertEqual(done.stdout.splitlines()[-1], "{} passed, {} failed, {} skipped".format(*sums))
            failed = re.findall(r"^FAILED (test_\w+\.py: .*)", done.stdout, re.MULTILINE)
            self.assertIn("test_exits_with_0.py: ended with exit code 0 before its tests did", failed)
            self.assertIn("test_kinds.py: test_error (test_kinds.Each.test_error)", failed)

    def test_all_pass(self):
        self.write("one", FILES["all_pass"][0])
        done = self.run_it()
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "1 passed, 0 failed, 0 skipped"))

    def test_refuses(self):
        self.write("one", FILES["all_pass"][0])
        for arguments in (["--lanes", "0"], ["--pattern", "test_two.py"], ["--first", "test_two.py"]):
            self.assertEqual(self.run_it(*arguments).returncode, 2)

    def test_ends_what_it_started(self):
        """A sleep as no other: its seconds tell it."""
        for stop, code in ((signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)):
            seconds = f"{200 + time.time_ns() % 10**6}.25"
            self.write("sleeps", SLEEPS.format(seconds=seconds))
            # What a shell starts in the background ignores the interrupt, and so would what is started here.
            runner = subprocess.Popen([sys.executable, RUNNER, self.folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
            self.addCleanup(runner.kill)
            self.wait_until(lambda: self.is_running(seconds), "it sleeps")
            runner.send_signal(stop)
            said = runner.communicate(timeout=30)[0]
            self.assertEqual(runner.returncode, code)
            self.assertIn("so far\n", said)
            self.assertIn("== test_sleeps.py: was ended after", said)
            self.wait_until(lambda: not self.is_running(seconds), "nothing is left")

    @staticmethod
    def is_running(seconds):
        def words(process):
            try:
                return (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                return []
        return any(words(process)[:2] == [b"sleep", seconds.encode()] for process in Path("/proc").glob("[0-9]*"))

    def wait_until(self, condition, what):
        deadline = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.02)


if __name__ == "__main__":
    unittest.main()
