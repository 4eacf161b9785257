# SPDX-License-Identifier: Apache-2.0
"""Training: it learns, whatever the shape of the input; what it writes; and what decides its result."""
import json
import re
import shutil
import signal
import unittest

import numpy as np
from PIL import Image

from harness import SOURCE, TINY, VmaeTest, last_step, make_pictures, metrics, picture, read_arrays, read_safetensors, tiny_pth, weights_of

HIPPOCAMPUS = SOURCE / "tests/data/hippocampus/images"


class TrainingTest(VmaeTest):
    def setUp(self):
        super().setUp()
        self.run_dir = self.tmp / "run"

    def pretrain(self, *more, expect=0, images="images", run="run", **kw):
        return self.vmae("pretrain", *TINY, f"data.train={images}", f"run.dir={run}", "data.val_fraction=0", "train.draw_every=0", *more, expect=expect, **kw)

    def last(self, run="run"):
        return self.tmp / run / "checkpoints/last.safetensors"


class LearningTest(TrainingTest):
    def test_overfits_one_batch(self):
        """Four smooth pictures: the loss falls below a tenth of its start."""
        folder = self.tmp / "images"
        folder.mkdir()
        y, x = np.mgrid[0:32, 0:32]
        for i in range(4):
            Image.fromarray((127 + 100 * np.sin(x / (5 + 2 * i) + i) * np.cos(y / (4 + i))).astype(np.uint8)).save(folder / f"{i}.png")
        self.pretrain("model.image_size=[32,32]", "model.embed_dim=24", "model.num_heads=[3,3,3,3]", "model.drop_path_rate=0", "model.mask_ratio=0.25",
                      "data.flip_horizontal=0", "train.epochs=260", "optim.lr=1e-3", "optim.warmup_epochs=10", "optim.weight_decay=0")
        losses = [line["loss"] for line in metrics(self.run_dir, "train")]
        self.assertEqual(len(losses), 260)
        self.assertLess(np.mean(losses[-5:]), 0.1 * losses[0], f"from {losses[0]:.3f} to {losses[-5:]}")

    def test_shapes(self):
        """96x160 (windows are padded) with 1, 2 and 3 channels; pictures of other sizes are brought there; each way of resizing."""
        make_pictures(self.tmp / "images", 4, height=70, width=133)
        make_pictures(self.tmp / "images", 2, first=20, channels=3, prefix="colour", height=128, width=64)
        make_pictures(self.tmp / "grey", 4, height=200, width=40)
        for channels, images, resize in [(1, "images", "stretch"), (3, "images", "pad"), (2, "grey", "crop")]:
            with self.subTest(channels=channels):
                self.pretrain("--overwrite", "model.image_size=[96,160]", f"model.in_channels={channels}", f"data.resize={resize}", "train.epochs=6",
                              "optim.lr=5e-3", "train.draw_every=1", images=images)
                losses = [line["loss"] for line in metrics(self.run_dir, "train")]
                self.assertTrue(all(np.isfinite(losses)))
                self.assertLess(np.mean(losses[-3:]), np.mean(losses[:3]))
                self.assertEqual(weights_of(self.last())["patch_embed.proj.weight"].shape, (4, channels, 4, 4))
                panels = sorted((self.run_dir / "samples").glob("*.png"))
                self.assertEqual(len(panels), 6)
                self.assertGreater(np.asarray(Image.open(panels[-1])).std(), 5, "a panel shows something")

    def test_accumulation_equals_the_big_batch(self):
        """Adam's eps is large here: with a small one, parameters whose gradient is only rounding (the bias of the keys) move a full step."""
        make_pictures(self.tmp / "images", 12)
        runs = {}
        for micro in (0, 1, 2, 4):
            self.pretrain("train.batch_size=8", f"train.micro_batch={micro}", "model.drop_path_rate=0", "train.epochs=3", "optim.eps=0.01", run=f"run{micro}")
            runs[micro] = weights_of(self.last(f"run{micro}")), [line["loss"] for line in metrics(self.tmp / f"run{micro}", "train")]
        big, big_losses = runs.pop(0)
        for micro, (weights, losses) in runs.items():
            with self.subTest(micro_batch=micro):
                np.testing.assert_allclose(losses, big_losses, rtol=2e-5)
                worst = max(float(np.abs(weights[k] - big[k]).max()) for k in big if big[k].dtype == np.float32)
                self.assertLess(worst, 1e-5)
                self.assertGreater(worst, 0, "another order of adding, so not the very same bits: this test compared two runs")

    def test_drop_path_does_not_depend_on_the_micro_batch(self):
        """Its draws belong to the sample, like those of masks and flips."""
        make_pictures(self.tmp / "images", 8)
        args = ["train.batch_size=8", "model.drop_path_rate=0.5", "train.epochs=2"]
        self.pretrain(*args, run="big")
        self.pretrain(*args, "train.micro_batch=2", run="small")
        a, b = ([line["loss"] for line in metrics(self.tmp / run, "train")] for run in ("big", "small"))
        np.testing.assert_allclose(a, b, rtol=2e-5)

    def test_seed(self):
        make_pictures(self.tmp / "images", 6)
        for run, seed in [("a", 3), ("b", 3), ("c", 4)]:
            self.pretrain(f"run.seed={seed}", run=f"{run}/run")
        a, b, c = (read_safetensors(self.tmp / run / "run/checkpoints/last.safetensors")[0] for run in "abc")
        self.assertEqual(a, b)
        self.assert_same_metrics(self.tmp / "a/run", self.tmp / "b/run")
        for key in ("mask_token", "decoder_pred.weight", "layers.0.blocks.0.attn.qkv.weight", "optimizer.exp_avg.norm_up.weight"):
            self.assertNotEqual(a[key], c[key], key)
        with self.assertRaises(AssertionError):
            self.assert_same_metrics(self.tmp / "a/run", self.tmp / "c/run")

    def test_the_comparison_finds_one_bit(self):
        """What the tests of resuming rest on."""
        make_pictures(self.tmp / "images", 4)
        self.pretrain("train.epochs=1")
        data = bytearray(self.last().read_bytes())
        data[-6000] ^= 1
        (self.tmp / "other.safetensors").write_bytes(data)
        self.assert_same_checkpoint(self.last(), self.last())
        with self.assertRaises(AssertionError):
            self.assert_same_checkpoint(self.last(), self.tmp / "other.safetensors")

    def test_no_decay_of_norms_and_warm_up(self):
        make_pictures(self.tmp / "images", 8)
        self.pretrain("optim.decay_norm_and_bias=false", "optim.warmup_epochs=2", "train.epochs=4", "optim.lr=1e-3", "optim.min_lr=1e-4")
        rates = [line["lr"] for line in metrics(self.run_dir, "train")]
        expected = [1e-3 * s / 4 for s in range(4)] + [1e-4 + 0.5 * 9e-4 * (1 + np.cos(np.pi * s / 4)) for s in range(4)]
        np.testing.assert_allclose(rates, expected, rtol=1e-9)


class SourcesTest(TrainingTest):
    def test_manifest_with_split_column(self):
        make_pictures(self.tmp / "data/a", 6)
        make_pictures(self.tmp / "data/b", 3, first=50)
        rows = ["image,patient,split,age"]
        rows += [f"a/case{i:03d}.png,Mustermann-{i // 2},{'TRAIN' if i < 4 else 'test'},4{i}" for i in range(6)]
        rows += [f'"b/case{i:03d}.png",Musterfrau,val,' for i in (50, 51)]
        (self.tmp / "data/list.csv").write_text("\r\n".join(rows) + "\r\n")
        self.pretrain("data.val_fraction=0.5", images="data/list.csv")  # the column wins over the fraction
        splits = json.loads((self.run_dir / "splits.json").read_text())
        self.assertEqual(splits, {"train": [f"a/case{i:03d}.png" for i in range(4)], "val": ["b/case050.png", "b/case051.png"],
                                  "test": ["a/case004.png", "a/case005.png"]})
        self.assertEqual(len(metrics(self.run_dir, "val")), 2)

    def test_patients_stay_together(self):
        make_pictures(self.tmp / "images", 12)
        (self.tmp / "list.csv").write_text("image,patient\n" + "".join(f"images/case{i:03d}.png,p{i % 4}\n" for i in range(12)))
        for seed in range(3):
            self.pretrain("--overwrite", "data.val_fraction=0.3", f"run.seed={seed}", "train.max_steps=1", images="list.csv")
            splits = json.loads((self.run_dir / "splits.json").read_text())
            patients = {name: {int(file[-7:-4]) % 4 for file in files} for name, files in splits.items()}
            self.assertEqual(len(splits["train"]) + len(splits["val"]), 12)
            self.assertEqual(patients["train"] & patients["val"], set())
            self.assertEqual(len(patients["val"]), 1)

    def test_validation_folder(self):
        make_pictures(self.tmp / "images", 4)
        make_pictures(self.tmp / "validation/deep/er", 3, first=50, prefix="v")
        self.pretrain("data.val=validation", "train.validate_every=2", "train.epochs=5")
        self.assertEqual(json.loads((self.run_dir / "splits.json").read_text())["val"], [f"deep/er/v{i:03d}.png" for i in (50, 51, 52)])
        validations = metrics(self.run_dir, "val")
        self.assertEqual([line["epoch"] for line in validations], [1, 3, 4], "every second epoch, and the last")
        self.assertTrue((self.run_dir / "checkpoints/best.safetensors").exists())

    def test_16_bit_pictures_are_read_as_16_bit(self):
        """The same picture times 257 in 16 bit is the same input; with detail below one grey level it is not."""
        for folder in ("eight", "sixteen", "finer"):
            (self.tmp / folder).mkdir()
        for i in range(4):
            image = picture(i).astype(np.uint8)
            Image.fromarray(image).save(self.tmp / f"eight/{i}.png")
            Image.fromarray(image.astype(np.uint16) * 257).save(self.tmp / f"sixteen/{i}.png")
            Image.fromarray((picture(i) * 257).astype(np.uint16)).save(self.tmp / f"finer/{i}.png")
        losses = {}
        for folder in ("eight", "sixteen", "finer"):
            self.pretrain("train.epochs=1", images=folder, run=f"run-{folder}")
            losses[folder] = metrics(self.tmp / f"run-{folder}", "train")[0]["loss"]
        self.assertAlmostEqual(losses["eight"], losses["sixteen"], delta=1e-5)
        self.assertNotAlmostEqual(losses["eight"], losses["finer"], delta=1e-5)
        self.assertAlmostEqual(losses["eight"], losses["finer"], delta=0.1)

    def test_picture_formats(self):
        """PNG, JPEG, TIFF, BMP, grey, colour, palette and transparent, float TIFF, in one folder."""
        folder = make_pictures(self.tmp / "images", 1)
        grey, colour = Image.fromarray(picture(1).astype(np.uint8)), Image.fromarray(picture(2, channels=3).astype(np.uint8))
        grey.save(folder / "b.jpg"), colour.save(folder / "c.JPEG"), grey.save(folder / "d.tif"), colour.save(folder / "e.tiff"), grey.save(folder / "f.bmp")
        colour.convert("P").save(folder / "g.png"), colour.convert("RGBA").save(folder / "h.png"), colour.save(folder / "i.bmp")
        Image.fromarray(picture(3).astype(np.float32)).save(folder / "j.tif")
        done = self.pretrain("model.in_channels=3", "data.max_bad_fraction=0")
        self.assertIn("training: 10 images from 10 files", done.stderr)
        self.assertFalse((self.run_dir / "quarantine.jsonl").exists())

    def test_volumes(self):
        """The hippocampus volumes that are in the repository, as slices."""
        (self.tmp / "volumes").mkdir()
        for file in sorted(HIPPOCAMPUS.iterdir())[:4]:
            shutil.copy(file, self.tmp / "volumes")
        done = self.pretrain("data.val_fraction=0.25", "train.max_steps=6", "train.batch_size=8", "train.draw_every=1", images="volumes")
        self.assertRegex(done.stderr, r"training: \d{2,3} images from 3 files; validation: \d\d images from 1 files")
        self.assertEqual(len(metrics(self.run_dir, "val")), 1)
        self.assertEqual(len(list((self.run_dir / "samples").glob("*.png"))), 1)

    def test_weights_as_start(self):
        make_pictures(self.tmp / "images", 4)
        start = read_arrays(tiny_pth() / "expected.safetensors")
        for name in ("reference_style.pth", "plain_state_dict.pth", "expected.safetensors"):
            with self.subTest(name):
                self.pretrain("--overwrite", f"model.init={tiny_pth() / name}", "train.max_steps=1", "optim.lr=0", "train.epochs=1")
                weights = weights_of(self.last())
                for key, value in start.items():
                    np.testing.assert_array_equal(weights[key], value, key)


class FolderTest(TrainingTest):
    def test_files_of_a_run(self):
        make_pictures(self.tmp / "images", 10)
        done = self.pretrain("data.val_fraction=0.2", "train.epochs=4", "train.draw_every=2", "train.keep_every=3", "train.log_every=2")
        names = sorted(p.name for p in self.run_dir.iterdir())
        self.assertEqual([n for n in names if not n.startswith("events.out.tfevents.") and n != ".lock"],
                         ["checkpoints", "config.yaml", "data_card", "env.json", "metrics.jsonl", "samples", "sources.json", "splits.json", "train.log"])
        self.assertEqual(sum(n.startswith("events.out.tfevents.") for n in names), 1)
        self.assertEqual(sorted(p.name for p in (self.run_dir / "checkpoints").iterdir()),
                         ["best.safetensors", "epoch=3.safetensors", "last.safetensors", "previous.safetensors"])
        self.assertEqual(sorted(p.name for p in (self.run_dir / "samples").iterdir()), [f"reconstruction_epoch000{n}.png" for n in (1, 2, 4)])
        env = json.loads((self.run_dir / "env.json").read_text())
        for key in ("time", "command_line", "vmae_version", "vmae_revision", "libtorch", "host", "cpu", "device", "precision"):
            self.assertIn(key, env)
        self.assertEqual((env["device"], env["precision"]), ("cpu", "fp32"))
        self.assertIn("train.keep_every=3", env["command_line"])
        lines = metrics(self.run_dir)
        self.assertEqual([line["step"] for line in lines if line["kind"] == "val"], [2, 4, 6, 8])
        for line in lines:
            self.assertLessEqual({"loss", "lr", "grad_norm", "images_per_s", "data_wait_s"} if line["kind"] == "train" else {"loss"}, set(line))
        log = (self.run_dir / "train.log").read_text()
        self.assertIn("finished: 8 steps", log)
        self.assertIn("finished: 8 steps", done.stderr)
        self.assertIn("run/{checkpoints/best.safetensors", log)
        self.assertNotIn("\x1b", log)
        best = min((line["loss"], line["step"]) for line in lines if line["kind"] == "val")
        self.assertIn(f"best loss {best[0]:.4g}"[:14], log)
        self.check_tensorboard(next(self.run_dir.glob("events.out.tfevents.*")), lines)

    def check_tensorboard(self, file, lines):
        """The records' lengths and the tags; a reader of the format is in the unit tests."""
        data, at, records = file.read_bytes(), 0, []
        while at < len(data):
            length = int.from_bytes(data[at:at + 8], "little")
            records.append(data[at + 12:at + 12 + length])
            at += length + 16
        self.assertEqual(at, len(data))
        self.assertIn(b"brain.Event:2", records[0])
        for tag in (b"train/loss", b"train/lr", b"train/grad_norm", b"train/images_per_s", b"train/data_wait_s", b"val/loss"):
            kind = tag.split(b"/")[0].decode()
            self.assertEqual(sum(tag in r for r in records), sum(line["kind"] == kind for line in lines), tag)
        self.assertEqual(sum(b"\x89PNG" in r for r in records), 3)

    def test_dry_run_writes_nothing(self):
        make_pictures(self.tmp / "images", 4)
        before = sorted(self.tmp.rglob("*"))
        done = self.pretrain("--dry-run", "data.val_fraction=0.25", "train.draw_every=1")
        self.assertEqual(sorted(self.tmp.rglob("*")), before)
        self.assertRegex(done.stderr, r"peak memory [\d.]+ [KMG]iB")
        self.assertIn("nothing was written", done.stderr)
        self.assertIn("plan: ", done.stderr)
        self.pretrain("--dry-run", run="")  # and needs no run.dir
        self.pretrain()
        self.pretrain("--dry-run")  # nor minds an existing run

    def test_dry_run_says_how_long_it_takes(self):
        """Steps after the first are timed, and what they say is multiplied by the plan's."""
        make_pictures(self.tmp / "images", 12)
        for more, steps, epochs in ((["train.batch_size=4", "train.epochs=7"], 3, 7), (["train.steps_per_epoch=2", "train.epochs=20"], 2, 20)):
            done = self.pretrain("--dry-run", *more)
            said = re.search(r"time: about ([\d.]+) s per epoch \((\d+) steps of ([\d.]+) s\), ([\d.]+) s in all: an estimate from the mean of (\d+) steps after "
                             r"the first on this machine", done.stderr)
            self.assertTrue(said, done.stderr)
            epoch_s, step_s, run_s = (float(said[i]) for i in (1, 3, 4))
            self.assertEqual(int(said[2]), steps)
            self.assertAlmostEqual(epoch_s, steps * step_s, delta=0.02 * epoch_s + 0.1)
            self.assertAlmostEqual(run_s, epochs * steps * step_s, delta=0.02 * run_s + 0.1)
            self.assertEqual(int(said[5]), 10)
            self.assertRegex(done.stderr, r"dry run: 11 steps made")
        done = self.pretrain("--dry-run", "train.max_steps=1")
        self.assertIn("an estimate from one step, which was slower than those that follow", done.stderr)
        self.assertFalse(self.run_dir.exists())

    def test_a_dry_run_ends_at_once_when_it_is_stopped(self):
        """Not after its step: of a batch for a GPU a step can take minutes on a laptop."""
        make_pictures(self.tmp / "images", 8)
        process = self.start("pretrain", "--dry-run", *TINY, "data.train=images", "data.val_fraction=0", "train.batch_size=40000", "train.micro_batch=8",
                             "train.steps_per_epoch=9")  # 5000 forward passes a step
        self.assertTrue(self.wait_for(lambda: "plan: " in process.log.read_text(), process, "the plan"))
        process.terminate()  # not SIGINT, which is ignored where the tests run in the background
        self.wait_exit(process, -signal.SIGTERM)
        self.assertNotIn(" made, loss", process.log.read_text())

    def test_the_first_panel_comes_within_the_first_epoch(self):
        make_pictures(self.tmp / "images", 4)
        more = ["train.steps_per_epoch=101", "train.batch_size=1", "train.log_every=101"]
        self.pretrain(*more, "train.epochs=1", "train.draw_every=10")
        self.assertEqual(sorted(p.name for p in (self.run_dir / "samples").iterdir()), ["reconstruction_epoch0000.png", "reconstruction_epoch0001.png"])
        self.pretrain("--overwrite", *more, "train.epochs=1")
        self.assertEqual(list(self.run_dir.glob("samples/*")), [])

    def test_overwrite_keeps_foreign_files(self):
        make_pictures(self.tmp / "images", 4)
        self.pretrain("train.epochs=3")
        for name in ("notes.md", "plots/figure.png", ".hidden"):
            (self.run_dir / name).parent.mkdir(exist_ok=True)
            (self.run_dir / name).write_text("mine")
        self.pretrain("train.epochs=1", "--overwrite")
        self.assertEqual(last_step(self.run_dir), 1)
        self.assertEqual(len(list(self.run_dir.glob("events.out.tfevents.*"))), 1)
        for name in ("notes.md", "plots/figure.png", ".hidden"):
            self.assertEqual((self.run_dir / name).read_text(), "mine")

    def test_a_folder_with_foreign_files_may_become_a_run(self):
        make_pictures(self.tmp / "images", 4)
        self.run_dir.mkdir()
        (self.run_dir / "notes.md").write_text("mine")
        self.pretrain()
        self.assertEqual((self.run_dir / "notes.md").read_text(), "mine")

    def test_config_of_a_run_reproduces_it(self):
        make_pictures(self.tmp / "images", 7)
        self.pretrain("data.val_fraction=0.3", "optim.betas=[0.85,0.97]", "optim.lr=0.00123", "train.draw_every=1", "run.seed=12", "train.micro_batch=2")
        kept = self.run_dir.rename(self.tmp / "kept")
        self.vmae("pretrain", "--config", "kept/config.yaml")
        self.assertEqual((kept / "config.yaml").read_text(), (self.run_dir / "config.yaml").read_text())
        self.assert_same_run(kept, self.run_dir)

    def test_nothing_says_who_the_patients_are(self):
        """No path of the input, no patient, in what people pass on. (config.yaml, sources.json and the command line in env.json hold what the user typed.)"""
        secret = self.tmp / "St-Elsewhere-Hospital"
        make_pictures(secret / "images", 8)
        (secret / "list.csv").write_text("image,patient,birth\n" + "".join(f"images/case{i:03d}.png,Mustermann Erika {i % 4},1971-02-0{i}\n" for i in range(8)))
        self.pretrain("data.val_fraction=0.25", "train.draw_every=1", images=secret / "list.csv")
        self.assertNotEqual(json.loads((self.run_dir / "splits.json").read_text())["val"], [])
        for path in self.run_dir.rglob("*"):
            if not path.is_file() or path.name in ("config.yaml", "sources.json"):
                continue
            text = path.read_bytes()
            if path.name == "env.json":
                env = json.loads(text)
                env.pop("command_line")
                text = json.dumps(env).encode()
            for word in (b"Mustermann", b"1971-02"):
                self.assertNotIn(word, text, path)
            if path.suffix != ".safetensors":  # which hold config.yaml
                self.assertNotIn(b"Elsewhere", text, path)


if __name__ == "__main__":
    unittest.main()
