# SPDX-License-Identifier: Apache-2.0
"""The Python models against the golden numbers. Run from the repository: python -m unittest discover tests/python"""
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1]
GOLDEN = TESTS / "golden"
sys.path[:0] = [str(TESTS.parent / "scripts" / "python"), str(GOLDEN)]
import golden as golden_numbers  # noqa: E402
from make_pth import OPTIONS, save_safetensors  # noqa: E402
from swin_layers import SwinBlock, shift_mask  # noqa: E402
from transunet_model import TransUNet  # noqa: E402
from vmae_model import SwinClassifier, SwinMAE, SwinUNet, load_model, read_weights  # noqa: E402

torch.set_num_threads(1)  # beside other tests
FORWARD, GRADIENT, LOSS = 2e-5, 1e-4, 1e-4  # tolerances of tests/golden/README.md; the gradient's is relative to its largest value


golden = golden_numbers.read
sampled = golden_numbers.sampled


def golden_json(name):
    return json.loads((GOLDEN / f"{name}.json").read_text())


def tiny(**options):
    torch.manual_seed(0)
    return SwinMAE(embed_dim=24, **options)


def golden_mae(weights, **options):
    model = tiny(**options)
    model.load_state_dict(golden_numbers.weights(weights))
    return model.eval()


def golden_model(name, **options):
    with tempfile.TemporaryDirectory() as folder:
        return load_model(golden_numbers.write_weights(name, folder), embed_dim=24, **options)


def largest(x):
    return x.abs().max().item()


class TransUNetParity(unittest.TestCase):
    def test_second_implementation(self):
        from make_transunet import CASES, TINY
        from transunet_oracle import Config, drawn_weights, shapes
        io = golden("transunet_tiny_io")
        names = {"classes": "num_classes", "width": "vit_width", "layers": "vit_layers", "heads": "vit_heads", "mlp": "vit_mlp", "units": "stem_units", "decoder": "decoder_channels"}
        for case, (config, samples) in CASES.items():
            model = TransUNet(image_size=config.image, in_channels=config.channels, **{names.get(key, key): value for key, value in TINY.items()})
            self.assertEqual({key: tuple(value.shape) for key, value in model.state_dict().items()}, shapes(config))
            model.load_state_dict(drawn_weights(config, seed=11))
            image = torch.randn((samples, config.channels, *config.image), generator=torch.Generator().manual_seed(5))
            with torch.no_grad():
                self.assertLess(largest(sampled(model.eval()(image)) - io[f"{case}.eval.logits"]), FORWARD)
        self.assertEqual(sum(p.numel() for p in TransUNet(num_classes=Config().classes).parameters()), 105_277_081)


class Parity(unittest.TestCase):
    def check_gradients(self, model, io):
        parameters = dict(model.named_parameters())
        names = [k for k in io if k.startswith("grad.")]
        self.assertTrue(names)
        for name in names:
            error = largest(sampled(parameters[name[len("grad."):]].grad) - io[name]) / largest(io[name])
            self.assertLess(error, GRADIENT, name)

    def test_forward_mask_and_gradients(self):
        model, io = golden_mae("mae_tiny"), golden("mae_tiny_io")
        loss, pred, mask = model(io["image"], io["noise"])
        self.assertTrue(torch.equal(mask, io["mask"].float()))
        self.assertLess(largest(sampled(pred) - io["pred"]), FORWARD)
        self.assertLess(abs(loss.item() - io["loss"].item()), FORWARD)
        loss.backward()
        self.check_gradients(model, io)

    def test_norm_pix_loss(self):
        model, inputs, io = golden_mae("mae_tiny_second", norm_pix_loss=True), golden("mae_tiny_io"), golden("mae_tiny_norm_pix_io")
        loss, _, _ = model(inputs["image"], inputs["noise"])
        self.assertLess(abs(loss.item() - io["loss"].item()), FORWARD)
        loss.backward()
        self.check_gradients(model, io)

    def test_ten_steps(self):
        model, image, run = golden_mae("mae_tiny_second", drop_path_rate=0).train(), golden("mae_tiny_io")["image"], golden("mae_tiny_train10")
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)
        for noise, expected in zip(run["noise"], run["loss"], strict=True):
            loss, _, _ = model(image, noise)
            self.assertLess(abs(loss.item() - expected.item()), LOSS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for name in (k for k in run if k.startswith("after.")):
            self.assertLess(largest(model.state_dict()[name[len("after."):]] - run[name]), LOSS, name)

    def test_stored_buffers(self):
        model, weights = tiny(), golden_numbers.weights("mae_tiny")
        self.assertLess(largest(sampled(model.pos_embed) - golden("mae_tiny_io")["pos_embed"]), 1e-6)
        for name, value in model.named_buffers():
            self.assertTrue(torch.equal(value, weights[name]), name)

    def check_logits_and_gradients(self, model, io, size):
        """io: image_SIZE, logits_SIZE and grad.NAME_SIZE of mean(logits^2)."""
        logits = model(io[f"image_{size}"])
        self.assertLess(largest(sampled(logits) - io[f"logits_{size}"]), FORWARD)
        model.zero_grad()
        logits.square().mean().backward()
        ending = f"_{size}"
        self.check_gradients(model, {k.removesuffix(ending): v for k, v in io.items() if k.endswith(ending)})

    def test_unet(self):
        model, io = golden_model("unet_tiny", num_classes=3), golden("unet_tiny_io")
        for size in (224, 320):  # 320: grids of 80, 40, 20 and 10, which windows of 7 do not divide
            with self.subTest(size):
                self.check_logits_and_gradients(model, io, size)

    def test_classifier(self):
        model = golden_model("classifier_tiny", num_classes=5)
        self.check_logits_and_gradients(model, golden("classifier_tiny_io"), 224)


class Structure(unittest.TestCase):
    def test_keys_and_counts(self):
        model = SwinMAE()
        self.assertEqual(list(model.state_dict()), golden_json("mae_keys"))
        self.assertEqual(len(model.state_dict()), 224)
        self.assertEqual(sum(p.numel() for p in model.parameters() if p.requires_grad), 26_635_860)
        self.assertEqual(sum(p.numel() for p in model.parameters()), 26_936_916)

    def test_keys_and_counts_downstream(self):
        for kind, name, options, count in ((SwinUNet, "unet", {"num_classes": 14}, 41_379_780), (SwinUNet, None, {"num_classes": 9, "depths": (2, 2, 2, 2)}, 27_167_364),
                                           (SwinClassifier, "classifier", {}, 27_520_892), (SwinClassifier, None, {"num_classes": 1000, "depths": (2, 2, 6, 2)}, 28_288_354)):
            with self.subTest(kind.__name__, **options):
                model = kind(**options)
                self.assertEqual(sum(p.numel() for p in model.parameters()), count)
                if name:
                    self.assertEqual(list(model.state_dict()), golden_json(f"{name}_keys"))

    def test_weights_of_the_mae_fit(self):
        mae, unet, classifier = (list(kind(embed_dim=24).state_dict()) for kind in (SwinMAE, SwinUNet, SwinClassifier))
        self.assertEqual((len(unet), len(set(unet) & set(mae))), (342, 220))
        self.assertEqual(sorted(set(mae) - set(unet)), ["decoder_pred.bias", "decoder_pred.weight", "mask_token", "pos_embed"])
        self.assertEqual(sorted(k for k in set(classifier) - set(mae) if not k.startswith("layers.2.blocks.")), ["head.bias", "head.weight", "norm.bias", "norm.weight"])

    def test_initialisation_of_the_unet(self):
        """Drawn in the reference's order: with torch 2.15 the seeds give the reference's weights bit for bit."""
        torch.manual_seed(0)
        model, generator = SwinUNet(embed_dim=24, num_classes=3), torch.Generator().manual_seed(4)
        with torch.no_grad():
            for p in model.parameters():
                p += (0.1 if p.ndim == 1 else 0.02) * torch.randn(p.shape, generator=generator)
        for name, value in golden_numbers.weights("unet_tiny").items():
            self.assertTrue(torch.equal(model.state_dict()[name], value), name)

    def test_initialisation_of_the_classifier(self):
        for name, p in SwinClassifier(embed_dim=24).named_parameters():
            p = p.detach()
            if p.ndim == 2:  # linear weights and bias tables
                self.assertAlmostEqual(p.std().item(), 0.02, delta=0.004, msg=name)
            elif name != "patch_embed.proj.bias" and p.ndim == 1:
                self.assertTrue((p == (1 if "norm" in name and name.endswith("weight") else 0)).all(), name)

    def test_initialisation(self):
        parameters = dict(tiny().named_parameters())
        expected = golden_json("mae_init_std_absmax")
        self.assertEqual(set(expected), set(parameters))
        for name, (std, absmax) in expected.items():
            p = parameters[name].detach()
            with self.subTest(name):
                if std == 0:
                    self.assertTrue((p == absmax).all())
                elif name == "pos_embed":
                    self.assertAlmostEqual(p.std().item(), std, delta=1e-4)
                    self.assertAlmostEqual(largest(p), absmax, delta=1e-6)
                else:
                    few = p.numel() < 1000
                    self.assertLess(abs(p.std().item() / std - 1), 0.4 if few else 0.1)
                    if not few and not name.endswith("bias_table"):  # uniform: the largest value is nearly the bound
                        self.assertLess(abs(largest(p) / absmax - 1), 0.02)

    def test_two_channels_and_no_square(self):
        model = SwinMAE(image_size=(96, 160), in_channels=2, embed_dim=12, num_heads=(1, 2, 3, 4)).train()
        image = torch.randn(2, 2, 96, 160)
        loss, pred, mask = model(image)
        self.assertEqual(pred.shape, (2, 24 * 40, 32))
        self.assertEqual(mask.sum(1).tolist(), [(60 - 15) * 16] * 2)
        self.assertEqual(model.encode(image).shape, (2, 3, 5, 96))
        loss.backward()
        self.assertTrue(all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad))
        with self.assertRaisesRegex(ValueError, "multiples of 32"):
            model(torch.randn(1, 2, 96, 150))

    def test_downstream_takes_any_size(self):
        for kind in (SwinUNet, SwinClassifier):
            for size in ((96, 160), (75, 118), (32, 33)):
                model = kind(num_classes=3, in_channels=2, embed_dim=12, num_heads=(1, 2, 3, 4), depths=(1, 1, 2, 1)).train()
                logits = model(torch.randn(2, 2, *size))
                self.assertEqual(logits.shape, (2, 3, *size) if kind is SwinUNet else (2, 3))
                logits.square().mean().backward()
                self.assertTrue(all(torch.isfinite(p.grad).all() for p in model.parameters()))
            with self.assertRaisesRegex(ValueError, "at least 32"):
                model(torch.randn(1, 2, 96, 31))

    def test_zeros_at_the_bottom_and_right(self):
        model = SwinUNet(embed_dim=12, num_heads=(1, 2, 3, 4), in_channels=1).eval()
        image = torch.randn(1, 1, 62, 93)                                 # 16 x 24 tokens, even grids from there on
        with torch.no_grad():
            padded = model(torch.nn.functional.pad(image, (0, 3, 0, 2)))
            self.assertLess(largest(model(image) - padded[:, :, :62, :93]), 1e-6)

    def test_mask_is_of_the_smallest_noise(self):
        noise = torch.ones(1, 16)
        noise[0, [1, 2, 7, 8]] = torch.tensor([0.1, 0.2, 0.3, 0.4])
        units = tiny().make_mask(noise, 16, 16)[0, ::4, ::4]
        self.assertEqual((~units).flatten().nonzero().flatten().tolist(), [1, 2, 7, 8])

    def test_patchify_puts_the_channel_fastest(self):
        image = torch.arange(2 * 8 * 8.0).view(1, 2, 8, 8)
        second_row = tiny().patchify(image)[0, 2]                         # pixels (4..7, 0..3)
        self.assertEqual(second_row[:4].tolist(), [32, 96, 33, 97])

    def test_shift_mask_of_a_7x7_grid(self):
        region_sizes = (shift_mask(7, 7, (3, 3), 7, torch.device("cpu"))[0] == 0).sum(1).view(7, 7)
        self.assertEqual([region_sizes[y, x].item() for y, x in ((0, 0), (0, 6), (6, 0), (6, 6))], [16, 12, 12, 9])

    def test_shift_small_grids(self):
        blocks = {s: SwinBlock(8, 2, True, 0.0, 7, 4, s, 1e-6).eval() for s in (True, False)}
        blocks[False].load_state_dict(blocks[True].state_dict())
        for size, same in (((7, 7), False), ((14, 14), True)):
            x = torch.randn(1, *size, 8)
            self.assertEqual(torch.equal(blocks[True](x), blocks[False](x)), same, size)

    def test_padding_is_zeros_at_the_bottom_and_right(self):
        block, x = SwinBlock(8, 2, True, 0.0, 7, 4, True, 1e-6).eval(), torch.randn(1, 10, 8, 8)
        padded = torch.cat([torch.cat([x, torch.zeros(1, 10, 6, 8)], 2), torch.zeros(1, 4, 14, 8)], 1)
        self.assertLess(largest(block.attend(x) - block.attend(padded)[:, :10, :8]), 1e-6)

    def test_drop_path_rates(self):
        def rates(stages):
            return [round(b.drop_path.rate, 6) for stage in stages for b in stage.blocks]
        expected = [round(0.1 * i / 7, 6) for i in range(8)]
        self.assertEqual(rates(tiny().layers), expected)
        self.assertEqual(rates(tiny().layers_up), expected[4:6] + expected[2:4] + expected[:2])


class Weights(unittest.TestCase):
    def setUp(self):
        self.expected = read_weights(GOLDEN / "pth/expected.safetensors")[0]

    def assert_holds(self, weights, rounded=False):
        self.assertEqual(set(weights), set(self.expected))
        for name, value in self.expected.items():
            value = value.half() if rounded and value.is_floating_point() else value
            self.assertTrue(torch.equal(weights[name], value), name)

    def test_pth(self):
        for name in ("reference_style", "plain_state_dict", "fp16"):
            self.assert_holds(read_weights(GOLDEN / f"pth/{name}.pth")[0], rounded=name == "fp16")
        model = load_model(GOLDEN / "pth/reference_style.pth", **OPTIONS)
        self.assert_holds(model.state_dict())

    def test_evil_pth_is_refused(self):
        before = os.getcwd()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                with self.assertRaisesRegex(Exception, "weights_only|Weights only"):
                    read_weights(GOLDEN / "pth/evil.pth")
                self.assertEqual(os.listdir(), [])
            finally:
                os.chdir(before)

    def test_training_checkpoint_says_how_the_model_was_built(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "last.safetensors"
            extra = {"optimizer.exp_avg.mask_token": torch.zeros(4), "state.step": torch.tensor([3])}
            save_safetensors({**self.expected, **extra}, path, {"model_options": json.dumps({**OPTIONS, "mask_ratio": 0.5})})
            model = load_model(path)
            self.assert_holds(model.state_dict())
            self.assertEqual((model.mask_ratio, model.training), (0.5, False))

    def test_file_says_which_model_it_holds(self):
        options = {**{k: v for k, v in OPTIONS.items() if k not in ("mask_ratio", "norm_pix_loss")}, "depths": [1, 1, 2, 1], "num_classes": 4}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "best.safetensors"
            for name, kind in (("swin-unet", SwinUNet), ("swin-classifier", SwinClassifier)):
                saved = kind(**options)
                save_safetensors(saved.state_dict(), path, {"model": name, "model_options": json.dumps(options)})
                model = load_model(path)
                self.assertIs(type(model), kind)
                self.assertFalse(model.training)
                self.assertTrue(all(torch.equal(v, saved.state_dict()[k]) for k, v in model.state_dict().items()))
            save_safetensors(saved.state_dict(), path, {"model": "resnet"})
            with self.assertRaisesRegex(ValueError, "'resnet' is none of mae, simclr, swin-unet, unet, transunet, swin-classifier"):
                load_model(path)

    def test_other_and_missing_keys(self):
        model = SwinMAE(**OPTIONS)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.safetensors"
            save_safetensors({**self.expected, "head.weight": torch.zeros(2)}, path)
            with self.assertRaisesRegex(RuntimeError, "head.weight"):
                model.load_weights(path)
            model.load_weights(path, allow_other_keys=True)
            self.assert_holds(model.state_dict())
            save_safetensors({k: v for k, v in self.expected.items() if k != "norm_up.bias"}, path)
            with self.assertRaisesRegex(RuntimeError, "norm_up.bias"):
                model.load_weights(path, allow_other_keys=True)


if __name__ == "__main__":
    unittest.main()
