# SPDX-License-Identifier: Apache-2.0
"""scripts/gpu-proof with programs that stand in for vmae, PyTorch and nvidia-smi: what fails, hangs, prints nonsense or runs out of memory is written down, and the rest goes on."""
import getpass
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

FAKE_VMAE = r'''#!PYTHON
import json, os, socket, sys, time
command, options = sys.argv[1], sys.argv[1:]
mode = os.environ.get("FAKE", "")
def value(name, default=""):
    return options[options.index(name) + 1] if name in options else default
if command == "--version":
    print("vmae 0.1.0 (abc), for PyTorch 2.11.0")
elif command == "doctor":
    if mode == "no torch":
        print("CPU  some\nerror: this needs PyTorch 2.11.0")
        sys.exit(1)
    print("LibTorch     " + os.environ["FAKE_TORCH"] + " (where vmae was installed or built)")
    print("GPUs  none" if mode == "no gpu" else "GPU 0  NVIDIA H200, 139.8 GiB, sm_90")
elif command == "bench" and mode == "bad" and "--cuda-graph" in options:
    print("can't be recorded, says", socket.gethostname() + ".ward.example.org", "in", os.path.expanduser("~") + "/secret", "File \"/projects/of/somebody/site.py\"", "/usr/lib/x.so")
    sys.exit(1)
elif command == "bench" and mode == "bad" and "--deterministic" in options:
    print("nonsense")
elif command == "bench" and int(value("--batch", "1")) > 1000:
    print("error: out of memory on the device: CUDA out of memory. Tried to allocate 20.00 GiB.")
    sys.exit(1)
elif command == "bench":
    if "--trace" in options:
        open(value("--trace"), "w").write(json.dumps({"traceEvents": [{"ph": "X", "cat": "kernel", "name": "gemm", "ts": 0, "dur": 10, "tid": 1, "args": {}}]}))
    print(json.dumps({"images_per_s": 1000.0, "peak_rss_mb": 500.0, "first_step_s": 0.5, "loss": 1.0, "flop_per_image": 32e9, "peak_flops": 989.4e12 if value("--precision") == "bf16" else 494.7e12}))
elif command == "pretrain" and mode == "bad" and "--resume" in options:
    time.sleep(600)
elif command == "pretrain":
    os.makedirs("pretrained", exist_ok=True)
    open("pretrained/metrics.jsonl", "w").write(json.dumps({"kind": "train", "images_per_s": 900.0, "data_wait_s": 0.1, "gpu_memory_mb": 800.0, "gpu_memory_share": 0.01}) + "\n")
'''
FAKE_PYTHON = r'''#!/bin/sh
case $1 in
  -c) echo a banner; echo torch 2.11.0 True ;;
  *) echo '{"images_per_s": 500.0, "peak_rss_mb": 700.0, "first_step_s": 1.0, "loss": 1.0}' ;;
esac
'''
FAKE_SMI = "#!/bin/sh\necho 'name, driver_version'\necho 'NVIDIA H200, 580.1'\n"


class GpuProof(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tmp = Path(folder.name)
        (self.tmp / "bin").mkdir()
        for name, text in (("vmae", FAKE_VMAE.replace("PYTHON", sys.executable)), ("python", FAKE_PYTHON), ("nvidia-smi", FAKE_SMI)):
            (self.tmp / "bin" / name).write_text(text)
            (self.tmp / "bin" / name).chmod(0o755)

    def prove(self, *options, mode="", expect=0, python=("--python", "bin/python"), runs=(sys.executable,)):
        variables = {"FAKE": mode, "FAKE_TORCH": f"{self.tmp}/venv/lib/python3/site-packages/torch", "PATH": f"{self.tmp}/bin:{os.environ['PATH']}"}
        done = subprocess.run([*runs, ROOT / "scripts/gpu-proof", "--vmae", self.tmp / "bin/vmae", *python, "--output", self.tmp / "report", *options],
                              env={**os.environ, **variables}, capture_output=True, text=True, timeout=300, cwd=self.tmp)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.report = json.loads((self.tmp / "report/gpu-proof.json").read_text())
        self.text = (self.tmp / "report/gpu-proof.md").read_text()
        self.states = {step["name"]: step["state"] for step in self.report["steps"]}
        return done

    def test_all_is_well(self):
        self.prove("--minutes", "5")
        self.assertEqual({name for name, state in self.states.items() if state != "done"}, {"unit tests"})
        self.assertIn("# vmae on NVIDIA H200", self.text)
        self.assertIn("| mae | bf16 | 64 | vmae | 1000.0 | 2.00 | 3.2% | 500 | 0.50 |", self.text)   # 32e12 of 989.4e12 FLOP/s
        self.assertIn("| mae | TF32 | 64 | vmae | 1000.0 | 2.00 | 6.5% | 500 | 0.50 |", self.text)
        self.assertIn("| mae | bf16 | 64 | torch.compile | 500.0 | 1.00 |", self.text)
        for batch in (16, 256):
            self.assertIn(f"| swin-unet | bf16 | {batch} | vmae, CUDA graph |", self.text)
        for precision in ("bf16", "TF32"):
            self.assertIn(f"| mae | {precision} | 512 | vmae | 1000.0 | 2.00 |", self.text)
            self.assertIn(f"| swin-unet | {precision} | 512 | vmae, CUDA graph | 1000.0 |", self.text)
            for batch in (16, 64, 256):
                self.assertIn(f"| swin-classifier | {precision} | {batch} | torch.compile | 500.0 |", self.text)
        self.assertIn("**Not in it: unit tests (vmae_tests is not beside the program", self.text)
        largest = [step for step in self.report["steps"] if "1024" in step["name"]]
        self.assertEqual(["does not fit in memory" in step["why"] for step in largest], [True] * 6)
        self.assertIn("| 0.010 | 100.0% | 1 |  | `gemm` |", self.text)
        self.assertIn("900.0 images/s", self.text)

    def test_what_goes_wrong_is_written_down_and_the_rest_goes_on(self):
        begin = time.monotonic()
        done = self.prove("--minutes", "0.25", mode="bad", expect=1)
        self.assertLess(time.monotonic() - begin, 40)
        self.assertEqual(self.states["bench mae, bf16, batch 64: vmae, CUDA graph"], "failed")
        self.assertEqual(self.states["bench mae, bf16, batch 64: vmae, not deterministic"], "failed")
        self.assertEqual(self.states["bench swin-classifier, bf16, batch 64: eager PyTorch"], "done")
        self.assertEqual(self.states["the same, resumed"], "left out")   # it hangs
        self.assertEqual(self.states["prediction"], "left out")
        self.assertIn("its last line is no JSON", self.text)
        self.assertIn("can't be recorded, says HOST in ~/secret File \".../site.py\" /usr/lib/x.so", self.text)
        for secret in (socket.gethostname(), str(Path.home()) + "/", str(self.tmp), str(ROOT), getpass.getuser()):
            for where in (self.text, json.dumps(self.report)):
                self.assertNotRegex(where, rf"(?<![\w-]){re.escape(secret)}(?![\w-])")
        self.assertIn("failed (exit code 1)", done.stdout)

    def test_no_gpu(self):
        self.assertIn("Nothing was proven: vmae doctor shows no GPU.\n", self.prove(mode="no gpu", expect=2).stdout)
        self.assertIn("**Nothing was proven: vmae doctor shows no GPU.**", self.text)
        self.assertEqual(self.report["verdict"], "Nothing was proven: vmae doctor shows no GPU.")
        self.assertIn("GPUs  none", self.text)
        self.prove(mode="no torch", expect=1)
        self.assertRegex(self.text, r"\*\*Nothing was proven: .* this needs PyTorch 2.11.0\*\*")

    def test_the_python_whose_torch_vmae_uses(self):
        """Where neither the one that runs it nor python3 has PyTorch."""
        beside = self.tmp / "venv/bin/python3"
        beside.parent.mkdir(parents=True)
        (self.tmp / "bin/python3").write_text("#!/bin/sh\nexit 1\n")
        (self.tmp / "bin/python").rename(beside)
        (self.tmp / "bin/python3").chmod(0o755)
        without_torch = ("/usr/bin/python3",)
        self.prove("--minutes", "0.15", python=(), runs=without_torch)
        self.assertIn("compared with    PyTorch 2.11.0", self.text)
        self.assertEqual(self.states["bench mae, bf16, batch 64: eager PyTorch"], "done")
        beside.unlink()
        said = self.prove("--minutes", "0.1", python=(), runs=without_torch).stdout
        self.assertRegex(said, r"(?m)^Not in it: bench mae, bf16, batch 64: eager PyTorch and \d+ more \(no Python with PyTorch was found")

    def test_wrong_options(self):
        for options, said in ((["--vmae", self.tmp / "none"], "there is no vmae"), (["--minutes", "0"], "--minutes must be above 0"), (["--python", "/bin/true"], "--python /bin/true is no Python with PyTorch"),
                              (["--output", "/proc/none"], "--output /proc/none can't be made")):
            done = subprocess.run([sys.executable, ROOT / "scripts/gpu-proof", "--vmae", self.tmp / "bin/vmae", *options], cwd=self.tmp, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)
            self.assertFalse((self.tmp / "gpu-proof").exists())


if __name__ == "__main__":
    unittest.main()
