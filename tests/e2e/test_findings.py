# SPDX-License-Identifier: Apache-2.0
"""Which columns of a manifest are findings: those that are named, in every command that reads labels; without names those that look like it, which is said."""
import csv
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

    def test_one_column_of_words_holds_the_classes(self):
        rows = (self.tmp / "data/list.csv").read_text().splitlines()
        words = [row + "," + ("dx" if i == 0 else ("nevus", "melanoma")[i % 2]) for i, row in enumerate(rows)]
        (self.tmp / "data/words.csv").write_text("\n".join(words) + "\n")
        done = self.train("data.findings=[dx]", data="data/words.csv")
        self.assert_says(done, "the classes are those of the column dx")
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), ["melanoma", "nevus"])
        self.vmae("prepare", "--input", "data/words.csv", "--output", "words", "prepare.findings=[dx]")
        self.assertEqual(json.loads(self.vmae("inspect", "words", "--json").stdout)["cases_by_label"], {"melanoma": 12, "nevus": 12})

    def evaluated(self, folder):
        """case -> melanoma or nevus, as the evaluation took the truth"""
        with open(self.tmp / folder / "cases.csv") as file:
            rows = list(csv.DictReader(file))
        return {row["case"] + ".png": "nevus" if row["label nevus"] == "1" else "melanoma" for row in rows}

    def test_a_column_of_words_in_every_place(self):
        rows = (self.tmp / "data/list.csv").read_text().splitlines()
        words = [row + "," + ("dx" if i == 0 else ("nevus", "melanoma")[i % 2]) for i, row in enumerate(rows)]
        for name, part in (("all", words[1:]), ("train", words[1:13]), ("val", words[13:19]), ("test", words[19:])):
            (self.tmp / f"data/{name}.csv").write_text("\n".join([words[0], *part]).replace(",split,", ",part,") + "\n")
        self.train("data.findings=[dx]", "data.val=data/val.csv", "data.test=data/test.csv", data="data/train.csv")
        self.assertEqual(list(self.table("cases.csv", "run/external_test").values())[0].keys() - {"case", "slices"}, {"melanoma", "nevus"})
        self.vmae("eval", "--run", "run", "--output", "external", "--resamples", "10")
        truth = self.evaluated("external")
        self.assertEqual(truth, {line.split(",")[0]: line.split(",")[-1] for line in words[19:]})
        done = self.vmae("split", "--input", "data/all.csv", "--output", "s.json", "split.scheme=50/50", "split.findings=[dx]")
        self.assertRegex(done.stdout, r"melanoma +nevus\n")
        self.train("data.findings=[dx]", "data.splits=s.json", data="data/all.csv")
        self.vmae("prepare", "--input", "data/all.csv", "--output", "all", "prepare.findings=[dx]")
        self.train("data.findings=[DX]", data="all")
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), ["melanoma", "nevus"])
        for name in ("[label]", "[Effusion]", "[no_such]", "[dx,Mass]"):
            self.assert_says(self.train(f"data.findings={name}", data="all", expect=2), name[1:-1].replace(",", ", "), "the classes of the column dx")
        # A slip in one file of the two is no class: the other does not have it.
        test = self.tmp / "data/test.csv"
        test.write_text(test.read_text().replace("melanoma", "Melanom", 1))
        self.assert_says(self.train("data.findings=[dx]", "data.test=data/test.csv", data="data/train.csv", expect=3), "Melanom")

    def words(self, *columns):
        """data/words.csv: the list with further columns of nevus and melanoma that differ from each other; its last third of patients is for tests"""
        rows = (self.tmp / "data/list.csv").read_text().splitlines()
        kinds = ("nevus", "melanoma")
        lines = [rows[0] + "".join("," + name for name in columns)]
        for i, row in enumerate(rows[1:]):
            row = row.replace(",train,", ",test,").replace(",val,", ",test,") if i >= 16 else row
            lines.append(row + "".join("," + kinds[i // 2**c % 2] for c in range(len(columns))))
        (self.tmp / "data/words.csv").write_text("\n".join(lines) + "\n")
        return {name: {f"p{i:02d}.png": kinds[i // 2**c % 2] for i in range(16, 24)} for c, name in enumerate(columns)}

    def test_files_of_a_prepared_dataset_as_the_truth(self):
        """The column that the dataset was prepared with, not one called label."""
        truth = self.words("dx", "label")
        self.vmae("prepare", "--input", "data/words.csv", "--output", "set", "--names-table", "names.csv", "prepare.findings=[dx]")
        self.train(data="set")
        self.vmae("eval", "--run", "run", "--truth", "data/words.csv", "--names-table", "names.csv", "--output", "by_files", "--resamples", "10")
        self.assertEqual(self.evaluated("by_files"), truth["dx"])

    def test_a_manifest_with_ids_as_the_truth(self):
        truth = self.words("dx", "label")
        file = self.tmp / "data/words.csv"
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[0] + ",id", *(f"{line},p{i:02d}" for i, line in enumerate(lines[1:]))]) + "\n")
        self.train("data.findings=[dx]", data="data/words.csv")
        said = self.vmae("eval", "--run", "run", "--truth", "data/words.csv", "--output", "by_files", "--resamples", "10")
        self.assert_says(said, "truth: the classes are those of the column dx")
        self.assertEqual(self.evaluated("by_files"), truth["dx"])

    def test_columns_that_the_truth_does_not_have(self):
        self.words("dx", "label")
        self.train("data.findings=[dx]", data="data/words.csv")
        text = (self.tmp / "data/words.csv").read_text()
        (self.tmp / "data/other.csv").write_text(text.replace(",dx,", ",diagnosis,"))
        refused = self.vmae("eval", "--run", "run", "--truth", "data/other.csv", "--output", "other", expect=3)
        self.assert_says(refused, "the columns of the runs", "'dx'", "--findings")
        self.vmae("eval", "--run", "run", "--truth", "data/other.csv", "--findings", "diagnosis", "--output", "other", "--resamples", "10")

    def test_classes_of_folders_have_no_columns(self):
        for kind in ("nevus", "melanoma"):
            (self.tmp / f"folders/{kind}").mkdir(parents=True)
            for i in range(12):
                Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)).save(self.tmp / f"folders/{kind}/{i}.png")
        self.assert_says(self.vmae("split", "--input", "folders", "--output", "s.json", "split.findings=[Effusion]", expect=2), "has no findings, but classes")

    def test_who_the_patient_is_makes_no_classes(self):
        file = self.tmp / "data/list.csv"
        lines = file.read_text().splitlines()
        for name in ("subject", "patient_name", "name"):
            file.write_text("\n".join([f"{lines[0]},{name}", *(f"{line},{line.split(',')[1]}" for line in lines[1:])]) + "\n")
            done = self.vmae("prepare", "--input", "data/list.csv", "--output", "p", f"prepare.findings=[{name}]", expect=2)
            self.assert_says(done, name, "holds names")
            self.assertNotIn("q11", done.stdout + done.stderr)

    def test_a_column_called_label_is_what_it_holds(self):
        file = self.tmp / "data/list.csv"
        lines = file.read_text().splitlines()
        for cells, names in ((("1", "2", "3"), ["1", "2", "3"]), (("0", "1", "1"), ["label"])):
            file.write_text("\n".join([f"{lines[0]},label", *(f"{line},{cells[i % 3]}" for i, line in enumerate(lines[1:]))]) + "\n")
            self.train("data.findings=[label]")
            self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), names)

    def test_evaluation_takes_the_columns_of_the_run(self):
        """And no other column with classes of the same names, of another reader, say."""
        column = self.words("dx", "label")
        for name in ("dx", "label"):
            self.train(f"data.findings=[{name}]", data="data/words.csv", run=f"by_{name}")
            self.vmae("eval", "--run", f"by_{name}", "--output", f"{name}_eval", "--resamples", "10")
            self.assertEqual(self.evaluated(f"{name}_eval"), column[name])
        (self.tmp / "truth.csv").write_text("case,label\n" + "".join(f"{case[:-4]},{kind}\n" for case, kind in column["dx"].items()))
        refused = self.vmae("eval", "--run", "by_dx", "--truth", "truth.csv", "--findings", "dx", "--output", "table", expect=2)
        self.assert_says(refused, "--findings is not for tables of labels")
        self.assert_says(self.vmae("compare", "by_dx", "by_label", "--output", "both", expect=3), "data.findings", "--findings")
        self.vmae("compare", "by_dx", "by_label", "--truth", "truth.csv", "--output", "table", "--resamples", "10")
        self.vmae("compare", "by_dx", "by_label", "--findings", "dx", "--output", "both", "--resamples", "10")
        self.assertEqual(self.evaluated("both"), column["dx"])

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
        for key in ("data.findings", "prepare.findings", "split.findings"):
            done = {"data.findings": lambda: self.train("data.findings=[note]", expect=3),
                    "prepare.findings": lambda: self.vmae("prepare", "--input", "data/list.csv", "--output", "p", "prepare.findings=[note]", expect=3),
                    "split.findings": lambda: self.vmae("split", "--input", "data/list.csv", "--output", "s.json", "split.findings=[note]", expect=3)}[key]()
            self.assert_says(done, "the column note", "24 different texts in 24 rows")
            self.assertNotIn("x11", done.stdout + done.stderr)
        self.assert_says(self.train("data.findings=[note,Mass]", expect=3), "list.csv:2", "note", "'x0'")
        (self.tmp / "pictures").mkdir()
        Image.fromarray(np.zeros((40, 40), np.uint8)).save(self.tmp / "pictures/a.png")
        self.assert_says(self.train("data.findings=[Mass]", data="pictures", expect=2), "no findings")


if __name__ == "__main__":
    unittest.main()
