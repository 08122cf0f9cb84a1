#!/usr/bin/python3
"""status - writes into docs/status.md what the tables of the code say is offered and refused.

usage: docs/status.py            rewrite the generated parts of docs/status.md
       docs/status.py --check    only say whether they are up to date (exit status 1: they are not)

A generated part stands between '<!-- from NAME -->' and '<!-- end -->'.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys
import textwrap

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGE = "docs/status.md"


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as stream:
        return stream.read()


def code(path):
    """A source file without its comments."""
    return re.sub(r"/\*.*?\*/", "", read(path), flags=re.S)


def listing(names):
    text = ", ".join("`%s`" % name for name in names)
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def procedures():
    """procs.def → what has a handler, and what answers 'not supported'."""
    out = []
    for path, program in (("driver/calls/procs.def", "the remote program 0x20008086"),
                          ("driver/calls/procs_qemu.def", "the QEMU program 0x20008087")):
        rows = re.findall(r'^(PROC|LATER|NONE)\((\d+), (\w+),\s*"(\w+)"', code(path), re.M)
        events = len(re.findall(r"^EVENT\(", code(path), re.M))
        done = [row[3] for row in rows if row[0] == "PROC"]
        offered = sorted(set(done))
        refused = sorted({row[3] for row in rows} - set(done))
        out.append("Of %s, %d of %d calls have a handler; %d events are known.\n" %
                   (program, len(done), len(rows), events))
        if offered:
            out.append("Offered:\n" + listing(offered) + "\n")
        out.append("<details><summary>Refused, by name (%d)</summary>\n" % len(refused))
        out.append(listing(refused) + "\n\n</details>\n")
    return "\n".join(out)


def devices():
    """devices.def → the names of -device."""
    classes = re.findall(r"^DEVICE\((\w+)\)", code("hw/devices.def"), re.M)
    names = []
    for folder, _, files in os.walk(os.path.join(ROOT, "hw")):
        for name in sorted(files):
            if not name.endswith(".c"):
                continue
            text = code(os.path.relpath(os.path.join(folder, name), ROOT))
            for symbol, body in re.findall(r"DeviceClass (\w+) = \{(.*?)\n\};", text, re.S):
                found = re.search(r'\.name = "([^"]+)"', body)
                if symbol in classes and found:
                    names.append(found.group(1))
            # Models that differ in little are made by a macro: MACRO(symbol, "name", …).
            for symbol, found in re.findall(r'^[A-Z_]+\((\w+), "([^"]+)"', text, re.M):
                if symbol in classes:
                    names.append(found)
    return listing(sorted(names)) + "\n"


def options():
    """option_table.c → the options of kiln-vmm."""
    text = code("launcher/option_table.c")
    offered = re.findall(r'^    \{ "([^"]+)", OPTION_', text, re.M)
    refused = re.findall(r'^    \{ "([^"]+)",\s*"([^"]+)" \},', text, re.M)
    out = ["Offered:", listing("-" + name for name in offered), "", "Refused, with the reason given:", ""]
    reasons = {}
    for name, reason in refused:
        reasons.setdefault(reason, []).append("`-%s`" % name)
    out += ["* %s: %s" % (", ".join(names), reason) for reason, names in reasons.items()]
    return "\n".join(out) + "\n"


def commands():
    """qmp_commands.def → the QMP commands."""
    text = code("launcher/qmp_commands.def")
    offered = re.findall(r'^QMP_COMMAND\("([^"]+)"', text, re.M)
    refused = re.findall(r'^QMP_REFUSED\("([^"]+)"', text, re.M)
    out = "Offered:\n%s\n" % listing(offered)
    return out + ("\nRefused, with a reason:\n%s\n" % listing(refused) if refused else "")


def elements():
    """domain_unsupported.c → what a <domain> may hold, but no guest can be started with."""
    # a text is cut by C's syntax into several strings
    text = re.sub(r'"\s*"', "", code("xml/domain_unsupported.c"))
    found = re.findall(r'return refuse\(err, "((?:[^"\\]|\\.)*)"', text)
    names = sorted({re.sub(r"%s", "…", name).rstrip(",").replace("……", "…") for name in found} - {"<…>…"})
    return "".join("* %s\n" % name.replace("<", "`<").replace(">", ">`") for name in names)


PARTS = {"elements": elements, "procedures": procedures, "devices": devices, "options": options, "commands": commands}


def main():
    page = read(PAGE)

    def part(match):
        return "<!-- from %s -->\n%s<!-- end -->" % (match.group(1), PARTS[match.group(1)]())

    fresh, count = re.subn(r"<!-- from (\w+) -->\n.*?<!-- end -->", part, page, flags=re.S)
    if count != len(PARTS):
        print("status: %s has %d generated parts, not %d" % (PAGE, count, len(PARTS)))
        return 1
    if sys.argv[1:] == ["--check"]:
        if fresh != page:
            print("status: %s is out of date: run docs/status.py" % PAGE)
        return int(fresh != page)
    if fresh != page:
        with open(os.path.join(ROOT, PAGE), "w", encoding="utf-8") as stream:
            stream.write(fresh)
    return 0


sys.exit(main())
