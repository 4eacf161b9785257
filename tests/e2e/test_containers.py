# SPDX-License-Identifier: Apache-2.0
"""scripts/container: both recipes are of the same parts, what they copy is there, and install.sh asks for the right packages. Nothing is installed: apt-get and python3 are replaced."""
import fnmatch
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
FOLDER = SOURCE / "scripts/container"
WHEEL = "vmae-0.1.0+torch{}-py3-none-manylinux_2_35_x86_64.whl"
FAKE_APT = '#!/bin/sh\necho "apt-get $*" >>"$LOG"\n'
# `python3 -m venv DIR` makes a DIR in which pip and vmae only say how they were called.
FAKE_PYTHON = """#!/bin/sh
echo "python3 $*" >>"$LOG"
mkdir -p "$3/bin" "$3/lib/python3.11/site-packages/vmae/share/vmae/configs"
printf '#!/bin/sh\\necho "pip $*" >>"$LOG"\\n' >"$3/bin/pip"
printf '#!/bin/sh\\necho "vmae $*" >>"$LOG"\\n' >"$3/bin/vmae"
chmod +x "$3/bin/pip" "$3/bin/vmae"
"""


def names(group):
    return re.findall(rf"^{re.escape(group)} +(\S+)$", (SOURCE / "scripts/dependencies.txt").read_text(), re.MULTILINE)


def dockerfile():
    """-> {instruction: [what follows]}"""
    found = {}
    for line in re.sub(r"\\\n", "", (FOLDER / "Dockerfile").read_text()).splitlines():
        if line and not line.startswith("#"):
            word, rest = line.split(maxsplit=1)
            found.setdefault(word, []).append(rest)
    return found


def definition():
    """-> {section: [lines]}, of the head under ''"""
    found, lines = {}, None
    lines = found[""] = []
    for line in (FOLDER / "vmae.def").read_text().splitlines():
        if line.startswith("%"):
            lines = found[line[1:].strip()] = []
        elif line.strip() and not line.startswith("#"):
            lines.append(line.strip())
    return found


class Recipes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.docker, cls.apptainer = dockerfile(), definition()
        cls.arguments = dict(line.split("=") for line in cls.docker["ARG"])

    def filled(self, text, **values):
        """Of either recipe: with the values of its arguments."""
        for name, value in {**self.arguments, **values}.items():
            text = re.sub(rf"\${name}\b|\$\{{{name}\}}|\{{\{{ {name} \}}\}}", value, text)
        return text

    def test_both_are_of_the_same_parts(self):
        self.assertEqual(self.docker["FROM"], [line.split()[1] for line in self.apptainer[""] if line.startswith("From:")])
        self.assertEqual(self.docker["ARG"], self.apptainer["arguments"])
        given = {name: f"<{name}>" for name in self.arguments}
        *sources, target = self.filled(self.docker["COPY"][0], **given).split()
        self.assertEqual([[source, target] for source in sources], [self.filled(line, **given).split() for line in self.apptainer["files"]])
        commands = [self.filled(line, **given) for line in self.docker["RUN"]]
        self.assertEqual(commands, [self.filled(line, **given) for line in self.apptainer["post"]])
        for value in given.values():
            self.assertIn(value, " ".join([*commands, *sources]))
        variables = dict(word.split("=", 1) for word in self.docker["ENV"][0].split())
        ours = {name: value for name, value in variables.items() if not name.startswith("NVIDIA_")}  # Apptainer has --nv
        self.assertEqual(ours, dict(line.removeprefix("export ").split("=", 1) for line in self.apptainer["environment"]))
        self.assertEqual(self.docker["ENTRYPOINT"], ['["vmae"]'])
        self.assertEqual(self.apptainer["runscript"], ['exec vmae "$@"'])

    def test_nothing_lies_below_tmp(self):
        """Apptainer mounts the host's /tmp and /var/tmp over those of the image while %post runs."""
        self.assertNotRegex("\n".join(self.apptainer["files"] + self.apptainer["post"]), r"\s/(var/)?tmp")

    def test_what_is_copied_is_there(self):
        tracked = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=SOURCE, check=True, capture_output=True, text=True).stdout.splitlines()
        left_out = (SOURCE / ".dockerignore").read_text().split()
        for torch in [name.split("==")[1] for group in ("torch-cpu-2.15.0", "torch-cpu-2.11.0") for name in names(group) if name.startswith("torch==")]:
            others = [f"dist/{WHEEL.format(other)}" for other in ("2.15.0", "2.11.0")]
            for source in self.filled(self.docker["COPY"][0], TORCH=torch).split()[:-1]:
                self.assertEqual(len(fnmatch.filter(tracked + others, source)), 1, source)
                self.assertFalse(any(fnmatch.fnmatch(source, pattern) or source.startswith(pattern + "/") for pattern in left_out), source)

    def test_its_torch_is_the_usual_one(self):
        usual = re.search(r"^VMAE_DEFAULT_TORCH=(\S+)", (SOURCE / "scripts/common.sh").read_text(), re.MULTILINE).group(1)
        self.assertEqual(self.arguments["TORCH"], usual)
        self.assertIn(f"torch=={usual}", names(f"torch-cpu-{usual}"))

    def test_heads_and_docs_name_what_exists(self):
        pages = [FOLDER / "Dockerfile", FOLDER / "vmae.def", *(SOURCE / "docs").glob("*.md"), SOURCE / "README.md"]
        for page in pages:
            for name in re.findall(r"--build-arg (\w+)=", page.read_text()):
                self.assertIn(name, self.arguments, page)
        for recipe, command in (("Dockerfile", "docker build -f scripts/container/Dockerfile"), ("vmae.def", "apptainer build vmae.sif scripts/container/vmae.def")):
            head = (FOLDER / recipe).read_text()
            self.assertIn(f"#   scripts/package wheel\n#   {command}", head)


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tmp = Path(folder.name)
        self.build = self.tmp / "build"
        for name in ("bin", "build"):
            (self.tmp / name).mkdir()
        for name, text in (("apt-get", FAKE_APT), ("python3", FAKE_PYTHON)):
            (self.tmp / "bin" / name).write_text(text)
            (self.tmp / "bin" / name).chmod(0o755)
        for name in ("sh", "awk", "dirname", "mkdir", "chmod", "ln"):
            (self.tmp / "bin" / name).symlink_to(shutil.which(name))
        shutil.copy(FOLDER / "install.sh", self.build)
        shutil.copy(SOURCE / "scripts/dependencies.txt", self.build)

    def install(self, *arguments, wheels=("2.15.0",), expect=0):
        """-> what was called; of a failure, what was said."""
        for torch in wheels:
            (self.build / WHEEL.format(torch)).touch()
        log = self.tmp / "log"
        log.write_text("")
        environment = {"PATH": os.fspath(self.tmp / "bin"), "LOG": os.fspath(log), "PREFIX": os.fspath(self.tmp / "vmae")}
        done = subprocess.run(["sh", self.build / "install.sh", *arguments], env=environment, cwd="/", capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, expect, done.stderr)
        if expect:
            self.assertEqual(log.read_text(), "", "nothing is installed then")
        return done.stderr if expect else log.read_text().splitlines()

    def test_cpu(self):
        for torch in ("2.15.0", "2.11.0"):
            with self.subTest(torch):
                update, packages, environment, pip, version = self.install("cpu", wheels=[torch])
                self.assertEqual(update, "apt-get update -qq")
                self.assertEqual(packages.split()[-len(names("apt-container")):], names("apt-container"))
                self.assertEqual(environment, f"python3 -m venv {self.tmp}/vmae")
                self.assertEqual(pip.split("--no-deps ")[1].split(), [*names(f"torch-cpu-{torch}"), f"./{WHEEL.format(torch)}"])
                self.assertEqual(version, "vmae --version")
                self.assertTrue((self.tmp / "vmae/configs").is_dir())
            shutil.rmtree(self.tmp / "vmae")
            (self.build / WHEEL.format(torch)).unlink()

    def test_cuda(self):
        pip = self.install("cuda")[3]
        self.assertNotIn("--no-deps", pip)
        self.assertEqual([word for word in pip.split()[2:] if not word.startswith("-")], [f"./{WHEEL.format('2.15.0')}"])

    def test_what_is_wrong(self):
        self.assertIn("one wheel is needed, of scripts/package wheel; there: vmae-*.whl", self.install("cpu", wheels=[], expect=2))
        self.assertIn("DEVICE is 'gpu'; allowed: cuda, cpu", self.install("gpu", expect=2))
        self.assertIn("allowed: cuda, cpu", self.install(expect=2))
        self.assertIn("one wheel is needed", self.install("cpu", wheels=["2.11.0"], expect=2))
        for wheel in self.build.glob("*.whl"):
            wheel.unlink()
        self.assertIn("has no torch-cpu-1.0.0", self.install("cpu", wheels=["1.0.0"], expect=2))


if __name__ == "__main__":
    unittest.main()
