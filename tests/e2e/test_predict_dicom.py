# SPDX-License-Identifier: Apache-2.0
"""DICOM in, DICOM Segmentation out: accepted by dciodvfy and highdicom, read back by vmae onto the same voxels, and no patient is named where none need be."""
import json
import shutil
import unittest
from pathlib import Path

import numpy as np
import pydicom

try:
    import dicom_seg_check
except ImportError as missing:  # highdicom
    raise unittest.SkipTest(str(missing))
from dicom_files import IDENTIFYING, NEEDLES, write_ct_series
from finetuning import NO_AUGMENTATION, STS001, FinetuneTest, last, metadata, shared_folder, trained
import test_dicom_kinds
from harness import weights_of, write_safetensors
from test_prepared_bytes import read_dataset


def series_files(folder):
    """In the order of the slices."""
    return sorted(Path(folder).rglob("*.dcm"), key=lambda f: float(pydicom.dcmread(f, stop_before_pixels=True).ImagePositionPatient[2]))


class DicomTest(FinetuneTest):
    @classmethod
    def setUpClass(cls):
        """A segmenter of the CT's tumour; its masks are the RTSTRUCT beside the images. It learns to find something."""
        cls.model = shared_folder() / "ct-seg"
        if not cls.model.exists():
            maker = cls("run_all")
            maker.tmp = shared_folder()
            maker.seg("data.val_fraction=0", "train.epochs=60", "optim.lr=5e-3", "train.batch_size=4", "loss.balance=inverse_frequency", "model.image_size=[64,64]",
                      "data.classes=[Tumour & \"mass\"]", *NO_AUGMENTATION, data=STS001 / "CT", run=cls.model)

    def run_all(self):
        pass

    def segment(self, source, *more, output="out", expect=0):
        self.predict(*more, weights=self.model, input=source, output=output, expect=expect)
        return sorted((self.tmp / output).rglob("*.dcm"))

    def read_back(self, series, seg):
        """Series and SEG in one folder, as an archive has them -> masks (slice, row, column) as `vmae prepare` stores them."""
        both = self.tmp / "archive"
        shutil.rmtree(both, ignore_errors=True)
        shutil.copytree(series, both / "series")
        shutil.copy(seg, both / "some-segmentation.dcm")
        shutil.rmtree(self.tmp / "prepared", ignore_errors=True)
        self.vmae("prepare", "--input", both, "--output", "prepared", "prepare.workers=1")
        cases, items = read_dataset(self.tmp / "prepared")
        self.assertEqual(len(cases), 1)
        return np.stack([item["mask"] for item in items])


class RoundTripTest(DicomTest):
    def test_ct(self):
        """The CT's own slices -> SEG -> highdicom (by source image and by place) -> our reader: the same voxels each time."""
        series = STS001 / "CT/image"
        (seg,) = self.segment(series)
        mask = self.read_back(series, seg)
        self.assertGreater(mask.sum(), 100)
        self.assertLess(mask.mean(), 0.5)
        dicom_seg_check.check_seg(seg, series_files(series), mask)
        data = pydicom.dcmread(seg)
        self.assertEqual([s.SegmentLabel for s in data.SegmentSequence], ['Tumour & "mass"'])
        self.assertEqual(data.Modality, "SEG")
        # And it is what the same voxels give as a plain volume in HU.
        slices = [pydicom.dcmread(f) for f in series_files(series)]
        import nibabel
        spacing = [*map(float, slices[0].PixelSpacing[::-1]), 3.27]
        volume = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices], -1).transpose(1, 0, 2)
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), np.diag([*spacing, 1])), self.tmp / "ct.nii.gz")
        (self.tmp / "list.csv").write_text("image,modality\nct.nii.gz,CT\n")
        self.predict(weights=self.model, input="list.csv", output="plain")
        labels = np.asarray(nibabel.load(self.tmp / "plain/ct.nii.gz").dataobj)
        np.testing.assert_array_equal(labels.transpose(2, 1, 0), mask)

    def test_mr_and_pet(self):
        for what in ("MR_T1", "PET"):
            series = STS001 / what / "image"
            (seg,) = self.segment(series, output=what)
            dicom_seg_check.check_seg(seg, series_files(series), self.read_back(series, seg))

    def test_a_folder_of_several_series_and_a_structure_set(self):
        """One SEG per series, each beside the place of its series; the RTSTRUCT is no case."""
        segs = self.segment(STS001)
        self.assertEqual(len(segs), 3, [str(s) for s in segs])
        for seg in segs:
            self.assertEqual(dicom_seg_check.dciodvfy_errors(seg), [])
        self.assertEqual(len({pydicom.dcmread(s).ReferencedSeriesSequence[0].SeriesInstanceUID for s in segs}), 3)

    def test_the_same_prediction_is_the_same_object(self):
        (first,), (second,) = self.segment(STS001 / "CT/image"), self.segment(STS001 / "CT/image", output="again")
        a, b = pydicom.dcmread(first), pydicom.dcmread(second)
        self.assertEqual(a.SOPInstanceUID, b.SOPInstanceUID)
        self.assertEqual(a.PixelData, b.PixelData)

    def test_slices_in_any_order_and_an_empty_segmentation(self):
        """Files out of order; then air alone, in which there is nothing: an object all the same, and valid."""
        write_ct_series(self.tmp / "ct", identity={"PatientName": "A^B", "PatientID": "1"})
        (seg,) = self.segment("ct")
        mask = self.read_back(self.tmp / "ct", seg)
        dicom_seg_check.check_seg(seg, series_files(self.tmp / "ct"), mask)
        self.assertGreater(mask.max(), 0)
        blind = {k: v.copy() for k, v in weights_of(last(self.model)).items()}
        for key, value in (("final_patch_expanding.norm.weight", 0), ("final_patch_expanding.norm.bias", 1), ("head.weight", [[[[1]]], [[[0]]]])):
            blind[key][...] = np.asarray(value)  # the same logits everywhere, the background's the larger
        card = {k: v for k, v in metadata(last(self.model)).items() if k in ("model", "model_options", "class_names", "image_options", "is_multi_label", "pool")}
        write_safetensors(self.tmp / "blind.safetensors", blind, card)
        self.predict(weights="blind.safetensors", input="ct", output="nothing")
        (seg,) = (self.tmp / "nothing").rglob("*.dcm")
        self.assertEqual(self.read_back(self.tmp / "ct", seg).max(), 0)
        dicom_seg_check.check_seg(seg, series_files(self.tmp / "ct"), np.zeros_like(mask))

    def test_time_points_of_one_file(self):
        """An enhanced file of two time points, interleaved: a SEG for each, made from its own frames, read back as the mask of that time point alone."""
        grid = test_dicom_kinds.Grid(size=(40, 36, 5))
        pixels = np.random.default_rng(0).integers(0, 1200, (2, 5, 36, 40)).astype(np.uint16)

        def as_ct(data):
            data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = test_dicom_kinds.ENHANCED_CT
            data.Modality, data.RescaleSlope, data.RescaleIntercept = "CT", 1, -500
        test_dicom_kinds.FramesTest.enhanced(None, self.tmp / "ct/e.dcm", pixels, grid, "temporal", change=as_ct)
        segs = self.segment("ct")
        self.assertEqual([seg.name for seg in segs], ["e_t0.dcm", "e_t1.dcm"])
        for time, seg in enumerate(segs):
            data = pydicom.dcmread(seg)
            frames = {int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber) for group in data.PerFrameFunctionalGroupsSequence}
            self.assertLessEqual(frames, {1 + 2 * z + time for z in range(5)})
            both = self.tmp / f"archive{time}"
            shutil.copytree(self.tmp / "ct", both)
            shutil.copy(seg, both / "seg.dcm")
            self.vmae("prepare", "--input", both, "--output", f"prepared{time}", "prepare.workers=1", "prepare.names=keep")
            cases, items = read_dataset(self.tmp / f"prepared{time}")
            self.assertEqual([case["name"] for case in cases], ["e.dcm#t0", "e.dcm#t1"])
            with_mask = {item["case"] for item in items if item["mask"] is not None and item["mask"].any()}
            self.assertLessEqual(with_mask, {time})
            mask = np.stack([item["mask"] for item in items if item["case"] == time])
            self.assertEqual(int(mask.sum()), int(np.unpackbits(np.frombuffer(data.PixelData, np.uint8)).sum()))

    def test_probabilities_beside_the_segmentation(self):
        import nibabel
        (seg,) = self.segment(STS001 / "CT/image", "--probabilities")
        (file,) = (self.tmp / "out/probabilities").iterdir()
        self.assertTrue(file.name.endswith(".nii.gz"))
        image = nibabel.load(file)
        mask = self.read_back(STS001 / "CT/image", seg)
        p = np.asarray(image.dataobj).transpose(2, 1, 0)
        self.assertEqual(p.shape, mask.shape)
        np.testing.assert_array_equal(p[p != 0.5] > 0.5, mask[p != 0.5] == 1)
        first = pydicom.dcmread(series_files(STS001 / "CT/image")[0])
        position = image.affine @ [0, 0, 0, 1]
        np.testing.assert_allclose(position[:3], np.asarray(first.ImagePositionPatient, float) * [-1, -1, 1], atol=1e-3)

    def test_structures_name_the_classes(self):
        self.seg("data.val_fraction=0", "train.epochs=1", "train.batch_size=4", data=STS001 / "CT", run=self.tmp / "run")
        self.assertEqual(json.loads(metadata(last(self.tmp / "run"))["class_names"]), ["GTV_Mass_CT"])


class PrivacyTest(DicomTest):
    def folder_of_a_patient(self):
        """Folders and files named by the patient, as exports are."""
        write_ct_series(self.tmp / "in/Zebedee_Quentin_77421903/CT", seed=1)
        write_ct_series(self.tmp / "in/Zebedee_Quentin_77421903/second", seed=2, name="MRN-77421903_{:04d}.dcm")

    def leaks(self, output, record):
        text = " ".join(self.written(output)) + record
        return [needle for needle in NEEDLES if needle.lower() in text.lower()]

    def test_segmentation(self):
        """Names are in the SEG, as the standard asks, and nowhere else: not in file names, not in predict.json."""
        self.folder_of_a_patient()
        segs = self.segment("in")
        self.assertEqual(len(segs), 2)
        self.assertEqual(self.leaks("out", (self.tmp / "out/predict.json").read_text()), [])
        for seg in segs:
            self.assertEqual(dicom_seg_check.dciodvfy_errors(seg), [])
            self.assertEqual(str(pydicom.dcmread(seg).PatientName), IDENTIFYING["PatientName"])

    def test_classification(self):
        self.folder_of_a_patient()
        done = self.predict(weights=trained("cls"), input="in")
        text = "".join((self.out / name).read_text() for name in ("cases.csv", "slices.csv", "predict.json"))
        self.assertEqual(self.leaks("out", text), [])
        self.assertEqual([n for n in NEEDLES if n.lower() in done.stderr.lower()], [], "nor in what is logged")
        self.assertEqual(len(self.table("cases.csv")), 2)

    def test_a_failed_case_is_not_named_by_its_patient(self):
        self.folder_of_a_patient()
        files = sorted((self.tmp / "in/Zebedee_Quentin_77421903/second").iterdir())
        data = pydicom.dcmread(files[0])
        data.PixelData = data.PixelData[:-600]
        data.save_as(files[0])
        self.segment("in", expect=6)
        record = json.loads((self.tmp / "out/predict.json").read_text())
        self.assertEqual([record["cases"], len(record["failed"])], [1, 1])
        self.assertEqual(self.leaks("out", json.dumps(record)), [])


if __name__ == "__main__":
    unittest.main()
