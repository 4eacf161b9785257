# SPDX-License-Identifier: Apache-2.0
"""The files of a prepared dataset, read as docs/prepare.md describes them with Python's LMDB and Zstandard, and compared with the sources as other programs read them."""
import gzip
import json
import struct
import unittest

import lmdb
import numpy as np
import zstandard
from PIL import Image

from dicom_files import write_ct_series
from harness import SOURCE, VmaeTest, make_pictures

HIPPOCAMPUS = SOURCE / "tests/data/hippocampus"
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]
HEADER = struct.Struct("<4sIBBHIIIIIII3d6f")


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def unpack(record):
    magic, crc, kind, is_up, channels, height, width, case, index, pixel_size, mask_size, _, slope, intercept, _, *stats = HEADER.unpack_from(record)
    assert magic == b"VMI1" and len(record) == HEADER.size + pixel_size + mask_size
    assert index % 20 or crc == crc32c(record[8:])  # of some, as this is slow
    dtype = np.dtype("<" + TYPES[kind])
    planes = np.frombuffer(zstandard.decompress(record[HEADER.size:HEADER.size + pixel_size]), np.uint8).reshape(dtype.itemsize, -1)
    words = np.ascontiguousarray(planes.T).view(f"<u{dtype.itemsize}").reshape(height, width, channels)
    if is_up:
        words = np.cumsum(words, axis=0, dtype=words.dtype)
    mask = np.frombuffer(zstandard.decompress(record[HEADER.size + pixel_size:]), np.uint8).reshape(height, width) if mask_size else None
    return {"stored": words.view(dtype), "slope": slope, "intercept": intercept, "mask": mask, "case": case, "slice": index, "stats": stats}


def read_dataset(folder):
    """-> cases, items; both in order."""
    index = json.loads((folder / "index.json").read_text())
    cases, items = [], []
    for shard in index["shards"]:
        with lmdb.open(str(folder / shard["file"]), subdir=False, readonly=True, lock=False, max_dbs=2) as environment:
            for name, found in (("cases", cases), ("items", items)):
                table = environment.open_db(name.encode())
                with environment.begin(table) as transaction:
                    found += [(key, bytes(value)) for key, value in transaction.cursor()]
    assert [struct.unpack(">I", key)[0] for key, _ in cases[:index["shards"][0]["num_cases"]]] == list(range(index["shards"][0]["num_cases"]))
    return [json.loads(value) for _, value in cases], [unpack(value) for _, value in items]


def nifti(path):
    data = gzip.decompress(path.read_bytes())
    shape = struct.unpack_from("<8h", data, 40)[1:4]
    dtype = {2: "<u1", 4: "<i2", 8: "<i4", 16: "<f4", 64: "<f8", 512: "<u2"}[struct.unpack_from("<h", data, 70)[0]]
    return np.frombuffer(data, dtype, int(np.prod(shape)), int(struct.unpack_from("<f", data, 108)[0])).reshape(shape, order="F")


class PreparedBytesTest(VmaeTest):
    def prepare(self, source, *options):
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        self.vmae("prepare", "--input", source, "--output", "out", "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}", *options)
        return read_dataset(self.tmp / "out")

    def test_volumes_and_masks(self):
        cases, items = self.prepare(HIPPOCAMPUS, "prepare.shard_mb=1")
        self.assertEqual(len(cases), 60)
        checked = 0
        for number, case in enumerate(cases):
            volume, labels = nifti(HIPPOCAMPUS / case["name"]), nifti(HIPPOCAMPUS / case["name"].replace("images", "labels"))
            for item in (item for item in items if item["case"] == number):
                cut = (slice(None),) * case["axis"] + (item["slice"],)
                np.testing.assert_array_equal(item["stored"][..., 0], volume[cut].T)
                self.assertEqual(item["stored"].dtype, volume.dtype)
                np.testing.assert_array_equal(item["mask"], labels[cut].T)
                checked += 1
            np.testing.assert_allclose(items[-1]["stats"][4:] if number == 59 else [0, 0], np.percentile(volume, [0.5, 99.5]) if number == 59 else [0, 0], rtol=1e-6)
        self.assertEqual(checked, len(items))

    def test_pictures(self):
        make_pictures(self.tmp / "in", 3)
        make_pictures(self.tmp / "in", 3, first=3, channels=3)
        Image.fromarray(np.arange(4000, 4000 + 30 * 40, dtype=np.uint16).reshape(30, 40)).save(self.tmp / "in/deep.png")
        cases, items = self.prepare("in")
        for case, item in zip(cases, items, strict=True):
            picture = np.asarray(Image.open(self.tmp / "in" / case["name"]))
            np.testing.assert_array_equal(item["stored"], picture.reshape(item["stored"].shape))
            self.assertEqual(item["stored"].dtype.itemsize, picture.dtype.itemsize if picture.dtype != np.int32 else 2)

    def test_dicom(self):
        pixels = write_ct_series(self.tmp / "in")
        (case,), items = self.prepare("in")
        np.testing.assert_array_equal(np.stack([item["stored"][..., 0] for item in items]), pixels)
        self.assertEqual({(item["slope"], item["intercept"]) for item in items}, {(1.0, -1024.0)})
        self.assertEqual((case["size"], case["spacing_mm"], case["origin_mm"]), ([32, 24, 6], [0.7, 0.8, 5.0], [-10.0, -20.0, -100.0]))

    def test_window_and_size(self):
        pixels = write_ct_series(self.tmp / "in")
        _, items = self.prepare("in", "prepare.intensity=window", "prepare.window=[0,1000]", "prepare.bits=16")
        expected = np.clip((pixels.astype(np.float64) - 1024) / 1000, 0, 1) * 65535
        self.assertLessEqual(np.abs(np.stack([item["stored"][..., 0] for item in items]) - expected).max(), 0.51)
        _, items = self.prepare("in", "prepare.resize=[12,16]", "--overwrite")
        blocks = pixels.reshape(6, 12, 2, 16, 2).mean((2, 4))  # by area
        self.assertLessEqual(np.abs(np.stack([item["stored"][..., 0] for item in items]) - blocks).max(), 0.51)


if __name__ == "__main__":
    unittest.main()
