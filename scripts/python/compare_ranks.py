#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training of the full-size MAE over Gloo on the CPU: from 1 to 2 processes of one thread each, vmae and DistributedDataParallel alternately; the share of a step
that waits for the other rank's gradients; and how long a checkpoint holds training up, against torch.save(). Used by scripts/bench."""
import argparse
import pathlib
import statistics
import sys
import tempfile

from side_by_side import measure, write_json

HERE = pathlib.Path(__file__).parent


def measure_all(args, checkpoint):
    shape = ["--batch", args.batch, "--steps", args.steps, "--warmup", 1, "--threads", 1, "--precision", args.precision]
    vmae = [args.vmae, "bench", "--device", "cpu", *shape]
    script = [HERE / "bench_train.py", "--json", *shape]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    return {"vmae_1": measure([*vmae, "--checkpoint", checkpoint]), "python_1": measure([sys.executable, *script, "--checkpoint", f"{checkpoint}.pt"]),
            "vmae_2": measure([*vmae, "--nproc-per-node", 2]), "python_2": measure([*torchrun, *script])}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--batch", type=int, default=16, help="of all ranks together")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", default="fp32")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = [measure_all(args, pathlib.Path(folder) / "last.safetensors") for _ in range(args.rounds)]

    def median(value):
        values = [value(one) for one in rounds]
        return statistics.median(values), f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    results = {"rounds": rounds}
    print(f"full-size MAE, 224 x 224, batch {args.batch} in all, {args.precision}, one thread per process, Gloo, median of {args.rounds} rounds (min-max)")
    for name, value in {
        "vmae, 2 processes against 1, images/s": lambda r: r["vmae_2"]["images_per_s"] / r["vmae_1"]["images_per_s"],
        "Python DDP, 2 processes against 1": lambda r: r["python_2"]["images_per_s"] / r["python_1"]["images_per_s"],
        "vmae against Python DDP, 2 processes": lambda r: r["vmae_2"]["images_per_s"] / r["python_2"]["images_per_s"],
        "vmae, share of a step waiting for gradients": lambda r: r["vmae_2"]["comm_wait_share"],
        "checkpoint pause in steps (1 process)": lambda r: r["vmae_1"]["checkpoint_pause_s"] / statistics.median(r["vmae_1"]["step_s"]),
        "checkpoint pause against torch.save()": lambda r: r["vmae_1"]["checkpoint_pause_s"] / r["python_1"]["checkpoint_pause_s"],
        "checkpoint pause against vmae's own write": lambda r: r["vmae_1"]["checkpoint_pause_s"] / r["vmae_1"]["checkpoint_write_s"],
    }.items():
        results[name], text = median(value)
        print(f"  {name:46} {text}")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
