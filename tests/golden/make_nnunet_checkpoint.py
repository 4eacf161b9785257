#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as nnU-Net's own trainer writes it, for the reader's tests, and nnU-Net as a reader of ours.

usage: make_nnunet_checkpoint.py                          writes nnunet_checkpoint.pth and nnunet_checkpoint_io.safetensors beside itself
       make_nnunet_checkpoint.py --check FILE [LOGITS]    nnU-Net predicts with FILE and goes on training with it

Needs nnunetv2 2.8.1 and safetensors. The plan is `isotropic` of nnunet_datasets.json with few features; there are two regions, whose names are not in the order
of the alphabet. Two epochs of two steps on noise. LOGITS, nnunet_checkpoint_io.safetensors: `logits` of the highest resolution of the image drawn after seed 5
(2, 1, H, W), times 0.1; in the latter every eleventh number."""
import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = tempfile.TemporaryDirectory()
for kind in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{kind}"] = str(Path(FOLDERS.name) / kind)
os.environ["nnUNet_compile"] = "false"

import torch  # noqa: E402
from golden import HERE, sampled  # noqa: E402
from make_pth import save_safetensors  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402
from vmae_model import read_weights  # noqa: E402

DATASET = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2], "numTraining": 4,
           "file_ending": ".nii.gz"}


def plans():
    made = json.loads((HERE / "nnunet_datasets.json").read_text())["isotropic"]["plans"]
    made["configurations"]["2d"]["architecture"]["arch_kwargs"]["features_per_stage"] = [4, 6, 8, 8]
    made["configurations"]["2d"]["batch_size"] = 2
    return made


def trainer_of(arguments):
    folder = Path(os.environ["nnUNet_preprocessed"]) / arguments["plans"]["dataset_name"]
    data = folder / arguments["plans"]["configurations"]["2d"]["data_identifier"]
    data.mkdir(parents=True, exist_ok=True)
    (data / "case.b2nd").touch()  # says which class reads the cases
    plan = arguments["plans"] | {"continue_training": False}
    trainer = nnUNetTrainer(plan, arguments["configuration"], arguments["fold"], arguments["dataset_json"], torch.device("cpu"))
    trainer.initialize()
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    return trainer


def batch_of(trainer):
    rows, columns = trainer.configuration_manager.patch_size
    channels, heads = trainer.num_input_channels, trainer.label_manager.num_segmentation_heads
    scales = trainer._get_deep_supervision_scales()
    sizes = [(round(rows * y), round(columns * x)) for y, x in scales]
    if trainer.label_manager.has_regions:
        targets = [torch.rand(2, heads, *size) < 0.4 for size in sizes]
    else:
        targets = [torch.randint(0, heads, (2, 1, *size)) for size in sizes]
    return {"data": torch.randn(2, channels, rows, columns), "target": targets}


def train_epoch(trainer):
    """nnUNetTrainer.run_training, of noise."""
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    trainer.on_train_epoch_end([trainer.train_step(batch_of(trainer)) for _ in range(2)])
    with torch.no_grad():
        trainer.on_validation_epoch_start()
        trainer.on_validation_epoch_end([trainer.validation_step(batch_of(trainer)) for _ in range(2)])
    time.sleep(0.01)
    trainer.on_epoch_end()


def logits_of(network, size):
    image = 0.1 * torch.randn((2, 1, *size), generator=torch.Generator().manual_seed(5))
    network.eval()
    with torch.no_grad():
        logits = network(image)
    return logits[0] if isinstance(logits, list | tuple) else logits


def make():
    torch.manual_seed(0)
    trainer = trainer_of({"plans": plans(), "configuration": "2d", "fold": 0, "dataset_json": DATASET})
    for _ in range(2):
        train_epoch(trainer)
    logits = logits_of(trainer.network, trainer.configuration_manager.patch_size)
    trainer.output_folder = HERE
    trainer.on_train_end()
    (HERE / "checkpoint_final.pth").rename(HERE / "nnunet_checkpoint.pth")
    save_safetensors({"logits": sampled(logits).clone()}, HERE / "nnunet_checkpoint_io.safetensors")


def check_prediction(checkpoint, path, expected):
    arguments = checkpoint["init_args"]
    model = Path(FOLDERS.name) / "model"
    fold = model / f"fold_{arguments['fold']}"
    fold.mkdir(parents=True)
    (fold / "checkpoint_final.pth").write_bytes(path.read_bytes())
    (model / "plans.json").write_text(json.dumps(arguments["plans"]))
    (model / "dataset.json").write_text(json.dumps(arguments["dataset_json"]))
    predictor = nnUNetPredictor(device=torch.device("cpu"), use_mirroring=True, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(arguments["fold"],))
    size = predictor.configuration_manager.patch_size
    logits = logits_of(predictor.network, size)
    print("mirror axes", predictor.allowed_mirroring_axes, "logits", tuple(logits.shape))
    whole = predictor.predict_logits_from_preprocessed_data(torch.randn(1, 3, size[0] + 9, size[1] + 5))
    assert whole.shape == (logits.shape[1], 3, size[0] + 9, size[1] + 5) and whole.isfinite().all()
    if expected is not None:
        reference = read_weights(expected)[0]["logits"]
        logits = logits if logits.shape == reference.shape else sampled(logits)
        difference = ((logits - reference).abs().max() / reference.abs().max()).item()
        print("largest difference of the logits, of the largest:", difference)
        assert difference < 1e-5


def check_training(checkpoint, path):
    trainer = trainer_of(checkpoint["init_args"])
    groups = [{**group, "params": len(group["params"])} for group in trainer.optimizer.state_dict()["param_groups"]]
    trainer.load_checkpoint(str(path))
    loaded = trainer.optimizer.state_dict()["param_groups"]
    assert [{**group, "params": len(group["params"]), "lr": 0.01} for group in loaded] == groups, (loaded, groups)
    first = trainer.current_epoch
    for _ in range(3):
        train_epoch(trainer)
    trainer.save_checkpoint(str(Path(FOLDERS.name) / "again.pth"))
    lengths = {len(values) for values in trainer.logger.get_checkpoint().values()}
    assert lengths == {first + 3}, lengths
    print("trained from epoch", first, "to", trainer.current_epoch)


def check(path, expected):
    keys = set(torch.load(HERE / "nnunet_checkpoint.pth", weights_only=False))
    checkpoint = torch.load(path, weights_only=False)
    assert set(checkpoint) == keys, set(checkpoint) ^ keys
    check_prediction(checkpoint, path, expected)
    check_training(checkpoint, path)
    print(path, "is one of nnU-Net's")


def main():
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", type=Path, nargs="+")
    options = parser.parse_args()
    if options.check is None:
        make()
    else:
        check(options.check[0], options.check[1] if len(options.check) > 1 else None)


if __name__ == "__main__":
    sys.exit(main())
