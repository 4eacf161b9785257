#!/usr/bin/env python3
"""What nnU-Net's preprocessor, data loader and LabelManager say of made-up label maps, as an oracle for src/nnunet/locations.cpp, patch_sampler.cpp and labels.cpp. Writes nnunet_loader.json beside itself.

Needs nnunetv2 2.8.1. Label maps are not kept: voxel i of a slice with the table t has the label t[hash(i) % len(t)], and slices take the tables in turn (labels_of; tests/support/nnunet_cases.h does the same). 255 is what is ignored there, in nnU-Net the label behind all others."""
import hashlib
import itertools
import json
import os
import warnings
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault("nnUNet_" + name, "/nowhere")

import numpy as np  # noqa: E402
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd  # noqa: E402
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor  # noqa: E402
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader  # noqa: E402
from nnunetv2.utilities.label_handling.label_handling import LabelManager  # noqa: E402

HERE = Path(__file__).resolve().parent
IGNORED = 255
NUM_DRAWS = 20000


def hashed(count, seed=0):
    return (((np.arange(count, dtype=np.uint64) + np.uint64(seed)) * np.uint64(2654435761)) % np.uint64(2**32)) >> np.uint64(16)


def labels_of(shape, tables):
    hashes = hashed(int(np.prod(shape))).reshape(shape)
    slices = [np.array(tables[z % len(tables)], np.int16)[hashes[z] % len(tables[z % len(tables)])] for z in range(shape[0])]
    return np.stack(slices)


def sha(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def class_locations(shape, tables, manager):
    """As DefaultPreprocessor.run_case_npy asks for them."""
    seg = labels_of(shape, tables)[None]
    if manager.has_ignore_label:
        seg[seg == IGNORED] = manager.ignore_label
    wanted = manager.foreground_regions if manager.has_regions else manager.foreground_labels
    if manager.has_ignore_label:
        wanted.append([-1] + manager.all_labels)
    return DefaultPreprocessor._sample_foreground_locations(seg, wanted)


def manager_of(dataset):
    return LabelManager(dataset["labels"], dataset.get("regions_class_order"))


CLASSES = {"labels": {"background": 0, "a": 1, "b": 2, "c": 3}}
IGNORE = {"labels": {"background": 0, "a": 1, "b": 2, "ignore": 3}}
REGIONS = {"labels": {"background": 0, "whole": [1, 2, 3], "core": [3, 1], "one": 3, "gone": [4, 5]}, "regions_class_order": [1, 2, 3, 5]}
REGIONS_IGNORE = {"labels": {"background": 0, "whole": [2, 1], "with_nothing": [0, 1], "twice": [1, 1], "ignore": 3}, "regions_class_order": [2, 1, 1]}


def location_cases():
    cases = [
        (CLASSES, (3, 20, 21), [[-1, 0, 0, 1, 2, 3]]),
        (CLASSES, (3, 20, 21), [[0, 3], [1]]),
        (CLASSES, (2, 9, 10), [[0, -1]]),
        (CLASSES, (4, 80, 90), [[0, 1, 1, 2]]),
        (CLASSES, (11, 330, 330), [[1]]),
        (CLASSES, (1, 1, 1), [[2]]),
        (IGNORE, (3, 40, 50), [[-1, 0, 0, 1, 2, 255], [255], [2, 0, 255]]),
        (IGNORE, (3, 40, 50), [[255]]),
        (IGNORE, (5, 60, 70), [[0, -1, 255]]),
        (REGIONS, (4, 90, 80), [[-1, 0, 1, 2, 3], [2, 2, 1]]),
        (REGIONS_IGNORE, (4, 90, 80), [[-1, 0, 1, 2, 255, 2]]),
    ]
    for dataset, shape, tables in cases:
        locations = class_locations(shape, tables, manager_of(dataset)).values()
        lists = [np.asarray(one, np.int32).reshape(-1, 4)[:, 1:] for one in locations]
        yield {"dataset": dataset, "shape": shape, "tables": tables, "lists": [{"count": len(one), "first": one[:2].tolist(), "sha256": sha(one)} for one in lists]}


def loader_of(identifiers, patch, initial, manager, batch_size=2, share=0.33):
    return nnUNetDataLoader(SimpleNamespace(identifiers=identifiers), batch_size, initial, patch, manager, share)


def begin_rows():
    for size, (patch, initial) in itertools.product((1, 2, 7, 8, 13, 20, 31), ((8, 8), (8, 10), (8, 11), (7, 12), (13, 13), (5, 9))):
        loader = loader_of(["case"], (patch, patch), (initial, initial), manager_of(CLASSES))
        ranges = []
        drawn, np.random.randint = np.random.randint, lambda low, high: ranges.append((int(low), int(high) - 1)) or low
        try:
            loader.get_bbox((3, size, size), False, None)
        finally:
            np.random.randint = drawn
        assert ranges[0] == (0, 2)
        voxels = sorted({0, size // 3, size // 2, size - 1})
        boxes = [loader.get_bbox((3, size, size), True, {1: np.array([[0, 1, voxel, voxel]])})[0] for voxel in voxels]
        assert all(box[0] == 1 and box[1] == box[2] for box in boxes)
        yield {"size": size, "patch": patch, "initial": initial, "range": ranges[1], "around": [[voxel, int(box[1])] for voxel, box in zip(voxels, boxes)]}


def draw_rows():
    apart = [[1, 0], [1, 1, 2], [0], [3]]
    settings = [
        (CLASSES, [((5, 30, 40), apart), ((3, 12, 50), [[0, 2]])], (16, 20), (20, 26)),
        (CLASSES, [((2, 30, 31), [[0, -1]]), ((3, 12, 11), [[0, 2], [3]])], (16, 16), (16, 16)),
        (IGNORE, [((4, 30, 40), [[1, 0], [255, 255, 2], [0, 255], [255]]), ((3, 25, 50), [[0, 255], [255]])], (16, 20), (19, 20)),
        (IGNORE, [((4, 20, 20), [[255]]), ((2, 25, 30), [[0, 255]])], (16, 16), (20, 20)),
        (REGIONS, [((5, 30, 40), [[0, 0, 1], [3], [2], [0]]), ((2, 40, 40), [[2, 0], [1, 1, 3]])], (16, 16), (20, 20)),
    ]
    for number, (dataset, cases, patch, initial) in enumerate(settings):
        manager = manager_of(dataset)
        locations = [class_locations(shape, tables, manager) for shape, tables in cases]
        loader = loader_of(list(range(len(cases))), patch, initial, manager, batch_size=1)
        for forced in (True, False):
            np.random.seed(281 + number)
            counts = {}
            for _ in range(NUM_DRAWS):
                case = int(loader.get_indices()[0])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    begin, _ = loader.get_bbox(cases[case][0], forced, locations[case])
                for key in (f"slice {case} {begin[0]}", f"row {case} {begin[1]}", f"column {case} {begin[2]}"):
                    counts[key] = counts.get(key, 0) + 1
            yield {"dataset": dataset, "cases": [{"shape": shape, "tables": tables} for shape, tables in cases], "patch": patch, "initial": initial,
                   "forced": forced, "draws": NUM_DRAWS, "counts": counts}


def cuts():
    shape, tables, size = (3, 9, 11), [[-1, 0, 1], [2, 255]], (6, 8)
    labels = labels_of(shape, tables)
    image = np.stack([hashed(labels.size, 1000 * channel).astype(np.float32).reshape(shape) / np.float32(8) for channel in range(2)])
    rows = []
    for begin in ((0, 0, 0), (1, 3, 3), (2, 4, 6), (0, -2, -3), (1, -5, 2), (1, -5, -7), (2, 8, 10), (0, 8, 1), (0, 2, 10), (1, 2, -7)):  # all meet the image
        box = [[at, at + n] for at, n in zip(begin, (1, *size))]
        rows.append({"begin": begin, "image": sha(crop_and_pad_nd(image, box, 0)), "labels": sha(crop_and_pad_nd(labels[None], box, -1, cast_cropped_to=np.int16))})
    return {"shape": shape, "tables": tables, "size": size, "rows": rows}


def wants_rows():
    for batch_size, share in [*((n, 0.33) for n in range(1, 41)), *((n, 0.5) for n in range(1, 6)), (3, 0.0), (3, 1.0)]:
        loader = loader_of(["case"], (8, 8), (8, 8), manager_of(CLASSES), batch_size, share)
        yield [batch_size, share, [int(loader.get_do_oversample(i)) for i in range(batch_size)]]


def label_rows():
    dictionaries = [
        CLASSES, IGNORE, REGIONS, REGIONS_IGNORE,
        {"labels": {"background": 0, "one": 1}},
        {"labels": {"c": 3, "background": 0, "a": 1, "b": 2}},  # outputs in the order of the numbers
        {"labels": {"background": 0, "a": [1], "b": 2}, "regions_class_order": [5, 6]},  # no regions
        {"labels": {"background": "0", "a": "1", "b": "2"}},
        {"labels": {"background": 0, "a": 1, "nothing": 0, "ignore": 2}},
        {"labels": {"background": 0, "a": 1, "ignore": None}},
        {"labels": {"background": 0, "b": [2, 3], "a": 1}, "regions_class_order": [2, 1]},
        {"labels": {"background": 0, "nothing": [0], "b": [1], "a": [2, 0, 4]}, "regions_class_order": [1, 7]},
        {"labels": {"ignore": 10, "background": 0, "b": [2, 9], "a": [1, 2, 9]}, "regions_class_order": [9, 1]},
        {"labels": {"background": 0, "a": 1, "ignore": 3}},
        {"labels": {"background": 0, "a": 1, "ignore": 1}},
        {"labels": {"background": 0, "a": 1, "ignore": [2, 3]}},
        {"labels": {"a": 1}},
        {"labels": {"background": 1, "a": 2}},
        {"labels": {"background": [0], "a": 2}},
        {"labels": {"background": 0, "a": [1, 2]}},
        {"labels": {"background": 0, "a": [1, 2], "b": 1}, "regions_class_order": [1]},
        {"labels": {"background": 0, "a": "first"}},
    ]
    for dataset in dictionaries:
        try:
            manager = manager_of(dataset)
        except (AssertionError, RuntimeError, ValueError):
            yield {"dataset": dataset, "refused": True}
            continue
        heads = manager.num_segmentation_heads
        number = hashed(heads * 60, 7).astype(np.int64).reshape(heads, 60)
        logits = ((number % 5 - 2) / 4).astype(np.float32)  # equal ones, and zeros
        foreground = manager.foreground_regions if manager.has_regions else manager.foreground_labels
        yield {"dataset": dataset, "refused": False, "has_regions": manager.has_regions, "all_labels": [int(i) for i in manager.all_labels], "heads": heads,
               "foreground": [[int(i) for i in np.atleast_1d(one)] for one in foreground], "ignore": manager.ignore_label,
               "painted": manager.convert_logits_to_segmentation(logits[:, None])[0].tolist()}


def main():
    assert version("nnunetv2") == "2.8.1"
    made = {"locations": list(location_cases()), "begins": list(begin_rows()), "draws": list(draw_rows()), "cuts": cuts(), "wants_foreground": list(wants_rows()), "labels": list(label_rows())}
    lists = [f'"{key}":[\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]" for key, rows in made.items() if isinstance(rows, list)]
    text = "{" + ",\n".join([*lists, '"cuts":' + json.dumps(made["cuts"], separators=(",", ":"))]) + "}\n"
    (HERE / "nnunet_loader.json").write_text(text)
    print(len(text), "bytes")


if __name__ == "__main__":
    main()
