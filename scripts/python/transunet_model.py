# SPDX-License-Identifier: Apache-2.0
"""TransUNet R50-ViT-B/16 in plain eager PyTorch, as src/nn/transunet.cpp: the authors' state-dict keys.

Shapes: B batch, H W height and width of the image, N = H/16 W/16 tokens, C channels.
"""
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F


class StdConv(nn.Conv2d):
    """Weights of mean 0 and variance 1 per output channel."""

    def __init__(self, n_in, n_out, kernel, stride=1):
        super().__init__(n_in, n_out, kernel, stride, kernel // 2, bias=False)

    def forward(self, x):
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, correction=0)
        return F.conv2d(x, (self.weight - mean) / (variance + 1e-5).sqrt(), None, self.stride, self.padding)


class Bottleneck(nn.Module):
    def __init__(self, n_in, middle, n_out, stride):
        super().__init__()
        self.gn1, self.conv1 = nn.GroupNorm(32, middle, 1e-6), StdConv(n_in, middle, 1)
        self.gn2, self.conv2 = nn.GroupNorm(32, middle, 1e-6), StdConv(middle, middle, 3, stride)
        self.gn3, self.conv3 = nn.GroupNorm(32, n_out, 1e-6), StdConv(middle, n_out, 1)
        self.downsample = self.gn_proj = None
        if stride != 1 or n_in != n_out:
            self.downsample, self.gn_proj = StdConv(n_in, n_out, 1, stride), nn.GroupNorm(n_out, n_out, 1e-5)

    def forward(self, x):
        residual = x if self.downsample is None else self.gn_proj(self.downsample(x))
        y = F.relu(self.gn1(self.conv1(x)))
        y = F.relu(self.gn2(self.conv2(y)))
        return F.relu(residual + self.gn3(self.conv3(y)))


class ResNetV2(nn.Module):
    """(B, in, H, W) -> (B, 16 width, H/16, W/16), and the skips of half, quarter and eighth resolution."""

    def __init__(self, in_channels, width, units):
        super().__init__()
        self.root = nn.Sequential(OrderedDict(conv=StdConv(in_channels, width, 7, 2), gn=nn.GroupNorm(32, width, 1e-6), relu=nn.ReLU()))
        blocks = OrderedDict()
        for b, count in enumerate(units):
            middle, n_in = width << b, width if b == 0 else 2 * width << b
            blocks[f"block{b + 1}"] = nn.Sequential(OrderedDict(
                (f"unit{u + 1}", Bottleneck(n_in if u == 0 else 4 * middle, middle, 4 * middle, 2 if u == 0 and b > 0 else 1)) for u in range(count)))
        self.body = nn.Sequential(blocks)

    def forward(self, image):
        x = self.root(image)
        skips = [x]
        x = F.max_pool2d(x, 3, 2)
        for b, block in enumerate(self.body):
            x = block(x)
            if b + 1 < len(self.body):  # the pooling does not pad: zeros at the bottom and right edge of the skip
                height, width = (side >> b + 2 for side in image.shape[2:])
                skips.append(F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2])))
        return x, skips


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, dim, hidden, dropout):
        super().__init__()
        self.fc1, self.fc2, self.dropout = nn.Linear(dim, hidden), nn.Linear(hidden, dim), nn.Dropout(dropout)
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def forward(self, x):
        return self.dropout(self.fc2(self.dropout(F.gelu(self.fc1(x)))))


class Layer(nn.Module):
    def __init__(self, dim, heads, hidden, dropout):
        super().__init__()
        self.attention_norm, self.ffn_norm = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.ffn, self.attn = Mlp(dim, hidden, dropout), Attention(dim, heads)

    def forward(self, x):
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


def conv_norm_relu(n_in, n_out):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())


class DecoderBlock(nn.Module):
    def __init__(self, n_in, n_skip, n_out):
        super().__init__()
        self.conv1, self.conv2 = conv_norm_relu(n_in + n_skip, n_out), conv_norm_relu(n_out, n_out)

    def forward(self, x, skip):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return self.conv2(self.conv1(x if skip is None else torch.cat([x, skip], dim=1)))


class TransUNet(nn.Module):
    """Segmentation. Of the options those of other networks are passed over; image_size is (height, width), both multiples of 16."""

    def __init__(self, num_classes=2, image_size=(224, 224), in_channels=3, vit_width=768, vit_layers=12, vit_heads=12, vit_mlp=3072, dropout=0.1,
                 stem_units=(3, 4, 9), stem_width=64, decoder_channels=(512, 256, 128, 64, 16), **others):
        super().__init__()
        self.image_size, self.in_channels = tuple(image_size), in_channels
        self.transformer, self.decoder = nn.Module(), nn.Module()
        embeddings = self.transformer.embeddings = nn.Module()
        embeddings.position_embeddings = nn.Parameter(torch.zeros(1, image_size[0] // 16 * (image_size[1] // 16), vit_width))
        embeddings.hybrid_model = ResNetV2(3 if in_channels == 1 else in_channels, stem_width, stem_units)
        embeddings.patch_embeddings = nn.Conv2d(16 * stem_width, vit_width, 1)
        embeddings.dropout = nn.Dropout(dropout)
        self.transformer.encoder = nn.Module()
        self.transformer.encoder.layer = nn.ModuleList(Layer(vit_width, vit_heads, vit_mlp, dropout) for _ in range(vit_layers))
        self.transformer.encoder.encoder_norm = nn.LayerNorm(vit_width, 1e-6)
        self.decoder.conv_more = conv_norm_relu(vit_width, decoder_channels[0])
        skips = (8 * stem_width, 4 * stem_width, stem_width, 0)
        self.decoder.blocks = nn.ModuleList(DecoderBlock(n_in, skip, out) for n_in, skip, out in zip(decoder_channels, skips, decoder_channels[1:]))
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder_channels[-1], num_classes, 3, padding=1))

    def forward(self, image):
        """image (B, in_channels, height, width) -> logits (B, num_classes, height, width)."""
        embeddings, encoder = self.transformer.embeddings, self.transformer.encoder
        x, skips = embeddings.hybrid_model(image.repeat(1, 3, 1, 1) if self.in_channels == 1 else image)
        x = embeddings.patch_embeddings(x)
        grid = x.shape[2:]
        x = embeddings.dropout(x.flatten(2).transpose(1, 2) + embeddings.position_embeddings)
        for layer in encoder.layer:
            x = layer(x)
        x = self.decoder.conv_more(encoder.encoder_norm(x).transpose(1, 2).unflatten(2, grid))
        for block, skip in zip(self.decoder.blocks, (*reversed(skips), None)):
            x = block(x, skip)
        return self.segmentation_head(x)
