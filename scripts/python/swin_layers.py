# SPDX-License-Identifier: Apache-2.0
"""The layers of the Swin Transformer that vmae_model.py builds its models from.

Shapes: B batch, H W token grid (one token = 4x4 pixels), C channels, h heads, N tokens per window (49). Activations are BHWC.
"""
import functools

import torch
import torch.nn.functional as F
from torch import nn

PATCH = 4        # pixels along the side of a token


class DropPath(nn.Module):
    """Drops a residual branch per sample, and scales the survivors so that the mean stays."""

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, x):
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        return x * x.new_empty(x.shape[0], 1, 1, 1).bernoulli_(keep).div_(keep)


def partition_windows(x, w):
    """(B, H, W, C) -> (B * nW, w * w, C); H and W are multiples of w, windows in row-major order."""
    B, H, W, C = x.shape
    x = x.view(B, H // w, w, W // w, w, C)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, C)


def join_windows(x, w, H, W):
    """The inverse of partition_windows."""
    C = x.shape[-1]
    x = x.view(-1, H // w, W // w, w, w, C)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, H, W, C)


@functools.lru_cache(maxsize=64)
def shift_mask(H, W, shift, w, device):
    """(nW, N, N): -100 between tokens that only the cyclic shift brought into one window, else 0. H, W: padded grid."""
    def regions(size, s):
        i = torch.arange(size, device=device)
        return (i >= size - w).long() + (i >= size - s).long() if s else torch.zeros_like(i)

    region = 3 * regions(H, shift[0])[:, None] + regions(W, shift[1])[None, :]      # (H, W)
    region = partition_windows(region.view(1, H, W, 1), w).squeeze(-1)              # (nW, N)
    return torch.where(region[:, None, :] == region[:, :, None], 0.0, -100.0)


def relative_position_index(w):
    """(N, N): row of the bias table for query i and key j, (dy + w - 1) * (2w - 1) + (dx + w - 1)."""
    y, x = torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y[None, :] + w - 1) * (2 * w - 1) + (x[:, None] - x[None, :] + w - 1)


class WindowAttention(nn.Module):
    def __init__(self, dim, num_heads, window_size):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window_size - 1) ** 2, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_position_index(window_size))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, mask=None):
        """x (B * nW, N, C), mask (nW, N, N) or None."""
        Bw, N, C = x.shape
        q, k, v = self.qkv(x).view(Bw, N, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)  # each (B * nW, h, N, d)
        attn = (q * self.scale) @ k.transpose(-2, -1)                                    # (B * nW, h, N, N)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)]  # (N * N, h)
        attn = attn + bias.view(N, N, self.num_heads).permute(2, 0, 1)
        if mask is not None:
            attn = attn.view(-1, mask.shape[0], self.num_heads, N, N) + mask[:, None].to(attn.dtype)
            attn = attn.view(Bw, self.num_heads, N, N)
        x = attn.softmax(dim=-1) @ v
        return self.proj(x.transpose(1, 2).reshape(Bw, N, C))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class SwinBlock(nn.Module):
    def __init__(self, dim, num_heads, shifted, drop_path, window_size, mlp_ratio, shift_small_grids, eps):
        super().__init__()
        self.window_size = window_size
        self.shift_size = window_size // 2 if shifted else 0
        self.shift_small_grids = shift_small_grids
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = WindowAttention(dim, num_heads, window_size)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))

    def attend(self, x):
        """Window attention over a grid of any size: padded with zeros at the bottom and right, shifted, and back."""
        H, W, w = x.shape[1], x.shape[2], self.window_size
        sy, sx = (self.shift_size if size > w or self.shift_small_grids else 0 for size in (H, W))
        if H % w or W % w:
            x = F.pad(x, (0, 0, 0, -W % w, 0, -H % w))
        Hp, Wp, mask = x.shape[1], x.shape[2], None
        if sy or sx:
            x = torch.roll(x, (-sy, -sx), dims=(1, 2))
            mask = shift_mask(Hp, Wp, (sy, sx), w, x.device)
        x = join_windows(self.attn(partition_windows(x, w), mask), w, Hp, Wp)
        if sy or sx:
            x = torch.roll(x, (sy, sx), dims=(1, 2))
        return x[:, :H, :W]

    def forward(self, x):
        x = x + self.drop_path(self.attend(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """(B, C, height, width) pixels -> (B, H, W, dim), H = height / 4 rounded up; zeros at the bottom and right edge."""

    def __init__(self, in_channels, dim, eps):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, PATCH, PATCH)
        self.norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, image):
        image = F.pad(image, (0, -image.shape[3] % PATCH, 0, -image.shape[2] % PATCH))
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """(B, H, W, C) -> (B, H/2, W/2, 2C); an odd grid is padded first."""

    def __init__(self, dim, eps):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=eps)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # (row parity, column parity): (0, 0), (1, 0), (0, 1), (1, 1)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=-1)
        return self.reduction(self.norm(x))


class PatchExpanding(nn.Module):
    """(B, H, W, C) -> (B, side * H, side * W, out_dim), by default C/2; the channels after `expand` are laid out (row, column, out_dim)."""

    def __init__(self, dim, eps, side=2, out_dim=None):
        super().__init__()
        self.side, self.out_dim = side, out_dim or dim // 2
        self.expand = nn.Linear(dim, side * side * self.out_dim, bias=False)
        self.norm = nn.LayerNorm(self.out_dim, eps=eps)

    def forward(self, x):
        B, H, W, _ = x.shape
        x = self.expand(x).view(B, H, W, self.side, self.side, self.out_dim)
        return self.norm(x.permute(0, 1, 3, 2, 4, 5).reshape(B, self.side * H, self.side * W, self.out_dim))


class Stage(nn.Module):
    def __init__(self, blocks, downsample=None, upsample=None):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample, self.upsample = downsample, upsample

    def forward(self, x):
        resample = self.downsample or self.upsample
        return resample(self.blocks(x)) if resample else self.blocks(x)
