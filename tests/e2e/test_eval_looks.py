# SPDX-License-Identifier: Apache-2.0
"""How a report looks: legends in the colours of the pictures, one colour for a model, the same cases for all models, few remarks, few cases marked, and no page
that is wider than a phone."""
import base64
import csv
import html
import io
import json
import re
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from evaluating import EvalTest, blob, perturbed, write_map
from finetuning import class_picture, make_segmentation
from harness import environment
from test_eval_report import CHROMIUM, Page

SVG = "{http://www.w3.org/2000/svg}"


class Looks(Page):
    """Also the pictures of cases, legends, and what stands below tables."""

    def __init__(self, text):
        self.rows, self.legend, self.notes, self.folded = [], {}, [], []
        self.color = None
        super().__init__(text)

    def inside(self, tag, name=None):
        return any(one == (tag, name) or (name is None and one[0] == tag) for one in self.opened)

    @property
    def opened(self):
        return getattr(self, "_opened", [])

    def handle_starttag(self, tag, attributes):
        super().handle_starttag(tag, attributes)
        attributes = dict(attributes)
        if tag not in ("meta", "link", "br", "img", "hr", "wbr"):
            self._opened = [*self.opened, (tag, attributes.get("class"))]
        if (tag, attributes.get("class")) == ("figure", "row"):
            self.rows.append({"caption": "", "pictures": []})
        elif tag == "img" and self.inside("figure", "row"):
            png = base64.b64decode(attributes["src"].split("base64,")[1])
            self.rows[-1]["pictures"].append({"caption": "", "pixels": np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)})
        elif attributes.get("class") == "swatch":
            self.color = re.search(r"#[0-9a-f]{6}", attributes["style"]).group()
        elif attributes.get("class") == "note":
            (self.folded if self.inside("details") else self.notes).append("")

    def handle_endtag(self, tag):
        super().handle_endtag(tag)
        self._opened = self.opened[:-1]

    def handle_data(self, data):
        super().handle_data(data)
        if self.inside("p", "note"):
            (self.folded if self.inside("details") else self.notes)[-1] += data
        elif self.inside("ul", "legend") and data.strip():
            self.legend[data.strip()] = self.color
        elif self.inside("figure", "row") and self.inside("figcaption") and data.strip():
            row = self.rows[-1]
            target = row["pictures"][-1] if row["pictures"] else row
            target["caption"] += data


def rgb(color):
    return np.array([int(color[i:i + 2], 16) for i in (1, 3, 5)])


def near(pixels, color, distance=40):
    return np.abs(pixels - rgb(color)).max(-1) < distance


def colors_of_names(file, names):
    """Of each name in an SVG's legend the colour of the mark before it."""
    found, color = {}, None
    for node in ElementTree.parse(file).getroot().iter():
        kind = node.tag.removeprefix(SVG)
        paints = [node.get(key) for key in ("stroke", "fill")]
        paints = [paint for paint in paints if re.fullmatch(r"#[0-9a-f]{6}", paint or "") and paint != "#ffffff"]
        if kind in ("rect", "line", "path") and paints:
            color = paints[0]
        text = "".join(node.itertext()).strip() if kind == "text" else ""
        for name in names:
            if text == name or text.startswith(name + ","):
                found[name] = color
    return found


class LooksTest(EvalTest):
    def page(self, output="out"):
        return Looks((self.tmp / output / "report.html").read_text("utf-8"))

    def table_of(self, name, head, rows):
        with open(self.tmp / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([head, *rows])

    def make_maps(self, n, models=("m0", "m1"), classes=2):
        for i in range(n):
            labels = blob((14, 13, 6), i, classes)
            write_map(self.tmp / f"truth/c{i}.nii.gz", labels, (1, 1, 3))
            for k, model in enumerate(models):
                write_map(self.tmp / f"{model}/c{i}.nii.gz", perturbed(labels, 10 * k + i, 0.03 + 0.1 * k, classes), (1, 1, 3))

    # Colours

    def test_the_legend_names_classes_in_the_colours_of_the_pictures(self):
        labels = np.zeros((20, 20, 3), np.uint8)
        labels[2:9, 4:16], labels[11:18, 4:16] = 1, 2  # x: left and right
        for folder in ("truth", "m0", "m1"):
            write_map(self.tmp / folder / "c0.nii.gz", labels, (1, 1, 3))
        self.eval("--classes", "linke Hälfte,right", pred=["m0", "m1"], truth="truth")
        page = self.page()
        self.assertEqual(list(page.legend), ["linke Hälfte", "right"])
        for picture in page.rows[0]["pictures"]:
            middles = [np.argwhere(near(picture["pixels"], page.legend[name]))[:, 1].mean() for name in page.legend]
            self.assertLess(middles[0] + 50, middles[1], picture["caption"])

    def test_twenty_classes_have_twenty_colours(self):
        labels = np.zeros((40, 20, 2), np.uint8)
        for k in range(20):
            labels[2 * k:2 * k + 2] = k + 1
        for folder in ("truth", "m0"):
            write_map(self.tmp / folder / "c0.nii.gz", labels)
        self.eval(pred="m0", truth="truth")
        legend = self.page().legend
        self.assertEqual(list(legend), [f"class {k}" for k in range(1, 21)])
        self.assertEqual(len(set(legend.values())), 20)

    def check_legend_below(self, picture, colors, height):
        """Each colour stands as a square below the pictures, beside something in black."""
        pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
        band, left = pixels[-height:], -1
        for color in colors:
            places = np.argwhere((band == color).all(-1))
            self.assertEqual(len(places), 144, f"a square of {color}")
            y, x = places.min(0)
            self.assertGreater(x, left, "in the order of the classes")
            self.assertGreater((band[y:y + 12, x + 16:x + 60] < 60).all(-1).sum(), 20, "its name")
            left = x

    def test_panels_and_data_cards_have_legends(self):
        make_segmentation(self.tmp / "data", 8)
        self.seg("data.classes=[round,square]", "train.epochs=1", "train.draw_every=1")
        orange, blue = (230, 159, 0), (86, 180, 233)
        (panel,) = (self.tmp / "run/samples").iterdir()
        self.check_legend_below(panel, [orange, blue], 28)
        self.check_legend_below(self.tmp / "run/data_card/masks.png", [orange, blue], 28)
        card = Looks((self.tmp / "run/data_card/card.html").read_text("utf-8"))
        self.assertEqual({name: tuple(rgb(color)) for name, color in card.legend.items()}, {"round": orange, "square": blue})

    def test_runs_of_the_same_data_share_a_section(self):
        make_segmentation(self.tmp / "data", 12)
        make_segmentation(self.tmp / "more", 14)
        for run, data, seed in (("a", "data", 0), ("b", "data", 1), ("c", "more", 0)):
            if not (self.tmp / f"{data}.json").exists():
                self.vmae("split", "--input", data, "--output", f"{data}.json", "split.scheme=70/10/20")
            self.seg("train.epochs=1", f"data.splits={data}.json", f"run.seed={seed}", data=data, run=run)
        for runs, titles in ((["a", "b"], ["Data of a, b"]), (["a"], ["Data of a"])):
            self.vmae("eval" if len(runs) == 1 else "compare", *(["--run"] if len(runs) == 1 else []), *runs, "--output", "out", "--overwrite", "--resamples", "20")
            page = (self.tmp / "out/report.html").read_text("utf-8")
            self.assertEqual(re.findall(r"(Data of [^<]*)</a>", page), titles)
        for run in ("b", "c"):  # predictions of one folder, cards of two
            (self.tmp / f"{run}/data_card/card.json").replace(self.tmp / f"{run}.json.card")
        (self.tmp / "c.json.card").replace(self.tmp / "b/data_card/card.json")
        self.vmae("compare", "a", "b", "--output", "out", "--overwrite", "--resamples", "20")
        self.assertEqual(re.findall(r"(Data of [^<]*)</a>", (self.tmp / "out/report.html").read_text("utf-8")), ["Data of a", "Data of b"])

    def test_captions_of_contact_sheets_stay_within_their_tiles(self):
        make_segmentation(self.tmp / "data", 6)
        sheets = []
        for name in ("x", "a structure of a name that is wider than a tile of the sheet"):
            self.seg("--overwrite", f"data.classes=[{name},y]", "train.max_steps=1", "train.epochs=1")
            sheets.append(np.asarray(Image.open(self.tmp / "run/data_card/masks.png").convert("L")).astype(int)[:22])
        for sheet in sheets:
            gaps = np.stack([sheet[:, 186 * k + 1:186 * k + 6] for k in range(1, sheet.shape[1] // 186)])
            self.assertTrue((gaps == 255).all(), "no letter between two tiles")

    def test_contact_sheets_colour_classes_and_not_values(self):
        make_segmentation(self.tmp / "data", 4)
        for file in (self.tmp / "data/masks").iterdir():
            mask = np.asarray(Image.open(file))
            Image.fromarray(np.where(mask == 1, 50, np.where(mask == 2, 255, 0)).astype(np.uint8)).save(file)
        self.vmae("inspect", "data", "--card", "card", "--label-values", "50,255")
        self.check_legend_below(self.tmp / "card/masks.png", [(230, 159, 0), (86, 180, 233)], 28)

    def test_sheets_of_inspect_name_their_classes(self):
        make_segmentation(self.tmp / "data", 4)
        self.vmae("inspect", "data", "--png", "sheet.png")
        self.check_legend_below(self.tmp / "sheet.png", [(230, 159, 0), (86, 180, 233)], 28)
        self.vmae("prepare", "--input", "data", "--output", "prepared")
        self.vmae("inspect", "prepared", "--png", "sheet.png")
        self.check_legend_below(self.tmp / "sheet.png", [(230, 159, 0), (86, 180, 233)], 28)

    def test_sheets_of_inspect_show_classes_and_not_values(self):
        """0 and 255 alone are class 1, as in training; values that are said to be the classes."""
        for values, options, colors in (((255, 255), (), [(230, 159, 0)]), ((50, 255), ("--label-values", "50,255"), [(230, 159, 0), (86, 180, 233)])):
            folder = make_segmentation(self.tmp / f"data{values[0]}", 4)
            for file in (folder / "masks").iterdir():
                mask = np.asarray(Image.open(file))
                Image.fromarray(np.array([0, *values], np.uint8)[mask]).save(file)
            self.vmae("inspect", folder, "--png", "sheet.png", *options)
            self.check_legend_below(self.tmp / "sheet.png", colors, 28)
            self.vmae("prepare", "--input", folder, "--output", f"prepared{values[0]}")
            self.vmae("inspect", f"prepared{values[0]}", "--png", "sheet.png", *options)
            self.check_legend_below(self.tmp / "sheet.png", colors, 28)

    def test_what_was_not_measured_is_not_compared(self):
        self.make_maps(4)
        for options, measured in (((), True), (("--no-distances",), False)):
            self.eval(*options, pred=["m0", "m1"], truth="truth", output=f"out{measured}")
            for table in ("comparisons", "class_comparisons"):
                metrics = {row["Metric"] for row in self.rows(f"tables/{table}.csv", f"out{measured}")}
                self.assertIn("Dice", metrics)
                self.assertEqual(any(metric.startswith(("HD95", "ASD", "Surface")) for metric in metrics), measured, metrics)

    def test_means_over_different_cases_are_said_to_be(self):
        """One model finds something where nothing is: 0 for it, and no value for the other."""
        self.make_maps(4)
        for folder, found in (("truth", 0), ("m0", 0), ("m1", 1)):
            labels = np.zeros((14, 13, 6), np.uint8)
            labels[3:5, 3:5, 3] = found
            write_map(self.tmp / folder / "empty.nii.gz", labels, (1, 1, 3))
        for options, differ in (((), True), (("--empty", "one"), False), (("--empty", "zero"), False)):
            done = self.eval(*options, pred=["m0", "m1"], truth="truth", output="out" + "".join(options))
            self.assertEqual("n differs between the models" in done.stdout, differ, options)
            headline = done.stdout[done.stdout.rindex("\nDice: "):]
            self.assertEqual(re.findall(r"\[n=(\d)\]", headline), ["4", "5"] if differ else [])

    def test_a_model_has_one_colour_in_all_figures(self):
        self.make_maps(4, ("a_10", "b_10", "a_100", "b_100"))
        names = ["b_100", "a_10", "b_10", "a_100"]
        self.eval("--fractions", "100,10,10,100", pred=names, truth="truth", output="maps")
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, 60)
        self.table_of("labels.csv", ["case", "label"], enumerate(labels))
        models = ["logits", "second", "third"]
        for k, model in enumerate(models):  # of the first no calibration can be drawn
            scores = labels + random.normal(0, 1, 60)
            self.table_of(f"{model}.csv", ["case", "score"], enumerate(3 * scores - 1 if k == 0 else 1 / (1 + np.exp(-scores))))
        self.eval(pred=[f"{model}.csv" for model in models], truth="labels.csv", output="scores")
        for output, among, figures in (("maps", names, ("Dice", "HD95", "label_efficiency")),
                                       ("scores", models, ("roc", "precision_recall", "calibration", "confusion_1", "confusion_2", "confusion_3"))):
            colors = {}
            for figure in figures:
                found = colors_of_names(self.tmp / output / f"figures/{figure}.svg", among)
                if not figure.startswith(("calibration", "confusion")):
                    self.assertEqual(set(found), set(among), figure)
                self.assertTrue(found, figure)
                for name, color in found.items():
                    self.assertEqual(colors.setdefault(name, color), color, f"{name} in {figure}")
            self.assertEqual(len(set(colors.values())), len(among))
        # The points of the figure of fractions, too: of each model, as wide as a marker.
        root = ElementTree.parse(self.tmp / "maps/figures/label_efficiency.svg").getroot()
        fills = {node.get("fill") for node in root.iter(SVG + "path") if node.get("stroke") == "#ffffff"}
        self.assertLessEqual(set(colors_of_names(self.tmp / "maps/figures/label_efficiency.svg", names).values()), fills)
        for figure in (self.tmp / "scores/figures").glob("confusion_*.svg"):
            shades = {node.get("fill") for node in ElementTree.parse(figure).getroot().iter(SVG + "rect") if node.get("rx") == "2"}
            self.assertTrue(all(np.ptp(rgb(shade)) < 16 for shade in shades), "shades are grey: a hue would mean a model")

    # Cases

    def test_the_same_cases_for_all_models(self):
        self.make_maps(9, ("m0", "m1", "m2"))
        self.eval(pred=["m0", "m1", "m2"], truth="truth")
        page = self.page()
        mean = {}  # of case and model, over classes
        for row in self.rows():
            if row["Dice"]:
                mean.setdefault(row["case"], {}).setdefault(row["model"], []).append(float(row["Dice"]))
        mean = {case: {model: np.mean(values) for model, values in models.items()} for case, models in mean.items()}
        of_case = {case: np.mean(list(models.values())) for case, models in mean.items()}
        order = sorted(of_case, key=of_case.get)
        widest = max(mean, key=lambda case: np.ptp(list(mean[case].values())))
        captions = {row["caption"].split(": ")[1]: row["caption"].lower() for row in page.rows}
        for case, word in ((order[-1], "best"), (order[len(order) // 2], "median"), (order[0], "worst"), (widest, "differ most")):
            self.assertIn(word, captions[case])
        for row in page.rows:
            case = row["caption"].split(": ")[1]
            self.assertEqual([one["caption"] for one in row["pictures"]], ["truth", *(f"{m}, Dice {mean[case][m]:.3f}" for m in ("m0", "m1", "m2"))])
            self.assertEqual(len({one["pixels"].shape for one in row["pictures"]}), 1)

    def test_classification_shows_what_is_right_and_wrong_with_confidence(self):
        names, kinds, random = ["above", "below", "none"], [i % 3 for i in range(30)], np.random.default_rng(1)
        (self.tmp / "images").mkdir()
        for i, kind in enumerate(kinds):
            Image.fromarray(class_picture(i, kind)).save(self.tmp / f"images/c{i:02d}.png")
        self.table_of("labels.csv", ["case", "label"], [(f"c{i:02d}", names[kind]) for i, kind in enumerate(kinds)])
        certainty = []
        for model in ("a", "b"):
            z = random.normal(0, 1, (30, 3)) + 1.2 * np.eye(3)[kinds]
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            self.table_of(f"{model}.csv", ["case", *names], [(f"c{i:02d}", *map(float, row)) for i, row in enumerate(p)])
            certainty.append([row[k] - np.delete(row, k).max() for row, k in zip(p, kinds)])
        certainty = np.mean(certainty, 0)
        self.eval("--images", "images", pred=["a.csv", "b.csv"], truth="labels.csv")
        rows = {row["caption"].split()[0]: row["pictures"] for row in self.page().rows}
        for word, pick, is_there in (("Right", np.argmax, lambda v: v > 0), ("Wrong", np.argmin, lambda v: v < 0)):
            expected = []
            for kind in range(3):
                cases = [i for i in range(30) if kinds[i] == kind]
                case = cases[pick(certainty[cases])]
                if is_there(certainty[case]):
                    expected.append((kind, case))
            self.assertEqual(len(rows[word]), len(expected))
            for (kind, case), picture in zip(expected, rows[word]):
                self.assertIn(f"truth: {names[kind]}", picture["caption"])
                self.assertIn(f"c{case:02d}", picture["caption"])
                self.assertRegex(picture["caption"], r"a: (above|below|none) 0\.\d{3}; b: (above|below|none) 0\.\d{3}")
                halves = np.array_split(picture["pixels"][..., 0], 2)
                bright = [(half > 220).sum() for half in halves]
                if kind < 2:
                    self.assertGreater(bright[kind], 5 * bright[1 - kind] + 100, "the image of this case")
        self.eval(pred=["a.csv", "b.csv"], truth="labels.csv", output="without")
        self.assertEqual(self.page("without").rows, [])
        (self.tmp / "others").mkdir()
        Image.fromarray(class_picture(0, 0)).save(self.tmp / "others/x.png")
        self.assertIn("no image of the name", self.eval("--images", "others", pred="a.csv", truth="labels.csv", expect=3).stderr)

    def test_images_of_the_truth_are_known(self):
        (self.tmp / "data").mkdir()
        for i in range(12):
            Image.fromarray(class_picture(i, i % 2)).save(self.tmp / f"data/c{i:02d}.png")
        self.table_of("data/manifest.csv", ["image", "label"], [(f"c{i:02d}.png", ("above", "below")[i % 2]) for i in range(12)])
        self.table_of("a.csv", ["case", "above"], [(f"c{i:02d}", 0.9 - 0.8 * (i % 2) - 0.01 * i) for i in range(12)])
        self.eval(pred="a.csv", truth="data/manifest.csv")
        rows = self.page().rows
        self.assertEqual([row["caption"].split()[0] for row in rows], ["Right"])
        self.assertEqual([re.search(r"\((.*)\)", one["caption"]).group(1) for one in rows[0]["pictures"]], ["c11", "c00"])

    # Words

    def test_at_most_five_remarks_and_the_rest_folded(self):
        for i in range(4):
            labels = blob((14, 13, 6), i, 6)
            write_map(self.tmp / f"truth/c{i}.nii.gz", labels)
            for k in range(3):
                found = perturbed(labels, i + k, 0.02, 6)
                found[np.isin(found, [1 + i % 2, 3 + k])] = 0
                write_map(self.tmp / f"m{k}/c{i}.nii.gz", found)
        done = self.eval(pred=["m0", "m1", "m2"], truth="truth")
        page = self.page()
        remarks = [text for text in page.notes if re.search(r" of m\d.*: ", text)]
        folded = [text for text in page.folded if re.search(r" of m\d.*: ", text)]
        self.assertTrue(remarks)
        self.assertGreater(len(folded), 0)
        text = (self.tmp / "out/report.html").read_text("utf-8")
        tables = re.findall(r'<div class="table">.*?\n</div>\n(?=<|\Z)', text, re.DOTALL)
        self.assertGreater(len(tables), 2)
        for table in tables:
            open_ones = re.sub(r"<details.*?</details>", "", table, flags=re.DOTALL)
            shown = re.findall(r'<p class="note">[^<]* of m\d[^<]*: ', open_ones)
            self.assertLessEqual(len(shown), 5)
        self.assertRegex(text, r"<summary>\d+ more remarks?</summary>")
        self.assertRegex(done.stdout, r"And \d+ more remarks?\.")
        # A remark is about what its table shows.
        results = tables[0].split("</table>")[1]
        for metric in ("IoU", "Precision", "HD95, larger direction"):
            self.assertNotIn(metric, results)

    def test_few_cases_are_marked_beside_every_p(self):
        for n, few in ((5, True), (12, False)):
            self.make_maps(n)
            done = self.eval(pred=["m0", "m1"], truth="truth", output=f"out{n}")
            summary = self.summary(f"out{n}")
            texts = [done.stdout, summary["headline"], (self.tmp / f"out{n}/tables/comparisons.tex").read_text(), "".join(self.page(f"out{n}").text)]
            for text in texts:
                self.assertEqual("few cases" in text, few, text[:300])
            for table in ("comparisons", "class_comparisons"):
                for row in self.rows(f"tables/{table}.csv", f"out{n}"):
                    for key, cell in row.items():
                        if key.startswith("p, ") and cell != "-":
                            self.assertEqual(cell.endswith(" (few cases)"), few, cell)
            for comparison in summary["comparisons"]:
                for test in comparison["tests"]:
                    self.assertEqual(test.get("few_cases", False), test["n"] < 10)

    def test_per_slice_says_what_its_mean_is_of(self):
        self.make_maps(3)
        self.table_of("patients.csv", ["case", "patient"], [("c0", "p"), ("c1", "p"), ("c2", "q")])
        for more, over, other in (([], "cases", "slices"), (["--per-slice"], "slices", "cases"), (["--per-slice", "--patients", "patients.csv"], "slices", "patients")):
            done = self.eval(*more, pred=["m0", "m1"], truth="truth")
            page = re.sub(r"\s+", " ", "".join(self.page().text))
            for text in (done.stdout, page):
                self.assertRegex(text, f"mean over (all |the )?{over}")
                self.assertNotRegex(text, f"mean over (all |the )?{other}")
            if more:
                self.assertIn(f"not over {other}", page)
                self.assertIn("mean over slices", self.summary()["headline"])
                self.assertRegex(self.summary()["headline"], r"18 slices of \d (patients|cases)")

    # Screens

    @unittest.skipUnless(CHROMIUM, "needs chromium")
    def test_no_page_is_wider_than_a_phone(self):
        self.make_maps(4, ("m0", "a model of a very long name that says all about how it was trained", "m2"), 5)
        self.eval("--classes", "one,two,a class of a rather long name,four,SegmentationOfTheFifthStructureWithoutABlank",
                  pred=["m0", "a model of a very long name that says all about how it was trained", "m2"], truth="truth")
        text = re.sub(r"<meta http-equiv[^>]*>", "", (self.tmp / "out/report.html").read_text("utf-8"))
        script = ("<script>onload = () => parent.postMessage({page: document.documentElement.scrollWidth, tables: [...document.querySelectorAll('.scroll')].map("
                  "one => [one.clientWidth, one.scrollWidth])}, '*')</script>")
        for width in (390, 1200):
            frame = f'<iframe width="{width}" height="800" style="border:0" srcdoc="{html.escape(text.replace("</body>", script + "</body>"))}"></iframe>'
            (self.tmp / "frame.html").write_text(
                f"<body><pre></pre><script>onmessage = event => document.querySelector('pre').textContent = 'found ' + JSON.stringify(event.data)</script>{frame}", "utf-8")
            done = subprocess.run([CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={self.tmp / 'profile'}",
                                   "--window-size=1400,1000", "--virtual-time-budget=10000", "--dump-dom", (self.tmp / "frame.html").as_uri()],
                                  capture_output=True, timeout=120, env=environment(HOME=self.tmp))
            found = re.search(r"<pre>found (.*?)</pre>", done.stdout.decode(errors="replace"))
            if found is None:
                self.skipTest("chromium does not run here: " + done.stderr.decode(errors="replace")[-300:])
            sizes = json.loads(html.unescape(found.group(1)))
            self.assertLessEqual(sizes["page"], width)
            self.assertTrue(all(shown <= width for shown, _ in sizes["tables"]), sizes)
            if width == 390:
                self.assertTrue(any(whole > shown for shown, whole in sizes["tables"]), "wide tables scroll")


if __name__ == "__main__":
    unittest.main()
