# SPDX-License-Identifier: Apache-2.0
"""What a run trained and tested on is found again: channels and time points, folds, other working folders, truth that holds more than the test part."""
import json
import unittest

import nibabel
import numpy as np

from evaluating import EvalTest, write_map
from finetuning import SWIN, TRAIN

SPACING = (1.0, 1.0, 3.0)
NAMES = [f"x{i}" for i in range(6)]
ONE_EPOCH = [one for one in TRAIN if not one.startswith(("data.val_fraction", "train.epochs"))] + ["train.epochs=1"]


def labels_of(index):
    labels = np.zeros((32, 32, 4), np.uint8)
    labels[8:18, 8 + index:20 + index] = 1
    labels[20:26, 4:10] = 2
    return labels


class RunSourcesTest(EvalTest):
    def make_nnunet(self, folder, channels=2):
        names = {str(c): f"T{c + 1}" for c in range(channels)}
        for i, name in enumerate(NAMES):
            write_map(self.tmp / folder / f"labelsTr/{name}.nii.gz", labels_of(i), SPACING)
            for c in range(channels):
                write_map(self.tmp / folder / f"imagesTr/{name}_{c:04d}.nii.gz", labels_of(i) * 80 + 10 * c, SPACING)
        (self.tmp / folder / "dataset.json").write_text(json.dumps(
            {"channel_names": names, "labels": {"background": 0, "a": 1, "b": 2}, "numTraining": len(NAMES), "file_ending": ".nii.gz"}))

    def make_4d(self, folder):
        for i, name in enumerate(NAMES):
            write_map(self.tmp / folder / f"labels/{name}.nii.gz", labels_of(i), SPACING)
            volume = np.stack([labels_of(i) * 80.0, labels_of(i) * 50.0 + 3], -1).astype(np.float32)
            (self.tmp / folder / "images").mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(volume, np.diag([-1.0, -1.0, 3.0, 1.0])), self.tmp / folder / f"images/{name}.nii.gz")

    def train(self, data, run, *more, **kw):
        if not (self.tmp / f"{data}.json").exists():
            self.vmae("split", "--input", data, "--output", f"{data}.json", "split.scheme=5fold")
        self.vmae("finetune-seg", *SWIN, *ONE_EPOCH, f"data.train={data}", f"data.splits={data}.json", f"run.dir={run}", *more, **kw)

    def measured(self, output):
        return sorted({row["case"].split("/")[-1] for row in self.rows(output=output)})

    def stems_of_test(self, run):
        """Stems of the run's test part, as splits.json has them."""
        return sorted({name.split("/")[-1].split(".")[0] for name in json.loads((self.tmp / run / "splits.json").read_text())["test"]})

    def test_channels_and_truth_that_holds_more(self):
        self.make_nnunet("D")
        self.train("D", "stacked", "model.in_channels=2")
        self.eval("--run", "stacked", "--no-distances", output="cases")
        self.assertEqual(self.measured("cases"), [stem[:-len("_0000")] for stem in self.stems_of_test("stacked")])
        self.train("D", "run", "data.channels=single")
        tested = self.stems_of_test("run")
        self.eval("--run", "run", "--no-distances")
        self.assertEqual(self.measured("out"), tested)
        done = self.eval("--run", "run", "--no-distances", truth="D/labelsTr", output="labels")
        self.assertEqual(self.measured("labels"), tested)
        self.assert_says(done, f"{len(tested) // 2} of 6 files are of the run's test part; the others are not measured")
        (self.tmp / "E/deep").mkdir(parents=True)
        (self.tmp / "D/labelsTr").rename(self.tmp / "E/deep/masks")  # other folders, the same names
        done = self.eval("--run", "run", "--no-distances", truth="E", output="elsewhere")
        self.assertEqual(self.measured("elsewhere"), tested)
        for output in ("labels", "elsewhere"):
            np.testing.assert_allclose(self.case_values("Dice", output=output), self.case_values("Dice"))

    def test_time_points(self):
        self.make_4d("F")
        self.train("F", "run")
        expected = sorted(f"{name}_t{t}" for name in self.stems_of_test("run") for t in (0, 1))
        for output, truth in (("out", None), ("labels", "F/labels")):
            self.eval("--run", "run", "--no-distances", truth=truth, output=output)
            self.assertEqual(self.measured(output), expected)

    def test_equal_names_in_several_folders(self):
        """Only the folder tells which is of the test part."""
        for patient in NAMES:
            write_map(self.tmp / f"G/images/{patient}/scan.nii.gz", labels_of(int(patient[1])) * 80, SPACING)
            write_map(self.tmp / f"G/labels/{patient}/scan.nii.gz", labels_of(int(patient[1])), SPACING)
        self.train("G", "run")
        (tested,) = {name.split("/")[1] for name in json.loads((self.tmp / "run/splits.json").read_text())["test"]}
        done = self.eval("--run", "run", "--no-distances", truth="G/labels")
        self.assert_says(done, "1 of 6 files are of the run's test part")
        self.assertEqual({row["case"] for row in self.rows()}, {f"{tested}/scan"})

    def test_other_working_folders(self):
        self.make_nnunet("D", channels=1)
        self.train("D", "runs/heart")
        sources = json.loads((self.tmp / "runs/heart/sources.json").read_text())
        self.assertEqual(sources, {"D": str((self.tmp / "D").resolve()), "D.json": str((self.tmp / "D.json").resolve()),
                                   "data.train": [str((self.tmp / "D").resolve())]})
        self.assertIn("- D\n", (self.tmp / "runs/heart/config.yaml").read_text().replace("[D]", "- D\n"), "config.yaml has what was written")
        away = self.tmp / "away"
        (away / "D").mkdir(parents=True)  # something else of the same name
        self.eval("--run", "../runs/heart", "--no-distances", output="../out", cwd=away)
        self.assertEqual(len(self.measured("out")), len(self.stems_of_test("runs/heart")))
        # A run of an older version has no such file: the path is taken as it is.
        (self.tmp / "runs/heart/sources.json").unlink()
        self.eval("--run", "runs/heart", "--no-distances", output="old")
        self.assertEqual(self.rows(output="old"), self.rows(output="out"))
        self.assertNotEqual(0, self.eval("--run", "../runs/heart", output="../other", cwd=away, expect=3).returncode)

    def test_prepared_dataset_from_another_folder(self):
        self.make_nnunet("D", channels=1)
        self.vmae("prepare", "--input", "D", "--output", "P")
        self.train("P", "run")
        (self.tmp / "away").mkdir()
        self.eval("--run", "../run", "--no-distances", output="../out", cwd=self.tmp / "away")
        self.assertEqual(self.measured("out"), self.stems_of_test("run"))

    def test_folders_of_folds(self):
        self.make_nnunet("D", channels=1)
        self.train("D", "cv", "--fold", "0")
        done = self.eval("--run", "cv", "--no-distances")
        self.assertEqual(self.measured("out"), [name.split("_")[0] for name in self.stems_of_test("cv/fold_0")])
        found = json.loads(self.vmae("inspect", "cv", "--json").stdout)
        self.assertEqual((found["kind"], [one["folder"] for one in found["folds"]]), ("folds", ["cv/fold_0"]))
        self.assertEqual(found["folds"][0]["weights"]["metadata"]["model"], "swin-unet")
        self.vmae("export", "--weights", "cv", "--output", "one.safetensors")
        self.train("D", "cv", "--fold", "3")
        self.assertIn("2 of 5 folds", self.vmae("inspect", "cv").stdout)
        self.assert_says(self.vmae("export", "--weights", "cv", "--output", "two.safetensors", expect=4), "holds 2 folds", "cv/fold_3")
        self.assert_says(self.eval("--run", "cv", output="two", expect=3), "2 folds have test predictions", "cv/fold_0, cv/fold_3")
        self.predict(weights="cv", input="D/imagesTr", output="both")
        self.assertEqual(len(self.record("both")["weights"]), 2)


if __name__ == "__main__":
    unittest.main()
