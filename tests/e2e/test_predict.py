# SPDX-License-Identifier: Apache-2.0
"""vmae predict: what can't be read stops nothing and is named; exit codes; tables."""
import json
import unittest

import numpy as np

from finetuning import FinetuneTest, best, make_class_manifest, make_segmentation, metadata, trained, volume_of_pictures, write_nifti
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
