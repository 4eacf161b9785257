# SPDX-License-Identifier: Apache-2.0
"""Swin masked autoencoder (VISION-MAE) in plain eager PyTorch, for going on in Python with weights that vmae trained.

The same function as the C++ model (src/nn), with the same state-dict keys in the same order. Needs torch, and safetensors to read our files.
Shapes: B batch, H W token grid (one token = 4x4 pixels), C channels, h heads, N tokens per window (49). Activations are BHWC.
"""
import argparse
import functools
import json

import torch
import torch.nn.functional as F
from torch import nn

PATCH = 4        # pixels along the side of a token
UNIT = 4         # tokens along the side of a masking unit
NOT_WEIGHTS = ("optimizer.", "state.")  # what a training checkpoint holds beside the weights


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
    def __init__(self, in_channels, dim, eps):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, PATCH, PATCH)
        self.norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, image):
        return self.norm(self.proj(image).permute(0, 2, 3, 1))          # (B, H, W, C)


class PatchMerging(nn.Module):
    """(B, H, W, C) -> (B, H/2, W/2, 2C); an odd grid is padded first."""

    def __init__(self, dim, eps):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim, eps=eps)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x):
        if x.shape[1] % 2 or x.shape[2] % 2:
            x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        # (row parity, column parity): (0, 0), (1, 0), (0, 1), (1, 1)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], dim=-1)
        return self.reduction(self.norm(x))


class PatchExpanding(nn.Module):
    """(B, H, W, C) -> (B, 2H, 2W, C/2); the 2C channels are laid out (row, column, C/2)."""

    def __init__(self, dim, eps):
        super().__init__()
        self.expand = nn.Linear(dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(dim // 2, eps=eps)

    def forward(self, x):
        B, H, W, C = x.shape
        x = self.expand(x).view(B, H, W, 2, 2, C // 2)
        return self.norm(x.permute(0, 1, 3, 2, 4, 5).reshape(B, 2 * H, 2 * W, C // 2))


class Stage(nn.Module):
    def __init__(self, blocks, downsample=None, upsample=None):
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample, self.upsample = downsample, upsample

    def forward(self, x):
        resample = self.downsample or self.upsample
        return resample(self.blocks(x)) if resample else self.blocks(x)


def sin_cos_position(H, W, dim):
    """(1, H * W, dim): [sin, cos](column * f), [sin, cos](row * f), f = 10000^(-k / (dim/4)). Only stored, never added."""
    frequency = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    x, y = (p.reshape(-1, 1) * frequency for p in (column, row))
    return torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).float().unsqueeze(0)


class SwinMAE(nn.Module):
    """image_size is (height, width), multiples of 32. It fixes only the stored pos_embed: forward takes any such size."""

    def __init__(self, image_size=(224, 224), in_channels=3, embed_dim=96, depths=(2, 2, 2, 2), num_heads=(3, 6, 12, 24), window_size=7,
                 mlp_ratio=4, drop_path_rate=0.1, mask_ratio=0.75, norm_pix_loss=False, shift_small_grids=True, layer_norm_eps=1e-6):
        super().__init__()
        self.image_size, self.mask_ratio, self.norm_pix_loss = tuple(image_size), mask_ratio, norm_pix_loss
        eps, last = layer_norm_eps, len(depths) - 1
        rates = torch.linspace(0, drop_path_rate, sum(depths)).split(list(depths))

        def blocks(i):  # of encoder stage i, and of its mirror in the decoder
            return [SwinBlock(embed_dim * 2**i, num_heads[i], j % 2 == 1, rates[i][j].item(), window_size, mlp_ratio, shift_small_grids, eps)
                    for j in range(depths[i])]

        H, W = self.image_size[0] // PATCH, self.image_size[1] // PATCH
        self.pos_embed = nn.Parameter(sin_cos_position(H, W, embed_dim), requires_grad=False)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.patch_embed = PatchEmbed(in_channels, embed_dim, eps)
        self.layers = nn.Sequential(*(
            Stage(blocks(i), downsample=PatchMerging(embed_dim * 2**i, eps) if i < last else None) for i in range(last + 1)))
        self.first_patch_expanding = PatchExpanding(embed_dim * 2**last, eps)
        self.layers_up = nn.Sequential(*(
            Stage(blocks(i), upsample=PatchExpanding(embed_dim * 2**i, eps) if i > 0 else None) for i in reversed(range(last))))
        self.norm_up = nn.LayerNorm(embed_dim, eps=eps)
        self.decoder_pred = nn.Linear(embed_dim, PATCH * PATCH * in_channels)

        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def patchify(self, image):
        """(B, C, 4H, 4W) -> (B, H * W, 4 * 4 * C), channel fastest."""
        B, C, height, width = image.shape
        x = image.view(B, C, height // PATCH, PATCH, width // PATCH, PATCH)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(B, -1, PATCH * PATCH * C)

    def make_mask(self, noise, H, W):
        """noise (B, units), units in row-major order -> (B, H, W) bool, true = masked. The units with the smallest noise are kept."""
        B, units = noise.shape
        kept = noise.argsort(dim=1)[:, :int(units * (1 - self.mask_ratio))]
        mask = torch.ones(B, units, dtype=torch.bool, device=noise.device).scatter_(1, kept, False)
        return mask.view(B, H // UNIT, W // UNIT).repeat_interleave(UNIT, 1).repeat_interleave(UNIT, 2)

    def encode(self, image):
        """image (B, in_channels, height, width) -> features (B, height/32, width/32, 8 * embed_dim), nothing masked."""
        return self.layers(self.patch_embed(image))

    def forward(self, image, noise=None):
        """Returns loss (scalar), pred (B, H * W, 16 * in_channels) and mask (B, H * W), 1 = masked.
        noise: (B, H * W / 16) uniform numbers whose order decides what is masked; drawn here if None."""
        if image.shape[2] % 32 or image.shape[3] % 32:
            raise ValueError(f"image size {tuple(image.shape[2:])}: height and width must be multiples of 32")
        tokens = self.patch_embed(image)                                  # (B, H, W, C)
        B, H, W, _ = tokens.shape
        if noise is None:
            noise = torch.rand(B, H * W // UNIT**2, device=image.device)
        hidden = self.make_mask(noise, H, W)
        x = self.layers(torch.where(hidden.unsqueeze(-1), self.mask_token, tokens))  # (B, H/8, W/8, 8C)
        x = self.layers_up(self.first_patch_expanding(x))                 # (B, H, W, C)
        pred = self.decoder_pred(self.norm_up(x)).flatten(1, 2)           # (B, H * W, 16 * in_channels)
        mask = hidden.flatten(1).float()
        return self.loss(image, pred, mask), pred, mask

    def loss(self, image, pred, mask):
        """Mean squared error of a patch, averaged over the masked patches."""
        target = self.patchify(image)
        if self.norm_pix_loss:
            target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
        error = ((pred - target) ** 2).mean(-1)
        return (error * mask).sum() / mask.sum()

    def load_weights(self, path, allow_other_keys=False):
        """Loads a .safetensors or .pth file. Every weight of the model must be there with its shape; a key that the model
        does not have is an error (RuntimeError) unless allow_other_keys."""
        weights, _ = read_weights(path)
        if allow_other_keys:
            weights = {k: v for k, v in weights.items() if k in self.state_dict()}
        self.load_state_dict(weights)


def read_weights(path):
    """-> ({key: tensor}, model options or None), of our safetensors files or of a .pth: a dict of tensors, or one under "model"."""
    if str(path).endswith(".safetensors"):
        from safetensors import safe_open
        with safe_open(str(path), "pt") as file:
            weights = {k: file.get_tensor(k) for k in file.keys() if not k.startswith(NOT_WEIGHTS)}
            options = json.loads((file.metadata() or {}).get("model_options", "null"))
        return weights, options
    with torch.serialization.safe_globals([argparse.Namespace]):  # the usual "args" of a checkpoint; holds only attributes
        content = torch.load(path, map_location="cpu", weights_only=True)
    weights = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        raise ValueError(f"{path}: expected a dict of tensors, or a dict with one under 'model'")
    return dict(weights), None


def load_mae(path, **options):
    """The model that a file holds, in eval mode. Our files say how it was built; for a .pth give what differs from the defaults."""
    model = SwinMAE(**{**(read_weights(path)[1] or {}), **options})
    model.load_weights(path)
    return model.eval()
