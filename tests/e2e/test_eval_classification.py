# SPDX-License-Identifier: Apache-2.0
"""vmae eval of scores: every number against scikit-learn and numpy."""
import csv
import math
import unittest

import numpy as np
from scipy import stats
from sklearn import metrics as sk

from evaluating import EvalTest
from finetuning import make_class_manifest, trained

THREE = ("cyst", "lesion", "normal")


def delong(labels, *scores, level=0.95):
    """By the definition: the matrix of all pairs. Of one model AUROC and interval; of two the difference, its interval and p."""
    labels = np.asarray(labels, bool)
    wins = [(s[labels][:, None] > s[~labels]) + 0.5 * (s[labels][:, None] == s[~labels]) for s in map(np.asarray, scores)]
    wins = wins[0] if len(wins) == 1 else wins[0] - wins[1]
    error = math.sqrt(wins.mean(1).var(ddof=1) / labels.sum() + wins.mean(0).var(ddof=1) / (~labels).sum())
    half = stats.norm.ppf((1 + level) / 2) * error
    return wins.mean(), (wins.mean() - half, wins.mean() + half), 2 * stats.norm.sf(abs(wins.mean()) / error)


def ece(confidence, correct):
    which = np.minimum((np.asarray(confidence) * 10).astype(int), 9)
    return sum(abs(confidence[which == b].mean() - correct[which == b].mean()) * np.mean(which == b) for b in range(10) if (which == b).any())


def softmax(logits):
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


class ClassificationTest(EvalTest):
    def write(self, name, columns):
        with open(self.tmp / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(columns), *zip(*columns.values())])
        return name

    def binary(self, n=120, seed=0, share=0.4, strength=(1.2,), files=("a.csv", "b.csv"), column="sick"):
        """labels.csv and a table of probabilities per strength -> labels, [scores]."""
        random = np.random.default_rng(seed)
        labels = (random.random(n) < share).astype(int)
        noise, cases = random.normal(0, 1, n), [f"case{i}" for i in range(n)]
        scores = [1 / (1 + np.exp(-np.round(strong * (labels - 0.5) * 2 + noise + random.normal(0, 0.7, n), 1))) for strong in strength]  # with ties
        self.write("labels.csv", {"case": cases, "label": np.where(labels == 1, "sick", "healthy")})
        for file, values in zip(files, scores):
            self.write(file, {"case": cases[::-1], column: [repr(float(v)) for v in values[::-1]]})
        return labels, scores

    def check(self, expected, model="a", output="out", tolerance=1e-9):
        """{(metric, class): value}"""
        estimates = self.estimates(output)
        for (metric, name), value in expected.items():
            self.assert_close(estimates[model, metric, name]["value"], value, tolerance, (model, metric, name))

    def decided(self, labels, scores, threshold, name):
        yes = scores >= threshold
        return {("accuracy", "all"): sk.accuracy_score(labels, yes), ("balanced_accuracy", "all"): sk.balanced_accuracy_score(labels, yes),
                ("F1", name): sk.f1_score(labels, yes), ("sensitivity", name): sk.recall_score(labels, yes),
                ("specificity", name): sk.recall_score(labels, yes, pos_label=0)}

    def test_binary(self):
        labels, (scores,) = self.binary()
        self.eval("--names", "net", pred="a.csv", truth="labels.csv", output="at_half")
        self.eval("--names", "net", "--threshold", "0.3", pred="a.csv", truth="labels.csv")
        self.assertEqual([self.summary()[key] for key in ("task", "kind", "classes", "cases", "patients")], ["classification", "binary", ["sick"], 120, None])
        ranked = {("AUROC", "sick"): sk.roc_auc_score(labels, scores), ("AUPRC", "sick"): sk.average_precision_score(labels, scores)}
        self.check({**ranked, ("Brier", "all"): sk.brier_score_loss(labels, scores), **self.decided(labels, scores, 0.3, "sick")}, "net")
        self.check({("ECE", "all"): ece(scores, labels)}, "net", tolerance=1e-6)
        self.check({**ranked, **self.decided(labels, scores, 0.5, "sick")}, "net", "at_half")
        one = self.estimates()["net", "AUROC", "sick"]
        self.assertEqual([one["n"], one["left_out"], one["positive"]], [120, 0, labels.sum()])
        self.assertEqual(one["intervals"][0]["method"], "DeLong")
        for found, end in zip(self.interval(one, "DeLong"), delong(labels, scores)[1]):
            self.assert_close(found, end)
        confusion = (self.tmp / "out/figures/confusion_1.svg").read_text()
        for count in sk.confusion_matrix(labels, scores >= 0.3).ravel():
            self.assertIn(f">{count}<", confusion)
        rows = {row["case"]: row for row in self.rows()}
        self.assertEqual({case: (int(row["label sick"]), float(row["net sick"])) for case, row in rows.items()},
                         {f"case{i}": (labels[i], scores[i]) for i in range(120)})

    def test_positive_class_is_chosen(self):
        labels, (scores,) = self.binary(column="p")
        self.assert_says(self.eval(pred="a.csv", truth="labels.csv", output="other", expect=2), "--positive", "healthy, sick")
        self.eval("--positive", "healthy", "--names", "a", pred="a.csv", truth="labels.csv")
        self.check({("AUROC", "healthy"): sk.roc_auc_score(1 - labels, scores)})
        self.assert_says(self.eval("--positive", "nobody", pred="a.csv", truth="labels.csv", output="other", expect=2), "nobody", "healthy, sick")

    def test_youden_threshold(self):
        labels, (scores,) = self.binary(seed=3)
        self.eval("--threshold", "youden", "--names", "a", pred="a.csv", truth="labels.csv")
        false_rate, true_rate, thresholds = sk.roc_curve(labels, scores, drop_intermediate=False)
        best = thresholds[np.argmax(true_rate - false_rate)]
        self.assertEqual(self.summary()["options"]["threshold"], "youden")
        (found,) = self.summary()["models"][0]["thresholds"]
        self.assert_close(found, best)
        self.check(self.decided(labels, scores, best, "sick"))

    def test_scores_that_are_no_probabilities(self):
        labels, (scores,) = self.binary()
        logits = np.log(scores / (1 - scores)) * 3
        self.write("a.csv", {"case": [f"case{i}" for i in range(120)], "logit": logits})
        self.eval("--positive", "sick", "--threshold", "0", "--names", "a", pred="a.csv", truth="labels.csv")
        self.check({("AUROC", "sick"): sk.roc_auc_score(labels, logits), **self.decided(labels, logits, 0, "sick")})
        for metric in ("Brier", "ECE"):
            one = self.estimates()["a", metric, "all"]
            self.assertEqual([one["value"], one["remark"]], [None, "the scores are no probabilities"])
        self.assert_no_nan()

    def three_classes(self, n=150, seed=1):
        random = np.random.default_rng(seed)
        labels = random.choice(3, n, p=(0.2, 0.3, 0.5))
        p = softmax(np.round(random.normal(0, 1, (n, 3)) + 1.3 * np.eye(3)[labels], 1))
        cases = [f"x/{i}" for i in range(n)]
        self.write("labels.csv", {"id": cases, "class": np.array(THREE)[labels]})
        self.write("a.csv", {"id": cases, **{name: [repr(float(v)) for v in p[:, c]] for c, name in enumerate(THREE)}})
        return labels, p

    def test_multi_class(self):
        labels, p = self.three_classes()
        self.eval("--names", "a", pred="a.csv", truth="labels.csv")
        hot, top = np.eye(3)[labels], p.argmax(1)
        expected = {("AUROC", "macro"): sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"), ("AUROC", "micro"): sk.roc_auc_score(hot, p, average="micro"),
                    ("AUPRC", "macro"): sk.average_precision_score(hot, p, average="macro"), ("AUPRC", "micro"): sk.average_precision_score(hot, p, average="micro"),
                    ("accuracy", "all"): sk.accuracy_score(labels, top), ("balanced_accuracy", "all"): sk.balanced_accuracy_score(labels, top),
                    ("F1", "macro"): sk.f1_score(labels, top, average="macro"), ("sensitivity", "macro"): sk.recall_score(labels, top, average="macro"),
                    ("Brier", "all"): sk.brier_score_loss(labels, p, scale_by_half=False)}
        for c, name in enumerate(THREE):
            expected |= {("AUROC", name): sk.roc_auc_score(hot[:, c], p[:, c]), ("AUPRC", name): sk.average_precision_score(hot[:, c], p[:, c]),
                         ("sensitivity", name): sk.recall_score(labels == c, top == c), ("specificity", name): sk.recall_score(labels != c, top != c),
                         ("F1", name): sk.f1_score(labels == c, top == c)}
        expected["specificity", "macro"] = np.mean([expected["specificity", name] for name in THREE])
        self.check(expected)
        self.check({("ECE", "all"): ece(p.max(1), top == labels)}, tolerance=1e-6)
        self.assertEqual(self.summary()["classes"], list(THREE))
        confusion = (self.tmp / "out/figures/confusion_1.svg").read_text()
        for count in sk.confusion_matrix(labels, top).ravel():
            self.assertIn(f">{count}<", confusion)
        for found, end in zip(self.interval(self.estimates()["a", "AUROC", "cyst"], "DeLong"), delong(labels == 0, p[:, 0])[1]):
            self.assert_close(found, end)

    def test_multi_label_with_unknown_findings(self):
        random = np.random.default_rng(2)
        n, names = 140, ("effusion", "nodule", "oedema")
        labels = (random.random((n, 3)) < (0.5, 0.3, 0.15)).astype(int)
        scores = 1 / (1 + np.exp(-random.normal(0, 1, (n, 3)) - 1.5 * (labels - 0.5)))
        known = random.random((n, 3)) < 0.8
        cells = [["" if i % 2 else "-1" for i in range(n)] for _ in range(3)]
        for i, c in zip(*np.nonzero(known)):
            cells[c][i] = str(labels[i, c])
        cases = [f"case{i}" for i in range(n)]
        self.write("labels.csv", {"case": cases, **dict(zip(names, cells))})
        self.write("a.csv", {"case": cases, **{name: scores[:, c] for c, name in enumerate(names)}})
        self.eval("--names", "a", pred="a.csv", truth="labels.csv")
        expected = {}
        for c, name in enumerate(names):
            y, s = labels[known[:, c], c], scores[known[:, c], c]
            expected |= {("AUROC", name): sk.roc_auc_score(y, s), ("AUPRC", name): sk.average_precision_score(y, s), ("Brier", name): sk.brier_score_loss(y, s),
                         **{(metric, name): value for (metric, _), value in self.decided(y, s, 0.5, name).items()}}
            self.check({("ECE", name): ece(s, y)}, tolerance=1e-6)
            one = self.estimates()["a", "AUROC", name]
            self.assertEqual([one["n"], one["left_out"], one["positive"]], [len(y), n - len(y), y.sum()])
        for metric in ("AUROC", "AUPRC", "Brier", "F1", "accuracy", "balanced_accuracy"):
            expected[metric, "mean"] = np.mean([expected[metric, name] for name in names])
        self.check(expected)
        self.assertEqual(self.summary()["kind"], "multi-label")

    # Two models

    def test_delong_and_bootstrap_of_two_models(self):
        labels, scores = self.binary(strength=(1.6, 0.7))
        self.eval(pred=["a.csv", "b.csv"], truth="labels.csv", output="first")
        self.eval("--names", "A,B", pred=["a.csv", "b.csv"], truth="labels.csv")
        one = self.comparisons()["A", "B", "AUROC", "sick"]
        difference, ends, p = delong(labels, *scores)
        self.assert_close(one["difference"], difference)
        self.assert_close(one["tests"]["DeLong"]["p"], p)
        for found, end in zip(self.interval(one, "DeLong"), ends):
            self.assert_close(found, end)
        self.assertLess(p, 0.01, "the models differ")
        self.assertLess(one["tests"]["paired bootstrap"]["p"], 0.02)
        for found, end in zip(self.interval(one, "percentile"), ends):
            self.assertLess(abs(found - end), 0.02, "the bootstrap agrees with DeLong")
        accuracy = self.comparisons()["A", "B", "accuracy", "all"]
        self.assert_close(accuracy["difference"], np.mean((scores[0] >= 0.5) == labels) - np.mean((scores[1] >= 0.5) == labels))
        low, high = self.interval(accuracy)
        self.assertEqual(accuracy["tests"]["paired bootstrap"]["p"] < 0.05, not low <= 0 <= high)
        self.eval("--names", "A,B", "--threads", "1", pred=["a.csv", "b.csv"], truth="labels.csv", output="one")
        self.assertEqual(self.estimates("one"), self.estimates())
        self.assertEqual(self.comparisons("one"), self.comparisons())

    def test_identical_models(self):
        self.binary()
        (self.tmp / "b.csv").write_bytes((self.tmp / "a.csv").read_bytes())
        self.eval("--names", "A,B", pred=["a.csv", "b.csv"], truth="labels.csv")
        for (_, _, metric, name), one in self.comparisons().items():
            self.assertEqual(one["difference"], 0)
            self.assertEqual({method: test["p"] for method, test in one["tests"].items()}, dict.fromkeys(one["tests"], 1), (metric, name))
        self.assert_no_nan()

    def test_patients_are_drawn_whole(self):
        labels, scores = self.binary(n=30, strength=(1.2, 0.8))
        cases = [f"case{i}_{k}" for i in range(30) for k in range(5)]  # five equal cases of each patient
        self.write("labels.csv", {"case": cases, "label": np.repeat(labels, 5)})
        self.write("with.csv", {"case": cases, "label": np.repeat(labels, 5), "patient": np.repeat([f"Doe^{i}" for i in range(30)], 5)})
        for file, values in zip(("a.csv", "b.csv"), scores):
            self.write(file, {"case": cases, "score": np.repeat(values, 5)})
        self.eval("--names", "a,b", pred=["a.csv", "b.csv"], truth="labels.csv", output="single")
        self.eval("--names", "a,b", pred=["a.csv", "b.csv"], truth="with.csv")
        self.assertEqual([self.summary()["patients"], self.summary("single")["patients"]], [30, None])
        for metric, name in (("AUROC", "1"), ("accuracy", "all")):
            widths = [np.ptp(self.interval(self.estimates(output)["a", metric, name])) for output in ("single", "out")]
            self.assertGreater(widths[1], 1.7 * widths[0], "sqrt(5), in the long run")
        auroc = self.estimates()["a", "AUROC", "1"]
        self.assertEqual(auroc["intervals"][0]["method"], "percentile")
        self.assertIn("independent", [one for one in auroc["intervals"] if one["method"] == "DeLong"][0]["remark"])
        tests = self.comparisons()["a", "b", "AUROC", "1"]["tests"]
        self.assertEqual({method: test["n"] for method, test in tests.items()}, {"paired bootstrap": 30})

    # Where little is defined

    def degenerate(self, labels, scores, *more, **expected):
        cases = [f"c{i}" for i in range(len(labels))]
        self.write("s.csv", {"case": cases, "label": labels, "score": scores})
        self.write("t.csv", {"case": cases, "score": scores})
        self.eval("--names", "a,b", *more, pred=["s.csv", "t.csv"], truth="s.csv")
        self.assert_no_nan()
        found = {metric: one["value"] for (model, metric, _), one in self.estimates().items() if model == "a"}
        for metric, value in expected.items():
            self.assertEqual(found[metric], value, metric)
        for one in self.estimates().values():
            if one["value"] is None:
                self.assertTrue(one.get("remark"), one["metric"])
                self.assertEqual({end for interval in one["intervals"] for end in (interval["low"], interval["high"])}, {None})

    def test_one_class_only(self):
        self.degenerate(["1"] * 8, np.linspace(0.1, 0.9, 8), AUROC=None, AUPRC=1, sensitivity=0.5, specificity=None, accuracy=0.5)
        self.degenerate(["0"] * 8, np.linspace(0.1, 0.9, 8), AUROC=None, AUPRC=None, sensitivity=None, specificity=0.5, accuracy=0.5)

    def test_one_case(self):
        self.degenerate(["1"], [0.7], AUROC=None, accuracy=1, sensitivity=1, F1=1)
        self.degenerate(["sick"], [0.2], "--positive", "sick", AUROC=None, accuracy=0)

    def test_one_case_of_a_class(self):
        self.degenerate(["1", "0", "0", "0"], [0.7, 0.1, 0.8, 0.2], AUROC=2 / 3)

    def test_all_scores_are_equal(self):
        self.degenerate(["1", "0"] * 10, [0.5] * 20, AUROC=0.5, AUPRC=0.5, sensitivity=1, specificity=0, accuracy=0.5, Brier=0.25, ECE=0)

    def test_perfect_scores(self):
        self.degenerate(["1", "0"] * 10, [1, 0] * 10, AUROC=1, AUPRC=1, accuracy=1, Brier=0, ECE=0)

    def test_a_class_and_a_finding_that_no_case_has(self):
        labels, _ = self.three_classes(40)
        self.write("labels.csv", {"id": [f"x/{i}" for i in range(40)], "class": np.where(labels == 0, "lesion", np.array(THREE)[labels])})
        self.eval("--names", "a", "--classes", ",".join(THREE), pred="a.csv", truth="labels.csv")
        self.assertIsNone(self.estimates()["a", "AUROC", "cyst"]["value"])
        self.assertTrue(self.estimates()["a", "AUROC", "cyst"]["remark"])
        self.assert_no_nan()
        self.write("findings.csv", {"id": [f"x/{i}" for i in range(40)], "cyst": [""] * 40, "lesion": labels % 2})
        self.eval("--names", "a", pred="a.csv", truth="findings.csv")
        one = self.estimates()["a", "AUROC", "cyst"]
        self.assertEqual([one["value"], one["n"], one["left_out"]], [None, 0, 40])
        self.assert_no_nan()

    # Files

    def test_one_table_with_labels_and_scores(self):
        labels, (scores,) = self.binary()
        self.write("own.csv", {"case": [f"case{i}" for i in range(120)], "label": labels, "score": scores})
        self.eval("--names", "a", pred="own.csv")
        self.check({("AUROC", "1"): sk.roc_auc_score(labels, scores), **self.decided(labels, scores, 0.5, "1")})

    def test_what_predict_wrote(self):
        manifest = make_class_manifest(self.tmp / "data", (5, 4, 6))
        self.predict(weights=trained("cls"), input=manifest, output="predicted")
        self.eval("--names", "a", pred="predicted", truth=manifest)
        table = self.table("cases.csv", "predicted")
        labels = {f"p{i:03d}": c for i, c in enumerate(np.repeat(range(3), (5, 4, 6)))}
        classes = self.summary()["classes"]
        self.assertEqual(sorted(classes), ["down", "none", "up"])
        p = np.array([[float(row[name]) for name in classes] for row in table.values()])
        truth = np.array([classes.index(("up", "down", "none")[labels[case.split("/")[-1]]]) for case in table])
        self.assertEqual([self.summary()["cases"], len(truth)], [15, 15])
        self.check({("accuracy", "all"): np.mean(p.argmax(1) == truth), ("AUROC", "macro"): sk.roc_auc_score(np.eye(3)[truth], p, average="macro")})


if __name__ == "__main__":
    unittest.main()
