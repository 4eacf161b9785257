# SPDX-License-Identifier: Apache-2.0
"""scripts/gpu-proof with programs that stand in for vmae, PyTorch and nvidia-smi: what fails, hangs, prints nonsense or runs out of memory is written down, and the rest goes on."""
import argparse
import getpass
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
loader = importlib.machinery.SourceFileLoader("gpu_proof", str(ROOT / "scripts/gpu-proof"))
gpu_proof = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_proof", loader))
loader.exec_module(gpu_proof)

FAKE_VMAE = r'''#!PYTHON -IS
import json, os, socket, sys
command, options = sys.argv[1], sys.argv[1:]
mode = os.environ.get("FAKE", "")
def value(name, default=""):
    return options[options.index(name) + 1] if name in options else default
if command == "--version":
    print("vmae 0.1.0 (abc), for PyTorch 2.11.0")
elif command == "doctor":
    if mode == "no torch":
        sys.exit("now error this needs PyTorch 2.11.0: nothing there")
    print("GPUs  none: no driver" if mode == "no gpu" else "GPU 0  NVIDIA H200, 139.8 GiB, sm_90")
    print("LibTorch  " + os.environ.get("LIBTORCH", "/usr/torch") + " (where vmae was built)")
elif command == "bench" and mode == "bad" and "--cuda-graph" in options:
    print("can't be recorded, says", socket.gethostname(), "in", os.path.expanduser("~") + "/secret")
    sys.exit(1)
elif command == "bench" and mode == "bad" and "--deterministic" in options:
    print("nonsense")
elif command == "bench" and int(value("--batch", "1")) > 1000:
    print("error: out of memory on the device: CUDA out of memory. Tried to allocate 20.00 GiB.")
    sys.exit(1)
elif command == "bench":
    if "--trace" in options:
        open(value("--trace"), "w").write(json.dumps({"traceEvents": [{"ph": "X", "cat": "kernel", "name": "gemm", "ts": 0, "dur": 10, "tid": 1, "args": {"External id": 1}}, {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "ts": 0, "dur": 10, "tid": 1, "args": {"External id": 1}}]}))
    print(json.dumps({"images_per_s": 1000.0, "peak_rss_mb": 500.0, "first_step_s": 0.5, "loss": 1.0, "flop_per_image": 32e9, "peak_flops": 989.4e12 if value("--precision") == "bf16" else 494.7e12}))
elif command == "pretrain":
    os.makedirs("pretrained", exist_ok=True)
    open("pretrained/metrics.jsonl", "w").write(json.dumps({"kind": "train", "images_per_s": 900.0, "data_wait_s": 0.1, "gpu_memory_mb": 800.0, "gpu_memory_share": 0.01}) + "\n")
'''
FAKE_PYTHON = r'''#!/bin/sh
echo a wrapper says hello
case $1 in
  -c) echo '{"version": "2.11.0+cu130", "has_header": true, "pip": []}' ;;
  *) [ "$FAKE" = bad ] && case "$*" in *--compile*) exit 1;; esac
     case "$*" in *--batch\ 512*) echo CUDA out of memory >&2; exit 1;; esac
     echo '{"images_per_s": 500.0, "peak_rss_mb": 700.0, "first_step_s": 1.0, "loss": 1.0}' ;;
esac
'''
FAKE_TESTS = "#!/bin/sh\necho '[  PASSED  ] 3 tests.'\n"
FAKE_SMI = "#!/bin/sh\necho 'name, driver_version'\necho 'NVIDIA H200, 580.1'\n"


class GpuProof(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tmp = Path(folder.name)
        (self.tmp / "bin").mkdir()
        for name, text in (("vmae", FAKE_VMAE.replace("PYTHON", sys.executable)), ("vmae_tests", FAKE_TESTS), ("python", FAKE_PYTHON), ("nvidia-smi", FAKE_SMI)):
            self.program(f"bin/{name}", text)
        # a tree whose tests/gpu say at once that they passed
        self.script = self.program("tree/scripts/gpu-proof", (ROOT / "scripts/gpu-proof").read_text())
        self.program("tree/tests/support/run_unittests.py", "print('2 passed, 0 failed, 0 skipped')")
        for name in ("scripts/python", "tests/data"):
            (self.tmp / "tree" / name).symlink_to(ROOT / name)

    def program(self, name, text):
        file = self.tmp / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
        return str(file)

    def proof(self, peer=None, device="cuda"):
        """In this process, with what it prints kept."""
        printing = mock.patch.object(gpu_proof, "print", create=True)
        self.printed = printing.start()
        self.addCleanup(printing.stop)
        (self.tmp / "report").mkdir()
        options = argparse.Namespace(device=device, minutes=8, output=self.tmp / "report", vmae=self.tmp / "bin/vmae", peer=peer, tried=["python3: no torch"], is_python_given=False)
        proof = gpu_proof.Proof(options)
        self.addCleanup(shutil.rmtree, proof.work)
        return proof

    def prove(self, *options, mode="", expect=0, python="bin/python"):
        done = subprocess.run([sys.executable, self.script, "--vmae", self.tmp / "bin/vmae", "--python", self.tmp / python, "--output", self.tmp / "report", *options],
                              env={**os.environ, "FAKE": mode, "PATH": f"{self.tmp}/bin:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        self.report = json.loads((self.tmp / "report/gpu-proof.json").read_text())
        self.text = (self.tmp / "report/gpu-proof.md").read_text()
        self.states = {step["name"]: step["state"] for step in self.report["steps"]}
        return done

    def test_all_is_well(self):
        self.assertNotIn("failed (", self.prove("--minutes", "5").stdout)
        self.assertEqual({name for name, state in self.states.items() if state != "done"}, set())
        self.assertEqual(self.report["verdict"], "nothing failed")
        self.assertTrue(self.text.startswith("# vmae on NVIDIA H200: nothing failed\n\nvmae 0.1.0"))
        self.assertIn("| mae | bf16 | 64 | vmae | 1000.0 | 2.00 | 3.2% | 500 | 0.50 |", self.text)   # 32e12 of 989.4e12 FLOP/s
        self.assertIn("| mae | TF32 | 64 | vmae | 1000.0 | 2.00 | 6.5% | 500 | 0.50 |", self.text)
        self.assertIn("| mae | bf16 | 64 | torch.compile | 500.0 | 1.00 |", self.text)
        self.assertIn("| mae | bf16 | 512 | vmae | 1000.0 |", self.text)
        self.assertIn("| mae | bf16 | 512 | eager PyTorch | out of memory |", self.text)
        self.assertIn("| mae | bf16 | 1024 | vmae | out of memory |", self.text)
        self.assertIn("| 0.010 | 100.0% | 1 | aten::mm | `gemm` |", self.text)
        self.assertIn("900.0 images/s", self.text)
        # every comparison is made once, the most wanted first
        names = [step["name"] for step in self.report["steps"]]
        benches = [name for name in names if name.startswith("bench ")]
        self.assertEqual(len(benches), len(set(benches)))
        for model, precision, batch, side in itertools.product(("mae", "swin-unet", "swin-classifier"), ("bf16", "TF32"), (16, 64, 256, 512), ("vmae", "vmae, CUDA graph", "eager PyTorch", "torch.compile")):
            self.assertIn(f"bench {model}, {precision}, batch {batch}: {side}", benches)
        wanted = ["bench swin-classifier, bf16, batch 64: eager PyTorch", "trace of swin-unet, bf16", "prediction", "bench swin-classifier, bf16, batch 1024: vmae",
                  "bench mae, TF32, batch 64: vmae", "bench mae, bf16, batch 64: torch.compile", "bench mae, bf16, batch 256: vmae", "bench mae, TF32, batch 512: eager PyTorch",
                  "bench mae, TF32, batch 64: torch.compile", "bench mae, TF32, batch 512: torch.compile"]
        self.assertEqual(sorted(wanted, key=names.index), wanted)

    def test_what_goes_wrong_is_written_down_and_the_rest_goes_on(self):
        done = self.prove("--minutes", "5", mode="bad", expect=1)
        self.assertEqual(self.states["bench mae, bf16, batch 64: vmae, CUDA graph"], "failed")
        self.assertEqual(self.states["bench mae, bf16, batch 64: vmae, not deterministic"], "failed")
        self.assertEqual(self.states["bench swin-classifier, bf16, batch 64: eager PyTorch"], "done")
        self.assertEqual(self.states["prediction"], "done")
        self.assertRegex(self.report["verdict"], r"^\d+ steps failed$")
        self.assertIn("its last line is no JSON", self.text)
        self.assertIn("can't be recorded, says HOST in FOLDER", self.text)
        for secret in (socket.gethostname(), str(Path.home()) + "/", str(self.tmp), str(ROOT), getpass.getuser()):
            for where in (self.text, json.dumps(self.report)):
                self.assertNotRegex(where, rf"(?<![\w-]){re.escape(secret)}(?![\w-])")
        self.assertIn("failed (exit code 1)", done.stdout)

    def test_what_hangs_fails_and_what_has_no_time_is_left_out(self):
        proof = self.proof()
        proof.run("hangs", "sleep", "60", limit_s=0.1)
        proof.run("takes long", "sleep", "60", limit_s=0.1, is_share=True)
        ended = types.SimpleNamespace(code=None, text="2 passed", seconds=216, problem=lambda: "it was ended after 216 s")
        with mock.patch.object(gpu_proof, "Done", lambda *_: ended):
            proof.tests()
        with mock.patch.object(gpu_proof, "Done", lambda *_: types.SimpleNamespace(code=0, text="0 passed, 0 failed, 9 skipped", seconds=1, problem=lambda: "")):
            proof.tests()
        proof.end = time.monotonic()
        proof.run("late", "true")
        self.assertEqual([(step["name"], step["state"], step["why"]) for step in proof.report["steps"]],
                         [("hangs", "failed", "it was ended after 0 s"), ("takes long", "left out", "no time was left after 0 s of it"), ("unit tests", "failed", "it was ended after 216 s"),
                          ("tests", "left out", "no time was left after 216 s of it"), ("unit tests", "failed", gpu_proof.SKIPPED), ("tests", "failed", gpu_proof.SKIPPED), ("late", "left out", "no time was left")])
        self.assertIn("unfinished", proof.verdict())

    def test_the_python_of_the_pytorch_in_use(self):
        python = self.program("venv/bin/python3", FAKE_PYTHON)
        torch = self.tmp / "venv/lib/python3.11/site-packages/torch"
        torch.mkdir(parents=True)
        (self.tmp / "libtorch").symlink_to(torch)
        with mock.patch.dict(os.environ, {"LIBTORCH": str(self.tmp / "libtorch")}):
            proof = self.proof(peer={"python": "other", "version": "2.9.0"})
            self.assertEqual(proof.facts(), 0)
        self.assertEqual((proof.python(), proof.report["facts"]["python"], proof.report["left_out_not_for_time"]), (python, "PyTorch 2.11.0+cu130", {}))
        self.assertEqual(gpu_proof.python_with_torch([python], "2.12.0"), (None, [f"{python}: PyTorch 2.11.0+cu130"]))

    def test_main_parts_that_cannot_be_made_come_first(self):
        (self.tmp / "bin/vmae_tests").unlink()
        proof = self.proof()
        self.assertEqual(proof.facts(), 0)
        proof.ended = True
        proof.bench("mae", "bf16", 64, "eager")
        verdict = "nothing failed; left out, and not for time: unit tests, comparison with eager PyTorch and torch.compile"
        text = (self.tmp / "report/gpu-proof.md").read_text()
        self.assertEqual(text.splitlines()[0], f"# vmae on {proof.card() or 'cuda'}: {verdict}")
        self.assertIn("-DVMAE_TESTS=ON", text.splitlines()[2])
        self.assertTrue(any(call.args[0].startswith("LEFT OUT: unit tests: vmae_tests is not beside") for call in self.printed.call_args_list))
        self.assertIn("no Python with PyTorch was found (--python): python3: no torch", text.splitlines()[3])

    def test_what_torch_compile_needs(self):
        peer = {"python": "p", "version": "2.11.0", "has_header": True, "pip": ["triton~=3.9.0"]}
        with mock.patch("shutil.which", lambda name: name):
            self.assertEqual(gpu_proof.compile_lacks(peer, "cuda"), "Triton (p -m pip install 'triton~=3.9.0')")
            self.assertEqual(gpu_proof.compile_lacks(peer, "cpu"), "")
        with mock.patch("shutil.which", lambda _: None):
            self.assertEqual(gpu_proof.compile_lacks({**peer, "has_header": False}, "cpu"), "a C compiler, Python.h")

    def test_no_gpu(self):
        said = "nothing was proven: no GPU: no driver"
        self.assertIn(said, self.prove(mode="no gpu", expect=2, python="/bin/true").stdout)
        self.assertEqual((self.report["verdict"], self.text.splitlines()[0]), (said, f"# N{said[1:]}"))
        self.assertIn("GPUs  none", self.text)
        self.assertEqual(gpu_proof.python_with_torch(["/bin/true", "/none"]), (None, ["/bin/true: it is no Python", "/none: No such file or directory"]))

    def test_no_pytorch(self):
        self.prove(mode="no torch", expect=1)
        self.assertEqual(self.text.splitlines()[0], "# Nothing was proven: this needs PyTorch 2.11.0: nothing there")

    def test_on_the_cpu(self):
        self.program("bin/vmae_tests", "#!/bin/sh\necho '[  SKIPPED ] 3 tests.'\n")
        self.prove("--device", "cpu")
        self.assertEqual({name for name, state in self.states.items() if state != "done"}, {"unit tests"})
        self.assertIn("- **unit tests** left out: without a GPU all are skipped", self.text)
        self.assertIn("nothing was proven about GPUs", self.text.splitlines()[0])
        self.assertIn("## A training step, images of 32 x 32", self.text)

    def test_names(self):
        with mock.patch("socket.gethostname", lambda: "node7"), mock.patch("socket.getfqdn", lambda: "node7.lab.example.org"):
            proof = self.proof()
        (self.tmp / "some file").touch()
        for said, cleaned in (('File "/srv/secret/my project/x.py", line 3', 'File "x.py", line 3'), ("node7.lab.example.org, node7, at lab.example.org", "HOST, HOST, at DOMAIN"),
                              ("at /srv/secret/: -I/srv/secret/include", "at FOLDER/: -IFOLDER"), ("PATH=/srv/a:/usr/bin:~/b", "PATH=FOLDER:/usr/bin:FOLDER"), ("file:///srv/a/b.txt.", "file://b.txt."),
                              ("https://pytorch.org/docs, 3 images/s, 1 / 2, /secret", "https://pytorch.org/docs, 3 images/s, 1 / 2, FOLDER"), (f"{ROOT}/scripts/a.py", "./scripts/a.py"),
                              (f"'{self.tmp}/some file'", "'some file'")):
            self.assertEqual(proof.clean(said), cleaned)

    def test_wrong_options(self):
        for options, said in ((["--vmae", self.tmp / "none"], "there is no vmae"), (["--minutes", "0"], "--minutes must be above 0"), (["--output", "/dev/null/x"], "--output /dev/null/x: can't be written: ")):
            done = subprocess.run([sys.executable, self.script, "--vmae", self.tmp / "bin/vmae", *options], cwd=self.tmp, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(said, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertFalse((self.tmp / "gpu-proof").exists())


if __name__ == "__main__":
    unittest.main()
