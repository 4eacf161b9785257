# SPDX-License-Identifier: Apache-2.0
"""libvmae_torch.so: loaded by the commands that need it and by no others; missing, of another build, no part at all."""
import os
import re
import shutil
import subprocess
import unittest

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
        shutil.copy(TORCH_PART, self.tmp / "moved to/lib/libvmae_torch.so")
        subprocess.run(["sed", "-i", "s/libtorch_cpu[.]so/libtorch_cpx.so/", self.tmp / "moved to/lib/libvmae_torch.so"], check=True)
        done = call(program, "doctor")
        self.assertIn("libtorch_cpx.so: cannot open shared object file", done.stderr)
        self.assertIn("LibTorch is where this program", done.stderr)

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
