"""board.py - what is known of the suites of one run: a directory that all labs of the run share.

    NAME.claim    a lab has taken the suite; the file says which lane's
    NAME.log      what the suite prints
    NAME.row      what became of it: name, passed, failed, skipped, seconds
    no-more       no further suite begins

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os

MAIN_FLOW = "40-first-light.py"     # begins whatever the time is


class Board:
    """Each file is made whole or not at all, so that labs and their host need no other lock."""

    def __init__(self, directory, names):
        self.directory, self.names = directory, names

    def path(self, name, kind):
        return f"{self.directory}/{name}.{kind}"

    def clear(self):
        """Forgets a run before this one."""
        for entry in os.listdir(self.directory):
            if entry in ("results.tsv", "no-more") or entry.endswith((".row", ".claim")) or \
                    any(entry.startswith(f"{name}.log") for name in self.names):
                os.unlink(f"{self.directory}/{entry}")

    # --- time

    def end(self):
        with open(f"{self.directory}/no-more", "w", encoding="utf-8"):
            pass

    def open_again(self):
        if os.path.exists(f"{self.directory}/no-more"):
            os.unlink(f"{self.directory}/no-more")

    def may_begin(self, name):
        return name == MAIN_FLOW or not os.path.exists(f"{self.directory}/no-more")

    # --- who runs what

    def claim(self, name, lane):
        """Takes a suite for a lane; False when it is taken."""
        new = self.path(name, f"claim.{lane}")
        with open(new, "w", encoding="utf-8") as file:
            file.write(str(lane))
        try:
            os.link(new, self.path(name, "claim"))
        except FileExistsError:
            return False
        finally:
            os.unlink(new)
        return True

    def claimed(self, lane):
        """What a lane took, also what has ended."""
        found = []
        for name in self.names:
            try:
                with open(self.path(name, "claim"), encoding="utf-8") as file:
                    if file.read() == str(lane):
                        found.append(name)
            except FileNotFoundError:
                pass
        return found

    def left(self):
        """What nobody took."""
        return [name for name in self.names if not os.path.exists(self.path(name, "claim"))]

    def release(self, name):
        os.unlink(self.path(name, "claim"))

    def last_sign(self, lane):
        """When a lane's suites last wrote something, by the host's clock; 0 when they never did."""
        last = 0
        for name in self.claimed(lane):
            for kind in ("claim", "log", "row"):
                try:
                    last = max(last, os.stat(self.path(name, kind)).st_mtime)
                except FileNotFoundError:
                    pass
        return last

    # --- results

    def write_row(self, name, passed, failed, skipped, seconds):
        with open(self.path(name, "new"), "w", encoding="utf-8") as file:
            file.write(f"{name}\t{passed}\t{failed}\t{skipped}\t{seconds:.0f}\n")
        os.replace(self.path(name, "new"), self.path(name, "row"))

    def rows(self):
        """Of those suites that have ended: lists of name, passed, failed, skipped, seconds."""
        rows = []
        for name in self.names:
            try:
                with open(self.path(name, "row"), encoding="utf-8") as file:
                    rows.append([name] + [int(number) for number in file.read().split("\t")[1:]])
            except FileNotFoundError:
                pass
        return rows

    def has_ended(self, name):
        return os.path.exists(self.path(name, "row"))

    def has_begun(self, name):
        return os.path.exists(self.path(name, "log"))

    def has_failed(self, name):
        """Before it was run again."""
        return os.path.exists(self.path(name, "log.first"))

    def note(self, name, failed, line):
        """Ends a suite that no lab could end: @line is its log."""
        print(line, flush=True)
        with open(self.path(name, "log"), "a", encoding="utf-8") as log:
            log.write(line + "\n")
        self.write_row(name, 0, int(failed), int(not failed), 0)

    def take_failed(self, time_of_run, stays):
        """Forgets the results of suites that failed, but for those of which @stays, keeps their logs as
        NAME.log.first or .second, and returns their names."""
        failed = [row[0] for row in self.rows() if row[2] and not stays(row[0])]
        for name in failed:
            os.unlink(self.path(name, "row"))
            os.replace(self.path(name, "log"), self.path(name, f"log.{time_of_run}"))
            if os.path.exists(self.path(name, "claim")):
                self.release(name)
        return failed
