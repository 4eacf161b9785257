# SPDX-License-Identifier: Apache-2.0
"""DICOM made with pydicom and highdicom in many variants, against masks and volumes that are computed here, one pixel after the other: what is an image, contours,
label map segmentations, frames of several time points, names that are equal, and containers whose number of frames is wrong."""
import csv
import itertools
import json
import shutil
import unittest
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import report_inputs as made
from harness import TINY, VmaeTest
from test_prepared_bytes import read_dataset

try:
    import highdicom
    from pydicom.sr.codedict import codes
except ImportError as missing:
    raise unittest.SkipTest(str(missing))

CT, ENHANCED_CT, ENHANCED_MR, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def uid(*words):
    return generate_uid(entropy_srcs=[str(word) for word in words])


def new(sop_class, *words, modality="CT", series="series"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = sop_class or CT, uid(*words), ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop_class or CT, meta.MediaStorageSOPInstanceUID
    data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "P1", "Doe^Case", "", ""
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = uid("study"), uid(series), uid("frame of reference")
    data.StudyDate = data.SeriesDate = "20200101"
    data.StudyTime = data.SeriesTime = "120000"
    data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.Modality, data.Manufacturer, data.SeriesNumber, data.InstanceNumber = modality, "none", 1, 1
    return data


def put_pixels(data, pixels, photometric="MONOCHROME2"):
    """(frame, row, column) or with colours behind."""
    data.Rows, data.Columns = pixels.shape[1:3]
    data.SamplesPerPixel, data.PhotometricInterpretation = (pixels.shape[3] if pixels.ndim == 4 else 1), photometric
    if pixels.ndim == 4:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsAllocated - 1, int(pixels.dtype.kind == "i")
    raw = pixels.tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)


class Grid:
    """Slices in space: `step` mm apart along the normal, sheared by `shear` mm a slice along y where the gantry is tilted."""

    def __init__(self, size=(20, 16, 5), spacing=(1.25, 0.9), step=3.0, x=(1, 0, 0), y=(0, 1, 0), origin=(-12.5, 7.25, 31.0), shear=0.0):
        self.size, self.spacing, self.step = size, spacing, step
        self.x, self.y, self.origin, self.shear = np.array(x, float), np.array(y, float), np.array(origin, float), shear
        self.normal = np.cross(self.x, self.y)

    def corner(self, z):
        return self.origin + z * (self.step * self.normal + self.shear * self.y)

    def point(self, column, row, z, height_mm=0):
        return self.corner(z) + column * self.spacing[0] * self.x + row * self.spacing[1] * self.y + height_mm * self.normal

    def place(self, data, z):
        data.ImagePositionPatient = [f"{v:.6f}" for v in self.corner(z)]
        data.ImageOrientationPatient = [f"{v:.6f}" for v in (*self.x, *self.y)]
        data.PixelSpacing, data.SliceThickness = [self.spacing[1], self.spacing[0]], self.step

    def write(self, folder, seed=0, **tags):
        """A CT series -> its data sets."""
        folder.mkdir(parents=True, exist_ok=True)
        images = []
        for z in range(self.size[2]):
            data = new(CT, "ct", seed, z)
            data.InstanceNumber = z + 1
            self.place(data, z)
            put_pixels(data, np.random.default_rng([seed, z]).integers(0, 200, (1, self.size[1], self.size[0])).astype(np.int16))
            data.RescaleSlope, data.RescaleIntercept = 1, 0
            for keyword, value in tags.items():
                setattr(data, keyword, value)
            data.save_as(folder / f"ct{z}.dcm", enforce_file_format=True)
            images.append(data)
        return images


GRIDS = {
    "plain": Grid(),
    "coronal": Grid(x=(1, 0, 0), y=(0, 0, -1), step=2.0),
    "oblique": Grid(x=(0.8, 0.6, 0), y=(0, 0, -1), spacing=(0.7, 1.1)),
    "tilted": Grid(shear=0.8),
    "fine": Grid(size=(31, 27, 4), spacing=(0.05, 0.05), step=0.12, origin=(0, 0, 0)),
}


def write_rtstruct(path, images, rois):
    """rois: (name, [points or (type, points)])."""
    data = new(RTSTRUCT, "rtstruct", path, modality="RTSTRUCT", series="structures")
    data.StructureSetLabel, data.StructureSetDate, data.StructureSetTime = "s", "20200101", "120000"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ContourImageSequence = [reference(image) for image in images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID, study.RTReferencedSeriesSequence = "1.2.840.10008.3.1.2.3.1", uid("study"), [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = images[0].FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois, 1):
        roi, item = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = number, name, images[0].FrameOfReferenceUID, ""
        item.ReferencedROINumber, item.ContourSequence = number, []
        for contour in contours:
            kind, points = contour if isinstance(contour, tuple) else ("CLOSED_PLANAR", contour)
            one = Dataset()
            one.ContourGeometricType, one.NumberOfContourPoints = kind, len(points)
            one.ContourData = [f"{v:.5f}" for v in np.asarray(points, float).ravel()]
            item.ContourSequence.append(one)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(item)
    data.save_as(path, enforce_file_format=True)


def reference(image):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def inside(polygon, shape):
    """Ray casting, pixel by pixel; polygon (column, row)."""
    result = np.zeros(shape, bool)
    for row, column in itertools.product(range(shape[0]), range(shape[1])):
        is_in = False
        for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]]):
            if (ay > row) != (by > row) and column < ax + (row - ay) / (by - ay) * (bx - ax):
                is_in = not is_in
        result[row, column] = is_in
    return result


class DicomKindsTest(VmaeTest):
    def inspect(self, folder, expect=0):
        return json.loads(self.vmae("inspect", folder, "--json", expect=expect).stdout)

    def said(self, found):
        return " | ".join(one["text"] for one in found["refused"] + found["remarks"])

    def prepare(self, folder, *options, expect=0):
        """-> cases; per case stored numbers and masks as (slice, row, column)."""
        out = self.tmp / "prepared"
        shutil.rmtree(out, ignore_errors=True)
        done = self.vmae("prepare", "--input", folder, "--output", out, "prepare.names=keep", "prepare.workers=1", *options, expect=expect)
        cases, items = read_dataset(out)
        stacks = []
        for number in range(len(cases)):
            own = sorted((item for item in items if item["case"] == number), key=lambda item: item["slice"])
            stored = np.stack([item["stored"] for item in own]) if own else None
            masks = np.stack([item["mask"] for item in own]) if own and own[0]["mask"] is not None else None
            stacks.append((stored[..., 0] if stored is not None and stored.shape[-1] == 1 else stored, masks))
        self.index, self.done = json.loads((out / "index.json").read_text()), done
        return cases, stacks

    def write_seg(self, images, masks, kind, path, names=("liver", "spleen"), change=None, **more):
        algorithm = highdicom.AlgorithmIdentificationSequence(name="none", version="1", family=codes.cid7162.ArtificialIntelligence)
        segments = [highdicom.seg.SegmentDescription(n, name, codes.SCT.Organ, codes.SCT.Liver, highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm)
                    for n, name in enumerate(names, 1)]
        seg = highdicom.seg.Segmentation(images, masks, kind, segments, series_instance_uid=uid("seg"), series_number=9, sop_instance_uid=uid("seg", 1), instance_number=1,
                                         manufacturer="none", manufacturer_model_name="none", software_versions="1", device_serial_number="1", **more)
        if change:
            change(seg)
        seg.save_as(path)


class ContoursTest(DicomKindsTest):
    def mask(self, grid, rois, **tags):
        folder = self.tmp / "rt"
        shutil.rmtree(folder, ignore_errors=True)
        images = grid.write(folder, **tags)
        write_rtstruct(folder / "zz.dcm", images, rois)
        _, [(_, mask)] = self.prepare(folder)
        return mask

    def polygon(self, seed, grid):
        """A star around the middle, none of whose edges goes through a pixel centre -> (column, row)."""
        generator = np.random.default_rng(seed)
        angles = np.sort(generator.uniform(0, 2 * np.pi, 9))
        radius = generator.uniform(0.2, 0.47, 9)
        return [(grid.size[0] * (0.5 + r * np.cos(a)) - 0.5, grid.size[1] * (0.5 + r * np.sin(a)) - 0.5) for a, r in zip(angles, radius)]

    def test_planes_closer_than_slices(self):
        """A solid from slice 1 to slice 3, drawn in planes of any distance: as if it were drawn in the slices alone."""
        for name, grid in GRIDS.items():
            for parts in (1, 2, 3, 5, 8):
                with self.subTest(grid=name, parts=parts):
                    polygon = self.polygon(7, grid)
                    contours = []
                    for i in range(2 * parts + 1):
                        z, height = 1 + i / parts, 0.0
                        nearest = int(np.floor(z + 0.5 - 1e-9))
                        height = (z - nearest) * grid.step
                        contours.append([grid.point(x, y, nearest, height) for x, y in polygon])
                    mask = self.mask(grid, [("solid", contours)])
                    want = np.zeros_like(mask)
                    want[1:4] = inside(polygon, want.shape[1:])
                    np.testing.assert_array_equal(mask, want)

    def test_only_planes_beside_the_slices(self):
        """Of planes that lie beside a slice's centre on both sides, the nearer one; they differ, so that each can be told."""
        grid = GRIDS["plain"]
        near, far = self.polygon(1, grid), self.polygon(2, grid)
        for below, above in ((-0.4, 1.2), (-1.2, 0.4)):
            contours = [[grid.point(x, y, 2, below) for x, y in (near if abs(below) < abs(above) else far)],
                        [grid.point(x, y, 2, above) for x, y in (near if abs(above) < abs(below) else far)]]
            mask = self.mask(grid, [("solid", contours)])
            np.testing.assert_array_equal(mask[2], inside(near, mask.shape[1:]))
            self.assertEqual(mask.sum(), mask[2].sum())

    def test_repeated_contours(self):
        """Twice and three times, from another point, backwards, rounded, closed by its first point again, with points between: once."""
        for name, grid in GRIDS.items():
            polygon = self.polygon(3, grid)
            between = [((ax + bx) / 2, (ay + by) / 2) for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]])]
            variants = {"same": polygon, "other start": [*polygon[4:], *polygon[:4]], "backwards": polygon[::-1], "closed": [*polygon, polygon[0]],
                        "rounded": [(x + 0.004, y - 0.004) for x, y in polygon], "finer": [p for pair in zip(polygon, between) for p in pair]}
            for kind, other in variants.items():
                for copies in (1, 2):
                    with self.subTest(grid=name, kind=kind, copies=copies):
                        contours = [[grid.point(x, y, 1) for x, y in p] for p in (polygon, *[other] * copies)]
                        mask = self.mask(grid, [("block", contours)])
                        np.testing.assert_array_equal(mask[1], inside(polygon, mask.shape[1:]))
                        self.assertIn("count once", self.said(self.inspect("rt")))

    def test_holes_keyholes_and_islands(self):
        grid = Grid(size=(24, 20, 3))
        outer, inner, island, other = ([(1.5, 1.5), (20.5, 1.5), (20.5, 17.5), (1.5, 17.5)], [(5.5, 5.5), (15.5, 5.5), (15.5, 13.5), (5.5, 13.5)],
                                       [(8.5, 7.5), (11.5, 7.5), (11.5, 11.5), (8.5, 11.5)], [(21.5, 2.5), (22.5, 2.5), (22.5, 9.5), (21.5, 9.5)])
        shape = (20, 24)
        ring = inside(outer, shape) ^ inside(inner, shape)
        keyhole = [*outer, outer[0], *inner, inner[0]]  # along the way in and out again
        for kind, polygons, want in (("hole", [outer, inner], ring), ("keyhole", [keyhole], ring), ("island", [outer, inner, island], ring ^ inside(island, shape)),
                                     ("two", [inner, other], inside(inner, shape) | inside(other, shape)), ("ring twice", [outer, inner, outer, inner], ring)):
            for geometry in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
                with self.subTest(kind=kind, geometry=geometry):
                    mask = self.mask(grid, [("x", [(geometry, [grid.point(x, y, 1) for x, y in p]) for p in polygons])])
                    np.testing.assert_array_equal(mask[1], want)
                    self.assertEqual(mask[[0, 2]].sum(), 0)

    def test_what_is_left_out_is_said(self):
        grid = GRIDS["plain"]
        polygon = self.polygon(5, grid)
        on = [grid.point(x, y, 1) for x, y in polygon]
        crossing = [grid.point(x + 2, y + 1, 1) for x, y in polygon]
        off = [grid.point(x, y, 9) for x, y in polygon]
        tiny = [grid.point(3.2 + x, 3.3 + y, 1) for x, y in ((0, 0), (0.2, 0), (0.2, 0.2))]
        self.mask(grid, [("a", [on, off, off, ("POINT", on[:1]), ("OPEN_PLANAR", on)]), ("speck", [tiny]), ("b", [on]), ("c", [on, crossing])])
        said = self.said(self.inspect("rt"))
        for words in ("outside of the image's slices are left out: 2 of 'a'", "points and open contours", "2 of 'a'", "without a voxel in the image: 'speck'",
                      "'a' and 'b' overlap", "cross each other"):
            self.assertIn(words, said)

    def test_names(self):
        """Equal names are one class, spaces around them do not count, empty ones get their number, Latin-1 becomes UTF-8."""
        grid = GRIDS["plain"]
        boxes = [[grid.point(x, y, z) for x, y in ((1.5, 1.5), (6.5, 1.5), (6.5, 6.5), (1.5, 6.5))] for z in range(5)]
        mask = self.mask(grid, [("Leber", [boxes[0]]), (" Leber ", [boxes[1]]), ("", [boxes[2]]), ("leber", [boxes[3]]), ("Müller", [boxes[4]])],
                         SpecificCharacterSet="ISO_IR 100")
        self.assertEqual(self.index["mask_names"], ["Leber", "ROI 3", "leber", "Müller"])
        self.assertEqual([int(s.max()) for s in mask], [1, 1, 2, 3, 4])
        found = self.inspect("rt")
        self.assertIn("'Leber': they are one class", self.said(found))
        self.assertIn("differ in case only", self.said(found))


class SegmentationTest(DicomKindsTest):
    def masks(self, grid, seed=0):
        generator = np.random.default_rng(seed)
        masks = np.zeros((grid.size[2], grid.size[1], grid.size[0]), np.uint8)
        for label in (1, 2):
            masks[1:4][generator.random(masks[1:4].shape) < 0.3] = label
        return masks

    def test_label_maps(self):
        for name, grid in GRIDS.items():
            for bits in (8, 16):
                with self.subTest(grid=name, bits=bits):
                    folder = self.tmp / f"{name}{bits}"
                    images, masks = grid.write(folder), self.masks(grid)

                    def widen(seg):
                        if bits == 8:
                            return
                        numbers = np.frombuffer(seg.PixelData, np.uint8)[:int(seg.NumberOfFrames) * seg.Rows * seg.Columns].astype("<u2")
                        numbers[numbers == 2] = 1000
                        seg.SegmentSequence[-1].SegmentNumber = 1000
                        seg.PixelData, seg.BitsAllocated, seg.BitsStored, seg.HighBit = numbers.tobytes(), 16, 16, 15

                    self.write_seg(images, masks, "LABELMAP", folder / "seg.dcm", change=widen)
                    found = self.inspect(folder.name)
                    self.assertEqual(len(found["images"]), 1, self.said(found))
                    _, [(_, mask)] = self.prepare(folder)
                    self.assertEqual(self.index["mask_names"], ["liver", "spleen"])
                    np.testing.assert_array_equal(mask, masks)
        (self.tmp / "truth").mkdir()
        (self.tmp / "predicted").mkdir()
        for kind, where in (("BINARY", "truth"), ("LABELMAP", "predicted")):
            self.write_seg(images, masks, kind, self.tmp / where / "case.dcm")
        self.vmae("eval", "--pred", "predicted", "--truth", "truth", "--output", "eval", "--no-distances", "--resamples", "20", "--classes", "liver,spleen")
        with open(self.tmp / "eval/cases.csv", encoding="utf-8") as file:
            self.assertEqual([float(row["Dice"]) for row in csv.DictReader(file)], [1, 1])

    def test_label_map_of_unknown_values(self):
        grid = GRIDS["plain"]
        images, masks = grid.write(self.tmp / "d"), self.masks(grid)

        def rename(seg):
            seg.SegmentSequence[-1].SegmentNumber = 7
        self.write_seg(images, masks, "LABELMAP", self.tmp / "d/seg.dcm", change=rename)
        cases, _ = self.prepare("d", expect=3)
        self.assertIn("holds the value 2, which is none of its segments", cases[0]["failure"])

    def test_overlaps_are_said(self):
        grid = GRIDS["plain"]
        images, masks = grid.write(self.tmp / "d"), self.masks(grid)
        both = np.stack([masks > 0, masks == 2], -1)
        self.write_seg(images, both, "BINARY", self.tmp / "d/seg.dcm")
        count = int((masks == 2).sum())
        self.assertIn(f"'liver' and 'spleen' overlap in {count} voxels", self.said(self.inspect("d")))
        _, [(_, mask)] = self.prepare("d")
        np.testing.assert_array_equal(mask, masks)

    def test_equal_and_empty_names(self):
        grid = GRIDS["plain"]
        images, masks = grid.write(self.tmp / "d"), self.masks(grid)
        for kind in ("BINARY", "LABELMAP"):
            def name(seg, names):
                for segment, text in zip(seg.SegmentSequence[-2:], names):
                    segment.SegmentLabel = text
            self.write_seg(images, masks, kind, self.tmp / "d/seg.dcm", change=lambda seg: name(seg, ("liver ", "liver")))
            _, [(_, mask)] = self.prepare("d")
            self.assertEqual(self.index["mask_names"], ["liver"])
            np.testing.assert_array_equal(mask, masks > 0)
            self.write_seg(images, masks, kind, self.tmp / "d/seg.dcm", change=lambda seg: name(seg, ("liver", "")))
            self.prepare("d")
            self.assertEqual(self.index["mask_names"], ["liver", "segment 2"])


class WhatIsAnImageTest(DicomKindsTest):
    def test_only_images_are_listed(self):
        """Beside a series, objects with pixels of every kind that is none: one image, and each of the others is named."""
        GRIDS["plain"].write(self.tmp / "d")
        pixels = np.random.default_rng(0).integers(0, 255, (1, 16, 20)).astype(np.uint8)
        others = {"1.2.840.10008.5.1.4.1.1.30": "ParametricMap", "1.2.840.10008.5.1.4.1.1.11.1": "PresentationState", "1.2.840.10008.5.1.4.1.1.88.33": "SR",
                  "1.2.840.10008.5.1.4.1.1.88.59": "KeyObject", "1.2.840.10008.5.1.4.1.1.104.1": "PDF", "1.2.840.10008.5.1.4.1.1.66": "RawData",
                  "1.2.840.10008.5.1.4.1.1.66.5": "SurfaceSegmentation", "1.2.840.10008.5.1.4.1.1.66.8": "height map", "1.3.12.2.1107.5.9.1": "1.3.12.2.1107.5.9.1",
                  "1.2.826.0.1.3680043.2.1": "private", "1.2.840.10008.5.1.4.1.1.9999": "unknown", "1.2.840.10008.5.1.4.1.1.81.1": "81.1",
                  "1.2.840.10008.5.1.4.1.1.481.5": "RTPlan", "1.2.840.10008.5.1.4.1.1.4.2": "Spectroscopy"}
        for i, sop_class in enumerate(others):
            data = new(sop_class, "other", i, modality="OT", series=f"other {i}")
            put_pixels(data, pixels)
            GRIDS["plain"].place(data, 0)
            data.save_as(self.tmp / f"d/o{i}.dcm", enforce_file_format=True)
        for modality in ("SEG", "SR", "PR"):  # stored as what they are not
            data = new("1.2.840.10008.5.1.4.1.1.7", modality, modality=modality, series=modality)
            put_pixels(data, pixels)
            data.save_as(self.tmp / f"d/m{modality}.dcm", enforce_file_format=True)
        found = self.inspect("d")
        self.assertEqual([i["size"] for i in found["images"]], [[20, 16, 5]])
        reasons = {one["name"]: one["text"] for one in found["refused"]}
        self.assertEqual(len(reasons), len(others) + 3)
        for i, name in enumerate(others.values()):
            self.assertIn(name, reasons[f"o{i}.dcm"])
        for modality in ("SEG", "SR", "PR"):
            self.assertIn(f"modality is {modality}", reasons[f"m{modality}.dcm"])
        self.prepare("d", expect=6)
        self.assertEqual(self.index["num_items"], 5)

    def test_images_of_every_class(self):
        classes = ["1", "1.1", "1.1.1", "1.2", "1.3", "2", "2.1", "2.2", "3.1", "3", "4", "4.1", "4.3", "4.4", "5", "6", "6.1", "6.2", "7", "7.1", "7.2", "7.3", "7.4", "12.1",
                   "12.1.1", "12.2", "12.2.1", "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5", "14.1", "20", "77.1.1", "77.1.1.1", "77.1.2", "77.1.3", "77.1.4",
                   "77.1.5.1", "77.1.5.2", "77.1.5.4", "77.1.6", "77.1.7", "128", "128.1", "130", "481.1", "481.2", ""]
        for i, tail in enumerate(classes):
            data = new(f"1.2.840.10008.5.1.4.1.1.{tail}" if tail else "", "image", i, modality="OT", series=f"series {i}")
            put_pixels(data, np.random.default_rng(i).integers(0, 255, (1, 16, 20)).astype(np.uint8))
            if not tail:
                del data.SOPClassUID, data.file_meta.MediaStorageSOPClassUID
            Path(self.tmp / "d").mkdir(exist_ok=True)
            data.save_as(self.tmp / f"d/i{i}.dcm")
        found = self.inspect("d")
        self.assertEqual(len(found["images"]), len(classes), found["refused"])


class FramesTest(DicomKindsTest):
    """One content, as single images and as frames of a file, in several orders of frames: the same volumes."""

    def content(self, times=2, size=(7, 6, 4)):
        return np.random.default_rng([times, *size]).integers(0, 4000, (times, size[2], size[1], size[0])).astype(np.uint16)

    def single(self, folder, pixels, grid, tag, shift_mm=0.0):
        """shift_mm: of each time point against the one before, along the normal."""
        folder.mkdir(parents=True)
        images = []
        for t, z in itertools.product(range(pixels.shape[0]), range(pixels.shape[1])):
            data = new(MR, folder, t, z, modality="MR")
            data.InstanceNumber = 1 + z * pixels.shape[0] + t
            grid.place(data, z)
            data.ImagePositionPatient = [f"{v:.6f}" for v in grid.corner(z) + t * shift_mm * grid.normal]
            put_pixels(data, pixels[t, z][None])
            setattr(data, tag, 10 * (t + 1))
            data.save_as(folder / f"{t}_{z}.dcm", enforce_file_format=True)
            images.append(data)
        return images

    def enhanced(self, path, pixels, grid, how, order="interleaved", change=None):
        """how: the dimension that counts time points, or "" for none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        times, slices = pixels.shape[:2]
        pairs = [(t, z) for z in range(slices) for t in range(times)] if order == "interleaved" else list(itertools.product(range(times), range(slices)))
        if order == "shuffled":
            np.random.default_rng(1).shuffle(pairs)
        data = new(ENHANCED_MR, path, how, order, modality="MR")
        put_pixels(data, np.stack([pixels[t, z] for t, z in pairs]))
        data.NumberOfFrames = len(pairs)
        shared, measures, orientation = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = [grid.spacing[1], grid.spacing[0]], grid.step
        orientation.ImageOrientationPatient = [f"{v:.6f}" for v in (*grid.x, *grid.y)]
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
        data.SharedFunctionalGroupsSequence = [shared]
        pointers = {"dimension": 0x00209128, "acquisition": 0x00209156}
        if how in pointers or how == "places only":
            organisation = uid("organisation")
            item = Dataset()
            item.DimensionOrganizationUID = organisation
            data.DimensionOrganizationSequence = [item]
            data.DimensionIndexSequence = []
            for pointer in [0x00209057] + ([pointers[how]] if how in pointers else []):
                index = Dataset()
                index.DimensionOrganizationUID, index.DimensionIndexPointer, index.FunctionalGroupPointer = organisation, pointer, 0x00209111
                data.DimensionIndexSequence.append(index)
        data.PerFrameFunctionalGroupsSequence = []
        for number, (t, z) in enumerate(pairs):
            group, content, position = Dataset(), Dataset(), Dataset()
            content.FrameAcquisitionDateTime = f"202001011200{number:02d}"  # another in every frame, as scanners write it
            if how in pointers or how == "places only":
                content.DimensionIndexValues = [z + 1, t + 1] if how in pointers else [z + 1]
            if how == "temporal":
                content.TemporalPositionIndex = t + 1
            for macro, keyword, sequence in (("echo", "EffectiveEchoTime", "MREchoSequence"), ("b-value", "DiffusionBValue", "MRDiffusionSequence"),
                                             ("phase", "NominalCardiacTriggerDelayTime", "CardiacSynchronizationSequence")):
                if how == macro:
                    one = Dataset()
                    setattr(one, keyword, 10.0 * (t + 1))
                    setattr(group, sequence, [one])
            position.ImagePositionPatient = [f"{v:.6f}" for v in grid.corner(z)]
            group.FrameContentSequence, group.PlanePositionSequence = [content], [position]
            data.PerFrameFunctionalGroupsSequence.append(group)
        if change:
            change(data)
        data.save_as(path, enforce_file_format=True)

    def volumes(self, source):
        _, stacks = self.prepare(source)
        return [stored for stored, _ in stacks]

    def test_time_points(self):
        for name in ("plain", "oblique", "tilted"):
            for times in (2, 3):
                grid, pixels = GRIDS[name], self.content(times)
                single = self.tmp / f"single{name}{times}"
                self.single(single, pixels, grid, "EchoTime")
                for got, want in zip(self.volumes(single), pixels, strict=True):
                    np.testing.assert_array_equal(got, want)
                for how in ("dimension", "acquisition", "temporal", "echo", "b-value", "phase"):
                    for order in ("interleaved", "one after the other", "shuffled"):
                        with self.subTest(grid=name, times=times, how=how, order=order):
                            folder = self.tmp / f"{name}{times}{how}{order}"
                            self.enhanced(folder / "e.dcm", pixels, grid, how, order)
                            for got, want in zip(self.volumes(folder), pixels, strict=True):
                                np.testing.assert_array_equal(got, want)

    def test_time_points_between_each_other(self):
        """A fraction of a step apart, no two slices are at one place: still volumes of their own."""
        for name, how, shift_mm in itertools.product(("plain", "oblique", "tilted"), ("dimension", "temporal", "echo"), (0.002, 0.02, 0.7, 1.5)):
            with self.subTest(grid=name, how=how, shift_mm=shift_mm):
                grid, pixels, folder = GRIDS[name], self.content(2), self.tmp / f"{name}{how}{shift_mm}"
                self.single(folder / "single", pixels, grid, "EchoTime" if how == "echo" else "TemporalPositionIdentifier", shift_mm)

                def shifted(data):  # interleaved: place by place
                    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
                        z, t = divmod(number, 2)
                        group.PlanePositionSequence[0].ImagePositionPatient = [f"{v:.6f}" for v in grid.corner(z) + t * shift_mm * grid.normal]
                self.enhanced(folder / "enhanced/e.dcm", pixels, grid, how, change=shifted)
                for kind in ("single", "enhanced"):
                    for got, want in zip(self.volumes(folder / kind), pixels, strict=True):
                        np.testing.assert_array_equal(got, want)
                    self.assertEqual({round(case["spacing_mm"][2], 3) for case in self.inspect(folder / kind)["images"]}, {grid.step})

    def test_acquired_in_turns(self):
        """Odd slices in one acquisition, even ones in the other: one volume, which is said."""
        grid, pixels = GRIDS["plain"], self.content(2)
        self.single(self.tmp / "d", pixels, grid, "AcquisitionNumber", grid.step / 2)
        [got] = self.volumes("d")
        np.testing.assert_array_equal(got, pixels.transpose(1, 0, 2, 3).reshape(8, *pixels.shape[2:]))
        self.assertIn("slices of different AcquisitionNumber take turns", self.said(self.inspect("d")))

    def test_mask_of_a_time_point_between_others(self):
        """The slices of the other time point are no background of it."""
        pixels = self.content(2)
        images = self.single(self.tmp / "d", pixels, GRIDS["plain"], "TemporalPositionIdentifier", 1.5)[:4]
        want = (np.arange(4 * 6 * 7).reshape(4, 6, 7) % 3 == 0).astype(np.uint8)
        self.write_seg(images, want, "BINARY", self.tmp / "d/seg.dcm", ["x"])
        _, [(first, mask), (second, none)] = self.prepare("d")
        np.testing.assert_array_equal(first, pixels[0])
        np.testing.assert_array_equal(mask, want)
        np.testing.assert_array_equal(second, pixels[1])
        self.assertTrue(none is None or none.max() == 0)

    def test_frames_without_groups(self):
        """Only some frames say where they lie: that is said, and not that they lie in different directions."""
        def fewer(data):
            del data.PerFrameFunctionalGroupsSequence[-1]
        self.enhanced(self.tmp / "d/e.dcm", self.content(1), GRIDS["plain"], "temporal", change=fewer)
        said = self.said(self.inspect("d"))
        self.assertIn("only some of its frames say where they lie", said)
        self.assertNotIn("mixed geometry", said)

    def test_two_dimensions_and_missing_slices(self):
        """Two echoes of three time points need both; a time point that lacks slices is a volume with fewer."""
        grid, pixels = GRIDS["plain"], self.content(6)

        def two(data):
            data.DimensionIndexSequence.append(pydicom.dataset.Dataset())
            data.DimensionIndexSequence[-1].update(data.DimensionIndexSequence[1])
            data.DimensionIndexSequence[-1].DimensionIndexPointer = 0x00189082
            for group in data.PerFrameFunctionalGroupsSequence:
                z, t = group.FrameContentSequence[0].DimensionIndexValues
                group.FrameContentSequence[0].DimensionIndexValues = [z, (t - 1) // 2 + 1, (t - 1) % 2 + 1]

        self.enhanced(self.tmp / "d/e.dcm", pixels, grid, "dimension", change=two)
        for got, want in zip(self.volumes("d"), pixels, strict=True):
            np.testing.assert_array_equal(got, want)

        def fewer(data):  # the last frame of the last time point
            data.NumberOfFrames = 23
            data.PixelData = data.PixelData[:23 * 6 * 7 * 2]
            del data.PerFrameFunctionalGroupsSequence[-1]
        self.enhanced(self.tmp / "f/e.dcm", pixels, grid, "dimension", "one after the other", change=fewer)
        got = self.volumes("f")
        self.assertEqual([len(volume) for volume in got], [4, 4, 4, 4, 4, 3])
        np.testing.assert_array_equal(got[5], pixels[5, :3])

    def test_nothing_tells_them_apart(self):
        """By their order, which is said; never interleaved. Without any place at all: one stack."""
        grid, pixels = GRIDS["plain"], self.content(2)
        for how in ("", "places only"):
            for order in ("interleaved", "one after the other"):
                folder = self.tmp / f"n{how}{order}"
                self.enhanced(folder / "e.dcm", pixels, grid, how, order)
                self.assertIn("nothing but the order", self.said(self.inspect(folder.name)))
                for got, want in zip(self.volumes(folder), pixels, strict=True):
                    np.testing.assert_array_equal(got, want)

    def test_frames_that_only_count_places(self):
        grid, pixels = GRIDS["plain"], self.content(2)

        def no_planes(data):
            for group in data.PerFrameFunctionalGroupsSequence:
                del group.PlanePositionSequence
        self.enhanced(self.tmp / "d/e.dcm", pixels, grid, "dimension", "shuffled", change=no_planes)
        for got, want in zip(self.volumes("d"), pixels, strict=True):
            np.testing.assert_array_equal(got, want)

    def test_listed_and_named(self):
        """Two images with names of their own; named in a manifest, the file is the same two."""
        grid, pixels = GRIDS["plain"], self.content(2)
        self.enhanced(self.tmp / "d/e.dcm", pixels, grid, "temporal")
        found = self.inspect("d")
        self.assertEqual([(i["name"], i["size"]) for i in found["images"]], [("e.dcm#t0", [7, 6, 4]), ("e.dcm#t1", [7, 6, 4])])
        self.assertIn("volume 2 of 2 at the same place, told apart by TemporalPositionIdentifier", self.said(found))
        (self.tmp / "list.csv").write_text("image\nd/e.dcm\n")
        for got, want in zip(self.volumes("list.csv"), pixels, strict=True):
            np.testing.assert_array_equal(got, want)

    def test_training_sees_both(self):
        self.enhanced(self.tmp / "d/e.dcm", self.content(2), GRIDS["plain"], "temporal")
        done = self.vmae("pretrain", *TINY, "data.train=d", "run.dir=run", "train.epochs=1", "data.val_fraction=0")
        self.assertIn("training: 8 images from 2 files", done.stderr + done.stdout)

    def test_masks_belong_to_their_time_point(self):
        """A segmentation that was made from the frames of one time point is no mask of the other."""
        grid, pixels = GRIDS["plain"], self.content(2)
        self.enhanced(self.tmp / "d/e.dcm", pixels, grid, "temporal", "one after the other")
        image = pydicom.dcmread(self.tmp / "d/e.dcm")
        want = (np.arange(4 * 6 * 7).reshape(4, 6, 7) % 3 == 0).astype(np.uint8)
        seg = new("1.2.840.10008.5.1.4.1.1.66.4", "seg", modality="SEG", series="seg")
        put_pixels(seg, want)
        seg.SegmentationType, seg.NumberOfFrames = "BINARY", 4
        segment, series = Dataset(), Dataset()
        segment.SegmentNumber, segment.SegmentLabel = 1, "x"
        series.SeriesInstanceUID, series.ReferencedInstanceSequence = image.SeriesInstanceUID, [reference(image)]
        seg.SegmentSequence, seg.ReferencedSeriesSequence = [segment], [series]
        seg.SharedFunctionalGroupsSequence = image.SharedFunctionalGroupsSequence
        seg.PerFrameFunctionalGroupsSequence = []
        for z in range(4):
            group, identification, derivation, source = Dataset(), Dataset(), Dataset(), reference(image)
            identification.ReferencedSegmentNumber, source.ReferencedFrameNumber = 1, 5 + z
            derivation.SourceImageSequence = [source]
            group.PlanePositionSequence = image.PerFrameFunctionalGroupsSequence[4 + z].PlanePositionSequence
            group.SegmentIdentificationSequence, group.DerivationImageSequence = [identification], [derivation]
            seg.PerFrameFunctionalGroupsSequence.append(group)
        seg.save_as(self.tmp / "d/seg.dcm", enforce_file_format=True)
        _, [(_, first), (_, second)] = self.prepare("d")
        self.assertTrue(first is None or first.max() == 0)
        np.testing.assert_array_equal(second, want)
        self.assertIn("drawn on other images", self.said(self.inspect("d")))


class StoredBitsTest(DicomKindsTest):
    def test_bits_above_the_high_bit(self):
        """Numbers that are cut are said, unless the bits are those of a sign, an overlay or padding."""
        cases = {"too large": (5988, {}, True), "in range": (4095, {}, False), "sign repeated": (0xFFF0, {"PixelRepresentation": 1}, False),
                 "sign not repeated": (0x0FF0, {"PixelRepresentation": 1}, False), "signed too large": (0x2FF0, {"PixelRepresentation": 1}, True),
                 "padding": (63536, {"PixelPaddingValue": 63536}, False), "overlay": (0x8123, {"overlay": 15}, False), "all bits": (5988, {"BitsStored": 16, "HighBit": 15}, False)}
        for name, (number, tags, is_said) in cases.items():
            with self.subTest(case=name):
                shutil.rmtree(self.tmp / "d", ignore_errors=True)
                (self.tmp / "d").mkdir()
                data = new(CT, name)
                GRIDS["plain"].place(data, 0)
                pixels = np.full((1, 6, 7), 100, np.uint16)
                pixels[0, 2, 3] = number
                put_pixels(data, pixels)
                data.BitsStored, data.HighBit = 12, 11
                for keyword, value in tags.items():
                    if keyword == "overlay":
                        data.add_new(0x60000100, "US", 16)
                        data.add_new(0x60000102, "US", value)
                    else:
                        setattr(data, keyword, value)
                data.save_as(self.tmp / "d/one.dcm", enforce_file_format=True)
                self.prepare("d")
                self.assertEqual("bits above its HighBit" in self.done.stderr + self.done.stdout, is_said)


class NumberOfFramesTest(DicomKindsTest):
    def test_all_frames_are_slices(self):
        generator = np.random.default_rng(0)
        for sop_class, modality, pixels in (("7.2", "OT", generator.integers(0, 255, (5, 9, 11)).astype(np.uint8)), ("7.3", "OT", generator.integers(0, 999, (3, 9, 11)).astype(np.uint16)),
                                            ("7.4", "OT", generator.integers(0, 255, (4, 9, 11, 3)).astype(np.uint8)), ("3.1", "US", generator.integers(0, 255, (6, 8, 10, 3)).astype(np.uint8)),
                                            ("3.1", "US", generator.integers(0, 255, (6, 8, 10)).astype(np.uint8)), ("12.1", "XA", generator.integers(0, 999, (7, 8, 10)).astype(np.uint16))):
            for said in (len(pixels), None, 1, len(pixels) - 1, len(pixels) + 1):
                for compression in (None, "rle"):
                    with self.subTest(sop_class=sop_class, said=said, compression=compression):
                        shutil.rmtree(self.tmp / "d", ignore_errors=True)
                        (self.tmp / "d").mkdir()
                        data = new(f"1.2.840.10008.5.1.4.1.1.{sop_class}", "cine", modality=modality)
                        put_pixels(data, pixels, "RGB" if pixels.ndim == 4 else "MONOCHROME2")
                        data.NumberOfFrames = len(pixels)
                        if compression:
                            data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
                        if said is None:
                            del data.NumberOfFrames
                        else:
                            data.NumberOfFrames = said
                        data.save_as(self.tmp / "d/cine.dcm", enforce_file_format=True)
                        if said == len(pixels):
                            _, [(stored, _)] = self.prepare("d")
                            np.testing.assert_array_equal(stored, pixels)
                            continue
                        cases, _ = self.prepare("d", expect=3)
                        self.assertIn("frames" if said != len(pixels) + 1 or compression else "bytes of pixel data", cases[0]["failure"])


class ManifestMasksTest(VmaeTest):
    def test_a_dicom_mask_needs_a_dicom_image(self):
        """Also as the first of a data set, where nothing but its own text tells what is wrong."""
        images = made.ct_series(self.tmp / "ct", (0, 3, 6))
        made.rtstruct(self.tmp / "rt.dcm", images, [("A", [made.box(-8, 4, -8, 4, 3)])])
        made.write_nifti(self.tmp / "ct.nii.gz", np.zeros((32, 32, 3), np.int16))
        (self.tmp / "list.csv").write_text("image,mask\nct.nii.gz,rt.dcm\n")
        self.vmae("prepare", "--input", "list.csv", "--output", "out", expect=3)
        self.assertIn("is DICOM, but its image is not", (self.tmp / "out/quarantine.jsonl").read_text())


if __name__ == "__main__":
    unittest.main()
