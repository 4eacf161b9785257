#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the architecture: which module may include which, and which libraries stay inside which module (docs/architecture.md).

usage: python3 tests/checks/check_includes.py [--picture]     --picture: draws the modules into docs/architecture.md
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A module may include itself and these. Every list holds earlier modules only, so there are no cycles.
FILES = ["core", "image", "volume", "dicom", "cases", "prepared", "sources", "splits"]
ALLOWED = {
    "core": [],
    "image": ["core"],
    "volume": ["core", "image"],
    "dicom": ["core", "image", "volume"],
    "cases": ["core", "image", "volume", "dicom"],
    "prepared": ["core", "image", "volume", "cases"],
    "sources": ["core", "image", "volume", "dicom", "cases", "prepared"],
    "splits": ["core", "image", "cases", "sources"],
    "report": ["core"],
    "stats": ["core"],
    "metrics": ["core", "stats"],
    "nnunet": ["core", "image"],  # image: connected components
    "data": ["core", "image", "volume", "dicom", "cases", "prepared", "sources", "nnunet"],
    "nn": ["core"],
    "weights": ["core"],
    "cuda": ["core"],
    "ranks": ["core", "cuda"],
    "train": ["core", "image", "report", "data", "weights", "sources", "cuda", "ranks"],  # image: panels are encoded as PNG; not nn: the loop knows no model
    "runs": [*FILES, "report", "nnunet", "data", "nn", "ranks", "train"],
    "pictures": [*FILES, "report", "data", "nn"],
    "prepare": [*FILES, "report", "data", "runs"],
    "evaluate": [*FILES, "report", "stats", "metrics", "data", "runs", "pictures", "prepare"],
    "predict": [*FILES, "report", "nnunet", "data", "nn", "weights", "ranks", "train", "runs", "pictures", "prepare"],
    "tasks": [*FILES, "report", "stats", "nnunet", "data", "nn", "weights", "ranks", "train", "runs", "pictures", "prepare", "predict"],
    "inspect": [*FILES, "report", "data", "weights", "runs", "pictures", "prepare", "predict"],
    "tools": [*FILES, "report", "stats", "metrics", "nnunet", "data", "nn", "weights", "cuda", "ranks", "train", "runs", "prepare", "predict"],
    "apps": ["core", "ranks", "runs", "prepare", "evaluate", "predict", "tasks", "inspect", "tools"],
}
# What one file may include beyond its module's list.
EXCEPTIONS = {"apps/vmae/torch_part.cpp": ["vmae/train/cpu_allocator.h", "vmae/train/device.h", "vmae/cuda/library.h"]}  # must be in place before the first tensor

TORCH = r"(torch|ATen|c10|caffe2|aten)/"
TORCH_FREE = ["core", *FILES, "report", "stats", "metrics", "nnunet"]
# Library -> where its headers may be: a pattern of file names.
LIBRARIES = {
    TORCH: r"(include/vmae|src)/(data|nn|weights|cuda|ranks|train|pictures|predict|tasks|inspect|tools)/|src/torch_pch\.h$",
    r"spdlog/|fmt/": r"src/core/\w+\.cpp$",
    r"yaml-cpp/": r"src/core/\w+\.cpp$",
    r"opencv2/": r"src/image/\w+\.cpp$",
    r"itk": r"src/volume/\w+\.cpp$",
    r"zlib\.h": r"src/(image|volume|dicom|cases)/\w+\.cpp$",
    r"zstd\.h": r"src/prepared/codec\.cpp$",
    r"zip\.h$": r"src/weights/zip_file\.cpp$",
    r"lmdb\.h$": r"src/prepared/lmdb_file\.h$",
    r"openssl/": r"src/core/hash\.cpp$",
    r"dcmtk/|openjpeg|charls/": r"src/dicom/((series|write)/)?\w+\.cpp$",
    r"nlohmann/(?!json_fwd)": r"src/\w+/(\w+/)?\w+\.cpp$|src/torch_pch\.h$",
    r"boost/math/": r"src/stats/\w+\.cpp$",
    r"CLI/": r"apps/",
    r"cuda|nccl|ATen/cuda/|c10/cuda/|.*NCCL": r"src/cuda/library\.cpp$",
    r"torch/csrc/distributed": r"src/ranks/(rendezvous|process_group)\.h$|src/ranks/(gradient_sync|process_group|world)\.cpp$|src/cuda/library\.cpp$",
}
# Folders within a module, in their order: a file may include its own folder and those before it.
FLOORS = {"dicom": ["dicom", "dicom/series", "dicom/write"], "evaluate": ["evaluate", "evaluate/report"]}
ENTRANCES = {"src/evaluate/evaluate.cpp"}  # the command itself, which calls all floors
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(name):
    parts = name.split("/")
    if parts[:2] == ["include", "vmae"]:
        return parts[2]
    return parts[1] if parts[0] == "src" and len(parts) > 2 else "apps" if parts[0] == "apps" else None


def is_beside(name, header):
    """In its folder, or in another of its module."""
    file = ((ROOT / name).parent / header).resolve()
    return file.is_file() and module_of(str(file.relative_to(ROOT))) == module_of(name)


def floor_of(module, name, header=""):
    """The place in FLOORS of a file, or of the header that it includes."""
    folder = ((ROOT / name).parent / header if header else ROOT / name).resolve().parent
    return FLOORS[module].index(str(folder.relative_to(ROOT / "src"))) if folder.is_relative_to(ROOT / "src") else 0


def problems_of(name, text):
    module = module_of(name)
    if module is not None and module not in ALLOWED:
        yield f"is in the module {module}, which is not in the table of tests/checks/check_includes.py"
        return
    for mark, header in INCLUDE.findall(text):
        parts = header.split("/")
        if parts[0] == "vmae" and module is not None:
            if header in EXCEPTIONS.get(name, []):
                continue
            if not (ROOT / "include" / header).is_file():
                yield f"includes {header}, which does not exist"
            if parts[1] != module and parts[1] not in ALLOWED[module]:
                yield f"includes {header}, but {module} may use {', '.join(ALLOWED[module]) or 'no other module'}"
            if mark == "<":
                yield f"includes <{header}>: own headers are written in quotes"
        elif mark == '"' and module in FLOORS and name not in ENTRANCES and floor_of(module, name, header) > floor_of(module, name):
            yield f'includes "{header}", which lies above it: {", ".join(FLOORS[module])}'
        elif mark == '"' and module is not None and header != "git_revision.h" and not is_beside(name, header):
            yield f'includes "{header}", which does not lie in its module: a private header belongs to one module'
        for library, place in LIBRARIES.items():
            if re.match(library, header) and not re.match(place, name):
                yield f"includes {header}, which may stand only in {place}"


def picture(used, sizes):
    """The modules as a flowchart: who uses whom, without arrows that follow from others; lines of code to the next hundred."""
    def reaches(start, goal):
        return any(one == goal or reaches(one, goal) for one in used[start])
    lines = ["```mermaid", "flowchart BT"]
    for module in ALLOWED:
        files, length = sizes[module]
        lines.append(f'  {module}["{module}<br>{files} files, {max(1, round(length / 100)) / 10:g}k lines"]')
    for module in ALLOWED:
        direct = sorted(used[module], key=list(ALLOWED).index)
        lines += [f"  {module} --> {one}" for one in direct if not any(reaches(other, one) for other in direct if other != one)]
    return "\n".join([*lines, "```"])


def main():
    order = list(ALLOWED)
    failures = []
    for module, allowed in ALLOWED.items():
        failures += [f"the table: {module} may not come before {used}" for used in allowed if order.index(used) >= order.index(module)]
        failures += [f"the table: {module} is to be free of torch, {used} is not" for used in allowed if module in TORCH_FREE and used not in TORCH_FREE]
    files = sorted(p for folder in ("include", "src", "apps") for p in (ROOT / folder).rglob("*") if p.suffix in (".h", ".cpp"))
    num_includes = 0
    used, sizes = {module: set() for module in ALLOWED}, {module: (0, 0) for module in ALLOWED}
    for path in files:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        num_includes += len(INCLUDE.findall(text))
        if (module := module_of(name)) in ALLOWED:
            used[module] |= {header.split("/")[1] for _, header in INCLUDE.findall(text) if header.startswith("vmae/")} - {module}
            sizes[module] = sizes[module][0] + 1, sizes[module][1] + text.count("\n")
        failures += [f"{name} {problem}" for problem in problems_of(name, text)]
    used["apps"] -= {"train"}  # EXCEPTIONS
    page = ROOT / "docs/architecture.md"
    before, _, rest = page.read_text().partition("```mermaid")
    now = before + picture(used, sizes) + rest.partition("\n```")[2]
    if "--picture" in sys.argv[1:]:
        page.write_text(now)
    elif re.sub(r"<br>.*", "", now) != re.sub(r"<br>.*", "", page.read_text()):
        failures.append("docs/architecture.md: its picture has other modules or arrows than the code: check_includes.py --picture draws it anew")
    for failure in failures:
        print("check_includes:", failure)
    print(f"check_includes: {num_includes} includes in {len(files)} files of {len(ALLOWED)} modules, {len(failures)} problems")
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())
