# SPDX-License-Identifier: Apache-2.0
"""Small made-up inputs of the kinds that broke other programs, for test_public_reports.py: by pydicom, nibabel, Pillow or byte by byte, never by vmae."""
import gzip
import itertools

import highdicom
import nibabel
import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, RTStructureSetStorage

ROOT = "1.2.826.0.1.3680043.8.498.15"
_numbers = itertools.count(1)


def fresh_uid():
    return f"{ROOT}.{next(_numbers)}"


def write_nifti(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, -1, 3, 1]) if affine is None else affine), path)


def texture(seed, shape, mean=100.0, spread=20.0):
    return np.random.default_rng(seed).normal(mean, spread, shape).astype(np.float32)


def blocks(shape=(16, 16, 6)):
    """Label 1: 6 x 6 voxels in every slice; label 2: 3 x 3."""
    labels = np.zeros(shape, np.uint8)
    labels[2:8, 2:8], labels[10:13, 10:13] = 1, 2
    return labels


# DICOM


def slice_dataset(sop_class, z, pixels, number, series, spacing=1.0):
    """One axial slice, 16 bit signed, all in one study and frame of reference per series."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = sop_class, fresh_uid(), ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = f"{series}.1", f"{series}.2", f"{series}.3"
    data.PatientName, data.PatientID, data.InstanceNumber = "Doe^Case", "P1", number
    data.Rows, data.Columns = pixels.shape
    data.PixelSpacing, data.SliceThickness = [spacing, spacing], 3
    data.ImagePositionPatient, data.ImageOrientationPatient = [-16, -16, float(z)], [1, 0, 0, 0, 1, 0]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.RescaleSlope, data.RescaleIntercept = 1, 0
    data.PixelData = pixels.astype("<i2").tobytes()
    return data


def ct_series(folder, heights, pixels=None, series=None, change=None):
    """change(dataset, index) may alter what is written. Gives the data sets."""
    folder.mkdir(parents=True, exist_ok=True)
    series, result = series or fresh_uid(), []
    for i, z in enumerate(heights):
        values = pixels[i] if pixels is not None else np.random.default_rng(i).normal(40, 30, (32, 32))
        data = slice_dataset(CTImageStorage, z, np.asarray(values).round(), i + 1, series)
        data.Modality, data.RescaleType = "CT", "HU"
        if change:
            change(data, i)
        data.save_as(folder / f"im{i:03d}.dcm", enforce_file_format=True)
        result.append(data)
    return result


def pet_series(folder, slopes, stored, change=None):
    """FDG in Bq/ml with everything that the SUV formula needs: 74 kg, 370 MBq, one half life (6586.2 s) from injection at 10:00:00 to the series."""
    folder.mkdir(parents=True, exist_ok=True)
    series = fresh_uid()
    for i, slope in enumerate(slopes):
        data = slice_dataset(PositronEmissionTomographyImageStorage, 3 * i, stored[i], i + 1, series)
        data.Modality, data.Units, data.DecayCorrection, data.CorrectedImage = "PT", "BQML", "START", ["ATTN", "DECY"]
        data.RescaleSlope, data.PatientWeight = slope, 74
        data.SeriesDate = data.AcquisitionDate = "20200101"
        data.SeriesTime = data.AcquisitionTime = "114946.2"
        drug = Dataset()
        drug.RadionuclideTotalDose, drug.RadionuclideHalfLife, drug.RadiopharmaceuticalStartTime = 370e6, 6586.2, "100000"
        data.RadiopharmaceuticalInformationSequence = Sequence([drug])
        if change:
            change(data, drug)
        data.save_as(folder / f"pt{i:03d}.dcm", enforce_file_format=True)


def box(x0, x1, y0, y1, z):
    return [(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)]


def rtstruct(path, images, structures):
    """structures: list of (name, [contour, ...]), a contour a list of points in mm. Contours stand in another order than names, as the standard allows."""
    first = images[0]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = RTStructureSetStorage, fresh_uid(), ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientID, data.PatientName, data.Modality, data.StructureSetLabel = first.PatientID, first.PatientName, "RTSTRUCT", "s"
    data.StudyInstanceUID, data.SeriesInstanceUID = first.StudyInstanceUID, fresh_uid()
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = UID("1.2.840.10008.3.1.2.3.1"), first.StudyInstanceUID
    study.RTReferencedSeriesSequence = Sequence([series])
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, Sequence([study])
    data.ReferencedFrameOfReferenceSequence = Sequence([frame])
    regions, drawings = [], []
    for number, (name, contours) in enumerate(structures, 1):
        region, drawing = Dataset(), Dataset()
        region.ROINumber, region.ROIName, region.ReferencedFrameOfReferenceUID = number, name, first.FrameOfReferenceUID
        drawing.ReferencedROINumber, parts = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            contour.ContourData = [f"{value:.4f}" for point in points for value in point]
            parts.append(contour)
        drawing.ContourSequence = Sequence(parts)
        regions.append(region)
        drawings.append(drawing)
    data.StructureSetROISequence, data.ROIContourSequence = Sequence(regions), Sequence(drawings[::-1])
    data.save_as(path, enforce_file_format=True)


def segmentation(path, images, masks, change=None):
    """A DICOM-SEG of one segment "organ" by highdicom; masks (slice, row, column)."""
    for image in images:
        for keyword, value in {"PatientBirthDate": "", "PatientSex": "", "StudyDate": "20200101", "StudyTime": "120000", "StudyID": "1", "AccessionNumber": "",
                               "ReferringPhysicianName": "", "Manufacturer": "none"}.items():
            setattr(image, keyword, value)
    organ = highdicom.seg.SegmentDescription(1, "organ", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
    data = highdicom.seg.Segmentation(images, masks, "BINARY", [organ], fresh_uid(), 9, fresh_uid(), 1, "none", "none", "1", "1")
    if change:
        change(data)
    data.save_as(path)


# Files of volumes, byte by byte


def nrrd_bytes(labels, fields="", spacing=(1, 1, 3), origin=(0, 0, 0), space="left-posterior-superior"):
    vectors = " ".join("(" + ",".join(str(float(step) if k == axis else 0.0) for k in range(3)) + ")" for axis, step in enumerate(spacing))
    head = (f"NRRD0004\ntype: unsigned char\ndimension: 3\nspace: {space}\nsizes: {' '.join(map(str, labels.shape))}\nspace directions: {vectors}\n"
            f"kinds: domain domain domain\nencoding: gzip\nspace origin: ({','.join(str(float(x)) for x in origin)})\n{fields}\n")
    return head.encode() + gzip.compress(labels.astype(np.uint8).tobytes(order="F"))


def segments(*named):
    """What 3D Slicer writes into the header of a .seg.nrrd: (name, label value) of each segment."""
    return "".join(f"Segment{i}_ID:=Segment_{i + 1}\nSegment{i}_Name:={name}\nSegment{i}_LabelValue:={value}\nSegment{i}_Layer:=0\n"
                   for i, (name, value) in enumerate(named))


def meta_image(shape, kind, data, fields="", file="LOCAL", line_end="\n"):
    head = (f"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = {' '.join(map(str, shape))}\nElementSpacing = 1 1 2\n{fields}"
            f"ElementType = {kind}\nElementDataFile = {file}\n")
    return head.replace("\n", line_end).encode() + data


# Pictures


def save_pictures(folder, count, make, name="p{:03d}.png"):
    """make(index) gives the pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(make(i)).save(folder / name.format(i))
    return folder
