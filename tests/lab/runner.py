"""runner.py - runs a suite in the lab, counts what it says, and leaves nothing of it behind.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
PROJECT = os.path.dirname(os.path.dirname(HERE))
LOG_TAIL = 40
RESULT_LINE = re.compile(r"(ok|not ok|skip)\s+\S")


def processes():
    """The processes of user space: pid to name. Kernel threads have no command line."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if words[0]:
                found[int(pid)] = os.path.basename(words[0].decode(errors="replace"))
        except OSError:
            pass
    return found


def kill_leftovers(before):
    """Kills what was not there before; returns the names of the first round."""
    names = []
    for attempt in range(50):
        left = {pid: name for pid, name in processes().items() if pid not in before}
        if attempt == 0:
            names = sorted(set(left.values()))
        if not left:
            break
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.1)
    return names


def run_suite(name, timeout, board):
    """Runs one suite in the lab."""
    results = board.directory
    out = f"{results}/{name}.out"
    os.makedirs(out, exist_ok=True)
    environment = dict(os.environ, KILN_PROJECT=PROJECT, KILN_SUITE_OUT=out,
                       KILN_SUITE_TMP=tempfile.mkdtemp(prefix="suite-"))
    before = processes()
    counts = {"ok": 0, "not ok": 0, "skip": 0}
    why = []
    short = name.rsplit(".", 1)[0]
    started = time.monotonic()
    late = threading.Event()

    with open(f"{results}/{name}.log", "w", encoding="utf-8") as log:
        suite = subprocess.Popen([f"{HERE}/suites/{name}"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=PROJECT,
                                 env=environment, start_new_session=True)
        # Reaching the end of the pipe also waits for what holds it open, hence all new processes.
        alarm = threading.Timer(timeout, lambda: (late.set(), kill_leftovers(before)))
        alarm.start()

        def read_lines():
            for line in suite.stdout:
                line = line.decode(errors="replace")
                log.write(line)
                log.flush()
                match = RESULT_LINE.match(line)
                if match:
                    counts[match[1]] += 1
                    print(f"{match[1]} {short}: {line[match.end(1):].strip()}", flush=True)

        reader = threading.Thread(target=read_lines)
        reader.start()
        status = suite.wait()
        alarm.cancel()
        left = kill_leftovers(before)
        reader.join()
        if left:
            log.write(f"# left behind: {' '.join(left)}\n")
    seconds = time.monotonic() - started

    if late.is_set():
        why.append(f"did not end within {timeout} s")
    elif not any(counts.values()):
        why.append(f"tested nothing (status {status})")
    elif status and not counts["not ok"]:
        why.append(f"ended with status {status}")
    for reason in why:
        counts["not ok"] += 1
        print(f"not ok {name} - {reason}", flush=True)
    if counts["not ok"]:
        with open(f"{results}/{name}.log", encoding="utf-8") as log:
            lines = log.readlines()[-LOG_TAIL:]
        print(f"--- {name}.log, its end\n{''.join(lines).rstrip()}\n---", flush=True)
    print(f"# {name}: {seconds:.0f} s", flush=True)
    board.write_row(name, counts["ok"], counts["not ok"], counts["skip"], seconds)
    shutil.rmtree(environment["KILN_SUITE_TMP"], ignore_errors=True)
