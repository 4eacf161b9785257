#!/usr/bin/env python3
"""What nnU-Net's training augmentation makes of small images at given parameters, as an oracle for src/nnunet/augment*.cpp. Writes nnunet_augment.json beside itself.

Needs nnunetv2 2.8.1 and batchgeneratorsv2 0.3.6. The transforms are those that nnUNetTrainer.get_training_transforms lists, in its order. `plans`: what the trainer makes of patch sizes; `chances` and `ranges`: what it draws from; `images`: values in
256ths and labels of a patch's initial size; `cases`: parameters (null: not drawn), every fifth value and all labels that come out. The noise is drawn here as src/nnunet/augment_values.h says, with numpy."""
import json
import os
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

for name in ("raw", "preprocessed", "results"):
    os.environ.setdefault("nnUNet_" + name, "/nowhere")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform  # noqa: E402
from batchgeneratorsv2.transforms.utils.random import RandomTransform  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402

HERE = Path(__file__).resolve().parent
PATCHES = [(512, 512), (320, 320), (256, 224), (224, 256), (64, 64), (28, 28), (40, 40), (56, 40), (40, 56), (256, 112), (112, 256), (48, 32), (32, 48), (49, 32), (448, 384), (1024, 640), (20, 192), (272, 272), (17, 15), (31, 23)]
KEYS = ["noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma"]  # transforms 1 to 7


def plan_of(patch):
    trainer = SimpleNamespace(configuration_manager=SimpleNamespace(patch_size=patch), print_to_log_file=lambda *_: None)
    rotation, _, initial, mirrors = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size(trainer)
    assert rotation[0] == -rotation[1] and mirrors == (0, 1)
    return float(rotation[1]), [int(n) for n in initial]


def transforms_of(patch, use_mask):
    transforms = nnUNetTrainer.get_training_transforms(patch, plan_of(patch)[0] * np.array((-1, 1)), None, (0, 1), False, use_mask_for_norm=use_mask).transforms
    assert isinstance(transforms[6].transform, GammaTransform) and transforms[6].transform.p_invert_image == 1
    return transforms


def what_is_drawn():
    transforms = transforms_of((32, 32), [False])
    spatial, noise, blur, brightness, contrast, low, inverted, gamma = (t.transform if isinstance(t, RandomTransform) else t for t in transforms[:8])
    assert spatial.p_rot_per_axis == spatial.p_synchronize_scaling_across_axes == 1 and spatial.p_elastic_deform == 0 and not spatial.random_crop
    assert noise.p_per_channel == brightness.p_per_channel == contrast.p_per_channel == inverted.p_per_channel == gamma.p_per_channel == 1
    assert noise.synchronize_channels and not any(t.synchronize_channels for t in (blur, brightness, contrast, low, inverted, gamma))
    assert low.synchronize_axes and not blur.synchronize_axes and inverted.p_retain_stats == gamma.p_retain_stats == 1
    chances = {"rotation": spatial.p_rotation, "scale": spatial.p_scaling, **{key: t.apply_probability for key, t in zip(KEYS, transforms[1:8])}}
    ranges = {"scale": spatial.scaling, "noise": noise.noise_variance, "blur": blur.blur_sigma, "brightness": brightness.multiplier_range.contrast_range, "contrast": contrast.contrast_range.contrast_range,
              "low_resolution": low.scale, "inverted_gamma": inverted.gamma.contrast_range, "gamma": gamma.gamma.contrast_range}
    return {"chances": chances, "channel_chances": {"blur": blur.p_per_channel, "low_resolution": low.p_per_channel}, "ranges": ranges}


def mixed(x):  # SplitMix64's finaliser, of vmae/core/random.h
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def normal_numbers(seed, n):
    bits = mixed(np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.arange((n + 1) // 2, dtype=np.uint64))
    radius = np.sqrt(-2 * np.log(((bits >> np.uint64(40)) + np.uint64(1)) / 2**24))
    angle = (bits & np.uint64(2**24 - 1)) / 2**24 * np.pi / 2
    signs = [1 - 2.0 * ((bits >> np.uint64(k)) & np.uint64(1)) for k in (31, 30)]
    return np.stack([signs[0] * radius * np.cos(angle), signs[1] * radius * np.sin(angle)], 1).ravel()[:n]


def image_of(size, channels, number):
    random = np.random.default_rng([182, number])
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    waves = np.stack([np.sin(5 * y + c) + np.cos(4 * x - c) + 0.3 * random.normal(size=size) for c in range(channels)])
    waves[:, (abs(x + 0.1) < 0.35) & (y > 0.2)] += 1.5
    labels = sum((np.hypot(x - 0.1, y) < r).astype(int) for r in (0.3, 0.55, 0.8))
    labels[(x < -0.2) & (abs(y) < 0.2)] = 4
    labels[random.uniform(size=size) < 0.03] = 255
    labels[: size[0] // 6] = -1
    return {"size": size, "values": np.rint(256 * waves).astype(int).reshape(channels, -1).tolist(), "labels": labels.ravel().tolist()}


def present(values):
    return torch.tensor([v is not None for v in values])


def parameters_of(key, draws, shape):
    if key == "noise":
        return None
    values = [v for v in draws[key] if v is not None]
    which = present(draws[key])
    if key == "blur":
        return {"apply_to_channel": which, "sigmas": values}
    if key == "low_resolution":
        return {"apply_to_channel": torch.where(which)[0], "scales": torch.Tensor([[v, v] for v in values])}
    if "gamma" in key:
        return {"apply_to_channel": torch.where(which)[0], "gamma": torch.tensor(values), "retain_stats": torch.ones(len(values)), "invert_image": torch.full((len(values),), float(key != "gamma"))}
    return {"apply_to_channel": torch.where(which)[0], "multipliers": torch.tensor(values)}


def augmented(patch, image, draws, use_mask):
    transforms = transforms_of(patch, use_mask)
    data = {"image": torch.tensor(np.array(image["values"], np.float32).reshape(-1, *image["size"]) / 256), "segmentation": torch.tensor(image["labels"], dtype=torch.int16).reshape(1, *image["size"])}
    spatial = transforms[0]
    spatial.p_rotation, spatial.p_scaling = float(draws["rotation"] is not None), float(draws["scale"] is not None)
    spatial.rotation, spatial.scaling = (draws["rotation"] or 0,) * 2, (draws["scale"] or 1,) * 2
    data = spatial(**data)
    for key, transform in zip(KEYS, transforms[1:8]):
        if draws[key] is None:
            continue
        if key == "noise":
            data["image"] += torch.tensor(draws["noise"] * normal_numbers(draws["noise_seed"], data["image"].numel()).reshape(data["image"].shape), dtype=torch.float32)
        else:
            data = transform.transform.apply(data, **parameters_of(key, draws, patch))
    data = transforms[8].apply(data, axes=[axis for axis in (0, 1) if draws["mirrored"][axis]])
    for transform in transforms[9:]:
        data = transform(**data)
    return data["image"], data["segmentation"]


def case(images, number, patch, use_mask=None, **draws):
    draws = {"rotation": None, "scale": None, **dict.fromkeys(KEYS), "noise_seed": 0, "mirrored": [False, False], **draws}
    image = images[number]
    assert list(image["size"]) == plan_of(patch)[1]
    use_mask = use_mask or [False] * len(image["values"])
    values, labels = augmented(patch, image, draws, use_mask)
    return {"image": number, "patch": patch, "use_mask": use_mask, "draws": draws, "out": [float(f"{v:.6g}") for v in values.numpy().ravel()[::5]], "out_labels": labels.numpy().ravel().tolist()}


def main():
    assert version("nnunetv2") == "2.8.1" and version("batchgeneratorsv2") == "0.3.6"
    odd, wide, long, even = (31, 23), (32, 27), (17, 41), (24, 24)
    patches = [(odd, 1), (wide, 3), (long, 1), (even, 2)]
    images = [image_of(plan_of(patch)[1], channels, number) for number, (patch, channels) in enumerate(patches)]
    turned = [case(images, 0, odd, rotation=a, scale=s) for a, s in [(0.6, None), (None, 0.72), (None, 1.37), (-2.9, 1.1), (1.8, 1.4), (np.pi / 2, None)]]
    turned += [case(images, 2, long, rotation=0.25, scale=1.3), case(images, 2, long, rotation=-0.2), case(images, 3, even, rotation=0.8, scale=0.9), case(images, 3, even, rotation=-np.pi, scale=1.0)]
    values = [case(images, 0, odd), case(images, 1, wide), case(images, 2, long, mirrored=[True, False]), case(images, 2, long, mirrored=[False, True]), case(images, 0, odd, mirrored=[True, True])]
    values += [case(images, 1, wide, noise=0.07, noise_seed=12345678901234567890), case(images, 0, odd, noise=0.1, noise_seed=7)]
    values += [case(images, 1, wide, blur=[[0.5, 0.55], None, [0.75, 1.0]]), case(images, 2, long, blur=[[0.9, 0.6]])]
    values += [case(images, 1, wide, brightness=[0.8, 1.2, 1.05]), case(images, 1, wide, contrast=[0.76, 1.25, 1.1]), case(images, 0, odd, contrast=[1.2])]
    values += [case(images, 1, wide, low_resolution=[0.5, None, 0.83]), case(images, 0, odd, low_resolution=[0.99]), case(images, 0, odd, low_resolution=[0.629])]
    values += [case(images, 1, wide, inverted_gamma=[0.7, 1.5, 1.1]), case(images, 1, wide, gamma=[0.75, 1.45, 0.9])]
    values += [case(images, 3, even, use_mask=[True, False], mirrored=[True, False])]
    per_channel = {"brightness": [1.2, 0.8], "contrast": [0.8, 1.2], "low_resolution": [0.7, None], "inverted_gamma": [1.4, 0.8], "gamma": [0.8, 1.3]}
    whole = [case(images, 3, even, use_mask=[False, True], rotation=-1.2, scale=1.25, noise=0.05, noise_seed=3, blur=[[0.6, 0.9], [0.8, 0.5]], mirrored=[True, True], **per_channel),
             case(images, 3, even, noise=0.09, noise_seed=4, blur=[None, [0.7, 0.7]], mirrored=[False, True], **per_channel),
             case(images, 2, long, scale=0.8, contrast=[1.2], brightness=[0.9], gamma=[1.2], blur=[[1, 0.5]], use_mask=[True])]
    golden = {"plans": [[patch, *plan_of(patch)] for patch in PATCHES], **what_is_drawn(), "images": images, "cases": turned + values + whole}
    text = json.dumps(golden, separators=(",", ":")).replace('{"image"', '\n{"image"').replace('{"size"', '\n{"size"')
    (HERE / "nnunet_augment.json").write_text(text + "\n")
    print(len(text), "bytes")


if __name__ == "__main__":
    main()
