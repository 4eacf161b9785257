# SPDX-License-Identifier: Apache-2.0
"""vmae prepare: the same dataset whatever happens on the way, nothing that identifies, bad files listed and left out."""
import json
import os
import random
import shutil
import unittest

import numpy as np
from PIL import Image

from dicom_files import NEEDLES, write_ct_series
from harness import SIGKILL, SIGTERM, SOURCE, TINY, VmaeTest, at_point, environment, make_pictures, nifti_bytes, picture
from report_inputs import box, ct_series, rtstruct

HIPPOCAMPUS = SOURCE / "tests/data/hippocampus"


class PrepareTest(VmaeTest):
    def setUp(self):
        super().setUp()
        self.salt = self.tmp / "salt.txt"
        self.salt.write_text("0123456789abcdef0123456789abcdef\n")

    def prepare(self, source, output, *more, **kw):
        return self.vmae("prepare", "--input", source, "--output", output, f"prepare.salt_file={self.salt}", *more, **kw)

    def inspect(self, path, *more):
        return json.loads(self.vmae("inspect", path, "--json", *more).stdout)

    def index(self, dataset):
        return json.loads((self.tmp / dataset / "index.json").read_text())

    def lines(self, dataset, name):
        return [json.loads(line) for line in (self.tmp / dataset / name).read_text().splitlines()]


class SameContentTest(PrepareTest):
    def test_threads(self):
        for workers in (1, 2, 4):
            self.prepare(HIPPOCAMPUS, f"d{workers}", f"prepare.workers={workers}", "prepare.shard_mb=1")
        first = self.index("d1")
        self.assertEqual(first["num_cases"], 60)
        self.assertGreater(len(first["shards"]), 1)
        for workers in (2, 4):
            self.assertEqual(self.index(f"d{workers}"), first)
        self.assertEqual(self.inspect("d1", "--verify")["digest"], first["digest"])

    def test_killed_and_run_again(self):
        """SIGKILL at random moments, and inside of LMDB's and our own writes, until it comes to its end."""
        self.prepare(HIPPOCAMPUS, "undisturbed", "prepare.shard_mb=1")
        moments = random.Random(4)
        environments = [at_point("fsync", "", 2, SIGKILL), at_point("rename", "index.json", 1, SIGKILL), environment(), environment()]
        for i, env in enumerate(environments):
            process = self.start("prepare", "--input", HIPPOCAMPUS, "--output", "killed", f"prepare.salt_file={self.salt}", "prepare.shard_mb=1", "prepare.workers=1", env=env)
            if i >= 2:
                shard = moments.choice(sorted(HIPPOCAMPUS.glob("images/*"))).stat().st_size  # some moment, not measured in time
                self.wait_for(lambda: sum(p.stat().st_size for p in (self.tmp / "killed").glob("*.mdb")) > 20000 + 4 * shard, process, "a beginning")
                process.kill()
            process.wait()
        self.prepare(HIPPOCAMPUS, "killed", "prepare.shard_mb=1")
        self.assertEqual(self.index("killed"), self.index("undisturbed"))
        self.inspect("killed", "--verify")
        self.assertEqual([p.name for p in (self.tmp / "killed").glob("work*")], [])

    def test_stopped_by_a_signal(self):
        process = self.start("prepare", "--input", HIPPOCAMPUS, "--output", "stopped", f"prepare.salt_file={self.salt}", "prepare.workers=1",
                             env=at_point("+rename", "plan.json", 1, SIGTERM))
        self.wait_exit(process, 75)
        self.assertFalse((self.tmp / "stopped/index.json").exists())
        self.assertIn("not finished", self.vmae("pretrain", *TINY, "data.train=stopped", "run.dir=run", expect=3).stderr)
        self.prepare(HIPPOCAMPUS, "stopped")
        self.assertEqual(self.index("stopped")["num_cases"], 60)

    def test_finished_items_are_not_made_again(self):
        self.prepare(HIPPOCAMPUS, "d")
        self.assertIn("nothing to do", self.prepare(HIPPOCAMPUS, "d").stderr)

    def test_another_source_is_refused(self):
        self.prepare(HIPPOCAMPUS, "d")
        before = self.index("d")
        self.assertIn("--overwrite", self.prepare(HIPPOCAMPUS, "d", "prepare.slice_axis=x", expect=2).stderr)
        self.assertEqual(self.index("d"), before)
        self.prepare(HIPPOCAMPUS, "d", "prepare.slice_axis=x", "--overwrite")
        self.assertNotEqual(self.index("d")["digest"], before["digest"])
        (self.tmp / "full").mkdir()
        (self.tmp / "full/thesis.txt").write_text("mine")
        for more in ([], ["--overwrite"]):
            self.assertIn("thesis.txt", self.prepare(HIPPOCAMPUS, "full", *more, expect=2).stderr)
        self.assertEqual([p.name for p in (self.tmp / "full").iterdir()], ["thesis.txt"])
        (self.tmp / "d/thesis.txt").write_text("mine")
        self.assertIn("thesis.txt", self.prepare(HIPPOCAMPUS, "d", "--overwrite", expect=2).stderr)
        self.assertTrue((self.tmp / "d/index.json").exists())

    def test_input_and_output_stay_apart(self):
        make_pictures(self.tmp / "in", 2)
        for output in ("in", "in/out"):
            self.assertIn("one in the other", self.prepare("in", output, expect=2).stderr)
        self.assertEqual(len(list((self.tmp / "in").iterdir())), 2)
        self.prepare("in", "out")
        before = self.index("out")
        self.assertIn("one in the other", self.prepare("out", "out", "--overwrite", expect=2).stderr)
        self.assertIn("prepared dataset already", self.prepare("out", "other", expect=2).stderr)
        self.assertEqual(self.index("out"), before)

    def test_a_corrected_source_is_noticed(self):
        make_pictures(self.tmp / "in", 3)
        self.prepare("in", "out")
        make_pictures(self.tmp / "in", 1, noise=7.0)
        self.assertIn("have changed", self.prepare("in", "out", expect=2).stderr)
        (self.tmp / "list.csv").write_text("image,modality\nin/case000.png,CT\n")
        self.prepare("list.csv", "listed")
        (self.tmp / "list.csv").write_text("image,modality\nin/case000.png,MR\n")
        self.prepare("list.csv", "listed", expect=2)

    def test_files_beside_the_image_count(self):
        """Voxels of headers, of images and masks, one by one or numbered, and the spacing of a stack: where these change, the dataset is another."""
        voxels = np.arange(5 * 4 * 3, dtype=np.uint8)
        head = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_UCHAR\nElementDataFile = "
        nrrd = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 5 4 3\nencoding: raw\ndata file: "
        for kind, header, one in (("mhd", head, "other.bin"), ("nhdr", nrrd, "other.bin"), ("nhdr", nrrd, "s%02d.bin 1 3 1"), ("tif", "", "")):
            for changed in ("images", "masks"):
                source = self.tmp / f"{kind}_{'' if '%' not in one else 'numbered'}_{changed}"
                for folder, values in (("images", voxels), ("masks", voxels % 2)):
                    (source / folder).mkdir(parents=True)
                    stack = values.reshape(3, 4, 5)
                    if kind == "tif":
                        pages = [Image.fromarray(page) for page in stack]
                        pages[0].save(source / folder / "a.tif", save_all=True, append_images=pages[1:])
                        (source / folder / "a.json").write_text('{"spacing": [1, 1, 1]}')
                    else:
                        (source / folder / f"a.{kind}").write_text(header + one + "\n" + ("\n" if kind == "nhdr" else ""))
                        for i in range(3):
                            (source / folder / f"s{i + 1:02d}.bin").write_bytes(stack[i].tobytes())
                        (source / folder / "other.bin").write_bytes(values.tobytes())
                with self.subTest(source.name):
                    self.prepare(source.name, f"out_{source.name}")
                    self.assertIn("nothing to do", self.prepare(source.name, f"out_{source.name}").stderr)
                    if kind == "tif":
                        (source / changed / "a.json").write_text('{"spacing": [3, 1, 1]}')
                    else:
                        (source / changed / ("s02.bin" if "%" in one else "other.bin")).write_bytes(bytes(20 if "%" in one else 60))
                    self.assertIn("have changed", self.prepare(source.name, f"out_{source.name}", expect=2).stderr)

    def test_a_disk_that_was_full_at_first(self):
        """What LMDB leaves when it can't write its first pages is begun anew."""
        make_pictures(self.tmp / "in", 2)
        self.prepare("in", "good")
        self.prepare("in", "bad", env=at_point("+rename", "plan.json", 1, SIGKILL), expect=-SIGKILL)
        (self.tmp / "bad/shard-00000000.mdb").write_bytes(b"x" * 5000)
        self.prepare("in", "bad")
        self.assertEqual(self.index("bad"), self.index("good"))

    def test_the_salt_makes_the_names(self):
        self.prepare(HIPPOCAMPUS, "a")
        self.salt.write_text("another-secret-of-enough-letters")
        self.prepare(HIPPOCAMPUS, "b")
        self.assertNotEqual(self.index("a")["digest"], self.index("b")["digest"])
        home = environment(XDG_CONFIG_HOME=self.tmp / "config")
        for name in ("c", "d"):
            self.vmae("prepare", "--input", HIPPOCAMPUS, "--output", name, env=home)
        self.assertEqual(self.index("c"), self.index("d"))
        self.assertEqual((self.tmp / "config/vmae/salt").stat().st_mode & 0o777, 0o600)


class DeidentifiedTest(PrepareTest):
    def test_planted_identity_is_nowhere(self):
        """In headers, folder names and file names; of good files, damaged ones and files of other kinds."""
        archive = self.tmp / "in" / "Zebedee_Quentin" / "MRN-77421903_19510317"
        write_ct_series(archive / "ct", name="Zebedee_{:02d}.dcm")
        write_ct_series(archive / "ct2", seed=1, name="ACC9981723_{:02d}.dcm")
        damaged = archive / "ct2" / "ACC9981723_01.dcm"
        damaged.write_bytes(damaged.read_bytes()[:-700])
        (archive / "Quentin_broken.nii.gz").write_bytes(b"not gzip")
        (archive / "a.mhd").write_text("ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = Foxglove_Marigold.raw\n")
        (archive / "MRN-77421903.nii").write_bytes(nifti_bytes(np.full((8, 8, 3), np.nan, np.float32)))
        Image.fromarray(picture(0).astype(np.uint8)).save(archive / "Ignatius.png")
        dry = self.prepare(self.tmp / "in", "none", "--dry-run")
        done = self.prepare(self.tmp / "in", "out", expect=6)
        again = self.prepare(self.tmp / "in", "out", expect=6)
        shown = self.vmae("inspect", "out")
        split = self.vmae("split", "--input", "out", "--output", "splits.json", "split.scheme=90/10", "split.fractions=[]", expect=0)
        run = self.vmae("pretrain", *TINY, "data.train=out", "run.dir=run", "train.epochs=1", "train.draw_every=1")
        written = [p for folder in ("out", "run") for p in (self.tmp / folder).rglob("*") if p.is_file()] + [self.tmp / "splits.json"]
        self.assertGreater(len(written), 8)
        texts = {p.name: p.read_bytes() for p in written}
        for number, result in enumerate((dry, done, again, shown, split, run)):
            texts[f"output of command {number}"] = (result.stdout + result.stderr).encode()
        for name, content in texts.items():
            for needle in NEEDLES:
                self.assertNotIn(needle.encode(), content, f"{needle} in {name}")
                self.assertNotIn(needle.encode("utf-16-le"), content, f"{needle} in {name}")
        for path in written:
            self.assertFalse(any(needle in path.name for needle in NEEDLES), path)
        reasons = self.lines("out", "quarantine.jsonl")
        self.assertGreaterEqual(len(reasons), 3)
        self.assertTrue(any("NaN" in entry["reason"] for entry in reasons), reasons)
        # The owner of the source can find out on the screen which file is meant.
        named = self.vmae("inspect", "out", "--source", self.tmp / "in", "--salt-file", self.salt).stdout
        self.assertIn("Quentin_broken.nii.gz", named)

    def test_structures_keep_their_names(self):
        """But for those of patients: ordinary words that hold a short name, and names with a slash, are no such."""
        def name_patient(data, _):
            data.PatientName = "Lee^Ann"
        for names, expected, code in ((("Spleen", "kidney/left", "kidney/right"), ["Spleen", "kidney/left", "kidney/right"], 0),
                                      (("GTV_Lee", "Lung"), ["GTV_*", "Lung"], 0), (("Lee GTV", "LEE GTV"), None, 3)):
            source = self.tmp / "_".join(name[0] for name in names)
            images = ct_series(source, (0, 3, 6), change=name_patient)
            rtstruct(source / "rt.dcm", images, [(name, [box(-8 + 6 * i, -3 + 6 * i, -8, 4, 3)]) for i, name in enumerate(names)])
            with self.subTest(names):
                done = self.prepare(source.name, f"out_{source.name}", expect=code)
                if expected:
                    self.assertEqual(self.index(f"out_{source.name}")["mask_names"], expected)
                    self.assertEqual("written as *" in done.stderr, "GTV_*" in expected)

    def test_names_are_kept_where_asked(self):
        self.prepare(HIPPOCAMPUS, "kept", "prepare.names=keep")
        self.prepare(HIPPOCAMPUS, "hashed")
        for dataset in ("kept", "hashed"):
            self.vmae("split", "--input", dataset, "--output", f"{dataset}.json")
        self.assertIn("images/hippocampus_001.nii.gz", (self.tmp / "kept.json").read_text())
        self.assertNotIn("hippocampus_001", (self.tmp / "hashed.json").read_text())


class SourcesTest(PrepareTest):
    def test_dicom_series_in_order_of_position(self):
        pixels = write_ct_series(self.tmp / "in", slices=7)
        self.vmae("inspect", "in", "--npy", "in.npy")
        np.testing.assert_array_equal(np.load(self.tmp / "in.npy"), pixels)
        done = self.prepare("in", "out")
        self.assertIn("CT, DICOM series: 1 cases, 7 slices", done.stderr)
        self.assertEqual(self.index("out")["modalities"], {"CT": 1})

    def test_bad_files_are_listed_and_left_out(self):
        make_pictures(self.tmp / "in", 5)
        (self.tmp / "in/case001.png").write_bytes((self.tmp / "in/case001.png").read_bytes()[:200])
        (self.tmp / "in/case003.png").write_bytes(b"")
        done = self.prepare("in", "out", "prepare.names=keep", expect=6)
        self.assertEqual({e["name"]: e["reason"] for e in self.lines("out", "quarantine.jsonl")},
                         {"case001.png": "the file is cut off: a PNG without its end", "case003.png": "the file is empty (0 bytes)"})
        self.assertIn("left out 2", done.stderr)
        self.assertEqual(self.inspect("out", "--verify")["num_items"], 3)
        for i in (0, 2, 4):
            (self.tmp / f"in/case{i:03d}.png").unlink()
        self.assertIn("no image could be prepared", self.prepare("in", "none", expect=3).stderr)

    def test_names_that_are_words_leave_messages_whole(self):
        """Files of DICOM have no endings."""
        stream = bytearray((SOURCE / "tests/data/dicom/J2K_pixelrep_mismatch.dcm").read_bytes())
        begin = stream.rfind(b"\xff\x4f\xff\x51") + 60
        stream[begin:-20] = b"A" * (len(stream) - 20 - begin)
        for name in ("1", "is", "de"):
            with self.subTest(name):
                (self.tmp / f"of {name}").mkdir()
                (self.tmp / f"of {name}" / name).write_bytes(stream)
                shutil.copy(SOURCE / "tests/data/dicom/MR_small_implicit.dcm", self.tmp / f"of {name}")
                self.prepare(f"of {name}", f"out {name}", expect=6)
                reasons = [line["reason"] for line in self.lines(f"out {name}", "quarantine.jsonl")]
                self.assertEqual(reasons, ["the file: its JPEG 2000 stream can't be decoded (the file is probably cut off or damaged)"])

    def test_pipes_are_no_files(self):
        make_pictures(self.tmp / "in", 2)
        os.mkfifo(self.tmp / "in/pipe.png")
        self.prepare("in", "out")
        self.assertEqual(self.index("out")["num_cases"], 2)

    def test_class_folders_are_asked_for(self):
        for name in ("glioma", "none"):
            make_pictures(self.tmp / "in" / name, 10)
        self.assertIn("prepare.layout=class_folders", self.prepare("in", "files").stderr)
        self.assertEqual(self.index("files")["label_names"], [])
        self.prepare("in", "classes", "prepare.layout=class_folders")
        self.assertEqual(self.inspect("classes")["cases_by_label"], {"glioma": 10, "none": 10})

    def test_duplicates(self):
        make_pictures(self.tmp / "in", 3)
        (self.tmp / "in/z.png").write_bytes((self.tmp / "in/case001.png").read_bytes())
        Image.open(self.tmp / "in/case002.png").save(self.tmp / "in/y.bmp")  # the same pixels in another format
        for policy, items in (("keep", 5), ("leave_out", 3)):
            self.prepare("in", policy, "prepare.names=keep", f"prepare.duplicates={policy}")
            self.assertEqual({e["name"]: e["same_pixels_as"] for e in self.lines(policy, "duplicates.jsonl")}, {"z.png": "case001.png", "y.bmp": "case002.png"})
            self.assertEqual(self.index(policy)["num_items"], items)

    def test_manifest_with_everything(self):
        make_pictures(self.tmp / "images", 6)
        for i in range(6):
            mask = np.zeros((64, 64), np.uint8)
            mask[10:30, 20:40] = 255
            Image.fromarray(mask).save(self.tmp / f"images/mask{i}.png")
        rows = "".join(f"images/case{i:03d}.png,images/mask{i}.png,p{i // 2},{i % 2},{'' if i else -1},{'train' if i < 4 else 'test'},{i % 3},DX\n" for i in range(6))
        (self.tmp / "list.csv").write_text("image,mask,patient,effusion,nodule,split,fold,modality\n" + rows.replace(",,", ",1,"))
        self.prepare("list.csv", "out")
        seen = self.inspect("out", "--verify")
        self.assertEqual(seen["num_patients"], 3)
        self.assertEqual(seen["label_names"], ["effusion", "nodule"])
        self.assertTrue(seen["is_multi_label"] and seen["has_masks"])
        self.assertEqual(seen["splits"], {"test": 2, "train": 4})
        self.assertEqual(seen["cases_by_label"], {"effusion": 3, "nodule": 5})
        self.assertEqual(seen["modalities"], {"DX": 6})

    def test_masks_on_another_grid_are_refused(self):
        make_pictures(self.tmp / "d/images", 2)
        make_pictures(self.tmp / "d/masks", 1, height=32)
        Image.fromarray(np.full((64, 64), 7, np.uint8)).save(self.tmp / "d/masks/case001.png")
        self.prepare("d", "out", "prepare.names=keep", expect=6)
        (entry,) = self.lines("out", "quarantine.jsonl")
        self.assertEqual(entry["name"], "images/case000.png")
        self.assertIn("64 x 32 x 1 voxels, the image 64 x 64 x 1", entry["reason"])

    def test_intensity_and_size_are_applied(self):
        self.prepare(HIPPOCAMPUS, "native")
        self.prepare(HIPPOCAMPUS, "baked", "prepare.intensity=percentile", "prepare.resize=[64,64]")
        self.assertIn("prepare.resize=[64, 64]", self.index("baked")["options"])
        self.assertEqual(self.index("baked")["num_items"], self.index("native")["num_items"])
        self.assertEqual(self.inspect("baked", "--verify")["intensity"], "percentile")

    def test_training_on_it_is_training_on_the_files(self):
        """The same volumes, native numbers: the same losses, bit for bit."""
        losses = []
        self.prepare(HIPPOCAMPUS, "prepared", "prepare.names=keep")
        for name, source in (("files", HIPPOCAMPUS), ("prepared", self.tmp / "prepared")):
            self.vmae("pretrain", *TINY, f"data.train={source}", f"run.dir=run-{name}", "train.max_steps=4", "train.draw_every=0", "data.val_fraction=0")
            losses.append([json.loads(line).get("loss") for line in (self.tmp / f"run-{name}/metrics.jsonl").read_text().splitlines()])
        self.assertGreater(len(losses[0]), 3)
        self.assertEqual(losses[0], losses[1])

    def test_wrong_use(self):
        self.assertIn("--input", self.vmae("prepare", "--output", "x", expect=2).stderr)
        self.assertIn("does not exist", self.prepare("nowhere", "x", expect=3).stderr)
        for plan in ("", "5", "{}", '{"fingerprint": 5}', '{"fingerprint": "x", "salt": []}'):
            (self.tmp / "other").mkdir(exist_ok=True)
            (self.tmp / "other/plan.json").write_text(plan)
            self.assertIn("holds a dataset of other files", self.prepare(HIPPOCAMPUS, "other", expect=2).stderr)
            self.assertEqual((self.tmp / "other/plan.json").read_text(), plan)
        self.prepare(HIPPOCAMPUS, "mine")
        plan = json.loads((self.tmp / "mine/plan.json").read_text())
        (self.tmp / "mine/plan.json").write_text(json.dumps({**plan, "salt": []}))
        self.assertIn("holds a dataset of other files", self.prepare(HIPPOCAMPUS, "mine", expect=2).stderr)
        self.assertIn("did you mean", self.prepare(HIPPOCAMPUS, "x", "prepare.resise=[1,1]", expect=2).stderr)
        for window in ([], ["prepare.window=[9,5]"]):
            self.assertIn("prepare.window", self.prepare(HIPPOCAMPUS, "x", "prepare.intensity=window", *window, expect=2).stderr)
        self.assertIn("banana", self.prepare(HIPPOCAMPUS, "x", "prepare.modality=banana", expect=2).stderr)
        self.assertIn("nnunet", self.prepare(HIPPOCAMPUS, "x", "prepare.layout=nnunet", expect=3).stderr)
        self.assertFalse((self.tmp / "x").exists())


class InspectImagesTest(PrepareTest):
    def test_kinds(self):
        volume = HIPPOCAMPUS / "images/hippocampus_001.nii.gz"
        seen = self.inspect(volume)["images"][0]
        self.assertEqual(seen["size"], [35, 51, 35])
        self.assertEqual(self.inspect(HIPPOCAMPUS)["num_images"], 60)
        self.assertIn("layout image_mask_folders", self.vmae("inspect", HIPPOCAMPUS).stdout)
        make_pictures(self.tmp / "mixed", 2)
        (self.tmp / "mixed/v.nii").write_bytes(nifti_bytes(np.full((8, 8, 3), np.nan, np.float32)))
        self.assertEqual(self.inspect("mixed")["num_images"], 3)
        self.vmae("inspect", "mixed", "--png", "mixed.png")
        write_ct_series(self.tmp / "ct")
        seen = self.inspect("ct")["images"][0]
        self.assertEqual((seen["units"], seen["modality"], seen["spacing_mm"]), ("HU", "CT", [0.7, 0.8, 5.0]))

    def test_contact_sheets(self):
        self.prepare(HIPPOCAMPUS, "out")
        for i, path in enumerate((HIPPOCAMPUS, HIPPOCAMPUS / "images/hippocampus_001.nii.gz", "out")):
            self.vmae("inspect", path, "--png", f"{i}.png")
            sheet = np.asarray(Image.open(self.tmp / f"{i}.png"))
            self.assertGreater(sheet.shape[1], 800)
            self.assertGreater(sheet.std(), 20)


if __name__ == "__main__":
    unittest.main()
