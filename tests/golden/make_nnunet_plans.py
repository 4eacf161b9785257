#!/usr/bin/env python3
"""Fingerprints and 2D plans of nnU-Net, as an oracle for src/nnunet. Writes nnunet_datasets.json and nnunet_planner.json beside itself.

usage: make_nnunet_plans.py                                    needs nnunetv2 2.8.1 (and numpy, nibabel, Pillow, pydicom)
       make_nnunet_plans.py --whole                            nnunet_whole_datasets.json, of the real images in the folder VMAE_REAL_DATA
       make_nnunet_plans.py --accepts PLANS DATASET_JSON...     does nnU-Net's own reader take these plans, and build the network?

nnunet_datasets.json: what nnU-Net makes of the datasets of tests/e2e/nnunet_datasets.py. nnunet_planner.json: what its planner makes of
fingerprints alone: those that are looked at in shared tables of its numbers, the corners of its rules, and random ones. Of the plans
only the configuration 2d is kept: nothing else is made here."""
import atexit
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
IS_FIRST = "VMAE_NNUNET_WORK" not in os.environ  # of the processes: nnU-Net starts others
if IS_FIRST:
    os.environ["VMAE_NNUNET_WORK"] = tempfile.mkdtemp(prefix="nnunet-")
WORK = Path(os.environ["VMAE_NNUNET_WORK"])
if IS_FIRST:
    atexit.register(shutil.rmtree, WORK)
for name in ("raw", "preprocessed", "results"):
    os.environ["nnUNet_" + name] = str(WORK / name)
    (WORK / name).mkdir(exist_ok=True)

import nnunet_datasets  # noqa: E402
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor  # noqa: E402
from nnunetv2.experiment_planning.experiment_planners import default_experiment_planner  # noqa: E402
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans  # noqa: E402
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: E402


class ExperimentPlanner(default_experiment_planner.ExperimentPlanner):
    """Without the configurations in 3D, whose networks take long to measure."""

    def get_plans_for_configuration(self, spacing, median_shape, *more):
        if len(spacing) == 3:
            return {"patch_size": median_shape, "spacing": spacing}
        return super().get_plans_for_configuration(spacing, median_shape, *more)

    def plan_experiment(self):
        super().plan_experiment()
        file = WORK / "preprocessed" / self.dataset_name / "nnUNetPlans.json"
        plans = json.loads(file.read_text())
        plans["configurations"] = {"2d": plans["configurations"]["2d"]}
        file.unlink()
        return plans


class PlannerAlone(ExperimentPlanner):
    """Of a fingerprint that no images are behind."""

    def determine_reader_writer(self):
        return type("SimpleITKIO", (), {})


PlannerAlone.__name__ = "ExperimentPlanner"


def of_dataset(maker):
    folder = nnunet_datasets.make(maker, WORK / "raw")
    extractor = DatasetFingerprintExtractor(folder.name, 2)
    if maker.__name__ not in nnunet_datasets.WITH_ALL_VOXELS:
        extractor.num_foreground_voxels_for_intensitystats /= 100
    extractor.run()
    fingerprint = json.loads((WORK / "preprocessed" / folder.name / "dataset_fingerprint.json").read_text())
    return {"voxels": int(extractor.num_foreground_voxels_for_intensitystats), "fingerprint": fingerprint, "plans": ExperimentPlanner(folder.name).plan_experiment()}


def estimate_of(plans, channels, labels):
    plan = plans["configurations"]["2d"]
    architecture = plan["architecture"]
    return int(ExperimentPlanner.static_estimate_VRAM_usage(plan["patch_size"], channels, labels, architecture["network_class_name"], architecture["arch_kwargs"],
                                                            architecture["_kw_requires_import"]))


def of_fingerprint(number, shapes, spacings, channels=("MRI",), labels=2, cases=10 ** 6, relative_size=1.0, gb=8):
    """A row of nnunet_planner.json: what goes in, and what comes out."""
    name = f"Dataset{number:03d}_Table"
    statistics = {key: 1.0 for key in ("max", "mean", "median", "min", "percentile_00_5", "percentile_99_5", "std")}
    dataset = {"channel_names": {str(i): c for i, c in enumerate(channels)}, "labels": {"background": 0, **{f"part{k}": k for k in range(1, labels)}},
               "numTraining": cases, "file_ending": ".nii.gz", "dataset": {}}
    fingerprint = {"foreground_intensity_properties_per_channel": {str(i): statistics for i, _ in enumerate(channels)},
                   "median_relative_size_after_cropping": relative_size, "shapes_after_crop": shapes, "spacings": spacings}
    for folder, file, content in (("raw", "dataset.json", dataset), ("preprocessed", "dataset_fingerprint.json", fingerprint)):
        (WORK / folder / name).mkdir(exist_ok=True)
        (WORK / folder / name / file).write_text(json.dumps(content))
    plans = PlannerAlone(name, gb).plan_experiment()
    plan = plans["configurations"]["2d"]
    network = plan["architecture"]["arch_kwargs"]
    return {"shapes": shapes, "spacings": spacings, "channels": channels, "labels": labels, "cases": cases, "relative_size": relative_size, "gb": gb,
            "batch_size": plan["batch_size"], "patch_size": plan["patch_size"], "median": plan["median_image_size_in_voxels"], "spacing": plan["spacing"],
            "schemes": plan["normalization_schemes"], "use_mask": plan["use_mask_for_norm"], "kernels": network["kernel_sizes"], "strides": network["strides"],
            "features": network["features_per_stage"], "transpose": [plans["transpose_forward"], plans["transpose_backward"]],
            "original": [plans["original_median_spacing_after_transp"], plans["original_median_shape_after_transp"]],
            "estimate": estimate_of(plans, len(channels), labels)}


def rows():
    def flat(height, width, spacing=(1.0, 1.0), **more):
        return of_fingerprint(100, [[1, height, width]], [[999, *spacing]], **more)
    for size in (512, 320, 256, 224, 128, 64, 28, 48, 96, 11, 12, 8, 16):
        yield flat(size, size)
    for labels in (3, 4, 5, 40):
        yield flat(320, 320, labels=labels)
    yield flat(256, 216, labels=4)
    yield flat(35, 35, labels=3)
    yield flat(256, 100, (1.0, 2.5))
    yield flat(256, 100, (2.5, 1.0))
    yield flat(5000, 5000)  # ties between the axes
    yield flat(4000, 3999)
    yield flat(1000, 700, channels=["CT", "nonorm", "Other"], gb=24)
    yield flat(1000, 700, gb=3, relative_size=0.7, channels=["zscore", "rescale_to_0_1", "RGB_to_0_1", "T1", "ct"])
    yield flat(300, 300, relative_size=0.75)
    for cases in (1, 3, 20, 200):
        yield of_fingerprint(100, [[20, 200, 180]], [[3.0, 1.0, 1.0]], cases=cases)
    # a coarse axis: thresholds at 3 times and at a third of the size, and a 10th percentile that would be finer than the others
    yield of_fingerprint(100, [[10, 100, 100]] * 3, [[3.0, 1.0, 1.0]] * 3)
    yield of_fingerprint(100, [[10, 100, 100]] * 3, [[3.1, 1.0, 1.0], [3.2, 1.0, 1.0], [0.5, 1.0, 1.0]])
    yield of_fingerprint(100, [[33, 100, 100]] * 3, [[6.0, 1.0, 1.0], [3.2, 1.0, 1.0], [5.0, 1.0, 1.0]])
    yield of_fingerprint(100, [[34, 100, 100]] * 3, [[6.0, 1.0, 1.0], [3.2, 1.0, 1.0], [5.0, 1.0, 1.0]])
    yield of_fingerprint(100, [[100, 100, 10]] * 4, [[0.7, 0.8, 6.0], [0.7, 0.8, 3.2], [0.7, 0.9, 5.0], [0.6, 0.8, 5.5]])
    yield of_fingerprint(100, [[100, 10, 100]] * 4, [[0.7, 6.0, 0.8], [0.7, 3.2, 0.8], [0.7, 5.0, 0.9], [0.6, 5.5, 0.8]])
    yield of_fingerprint(100, [[100, 100, 10]] * 5, [[1.0, 1.0, s] for s in (0.5, 0.5, 3.1, 3.2, 3.3)])
    for depth, spacing in ((133, 3.1), (134, 3.1), (133, 3.0)):  # few cases: the depth decides the batch
        yield of_fingerprint(100, [[depth, 400, 400]] * 3, [[spacing, 1.0, 1.0], [spacing + 0.1, 1.0, 1.0], [spacing - 1.5, 1.0, 1.0]], cases=1)
        yield of_fingerprint(100, [[depth // 5, 80, 80]] * 3, [[spacing, 1.0, 1.0], [spacing, 1.0, 1.0], [0.5, 1.0, 1.0]], cases=20)
    random = np.random.default_rng(18)
    for _ in range(60):
        count = int(random.integers(1, 8))
        size = np.exp(random.uniform(np.log(8), np.log(random.choice([60, 400, 1500])), 3))
        spacing = random.choice([0.3, 0.5, 0.7, 1.0, 1.5, 3.0, 6.0], 3)
        shapes = [[max(1, int(n * random.uniform(0.7, 1.3))) for n in size] for _ in range(count)]
        spacings = [[round(float(s * random.choice([0.5, 0.8, 1.0, 1.0, 1.25])), 3) for s in spacing] for _ in range(count)]
        yield of_fingerprint(100, shapes, spacings, labels=int(random.integers(2, 7)), cases=int(random.choice([count, 50, 10 ** 6])),
                             relative_size=round(float(random.uniform(0.4, 1)), 3), gb=int(random.choice([8, 8, 2, 24])))


def accepts(plans_file, dataset_json):
    configuration = PlansManager(plans_file).get_configuration("2d")
    dataset = json.loads(Path(dataset_json).read_text())
    labels = PlansManager(plans_file).get_label_manager(dataset)
    network = get_network_from_plans(configuration.network_arch_class_name, configuration.network_arch_init_kwargs, configuration.network_arch_init_kwargs_req_import,
                                     len(dataset["channel_names"]), labels.num_segmentation_heads, deep_supervision=True)
    for function in (configuration.resampling_fn_data, configuration.resampling_fn_seg, configuration.resampling_fn_probabilities, configuration.preprocessor_class):
        assert function is not None
    assert PlansManager(plans_file).image_reader_writer_class is not None
    print(plans_file, "is accepted:", sum(p.numel() for p in network.parameters()), "parameters")


def write(name, content):
    text = json.dumps(content, separators=(",", ":"))
    for begin in ('{"voxels"', '{"shapes"', '"plans"'):
        text = text.replace(begin, "\n" + begin)
    (HERE / name).write_text(text + "\n")
    print(name, len(text), "bytes")


def main():
    if sys.argv[1:2] == ["--accepts"]:
        for pair in zip(sys.argv[2::2], sys.argv[3::2]):
            accepts(*pair)
        return
    if sys.argv[1:] == ["--whole"]:
        write("nnunet_whole_datasets.json", {maker.__name__: of_dataset(maker) for maker in nnunet_datasets.WHOLE})
        return
    write("nnunet_datasets.json", {maker.__name__: of_dataset(maker) for maker in nnunet_datasets.MAKERS})
    write("nnunet_planner.json", list(rows()))


if __name__ == "__main__":
    main()
