#!/usr/bin/env python3
"""A segmentation as highdicom writes it, of a made-up series that is not kept: seg_highdicom.dcm beside this file, for src/dicom/series/seg_alone.cpp.

10 x 8 x 7 voxels of 0.9 x 0.7 x 2.5 mm; "liver" in slices 1, 2 and 5, "tumour" in 2: voxel_is_labelled() says where. The series is given in reverse.
Slices without a voxel are left out by highdicom."""
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes

SIZE = (10, 8, 7)


def voxel_is_labelled(label, x, y, z):
    """Repeated in tests/unit/cases/read_label_map_test.cpp."""
    return z in (1, 2, 5) and (x + 2 * y + z) % 5 == 0 if label == 1 else z == 2 and (x + 2 * y) % 7 == 1


def image(z):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.7.{z}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = "1.2.9", "1.2.3", "1.2.8"
    ds.PatientID = ds.PatientName = ds.PatientBirthDate = ds.PatientSex = ds.AccessionNumber = ds.StudyID = ds.StudyDate = ds.StudyTime = ""
    ds.Modality, ds.InstanceNumber = "CT", z + 1
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = SIZE[1], SIZE[0], 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-10, 20, 30 + 2.5 * z], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.7, 0.9], 3
    ds.PixelData = bytes(2 * SIZE[0] * SIZE[1])
    return ds


def main():
    series = [image(z) for z in reversed(range(SIZE[2]))]
    mask = np.zeros((SIZE[2], SIZE[1], SIZE[0], 2), np.uint8)
    for z, y, x, k in np.ndindex(mask.shape):
        mask[SIZE[2] - 1 - z, y, x, k] = voxel_is_labelled(k + 1, x, y, z)
    algorithm = hd.AlgorithmIdentificationSequence("made up", codes.cid7162.ArtificialIntelligence, "1")
    segments = [hd.seg.SegmentDescription(i + 1, name, codes.SCT.Tissue, codes.SCT.Organ, hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC, algorithm)
                for i, name in enumerate(["liver", "tumour"])]
    seg = hd.seg.Segmentation(series, mask, hd.seg.SegmentationTypeValues.BINARY, segments, "1.2.4", 1, "1.2.5", 1, "made up", "made up", "1", "1")
    seg.save_as(Path(__file__).with_name("seg_highdicom.dcm"))
    print(len(seg.PerFrameFunctionalGroupsSequence), "frames;", seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0])


if __name__ == "__main__":
    main()
