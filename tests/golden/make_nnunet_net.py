#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nnU-Net's network in 2D, as an oracle for src/nn/nnunet.cpp and src/weights/nnunet.cpp. Writes nnunet_net.json and nnunet_net_io.safetensors beside itself.

usage: make_nnunet_net.py      needs dynamic-network-architectures 0.4.4, torch and safetensors

nnunet_net.json: `nets`, three small networks, what they are built from and the keys of their state dicts in order; `parameters`, how many a network of
nnunet_planner.json has, by its row there. nnunet_net_io.safetensors: `NET.level.N`, logits of all heads, the highest resolution first, and `NET.grad.KEY`,
gradients of the sum over the levels of mean(logits^2), of all parameters but biases of convolutions in front of a norm, which takes them away again.
Weights are drawn after seed 11, images after seed 5, times 0.1, so that the norm's epsilon matters; of large tensors every eleventh number is kept."""
import json

import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from golden import HERE, sampled
from make_pth import save_safetensors
from torch import nn
from transunet_oracle import drawn

NETS = {
    "wide_pixels": {"size": [32, 16], "channels": 1, "classes": 2, "features_per_stage": [4, 6, 8, 8], "kernel_sizes": [[3, 1], [3, 3], [3, 3], [3, 3]],
                    "strides": [[1, 1], [2, 1], [2, 2], [2, 2]], "n_conv_per_stage": [2] * 4, "n_conv_per_stage_decoder": [2] * 3, "conv_bias": True},
    "three_stages": {"size": [28, 28], "channels": 1, "classes": 3, "features_per_stage": [5, 7, 9], "kernel_sizes": [[3, 3]] * 3,
                     "strides": [[1, 1], [2, 2], [2, 2]], "n_conv_per_stage": [1, 2, 3], "n_conv_per_stage_decoder": [3, 1], "conv_bias": True},
    "two_channels": {"size": [48, 64], "channels": 2, "classes": 4, "features_per_stage": [4, 8, 10, 10], "kernel_sizes": [[1, 3], [1, 3], [3, 3], [5, 3]],
                     "strides": [[1, 1], [1, 2], [2, 2], [3, 2]], "n_conv_per_stage": [2] * 4, "n_conv_per_stage_decoder": [2] * 3, "conv_bias": False},
}
# Of networks in nnunet_planner.json: shape of the images, labels, and how many parameters are known where they are.
KNOWN = {(512, 512, 2): 46_324_558, (320, 320, 2): 33_471_820, (224, 224, 2): 20_619_082, (256, 216, 4): 20_621_076, (64, 64, 2): 7_766_344,
         (28, 28, 2): 467_396, (35, 35, 3): 1_928_489, (256, 100, 2): None}


def build(channels, classes, net):
    return PlainConvUNet(channels, len(net["features_per_stage"]), net["features_per_stage"], nn.Conv2d, net["kernel_sizes"], net["strides"],
                         net["n_conv_per_stage"], classes, net["n_conv_per_stage_decoder"], conv_bias=net["conv_bias"], norm_op=nn.InstanceNorm2d,
                         norm_op_kwargs={"eps": 1e-5, "affine": True}, nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True)


def numbers_of(name, config):
    net = build(config["channels"], config["classes"], config)
    parameters = dict(net.named_parameters())  # each once, by its first name
    net.load_state_dict(drawn({key: tuple(p.shape) for key, p in parameters.items()}, seed=11), strict=False)
    image = 0.1 * torch.randn((2, config["channels"], *config["size"]), generator=torch.Generator().manual_seed(5))
    levels = net(image)
    sum(level.square().mean() for level in levels).backward()
    out = {f"{name}.level.{i}": sampled(level.detach()).clone() for i, level in enumerate(levels)}
    for key, parameter in parameters.items():
        if not key.endswith(".conv.bias"):
            out[f"{name}.grad.{key}"] = sampled(parameter.grad).clone()
    return out, list(net.state_dict())


def counts():
    rows = json.loads((HERE / "nnunet_planner.json").read_text())
    for (height, width, labels), known in KNOWN.items():
        i, row = next((i, r) for i, r in enumerate(rows) if r["shapes"] == [[1, height, width]] and r["labels"] == labels)
        stages = len(row["features"])
        net = {"features_per_stage": row["features"], "kernel_sizes": row["kernels"], "strides": row["strides"], "n_conv_per_stage": [2] * stages,
               "n_conv_per_stage_decoder": [2] * (stages - 1), "conv_bias": True}
        with torch.device("meta"):
            count = sum(p.numel() for p in build(len(row["channels"]), labels, net).parameters())
        assert known in (None, count), (height, width, labels, count)
        yield {"row": i, "parameters": count}


def main():
    tensors, nets = {}, []
    for name, config in NETS.items():
        out, keys = numbers_of(name, config)
        tensors |= out
        nets.append({"name": name, **config, "keys": keys})
    save_safetensors(tensors, HERE / "nnunet_net_io.safetensors")
    (HERE / "nnunet_net.json").write_text(json.dumps({"nets": nets, "parameters": list(counts())}, indent=0) + "\n")


if __name__ == "__main__":
    main()
