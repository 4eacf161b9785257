# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning and prediction on a GPU: every network as on the CPU, alike every time; predictions in every precision."""
import csv
import json
import unittest

from gpu_harness import DEVICE, IS_CUDA, NO_TF32, SWIN, TRAIN, TRANSUNET, UNET, GpuTest, make_classes, make_segmentation

RECIPE = ["recipe=paper", *TRAIN, "data.val_fraction=0.25", "optim.lr=1e-3"]
NNUNET = ["model.name=nnunet", "data.val_fraction=0.25", "train.precision=fp32", "train.log_every=1", "train.draw_every=0", "train.steps_per_epoch=3", "train.epochs=2", "train.batch_size=4",
          "run.threads=2", "data.workers=2", "nnunet.plan=plan.json"]


class Segmentation(GpuTest):
    def setUp(self):
        super().setUp()
        make_segmentation(self.tmp / "data")

    def train(self, run, *network, device=DEVICE, variables=NO_TF32):
        self.vmae("finetune-seg", *network, "data.train=data", f"run.dir={run}", f"run.device={device}", variables=variables)
        return self.losses(run)

    def predict(self, weights, output, device=DEVICE, precision="fp32", variables=None):
        self.vmae("predict", "--weights", weights, "--input", "data/images", "--output", output, "--device", device, "--precision", precision, variables=variables)

    def dice(self, first, second):
        """The mean over the cases of two folders of predictions."""
        self.vmae("eval", "--pred", first, "--truth", second, "--output", "report", "--resamples", 20, "--overwrite")
        with open(self.tmp / "report/cases.csv", newline="") as file:
            values = [float(row["Dice"]) for row in csv.DictReader(file) if row["Dice"]]
        return sum(values) / len(values)

    def check(self, *network, tolerance=2e-3):
        here, cpu = self.train("here", *network), self.train("cpu", *network, device="cpu")
        self.assert_close(here[:6], cpu[:6], tolerance)
        self.assert_close(here[6:], cpu[6:], 5e-2)  # rounding grows with the steps
        self.train("again", *network)
        self.assert_same_weights("here", "again")

    def test_unet(self):
        self.check(*UNET, *RECIPE)

    def test_transunet(self):
        self.check(*TRANSUNET, *RECIPE, tolerance=1e-2)

    def test_nnunet(self):
        self.vmae("plan", "--input", "data", "--output", "planned")
        plan = json.loads((self.tmp / "planned/nnUNetPlans.json").read_text())
        arguments = plan["configurations"]["2d"]["architecture"]["arch_kwargs"]
        arguments["features_per_stage"] = [4, 8, 8, 8, 8, 8][:arguments["n_stages"]]
        (self.tmp / "plan.json").write_text(json.dumps(plan))
        self.check(*NNUNET, tolerance=1e-2)
        self.predict("here", "here-out")
        self.predict("here", "cpu-out", device="cpu")
        self.assertGreater(self.dice("here-out", "cpu-out"), 0.98)

    def test_swin_unet_and_its_predictions(self):
        self.check(*SWIN, *RECIPE, "train.epochs=20")
        self.predict("here", "cpu-out", device="cpu")
        for name, precision, variables in (("fp32", "fp32", NO_TF32), ("tf32", "fp32", {}), ("bf16", "bf16", {}), ("fp16", "fp16", {})):
            with self.subTest(name):
                if name == "fp16" and not IS_CUDA:
                    continue
                self.predict("here", name, precision=precision, variables=variables)
                self.assertGreater(self.dice(name, "cpu-out"), 0.999 if name == "fp32" else 0.95)


class Classification(GpuTest):
    def test_training_and_scores(self):
        make_classes(self.tmp / "data")
        for run, device in (("here", DEVICE), ("cpu", "cpu"), ("again", DEVICE)):
            self.vmae("finetune-cls", *SWIN, *RECIPE, "data.train=data/list.csv", f"run.dir={run}", f"run.device={device}", variables=NO_TF32)
        self.assert_close(self.losses("here"), self.losses("cpu"), 2e-3)
        self.assert_same_weights("here", "again")
        scores = {}
        for output, device in (("here-out", DEVICE), ("cpu-out", "cpu")):
            self.vmae("predict", "--weights", "here", "--input", "data/images", "--output", output, "--device", device, "--precision", "fp32", variables=NO_TF32)
            with open(self.tmp / output / "cases.csv", newline="") as file:
                scores[output] = [float(row["above"]) for row in csv.DictReader(file)]
        self.assert_close(scores["here-out"], scores["cpu-out"], 1e-3)
        self.vmae("features", "--weights", "here", "--input", "data/images", "--output", "features.csv", "--device", DEVICE)


if __name__ == "__main__":
    unittest.main()
