# SPDX-License-Identifier: Apache-2.0
"""Pretraining on a GPU that is killed, stopped, and begun on a CPU, resumed."""
import signal
import unittest

from gpu_harness import DEVICE, NO_TF32, SWIN, TRAIN, GpuTest, make_images


class Resume(GpuTest):
    def setUp(self):
        super().setUp()
        make_images(self.tmp / "images")

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


if __name__ == "__main__":
    unittest.main()
