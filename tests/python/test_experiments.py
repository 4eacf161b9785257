# SPDX-License-Identifier: Apache-2.0
"""scripts/experiments without the program: scores by hand, and the whole way from files to table with a stand-in for vmae."""
import contextlib
import csv
import gzip
import io
import itertools
import json
import math
import os
import runpy
import struct
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

EXPERIMENTS = Path(__file__).resolve().parents[2] / "scripts" / "experiments"
sys.path.insert(0, str(EXPERIMENTS))
import pipeline  # noqa: E402
import score  # noqa: E402
from tasks import DATASETS, TASKS  # noqa: E402

# Divides in the order of the list, "trains" in no time, and predicts the truth, which it finds beside the images; STAND_IN_LEAKS: trains on the test part too.
STAND_IN = '''#!{python}
import csv, json, os, shutil, sys
from pathlib import Path
command, args = sys.argv[1], sys.argv[2:]
keys = dict(arg.split("=", 1) for arg in args if "=" in arg)
flags = dict((arg, args[i + 1]) for i, arg in enumerate(args[:-1]) if arg.startswith("--"))
if command == "split":
    names = [row["image"] for row in csv.DictReader(open(flags["--input"]))]
    fifths = [names[i::5] for i in range(5)]
    folds = []
    for i in range(5 if keys["split.scheme"] == "5fold" else 1):
        rest = [name for name in names if name not in fifths[i]]
        folds.append(dict(train=rest[2:], val=rest[:2], test=fifths[i], fractions={{"10": rest[2:4], "100": rest[2:]}}))
    Path(flags["--output"]).write_text(json.dumps(dict(folds=folds)))
elif command == "predict":
    listed, output = Path(flags["--input"]), Path(flags["--output"])
    output.mkdir()
    names = [row["image"] for row in csv.DictReader(open(listed))]
    task = (Path(flags["--weights"]) / "task").read_text()
    if task == "finetune-seg":
        for name in names:
            file = listed.parent / name.replace("images/", "labels/" if ".nii" in name else "masks/").replace(".jpg", ".png")
            shutil.copy(file, output / file.name)
    else:
        classes = ["glioma", "meningioma", "notumor", "pituitary"]
        with open(output / "cases.csv", "w") as handle:
            print("case", *("p_" + name for name in classes), sep=",", file=handle)
            for name in names:
                print(name, *(0.9 if name.split("/")[1] == c else 0.1 for c in classes), sep=",", file=handle)
else:
    fold = json.loads(Path(keys["data.splits"]).read_text())["folds"][int(keys["data.fold"])]
    train = fold["fractions"][keys.get("data.label_fraction", "100")]
    run = Path(keys["run.dir"])
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "task").write_text(command)
    for name in ("best", "last", "previous"):
        (run / "checkpoints" / (name + ".safetensors")).write_text("")
    leak = fold["test"][:1] if os.environ.get("STAND_IN_LEAKS") == command else []
    (run / "splits.json").write_text(json.dumps(dict(train=train + leak, val=fold["val"])))
    (run / "metrics.jsonl").write_text('{{"kind": "val", "loss": 2.0}}\\n{{"kind": "val", "loss": 1.0}}\\n')
'''


def nifti(voxels, order="<", slope=0.0, shift=0.0):
    """A NIfTI-1 file of uint8 voxels [x, y, z]."""
    head = bytearray(352)
    struct.pack_into(order + "i", head, 0, 348)
    struct.pack_into(order + "8h", head, 40, 3, *voxels.shape, 1, 1, 1, 1)
    struct.pack_into(order + "hh", head, 70, 2, 8)
    struct.pack_into(order + "3f", head, 108, 352, slope, 0)
    struct.pack_into(order + "h", head, 254, 1)
    struct.pack_into(order + "12f", head, 280, 1, 0, 0, shift, 0, 1, 0, 0, 0, 0, 1, 0)
    head[344:348] = b"n+1\0"
    return gzip.compress(bytes(head) + voxels.astype("u1").tobytes(order="F"))


class Scores(unittest.TestCase):
    def test_dice(self):
        truth, predicted = np.array([0, 1, 1, 2, 0, 0]), np.array([0, 1, 0, 2, 2, 0])
        dice = score.dice_of_case(truth, predicted, 3)
        self.assertEqual(dice[:2], [2 / 3, 2 / 3])
        self.assertTrue(math.isnan(dice[2]))
        self.assertEqual(score.dice_of_case(truth, predicted * 0, 1), [0.0])

    def test_auroc_is_the_share_of_ordered_pairs(self):
        random = np.random.default_rng(0)
        for _ in range(20):
            scores, positive = random.integers(0, 6, 30) / 5, random.random(30) < 0.4
            pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(scores[positive], scores[~positive])]
            self.assertAlmostEqual(score.auroc(scores, positive), sum(pairs) / len(pairs), places=12)
        self.assertTrue(math.isnan(score.auroc([0.1, 0.2], [True, True])))

    def test_nifti(self):
        voxels = np.arange(24).reshape(2, 3, 4)
        with tempfile.TemporaryDirectory() as folder:
            for order, slope in itertools.product("<>", (0.0, 2.0)):
                file = Path(folder) / "a.nii.gz"
                file.write_bytes(nifti(voxels, order, slope))
                read, affine = score.read_nifti(file)
                np.testing.assert_array_equal(read, voxels * (slope or 1))
                np.testing.assert_array_equal(affine, np.eye(3, 4))

    def test_a_qform_is_a_rotation_with_sizes(self):
        # nifti1.h: a quarter turn about z has d = sin(45 degrees)
        affine = score.quaternion_affine((-1.0, 2.0, 3.0, 4.0), (0.0, 0.0, math.sqrt(0.5), 5.0, 6.0, 7.0))
        np.testing.assert_allclose(affine, [[0, -3, 0, 5], [2, 0, 0, 6], [0, 0, -4, 7]], atol=1e-6)

    def test_a_prediction_on_another_grid_is_refused(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "p").mkdir()
            (folder / "a.nii.gz").write_bytes(nifti(np.ones((2, 3, 4))))
            for other in (nifti(np.ones((2, 4, 3))), nifti(np.ones((2, 3, 4)), shift=5.0), nifti(np.full((2, 3, 4), 2))):
                (folder / "p" / "a.nii.gz").write_bytes(other)
                with self.assertRaises(ValueError):
                    score.segmentation([("images/a.nii.gz", folder / "a.nii.gz")], folder / "p", 1)
            (folder / "p" / "a.nii.gz").unlink()
            with self.assertRaises(ValueError):
                score.segmentation([("images/a.nii.gz", folder / "a.nii.gz")], folder / "p", 1)


class Plan(unittest.TestCase):
    def test_schedule(self):
        def keys(*arguments):
            text, steps = pipeline.schedule(*arguments)
            return {key.partition(".")[2]: int(value) for key, value in (item.split("=") for item in text)}, steps

        few, steps = keys(10, 8, 200, 0.1)  # two steps an epoch
        self.assertEqual((few["epochs"], few["max_steps"], few["warmup_epochs"], few["validate_every"], steps), (100, 200, 10, 20, 200))
        many, steps = keys(6610, 8, 350, 0.1)  # less than an epoch: no warm-up fits
        self.assertEqual((many["epochs"], many["max_steps"], many["warmup_epochs"], steps), (1, 350, 0, 350))
        for num_images, steps in itertools.product((1, 9, 100, 1000), (1, 2, 50)):
            plan, _ = keys(num_images, 8, steps, 0.5)
            self.assertLess(plan["warmup_epochs"] * math.ceil(num_images / 8), steps)
        self.assertEqual(keys(100, 8, 1, 0.1, 4)[1], 52)


class Way(unittest.TestCase):
    """From the files to the table."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.data, self.out = self.folder / "data", self.folder / "out"
        self.out.mkdir()
        vmae = self.folder / "vmae"
        vmae.write_text(STAND_IN.format(python=sys.executable))
        vmae.chmod(0o755)
        self.settings = pipeline.Settings(self.data, self.out, str(vmae), use_folds=True)
        self.make_volumes("ibsi_pet", 10)
        self.make_pictures()

    def make_volumes(self, name, count):
        for part in ("images", "labels"):
            (self.data / name / part).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((4, 5, 6))
            mask[1, :i, 2] = 1
            for part, voxels in (("images", mask * 100), ("labels", mask)):
                (self.data / name / part / f"STS_{i:03}.nii.gz").write_bytes(nifti(voxels))

    def make_pictures(self):
        folder = self.data / "brain_tumor_mr"
        folder.mkdir()
        rows = [(name, f"{name}/{name}_{i}.jpg") for name in TASKS["brain_tumor"].classes for i in range(5)]
        (folder / "labels.csv").write_text("image,label\n" + "".join(f"{file},{name}\n" for name, file in rows))

    def compare(self, task, seed=0):
        with contextlib.redirect_stdout(io.StringIO()):
            return pipeline.compare(self.settings, task, [10, 100], seed, {})

    def rows(self):
        with open(self.out / "results.csv", newline="") as file:
            return list(csv.DictReader(file))

    def test_truth_scores_one_and_what_is_done_is_left_out(self):
        for seed in (0, 1):
            self.assertTrue(self.compare("ibsi_pet", seed))
        self.assertTrue(self.compare("brain_tumor"))
        rows = self.rows()
        self.assertEqual(len(rows), 12)
        self.assertEqual({float(row["value"]) for row in rows}, {1.0})
        self.assertEqual({(row["task"], row["metric"], row["fold"]) for row in rows}, {("ibsi_pet", "Dice", "0"), ("ibsi_pet", "Dice", "1"), ("brain_tumor", "AUROC", "0")})
        self.assertEqual({row["n_cases"] for row in rows if row["fold"] == "0" and row["task"] == "ibsi_pet"}, {"1"})  # of two, one has neither mask nor prediction
        self.assertEqual([("model.init=" in row["command"]) for row in rows], [row["arm"] == "pretrained" for row in rows])
        without_init = {" ".join(word for word in row["command"].split() if not word.startswith(("model.init", "model.transfer", "run.dir"))) for row in rows}
        self.assertEqual(len(without_init), 6)  # both arms: the same settings
        self.compare("ibsi_pet")
        self.assertEqual(self.rows(), rows)
        self.assertEqual([file.name for file in self.out.glob("runs/*/checkpoints/l*")], [])

        summarise = runpy.run_path(str(EXPERIMENTS / "summarise"))
        table = "\n".join([*summarise["table"](rows), *summarise["pretraining"](self.out)])
        self.assertIn("| ibsi_pet | 10 % | 2 | 1-2 | Dice | 1.000 ± 0.000 | 1.000 ± 0.000 | +0.000 ± 0.000 | 0 of 2 |", table)
        self.assertIn("| brain_tumor | 100 % | 14 | 4 | AUROC | 1.000 ± - |", table)
        self.assertIn("| ibsi_pet_fold1 | 400 | 2.000 to 1.000 |", table)

    def test_a_leak_ends_it(self):
        for command in ("pretrain", "finetune-seg"):
            os.environ["STAND_IN_LEAKS"] = command
            self.addCleanup(os.environ.pop, "STAND_IN_LEAKS", None)
            with self.assertRaisesRegex(SystemExit, "LEAK.*1 patients"):
                self.compare("ibsi_pet")
            self.assertFalse((self.out / "results.csv").exists() and any(row["arm"] == "pretrained" for row in self.rows()))

    def test_a_split_with_a_patient_in_two_parts_ends_it(self):
        self.compare("ibsi_pet")
        file = self.out / "data" / "ibsi_pet" / "splits.json"
        splits = json.loads(file.read_text())
        splits["folds"][2]["train"].append(splits["folds"][2]["test"][0])
        file.write_text(json.dumps(splits))
        with self.assertRaisesRegex(SystemExit, "in two parts of fold 2"):
            self.compare("ibsi_pet")

    def test_weights_of_another_length_are_not_taken(self):
        self.compare("ibsi_pet")
        (self.out / "results.csv").unlink()
        self.settings.steps_scale = 2.0
        with self.assertRaisesRegex(SystemExit, "400 steps, not 800"):
            self.compare("ibsi_pet")

    def test_the_time_limit(self):
        self.settings.deadline = 0.0
        self.assertFalse(self.compare("ibsi_pet"))
        self.assertFalse((self.out / "results.csv").exists())

    def test_tasks_name_datasets(self):
        self.assertEqual({task.dataset for task in TASKS.values()}, set(DATASETS))


if __name__ == "__main__":
    unittest.main()
