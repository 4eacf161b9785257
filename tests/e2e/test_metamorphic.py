# SPDX-License-Identifier: Apache-2.0
"""The same content in every format, under other names, in another order, flipped with its geometry: the same pixels and masks after `vmae prepare`, the same loss in
training, the same counts in `vmae eval` and `vmae inspect`. What is right follows from the arrays (metamorphic.py), not from what another format gave.

Where the same content can't be carried, a refusal is right too; each such place says so (`or_refused`). A refusal has exit code 3 (or 6: some files were left out)
and says why in the words given.
"""
import json
import re
import shutil
import unittest

import nibabel
import numpy as np
import tifffile
from PIL import Image

try:
    import metamorphic as m
except ImportError as missing:  # highdicom, tifffile
    raise unittest.SkipTest(str(missing))
from evaluating import EvalTest
from finetuning import NO_AUGMENTATION
from harness import metrics
from test_prepared_bytes import read_dataset

VOLUMES = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]


def rotated(degrees, *axis):
    return m.rotation(degrees, axis)


# Each a dataset of three to five cases of different sizes; the slices' axis has the largest spacing.
def dataset(which):
    return {
        "8 bit": lambda: [m.make_case(10, (24, 18, 4), np.uint8, (0.8, 0.8, 3)), m.make_case(11, (17, 26, 6), np.uint8, (0.7, 0.9, 2.5)),
                          m.make_case(12, (20, 20, 1), np.uint8, (0.8, 0.8, 3)), m.make_case(13, (16, 22, 3), np.uint8, (0.8, 0.8, 3), is_empty=True)],
        "signed 16 bit, oblique": lambda: [m.make_case(20 + i, (22 - i, 17 + i, 3 + i), np.int16, (0.6, 0.9, 3), rotated(8 + 7 * i, 1, 2, 3)) for i in range(5)],
        "16 bit, 0.02 mm": lambda: [m.make_case(30 + i, (19 + 2 * i, 24, 4), np.uint16, (0.02, 0.02, 0.06)) for i in range(3)],
        "scaled, sagittal": lambda: [m.make_case(40 + i, (21, 18 + i, 4), np.int16, (1.2, 1.2, 4), np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0.0]]), 0.25, -37.5,
                                                 classes=2) for i in range(4)],
    }[which]()


DATASETS = ["8 bit", "signed 16 bit, oblique", "16 bit, 0.02 mm", "scaled, sagittal"]


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

    # What vmae makes of a source

    def prepare(self, source, *options, expect=0):
        out = self.new("prepared")
        done = self.vmae("prepare", "--input", source, "--output", out, "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}", "prepare.workers=1",
                         *options, expect=expect)
        return out, done

    def assert_content(self, source, cases, called, *options):
        """`called`: the name of each case, as `prepare.names=keep` keeps it. -> the prepared dataset."""
        out, _ = self.prepare(source, *options)
        found = m.prepared_digests(*read_dataset(out))
        self.assert_same_content(found, {name: m.digests(case) for name, case in zip(called, cases, strict=True)})
        return out

    def assert_same_content(self, found, expected):
        self.assertEqual(sorted(found), sorted(expected), "cases")
        self.assertEqual({name: len(slices) for name, slices in found.items()}, {name: len(slices) for name, slices in expected.items()}, "numbers of slices")
        others = {slices[i]: (name, i) for name, slices in expected.items() for i in range(len(slices))}
        wrong = {f"{name}, slice {i}": others.get(slice, "no slice of this dataset")
                 for name, slices in found.items() for i, slice in enumerate(slices) if slice != expected[name][i]}
        self.assertEqual(wrong, {}, "slices with the pixels and the mask of another")

    def content_or_refused(self, source, cases, called, reason, *options):
        """Content as above, or a refusal of the whole or of cases, for this reason. True: read."""
        out = self.new("prepared")
        arguments = ["prepare", "--input", source, "--output", out, "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}", "prepare.workers=1", *options]
        done = self.any_exit(*arguments)
        if done.returncode == 0:
            self.assert_same_content(m.prepared_digests(*read_dataset(out)), {name: m.digests(case) for name, case in zip(called, cases, strict=True)})
            return True
        self.assertIn(done.returncode, (3, 6), done.stderr)
        left_out = (out / "quarantine.jsonl").read_text() if (out / "quarantine.jsonl").exists() else ""
        self.assertRegex(done.stderr + left_out, reason)
        if done.returncode == 6:  # what is there must be right
            expected = {name: m.digests(case) for name, case in zip(called, cases, strict=True)}
            for name, slices in m.prepared_digests(*read_dataset(out)).items():
                self.assertEqual(slices, expected[name], name)
        return False

    def any_exit(self, *arguments):
        try:
            return self.vmae(*arguments)
        except AssertionError as failure:
            found = re.match(r"exit code (\d+)", str(failure))
            if not found or int(found.group(1)) not in (2, 3, 6):
                raise
            failure.returncode, failure.stderr = int(found.group(1)), str(failure)
            return failure

    def losses(self, source, *options, classes=m.CLASSES):
        """Of three steps on all slices at once, so that their order does not matter."""
        run = self.new("run")
        self.seg("train.batch_size=128", "train.epochs=3", "data.val_fraction=0", "model.drop_path_rate=0", "data.intensity=window", "data.window=[0,400]",
                 "data.slice_axis=z", f"data.classes=[{','.join(classes)}]", *NO_AUGMENTATION, *options, data=source, run=run)
        return [line["loss"] for line in metrics(run, "train")]

    def assert_losses(self, found, expected):
        self.assertEqual(len(found), 3)
        np.testing.assert_allclose(found, expected, rtol=2e-5)

    def counts(self, predictions, truth, *options, classes=m.CLASSES, parts=1):
        """{(last parts of the case's name, class): (true positives, false positives, false negatives)} of `vmae eval`; its Dice must be theirs."""
        out = self.new("eval").name
        self.eval("--no-distances", "--resamples", "20", "--threads", "1", *(["--classes", ",".join(classes)] if classes else []), *options,
                  pred=[str(predictions)], truth=truth, output=out)
        found = {}
        for row in self.rows(output=out):
            tp, fp, fn = (int(row[key]) for key in ("true_positives", "false_positives", "false_negatives"))
            self.assert_close(row["Dice"] or None, 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else np.nan, 1e-6, row["case"])
            key = "/".join(row["case"].split("/")[-parts:]), row["class"]
            self.assertNotIn(key, found)
            found[key] = tp, fp, fn
        return found

    @staticmethod
    def expected_counts(cases, called, seed=7, classes=m.CLASSES):
        found = {}
        for i, (case, name) in enumerate(zip(cases, called, strict=True)):
            prediction = m.wrong_prediction(case, seed + i).mask
            for label, class_name in enumerate(classes, 1):
                p, t = prediction == label, case.mask == label
                found[name, class_name] = tuple(int(np.count_nonzero(x)) for x in (p & t, p & ~t, ~p & t))
        return found

    def predictions(self, cases, called, ending=".nii.gz", seed=7):
        return m.write_maps(self.new("pred"), [m.wrong_prediction(case, seed + i) for i, case in enumerate(cases)], called, ending)

    def voxels(self, source):
        """Of the mask of a source's only image, as `vmae inspect` counts them."""
        (image,) = json.loads(self.vmae("inspect", source, "--json").stdout)["images"]
        return {int(label): count for label, count in image["mask"]["voxels"].items()}

    def assert_voxels(self, source, case):
        labels, counts = np.unique(case.mask, return_counts=True)
        self.assertEqual(self.voxels(source), dict(zip(labels.tolist(), counts.tolist())))

    # DICOM: a folder per case, with whatever holds its mask

    def dicom(self, cases, mask, called=None, **series):
        """mask(folder, images, case, key) -> the source and the cases' names."""
        folder, called = self.new("dicom"), called or names(len(cases))
        for i, (case, name) in enumerate(zip(cases, called, strict=True)):
            images = m.write_series(folder / name, case, f"key{i}", i, **series)
            mask(folder / name, images, case, f"key{i}")
        return folder, [f"{name}/IM0000.dcm" for name in called]

    def rtstruct(self, cases, **drawn):
        return self.dicom(cases, lambda folder, images, case, key: m.write_rtstruct(folder / "rs.dcm", images, case, key, **drawn))

    def seg_objects(self, cases, kind="BINARY", **series):
        return self.dicom(cases, lambda folder, images, case, key: m.write_seg(folder / "seg.dcm", images, case, key, kind), **series)

    def enhanced(self, cases):
        folder, called = self.new("dicom"), names(len(cases))
        for i, (case, name) in enumerate(zip(cases, called, strict=True)):
            image = m.write_enhanced(folder / name / "IM0000.dcm", [case], f"key{i}", i)
            m.write_seg(folder / name / "seg.dcm", [image], case, f"key{i}")
        return folder, [f"{name}/IM0000.dcm" for name in called]

    def pairs(self, cases, ending, called=None, **more):
        called = called or names(len(cases))
        return m.write_pairs(self.new(), cases, called, ending, **more), [f"images/{name}{ending}" for name in called]


class FormatsTest(MetamorphicTest):
    def sources(self, cases):
        """{format: makes (source, names of its cases)}."""
        made = {ending: lambda ending=ending: self.pairs(cases, ending) for ending in [*VOLUMES, ".tif"]}
        made["SEG"] = lambda: self.seg_objects(cases)
        made["SEG, label map"] = lambda: self.seg_objects(cases, "LABELMAP")
        made["enhanced, SEG"] = lambda: self.enhanced(cases)
        if all(case.mask.any() for case in cases):  # what a structure set without contours means: DicomTest
            made["RTSTRUCT"] = lambda: self.rtstruct(cases)
        return made

    def check(self, which):
        cases = dataset(which)
        expected = self.expected_counts(cases, names(len(cases)))
        losses = self.losses(self.pairs(cases, ".nrrd")[0])
        predictions = self.predictions(cases, names(len(cases)))
        for format, make in self.sources(cases).items():
            source, called = make()
            with self.subTest(dataset=which, format=format, what="pixels and masks"):
                self.assert_content(source, cases, called)
            with self.subTest(dataset=which, format=format, what="loss"):
                self.assert_losses(self.losses(source), losses)
            with self.subTest(dataset=which, format=format, what="Dice"):  # pictures have no millimetres: there, of predictions of their own kind
                pictures = format == ".tif"
                self.assertEqual(self.counts(self.predictions(cases, names(len(cases)), ".tif") if pictures else predictions, source), expected)
            shutil.rmtree(source)

    def test_8_bit(self):
        self.check("8 bit")

    def test_signed_16_bit_oblique(self):
        self.check("signed 16 bit, oblique")

    def test_16_bit_microscopy(self):
        self.check("16 bit, 0.02 mm")

    def test_scaled_sagittal(self):
        self.check("scaled, sagittal")


class NamesTest(MetamorphicTest):
    """File names mean nothing but which files belong together."""

    NAMES = {
        "UIDs": ["1.2.826.0.1.3680043.101", "1.2.826.0.1.3680043.102", "1.2.826.0.1.3680043.110", "1.2.826.0.1.3680043.9"],
        "dots": ["p.T1", "p.T2", "p", "p.T1.x"],
        "one the beginning of the other": ["case1", "case10", "case1_0", "case100"],
        "endings of others": ["a.nii", "a.png", "a.nrrd", "a.0"],
        "blanks": ["case  1", "case 1", " case", "c a s e"],
        "letters of the world": ["Gr\u00f6\u00dfe", "\u75c5\u4f8b 1", "caf\u00e9", "\u0434\u0432\u0430"],
        "signs": ["a#t0", "b%20c", "c[1]", "d,e;f'g"],
        "nnU-Net's channels": ["x_0000", "y_0000", "z_0000", "w_0000"],
        "folders": ["anna/scan", "bert/scan", "bert/more/scan", "scan"],
        "capitals": ["Case", "CASE", "case", "cAsE"],
    }

    def cases(self):
        return [m.make_case(50 + i, (16, 14, 2), spacing=(1, 1, 3)) for i in range(4)]  # one size: nothing else tells them apart

    def check(self, cases, called, ending, mask_ending, losses, is_first):
        source, prepared_names = self.pairs(cases, ending, called, mask_ending=mask_ending)
        self.assert_content(source, cases, prepared_names)
        if is_first:  # of each kind of name
            self.assert_losses(self.losses(source), losses)
        # Predictions are named as `vmae predict` names them: `_0000` is cut off, and in folders the path counts.
        predicted = [name.removesuffix("_0000") for name in called]
        predicted = [f"images/{name}" for name in predicted] if any("/" in name for name in predicted) else predicted
        found = self.counts(self.predictions(cases, predicted, mask_ending), source, parts=9 if "/" in predicted[0] else 1)
        self.assertEqual(found, self.expected_counts(cases, predicted))

    def test_kinds_of_names(self):
        cases = self.cases()
        losses = self.losses(self.pairs(cases, ".nrrd")[0])
        for kind, called in self.NAMES.items():
            for number, (ending, mask_ending) in enumerate([(".nii.gz", ".nii.gz"), (".mha", ".nii")]):
                with self.subTest(kind=kind, image=ending, mask=mask_ending):
                    self.check(cases, called, ending, mask_ending, losses, number == 0)

    def test_endings_in_capitals(self):
        cases = self.cases()
        for ending in (".NII.GZ", ".Nii", ".NRRD", ".MHA", ".TIF", ".Tiff"):
            with self.subTest(ending=ending):
                source, called = self.pairs(cases, ending)
                self.assert_content(source, cases, called)

    def test_pictures(self):
        cases = [m.make_case(60 + i, (20 + i, 17, 1)) for i in range(4)]
        for kind in ("UIDs", "dots", "letters of the world", "signs"):
            for ending in (".png", ".PNG"):
                with self.subTest(kind=kind, ending=ending):
                    called = self.NAMES[kind]
                    source = self.new()
                    for case, name in zip(cases, called):
                        for sub, plane in (("images", case.stored), ("masks", case.mask)):
                            (source / sub).mkdir(parents=True, exist_ok=True)
                            Image.fromarray(np.ascontiguousarray(plane[..., 0].T)).save(source / sub / f"{name}{ending}", "png")
                    self.assert_content(source, cases, [f"images/{name}{ending}" for name in called])

    def test_layouts(self):
        """Folders, nnU-Net, Decathlon and a manifest, under names that are cut at dots by mistake."""
        cases = self.cases()
        losses = self.losses(self.pairs(cases, ".nrrd")[0])
        for kind in ("UIDs", "dots", "letters of the world", "blanks"):
            called = self.NAMES[kind]
            expected = {(called[i], name): count for (i, name), count in self.expected_counts(cases, range(4)).items()}
            predictions = self.predictions(cases, called)
            for layout in ("nnunet", "decathlon", "manifest"):
                with self.subTest(kind=kind, layout=layout):
                    source = self.new()
                    if layout == "nnunet":
                        m.write_nnunet(source, cases, called, ".nii.gz")
                        prepared_names = [f"imagesTr/{name}_0000.nii.gz" for name in called]
                    elif layout == "decathlon":
                        m.write_decathlon(source, cases, called, ".nii.gz", order=[2, 0, 3, 1])
                        prepared_names = [f"imagesTr/{name}.nii.gz" for name in called]
                    else:
                        m.write_pairs(source, cases, called, ".nii.gz", folders=("i", "m"))
                        m.write_manifest(source, [(f"i/{called[i]}.nii.gz", f"m/{called[i]}.nii.gz") for i in (2, 0, 3, 1)])
                        prepared_names = [f"i/{name}.nii.gz" for name in called]
                    self.assert_content(source, cases, prepared_names)
                    if kind == "UIDs":
                        self.assert_losses(self.losses(source), losses)
                    self.assertEqual(self.counts(predictions, source), expected)

    def test_dicom_folders_and_files(self):
        cases = self.cases()
        for kind in ("UIDs", "blanks", "letters of the world"):
            with self.subTest(kind=kind):
                called = self.NAMES[kind]
                source, _ = self.dicom(cases, lambda folder, images, case, key: m.write_seg(folder / "a seg.x", images, case, key), called, name="1.2.3.{}")
                self.assert_content(source, cases, [f"{name}/1.2.3.0" for name in called])


class OrderTest(MetamorphicTest):
    """The order in which files were made, changed, listed or numbered means nothing."""

    def digest(self, prepared):
        return json.loads(self.vmae("inspect", prepared, "--json").stdout)["digest"]

    def test_files(self):
        cases = dataset("8 bit")
        first, called = self.pairs(cases, ".nii.gz")
        digest, losses = self.digest(self.assert_content(first, cases, called)), self.losses(first)
        for seed in range(2):
            with self.subTest(seed=seed):
                order = m.shuffled(seed)
                again = m.write_pairs(self.new(), cases, names(4), ".nii.gz", order=order(4))
                m.set_times(again, order)
                shutil.rmtree(first)
                again = again.rename(first)  # so that nothing but the order differs
                self.assertEqual(self.digest(self.assert_content(again, cases, called)), digest)
                self.assertEqual(self.losses(again), losses)

    def test_manifest(self):
        cases = dataset("8 bit")
        source = m.write_pairs(self.new(), cases, names(4), ".nii.gz", folders=("i", "m"))
        losses = None
        for columns in (("image", "mask"), ("mask", "image"), ("image", "patient", "mask")):
            for seed in range(2):
                with self.subTest(columns=columns, seed=seed):
                    rows = [[{"image": f"i/case{i}.nii.gz", "mask": f"m/case{i}.nii.gz", "patient": f"P{i}"}[c] for c in columns] for i in m.shuffled(seed)(4)]
                    m.write_manifest(source, rows, columns)
                    self.assert_content(source / "list.csv", cases, [f"i/case{i}.nii.gz" for i in range(4)])
                    found = self.losses(source / "list.csv")
                    losses = losses or found
                    self.assert_losses(found, losses)

    def test_slices_of_a_series(self):
        """Numbers of files and instances run backwards, or anyhow."""
        cases = dataset("signed 16 bit, oblique")
        for name, order in (("backwards", lambda n: list(range(n))[::-1]), ("shuffled", m.shuffled(3))):
            with self.subTest(order=name):
                source, called = self.new("dicom"), names(len(cases))
                for i, case in enumerate(cases):
                    numbers = order(case.slices)
                    images = m.write_series(source / called[i], case, f"key{i}", i, numbers)
                    by_file = [images[numbers.index(k)] for k in range(case.slices)]  # the structure set lists them as a program meets them
                    m.write_rtstruct(source / called[i] / "a.dcm", by_file, case, f"key{i}", i)
                self.assert_content(source, cases, [f"{name}/IM0000.dcm" for name in called])

    def test_series_in_one_folder(self):
        """All series and their segmentations side by side, as an archive gives them."""
        cases = dataset("8 bit")
        source = self.new("dicom")
        for i, case in enumerate(cases):
            images = m.write_series(source, case, f"key{i}", i, name=f"{'cabd'[i]}{{:04d}}.dcm")
            m.write_seg(source / f"{'bdca'[i]}_seg.dcm", images, case, f"key{i}")
        self.assert_content(source, cases, [f"{'cabd'[i]}0000.dcm" for i in range(4)])

    def test_frames_of_an_enhanced_image(self):
        cases = dataset("8 bit")
        source, called = self.new("dicom"), names(4)
        for i, case in enumerate(cases):
            image = m.write_enhanced(source / called[i] / "IM0000.dcm", [case], f"key{i}", i, m.shuffled(i)(case.slices))
            ordered = m.write_enhanced(self.tmp / "unused.dcm", [case], f"key{i}", i)  # highdicom: frames of the mask in the order of the image's
            del image
            m.write_seg(source / called[i] / "seg.dcm", [ordered], case, f"key{i}")
        self.assert_content(source, cases, [f"{name}/IM0000.dcm" for name in called])


class FlipTest(MetamorphicTest):
    """Data flipped with its geometry lies where it lay: image and mask turn together, and what is counted stays."""

    def test_flipped_with_the_geometry(self):
        cases = dataset("signed 16 bit, oblique")[:3]
        expected = self.expected_counts(cases, names(3))
        wrong = [m.wrong_prediction(case, 7 + i) for i, case in enumerate(cases)]
        for axes in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
            turned, predictions = cases, wrong
            for axis in axes:
                turned, predictions = [m.flipped(case, axis) for case in turned], [m.flipped(case, axis) for case in predictions]
            for ending in (".nii.gz", ".nrrd", ".mha"):
                with self.subTest(axes=axes, ending=ending):
                    source, called = self.pairs(turned, ending)
                    self.assert_content(source, turned, called)
                    self.assertEqual(self.counts(m.write_maps(self.new("pred"), predictions, names(3), ".nii.gz"), source), expected)

    def test_one_of_two_is_flipped(self):
        """Image and mask, or prediction and truth, each at its right place but stored in other orders: matched by place, or refused; never voxel by voxel."""
        cases = dataset("signed 16 bit, oblique")[:3]
        expected = self.expected_counts(cases, names(3))
        for axis in range(3):
            for ending in (".nii.gz", ".nrrd", ".mha"):
                with self.subTest(axis=axis, ending=ending):
                    turned = [m.flipped(case, axis) for case in cases]
                    source = self.new()
                    for name, case, other in zip(names(3), cases, turned):
                        m.write_image(source / "images" / (name + ending), case, ending) if (source / "images").is_dir() or not (source / "images").mkdir(
                            parents=True) else None
                        m.write_volume(source / "labels" / (name + ending), other.mask, other, ending)
                    self.content_or_refused(source, cases, [f"images/{name}{ending}" for name in names(3)], r"(?i)grid|axes|direction|origin|place")
                    pred = m.write_maps(self.new("pred"), [m.flipped(m.wrong_prediction(case, 7 + i), axis) for i, case in enumerate(cases)], names(3), ending)
                    truth = m.write_maps(self.new("truth"), cases, names(3), ending)
                    done = self.any_exit("eval", "--pred", pred, "--truth", truth, "--output", self.new("eval"), "--no-distances", "--resamples", "20")
                    if done.returncode == 0:
                        self.assertEqual(self.counts(pred, truth), expected)
                    else:
                        self.assertEqual(done.returncode, 3)


class DicomTest(MetamorphicTest):
    def ring(self):
        """A mask with a hole, with parts that touch at a corner, and another class in the hole."""
        case = m.make_case(70, (24, 20, 5), np.int16, (0.9, 0.7, 3), rotated(10, 1, 0, 1), is_empty=True)
        case.mask[3:15, 4:16, 1:4] = 1
        case.mask[6:12, 7:13, 1:4] = 0
        case.mask[8:10, 9:11, 2] = 2
        case.mask[15:19, 16:19, 1:3] = 1
        case.mask[20:23, 2:5, 4] = 3
        return case

    def test_contours(self):
        """Drawn more finely than the slices lie, beside them, twice, with holes of their own or by way of a keyhole: the same mask."""
        cases = [self.ring(), *dataset("16 bit, 0.02 mm")[:1], *dataset("8 bit")[:2]]
        for what, drawn in {"as they are": {}, "keyholes": {"with_keyholes": True}, "three planes in a slice": {"offsets": (-0.3, 0, 0.3)},
                            "two planes in a slice": {"offsets": (0, 0.4)}, "two planes beside it": {"offsets": (-0.25, 0.25)},
                            "four planes": {"offsets": (-0.375, -0.125, 0.125, 0.375)}, "a plane a little off": {"offsets": (0.01,)},
                            "each twice": {"repeat": 2}, "each three times": {"repeat": 3},
                            "three planes, keyholes, twice": {"offsets": (-0.3, 0, 0.3), "with_keyholes": True, "repeat": 2}}.items():
            with self.subTest(contours=what):
                source, called = self.rtstruct(cases, **drawn)
                self.assert_content(source, cases, called)

    def test_no_contours(self):
        """Structures are named and nothing is drawn: an empty mask, or the case is left out for it."""
        cases = [m.make_case(75, (18, 16, 3), spacing=(1, 1, 3)), m.make_case(76, (18, 16, 3), spacing=(1, 1, 3), is_empty=True)]
        source, called = self.rtstruct(cases)
        self.content_or_refused(source, cases, called, r"(?i)contour")

    def test_segmentations(self):
        cases = [self.ring(), *dataset("8 bit")[:3]]
        for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
            with self.subTest(kind=kind):
                source, called = self.seg_objects(cases, kind)
                self.assert_content(source, cases, called)
                # And as predictions alone, in files named as the series' folders
                pred, truth = self.new("pred"), self.predictions(cases, names(4))
                pred.mkdir()
                for i, name in enumerate(names(4)):
                    shutil.copy(source / name / "seg.dcm", pred / f"{name}.dcm")
                expected = {(name, c): (tp, fn, fp) for (name, c), (tp, fp, fn) in self.expected_counts(cases, names(4)).items()}
                self.assertEqual(self.counts(pred, truth), expected)

    def test_time_points_of_an_enhanced_image(self):
        """Two or three time points in one file, interleaved, one after the other, or anyhow: each a volume of its own. Their names are not looked at."""
        for count in (2, 3):
            times = [m.make_case(80 + t, (16, 14, 4), np.int16, (1, 1, 3), is_empty=True) for t in range(count)]
            for time in times:
                time.origin = times[0].origin
            for what, order in {"interleaved": None, "one after the other": list(range(4 * count)), "shuffled": m.shuffled(5)(4 * count)}.items():
                with self.subTest(times=count, order=what):
                    source = self.new("dicom")
                    m.write_enhanced(source / "x/IM0000.dcm", times, "key", 0, order)
                    out, _ = self.prepare(source)
                    found = m.prepared_digests(*read_dataset(out))
                    self.assertEqual(sorted(found.values()), sorted(m.digests(time) for time in times))


class ContainersTest(MetamorphicTest):
    """Files that hold several images."""

    def times(self, count=3):
        times = [m.make_case(90 + t, (18, 16, 4), np.int16, (1, 1, 3)) for t in range(count)]
        for time in times:
            time.origin = times[0].origin
        return times

    def write_4d(self, path, times, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        m.write_nifti(path, np.stack([getattr(time, what) for time in times], -1), times[0])

    def test_time_points_have_their_own_masks(self):
        """A 4-D mask beside a 4-D image; refused by name is right too."""
        times = self.times()
        source = self.new()
        self.write_4d(source / "images/a.nii.gz", times, "stored")
        self.write_4d(source / "labels/a.nii.gz", times, "mask")
        self.content_or_refused(source, times, [f"images/a.nii.gz#t{t}" for t in range(3)], r"(?i)time point|4-?D|volumes")

    def test_one_mask_for_all_time_points(self):
        """A 3-D mask beside a 4-D image is that of every time point; refused is right too."""
        times = self.times()
        source = self.new()
        for time in times:
            time.mask = times[0].mask
        self.write_4d(source / "images/a.nii.gz", times, "stored")
        m.write_volume(source / "labels/a.nii.gz", times[0].mask, times[0], ".nii.gz")
        self.content_or_refused(source, times, [f"images/a.nii.gz#t{t}" for t in range(3)], r"(?i)time point|4-?D|volumes")

    def test_one_hot_masks(self):
        """Background and three classes along the fourth axis: the classes, or refused by name."""
        cases = dataset("8 bit")[:2]
        source = self.new()
        for case, name in zip(cases, names(2)):
            m.write_volume(source / f"images/{name}.nii.gz", case.stored, case, ".nii.gz")
            m.write_volume(source / f"labels/{name}.nii.gz", np.stack([case.mask == k for k in range(4)], -1).astype(np.uint8), case, ".nii.gz")
        self.content_or_refused(source, cases, [f"images/{name}.nii.gz" for name in names(2)], r"(?i)one.?hot|4-?D|volumes")

    def test_a_stack_of_pages_is_no_picture(self):
        """Pages in tiles or strips, compressed, in the order of either end, in BigTIFF, signed: the same slices. What is signed may be refused."""
        cases = dataset("8 bit")[:2] + dataset("16 bit, 0.02 mm")[:1]
        for what, more in {"strips": {}, "deflate": {"compression": "zlib"}, "tiles": {"tile": (16, 16)}, "big endian": {"byteorder": ">"}, "BigTIFF": {"bigtiff": True},
                           "one strip": {"rowsperstrip": 1000}}.items():
            with self.subTest(pages=what):
                source = self.new()
                for sub in ("images", "labels"):
                    (source / sub).mkdir(parents=True)
                if "tile" in more or "compression" in more:
                    more = {**more, "rowsperstrip": None}
                for case, name in zip(cases, names(3)):
                    m.write_tiff(source / f"images/{name}.tif", case.stored, **more)
                    m.write_tiff(source / f"labels/{name}.tif", case.mask, **more)
                self.assert_content(source, cases, [f"images/{name}.tif" for name in names(3)])
        signed = dataset("signed 16 bit, oblique")[:2]
        with self.subTest(pages="signed"):
            source = self.new()
            for case, name in zip(signed, names(2)):
                for sub, array in (("images", case.stored), ("labels", case.mask)):
                    (source / sub).mkdir(parents=True, exist_ok=True)
                    m.write_tiff(source / f"{sub}/{name}.tif", array)
            self.content_or_refused(source, signed, [f"images/{name}.tif" for name in names(2)], r"(?i)pixel type|signed|int16")

    def test_a_mask_of_one_page_is_none_of_a_stack(self):
        """A mask that holds another number of slices than its image is refused."""
        case = dataset("8 bit")[0]
        for pages in (1, 3):
            with self.subTest(pages=pages):
                source = self.new()
                for sub, array in (("images", case.stored), ("labels", case.mask[..., :pages])):
                    (source / sub).mkdir(parents=True)
                    m.write_tiff(source / f"{sub}/a.tif", array)
                self.assertFalse(self.content_or_refused(source, [case], ["images/a.tif"], r"(?i)size|slices|pages|grid"))


class PicturesTest(MetamorphicTest):
    """A picture is its pixels, however they are coded; a mask is its labels."""

    def cases(self, count=4, dtype=np.uint8):
        return [m.make_case(100 + i, (20 + i, 17, 1), dtype) for i in range(count)]

    def make(self, cases, write_image, write_mask, ending=".png", mask_ending=".png"):
        """write_*(path, plane (row, column), number of the case)."""
        source = self.new()
        for i, case in enumerate(cases):
            for sub, write, plane, end in (("images", write_image, case.stored, ending), ("masks", write_mask, case.mask, mask_ending)):
                (source / sub).mkdir(parents=True, exist_ok=True)
                write(source / sub / f"case{i}{end}", np.ascontiguousarray(plane[..., 0].T), i)
        return source, [f"images/case{i}{ending}" for i in range(len(cases))]

    @staticmethod
    def png(path, plane, _):
        Image.fromarray(plane).save(path)

    def test_codings_of_pictures(self):
        for dtype in (np.uint8, np.uint16):
            cases, top = self.cases(2, dtype), np.iinfo(dtype).max
            for what, write, ending in (
                    ("PNG", self.png, ".png"), ("TIFF", lambda p, a, _: tifffile.imwrite(p, a, photometric="minisblack"), ".tif"),
                    ("TIFF, white is zero", lambda p, a, _: tifffile.imwrite(p, top - a, photometric="miniswhite"), ".tif"),
                    ("TIFF, white is zero, deflate", lambda p, a, _: tifffile.imwrite(p, top - a, photometric="miniswhite", compression="zlib"), ".tif"),
                    ("TIFF, big endian", lambda p, a, _: tifffile.imwrite(p, a, photometric="minisblack", byteorder=">"), ".tif"),
                    ("TIFF, tiles", lambda p, a, _: tifffile.imwrite(p, a, photometric="minisblack", tile=(16, 16)), ".tiff"),
                    ("TIFF, Pillow, LZW", lambda p, a, _: Image.fromarray(a).save(p, compression="tiff_lzw"), ".tif"),
                    ("TIFF, RGB of greys", lambda p, a, _: tifffile.imwrite(p, np.stack([a] * 3, -1), photometric="rgb"), ".tif"),
                    ("TIFF, RGB of greys in planes", lambda p, a, _: tifffile.imwrite(p, np.stack([a] * 3), photometric="rgb", planarconfig="separate"), ".tif"),
                    ("TIFF, alpha", lambda p, a, _: tifffile.imwrite(p, np.stack([a, np.full_like(a, top)], -1), photometric="minisblack", extrasamples=["unassalpha"]),
                     ".tif")):
                with self.subTest(type=np.dtype(dtype).name, coding=what):
                    source, called = self.make(cases, write, self.png, ending)
                    self.assert_content(source, cases, called)

    def test_codings_of_8_bits(self):
        cases = self.cases(2)
        for what, write, ending in (("BMP", self.png, ".bmp"), ("PNG, RGB of greys", lambda p, a, _: Image.fromarray(a).convert("RGB").save(p), ".png"),
                                    ("PNG, alpha", lambda p, a, _: Image.merge("LA", [Image.fromarray(a), Image.new("L", a.shape[::-1], 255)]).save(p), ".png"),
                                    ("PNG, RGBA of greys", lambda p, a, _: Image.fromarray(a).convert("RGBA").save(p), ".png"),
                                    ("PNG, palette of greys", lambda p, a, _: self.palette(a, [(k, k, k) for k in range(256)]).save(p), ".png"),
                                    ("PNG, palette of greys backwards", lambda p, a, _: self.palette(255 - a, [(255 - k,) * 3 for k in range(256)]).save(p), ".png"),
                                    ("TIFF, palette of greys backwards", lambda p, a, _: self.palette(255 - a, [(255 - k,) * 3 for k in range(256)]).save(p), ".tif")):
            with self.subTest(coding=what):
                source, called = self.make(cases, write, self.png, ending)
                self.assert_content(source, cases, called)

    @staticmethod
    def palette(indices, colours):
        picture = Image.fromarray(indices, "P") if False else Image.frombytes("P", indices.shape[::-1], indices.tobytes())
        picture.putpalette([c for colour in colours for c in colour] + [0] * (768 - 3 * len(colours)))
        return picture

    def test_codings_of_masks(self):
        """Labels 0 to 3, also in a palette (the index is the label) or as RGB of greys. Palettes, colours and white-is-zero may be refused, for what they are."""
        cases = self.cases()
        colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128)]
        for what, write, ending, reason in (
                ("PNG", self.png, ".png", None), ("BMP", self.png, ".bmp", None), ("TIFF", lambda p, a, _: tifffile.imwrite(p, a, photometric="minisblack"), ".tif", None),
                ("16 bit", lambda p, a, _: Image.fromarray(a.astype(np.uint16)).save(p), ".png", None),
                ("float TIFF", lambda p, a, _: tifffile.imwrite(p, a.astype(np.float32), photometric="minisblack"), ".tif", None),
                ("grey with alpha", lambda p, a, _: Image.merge("LA", [Image.fromarray(a), Image.new("L", a.shape[::-1], 255)]).save(p), ".png", None),
                ("RGB of greys", lambda p, a, _: Image.fromarray(a).convert("RGB").save(p), ".png", r"(?i)colou?r|channels|RGB"),
                ("palette of colours", lambda p, a, _: self.palette(a, colours).save(p), ".png", r"(?i)palett|colou?r"),
                ("TIFF, palette of colours", lambda p, a, _: self.palette(a, colours).save(p), ".tif", r"(?i)palett|colou?r"),
                ("palette of greys", lambda p, a, _: self.palette(a, [(0,) * 3, (85,) * 3, (170,) * 3, (255,) * 3]).save(p), ".png", r"(?i)palett|85|170|255"),
                ("palette of the labels' greys", lambda p, a, _: self.palette(a, [(k,) * 3 for k in range(256)]).save(p), ".png", None),
                ("white is zero", lambda p, a, _: tifffile.imwrite(p, 255 - a, photometric="miniswhite"), ".tif", r"(?i)white"),
                ("white is zero, 16 bit", lambda p, a, _: tifffile.imwrite(p, 65535 - a.astype(np.uint16), photometric="miniswhite"), ".tif", r"(?i)white")):
            with self.subTest(coding=what):
                source, called = self.make(cases, self.png, write, mask_ending=ending)
                if reason:
                    self.content_or_refused(source, cases, called, reason)
                else:
                    self.assert_content(source, cases, called)

    def binary(self):
        cases = self.cases()
        for i, case in enumerate(cases):
            case.mask = (case.mask == 1).astype(np.uint8) if i != 2 else np.zeros_like(case.mask)  # one of them is empty
        return cases

    def test_binary_masks(self):
        """1 is drawn as 1, as 255, or as the one bit of a picture; all files alike: the same labels, the same loss, the same counts. Also as a volume."""
        cases = self.binary()
        expected, losses = self.expected_counts(cases, names(4), classes=["one"]), None
        for what, write, ending in (("1", self.png, ".png"), ("255", lambda p, a, _: Image.fromarray(255 * a).save(p), ".png"),
                                    ("one bit", lambda p, a, _: Image.fromarray(a > 0).save(p), ".png"),
                                    ("one bit, TIFF", lambda p, a, _: Image.fromarray(a > 0).save(p), ".tif"),
                                    ("255, BMP", lambda p, a, _: Image.fromarray(255 * a).save(p), ".bmp"),
                                    ("255, RGB", lambda p, a, _: Image.fromarray(255 * a).convert("RGB").save(p), ".png"),
                                    ("black and white palette", lambda p, a, _: self.palette(a, [(0,) * 3, (255,) * 3]).save(p), ".png")):
            with self.subTest(masks=what):
                source, called = self.make(cases, self.png, write, mask_ending=ending)
                self.assert_content(source, cases, called)
                found = self.losses(source, classes=["one"])
                losses = losses or found
                self.assert_losses(found, losses)
                predictions = self.new("pred")
                predictions.mkdir()
                for i, case in enumerate(cases):
                    self.png(predictions / f"case{i}.png", np.ascontiguousarray(np.minimum(m.wrong_prediction(case, 7 + i).mask, 1)[..., 0].T), 0)
                counted = {(name, "one"): tuple(int(np.count_nonzero(x)) for x in (p & t, p & ~t, ~p & t)) for i, (case, name) in enumerate(zip(cases, names(4)))
                           for p, t in [(m.wrong_prediction(case, 7 + i).mask > 0, case.mask > 0)]}
                self.assertEqual(set(counted), set(expected))
                self.assertEqual(self.counts(predictions, source, classes=["one"]), counted)

    def test_the_dataset_decides_what_255_is(self):
        """Greys 0, 128, 255 are drawn for background and two classes, but some files have no 128. The same grey is the same label in all files; or refused, with the greys."""
        cases = self.cases()
        greys = np.array([0, 128, 255, 255], np.uint8)
        for i, case in enumerate(cases):
            case.mask[case.mask == 3] = 2
            if i % 2:
                case.mask[case.mask == 1] = 0
        source, called = self.make(cases, self.png, lambda p, a, _: Image.fromarray(greys[a]).save(p))
        out = self.new("prepared")
        done = self.any_exit("prepare", "--input", source, "--output", out, "prepare.names=keep", "prepare.workers=1")
        if done.returncode:
            self.assertRegex(done.stderr, r"128|255")
            return
        meaning = {}
        found = {prepared["name"]: item["mask"] for prepared, item in zip(*read_dataset(out), strict=True)}
        for case, name in zip(cases, called):
            for grey, label in zip(greys[case.mask[..., 0].T].ravel(), found[name].ravel()):
                meaning.setdefault(int(grey), set()).add(int(label))
        self.assertEqual({grey: len(labels) for grey, labels in meaning.items()}, {0: 1, 128: 1, 255: 1}, meaning)
        self.assertEqual(len(set.union(*meaning.values())), 3, meaning)
        self.assertEqual(meaning[0], {0})

    def test_255_to_be_ignored(self):
        """Masks of 0, 1 and 255, where 255 is to be ignored; some hold 0 and 255 alone. Loose files and the prepared dataset give the same loss, and as volumes too."""
        cases = self.cases()
        for i, case in enumerate(cases):
            case.mask = np.choose(case.mask, [0, 1 if i % 2 else 0, 255, 0]).astype(np.uint8)
        ignore = ["data.ignore_label=255"]
        expected = self.losses(self.pairs(cases, ".nrrd")[0], *ignore, classes=["one"])
        source, called = self.make(cases, self.png, self.png)
        with self.subTest("pictures"):
            self.assert_losses(self.losses(source, *ignore, classes=["one"]), expected)
        with self.subTest("prepared pictures"):
            out = self.assert_content(source, cases, called)
            self.assert_losses(self.losses(out, *ignore, classes=["one"]), expected)
        with self.subTest("prepared volumes"):
            out, _ = self.prepare(self.pairs(cases, ".nii.gz")[0])
            self.assert_losses(self.losses(out, *ignore, classes=["one"]), expected)


class LabelsTest(MetamorphicTest):
    """A label is a number, whatever type holds it."""

    def test_types(self):
        cases = dataset("8 bit")
        expected = self.expected_counts(cases, names(4))
        predictions = self.predictions(cases, names(4))
        types = {"int16": np.int16, "uint16": np.uint16, "float32": np.float32, "float64": np.float64}
        variants = [(ending, name, dtype, 1.0, 1) for ending in (".nii.gz", ".nrrd", ".mha") for name, dtype in types.items()]
        variants += [(".nii.gz", "scaled by 0.5", np.int16, 0.5, 2), (".nii.gz", "scaled by 1.0000153", np.int16, 1.0000153, 1),
                     (".nii", "scaled by 3.0518e-05", np.uint16, 3.0518e-05, 32768), (".nii.gz", "float32, off by 1e-4", np.float32, 1.0, 1 + 1e-4)]
        for ending, name, dtype, slope, factor in variants:
            with self.subTest(ending=ending, type=name):
                source = self.new()
                for case, case_name in zip(cases, names(4)):
                    m.write_image(source / f"images/{case_name}{ending}", case, ending)
                    m.write_volume(source / f"labels/{case_name}{ending}", (case.mask.astype(np.float64) * factor).astype(dtype), case, ending,
                                   **({"slope": slope} if slope != 1 else {}))
                self.assert_content(source, cases, [f"images/{case_name}{ending}" for case_name in names(4)])
                self.assertEqual(self.counts(predictions, source), expected)


class PreparedTest(MetamorphicTest):
    """Training on the prepared dataset is training on the files."""

    def test_losses(self):
        for which in DATASETS[:2]:
            cases = dataset(which)
            for format, make in {".nrrd": lambda: self.pairs(cases, ".nrrd"), "SEG": lambda: self.seg_objects(cases), ".tif": lambda: self.pairs(cases, ".tif")}.items():
                with self.subTest(dataset=which, format=format):
                    source, _ = make()
                    out, _ = self.prepare(source)
                    self.assert_losses(self.losses(out), self.losses(source))


class SlicesTest(MetamorphicTest):
    """A volume is its slices."""

    def test_pictures_of_slices(self):
        """The slices as pictures, as folders and as a manifest in any order: the same sequence, the same loss, the same counts."""
        for which in ("8 bit", "16 bit, 0.02 mm"):
            cases = dataset(which)
            called = names(len(cases))
            losses = self.losses(self.pairs(cases, ".nrrd")[0])
            folder = m.write_slices(self.new(), cases, called)
            expected = {f"images/{name}_{z:03d}.png": [digest] for case, name in zip(cases, called) for z, digest in enumerate(m.digests(case))}
            rows = [(name, name.replace("images/", "masks/")) for name in expected]
            manifest = m.write_manifest(folder, [rows[i] for i in m.shuffled(4)(len(rows))])
            for what, source in (("folders", folder), ("manifest", manifest)):
                with self.subTest(dataset=which, source=what):
                    if what == "folders":
                        manifest.rename(self.tmp / "away.csv")
                    out, _ = self.prepare(source)
                    self.assert_same_content(m.prepared_digests(*read_dataset(out)), expected)
                    self.assert_losses(self.losses(source), losses)
                    if what == "folders":
                        (self.tmp / "away.csv").rename(manifest)

    def test_counts(self):
        """Counts by case are the sums of those by slice, and of the slices as pictures."""
        for which in DATASETS[:3]:
            with self.subTest(dataset=which):
                cases = dataset(which)
                called = names(len(cases))
                wrong = [m.wrong_prediction(case, 7 + i) for i, case in enumerate(cases)]
                source, _ = self.pairs(cases, ".nrrd")
                whole = self.counts(self.predictions(cases, called), source)
                self.assertEqual(whole, self.expected_counts(cases, called))
                slices = self.counts(self.predictions(cases, called), source, "--per-slice", parts=2)
                self.assertEqual(self.summed(slices, "/"), whole)
                pictures = [m.write_slices(self.new(), [self.as_bytes(case) for case in some], called) / "masks" for some in (wrong, cases)]
                counted = self.counts(*pictures)
                self.assertEqual({(re.sub(r"_0*(\d)$", r"/\1", name), c): count for (name, c), count in counted.items()}, slices)

    @staticmethod
    def as_bytes(case):
        return m.Case(np.zeros(case.mask.shape, np.uint8), case.mask)

    @staticmethod
    def summed(counts, separator):
        found = {}
        for (name, class_name), count in counts.items():
            key = name.rsplit(separator, 1)[0], class_name
            found[key] = tuple(a + b for a, b in zip(found.get(key, (0, 0, 0)), count))
        return found

    def test_voxels_that_inspect_counts(self):
        for which in DATASETS:
            case = dataset(which)[0]
            for what, make in {**{ending: lambda ending=ending: self.pairs([case], ending) for ending in [*VOLUMES, ".tif"]}, "RTSTRUCT": lambda: self.rtstruct([case]),
                               "SEG": lambda: self.seg_objects([case]), "SEG, label map": lambda: self.seg_objects([case], "LABELMAP"),
                               "enhanced, SEG": lambda: self.enhanced([case])}.items():
                with self.subTest(dataset=which, format=what):
                    self.assert_voxels(make()[0], case)


class WritersTest(unittest.TestCase):
    """The writers of this test, against each other."""

    def test_outlines(self):
        random = np.random.default_rng(0)
        for share in (0.1, 0.5, 0.8):
            plane = random.random((14, 11)) < share
            np.testing.assert_array_equal(m.fill_even_odd(m.outlines(plane), plane.shape), plane)
            np.testing.assert_array_equal(m.fill_even_odd(m.keyholes(m.outlines(plane)), plane.shape), plane)

    def test_flipping_moves_nothing(self):
        case = m.make_case(1, (5, 4, 3), np.int16, (0.5, 0.7, 2), rotated(20, 1, 2, 3))
        for axis in range(3):
            turned = m.flipped(case, axis)
            index = [1, 2, 0]
            other = [case.stored.shape[k] - 1 - i if k == axis else i for k, i in enumerate(index)]
            np.testing.assert_allclose(turned.position(*other), case.position(*index))
            self.assertEqual(turned.stored[tuple(other)], case.stored[tuple(index)])


if __name__ == "__main__":
    unittest.main()
