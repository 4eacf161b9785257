# SPDX-License-Identifier: Apache-2.0
"""libvmae_cuda.so: found, refused, and in use where there is a driver but no GPU."""
import functools
import os
import subprocess
from pathlib import Path

from harness import TINY, TORCH_PART, VMAE, VmaeTest, environment, make_pictures, metrics

PART = TORCH_PART.parent / "libvmae_cuda.so"


@functools.cache
def doctor():
    """Once for all tests: the libraries of CUDA take seconds to load."""
    return subprocess.run([VMAE, "doctor"], capture_output=True, text=True, env=environment(), check=False).stdout


class CudaPartTest(VmaeTest):
    def setUp(self):
        super().setUp()
        if not PART.exists():
            self.skipTest("built without the libraries of CUDA")
        if "\nGPU 0" in doctor():
            self.skipTest("there is a GPU")

    def library(self, name, code=""):
        """A shared library, in a folder that is searched first."""
        folder = self.tmp / "libraries"
        folder.mkdir(exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / name], input=code, text=True, check=True)

    def with_libraries(self, *arguments, expect=0):
        return self.vmae(*arguments, expect=expect, env={**environment(), "LD_LIBRARY_PATH": os.fspath(self.tmp / "libraries")})

    def test_a_machine_without_driver(self):
        text = doctor()
        self.assertRegex(text, r"\nCUDA +CUDA \d+\.\d+, cuDNN [1-9]\d*\.\d+\.\d+, NCCL [1-9]\d*\.\d+\.\d+\n")
        self.assertIn("no NVIDIA driver", text)

    def test_what_else_needs_cuda(self):
        needs = {program: subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout for program in (TORCH_PART, PART)}
        self.assertNotIn("libtorch_cuda", needs[TORCH_PART])
        for library in ("libtorch_cuda", "libnccl", "libcudart"):
            self.assertIn(library, needs[PART])

    def test_a_driver_without_gpu(self):
        """The part is loaded, and what the CPU computes is what it computes without."""
        make_pictures(self.tmp / "images", 12)
        arguments = ["pretrain", *TINY, "data.train=images"]
        alone = self.vmae(*arguments, "run.dir=alone")
        self.assertNotIn("driver", alone.stderr)
        self.library("libcuda.so.1")
        beside = self.with_libraries(*arguments, "run.dir=beside")
        self.assertIn("this machine has an NVIDIA driver, but the CPU is used: CUDA says: ", beside.stderr)
        losses = [[line["loss"] for line in metrics(self.tmp / run, "train")] for run in ("alone", "beside")]
        self.assertEqual(*losses)

    def test_another_library_of_this_name(self):
        self.library("libcuda.so.1")
        exports = "const void* vmae_cuda_library() { return 0; }\nconst char* vmae_cuda_build() { return \"0ld for PyTorch 2.3.4\"; }"
        for code, complaint in ("", "libvmae_cuda.so is no part of vmae"), (exports, "libvmae_cuda.so was built from 0ld for PyTorch 2.3.4, this program from .* for PyTorch "):
            with self.subTest(complaint=complaint):
                self.library("libvmae_cuda.so", code)
                text = self.with_libraries("doctor", expect=1).stdout
                for start in ("CUDA +", "GPUs +none: ", "problem: this machine has an NVIDIA driver, but no GPU can be used: "):
                    self.assertRegex(text, rf"\n{start}{complaint}")

    def test_a_torch_whose_part_for_cuda_is_missing_or_broken(self):
        real = Path(next(line.split()[2] for line in subprocess.run(["ldd", TORCH_PART], capture_output=True, text=True, check=True).stdout.splitlines() if "libtorch_cpu.so" in line)).parent
        (self.tmp / "torch/lib").mkdir(parents=True)
        (self.tmp / "nvidia").symlink_to(real.parents[1] / "nvidia")
        for file in real.glob("*.so*"):
            (self.tmp / "torch/lib" / file.name).symlink_to(file)
        cuda = self.tmp / "torch/lib/libtorch_cuda.so"
        cuda.unlink()
        env = environment(VMAE_TORCH=self.tmp / "torch")
        self.assertRegex(self.vmae("doctor", env=env).stdout, f"\nCUDA +this PyTorch is without CUDA: {cuda} is not there\n")
        cuda.write_text("broken")
        self.assertRegex(self.vmae("doctor", env=env).stdout, f"\nCUDA +PyTorch's part for CUDA can't be loaded: {cuda}: file too short\n")
