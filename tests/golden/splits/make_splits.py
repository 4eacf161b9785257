#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `vmae split` is to write for cases.csv, by a second implementation of the algorithm described in src/splits/splits.cpp.

usage: make_splits.py    (writes cases.csv and the *.json beside it)
"""
import csv
import json
import zlib  # only to make the cases
from pathlib import Path

HERE = Path(__file__).resolve().parent
MASK = 2**64 - 1
SPLIT_STREAM, FOLDS, TEST, VAL, FRACTION = 6, 0, 1, 2, 3


def mix64(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def derive(first, *rest):
    seed = mix64(first)
    for value in rest:
        seed = mix64(seed ^ value)
    return seed


def below(key, n):
    return (mix64(key) * n) >> 64


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def line_up(cases, seed):
    labels_of = {}
    for _, patient, labels in cases:
        labels_of.setdefault(patient, set()).update(labels)
    every = sorted({label for labels in labels_of.values() for label in labels})
    by_rarity = sorted(every, key=lambda label: (sum(label in labels for labels in labels_of.values()), label))
    return sorted(labels_of, key=lambda p: (sorted(map(by_rarity.index, labels_of[p])), derive(seed, SPLIT_STREAM, fnv1a(p)), p))


def take(line, m, key):
    start = below(key, len(line))
    is_taken = [(i * m + start) % len(line) < m for i in range(len(line))]
    return [p for p, yes in zip(line, is_taken) if yes], [p for p, yes in zip(line, is_taken) if not yes]


def share(n, percent):
    return min(max((2 * n * percent + 100) // 200, 1), n - 1)


def split(cases, scheme, seed, percents=(10, 50, 80)):
    line = line_up(cases, seed)
    key = lambda purpose, fold: derive(seed, SPLIT_STREAM, purpose, fold)
    parts = []  # of each fold: train, val, test
    if scheme == "72/8/20":
        test, rest = take(line, share(len(line), 20), key(TEST, 0))
        val, train = take(rest, share(len(line), 8), key(VAL, 0))
        parts.append((train, val, test))
    else:
        start = below(key(FOLDS, 0), 5)
        for fold in range(5):
            test = [p for i, p in enumerate(line) if (i + start) % 5 == fold]
            rest = [p for p in line if p not in test]
            val, train = take(rest, share(len(rest), 10), key(VAL, fold))
            parts.append((train, val, test))

    names = lambda patients: sorted(name for name, patient, _ in cases if patient in patients)
    folds = []
    for number, (train, val, test) in enumerate(parts):
        lists = {"train": train, "val": val, "test": test}
        fractions, rest = {}, train
        for percent in sorted(percents, reverse=True):
            rest, _ = take(rest, min(max((2 * len(train) * percent + 100) // 200, 1), len(rest)), derive(key(FRACTION, number), percent))
            fractions[percent] = names(rest)
        folds.append({"counts": {part: {"cases": len(names(p)), "patients": len(p)} for part, p in lists.items()},
                      **{part: names(p) for part, p in lists.items()},
                      "fractions": {str(percent): fractions[percent] for percent in sorted(percents)}})
    every_name = sorted(name for name, _, _ in cases)
    checksum = crc32c(b"".join(name.encode() + b"\0" for name in every_name))
    return {"format": "vmae-splits", "version": 1, "scheme": scheme, "seed": seed, "by": "patient", "stratified": True,
            "cases": {"count": len(cases), "patients": len(line), "checksum": f"crc32c:{checksum:08x}"}, "folds": folds}


def make_cases():
    """36 cases of 17 patients, with none to three findings."""
    for i in range(36):
        draw = zlib.crc32(f"case {i}".encode())
        patient = f"Müller {draw % 17}"
        labels = [name for bit, name in enumerate(["effusion", "nodule", "mass"]) if draw >> (8 + bit) & 1 and (bit == 0 or draw >> (16 + bit) & 1)]
        yield f"scans/{i:02d}.nii.gz", patient, labels


def main():
    cases = list(make_cases())
    with open(HERE / "cases.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "patient", "findings"), *((n, p, "|".join(labels)) for n, p, labels in cases)])
    for scheme, seed, name in (("5fold", 7, "5fold.json"), ("72/8/20", 0, "72_8_20.json")):
        (HERE / name).write_text(json.dumps(split(cases, scheme, seed), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
