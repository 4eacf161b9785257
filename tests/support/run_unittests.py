#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test files of a folder, each in a process of its own, several at a time, and counts what passed, failed and was skipped.

usage: run_unittests.py FOLDER [--pattern test_*.py] [--lanes 2] [--first test_slow*.py ...]

Files of --first begin first, in one lane, while the other lanes begin with the rest: so tests that wait (for kills, networks, clusters) run beside
tests that compute. What a file prints is printed when it has ended. Exit code 1 if anything failed.
"""
import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path


class Result(unittest.TextTestResult):
    """Knows which tests passed and which failed. What fails outside of a test (setUpClass) counts as one more."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.passed, self.failed_tests, self.failed_elsewhere = 0, set(), 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.fail(test)

    def addError(self, test, err):
        super().addError(test, err)
        self.fail(test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.fail(test)

    def fail(self, test):
        if isinstance(test, unittest.TestCase):
            self.failed_tests.add(test.id())
        else:
            self.failed_elsewhere += 1

    def counts(self, total):
        """Of `total` tests: what neither passed nor failed was skipped: itself, a part of it, or its class."""
        skipped = total - self.passed - len(self.failed_tests)
        return {"passed": self.passed, "failed": len(self.failed_tests) + self.failed_elsewhere, "skipped": skipped}


def run_file(path, counts_path):
    """In the process of one file."""
    sys.path.insert(0, str(path.parent))
    suite = unittest.defaultTestLoader.loadTestsFromName(path.stem)
    total = suite.countTestCases()
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    Path(counts_path).write_text(json.dumps(result.counts(total)))
    return 0 if result.wasSuccessful() else 1


class Run:
    """All files: one queue that the first lane takes from the front, the others from the back."""

    def __init__(self, files):
        self.files = files
        self.counts = {"passed": 0, "failed": 0, "skipped": 0}
        self.lock = threading.Lock()

    def lane(self, end):
        while True:
            with self.lock:
                if not self.files:
                    return
                path = self.files.pop(end)
            self.one(path)

    def one(self, path):
        with tempfile.TemporaryDirectory(prefix="vmae-unittests-") as folder:
            counts_path = Path(folder) / "counts.json"
            start = time.monotonic()
            with open(Path(folder) / "output", "w+", errors="replace") as output:
                process = subprocess.Popen([sys.executable, __file__, str(path), "--counts", str(counts_path)], stdin=subprocess.DEVNULL,
                                           stdout=output, stderr=subprocess.STDOUT)
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                output.seek(0)
                text = output.read()
            counts = json.loads(counts_path.read_text()) if counts_path.exists() else {"passed": 0, "failed": 0, "skipped": 0}
        if process.returncode and not counts["failed"]:
            counts["failed"] = 1  # it died
        with self.lock:
            for name, count in counts.items():
                self.counts[name] += count
            print(text, end="" if text.endswith("\n") else "\n")
            print(f"== {path.name}: {', '.join(f'{count} {name}' for name, count in counts.items())}; "
                  f"{time.monotonic() - start:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of a core", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="test_*.py")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--first", nargs="*", default=[])
    parser.add_argument("--counts", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.counts:
        return run_file(options.folder, options.counts)
    files = sorted(path for path in options.folder.iterdir() if fnmatch.fnmatch(path.name, options.pattern))
    if not files:
        parser.error(f"{options.folder} has no file {options.pattern}")
    first = [path for path in files if any(fnmatch.fnmatch(path.name, pattern) for pattern in options.first)]
    rest = [path for path in files if path not in first]
    run = Run(first + rest[::-1])
    lanes = [threading.Thread(target=run.lane, args=(0 if index == 0 else -1,)) for index in range(options.lanes)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    print(", ".join(f"{count} {name}" for name, count in run.counts.items()))
    return 1 if run.counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
