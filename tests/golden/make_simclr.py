# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/simclr.safetensors: the loss of SimCLR as lightly's NTXentLoss computes it (times two, as the authors' code adds the means of the two views), a projection head
of torch's own layers, and views as torchvision's functions on tensors make them at fixed parameters. Images and rows are drawn anew by the tests after the seeds below.

Run: python make_simclr.py (needs lightly 1.6.0 and torchvision)"""
import torch
from lightly.loss import NTXentLoss
from make_pth import HERE, save_safetensors
from torch import nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as f

LOSSES = ((6, 16, 0.1), (3, 5, 0.5), (33, 8, 0.07), (1, 4, 0.1))  # images, width, temperature; drawn after seed 20 + place
HEAD = (10, 24, 8)  # rows, width, outputs
# order, brightness, contrast, saturation, turn of hue, becomes grey, sigma or 0: no blur
CHANGES = (((0, 1, 2, 3), 1.3, 0.6, 1.7, 0.1, False, 0.0),
           ((3, 2, 1, 0), 0.7, 1.5, 0.2, -0.17, False, 1.1),
           ((2, 0, 3, 1), 1.8, 0.3, 0.0, 0.2, True, 0.4),
           ((1, 3, 0, 2), 0.4, 1.0, 1.2, -0.2, False, 2.0))
PARTS = ((0, 0, 48, 40), (3, 10, 20, 31), (49, 69, 1, 1), (12, 5, 7, 40), (30, 2, 16, 9))  # row, column, height, width; of 50 x 70
SIZE = (48, 40)


def drawn(seed, *shape, rand=torch.randn):
    return rand(shape, generator=torch.Generator().manual_seed(seed))


def losses():
    tensors = {}
    for place, (rows, width, temperature) in enumerate(LOSSES):
        a, b = (drawn(20 + place, 2, rows, width)[view].clone().requires_grad_() for view in (0, 1))
        loss = 2 * NTXentLoss(temperature=temperature)(a, b)
        loss.backward()
        tensors |= {f"loss.{place}": loss.detach(), f"loss.{place}.a": a.grad, f"loss.{place}.b": b.grad}
    return tensors


def head():
    rows, width, outputs = HEAD
    layers = [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
              nn.Linear(width, outputs, bias=False), nn.BatchNorm1d(outputs)]
    model = nn.Sequential(*layers).train()
    generator = torch.Generator().manual_seed(30)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 0.2) + (1.0 if name.endswith("weight") and parameter.ndim == 1 else 0.0))
        model[7].bias.zero_()
    model[7].bias.requires_grad_(False)
    x = drawn(31, rows, width).requires_grad_()
    out = model(x)
    (out * drawn(32, rows, outputs)).sum().backward()
    tensors = {"head.out": out.detach(), "head.x.grad": x.grad}
    for layer, (linear, norm) in enumerate(((0, 1), (3, 4), (6, 7))):
        for key, parameter in ((f"{layer}.linear.weight", model[linear].weight), (f"{layer}.norm.weight", model[norm].weight), (f"{layer}.norm.bias", model[norm].bias)):
            if parameter.requires_grad:
                tensors |= {f"head.layers.{key}": parameter.detach(), f"head.grad.layers.{key}": parameter.grad}
    return tensors


def view(image, order, brightness, contrast, saturation, hue, becomes_grey, sigma):
    colour = image.shape[0] == 3
    steps = (lambda x: f.adjust_brightness(x, brightness), lambda x: f.adjust_contrast(x, contrast),
             lambda x: f.adjust_saturation(x, saturation) if colour else x, lambda x: f.adjust_hue(x, hue) if colour else x)
    for step in order:
        image = steps[step](image)
    if becomes_grey and colour:
        image = f.rgb_to_grayscale(image, num_output_channels=3)
    return f.gaussian_blur(image, [5, 5], [sigma, sigma]) if sigma else image


def views():
    colour, grey = drawn(40, len(CHANGES), 3, 40, 56, rand=torch.rand), drawn(41, len(CHANGES), 1, 40, 56, rand=torch.rand)
    changes = {"order": torch.tensor([c[0] for c in CHANGES]), "factors": torch.tensor([c[1:4] for c in CHANGES]), "hue": torch.tensor([c[4] for c in CHANGES]),
               "becomes_grey": torch.tensor([float(c[5]) for c in CHANGES]), "sigma": torch.tensor([c[6] for c in CHANGES])}
    return {f"views.{key}": value for key, value in changes.items()} | {
        "views.colour": torch.stack([view(image, *c) for image, c in zip(colour, CHANGES)]).flatten()[::7].contiguous(),
        "views.grey": torch.stack([view(image, *c) for image, c in zip(grey, CHANGES)]).flatten()[::7].contiguous()}


def parts():
    image = drawn(42, 3, 50, 70, rand=torch.rand)
    cut = [f.resized_crop(image, *part, list(SIZE), InterpolationMode.BICUBIC, antialias=False) for part in PARTS]
    return {"parts": torch.tensor(PARTS), "parts.size": torch.tensor(SIZE), "parts.cut": torch.stack(cut).flatten(1)[:, ::7].contiguous()}


if __name__ == "__main__":
    save_safetensors(losses() | head() | views() | parts(), HERE / "simclr.safetensors")
