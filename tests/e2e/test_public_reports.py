# SPDX-License-Identifier: Apache-2.0
"""Public reports of people whose data, labels or numbers came out wrong with other programs, tried on vmae: one test per report (docs/testing.md has
the table).
Each input is rebuilt small, by an independent writer; right is what the standard or an independent reader says, or a refusal that names file and reason."""
import gzip
import json
import os
import re
import struct
import subprocess
import unicodedata
import unittest

import nibabel
import numpy as np
from PIL import Image

import report_inputs as made
from evaluating import EvalTest
from finetuning import NO_AUGMENTATION, SWIN, TRAIN, class_picture, labelled_picture, last, make_segmentation, metadata
from harness import VMAE, environment, metrics, weights_of, write_safetensors

ONE_EPOCH = [*SWIN, *[key for key in TRAIN if not key.startswith(("train.epochs", "data."))], "train.epochs=1", "data.workers=1"]
UP_OR_DOWN = ["up", "down"]


class Done:
    """What a command said, without the folder that the test runs in."""

    def __init__(self, code, out, err, folder):
        self.code, self.out = code, out
        self.text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", (out + "\n" + err).replace(f"{folder}/", ""), flags=re.MULTILINE)
        lines = self.text.splitlines()
        # What a person is told beyond the usual: all of a refusal; else the lines that are notes, warnings and errors.
        self.told = "\n".join(line for line in lines if (re.match(r"\s*(note|warning|error)\b", line) if code == 0 else not line.startswith("info ")))


class ReportTest(EvalTest):
    def attempt(self, *arguments, codes=(0, 2, 3, 4, 6)):
        """Runs vmae to its end, whatever that is: done, or refused by a documented code. Never a crash."""
        done = subprocess.run([str(VMAE), *map(os.fspath, arguments)], cwd=self.tmp, env=environment(OMP_NUM_THREADS=1, HOME=self.tmp / "home"),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=180)
        done = Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), self.tmp)
        self.assertIn(done.code, codes, done.text[-3000:])
        self.assertNotIn("internal error", done.text)
        return done

    def is_refused(self, done, *patterns):
        """By code, with a message that has all of the patterns."""
        return done.code in (2, 3, 4) and all(re.search(pattern, done.told, re.IGNORECASE) for pattern in patterns)

    def assert_refused(self, done, *patterns):
        self.assertTrue(self.is_refused(done, *patterns), f"exit code {done.code}, expected a refusal with {patterns}\n{done.text[-2000:]}")

    def assert_told(self, done, *patterns):
        """A note, warning or error has all of the patterns."""
        for pattern in patterns:
            self.assertRegex(done.told, re.compile(pattern, re.IGNORECASE), f"exit code {done.code}\n{done.text[-2000:]}")

    def found(self, path):
        """What `vmae inspect --json` finds; None and the refusal where it refuses."""
        done = self.attempt("inspect", path, "--json")
        return (json.loads(done.out) if done.code == 0 else None), done

    def found_or_refused(self, path, *patterns):
        """What is found, or None where it is refused with the patterns."""
        found, done = self.found(path)
        if found is None:
            self.assert_refused(done, *patterns)
        return found

    def voxels(self, image):
        """Of one inspected image: label -> voxels."""
        return {int(label): count for label, count in image["mask"]["voxels"].items()}

    def numbers(self, path):
        """The stored numbers of an image (x, y, z)."""
        self.vmae("inspect", path, "--npy", self.tmp / "numbers.npy")
        return np.load(self.tmp / "numbers.npy").transpose(2, 1, 0)

    def train(self, task, data, *more, run="run"):
        return self.attempt(f"finetune-{task}", *ONE_EPOCH, f"data.train={data}", f"run.dir={run}", *more)

    def parts(self, run="run"):
        """Who trains and who validates, by the last part of the names."""
        return {part: sorted(name.split("/")[-1] for name in names) for part, names in json.loads((self.tmp / run / "splits.json").read_text()).items()}

    def table_of_pictures(self, rows, header="image,label", count=12):
        """Pictures and list.csv; rows(index) gives what follows the picture's name."""
        made.save_pictures(self.tmp / "images", count, lambda i: class_picture(i, i % 2))
        lines = [header, *(f"images/p{i:03d}.png,{rows(i)}" for i in range(count))]
        (self.tmp / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return "list.csv"


class DicomReports(ReportTest):
    def test_two_patients_with_one_series_uid(self):
        """RSNA/anonymizer#18, pydicom/deid#19: de-identification gave two patients one SeriesInstanceUID. Never one volume, nor two times of one patient."""
        for name, heights in (("beside each other", [12, 15, 18, 21]), ("at the same place", [0, 3, 6, 9])):
            with self.subTest(name):
                folder, series = self.tmp / name.replace(" ", "_"), made.fresh_uid()
                made.ct_series(folder / "a", [0, 3, 6, 9], series=series)
                made.ct_series(folder / "b", heights, [np.full((32, 32), 500 + i) for i in range(4)], series, lambda data, i: setattr(data, "PatientID", "P2"))
                done = self.attempt("prepare", "--input", folder, "--output", "out", "--dry-run")
                if self.is_refused(done, "SeriesInstanceUID|series", "patient"):
                    continue
                self.assertEqual(done.code, 0, done.text)
                self.assertIn("2 cases of 2 patients", done.text)
                self.assertNotIn("time points", done.text)
                self.assertNotIn("duplicate", done.text)

    def test_slices_of_different_bits(self):
        """innolitics/dicom-numpy#15, rordenlab/dcm2niix#458, dgobbi/vtk-dicom#211: BitsStored and HighBit change from slice to slice within one CT series."""
        contours = [("A", [made.box(-8, 4, -8, 4, z) for z in (3, 6, 9, 12)])]

        def fewer_bits(data, i):
            if i in (1, 4):
                data.BitsStored, data.HighBit = 12, 11

        masks = {}
        for name, change in (("same", None), ("different", fewer_bits)):
            images = made.ct_series(self.tmp / name, range(0, 18, 3), change=change)
            made.rtstruct(self.tmp / name / "rt.dcm", images, contours)
            found = self.found_or_refused(self.tmp / name, "bits|pixel format|pixel type")
            if found is None:
                return
            self.assertEqual([image["size"] for image in found["images"]], [[32, 32, 6]], f"{name}: {found['remarks']}")
            masks[name] = self.voxels(found["images"][0])
            np.testing.assert_array_equal(self.numbers(self.tmp / name)[..., 1], self.numbers(self.tmp / "same")[..., 1])
        self.assertEqual(masks["different"], masks["same"])

    def test_localizer_in_the_series(self):
        """dgobbi/vtk-dicom#98, Slicer/Slicer#5055: a CT series begins with its localizer (ImageType LOCALIZER, another plane). It is no image to
        learn from."""
        def localizer(data, i):
            data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER" if i == 0 else "AXIAL"]
            if i == 0:
                data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

        made.ct_series(self.tmp / "ct", range(0, 15, 3), change=localizer)
        found = self.found_or_refused(self.tmp / "ct", "localizer")
        if found is None:
            return
        self.assertEqual([image["size"] for image in found["images"]], [[32, 32, 4]], found["remarks"])
        self.assertRegex(json.dumps(found["refused"] + found["remarks"]), re.compile("localizer", re.IGNORECASE))

    def test_mosaic(self):
        """freesurfer/freesurfer#516, rordenlab/dcm2niix#550, ExploreASL/ExploreASL#407: 9 slices of an EPI as the tiles of one picture. Unfolded, or
        refused by name."""
        def mosaic(data, i):
            data.Modality, data.ImageType, data.Manufacturer = "MR", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"], "SIEMENS"
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
            del data.RescaleType
            data.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
            data.add_new(0x0019100A, "US", 9)

        made.ct_series(self.tmp / "mr", [0], [np.random.default_rng(0).integers(0, 500, (96, 96))], change=mosaic)
        found = self.found_or_refused(self.tmp / "mr", "mosaic")
        if found is not None:
            self.assertEqual(found["images"][0]["size"], [32, 32, 9])

    def test_missing_slice(self):
        """InsightSoftwareConsortium/ITK#441, DIAGNijmegen/rse-panimg#7: a slice is missing. It is said, the spacing is that of the others, the
        contours keep their slices."""
        images = made.ct_series(self.tmp / "ct", [0, 3, 6, 12, 15, 18])
        made.rtstruct(self.tmp / "ct/rt.dcm", images, [("A", [made.box(-8, 4, -8, 4, z) for z in (6, 12)])])
        whole = made.ct_series(self.tmp / "whole", range(0, 18, 3))
        made.rtstruct(self.tmp / "whole/rt.dcm", whole, [("A", [made.box(-8, 4, -8, 4, z) for z in (6, 9)])])
        found, expected = (self.found_or_refused(self.tmp / name, "missing") for name in ("ct", "whole"))
        if found is not None:
            self.assertRegex(json.dumps(found["remarks"]), "1 slice is missing")
            self.assertEqual(found["images"][0]["spacing_mm"], [1, 1, 3])
            self.assertEqual(self.voxels(found["images"][0]), self.voxels(expected["images"][0]))

    def test_slope_of_each_slice(self):
        """SimpleITK/SimpleITK#1636, rordenlab/dcm2niix#978: PET with another RescaleSlope in every slice. Each slice has its own."""
        made.pet_series(self.tmp / "pt", [1.5, 0.25, 7], [np.full((8, 8), value) for value in (100, 200, 300)])
        image = self.found(self.tmp / "pt")[0]["images"][0]
        factor = 74000 / (370e6 / 2)
        self.assertEqual(image["units"], "SUV")
        np.testing.assert_allclose([scaling["slope"] for scaling in image["scaling"]], np.multiply([1.5, 0.25, 7], factor), rtol=1e-9)

    def test_time_that_decay_is_corrected_to(self):
        """horosproject/horos#653, rordenlab/dcm2niix#983, medical-physics-usz/z-rad#282, QIICR/Slicer-PETDICOMExtension#28, OHIF/Viewers#3805:
        DecayCorrection ADMIN;
        late frames (AcquisitionTime after SeriesTime); an injection before midnight; SeriesTime rewritten later; days between injection and scan."""
        def admin(data, drug):
            data.DecayCorrection = "ADMIN"

        def late_frames(data, drug):
            data.AcquisitionTime = "123946.2"

        def midnight(data, drug):
            data.SeriesTime = data.AcquisitionTime = "010000"
            drug.RadiopharmaceuticalStartTime = "231013.8"

        def rewritten(data, drug):
            data.SeriesTime = "170000"

        def days(data, drug):  # two half lives of Y-90
            drug.RadionuclideHalfLife, drug.RadiopharmaceuticalStartDateTime = 230580.0, "20191227034146.2"

        for change, halves in ((None, 1), (admin, 0), (late_frames, 1), (midnight, 1), (rewritten, 1), (days, 2)):
            name = change.__name__ if change else "plain"
            with self.subTest(name):
                made.pet_series(self.tmp / name, [1], [np.full((8, 8), 100)], change)
                found, _ = self.found(self.tmp / name)
                image = found["images"][0]
                if name == "days" and image["units"] == "raw":  # not converted, which is said
                    self.assertRegex(json.dumps(found["remarks"]), "times of injection")
                    continue
                self.assertEqual(image["units"], "SUV")
                self.assertAlmostEqual(image["scaling"][0]["slope"], 74000 / (370e6 / 2 ** halves), delta=1e-9)

    def test_segmentation_without_a_series(self):
        """OHIF/Viewers#4030: a DICOM-SEG without ReferencedSeriesSequence shares the images' frame of reference and names them frame by frame. Read,
        or left out with the true
        reason: the series is there."""
        masks = np.zeros((4, 32, 32), np.uint8)
        masks[1:3, 5:15, 5:15] = 1
        for name, change in (("named", None), ("unnamed", lambda data: delattr(data, "ReferencedSeriesSequence"))):
            with self.subTest(name):
                images = made.ct_series(self.tmp / name, [0, 3, 6, 9])
                made.segmentation(self.tmp / name / "seg.dcm", images, masks, change)
                found = self.found_or_refused(self.tmp / name, "ReferencedSeries|which series")
                if found is None:
                    continue
                if "mask" in found["images"][0] or name == "named":
                    self.assertEqual(self.voxels(found["images"][0]), {0: 3896, 1: 200})
                else:
                    self.assertNotIn("of a series that is not here", json.dumps(found["remarks"]))
                    self.assertRegex(json.dumps(found["remarks"]), "ReferencedSeries|which series")

    def test_times_and_units_that_cannot_be(self):
        """medical-physics-usz/z-rad#282: the injection's clock is half an hour behind the scan's; of the same kind: a half life in minutes, a weight
        in grams. No SUV, and it is
        said; never a factor of thousands."""
        def clock(data, drug):
            drug.RadiopharmaceuticalStartTime = "121946"

        def minutes(data, drug):
            drug.RadionuclideHalfLife = 109.77

        def grams(data, drug):
            data.PatientWeight = 74000

        for change in (clock, minutes, grams):
            with self.subTest(change.__name__):
                made.pet_series(self.tmp / change.__name__, [1], [np.full((8, 8), 100)], change)
                found = self.found_or_refused(self.tmp / change.__name__, "half|time|weight")
                if found is not None:
                    self.assertEqual(found["images"][0]["units"], "raw", found["images"][0]["scaling"])
                    self.assertRegex(json.dumps(found["remarks"]), "half|time|weight")

    def test_ct_without_its_rescaling(self):
        """pydicom/pydicom#818, #1615: a CT has no RescaleSlope, slope 0, or a RescaleType that is not HU. Its numbers are not called Hounsfield
        units, and it is said."""
        def none(data, i):
            del data.RescaleSlope, data.RescaleIntercept

        def zero(data, i):
            data.RescaleSlope = 0

        def unspecified(data, i):
            data.RescaleType = "US"

        for change in (none, zero, unspecified):
            with self.subTest(change.__name__):
                made.ct_series(self.tmp / change.__name__, [0, 3, 6], change=change)
                found = self.found_or_refused(self.tmp / change.__name__, "rescale")
                if found is not None:
                    self.assertRegex(json.dumps(found["remarks"]), "rescale")
                    self.assertEqual(found["images"][0]["units"], "raw")

    def test_structures_that_differ_in_case(self):
        """qurit/rt-utils#44: the same structure is GTV, gtv and Gtv in three patients. One class, or it is said before anybody learns three."""
        for k, name in enumerate(("GTV", "gtv ", "Gtv")):
            images = made.ct_series(self.tmp / f"ct/p{k}", [0, 3, 6], change=lambda data, i, k=k: setattr(data, "PatientID", f"P{k}"))
            made.rtstruct(self.tmp / f"ct/p{k}/rt.dcm", images, [(name, [made.box(-8, 4, -8, 4, z) for z in (0, 3, 6)])])
        done = self.attempt("prepare", "--input", "ct", "--output", "out")
        if done.code == 0 and len(self.found("out")[0]["mask_names"]) == 1:
            return
        self.assert_told(done, "GTV", "Gtv", "case|letters|spelling|differ|alike")

    def test_structures_in_another_order(self):
        """bhklab/med-imagetools#147: structures stand in another order in each patient, and their contours in another than their names. Numbers and
        names decide, not the
        place in a list."""
        shapes = {"Liver": (-12, 12), "Tumour": (-4, 2)}
        for folder, orders in (("one", [("Liver", "Tumour")] * 2), ("two", [("Liver", "Tumour"), ("Tumour", "Liver")])):
            for k, names in enumerate(orders):
                images = made.ct_series(self.tmp / f"{folder}/p{k}", [0, 3, 6], change=lambda data, i, k=k: setattr(data, "PatientID", f"P{k}"))
                made.rtstruct(self.tmp / f"{folder}/p{k}/rt.dcm", images,
                              [(name, [made.box(*shapes[name], *shapes[name], z) for z in (0, 3, 6)]) for name in names])
        done = self.train("seg", "two", "data.val_fraction=0")
        if not self.is_refused(done, "Liver", "Tumour"):
            self.assertEqual(done.code, 0, done.text)
        pixels = []
        for folder in ("one", "two"):  # in "two" the first patient's order holds for both, where later structures win
            self.vmae("prepare", "--input", folder, "--output", f"{folder}_prepared", "prepare.structures=[Liver,Tumour]")
            done = self.train("seg", f"{folder}_prepared", "data.val_fraction=0", run=f"run_{folder}")
            pixels.append(re.search(r"pixels: (.*)", done.text).group(1))
        self.assertEqual(pixels[0], pixels[1])


class VolumeReports(ReportTest):
    def pair(self, mask_name, mask_bytes, case="a", folder="data"):
        made.write_nifti(self.tmp / folder / f"images/{case}.nii.gz", made.texture(ord(case[0]), (16, 16, 6)))
        (self.tmp / folder / "labels").mkdir(exist_ok=True)
        (self.tmp / folder / "labels" / mask_name).write_bytes(mask_bytes)

    def test_segments_of_slicer_in_another_order(self):
        """MIC-DKFZ/nnUNet#2220, #2118: .nrrd of 3D Slicer, which number the segments in the order in which they were drawn; their names stand in the
        header."""
        labels, swapped = made.blocks(), made.blocks()
        swapped[labels == 1], swapped[labels == 2] = 2, 1
        for case, values, named in (("a", labels, (("liver", 1), ("tumour", 2))), ("b", swapped, (("tumour", 1), ("liver", 2)))):
            self.pair(f"{case}.nrrd", made.nrrd_bytes(values, made.segments(*named)), case)
        done = self.train("seg", "data", "data.val_fraction=0")
        if not self.is_refused(done, "liver", "tumour"):
            self.assertEqual(done.code, 0, done.text)
            self.assertRegex(done.text, r"pixels: liver 432, tumour 108")

    def test_segmentation_of_slicer_that_is_cropped(self):
        """Slicer/Slicer#5323: a .nrrd that 3D Slicer cropped to where its segments are. Put back to its place, or refused with both sizes."""
        labels = made.blocks()
        self.pair("a.nrrd", made.nrrd_bytes(labels[2:13, 2:13], origin=(2, 2, 0)))
        found = self.found_or_refused("data", r"a\.nrrd", "11 x 11 x 6", "16 x 16 x 6")
        if found is not None:
            self.assertEqual(self.voxels(found["images"][0]), {0: 1266, 1: 216, 2: 54})

    def test_segmentation_of_slicer_with_layers(self):
        """Project-MONAI/MONAILabel#766: overlapping segments in a .nrrd of two layers, each with label 1. Never the first layer for all."""
        labels = made.blocks()
        layers = np.stack([labels == 1, labels > 0]).astype(np.uint8)
        head = (b"NRRD0004\ntype: unsigned char\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 16 16 6\nspace directions: none (1,0,0) (0,1,0) (0,0,3)\n"
                b"kinds: list domain domain domain\nencoding: raw\nspace origin: (0,0,0)\nSegment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
                b"Segment1_Name:=whole\nSegment1_LabelValue:=1\nSegment1_Layer:=1\n\n")
        self.pair("a.nrrd", head + layers.tobytes(order="F"))
        found = self.found_or_refused("data", r"a\.nrrd", "2 (values|layers)|layer|overlap")
        if found is not None:
            self.assertEqual(self.voxels(found["images"][0]), {0: 1266, 1: 0, 2: 270})

    def test_spaces_of_nrrd(self):
        """InsightSoftwareConsortium/ITK#5207: `space: left-anterior-superior` is mirrored along the wrong axis (until ITK 5.4.3). All three spaces,
        the same place."""
        spaces = {"left-posterior-superior": (1, 1), "right-anterior-superior": (-1, -1), "left-anterior-superior": (1, -1), "LAS": (1, -1)}
        for space, (x, y) in spaces.items():
            with self.subTest(space):
                (self.tmp / "a.nrrd").write_bytes(made.nrrd_bytes(made.blocks(), spacing=(x, y, 3), origin=(5 * x, 6 * y, 7), space=space))
                image = self.found("a.nrrd")[0]["images"][0]
                np.testing.assert_allclose(image["origin_mm"], [5, 6, 7], atol=1e-6)
                np.testing.assert_allclose(image["direction"], np.eye(3).ravel(), atol=1e-6)

    def test_meta_images_of_other_writers(self):
        """InsightSoftwareConsortium/ITK#5340, BioMedIA/deepali#148, niivue/niivue#687: MET_LONG has 32 bits everywhere; HeaderSize = -1; lines that
        end with CR LF; big endian."""
        values, shape = np.random.default_rng(0).integers(-2000, 2000, (5, 4, 3)), (5, 4, 3)

        def raw(kind):
            return values.astype(kind).tobytes(order="F")

        (self.tmp / "voxels.raw").write_bytes(b"x" * 37 + raw("<i2"))
        files = {"long.mha": made.meta_image(shape, "MET_LONG", raw("<i4")), "longlong.mha": made.meta_image(shape, "MET_LONG_LONG", raw("<i8")),
                 "big.mha": made.meta_image(shape, "MET_SHORT", raw(">i2"), "ElementByteOrderMSB = True\n"),
                 "crlf.mha": made.meta_image(shape, "MET_SHORT", raw("<i2"), line_end="\r\n"),
                 "header.mhd": made.meta_image(shape, "MET_SHORT", b"", "HeaderSize = -1\n", "voxels.raw"),
                 "skip.mhd": made.meta_image(shape, "MET_SHORT", b"", "HeaderSize = 37\n", "voxels.raw")}
        for name, data in files.items():
            with self.subTest(name):
                (self.tmp / name).write_bytes(data)
                np.testing.assert_array_equal(self.numbers(name), values)

    def test_two_headers_with_one_raw_file(self):
        """DIAGNijmegen/rse-grand-challenge#715, ome/bioformats#3064: an .mhd was copied under another name and still points to the first one's voxels."""
        (self.tmp / "data/images").mkdir(parents=True)
        for case in "ab":
            (self.tmp / f"data/images/{case}.raw").write_bytes(made.texture(ord(case), (16, 16, 6)).astype("<i2").tobytes())
            (self.tmp / f"data/images/{case}.mhd").write_bytes(made.meta_image((16, 16, 6), "MET_SHORT", b"", file="a.raw"))
            made.write_nifti(self.tmp / f"data/labels/{case}.nii.gz", made.blocks(), np.diag([-1.0, -1, 2, 1]))
        done = self.train("seg", "data", "data.val_fraction=0")
        self.assert_told(done, r"a\.mhd", r"b\.mhd", r"a\.raw")

    def test_compressed_in_several_members(self):
        """samtools/htslib#742, rust-lang/flate2-rs#315, statgen/bamUtil#41: a .nii.gz of several gzip members (pigz, bgzip), or with zeros behind it.
        Cut off: refused."""
        labels = made.blocks()
        raw = nibabel.Nifti1Image(labels, np.diag([-1.0, -1, 3, 1])).to_bytes()
        whole = gzip.compress(raw)
        members = gzip.compress(raw[:500]) + gzip.compress(raw[500:1000]) + gzip.compress(raw[1000:])
        for name, data in (("members", members), ("zeros", whole + bytes(512)), ("plain", raw)):
            with self.subTest(name):
                (self.tmp / "a.nii.gz").write_bytes(data)
                np.testing.assert_array_equal(self.numbers("a.nii.gz"), labels)
        for name, data in (("cut in the last member", members[:-9]), ("no last member", members[:-len(gzip.compress(raw[1000:]))])):
            with self.subTest(name):
                (self.tmp / "a.nii.gz").write_bytes(data)
                self.assert_refused(self.attempt("inspect", "a.nii.gz"), r"a\.nii\.gz", "cut off|damaged")

    def test_slope_of_masks(self):
        """nipreps/fmriprep#2507, JuliaNeuroscience/NIfTI.jl#14: scl_slope NaN, or 0 with an intercept, means no scaling. Masks are not shifted, nor
        emptied."""
        raw = bytearray(nibabel.Nifti1Image(made.blocks(), np.diag([-1.0, -1, 3, 1])).to_bytes())
        for slope, intercept in ((float("nan"), float("nan")), (0.0, 7.0), (1.0, 0.0)):
            with self.subTest(slope=slope):
                struct.pack_into("<ff", raw, 112, slope, intercept)
                self.pair("a.nii.gz", gzip.compress(bytes(raw)))
                self.assertEqual(self.voxels(self.found("data")[0]["images"][0]), {0: 1266, 1: 216, 2: 54})

    def test_labels_that_are_no_class_numbers(self):
        """MIC-DKFZ/nnUNet#2118: one mask holds 1001, -1 or NaN. Refused with the value; a zero with a minus sign is zero."""
        for value in (1001, -1, np.nan, -0.0):
            with self.subTest(value):
                labels = made.blocks().astype(np.float32)
                labels[0, 0, 0] = value
                made.write_nifti(self.tmp / "data/labels/a.nii.gz", labels)
                made.write_nifti(self.tmp / "data/images/a.nii.gz", made.texture(0, (16, 16, 6)))
                found, done = self.found("data")
                if value == 0:
                    self.assertEqual(self.voxels(found["images"][0]), {0: 1266, 1: 216, 2: 54})
                else:
                    self.assert_refused(done, r"a\.nii\.gz", rf"\b{value:g}|{value:g}\b")

    def test_nifti_2(self):
        """MRtrix3/mrtrix3#19, scilus/fibernavigator#90: a NIfTI-2 file. Read, or refused as what it is; it is not "damaged"."""
        (self.tmp / "a.nii").write_bytes(nibabel.Nifti2Image(made.blocks(), np.diag([-1.0, -1, 3, 1])).to_bytes())
        done = self.attempt("inspect", "a.nii")
        if done.code == 0:
            np.testing.assert_array_equal(self.numbers("a.nii"), made.blocks())
        else:
            self.assert_refused(done, r"a\.nii", r"NIfTI-2|540")
            self.assertNotIn("damaged", done.told)


class PictureReports(ReportTest):
    def test_orientation_that_the_mask_does_not_have(self):
        """wkentaro/labelme#1529, jsbroks/coco-annotator#557: a photograph with EXIF orientation 6, its mask drawn on the pixels as they are stored.
        One frame for both, or it is said."""
        for name in ("exif", "stored", "turned"):
            for kind in ("images", "labels"):
                (self.tmp / name / kind).mkdir(parents=True)
        for i in range(4):
            picture, mask = labelled_picture(i, 40, 40)
            image = Image.fromarray(picture)
            exif = image.getexif()
            exif[0x0112] = 6
            image.save(self.tmp / f"exif/images/c{i}.jpg", exif=exif, quality=95)
            stored = np.asarray(Image.open(self.tmp / f"exif/images/c{i}.jpg"))
            Image.fromarray(mask).save(self.tmp / f"exif/labels/c{i}.png")
            for name, turn in (("stored", 0), ("turned", 3)):
                Image.fromarray(np.rot90(stored, turn)).save(self.tmp / f"{name}/images/c{i}.png")
                Image.fromarray(np.rot90(mask, turn)).save(self.tmp / f"{name}/labels/c{i}.png")
        losses = {}
        for name in ("exif", "stored", "turned"):
            done = self.train("seg", name, "data.val_fraction=0", *NO_AUGMENTATION, run=f"run_{name}")
            if name == "exif" and re.search("exif|orientation|turned|rotat", done.told, re.IGNORECASE):
                return
            self.assertEqual(done.code, 0, done.text)
            losses[name] = metrics(self.tmp / f"run_{name}", "train")[0]["loss"]
        self.assertGreater(abs(losses["stored"] - losses["turned"]), 1e-3, "this test can tell them apart")
        self.assertLess(min(abs(losses["exif"] - losses[name]) for name in ("stored", "turned")), 3e-4, losses)

    def test_jpeg_that_ends_early(self):
        """ultralytics/yolov5#3450, open-mmlab/mmcv#2239: half of a JPEG, with and without an end marker behind it. Refused, never the rest in grey."""
        Image.fromarray(labelled_picture(0, 200, 200)[0]).save(self.tmp / "whole.jpg")
        data = (self.tmp / "whole.jpg").read_bytes()
        self.assertEqual(self.attempt("inspect", "whole.jpg").code, 0)
        for name, end in (("cut", b""), ("marked", b"\xff\xd9")):
            with self.subTest(name):
                (self.tmp / f"{name}.jpg").write_bytes(data[:len(data) // 2] + end)
                self.assert_refused(self.attempt("inspect", f"{name}.jpg"), rf"{name}\.jpg", "cut off|damaged|corrupt|premature|ends")

    def test_pictures_of_unknown_extensions(self):
        """FlyMyAI/flymyai-lora-trainer#72, pytorch/vision#735: some pictures of a class are .webp and .jfif. Read, or named with their number; never
        a smaller class without a word."""
        for kind, name in enumerate(UP_OR_DOWN):
            made.save_pictures(self.tmp / "data" / name, 14, lambda i, kind=kind: class_picture(i, kind), "{}.jpg")
            for i in (10, 11, 12):
                Image.open(self.tmp / f"data/{name}/{i}.jpg").save(self.tmp / f"data/{name}/{i}.webp", lossless=True)
                os.remove(self.tmp / f"data/{name}/{i}.jpg")
            os.rename(self.tmp / f"data/{name}/13.jpg", self.tmp / f"data/{name}/13.jfif")
        done = self.attempt("inspect", "data")
        if "28 images" not in done.text:
            self.assert_told(done, r"\.webp", r"\.jfif")

    def test_masks_beside_the_images_of_a_class(self):
        """FengheTan9/CMUNeXt#11, qubvel/segmentation_models#226 (BUSI): `benign (1)_mask.png` lies beside `benign (1).png`. A mask is no image of the
        class."""
        for name in ("benign", "malignant", "normal"):
            made.save_pictures(self.tmp / "data" / name, 8, lambda i: class_picture(i, i % 3), f"{name} ({{}}).png")
            made.save_pictures(self.tmp / "data" / name, 8, lambda i: (class_picture(i, 0) > 150).astype(np.uint8) * 255, f"{name} ({{}})_mask.png")
        found = self.found_or_refused("data", "_mask")
        if found is not None and found["num_images"] != 24:
            self.assertRegex(json.dumps(found["remarks"] + found["refused"]), "_mask")

    def test_masks_beside_volumes(self):
        """Project-MONAI/MONAILabel#1051: `B000_seg.nii.gz` lies beside `B000_t1.nii.gz` (BraTS). A label map is no image to learn from: left out,
        refused, or at least said."""
        for i in range(3):
            made.write_nifti(self.tmp / f"data/B{i:03d}/B{i:03d}_t1.nii.gz", made.texture(i, (16, 16, 6)))
            made.write_nifti(self.tmp / f"data/B{i:03d}/B{i:03d}_seg.nii.gz", made.blocks())
        done = self.attempt("inspect", "data")
        if ": 3 images" not in done.text:
            self.assert_told(done, "_seg")

    def test_files_of_other_systems(self):
        """OpenNeuroOrg/openneuro#2520, mbrrg/synology-thumbgen#11: `._` files of macOS, Thumbs.db, and thumbnails of a Synology disk (`@eaDir`) are
        no images."""
        data = make_segmentation(self.tmp / "data", 4, masks="labels")
        for picture in list(data.rglob("*.png")):
            picture.with_name(f"._{picture.name}").write_bytes(b"\0\5\x16\7" + bytes(4000))
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (data / "images" / name).write_bytes(b"x")
        self.assertEqual(self.found("data")[0]["num_images"], 4)
        for folder in ("images", "labels"):
            for picture in list((data / folder).glob("case*.png")):
                made.save_pictures(data / folder / "@eaDir" / picture.name, 1, lambda i: class_picture(i, 0), "SYNOPHOTO_THUMB_XL.png")
        done = self.attempt("inspect", "data")
        if ": 4 images" not in done.text:
            self.assert_told(done, "@eaDir")

    def test_names_of_macos_and_linux(self):
        """uewepuep/FPVTracksideCore#75: an umlaut is one character in the image's name and two in the mask's. Paired, or the image is named; never
        trained without it."""
        for kind in ("images", "labels"):
            (self.tmp / "data" / kind).mkdir(parents=True)
        for i in range(2):
            picture, mask = labelled_picture(i, 40, 40)
            Image.fromarray(picture).save(self.tmp / "data/images" / (unicodedata.normalize("NFC", f"Mü{i}") + ".png"))
            Image.fromarray(mask).save(self.tmp / "data/labels" / (unicodedata.normalize("NFD", f"Mü{i}") + ".png"))
        done = self.train("seg", "data", "data.val_fraction=0")
        if done.code != 0:
            self.assert_refused(done, "M.{1,2}0", "mask")

    def test_equal_pictures_on_both_sides_of_a_split(self):
        """tqwei05/PlantSeg#11, BMEII-AI/RadImageNet#17: the same picture under two names. `prepare` names it; a split of what it prepared keeps equal
        ones together, or says so."""
        made.save_pictures(self.tmp / "images", 12, lambda i: class_picture(i % 6, i % 2))
        done = self.attempt("prepare", "--input", "images", "--output", "out", "prepare.names=keep")
        self.assertIn("exact duplicates 6", done.text)
        done = self.attempt("split", "--input", "out", "--output", "splits.json", "split.scheme=kfold", "split.folds=3")
        if re.search("duplicate|equal|identical|same pixels", done.text, re.IGNORECASE):
            return
        for fold in json.loads((self.tmp / "splits.json").read_text())["folds"]:
            part = {int(re.search(r"p(\d+)", name).group(1)): which for which in ("train", "val", "test") for name in fold[which]}
            self.assertEqual([i for i in range(6) if part[i] != part[i + 6]], [])


class TableReports(ReportTest):
    def test_missing_labels_as_r_writes_them(self):
        """HealthCatalyst/healthcareai-r#87, QUT-Digital-Observatory/coordination-network-toolkit#9, biolab/orange3-prototypes#177: NA, nan and N/A
        are missing values, no class."""
        for word in ("NA", "nan", "N/A"):
            with self.subTest(word):
                path = self.table_of_pictures(lambda i: word if i in (3, 7) else UP_OR_DOWN[i % 2])
                done = self.attempt("inspect", path)
                if "classes: down, up\n" not in done.text:
                    self.assert_told(done, rf"\b{re.escape(word)}\b")

    def test_findings_with_words(self):
        """stanfordmlgroup/chexpert-labeler#9, corgis-edu/corgis#54, teableio/teable#1309: a column of findings has one NA, another says True and
        False. Read, or named as not used."""
        path = self.table_of_pictures(lambda i: f"{i % 2},{'NA' if i == 5 else i % 2},{bool(i % 2)}", "image,effusion,edema,nodule")
        found, done = self.found(path)
        if found is None:
            self.assert_refused(done, "edema|nodule")
            return
        told = self.attempt("inspect", path).told
        for name, column in (("edema", [0, 1] * 6), ("nodule", [0, 1] * 6)):
            if name in found["labels"]:
                at = found["labels"].index(name)
                values = [image["labels"][at] for image in found["images"]]
                self.assertEqual([value for value in values if value in (0, 1)], [value for i, value in enumerate(column) if values[i] in (0, 1)])
                self.assertGreaterEqual(len([value for value in values if value in (0, 1)]), 11)
            else:
                self.assertIn(name, told, f"the column {name} is dropped without a word")

    def test_blanks_within_quotes(self):
        """frictionlessdata/frictionless-py#1172, UEWBot/dipvis#155: cells padded with blanks and quoted. "up  " is the class up, and "P1 " the patient P1."""
        path = self.table_of_pictures(lambda i: f'"{UP_OR_DOWN[i % 2]}{"  " if i % 3 == 0 else ""}","P{i // 2}{" " if i % 2 else ""}"', "image,label,patient")
        found, done = self.found(path)
        if found is None:
            self.assert_refused(done, r"list\.csv", "blank|space|quote")
            return
        self.assertEqual(sorted(found["labels"]), ["down", "up"])
        done = self.attempt("split", "--input", path, "--output", "splits.json", "split.scheme=kfold", "split.folds=3")
        self.assertIn("12 cases of 6 patients", done.text)

    def test_row_with_a_field_more(self):
        """huggingface/datasets#5278, #6442: the labels' table of a folder is not taken, and the folder is read without labels. A row that doesn't fit
        is an error, by line."""
        self.table_of_pictures(lambda i: UP_OR_DOWN[i % 2] + (",checked" if i == 5 else ""))
        for path in ("list.csv", "."):
            with self.subTest(path):
                self.assert_refused(self.attempt("inspect", path), r"list\.csv:7", "3 fields")

    def test_paths_of_windows(self):
        """CellProfiler/CellProfiler#1385, abbyy/barcode_detection_benchmark#2: backslashes in a manifest. Found, or refused with the path."""
        self.table_of_pictures(lambda i: UP_OR_DOWN[i % 2])
        table = self.tmp / "list.csv"
        table.write_text(table.read_text().replace("images/", "images\\"))
        done = self.train("cls", "list.csv", "data.val_fraction=0.25")
        self.assertEqual(done.code, 0)
        self.assertRegex(done.text, "backslashes.*read as /")

    def test_leading_zeros(self):
        """cwatson/brainGraph#13, sisinflab/Ducho#2: a spreadsheet made 001 of 1. Names are text: what doesn't match is named, nothing is matched by order."""
        (self.tmp / "truth.csv").write_text("case,label\n" + "".join(f"{i:03d},{i % 2}\n" for i in range(10)))
        (self.tmp / "scores.csv").write_text("case,score\n" + "".join(f"{i},{i % 2}\n" for i in range(10)))
        self.assert_refused(self.attempt("eval", "--pred", "scores.csv", "--truth", "truth.csv", "--output", "out", "--resamples", "20"), "009")
        path = self.table_of_pictures(lambda i: f"{UP_OR_DOWN[i % 2]},{'001' if i < 6 else '1'}", "image,label,patient")
        done = self.attempt("split", "--input", path, "--output", "splits.json", "split.scheme=kfold", "split.folds=2")
        self.assertTrue(self.is_refused(done, "patient") or "12 cases of 2 patients" in done.text, done.text)

    def test_one_class_in_the_truth(self):
        """scikit-learn/scikit-learn#30103, tensorflow/tensorflow#121465: AUROC of cases that are all positive is not defined: no number, neither 0
        nor 1, and the reason."""
        (self.tmp / "truth.csv").write_text("case,label\n" + "".join(f"c{i},1\n" for i in range(10)))
        (self.tmp / "scores.csv").write_text("case,score\n" + "".join(f"c{i},{i / 10}\n" for i in range(10)))
        done = self.attempt("eval", "--pred", "scores.csv", "--truth", "truth.csv", "--output", "out", "--resamples", "20")
        if self.is_refused(done, "negative|one class"):
            return
        self.assertEqual(done.code, 0, done.text)
        self.assertIsNone(self.estimates()["scores", "AUROC", "1"]["value"])
        self.assertIn("no negative case", done.text)


class TrainingReports(ReportTest):
    def datalist(self, folds=None, validation=()):
        """A dataset.json as MONAI writes it, of eight volumes."""
        entries = []
        for i in range(8):
            made.write_nifti(self.tmp / f"data/imagesTr/c{i}.nii.gz", made.texture(i, (16, 16, 6)))
            made.write_nifti(self.tmp / f"data/labelsTr/c{i}.nii.gz", made.blocks())
            entries.append({"image": f"imagesTr/c{i}.nii.gz", "label": f"labelsTr/c{i}.nii.gz"} | ({"fold": folds[i]} if folds else {}))
        content = {"labels": {"0": "background", "1": "liver", "2": "tumour"}, "modality": {"0": "CT"},
                   "training": [entry for i, entry in enumerate(entries) if i not in validation]}
        if validation:
            content["validation"] = [entries[i] for i in validation]
        (self.tmp / "data/dataset.json").write_text(json.dumps(content))

    def nnunet(self, name, labels, first=0, count=2):
        """A dataset whose liver has 6 x 6 and whose tumour 3 x 3 voxels in every slice, numbered as `labels` says."""
        for i in range(first, first + count):
            made.write_nifti(self.tmp / name / f"imagesTr/c{i}_0000.nii.gz", made.texture(i, (16, 16, 6)))
            drawn, numbered = made.blocks(), np.zeros((16, 16, 6), np.uint8)
            numbered[drawn == 1], numbered[drawn == 2] = labels["liver"], labels["tumour"]
            made.write_nifti(self.tmp / name / f"labelsTr/c{i}.nii.gz", numbered)
        content = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **labels}, "numTraining": count, "file_ending": ".nii.gz"}
        (self.tmp / name / "dataset.json").write_text(json.dumps(content))

    def test_sources_that_number_their_classes_otherwise(self):
        """ultralytics/ultralytics#13936, #26192, cugbrs/MLRSNet#4: liver is 1 in one dataset and 2 in the other. By name, or refused; for training
        and for validation."""
        self.nnunet("a", {"liver": 1, "tumour": 2})
        self.nnunet("b", {"tumour": 1, "liver": 2}, first=10)
        self.nnunet("c", {"liver": 1, "tumour": 2}, first=10)
        done = self.train("seg", "[a,b]", "data.val_fraction=0")
        if not self.is_refused(done, "liver", "tumour"):
            self.assertRegex(done.text, "pixels: liver 864, tumour 216")
        done = self.train("seg", "a", "data.val=b", run="other")
        if not self.is_refused(done, "liver", "tumour"):
            self.assertEqual(self.train("seg", "a", "data.val=c", run="same").code, 0)
            other, same = (metrics(self.tmp / run, "val")[0]["Dice"] for run in ("other", "same"))
            self.assertAlmostEqual(other, same, places=6)

    def test_evaluation_of_classes_in_another_order(self):
        """vllm-project/semantic-router#3557: the predictions' dataset.json says tumour, liver, the truth's liver, tumour. Matched by name (Dice 1),
        or refused; never Dice 0."""
        self.nnunet("truth", {"liver": 1, "tumour": 2})
        self.nnunet("ours", {"liver": 1, "tumour": 2})
        self.nnunet("theirs", {"tumour": 1, "liver": 2})
        for name in ("ours", "theirs"):
            os.rename(self.tmp / name / "dataset.json", self.tmp / name / "labelsTr/dataset.json")
            os.rename(self.tmp / name / "labelsTr", self.tmp / f"pred_{name}")
        for names in (("theirs",), ("ours", "theirs"), ("theirs", "ours")):
            with self.subTest(names):
                done = self.attempt("eval", "--pred", *[f"pred_{name}" for name in names], "--names", ",".join(names), "--truth", "truth", "--output", "out",
                                    "--overwrite", "--no-distances", "--resamples", "20")
                if self.is_refused(done, "liver", "tumour"):
                    continue
                self.assertEqual(done.code, 0, done.text)
                values = {(name, kind): self.estimates()[name, "Dice", kind]["value"] for name in names for kind in ("liver", "tumour")}
                self.assertEqual(set(values.values()), {1}, values)

    def test_resuming_with_other_classes(self):
        """Socialbird-AILab/BERT-Classification-Tutorial#6, vllm-project/semantic-router#3557: between two parts of a run the classes changed their
        numbers. Refused, not renamed."""
        self.nnunet("data", {"liver": 1, "tumour": 2})
        self.assertEqual(self.train("seg", "data", "data.val_fraction=0").code, 0)
        self.nnunet("data", {"tumour": 1, "liver": 2})
        self.assert_refused(self.train("seg", "data", "data.val_fraction=0", "train.epochs=2", "--resume"), "liver", "tumour")

    def test_validation_without_one_of_the_classes(self):
        """huggingface/pytorch-image-models#957, #211: no validation case is of class b. c stays c; or refused with the classes of both, not with a number."""
        made.save_pictures(self.tmp / "images", 18, lambda i: class_picture(i, i % 3))
        for name, kinds, cases in (("train", "abc", range(12)), ("val", "ac", range(12, 18))):
            rows = [f"images/p{i:03d}.png,{kinds[i % len(kinds)]}" for i in cases]
            (self.tmp / f"{name}.csv").write_text("\n".join(["image,label", *rows]) + "\n")
        done = self.train("cls", "train.csv", "data.val=val.csv")
        if done.code == 0:
            self.assertRegex(done.text, "in validation: a 3, b 0, c 3")
        else:
            self.assert_refused(done, r"\[?a, c\]?", r"\[?a, b, c\]?|\bb\b")

    def test_validation_that_the_dataset_names(self):
        """huggingface/datasets#735, Project-MONAI/MONAI#3288: dataset.json has a list `validation` beside `training`. It validates, or its being left
        out is said."""
        self.datalist(validation=(1, 4, 6))
        done = self.train("seg", "data", "data.val_fraction=0.25")
        if done.code == 0 and self.parts()["val"] == ["c1.nii.gz", "c4.nii.gz", "c6.nii.gz"]:
            return
        self.assert_told(done, "validation")

    def test_folds_that_the_dataset_names(self):
        """Project-MONAI/MONAI#6201: the entries of dataset.json have folds, and training makes others of its own. data.fold means these folds, or is
        refused."""
        self.datalist(folds=[0, 1, 0, 1, 1, 0, 1, 1])
        done = self.train("seg", "data", "data.val_fraction=0.25", "data.fold=0")
        if not self.is_refused(done, "fold"):
            self.assertEqual(done.code, 0, done.text)
            self.assertIn(["c0.nii.gz", "c2.nii.gz", "c5.nii.gz"], list(self.parts().values()))
        rows = [f"data/imagesTr/c{i}.nii.gz,data/labelsTr/c{i}.nii.gz,{fold}" for i, fold in enumerate([0, 1, 0, 1, 1, 0, 1, 1])]
        (self.tmp / "list.csv").write_text("\n".join(["image,mask,fold", *rows]) + "\n")
        done = self.train("seg", "list.csv", "data.val_fraction=0.25", "data.fold=0", run="listed")
        if not self.is_refused(done, "fold"):
            self.assertEqual(done.code, 0, done.text)
            self.assertIn(["c0.nii.gz", "c2.nii.gz", "c5.nii.gz"], list(self.parts("listed").values()))

    def test_another_intensity_rule_in_prediction(self):
        """MIC-DKFZ/nnUNet#1680, ScrollPrize/villa#1364: a model learnt CT in a window; the volumes to predict don't say that they are CT. The window
        of training, or it is said."""
        rows = ["image,mask,modality"]
        for i in range(4):
            volume, labels = made.texture(i, (32, 32, 4), -400, 500), np.zeros((32, 32, 4), np.uint8)
            volume[8:20, 8:20], labels[8:20, 8:20] = 60, 1
            made.write_nifti(self.tmp / f"scans/c{i}.nii.gz", volume)
            made.write_nifti(self.tmp / f"masks/c{i}.nii.gz", labels)
            rows.append(f"scans/c{i}.nii.gz,masks/c{i}.nii.gz,CT")
        (self.tmp / "list.csv").write_text("\n".join(rows) + "\n")
        done = self.train("seg", "list.csv", "data.val_fraction=0", "train.epochs=12", "optim.lr=5e-3", *NO_AUGMENTATION)
        self.assertEqual(done.code, 0, done.text)
        done = self.attempt("predict", "--weights", "run", "--input", "scans", "--output", "unsaid", "--threads", "1")
        if re.search("modality|intensit|window|percentile", done.told, re.IGNORECASE):
            return
        self.vmae("predict", "--weights", "run", "--input", "list.csv", "--output", "said", "--threads", "1")
        for i in range(4):
            (said,), (unsaid,) = ([np.asarray(nibabel.load(file).dataobj) for file in (self.tmp / name).rglob(f"c{i}.nii.gz")] for name in ("said", "unsaid"))
            self.assertGreater((said > 0).sum(), 100)
            np.testing.assert_array_equal(unsaid, said)

    def test_weights_that_are_no_numbers(self):
        """neoml-lib/neoml#576, perslev/MultiPlanarUNet#24, CAREamics/careamics#489: one weight of a file is NaN. Refused, by file and key; never
        masks of background alone."""
        make_segmentation(self.tmp / "data", 4)
        self.assertEqual(self.train("seg", "data", "data.val_fraction=0").code, 0)
        arrays = {key: array.copy() for key, array in weights_of(last(self.tmp / "run")).items()}
        arrays["head.weight"].flat[0] = np.nan
        told = {key: value for key, value in metadata(last(self.tmp / "run")).items() if key not in ("checksum", "state")}
        write_safetensors(self.tmp / "nan.safetensors", arrays, told)
        for arguments in (("predict", "--weights", "nan.safetensors", "--input", "data/images", "--output", "out", "--threads", "1"),
                          ("finetune-seg", *ONE_EPOCH, "data.train=data", "data.val_fraction=0", "run.dir=again", "model.init=nan.safetensors")):
            with self.subTest(arguments[0]):
                done = self.attempt(*arguments, codes=(0, 2, 3, 4, 5, 6))
                self.assertIn(done.code, (2, 3, 4), done.text[-2000:])
                self.assert_refused(done, r"nan\.safetensors", r"head\.weight|finite|NaN")

    def test_resuming_with_other_cases(self):
        """TensorAuto/OpenTau#502, aiqm/torchani#443: between two parts of a run cases came, or the seed changed, and with them who validates.
        Refused, not another split."""
        make_segmentation(self.tmp / "data", 8)
        self.assertEqual(self.train("seg", "data", "data.val_fraction=0.25").code, 0)
        before = self.parts()
        done = self.train("seg", "data", "data.val_fraction=0.25", "train.epochs=2", "run.seed=7", "--resume")
        self.assertTrue(self.is_refused(done, "seed") or self.parts() == before, done.text)
        make_segmentation(self.tmp / "data", 3, first=20)
        done = self.train("seg", "data", "data.val_fraction=0.25", "train.epochs=2", "--resume")
        self.assertTrue(self.is_refused(done, "files") or self.parts() == before, done.text)


if __name__ == "__main__":
    unittest.main()
