# SPDX-License-Identifier: Apache-2.0
"""How many patients are known: every command that says it says the same of the same data, whatever their layout; and data.val_fraction by patient and class."""
import collections
import json
import re
import shutil
import unittest

import numpy as np
from PIL import Image

from dicom_files import IDENTIFYING, write_ct_series
from evaluating import EvalTest
from finetuning import SWIN, TRAIN, FinetuneTest, labelled_picture, make_class_manifest, make_segmentation


class PatientsTest(EvalTest):
    # Data: each gives its path, and how many patients are known (none: None), of how many cases they are not

    def manifest(self, name, patients, label=False):
        """patients: of each picture; '' is not known."""
        make_segmentation(self.tmp / name, len(patients))
        head, rows = "image,mask,patient" + (",label" if label else ""), []
        for i, patient in enumerate(patients):
            rows.append(f"images/case{i:03d}.png,masks/case{i:03d}.png,{patient}" + (f",{'ab'[i % 2]}" if label else ""))
        (self.tmp / name / "list.csv").write_text("\n".join([head, *rows]) + "\n")
        return f"{name}/list.csv"

    def nnunet(self, name, cases=6, channels=2):
        for folder in ("imagesTr", "labelsTr"):
            (self.tmp / name / folder).mkdir(parents=True)
        for i in range(cases):
            image, mask = labelled_picture(i)
            for channel in range(channels):
                Image.fromarray(image).save(self.tmp / name / f"imagesTr/c{i}_{channel:04d}.png")
            Image.fromarray(mask).save(self.tmp / name / f"labelsTr/c{i}.png")
        (self.tmp / name / "dataset.json").write_text(json.dumps({"channel_names": {str(c): f"k{c}" for c in range(channels)}, "file_ending": ".png",
                                                                  "labels": {"background": 0, "round": 1, "square": 2}}))
        return name

    def dicom(self, name, patients):
        for i, patient in enumerate(patients):
            identity = dict(IDENTIFYING, PatientID=patient)
            if not patient:
                identity.pop("PatientID"), identity.pop("PatientName")
            write_ct_series(self.tmp / name / str(i), slices=3, seed=i, identity=identity)
        return name

    def classes(self, name):
        for kind in ("one", "two"):
            (self.tmp / name / kind).mkdir(parents=True)
            for i in range(12):
                Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)).save(self.tmp / name / kind / f"{kind}{i}.png")
        return name

    # What commands say

    def said(self, text, cases):
        """Of a text as "12 cases of 6 patients (2 cases: not known)": (6, 2)."""
        found = re.search(rf"\b{cases} (?:cases|files)(, patients not known| of (\d+) patients?)(?: \((\d+) cases?: not known\))?", text)
        self.assertIsNotNone(found, text)
        return (int(found[2]) if found[2] else None, int(found[3] or 0))

    def all_that_is_said(self, data, cases, prepare=True):
        told = {}
        sheet = self.vmae("inspect", data, "--card", "card").stdout
        line = re.search(r"patients: (?:(\d+)(?: \((\d+) cases?: not known\))?|not known)", sheet)
        told["inspect"] = (int(line[1]) if line[1] else None, int(line[2] or 0))
        told["inspect --json"] = (json.loads(self.vmae("inspect", data, "--json").stdout)["num_patients"], told["inspect"][1])
        parts = json.loads((self.tmp / "card/card.json").read_text())["parts"]
        self.assertEqual(len(parts), 1)
        told["card"] = (parts[0]["patients"], parts[0].get("cases_of_unknown_patients", 0))
        page = (self.tmp / "card/card.html").read_text()
        number, unknown = told["card"]
        self.assertIn("not known: each case counts" if number is None else f"{number} ({unknown} case" if unknown else f">{number}<", page)
        done = self.vmae("split", "--input", data, "--output", "s.json", "--overwrite", "split.scheme=50/50")
        told["split"] = self.said(done.stdout, cases)
        splits = json.loads((self.tmp / "s.json").read_text())
        told["splits.json"] = (splits["cases"]["patients"], told["split"][1])
        self.assertEqual(splits["by"], "case" if number is None else "patient")
        counts = [part["patients"] for part in splits["folds"][0]["counts"].values()]
        self.assertEqual(None if None in counts and set(counts) == {None} else sum(c or 0 for c in counts), number)
        if prepare:
            layout = ["prepare.layout=class_folders"] if data == "classes" else []
            done = self.vmae("prepare", "--input", data, "--output", "prepared", *layout)
            told["prepare"] = self.said(done.stderr, cases)
            told.update({f"prepared, {what}": told_then for what, told_then in self.all_that_is_said("prepared", cases, prepare=False).items()})
        return told

    def test_every_command_says_the_same(self):
        layouts = {
            "known": (self.manifest("known", [f"p{i // 2}" for i in range(12)]), 12, (6, 0)),
            "one each": (self.manifest("each", [f"p{i}" for i in range(6)]), 6, (6, 0)),
            "unknown": (self.manifest("unknown", [""] * 6), 6, (None, 0)),
            "mixed": (self.manifest("mixed", ["p0", "p0", "p1", "", "", ""]), 6, (2, 3)),
            "nnunet": (self.nnunet("nnunet"), 6, (None, 0)),
            "folders": (str(make_segmentation(self.tmp / "folders", 5).name), 5, (None, 0)),
            "classes": (self.classes("classes"), 24, (None, 0)),
            "dicom": (self.dicom("dicom", ["A", "A", "B"]), 3, (2, 0)),
            "dicom without ids": (self.dicom("anonymous", ["", "", ""]), 3, (None, 0)),
            "dicom, some": (self.dicom("some", ["A", "A", ""]), 3, (1, 1)),
        }
        for name, (data, cases, expected) in layouts.items():
            with self.subTest(name):
                told = self.all_that_is_said(data, cases)
                self.assertEqual(told, {what: expected for what in told})
                shutil.rmtree(self.tmp / "prepared")

    def test_training_and_evaluation_say_the_same(self):
        for name, patients, known, unknown in (("known", [f"p{i // 2}" for i in range(16)], 2, 0), ("unknown", [""] * 16, None, 0)):
            with self.subTest(name):
                data = self.manifest(name, patients)
                file = self.tmp / data
                rows = file.read_text().splitlines()
                file.write_text("\n".join([rows[0] + ",split"] + [row + (",test" if i >= 12 else ",val" if i >= 10 else ",train")
                                                                  for i, row in enumerate(rows[1:])]) + "\n")
                self.vmae("finetune-seg", *SWIN, *TRAIN, f"data.train={data}", f"run.dir=run_{name}", "train.epochs=1")
                parts = {part["part"]: part["patients"] for part in json.loads((self.tmp / f"run_{name}/data_card/card.json").read_text())["parts"]}
                self.assertEqual(parts, {"training": known and 5, "validation": known and 1, "test": known})
                self.vmae("eval", "--run", f"run_{name}", "--output", f"out_{name}", "--no-distances")
                self.assertEqual(self.summary(f"out_{name}")["patients"], known)
                page = (self.tmp / f"out_{name}/report.html").read_text()
                self.assertIn(f"4 of {known} patients" if known else "4, patients not known", page)


class ValidationTest(FinetuneTest):
    def drawn(self, data, fraction, seed=0):
        done = self.vmae("finetune-cls", *SWIN, *TRAIN, f"data.train={data}", "run.dir=run", f"data.val_fraction={fraction}", f"run.seed={seed}", "train.max_steps=1",
                         "--overwrite")
        self.assertIn("stratified by label", done.stderr)
        return json.loads((self.tmp / "run/splits.json").read_text())

    def test_classes_keep_their_shares(self):
        """Shares counted here: each class rounded down or up, one of each class of two or more on both sides, a pure function of the seed."""
        data = make_class_manifest(self.tmp / "data", (20, 8, 2))
        label = dict(line.replace('"', "").rsplit(",", 1) for line in data.read_text().splitlines()[1:])
        seen = set()
        for seed in range(4):
            splits = self.drawn("data/list.csv", 0.2, seed)
            count = collections.Counter(label[name] for name in splits["val"])
            self.assertEqual(sum(count.values()), 6)
            self.assertTrue(3 <= count["up"] <= 4 and 1 <= count["down"] <= 2 and count["none"] == 1, count)
            self.assertEqual(splits, self.drawn("data/list.csv", 0.2, seed))
            seen.add(tuple(splits["val"]))
        self.assertGreater(len(seen), 1)

    def test_patients_stay_whole(self):
        make_class_manifest(self.tmp / "data", (24, 12))
        rows = (self.tmp / "data/list.csv").read_text().splitlines()
        patient = {row.split(",")[0]: f"p{i // 3}" for i, row in enumerate(rows[1:])}
        (self.tmp / "data/list.csv").write_text("\n".join([rows[0] + ",patient"] + [f"{row},{patient[row.split(',')[0]]}" for row in rows[1:]]) + "\n")
        splits = self.drawn("data/list.csv", 0.25)
        sides = [{patient[name] for name in splits[part]} for part in ("train", "val")]
        self.assertEqual((len(sides[0]), len(sides[1]), sides[0] & sides[1]), (9, 3, set()))
        labels = dict(row.replace('"', "").split(",") for row in rows[1:])
        self.assertEqual(collections.Counter(labels[name] for name in splits["val"]), {"up": 6, "down": 3})


if __name__ == "__main__":
    unittest.main()
