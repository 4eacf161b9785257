# SPDX-License-Identifier: Apache-2.0
"""Running two programs alternately and printing their ratio: what the compare_*.py share."""
import json
import os
import statistics
import subprocess


def environment():
    """The same waiting policy for both: PyTorch's threads spin by default, vmae's sleep unless told otherwise."""
    return {**os.environ, "OMP_WAIT_POLICY": "active"}


def measure(command):
    """The last line that a command prints, as JSON."""
    output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=environment()).stdout
    return json.loads(output.strip().splitlines()[-1])


def alternate(ours, python, rounds, speed="images_per_s"):
    """ours() and python() one after the other, `rounds` times; each returns a dict with `speed` and peak_rss_mb."""
    results = [{"vmae": ours(), "python": python()} for _ in range(rounds)]
    speeds = [r["vmae"][speed] / r["python"][speed] for r in results]
    memory = [r["vmae"]["peak_rss_mb"] / r["python"]["peak_rss_mb"] for r in results]
    return {"speed_ratio": statistics.median(speeds), "speed_ratios": speeds, "memory_ratio": statistics.median(memory), "rounds": results}


def print_table(results, title, speed="images_per_s", unit="images/s", digits=2):
    """results: {row: what alternate() returned}."""
    width = max(len(name) for name in [title, *results]) + 2
    print(f"{title:{width}} {'vmae ' + unit:>14} {'Python ' + unit:>16} {'ratio (min-max)':>20} {'vmae MB':>9} {'Python MB':>10} {'ratio':>6}")
    for name, r in results.items():
        median = {side: {key: statistics.median(x[side][key] for x in r["rounds"]) for key in (speed, "peak_rss_mb")} for side in ("vmae", "python")}
        spread = f"{r['speed_ratio']:.2f} ({min(r['speed_ratios']):.2f}-{max(r['speed_ratios']):.2f})"
        print(f"{name:{width}} {median['vmae'][speed]:14.{digits}f} {median['python'][speed]:16.{digits}f} {spread:>20} "
              f"{median['vmae']['peak_rss_mb']:9.0f} {median['python']['peak_rss_mb']:10.0f} {r['memory_ratio']:6.2f}")


def write_json(path, results):
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written to {path}")
