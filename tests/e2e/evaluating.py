# SPDX-License-Identifier: Apache-2.0
"""What the tests of eval and compare share: label maps in every format, reading what a report holds, and the numbers computed a second time, in Python."""
import csv
import json
import math
import re

import nibabel
import numpy as np
from scipy import ndimage

from finetuning import FinetuneTest

OVERLAPS = ("Dice", "IoU", "sensitivity", "precision", "surface_Dice")
DISTANCES = ("HD95", "HD95_max_directed", "ASD")


class EvalTest(FinetuneTest):
    def eval(self, *more, pred=(), truth=None, output="out", command="eval", **kw):
        """Runs `vmae eval`; pred and truth are paths below the test's folder."""
        pred = [pred] if isinstance(pred, str) else list(pred)
        arguments = [command, *(["--pred", *pred] if pred else []), *(["--truth", truth] if truth else []), "--output", output, "--overwrite", *more]
        return self.vmae(*arguments, **kw)

    def summary(self, output="out"):
        """Strict JSON: NaN and infinities are no numbers there."""
        def refuse(word):
            self.fail(f"{word} in summary.json")
        return json.loads((self.tmp / output / "summary.json").read_text(), parse_constant=refuse)

    def estimates(self, output="out"):
        """{(model, metric, class): estimate}."""
        found = {}
        for model in self.summary(output)["models"]:
            for one in model["estimates"]:
                key = (model["name"], one["metric"], one["class"])
                self.assertNotIn(key, found)
                found[key] = one
        return found

    def comparisons(self, output="out"):
        """{(a, b, metric, class): comparison}; its tests by their method, without what stands in brackets."""
        found = {}
        for one in self.summary(output)["comparisons"]:
            one["tests"] = {test["method"].split(" (")[0]: test for test in one["tests"]}
            found[one["a"], one["b"], one["metric"], one["class"]] = one
        return found

    def rows(self, file="cases.csv", output="out"):
        with open(self.tmp / output / file, newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream))

    def case_values(self, metric, model=None, class_name=None, output="out"):
        """Of segmentations: one number per row of cases.csv, NaN where the cell is empty."""
        return np.array([float(row[metric] or "nan") for row in self.rows(output=output)
                         if model in (None, row["model"]) and class_name in (None, row["class"])])

    def interval(self, estimate, method="percentile"):
        (one,) = [interval for interval in estimate["intervals"] if interval["method"] == method]
        return one["low"], one["high"]

    def texts(self, output="out"):
        """Everything that eval wrote for readers, without pictures in it: {file: text}."""
        return {str(file.relative_to(self.tmp / output)): re.sub(r"base64,[A-Za-z0-9+/=]*", "", file.read_text("utf-8"))
                for file in sorted((self.tmp / output).rglob("*")) if file.is_file()}

    def assert_no_nan(self, output="out"):
        texts = self.texts(output)
        self.assertIn("report.html", texts)
        for file, text in texts.items():
            found = re.search(r".{0,60}(?<![A-Za-z])[-+]?(nan|inf|infinity)(?![A-Za-z]).{0,40}", text, re.IGNORECASE)
            self.assertIsNone(found, f"{file}: {found and found.group()}")

    def assert_close(self, found, expected, tolerance=1e-9, msg=None):
        """Equal numbers; None of a file is NaN."""
        found = math.nan if found is None else float(found)
        if math.isnan(expected):
            self.assertTrue(math.isnan(found), f"{msg}: {found}, expected none")
        else:
            self.assertTrue(abs(found - expected) <= tolerance * max(1.0, abs(expected)), f"{msg}: {found}, expected {expected}")


# Label maps (x, y, z) in the formats that eval reads. origin in ITK's frame (left, posterior, superior).


def write_map(path, labels, spacing=(1, 1, 1), origin=(0, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    labels, name = np.asarray(labels, np.uint8), path.name
    voxels, text = labels.tobytes(order="F"), {"size": " ".join(map(str, labels.shape))}
    if name.endswith((".nii", ".nii.gz")):
        affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
        affine[:3, 3] = -origin[0], -origin[1], origin[2]
        nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    elif name.endswith(".nrrd"):
        vectors = " ".join("(" + ",".join(str(float(spacing[i]) if i == k else 0) for k in range(3)) + ")" for i in range(3))
        header = (f"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: {text['size']}\nspace directions: {vectors}\n"
                  f"kinds: domain domain domain\nencoding: raw\nspace origin: ({','.join(map(str, origin))})\n\n")
        path.write_bytes(header.encode() + voxels)
    elif name.endswith(".mha"):
        header = (f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
                  f"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = {' '.join(map(str, origin))}\nElementSpacing = {' '.join(map(str, spacing))}\n"
                  f"DimSize = {text['size']}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n")
        path.write_bytes(header.encode() + voxels)
    else:
        raise ValueError(name)


def perturbed(labels, seed, share=0.06, classes=2):
    """Labels whose border has moved here and there, with a few voxels far off."""
    random = np.random.default_rng(seed)
    result = np.zeros_like(labels)
    for label in range(1, classes + 1):
        mask = labels == label
        mask = ndimage.binary_dilation(mask) if random.random() < 0.5 else mask
        mask = np.roll(mask, random.integers(-1, 2, 3), (0, 1, 2))
        result[mask] = label
    flips = random.random(labels.shape) < share * ndimage.binary_dilation(labels > 0, iterations=2)
    result[flips] = random.integers(0, classes + 1, np.count_nonzero(flips))
    return result


def blob(shape, seed, classes=2):
    """Ellipsoids, one per class."""
    random = np.random.default_rng(seed)
    grid, labels = np.indices(shape), np.zeros(shape, np.uint8)
    for label in range(1, classes + 1):
        middle, radius = random.uniform(0.3, 0.7, 3) * shape, random.uniform(0.15, 0.3, 3) * shape
        labels[sum(((g - m) / r) ** 2 for g, m, r, n in zip(grid, middle, radius, shape) if n > 1) < 1] = label
    return labels


# The numbers a second time


def surface_distances(a, b, spacing):
    """From surface voxels of a to those of b and back; axes of length 1 do not count."""
    spacing = [step for step, size in zip(spacing, a.shape) if size > 1]
    a, b = np.squeeze(a), np.squeeze(b)
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    return [ndimage.distance_transform_edt(~edges[1 - i], sampling=spacing)[edges[i]] for i in range(2)]


def expected_scores(prediction, truth, label, spacing, tolerance=1.0, empty="leave-out", missing="leave-out"):
    """{metric: value} of one class of one case, NaN where it has none."""
    p, t, nan = prediction == label, truth == label, math.nan
    both, voxel_ml = np.count_nonzero(p & t), float(np.prod(spacing)) / 1000
    predicted, real = np.count_nonzero(p), np.count_nonzero(t)
    scores = {"truth_ml": real * voxel_ml, "volume_difference": (predicted - real) * voxel_ml, "true_positives": both, "false_positives": predicted - both,
              "false_negatives": real - both}
    if predicted == real == 0:
        rule = {"leave-out": nan, "one": 1.0, "zero": 0.0}[empty]
        return {**scores, **dict.fromkeys(OVERLAPS, rule), **dict.fromkeys(DISTANCES, 0.0 if empty == "one" else nan)}
    scores.update(Dice=2 * both / (predicted + real), IoU=both / (predicted + real - both), sensitivity=both / real if real else nan,
                  precision=both / predicted if predicted else nan)
    if not predicted or not real:
        diagonal = math.sqrt(sum((n * s) ** 2 for n, s in zip(p.shape, spacing) if n > 1))
        return {**scores, **dict.fromkeys(DISTANCES, diagonal if missing == "diagonal" else nan), "surface_Dice": 0.0}
    there, back = surface_distances(p, t, spacing)
    pooled = np.concatenate([there, back])
    return {**scores, "HD95": np.percentile(pooled, 95), "HD95_max_directed": max(np.percentile(there, 95), np.percentile(back, 95)), "ASD": pooled.mean(),
            "surface_Dice": np.mean(pooled <= tolerance * (1 + 1e-6))}


def holm(p_values):
    """Holm's step-down correction."""
    order, result, largest = np.argsort(p_values, kind="stable"), np.empty(len(p_values)), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        result[i] = largest
    return result


def bootstrap_interval(values, clusters=None, seed=1, level=0.95):
    """Percentile interval of the mean over cases, drawn by cluster; and the standard error of each end for 1000 resamples, from repeats of 1000."""
    random, values = np.random.default_rng(seed), np.asarray(values, float)
    clusters = np.arange(len(values)) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    sums, counts = np.bincount(clusters, values), np.bincount(clusters)
    drawn = random.integers(0, len(sums), (20 * 1000, len(sums)))
    means = (sums[drawn].sum(1) / counts[drawn].sum(1)).reshape(20, 1000)
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return ends.mean(1), ends.std(1, ddof=1)


