# SPDX-License-Identifier: Apache-2.0
"""What vmae eval leaves: a page that needs nothing from outside and lets no name become markup, tables that other programs read, and no patient in any of it."""
import csv
import html.parser
import re
import resource
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import numpy as np
from sklearn import metrics as sk

from evaluating import EvalTest, blob, perturbed, write_map
from harness import VMAE, environment

EVIL = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a,b \"c\" 'd'", "Größe ≤ 5 µm 中文 🫀", "50% & {x}_$^~#\\ [y] <!-- -->", "&lt;&amp; ]]> --><b>")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Nesting, tables, and every element with its attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.problems, self.elements, self.tables, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.stack]

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "table":
            self.tables.append({"caption": "", "rows": []})
        elif tag == "tr":
            self.tables[-1]["rows"].append([])
        elif tag in ("td", "th"):
            self.tables[-1]["rows"][-1].append("")
        if tag not in ("meta", "link", "br", "img", "hr", "wbr"):
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.stack or self.stack[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.stack[-3:]} at {self.getpos()}")
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def handle_data(self, data):
        self.text.append(data)
        if "caption" in self.stack:
            self.tables[-1]["caption"] += data
        elif "td" in self.stack or "th" in self.stack:
            self.tables[-1]["rows"][-1][-1] += data

    def table(self, caption):
        (one,) = [table["rows"] for table in self.tables if caption in table["caption"]]
        return one


def latex(text):
    special = {"\\": "\\textbackslash{}", "^": "\\textasciicircum{}", "~": "\\textasciitilde{}", "<": "\\textless{}", ">": "\\textgreater{}", '"': "\\textquotedbl{}",
               "|": "\\textbar{}", **{c: "\\" + c for c in "{}$&#_%"}}
    return "".join(special.get(c, c) for c in text).replace("--", "-{}-").replace("--", "-{}-")


class ReportTest(EvalTest):
    def page(self, output="out"):
        return Page((self.tmp / output / "report.html").read_text("utf-8"))

    def make_maps(self, cases, models=("m0",)):
        for i, case in enumerate(cases):
            labels = blob((12, 11, 6), i)
            for k, name in enumerate(("truth", *models)):
                write_map(self.tmp / name / f"{case}.nii.gz", labels if k == 0 else perturbed(labels, 10 * k + i, 0.05 * k), (0.75, 1, 2.5))

    def make_scores(self, classes=("no", "yes"), cases=None, n=60, files=("a.csv",)):
        random, cases = np.random.default_rng(4), cases or [f"case{i}" for i in range(n)]
        labels = random.integers(0, len(classes), len(cases))
        labels[:len(classes)] = range(len(classes))
        self.table_of("labels.csv", ["case", "label"], zip(cases, np.array(classes)[labels]))
        for file in files:
            p = np.exp(random.normal(0, 1, (len(cases), len(classes))) + 1.5 * np.eye(len(classes))[labels])
            self.table_of(file, ["case", *classes], ([case, *map(repr, map(float, row))] for case, row in zip(cases, p / p.sum(1, keepdims=True))))
        return cases, labels

    def table_of(self, name, head, rows):
        with open(self.tmp / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows])

    def check_page(self, output="out"):
        """Well-formed, accessible, and nothing from outside."""
        page = self.page(output)
        self.assertEqual(page.problems, [])
        (policy,) = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotRegex(policy, r"http|script-src|\*")
        images = 0
        for tag, attributes in page.elements:
            self.assertNotIn(tag, ("script", "link", "iframe", "object", "embed", "base", "form", "b"))
            self.assertEqual([name for name in attributes if name.startswith("on")], [], tag)
            for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
                self.assertTrue(attributes.get(name, "#").startswith(("#", "data:image/")), (tag, name, attributes.get(name, "")[:80]))
            self.assertNotRegex(attributes.get("style") or "", r"url\(|http|import")
            if tag == "th":
                self.assertIn(attributes.get("scope"), ("col", "row"))
            if tag == "img":
                images += 1
                self.assertTrue(attributes.get("alt"))
            if tag == "svg":
                self.assertEqual(attributes.get("role"), "img")
                self.assertTrue(attributes.get("aria-labelledby"))
        ids = [a["id"] for _, a in page.elements if "id" in a]
        self.assertEqual(len(ids), len(set(ids)), "every id once")
        for _, attributes in page.elements:
            for name in ("aria-labelledby", "aria-describedby"):
                self.assertLessEqual(set((attributes.get(name) or "").split()), set(ids))
        text = (self.tmp / output / "report.html").read_text("utf-8")
        self.assertNotRegex(text, r"(?i)<script|@import|url\(\s*['\"]?http|(src|href)\s*=\s*['\"]?(https?:)?//")
        self.assertEqual([a.get("lang") for tag, a in page.elements if tag == "html"], ["en"])
        self.assertTrue(all(table["caption"].strip() for table in page.tables))
        self.assertGreater(len(page.tables), 0)
        svgs = sorted((self.tmp / output / "figures").glob("*.svg"))
        self.assertEqual(sum(tag == "svg" for tag, _ in page.elements), len(svgs))
        for file in svgs:
            root = ElementTree.parse(file).getroot()
            self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
            self.assertTrue(root.find("{http://www.w3.org/2000/svg}title").text)
            self.assertLessEqual({node.tag.split("}")[1] for node in root.iter()} & {"script", "image", "foreignObject", "a", "use", "img", "b"}, set())
            self.assertEqual([name for node in root.iter() for name in node.attrib if name.startswith("on") or "href" in name], [])
        return page, images

    def check_numbers(self, page, class_names, digits, output="out"):
        """Each cell of the first table is the number, and the interval, of summary.json."""
        head, *rows = page.table("All models")
        estimates, checked = self.estimates(output), 0
        self.assertEqual([row[0] for row in rows], [model["name"] for model in self.summary(output)["models"]])
        names = {"Volume difference": "volume_difference", "Surface Dice": "surface_Dice", "HD95, larger direction": "HD95_max_directed",
                 "Sensitivity": "sensitivity", "Precision": "precision", "balanced accuracy": "balanced_accuracy"}
        for row in rows:
            for title, cell in list(zip(head, row))[2:]:
                metric = names.get(title.split(" (")[0], title.split(" (")[0])
                one = next(estimates[row[0], metric, name] for name in class_names if (row[0], metric, name) in estimates)
                n = digits(title)
                ends = [one["intervals"][0][key] for key in ("low", "high")]
                expected = [f"{v:.{n}f}" for v in (one["value"], *ends)]
                found = re.findall(r"-?\d+\.\d+", re.sub(r" \[n=.*", "", cell.replace("−", "-").replace("–", " to ")))
                self.assertEqual(found, [re.sub(r"^-(0\.0*)$", r"\1", v) for v in expected], (title, cell))
                checked += 1
        self.assertGreater(checked, 5)

    def test_segmentation(self):
        self.make_maps([f"c{i}" for i in range(5)], ("m0", "m1"))
        done = self.eval(pred=["m0", "m1"], truth="truth")
        page, images = self.check_page()
        self.assertIn(images, (9, 12), "truth and both predictions of the best, median and worst case, and of another where models differ most")
        self.check_numbers(page, ["mean"], lambda title: 2 if "(m" in title else 3)
        summary = self.summary()
        self.assertIn(summary["headline"], done.stdout)
        self.assertIn(summary["headline"], " ".join(page.text))
        for metric in ("Dice", "HD95"):
            self.assertIn(f"{self.estimates()['m0', metric, 'mean']['value']:.2f}"[:4], done.stdout)
        with open(self.tmp / "out/tables/results.csv", newline="", encoding="utf-8") as file:
            plain = list(csv.reader(file))
        self.assertEqual([[cell.replace("−", "-").replace("–", "-") for cell in row] for row in page.table("All models")], plain)
        self.assertEqual(len(self.page().table("Every class")), 1 + 3 * 2)

    def test_classification(self):
        self.make_scores(("x", "y", "z"), files=("a.csv", "b.csv"))
        self.eval("--names", "A,B", pred=["a.csv", "b.csv"], truth="labels.csv")
        page, _ = self.check_page()
        self.check_numbers(page, ["macro", "all"], lambda title: 3)
        comparisons = self.comparisons()
        head, *rows = page.table("on the same cases, over all classes")
        (cell,) = [row[head.index("p, paired bootstrap")] for row in rows if row[head.index("Metric")] == "AUROC"]
        test = comparisons["A", "B", "AUROC", "macro"]["tests"]["paired bootstrap"]
        p, p_holm = ("<0.001" if value < 0.001 else f"{value:.3f}" for value in (test["p"], test["p_holm"]))
        self.assertEqual(cell, f"{p} [{p_holm}]")

    # Names

    def test_names_of_segmentations_are_text(self):
        cases = [name.replace("/", "\u2215") if "</" not in name else name for name in EVIL]
        models = ["m <b>&\"'", EVIL[4]]
        self.make_maps(cases, models)
        self.eval("--classes", "<script>alert(1)</script>,\"><img src=x onerror=alert(1)>", pred=models, truth="truth")
        page, _ = self.check_page()
        self.assertEqual({row["case"] for row in self.rows()}, set(cases))
        self.assertEqual({row["model"] for row in self.rows()}, set(models))
        self.assertEqual(self.summary()["classes"], list(EVIL[:2]))
        self.assertEqual([row[0] for row in page.table("All models")[1:]], models)
        self.assertEqual({row["Class"] for row in self.rows("tables/classes.csv")}, {*EVIL[:2], "mean"})
        tex = (self.tmp / "out/tables/classes.tex").read_text("utf-8")
        for name in (*models, *EVIL[:2]):
            self.assertIn(f"{latex(name)} &", tex)

    def test_names_of_scores_are_text(self):
        cases = [f"{EVIL[i % 6]} {i}" for i in range(40)]
        self.make_scores(EVIL, cases, files=(EVIL[4] + ".csv", "m <i>,\".csv"))
        self.eval(pred=[EVIL[4] + ".csv", "m <i>,\".csv"], truth="labels.csv")
        page, _ = self.check_page()
        self.assertEqual([row["case"] for row in self.rows()], cases)
        self.assertEqual(sorted(self.summary()["classes"]), sorted(EVIL))
        self.assertEqual([row[0] for row in page.table("All models")[1:]], [EVIL[4], "m <i>,\""])
        with open(self.tmp / "labels.csv", newline="", encoding="utf-8") as file:
            label = {row["case"]: row["label"] for row in csv.DictReader(file)}
        for row in self.rows():
            self.assertEqual([name for name in EVIL if row["label " + name] == "1"], [label[row["case"]]])
        tex = (self.tmp / "out/tables/classes.tex").read_text("utf-8")
        for name in EVIL:
            self.assertIn(f"{latex(name)} &", tex)

    def test_names_of_cases_left_out_are_text(self):
        self.make_maps(["c0", "c1", EVIL[0], EVIL[1]])
        for name in EVIL[:2]:
            (self.tmp / f"m0/{name}.nii.gz").unlink()
        self.eval("--skip-bad-cases", pred="m0", truth="truth", expect=6)
        page, _ = self.check_page()
        self.assertEqual(sorted(one.split(": has")[0] for one in self.summary()["left_out"]), sorted(EVIL[:2]))
        for name in EVIL[:2]:
            self.assertIn(name, "".join(page.text))

    def test_patients_are_nowhere(self):
        names = ["Zebedee^Quentin", "Foxglove^Marigold"]
        self.make_maps([f"c{i}" for i in range(4)], ("m0", "m1"))
        self.table_of("patients.csv", ["case", "patient"], [(f"c{i}", names[i // 2]) for i in range(4)])
        done = [self.eval("--patients", "patients.csv", pred=["m0", "m1"], truth="truth", output="maps")]
        cases, labels = self.make_scores(n=20)
        self.table_of("labels.csv", ["case", "label", "patient"], [(case, label, names[i % 2]) for i, (case, label) in enumerate(zip(cases, labels))])
        self.table_of("a.csv", ["case", "score"], [(case, i / 20) for i, case in enumerate(cases[1:])])
        done.append(self.eval("--skip-bad-cases", pred="a.csv", truth="labels.csv", output="scores", expect=6))
        (self.tmp / "m1/c3.nii.gz").write_bytes(b"junk")
        done.append(self.eval("--patients", "patients.csv", pred=["m0", "m1"], truth="truth", output="refused", expect=3))
        self.assertEqual([self.summary(output)["patients"] for output in ("maps", "scores")], [2, 2])
        everything = [one.stdout + one.stderr for one in done] + list(self.texts("maps").values()) + list(self.texts("scores").values())
        for needle in ("Zebedee", "Quentin", "Foxglove", "Marigold"):
            self.assertEqual([text[:100] for text in everything if needle.lower() in text.lower()], [])

    # Programs that read it

    @unittest.skipUnless(CHROMIUM, "needs chromium")
    def test_a_browser_has_nothing_to_complain_of(self):
        self.make_maps(["c0", EVIL[0], EVIL[1]])
        self.eval(pred="m0", truth="truth")
        good = self.tmp / "out/report.html"
        bad = self.tmp / "bad.html"
        bad.write_text(good.read_text("utf-8").replace("<main", '<img src="http://localhost:9/x.png" alt="x"><script>alert(1)</script><main', 1), "utf-8")
        for file, complains in ((good, False), (bad, True)):
            done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={self.tmp / 'profile'}",
                                   "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", "--v=0", "--dump-dom", file.as_uri()],
                                  capture_output=True, timeout=120, env=environment(HOME=self.tmp))
            if done.returncode != 0 or b"</html>" not in done.stdout:
                self.skipTest("chromium does not run here: " + done.stderr.decode(errors="replace")[-300:])
            console = [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]
            self.assertEqual(bool(console), complains, console)

    def test_a_million_rows(self):
        n, random = 1_000_000, np.random.default_rng(7)
        labels = random.random(n) < 0.03
        scores = np.round(1 / (1 + np.exp(3 - random.normal(0, 1, n) - 1.5 * labels)), 5)
        with open(self.tmp / "scores.csv", "w", newline="", encoding="utf-8-sig") as file:
            file.write('case,label,"a score, of ""x"""\r\n')
            file.writelines(f'"Größe, ""{i}"" 中",{label:d},{score!r}\r\n' for i, (label, score) in enumerate(zip(labels.tolist(), scores.tolist())))
        self.eval("--resamples", "4", "--names", "m", pred="scores.csv", timeout=600)
        found = self.estimates()
        self.assert_close(found["m", "AUROC", "1"]["value"], sk.roc_auc_score(labels, scores))
        self.assert_close(found["m", "AUPRC", "1"]["value"], sk.average_precision_score(labels, scores))
        self.assert_close(found["m", "accuracy", "all"]["value"], np.mean((scores >= 0.5) == labels))
        self.assertEqual([found["m", "AUROC", "1"][key] for key in ("n", "positive")], [n, labels.sum()])
        with open(self.tmp / "out/cases.csv", newline="", encoding="utf-8") as file:
            for count, row in enumerate(csv.reader(file)):
                pass
        self.assertEqual([count, row[0], float(row[-1])], [n, f'Größe, "{n - 1}" 中', scores[-1]])
        self.assertLess((self.tmp / "out/report.html").stat().st_size, 5e6)
        self.assertLess(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, 3e9, f"peak memory of {VMAE.name}")
        self.check_page()


if __name__ == "__main__":
    unittest.main()
