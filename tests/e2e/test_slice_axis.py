# SPDX-License-Identifier: Apache-2.0
"""slice_axis = auto: one axis for all volumes of a dataset, the same in prepare, training and prediction."""
import json
import unittest

import numpy as np

from evaluating import EvalTest, write_map
from finetuning import HIPPOCAMPUS, SWIN, TRAIN, metadata
from finetuning import best as best_of

FEW = [one for one in TRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]


class SliceAxisTest(EvalTest):
    def make(self, folder, shapes, spacing=(1, 1, 1)):
        for i, shape in enumerate(shapes):
            labels = np.zeros(shape, np.uint8)
            labels[2:8, 2:8, 2:8] = 1
            write_map(self.tmp / folder / f"images/c{i}.nii.gz", labels * 90 + i, spacing)
            write_map(self.tmp / folder / f"labels/c{i}.nii.gz", labels, spacing)

    def trained_axis(self, data):
        done = self.vmae("finetune-seg", *SWIN, *FEW, f"data.train={data}", "run.dir=run", "--overwrite")
        return json.loads(metadata(best_of(self.tmp / "run"))["image_options"])["slice_axis"], done.stderr

    def test_isotropic_volumes_of_several_shapes(self):
        # Squarest slices: of the first four perpendicular to y, of the others to x.
        self.make("data", [(24, 16, 24)] * 4 + [(14, 24, 24)] * 3)
        axis, log = self.trained_axis("data")
        self.assertEqual(axis, "y")
        self.assertIn("slices are cut along y, the coarsest axis or one of several as coarse in ", log)
        done = self.vmae("prepare", "--input", "data", "--output", "prepared")
        self.assertIn("slices of volumes are cut along y, the coarsest axis or one of several as coarse in 7 of 7 volumes", done.stderr)
        self.assertIn(f"prepared {4 * 16 + 3 * 24} slices of 7 cases", done.stderr)
        self.vmae("predict", "--weights", "run", "--input", "data/images/c6.nii.gz", "--output", "out", "--threads", "1")
        self.assertEqual(json.loads((self.tmp / "out/predict.json").read_text())["options"]["slice_axis"], "y")

    def test_the_coarsest_axis_of_most(self):
        self.make("data", [(20, 20, 12)] * 4, (1, 1, 3))
        for i in (4, 5):  # and two that were acquired otherwise
            labels = np.zeros((12, 20, 20), np.uint8)
            labels[2:8, 2:8, 2:8] = 1
            write_map(self.tmp / f"data/images/c{i}.nii.gz", labels * 90, (3, 1, 1))
            write_map(self.tmp / f"data/labels/c{i}.nii.gz", labels, (3, 1, 1))
        axis, log = self.trained_axis("data")
        self.assertEqual(axis, "z")

    def test_flat_images_keep_their_own(self):
        self.make("data", [(24, 16, 24)] * 3)
        for i in (7, 8):
            write_map(self.tmp / f"data/images/c{i}.nii.gz", np.ones((24, 16, 1), np.uint8) * 50, (1, 1, 1))
            write_map(self.tmp / f"data/labels/c{i}.nii.gz", np.ones((24, 16, 1), np.uint8), (1, 1, 1))
        done = self.vmae("prepare", "--input", "data", "--output", "prepared")
        self.assertIn("in 3 of 3 volumes", done.stderr)
        self.assertIn(f"prepared {3 * 16 + 2} slices of 5 cases", done.stderr)

    def test_hippocampus(self):
        done = self.vmae("prepare", "--input", HIPPOCAMPUS, "--output", "prepared", "--dry-run")
        self.assertRegex(done.stderr, r"slices of volumes are cut along y, the coarsest axis or one of several as coarse in 60 of 60 volumes")


if __name__ == "__main__":
    unittest.main()
