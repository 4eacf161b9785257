#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `vmae bench --loader` and bench_loader.py (torchvision's ImageFolder + DataLoader) alternately on the same images and prints their ratio. Used by scripts/bench.

The images are slices of the MR volumes in tests/data, enlarged to 224 x 224 with noise added so that they compress no better than real ones, as 8-bit grey PNG, with
their masks. `vmae prepare` makes the prepared dataset from the same PNG files.
"""
import argparse
import gzip
import itertools
import json
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDE = 224
NEEDED_IMAGES_PER_S = 12000  # of one machine with 8 GPUs


def read_nifti(path):
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    dtype = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 512: "<u2"}[struct.unpack_from("<h", data, 70)[0]]
    offset = int(struct.unpack_from("<f", data, 108)[0])
    return numpy.frombuffer(data, dtype, int(numpy.prod(shape)), offset).reshape(shape, order="F").astype(numpy.float64)


def write_images(folder, count):
    """folder/{images,masks}/mr/NAME.png and folder/images.csv."""
    noise, rows = numpy.random.default_rng(0), ["image,mask"]
    for kind in ("images", "masks"):
        (folder / kind / "mr").mkdir(parents=True)
    volumes = sorted((ROOT / "tests/data/hippocampus/images").glob("*.nii.gz"))
    for path in itertools.cycle(volumes):
        image, mask = read_nifti(path), read_nifti(path.parents[1] / "labels" / path.name)
        top = numpy.percentile(image, 99.5)
        for z in range(image.shape[2]):
            if len(rows) > count:
                (folder / "images.csv").write_text("\n".join(rows) + "\n")
                return
            grey = numpy.clip(image[:, :, z].T / top * 240, 0, 255).astype(numpy.uint8)
            large = numpy.asarray(Image.fromarray(grey).resize((SIDE, SIDE), Image.BICUBIC), numpy.float64) + noise.normal(0, 4, (SIDE, SIDE))
            name = f"mr/{len(rows):06d}.png"
            Image.fromarray(numpy.clip(large, 0, 255).astype(numpy.uint8)).save(folder / "images" / name)
            Image.fromarray(mask[:, :, z].T.astype(numpy.uint8)).resize((SIDE, SIDE), Image.NEAREST).save(folder / "masks" / name)
            rows.append(f"images/{name},masks/{name}")


def measure(command):
    output = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def compare(args, folder, prepared, task):
    common = ["--task", task, "--workers", args.workers, "--batch", args.batch, "--seconds", args.seconds]
    python = [sys.executable, pathlib.Path(__file__).with_name("bench_loader.py"), "--folder", folder, *common]
    backends = ["pil", "tensor"] if task == "segment" else ["pil"]
    backend = max(backends, key=lambda name: measure([*python, "--backend", name])["images_per_cpu_s"])  # against the faster one
    rounds = []
    for _ in range(args.rounds):
        rounds.append({"vmae": measure([args.vmae, "bench", "--loader", prepared, *common]), "python": measure([*python, "--backend", backend])})
    ratio = {key: [r["vmae"][key] / r["python"][key] for r in rounds] for key in ("images_per_s", "images_per_cpu_s", "peak_rss_mb")}
    return {"backend": backend, "rounds": rounds, "ratios": ratio, "ratio": {key: statistics.median(values) for key, values in ratio.items()}}


def median(result, side, key):
    return statistics.median(r[side][key] for r in result["rounds"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="vmae-bench-") as name:
        folder = pathlib.Path(name)
        write_images(folder, args.images)
        prepared = folder / "prepared"
        subprocess.run([args.vmae, "prepare", "--input", str(folder / "images.csv"), "--output", str(prepared)], check=True, stdout=subprocess.DEVNULL)
        results = {task: compare(args, folder, prepared, task) for task in ("pretrain", "segment")}
        bench = [args.vmae, "bench", "--loader", prepared, "--workers", args.workers, "--seconds", args.seconds, "--batch", args.batch, "--items"]
        memory = {items: measure([*bench, items]) for items in (1000, 100000)}

    print(f"loader, {args.images} grey images of {SIDE} x {SIDE}, batch {args.batch}, {args.workers} workers each, median of {args.rounds} rounds of {args.seconds:g} s")
    print(f"{'':28} {'vmae':>18} {'torchvision':>18} {'ratio (min-max)':>22}")
    titles = {"pretrain": "flip + normalise", "segment": "segmentation augmentations"}
    for task, result in results.items():
        for key, unit in (("images_per_s", "images/s"), ("images_per_cpu_s", "images/s per core"), ("peak_rss_mb", "peak MB")):
            spread = f"{result['ratio'][key]:.2f} ({min(result['ratios'][key]):.2f}-{max(result['ratios'][key]):.2f})"
            label = titles[task] if key == "images_per_s" else ""
            print(f"{label:28} {median(result, 'vmae', key):10.0f} {unit:17} {median(result, 'python', key):10.0f} {spread:>22}")
    cores = {task: NEEDED_IMAGES_PER_S / median(result, "vmae", "images_per_cpu_s") for task, result in results.items()}
    print(f"memory of our own (without the mapped dataset): {memory[1000]['anonymous_mb']:.0f} MB at 1,000 items, {memory[100000]['anonymous_mb']:.0f} MB at 100,000 items")
    print(f"cores for {NEEDED_IMAGES_PER_S} images/s (8 GPUs): {cores['pretrain']:.1f} for flip + normalise, {cores['segment']:.1f} with the segmentation augmentations")
    args.json.write_text(json.dumps({"tasks": results, "memory": memory, "cores_for_12000_images_per_s": cores}, indent=1) + "\n")
    print(f"written to {args.json}")


if __name__ == "__main__":
    main()
