# SPDX-License-Identifier: Apache-2.0
"""Mistakes in labelled data: each is named, with the case, and ends as documented; nothing is trained on what is not there."""
import json
import re
import unittest

import numpy as np
from PIL import Image

from finetuning import FinetuneTest, best, class_picture, labelled_picture, make_class_manifest, make_segmentation, metadata, trained, write_nifti
from harness import metrics


class MaskTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 8)
        self.masks = self.tmp / "data/masks"

    def change(self, number, change):
        file = self.masks / f"case{number:03d}.png"
        mask = np.asarray(Image.open(file)).copy()
        Image.fromarray(change(mask)).save(file)

    def quarantined(self, run="run"):
        return [json.loads(line) for line in (self.tmp / run / "quarantine.jsonl").read_text().splitlines()]

    def test_value_out_of_range(self):
        def seven(mask):
            mask[0, 0] = 7
            return mask
        self.change(3, seven)
        done = self.seg("data.classes=[round,square]", expect=3)
        self.assert_says(done, "case003.png", "the value 7", "classes 0 to 2", "data.classes")
        self.assertEqual(metrics(self.tmp / "run"), [])
        self.seg("data.classes=[round,square]", "data.ignore_label=7", "train.max_steps=1")

    def test_data_test_is_looked_at_before_training(self):
        make_segmentation(self.tmp / "test", 2, first=50)
        file = self.tmp / "test/masks/case051.png"
        mask = np.asarray(Image.open(file)).copy()
        mask[0, 0] = 7
        Image.fromarray(mask).save(file)
        done = self.seg("data.classes=[round,square]", "data.test=test", expect=3)
        self.assert_says(done, "case051.png", "the value 7")
        self.assertEqual(metrics(self.tmp / "run"), [])
        make_class_manifest(self.tmp / "cls", (4, 4, 4))
        make_class_manifest(self.tmp / "other", (2, 2, 2), names=("up", "down", "sideways"))
        done = self.cls("data.test=other/list.csv", data="cls/list.csv", run="cls-run", expect=3)
        self.assert_says(done, "data.test = other/list.csv has the classes", "sideways", "none")
        self.assertEqual(metrics(self.tmp / "cls-run"), [])

    def test_value_out_of_range_in_a_volume(self):
        """With the slice that holds it."""
        for i in range(2):
            mask = np.zeros((20, 24, 4), np.uint8)
            mask[5:9, 5:9] = 1
            mask[2, 3, 2] = 9 if i else 1
            write_nifti(self.tmp / f"vol/images/v{i}.nii.gz", np.random.default_rng(i).normal(size=mask.shape).astype(np.float32), np.diag([1, 1, 3, 1]))
            write_nifti(self.tmp / f"vol/labels/v{i}.nii.gz", mask, np.diag([1, 1, 3, 1]))
        done = self.seg("data.classes=[organ]", "data.val_fraction=0", data="vol", expect=3)
        self.assert_says(done, "v1.nii.gz#z2", "the value 9")

    def test_fractions_are_no_labels(self):
        write_nifti(self.tmp / "vol/images/v0.nii.gz", np.random.default_rng(0).normal(size=(20, 24, 4)).astype(np.float32), np.diag([1, 1, 3, 1]))
        write_nifti(self.tmp / "vol/labels/v0.nii.gz", np.full((20, 24, 4), 0.5, np.float32), np.diag([1, 1, 3, 1]))
        self.assert_says(self.seg("data.val_fraction=0", data="vol", expect=3), "v0.nii.gz", "0.5")

    def test_mask_of_another_size(self):
        self.change(2, lambda mask: mask[:-3])
        done = self.seg(expect=3)  # one of eight is above data.max_bad_fraction
        self.assert_says(done, "case002.png", "quarantine.jsonl")
        done = self.seg("data.max_bad_fraction=0.2")
        (record,) = self.quarantined()
        self.assertEqual(record["file"], "images/case002.png")
        self.assertRegex(record["reason"], "(?i)mask")
        self.assertRegex(record["reason"], "45.*48|48.*45")

    def test_mask_of_a_volume_on_another_grid(self):
        """Equal sizes, but moved by a voxel, or with other axes."""
        image = np.random.default_rng(0).normal(size=(20, 24, 4)).astype(np.float32)
        mask = np.zeros(image.shape, np.uint8)
        mask[5:9, 5:9] = 1
        affine = np.diag([1.0, 1, 3, 1])
        moved, turned = affine.copy(), np.diag([-1.0, 1, 3, 1])
        moved[0, 3] = 1
        for i, other in enumerate((affine, moved, turned, affine)):
            write_nifti(self.tmp / f"vol/images/v{i}.nii.gz", image, affine)
            write_nifti(self.tmp / f"vol/labels/v{i}.nii.gz", mask, other)
        self.seg("data.max_bad_fraction=0.6", "data.val_fraction=0", data="vol")
        self.assertEqual([r["file"] for r in self.quarantined()], ["images/v1.nii.gz", "images/v2.nii.gz"])
        self.assertRegex(self.quarantined()[0]["reason"], "(?i)mask.*(origin|grid)")

    def test_what_cant_be_used_is_not_counted_as_empty(self):
        make_segmentation(self.tmp / "data", 24)
        self.change(3, lambda mask: mask[::2, ::2])
        (self.tmp / "data/images/case005.png").write_bytes((self.tmp / "data/images/case005.png").read_bytes()[:300])
        self.change(7, lambda mask: 0 * mask)
        done = self.seg("data.val_fraction=0", "data.max_bad_fraction=0.2", "train.max_steps=1")
        self.assertRegex(done.stderr, r"training masks: 21 of 22 slices have foreground; .*; slices that can't be used: 2\n")
        self.vmae("inspect", "data", "--card", "card")
        for card in ("run/data_card", "card"):
            [part] = [part for part in json.loads((self.tmp / card / "card.json").read_text())["parts"] if part["cases"]]
            self.assertEqual([part["cases_with_mask"], part["images"], part["images_without_foreground"]], [22, 22, 1], card)

    def test_missing_and_broken_masks(self):
        (self.masks / "case002.png").write_bytes(b"no picture")
        self.seg("data.max_bad_fraction=0.3")
        self.assertEqual([r["file"] for r in self.quarantined()], ["images/case002.png"])
        self.assertIn("its mask can't be used", self.quarantined()[0]["reason"])
        self.assert_says(self.seg("--overwrite", "data.max_bad_fraction=0", expect=3), "1 of 8 files", "images/case002.png", "its mask can't be used")
        (self.masks / "case001.png").unlink()
        self.assert_says(self.seg("--overwrite", "data.max_bad_fraction=0.3", expect=3), "case001.png has no mask", "leave the image out")

    def test_pixels_that_are_no_numbers(self):
        Image.fromarray(np.full((48, 40), np.nan, np.float32)).save(self.tmp / "data/images/case004.tif")
        (self.tmp / "data/images/case004.png").unlink()
        done = self.seg("data.max_bad_fraction=0.2")
        (record,) = self.quarantined()
        self.assertEqual(record["file"], "images/case004.tif")
        self.assertRegex(record["reason"], "NaN|not finite|infinite")
        self.assertTrue(all(np.isfinite(line["loss"]) for line in metrics(self.tmp / "run")))
        self.assert_says(done, "case004")

    def test_ignored_pixels_of_masks_without_foreground(self):
        """Masks of 0 and 255 alone beside others with 1: 255 is to be ignored in all of them, and is no class anywhere."""
        for i in range(8):
            self.change(i, lambda mask, i=i: np.where(mask == 2, 255, 0 if i % 2 else mask).astype(np.uint8))
        expected = sum((np.asarray(Image.open(f)) == 1).sum() for f in self.masks.iterdir())
        done = self.seg("data.classes=[round]", "data.ignore_label=255", "data.val_fraction=0", "train.epochs=1")
        self.assertEqual(int(re.search(r"pixels: round (\d+)", done.stderr).group(1)), expected)
        self.assertIn("4 of 8 slices have foreground", done.stderr)

    def test_no_masks(self):
        make_class_manifest(self.tmp / "cls", (3, 3))
        done = self.seg(data="cls/list.csv", expect=3)
        self.assertRegex(done.stderr, "(?i)mask")
        (self.tmp / "empty").mkdir()
        self.assert_says(self.seg(data="empty", expect=3), "no images")
        self.assert_says(self.seg(data="", expect=2), "data.train is not set")

    def test_all_background(self):
        """In training: nothing to learn, exit 3. In validation: the loss decides, and it is said."""
        for i in range(8):
            self.change(i, lambda mask: mask * 0 if i >= 6 else mask)
        rows = ["image,mask,split", *(f"images/case{i:03d}.png,masks/case{i:03d}.png,{'val' if i >= 6 else 'train'}" for i in range(8))]
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        done = self.seg("data.classes=[round,square]", "train.epochs=5", "optim.lr=1e-2", data="data/list.csv")
        self.assert_says(done, "no validation mask has any foreground", "the loss decides")
        lines = metrics(self.tmp / "run", "val")
        self.assertEqual(set(lines[0]), {"kind", "step", "epoch", "loss"})
        state = json.loads(metadata(self.tmp / "run/checkpoints/last.safetensors")["state"])
        self.assertEqual(state["best_epoch"], int(np.argmin([line["loss"] for line in lines])))
        self.assertTrue(best(self.tmp / "run").exists())
        (self.tmp / "data/list.csv").write_text("\n".join(rows).replace("train", "x").replace("val", "train").replace(",x", ",val") + "\n")
        self.assert_says(self.seg("--overwrite", "data.classes=[round,square]", data="data/list.csv", expect=3), "no training mask has any foreground")

    def test_class_missing_in_a_fraction(self):
        """Only two of ten training cases have class 2; a fraction without them is warned about, by name."""
        for i in range(8):
            self.change(i, lambda mask, i=i: np.where((mask == 2) & (i < 7), 0, mask).astype(np.uint8))
        names = [f"images/case{i:03d}.png" for i in range(8)]
        fold = {"train": [n for n in names if n[-5] not in "5"], "val": ["images/case005.png"], "fractions": {"50": names[:3]}}
        (self.tmp / "splits.json").write_text(json.dumps({"format": "vmae-splits", "version": 1, "folds": [fold]}))
        options = ["data.classes=[round,square]", "data.splits=splits.json", "train.epochs=1"]
        done = self.seg(*options, "data.label_fraction=50")
        self.assert_says(done, "square", "is in no training mask", "is in no validation mask")
        line = metrics(self.tmp / "run", "val")[-1]
        self.assertNotIn("no training mask", self.seg(*options, "--overwrite").stderr)
        self.assertTrue(np.isfinite(line["Dice"]) and np.isfinite(line["loss"]))

    def test_more_classes_named_than_there_are(self):
        done = self.seg("data.classes=[round,square,oval]", "train.epochs=1")
        self.assert_says(done, "oval", "is in no training mask")
        self.assertEqual(len(json.loads(metadata(best(self.tmp / "run"))["class_names"])), 3)

    def test_ignore_label_that_is_a_class(self):
        self.assert_says(self.seg("data.ignore_label=1", expect=2), "data.ignore_label", "also a class")


class LabelTest(FinetuneTest):
    def test_one_class(self):
        make_class_manifest(self.tmp / "data", (6,))
        done = self.cls(data="data/list.csv", expect=3)
        self.assert_says(done, "the same label", "up")

    def test_fold_with_one_class_in_training(self):
        make_class_manifest(self.tmp / "data", (6, 2))
        names = [f"images/p{i:03d}.png" for i in range(8)]
        folds = [{"train": names[:5], "val": names[5:]}, {"train": names[2:], "val": names[:2]}]
        (self.tmp / "splits.json").write_text(json.dumps({"format": "vmae-splits", "version": 1, "folds": folds}))
        done = self.cls("data.splits=splits.json", "--fold", "all", data="data/list.csv", expect=3)
        self.assert_says(done, "fold 0", "the same label")
        done = self.cls("data.splits=splits.json", "--fold", "1", "train.epochs=3", data="data/list.csv")  # one class validates
        self.assert_says(done, "AUROC is not measured", "the loss decides")
        lines = metrics(self.tmp / "run/fold_1", "val")
        self.assertNotIn("AUROC", lines[0])
        state = json.loads(metadata(self.tmp / "run/fold_1/checkpoints/last.safetensors")["state"])
        self.assertEqual(state["best_epoch"], int(np.argmin([line["loss"] for line in lines])))

    def test_class_missing_in_training(self):
        make_class_manifest(self.tmp / "data", (6, 6, 3))
        text = (self.tmp / "data/list.csv").read_text().splitlines()
        rows = [line.replace('"', "") for line in text]
        rows = [rows[0] + ",split", *(f"{row},{'val' if row.endswith('none') or i % 3 == 0 else 'train'}" for i, row in enumerate(rows[1:]))]
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        done = self.cls("train.epochs=1", data="data/list.csv")
        self.assert_says(done, "none is in no training case")
        self.assertIn("3 classes", done.stderr)

    def test_no_labels(self):
        make_segmentation(self.tmp / "seg", 4)
        self.assert_says(self.cls(data="seg", expect=3), "no labels", "label")

    def test_broken_pictures_are_left_out_of_training_and_auroc(self):
        make_class_manifest(self.tmp / "data", (8, 8), split=True)
        (self.tmp / "data/images/p000.png").write_bytes(b"")  # trains
        (self.tmp / "data/images/p007.png").write_bytes(b"x")  # validates
        self.cls("data.max_bad_fraction=0.2", "train.epochs=2", data="data/list.csv")
        names = {json.loads(line)["file"] for line in (self.tmp / "run/quarantine.jsonl").read_text().splitlines()}
        self.assertEqual(names, {"images/p000.png", "images/p007.png"})
        self.assertTrue(all(np.isfinite(line["loss"]) for line in metrics(self.tmp / "run")))

    def test_no_picture_of_a_class_that_validates_can_be_read(self):
        make_class_manifest(self.tmp / "data", (9, 9), split=True)
        for number in (6, 7, 8):
            (self.tmp / f"data/images/p{number:03d}.png").write_bytes(b"x")
        self.assert_says(self.cls("data.max_bad_fraction=1", data="data/list.csv", expect=3), "AUROC can't be measured", "quarantine.jsonl")

    def test_other_classes_in_validation(self):
        make_class_manifest(self.tmp / "data", (6, 6))
        make_class_manifest(self.tmp / "other", (3, 3), names=("up", "sideways"))
        self.assert_says(self.cls("data.val=other/list.csv", data="data/list.csv", expect=3), "sideways", "other/list.csv")


class ValidationScoreTest(FinetuneTest):
    def test_a_broken_picture_does_not_count_twice(self):
        """Validation of 5 with one broken: the mean loss is over the 4 that are left, each once."""
        make_class_manifest(self.tmp / "data", (8, 8))
        (self.tmp / "val/images").mkdir(parents=True)
        rows = ["image,label"]
        for i in range(5):
            Image.fromarray(class_picture(500 + i, i % 2)).save(self.tmp / f"val/images/v{i}.png")
            rows.append(f"images/v{i}.png,{('up', 'down')[i % 2]}")
        (self.tmp / "val/list.csv").write_text("\n".join(rows) + "\n")
        options = ["data.max_bad_fraction=0.5", "train.epochs=1", "data.val=val/list.csv"]
        (self.tmp / "val/whole.csv").write_text("\n".join(r for r in rows if "v2" not in r) + "\n")
        self.cls("data.max_bad_fraction=0.5", "train.epochs=1", "data.val=val/whole.csv", data="data/list.csv", run="whole")
        (self.tmp / "val/images/v2.png").write_bytes(b"")
        self.cls(*options, data="data/list.csv")
        whole, broken = (metrics(self.tmp / run, "val")[-1] for run in ("whole", "run"))
        for key in ("AUROC", "loss", "accuracy"):
            self.assertAlmostEqual(broken[key], whole[key], places=6, msg=key)

    def test_a_broken_volume_does_not_change_the_dice_of_the_next(self):
        """Its slices are not replaced by the first slice of the volume behind it, as they may be in training."""
        for folder, numbers in (("data", (7,)), ("whole", (0, 2)), ("broken", (0, 1, 2))):
            for i in numbers:
                image, mask = (np.stack(x, -1).transpose(1, 0, 2) for x in zip(*(labelled_picture(400 + 10 * i + z) for z in range(4))))
                image = image.astype(np.float32)
                if i == 1:
                    image[2, 2, 2] = np.nan
                if i == 2:
                    mask[..., 0] = 1  # which hardly any model finds
                write_nifti(self.tmp / f"{folder}/images/v{i}.nii.gz", image, np.diag([1, 1, 3, 1]))
                write_nifti(self.tmp / f"{folder}/labels/v{i}.nii.gz", mask, np.diag([1, 1, 3, 1]))
        lines = {}
        for folder in ("whole", "broken"):
            self.seg("data.classes=[round,square]", f"model.init={best(trained('seg'))}", "optim.lr=0", "train.max_steps=1", f"data.val={folder}",
                     "data.max_bad_fraction=0.4", run=f"run-{folder}")
            lines[folder] = metrics(self.tmp / f"run-{folder}", "val")[-1]
        self.assertIn("v1.nii.gz", (self.tmp / "run-broken/quarantine.jsonl").read_text())
        self.assertGreater(lines["whole"]["Dice/round"], 0.1)
        for key in ("Dice", "Dice/round", "Dice/square"):
            self.assertAlmostEqual(lines["broken"][key], lines["whole"][key], places=5, msg=key)
        # The Dice term is computed per batch, and the batches are cut elsewhere.
        self.assertAlmostEqual(lines["broken"]["loss"], lines["whole"]["loss"], delta=0.01)


if __name__ == "__main__":
    unittest.main()
