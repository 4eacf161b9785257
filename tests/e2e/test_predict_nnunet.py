# SPDX-License-Identifier: Apache-2.0
"""vmae predict with networks of nnU-Net: from the voxels of files to label maps and probabilities as its own predictor makes them (tests/golden/make_nnunet_inference.py)."""
import json
import shutil
import sys
import unittest

import nibabel
import numpy as np
import torch

from harness import GOLDEN, SOURCE, VmaeTest, write_safetensors

sys.path.insert(0, str(GOLDEN))
from transunet_oracle import drawn  # noqa: E402

WHOLE = json.loads((GOLDEN / "nnunet_inference.json").read_text())["whole"]


def image_of(shape, channel):
    """As the golden numbers' image_of()."""
    image = np.random.default_rng([7, channel]).integers(20, 230, shape)
    image[:, :3] = image[:, :, -4:] = 0
    return image


class PredictNnUnetTest(VmaeTest):
    def write_folds(self, row, **changes):
        metadata = {"model": "nnunet", "nnunet_plans": json.dumps(row["plans"]), "nnunet_dataset": json.dumps(row["dataset"])} | changes
        for fold in (0, 1):
            weights = {key: tensor.numpy() for key, tensor in drawn(row["shapes"], seed=11 + fold).items()}
            write_safetensors(self.tmp / f"{fold}.safetensors", weights, {key: value for key, value in metadata.items() if value is not None})

    def write_case(self, row, channels):
        (self.tmp / "in").mkdir(exist_ok=True)
        affine = np.diag([*row["spacing"][::-1], 1]) @ np.diag([-1, -1, 1, 1])
        for channel in range(channels):
            image = image_of(row["shape"], channel).T.astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(image, affine), self.tmp / f"in/case_{channel:04d}.nii.gz")
        return affine

    def predict(self, *more, expect=0):
        return self.vmae("predict", "--weights", "0.safetensors", "1.safetensors", "--input", "in", "--output", "out", "--precision", "fp32", *more, expect=expect)

    def test_as_nnunet(self):
        for name, row in WHOLE.items():
            with self.subTest(name):
                self.write_folds(row)
                affine = self.write_case(row, len(row["dataset"]["channel_names"]))
                self.predict("--overwrite", "--probabilities", "--overlays", "--batch", "5", *([] if row["mirror"] else ["--no-mirror"]))
                made = nibabel.load(self.tmp / "out/case.nii.gz")
                np.testing.assert_allclose(made.affine, affine)
                expected = np.array(list(row["numbers"]), int).reshape(row["shape"])
                self.assertLessEqual((np.asarray(made.dataobj).T != expected).mean(), 1e-3)
                self.assertTrue((self.tmp / "out/overlays/case.png").exists())

                names = [name for name, value in row["dataset"]["labels"].items() if value != 0]
                heads = [np.asarray(nibabel.load(self.tmp / f"out/probabilities/case_{name}.nii.gz").dataobj).T for name in names]
                if "regions_class_order" not in row["dataset"]:
                    heads.insert(0, 1 - sum(heads))
                np.testing.assert_allclose(np.stack(heads).ravel()[::13], row["probabilities"], atol=1e-5)

    def test_says_what_it_does_with_options(self):
        row = WHOLE["classes"]
        self.write_folds(row)
        self.write_case(row, 1)
        done = self.predict("--tiles", "always", "--no-mirror")
        for text in ("--tiles changes nothing", "without mirror images"):
            self.assertIn(text, done.stderr)
        self.write_folds(row, nnunet_mirror_axes="[]")
        self.assertIn("never saw any in training", self.predict("--mirror", "--overwrite").stderr)

    def test_takes_the_folder_of_nnunet(self):
        """All folds of it together, as if each were named."""
        row = WHOLE["classes"]
        self.write_folds(row)
        self.write_case(row, 1)
        self.predict()
        files = sorted(self.tmp.glob("*.safetensors"))
        for fold, file in enumerate(files):
            self.vmae("export", "--weights", file, "--output", f"one{fold}", "--nnunet")
            (self.tmp / f"model/fold_{fold}").mkdir(parents=True)
            [made] = (self.tmp / f"one{fold}").rglob("checkpoint_final.pth")
            made.rename(self.tmp / f"model/fold_{fold}/checkpoint_final.pth")
            shutil.copy(self.tmp / f"one{fold}/plans.json", self.tmp / "model")
            shutil.copy(self.tmp / f"one{fold}/dataset.json", self.tmp / "model")
        self.vmae("predict", "--weights", "model", "--input", "in", "--output", "of_folder", "--precision", "fp32")
        record = json.loads((self.tmp / "of_folder/predict.json").read_text())
        self.assertEqual([path.rsplit("/", 2)[-2] for path in record["weights"]], [f"fold_{i}" for i in range(len(files))])
        self.assertEqual((record["options"]["tiles"], record["options"]["slice_axis"]), ("always", "xyz"[2 - row["plans"]["transpose_forward"][0]]))
        written = list((self.tmp / "out").glob("*.nii.gz"))
        self.assertTrue(written)
        for path in written:
            self.assertEqual(path.read_bytes(), (self.tmp / "of_folder" / path.name).read_bytes())
        self.assertIn("2 folds of nnU-Net", self.vmae("inspect", "model").stdout)
        self.assertIn("model/fold_0/checkpoint_final.pth, or model/fold_1/checkpoint_final.pth", self.vmae("features", "--weights", "model", "--input", "in", "--output", "f.csv", expect=4).stderr)
        (self.tmp / "again/fold_2").mkdir(parents=True)  # a fold keeps its number on the way out and in again
        shutil.copy(self.tmp / "model/fold_1/checkpoint_final.pth", self.tmp / "again/fold_2")
        shutil.copy(self.tmp / "model/plans.json", self.tmp / "again")
        shutil.copy(self.tmp / "model/dataset.json", self.tmp / "again")
        self.vmae("export", "--weights", "again", "--output", "exported", "--nnunet")
        self.assertTrue((self.tmp / "exported/fold_2/checkpoint_final.pth").exists())
        (self.tmp / "again/fold_3").mkdir()
        self.assertIn("fold_3 left out: no checkpoint_final.pth", self.vmae("inspect", "again").stderr)
        (self.tmp / "again/fold_2/checkpoint_final.pth").unlink()
        self.assertIn("no checkpoint_final.pth in fold_2, fold_3", self.vmae("predict", "--weights", "again", "--input", "in", "--output", "x", expect=4).stderr)
        (self.tmp / "model/fold_all").mkdir()
        shutil.copy(self.tmp / "model/fold_0/checkpoint_final.pth", self.tmp / "model/fold_all")
        self.assertIn("holds fold_all and other folds", self.vmae("predict", "--weights", "model", "--input", "in", "--output", "x", expect=2).stderr)
        self.assertIn("--postprocessing is nope", self.predict("--postprocessing", "nope", "--overwrite", expect=3).stderr)

    def test_refuses_files_that_do_not_say_enough(self):
        row = WHOLE["classes"]
        self.write_case(row, 1)
        for changes, said in [({"nnunet_plans": None}, "no nnunet_plans"), ({"nnunet_dataset": None}, "no nnunet_dataset"), ({"nnunet_plans": "{}"}, "configurations"),
                              ({"nnunet_mirror_axes": "[2]"}, "nnunet_mirror_axes is [2]"), ({"nnunet_dataset": "no"}, "is not JSON"),
                              ({"nnunet_dataset": json.dumps({**row["dataset"], "labels": {"background": 0, "liver": 1}})}, "its labels need 2 outputs, but its network has 3"),
                              ({"nnunet_dataset": json.dumps({**row["dataset"], "channel_names": {"0": "a", "1": "b"}})}, "names 2 channels")]:
            with self.subTest(said):
                self.write_folds(row, **changes)
                self.assertIn(said, self.predict(expect=4).stderr)


class TrainedHereTest(VmaeTest):
    """tests/golden/make_nnunet_trained.py: trained by vmae, exported, predicted by nnU-Net."""
    MADE = GOLDEN / "nnunet_trained"

    def test_the_label_maps_are_those_of_nnunet(self):
        theirs = sorted(self.MADE.glob("*.nii.gz"))
        self.assertEqual(len(theirs), 3)
        for weights in ("weights.safetensors", "checkpoint_final.pth"):
            for path in theirs:
                (self.tmp / "in").mkdir(exist_ok=True)
                shutil.copy(SOURCE / "tests/data/hippocampus/images" / path.name, self.tmp / "in")
            self.vmae("predict", "--weights", self.MADE / weights, "--input", "in", "--output", "out", "--precision", "fp32", "--overwrite")
            for path in theirs:
                expected, made = (np.asarray(nibabel.load(file).dataobj) for file in (path, self.tmp / "out" / path.name))
                self.assertLess((made != expected).mean(), 1e-4, path.name)
                truth = np.asarray(nibabel.load(SOURCE / "tests/data/hippocampus/labels" / path.name).dataobj)
                for label in (1, 2):
                    self.assertGreater(2 * ((made == label) & (truth == label)).sum() / ((made == label).sum() + (truth == label).sum()), 0.5, "it has learnt something")

    def test_the_export_is_what_nnunet_has_read(self):
        self.vmae("export", "--weights", self.MADE / "weights.safetensors", "--output", "model", "--nnunet")
        made, read = (torch.load(path, weights_only=False) for path in (self.tmp / "model/fold_0/checkpoint_final.pth", self.MADE / "checkpoint_final.pth"))
        self.assertEqual(list(made["network_weights"]), list(read["network_weights"]))
        for key, value in read["network_weights"].items():
            self.assertTrue(torch.equal(made["network_weights"][key], value), key)
        self.assertEqual(made["init_args"], read["init_args"])


if __name__ == "__main__":
    unittest.main()
