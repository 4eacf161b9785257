#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A network that vmae trained, as nnU-Net predicts with it: nnunet_trained/ beside this script.

usage: make_nnunet_trained.py VMAE     the program; needs nnunetv2 2.8.1 and pydicom

Trained on twelve of the volumes in tests/data/hippocampus, by a plan with few features; nnU-Net reads what `vmae export --nnunet` made of it and predicts three
others, with mirror images. Kept are the weights as vmae has them, the checkpoint as it was exported, and nnU-Net's label maps."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["nnUNet_compile"] = "false"
FOLDERS = tempfile.TemporaryDirectory()
for kind in ("raw", "preprocessed", "results"):
    os.environ[f"nnUNet_{kind}"] = str(Path(FOLDERS.name) / kind)

import torch  # noqa: E402
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import nnunet_datasets  # noqa: E402

TRAINED, FEATURES = 12, [8, 16, 16, 16]
TRAINING = ["model.name=nnunet", "data.val_fraction=0", "train.epochs=12", "train.steps_per_epoch=25", "train.batch_size=12", "train.precision=fp32", "run.seed=1", "optim.name=adamw",
            "optim.lr=1e-2"]


def make(vmae, work):
    def run(*command):
        subprocess.run([vmae, *map(str, command)], check=True, cwd=work)
    data = work / "Dataset001_Trained"
    nnunet_datasets.copy_volumes(data, nnunet_datasets.DATA / "hippocampus", {"background": 0, "Anterior": 1, "Posterior": 2}, "MRI", TRAINED)
    run("plan", "--input", data, "--output", "planned")
    plan = json.loads((work / "planned/nnUNetPlans.json").read_text())
    plan["configurations"]["2d"]["architecture"]["arch_kwargs"]["features_per_stage"] = FEATURES
    (work / "plans.json").write_text(json.dumps(plan))
    run("finetune-seg", *TRAINING, f"data.train={data.name}", "nnunet.plan=plans.json", "run.dir=run")
    run("export", "--weights", "run", "--output", "weights.safetensors")
    run("export", "--weights", "run", "--output", "model", "--nnunet")


def predict(model, cases, folder):
    predictor = nnUNetPredictor(use_mirroring=True, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(0,))
    predictor.predict_from_files([[str(case)] for case in cases], [str(folder / case.name.replace(".nii.gz", "")) for case in cases], num_processes_preprocessing=1,
                                 num_processes_segmentation_export=1)


def main():
    torch.set_num_threads(2)
    work, target = Path(FOLDERS.name), HERE / "nnunet_trained"
    make(Path(sys.argv[1]).resolve(), work)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    others = sorted((nnunet_datasets.DATA / "hippocampus/images").glob("*.nii.gz"))[TRAINED:TRAINED + 3]
    predict(work / "model", others, target)
    for name in ("plans.json", "dataset.json", "predict_from_raw_data_args.json"):
        (target / name).unlink(missing_ok=True)
    shutil.copy(work / "weights.safetensors", target)
    shutil.copy(work / "model/fold_0/checkpoint_final.pth", target)
    print(*sorted(f"{path.name}: {path.stat().st_size} bytes" for path in target.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
