# SPDX-License-Identifier: Apache-2.0
"""What the tests of the GPU path share: running vmae on a device, and small datasets. Nothing but Python's standard library, so that they run wherever a package of vmae does.

VMAE names the program (default: build/release/bin/vmae), VMAE_TEST_DEVICE the device: cuda (default; without a GPU all is skipped), or cpu, where the same tests check themselves.
"""
import ctypes
import functools
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import zlib
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
VMAE = Path(os.environ.get("VMAE", SOURCE / "build/release/bin/vmae")).resolve()
DEVICE = os.environ.get("VMAE_TEST_DEVICE", "cuda")
IS_CUDA = DEVICE == "cuda"
LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}  # of cuBLAS and cuDNN: real fp32
LIMIT_S = 240  # of one command

# Networks that two cores train in seconds.
SWIN = ["model.image_size=[64,64]", "model.in_channels=1", "model.embed_dim=8", "model.depths=[1,1,1,1]", "model.num_heads=[1,1,2,2]", "model.window_size=4"]
TRAIN = ["train.batch_size=8", "train.epochs=2", "train.precision=fp32", "train.log_every=1", "train.draw_every=0", "optim.warmup_epochs=0", "optim.lr=1e-3", "run.threads=2", "data.workers=2"]
TRANSUNET = ["model.name=transunet", "model.image_size=[64,64]", "model.in_channels=1", "model.vit_width=16", "model.vit_layers=2", "model.vit_heads=2", "model.vit_mlp=16",
             "model.stem_width=32", "model.stem_units=[1,1,1]", "model.decoder_channels=[8,8,8,8,4]"]
UNET = ["model.name=unet", "model.image_size=[64,64]", "model.in_channels=1", "model.features=[4,8,8]"]


@functools.cache
def num_gpus():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver
        return 0
    done = subprocess.run([str(VMAE), "doctor"], capture_output=True, text=True, timeout=LIMIT_S)
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def environment(**extra):
    kept = {k: v for k, v in os.environ.items() if k not in LAUNCHERS and not k.startswith(("SLURM_", "OMPI_", "VMAE_TEST_"))}
    return {**kept, "OMP_WAIT_POLICY": "passive", **extra}


class GpuTest(unittest.TestCase):
    def setUp(self):
        if IS_CUDA and num_gpus() == 0:
            self.skipTest("vmae doctor shows no GPU")
        self.tmp = Path(tempfile.mkdtemp(prefix="vmae-gpu-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def only_on_cuda(self):
        if not IS_CUDA:
            self.skipTest("only on a GPU")

    def vmae(self, *arguments, expect=0, variables=None):
        """-> what it printed, both outputs."""
        command = [str(VMAE), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.tmp, env=environment(**(variables or {})), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=LIMIT_S)
        self.assertEqual(done.returncode, expect, f"{' '.join(command)}\n{done.stdout[-3000:]}")
        return done.stdout

    def pretrain(self, run, *more, device=DEVICE, epochs=2, **how):
        self.vmae("pretrain", *SWIN, *TRAIN, "data.train=images", f"run.dir={run}", f"run.device={device}", f"train.epochs={epochs}", *more, **how)
        return self.losses(run)

    def lines(self, run):
        return [json.loads(line) for line in (self.tmp / run / "metrics.jsonl").read_text().splitlines()]

    def losses(self, run):
        return [line["loss"] for line in self.lines(run) if line["kind"] == "train"]

    def last(self, run):
        return self.tmp / run / "checkpoints/last.safetensors"

    def assert_close(self, a, b, relative):
        self.assertEqual(len(a), len(b))
        for i, (x, y) in enumerate(zip(a, b)):
            self.assertAlmostEqual(x, y, delta=relative * abs(y), msg=f"step {i} of {a} and {b}")

    def assert_same_weights(self, first, second):
        """Of two checkpoints: weights and moments, bit for bit."""
        a, b = tensors(self.last(first)), tensors(self.last(second))
        self.assertEqual(list(a), list(b))
        self.assertGreater(len(a), 20)
        self.assertEqual([key for key in a if a[key] != b[key]], [])

    def start(self, *arguments):
        log = open(self.tmp / "log.txt", "w+")
        self.addCleanup(log.close)
        process = subprocess.Popen([str(VMAE), *map(str, arguments)], cwd=self.tmp, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def stop_when(self, condition, process, sent):
        deadline = time.monotonic() + LIMIT_S
        while not condition() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertIsNone(process.poll(), (self.tmp / "log.txt").read_text()[-2000:])
        process.send_signal(sent)
        return process.wait(LIMIT_S)

    def killed_and_resumed(self, run, *more):
        """A pretraining that SIGKILL ends behind its twelfth step, and that goes on."""
        arguments = ["pretrain", *SWIN, *TRAIN, "data.train=images", f"run.dir={run}", f"run.device={DEVICE}", "train.epochs=40", "train.save_every_steps=4", *more]
        process = self.start(*arguments)
        self.stop_when(lambda: self.last(run).exists() and step_of(self.last(run)) >= 12, process, signal.SIGKILL)
        self.vmae(*arguments, "--resume")


def header(file):
    with open(file, "rb") as data:
        return json.loads(data.read(struct.unpack("<Q", data.read(8))[0]))


def tensors(file):
    """Of a safetensors file: name -> bytes."""
    data = Path(file).read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    return {name: data[begin + one["data_offsets"][0]:begin + one["data_offsets"][1]] for name, one in header(file).items() if name != "__metadata__"}


def step_of(file):
    return json.loads(header(file)["__metadata__"]["state"])["step"]


# Datasets


def write_png(path, rows):
    """rows: bytes of each, 8-bit grey."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def squares(number, side=64):
    """A picture with a bright square (1) in noise, and its mask."""
    draw = random.Random(number)
    top, left, size = draw.randrange(4, side // 2), draw.randrange(4, side // 2), draw.randrange(12, side // 3)
    mask = [bytes(int(top <= y < top + size and left <= x < left + size) for x in range(side)) for y in range(side)]
    return [bytes(min(255, draw.randrange(40, 90) + 140 * inside) for inside in row) for row in mask], mask


def make_images(folder, count=24):
    for number in range(count):
        write_png(folder / f"case{number:03d}.png", squares(number)[0])


def make_segmentation(folder, count=16):
    for number in range(count):
        image, mask = squares(number)
        write_png(folder / f"images/case{number:03d}.png", image)
        write_png(folder / f"masks/case{number:03d}.png", mask)


def make_classes(folder, count=24):
    """The square lies above or below."""
    rows = ["image,label"]
    for number in range(count):
        image, _ = squares(number)
        write_png(folder / f"images/case{number:03d}.png", image if number % 2 else image[::-1])
        rows.append(f"images/case{number:03d}.png,{'above' if number % 2 else 'below'}")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
