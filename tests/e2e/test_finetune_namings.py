# SPDX-License-Identifier: Apache-2.0
"""ImageNet and RadImageNet Swins as their programs name and wrap them, in finetune-cls and finetune-seg: what the log says, that all of it arrived, and that the
encoder of the run computes of a picture what timm did (tests/golden/make_swin_weights.py)."""
import json
import re
import sys
import types
import unittest

import numpy as np
import torch
from PIL import Image

from finetuning import FinetuneTest, last, make_class_manifest, make_segmentation, metadata
from harness import GOLDEN, read_arrays, weights_of

sys.path.insert(0, str(GOLDEN))
from make_swin_weights import MEAN, STD, picture, to_transformers  # noqa: E402

SWIN = GOLDEN / "swin"
UNTRAINED = ["optim.lr=0", "optim.weight_decay=0", "optim.warmup_epochs=0", "train.max_steps=1", "train.batch_size=2", "train.precision=fp32", "data.val_fraction=0",
             "data.workers=1", "run.threads=1", "model.image_size=[128,128]", f"data.mean={list(MEAN)}", f"data.std={list(STD)}"]
TOLERANCE = 1e-5


def state_of(name):
    """The tensors of a file in tests/golden/swin."""
    return {k: torch.tensor(v) for k, v in weights_of(SWIN / name).items()}


def microsoft():
    return torch.load(SWIN / "microsoft.pth", weights_only=True)["model"]


def in_memory():
    """What transformers 5 has in memory, as torch.save() of a state_dict writes it."""
    return to_transformers(state_of("expected.safetensors"), in_memory=True)


class CfgNode(dict):
    """As yacs has it, whose configs Microsoft's training stores beside the weights: a dict with attributes."""


def save_training_checkpoint(path):
    """What Microsoft's training program writes, which RadImageNet's Swin was trained with; from a model in DistributedDataParallel."""
    yacs = types.ModuleType("yacs.config")
    yacs.CfgNode = CfgNode
    CfgNode.__module__ = "yacs.config"
    sys.modules.update({"yacs": types.ModuleType("yacs"), "yacs.config": yacs})
    config = CfgNode(MODEL=CfgNode(TYPE="swin", DROP_PATH_RATE=0.2), AUG=CfgNode(AUTO_AUGMENT="rand-m9"))
    config.__dict__["__immutable__"] = True
    weights = {"module." + k: v for k, v in microsoft().items()}
    torch.save({"model": weights, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
                "lr_scheduler": {"base_values": [1e-3]}, "max_accuracy": 76.2, "epoch": 274, "config": config}, path)


class NamingsTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_class_manifest(self.tmp / "cls", (2, 1, 1, 1, 1), names=("a", "b", "c", "d", "e"))
        make_segmentation(self.tmp / "seg", 2, channels=3)
        Image.fromarray(picture().numpy()).save(self.tmp / "picture.png")
        self.io = read_arrays(SWIN / "io.safetensors")
        self.expected = weights_of(SWIN / "expected.safetensors")

    def begin(self, command, init, *more, **kw):
        data = {"finetune-cls": "cls/list.csv", "finetune-seg": "seg"}[command]
        return self.vmae(command, f"data.train={data}", f"model.init={init}", "run.dir=run", "--overwrite", *UNTRAINED, *more, **kw).stderr

    def check_encoder(self, features, tolerance=TOLERANCE):
        self.vmae("features", "--weights", "run", "--input", "picture.png", "--output", "f.safetensors", "--overwrite", "--precision", "fp32")
        found = read_arrays(self.tmp / "f.safetensors")["features"]
        difference = np.abs(found - self.io[features]).max()
        self.assertLess(difference, tolerance)
        return difference

    def check_weights(self, prefixes):
        """Bit for bit those of the file; and what the run says of how its network is computed."""
        found = weights_of(last(self.tmp / "run"))
        keys = [k for k in self.expected if k.startswith(prefixes)]
        for key in keys:
            np.testing.assert_array_equal(found[key], self.expected[key], key)
        options = json.loads(metadata(last(self.tmp / "run"))["model_options"])
        self.assertEqual([options[k] for k in ("shift_small_grids", "layer_norm_eps", "in_channels", "embed_dim", "num_heads", "window_size", "mlp_ratio")],
                         [False, 1e-5, 3, 4, [1, 2, 2, 4], 4, 1])

    def check(self, init, program):
        with self.subTest(init.name, program=program):
            log = self.begin("finetune-cls", init)
            self.assertRegex(log, rf"\(names of {program}; encoder\): \d+ loaded, ")
            self.assertNotRegex(log, r"(new \(random\)|dropped \(not used\)): (?!none but what the model computes itself\n)")
            self.assertNotIn("warning", log)
            self.check_weights(("patch_embed.", "layers.", "norm.", "head."))
            self.check_encoder("features")

            log = self.begin("finetune-seg", init)
            self.assertRegex(log, rf"\(names of {program}; encoder\): \d+ loaded, ")
            [new] = re.findall(r"new \(random\): (.*)", log)
            self.assertNotRegex(new, r"(^|, )(layers\.|patch_embed)")
            self.assertRegex(log, r"dropped \(not used\): (norm \(2\), head \(2\)|head \(2\), norm \(2\))\n")
            self.check_weights(("patch_embed.", "layers."))
            self.check_encoder("features_plain_norm")

    def save(self, weights, name):
        torch.save(weights, self.tmp / name)
        return self.tmp / name

    def test_microsoft(self):
        self.check(SWIN / "microsoft.pth", "Microsoft Swin")

    def test_radimagenet(self):
        save_training_checkpoint(self.tmp / "ckpt_epoch_274.pth")
        self.check(self.tmp / "ckpt_epoch_274.pth", "Microsoft Swin")
        self.check(self.save({"state_dict": {"backbone." + k: v for k, v in microsoft().items()}}, "rin_swintf.pth"), "Microsoft Swin")

    def test_timm(self):
        self.check(SWIN / "timm.safetensors", "timm")
        self.check(self.save(state_of("timm.safetensors"), "pytorch_model.bin"), "timm")

    def test_torchvision(self):
        self.check(SWIN / "torchvision.pth", "torchvision")

    def test_transformers(self):
        self.check(SWIN / "transformers.safetensors", "Hugging Face transformers")
        self.check(self.save(in_memory(), "state_dict.pth"), "Hugging Face transformers")

    def test_transformers_without_a_head(self):
        """SwinModel, which has neither the name in front nor a classifier."""
        weights = {k.removeprefix("swin."): v for k, v in state_of("transformers.safetensors").items() if not k.startswith("classifier.")}
        log = self.begin("finetune-cls", self.save(weights, "model.pth"))
        self.assertIn("new (random): head (2)\n", log)
        self.check_weights(("patch_embed.", "layers.", "norm."))
        self.check_encoder("features")

    def test_other_classes(self):
        """ImageNet's and RadImageNet's heads have other classes than the data: they stay behind, and are named."""
        weights = {**microsoft(), "head.weight": torch.ones(165, 32), "head.bias": torch.ones(165)}
        log = self.begin("finetune-cls", self.save({"model": weights}, "rin.pth"))
        self.assertIn("encoder): 183 loaded, 2 new, 7 dropped\n  new (random): head (2)\n  dropped (not used): head (2)\n", log)
        self.check_encoder("features")

    def test_names_that_tell_nothing(self):
        """Microsoft's without attn_mask are also ours: a warning, until the config says what they are. Taken for ours they compute something else."""
        path = self.save({k: v for k, v in microsoft().items() if not k.endswith("attn_mask")}, "no_masks.pth")
        log = self.begin("finetune-cls", path)
        self.assertIn("don't tell whether it is of VISION-MAE or of an ImageNet Swin", log)
        self.assertGreater(self.check_encoder("features", tolerance=1), 10 * TOLERANCE)
        log = self.begin("finetune-cls", path, "model.shift_small_grids=false", "model.layer_norm_eps=1e-5")
        self.assertNotIn("VISION-MAE or of", log)
        self.assertNotIn("were trained with", log)
        self.check_encoder("features")

    def test_a_config_that_says_otherwise(self):
        log = self.begin("finetune-cls", SWIN / "transformers.safetensors", "model.layer_norm_eps=1e-6")
        self.assertIn("were trained with false and 1e-5: the network computes something else than they learnt", log)
        self.assertGreater(self.check_encoder("features", tolerance=1), 10 * TOLERANCE)

    def test_what_is_no_swin_of_the_first_version(self):
        """Swin V2 has names alike, and is another function; and files that lack a part are not loaded without it."""
        second = {k: v for k, v in microsoft().items() if not k.endswith("relative_position_bias_table")}
        second |= {f"layers.{s}.blocks.0.attn.logit_scale": torch.ones(1, 1, 1) for s in range(4)}
        error = self.begin("finetune-cls", self.save({"model": second}, "v2.pth"), expect=4)
        self.assertIn("not the weights of a Swin encoder", error)
        detection = {k.replace("attn.", "attn.w_msa.").replace("patch_embed.proj", "patch_embed.projection"): v for k, v in microsoft().items()}
        error = self.begin("finetune-cls", self.save({"state_dict": {"backbone." + k: v for k, v in detection.items()}}, "detection.pth"), expect=4)
        self.assertIn("not the weights of a Swin encoder", error)
        halved = {k: v for k, v in state_of("transformers.safetensors").items() if "layers.1.blocks.0.attention.self.key.bias" not in k}
        error = self.begin("finetune-cls", self.save(halved, "halved.pth"), expect=4)
        self.assertIn("layers.1.blocks.0.attn.qkv.bias", error)
        positions = {**state_of("transformers.safetensors"), "swin.embeddings.position_embeddings": torch.ones(1, 1024, 4)}
        error = self.begin("finetune-cls", self.save(positions, "positions.pth"), expect=4)
        self.assertIn("only in the file: embeddings.position_embeddings", error)


if __name__ == "__main__":
    unittest.main()
