# SPDX-License-Identifier: Apache-2.0
"""vmae plan: fingerprints and plans of made-up and real datasets equal nnU-Net's (tests/golden/make_nnunet_plans.py); other layouts; plans in and out."""
import json
import shutil
import unittest

import nibabel
import nnunet_datasets
import numpy as np
from harness import GOLDEN, VmaeTest


def expected_of(name=None, file="nnunet_datasets"):
    """What nnU-Net makes of a dataset: "voxels" (drawn), "fingerprint" and "plans"."""
    datasets = json.loads((GOLDEN / f"{file}.json").read_text())
    return datasets[name] if name else datasets


class PlanTest(VmaeTest):
    def plan(self, *arguments, output="out", expect=0):
        """-> fingerprint, plans, standard output."""
        done = self.vmae("plan", *arguments, *(["--output", output] if output else []), expect=expect)
        if expect or not output:
            return done
        read = [json.loads(path.read_text()) if path.exists() else None for path in
                (self.tmp / output / "dataset_fingerprint.json", self.tmp / output / "nnUNetPlans.json")]
        return *read, done.stdout

    def check(self, maker, expected=None):
        name, expected = maker.__name__, expected or expected_of(maker.__name__)
        folder = nnunet_datasets.make(maker, self.tmp)
        fingerprint, plans, text = self.plan("--input", folder, f"plan.foreground_voxels={expected['voxels']}", output=name)
        self.assertEqual(fingerprint, expected["fingerprint"], name)  # every float bit for bit
        self.assertEqual(plans, expected["plans"], name)
        plan = plans["configurations"]["2d"]
        self.assertRegex(text, rf"(?m)^  batch +{plan['batch_size']}$")
        self.assertRegex(text, rf"(?m)^  patch +{plan['patch_size'][0]} x {plan['patch_size'][1]}$")
        self.assertRegex(text, rf"(?m)^  cases +{len(fingerprint['spacings'])}, ")
        shutil.rmtree(folder)

    def test_equals_nnunet(self):
        self.assertEqual(list(expected_of()), [maker.__name__ for maker in nnunet_datasets.MAKERS])
        for maker in nnunet_datasets.MAKERS:
            if maker.__name__ not in nnunet_datasets.WITH_ALL_VOXELS:
                with self.subTest(maker.__name__):
                    self.check(maker)

    @unittest.skipUnless(nnunet_datasets.real_data(), "needs VMAE_REAL_DATA, a folder of larger real datasets")
    def test_equals_nnunet_on_whole_sets(self):
        for maker in nnunet_datasets.WHOLE:
            with self.subTest(maker.__name__):
                self.check(maker, expected_of(maker.__name__, "nnunet_whole_datasets"))

    def test_dicom_gives_the_plan_of_its_nifti(self):
        """Series with the contours of an RTSTRUCT; nnU-Net has seen them as NIfTI."""
        for modality, name in (("CT", "sts001_ct"), ("MR_T1", "sts001_mr"), ("PET", "sts001_pet")):
            with self.subTest(modality):
                expected = expected_of(name)
                fingerprint, plans, _ = self.plan("--input", nnunet_datasets.DATA / "sts001" / modality, f"plan.foreground_voxels={expected['voxels']}", output=modality)
                self.assert_same_plan(fingerprint, plans, expected)

    def test_equals_nnunet_with_all_voxels(self):
        for name in nnunet_datasets.WITH_ALL_VOXELS:
            with self.subTest(name):
                self.check(getattr(nnunet_datasets, name))

    # Other layouts: the same images give the same plan, but for names.

    def assert_same_plan(self, fingerprint, plans, expected, spacing_digits=None):
        self.assertEqual(fingerprint["shapes_after_crop"], expected["fingerprint"]["shapes_after_crop"])
        np.testing.assert_allclose(fingerprint["spacings"], expected["fingerprint"]["spacings"], rtol=1e-6)
        for key in ("mean", "std", "percentile_00_5", "percentile_99_5"):
            self.assertAlmostEqual(fingerprint["foreground_intensity_properties_per_channel"]["0"][key],
                                   expected["fingerprint"]["foreground_intensity_properties_per_channel"]["0"][key])
        a, b = plans["configurations"]["2d"], expected["plans"]["configurations"]["2d"]
        for key in a:
            if key == "spacing":
                np.testing.assert_allclose(a[key], b[key], rtol=1e-6)
            else:
                self.assertEqual(a[key], b[key], key)

    def test_prepared_manifest_and_folders(self):
        folder, expected = nnunet_datasets.make(nnunet_datasets.ct, self.tmp), expected_of("ct")
        rows = ["image,mask,modality,split"]
        for mask in sorted((folder / "labelsTr").iterdir()):
            image = folder / "imagesTr" / mask.name.replace(".nii", "_0000.nii")
            rows.append(f"{image},{mask},CT,")
            for kind, file in (("images", image), ("labels", mask)):
                (self.tmp / "data" / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(file, self.tmp / "data" / kind / mask.name)
        for name in ("test_image", "test_mask"):
            nnunet_datasets.write_volume(self.tmp / f"{name}.nii.gz", np.ones((3, 40, 40), np.uint8), (9, 9, 9))
        rows.append("test_image.nii.gz,test_mask.nii.gz,CT,test")
        (self.tmp / "list.csv").write_text("\n".join(rows) + "\n")
        self.vmae("prepare", "--input", folder, "--output", "prepared")
        for source, name, more in ((folder, "Dataset003_ct", []), ("list.csv", "list", []), ("prepared", "prepared", []),
                                   ("data", "data", ["plan.channel_names=[CT]"])):
            with self.subTest(name):
                output = "out-" + name
                fingerprint, plans, _ = self.plan("--input", source, f"plan.foreground_voxels={10 ** 6}", *more, output=output)
                self.assertEqual(plans["dataset_name"], name)
                if name == "Dataset003_ct":
                    expected = {"fingerprint": fingerprint, "plans": plans}
                else:
                    self.assert_same_plan(fingerprint, plans, expected)
        self.assertEqual(expected["plans"]["configurations"]["2d"]["normalization_schemes"], ["CTNormalization"])

    def test_prepared_pictures_regions_and_ignore(self):
        for maker in (nnunet_datasets.colour_pictures, nnunet_datasets.regions, nnunet_datasets.ignore):
            with self.subTest(maker.__name__):
                expected = expected_of(maker.__name__)
                folder, prepared = nnunet_datasets.make(maker, self.tmp), "prepared-" + maker.__name__
                self.vmae("prepare", "--input", folder, "--output", prepared)
                names = list(json.loads((folder / "dataset.json").read_text())["channel_names"].values())
                fingerprint, plans, _ = self.plan("--input", prepared, "plan.foreground_voxels=1000000", f"plan.channel_names=[{','.join(names)}]",
                                                  output="out-" + maker.__name__)
                self.assertEqual(plans["image_reader_writer"], expected["plans"]["image_reader_writer"])
                self.assert_same_plan(fingerprint, plans, expected)

    # In and out

    def test_reads_what_it_wrote_and_keeps_what_it_does_not_know(self):
        plans = expected_of("two_channels")["plans"]
        plans["configurations"]["3d_fullres"] = {"batch_size": 2, "patch_size": [96, 96, 96]}
        plans["configurations"]["mine"] = {"inherits_from": "2d", "batch_size": 3}
        plans["configurations"]["2d"]["a_key"] = [1, {"b": None}]
        plans["another"] = {"deep": [1.5, "x"]}
        (self.tmp / "p.json").write_text(json.dumps(plans))
        text = self.plan("--from", "p.json", output=None).stdout
        self.assertIn("2D configuration of Dataset004_two_channels", text)
        self.assertRegex(text, r"(?m)^  channel 1 +ZScoreNormalization within the non-zero part; ")
        fingerprint, written, _ = self.plan("--from", "p.json")
        self.assertIsNone(fingerprint)
        self.assertEqual(written, plans)
        self.plan("--from", "p.json", expect=2)  # is there already
        self.plan("--from", "out/nnUNetPlans.json", output="again")
        self.assertEqual((self.tmp / "again/nnUNetPlans.json").read_bytes(), (self.tmp / "out/nnUNetPlans.json").read_bytes())
        # planned again into the same folder: 2d is new, the others stay
        folder = nnunet_datasets.make(nnunet_datasets.tiny, self.tmp)
        self.plan("--input", folder, expect=2)
        _, merged, _ = self.plan("--input", folder, "--overwrite", "plan.foreground_voxels=1000000")
        self.assertEqual(merged["configurations"].pop("mine"), plans["configurations"]["mine"])
        self.assertEqual(merged["configurations"].pop("3d_fullres"), plans["configurations"]["3d_fullres"])
        self.assertEqual(merged, expected_of("tiny")["plans"])
        # a plan from elsewhere into that folder: all that is its own, and the others stay
        other = expected_of("ct")["plans"]
        other["configurations"]["3d_fullres"] = {"batch_size": 7}
        other["another"] = 1
        (self.tmp / "q.json").write_text(json.dumps(other))
        _, merged, _ = self.plan("--from", "q.json", "--overwrite")
        self.assertEqual(merged["configurations"].pop("mine"), plans["configurations"]["mine"])
        self.assertEqual(merged, other)
        # what is there is read before any work
        (self.tmp / "out/nnUNetPlans.json").write_text("{")
        for source in (("--input", "nowhere"), ("--from", "q.json")):
            self.assertIn("out/nnUNetPlans.json: is not JSON", self.plan(*source, "--overwrite", expect=3).stderr)

    def test_from_has_no_keys(self):
        (self.tmp / "p.json").write_text(json.dumps(expected_of("ct")["plans"]))
        for key in ("plan.name=mine", "plan.gpu_memory_gb=24", "plan.channel_names=[CT]"):
            message = f"--from reads a plan as it is, but {key.replace('=', ' is set to ')}"
            self.assertIn(message, self.plan("--from", "p.json", key, expect=2).stderr)
        self.plan("--from", "p.json", "plan.name=nnUNetPlans", output=None)
        self.assertFalse((self.tmp / "out").exists())

    def test_refuses_keys_before_cases_are_read(self):
        folder = nnunet_datasets.make(nnunet_datasets.tiny, self.tmp)
        for image in (folder / "imagesTr").iterdir():
            image.write_bytes(b"")
        for key, message in (("plan.classes=[a,a]", "plan.classes: two classes are called a"), ("plan.label_values=[1,1]", "plan.label_values holds 1 twice"),
                             ("plan.splits=" + 300 * "a", "File name too long"), ("plan.name=" + 300 * "a", "which is no name of a file")):
            self.assertIn(message, self.plan("--input", folder, key, output=None, expect=2).stderr)

    def test_plans_of_older_versions_and_that_inherit(self):
        plans = expected_of("two_channels")["plans"]
        flat = plans["configurations"]["2d"]
        network = flat.pop("architecture")["arch_kwargs"]
        old = {**flat, "UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 32, "unet_max_num_features": 512, "num_pool_per_axis": [2, 2],
               "n_conv_per_stage_encoder": network["n_conv_per_stage"], "n_conv_per_stage_decoder": network["n_conv_per_stage_decoder"],
               "pool_op_kernel_sizes": network["strides"], "conv_kernel_sizes": network["kernel_sizes"]}
        batch = old.pop("batch_size")
        for configurations in ({"2d": {"batch_size": batch, **old}}, {"base": old, "2d": {"inherits_from": "base", "batch_size": batch}}):
            (self.tmp / "p.json").write_text(json.dumps({**plans, "configurations": configurations}))
            _, written, _ = self.plan("--from", "p.json", "--overwrite")
            self.assertEqual(written["configurations"], {**configurations, "2d": expected_of("two_channels")["plans"]["configurations"]["2d"]})

    def test_refuses_plans_that_mean_nothing(self):
        def broken(change):
            plans = expected_of("ct")["plans"]
            change(plans, plans["configurations"]["2d"], plans["configurations"]["2d"]["architecture"]["arch_kwargs"])
            return plans
        for change, message in [
                (lambda p, c, n: p.pop("configurations"), 'has no "configurations"'),
                (lambda p, c, n: p["configurations"].update({"2d": 1}), '"configurations.2d" is 1; meant is an object'),
                (lambda p, c, n: (c.update(inherits_from="base"), p["configurations"].update(base=1)), '"configurations.base" is 1; meant is an object'),
                (lambda p, c, n: p.update(plans_name="../x"), 'p.json: "plans_name" is "../x", which is no name of a file'),
                (lambda p, c, n: p.update(plans_name="dataset"), 'p.json: "plans_name" is "dataset", which is no name of a file'),
                (lambda p, c, n: p["configurations"].pop("2d"), 'has no "configurations.2d"'),
                (lambda p, c, n: c.update(batch_size=1.5), '"2d.batch_size" is 1.5; meant is a whole number from 1'),
                (lambda p, c, n: c.update(patch_size=[64, 60]), "which the patch size 60 is no multiple of"),
                (lambda p, c, n: c.update(spacing=[0, 1]), '"2d.spacing.0" is 0'),
                (lambda p, c, n: c.update(normalization_schemes=["Best"]), "known are CTNormalization"),
                (lambda p, c, n: c.update(preprocessor_name="Mine"), 'known is "DefaultPreprocessor" alone'),
                (lambda p, c, n: c.update(inherits_from="2d"), "it inherits from itself"),
                (lambda p, c, n: n.update(norm_op="torch.nn.modules.batchnorm.BatchNorm2d"), "InstanceNorm2d"),
                (lambda p, c, n: n["strides"].pop(), "strides, one per stage"),
                (lambda p, c, n: n.pop("conv_bias"), 'arch_kwargs.conv_bias"'),
                (lambda p, c, n: c["architecture"].update(network_class_name="x.ResidualEncoderUNet"), "PlainConvUNet"),
                (lambda p, c, n: p.update(transpose_backward=[1, 0, 2]), "does not undo"),
                (lambda p, c, n: p.update(transpose_forward=[0, 0, 2]), "meant are 0, 1 and 2")]:
            (self.tmp / "p.json").write_text(json.dumps(broken(change)))
            with self.subTest(message):
                self.assertIn(message, self.plan("--from", "p.json", output=None, expect=3).stderr)
        (self.tmp / "p.json").write_text('{"configurations": ')
        self.assertIn("p.json: is not JSON", self.plan("--from", "p.json", output=None, expect=3).stderr)

    # Bad input

    def test_bad_input(self):
        folder = nnunet_datasets.make(nnunet_datasets.isotropic, self.tmp)
        few = "plan.foreground_voxels=100000"
        self.assertIn("neither --input nor --from", self.plan(output=None, expect=2).stderr)
        self.assertIn("both --input and --from", self.plan("--input", folder, "--from", "x", output=None, expect=2).stderr)
        for name in ("a/b", ".", "..", "dataset", "dataset_fingerprint"):
            self.assertIn(f"plan.name is '{name}', which is no name of a file", self.plan("--input", folder, f"plan.name={name}", expect=2).stderr)
        self.assertIn("plan.channel_names = [T1, T2] has 2 names, but a case has 1 channel", self.plan("--input", folder, few, "plan.channel_names=[T1,T2]", expect=2).stderr)
        self.assertFalse((self.tmp / "out").exists())  # the folder is made once there is something for it
        image = folder / "imagesTr/case01_0000.nii.gz"
        whole = nibabel.load(image)
        values = np.asarray(whole.dataobj, np.float32)
        values[3, 4, 5] = np.nan
        nibabel.save(nibabel.Nifti1Image(values, whole.affine), image)
        self.assertRegex(self.plan("--input", folder, few, output=None, expect=3).stderr, r"case01_0000.nii.gz: holds NaN")
        image.write_bytes(b"no volume")
        self.assertIn("case01_0000.nii.gz", self.plan("--input", folder, few, output=None, expect=3).stderr)
        shutil.rmtree(folder / "labelsTr")
        self.assertIn("no case has a mask", self.plan("--input", folder, few, output=None, expect=3).stderr)

    def test_colours_and_channels(self):
        """Three names: of one picture in colour its colours, of grey ones channels that are missing."""
        grey, colour = (nnunet_datasets.make(maker, self.tmp) for maker in (nnunet_datasets.grey_pictures, nnunet_datasets.colour_pictures))
        shutil.copy(colour / "dataset.json", grey / "dataset.json")
        self.assertIn("is of a case without channel 1, 2", self.plan("--input", grey, output=None, expect=3).stderr)
        for name, folder in (("a", colour), ("b", grey)):
            for kind, file in (("images", "imagesTr/case0_0000.png"), ("labels", "labelsTr/case0.png")):
                (self.tmp / "mixed" / kind).mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / file, self.tmp / "mixed" / kind / f"{name}.png")
        self.assertIn("case 1 has 3 channels, but case 2 has 1", self.plan("--input", "mixed", "plan.foreground_voxels=1000", output=None, expect=3).stderr)
        (colour / "imagesTr/case0_0000.png").write_bytes(b"no picture")
        self.assertIn("case0_0000.png", self.plan("--input", colour, "plan.foreground_voxels=1000", output=None, expect=3).stderr)

    def test_labels_that_nnunet_refuses(self):
        """A plan can be made of them; that nothing can be trained with it is said."""
        folder = nnunet_datasets.make(nnunet_datasets.tiny, self.tmp)
        file = folder / "dataset.json"
        json_of = json.loads(file.read_text())
        plan = lambda: self.plan("--input", folder, "plan.foreground_voxels=1000", output=None).stderr
        self.assertNotIn("refuses these labels", plan())
        for labels, said in (({"background": 0, "a": 1, "b": 3}, "labels.b"), ({"background": 0, "whole": [1, 2], "b": 2}, "regions_class_order")):
            file.write_text(json.dumps({**json_of, "labels": labels}))
            self.assertRegex(plan(), f"warning nnU-Net's own program refuses these labels: .*{said}")

    def test_inspect_says_what_prints_it(self):
        (self.tmp / "p.json").write_text(json.dumps(expected_of("ct")["plans"]))
        (self.tmp / "pictures.json/images").mkdir(parents=True)
        shutil.copy(nnunet_datasets.make(nnunet_datasets.colour_pictures, self.tmp) / "imagesTr/case0_0000.png", self.tmp / "pictures.json")
        self.vmae("inspect", "pictures.json")  # a folder, whatever its name
        (self.tmp / "x.pth").mkdir()
        self.assertIn("x.pth: a folder without checkpoints", self.vmae("inspect", "x.pth", expect=4).stderr)
        self.assertIn("vmae plan --from p.json", self.vmae("inspect", "p.json", expect=2).stderr)

    def test_masks_with_other_values(self):
        """What finetune-seg calls data.label_values: with them a plan is that of the same masks numbered from 1."""
        folder = nnunet_datasets.make(nnunet_datasets.isotropic, self.tmp)
        for kind, masks in (("images", "imagesTr"), ("labels", "labelsTr")):
            for path in sorted((folder / masks).iterdir()):
                name = path.name.replace("_0000", "")
                for data, factor in (("one", 1), ("far", 1 if kind == "images" else 100)):
                    (self.tmp / data / kind).mkdir(parents=True, exist_ok=True)
                    whole = nibabel.load(path)
                    nibabel.save(nibabel.Nifti1Image(np.asarray(whole.dataobj) * np.int16(factor), whole.affine), self.tmp / data / kind / name)
        few = "plan.foreground_voxels=100000"
        values = sorted(set(np.unique(np.asarray(nibabel.load(next((self.tmp / "far/labels").iterdir())).dataobj))) - {0})
        refused = self.plan("--input", "far", few, output=None, expect=3).stderr
        self.assertIn(f"plan.label_values=[{','.join(str(int(value)) for value in values)}]", refused)
        plans = [self.plan("--input", data, few, *more, output=data + "_plan") for data, more in (("one", []), ("far", [f"plan.label_values={[int(value) for value in values]}"]))]
        self.assertEqual(*[{**json.loads((self.tmp / f"{data}_plan/nnUNetPlans.json").read_text()), "dataset_name": ""} for data in ("one", "far")])

    def test_a_link_keeps_its_name(self):
        (self.tmp / "Dataset099_Link").symlink_to(nnunet_datasets.make(nnunet_datasets.tiny, self.tmp))
        for path in ("Dataset099_Link", "Dataset099_Link/"):
            self.assertIn("2D configuration of Dataset099_Link\n", self.plan("--input", path, "plan.foreground_voxels=1000", output=None).stdout)

    def test_says_what_is_odd(self):
        folder, few = self.tmp / "Dataset020_Flat", "plan.foreground_voxels=10000"
        nnunet_datasets.make_volumes(folder, 20, [(1, 40, 44), (1, 42, 40)], [(0.5, 1, 1)])
        self.assertIn("slices of this plan are one pixel high: 1 x ", self.plan("--input", folder, few, output=None).stderr)
        folder, rows = nnunet_datasets.make(nnunet_datasets.ct, self.tmp), ["image:arterial,image:venous,mask,modality"]
        for mask in sorted((folder / "labelsTr").iterdir()):
            image = folder / "imagesTr" / mask.name.replace(".nii", "_0000.nii")
            venous = image.with_name(image.name.replace("_0000", "_0001"))
            whole = nibabel.load(image)
            nibabel.save(nibabel.Nifti1Image(np.asarray(whole.dataobj) + np.int16(1), whole.affine), venous)
            rows.append(f"{image},{venous},{mask},CT")
        (self.tmp / "list.csv").write_text("\n".join(rows) + "\n")
        one = "is CT, which stands for CTNormalization, but the plan has ZScoreNormalization"
        warning = f"channel 0 (arterial) {one}; channel 1 (venous) {one}: plan.channel_names=[CT,CT] gives what it stands for"
        self.assertIn(warning, self.plan("--input", "list.csv", few, output=None).stderr)
        (self.tmp / "unsaid.csv").write_text("\n".join(row.rsplit(",", 1)[0] for row in rows) + "\n")
        guessed = self.plan("--input", "unsaid.csv", few, output=None).stderr
        self.assertIn(warning, guessed)
        self.assertNotIn("taken as CT", guessed)
        done = self.plan("--input", "list.csv", few, "plan.channel_names=[CT,CT]", output=None)
        self.assertNotIn("z-score", done.stderr)
        self.assertIn("CT: CTNormalization", done.stdout)
        self.assertNotIn("one pixel", done.stderr)

    def test_output_that_cannot_be(self):
        (self.tmp / "file").write_text("")
        folder = nnunet_datasets.make(nnunet_datasets.tiny, self.tmp)
        self.assertIn("file/out can't be created", self.plan("--input", folder, output="file/out", expect=2).stderr)

    def test_no_foreground_at_all(self):
        folder = self.tmp / "Dataset001_Empty"
        nnunet_datasets.make_volumes(folder, 1, [(5, 20, 20)], [(1, 1, 1)], mask_of=lambda random, size, i: np.zeros(size, np.uint8))
        self.assertIn("no mask holds any foreground", self.plan("--input", folder, output=None, expect=3).stderr)


if __name__ == "__main__":
    unittest.main()
