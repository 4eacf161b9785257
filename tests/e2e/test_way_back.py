# SPDX-License-Identifier: Apache-2.0
"""From a prepared dataset back to where it came from: its masks as the truth, its names as those of the source. Every score is computed a second time."""
import csv
import hashlib
import hmac
import json
import re
import unittest

import nibabel
import numpy as np
from PIL import Image

import test_eval_sources
from dicom_files import NEEDLES, write_ct_series
from evaluating import EvalTest, blob, expected_scores, perturbed, write_map
from finetuning import PRETRAIN, SWIN, TRAIN, labelled_picture, make_class_manifest, trained
from harness import SIGTERM, environment

SALT, CLASSES = "0123456789abcdef0123456789abcdef", ("round", "square")
SHAPE, SPACING = (26, 34, 6), (0.7, 1.1, 2.5)


def hashed(source_name):
    return hmac.new(SALT.encode(), b"name:" + source_name.encode(), hashlib.sha256).hexdigest()[:16]


def nearest(array, shape):
    """Each new voxel is that of the old ones in which its centre lies."""
    return array[np.ix_(*[((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(shape, array.shape)])]


class WayBackTest(EvalTest):
    def setUp(self):
        super().setUp()
        (self.tmp / "salt").write_text(SALT + "\n")

    def prepare(self, *more, source="source", output="data", **kw):
        return self.vmae("prepare", "--input", source, "--output", output, "prepare.salt_file=salt", *more, **kw)

    def make_volumes(self, count=10, folder="source"):
        """Slices that a network learns something of, two volumes per patient -> {name in the source: labels}."""
        truth, rows = {}, ["image,mask,patient"]
        for i in range(count):
            image, mask = (np.zeros(SHAPE, np.uint8) for _ in range(2))
            for z in range(SHAPE[2]):
                picture, labels = labelled_picture(10 * i + z, SHAPE[1], SHAPE[0])
                image[:, :, z], mask[:, :, z] = picture.T, labels.T
            name = f"scans/Doe {i:02d}.nii.gz"
            write_map(self.tmp / folder / name, image, SPACING, (5, -7, 11 * i))
            write_map(self.tmp / folder / f"masks/m{i:02d}.nii.gz", mask, SPACING, (5, -7, 11 * i))
            truth[name] = mask
            rows.append(f"{name},masks/m{i:02d}.nii.gz,P{i // 2}")
        (self.tmp / folder / "list.csv").write_text("\n".join(rows) + "\n")
        return truth

    def finetune(self, run, *more, **kw):
        return self.seg("data.classes=[round,square]", "train.epochs=1", *more, run=f"runs/{run}", **kw)

    def maps(self, folder):
        """Label maps below a folder -> {name: labels (x, y, z)}."""
        found = {}
        for file in sorted((self.tmp / folder).rglob("*.nii.gz")):
            found[str(file.relative_to(self.tmp / folder))[:-7]] = np.asarray(nibabel.load(file).dataobj).astype(np.uint8)
        for file in sorted((self.tmp / folder).rglob("*.png")):
            found[str(file.relative_to(self.tmp / folder))[:-4]] = np.asarray(Image.open(file)).T[:, :, None]
        return found

    def check(self, model, expected, spacing, classes=CLASSES, output="out", unit="mm"):
        """expected: {case of the report: (prediction, truth)}, on one grid."""
        rows = {(row["case"], row["class"]): row for row in self.rows(output=output) if row["model"] == model}
        self.assertEqual(sorted(rows), sorted((case, name) for case in expected for name in classes))
        for case, (prediction, truth) in expected.items():
            for c, name in enumerate(classes):
                for metric, value in expected_scores(prediction, truth, c + 1, spacing).items():
                    if unit == "mm" or metric not in ("truth_ml", "volume_difference"):
                        self.assert_close(rows[case, name][metric] or None, value, 2e-6, (case, name, metric))
        (hd95,) = {one["unit"] for (_, metric, _), one in self.estimates(output).items() if metric == "HD95"}
        self.assertEqual(hd95, unit)

    def remarks(self, done, *texts, output="out"):
        """The remark stands in summary.json, in the report and on the screen, or nowhere."""
        remarks = self.summary(output)["remarks"]
        self.assertEqual(len(remarks), len(texts), remarks)
        page = self.texts(output)["report.html"].replace("&#39;", "'")
        for remark, text in zip(remarks, texts):
            self.assertIn(text, remark)
            self.assertIn(remark, done.stdout)
            self.assertIn(remark, page)


class VolumesTest(WayBackTest):
    def walk(self, *options, shape=SHAPE, names="hash"):
        """Prepare, split, train twice, compare; predict; evaluate on the prepared grid and on the files' own, by salt and by table."""
        truth = self.make_volumes()
        self.prepare(f"prepare.names={names}", *options, "--names-table", "names.csv")
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=72/8/20")
        self.vmae("pretrain", *SWIN, *PRETRAIN, "model.drop_path_rate=0", "train.epochs=1", "data.train=data", "data.splits=splits.json", "run.dir=runs/mae")
        for run, init in (("a", "runs/mae"), ("b", "")):
            self.finetune(run, "data.splits=splits.json", f"model.init={init}")
        spacing = [step * n / m for step, n, m in zip(SPACING, SHAPE, shape)]
        called = {hashed(name) if names == "hash" else name[:-7]: name for name in truth}  # by predictions
        is_resized = shape != SHAPE

        done = self.vmae("compare", "runs/a", "runs/b", "--output", "out")
        tested = self.maps("runs/a/test")
        self.assertGreater(len(tested), 1)
        for run in "ab":
            self.check(run, {case: (labels, nearest(truth[called[case]], shape)) for case, labels in self.maps(f"runs/{run}/test").items()}, spacing)
        self.remarks(done, *["grid that was prepared"] * is_resized)
        self.assertEqual(self.summary()["patients"], len(tested) // 2)
        self.assertIn("<img", self.texts()["report.html"])

        # All cases, also those trained on: what is tested is the program.
        self.predict(input="data", weights="runs/a", output="predictions")
        predictions = self.maps("predictions")
        self.assertEqual(set(predictions), set(called))
        self.eval(pred="predictions", truth="data")
        self.check("predictions", {case: (labels, nearest(truth[called[case]], shape)) for case, labels in predictions.items()}, spacing)
        on_files = {called[case][:-7]: (nearest(labels, SHAPE), truth[called[case]]) for case, labels in predictions.items()}
        for more in (["--salt-file", "salt"], ["--names-table", "names.csv"]):
            done = self.eval(*(more if names == "hash" else []), pred="predictions", truth="source")
            self.check("predictions", on_files, SPACING)
            self.remarks(done, *["files' own grid"] * is_resized)
            done = self.vmae("compare", "runs/a", "runs/b", "--truth", "source/list.csv", "--output", "own", *(more if names == "hash" else []), "--overwrite")
            self.assertEqual({row["case"] for row in self.rows(output="own")}, {called[case][:-7] for case in tested})

        # Under the source's names, nothing more is needed.
        for more in (["--names-table", "names.csv"], ["--source", "source", "--salt-file", "salt"]):
            self.predict("--overwrite", *more, input="data", weights="runs/a", output="named")
            self.assertEqual(set(self.maps("named")), {name[:-7] for name in truth})
            self.eval(pred="named", truth="source")
            self.check("named", on_files, SPACING)
        if names == "hash":
            self.eval("--names-table", "names.csv", pred="named", truth="data")
            self.check("named", {case: (labels, nearest(truth[called[case]], shape)) for case, labels in predictions.items()}, spacing)

    def test_hashed_names(self):
        self.walk()

    def test_kept_names(self):
        self.walk(names="keep")

    def test_resized(self):
        self.walk("prepare.resize=[20,30]", shape=(30, 20, 6))

    def test_kept_aspect(self):
        self.walk("prepare.resize=[12,16]", "prepare.keep_aspect=true", shape=(9, 12, 6))


class GridTest(WayBackTest):
    """Predictions are made up: what is tested is where they are measured."""

    def make(self, truth, folder="pred", spacing=SPACING, origin=lambda i: (5, -7, 11 * i)):
        made = {}
        for i, (name, labels) in enumerate(truth.items()):
            made[name] = perturbed(labels, i)
            write_map(self.tmp / folder / f"{hashed(name)}.nii.gz", made[name], spacing, origin(i))
        return made

    def test_slices_are_cut_as_they_were_prepared(self):
        """After resizing, the axis with the largest spacing is another one."""
        truth = self.make_volumes(3)
        self.prepare("prepare.resize=[6,5]")
        small, spacing = {name: nearest(labels, (5, 6, 6)) for name, labels in truth.items()}, (0.7 * 26 / 5, 1.1 * 34 / 6, 2.5)
        self.assertGreater(max(spacing[:2]), 2.5)
        made = self.make(small, spacing=spacing, origin=lambda i: (5 + (spacing[0] - 0.7) / 2, -7 + (spacing[1] - 1.1) / 2, 11 * i))
        self.eval("--per-slice", pred="pred", truth="data")
        self.check("pred", {f"{hashed(name)}/{z}": (labels[:, :, z:z + 1], small[name][:, :, z:z + 1]) for name, labels in made.items() for z in range(6)},
                   spacing, ("1", "2"))

    def test_another_place_is_refused(self):
        truth = self.make_volumes(2)
        self.prepare("prepare.resize=[20,30]")
        self.make({name: nearest(labels, (30, 20, 6)) for name, labels in truth.items()}, spacing=SPACING)
        self.assert_says(self.eval(pred="pred", truth="data", expect=3), "different grids")
        self.assert_says(self.eval("--salt-file", "salt", pred="pred", truth="source", expect=3), "different grids")
        self.make(truth, folder="own")  # of a program that had the files
        self.assert_says(self.eval(pred="own", truth="data", expect=3), "different grids", "the files as --truth")
        self.eval("--salt-file", "salt", pred="own", truth="source")

    def test_ignored_labels(self):
        truth = self.make_volumes(2)
        for i, labels in enumerate(truth.values()):
            labels[:4] = 9
            write_map(self.tmp / f"source/masks/m{i:02d}.nii.gz", labels, SPACING, (5, -7, 11 * i))
        self.prepare()
        made = self.make({name: np.where(labels == 9, 1, labels) for name, labels in truth.items()})
        self.eval("--ignore-label", "9", pred="pred", truth="data")
        self.check("pred", {hashed(name): (np.where(truth[name] == 9, 0, labels), np.where(truth[name] == 9, 0, truth[name])) for name, labels in made.items()},
                   SPACING, ("1", "2"))

    def test_cases_without_a_mask(self):
        truth = self.make_volumes(3)
        file = self.tmp / "source/list.csv"
        file.write_text(file.read_text().replace("masks/m01.nii.gz", ""))
        self.prepare()
        names = list(truth)
        self.make(truth)
        (self.tmp / f"pred/{hashed(names[1])}.nii.gz").unlink()
        done = self.eval(pred="pred", truth="data")
        self.assert_says(done, "1 of 3 cases have no mask")
        self.assertEqual({row["case"] for row in self.rows()}, {hashed(names[0]), hashed(names[2])})

    def test_damaged_slices_are_named(self):
        truth = self.make_volumes(2)
        self.prepare()
        self.make(truth)
        (shard,) = (self.tmp / "data").glob("shard-*.mdb")
        data = bytearray(shard.read_bytes())
        for found in re.finditer(b"VMI1", bytes(data)):  # LMDB leaves old copies behind
            data[found.start() + 100] ^= 255
        shard.write_bytes(data)
        self.assert_says(self.eval("--classes", "a,b", pred="pred", truth="data", expect=3), "checksum")

    def test_time_points(self):
        """Each is a case of its own, with the mask of all."""
        labels = blob(SHAPE, 3)
        series = np.stack([blob(SHAPE, 3 + t) * 50 for t in range(3)], -1).astype(np.uint8)
        (self.tmp / "source/images").mkdir(parents=True)
        affine = np.diag([-SPACING[0], -SPACING[1], SPACING[2], 1])
        image = nibabel.Nifti1Image(series, affine)
        image.header.set_zooms((*SPACING, 1.0))
        nibabel.save(image, self.tmp / "source/images/s.nii.gz")
        write_map(self.tmp / "source/labels/s.nii.gz", labels, SPACING)
        self.prepare("--names-table", "names.csv")
        made = {}
        for t in range(3):
            made[t] = perturbed(labels, t)
            write_map(self.tmp / f"pred/{hashed(f'images/s.nii.gz#t{t}')}.nii.gz", made[t], SPACING)
        self.eval(pred="pred", truth="data")
        self.check("pred", {hashed(f"images/s.nii.gz#t{t}"): (made[t], labels) for t in range(3)}, SPACING, ("1", "2"))
        for more in (["--salt-file", "salt"], ["--names-table", "names.csv"]):
            self.eval(*more, pred="pred", truth="source")
            self.check("pred", {f"images/s_t{t}": (made[t], labels) for t in range(3)}, SPACING, ("1", "2"))

    def test_sizes_that_were_not_changed(self):
        """A dataset that kept its sizes has predictions of no other: the table, or the file behind a name, is another one."""
        truth = self.make_volumes()
        for options, code in (([], 3), (["prepare.resize=[6,5]"], 0)):
            self.prepare(*options, "--names-table", "names.csv", "--overwrite")
            index = json.loads((self.tmp / "data/index.json").read_text())
            for i, (name, labels) in enumerate(truth.items()):
                write_map(self.tmp / f"pred/{hashed(name)}.nii.gz", labels[::2, ::2], (SPACING[0] * 2, SPACING[1] * 2, SPACING[2]),
                          (5 + SPACING[0] / 2, -7 + SPACING[1] / 2, 11 * i))
            (self.tmp / "pred/predict.json").write_text(json.dumps({"prepared": {"path": str(self.tmp / "data"), "digest": index["digest"]}}))
            done = self.eval("--names-table", "names.csv", pred="pred", truth="source", output="out_sizes", expect=code)
            if code:
                self.assertIn("different grids", done.stderr)

    def test_channels(self):
        """nnU-Net's channels are cases of their own in a dataset, all with the mask of the one case."""
        truth = {}
        for i in range(2):
            truth[i] = blob(SHAPE, i)
            for channel in range(2):
                write_map(self.tmp / f"source/imagesTr/c{i}_000{channel}.nii.gz", blob(SHAPE, 7 * channel + i) * 50, SPACING)
            write_map(self.tmp / f"source/labelsTr/c{i}.nii.gz", truth[i], SPACING)
        (self.tmp / "source/dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "a": 1, "b": 2},
                                                                  "numTraining": 2, "file_ending": ".nii.gz"}))
        self.prepare()
        sources = {f"imagesTr/c{i}_000{channel}": i for i in range(2) for channel in range(2)}
        made = {}
        for k, (name, i) in enumerate(sources.items()):
            made[name] = perturbed(truth[i], k)
            write_map(self.tmp / f"pred/{hashed(name + '.nii.gz')}.nii.gz", made[name], SPACING)
        self.eval(pred="pred", truth="data")
        self.check("pred", {hashed(name + ".nii.gz"): (made[name], truth[i]) for name, i in sources.items()}, SPACING, ("a", "b"))
        self.eval("--salt-file", "salt", pred="pred", truth="source")
        self.check("pred", {name: (made[name], truth[i]) for name, i in sources.items()}, SPACING, ("a", "b"))


class PicturesTest(WayBackTest):
    def test_pictures_have_no_millimetres(self):
        truth = {}
        for i in range(4):
            image, mask = labelled_picture(i, 48, 40 + 2 * i)
            for folder, array in (("images", image), ("masks", mask)):
                (self.tmp / "source" / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(self.tmp / f"source/{folder}/p{i}.png")
            truth[f"images/p{i}.png"] = mask.T[:, :, None]
        for resize, shape in (("[]", None), ("[32,24]", (24, 32, 1))):
            with self.subTest(resize):
                self.prepare(f"prepare.resize={resize}", "--overwrite")
                self.predict("--overwrite", weights=trained("seg"), input="data", output="pred")
                predictions, remark = self.maps("pred"), [] if shape is None else ["grid"]
                done = self.eval(pred="pred", truth="data")
                self.check("pred", {hashed(name): (predictions[hashed(name)], labels if shape is None else nearest(labels, shape)) for name, labels in truth.items()},
                           (1, 1, 1), unit="pixel")
                self.remarks(done, *remark)
                self.assertIn("<img", self.texts()["report.html"])
                done = self.eval("--salt-file", "salt", pred="pred", truth="source")
                self.check("pred", {name[:-4]: (nearest(predictions[hashed(name)], labels.shape), labels) for name, labels in truth.items()}, (1, 1, 1), unit="pixel")
                self.remarks(done, *remark)


class DicomTest(WayBackTest):
    def test_series(self):
        """Structures by their names, on the grid of the series; nothing of the headers is told."""
        truth, made, spacing = {}, {}, (0.7, 0.8, 5.0)
        for k in range(2):
            write_ct_series(self.tmp / f"source/ct{k}", 9, 24, 32, seed=k)
            truth[k] = blob((32, 24, 9), k)
            truth[k][:, :, :2] = 0
            test_eval_sources.TruthTest.write_seg(self, self.tmp / f"source/ct{k}", truth[k].transpose(2, 1, 0), self.tmp / f"source/seg{k}/s.dcm")
        self.prepare("--names-table", "names.csv")
        with open(self.tmp / "names.csv", newline="") as file:
            names = {re.search(r"ct(\d)", row["source"]).group(1): row for row in csv.DictReader(file)}
        self.assertEqual(sorted(names), ["0", "1"])
        for k in range(2):
            made[k] = perturbed(truth[k], k)
            write_map(self.tmp / f"pred/{names[str(k)]['case']}.nii.gz", made[k], spacing, (-10, -20, -100))
        done = self.eval("--classes", "liver,tumour", pred="pred", truth="data")
        self.check("pred", {names[str(k)]["case"]: (made[k], truth[k]) for k in range(2)}, spacing, ("liver", "tumour"))
        exchanged = self.eval("--classes", "tumour,liver", pred="pred", truth="data", output="exchanged", expect=2)  # the dataset calls 1 liver
        self.assert_says(exchanged, "tumour", "liver", "--classes")
        everything = done.stdout + done.stderr + exchanged.stderr + "".join(self.texts().values())
        self.assertEqual([needle for needle in NEEDLES if needle in everything], [])
        for more in (["--salt-file", "salt"], ["--names-table", "names.csv"]):
            self.eval(*more, pred="pred", truth="source")
            self.check("pred", {f"ct{k}": (made[k], truth[k]) for k in range(2)}, spacing, ("liver", "tumour"))


class ClassificationTest(WayBackTest):
    def test_labels(self):
        make_class_manifest(self.tmp / "source", (3, 3, 3))
        self.prepare("--names-table", "names.csv")
        self.predict(weights=trained("cls"), input="data", output="pred")
        self.predict(weights=trained("cls"), input="source/list.csv", output="of_files")
        self.eval(pred="of_files", truth="source/list.csv")
        expected = {key: one["value"] for key, one in self.estimates().items()}
        with open(self.tmp / "source/list.csv", newline="") as file:
            rows = [(row["image"][:-4], row["label"]) for row in csv.DictReader(file)]
        (self.tmp / "labels.csv").write_text("case,label\n" + "".join(f"{name},{label}\n" for name, label in rows))
        for truth, more in (("data", []), ("source/list.csv", ["--salt-file", "salt"]), ("source", ["--names-table", "names.csv"]),
                            ("labels.csv", ["--names-table", "names.csv"])):
            with self.subTest(truth):
                self.eval(*more, "--names", "of_files", pred="pred", truth=truth)
                self.assertEqual({key: one["value"] for key, one in self.estimates().items()}, expected)
        self.assert_says(self.eval(pred="pred", truth="labels.csv", output="no", expect=3), "salted hashes", "--names-table")


class NamesTableTest(WayBackTest):
    def test_what_it_holds(self):
        truth = self.make_volumes(3)
        (self.tmp / "source/scans/bad.nii.gz").write_bytes(b"no volume")
        with open(self.tmp / "source/list.csv", "a") as file:
            file.write("scans/bad.nii.gz,,P9\n")
        self.prepare("--names-table", "names.csv", expect=6)
        self.assertEqual((self.tmp / "names.csv").stat().st_mode & 0o777, 0o600)
        with open(self.tmp / "names.csv", newline="") as file:
            rows = {row["source"]: row for row in csv.DictReader(file)}
        self.assertEqual(sorted(rows), sorted([*truth, "scans/bad.nii.gz"]))
        digest = json.loads((self.tmp / "data/index.json").read_text())["digest"]
        for i, name in enumerate(truth):
            row = rows[name]
            self.assertEqual([row["case"], row["prediction"], row["patient"], row["dataset"]], [hashed(name), name[:-7], f"P{i // 2}", digest])
            self.assertEqual(row["image_file"], str(self.tmp / "source" / name))
            self.assertEqual(row["mask_file"], str(self.tmp / f"source/masks/m{i:02d}.nii.gz"))
        log = (self.tmp / "data/prepare.log").read_text()
        self.assertIn("identifies patients", log)
        for text in ("Doe", "names.csv", "P0"):
            self.assertFalse(any(text.encode() in file.read_bytes() for file in (self.tmp / "data").iterdir()), text)

        # It says on the screen what cases, and files that were left out, are called.
        for more in (["--names-table", "names.csv"], ["--source", "source", "--salt-file", "salt"]):
            found = json.loads(self.vmae("inspect", "data", "--json", *more).stdout)
            self.assertEqual({one["name"]: one["path"] for one in found["cases"]}, {hashed(name): name for name in rows})
            self.assertEqual([one["path"] for one in found["left_out"]], ["scans/bad.nii.gz"])
            self.assertIn(f"case {hashed(list(truth)[0])}: {list(truth)[0]}", self.vmae("inspect", "data", *more).stdout)

    def test_of_a_dataset_that_is_finished(self):
        self.make_volumes(2)
        self.prepare()
        before = {file.name: file.read_bytes() for file in (self.tmp / "data").glob("*.mdb")}
        self.assert_says(self.prepare("--names-table", "names.csv"), "nothing to do", "identifies patients")
        self.prepare("--names-table", "again.csv")
        self.assertEqual((self.tmp / "again.csv").read_text(), (self.tmp / "names.csv").read_text())
        self.assertEqual({file.name: file.read_bytes() for file in (self.tmp / "data").glob("*.mdb")}, before)
        self.prepare("--names-table", "names.csv")  # replaces itself
        (self.tmp / "salt").write_text("another-secret-of-enough-letters")
        self.assert_says(self.prepare("--names-table", "other.csv", expect=2), "salt")
        self.assertFalse((self.tmp / "other.csv").exists())

    def test_the_same_command_goes_on(self):
        self.make_volumes(4)
        process = self.start("prepare", "--input", "source", "--output", "data", "prepare.salt_file=salt", "prepare.workers=1", "--names-table", "names.csv")
        process.send_signal(SIGTERM)
        process.wait()
        self.prepare("--names-table", "names.csv")
        self.prepare("--names-table", "other.csv", output="undisturbed")
        self.assertEqual((self.tmp / "names.csv").read_text(), (self.tmp / "other.csv").read_text())

    def test_where_it_may_not_be(self):
        self.make_volumes(2)
        (self.tmp / "link").symlink_to(self.tmp / "data")
        (self.tmp / "mine.csv").write_text("image,mask\n")
        places = {"data/names.csv": "lies in the dataset", "data/a/names.csv": "lies in the dataset", "./data/../data/names.csv": "lies in the dataset",
                  "nowhere/names.csv": "no such folder", "mine.csv": "another file", "source": "another file"}
        for place, text in places.items():
            with self.subTest(place):
                self.assertIn(text, self.prepare("--names-table", place, expect=2).stderr)
        self.assertFalse((self.tmp / "data").exists())
        self.assertEqual((self.tmp / "mine.csv").read_text(), "image,mask\n")
        self.prepare()
        for place, text in {**places, "link/names.csv": "lies in the dataset"}.items():
            with self.subTest(place, finished=True):
                self.assertIn(text, self.prepare("--names-table", place, expect=2).stderr)
        self.assertEqual(list((self.tmp / "data").glob("*.csv")), [])
        self.assert_says(self.prepare("--names-table", "data/names.csv", output="second", expect=2), "in a prepared dataset")
        self.prepare("--dry-run", "--names-table", "names.csv", output="third")
        self.assertFalse((self.tmp / "names.csv").exists())

    def test_of_another_dataset(self):
        truth = self.make_volumes(3)
        self.prepare("--names-table", "names.csv")
        self.prepare("prepare.resize=[20,30]", "--names-table", "small.csv", output="small")
        for i, (name, labels) in enumerate(truth.items()):
            write_map(self.tmp / f"pred/{hashed(name)}.nii.gz", labels, SPACING, (5, -7, 11 * i))
        self.assert_says(self.vmae("inspect", "data", "--names-table", "small.csv", expect=3), "another dataset")
        self.assert_says(self.predict("--names-table", "small.csv", weights=trained("seg"), input="data", output="no", expect=3), "another dataset")
        self.assert_says(self.eval("--names-table", "small.csv", pred="pred", truth="data", output="no", expect=3), "another prepared dataset")
        self.predict(weights=trained("seg"), input="data", output="ours")
        self.assert_says(self.eval("--names-table", "small.csv", pred="ours", truth="source", output="no", expect=3), "another prepared dataset")
        text = (self.tmp / "names.csv").read_text()
        for damage, message in ((text + text.splitlines()[-1] + "\n", "twice"), (text.replace("prediction", "guess"), "no names table"),
                                (text + (self.tmp / "small.csv").read_text().splitlines()[-1] + "\n", "another dataset")):
            (self.tmp / "bad.csv").write_text(damage)
            self.assert_says(self.eval("--names-table", "bad.csv", pred="pred", truth="source", output="no", expect=3), message)

    def test_without_salt_or_table(self):
        """What to give is said; with the user's own salt nothing need be given."""
        truth = self.make_volumes(3)
        mine, other = environment(XDG_CONFIG_HOME=self.tmp / "mine"), environment(XDG_CONFIG_HOME=self.tmp / "other")
        (self.tmp / "mine/vmae").mkdir(parents=True)
        (self.tmp / "mine/vmae/salt").write_text(SALT + "\n")
        self.vmae("prepare", "--input", "source", "--output", "data", env=mine)
        for i, (name, labels) in enumerate(truth.items()):
            write_map(self.tmp / f"pred/{hashed(name)}.nii.gz", labels, SPACING, (5, -7, 11 * i))
        self.eval(pred="pred", truth="source", env=mine)
        self.assertEqual({row["case"] for row in self.rows()}, {name[:-7] for name in truth})
        done = self.eval(pred="pred", truth="source", output="no", expect=3, env=other)
        self.assert_says(done, "salted hashes", "--salt-file", "--names-table")
        self.assertFalse((self.tmp / "other/vmae").exists(), "no salt is made on the way back")
        (self.tmp / "salt").write_text("another-secret-of-enough-letters")
        self.assert_says(self.eval("--salt-file", "salt", pred="pred", truth="source", output="no", expect=3), "salted hashes", "--salt-file")
        self.assert_says(self.vmae("inspect", "data", "--source", "source", "--salt-file", "salt", expect=3), "--salt-file")
        self.assert_says(self.vmae("inspect", "data", "--source", "source", expect=2, env=other), "no salt", "--salt-file")
        self.assert_says(self.vmae("inspect", "data", "--salt-file", "salt", expect=2), "--source")
        self.assert_says(self.eval("--salt-file", "salt", pred="pred", truth="data", output="no", expect=2), "--truth SOURCE")
        self.assert_says(self.predict("--source", "source", weights=trained("seg"), input="source", output="no", expect=2), "prepared datasets")


if __name__ == "__main__":
    unittest.main()
