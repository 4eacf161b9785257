#!/usr/bin/env python3
"""Small pictures for tests/unit/image/picture_test.cpp, written by Pillow and tifffile: 20 rows, 30 columns of a ramp whose values the test computes for itself
(4 row + 3 column + 20 channel; 16 bit: times 200; float: half of it minus 10). Writes pictures/ beside itself.

The matrix of all formats, depths and kinds is tests/e2e/test_pictures.py, which writes its files anew each time."""
import shutil
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

FOLDER = Path(__file__).resolve().parent / "pictures"


def ramp(channels=1, dtype=np.uint8):
    row, column, channel = np.mgrid[0:20, 0:30, 0:channels]
    value = 4 * row + 3 * column + 20 * channel
    value = value * 200 if dtype == np.uint16 else value * 0.5 - 10 if dtype == np.float32 else value
    return value.astype(dtype)[..., 0] if channels == 1 else value.astype(dtype)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    grey, colour, deep = ramp(), ramp(3), ramp(dtype=np.uint16)
    alpha = np.dstack([colour, grey])
    for name in ("g8.png", "g8.tif", "g8.bmp", "g8.jpg"):
        Image.fromarray(grey).save(FOLDER / name, quality=95)
    for name in ("rgb8.png", "rgb8.bmp", "rgb8.jpg"):
        Image.fromarray(colour).save(FOLDER / name, quality=95)
    Image.fromarray(deep).save(FOLDER / "g16.png")
    Image.fromarray(alpha).save(FOLDER / "rgba8.png")
    Image.fromarray(np.dstack([grey, 255 - grey])).save(FOLDER / "la8.png")
    tifffile.imwrite(FOLDER / "g16.tif", deep, photometric="minisblack", metadata=None)
    tifffile.imwrite(FOLDER / "rgb16.tif", ramp(3, np.uint16), photometric="rgb", compression="zlib", metadata=None)
    tifffile.imwrite(FOLDER / "g32f.tiff", ramp(dtype=np.float32), photometric="minisblack", metadata=None)
    tifffile.imwrite(FOLDER / "i16.tif", ramp().astype(np.int16) - 100, photometric="minisblack", metadata=None)
    tifffile.imwrite(FOLDER / "white0.tif", 255 - grey, photometric="miniswhite", metadata=None)
    tifffile.imwrite(FOLDER / "white0_16.tif", 65535 - deep, photometric="miniswhite", metadata=None)
    tifffile.imwrite(FOLDER / "planes.tif", np.moveaxis(colour, -1, 0), photometric="rgb", planarconfig="separate", metadata=None)
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("turned.jpg", "turned.png"):
        Image.fromarray(grey).save(FOLDER / name, exif=exif, quality=95)
    labels = np.zeros((6, 8), np.uint8)
    labels[1:3, 1:4], labels[4:, 2:] = 1, 2
    for name, colours in (("colours", [0, 0, 0, 128, 0, 0, 0, 128, 0]), ("greys", [0, 0, 0, 127, 127, 127, 255, 255, 255]),
                          ("descending", [255, 255, 255, 127, 127, 127, 0, 0, 0])):
        picture = Image.fromarray(labels)
        picture.putpalette(colours)
        picture.save(FOLDER / f"labels_{name}.png")
    Image.fromarray(labels == 2).save(FOLDER / "labels_bit.png")
    stack = np.stack([(labels == 2) + 2 * z for z in range(3)]).astype(np.uint8)
    tifffile.imwrite(FOLDER / "stack.tif", stack, photometric="minisblack", compression="zlib")
    tifffile.imwrite(FOLDER / "stack_imagej.tif", stack, imagej=True, resolution=(2, 4), metadata={"axes": "ZYX", "spacing": 3.0, "unit": "mm"})
    tifffile.imwrite(FOLDER / "channels_imagej.tif", stack, imagej=True, metadata={"axes": "CYX"})
    tifffile.imwrite(FOLDER / "time_and_slices.tif", np.stack([stack, stack]), photometric="minisblack")
    with tifffile.TiffWriter(FOLDER / "thumbnail.tif") as out:
        out.write(stack[0], photometric="minisblack", metadata=None)
        out.write(stack[0, ::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
    with tifffile.TiffWriter(FOLDER / "two_sizes.tif") as out:
        out.write(stack[0], photometric="minisblack", metadata=None)
        out.write(stack[0, ::2, ::2], photometric="minisblack", metadata=None)
    size = sum(file.stat().st_size for file in FOLDER.iterdir())
    print(f"{FOLDER}: {len(list(FOLDER.iterdir()))} files, {size} bytes")


if __name__ == "__main__":
    main()
