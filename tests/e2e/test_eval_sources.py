# SPDX-License-Identifier: Apache-2.0
"""Where vmae eval finds truth and predictions: datasets, manifests, DICOM segmentations, runs; and vmae compare."""
import json
import re
import shutil
import unittest

import highdicom
import numpy as np
import pydicom
from pydicom.sr.codedict import codes

from dicom_files import NEEDLES, write_ct_series
from evaluating import EvalTest, blob, expected_scores, perturbed, write_map

SHAPE, SPACING = (12, 10, 7), (0.75, 1.125, 2.5)


class SourcesTest(EvalTest):
    def make(self, names, folder, ending=".nii.gz", seed=None, share=0.04, spacing=SPACING):
        """Label maps, perturbed by the seed -> {name: labels}."""
        made = {}
        for i, name in enumerate(names):
            made[name] = blob(SHAPE, i) if seed is None else perturbed(blob(SHAPE, i), 100 * seed + i, share)
            write_map(self.tmp / folder / f"{name}{ending}", made[name], spacing)
        return made

    def check(self, predictions, truths, model, classes=("1", "2"), spacing=SPACING, output="out"):
        rows = {(row["case"].split("/")[-1], row["class"]): row for row in self.rows(output=output) if row["model"] == model}
        self.assertEqual(len(rows), len(truths) * len(classes))
        for case, truth in truths.items():
            for c, name in enumerate(classes):
                for metric, value in expected_scores(predictions[case], truth, c + 1, spacing).items():
                    self.assert_close(rows[case, name][metric] or None, value, 1e-6, (case, name, metric))


class TruthTest(SourcesTest):
    def test_nnunet_dataset(self):
        names = ["hip_001", "hip_002", "hip_010"]
        truth, predictions = self.make(names, "Dataset007/labelsTr"), self.make(names, "pred", seed=1)
        for name in names:
            write_map(self.tmp / f"Dataset007/imagesTr/{name}_0000.nii.gz", blob(SHAPE, 1) * 50, SPACING)
        write_map(self.tmp / "Dataset007/imagesTs/hip_099_0000.nii.gz", blob(SHAPE, 1) * 50, SPACING)
        (self.tmp / "Dataset007/dataset.json").write_text(json.dumps({
            "channel_names": {"0": "T1"}, "labels": {"background": 0, "anterior": 1, "posterior": 2}, "numTraining": 3, "file_ending": ".nii.gz"}))
        self.eval(pred="pred", truth="Dataset007/labelsTr", output="labels")
        self.check(predictions, truth, "pred", ("anterior", "posterior"), output="labels")
        self.eval(pred="pred", truth="Dataset007")
        self.check(predictions, truth, "pred", ("anterior", "posterior"))

    def test_nnunet_dataset_of_two_channels(self):
        """Both channels of a case have the same truth: it is one case."""
        names = ["hip_001", "hip_002", "hip_010"]
        truth, predictions = self.make(names, "D/labelsTr"), self.make(names, "pred", seed=1)
        for name in names:
            for channel in ("0000", "0001"):
                write_map(self.tmp / f"D/imagesTr/{name}_{channel}.nii.gz", blob(SHAPE, 1) * 50, SPACING)
        (self.tmp / "D/dataset.json").write_text(json.dumps({
            "channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "anterior": 1, "posterior": 2}, "numTraining": 3, "file_ending": ".nii.gz"}))
        self.eval(pred="pred", truth="D")
        self.check(predictions, truth, "pred", ("anterior", "posterior"))

    def test_manifest_with_patients(self):
        names = ["c0", "c1", "c2", "c3"]
        truth, predictions = self.make(names, "data/masks"), self.make(names, "pred", seed=1)
        self.make(names, "data/scans", seed=9)
        (self.tmp / "data/list.csv").write_text("image,mask,patient\n" + "".join(f"scans/{n}.nii.gz,masks/{n}.nii.gz,Doe-{i // 2}\n" for i, n in enumerate(names)))
        done = self.eval(pred="pred", truth="data/list.csv")
        self.check(predictions, truth, "pred")
        self.assertEqual([self.summary()["patients"], sorted({row["patient"] for row in self.rows()})], [2, ["1", "2"]])
        self.assertNotIn("Doe", done.stdout + done.stderr + "".join(self.texts().values()))

    def test_folders_of_label_maps_in_folders(self):
        names = ["a/1", "a/2", "b/1"]
        truth, predictions = self.make(names, "truth"), self.make(names, "pred", ".nrrd", seed=1)
        done = self.eval(pred="pred", truth="truth")
        self.assertEqual([row["case"] for row in self.rows() if row["class"] == "1"], names)
        for row in self.rows():
            expected = expected_scores(predictions[row["case"]], truth[row["case"]], int(row["class"]), SPACING)
            self.assert_close(row["Dice"], expected["Dice"])
        self.assertNotIn("warning", done.stderr, "nothing is wrong")

    def write_seg(self, series, labels, path, names=("liver", "tumour")):
        """labels: (slice, row, column) in the order of position."""
        sources = sorted((pydicom.dcmread(file) for file in series.iterdir()), key=lambda data: data.ImagePositionPatient[2])
        for data in sources:  # what highdicom asks for
            for keyword in ("PatientSex", "StudyID", "StudyDate", "StudyTime"):
                setattr(data, keyword, data.get(keyword, ""))
        algorithm = highdicom.AlgorithmIdentificationSequence("made up", codes.cid7162.ArtificialIntelligence, "1")
        segments = [highdicom.seg.SegmentDescription(i + 1, name, codes.SCT.Tissue, codes.SCT.Organ, highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm)
                    for i, name in enumerate(names)]
        mask = np.stack([labels == i + 1 for i in range(len(names))], -1).astype(np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        highdicom.seg.Segmentation(sources, mask, highdicom.seg.SegmentationTypeValues.BINARY, segments, highdicom.UID(), 1, highdicom.UID(), 1, "made up", "made up",
                                   "1", "1").save_as(path)

    def test_dicom_segmentations(self):
        """SEG against SEG and against NIfTI; each SEG covers only the slices where it has something, segments are matched by name."""
        truth, predictions, spacing = {}, {}, (0.7, 0.8, 5.0)
        for k in range(2):
            name, slices = f"c{k}", 9
            write_ct_series(self.tmp / f"ct{k}", slices, 24, 32, seed=k)
            truth[name] = blob((32, 24, slices), k)
            predictions[name] = perturbed(truth[name], k)
            truth[name][:, :, :2] = predictions[name][:, :, 7:] = 0
            self.write_seg(self.tmp / f"ct{k}", truth[name].transpose(2, 1, 0), self.tmp / f"truth/{name}.dcm")
            exchanged = np.array([0, 2, 1], np.uint8)[predictions[name]]
            self.write_seg(self.tmp / f"ct{k}", exchanged.transpose(2, 1, 0), self.tmp / f"pred/{name}.dcm", ("tumour", "liver"))
            write_map(self.tmp / f"nifti/{name}.nii.gz", predictions[name], spacing, (-10, -20, -100))
        done = self.eval(pred=["pred", "nifti"], truth="truth")
        self.check(predictions, truth, "pred", ("liver", "tumour"), spacing)
        self.check(predictions, truth, "nifti", ("liver", "tumour"), spacing)
        everything = done.stdout + done.stderr + "".join(self.texts().values())
        self.assertEqual([needle for needle in NEEDLES if needle in everything], [])
        self.write_seg(self.tmp / "ct0", truth["c0"].transpose(2, 1, 0), self.tmp / "pred/c0.dcm", ("liver", "spleen"))
        self.assert_says(self.eval(pred="pred", truth="truth", output="other", expect=3), "c0", "spleen")

    def test_series_and_segmentations_in_one_tree(self):
        """As an archive has them: the truth is the SEG that refers to the series."""
        truth, predictions = blob((32, 24, 9), 0), perturbed(blob((32, 24, 9), 0), 1)
        write_ct_series(self.tmp / "archive/ct", 9, 24, 32)
        self.write_seg(self.tmp / "archive/ct", truth.transpose(2, 1, 0), self.tmp / "archive/seg.dcm")
        self.write_seg(self.tmp / "archive/ct", predictions.transpose(2, 1, 0), self.tmp / "pred/ct.dcm")
        done = self.eval(pred="pred", truth="archive")
        self.check({"ct": predictions}, {"ct": truth}, "pred", ("liver", "tumour"), (0.7, 0.8, 5))
        everything = done.stdout + done.stderr + "".join(self.texts().values())
        self.assertEqual([needle for needle in NEEDLES if needle in everything], [])

    def test_numbers_without_names_against_structures(self):
        """They stand for the structures in the order of the truth, which is said; in several orders they stand for nothing."""
        spacing, truth, predictions = (0.7, 0.8, 5.0), {}, {}
        for k, names in enumerate((("liver", "tumour"), ("tumour", "liver"))):
            truth[k], predictions[k] = blob((32, 24, 9), k), perturbed(blob((32, 24, 9), k), k + 1)
            for archive in (f"archive{k}", "both"):
                write_ct_series(self.tmp / archive / f"ct{k}", 9, 24, 32, seed=k)
                self.write_seg(self.tmp / archive / f"ct{k}", truth[k].transpose(2, 1, 0), self.tmp / archive / f"seg{k}.dcm", names)
            for pred in (f"pred{k}", "preds"):
                write_map(self.tmp / pred / f"ct{k}.nii.gz", predictions[k], spacing, (-10, -20, -100))
            done = self.eval(pred=f"pred{k}", truth=f"archive{k}", output=f"out{k}")
            self.check({f"ct{k}": predictions[k]}, {f"ct{k}": truth[k]}, f"pred{k}", names, spacing, output=f"out{k}")
            self.assertIn(f"1 for {names[0]}, 2 for {names[1]}", done.stdout)
            alone = self.tmp / f"alone{k}/ct{k}.dcm"  # a SEG without its series
            alone.parent.mkdir()
            shutil.copy(self.tmp / f"archive{k}/seg{k}.dcm", alone)
            (self.tmp / "alone").mkdir(exist_ok=True)
            shutil.copy(alone, self.tmp / "alone")
            done = self.eval(pred=f"pred{k}", truth=f"alone{k}", output=f"alone_out{k}")
            self.check({f"ct{k}": predictions[k]}, {f"ct{k}": truth[k]}, f"pred{k}", names, spacing, output=f"alone_out{k}")
            self.assertIn(f"1 for {names[0]}, 2 for {names[1]}", done.stdout)
            self.assertIn(f"1 for {names[0]}, 2 for {names[1]}", (self.tmp / f"alone_out{k}/report.html").read_text())
        for truths in ("both", "alone"):
            self.assert_says(self.eval(pred="preds", truth=truths, output="no", expect=3), "in several orders", "--classes")

    def test_patients_of_files(self):
        """A table of patients may name files, with their endings, as tables of scores do."""
        names = ["c0", "c1", "c2.x"]
        self.make(names, "truth"), self.make(names, "pred", seed=1)
        for ending in ("", ".nii.gz"):
            (self.tmp / "who.csv").write_text("case,patient\n" + "".join(f"{name}{ending},P{i // 2}\n" for i, name in enumerate(names)))
            self.eval("--patients", "who.csv", pred="pred", truth="truth", output=f"out{ending}")
            self.assertEqual(self.summary(f"out{ending}")["patients"], 2)


class RunsTest(SourcesTest):
    NAMES = ["c0", "c1", "c2", "c3", "c4"]

    def setUp(self):
        super().setUp()
        self.truth = self.make(self.NAMES, "data/labels")
        self.make(self.NAMES, "data/images", seed=9)

    def make_run(self, name, seed, tested=("c1", "c2", "c4"), fraction=100, init="", part="test", folds=0):
        """A folder as finetune-seg leaves it, without weights -> {case: labels}."""
        config = self.vmae("finetune-seg", "--print-config", "data.train=data", "data.classes=[anterior,posterior]", f"data.label_fraction={fraction}",
                           f"run.dir=runs/{name}").stdout.replace('\n  init: ""\n', f'\n  init: "{init}"\n')
        run = self.tmp / "runs" / name
        for k in range(max(1, folds)):
            folder = run / f"fold_{k}" if folds else run
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.yaml").write_text(config)
            own = [case for i, case in enumerate(tested) if not folds or i % folds == k]
            (folder / "splits.json").write_text(json.dumps({"train": [f"images/{c}.nii.gz" for c in self.NAMES if c not in own], "val": [],
                                                            "test": [f"images/{c}.nii.gz" for c in own]}))
        made = {case: perturbed(self.truth[case], 100 * seed + i, 0.02 * seed) for i, case in enumerate(tested)}
        for case, labels in made.items():
            write_map(run / part / f"images/{case}.nii.gz", labels, SPACING)
        (run / part / "predict.json").write_text(json.dumps({"class_names": ["anterior", "posterior"], "failed": [], "cases": len(made)}))
        return made

    def test_a_run(self):
        made = self.make_run("heart", 1)
        self.eval("--run", "runs/heart")
        self.check(made, {case: self.truth[case] for case in made}, "heart", ("anterior", "posterior"))
        self.assertEqual(self.summary()["models"][0]["label_fraction"], 100)
        page = (self.tmp / "out/report.html").read_text()
        for text in ("Config of heart", "label_fraction: 100", "Splits of heart"):
            self.assertIn(text, page)
        shutil.rmtree(self.tmp / "runs/heart/test")
        done = self.eval("--run", "runs/heart", output="other", expect=3)
        self.assert_says(done, "heart", "no test predictions", f"({len(made)} cases in runs/heart/splits.json) is predicted at the end of training", "--resume")
        (self.tmp / "runs/heart/splits.json").write_text('{"train": ["images/a.nii.gz"], "val": [], "test": []}')
        self.assert_says(self.eval("--run", "runs/heart", output="other", expect=3), "train with a test part")
        (self.tmp / "runs/heart/config.yaml").write_text("model:\n  mask_ratio: 0.75\n")
        self.assert_says(self.eval("--run", "runs/heart", output="other", expect=3), "a run of pretraining, which predicts nothing")

    def test_where_the_report_of_a_run_goes(self):
        made = self.make_run("heart", 1)
        self.vmae("eval", "--run", "runs/heart", "--no-distances")
        self.check_only_dice(made, "runs/heart/eval")
        self.assert_says(self.vmae("eval", "--run", "runs/heart", expect=2), "runs/heart/eval is not empty")
        self.assert_says(self.vmae("eval", "--run", "runs/heart", "--pred", "runs/heart/test", expect=2), "--output is missing")

    def check_only_dice(self, made, output):
        expected = np.mean([[expected_scores(made[c], self.truth[c], k, SPACING)["Dice"] for k in (1, 2)] for c in made])
        model = self.summary(output)["models"][0]["name"]
        self.assert_close(self.estimates(output)[model, "Dice", "mean"]["value"], expected)

    def test_a_baseline_beside_a_run(self):
        """Predictions of another program in `compare`, named as its program names them."""
        made = self.make_run("heart", 1)
        for case, labels in made.items():
            write_map(self.tmp / f"baseline/{case}.nii.gz", labels, SPACING)
        self.vmae("compare", "runs/heart", "baseline", "--output", "out", "--no-distances")
        self.assertEqual([one["name"] for one in self.summary()["models"]], ["heart", "baseline"])
        self.check_only_dice(made, "out")
        self.assertEqual(self.comparisons()["heart", "baseline", "Dice", "mean"]["difference"], 0)

    def test_images_for_pictures(self):
        """--images changes the pictures and no number; names are matched as predictions are."""
        made = self.make_run("heart", 1)
        for case in made:
            write_map(self.tmp / f"labels/{case}.nii.gz", self.truth[case], SPACING)
        common = dict(pred="runs/heart/test", truth="labels")
        self.eval("--no-distances", output="without", **common)
        self.eval("--no-distances", "--images", "data/images", output="with", **common)
        self.assertEqual(self.rows(output="without"), self.rows(output="with"))
        pictures = [re.findall(r"data:image/png;base64,([^\"]+)", (self.tmp / output / "report.html").read_text()) for output in ("without", "with")]
        self.assertEqual([len(found) for found in pictures], [3 * 2, 3 * 3], "truth and prediction of three cases; and their images")
        self.assertFalse(set(pictures[0]) & set(pictures[1]))
        self.assert_says(self.eval("--images", "runs/heart/checkpoints", output="other", expect=3, **common), "does not exist")

    def test_folds(self):
        made = self.make_run("cv", 1, tuple(self.NAMES), part="out_of_fold", folds=3)
        self.eval("--run", "runs/cv")
        self.check(made, self.truth, "cv", ("anterior", "posterior"))

    def test_single_folds_are_named_by_their_runs(self):
        for run in ("a", "b"):
            self.make_run(f"{run}/fold_0", 1 if run == "a" else 2)
        self.vmae("compare", "runs/a/fold_0", "runs/b/fold_0/", "--output", "out", "--no-distances")
        self.assertEqual([one["name"] for one in self.summary()["models"]], ["a_fold_0", "b_fold_0"])

    def test_a_case_that_the_run_should_have_predicted(self):
        self.make_run("heart", 1)
        (self.tmp / "runs/heart/test/images/c2.nii.gz").unlink()
        self.assert_says(self.eval("--run", "runs/heart", expect=3), "c2", "no prediction of heart")
        (self.tmp / "runs/heart/test/predict.json").write_text(json.dumps({"class_names": ["anterior", "posterior"], "failed": ["images/c2"]}))
        self.assert_says(self.eval("--run", "runs/heart", "--skip-bad-cases", expect=6), "c2", "could not be read there")
        self.assertEqual(self.summary()["cases"], 2)

    def test_compare_and_label_efficiency(self):
        made = {}
        for name, seed, fraction, init in (("pre100", 1, 100, "mae.safetensors"), ("new100", 2, 100, ""), ("pre10", 3, 10, "mae.safetensors"), ("new10", 4, 10, "")):
            made[name] = self.make_run(name, seed, fraction=fraction, init=init)
        self.vmae("compare", *(f"runs/{name}" for name in made), "--output", "out", "--no-distances")
        summary = self.summary()
        self.assertEqual([(one["name"], one["label_fraction"], one["trained_from"]) for one in summary["models"]],
                         [("pre100", 100, "mae.safetensors"), ("new100", 100, ""), ("pre10", 10, "mae.safetensors"), ("new10", 10, "")])
        for name, maps in made.items():
            expected = np.mean([[expected_scores(maps[c], self.truth[c], k, SPACING)["Dice"] for k in (1, 2)] for c in maps])
            self.assert_close(self.estimates()[name, "Dice", "mean"]["value"], expected)
        self.assertEqual({key[:2] for key in self.comparisons()}, {("pre100", "new100"), ("pre100", "pre10"), ("pre10", "new10")})
        self.check_efficiency(["pretrained", "from scratch"])

    def check_efficiency(self, lines):
        """The curves go through each model's Dice; scale: the numbers along the y axis."""
        svg = (self.tmp / "out/figures/label_efficiency.svg").read_text()
        for line in lines:
            self.assertIn(f">{line}</text>", svg)
        ticks = np.array(re.findall(r'y="([\d.]+)" text-anchor="end">([\d.]+)<', svg), float)
        slope, start = np.polyfit(ticks[:, 0] - 5, ticks[:, 1], 1)  # numbers stand 5 below their lines
        curves = re.findall(r'd="(M[\d.L ]+)" fill="none"[^>]*stroke-width="2.5"', svg)
        drawn = sorted(slope * float(y) + start for curve in curves for y in re.findall(r"[ML][\d.]+ ([\d.]+)", curve))
        values = sorted(one["value"] for model in self.summary()["models"] for one in model["estimates"] if (one["metric"], one["class"]) == ("Dice", "mean"))
        self.assertEqual(len(drawn), len(values), "every model is a point")
        np.testing.assert_allclose(drawn, values, atol=2e-3)

    def test_label_efficiency_of_other_programs(self):
        """Two methods at two fractions: four points, of which none may get lost."""
        for k, name in enumerate(("ours_10", "ours_100", "theirs_10", "theirs_100")):
            self.make(self.NAMES, name, seed=k + 1, share=0.03 * k)
        self.eval("--fractions", "10,100,10,100", "--no-distances", pred=["ours_10", "ours_100", "theirs_10", "theirs_100"], truth="data")
        self.assertEqual([one["label_fraction"] for one in self.summary()["models"]], [10, 100, 10, 100])
        self.check_efficiency([])

    def test_runs_tested_on_other_cases(self):
        self.make_run("a", 1)
        self.make_run("b", 2, ("c1", "c2", "c3"))
        done = self.vmae("compare", "runs/a", "runs/b", "--output", "out", expect=3)
        self.assert_says(done, "not the same", "b")
        self.assertFalse((self.tmp / "out").exists())
        self.assert_says(self.vmae("compare", "runs/a", "runs/a", "--output", "out", expect=2), "two models are called a")

    def test_what_is_no_run(self):
        self.assert_says(self.eval("--run", "nowhere", expect=3), "nowhere")
        self.assert_says(self.vmae("compare", "data", "--output", "out", expect=2), "--truth")
        self.make_run("a", 1)
        for file in ("splits.json", "test/predict.json", "config.yaml"):
            with self.subTest(file):
                text = (self.tmp / "runs/a" / file).read_bytes()
                (self.tmp / "runs/a" / file).write_bytes(b"{\xff[: \n")
                done = self.eval("--run", "runs/a", output="other", expect=2 if file == "config.yaml" else 3)
                self.assert_says(done, file.split("/")[-1])
                self.assertFalse((self.tmp / "other").exists())
                (self.tmp / "runs/a" / file).write_bytes(text)


if __name__ == "__main__":
    unittest.main()
