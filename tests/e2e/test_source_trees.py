# SPDX-License-Identifier: Apache-2.0
"""Trees of patients' folders that nothing describes: label maps are masks and no images, files of one patient stay together, in every command."""
import json
import unittest

import nibabel
import numpy as np
from PIL import Image

from finetuning import PRETRAIN, SWIN, TRAIN, FinetuneTest, make_segmentation
from test_prepared_bytes import read_dataset

ONE = [one for one in PRETRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]
FINE = [one for one in TRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]
SHAPE = (36, 32, 3)


class TreesTest(FinetuneTest):
    def save(self, name, array):
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 4, 1])), path)

    def make(self, folder, count=6, layout=("{p}/t1.nii.gz", "{p}/t2.nii.gz", "{p}/seg.nii.gz"), depth=3):
        """Volumes with a bright block, and the label map of the block; another one in each patient."""
        for i in range(count):
            random = np.random.default_rng(i)
            labels = np.zeros((*SHAPE[:2], depth), np.uint8)
            x, y = random.integers(4, 20, 2)
            labels[x:x + 9, y:y + 9] = 1
            for k, name in enumerate(layout[:-1]):
                self.save(f"{folder}/" + name.format(p=f"p{190 + i}"), (labels * (90 + 40 * k) + random.integers(0, 60, labels.shape)).astype(np.int16))
            self.save(f"{folder}/" + layout[-1].format(p=f"p{190 + i}"), labels)

    LAYOUTS = {"beside": ("{p}/t1.nii.gz", "{p}/t2.nii.gz", "{p}/seg.nii.gz"), "named": ("{p}/{p}_t1.nii.gz", "{p}/{p}_flair.nii.gz", "{p}/{p}_seg.nii.gz"),
               "below": ("{p}/mr/t1.nii.gz", "{p}/mr/t2.nii.gz", "{p}/mask.nii.gz"), "flat": ("{p}_t1.nii.gz", "{p}_t2.nii.gz", "{p}_mask.nii.gz")}

    def test_pretraining_sees_images_alone(self):
        for name, layout in self.LAYOUTS.items():
            with self.subTest(name):
                self.make(name, layout=layout)
                done = self.vmae("pretrain", *SWIN, *ONE, f"data.train={name}", f"run.dir=run_{name}")
                self.assertRegex(done.stderr, r"training: (24|30) images from (8|10) files; validation: (12|6) images from (4|2) files")
                self.assertIn("is a label map, by its name (and 5 more): the mask of the image", done.stderr)
                self.assertNotIn("patients are not known", done.stderr)
                parts = json.loads((self.tmp / f"run_{name}/splits.json").read_text())
                self.assertEqual(len(parts["train"]) + len(parts["val"]), 12)
                patients = {part: {word[:4] for word in parts[part]} for part in ("train", "val")}
                self.assertFalse(patients["train"] & patients["val"])

    SURNAMES = ["smith", "jones", "li", "garcia"]
    MANY = [a + b for a in "bdfghjklm" for b in ("aker", "owe", "ussi", "entz", "olm", "ardy", "irsch", "uber")]
    BY_VALUES = ("{p}/t1.nii.gz", "{p}/{w}.nii.gz"), ("site/{p}/flair.nii.gz", "site/{p}/{w}.nii.gz"), ("{p}_t1.nii.gz", "{p}_{w}.nii.gz"), \
        ("{p}/{p}.nii.gz", "{p}/{p}_{w}.nii.gz"), ("{p}/{p}.png", "{p}/{p}_{w}.png"), ("{p}.png", "{p}_{w}.png")

    def write(self, name, array):
        """A volume, or its first slice as a picture."""
        if not name.endswith(".png"):
            return self.save(name, array)
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array[..., 0].T.astype(np.uint8)).save(path)

    def make_by_values(self, folder, image, mask, word="lesion", largest=1, names=SURNAMES, is_empty=lambda p: False):
        random = np.random.default_rng(0)
        for p in names:
            labels = np.zeros(SHAPE, np.uint8)
            labels[4:20, 6:15] = 0 if is_empty(p) else largest
            self.write(f"{folder}/" + image.format(p=p, w=word), random.integers(0, 200, SHAPE).astype(np.int16))
            self.write(f"{folder}/" + mask.format(p=p, w=word), labels)

    def told(self, folder):
        """Names in notes about label maps that only their values tell; all files stay images without masks."""
        source = self.inspect(folder)
        self.assertEqual(source["num_images"], len([file for file in (self.tmp / folder).rglob("*") if file.is_file()]))
        self.assertFalse([one for one in source["images"] if one.get("mask")])
        told = [remark for remark in source["remarks"] if "seem label maps by their values" in remark["text"]]
        for name in self.SURNAMES:  # prepare pseudonymises names, not words within a text
            self.assertFalse([remark for remark in told if name in remark["text"].split()])
        return [remark["name"] for remark in told]

    def test_label_maps_that_only_their_values_tell_are_told_of(self):
        """Called "lesion" or "roi", in folders of surnames. What holds many values is an image, whatever it is called."""
        for number, (image, mask) in enumerate(self.BY_VALUES):
            for word, largest in (("lesion", 1), ("roi", 255), ("tumour", 3)):
                folder = f"{word}{number}"
                with self.subTest(image=image, word=word):
                    self.make_by_values(folder, image, mask, word, largest)
                    self.assertEqual(self.told(folder), [mask.format(p="garcia", w=word)])
                    for p in self.SURNAMES:  # an image of that name
                        self.write(f"{folder}/" + mask.format(p=p, w=word), np.random.default_rng(1).integers(0, 200, SHAPE).astype(np.int16))
                    self.assertEqual(self.told(folder), [])

    def test_odd_ones_among_them(self):
        """A healthy patient's empty mask, a mask without image, one that can't be read, a float that is not finite."""
        for number, (image, mask) in enumerate(self.BY_VALUES):
            folder = f"odd{number}"
            self.make_by_values(folder, image, mask, is_empty=lambda p: p == "garcia")
            self.write(f"{folder}/" + mask.format(p="zoe", w="lesion"), np.zeros(SHAPE, np.uint8))
            broken = self.tmp / folder / mask.format(p="zz", w="lesion")
            broken.parent.mkdir(exist_ok=True)
            broken.write_bytes(b"nothing")
            with self.subTest(image=image):
                self.assertEqual(self.told(folder), [mask.format(p="garcia", w="lesion")])
        self.make_by_values("nan", *self.BY_VALUES[0])
        for p in self.SURNAMES:
            self.save(f"nan/{p}/lesion.nii.gz", np.full(SHAPE, np.nan, np.float32))
        self.assertEqual(self.told("nan"), [])

    def test_label_maps_alone_and_names_that_repeat(self):
        """Somebody's truth, or predictions, whatever they are called; people who came twice."""
        for number, (image, mask) in enumerate(self.BY_VALUES):
            self.make_by_values(f"only{number}", mask, mask)
            self.make_by_values(f"only{number}", mask, mask, word="brain")
            self.assertEqual(self.told(f"only{number}"), [], image)
        for visit in "ab":
            self.make_by_values("visits", visit + "/{p}.png", visit + "/{p}.png", names=["smith"])
            self.make_by_values("visits", visit + "/{p}.png", visit + "/{p}_t1.png", names=["jones", "li"])
        self.assertEqual(self.told("visits"), ["a/smith.png"])

    def test_many_surnames(self):
        self.make_by_values("in", "{p}.png", "{p}_lesion.png", names=self.MANY)
        self.assertEqual(self.told("in"), [min(self.MANY) + "_lesion.png"])

    def inspect(self, folder):
        return json.loads(self.vmae("inspect", folder, "--json").stdout)

    def test_segmentation_and_prediction(self):
        for name, layout in self.LAYOUTS.items():
            with self.subTest(name):
                self.make(name, layout=layout)
                self.vmae("finetune-seg", *SWIN, *FINE, f"data.train={name}", f"run.dir=run_{name}")
                self.predict(weights=f"run_{name}", input=name, output=f"out_{name}")
                self.assertEqual(self.record(f"out_{name}")["cases"], 12)
                self.assertFalse([file for file in self.written(f"out_{name}") if "seg" in file or "mask" in file])

    def test_prepared(self):
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        for name, layout in self.LAYOUTS.items():
            with self.subTest(name):
                self.make(name, layout=layout)
                done = self.vmae("prepare", "--input", name, "--output", f"d_{name}", "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}")
                self.assertIn("12 cases of 6 patients", done.stderr)
                cases, items = read_dataset(self.tmp / f"d_{name}")
                by_patient = {}
                for number, case in enumerate(cases):
                    by_patient.setdefault(case["patient"], []).append(number)
                self.assertEqual([len(numbers) for numbers in by_patient.values()], [2] * 6)
                for item in items:
                    case = cases[item["case"]]["name"]
                    patient = "p19" + case.split("p19", 1)[1][0]
                    labels = np.asarray(nibabel.load(self.tmp / name / layout[-1].format(p=patient)).dataobj)
                    np.testing.assert_array_equal(item["mask"], labels[:, :, item["slice"]].T)
                self.vmae("finetune-seg", *SWIN, *FINE, f"data.train=d_{name}", f"run.dir=run_{name}", "--dry-run")

    def test_images_and_labels_one_level_down(self):
        for part in ("hospital", "clinic"):
            make_segmentation(self.tmp / "in" / part, 5, masks="labels")
        done = self.vmae("finetune-seg", *SWIN, *FINE, "data.train=in", "run.dir=run")
        self.assertIn("patients are not known", done.stderr)
        done = self.vmae("pretrain", *SWIN, *ONE, "data.train=in", "run.dir=mae")
        self.assertRegex(done.stderr, r"training: [78] images from [78] files")

    def test_what_cant_be_told(self):
        """Two label maps of one patient: pretraining goes on without them, segmentation names the image."""
        self.make("in")
        for i in range(6):
            self.save(f"in/p{190 + i}/mask.nii.gz", np.ones(SHAPE, np.uint8))
        done = self.vmae("pretrain", *SWIN, *ONE, "data.train=in", "run.dir=mae")
        self.assertIn("p190/mask.nii.gz and 11 more: is left out: it is named as a label map, and is one of 2 of its patient", done.stderr)
        self.assertRegex(done.stderr, r"from (8|10) files")
        done = self.vmae("finetune-seg", *SWIN, *FINE, "data.train=in", "run.dir=run", expect=3)
        self.assertRegex(done.stderr, r"p19\d/t1.nii.gz has no mask")

    def test_evaluation_of_a_tree(self):
        """The truth of a tree is its label maps; label maps alone are what they were."""
        self.make("in", count=3)
        self.make("pred", count=3, layout=("{p}/t1.nii.gz",))
        for i in range(3):
            labels = nibabel.load(self.tmp / f"in/p{190 + i}/seg.nii.gz")
            for kind in ("t1", "t2"):
                nibabel.save(labels, self.tmp / f"pred/p{190 + i}/{kind}.nii.gz")
        self.vmae("eval", "--pred", "pred", "--truth", "in", "--output", "out", "--resamples", "20")
        rows = (self.tmp / "out/cases.csv").read_text().splitlines()
        self.assertEqual(len(rows), 7)


if __name__ == "__main__":
    unittest.main()
