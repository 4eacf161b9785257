# SPDX-License-Identifier: Apache-2.0
"""What every network of finetune-seg can do (docs/architecture.md, "Where the next pieces fit"): bf16 and averaged weights, micro-batches, resumption, ranks, folds, export, tiles and mirrors, DICOM in and SEG out."""
import json
import re
import unittest

import numpy as np

from dicom_files import write_ct_series
from finetuning import SWIN, FinetuneTest, last, make_segmentation, metadata
from harness import SIGTERM, at_point, metrics, point_library, weights_of
from test_nnunet import NNUNET, small_plan
from test_transunet import SMALL

TRAIN = ["data.val_fraction=0.25", "train.batch_size=4", "train.epochs=2", "train.steps_per_epoch=3", "train.log_every=1", "run.threads=1", "data.workers=2"]
SWIN_UNET = [*SWIN, "recipe=paper", "optim.warmup_epochs=0"]
UNET = ["model.name=unet", "model.image_size=[32,32]", "model.in_channels=1", "model.features=[4,8,8]", "recipe=paper", "optim.warmup_epochs=0"]
TRANSUNET = [*SMALL, "model.image_size=[32,32]", "recipe=paper", "optim.warmup_epochs=0"]


class Contract:
    """Each test for a network of its own class below."""

    def train(self, *more, run="run", data="data", **kw):
        return self.vmae("finetune-seg", *self.network(), *TRAIN, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def weights(self, run="run"):
        return weights_of(last(self.tmp / run))

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
        process = self.start("finetune-seg", *self.network(), *TRAIN, "data.train=data", "run.dir=parts/run", "train.save_every_steps=1",
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

    def test_weights_go_out_and_come_in(self):
        self.train()
        self.vmae("export", "--weights", "run", "--output", "run.pth")
        self.predict(input="data/images", output="a")
        self.predict(weights="run.pth", input="data/images", output="b")
        for path in (self.tmp / "a").rglob("*.png"):
            self.assertEqual(path.read_bytes(), (self.tmp / "b" / path.relative_to(self.tmp / "a")).read_bytes(), path.name)
        self.assertEqual(metadata(last(self.tmp / "run"))["model"], self.name)
        self.train("model.init=run", run="second", expect=0 if self.takes_init else 2)
        self.vmae("inspect", "run")

    def test_any_size_of_picture(self):
        self.train()
        make_segmentation(self.tmp / "large", 1, height=150, width=61)
        make_segmentation(self.tmp / "small", 1, height=20, width=24)
        for name in ("large", "small"):
            self.predict(input=f"{name}/images", output=name + "_out")
        self.predict("--mirror", "--probabilities", "--overlays", input="large/images", output="more")
        self.assertTrue(any(name.startswith("probabilities/") for name in self.written("more")))

    def test_dicom_in_and_out(self):
        self.train()
        write_ct_series(self.tmp / "ct", slices=3)
        self.predict(input="ct")
        self.assertTrue(any(name.endswith(".dcm") for name in self.written()), self.written())
        self.assertEqual(json.loads((self.tmp / "out/predict.json").read_text())["failed"], [])


class SwinUnetTest(Contract, FinetuneTest):
    name, takes_init = "swin-unet", True

    def network(self):
        return SWIN_UNET


class UnetTest(Contract, FinetuneTest):
    name, takes_init = "unet", False

    def network(self):
        return UNET


class TransUnetTest(Contract, FinetuneTest):
    name, takes_init = "transunet", True

    def network(self):
        return TRANSUNET


class NnUnetTest(Contract, FinetuneTest):
    name, takes_init = "nnunet", True

    def network(self):
        return [*NNUNET, small_plan(self.vmae, "data", self.tmp)]


class ListTest(FinetuneTest):
    def test_every_network_is_held_to_the_contract(self):
        refused = self.vmae("finetune-seg", "model.name=none", "data.train=data", "run.dir=run", expect=2).stderr
        listed = re.search(r"model\.name = none: must be one of (.*)", refused)[1]
        self.assertEqual(set(listed.split(", ")), {kind.name for kind in Contract.__subclasses__()})


if __name__ == "__main__":
    unittest.main()
