# SPDX-License-Identifier: Apache-2.0
"""As many ranks as there are GPUs, over NCCL (on the CPU two, over Gloo)."""
import unittest

from gpu_harness import IS_CUDA, GpuTest, make_images, num_gpus

RANKS = num_gpus() if IS_CUDA else 2


class Ranks(GpuTest):
    def setUp(self):
        super().setUp()
        if RANKS < 2:
            self.skipTest("one GPU (one rank over NCCL: vmae_tests)")
        make_images(self.tmp / "images")

    def on_all(self, run, *more):
        return self.pretrain(run, f"train.batch_size={8 * RANKS}", *more, "--nproc-per-node", RANKS)

    def test_they_follow_the_curve_of_one(self):
        alone = self.pretrain("one", f"train.batch_size={8 * RANKS}")
        self.assert_close(self.on_all("all"), alone, 1e-2)
        self.assert_close(self.on_all("accumulated", "train.micro_batch=4"), alone, 1e-2)
        self.assert_close(self.on_all("compressed", "train.gradient_compression=bf16"), alone, 3e-2)

    def test_the_same_bits_every_time(self):
        for run in ("a", "b"):
            self.on_all(run)
        self.assert_same_weights("a", "b")

    def test_doctor_sums_over_all(self):
        self.assertIn("all good", self.vmae("doctor", "--distributed", "--nproc-per-node", RANKS))


if __name__ == "__main__":
    unittest.main()
