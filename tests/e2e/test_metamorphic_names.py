# SPDX-License-Identifier: Apache-2.0
"""The same content under other names, in every layout: file names mean nothing but which files belong together."""
import dataclasses
import unittest

import numpy as np
from PIL import Image

try:
    import metamorphic as m
except ImportError as missing:  # highdicom, tifffile
    raise unittest.SkipTest(str(missing))
from metamorphic_checks import MetamorphicTest, names

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


class NamesTest(MetamorphicTest):
    def cases(self):
        """On one grid: only names tell them apart."""
        cases = [m.make_case(50 + i, (16, 14, 2), spacing=(1, 1, 3)) for i in range(4)]
        return [dataclasses.replace(case, origin=(0, 0, 0)) for case in cases]

    def test_kinds_of_names(self):
        """Image and mask of the same ending, and of different ones."""
        cases = self.cases()
        losses = self.losses(self.pairs(cases, ".nrrd")[0])
        for kind, called in NAMES.items():
            # Predictions are named as `vmae predict` names them: `_0000` is cut off, and in folders the path counts.
            predicted = [name.removesuffix("_0000") for name in called]
            if kind == "folders":
                predicted = [f"images/{name}" for name in predicted]
            expected = self.expected_counts(cases, predicted)
            for ending, mask_ending in ((".nii.gz", ".nii.gz"), (".mha", ".nii")):
                with self.subTest(kind=kind, image=ending, mask=mask_ending):
                    source, kept = self.pairs(cases, ending, called, mask_ending=mask_ending)
                    self.assert_content(source, cases, kept)
                    if ending == ".nii.gz":
                        self.assert_losses(self.losses(source), losses)
                    predictions = self.predictions(cases, predicted, mask_ending)
                    self.assertEqual(self.counts(predictions, source, parts=9 if kind == "folders" else 1), expected)

    def test_endings_in_capitals(self):
        cases = self.cases()
        for ending in (".NII.GZ", ".Nii", ".NRRD", ".MHA", ".TIF", ".Tiff"):
            with self.subTest(ending=ending):
                source, kept = self.pairs(cases, ending)
                self.assert_content(source, cases, kept)

    def test_pictures(self):
        cases = [m.make_case(60 + i, (20, 17, 1)) for i in range(4)]
        for kind in ("UIDs", "dots", "endings of others", "letters of the world", "signs"):
            for ending in (".png", ".PNG"):
                with self.subTest(kind=kind, ending=ending):
                    source = self.new()
                    for case, name in zip(cases, NAMES[kind]):
                        for sub, plane in (("images", case.stored), ("masks", case.mask)):
                            (source / sub).mkdir(parents=True, exist_ok=True)
                            picture = Image.fromarray(np.ascontiguousarray(plane[..., 0].T))
                            picture.save(source / sub / f"{name}{ending}", "png")
                    self.assert_content(source, cases, [f"images/{name}{ending}" for name in NAMES[kind]])

    def write_layout(self, layout, cases, called):
        """-> the source, and the names of its cases."""
        source, order = self.new(), [2, 0, 3, 1]
        if layout == "nnunet":
            m.write_nnunet(source, cases, called, ".nii.gz")
            return source, [f"imagesTr/{name}_0000.nii.gz" for name in called]
        if layout == "decathlon":
            m.write_decathlon(source, cases, called, ".nii.gz", order=order)
            return source, [f"imagesTr/{name}.nii.gz" for name in called]
        m.write_pairs(source, cases, called, ".nii.gz", folders=("i", "m"))
        m.write_manifest(source, [(f"i/{called[i]}.nii.gz", f"m/{called[i]}.nii.gz") for i in order])
        return source, [f"i/{name}.nii.gz" for name in called]

    def test_layouts(self):
        cases = self.cases()
        losses = self.losses(self.pairs(cases, ".nrrd")[0])
        for kind in ("UIDs", "dots", "letters of the world", "blanks"):
            called = NAMES[kind]
            predictions, expected = self.predictions(cases, called), self.expected_counts(cases, called)
            for layout in ("nnunet", "decathlon", "manifest"):
                with self.subTest(kind=kind, layout=layout):
                    source, kept = self.write_layout(layout, cases, called)
                    self.assert_content(source, cases, kept)
                    if kind == "UIDs":
                        self.assert_losses(self.losses(source), losses)
                    self.assertEqual(self.counts(predictions, source), expected)

    def test_dicom_folders_and_files(self):
        """Files without an ending, in folders of any name."""
        cases = self.cases()

        def write(folder, images, case, key):
            m.write_seg(folder / "a seg.x", images, case, key)

        for kind in ("UIDs", "blanks", "letters of the world"):
            with self.subTest(kind=kind):
                source, _ = self.dicom(cases, write, NAMES[kind], name="1.2.3.{}")
                self.assert_content(source, cases, [f"{name}/1.2.3.0" for name in NAMES[kind]])

    def test_masks_by_the_name_alone(self):
        """The same masks under swapped names are other masks: the content follows the names, not the order of files."""
        cases, swapped = self.cases(), [1, 0, 3, 2]
        source, kept = self.pairs(cases, ".nii.gz")
        m.write_maps(source / "labels", [cases[i] for i in swapped], names(4), ".nii.gz")
        crossed = [dataclasses.replace(case, mask=cases[i].mask) for case, i in zip(cases, swapped)]
        self.assert_content(source, crossed, kept)


if __name__ == "__main__":
    unittest.main()
