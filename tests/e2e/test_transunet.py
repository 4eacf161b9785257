# SPDX-License-Identifier: Apache-2.0
"""TransUNet trained, stopped and resumed, on ranks, from published weights of its encoder, and what it predicts; a small variant throughout."""
import re
import sys
import unittest

import numpy as np
import torch

from finetuning import TRAIN, FinetuneTest, best, last, make_segmentation, metadata, trained
from harness import SIGTERM, SOURCE, at_point, checkpoint_step, last_step, metrics, point_library, read_arrays, weights_of, write_safetensors
from ranks import RanksTest

sys.path.insert(0, str(SOURCE / "tests/golden"))
from transunet_oracle import Config, forward, is_buffer, shapes  # noqa: E402
from vmae_model import load_model  # noqa: E402

SMALL = ["model.name=transunet", "model.image_size=[32,48]", "model.in_channels=1", "model.vit_width=16", "model.vit_layers=2", "model.vit_heads=2", "model.vit_mlp=16",
         "model.stem_width=32", "model.stem_units=[1,1,1]", "model.decoder_channels=[8,8,8,8,4]"]
RECIPE = ["loss.dice=squared", "loss.include_background=true", "loss.absent_classes=true", "data.rotate_whole=true", "data.interpolation=nearest", "data.affine=0",
          "optim.schedule=poly"]


def config(classes=3, image=(32, 48)):
    return Config(image=image, channels=1, classes=classes, width=16, layers=2, heads=2, mlp=16, stem_width=32, units=(1, 1, 1), decoder=(8, 8, 8, 8, 4))


class TransUnetTest(FinetuneTest):
    def transunet(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-seg", *SMALL, *TRAIN, *RECIPE, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def test_trains_and_predicts_as_the_oracle(self):
        make_segmentation(self.tmp / "data", 12)
        done = self.transunet("data.classes=[round,square]", "train.epochs=12", "optim.lr=2e-3", "data.rot90=0", "data.rotate=0")
        self.assert_says(done, "transunet with 3 classes")
        losses = [m["loss"] for m in metrics(self.tmp / "run", "train")]
        self.assertLess(np.mean(losses[-3:]), 0.7 * np.mean(losses[:3]))
        weights = weights_of(best(self.tmp / "run"))
        self.assertEqual({k: tuple(v.shape) for k, v in weights.items()}, shapes(config()))
        self.assertGreater(int(weights["decoder.conv_more.1.num_batches_tracked"]), 0)
        # the program's forward pass, and that of its .pth, are the oracle's
        image = np.random.default_rng(1).normal(size=(2, 1, 32, 48)).astype(np.float32)
        write_safetensors(self.tmp / "in.safetensors", {"image": image})
        self.vmae("export", "--weights", "run", "--output", "run.pth")
        state = torch.load(self.tmp / "run.pth", weights_only=True)
        expected = forward(state, config(), torch.from_numpy(image)).numpy()
        for given in ("run", "run.pth"):
            self.vmae("forward", "--model", "transunet", "--weights", given, "--input", "in.safetensors", "--output", "out.safetensors")
            self.assertLess(np.abs(read_arrays(self.tmp / "out.safetensors")["logits"] - expected).max(), 1e-4)
            with torch.no_grad():
                self.assertLess(np.abs(load_model(self.tmp / given)(torch.from_numpy(image)).numpy() - expected).max(), 1e-4)
        self.predict(input="data/images")
        self.assertEqual(len([name for name in self.written() if name.endswith(".png")]), 12)
        self.vmae("inspect", "run")
        self.vmae("features", "--weights", "run", "--input", "data/images", "--output", "f.csv", expect=4)

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_resumes_bit_for_bit(self):
        """Running statistics, dropout and the schedule go on where they were; two micro-batches a step."""
        make_segmentation(self.tmp / "data", 8)
        options = ["train.batch_size=4", "train.micro_batch=2", "train.epochs=4", "train.save_every_steps=1"]
        self.transunet(*options, run="reference/run")
        process = self.start("finetune-seg", *SMALL, *TRAIN, *RECIPE, "data.train=data", "run.dir=work/run", *options,
                             env=at_point("write", "metrics.jsonl", 3, SIGTERM))
        self.assertEqual(process.wait(120), 75, process.log.read_text()[-2000:])
        self.assertLess(checkpoint_step(self.tmp / "work/run"), last_step(self.tmp / "reference/run"))
        self.transunet(*options, "--resume", run="work/run")
        for name in ("best.safetensors", "last.safetensors"):
            self.assert_same_checkpoint(*(self.tmp / f"{run}/run/checkpoints/{name}" for run in ("reference", "work")), ignore_config=True)
        self.assert_same_metrics(self.tmp / "reference/run", self.tmp / "work/run")

    def flax_arrays(self, side=64, seed=3):
        """R50-ViT's encoder as Google's .npz names it, for images of side x side, and what it is in TransUNet's names (without positions)."""
        random, c = np.random.default_rng(seed), config()
        flax, ours = {}, {}
        stem, layer = "transformer.embeddings.hybrid_model.", "transformer.encoder.layer."
        parts = {"attention_norm": "LayerNorm_0", "ffn_norm": "LayerNorm_2", "ffn.fc1": "MlpBlock_3/Dense_0", "ffn.fc2": "MlpBlock_3/Dense_1"}
        for key, shape in shapes(c).items():
            if not key.startswith("transformer.") or key.endswith("position_embeddings"):
                continue
            value = random.normal(size=shape).astype(np.float32)
            ours[key] = value
            module, kind = key.rsplit(".", 1)
            is_norm = kind == "weight" and len(shape) == 1
            flax_kind = "bias" if kind == "bias" else "scale" if is_norm else "kernel"
            array = value
            if len(shape) == 4:
                array = value.transpose(2, 3, 1, 0)
            elif len(shape) == 2:
                array = value.T
            if module.startswith(stem):
                name = module.removeprefix(stem).removeprefix("body.").replace("root.", "").replace("downsample", "conv_proj").replace(".", "/")
                name = {"conv": "conv_root", "gn": "gn_root"}.get(name, name)
                array = array if len(shape) == 4 else array.reshape(1, 1, 1, -1)
            elif module.startswith(layer):
                number, part = module.removeprefix(layer).split(".", 1)
                if part.startswith("attn."):
                    part = part.removeprefix("attn.")
                    if kind == "weight":
                        array = array.reshape((c.heads, -1, c.width) if part == "out" else (c.width, c.heads, -1))
                    elif part != "out":
                        array = array.reshape(c.heads, -1)
                    part = f"MultiHeadDotProductAttention_1/{part}"
                else:
                    part = parts[part]
                name = f"Transformer/encoderblock_{number}/{part}"
            else:
                name = {"transformer.embeddings.patch_embeddings": "embedding", "transformer.encoder.encoder_norm": "Transformer/encoder_norm"}[module]
            flax[f"{name}/{flax_kind}"] = array
        flax["Transformer/posembed_input/pos_embedding"] = random.normal(size=(1, (side // 16) ** 2 + 1, c.width)).astype(np.float32)
        flax |= {"cls": np.zeros((1, 1, c.width), np.float32), "head/kernel": np.zeros((c.width, 5), np.float32), "head/bias": np.zeros(5, np.float32),
                 "pre_logits/kernel": np.zeros((c.width, c.width), np.float32), "pre_logits/bias": np.zeros(c.width, np.float32)}
        return flax, ours

    def test_begins_with_the_published_encoder(self):
        from scipy.ndimage import zoom
        make_segmentation(self.tmp / "data", 6)
        flax, ours = self.flax_arrays()
        np.savez(self.tmp / "R50.npz", **flax)
        frozen = ["optim.lr=0", "optim.weight_decay=0", "train.epochs=1"]
        done = self.transunet("model.init=R50.npz", *frozen)
        self.assert_says(done, "R50-ViT of Flax", "interpolated to images of 32 x 48")
        weights = weights_of(last(self.tmp / "run"))
        for key, value in ours.items():
            np.testing.assert_array_equal(weights[key], value, key)
        grid = flax["Transformer/posembed_input/pos_embedding"][0, 1:].reshape(4, 4, -1)
        np.testing.assert_allclose(weights["transformer.embeddings.position_embeddings"][0], zoom(grid, (2 / 4, 3 / 4, 1), order=1).reshape(6, -1), atol=1e-5)
        np.testing.assert_array_equal(weights["decoder.conv_more.1.weight"], 1, "begins as torch does")
        # and a run of ours, at another size and with another number of classes
        done = self.transunet("model.init=run", "model.image_size=[48,32]", *frozen, run="second")
        self.assert_says(done, "(TransUNet)", "interpolated to images of 48 x 32")
        second = weights_of(last(self.tmp / "second"))
        for key in weights:
            if not is_buffer(key) and "position" not in key:
                np.testing.assert_array_equal(second[key], weights[key], key)
        # whose architecture is taken where the config says nothing of it
        self.vmae("finetune-seg", *TRAIN, *RECIPE, *frozen, "model.name=transunet", "model.image_size=[32,48]", "model.init=run", "model.dropout=0.3", "data.train=data",
                  "run.dir=third")
        third = weights_of(last(self.tmp / "third"))
        self.assertEqual({key: value.shape for key, value in third.items()}, {key: value.shape for key, value in weights.items()})
        said = (self.tmp / "third/config.yaml").read_text()
        self.assertIn("vit_heads: 2", said)
        self.assertIn("dropout: 0.3", said)
        # of a file that says nothing of its heads nothing is taken; its encoder alone is enough
        encoder = {key: torch.from_numpy(value) for key, value in weights.items() if key.startswith("transformer.")}
        positions = "transformer.embeddings.position_embeddings"
        torch.save(encoder | {positions: encoder[positions][:, :4].clone()}, self.tmp / "encoder.pth")  # of a square image
        self.transunet("model.init=encoder.pth", "model.transfer=encoder", *frozen, run="fifth")
        refused = self.vmae("finetune-seg", *TRAIN, *RECIPE, "model.name=transunet", "model.image_size=[32,48]", "model.init=run", "model.vit_width=32", "data.train=data",
                            "run.dir=fourth", expect=4)
        self.assert_says(refused, "its encoder has vit_width = 16, but model.vit_width = 32", "set model.vit_width=16")

    def test_weights_that_do_not_belong(self):
        make_segmentation(self.tmp / "data", 6)
        flax, _ = self.flax_arrays()

        def refused(name, arrays, *texts):
            np.savez(self.tmp / name, **arrays)
            self.assert_says(self.transunet(f"model.init={name}", "--overwrite", expect=4), name, *texts)

        refused("missing.npz", {k: v for k, v in flax.items() if k != "block2/unit1/gn_proj/scale"}, "body.block2.unit1.gn_proj.weight")
        for absent, said in (("conv_root/kernel", "hybrid_model.root.conv.weight"), ("Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel", "layer.0.ffn.fc1.weight"),
                             ("block1/unit1/conv1/kernel", "body.block1.unit1.conv1.weight")):
            refused("incomplete.npz", {key: value for key, value in flax.items() if key != absent}, said)
        refused("unknown.npz", flax | {"block2/unit1/conv9/kernel": np.zeros(3, np.float32)}, "block2/unit1/conv9/kernel")
        refused("deeper.npz", flax | {"Transformer/encoderblock_2/LayerNorm_0/scale": np.zeros(16, np.float32)}, "transformer.encoder.layer.2.attention_norm")
        refused("objects.npz", flax | {"cls": np.array([{}], dtype=object)}, "Python objects")
        self.assert_says(self.transunet(f"model.init={trained('mae')}", "--overwrite", expect=4), "neither weights of a TransUNet nor of its encoder")
        np.savez(self.tmp / "R50.npz", **flax)
        self.vmae("inspect", "R50.npz")
        self.transunet("train.epochs=1", run="two_heads")
        for init in ("R50.npz", "two_heads"):  # no shape tells how many they are
            self.assert_says(self.transunet(f"model.init={init}", "model.vit_heads=4", "--overwrite", expect=4), init, "vit_heads = 2", "model.vit_heads = 4",
                             "set model.vit_heads=2")
        self.assert_says(self.transunet("model.init=R50.npz", "model.vit_mlp=24", "model.vit_layers=1", "--overwrite", expect=4), "its encoder has vit_layers = 2, vit_mlp = 16",
                         "set model.vit_layers=2 model.vit_mlp=16")  # all of them at once
        self.assert_says(self.vmae("pretrain", "data.train=data/images", "model.init=R50.npz", "run.dir=mae", "model.image_size=[32,32]", expect=4), "holds weights of R50+ViT, but model.name = mae")
        self.assert_says(self.seg("model.init=R50.npz", run="swin", expect=4), "model.name=transunet takes them")
        self.assert_says(self.vmae("features", "--weights", "R50.npz", "--input", "data/images", "--output", "f.csv", expect=4), "R50+ViT, which has no Swin encoder")
        self.assert_says(self.vmae("predict", "--weights", "R50.npz", "--input", "data/images", "--output", "out", expect=4), "predicts nothing")
        self.assert_says(self.transunet("model.image_size=[40,48]", expect=2), "40 is not a multiple of 16")
        self.assert_says(self.transunet("model.image_size=[16,48]", expect=2), "16 is too small")
        self.assert_says(self.transunet("model.freeze=encoder", expect=2), "model.freeze")
        self.assert_says(self.transunet("optim.task_lr_scale=10", expect=2), "optim.task_lr_scale")
        for loss in ("loss.dice=generalised", "loss.name=ce"):
            self.assert_says(self.transunet(loss, expect=2), "loss.absent_classes", loss.replace("=", " = "))
        self.assert_says(self.transunet("data.rotate_degrees=2.5", run="whole", expect=2), "data.rotate_degrees = 2.5")

    def test_says_what_it_is_made_of(self):
        make_segmentation(self.tmp / "data", 6)
        done = self.transunet("train.epochs=1", "recipe=auto")
        recipe = next(line for line in done.stderr.splitlines() if "recipe auto" in line)
        self.assertNotIn("conv_stem", recipe, "what it has no use for")
        [parameters] = re.findall(r"transunet with .*?, (\d+) parameters", done.stderr)
        self.assertIn(f" {parameters} parameters", self.vmae("inspect", best(self.tmp / "run")).stdout, "counted alike")
        self.assertEqual(metadata(best(self.tmp / "run"))["model"], "transunet")
        printed = self.vmae("finetune-seg", "--config", SOURCE / "configs/finetune/transunet.yaml", "--print-config").stdout
        for line in ("name: transunet", "image_size: [224, 224]", "name: sgd", "schedule: poly", "absent_classes: true", "interpolation: nearest"):
            self.assertIn(line, printed)


class TransUnetRanksTest(RanksTest):
    def test_ranks_are_one_process(self):
        """11 training pictures in batches of 6: the last one of 5, and validation pictures that do not divide."""
        make_segmentation(self.tmp / "data", 14)
        for size in (1, 2):
            self.train(size, "finetune-seg", *SMALL, *TRAIN, *RECIPE, "data.workers=1", "data.train=data", "train.batch_size=6", "train.epochs=3", f"run.dir=run{size}")
        alone, both = (self.tmp / f"run{size}" for size in (1, 2))
        for kind, keys, tolerance in (("train", ("loss", "grad_norm"), 5e-4), ("val", ("loss",), 5e-4)):
            first, second = metrics(alone, kind), metrics(both, kind)
            self.assertEqual(len(first), len(second))
            for a, b in zip(first, second):
                for key in keys:
                    self.assertLessEqual(abs(a[key] - b[key]), tolerance * max(1, abs(a[key])), f"{kind} {key} step {a['step']}")
        for key, value in weights_of(last(alone)).items():
            if is_buffer(key):
                np.testing.assert_allclose(weights_of(last(both))[key], value, rtol=2e-3, atol=2e-4, err_msg=key)


if __name__ == "__main__":
    unittest.main()
