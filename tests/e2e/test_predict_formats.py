# SPDX-License-Identifier: Apache-2.0
"""vmae predict: what goes in comes out in the same format on the same grid, whatever the format; labels, probabilities, components."""
import gzip
import json
import re
import unittest
import zlib

import nibabel
import numpy as np
from PIL import Image

from finetuning import FinetuneTest, labelled_picture, make_segmentation, trained, volume_of_pictures, write_nifti


def components(mask):
    """Numbers of the parts that touch, also at corners; and how many there are."""
    parts, count = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask)):
        if parts[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            y, x = stack.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and mask[y, x] and not parts[y, x]:
                parts[y, x] = count
                stack += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return parts, count


class VolumeFormatsTest(FinetuneTest):
    def labels_by_slice(self, volume):
        """What the segmenter makes of it as a plain NIfTI; all formats must agree."""
        write_nifti(self.tmp / "plain/v.nii.gz", volume, np.diag([1, 1, 3, 1]))
        self.predict("--overwrite", weights=trained("seg"), input="plain", output="plain-out")
        labels = np.asarray(nibabel.load(self.tmp / "plain-out/v.nii.gz").dataobj)
        self.assertGreater((labels > 0).sum(), 50)
        return labels

    def test_nifti_with_oblique_and_sheared_directions(self):
        c, s = np.cos(0.4), np.sin(0.4)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
        affines = {"oblique": turn @ np.diag([0.8, 1.1, 4]), "flipped": np.diag([-1.0, 1, 3]), "sheared": np.array([[0.9, 0.2, 0.1], [0, 1.1, 0.3], [0, 0, 3.5]])}
        volume = volume_of_pictures()
        expected = self.labels_by_slice(volume)
        for name, matrix in affines.items():
            for ending in (".nii.gz", ".nii"):
                with self.subTest(name + ending):
                    affine = np.eye(4)
                    affine[:3, :3], affine[:3, 3] = matrix, (-31.5, 22.25, 7.125)
                    image = nibabel.Nifti1Image(volume, affine)
                    image.set_qform(affine, 1)  # of the sheared one the nearest that a quaternion can hold
                    image.set_sform(affine, 2)
                    image.header.set_xyzt_units("mm", "sec")
                    (self.tmp / name).mkdir(exist_ok=True)
                    nibabel.save(image, self.tmp / name / f"v{ending}")
                    self.predict("--overwrite", "--probabilities", weights=trained("seg"), input=f"{name}/v{ending}")
                    written = nibabel.load(self.out / f"v{ending}")
                    np.testing.assert_allclose(written.affine, affine, atol=1e-5)
                    np.testing.assert_allclose(written.get_sform(), image.get_sform(), atol=1e-5)
                    np.testing.assert_allclose(written.header.get_zooms(), image.header.get_zooms(), rtol=1e-5)
                    np.testing.assert_allclose(written.get_qform(), image.get_qform(), atol=1e-5)
                    self.assertEqual(written.get_data_dtype(), np.uint8)
                    np.testing.assert_array_equal(np.asarray(written.dataobj), expected)
                    self.assertEqual(written.header["scl_slope"] in (0, 1) or np.isnan(written.header["scl_slope"]), True)
                    probability = nibabel.load(self.out / "probabilities/v_round.nii.gz")
                    np.testing.assert_allclose(probability.affine, affine, atol=1e-5)

    def test_nifti_that_is_sheared_by_its_sform_alone(self):
        """ITK can't hold such a grid: the file is named, not read as something else. (With a qform beside it, it is read.)"""
        affine = np.array([[0.9, 0.2, 0.1, 4], [0, 1.1, 0.3, 5], [0, 0, 3.5, 6], [0, 0, 0, 1]])
        write_nifti(self.tmp / "v.nii.gz", volume_of_pictures(), affine)
        self.assert_says(self.predict(weights=trained("seg"), input="v.nii.gz", expect=3), "v.nii.gz", "not perpendicular", "resample it")

    def test_nrrd_and_metaimage(self):
        volume = volume_of_pictures(1)
        expected = self.labels_by_slice(volume)
        direction = np.array([[0.8, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]]) @ np.diag([1, 1, 1])
        origin, spacing = [4.5, -3.25, 17], [0.8, 1.0, 3.0]
        vectors = [direction[:, i] / np.linalg.norm(direction[:, i]) * spacing[i] for i in range(3)]
        text = " ".join("(" + ",".join(repr(float(x)) for x in v) + ")" for v in vectors)
        (self.tmp / "in").mkdir()
        data = volume.tobytes(order="F")
        header = (f"NRRD0004\ntype: float\ndimension: 3\nspace: left-posterior-superior\nsizes: 34 40 5\nspace directions: {text}\n"
                  f"kinds: domain domain domain\nendian: little\nencoding: gzip\nspace origin: ({','.join(map(str, origin))})\n\n")
        (self.tmp / "in/a.nrrd").write_bytes(header.encode() + gzip.compress(data))
        matrix = " ".join(repr(float(x)) for v, s in zip(vectors, spacing) for x in v / s)
        header = ("ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
                  f"TransformMatrix = {matrix}\nOffset = {' '.join(map(str, origin))}\nElementSpacing = {' '.join(map(str, spacing))}\n"
                  "DimSize = 34 40 5\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n")
        (self.tmp / "in/b.mha").write_bytes(header.encode() + data)
        self.predict("--probabilities", weights=trained("seg"), input="in")
        self.assertEqual(self.written(), sorted(["a.nrrd", "b.mha", "predict.json", *(f"probabilities/{n}_{c}.nii.gz" for n in "ab" for c in ("round", "square"))]))
        header, voxels = (self.out / "a.nrrd").read_bytes().split(b"\n\n", 1)
        fields = dict(line.split(": ", 1) for line in header.decode().splitlines() if ": " in line and not line.startswith("#"))
        voxels = gzip.decompress(voxels) if fields["encoding"].startswith("gz") else voxels
        np.testing.assert_array_equal(np.frombuffer(voxels, np.uint8).reshape(volume.shape, order="F"), expected)
        numbers = lambda value: [float(x) for x in re.findall(r"[-+0-9.e]+", value)]
        np.testing.assert_allclose(numbers(fields["space directions"]), np.concatenate(vectors), atol=1e-6)
        np.testing.assert_allclose(numbers(fields["space origin"]), origin, atol=1e-6)
        self.assertEqual(fields["space"], "left-posterior-superior")
        header, voxels = re.match(rb"(.*?ElementDataFile = LOCAL\n)(.*)", (self.out / "b.mha").read_bytes(), re.S).groups()
        fields = dict(line.split(" = ", 1) for line in header.decode().splitlines())
        voxels = zlib.decompress(voxels) if fields.get("CompressedData") == "True" else voxels
        np.testing.assert_array_equal(np.frombuffer(voxels, np.uint8).reshape(volume.shape, order="F"), expected)
        np.testing.assert_allclose(numbers(fields["TransformMatrix"]), numbers(matrix), atol=1e-6)
        np.testing.assert_allclose(numbers(fields["Offset"]), origin, atol=1e-6)
        np.testing.assert_allclose(numbers(fields["ElementSpacing"]), spacing, atol=1e-6)

    def test_other_slice_axes(self):
        """Thick slices along x or y are the slices that are predicted, wherever they lie in the file."""
        volume = volume_of_pictures(2)
        expected = self.labels_by_slice(volume)  # (x, y, slices)
        for axis, order in ((0, (2, 0, 1)), (1, (0, 2, 1))):
            spacing = [1.0] * 4
            spacing[axis] = 3.0
            write_nifti(self.tmp / f"axis{axis}.nii.gz", volume.transpose(order), np.diag(spacing))
            self.predict("--overwrite", weights=trained("seg"), input=f"axis{axis}.nii.gz")
            np.testing.assert_array_equal(np.asarray(nibabel.load(self.out / f"axis{axis}.nii.gz").dataobj), expected.transpose(order))

    def test_time_points(self):
        volume = np.stack([volume_of_pictures(3), volume_of_pictures(4)], -1)
        image = nibabel.Nifti1Image(volume, np.diag([1, 1, 3, 1]))
        nibabel.save(image, self.tmp / "film.nii.gz")
        self.predict(weights=trained("seg"), input="film.nii.gz")
        self.assertEqual(self.written(), ["film_t0.nii.gz", "film_t1.nii.gz", "predict.json"])
        for t in range(2):
            written = nibabel.load(self.tmp / f"out/film_t{t}.nii.gz")
            self.assertEqual(written.shape, volume.shape[:3])
            np.testing.assert_array_equal(np.asarray(written.dataobj), self.labels_by_slice(volume[..., t]))

    def test_a_prepared_dataset(self):
        """Prepared without loss (native values of 16 bit): the same labels, on the grid of the original."""
        affine = np.diag([-0.9, 1.2, 3.0, 1.0])
        affine[:3, 3] = 1, 2, 3
        for i in range(2):
            write_nifti(self.tmp / f"in/v{i}.nii.gz", volume_of_pictures(5 + i).astype(np.int16), affine)
        self.predict(weights=trained("seg"), input="in", output="direct")
        self.vmae("prepare", "--input", "in", "--output", "prepared", "prepare.names=keep", "prepare.bits=16")
        self.predict(weights=trained("seg"), input="prepared")
        found = sorted(p for p in self.out.rglob("*.nii.gz"))
        self.assertEqual(len(found), 2, self.written())
        for file, original in zip(found, sorted((self.tmp / "direct").glob("*.nii.gz"))):
            a, b = nibabel.load(file), nibabel.load(original)
            np.testing.assert_allclose(a.affine, b.affine, atol=1e-5)
            self.assertGreater((np.asarray(a.dataobj) == np.asarray(b.dataobj)).mean(), 0.995)


class PicturesTest(FinetuneTest):
    def test_png_tiff_jpeg_bmp_and_colour(self):
        """Each becomes a PNG of its size with the class numbers as values; a.png and a.tif keep their endings."""
        folder = self.tmp / "in"
        (folder / "deep").mkdir(parents=True)
        image, _ = labelled_picture(20)
        grey = Image.fromarray(image)
        grey.save(folder / "a.png"), grey.save(folder / "a.tif"), grey.save(folder / "deep/c.bmp"), grey.convert("RGB").save(folder / "d.png")
        Image.fromarray(image.astype(np.uint16) * 257).save(folder / "e.png")
        self.predict(weights=trained("seg"), input="in")
        names = [name for name in self.written() if name != "predict.json"]
        self.assertEqual(names, ["a.png.png", "a.tif.png", "d.png", "deep/c.png", "e.png"])
        labels = [np.asarray(Image.open(self.out / name)) for name in names]
        self.assertEqual(labels[0].shape, image.shape)
        self.assertEqual(labels[0].dtype, np.uint8)
        self.assertLessEqual(labels[0].max(), 2)
        for name, one in zip(names[1:], labels[1:]):
            self.assertGreater((one == labels[0]).mean(), 0.999, name)

    def test_labels_and_probabilities(self):
        """Values within [0, 1]; with the background they sum to 1; labels are the largest."""
        write_nifti(self.tmp / "v.nii.gz", volume_of_pictures(), np.diag([1, 1, 3, 1]))
        self.predict("--probabilities", weights=trained("seg"), input="v.nii.gz")
        p = np.stack([np.asarray(nibabel.load(self.out / f"probabilities/v_{c}.nii.gz").dataobj) for c in ("round", "square")])
        labels = np.asarray(nibabel.load(self.out / "v.nii.gz").dataobj)
        self.assertEqual(p.dtype.kind, "f")
        self.assertTrue((p >= 0).all() and (p.sum(0) <= 1 + 1e-5).all())
        every = np.concatenate([1 - p.sum(0, keepdims=True), p])
        top = np.sort(every, 0)
        sure = top[-1] - top[-2] > 1e-5
        np.testing.assert_array_equal(labels[sure], every.argmax(0)[sure])
        self.assertGreater(len(np.unique(labels)), 1)

    def test_largest_component(self):
        """Of each class the largest part, by itself; of noise a segmenter makes many."""
        Image.fromarray(np.random.default_rng(3).integers(0, 255, (16, 16), dtype=np.uint8).repeat(8, 0).repeat(8, 1)).save(self.tmp / "p.png")
        self.predict(weights=trained("seg"), input="p.png", output="all")
        self.predict("--largest-component", weights=trained("seg"), input="p.png")
        before, after = (np.asarray(Image.open(self.tmp / out / "p.png")) for out in ("all", "out"))
        for value in (1, 2):
            parts, count = components(before == value)
            sizes = np.bincount(parts.ravel())[1:]
            self.assertGreater(count, 1)
            self.assertGreater(*sorted(sizes)[:-3:-1], "the largest is one")
            np.testing.assert_array_equal(after == value, parts == 1 + sizes.argmax())

    def test_postprocessing(self):
        """As a file says: of both classes together the largest part, then of one of them; of equal ones all stay."""
        Image.fromarray(np.random.default_rng(3).integers(0, 255, (16, 16), dtype=np.uint8).repeat(8, 0).repeat(8, 1)).save(self.tmp / "p.png")
        steps = [{"labels": [1, 2]}, {"labels": [2]}]
        (self.tmp / "found.json").write_text(json.dumps({"steps": steps}))
        self.predict(weights=trained("seg"), input="p.png", output="all")
        done = self.predict("--postprocessing", "found.json", weights=trained("seg"), input="p.png")
        self.assertIn("the largest component of all of round, square, then of square", done.stderr)
        self.assertEqual(self.record()["options"]["postprocessing"], steps)
        self.assertNotIn("postprocessing", self.record("all")["options"])
        expected = before = np.asarray(Image.open(self.tmp / "all/p.png"))
        for step in steps:
            mask = np.isin(expected, step["labels"])
            parts, count = components(mask)
            self.assertGreater(count, 1)
            sizes = np.bincount(parts.ravel())
            expected = np.where(mask & (sizes[parts] < sizes[1:].max()), 0, expected)
        self.assertTrue((expected != before).any() and expected.any())
        np.testing.assert_array_equal(np.asarray(Image.open(self.out / "p.png")), expected)
        (self.tmp / "found.json").write_text('{"steps": [{"labels": [3]}]}')
        done = self.predict("--postprocessing", "found.json", weights=trained("seg"), input="p.png", output="none", expect=2)
        self.assert_says(done, "found.json: the model writes none of the labels 3, but 1, 2", "--postprocessing none")

    def test_nnunet_names(self):
        make_segmentation(self.tmp / "raw", 3)
        files = sorted((self.tmp / "raw/images").iterdir())
        for file in files:
            file.rename(self.tmp / f"raw/images/{file.stem}_0000.png")
        self.predict(weights=trained("seg"), input="raw/images")
        self.assertEqual(self.written(), ["case000.png", "case001.png", "case002.png", "predict.json"])


if __name__ == "__main__":
    unittest.main()
