# SPDX-License-Identifier: Apache-2.0
"""NIfTI as nibabel reads it: generated headers through `vmae inspect --json`, masks of several volumes through prepare, predict and eval."""
import csv
import json
import unittest

import nibabel
import numpy as np

from harness import VmaeTest

LPS = np.diag([-1.0, -1, 1, 1])


def random_axes(random):
    return np.linalg.qr(random.normal(size=(3, 3)))[0]


def affine_of(axes, sizes, origin):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes * sizes, origin
    return affine


class NiftiFiles(VmaeTest):
    def save(self, name, data, affine=None, sform=1, qform=1, kind=nibabel.Nifti1Image, **fields):
        """affine: of both forms, or (sform, qform)."""
        pair = affine if isinstance(affine, tuple) else (affine, affine)
        image = kind(data, None if affine is None else pair[0], dtype=data.dtype)
        if affine is not None:
            image.header.set_qform(pair[1], qform)  # pixdim is the qform's
            image.header.set_sform(pair[0], sform)
        for key, value in fields.items():
            image.header[key] = value
        path = self.tmp / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.to_filename(path)
        return path

    def inspected(self, path, *more):
        return json.loads(self.vmae("inspect", path, "--json", *more).stdout)["images"][0]

    def expect_like(self, path, affine, tolerance=2e-6):
        """Place, size and voxels (the first volume's mean, smallest and largest value) as nibabel has them."""
        found, image = self.inspected(path), nibabel.load(path)
        axes = np.array(found["direction"]).reshape(3, 3)
        got = affine_of(axes, np.array(found["spacing_mm"]), found["origin_mm"])
        want = LPS @ affine
        sizes = np.linalg.norm(want[:3, :3], axis=0)
        np.testing.assert_allclose(got[:3, :3] / sizes, want[:3, :3] / sizes, atol=tolerance)
        np.testing.assert_allclose(got[:3, 3], want[:3, 3], rtol=1e-6, atol=1e-6)
        data = np.asarray(image.dataobj)
        data = data.reshape(*data.shape[:3], -1)[..., 0]
        self.assertEqual(found["size"], list(data.shape) + [1] * (3 - data.ndim))
        np.testing.assert_allclose([found["values"][k] for k in ("min", "max", "mean")], [data.min(), data.max(), data.mean()], rtol=1e-5)
        return found


class Geometry(NiftiFiles):
    def test_generated_headers(self):
        random = np.random.default_rng(5)
        types = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64)
        codes = ((1, 1), (2, 1), (1, 0), (3, 0), (0, 1), (0, 2), (4, 4))
        for i in range(70):
            sizes = 10 ** random.uniform(-2, 1, 3)
            axes = random_axes(random) if i % 3 else np.eye(3)[random.permutation(3)] * random.choice([-1, 1], 3)
            affine = affine_of(axes, sizes, random.normal(size=3) * 10 ** random.uniform(0, 3))
            shape = [(4, 5, 6), (4, 5, 6, 3), (7, 3, 1), (4, 5, 6, 1, 2)][i % 4]
            kind = nibabel.Nifti2Image if i % 7 == 3 else nibabel.Nifti1Image
            data = random.integers(0, 100, shape).astype(types[i % len(types)])
            sform, qform = codes[i % len(codes)]
            with self.subTest(i=i, sform=sform, qform=qform, sizes=sizes):
                path = self.save(f"g{i}.nii{'.gz' if i % 2 else ''}", data, affine, sform, qform, kind)
                found = self.expect_like(path, nibabel.load(path).affine)
                volumes = int(np.prod(shape[3:]))
                self.assertEqual(found.get("time_points", 1), volumes)

    def test_scaled_integers(self):
        random = np.random.default_rng(6)
        for i in range(6):
            image = nibabel.Nifti1Image(random.normal(100, 400, (4, 5, 6)), np.diag([1, 2, 3, 1.0]))
            image.set_data_dtype([np.int16, np.uint8, np.int32][i % 3])
            image.to_filename(self.tmp / f"s{i}.nii.gz")
            self.expect_like(self.tmp / f"s{i}.nii.gz", image.affine)

    def test_nearly_perpendicular_axes_and_small_voxels(self):
        random = np.random.default_rng(7)
        data = random.integers(0, 100, (4, 5, 6)).astype(np.int16)
        for sizes in ([0.001, 0.001, 0.004], [0.02, 0.02, 0.02], [0.7, 0.7, 5]):
            for error in (0, 3e-4, 5e-4, 1e-3):
                affine = affine_of(random_axes(random), np.array(sizes), [755, -300, 1000])
                affine[:3, 0] += error * affine[:3, 1] * sizes[0] / sizes[1]
                with self.subTest(sizes=sizes, error=error):
                    self.expect_like(self.save("v.nii.gz", data, affine, 1, 0), affine, tolerance=error + 2e-6)

    def test_sheared_and_scaled(self):
        data = np.ones((4, 5, 6), np.int16)
        sheared = affine_of(np.array([[1, 0, 0], [0, 1, 0.3], [0, 0, 1]]), np.array([1, 1, 2]), [0, 0, 0])
        for name, affine, fields, words in (("sheared.nii", sheared, {}, ("not perpendicular", "resample")),
                                            ("scaled.nii", np.diag([2, 2, 2, 1.0]), {"pixdim": [1, 1, 1, 1, 1, 1, 1, 1]}, ("2 x 2 x 2", "pixdim"))):
            with self.subTest(name):
                self.save(name, data, affine, 1, 0, **fields)
                said = self.vmae("inspect", name, "--json", expect=3).stderr
                for word in (name, *words):
                    self.assertIn(word, said)
        # With a qform, that is read: by the axes that it has.
        self.save("both.nii", data, (sheared, np.diag([1, 1, 2, 1.0])), 1, 1)
        self.assertEqual(np.abs(self.inspected(self.tmp / "both.nii")["direction"]).tolist(), np.eye(3).ravel().tolist())

    def test_forms_that_differ(self):
        data = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
        plain, moved = np.diag([1, 1, 2, 1.0]), affine_of(np.eye(3), np.array([1, 1, 2]), [0, 6, 0])
        self.save("s/images/a.nii.gz", data, plain)
        self.save("s/labels/a.nii.gz", (data > 50).astype(np.uint8), (plain, moved), 2, 1)
        said = self.vmae("inspect", "s", expect=3).stderr
        self.assertIn("lies elsewhere along axis 1", said)
        self.assertIn("the qform and the sform of the mask lie up to 6 voxels apart; its qform is used", said)
        self.save("t/images/a.nii.gz", data, (plain, moved), 2, 1)
        self.save("t/labels/a.nii.gz", (data > 50).astype(np.uint8), (plain, moved), 2, 1)
        self.vmae("inspect", "t")  # both by the same rule


class MaskFiles(NiftiFiles):

    def source(self, name, images, masks):
        for i, (image, mask) in enumerate(zip(images, masks)):
            self.save(f"{name}/images/c{i}.nii.gz", image, np.diag([1, 1, 3, 1.0]))
            self.save(f"{name}/labels/c{i}.nii.gz", mask, np.diag([1, 1, 3, 1.0]))

    def prepared(self, name, expect=0):
        (self.tmp / "salt").write_text("0123456789abcdef")
        self.vmae("prepare", "--input", name, "--output", f"{name}-prepared", "prepare.salt_file=salt", expect=expect)
        return f"{name}-prepared"

    def cases(self, folder):
        """What the masks are, by the counts that training reports."""
        said = self.vmae("finetune-seg", *TINY, f"data.train={folder}", "data.val_fraction=0", "run.dir=run-" + folder, "--dry-run").stderr
        return [line[line.index("training masks"):] for line in said.splitlines() if "training masks" in line]


TINY = ["model.image_size=[32,32]", "model.in_channels=1", "model.embed_dim=4", "model.num_heads=[1,1,2,2]", "train.batch_size=4", "train.epochs=1",
        "train.precision=fp32", "optim.warmup_epochs=0", "run.threads=1", "run.device=cpu", "data.workers=1"]


def moving():
    random, masks, images = np.random.default_rng(8), [], []
    for i in range(4):
        mask = np.zeros((24, 24, 4, 3), np.uint8)
        for t in range(3):
            mask[2 + 5 * t:9 + 6 * t, 4:12, 1:3, t] = 1
        masks.append(mask)
        images.append((random.normal(50, 5, mask.shape) + 100 * mask).astype(np.float32))
    return images, masks


class TimePoints(MaskFiles):
    def test_each_time_point_has_its_own_mask(self):
        images, masks = moving()
        self.source("together", images, masks)
        apart = [(image[..., t], mask[..., t]) for image, mask in zip(images, masks) for t in range(3)]
        self.source("apart", *zip(*apart))
        self.source("one-for-all", images, [mask[..., 0] for mask in masks])
        self.assertEqual(self.cases("together"), self.cases("apart"))
        self.assertEqual(self.cases(self.prepared("together")), self.cases("apart"))
        self.assertNotEqual(self.cases("together"), self.cases("one-for-all"))

    def test_predictions_of_time_points_are_evaluated(self):
        images, masks = moving()
        self.source("data", images, masks)
        for i, mask in enumerate(masks):
            for t in range(3):
                wrong = mask[..., t].copy()
                wrong[:, :, 1] = 0  # half of it
                self.save(f"predicted/images/c{i}_t{t}.nii.gz", wrong, np.diag([1, 1, 3, 1.0]))
        self.vmae("eval", "--pred", "predicted", "--truth", "data", "--output", "eval")
        with open(self.tmp / "eval/cases.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 12)
        for row in rows:
            self.assertAlmostEqual(float(row["Dice"]), 2 / 3, places=5)

    def test_other_numbers_of_volumes(self):
        images, masks = moving()
        self.source("data", images, [mask[..., :2] for mask in masks])
        folder = self.prepared("data", expect=3)
        self.assertIn("holds 2 volumes, the image 3", (self.tmp / folder / "quarantine.jsonl").read_text())


class Channels(MaskFiles):
    def labels(self):
        random, labels = np.random.default_rng(9), []
        for _ in range(4):
            label = np.zeros((24, 24, 4), np.uint8)
            label[2:8, 4:12, 1:3], label[12:20, 4:12, 1:3] = 1, 2
            labels.append(label)
        return [(random.normal(50, 5, label.shape) + 60 * label).astype(np.float32) for label in labels], labels

    def test_channels_are_their_classes(self):
        images, labels = self.labels()
        self.source("numbers", images, labels)
        expected = self.cases("numbers")
        for name, first, value, dtype in (("with", 0, 1, np.uint8), ("without", 1, 1, np.uint8), ("of_255", 0, 255, np.uint8), ("floats", 0, 1, np.float32)):
            with self.subTest(name):
                self.source(name, images, [np.stack([value * (label == k) for k in range(first, 3)], -1).astype(dtype) for label in labels])
                self.assertEqual(self.cases(name), expected)
                self.vmae("eval", "--pred", f"{name}/labels", "--truth", "numbers/labels", "--output", f"eval-{name}")
                with open(self.tmp / f"eval-{name}/cases.csv", newline="") as file:
                    self.assertEqual({float(row["Dice"]) for row in csv.DictReader(file)}, {1.0})

    def test_what_is_no_channel_per_class(self):
        images, labels = self.labels()
        overlapping = np.stack([labels[0] > 0, labels[0] == 2], -1).astype(np.uint8)
        soft = np.stack([np.full(labels[0].shape, 0.5), np.full(labels[0].shape, 0.5)], -1).astype(np.float32)
        for name, mask, reason in (("overlapping", overlapping, "channels 0 and 1 overlap"), ("soft", soft, "channel 0 holds the value 0.5")):
            with self.subTest(name):
                self.source(name, images[:1], [mask])
                said = self.vmae("inspect", name, expect=3).stderr
                for word in ("c0.nii.gz", "holds 2 volumes where one label map is meant", reason):
                    self.assertIn(word, said)

    def test_scale_factors_of_labels(self):
        images, labels = self.labels()
        self.source("numbers", images, labels)
        for i, label in enumerate(labels):
            self.save(f"scaled/images/c{i}.nii.gz", images[i], np.diag([1, 1, 3, 1.0]))
            path = self.save(f"scaled/labels/c{i}.nii", label, np.diag([1, 1, 3, 1.0]))
            raw = bytearray(path.read_bytes())
            raw[112:116] = np.float32(1.0000153).tobytes()
            path.write_bytes(raw)
        self.assertEqual(self.cases("scaled"), self.cases("numbers"))


if __name__ == "__main__":
    unittest.main()
