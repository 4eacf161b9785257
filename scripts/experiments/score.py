# SPDX-License-Identifier: Apache-2.0
"""Dice and AUROC of what `vmae predict` wrote, from the files alone: nothing of vmae is used here."""
import csv
import gzip
import math
import struct
from pathlib import Path

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    raise SystemExit(f"experiments: {error}. scripts/setup --test makes a Python that has it: ~/.cache/vmae/torch-2.15.0/bin/python") from error

NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}


def nifti_header(path):
    """Of a NIfTI-1 file: byte order, shape, type code, offset of the voxels, slope and intercept, affine (3 x 4; None where there is none)."""
    with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
        head = file.read(348)
    order = "<" if struct.unpack("<i", head[:4])[0] == 348 else ">"
    dims = struct.unpack(order + "8h", head[40:56])
    datatype, = struct.unpack(order + "h", head[70:72])
    offset, slope, intercept = struct.unpack(order + "3f", head[108:120])
    has_qform, has_sform = struct.unpack(order + "2h", head[252:256])
    affine = None
    if has_sform > 0:
        affine = np.array(struct.unpack(order + "12f", head[280:328])).reshape(3, 4)
    elif has_qform > 0:
        affine = quaternion_affine(struct.unpack(order + "4f", head[76:92]), struct.unpack(order + "6f", head[256:280]))
    return order, dims[1 : 1 + dims[0]], datatype, int(offset), slope, intercept, affine


def quaternion_affine(pixdim, quaternion):
    """The qform of nifti1.h: unit quaternion (a from b, c, d), voxel sizes, pixdim[0] = -1 turns z round."""
    b, c, d, *shift = quaternion
    a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    rotation = np.array([[a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                         [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                         [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c]])
    sizes = np.array([pixdim[1], pixdim[2], pixdim[3] * (-1.0 if pixdim[0] < 0 else 1.0)])
    return np.column_stack([rotation * sizes, shift])


def read_nifti(path):
    """Voxels [x, y, z] and the affine."""
    order, shape, datatype, offset, slope, intercept, affine = nifti_header(path)
    with gzip.open(path) if str(path).endswith(".gz") else open(path, "rb") as file:
        raw = file.read()
    voxels = np.frombuffer(raw, order + NIFTI_TYPES[datatype], math.prod(shape), offset).reshape(shape, order="F")
    if slope not in (0.0, 1.0) or (slope and intercept):
        voxels = voxels * slope + intercept
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    return voxels, affine


def read_mask(path, num_classes):
    """Whole numbers 0 to num_classes, and the affine of a volume. In a picture of one class everything above 0 is that class."""
    if ".nii" in Path(path).name:
        mask, affine = read_nifti(path)
        mask = np.rint(mask).astype(int)
    else:
        mask, affine = np.asarray(Image.open(path)).astype(int), None
        if num_classes == 1:
            mask = (mask > 0).astype(int)
    if mask.min() < 0 or mask.max() > num_classes:
        raise ValueError(f"{path}: values {mask.min()} to {mask.max()}, but there are {num_classes} classes")
    return mask, affine


def dice_of_case(truth, predicted, num_classes):
    """Dice of each class; NaN where neither has a voxel of it."""
    scores = []
    for value in range(1, num_classes + 1):
        a, b = truth == value, predicted == value
        size = int(a.sum()) + int(b.sum())
        scores.append(2.0 * int((a & b).sum()) / size if size else math.nan)
    return scores


def stem(path):
    return Path(path).name.split(".")[0]


def segmentation(cases, folder, num_classes):
    """Rows (image, Dice of each class, mean) of `cases`, pairs of image and mask file; predictions lie anywhere below `folder`, named as the image."""
    files = {stem(file): file for file in sorted(Path(folder).rglob("*")) if file.name.endswith((".nii.gz", ".nii", ".png")) and "probabilities" not in file.parts}
    rows = []
    for image, mask_file in cases:
        if stem(image) not in files:
            raise ValueError(f"no prediction for {image} in {folder}")
        truth, truth_affine = read_mask(mask_file, num_classes)
        predicted, affine = read_mask(files[stem(image)], num_classes)
        if truth.shape != predicted.shape:
            raise ValueError(f"{image}: the prediction has shape {predicted.shape}, the mask {truth.shape}")
        if truth_affine is not None and affine is not None and not np.allclose(truth_affine, affine, atol=1e-2):
            raise ValueError(f"{image}: the prediction lies elsewhere than the mask:\n{affine}\n{truth_affine}")
        scores = dice_of_case(truth, predicted, num_classes)
        known = [score for score in scores if not math.isnan(score)]
        rows.append((image, *scores, sum(known) / len(known) if known else math.nan))
    return rows


def auroc(scores, is_positive):
    """Mann-Whitney with midranks."""
    scores, is_positive = np.asarray(scores, float), np.asarray(is_positive, bool)
    num_positive, num_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not num_positive or not num_negative:
        return math.nan
    ordered = np.sort(scores)
    midranks = (np.searchsorted(ordered, scores, "left") + 1 + np.searchsorted(ordered, scores, "right")) / 2
    return float((midranks[is_positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def classification(labels, cases_csv, classes):
    """Rows (image, label, probability of each class) of `labels`, image -> class, and the AUROC: of the second of two classes, else macro one against the rest."""
    with open(cases_csv, newline="") as file:
        table = list(csv.DictReader(file))
    columns = list(table[0])
    name_column = next(name for name in ("case", "name", "image") if name in columns)
    of_class = {name: next(column for column in columns if column == name or column.endswith(("_" + name, "/" + name, " " + name))) for name in classes}
    found = {stem(row[name_column]): row for row in table}
    missing = [image for image in labels if stem(image) not in found]
    if missing:
        raise ValueError(f"{cases_csv} lacks {len(missing)} cases, the first is {missing[0]}")
    rows = [(image, label, *(float(found[stem(image)][of_class[name]]) for name in classes)) for image, label in labels.items()]
    chosen = range(1, 2) if len(classes) == 2 else range(len(classes))
    values = [auroc([row[2 + i] for row in rows], [row[1] == classes[i] for row in rows]) for i in chosen]
    return rows, sum(values) / len(values)
