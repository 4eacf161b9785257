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
from finetuning import SWIN, TRAIN, class_picture, labelled_picture, make_segmentation
from harness import VMAE, environment

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

    def test_structures_in_another_order(self):
        """bhklab/med-imagetools#147: structures stand in another order in each patient. The name decides, not the place in the list."""
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

class PictureReports(ReportTest):
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

class TableReports(ReportTest):
    def test_paths_of_windows(self):
        """CellProfiler/CellProfiler#1385, abbyy/barcode_detection_benchmark#2: backslashes in a manifest. Found, or refused with the path."""
        self.table_of_pictures(lambda i: UP_OR_DOWN[i % 2])
        table = self.tmp / "list.csv"
        table.write_text(table.read_text().replace("images/", "images\\"))
        done = self.train("cls", "list.csv", "data.val_fraction=0.25")
        if done.code != 0:
            self.assert_refused(done, r"images\\p0", "does not exist|backslash")

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
