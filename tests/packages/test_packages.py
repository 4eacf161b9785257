# SPDX-License-Identifier: Apache-2.0
"""scripts/package: the wheel in environments with PyTorch and without, the archive moved elsewhere, Debian's package; what is inside, and what is not."""
import base64
import filecmp
import hashlib
import os
import re
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np
from packaging.metadata import Metadata
from PIL import Image

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "scripts/packaging"))

import make_package  # noqa: E402

MOST_MIB = 50
JOBS = ("torchrun.sh", "slurm/pretrain.sbatch", "slurm/finetune.sbatch", "slurm/eval.sbatch", "configs/pretrain/mr.yaml")
OF_THE_SYSTEM = re.compile(r"linux-vdso|ld-linux|/lib(c|m|dl|rt|util|pthread|stdc\+\+|gcc_s|z)\.so")  # as manylinux has it
TINY = ["model.image_size=[64,64]", "model.in_channels=1", "model.embed_dim=4", "model.num_heads=[1,1,2,2]", "train.batch_size=4", "train.max_steps=20", "train.epochs=20", "run.threads=1"]


def run(*command, expect=0, path="/usr/bin:/bin", **variables):
    """In an environment of its own: nothing of the one that the tests run in."""
    done = subprocess.run([os.fspath(part) for part in command], env={"PATH": path, "HOME": "/nonexistent", **variables}, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.tmp = Path(cls.folder.name)
        program = Path(os.environ.get("VMAE", SOURCE / "build/release/bin/vmae")).resolve()
        cls.torch = re.search(r"for PyTorch ([0-9.]+),", run(program, "--version").stdout).group(1)
        cls.program = program
        (cls.their_torch,) = map(str, Path(sys.executable).parents[1].glob("lib/python3*/site-packages/torch"))
        cls.make("dist")
        (cls.wheel,) = (cls.tmp / "dist").glob("*.whl")
        (cls.archive,) = (cls.tmp / "dist").glob("*.tar.gz")
        (cls.deb,) = (cls.tmp / "dist").glob("*.deb")
        images = cls.tmp / "images"
        images.mkdir()
        random = np.random.default_rng(0)
        for i in range(12):
            Image.fromarray(random.integers(0, 256, (64, 64), dtype=np.uint8)).save(images / f"{i}.png")

    @classmethod
    def make(cls, folder, **options):
        """As scripts/package does when it has built: here nothing is built beside other tests. -> what it says"""
        command = [sys.executable, SOURCE / "scripts/packaging/make_package.py", "wheel", "tar", "deb", "--build", cls.program.parents[1], "--torch", cls.torch, "--output", cls.tmp / folder]
        done = subprocess.run(command, capture_output=True, text=True, **options)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def environment(self, name, with_torch):
        """A virtual environment, PyTorch as pip would have put it there; the wheel installed."""
        folder = self.tmp / name
        run(sys.executable, "-m", "venv", folder)
        (site,) = folder.glob("lib/python3*/site-packages")
        (theirs,) = Path(sys.executable).parents[1].glob("lib/python3*/site-packages")
        if with_torch:
            for entry in theirs.iterdir():
                if not (site / entry.name).exists() and not entry.name.startswith(("pip", "vmae")):
                    (site / entry.name).symlink_to(entry)
        run(folder / "bin/pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "--find-links", self.tmp / "dist", "vmae")  # which has the archive, too
        return folder, f"{folder}/bin:/usr/bin:/bin"

    def test_the_wheel_says_what_it_is(self):
        self.assertLess(self.wheel.stat().st_size, MOST_MIB * 2**20)
        self.assertRegex(self.wheel.name, r"^vmae-[0-9.]+\+torch[0-9.]+-py3-none-manylinux_2_35_x86_64\.whl$")
        with zipfile.ZipFile(self.wheel) as wheel:
            names = wheel.namelist()
            record = next(name for name in names if name.endswith("/RECORD"))
            listed = dict(line.rsplit(",", 2)[:2] for line in wheel.read(record).decode().splitlines())
            self.assertEqual(set(listed), set(names))
            for name, digest in listed.items():
                if name != record:
                    self.assertEqual(digest, "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).rstrip(b"=").decode(), name)
            metadata = Metadata.from_email(wheel.read(record.replace("RECORD", "METADATA")))  # checks it
            self.assertEqual(set(map(str, metadata.requires_dist)), {f"torch=={self.torch}", "numpy", "safetensors", 'onnx; extra == "onnx"', 'onnxscript; extra == "onnx"'})
            self.assertEqual((metadata.license_expression, metadata.license_files, metadata.project_urls), ("Apache-2.0", ["LICENSE"], {"Paper": "https://arxiv.org/abs/2402.01034"}))
            self.assertIn(record.replace("RECORD", "licenses/LICENSE"), names)
            self.assertIn("Tag: py3-none-manylinux_2_35_x86_64\n", wheel.read(record.replace("RECORD", "WHEEL")).decode())
            inside = [name for name in names if name.startswith("vmae.libs/")]
            self.assertTrue(all(re.search(r"-[0-9a-f]{8}\.", name) for name in inside), "names of their own")
            self.assertLess(sum(item.file_size for item in wheel.infolist() if item.filename.startswith("vmae.libs/")), 60e6)
            licences = {name.removeprefix("vmae/licences/") for name in names if name.startswith("vmae/licences/")}
            self.assertLess({"opencv", "cli11", "nlohmann-json3", "boost1.74", "gloo", "torch", "dcmtk", "tiff", "gcc-12", "nvidia_nccl_cu13", "common-licenses/Apache-2.0"}, licences)
            self.assertNotIn("jbigkit", licences)
            self.assertTrue(all(wheel.getinfo(f"vmae/licences/{name}").file_size > 500 for name in licences))
            (jbig,) = (name for name in inside if "jbig" in name)
            self.assertNotIn(b"Kuhn", wheel.read(jbig), "the real one, which is under the GPL")
            self.assertLess({f"vmae/share/vmae/{name}" for name in JOBS}, set(names))
            for name in names:
                self.assertNotIn(os.fsencode(SOURCE), wheel.read(name), name)

    def test_two_of_one_tree_are_the_same(self):
        said = self.make("again", umask=0o077, env={**os.environ, "TZ": "Asia/Tokyo"})
        for file in (self.wheel, self.archive, self.deb):
            self.assertTrue(filecmp.cmp(file, self.tmp / "again" / file.name, shallow=False), file.name)
        changes = subprocess.run(["git", "-C", SOURCE, "status", "--porcelain"], capture_output=True, text=True).stdout
        self.assertEqual("the tree has changes that are not committed" in said, bool(changes), said)
        with mock.patch.dict(os.environ, SOURCE_DATE_EPOCH="1700000000"):
            self.assertEqual(make_package.moment(), 1700000000)

    def test_what_is_refused(self):
        (self.tmp / "strange.h").touch()
        with self.assertRaisesRegex(SystemExit, "strange.h is in what was built, .* its licence is not known"):
            make_package.licences({self.tmp / "strange.h"})
        (self.tmp / "paths").mkdir()
        for place in ("/of/this/machine/vmae", Path.home() / ".cache/vmae", SOURCE / "src"):
            (self.tmp / "paths/file").write_text(f"built in {place}")
            with mock.patch.dict(os.environ, XDG_CACHE_HOME="/of/this/machine"), self.assertRaisesRegex(SystemExit, "file holds a path of this machine"):
                make_package.refuse_paths_of_this_machine(self.tmp / "paths")

    def test_with_torch(self):
        folder, path = self.environment("with", with_torch=True)
        vmae = folder / "bin/vmae"
        self.assertIn(f"for PyTorch {self.torch}", run(vmae, "--version", path=path).stdout)
        self.assertIn(self.torch, run(vmae, "doctor", path=path).stdout)
        self.assertIn("for PyTorch", run(folder / "bin/python", "-m", "vmae", "--version", path=path).stdout)
        link = self.tmp / "link"
        link.symlink_to(vmae)
        self.assertIn("for PyTorch", run(link, "--version", path="/usr/bin:/bin").stdout)
        done = run(vmae, "pretrain", *TINY, f"data.train={self.tmp}/images", f"run.dir={self.tmp}/run", path=path)
        self.assertIn("finished: 20 steps", done.stderr)
        load = f"import vmae; model = vmae.load('{self.tmp}/run'); print(type(model).__name__, model.training)"
        self.assertEqual(run(folder / "bin/python", "-c", load, path=path).stdout, "SwinMAE False\n")
        (page,) = folder.glob("share/man/man1/vmae.1")
        self.assertIn("vmae pretrain", page.read_text())
        run("bash", "-n", folder / "share/bash-completion/completions/vmae")
        # nothing but glibc, the C++ library and PyTorch's comes from outside
        (site,) = folder.glob("lib/python3*/site-packages")
        for file in (site / "vmae/bin/vmae", *(site / "vmae/lib").iterdir()):
            for line in run("ldd", file).stdout.splitlines():
                name, where = line.split()[0], line.split("=>")[-1].split("(")[0].strip()
                if not OF_THE_SYSTEM.search(where):
                    self.assertTrue(where.startswith(str(site)) or re.match(r"lib(torch|c10|gomp|cu|nv|nccl)", name), line)

    def test_without_torch(self):
        folder, path = self.environment("without", with_torch=False)
        vmae = folder / "bin/vmae"
        run(vmae, "prepare", "--input", self.tmp / "images", "--output", self.tmp / "prepared", path=path)
        for name in ("pred", "truth"):
            (self.tmp / name).mkdir()
            for i in range(4):
                mask = np.zeros((32, 32), np.uint8)
                mask[4:12 + i + len(name), 4:20] = 1
                Image.fromarray(mask).save(self.tmp / name / f"{i}.png")
        run(vmae, "eval", "--pred", self.tmp / "pred", "--truth", self.tmp / "truth", "--output", self.tmp / "report", "--resamples", "50", path=path)
        self.assertTrue((self.tmp / "report/report.html").exists())
        run(vmae, "inspect", SOURCE / "tests/golden/pth/reference_style.pth", path=path)
        missing = run(vmae, "pretrain", *TINY, f"data.train={self.tmp}/images", f"run.dir={self.tmp}/none", path=path, expect=1)
        self.assertIn(f"this needs PyTorch {self.torch}: no libtorch_cpu.so in LD_LIBRARY_PATH or where this program was installed or built; python3 has no torch", missing.stderr)
        self.assertIn(f"install PyTorch {self.torch}, or say where it is: VMAE_TORCH=/path/to/torch", missing.stderr)

    def test_what_is_left_out(self):
        """A TIFF that libjbig would read is refused; where the libraries that stand in are called after all, they say what was."""
        with tarfile.open(self.archive) as archive:
            archive.extractall(self.tmp / "left out", filter="data")
        (folder,) = (self.tmp / "left out").iterdir()
        Image.new("L", (64, 64)).save(self.tmp / "jbig.tif")
        compression = struct.pack("<HHI", 259, 3, 1)
        content = (self.tmp / "jbig.tif").read_bytes().replace(compression + b"\1\0", compression + struct.pack("<H", 34661))
        (self.tmp / "jbig.tif").write_bytes(content)
        self.assertIn("jbig.tif is a TIFF compressed with JBIG, which is not read", run(folder / "bin/vmae", "inspect", self.tmp / "jbig.tif", expect=3).stderr)
        for name, called in (("libjbig.so.0", "jbg_dec_in"), ("libxml2.so.2", "xmlFreeDoc")):
            (file,) = folder.glob(f"vmae.libs/{name.replace('.', '-*.', 1)}")
            said = run(sys.executable, "-c", f"import ctypes; ctypes.CDLL('{file}').{called}()", expect=-signal.SIGABRT).stderr
            self.assertIn(f"vmae: {called} of {name} was called, which is not in this package\n", said)

    def test_the_launcher(self):
        """Of Fedora's lib64, where lib64 and python3.1 are links, with blanks in the path; of two Pythons the one beside it says which."""
        launcher = (SOURCE / "scripts/packaging/vmae.sh").read_text()

        def prefix(name, *versions):
            folder = self.tmp / name
            (folder / "bin").mkdir(parents=True)
            (folder / "bin/vmae").write_text(launcher)
            for version in versions:
                program = folder / version / "site-packages/vmae/bin/vmae"
                program.parent.mkdir(parents=True)
                program.write_text(f'#!/bin/sh\necho {version} "$@"\n')
                program.chmod(0o755)
            (folder / "bin/vmae").chmod(0o755)
            return folder
        self.assertEqual(run(prefix("of fedora", "lib64/python3.9") / "bin/vmae", "a b").stdout, "lib64/python3.9 a b\n")
        links = prefix("links", "lib/python3.11")
        (links / "lib64").symlink_to("lib")
        (links / "lib/python3.1").symlink_to("python3.11")
        self.assertEqual(run(links / "bin/vmae").stdout, "lib/python3.11\n")
        two = prefix("two", "lib/python3.9", "lib/python3.11")
        (two / "bin/python3").write_text('#!/bin/sh\necho python "$@"\n')
        (two / "bin/python3").chmod(0o755)
        self.assertEqual(run(two / "bin/vmae", "x").stdout, "python -m vmae x\n")

    def test_the_archive(self):
        self.assertLess(self.archive.stat().st_size, MOST_MIB * 2**20)
        with tarfile.open(self.archive) as archive:
            archive.extractall(self.tmp / "moved here", filter="data")
        (folder,) = (self.tmp / "moved here").iterdir()
        vmae = folder / "bin/vmae"
        self.assertIn("for PyTorch", run(vmae, "--version").stdout)
        self.assertIn("libtorch_cpu.so", run(vmae, "doctor", expect=1).stderr)
        doctor = run(vmae, "doctor", VMAE_TORCH=self.their_torch).stdout
        self.assertIn(self.torch, doctor)
        self.assertRegex(doctor, r"\nCUDA +CUDA \d+\.\d+, cuDNN [1-9]", "the part for CUDA, with LibTorch's libraries from there")
        self.assertIn(self.torch, run(vmae, "doctor", path=f"{Path(sys.executable).parent}:/usr/bin:/bin").stdout)
        self.assertEqual([name for name in ("share/fish/vendor_completions.d/vmae.fish", *(f"vmae/share/vmae/{job}" for job in JOBS)) if not (folder / name).exists()], [])

    def test_debians_package(self):
        self.assertEqual(run("dpkg-deb", "--field", self.deb, "Version").stdout, f"{make_package.version()}+torch{self.torch}\n")
        self.assertEqual(set(re.findall(r"^\S+ (\S+)", run("dpkg-deb", "--contents", self.deb).stdout, re.MULTILINE)), {"root/root"})
        run("dpkg-deb", "--extract", self.deb, self.tmp / "deb")
        vmae = self.tmp / "deb/usr/bin/vmae"
        self.assertIn("for PyTorch", run(vmae, "--version").stdout)
        self.assertIn(self.torch, run(vmae, "doctor", VMAE_TORCH=self.their_torch).stdout)
        wanted = ("share/man/man1/vmae.1.gz", "lib/vmae/vmae/share/vmae/docs/eval.md", "share/zsh/vendor-completions/_vmae", "share/doc/vmae/copyright", "lib/vmae/vmae/licences/opencv", *(f"lib/vmae/vmae/share/vmae/{job}" for job in JOBS))
        self.assertEqual([name for name in wanted if not (self.tmp / "deb/usr" / name).exists()], [])


class Versions(unittest.TestCase):
    def test_all_places_have_the_same(self):
        version = make_package.version()
        self.assertIn(f"\nversion: {version}\n", (SOURCE / "CITATION.cff").read_text())
        self.assertRegex((SOURCE / "CHANGELOG.md").read_text(), rf"(?m)^## {re.escape(version)}(?: |$)")


if __name__ == "__main__":
    unittest.main()
