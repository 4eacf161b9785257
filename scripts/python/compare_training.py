#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs `vmae bench` and bench_train.py (plain eager PyTorch) alternately and prints their ratio. Used by scripts/bench."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys


def measure(command):
    # The same waiting policy for both: PyTorch's threads spin by default, vmae's sleep unless told otherwise.
    environment = {**os.environ, "OMP_WAIT_POLICY": "active"}
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    args = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    shape = ["--batch", str(args.batch), "--steps", str(args.steps), "--warmup", "2", "--threads", str(threads)]
    python = [sys.executable, str(pathlib.Path(__file__).with_name("bench_train.py")), "--json"]
    results = {}
    for precision in args.precision:
        rounds = []
        for _ in range(args.rounds):
            ours = measure([args.vmae, "bench", "--device", "cpu", "--precision", precision, *shape])
            eager = measure([*python, "--precision", precision, *shape])
            rounds.append({"vmae": ours, "python": eager})
        speed = [r["vmae"]["images_per_s"] / r["python"]["images_per_s"] for r in rounds]
        memory = [r["vmae"]["peak_rss_mb"] / r["python"]["peak_rss_mb"] for r in rounds]
        results[precision] = {"speed_ratio": statistics.median(speed), "speed_ratios": speed, "memory_ratio": statistics.median(memory), "rounds": rounds}

    print(f"one training step, full-size MAE, 224 x 224, batch {args.batch}, {threads} threads, median of {args.rounds} rounds")
    print(f"{'precision':10} {'vmae images/s':>14} {'Python images/s':>16} {'ratio (min-max)':>20} {'vmae MB':>9} {'Python MB':>10} {'ratio':>6}")
    for precision, r in results.items():
        median = {side: {key: statistics.median(x[side][key] for x in r["rounds"]) for key in ("images_per_s", "peak_rss_mb")} for side in ("vmae", "python")}
        spread = f"{r['speed_ratio']:.2f} ({min(r['speed_ratios']):.2f}-{max(r['speed_ratios']):.2f})"
        print(f"{precision:10} {median['vmae']['images_per_s']:14.2f} {median['python']['images_per_s']:16.2f} {spread:>20} "
              f"{median['vmae']['peak_rss_mb']:9.0f} {median['python']['peak_rss_mb']:10.0f} {r['memory_ratio']:6.2f}")
    args.json.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {args.json}")


if __name__ == "__main__":
    main()
