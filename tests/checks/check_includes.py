#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the architecture: which module may include which, and which libraries stay inside which module (docs/architecture.md).

usage: python3 tests/checks/check_includes.py
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# A module may include itself and these. Every list holds earlier modules only, so there are no cycles.
ALLOWED = {
    "core": [],
    "io": ["core"],
    "report": ["core"],
    "stats": ["core"],
    "eval": ["core", "stats"],
    "data": ["core", "io"],
    "nn": ["core"],
    "weights": ["core"],
    "train": ["core", "io", "report", "data", "weights"],  # io: panels are encoded as PNG; not nn: the loop knows no model
    "run": ["core", "io", "report", "stats", "eval", "data", "nn", "weights", "train"],
    "apps": ["core", "run"],
}
# What one file may include beyond its module's list.
EXCEPTIONS = {"apps/vmae/main_with_torch.cpp": ["vmae/train/cpu_allocator.h"]}  # must be in place before the first tensor

TORCH = r"(torch|ATen|c10|caffe2|aten)/"
TORCH_FREE = ["core", "io", "report", "stats", "eval"]
# Library -> where its headers may be: a pattern of file names.
LIBRARIES = {
    TORCH: r"(include/vmae|src)/(data|nn|weights|train|run)/|src/torch_pch\.h$",
    r"spdlog/|fmt/": r"src/core/\w+\.cpp$",
    r"yaml-cpp/": r"src/core/\w+\.cpp$",
    r"opencv2/": r"src/io/\w+\.cpp$",
    r"itk": r"src/io/\w+\.cpp$",
    r"zlib\.h": r"src/io/\w+\.cpp$",
    r"zstd\.h": r"src/io/prepared_codec\.cpp$",
    r"lmdb\.h$": r"src/io/lmdb_file\.h$",
    r"openssl/": r"src/core/hash\.cpp$",
    r"dcmtk/|openjpeg|charls/": r"src/io/dicom_\w+\.cpp$",
    r"nlohmann/": r"src/\w+/\w+\.cpp$|src/torch_pch\.h$",
    r"boost/math/": r"src/stats/\w+\.cpp$",
    r"CLI/": r"apps/",
    r"cuda|nccl|ATen/cuda/|c10/cuda/|.*NCCL": r"src/train/(device|device_input|process_group|step_graph)\.cpp$",  # what knows about CUDA
    r"torch/csrc/distributed": r"src/train/(rendezvous|process_group)\.h$|src/train/(gradient_sync|process_group|world)\.cpp$",
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def module_of(name):
    parts = name.split("/")
    if parts[:2] == ["include", "vmae"]:
        return parts[2]
    return parts[1] if parts[0] == "src" and len(parts) > 2 else "apps" if parts[0] == "apps" else None


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
        elif mark == '"' and module is not None and header != "git_revision.h" and ("/" in header or not (ROOT / name).with_name(header).is_file()):
            yield f'includes "{header}", which does not lie beside it: a private header belongs to one module'
        for library, place in LIBRARIES.items():
            if re.match(library, header) and not re.match(place, name):
                yield f"includes {header}, which may stand only in {place}"


def main():
    order = list(ALLOWED)
    failures = []
    for module, allowed in ALLOWED.items():
        failures += [f"the table: {module} may not come before {used}" for used in allowed if order.index(used) >= order.index(module)]
        failures += [f"the table: {module} is to be free of torch, {used} is not" for used in allowed if module in TORCH_FREE and used not in TORCH_FREE]
    files = sorted(p for folder in ("include", "src", "apps") for p in (ROOT / folder).rglob("*") if p.suffix in (".h", ".cpp"))
    num_includes = 0
    for path in files:
        name, text = path.relative_to(ROOT).as_posix(), path.read_text()
        num_includes += len(INCLUDE.findall(text))
        failures += [f"{name} {problem}" for problem in problems_of(name, text)]
    for failure in failures:
        print("check_includes:", failure)
    print(f"check_includes: {num_includes} includes in {len(files)} files of {len(ALLOWED)} modules, {len(failures)} problems")
    return 1 if failures or not files else 0


if __name__ == "__main__":
    sys.exit(main())
