# SPDX-License-Identifier: Apache-2.0
"""The scripts in scripts/slurm on a real Slurm: a cluster of one node, started for these tests; two tasks on the CPU."""
import json
import os
import re
import signal
import time
import unittest
from pathlib import Path

from finetuning import SWIN, TRAIN, make_segmentation
from harness import SOURCE, TINY, VMAE, checkpoint_step, last_step, make_pictures
from ranks import RanksTest, marked, tiny_run
from slurm_cluster import Cluster, Unavailable

SCRIPTS = SOURCE / "scripts/slurm"
TWO_TASKS = ["--nodes=1", "--ntasks-per-node=2", "--gpus-per-node=0", "--cpus-per-task=1", "--mem=1000", "--time=10"]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "PREEMPTED", "DEADLINE"}


def variable(pid, name):
    """Of a process's environment; None where there is none."""
    try:
        items = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((item.split("=", 1)[1] for item in items if item.startswith(name + "=")), None)


cluster = unavailable = None


def setUpModule():
    global cluster, unavailable
    try:
        cluster = Cluster()
        unittest.addModuleCleanup(cluster.stop)
    except Unavailable as reason:
        unavailable = f"no Slurm: {reason}"


class SlurmTest(RanksTest):
    def setUp(self):
        super().setUp()
        if unavailable:
            self.skipTest(unavailable)  # here, so that each test is counted
        (self.tmp / "empty.yaml").write_text("")
        self.addCleanup(cluster.call, "scancel", "--user=root", check=False)

    def env(self, **extra):
        return {**super().env(**extra), **cluster.variables()}

    def submit(self, script, *arguments, options=TWO_TASKS, **variables):
        """sbatch; returns the job's number. Variables: those of the script."""
        variables = {"VMAE": VMAE, "CONFIG": self.tmp / "empty.yaml", **variables}
        done = cluster.call("sbatch", "--parsable", *options, SCRIPTS / script, *arguments, env=self.env(**variables), cwd=self.tmp)
        return int(done.stdout)

    def wait_job(self, number, what, condition, timeout=120):
        """Polls until condition(job) holds, and returns the job."""
        deadline = time.monotonic() + timeout
        while not condition(job := cluster.job(number)):
            if time.monotonic() > deadline or job["JobState"] in ENDED:
                self.fail(f"job is {job['JobState']}, exit code {job['ExitCode']}, restarts {job['Restarts']}; waited for {what}\n{self.logs()}")
            time.sleep(0.1)
        return job

    def wait_end(self, number, state, code, restarts=0, timeout=120):
        job = self.wait_job(number, "its end", lambda job: job["JobState"] in ENDED, timeout)
        self.assertEqual((job["JobState"], job["ExitCode"], job["Restarts"]), (state, f"{code}:0", str(restarts)), self.logs())
        self.assert_no_orphans()

    def logs(self):
        return "\n".join(f"--- {p}\n{p.read_text(errors='replace')[-3000:]}" for p in sorted([*self.tmp.rglob("*.log"), *self.tmp.rglob("*.out")]))


class PretrainTest(SlurmTest):
    def log_of(self, number, run="run"):
        return (self.tmp / run / f"slurm-{number}.log").read_text()

    def test_signal_requeue_resume(self):
        """As before its time limit, the job gets USR1: it saves, is queued again, goes on, and ends as a run that was left alone.
        The data are copied to the node once."""
        make_pictures(self.tmp / "images", 60)
        self.vmae("prepare", "--input", "images", "--output", "prepared")
        copies, undisturbed, run = self.tmp / "local", self.tmp / "undisturbed/run", self.tmp / "run"  # a checkpoint holds its run's name
        keys = ["train.epochs=10", "run.device=cpu", "train.draw_every=0"]
        self.train(2, *tiny_run(self.tmp / "prepared", undisturbed, *keys))

        number = self.submit("pretrain.sbatch", *TINY, "data.workers=1", *keys, RUN_DIR="run", STAGE=self.tmp / "prepared", LOCAL_DISK=copies)
        self.wait_job(number, "some steps", lambda job: last_step(run) >= 5)
        cluster.call("scancel", "--signal=USR1", f"{number}.1")  # step 0 has copied the data
        self.wait_job(number, "its return to the queue", lambda job: job["Restarts"] == "1")
        stopped = last_step(run)
        self.wait_end(number, "COMPLETED", 0, restarts=1)

        log = self.log_of(number)
        self.assertEqual(re.findall(r"vmae ended with exit code (\d+)", log), ["75", "0"], log)
        self.assertEqual(re.findall(r"start (\d+), on", log), ["1", "2"], log)
        self.assertTrue(5 <= stopped < last_step(undisturbed), stopped)
        for name in ("last", "best"):
            self.assert_same_checkpoint(undisturbed / f"checkpoints/{name}.safetensors", run / f"checkpoints/{name}.safetensors", ignore_config=True)
        self.assert_same_metrics(undisturbed, run)
        self.assert_no_leftovers(run)
        self.assertEqual([p.name for p in next(copies.iterdir()).iterdir()], ["prepared"])
        self.assertEqual((self.tmp / f"vmae-pretrain-{number}.out").read_text().count("log: run/slurm-"), 2)

    def test_rank_that_fails_ends_the_job(self):
        """Data that one of the tasks doesn't find: vmae's exit code, its message in the log, and the job does not come back."""
        make_pictures(self.tmp / "images", 8)
        wrapper = self.tmp / "vmae-of-rank"
        wrapper.write_text(f'#!/bin/sh\n[ "$SLURM_PROCID" = 0 ] || set -- "$@" data.train={self.tmp}/missing\nexec {VMAE} "$@"\n')
        wrapper.chmod(0o755)
        number = self.submit("pretrain.sbatch", *TINY, f"data.train={self.tmp}/images", "run.device=cpu", RUN_DIR="run", VMAE=wrapper)
        self.wait_end(number, "FAILED", 3)
        log = self.log_of(number)
        self.assertIn(f"rank 1 of 2 ({cluster.host})", log)
        self.assertIn(f"{self.tmp}/missing", log)
        self.assertEqual(log.count("vmae ended with exit code"), 1)

    def test_cancelled_job_is_saved_and_does_not_come_back(self):
        make_pictures(self.tmp / "images", 18)
        keys = [*TINY, f"data.train={self.tmp}/images", "run.device=cpu", "train.epochs=2000", "train.draw_every=0"]
        number = self.submit("pretrain.sbatch", *keys, RUN_DIR="run")
        self.wait_job(number, "some steps", lambda job: last_step(self.tmp / "run") >= 5)
        cluster.call("scancel", number)
        job = self.wait_job(number, "its end", lambda job: job["JobState"] in ENDED)
        self.assertEqual((job["JobState"], job["Restarts"]), ("CANCELLED", "0"))
        self.assert_no_orphans()
        self.assertIn("vmae ended with exit code 75", self.log_of(number))
        self.assertTrue((self.tmp / "run/checkpoints/last.safetensors").exists())

    def test_killed_rank_ends_the_job_and_a_new_job_goes_on(self):
        make_pictures(self.tmp / "images", 18)
        keys = [*TINY, "data.workers=1", f"data.train={self.tmp}/images", "run.device=cpu", "train.epochs=20", "train.draw_every=0"]
        number = self.submit("pretrain.sbatch", *keys, RUN_DIR="run")
        self.wait_job(number, "some steps", lambda job: last_step(self.tmp / "run") >= 5)
        os.kill(self.pid_of_rank(1), signal.SIGKILL)
        self.wait_end(number, "FAILED", 137)
        saved = checkpoint_step(self.tmp / "run")
        number = self.submit("pretrain.sbatch", *keys, RUN_DIR="run")
        self.wait_end(number, "COMPLETED", 0)
        self.assertIn(f"resumed at step {saved}, ", self.log_of(number))
        self.assertEqual(checkpoint_step(self.tmp / "run"), 100)

    def pid_of_rank(self, rank):
        return next(pid for pid in marked(self.mark) if variable(pid, "SLURM_PROCID") == str(rank) and Path(os.readlink(f"/proc/{pid}/exe")).name == "vmae")


class OtherScriptsTest(SlurmTest):
    def test_doctor(self):
        done = cluster.call("srun", "--ntasks=2", VMAE, "doctor", "--distributed", "--device", "cpu", env=self.env(), cwd=self.tmp)
        self.assertIn("2 rank(s), started by Slurm", done.stdout)
        self.assertEqual(re.findall(r"(?m)^rank (\d) +(\S+) +cpu ", done.stdout), [("0", cluster.host), ("1", cluster.host)], done.stdout)
        self.assertRegex(done.stdout, r"(?m)^ +106\.0 MiB .*GB/s")
        self.assertRegex(done.stdout, r"(?m)^all good$")
        self.assert_no_orphans()

    def test_torchrun_in_a_job(self):
        """One task per node, which starts the ranks: torchrun's variables count, not Slurm's."""
        command = ["srun", "--ntasks=1", SOURCE / "scripts/torchrun.sh", "--nproc-per-node", 2, "--", "doctor", "--distributed", "--device", "cpu"]
        done = cluster.call(*command, env=self.env(VMAE=VMAE), cwd=self.tmp)
        self.assertIn("2 rank(s), started by torchrun", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^all good$")
        self.assert_no_orphans()

    def test_finetune_and_eval(self):
        """Two tasks fine-tune a tiny model, two folds one after the other, requeued in the first; eval.sbatch evaluates their out-of-fold predictions."""
        make_segmentation(self.tmp / "data", 8)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=kfold", "split.folds=2")
        keys = [*SWIN, *TRAIN, "train.epochs=25", f"data.train={self.tmp}/data", f"data.splits={self.tmp}/splits.json", "data.classes=[a,b]",
                "run.device=cpu", "data.workers=1"]
        number = self.submit("finetune.sbatch", *keys, RUN_DIR="run", COMMAND="finetune-seg", FOLD="all")
        self.wait_job(number, "some steps", lambda job: last_step(self.tmp / "run/fold_0") >= 3)
        cluster.call("scancel", "--signal=USR1", f"{number}.0")
        self.wait_end(number, "COMPLETED", 0, restarts=1)
        self.assertEqual(re.findall(r"vmae ended with exit code (\d+)", (self.tmp / f"run/slurm-{number}.log").read_text()), ["75", "0"])
        self.assertEqual([checkpoint_step(self.tmp / f"run/fold_{fold}") for fold in (0, 1)], [25, 25])
        number = self.submit("eval.sbatch", "--run", "run", "--resamples", "20", options=["--cpus-per-task=1", "--mem=1000"], LOG=self.tmp / "eval.log")
        self.wait_end(number, "COMPLETED", 0)
        self.assertEqual(json.loads((self.tmp / "run/eval/summary.json").read_text())["cases"], 8)


if __name__ == "__main__":
    unittest.main()
