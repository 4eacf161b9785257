# SPDX-License-Identifier: Apache-2.0
"""What the tests of finetune-seg, finetune-cls and predict share: tiny models, small labelled datasets, and prediction computed a second time, in Python."""
import atexit
import csv
import functools
import json
import shutil
import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from harness import SOURCE, VmaeTest, environment, picture, read_safetensors

HIPPOCAMPUS = SOURCE / "tests/data/hippocampus"
STS001 = SOURCE / "tests/data/sts001"
sys.path.insert(0, str(SOURCE / "scripts/python"))

SWIN = ["model.image_size=[32,32]", "model.in_channels=1", "model.embed_dim=8", "model.depths=[1,1,1,1]", "model.num_heads=[1,1,2,2]", "model.window_size=4"]
PRETRAIN = ["train.batch_size=8", "train.epochs=2", "train.precision=fp32", "train.log_every=1", "train.draw_every=0", "optim.warmup_epochs=0", "optim.lr=1e-3",
         "run.threads=1", "data.workers=2", "data.val_fraction=0.25"]
TRAIN = ["recipe=paper", *PRETRAIN]
NO_AUGMENTATION = ["data.flip_horizontal=0", "data.rot90=0", "data.rotate=0", "data.affine=0", "data.enlarge=1"]


def dice(a, b):
    """Of two boolean arrays."""
    return 2 * (a & b).sum() / (a.sum() + b.sum())


class FinetuneTest(VmaeTest):
    def vmae(self, *arguments, env=None, **kw):
        return super().vmae(*arguments, env=env or environment(OMP_NUM_THREADS=1), **kw)

    def seg(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-seg", *SWIN, *TRAIN, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def cls(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-cls", *SWIN, *TRAIN, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def predict(self, *more, weights="run", input="data", output="out", precision="fp32", **kw):
        weights = weights if isinstance(weights, (list, tuple)) else [weights]
        done = self.vmae("predict", "--weights", *weights, "--input", input, "--output", output, "--threads", "1", "--precision", precision, *more, **kw)
        self.out = self.tmp / output
        return done

    def record(self, output="out"):
        return json.loads((self.tmp / output / "predict.json").read_text())

    def table(self, name, output="out"):
        """A CSV as {first column (and second, of slices.csv): {column: text}}."""
        with open(self.tmp / output / name, newline="") as file:
            rows = list(csv.DictReader(file))
        keys = [(row["case"], int(row["slice"])) if "slice" in row else row["case"] for row in rows]
        self.assertEqual(len(set(keys)), len(keys), "each row once")
        return dict(zip(keys, rows))

    def dice_of_report(self, output="report"):
        """{(name of the case without folder and ending, class): Dice} of what `vmae eval` wrote."""
        with open(self.tmp / output / "cases.csv", newline="") as file:
            return {(row["case"].split("/")[-1].split(".")[0], row["class"]): float(row["Dice"]) for row in csv.DictReader(file)}

    def written(self, output="out"):
        return sorted(str(p.relative_to(self.tmp / output)) for p in (self.tmp / output).rglob("*") if p.is_file())

    def assert_says(self, done, *texts):
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertNotIn("Traceback", done.stderr)


def best(run):
    return Path(run) / "checkpoints/best.safetensors"


def last(run):
    return Path(run) / "checkpoints/last.safetensors"


def metadata(file):
    return read_safetensors(file)[1]


# Datasets


def labelled_picture(index, height=48, width=40, channels=1):
    """A picture with a bright ellipse (1) and a dark rectangle (2), and its mask."""
    random = np.random.default_rng(index)
    image = picture(index, height, width, channels).astype(float) * 0.4 + 60
    mask = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    cy, cx = random.uniform(0.25, 0.45, 2) * (height, width)
    mask[((y - cy) / (height / 6)) ** 2 + ((x - cx) / (width / 6)) ** 2 < 1] = 1
    top, left = (random.uniform(0.55, 0.7, 2) * (height, width)).astype(int)
    mask[top:top + height // 4, left:left + width // 4] = 2
    image[mask == 1], image[mask == 2] = 230, 10
    return image.clip(0, 255).astype(np.uint8), mask


def make_segmentation(folder, count, first=0, masks="masks", **size):
    folder = Path(folder)
    for name in ("images", masks):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(first, first + count):
        image, mask = labelled_picture(i, **size)
        Image.fromarray(image).save(folder / f"images/case{i:03d}.png")
        Image.fromarray(mask).save(folder / f"{masks}/case{i:03d}.png")
    return folder


def class_picture(index, kind, size=40):
    """Noise with a bright spot in its upper (kind 0), lower (1) or no half (2)."""
    image = np.random.default_rng(index).normal(70, 12, (size, size))
    if kind < 2:
        middle = size // 4 + kind * size // 2
        image[middle - 6:middle + 6, size // 2 - 6:size // 2 + 6] += 140
    return image.clip(0, 255).astype(np.uint8)


def make_class_manifest(folder, counts, names=("up", "down", "none"), file="list.csv", split=False):
    """counts: pictures per class, one after the other. The last third of each class validates if `split`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, number = ["image,label" + (",split" if split else "")], 0
    for kind, count in enumerate(counts):
        for i in range(count):
            Image.fromarray(class_picture(number, kind)).save(folder / f"images/p{number:03d}.png")
            label = '"' + names[kind].replace('"', '""') + '"'
            rows.append(f"images/p{number:03d}.png,{label}" + ((",val" if 3 * i >= 2 * count else ",train") if split else ""))
            number += 1
    (folder / file).write_text("\n".join(rows) + "\n")
    return folder / file


def volume_of_pictures(index=0, shape=(34, 40, 5)):
    """A volume whose slices the picture segmenter finds something in."""
    volume = np.stack([labelled_picture(300 + 10 * index + z, shape[1], shape[0])[0].T for z in range(shape[2])], -1)
    return volume.astype(np.float32)


def write_nifti(path, array, affine=None, dtype=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(array, dtype), np.eye(4) if affine is None else affine), path)


def hippocampus(folder, count=2, slices=8, prefix="", first=0):
    """The middle slices of the first volumes, with their masks (anterior 1, posterior 2), in folders images and labels."""
    for file in sorted((HIPPOCAMPUS / "images").iterdir())[first:first + count]:
        image, label = nibabel.load(file), nibabel.load(HIPPOCAMPUS / "labels" / file.name)
        occupied = np.flatnonzero(np.asarray(label.dataobj).any((0, 1)))
        middle = int(np.median(occupied))
        part = slice(middle - slices // 2, middle + slices - slices // 2)
        for name, data in (("images", image), ("labels", label)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            nibabel.save(data.slicer[:, :, part], folder / name / (prefix + file.name))
    return folder


# Trained once for all tests


@functools.cache
def shared_folder():
    folder = Path(tempfile.mkdtemp(prefix="vmae-e2e-shared-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class _Maker(FinetuneTest):
    def runTest(self):
        pass


@functools.cache
def trained(what):
    """A finished run: "mae" (1 channel), "mae3" (3), "seg" (pictures, 2 classes), "hippocampus", "cls" (3 classes), "none" (seg with data.resize=none)."""
    maker, folder = _Maker(), shared_folder()
    maker.tmp, run = folder, folder / what
    if what.startswith("mae"):
        make_segmentation(folder / "mae-data", 8)
        channels = "3" if what == "mae3" else "1"
        maker.vmae("pretrain", *SWIN, *PRETRAIN, f"model.in_channels={channels}", "model.drop_path_rate=0", f"data.train={folder / 'mae-data/images'}",
                   f"run.dir={run}", "data.val_fraction=0")
    elif what == "seg":
        make_segmentation(folder / "seg-data", 12)
        maker.seg("data.classes=[round,square]", "train.epochs=25", "optim.lr=5e-3", "loss.balance=inverse_frequency", *NO_AUGMENTATION, data="seg-data", run=run)
    elif what == "none":
        make_segmentation(folder / "none-data", 12, height=60, width=72)
        maker.seg("data.classes=[round,square]", "train.epochs=25", "optim.lr=5e-3", "loss.balance=inverse_frequency", "data.resize=none", "data.minmax=false",
                  *NO_AUGMENTATION, data="none-data", run=run)
    elif what == "hippocampus":
        hippocampus(folder / "hip-data", 2), hippocampus(folder / "hip-val", 2, prefix="again_")
        maker.seg("data.classes=[anterior,posterior]", "data.val=hip-val", "train.epochs=40", "optim.lr=3e-3", "loss.balance=inverse_frequency",
                  "model.drop_path_rate=0", "data.slice_axis=z", "train.validate_every=10", *NO_AUGMENTATION, data="hip-data", run=run)
    elif what == "cls":
        make_class_manifest(folder / "cls-data", (12, 12, 12), split=True)
        maker.cls("train.epochs=6", "optim.lr=2e-3", "train.best_metric=loss", *NO_AUGMENTATION, data="cls-data/list.csv", run=run)
    return run


# Prediction a second time


def axis_matrix(length, target):
    """(target, length): linear interpolation where the side grows, mean by area where it shrinks; pixels are areas, the border is repeated."""
    matrix = np.zeros((target, length))
    scale = length / target
    for i in range(target):
        if target >= length:
            place = min(max((i + 0.5) * scale - 0.5, 0), length - 1)
            low = int(place)
            high = min(low + 1, length - 1)
            matrix[i, low] += 1 - (place - low)
            matrix[i, high] += place - low
        else:
            for j in range(length):
                matrix[i, j] = max(0, min(j + 1, (i + 1) * scale) - max(j, i * scale)) / scale
    return matrix


def resized(image, height, width):
    return axis_matrix(image.shape[0], height) @ image @ axis_matrix(image.shape[1], width).T


@functools.cache
def python_model(path):
    from vmae_model import load_model
    return load_model(str(path), num_classes=read_safetensors(path)[0]["head.weight"][1][0])


def python_probabilities(weights, pixels, low, high, minmax=True):
    """Of slices (n, rows, columns) in the file's units, for a model of one channel with data.resize=stretch -> (n, classes, rows, columns) or (n, classes)."""
    import torch
    model = python_model(weights)
    height, width = model.image_size
    result = []
    for image in pixels:
        unit = resized(((image - low) / (high - low)).clip(0, 1), height, width)
        if minmax:
            spread = unit.max() - unit.min()
            unit = (unit - unit.min()) / spread if spread > 0 else unit * 0
        with torch.no_grad():
            p = model(torch.tensor((unit - 0.223) / 0.202, dtype=torch.float32)[None, None]).softmax(1)
            if p.dim() == 4:
                p = torch.nn.functional.interpolate(p, image.shape, mode="bilinear", align_corners=False)
        result.append(p[0].numpy())
    return np.stack(result)
