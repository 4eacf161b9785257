# SPDX-License-Identifier: Apache-2.0
"""Every row of the exit-code table (docs/exit-codes.md): a real situation, the code, a message that helps, and nothing lost."""
import hashlib
import json
import re
import resource
import shutil
import struct
import subprocess
import sys
import unittest
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from harness import (GOLDEN, SIGKILL, SIGTERM, SOURCE, TINY, VmaeTest, at_point, checkpoint_step, last_step, make_pictures, metrics, nifti_bytes, picture,
                     point_library, read_safetensors)

sys.path.insert(0, str(GOLDEN))
from golden import write_weights  # noqa: E402

CODES = {0, 1, 2, 3, 4, 5, 6, 75}


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class ExitCodeTest(VmaeTest):
    def setUp(self):
        super().setUp()
        self.images = make_pictures(self.tmp / "images", 8)
        self.run_dir = self.tmp / "run"
        self.checkpoints = self.run_dir / "checkpoints"
        self.base = [*TINY, "data.train=images", "data.val_fraction=0", "run.dir=run", "train.epochs=1", "train.draw_every=0"]

    def pretrain(self, *more, expect=0, **kw):
        return self.vmae("pretrain", *self.base, *more, expect=expect, **kw)

    def complaint(self, *more, expect, says, **kw):
        """The message of a run that fails."""
        message = self.pretrain(*more, expect=expect, **kw).stderr
        for words in [says] if isinstance(says, str) else says:
            self.assertIn(words, message)
        return message


class OkTest(ExitCodeTest):
    def test_0(self):
        done = self.pretrain()
        self.assertIn("finished: 2 steps", done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertTrue((self.checkpoints / "last.safetensors").is_file())

    def test_table_of_the_documentation(self):
        page = SOURCE / "docs/exit-codes.md"
        if not page.exists():
            self.skipTest("docs/exit-codes.md does not exist")
        rows = re.findall(r"^\|\s*`?(\d+)`?\s*\|", page.read_text(), re.M)
        self.assertEqual(sorted(map(int, rows)), sorted(CODES))
        self.assertEqual({int(n) for n in re.findall(r"\b(\d+) (?=ok|internal|usage|data|checkpoint|loss|some|stopped)", self.vmae("--help").stdout)}, CODES)


class InternalTest(ExitCodeTest):
    def test_1_full_disk_outside_a_checkpoint(self):
        """A file size limit too small for the run's own config.yaml."""
        message = self.complaint(expect=1, says=["config.yaml", "disk full", "free some space"],
                                 preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700)))
        self.assertNotIn("report this", message)
        self.assertEqual([p.name for p in self.run_dir.rglob("*.tmp")], [])
        self.pretrain()

    def test_4_full_disk_while_weights_are_exported(self):
        arguments = ["export", "--weights", GOLDEN / "pth/plain_state_dict.pth", "--output", "out.safetensors"]
        done = self.vmae(*arguments, expect=4, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
        self.assertIn("disk full", done.stderr)
        self.assertEqual([p.name for p in self.tmp.iterdir() if p.name.startswith("out.")], [], "no half-written file")
        self.vmae(*arguments)

    def test_2_output_into_a_folder_that_is_not_there(self):
        """One exit code and the same advice, whatever the command writes."""
        weights, picture_file = GOLDEN / "pth/plain_state_dict.pth", self.images / "case000.png"
        for arguments in (["export", "--weights", weights, "--output", "nowhere/out.safetensors"], ["export", "--weights", weights, "--output", "nowhere/out.pth"],
                          ["split", "--input", self.images, "--output", "nowhere/s.json"], ["inspect", picture_file, "--png", "nowhere/sheet.png"],
                          ["inspect", picture_file, "--npy", "nowhere/one.npy"]):
            with self.subTest(arguments=arguments[:2]):
                done = self.vmae(*arguments, expect=2)
                for words in ("nowhere", "does not exist", "mkdir -p nowhere"):
                    self.assertIn(words, done.stderr)

    def test_2_words_that_are_nearly_right(self):
        for arguments, says in (("--optim.lr=3", "did you mean 'optim.lr=3'?"), ("--dryrun", "did you mean '--dry-run'?"), ("--zzzz", "vmae pretrain --help")):
            self.assertIn(says, self.vmae("pretrain", arguments, expect=2).stderr)
        self.assertIn("prepare", self.vmae(expect=2).stdout)
        for command, key in (("split", "split."), ("prepare", "prepare."), ("plan", "plan.")):
            text = self.vmae(command, "--help").stdout
            self.assertIn(f"for example {key}", " ".join(text.split()))
            self.assertNotIn("optim.lr", text)


class UsageTest(ExitCodeTest):
    def nothing_was_written(self):
        self.assertFalse(self.run_dir.exists(), "a usage error leaves no run folder behind")

    def test_2_command_line(self):
        for arguments in (["--no-such-option"], [], ["pretain"], ["pretrain", "--resume", "--overwrite"], ["forward", "--weights", "x"], ["docs", "nothing"],
                          ["pretrain", "--nonsense"], ["inspect"]):
            with self.subTest(arguments):
                done = self.vmae(*arguments, expect=2)
                self.assertTrue(done.stderr.strip(), "says what is wrong")

    def test_2_unknown_key_in_a_file(self):
        (self.tmp / "my.yaml").write_text("train:\n  epochs: 3\noptim:\n  lr: 1e-3\n  weigth_decay: 0.1\n")
        message = self.complaint("--config", "my.yaml", expect=2, says=["my.yaml:5", "optim.weigth_decay", "did you mean 'optim.weight_decay'"])
        self.assertNotIn("Traceback", message)
        self.nothing_was_written()

    def test_2_config_of_another_command(self):
        configs = {"pretrain": "model:\n  mask_ratio: 0.6\n", "finetune-seg": "data:\n  foreground_share: 0.3\n",
                   "finetune-cls": "data:\n  findings: [a]\n", "prepare": "prepare:\n  bits: 16\n", "split": "split:\n  seed: 2\n", "plan": "plan:\n  gpu_memory_gb: 24\n"}
        for owner, text in configs.items():
            (self.tmp / "my.yaml").write_text(text)
            for command in configs:
                if command == owner:
                    continue
                with self.subTest(config=owner, command=command):
                    done = self.vmae(command, "--config", "my.yaml", expect=2)
                    self.assertIn(f"it is a config of vmae {owner}", done.stderr)
                    self.assertNotIn("did you mean", done.stderr)

    def test_2_mutated_configs(self):
        good = self.vmae("pretrain", "--print-config").stdout
        (self.tmp / "good.yaml").write_text(good)
        self.pretrain("--config", "good.yaml", "--dry-run")
        mutations = [
            ("  epochs: 800", "  epochs: many", "train.epochs"),
            ("  epochs: 800", "  epochs: 0", "train.epochs"),
            ("  epochs: 800", "  epochs: [1, 2]", "train.epochs"),
            ("  epochs: 800", "  epochs: 800\n  epochs: 3", "given twice"),
            ("  epochs: 800", "\tepochs: 800", ""),
            ("  epochs: 800", "  epochs: 800: 3", ""),
            ("  precision: auto", "  precision: fp64", "fp32"),
            ("  lr: 1e-4", "  lr: 1e-4x", "optim.lr"),
            ("  lr: 1e-4", "  lr: -1", "optim.lr"),
            ("  lr: 1e-4", "  lr: nan", "optim.lr"),
            ("optim:", "optimizer:", "did you mean 'optim"),
            ("  image_size: [224, 224]", "  image_size: [224, 224", ""),
            ("  image_size: [224, 224]", "  image_size: {h: 224}", "model.image_size"),
            ("  betas: [0.9, 0.95]", "  betas: [0.9, 1.5]", "optim.betas"),
            ("  norm_pix_loss: false", "  norm_pix_loss: perhaps", "model.norm_pix_loss"),
            ("  num_heads: [3, 6, 12, 24]", "  num_heads: [3, 6, 12, x]", "model.num_heads"),
        ]
        for before, after, says in mutations:
            with self.subTest(after):
                self.assertEqual(good.count(before + "\n"), 1, before)
                (self.tmp / "bad.yaml").write_text(good.replace(before + "\n", after + "\n"))
                done = self.vmae("pretrain", "--config", "bad.yaml", "data.train=images", "run.dir=run", expect=2)
                line = next(i for i, (a, b) in enumerate(zip(good.split("\n"), (self.tmp / "bad.yaml").read_text().split("\n")), 1) if a != b)
                where = re.search(r"bad\.yaml:(\d+)", done.stderr)
                self.assertIsNotNone(where, done.stderr)
                self.assertLessEqual(abs(int(where.group(1)) - line), 3, done.stderr)  # yaml-cpp finds an open bracket late
                self.assertIn(says, done.stderr)
        self.nothing_was_written()

    def test_2_contradictions(self):
        for override, says in [
            ("model.image_size=[100,64]", ["100", "96 and 128"]),
            ("model.image_size=[64,33]", ["33", "32 and 64"]),
            ("model.image_size=[64]", ["model.image_size"]),
            ("model.num_heads=[3,3,3,3]", ["model.num_heads"]),
            ("model.embed_dim=6", ["model.embed_dim"]),
            ("optim.lr", ["optim.lr"]),
            ("optim.lrr=3", ["did you mean 'optim.lr'"]),
            ("data.mean=[0.1,0.2]", ["data.mean"]),
            ("data.percentiles=[99,1]", ["data.percentiles"]),
            ("data.intensity=window", ["data.window"]),
            ("run.dir=", ["run.dir"]),
            ("run.dir=images/case000.png", ["is a file"]),
            ("run.seed=-1", ["run.seed"]),
        ]:
            with self.subTest(override):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                self.complaint(override, expect=2, says=says)
        for override, says in [("train.micro_batch=3", "train.micro_batch"), ("optim.warmup_epochs=1", "optim.warmup_epochs"), ("optim.betas=[0.9]", "optim.betas")]:
            with self.subTest(override):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                self.complaint(override, expect=2, says=says)

    def test_2_no_gpu(self):
        if "\nGPU 0" in self.vmae("doctor").stdout:
            self.skipTest("there is a GPU")
        self.complaint("run.device=cuda", expect=2, says="run.device")
        self.nothing_was_written()

    def test_2_existing_run(self):
        self.pretrain()
        before = {p: digest(p) for p in self.run_dir.rglob("*") if p.is_file()}
        self.complaint(expect=2, says=["already holds a run", "--resume", "--overwrite"])
        self.assertEqual(before, {p: digest(p) for p in self.run_dir.rglob("*") if p.is_file()}, "a refused run changes nothing")

    def test_2_second_process(self):
        process = self.start("pretrain", *self.base, "train.epochs=5000")
        self.assertTrue(self.wait_for(lambda: last_step(self.run_dir) >= 2, process, "two steps"))
        for how in ("--resume", "--overwrite"):
            with self.subTest(how):
                self.complaint(how, expect=2, says="another process is writing to run.dir")
        self.complaint(expect=2, says="already holds a run")
        seen = last_step(self.run_dir)
        self.assertTrue(self.wait_for(lambda: last_step(self.run_dir) > seen, process, "the first run to go on"))
        process.send_signal(SIGTERM)
        self.wait_exit(process, 75)
        self.assertEqual(checkpoint_step(self.run_dir), last_step(self.run_dir))

    def test_a_corrected_command_may_follow_a_failed_one(self):
        """A run that never began does not occupy run.dir."""
        for wrong, code in [("optim.warmup_epochs=1", 2), ("data.train=imagse", 3), ("model.init=missing.pth", 4)]:
            with self.subTest(wrong):
                shutil.rmtree(self.run_dir, ignore_errors=True)
                self.pretrain(wrong, expect=code)
                self.pretrain("train.max_steps=1")


    def test_a_start_that_died_before_its_first_checkpoint(self):
        """Killed, or the disk was full: the same command starts anew, --resume too, and nothing of value is deleted."""
        if not point_library():
            self.skipTest("no C compiler")
        self.pretrain("run.dir=reference")

        def die():
            shutil.rmtree(self.run_dir, ignore_errors=True)
            process = self.start("pretrain", *self.base, env=at_point("rename", "last.safetensors", 1, SIGKILL))
            self.wait_exit(process, -SIGKILL)
            self.assertTrue((self.run_dir / "config.yaml").exists())
            self.assertFalse((self.checkpoints / "last.safetensors").exists())

        for how in ([], ["--resume"], ["--overwrite"]):
            with self.subTest(how=how):
                die()
                message = self.pretrain(*how).stderr
                self.assertIs("a start that left no checkpoint: the run begins anew" in message, how != ["--overwrite"])
                self.assert_same_checkpoint(self.tmp / "reference/checkpoints/last.safetensors", self.checkpoints / "last.safetensors", ignore_config=True, ignore_run=True)
                self.assert_same_metrics(self.tmp / "reference", self.run_dir)
        die()
        self.complaint("--resume", "optim.lr=2e-3", expect=4, says=["nothing to resume", "another config", "without --resume"])
        self.pretrain("optim.lr=2e-3")
        for kept in ("checkpoints/best.safetensors", "test/case.nii.gz"):
            with self.subTest(kept):
                die()
                (self.run_dir / kept).parent.mkdir(exist_ok=True)
                (self.run_dir / kept).write_text("worth much")
                self.complaint(expect=2, says=["holds results of a run, but no", "last.safetensors"])
                self.complaint("--resume", expect=4, says="holds results of a run, but no")
                self.assertEqual((self.run_dir / kept).read_text(), "worth much")


class DataTest(ExitCodeTest):
    def test_3_nothing_to_read(self):
        (self.tmp / "empty").mkdir()
        (self.tmp / "texts").mkdir()
        (self.tmp / "texts/notes.txt").write_text("no picture")
        (self.tmp / "no_column.csv").write_text("picture_of,age\nimages/case000.png,3\n")
        (self.tmp / "twice.csv").write_text("image\nimages/case000.png\nimages/case000.png\n")
        (self.tmp / "split.csv").write_text("image,split\nimages/case000.png,training\n")
        (self.tmp / "patient.csv").write_text("image,patient,split\nimages/case000.png,p1,train\nimages/case001.png,p1,val\n")
        for source, says in [("empty", "no images"), ("texts", "1 .txt"), ("imagse", "imagse does not exist"), ("no_column.csv", "no_column.csv:1"),
                             ("twice.csv", "twice.csv:3"), ("split.csv", "split.csv:2"), ("patient.csv", "case001.png"), ("", "data.train is not set")]:
            with self.subTest(source):
                self.complaint("--overwrite", f"data.train={source}", expect=2 if source == "" else 3, says=says)

    def test_3_same_patient_message_does_not_name_the_patient(self):
        (self.tmp / "patient.csv").write_text("image,patient,split\nimages/case000.png,Erika Mustermann,train\nimages/case001.png,Erika Mustermann,val\n")
        self.assertNotIn("Mustermann", self.complaint("data.train=patient.csv", expect=3, says="case001.png"))

    def test_3_too_many_broken(self):
        for i in (1, 4, 6):
            (self.images / f"case{i:03d}.png").write_bytes(b"")
        message = self.complaint("data.max_bad_fraction=0.3", expect=3, says=["3 of 8", "data.max_bad_fraction", "quarantine.jsonl"])
        self.assertIn("case001.png", message)
        reasons = [json.loads(line) for line in (self.run_dir / "quarantine.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(r["file"] for r in reasons), ["case001.png", "case004.png", "case006.png"])

    def test_3_channels(self):
        Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(self.images / "colour.png")
        self.complaint("model.in_channels=2", "data.max_bad_fraction=0", expect=3, says="quarantine.jsonl")
        self.assertIn("model.in_channels", (self.run_dir / "quarantine.jsonl").read_text())

    def make_broken(self, folder):
        """One file of each kind of damage -> their names."""
        good = (self.images / "case000.png").read_bytes()
        array = picture(0).astype(np.uint8)
        for name in ("a.jpg", "a.tif", "a.bmp"):
            Image.fromarray(array).save(self.tmp / name)
        volume = nifti_bytes(np.random.default_rng(0).normal(size=(20, 20, 6)))
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 4
        header = struct.pack(">II5B", 60000, 60000, 8, 0, 0, 0, 0)
        bomb = good[:8] + struct.pack(">I", 13) + b"IHDR" + header + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + good[33:]
        Image.fromarray(np.full((64, 64), np.nan, np.float32)).save(folder / "nan.tif")
        broken = {
            "empty.png": b"", "text.png": b"this is not a picture", "cut.png": good[:len(good) // 2], "flipped.png": bytes(flipped), "bomb.png": bomb,
            "cut.jpg": (self.tmp / "a.jpg").read_bytes()[:500], "cut.tif": (self.tmp / "a.tif").read_bytes()[:700], "cut.bmp": (self.tmp / "a.bmp").read_bytes()[:700],
            "cut.nii": volume[:-300], "header.nii": volume[:200], "bad.nii.gz": b"\x1f\x8b" + volume[:100], "cut.nii.gz": zlib.compress(volume, wbits=31)[:1000],
            "text.nrrd": b"not a volume", "text.mha": b"ObjectType = Image\nNDims = 3\n",
        }
        for name, data in broken.items():
            (folder / name).write_bytes(data)
        (folder / "dangling.png").symlink_to("nowhere.png")
        (folder / "folder.png").mkdir()  # entered, and empty
        return {*broken, "nan.tif", "dangling.png"}

    def test_0_with_a_few_broken_of_many_kinds(self):
        broken = self.make_broken(self.images)
        self.pretrain("data.max_bad_fraction=0.8", "train.epochs=4", "data.workers=4")
        records = [json.loads(line) for line in (self.run_dir / "quarantine.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(r["file"] for r in records), sorted(broken), "each broken file once, and no other")
        for record in records:
            self.assertGreater(len(record["reason"]), 15, record)
            self.assertIn(record["file"].split(".")[0], record["reason"], "the reason names the file")
        self.assertTrue(all(np.isfinite(line["loss"]) for line in metrics(self.run_dir)))
        self.assertGreater(len(metrics(self.run_dir, "train")), 4)
        # Again, resumed: the list does not grow.
        self.pretrain("data.max_bad_fraction=0.8", "train.epochs=5", "--resume")
        self.assertEqual(len((self.run_dir / "quarantine.jsonl").read_text().splitlines()), len(broken))

    def test_0_odd_file_names(self):
        """Spaces, quotes, UTF-8, a newline, and bytes that are not UTF-8, as old file servers have them."""
        good = (self.images / "case000.png").read_bytes()
        for name in (b"with space.png", b'quote".png', "Größe.png".encode(), b"new\nline.png", b"Gr\xf6\xdfe.png", b"-dash.PNG", b"a,b.png"):
            (Path(self.images) / name.decode("utf-8", "surrogateescape")).write_bytes(good)
        done = self.pretrain()
        self.assertIn("training: 15 images", done.stderr)
        self.assertEqual(len(json.loads((self.run_dir / "splits.json").read_text(errors="strict"))["train"]), 15)


class CheckpointTest(ExitCodeTest):
    def setUp(self):
        super().setUp()
        self.last = self.checkpoints / "last.safetensors"

    def test_4_resume_without_a_checkpoint(self):
        self.complaint("--resume", expect=4, says=["nothing to resume", "last.safetensors"])
        self.assertFalse(self.run_dir.exists())

    def test_4_damaged(self):
        self.pretrain("train.save_every_steps=1")
        good = self.last.read_bytes()
        (length,) = struct.unpack_from("<Q", good)
        flipped_tensor, flipped_meta = bytearray(good), bytearray(good)
        flipped_tensor[-1000] ^= 1
        flipped_meta[re.search(rb"optimizer_steps[^0-9]*([0-9])", good).start(1)] ^= 1
        for name, data, says in [
            ("truncated", good[:len(good) // 2], "truncated"),
            ("truncated in the header", good[:length // 2], "truncated"),
            ("one byte short", good[:-1], "truncated"),
            ("empty", b"", "truncated"),
            ("a flipped bit in a tensor", bytes(flipped_tensor), "checksum"),
            ("a flipped bit in the metadata", bytes(flipped_meta), "checksum"),
            ("text", b"this is no checkpoint at all", "not safetensors"),
            ("longer", good + b"more", "bytes after its last tensor"),
        ]:
            with self.subTest(name):
                self.last.write_bytes(data)
                self.complaint("--resume", "train.epochs=2", expect=4, says=["last.safetensors: ", says, "previous.safetensors"])
                self.assertEqual(self.last.read_bytes(), data, "the file is left as it is")
        # What the message advises: go on from the one before.
        shutil.copy(self.checkpoints / "previous.safetensors", self.last)
        self.pretrain("--resume", "train.epochs=2")

    def test_4_of_another_model(self):
        self.pretrain()
        before = digest(self.last)
        message = self.complaint("--resume", "model.embed_dim=8", expect=4, says=["does not fit the model", "embed_dim"])
        self.assertIn("changed since the checkpoint: model.embed_dim was 4, is 8", message)
        self.assertEqual(digest(self.last), before)

    def test_4_weights_are_not_a_checkpoint(self):
        self.pretrain()
        shutil.copy(GOLDEN / "pth/expected.safetensors", self.last)
        self.complaint("--resume", expect=4, says=["no training state", "model.init"])

    def test_4_model_init(self):
        (self.tmp / "junk.pth").write_bytes(b"PK\x03\x04 junk")
        (self.tmp / "text.safetensors").write_text("no weights")
        self.vmae("forward", "--weights", "junk.pth", "--input", GOLDEN / "mae_tiny_io.safetensors", "--output", "out.safetensors", expect=4)
        for init, says in [("missing.pth", "missing.pth: no such file"), ("junk.pth", "junk.pth"), ("text.safetensors", "text.safetensors"),
                           (write_weights("mae_tiny", self.tmp), "does not fit the model"), (self.images, "a folder without")]:
            with self.subTest(str(init)):
                self.complaint(f"model.init={init}", "--overwrite", expect=4, says=says)

    def check_full_disk(self, run, arguments, make_room, **limited):
        """`limited` makes the next save impossible: exit 4, the earlier checkpoint as it was; with room again the run ends as it would have."""
        last = run / "checkpoints/last.safetensors"
        before = digest(last)
        done = self.vmae("pretrain", "--resume", *arguments, expect=4, **limited)
        self.assertIn("the checkpoint could not be saved", done.stderr)
        self.assertIn("make room", done.stderr)
        self.assertEqual(digest(last), before)
        self.assertEqual([p.name for p in run.rglob("*.tmp")], [], "no half-written file takes up room")
        make_room()
        self.vmae("pretrain", "--resume", *arguments)

    def stop_after(self, step, run, arguments):
        process = self.start("pretrain", *arguments)
        self.assertTrue(self.wait_for(lambda: last_step(run) >= step, process, f"step {step}"))
        process.send_signal(SIGTERM)
        self.wait_exit(process, 75)

    def test_4_file_size_limit(self):
        arguments = [*self.base, "train.epochs=20"]
        self.vmae("pretrain", *arguments, "run.dir=reference")
        self.stop_after(3, self.run_dir, arguments)
        limit = self.last.stat().st_size * 3 // 4
        self.check_full_disk(self.run_dir, arguments, lambda: None, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        reference, resumed = (read_safetensors(p / "checkpoints/last.safetensors")[0] for p in (self.tmp / "reference", self.run_dir))
        self.assertEqual(reference, resumed)

    def test_4_full_disk(self):
        """A small tmpfs in a mount namespace of its own, reached through /proc, filled up while the run is stopped."""
        disk = self.tmp / "disk"
        disk.mkdir()
        holder = subprocess.Popen(["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=16m tmpfs '{disk}' && echo ready && exec cat"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(holder.communicate)
        if holder.stdout.readline() != b"ready\n":
            self.skipTest("no tmpfs may be mounted here")
        disk = Path(f"/proc/{holder.pid}/root{disk}")
        run = disk / "run"
        arguments = [*self.base, "train.epochs=20", f"run.dir={run}"]
        self.vmae("pretrain", *self.base, "train.epochs=20", "run.dir=reference")
        self.stop_after(3, run, arguments)
        (run / "checkpoints/previous.safetensors").unlink(missing_ok=True)  # which a save gives up first
        with open(disk / "ballast", "wb", buffering=0) as ballast:
            with self.assertRaises(OSError):
                while True:
                    ballast.write(bytes(65536))
            ballast.truncate(ballast.tell() - 300_000)  # room for a log, not for a checkpoint
        self.check_full_disk(run, arguments, (disk / "ballast").unlink)
        self.assertEqual(*(read_safetensors(p / "checkpoints/last.safetensors")[0] for p in (self.tmp / "reference", run)))

    def test_4_no_room_from_the_start(self):
        """The first checkpoint is saved after the first step, so that this does not show after hours."""
        self.complaint(expect=4, says="the checkpoint could not be saved", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)))
        self.assertEqual(list(self.checkpoints.iterdir()), [])


class NonFiniteTest(ExitCodeTest):
    def check(self, *explosive):
        message = self.complaint(*explosive, "train.save_every_steps=1", expect=5, says=["non_finite.json", "optim.lr"])
        self.assertRegex(message, r"the (loss|gradient) became (inf|nan|-nan) at step \d+")
        report = json.loads((self.run_dir / "non_finite.json").read_text())
        self.assertEqual(len(report["samples"]), 4)
        self.assertLessEqual(set(report["samples"]), {f"case{i:03d}.png" for i in range(8)})
        return report

    def test_5_explosion(self):
        """A weight decay that multiplies the weights by -9 a step."""
        report = self.check("optim.lr=10", "optim.weight_decay=1", "train.epochs=200")
        last = self.checkpoints / "last.safetensors"
        self.assertEqual(checkpoint_step(self.run_dir), report["step"], "the state before the step that failed")
        weights = [np.frombuffer(data, np.float32) for key, (dtype, _, data) in read_safetensors(last)[0].items() if dtype == "F32"]
        self.assertTrue(all(np.isfinite(w).all() for w in weights), "the last checkpoint is from before")
        self.vmae("inspect", last)
        self.vmae("export", "--weights", last, "--output", "weights.safetensors")
        self.pretrain("--resume", "optim.lr=10", "optim.weight_decay=1", "train.epochs=200", expect=5)  # deterministic: the same again
        self.assertEqual(json.loads((self.run_dir / "non_finite.json").read_text()), report)

    def test_5_in_the_first_step(self):
        """Standard deviations of 1e-30 make pixels of 1e30, whose squares no float holds."""
        self.assertEqual(self.check("data.std=1e-30")["step"], 0)
        self.assertFalse((self.checkpoints / "last.safetensors").exists())


class StoppedTest(ExitCodeTest):
    def test_75(self):
        process = self.start("pretrain", *self.base, "train.epochs=5000")
        self.assertTrue(self.wait_for(lambda: last_step(self.run_dir) >= 2, process, "two steps"))
        process.send_signal(SIGTERM)
        self.wait_exit(process, 75)
        self.assertIn("SIGTERM", process.log.read_text())
        self.assertIn("continue with --resume", process.log.read_text())


if __name__ == "__main__":
    unittest.main()
