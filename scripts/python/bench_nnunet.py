# SPDX-License-Identifier: Apache-2.0
"""nnunetv2's own step, loader and prediction on the CPU: the baseline of compare_nnunet.py, run by a Python that has nnunetv2.

nnUNet_raw, nnUNet_preprocessed and nnUNet_results are set, as nnU-Net wants them. Prints one line of JSON.
"""
import argparse
import json
import os
import resource
import time

import numpy
import torch


def peak_rss_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def load_json(path):
    with open(path) as file:
        return json.load(file)


def make_trainer(preprocessed, dataset):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    plans = {**load_json(f"{preprocessed}/nnUNetPlans.json"), "continue_training": False}
    trainer = nnUNetTrainer(plans, "2d", "all", dataset, torch.device("cpu"))
    trainer.initialize()
    return trainer


def time_step(args):
    """Its network, loss, optimizer and clipping of gradients on random patches of one channel and 9 classes; `vmae bench --model nnunet` has AdamW, without clipping."""
    torch.set_num_threads(args.threads)
    dataset = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, **{f"class {k}": k for k in range(1, 9)}}, "file_ending": ".nii.gz"}
    trainer = make_trainer(args.preprocessed, dataset)
    trainer.network.train()
    patch = trainer.configuration_manager.patch_size
    sizes = [[round(side * share) for side, share in zip(patch, level)] for level in trainer._get_deep_supervision_scales()]
    batch = {"data": torch.randn(args.batch, 1, *patch), "target": [torch.randint(9, (args.batch, 1, *size)).float() for size in sizes]}
    times = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        trainer.train_step(batch)
        times.append(time.perf_counter() - start)
    return {"images_per_s": args.batch / float(numpy.median(times[args.warmup:]))}


def time_loader(args):
    """Its loader and augmentation in one process and thread, as each of its workers has them."""
    torch.set_num_threads(1)
    os.environ["nnUNet_n_proc_DA"] = "0"
    trainer = make_trainer(args.preprocessed, load_json(f"{args.preprocessed}/dataset.json"))
    batches, _ = trainer.get_dataloaders()

    def run(seconds):
        images, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            images += len(next(batches)["data"])
        return images

    run(min(1.0, args.seconds))
    start, cpu_before = time.perf_counter(), cpu_s()
    images = run(args.seconds)
    return {"images_per_s": images / (time.perf_counter() - start), "images_per_cpu_s": images / (cpu_s() - cpu_before)}


def time_predict(args):
    """As nnUNetv2_predict: with mirror images, tiles, and its processes for reading and writing."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    torch.set_num_threads(args.threads)
    predictor = nnUNetPredictor(use_mirroring=True, perform_everything_on_device=False, device=torch.device("cpu"), verbose=False)
    predictor.initialize_from_trained_model_folder(args.model, (0,), "checkpoint_final.pth")
    predictor.predict_from_files(args.input, args.output, num_processes_preprocessing=1, num_processes_segmentation_export=1)
    return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("step", "loader", "predict"))
    parser.add_argument("--preprocessed", help="of step and loader: nnU-Net's folder of the dataset")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", help="of predict: the folder with plans.json and fold_0")
    parser.add_argument("--input")
    parser.add_argument("--output")
    args = parser.parse_args()
    result = {"step": time_step, "loader": time_loader, "predict": time_predict}[args.what](args)
    print(json.dumps({**result, "peak_rss_mb": peak_rss_mb(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
