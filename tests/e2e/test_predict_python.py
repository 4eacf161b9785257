# SPDX-License-Identifier: Apache-2.0
"""What vmae predict writes, against the Python model with the same weights on slices that are prepared here; and tiles without seams."""
import unittest

import nibabel
import numpy as np
from PIL import Image

from finetuning import HIPPOCAMPUS, FinetuneTest, best, class_picture, labelled_picture, python_model, python_probabilities, trained, write_nifti
from harness import picture, weights_of, write_safetensors


class SameAsPythonTest(FinetuneTest):
    def test_python_loads_our_files(self):
        from vmae_model import load_model
        for what in ("seg", "cls"):
            with self.subTest(what):
                self.assertEqual(load_model(str(best(trained(what)))).head.weight.shape[0], 3)

    def check_volume(self, volume, affine, slices_of, back, *more):
        """slices_of(volume) -> (n, rows, columns); back: a list of such -> the volume's axes."""
        write_nifti(self.tmp / "case.nii.gz", volume, affine)
        self.predict("--probabilities", *more, weights=trained("hippocampus"), input="case.nii.gz", output="out", cwd=self.tmp)
        low, high = np.percentile(volume.astype(np.float64), [0.5, 99.5])
        expected = python_probabilities(best(trained("hippocampus")), slices_of(volume.astype(np.float64)), low, high)
        for k, name in enumerate(("anterior", "posterior"), 1):
            found = np.asarray(nibabel.load(self.out / f"probabilities/case_{name}.nii.gz").dataobj)
            self.assertLess(np.abs(found - back(expected[:, k])).max(), 2e-4)
        labels, truth = np.asarray(nibabel.load(self.out / "case.nii.gz").dataobj), back(expected.argmax(1))
        top = np.sort(expected, 1)
        self.assertGreater((truth > 0).mean(), 0.01, "there is something to see")
        np.testing.assert_array_equal(labels[back(top[:, -1] - top[:, -2]) > 1e-3], truth[back(top[:, -1] - top[:, -2]) > 1e-3])
        self.assertGreater((labels == truth).mean(), 0.999)

    def test_voxels_of_a_hippocampus(self):
        """Slices along z, 35 x 51 pixels: one side barely shrinks to 32 or grows, the other shrinks by area."""
        file = sorted((HIPPOCAMPUS / "images").iterdir())[0]
        volume = np.asarray(nibabel.load(file).dataobj)[:, :, 10:25]
        self.assertNotEqual(volume.shape[0], volume.shape[1])
        self.check_volume(volume, np.eye(4), lambda v: v.transpose(2, 1, 0), lambda p: p.transpose(2, 1, 0))

    def test_voxels_of_small_slices(self):
        """Both sides grow; batches of 4 do not divide 15 slices."""
        volume = np.asarray(nibabel.load(sorted((HIPPOCAMPUS / "images").iterdir())[1]).dataobj)[4:33, 14:40, 10:25]
        self.check_volume(volume, np.diag([-1, -1, 2, 1]), lambda v: v.transpose(2, 1, 0), lambda p: p.transpose(2, 1, 0), "--batch", "4")

    def test_scaled_integers(self):
        """Slope and intercept of the file change nothing: percentiles decide."""
        volume = np.asarray(nibabel.load(sorted((HIPPOCAMPUS / "images").iterdir())[0]).dataobj)[:, :, 12:18].astype(np.float64)
        outputs = []
        for name, slope, inter in (("plain", 1, 0), ("scaled", 0.5, -30)):
            image = nibabel.Nifti1Image(volume.astype(np.int16), np.eye(4))
            image.header.set_slope_inter(slope, inter)
            nibabel.save(image, self.tmp / f"{name}.nii.gz")
            self.predict(weights=trained("hippocampus"), input=f"{name}.nii.gz", output=name)
            outputs.append(np.asarray(nibabel.load(self.out / f"{name}.nii.gz").dataobj))
        np.testing.assert_array_equal(*outputs)
        self.assertGreater(outputs[0].max(), 0)

    def test_pictures(self):
        """8 bits: divided by 255, then stretched to the extremes."""
        weights = best(trained("seg"))
        (self.tmp / "pictures").mkdir()
        for i in range(3):
            image, _ = labelled_picture(40 + i, 50 + i, 70 - 20 * i)
            Image.fromarray(image).save(self.tmp / f"pictures/p{i}.png")
        self.predict("--probabilities", weights=trained("seg"), input="pictures")
        for i in range(3):
            image = np.asarray(Image.open(self.tmp / f"pictures/p{i}.png")).astype(float)
            p = python_probabilities(weights, image[None], 0, 255)[0]
            found = np.stack([np.asarray(Image.open(self.out / f"probabilities/p{i}_{name}.png")).astype(float) for name in ("round", "square")])
            self.assertLess(np.abs(found - 255 * p[1:]).max(), 0.6)
            self.assertGreater((np.asarray(Image.open(self.out / f"p{i}.png")) == p.argmax(0)).mean(), 0.999)

    def test_classifier(self):
        weights = best(trained("cls"))
        (self.tmp / "pictures").mkdir()
        image = np.stack([class_picture(70 + i, i % 3) for i in range(6)])
        for i in range(6):
            Image.fromarray(image[i]).save(self.tmp / f"pictures/p{i}.png")
        self.predict(weights=trained("cls"), input="pictures")
        p = python_probabilities(weights, image.astype(float), 0, 255, minmax=False)
        table = self.table("cases.csv")
        found = np.asarray([[float(table[f"p{i}"][name]) for name in ("down", "none", "up")] for i in range(6)])
        np.testing.assert_allclose(found, p, atol=1e-4)
        self.assertGreater(np.ptp(p, axis=0).max(), 0.05)

    def test_mirror(self):
        """The mean over the four mirror images."""
        weights, image = best(trained("seg")), labelled_picture(60, 32, 32)[0]
        Image.fromarray(image).save(self.tmp / "p.png")
        self.predict("--mirror", "--probabilities", weights=trained("seg"), input="p.png")
        flips = [(), (0,), (1,), (0, 1)]
        p = np.mean([np.flip(python_probabilities(weights, np.flip(image, f)[None].astype(float), 0, 255)[0], [a + 1 for a in f]) for f in flips], 0)
        found = np.asarray(Image.open(self.out / "probabilities/p_round.png")).astype(float)
        self.assertLess(np.abs(found - 255 * p[1]).max(), 0.6)
        self.assertGreater(np.abs(p - python_probabilities(weights, image[None].astype(float), 0, 255)[0]).max(), 0.01)

    def test_several_weights(self):
        """The same model twice is that model; two models are their mean."""
        image = labelled_picture(61, 32, 32)[0]
        Image.fromarray(image).save(self.tmp / "p.png")
        arrays = weights_of(best(trained("seg")))
        from finetuning import metadata
        arrays["head.weight"] = arrays["head.weight"] * np.float32(0.3)
        write_safetensors(self.tmp / "other.safetensors", arrays, {k: v for k, v in metadata(best(trained("seg"))).items() if k != "checksum"})
        seg = trained("seg")
        found = {}
        for name, weights in (("one", [seg]), ("twice", [seg, best(seg)]), ("other", ["other.safetensors"]), ("both", [seg, "other.safetensors"])):
            self.predict("--probabilities", weights=weights, input="p.png", output=name)
            self.assertEqual(len(self.record(name)["weights"]), len(weights))
            found[name] = np.asarray(Image.open(self.out / "probabilities/p_round.png")).astype(float)
        np.testing.assert_array_equal(found["one"], found["twice"])
        self.assertLess(np.abs((found["one"] + found["other"]) / 2 - found["both"]).max(), 1.01)
        self.assertGreater(np.abs(found["one"] - found["both"]).max(), 3)
        self.assert_says(self.predict(weights=[seg, trained("none")], input="p.png", output="x", expect=4), "differs")
        self.assert_says(self.predict(weights=[seg, trained("cls")], input="p.png", output="x", expect=4), "one is swin-unet, another swin-classifier")


class TilesTest(FinetuneTest):
    """A model of 32 x 32 that was trained with data.resize=none, on larger pictures."""

    def probability(self, image, *more, name="p"):
        Image.fromarray(image).save(self.tmp / f"{name}.png")
        self.predict("--overwrite", "--probabilities", *more, weights=trained("none"), input=f"{name}.png")
        labels = np.asarray(Image.open(self.out / f"{name}.png"))
        p = np.stack([np.asarray(Image.open(self.out / f"probabilities/{name}_{c}.png")).astype(float) / 255 for c in ("round", "square")])
        self.assertEqual(labels.shape, image.shape)
        return p, labels

    def starts(self, length, side=32, step=16):
        n = -(-(length - side) // step)
        return [round((length - side) * i / n) for i in range(n + 1)] if n else [0]

    def test_blended_tiles(self):
        """Tile after tile in Python, with Gaussian weights of sigma side / 8."""
        import torch
        image, _ = labelled_picture(80, 60, 72)
        model = python_model(best(trained("none")))
        x = torch.tensor((image / 255 - 0.223) / 0.202, dtype=torch.float32)
        g = torch.exp(-(torch.arange(32.0) - 15.5) ** 2 / (2 * 4.0 ** 2))
        weight = torch.outer(g, g).clamp_min(1e-4)
        total, norm, flat, count = torch.zeros(3, 60, 72), torch.zeros(60, 72), torch.zeros(3, 60, 72), torch.zeros(60, 72)
        for top in self.starts(60):
            for left in self.starts(72):
                with torch.no_grad():
                    p = model(x[top:top + 32, left:left + 32][None, None]).softmax(1)[0]
                total[:, top:top + 32, left:left + 32] += p * weight
                norm[top:top + 32, left:left + 32] += weight
                flat[:, top:top + 32, left:left + 32] += p
                count[top:top + 32, left:left + 32] += 1
        expected = (total / norm).numpy()
        p, labels = self.probability(image)
        self.assertLess(np.abs(p - expected[1:]).max(), 0.003)
        self.assertGreater((labels == expected.argmax(0)).mean(), 0.999)
        self.assertGreater(len(np.unique(labels)), 1)
        self.assertGreater(np.abs(p - (flat / count).numpy()[1:]).max(), 0.01, "the weights matter")

    def test_no_seams(self):
        """Without its first 16 columns, a picture is divided into tiles at other places of its content. With overlap that hardly matters; without it does."""
        difference = {}
        for overlap in ("0.5", "0"):
            pairs = []
            for i in range(3):
                image = picture(200 + i, 64, 112).astype(np.uint8)
                whole, part = (self.probability(x, "--overlap", overlap)[0] for x in (image, image[:, 16:]))
                pairs.append(np.abs(whole[..., 48:] - part[..., 32:]).mean())
            difference[overlap] = np.mean(pairs)
        self.assertLess(difference["0.5"], 0.3 * difference["0"], difference)

    def test_constant_picture(self):
        """However many tiles there are, a constant picture gives each place of a tile's grid what one tile gives; far from the picture's border it repeats."""
        p, labels = self.probability(np.full((32, 32), 120, np.uint8))
        large, large_labels = self.probability(np.full((80, 112), 120, np.uint8), name="large")
        self.assertLess(np.abs(large).max(), np.abs(p).max() + 0.005)
        self.assertGreater(np.abs(large).min(), np.abs(p).min() - 0.005)
        np.testing.assert_allclose(large[:, 16:64, 16:80], large[:, 16:64, 32:96], atol=0.005)

    def test_smaller_pictures_lie_in_the_middle(self):
        import torch
        image, _ = labelled_picture(81, 20, 26)
        canvas = np.zeros((32, 32))
        canvas[6:26, 3:29] = image / 255
        with torch.no_grad():
            expected = python_model(best(trained("none")))(torch.tensor((canvas - 0.223) / 0.202, dtype=torch.float32)[None, None]).softmax(1)[0].numpy()
        p, _ = self.probability(image)
        self.assertLess(np.abs(p - expected[1:, 6:26, 3:29]).max(), 0.003)

    def test_never_and_always(self):
        image, _ = labelled_picture(82, 60, 72)
        auto, never, always = (self.probability(image, "--tiles", how)[0] for how in ("auto", "never", "always"))
        np.testing.assert_array_equal(auto, always)
        self.assertGreater(np.abs(auto - never).max(), 0.1)
        expected = python_probabilities(best(trained("none")), image[None].astype(float), 0, 255, minmax=False)[0]
        self.assertLess(np.abs(never - expected[1:]).max(), 0.003)


if __name__ == "__main__":
    unittest.main()
