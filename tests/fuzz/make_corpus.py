#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets: small valid files of every kind, made here from nothing but numbers.

usage: make_corpus.py [FOLDER]     FOLDER: tests/fuzz/corpus; needs the Python packages of scripts/setup --test

Files seed-* are rewritten; others (found-*: inputs that once made a target fail) are left alone.
"""
import argparse
import collections
import gzip
import io
import json
import pathlib
import pickle
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image


def nifti(shape, dtype, code, order="<", slope=0.0, intercept=0.0):
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(order + "2h", header, 70, code, 8 * np.dtype(dtype).itemsize)
    struct.pack_into(order + "8f", header, 76, 1, 0.5, 0.5, 2, 1, 1, 1, 1)
    struct.pack_into(order + "3f", header, 108, 352, slope, intercept)
    header[123] = 2
    struct.pack_into(order + "2h", header, 252, 1, 1)
    struct.pack_into(order + "12f", header, 280, 0.5, 0, 0, -1, 0, 0.5, 0, -2, 0, 0, 2, 3)
    header[344:348] = b"n+1\0"
    voxels = np.arange(np.prod(shape)).astype(np.dtype(dtype).newbyteorder(order))
    return bytes(header) + voxels.tobytes()


def volumes():
    yield "nifti-i16.nii", nifti((5, 4, 3), "i2", 4, slope=2.0, intercept=-1024.0)
    yield "nifti-f32-big-endian.nii", nifti((4, 4), "f4", 16, ">")
    yield "nifti-u8-4d.nii", nifti((3, 3, 2, 4), "u1", 2)
    yield "nifti-i64.nii", nifti((2, 2, 2), "i8", 1024)
    yield "nifti.nii.gz", gzip.compress(nifti((5, 4, 3), "u2", 512), mtime=0)
    raw = np.arange(24, dtype="<i2").tobytes()
    nrrd = "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 3 2\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nkinds: domain domain domain\n"
    nrrd += "endian: little\nencoding: {}\nspace origin: (0,0,0)\n\n"
    yield "nrrd-raw.nrrd", nrrd.format("raw").encode() + raw
    yield "nrrd-gzip.nrrd", nrrd.format("gzip").encode() + gzip.compress(raw, mtime=0)
    yield "nrrd-ascii.nrrd", b"NRRD0001\n# text\ntype: float\ndimension: 2\nsizes: 3 2\nspacings: 1 1.5\nencoding: ascii\n\n1 2 3\n4 5 6\n"
    yield "nrrd-detached.nrrd", b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 3 2\nencoding: raw\ndata file: missing.raw\n"
    meta = "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\n"
    meta += "ElementSpacing = 1 1 2\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    yield "meta-raw.mha", meta.format("False").encode() + raw
    packed = zlib.compress(raw)
    with_size = meta.format("True").replace("CompressedData = True", f"CompressedData = True\nCompressedDataSize = {len(packed)}")
    yield "meta-zlib.mha", with_size.encode() + packed
    yield "meta-tags.mha", (meta.format("False").replace("NDims", "Comment = text\n0008|0060 = MR\n0018|1030 = " + "protocol " * 40 + "\nNDims") + "Modality = MET_MOD_MR\n").replace(
        "ElementDataFile = LOCAL\nModality = MET_MOD_MR\n", "Modality = MET_MOD_MR\nElementDataFile = LOCAL\n").encode() + raw
    yield "meta-ascii.mha", b"NDims = 2\nBinaryData = False\nDimSize = 3 2\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n1 2 3 4 5 6\n"
    yield "meta-detached.mha", b"NDims = 2\nDimSize = 3 2\nElementType = MET_UCHAR\nElementDataFile = missing.raw\n"


def pictures():
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10)
    colour = np.stack([grey, 255 - grey, grey // 2], -1)
    deep = grey.astype(np.uint16) * 800
    cases = [("grey.png", grey, "PNG", {}), ("colour.png", colour, "PNG", {}), ("deep.png", deep, "PNG", {}), ("alpha.png", np.dstack([colour, grey]), "PNG", {}),
             ("grey.jpg", grey, "JPEG", {}), ("colour.jpg", colour, "JPEG", {}), ("progressive.jpg", colour, "JPEG", {"progressive": True}),
             ("grey.bmp", grey, "BMP", {}), ("colour.bmp", colour, "BMP", {}), ("grey.tif", grey, "TIFF", {}), ("deep.tif", deep, "TIFF", {}),
             ("float.tif", grey.astype(np.float32), "TIFF", {}), ("big.tif", grey, "TIFF", {"big_tiff": True})]
    cases += [(f"{name}.tif", colour, "TIFF", {"compression": code}) for name, code in
              (("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("packbits", "packbits"), ("jpeg", "jpeg"))]
    for name, pixels, kind, options in cases:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        yield name, file.getvalue()
    file = io.BytesIO()
    Image.fromarray(colour).convert("P").save(file, "PNG")
    yield "palette.png", file.getvalue()
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned by a quarter
    Image.fromarray(colour).save(file, "JPEG", exif=exif)
    yield "turned.jpg", file.getvalue()
    file = io.BytesIO()
    Image.fromarray(grey > 40).save(file, "TIFF", compression="group4")
    yield "bilevel.tif", file.getvalue()
    for name, array, options in (("stack.tif", np.stack([grey, grey + 1]), {"photometric": "minisblack"}),
                                 ("imagej.tif", np.stack([grey, grey + 1]), {"imagej": True, "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "mm"}}),
                                 ("tiled.tif", colour, {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "bigtiff": True}),
                                 ("planes.tif", np.moveaxis(colour, -1, 0), {"photometric": "rgb", "planarconfig": "separate", "byteorder": ">"})):
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        yield name, file.getvalue()
    yield "cut.jpg", b"\xff\xd8\xff\xe2"  # right behind a marker
    for name, kind in (("several.png", "PNG"), ("several.jpg", "MPO")):
        file = io.BytesIO()
        Image.fromarray(grey).save(file, kind, save_all=True, append_images=[Image.fromarray(255 - grey)])
        yield name, file.getvalue()
    file = io.BytesIO()
    Image.fromarray(np.dstack([colour, grey]), "CMYK").save(file, "JPEG")
    yield "cmyk.jpg", file.getvalue()
    runs = bytes([10, 3, 0, 0] * 8 + [0, 1])
    head = struct.pack("<IiiHHIIiiII", 40, 10, 8, 1, 8, 1, len(runs), 0, 0, 4, 0)
    yield "runs.bmp", struct.pack("<2sIHHI", b"BM", 14 + 40 + 16 + len(runs), 0, 0, 70) + head + bytes(range(16)) + runs


def manifests():
    yield "plain.csv", b"image,patient,split\na.png,p1,train\nb/c.nii.gz,p2,val\n"
    yield "semicolons.csv", b"\xef\xbb\xbfimage_path;mask;label\r\na.png;m.png;1\r\n\"b;c.png\";;0\r\n"
    yield "tabs.csv", b"file\tpatient\tfold\tmodality\n../x.dcm\t\t3\tCT\n/abs.png\tp\t-1\tMR\n"
    yield "quotes.csv", b'image,"a ""b""",note\n"a\nb.png",1,"x, y"\n\n"c.png",2,\n'
    yield "findings.csv", b"image,patient,mask,Edema,No Finding,time_point\na.png,1,a_mask.png,1.0,,0\nb.png,2,,-1,nan,2\n"


def configs():
    yield "nested.yaml", b"run:\n  dir: out # a comment\n  seed: 7\noptim: {lr: 1e-3, betas: [0.9, 0.999]}\nmodel:\n  image_size: [96, 160]\n  heads:\n  - 'a'\n  - \"b\\n\\x41\"\n"
    yield "dotted.yaml", b"run.dir: plain text\nrun.device: cuda\nmodel.decoder.depth: 3\nmodel.has_bias: false\noptim.weight_decay: .5\n"
    yield "blocks.yaml", b"? run.dir\n: |\n  block\n  text\nmodel.heads:\n  - >-\n    folded\n  - ~\n"
    yield "base.yaml", b"base: missing.yaml\nrun.seed: 1\n"
    yield "refused.yaml", b"a: &x 1\nb: *x\n<<: {c: !!int 3}\n---\nsecond: 1\n"
    yield "override.yaml", b"model.image_size=[96, 160]"
    yield "override-text.yaml", b"run.dir=\"a b\""


def pickled(build, protocol=2):
    return pickle.dumps(build, protocol=protocol)


def pickles():
    plain = {"epoch": 3, "args": {"lr": 1e-3, "name": "x", "size": (1, 2)}, "flags": [True, None, -1, 2**40, 2**80], "set": {1}, "bytes": b"\xff\0", "text": "\u00e9" * 300}
    for protocol in (2, 3, 4, 5):
        yield f"plain-{protocol}.pkl", pickled(plain, protocol)
    loop = []
    loop.append(loop)
    yield "cycle.pkl", pickled({"loop": loop, "ordered": collections.OrderedDict(a=1)}, 4)
    yield "numpy.pkl", pickled({"best": np.float64(0.5), "step": np.int64(7), "small": np.float32(2)}, 4)
    yield "namespace.pkl", pickled({"args": argparse.Namespace(lr=0.1, out="x")}, 2)
    import torch
    file = io.BytesIO()
    torch.save(weights(torch), file)
    import zipfile
    yield "tensors.pkl", zipfile.ZipFile(io.BytesIO(file.getvalue())).read("archive/data.pkl")


def weights(torch):
    shared = torch.arange(6, dtype=torch.float32)
    return {"model": collections.OrderedDict(a=shared.view(2, 3), b=shared[2:], c=torch.tensor([1, 2]), h=torch.ones(2, dtype=torch.half), p=torch.nn.Parameter(shared[:1])),
            "epoch": 3, "args": {"lr": 0.1}}


def archives():
    import torch
    for name, content in (("checkpoint.pth", weights(torch)), ("plain.pth", {"module.w": torch.zeros(3), "module.e": torch.zeros(0, 2)})):
        file = io.BytesIO()
        torch.save(content, file)
        yield name, file.getvalue()


def numpy_archives():
    import numpy as np
    arrays = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "half": np.float16([0.5]), "scalar": np.float64(2), "none": np.zeros((0, 2), np.int32)}
    for name, save, content in (("stored.npz", np.savez, arrays), ("deflated.npz", np.savez_compressed, arrays), ("objects.npz", np.savez, {"o": np.array([{}], dtype=object)}),
                                ("columns.npz", np.savez, {"f": np.asfortranarray(arrays["a/kernel"])})):
        file = io.BytesIO()
        save(file, **content)
        yield name, file.getvalue()


def safetensors(entries, buffer, metadata=None, pad=b" "):
    header = ({"__metadata__": metadata} if metadata else {}) | entries
    text = json.dumps(header, separators=(",", ":")).encode()
    text += pad * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + buffer


def safetensors_files():
    yield "two.safetensors", safetensors({"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]}},
                                         bytes(range(32)), {"epoch": "3"})
    kinds = {name: {"dtype": name, "shape": [1], "data_offsets": [8 * i, 8 * i + size]} for i, (name, size) in enumerate([("F64", 8), ("U64", 8)])}
    kinds |= {"bool": {"dtype": "BOOL", "shape": [8], "data_offsets": [16, 24]}, "half": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [24, 32]}}
    yield "kinds.safetensors", safetensors(kinds, bytes(32))
    yield "empty.safetensors", safetensors({"e": {"dtype": "U8", "shape": [0, 5], "data_offsets": [0, 0]}, "s": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]}}, b"\0\x3c")
    yield "checksum.safetensors", safetensors({"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}, b"abcd", {"checksum": "crc32c:00000000"})


DICOM_IDS = "1.2.826.0.1.3680043.8.498."  # pydicom's root for made-up identifiers


def dicom_base(kind, number, modality):
    import pydicom
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = kind, DICOM_IDS + f"1.{number}", modality
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = DICOM_IDS + "2", DICOM_IDS + "3", DICOM_IDS + "4"
    data.PatientID = "p"
    return data


def dicom_image(number, pixels, modality="CT", z=0.0):
    data = dicom_base("1.2.840.10008.5.1.4.1.1.2", number, modality)
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    data.PhotometricInterpretation = "RGB" if data.SamplesPerPixel == 3 else "MONOCHROME2"
    if data.SamplesPerPixel == 3:
        data.PlanarConfiguration = 0
    data.BitsAllocated = data.BitsStored = 8 * pixels.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
    data.PixelSpacing, data.SliceThickness = [1.5, 1.5], 2
    data.ImageOrientationPatient, data.ImagePositionPatient, data.InstanceNumber = [1, 0, 0, 0, 1, 0], [0, 0, z], number
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.itemsize == 1 else "OW"
    return data


def dicom_bytes(data, implicit=False, little=True):
    import pydicom
    file = io.BytesIO()
    pydicom.dcmwrite(file, data, enforce_file_format=True, implicit_vr=implicit, little_endian=little)
    return file.getvalue()


def dicom():
    import pydicom
    from pydicom.uid import UID
    slices = [dicom_image(i, (np.arange(20, dtype=np.int16) * 10 + i).reshape(4, 5), z=2.0 * i) for i in range(2)]
    for i, data in enumerate(slices):
        yield f"ct-{i}.dcm", dicom_bytes(data)
    for name, uid, implicit, little in (("implicit", "1.2.840.10008.1.2", True, True), ("big-endian", "1.2.840.10008.1.2.2", False, False), ("deflated", "1.2.840.10008.1.2.1.99", False, True)):
        data = dicom_image(3, np.arange(20, dtype=np.uint16).reshape(4, 5))
        if not little:
            data.PixelData = np.arange(20, dtype=">u2").tobytes()
        data.file_meta.TransferSyntaxUID = UID(uid)
        yield f"{name}.dcm", dicom_bytes(data, implicit, little)
    colour = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    yield "rgb.dcm", dicom_bytes(dicom_image(4, colour, "OT"))
    for name, uid in (("rle", pydicom.uid.RLELossless), ("jpeg-ls", pydicom.uid.JPEGLSLossless)):
        data = dicom_image(5, np.arange(20, dtype=np.uint16).reshape(4, 5))
        data.compress(uid, generate_instance_uid=False)
        yield f"{name}.dcm", dicom_bytes(data)
    for name, kind, uid, options in (("jpeg", "JPEG", pydicom.uid.JPEGBaseline8Bit, {}), ("jpeg-2000", "JPEG2000", pydicom.uid.JPEG2000Lossless, {"num_resolutions": 1, "no_jp2": True})):
        data = dicom_image(6, colour[..., 0], "US")
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(colour[..., 0])).save(file, kind, **options)
        data.PixelData = pydicom.encaps.encapsulate([file.getvalue()])
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = uid
        yield f"{name}.dcm", dicom_bytes(data)
    data = dicom_image(7, np.arange(20, dtype=np.uint8).reshape(4, 5) % 4)
    data.PhotometricInterpretation = "PALETTE COLOR"
    for colour_name in ("Red", "Green", "Blue"):
        setattr(data, colour_name + "PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(data, colour_name + "PaletteColorLookupTableData", np.arange(4, dtype="<u2").tobytes())
    yield "palette.dcm", dicom_bytes(data)
    yield "frames.dcm", dicom_bytes(enhanced())
    yield "contours.dcm", dicom_bytes(structures(slices))
    yield "segments.dcm", dicom_bytes(segments(slices))


def sequence(**fields):
    import pydicom
    item = pydicom.Dataset()
    for key, value in fields.items():
        setattr(item, key, value)
    return pydicom.Sequence([item])


def enhanced():
    import pydicom
    data = dicom_image(8, np.arange(20, dtype=np.uint16).reshape(4, 5))
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"
    data.NumberOfFrames, data.PixelData = 3, np.arange(60, dtype=np.uint16).tobytes()
    for key in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
        delattr(data, key)
    data.SharedFunctionalGroupsSequence = sequence(PixelMeasuresSequence=sequence(PixelSpacing=[1, 1], SliceThickness=2), PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
    frames = [sequence(PlanePositionSequence=sequence(ImagePositionPatient=[0, 0, 2.0 * i]), PixelValueTransformationSequence=sequence(RescaleSlope=i + 1, RescaleIntercept=0))[0] for i in range(3)]
    data.PerFrameFunctionalGroupsSequence = pydicom.Sequence(frames)
    return data


def structures(slices):
    data = dicom_base("1.2.840.10008.5.1.4.1.1.481.3", 9, "RTSTRUCT")
    data.ReferencedFrameOfReferenceSequence = sequence(
        FrameOfReferenceUID=data.FrameOfReferenceUID,
        RTReferencedStudySequence=sequence(RTReferencedSeriesSequence=sequence(SeriesInstanceUID=data.SeriesInstanceUID)))
    data.StructureSetROISequence = sequence(ROINumber=1, ROIName="a", ReferencedFrameOfReferenceUID=data.FrameOfReferenceUID)
    contour = sequence(ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4, ContourData=[0, 0, 0, 4, 0, 0, 4, 4, 0, 0, 4, 0],
                       ContourImageSequence=sequence(ReferencedSOPInstanceUID=slices[0].SOPInstanceUID))
    data.ROIContourSequence = sequence(ReferencedROINumber=1, ContourSequence=contour)
    return data


def segments(slices):
    import pydicom
    data = dicom_image(10, np.zeros((4, 5), np.uint8), "SEG")
    data.SOPClassUID, data.SegmentationType = "1.2.840.10008.5.1.4.1.1.66.4", "BINARY"
    data.BitsAllocated = data.BitsStored = 1
    data.HighBit, data.NumberOfFrames, data.PixelData = 0, 2, b"\x5a\xa5\x5a\xa5\x5a\0"
    data.SegmentSequence = sequence(SegmentNumber=1, SegmentLabel="a")
    data.ReferencedSeriesSequence = sequence(SeriesInstanceUID=slices[0].SeriesInstanceUID)
    data.SharedFunctionalGroupsSequence = sequence(PixelMeasuresSequence=sequence(PixelSpacing=[1.5, 1.5], SliceThickness=2), PlaneOrientationSequence=sequence(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
    data.PerFrameFunctionalGroupsSequence = pydicom.Sequence(
        [sequence(SegmentIdentificationSequence=sequence(ReferencedSegmentNumber=1), PlanePositionSequence=sequence(ImagePositionPatient=[0, 0, 2.0 * i]))[0] for i in range(2)])
    return data


def splits():
    fold = {"train": ["a", "b", "c"], "val": ["d"], "test": [], "fractions": {"10": ["a"], "50": ["a", "b"]}}
    head = {"format": "vmae-splits", "version": 1, "scheme": "5fold", "seed": 3, "by": "patient", "stratified": True, "cases": {"count": 4, "patients": 4, "checksum": ""}}
    yield "two-folds.json", json.dumps(head | {"folds": [fold, fold | {"counts": {"train": {"cases": 3, "patients": 3}}}]}).encode()
    yield "run.json", b'{"train": ["a", "b\\u00e9"], "val": ["c"]}'
    yield "floats.json", b'{"format": "vmae-splits", "version": 1.0, "seed": 1e3, "folds": [{"train": ["x"]}]}'


def plans():
    golden = json.loads((pathlib.Path(__file__).parents[1] / "golden/nnunet_datasets.json").read_text())
    new = golden["without_foreground"]
    yield "fingerprint.json", json.dumps(new["fingerprint"]).encode()
    yield "plans.json", json.dumps(new["plans"] | {"another": [1, None]}).encode()
    old = golden["tiny"]["plans"]
    flat = old["configurations"]["2d"]
    network = flat.pop("architecture")["arch_kwargs"]
    flat |= {"UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 32, "unet_max_num_features": 512, "num_pool_per_axis": [1, 1],
             "n_conv_per_stage_encoder": network["n_conv_per_stage"], "n_conv_per_stage_decoder": network["n_conv_per_stage_decoder"],
             "pool_op_kernel_sizes": network["strides"], "conv_kernel_sizes": network["kernel_sizes"]}
    old["configurations"] = {"base": flat, "2d": {"inherits_from": "base"}}
    yield "old.json", json.dumps(old).encode()
    yield "extreme.json", json.dumps(new["fingerprint"] | {"spacings": [[1e300, 1e-300, 1], [1, 1, 1], [3, 1e-300, 1e300]]}).encode()


def prepared():
    index = {"format": "vmae-prepared", "version": 1, "num_cases": 3, "num_items": 7, "num_failed": 1, "num_duplicates": 0, "modalities": {"CT": 2}, "layout": "folder", "intensity": "native",
             "percentiles": [0.5, 99.5], "label_names": ["a"], "is_multi_label": False, "has_masks": True, "mask_names": ["x"], "options": ["prepare.window=null"],
             "shards": [{"file": "shard-0000.lmdb", "num_cases": 2, "num_items": 4}, {"file": "shard-0001.lmdb", "num_cases": 1, "num_items": 3}], "digest": "00"}
    yield "index.json", json.dumps(index).encode()
    case = {"name": "n", "patient": "p", "split": "train", "fold": 1, "modality": "CT", "units": "HU", "axis": 2, "size": [4, 3, 2], "spacing_mm": [1, 1, 2], "origin_mm": [0, 0, 0],
            "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1], "labels": [1, None], "source_sha256": "00", "pixels_sha256": "00", "items_sha256": "00", "first_item": 0, "num_items": 2}
    yield "case.json", b"[" + json.dumps(case).encode()
    # Zstandard frames with one raw block each (RFC 8878): no compressor needed.
    def frame(content):
        return b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)]) + (len(content) << 3 | 1).to_bytes(3, "little") + content
    for name, kind, value_bytes, filter_number, has_mask in (("u8.item", 0, 1, 1, True), ("i16.item", 3, 2, 1, False), ("f64.item", 7, 8, 0, False)):
        pixels, mask = frame(bytes(range(6 * value_bytes))), frame(bytes(6)) if has_mask else b""
        header = struct.pack("<IIBBHIIIIIIIddd6f", 0x31494D56, 0, kind, filter_number, 1, 2, 3, 0, 0, len(pixels), len(mask), 0, 1, 0, 255, 0, 1, 0.5, 0.1, 0, 1)
        yield name, header + pixels + mask


PARSERS = {"volume": volumes, "picture": pictures, "manifest": manifests, "config": configs, "pickle": pickles, "pth": archives, "npz": numpy_archives, "safetensors": safetensors_files,
           "splits": splits, "plans": plans, "prepared": prepared, "dicom": dicom}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent / "corpus")
    folder = parser.parse_args().folder
    for name, seeds in PARSERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).glob("seed-*"):
            old.unlink()
        for file, content in seeds():
            (folder / name / f"seed-{file}").write_bytes(content)
    files = [f for f in folder.rglob("*") if f.is_file()]
    print(f"{folder}: {len(files)} files, {sum(f.stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main()
