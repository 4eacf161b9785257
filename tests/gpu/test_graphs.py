# SPDX-License-Identifier: Apache-2.0
"""Steps that are recorded as a CUDA graph, and runs that are alike bit for bit."""
import unittest

from gpu_harness import GpuTest, make_images


class Graphs(GpuTest):
    def setUp(self):
        super().setUp()
        make_images(self.tmp / "images")

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


if __name__ == "__main__":
    unittest.main()
