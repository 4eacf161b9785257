#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nnU-Net's inference, as an oracle for src/nnunet/way_back.cpp and src/predict/nnunet_predictor.cpp. Writes nnunet_inference.json and nnunet_inference.safetensors beside itself.

usage: make_nnunet_inference.py      needs nnunetv2 2.8.1, dynamic-network-architectures 0.4.4, torch and safetensors

nnunet_inference.json: `back`, logits of preprocessed cases on the grids of the cases. Logits are logits_of(); `numbers` are the label map, z y x, in digits, `probabilities` every
seventh. `tiles`: pictures through a network of nnunet_net.json, the logits of the second in nnunet_inference.safetensors as `NAME`, of large ones every eleventh. Weights are drawn
after the seeds 11 and 12, images after seed 5. nnU-Net adds up tiles in half precision; here it does so in single precision. `gaussian`: the weights of a tile by its size, every eleventh.
`whole`: images (image_of()) to label maps and probabilities, of two such folds, with what their files say and the shapes of their tensors, for tests/e2e/test_predict_nnunet.py."""
import copy
import json
import os
from importlib.metadata import version

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault("nnUNet_" + name, "/nowhere")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from golden import HERE, sampled  # noqa: E402
from make_nnunet_net import NETS, build  # noqa: E402
from make_pth import save_safetensors  # noqa: E402
from nnunetv2.inference import predict_from_raw_data as inference  # noqa: E402
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape as convert  # noqa: E402
from nnunetv2.inference.sliding_window_prediction import compute_gaussian  # noqa: E402
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: E402
from transunet_oracle import drawn  # noqa: E402

PLANS = json.loads((HERE / "nnunet_datasets.json").read_text())["two_channels"]["plans"]
CLASSES = {"labels": {"background": 0, "liver": 1, "spleen": 2}}
REGIONS = {"labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}, "regions_class_order": [1, 2, 3]}
OTHER_ORDER = {"labels": {"background": 0, "core": [2, 3], "whole": [1, 2, 3], "ignore": 4}, "regions_class_order": [7, 5]}

STATISTICS = {"max": 255.0, "mean": 101.5, "median": 100.0, "min": 1.0, "percentile_00_5": 31.25, "percentile_99_5": 190.5, "std": 43.75}


def logits_of(shape):
    """The same whole numbers / 64 in every language."""
    state, values = 1, []
    for _ in range(int(np.prod(shape))):
        state = (1103515245 * state + 12345) % 2**31
        values.append(((state >> 8) % 513 - 256) / 64)
    return np.array(values, np.float32).reshape(shape)


def back(dataset, shape, after, before, begin, spacing, target, forward=(0, 1, 2), order=1, separate=None):
    """shape: of the logits, without heads; after, before: the crop, begin: where it lies; all three transposed. spacing: of the case, not transposed."""
    plans = copy.deepcopy(PLANS)
    plans.update(transpose_forward=list(forward), transpose_backward=[int(i) for i in np.argsort(forward)])
    kwargs = {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": separate}
    plans["configurations"]["2d"].update(spacing=list(target), resampling_fn_probabilities_kwargs=kwargs)
    manager = PlansManager(plans)
    labels = manager.get_label_manager(dataset)
    heads = labels.num_segmentation_heads
    properties = {"spacing": list(spacing), "shape_before_cropping": before, "shape_after_cropping_and_before_resampling": after,
                  "bbox_used_for_cropping": [[b, b + n] for b, n in zip(begin, after)]}
    arguments = [manager, manager.get_configuration("2d"), labels, properties]
    numbers = convert(torch.from_numpy(logits_of((heads, *shape))), *arguments)
    again, probabilities = convert(torch.from_numpy(logits_of((heads, *shape))), *arguments, return_probabilities=True)
    print(f"{heads} heads, {shape} -> {numbers.shape}: {(numbers != again).sum()} numbers by probabilities differ")
    return {"dataset": dataset, "shape": shape, "after": after, "before": before, "begin": begin, "spacing": spacing, "target": target, "forward": forward, "order": order,
            "separate": separate, "numbers": "".join(map(str, numbers.ravel())), "probabilities": [float(f"{v:.6g}") for v in probabilities.ravel()[::7]]}


def backs():
    return [
        back(CLASSES, (3, 9, 11), (3, 9, 11), (3, 9, 11), (0, 0, 0), (3, 1, 1), (1, 1)),
        back(CLASSES, (3, 9, 11), (3, 14, 13), (5, 16, 20), (1, 2, 4), (3, 0.7, 0.8), (1.1, 0.9)),
        back(CLASSES, (4, 12, 10), (4, 9, 13), (4, 9, 13), (0, 0, 0), (9, 1, 1), (0.8, 1.3)),  # slices apart
        back(CLASSES, (3, 8, 20), (3, 15, 9), (4, 15, 11), (1, 0, 1), (1, 0.8, 1.2), (1.5, 0.5), forward=(2, 0, 1)),
        back(CLASSES, (5, 8, 20), (5, 6, 11), (6, 8, 14), (1, 2, 0), (0.5, 1, 4), (3.5, 0.6), forward=(0, 2, 1)),  # rows apart, and fewer of them
        back(CLASSES, (5, 8, 20), (5, 9, 7), (5, 9, 7), (0, 0, 0), (1, 1, 5), (1.1, 1.75)),  # columns apart
        back(CLASSES, (1, 16, 16), (1, 23, 11), (1, 30, 30), (0, 5, 6), (999, 1, 1), (1, 1)),  # a picture
        back(CLASSES, (3, 9, 11), (3, 12, 14), (3, 12, 14), (0, 0, 0), (1, 1, 1), (1.3, 1.2), order=3),
        back(CLASSES, (3, 9, 11), (3, 12, 14), (3, 12, 14), (0, 0, 0), (5, 1, 1), (1.3, 1.2), order=3),
        back(CLASSES, (3, 9, 11), (3, 12, 14), (3, 13, 14), (0, 1, 0), (2, 1, 1), (1.3, 1.2), order=3, separate=True),
        back(CLASSES, (3, 9, 11), (3, 12, 14), (3, 12, 14), (0, 0, 0), (9, 1, 1), (1.3, 1.2), order=3, separate=False),
        back(REGIONS, (3, 9, 11), (3, 14, 13), (4, 16, 15), (1, 2, 2), (3, 0.7, 0.8), (1.1, 0.9)),
        back(OTHER_ORDER, (3, 10, 8), (3, 7, 9), (5, 9, 9), (1, 1, 0), (0.5, 0.5, 2), (0.4, 0.6), forward=(2, 1, 0)),
    ]


class SinglePrecision:
    """torch, whose half is float: for what adds up tiles."""

    half = torch.float

    def __getattr__(self, name):
        return getattr(torch, name)


def tiles(name, net, size, mirror_axes, folds=1):
    config = NETS[net]
    plans = copy.deepcopy(PLANS)
    plans["configurations"]["2d"].update(patch_size=config["size"])
    manager = PlansManager(plans)
    network = build(config["channels"], config["classes"], config)
    network.decoder.deep_supervision = False
    shapes = {key: tuple(p.shape) for key, p in network.named_parameters()}
    parameters = []
    for fold in range(folds):
        network.load_state_dict(drawn(shapes, seed=11 + fold), strict=False)
        parameters.append(copy.deepcopy(network.state_dict()))
    predictor = inference.nnUNetPredictor(device=torch.device("cpu"), use_mirroring=mirror_axes is not None, allow_tqdm=False)
    labels = {"labels": {"background": 0, **{f"part{k}": k for k in range(1, config["classes"])}}}
    predictor.manual_initialization(network, manager, manager.get_configuration("2d"), parameters, labels, "nnUNetTrainer", mirror_axes)
    image = 0.1 * torch.randn((config["channels"], *size), generator=torch.Generator().manual_seed(5))
    logits = predictor.predict_logits_from_preprocessed_data(image)
    assert logits.dtype == torch.float and logits.shape == (config["classes"], *size)
    return {"name": name, "net": net, "size": size, "mirror_axes": mirror_axes, "folds": folds}, sampled(logits).clone()


def image_of(shape, channel):
    """z y x, with a border of zeros."""
    image = np.random.default_rng([7, channel]).integers(20, 230, shape)
    image[:, :3] = image[:, :, -4:] = 0
    return image


def whole(net, dataset, shape, spacing, target, normalization, forward=(0, 1, 2), mirror=False):
    config = {**NETS[net], "conv_bias": True}
    stages = {key: config[key] for key in ("features_per_stage", "kernel_sizes", "strides", "n_conv_per_stage", "n_conv_per_stage_decoder")}
    plans = copy.deepcopy(PLANS)
    plans.update(transpose_forward=list(forward), transpose_backward=[int(i) for i in np.argsort(forward)],
                 foreground_intensity_properties_per_channel={str(i): STATISTICS for i, _ in enumerate(normalization)})
    flat = plans["configurations"]["2d"]
    flat.update(patch_size=config["size"], spacing=list(target), normalization_schemes=normalization, use_mask_for_norm=[False] * len(normalization))
    flat["architecture"]["arch_kwargs"].update(n_stages=len(config["strides"]), **stages)
    manager = PlansManager(copy.deepcopy(plans))
    network = build(config["channels"], config["classes"], config)
    network.decoder.deep_supervision = False
    shapes = {key: tuple(p.shape) for key, p in network.named_parameters()}
    parameters = []
    for seed in (11, 12):
        network.load_state_dict(drawn(shapes, seed=seed), strict=False)
        parameters.append(copy.deepcopy(network.state_dict()))
    predictor = inference.nnUNetPredictor(device=torch.device("cpu"), use_mirroring=mirror, allow_tqdm=False)
    predictor.manual_initialization(network, manager, manager.get_configuration("2d"), parameters, dataset, "nnUNetTrainer", (0, 1))
    image = np.stack([image_of(shape, channel) for channel in range(config["channels"])]).astype(np.float32)
    numbers, probabilities = predictor.predict_single_npy_array(image, {"spacing": list(spacing)}, None, None, True)
    print(f"{net} on {shape}: {np.bincount(numbers.ravel())}")
    return {"plans": plans, "dataset": dataset, "shapes": shapes, "shape": shape, "spacing": spacing, "mirror": mirror, "numbers": "".join(map(str, numbers.ravel())),
            "probabilities": [float(f"{v:.6g}") for v in probabilities.ravel()[::13]]}


def wholes():
    ct, brain = {"channel_names": {"0": "CT"}}, {"channel_names": {"0": "T1", "1": "T2"}}
    return {
        "classes": whole("three_stages", {**ct, **CLASSES}, (5, 40, 32), (3, 0.875, 0.75), (1, 1), ["CTNormalization"]),
        "regions": whole("three_stages", {**ct, **REGIONS}, (4, 26, 60), (1, 1, 1), (0.75, 1.25), ["ZScoreNormalization"], mirror=True),
        "turned": whole("two_channels", {**brain, "labels": {"background": 0, "a": 1, "b": 2, "c": 3}}, (40, 30, 6), (1, 1, 4), (0.875, 1.125),
                        ["ZScoreNormalization", "CTNormalization"], forward=(2, 0, 1), mirror=True)}


def main():
    assert version("nnunetv2") == "2.8.1"
    inference.torch = SinglePrecision()
    rows, tensors = [], {}
    for arguments in [("larger", "three_stages", (2, 61, 43), None), ("larger_mirrored", "three_stages", (2, 61, 43), (0, 1)), ("smaller", "three_stages", (3, 19, 26), (0, 1)),
                      ("of_its_size", "three_stages", (1, 28, 28), None), ("mixed", "two_channels", (2, 33, 97), (0, 1)), ("one_axis", "wide_pixels", (3, 45, 16), (1,)),
                      ("folds", "wide_pixels", (2, 47, 29), (0, 1), 2)]:
        row, tensors[arguments[0]] = tiles(*arguments)
        rows.append(row)
    gaussian = {}
    for height, width in [(28, 28), (32, 16), (33, 47), (320, 256), (512, 7)]:
        weight = compute_gaussian((height, width), value_scaling_factor=10, device=torch.device("cpu")).float()
        gaussian[f"{height}x{width}"] = [float(f"{v:.8g}") for v in weight.flatten()[:: 11 if weight.numel() < 4096 else 1111].tolist()]
    save_safetensors(tensors, HERE / "nnunet_inference.safetensors")
    (HERE / "nnunet_inference.json").write_text(json.dumps({"back": backs(), "tiles": rows, "gaussian": gaussian, "whole": wholes()}) + "\n")


if __name__ == "__main__":
    main()
