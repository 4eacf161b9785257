#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `vmae bench --model ...` and bench_finetune.py (plain eager PyTorch) alternately and prints their ratio. Used by scripts/bench."""
import argparse
import os
import pathlib
import sys

from side_by_side import alternate, measure, print_table, write_json

MODELS = {"swin-unet": "Swin-UNet", "transunet": "TransUNet", "nnunet": "nnU-Net", "swin-classifier": "classifier"}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--model", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    args = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    shape = ["--batch", args.batch, "--image-size", args.image_size, "--steps", args.steps, "--warmup", 2, "--threads", threads]
    ours = [args.vmae, "bench", "--device", "cpu", *shape]
    python = [sys.executable, pathlib.Path(__file__).with_name("bench_finetune.py"), "--json", *shape]
    results = {}
    for model in args.model:
        for precision in args.precision:
            which = ["--model", model, "--precision", precision]
            results[f"{MODELS[model]}, {precision}"] = alternate(lambda: measure([*ours, *which]), lambda: measure([*python, *which]), args.rounds)
    print(f"one fine-tuning step (Swin-UNet, TransUNet, nnU-Net: 9 classes, Dice + cross-entropy; classifier: 5 classes, cross-entropy), "
          f"{args.image_size} x {args.image_size}, batch {args.batch}, {threads} threads, median of {args.rounds} rounds")
    print_table(results, "model, precision")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
