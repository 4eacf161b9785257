#!/usr/bin/env python3
"""Decodes NIfTI files of tests/data with gzip, struct and numpy alone, as an oracle for src/volume/volume.cpp. Writes nifti_expected.json beside itself.

Geometry is turned from NIfTI's RAS frame into LPS (x and y change sign). The files have an sform; pixdim is the spacing."""
import gzip
import json
import struct
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "hippocampus"
DTYPES = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8"}


def decode(path):
    raw = gzip.open(path).read()
    size = struct.unpack_from("<8h", raw, 40)[1:4]
    datatype, = struct.unpack_from("<h", raw, 70)
    spacing = struct.unpack_from("<8f", raw, 76)[1:4]
    offset, slope, intercept = struct.unpack_from("<3f", raw, 108)
    sform_code, = struct.unpack_from("<h", raw, 254)
    assert sform_code > 0
    affine = np.array(struct.unpack_from("<12f", raw, 280)).reshape(3, 4)
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine
    voxels = np.frombuffer(raw, DTYPES[datatype], int(np.prod(size)), int(offset)).reshape(size, order="F").astype(np.float64)
    if slope != 0:
        voxels = voxels * slope + intercept
    return size, spacing, lps[:, 3], lps[:, :3] / np.array(spacing), voxels, datatype


def main():
    names = sorted(p.name for p in (DATA / "images").glob("*.nii.gz"))
    random = np.random.default_rng(0)
    cases = []
    for path in [DATA / "images" / n for n in names[::5]] + [DATA / "labels" / n for n in names[::20]]:
        size, spacing, origin, direction, voxels, datatype = decode(path)
        places = [[0, 0, 0], [s - 1 for s in size]] + [[int(random.integers(s)) for s in size] for _ in range(6)]
        cases.append({
            "file": str(path.relative_to(DATA)), "datatype": datatype, "size": list(size), "spacing_mm": list(spacing), "origin_mm": origin.tolist(),
            "direction": direction.ravel().tolist(), "mean": voxels.mean(), "std": voxels.std(), "percentiles_0.5_99.5": np.percentile(voxels, [0.5, 99.5]).tolist(),
            "voxels": [{"at": p, "value": float(voxels[tuple(p)])} for p in places],
        })
    (HERE / "nifti_expected.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
