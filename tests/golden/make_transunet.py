#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes transunet_tiny_io.safetensors: what transunet_oracle.py, a second implementation, computes of a small TransUNet. Weights and images are drawn anew by
tests/unit/nn/transunet_test.cpp; of large tensors every eleventh number is kept (golden.py).

usage: make_transunet.py      Python with torch, and timm for the transformer's layers
"""
import math

import torch
from golden import HERE, sampled
from make_pth import save_safetensors
from transunet_oracle import Config, check_against_timm, drawn_weights, forward, is_buffer, shapes

TINY = dict(classes=3, width=24, layers=2, heads=3, mlp=40, stem_width=32, units=(1, 2, 1), decoder=(16, 12, 8, 8, 4))
CASES = {"colour": (Config(image=(64, 96), channels=3, **TINY), 2), "grey": (Config(image=(48, 32), channels=1, **TINY), 3)}
GRADIENTS = ("transformer.embeddings.hybrid_model.root.conv.weight", "transformer.embeddings.hybrid_model.body.block2.unit1.downsample.weight",
             "transformer.embeddings.hybrid_model.body.block1.unit1.gn3.bias", "transformer.embeddings.position_embeddings",
             "transformer.encoder.layer.0.attn.key.weight", "transformer.encoder.layer.1.ffn.fc1.bias", "decoder.conv_more.1.weight",
             "decoder.blocks.1.conv1.0.weight", "segmentation_head.0.bias")


def main():
    full = Config()
    count = sum(math.prod(shape) for key, shape in shapes(full).items() if not is_buffer(key))
    assert count == 105_277_081, count
    check_against_timm()
    out = {}
    for name, (config, samples) in CASES.items():
        image = torch.randn((samples, config.channels, *config.image), generator=torch.Generator().manual_seed(5))
        for mode in ("eval", "train"):
            weights = drawn_weights(config, seed=11)
            for key in weights:
                weights[key].requires_grad_(not is_buffer(key))
            logits = forward(weights, config, image, training=mode == "train")
            logits.square().mean().backward()
            out[f"{name}.{mode}.logits"] = sampled(logits.detach()).clone()
            for key in GRADIENTS:
                out[f"{name}.{mode}.grad.{key}"] = sampled(weights[key].grad).clone()
            if mode == "train":
                for key in weights:
                    if key.endswith(("running_mean", "running_var")):
                        out[f"{name}.{mode}.{key}"] = weights[key].detach().clone()
    save_safetensors(out, HERE / "transunet_tiny_io.safetensors")


if __name__ == "__main__":
    main()
