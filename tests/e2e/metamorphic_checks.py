# SPDX-License-Identifier: Apache-2.0
"""What the metamorphic tests share: datasets, and what vmae makes of a source: pixels and masks, losses, counts.

What is right follows from the arrays (metamorphic.py), not from what another format gave. Where the same content
can't be carried, a refusal is right too: `content_or_refused` says so, with the words that must stand in it.
"""
import json
import re

import numpy as np

import metamorphic as m
from evaluating import EvalTest
from finetuning import NO_AUGMENTATION
from harness import metrics
from test_prepared_bytes import read_dataset

VOLUMES = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]
SAGITTAL = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]])


def _grey8():
    return [m.make_case(10, (24, 18, 4), np.uint8, (0.8, 0.8, 3)),
            m.make_case(11, (17, 26, 6), np.uint8, (0.7, 0.9, 2.5)),
            m.make_case(12, (20, 20, 1), np.uint8, (0.8, 0.8, 3)),
            m.make_case(13, (16, 22, 3), np.uint8, (0.8, 0.8, 3), is_empty=True)]


def _oblique(i):
    return m.make_case(20 + i, (22 - i, 17 + i, 3 + i), np.int16, (0.6, 0.9, 3), m.rotation(8 + 7 * i, (1, 2, 3)))


def _microscopy(i):
    return m.make_case(30 + i, (19 + 2 * i, 24, 4), np.uint16, (0.02, 0.02, 0.06))


def _sagittal(i):
    return m.make_case(40 + i, (21, 18 + i, 4), np.int16, (1.2, 1.2, 4), SAGITTAL, 0.25, -37.5, classes=2)


# Three to five cases of different sizes; slices lie across the axis with the largest spacing. Made anew each time.
DATASETS = {
    "8 bit": _grey8,
    "signed 16 bit, oblique": lambda: [_oblique(i) for i in range(5)],
    "16 bit, 0.02 mm": lambda: [_microscopy(i) for i in range(3)],
    "scaled, sagittal": lambda: [_sagittal(i) for i in range(4)],
}


def names(count):
    return [f"case{i}" for i in range(count)]


class MetamorphicTest(EvalTest):
    def setUp(self):
        super().setUp()
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        self.made = 0

    def new(self, what="in"):
        self.made += 1
        return self.tmp / f"{what}{self.made}"

    # Pixels and masks, as `vmae prepare` stores them. called: the name of each case, as prepare.names=keep keeps it.

    def prepare(self, source, *options, run=None):
        out = self.new("prepared")
        return out, (run or self.vmae)("prepare", "--input", source, "--output", out, "prepare.names=keep",
                                       f"prepare.salt_file={self.tmp / 'salt'}", "prepare.workers=1", *options)

    @staticmethod
    def content(prepared):
        return m.prepared_digests(*read_dataset(prepared))

    def assert_content(self, source, cases, called, *options):
        """-> the prepared dataset."""
        out, _ = self.prepare(source, *options)
        self.assert_same_content(self.content(out), dict(zip(called, map(m.digests, cases), strict=True)))
        return out

    def assert_same_content(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected), "cases")
        lengths = [{name: len(slices) for name, slices in some.items()} for some in (found, expected)]
        self.assertEqual(*lengths, "numbers of slices")
        others = {digest: (name, i) for name, slices in expected.items() for i, digest in enumerate(slices)}
        wrong = {f"{name}, slice {i}": others.get(digest, "of no slice of this dataset")
                 for name, slices in found.items() for i, digest in enumerate(slices) if digest != expected[name][i]}
        self.assertEqual(wrong, {}, "slices with other pixels or another mask, and whose they are")

    def content_or_refused(self, source, cases, called, reason, *options):
        """Content as above, or a refusal (exit code 3; or 6, some files were left out) for this reason. -> the prepared
        dataset, None if it was refused. Where only some files are left out, the others must be right."""
        out, done = self.prepare(source, *options, run=self.any_exit)
        expected = dict(zip(called, map(m.digests, cases), strict=True))
        if done.returncode == 0:
            self.assert_same_content(self.content(out), expected)
            return out
        self.assertIn(done.returncode, (3, 6), done.stderr)
        left_out = (out / "quarantine.jsonl").read_text() if (out / "quarantine.jsonl").exists() else ""
        self.assertRegex(done.stderr + left_out, reason)
        for name, slices in (self.content(out) if done.returncode == 6 else {}).items():
            self.assertEqual(slices, expected[name], name)
        return None

    def any_exit(self, *arguments):
        """Runs vmae; it ends well, or refuses what it was given. The result has .returncode and .stderr."""
        try:
            return self.vmae(*arguments)
        except AssertionError as failure:
            found = re.match(r"exit code (\d+)", str(failure))
            if not found or int(found.group(1)) not in (2, 3, 6):
                raise
            failure.returncode, failure.stderr = int(found.group(1)), str(failure)
            return failure

    # Training

    def train(self, source, *options, classes=m.CLASSES):
        """Three steps on all slices at once, so that their order does not matter; augmentation off. -> the run."""
        run = self.new("run")
        self.seg("train.batch_size=128", "train.epochs=3", "data.val_fraction=0", "model.drop_path_rate=0",
                 "data.intensity=window", "data.window=[0,400]", "data.slice_axis=z",
                 f"data.classes=[{','.join(classes)}]", *NO_AUGMENTATION, *options, data=source, run=run)
        return run

    def losses(self, source, *options, classes=m.CLASSES):
        return [line["loss"] for line in metrics(self.train(source, *options, classes=classes), "train")]

    def assert_losses(self, found, expected):
        self.assertEqual(len(found), 3)
        np.testing.assert_allclose(found, expected, rtol=2e-5)

    # Evaluation

    def counts(self, predictions, truth, *options, classes=m.CLASSES, parts=1):
        """{(last parts of the case's name, class): (true positives, false positives, false negatives)} of `vmae eval`,
        whose Dice must be theirs."""
        out = self.new("eval").name
        self.eval("--no-distances", "--resamples", "20", "--threads", "1", "--classes", ",".join(classes), *options,
                  pred=[str(predictions)], truth=truth, output=out)
        found = {}
        for row in self.rows(output=out):
            tp, fp, fn = (int(row[key]) for key in ("true_positives", "false_positives", "false_negatives"))
            dice = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else np.nan
            self.assert_close(row["Dice"] or None, dice, 1e-6, row["case"])
            key = "/".join(row["case"].split("/")[-parts:]), row["class"]
            self.assertNotIn(key, found)
            found[key] = tp, fp, fn
        return found

    @staticmethod
    def wrong(cases):
        """What `predictions` writes."""
        return [m.wrong_prediction(case, 7 + i) for i, case in enumerate(cases)]

    def predictions(self, cases, called, ending=".nii.gz"):
        return m.write_maps(self.new("pred"), self.wrong(cases), called, ending)

    def expected_counts(self, cases, called, classes=m.CLASSES):
        found = {}
        for case, prediction, name in zip(cases, self.wrong(cases), called, strict=True):
            for label, class_name in enumerate(classes, 1):
                p, t = prediction.mask == label, case.mask == label
                found[name, class_name] = tuple(int(np.count_nonzero(x)) for x in (p & t, p & ~t, ~p & t))
        return found

    def assert_voxels(self, source, case):
        """Of the mask of a source's only image, as `vmae inspect` counts them."""
        images = json.loads(self.vmae("inspect", source, "--json").stdout)["images"]
        self.assertEqual(len(images), 1)
        found = {int(label): count for label, count in images[0]["mask"]["voxels"].items()}
        labels, counts = np.unique(case.mask, return_counts=True)
        self.assertEqual(found, dict(zip(labels.tolist(), counts.tolist())))

    # Sources: -> folder, names of the cases

    def pairs(self, cases, ending, called=None, **more):
        called = called or names(len(cases))
        return m.write_pairs(self.new(), cases, called, ending, **more), [f"images/{name}{ending}" for name in called]

    def dicom(self, cases, write_mask, called=None, **series):
        """A folder per case. write_mask(folder, images, case, key)."""
        folder, called = self.new("dicom"), called or names(len(cases))
        for i, (case, name) in enumerate(zip(cases, called, strict=True)):
            images = m.write_series(folder / name, case, f"key{i}", i, **series)
            write_mask(folder / name, images, case, f"key{i}")
        return folder, [f"{name}/IM0000.dcm" for name in called]

    def rtstruct(self, cases, **drawn):
        def write(folder, images, case, key):
            m.write_rtstruct(folder / "rs.dcm", images, case, key, **drawn)
        return self.dicom(cases, write)

    def seg_objects(self, cases, kind="BINARY"):
        def write(folder, images, case, key):
            m.write_seg(folder / "seg.dcm", images, case, key, kind)
        return self.dicom(cases, write)

    def enhanced(self, cases):
        folder, called = self.new("dicom"), names(len(cases))
        for i, (case, name) in enumerate(zip(cases, called, strict=True)):
            image = m.write_enhanced(folder / name / "IM0000.dcm", [case], f"key{i}", i)
            m.write_seg(folder / name / "seg.dcm", [image], case, f"key{i}")
        return folder, [f"{name}/IM0000.dcm" for name in called]

    def sources(self, cases):
        """{format: makes (folder, names of the cases)}."""
        made = {ending: lambda ending=ending: self.pairs(cases, ending) for ending in [*VOLUMES, ".tif"]}
        made["SEG"] = lambda: self.seg_objects(cases)
        made["SEG, label map"] = lambda: self.seg_objects(cases, "LABELMAP")
        made["enhanced, SEG"] = lambda: self.enhanced(cases)
        if all(case.mask.any() for case in cases):  # what a structure set without contours means: DicomTest
            made["RTSTRUCT"] = lambda: self.rtstruct(cases)
        return made
