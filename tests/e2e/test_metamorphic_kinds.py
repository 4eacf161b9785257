# SPDX-License-Identifier: Apache-2.0
"""The same content in the many forms that one format has: contours and segmentations of DICOM, files that hold several
images, pictures and masks in every coding, labels in every type."""
import shutil
import dataclasses
import unittest

import numpy as np
import tifffile
from PIL import Image

try:
    import metamorphic as m
except ImportError as missing:  # highdicom
    raise unittest.SkipTest(str(missing))
from metamorphic_checks import DATASETS, MetamorphicTest, names
from test_prepared_bytes import read_dataset


class DicomTest(MetamorphicTest):
    def ring(self):
        """A mask with a hole, with parts that touch at a corner, and another class in the hole."""
        case = m.make_case(70, (24, 20, 5), np.int16, (0.9, 0.7, 3), m.rotation(10, (1, 0, 1)), is_empty=True)
        case.mask[3:15, 4:16, 1:4] = 1
        case.mask[6:12, 7:13, 1:4] = 0
        case.mask[8:10, 9:11, 2] = 2
        case.mask[15:19, 16:19, 1:3] = 1
        case.mask[20:23, 2:5, 4] = 3
        return case

    def test_contours(self):
        """Drawn more finely than the slices lie, beside them, twice, with holes of their own or by way of a keyhole:
        the same mask."""
        cases = [self.ring(), *DATASETS["16 bit, 0.02 mm"]()[:1], *DATASETS["8 bit"]()[:2]]
        drawings = {
            "as they are": {},
            "keyholes": {"with_keyholes": True},
            "three planes in a slice": {"offsets": (-0.3, 0, 0.3)},
            "two planes in a slice": {"offsets": (0, 0.4)},
            "two planes beside it": {"offsets": (-0.25, 0.25)},
            "four planes": {"offsets": (-0.375, -0.125, 0.125, 0.375)},
            "a plane a little off": {"offsets": (0.01,)},
            "each twice": {"repeat": 2},
            "each three times": {"repeat": 3},
            "three planes, keyholes, twice": {"offsets": (-0.3, 0, 0.3), "with_keyholes": True, "repeat": 2},
        }
        for what, drawn in drawings.items():
            with self.subTest(contours=what):
                source, kept = self.rtstruct(cases, **drawn)
                self.assert_content(source, cases, kept)

    def test_no_contours(self):
        """Structures are named and nothing is drawn: an empty mask, or the case is left out for it."""
        cases = [m.make_case(75 + i, (18, 16, 3), spacing=(1, 1, 3), is_empty=i == 1) for i in range(2)]
        source, kept = self.rtstruct(cases)
        self.content_or_refused(source, cases, kept, r"(?i)contour")

    def test_segmentations(self):
        """Beside their series, and alone as predictions."""
        cases = [self.ring(), *DATASETS["8 bit"]()[:3]]
        for kind in ("BINARY", "FRACTIONAL", "LABELMAP"):
            with self.subTest(kind=kind):
                source, kept = self.seg_objects(cases, kind)
                self.assert_content(source, cases, kept)
                segs, wrong = self.new("segs"), self.predictions(cases, names(4))
                segs.mkdir()
                for name in names(4):
                    shutil.copy(source / name / "seg.dcm", segs / f"{name}.dcm")
                expected = self.expected_counts(cases, names(4))
                expected = {key: (tp, fn, fp) for key, (tp, fp, fn) in expected.items()}  # here the masks predict
                self.assertEqual(self.counts(segs, wrong), expected)

    def test_time_points_of_an_enhanced_image(self):
        """Two or three time points in one file, interleaved, one after the other, or anyhow: each a volume of its own.
        Their names are not looked at."""
        for count in (2, 3):
            times = [m.make_case(80 + t, (16, 14, 4), np.int16, (1, 1, 3), is_empty=True) for t in range(count)]
            in_turn = list(range(4 * count))
            orders = {"interleaved": None, "one after the other": in_turn, "shuffled": m.shuffled(5)(4 * count)}
            for what, order in orders.items():
                with self.subTest(times=count, order=what):
                    source = self.new("dicom")
                    m.write_enhanced(source / "x/IM0000.dcm", times, "key", 0, order)
                    out, _ = self.prepare(source)
                    self.assertEqual(sorted(self.content(out).values()), sorted(m.digests(time) for time in times))


class ContainersTest(MetamorphicTest):
    """Files that hold several images."""

    VOLUMES_IN_ONE = r"(?i)time point|4-?D\b|volumes|one.?hot"

    def times(self):
        times = [m.make_case(90 + t, (18, 16, 4), np.int16, (1, 1, 3)) for t in range(3)]
        for time in times:
            time.origin = times[0].origin
        return times

    def write_4d(self, path, volumes, case):
        m.write_volume(path, np.stack(volumes, -1), case, ".nii.gz")

    def test_time_points_have_their_own_masks(self):
        """A 4-D mask beside a 4-D image; refused by name is right too."""
        times, source = self.times(), self.new()
        self.write_4d(source / "images/a.nii.gz", [time.stored for time in times], times[0])
        self.write_4d(source / "labels/a.nii.gz", [time.mask for time in times], times[0])
        self.content_or_refused(source, times, [f"images/a.nii.gz#t{t}" for t in range(3)], self.VOLUMES_IN_ONE)

    def test_one_mask_for_all_time_points(self):
        """A 3-D mask beside a 4-D image is that of every time point; refused is right too."""
        times, source = self.times(), self.new()
        for time in times:
            time.mask = times[0].mask
        self.write_4d(source / "images/a.nii.gz", [time.stored for time in times], times[0])
        m.write_volume(source / "labels/a.nii.gz", times[0].mask, times[0], ".nii.gz")
        self.content_or_refused(source, times, [f"images/a.nii.gz#t{t}" for t in range(3)], self.VOLUMES_IN_ONE)

    def test_one_hot_masks(self):
        """Background and three classes along the fourth axis: the classes, or refused by name."""
        cases, source = DATASETS["8 bit"]()[:2], self.new()
        for case, name in zip(cases, names(2)):
            m.write_volume(source / f"images/{name}.nii.gz", case.stored, case, ".nii.gz")
            self.write_4d(source / f"labels/{name}.nii.gz", [(case.mask == k).astype(np.uint8) for k in range(4)], case)
        self.content_or_refused(source, cases, [f"images/{name}.nii.gz" for name in names(2)], self.VOLUMES_IN_ONE)

    def stacks(self, cases, **options):
        source = self.new()
        for case, name in zip(cases, names(len(cases))):
            for sub, array in (("images", case.stored), ("labels", case.mask)):
                (source / sub).mkdir(parents=True, exist_ok=True)
                m.write_tiff(source / sub / f"{name}.tif", array, **options)
        return source, [f"images/{name}.tif" for name in names(len(cases))]

    def test_pages_of_a_stack(self):
        """In tiles or strips, compressed, in the order of either end, in BigTIFF: the same slices."""
        cases = DATASETS["8 bit"]()[:2] + DATASETS["16 bit, 0.02 mm"]()[:1]
        codings = {
            "strips": {},
            "one strip": {"rowsperstrip": 1000},
            "deflate": {"compression": "zlib", "rowsperstrip": None},
            "tiles": {"tile": (16, 16), "rowsperstrip": None},
            "big endian": {"byteorder": ">"},
            "BigTIFF": {"bigtiff": True},
        }
        for what, options in codings.items():
            with self.subTest(pages=what):
                source, kept = self.stacks(cases, **options)
                self.assert_content(source, cases, kept)

    def test_pages_of_signed_numbers(self):
        """Rare in TIFF: read, or refused for the type."""
        cases = DATASETS["signed 16 bit, oblique"]()[:2]
        source, kept = self.stacks(cases)
        self.content_or_refused(source, cases, kept, r"(?i)pixel type|signed|int16")

    def test_a_mask_with_other_pages_than_its_image(self):
        """Is refused."""
        case = DATASETS["8 bit"]()[0]
        for pages in (1, 3):
            with self.subTest(pages=pages):
                source, kept = self.stacks([case])
                m.write_tiff(source / "labels/case0.tif", case.mask[..., :pages])
                self.assertIsNone(self.content_or_refused(source, [case], kept, r"(?i)size|slices|pages|grid|voxels"))

    def test_frames_of_a_secondary_capture(self):
        """All of them, in their order."""
        cases = [m.make_case(95 + i, (17, 15, 3 + i), is_empty=True) for i in range(2)]
        source = self.new("dicom")
        for i, case in enumerate(cases):
            m.write_captures(source / f"case{i}/IM0000.dcm", case.stored, f"key{i}")
        self.assert_content(source, cases, [f"case{i}/IM0000.dcm" for i in range(2)])


# Writers of pictures: (path, plane (row, column))


def pillow(path, plane, mode=None, **options):
    picture = Image.fromarray(plane)
    (picture.convert(mode) if mode else picture).save(path, **options)


def tiff(change=lambda plane: plane, **options):
    def write(path, plane):
        tifffile.imwrite(path, change(plane), **{"photometric": "minisblack", **options})
    return write


def changed(change, mode=None):
    return lambda path, plane: pillow(path, change(plane), mode)


def grey_alpha(path, plane):
    Image.merge("LA", [Image.fromarray(plane), Image.new("L", plane.shape[::-1], 255)]).save(path)


def palette(colours, change=lambda plane: plane):
    def write(path, plane):
        picture = Image.frombytes("P", plane.shape[::-1], change(plane).tobytes())
        picture.putpalette([c for colour in colours for c in colour] + [0] * (768 - 3 * len(colours)))
        picture.save(path)
    return write


def opposite(plane):
    return np.iinfo(plane.dtype).max - plane


def three(axis):
    return lambda plane: np.stack([plane] * 3, axis)


def opaque(plane):
    return np.stack([plane, np.full_like(plane, np.iinfo(plane.dtype).max)], -1)


GREYS = [(k, k, k) for k in range(256)]
WHITE = {"change": opposite, "photometric": "miniswhite"}


class PicturesTest(MetamorphicTest):
    """A picture is its pixels, however they are coded; a mask is its labels."""

    def cases(self, count=4, dtype=np.uint8):
        return [m.make_case(100 + i, (20 + i, 17, 1), dtype) for i in range(count)]

    def make(self, cases, write_image=pillow, write_mask=pillow, ending=".png", mask_ending=".png"):
        source = self.new()
        for name, case in zip(names(len(cases)), cases):
            for sub, write, plane, end in (("images", write_image, case.stored, ending),
                                           ("masks", write_mask, case.mask, mask_ending)):
                (source / sub).mkdir(parents=True, exist_ok=True)
                write(source / sub / f"{name}{end}", np.ascontiguousarray(plane[..., 0].T))
        return source, [f"images/{name}{ending}" for name in names(len(cases))]

    def test_codings_of_pictures(self):
        codings = {
            "PNG": (pillow, ".png"),
            "TIFF": (tiff(), ".tif"),
            "TIFF, white is zero": (tiff(**WHITE), ".tif"),
            "TIFF, white is zero, deflate": (tiff(**WHITE, compression="zlib"), ".tif"),
            "TIFF, big endian": (tiff(byteorder=">"), ".tif"),
            "TIFF, tiles": (tiff(tile=(16, 16)), ".tiff"),
            "TIFF, Pillow, LZW": (lambda path, plane: pillow(path, plane, compression="tiff_lzw"), ".tif"),
            "TIFF, RGB of greys": (tiff(three(-1), photometric="rgb"), ".tif"),
            "TIFF, RGB of greys in planes": (tiff(three(0), photometric="rgb", planarconfig="separate"), ".tif"),
            "TIFF, alpha": (tiff(opaque, extrasamples=["unassalpha"]), ".tif"),
        }
        for dtype in (np.uint8, np.uint16):
            cases = self.cases(2, dtype)
            for what, (write, ending) in codings.items():
                with self.subTest(type=np.dtype(dtype).name, coding=what):
                    source, kept = self.make(cases, write, ending=ending)
                    self.assert_content(source, cases, kept)

    def test_codings_of_8_bits(self):
        cases = self.cases(2)
        codings = {
            "BMP": (pillow, ".bmp"),
            "PNG, RGB of greys": (lambda path, plane: pillow(path, plane, "RGB"), ".png"),
            "PNG, RGBA of greys": (lambda path, plane: pillow(path, plane, "RGBA"), ".png"),
            "PNG, alpha": (grey_alpha, ".png"),
            "PNG, palette of greys": (palette(GREYS), ".png"),
            "PNG, palette of greys backwards": (palette(GREYS[::-1], opposite), ".png"),
            "TIFF, palette of greys backwards": (palette(GREYS[::-1], opposite), ".tif"),
        }
        for what, (write, ending) in codings.items():
            with self.subTest(coding=what):
                source, kept = self.make(cases, write, ending=ending)
                self.assert_content(source, cases, kept)

    def test_codings_of_masks(self):
        """Labels 0 to 3, also as RGB of greys or in a palette, where the index is the label. Palettes that say
        something else, and white-is-zero in 16 bit, may be refused for what they are."""
        cases = self.cases()
        colours = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (0, 0, 128)]
        colourful = r"(?i)palett|colou?r"
        white16 = tiff(lambda plane: opposite(plane.astype(np.uint16)), photometric="miniswhite")
        codings = {
            "PNG": (pillow, ".png", None),
            "BMP": (pillow, ".bmp", None),
            "TIFF": (tiff(), ".tif", None),
            "16 bit": (changed(np.uint16), ".png", None),
            "float TIFF": (tiff(np.float32), ".tif", None),
            "grey with alpha": (grey_alpha, ".png", None),
            "RGB of greys": (changed(np.uint8, "RGB"), ".png", None),
            "palette of colours": (palette(colours), ".png", colourful),
            "TIFF, palette of colours": (palette(colours), ".tif", colourful),
            "palette of greys": (palette([GREYS[85 * k] for k in range(4)]), ".png", r"(?i)palett|85|170|255"),
            "palette of the labels' greys": (palette(GREYS), ".png", None),
            "white is zero": (tiff(**WHITE), ".tif", r"(?i)white"),
            "white is zero, 16 bit": (white16, ".tif", r"(?i)white"),
        }
        for what, (write, ending, reason) in codings.items():
            with self.subTest(coding=what):
                source, kept = self.make(cases, write_mask=write, mask_ending=ending)
                if reason:
                    self.content_or_refused(source, cases, kept, reason)
                else:
                    self.assert_content(source, cases, kept)

    def test_binary_masks(self):
        """1 is drawn as 1, as 255, or as the one bit of a picture, in all files alike: the same labels, loss, counts.
        One mask is empty."""
        cases = self.cases()
        for i, case in enumerate(cases):
            case.mask = (case.mask == 1).astype(np.uint8) * (i != 2)
        expected = self.expected_counts(cases, names(4), ["one"])
        losses = self.losses(self.make(cases)[0], classes=["one"])
        predictions = self.new("pred")
        predictions.mkdir()
        for name, wrong in zip(names(4), self.wrong(cases)):
            pillow(predictions / f"{name}.png", np.ascontiguousarray((wrong.mask[..., 0].T == 1).astype(np.uint8)))
        codings = {
            "255": (changed(lambda plane: 255 * plane), ".png"),
            "255, BMP": (changed(lambda plane: 255 * plane), ".bmp"),
            "255, RGB": (changed(lambda plane: 255 * plane, "RGB"), ".png"),
            "one bit": (changed(lambda plane: plane > 0), ".png"),
            "one bit, TIFF": (changed(lambda plane: plane > 0), ".tif"),
            "black and white palette": (palette([GREYS[0], GREYS[255]]), ".png"),
        }
        for what, (write, ending) in codings.items():
            with self.subTest(masks=what):
                source, kept = self.make(cases, write_mask=write, mask_ending=ending)
                # Prepared masks keep the numbers of their files; what these mean is decided where they are used.
                drawn = 1 if "palette" in what else 255
                self.assert_content(source, [dataclasses.replace(case, mask=drawn * case.mask) for case in cases], kept)
                self.assert_losses(self.losses(source, classes=["one"]), losses)
                self.assertEqual(self.counts(predictions, source, classes=["one"]), expected)

    def test_the_dataset_decides_what_255_is(self):
        """Greys 0, 128, 255 are drawn for background and two classes, but some files have no 128. The same grey is the
        same label in all files; or they are refused, with the greys."""
        cases = self.cases()
        greys = np.array([0, 128, 255, 255], np.uint8)
        for i, case in enumerate(cases):
            case.mask[case.mask == 3] = 2
            if i % 2:
                case.mask[case.mask == 1] = 0
        source, kept = self.make(cases, write_mask=changed(lambda plane: greys[plane]))
        out, done = self.prepare(source, run=self.any_exit)
        if done.returncode:
            self.assertEqual(done.returncode, 3)
            self.assertRegex(done.stderr, r"\b(128|255)\b")
            return
        meaning = {}
        found = {prepared["name"]: item["mask"] for prepared, item in zip(*read_dataset(out), strict=True)}
        for case, name in zip(cases, kept):
            for grey, label in zip(greys[case.mask[..., 0].T].ravel(), found[name].ravel()):
                meaning.setdefault(int(grey), set()).add(int(label))
        self.assertEqual({grey: len(labels) for grey, labels in meaning.items()}, {0: 1, 128: 1, 255: 1}, meaning)
        self.assertEqual((len(set.union(*meaning.values())), meaning[0]), (3, {0}), meaning)

    def test_255_to_be_ignored(self):
        """Masks of 0, 1 and 255, where 255 is to be ignored; some hold 0 and 255 alone. Loose pictures, volumes and the
        datasets prepared of them give the same loss."""
        cases = self.cases()
        for i, case in enumerate(cases):
            case.mask = np.choose(case.mask, [0, i % 2, 255, 0]).astype(np.uint8)
        made = {"pictures": self.make(cases), "volumes": self.pairs(cases, ".nii.gz")}
        expected = self.losses(self.pairs(cases, ".nrrd")[0], "data.ignore_label=255", classes=["one"])
        for what, (source, kept) in made.items():
            with self.subTest(what):
                self.assert_losses(self.losses(source, "data.ignore_label=255", classes=["one"]), expected)
            # `vmae prepare` is not told what is to be ignored: it keeps 255 as it is, or refuses it.
            with self.subTest(f"prepared {what}"):
                out = self.content_or_refused(source, cases, kept, r"255|ignore")
                if out:
                    self.assert_losses(self.losses(out, "data.ignore_label=255", classes=["one"]), expected)


class LabelsTest(MetamorphicTest):
    """A label is a number, whatever type holds it."""

    def check(self, ending, dtype, slope=1.0, factor=1.0):
        cases = DATASETS["8 bit"]()
        source, scaling = self.new(), {"slope": slope} if slope != 1 else {}
        for case, name in zip(cases, names(4)):
            m.write_image(source / f"images/{name}{ending}", case, ending)
            stored = (case.mask.astype(np.float64) * factor).astype(dtype)
            m.write_volume(source / f"labels/{name}{ending}", stored, case, ending, **scaling)
        self.assert_content(source, cases, [f"images/{name}{ending}" for name in names(4)])
        self.assertEqual(self.counts(self.predictions(cases, names(4)), source), self.expected_counts(cases, names(4)))

    def test_types(self):
        for ending in (".nii.gz", ".nrrd", ".mha"):
            for dtype in (np.int16, np.uint16, np.float32, np.float64):
                with self.subTest(ending=ending, type=np.dtype(dtype).name):
                    self.check(ending, dtype)

    def test_scaled(self):
        """Integers that a program stored with a scale factor, exactly or nearly."""
        for slope, factor, dtype in ((0.5, 2, np.int16), (1.0000153, 1, np.int16), (3.0518e-05, 32768, np.uint32),
                                     (1.0, 1 + 1e-4, np.float32)):
            with self.subTest(slope=slope, factor=factor):
                self.check(".nii.gz", dtype, slope, factor)


if __name__ == "__main__":
    unittest.main()
