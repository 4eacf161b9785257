# SPDX-License-Identifier: Apache-2.0
"""DICOM files made with pydicom, with everything in them that identifies a patient."""
import datetime

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

IDENTIFYING = {"PatientName": "Zebedee^Quentin^Ignatius", "PatientID": "MRN-77421903", "PatientBirthDate": "19510317", "AccessionNumber": "ACC9981723",
               "OtherPatientIDs": "OLD-5550123", "PatientAddress": "12 Fictional Lane", "ReferringPhysicianName": "Foxglove^Marigold",
               "InstitutionName": "Saint Elsewhere Hospital", "PatientTelephoneNumbers": "555-0199-4242"}
# What a search for leaks looks for; components of names too.
NEEDLES = [*IDENTIFYING.values(), "Zebedee", "Quentin", "Ignatius", "77421903", "Foxglove", "Marigold", "Elsewhere"]


def write_ct_series(folder, slices=6, rows=24, columns=32, seed=0, identity=IDENTIFYING, name="IM{:04d}.dcm", first=0):
    """An axial CT of noise with its slices out of order; gives the stored numbers (slice, row, column) in the order of position."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 3000, (slices, rows, columns), dtype=np.int16)
    series, study, frame = generate_uid(entropy_srcs=[f"series{seed}"]), generate_uid(entropy_srcs=["study"]), generate_uid(entropy_srcs=["frame"])
    for position in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[f"{seed}/{position}"])
        number = (position * 5 + 3) % slices if slices % 5 else slices - 1 - position  # file names in another order than positions
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = series, study, frame
        data.Modality, data.InstanceNumber = "CT", number + 1
        data.ContentDate = datetime.date(2020, 2, 2).strftime("%Y%m%d")
        for keyword, value in identity.items():
            setattr(data, keyword, value)
        data.ImagePositionPatient, data.ImageOrientationPatient = [-10, -20, 5.0 * position - 100], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [0.8, 0.7], 5
        data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = rows, columns, 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelData = pixels[position].tobytes()
        data.save_as(folder / name.format(first + number), enforce_file_format=True)
    return pixels
