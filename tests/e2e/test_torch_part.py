# SPDX-License-Identifier: Apache-2.0
"""libvmae_torch.so: loaded by the commands that need it and by no others; missing, of another build, no part at all."""
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from harness import TORCH_PART, VMAE, VmaeTest, environment

WITHOUT_TORCH = ("eval", "compare", "prepare", "split", "plan", "inspect", "docs")
WITH_TORCH = ("pretrain", "finetune-seg", "finetune-cls", "predict", "features", "forward", "export", "doctor", "bench")


def call(program, *arguments, **variables):
    env = {key: value for key, value in environment().items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return subprocess.run([os.fspath(program), *arguments], env={**env, **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


def needed(file):
    return subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True).stdout


class TorchPartTest(VmaeTest):
    def copy(self):
        """The program alone, where nothing else of it is."""
        folder = self.tmp / "moved to" / "bin"
        folder.mkdir(parents=True)
        return shutil.copy(VMAE, folder / "vmae")

    def put_part(self, code):
        folder = self.tmp / "moved to" / "lib"
        folder.mkdir(exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "libvmae_torch.so"], input=code, text=True, check=True)

    def test_what_each_is_linked_with(self):
        program, part = (subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout for file in (VMAE, TORCH_PART))
        self.assertNotRegex(program, "torch|libc10|libgomp|libzip")
        self.assertIn("libtorch_cpu", part)
        for once in ("opencv", "dcm", "ITK", "yaml", "spdlog", "libtiff", "libcrypto"):  # the program has them: no second copy
            self.assertNotIn(once, needed(TORCH_PART))

    def test_the_program_shows_its_own_names_and_not_what_is_inside(self):
        """Else its JSON could take the place of LibTorch's, which is of another version."""
        shown = subprocess.run(["nm", "--dynamic", "--defined-only", "--demangle", VMAE], capture_output=True, text=True, check=True).stdout
        names = [line.split(" ", 2)[2] for line in shown.splitlines()]
        self.assertGreater(len([name for name in names if name.startswith("vmae::")]), 500)
        self.assertEqual([name for name in names if re.match(r"((typeinfo|vtable)( name)? for )?(nlohmann|CLI|boost)::", name)], [])

    def test_no_library_of_the_program_takes_names_from_torch(self):
        """What the program is linked with comes first wherever LibTorch looks for a name: with Debian's BLAS there, LibTorch would compute by that instead of its own."""
        def names(file, *options):
            return set(subprocess.run(["nm", "--dynamic", "--without-symbol-versions", "--format=just-symbols", *options, file], capture_output=True, text=True, check=True).stdout.split())

        def libraries(file):
            lines = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout.splitlines()
            return {words[0]: words[2] for line in lines if len(words := line.split()) > 2}
        mine = libraries(VMAE)
        of_torch = set().union(*(names(file) for file in libraries(TORCH_PART).values() if not file.startswith(("/lib/", "/usr/lib/"))))
        self.assertIn("sgemm_", of_torch)
        shared = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libz.so.1"}  # the same for both
        for name, file in (("vmae", VMAE), *mine.items()):
            if name not in shared:
                taken = {one for one in names(file, "--defined-only") & of_torch if not one.startswith("_") and "vmae" not in one}
                self.assertEqual(taken, set(), name)

    def test_commands_that_need_no_tensors_run_without_the_part(self):
        program = self.copy()
        texts = [(), ("--help",), ("--version",), ("prepar",), ("pretrain", "--config", "missing.yaml", "--resum")]
        for arguments in [(command, "--help") for command in (*WITHOUT_TORCH, *WITH_TORCH)] + [("docs", "default-config"), ("bench", "--eval", "auroc", "--cases", "20")] + texts:
            with self.subTest(arguments=arguments):
                alone = call(program, *arguments)
                self.assertEqual(alone.returncode, 2 if arguments in texts and arguments not in (("--help",), ("--version",)) else 0, alone.stderr)
                self.assertNotIn("LibTorch", alone.stderr)
        (self.tmp / "some.csv").write_text("image\n")
        self.assertEqual(call(program, "inspect", self.tmp / "some.csv").returncode, 3)  # no images

    def test_the_others_say_what_is_missing(self):
        program = self.copy()
        (self.tmp / "w.safetensors").write_bytes(b"")
        for arguments in ("doctor",), ("pretrain", "data.train=x"), ("predict", "--weights", "w", "--input", "x", "--output", "y"), ("inspect", self.tmp / "w.safetensors"):
            with self.subTest(arguments=arguments):
                done = call(program, *arguments)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertIn("what needs LibTorch can't be loaded: " + os.fspath(self.tmp / "moved to/lib/libvmae_torch.so") + " is not there", done.stderr)
                self.assertIn("copy the folders bin and lib together", done.stderr)

    def test_another_library_of_this_name(self):
        program = self.copy()
        exports = "const void* vmae_torch_part() { return 0; }\nconst char* vmae_torch_part_revision() { return \"0ld\"; }"
        for code, complaint in ("", "libvmae_torch.so is no part of vmae"), (exports, "libvmae_torch.so was built from 0ld, this program from "):
            with self.subTest(complaint=complaint):
                self.put_part(code)
                done = call(program, "doctor")
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertIn(complaint, done.stderr)

    def put_torch(self, version, code=""):
        """A folder as PyTorch's, with a library that is none of it."""
        folder = self.tmp / f"torch-{version}"
        (folder / "lib").mkdir(parents=True)
        (folder / "version.py").write_text(f"from typing import Optional\n\n__version__ = '{version}+cu999'\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "lib/libtorch_cpu.so"], input=code, text=True, check=True)
        return folder

    def test_torch_of_the_environment(self):
        wanted = re.search(r"for PyTorch ([0-9.]+)", call(VMAE, "--version").stdout).group(1)
        missing = call(VMAE, "doctor", VMAE_TORCH="/nowhere")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("VMAE_TORCH = /nowhere: /nowhere/lib/libtorch_cpu.so: cannot open shared object file", missing.stderr)
        self.assertIn(f"install PyTorch {wanted}, or say where it is", missing.stderr)
        other = self.put_torch("2.3.4")
        refused = call(VMAE, "doctor", VMAE_TORCH=other)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn(f"{other} is PyTorch 2.3.4, but this program was built for {wanted}", refused.stderr)
        (other / "version.py").unlink()
        (other / "build-version").write_text("2.3.4+cpu\n")  # as in the archive of pytorch.org
        self.assertIn("is PyTorch 2.3.4, but", call(VMAE, "doctor", VMAE_TORCH=other).stderr)

    def test_run_paths_have_no_element_that_is_the_current_folder(self):
        for file in (VMAE, TORCH_PART, TORCH_PART.parent / "libvmae_cuda.so"):
            if file.exists():
                (path,) = re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", needed(file))
                for element in path.split(":"):
                    self.assertRegex(element, r"^(/|\$ORIGIN)", f"{file}: {path}")

    def test_nothing_of_the_current_folder_is_loaded(self):
        """Neither ./lib, which an empty VMAE_TORCH would mean, nor ./torch, where Python looks first."""
        here = self.put_torch("here", "#include <unistd.h>\n__attribute__((constructor)) static void here(void) { _exit(99); }")
        current = self.tmp / "current"
        current.mkdir()
        (current / "torch").symlink_to(here)
        (current / "lib").symlink_to(here / "lib")
        (here / "__init__.py").write_text("")
        (here / "version.py").unlink()
        for program, code in ((VMAE, 4), (self.copy_that_finds_no_torch(), 1)):
            done = subprocess.run([program, "export", "--weights", "missing", "--output", "x.pth"], env={"PATH": "/usr/bin:/bin", "VMAE_TORCH": ""}, cwd=current, capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)

    def copy_that_finds_no_torch(self):
        """Beside the part, by a run path that leads nowhere."""
        program, part = self.copy(), self.tmp / "moved to/lib/libvmae_torch.so"
        part.parent.mkdir()
        shutil.copy(TORCH_PART, part)
        for file in (program, part):
            bytes_of = Path(file).read_bytes()
            self.assertIn(self.folder().encode() + b"/lib", bytes_of)
            Path(file).write_bytes(bytes_of.replace(self.folder().encode() + b"/lib", b"x" * len(self.folder()) + b"/lib"))
        return program

    def folder(self):
        """Of the torch that it was built for."""
        lines = subprocess.run(["ldd", TORCH_PART], capture_output=True, text=True, check=True).stdout.splitlines()
        return os.path.dirname(os.path.dirname(next(line.split()[2] for line in lines if "libtorch_cpu.so" in line)))

    def test_torch_of_python(self):
        """Where the program's own run path leads nowhere, the torch of `python3` is taken."""
        program, folder = self.copy_that_finds_no_torch(), self.folder()
        (self.tmp / "bin").mkdir()
        python = self.tmp / "bin/python3"
        for line, code, text in ((f"echo {folder}", 4, "no such file"), ("exit 1", 1, "python3 has no torch"), ("echo", 1, "python3 has no torch"), ("echo torch", 1, "python3 has no torch"),
                                 (f"echo {self.put_torch('2.3.4')}", 1, "torch-2.3.4 is PyTorch 2.3.4")):
            python.write_text(f"#!/bin/sh\n{line}\n")
            python.chmod(0o755)
            with self.subTest(python=line):
                done = call(program, "export", "--weights", "missing", "--output", "x.pth", PATH=f"{self.tmp}/bin:{os.environ['PATH']}")
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(text, done.stderr)

    def test_threads_of_openmp_sleep_unless_told_otherwise(self):
        """It is said before OpenMP is loaded: a part that prints its environment sees it."""
        program = self.copy()
        self.put_part("""
            #include <stdio.h>
            #include <stdlib.h>
            __attribute__((constructor)) static void say(void) { const char* p = getenv("OMP_WAIT_POLICY"); printf("policy=%s\\n", p ? p : ""); fflush(stdout); }
        """)
        self.assertIn("policy=passive\n", call(program, "doctor").stdout)
        self.assertIn("policy=active\n", call(program, "doctor", OMP_WAIT_POLICY="active").stdout)
        self.assertIn("policy=\n", call(program, "doctor", GOMP_SPINCOUNT="5").stdout)

    def test_a_link_to_the_program_finds_the_part(self):
        link = self.tmp / "vmae"
        link.symlink_to(VMAE)
        self.assertEqual(call(link, "export", "--weights", "missing", "--output", "x.pth").returncode, 4)

    @unittest.skipUnless(os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0, "needs a mount namespace")
    def test_without_proc_nothing_else_is_loaded(self):
        """Not what happens to lie in the current folder."""
        without_proc = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" doctor', os.fspath(VMAE)]
        done = subprocess.run(without_proc, cwd=self.tmp, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("/proc/self/exe can't be read: No such file or directory", done.stderr)


if __name__ == "__main__":
    unittest.main()
