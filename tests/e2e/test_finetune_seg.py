# SPDX-License-Identifier: Apache-2.0
"""vmae finetune-seg: it learns, measures Dice, keeps the best, and its options do what they say."""
import json
import re
import unittest

import nibabel
import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, SWIN, FinetuneTest, best, hippocampus, last, make_segmentation, metadata, trained
from harness import last_step, metrics, read_arrays, write_safetensors


def dice(first, second):
    return 2 * (first & second).sum() / (first.sum() + second.sum())


class LearningTest(FinetuneTest):
    def test_overfits_slices_of_the_hippocampus(self):
        """Eight slices each of two volumes; the same under other names validate. Dice is also counted here, from what `vmae predict` writes."""
        hippocampus(self.tmp / "data", 2), hippocampus(self.tmp / "again", 2, prefix="again_")
        self.seg("data.classes=[anterior,posterior]", "data.val=again", "train.epochs=80", "train.validate_every=20", "optim.lr=3e-3", "optim.warmup_epochs=3",
                 "loss.balance=inverse_frequency", "model.image_size=[64,64]", "model.embed_dim=12", "model.drop_path_rate=0", "data.slice_axis=z", *NO_AUGMENTATION)
        final = metrics(self.tmp / "run", "val")[-1]
        self.assertGreater(final["Dice"], 0.8)
        self.assertAlmostEqual(final["Dice"], (final["Dice/anterior"] + final["Dice/posterior"]) / 2, places=9)
        self.predict(input="data/images")
        for file in sorted((self.tmp / "data/labels").iterdir()):
            truth, found = (np.asarray(nibabel.load(path).dataobj) for path in (file, self.out / file.name))
            for value in (1, 2):
                self.assertGreater(dice(truth == value, found == value), 0.8, f"{file.name}, class {value}")

    def test_losses_all_learn(self):
        make_segmentation(self.tmp / "data", 8)
        for loss in (["loss.name=ce"], ["loss.name=dice", "loss.dice=generalised"], ["loss.name=dice_focal", "loss.dice=squared"],
                     ["loss.name=dice_ce", "loss.class_weights=[0.2,1,1]", "loss.batch_dice=false", "loss.include_background=true"]):
            with self.subTest(loss):
                self.seg("--overwrite", "train.epochs=14", "optim.lr=5e-3", *loss)
                losses = [line["loss"] for line in metrics(self.tmp / "run", "train")]
                self.assertLess(np.mean(losses[-3:]), 0.9 * losses[0])
        unused = ["loss.focal_gamma=3", "loss.smooth=1e-3", "loss.dice_weight=2"]
        self.assertRegex(self.seg("--overwrite", "loss.name=ce", *unused).stderr,
                         r"warning means nothing with .*, loss.name = ce: loss.dice_weight = 2, loss.smooth = 0.001, loss.focal_gamma = 3\n")
        self.assertIn("loss.name = dice: loss.dice_weight = 2, loss.focal_gamma = 3\n", self.seg("--overwrite", "loss.name=dice", *unused).stderr)
        self.assertNotIn("means nothing", self.seg("--overwrite", "loss.name=dice_focal", *unused).stderr)
        self.assert_says(self.seg("--overwrite", "loss.class_weights=[1,2]", expect=2), "loss.class_weights", "3")


class MetricsTest(FinetuneTest):
    def test_validation_lines_panels_and_metadata(self):
        make_segmentation(self.tmp / "data", 8)
        self.seg("data.classes=[round,square]", "train.epochs=3", "train.draw_every=2")
        lines = metrics(self.tmp / "run", "val")
        self.assertEqual(len(lines), 3)
        for line in lines:
            self.assertEqual(set(line), {"kind", "step", "epoch", "Dice", "Dice/round", "Dice/square", "loss"})
            self.assertAlmostEqual(line["Dice"], (line["Dice/round"] + line["Dice/square"]) / 2, places=9)
            self.assertTrue(np.isfinite(line["loss"]))
        panels = sorted(p.name for p in (self.tmp / "run/samples").iterdir())
        self.assertEqual(panels, ["overlay_epoch0001.png", "overlay_epoch0002.png", "overlay_epoch0003.png"])
        panel = np.asarray(Image.open(self.tmp / "run/samples" / panels[-1])).astype(int)
        self.assertGreater((np.ptp(panel, axis=-1) > 60).sum(), 100, "classes are in colour over the grey image")
        meta = metadata(best(self.tmp / "run"))
        self.assertEqual(json.loads(meta["class_names"]), ["round", "square"])
        self.assertEqual(meta["model"], "swin-unet")
        self.assertEqual(json.loads(meta["model_options"])["embed_dim"], 8)
        self.assertTrue(json.loads(meta["image_options"])["minmax"])

    def test_best_is_the_epoch_with_the_highest_dice(self):
        """Also compared with the weights: an epoch's own file, kept by keep_every, is the best file."""
        make_segmentation(self.tmp / "data", 8)
        self.seg("train.epochs=8", "optim.lr=8e-3", "optim.min_lr=8e-3", "train.keep_every=1")
        run = self.tmp / "run"
        values = [line["Dice"] for line in metrics(run, "val")]
        top = int(np.argmax(values))
        state = json.loads(metadata(last(run))["state"])
        self.assertEqual(state["best_epoch"], top, values)
        self.assertGreater(len(set(values)), 3)
        kept = sorted((run / "checkpoints").glob("epoch*"), key=lambda p: int("".join(c for c in p.stem if c.isdigit())))[top]
        found, wanted = read_arrays(best(run)), read_arrays(kept)
        for key in wanted:
            np.testing.assert_array_equal(found[key], wanted[key], key)

    def test_dice_of_the_best_epoch_is_that_of_the_masks_predict_writes(self):
        """Images of the network's size, so that validation and prediction are on the same grid."""
        make_segmentation(self.tmp / "data", 12, height=32, width=32)
        self.seg("train.epochs=10", "optim.lr=5e-3", "loss.balance=inverse_frequency", *NO_AUGMENTATION)
        names = json.loads((self.tmp / "run/splits.json").read_text())["val"]
        self.predict(input="data/images")
        scores = {1: [], 2: []}
        for name in names:
            truth, found = (np.asarray(Image.open(self.tmp / folder / name.split("/")[-1])) for folder in ("data/masks", "out"))
            for value, each in scores.items():
                each.append(dice(truth == value, found == value))
        line = max(metrics(self.tmp / "run", "val"), key=lambda line: line["Dice"])
        self.assertGreater(line["Dice"], 0.1)
        for value, each in scores.items():
            self.assertAlmostEqual(np.mean(each), line[f"Dice/{value}"], delta=2e-3)

    def test_early_stop(self):
        make_segmentation(self.tmp / "data", 8)
        done = self.seg("train.epochs=30", "train.early_stop=3", "optim.lr=0")  # never better than the first
        self.assertEqual([line["epoch"] for line in metrics(self.tmp / "run", "val")], [0, 1, 2, 3])
        self.assert_says(done, "finished early (train.early_stop)")
        state = (self.tmp / "run/checkpoints/last.safetensors").read_bytes()
        self.seg("train.epochs=30", "train.early_stop=3", "optim.lr=0", "--resume")
        self.assertEqual((self.tmp / "run/checkpoints/last.safetensors").read_bytes(), state, "a run that stopped early stays as it is")


    def test_where_all_dice_are_0_the_loss_decides(self):
        """A single pixel of little weight that nothing finds: Dice is 0 in all epochs, and the one with the lowest loss is the best."""
        make_segmentation(self.tmp / "data", 8)
        for mask in (self.tmp / "data/masks").iterdir():
            labels = np.zeros_like(np.asarray(Image.open(mask)))
            labels[3, 3] = 1
            Image.fromarray(labels).save(mask)
        self.seg("train.epochs=4", "train.steps_per_epoch=20", "optim.lr=1e-2", "loss.name=ce", "loss.class_weights=[1,0.001]", *NO_AUGMENTATION)
        lines = metrics(self.tmp / "run", "val")
        self.assertEqual({line["Dice"] for line in lines}, {0})
        losses = [line["loss"] for line in lines]
        self.assertLess(losses[-1], losses[0])
        self.assertEqual(json.loads(metadata(last(self.tmp / "run"))["state"])["best_epoch"], int(np.argmin(losses)))


class TrialsTest(FinetuneTest):
    def test_a_trial_needs_no_other_warm_up(self):
        """train.max_steps ends the run within the warm-up that the recipe has; what is said to be a whole run stays an error."""
        make_segmentation(self.tmp / "data", 8)
        done = self.vmae("finetune-seg", *SWIN, "data.train=data", "run.dir=run", "train.max_steps=20", "run.threads=1")
        self.assertIn("ends the run after 20: the warm-up is 2 steps", done.stderr)
        rates = [line["lr"] for line in metrics(self.tmp / "run", "train")]
        self.assertGreater(max(rates), 0)
        self.assert_says(self.seg("train.epochs=2", "optim.warmup_epochs=2", "--overwrite", expect=2), "is not shorter than the run")

    def test_a_run_is_not_ended_by_fewer_steps(self):
        make_segmentation(self.tmp / "data", 8)
        self.seg("train.epochs=4", "train.max_steps=3")
        before = last(self.tmp / "run").read_bytes()
        self.assert_says(self.seg("train.epochs=4", "train.max_steps=2", "--resume", expect=2), "train.max_steps = 2, but this run has made 3 steps already")
        self.assertEqual(last(self.tmp / "run").read_bytes(), before)
        self.assertIn("nothing to do", self.seg("train.epochs=4", "train.max_steps=3", "--resume").stderr)
        self.seg("train.epochs=4", "--resume")
        self.assertEqual(last_step(self.tmp / "run"), 4)


class NetworksTest(FinetuneTest):
    """The plain U-Net, and the Swin-UNet with a conv stem: trained, resumed, predicted, and computed a second time in PyTorch."""
    NETWORKS = (["model.name=unet", "model.features=[4,8,16]"], ["model.conv_stem=true"])

    def test_the_same_logits_in_python(self):
        import torch
        from vmae_model import load_model
        make_segmentation(self.tmp / "data", 8)
        for network in self.NETWORKS:
            with self.subTest(network):
                self.seg("--overwrite", "model.image_size=[45,50]", "optim.lr=1e-2", *network)
                file = best(self.tmp / "run")
                image = np.random.default_rng(5).normal(size=(2, 1, 45, 50)).astype(np.float32)
                write_safetensors(self.tmp / "in.safetensors", {"image": image})
                self.vmae("forward", "--model", metadata(file)["model"], "--weights", file, "--input", "in.safetensors", "--output", "out.safetensors")
                logits = read_arrays(self.tmp / "out.safetensors")["logits"]
                with torch.no_grad():
                    expected = load_model(file)(torch.from_numpy(image)).numpy()
                self.assertGreater(np.ptp(expected), 0.1)
                np.testing.assert_allclose(logits, expected, atol=1e-5)

    def test_they_learn_and_predict(self):
        make_segmentation(self.tmp / "data", 12, height=32, width=32)
        for network in self.NETWORKS:
            with self.subTest(network):
                self.seg("--overwrite", "train.epochs=120", "optim.lr=1e-2", "data.minmax=false", *NO_AUGMENTATION, *network)
                self.assertGreater(max(line["Dice"] for line in metrics(self.tmp / "run", "val")), 0.8)
                self.predict("--overwrite", input="data/images")
                scores = []
                for mask in sorted((self.tmp / "data/masks").iterdir()):
                    truth, found = (np.asarray(Image.open(path)) for path in (mask, self.out / mask.name))
                    scores.append(dice(truth == 1, found == 1))
                self.assertGreater(np.mean(scores), 0.8)

    def test_image_size_by_the_images(self):
        """Looking at the images for their size costs no mask: the counts are those of a run that was told."""
        hippocampus(self.tmp / "data", 3, slices=20)
        counts = []
        for more in (["model.image_size=[]"], ["model.image_size=[64,64]"]):
            done = self.seg("--dry-run", "data.slice_axis=z", "data.val_fraction=0", *more)
            counts.append(re.search("training masks: .*", done.stderr).group(0))
            self.assertEqual("model.image_size = [64, 64]: the images are" in done.stderr, more == ["model.image_size=[]"])
        self.assertEqual(counts[0], counts[1])
        self.assertNotIn(" 0 of", counts[0])

    def test_what_the_plain_unet_has_not(self):
        make_segmentation(self.tmp / "data", 8)
        self.seg("train.epochs=1", run="first")
        for option, text in (("model.init=first", "model.name = unet begins at random"), ("optim.layer_decay=0.8", "which model.name = unet is not")):
            self.assert_says(self.seg("model.name=unet", option, expect=2), text)


class StepsPerEpochTest(FinetuneTest):
    def test_epochs_of_so_many_steps(self):
        """Six training images in batches of 4: an epoch of 5 steps sees each three or four times; validation comes after each."""
        make_segmentation(self.tmp / "data", 8)
        more = ["train.batch_size=4", "train.steps_per_epoch=5", "train.epochs=3", "optim.warmup_epochs=1"]
        self.seg(*more)
        self.assertEqual([line["step"] for line in metrics(self.tmp / "run", "train")], list(range(1, 16)))
        self.assertEqual([line["step"] for line in metrics(self.tmp / "run", "val")], [5, 10, 15])
        rates = [line["lr"] for line in metrics(self.tmp / "run", "train")]
        self.assertEqual(int(np.argmax(rates)), 5, "five steps of warm-up")

    def test_epochs_of_at_least_so_many_steps(self):
        make_segmentation(self.tmp / "data", 8)  # 6 train
        for least, steps in ((1, [2, 4]), (2, [2, 4]), (3, [3, 6])):
            done = self.seg("--overwrite", "train.batch_size=4", f"train.min_steps_per_epoch={least}", "train.epochs=2")
            self.assertEqual([line["step"] for line in metrics(self.tmp / "run", "val")], steps)
            self.assertEqual("2 passes over the training images" in done.stderr, least == 3)
        self.seg("--overwrite", "train.batch_size=4", "train.min_steps_per_epoch=3", "train.steps_per_epoch=1", "train.epochs=2")
        self.assertEqual([line["step"] for line in metrics(self.tmp / "run", "val")], [1, 2], "the exact number wins")

    def test_what_a_config_says_goes_with_the_recipe(self):
        """Nothing that the user did not say is in the way of what they say; the plain U-Net has a rate of its own."""
        make_segmentation(self.tmp / "data", 8)
        for more, passes, warmup in (["train.epochs=20"], "0", "1"), (["train.epochs=1"], "0", "0"), (["train.batch_size=4"], "200", "1"):
            config = self.vmae("finetune-seg", "--print-config", *more).stdout
            self.assertEqual(re.search(r"\n  warmup_epochs: (\S+)", config).group(1), warmup, "a warm-up of the whole run is none")
            self.assertEqual(re.search(r"\n  min_steps_per_epoch: (\S+)", config).group(1), passes, "who counts epochs counts passes")
        for more in (["data.weights=[1]"], ["train.steps_per_epoch=3", "train.epochs=2"], ["model.name=unet"]):
            self.seg("--dry-run", "recipe=auto", *more)
        for recipe, model, rate in (("auto", "swin-unet", "3e-4"), ("auto", "unet", "0.001"), ("paper", "unet", "0.001"), ("paper", "swin-unet", "0.001")):
            config = self.vmae("finetune-seg", "--print-config", f"recipe={recipe}", f"model.name={model}").stdout
            self.assertEqual(float(re.search(r"\n  lr: (\S+)", config).group(1)), float(rate), (recipe, model))

    def test_with_a_share_of_foreground_and_weights_of_sources(self):
        make_segmentation(self.tmp / "a", 8), make_segmentation(self.tmp / "b", 4)
        for option in (["data.foreground_share=0.5"], ["data.train=[a,b]", "data.weights=[1,3]"]):
            self.seg("--overwrite", "train.batch_size=4", "train.steps_per_epoch=4", "train.epochs=2", *option, data="a")
            self.assertEqual([line["step"] for line in metrics(self.tmp / "run", "val")], [4, 8])


class DataOptionsTest(FinetuneTest):
    def first_batch(self, *more, run="run"):
        """The samples of the first step: pixels of 1e30 make its loss infinite, which is reported with the samples."""
        self.seg("--overwrite", "data.std=1e-30", "data.minmax=false", "data.val_fraction=0", *more, run=run, expect=5)
        return json.loads((self.tmp / run / "non_finite.json").read_text())["samples"]

    def test_foreground_share(self):
        """8 of 24 slices have foreground."""
        for i in range(2):
            image, mask = np.random.default_rng(i).normal(100, 20, (24, 24, 12)).astype(np.float32), np.zeros((24, 24, 12), np.uint8)
            mask[6:14, 6:14, 3:7] = 1
            for name, array in (("images", image), ("labels", mask)):
                (self.tmp / "data" / name).mkdir(parents=True, exist_ok=True)
                nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 3, 1])), self.tmp / f"data/{name}/v{i}.nii.gz")
        counts = {}
        for share in (0, 0.75):
            for seed in range(3):
                samples = self.first_batch(f"data.foreground_share={share}", f"run.seed={seed}")
                self.assertEqual(len(set(samples)), 8)
                counts.setdefault(share, []).append(sum(3 <= int(s.split("#z")[1]) < 7 for s in samples))
        self.assertTrue(all(n >= 6 for n in counts[0.75]), counts)
        self.assertTrue(all(n < 6 for n in counts[0]), counts)

    def test_ignored_pixels_count_nowhere(self):
        """All foreground of class 2 is ignored instead: the class is not measured; and what stands in ignored pixels does not change the loss."""
        make_segmentation(self.tmp / "data", 8, height=32, width=32)
        for file in (self.tmp / "data/masks").iterdir():
            mask = np.asarray(Image.open(file)).copy()
            mask[mask == 2] = 255
            Image.fromarray(mask).save(file)
        self.assert_says(self.seg("data.classes=[round]", expect=3), "255", "case0", "data.ignore_label")
        self.seg("--overwrite", "data.classes=[round]", "data.ignore_label=255", "optim.lr=0", "train.epochs=1", *NO_AUGMENTATION)
        line = metrics(self.tmp / "run", "val")[-1]
        self.assertEqual([key for key in line if key.startswith("Dice/")], ["Dice/round"])
        # Dice and cross-entropy of the weights, counted in Python without the ignored pixels.
        import torch
        from vmae_model import load_model
        names = json.loads((self.tmp / "run/splits.json").read_text())["val"]
        image = np.stack([np.asarray(Image.open(self.tmp / "data" / n)) for n in names]).astype(float)
        mask = torch.tensor(np.stack([np.asarray(Image.open(self.tmp / "data/masks" / n.split("/")[-1])) for n in names]).astype(np.int64))
        low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
        x = torch.tensor(((image - low) / (high - low) - 0.223) / 0.202, dtype=torch.float32)[:, None]
        with torch.no_grad():
            logits = load_model(str(best(self.tmp / "run")))(x)
        counts = mask != 255
        p, truth = logits.softmax(1)[:, 1][counts], (mask == 1)[counts].float()
        expected = 1 - (2 * (p * truth).sum() + 1e-5) / (p.sum() + truth.sum() + 1e-5) + torch.nn.functional.cross_entropy(logits, mask, ignore_index=255)
        self.assertAlmostEqual(line["loss"], expected.item(), delta=2e-4)

    def test_label_fraction(self):
        make_segmentation(self.tmp / "data", 20)
        self.vmae("split", "--input", "data", "--output", "splits.json")
        fold = json.loads((self.tmp / "splits.json").read_text())["folds"][1]
        self.seg("data.splits=splits.json", "data.fold=1", "data.label_fraction=50", "train.epochs=1")
        used = json.loads((self.tmp / "run/splits.json").read_text())
        self.assertEqual(sorted(used["train"]), fold["fractions"]["50"])
        self.assertEqual(sorted(used["val"]), sorted(fold["val"]))
        self.assertTrue((self.tmp / "run/test/predict.json").exists(), "the test part is predicted")
        self.assertEqual(len(list((self.tmp / "run/test").rglob("*.png"))), len(fold["test"]))

    def test_test_images_are_predicted_with_the_best_weights(self):
        make_segmentation(self.tmp / "data", 6), make_segmentation(self.tmp / "extra", 3, first=50)
        self.seg("data.test=extra/images", "train.epochs=1")
        self.assertEqual(self.written("run/external_test"), ["case050.png", "case051.png", "case052.png", "predict.json"])
        self.predict(input="extra/images", precision="auto")  # as after training
        for name in ("case050.png", "case051.png"):
            self.assertEqual((self.out / name).read_bytes(), (self.tmp / "run/external_test" / name).read_bytes())
        self.assertIn("best.safetensors", self.record("run/external_test")["weights"][0])

    def test_test_images_of_two_sources_with_equal_names(self):
        for source in "ab":
            make_segmentation(self.tmp / source, 4, first=0 if source == "a" else 20)
            for kind in ("images", "masks"):
                for i, file in enumerate(sorted((self.tmp / source / kind).iterdir())):
                    file.rename(file.parent / f"x{i}.png")
            (self.tmp / f"{source}/list.csv").write_text(
                "image,mask,split\n" + "".join(f"images/x{i}.png,masks/x{i}.png,{s}\n" for i, s in enumerate(("train", "train", "val", "test"))))
        self.seg("train.epochs=1", data="[a/list.csv,b/list.csv]")
        self.assertEqual(self.record("run/test")["cases"], 2)
        self.assertEqual(len([name for name in self.written("run/test") if name.endswith(".png")]), 2, self.written("run/test"))

    def test_dry_run_writes_nothing(self):
        make_segmentation(self.tmp / "data", 6)
        self.assert_says(self.seg("--dry-run"), "time: about ", " per epoch (", " in all: an estimate from ", "dry run: ", " steps made, loss ")
        self.assertFalse((self.tmp / "run").exists())


class SharedModelTest(FinetuneTest):
    def test_the_picture_segmenter_of_the_other_tests_has_learnt(self):
        self.assertGreater(max(line["Dice"] for line in metrics(trained("seg"), "val")), 0.5)


if __name__ == "__main__":
    unittest.main()
