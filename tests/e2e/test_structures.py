# SPDX-License-Identifier: Apache-2.0
"""prepare.structures as a map: several structures of DICOM become one class. Voxels are counted in the masks of single structures, and united here."""
import json
import unittest

import numpy as np

import report_inputs as made
from finetuning import FinetuneTest
from test_prepared_bytes import read_dataset

SHAPES = {"GTV_CT": (-12, 0, -12, 0), "GTV_PET": (-6, 6, -6, 6), "Lung": (2, 14, -14, -2), "Skin": (-15, 15, -15, 15)}
HEIGHTS = (0, 3, 6)


class StructuresTest(FinetuneTest):
    def patient(self, name, structures, folder="ct"):
        images = made.ct_series(self.tmp / folder / name, HEIGHTS, change=lambda data, i: setattr(data, "PatientID", name))
        made.rtstruct(self.tmp / folder / name / "rt.dcm", images, [(one, [made.box(*SHAPES[one.strip()], z) for z in HEIGHTS]) for one in structures])

    def setUp(self):
        super().setUp()
        self.patient("A", ["GTV_CT", "Lung", "GTV_PET"])
        self.patient("B", ["GTV_PET", "Lung"])
        self.patient("C", ["Lung", "GTV_CT"])

    def prepare(self, structures, output="out", source="ct", **kw):
        return self.vmae("prepare", "--input", source, "--output", output, f"prepare.structures={structures}", "prepare.names=keep", **kw)

    def masks(self, output="out"):
        """By case: all of its slices."""
        cases, items = read_dataset(self.tmp / output)
        masks = {}
        for item in items:
            masks.setdefault(cases[item["case"]]["name"], []).append(item["mask"])
        return {name.split("/")[0]: np.stack(slices) for name, slices in masks.items()}

    def alone(self, structure):
        """Where a structure lies, by case; nowhere where the case lacks it."""
        self.prepare(f"[{structure},Skin]" if structure != "Lung" else "[Lung]", output=f"alone_{structure}", expect=6 if structure != "Lung" else 0)
        return {name: mask == 1 for name, mask in self.masks(f"alone_{structure}").items()}

    def test_a_union_is_one_class(self):
        said = self.prepare("{tumour: [GTV_CT, GTV_PET], lung: Lung}").stderr
        self.assertEqual(json.loads(self.vmae("inspect", "out", "--json").stdout)["mask_names"], ["tumour", "lung"])
        ct, pet, lung = (self.alone(name) for name in ("GTV_CT", "GTV_PET", "Lung"))
        for name, mask in self.masks().items():
            nowhere = np.zeros(mask.shape, bool)
            tumour = ct.get(name, nowhere) | pet.get(name, nowhere)
            self.assertGreater(tumour.sum(), 0)
            np.testing.assert_array_equal(mask, np.where(tumour & (mask == 1), 1, np.where(lung[name], 2, np.where(tumour, 1, 0))))
        self.assertGreater((ct["A"] & pet["A"]).sum(), 0)  # they overlap, which is no loss within one class
        self.assertNotIn("'GTV_CT' and 'GTV_PET' overlap", said)
        self.assertIn("'Lung' and 'GTV_PET' overlap", said)

    def test_the_order_is_that_of_the_map(self):
        self.prepare("{lung: [Lung], tumour: [GTV_PET, GTV_CT]}")
        swapped = self.masks()
        self.prepare("{tumour: [GTV_CT, GTV_PET], lung: Lung}", output="other")
        for name, mask in self.masks("other").items():
            np.testing.assert_array_equal((mask > 0), (swapped[name] > 0))
            self.assertEqual(set(np.unique(mask[(mask == 1) & (swapped[name] == 2)])), {1})
            self.assertGreater((mask == 1).sum(), 0)

    def test_a_case_without_the_class(self):
        """It has the others; one that has none of them is left out, as of a list."""
        self.patient("D", ["Lung"])
        self.patient("E", ["Skin"])
        self.prepare("{tumour: [GTV_CT, GTV_PET], lung: Lung}", expect=6)
        masks = self.masks()
        self.assertEqual(set(masks), {"A", "B", "C", "D"})
        self.assertEqual(set(np.unique(masks["D"])), {0, 2})
        self.assertIn("none of prepare.structures", (self.tmp / "out/quarantine.jsonl").read_text())

    def test_a_file_and_a_list(self):
        (self.tmp / "c.yaml").write_text("prepare:\n  structures:\n    tumour: [GTV_CT, GTV_PET]\n    lung: [Lung]\n")
        self.vmae("prepare", "--config", "c.yaml", "--input", "ct", "--output", "out")
        self.assertEqual(json.loads(self.vmae("inspect", "out", "--json").stdout)["mask_names"], ["tumour", "lung"])
        shown = self.vmae("prepare", "--config", "c.yaml", "--print-config").stdout
        self.assertIn("structures: {tumour: [GTV_CT, GTV_PET], lung: [Lung]}", shown)
        self.assertIn("structures: [Lung, GTV_CT]", self.vmae("prepare", "prepare.structures=[Lung,GTV_CT]", "--print-config").stdout)
        for given, expected in (("{Lung: Lung, GTV_CT: [GTV_CT]}", "[Lung, GTV_CT]"), ("{Lung: GTV_CT}", "{Lung: [GTV_CT]}")):
            self.assertIn(f"structures: {expected}", self.vmae("prepare", f"prepare.structures={given}", "--print-config").stdout)
        self.vmae("prepare", "--config", "c.yaml", "--input", "ct", "--output", "out")  # nothing to do: the plan is the same

    def test_mistakes_are_named(self):
        for given, code, said in (("{tumour: [GTV_CT, GTV_PETT], lung: Lung}", 3, ("GTV_PETT", "tumour", "did you mean 'GTV_PET'", "GTV_CT, GTV_PET, Lung")),
                                  ("{tumour: [GTV_CT], lung: [GTV_CT, Lung]}", 2, ("GTV_CT", "tumour", "lung")),
                                  ("{tumour: [GTV_CT, GTV_CT]}", 2, ("GTV_CT", "twice")), ("{tumour: []}", 2, ("tumour",)),
                                  ("{tumour: [GTV_CT], Tumour : [{a: b}]}", 2, ("list",)), ("{tumour: GTV_CT, tumour: Lung}", 2, ("tumour",)),
                                  ("[[GTV_CT]]", 2, ("list",))):
            with self.subTest(given):
                self.assert_says(self.prepare(given, expect=code), *said)
        self.assertFalse((self.tmp / "out/index.json").exists())


if __name__ == "__main__":
    unittest.main()
