# SPDX-License-Identifier: Apache-2.0
"""Judges a DICOM segmentation by other people's code: dciodvfy (dicom3tools, the standard's rules), pydicom and highdicom (the voxels)."""
import subprocess

import highdicom
import numpy as np
import pydicom

IDENTITY = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "AccessionNumber", "FrameOfReferenceUID")


def dciodvfy_errors(path):
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace")
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def check_seg(path, series_files, expected):
    """`series_files` in the order of the slices (one multi-frame file: its frames as they are), `expected`: uint8 (slice, row, column). Raises AssertionError."""
    errors = dciodvfy_errors(path)
    assert not errors, f"{path}: dciodvfy: {errors}"
    sources = [pydicom.dcmread(file) for file in series_files]
    data = pydicom.dcmread(path)
    for keyword in IDENTITY:
        assert data.get(keyword) == sources[0].get(keyword, data.get(keyword)), f"{keyword} is not the source's"
    uids = [source.SOPInstanceUID for source in sources]
    assert data.SeriesInstanceUID not in {source.SeriesInstanceUID for source in sources} and data.SOPInstanceUID not in uids
    assert [item.ReferencedSOPInstanceUID for item in data.ReferencedSeriesSequence[0].ReferencedInstanceSequence] == uids

    seg = highdicom.seg.segread(path)
    segments = list(seg.segment_numbers)
    assert segments == list(range(1, len(segments) + 1)) and expected.max() <= len(segments)
    if len(sources) > 1 or sources[0].get("NumberOfFrames", 1) == 1:
        found = seg.get_pixels_by_source_instance(uids, combine_segments=True, assert_missing_frames_are_empty=True)
    else:
        frames = list(range(1, int(sources[0].NumberOfFrames) + 1))
        found = seg.get_pixels_by_source_frame(uids[0], frames, combine_segments=True, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(found, expected)

    if "PlanePositionSequence" not in data.PerFrameFunctionalGroupsSequence[0]:  # of images without a place: radiographs, ultrasound, photographs
        return
    # The same by place: a voxel of the segmentation's own volume lies where the source's does.
    volume = seg.get_volume(combine_segments=True)
    assert volume.array.sum() == expected.astype(np.uint64).sum()
    for source, plane in zip(sources, expected) if "ImagePositionPatient" in sources[0] else ():
        if not plane.any():
            continue
        index = volume.map_reference_to_indices(np.array([source.ImagePositionPatient], dtype=float))[0]
        assert np.allclose(index, np.round(index), atol=1e-3), f"a slice lies off the segmentation's grid: {index}"
        np.testing.assert_array_equal(volume.array[int(round(index[0]))], plane)
