# SPDX-License-Identifier: Apache-2.0
"""vmae predict that was killed and is started again: goes on, and ends as if nothing had happened. And the pictures of --overlays."""
import json
import os
import shutil
import unittest

import numpy as np
from PIL import Image

from finetuning import FinetuneTest, best, labelled_picture, make_segmentation, trained, volume_of_pictures, write_nifti
from harness import SIGKILL, SIGTERM, at_point, make_pictures, point_library

JOURNAL = "predict.unfinished.jsonl"
ORANGE, BLUE = (230, 159, 0), (86, 180, 233)  # of classes 1 and 2 (Okabe and Ito)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@unittest.skipUnless(point_library(), "needs a C compiler")
class AgainTest(FinetuneTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data", 5)
        write_nifti(self.tmp / "data/images/volume.nii.gz", volume_of_pictures())

    def arguments(self, what, *more):
        return ["predict", "--weights", trained(what), "--input", "data/images", "--output", "out", "--threads", "1", "--precision", "fp32", "--batch", "1", *more]

    def kill(self, point, *arguments, signal=SIGKILL, code=-SIGKILL):
        self.wait_exit(self.start(*arguments, env=at_point(*point, signal)), code)

    def done(self):
        """Files of the cases that are listed as done."""
        try:
            lines = (self.tmp / "out" / JOURNAL).read_text().split("\n")[1:-1]
        except FileNotFoundError:
            return []
        return [name for line in lines for name in json.loads(line)["files"]]

    def check(self, what, points, *more):
        """Killed at each of the points, one after the other -> what the last start said."""
        self.predict("--batch", "1", *more, weights=trained(what), input="data/images", output="whole")
        for point in points:
            done = {n: (self.tmp / "out" / n).stat().st_mtime_ns for n in self.done()}
            self.kill(point, *self.arguments(what, *more))
            self.assertTrue((self.tmp / "out" / JOURNAL).exists())
            self.assertFalse((self.tmp / "out/predict.json").exists())
            for name, time in done.items():
                self.assertEqual((self.tmp / "out" / name).stat().st_mtime_ns, time, f"{name} was made again")
        last = self.vmae(*self.arguments(what, *more))
        self.assertEqual(contents(self.tmp / "out"), contents(self.tmp / "whole"))
        return last

    def test_segmentation(self):
        done = self.check("seg", [("rename", "case000.png", 1), ("rename", "overlays/case001.png", 1), ("/write", JOURNAL, 2), ("+write", JOURNAL, 2)], "--probabilities",
                          "--overlays")
        self.assertRegex(done.stderr, r"[234] of 6 cases are predicted already: going on")

    def test_classification(self):
        done = self.check("cls", [("+write", JOURNAL, 4), ("/write", JOURNAL, 3), ("rename", "slices.csv", 1)])
        self.assertIn("6 of 6 cases are predicted already", done.stderr)

    def test_stopped_by_a_signal(self):
        self.predict("--batch", "1", weights=trained("seg"), input="data/images", output="whole")
        process = self.start(*self.arguments("seg"), env=at_point("rename", "case002.png", 1, SIGTERM))
        self.wait_exit(process, 75)
        self.assertIn("go on with the same command", process.log.read_text())
        self.vmae(*self.arguments("seg"))
        self.assertEqual(contents(self.tmp / "out"), contents(self.tmp / "whole"))

    def test_what_is_gone_is_made_again(self):
        self.kill(("rename", "case003.png", 1), *self.arguments("seg"))
        wanted = (self.tmp / "out/case001.png").read_bytes()
        (self.tmp / "out/case001.png").unlink()
        self.assertIn("2 of 6 cases are predicted already", self.vmae(*self.arguments("seg")).stderr)
        self.assertEqual((self.tmp / "out/case001.png").read_bytes(), wanted)

    def test_another_plan_is_refused(self):
        self.kill(("rename", "case003.png", 1), *self.arguments("seg"))
        before = contents(self.tmp / "out")
        shutil.copytree(self.tmp / "data", self.tmp / "kept")
        for more, says in ((["--mirror"], "--mirror was no, is yes"), (["--overlays"], "--overlays was no, is yes"), (["--tiles", "never"], "--tiles was auto, is never"),
                           (["--largest-component"], "--largest-component was no, is yes"), (["--precision", "bf16"], "precision was fp32, is bf16")):
            with self.subTest(more):
                arguments = [a for a in self.arguments("seg", *more) if "--precision" not in more or a != "fp32"]
                if "--precision" in more:
                    arguments.remove("--precision")
                self.assert_says(self.vmae(*arguments, expect=2), says, "--overwrite", "out")
        self.assert_says(self.vmae(*self.arguments("none"), expect=2), "--weights 1 was", "best.safetensors")
        for change in ("another", "more", "touched"):
            with self.subTest(change):
                image = self.tmp / "data/images/case001.png"
                if change == "another":
                    image.write_bytes((self.tmp / "data/images/case004.png").read_bytes())
                if change == "more":
                    make_pictures(self.tmp / "data/images", 1, prefix="more")
                if change == "touched":
                    os.utime(image, ns=(1, 1))
                self.assert_says(self.vmae(*self.arguments("seg"), expect=2), "input was 6 cases", "--overwrite")
                shutil.rmtree(self.tmp / "data")
                shutil.copytree(self.tmp / "kept", self.tmp / "data")
        self.assertEqual(contents(self.tmp / "out"), before, "nothing was touched")
        self.vmae(*self.arguments("seg", "--mirror", "--overwrite"))
        self.assertFalse((self.tmp / "out" / JOURNAL).exists())
        self.assertTrue(self.record()["options"]["mirror"])

    def test_a_finished_folder_is_refused_as_before(self):
        self.vmae(*self.arguments("seg"))
        self.assert_says(self.vmae(*self.arguments("seg"), expect=2), "is not empty")


class OverlaysTest(FinetuneTest):
    def colours(self, picture):
        return {tuple(c) for c in picture.reshape(-1, 3)}

    def test_pictures_and_volumes(self):
        make_segmentation(self.tmp / "data", 2)
        write_nifti(self.tmp / "data/images/sub.nii.gz", volume_of_pictures())
        (self.tmp / "data/images/deep").mkdir()
        Image.fromarray(labelled_picture(7, 48, 40)[0]).save(self.tmp / "data/images/deep/x.png")
        self.predict("--overlays", weights=trained("seg"), input="data/images")
        self.assertEqual([n for n in self.written() if n.startswith("overlays/")], [f"overlays/{n}.png" for n in ("case000", "case001", "deep/x", "sub")])
        for name in ("case000", "case001", "deep/x"):
            labels = np.asarray(Image.open(self.out / f"{name}.png"))
            overlay = np.asarray(Image.open(self.out / f"overlays/{name}.png"))
            image = np.asarray(Image.open(self.tmp / f"data/images/{name}.png")).astype(float)
            side, (height, width) = 240, labels.shape
            scale = side / max(height, width)
            top, left = 22 + (side - round(height * scale)) // 2, 6 + (side - round(width * scale)) // 2
            drawn = overlay[top:top + round(height * scale), left:left + round(width * scale)].astype(float)
            ys, xs = ((np.arange(n) + 0.5) * m / n for n, m in ((drawn.shape[0], height), (drawn.shape[1], width)))
            at = labels[ys.astype(int)][:, xs.astype(int)]
            padded = np.pad(at, 1)
            inner = (at == padded[:-2, 1:-1]) & (at == padded[2:, 1:-1]) & (at == padded[1:-1, :-2]) & (at == padded[1:-1, 2:])
            for label, colour in ((1, ORANGE), (2, BLUE)):
                edge, inside = (at == label) & ~inner, (at == label) & inner
                self.assertGreater(edge.sum(), 20)
                np.testing.assert_array_equal(drawn[edge], np.broadcast_to(colour, (edge.sum(), 3)), f"outline of class {label}")
                grey = (drawn[inside] - 0.25 * np.array(colour)) / 0.75
                self.assertLess(np.abs(grey - grey.mean(1, keepdims=True)).max(), 1.5, "inside a quarter of the colour over the grey image")
            shown = drawn[at == 0]
            self.assertLessEqual(np.ptp(shown, axis=1).max(), 0, "background is grey")
            plain = image[ys.astype(int)][:, xs.astype(int)][at == 0]
            self.assertGreater(np.corrcoef(shown[:, 0], plain)[0, 1], 0.9)
            self.assertTrue({ORANGE, BLUE} <= self.colours(overlay[top + drawn.shape[0]:]), "the legend")
        sheet = np.asarray(Image.open(self.out / "overlays/sub.png"))
        self.assertEqual(sheet.shape[1], 5 * 246 + 6, "five slices beside each other")

    def test_eval_takes_no_overlay_for_a_prediction(self):
        make_segmentation(self.tmp / "data", 3)
        self.predict("--overlays", "--probabilities", weights=trained("seg"), input="data/images")
        done = self.vmae("eval", "--pred", "out", "--truth", "data/masks", "--output", "eval", "--resamples", "20")
        self.assertNotIn("overlays", done.stderr)
        self.assertEqual({line.split(",")[0] for line in (self.tmp / "eval/cases.csv").read_text().splitlines()[1:]}, {"case000", "case001", "case002"})

    def test_a_case_among_the_overlays(self):
        make_segmentation(self.tmp / "data", 1)
        (self.tmp / "data/images/overlays").mkdir()
        Image.fromarray(labelled_picture(7)[0]).save(self.tmp / "data/images/overlays/x.png")
        self.assert_says(self.predict("--overlays", weights=trained("seg"), input="data/images", expect=3), "overlays/x")
        self.predict(weights=trained("seg"), input="data/images")


if __name__ == "__main__":
    unittest.main()
