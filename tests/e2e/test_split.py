# SPDX-License-Identifier: Apache-2.0
"""vmae split, and training by its file: what is in splits.json, judged here; exit codes; no patient is ever named."""
import collections
import json
import unittest

from harness import TINY, VmaeTest, make_pictures, metrics


class SplitTest(VmaeTest):
    def setUp(self):
        super().setUp()
        make_pictures(self.tmp / "data/images", 40)
        self.patient = {f"images/case{i:03d}.png": f"Mustermann-{i // 2:02d}" for i in range(40)}  # 20 patients of two images
        self.label = {name: "sick" if i // 2 % 4 == 0 else "well" for i, name in enumerate(self.patient)}  # 5 of them sick
        self.write_manifest(self.patient)

    def write_manifest(self, names, file="data/list.csv"):
        rows = [f"{name},{self.patient[name]},{self.label[name]}" for name in names]
        (self.tmp / file).write_text("\n".join(["image,patient,label", *rows]) + "\n")

    def split(self, *options, input="data/list.csv", output="splits.json", **kw):
        result = self.vmae("split", "--input", input, "--output", output, *options, **kw)
        self.assertNotIn("Mustermann", result.stdout + result.stderr)
        if kw.get("expect", 0) == 0:
            text = (self.tmp / output).read_text()
            self.assertNotIn("Mustermann", text)
            return result, json.loads(text)
        return result, None

    def patients(self, names):
        return {self.patient[name] for name in names}

    def test_five_folds(self):
        result, splits = self.split("split.seed=3")
        self.assertEqual([splits[key] for key in ("format", "version", "scheme", "seed", "by", "stratified")], ["vmae-splits", 1, "5fold", 3, "patient", True])
        self.assertEqual([splits["cases"]["count"], splits["cases"]["patients"]], [40, 20])
        tested = collections.Counter()
        for number, fold in enumerate(splits["folds"]):
            parts = {part: self.patients(fold[part]) for part in ("train", "val", "test")}
            self.assertEqual({part: len(who) for part, who in parts.items()}, {"train": 14, "val": 2, "test": 4})
            self.assertEqual(len(set.union(*parts.values())), 20)
            self.assertEqual(fold["counts"], {part: {"cases": 2 * len(who), "patients": len(who)} for part, who in parts.items()})
            self.assertEqual(sum(self.label[name] == "sick" for name in fold["test"]), 2, "one sick patient in each test part")
            ten, fifty, eighty = (set(fold["fractions"][percent]) for percent in ("10", "50", "80"))
            self.assertTrue(ten < fifty < eighty < set(fold["train"]))
            self.assertEqual([len(ten), len(fifty), len(eighty)], [2, 14, 22])
            tested.update(fold["test"])
            self.assertRegex(result.stdout, rf"(?m)^{number} +test +8 +4 +2 +6$")
        self.assertEqual(tested, collections.Counter(self.patient.keys()))

    def test_is_a_function_of_cases_options_and_seed(self):
        first = self.split("split.seed=1", output="a.json")[1]
        self.write_manifest(sorted(self.patient, reverse=True), "data/reversed.csv")
        self.split("split.seed=1", input="data/reversed.csv", output="b.json")
        self.assertEqual((self.tmp / "a.json").read_bytes(), (self.tmp / "b.json").read_bytes())
        self.assertNotEqual(first["folds"], self.split("split.seed=2", output="c.json")[1]["folds"])

    def test_other_schemes_and_a_folder(self):
        splits = self.split("split.scheme=72/8/20", "split.fractions=[50]", input="data/images", output="a.json")[1]
        self.assertEqual([splits["by"], splits["stratified"], splits["cases"]["patients"]], ["case", False, None])  # whose they are is not known
        (fold,) = splits["folds"]
        self.assertEqual([len(fold[part]) for part in ("train", "val", "test")], [29, 3, 8])
        self.assertEqual({percent: len(names) for percent, names in fold["fractions"].items()}, {"50": 15})
        (fold,) = self.split("split.scheme=90/10", "split.stratify=none", output="b.json")[1]["folds"]
        self.assertEqual([len(self.patients(fold["train"])), len(self.patients(fold["val"])), "test" in fold], [18, 2, False])
        self.assertEqual(len(self.split("split.scheme=kfold", "split.folds=10", output="c.json")[1]["folds"]), 10)

    def test_cases_marked_as_test_stay_out(self):
        rows = [f"images/case{i:03d}.png,{'test' if i < 10 else 'train'}" for i in range(40)]
        (self.tmp / "data/marked.csv").write_text("\n".join(["image,split", *rows]) + "\n")
        result, splits = self.split("split.scheme=90/10", input="data/marked.csv")
        self.assertIn("10 of 40 cases are marked as test", result.stderr)
        self.assertEqual(sorted(splits["folds"][0]["train"] + splits["folds"][0]["val"]), [f"images/case{i:03d}.png" for i in range(10, 40)])

    def test_exit_codes(self):
        self.assertIn("--input", self.vmae("split", "--output", "s.json", expect=2).stderr)
        self.assertIn("--output", self.vmae("split", "--input", "data", expect=2).stderr)
        self.split()
        before = (self.tmp / "splits.json").read_bytes()
        self.assertIn("--overwrite", self.split("split.seed=5", expect=2)[0].stderr)
        self.assertEqual((self.tmp / "splits.json").read_bytes(), before)
        self.split("--overwrite", "split.seed=5")
        self.assertNotEqual((self.tmp / "splits.json").read_bytes(), before)
        self.assertIn("split.scheme=kfold", self.split("split.folds=10", output="x.json", expect=2)[0].stderr)
        self.assertIn("split.seed", self.split("split.sed=1", output="x.json", expect=2)[0].stderr)
        self.split("split.fractions=[0]", output="x.json", expect=2)
        self.split(input="nowhere", output="x.json", expect=3)
        self.split("split.stratify=label", input="data/images", output="x.json", expect=3)
        self.write_manifest(list(self.patient)[:8], "data/few.csv")
        self.assertIn("there are 4", self.split(input="data/few.csv", output="x.json", expect=3)[0].stderr)
        self.assertFalse((self.tmp / "x.json").exists())
        self.assertIn("stratify: auto", self.vmae("split", "--print-config").stdout)

    # Training

    def pretrain(self, *options, run="run", splits="splits.json", **kw):
        return self.vmae("pretrain", *TINY, "data.train=data/list.csv", f"data.splits={splits}", f"run.dir={run}", "train.epochs=1", "train.draw_every=0", *options, **kw)

    def test_training_by_a_file(self):
        fold = self.split()[1]["folds"][2]
        self.pretrain("data.fold=2", "data.label_fraction=50")
        used = json.loads((self.tmp / "run/splits.json").read_text())
        self.assertEqual({part: sorted(names) for part, names in used.items()}, {"train": fold["fractions"]["50"], "val": fold["val"], "test": fold["test"]})
        self.assertEqual(len(metrics(self.tmp / "run", "val")), 1)
        self.pretrain(run="again", splits="run/splits.json")  # a run's own file says who was where
        self.assertEqual((self.tmp / "run/splits.json").read_text(), (self.tmp / "again/splits.json").read_text())

    def test_training_refuses_what_does_not_fit(self):
        splits = self.split()[1]
        self.assertIn("has folds 0 to 4", self.pretrain("data.fold=5", expect=2).stderr)
        self.assertIn("has 10, 50, 80, 100", self.pretrain("data.label_fraction=20", expect=2).stderr)
        self.assertIn("data.val", self.pretrain("data.val=data/images", expect=2).stderr)
        self.assertIn("data.splits", self.vmae("pretrain", *TINY, "data.train=data", "data.fold=1", "run.dir=run", expect=2).stderr)
        self.pretrain(splits="nowhere.json", expect=3)

        fold = splits["folds"][1]
        moved = fold["train"].pop()
        fold["test"].append(moved)
        fold["fractions"] = {}
        (self.tmp / "leaky.json").write_text(json.dumps(splits))
        error = self.pretrain(splits="leaky.json", expect=3).stderr  # though fold 0 is in order
        self.assertIn("leaky.json: fold 1, part test: the patient of ", error)
        self.assertIn("is in part train too", error)
        self.assertNotIn("Mustermann", error)

        self.write_manifest(list(self.patient)[:-2])
        self.assertIn("is not in the data", self.pretrain(expect=3).stderr)
        make_pictures(self.tmp / "data/images", 1, first=40)
        self.patient["images/case040.png"], self.label["images/case040.png"] = "Mustermann-20", "well"
        self.write_manifest(self.patient)
        self.assertIn("images/case040.png of the data is in no part", self.pretrain(expect=3).stderr)
        self.assertFalse((self.tmp / "run/config.yaml").exists())


if __name__ == "__main__":
    unittest.main()
