#!/usr/bin/env python3
"""Cuts tests/data/sts001 out of patient STS_001 of the IBSI validation set: four slices of each series, in shuffled file names, with their RTSTRUCT, and what they must
become: sts001_expected.json beside this script.

usage: make_sts001.py FOLDER     (holds sts001_dicom and ibsi_pet)

Values and masks of the PET are those of IBSI's NIfTI files. CT and MR values are pydicom's, their masks are filled here: a pixel is inside a contour if a ray from its
centre crosses the contour's edges an odd number of times."""
import gzip
import json
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "data" / "sts001"
NUM_SLICES = 4


def read_nifti(path):
    raw = gzip.open(path).read()
    size = struct.unpack_from("<8h", raw, 40)[1:4]
    dtype = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 512: "<u2"}[struct.unpack_from("<h", raw, 70)[0]]
    offset, slope, intercept = struct.unpack_from("<3f", raw, 108)
    voxels = np.frombuffer(raw, dtype, int(np.prod(size)), int(offset)).reshape(size, order="F").astype(np.float64)
    return voxels * slope + intercept if slope else voxels


def fill(contours, dataset):
    """Even-odd rule at pixel centres, one pixel after the other."""
    inside = np.zeros((dataset.Rows, dataset.Columns), bool)
    rows, columns = np.mgrid[: dataset.Rows, : dataset.Columns]
    origin, spacing = np.array(dataset.ImagePositionPatient, float), np.array(dataset.PixelSpacing, float)
    for contour in contours:
        points = np.array(contour.ContourData, float).reshape(-1, 3) - origin
        x, y = points[:, 0] / spacing[1], points[:, 1] / spacing[0]
        for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1)):
            if y0 == y1:
                continue
            crosses = (y0 > rows) != (y1 > rows)
            inside ^= crosses & (columns < (x1 - x0) * (rows - y0) / (y1 - y0) + x0)
    return inside


def cut_structures(structures, slices):
    """Keeps the contours and references of these slices."""
    uids = {s.SOPInstanceUID for s in slices}
    heights = [float(s.ImagePositionPatient[2]) for s in slices]
    for roi in structures.ROIContourSequence:
        roi.ContourSequence = [c for c in roi.ContourSequence if min(abs(float(c.ContourData[2]) - h) for h in heights) < 0.1]
    for frame in structures.ReferencedFrameOfReferenceSequence:
        for study in frame.RTReferencedStudySequence:
            for series in study.RTReferencedSeriesSequence:
                series.ContourImageSequence = [i for i in series.ContourImageSequence if i.ReferencedSOPInstanceUID in uids]
    for tag in [element.tag for element in structures if element.tag.is_private or element.VR == "SQ" and len(element.value) > 40]:
        del structures[tag]


def cut(name, shared):
    source, target = shared / "sts001_dicom" / name, OUT / name
    everything = sorted((pydicom.dcmread(p) for p in (source / "image").glob("*")), key=lambda d: float(d.ImagePositionPatient[2]))
    structures = pydicom.dcmread(source / "mask" / "RS.dcm")
    contours = structures.ROIContourSequence[0].ContourSequence
    of_slice = [[c for c in contours if abs(float(c.ContourData[2]) - float(d.ImagePositionPatient[2])) < 0.1] for d in everything]
    begin = next(i for i, c in enumerate(of_slice) if c) - 1  # the first without the tumour
    slices = everything[begin : begin + NUM_SLICES]
    masks = np.array([fill(c, d) for c, d in zip(of_slice[begin : begin + NUM_SLICES], slices)])
    values = np.array([d.pixel_array * float(d.get("RescaleSlope", 1)) + float(d.get("RescaleIntercept", 0)) for d in slices])
    if name == "PET":
        nifti = lambda kind: read_nifti(shared / "ibsi_pet" / kind / "STS_001.nii.gz")[:, :, begin : begin + NUM_SLICES].transpose(2, 1, 0)
        assert np.array_equal(masks, nifti("labels") > 0)
        assert np.allclose(values, nifti("images"), rtol=1e-6, atol=0)
        values = nifti("images")
    (target / "image").mkdir(parents=True, exist_ok=True)
    for number, dataset in zip([2, 0, 3, 1], slices):
        dataset.save_as(target / "image" / f"{number}.dcm")
    cut_structures(structures, slices)
    structures.save_as(target / "RS.dcm")
    random = np.random.default_rng(0)
    places = random.integers(0, values.size, 200)
    return {"name": name, "size": [values.shape[2], values.shape[1], values.shape[0]], "spacing_mm": [float(slices[0].PixelSpacing[1]), float(slices[0].PixelSpacing[0]),
            float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])], "origin_mm": [float(v) for v in slices[0].ImagePositionPatient],
            "mean": float(values.mean()), "crc32_float32": zlib.crc32(values.astype("<f4").tobytes()), "at": places.tolist(), "values": [float(v) for v in values.ravel()[places]],
            "structure": str(structures.StructureSetROISequence[0].ROIName), "mask_voxels": [int(m.sum()) for m in masks], "mask_crc32": zlib.crc32(masks.astype("u1").tobytes())}


def main():
    warnings.simplefilter("ignore")
    cases = [cut(name, Path(sys.argv[1])) for name in ("CT", "PET", "MR_T1")]
    (HERE / "sts001_expected.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
