"""faults - kiln-img (linked with fault.c) with one of its calls failing: what tool_faults.py and
format_faults.py have in common.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import signal
import subprocess
import time

CAUSES = {"io": "Input/output error", "space": "No space left on device"}
# calls, and what becomes of one of them
FEW = 8                             # so many calls are all tried
FAULTS = (("rwsz", "kill"), ("r", "io"), ("wsz", "io"), ("wz", "space"), ("rw", "short"))


class Wrong(Exception):
    """What is said about a case that came out wrong."""


def run(tool, directory, words, fault):
    environment = dict(os.environ, KILN_FAULT=fault)
    return subprocess.run([tool, *words], cwd=directory, env=environment, check=False, timeout=300,
                          capture_output=True, text=True)


def count_calls(tool, directory, words, calls):
    reading, writing = os.pipe()
    environment = dict(os.environ, KILN_FAULT=calls + ":0:count", KILN_FAULT_FD=str(writing))
    done = subprocess.run([tool, *words], cwd=directory, env=environment, check=False, timeout=300,
                          capture_output=True, text=True, pass_fds=[writing])
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    if not text.strip():
        raise Wrong("no count: status %d, %s" % (done.returncode, done.stderr))
    return int(text)


def judge_words(words, what, done, files):
    """What the run said: its status, and an error that names the cause, one of @files (a pattern) and
    the place."""
    compares = words.startswith("compare")
    # compare: 2 when an image cannot be opened, 3 and 4 when it cannot be read, as qemu-img has it
    if done.returncode not in (0, 1, 9 if what == "kill" else 0) and not (
            compares and done.returncode in (2, 3, 4)) and not (
            words.startswith("check") and done.returncode == 2):
        raise Wrong("status %d: %s" % (done.returncode, done.stderr))
    if what in CAUSES and done.returncode == 0 and CAUSES[what] in done.stderr:
        raise Wrong("an error, and status 0: %s" % done.stderr)
    if what in CAUSES and done.returncode != 0:
        if CAUSES[what] not in done.stderr:
            raise Wrong("the cause is not named: %s" % done.stderr)
        if not re.search(r"\b(%s)\.[a-z0-9]+" % files, done.stderr):
            raise Wrong("no file is named: %s" % done.stderr)
        # what changes a file's size, and a flush, have none
        if not re.search(r"\bat byte \d+|\bto \d+ bytes|\bflush", done.stderr):
            raise Wrong("no place is named: %s" % done.stderr)
    if what == "short" and done.returncode not in (0, 1 if compares else 0):
        raise Wrong("a short read or write made it fail: %s" % done.stderr)


def copy_anew(before, now, names):
    """@names: of what is to be copied; all without."""
    shutil.rmtree(now, ignore_errors=True)
    os.mkdir(now)
    for name in names or os.listdir(before):
        shutil.copy(os.path.join(before, name), now)


def try_faults(tool, root, case, points, rng, judge, names=()):
    """Runs @case (its name and words first) with each fault at @points calls (0: every one), and asks
    judge(now, case, what, done). The number of runs, and complaints. @names: the files it needs; all
    without."""
    before, now = os.path.join(root, "before"), os.path.join(root, "now")
    words = case[1].split()
    runs, wrong = 0, []
    for calls, what in FAULTS:
        copy_anew(before, now, names)
        n = count_calls(tool, now, words, calls)
        chosen = range(1, n + 1)
        if points and n > max(points, FEW):
            chosen = sorted(rng.sample(chosen, points))
        for point in chosen:
            copy_anew(before, now, names)
            fault = "%s:%d:%s" % (calls, point, what)
            done = run(tool, now, words, fault)
            runs += 1
            try:
                judge(now, case, what, done)
            except Wrong as reason:
                wrong.append("%s, KILN_FAULT=%s of %d: %s" % (case[0], fault, n, reason))
    return runs, wrong


def try_killing(tool, root, case, times, rng, judge, names=()):
    """Real SIGKILLs at random moments; judge(now, case) looks at the images."""
    before, now = os.path.join(root, "before"), os.path.join(root, "now")
    wrong = []
    for _ in range(times):
        copy_anew(before, now, names)
        with subprocess.Popen([tool, *case[1].split()], cwd=now, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            time.sleep(rng.uniform(0, 0.03))
            process.send_signal(signal.SIGKILL)
        try:
            judge(now, case)
        except Wrong as reason:
            wrong.append("%s, killed: %s" % (case[0], reason))
    return wrong
