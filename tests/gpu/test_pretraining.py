# SPDX-License-Identifier: Apache-2.0
"""Pretraining on a GPU: as on the CPU, in every precision; accumulated; memory and images."""
import unittest

from gpu_harness import NO_TF32, SWIN, TRAIN, GpuTest, make_images, num_gpus


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

    def test_memory_that_runs_out_is_said(self):
        self.only_on_cuda()
        said = self.vmae("bench", "--device", "cuda", "--batch", 4_000_000, "--steps", 1, expect=1, variables={"PYTORCH_ALLOC_CONF": "expandable_segments:False"})  # which would take all memory for a moment
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
                self.assertTrue(0 < line.get("peak_share", 0.5) < 1)  # of a card that is known

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
