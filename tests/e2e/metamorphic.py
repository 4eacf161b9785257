# SPDX-License-Identifier: Apache-2.0
"""One content written in many ways, by writers that share no code with vmae: NIfTI (nibabel), NRRD and MetaImage (raw
bytes), TIFF (tifffile), PNG (Pillow), DICOM series, RTSTRUCT and enhanced multi-frame images (pydicom), DICOM
segmentations (highdicom).

A Case is a volume with its mask, both (x, y, z), and its geometry in DICOM's frame (left, posterior, superior). What
vmae should make of it follows from the Case alone: `digests` is computed from it, never from what was written.
"""
import dataclasses
import gzip
import hashlib
import json
import logging
import os
import random
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import tifffile
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

logging.getLogger("highdicom").setLevel(logging.ERROR)  # it warns of masks that are empty

CLASSES = ["one", "two", "three"]  # of mask values 1, 2, 3
AXIAL = np.eye(3)


@dataclasses.dataclass
class Case:
    stored: np.ndarray  # (x, y, z), numbers of the stored type
    mask: np.ndarray  # (x, y, z), uint8
    spacing: tuple = (1.0, 1.0, 1.0)
    origin: tuple = (0.0, 0.0, 0.0)
    direction: np.ndarray = dataclasses.field(default_factory=lambda: AXIAL)  # columns: where x, y and z point to
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def values(self):
        """In units."""
        return (self.stored.astype(np.float64) * self.slope + self.intercept).astype(np.float32)

    @property
    def slices(self):
        return self.stored.shape[2]

    def position(self, *index):
        """Of a voxel, or of a point between voxels, in mm."""
        return np.asarray(self.origin) + self.direction @ (np.asarray(self.spacing) * index)


def rotation(degrees, axis=(0, 0, 1)):
    """About `axis` (Rodrigues)."""
    x, y, z = np.asarray(axis) / np.linalg.norm(axis)
    cross, angle = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.radians(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def make_case(seed, shape, dtype=np.uint8, spacing=(1.0, 1.0, 1.0), direction=AXIAL, slope=1.0, intercept=0.0,
              classes=3, is_empty=False):
    """Noise with ellipsoids of the classes in it. The range of the numbers is that of `dtype`, as far as 16 bits go."""
    rng = np.random.default_rng(seed)
    grid, mask = np.indices(shape), np.zeros(shape, np.uint8)
    for label in range(1, classes + 1 if not is_empty else 1):
        middle, radius = rng.uniform(0.25, 0.75, 3) * shape, rng.uniform(0.15, 0.3, 3) * shape
        middle[2] = min(round(middle[2]), shape[2] - 1)  # so that some slice is cut through the middle
        mask[sum(((g - m) / max(r, 1)) ** 2 for g, m, r in zip(grid, middle, radius)) < 1] = label
    low, high = {"u1": (0, 255), "u2": (0, 60000), "i2": (-1000, 3000)}.get(np.dtype(dtype).str[1:], (0, 1000))
    part = 0.3 + 0.15 * mask + rng.normal(0, 0.05, shape)
    stored = np.rint((low + (high - low) * part).clip(low, high)).astype(dtype)
    origin = tuple(np.round(rng.uniform(-50, 50, 3) * spacing, 3))
    return Case(stored, mask, spacing, origin, direction, slope, intercept)


def flipped(case, axis):
    """Every voxel stays at its place in space; they are stored in the other order along `axis`."""
    direction = case.direction.copy()
    direction[:, axis] *= -1
    last = [0, 0, 0]
    last[axis] = case.stored.shape[axis] - 1
    return dataclasses.replace(case, stored=np.flip(case.stored, axis), mask=np.flip(case.mask, axis),
                               origin=tuple(case.position(*last)), direction=direction)


def wrong_prediction(case, seed):
    """The mask, moved and with mistakes; the same for the same case and seed."""
    rng = np.random.default_rng(seed)
    moved = np.roll(case.mask, (1, -1), (0, 1))
    wrong = rng.random(case.mask.shape) < 0.1 * ndimage.binary_dilation(moved > 0, iterations=2)
    moved[wrong] = rng.integers(0, 4, np.count_nonzero(wrong))
    return dataclasses.replace(case, mask=moved)


# Digests: of pixels in units and masks, slice by slice


def slice_digest(values, mask):
    """values and mask: (row, column)."""
    values, mask = np.ascontiguousarray(values, "<f4"), np.ascontiguousarray(mask, np.uint8)
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes() + mask.tobytes()).hexdigest()


def digests(case):
    """Of its slices, in order."""
    return [slice_digest(case.values[..., z].T, case.mask[..., z].T) for z in range(case.slices)]


def prepared_digests(cases, items):
    """Of a prepared dataset (read_dataset of test_prepared_bytes): {name of the case: digests of its slices}. Without a
    mask: as with an empty one."""
    found = {}
    for item in items:
        stored = item["stored"][..., 0].astype(np.float64)
        mask = np.zeros(stored.shape, np.uint8) if item["mask"] is None else item["mask"]
        values = stored * item["slope"] + item["intercept"]
        found.setdefault(cases[item["case"]]["name"], []).append(slice_digest(values, mask))
    return found


# Volumes. Each writes `array` (x, y, z) of numbers on the case's grid.


def write_nifti(path, array, case, slope=1.0, intercept=0.0, form="both", error=0.0):
    """form: which of its places NIfTI names (qform, sform, both). error: by how much the sform's directions are not
    orthonormal (largest component of D'D - 1)."""
    to_ras = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = to_ras @ case.direction * case.spacing
    affine[:3, 3] = to_ras @ case.origin
    image = nibabel.Nifti1Image(array, affine)
    image.set_qform(affine, 1 if form != "sform" else 0)
    if error:
        bent = np.array([[0.1, 1, -1], [-0.8, 0, 1], [1, 1, 0.1]])
        directions = affine[:3, :3] / case.spacing
        defect = directions.T @ bent + bent.T @ directions
        affine[:3, :3] += error / np.abs(defect).max() * bent * case.spacing
    image.set_sform(affine, 1 if form != "qform" else 0)
    image.header.set_xyzt_units("mm")
    data = bytearray(image.to_bytes())
    if (slope, intercept) != (1.0, 0.0):  # nibabel would choose a scaling itself: the one meant goes into the bytes
        data[112:120] = np.array([slope, intercept], "<f4").tobytes()
    Path(path).write_bytes(gzip.compress(bytes(data), mtime=0) if str(path).lower().endswith(".gz") else bytes(data))


NRRD_TYPES = {"u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "f4": "float", "f8": "double"}
META_TYPES = {"u1": "MET_UCHAR", "i1": "MET_CHAR", "u2": "MET_USHORT", "i2": "MET_SHORT", "f4": "MET_FLOAT",
              "f8": "MET_DOUBLE"}


def vector(numbers, separator=" "):
    return separator.join(repr(float(n)) for n in numbers)


def write_nrrd(path, array, case, **_):
    """.nrrd, gzipped for volumes of an odd number of slices; .nhdr with its numbers beside it."""
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("<"))
    is_gzipped, is_detached = array.shape[2] % 2 == 1, str(path).endswith(".nhdr")
    data = array.tobytes(order="F")
    data = gzip.compress(data, mtime=0) if is_gzipped else data
    axes = " ".join(f"({vector(case.direction[:, k] * case.spacing[k], ',')})" for k in range(3))
    header = (f"NRRD0004\ntype: {NRRD_TYPES[array.dtype.str[1:]]}\ndimension: 3\nspace: left-posterior-superior\n"
              f"sizes: {' '.join(map(str, array.shape))}\nspace directions: {axes}\nkinds: domain domain domain\n"
              f"endian: little\nencoding: {'gzip' if is_gzipped else 'raw'}\n"
              f"space origin: ({vector(case.origin, ',')})\n")
    if is_detached:
        name = Path(path).name[:-5] + ".raw"
        (Path(path).parent / name).write_bytes(data)
        Path(path).write_bytes(f"{header}data file: {name}\n".encode())
    else:
        Path(path).write_bytes(header.encode() + b"\n" + data)


def write_meta(path, array, case, **_):
    """.mha, or .mhd with its numbers beside it. TransformMatrix holds the axes one after the other."""
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("<"))
    name = Path(path).name[:-4] + ".raw" if str(path).endswith(".mhd") else "LOCAL"
    header = (f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
              f"CompressedData = False\n"
              f"TransformMatrix = {vector(case.direction.T.ravel())}\nOffset = {vector(case.origin)}\n"
              f"ElementSpacing = {vector(case.spacing)}\nDimSize = {' '.join(map(str, array.shape))}\n"
              f"ElementType = {META_TYPES[array.dtype.str[1:]]}\nElementDataFile = {name}\n")
    data = array.tobytes(order="F")
    Path(path).write_bytes(header.encode() + (data if name == "LOCAL" else b""))
    if name != "LOCAL":
        (Path(path).parent / name).write_bytes(data)


def write_tiff(path, array, case=None, photometric="minisblack", **more):
    """A page per slice."""
    pages = np.ascontiguousarray(np.asarray(array).transpose(2, 1, 0))
    tifffile.imwrite(path, pages, photometric=photometric, metadata=None, **{"rowsperstrip": 8, **more})


VOLUMES = {".nii": write_nifti, ".nii.gz": write_nifti, ".nrrd": write_nrrd, ".nhdr": write_nrrd, ".mha": write_meta,
           ".mhd": write_meta, ".tif": write_tiff, ".tiff": write_tiff}


def write_volume(path, array, case, ending, **scaling):
    path.parent.mkdir(parents=True, exist_ok=True)
    VOLUMES[ending.lower()](path, array, case, **scaling)


def write_image(path, case, ending):
    """NIfTI holds stored numbers and their scaling, the others stored numbers, or where these are scaled or would be
    signed in TIFF, those in units as float32."""
    is_signed_tiff = ending.lower().startswith(".tif") and case.stored.dtype.kind == "i"
    if ending.lower().startswith(".nii"):
        write_volume(path, case.stored, case, ending, slope=case.slope, intercept=case.intercept)
    elif (case.slope, case.intercept) == (1.0, 0.0) and not is_signed_tiff:
        write_volume(path, case.stored, case, ending)
    else:
        write_volume(path, case.values, case, ending)


def write_pairs(folder, cases, names, ending, mask_ending=None, order=None, folders=("images", "labels")):
    """Folders of images and masks of the same name. `order`: in which they are written."""
    mask_ending = ending if mask_ending is None else mask_ending
    for i in order or range(len(cases)):
        write_image(folder / folders[0] / (names[i] + ending), cases[i], ending)
        write_volume(folder / folders[1] / (names[i] + mask_ending), cases[i].mask, cases[i], mask_ending)
    return folder


def write_maps(folder, cases, names, ending):
    """Masks alone."""
    for case, name in zip(cases, names, strict=True):
        write_volume(folder / (name + ending), case.mask, case, ending)
    return folder


def write_slices(folder, cases, names, ending=".png", folders=("images", "masks")):
    """A picture per slice: NAME_000, NAME_001, ...."""
    for case, name in zip(cases, names, strict=True):
        for z in range(case.slices):
            for sub, plane in zip(folders, (case.stored[..., z].T, case.mask[..., z].T)):
                path = folder / sub / f"{name}_{z:03d}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.ascontiguousarray(plane)).save(path)
    return folder


def write_manifest(folder, rows, columns=("image", "mask"), name="list.csv"):
    def quoted(cell):
        return '"' + str(cell).replace('"', '""') + '"' if any(c in str(cell) for c in ',;"') else str(cell)
    text = "\n".join(",".join(map(quoted, row)) for row in [columns, *rows]) + "\n"
    (folder / name).write_text(text, "utf-8")
    return folder / name


def write_nnunet(folder, cases, names, ending):
    """Version 2: dataset.json with labels and file_ending, images with the number of their channel."""
    for case, name in zip(cases, names, strict=True):
        write_image(folder / "imagesTr" / f"{name}_0000{ending}", case, ending)
        write_volume(folder / "labelsTr" / f"{name}{ending}", case.mask, case, ending)
    labels = {name: i for i, name in enumerate(["background", *CLASSES])}
    (folder / "dataset.json").write_text(json.dumps({
        "channel_names": {"0": "XY"}, "labels": labels, "numTraining": len(cases), "file_ending": ending}))
    return folder


def write_decathlon(folder, cases, names, ending, order=None):
    write_pairs(folder, cases, names, ending, folders=("imagesTr", "labelsTr"))
    pairs = [{"image": f"./imagesTr/{names[i]}{ending}", "label": f"./labelsTr/{names[i]}{ending}"}
             for i in order or range(len(cases))]
    labels = {str(i): name for i, name in enumerate(["background", *CLASSES])}
    (folder / "dataset.json").write_text(json.dumps({
        "name": "T", "modality": {"0": "XY"}, "labels": labels, "numTraining": len(pairs), "numTest": 0,
        "training": pairs, "test": []}))
    return folder


def set_times(folder, order):
    """Gives the files below a folder times of modification that follow `order` of their sorted paths."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number, i in enumerate(order(len(files))):
        os.utime(files[i], (1.6e9 + 60 * number,) * 2)


def shuffled(seed):
    def order(count):
        numbers = list(range(count))
        random.Random(seed).shuffle(numbers)
        return numbers
    return order


# DICOM


def uid(*parts):
    return generate_uid(entropy_srcs=["vmae metamorphic", *map(str, parts)])


def dicom_object(sop_class, instance):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop_class, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class, instance
    return data


def identify(data, key, number, modality):
    """The modules of patient and study; key: what tells patients apart."""
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = f"Doe^{number}", f"P{number}", "", ""
    data.StudyInstanceUID, data.FrameOfReferenceUID = uid(key, "study"), uid(key, "frame")
    data.StudyDate = data.SeriesDate = data.ContentDate = "20200101"
    data.StudyTime = data.SeriesTime = data.ContentTime = "120000"
    data.StudyID, data.AccessionNumber, data.ReferringPhysicianName, data.Manufacturer = "1", "", "", "none"
    data.Modality, data.SeriesNumber, data.InstanceNumber = modality, 1, 1


def describe_pixels(data, case):
    """16 bit, whatever was stored. -> the pixels (slice, row, column)."""
    is_signed = case.stored.dtype.kind == "i"
    data.Columns, data.Rows, _ = case.stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, int(is_signed)
    return np.ascontiguousarray(case.stored.transpose(2, 1, 0).astype("<i2" if is_signed else "<u2"))


def ds(number):
    """A decimal string has at most 16 characters."""
    text = repr(float(number))
    digits = 12
    while len(text) > 16:
        text = f"{float(number):.{digits}g}"
        digits -= 1
    return text


def write_series(folder, case, key, number=0, order=None, name="IM{:04d}.dcm"):
    """-> data sets in the order of the slices. order: numbers of the files and instances, by slice."""
    folder.mkdir(parents=True, exist_ok=True)
    written, frames = [], describe_pixels(Dataset(), case)
    for z in range(case.slices):
        data = dicom_object(pydicom.uid.CTImageStorage, uid(key, "slice", z))
        identify(data, key, number, "CT")
        describe_pixels(data, case)
        data.SeriesInstanceUID = uid(key, "series")
        instance = order[z] if order else z
        data.InstanceNumber = instance + 1
        data.ImagePositionPatient = [ds(v) for v in case.position(0, 0, z)]
        data.ImageOrientationPatient = [ds(v) for v in (*case.direction[:, 0], *case.direction[:, 1])]
        data.PixelSpacing = [ds(case.spacing[1]), ds(case.spacing[0])]
        data.SliceThickness = data.SpacingBetweenSlices = ds(case.spacing[2])
        data.RescaleSlope, data.RescaleIntercept = ds(case.slope), ds(case.intercept)
        data.PixelData = frames[z].tobytes()
        data.save_as(folder / name.format(instance), enforce_file_format=True)
        written.append(data)
    return written


def write_enhanced(path, times, key, number=0, order=None):
    """An enhanced multi-frame CT; `times`: cases on one grid, one per time point. order: of frames, numbered time by
    time; default: interleaved, each place with all of its time points."""
    case, count = times[0], len(times)
    data = dicom_object("1.2.840.10008.5.1.4.1.1.2.1", uid(key, "enhanced"))
    identify(data, key, number, "CT")
    data.SeriesInstanceUID = uid(key, "series")
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    pixels = np.concatenate([describe_pixels(data, one) for one in times])  # frame t * slices + z
    order = order or [t * case.slices + z for z in range(case.slices) for t in range(count)]
    data.NumberOfFrames = len(order)
    measures, plane, transform, shared = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [ds(case.spacing[1]), ds(case.spacing[0])]
    measures.SliceThickness = measures.SpacingBetweenSlices = ds(case.spacing[2])
    plane.ImageOrientationPatient = [ds(v) for v in (*case.direction[:, 0], *case.direction[:, 1])]
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = ds(case.slope), ds(case.intercept), "HU"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [transform]
    data.SharedFunctionalGroupsSequence = [shared]
    organisation = Dataset()
    organisation.DimensionOrganizationUID = uid(key, "dimensions")
    data.DimensionOrganizationSequence = [organisation]
    indices = []
    pointers = [(0x00209056, 0x00209111), (0x00209057, 0x00209111)]  # StackID, InStackPositionNumber
    pointers += [(0x00209128, 0x00209111)] if count > 1 else []  # TemporalPositionIndex
    for pointer, group in pointers:
        index = Dataset()
        index.DimensionOrganizationUID = organisation.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = pointer, group
        indices.append(index)
    data.DimensionIndexSequence = indices
    frames = []
    for frame in order:
        t, z = divmod(frame, case.slices)
        content, position, groups = Dataset(), Dataset(), Dataset()
        content.StackID, content.InStackPositionNumber = "1", z + 1
        content.DimensionIndexValues = [1, z + 1] + ([t + 1] if count > 1 else [])
        if count > 1:
            content.TemporalPositionIndex = t + 1
        position.ImagePositionPatient = [ds(v) for v in case.position(0, 0, z)]
        groups.FrameContentSequence, groups.PlanePositionSequence = [content], [position]
        frames.append(groups)
    data.PerFrameFunctionalGroupsSequence = frames
    data.PixelData = pixels[order].tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return data


def write_captures(path, stored, key):
    """A multi-frame secondary capture of bytes (x, y, frame): no place, no spacing."""
    data = dicom_object("1.2.840.10008.5.1.4.1.1.7.2", uid(key, "capture"))
    identify(data, key, 0, "OT")
    data.SeriesInstanceUID, data.ConversionType, data.NumberOfFrames = uid(key, "captures"), "WSD", stored.shape[2]
    data.Columns, data.Rows, _ = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = np.ascontiguousarray(stored.transpose(2, 1, 0)).tobytes() + b"\0" * (stored.size % 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


# A pixel's sides: to which neighbour, and the corners from and to which the border goes there
SIDES = (((0, -1), (0, 0), (1, 0)), ((1, 0), (1, 0), (1, 1)), ((0, 1), (1, 1), (0, 1)), ((-1, 0), (0, 1), (0, 0)))


def outlines(plane):
    """The borders of a mask (x, y) along the edges of its pixels: closed loops of corners, pixel (0, 0) going from -0.5
    to 0.5. By the even-odd rule they fill the mask."""
    padded = np.pad(plane, 1)
    after = {}  # corner -> where the border goes from there, the inside on one hand
    for x, y in zip(*np.nonzero(plane)):
        for (dx, dy), start, end in SIDES:
            if not padded[x + 1 + dx, y + 1 + dy]:
                after.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while after:
        first = corner = next(iter(after))
        loop = []
        while True:
            following = after[corner].pop()
            if not after[corner]:
                del after[corner]
            loop.append(corner)
            corner = following
            if corner == first:
                break
        loops.append(np.array(loop, float) - 0.5)
    return loops


def fill_even_odd(loops, shape):
    """Pixels from whose centres a ray crosses the loops an odd number of times: for the test of `outlines`."""
    x, y = np.indices(shape)
    inside = np.zeros(shape, bool)
    for loop in loops:
        for (x0, y0), (x1, y1) in zip(loop, np.roll(loop, -1, 0)):
            if y0 != y1:
                inside ^= ((y0 > y) != (y1 > y)) & (x > x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def keyholes(loops):
    """Holes as part of the contour around them: in along a line, round the hole, and out along the same line."""
    sizes = [0.5 * np.sum(a[:, 0] * np.roll(a[:, 1], -1) - np.roll(a[:, 0], -1) * a[:, 1]) for a in loops]
    outer = [loop for loop, size in zip(loops, sizes) if size > 0]
    for hole in (loop for loop, size in zip(loops, sizes) if size < 0):
        middle = hole.mean(0)
        around = [np.all((loop.min(0) < middle) & (middle < loop.max(0))) for loop in outer]
        home = around.index(True)
        ring = outer[home]
        start = int(np.argmin(np.abs(ring - hole[0]).sum(1)))
        ring = np.roll(ring, -start, 0)
        outer[home] = np.concatenate([ring, ring[:1], hole, hole[:1]])
    return outer


def write_rtstruct(path, images, case, key, number=0, offsets=(0.0,), repeat=1, with_keyholes=False):
    """images: of write_series. offsets: of planes to each slice, in slices; repeat: how often each contour stands
    there. Structures without contours are listed."""
    data = dicom_object(pydicom.uid.RTStructureSetStorage, uid(key, "rtstruct"))
    identify(data, key, number, "RTSTRUCT")
    data.PatientName, data.PatientID = images[0].PatientName, images[0].PatientID
    data.SeriesInstanceUID, data.SeriesNumber = uid(key, "rtstruct series"), 2
    data.StructureSetLabel, data.StructureSetDate, data.StructureSetTime = "s", "20200101", "120000"
    frame, study, series, references = Dataset(), Dataset(), Dataset(), []
    for image in images:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        references.append(reference)
    series.SeriesInstanceUID, series.ContourImageSequence = images[0].SeriesInstanceUID, references
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", images[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = images[0].FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    structures, drawn, observations = [], [], []
    for label, name in enumerate(CLASSES, 1):
        structure, contours, observation = Dataset(), Dataset(), Dataset()
        structure.ROINumber, structure.ROIName, structure.ROIGenerationAlgorithm = label, name, "MANUAL"
        structure.ReferencedFrameOfReferenceUID = images[0].FrameOfReferenceUID
        observation.ObservationNumber, observation.ReferencedROINumber = label, label
        observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
        contours.ReferencedROINumber, contours.ROIDisplayColor, items = label, [255, 0, 0], []
        for z in range(case.slices):
            loops = outlines(case.mask[..., z] == label)
            for loop in (keyholes(loops) if with_keyholes else loops):
                for offset in offsets:
                    item = Dataset()
                    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(loop)
                    item.ContourData = [ds(round(v, 8)) for x, y in loop for v in case.position(x, y, z + offset)]
                    items += [item] * repeat
        if items:
            contours.ContourSequence = items
        structures.append(structure)
        drawn.append(contours)
        observations.append(observation)
    data.StructureSetROISequence, data.ROIContourSequence = structures, drawn
    data.RTROIObservationsSequence = observations
    data.save_as(path, enforce_file_format=True)


def write_seg(path, images, case, key, kind="BINARY"):
    """images: of write_series, or a list of one of write_enhanced."""
    algorithm = highdicom.AlgorithmIdentificationSequence("none", codes.cid7162.ArtificialIntelligence, "1")
    automatic = highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    segments = [highdicom.seg.SegmentDescription(i, name, codes.SCT.Organ, codes.SCT.Liver, automatic, algorithm)
                for i, name in enumerate(CLASSES, 1)]
    pixels = np.ascontiguousarray(case.mask.transpose(2, 1, 0))
    if kind == "FRACTIONAL":
        pixels = np.stack([pixels == i for i in range(1, len(CLASSES) + 1)], -1).astype(np.float32)
    seg = highdicom.seg.Segmentation(
        images, pixels, highdicom.seg.SegmentationTypeValues[kind], segments, uid(key, "seg series", kind), 100,
        uid(key, "seg", kind), 1, manufacturer="none", manufacturer_model_name="none", software_versions="1",
        device_serial_number="1")
    seg.save_as(path)
