#!/usr/bin/env python3
"""What nnU-Net's postprocessing finds and does, as an oracle for src/nnunet/postprocess.cpp. Writes nnunet_postprocess.json beside itself.

Needs nnunetv2 2.8.1. A search: "labels" as dataset.json has them, predictions and references of some cases (a digit per voxel, x fastest; size is z y x), what determine_postprocessing decides, and
the mean Dice before and after. A removal: a label map, what it is called with, and what it leaves. "pickle":
the bytes of a postprocessing.pkl that nnU-Net was seen to apply. The processes that it starts are run in this one."""
import json
import multiprocessing
import os
import pickle
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault("nnUNet_" + name, "/nowhere")

import numpy as np  # noqa: E402
from batchgenerators.utilities.file_and_folder_operations import load_json, load_pickle  # noqa: E402
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO  # noqa: E402
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO  # noqa: E402
from nnunetv2.postprocessing import remove_connected_components as nnunet  # noqa: E402

HERE = Path(__file__).resolve().parent
PLANS = json.loads((HERE / "nnunet_datasets.json").read_text())["two_channels"]["plans"]
ONE, THREE = {"a": 1}, {"a": 1, "b": 2, "c": 3}
REGIONS = {"whole": [1, 2, 3], "core": [2, 3], "tip": 3}


class OneProcess:
    """In the place of a pool."""
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def starmap(self, function, arguments):
        return [function(*one) for one in arguments]


def ball(shape, random, least, most):
    grid = np.indices(shape)
    middle = [random.integers(0, n) for n in shape]
    return sum(((g - m) * (2 if axis == 0 else 1)) ** 2 for axis, (g, m) in enumerate(zip(grid, middle))) <= random.uniform(least, most) ** 2


def reference(shape, random, values, parts):
    labels = np.zeros(shape, np.uint8)
    for value in values:
        for _ in range(random.integers(*parts)):
            labels[ball(shape, random, 1, 3)] = value
    return labels


def prediction(truth, random, values, extras):
    labels = np.roll(truth, random.integers(-1, 2), axis=random.integers(1, 3))
    for _ in range(random.integers(*extras)):
        labels[ball(truth.shape, random, 0.5, 1.6)] = random.choice(values)
    return labels


def digits(labels):
    return "".join(str(v) for v in labels.ravel())


def search(number, labels, shape=(4, 8, 9), cases=5, parts=(1, 3), extras=(0, 4), order=None, ignore=None, absent=()):
    """absent: values that no reference has."""
    random = np.random.default_rng([2, number])
    named = {"background": 0, **labels, **({"ignore": ignore} if ignore else {})}
    values = sorted({v for entry in labels.values() for v in np.atleast_1d(entry)})
    dataset = {"labels": named, "file_ending": ".png" if shape[0] == 1 else ".nii.gz", **({"regions_class_order": order} if order else {})}
    rw = NaturalImage2DIO() if shape[0] == 1 else SimpleITKIO()
    properties = {"sitk_stuff": {"spacing": (1.0,) * 3, "origin": (0.0,) * 3, "direction": (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)}}
    row = {"labels": named, "has_regions": order is not None, "size": shape, "cases": []}
    with tempfile.TemporaryDirectory() as folder:
        references, predictions = Path(folder) / "references", Path(folder) / "predictions"
        references.mkdir()
        predictions.mkdir()
        for i in range(cases):
            truth = reference(shape, random, [v for v in values if v not in absent and random.random() < 0.85], parts)
            predicted = prediction(truth, random, values, extras)
            if ignore:
                truth[ball(shape, random, 1, 4)] = ignore
            row["cases"].append([digits(predicted), digits(truth)])
            for where, map_ in ((references, truth), (predictions, predicted)):
                rw.write_seg(map_, str(where / f"case_{i:03d}{dataset['file_ending']}"), properties)
        plans = {**PLANS, "image_reader_writer": type(rw).__name__}
        _, arguments = nnunet.determine_postprocessing(str(predictions), str(references), plans, dataset, 1)
        found = load_json(str(predictions / "postprocessing.json"))
        assert pickle.loads((predictions / "postprocessing.pkl").read_bytes())[1] == arguments
    row["steps"] = [np.atleast_1d(one["labels_or_regions"]).tolist() for one in arguments]
    for key, of in (("before", "input_folder"), ("after", "postprocessed")):
        dice = [found[of]["foreground_mean"]["Dice"], *(one["Dice"] for one in found[of]["mean"].values())]
        row[key] = [None if np.isnan(one) else one for one in dice]
    row["json"] = {key: found[key] for key in ("postprocessing_fns", "postprocessing_kwargs")}
    return row


def removal(number, shape, density, labels, values=3):
    random = np.random.default_rng([3, number])
    before = np.where(random.random(shape) < density, random.integers(1, values + 1, shape), 0).astype(np.uint8)
    after = nnunet.remove_all_but_largest_component_from_segmentation(before, labels)
    return {"size": shape, "labels": np.atleast_1d(labels).tolist(), "before": digits(before), "after": digits(after)}


def pickle_by_hand():
    """As src/nnunet/postprocess_file.cpp writes the steps [1, 2, 3] and 2; nnU-Net reads and applies it."""
    function = b"cnnunetv2.postprocessing.remove_connected_components\nremove_all_but_largest_component_from_segmentation\n"
    name = b"}X\x11\0\0\0labels_or_regions]("
    written = b"\x80\x02](" + function * 2 + b"e](" + name + b"J\1\0\0\0J\2\0\0\0J\3\0\0\0es" + name + b"J\2\0\0\0ese\x86."
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "source", Path(folder) / "result"
        source.mkdir()
        before = np.array([[[1, 2, 0, 2, 0, 1, 1], [2, 0, 0, 2, 0, 0, 0]]], np.uint8)
        rw = NaturalImage2DIO()
        rw.write_seg(before, str(source / "a.png"), {})
        (source / "postprocessing.pkl").write_bytes(written)
        functions, arguments = load_pickle(str(source / "postprocessing.pkl"))
        assert functions == [nnunet.remove_all_but_largest_component_from_segmentation] * 2
        assert arguments == [{"labels_or_regions": [1, 2, 3]}, {"labels_or_regions": [2]}]
        plans = {**PLANS, "image_reader_writer": "NaturalImage2DIO"}
        nnunet.apply_postprocessing_to_folder(str(source), str(result), functions, arguments, plans, {"labels": {"background": 0, **THREE}, "file_ending": ".png"}, 1)
        assert np.array_equal(rw.read_seg(str(result / "a.png"))[0][0], [[[1, 2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0]]])
    return list(written)


def kinds(rows):
    """Which decisions the searches came to, so that all of them are among them."""
    for row in rows:
        steps, entries = row["steps"], [np.atleast_1d(v).tolist() for k, v in row["labels"].items() if k not in ("background", "ignore")]
        everything = sorted({v for one in entries for v in one})
        yield ("all" if everything in steps[:1] else "not all", sum(one in entries for one in steps) if len(entries) > 1 else 0)


def main():
    assert version("nnunetv2") == "2.8.1"
    warnings.simplefilter("ignore", RuntimeWarning)  # of means over nothing
    multiprocessing.get_context = lambda _: type("Context", (), {"Pool": lambda *_: OneProcess()})
    rows = [search(i, ONE) for i in range(4)]
    rows += [search(5 + i, ONE, cases=1, parts=(1, 2), extras=(0, 1)) for i in range(3)]
    rows += [search(10 + i, THREE, parts=(1, 2 + i % 2)) for i in range(8)]
    rows += [search(20 + i, REGIONS, order=[1, 2, 3], parts=(1, 2 + i % 2)) for i in range(6)]
    rows += [search(30 + i, THREE, ignore=4) for i in range(3)] + [search(35, REGIONS, order=[1, 2, 3], ignore=4)]
    rows += [search(40 + i, THREE, absent=(2,)) for i in range(2)] + [search(43, THREE, absent=(1, 2, 3), extras=(1, 4)), search(44, THREE, extras=(0, 1))]
    rows += [search(50 + i, THREE, shape=(1, 14, 15), cases=6) for i in range(2)] + [search(53, THREE, shape=(1, 9, 9), cases=20), search(54, {"a": 1, "b": 2}, cases=11),
             search(55, THREE, shape=(1, 9, 9), cases=41)]
    assert len(set(kinds(rows))) >= 6, set(kinds(rows))
    removals = [removal(i, shape, density, labels) for i, (shape, density, labels) in enumerate(
        (shape, density, labels) for shape in ((1, 7, 8), (4, 6, 7), (3, 1, 9), (5, 5, 1)) for density in (0.08, 0.2, 0.5) for labels in (1, (2, 3), [1, 2, 3]))]
    text = json.dumps({"searches": rows, "removals": removals, "pickle": pickle_by_hand()}).replace('{"labels"', '\n{"labels"').replace('{"size"', '\n{"size"')
    (HERE / "nnunet_postprocess.json").write_text(text + "\n")
    print(sorted(kinds(rows)))


if __name__ == "__main__":
    main()
