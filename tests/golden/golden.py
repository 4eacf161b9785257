# SPDX-License-Identifier: Apache-2.0
"""The golden numbers (README.md): weights and images are drawn anew, outputs are read. tests/support/golden.h does the same in C++."""
import functools
import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts" / "python")]
from make_pth import save_safetensors  # noqa: E402
from vmae_model import read_weights, sin_cos_position  # noqa: E402

STRIDE = 11  # of large tensors every eleventh number is kept: no side or number of channels is a multiple
IMAGES = {  # file -> name -> seed and shape of the normal numbers
    "mae_tiny_io": {"image": (2, (2, 3, 224, 224))},
    "unet_tiny_io": {"image_224": (5, (1, 3, 224, 224)), "image_320": (5, (1, 3, 320, 320))},
    "classifier_tiny_io": {"image_224": (7, (2, 3, 224, 224))}}


def sampled(tensor):
    """What the golden files keep of a tensor."""
    return tensor.flatten()[::STRIDE] if tensor.numel() > 4096 else tensor


def read(name):
    """What the reference computed, as sampled() leaves it, and the images that it was given."""
    tensors = read_weights(HERE / f"{name}.safetensors")[0]
    for key, (seed, shape) in IMAGES.get(name, {}).items():
        tensors[key] = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return tensors


def draw(draws, generator):
    drawn = {}
    for key, shape, kind, arguments in draws:
        numbers = torch.empty(shape)
        (numbers.normal_ if kind == "normal" else numbers.uniform_)(*arguments, generator=generator)
        drawn[key] = numbers
    return drawn


def relative_position_index(window=7):
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = (c.flatten()[:, None] - c.flatten()[None] + window - 1 for c in (y, x))
    return y * (2 * window - 1) + x


@functools.cache
def weights(name):
    """The weights of mae_tiny, mae_tiny_second, unet_tiny or classifier_tiny, as a state dict."""
    recipes = json.loads((HERE / "weights.json").read_text())
    recipe = recipes["weights"][name]
    model = recipes["models"][recipe["model"]]
    generator = torch.Generator().manual_seed(recipe["seed"])
    draw(recipe["first"], generator)
    drawn = draw(model["draws"], generator)
    generator = torch.Generator().manual_seed(recipe["perturbation_seed"])
    for key, shape, value in model["parameters"]:
        initial = drawn[key] if value is None else torch.full(shape, value)
        drawn[key] = initial + (0.1 if len(shape) == 1 else 0.02) * torch.randn(shape, generator=generator)
    computed = {"pos_embed": sin_cos_position(56, 56, 24), "relative_position_index": relative_position_index()}
    return {key: drawn[key] if key in drawn else computed[key.rsplit(".", 1)[-1]] for key in model["keys"]}


def write_weights(name, folder):
    """weights() as a file in the folder."""
    path = Path(folder) / f"{name}.safetensors"
    save_safetensors(weights(name), path)
    return path
