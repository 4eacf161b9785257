# SPDX-License-Identifier: Apache-2.0
"""Pictures of every kind that can be written here, pixel for pixel: bit depth x photometric interpretation x layout of the planes x strips and tiles x compression x
byte order x orientation x alpha, in PNG, TIFF, BMP and JPEG, as images and as masks. The truth is the array that was written; what Pillow and tifffile read of the file
is held against it where they read it. Files that they can't write are put together from bytes."""
import io
import itertools
import json
import struct
import unittest
import zlib

import nibabel
import numpy as np
import tifffile
from PIL import Image, ImageOps

from finetuning import FinetuneTest, labelled_picture, write_nifti
from harness import VmaeTest
from test_prepared_bytes import read_dataset

ROWS, COLUMNS = 13, 17  # odd, so that rows end within a byte
RNG = np.random.default_rng(15)


def numbers(bits, channels=1, shape=(ROWS, COLUMNS)):
    """Numbers of so many bits, 0 and the largest among them."""
    largest = 2**bits - 1
    array = RNG.integers(0, largest + 1, (*shape, channels), dtype=np.uint64)
    array[..., 0, 0, :], array[..., 1, 0, :] = 0, largest
    array = array.astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32)
    return array[..., 0] if channels == 1 else array


def spread(array, bits):
    """Few bits become 0 to 255."""
    return array * (255 // (2**bits - 1)) if bits < 8 else array


def packed(array, bits):
    """Rows of numbers of so many bits, the highest first, each row to a whole byte."""
    rows = array.reshape(array.shape[0], -1).astype(np.uint64)
    bit = (rows[..., None] >> np.arange(bits - 1, -1, -1, dtype=np.uint64) & 1).astype(np.uint8)
    return np.packbits(bit.reshape(array.shape[0], -1), axis=1).tobytes()


def png(array, bits, colour, palette=None, interlaced=False, chunks=()):
    """colour: PNG's type, 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    def rows_of(part):
        if part.size == 0:
            return b""
        lines = part.astype(">u2").tobytes() if bits == 16 else packed(part, bits)
        length = len(lines) // part.shape[0]
        return b"".join(b"\0" + lines[i * length:(i + 1) * length] for i in range(part.shape[0]))

    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]
    content = b"".join(rows_of(array[y::dy, x::dx]) for y, x, dy, dx in passes)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], bits, colour, 0, 0, int(interlaced))
    body = [chunk(b"IHDR", head), *(chunk(k, c) for k, c in chunks)]
    if palette is not None:
        body.append(chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes()))
    return b"\x89PNG\r\n\x1a\n" + b"".join([*body, chunk(b"IDAT", zlib.compress(content)), chunk(b"IEND", b"")])


def tiff(array, bits, photometric, fill_order=1, palette=None, orientation=None, byte_order="<", sample_format=1):
    """An uncompressed TIFF of one strip, from bytes."""
    if bits % 8 == 0:
        strip = array.astype(array.dtype.newbyteorder(byte_order)).tobytes()
    else:
        strip = packed(array, bits)
    if fill_order == 2:
        strip = np.packbits(np.unpackbits(np.frombuffer(strip, np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()
    samples = 1 if array.ndim == 2 else array.shape[2]
    tags = {256: (4, [array.shape[1]]), 257: (4, [array.shape[0]]), 258: (3, [bits] * samples), 259: (3, [1]), 262: (3, [photometric]), 266: (3, [fill_order]),
            273: (4, [0]), 277: (3, [samples]), 278: (4, [array.shape[0]]), 279: (4, [len(strip)]), 339: (3, [sample_format] * samples)}
    if orientation:
        tags[274] = (3, [orientation])
    if palette is not None:
        tags[320] = (3, [int(entry[c]) * 257 for c in range(3) for entry in palette])
    at = 8 + 2 + 12 * len(tags) + 4
    entries, far = b"", b""
    for tag in sorted(tags):
        kind, values = tags[tag]
        content = b"".join(struct.pack(byte_order + ("H" if kind == 3 else "I"), v) for v in values)
        if len(content) > 4:
            entries += struct.pack(byte_order + "HHII", tag, kind, len(values), at + len(far))
            far += content + b"\0" * (len(content) % 2)
        else:
            entries += struct.pack(byte_order + "HHI", tag, kind, len(values)) + content.ljust(4, b"\0")
    place = entries.index(struct.pack(byte_order + "HHI", 273, 4, 1)) + 8
    entries = entries[:place] + struct.pack(byte_order + "I", at + len(far)) + entries[place + 4:]
    head = (b"II*\0" if byte_order == "<" else b"MM\0*") + struct.pack(byte_order + "IH", 8, len(tags))
    return head + entries + struct.pack(byte_order + "I", 0) + far + strip


def bmp(array, bits, palette=None, compression=0, data=None, masks=()):
    """A BMP from bytes; `data` instead of rows for run lengths."""
    if data is None:
        rows = []
        for row in array[::-1]:
            content = packed(row[None], bits) if bits <= 8 else row.astype("<u2" if bits == 16 else "<u4").tobytes()
            rows.append(content + b"\0" * (-len(content) % 4))
        data = b"".join(rows)
    colours = b"".join(bytes([b, g, r, 0]) for r, g, b in palette or []) + b"".join(struct.pack("<I", m) for m in masks)
    head = struct.pack("<IiiHHIIiiII", 40, array.shape[1], array.shape[0], 1, bits, compression, len(data), 2835, 2835, len(palette or []), 0)
    at = 14 + len(head) + len(colours)
    return struct.pack("<2sIHHI", b"BM", at + len(data), 0, 0, at) + head + colours + data


COLOURS = [(200, 10, 60), (0, 0, 0), (0, 250, 10), (10, 20, 240)] + [(i, 255 - i, (7 * i) % 256) for i in range(4, 256)]
GREYS = [(g, g, g) for g in [3, 17, 80, 255] + [(11 * i) % 256 for i in range(4, 256)]]


def turned(array, orientation):
    """What EXIF's orientation asks for, by numpy."""
    if orientation in (2, 3):
        array = array[:, ::-1]
    if orientation in (3, 4):
        array = array[::-1]
    if orientation in (5, 8):
        array = array.swapaxes(0, 1)
        array = array if orientation == 5 else array[::-1]
    if orientation in (6, 7):
        array = array[::-1].swapaxes(0, 1)
        array = array if orientation == 6 else array[::-1]
    return array


class PicturesTest(VmaeTest):
    def setUp(self):
        super().setUp()
        self.files = {}  # name: (bytes, what is to be read, what Pillow reads, or None)

    def add(self, name, content, expected, pillow="same"):
        self.assertNotIn(name, self.files)
        self.files[name] = content, np.ascontiguousarray(expected), pillow

    def add_saved(self, name, picture, expected, pillow="same", **options):
        file = io.BytesIO()
        picture.save(file, {"png": "PNG", "tif": "TIFF", "bmp": "BMP", "jpg": "JPEG"}[name.rsplit(".", 1)[1]], **options)
        self.add(name, file.getvalue(), expected, pillow)

    def add_tifffile(self, name, array, expected, **options):
        file = io.BytesIO()
        tifffile.imwrite(file, array, metadata=None, **options)
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(file.getvalue())), array, name)
        self.add(name, file.getvalue(), expected, None)

    def check_all(self, at_least):
        """All files become one dataset, which is read by Python."""
        (self.tmp / "in").mkdir()
        for name, (content, expected, pillow) in self.files.items():
            (self.tmp / "in" / name).write_bytes(content)
            picture = None
            if pillow == "same":
                try:
                    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
                except ValueError as error:  # few kinds of TIFF
                    self.assertIn("unknown raw mode", str(error), name)
            if picture is not None:
                modes = {"1": "L", "P": "RGB", "LA": "L", "PA": "RGB", "RGBA": "RGB", "CMYK": "RGB"}
                own = np.asarray(picture.convert(modes[picture.mode]) if picture.mode in modes else picture)
                own = own if own.shape == expected.shape else own[..., 0]
                np.testing.assert_array_equal(own, expected, f"Pillow reads {name} otherwise")
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        self.vmae("prepare", "--input", "in", "--output", "out", "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}")
        cases, items = read_dataset(self.tmp / "out")
        read = {case["name"]: [item for item in items if item["case"] == number] for number, case in enumerate(cases)}
        self.assertEqual(sorted(read), sorted(self.files))
        wrong = []
        for name, (_, expected, _) in self.files.items():
            own = [item["stored"] for item in read[name]]
            if len(own) != 1:
                wrong.append(f"{name}: {len(own)} slices; {json.dumps([c for c in cases if c['name'] == name])[:300]}")
            elif own[0].dtype != expected.dtype or not np.array_equal(own[0].squeeze(-1) if own[0].shape[-1] == 1 else own[0], expected):
                wrong.append(f"{name}: {own[0].dtype} {own[0].shape} {own[0].ravel()[:6]} instead of {expected.dtype} {expected.shape} {expected.ravel()[:6]}")
        self.assertEqual(wrong, [], f"{len(wrong)} of {len(self.files)}")
        self.assertGreaterEqual(len(self.files), at_least)

    def test_png(self):
        for bits, interlaced in itertools.product((1, 2, 4, 8, 16), (False, True)):
            tail = f"{bits}{'i' if interlaced else ''}"
            grey = numbers(bits)
            self.add(f"grey{tail}.png", png(grey, bits, 0, interlaced=interlaced), spread(grey, bits))
            if bits <= 8:
                count = 2**bits
                self.add(f"colours{tail}.png", png(grey, bits, 3, COLOURS[:count], interlaced), np.array(COLOURS, np.uint8)[grey])
                self.add(f"greys{tail}.png", png(grey, bits, 3, GREYS[:count], interlaced), np.array(GREYS, np.uint8)[grey][..., 0])
            if bits >= 8:
                rgba = numbers(bits, 4)
                pillow = "same" if bits == 8 else None
                self.add(f"rgb{tail}.png", png(rgba[..., :3], bits, 2, interlaced=interlaced), rgba[..., :3], pillow)
                self.add(f"rgba{tail}.png", png(rgba, bits, 6, interlaced=interlaced), rgba[..., :3], pillow)
                self.add(f"la{tail}.png", png(rgba[..., :2], bits, 4, interlaced=interlaced), rgba[..., 0], pillow)
        grey, colour = numbers(8), numbers(8, 3)
        self.add("transparent_grey.png", png(grey, 8, 0, chunks=[(b"tRNS", b"\0\7")]), grey)
        self.add("gamma.png", png(grey, 8, 0, chunks=[(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")]), grey)
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            self.add_saved(f"turned{orientation}.png", Image.fromarray(colour), turned(colour, orientation), exif=exif)
        self.check_all(48)

    def test_bmp(self):
        for bits in (1, 4, 8):
            index = numbers(bits)
            self.add(f"colours{bits}.bmp", bmp(index, bits, COLOURS[:2**bits]), np.array(COLOURS, np.uint8)[index])
            self.add(f"greys{bits}.bmp", bmp(index, bits, GREYS[:2**bits]), np.array(GREYS, np.uint8)[index][..., 0])
        colour, grey = numbers(8, 3), numbers(8)
        self.add_saved("L.bmp", Image.fromarray(grey), grey)
        self.add_saved("1.bmp", Image.fromarray(grey > 99), np.where(grey > 99, 255, 0).astype(np.uint8))
        self.add_saved("RGB.bmp", Image.fromarray(colour), colour)
        self.add_saved("RGBA.bmp", Image.fromarray(np.dstack([colour, grey])), colour)
        self.add("top.bmp", (lambda b: b[:22] + struct.pack("<i", -ROWS) + b[26:])(bmp(grey, 8, COLOURS)), np.array(COLOURS, np.uint8)[grey][::-1])
        five = numbers(5, 3).astype(np.uint32)
        pixel = five[..., 0] << 10 | five[..., 1] << 5 | five[..., 2]
        self.add("555.bmp", bmp(pixel, 16), (five * 255 // 31).astype(np.uint8))
        six = np.dstack([five[..., 0], numbers(6), five[..., 2]]).astype(np.uint32)
        pixel = six[..., 0] << 11 | six[..., 1] << 5 | six[..., 2]
        self.add("565.bmp", bmp(pixel, 16, compression=3, masks=(0xF800, 0x7E0, 0x1F)), (six * 255 // [31, 63, 31]).astype(np.uint8))
        runs = np.repeat(numbers(4, shape=(ROWS, 1)), COLUMNS, 1)
        data = b"".join(bytes([COLUMNS, row[0] * 17, 0, 0]) for row in runs[::-1]) + b"\0\1"
        self.add("rle4.bmp", bmp(runs, 4, COLOURS[:16], 2, data), np.array(COLOURS, np.uint8)[runs])
        data = b"".join(bytes([0, COLUMNS]) + row.tobytes() + b"\0" * (COLUMNS % 2) + b"\0\0" for row in grey[::-1]) + b"\0\1"
        self.add("rle8.bmp", bmp(grey, 8, COLOURS, 1, data), np.array(COLOURS, np.uint8)[grey])
        self.check_all(14)

    def test_jpeg(self):
        smooth = np.add.outer(np.arange(ROWS) * 9, np.arange(COLUMNS) * 8).astype(np.uint8)
        colour = np.dstack([smooth, 255 - smooth, smooth // 2])
        cmyk = Image.fromarray(np.dstack([colour, smooth // 3]), "CMYK")
        cases = {"L": Image.fromarray(smooth), "RGB": Image.fromarray(colour), "CMYK": cmyk}
        for (mode, picture), progressive, sampling in itertools.product(cases.items(), (False, True), (0, 1, 2)):
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=90, progressive=progressive, subsampling=sampling)
            expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("L" if mode == "L" else "RGB"))
            self.add(f"{mode}{sampling}{'p' if progressive else ''}.jpg", file.getvalue(), expected)
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            file = io.BytesIO()
            Image.fromarray(colour).save(file, "JPEG", exif=exif)
            expected = turned(np.asarray(Image.open(io.BytesIO(file.getvalue()))), orientation)
            self.add(f"turned{orientation}.jpg", file.getvalue(), expected)
        self.check_all(26)

    def test_tiff_by_tifffile(self):
        count = 0
        dtypes = [np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]
        for dtype, order, big, layout, compression in itertools.product(dtypes, "<>", (False, True), ({}, {"tile": (16, 16)}, {"rowsperstrip": 5}), (None, "zlib")):
            dtype = np.dtype(dtype)
            low, high = (-100, 100) if dtype.kind != "u" else (0, 200)
            array = RNG.integers(low, high, (ROWS, COLUMNS)).astype(dtype) * (257 if dtype == np.uint16 else 1)
            stored = np.float64 if dtype.itemsize == 8 and dtype.kind in "iu" else np.float32 if dtype.kind == "f" else dtype
            options = {"byteorder": order, "bigtiff": big, "compression": compression, **layout}
            name = f"{dtype.name}{'b' if order == '>' else ''}{'B' if big else ''}{''.join(layout)}{compression or ''}"
            self.add_tifffile(f"{name}_black0.tif", array, array.astype(stored), photometric="minisblack", **options)
            if dtype in (np.uint8, np.uint16):
                self.add_tifffile(f"{name}_white0.tif", array, np.iinfo(dtype).max - array, photometric="miniswhite", **options)
            if dtype in (np.uint8, np.uint16, np.float32):
                colour = np.stack([array, array[::-1], array[:, ::-1], array // 2], -1).astype(dtype)
                for planar, extra in itertools.product(("contig", "separate"), ([], ["unassalpha"], ["assocalpha"], ["unspecified"])):
                    samples = colour[..., :3 + len(extra)]
                    self.add_tifffile(f"{name}_{planar}_{''.join(extra)}.tif", samples if planar == "contig" else np.moveaxis(samples, -1, 0), colour[..., :3].astype(stored),
                                      photometric="rgb", planarconfig=planar, extrasamples=extra, **options)
                    count += 1
                self.add_tifffile(f"{name}_la.tif", colour[..., :2], array.astype(stored), photometric="minisblack", planarconfig="contig",
                                  extrasamples=["unassalpha"], **options)
        self.check_all(900)

    def test_tiff_by_pillow(self):
        grey, colour, deep = numbers(8), numbers(8, 3), numbers(16)
        bit = grey > 99
        smooth = np.add.outer(np.arange(16) * 9, np.arange(16) * 8).astype(np.uint8)
        for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd", "lzma"):
            for name, picture, expected in (("L", grey, grey), ("RGB", colour, colour), ("I16", deep, deep), ("1", bit, np.where(bit, 255, 0).astype(np.uint8)),
                                            ("F", grey.astype(np.float32) / 3, None), ("LA", np.dstack([grey, deep // 256]).astype(np.uint8), grey),
                                            ("RGBA", np.dstack([colour, grey]), colour)):
                self.add_saved(f"{name}_{compression}.tif", Image.fromarray(picture), picture if expected is None else expected, compression=compression)
            indexed = Image.fromarray(grey)
            indexed.putpalette([c for entry in COLOURS for c in entry])
            self.add_saved(f"P_{compression}.tif", indexed, np.array(COLOURS, np.uint8)[grey], compression=compression)
        for compression in ("group3", "group4", "tiff_ccitt"):
            self.add_saved(f"1_{compression}.tif", Image.fromarray(bit), np.where(bit, 255, 0).astype(np.uint8), compression=compression)
        for predictor in (2, 3):
            for name, picture in (("L", grey), ("RGB", colour), ("I16", deep), ("F", grey.astype(np.float32) / 3)):
                if (predictor == 3) == (name == "F"):
                    self.add_saved(f"{name}_predictor{predictor}.tif", Image.fromarray(picture), picture, compression="tiff_lzw", tiffinfo={317: predictor})
        cmyk = Image.fromarray(np.dstack([colour, grey]), "CMYK")
        self.add_saved("CMYK.tif", cmyk, np.asarray(cmyk.convert("RGB")))
        for name, picture in (("L", smooth), ("RGB", np.dstack([smooth, 255 - smooth, smooth // 2]))):
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "TIFF", compression="jpeg", quality=90)
            self.add(f"{name}_jpeg.tif", file.getvalue(), np.asarray(Image.open(io.BytesIO(file.getvalue())).convert(name)))
        for orientation in range(1, 9):
            self.add_saved(f"turned{orientation}.tif", Image.fromarray(colour), turned(colour, orientation), tiffinfo={0x0112: orientation})
        self.check_all(70)

    def test_tiff_from_bytes(self):
        for bits, order, fill in itertools.product((1, 2, 4, 8, 10, 12, 14, 16), "<>", (1, 2)):
            if fill == 2 and bits > 8:
                continue
            array, largest = numbers(bits), 2**bits - 1
            tail = f"{bits}{'b' if order == '>' else ''}{'r' if fill == 2 else ''}"
            self.add(f"black0_{tail}.tif", tiff(array, bits, 1, fill, byte_order=order), spread(array, bits), None)
            self.add(f"white0_{tail}.tif", tiff(array, bits, 0, fill, byte_order=order), spread(largest - array, bits), "same" if bits <= 8 and order == "<" else None)
            if bits <= 8:
                for name, palette in (("colours", COLOURS), ("greys", GREYS)):
                    expected = np.array(palette, np.uint8)[array]
                    self.add(f"{name}_{tail}.tif", tiff(array, bits, 3, fill, palette[:2**bits], byte_order=order), expected if name == "colours" else expected[..., 0])
            for orientation in range(2, 9):
                self.add(f"turned{orientation}_{tail}.tif", tiff(array, bits, 1, fill, orientation=orientation, byte_order=order), turned(spread(array, bits), orientation), None)
        self.check_all(200)


class MasksTest(VmaeTest):
    def read(self, files):
        """{name: (bytes of the mask)} as masks of one dataset -> {name: labels}; names that could not be read are absent."""
        for name, content in files.items():
            (self.tmp / "in/images").mkdir(parents=True, exist_ok=True)
            (self.tmp / "in/masks").mkdir(exist_ok=True)
            Image.fromarray(np.arange(ROWS * COLUMNS, dtype=np.uint8).reshape(ROWS, COLUMNS)).save(self.tmp / "in/images" / f"{name.rsplit('.', 1)[0]}.png")
            (self.tmp / "in/masks" / name).write_bytes(content)
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        done = self.vmae("prepare", "--input", "in", "--output", "out", "--overwrite", "prepare.names=keep", f"prepare.salt_file={self.tmp / 'salt'}",
                         expect=self.expected)
        cases, items = read_dataset(self.tmp / "out")
        masks = {item["case"]: item["mask"] for item in items}
        self.failures = [json.loads(line) for line in (self.tmp / "out/quarantine.jsonl").read_text().splitlines()]
        return done, {case["name"].split("/")[-1][:-4]: masks[number] for number, case in enumerate(cases) if number in masks}

    def test_numbers_and_indices(self):
        self.expected = 0
        labels = RNG.integers(0, 3, (ROWS, COLUMNS)).astype(np.uint8)
        labels[0, :3] = 0, 1, 2
        files = {"grey.png": png(labels, 8, 0), "la.png": png(np.dstack([labels, 255 - labels]), 8, 4), "deep.png": png(labels.astype(np.uint16), 16, 0),
                 "rgb.png": png(np.dstack([labels] * 3), 8, 2), "grey.bmp": bmp(labels, 8, [(i, i, i) for i in range(256)])}
        for bits in (2, 4, 8):  # index 0, 1, 2, whatever they look like
            files[f"colours{bits}.png"] = png(labels, bits, 3, COLOURS[:2**bits])
            files[f"greys{bits}.png"] = png(labels, bits, 3, GREYS[:2**bits])
            files[f"colours{bits}t.tif"] = tiff(labels, bits, 3, palette=COLOURS[:2**bits])
        for bits in (4, 8):
            files[f"colours{bits}b.bmp"] = bmp(labels, bits, COLOURS[:2**bits])
        for dtype in (np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64):
            file = io.BytesIO()
            tifffile.imwrite(file, labels.astype(dtype), photometric="minisblack")
            files[f"{np.dtype(dtype).name}.tif"] = file.getvalue()
        done, read = self.read({f"{name.replace('.', '_')}.{name.rsplit('.', 1)[1]}": content for name, content in files.items()})
        self.assertEqual(len(read), len(files))
        for name, mask in read.items():
            np.testing.assert_array_equal(mask, labels, name)
        self.assertEqual(done.stderr.count("their indices are the labels, not the greys"), 1)

    def test_one_bit(self):
        self.expected = 0
        bit = numbers(1)
        files = {"a.png": png(bit, 1, 0), "b.tif": tiff(bit, 1, 1), "c.tif": tiff(1 - bit, 1, 0), "d.png": png(bit, 1, 3, [(0, 0, 0), (255, 255, 255)]),
                 "e.bmp": bmp(bit, 1, [(0, 0, 0), (255, 255, 255)])}
        _, read = self.read(files)
        for name, mask in read.items():
            np.testing.assert_array_equal(mask > 0, bit > 0, name)
            self.assertEqual(len(np.unique(mask)), 2, name)
        self.assertEqual(len(read), len(files))

    def test_what_can_be_read_in_two_ways_is_refused(self):
        self.expected = 6
        labels = numbers(2)
        descending = [(255, 255, 255), (170, 170, 170), (85, 85, 85), (0, 0, 0)]
        _, read = self.read({"good.png": png(labels, 8, 0), "descending.png": png(labels, 2, 3, descending), "white0.tif": tiff(labels, 8, 0),
                             "colour.png": png(np.dstack([labels, labels, 3 - labels]), 8, 2)})
        self.assertEqual(list(read), ["good"])
        reasons = " ".join(one["reason"] for one in self.failures)
        for text in ("do not ascend", "white as 0", "colour picture"):
            self.assertIn(text, reasons)


class AlphaTest(VmaeTest):
    def test_masks_that_are_drawn_in_alpha(self):
        """Where the numbers say one thing and the transparency another a mask is refused; alpha that says the same, or nothing, is left out."""
        drawn = np.zeros((24, 20), np.uint8)
        drawn[5:15, 4:12] = 1
        full, none = np.full_like(drawn, 255), np.zeros_like(drawn)
        expected = {"same": True, "opaque": True, "white": False, "black": False, "hidden": False}
        alpha = {"same": (drawn * 255, drawn * 255), "opaque": (drawn * 255, full), "white": (full, drawn * 255), "black": (none, drawn * 255),
                 "hidden": (np.where(drawn > 0, 255, 0).astype(np.uint8), np.where(np.roll(drawn, 3) > 0, 255, 0).astype(np.uint8))}
        for kind in ("LA.png", "RGBA.png", "LA.tif", "RGBA.tif"):
            for name, (grey, opacity) in alpha.items():
                with self.subTest(kind=kind, name=name):
                    root = self.tmp / f"{name}_{kind.replace('.', '_')}"
                    for folder in ("images", "masks"):
                        (root / folder).mkdir(parents=True)
                    Image.fromarray(drawn * 90 + 5).save(root / "images/a.png")
                    array = np.dstack([grey, opacity] if kind.startswith("LA") else [grey, grey, grey, opacity])
                    if kind.endswith("png"):
                        Image.fromarray(array, kind.split(".")[0]).save(root / "masks" / f"a.{kind.split('.')[1]}")
                    else:
                        tifffile.imwrite(root / "masks/a.tif", array, photometric="minisblack" if kind.startswith("LA") else "rgb", planarconfig="contig",
                                         extrasamples=["unassalpha"])
                    done = self.vmae("prepare", "--input", root.name, "--output", f"out_{root.name}", expect=0 if expected[name] else 3)
                    self.assertEqual(done.returncode == 0, expected[name], done.stderr)
                    if expected[name]:
                        _, items = read_dataset(self.tmp / f"out_{root.name}")
                        np.testing.assert_array_equal(items[0]["mask"] > 0, drawn > 0)
                    else:
                        self.assertIn("alpha", (self.tmp / f"out_{root.name}/quarantine.jsonl").read_text() + done.stderr)


class SeveralPicturesTest(VmaeTest):
    def test_files_of_several_pictures(self):
        """Those of which the first alone would be taken are refused; thumbnails and gain maps are no pictures of their own."""
        smooth = np.add.outer(np.arange(40) * 5, np.arange(56) * 4).astype(np.uint8)
        (self.tmp / "in").mkdir()

        def save(name, *pictures, **options):
            first, *others = [Image.fromarray(picture) for picture in pictures]
            first.save(self.tmp / "in" / name, save_all=True, append_images=others, **options)
        save("animated.png", smooth, 255 - smooth, smooth // 2)
        save("one.png", smooth)
        save("pair.mpo.jpg", smooth, 255 - smooth, format="MPO")
        save("gain.jpg", smooth, smooth[:20, :28], format="MPO")
        save("pair3.jpg", smooth, smooth[:20, :28], smooth // 2, format="MPO")
        for size in range(4, 12):
            (self.tmp / "in" / f"cut{size}.jpg").write_bytes(b"\xff\xd8\xff\xe2\x00\x20MPF\0II"[:size])
        marked = bytearray((self.tmp / "in/gain.jpg").read_bytes())  # as a camera marks a stereo pair of another size, and a thumbnail
        at = marked.index(b"MPF\0") + 4
        order = "<" if marked[at:at + 2] == b"II" else ">"
        entries = next(struct.unpack(f"{order}I", marked[at + k + 8:at + k + 12])[0] for k in range(10, 60, 12)
                       if struct.unpack(f"{order}H", marked[at + k:at + k + 2])[0] == 0xB002)
        for name, kind in (("stereo.jpg", 0x020002), ("thumbnail.jpg", 0x010001)):
            marked[at + entries + 16:at + entries + 20] = struct.pack(f"{order}I", kind)
            (self.tmp / "in" / name).write_bytes(marked)
        self.vmae("prepare", "--input", "in", "--output", "out", "prepare.names=keep", expect=6)
        cases, _ = read_dataset(self.tmp / "out")
        failures = {cases[one["case"]]["name"]: one["reason"] for one in map(json.loads, (self.tmp / "out/quarantine.jsonl").read_text().splitlines())}
        for size in range(4, 12):
            self.assertIn("cut off", failures.pop(f"cut{size}.jpg"))
        self.assertEqual(set(failures), {"animated.png", "pair.mpo.jpg", "pair3.jpg", "stereo.jpg"}, failures)
        self.assertIn("animated PNG of 3 pictures", failures["animated.png"])
        self.assertIn("multi-picture JPEG of 2 pictures", failures["pair3.jpg"])
        self.assertEqual(len(cases) - len(failures), 3 + 8)


class SeveralImagesInATiffTest(VmaeTest):
    """TIFFs that hold several images, by whoever wrote them; one image of the same pages is a volume."""

    def refused(self, path):
        return self.vmae("inspect", path, "--npy", "out.npy", expect=3).stderr

    def write(self, name, arrays, **options):
        (self.tmp / "in").mkdir(exist_ok=True)
        with tifffile.TiffWriter(self.tmp / "in" / name, ome=name.endswith(".ome.tif")) as file:
            for array in arrays:
                file.write(array, photometric="minisblack", **options)
        return self.tmp / "in" / name

    def test_series_of_ome_and_tifffile(self):
        stack = RNG.integers(0, 255, (12, 9, 11)).astype(np.uint8)
        for dtype in (np.uint8, np.uint16, np.float32):
            for sizes in ([12], [3, 3], [6, 6], [2, 4, 6], [1, 5], [2, 1]):
                arrays, begin = [], 0
                for size in sizes:
                    arrays.append(stack[begin:begin + size].astype(dtype))
                    begin += size
                for name, options in (("a.ome.tif", {"metadata": {"axes": "ZYX"}}), ("a.tif", {}), ("b.tif", {"compression": "zlib"})):
                    with self.subTest(name, sizes=sizes, dtype=dtype):
                        path = self.write(name, arrays, **options)
                        if len(sizes) == 1:
                            self.vmae("inspect", path, "--npy", "out.npy")
                            np.testing.assert_array_equal(np.load(self.tmp / "out.npy").squeeze(), arrays[0])
                        else:
                            self.assertIn(f"holds {len(sizes)} images", self.refused(path))

    def test_pages_that_are_written_one_by_one(self):
        """Programs that have one slice at a time write so: a stack, not as many images."""
        stack = RNG.integers(0, 255, (5, 9, 11)).astype(np.uint8)
        for pages in (2, 5):
            for shape in ((9, 11), (1, 9, 11)):
                path = self.write("a.tif", [page.reshape(shape) for page in stack[:pages]])
                self.vmae("inspect", path, "--npy", "out.npy")
                np.testing.assert_array_equal(np.load(self.tmp / "out.npy").squeeze(), stack[:pages])

    def test_names_of_ome_elements(self):
        """Prefixes of XML count, attributes and other elements that are named alike do not."""
        stack = RNG.integers(0, 255, (4, 9, 11)).astype(np.uint8)
        (self.tmp / "in").mkdir()
        for prefix in ("", "OME:"):
            for images in (1, 2, 3):
                image = f'<{prefix}Image ID="Image:0" Name="Image of it"><{prefix}Pixels SizeC="1" SizeT="1" SizeZ="4"/><{prefix}ImagingEnvironment/></{prefix}Image>'
                notes = f'<{prefix}StructuredAnnotations><Value><Image Id="1"/></Value></{prefix}StructuredAnnotations>'
                text = f'<?xml version="1.0"?><{prefix}OME>{image * images}{notes}</{prefix}OME>'
                tifffile.imwrite(self.tmp / "in/a.tif", stack, photometric="minisblack", description=text, metadata=None)
                with self.subTest(prefix=prefix, images=images):
                    if images == 1:
                        self.vmae("inspect", "in/a.tif")
                    else:
                        self.assertIn(f"holds {images} images", self.refused("in/a.tif"))

    def test_more_pages_than_the_description_knows(self):
        stack = RNG.integers(0, 255, (6, 9, 11)).astype(np.uint8)
        (self.tmp / "in").mkdir()
        for known in (1, 2, 3, 5, 6):
            for text in (f"ImageJ=1.53t\nimages={known}\nslices={known}\nloop=false\n",
                         f'<OME><Image ID="Image:0"><Pixels SizeC="1" SizeT="1" SizeZ="{known}"/></Image></OME>', f'{{"shape": [{known}, 9, 11]}}'):
                tifffile.imwrite(self.tmp / "in/a.tif", stack, photometric="minisblack", description=text, metadata=None)
                with self.subTest(text):
                    if known == 6:
                        self.vmae("inspect", "in/a.tif")
                    else:
                        self.assertIn(f"of 6 pages, of which its description knows {known}", self.refused("in/a.tif"))


class CopiesBelowPages(VmaeTest):
    def test_subifds_are_left_out_with_a_warning(self):
        stack = RNG.integers(0, 255, (3, 40, 56)).astype(np.uint8)
        for pages in (1, 3):
            for copies in (0, 1, 3):
                for byte_order in "<>":
                    with tifffile.TiffWriter(self.tmp / "a.tif", byteorder=byte_order, bigtiff=pages == copies) as file:
                        for page in stack[:pages]:
                            file.write(page, photometric="minisblack", subifds=copies or None, metadata=None)
                            for copy in range(copies):
                                file.write(page[::2 << copy, ::2 << copy].copy(), photometric="minisblack", subfiletype=1, metadata=None)
                    with self.subTest(pages=pages, copies=copies, byte_order=byte_order):
                        done = self.vmae("inspect", "a.tif", "--npy", "out.npy")
                        np.testing.assert_array_equal(np.load(self.tmp / "out.npy").reshape(pages, 40, 56), stack[:pages])
                        self.assertEqual(done.stderr.count("SubIFDs"), int(copies > 0), done.stderr)


class ColourSpacesThatAreNotRead(VmaeTest):
    def test_lab_of_every_kind(self):
        (self.tmp / "in").mkdir()
        for photometric, name in ((8, "CIE"), (9, "ICC"), (10, "ITU")):
            for bits in (8, 16):
                for pages in (1, 3):
                    data = tiff(numbers(bits, 3), bits, photometric)
                    if pages > 1:
                        file = io.BytesIO()
                        tifffile.imwrite(file, np.stack([numbers(bits, 3)] * pages).astype(f"u{bits // 8}"), photometric=photometric, metadata=None)
                        data = file.getvalue()
                    (self.tmp / "in/a.tif").write_bytes(data)
                    with self.subTest(name, bits=bits, pages=pages):
                        done = self.vmae("inspect", "in/a.tif", "--npy", "out.npy", expect=3)
                        self.assertIn(f"a.tif is a TIFF of a photometric interpretation that is not read: {name} L*a*b* ({photometric})", done.stderr)
                        self.assertIn("save it as grey or RGB", done.stderr)


class StacksTest(FinetuneTest):
    def write(self, name, volume, **options):
        (self.tmp / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(self.tmp / name, volume, photometric="minisblack", **options)

    def test_every_page_is_trained_on_predicted_and_measured(self):
        """As nnU-Net's 3-D TIFF, with its spacing beside it; the same as NIfTI gives the same losses and labels."""
        for i in range(4):
            pictures = [labelled_picture(8 * i + z, 32, 32) for z in range(5)]
            volume, mask = np.stack([p for p, _ in pictures]).astype(np.int16), np.stack([m for _, m in pictures])
            self.write(f"tif/images/c{i}.tif", volume, compression="zlib" if i % 2 else None)
            self.write(f"tif/labels/c{i}.tif", mask)
            for part in ("images", "labels"):
                (self.tmp / f"tif/{part}/c{i}.json").write_text('{"spacing": [3.0, 1.25, 0.75]}')
                write_nifti(self.tmp / f"nii/{part}/c{i}.nii.gz", (volume if part == "images" else mask).transpose(2, 1, 0), np.diag([0.75, 1.25, 3, 1]))
        for kind in ("tif", "nii"):
            self.vmae("prepare", "--input", kind, "--output", f"{kind}-out", "prepare.names=keep", f"prepare.salt_file={__file__}")
            self.seg(data=kind, run=f"run-{kind}")
        read = {kind: read_dataset(self.tmp / f"{kind}-out") for kind in ("tif", "nii")}
        self.assertEqual(len(read["tif"][1]), 20)
        for ours, other in zip(read["tif"][1], read["nii"][1], strict=True):
            for key in ("stored", "mask", "slice", "stats"):
                np.testing.assert_array_equal(ours[key], other[key])
        self.assertEqual([c["spacing_mm"] for c in read["tif"][0]], [[0.75, 1.25, 3.0]] * 4)
        losses = {kind: [json.loads(line).get("loss") for line in (self.tmp / f"run-{kind}/metrics.jsonl").read_text().splitlines()] for kind in ("tif", "nii")}
        self.assertEqual(losses["tif"], losses["nii"])
        self.assertGreater(len(losses["tif"]), 3)
        for kind in ("tif", "nii"):
            self.predict("--probabilities", weights=f"run-{kind}", input=f"{kind}/images", output=f"{kind}-pred")
        predicted = tifffile.imread(self.tmp / "tif-pred/c1.tif")
        self.assertEqual((predicted.shape, predicted.dtype), ((5, 32, 32), np.uint8))
        np.testing.assert_array_equal(predicted, np.asarray(nibabel.load(self.tmp / "nii-pred/c1.nii.gz").dataobj).T)
        self.assertIn("unit=mm\nspacing=3", tifffile.TiffFile(self.tmp / "tif-pred/c1.tif").pages[0].description)
        probability = sorted((self.tmp / "tif-pred/probabilities").glob("c1_*.tif"))
        self.assertEqual([(tifffile.imread(p).shape, tifffile.imread(p).dtype) for p in probability], [((5, 32, 32), np.float32)] * len(probability))
        self.assertTrue(probability)
        for kind in ("tif", "nii"):
            self.vmae("eval", "--pred", f"{kind}-pred", "--truth", f"{kind}/labels", "--output", f"{kind}-eval")
        rows = {kind: sorted((self.tmp / f"{kind}-eval/cases.csv").read_text().replace(f"{kind}-pred", "pred").splitlines()) for kind in ("tif", "nii")}
        self.assertEqual(rows["tif"], rows["nii"])

    def test_pages_are_listed_and_checked(self):
        stack = RNG.integers(0, 999, (4, 20, 30)).astype(np.uint16)
        self.write("in/stack.tif", stack)
        self.write("in/one.tif", stack[0])
        tifffile.imwrite(self.tmp / "in/channels.tif", stack, imagej=True, metadata={"axes": "CYX"})
        listed = {image["name"]: image for image in json.loads(self.vmae("inspect", "in", "--json").stdout)["images"]}
        self.assertEqual(listed["stack.tif"]["size"], [30, 20, 4])
        self.assertNotIn("size", listed["one.tif"])
        self.assertIn("4 channels", listed["channels.tif"]["problem"])
        self.vmae("inspect", "in/stack.tif", "--npy", "out.npy")
        np.testing.assert_array_equal(np.load(self.tmp / "out.npy").reshape(stack.shape), stack)
        # A mask of one page is not the mask of four.
        self.write("bad/images/a.tif", stack)
        self.write("bad/masks/a.tif", (stack[0] > 500).astype(np.uint8))
        (self.tmp / "salt").write_text("0123456789abcdef" * 2)
        done = self.vmae("prepare", "--input", "bad", "--output", "bad-out", f"prepare.salt_file={self.tmp / 'salt'}", expect=3)
        self.assertIn("30 x 20 x 1 voxels, the image 30 x 20 x 4", done.stderr + (self.tmp / "bad-out/quarantine.jsonl").read_text())


if __name__ == "__main__":
    unittest.main()
