# SPDX-License-Identifier: Apache-2.0
"""TransUNet (Chen et al. 2021) in plain PyTorch, written from its description for make_transunet.py to compare with: functions of a state dict, no modules.

B batch, H W height and width, C channels, N tokens
"""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass
class Config:
    image: tuple = (224, 224)
    channels: int = 3  # of the image; 1 is repeated to 3
    classes: int = 9
    width: int = 768
    layers: int = 12
    heads: int = 12
    mlp: int = 3072
    stem_width: int = 64
    units: tuple = (3, 4, 9)
    decoder: tuple = (512, 256, 128, 64, 16)


def shapes(c: Config):
    """The state dict: key -> shape."""
    out = {}

    def norm(name, n):
        out[f"{name}.weight"] = out[f"{name}.bias"] = (n,)

    def linear(name, n_in, n_out):
        out[f"{name}.weight"], out[f"{name}.bias"] = (n_out, n_in), (n_out,)

    def conv_bn(name, n_in, n_out):
        out[f"{name}.0.weight"] = (n_out, n_in, 3, 3)
        norm(f"{name}.1", n_out)
        out[f"{name}.1.running_mean"] = out[f"{name}.1.running_var"] = (n_out,)
        out[f"{name}.1.num_batches_tracked"] = ()

    stem = "transformer.embeddings.hybrid_model"
    out[f"{stem}.root.conv.weight"] = (c.stem_width, 3 if c.channels == 1 else c.channels, 7, 7)
    norm(f"{stem}.root.gn", c.stem_width)
    for block, units in enumerate(c.units, 1):
        middle = c.stem_width * 2 ** (block - 1)
        for unit in range(1, units + 1):
            name = f"{stem}.body.block{block}.unit{unit}"
            n_in = 4 * middle if unit > 1 else c.stem_width if block == 1 else 2 * middle
            for i, (a, b, k) in enumerate(((n_in, middle, 1), (middle, middle, 3), (middle, 4 * middle, 1)), 1):
                out[f"{name}.conv{i}.weight"] = (b, a, k, k)
                norm(f"{name}.gn{i}", b)
            if unit == 1:
                out[f"{name}.downsample.weight"] = (4 * middle, n_in, 1, 1)
                norm(f"{name}.gn_proj", 4 * middle)
    out["transformer.embeddings.patch_embeddings.weight"] = (c.width, 16 * c.stem_width, 1, 1)
    out["transformer.embeddings.patch_embeddings.bias"] = (c.width,)
    out["transformer.embeddings.position_embeddings"] = (1, c.image[0] // 16 * (c.image[1] // 16), c.width)
    for i in range(c.layers):
        name = f"transformer.encoder.layer.{i}"
        norm(f"{name}.attention_norm", c.width)
        norm(f"{name}.ffn_norm", c.width)
        for one in ("query", "key", "value", "out"):
            linear(f"{name}.attn.{one}", c.width, c.width)
        linear(f"{name}.ffn.fc1", c.width, c.mlp)
        linear(f"{name}.ffn.fc2", c.mlp, c.width)
    norm("transformer.encoder.encoder_norm", c.width)
    conv_bn("decoder.conv_more", c.width, c.decoder[0])
    for i, skip in enumerate((8, 4, 1, 0)):
        conv_bn(f"decoder.blocks.{i}.conv1", c.decoder[i] + skip * c.stem_width, c.decoder[i + 1])
        conv_bn(f"decoder.blocks.{i}.conv2", c.decoder[i + 1], c.decoder[i + 1])
    out["segmentation_head.0.weight"], out["segmentation_head.0.bias"] = (c.classes, c.decoder[4], 3, 3), (c.classes,)
    return out


def is_buffer(key):
    return key.endswith(("running_mean", "running_var", "num_batches_tracked"))


def drawn_weights(c: Config, seed):
    return drawn(shapes(c), seed)


def drawn(shapes, seed):
    """Weights of a size at which every part matters, drawn in the order of the sorted keys; tests/support/golden.h draws the same."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in sorted(shapes.items()):
        if not shape:
            weights[key] = torch.zeros((), dtype=torch.int64)
            continue
        r = torch.randn(shape, generator=generator)
        if key.endswith("running_var"):
            weights[key] = 1 + 0.2 * r.abs()
        elif len(shape) == 1:
            weights[key] = 0.1 * r + (1 if key.endswith("weight") else 0)
        else:
            weights[key] = r / math.sqrt(math.prod(shape[1:]))
    return weights


def std_conv(x, w, stride=1):
    flat = w.flatten(1)
    flat = (flat - flat.mean(1, keepdim=True)) / (flat.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return F.conv2d(x, flat.view_as(w), stride=stride, padding=w.shape[-1] // 2)


def group_norm(w, name, x, groups=32, eps=1e-6):
    return F.group_norm(x, groups, w[f"{name}.weight"], w[f"{name}.bias"], eps)


def bottleneck(w, name, x, stride):
    y = F.relu(group_norm(w, f"{name}.gn1", std_conv(x, w[f"{name}.conv1.weight"])))
    y = F.relu(group_norm(w, f"{name}.gn2", std_conv(y, w[f"{name}.conv2.weight"], stride)))
    y = group_norm(w, f"{name}.gn3", std_conv(y, w[f"{name}.conv3.weight"]))
    if f"{name}.downsample.weight" in w:
        x = std_conv(x, w[f"{name}.downsample.weight"], stride)
        x = group_norm(w, f"{name}.gn_proj", x, groups=x.shape[1], eps=1e-5)
    return F.relu(x + y)


def layer_norm(w, name, x):
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)


def linear(w, name, x):
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def vit_layer(w, name, x, heads):
    y = layer_norm(w, f"{name}.attention_norm", x)
    q, k, v = (linear(w, f"{name}.attn.{one}", y).unflatten(-1, (heads, -1)) for one in ("query", "key", "value"))
    scores = torch.einsum("bnhd,bmhd->bhnm", q, k) / math.sqrt(q.shape[-1])
    x = x + linear(w, f"{name}.attn.out", torch.einsum("bhnm,bmhd->bnhd", scores.softmax(-1), v).flatten(2))
    return x + linear(w, f"{name}.ffn.fc2", F.gelu(linear(w, f"{name}.ffn.fc1", layer_norm(w, f"{name}.ffn_norm", x))))


def vit(w, c: Config, x):
    for i in range(c.layers):
        x = vit_layer(w, f"transformer.encoder.layer.{i}", x, c.heads)
    return layer_norm(w, "transformer.encoder.encoder_norm", x)


def conv_bn_relu(w, name, x, training):
    bn = {key: w[f"{name}.1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
    x = F.conv2d(x, w[f"{name}.0.weight"], padding=1)
    return F.relu(F.batch_norm(x, **bn, training=training, momentum=0.1, eps=1e-5))


def forward(w, c: Config, image, training=False):
    """Logits (B, classes, H, W). training: batch norm by the batch, whose running statistics in `w` move; no dropout either way."""
    x = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
    stem, (height, width) = "transformer.embeddings.hybrid_model", image.shape[2:]
    x = F.relu(group_norm(w, f"{stem}.root.gn", std_conv(x, w[f"{stem}.root.conv.weight"], 2)))
    skips = [x]
    x = F.max_pool2d(x, 3, 2)
    for block, units in enumerate(c.units, 1):
        for unit in range(1, units + 1):
            x = bottleneck(w, f"{stem}.body.block{block}.unit{unit}", x, 2 if block > 1 and unit == 1 else 1)
        if block < 3:
            skip = x.new_zeros((*x.shape[:2], height // 2 ** (block + 1), width // 2 ** (block + 1)))
            skip[:, :, :x.shape[2], :x.shape[3]] = x
            skips.append(skip)
    name = "transformer.embeddings.patch_embeddings"
    x = F.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"])
    grid = x.shape[2:]
    x = vit(w, c, x.flatten(2).mT + w["transformer.embeddings.position_embeddings"])
    x = conv_bn_relu(w, "decoder.conv_more", x.mT.unflatten(2, grid), training)
    for i in range(4):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        if i < 3:
            x = torch.cat([x, skips[2 - i]], 1)
        for conv in ("conv1", "conv2"):
            x = conv_bn_relu(w, f"decoder.blocks.{i}.{conv}", x, training)
    return F.conv2d(x, w["segmentation_head.0.weight"], w["segmentation_head.0.bias"], padding=1)


def check_against_timm():
    """The twelve layers of the transformer, at full size, are timm's."""
    import timm
    c = Config()
    model = timm.create_model("vit_base_r50_s16_224", pretrained=False).eval()
    generator = torch.Generator().manual_seed(1)
    names = [key for key in shapes(c) if key.startswith("transformer.encoder.")]
    w = {key: 0.03 * torch.randn(shapes(c)[key], generator=generator) + (1 if key.endswith("norm.weight") else 0) for key in names}
    theirs = {"norm.weight": w["transformer.encoder.encoder_norm.weight"], "norm.bias": w["transformer.encoder.encoder_norm.bias"]}
    for i in range(c.layers):
        ours, block = f"transformer.encoder.layer.{i}", f"blocks.{i}"
        for kind in ("weight", "bias"):
            theirs[f"{block}.attn.qkv.{kind}"] = torch.cat([w[f"{ours}.attn.{one}.{kind}"] for one in ("query", "key", "value")])
            for a, b in (("attn.proj", "attn.out"), ("norm1", "attention_norm"), ("norm2", "ffn_norm"), ("mlp.fc1", "ffn.fc1"), ("mlp.fc2", "ffn.fc2")):
                theirs[f"{block}.{a}.{kind}"] = w[f"{ours}.{b}.{kind}"]
    missing, unexpected = model.load_state_dict(theirs, strict=False)
    assert not unexpected and not [key for key in missing if key.startswith(("blocks.", "norm."))], (missing, unexpected)
    tokens = torch.randn((1, 196, c.width), generator=generator)
    with torch.no_grad():
        expected = model.norm(model.blocks(tokens))
        assert (vit(w, c, tokens) - expected).abs().max() < 1e-4 * expected.abs().max()
