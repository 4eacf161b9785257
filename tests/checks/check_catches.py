#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""No catch block drops an error without a word: it throws, uses what it caught, keeps it (std::current_exception), makes another Error or a log line of it,
or a comment says why it does not matter.

usage: python3 tests/checks/check_catches.py
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CATCH = re.compile(r"\bcatch\s*\(([^)]*)\)\s*\{")
SPEAKS = re.compile(r"\bthrow\b|\bfail(_\w+)?\(|\brethrow_exception\b|\bcurrent_exception\b|\bError\(|\blog::(warning|error)\(|\breport\(")


def block_at(text, start):
    """The text from `start`, just behind an opening brace, to the closing one; braces in strings, characters and comments don't count."""
    depth, at = 1, start
    skip = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.DOTALL)
    while depth:
        if found := skip.match(text, at):
            at = found.end()
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start:at - 1]


def problems_of(name, text):
    for found in CATCH.finditer(text):
        if "//" in text[text.rfind("\n", 0, found.start()) + 1:found.start()]:
            continue  # in a comment
        body = block_at(text, found.end())
        line = text[found.end():text.find("\n", found.end())]
        caught = re.search(r"(\w+)\s*$", found[1]) if "&" in found[1] else None
        variable = found[1].split("&")[-1].strip() if caught else ""
        speaks = SPEAKS.search(body) or (variable and re.search(rf"\b{variable}\b", body)) or "//" in body or "//" in line
        if not speaks:
            yield f"{name}:{text.count(chr(10), 0, found.start()) + 1}: catch ({found[1]}) drops the error: rethrow it, say it, or comment why it does not matter"


def self_test():
    good = ["catch (const Error& e) { throw; }", "catch (const Error& e) { log::warning(e.what()); }", "catch (...) {\n  error = std::current_exception();\n}",
            "catch (const Error&) {  // it is read again below\n}", "catch (const std::bad_alloc&) { fail(path, \"} no memory\"); }", "// a catch (x) {}"]
    bad = ["catch (const Error&) {}", "catch (...) {\n}", "catch (const Error& e) { return false; }", "catch (const std::exception&) {\n  is_broken = true;\n}  // behind"]
    for text in good:
        assert not list(problems_of("x", text)), text
    for text in bad:
        assert list(problems_of("x", text)), text


def main():
    self_test()
    files = [path for folder in ("src", "apps", "include") for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".cpp", ".h")]
    problems = [problem for path in files for problem in problems_of(str(path.relative_to(ROOT)), path.read_text())]
    print("\n".join(problems) or f"{len(files)} files: every catch block says what it does with the error")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
