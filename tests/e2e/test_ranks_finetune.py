# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning on several ranks follows one process: losses that are quotients over the batch, and metrics of all validation cases together."""
import numpy as np

from finetuning import SWIN, TRAIN, class_picture, hippocampus, make_class_manifest, make_segmentation
from harness import metrics
from PIL import Image
from ranks import RanksTest

COMMON = [*SWIN, *TRAIN, "data.workers=1"]


class FinetuneRanksTest(RanksTest):
    def runs(self, command, *more, sizes=(1, 2, 4)):
        for size in sizes:
            self.train(size, command, *COMMON, *more, f"run.dir=run{size}")
        return [self.tmp / f"run{size}" for size in sizes]

    def assert_same(self, runs, kind, tolerance, keys=None):
        first = metrics(runs[0], kind)
        self.assertGreater(len(first), 0)
        for run in runs[1:]:
            other = metrics(run, kind)
            self.assertEqual(len(other), len(first))
            for a, b in zip(first, other):
                for key in keys or [k for k in a if k not in ("kind", "step", "epoch")]:
                    self.assertLessEqual(abs(a[key] - b[key]), tolerance * max(1, abs(a[key])), f"{key}, step {a['step']}, {run.name}")
        return first[-1]

    def test_segmentation_with_dice_over_the_batch_and_class_weights(self):
        """21 training pictures in batches of 8 (the last of 5), 7 for validation."""
        make_segmentation(self.tmp / "data", 28)
        runs = self.runs("finetune-seg", "data.train=data", "train.epochs=4", "loss.class_weights=[0.2,1,3]", "data.foreground_share=0.5",
                         "optim.ema_decay=0.9")
        self.assert_same(runs, "train", 2e-4, ("loss", "grad_norm"))
        self.assert_same(runs, "val", 2e-2, ("Dice",))  # a pixel may fall on the other side of 0.5
        self.assert_same(runs, "val", 2e-4, ("loss",))

    def test_dice_of_all_cases_is_exact_for_equal_weights(self):
        """Volumes whose slices lie on several ranks, in a validation set that does not divide: with lr 0 the weights are the same, and every digit of Dice must be."""
        hippocampus(self.tmp / "data", count=4, slices=7)
        runs = self.runs("finetune-seg", "data.train=data", "train.epochs=1", "optim.lr=0", "optim.weight_decay=0", "train.batch_size=6")
        last = self.assert_same(runs, "val", 0, ("Dice", "Dice/1", "Dice/2"))
        self.assertGreater(last["Dice"], 0)
        self.assert_same(runs, "val", 1e-6, ("loss",))

    def test_dice_per_image_and_generalised(self):
        make_segmentation(self.tmp / "data", 14)
        runs = self.runs("finetune-seg", "data.train=data", "loss.batch_dice=false", "loss.dice=generalised", "loss.name=dice_focal", sizes=(1, 3))
        self.assert_same(runs, "train", 2e-4, ("loss", "grad_norm"))

    def test_classes(self):
        manifest = make_class_manifest(self.tmp / "data", (9, 8, 10), split=True)
        runs = self.runs("finetune-cls", f"data.train={manifest}", "train.epochs=3", "loss.class_weights=[1,2,0.5]", "loss.label_smoothing=0.1")
        self.assert_same(runs, "train", 2e-4, ("loss", "grad_norm"))
        self.assert_same(runs, "val", 1e-3)

    def test_findings_with_unknown_labels(self):
        """AUROC of all cases is exact for equal weights; entries without a label count nowhere, on whichever rank they are."""
        (self.tmp / "data/images").mkdir(parents=True)
        random, rows = np.random.default_rng(5), ["image,spot,other"]
        for i in range(25):
            kind = i % 3
            Image.fromarray(class_picture(i, kind)).save(self.tmp / f"data/images/p{i:02d}.png")
            rows.append(f"images/p{i:02d}.png,{'' if i % 4 == 1 else int(kind < 2)},{'' if i % 5 == 2 else random.integers(0, 2)}")
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        options = ["data.train=data/list.csv", "data.val_fraction=0.4", "loss.positive_weights=[2,0.5]"]
        runs = self.runs("finetune-cls", *options, "train.epochs=3")
        self.assert_same(runs, "train", 2e-4, ("loss", "grad_norm"))
        for run in runs:
            self.assertTrue((run / "checkpoints/best.safetensors").exists())
        self.runs("finetune-cls", *options, "train.epochs=1", "optim.lr=0", "optim.weight_decay=0", "--overwrite")
        last = self.assert_same(runs, "val", 0, ("AUROC", "accuracy"))
        self.assertGreater(last["AUROC"], 0)

    def test_the_test_part_is_predicted_once_all_ranks_end(self):
        make_segmentation(self.tmp / "data", 20)
        make_segmentation(self.tmp / "test", 3, first=50)
        log = self.train(2, "finetune-seg", *COMMON, "data.train=data", "data.test=test/images", "run.dir=run")
        self.assertEqual(log.count("predicting 3 test cases"), 1)
        self.assertTrue((self.tmp / "run/external_test/case050.png").exists())
        self.assert_no_orphans()
