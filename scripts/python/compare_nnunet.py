#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs vmae's nnU-Net and bench_nnunet.py (nnunetv2 itself) alternately and prints their ratios: a training step, the loader with its augmentation, prediction.

Needs a Python with nnunetv2 (--python). The cases are MR volumes of tests/data, enlarged, in nnU-Net's folders; both train and predict by the plan of `vmae plan`. The step is timed with the plan of the volumes as they are too. Used by scripts/bench.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import nibabel
import numpy
from PIL import Image

from compare_predict import run as run_process
from compare_predict import same_voxels
from side_by_side import alternate, environment, print_table, write_json

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = "Dataset902_Bench"
SIDE, SLICES = 224, 12
SMALL = [56, 40]  # pixels of a patch by the plan of tests/data/hippocampus


def enlarged(volume, side, resample):
    planes = [Image.fromarray(volume[:, :, z]).resize((side, side), resample) for z in range(volume.shape[2])]
    return numpy.stack([numpy.asarray(plane) for plane in planes], axis=2)


def write_raw(raw, count, side):
    """nnU-Net's folder of cases of side x side x SLICES voxels, with noise, so that nothing in them is smoother than in real ones."""
    noise = numpy.random.default_rng(0)
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    for path in sorted((ROOT / "tests/data/hippocampus/images").glob("*.nii.gz"))[:count]:
        image = numpy.asarray(nibabel.load(path).dataobj, numpy.float32)
        mask = numpy.asarray(nibabel.load(path.parents[1] / "labels" / path.name).dataobj).astype(numpy.uint8)
        middle = slice(image.shape[2] // 2 - SLICES // 2, image.shape[2] // 2 + SLICES // 2)
        large = enlarged(image[:, :, middle], side, Image.BICUBIC)
        large = large + noise.normal(0, 0.05 * large.std(), large.shape)
        name = path.name.replace(".nii.gz", "")
        affine = numpy.diag([1.0, 1.0, 3.0, 1.0])
        nibabel.save(nibabel.Nifti1Image(large.astype(numpy.float32), affine), raw / "imagesTr" / f"{name}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(enlarged(mask[:, :, middle], side, Image.NEAREST), affine), raw / "labelsTr" / f"{name}.nii.gz")
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    (raw / "dataset.json").write_text(json.dumps({"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": count, "file_ending": ".nii.gz"}))


class Nnunet:
    """Both sides' folders, made once."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.raw, self.preprocessed = folder / "raw" / NAME, folder / "preprocessed" / NAME
        self.small = folder / "preprocessed/hippocampus"
        self.cases, self.run_dir, self.model = folder / "cases", folder / "run", folder / "model"
        self.environment = {**environment(), "nnUNet_compile": "f", "nnUNet_raw": str(folder / "raw"), "nnUNet_preprocessed": str(folder / "preprocessed"),
                            "nnUNet_results": str(folder / "results")}

    def call(self, *command):
        done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.environment)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-2000:]}")

    def prepare(self):
        write_raw(self.raw, self.args.volumes, SIDE)
        self.loader_batch = self.plan(self.raw, self.preprocessed, [SIDE, SIDE])["batch_size"]
        self.plan(ROOT / "tests/data/hippocampus", self.small, SMALL)
        (self.small / "nnUNetPlans_2d").mkdir()
        (self.small / "nnUNetPlans_2d/none.b2nd").touch()  # nnU-Net's trainer looks at how its cases end; a step reads none
        (self.preprocessed / "dataset.json").write_bytes((self.raw / "dataset.json").read_bytes())
        self.call(self.args.python, "-c",
                  "from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset; preprocess_dataset(902, 'nnUNetPlans', ('2d',), (1,))")
        self.call(self.args.vmae, "finetune-seg", "model.name=nnunet", f"nnunet.plan={self.preprocessed}/nnUNetPlans.json", f"nnunet.preprocessed={self.cases}",
                  f"data.train={self.raw}", "train.epochs=1", "train.steps_per_epoch=2", "train.batch_size=2", f"run.dir={self.run_dir}")
        self.call(self.args.vmae, "export", "--nnunet", "--weights", self.run_dir, "--output", self.model)

    def plan(self, data, folder, patch):
        self.call(self.args.vmae, "plan", "--input", data, "--output", folder)
        plan = json.loads((folder / "nnUNetPlans.json").read_text())["configurations"]["2d"]
        if plan["patch_size"] != patch:
            raise RuntimeError(f"patches of {plan['patch_size']} pixels, not of {patch}")
        return plan

    def last_line(self, command):
        output = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=self.environment).stdout
        return json.loads(output.strip().splitlines()[-1])

    def theirs(self, what, *options):
        return [self.args.python, pathlib.Path(__file__).with_name("bench_nnunet.py"), what, "--threads", self.args.threads, *options]

    def step(self, folder, batch):
        shape = ["--batch", batch, "--steps", self.args.steps, "--warmup", 1]
        ours = [self.args.vmae, "bench", "--device", "cpu", "--precision", "fp32", "--model", "nnunet", "--plan", folder / "nnUNetPlans.json", "--threads", self.args.threads]
        return alternate(lambda: self.last_line([*ours, *shape]), lambda: self.last_line(self.theirs("step", "--preprocessed", folder, *shape)), self.args.rounds)

    def loader(self):
        ours = [self.args.vmae, "bench", "--loader", self.cases, "--plan", self.preprocessed / "nnUNetPlans.json", "--workers", 1, "--batch", self.loader_batch, "--seconds",
                self.args.seconds]
        return alternate(lambda: self.last_line(ours), lambda: self.last_line(self.theirs("loader", "--preprocessed", self.preprocessed, "--seconds", self.args.seconds)),
                         self.args.rounds, "images_per_cpu_s")

    def predict(self):
        images, count = self.raw / "imagesTr", self.args.volumes
        ours = [self.args.vmae, "predict", "--device", "cpu", "--precision", "fp32", "--weights", self.run_dir, "--input", images, "--threads", self.args.threads]
        theirs = self.theirs("predict", "--model", self.model, "--input", images)
        outputs = self.folder / "vmae", self.folder / "python"
        result = alternate(lambda: run_process(ours, outputs[0], count, self.environment), lambda: run_process(theirs, outputs[1], count, self.environment),
                           self.args.rounds, "volumes_per_s")
        result["same_voxels"] = same_voxels(*outputs)[0]
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vmae", required=True)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    parser.add_argument("--python", required=True, help="of an environment with nnunetv2")
    parser.add_argument("--volumes", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4, help="of a step, patches of 224 x 224")
    parser.add_argument("--small-batch", type=int, default=64, help="of a step, patches of 56 x 40")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of the loader")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    args.threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="vmae-bench-") as name:
        both = Nnunet(args, pathlib.Path(name))
        both.prepare()
        steps = {f"{SIDE} x {SIDE}, batch {args.batch}": both.step(both.preprocessed, args.batch),
                 f"{SMALL[0]} x {SMALL[1]}, batch {args.small_batch}": both.step(both.small, args.small_batch)}
        results = {"steps": steps, "loader": both.loader(), "predict": both.predict()}
    print(f"nnU-Net in 2D, {SIDE} x {SIDE}, fp32, {args.threads} threads, against nnunetv2 on torch {next(iter(steps.values()))['rounds'][0]['python']['torch']}, "
          f"median of {args.rounds} rounds")
    print_table(steps, "step of", "images_per_s", "images/s")
    print_table({"augmented": results["loader"]}, "loader", "images_per_cpu_s", "img/s/core", digits=1)
    print_table({f"{args.volumes} volumes": results["predict"]}, "with mirrors", "volumes_per_s", "volumes/s", digits=3)
    print(f"{results['predict']['same_voxels']:.3%} of the voxels are the same in both")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
