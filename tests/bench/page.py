"""page.py - tables of ratios in docs/performance.md, each between marks of its own.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import subprocess

END = "<!-- end -->"


class Section:
    """What lies between the mark of @program and the next end mark; the rest of the page is a person's.

    @rows: name, what it is, unit, divisor, whether less is better, target as a ratio or None. @ours and
    @theirs head the columns."""

    def __init__(self, path, program, rows, theirs, ours, ratio):
        self.path, self.rows = path, rows
        self.begin = "<!-- from %s -->\n" % program
        self.head = "| what | %s | %s | %s | target |" % (theirs, ours, ratio)

    def known(self):
        """The rows of the table that the page has, by what they are about."""
        if not os.path.exists(self.path):
            return {}
        with open(self.path, encoding="utf-8") as stream:
            part = stream.read().partition(self.begin)[2].partition(END)[0]
        return {line.split(" | ")[0][2:]: line for line in part.splitlines() if line.startswith("| ")}

    def table(self, cell, **names):
        """@cell(name, divisor): their value and ours, None for what was not measured. A row that was not
        measured by either stays as the page has it."""
        lines = [self.head, "|---|---|---|---|---|"]
        known = self.known()
        for name, what, unit, divisor, less, target in self.rows:
            what = what.format(**names)
            theirs, ours = cell(name, divisor)
            if theirs is None and ours is None:
                if what in known:
                    lines.append(known[what])
                continue
            ratio = "" if theirs is None or ours is None or not theirs else "%.3g" % (ours / theirs)
            goal = ""
            if target is not None:
                goal = ("≤ " if less else "≥ ") + "%.3g" % target
                if ratio:
                    met = float(ratio) <= target if less else float(ratio) >= target
                    goal += " (met)" if met else " (**missed**)"
            lines.append("| %s | %s | %s | %s | %s |" % (what, text_of(theirs, unit), text_of(ours, unit),
                                                         ratio, goal))
        return "\n".join(lines)

    def write(self, body):
        page = "# Performance\n\n"
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as stream:
                page = stream.read()
        if self.begin not in page:
            page += "\n" + self.begin + END + "\n"
        head, _, rest = page.partition(self.begin)
        tail = rest.partition(END)[2]
        with open(self.path, "w", encoding="utf-8") as stream:
            stream.write(head + self.begin + body + END + tail)


def text_of(value, unit):
    return "not measured" if value is None else "%.3g %s" % (value, unit) if value < 1000 else \
        "%.0f %s" % (value, unit)


def version(argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else argv[0]
