# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/swin: a small Swin Transformer in the key naming of Microsoft, timm, torchvision and Hugging Face's transformers, and its outputs as these compute them.

Image 128, window 4, embed_dim 4, depths (2, 2, 6, 2), heads (1, 2, 2, 4), MLP ratio 1, 5 classes, LayerNorm eps 1e-5, no shift where the grid is one window (the last stage).
Run: python make_swin_weights.py, with timm 1.0.31, torchvision 0.29.2 and transformers 5.24.0"""
import re
import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch
import torch.nn.functional as F
from make_pth import HERE
from safetensors.torch import load_file, save_file

from swin_layers import relative_position_index, shift_mask

SIZE, WINDOW, CLASSES = 128, 4, 5
DEPTHS, HEADS = (2, 2, 6, 2), (1, 2, 2, 4)
OTHER_SIZE = (144, 112)  # grids of 36 x 28, 18 x 14, 9 x 7, 5 x 4: three of them are padded, and two before merging
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet


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


def transformers_swin():
    from transformers import SwinConfig, SwinForImageClassification
    return SwinForImageClassification(SwinConfig(image_size=SIZE, window_size=WINDOW, embed_dim=4, depths=DEPTHS, num_heads=HEADS, mlp_ratio=1, num_labels=CLASSES))


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


IN_FILES = (("attn.proj", "attention.output.dense"), ("attn.relative", "attention.self.relative"), ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense"))
IN_MEMORY = (("attn.proj", "attention.o_proj"), ("attn.relative", "attention.relative_position_bias.relative"))


def to_transformers(ours, in_memory=False):
    """Our keys -> transformers': query, key and value are apart. Files keep older names than a model of transformers 5 has in memory."""
    queries = [f"attention.{k}_proj" for k in "qkv"] if in_memory else [f"attention.self.{k}" for k in ("query", "key", "value")]
    weights = OrderedDict()
    for key, value in ours.items():
        if key.endswith("index"):
            continue  # computed
        key = key.replace("patch_embed.proj.", "embeddings.patch_embeddings.projection.").replace("patch_embed.", "embeddings.")
        key = re.sub(r"^layers\.", "encoder.layers.", re.sub(r"^norm\.", "layernorm.", key))
        key = key.replace(".norm1.", ".layernorm_before.").replace(".norm2.", ".layernorm_after.")
        for name, theirs in IN_MEMORY if in_memory else IN_FILES:
            key = key.replace(name, theirs)
        key = key.replace("head.", "classifier.") if key.startswith("head.") else "swin." + key
        if "attn.qkv" not in key:
            weights[key] = value
            continue
        for name, part in zip(queries, value.chunk(3)):
            weights[key.replace("attn.qkv", name)] = part.contiguous()
    return weights


def image(size=(SIZE, SIZE)):
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))


def picture():
    """A colour picture (height, width, 3), 0 to 255."""
    return torch.randint(0, 256, (SIZE, SIZE, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def network_input(pixels):
    return ((pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]


def outputs(timm, torchvision):
    """What the weights make of the images: logits, also at a size that is padded (timm pads after it has shifted, the others before), and pooled
    tokens of the last stage behind the last norm, and behind one without scale and shift."""
    pixels = network_input(picture())
    tokens = timm.layers(timm.patch_embed(pixels))  # (1, 4, 4, 32)
    return {"logits": timm(image()), "logits_other_size": torchvision(image(OTHER_SIZE)), "features": timm.norm(tokens).mean((1, 2)),
            "features_plain_norm": F.layer_norm(tokens, tokens.shape[-1:], eps=1e-5).mean((1, 2))}


def check_alike(io, others):
    for name, other in others.items():
        assert (io["logits"] - other).abs().max() < 1e-5, f"timm and {name} differ"


def main(folder):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    timm = perturb(timm_swin(), 1)
    ours = from_timm(timm.state_dict(), WINDOW)
    torchvision, transformers = torchvision_swin().eval(), transformers_swin().eval()
    torchvision.load_state_dict(to_torchvision(ours))
    transformers.load_state_dict(to_transformers(ours, in_memory=True))
    with torch.no_grad():
        io = outputs(timm, torchvision)
        check_alike(io, {"torchvision": torchvision(image()), "transformers": transformers(image()).logits})

    folder.mkdir(exist_ok=True)
    save_file(timm.state_dict(), folder / "timm.safetensors", {"format": "pt"})
    torch.save(torchvision.state_dict(), folder / "torchvision.pth")
    torch.save({"model": to_microsoft(ours, SIZE, WINDOW)}, folder / "microsoft.pth")
    with tempfile.TemporaryDirectory() as saved:
        transformers.save_pretrained(saved)
        written = load_file(Path(saved) / "model.safetensors")
        assert {k: v.tolist() for k, v in written.items()} == {k: v.tolist() for k, v in to_transformers(ours).items()}, "other names in files"
        shutil.copyfile(Path(saved) / "model.safetensors", folder / "transformers.safetensors")
    save_file(ours, folder / "expected.safetensors")
    save_file(io, folder / "io.safetensors")
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:8d} {path.name}")


if __name__ == "__main__":
    main(HERE / "swin")
