# SPDX-License-Identifier: Apache-2.0
"""Contrastive pretraining: like every other in training, stopping, ranks and what comes after it."""
import csv
import json
import unittest

import numpy as np
import torch

from finetuning import PRETRAIN, STS001, SWIN, FinetuneTest, make_class_manifest, make_segmentation
from harness import SHALLOW, SIGTERM, TINY, VmaeTest, last_step, make_pictures, metrics, nifti_bytes, picture, read_arrays, read_safetensors, weights_of, write_safetensors
from ranks import RanksTest, tiny_run

SIMCLR = "model.name=simclr"
HEAD = ["model.projection_dim=16"]


class TrainingTest(VmaeTest):
    def pretrain(self, *more, run="run", data="images", **kw):
        return self.vmae("pretrain", SIMCLR, *HEAD, *TINY, SHALLOW, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def test_learns_to_tell_its_images_apart(self):
        make_pictures(self.tmp / "images", 32)
        make_pictures(self.tmp / "val", 16, first=100)
        mild = ["views.crop_area=[0.5,1]", "views.brightness=0.2", "views.contrast=0.2", "model.drop_path_rate=0", "data.flip_horizontal=0"]
        self.pretrain("data.val=val", "train.epochs=30", "train.batch_size=16", "optim.lr=3e-3", "train.validate_every=10", "train.draw_every=0", "model.embed_dim=8", *mild)
        found = metrics(self.tmp / "run", "val")
        self.assertGreater(found[-1]["accuracy"], 0.1)  # by chance 1 of 31
        self.assertNotIn("kNN_AUROC", found[-1])
        curve = [line["loss"] for line in metrics(self.tmp / "run", "train")]
        self.assertLess(np.mean(curve[-5:]), np.mean(curve[:5]) - 2)

    def test_labels_are_measured_where_there_are_any(self):
        rows = []
        for i in range(24):
            (self.tmp / "images").mkdir(exist_ok=True)
            make_pictures(self.tmp / "images", 1, first=i)
            rows.append([f"images/case{i:03d}.png", f"p{i // 2}", "a" if i % 2 else "b", "val" if i >= 12 else "train"])
        with open(self.tmp / "list.csv", "w", newline="") as file:
            csv.writer(file).writerows([["image", "patient", "label", "split"], *rows])
        self.pretrain("train.epochs=1", data="list.csv")
        self.assertIn("kNN_AUROC", metrics(self.tmp / "run", "val")[-1])

    def test_a_run_that_was_stopped_goes_on_bit_for_bit(self):
        for name in ("adamw", "lars", "sgd"):
            options = [f"optim.name={name}", "train.epochs=4", "data.val=val", "data.flip_vertical=0.3", "model.drop_path_rate=0.3", "train.draw_every=2"]
            folders = [self.tmp / name / kind for kind in ("whole", "parts")]
            for folder in folders:
                make_pictures(folder / "images", 11)
                make_pictures(folder / "val", 5, first=100)
            self.pretrain(*options, cwd=folders[0])
            process = self.start("pretrain", SIMCLR, *HEAD, *TINY, SHALLOW, "data.train=images", "run.dir=run", *options, cwd=folders[1])
            self.wait_for(lambda: last_step(folders[1] / "run") >= 4, process, "step 4")
            process.send_signal(SIGTERM)
            self.assertIn(process.wait(60), (0, 75))
            self.pretrain("--resume", *options, cwd=folders[1])
            for file in ("last.safetensors", "best.safetensors"):
                self.assert_same_checkpoint(folders[0] / "run/checkpoints" / file, folders[1] / "run/checkpoints" / file)
            self.assert_same_metrics(folders[0] / "run", folders[1] / "run")
            keys = read_safetensors(folders[1] / "run/checkpoints/last.safetensors")[0]
            self.assertIn({"adamw": "optimizer.exp_avg.", "lars": "optimizer.velocity.", "sgd": "optimizer.momentum."}[name] + "norm.weight", keys)

    def test_another_optimizer_has_no_state_to_go_on_with(self):
        make_pictures(self.tmp / "images", 8)
        self.pretrain("train.epochs=1")  # of 8 images one validates: nothing to compare it with
        self.assertEqual(metrics(self.tmp / "run", "val"), [])
        done = self.pretrain("--resume", "train.epochs=2", "optim.name=lars", expect=4)
        self.assertIn("optim.name", done.stderr)

    def test_what_can_not_be(self):
        make_pictures(self.tmp / "images", 8)
        for options, code, texts in ((["train.micro_batch=2"], 2, ["train.micro_batch = 2", "can't be taken in parts", "smaller train.batch_size"]),
                                     (["train.batch_size=1"], 2, ["train.batch_size = 1"]),
                                     (["data.intensity=zscore"], 2, ["data.intensity", "[0, 1]"]),
                                     (["views.crop_area=[0.5,0.2]"], 2, ["views.crop_area = [0.5, 0.2]", "the smaller first"]),
                                     (["views.crop_area=0.5"], 2, ["views.crop_area", "two values"]),
                                     (["model.temperature=0"], 2, ["model.temperature"])):
            done = self.pretrain(*options, expect=code)
            for text in texts:
                self.assertIn(text, done.stderr, options)
            self.assertFalse((self.tmp / "run/checkpoints/last.safetensors").exists())
        self.assertFalse((self.tmp / "run").exists(), "nothing is begun")
        (self.tmp / "one").mkdir()
        make_pictures(self.tmp / "one", 1)
        self.assertIn("one training image", self.pretrain("data.val_fraction=0", data="one", expect=3).stderr)
        self.vmae("pretrain", *TINY, SHALLOW, "data.train=images", "run.dir=mae", "train.epochs=1")
        done = self.pretrain("model.init=mae", expect=4)
        self.assertIn("holds weights of mae, but model.name = simclr", done.stderr)
        done = self.vmae("pretrain", SIMCLR, *TINY, SHALLOW, "data.train=images", "run.dir=mae", "train.epochs=2", "--resume", expect=4)
        self.assertIn("mae is a run of mae, but this one trains simclr", done.stderr)
        self.assertIn("go on with `vmae pretrain model.name=mae`", done.stderr)

    def test_keys_that_mean_nothing_are_named_with_their_values(self):
        make_pictures(self.tmp / "images", 8)
        short = ["train.epochs=1", "train.max_steps=1"]
        done = self.pretrain("model.mask_ratio=0.5", "optim.trust_coefficient=0.01", *short)
        self.assertIn("model.mask_ratio = 0.5, optim.trust_coefficient = 0.01", done.stderr)
        self.assertNotIn("means nothing", self.pretrain("optim.name=lars", "optim.trust_coefficient=0.01", *short, "--overwrite").stderr)
        done = self.vmae("pretrain", *TINY, SHALLOW, "data.train=images", "run.dir=mae", "views.blur=0", "model.temperature=0.2", "optim.name=sgd", "optim.eps=1e-6", *short)
        self.assertRegex(done.stderr, r"warning means nothing with model.name = mae, optim.name = sgd.*: views.blur = 0, model.temperature = 0.2, optim.eps = 1e-0?6\n")
        self.assertIn("it is a key of vmae plan", self.pretrain("plan.gpu_memory_gb=4", expect=2).stderr)

    def test_a_picture_that_breaks_on_the_way_ends_nothing(self):
        make_pictures(self.tmp / "images", 9)
        make_pictures(self.tmp / "val", 5, first=100)
        self.pretrain("data.val=val", "train.epochs=1", "data.max_bad_fraction=0.5")
        (self.tmp / "val/case100.png").write_bytes(b"no picture")
        (self.tmp / "images/case002.png").write_bytes(b"no picture")
        self.pretrain("data.val=val", "train.epochs=3", "data.max_bad_fraction=0.5", "train.draw_every=1", "--overwrite")
        self.assertEqual(len(list((self.tmp / "run/samples").glob("views_*"))), 3)
        self.assertIn("case100.png", (self.tmp / "run/quarantine.jsonl").read_text())

    def test_half_precision_and_parts_of_a_file_of_splits(self):
        make_pictures(self.tmp / "images", 20)
        self.vmae("split", "--input", "images", "--output", "splits.json", "split.scheme=5fold", "split.fractions=[50]")
        parts = ["data.splits=splits.json", "data.fold=1", "data.label_fraction=50"]
        for precision in ("fp32", "bf16"):
            self.pretrain(*parts, "train.epochs=2", f"train.precision={precision}", run=precision)
        self.assertEqual({part: len(names) for part, names in json.loads((self.tmp / "bf16/splits.json").read_text()).items()}, {"train": 7, "val": 2, "test": 4})
        single, half = ([line["loss"] for line in metrics(self.tmp / run, "train")] for run in ("fp32", "bf16"))
        np.testing.assert_allclose(half, single, rtol=0.05)
        self.assertNotEqual(half, single)

    def test_epochs_are_of_whole_batches(self):
        make_pictures(self.tmp / "images", 18)
        self.pretrain("data.val_fraction=0", "train.epochs=2")  # of 4
        self.assertEqual(last_step(self.tmp / "run"), 2 * 4)
        self.assertNotIn(0, [line["loss"] for line in metrics(self.tmp / "run", "train")])

    def test_a_dry_run_says_how_long_and_the_config_comes_back(self):
        make_pictures(self.tmp / "images", 8)
        self.assertIn("dry run", self.pretrain("--dry-run", "train.precision=bf16").stderr)
        printed = self.pretrain("--print-config", "views.blur=0.25").stdout
        (self.tmp / "c.yaml").write_text(printed)
        self.assertEqual(self.vmae("pretrain", "--config", "c.yaml", "--print-config").stdout, printed)
        self.assertIn("blur: 0.25", printed)

    def test_views_are_drawn_in_any_format_and_number_of_channels(self):
        make_pictures(self.tmp / "colour", 6, channels=3, height=50, width=90)
        (self.tmp / "volumes").mkdir()
        for i in range(2):
            volume = np.stack([picture(10 * i + z, 40, 48) for z in range(5)], -1)
            (self.tmp / f"volumes/v{i}.nii").write_bytes(nifti_bytes(volume))
        for data, more in (("colour", ["model.in_channels=3"]), ("volumes", ["data.val_fraction=0.5"])):
            self.pretrain(*more, "train.epochs=1", run=f"run-{data}", data=data)
            self.assertTrue(list((self.tmp / f"run-{data}/samples").glob("*views*")))


class RanksOfContrastTest(RanksTest):
    def test_ranks_have_the_loss_and_gradient_of_one_process(self):
        """Of 8 images, and of 5, which do not divide; SGD's first momentum is the gradient."""
        for batch in (8, 5):
            make_pictures(self.tmp / "images", 24)
            options = [SIMCLR, "model.projection_dim=16", "train.max_steps=1", f"train.batch_size={batch}", "optim.name=sgd", "optim.weight_decay=0", SHALLOW]
            found = {}
            for size in (1, 2, 4):
                run = f"run{batch}-{size}"
                self.train(size, *tiny_run("images", run, *options))
                arrays = read_arrays(self.tmp / run / "checkpoints/last.safetensors")
                found[size] = (metrics(self.tmp / run, "train")[-1]["loss"], {k: v for k, v in arrays.items() if k.startswith("optimizer.momentum.")})
            for size in (2, 4):
                self.assertLess(abs(found[size][0] / found[1][0] - 1), 1e-6, "loss")
                largest = max(np.max(np.abs(expected)) for expected in found[1][1].values())
                for key, gradient in found[size][1].items():  # some are 0 but for rounding: batch norm takes shifts away
                    expected = found[1][1][key]
                    self.assertLess(np.max(np.abs(gradient - expected)), 3e-7 * largest + 1e-5 * np.max(np.abs(expected)), f"{key}, {size} ranks")

    def test_two_ranks_that_were_stopped_go_on_bit_for_bit(self):
        folders = [self.tmp / name for name in ("whole", "parts")]
        for folder in folders:
            make_pictures(folder / "images", 19)
        run = tiny_run("images", "run", SIMCLR, "model.projection_dim=16", SHALLOW, "optim.name=lars", "train.epochs=24")
        self.train(2, *run, cwd=folders[0])
        processes = self.start_ranks(2, *run, cwd=folders[1])
        self.assertTrue(self.wait_for(lambda: last_step(folders[1] / "run") >= 3, processes[0], "step 3"))
        processes[1].send_signal(SIGTERM)
        self.wait_ranks(processes, 75, timeout=30)
        self.assertLess(last_step(folders[1] / "run"), last_step(folders[0] / "run"))
        self.train(2, *run, "--resume", cwd=folders[1])
        self.assert_same_checkpoint(*(folder / "run/checkpoints/last.safetensors" for folder in folders))
        self.assert_same_metrics(*(folder / "run" for folder in folders))

    def test_validation_is_that_of_one_process(self):
        """5 validation images, one of them broken, 4 ranks: some have none of a batch."""
        make_pictures(self.tmp / "images", 8)
        rows = [["image", "label", "split"], *([f"images/case{i:03d}.png", "ab"[i % 2], "train"] for i in range(8))]
        make_pictures(self.tmp / "images", 5, first=8)
        (self.tmp / "images/case009.png").write_bytes(b"no picture")
        rows += [[f"images/case{i:03d}.png", "ab"[i % 2], "val"] for i in range(8, 13)]
        with open(self.tmp / "list.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
        found = []
        for size in (1, 2, 4):
            self.train(size, *tiny_run("list.csv", f"run{size}", SIMCLR, "model.projection_dim=16", SHALLOW, "train.batch_size=4", "train.epochs=1",
                                       "optim.lr=0", "data.max_bad_fraction=0.5"))
            found.append(metrics(self.tmp / f"run{size}", "val")[-1])
        for other in found[1:]:
            for key in ("loss", "accuracy", "kNN_AUROC"):
                self.assertAlmostEqual(other[key], found[0][key], delta=1e-5 * max(1, found[0]["loss"]), msg=key)


class AfterwardsTest(FinetuneTest):
    """Its weights in what takes weights."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = [SIMCLR, *HEAD, *SWIN]

    def pretrained(self):
        make_pictures(self.tmp / "unlabelled", 12)
        self.vmae("pretrain", *self.model, *PRETRAIN, "data.train=unlabelled", "run.dir=simclr")
        return self.tmp / "simclr"

    def test_the_encoder_moves_into_a_classifier_and_the_head_stays_behind(self):
        run = self.pretrained()
        make_class_manifest(self.tmp, (8, 8))
        done = self.cls(f"model.init={run}", "train.epochs=1", "optim.lr=0", data="list.csv")
        self.assertIn("dropped (not used): projection (8)", done.stderr)
        before, after = weights_of(run / "checkpoints/best.safetensors"), weights_of(self.tmp / "run/checkpoints/last.safetensors")
        for key in ("patch_embed.proj.weight", "layers.3.blocks.0.mlp.fc2.weight", "norm.weight"):
            np.testing.assert_array_equal(before[key], after[key])

    def test_a_segmenter_begins_with_the_encoder_and_dicom_and_prepared_images_are_taken(self):
        run = self.pretrained()
        make_segmentation(self.tmp / "data", 6)
        done = self.seg(f"model.init={run}", "train.epochs=1")
        self.assertIn("; encoder): ", done.stderr)
        self.vmae("export", "--weights", run, "--output", "simclr.pth")
        self.vmae("pretrain", *self.model, *PRETRAIN, f"data.train={STS001}", "run.dir=dicom", "train.epochs=1", "data.val_fraction=0", "data.max_bad_fraction=0.9")
        self.vmae("prepare", "--input", "unlabelled", "--output", "prepared")
        self.vmae("pretrain", *self.model, *PRETRAIN, "data.train=prepared", "run.dir=of_prepared", "train.epochs=1")
        for name in ("dicom", "of_prepared"):
            self.assertGreater(last_step(self.tmp / name), 0)

    def test_features_are_those_of_the_encoder_and_nothing_is_predicted(self):
        run = self.pretrained()
        self.vmae("features", "--weights", run, "--input", "unlabelled", "--output", "features.csv")
        self.assertEqual(len((self.tmp / "features.csv").read_text().splitlines()), 13)
        make_pictures(self.tmp / "data", 2)
        done = self.predict(weights=run, input="data", expect=4)
        self.assert_says(done, "contrastive pretraining predicts nothing", "finetune")
        text = self.vmae("inspect", run).stdout
        self.assertIn("simclr", text)

    def test_forward_gives_features_and_projections(self):
        run = self.pretrained()
        image = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(0)).numpy()
        write_safetensors(self.tmp / "in.safetensors", {"image": image})
        self.vmae("forward", "--model", "simclr", "--weights", run, "--input", "in.safetensors", "--output", "out.safetensors")
        out = read_arrays(self.tmp / "out.safetensors")
        from vmae_model import load_model
        with torch.no_grad():
            features, projection = load_model(str(run))(torch.tensor(image))
        np.testing.assert_allclose(out["features"], features, atol=2e-5)
        np.testing.assert_allclose(out["projection"], projection, atol=2e-4)  # batch norm of 5 rows


if __name__ == "__main__":
    unittest.main()
