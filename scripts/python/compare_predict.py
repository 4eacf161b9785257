#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `vmae predict` and bench_predict.py (nibabel and eager PyTorch) alternately on the same volumes and prints their ratio. Used by scripts/bench.

The volumes are MR images in tests/data, the weights a full-size network drawn at random, the time that of the whole process, from its start to the last file.
"""
import argparse
import itertools
import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import nibabel
import numpy

from side_by_side import alternate, environment, print_table, write_json

ROOT = pathlib.Path(__file__).resolve().parents[2]


MODELS = {"swin-unet": "Swin-UNet", "transunet": "TransUNet"}


def write_weights(path, name, side):
    """As a finished run of `vmae finetune-seg` leaves them."""
    import torch
    from safetensors.torch import save_file
    from transunet_model import TransUNet
    from vmae_model import SwinUNet
    torch.manual_seed(0)
    options = {"image_size": [side, side], "num_classes": 3, **({"depths": [2, 2, 6, 2]} if name == "swin-unet" else {})}
    model = {"swin-unet": SwinUNet, "transunet": TransUNet}[name](**options)
    with torch.no_grad():
        for p in model.parameters():
            p += (0.2 if p.ndim == 1 else 0.02) * torch.randn(p.shape)  # masks of more than one class
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, {
        "model": name, "model_options": json.dumps(options), "class_names": json.dumps(["anterior", "posterior"]), "task": "segmentation",
        "is_multi_label": "false", "pool": "mean", "image_options": json.dumps({"intensity": "percentile", "resize": "stretch", "slice_axis": "z", "minmax": False}),
    })


def write_volumes(folder, count):
    folder.mkdir()
    originals = sorted((ROOT / "tests/data/hippocampus/images").glob("*.nii.gz"))
    for i, path in zip(range(count), itertools.cycle(originals)):
        shutil.copyfile(path, folder / f"case_{i:03d}.nii.gz")
    return sum(nibabel.load(path).shape[2] for path in folder.iterdir())


def run(command, output, volumes, variables=None):
    """The whole process: wall time, and its own peak memory."""
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in [*command, "--output", output]], stdout=subprocess.DEVNULL, env=variables or environment())
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    written = len(list(output.glob("*.nii.gz")))
    if written != volumes:
        raise RuntimeError(f"{command[0]} wrote {written} masks of {volumes} volumes")
    return {"volumes_per_s": volumes / wall_s, "wall_s": wall_s, "peak_rss_mb": usage.ru_maxrss / 1024}


def same_voxels(first, second):
    """The share of voxels that two folders of masks agree on, and the share that is not background in the first."""
    same = foreground = voxels = 0
    for path in sorted(first.glob("*.nii.gz")):
        a, b = (numpy.asarray(nibabel.load(folder / path.name).dataobj) for folder in (first, second))
        same, foreground, voxels = same + (a == b).sum(), foreground + (a > 0).sum(), voxels + a.size
    return float(same / voxels), float(foreground / voxels)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--model", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--volumes", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    args = parser.parse_args()
    threads = len(os.sched_getaffinity(0))

    with tempfile.TemporaryDirectory(prefix="vmae-bench-") as name:
        folder = pathlib.Path(name)
        slices = write_volumes(folder / "volumes", args.volumes)
        outputs, results = (folder / "vmae", folder / "python"), {}
        for model in args.model:
            weights = folder / f"{model}.safetensors"
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process's peak memory begins at that of the one that starts it: ours stays small
                pool.apply(write_weights, (weights, model, args.image_size))
            common = ["--weights", weights, "--input", folder / "volumes", "--batch", args.batch, "--threads", threads]
            ours = [args.vmae, "predict", "--device", "cpu", *common]
            python = [sys.executable, pathlib.Path(__file__).with_name("bench_predict.py"), *common]
            for precision in args.precision:
                which = ["--precision", precision]
                row = results[f"{MODELS[model]}, {precision}"] = alternate(lambda: run([*ours, *which], outputs[0], args.volumes),
                                                                           lambda: run([*python, *which], outputs[1], args.volumes), args.rounds, "volumes_per_s")
                row["same_voxels"], row["foreground"] = same_voxels(*outputs)

    print(f"masks of {args.volumes} volumes ({slices} slices), full-size networks, {args.image_size} x {args.image_size}, batches of {args.batch}, {threads} threads, "
          f"whole process, median of {args.rounds} rounds")
    print_table(results, "model, precision", "volumes_per_s", "volumes/s", digits=3)
    for row, r in results.items():
        print(f"{row}: {r['same_voxels']:.1%} of the voxels are the same in both ({r['foreground']:.1%} are not background)")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
