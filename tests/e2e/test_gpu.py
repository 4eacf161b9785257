# SPDX-License-Identifier: Apache-2.0
"""Training on GPUs, skipped where there are none: `scripts/test --gpu` runs this."""
import subprocess

from harness import TINY, VMAE, checkpoint_step, make_pictures, metrics
from ranks import RanksTest


def count_gpus():
    done = subprocess.run([str(VMAE), "doctor"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


GPUS = count_gpus()


class GpuTest(RanksTest):
    def setUp(self):
        if GPUS == 0:
            self.skipTest("vmae doctor shows no GPU")
        super().setUp()
        make_pictures(self.tmp / "images", 30)

    def run_on(self, device, run, *extra, ranks=1):
        arguments = ["pretrain", *TINY, "data.train=images", f"run.dir={run}", f"run.device={device}", "train.batch_size=8", *extra]
        self.train(ranks, *arguments)
        return [line["loss"] for line in metrics(self.tmp / run, "train")]

    def assert_close(self, a, b, relative):
        self.assertEqual(len(a), len(b))
        for x, y in zip(a, b):
            self.assertAlmostEqual(x, y, delta=relative * abs(y))

    def test_losses_are_those_of_the_cpu(self):
        self.assert_close(self.run_on("cuda", "gpu"), self.run_on("cpu", "cpu"), 1e-2)

    def test_a_killed_run_continues_bit_for_bit(self):
        self.run_on("cuda", "whole", "train.epochs=40")
        arguments = ["pretrain", *TINY, "data.train=images", "run.dir=parts", "run.device=cuda", "train.batch_size=8", "train.epochs=40", "train.save_every_steps=5"]
        process = self.start(*arguments)
        last = self.tmp / "parts/checkpoints/last.safetensors"
        self.wait_for(lambda: last.exists() and checkpoint_step(self.tmp / "parts") >= 20, process, "a checkpoint")
        self.end(process)
        self.vmae(*arguments, "--resume")
        self.assert_same_checkpoint(self.tmp / "whole/checkpoints/last.safetensors", last, ignore_config=True)

    def test_a_replayed_graph_trains_as_the_loop_does(self):
        averaged = "optim.ema_decay=0.9"
        self.assert_close(self.run_on("cuda", "graph", "train.cuda_graph=true", averaged), self.run_on("cuda", "eager", averaged), 1e-3)
        graph, eager = ([line["loss"] for line in metrics(self.tmp / run, "val")] for run in ("graph", "eager"))
        self.assert_close(graph, eager, 1e-3)

    def test_two_ranks_follow_the_curve_of_one(self):
        if GPUS < 2:
            self.skipTest("one GPU")
        self.assert_close(self.run_on("cuda", "two", ranks=2), self.run_on("cuda", "one"), 1e-2)

    def test_doctor_sums_over_all_gpus(self):
        if GPUS < 2:
            self.skipTest("one GPU")
        done = self.vmae("doctor", "--distributed", "--nproc-per-node", GPUS)
        self.assertIn("NCCL", done.stdout)
        self.assertIn("all good", done.stdout)
