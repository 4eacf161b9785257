# SPDX-License-Identifier: Apache-2.0
"""vmae eval refuses what can't be compared: exit code 3 naming case or line, and nothing is written; --skip-bad-cases leaves it out by name."""
import shutil
import unittest

import numpy as np
from PIL import Image

from evaluating import EvalTest, blob, perturbed, write_map
from finetuning import write_nifti

SPACING = (0.75, 1.125, 2.5)


class BadInputTest(EvalTest):
    def refused(self, *says, more=(), pred="pred", truth="truth", expect=3, **kw):
        """Nothing may be in --output afterwards."""
        shutil.rmtree(self.tmp / "refused", ignore_errors=True)
        done = self.eval(*more, pred=pred, truth=truth, output="refused", expect=expect, **kw)
        self.assert_says(done, *says)
        left = [str(p) for p in (self.tmp / "refused").rglob("*") if p.is_file()]
        self.assertEqual(left, [])
        return done

    def skipped(self, *names, more=(), pred="pred", truth="truth", cases, says=True):
        """The others are evaluated, and who was left out is named."""
        done = self.eval("--skip-bad-cases", *more, pred=pred, truth=truth, expect=6)
        self.assertEqual(self.summary()["cases"], cases)
        left_out = self.summary()["left_out"]
        self.assertEqual(sorted(one.split(":")[0] for one in left_out), sorted(names), left_out)
        for name in names:
            if says:
                self.assertIn(name, done.stderr)
            self.assertIn(name, (self.tmp / "out/report.html").read_text())


class SegmentationTest(BadInputTest):
    def setUp(self):
        super().setUp()
        for i in range(3):
            labels = blob((12, 10, 8), i)
            write_map(self.tmp / f"truth/c{i}.nii.gz", labels, SPACING)
            write_map(self.tmp / f"pred/c{i}.nii.gz", perturbed(labels, i), SPACING)

    def test_cases_on_one_side_only(self):
        (self.tmp / "truth/c1.nii.gz").unlink()
        self.refused("c1", "no truth")
        (self.tmp / "pred/c2.nii.gz").unlink()
        self.refused("c1", "no truth", "c2", "no prediction of pred")
        self.skipped("c1", "c2", cases=1)

    def test_a_second_model_misses_a_case(self):
        for i in range(2):
            write_map(self.tmp / f"other/c{i}.nii.gz", blob((12, 10, 8), i), SPACING)
        self.refused("c2", "no prediction of other", pred=["pred", "other"])
        self.skipped("c2", pred=["pred", "other"], cases=2)

    def test_nothing_in_common(self):
        for i in range(3):
            (self.tmp / f"pred/c{i}.nii.gz").rename(self.tmp / f"pred/other{i}.nii.gz")
        self.refused("c0")
        self.assert_says(self.eval("--skip-bad-cases", pred="pred", truth="truth", expect=3), "no case")
        self.assertFalse((self.tmp / "out/report.html").exists())

    def test_grids_differ(self):
        labels = blob((12, 10, 8), 1)
        for what, (voxels, spacing, origin), says in (("size", (labels[:, :, :7], SPACING, (0, 0, 0)), "12 x 10 x 7"),
                                                      ("spacing", (labels, (0.75, 1.125, 3), (0, 0, 0)), "grid"),
                                                      ("origin", (labels, SPACING, (0, 5, 0)), "grid")):
            with self.subTest(what):
                write_map(self.tmp / "pred/c1.nii.gz", voxels, spacing, origin)
                self.refused("c1", "different grids", says)
        self.skipped("c1", cases=2)

    def test_an_orientation_differs(self):
        """Left and right exchanged in the header: equal voxels would be compared with the wrong side."""
        labels = blob((12, 10, 8), 1)
        write_nifti(self.tmp / "pred/c1.nii.gz", labels, np.diag([*SPACING, 1.0]), np.uint8)
        self.refused("c1", "different grids")

    def test_labels_that_are_not_declared(self):
        labels = perturbed(blob((12, 10, 8), 1), 1)
        labels[0, 0, 0] = 7
        write_map(self.tmp / "pred/c1.nii.gz", labels, SPACING)
        self.refused("c1", "value 7", "classes 0 to")
        write_map(self.tmp / "truth/c1.nii.gz", labels, SPACING)
        self.refused("c1", "value 7", "classes 0 to", more=["--classes", "one,two"])

    def test_what_is_no_label_map(self):
        good, labels = (self.tmp / "pred/c1.nii.gz").read_bytes(), blob((12, 10, 8), 1).astype(np.float32)
        bad = {"cut": lambda file: file.write_bytes(good[:len(good) // 2]), "empty": lambda file: file.write_bytes(b""),
               "junk": lambda file: file.write_bytes(b"\x00\xff" * 400), "halves": lambda file: write_nifti(file, labels * 0.5),
               "infinite": lambda file: write_nifti(file, np.where(labels == 1, np.inf, labels)), "negative": lambda file: write_nifti(file, -labels),
               "large": lambda file: write_nifti(file, labels * 300, dtype=np.int16), "four": lambda file: write_nifti(file, np.stack([labels] * 2, -1))}
        for name, write in bad.items():
            write_map(self.tmp / f"truth/{name}.nii.gz", labels, SPACING)
            write(self.tmp / f"pred/{name}.nii.gz")
        self.refused(*(f"\n  {name}: " for name in bad), "8 cases can't be evaluated")
        self.skipped(*bad, cases=3)

    def test_many_bad_cases(self):
        for i in range(30):
            write_map(self.tmp / f"pred/more{i:02d}.nii.gz", blob((6, 6, 4), i))
        done = self.refused("30 cases", "more00", "and 10 more")
        self.assertLess(len(done.stderr.splitlines()), 40)
        self.skipped(*(f"more{i:02d}" for i in range(30)), cases=3, says=False)

    def test_a_damaged_truth(self):
        file = self.tmp / "truth/c0.nii.gz"
        file.write_bytes(file.read_bytes()[:100])
        self.refused("c0")
        self.skipped("c0", cases=2)

    def test_colour_and_mixed_pictures(self):
        for i in range(3):
            for side in ("T", "P"):
                (self.tmp / side).mkdir(exist_ok=True)
                Image.fromarray(blob((12, 10, 1), i)[..., 0]).save(self.tmp / f"{side}/c{i}.png")
        Image.fromarray(np.random.default_rng(0).integers(0, 3, (12, 10, 3), np.uint8)).save(self.tmp / "P/c1.png")
        self.refused("c1", "colour", pred="P", truth="T")
        self.skipped("c1", pred="P", truth="T", cases=2)
        for side in ("T", "P"):
            (self.tmp / side / "c1.png").unlink()
            write_map(self.tmp / side / "c1.nii.gz", blob((12, 10, 8), 1))
        self.refused("pictures", "millimetres", pred="P", truth="T")

    def test_a_case_is_there_twice(self):
        for side in ("pred", "truth"):
            copy = self.tmp / side / "c1.nii"
            write_map(copy, blob((12, 10, 8), 1), SPACING)
            self.refused("c1", "twice", "c1.nii and c1.nii.gz")
            copy.unlink()

    def test_paths(self):
        (self.tmp / "empty").mkdir()
        self.refused("nowhere", pred="nowhere")
        self.refused("nowhere", truth="nowhere")
        self.refused("empty", truth="empty")
        self.refused("c0", pred="empty")
        self.refused("--truth", truth=None, expect=2)
        self.refused("nothing to evaluate", pred=(), expect=2)
        self.refused("--truth", more=["--run", "pred"], pred=(), truth=None, expect=2)

    def test_patients(self):
        for what, text, says in (("missing", "case,patient\nc0,a\nc1,b\n", ["c2"]), ("empty", "case,patient\nc0,a\nc1,\nc2,b\n", ["c1"]),
                                 ("columns", "case,person\nc0,a\n", ["patients.csv:1"]), ("twice", "case,patient\nc0,a\nc1,a\nc2,a\nc1,b\n", ["patients.csv:5", "c1"]),
                                 ("ragged", "case,patient\nc0,a\nc1\n", ["patients.csv:3"])):
            with self.subTest(what):
                (self.tmp / "patients.csv").write_text(text)
                self.refused(*says, more=["--patients", "patients.csv"])

    def test_usage(self):
        self.refused("--names", more=["--names", "A,B"], expect=2)
        self.refused("--fractions", more=["--fractions", "10,20"], expect=2)
        self.refused("--reference", "ghost", more=["--reference", "ghost"], expect=2)
        self.refused("--findings is for classification", more=["--findings", "a"], expect=2)
        self.refused("two models are called pred", pred=["pred", "pred"], expect=2)
        self.refused("same", more=["--names", "same,same"], pred=["pred", "truth"], expect=2)
        for wrong in (["--empty", "some"], ["--level", "1"], ["--resamples", "0"], ["--ignore-label", "256"], ["--threshold", "high"], ["--threshold", "nan"]):
            with self.subTest(wrong):
                self.refused(more=wrong, expect=2)

    def test_classes_that_are_called_alike(self):
        self.refused("two classes are called one", more=["--classes", "one,one"], expect=2)

    def test_a_class_called_like_a_mean_is_not_taken_for_it(self):
        """Refused, or told apart."""
        self.eval("--classes", "one,b", pred="pred", truth="truth")
        expected = self.rows("tables/results.csv")[0]["Dice"]
        process = self.start("eval", "--pred", "pred", "--truth", "truth", "--classes", "mean,b", "--output", "named")
        if process.wait(60) == 0:
            self.assertEqual(self.rows("tables/results.csv", "named")[0]["Dice"], expected)
            self.assertIn(expected, self.summary("named")["headline"])
            return
        self.assertIn(process.returncode, (2, 3))
        self.assertIn("mean", process.log.read_text())

    def test_output_is_not_empty(self):
        (self.tmp / "mine").mkdir()
        (self.tmp / "mine/notes.txt").write_text("mine")
        done = self.vmae("eval", "--pred", "pred", "--truth", "truth", "--output", "mine", expect=2)
        self.assert_says(done, "mine", "not empty", "--overwrite")
        self.assertEqual([p.name for p in (self.tmp / "mine").iterdir()], ["notes.txt"])
        self.eval(pred="pred", truth="truth", output="mine")
        self.assertEqual((self.tmp / "mine/notes.txt").read_text(), "mine")
        (self.tmp / "file").write_text("x")
        self.eval(pred="pred", truth="truth", output="file", expect=2)

    def test_a_report_replaces_nothing_that_it_is_made_from(self):
        shutil.copytree(self.tmp / "truth", self.tmp / "work/tables")
        before = {path: path.read_bytes() for path in sorted(self.tmp.rglob("*")) if path.is_file()}
        (self.tmp / "linked").mkdir()
        (self.tmp / "linked/tables").symlink_to(self.tmp / "truth")
        (self.tmp / "link").symlink_to(self.tmp / "work/tables")
        for output, pred, truth in (("pred", "pred", "truth"), ("truth/", "pred", "truth"), ("work/../pred", "pred", "truth"),
                                    ("work", "pred", "work/tables"), ("linked", "pred", "truth"), ("work", "pred", "link")):
            done = self.vmae("eval", "--pred", pred, "--truth", truth, "--output", output, "--overwrite", expect=2)
            self.assert_says(done, f"--output {output}", "which it is made from", "choose another folder")
        self.assertEqual({path: path.read_bytes() for path in sorted(self.tmp.rglob("*")) if path.is_file()}, before)
        done = self.vmae("eval", "--pred", "pred", "--truth", "truth", "--output", "new/../pred", "--overwrite", expect=2)
        self.assert_says(done, "--output pred", "which it is made from")
        self.assertEqual({path: path.read_bytes() for path in sorted(self.tmp.rglob("*")) if path.is_file()}, before)
        for output, pred, truth in ((".", "pred", "truth"), ("work", "pred", "work/tables/../../truth"), ("link/../report", "pred", "truth")):  # beside them
            self.vmae("eval", "--pred", pred, "--truth", truth, "--output", output, "--overwrite")
        self.assertTrue((self.tmp / "work/report/report.html").is_file())  # where the link leads


class ScoresTest(BadInputTest):
    LABELS = "case,label\na,0\nb,1\nc,1\nd,0\n"
    SCORES = "case,score\na,0.1\nb,0.8\nc,0.4\nd,0.5\n"

    def check(self, *says, labels=LABELS, scores=SCORES, expect=3, more=(), **kw):
        for name, text in (("labels.csv", labels), ("scores.csv", scores)):
            (self.tmp / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.refused(*says, pred="scores.csv", truth="labels.csv", expect=expect, more=more, **kw)

    def test_good(self):
        (self.tmp / "labels.csv").write_text(self.LABELS)
        (self.tmp / "scores.csv").write_text(self.SCORES)
        self.eval(pred="scores.csv", truth="labels.csv")
        self.check("a model may not be called label", expect=2, more=["--names", "label"])

    def test_a_report_does_not_replace_the_scores(self):
        (self.tmp / "labels.csv").write_text(self.LABELS)
        (self.tmp / "scores").mkdir()
        for scores, labels in (("scores/cases.csv", "labels.csv"), ("scores/other.csv", "scores/cases.csv")):
            (self.tmp / scores).write_text(self.SCORES)
            if labels != "labels.csv":
                shutil.copy(self.tmp / "labels.csv", self.tmp / labels)
            before = (self.tmp / "scores/cases.csv").read_text()
            done = self.vmae("eval", "--pred", scores, "--truth", labels, "--output", "scores", "--overwrite", expect=2)
            self.assert_says(done, "which it is made from", "scores/cases.csv", "choose another folder")
            self.assertEqual((self.tmp / "scores/cases.csv").read_text(), before)

    def test_scores(self):
        for cell in ("", "high", "nan", "-inf", "0,4", "1e999"):
            with self.subTest(cell):
                quoted = f'"{cell}"' if "," in cell else cell
                self.check("scores.csv:4", "case c", f"'{cell}'", scores=self.SCORES.replace("c,0.4", "c," + quoted))
        self.check("scores.csv:5", "b", "line 3", scores=self.SCORES.replace("d,", "b,"))
        self.check("scores.csv:4", scores=self.SCORES.replace("c,0.4", "c"))
        self.check("scores.csv:4", "no name", scores=self.SCORES.replace("c,0.4", ",0.4"))
        self.check("scores.csv:1", "columns", scores="who,score\na,1\n")
        self.check("scores.csv:1", scores="case,first,second\na,1,1\nb,1,1\nc,1,1\nd,1,1\n")
        self.check("scores.csv", "empty", scores="")
        self.check("scores.csv", scores="case,score\n")
        self.check("scores.csv", "UTF-8", scores=self.SCORES.encode("utf-16"))
        self.check("twice", "score", scores=self.SCORES.replace("case,score", "case,score,Score").replace("\n", ",1\n"))

    def test_labels(self):
        self.check("labels.csv:4", "case c", "no label", labels=self.LABELS.replace("c,1", "c,"))
        self.check("labels.csv:5", "b", "line 3", labels=self.LABELS.replace("d,", "b,"))
        self.check("labels.csv:4", labels=self.LABELS.replace("c,1", "c,1,1"))
        self.check("labels.csv", labels="case\na\nb\nc\nd\n")
        self.check("labels.csv:4", "patient", labels="case,label,patient\na,0,p\nb,1,q\nc,1,\nd,0,r\n")
        self.check("'maybe'", "not declared", labels=self.LABELS.replace("c,1", "c,maybe"), more=["--classes", "0,1"])
        self.check(labels=self.LABELS.replace("c,1", "c,maybe"))  # three classes, one column of scores
        for cell in ("2", "yes", "nan"):
            with self.subTest(cell):
                self.check("labels.csv:3", "nodule", f"'{cell}'", labels=f"case,nodule,mass\na,1,0\nb,{cell},1\nc,0,-1\nd,,1\n",
                           scores="case,nodule,mass\na,0.1,1\nb,1,1\nc,0,1\nd,0,0\n")

    def test_a_source_with_an_unlabelled_case(self):
        """It is named, and left out if asked to: of classes, in a manifest, and of a folder per class beside loose pictures."""
        (self.tmp / "source").mkdir()
        rows = ["image,label"] + [f"{name}.png,{label}" for name, label in zip("abcd", ("0", "1", "", "0"))]
        for name in "abcd":
            Image.fromarray(np.full((8, 8), 90, np.uint8)).save(self.tmp / f"source/{name}.png")
        (self.tmp / "source/list.csv").write_text("\n".join(rows) + "\n")
        (self.tmp / "scores.csv").write_text(self.SCORES)
        self.assert_says(self.eval(pred="scores.csv", truth="source/list.csv", output="unlabelled", expect=3), "c: has scores of scores, but no label", "--skip-bad-cases")
        self.skipped("c", pred="scores.csv", truth="source/list.csv", cases=3)

    def test_cases_on_one_side_only(self):
        self.check("d: has no scores", scores=self.SCORES.replace("d,0.5\n", ""))
        self.skipped("d", pred="scores.csv", truth="labels.csv", cases=3)
        self.check("e", "no label", scores=self.SCORES + "e,0.5\n")
        self.skipped("e", pred="scores.csv", truth="labels.csv", cases=4)
        self.check("a", scores="case,score\nu,1\nv,0\n")
        self.assert_says(self.eval("--skip-bad-cases", pred="scores.csv", truth="labels.csv", output="none", expect=3), "no case has both")

    def test_options_that_would_do_nothing(self):
        (self.tmp / "own.csv").write_text("case,label,score\na,0,0.1\nb,1,0.8\n")
        (self.tmp / "patients.csv").write_text("case,patient\na,p\nb,p\n")
        self.refused("--patients", pred="own.csv", truth=None, more=["--patients", "patients.csv"], expect=2)
        (self.tmp / "findings.csv").write_text("case,nodule,mass\na,1,0\nb,0,1\n")
        self.refused("ghost", pred="findings.csv", truth="findings.csv", more=["--classes", "nodule,ghost"], expect=3)

    def test_scores_and_label_maps_are_not_mixed(self):
        (self.tmp / "scores.csv").write_text(self.SCORES)
        write_map(self.tmp / "pred/c1.nii.gz", blob((12, 10, 8), 1))
        self.refused("label maps", "scores", pred=["scores.csv", "pred"], truth="pred")


if __name__ == "__main__":
    unittest.main()
