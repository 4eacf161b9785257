# SPDX-License-Identifier: Apache-2.0
"""Pretraining on a GPU: as on the CPU, in every precision; accumulated, recorded, deterministic; stopped, killed and resumed."""
import signal
import unittest

from gpu_harness import DEVICE, NO_TF32, SWIN, TRAIN, GpuTest, make_images, num_gpus


class Pretraining(GpuTest):
    def setUp(self):
        super().setUp()
        make_images(self.tmp / "images")

    def test_losses_are_those_of_the_cpu(self):
        expected = self.pretrain("cpu", device="cpu")
        for name, precision, tolerance, variables in (("fp32", "fp32", 1e-3, NO_TF32), ("tf32", "fp32", 1e-2, {}), ("bf16", "bf16", 3e-2, {})):
            with self.subTest(name):
                self.assert_close(self.pretrain(name, f"train.precision={precision}", variables=variables), expected, tolerance)

    def test_halves_train(self):
        self.only_on_cuda()
        expected = self.pretrain("cpu", device="cpu", epochs=10)
        losses = self.pretrain("fp16", "train.precision=fp16", epochs=10)  # its first steps may be skipped, until the scale of the loss has come down
        self.assert_close(losses[:1], expected[:1], 1e-2)
        self.assertLess(sum(losses[-3:]), 1.1 * sum(expected[-3:]))

    def test_contrast_is_that_of_the_cpu(self):
        simclr = ["model.name=simclr", "model.projection_dim=16"]
        self.assert_close(self.pretrain("here", *simclr, variables=NO_TF32), self.pretrain("cpu", *simclr, device="cpu"), 5e-3)

    def test_accumulation_is_the_whole_batch(self):
        self.assert_close(self.pretrain("parts", "train.micro_batch=2", variables=NO_TF32), self.pretrain("whole", variables=NO_TF32), 1e-3)

    def test_the_same_bits_every_time(self):
        for precision in ("fp32", "bf16"):
            for run in ("a", "b"):
                self.pretrain(f"{precision}-{run}", f"train.precision={precision}")
            self.assert_same_weights(f"{precision}-a", f"{precision}-b")

    def test_without_determinism_it_trains_alike(self):
        self.assert_close(self.pretrain("free", "run.deterministic=false"), self.pretrain("fixed"), 1e-2)

    def test_a_replayed_graph_trains_as_the_loop_does(self):
        self.only_on_cuda()
        averaged = "optim.ema_decay=0.9"
        self.assert_close(self.pretrain("graph", averaged, "train.cuda_graph=true"), self.pretrain("loop", averaged), 1e-3)
        self.assert_close(self.pretrain("graph16", "train.precision=bf16", "train.cuda_graph=true"), self.pretrain("loop16", "train.precision=bf16"), 1e-2)
        # 24 images in batches of 10: the epoch is rounded up
        self.assertEqual(len(self.pretrain("rounded", "train.batch_size=10", "train.cuda_graph=true")), 6)

    def test_a_killed_run_continues_bit_for_bit(self):
        self.pretrain("whole", epochs=40)
        self.killed_and_resumed("parts")
        self.assert_same_weights("whole", "parts")
        self.assertEqual(self.losses("parts"), self.losses("whole"))

    def test_a_killed_run_with_a_graph_continues(self):
        self.only_on_cuda()
        self.pretrain("whole", "train.cuda_graph=true", epochs=40)
        self.killed_and_resumed("parts", "train.cuda_graph=true")
        self.assert_close(self.losses("parts"), self.losses("whole"), 1e-2)

    def test_a_checkpoint_of_the_cpu_goes_on_here(self):
        for run, device in (("cpu", "cpu"), ("here", DEVICE)):
            self.pretrain(run, "train.max_steps=6", device="cpu", epochs=4)
            self.pretrain(run, "--resume", device=device, epochs=4, variables=NO_TF32)
        self.assertEqual(len(self.losses("here")), 12)
        self.assert_close(self.losses("here"), self.losses("cpu"), 5e-3)

    def test_a_signal_stops_it_with_a_checkpoint(self):
        arguments = ["pretrain", *SWIN, *TRAIN, "data.train=images", "run.dir=run", f"run.device={DEVICE}", "train.epochs=2000"]
        process = self.start(*arguments)
        code = self.stop_when(lambda: self.last("run").exists(), process, signal.SIGTERM)
        self.assertEqual(code, 75, (self.tmp / "log.txt").read_text()[-2000:])
        steps = len(self.losses("run"))
        self.vmae(*arguments, f"train.max_steps={steps + 10}", "--resume")
        self.assertEqual(len(self.losses("run")), steps + 10)

    def test_memory_that_runs_out_is_said(self):
        self.only_on_cuda()
        said = self.vmae("bench", "--device", "cuda", "--batch", 4_000_000, "--steps", 1, expect=1)
        self.assertIn("out of memory on the device", said)
        self.assertIn("train.micro_batch", said)
        self.assertNotIn("internal error", said)

    def test_metrics_have_the_memory(self):
        self.only_on_cuda()
        self.pretrain("run")
        for line in self.lines("run"):
            if line["kind"] == "train":
                self.assertGreater(line["gpu_memory_mb"], 1)
                self.assertTrue(0 < line["gpu_memory_share"] < 1)

    def test_the_loader_keeps_up(self):
        """Said, not judged: how long steps waited for images."""
        self.pretrain("run", epochs=20)
        lines = [line for line in self.lines("run") if line["kind"] == "train"][3:]
        waited, took = sum(line["data_wait_s"] for line in lines), sum(8 / line["images_per_s"] for line in lines)
        print(f"\nwaiting for images: {waited:.3f} of {took:.3f} s", flush=True)

    def test_more_ranks_than_gpus_are_named(self):
        self.only_on_cuda()
        said = self.vmae("pretrain", *SWIN, *TRAIN, "data.train=images", "run.dir=run", "run.device=cuda", f"train.batch_size={8 * (num_gpus() + 1)}",
                         "--nproc-per-node", num_gpus() + 1, expect=2)
        self.assertIn("would train on one and the same GPU", said)


if __name__ == "__main__":
    unittest.main()
