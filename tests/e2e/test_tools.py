# SPDX-License-Identifier: Apache-2.0
"""The commands on weights and tensors: inspect, forward, export, doctor, docs, help; and the Python model in scripts/python."""
import json
import pickle
import re
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import torch

from harness import GOLDEN, SOURCE, TINY, VMAE, VmaeTest, environment, make_pictures, read_arrays, read_safetensors, tiny_pth, weights_of, write_safetensors

PTH = tiny_pth()
sys.path[:0] = [str(SOURCE / "scripts/python"), str(SOURCE / "tests/python"), str(GOLDEN)]
import golden as golden_numbers  # noqa: E402
from golden import sampled, write_weights  # noqa: E402


def golden(name):
    return {key: value.numpy() for key, value in golden_numbers.read(name).items()}


class ToolsTest(VmaeTest):
    def make_run(self, *more):
        make_pictures(self.tmp / "images", 5)
        self.vmae("pretrain", *TINY, "data.train=images", "data.val_fraction=0.2", "run.dir=run", "train.draw_every=0", *more)
        return self.tmp / "run"

    def forward(self, weights, arrays, *more, **kw):
        write_safetensors(self.tmp / "in.safetensors", arrays)
        self.vmae("forward", "--weights", weights, "--input", "in.safetensors", "--output", "out.safetensors", *more, **kw)
        return read_arrays(self.tmp / "out.safetensors") if kw.get("expect", 0) == 0 else None

    def compare_weights(self, first, second):
        from compare_weights import first_difference, load
        first, second = load(first), load(second)
        self.assertGreater(len(first), 200)
        self.assertIsNone(first_difference(first, second))


class ForwardTest(ToolsTest):
    def test_golden(self):
        io = golden("mae_tiny_io")
        out = self.forward(write_weights("mae_tiny", self.tmp), {"image": io["image"], "noise": io["noise"]})
        self.assertEqual(out["pred"].shape, (2, 3136, 48))
        self.assertLess(np.abs(sampled(torch.tensor(out["pred"])).numpy() - io["pred"]).max(), 2e-5)
        self.assertAlmostEqual(float(out["loss"][0]), float(io["loss"].item()), delta=2e-5)
        np.testing.assert_array_equal(out["mask"], io["mask"])
        np.testing.assert_array_equal(out.get("noise", io["noise"]), io["noise"])

    def test_golden_norm_pix(self):
        io, norm_pix, weights = golden("mae_tiny_io"), golden("mae_tiny_norm_pix_io"), write_weights("mae_tiny_second", self.tmp)
        tensors = {"image": io["image"], "noise": io["noise"]}
        out = self.forward(weights, tensors, "norm_pix_loss=true")
        self.assertAlmostEqual(float(out["loss"][0]), float(norm_pix["loss"].item()), delta=2e-5)
        without = self.forward(weights, tensors)
        self.assertGreater(abs(float(without["loss"][0]) - float(norm_pix["loss"].item())), 1e-2, "the override does something")

    def test_noise_from_the_seed(self):
        image = np.random.default_rng(0).normal(size=(2, 1, 64, 96)).astype(np.float32)
        first, again, other = (self.forward(PTH / "expected.safetensors", {"image": image}, f"--seed={seed}") for seed in (1, 1, 2))
        for key in ("pred", "loss", "mask", "noise"):
            np.testing.assert_array_equal(first[key], again[key])
        self.assertFalse(np.array_equal(first["mask"], other["mask"]))
        self.assertFalse(np.array_equal(first["mask"][0], first["mask"][1]), "each sample has its own mask")
        self.assertEqual(first["mask"].sum(1).tolist(), [288, 288])  # three quarters of 4 x 6 units of 16 tokens
        given = self.forward(PTH / "expected.safetensors", {"image": image, "noise": first["noise"]}, "--seed=9")
        for key in ("pred", "loss", "mask"):
            np.testing.assert_array_equal(first[key], given[key])

    def test_two_channels_and_not_square(self):
        """A 96x160 tensor of two channels through weights of a two-channel run, and the same in Python."""
        import vmae_model
        run = self.make_run("model.image_size=[96,160]", "model.in_channels=2")
        image = np.random.default_rng(1).normal(size=(3, 2, 96, 160)).astype(np.float32)
        noise = np.random.default_rng(2).random((3, 60), dtype=np.float32)
        out = self.forward("run", {"image": image, "noise": noise})
        self.assertEqual(out["pred"].shape, (3, 24 * 40, 32))
        loss, pred, mask = self.in_python(vmae_model.load_model(run / "checkpoints/best.safetensors"), image, noise)
        self.assertLess(np.abs(out["pred"] - pred).max(), 2e-5 * max(1, np.abs(pred).max()))  # float32 rounding grows with the values
        self.assertAlmostEqual(float(out["loss"][0]), loss, delta=2e-5)
        np.testing.assert_array_equal(out["mask"], mask)

    @staticmethod
    def in_python(model, image, noise):
        torch.set_num_threads(1)
        with torch.no_grad():
            loss, pred, mask = model(torch.from_numpy(image.copy()), torch.from_numpy(noise.copy()))
        return loss.item(), pred.numpy(), mask.numpy()

    def test_python_model_on_a_training_checkpoint(self):
        import vmae_model
        run = self.make_run("model.norm_pix_loss=true", "model.shift_small_grids=false", "model.mask_ratio=0.5")
        image, noise = np.random.default_rng(1).normal(size=(2, 1, 128, 64)).astype(np.float32), np.random.default_rng(2).random((2, 32), dtype=np.float32)
        last = run / "checkpoints/last.safetensors"
        out = self.forward(last, {"image": image, "noise": noise})
        loss, pred, mask = self.in_python(vmae_model.load_model(last), image, noise)
        self.assertLess(np.abs(out["pred"] - pred).max(), 2e-5)
        self.assertAlmostEqual(float(out["loss"][0]), loss, delta=2e-5)
        np.testing.assert_array_equal(out["mask"], mask)
        self.vmae("export", "--weights", last, "--output", "mae.pth")
        options = json.loads(read_safetensors(last)[1]["model_options"])
        _, exported, _ = self.in_python(vmae_model.load_model(self.tmp / "mae.pth", **options), image, noise)
        np.testing.assert_array_equal(exported, pred)

    def test_bad_input(self):
        image = np.zeros((1, 1, 64, 64), np.float32)
        for arrays, code, says in [({"picture": image}, 3, "image"), ({"image": image[0]}, 3, "four dimensions"), ({"image": image.astype(np.float64)}, 3, "float32"),
                                   ({"image": image, "noise": np.zeros((1, 9), np.float32)}, 3, "(1, 16)"), ({"image": image[:, :, :60]}, 2, "32 and 64"),
                                   ({"image": np.zeros((1, 3, 64, 64), np.float32)}, (3, 4), "channels")]:
            with self.subTest(says):
                write_safetensors(self.tmp / "in.safetensors", arrays)
                done = subprocess.run([str(VMAE), "forward", "--weights", PTH / "expected.safetensors", "--input", "in.safetensors", "--output", "out.safetensors"],
                                      cwd=self.tmp, env=environment(), capture_output=True, text=True)
                self.assertIn(done.returncode, np.atleast_1d(code).tolist(), done.stderr)
                self.assertIn(says, done.stderr)
                self.assertFalse((self.tmp / "out.safetensors").exists())


class ExportTest(ToolsTest):
    def test_bit_identical_and_usable(self):
        run = self.make_run()
        best = run / "checkpoints/best.safetensors"
        for name in ("out.safetensors", "out.pth"):
            with self.subTest(name):
                self.vmae("export", "--weights", "run", "--output", name)
                self.compare_weights(best, self.tmp / name)
                self.vmae("pretrain", *TINY, "data.train=images", "run.dir=second", "--overwrite", f"model.init={name}", "train.max_steps=1", "optim.lr=0")
                first, second = weights_of(best), weights_of(self.tmp / "second/checkpoints/last.safetensors")
                self.assertEqual(list(first), list(second))
                for key in first:
                    np.testing.assert_array_equal(first[key], second[key], key)
        state = torch.load(self.tmp / "out.pth", weights_only=True)
        self.assertEqual(sorted(state), sorted(weights_of(best)))
        self.assertFalse(any(key.startswith(("optimizer.", "state.")) for key in state))
        exported = read_safetensors(self.tmp / "out.safetensors")
        self.assertEqual(json.loads(exported[1]["model_options"])["embed_dim"], 4)
        self.vmae("export", "--weights", run / "checkpoints/last.safetensors", "--output", "last.pth")
        self.compare_weights(run / "checkpoints/last.safetensors", self.tmp / "last.pth")
        self.vmae("export", "--weights", "last.pth", "--output", "back.safetensors")
        self.compare_weights(run / "checkpoints/last.safetensors", self.tmp / "back.safetensors")

    def test_the_comparison_finds_a_difference(self):
        weights = weights_of(PTH / "expected.safetensors")
        changed = {k: v.copy() for k, v in weights.items()}
        changed["mask_token"].view(np.uint8)[..., 0] ^= 1
        write_safetensors(self.tmp / "changed.safetensors", changed)
        done = subprocess.run([sys.executable, SOURCE / "tests/python/compare_weights.py", PTH / "expected.safetensors", self.tmp / "changed.safetensors"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("mask_token", done.stderr)

    def test_a_pth_carries_what_safetensors_carry(self):
        """Metadata beside the weights; the Python loader needs nothing else, of the file and of the run."""
        import sys

        import torch
        sys.path.insert(0, str(SOURCE / "scripts/python"))
        from vmae_model import load_model, read_weights
        run = self.make_run()
        for ending in ("pth", "safetensors"):
            self.vmae("export", "--weights", run, "--output", f"out.{ending}")
        self.vmae("export", "--weights", "out.pth", "--output", "back.safetensors")
        metadata = [{k: v for k, v in read_safetensors(self.tmp / name)[1].items() if k != "checksum"} for name in ("out.safetensors", "back.safetensors")]
        self.assertEqual(*metadata)
        self.assertIn("image_options", metadata[0])
        state = torch.load(self.tmp / "out.pth", weights_only=True)
        self.assertTrue(all(isinstance(value, torch.Tensor) for value in state.values()))
        self.assertEqual(read_weights(self.tmp / "out.pth")[1]["model_options"]["embed_dim"], 4)
        models = [load_model(self.tmp / "out.pth"), load_model(run), load_model(self.tmp / "out.safetensors")]
        for other in models[1:]:
            for (key, one), (name, two) in zip(models[0].state_dict().items(), other.state_dict().items()):
                self.assertEqual(key, name)
                self.assertTrue(torch.equal(one, two), key)

    def test_what_is_there_stays(self):
        for name in ("out.safetensors", "out.pth"):
            (self.tmp / name).write_text("mine")
            done = self.vmae("export", "--weights", PTH / "expected.safetensors", "--output", name, expect=2)
            for text in (name, "exists already", "--overwrite"):
                self.assertIn(text, done.stderr)
            self.assertEqual((self.tmp / name).read_text(), "mine")
            self.vmae("export", "--weights", PTH / "expected.safetensors", "--output", name, "--overwrite")
            self.compare_weights(PTH / "expected.safetensors", self.tmp / name)

    def test_unknown_ending(self):
        done = self.vmae("export", "--weights", PTH / "expected.safetensors", "--output", "out.onnx", expect=2)
        self.assertIn(".safetensors or .pth", done.stderr)

    def test_reference_checkpoint(self):
        """The Python reference's own file, with optimizer, scaler and argparse.Namespace; halves; a plain state dict."""
        for name in ("reference_style.pth", "plain_state_dict.pth"):
            output = Path(name).with_suffix(".safetensors")
            self.vmae("export", "--weights", PTH / name, "--output", output)
            self.compare_weights(PTH / "expected.safetensors", self.tmp / output)
        self.vmae("export", "--weights", PTH / "fp16.pth", "--output", "half.safetensors")
        self.compare_weights(PTH / "fp16.pth", self.tmp / "half.safetensors")
        make_pictures(self.tmp / "images", 4)
        self.vmae("pretrain", *TINY, "data.train=images", "run.dir=run", f"model.init={PTH / 'reference_style.pth'}", "train.max_steps=1")

    def test_evil_pth(self):
        """Refused, or read without executing anything."""
        with open(self.tmp / "plain_evil.pth", "wb") as file:
            pickle.dump({"model": Evil()}, file)
        make_pictures(self.tmp / "images", 4)
        for evil in (PTH / "evil.pth", self.tmp / "plain_evil.pth"):
            for arguments in (["inspect", evil], ["export", "--weights", evil, "--output", evil.stem + ".safetensors"],
                              ["pretrain", *TINY, "data.train=images", "run.dir=run", "--overwrite", f"model.init={evil}"]):
                with self.subTest(command=arguments[0], file=evil.name):
                    done = subprocess.run([str(VMAE), *map(str, arguments)], cwd=self.tmp, env=environment(), capture_output=True, text=True)
                    self.assertIn(done.returncode, [4] if arguments[0] == "pretrain" else [0, 4], done.stderr)
                    self.assertEqual(list(self.tmp.rglob("PWNED")), [])
        self.assertFalse((SOURCE / "PWNED").exists())


class Evil:
    def __reduce__(self):
        return __import__("os").system, ("touch PWNED",)


class InspectTest(ToolsTest):
    def test_run_checkpoint_and_weights(self):
        run, without_torch = self.make_run(), environment(VMAE_TORCH="/nowhere")
        for path, kind, file in [(run, "weights", "best.safetensors"), (run / "checkpoints/last.safetensors", "training checkpoint", "last.safetensors"),
                                 (PTH / "reference_style.pth", "weights", "reference_style.pth"), (PTH / "expected.safetensors", "weights", "expected.safetensors")]:
            with self.subTest(file):
                text = self.vmae("inspect", path, env=without_torch).stdout
                for words in (file, kind, "224 tensors", "52196 parameters", "--keys"):
                    self.assertIn(words, text)
                keys = self.vmae("inspect", "--keys", path, env=without_torch).stdout
                self.assertIn("decoder_pred.bias", keys)
                self.assertIn("patch_embed.proj.weight", keys)
                described = json.loads(self.vmae("inspect", "--json", path, env=without_torch).stdout)
                self.assertEqual((described["kind"], described["parameters"]), (kind, 52196))
                names = [t["key"] for t in described["tensors"]]
                self.assertIn("mask_token", names)
                self.assertEqual({tensor["dtype"] for tensor in described["tensors"]} - {"int64"}, {"float32"})
                self.assertEqual(next(t["shape"] for t in described["tensors"] if t["key"] == "patch_embed.proj.weight"), [4, 1, 4, 4])
                if file != "expected.safetensors" and file != "reference_style.pth":
                    self.assertEqual(described["model_options"]["embed_dim"], 4)
                    self.assertEqual(described["metadata"]["run"], "run")
                if kind == "training checkpoint":
                    self.assertEqual(described["state"]["step"], 2)

    def test_what_is_not_there(self):
        self.assertIn("does not exist", self.vmae("inspect", "nowhere", expect=3).stderr)
        self.assertIn("nowhere.pth does not exist", self.vmae("inspect", "nowhere.pth", expect=3).stderr)
        self.assertIn("holds no images", self.vmae("inspect", ".", expect=3).stderr)

    def test_what_a_folder_holds_beyond_the_files_that_are_shown(self):
        """20 images are listed, the others counted, and how many of these can't be read."""
        volume = min((SOURCE / "tests/data/hippocampus/images").glob("*.nii.gz")).read_bytes()
        (self.tmp / "images").mkdir()
        for i in range(23):
            (self.tmp / f"images/v{i:02d}.nii.gz").write_bytes(volume[:40] if i in (20, 22) else volume)
        text = self.vmae("inspect", "images").stdout
        self.assertIn("... 3 more", text)
        self.assertIn("of these 2 can't be read", text)
        self.assertEqual(sum("problem" in one for one in json.loads(self.vmae("inspect", "images", "--json").stdout)["images"]), 2)


class HelpTest(ToolsTest):
    def test_doctor(self):
        text = self.vmae("doctor").stdout
        for words in ("LibTorch", "2.15", "threads", "memory", "AVX", "run.device auto", "precision auto"):
            self.assertIn(words, text)

    def test_help(self):
        for arguments, words in [
            ([], ["pretrain", "split", "forward", "export", "inspect", "doctor", "docs", "--version", "75", "Exit codes"]),
            (["pretrain"], ["--config", "--resume", "--overwrite", "--dry-run", "--print-config", "key=value", "data.train", "run.dir", "Example"]),
            (["split"], ["--input", "--output", "--overwrite", "--config", "key=value", "split.scheme", "data.splits", "Example"]),
            (["forward"], ["--weights", "--input", "--output", "--seed", "noise", "pred", "safetensors"]),
            (["export"], ["--weights", "--output", ".pth", "weights_only", "Example"]),
            (["inspect"], ["--json", "--keys", "run"]),
            (["doctor"], ["versions"]),
            (["docs"], ["configuration", "default-config"]),
        ]:
            with self.subTest(arguments):
                text = self.vmae(*arguments, "--help").stdout
                for word in words:
                    self.assertIn(word, text)
        self.assertRegex(self.vmae("--version").stdout, r"^vmae \d+\.\d+\.\d+ \(.+\)")

    def test_print_config_fed_back(self):
        changed = ["optim.lr=0.000123456789", "model.image_size=[96,160]", "data.window=[-160,240]", 'data.train=/a b/"c": #d', "run.dir=~", "optim.betas=[0.1,0.2]",
                   "train.max_steps=7"]
        for overrides in ([], changed):
            first = self.vmae("pretrain", "--print-config", *overrides).stdout
            (self.tmp / "printed.yaml").write_text(first)
            self.assertEqual(self.vmae("pretrain", "--print-config", "--config", "printed.yaml").stdout, first)
        for line in ("image_size: [96, 160]", "max_steps: 7", "lr: 0.000123456789", "window: [-160, 240]"):
            self.assertIn(line, first)
        (self.tmp / "small.yaml").write_text("base: printed.yaml\ntrain.max_steps: 9\n")
        self.assertEqual(self.vmae("pretrain", "--print-config", "--config", "small.yaml").stdout, first.replace("max_steps: 7", "max_steps: 9"))

    def test_a_config_that_vmae_brings(self):
        """By its name, from any folder, also as a base; a file of the user's comes first; what is unknown names the near ones."""
        file = VMAE.parent.parent / "share/vmae/configs/pretrain/mr.yaml"
        listed = self.vmae("docs", "configs").stdout
        self.assertRegex(listed, r"(?m)^pretrain/mr  +MR: vmae pretrain --config ")
        self.assertEqual([line.split()[0] for line in listed.splitlines()], sorted(str(one.relative_to(SOURCE / "configs"))[:-5] for one in (SOURCE / "configs").rglob("*.yaml")))
        wanted = self.vmae("pretrain", "--print-config", "--config", SOURCE / "configs/pretrain/mr.yaml").stdout
        (self.tmp / "based.yaml").write_text("base: pretrain/mr\n")
        for config, name in (("pretrain/mr", "pretrain/mr"), ("configs/pretrain/mr.yaml",) * 2, (self.tmp / "based.yaml", "pretrain/mr")):
            with self.subTest(config):
                done = self.vmae("pretrain", "--print-config", "--config", config)
                self.assertEqual(done.stdout, wanted)
                self.assertEqual(done.stderr.count(f"config {name}: {file}"), 1, done.stderr)
        (self.tmp / "pretrain").mkdir()
        (self.tmp / "pretrain/mr").write_text("optim.lr: 0.0123\n")
        done = self.vmae("pretrain", "--print-config", "--config", "pretrain/mr")
        self.assertIn("lr: 0.0123", done.stdout)
        self.assertEqual(done.stderr, "")
        for name, near in (("mr", "did you mean 'pretrain/mr'?"), ("pretrain/simclr_rm", "did you mean 'pretrain/simclr_mr'?"), ("something", "`vmae docs configs` lists")):
            self.assertIn(near, self.vmae("pretrain", "--print-config", "--config", name, expect=2).stderr)

    def test_a_config_through_a_pipe(self):
        """It gives what is in it once; several ranks can't have it."""
        command = f"printf 'optim.lr: 0.0123' | {VMAE} pretrain --config /dev/stdin run.dir=run data.train=images"
        done = subprocess.run(f"{command} --print-config", shell=True, env=environment(), capture_output=True, text=True)
        self.assertIn("lr: 0.0123", done.stdout)
        done = subprocess.run(f"{command} --nproc-per-node 2", shell=True, env=environment(), cwd=self.tmp, capture_output=True, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("/dev/stdin is an empty pipe", done.stderr)

    def test_generated_pages_are_up_to_date(self):
        for page, file in [("configuration", "docs/configuration.md"), ("default-config", "configs/default.yaml")]:
            with self.subTest(file):
                text = self.vmae("docs", page).stdout
                self.assertIn("warmup_epochs", text)
                if not (SOURCE / file).exists():
                    self.skipTest(f"{file} does not exist")
                self.assertEqual(text, (SOURCE / file).read_text(), f"run: vmae docs {page} > {file}")

    def test_configs_of_the_repository(self):
        for file in sorted((SOURCE / "configs").rglob("*.yaml")):
            with self.subTest(str(file.relative_to(SOURCE))):
                named = re.search(r"^#.*?\bvmae (finetune-seg|finetune-cls)\b", file.read_text(), re.MULTILINE)
                self.vmae(named[1] if named else "pretrain", "--config", file, "--print-config")


class BenchTest(ToolsTest):
    def test_statistics(self):
        """Of made-up cases: the same value whatever the threads, within its interval."""
        for kind in ("auroc", "findings"):
            found = [json.loads(self.vmae("bench", "--eval", kind, "--cases", "500", "--resamples", "50", "--threads", str(threads)).stdout) for threads in (1, 2)]
            for key in ("value", "low", "high"):
                self.assertEqual(found[0][key], found[1][key])
            self.assertTrue(0.5 < found[0]["low"] < found[0]["value"] < found[0]["high"] < 1, found[0])
            self.assertGreater(found[0]["seconds"], 0)
        self.vmae("bench", "--eval", "dice", expect=2)


if __name__ == "__main__":
    unittest.main()
