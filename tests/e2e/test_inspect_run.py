# SPDX-License-Identifier: Apache-2.0
"""vmae inspect of a run: data, recipe, curve, machine, time; finished or not, and how it goes on."""
import json
import shutil
import unittest

import numpy as np

from finetuning import FinetuneTest, last, make_class_manifest, make_segmentation, metadata, trained
from harness import SIGKILL, SIGTERM, at_point, environment, make_pictures, metrics, point_library

LEVELS = "▁▂▃▄▅▆▇█"


class InspectRunTest(FinetuneTest):
    def inspect(self, path, *more, **kw):
        return self.vmae("inspect", path, *more, env=environment(VMAE_TORCH="/nowhere"), **kw).stdout

    def run_of(self, path):
        return json.loads(self.inspect(path, "--json"))["run"]

    def line(self, text, label):
        return next(line for line in text.splitlines() if line.startswith(f"  {label:<10}"))[12:]

    def test_segmentation(self):
        make_segmentation(self.tmp / "data", 12)
        self.seg("data.classes=[round,square]", "train.epochs=4", "optim.lr=0.0125", "optim.clip_grad_norm=2")
        text, run = self.inspect("run"), self.run_of("run")
        lines, val = metrics(self.tmp / "run", "train"), metrics(self.tmp / "run", "val")
        self.assertTrue(text.startswith("run: finetune-seg, recipe paper, finished: 4 of 4 epochs, step 8"), text)
        self.assertEqual(self.line(text, "data"), "training 9 images of 9 cases; validation 3 images of 3 cases")
        self.assertEqual(self.line(text, "classes"), "round, square")
        self.assertEqual(self.line(text, "from"), "data")
        recipe = " ".join(text[text.index("  recipe"):text.index("  loss")].split())
        self.assertIn("optim.lr=0.0125 (0.001)", recipe)
        self.assertIn("optim.clip_grad_norm=2 (", recipe)
        self.assertIn("train.epochs=4 (150)", recipe)
        for same in ("optim.min_lr", "run.dir", "data.train="):
            self.assertNotIn(same, recipe)
        self.assertEqual(run["differs"]["optim.lr"], {"value": "0.0125", "default": "0.001"})

        self.assertEqual(run["training_loss"]["values"], [line["loss"] for line in lines])
        self.assertEqual(run["validation"]["values"], [line["Dice"] for line in val])
        top = json.loads(metadata(last(self.tmp / "run"))["state"])["best_epoch"]
        self.assertEqual(run["validation"]["best"], {"epoch": top + 1, **{k: v for k, v in val[top].items() if k not in ("kind", "epoch")}})
        self.assertIn(f"Dice {val[top]['Dice']:.4g} in epoch {top + 1}, step {val[top]['step']}: Dice/round", self.line(text, "best"))
        spark = self.line(text, "loss").split()[0]
        losses = np.array([line["loss"] for line in lines])
        self.assertEqual(spark[losses.argmax()], LEVELS[-1])
        self.assertEqual(spark[losses.argmin()], LEVELS[0])
        self.assertEqual(len(spark), len(losses))

        env = json.loads((self.tmp / "run/env.json").read_text())
        self.assertEqual(self.line(text, "machine").split(", ")[0], env["host"])
        self.assertIn("fp32 on cpu", text)
        self.assertRegex(self.line(text, "time"), r"of training, [\d.e+]+ images/s, last checkpoint 20\d\d-\d\d-\d\d \d\d:\d\d UTC")
        self.assertNotIn("go on", text)
        self.assertNotIn("continue", run)
        self.assertIn("best.safetensors: weights", text)
        self.assertIn("keys:", self.inspect("run", "--keys"))

    def test_long_curves_are_drawn_short(self):
        make_segmentation(self.tmp / "data", 12)
        self.seg("train.epochs=2")
        values = [1 / (1 + i) for i in range(1000)]
        (self.tmp / "run/metrics.jsonl").write_text("".join(json.dumps({"kind": "train", "step": i + 1, "epoch": 0, "loss": v}) + "\n" for i, v in enumerate(values)))
        text = self.inspect("run")
        spark, rest = self.line(text, "loss").split(maxsplit=1)
        self.assertEqual((len(spark), spark[0], spark[-1], rest), (40, LEVELS[-1], LEVELS[0], "1 to 0.001"))
        self.assertLess(max(map(len, text.splitlines())), 140)

    def test_classification_and_pretraining(self):
        text = self.inspect(trained("cls"))
        self.assertIn("finetune-cls, recipe paper, finished: 6 of 6 epochs", text)
        self.assertEqual(self.line(text, "classes"), "down, none, up")
        self.assertIn(" in epoch ", self.line(text, "best"))
        text = self.inspect(trained("mae"))
        self.assertIn("pretrain, finished: 2 of 2 epochs", text)
        self.assertNotIn("best", [line.split()[0] for line in text.splitlines()], "it has no validation")

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_interrupted_and_begun(self):
        make_segmentation(self.tmp / "data", 12)
        arguments = ["train.epochs=3", "data.classes=[round,square]"]
        from finetuning import SWIN, TRAIN
        start = ["finetune-seg", *SWIN, *TRAIN, "data.train=data", "run.dir=run", *arguments]
        self.wait_exit(self.start(*start, env=at_point("rename", "last.safetensors", 1, SIGKILL)), -SIGKILL)
        text = self.inspect("run")
        self.assertIn("no checkpoint", text.splitlines()[0])
        self.assertEqual(self.line(text, "begin"), "vmae finetune-seg --config run/config.yaml")
        self.wait_exit(self.start(*start, "--overwrite", env=at_point("write", "metrics.jsonl", 4, SIGTERM)), 75)
        text = self.inspect("run")
        self.assertRegex(text, r"^run: finetune-seg, recipe paper, unfinished: 1 of 3 epochs, step 3\n")
        command = self.line(text, "go on")
        self.assertEqual(command, "vmae finetune-seg --config run/config.yaml --resume (if it is not running elsewhere)")
        self.vmae(*command.split(" (")[0].split()[1:])  # as it says
        self.assertIn("finished: 3 of 3 epochs", self.inspect("run"))

    def test_a_run_of_so_many_steps(self):
        make_segmentation(self.tmp / "data", 8)
        self.seg("train.max_steps=2", "train.epochs=50")
        self.assertRegex(self.inspect("run"), r"^run: finetune-seg, recipe paper, finished: step 2 of 2\n")
        self.seg("train.max_steps=1000", "train.epochs=1", "--overwrite")
        self.assertRegex(self.inspect("run"), r"^run: finetune-seg, recipe paper, finished: 1 of 1 epochs, step \d\n")

    def test_running(self):
        make_pictures(self.tmp / "images", 8)
        from finetuning import PRETRAIN, SWIN
        process = self.start("pretrain", *SWIN, *PRETRAIN, "data.train=images", "run.dir=run", "train.epochs=100000")
        self.wait_for(lambda: metrics(self.tmp / "run"), process, "a step")
        with open("/proc/locks") as file:
            is_listed = f":{(self.tmp / 'run/.lock').stat().st_ino} " in file.read()
        text = self.inspect("run")
        self.assertIn("running" if is_listed else "unfinished", text.splitlines()[0])
        process.send_signal(SIGTERM)
        self.wait_exit(process, 75)
        self.assertIn("unfinished", self.inspect("run").splitlines()[0])

    def test_folds(self):
        make_segmentation(self.tmp / "data", 10)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=kfold", "split.folds=2")
        self.seg("data.splits=splits.json", "train.epochs=2", "--fold", "0")
        text = self.inspect("run")
        self.assertIn("run: 1 of 2 folds", text)
        self.assertRegex(text, r"fold_0: finetune-seg, recipe paper, finished: 2 of 2 epochs, step \d+; best Dice [\d.e-]+ in epoch \d")
        found = json.loads(self.inspect("run", "--json"))["folds"][0]["run"]
        (self.tmp / "splits.json").rename(self.tmp / "elsewhere.json")
        self.assertIn("run: 1 fold\n", self.inspect("run"))
        self.assertEqual((found["state"], found["predictions"]["test"]["failed"]), ("finished", 0))
        self.assertIn(f"test ({found['predictions']['test']['cases']} cases predicted)", self.line(self.inspect("run/fold_0"), "results"))

    def test_what_is_damaged_is_passed_over(self):
        shutil.copytree(trained("seg"), self.tmp / "run")
        for name, content in (("env.json", b"{"), ("metrics.jsonl", b"\xff\x00\n[1]\n{}\n" + b"[" * 5000), ("config.yaml", b"a: ["), ("data_card/card.json", b"[]")):
            (self.tmp / "run" / name).write_bytes(content)
            self.assertIn("best.safetensors", self.inspect("run"), name)


if __name__ == "__main__":
    unittest.main()
