# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning that is killed or stopped and resumed ends as if nothing had happened, bit for bit; folds one by one, all together, and resumed."""
import json
import shutil
import unittest

import numpy as np
from PIL import Image

from finetuning import SWIN, TRAIN, FinetuneTest, best, last, make_class_manifest, make_segmentation, trained
from harness import SIGKILL, SIGTERM, at_point, checkpoint_step, last_step, metrics, point_library, read_safetensors


class SameRun(FinetuneTest):
    def assert_same_finetuning(self, first, second):
        for name in ("best.safetensors", "last.safetensors"):
            self.assert_same_checkpoint(first / "checkpoints" / name, second / "checkpoints" / name)
        self.assert_same_metrics(first, second)
        for folder in ("samples", "external_test"):
            files = sorted(str(p.relative_to(first)) for p in (first / folder).rglob("*") if p.is_file())
            self.assertEqual(files, sorted(str(p.relative_to(second)) for p in (second / folder).rglob("*") if p.is_file()))
            for name in files:
                self.assertEqual((first / name).read_bytes(), (second / name).read_bytes(), name)
        self.assert_no_leftovers(second)


@unittest.skipUnless(point_library(), "needs a C compiler")
class ResumeTest(SameRun):
    """6 pictures train in batches of 4 by micro-batches of 2, so 2 steps an epoch; everything random is on."""
    OPTIONS = ["train.batch_size=4", "train.micro_batch=2", "train.epochs=6", "train.save_every_steps=1", "train.draw_every=2", "model.drop_path_rate=0.3",
               "optim.layer_decay=0.8", "optim.clip_grad_norm=5", "data.test=test"]

    def make_data(self, command, folder):
        if command == "finetune-seg":
            make_segmentation(folder / "data", 8)
        else:
            make_class_manifest(folder / "data", (3, 3, 2))
        make_segmentation(folder / "other", 2, first=50)
        (folder / "other/images").rename(folder / "test")

    def check(self, command, *more):
        reference, work = self.tmp / "reference", self.tmp / "work"
        from finetuning import SWIN, TRAIN
        arguments = [*SWIN, *TRAIN, *self.OPTIONS, "data.train=" + ("data" if command == "finetune-seg" else "data/list.csv"), "run.dir=run",
                     f"model.init={trained('mae')}", *more]
        for folder in (reference, work):
            self.make_data(command, folder)
        self.vmae(command, *arguments, cwd=reference)
        tensors = len(read_safetensors(last(reference / "run"))[0])
        stops = [(SIGKILL, ("write", "metrics.jsonl", 3)), (SIGTERM, ("write", "metrics.jsonl", 2)), (SIGKILL, ("/pwrite", "last.safetensors", tensors * 3 // 2)),
                 (SIGTERM, ("+write", "metrics.jsonl", 3)), (SIGKILL, ("rename", "best.safetensors", 1))]
        steps = []
        for signal, point in stops:
            how = ["--resume"] if checkpoint_step(work / "run") is not None else ["--overwrite"]
            process = self.start(command, *how, *arguments, cwd=work, env=at_point(*point, signal))
            code = process.wait(120)
            if code != 0:  # no better epoch came: the last point is not always reached
                self.assertEqual(code, 75 if signal == SIGTERM else -SIGKILL, process.log.read_text()[-2000:])
            steps.append(checkpoint_step(work / "run"))
        self.assertGreater(steps[-1], steps[0])
        self.assertEqual(len(set(steps[:4])), 4, f"each attempt went on: {steps}")
        self.vmae(command, "--resume", *arguments, cwd=work)
        self.assertEqual(last_step(work / "run"), 12)
        self.assert_same_finetuning(reference / "run", work / "run")
        self.assertIn("predict.json", [p.name for p in (work / "run/external_test").iterdir()])

    def test_segmentation(self):
        self.check("finetune-seg", "data.foreground_share=0.5")

    def test_epochs_of_several_passes(self):
        self.check("finetune-seg", "train.steps_per_epoch=3", "train.epochs=4")

    def test_averaged_weights(self):
        self.check("finetune-seg", "optim.ema_decay=0.9")

    def test_classification(self):
        self.check("finetune-cls", "loss.label_smoothing=0.1")

    def test_averages_are_what_is_saved_and_measured(self):
        """The same training with averages and without; then one is resumed as the other."""
        make_segmentation(self.tmp / "data", 8)
        more = ["train.epochs=4", "train.keep_every=1"]
        for run, decay in (("plain", 0), ("averaged", 0.9)):
            self.seg(*more, f"optim.ema_decay={decay}", run=run)
        plain, averaged = self.tmp / "plain", self.tmp / "averaged"
        self.assertEqual([line["loss"] for line in metrics(plain, "train")], [line["loss"] for line in metrics(averaged, "train")])
        self.assertNotEqual([line["loss"] for line in metrics(plain, "val")], [line["loss"] for line in metrics(averaged, "val")])
        trained, saved = read_safetensors(last(plain))[0], read_safetensors(last(averaged))[0]
        keys = [key.removeprefix("optimizer.unaveraged.") for key in saved if key.startswith("optimizer.unaveraged.")]
        self.assertEqual(keys, [key.removeprefix("optimizer.exp_avg.") for key in saved if key.startswith("optimizer.exp_avg.")], "all that is trained")
        self.assertEqual([key for key in keys if trained[key] != saved["optimizer.unaveraged." + key]], [], "differ")
        kept = read_safetensors(averaged / "checkpoints/epoch=4.safetensors")[0]
        self.assertEqual([key for key in kept if kept[key] != saved[key]], [], "differ")
        self.assertEqual([key for key in keys if kept[key] == trained[key]], [], "are not averaged")
        for run, decay, said in ((plain, 0.9, "averaged from here on"), (averaged, 0, "averaged no more")):
            done = self.seg("--resume", *more, "train.epochs=5", f"optim.ema_decay={decay}", run=run.name)
            self.assertIn(f"weights are {said} (optim.ema_decay): the best epoch is looked for anew", done.stderr)
        again = {run: [line["loss"] for line in metrics(run, "train")] for run in (plain, averaged)}
        self.assertEqual(again[plain], again[averaged])

    def test_early_stop_counts_across_the_stop(self):
        """The best epoch is the first (the weights never change); three epochs later it ends, also if it was killed in between."""
        make_segmentation(self.tmp / "data", 8)
        more = ["train.epochs=20", "train.early_stop=3", "optim.lr=0", "optim.weight_decay=0", "train.save_every_steps=1"]
        self.seg(*more, run="reference")
        process = self.start("finetune-seg", *self.seg_arguments(*more), env=at_point("write", "metrics.jsonl", 5, SIGKILL))
        self.wait_exit(process, -SIGKILL)
        self.seg("--resume", *more)
        self.assertEqual([line["epoch"] for line in metrics(self.tmp / "run", "val")], [line["epoch"] for line in metrics(self.tmp / "reference", "val")])

    def test_test_predictions_are_those_of_the_best_weights_now(self):
        """Whatever was in the folder before: a run started over, or trained on."""
        make_segmentation(self.tmp / "data", 8), make_segmentation(self.tmp / "more", 2, first=50)
        options = ["data.test=more/images", "optim.lr=5e-3", "loss.balance=inverse_frequency"]
        for again in (["--resume", "train.epochs=10"], ["--overwrite", "train.epochs=10", "run.seed=4"]):
            with self.subTest(again):
                self.seg("--overwrite", "train.epochs=1", *options)
                first = (self.tmp / "run/external_test/case050.png").read_bytes()
                self.seg(*options, *again)
                self.predict("--overwrite", input="more/images", precision="auto")  # as after training
                self.assertEqual((self.out / "case050.png").read_bytes(), (self.tmp / "run/external_test/case050.png").read_bytes())
                self.assertNotEqual(first, (self.out / "case050.png").read_bytes())

    def seg_arguments(self, *more):
        from finetuning import SWIN, TRAIN
        return [*SWIN, *TRAIN, "data.train=data", "run.dir=run", *more]


class FoldTest(SameRun):
    """10 pictures, 5 folds: two in each test part."""

    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 10)
        self.vmae("split", "--input", "data", "--output", "splits.json")
        self.folds = json.loads((self.tmp / "splits.json").read_text())["folds"]
        self.names = [f"images/case{i:03d}.png" for i in range(10)]

    def folds_run(self, *more, **kw):
        return self.seg("data.splits=splits.json", "train.epochs=1", "data.classes=[round,square]", *more, **kw)

    def check_out_of_fold(self, run="run"):
        """Every case once, predicted by the model that has not seen it."""
        folder = f"{run}/out_of_fold"
        self.assertEqual(self.written(folder), [*self.names, "predict.json"])
        record = self.record(folder)
        self.assertEqual([fold["cases"] for fold in record["folds"]], [len(fold["test"]) for fold in self.folds])
        self.assertEqual(record["class_names"], ["round", "square"])
        for k, fold in enumerate(self.folds):
            for name in fold["test"]:
                self.assertEqual((self.tmp / folder / name).read_bytes(), (self.tmp / f"{run}/fold_{k}/test" / name).read_bytes())

    def test_one_fold(self):
        self.folds_run("--fold", "3")
        self.assertEqual(sorted(p.name for p in (self.tmp / "run").iterdir()), ["fold_3"])
        used = json.loads((self.tmp / "run/fold_3/splits.json").read_text())
        self.assertEqual({part: sorted(used[part]) for part in ("train", "val")}, {part: self.folds[3][part] for part in ("train", "val")})
        self.assertEqual(self.written("run/fold_3/test"), [*self.folds[3]["test"], "predict.json"])
        self.folds_run("data.fold=3", run="same")
        self.assertEqual(*(read_safetensors(best(self.tmp / run))[0] for run in ("run/fold_3", "same")))

    def test_a_fold_resumes_without_the_weights_that_it_began_from(self):
        """They may be gone, or others by now: a fold's own weights say what it is."""
        init, options = self.tmp / "init.safetensors", ["model.init=init.safetensors"]
        adopted = [option for option in SWIN if not option.startswith(("model.embed_dim", "model.num_heads", "model.window_size"))]

        def run(*more, **kw):
            return self.vmae("finetune-seg", *adopted, *TRAIN, "data.train=data", "run.dir=run", "data.splits=splits.json", "data.classes=[round,square]", *options,
                             *more, **kw)
        shutil.copy(last(trained("mae")), init)
        run("train.epochs=1", "--fold", "1")
        shutil.move(init, self.tmp / "elsewhere")
        run("train.epochs=2", "--fold", "1", "--resume")
        self.assertEqual(len(metrics(self.tmp / "run/fold_1", "val")), 2)
        self.assert_says(run("train.epochs=2", "--fold", "2", "--resume", expect=4), "init.safetensors")
        shutil.move(self.tmp / "elsewhere", init)
        run("train.epochs=1", "--fold", "all", "--overwrite")
        init.unlink()
        run("train.epochs=2", "--fold", "all", "--resume")
        self.assertEqual([len(metrics(self.tmp / f"run/fold_{k}", "val")) for k in range(5)], [2] * 5)
        self.check_out_of_fold()

    def test_all_folds_resumed(self):
        """Only fold 0 is finished: it is left alone, the others begin. Then all folds predict together, and each on its own."""
        self.folds_run("--fold", "all", run="reference")
        self.check_out_of_fold("reference")
        shutil.copytree(self.tmp / "reference", self.tmp / "run")
        shutil.rmtree(self.tmp / "run/out_of_fold")
        for k in (1, 2, 3, 4):
            shutil.rmtree(self.tmp / f"run/fold_{k}")
        untouched = last(self.tmp / "run/fold_0").stat().st_mtime_ns
        self.folds_run("--fold", "all", "--resume")
        self.assertEqual(last(self.tmp / "run/fold_0").stat().st_mtime_ns, untouched)
        for k in range(5):
            self.assertEqual(*(read_safetensors(best(self.tmp / run / f"fold_{k}"))[0] for run in ("reference", "run")))
        self.check_out_of_fold()

        self.predict("--probabilities", input="data/images/case000.png", output="all")
        self.assertEqual(len(self.record("all")["weights"]), 5)
        single = []
        for k in range(5):
            self.predict("--probabilities", weights=f"run/fold_{k}", input="data/images/case000.png", output=f"one{k}")
            single.append(np.asarray(Image.open(self.tmp / f"one{k}/probabilities/case000_round.png")).astype(float))
        together = np.asarray(Image.open(self.tmp / "all/probabilities/case000_round.png")).astype(float)
        self.assertLess(np.abs(np.mean(single, 0) - together).max(), 1.01, "the mean of the folds, to a grey level")
        self.assertGreater(max(np.abs(s - together).max() for s in single), 1.01, "folds differ")

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_all_folds_stopped_and_resumed(self):
        from finetuning import SWIN, TRAIN
        arguments = ["finetune-seg", *SWIN, *TRAIN, "data.train=data", "run.dir=run", "data.splits=splits.json", "data.classes=[round,square]", "train.epochs=2",
                     "train.save_every_steps=1", "--fold", "all"]
        self.wait_exit(self.start(*arguments, env=at_point("write", "fold_1/metrics.jsonl", 3, SIGTERM)), 75)
        self.assertFalse((self.tmp / "run/out_of_fold").exists())
        self.wait_exit(self.start(*arguments, "--resume", env=at_point("write", "fold_2/metrics.jsonl", 2, SIGKILL)), -SIGKILL)
        self.vmae(*arguments, "--resume")
        self.check_out_of_fold()
        for k in range(5):
            self.assertEqual(len(metrics(self.tmp / f"run/fold_{k}", "val")), 2)

    def test_usage(self):
        self.assert_says(self.seg("--fold", "1", expect=2), "data.splits", "vmae split")
        for fold in ("5", "-1", "some"):
            self.assert_says(self.folds_run("--fold", fold, expect=2), "folds 0 to 4")
        self.folds_run("--fold", "0")
        self.assert_says(self.folds_run("--fold", "0", expect=2), "--resume", "--overwrite")

    def test_classification_folds(self):
        """Tables of the folds one below the other, with one header; every case once."""
        make_class_manifest(self.tmp / "cls", (5, 5), names=("a,b", "c"))
        self.vmae("split", "--input", "cls/list.csv", "--output", "cls.json")
        self.cls("data.splits=cls.json", "train.epochs=1", "--fold", "all", data="cls/list.csv")
        table = self.table("cases.csv", "run/out_of_fold")
        self.assertEqual(sorted(table), [f"images/p{i:03d}" for i in range(10)])
        self.assertEqual(list(next(iter(table.values()))), ["case", "slices", "a,b", "c"])
        self.assertEqual(len(self.table("slices.csv", "run/out_of_fold")), 10)


if __name__ == "__main__":
    unittest.main()
