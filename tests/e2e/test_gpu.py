# SPDX-License-Identifier: Apache-2.0
"""Training on GPUs, skipped where there are none: `scripts/test --gpu` runs this."""
import ctypes
import subprocess

from finetuning import last, make_segmentation
from harness import TINY, VMAE, checkpoint_step, make_pictures, metrics
from ranks import RanksTest
from test_nnunet import NNUNET, small_plan
from test_segmenters import SWIN_UNET, TRAIN, TRANSUNET, UNET


def count_gpus():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver: `vmae doctor` need not load the libraries of CUDA
        return 0
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

    def test_contrast_is_that_of_the_cpu(self):
        runs = (self.run_on(device, device, "model.name=simclr", "model.projection_dim=16") for device in ("cuda", "cpu"))
        self.assert_close(*runs, 1e-2)

    def test_every_segmenter_trains_as_on_the_cpu_and_alike_every_time(self):
        make_segmentation(self.tmp / "data", 10)
        for name, network in {"swin-unet": SWIN_UNET, "unet": UNET, "transunet": TRANSUNET, "nnunet": [*NNUNET, small_plan(self.vmae, "data", self.tmp)]}.items():
            with self.subTest(name):
                losses = {}
                for run, device in ((f"{name}-cpu", "cpu"), (f"{name}-gpu", "cuda"), (f"{name}-again", "cuda")):
                    self.vmae("finetune-seg", *network, *TRAIN, "data.train=data", f"run.dir={run}", f"run.device={device}", "train.precision=fp32", "train.draw_every=0")
                    losses[run] = [line["loss"] for line in metrics(self.tmp / run, "train")]
                self.assert_close(losses[f"{name}-gpu"], losses[f"{name}-cpu"], 1e-2)
                self.assert_same_checkpoint(*(last(self.tmp / f"{name}-{run}") for run in ("gpu", "again")), ignore_config=True)
                self.vmae("predict", "--weights", f"{name}-gpu", "--input", "data/images", "--output", f"{name}-out", "--device", "cuda")

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
