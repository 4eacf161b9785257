# SPDX-License-Identifier: Apache-2.0
"""ONNX files of fine-tuned models, run by onnxruntime, against `vmae forward` on the same images. VMAE names the executable."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

TESTS = Path(__file__).resolve().parents[1]
ROOT = Path(os.environ.get("VMAE_SOURCE_DIR", TESTS.parent))
VMAE = Path(os.environ.get("VMAE", ROOT / "build/release/bin/vmae"))
sys.path[:0] = [str(TESTS.parent / "scripts" / "python"), str(TESTS / "golden")]
from export_onnx import export_onnx  # noqa: E402
from golden import write_weights  # noqa: E402
from vmae_model import MODELS, load_model  # noqa: E402

TOLERANCE = 5e-5
SWIN = {"in_channels": 1, "embed_dim": 8, "depths": [2, 2, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 7}
# Sizes that windows of 7 and patches of 4 do not divide: padding, shifted windows with and without masks.
CASES = {
    "swin-unet": ("swin-unet", {**SWIN, "image_size": [66, 50]}),
    "swin-unet, conv stem": ("swin-unet", {**SWIN, "image_size": [64, 70], "in_channels": 3, "window_size": 4, "conv_stem": True}),
    "unet": ("unet", {"image_size": [50, 37], "in_channels": 1, "features": [4, 8, 16]}),
    "classifier, conv stem": ("swin-classifier", {**SWIN, "image_size": [61, 50], "conv_stem": True}),
    "classifier": ("swin-classifier", {**SWIN, "image_size": [64, 48], "shift_small_grids": False, "layer_norm_eps": 1e-5}),
}


def largest(a, b):
    return float(np.abs(a - b).max())


class OnnxTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vmae-onnx-")
        self.addCleanup(folder.cleanup)
        self.tmp = Path(folder.name)
        torch.manual_seed(3)
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")

    def weights(self, name, options, classes=3):
        """A model whose every number was drawn: nothing is at its initial 0 or 1."""
        model = MODELS[name](num_classes=classes, **options)
        with torch.no_grad():
            for p in model.parameters():
                p += 0.1 * torch.randn(p.shape)
        path = self.tmp / "weights.safetensors"
        meta = {"model": name, "model_options": json.dumps(options), "class_names": json.dumps(["a", "b", "c"][:classes]), "pool": "mean",
                "image_options": json.dumps({"mean": [0.2], "std": [0.3]})}
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, meta)
        return path

    def ours(self, name, weights, image):
        save_file({"image": image}, self.tmp / "in.safetensors")
        subprocess.run([VMAE, "forward", "--model", name, "--weights", weights, "--input", self.tmp / "in.safetensors", "--output", self.tmp / "out.safetensors"], check=True,
                       capture_output=True)
        return load_file(self.tmp / "out.safetensors")["logits"].numpy()

    def test_the_same_numbers_as_ours(self):
        import onnxruntime
        for case, (name, options) in CASES.items():
            with self.subTest(case):
                weights = self.weights(name, options)
                export_onnx(weights, self.tmp / "model.onnx")
                session = onnxruntime.InferenceSession(str(self.tmp / "model.onnx"), providers=["CPUExecutionProvider"])
                self.assertEqual(session.get_inputs()[0].shape, ["batch", options["in_channels"], *options["image_size"]])
                for batch in (1, 2, 5):
                    image = torch.randn(batch, options["in_channels"], *options["image_size"])
                    logits = session.run(None, {"image": image.numpy()})[0]
                    ours = self.ours(name, weights, image)
                    self.assertEqual(logits.shape, ours.shape)
                    self.assertGreater(ours.std(), 0.01)
                    self.assertLess(largest(logits, ours), TOLERANCE * max(1, np.abs(ours).max()), batch)

    def test_python_goes_on_after_an_export(self):
        """The export leaves nothing of its own in what the layers keep."""
        weights = self.weights(*CASES["classifier"])
        image, model = torch.randn(1, 1, 64, 48), load_model(weights)
        with torch.no_grad():
            before = model(image).numpy()
            export_onnx(weights, self.tmp / "model.onnx")
            np.testing.assert_array_equal(model(image).numpy(), before)

    def test_metadata_and_command(self):
        weights = self.weights(*CASES["unet"])
        done = subprocess.run([sys.executable, TESTS.parent / "scripts/python/export_onnx.py", weights, self.tmp / "model.onnx"], check=True, capture_output=True, text=True)
        self.assertIn("-> logits of a, b, c", done.stdout)
        import onnx
        props = {p.key: p.value for p in onnx.load(self.tmp / "model.onnx").metadata_props}
        with safe_open(weights, "pt") as file:
            meta = file.metadata()
        self.assertEqual(props, {"model": "unet", **{k: meta[k] for k in ("class_names", "pool", "image_options")}})
        self.assertEqual([p.name for p in self.tmp.glob("*.onnx*")], ["model.onnx"])

    def test_a_masked_autoencoder_is_refused(self):
        with self.assertRaisesRegex(ValueError, "fine-tune"):
            export_onnx(write_weights("mae_tiny", self.tmp), self.tmp / "model.onnx")
        self.assertFalse((self.tmp / "model.onnx").exists())


if __name__ == "__main__":
    unittest.main()
