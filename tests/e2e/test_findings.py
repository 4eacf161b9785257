# SPDX-License-Identifier: Apache-2.0
"""Which columns of a manifest are findings: those that are named, in every command that reads labels; without names those that look like it, which is said."""
import json
import unittest

import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, FinetuneTest, metadata, best

FINDINGS = ("Effusion", "Edema", "Mass")


class FindingsTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        (self.tmp / "data").mkdir()
        rows = ["image,patient,split,Effusion,smoker,Edema,Mass,note"]
        self.truth = []
        for i in range(24):
            Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)).save(self.tmp / f"data/p{i:02d}.png")
            effusion, edema, mass = i % 2, "" if i % 5 == 1 else i // 2 % 2, -1 if i % 7 == 3 else i // 3 % 2
            self.truth.append({"Effusion": effusion, "Edema": None if edema == "" else edema, "Mass": None if mass == -1 else mass, "smoker": i % 3 % 2})
            rows.append(f"p{i:02d}.png,q{i // 2},{('train', 'train', 'train', 'val')[i // 2 % 4]},{effusion},{i % 3 % 2},{edema},{mass},x{i}")
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")

    def train(self, *more, data="data/list.csv", **kw):
        return self.cls("train.max_steps=2", "--overwrite", *NO_AUGMENTATION, *more, data=data, **kw)

    def counts(self, names, part):
        of_part = [one for i, one in enumerate(self.truth) if (i // 2 % 4 == 3) == (part == "validation")]
        return {name: sum(one[name] == 1 for one in of_part) for name in names}

    def assert_trained_on(self, names):
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), list(names))
        card = json.loads((self.tmp / "run/data_card/card.json").read_text())
        for part in card["parts"]:
            self.assertEqual({one["class"]: one["cases"] for one in part["classes"]}, self.counts(names, part["part"]))

    def test_without_names_all_that_look_like_it(self):
        done = self.train()
        self.assert_says(done, "findings are the columns Effusion, smoker, Edema, Mass", "a column is not used: note")
        self.assert_trained_on(("Effusion", "smoker", "Edema", "Mass"))

    def test_named_columns_in_their_order(self):
        for names in (["Mass", "Effusion"], ["Edema"], list(FINDINGS), ["smoker"]):
            with self.subTest(names):
                done = self.train(f"data.findings=[{','.join(names)}]")
                self.assert_trained_on(names)
                self.assert_says(done, ", ".join(names), "not used: ")
        self.train("data.findings=[ effusion , MASS]")  # case of letters does not matter; names are those of the file
        self.assert_trained_on(["Effusion", "Mass"])

    def test_a_prepared_dataset(self):
        """Named when it is prepared, or when it is trained on: the same numbers."""
        self.vmae("prepare", "--input", "data/list.csv", "--output", "all")
        self.vmae("prepare", "--input", "data/list.csv", "--output", "some", "prepare.findings=[Mass,Effusion]")
        self.assertEqual(json.loads(self.vmae("inspect", "some", "--json").stdout)["cases_by_label"],
                         {name: sum(one[name] == 1 for one in self.truth) for name in ("Mass", "Effusion")})
        losses = []
        for data, keys in (("all", ["data.findings=[Mass,Effusion]"]), ("some", []), ("some", ["data.findings=[Mass,Effusion]"])):
            self.train(*keys, data=data)
            self.assert_trained_on(["Mass", "Effusion"])
            losses.append([json.loads(line)["loss"] for line in (self.tmp / "run/metrics.jsonl").read_text().splitlines()])
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(losses[1], losses[2])
        self.assert_says(self.train("data.findings=[Masses]", data="all", expect=2), "'Masses'", "did you mean 'Mass'", "Effusion, smoker, Edema, Mass")

    def test_split_by_named_findings(self):
        done = self.vmae("split", "--input", "data/list.csv", "--output", "s.json", "split.scheme=50/50", "split.findings=[Edema]")
        self.assertRegex(done.stdout, r"patients +Edema\n")

    def test_a_label_column_gives_way(self):
        file = self.tmp / "data/list.csv"
        file.write_text(file.read_text().replace("note", "label"))
        self.train("data.findings=[Effusion,Mass]")
        self.assert_trained_on(["Effusion", "Mass"])

    def test_test_data_have_the_same(self):
        (self.tmp / "data/test.csv").write_text((self.tmp / "data/list.csv").read_text().replace("smoker", "drinker"))
        rows = (self.tmp / "data/list.csv").read_text().splitlines()
        (self.tmp / "data/list.csv").write_text("\n".join(rows[:17]) + "\n")
        (self.tmp / "data/test.csv").write_text("\n".join([rows[0].replace("smoker", "drinker"), *rows[17:]]) + "\n")
        self.assert_says(self.train("data.test=data/test.csv", expect=3), "drinker")
        self.train("data.test=data/test.csv", "data.findings=[Effusion,Mass]")
        self.assertEqual(list(self.table("cases.csv", "run/external_test").values())[0].keys() - {"case", "slices"}, {"Effusion", "Mass"})

    def test_mistakes_are_named(self):
        for key, *said in (("[Efusion]", "'Efusion'", "did you mean 'Effusion'", "image, patient, split, Effusion, smoker, Edema, Mass, note"),
                           ("[patient]", "patient", "patients"), ("[image]", "images"), ("[split]", "parts"), ("[Mass,mass]", "Mass", "twice"),
                           ("[unheard]", "'unheard'", "it has: image")):
            with self.subTest(key):
                self.assert_says(self.train(f"data.findings={key}", expect=2), *said)
                self.assert_says(self.vmae("prepare", "--input", "data/list.csv", "--output", "p", f"prepare.findings={key}", expect=2), *said)
        self.assert_says(self.train("data.findings=[note]", expect=3), "list.csv:2", "note", "'x0'")
        (self.tmp / "pictures").mkdir()
        Image.fromarray(np.zeros((40, 40), np.uint8)).save(self.tmp / "pictures/a.png")
        self.assert_says(self.train("data.findings=[Mass]", data="pictures", expect=2), "no findings")


if __name__ == "__main__":
    unittest.main()
