# SPDX-License-Identifier: Apache-2.0
"""What every network of finetune-seg can do (docs/architecture.md, "Where the next pieces fit"): bf16 and averaged weights, micro-batches, resumption, ranks, folds, export, tiles and mirrors, DICOM in and SEG out."""
import json
import re
import shutil
import unittest

import nibabel
import numpy as np
import pydicom
from PIL import Image

from finetuning import NO_AUGMENTATION, STS001, SWIN, FinetuneTest, dice, last, make_segmentation, metadata, write_nifti
from harness import SIGTERM, at_point, metrics, point_library, weights_of
from test_nnunet import NNUNET, make_boxes, small_plan
from test_transunet import SMALL

TRAIN = ["data.val_fraction=0.25", "train.precision=fp32", "train.batch_size=4", "train.epochs=2", "train.steps_per_epoch=3", "train.log_every=1", "run.threads=1", "data.workers=2"]
SWIN_UNET = [*SWIN, "recipe=paper", "optim.warmup_epochs=0"]
UNET = ["model.name=unet", "model.image_size=[32,32]", "model.in_channels=1", "model.features=[4,8,8]", "recipe=paper", "optim.warmup_epochs=0"]
TRANSUNET = [*SMALL, "model.image_size=[32,32]", "recipe=paper", "optim.warmup_epochs=0"]


class Contract:
    """Each test for a network of its own class below."""

    def train(self, *more, run="run", data="data", **kw):
        return self.vmae("finetune-seg", *self.network(data), *TRAIN, f"data.train={data}", f"run.dir={run}", *more, **kw)

    keeps_best = True  # its best epoch's weights, not the last
    quick_training = ["optim.name=adamw", "optim.lr=1e-2"]  # these networks learn something in some dozen steps
    for_few_pixels = ["train.epochs=40", "loss.balance=inverse_frequency", *NO_AUGMENTATION]  # and this helps with a small structure

    def weights(self, run="run"):
        return weights_of(last(self.tmp / run))

    def assert_weights_are_equal(self, first, second):
        theirs = self.weights(second)
        for key, value in self.weights(first).items():
            np.testing.assert_array_equal(theirs[key], value, key)

    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 10)

    def test_bf16_and_averages(self):
        self.train("train.precision=bf16", "optim.ema_decay=0.9")
        for key, value in self.weights().items():
            self.assertTrue(np.isfinite(value).all(), key)
        self.predict(input="data/images", precision="bf16")
        self.assertEqual(len([name for name in self.written() if name.endswith(".png")]), 10)

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_stops_and_goes_on(self):
        self.train("train.save_every_steps=1", run="whole/run")
        process = self.start("finetune-seg", *self.network("data"), *TRAIN, "data.train=data", "run.dir=parts/run", "train.save_every_steps=1",
                             env=at_point("write", "metrics.jsonl", 3, SIGTERM))
        self.assertEqual(process.wait(120), 75, process.log.read_text()[-2000:])
        self.train("train.save_every_steps=1", "--resume", run="parts/run")
        self.assert_same_checkpoint(last(self.tmp / "whole/run"), last(self.tmp / "parts/run"), ignore_config=True)

    def test_two_ranks_are_one_process(self):
        for size in ("1", "2"):
            self.train("--nproc-per-node", size, run=f"run{size}")
        alone, both = (metrics(self.tmp / f"run{size}", "train") for size in (1, 2))
        self.assertEqual(len(alone), 6)
        for a, b in zip(alone, both, strict=True):
            for key in ("loss", "grad_norm"):
                self.assertLessEqual(abs(a[key] - b[key]), 1e-3 * max(1, abs(a[key])), f"{key} step {a['step']}")

    def test_folds_have_each_case_once(self):
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=5fold")
        self.train("data.splits=splits.json", "--fold", "all")
        self.vmae("eval", "--run", "run", "--output", "report", "--no-distances")
        self.assertEqual(sorted(p.name for p in (self.tmp / "run/out_of_fold").rglob("*.png")), [f"case{i:03d}.png" for i in range(10)])

    def test_a_fraction_of_nnunets_folder_and_its_numbers(self):
        """Volumes with an ignore label; half of the labels; what was predicted of the test part lies on the grid of its file, and eval's Dice is NumPy's."""
        make_boxes(self.tmp / "volumes", (1, 2), count=10, ignored=3, labels={"background": 0, "outer": 1, "inner": 2, "ignore": 3})
        self.vmae("split", "--input", "volumes", "--output", "splits.json", "split.scheme=60/20/20", "split.fractions=[50]")
        self.train("data.splits=splits.json", "data.label_fraction=50", *self.quick_training, "train.epochs=8", data="volumes")
        self.assertEqual({part: len(names) for part, names in json.loads((self.tmp / "run/splits.json").read_text()).items()}, {"train": 3, "val": 2, "test": 2})
        self.vmae("eval", "--run", "run", "--output", "report", "--no-distances")
        found, files = self.dice_of_report(), list((self.tmp / "run/test").rglob("*.nii.gz"))
        self.assertEqual((len(found), len(files)), (2 * 2, 2))
        for path in files:
            name = path.name.removesuffix(".nii.gz")
            predicted, image, mask = (nibabel.load(one) for one in (path, self.tmp / f"volumes/imagesTr/{name}_0000.nii.gz", self.tmp / f"volumes/labelsTr/{name}.nii.gz"))
            np.testing.assert_array_equal(predicted.affine, image.affine)
            labels, truth = (np.asarray(one.dataobj) for one in (predicted, mask))
            self.assertEqual(labels.shape, truth.shape)
            self.assertLessEqual(set(np.unique(labels)), {0, 1, 2})
            for number, kind in ((1, "outer"), (2, "inner")):
                self.assertAlmostEqual(found[name, kind], dice(*(volume[truth != 3] == number for volume in (labels, truth))), places=9)
        self.assertGreater(max(found.values()), 0.3)

    def test_prepared_data_are_the_files(self):
        self.vmae("prepare", "prepare.intensity=native", "--input", "data", "--output", "prepared")
        for data in ("data", "prepared"):
            self.train("data.val_fraction=0", "train.max_steps=3", data=data, run=f"run-{data}")
            self.predict(*(["--source", "data"] if data == "prepared" else []), weights=f"run-{data}", input=data, output=f"out-{data}")
        self.assert_weights_are_equal("run-data", "run-prepared")
        maps = [{path.name: np.asarray(Image.open(path)) for path in (self.tmp / f"out-{data}").rglob("*.png")} for data in ("data", "prepared")]
        self.assertEqual((len(maps[0]), len(maps[1])), (10, 10))
        for name, labels in maps[0].items():
            np.testing.assert_array_equal(maps[1][name], labels, name)

    def test_weights_go_out_and_come_in(self):
        trained = self.train()
        self.vmae("export", "--weights", "run", "--output", "run.pth")
        self.predict(input="data/images", output="a")
        self.predict(weights="run.pth", input="data/images", output="b")
        for path in (self.tmp / "a").rglob("*.png"):
            self.assertEqual(path.read_bytes(), (self.tmp / "b" / path.relative_to(self.tmp / "a")).read_bytes(), path.name)
        self.assertEqual(metadata(last(self.tmp / "run"))["model"], self.name)
        self.assertEqual((self.tmp / "run/checkpoints/best.safetensors").exists(), self.keeps_best)
        self.assertEqual(", best Dice" in trained.stderr and " in epoch " in trained.stderr, self.keeps_best)
        self.train("model.init=run", run="second", expect=0 if self.takes_init else 2)
        self.vmae("inspect", "run")

    def test_keys_of_other_networks_are_named(self):
        """In a warning; with nnU-Net, whose plan decides, they end the run. Its own keys are in neither."""
        others = {"swin-unet": "model.features", "unet": "model.stem_units", "transunet": "model.features", "nnunet": "model.stem_units"}[self.name]
        value = "[16, 32]" if others == "model.features" else "[1, 1, 2]"
        short = ["train.epochs=1", "train.max_steps=1"]
        is_refused = self.name == "nnunet"
        done = self.train(f"{others}={value}", *short, expect=2 if is_refused else 0)
        self.assertRegex(done.stderr, f"means nothing.*" if not is_refused else f"{others} = .* means nothing to model.name = nnunet")
        self.assertIn(f"{others} = {value}", done.stderr)
        own = self.train(*short, "--overwrite")
        self.assertNotIn("means nothing", own.stderr)

    def test_any_size_of_picture(self):
        self.train()
        make_segmentation(self.tmp / "large", 1, height=150, width=61)
        make_segmentation(self.tmp / "small", 1, height=20, width=24)
        for name in ("large", "small"):
            self.predict(input=f"{name}/images", output=name + "_out")
        self.predict("--mirror", "--probabilities", "--overlays", input="large/images", output="more")
        self.assertTrue(any(name.startswith("probabilities/") for name in self.written("more")))

    def test_dicom_in_and_out(self):
        """Learns the contours of an RTSTRUCT; the SEG holds what the same voxels give as NIfTI; a network reads the SEG in turn."""
        series = STS001 / "CT/image"
        shutil.copytree(STS001 / "CT", self.tmp / "ct")
        self.train("data.val_fraction=0", "data.classes=[tumour]", *self.quick_training, *self.for_few_pixels, data="ct")
        self.predict(input=series)
        (seg,) = (self.tmp / "out").rglob("*.dcm")
        data = pydicom.dcmread(seg)
        self.assertEqual([one.SegmentLabel for one in data.SegmentSequence], ["tumour"])
        slices = sorted((pydicom.dcmread(path) for path in series.iterdir()), key=lambda one: float(one.ImagePositionPatient[2]))
        volume = np.stack([one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices], -1).transpose(1, 0, 2)
        write_nifti(self.tmp / "ct.nii.gz", volume, np.diag([*map(float, slices[0].PixelSpacing[::-1]), float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2]), 1]), np.float32)
        (self.tmp / "list.csv").write_text("image,modality\nct.nii.gz,CT\n")
        self.predict(input="list.csv", output="plain")
        labels = np.asarray(nibabel.load(self.tmp / "plain/ct.nii.gz").dataobj)
        self.assertEqual(int(labels.sum()), int(data.pixel_array.sum()))
        self.assertGreater(labels.mean(), 0.001)
        (self.tmp / "ct/RS.dcm").unlink()
        shutil.copy(seg, self.tmp / "ct/seg.dcm")
        self.train("data.val_fraction=0", "data.classes=[tumour]", "train.max_steps=2", data="ct", run="from_seg")
        self.assertTrue(np.isfinite([line["loss"] for line in metrics(self.tmp / "from_seg", "train")]).all())


class SwinUnetTest(Contract, FinetuneTest):
    name, takes_init = "swin-unet", True

    def network(self, data):
        return SWIN_UNET


class UnetTest(Contract, FinetuneTest):
    name, takes_init = "unet", False

    def network(self, data):
        return UNET


class TransUnetTest(Contract, FinetuneTest):
    name, takes_init = "transunet", True

    def network(self, data):
        return TRANSUNET


class NnUnetTest(Contract, FinetuneTest):
    name, takes_init = "nnunet", True
    keeps_best = False
    for_few_pixels = ["train.epochs=40"]  # its loss and its augmentation are given

    def network(self, data):
        return [*NNUNET, small_plan(self.vmae, data, self.tmp)]


class ListTest(FinetuneTest):
    def test_every_network_is_held_to_the_contract(self):
        refused = self.vmae("finetune-seg", "model.name=none", "data.train=data", "run.dir=run", expect=2).stderr
        listed = re.search(r"model\.name = none: must be one of (.*)", refused)[1]
        self.assertEqual(set(listed.split(", ")), {kind.name for kind in Contract.__subclasses__()})


if __name__ == "__main__":
    unittest.main()
