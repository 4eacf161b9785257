# SPDX-License-Identifier: Apache-2.0
"""What is compared: the datasets, as they lie in --data, and the tasks on them with their training plans (README.md has both as tables)."""
import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Dataset:
    folder: str
    options: tuple  # keys of vmae that belong to the data: the same for pretraining and both arms
    pretrain_steps: int  # of 16 images
    is_by_patient: bool = True  # a file is a patient; False: not known
    slice_axis: int = -1  # volumes: the axis that slices are perpendicular to; -1: pictures
    pretrain_options: tuple = ()


@dataclass(frozen=True)
class Task:
    name: str
    dataset: str
    kind: str  # segment or classify
    classes: tuple  # segment: of the mask values 1, 2, ...; classify: all; with two classes the second is the positive one
    steps: int  # of 8 images (segment) or 16 (classify)
    seconds: int  # expected for one fine-tuning with prediction, two cores
    options: tuple = ()
    transfer: str = "encoder_decoder"  # what of the pretrained weights: method.md, "Fine-tuning"


def volumes(axis, *more):
    return (f"data.slice_axis={'xyz'[axis]}", "model.in_channels=1", *more)


def pictures(channels, mean, std):
    return ("data.intensity=stored", f"model.in_channels={channels}", f"data.mean=[{mean}]", f"data.std=[{std}]")


PERCENTILE = "data.intensity=percentile"
DATASETS = {
    # Sagittal slices: both halves of the hippocampus are in one picture, which a coronal slice (what `auto` takes for most of these cubes) can't show.
    "hippocampus": Dataset("hippocampus", volumes(0, PERCENTILE, "data.mean=[0.53]", "data.std=[0.25]"), 1000, slice_axis=0),
    "isic": Dataset("isic2017", pictures(3, 0.61, 0.18), 800, pretrain_options=("data.flip_vertical=0.5",)),
    "brain": Dataset("brain_tumor_mr", pictures(1, 0.18, 0.18), 700, is_by_patient=False),
    "montgomery": Dataset("montgomery_cxr", pictures(1, 0.42, 0.34), 300),
    "ibsi_pet": Dataset("ibsi_pet", volumes(2, PERCENTILE, "data.mean=[0.10]", "data.std=[0.15]"), 400, slice_axis=2),
    "ibsi_mr": Dataset("ibsi_mr", volumes(2, PERCENTILE, "data.mean=[0.37]", "data.std=[0.30]"), 250, slice_axis=2),
    "ibsi_ct": Dataset("ibsi_ct", volumes(2, "data.intensity=window", "data.window=[-160,240]", "data.mean=[0.31]", "data.std=[0.30]"), 250, slice_axis=2),
}

TUMOUR = ("tumour",)
HALF_FOREGROUND = ("data.foreground_share=0.5",)  # 45 to 60 % of these slices show no tumour
# The most informative first: `all` goes through them in this order, seed by seed.
TASKS = {
    task.name: task
    for task in (
        Task("hippocampus", "hippocampus", "segment", ("anterior", "posterior"), 350, 63),
        Task("isic_lesion", "isic", "segment", ("lesion",), 280, 48, transfer="encoder"),
        Task("brain_tumor", "brain", "classify", ("glioma", "meningioma", "notumor", "pituitary"), 320, 51, transfer="encoder"),
        Task("montgomery", "montgomery", "segment", ("lungs",), 220, 36),
        Task("ibsi_pet", "ibsi_pet", "segment", TUMOUR, 260, 44, HALF_FOREGROUND),
        Task("isic_melanoma", "isic", "classify", ("benign", "melanoma"), 260, 41, transfer="encoder"),
        Task("tuberculosis", "montgomery", "classify", ("normal", "tuberculosis"), 120, 19, transfer="encoder"),
        Task("ibsi_mr", "ibsi_mr", "segment", TUMOUR, 200, 33, HALF_FOREGROUND),
        Task("ibsi_ct", "ibsi_ct", "segment", TUMOUR, 200, 33, HALF_FOREGROUND),
    )
}


@dataclass
class Case:
    image: str  # relative to the dataset's folder
    patient: str
    mask: str = ""
    label: str = ""


def list_cases(dataset: Dataset, data: Path) -> list[Case]:
    """All cases of a dataset with what is known of them, in the order of their names."""
    folder = data / dataset.folder
    if not folder.is_dir():
        raise SystemExit(f"experiments: {folder} is missing: README.md says how --data must look")
    cases = volumes_in(folder) if dataset.slice_axis >= 0 else pictures_in(folder)
    if not cases:
        raise SystemExit(f"experiments: no cases in {folder}")
    return sorted(cases, key=lambda case: case.image)


def volumes_in(folder):
    files = sorted((folder / "images").glob("*.nii.gz"))
    return [Case(f"images/{file.name}", file.name.split(".")[0], mask=f"labels/{file.name}") for file in files]


def pictures_in(folder):
    yes_no = {"melanoma": ("benign", "melanoma"), "tuberculosis": ("normal", "tuberculosis")}
    cases = []
    with open(folder / "labels.csv", newline="") as file:
        for row in csv.DictReader(file):
            finding = next((name for name in yes_no if name in row), None)
            label = yes_no[finding][int(row[finding])] if finding else row["label"]
            cases.append(Case(row["image"], Path(row["image"]).stem, mask=row.get("mask", ""), label=label))
    return cases
