# SPDX-License-Identifier: Apache-2.0
"""Pretrained weights into segmenters and classifiers: which keys move, which are counted as new and dropped, what is frozen, and which learning rate each has."""
import json
import re
import unittest
from collections import OrderedDict

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from finetuning import NO_AUGMENTATION, FinetuneTest, best, class_picture, last, make_class_manifest, make_segmentation, metadata, trained
from harness import tiny_pth, weights_of, write_safetensors

UNTRAINED = ["optim.lr=0", "optim.weight_decay=0", "train.max_steps=1", "data.val_fraction=0"]  # the last checkpoint holds the weights that the run began with
DECODER = ("first_patch_expanding.", "layers_up.", "norm_up.")
AUTOENCODER = ("pos_embed", "mask_token", "decoder_pred.weight", "decoder_pred.bias")


class TransferBase(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 6)
        make_class_manifest(self.tmp / "cls", (4, 4, 4))

    def begin(self, command, *more, init=None, **kw):
        """-> what the log says of the transfer, initial weights, weights of the file."""
        init = trained("mae") if init is None else init
        run = self.seg if command == "seg" else self.cls
        done = run("--overwrite", *UNTRAINED, f"model.init={init}", *more, **({"data": "cls/list.csv"} if command == "cls" else {}), **kw)
        if kw.get("expect", 0):
            return done.stderr
        return done.stderr, weights_of(last(self.tmp / "run"))

    def check_counts(self, log, weights, source, with_decoder):
        """Counts, by keys and shapes, of what is in both; and that it was moved bit for bit, and nothing else was."""
        wanted = {k for k, v in source.items() if k in weights and weights[k].shape == v.shape and k not in AUTOENCODER and not k.startswith("head.")}
        if not with_decoder:
            wanted = {k for k in wanted if not k.startswith(DECODER)}
        moved = {k for k in wanted if np.array_equal(weights[k], source[k])}
        self.assertEqual(moved, wanted)
        counts = [int(n) for n in re.search(r"(\d+) loaded, (\d+) new, (\d+) dropped", log).groups()]
        self.assertEqual(counts, [len(wanted), len(weights) - len(wanted), len(source) - len(wanted)])
        trainable = {k for k in set(source) & set(weights) - wanted if weights[k].ndim > 1 and not k.endswith("index")}
        self.assertEqual({k for k in trainable if np.array_equal(weights[k], source[k])}, set(), "these are random, not the file's")
        return counts


class PreparationTest(TransferBase):
    def test_images_prepared_otherwise_than_for_the_weights(self):
        """Both values are named; alike, nothing is said. Weights of older versions say it in their config."""
        log, _ = self.begin("seg", "data.intensity=minmax", "data.mean=[0.5]")
        self.assertIn("images are prepared otherwise than for the weights of", log)
        for words in ("data.intensity = minmax (the weights: auto)", "data.mean = [0.5] (the weights: [0.223])"):
            self.assertIn(words, log)
        self.assertNotIn("data.resize", log)
        self.assertNotIn("prepared otherwise", self.begin("seg")[0])
        old = {k: v for k, v in metadata(last(trained("mae"))).items() if k != "image_options"}
        write_safetensors(self.tmp / "old.safetensors", weights_of(last(trained("mae"))), old)
        log, _ = self.begin("cls", "data.resize=pad", init="old.safetensors")
        self.assertIn("data.resize = pad (the weights: stretch)", log)


class WrapperTest(TransferBase):
    """Weights of the program that trained them: whatever it put before the names, in a .pth and in a .safetensors, nested as Lightning does or not."""
    PREFIXES = ["", "module.", "_orig_mod.", "model.", "net.", "encoder.", "backbone.", "state_dict.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod.",
                "model.module.", "swin_unet.", "_forward_module.module.model."]

    def setUp(self):
        super().setUp()
        self.weights = {k: torch.tensor(v) for k, v in weights_of(last(trained("mae"))).items()}

    def save(self, weights, name, nested=False):
        path = self.tmp / name
        if path.suffix == ".safetensors":
            safetensors.torch.save_file({k: v.clone() for k, v in weights.items()}, path)
        elif nested:
            torch.save({"epoch": 3, "pytorch-lightning_version": "2.1.0", "state_dict": OrderedDict(weights), "optimizer_states": [{"state": {}}]}, path)
        else:
            torch.save(OrderedDict(weights), path)
        return path

    def exported(self, path):
        done = self.vmae("export", "--weights", path, "--output", "plain.safetensors", "--overwrite")
        return done.stderr, weights_of(self.tmp / "plain.safetensors")

    def test_every_prefix_in_every_format(self):
        for number, prefix in enumerate(self.PREFIXES):
            wrapped = {prefix + k: v for k, v in self.weights.items()}
            for name, nested in ((f"{number}.pth", False), (f"{number}.ckpt", True), (f"{number}.safetensors", False)):
                with self.subTest(prefix=prefix, name=name):
                    log, plain = self.exported(self.save(wrapped, name, nested))
                    self.assertEqual(plain.keys(), self.weights.keys())
                    for key, value in self.weights.items():
                        np.testing.assert_array_equal(plain[key], value.numpy(), key)
                    if prefix:
                        self.assertIn(f'removed "{prefix}" from {len(wrapped)} of {len(wrapped)} names', log)
                    else:
                        self.assertNotIn("removed", log)

    def test_fine_tuning_begins_from_wrapped_weights(self):
        """What is loaded, and the architecture that is adopted; said once where it is loaded."""
        for name in ("w.pth", "w.safetensors"):
            path = self.save({"module._orig_mod." + k: v for k, v in self.weights.items()}, name)
            log, weights = self.begin("seg", init=path)
            self.check_counts(log, weights, weights_of(last(trained("mae"))), with_decoder=True)
            self.assertEqual(log.count('removed "module._orig_mod."'), 1)

    def test_wrappers_within_names(self):
        log, plain = self.exported(self.save({k.replace("layers.0.", "layers.0._checkpoint_wrapped_module."): v for k, v in self.weights.items()}, "w.safetensors"))
        self.assertEqual(plain.keys(), self.weights.keys())
        self.assertIn('removed "._checkpoint_wrapped_module."', log)

    def test_names_without_the_prefix_stay(self):
        """They are not dropped: what the network does not know is refused by name, or left out if asked to."""
        for name in ("w.pth", "w.safetensors"):
            path = self.save({**{"model." + k: v for k, v in self.weights.items()}, "criterion.weight": torch.ones(2)}, name)
            log, plain = self.exported(path)
            self.assertEqual(plain.keys(), self.weights.keys() | {"criterion.weight"})
            self.assertIn("kept as they are: criterion.weight", log)
            self.assertIn("only in the file: criterion.weight", self.begin("seg", init=path, expect=4))
            self.begin("seg", "model.allow_mismatch=true", init=path)

    def test_two_networks_and_two_tensors_of_one_name_are_refused(self):
        both = {f"{who}.{k}": v for who in ("student", "teacher") for k, v in self.weights.items()}
        clash = {**{"module." + k: v for k, v in self.weights.items()}, "norm_up.weight": torch.ones(8)}
        for ending in (".pth", ".safetensors"):
            path = self.save(both, "both" + ending)
            self.assert_says(self.vmae("export", "--weights", path, "--output", "x.safetensors", expect=4), "several networks, under student., teacher.")
            self.assertIn("student.patch_embed.proj.weight", self.vmae("inspect", "--keys", path).stdout)
            path = self.save(clash, "clash" + ending)
            self.assert_says(self.vmae("export", "--weights", path, "--output", "x.safetensors", expect=4), 'two tensors are called "norm_up.weight"', "module.norm_up.weight")


class TransferTest(TransferBase):
    def test_segmenter_takes_encoder_and_decoder_of_grey_weights(self):
        source = weights_of(last(trained("mae")))
        log, weights = self.begin("seg")
        counts = self.check_counts(log, weights, source, with_decoder=True)
        self.assertEqual(counts[2], 4)
        for name in ("skip_connection_layers (6)", "final_patch_expanding (3)", "head", "mask_token"):
            self.assertIn(name, log)
        log, weights = self.begin("seg", "model.transfer=encoder")
        self.check_counts(log, weights, source, with_decoder=False)

    def test_colour_and_classification_take_the_encoder(self):
        make_segmentation(self.tmp / "colour", 6, channels=3)
        log, weights = self.begin("seg", "model.in_channels=3", init=trained("mae3"), data="colour")
        self.check_counts(log, weights, weights_of(last(trained("mae3"))), with_decoder=False)
        log, weights = self.begin("seg", "model.in_channels=3", "model.transfer=encoder_decoder", init=trained("mae3"), data="colour")
        self.check_counts(log, weights, weights_of(last(trained("mae3"))), with_decoder=True)
        log, weights = self.begin("cls")
        self.check_counts(log, weights, weights_of(last(trained("mae"))), with_decoder=False)

    def test_recipe_auto_takes_the_decoder_that_there_is(self):
        make_segmentation(self.tmp / "colour", 6, channels=3)
        more = ("recipe=auto", "data.foreground_share=0")
        log, weights = self.begin("seg", "model.in_channels=3", *more, init=trained("mae3"), data="colour")
        self.assertIn("encoder and decoder", log)
        [recipe] = re.findall("recipe auto instead of the paper's values: (.*)", log)
        self.assertIn("optim.task_lr_scale=10", recipe.split())
        self.assertNotIn("data.foreground_share", recipe, "that was said")
        source = weights_of(last(trained("mae3")))
        np.testing.assert_array_equal(weights["layers_up.0.blocks.0.mlp.fc1.weight"], source["layers_up.0.blocks.0.mlp.fc1.weight"])
        np.testing.assert_array_equal(weights["conv_stem.proj.weight"], 0)
        log, weights = self.begin("seg", *more, init=best(trained("cls")))  # it has none
        np.testing.assert_array_equal(weights["layers.0.blocks.0.mlp.fc1.weight"], weights_of(best(trained("cls")))["layers.0.blocks.0.mlp.fc1.weight"])
        self.assertIn("layers_up.0.blocks.0 (", log)

    def test_deeper_models_keep_their_added_blocks_random(self):
        log, weights = self.begin("seg", "model.depths=[1,1,3,1]")
        self.check_counts(log, weights, weights_of(last(trained("mae"))), with_decoder=True)
        self.assertIn("layers.2.blocks.1", log)
        self.assertIn("layers_up.0.blocks.2", log)

    def test_unexpected_mismatch(self):
        """Another width of the MLP: exit 4 naming a key; with the option the rest is loaded."""
        error = self.begin("seg", "model.mlp_ratio=2", expect=4)
        self.assertIn("mlp.fc1.weight", error)
        self.assertIn("model.allow_mismatch", error)
        log, weights = self.begin("seg", "model.mlp_ratio=2", "model.allow_mismatch=true")
        self.assertRegex(log, r"\d+ of another shape")
        np.testing.assert_array_equal(weights["patch_embed.proj.weight"], weights_of(last(trained("mae")))["patch_embed.proj.weight"])
        self.assertEqual(weights["layers.0.blocks.0.mlp.fc1.weight"].shape, (16, 8))

    def test_fewer_blocks_than_the_weights_have(self):
        error = self.begin("seg", "model.embed_dim=4", "model.window_size=7", init=tiny_pth() / "reference_style.pth", expect=4)
        self.assertIn("only in the file: layers.0.blocks.1.norm1.weight", error)

    def test_channels(self):
        """1 to 3: the kernel shared out; 3 to 1: its sum. Grey in colour gives the same output either way."""
        grey, colour = (weights_of(last(trained(name)))["patch_embed.proj.weight"] for name in ("mae", "mae3"))
        log, weights = self.begin("seg", "model.in_channels=3")
        self.assertIn("3 input channels", log)
        np.testing.assert_allclose(weights["patch_embed.proj.weight"], np.repeat(grey / 3, 3, 1), rtol=1e-6)
        log, weights = self.begin("cls", "model.in_channels=1", init=trained("mae3"))
        self.assertIn("1 input channel ", log)
        np.testing.assert_allclose(weights["patch_embed.proj.weight"], colour.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)

    def test_architecture_is_adopted_from_the_reference_file(self):
        """52,196 parameters: embed_dim 4, heads 1 1 2 2, window 7, one channel; nothing of it is said here."""
        for command, data in (("finetune-seg", "data"), ("finetune-cls", "cls/list.csv")):
            done = self.vmae(command, f"data.train={data}", f"model.init={tiny_pth() / 'reference_style.pth'}", "run.dir=run", "--overwrite",
                             "model.image_size=[64,64]", "train.max_steps=1", "optim.warmup_epochs=0", "train.batch_size=4", "data.val_fraction=0",
                             "optim.lr=0", "optim.weight_decay=0")
            options = json.loads(metadata(last(self.tmp / "run"))["model_options"])
            self.assertEqual([options[k] for k in ("embed_dim", "in_channels", "num_heads", "window_size", "depths")], [4, 1, [1, 1, 2, 2], 7, [2, 2, 6, 2]])
            weights, source = weights_of(last(self.tmp / "run")), weights_of(tiny_pth() / "expected.safetensors")
            self.check_counts(done.stderr, weights, source, with_decoder=command == "finetune-seg")

    def test_a_classifier_continues_from_a_segmenter_and_from_itself(self):
        log, weights = self.begin("cls", init=trained("seg"))
        key = "layers.3.blocks.0.mlp.fc1.weight"
        np.testing.assert_array_equal(weights[key], weights_of(best(trained("seg")))[key])
        log, weights = self.begin("cls", init=trained("cls"))
        np.testing.assert_array_equal(weights["head.weight"], weights_of(best(trained("cls")))["head.weight"])


class WhatIsTrainedTest(TransferBase):
    def train(self, command, *more):
        kw = {"data": "cls/list.csv"} if command == "cls" else {}
        (self.seg if command == "seg" else self.cls)("--overwrite", "data.val_fraction=0", *NO_AUGMENTATION, *more, **kw)
        return weights_of(last(self.tmp / "run"))

    def changed(self, before, after):
        return {key for key in before if not np.array_equal(before[key], after[key])}

    def test_frozen_encoder(self):
        for command in ("seg", "cls"):
            init = [f"model.init={trained('mae')}", "model.freeze=encoder"]
            before, after = self.train(command, *init, *UNTRAINED), self.train(command, *init, "optim.lr=1e-2", "optim.weight_decay=0.5")
            is_encoder = {k for k in before if k.startswith(("patch_embed.", "layers."))}
            changed = self.changed(before, after)
            self.assertEqual(changed & is_encoder, set())
            trained_keys = {k for k in set(before) - is_encoder if not k.endswith("relative_position_index")}
            self.assertEqual(trained_keys, changed)
            num_parameters = sum(v.size for k, v in before.items() if not k.endswith("relative_position_index"))
            num_trained = sum(before[k].size for k in trained_keys)
            self.assertIn(f" {num_parameters} parameters, of which {num_trained} are trained,", (self.tmp / "run/train.log").read_text())

    def test_linear_probe(self):
        init = [f"model.init={trained('mae')}", "model.freeze=linear_probe"]
        before, after = self.train("cls", *init, *UNTRAINED), self.train("cls", *init, "optim.lr=1e-2")
        # The last norm is not among an autoencoder's weights: what begins at random is not frozen.
        self.assertEqual(self.changed(before, after), {"head.weight", "head.bias", "norm.weight", "norm.bias"})
        self.assert_says(self.seg("model.freeze=linear_probe", expect=2), "model.freeze")

    def test_layer_decay(self):
        """The first step of AdamW moves an entry by lr * g / (|g| + eps) whatever its gradient: the largest move of a tensor is its learning rate."""
        depths, decay = (1, 1, 2, 1), 0.5
        options = ["model.depths=[1,1,2,1]", f"optim.layer_decay={decay}", "optim.weight_decay=0", "train.max_steps=1", "optim.eps=1e-12"]
        for command in ("seg", "cls"):
            before, after = self.train(command, *options, "optim.lr=0"), self.train(command, *options, "optim.lr=1e-2")
            checked = set()
            for key in before:
                if key.endswith(("relative_position_index", "qkv.bias")):
                    continue
                match = re.match(r"layers\.(\d)\.(?:blocks\.(\d+))?", key)
                layer = 0 if key.startswith("patch_embed.") else sum(depths) + 1
                if match:
                    stage, block = match.groups()
                    layer = sum(depths[:int(stage)]) + (int(block) + 1 if block else depths[int(stage)])
                expected = 1e-2 * decay ** (sum(depths) + 1 - layer)
                self.assertAlmostEqual(np.abs(after[key] - before[key]).max() / expected, 1, delta=2e-2, msg=f"{command} {key}, layer {layer}")
                checked.add(layer)
            self.assertEqual(checked, set(range(sum(depths) + 2)))


class ForwardTest(TransferBase):
    def test_grey_weights_see_grey_pictures_in_colour_alike(self):
        """A classifier from 3-channel weights, and one with 1 channel from the same: equal probabilities, as only what is shared is changed."""
        cls = trained("cls")
        Image.fromarray(class_picture(1, 0)).save(self.tmp / "one.png")
        self.predict(weights=cls, input="one.png", output="grey")
        done = self.cls("--overwrite", *UNTRAINED, f"model.init={cls}", "model.in_channels=3", data="cls/list.csv")
        self.assertIn("3 input channels", done.stderr)
        self.predict(weights="run", input="one.png", output="colour")
        grey, colour = (next(iter(self.table("cases.csv", output).values())) for output in ("grey", "colour"))
        for name in ("up", "down", "none"):
            self.assertAlmostEqual(float(grey[name]), float(colour[name]), delta=1e-5)


if __name__ == "__main__":
    unittest.main()
