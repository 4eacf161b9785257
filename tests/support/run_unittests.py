#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the test files of a folder, each in a process of its own, several at a time, and counts what passed, failed and was skipped.

usage: run_unittests.py FOLDER [--pattern test_*.py] [--lanes N] [--first test_slow*.py ...]

Half of the lanes begin with the files of --first, the others with the rest, as long as there is any: so tests that wait (for kills, networks, clusters) run
beside each other and beside tests that compute. What a file prints is printed when it has ended, what failed once more at the end. Exit code 1 if anything failed.
"""
import argparse
import fnmatch
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

LIMIT_S = 1200  # of one file


# In the process of one file


class Result(unittest.TextTestResult):
    """Knows what became of each test."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.passed, self.skipped_ids = set(), set()

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed.add(test.id())

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.passed.add(test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skipped_ids.add(getattr(test, "test_case", test).id())  # a part of a test that is skipped counts as the test


def ids_of(suite):
    return {key for one in suite for key in (ids_of(one) if isinstance(one, unittest.TestSuite) else [one.id()])}


def run_file(path, report):
    """Writes the counts and the text of what failed. A class that is skipped as a whole ("setUpClass (file.Class)") is its tests."""
    suite = unittest.defaultTestLoader.discover(str(path.parent), pattern=path.name)
    tests = ids_of(suite)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result, warnings="default").run(suite)
    classes = tuple(one.split("(")[1].rstrip(")") + "." for one in result.skipped_ids - tests if "(" in one)
    problems = [f"{test}\n{text}" for test, text in result.failures + result.errors]
    problems += [f"{test}\npassed, which was not expected" for test in result.unexpectedSuccesses]
    failed_ids = {getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors}
    skipped = {one for one in tests if one in result.skipped_ids or (classes and one.startswith(classes))} - failed_ids
    failed = len(tests - result.passed - skipped) + len([one for one in failed_ids if one.startswith("tearDown")])
    if not tests:
        problems, failed = ["no test in it"], 1
    report.write_text(json.dumps({"passed": len(tests & result.passed), "failed": failed, "skipped": len(skipped), "problems": problems}))
    return 1 if failed else 0


# In the process that runs all files


class File:
    """One that runs."""

    def __init__(self, path, folder):
        self.path, self.report, self.start = path, folder / f"{path.stem}.json", time.monotonic()
        self.output = open(folder / f"{path.stem}.txt", "w+", errors="replace")
        self.process = subprocess.Popen([sys.executable, __file__, str(path), "--report", str(self.report)], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=subprocess.STDOUT, start_new_session=True)
        print(f"== {path.name} begins", flush=True)

    def seconds(self):
        return time.monotonic() - self.start

    def kill(self):
        """With all that it started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def ended(self):
        """-> None, or its counts, printed."""
        is_late = self.seconds() > LIMIT_S
        if is_late:
            self.kill()
        pid, status, used = os.wait4(self.process.pid, 0 if is_late else os.WNOHANG)
        if pid == 0:
            return None
        self.process.returncode = os.waitstatus_to_exitcode(status)
        try:
            counts = json.loads(self.report.read_text())
        except (OSError, ValueError):
            reason = f"was ended after {LIMIT_S} s" if is_late else f"ended with exit code {self.process.returncode} before its tests did"
            counts = {"passed": 0, "failed": 1, "skipped": 0, "problems": [reason]}
            self.kill()
        self.output.seek(0)
        print(self.output.read())
        self.output.close()
        print(f"== {self.path.name}: {text_of(counts)}; {self.seconds():.0f} s, {used.ru_utime + used.ru_stime:.0f} s of a core", flush=True)
        return counts


def text_of(counts):
    return ", ".join(f"{counts[name]} {name}" for name in ("passed", "failed", "skipped"))


def run_files(first, rest, num_lanes, folder):
    """-> counts of all, and what failed"""
    total, problems = {"passed": 0, "failed": 0, "skipped": 0}, []
    lanes = [None] * num_lanes
    try:
        while first or rest or any(lanes):
            for number, file in enumerate(lanes):
                if file is None:
                    queue = (first or rest) if number < max(1, num_lanes // 2) else (rest or first)
                    lanes[number] = File(queue.pop(0), folder) if queue else None
                elif (counts := file.ended()) is not None:
                    lanes[number] = None
                    problems += [f"{file.path.name}: {problem}" for problem in counts["problems"]]
                    for name in total:
                        total[name] += counts[name]
            time.sleep(0.05)
    finally:
        for file in filter(None, lanes):
            file.kill()
            file.output.seek(0)
            print(f"{file.output.read()}\n== {file.path.name}: was ended after {file.seconds():.0f} s")
    return total, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pattern", default="test_*.py")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--first", nargs="*", default=[])
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)  # then `folder` is one file
    options = parser.parse_args()
    if options.report:
        return run_file(options.folder, options.report)
    files = sorted(path for path in options.folder.iterdir() if fnmatch.fnmatch(path.name, options.pattern))
    unknown = [pattern for pattern in options.first if not fnmatch.filter([path.name for path in files], pattern)]
    if not files or unknown or options.lanes < 1:
        parser.error(f"{options.folder} has no file {', '.join(unknown) or options.pattern}" if options.lanes > 0 else "--lanes: at least 1")
    first = [path for path in files if any(fnmatch.fnmatch(path.name, pattern) for pattern in options.first)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="vmae-unittests-") as folder:
        total, problems = run_files(first, [path for path in files if path not in first], options.lanes, Path(folder))
    for problem in problems:
        print(f"FAILED {problem}")
    print(text_of(total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
