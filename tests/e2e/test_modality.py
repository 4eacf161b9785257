# SPDX-License-Identifier: Apache-2.0
"""data.modality and prepare.modality: CT in files that do not say what they are is windowed where it is said, or where the values leave no doubt."""
import json
import unittest

import nibabel
import numpy as np
import pydicom
from PIL import Image

from finetuning import PRETRAIN, STS001, SWIN, TRAIN, FinetuneTest, best, metadata
from harness import metrics
from test_prepared_bytes import read_dataset

ONE = [one for one in PRETRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]


def ct(seed, shape=(40, 36, 4)):
    """Air around a body of fat, soft tissue and bone, with lungs; whole Hounsfield units."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:shape[0] * 1j, -1:1:shape[1] * 1j]
    radius = np.hypot(x, y)[..., None].repeat(shape[2], -1)
    hu = np.where(radius > 0.8, -1000.0, np.where(radius > 0.7, -90.0, 45.0))
    hu[np.hypot(x - 0.3, y)[..., None].repeat(shape[2], -1) < 0.2] = -820
    hu[np.hypot(x + 0.4, y)[..., None].repeat(shape[2], -1) < 0.1] = 900
    return np.round(hu + random.normal(0, 12, shape)).clip(-1024, 3071)


def mr(seed, shape=(40, 36, 4)):
    return np.round(np.abs(ct(seed, shape) + 1000) * 0.6)


def filled(volume, value):
    volume = volume.copy()
    volume[:4], volume[-4:] = value, value
    return volume


def phase(seed):
    values = np.random.default_rng(seed).integers(-4096, 4096, (40, 36, 4)).astype(float)
    values[12:28, 10:26] = np.random.default_rng(seed).normal(0, 300, (16, 16, 4))
    return np.round(values)


# What is written, and whether it is taken as CT.
VARIANTS = {
    "plain": (lambda s: ct(s), np.int16, True),
    "float": (lambda s: ct(s) + 0.25, np.float32, True),
    "double": (lambda s: ct(s), np.float64, True),
    "filled -1024": (lambda s: filled(ct(s), -1024), np.int16, True),
    "filled -2000": (lambda s: filled(ct(s), -2000), np.int16, True),
    "filled -3024": (lambda s: filled(ct(s), -3024), np.int32, True),
    "clipped at -1000 and 1000": (lambda s: ct(s).clip(-1000, 1000), np.int16, True),
    "mr": (mr, np.int16, False),
    "mr float": (mr, np.float32, False),
    "mr standardised": (lambda s: (mr(s) - mr(s).mean()) / mr(s).std(), np.float32, False),
    "mr less 1000": (lambda s: np.abs(mr(s)) * 4 - 1000, np.int16, False),
    "shifted to 0": (lambda s: ct(s) + 1024, np.uint16, False),
    "windowed": (lambda s: ct(s).clip(-160, 240), np.int16, False),
    "lung alone": (lambda s: np.full((40, 36, 4), -820.0) + np.random.default_rng(s).normal(0, 20, (40, 36, 4)), np.float32, False),
    "no air": (lambda s: ct(s)[14:26, 14:20], np.int16, False),
    "phase": (phase, np.int16, False),
    "difference": (lambda s: np.round(np.random.default_rng(s).normal(0, 400, (40, 36, 4))), np.int16, False),
    "labels": (lambda s: (ct(s) > 0) * 3.0, np.uint8, False),
    "ratio": (lambda s: ct(s) / 1000, np.float32, False),
    "constant": (lambda s: np.full((40, 36, 4), -1000.0), np.int16, False),
}


def save(path, volume, dtype=np.int16, scaled=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(np.asarray(volume, dtype), np.diag([1, 1, 3, 1]))
    nibabel.save(image, path)


def rule_line(log):
    lines = [line for line in log.splitlines() if "intensity (data.intensity" in line]
    return lines[-1].split("): ", 1)[1]


class ModalityTest(FinetuneTest):
    def prepare(self, source, output="prepared", *more, **kw):
        salt = self.tmp / "salt.txt"
        salt.write_text("0123456789abcdef0123456789abcdef\n")
        done = self.vmae("prepare", "--input", source, "--output", output, "prepare.names=keep", f"prepare.salt_file={salt}", *more, **kw)
        return done.stderr

    def cases(self, output="prepared"):
        return {case["name"]: case for case in read_dataset(self.tmp / output)[0]}

    def pretrain(self, data, run, *more, **kw):
        return self.vmae("pretrain", *SWIN, *ONE, f"data.train={data}", f"run.dir={run}", *more, **kw).stderr

    def losses(self, run):
        return [m["loss"] for m in metrics(self.tmp / run, "train")]

    def test_the_guess(self):
        for name, (make, dtype, is_ct) in VARIANTS.items():
            with self.subTest(name):
                folder = name.replace(" ", "_")
                for i in range(2):
                    save(self.tmp / folder / f"v{i}.nii.gz", make(i), dtype)
                log = self.prepare(folder, f"of_{folder}")
                self.assertEqual("nothing says what 2 images are, but their values look like Hounsfield units: taken as CT. prepare.modality=CT says so" in log, is_ct, log)
                for case in self.cases(f"of_{folder}").values():
                    self.assertEqual((case["modality"], case["units"]), ("CT", 1) if is_ct else ("", 0))
                self.assertIn("window -160 to 240 HU on 2 cases (CT)" if is_ct else "percentiles 0.5 to 99.5 on 2 cases (modality not known)", log)

    def test_a_real_ct(self):
        """Of a PET/CT in DICOM, as other programs would convert it: CT, PET and MR in turn."""
        for what, is_ct in (("CT", True), ("PET", False), ("MR_T1", False)):
            slices = sorted((pydicom.dcmread(f) for f in (STS001 / what / "image").iterdir()), key=lambda s: float(s.ImagePositionPatient[2]))
            volume = np.stack([s.pixel_array * float(s.get("RescaleSlope", 1)) + float(s.get("RescaleIntercept", 0)) for s in slices], -1).transpose(1, 0, 2)
            save(self.tmp / what / "a.nii.gz", volume, np.float32)
            self.assertEqual("taken as CT" in self.prepare(what, f"of_{what}", "--dry-run"), is_ct, what)

    def test_other_formats(self):
        volume = ct(1).astype("<i2")
        raw = np.ascontiguousarray(volume.T).tobytes()
        (self.tmp / "in").mkdir()
        (self.tmp / "in/a.nrrd").write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 40 36 4\nendian: little\nencoding: raw\nspacings: 1 1 3\n\n" + raw)
        (self.tmp / "in/b.mha").write_bytes(b"ObjectType = Image\nNDims = 3\nDimSize = 40 36 4\nElementSpacing = 1 1 3\nElementType = MET_SHORT\n"
                                            b"ElementByteOrderMSB = False\nElementDataFile = LOCAL\n" + raw)
        Image.fromarray(volume[:, :, 0].astype(np.int32)).save(self.tmp / "in/c.tif", save_all=True,
                                                              append_images=[Image.fromarray(volume[:, :, z].astype(np.int32)) for z in range(1, 4)])
        log = self.prepare("in")
        self.assertIn("3 images are, but their values look like Hounsfield units: taken as CT", log)
        self.assertEqual({case["units"] for case in self.cases().values()}, {1})

    def test_some_of_them(self):
        """CT and MR in one folder: each is what its values say; pictures have nothing to do with it."""
        for i in range(3):
            save(self.tmp / f"in/p{i}_ct.nii.gz", ct(i))
            save(self.tmp / f"in/p{i}_mr.nii.gz", mr(i))
            Image.fromarray(ct(i)[:, :, 0].clip(0, 255).astype(np.uint8)).save(self.tmp / f"in/p{i}.png")
        log = self.prepare("in")
        self.assertIn("nothing says what 3 of 6 images are, but their values look like Hounsfield units: taken as CT. A manifest's column modality says what each of them is", log)
        self.assertEqual({name: case["modality"] for name, case in self.cases().items()},
                         {f"p{i}{end}": what for i in range(3) for end, what in ((".png", ""), ("_ct.nii.gz", "CT"), ("_mr.nii.gz", ""))})
        # Where all that is looked at is CT (8 of many), the one without air is taken as the others.
        for i in range(16):
            save(self.tmp / f"many/v{i:02}.nii.gz", ct(i) if i else ct(i)[14:26, 14:20])
        self.assertIn("16 images are, but", self.prepare("many", "many_prepared", "--dry-run"))

    def test_what_is_said(self):
        """By the user, a manifest, a dataset.json: no guess, no warning."""
        for i in range(2):
            save(self.tmp / f"in/v{i}.nii.gz", ct(i))
        (self.tmp / "mr.csv").write_text("image,modality\nin/v0.nii.gz,MR\nin/v1.nii.gz,MRI\n")
        (self.tmp / "half.csv").write_text("image,modality\nin/v0.nii.gz,MR\nin/v1.nii.gz,\n")
        for source, more, expected in (("in", ["prepare.modality=MR"], {"MR"}), ("in", ["prepare.modality=XR"], {"DX"}), ("in", ["prepare.modality=ct"], {"CT"}),
                                       ("mr.csv", [], {"MR"}), ("mr.csv", ["prepare.modality=CT"], {"MR"}), ("half.csv", ["prepare.modality=PET"], {"MR", "PT"})):
            log = self.prepare(source, "prepared", *more, "--overwrite")
            self.assertNotIn("Hounsfield", log)
            self.assertEqual({case["modality"] for case in self.cases().values()}, expected)
        for i in range(2):
            save(self.tmp / f"Dataset001_X/imagesTr/c{i}_0000.nii.gz", ct(i))
        for names, modality in (({"0": "CT"}, "CT"), ({"0": "T1"}, "MR")):
            (self.tmp / "Dataset001_X/dataset.json").write_text(json.dumps({"channel_names": names, "labels": {"background": 0, "a": 1}, "numTraining": 2, "file_ending": ".nii.gz"}))
            log = self.prepare("Dataset001_X", "prepared", "--overwrite")
            self.assertNotIn("Hounsfield", log)
            self.assertEqual({case["modality"] for case in self.cases().values()}, {modality})

    def test_the_window(self):
        for i in range(2):
            save(self.tmp / f"in/v{i}.nii.gz", ct(i))
        self.prepare("in", "prepared", "prepare.intensity=auto")
        cases, items = read_dataset(self.tmp / "prepared")
        for item in items:
            hu = ct(int(cases[item["case"]]["name"][1]))[:, :, item["slice"]].T
            np.testing.assert_array_equal(item["stored"][..., 0], np.rint(255 * ((hu + 160) / 400).clip(0, 1)))

    def test_pretraining_learns_from_the_same_numbers(self):
        """However CT is said: by values, data.modality, a manifest, a prepared dataset; and another modality is something else."""
        for i in range(4):
            save(self.tmp / f"in/v{i}.nii.gz", ct(i))
        rows = [f"in/v{i}.nii.gz" for i in range(4)]
        (self.tmp / "plain.csv").write_text("\n".join(["image", *rows]) + "\n")
        (self.tmp / "ct.csv").write_text("\n".join(["image,modality", *(row + ",CT" for row in rows)]) + "\n")
        warned = self.pretrain("plain.csv", "guessed")
        self.assertIn("nothing says what 4 images are, but their values look like Hounsfield units: taken as CT. data.modality=CT says so", warned)
        self.assertEqual(rule_line(warned), "window -160 to 240 HU on 4 files (CT)")
        said, told = self.pretrain("plain.csv", "said", "data.modality=CT"), self.pretrain("ct.csv", "told")
        for log in (said, told):
            self.assertNotIn("Hounsfield", log)
            self.assertEqual(rule_line(log), "window -160 to 240 HU on 4 files (CT)")
        self.assertEqual(rule_line(self.pretrain("plain.csv", "mr", "data.modality=MR")), "percentiles 0.5 to 99.5 on 4 files (MR)")
        self.assertEqual(rule_line(self.pretrain("plain.csv", "window", "data.intensity=window", "data.window=[-160,240]")), "window -160 to 240 on 4 files")
        losses = self.losses("guessed")
        self.assertTrue(losses)
        for run in ("said", "told", "window"):
            self.assertEqual(self.losses(run), losses, run)
        self.assertNotEqual(self.losses("mr"), losses)
        self.assertNotIn("Hounsfield", self.pretrain("plain.csv", "other", "data.intensity=percentile", "--dry-run"))
        self.assertIn("window -1000 to 400 HU on 4 files (CT)", self.pretrain("plain.csv", "other", "data.window=[-1000,400]", "--dry-run"))

    def test_a_prepared_dataset_that_does_not_say(self):
        for i in range(4):
            save(self.tmp / f"in/v{i}.nii.gz", ct(i).clip(-500, 1000))  # no air
        self.prepare("in", "unknown"), self.prepare("in", "known", "prepare.modality=CT")
        self.assertEqual({case["units"] for case in self.cases("unknown").values()}, {0})
        self.assertEqual(rule_line(self.pretrain("unknown", "a")), "percentiles 0.5 to 99.5 on 4 files (modality not known)")
        self.assertEqual(rule_line(self.pretrain("unknown", "b", "data.modality=CT")), "window -160 to 240 HU on 4 files (CT)")
        self.pretrain("known", "c")
        self.assertEqual(self.losses("b"), self.losses("c"))
        self.assertNotEqual(self.losses("a"), self.losses("b"))

    def segmentation(self, folder, make):
        for i in range(4):
            volume = make(i)
            save(self.tmp / folder / f"images/v{i}.nii.gz", volume)
            save(self.tmp / folder / f"labels/v{i}.nii.gz", volume > np.percentile(volume, 95), np.uint8)
        return folder

    def test_prediction_follows_training(self):
        self.segmentation("ct", ct), self.segmentation("mr", mr)
        # No air: alone, nothing would take it for CT.
        save(self.tmp / "part.nii.gz", ct(9)[8:32, 10:28])
        (self.tmp / "ct.csv").write_text("image,modality\npart.nii.gz,CT\n")
        (self.tmp / "mr.csv").write_text("image,modality\npart.nii.gz,MR\n")
        fine = [one for one in TRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]
        log = self.vmae("finetune-seg", *SWIN, *fine, "data.train=ct", "run.dir=run").stderr
        self.assertIn("taken as CT. data.modality=CT says so", log)
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["modalities"]), ["CT"])
        done = self.predict("--probabilities", input="part.nii.gz", output="out")
        self.assertIn("1 images do not say their modality: taken as CT", done.stderr)
        self.assertEqual(rule_line(done.stderr), "window -160 to 240 HU on 1 case (CT)")
        self.predict("--probabilities", input="ct.csv", output="told")
        self.predict("--probabilities", input="mr.csv", output="mr_out")
        read = lambda folder: np.asarray(nibabel.load(next((self.tmp / folder / "probabilities").glob("*.nii.gz"))).dataobj)
        np.testing.assert_array_equal(read("out"), read("told"))
        self.assertTrue((read("out") != read("mr_out")).any())
        # Of a model that learnt from what nobody knows, percentiles stay percentiles, whatever the values look like.
        self.vmae("finetune-seg", *SWIN, *fine, "data.train=mr", "run.dir=run2")
        done = self.predict(weights="run2", input="ct/images", output="out2")
        self.assertNotIn("Hounsfield", done.stderr)
        self.assertEqual(rule_line(done.stderr), "percentiles 0.5 to 99.5 on 4 cases (modality not known)")
        # Of a model that learnt from CT and something else, the values tell.
        self.vmae("finetune-seg", *SWIN, *fine, "data.train=[ct,mr]", "run.dir=run3")
        self.assertEqual(json.loads(metadata(best(self.tmp / "run3"))["modalities"]), ["", "CT"])
        for source, rule in (("ct/images", "window -160 to 240 HU on 4 cases (CT)"), ("mr/images", "percentiles 0.5 to 99.5 on 4 cases (modality not known)")):
            self.assertEqual(rule_line(self.predict("--overwrite", weights="run3", input=source, output="out3").stderr), rule)
        # What was said for some holds for what does not say it, although training had another modality besides.
        (self.tmp / "both.csv").write_text("\n".join(["image,mask,modality", *(f"{k}/images/v{i}.nii.gz,{k}/labels/v{i}.nii.gz,{m}" for k, m in (("ct", ""), ("mr", "MR")) for i in range(4))]) + "\n")
        log = self.vmae("finetune-seg", *SWIN, *fine, "data.train=both.csv", "data.modality=CT", "run.dir=run4").stderr
        self.assertEqual(rule_line(log), "percentiles 0.5 to 99.5 on 4 files (MR); window -160 to 240 HU on 4 files (CT)")
        self.assertEqual(rule_line(self.predict(weights="run4", input="part.nii.gz", output="out4").stderr), "window -160 to 240 HU on 1 case (CT)")

    def test_validation_is_taken_as_training(self):
        self.segmentation("ct", ct)
        self.segmentation("part", lambda i: ct(i)[8:32, 10:28])
        fine = [one for one in TRAIN if not one.startswith("data.val_fraction")]
        log = self.vmae("finetune-seg", *SWIN, *fine, "data.train=ct", "data.val=part", "run.dir=run", "--dry-run").stderr
        self.assertEqual(rule_line(log), "window -160 to 240 HU on 8 files (CT)")
        self.assertIn("nothing says what 4 images are", log)

    def test_weights_that_learnt_from_other_numbers(self):
        """Pretraining of volumes that nobody knew, fine-tuning of CT: a warning names both rules; none where they are the same."""
        self.segmentation("ct", ct)
        fine = [one for one in TRAIN if not one.startswith("train.epochs")] + ["train.epochs=1"]
        for run, more, warns in (("unknown", ["data.intensity=auto", "data.modality=MR"], True), ("known", [], False)):
            self.pretrain("ct/images", run, *more)
            log = self.vmae("finetune-seg", *SWIN, *fine, "data.train=ct", "run.dir=run", f"model.init={run}", "--dry-run").stderr
            self.assertEqual("intensities are scaled by window -160 to 240 HU now, but were by percentiles 0.5 to 99.5 for the weights of" in log, warns, log)

    def test_no_modality(self):
        save(self.tmp / "in/a.nii.gz", ct(1)), save(self.tmp / "in/b.nii.gz", ct(2))
        for text in ("TC", "tomography", "7", "C T"):
            done = self.vmae("pretrain", *SWIN, *ONE, "data.train=in", "run.dir=run", f"data.modality={text}", expect=2)
            self.assert_says(done, f"data.modality = {text} is not known", "give DICOM's code, as CT, MR, PT")
            self.assert_says(self.vmae("prepare", "--input", "in", "--output", "out", f"prepare.modality={text}", expect=2), f"prepare.modality = {text} is not known")

    def test_dicom_says_it_itself(self):
        log = self.prepare(STS001, "prepared", "prepare.modality=US")
        self.assertEqual({case["modality"] for case in self.cases().values()}, {"CT", "MR", "PT"})
        self.assertIn("window -160 to 240 HU on 1 case (CT)", log)
        (self.tmp / "list.csv").write_text(f"image\n{STS001 / 'CT/image'}\n{STS001 / 'PET/image'}\n")
        self.prepare("list.csv", "listed", "prepare.modality=US")
        self.assertEqual(sorted(case["modality"] for case in self.cases("listed").values()), ["CT", "PT"])


if __name__ == "__main__":
    unittest.main()
