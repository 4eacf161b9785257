# SPDX-License-Identifier: Apache-2.0
"""Cases of several registered images: one dataset in every layout trains, predicts and is measured alike, and what does not fit together is refused."""
import json
import re
import unittest

import nibabel
import numpy as np
from PIL import Image

from finetuning import NO_AUGMENTATION, PRETRAIN, SWIN, TRAIN, FinetuneTest, last, metadata

NAMES = ["T1", "FLAIR"]
AFFINE = np.diag([-1.0, -1.0, 4.0, 1.0])
WITHOUT_SIZE = [key for key in SWIN if not key.startswith("model.in_channels")]


def case_volumes(index, count=2):
    """Volumes (x, y, z) of one case, on scales of their own, and its mask: class 1 is bright in both, class 2 in the second alone."""
    random = np.random.default_rng(index)
    mask = np.zeros((40, 36, 3), np.uint8)
    x, y = random.integers(4, 10, 2)
    mask[x:x + 10, y:y + 10] = 1
    mask[x + 14:x + 24, y + 6:y + 16] = 2
    volumes = [random.normal(300, 20, mask.shape) + 500 * (mask == 1), random.normal(20, 2, mask.shape) + 40 * (mask > 0)]
    volumes += [random.normal(5, 1, mask.shape) for _ in range(count - 2)]
    return [volume.astype(np.float32) for volume in volumes], mask


def save(file, array, affine=AFFINE):
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), file)


def dataset_json(folder, **more):
    text = {"channel_names": {str(i): name for i, name in enumerate(NAMES)}, "labels": {"background": 0, "organ": 1, "tumour": 2}, "file_ending": ".nii.gz", **more}
    (folder / "dataset.json").write_text(json.dumps(text))


def nnunet(folder, count=6, first=0, images="imagesTr", labels="labelsTr", names=NAMES):
    for i in range(first, first + count):
        volumes, mask = case_volumes(i, len(names))
        for channel, volume in enumerate(volumes):
            save(folder / images / f"case{i}_{channel:04d}.nii.gz", volume)
        if labels:
            save(folder / labels / f"case{i}.nii.gz", mask)
    dataset_json(folder, numTraining=count, channel_names={str(i): name for i, name in enumerate(names)})
    return folder


def decathlon_list(folder, count=6):
    entries = []
    for i in range(count):
        volumes, mask = case_volumes(i)
        for name, volume in zip(NAMES, volumes):
            save(folder / f"imagesTr/case{i}_{name}.nii.gz", volume)
        save(folder / f"labelsTr/case{i}.nii.gz", mask)
        entries.append({"image": [f"./imagesTr/case{i}_{name}.nii.gz" for name in NAMES], "label": f"./labelsTr/case{i}.nii.gz"})
    dataset_json(folder, training=entries, numTraining=count)
    return folder


def decathlon_volumes(folder, count=6):
    entries = []
    for i in range(count):
        volumes, mask = case_volumes(i)
        save(folder / f"imagesTr/case{i}.nii.gz", np.stack(volumes, -1))
        save(folder / f"labelsTr/case{i}.nii.gz", mask)
        entries.append({"image": f"./imagesTr/case{i}.nii.gz", "label": f"./labelsTr/case{i}.nii.gz"})
    dataset_json(folder, training=entries, numTraining=count)
    return folder


def manifest(folder, count=6):
    rows = ["image:T1,image:FLAIR,mask,patient,modality"]
    for i in range(count):
        volumes, mask = case_volumes(i)
        for name, volume in zip(NAMES, volumes):
            save(folder / f"p{i}/{name}.nii.gz", volume)
        save(folder / f"p{i}/truth.nii.gz", mask)
        rows.append(f"p{i}/T1.nii.gz,p{i}/FLAIR.nii.gz,p{i}/truth.nii.gz,p{i},MR")
    (folder / "list.csv").write_text("\n".join(rows) + "\n")
    return folder / "list.csv"


class ChannelsTest(FinetuneTest):
    def stacked(self, *more, command="finetune-seg", data="data", run="run", **kw):
        recipe = TRAIN if command != "pretrain" else PRETRAIN
        return self.vmae(command, *WITHOUT_SIZE, *recipe, *NO_AUGMENTATION, "data.val_fraction=0.34", f"data.train={data}", f"run.dir={run}", *more, **kw)

    def losses(self, run):
        lines = [json.loads(line) for line in (self.tmp / run / "metrics.jsonl").read_text().splitlines()]
        return [line["loss"] for line in lines if line["kind"] == "train"]

    def maps(self, output):
        return {file.name: np.asarray(nibabel.load(file).dataobj) for file in (self.tmp / output).rglob("*.nii.gz")}


class LayoutsTest(ChannelsTest):
    def test_one_dataset_in_every_layout(self):
        """The same two channels as nnU-Net's files, Decathlon's list and 4-D files, columns of a manifest, and prepared: one plan, one model."""
        sources = {"nnunet": nnunet(self.tmp / "nnunet"), "list": decathlon_list(self.tmp / "list"), "volumes": decathlon_volumes(self.tmp / "volumes"),
                   "manifest": manifest(self.tmp / "manifest")}
        done = self.vmae("prepare", "--input", sources["nnunet"], "--output", self.tmp / "prepared")
        self.assert_says(done, "6 cases, patients not known, each of 2 channels: T1, FLAIR")
        sources["prepared"] = self.tmp / "prepared"
        found = {}
        for name, source in sources.items():
            if name != "prepared":
                self.assertIn("channels of each: T1, FLAIR", self.vmae("inspect", source).stdout)
                self.assertEqual({image["channels"] for image in json.loads(self.vmae("inspect", source, "--json").stdout)["images"]}, {2})
            # Who validates is drawn by the patients' names, which differ: all train.
            done = self.stacked("data.val_fraction=0", data=source, run=f"run_{name}")
            self.assert_says(done, "a case has 2 channels: T1, FLAIR", "model: swin-unet", "input 2 x 32 x 32", "training: 18 images from 6 files")
            found[name] = self.losses(f"run_{name}")
            self.assertEqual(json.loads(metadata(last(self.tmp / f"run_{name}"))["channel_names"]), NAMES)
            self.assertIn("in_channels: 2", (self.tmp / f"run_{name}/config.yaml").read_text())
        for name in ("list", "volumes", "manifest"):
            self.assertEqual(found[name], found["nnunet"], name)
        # Names of a prepared dataset are hashes, in the order of the files: the same samples too.
        np.testing.assert_allclose(found["prepared"], found["nnunet"], rtol=1e-4)

    def test_prediction_takes_cases_in_every_layout(self):
        self.stacked(data=nnunet(self.tmp / "data"))
        new = nnunet(self.tmp / "new", 2, first=10, labels=None)
        plain = self.tmp / "plain"
        plain.mkdir()
        for file in (new / "imagesTr").iterdir():
            file.rename(plain / file.name)
        wanted = None
        (self.tmp / "table").mkdir()
        (self.tmp / "table/new.csv").write_text("image:T1,image:FLAIR\n" + "".join(f"../plain/case{i}_0000.nii.gz,../plain/case{i}_0001.nii.gz\n" for i in (10, 11)))
        folder = nnunet(self.tmp / "again", 2, first=10, labels=None)
        for name, source in ("plain", plain), ("table", self.tmp / "table/new.csv"), ("nnunet", folder):
            self.predict(input=source, output=f"out_{name}")
            maps = self.maps(f"out_{name}")
            self.assertEqual(sorted(maps), ["case10.nii.gz", "case11.nii.gz"], name)
            wanted = wanted or maps
            for key in wanted:
                np.testing.assert_array_equal(maps[key], wanted[key])
        self.assertGreater(sum(map_.sum() for map_ in wanted.values()), 0)

    def test_measured_by_case(self):
        """Test part of the run, and predictions beside nnU-Net's masks: one case per mask."""
        nnunet(self.tmp / "data")
        nnunet(self.tmp / "data", 2, first=6, images="imagesTs", labels="labelsTs")
        self.stacked()
        self.assertEqual(sorted(self.maps("run/test")), ["case6.nii.gz", "case7.nii.gz"])
        for arguments in (["--run", "run"], ["--pred", "run/test", "--truth", "data/labelsTs"]):
            self.vmae("eval", *arguments, "--output", "eval", "--overwrite")
            summary = json.loads((self.tmp / "eval/summary.json").read_text())
            self.assertEqual({one["n"] for one in summary["models"][0]["estimates"] if one["metric"] == "Dice" and one["class"] == "organ"}, {2}, arguments)

    def test_splits_name_cases(self):
        nnunet(self.tmp / "data", 10)
        self.vmae("split", "--input", "data", "--output", "splits.json", "split.scheme=72/8/20")
        text = (self.tmp / "splits.json").read_text()
        self.assertIn("_0000.nii.gz", text)
        self.assertNotIn("_0001.nii.gz", text)
        done = self.vmae("finetune-seg", *WITHOUT_SIZE, *TRAIN, "data.train=data", "data.splits=splits.json", "run.dir=run")
        self.assert_says(done, "training: 21 images from 7 files")
        self.assertEqual(len(self.maps("run/test")), 2)
        # Files of splits that name every channel, as they were made before.
        [fold] = json.loads(text)["folds"]
        every = {part: sorted(fold[part] + [name.replace("_0000.", "_0001.") for name in fold[part]]) for part in ("train", "val", "test")}
        (self.tmp / "every.json").write_text(json.dumps(every))
        done = self.vmae("finetune-seg", *WITHOUT_SIZE, *TRAIN, "data.train=data", "data.splits=every.json", "run.dir=run2")
        self.assert_says(done, "training: 21 images from 7 files")

    def test_single_takes_each_image_by_itself(self):
        nnunet(self.tmp / "data")
        for source in ("data", "prepared"):
            if source == "prepared":
                self.vmae("prepare", "--input", "data", "--output", "prepared")
            done = self.stacked("data.channels=single", "model.in_channels=1", data=source, run=f"run_{source}")
            self.assert_says(done, "input 1 x 32 x 32", "training: 24 images from 8 files; validation: 12 images from 4 files")
            self.assertNotIn("channel_names", metadata(last(self.tmp / f"run_{source}")))
        done = self.predict(weights="run_data")
        self.assert_says(done, "the model takes one image at a time: 12 channels of 6 cases")
        self.assertEqual(len(self.maps("out")), 12)

    def test_single_takes_each_volume_of_a_file_by_itself(self):
        decathlon_volumes(self.tmp / "data")
        done = self.stacked("data.channels=single", "model.in_channels=1")
        self.assert_says(done, "input 1 x 32 x 32", "training: 24 images from 4 files; validation: 12 images from 2 files")
        self.predict()
        self.assertEqual(sorted(self.maps("out"))[:2], ["case0_t0.nii.gz", "case0_t1.nii.gz"])
        self.assertEqual(len(self.maps("out")), 12)

    def test_pretraining(self):
        """Stacked by default, one at a time by option; weights of one channel serve two."""
        nnunet(self.tmp / "data")
        done = self.stacked(command="pretrain", run="two")
        self.assert_says(done, "a case has 2 channels: T1, FLAIR", "input 2 x 32 x 32")
        done = self.stacked("data.channels=single", "model.in_channels=1", command="pretrain", run="one")
        self.assert_says(done, "input 1 x 32 x 32")
        for init in ("one", "two"):
            done = self.stacked(f"model.init={init}", run=f"from_{init}")
            self.assert_says(done, "input 2 x 32 x 32", "encoder and decoder")
            self.assertEqual("changed to 2 input channels" in done.stderr, init == "one")

    def test_pictures_and_classes(self):
        """Two pictures of a case, its class in a manifest: whether the second is brighter."""
        random = np.random.default_rng(1)
        (self.tmp / "data").mkdir()
        rows = ["image:before,image:after,label"]
        for i in range(24):
            first = random.integers(60, 120, (32, 32)).astype(np.uint8)
            Image.fromarray(first).save(self.tmp / f"data/a{i}.png")
            Image.fromarray(first + np.uint8(60 * (i % 2))).save(self.tmp / f"data/b{i}.png")
            rows.append(f"a{i}.png,b{i}.png,{'grown' if i % 2 else 'stable'}")
        (self.tmp / "data/list.csv").write_text("\n".join(rows) + "\n")
        recipe = ["train.epochs=12", "optim.lr=3e-3", "data.rotate=0", "data.affine=0", "data.minmax=false"]
        done = self.vmae("finetune-cls", *WITHOUT_SIZE, *TRAIN, *recipe, "data.train=data", "run.dir=run")
        self.assert_says(done, "a case has 2 channels: before, after")
        self.predict(input="data")
        table = self.table("cases.csv")
        right = [(float(row["grown"]) > 0.5) == bool(int(re.search(r"\d+", case).group(0)) % 2) for case, row in table.items()]
        self.assertEqual(len(right), 24)
        self.assertGreater(sum(right), 20)


class RefusedTest(ChannelsTest):
    def test_cases_that_lack_a_channel_are_left_out_by_name(self):
        folder = nnunet(self.tmp / "data")
        (folder / "imagesTr/case3_0001.nii.gz").unlink()
        done = self.stacked()
        self.assert_says(done, "case3_0000.nii.gz", "is of a case without channel 1", "training: 9 images from 3 files")

    def test_number_of_input_channels(self):
        nnunet(self.tmp / "data")
        done = self.stacked("model.in_channels=3", expect=2)
        self.assert_says(done, "model.in_channels is 3, but a case has 2 channels: T1, FLAIR", "data.channels=single")

    def test_channels_that_are_not_registered(self):
        for name, change in {
            "size": lambda file, volume: save(file, volume[:-1]),
            "place": lambda file, volume: save(file, volume, AFFINE + np.array([[0, 0, 0, 9.0]] * 3 + [[0] * 4])),
            "time": lambda file, volume: save(file, np.stack([volume, volume], -1)),
        }.items():
            with self.subTest(name):
                folder = nnunet(self.tmp / f"data_{name}")
                change(folder / "imagesTr/case2_0001.nii.gz", case_volumes(2)[0][1])
                done = self.stacked(data=folder, run=f"run_{name}", expect=3)
                self.assert_says(done, "case2_0000.nii.gz: its channel case2_0001.nii.gz")

    def test_a_channel_that_holds_nan_names_its_file(self):
        folder = nnunet(self.tmp / "data")
        volume = case_volumes(1)[0][1]
        volume[3, 3, 1] = np.nan
        save(folder / "imagesTr/case1_0001.nii.gz", volume)
        done = self.stacked("data.max_bad_fraction=0", expect=3)
        self.assert_says(done, "case1_0001.nii.gz", "NaN")

    def test_other_order_of_channels(self):
        self.stacked(data=nnunet(self.tmp / "data"))
        other = nnunet(self.tmp / "other", 2, first=10, labels=None, names=NAMES[::-1])
        done = self.predict(input=other, expect=3)
        self.assert_says(done, "the cases have the channels [FLAIR, T1], but the model learnt from [T1, FLAIR]")
        nnunet(self.tmp / "test", 2, first=20, names=NAMES[::-1])
        done = self.stacked("data.test=test", run="run2", expect=3)
        self.assert_says(done, "has the channels [FLAIR, T1], but data.train has [T1, FLAIR]")

    def test_number_of_channels_of_a_case_to_predict(self):
        self.stacked(data=nnunet(self.tmp / "data"))
        volumes, _ = case_volumes(30)
        save(self.tmp / "lonely/x.nii.gz", volumes[0])
        done = self.predict(input="lonely", output="lonely_out", expect=3)
        self.assert_says(done, "x.nii.gz: has 1 channel, but the model learnt from 2: T1, FLAIR", "CASE_0000")
        save(self.tmp / "half/x_0000.nii.gz", volumes[0])
        done = self.predict(input="half", expect=3)
        self.assert_says(done, "x_0000", "is of a case that has the channels 0; the model learnt from 2", "no case could be predicted")
        for channel, volume in enumerate(volumes):
            save(self.tmp / f"half/y_{channel:04d}.nii.gz", volume)
        done = self.predict("--overwrite", input="half", expect=6)
        self.assert_says(done, "x_0000", "those of a case are taken as T1, FLAIR, in the order of their numbers")
        self.assertEqual(list(self.maps("out")), ["y.nii.gz"])

    def test_manifests(self):
        csv = manifest(self.tmp / "data", 3)
        text = csv.read_text()
        for changed, says in ((text.replace("image:FLAIR", "image:t1").replace("image:T1", "image:T1", 1), "column"),
                              (text.replace("image:T1,", "image,"), "both name images"),
                              (text.replace("p1/FLAIR.nii.gz", "p1/T1.nii.gz"), "a second time")):
            csv.write_text(changed)
            self.assert_says(self.stacked(expect=3), says)

    def test_a_case_without_a_channel_is_left_out_by_name(self):
        csv = manifest(self.tmp / "data", 3)
        self.stacked()
        text = csv.read_text()
        csv.write_text(text.replace("p1/FLAIR.nii.gz", ""))
        done = self.predict(input=csv, expect=6)
        self.assert_says(done, f"{csv}:3", "is a case without channel FLAIR")
        self.assertEqual(len(list((self.tmp / "out").rglob("*.nii.gz"))), 2)
        csv.write_text("\n".join(line if line.startswith("image") else line.replace(line.split(",")[0], "") for line in text.splitlines()) + "\n")
        self.assert_says(self.predict("--overwrite", input=csv, expect=3), "without channel T1", "no row is complete")

    def test_sources_of_different_channels(self):
        nnunet(self.tmp / "a")
        nnunet(self.tmp / "b", names=["T1", "FLAIR", "ADC"])
        done = self.stacked(data="[a,b]", expect=3)
        self.assert_says(done, "channels", "data.channels=single")


if __name__ == "__main__":
    unittest.main()
