# SPDX-License-Identifier: Apache-2.0
"""scripts/python/kernel_table.py: the table of a made-up trace, by hand."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/python"))
from kernel_table import as_markdown, kernel_table  # noqa: E402


def event(cat, name, ts, dur, tid=1, **args):
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "tid": tid, "args": args}


class KernelTable(unittest.TestCase):
    def test_kernels_with_the_operators_that_started_them(self):
        trace = {"traceEvents": [
            event("cpu_op", "aten::linear", 0, 50, **{"External id": 1}), event("cpu_op", "aten::mm", 5, 40, **{"External id": 2}), event("cpu_op", "aten::add", 60, 9, **{"External id": 3}),
            event("cuda_runtime", "cudaLaunchKernel", 10, 1, correlation=71, **{"External id": 2}),
            event("kernel", "gemm", 100, 30, **{"External id": 2}), event("kernel", "gemm", 140, 20, correlation=71), event("kernel", "add<float>", 170, 10, **{"External id": 3}),
            event("gpu_memcpy", "Memcpy HtoD", 190, 40), {"ph": "i", "name": "no event with a length"}]}
        table = kernel_table(trace)
        self.assertEqual([(row["name"], row["operator"], row["count"], row["us"]) for row in table], [("gemm", "aten::mm", 2, 50), ("Memcpy HtoD", "", 1, 40), ("add<float>", "aten::add", 1, 10)])
        self.assertAlmostEqual(table[0]["share"], 0.5)
        self.assertIn("| 0.050 | 50.0% | 2 |  | 2 others |", as_markdown(table, 1))

    def test_operators_without_those_that_they_call(self):
        trace = {"traceEvents": [event("cpu_op", "outer", 0, 100), event("cpu_op", "inner", 10, 30), event("cpu_op", "inner", 50, 20), event("cpu_op", "innermost", 52, 5),
                                 event("cpu_op", "outer", 200, 10), event("cpu_op", "inner", 20, 60, tid=2)]}
        self.assertEqual({row["name"]: (row["count"], row["us"]) for row in kernel_table(trace)}, {"outer": (2, 60), "inner": (3, 105), "innermost": (1, 5)})
        self.assertEqual(as_markdown(kernel_table(trace), 1).splitlines(), ["| time, ms | share | count | kernel or operator |", "| --- | --- | --- | --- |", "| 0.105 | 61.8% | 3 | `inner` |", "| 0.065 | 38.2% | 3 | 2 others |"])

    def test_nothing(self):
        self.assertEqual(kernel_table({"traceEvents": []}), [])


if __name__ == "__main__":
    unittest.main()
