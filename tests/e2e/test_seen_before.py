# SPDX-License-Identifier: Apache-2.0
"""A fine-tuning run says whether its validation and test images, or other images of their patients, trained the weights that it begins with."""
import json
import shutil
import unittest

from evaluating import EvalTest
from finetuning import PRETRAIN, SWIN, TRAIN, make_segmentation

SEEN = "were trained on by the run that the weights come from"
NONE = "no validation or test image, nor another of its patient, was trained on"
UNKNOWN = "whether validation or test images were trained on before is not known"


class SeenTest(EvalTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 16)
        self.rows = [(f"images/case{i:03d}.png", f"masks/case{i:03d}.png", f"Mustermann-{i // 2}") for i in range(16)]

    def manifest(self, name, rows, parts=None, patients=True):
        """parts: of each row."""
        head = "image,mask" + (",patient" if patients else "") + (",split" if parts else "")
        lines = [",".join((*row[:2 + patients], *([parts[i]] if parts else []))) for i, row in enumerate(rows)]
        (self.tmp / f"data/{name}").write_text("\n".join([head, *lines]) + "\n")
        return f"data/{name}"

    def pretrain(self, data, *more, run="pre"):
        return self.vmae("pretrain", *SWIN, *PRETRAIN, f"data.train={data}", f"run.dir={run}", "train.epochs=1", "data.val_fraction=0", *more)

    def tune(self, data, *more, init="pre", run="run", **kw):
        done = self.vmae("finetune-seg", *SWIN, *TRAIN, f"data.train={data}", f"run.dir={run}", f"model.init={init}", "train.epochs=1", "--overwrite", *more, **kw)
        self.assertNotIn("Mustermann", done.stderr + done.stdout)
        for file in (self.tmp / run).rglob("*.json"):
            self.assertNotIn("Mustermann", file.read_text())
        card = self.tmp / run / "data_card/card.json"
        self.card = json.loads(card.read_text()).get("seen_before") if card.exists() else None
        return done

    PARTS = ["train"] * 8 + ["val"] * 4 + ["test"] * 4

    def test_patients_of_the_test_part(self):
        """Counted by hand: the pretraining had the first images of the patients of two validation and one test row, under another manifest."""
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        self.pretrain(self.manifest("pre.csv", [self.rows[i] for i in (0, 2, 8, 12)]))
        done = self.tune(tuned)
        self.assert_says(done, f"2 of 4 validation files and 2 of 4 test files (or files of the same patients) {SEEN}", "data.splits")
        self.assertTrue(self.card["some"])
        self.vmae("eval", "--run", "run", "--output", "out", "--no-distances")
        report = (self.tmp / "out/report.html").read_text()
        self.assertIn("2 of 4 test files", report)
        self.assertTrue(any(SEEN in remark for remark in self.summary()["remarks"]))

    def test_nobody_was_seen(self):
        self.pretrain(self.manifest("pre.csv", self.rows[:8]))
        self.assert_says(self.tune(self.manifest("tuned.csv", self.rows, self.PARTS)), NONE)
        self.assertFalse(self.card["some"])
        self.vmae("eval", "--run", "run", "--output", "out", "--no-distances")
        self.assertEqual([remark for remark in self.summary()["remarks"] if "trained on" in remark], [])

    def test_what_pretraining_validated_on_was_not_trained_on(self):
        self.pretrain(self.manifest("pre.csv", self.rows, ["train"] * 8 + ["val"] * 8))
        self.assert_says(self.tune(self.manifest("tuned.csv", self.rows, self.PARTS)), NONE)

    def test_files_where_patients_are_not_known(self):
        """The same file under another manifest is the same; a file of the same name elsewhere is not."""
        self.pretrain(self.manifest("pre.csv", self.rows[:13], patients=False))
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS, patients=False)
        self.assert_says(self.tune(tuned), f"4 of 4 validation files and 1 of 4 test files (or files of the same patients) {SEEN}")
        shutil.copytree(self.tmp / "data", self.tmp / "copy")
        self.assert_says(self.tune("copy/tuned.csv"), NONE)

    def test_splits_and_data_test(self):
        """One division for both runs: nothing seen. Another: as many as are in both, counted here."""
        everything = self.manifest("all.csv", self.rows)
        for name, seed in (("one", 1), ("two", 2)):
            self.vmae("split", "--input", everything, "--output", f"{name}.json", "split.scheme=50/25/25", f"split.seed={seed}")
        self.pretrain(everything, "data.splits=one.json")
        self.assert_says(self.tune(everything, "data.splits=one.json"), NONE)
        one, two = (json.loads((self.tmp / f"{name}.json").read_text())["folds"][0] for name in ("one", "two"))
        val, test = (len(set(one["train"]) & set(two[part])) for part in ("val", "test"))
        self.assertGreater(test, 0)
        self.assert_says(self.tune(everything, "data.splits=two.json"), *([f"{val} of 4 validation files"] if val else []), f"{test} of 4 test files")
        external = self.manifest("external.csv", self.rows[:2])
        self.pretrain(self.manifest("pre.csv", self.rows[:1]), run="small")
        self.assert_says(self.tune(self.manifest("tuned.csv", self.rows[2:], ["train"] * 14), f"data.test={external}", init="small"), "2 of 2 test files")

    def test_weights_of_a_chain(self):
        """Pretrained on some, fine-tuned on others, and fine-tuned again: all that came before counts. A checkpoint of a run is as its folder."""
        self.pretrain(self.manifest("pre.csv", [self.rows[8]]))
        self.tune(self.manifest("first.csv", [self.rows[i] for i in (0, 1, 12)], ["train", "train", "train"]), run="first")
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        for init in ("first", "first/checkpoints/last.safetensors", self.tmp / "first/checkpoints/last.safetensors"):
            self.assert_says(self.tune(tuned, init=init), "2 of 4 validation files and 2 of 4 test files")

    def test_from_another_folder(self):
        self.pretrain(self.manifest("pre.csv", self.rows))
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        (self.tmp / "elsewhere").mkdir()
        self.assert_says(self.tune(self.tmp / tuned, init=self.tmp / "pre", run=self.tmp / "run", cwd=self.tmp / "elsewhere"), "4 of 4 test files")

    def test_prepared(self):
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        for name, rows, salt in (("same", self.rows[:10], "one"), ("other", self.rows[:10], "two"), ("tuned", None, "one")):
            (self.tmp / salt).write_text(salt * 10)
            source = self.manifest("some.csv", rows) if rows else tuned
            self.vmae("prepare", "--input", source, "--output", name, f"prepare.salt_file={salt}")
        self.pretrain("same", run="pre_same"), self.pretrain("other", run="pre_other")
        self.assert_says(self.tune("tuned", init="pre_same"), f"2 of 4 validation files (or files of the same patients) {SEEN}")
        self.assert_says(self.tune("tuned", init="pre_other"), UNKNOWN, "salt")
        self.assert_says(self.tune(tuned, init="pre_same"), UNKNOWN)

    def test_not_known(self):
        self.pretrain(self.manifest("pre.csv", self.rows))
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        shutil.copy(self.tmp / "pre/checkpoints/last.safetensors", self.tmp / "bare.safetensors")
        self.assert_says(self.tune(tuned, init="bare.safetensors"), UNKNOWN, "is not in the folder of a run")
        self.assertFalse(self.card["some"])
        (self.tmp / "data/pre.csv").unlink()
        self.assert_says(self.tune(tuned), UNKNOWN, "pre.csv")
        (self.tmp / "pre/sources.json").unlink()
        self.assert_says(self.tune(tuned), UNKNOWN, "older")
        for text in ("[]", "{", '{"data.train": 3}'):
            (self.tmp / "pre/sources.json").write_text(text)
            self.assert_says(self.tune(tuned), UNKNOWN)
        done = self.tune(self.manifest("tuned.csv", self.rows, ["train"] * 16))  # nobody validates, nobody is tested
        self.assertNotIn("trained on before", done.stderr)
        self.assertIsNone(self.card)

    def test_a_resumed_run_keeps_what_was_said(self):
        self.pretrain(self.manifest("pre.csv", self.rows))
        tuned = self.manifest("tuned.csv", self.rows, self.PARTS)
        self.tune(tuned)
        before = self.card
        (self.tmp / "pre/sources.json").unlink()
        self.vmae("finetune-seg", *SWIN, *TRAIN, f"data.train={tuned}", "run.dir=run", "model.init=pre", "train.epochs=2", "--resume")
        self.assertEqual(json.loads((self.tmp / "run/data_card/card.json").read_text())["seen_before"], before)

    def test_scratch_says_nothing(self):
        self.assertNotIn("trained on", self.tune(self.manifest("tuned.csv", self.rows, self.PARTS), init="").stderr)


if __name__ == "__main__":
    unittest.main()
