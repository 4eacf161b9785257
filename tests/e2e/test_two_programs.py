# SPDX-License-Identifier: Apache-2.0
"""bin/vmae, which needs no LibTorch, and libexec/vmae/vmae, which it becomes for what does."""
import os
import shutil
import subprocess
import unittest

from harness import VMAE, WITH_TORCH, VmaeTest, environment

WITHOUT_TORCH = ("eval", "compare", "prepare", "split", "plan", "inspect", "docs")
PROGRAM = """#!/bin/sh
echo "policy=$OMP_WAIT_POLICY"
for argument in "$@"; do echo "[$argument]"; done
exit 42
"""


def call(program, *arguments, **variables):
    env = {key: value for key, value in environment().items() if key not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    return subprocess.run([os.fspath(program), *arguments], env={**env, **variables}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


class TwoProgramsTest(VmaeTest):
    def copy(self):
        folder = self.tmp / "moved to" / "bin"
        folder.mkdir(parents=True)
        return shutil.copy(VMAE, folder / "vmae")

    def test_what_each_is_linked_with(self):
        libraries = {program: subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout for program in (VMAE, WITH_TORCH)}
        self.assertNotIn("torch", libraries[VMAE])
        self.assertIn("libtorch_cpu", libraries[WITH_TORCH])

    def test_both_know_the_same_commands_alike(self):
        for command in WITHOUT_TORCH:
            with self.subTest(command=command):
                alone = call(VMAE, command, "--help")
                self.assertEqual((alone.returncode, alone.stderr), (0, ""))
                self.assertEqual(alone.stdout, call(WITH_TORCH, command, "--help").stdout)

    def test_some_commands_run_without_the_other_program(self):
        program = self.copy()
        for arguments in [(command, "--help") for command in WITHOUT_TORCH] + [("docs", "default-config")]:
            with self.subTest(arguments=arguments):
                self.assertEqual(call(program, *arguments).returncode, 0)
        (self.tmp / "some.csv").write_text("image\n")
        self.assertEqual(call(program, "inspect", self.tmp / "some.csv").returncode, 3)  # no images

    def test_the_others_say_what_is_missing(self):
        program = self.copy()
        (self.tmp / "w.safetensors").write_bytes(b"")
        for arguments in ("doctor",), ("pretrain", "--help"), (), ("--help",), ("--version",), ("prepar",), ("inspect", self.tmp / "w.safetensors"):
            with self.subTest(arguments=arguments):
                done = call(program, *arguments)
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("moved to/libexec/vmae/vmae can't be started: No such file or directory", done.stderr)
                self.assertIn("copy the folders bin and libexec", done.stderr)

    def put_other_program(self, folder):
        other = folder / "libexec/vmae/vmae"
        other.parent.mkdir(parents=True)
        other.write_text(PROGRAM)
        other.chmod(0o755)
        return other

    @unittest.skipUnless(os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0, "needs a mount namespace")
    def test_without_proc_nothing_else_is_started(self):
        """Not what happens to lie in the current folder."""
        self.put_other_program(self.tmp)
        without_proc = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" doctor', os.fspath(VMAE)]
        done = subprocess.run(without_proc, cwd=self.tmp, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertIn("/proc/self/exe can't be read: No such file or directory", done.stderr)

    def test_arguments_and_exit_code_go_through(self):
        program = self.copy()
        other = self.put_other_program(self.tmp / "moved to")
        link = self.tmp / "vmae"
        link.symlink_to(program)
        done = call(link, "features", "--x", "a b", "", "data.train=[a, b]")
        self.assertEqual((done.returncode, done.stderr), (42, ""))
        self.assertEqual(done.stdout.splitlines(), ["policy=passive", "[features]", "[--x]", "[a b]", "[]", "[data.train=[a, b]]"])
        self.assertIn("policy=active\n", call(program, "doctor", OMP_WAIT_POLICY="active").stdout)
        self.assertIn("policy=\n", call(program, "doctor", GOMP_SPINCOUNT="5").stdout)
        other.chmod(0o644)
        self.assertIn("libexec/vmae/vmae can't be started: Permission denied", call(program, "doctor").stderr)


if __name__ == "__main__":
    unittest.main()
