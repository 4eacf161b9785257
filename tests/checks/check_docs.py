#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the documentation to the program: generated pages, configs, exit codes, links, paths, option names and commands.

usage: python3 tests/checks/check_docs.py [--vmae build/release/bin/vmae]
"""
import argparse
import difflib
import itertools
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GENERATED = {"configuration": "docs/configuration.md", "default-config": "configs/default.yaml"}
PATH = re.compile(r"(?<![\w./~-])(?:src|include|apps|configs|docs|scripts|tests|cmake)/[\w./*{},=-]*")
KEY = r"(?<![\w./-])(?:{})\.[a-z_0-9]+(?![\w.(/])"  # {}: the sections of the generated page
NOT_KEYS = {"train.log", "prepare.log", "plan.json"}
MACHINE_PATH = re.compile(rb"(?<![\w.~}])/(?:work|root|home)/[\w.]")


def pages():
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def run(vmae, *arguments):
    return subprocess.run([vmae, *arguments], capture_output=True, text=True, cwd=ROOT)


def code_in(text):
    """The text of code spans and of fenced blocks, Python's left out."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [block for language, block in fenced if language != "python"] + re.findall(r"`([^`\n]+)`", rest)


def expand_braces(text):
    parts = re.split(r"\{([^{}]*)\}", text)
    return ["".join(choice) for choice in itertools.product(*([part] if i % 2 == 0 else part.split(",") for i, part in enumerate(parts)))]


def check_generated(vmae):
    """generated pages are what the program prints today"""
    for page, name in GENERATED.items():
        path, result = ROOT / name, run(vmae, "docs", page)
        if result.returncode != 0 or not result.stdout:
            yield 1, f"`vmae docs {page}` fails: {result.stderr.strip()}"
        elif not path.is_file():
            yield 1, f"{name} is missing; make it: vmae docs {page} > {name}"
        elif path.read_text() != result.stdout:
            lines = difflib.unified_diff(path.read_text().splitlines(), result.stdout.splitlines(), lineterm="", n=0)
            first = next((line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")), "")
            yield 1, f"{name} is out of date ({first[:100]}); make it again: vmae docs {page} > {name}"
        else:
            yield 1, None


def check_configs(vmae):
    """configs are accepted by --print-config of the command that their head names (pretrain, where it names none)"""
    def print_config(path):
        named = re.search(r"^#.*?\bvmae (pretrain|finetune-seg|finetune-cls)\b", path.read_text(), re.MULTILINE)
        return run(vmae, named.group(1) if named else "pretrain", "--config", str(path), "--print-config")

    files = sorted((ROOT / "configs").rglob("*.yaml"))
    with ThreadPoolExecutor() as pool:
        for path, result in zip(files, pool.map(print_config, files)):
            yield 1, None if result.returncode == 0 else f"{name_of(path)} is refused: {result.stderr.strip()}"
    if not files:
        yield 0, "there are no configs"


def check_exit_codes(_):
    """docs/exit-codes.md lists the codes of include/vmae/core/error.h"""
    body = re.search(r"enum class ExitCode[^{]*\{(.*?)\};", (ROOT / "include/vmae/core/error.h").read_text(), re.DOTALL).group(1)
    declared = {(number, name) for name, number in re.findall(r"^\s*(\w+) = (\d+)", body, re.MULTILINE)}
    documented = re.findall(r"^\| *(\d+) *\| *`(\w+)` *\|", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE)
    yield len(declared), None
    for row in sorted(declared ^ set(documented)):
        yield 0, f"exit code {row[0]} ({row[1]}) is only in {'error.h' if row in declared else 'docs/exit-codes.md'}"
    if len(documented) != len(set(documented)):
        yield 0, "docs/exit-codes.md lists a code twice"


def anchors_of(path):
    titles = re.findall(r"^#+ +(.*?)\s*$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check_links(_):
    """relative links lead somewhere"""
    for page in pages():
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            path = (page.parent / file) if file else page
            if not path.exists():
                yield 1, f"{name_of(page)} links to {target}, which does not exist"
            elif anchor and path.suffix == ".md" and anchor not in anchors_of(path):
                yield 1, f"{name_of(page)} links to {target}, but there is no such heading"
            else:
                yield 1, None


def check_paths(_):
    """paths of this repository in code spans exist"""
    for page in pages():
        for text in code_in(page.read_text()):
            for found in PATH.findall(text):
                for path in expand_braces(found.rstrip(".,")):
                    is_there = any(ROOT.glob(path)) if "*" in path else (ROOT / path).exists()
                    yield 1, None if is_there else f"{name_of(page)} names {path}, which does not exist"


def check_keys(_):
    """option names in code spans exist"""
    known = set(re.findall(r"^\| `([\w.]+)`", (ROOT / GENERATED["configuration"]).read_text(), re.MULTILINE))
    key_pattern = re.compile(KEY.format("|".join(sorted({key.partition(".")[0] for key in known}))))
    for page in pages():
        for text in code_in(page.read_text()):
            for key in set(key_pattern.findall(text)) - NOT_KEYS:
                yield 1, None if key in known else f"{name_of(page)} names the option {key}, which does not exist"


def check_commands(vmae):
    """README's table of what works today agrees with --help"""
    help_text = run(vmae, "--help").stdout
    offered = set(re.findall(r"^  ([a-z][a-z-]*) {2,}\S", help_text.partition("Subcommands:")[2], re.MULTILINE))
    section = re.search(r"^## What works today\n(.*?)(?=^## |\Z)", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| *`vmae ([a-z-]+)` *\|.*\| *(works|not yet) *\|$", section.group(1), re.MULTILINE) if section else []
    if not rows or not offered:
        yield 0, "README.md has no section 'What works today' with rows '| `vmae x` | ... | works |', or --help lists no subcommands"
    for command, state in rows:
        wrong = (state == "works") != (command in offered)
        yield 1, f"README.md says that `vmae {command}` {'works' if state == 'works' else 'does not work yet'}; --help says otherwise" if wrong else None
    for command in sorted(offered - {command for command, _ in rows} - {"docs"}):
        yield 0, f"`vmae {command}` is not in README.md's table"


def check_machine_paths(_):
    """no file holds a path of somebody's machine"""
    result = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, text=True, cwd=ROOT)
    names = sorted(set(filter(None, result.stdout.split("\0"))))
    if not names:
        yield 0, f"git lists no files: {result.stderr.strip()}"
    for name in names:
        path = ROOT / name
        found = MACHINE_PATH.search(path.read_bytes()) if path.is_file() else None
        yield 1, f"{name} holds a machine's path: {found.group().decode()}..." if found else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vmae", default=str(ROOT / "build/release/bin/vmae"))
    vmae = str(Path(parser.parse_args().vmae).resolve())
    checks = [check_generated, check_configs, check_exit_codes, check_links, check_paths, check_keys, check_commands, check_machine_paths]

    def results_of(check):
        try:
            return list(check(vmae))
        except Exception as error:  # a check that can't run has not passed
            return [(0, f"{check.__name__} ended with {type(error).__name__}: {error}")]

    num_failed = 0
    with ThreadPoolExecutor() as pool:
        for check, results in zip(checks, pool.map(results_of, checks)):
            failures = list(dict.fromkeys(text for _, text in results if text))
            num_failed += len(failures)
            for failure in failures:
                print("check_docs:", failure)
            print(f"check_docs: {check.__doc__}: {sum(count for count, _ in results)} checked, {len(failures)} wrong")
    return 1 if num_failed else 0


if __name__ == "__main__":
    sys.exit(main())
