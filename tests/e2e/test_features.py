# SPDX-License-Identifier: Apache-2.0
"""vmae features: the numbers of the Python models' encoder on the same images, prepared a second time in numpy."""
import csv
import json
import unittest

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from finetuning import FinetuneTest, best, last, make_class_manifest, make_segmentation, metadata, python_model, resized, trained, volume_of_pictures, write_nifti
from harness import make_pictures, weights_of, write_safetensors


def mae(path):
    from vmae_model import load_model
    return load_model(str(path))


def expected(model, pixels, minmax):
    """Of slices (n, rows, columns) of bytes -> (n, features). Without a norm of its own: LayerNorm without scale and shift."""
    height, width = model.image_size
    rows = []
    for image in pixels:
        unit = resized(image / 255.0, height, width)
        if minmax:
            unit = (unit - unit.min()) / (unit.max() - unit.min())
        with torch.no_grad():
            tokens = model.encode(torch.tensor((unit - 0.223) / 0.202, dtype=torch.float32)[None, None])
            norm = getattr(model, "norm", None) or torch.nn.LayerNorm(tokens.shape[-1], eps=model.eps)
            rows.append(norm(tokens).mean((1, 2))[0].numpy())
    return np.stack(rows)


class FeaturesTest(FinetuneTest):
    def features(self, *more, weights, input="data/images", output="f.csv", **kw):
        return self.vmae("features", "--weights", weights, "--input", input, "--output", output, "--threads", "1", "--precision", "fp32", *more, **kw)

    def csv(self, name="f.csv"):
        with open(self.tmp / name, newline="") as file:
            return list(csv.DictReader(file))

    def vectors(self, rows):
        return np.array([[float(value) for key, value in row.items() if key[0] == "f"] for row in rows])

    def tensors(self, name="f.safetensors"):
        with safe_open(self.tmp / name, "numpy") as file:
            return file.get_tensor("features"), file.metadata()

    def test_pictures_of_all_models(self):
        make_segmentation(self.tmp / "data", 5)
        pixels = [np.asarray(Image.open(self.tmp / f"data/images/case{i:03d}.png")).astype(float) for i in range(5)]
        for what, model in (("mae", mae(last(trained("mae")))), ("seg", python_model(best(trained("seg")))), ("cls", python_model(best(trained("cls"))))):
            with self.subTest(what):
                wanted = expected(model, pixels, minmax=json.loads(metadata(best(trained(what)) if what != "mae" else last(trained(what)))["image_options"])["minmax"])
                self.features("--overwrite", weights=trained(what))
                rows = self.csv()
                self.assertEqual([(row["case"], row["slices"]) for row in rows], [(f"case{i:03d}", "1") for i in range(5)])
                self.assertEqual(list(rows[0])[2:], [f"f{k}" for k in range(64)])
                np.testing.assert_allclose(self.vectors(rows), wanted, atol=2e-4)
                self.features("--overwrite", weights=trained(what), output="f.safetensors")
                found, meta = self.tensors()
                np.testing.assert_array_equal(found, self.vectors(rows).astype(np.float32), "nine digits are enough")
                self.assertEqual((json.loads(meta["names"]), meta["per"]), ([row["case"] for row in rows], "case"))

    def test_of_a_model_with_a_conv_stem(self):
        make_segmentation(self.tmp / "data", 5)
        make_class_manifest(self.tmp / "labels", (4, 4, 4))
        self.seg("model.conv_stem=true", "optim.lr=1e-2", run="seg")
        self.cls("model.conv_stem=true", "optim.lr=1e-2", data="labels", run="cls")
        pixels = [np.asarray(Image.open(self.tmp / f"data/images/case{i:03d}.png")).astype(float) for i in range(5)]
        for run in ("seg", "cls"):
            file = best(self.tmp / run)
            model = python_model(file)
            self.assertGreater(model.conv_stem.proj.weight.abs().max().item(), 1e-3)
            self.features("--overwrite", weights=file)
            np.testing.assert_allclose(self.vectors(self.csv()), expected(model, pixels, json.loads(metadata(file)["image_options"])["minmax"]), atol=2e-4)

    def test_what_the_head_of_a_classifier_is_given(self):
        """Features times the head's weights are the classifier's logits."""
        make_class_manifest(self.tmp / "data", (3, 3, 3))
        self.features(weights=trained("cls"))
        self.predict(weights=trained("cls"), input="data/images")
        tensors = weights_of(best(trained("cls")))
        logits = self.vectors(self.csv()) @ tensors["head.weight"].T + tensors["head.bias"]
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        table = self.table("cases.csv")
        names = json.loads(metadata(best(trained("cls")))["class_names"])
        np.testing.assert_allclose(p, [[float(table[row["case"]][name]) for name in names] for row in self.csv()], atol=1e-5)

    def test_volumes_per_image_and_per_case(self):
        volume = volume_of_pictures()
        (self.tmp / "data/images").mkdir(parents=True)
        write_nifti(self.tmp / "data/images/v.nii.gz", volume)
        make_pictures(self.tmp / "data/images", 1, prefix="w")
        self.features("--per", "image", weights=trained("seg"))
        rows = self.csv()
        self.assertEqual([(row["case"], row["slice"]) for row in rows], [("v", str(z)) for z in range(5)] + [("w000", "0")])
        self.features("--overwrite", "--batch", "2", weights=trained("seg"), output="cases.csv")
        cases = self.csv("cases.csv")
        self.assertEqual([(row["case"], row["slices"]) for row in cases], [("v", "5"), ("w000", "1")])
        np.testing.assert_allclose(self.vectors(cases)[0], self.vectors(rows)[:5].mean(0), atol=1e-5)
        self.features("--per", "image", weights=trained("seg"), output="f.safetensors")
        found, meta = self.tensors()
        self.assertEqual((found.shape, json.loads(meta["slices"]), json.loads(meta["names"])), ((6, 64), [0, 1, 2, 3, 4, 0], ["v"] * 5 + ["w000"]))

    def test_stretched_as_the_config_of_older_weights_says(self):
        """Weights of a pretraining that carry no data.minmax: their config says it."""
        make_segmentation(self.tmp / "data", 2)
        meta = {k: v for k, v in metadata(last(trained("mae"))).items() if k not in ("checksum", "state")}
        found = []
        for minmax in ("false", "true"):
            options = {k: v for k, v in json.loads(meta["image_options"]).items() if k != "minmax"}
            write_safetensors(self.tmp / "w.safetensors", weights_of(last(trained("mae"))),
                              {**meta, "image_options": json.dumps(options), "config": meta["config"].replace("minmax: false", f"minmax: {minmax}")})
            self.features("--overwrite", weights="w.safetensors")
            found.append(self.vectors(self.csv()))
            pixels = [np.asarray(Image.open(self.tmp / f"data/images/case{i:03d}.png")).astype(float) for i in range(2)]
            np.testing.assert_allclose(found[-1], expected(mae(last(trained("mae"))), pixels, minmax == "true"), atol=2e-4)
        self.assertGreater(np.abs(found[0] - found[1]).max(), 1e-3)

    def test_bad_input(self):
        make_segmentation(self.tmp / "data", 2)
        (self.tmp / "data/images/broken.png").write_bytes(b"x")
        done = self.features(weights=trained("seg"), expect=6)
        self.assert_says(done, "1 case was left out", "broken")
        self.assertEqual([row["case"] for row in self.csv()], ["case000", "case001"])
        self.assert_says(self.features(weights=trained("seg"), expect=2), "exists already", "--overwrite")
        self.assert_says(self.features(weights=trained("seg"), output="f.txt", expect=2), ".csv or .safetensors")
        self.assert_says(self.features(weights=trained("seg"), output="no/f.csv", expect=2), "mkdir -p no")
        self.assert_says(self.features(weights="nowhere", output="g.csv", expect=4), "nowhere")
        self.features("--per", "patient", weights=trained("seg"), output="g.csv", expect=2)

    def test_a_model_that_saw_parts_is_said(self):
        make_segmentation(self.tmp / "data", 1)
        self.assert_says(self.features(weights=trained("none")), "data.resize = none", "whole")

    def test_a_plain_unet_is_refused(self):
        make_segmentation(self.tmp / "data", 4)
        self.seg("model.name=unet", "model.features=[4,8]", "train.epochs=1")
        self.assert_says(self.features(weights="run", expect=4), "weights of U-Net, which has no Swin encoder")


if __name__ == "__main__":
    unittest.main()
