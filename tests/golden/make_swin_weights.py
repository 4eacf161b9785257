# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/swin: a small Swin Transformer in the key naming of Microsoft, timm and torchvision, and its logits as timm and torchvision compute them.

Image 128, window 4, embed_dim 4, depths (2, 2, 6, 2), heads (1, 2, 2, 4), MLP ratio 1, 5 classes, LayerNorm eps 1e-5, no shift where the grid is one window (the last stage).
Run: python make_swin_weights.py"""
import re
from collections import OrderedDict

import torch
from make_pth import HERE, save_safetensors

from swin_layers import relative_position_index, shift_mask

SIZE, WINDOW, CLASSES = 128, 4, 5
DEPTHS, HEADS = (2, 2, 6, 2), (1, 2, 2, 4)


def perturb(model, seed):
    """No weight keeps a trivial value (LayerNorm 1, bias 0), so that each of them counts; a dim patch embedding, so that LayerNorm's epsilon does."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += (0.2 if p.ndim == 1 else 0.5 * p[0].numel() ** -0.5) * torch.randn(p.shape, generator=generator)
        for p in list(model.parameters())[:2]:  # the patch embedding's convolution
            p *= 0.05
    return model.eval()


def timm_swin():
    from timm.models.swin_transformer import SwinTransformer
    return SwinTransformer(img_size=SIZE, window_size=WINDOW, embed_dim=4, depths=DEPTHS, num_heads=HEADS, mlp_ratio=1, num_classes=CLASSES)


def torchvision_swin():
    from torchvision.models.swin_transformer import SwinTransformer
    return SwinTransformer([4, 4], 4, list(DEPTHS), list(HEADS), [WINDOW, WINDOW], mlp_ratio=1, num_classes=CLASSES)


def from_timm(weights, window):
    """timm's keys -> ours: a stage's patch merging stands at its end, the head is a plain layer, the index is stored."""
    ours = OrderedDict()
    for key, value in weights.items():
        key = re.sub(r"^layers\.(\d)\.downsample", lambda found: f"layers.{int(found[1]) - 1}.downsample", key).replace("head.fc.", "head.")
        ours[key] = value
        if key.endswith("relative_position_bias_table"):
            ours[key.replace("bias_table", "index")] = relative_position_index(window)
    return ours


def to_microsoft(ours, size, window):
    """Our keys -> Microsoft's: the shift masks are stored, but where the grid is one window."""
    weights = OrderedDict()
    for key, value in ours.items():
        found = re.match(r"layers\.(\d)\.blocks\.\d*[13579]\.norm1\.weight", key)
        grid = size // 4 // 2 ** int(found[1]) if found else 0
        if grid > window:
            weights[key.replace("norm1.weight", "attn_mask")] = shift_mask(grid, grid, (window // 2, window // 2), window, torch.device("cpu"))
        weights[key] = value
    return weights


def to_torchvision(ours):
    """Our keys -> torchvision's: stages and their patch mergings alternate in `features`, the index is flat."""
    weights = OrderedDict()
    for key, value in ours.items():
        key = key.replace("patch_embed.proj.", "features.0.0.").replace("patch_embed.norm.", "features.0.2.")
        key = re.sub(r"^layers\.(\d)\.blocks\.", lambda found: f"features.{2 * int(found[1]) + 1}.", key)
        key = re.sub(r"^layers\.(\d)\.downsample\.", lambda found: f"features.{2 * int(found[1]) + 2}.", key)
        key = key.replace("mlp.fc1.", "mlp.0.").replace("mlp.fc2.", "mlp.3.")
        weights[key] = value.flatten() if key.endswith("index") else value
    return weights


def image():
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def main(folder):
    torch.set_num_threads(1)
    timm = perturb(timm_swin(), 1)
    ours = from_timm(timm.state_dict(), WINDOW)
    torchvision = torchvision_swin().eval()
    torchvision.load_state_dict(to_torchvision(ours))
    with torch.no_grad():
        logits, other = timm(image()), torchvision(image())
    assert (logits - other).abs().max() < 1e-5, "timm and torchvision differ"

    folder.mkdir(exist_ok=True)
    save_safetensors(timm.state_dict(), folder / "timm.safetensors", {"format": "pt"})
    torch.save(torchvision.state_dict(), folder / "torchvision.pth")
    torch.save({"model": to_microsoft(ours, SIZE, WINDOW)}, folder / "microsoft.pth")
    save_safetensors(ours, folder / "expected.safetensors")
    save_safetensors({"logits": logits}, folder / "io.safetensors")
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:8d} {path.name}")


if __name__ == "__main__":
    main(HERE / "swin")
