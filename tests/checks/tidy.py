#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) over the sources of a build's compile_commands.json.

usage: tidy.py BUILD_FOLDER [--jobs N] [FILE ...]     without files: all of src/ and apps/

g++'s precompiled header means nothing to clang: it is left out, so that every file must include what it uses. That a file is clean is remembered by content
(an empty file in ~/.cache/vmae/tidy), so that a second run, in another clone too, only looks at what changed.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "vmae" / "tidy"
ROOT = pathlib.Path(__file__).resolve().parents[2]
TIDY = pathlib.Path(sys.executable).with_name("clang-tidy")  # beside Python, by scripts/setup --test
LEFT_OUT = {"src/volume/volume.cpp"}  # ITK 5.2's headers refuse this clang


def commands_without_pch(build):
    entries = json.loads((build / "compile_commands.json").read_text())
    wanted = []
    for entry in entries:
        path = pathlib.Path(entry["file"])
        if not path.is_relative_to(ROOT) or path.relative_to(ROOT).parts[0] not in ("src", "apps") or str(path.relative_to(ROOT)) in LEFT_OUT:
            continue
        command = re.sub(r"-include \S*cmake_pch\.hxx", "", entry["command"])
        for option in ("-Winvalid-pch", "-fpch-preprocess", "-fopenmp"):  # clang brings no omp.h
            command = command.replace(option, "")
        entry["command"] = command
        wanted.append(entry)
    return wanted


def own_includes(path):
    for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE):
        for header in (path.parent / name, ROOT / "include" / name):
            if header.is_file():
                yield header.resolve()
                break


def content_of(path):
    """The bytes of a file and of all headers of the project that it sees."""
    seen, waiting = {path}, [path]
    while waiting:
        found = set(own_includes(waiting.pop())) - seen
        seen |= found
        waiting += found
    return b"".join(f"{one.relative_to(ROOT)} {one.stat().st_size}\n".encode() + one.read_bytes() for one in sorted(seen))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    args = parser.parse_args()
    folder = args.build / "tidy"
    folder.mkdir(exist_ok=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    entries = commands_without_pch(args.build)
    (folder / "compile_commands.json").write_text(json.dumps(entries))
    known = [pathlib.Path(e["file"]) for e in entries]
    files = [f.resolve() for f in args.files if f.resolve() in known] or known

    # A file's result depends on itself, on the headers of the project that it sees, on how it is compiled, and on the checks.
    shared = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + pathlib.Path(__file__).read_bytes())
    for versions in ([TIDY, "--version"], ["dpkg-query", "-W"]):  # the libraries' headers
        shared.update(subprocess.run(versions, capture_output=True, check=True).stdout)
    commands_of = collections.defaultdict(str)  # several, where a file belongs to several targets
    for entry in entries:
        commands_of[pathlib.Path(entry["file"])] += entry["command"].replace(str(ROOT), "") + "\n"
    def check(path):
        content = content_of(path)
        stamp = CACHE / hashlib.sha256(shared.digest() + commands_of[path].encode() + content).hexdigest()
        if stamp.exists():
            stamp.touch()
            return path, ""
        result = subprocess.run([TIDY, "-p", str(folder), "--quiet", str(path)], capture_output=True, text=True)
        if result.returncode == 0:
            if content_of(path) == content:  # nobody edited it meanwhile
                stamp.touch()
            return path, ""
        return path, result.stdout + "\n".join(line for line in result.stderr.splitlines() if "warnings generated" not in line)

    for stamp in CACHE.iterdir():
        if stamp.stat().st_mtime < time.time() - 30 * 86400:
            stamp.unlink(missing_ok=True)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for path, output in pool.map(check, files):
            if output:
                failed += 1
                print(f"{path.relative_to(ROOT)}:\n{output}")
    print(f"clang-tidy: {len(files)} files, {failed} with findings; left out: {', '.join(sorted(LEFT_OUT))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
