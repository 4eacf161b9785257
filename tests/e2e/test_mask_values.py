"""What the values in masks mean is decided for the whole dataset: in training, in prepared datasets, in prediction and in evaluation alike."""
import csv
import json
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, FinetuneTest, make_segmentation
from harness import metrics


class MaskValues(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "plain", 8, height=32, width=32)

    def dataset(self, name, change, extension=".png"):
        """The same images with masks in which change(i, mask) of labels 0, 1, 2 stands."""
        (self.tmp / name / "masks").mkdir(parents=True)
        (self.tmp / name / "images").mkdir()
        for i, file in enumerate(sorted((self.tmp / "plain/masks").iterdir())):
            mask = change(i, np.asarray(Image.open(file)).copy()).astype(np.uint8)
            Image.fromarray(mask).save(self.tmp / name / "masks" / f"{file.stem}{extension}")
            (self.tmp / name / "images" / file.name).write_bytes((self.tmp / "plain/images" / file.name).read_bytes())
        return name

    def trained(self, data, *keys, expect=0):
        return self.seg("--overwrite", "optim.lr=0", "train.epochs=1", *NO_AUGMENTATION, *keys, data=data, expect=expect)

    def loss(self, data, *keys):
        """Of all images in one batch. (Who validates would depend on patients' names, which prepared datasets hash.)"""
        self.trained(data, "data.val_fraction=0", "model.drop_path_rate=0", *keys)
        return metrics(self.tmp / "run", "train")[-1]["loss"]

    def prepared(self, name):
        self.vmae("prepare", "--input", name, "--output", f"{name}.prepared", "prepare.names=keep")
        return f"{name}.prepared"

    def rows(self, output="out"):
        with open(self.tmp / output / "cases.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_two_greys_in_some_files_only(self):
        """0, 128, 255, where 128 is not in every file: never class 1 here and class 255 there."""
        grey = self.dataset("grey", lambda i, mask: np.array([0, 128, 255])[np.where((mask == 1) & (i % 2 == 0), 0, mask)])
        numbers = self.dataset("numbers", lambda i, mask: np.where((mask == 1) & (i % 2 == 0), 0, mask))
        self.assert_says(self.trained(grey, expect=3), "128, 255", "data.label_values")
        self.assertEqual(self.loss(grey, "data.label_values=[128,255]"), self.loss(numbers))
        self.assertEqual(self.loss(self.prepared(grey), "data.label_values=[128,255]"), self.loss(numbers))
        done = self.vmae("eval", "--pred", f"{grey}/masks", "--truth", f"{grey}/masks", "--output", "out", expect=3)
        self.assert_says(done, "128, 255", "--label-values")
        self.vmae("eval", "--pred", f"{grey}/masks", "--truth", f"{grey}/masks", "--output", "out", "--label-values", "128,255")
        self.assertEqual({row["class"] for row in self.rows()}, {"128", "255"})

    def test_predictions_hold_the_values_of_the_masks(self):
        grey = self.dataset("grey", lambda i, mask: np.array([0, 128, 255])[mask])
        self.seg("data.label_values=[128,255]", "data.classes=[round,square]", "train.epochs=1", data=grey)
        self.vmae("predict", "--weights", "run", "--input", f"{grey}/images", "--output", "predicted")
        found = set().union(*(np.unique(np.asarray(Image.open(f))) for f in (self.tmp / "predicted").glob("*.png")))
        self.assertLessEqual(found, {0, 128, 255})
        self.assertEqual(json.loads((self.tmp / "predicted/predict.json").read_text())["label_values"], [128, 255])
        self.vmae("eval", "--pred", "predicted", "--truth", f"{grey}/masks", "--output", "out")  # the predictions say it
        area = sum((np.asarray(Image.open(f)) == 255).sum() for f in (self.tmp / "grey/masks").iterdir())
        self.assertEqual(sum(int(r["true_positives"]) + int(r["false_negatives"]) for r in self.rows() if r["class"] == "square"), area)

    def test_binary_masks_of_any_writer(self):
        """0 and 1, 0 and 255, one-bit: one class, the same loss, loose and prepared."""
        one = self.dataset("one", lambda i, mask: mask > 0)
        white = self.dataset("white", lambda i, mask: np.where(mask > 0, 255, 0))
        tif = self.dataset("tif", lambda i, mask: np.where(mask > 0, 255, 0), ".tif")
        losses = {self.loss(data) for data in (one, white, tif, self.prepared(one), self.prepared(white))}
        self.assertEqual(len(losses), 1, losses)
        mixed = self.dataset("mixed", lambda i, mask: np.where(mask > 0, 255 if i else 1, 0))
        self.assert_says(self.trained(mixed, expect=3), "1, 255", "data.label_values")
        self.assert_says(self.trained(self.prepared(mixed), expect=3), "1, 255", "data.label_values")

    def test_an_ignored_255_is_the_same_in_files_and_prepared(self):
        """Masks of 0 and 255 alone beside others with 1."""
        data = self.dataset("data255", lambda i, mask: np.where(mask == 2, 255, 0 if i % 2 else mask))
        keys = ("data.classes=[round]", "data.ignore_label=255")
        self.assertEqual(self.loss(data, *keys), self.loss(self.prepared(data), *keys))

    def test_far_values_make_no_256_classes(self):
        far = self.dataset("far", lambda i, mask: np.array([0, 2, 200])[mask])
        self.assert_says(self.trained(far, expect=3), "2, 200", "case", "data.label_values=[2,200]")
        self.assert_says(self.trained(far, "data.label_values=[2,2]", expect=2), "data.label_values")

    def test_prepare_says_what_training_will_refuse(self):
        """Masks with smooth edges: said while they can still be made anew, and kept as they are."""
        smooth = self.dataset("smooth", lambda i, mask: np.where(mask > 0, 60 + np.arange(mask.size).reshape(mask.shape) % 190, 0))
        done = self.vmae("prepare", "--input", smooth, "--output", "smooth.prepared", "prepare.names=keep")
        self.assert_says(done, "fine-tuning will refuse these masks as they are", "shades of grey", "the mask of case")
        self.assert_says(self.trained("smooth.prepared", expect=3), "shades of grey")
        far = self.dataset("far", lambda i, mask: np.array([0, 128, 255])[mask])
        self.assert_says(self.vmae("prepare", "--input", far, "--output", "far.prepared", "prepare.names=keep"), "128, 255", "data.label_values")
        good = self.dataset("good", lambda i, mask: mask)
        self.assertNotIn("refuse", self.vmae("prepare", "--input", good, "--output", "good.prepared", "prepare.names=keep").stderr)

    def test_jpeg_masks_are_refused(self):
        data = self.dataset("jpeg", lambda i, mask: 100 * mask, ".jpg")
        self.assertRegex(self.trained(data, "data.max_bad_fraction=0.01", expect=3).stderr, "JPEG")

    def test_the_data_card_says_it(self):
        white = self.dataset("white", lambda i, mask: np.where(mask > 0, 255, 0))
        self.trained(white)
        self.vmae("inspect", white, "--card", "card")
        for folder in ("run/data_card", "card"):
            card = json.loads((self.tmp / folder / "card.json").read_text())
            self.assertEqual(card["classes"], ["1"])
            self.assertEqual([(v["value"], v["means"]) for v in card["mask_values"]], [(0, "background"), (255, "class 1")])
            self.assertRegex(" ".join(card["rules"]), "255 is class 1")
            pairs = {Path(p["image"]).name: Path(p["mask"]).name for p in card["pairs"]}
            self.assertEqual(pairs, {name: name for name in pairs})
            self.assertEqual(len(pairs), 8)
            counted = {p["part"]: p["classes"][0]["pixels"] for p in card["parts"]}
            self.assertEqual(sum(counted.values()), sum((np.asarray(Image.open(f)) > 0).sum() for f in (self.tmp / "white/masks").iterdir()))
            self.assertIsNone(card["parts"][0]["patients"])
            self.assertGreater(Image.open(self.tmp / folder / "masks.png").size[0], 300)
            self.assertIn("not known", (self.tmp / folder / "card.html").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
