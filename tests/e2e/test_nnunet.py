# SPDX-License-Identifier: Apache-2.0
"""nnU-Net trained on its plan: from files of several kinds, stopped and resumed, on ranks, in folds; what it predicts, and what it refuses."""
import json
import shutil
import unittest

import nibabel
import numpy as np
import pydicom
import torch
from PIL import Image

from dicom_files import write_ct_series
from finetuning import FinetuneTest, dice, hippocampus, last, make_segmentation, metadata, volume_of_pictures, write_nifti
from harness import SIGTERM, SOURCE, at_point, checkpoint_step, last_step, metrics, point_library, weights_of
from ranks import RanksTest

NNUNET = ["model.name=nnunet", "data.val_fraction=0.25", "train.precision=fp32", "train.log_every=1", "train.draw_every=0", "train.steps_per_epoch=4", "train.epochs=2",
          "train.batch_size=4", "run.threads=1", "data.workers=2"]


def small_plan(vmae, data, tmp, name="plan.json", features=(4, 8, 8, 8, 8, 8)):
    """The plan of a dataset with few channels, so that two cores train it in seconds."""
    vmae("plan", "--input", data, "--output", "planned", "--overwrite")
    plan = json.loads((tmp / "planned/nnUNetPlans.json").read_text())
    arguments = plan["configurations"]["2d"]["architecture"]["arch_kwargs"]
    arguments["features_per_stage"] = list(features[:arguments["n_stages"]])
    (tmp / name).write_text(json.dumps(plan))
    return f"nnunet.plan={name}"


class NnUnetTest(FinetuneTest):
    def nnunet(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-seg", *NNUNET, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def test_learns_and_predicts(self):
        hippocampus(self.tmp / "data", 5, slices=8)
        plan = small_plan(self.vmae, "data", self.tmp, features=(8, 16, 16, 16))
        done = self.nnunet(plan, "train.epochs=5", "train.steps_per_epoch=16", "train.batch_size=8", "optim.name=adamw", "optim.lr=5e-3")
        self.assert_says(done, "nnunet with 3 classes", "input 1 x 56 x 40")
        for words in ("best so far", " in epoch "):
            self.assertNotIn(words, done.stderr, "no epoch is kept for its Dice")
        self.assertNotIn("data.intensity", done.stderr, "the plan says how intensities are read")
        validation = metrics(self.tmp / "run", "val")
        self.assertGreater(validation[-1]["Dice"], max(0.3, validation[0]["Dice"]))
        self.assertFalse((self.tmp / "run/checkpoints/best.safetensors").exists(), "its authors take the last weights")
        self.assertEqual(json.loads((self.tmp / "run/plans.json").read_text())["configurations"]["2d"]["patch_size"], [56, 40])
        self.assertEqual(json.loads((self.tmp / "run/dataset.json").read_text())["labels"], {"background": 0, "1": 1, "2": 2})
        self.predict(input="data/images")
        for file in sorted((self.tmp / "data/images").iterdir()):
            image, truth = nibabel.load(file), np.asarray(nibabel.load(self.tmp / "data/labels" / file.name).dataobj)
            predicted = nibabel.load(self.tmp / "out" / file.name)
            np.testing.assert_array_equal(predicted.affine, image.affine)
            labels = np.asarray(predicted.dataobj)
            self.assertEqual(labels.shape, truth.shape)
            self.assertGreater(2 * ((labels > 0) & (truth > 0)).sum() / ((labels > 0).sum() + (truth > 0).sum()), 0.4)
        self.vmae("inspect", "run")

    def test_bench_takes_a_plan(self):
        hippocampus(self.tmp / "data", 5, slices=8)
        self.nnunet(small_plan(self.vmae, "data", self.tmp, features=(8, 16, 16, 16)), "train.epochs=1", "train.steps_per_epoch=1", "train.batch_size=2")
        timed = json.loads(self.vmae("bench", "--loader", "run/preprocessed", "--plan", "run/plans.json", "--batch", "4", "--seconds", "0.1").stdout)
        self.assertEqual((timed["task"], timed["items"], timed["has_masks"]), ("nnunet", 5 * 8, True))
        self.assertGreater(timed["images_per_cpu_s"], 0)
        self.assert_says(self.vmae("bench", "--loader", "data", "--plan", "run/plans.json", expect=2), "data", ".case", "nnunet.preprocessed")
        step = json.loads(self.vmae("bench", "--model", "nnunet", "--plan", "run/plans.json", "--batch", "2", "--steps", "1", "--warmup", "0").stdout)
        self.assertEqual((step["model"], step["batch"], len(step["step_s"])), ("nnunet", 2, 1))
        self.assert_says(self.vmae("bench", "--plan", "run/plans.json", expect=2), "--plan", "run/plans.json", "mae", "--model nnunet")
        for other in (["--model", "nnunet", "--image-size", "64"], ["--eval", "auroc"]):
            self.assert_says(self.vmae("bench", "--plan", "run/plans.json", *other, expect=2), "--plan", other[-2])

    def test_does_not_replace_files_of_nnunet(self):
        make_segmentation(self.tmp / "data", 4)
        for name in ("dataset.json", "plans.json"):
            (self.tmp / name / "there").mkdir(parents=True)
            file = self.tmp / name / "there" / name
            file.write_text("{}")
            for how in ([], ["--overwrite"]):
                self.assert_says(self.nnunet(*how, run=str(file.parent), expect=2), name, "choose another run.dir")
            self.assertEqual([path.name for path in file.parent.iterdir()], [name])
            self.assertEqual(file.read_text(), "{}")

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_resumes_bit_for_bit(self):
        make_segmentation(self.tmp / "data", 8, height=32, width=24)
        plan = small_plan(self.vmae, "data", self.tmp, features=(8, 32, 32, 32, 32, 32))  # with convolutions by Winograd
        options = [plan, "run.threads=2", "train.micro_batch=2", "train.epochs=4", "train.save_every_steps=1"]
        self.nnunet(*options, run="reference/run")
        process = self.start("finetune-seg", *NNUNET, "data.train=data", "run.dir=work/run", *options, env=at_point("write", "metrics.jsonl", 3, SIGTERM))
        self.assertEqual(process.wait(120), 75, process.log.read_text()[-2000:])
        self.assertLess(checkpoint_step(self.tmp / "work/run"), last_step(self.tmp / "reference/run"))
        made = {path: path.stat().st_mtime_ns for path in (self.tmp / "work/run/preprocessed").iterdir()}
        self.assertEqual(len(made), 8)
        other = json.loads((self.tmp / "plan.json").read_text())
        other["configurations"]["2d"]["batch_size"] = 7
        (self.tmp / "other.json").write_text(json.dumps(other))
        recorded = (self.tmp / "work/run/config.yaml").read_text()
        self.assert_says(self.nnunet(*options, "nnunet.plan=other.json", "--resume", run="work/run", expect=2), "nnunet.plan = other.json", "work/run/plans.json", "begin a new run")
        self.assertEqual((self.tmp / "work/run/config.yaml").read_text(), recorded)
        (self.tmp / "plan.json").unlink()  # a run goes on with its own
        self.nnunet(*options, "--resume", run="work/run")
        self.assertEqual(made, {path: path.stat().st_mtime_ns for path in (self.tmp / "work/run/preprocessed").iterdir()})
        self.assert_same_checkpoint(*(last(self.tmp / f"{run}/run") for run in ("reference", "work")), ignore_config=True)
        self.assert_same_metrics(self.tmp / "reference/run", self.tmp / "work/run")

    def test_files_and_prepared_data_are_one(self):
        hippocampus(self.tmp / "data", 4, slices=6)
        plan = small_plan(self.vmae, "data", self.tmp)
        self.vmae("prepare", "prepare.intensity=native", "--input", "data", "--output", "prepared")
        self.nnunet(plan, "train.epochs=1", "data.val_fraction=0")
        self.nnunet(plan, "train.epochs=1", "data.val_fraction=0", data="prepared", run="second")
        first, second = (weights_of(last(self.tmp / run)) for run in ("run", "second"))
        for key, value in first.items():
            np.testing.assert_array_equal(second[key], value, key)

    def test_plans_by_itself(self):
        """The plan that `vmae plan` makes; a dry run leaves nothing; data that change are preprocessed anew."""
        make_segmentation(self.tmp / "data", 6)
        (self.tmp / "plans.json").write_text("{}")  # what lies in the working folder is nobody's
        self.vmae("plan", "--input", "data", "--output", "planned")
        done = self.nnunet("--dry-run", "train.batch_size=2")
        self.assert_says(done, "dry run")
        self.assertFalse((self.tmp / "run").exists())
        self.nnunet("train.max_steps=1", "train.batch_size=2")  # as `vmae plan`
        plan = json.loads((self.tmp / "run/plans.json").read_text())
        self.assertEqual(plan, json.loads((self.tmp / "planned/nnUNetPlans.json").read_text()))
        self.assertEqual(metadata(last(self.tmp / "run"))["model"], "nnunet")
        fixed = ["nnunet.plan=planned/nnUNetPlans.json", "train.max_steps=1", "train.batch_size=2", "--overwrite"]
        self.nnunet(*fixed)
        files = sorted((self.tmp / "run/preprocessed").iterdir())
        before = {path: path.read_bytes() for path in files}
        mask = np.asarray(Image.open(self.tmp / "data/masks/case002.png")).copy()
        mask[:3, :3] = 1
        Image.fromarray(mask).save(self.tmp / "data/masks/case002.png")
        self.nnunet(*fixed)
        changed = [path.name for path in files if path.read_bytes() != before[path]]
        self.assertEqual(len(changed), 1, changed)
        self.assertIn("case002", changed[0])

    def test_begins_with_weights_of_other_classes(self):
        make_segmentation(self.tmp / "data", 6)
        plan = small_plan(self.vmae, "data", self.tmp)
        self.nnunet(plan, "train.epochs=1")
        for file in (self.tmp / "data/masks").iterdir():
            Image.fromarray((np.asarray(Image.open(file)) > 0).astype(np.uint8)).save(file)
        frozen = ["optim.lr=0", "optim.weight_decay=0", "train.epochs=1"]
        done = self.nnunet(plan, "model.init=run", *frozen, run="second")
        self.assert_says(done, "without the heads")
        self.vmae("export", "--weights", "run", "--output", "theirs", "--nnunet")
        for number, init in enumerate(("run", "theirs/fold_0/checkpoint_final.pth")):  # their plan comes with them
            self.assert_says(self.nnunet(f"model.init={init}", *frozen, run=f"planned{number}"), f"nnU-Net's plan is that of model.init = {init}")
            self.assertEqual(json.loads((self.tmp / f"planned{number}/plans.json").read_text()), json.loads((self.tmp / "run/plans.json").read_text()))
        first, second = (weights_of(last(self.tmp / run)) for run in ("run", "second"))
        for key, value in first.items():
            if "seg_layers" not in key:
                np.testing.assert_array_equal(second[key], value, key)

    def test_keys_that_the_plan_decides_are_refused(self):
        make_segmentation(self.tmp / "data", 6)
        for key in ("data.rot90=0.5", "data.resize=pad", "loss.dice_weight=2", "model.image_size=[64,64]", "model.features_per_stage=[8,16]", "data.foreground_share=0.5",
                    "data.flip_horizontal=0"):
            self.assert_says(self.nnunet(key, expect=2), key.split("=")[0])
        self.assert_says(self.nnunet("model.freeze=encoder", expect=2), "model.freeze")
        self.assert_says(self.vmae("finetune-seg", "data.train=data", "run.dir=run", "nnunet.plan=x.json", expect=2), "nnunet.plan", "model.name=nnunet")
        self.assert_says(self.vmae("finetune-seg", "data.train=data", "run.dir=run", "train.batch_size=0", expect=2), "train.batch_size")
        self.assert_says(self.nnunet("nnunet.plan=missing.json", expect=3), "nnunet.plan = missing.json is no file", "`vmae plan` write")
        write_nifti(self.tmp / "volumes/images/a.nii.gz", np.zeros((20, 20, 3), np.float32))
        (self.tmp / "bad.json").write_text("{}")
        self.assert_says(self.nnunet("nnunet.plan=bad.json", expect=3), "bad.json")

    def test_says_what_it_is_made_of(self):
        printed = self.vmae("finetune-seg", "--config", SOURCE / "configs/finetune/nnunet.yaml", "--print-config").stdout
        defaults = self.vmae("finetune-seg", "model.name=nnunet", "--print-config").stdout
        for line in ("name: nnunet", "epochs: 1000", "steps_per_epoch: 250", "name: sgd", "momentum: 0.99", "nesterov: true", "schedule: poly_epochs", "clip_grad_norm: 12"):
            self.assertIn(line, printed)
            self.assertIn(line, defaults)


class NnUnetFoldsTest(FinetuneTest):
    def test_folds_share_what_is_preprocessed_and_find_postprocessing(self):
        make_segmentation(self.tmp / "data", 10)
        plan = small_plan(self.vmae, "data", self.tmp)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=5fold")
        self.vmae("finetune-seg", *NNUNET, plan, "data.train=data", "run.dir=run", "data.splits=splits.json", "--fold", "all", "optim.name=adamw", "optim.lr=1e-2")
        self.assertEqual(len(list((self.tmp / "run/preprocessed").iterdir())), 10)
        self.assertFalse((self.tmp / "run/fold_0/preprocessed").exists())
        found = json.loads((self.tmp / "run/postprocessing.json").read_text())
        self.assertIn("steps", found)
        self.assertTrue((self.tmp / "run/postprocessing.pkl").exists())
        self.predict(input="data/images")
        self.assertEqual(self.record()["options"]["mirror"], True)
        self.predict("--no-mirror", "--postprocessing", "none", input="data/images", output="plain")
        self.assertEqual(self.record("plain")["options"]["mirror"], False)
        self.vmae("export", "--weights", "run", "--output", "theirs", "--nnunet")
        for fold in range(5):
            file = self.tmp / f"theirs/fold_{fold}/checkpoint_final.pth"
            state = torch.load(file, weights_only=False)
            self.assertEqual(state["init_args"]["fold"], fold)
            self.assertEqual(state["init_args"]["plans"], json.loads((self.tmp / "theirs/plans.json").read_text()))
            self.assertEqual(state["init_args"]["dataset_json"], json.loads((self.tmp / "theirs/dataset.json").read_text()))
        # and back: the same label maps from the other program's file
        self.predict("--no-mirror", weights="run/fold_0", input="data/images", output="a")
        self.predict("--no-mirror", weights="theirs/fold_0/checkpoint_final.pth", input="data/images", output="b")
        for path in (self.tmp / "a").rglob("*.png"):
            self.assertEqual(path.read_bytes(), (self.tmp / "b" / path.relative_to(self.tmp / "a")).read_bytes(), path.name)
        self.vmae("export", "--weights", "run", "--output", "theirs", "--nnunet", expect=2)


class OwnPlanTest(FinetuneTest):
    def plan_of(self, files):
        """What `vmae plan` makes of these images alone."""
        (self.tmp / "seen").mkdir()
        for file in files:
            for kind in ("images", "masks"):
                (self.tmp / "seen" / kind).mkdir(exist_ok=True)
                shutil.copy(self.tmp / "data" / kind / file.rsplit("/")[-1], self.tmp / "seen" / kind)
        self.vmae("plan", "--input", "seen", "--output", "of_seen", "--overwrite")
        shutil.rmtree(self.tmp / "seen")
        return {**json.loads((self.tmp / "of_seen/nnUNetPlans.json").read_text()), "dataset_name": "data"}

    def run_and_read(self, run, *more):
        done = self.vmae("finetune-seg", *NNUNET, "data.train=data", "data.splits=splits.json", f"run.dir={run}", "train.max_steps=1", "train.batch_size=2", *more)
        return done, {path.parent: json.loads(path.read_text()) for path in sorted((self.tmp / run).rglob("plans.json"))}

    def parts(self, run):
        splits = json.loads((self.tmp / run / "splits.json").read_text())
        return splits["train"] + splits["val"]

    def test_test_cases_and_labels_left_out_stay_unseen(self):
        make_segmentation(self.tmp / "data", 20, height=24, width=20)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=70/10/20", "split.fractions=[50]")
        for run, more, seen in (("whole", [], 16), ("half", ["data.label_fraction=50"], 9)):
            done, plans = self.run_and_read(run, *more)
            self.assertEqual(len(self.parts(run)), seen)
            self.assert_says(done, f"plan is made of {seen} cases")
            (plan,) = plans.values()
            self.assertEqual(plan, self.plan_of(self.parts(run)), run)
            self.vmae("plan", "--input", "data", "--output", run + "_plan", "plan.splits=splits.json", *[key.replace("data.", "plan.") for key in more])
            self.assertEqual(plan, json.loads((self.tmp / (run + "_plan") / "nnUNetPlans.json").read_text()), "the same by vmae plan")
        refused = self.vmae("plan", "--input", "data", "plan.splits=splits.json", "plan.label_fraction=30", expect=2)
        self.assert_says(refused, "label_fraction = 30: splits.json, fold 0, has 50, 100")
        self.assertNotEqual(plan, self.plan_of([path.name for path in (self.tmp / "data/images").iterdir()]))

    def test_folds_have_one_plan(self):
        """Also at a fraction, of which each fold has other cases; one fold alone has the plan of them all, and says which of its test cases are among them."""
        make_segmentation(self.tmp / "data", 20, height=24, width=20)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=kfold", "split.folds=2", "split.fractions=[10,30]")
        few = "data.label_fraction=30"
        done, plans = self.run_and_read("folds", few, "--fold", "all")
        self.assertEqual(done.stderr.count("nnU-Net's plan is made of"), 1, "the second fold has that of the first")
        seen = set(self.parts("folds/fold_0")) | set(self.parts("folds/fold_1"))
        self.assertLess(len(seen), 20)
        expected = self.plan_of(seen)
        self.assertEqual(list(plans.values()), [expected] * 2)
        done, plans = self.run_and_read("alone", few, "data.fold=1")
        tested = seen & set(json.loads((self.tmp / "alone/splits.json").read_text())["test"])
        self.assert_says(done, f"any fold of data.splits; {len(tested)} of them are test cases of this fold")
        self.assertEqual(list(plans.values()), [expected])
        self.vmae("export", "--weights", "folds", "--output", "theirs", "--nnunet")
        resumed, _ = self.run_and_read("folds", few, "--fold", "all", "--resume", "train.max_steps=2")
        self.assertEqual([line.split("checkpoint: ")[1] for line in resumed.stderr.splitlines() if "changed since" in line], ["train.max_steps was 1, is 2"] * 2)
        self.assertNotIn("fold_0", (self.tmp / "folds/fold_1/config.yaml").read_text().split("nnunet:")[1], "the config says what its user said")

    def test_out_of_fold_predictions_are_cut_as_those_of_the_folds(self):
        """Along the plan's axis, which is not the one that images of this shape and spacing would be cut along."""
        random = np.random.default_rng(4)
        for i in range(4):
            mask = np.zeros((6, 20, 22), np.float32)
            mask[1:5, 4:14, 5:15] = 1
            write_nifti(self.tmp / f"data/images/c{i}.nii.gz", mask * 100 + random.normal(0, 9, mask.shape).astype(np.float32))
            write_nifti(self.tmp / f"data/labels/c{i}.nii.gz", mask)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=kfold", "split.folds=2")
        self.run_and_read("run", "--fold", "all")
        options = [json.loads((self.tmp / "run" / part / "predict.json").read_text())["options"] for part in ("fold_0/test", "out_of_fold")]
        self.assertEqual([one["slice_axis"] for one in options], ["z", "z"])
        self.vmae("eval", "--run", "run", "--output", "report", "--no-distances", "--per-slice")
        self.assertEqual(json.loads((self.tmp / "report/summary.json").read_text())["cases"], 4 * 22)

    def test_plan_of_a_file_of_splits_of_other_data(self):
        make_segmentation(self.tmp / "data", 6, height=24, width=20)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=kfold", "split.folds=2")
        (self.tmp / "data/images/case003.png").unlink()
        for command in (["plan", "--input", "data", "plan.splits=splits.json"], ["finetune-seg", *NNUNET, "data.train=data", "data.splits=splits.json", "run.dir=run"]):
            self.assert_says(self.vmae(*command, expect=3), "case003.png is not in the data")
        self.assert_says(self.vmae("plan", "--input", "data", "plan.splits=absent.json", expect=3), "plan.splits = absent.json is no file")
        self.assert_says(self.vmae("plan", "--input", "data", "plan.label_fraction=50", expect=2), "plan.label_fraction = 50 chooses from plan.splits, which is not set")


class NnUnetRanksTest(RanksTest):
    def test_ranks_are_one_process(self):
        """Dice over the batch of all ranks; 5 samples on 2 ranks."""
        make_segmentation(self.tmp / "data", 10)
        plan = small_plan(self.vmae, "data", self.tmp)
        for size in (1, 2):
            self.train(size, "finetune-seg", *NNUNET, plan, "data.train=data", "train.batch_size=5", f"run.dir=run{size}")
        alone, both = (self.tmp / f"run{size}" for size in (1, 2))
        for kind, keys in (("train", ("loss", "grad_norm")), ("val", ("loss", "Dice"))):
            first, second = metrics(alone, kind), metrics(both, kind)
            self.assertEqual(len(first), len(second))
            for a, b in zip(first, second):
                for key in keys:
                    self.assertLessEqual(abs(a[key] - b[key]), 1e-4 * max(1, abs(a[key])), f"{kind} {key} step {a['step']}")
        for key, value in weights_of(last(alone)).items():
            np.testing.assert_allclose(weights_of(last(both))[key], value, rtol=1e-3, atol=1e-5, err_msg=key)


def make_boxes(folder, values, count=6, ignored=None, **dataset):
    """nnU-Net's folder: boxes within boxes, of these mask values from the outermost on, brighter with the value's place. ignored: the mask value of every fifth row."""
    random = np.random.default_rng(0)
    for i in range(count):
        mask = np.zeros((32, 36, 4), np.uint8)
        image = np.zeros(mask.shape)
        for depth, value in enumerate(values):
            box = (slice(5 + 3 * depth, 27 - 3 * depth),) * 2
            mask[box], image[box] = value, 60 * (depth + 1)
        if ignored is not None:
            mask[::5] = ignored
        write_nifti(folder / f"imagesTr/c{i}_0000.nii.gz", image + random.normal(0, 5, mask.shape), dtype=np.float32)
        write_nifti(folder / f"labelsTr/c{i}.nii.gz", mask)
    (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MR"}, "numTraining": count, "file_ending": ".nii.gz", **dataset}))


class NnUnetVolumesTest(FinetuneTest):
    def train(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-seg", *NNUNET, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def test_regions(self):
        """Fewer regions than mask values, of which one has no name; painted in their order."""
        make_boxes(self.tmp / "data", (1, 2, 4), labels={"background": 0, "whole": [1, 2, 4], "core": [2, 4]}, regions_class_order=[1, 2])
        plan = small_plan(self.vmae, "data", self.tmp)
        self.assert_says(self.train(plan, "train.epochs=8", "train.steps_per_epoch=8", "optim.name=adamw", "optim.lr=1e-2"), "nnunet with 2 regions (whole, core)",
                         "region whole is wherever a mask holds 1 or 2 or 4: it is learnt as one; vmae eval measures the region")
        self.assertEqual([name for name in metrics(self.tmp / "run", "val")[-1] if name.startswith("Dice/")], ["Dice/whole", "Dice/core"])
        self.predict("--probabilities", input="data")
        (file,) = (self.tmp / "out").rglob("c0.nii.gz")
        predicted = np.asarray(nibabel.load(file).dataobj)
        truth = np.asarray(nibabel.load(self.tmp / "data/labelsTr/c0.nii.gz").dataobj)
        for values in ((1, 2), (2,)):
            region, wanted = np.isin(predicted, values), truth > 0 if 1 in values else truth > 1
            self.assertGreater(2 * (region & wanted).sum() / (region.sum() + wanted.sum()), 0.6, values)
        self.assertTrue(any("whole" in name for name in self.written() if name.startswith("probabilities/")))

    def test_regions_with_an_ignore_label(self):
        """Trained, its test part predicted and measured: what is ignored counts nowhere, and is never predicted."""
        make_boxes(self.tmp / "data", (1, 2), count=8, ignored=3, labels={"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}, regions_class_order=[1, 2])
        plan = small_plan(self.vmae, "data", self.tmp)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=50/25/25")
        self.train(plan, "data.splits=splits.json", "train.epochs=10", "train.steps_per_epoch=16", "optim.name=adamw", "optim.lr=1e-2")
        self.vmae("eval", "--run", "run", "--output", "report", "--no-distances")
        found, files = self.dice_of_report(), list((self.tmp / "run/test").rglob("*.nii.gz"))
        self.assertEqual((len(found), len(files)), (2 * 2, 2))
        for path in files:
            name = path.name.removesuffix(".nii.gz")
            predicted, truth = (np.asarray(nibabel.load(file).dataobj) for file in (path, self.tmp / f"data/labelsTr/{name}.nii.gz"))
            self.assertLessEqual(set(np.unique(predicted)), {0, 1, 2})
            for region, values in (("whole", (1, 2)), ("core", (2,))):
                self.assertAlmostEqual(found[name, region], dice(*(np.isin(volume[truth != 3], values) for volume in (predicted, truth))), places=9)
                self.assertGreater(found[name, region], 0.6)
        write_ct_series(self.tmp / "ct", slices=3)
        self.predict(input="ct")
        (seg,) = (self.tmp / "out").rglob("*.dcm")
        segments = {segment.SegmentLabel for segment in pydicom.dcmread(seg).SegmentSequence}
        self.assertTrue(segments and segments <= {"label 1", "core"}, f"the values of the label map: {segments}")

    def test_a_plan_of_other_data(self):
        """Of another number of channels: refused before any image is; of another normalisation: said. What the data call their channel stays."""
        make_boxes(self.tmp / "data", (1, 2), labels={"background": 0, "a": 1, "b": 2})
        given = small_plan(self.vmae, "data", self.tmp)
        plan = json.loads((self.tmp / "plan.json").read_text())
        flat = plan["configurations"]["2d"]
        flat["normalization_schemes"] = ["NoNormalization"]
        (self.tmp / "other.json").write_text(json.dumps(plan))
        self.assert_says(self.train("nnunet.plan=other.json", "train.max_steps=1"), "channel 0 (MR) stands for ZScoreNormalization, but the plan has NoNormalization")
        self.train(given, "train.max_steps=1", run="named")
        self.assertEqual(json.loads((self.tmp / "named/dataset.json").read_text())["channel_names"], {"0": "MR"})
        flat["normalization_schemes"], flat["use_mask_for_norm"] = ["NoNormalization"] * 2, [False] * 2
        statistics = plan["foreground_intensity_properties_per_channel"]
        statistics["1"] = statistics["0"]
        (self.tmp / "two.json").write_text(json.dumps(plan))
        self.assert_says(self.train("nnunet.plan=two.json", run="third", expect=2), "nnunet.plan = two.json has 2 channels, but a case has 1", "give the plan of these data")

    def test_a_case_that_cannot_be_read(self):
        """Left out by the plan and by training, whoever of the ranks was to read it; without leave the run ends."""
        make_boxes(self.tmp / "data", (1, 2), labels={"background": 0, "a": 1, "b": 2})
        path = self.tmp / "data/imagesTr/c3_0000.nii.gz"
        image = np.asarray(nibabel.load(path).dataobj).copy()
        image[0, 0, 0] = np.nan
        write_nifti(path, image)
        done = self.train("data.max_bad_fraction=0.5", "train.max_steps=1", "data.val_fraction=0")
        self.assert_says(done, "the plan is made without a case: imagesTr/c3_0000.nii.gz")
        self.assertIn("c3", (self.tmp / "run/quarantine.jsonl").read_text())
        self.assertEqual(len(list((self.tmp / "run/preprocessed").iterdir())), 5)
        self.assert_says(self.train("train.max_steps=1", run="strict", expect=3), "c3_0000.nii.gz")

    def test_masks_with_other_numbers(self):
        make_boxes(self.tmp / "data", (10, 200), labels={"background": 0})
        (self.tmp / "data/dataset.json").unlink()
        for old, new in (("imagesTr", "images"), ("labelsTr", "labels")):
            (self.tmp / "data" / old).rename(self.tmp / "data" / new)
        for file in (self.tmp / "data/images").iterdir():
            file.rename(file.with_name(file.name.replace("_0000", "")))
        self.train("data.label_values=[10,200]", "train.max_steps=1")
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=5fold")
        self.train("data.label_values=[10,200]", "data.splits=splits.json", "--fold", "all", "--dry-run", run="dry")
        self.assertFalse((self.tmp / "dry").exists())
        # predictions and what postprocesses them have the masks' values, nnU-Net's files 1, 2, ...
        self.train("data.label_values=[10,200]", "data.splits=splits.json", "--fold", "all", "train.max_steps=1", run="folds")
        self.predict("--postprocessing", "none", weights="folds", input="data/images", output="of_run")
        self.assert_says(self.vmae("export", "--weights", "folds", "--output", "theirs", "--nnunet"), "data.label_values is not in them, and no postprocessing")
        self.assertFalse(list((self.tmp / "theirs").glob("postprocessing.*")))
        self.predict(weights="theirs", input="data/images", output="of_theirs")
        seen = set()
        for path in (self.tmp / "data/images").iterdir():
            ours, theirs = (np.asarray(nibabel.load(self.tmp / folder / path.name).dataobj) for folder in ("of_run", "of_theirs"))
            np.testing.assert_array_equal(ours, np.array([0, 10, 200])[theirs.astype(int)], path.name)
            seen |= set(np.unique(theirs))
        self.assertTrue(seen & {1, 2}, "something is predicted")
        self.assert_says(self.vmae("export", "--weights", "folds/fold_0", "--output", "theirs", "--nnunet", "--overwrite", expect=2), ", which is not of folds/fold_0")
        self.assert_says(self.train("data.label_values=[10,200]", "data.intensity=minmax", run="dry", expect=2), "data.intensity")

    def test_time_points_are_cases(self):
        make_boxes(self.tmp / "whole", (1,), count=4, labels={"background": 0, "a": 1})
        for kind, name in (("images", "imagesTr"), ("labels", "labelsTr")):
            for file in (self.tmp / "whole" / name).iterdir():
                array = np.asarray(nibabel.load(file).dataobj)
                write_nifti(self.tmp / "data" / kind / file.name.replace("_0000", ""), np.stack([array, array], -1))
        self.train("train.max_steps=1")
        self.assertEqual(len(list((self.tmp / "run/preprocessed").iterdir())), 8)

    def test_anisotropic_volumes_of_two_channels(self):
        """Slices across the coarse axis, whatever axis that is in the file; a resampled plane and a crop: back on the grid of the file."""
        folder = self.tmp / "data"
        for name in ("imagesTr", "labelsTr"):
            (folder / name).mkdir(parents=True)
        for i in range(4):
            volume = volume_of_pictures(i, (34, 40, 5))
            volume = np.pad(volume, ((3, 0), (0, 2), (0, 0)))
            truth = (volume > 200).astype(np.uint8) + 2 * (np.abs(volume - 10) < 3).astype(np.uint8)
            affine = np.diag([1.0, 1.5, 6.0, 1])
            for channel, image in enumerate((volume, 300 - volume)):
                write_nifti(folder / f"imagesTr/case{i}_000{channel}.nii.gz", image.astype(np.float32), affine)
            write_nifti(folder / f"labelsTr/case{i}.nii.gz", truth, affine)
        (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "T1", "1": "noNorm"}, "labels": {"background": 0, "round": 1, "square": 2},
                                                         "numTraining": 4, "file_ending": ".nii.gz"}))
        plan = small_plan(self.vmae, "data", self.tmp)
        self.vmae("finetune-seg", *NNUNET, plan, "data.train=data", "run.dir=run")
        self.predict(input="data", output="out")
        for i in range(4):
            (file,) = (self.tmp / "out").rglob(f"case{i}.nii.gz")
            predicted = nibabel.load(file)
            truth = nibabel.load(folder / f"labelsTr/case{i}.nii.gz")
            self.assertEqual(predicted.shape, truth.shape)
            np.testing.assert_allclose(predicted.affine, truth.affine)


if __name__ == "__main__":
    unittest.main()
