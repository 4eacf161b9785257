# SPDX-License-Identifier: Apache-2.0
"""Speed of the usual Python loader, torchvision's ImageFolder with torch's DataLoader: the baseline of compare_loader.py.

--folder holds images/CLASS/NAME.png and, for --task segment, masks/CLASS/NAME.png beside it.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import random
import time

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

MEAN, STD = [0.223] * 3, [0.202] * 3


class SegmentationFolder(ImageFolder):
    """Image and mask, changed together as vmae's segmentation_augmentation() does. `backend`: the images are Pillow's or tensors while they are changed."""

    def __init__(self, folder, backend):
        super().__init__(str(folder / "images"))
        self.masks = folder / "masks"
        self.backend = backend

    def __getitem__(self, index):
        path = pathlib.Path(self.samples[index][0])
        image, mask = Image.open(path), Image.open(self.masks / path.parent.name / path.name)
        image.load(), mask.load()
        if self.backend == "tensor":
            image, mask = F.pil_to_tensor(image).float() / 255, F.pil_to_tensor(mask)
        image, mask = self.augment(image, mask)
        if self.backend == "pil":
            image, mask = F.to_dtype(F.pil_to_tensor(image), torch.float32, scale=True), F.pil_to_tensor(mask)
        low, high = image.aminmax()
        image = (image - low) / (high - low).clamp_min(1e-6)
        return F.normalize(image.expand(3, -1, -1), MEAN, STD), mask[0]

    @staticmethod
    def augment(image, mask):
        if random.random() < 0.5:
            turns, mirror = random.randrange(4), random.choice([F.horizontal_flip, F.vertical_flip])
            image, mask = mirror(F.rotate(image, 90 * turns)), mirror(F.rotate(mask, 90 * turns))
        elif random.random() < 0.5:
            angle = random.uniform(-20, 20)
            image, mask = F.rotate(image, angle, interpolation=InterpolationMode.BILINEAR), F.rotate(mask, angle)
        if random.random() < 0.5:
            width, height = F.get_size(image)[::-1]
            how = {
                "angle": random.uniform(-20, 20),
                "translate": [random.uniform(-0.1, 0.1) * width, random.uniform(-0.1, 0.1) * height],
                "scale": random.uniform(0.9, 1.1),
                "shear": [random.uniform(-10, 10), 0.0],
            }
            image, mask = F.affine(image, interpolation=InterpolationMode.BILINEAR, **how), F.affine(mask, **how)
        return image, mask


def make_dataset(args):
    if args.task == "segment":
        return SegmentationFolder(args.folder, args.backend)
    steps = [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    return ImageFolder(str(args.folder / "images"), transforms.Compose(steps))


def cpu_s(pids):
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            ticks += sum(int(field) for field in stat.read().rsplit(")", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_rss_mb(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return total / 1024


def batches(loader):
    while True:
        yield from loader


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--task", choices=("pretrain", "segment"), default="pretrain")
    parser.add_argument("--backend", choices=("pil", "tensor"), default="pil")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)

    loader = DataLoader(make_dataset(args), batch_size=args.batch, shuffle=True, num_workers=args.workers, persistent_workers=args.workers > 0)
    stream = batches(loader)

    def run(seconds):
        images, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            images += len(next(stream)[0])
        return images

    run(min(2.0, args.seconds))
    pids = [os.getpid()] + [child.pid for child in multiprocessing.active_children()]
    start, cpu_before = time.perf_counter(), cpu_s(pids)
    images = run(args.seconds)
    wall, cpu = time.perf_counter() - start, cpu_s(pids) - cpu_before
    print(json.dumps({
        "images_per_s": images / wall, "images_per_cpu_s": images / cpu, "peak_rss_mb": peak_rss_mb(pids), "images": images, "task": args.task,
        "backend": args.backend, "workers": args.workers, "batch": args.batch, "wall_s": wall, "cpu_s": cpu,
    }))


if __name__ == "__main__":
    main()
