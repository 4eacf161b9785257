# SPDX-License-Identifier: Apache-2.0
"""scripts/torchrun.sh: starts ranks under torchrun, and says what is missing."""
import os
import shutil
import signal
import subprocess
import unittest

from harness import SOURCE, VMAE, checkpoint_step, last_step, make_pictures
from ranks import RanksTest, tiny_run

SCRIPT = SOURCE / "scripts/torchrun.sh"


class TorchrunScriptTest(RanksTest):
    def script(self, *arguments, expect=0, timeout=120, script=SCRIPT, **variables):
        """Runs it to its end; what it printed."""
        done = subprocess.run([script, *map(str, arguments)], cwd=self.tmp, env=self.env(**{"VMAE": VMAE, **variables}), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout)
        self.assertEqual(done.returncode, expect, done.stdout[-3000:])
        self.assert_no_orphans()
        return done.stdout

    def test_trains_on_two_ranks(self):
        """As two ranks started by hand."""
        images = make_pictures(self.tmp / "images", 9)
        arguments = ["run.device=cpu", "train.draw_every=0"]
        text = self.script("--nproc-per-node", 2, "--", *tiny_run(images, "run", *arguments))
        self.assertIn("rank 0 of 2 (started by torchrun)", text)
        self.assertGreater(last_step(self.tmp / "run"), 2)
        self.train(2, *tiny_run(images, self.tmp / "by_hand", *arguments))
        self.assert_same_metrics(self.tmp / "run", self.tmp / "by_hand")

    def test_starts_again_after_a_failure(self):
        """The first start ends with a code of its own; options before -- are torchrun's."""
        program = self.tmp / "program"
        program.write_text('#!/bin/sh\necho "rank $RANK of $WORLD_SIZE, start $TORCHELASTIC_RESTART_COUNT: $*"\n[ "$TORCHELASTIC_RESTART_COUNT" = 1 ]\n')
        program.chmod(0o755)
        text = self.script("--nproc-per-node", 2, "--max-restarts", 1, "--monitor-interval", 0.1, "--", "doctor", "--x", "a b", VMAE=program)
        for rank in (0, 1):
            self.assertIn(f"rank {rank} of 2, start 1: doctor --x a b\n", text)

    def test_usr1_reaches_the_ranks(self):
        """torchrun of itself would end at once, and the run with it, unsaved."""
        images = make_pictures(self.tmp / "images", 9)
        run = tiny_run(images, "run", "run.device=cpu", "train.epochs=5000", "train.draw_every=0")
        process = self.start_script([SCRIPT, "--nproc-per-node", "2", "--", *run])
        self.assertTrue(self.wait_for(lambda: last_step(self.tmp / "run") >= 3, process, "some steps"), process.log.read_text())
        process.send_signal(signal.SIGUSR1)
        self.wait_exit(process, 1)
        self.assert_no_orphans()
        stopped = last_step(self.tmp / "run")
        self.assertIn(f"stopped by SIGUSR1 at step {stopped} of 10000", process.log.read_text())
        self.assertEqual(checkpoint_step(self.tmp / "run"), stopped)

    def start_script(self, command):
        log = self.tmp / "torchrun.log"
        with open(log, "wb") as out:
            process = subprocess.Popen([*map(os.fspath, command)], cwd=self.tmp, env=self.env(VMAE=VMAE), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.STDOUT)
        process.log = log
        self.addCleanup(self.end, process)
        return process

    def test_of_a_package(self):
        """By itself, as packages have it: vmae and torchrun are those on PATH."""
        (self.tmp / "share/vmae").mkdir(parents=True)
        script = shutil.copy(SCRIPT, self.tmp / "share/vmae")
        (self.tmp / "bin").mkdir()
        (self.tmp / "bin/torchrun").write_text('#!/bin/sh\nwhile [ "$1" != --no-python ]; do shift; done\nshift\nexec "$@"\n')
        (self.tmp / "bin/vmae").write_text('#!/bin/sh\necho "the one on PATH: $*"\n')
        for program in (self.tmp / "bin").iterdir():
            program.chmod(0o755)
        variables = {"PATH": f"{self.tmp}/bin:/usr/bin:/bin"}
        self.assertIn("the one on PATH: doctor --x a b\n", self.script("--", "doctor", "--x", "a b", script=script, VMAE="", **variables))
        (self.tmp / "bin/torchrun").unlink()
        self.assertIn("there is no torchrun on PATH (it comes", self.script("--", "doctor", expect=2, script=script, VMAE="", **variables))
        (self.tmp / "bin/vmae").unlink()
        self.assertIn("there is no vmae: put it on PATH", self.script("--", "doctor", expect=2, script=script, VMAE="", **variables))

    def test_help(self):
        for flag in ("-h", "--help"):
            text = self.script(flag)
            self.assertIn("usage: scripts/torchrun.sh", text)
            self.assertNotIn("set -euo", text)
            self.assertFalse(any(line.startswith("#") for line in text.splitlines()), text)

    def test_what_is_missing(self):
        self.assertIn("what shall be run?", self.script("--nproc-per-node", 2, expect=2))
        self.assertIn("what shall be run?", self.script(expect=2))
        self.assertIn(f"there is no {self.tmp}/nowhere", self.script("--", "doctor", expect=2, VMAE=self.tmp / "nowhere"))
        self.assertIn("RDZV_ENDPOINT", self.script("--", "doctor", expect=2, NNODES=2))
        (self.tmp / "bin").mkdir()
        for name in ("bash", "dirname", "env", "sed"):  # a PATH without torchrun
            (self.tmp / "bin" / name).symlink_to(f"/usr/bin/{name}")
        text = self.script("--", "doctor", expect=2, XDG_CACHE_HOME=self.tmp / "empty", PATH=self.tmp / "bin")
        self.assertIn("there is no torchrun, neither in", text)
        self.assertIn("scripts/setup --test", text)


if __name__ == "__main__":
    unittest.main()
