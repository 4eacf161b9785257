# SPDX-License-Identifier: Apache-2.0
"""The same content in every format, in another order, flipped with its geometry, as slices and prepared: the same
pixels and masks after `vmae prepare`, the same loss in training, the same counts in `vmae eval` and `vmae inspect`."""
import json
import re
import shutil
import unittest

import numpy as np

try:
    import metamorphic as m
except ImportError as missing:  # highdicom, tifffile
    raise unittest.SkipTest(str(missing))
from metamorphic_checks import DATASETS, MetamorphicTest, names


class FormatsTest(MetamorphicTest):
    def check(self, which):
        cases = DATASETS[which]()
        called = names(len(cases))
        expected, losses = self.expected_counts(cases, called), self.losses(self.pairs(cases, ".nrrd")[0])
        predictions = self.predictions(cases, called)
        for format, make in self.sources(cases).items():
            source, kept = make()
            with self.subTest(dataset=which, format=format, what="pixels and masks"):
                self.assert_content(source, cases, kept)
            if which != "8 bit" and format in (".nii", ".nhdr", ".mhd"):
                continue  # the same readers as of .nii.gz, .nrrd, .mha
            with self.subTest(dataset=which, format=format, what="loss"):
                self.assert_losses(self.losses(source), losses)
            with self.subTest(dataset=which, format=format, what="Dice"):
                # Pictures have no millimetres and are compared with pictures.
                some = self.predictions(cases, called, ".tif") if format == ".tif" else predictions
                self.assertEqual(self.counts(some, source), expected)
            shutil.rmtree(source)

    def test_8_bit(self):
        self.check("8 bit")

    def test_signed_16_bit_oblique(self):
        self.check("signed 16 bit, oblique")

    def test_16_bit_microscopy(self):
        self.check("16 bit, 0.02 mm")

    def test_scaled_sagittal(self):
        self.check("scaled, sagittal")

    def test_geometry_as_programs_write_it(self):
        """NIfTI's place in space in one of its forms or in both, with directions that are rounded, in voxels of any
        size: the same content, and the same counts as against NRRD."""
        for spacing in ((0.02, 0.02, 0.05), (0.5, 0.5, 2), (0.0004, 0.0004, 0.001)):
            cases = [m.make_case(45 + i, (18, 15, 3), np.int16, spacing, m.rotation(25, (1, 2, 3))) for i in range(3)]
            predictions, expected = self.predictions(cases, names(3), ".nrrd"), self.expected_counts(cases, names(3))
            for form, error in (("both", 0), ("both", 5e-4), ("sform", 0), ("sform", 5e-4), ("qform", 0)):
                with self.subTest(spacing=spacing, form=form, error=error):
                    source, kept = self.new(), [f"images/{name}.nii.gz" for name in names(3)]
                    for case, name in zip(cases, names(3)):
                        for sub, array in (("images", case.stored), ("labels", case.mask)):
                            path = source / sub / f"{name}.nii.gz"
                            m.write_volume(path, array, case, ".nii.gz", form=form, error=error)
                    self.assert_content(source, cases, kept)
                    self.assertEqual(self.counts(predictions, source), expected)


class OrderTest(MetamorphicTest):
    """The order in which files were made, changed, listed or numbered means nothing."""

    def digest(self, prepared):
        return json.loads(self.vmae("inspect", prepared, "--json").stdout)["digest"]

    def test_files(self):
        cases = DATASETS["8 bit"]()
        first, kept = self.pairs(cases, ".nii.gz")
        digest, losses = self.digest(self.assert_content(first, cases, kept)), self.losses(first)
        for seed in range(2):
            with self.subTest(seed=seed):
                order = m.shuffled(seed)
                again = m.write_pairs(self.new(), cases, names(4), ".nii.gz", order=order(4))
                m.set_times(again, order)
                shutil.rmtree(first)
                again = again.rename(first)  # so that nothing but the order differs
                self.assertEqual(self.digest(self.assert_content(again, cases, kept)), digest)
                self.assertEqual(self.losses(again), losses)

    def test_manifest(self):
        """The order of rows and of columns."""
        cases = DATASETS["8 bit"]()
        source = m.write_pairs(self.new(), cases, names(4), ".nii.gz", folders=("i", "m"))
        losses = None
        for columns in (("image", "mask"), ("mask", "image"), ("image", "patient", "mask")):
            for seed in range(2):
                with self.subTest(columns=columns, seed=seed):
                    cells = {"image": "i/case{}.nii.gz", "mask": "m/case{}.nii.gz", "patient": "P{}"}
                    rows = [[cells[column].format(i) for column in columns] for i in m.shuffled(seed)(4)]
                    m.write_manifest(source, rows, columns)
                    self.assert_content(source / "list.csv", cases, [f"i/case{i}.nii.gz" for i in range(4)])
                    found = self.losses(source / "list.csv")
                    losses = losses or found
                    self.assert_losses(found, losses)

    def test_slices_of_a_series(self):
        """Numbers of files and instances run backwards, or anyhow."""
        cases = DATASETS["signed 16 bit, oblique"]()
        for what, order in (("backwards", lambda n: list(range(n))[::-1]), ("shuffled", m.shuffled(3))):
            with self.subTest(order=what):
                source, called = self.new("dicom"), names(len(cases))
                for i, case in enumerate(cases):
                    numbers = order(case.slices)
                    images = m.write_series(source / called[i], case, f"key{i}", i, numbers)
                    by_file = [images[numbers.index(k)] for k in range(case.slices)]  # as a program meets them
                    m.write_rtstruct(source / called[i] / "a.dcm", by_file, case, f"key{i}", i)
                self.assert_content(source, cases, [f"{name}/IM0000.dcm" for name in called])

    def test_series_in_one_folder(self):
        """All series and their segmentations side by side, as an archive gives them."""
        cases = DATASETS["8 bit"]()
        source = self.new("dicom")
        for i, case in enumerate(cases):
            images = m.write_series(source, case, f"key{i}", i, name=f"{'cabd'[i]}{{:04d}}.dcm")
            m.write_seg(source / f"{'bdca'[i]}_seg.dcm", images, case, f"key{i}")
        self.assert_content(source, cases, [f"{'cabd'[i]}0000.dcm" for i in range(4)])

    def test_frames_of_an_enhanced_image(self):
        """The segmentation was made of the image before its frames were shuffled: highdicom takes frames in order."""
        cases = DATASETS["8 bit"]()
        source, called = self.new("dicom"), names(4)
        for i, case in enumerate(cases):
            path = source / called[i] / "IM0000.dcm"
            ordered = m.write_enhanced(path, [case], f"key{i}", i)
            m.write_seg(source / called[i] / "seg.dcm", [ordered], case, f"key{i}")
            m.write_enhanced(path, [case], f"key{i}", i, m.shuffled(i)(case.slices))
        self.assert_content(source, cases, [f"{name}/IM0000.dcm" for name in called])


class FlipTest(MetamorphicTest):
    """Data flipped with its geometry lies where it lay: image and mask turn together, and what is counted stays."""

    def test_flipped_with_the_geometry(self):
        cases = DATASETS["signed 16 bit, oblique"]()[:3]
        expected = self.expected_counts(cases, names(3))
        for axes in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
            turned, wrong = cases, self.wrong(cases)
            for axis in axes:
                turned, wrong = [m.flipped(case, axis) for case in turned], [m.flipped(case, axis) for case in wrong]
            predictions = m.write_maps(self.new("pred"), wrong, names(3), ".nii.gz")
            for ending in (".nii.gz", ".nrrd", ".mha"):
                with self.subTest(axes=axes, ending=ending):
                    source, kept = self.pairs(turned, ending)
                    self.assert_content(source, turned, kept)
                    self.assertEqual(self.counts(predictions, source), expected)

    def test_one_of_two_is_flipped(self):
        """Image and mask, or prediction and truth, each at its right place but stored in other orders: matched by
        place, or refused; never voxel by voxel."""
        cases = DATASETS["signed 16 bit, oblique"]()[:3]
        expected = self.expected_counts(cases, names(3))
        for axis in range(3):
            for ending in (".nii.gz", ".nrrd", ".mha"):
                with self.subTest(axis=axis, ending=ending):
                    source, kept = self.pairs(cases, ending)
                    m.write_maps(source / "labels", [m.flipped(case, axis) for case in cases], names(3), ending)
                    self.content_or_refused(source, cases, kept, r"(?i)grid|axes|direction|origin|place|elsewhere")
                    turned = [m.flipped(case, axis) for case in self.wrong(cases)]
                    pred = m.write_maps(self.new("pred"), turned, names(3), ending)
                    truth = m.write_maps(self.new("truth"), cases, names(3), ending)
                    done = self.any_exit("eval", "--pred", pred, "--truth", truth, "--output", self.new("eval"),
                                         "--no-distances", "--resamples", "20")
                    self.assertIn(done.returncode, (0, 3))
                    if done.returncode == 0:
                        self.assertEqual(self.counts(pred, truth), expected)


class SlicesTest(MetamorphicTest):
    """A volume is its slices."""

    def test_pictures_of_slices(self):
        """The slices as pictures, in folders and in a manifest of any order: the same sequence, the same loss."""
        for which in ("8 bit", "16 bit, 0.02 mm"):
            cases = DATASETS[which]()
            called = names(len(cases))
            losses = self.losses(self.pairs(cases, ".nrrd")[0])
            folder = m.write_slices(self.new(), cases, called)
            expected = {f"images/{name}_{z:03d}.png": [digest]
                        for case, name in zip(cases, called) for z, digest in enumerate(m.digests(case))}
            rows = [(name, name.replace("images/", "masks/")) for name in expected]
            rows = [rows[i] for i in m.shuffled(4)(len(rows))]
            for what in ("folders", "manifest"):
                with self.subTest(dataset=which, source=what):
                    source = folder if what == "folders" else m.write_manifest(folder, rows)
                    out, _ = self.prepare(source)
                    self.assert_same_content(self.content(out), expected)
                    self.assert_losses(self.losses(source), losses)

    def test_counts(self):
        """Counts by case are the sums of those by slice, and those of the slices as pictures."""
        for which in list(DATASETS)[:3]:
            with self.subTest(dataset=which):
                cases = DATASETS[which]()
                called = names(len(cases))
                source, predictions = self.pairs(cases, ".nrrd")[0], self.predictions(cases, called)
                whole = self.counts(predictions, source)
                self.assertEqual(whole, self.expected_counts(cases, called))
                slices, summed = self.counts(predictions, source, "--per-slice", parts=2), {}
                for (name, class_name), count in slices.items():
                    key = name.split("/")[0], class_name
                    summed[key] = tuple(np.add(summed.get(key, (0, 0, 0)), count).tolist())
                self.assertEqual(summed, whole)
                drawn = [[m.Case(case.mask, case.mask) for case in some] for some in (self.wrong(cases), cases)]
                pred, truth = (m.write_slices(self.new(), some, called) / "masks" for some in drawn)
                found = {(re.sub(r"_0*(\d)$", r"/\1", name), class_name): count
                         for (name, class_name), count in self.counts(pred, truth).items()}
                self.assertEqual(found, slices)

    def test_voxels_that_inspect_counts(self):
        for which, make_cases in DATASETS.items():
            case = make_cases()[0]
            for format, make in self.sources([case]).items():
                with self.subTest(dataset=which, format=format):
                    self.assert_voxels(make()[0], case)


class PreparedTest(MetamorphicTest):
    """Training on the prepared dataset is training on the files."""

    def test_losses(self):
        for which in list(DATASETS)[:2]:
            cases = DATASETS[which]()
            makers = self.sources(cases)
            for format in (".nrrd", "SEG", ".tif"):
                with self.subTest(dataset=which, format=format):
                    source, _ = makers[format]()
                    out, _ = self.prepare(source)
                    self.assert_losses(self.losses(out), self.losses(source))


class PredictTest(MetamorphicTest):
    """A model sees the same in every format, and its predictions are measured alike."""

    def test_counts_of_predictions(self):
        cases = DATASETS["scaled, sagittal"]()
        run = self.train(self.pairs(cases, ".nrrd")[0], "train.epochs=25", "optim.lr=5e-3",
                         "loss.balance=inverse_frequency")
        expected = None
        for format, make in self.sources(cases).items():
            with self.subTest(format=format):
                source, _ = make()
                out = self.new("predicted")
                self.predict(weights=run, input=source, output=out.name)
                found = self.counts(out, source)
                self.assertEqual({name for name, _ in found}, set(names(4)))
                expected = expected or found
                self.assertEqual(found, expected)
        self.assertGreater(sum(tp for tp, _, _ in expected.values()), 50, "it has learnt something")


class WritersTest(unittest.TestCase):
    """What the tests themselves rely on."""

    def test_outlines(self):
        random = np.random.default_rng(0)
        for share in (0.1, 0.5, 0.8):
            plane = random.random((14, 11)) < share
            np.testing.assert_array_equal(m.fill_even_odd(m.outlines(plane), plane.shape), plane)
            np.testing.assert_array_equal(m.fill_even_odd(m.keyholes(m.outlines(plane)), plane.shape), plane)

    def test_flipping_moves_nothing(self):
        case = m.make_case(1, (5, 4, 3), np.int16, (0.5, 0.7, 2), m.rotation(20, (1, 2, 3)))
        for axis in range(3):
            turned, index = m.flipped(case, axis), [1, 2, 0]
            other = [case.stored.shape[k] - 1 - i if k == axis else i for k, i in enumerate(index)]
            np.testing.assert_allclose(turned.position(*other), case.position(*index))
            self.assertEqual(turned.stored[tuple(other)], case.stored[tuple(index)])


if __name__ == "__main__":
    unittest.main()
