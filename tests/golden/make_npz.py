#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/npz: small .npz files as NumPy writes them, and learned positions resized by scipy as TransUNet's authors do.

arrays.npz, compressed.npz: the same arrays; objects.npz: one of them holds Python objects, columns.npz: one is stored column by column.
usage: make_npz.py      Python with numpy and scipy
"""
from pathlib import Path

import numpy as np
from scipy.ndimage import zoom

HERE = Path(__file__).resolve().parent / "npz"


def main():
    HERE.mkdir(exist_ok=True)
    grid = np.sin(np.arange(4 * 4 * 3, dtype=np.float32)).reshape(4, 4, 3)
    arrays = {"Transformer/encoder_norm/scale": np.arange(6, dtype=np.float32).reshape(2, 3) / 7, "half": np.float16([0.5, -2]), "double": np.float64(3.25),
              "whole": np.arange(5), "bytes": np.uint8([[0, 255]]), "flags": np.array([True, False]), "empty": np.zeros((0, 3), np.float32),
              "positions": grid.reshape(1, 16, 3)}
    for rows, columns in ((7, 3), (2, 9)):
        arrays[f"positions_{rows}x{columns}"] = zoom(grid, (rows / 4, columns / 4, 1), order=1).reshape(1, rows * columns, 3)
    np.savez(HERE / "arrays.npz", **arrays)
    np.savez_compressed(HERE / "compressed.npz", **arrays)
    np.savez(HERE / "objects.npz", a=np.ones(2, np.float32), b=np.array([{"x": 1}], dtype=object))
    np.savez(HERE / "columns.npz", a=np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)))


if __name__ == "__main__":
    main()
