#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the best validation metric of a run: the first number of the lines that validation writes to metrics.jsonl. usage: best_metric.py RUN [NAME]"""
import json
import pathlib
import sys


def main():
    run, name = pathlib.Path(sys.argv[1]), (sys.argv[2:] or ["Dice"])[0]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    values = [line[name] for line in lines if line["kind"] == "val" and name in line]
    if not values:
        sys.exit(f"{run}: no validation {name}")
    print(f"{min(values) if name == 'loss' else max(values):.3f}")


if __name__ == "__main__":
    main()
