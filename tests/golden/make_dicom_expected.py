#!/usr/bin/env python3
"""Decodes DICOM files with pydicom, as an oracle for read_dicom. Writes dicom_expected.json (tests/data/dicom) and, where the folder of the 77 files of pydicom-data is
given, dicom_variety_expected.json and the table of docs/dicom.md beside it.

usage: make_dicom_expected.py [FOLDER OF dicom_variety]

Stored numbers are compared by CRC-32 where decoding is exact, else at random places with the tolerance written here. What read_dicom is to do beyond pydicom is done
here with numpy: palettes and YBR become RGB, MONOCHROME1 of pictures is inverted, padding becomes the lowest other number of its slice, frames are sorted by position."""
import io
import json
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, pixel_array

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# pydicom 3.0 can't decode these; the files beside them hold the same pixels uncompressed.
SAME_PIXELS = {"liver_rle.dcm": "liver.dcm", "liver_deflate.dcm": "liver.dcm", "liver_nonbyte_aligned_rle.dcm": "liver_nonbyte_aligned.dcm",
               "liver_nonbyte_aligned_deflate.dcm": "liver_nonbyte_aligned.dcm"}
REFUSED = {
    "emri_small_jpeg_2k_lossless_too_short.dcm": "Sequence Delimitation Item missing",
    "MR_truncated.dcm": "premature end of stream",
    "reportsi.dcm": "is no image",
    "JPEG2000-embedded-sequence-delimiter.dcm": "can't be decoded",
}
# Decoders differ in rounding: inverse cosine transform, chroma upsampling, YBR to RGB. Everything else is exact.
TOLERANCE = {"1.2.840.10008.1.2.4.50": 3, "1.2.840.10008.1.2.4.51": 1}
UNMEASURED = ("CT", "PT", "NM")  # MONOCHROME1 says only how to show them


def transfer_syntax(dataset):
    return dataset.file_meta.get("TransferSyntaxUID")


def little_endian_palettes(dataset):
    """pydicom leaves the words of palettes in files of big endian as they lie."""
    if transfer_syntax(dataset) == "1.2.840.10008.1.2.2" and "RedPaletteColorLookupTableData" in dataset:
        for name in ("Red", "Green", "Blue"):
            data = getattr(dataset, name + "PaletteColorLookupTableData")
            setattr(dataset, name + "PaletteColorLookupTableData", np.frombuffer(data, ">u2").astype("<u2").tobytes())


def frame_order(dataset, count):
    groups = dataset.get("PerFrameFunctionalGroupsSequence", [])
    shared = dataset.get("SharedFunctionalGroupsSequence", [{}])[0]
    if count == 1 or len(groups) != count or any("PlanePositionSequence" not in g for g in groups):
        return list(range(count))
    frame_orientation = lambda g: (g if "PlaneOrientationSequence" in g else shared).PlaneOrientationSequence[0].ImageOrientationPatient
    orientation = np.array(frame_orientation(groups[0]), float)
    normal = np.cross(orientation[:3], orientation[3:])
    heights = [float(normal @ np.array(g.PlanePositionSequence[0].ImagePositionPatient, float)) for g in groups]
    return sorted(range(count), key=heights.__getitem__) if len({round(h, 3) for h in heights}) == count else list(range(count))


def decode(path):
    if path.name in SAME_PIXELS:
        path = path.with_name(SAME_PIXELS[path.name])
    dataset = pydicom.dcmread(path, force=True)
    if transfer_syntax(dataset) is None:
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    photometric = dataset.PhotometricInterpretation
    is_ybr = photometric in ("YBR_FULL", "YBR_FULL_422")
    pixels = pixel_array(dataset, raw=not is_ybr)
    samples = dataset.get("SamplesPerPixel", 1)
    count = int(dataset.get("NumberOfFrames", 1) or 1)
    if photometric == "PALETTE COLOR":
        little_endian_palettes(dataset)
        pixels = apply_color_lut(pixels, dataset)
        samples = 3
    pixels = pixels.reshape(count, dataset.Rows, dataset.Columns, samples)
    if photometric == "MONOCHROME1" and dataset.get("Modality") not in UNMEASURED:
        kind = pixels.dtype
        pixels = ((-1 if dataset.PixelRepresentation else 2**dataset.BitsStored - 1) - pixels.astype(np.int64)).astype(kind)
    pixels = pixels[frame_order(dataset, count)].copy()
    padding = dataset.get("PixelPaddingValue")
    if padding is not None and samples == 1 and photometric == "MONOCHROME2":
        for frame in pixels:
            padded = frame == padding
            if padded.any() and not padded.all():
                frame[padded] = frame[~padded].min()
    return dataset, pixels


def describe(path):
    if path.name in REFUSED:
        return {"file": path.name, "refused": REFUSED[path.name]}
    dataset, pixels = decode(path)
    # What the file itself says, not the one beside it with the same pixels.
    own = pydicom.dcmread(path, force=True)
    syntax = own.file_meta.get("TransferSyntaxUID")
    stored = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
    random = np.random.default_rng(zlib.crc32(path.name.encode()))
    places = random.integers(0, stored.size, 64)
    allocated = own.BitsAllocated
    bits = f"{own.get('BitsStored', allocated)} of {allocated}" + (" signed" if own.get("PixelRepresentation") else "") + (" float" if "BitsStored" not in own else "")
    name = "Deflated Image Frame Compression" if syntax == "1.2.840.10008.1.2.8.1" else syntax.name if syntax else "not said (explicit little endian)"
    return {"file": path.name, "transfer_syntax": name, "photometric": own.PhotometricInterpretation, "bits": bits,
            "size": [pixels.shape[2], pixels.shape[1], pixels.shape[0]], "channels": pixels.shape[3], "type": pixels.dtype.name,
            "tolerance": TOLERANCE.get(syntax, 0), "crc32": zlib.crc32(stored.tobytes()), "mean": float(stored.mean(dtype=np.float64)),
            "at": places.tolist(), "values": [float(v) for v in stored.ravel()[places]]}


def write(cases, path):
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


def table(cases):
    out = io.StringIO()
    out.write("| file | transfer syntax | photometric | bits | columns x rows x frames | result |\n| --- | --- | --- | --- | --- | --- |\n")
    for case in cases:
        if "refused" in case:
            out.write(f"| `{case['file']}` | | | | | refused: {case['refused']} |\n")
            continue
        equal = "the same pixels as `" + SAME_PIXELS[case["file"]] + "`" if case["file"] in SAME_PIXELS else "equals pydicom"
        if case["tolerance"]:
            equal += f" to {case['tolerance']}"
        out.write(f"| `{case['file']}` | {case['transfer_syntax']} | {case['photometric']} | {case['bits']} | {' x '.join(map(str, case['size']))} | read, {equal} |\n")
    return out.getvalue()


def main():
    warnings.simplefilter("ignore")
    write([describe(p) for p in sorted((HERE.parent / "data" / "dicom").glob("*.dcm"))], HERE / "dicom_expected.json")
    if len(sys.argv) < 2:
        return
    cases = [describe(p) for p in sorted(Path(sys.argv[1]).glob("*.dcm"))]
    write(cases, HERE / "dicom_variety_expected.json")
    document = ROOT / "docs" / "dicom.md"
    begin, end = "<!-- table -->\n", "<!-- end of table -->\n"
    text = document.read_text()
    head, rest = text.split(begin)
    document.write_text(head + begin + table(cases) + end + rest.split(end)[1])


if __name__ == "__main__":
    main()
