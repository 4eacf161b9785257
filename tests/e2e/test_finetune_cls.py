# SPDX-License-Identifier: Apache-2.0
"""vmae finetune-cls: classes, folders, findings, volumes; AUROC, loss and accuracy as counted here from what `vmae predict` writes."""
import csv
import json
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, FinetuneTest, best, class_picture, last, make_class_manifest, metadata, python_model, trained, write_nifti
from harness import metrics


def auroc(scores, truth):
    """The share of pairs in the right order, ties half."""
    positive, negative = (np.asarray([s for s, t in zip(scores, truth) if t == value]) for value in (1, 0))
    return np.mean((positive[:, None] > negative) + 0.5 * (positive[:, None] == negative))


class ClassifyTest(FinetuneTest):
    def rows(self, file):
        with open(file, newline="") as text:
            return list(csv.DictReader(text))

    def best_line(self, key, lowest=False, run="run"):
        return (min if lowest else max)(metrics(self.tmp / run, "val"), key=lambda line: line[key])

    def case(self, name):
        """As cases.csv names it."""
        return name.rsplit(".", 2 if name.endswith(".nii.gz") else 1)[0]


class ClassesTest(ClassifyTest):
    def test_learns_and_predicts(self):
        """Three classes of the manifest's column `label`; AUROC of each, loss and accuracy recomputed from cases.csv."""
        manifest = make_class_manifest(self.tmp / "data", (12, 12, 12), split=True)
        self.cls("train.epochs=20", "optim.lr=2e-3", "train.best_metric=loss", *NO_AUGMENTATION, data="data/list.csv")
        line = self.best_line("loss", lowest=True)
        self.assertEqual(set(line), {"kind", "step", "epoch", "AUROC", "AUROC/down", "AUROC/none", "AUROC/up", "loss", "accuracy"})
        self.assertGreater(line["AUROC"], 0.8)
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), ["down", "none", "up"])
        self.predict(input="data/images")
        table = self.table("cases.csv")
        val = [row for row in self.rows(manifest) if row["split"] == "val"]
        self.assertEqual(len(val), 12)
        probability = {name: [float(table[Path(row["image"]).stem][name]) for row in val] for name in ("down", "none", "up")}
        areas = []
        for name, scores in probability.items():
            areas.append(auroc(scores, [int(row["label"] == name) for row in val]))
            self.assertAlmostEqual(line["AUROC/" + name], areas[-1], places=6)
        self.assertAlmostEqual(line["AUROC"], np.mean(areas), places=6)
        p = np.stack(list(probability.values()), 1)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
        truth = np.asarray([list(probability).index(row["label"]) for row in val])
        self.assertAlmostEqual(line["accuracy"], np.mean(p.argmax(1) == truth), places=6)
        self.assertAlmostEqual(line["loss"], -np.log(p[np.arange(12), truth]).mean(), delta=1e-4)

    def test_class_folders(self):
        for kind, name in enumerate(("up", "down")):
            (self.tmp / "data" / name).mkdir(parents=True)
            for i in range(10):
                Image.fromarray(class_picture(100 * kind + i, kind)).save(self.tmp / f"data/{name}/{i}.png")
        done = self.cls("train.epochs=1", "train.draw_every=1")
        self.assert_says(done, "2 classes (down, up)")
        line = metrics(self.tmp / "run", "val")[-1]
        self.assertEqual(set(line), {"kind", "step", "epoch", "AUROC", "loss", "accuracy"}, "of two classes one area is the other's")
        self.assertEqual([p.name for p in (self.tmp / "run/samples").iterdir()], ["prediction_epoch0001.png"])
        self.predict()
        self.assertEqual(sorted(self.table("cases.csv")), sorted(f"{name}/{i}" for name in ("up", "down") for i in range(10)))

    def test_class_folders_that_were_prepared(self):
        """With the option that the note names the dataset has the labels, and classification learns as from the folders; without, it says what is missing."""
        for kind, name in enumerate(("benign", "malignant")):
            (self.tmp / "data" / name).mkdir(parents=True)
            for i in range(10):
                Image.fromarray(class_picture(100 * kind + i, kind)).save(self.tmp / f"data/{name}/{i}.png")
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        prepare = ["prepare", "--input", "data", f"prepare.salt_file={self.tmp / 'salt'}"]
        for more in ([], ["--dry-run"]):
            self.assert_says(self.vmae(*prepare, "--output", "plain", *more, "--overwrite"), "the dataset gets no labels", "prepare.layout=class_folders keeps them as labels")
        self.assert_says(self.cls(data="plain", run="none", expect=3), "data.train was prepared without labels", "with prepare.layout=class_folders")
        done = self.vmae(*prepare, "--output", "kept", "prepare.layout=class_folders")
        self.assertNotIn("no labels", done.stderr)
        self.assert_says(self.cls("train.epochs=2", *NO_AUGMENTATION, data="kept"), "2 classes (benign, malignant)")
        self.assertEqual(set(metrics(self.tmp / "run", "val")[-1]), {"kind", "step", "epoch", "AUROC", "loss", "accuracy"})
        self.assertEqual(json.loads(metadata(last(self.tmp / "run"))["class_names"]), ["benign", "malignant"])
        self.vmae("inspect", "kept", "--source", "data", "--salt-file", self.tmp / "salt")
        self.predict(input="kept")
        self.assertEqual(len(self.table("cases.csv")), 20)
        self.assertEqual(set(next(iter(self.table("cases.csv").values()))), {"case", "slices", "benign", "malignant"})

    def test_grey_that_is_stored_in_three_channels_is_no_colour(self):
        make_class_manifest(self.tmp / "data", [9, 9, 9])
        for tint, says in (0, False), (40, True):
            for file in (self.tmp / "data/images").iterdir():
                grey = np.asarray(Image.open(file).convert("L"))
                Image.fromarray(np.stack([grey, grey, np.minimum(grey, 255 - tint) + np.uint8(tint)], -1)).save(file)
            done = self.cls("--dry-run")
            self.assertEqual("images are in colour" in done.stderr, says, tint)

    def test_best_metric(self):
        make_class_manifest(self.tmp / "data", (8, 8, 8), split=True)
        for metric, lowest in (("loss", True), ("accuracy", False), ("AUROC", False)):
            self.cls("--overwrite", f"train.best_metric={metric}", "train.epochs=6", "optim.lr=1e-2", "optim.min_lr=1e-2", data="data/list.csv")
            lines = metrics(self.tmp / "run", "val")
            state = json.loads(metadata(last(self.tmp / "run"))["state"])
            wanted = (min if lowest else max)(line[metric] for line in lines)
            self.assertEqual(lines[state["best_epoch"]][metric], wanted, metric)
            lowest_loss = min(line["loss"] for line in lines if line[metric] == wanted)
            self.assertEqual(lines[state["best_epoch"]]["loss"], lowest_loss, "of equals the lower loss")

    def test_label_smoothing_and_weights(self):
        """The first training loss of untrained weights, against Python."""
        import torch
        manifest = make_class_manifest(self.tmp / "data", (4, 2, 2))  # one batch
        base = ["optim.lr=0", "optim.weight_decay=0", "train.max_steps=1", "data.val_fraction=0", "model.drop_path_rate=0", "model.image_size=[40,40]",
                *NO_AUGMENTATION]
        losses = {}
        for name, more in (("plain", []), ("smooth", ["loss.label_smoothing=0.2"]), ("weighted", ["loss.class_weights=[1,2,4]"])):
            self.cls("--overwrite", *base, *more, data="data/list.csv")
            losses[name] = metrics(self.tmp / "run", "train")[0]["loss"]
        rows = self.rows(manifest)
        image = np.stack([np.asarray(Image.open(self.tmp / "data" / row["image"])) for row in rows]) / 255
        truth = torch.tensor([["down", "none", "up"].index(row["label"]) for row in rows])
        with torch.no_grad():
            logits = python_model(last(self.tmp / "run"))(torch.tensor((image - 0.223) / 0.202, dtype=torch.float32)[:, None])
        loss = torch.nn.functional.cross_entropy
        self.assertAlmostEqual(losses["plain"], loss(logits, truth).item(), delta=1e-4)
        self.assertAlmostEqual(losses["smooth"], loss(logits, truth, label_smoothing=0.2).item(), delta=1e-4)
        self.assertAlmostEqual(losses["weighted"], loss(logits, truth, weight=torch.tensor([1.0, 2, 4])).item(), delta=1e-4)
        self.assertEqual(len({round(v, 5) for v in losses.values()}), 3)

    def test_linear_probe_learns_from_pretrained_features(self):
        make_class_manifest(self.tmp / "data", (12, 12), split=True)
        self.cls(f"model.init={trained('cls')}", "model.freeze=linear_probe", "train.epochs=30", "optim.lr=3e-2", *NO_AUGMENTATION, data="data/list.csv")
        losses = [line["loss"] for line in metrics(self.tmp / "run", "train")]
        self.assertLess(np.mean(losses[-3:]), 0.9 * losses[0])


class FindingsTest(ClassifyTest):
    """Findings: columns of 0, 1 and empty. `top`: a bright upper half; `bottom` likewise."""

    def make(self, count=24, extra=""):
        (self.tmp / "data/images").mkdir(parents=True)
        rows = ["image,split,top,bottom"]
        for i in range(count):
            random = np.random.default_rng(i)
            top, bottom = i % 2, i // 2 % 2
            image = random.normal(70, 12, (40, 40))
            image[4:14, 10:30] += 120 * top
            image[26:36, 10:30] += 120 * bottom
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(self.tmp / f"data/images/p{i:03d}.png")
            cells = ["" if i % 5 == 1 else str(top), "" if i % 7 == 2 else str(bottom)]
            rows.append(f"images/p{i:03d}.png,{'val' if i % 3 == 0 else 'train'},{','.join(cells)}")
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n" + extra)

    def test_empty_cells_are_masked(self):
        self.make()
        done = self.cls("train.epochs=8", "optim.lr=2e-3", "train.best_metric=loss", *NO_AUGMENTATION, data="data/list.csv")
        self.assert_says(done, "2 findings")
        self.assertEqual(metadata(best(self.tmp / "run"))["is_multi_label"], "true")
        line = self.best_line("loss", lowest=True)
        self.predict(input="data/images")
        self.assertTrue(self.record()["options"]["is_multi_label"])
        table = self.table("cases.csv")
        names = [key for key in next(iter(table.values())) if key not in ("case", "slices")]
        self.assertEqual(set(names), {"top", "bottom"})
        val = [row for row in self.rows(self.tmp / "data/list.csv") if row["split"] == "val"]
        terms, right, areas = [], [], []
        for name in names:
            known = [row for row in val if row[name] != ""]
            self.assertLess(len(known), len(val))
            p, truth = [float(table[Path(row["image"]).stem][name]) for row in known], [int(row[name]) for row in known]
            areas.append(auroc(p, truth))
            self.assertAlmostEqual(line["AUROC/" + name], areas[-1], places=6)
            terms += [-np.log(q if t else 1 - q) for q, t in zip(p, truth)]
            right += [(q >= 0.5) == bool(t) for q, t in zip(p, truth)]
        self.assertAlmostEqual(line["AUROC"], np.mean(areas), places=6)
        self.assertAlmostEqual(line["accuracy"], np.mean(right), places=6)
        # One batch of eight validates: the mean over its known entries.
        self.assertEqual(len(val), 8)
        self.assertAlmostEqual(line["loss"], np.mean(terms), delta=1e-4)

    def test_positive_weights(self):
        self.make()
        self.cls("loss.positive_weights=[3]", data="data/list.csv")
        self.cls("--overwrite", "loss.positive_weights=[3,1]", data="data/list.csv")
        self.assert_says(self.cls("--overwrite", "loss.positive_weights=[3,1,1]", data="data/list.csv", expect=2), "loss.positive_weights")

    def test_cases_without_any_label_do_no_harm(self):
        self.make(extra="images/p001.png.png,train,,\n")
        (self.tmp / "data/images/p001.png").rename(self.tmp / "data/images/p001.png.png")
        rows = [r for r in (self.tmp / "data/list.csv").read_text().splitlines() if not r.startswith("images/p001.png,")]
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        self.cls(data="data/list.csv")
        self.assertTrue(all(np.isfinite(line["loss"]) for line in metrics(self.tmp / "run")))


class VolumesTest(ClassifyTest):
    """Volumes of 2 to 4 slices: each slice is scored, the case pooled."""

    def setUp(self):
        super().setUp()
        rows = ["image,label,split"]
        for i in range(16):
            kind, depth = i % 2, 2 + i % 3
            slices = [class_picture(10 * i + j, kind) for j in range(depth)]
            write_nifti(self.tmp / f"data/v{i:02d}.nii.gz", np.stack(slices, -1).astype(np.float32), np.diag([1, 1, 4, 1]))
            rows.append(f"v{i:02d}.nii.gz,{'ab'[kind]},{'val' if i % 4 < 2 else 'train'}")
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")

    def pooled(self, slices, how):
        p = np.mean(slices, 0) if how == "mean" else np.max(slices, 0) / np.max(slices, 0).sum()
        return p

    def test_pooling_per_volume(self):
        val = [row for row in self.rows(self.tmp / "data/list.csv") if row["split"] == "val"]
        cases = {}
        for how in ("mean", "max"):
            self.cls("--overwrite", f"data.pool={how}", "train.epochs=3", "train.best_metric=loss", *NO_AUGMENTATION, data="data/list.csv")
            self.predict("--overwrite")
            cases[how], slices = self.table("cases.csv"), self.table("slices.csv")
            self.assertEqual(self.record()["options"]["pool"], how)
            for name, row in cases[how].items():
                number = int(name[1:])
                self.assertEqual(int(row["slices"]), 2 + number % 3)
                p = np.asarray([[float(slices[name, i][c]) for c in "ab"] for i in range(2 + number % 3)])
                np.testing.assert_allclose([float(row[c]) for c in "ab"], self.pooled(p, how), atol=2e-6)
            line = self.best_line("loss", lowest=True)
            scores, truth = zip(*((float(cases[how][self.case(row["image"])]["b"]), int(row["label"] == "b")) for row in val))
            self.assertAlmostEqual(line["AUROC"], auroc(scores, truth), places=6)
            self.assertAlmostEqual(line["accuracy"], np.mean([(s > 0.5) == t for s, t in zip(scores, truth)]), places=6)
        self.predict("--overwrite", "--pool", "mean")
        again = self.table("cases.csv")
        self.assertNotEqual(again, cases["max"], "the option wins over the model's")
        self.assertEqual(self.record()["options"]["pool"], "mean")

    def test_labels_of_a_volume_are_those_of_its_patient(self):
        """`patient` in the manifest: nobody is on both sides."""
        text = (self.tmp / "data/list.csv").read_text().splitlines()
        rows = ["image,label,patient", *(f"{r.split(',')[0]},{r.split(',')[1]},P{i // 2}" for i, r in enumerate(text[1:]))]
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        self.cls("data.val_fraction=0.3", "train.epochs=1", data="data/list.csv")
        splits = json.loads((self.tmp / "run/splits.json").read_text())
        sides = [{int(name[1:3]) // 2 for name in splits[part]} for part in ("train", "val")]
        self.assertEqual(sides[0] & sides[1], set())


if __name__ == "__main__":
    unittest.main()
