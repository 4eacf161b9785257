"""Numbers keep their names: across label values, resuming, ensembles, images that share a mask, palettes, channels, and on the way back."""
import csv
import json
import unittest

import nibabel
import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, FinetuneTest, labelled_picture, make_segmentation

GREYS = np.array([0, 128, 255], np.uint8)


class MaskNames(FinetuneTest):
    def nnunet(self, name, labels, change=lambda mask: mask, channels=1, cases=6, tests=0, **keys):
        """An nnU-Net folder of pictures."""
        for i in range(cases + tests):
            part = "Tr" if i < cases else "Ts"
            for folder in (f"images{part}", f"labels{part}"):
                (self.tmp / name / folder).mkdir(parents=True, exist_ok=True)
            image, mask = labelled_picture(i, 32, 32)
            for channel in range(channels):
                Image.fromarray(image).save(self.tmp / name / f"images{part}/c.{i}_{channel:04d}.png")
            Image.fromarray(change(mask).astype(np.uint8)).save(self.tmp / name / f"labels{part}/c.{i}.png")
        (self.tmp / name / "dataset.json").write_text(json.dumps(
            {"channel_names": {str(c): "X" for c in range(channels)}, "labels": labels, "numTraining": cases, "file_ending": ".png", **keys}))
        return name

    def trained(self, data, *keys, run="run", expect=0):
        return self.seg("--overwrite", "train.epochs=1", *NO_AUGMENTATION, *keys, data=data, run=run, expect=expect)

    def rows(self, output="out"):
        with open(self.tmp / output / "cases.csv", newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def card(self, run="run"):
        return json.loads((self.tmp / run / "data_card/card.json").read_text())

    def voxels(self, output="out"):
        """Voxels of the truth by class, summed over cases, as the report counts them."""
        sums = {}
        for row in self.rows(output):
            sums[row["class"]] = sums.get(row["class"], 0) + int(row["true_positives"]) + int(row["false_negatives"])
        return sums

    def test_names_follow_their_values(self):
        data = self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        self.trained(data, "data.label_values=[2,1]")
        self.assertEqual({one["value"]: one["means"] for one in self.card()["mask_values"]}, {0: "background", 1: "class round", 2: "class square"})
        self.trained(data, "data.label_values=[2,1]", "data.classes=[square,round]")
        self.assert_says(self.trained(data, "data.label_values=[2,1]", "data.classes=[round,square]", expect=2), "the value 2 round")
        expected = {}
        for name, values in (("plain", []), ("listed", ["--label-values", "2,1"])):
            self.vmae("eval", "--pred", f"{data}/labelsTr", "--truth", data, "--output", name, "--no-distances", *values)
            expected[name] = self.voxels(name)
        self.assertEqual(expected["listed"], expected["plain"])
        masks = np.stack([np.asarray(Image.open(file)) for file in sorted((self.tmp / data / "labelsTr").iterdir())])
        self.assertEqual(expected["plain"], {"round": int((masks == 1).sum()), "square": int((masks == 2).sum())})

    def test_label_values_are_the_truths_alone(self):
        """Predictions of vmae say what their numbers mean; --label-values is for files that do not."""
        make_segmentation(self.tmp / "data", 8, height=32, width=32)
        self.trained("data", "data.classes=[round,square]")
        self.vmae("predict", "--weights", "run", "--input", "data/images", "--output", "predicted")
        (self.tmp / "grey").mkdir()
        for file in (self.tmp / "data/masks").iterdir():
            Image.fromarray(GREYS[np.asarray(Image.open(file))]).save(self.tmp / "grey" / file.name)
        self.vmae("eval", "--pred", "predicted", "--truth", "data", "--output", "plain", "--no-distances")
        self.vmae("eval", "--pred", "predicted", "--truth", "grey", "--output", "grey_out", "--no-distances", "--label-values", "128,255")
        keys = ("class", "Dice", "true_positives", "false_positives")
        self.assertEqual(*([(row["case"].split("/")[-1], *(row[key] for key in keys)) for row in self.rows(output)] for output in ("plain", "grey_out")))

    def test_resume_keeps_label_values(self):
        data = self.nnunet("data", {"background": 0, "round": 1, "square": 2}, lambda mask: GREYS[mask])
        (self.tmp / data / "dataset.json").unlink()
        for folder, of in (("images", "imagesTr"), ("masks", "labelsTr")):
            (self.tmp / data / of).rename(self.tmp / data / folder)
        for file in list((self.tmp / data / "images").iterdir()):
            file.rename(file.with_name(file.name.replace("_0000", "")))
        keys = ["data.classes=[round,square]", *NO_AUGMENTATION]
        self.seg("train.epochs=1", "data.label_values=[128,255]", *keys, data=data)
        for values in ("data.label_values=[255,128]", "data.label_values=[128,254]"):
            self.seg("train.epochs=2", "--resume", values, *keys, data=data, expect=3)
        self.assert_says(self.seg("train.epochs=2", "--resume", "data.label_values=[255,128]", *keys, data=data, expect=3), "data.label_values is [255,128] now")
        self.seg("train.epochs=2", "--resume", "data.label_values=[128,255]", *keys, data=data)

    def test_models_of_other_values_are_not_averaged(self):
        make_segmentation(self.tmp / "data", 8, height=32, width=32)
        self.trained("data", "data.classes=[round,square]", run="plain")
        self.trained("data", "data.classes=[round,square]", "data.label_values=[1,2]", run="listed")
        for weights in (["plain", "listed"], ["listed", "plain"]):
            done = self.vmae("predict", "--weights", *weights, "--input", "data/images", "--output", "out", expect=4)
            self.assert_says(done, "label_values")

    def test_channels_of_nnunet_are_measured_one_by_one(self):
        data = self.nnunet("data", {"background": 0, "round": 1, "square": 2}, channels=2, tests=2)
        self.trained(data, "data.channels=single")
        for truth in ([], ["--truth", f"{data}/labelsTs"]):
            if truth:
                self.vmae("eval", "--pred", "run/test", *truth, "--output", "out", "--overwrite", "--no-distances")
            else:
                self.vmae("eval", "--run", "run", "--output", "out", "--no-distances")
            self.assertEqual(sorted({row["case"].split("/")[-1] for row in self.rows()}), ["c.6_0000", "c.6_0001", "c.7_0000", "c.7_0001"])
        summary = json.loads((self.tmp / "out/summary.json").read_text())
        self.assertIsNone(summary["patients"])  # nnU-Net names cases, not patients
        self.assertIsNone(self.card()["parts"][0]["patients"])
        self.assertIsNone(self.card()["parts"][-1]["classes"][0]["pixels"])  # of the test part, which is not looked at

    def test_images_of_a_manifest_that_share_a_mask(self):
        lines = ["image,mask,patient,split"]
        for i in range(6):
            image, mask = labelled_picture(i, 32, 32)
            nibabel.save(nibabel.Nifti1Image(mask[..., None], np.eye(4)), self.tmp / f"m{i}.nii.gz")
            for sequence in ("t1", "t2"):
                nibabel.save(nibabel.Nifti1Image(image[..., None], np.eye(4)), self.tmp / f"p{i}_{sequence}.nii.gz")
                lines.append(f"p{i}_{sequence}.nii.gz,m{i}.nii.gz,p{i},{'test' if i > 3 else 'train'}")
        (self.tmp / "list.csv").write_text("\n".join(lines) + "\n")
        self.trained("list.csv", "data.slice_axis=z")
        self.vmae("eval", "--run", "run", "--output", "out", "--no-distances")
        self.assertEqual(sorted({row["case"] for row in self.rows()}), ["p4_t1", "p4_t2", "p5_t1", "p5_t2"])
        self.assertEqual(json.loads((self.tmp / "out/summary.json").read_text())["patients"], 2)

    def test_time_points_that_share_a_mask(self):
        for folder in ("imagesTr", "labelsTr"):
            (self.tmp / "data" / folder).mkdir(parents=True)
        training = []
        for i in range(4):
            image, mask = labelled_picture(i, 32, 32)
            nibabel.save(nibabel.Nifti1Image(np.stack([image, image // 2], -1)[:, :, None], np.eye(4)), self.tmp / f"data/imagesTr/c{i}.nii.gz")
            nibabel.save(nibabel.Nifti1Image(mask[..., None], np.eye(4)), self.tmp / f"data/labelsTr/c{i}.nii.gz")
            training.append({"image": f"./imagesTr/c{i}.nii.gz", "label": f"./labelsTr/c{i}.nii.gz"})
        (self.tmp / "data/dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "round", "2": "square"},
                                                                "training": training, "numTraining": 4, "test": []}))
        self.trained("data", "data.slice_axis=z")
        self.assertEqual(sum(part["cases"] for part in self.card()["parts"]), 8)
        self.vmae("predict", "--weights", "run", "--input", "data", "--output", "predicted")
        self.vmae("eval", "--pred", "predicted", "--truth", "data", "--output", "out", "--no-distances")
        self.assertEqual({row["case"].split("/")[-1] for row in self.rows()}, {f"c{i}_t{t}" for i in range(4) for t in range(2)})

    def test_palettes_and_channels_that_contradict_each_other(self):
        make_segmentation(self.tmp / "data", 6, height=32, width=32)
        colours = {1: (200, 0, 0), 2: (0, 200, 0)}
        for i, file in enumerate(sorted((self.tmp / "data/masks").iterdir())):
            mask = Image.fromarray(np.asarray(Image.open(file)), "P")
            order = (1, 2) if i < 5 else (2, 1)
            mask.putpalette(sum(([*colours[k]] for k in order), [0, 0, 0]) + [0] * 759)
            mask.save(file)
        for done in (self.trained("data", expect=3), self.vmae("inspect", "data", "--card", "card", expect=3),
                     self.vmae("prepare", "--input", "data", "--output", "prepared", expect=3),
                     self.vmae("eval", "--pred", "data/masks", "--truth", "data", "--output", "out", expect=3)):
            self.assert_says(done, "of its palette", "case005.png")

    def test_one_hot_masks_of_two_kinds(self):
        for folder in ("images", "labels"):
            (self.tmp / "data" / folder).mkdir(parents=True)
        for i in range(6):
            image, mask = labelled_picture(i, 32, 32)
            if i == 3:
                mask = np.where(mask == 0, 1, mask)  # nothing is background
            nibabel.save(nibabel.Nifti1Image(image[..., None], np.eye(4)), self.tmp / f"data/images/c{i}.nii.gz")
            channels = np.stack([mask == 1, mask == 2], -1).astype(np.uint8)[:, :, None]
            nibabel.save(nibabel.Nifti1Image(channels, np.eye(4)), self.tmp / f"data/labels/c{i}.nii.gz")
        for done in (self.trained("data", expect=3), self.vmae("prepare", "--input", "data", "--output", "prepared", expect=3)):
            self.assert_says(done, "background", "c3.nii.gz")

    def test_the_card_of_a_prepared_dataset(self):
        make_segmentation(self.tmp / "data", 6, height=32, width=32)
        (self.tmp / "data/images/broken.png").write_bytes(b"\x89PNG no picture")
        (self.tmp / "data/masks/broken.png").write_bytes((next((self.tmp / "data/masks").iterdir())).read_bytes())
        self.vmae("prepare", "--input", "data", "--output", "prepared", expect=6)
        self.vmae("inspect", "prepared", "--card", "card")
        card = json.loads((self.tmp / "card/card.json").read_text())
        self.assertEqual([(part["cases"], part["cases_with_mask"], part["patients"]) for part in card["parts"]], [(6, 6, None)])
        self.assertEqual(len(card["left_out"]), 1)

    def test_a_card_of_greys(self):
        make_segmentation(self.tmp / "data", 6, height=32, width=32)
        for file in (self.tmp / "data/masks").iterdir():
            Image.fromarray(GREYS[np.asarray(Image.open(file))]).save(file)
        self.assert_says(self.vmae("inspect", "data", "--card", "card", expect=3), "--label-values 128,255")
        self.vmae("inspect", "data", "--card", "card", "--label-values", "128,255")
        self.assertEqual(json.loads((self.tmp / "card/card.json").read_text())["classes"], ["128", "255"])

    def test_a_dataset_that_was_prepared_anew(self):
        make_segmentation(self.tmp / "data", 10, height=32, width=32)
        self.vmae("prepare", "--input", "data", "--output", "prepared")
        self.vmae("split", "--input", "prepared", "--output", "splits.json", "split.scheme=72/8/20")
        self.trained("prepared", "data.splits=splits.json")
        self.vmae("eval", "--run", "run", "--output", "out", "--no-distances")
        for file in (self.tmp / "data/masks").iterdir():
            Image.fromarray(np.asarray(Image.open(file))[::-1].copy()).save(file)
        self.vmae("prepare", "--input", "data", "--output", "prepared", "--overwrite")
        self.assert_says(self.vmae("eval", "--run", "run", "--output", "out2", "--no-distances", expect=3), "prepared anew")
        self.assert_says(self.seg("--resume", "train.epochs=2", *NO_AUGMENTATION, "data.splits=splits.json", data="prepared", expect=3), "prepared anew")

    def test_a_class_that_is_drawn_as_255(self):
        data = self.nnunet("data", {"background": 0, "lesion": 255}, lambda mask: (mask > 0) * 255)
        self.trained(data)
        self.assertEqual(self.card()["classes"], ["lesion"])

    def test_regions_that_nnunet_numbers_otherwise(self):
        data = self.nnunet("data", {"background": 0, "all": [1, 2], "square": 2}, regions_class_order=[1, 2])
        self.assertIn("region all is wherever a mask holds 1 or 2", self.vmae("inspect", data).stdout)
        for order, code in (([1, 2], 0), ([2, 1], 3)):
            folder = self.tmp / f"predicted{code}"
            folder.mkdir()
            for file in (self.tmp / data / "labelsTr").iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
            text = json.loads((self.tmp / data / "dataset.json").read_text())
            (folder / "dataset.json").write_text(json.dumps({**text, "regions_class_order": order}))
            done = self.vmae("eval", "--pred", folder.name, "--truth", data, "--output", f"out{code}", "--no-distances", expect=code)
            if code:
                self.assert_says(done, "regions_class_order")
            else:
                self.assertEqual({row["class"] for row in self.rows("out0")}, {"region all", "square"})

    def test_regions_are_measured(self):
        """What dataset.json names is what the report has, whichever way the masks come; the values that have no name are parts of it."""
        labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "spot": 3}
        data = self.nnunet("data", labels, lambda mask: np.where(np.arange(32) % 3 == 0, mask, mask + (mask > 0)), regions_class_order=[1, 2, 3])
        of_all = {"whole": (1, 2, 3), "core": (2, 3), "spot": (3,)}
        (self.tmp / "predicted").mkdir()
        expected = {}
        for file in sorted((self.tmp / data / "labelsTr").iterdir()):
            truth = np.asarray(Image.open(file))
            predicted = np.roll(truth, 2, axis=0)
            Image.fromarray(predicted).save(self.tmp / "predicted" / file.name)
            for name, values in of_all.items():
                a, b = np.isin(predicted, values), np.isin(truth, values)
                expected[file.stem, name] = 2 * (a & b).sum() / (a.sum() + b.sum())
        def dice(output):
            return {(row["case"].split("/")[-1], row["class"]): float(row["Dice"]) for row in self.rows(output)}
        def near(found, wanted):
            self.assertEqual(found.keys(), wanted.keys())
            for key, value in wanted.items():
                self.assertAlmostEqual(found[key], value, places=9, msg=str(key))
        done = self.vmae("eval", "--pred", "predicted", "--truth", data, "--output", "out", "--no-distances")
        near(dice("out"), expected)
        self.assertIn("Regions are unions of classes", done.stdout)
        self.assertIn("label 1, label 2", done.stdout)
        mean = next(one for one in json.loads((self.tmp / "out/summary.json").read_text())["models"][0]["estimates"]
                    if (one["metric"], one["class"]) == ("Dice", "mean"))
        by_case = [np.mean([expected[case, name] for name in of_all]) for case in sorted({case for case, _ in expected})]
        self.assertAlmostEqual(mean["value"], np.mean(by_case), places=9)
        # nnU-Net's predictions have the dataset.json, the truth is a folder of masks.
        (self.tmp / "predicted/dataset.json").write_bytes((self.tmp / data / "dataset.json").read_bytes())
        self.vmae("eval", "--pred", "predicted", "--truth", f"{data}/labelsTr", "--output", "folder", "--no-distances")
        near(dice("folder"), expected)
        # Whoever names the classes measures these.
        self.vmae("eval", "--pred", "predicted", "--truth", data, "--output", "named", "--no-distances", "--classes", "a,b,c")
        self.assertEqual({row["class"] for row in self.rows("named")}, {"a", "b", "c"})
        # Values in another order, and one left out: a region without all of its values can't be measured.
        self.vmae("eval", "--pred", "predicted", "--truth", data, "--output", "listed", "--no-distances", "--label-values", "3,2,1")
        near(dice("listed"), expected)
        (self.tmp / "predicted/dataset.json").unlink()
        for file in (self.tmp / "predicted").glob("*.png"):
            for folder in ("predicted", f"{data}/labelsTr"):
                path = self.tmp / folder / file.name
                Image.fromarray(np.asarray(Image.open(path)) * np.uint8([0, 0, 1, 1])[np.asarray(Image.open(path))]).save(path)
        done = self.vmae("eval", "--pred", "predicted", "--truth", data, "--output", "less", "--no-distances", "--label-values", "2,3")
        self.assertEqual({row["class"] for row in self.rows("less")}, {"core", "spot"})
        self.assertIn("The region whole is not measured", done.stdout)

    def test_regions_of_runs(self):
        labels = {"background": 0, "whole": [1, 2], "square": 2}
        data = self.nnunet("data", labels, tests=2)
        self.vmae("prepare", "--input", data, "--output", "prepared")
        for source, run in ((data, "loose"), ("prepared", "sliced")):
            self.trained(source, run=run)
            self.vmae("eval", "--run", run, "--output", f"out_{run}", "--no-distances")
            self.assertEqual({row["class"] for row in self.rows(f"out_{run}")}, {"whole", "square"})
        self.assertEqual(self.voxels("out_loose"), self.voxels("out_sliced"))

    def predictions(self, name, labels, change, source="data/labelsTr"):
        """Predictions of nnU-Net, with its dataset.json."""
        (self.tmp / name).mkdir()
        for file in (self.tmp / source).iterdir():
            Image.fromarray(change(np.asarray(Image.open(file))).astype(np.uint8)).save(self.tmp / name / file.name)
        if labels:
            (self.tmp / name / "dataset.json").write_text(json.dumps({"channel_names": {"0": "X"}, "labels": labels, "file_ending": ".png"}))
        return name

    def test_regions_have_the_numbers_of_their_own_file(self):
        self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        self.predictions("other", {"background": 0, "both": [1, 3], "square": 1, "absent": 2, "round": 3}, lambda mask: np.uint8([0, 3, 1])[mask])
        self.vmae("eval", "--pred", "other", "--truth", "data", "--output", "out", "--no-distances")
        self.assertEqual({row["Dice"] for row in self.rows() if row["class"] in ("both", "round", "square")}, {"1"})

    def test_ignored_values_that_contradict_each_other(self):
        labels = {"background": 0, "round": 1, "square": 2}
        self.nnunet("data", labels)
        self.nnunet("open", {"background": 0, "round": 1, "ignore": 2})
        self.predictions("ignores", {"background": 0, "round": 1, "ignore": 2}, lambda mask: np.minimum(mask, 1))
        self.predictions("names", labels, lambda mask: mask)
        for models, truth, words in ((["ignores"], "data", ("ignores", "ignores the value 2", "square")),
                                     (["names"], "open", ("the truth ignores the value 2", "names", "square"))):
            self.assert_says(self.vmae("eval", "--pred", *models, "--truth", truth, "--output", "out", "--no-distances", expect=3), *words)
        self.vmae("eval", "--pred", "ignores", "--truth", "open", "--output", "out", "--no-distances")
        self.assertEqual({row["class"] for row in self.rows()}, {"round"})

    def test_folders_of_masks_have_a_dataset_json(self):
        """labelsTr beside it, or the masks themselves: names, ignored value and regions are those of the dataset."""
        labels = {"background": 0, "any": [1, 2], "square": 2, "ignore": 3}
        self.nnunet("data", labels, lambda mask: np.where(np.arange(32) % 5 == 0, 3, mask))
        self.predictions("p", None, lambda mask: np.where(mask == 3, 1, mask))
        (self.tmp / "alone").mkdir()
        for file in [*(self.tmp / "data/labelsTr").iterdir(), self.tmp / "data/dataset.json"]:
            (self.tmp / "alone" / file.name).write_bytes(file.read_bytes())
        for truth in ("data", "data/labelsTr", "data/labelsTr/", "alone"):
            with self.subTest(truth):
                self.vmae("eval", "--pred", "p", "--truth", truth, "--output", "out", "--no-distances", "--overwrite")
                self.assertEqual({(row["class"], row["Dice"]) for row in self.rows()}, {("any", "1"), ("square", "1")})

    def test_dataset_json_of_other_programs(self):
        self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        (self.tmp / "data/dataset.json").write_text(json.dumps({"labels": [["a.png", 0], ["b.png", 1]]}))
        self.predictions("p", None, lambda mask: mask)
        self.assertIn("left out of account", self.vmae("eval", "--pred", "p", "--truth", "data/labelsTr", "--output", "out", "--no-distances").stderr)
        self.assertEqual({row["class"] for row in self.rows()}, {"1", "2"})

    def test_models_that_number_otherwise(self):
        self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        self.predictions("a", {"background": 0, "round": 1, "square": 2}, lambda mask: mask)
        self.predictions("b", {"background": 0, "square": 1, "round": 2}, lambda mask: np.uint8([0, 2, 1])[mask])
        self.vmae("eval", "--pred", "a", "b", "--truth", "data", "--output", "out", "--no-distances")
        self.assertEqual({row["Dice"] for row in self.rows()}, {"1"})

    def test_cards_count_masks_only(self):
        data = self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        (self.tmp / data / "labelsTr/c.2.png").unlink()
        self.vmae("inspect", data, "--card", "card")
        card = json.loads((self.tmp / "card/card.json").read_text())
        self.assertEqual(sum(one["pixels"] for one in card["mask_values"]), 5 * 32 * 32)
        self.assertIn("1 of 6 cases have no mask", json.dumps(card["remarks"]))

    def test_structures_are_chosen_of_masks_that_name_them(self):
        data = self.nnunet("data", {"background": 0, "round": 1, "square": 2})
        done = self.vmae("prepare", "--input", data, "--output", "prepared", "prepare.structures=[square,round]", expect=3)
        self.assert_says(done, "does not name its structures")

    def test_classes_are_held_against_every_source(self):
        for name, order in (("one", ("round", "square")), ("two", ("square", "round"))):
            self.nnunet(name, {"background": 0, order[0]: 1, order[1]: 2})
        for sources in ("[one,two]", "[two,one]"):
            done = self.trained(sources, "data.classes=[round,square]", expect=2)
            self.assert_says(done, "the dataset calls so the value")

    def test_palettes_of_the_test_part(self):
        lines = ["image,mask,split"]
        for i in range(6):
            image, mask = labelled_picture(i, 32, 32)
            Image.fromarray(image).save(self.tmp / f"i{i}.png")
            picture = Image.fromarray(mask, "P")
            picture.putpalette([0, 0, 0, *((200, 0, 0, 0, 200, 0) if i < 5 else (0, 200, 0, 200, 0, 0))] + [0] * 759)
            picture.save(self.tmp / f"m{i}.png")
            lines.append(f"i{i}.png,m{i}.png,{'test' if i == 5 else 'train'}")
        (self.tmp / "list.csv").write_text("\n".join(lines) + "\n")
        self.assert_says(self.trained("list.csv", expect=3), "i5.png", "palette")

    def test_a_case_whose_name_looks_like_a_channel(self):
        for folder in ("truth", "predicted"):
            (self.tmp / folder).mkdir()
        for i, name in enumerate(("x", "x_0001", "y")):
            Image.fromarray(labelled_picture(i, 32, 32)[1]).save(self.tmp / f"truth/{name}.png")
            if name != "x":
                Image.fromarray(labelled_picture(i, 32, 32)[1]).save(self.tmp / f"predicted/{name}.png")
        done = self.vmae("eval", "--pred", "predicted", "--truth", "truth", "--output", "out", "--no-distances", expect=3)
        self.assert_says(done, "x: has no prediction")
        self.vmae("eval", "--pred", "predicted", "--truth", "truth", "--output", "out", "--no-distances", "--skip-bad-cases", expect=6)
        self.assertEqual({row["case"] for row in self.rows()}, {"x_0001", "y"})

    def test_a_table_beside_folders_of_masks(self):
        make_segmentation(self.tmp / "data", 6, height=32, width=32)
        names = sorted(file.name for file in (self.tmp / "data/images").iterdir())
        (self.tmp / "data/metadata.csv").write_text("filename,age\n" + "".join(f"images/{name},4{i}\n" for i, name in enumerate(names)))
        found = self.vmae("inspect", "data").stdout
        self.assertIn("layout image_mask_folders", found)
        self.assertIn("metadata.csv: names images, but neither masks", found)

    def test_missing_cells_of_a_manifest(self):
        for i in range(4):
            Image.fromarray(labelled_picture(i, 32, 32)[0]).save(self.tmp / f"i{i}.png")
        rows = ["i0.png,NA,p0,0.0,NA", "i1.png,nan,NA,1.0,", "i2.png,,NA,NA,N/A", "i3.png,NA,p0,,"]
        (self.tmp / "list.csv").write_text("image,mask,patient,fold,split\n" + "\n".join(rows) + "\n")
        found = json.loads(self.vmae("inspect", "list.csv", "--json").stdout)
        self.assertEqual(len(found["images"]), 4)
        self.assertTrue(any("patients are not known of 2 of 4" in remark["text"] for remark in found["remarks"]), found["remarks"])


if __name__ == "__main__":
    unittest.main()
