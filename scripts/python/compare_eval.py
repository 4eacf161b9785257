#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the calculations of `vmae eval` and those of bench_eval.py (scikit-learn, numpy, MedPy) alternately on the same cases and prints their ratio. Used by
scripts/bench.

Both sides have one thread; bootstraps once more with all cores. Python draws only some resamples, and its time is scaled. The last rows are the whole of
`vmae eval` (a CSV of scores read, AUROC with BCa and DeLong's intervals, AUPRC, seven more metrics, report), against scikit-learn's loop for the AUROC alone.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from bench_eval import make_finding
from side_by_side import alternate, environment, measure, write_json


def write_tables(folder, cases):
    labels, scores, _ = make_finding(0, cases)
    (folder / "truth.csv").write_text("case,label\n" + "".join(f"case_{i},{label}\n" for i, label in enumerate(labels)))
    (folder / "scores.csv").write_text("case,score\n" + "".join(f"case_{i},{float(score)!r}\n" for i, score in enumerate(scores)))


def evaluate(vmae, folder, resamples):
    """The whole process: its wall time and peak memory, and the seconds of its statistics."""
    command = [vmae, "eval", "--pred", folder / "scores.csv", "--truth", folder / "truth.csv", "--output", folder / "report", "--overwrite", "--threads", 1,
               "--resamples", resamples]
    start = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    timing = json.loads((folder / "report/summary.json").read_text())["timing"]
    return {"seconds": wall_s, "statistics_s": timing["statistics_s"], "peak_rss_mb": usage.ru_maxrss / 1024}


def with_speed(result, key="seconds"):
    return {**result, "seconds": result[key], "per_s": 1 / result[key]}


def print_table(results):
    width = max(map(len, results)) + 2
    print(f"{'calculation':{width}} {'vmae s':>9} {'Python s':>10} {'ratio (min-max)':>22} {'vmae MB':>9} {'Python MB':>10}")
    for name, r in results.items():
        median = {side: {key: statistics.median(x[side][key] for x in r["rounds"]) for key in ("seconds", "peak_rss_mb")} for side in ("vmae", "python")}
        spread = f"{r['speed_ratio']:.1f} ({min(r['speed_ratios']):.1f}-{max(r['speed_ratios']):.1f})"
        print(f"{name:{width}} {median['vmae']['seconds']:9.3f} {median['python']['seconds']:10.3f} {spread:>22} {median['vmae']['peak_rss_mb']:9.0f} "
              f"{median['python']['peak_rss_mb']:10.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--cases", type=int, default=100000, help="of one task")
    parser.add_argument("--findings", type=int, default=14)
    parser.add_argument("--finding-cases", type=int, default=22000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=20, help="resamples that Python draws")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hd95-rounds", type=int, default=1, help="half a minute each")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    python = [sys.executable, pathlib.Path(__file__).with_name("bench_eval.py"), "--sample", args.sample]
    one_task = ["--cases", args.cases, "--resamples", args.resamples]
    many = ["--cases", args.finding_cases, "--findings", args.findings, "--resamples", args.resamples]
    results = {}

    def compare(name, what, options, threads, rounds):
        common = ["--eval", what, *options, "--threads", threads]
        results[name] = r = alternate(lambda: with_speed(measure([args.vmae, "bench", *common])), lambda: with_speed(measure([*python, *common])), rounds, "per_s")
        ours, theirs = (r["rounds"][0][side]["value"] for side in ("vmae", "python"))
        if abs(ours - theirs) > 1e-9 * abs(theirs):
            raise RuntimeError(f"{name}: {ours} of vmae is not {theirs} of Python")

    for threads in [1, cores] if cores > 1 else [1]:
        cpus = f"{threads} thread" + ("s" if threads > 1 else "")
        compare(f"AUROC, bootstrap, {cpus}", "auroc", one_task, threads, args.rounds)
        compare(f"{args.findings} findings and mean, bootstrap, {cpus}", "findings", many, threads, args.rounds)
    compare("DeLong's paired test, 1 thread", "delong", one_task[:2], 1, args.rounds)
    if args.hd95_rounds > 0:
        compare("HD95, 512 x 512 x 300, 1 thread", "hd95", [], 1, args.hd95_rounds)
    with tempfile.TemporaryDirectory(prefix="vmae-bench-") as name:
        folder = pathlib.Path(name)
        write_tables(folder, args.cases)
        ours = lambda: evaluate(args.vmae, folder, args.resamples)
        theirs = lambda: with_speed(measure([*python, "--eval", "auroc", *one_task]))
        whole = alternate(lambda: with_speed(ours()), theirs, args.rounds, "per_s")
    results["vmae eval: all statistics, 1 thread"] = {
        **whole, "rounds": [{**r, "vmae": with_speed(r["vmae"], "statistics_s")} for r in whole["rounds"]],
        **ratios(whole["rounds"], lambda r: r["python"]["seconds"] / r["vmae"]["statistics_s"])}
    results["vmae eval: whole process, 1 thread"] = whole

    print(f"{args.cases} cases with one score, {args.finding_cases} with {args.findings}; {args.resamples} resamples (Python: {args.sample}, scaled; whole `vmae "
          f"eval`: against the loop for the AUROC alone), median of {args.rounds} rounds (HD95: {args.hd95_rounds}); values are the same on both sides")
    print_table(results)
    write_json(args.json, results)


def ratios(rounds, ratio):
    values = [ratio(r) for r in rounds]
    return {"speed_ratio": statistics.median(values), "speed_ratios": values}


if __name__ == "__main__":
    main()
