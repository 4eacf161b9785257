# SPDX-License-Identifier: Apache-2.0
"""nnU-Net's network in 2D (PlainConvUNet) and its loss in plain eager PyTorch: the baseline of compare_finetune.py. By default the plan of 224 x 224 pixels."""
import torch
import torch.nn.functional as F
from torch import nn


def convs(in_channels, channels, stride=1):
    layers = []
    for i in range(2):
        conv = nn.Conv2d(channels if i else in_channels, channels, 3, 1 if i else stride, 1)
        layers += [conv, nn.InstanceNorm2d(channels, eps=1e-5, affine=True), nn.LeakyReLU(0.01, inplace=True)]
    return nn.Sequential(*layers)


class NnUnet(nn.Module):
    def __init__(self, num_classes, in_channels=3, features=(32, 64, 128, 256, 512, 512)):
        super().__init__()
        self.encoder = nn.ModuleList(convs(features[i - 1] if i else in_channels, f, 2 if i else 1) for i, f in enumerate(features))
        pairs = list(zip(features[:0:-1], features[-2::-1]))  # from the bottleneck up
        self.upsamplings = nn.ModuleList(nn.ConvTranspose2d(below, f, 2, 2) for below, f in pairs)
        self.decoder = nn.ModuleList(convs(2 * f, f) for _, f in pairs)
        self.heads = nn.ModuleList(nn.Conv2d(f, num_classes, 1) for _, f in pairs)

    def forward(self, x):
        """Logits of all levels, the highest resolution first."""
        skips = []
        for stage in self.encoder:
            skips.append(x := stage(x))
        skips.pop()
        levels = []
        for up, stage, head in zip(self.upsamplings, self.decoder, self.heads):
            x = stage(torch.cat([up(x), skips.pop()], 1))
            levels.append(head(x))
        return levels[::-1]


def loss(levels, mask):
    """Cross-entropy minus mean Dice of the foreground, over the batch; levels weighted 1, 1/2, ..., the last 0."""
    weights = [0.5 ** i for i in range(len(levels))]
    weights[-1] = 0
    total = 0
    for weight, logits in zip(weights, levels):
        if weight == 0:
            continue
        target = F.interpolate(mask[:, None].float(), logits.shape[2:], mode="nearest-exact")[:, 0].long()
        p, truth = logits.float().softmax(1)[:, 1:], F.one_hot(target, logits.shape[1]).permute(0, 3, 1, 2)[:, 1:]
        both, volume = (p * truth).sum((0, 2, 3)), (p.sum((0, 2, 3)) + truth.sum((0, 2, 3)))
        dice = (2 * both + 1e-5) / (volume + 1e-5).clamp_min(1e-8)
        total = total + weight / sum(weights) * (F.cross_entropy(logits.float(), target) - dice.mean())
    return total
