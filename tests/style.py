#!/usr/bin/python3
"""style - what every file of the tree keeps to, and a program can see.

Prints 'ok RULE' or 'not ok RULE - file:line: what' for each rule.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ast
import re
import subprocess

CODE = re.compile(r"\.(c|h|x|py|sh|def)$|(^|/)(check|try)$")
C = re.compile(r"\.[ch]$")
FILE_LINES_MAX = 1000
COLUMNS_MAX = 100


def tracked():
    out = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True).stdout
    return [name for name in out.decode().split("\0") if name]


def read(name):
    try:
        with open(name, encoding="utf-8") as stream:
            return stream.read()
    except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
        return None


def long_files(files):
    for name, text in files:
        if CODE.search(name) and text.count("\n") > FILE_LINES_MAX:
            yield "%s: %d lines, at most %d" % (name, text.count("\n"), FILE_LINES_MAX)


def long_lines(files):
    for name, text in files:
        if not C.search(name):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > COLUMNS_MAX:
                yield "%s:%d: %d columns, at most %d" % (name, number, len(line), COLUMNS_MAX)


def licence(files):
    for name, text in files:
        if CODE.search(name) and "SPDX-License-Identifier: LGPL-2.1-or-later" not in text[:3000]:
            if not name.endswith((".def",)):
                yield "%s: no licence line" % name


def left_open(files):
    word = re.compile(r"\b(" + "TO" + "DO|FIX" + "ME|X" + r"XX)\b(?!X)")
    for name, text in files:
        if not CODE.search(name):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if word.search(line):
                yield "%s:%d: left open" % (name, number)


def tabs_and_blanks(files):
    for name, text in files:
        if not C.search(name):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if "\t" in line or line != line.rstrip():
                yield "%s:%d: a tab, or blanks at the end" % (name, number)


def hidden_functions(files):
    """A test under the name of one further up in its class takes that one's place, unnoticed."""
    for name, text in files:
        if not name.endswith(".py") and not text.startswith("#!/usr/bin/python3"):
            continue
        for place in ast.walk(ast.parse(text)):
            if not isinstance(place, (ast.Module, ast.ClassDef)):
                continue
            seen = set()
            for node in place.body:
                if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                    if node.name in seen:
                        yield "%s:%d: a second %s()" % (name, node.lineno, node.name)
                    seen.add(node.name)


RULES = {
    "file length": long_files,
    "line length": long_lines,
    "licence": licence,
    "nothing left open": left_open,
    "white space": tabs_and_blanks,
    "names of functions": hidden_functions,
}


def main():
    files = [(name, read(name)) for name in tracked()]
    files = [(name, text) for name, text in files if text is not None]
    for rule, find in RULES.items():
        findings = list(find(files))
        if not findings:
            print("ok", rule)
        for finding in findings:
            print("not ok %s - %s" % (rule, finding))


main()
