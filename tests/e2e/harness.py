# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running vmae, tiny models, made-up images, and comparing what runs leave behind, bit by bit.

VMAE names the executable (default: build/release/bin/vmae), VMAE_SOURCE_DIR the repository. safetensors are read and written by hand here,
so that the files are judged by code that is not vmae's.
"""
import atexit
import functools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
from PIL import Image

SOURCE = Path(os.environ.get("VMAE_SOURCE_DIR", Path(__file__).resolve().parents[2])).resolve()
VMAE = Path(os.environ.get("VMAE", SOURCE / "build/release/bin/vmae")).resolve()
TORCH_PART = VMAE.parent.parent / "lib/libvmae_torch.so"  # what VMAE loads for commands that need LibTorch
GOLDEN = SOURCE / "tests/golden"
OPTIMIZER, STATE = "optimizer.", "state."
WALL_CLOCK = ("images_per_s", "data_wait_s", "comm_wait_s")

# 52,196 parameters, about 10 ms a step; as TINY in tests/golden/make_pth.py.
TINY_MODEL = ["model.image_size=[64,64]", "model.in_channels=1", "model.embed_dim=4", "model.num_heads=[1,1,2,2]"]
TINY = [*TINY_MODEL, "train.batch_size=4", "train.epochs=2", "train.precision=fp32", "train.log_every=1", "optim.warmup_epochs=0", "optim.lr=1e-3",
        "run.threads=1", "data.workers=2"]
SHALLOW = "model.depths=[1,1,1,1]"  # half the time of a step, for tests that make many of them
LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@functools.cache
def tiny_pth():
    """A folder with the files of tests/golden/make_pth.py, of the model that TINY trains."""
    sys.path.insert(0, str(GOLDEN))
    from make_pth import TINY as options
    from make_pth import make
    folder = Path(tempfile.mkdtemp(prefix="vmae-pth-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make(folder, options)
    return folder


def environment(**extra):
    """Ours, without what a launcher or a cluster left in it."""
    kept = {k: v for k, v in os.environ.items() if k not in LAUNCHERS and not k.startswith(("SLURM_", "OMPI_", "VMAE_TEST_"))}
    kept["OMP_WAIT_POLICY"] = "passive"  # threads that spin starve each other on a busy machine
    return {**kept, **{k: str(v) for k, v in extra.items()}}


class VmaeTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.tmp = Path(tempfile.mkdtemp(prefix="vmae-e2e-"))
        self.addCleanup(shutil.rmtree, self.tmp, ignore_errors=True)

    def vmae(self, *arguments, expect=0, cwd=None, env=None, timeout=180, **popen):
        """Runs vmae to its end and checks its exit code. The result's .stdout and .stderr are text."""
        command = [str(VMAE), *map(os.fspath, arguments)]
        done = subprocess.run(command, cwd=cwd or self.tmp, env=env or environment(), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **popen)
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if done.returncode != expect:
            self.fail(f"exit code {done.returncode}, expected {expect}: {' '.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
        self.assertNotIn("internal error", done.stderr)
        return done

    def start(self, *arguments, cwd=None, env=None):
        """Starts vmae in the background; it is killed when the test ends. Standard error goes to the file .log."""
        log = tempfile.NamedTemporaryFile(dir=self.tmp, prefix="stderr-", delete=False)
        process = subprocess.Popen([str(VMAE), *map(os.fspath, arguments)], cwd=cwd or self.tmp, env=env or environment(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=log)
        log.close()
        process.log = Path(log.name)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
            process.wait()

    def wait_exit(self, process, expect, timeout=180):
        code = process.wait(timeout)
        self.assertEqual(code, expect, process.log.read_text(errors="replace")[-3000:])

    def wait_for(self, condition, process, what, timeout=120, every=0.005):
        """Polls, `every` so many seconds, until condition() is true. True: it is; False: the process ended first."""
        deadline = time.monotonic() + timeout
        while not condition():
            if process.poll() is not None:
                return bool(condition())
            self.assertLess(time.monotonic(), deadline, f"waited {timeout} s for {what}")
            time.sleep(every)
        return True

    # Comparisons

    def assert_same_checkpoint(self, first, second, ignore_config=False, ignore_run=False):
        """Every tensor bit for bit, the position and every other word of the metadata; wall time and checksum apart."""
        (a, a_meta), (b, b_meta) = read_safetensors(first), read_safetensors(second)
        self.assertEqual(list(a), list(b), "keys, in order")
        self.assertGreater(len(a), 50)
        different = [key for key in a if a[key] != b[key]]
        self.assertEqual(different, [], f"{len(different)} of {len(a)} tensors differ between {first} and {second}")
        for meta in (a_meta, b_meta):
            meta.pop("checksum", None)
            if ignore_config:
                meta.pop("config", None)
            if ignore_run:
                meta.pop("run", None)
            if "state" in meta:
                meta["state"] = {k: v for k, v in json.loads(meta["state"]).items() if k != "trained_s"}
        self.assertEqual(a_meta, b_meta)

    def assert_same_metrics(self, first, second):
        """metrics.jsonl line by line, except for wall-clock fields."""
        a, b = metrics(first), metrics(second)
        for line in a + b:
            for key in WALL_CLOCK:
                line.pop(key, None)
        self.assertGreater(len(a), 0)
        self.assertEqual(a, b)

    def assert_same_run(self, first, second, ignore_config=False):
        """Two run folders: checkpoints, metrics, panels, splits, quarantined files."""
        for name in ("last.safetensors", "best.safetensors"):
            self.assert_same_checkpoint(first / "checkpoints" / name, second / "checkpoints" / name, ignore_config)
        self.assertIn("optimizer.exp_avg.mask_token", read_safetensors(second / "checkpoints/last.safetensors")[0])
        self.assert_same_metrics(first, second)
        for name in ("splits.json", "quarantine.jsonl"):
            self.assertEqual((first / name).exists(), (second / name).exists(), name)
            if (first / name).exists():
                self.assertEqual((first / name).read_text(), (second / name).read_text(), name)
        panels = sorted(p.name for p in (first / "samples").iterdir())
        self.assertEqual(panels, sorted(p.name for p in (second / "samples").iterdir()))
        for name in panels:
            self.assertEqual((first / "samples" / name).read_bytes(), (second / "samples" / name).read_bytes(), name)

    def assert_no_leftovers(self, run):
        left = [str(p.relative_to(run)) for p in run.rglob("*") if p.name.endswith(".tmp")]
        self.assertEqual(left, [], "temporary files left behind")


# Reading what a run wrote


def metrics(run, kind=None):
    """The complete lines of metrics.jsonl."""
    try:
        text = (Path(run) / "metrics.jsonl").read_text()
    except FileNotFoundError:
        return []
    lines = [json.loads(line) for line in text.split("\n")[:-1]]
    return [line for line in lines if kind in (None, line["kind"])]


def last_step(run):
    """Of the last complete lines of metrics.jsonl: tests that wait ask every few milliseconds, and a file's steps only rise."""
    tail_bytes = 4096
    try:
        with (Path(run) / "metrics.jsonl").open("rb") as file:
            begin = max(0, os.fstat(file.fileno()).st_size - tail_bytes)
            file.seek(begin)
            lines = file.read().split(b"\n")[1 if begin else 0:-1]
            if begin and not lines:  # a long line
                return max((line["step"] for line in metrics(run)), default=0)
    except FileNotFoundError:
        return 0
    return max((json.loads(line)["step"] for line in lines), default=0)


def checkpoint_step(run):
    """Of the last checkpoint; None without one."""
    try:
        return json.loads(read_safetensors(Path(run) / "checkpoints/last.safetensors")[1]["state"])["step"]
    except FileNotFoundError:
        return None


def read_safetensors(path):
    """-> {key: (dtype, shape, bytes)} in the order of the file, metadata."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = entry["data_offsets"]
        assert 8 + length + end <= len(data), f"{path} is cut off in {key}"
        tensors[key] = (entry["dtype"], tuple(entry["shape"]), data[8 + length + begin:8 + length + end])
    return tensors, metadata


DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_, "F16": np.float16}


def read_arrays(path):
    return {key: np.frombuffer(data, DTYPES[dtype]).reshape(shape) for key, (dtype, shape, data) in read_safetensors(path)[0].items()}


def write_safetensors(path, arrays, metadata=None):
    names = {np.dtype(v): k for k, v in DTYPES.items()}
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for key, array in arrays.items():
        array = np.ascontiguousarray(array)
        header[key] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def weights_of(path):
    """The model's tensors of a checkpoint, as arrays."""
    return {k: v for k, v in read_arrays(path).items() if not k.startswith((OPTIMIZER, STATE))}


# Made-up images


def picture(index, height=64, width=64, channels=1, noise=6.0):
    """Waves and an ellipse, different for each index; (height, width) or (height, width, 3), 0 to 255."""
    random = np.random.default_rng(1000 + index)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    layers = []
    for _ in range(channels):
        fx, fy, phase = random.uniform(0.05, 0.25, 3) * (1, 1, 20)
        image = 110 + 60 * np.sin(fx * x + phase) * np.cos(fy * y)
        cy, cx, ry, rx = random.uniform(0.25, 0.75, 4) * (height, width, height / 2, width / 2)
        image[((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1] += 60
        layers.append(image + random.normal(0, noise, image.shape))
    image = np.stack(layers, -1).clip(0, 255)
    return image[..., 0] if channels == 1 else image


def make_pictures(folder, count, first=0, height=64, width=64, channels=1, noise=6.0, prefix="case"):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        Image.fromarray(picture(i, height, width, channels, noise).astype(np.uint8)).save(folder / f"{prefix}{i:03d}.png")
    return folder


def nifti_bytes(volume, spacing=(1.0, 1.0, 3.0)):
    """A single-file NIfTI-1 (float32) of `volume` (x, y, z)."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 16, 32)  # float32
    struct.pack_into("<8f", header, 76, 1.0, *spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", header, 108, 352.0, 1.0, 0.0)  # vox_offset, slope, intercept
    header[123] = 2  # millimetres
    struct.pack_into("<2h", header, 252, 0, 1)
    for row in range(3):
        affine = [0.0] * 4
        affine[row] = spacing[row]
        struct.pack_into("<4f", header, 280 + 16 * row, *affine)
    header[344:348] = b"n+1\0"
    return bytes(header) + np.asfortranarray(volume, np.float32).tobytes(order="F")


# The test point: a shared library that stops vmae at one exact call (tests/e2e/test_point.c)

_test_point = None


def point_library():
    """Compiles it once for all tests; None where there is no C compiler."""
    global _test_point
    compiler = shutil.which("cc") or shutil.which("gcc")
    if _test_point is None and compiler:
        folder = tempfile.mkdtemp(prefix="vmae-e2e-point-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _test_point = Path(folder) / "test_point.so"
        subprocess.run([compiler, "-O1", "-Wall", "-shared", "-fPIC", "-o", _test_point, SOURCE / "tests/e2e/test_point.c", "-ldl"], check=True)
    return _test_point


def at_point(call, path_part, count, what, log=None):
    """Environment in which vmae gets signal `what` at the count-th `call` (write, pwrite, fsync, rename, link) on a path with path_part in it:
    just before the call, or with "+" before the call's name just after it, or with "/" after half of it was written."""
    extra = {"LD_PRELOAD": point_library(), "ASAN_OPTIONS": "verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""),
             "VMAE_TEST_POINT": f"{call}:{path_part}:{count}:{int(what)}"}
    if log:
        extra["VMAE_TEST_LOG"] = log
    return environment(**extra)


SIGKILL, SIGTERM, SIGUSR1, SIGUSR2, SIGINT = signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT
