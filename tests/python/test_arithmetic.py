# SPDX-License-Identifier: Apache-2.0
"""How much arithmetic `vmae bench` counts in a step, against torch.utils.flop_counter and the Python model."""
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[2]
VMAE = Path(os.environ.get("VMAE", ROOT / "build/release/bin/vmae"))
sys.path.insert(0, str(ROOT / "scripts/python"))
from vmae_model import SwinClassifier, SwinMAE  # noqa: E402


class Arithmetic(unittest.TestCase):
    def test_a_step(self):
        for name, model in (("mae", SwinMAE(image_size=(224, 224))), ("swin-classifier", SwinClassifier(num_classes=5, image_size=(224, 224)))):
            with FlopCounterMode(display=False) as expected:
                output = model.train()(torch.randn(1, 3, 224, 224))
                (output[0] if name == "mae" else output.sum()).backward()
            for precision in ("fp32", "bf16"):
                command = [VMAE, "bench", "--model", name, "--precision", precision, "--batch", "1", "--steps", "1", "--warmup", "0", "--device", "cpu"]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                counted, flops = json.loads(done.stdout)["flop_per_image"], expected.get_total_flops()
                self.assertAlmostEqual(counted, flops, delta=1e-5 * flops, msg=f"{name}, {precision}")  # torch::nn::Linear, the classifier's head, calls addmm by name: twice under autocast


if __name__ == "__main__":
    unittest.main()
