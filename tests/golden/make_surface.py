#!/usr/bin/env python3
"""Dice, HD95 and ASSD of MedPy, as an oracle for src/metrics. Writes surface_expected.json beside itself.

Masks are stored as the lengths of their runs, background first, x fastest. MedPy takes everything outside of an array for background; of one slice it
gets a 2D array, as in 3D each voxel of a slice would be surface. The real case is a label map of tests/data/hippocampus against itself, shifted."""
import gzip
import json
import struct
from pathlib import Path

import medpy.metric.binary as medpy
import numpy as np
from scipy import ndimage

HERE = Path(__file__).resolve().parent
REAL = HERE.parent / "data" / "hippocampus" / "labels"


def runs_of(mask):
    flat = mask.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return runs if flat[0] == 0 else [0] + runs


def scores_of(a, b, spacing):
    """Arrays in the order (z, y, x), spacing in the order x, y, z."""
    steps = spacing[::-1]
    if a.shape[0] == 1:
        a, b, steps = a[0], b[0], steps[1:]
    return {"dice": float(medpy.dc(a, b)), "hd95": float(medpy.hd95(a, b, voxelspacing=steps)), "assd": float(medpy.assd(a, b, voxelspacing=steps))}


def blob(random, shape, noise):
    """An ellipsoid that may reach over the border, with a rough surface."""
    grid = np.meshgrid(*[np.arange(s) for s in shape], indexing="ij")
    radius2 = sum(((g - random.uniform(0.1, 0.9) * s) / (random.uniform(0.2, 0.5) * s + 0.6)) ** 2 for g, s in zip(grid, shape))
    return radius2 + noise * ndimage.gaussian_filter(random.standard_normal(shape), 1) < 1


def made_up(random, is_flat):
    while True:
        shape = (1 if is_flat else int(random.integers(5, 16)), int(random.integers(8, 22)), int(random.integers(8, 22)))
        a, b = (blob(random, shape, random.choice([0, 0.5, 2])) for _ in range(2))
        if a.any() and b.any():
            break
    spacing = [round(float(s), 3) for s in random.uniform([0.4, 0.4, 0.8], [1.5, 1.5, 5])]
    return {"size": list(shape[::-1]), "spacing": spacing, "a": runs_of(a), "b": runs_of(b), **scores_of(a, b, spacing)}


def real(name, shift):
    raw = gzip.open(REAL / name).read()
    size, offset = struct.unpack_from("<8h", raw, 40)[1:4], int(struct.unpack_from("<f", raw, 108)[0])
    assert struct.unpack_from("<h", raw, 70)[0] == 2
    truth = np.frombuffer(raw, np.uint8, int(np.prod(size)), offset).reshape(size[::-1])
    spacing = [0.7, 0.9, 2.5]
    classes = [scores_of(np.roll(truth == label, shift[::-1], (0, 1, 2)), truth == label, spacing) for label in (1, 2)]
    return {"file": name, "shift": shift, "spacing": spacing, "classes": classes}


def main():
    random = np.random.default_rng(0)
    result = {"cases": [made_up(random, i % 3 == 2) for i in range(30)], "real": real("hippocampus_052.nii.gz", [2, -1, 1])}
    text = json.dumps(result, separators=(",", ":")).replace('{"size"', '\n{"size"').replace('"real"', '\n"real"')
    (HERE / "surface_expected.json").write_text(text + "\n")
    print(len(text), "bytes")


if __name__ == "__main__":
    main()
