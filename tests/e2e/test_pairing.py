# SPDX-License-Identifier: Apache-2.0
"""Names, labels and patients through the commands: each image has the mask of its own name, each label its own class, each patient one part of a split."""
import json
import random
import unittest

import numpy as np

from evaluating import EvalTest, blob, write_map
from finetuning import SWIN, TRAIN
from harness import make_pictures

SHAPE, SPACING = (12, 10, 7), (0.75, 1.125, 2.5)
DOTTED = ["1.2.826.0.1.101", "1.2.826.0.1.102", "1.2.826.0.1", "p.T1", "p.T2", "p", "scan.v2.final"]


def training(data):
    return [*SWIN, *TRAIN, f"data.train={data}", "run.dir=run"]


class NamesTest(EvalTest):
    def inspect(self, path):
        return json.loads(self.vmae("inspect", path, "--json").stdout)

    def remarks(self, found):
        return "\n".join(f"{one['name']}: {one['text']}" for one in found["remarks"])

    def test_dotted_names_keep_their_own_masks(self):
        """Every mask is another one, so that a wrong pair shows in the Dice."""
        for layout, ending, mask_ending in (("same", ".nii.gz", ".nii.gz"), ("other", ".nii", ".nrrd"), ("upper", ".NII.GZ", ".nii.gz")):
            with self.subTest(layout):
                for i, name in enumerate(DOTTED):
                    write_map(self.tmp / layout / "labels" / (name + mask_ending), blob(SHAPE, i), SPACING)
                    write_map(self.tmp / layout / "images" / (name + ending.lower()), blob(SHAPE, i) * 50, SPACING)
                    (self.tmp / layout / "images" / (name + ending.lower())).rename(self.tmp / layout / "images" / (name + ending))
                found = self.inspect(layout)
                self.assertEqual({image["name"]: image["mask"] for image in found["images"]}, {f"images/{name}{ending}": name + mask_ending for name in DOTTED})
                self.eval(pred=f"{layout}/labels", truth=layout, output=f"out_{layout}")
                self.assertEqual({row["case"] for row in self.rows(output=f"out_{layout}")}, {f"images/{name}" for name in DOTTED})
                np.testing.assert_array_equal(self.case_values("Dice", output=f"out_{layout}"), 1)

    def test_two_of_one_name_are_refused_everywhere(self):
        for name in ("images/a.nii.gz", "images/b.nii.gz", "labels/a.nii.gz", "labels/a.nrrd", "labels/b.nii.gz"):
            write_map(self.tmp / "d" / name, blob(SHAPE, 1), SPACING)
        for arguments in (["inspect", "d"], ["prepare", "--input", "d", "--output", "p"], ["split", "--input", "d", "--output", "s.json"],
                          ["finetune-seg", *training("d")], ["eval", "--pred", "d/images", "--truth", "d", "--output", "e"]):
            with self.subTest(arguments[0]):
                done = self.vmae(*arguments, expect=3)
                for part in ("labels/a.nii.gz", "labels/a.nrrd", "images/a.nii.gz", "can't be told"):
                    self.assertIn(part, done.stderr)

    def test_matching_by_the_last_part_says_so(self):
        for name in ("x/a", "x/b", "y/c"):
            write_map(self.tmp / f"truth/{name}.nii.gz", blob(SHAPE, 1), SPACING)
        for name in ("a", "b", "c"):
            write_map(self.tmp / f"pred/{name}.nii.gz", blob(SHAPE, 1), SPACING)
        done = self.eval(pred="pred", truth="truth")
        self.assertIn("matched by the last part of their paths: x/a is a (and 2 more)", done.stderr)
        write_map(self.tmp / "truth/y/a.nii.gz", blob(SHAPE, 1), SPACING)
        done = self.eval(pred="pred", truth="truth", expect=3)
        self.assertIn("which of a belongs to x/a, y/a of the truth can't be told", done.stderr)

    def test_predictions_of_nnunet(self):
        """The folder holds dataset.json, plans.json, .npz, .pkl; "ignore" is no class."""
        truth, predicted = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
        truth[2:8, 2:8, 2:4], truth[:, :, 6], predicted[2:8, 2:8, 2:5] = 1, 2, 1
        write_map(self.tmp / "labelsTs/c4.nii.gz", truth, SPACING)
        write_map(self.tmp / "preds/c4.nii.gz", predicted, SPACING)
        (self.tmp / "preds/dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "ignore": 2}, "file_ending": ".nii.gz"}))
        for name in ("plans.json", "summary.json", "c4.npz", "c4.pkl", "predict_from_raw_data_args.json"):
            (self.tmp / "preds" / name).write_text("{}")
        self.eval(pred="preds", truth="labelsTs")
        (row,) = self.rows()
        self.assertEqual(row["class"], "organ")
        self.assert_close(row["Dice"], 2 * 72 / (72 + 108))

    def test_dataset_json_that_contradicts_itself(self):
        for folder in ("imagesTr", "labelsTr"):
            write_map(self.tmp / f"d/{folder}/a{'_0000' if folder == 'imagesTr' else ''}.nii.gz", blob(SHAPE, 1), SPACING)
        for labels, says in (({"background": 0, "a": 2, "ignore": 1}, '"ignore": is 1, but 2 is a class'), ({"a": 1, "b": 1}, "the value 1 has two names"),
                             ({"background": 1, "a": 2}, "the background is 0"), ({"a": 1.5}, "no whole number")):
            (self.tmp / "d/dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
            for arguments in (["inspect", "d"], ["prepare", "--input", "d", "--output", "p"], ["finetune-seg", *training("d")]):
                done = self.vmae(*arguments, expect=3)
                self.assertIn("d/dataset.json", done.stderr)
                self.assertIn(says, done.stderr)


class LabelsTest(EvalTest):
    def test_numbers_are_compared_by_value(self):
        """Scores, truth and --positive in other spellings give the same report as in one."""
        numbers = random.Random(4)
        rows = [(f"c{i}", numbers.randrange(3), [numbers.random() for _ in range(3)]) for i in range(40)]
        estimates = []
        for k, spell in enumerate((str, lambda n: f"{n}.0", lambda n: f"0{n}")):
            (self.tmp / "t.csv").write_text("case,label\n" + "".join(f"{case},{spell(label)}\n" for case, label, _ in rows))
            (self.tmp / "s.csv").write_text("case,2,00,1.0\n" + "".join(f"{case},{p[2]},{p[0]},{p[1]}\n" for case, _, p in rows))
            self.eval("--resamples", "20", pred="s.csv", truth="t.csv", output=f"out{k}")
            self.assertEqual(self.summary(f"out{k}")["classes"], ["0", "1", "2"])
            estimates.append({key: one["value"] for key, one in self.estimates(f"out{k}").items()})
        self.assertEqual(estimates[0], estimates[1])
        self.assertEqual(estimates[0], estimates[2])
        (self.tmp / "t.csv").write_text("case,label\n" + "".join(f"{case},{label > 0:d}.0\n" for case, label, _ in rows))
        (self.tmp / "s.csv").write_text("case,1\n" + "".join(f"{case},{p[1]}\n" for case, _, p in rows))
        done = self.eval("--resamples", "20", "--positive", "01", pred="s.csv", truth="t.csv", output="binary")
        self.assertIn("positive class: 1", done.stderr)
        self.assertEqual(self.summary("binary")["classes"], ["1"])

    def test_a_case_without_a_label(self):
        """Of a manifest: it does not count; that there are scores of it is said."""
        make_pictures(self.tmp / "d/images", 12)
        names = sorted(path.name for path in (self.tmp / "d/images").iterdir())
        (self.tmp / "d/list.csv").write_text("image,label\n" + "".join(f"images/{name},{'' if i == 5 else 'ab'[i % 2]}\n" for i, name in enumerate(names)))
        (self.tmp / "s.csv").write_text("case,a,b\n" + "".join(f"images/{name[:-4]},{i / 12},{1 - i / 12}\n" for i, name in enumerate(names)))
        done = self.eval("--resamples", "20", "--positive", "b", pred="s.csv", truth="d/list.csv", expect=3)
        self.assertIn("1 of 12 cases have no label", done.stderr)
        self.assertIn("has scores of s, but no label", done.stderr)
        self.eval("--resamples", "20", "--positive", "b", "--skip-bad-cases", pred="s.csv", truth="d/list.csv", expect=6)
        self.assertEqual(self.summary()["cases"], 11)

    def test_text_that_is_not_utf8(self):
        make_pictures(self.tmp / "d/images", 12)
        names = sorted(path.name for path in (self.tmp / "d/images").iterdir())
        (self.tmp / "d/x.csv").write_bytes(("image;label\r\n" + "".join(f"images/{n};{'gut' if i % 2 else 'bös'}\r\n" for i, n in enumerate(names))).encode("cp1252"))
        for arguments in (["finetune-cls", *training("d/x.csv")], ["split", "--input", "d/x.csv", "--output", "s.json"], ["inspect", "d/x.csv"],
                          ["prepare", "--input", "d", "--output", "p"], ["eval", "--pred", "d/x.csv", "--truth", "d/x.csv", "--output", "e"]):
            with self.subTest(arguments[0]):
                done = self.vmae(*arguments, expect=3)
                self.assertIn("x.csv:2: is not UTF-8 text: the byte 0xF6", done.stderr)
                self.assertIn("CSV UTF-8", done.stderr)


class PatientsTest(EvalTest):
    def test_each_name_of_the_column_keeps_patients_together(self):
        make_pictures(self.tmp / "d/images", 20)
        names = sorted(path.name for path in (self.tmp / "d/images").iterdir())
        who = {f"images/{name}": f"Doe{i // 4}" for i, name in enumerate(names)}
        results = []
        for column in ("patient", "patient_id", "PatientID", "subject", "subject_id"):
            (self.tmp / "d/list.csv").write_text(f"image,{column}\n" + "".join(f"{name},{patient}\n" for name, patient in who.items()))
            done = self.vmae("split", "--input", "d/list.csv", "--output", f"{column}.json", "split.scheme=5fold")
            self.assertNotIn("patients are not known", done.stderr)
            self.assertNotIn("Doe", done.stderr + done.stdout)
            results.append((self.tmp / f"{column}.json").read_text())
        self.assertEqual(set(results), {results[0]})
        for fold in json.loads(results[0])["folds"]:
            self.assertFalse({who[n] for n in fold["train"]} & {who[n] for n in fold["test"]})

    def test_one_file_under_two_paths(self):
        """A link, or another way of writing a path, does not make two images of one, with masks that differ."""
        make_pictures(self.tmp / "real", 4)
        (self.tmp / "lnk").symlink_to(self.tmp / "real")
        (self.tmp / "one.png").symlink_to(self.tmp / "real/case000.png")
        for second in ("lnk/case000.png", "one.png", "real/../real/case000.png", "./real/case000.png"):
            for rest, code in (("case002.png", 3), ("case001.png", 0 if second in ("lnk/case000.png", "one.png") else 3)):
                with self.subTest(second=second, mask=rest):
                    (self.tmp / "list.csv").write_text(f"image,mask,patient\nreal/case000.png,real/case001.png,a\n{second},real/{rest},a\n")
                    self.vmae("inspect", "list.csv", expect=code)

    def test_cells_of_masks_among_other_cells(self):
        make_pictures(self.tmp / "i", 6)
        make_pictures(self.tmp / "m", 6)
        rows = [f"i/case{i:03d}.png,m/case{i:03d}.png" for i in range(1, 6)]
        for first in ("none", "no mask", "0"):
            (self.tmp / "list.csv").write_text("\n".join(["image,label", f"i/case000.png,{first}", *rows]) + "\n")
            done = self.vmae("inspect", "list.csv", expect=3)
            self.assertIn("list.csv:2", done.stderr)
        (self.tmp / "list.csv").write_text("\n".join(["image,label", "i/case000.png,", *rows]) + "\n")
        self.assertEqual(len([one for one in json.loads(self.vmae("inspect", "list.csv", "--json").stdout)["images"] if one.get("mask")]), 5)

    def test_a_file_in_two_parts(self):
        make_pictures(self.tmp / "i", 9)
        parts = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
        for patients, says in (((0, 1, 2, 3, 4, 5, 6, 6, 7), "has validation files"), ((0, 1, 2, 3, 4, 5, 6, 4, 7), "has training files")):
            rows = [f"i/case{i:03d}.png,{'ab'[i % 2]},P{patients[i]},{part}" for i, part in enumerate(parts)]
            (self.tmp / "list.csv").write_text("\n".join(["image,label,patient,split", *rows]) + "\n")
            done = self.vmae("finetune-cls", *SWIN, *TRAIN, "data.train=list.csv", "run.dir=run", expect=3)
            self.assertIn("test file i/case007.png", done.stderr)
            self.assertIn(says, done.stderr)

    def test_patients_written_otherwise_do_not_leak(self):
        make_pictures(self.tmp / "i", 8)
        for name, numbers, form in (("train", range(4), "{}.0"), ("val", range(2, 6), "{}")):
            lines = [f"i/case{i if name == 'train' else i + 2:03d}.png,{'ab'[i % 2]},{form.format(i)}" for i in numbers]
            (self.tmp / f"{name}.csv").write_text("image,label,patient\n" + "\n".join(lines) + "\n")
        done = self.vmae("finetune-cls", *SWIN, *TRAIN, "data.train=train.csv", "data.val=val.csv", "run.dir=run", expect=3)
        self.assertIn("its patient has training files", done.stderr)
        (self.tmp / "alike.csv").write_text("image,label,patient\ni/case000.png,a,P1\ni/case001.png,b,p1\ni/case002.png,b,P2\n")
        self.assertIn("count as different patients: 1 group", self.vmae("inspect", "alike.csv").stdout)
        self.vmae("prepare", "--input", "train.csv", "--output", "p")
        done = self.vmae("finetune-cls", *SWIN, *TRAIN, "data.train=p", "data.val=val.csv", "run.dir=run", "--overwrite", "train.epochs=1")
        self.assertIn("patients are called differently", done.stderr)

    def test_links_and_folders_of_other_programs_in_evaluation(self):
        for folder in ("truth", "pred"):
            write_map(self.tmp / folder / "A/x.nii.gz", blob(SHAPE, 1), SPACING)
            write_map(self.tmp / f"else_{folder}/y.nii.gz", blob(SHAPE, 2 if folder == "truth" else 3), SPACING)
            (self.tmp / folder / "B").symlink_to(self.tmp / f"else_{folder}")
        for trash in ("@eaDir", "__MACOSX", ".hidden"):
            write_map(self.tmp / "pred" / trash / "x.nii.gz", blob(SHAPE, 1), SPACING)
        self.eval(pred="pred", truth="truth", output="out")
        self.assertEqual({row["case"] for row in self.rows(output="out")}, {"A/x", "B/y"})

    def test_nnunet_subfolders_keep_their_pairs(self):
        for i, (image, label) in enumerate((("A", "A"), ("A", "B"))):
            data = self.tmp / f"d{i}"
            write_map(data / f"imagesTr/{image}/c_0000.nii.gz", blob(SHAPE, 1), SPACING)
            write_map(data / f"labelsTr/{label}/c.nii.gz", blob(SHAPE, 1), SPACING)
            (data / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz"}))
            done = self.vmae("inspect", data.name, expect=0 if image == label else 3)
            self.assertEqual("different subfolders" in done.stderr, image != label)

    def test_unknown_patients_and_unused_columns_are_told(self):
        make_pictures(self.tmp / "d/images", 12)
        names = sorted(path.name for path in (self.tmp / "d/images").iterdir())
        (self.tmp / "d/list.csv").write_text("image,label,subjects,age\n" + "".join(f"images/{n},{'ab'[i % 2]},{i % 2},{i}\n" for i, n in enumerate(names)))
        said = "patients are not known: each file counts as its own patient"
        for arguments in (["split", "--input", "d/list.csv", "--output", "s.json"], ["finetune-cls", *training("d/list.csv"), "--dry-run"],
                          ["prepare", "--input", "d/list.csv", "--output", "p", "--dry-run"], ["inspect", "d/list.csv"]):
            with self.subTest(arguments[0]):
                done = self.vmae(*arguments)
                self.assertIn(said, done.stderr + done.stdout)
                self.assertIn("columns are not used: subjects, age", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
