# SPDX-License-Identifier: Apache-2.0
"""How nnU-Net normalises channels: as what they are taken for, in training and in `vmae plan` alike; what is unexpected is said, with what to do."""
import json
import re
import shlex
import unittest

import numpy as np

import nnunet_datasets
from finetuning import FinetuneTest, make_segmentation, write_nifti
from test_modality import ct, mr
from test_nnunet import NNUNET, small_plan


class NormalizationTest(FinetuneTest):
    def nnunet(self, *more, data="data", run="run", **kw):
        return self.vmae("finetune-seg", *NNUNET, f"data.train={data}", f"run.dir={run}", *more, **kw)

    def test_ct_is_normalised_as_ct(self):
        """Where its values or data.modality say so, in training and in `vmae plan` alike; data.modality=MR says otherwise."""
        for i in range(4):
            for kind, values in (("images", ct(i)), ("labels", (ct(i) > 500).astype(np.float32))):
                write_nifti(self.tmp / f"ct/{kind}/{i}.nii.gz", values.astype(np.float32))
        few = ["train.max_steps=1", "train.batch_size=2"]
        for run, more, scheme, channel in (("guessed", [], "CTNormalization", "CT"), ("lower", ["data.modality=ct"], "CTNormalization", "CT"), ("said", ["data.modality=MR"], "ZScoreNormalization", "MR")):
            self.assert_says(self.nnunet(*few, *more, data="ct", run=run), f"normalised by {scheme}")
            self.assertEqual(json.loads((self.tmp / run / "plans.json").read_text())["configurations"]["2d"]["normalization_schemes"], [scheme])
            self.assertEqual(json.loads((self.tmp / run / "dataset.json").read_text())["channel_names"], {"0": channel})
        planned = self.vmae("plan", "--input", "ct")
        self.assertIn("CT: CTNormalization", planned.stdout)
        self.assertIn("taken as CT. plan.channel_names=[CT] says so", planned.stderr)

    def test_plan_takes_images_for_what_the_run_does(self):
        """Of 20 images eight are looked at, CT all; without the test case the eight would be others, of which one is no CT. `vmae plan` does the same."""
        rows = ["image,mask,split"]
        for i in range(20):
            image = mr(i) if i == 2 else ct(i)
            for kind, values in (("images", image), ("labels", (ct(i) > 500).astype(np.float32))):
                write_nifti(self.tmp / f"{kind}/{i:02}.nii.gz", values.astype(np.float32))
            rows.append(f"images/{i:02}.nii.gz,labels/{i:02}.nii.gz,{'test' if i == 0 else 'train'}")
        (self.tmp / "list.csv").write_text("\n".join(rows) + "\n")
        alone = self.vmae("plan", "--input", "list.csv", "plan.foreground_voxels=20000")
        done = self.nnunet("train.max_steps=1", "train.batch_size=2", data="list.csv")
        for one in (alone, done):
            self.assert_says(one, "nothing says what 20 images are")
            self.assertNotIn("but the plan has", one.stderr)
        self.assertIn("CT: CTNormalization", alone.stdout)
        self.assert_says(done, "normalised by CTNormalization")

    def test_modality_beside_a_plan(self):
        """The plan is followed, and it is said where data.modality, dataset.json's name or the values stand for another normalisation."""
        make_segmentation(self.tmp / "data", 6)
        few, warning = ["train.max_steps=1", "train.batch_size=2"], "stands for CTNormalization, but the plan has ZScoreNormalization, which is followed"
        quiet = "but the plan has"
        plan = small_plan(self.vmae, "data", self.tmp)
        self.assert_says(self.nnunet(plan, *few, "data.modality=CT"), f"channel 0 is CT, which {warning}")
        self.assertNotIn(quiet, self.nnunet(plan, *few, "data.modality=MR", run="mr").stderr)
        folder = nnunet_datasets.make(nnunet_datasets.ct, self.tmp)
        names = json.loads((folder / "dataset.json").read_text())
        names["channel_names"] = {"0": "arterial"}
        (folder / "dataset.json").write_text(json.dumps(names))
        self.assert_says(self.nnunet(*few, "data.modality=CT", data=folder.name, run="json"), f"channel 0 (arterial) is CT, which {warning}")
        for name in ("noNorm", "zscore", "rescale_to_0_1"):  # said on purpose
            names["channel_names"] = {"0": name}
            (folder / "dataset.json").write_text(json.dumps(names))
            self.assertNotIn(quiet, self.nnunet(*few, data=folder.name, run=name).stderr)

    def test_the_advice_about_a_normalisation_works(self):
        """A plan of what channels are, whatever they are called: followed without a word. Beside weights of other cases it is not taken."""
        rows = ["image:arterial,image:venous,mask"]
        for i in range(6):
            for kind, values in (("a", ct(i)), ("v", ct(i + 50)), ("m", (ct(i) > 500).astype(np.float32))):
                write_nifti(self.tmp / f"{kind}/{i}.nii.gz", values.astype(np.float32))
            rows.append(f"a/{i}.nii.gz,v/{i}.nii.gz,m/{i}.nii.gz")
        two = "it's two.csv"
        (self.tmp / two).write_text("\n".join(rows) + "\n")
        (self.tmp / "one.csv").write_text("\n".join(row.replace(",image:venous", "").replace(f",v/{i - 1}.nii.gz", "") for i, row in enumerate(rows)) + "\n")
        few, planned = ["train.max_steps=1", "train.batch_size=2"], "nnunet.plan=planned/nnUNetPlans.json"
        said = self.nnunet(*few, data=two)
        self.assert_says(said, "channel 0 (arterial) is CT, which stands for", "channel 1 (venous) is CT")
        advised = shlex.split(re.search(r"another is made by `vmae (plan .*)` and", said.stderr)[1])
        self.assertEqual(advised, ["plan", "--input", two, "plan.channel_names=[CT,CT]"])
        self.vmae(*advised, "plan.foreground_voxels=20000", "--output", "planned")
        self.assertNotIn("but the plan has", self.nnunet(*few, planned, data=two, run="other").stderr)
        self.assert_says(self.nnunet(*few, data="one.csv", run="one"), "arterial is no modality: the name is not used", "normalised by CTNormalization")
        self.assert_says(self.nnunet(*few, "model.init=one", data=two, run="third", expect=2), "the plan of model.init = one has 1 channel, but a case has 2", "begin without model.init")
        self.assert_says(self.nnunet(*few, "model.init=one", planned, data=two, run="third", expect=4), "is of cases with 2 channels, the weights of model.init = one are for 1")
        (self.tmp / "mr.csv").write_text("image:MR,mask\n" + "\n".join((self.tmp / "one.csv").read_text().splitlines()[1:]) + "\n")
        said = self.nnunet(*few, data="mr.csv", run="mr")
        self.assert_says(said, "normalised by ZScoreNormalization")
        self.assertNotIn("taken as CT", said.stderr)
        for i in range(6):
            write_nifti(self.tmp / f"a/{i}.nii.gz", mr(i).astype(np.float32))
        self.assert_says(self.nnunet(*few, "model.init=one", data="one.csv", run="not_ct"), "channel 0 is not known to be CT, but the plan has CTNormalization")


if __name__ == "__main__":
    unittest.main()
