# SPDX-License-Identifier: Apache-2.0
"""What vmae writes for other programs, read by nibabel, highdicom and pydicom. The files are made by the test WriteForOthers.Files."""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import nibabel
import numpy as np
import pydicom

ROOT = Path(os.environ.get("VMAE_SOURCE_DIR", Path(__file__).resolve().parents[2]))
VMAE = Path(os.environ.get("VMAE", ROOT / "build/release/bin/vmae"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from dicom_seg_check import check_seg, dciodvfy_errors  # noqa: E402


class WriteLabels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="vmae-labels-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        subprocess.run([VMAE.parent / "vmae_base_tests", "--gtest_filter=WriteForOthers.Files"], check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "VMAE_TEST_OUTPUT": str(cls.folder), "VMAE_SOURCE_DIR": str(ROOT)})

    def series(self, name):
        files = (self.folder / f"{name}.txt").read_text().splitlines()
        first = pydicom.dcmread(files[0])
        shape = (len(files) * int(first.get("NumberOfFrames", 1)), first.Rows, first.Columns)
        return files, np.fromfile(self.folder / f"{name}.labels", np.uint8).reshape(shape)

    def test_dicom_segmentations(self):
        for name in ("CT", "MR_T1", "PET", "multi_frame", "colour", "one_slice"):
            with self.subTest(name):
                files, expected = self.series(name)
                self.assertGreater(len(np.unique(expected)), 2)
                check_seg(self.folder / f"{name}.dcm", files, expected)

    def test_background_is_an_object_too(self):
        files, expected = self.series("CT")
        check_seg(self.folder / "background.dcm", files, np.zeros_like(expected))

    def test_the_checker_sees_errors(self):
        files, expected = self.series("CT")
        wrong = expected.copy()
        wrong[1, 2, 3] ^= 1
        with self.assertRaises(AssertionError):
            check_seg(self.folder / "CT.dcm", files, wrong)
        data = pydicom.dcmread(self.folder / "CT.dcm")
        del data.SegmentSequence[0].SegmentAlgorithmType
        data.save_as(self.folder / "broken.dcm")
        self.assertTrue(dciodvfy_errors(self.folder / "broken.dcm"))

    def test_nifti_lies_where_its_image_lies(self):
        images = sorted(self.folder.glob("*_image.nii"))
        self.assertEqual(len(images), 8)
        for path in images:
            with self.subTest(path.name):
                image, labels = nibabel.load(path), nibabel.load(path.with_name(path.name.replace("_image.nii", "_labels.nii.gz")))
                np.testing.assert_array_equal(labels.affine, image.affine)  # bit for bit
                self.assertEqual(labels.shape, image.shape[:3])
                for codes in ("get_qform", "get_sform"):
                    mine, theirs = getattr(labels, codes)(coded=True), getattr(image, codes)(coded=True)
                    self.assertEqual(mine[1], theirs[1])
                    if theirs[1] > 0:
                        np.testing.assert_array_equal(mine[0], theirs[0])
                self.assertEqual(labels.header.get_xyzt_units(), image.header.get_xyzt_units())
                self.assertEqual(labels.get_data_dtype(), np.uint8)
                self.assertEqual(labels.header.get_intent()[0], "label")
                self.assertEqual(labels.header["descrip"].item(), b"vmae label map")
                for field in ("data_type", "db_name", "aux_file", "intent_name"):
                    self.assertEqual(labels.header[field].item(), b"")
                self.assertEqual(len(labels.header.extensions), 0)
                self.assertEqual(set(np.unique(np.asarray(labels.dataobj))), {0, 1, 2, 3})

    def test_nifti_of_a_dicom_series(self):
        files, expected = self.series("CT")
        labels = nibabel.load(self.folder / "CT.nii.gz")
        np.testing.assert_array_equal(np.asarray(labels.dataobj).transpose(2, 1, 0), expected)
        np.testing.assert_allclose(labels.get_qform(), labels.get_sform(), atol=1e-4)
        for z, file in enumerate(files):
            source = pydicom.dcmread(file)
            position = np.array(source.ImagePositionPatient, float) * (-1, -1, 1)  # LPS to RAS
            np.testing.assert_allclose(labels.affine @ (0, 0, z, 1), [*position, 1], atol=1e-3)
            step = np.array(source.ImageOrientationPatient[:3], float) * (-1, -1, 1) * source.PixelSpacing[1]
            np.testing.assert_allclose(labels.affine[:3, 0], step, atol=1e-5)


if __name__ == "__main__":
    unittest.main()
