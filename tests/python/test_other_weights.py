# SPDX-License-Identifier: Apache-2.0
"""Weights of other Swin Transformers through `vmae forward`: Swin-T of timm and torchvision, and the same in Microsoft's and transformers' naming, with random weights.

VMAE names the executable (default: build/release/bin/vmae)."""
import sys
import unittest
from pathlib import Path

import timm
import torch
import torchvision

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent / "scripts" / "python"), str(TESTS / "golden"), str(TESTS / "e2e")]
from harness import VmaeTest, read_arrays, write_safetensors  # noqa: E402
from make_pth import save_safetensors  # noqa: E402
from make_swin_weights import CLASSES, HEADS, OTHER_SIZE, WINDOW, from_timm, image as small_image, perturb, to_microsoft, to_torchvision, to_transformers  # noqa: E402
from vmae_model import SwinClassifier, read_weights  # noqa: E402

torch.set_num_threads(1)  # beside other tests
TOLERANCE = 2e-5
SWIN = TESTS / "golden" / "swin"


def largest(x):
    return x.abs().max().item()


def timm_to_vmae(weights):
    return from_timm(weights, 7)


def run(model, image):
    with torch.no_grad():
        return model(image)


class OtherWeights(VmaeTest):
    def forward(self, weights, image):
        write_safetensors(self.tmp / "in.safetensors", {"image": image.numpy()})
        self.vmae("forward", "--model", "swin-classifier", "--weights", weights, "--input", "in.safetensors", "--output", "out.safetensors")
        return torch.from_numpy(read_arrays(self.tmp / "out.safetensors")["logits"].copy())

    def save(self, weights, name):
        path = self.tmp / name
        if path.suffix == ".safetensors":
            save_safetensors(weights, path, {"format": "pt"})
        else:
            torch.save(weights, path)
        return path

    def check(self, weights, image, expected):
        """vmae computes what the weights' own implementation does, and so neither shifts one window nor uses another epsilon."""
        self.assertLess(largest(self.forward(weights, image) - expected), TOLERANCE * max(1, largest(expected)), weights.name)

    def test_swin_t(self):
        torch.manual_seed(0)
        image = torch.randn(2, 3, 224, 224)
        makers = {"timm": lambda: timm.create_model("swin_tiny_patch4_window7_224", pretrained=False), "torchvision": torchvision.models.swin_t}
        for seed, (name, make) in enumerate(makers.items()):
            model = perturb(make(), seed)
            expected = run(model, image)
            self.assertEqual(expected.shape, (2, 1000))
            self.assertGreater(largest(expected), 0.1)
            for ending in ("pth", "safetensors"):
                with self.subTest(f"{name}.{ending}"):
                    self.check(self.save(model.state_dict(), f"{name}.{ending}"), image, expected)
            if name == "timm":
                with self.subTest("microsoft.pth"):
                    microsoft = to_microsoft(timm_to_vmae(model.state_dict()), 224, 7)
                    self.assertIn("layers.0.blocks.1.attn_mask", microsoft)
                    self.check(self.save({"model": microsoft}, "microsoft.pth"), image, expected)
                with self.subTest("transformers.safetensors"):
                    self.check(self.save(to_transformers(timm_to_vmae(model.state_dict())), "transformers.safetensors"), image, expected)

    def test_small_files(self):
        """The files that the unit tests read."""
        io = read_weights(SWIN / "io.safetensors")[0]
        for name in ("microsoft.pth", "timm.safetensors", "torchvision.pth", "transformers.safetensors"):
            with self.subTest(name):
                self.check(SWIN / name, small_image(), io["logits"])
                self.check(SWIN / name, small_image(OTHER_SIZE), io["logits_other_size"])


class OtherNames(unittest.TestCase):
    """The renaming above, against the implementations and our own model in Python."""

    def ours(self, **options):
        return SwinClassifier(shift_small_grids=False, layer_norm_eps=1e-5, **options).eval()

    def test_swin_t(self):
        torch.manual_seed(0)
        image, model, other = torch.randn(1, 3, 224, 224), timm.create_model("swin_tiny_patch4_window7_224", pretrained=False), torchvision.models.swin_t().eval()
        renamed = timm_to_vmae(perturb(model, 0).state_dict())
        ours = self.ours(num_classes=1000)
        ours.load_state_dict(renamed)
        other.load_state_dict(to_torchvision(renamed))
        expected = run(model, image)
        for same in (ours, other):
            self.assertLess(largest(run(same, image) - expected), TOLERANCE * max(1, largest(expected)))

    def test_small_files(self):
        io, expected = (read_weights(SWIN / f"{name}.safetensors")[0] for name in ("io", "expected"))
        options = {"embed_dim": 4, "num_heads": HEADS, "window_size": WINDOW, "mlp_ratio": 1, "num_classes": CLASSES}
        model = self.ours(**options)
        model.load_state_dict(expected)
        self.assertLess(largest(run(model, small_image()) - io["logits"]), TOLERANCE)
        for wrong in ({"shift_small_grids": True}, {"layer_norm_eps": 1e-6}):  # these would be noticed
            other = SwinClassifier(**{"shift_small_grids": False, "layer_norm_eps": 1e-5, **options, **wrong}).eval()
            other.load_state_dict(expected)
            self.assertGreater(largest(run(other, small_image()) - io["logits"]), 10 * TOLERANCE, wrong)
        as_timm, as_torchvision, as_microsoft, as_transformers = (
            read_weights(SWIN / name)[0] for name in ("timm.safetensors", "torchvision.pth", "microsoft.pth", "transformers.safetensors"))
        for weights, same in ((from_timm(as_timm, WINDOW), expected), (as_torchvision, to_torchvision(expected)), (as_microsoft, to_microsoft(expected, 128, WINDOW)),
                              (as_transformers, to_transformers(expected))):
            self.assertEqual(set(weights), set(same))
            self.assertTrue(all(torch.equal(v, same[k]) for k, v in weights.items()))


if __name__ == "__main__":
    unittest.main()
