# SPDX-License-Identifier: Apache-2.0
"""vmae predict: what can't be read stops nothing and is named; exit codes; tables."""
import json
import unittest

import numpy as np
from PIL import Image

from finetuning import (FinetuneTest, best, labelled_picture, last, make_class_manifest, make_segmentation, metadata, trained, volume_of_pictures,
                        write_nifti)
from harness import SIGTERM, at_point, make_pictures, point_library, weights_of, write_safetensors


class ExitCodesTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 3)

    def test_6_unreadable_cases_are_named_and_the_others_done(self):
        good = (self.tmp / "data/images/case000.png").read_bytes()
        (self.tmp / "data/images/broken.png").write_bytes(good[:200])
        volume = volume_of_pictures()
        volume[3, 3, 3] = np.nan
        write_nifti(self.tmp / "data/images/not_a_number.nii.gz", volume)
        for what in ("seg", "cls"):
            done = self.predict("--overwrite", weights=trained(what), input="data/images", output=what, expect=6)
            record = self.record(what)
            self.assertEqual([record["cases"], sorted(record["failed"])], [3, ["broken", "not_a_number"]])
            end = done.stderr[done.stderr.rindex("2 cases were left out"):]
            self.assertIn("broken", end)
            self.assertRegex(end, "not_a_number.*(NaN|not finite|infinite)")
        self.assertEqual(self.written("seg"), ["case000.png", "case001.png", "case002.png", "predict.json"])
        self.assertEqual(sorted(self.table("cases.csv", "cls")), ["case000", "case001", "case002"])

    def test_3_nothing_to_predict(self):
        (self.tmp / "empty").mkdir()
        self.assert_says(self.predict(weights=trained("seg"), input="empty", expect=3), "empty", "no images")
        self.assert_says(self.predict(weights=trained("seg"), input="nowhere", expect=3), "nowhere")
        (self.tmp / "bad").mkdir()
        (self.tmp / "bad/x.png").write_bytes(b"")
        self.assert_says(self.predict(weights=trained("seg"), input="bad", expect=3), "no case could be predicted", "x")

    def test_4_weights(self):
        self.assert_says(self.predict(weights=trained("mae"), input="data/images", expect=4), "masked autoencoder", "finetune-seg")
        self.assert_says(self.predict(weights="nowhere", input="data/images", expect=4), "nowhere")
        self.assert_says(self.predict(weights="data", input="data/images", expect=4), "checkpoints/best.safetensors")
        (self.tmp / "junk.safetensors").write_bytes(b"junk")
        self.assert_says(self.predict(weights="junk.safetensors", input="data/images", expect=4), "junk.safetensors")
        self.assertFalse((self.tmp / "out").exists(), "nothing was begun")

    def test_4_damaged_metadata(self):
        weights, meta = weights_of(best(trained("seg"))), {k: v for k, v in metadata(best(trained("seg"))).items() if k != "checksum"}
        for key, value in (("class_names", '["one"]'), ("class_names", "no json"), ("model_options", "{"), ("image_options", '{"resize":"sideways"}'),
                           ("pool", "")):
            with self.subTest(key=key, value=value):
                write_safetensors(self.tmp / "w.safetensors", weights, {**meta, key: value})
                if key == "pool":
                    del meta["pool"]
                    write_safetensors(self.tmp / "w.safetensors", weights, meta)
                self.assert_says(self.predict("--overwrite", weights="w.safetensors", input="data/images", expect=4), "w.safetensors")

    def test_2_usage(self):
        self.predict(weights=trained("seg"), input="data/images")
        self.assert_says(self.predict(weights=trained("seg"), input="data/images", expect=2), "--overwrite", "not empty")
        self.predict("--overwrite", weights=trained("seg"), input="data/images")
        for wrong in (["--overlap", "1"], ["--tiles", "some"], ["--batch", "0"], ["--pool", "median"], ["--nonsense"]):
            self.predict(*wrong, weights=trained("seg"), input="data/images", output="other", expect=2)
        self.vmae("predict", "--input", "data/images", "--output", "other", expect=2)

    def test_2_an_output_that_may_not_be_written_to(self):
        done = self.predict(weights=trained("seg"), input="data/images", output="/proc/nowhere", expect=2)
        self.assert_says(done, "--output /proc/nowhere", "choose a folder that you may write to")

    def test_mirror_as_in_training(self):
        """Only along the axes that training mirrored; where it mirrored none, with a word."""
        for mirrors, options, says in (("none", ["data.flip_horizontal=0", "data.rot90=0"], "the model never saw mirror images"),
                                       ("horizontal", ["data.flip_horizontal=0.5", "data.rot90=0"], "horizontal alone, as in training"), ("both", ["data.rot90=0.5"], None)):
            with self.subTest(mirrors):
                self.seg("train.epochs=1", "--overwrite", *options)
                self.assertEqual(metadata(best(self.tmp / "run"))["mirrors"], mirrors)
                done = self.predict("--mirror", "--overwrite", input="data/images")
                if says:
                    self.assert_says(done, says)
                else:
                    self.assertNotIn("--mirror", done.stderr)

    def test_weights_without_a_card_are_used_with_a_warning(self):
        """As of another program: classes are numbers."""
        weights = weights_of(best(trained("seg")))
        meta = metadata(best(trained("seg")))
        write_safetensors(self.tmp / "w.safetensors", weights, {"model_options": meta["model_options"]})
        done = self.predict("--probabilities", weights="w.safetensors", input="data/images/case000.png")
        self.assert_says(done, "warning", "w.safetensors", "does not say its classes")
        self.assertEqual(self.record()["class_names"], ["1", "2"])

    @unittest.skipUnless(point_library(), "needs a C compiler")
    def test_75_stopped(self):
        process = self.start("predict", "--weights", trained("seg"), "--input", "data/images", "--output", "out", "--batch", "1", env=at_point("rename", "case000.png", 1, SIGTERM))
        self.wait_exit(process, 75)
        self.assertIn("SIGTERM", process.log.read_text())
        self.assertTrue((self.tmp / "out/case000.png").exists())
        self.assertFalse((self.tmp / "out/predict.json").exists(), "it is written when all is done")


class OtherImagesTest(FinetuneTest):
    """Weights know what their input looked like: images of another kind are told of, though nothing in the files names it."""
    LOOK = "look unlike those that the model was trained on"

    def changed(self, name, change):
        (self.tmp / name).mkdir()
        for i in range(200, 206):
            pixels = change(labelled_picture(i)[0].astype(float))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(self.tmp / name / f"case{i}.png")

    def test_pictures(self):
        make_segmentation(self.tmp / "data", 24)
        self.seg("data.val_fraction=0.1", "data.minmax=false")
        changes = {"alike": (lambda x: x, False), "a_bit_brighter": (lambda x: x + 6, False), "mirrored": (lambda x: x[:, ::-1], False),
                   "inverted": (lambda x: 255 - x, True), "dark": (lambda x: x * 0.4, True), "flat": (lambda x: x * 0.2 + 85, True)}
        for name, (change, is_told) in changes.items():
            with self.subTest(name):
                self.changed(name, change)
                self.assertEqual(self.LOOK in self.predict(input=name, output=name + "_out").stderr, is_told)
        # Of 2 among 6, nothing is said; of one, it is.
        for i in (200, 201):
            (self.tmp / f"dark/case{i}.png").rename(self.tmp / f"alike/dark{i}.png")
        self.assertNotIn(self.LOOK, self.predict(input="alike", output="few").stderr)
        self.assertIn("1 of 1 image looks unlike those", self.predict(input="dark/case202.png", output="one").stderr)

    def test_grey_images_for_a_model_of_colour(self):
        make_segmentation(self.tmp / "data", 24, channels=3)
        self.seg("data.val_fraction=0.1", "model.in_channels=3")
        make_segmentation(self.tmp / "colour", 5, first=50, channels=3)
        make_segmentation(self.tmp / "grey", 5, first=50)
        self.assertNotIn(self.LOOK, self.predict(input="colour/images").stderr)
        self.assertIn("5 of 5 images (slices of volumes) " + self.LOOK, self.predict(input="grey/images", output="out2").stderr)

    def test_classification_and_volumes(self):
        make_class_manifest(self.tmp / "data", (8, 8, 8))
        self.cls(data="data/list.csv")
        self.assertNotIn(self.LOOK, self.predict(input="data/images").stderr)
        for i in range(3):
            write_nifti(self.tmp / f"volumes/v{i}.nii.gz", np.random.default_rng(i).normal(1, 0.01, (40, 40, 6)))
        self.assertIn("18 of 18 images (slices of volumes) " + self.LOOK, self.predict(input="volumes", output="out2").stderr)

    def test_few_images_say_nothing(self):
        make_segmentation(self.tmp / "data", 12)
        self.seg()
        self.assertNotIn("input_statistics", metadata(best(self.tmp / "run")))
        self.changed("dark", lambda x: x * 0.4)
        self.assertNotIn(self.LOOK, self.predict(input="dark").stderr)

    def test_resumed_weights_say_the_same(self):
        make_segmentation(self.tmp / "data", 24)
        self.seg("train.epochs=1")
        before = metadata(last(self.tmp / "run"))["input_statistics"]
        self.seg("train.epochs=2", "--resume")
        self.assertEqual(metadata(last(self.tmp / "run"))["input_statistics"], before)


class TablesTest(FinetuneTest):
    def test_class_names_with_commas_and_quotes(self):
        names = ('a,b', 'say "x"', "plain")
        make_class_manifest(self.tmp / "data", (4, 4, 4), names=names)
        self.cls("train.epochs=1", data="data/list.csv")
        self.predict(input="data/images")
        for file in ("cases.csv", "slices.csv"):
            row = next(iter(self.table(file).values()))
            self.assertEqual(set(row) - {"case", "slice", "slices"}, set(names))
            self.assertAlmostEqual(sum(float(row[name]) for name in names), 1, places=5)

    def test_case_names_with_commas(self):
        make_pictures(self.tmp / "in", 1, prefix="x,y ")
        self.predict(weights=trained("cls"), input="in")
        self.assertEqual(list(self.table("cases.csv")), ["x,y 000"])

    def test_class_names_make_safe_file_names(self):
        make_segmentation(self.tmp / "data", 4)
        self.seg("data.classes=['a/b','../c d']", "train.epochs=1")
        self.predict("--probabilities", input="data/images/case000.png")
        self.assertEqual(self.written(), ["case000.png", "predict.json", "probabilities/case000____c_d.png", "probabilities/case000_a_b.png"])
        self.assertEqual(json.loads(metadata(best(self.tmp / "run"))["class_names"]), ["a/b", "../c d"])


if __name__ == "__main__":
    unittest.main()
