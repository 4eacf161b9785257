# SPDX-License-Identifier: Apache-2.0
"""libvmae_torch.so: loaded by the commands that need it and by no others; missing, of another build, no part at all."""
import os
import re
import shutil
import subprocess
import unittest
from pathlib import Path

from harness import SOURCE, TORCH_PART, VMAE, VmaeTest, environment

REVISION, WANTED = re.search(r"\((.+?)\), for PyTorch ([0-9.]+)", subprocess.run([VMAE, "--version"], capture_output=True, text=True, check=True).stdout).groups()
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
        self.assertNotRegex(program, "torch|libc10|libgomp")
        self.assertIn("libtorch_cpu", part)
        for once in ("opencv", "dcm", "ITK", "yaml", "spdlog", "libtiff", "libcrypto", "libzip"):  # the program has them: no second copy
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

    def test_what_could_not_be_printed_is_no_success(self):
        for arguments in ("--version",), ("docs", "man"), ("doctor",):
            with self.subTest(arguments=arguments), open("/dev/full", "w") as full:
                lost = subprocess.run([VMAE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
                self.assertEqual((lost.returncode, lost.stderr.count("standard output can't be written to")), (1, 1), lost.stderr)
        enough = subprocess.run(f"{VMAE} docs man | head -n 1; echo ${{PIPESTATUS[0]}}", shell=True, executable="/bin/bash", capture_output=True, text=True)
        self.assertEqual((enough.stdout.splitlines()[-1], enough.stderr), ("0", ""))

    def test_the_others_say_what_is_missing(self):
        program = self.copy()
        for arguments in ("doctor",), ("pretrain", "data.train=x", "run.dir=y"), ("predict", "--weights", "w", "--input", "x", "--output", "y"), ("export", "--weights", "w", "--output", "x.pth"):
            with self.subTest(arguments=arguments):
                done = call(program, *arguments)
                self.assertEqual((done.returncode, done.stdout if arguments != ("doctor",) else ""), (1, ""), done.stderr)
                self.assertIn("what needs LibTorch can't be loaded: " + os.fspath(self.tmp / "moved to/lib/libvmae_torch.so") + " is not there", done.stderr)
                self.assertIn("copy the folders bin and lib together", done.stderr)

    def test_configs_are_read_before_torch_is_looked_for(self):
        """And before ranks are started: what is wrong with them is said once, and --print-config needs neither."""
        (self.tmp / "bad.yaml").write_text("optim:\n  lr: -1\n")
        wrong = ((["optim.lrr=1"], "unknown key 'optim.lrr'"), (["train.epochs=many"], "train.epochs = many: "), (["--config", self.tmp / "missing.yaml"], "cannot read the config"),
                 (["--config", self.tmp / "bad.yaml"], "bad.yaml:2: optim.lr = -1: "), ([], "run.dir is not set"), (["run.dir=x"], "data.train is not set"), (["--dry-run"], "data.train is not set"),
                 (["run.dir=x", "data.train=[a,b]", "data.splits=s"], "data.splits divides one source"))
        for command, ranks in ((command, ranks) for command in ("pretrain", "finetune-seg", "finetune-cls") for ranks in ([], ["--nproc-per-node", "2"])):
            for arguments, text in wrong:
                with self.subTest(command=command, ranks=ranks, arguments=arguments):
                    done = call(VMAE, command, *ranks, *arguments, VMAE_TORCH="/nowhere")
                    self.assertEqual((done.returncode, done.stdout, done.stderr.count(text)), (2, "", 1), done.stderr)
            with self.subTest(command=command, ranks=ranks):
                done = call(VMAE, command, *ranks, "--print-config", VMAE_TORCH="/nowhere")
                self.assertEqual((done.returncode, done.stderr, done.stdout.count("\noptim:")), (0, "", 1))
        adopting = call(VMAE, "finetune-seg", "--print-config", "model.init=w.pth", VMAE_TORCH="/nowhere")  # what the weights say is read with LibTorch
        self.assertEqual((adopting.returncode, adopting.stdout), (1, ""))
        self.assertIn("VMAE_TORCH = /nowhere", adopting.stderr)

    def test_another_library_of_this_name(self):
        program = self.copy()
        exports = "const void* vmae_torch_part() { return 0; }\nconst char* vmae_torch_part_build() { return \"%s\"; }"
        other = f"{REVISION} for PyTorch 2.3.4"
        for code, complaint in (("", "libvmae_torch.so is no part of vmae"), (exports % "0ld", f"libvmae_torch.so was built from 0ld, this program from {REVISION} for PyTorch {WANTED}"),
                                (exports % other, f"libvmae_torch.so was built from {other}, this program from {REVISION} for PyTorch {WANTED}")):
            with self.subTest(complaint=complaint):
                self.put_part(code)
                done = call(program, "doctor")
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stdout, r"^vmae .*\nCPU .*\ninstruction sets .*\nthreads .*\nmemory .*\n$")  # what needs no LibTorch
                self.assertIn(complaint, done.stderr)

    def put_torch(self, version, code="", name=None):
        """A folder as PyTorch's, with a library that is none of it."""
        folder = self.tmp / (name or f"torch-{version}")
        (folder / "lib").mkdir(parents=True)
        (folder / "version.py").write_text(f"from typing import Optional\n\n__version__ = '{version}+cu999'\n")
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "lib/libtorch_cpu.so"], input=code, text=True, check=True)
        return folder

    def test_torch_of_the_environment(self):
        missing = call(VMAE, "doctor", VMAE_TORCH="/nowhere")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("VMAE_TORCH = /nowhere: no /nowhere/lib/libtorch_cpu.so\n", missing.stderr)
        (self.tmp / "torch").symlink_to(self.folder())
        for near in (self.tmp, self.tmp / "torch/lib"):
            self.assertIn(f"; did you mean {self.tmp}/torch?\n", call(VMAE, "doctor", VMAE_TORCH=near).stderr)
        ranks = call(VMAE, "doctor", "--distributed", "--nproc-per-node", "3", VMAE_TORCH="/nowhere")
        self.assertEqual((ranks.returncode, ranks.stderr.count("this needs PyTorch")), (1, 1), ranks.stderr)
        self.assertIn(f"install PyTorch {WANTED}, or say where it is", missing.stderr)
        other = self.put_torch("2.3.4")
        refused = call(VMAE, "doctor", VMAE_TORCH=other)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"this needs PyTorch {WANTED}: VMAE_TORCH = {other}: {other} is PyTorch 2.3.4\n", refused.stderr)
        (other / "version.py").unlink()
        (other / "build-version").write_text("2.3.4+cpu\n")  # as in the archive of pytorch.org
        self.assertIn("is PyTorch 2.3.4\n", call(VMAE, "doctor", VMAE_TORCH=other).stderr)

    def test_torch_of_the_environment_comes_before_the_loaders_path(self):
        """Whole: the loader would take what it needs from LD_LIBRARY_PATH, whose run path is only asked after that."""
        says = '#include <unistd.h>\n__attribute__((constructor)) static void say(void) { write(1, "%s ", %d); }'
        folders = [self.put_torch(WANTED, name=name) for name in ("wanted", "other")]
        for folder in folders:
            for name, needs in (("libc10.so", ()), ("libtorch_cpu.so", ("-Wl,--no-as-needed", "-L.", "-lc10", "-Wl,-rpath,$ORIGIN"))):
                subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", name, f"-Wl,-soname,{name}", *needs], input=says % (folder.name, len(folder.name) + 1), text=True, check=True, cwd=folder / "lib")
        done = call(VMAE, "export", "--weights", "missing", "--output", "x.pth", VMAE_TORCH=folders[0], LD_LIBRARY_PATH=f"{folders[1]}/lib")
        self.assertEqual(done.stdout, "wanted wanted ", done.stderr)
        self.assertIn(f"LibTorch is that of {folders[0]} (VMAE_TORCH)", done.stderr)

    def test_doctor_says_which_torch(self):
        for variables, origin in ({"VMAE_TORCH": self.folder()}, r"\(VMAE_TORCH\)"), ({"LD_LIBRARY_PATH": self.folder() + "/lib"}, r"\(LD_LIBRARY_PATH\)"), ({}, r"\(where vmae was installed or built\)"):
            text = call(VMAE, "doctor", **variables).stdout
            self.assertRegex(text, rf"\nLibTorch +{re.escape(self.folder())} {origin}\n")
            self.assertRegex(text, rf"^vmae .*, for PyTorch {re.escape(WANTED)}, ")

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

    def test_what_does_not_fit_does_not_end_the_search(self):
        """Where the program's own run path leads nowhere, the torch of `python3` is taken. Another version is not even opened, as it could not be closed."""
        program, folder = self.copy_that_finds_no_torch(), self.folder()
        exits = "#include <unistd.h>\n__attribute__((constructor)) static void end(void) { _exit(99); }"
        path, other = self.put_torch("2.3.4", exits), self.put_torch("2.3.5", exits)
        (self.tmp / "bin").mkdir()
        python = self.tmp / "bin/python3"
        nothing = f"this needs PyTorch {WANTED}: no libtorch_cpu.so in LD_LIBRARY_PATH or where this program was installed or built; python3 has no torch; VMAE_TORCH is not set"
        of_path = f"this needs PyTorch {WANTED}: {path} is PyTorch 2.3.4; "
        for line, libraries, code, texts in (
                (f"echo {folder}", "", 4, ["no such file"]), (f"echo {folder}", path, 4, ["no such file"]), ("exit 0", "", 1, [nothing]), ("exit 3", "", 1, ["python3 was asked where its torch is and fails"]), ("exit 127", "", 1, ["there is no python3"]), ("echo", path, 1, [of_path + "python3 has no torch"]),
                ("echo torch", "", 1, ["says 'torch', which is no folder"]), ("echo /no/torch", "", 1, ["says '/no/torch', which is no folder"]), (f"echo {other}", path, 1, [of_path + f"{other} is PyTorch 2.3.5; VMAE_TORCH is not set"])):
            python.write_text(f"#!/bin/sh\n{line}\n")
            python.chmod(0o755)
            with self.subTest(python=line, path=libraries):
                done = call(program, "export", "--weights", "missing", "--output", "x.pth", PATH=f"{self.tmp}/bin:{os.environ['PATH']}", LD_LIBRARY_PATH=f"{libraries}/lib")
                self.assertEqual(done.returncode, code, done.stderr)
                for text in texts:
                    self.assertIn(text, done.stderr)

    def test_versions_that_cmake_reads(self):
        """Of a wheel, of an archive of pytorch.org, which has no version.py, and of what is neither."""
        libtorch = self.tmp / "libtorch"
        config = libtorch / "share/cmake/Torch/TorchConfigVersion.cmake"
        for folder in (libtorch / "lib", config.parent):
            folder.mkdir(parents=True)
        for name in ("libtorch_cpu.so", "libc10.so"):
            (libtorch / "lib" / name).touch()
        (self.tmp / "CMakeLists.txt").write_text(f"cmake_minimum_required(VERSION 3.25)\nproject(some NONE)\ninclude({SOURCE}/cmake/LibTorch.cmake)\nmessage(STATUS \"it is ${{VMAE_TORCH_VERSION}}.\")\n")

        def configure(folder):
            done = subprocess.run(["cmake", "-S", self.tmp, "-B", self.tmp / "build", f"-DLIBTORCH_DIR={folder}"], capture_output=True, text=True)
            return done.returncode, done.stdout + " ".join(done.stderr.split())
        wheel = configure(self.folder())
        self.assertEqual(wheel[0], 0, wheel[1])
        self.assertIn(f"it is {WANTED}.", wheel[1])
        for text, gomp, code, says in (("", "", 1, "is can't be told: share/cmake/Torch/TorchConfigVersion.cmake is missing or says none"), ('set(PACKAGE_VERSION "2.3.4")\n', "", 1, "brings no OpenMP library"),
                                       ('set(PACKAGE_VERSION "2.3.4")\n', "libgomp-98b21ff3.so.1", 0, "it is 2.3.4.")):
            config.write_text(text)
            (libtorch / "lib" / gomp).touch()
            with self.subTest(says):
                archive = configure(libtorch)
                self.assertEqual(archive[0], code, archive[1])
                self.assertIn(says, archive[1])

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
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("/proc/self/exe can't be read: No such file or directory", done.stderr)


if __name__ == "__main__":
    unittest.main()
