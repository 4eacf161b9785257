#!/usr/bin/env python3
"""What nnU-Net's preprocessor makes of small arrays, as an oracle for src/nnunet/preprocess.cpp. Writes nnunet_preprocess.json beside itself.

Needs nnunetv2 2.8.1 and batchgenerators 0.25.1 to 0.25.3: later ones give each pixel the label that has most of it. A case: plans as vmae reads them, an image (channels of whole numbers, z y x), its labels, and what comes out."""
import copy
import json
import os
from importlib.metadata import version
from pathlib import Path

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault("nnUNet_" + name, "/nowhere")

import numpy as np  # noqa: E402
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor  # noqa: E402
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: E402

HERE = Path(__file__).resolve().parent
PLANS = json.loads((HERE / "nnunet_datasets.json").read_text())["two_channels"]["plans"]


def image_and_labels(random, shape, channels, is_cut, levels):
    grid = np.meshgrid(*[np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape], indexing="ij")
    wave = sum(np.sin(3 * g + k) for k, g in enumerate(grid))
    image = np.stack([(60 * wave + random.normal(100, 15, shape) + 20 * c).clip(1, 255).astype(int) for c in range(channels)])
    radius = np.sqrt(sum((g - 0.1) ** 2 for g in grid))
    labels = sum((radius < 0.8 * (k + 1) / levels).astype(int) for k in range(levels))
    if is_cut:  # zero around the middle, a hole within, and a hole that is open to the outside
        outside = np.ones(shape, bool)
        outside[tuple(slice(1 if n > 4 else 0, n - 2 if n > 4 else n) for n in shape)] = False
        outside[tuple(n // 2 for n in shape)] = True
        outside[:, shape[1] // 2, :3] = True
        image[:, outside] = 0
        image[0, tuple(slice(2, 4) for _ in shape)[0]] = 0
    return image, labels


def case(number, shape, spacing, target, schemes, forward=(0, 1, 2), is_cut=False, use_mask=False, levels=2):
    random = np.random.default_rng([181, number])
    image, labels = image_and_labels(random, shape, len(schemes), is_cut, levels)
    statistics = {"max": 255.0, "mean": 101.5, "median": 100.0, "min": 1.0, "percentile_00_5": 31.25, "percentile_99_5": 190.5, "std": 43.75}
    plans = copy.deepcopy(PLANS)
    plans.update(transpose_forward=list(forward), transpose_backward=[int(i) for i in np.argsort(forward)],
                 foreground_intensity_properties_per_channel={str(i): statistics for i, _ in enumerate(schemes)})
    plans["configurations"]["2d"].update(spacing=list(target), normalization_schemes=[s + "Normalization" for s in schemes], use_mask_for_norm=[use_mask] * len(schemes))
    names = {"background": 0, **{f"part{k}": k for k in range(1, levels + 1)}}
    data, seg, properties = DefaultPreprocessor(verbose=False).run_case_npy(
        image.astype(np.float32), labels[None].astype(np.float32), {"spacing": list(spacing)}, PlansManager(copy.deepcopy(plans)),
        PlansManager(copy.deepcopy(plans)).get_configuration("2d"), {"labels": names})
    return {"spacing": spacing, "target": target, "schemes": plans["configurations"]["2d"]["normalization_schemes"], "use_mask": use_mask, "forward": forward,
            "shape": shape, "image": image.reshape(len(schemes), -1).tolist(), "labels": labels.ravel().tolist(), "box": np.array(properties["bbox_used_for_cropping"]).tolist(),
            "out_shape": data.shape[1:], "out": [[float(f"{v:.7g}") for v in channel.ravel()] for channel in data], "out_labels": seg.ravel().tolist()}


def main():
    assert version("nnunetv2") == "2.8.1" and version("batchgenerators") in ("0.25.1", "0.25.2", "0.25.3")
    cases = [
        case(0, (3, 9, 11), (3, 1, 1), (1, 1), ["ZScore"]),
        case(1, (3, 9, 11), (3, 1, 1), (0.7, 0.8), ["ZScore", "CT"]),
        case(2, (4, 10, 9), (2, 0.5, 0.6), (0.9, 1.3), ["CT", "No"], levels=3),
        case(3, (5, 12, 10), (1, 1, 1), (0.8, 1.1), ["ZScore", "ZScore"], is_cut=True, use_mask=True),
        case(4, (5, 12, 10), (1, 1, 1), (0.8, 1.1), ["ZScore", "RescaleTo01"], is_cut=True),
        case(5, (3, 8, 10), (8, 1, 1), (0.6, 1.7), ["RescaleTo01"]),  # a coarse axis, across the slices
        case(6, (6, 7, 10), (1, 5, 1.2), (2.5, 0.9), ["ZScore"], levels=3),  # a coarse axis within the slices
        case(7, (6, 10, 5), (1, 1.2, 6), (0.9, 7.5), ["CT"]),  # likewise the other
        case(8, (9, 10, 4), (0.8, 0.9, 4), (1.1, 0.6), ["ZScore"], forward=(2, 0, 1), is_cut=True),
        case(9, (9, 3, 8), (0.8, 2.5, 1), (1.6, 2), ["No"], forward=(1, 0, 2)),  # halves: labels at 0.5
        case(10, (1, 14, 13), (999, 1, 1), (0.8, 1.5), ["RGBTo01"] * 3, is_cut=True),
    ]
    text = json.dumps(cases, separators=(",", ":")).replace('{"spacing"', '\n{"spacing"')
    (HERE / "nnunet_preprocess.json").write_text(text + "\n")
    print(len(text), "bytes")


if __name__ == "__main__":
    main()
