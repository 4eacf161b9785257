# SPDX-License-Identifier: Apache-2.0
"""Small datasets in nnU-Net's raw layout, the same wherever they are made: tests/golden/make_nnunet_plans.py shows them to nnunetv2, test_plan.py to vmae.

Each function writes one dataset into a folder DatasetNNN_Name; MAKERS has them all. WHOLE are larger sets of real images, which are not part of the project: its tests
are skipped without a folder that holds them (VMAE_REAL_DATA).
"""
import json
import os
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image

TESTS = Path(__file__).resolve().parents[1]
DATA = TESTS / "data"
sys.path.insert(0, str(TESTS / "golden"))
from make_sts001 import fill  # noqa: E402


def random_of(seed):
    return np.random.default_rng([18, seed])


def blobs(random, shape, labels=1):
    """A label map (z, y, x): nested ellipsoids, 0 outside, `labels` in the middle."""
    grid = np.meshgrid(*[np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape], indexing="ij")
    radius = np.sqrt(sum((g - random.uniform(-0.2, 0.2)) ** 2 for g in grid))
    return sum((radius < 0.7 * (k + 1) / labels).astype(np.uint8) for k in range(labels))


def textured(random, labels, step=200, noise=40.0, dtype=np.int16):
    return (random.normal(100, noise, labels.shape) + step * labels).clip(1, 4000).astype(dtype)


def write_volume(path, array, spacing):
    """array (z, y, x), spacing in this order. The ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".mha"):
        types = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "float32": "MET_FLOAT"}
        header = ["ObjectType = Image", f"NDims = {array.ndim}", "BinaryData = True", "BinaryDataByteOrderMSB = False",
                  "ElementSpacing = " + " ".join(repr(float(s)) for s in spacing[::-1]), "DimSize = " + " ".join(map(str, array.shape[::-1])),
                  f"ElementType = {types[array.dtype.name]}", "ElementDataFile = LOCAL\n"]
        path.write_bytes("\n".join(header).encode() + np.ascontiguousarray(array).tobytes())
        return
    affine = np.diag([*(np.array([-1, -1, 1])[:array.ndim] * spacing[::-1]), *[1] * (4 - array.ndim)])
    nibabel.save(nibabel.Nifti1Image(array.transpose(), affine), path)


def write_picture(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def write_json(folder, labels, channels, count, ending=".nii.gz", **more):
    content = {"channel_names": {str(i): name for i, name in enumerate(channels)}, "labels": labels, "numTraining": count, "file_ending": ending, **more}
    (folder / "dataset.json").write_text(json.dumps(content, indent=1))


def classes(count):
    return {"background": 0, **{f"part{k}": k for k in range(1, count + 1)}}


def make_volumes(folder, seed, sizes, spacings, channels=("MRI",), count=1, labels=None, ending=".nii.gz", image_of=None, mask_of=None, **more):
    """One case per size (z, y, x)."""
    random = random_of(seed)
    for i, size in enumerate(sizes):
        mask = blobs(random, size, count) if mask_of is None else mask_of(random, size, i)
        for channel, _ in enumerate(channels):
            image = textured(random, mask) if image_of is None else image_of(random, mask, channel)
            write_volume(folder / f"imagesTr/case{i:02d}_{channel:04d}{ending}", image, spacings[i % len(spacings)])
        write_volume(folder / f"labelsTr/case{i:02d}{ending}", mask.astype(np.uint8), spacings[i % len(spacings)])
    write_json(folder, labels or classes(count), channels, len(sizes), ending, **more)


def isotropic(folder):
    make_volumes(folder, 1, [(40, 52, 44), (36, 50, 47), (41, 55, 40), (38, 49, 44)], [(1, 1, 1), (0.9, 1.1, 1), (1, 1, 1.2)], count=2)


def anisotropic(folder):
    """Few thick slices: the target of z is the 10th percentile."""
    sizes = [(9, 96, 80), (8, 100, 84), (10, 90, 76), (7, 98, 88), (12, 92, 81)]
    make_volumes(folder, 2, sizes, [(10, 0.7, 0.7), (8, 0.8, 0.8), (10, 0.65, 0.65), (5, 0.75, 0.75), (6.5, 0.7, 0.7)], count=3)


def hounsfield(random, mask, _):
    image = random.normal(-60, 90, mask.shape) + 120.0 * mask
    image[random.random(mask.shape) < 0.3] = -1024
    return image.astype(np.int16)


def ct(folder):
    make_volumes(folder, 3, [(30, 64, 70), (27, 66, 66), (35, 70, 60)], [(3, 0.8, 0.8), (2.5, 0.75, 0.75)], ["CT"], image_of=hounsfield)


def skull_stripped(random, mask, _):
    """Zero around the middle, and a hole in it."""
    image = textured(random, mask, dtype=np.float32)
    middle = np.zeros(mask.shape, bool)
    middle[tuple(slice(n // 5, n - n // 4) for n in mask.shape)] = True
    middle[tuple(slice(n // 2, n // 2 + 2) for n in mask.shape)] = False
    return np.where(middle, image / 7, 0).astype(np.float32)


def two_channels(folder):
    make_volumes(folder, 4, [(40, 48, 44), (44, 52, 40)], [(1, 1, 1)], ["T1", "T2"], image_of=skull_stripped)


def regions(folder):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3}
    make_volumes(folder, 5, [(24, 40, 40), (26, 44, 38)], [(2, 1, 1)], count=3, labels=labels, regions_class_order=[1, 2, 3])


def scribbles(random, size, _):
    mask = np.full(size, 3, np.uint8)
    known = blobs(random, size, 2)
    seen = random.random(size) < 0.2
    mask[seen] = known[seen]
    return mask


def ignore(folder):
    make_volumes(folder, 6, [(20, 48, 40), (22, 44, 44), (21, 50, 40)], [(1.5, 0.9, 0.9)], labels={**classes(2), "ignore": 3}, mask_of=scribbles)


def grey_pictures(folder):
    random = random_of(7)
    for i, size in enumerate([(70, 90), (64, 100), (81, 80), (70, 96), (90, 90)]):
        mask = blobs(random, size, 2)
        write_picture(folder / f"imagesTr/case{i}_0000.png", textured(random, mask, 50, 10).astype(np.uint8))
        write_picture(folder / f"labelsTr/case{i}.png", mask)
    write_json(folder, classes(2), ["rescale_to_0_1"], 5, ".png")


def colour_pictures(folder):
    random = random_of(8)
    for i, size in enumerate([(120, 130), (140, 121), (128, 128)]):
        mask = blobs(random, size)
        write_picture(folder / f"imagesTr/case{i}_0000.png", np.stack([textured(random, mask, 20 * k, 10).astype(np.uint8) for k in (1, 2, 3)], -1))
        write_picture(folder / f"labelsTr/case{i}.png", mask)
    write_json(folder, classes(1), ["rgb_to_0_1"] * 3, 3, ".png")


def tiny(folder):
    make_volumes(folder, 9, [(5, 9, 8), (4, 12, 7), (6, 8, 8)], [(1, 1, 1)])


def huge(folder):
    """Nearly constant: small as files, larger than a patch can be."""
    def image_of(_, mask, __):
        image = np.full(mask.shape, 7, np.uint8)
        image[:, ::5, ::3] = 9
        return image
    make_volumes(folder, 10, [(1, 2600, 2600), (1, 3000, 2200)], [(3, 0.2, 0.2)], image_of=image_of)


def sagittal(folder):
    """Thick along x, .nii, spacings that differ within the slice too."""
    make_volumes(folder, 11, [(64, 70, 12), (60, 75, 14), (66, 71, 12)], [(0.9, 1.1, 4.5), (0.9, 1.0, 5)], count=2, ending=".nii")


def flat_pixels(folder):
    make_volumes(folder, 12, [(6, 256, 100), (7, 256, 100), (6, 250, 104)], [(8, 1, 2.5)], ["nonorm"])


def without_foreground(folder):
    """One case has none."""
    def mask_of(random, size, i):
        return np.zeros(size, np.uint8) if i == 1 else blobs(random, size)
    make_volumes(folder, 13, [(20, 33, 35), (18, 36, 34), (22, 35, 37)], [(1.25, 1, 1)], ["noNorm", "zscore", "X"], ending=".mha", mask_of=mask_of)


def flat_files(folder):
    """2D NIfTI files of pixels larger than 1 mm."""
    make_volumes(folder, 14, [(60, 72), (66, 70), (61, 75)], [(2.5, 2)])


def names_apart(folder):
    """Cases whose order is not that of their files, and as many as make the median lie between two."""
    random = random_of(15)
    for name, size in [("a", (10, 30, 31)), ("a1", (12, 34, 33)), ("b", (11, 30, 38)), ("a-2", (14, 36, 30))]:
        mask = blobs(random, size)
        write_volume(folder / f"imagesTr/{name}_0000.nii.gz", textured(random, mask), (3, 1, 1 + 0.01 * size[0]))
        write_volume(folder / f"labelsTr/{name}.nii.gz", mask, (3, 1, 1 + 0.01 * size[0]))
    write_json(folder, classes(1), ["MRI"], 4)


def copy_volumes(folder, source, labels, channel, limit=None):
    """Pairs of NIfTI files in images and labels."""
    images = sorted((source / "images").glob("*.nii.gz"))[:limit]
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for image in images:
        shutil.copy(image, folder / "imagesTr" / image.name.replace(".nii.gz", "_0000.nii.gz"))
        shutil.copy(source / "labels" / image.name, folder / "labelsTr" / image.name)
    write_json(folder, labels, [channel], len(images))


def copy_pictures(folder, source, channels, limit=None):
    """Pictures and masks of 0 and 255, of one name but for its ending."""
    images = sorted(path for path in (source / "images").iterdir() if path.suffix in (".png", ".jpg"))[:limit]
    for image in images:
        write_picture(folder / f"imagesTr/{image.stem}_0000.png", np.asarray(Image.open(image)))
        write_picture(folder / f"labelsTr/{image.stem}.png", (np.asarray(Image.open(source / "masks" / f"{image.stem}.png")) > 0).astype(np.uint8))
    write_json(folder, classes(1), channels, len(images), ".png")


def hippocampus(folder):
    copy_volumes(folder, DATA / "hippocampus", {"background": 0, "Anterior": 1, "Posterior": 2}, "MRI")


def ibsi_ct(folder):
    copy_volumes(folder, DATA / "ibsi/ct", classes(1), "CT")


def ibsi_mr(folder):
    copy_volumes(folder, DATA / "ibsi/mr", classes(1), "MRI")


def ibsi_pet(folder):
    copy_volumes(folder, DATA / "ibsi/pet", classes(1), "noNorm")


def isic(folder):
    copy_pictures(folder, DATA / "isic", ["R", "G", "B"])


def sts001(folder, modality, channel):
    """Slices of a DICOM series, and the contours of its RTSTRUCT as a mask."""
    series = sorted((pydicom.dcmread(path) for path in (DATA / "sts001" / modality / "image").iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    contours = pydicom.dcmread(DATA / "sts001" / modality / "RS.dcm").ROIContourSequence[0].ContourSequence
    heights = [float(d.ImagePositionPatient[2]) for d in series]
    masks = [fill([c for c in contours if abs(float(c.ContourData[2]) - height) < 0.1], d) for height, d in zip(heights, series)]
    values = [d.pixel_array * float(d.get("RescaleSlope", 1)) + float(d.get("RescaleIntercept", 0)) for d in series]
    spacing = (heights[1] - heights[0], *map(float, series[0].PixelSpacing))
    write_volume(folder / "imagesTr/case_0000.nii.gz", np.stack(values).astype(np.float32), spacing)
    write_volume(folder / "labelsTr/case.nii.gz", np.stack(masks).astype(np.uint8), spacing)
    write_json(folder, classes(1), [channel], 1)


def sts001_ct(folder):
    sts001(folder, "CT", "CT")


def sts001_mr(folder):
    sts001(folder, "MR_T1", "MR")


def sts001_pet(folder):
    sts001(folder, "PET", "PT")


def real_data():
    """The folder of VMAE_REAL_DATA, or None."""
    return Path(os.environ["VMAE_REAL_DATA"]) if os.environ.get("VMAE_REAL_DATA") else None


def whole_ct(folder):
    copy_volumes(folder, real_data() / "ibsi_ct", classes(1), "CT")


def whole_mr(folder):
    copy_volumes(folder, real_data() / "ibsi_mr", classes(1), "MRI")


def whole_pet(folder):
    copy_volumes(folder, real_data() / "ibsi_pet", classes(1), "PET")


def whole_hippocampus(folder):
    copy_volumes(folder, real_data() / "hippocampus", {"background": 0, "Anterior": 1, "Posterior": 2}, "MRI")


def whole_ultrasound(folder):
    copy_pictures(folder, real_data() / "busi", ["ultrasound"], limit=100)


def whole_dermoscopy(folder):
    copy_pictures(folder, real_data() / "isic2017", ["rgb_to_0_1"] * 3, limit=100)


def whole_xray(folder):
    copy_pictures(folder, real_data() / "montgomery_cxr", ["x-ray"])


MAKERS = [isotropic, anisotropic, ct, two_channels, regions, ignore, grey_pictures, colour_pictures, tiny, huge, sagittal, flat_pixels, without_foreground,
          flat_files, names_apart, hippocampus, ibsi_ct, ibsi_mr, ibsi_pet, isic, sts001_ct, sts001_mr, sts001_pet]
WHOLE = [whole_ct, whole_mr, whole_pet, whole_hippocampus, whole_ultrasound, whole_dermoscopy, whole_xray]
# Of these nnU-Net's own number of foreground voxels is drawn; of the others a hundredth, which is quicker.
WITH_ALL_VOXELS = ["hippocampus", "ct", "ibsi_pet"]


def folder_name(maker):
    return f"Dataset{(MAKERS + WHOLE).index(maker) + 1:03d}_{maker.__name__}"


def make(maker, parent):
    folder = Path(parent) / folder_name(maker)
    folder.mkdir(parents=True)
    maker(folder)
    return folder
