#!/usr/bin/python3
"""results - turns what test runners leave into the lines that ./check counts: STATUS, name, reason.

usage: results.py meson TESTLOG.json
       results.py lab RESULTS-DIRECTORY
       results.py lines NAME EXIT-STATUS < output     ('ok NAME', 'not ok NAME - why', 'skip NAME - why')

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import re
import sys

LINE = re.compile(r"(ok|not ok|skip)\s+(.+?)(?:\s+-\s+(.*))?$")
STATUS = {"ok": "ok", "not ok": "fail", "skip": "skip"}


def emit(status, name, reason=""):
    print(status, name, (reason or "").replace("\t", " "), sep="\t")


def meson(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        for text in log:
            test = json.loads(text)
            result = test["result"]
            if result in ("OK", "EXPECTEDFAIL"):
                emit("ok", "unit/" + test["name"])
            elif result == "SKIP":
                reason = [line for line in test.get("stdout", "").splitlines() if "skip" in line.lower()]
                emit("skip", "unit/" + test["name"], reason[-1] if reason else "it did not say why")
            else:
                emit("fail", "unit/" + test["name"], result.lower())


def lines(name, status, stream):
    failed = seen = 0
    for text in stream:
        match = LINE.match(text.rstrip())
        if match:
            seen += 1
            failed += match.group(1) == "not ok"
            emit(STATUS[match.group(1)], name + "/" + match.group(2), match.group(3))
    if status != 0 and not failed:
        emit("fail", name, "ended with status %d" % status)
    elif not seen:
        emit("fail", name, "it reported no test")


def lab(directory):
    with open(os.path.join(directory, "results.tsv"), encoding="utf-8") as summary:
        rows = [row.split() for row in summary if row.strip() and not row.startswith("#")]
    for row in rows:
        if len(row) < 5 or not row[1].isdigit():
            continue
        name, failed = row[0], int(row[2])
        log = os.path.join(directory, name + ".log")
        with open(log, encoding="utf-8", errors="replace") as stream:
            matches = [LINE.match(text.rstrip()) for text in stream]
        named = [m for m in matches if m]
        for match in named:
            emit(STATUS[match.group(1)], name + "/" + match.group(2), match.group(3))
        if failed > sum(m.group(1) == "not ok" for m in named):
            emit("fail", name, "the suite failed as a whole; see its log")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    kind = sys.argv[1]
    if kind == "meson":
        meson(sys.argv[2])
    elif kind == "lab":
        lab(sys.argv[2])
    elif kind == "lines":
        lines(sys.argv[2], int(sys.argv[3]), sys.stdin)
    else:
        sys.exit(__doc__)


main()
