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
    import argparse as namespace_module
    yield "namespace.pkl", pickled({"args": namespace_module.Namespace(lr=0.1, out="x")}, 2)
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


PARSERS = {"volume": volumes, "picture": pictures, "manifest": manifests, "config": configs, "pickle": pickles, "pth": archives, "safetensors": safetensors_files}


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
