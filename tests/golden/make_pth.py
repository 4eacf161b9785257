# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/pth: small .pth files as PyTorch users have them, for the reader's tests. Run: python make_pth.py

The end-to-end tests make them anew, for the model that they train (make(folder, TINY))."""
import argparse
import json
import os
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import serialize_file

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "scripts" / "python"))
from vmae_model import SwinMAE  # noqa: E402

OPTIONS = {"image_size": [32, 32], "in_channels": 1, "embed_dim": 4, "depths": [2, 2, 2, 2], "num_heads": [1, 1, 2, 2], "window_size": 2,
           "mlp_ratio": 1, "drop_path_rate": 0.1, "mask_ratio": 0.75, "norm_pix_loss": False, "shift_small_grids": True,
           "layer_norm_eps": 1e-6}
TINY = {**OPTIONS, "image_size": [64, 64], "window_size": 7, "mlp_ratio": 4}


class RunsACommand:
    """Unpickled by a reader that trusts its file, this runs a command."""

    def __reduce__(self):
        return os.system, ("touch PWNED",)


def save_safetensors(tensors, path, metadata=None):
    """safetensors.torch needs more packages than the tests have; this is all of it that we use."""
    data = {k: {"dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape), "data": v.detach().contiguous().numpy().tobytes()}
            for k, v in tensors.items()}
    serialize_file(data, str(path), metadata)


def train_one_step(model):
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.05)
    model(torch.randn(2, 1, *model.image_size))[0].backward()
    optimizer.step()
    return optimizer


def half_with_views(state):
    """Every float tensor in half precision; one is stored transposed, and two are views of one storage."""
    half = OrderedDict((k, v.half() if v.is_floating_point() else v) for k, v in state.items())
    weight = half["decoder_pred.weight"]
    half["decoder_pred.weight"] = weight.t().contiguous().t()
    assert not half["decoder_pred.weight"].is_contiguous()
    both = torch.cat([half["norm_up.weight"], half["norm_up.bias"]])
    half["norm_up.weight"], half["norm_up.bias"] = both.split(half["norm_up.weight"].numel())
    return half


def make(folder, options):
    torch.manual_seed(0)
    model = SwinMAE(**options)
    optimizer = train_one_step(model)
    state = OrderedDict((k, v.detach().clone()) for k, v in model.state_dict().items())
    folder.mkdir(exist_ok=True)
    torch.save({
        "model": state,
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, "_growth_tracker": 0},
        "args": argparse.Namespace(lr=1e-3, batch_size=2, output_dir="x", resume="", mask_ratio=0.75, norm_pix_loss=False, device="cuda",
                                   data_path=None, betas=(0.9, 0.95)),
    }, folder / "reference_style.pth")
    torch.save(state, folder / "plain_state_dict.pth")
    torch.save(half_with_views(state), folder / "fp16.pth")
    torch.save({"model": OrderedDict(mask_token=state["mask_token"]), "args": RunsACommand()}, folder / "evil.pth")
    save_safetensors(state, folder / "expected.safetensors", {"model_options": json.dumps(options)})


if __name__ == "__main__":
    torch.set_num_threads(1)
    make(HERE / "pth", OPTIONS)
