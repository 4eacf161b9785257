#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nnU-Net's loss under deep supervision, as an oracle for src/nn/nnunet_loss.cpp. Writes nnunet_loss.json and nnunet_loss_io.safetensors beside itself.

usage: make_nnunet_loss.py      needs nnunetv2 2.8.1 and safetensors

nnunet_loss.json: the cases, the loss and the weights of the levels of each. nnunet_loss_io.safetensors: `CASE.grad.N`, gradients of the logits of each
level, the highest resolution first; a level of weight 0 has none. Logits are drawn after seed 21 + level, times 2; masks after seed 20: the whole part of the
normal number's size times 10, modulo `labels`; of `ignored` samples every pixel below 0.3 is 255, which nnU-Net calls by the label behind all others; values
in `absent` become 0 (of the first sample, those in `absent_first` too)."""
import json

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.deep_supervision_downsampling import DownsampleSegForDSTransform
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from golden import HERE
from make_pth import save_safetensors
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

IGNORED = 255
BASE = {"size": [8, 12], "strides": [[1, 1], [2, 2], [2, 3]], "labels": 4, "regions": [], "ignored": [], "absent": [], "absent_first": [], "batch_dice": True,
        "levels": 3}
REGIONS = [[1, 2, 3], [2, 3], [3]]
CASES = {
    "two_classes": {"labels": 2},
    "four_classes": {},
    "absent_classes": {"absent": [2], "absent_first": [1]},
    "background_alone": {"absent": [1, 2, 3]},
    "each_sample": {"batch_dice": False, "absent": [2], "absent_first": [1]},
    "ignore": {"ignored": [0, 1]},
    "ignore_one": {"ignored": [1], "batch_dice": False},
    "ignore_all": {"ignored": "all"},
    "regions": {"regions": REGIONS},
    "regions_absent": {"regions": [[1, 3], [2]], "absent": [2], "batch_dice": False},
    "regions_ignore": {"regions": REGIONS, "ignored": [0, 1]},
    "regions_ignore_all": {"regions": REGIONS, "ignored": "all"},
    "regions_ignore_each": {"regions": [[2]], "ignored": [0], "batch_dice": False},
    "one_level": {"strides": [[1, 1]], "levels": 1},
    "odd_size": {"size": [15, 21], "strides": [[1, 1], [3, 1], [1, 7], [5, 3]], "levels": 4},
    "wide_pixels": {"size": [6, 32], "strides": [[1, 1], [1, 2], [1, 2], [2, 2], [3, 2]], "levels": 5},
}


def mask_of(case):
    numbers = torch.randn((2, *case["size"]), generator=torch.Generator().manual_seed(20))
    mask = (numbers * 10).abs().floor() % case["labels"]
    for value in case["absent"]:
        mask[mask == value] = 0
    for value in case["absent_first"]:
        mask[0][mask[0] == value] = 0
    if case["ignored"] == "all":
        mask[:] = IGNORED
    else:
        for sample in case["ignored"]:
            mask[sample][numbers[sample] < 0.3] = IGNORED
    return mask


def targets_of(case, mask):
    """As the training's transforms make them: of each level."""
    ignore = case["labels"]
    mask = torch.where(mask == IGNORED, ignore, mask).to(torch.int16)[:, None]
    scales = [list(i) for i in 1 / np.cumprod(np.vstack(case["strides"]), axis=0)]
    down = DownsampleSegForDSTransform(ds_scales=scales)
    samples = []
    for seg in mask:
        if case["regions"]:
            regions = [tuple(r) for r in case["regions"]] + ([ignore] if case["ignored"] else [])
            seg = ConvertSegmentationToRegionsTransform(regions=regions, channel_in_seg=0)(segmentation=seg)["segmentation"]
        samples.append(down(segmentation=seg)["segmentation"])
    return [torch.stack(level) for level in zip(*samples)]


def loss_of(case):
    """As nnUNetTrainer._build_loss."""
    dice = {"batch_dice": case["batch_dice"], "smooth": 1e-5, "do_bg": bool(case["regions"]), "ddp": False}
    if case["regions"]:
        loss = DC_and_BCE_loss({}, dice, use_ignore_label=bool(case["ignored"]), dice_class=MemoryEfficientSoftDiceLoss)
    else:
        loss = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, ignore_label=case["labels"] if case["ignored"] else None,
                              dice_class=MemoryEfficientSoftDiceLoss)
    if case["levels"] == 1:
        return (lambda output, target: loss(output[0], target[0])), [1.0]
    weights = np.array([1 / (2 ** i) for i in range(case["levels"])])
    weights[-1] = 0
    weights = weights / weights.sum()
    return DeepSupervisionWrapper(loss, weights), weights.tolist()


def numbers_of(name, case):
    targets = targets_of(case, mask_of(case))
    heads = len(case["regions"]) or case["labels"]
    logits = [(2 * torch.randn((2, heads, *target.shape[2:]), generator=torch.Generator().manual_seed(21 + i))).requires_grad_()
              for i, target in enumerate(targets)]
    loss, weights = loss_of(case)
    value = loss(logits, targets)
    value.backward()
    return value.item(), weights, {f"{name}.grad.{i}": level.grad for i, level in enumerate(logits) if level.grad is not None}


def main():
    cases, tensors = [], {}
    for name, changes in CASES.items():
        case = BASE | changes
        loss, weights, gradients = numbers_of(name, case)
        cases.append({"name": name, **case, "loss": loss, "weights": weights})
        tensors |= gradients
    (HERE / "nnunet_loss.json").write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    save_safetensors(tensors, HERE / "nnunet_loss_io.safetensors")


if __name__ == "__main__":
    main()
