# SPDX-License-Identifier: Apache-2.0
"""vmae eval of label maps: every number against numpy, SciPy and MedPy."""

import math
import unittest
import warnings

import nibabel
import numpy as np
from medpy.metric import binary as medpy
from PIL import Image
from scipy import stats

from evaluating import DISTANCES, OVERLAPS, EvalTest, blob, bootstrap_interval, expected_scores, holm, perturbed, write_map
from finetuning import HIPPOCAMPUS

METRICS = (*OVERLAPS, *DISTANCES, "volume_difference")
SPACING = (0.75, 1.125, 2.5)  # exact in float32, as NIfTI has it


def hippocampus_labels(count):
    for file in sorted((HIPPOCAMPUS / "labels").iterdir())[:count]:
        labels = np.asarray(nibabel.load(file).dataobj).astype(np.uint8)
        inside = np.argwhere(labels)
        low, high = np.maximum(inside.min(0) - 3, 0), inside.max(0) + 4
        yield file.name.removesuffix(".nii.gz"), labels[tuple(slice(a, b) for a, b in zip(low, high))]


class SegmentationTest(EvalTest):
    def make(self, count=6, models=1, shape=(14, 12, 9), spacing=SPACING, ending=".nii.gz"):
        """Made-up cases c00, c01, ... in truth and m0, m1, ... -> {model: {case: labels}}."""
        made = {name: {} for name in ("truth", *(f"m{m}" for m in range(models)))}
        for i in range(count):
            labels = blob(shape, i)
            for k, name in enumerate(made):
                made[name][f"c{i:02d}"] = labels if k == 0 else perturbed(labels, 100 * k + i, 0.04 * k)
                write_map(self.tmp / name / f"c{i:02d}{ending}", made[name][f"c{i:02d}"], spacing)
        return made

    def check_cases(self, predictions, truths, spacing, classes=("1", "2"), output="out", **rules):
        """cases.csv and the means of summary.json for {model: {case: labels}}."""
        rows = {(row["case"], row["model"], row["class"]): row for row in self.rows(output=output)}
        self.assertEqual(len(rows), len(truths) * len(predictions) * len(classes))
        estimates = self.estimates(output)
        for model, maps in predictions.items():
            table = {metric: np.full((len(truths), len(classes)), math.nan) for metric in METRICS}
            for i, (case, truth) in enumerate(sorted(truths.items())):
                step = spacing[case] if isinstance(spacing, dict) else spacing
                for c, name in enumerate(classes):
                    expected = expected_scores(maps[case], truth, c + 1, step, **rules)
                    for metric, value in expected.items():
                        self.assert_close(rows[case, model, name][metric] or None, value, msg=(case, model, name, metric))
                        if metric in table:
                            table[metric][i, c] = value
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
                columns = {(metric, name): values[:, c] for metric, values in table.items() for c, name in enumerate(classes)}
                columns |= {(metric, "mean"): np.nanmean(values, 1) for metric, values in table.items()}
            for (metric, name), column in columns.items():
                found, kept = estimates[model, metric, name], column[~np.isnan(column)]
                self.assertEqual([found["n"], found["left_out"]], [len(kept), len(column) - len(kept)], (metric, name))
                self.assert_close(found["value"], kept.mean() if len(kept) else math.nan, msg=(metric, name))
                if len(kept) > 1:
                    self.assert_close(found["sd"], kept.std(ddof=1), msg=(metric, name))
                    for key, share in (("minimum", 0), ("first_quartile", 0.25), ("median", 0.5), ("third_quartile", 0.75), ("maximum", 1)):
                        self.assert_close(found[key], np.quantile(kept, share), msg=(metric, name, key))

    # Numbers

    def test_hippocampus_equals_scipy_and_medpy(self):
        truths, predictions, spacing = {}, {}, {}
        for i, (name, labels) in enumerate(hippocampus_labels(4)):
            truths[name], predictions[name], spacing[name] = labels, perturbed(labels, i), (1 + i / 8, 0.625, 2.0 + i)
            write_map(self.tmp / "truth" / f"{name}.nii.gz", labels, spacing[name], (3.5, -7, 11))
            write_map(self.tmp / "pred" / f"{name}.nii.gz", predictions[name], spacing[name], (3.5, -7, 11))
        self.eval("--classes", "anterior,posterior", "--tolerance-mm", "0.8", pred="pred", truth="truth")
        self.check_cases({"pred": predictions}, truths, spacing, ("anterior", "posterior"), tolerance=0.8)
        for row in self.rows():
            label = ("anterior", "posterior").index(row["class"]) + 1
            p, t, step = predictions[row["case"]] == label, truths[row["case"]] == label, spacing[row["case"]]
            self.assertNotEqual(p.tolist(), t.tolist())
            for metric, value in {"Dice": medpy.dc(p, t), "IoU": medpy.jc(p, t), "sensitivity": medpy.recall(p, t), "precision": medpy.precision(p, t),
                                  "HD95": medpy.hd95(p, t, step), "ASD": medpy.assd(p, t, step)}.items():
                self.assert_close(row[metric], value, msg=(row["case"], metric))
        self.assertEqual(self.summary()["classes"], ["anterior", "posterior"])
        self.assertEqual({e["unit"] for (_, metric, _), e in self.estimates().items() if metric in DISTANCES}, {"mm"})
        self.assertEqual({e["unit"] for (_, metric, _), e in self.estimates().items() if metric == "volume_difference"}, {"ml"})

    def test_formats_are_mixed(self):
        made = self.make(6)
        origin = (12.5, -30, 4)
        for i, (case, labels) in enumerate(made["truth"].items()):
            truth_ending, ending = [(".nii", ".nrrd"), (".nrrd", ".mha"), (".mha", ".nii.gz"), (".nii.gz", ".nrrd"), (".mha", ".mha"), (".nrrd", ".nii")][i]
            write_map(self.tmp / f"T/{case}{truth_ending}", labels, SPACING, origin)
            write_map(self.tmp / f"P/{case}{ending}", made["m0"][case], SPACING, origin)
        self.eval(pred="P", truth="T")
        self.check_cases({"P": made["m0"]}, made["truth"], SPACING)

    def test_pictures_are_in_pixels_and_have_no_volumes(self):
        made = self.make(5, shape=(30, 26, 1), spacing=(1, 1, 1))
        for name, maps in made.items():
            for case, labels in maps.items():
                file = self.tmp / f"{name}-png/{case}.png"
                file.parent.mkdir(exist_ok=True)
                Image.fromarray(labels[..., 0].T).save(file)
        self.eval("--names", "m0", pred="m0-png", truth="truth-png")
        for row in self.rows():
            expected = expected_scores(made["m0"][row["case"]], made["truth"][row["case"]], int(row["class"]), (1, 1, 1))
            for metric in (*OVERLAPS, *DISTANCES):
                self.assert_close(row[metric] or None, expected[metric], msg=(row["case"], metric))
            self.assertEqual([row["volume_difference"], row["truth_ml"]], ["", ""])
        estimates = self.estimates()
        self.assertEqual(estimates["m0", "HD95", "mean"]["unit"], "pixel")
        self.assertEqual([estimates["m0", "volume_difference", "mean"][key] for key in ("value", "n", "left_out")], [None, 0, 5])
        for text in ((self.tmp / "out/report.html").read_text(), (self.tmp / "out/tables/results.csv").read_text()):
            self.assertIn("HD95 (pixel)", text)
            self.assertEqual([unit for unit in ("(mm)", "(ml)", " mm<") if unit in text], [])

    def test_per_slice(self):
        made = self.make(3)
        self.eval("--per-slice", pred="m0", truth="truth")
        rows = {(row["case"], row["class"]): row for row in self.rows()}
        self.assertEqual(len(rows), 3 * 9 * 2)
        for case, truth in made["truth"].items():
            for z in range(9):
                for label in (1, 2):
                    expected = expected_scores(made["m0"][case][:, :, z:z + 1], truth[:, :, z:z + 1], label, SPACING)
                    for metric in METRICS:
                        self.assert_close(rows[f"{case}/{z}", str(label)][metric] or None, expected[metric], msg=(case, z, metric))
        self.assertEqual([self.summary()["options"]["unit"], self.summary()["cases"]], ["slice", 27])
        values = self.case_values("Dice", class_name="1")
        cases = np.repeat(range(3), 9)[~np.isnan(values)]
        low, high = self.interval(self.estimates()["m0", "Dice", "1"])
        (a, b), error = bootstrap_interval(values[~np.isnan(values)], cases)
        self.assertLess(abs(low - a), 5 * error[0] + 1e-3, "slices are drawn with their case")
        self.assertLess(abs(high - b), 5 * error[1] + 1e-3)

    # Rules

    def test_absent_classes(self):
        """Class 1 is on both sides; 2 in neither, not predicted, not in the truth, on both sides."""
        made = self.make(5, shape=(12, 12, 6))
        for case, sides in {"c00": ("truth", "m0"), "c01": ("m0",), "c02": ("truth",)}.items():
            for side in sides:
                made[side][case] = np.where(made[side][case] == 2, 0, made[side][case]).astype(np.uint8)
                write_map(self.tmp / side / f"{case}.nii.gz", made[side][case], SPACING)
        for empty in ("leave-out", "one", "zero"):
            for missing in ("leave-out", "diagonal"):
                with self.subTest(empty=empty, missing=missing):
                    self.eval("--empty", empty, "--missing-distance", missing, pred="m0", truth="truth")
                    self.check_cases({"m0": made["m0"]}, made["truth"], SPACING, empty=empty, missing=missing)
                    dice = self.estimates()["m0", "Dice", "2"]
                    self.assertEqual([dice["n"], dice["left_out"]], [4, 1] if empty == "leave-out" else [5, 0])
                    self.assertEqual([self.summary()["options"][key] for key in ("empty", "missing_distance")], [empty, missing])
                    self.assert_no_nan()

    def test_a_class_that_is_nowhere(self):
        self.make(3)
        self.eval("--classes", "a,b,ghost", pred="m0", truth="truth")
        ghost = self.estimates()["m0", "Dice", "ghost"]
        self.assertEqual([ghost["value"], ghost["n"], ghost["left_out"]], [None, 0, 3])
        self.assertIn("no case has a value", ghost["remark"])
        self.assert_no_nan()

    def test_perfect_and_empty_predictions(self):
        made = self.make(3)
        for case, labels in made["truth"].items():
            write_map(self.tmp / f"same/{case}.nii.gz", labels, SPACING)
            write_map(self.tmp / f"none/{case}.nii.gz", labels * 0, SPACING)
        self.eval(pred=["same", "none"], truth="truth")
        estimates = self.estimates()
        for metric, same, none in (("Dice", 1, 0), ("surface_Dice", 1, 0), ("HD95", 0, None), ("precision", 1, None), ("sensitivity", 1, 0)):
            self.assertEqual([estimates[model, metric, "mean"]["value"] for model in ("same", "none")], [same, none], metric)
        test = self.comparisons()["same", "none", "Dice", "mean"]["tests"]["paired t-test"]
        self.assertEqual(test["p"], 0, "all pairs differ by the same amount")
        self.assertIn("same amount", test["remark"])
        self.assert_no_nan()

    def test_no_distances(self):
        self.make(2)
        self.eval("--no-distances", pred="m0", truth="truth")
        self.assertEqual({row[metric] for row in self.rows() for metric in (*DISTANCES, "surface_Dice")}, {""})
        self.assertNotIn("HD95 (mm)", (self.tmp / "out/tables/results.csv").read_text())

    def test_ignore_label(self):
        made = self.make(3)
        ignored = {}
        for case, labels in made["truth"].items():
            labels = labels.copy()
            labels[:, :4] = 255
            write_map(self.tmp / f"T/{case}.nii.gz", labels, SPACING)
            ignored[case] = np.where(labels == 255, 0, labels).astype(np.uint8)
            made["m0"][case] = np.where(labels == 255, 0, made["m0"][case]).astype(np.uint8)
        self.eval("--ignore-label", "255", pred="m0", truth="T")
        self.check_cases({"m0": made["m0"]}, ignored, SPACING)
        self.assertEqual(self.summary()["options"]["ignore_label"], 255)
        self.assert_says(self.eval("--classes", "1,2", pred="m0", truth="T", output="other", expect=3), "value 255", "c00")

    # Statistics

    def test_tests_of_two_models_equal_scipy(self):
        self.make(11, models=2)
        self.eval(pred=["m0", "m1"], truth="truth")
        found = self.comparisons()
        self.assertEqual({key[:3] for key in found}, {("m0", "m1", metric) for metric in ("Dice", "HD95", "surface_Dice")})
        for metric in ("Dice", "HD95", "surface_Dice"):
            columns = {name: [self.case_values(metric, model, name) for model in ("m0", "m1")] for name in ("1", "2")}
            columns["mean"] = [np.mean([columns["1"][i], columns["2"][i]], 0) for i in range(2)]
            p = {}
            for name, (a, b) in columns.items():
                one = found["m0", "m1", metric, name]
                self.assertEqual(one["n"], 11)
                self.assert_close(one["difference"], (a - b).mean())
                t, wilcoxon = stats.ttest_rel(a, b), stats.wilcoxon(a, b)
                self.assert_close(one["tests"]["paired t-test"]["statistic"], t.statistic)
                self.assert_close(one["tests"]["Wilcoxon signed-rank"]["statistic"], wilcoxon.statistic)
                p[name] = [t.pvalue, wilcoxon.pvalue, one["tests"]["paired bootstrap"]["p"]]
                (low, high), error = bootstrap_interval(a - b)
                ends = self.interval(one)
                self.assertLess(abs(ends[0] - low), 5 * error[0])
                self.assertLess(abs(ends[1] - high), 5 * error[1])
                self.assertEqual(one["tests"]["paired bootstrap"]["p"] < 0.05, not ends[0] <= 0 <= ends[1])
            for k, method in enumerate(("paired t-test", "Wilcoxon signed-rank", "paired bootstrap")):
                for name, corrected in (("mean", p["mean"][k]), *zip(("1", "2"), holm([p["1"][k], p["2"][k]]))):
                    self.assert_close(found["m0", "m1", metric, name]["tests"][method]["p"], p[name][k], 1e-9, (metric, name, method))
                    self.assert_close(found["m0", "m1", metric, name]["tests"][method]["p_holm"], corrected, 1e-9, (metric, name, method))

    def test_wilcoxon_of_many_pairs(self):
        """So many that its p is that of the normal distribution, with ties and pairs that do not differ."""
        made = self.make(56, models=2, shape=(8, 7, 4))
        for case in sorted(made["truth"])[:5]:
            write_map(self.tmp / f"m1/{case}.nii.gz", made["m0"][case], SPACING)
        self.eval("--no-distances", "--resamples", "10", pred=["m0", "m1"], truth="truth")
        a, b = (self.case_values("Dice", model, "1") for model in ("m0", "m1"))
        both = ~np.isnan(a) & ~np.isnan(b)
        test = self.comparisons()["m0", "m1", "Dice", "1"]["tests"]["Wilcoxon signed-rank"]
        self.assertEqual([test["n"], test["method"]], [np.count_nonzero((a != b)[both]), "Wilcoxon signed-rank (normal)"])
        self.assert_close(test["p"], stats.wilcoxon(a[both], b[both]).pvalue, 1e-6)

    def test_all_pairs_are_corrected_together(self):
        self.make(9, models=3)
        self.eval("--reference", "all", "--no-distances", pred=["m0", "m1", "m2"], truth="truth")
        found = self.comparisons()
        pairs = [("m0", "m1"), ("m0", "m2"), ("m1", "m2")]
        self.assertEqual([(a, b) for a, b, metric, name in found if (metric, name) == ("Dice", "mean")], pairs)
        expected = holm([found[(*pair, "Dice", "mean")]["tests"]["paired t-test"]["p"] for pair in pairs])
        for pair, p in zip(pairs, expected):
            self.assert_close(found[(*pair, "Dice", "mean")]["tests"]["paired t-test"]["p_holm"], p)
        self.eval("--reference", "m1", "--no-distances", pred=["m0", "m1", "m2"], truth="truth")
        self.assertEqual({key[:2] for key in self.comparisons()}, {("m0", "m1"), ("m2", "m1")})

    def test_bootstrap(self):
        self.make(14)
        done = {}
        for name, more in {"one": ["--threads", "1"], "four": ["--threads", "4"], "seed": ["--seed", "5"], "bca": ["--interval", "BCa"],
                           "wide": ["--level", "0.99"]}.items():
            self.eval("--no-distances", *more, pred="m0", truth="truth", output=name)
            done[name] = self.estimates(name)
        self.assertEqual(done["one"], done["four"])
        key = ("m0", "Dice", "mean")
        self.assertNotEqual(self.interval(done["one"][key]), self.interval(done["seed"][key]))
        values = np.mean([self.case_values("Dice", class_name=name, output="one") for name in ("1", "2")], 0)
        for name, level in (("one", 0.95), ("seed", 0.95), ("wide", 0.99)):
            ends, error = bootstrap_interval(values, level=level)
            for found, end, one_error in zip(self.interval(done[name][key]), ends, error):
                self.assertLess(abs(found - end), 5 * one_error, name)
        self.assertEqual(done["bca"][key]["intervals"][0]["method"], "BCa")
        bca = stats.bootstrap((values,), np.mean, n_resamples=20000, method="BCa", random_state=1).confidence_interval
        for found, end, one_error in zip(self.interval(done["bca"][key], "BCa"), bca, bootstrap_interval(values)[1]):
            self.assertLess(abs(found - end), 6 * one_error)

    def test_patients_are_drawn_whole(self):
        made = self.make(12, models=2)
        cases = sorted(made["truth"])
        for i, case in enumerate(cases):  # a patient's three cases are alike
            made["m0"][case] = np.roll(made["truth"][case], i // 3, 0)
            write_map(self.tmp / f"m0/{case}.nii.gz", made["m0"][case], SPACING)
        (self.tmp / "patients.csv").write_text("case,patient\n" + "".join(f"{case},p{i // 3}\n" for i, case in enumerate(cases)))
        self.eval("--no-distances", pred=["m0", "m1"], truth="truth", output="single")
        self.eval("--no-distances", "--patients", "patients.csv", pred=["m0", "m1"], truth="truth")
        self.assertEqual([self.summary()["patients"], self.summary("single")["patients"]], [4, None])
        a, b = (np.mean([self.case_values("Dice", model, name) for name in ("1", "2")], 0) for model in ("m0", "m1"))
        patient = np.arange(12) // 3
        low, high = self.interval(self.estimates()["m0", "Dice", "mean"])
        single = self.interval(self.estimates("single")["m0", "Dice", "mean"])
        self.assertGreater(high - low, 1.2 * (single[1] - single[0]))
        (at_low, at_high), error = bootstrap_interval(a, patient)
        self.assertLess(abs(low - at_low), 5 * error[0] + 5e-3)  # few patients: the distribution has steps
        self.assertLess(abs(high - at_high), 5 * error[1] + 5e-3)
        tests = self.comparisons()["m0", "m1", "Dice", "mean"]["tests"]
        self.assertEqual({test["n"] for test in tests.values()}, {4})
        means = [[values[patient == k].mean() for k in range(4)] for values in (a, b)]
        self.assert_close(tests["paired t-test"]["p"], stats.ttest_rel(*means).pvalue)
        self.assert_close(tests["Wilcoxon signed-rank"]["p"], stats.wilcoxon(*means).pvalue)
        self.assertEqual([row["patient"] for row in self.rows() if (row["model"], row["class"]) == ("m0", "1")], [str(1 + i // 3) for i in range(12)])


if __name__ == "__main__":
    unittest.main()
