#!/usr/bin/python3
"""format_faults.py KILN-IMG-WITH-FAULTS KILN-IMG [POINTS [SEED [SECONDS]]] - the formats besides qcow2
that kiln-img writes, with one call of it failing: EIO, ENOSPC, a short read or write, or the process
killed. A failure ends with status 1 and an error that names a file, the place and the cause. An
image that was there before still opens, is whole, and has in each sector what it had or what was to
be written. One that was to be made is whole so far, or refused. POINTS calls of each kind are tried
(1; 0: every one), at places and in an order that depend on SEED (0: the time), for SECONDS at most
(0: no limit). Exit status 77 (skipped) without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

from faults import Wrong, judge_words, try_faults, try_killing

FAULTY, KILN = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
POINTS, SEED, SECONDS = (int(word) for word in sys.argv[3:] + ["1", "0", "0"][len(sys.argv) - 3:])
SEED = SEED or int(time.time())
RNG = random.Random(SEED)
MIB = 1 << 20
SIZE = 6 * MIB
SECTOR = 512
TURNS = 10
BLOCKS = {"base.raw": (0, 2, 3), "patch.raw": (1, 3, 5)}
SECRET = "--object secret,id=s,data=abc"
FILES = r"base|patch|old|over-[a-z-]+|parent|child|new"

# name: format, what create and convert take for it
FORMATS = {
    "raw": ("raw", ""),
    "vdi": ("vdi", ""),
    "vdi-fixed": ("vdi", "-o static=on"),
    "vpc": ("vpc", "-o force_size=on"),
    "vpc-fixed": ("vpc", "-o force_size=on,subformat=fixed"),
    "vhdx": ("vhdx", "-o block_size=1M"),
    "vhdx-fixed": ("vhdx", "-o block_size=1M,subformat=fixed"),
    "vmdk": ("vmdk", ""),
    "vmdk-stream": ("vmdk", "-o subformat=streamOptimized"),
    "luks": ("luks", "-o key-secret=s,iter-time=10"),
}
RESIZED = ("raw", "luks")


def opened(name, kind):
    """The words that open an image of the kind."""
    if kind == "luks":
        return "%s --image-opts driver=luks,key-secret=s,file.filename=%s" % (SECRET, name)
    return "-f %s %s" % (kind, name)


def cases():
    """What it is, words, the image that they change or make (or None) and its format, whether it is
    made, and what its sectors may come from besides what it had (files' names, or a byte)."""
    for name, (kind, options) in FORMATS.items():
        secret = SECRET + " " if kind == "luks" else ""
        new, old = "new." + name, "old." + name
        yield "create " + name, "create -q %s-f %s %s %s 6M" % (secret, kind, options, new), new, kind, True, ()
        yield ("convert to " + name, "convert %s-f raw -O %s %s base.raw %s" % (secret, kind, options, new),
               new, kind, True, ("base.raw",))
        if kind == "luks":
            yield "bench -w luks", "bench -q -w -c 40 -d 4 -s 8k -S 200k --pattern=7 " + opened(
                old, kind), old, kind, False, (7,)
            yield "convert from luks", "convert %s -O raw new.raw" % opened(old, kind), "new.raw", "raw", True, (
                "base.raw",)
        else:
            yield "convert from " + name, "convert -f %s -O raw %s new.raw" % (kind, old), "new.raw", "raw", True, (
                "base.raw",)
        if kind != "luks" and name != "vmdk-stream":
            yield ("convert -n to " + name, "convert -n -f raw -O %s patch.raw %s" % (kind, old), old, kind,
                   False, ("patch.raw",))
            yield ("bench -w " + name, "bench -q -w -c 40 -d 4 -s 8k -S 200k --pattern=7 --flush-interval=8 -f "
                   "%s %s" % (kind, old), old, kind, False, (7,))
            yield "dd to " + name, "dd -O %s if=base.raw of=%s bs=256k" % (kind, new), new, kind, True, ("base.raw",)
            yield "info " + name, "info -f %s %s" % (kind, old), old, kind, False, ()
            yield "compare " + name, "compare -q -f raw -F %s base.raw %s" % (kind, old), old, kind, False, ()
        if name in ("vdi", "vhdx", "vmdk"):
            yield "check " + name, "check -q -f %s %s" % (kind, old), old, kind, False, ()
        if kind in RESIZED:
            yield "resize " + name, "resize -q %s +1M" % opened(old, kind), old, kind, False, ()
            yield "resize --shrink " + name, "resize -q --shrink %s 5M" % opened(old, kind), old, kind, False, ()
    for falloc in ("falloc", "full"):
        yield ("create raw, " + falloc, "create -q -f raw -o preallocation=%s new.raw 2M" % falloc, "new.raw",
               "raw", True, ())
    yield ("create luks, full", "create -q %s -f luks -o key-secret=s,iter-time=10,preallocation=full new.luks 2M"
           % SECRET, "new.luks", "luks", True, ())
    yield ("create child vmdk", "create -q -f vmdk -b parent.vmdk -F vmdk new.vmdk", "new.vmdk", "vmdk", True,
           ("base.raw",))
    yield "bench -w child vmdk", "bench -q -w -c 40 -d 4 -s 8k -S 200k --pattern=7 -f vmdk child.vmdk", \
        "child.vmdk", "vmdk", False, (7,)
    for name, (kind, _) in FORMATS.items():
        if kind != "luks" and name != "vmdk-stream":
            over = "over-%s.qcow2" % name
            yield "commit into " + name, "commit -q -f qcow2 " + over, over, "qcow2", False, ()


def qemu(directory, words):
    """On a busy host qemu-img may not succeed in measuring how fast it derives a key for LUKS."""
    for turn in range(TURNS):
        done = subprocess.run(words.split(), cwd=directory, check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
        if done.returncode == 0:
            return
        if "accurate CPU usage" not in done.stderr or turn == TURNS - 1:
            raise Wrong("%s: %s" % (words, done.stderr))


def disk(blocks):
    data = bytearray(SIZE)
    for block in blocks:
        at = block * MIB + RNG.randrange(0, MIB // 2, SECTOR)
        data[at:at + MIB // 3] = RNG.randbytes(MIB // 3)
    return bytes(data)


def make(directory, name):
    """A file that cases begin with, and what it needs; names of them."""
    path, stem = os.path.join(directory, name), name.split(".")[0]
    needs = [name]
    if name == "child.vmdk":
        needs += make(directory, "parent.vmdk")
    elif stem.startswith("over-"):
        needs += make(directory, "old." + stem[5:])
    elif name != "base.raw":
        make(directory, "base.raw")
    if os.path.exists(path):
        return needs
    if name in BLOCKS:
        with open(path, "wb") as stream:
            stream.write(disk(BLOCKS[name]))
    elif name == "parent.vmdk":
        qemu(directory, "qemu-img convert -f raw -O vmdk base.raw parent.vmdk")
    elif name == "child.vmdk":
        qemu(directory, "qemu-img create -q -f vmdk -b parent.vmdk -F vmdk child.vmdk")
    elif stem.startswith("over-"):
        qemu(directory, "qemu-img create -q -f qcow2 -b old.%s -F %s %s" % (stem[5:], FORMATS[stem[5:]][0], name))
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 9 1M 300k", "-c", "write -z 3M 500k", "-c",
                        "write -P 8 5M 9k", name], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    else:
        kind, options = FORMATS[name.split(".")[1]]
        secret = SECRET + " " if kind == "luks" else ""
        qemu(directory, "qemu-img convert %s-f raw -O %s %s base.raw %s" % (secret, kind, options, name))
    return needs


def content(tool, directory, name, kind):
    """What a guest sees in the image, or None and why it is refused."""
    out = os.path.join(directory, "content")
    done = subprocess.run([tool, "convert", *("-O raw " + opened(name, kind)).split(), out], cwd=directory,
                          check=False, capture_output=True, text=True)
    if done.returncode != 0:
        if done.returncode != 1 or not done.stderr.strip():
            raise Wrong("%s convert of %s: status %d: %s" % (tool, name, done.returncode, done.stderr))
        return None, done.stderr
    with open(out, "rb") as stream:
        data = stream.read()
    os.unlink(out)
    return data, None


def check(tool, directory, name, kind):
    """Complaints of the tool's check, if it has one for the format; leaks are none, nor is VDI's count
    of blocks, which cannot change together with the map."""
    done = subprocess.run([tool, "check", *opened(name, kind).split()], cwd=directory, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
    if kind == "vdi" and len(errors) == 1 and "allocated blocks mismatch" in errors[0]:
        return
    if done.returncode not in (0, 3, 63):
        raise Wrong("%s check of %s: status %d\n%s" % (os.path.basename(tool), name, done.returncode,
                                                      done.stdout))


def replay(directory, name):
    """qemu-img opens a VHDX with changes in its log only after a repair; on a copy."""
    twin = name + ".twin"
    shutil.copy(os.path.join(directory, name), os.path.join(directory, twin))
    subprocess.run(["qemu-img", "check", "-q", "-r", "all", "-f", "vhdx", twin], cwd=directory, check=False,
                   capture_output=True)
    return twin


BEFORE = {}  # name: what the image read as


def allowed(directory, case):
    _, _, name, kind, fresh, sources = case
    choices = [bytes(SIZE)] if fresh else []
    for source in sources:
        if isinstance(source, int):
            choices.append(bytes([source]) * SIZE)
        else:
            with open(os.path.join(directory, "..", "before", source), "rb") as stream:
                choices.append(stream.read())
    if not fresh:
        if name not in BEFORE:
            BEFORE[name], why = content("qemu-img", os.path.join(directory, "..", "before"), name, kind)
            if BEFORE[name] is None:
                raise Wrong("the template: " + why)
        choices.append(BEFORE[name])
    return choices


def is_torn(sector, choices):
    """Whether it begins as one of @choices and goes on as another: a write into the page cache ends
    anywhere when its process is killed, where the page that it copies from does."""
    for begin in choices:
        same = next((i for i in range(SECTOR) if sector[i] != begin[i]), SECTOR)
        if any(sector[same:] == end[same:] for end in choices):
            return True
    return False


def compare(tool, data, choices, case, killed=False):
    if data is None:
        return
    for at in range(0, len(data), SECTOR):
        sector, possible = data[at:at + SECTOR], [choice[at:at + SECTOR] for choice in choices]
        if at < SIZE and sector not in possible and not (killed and is_torn(sector, possible)):
            raise Wrong("%s reads other bytes at %d of %s" % (os.path.basename(tool), at, case[2]))
        if at >= SIZE and sector.strip(b"\0") and case[3] != "luks":
            raise Wrong("%s reads more than there was at %d of %s" % (os.path.basename(tool), at, case[2]))


def judge_image(directory, case, whole, killed=False):
    """@whole: the run came to a good end."""
    _, words, name, kind, fresh, sources = case
    if not os.path.exists(os.path.join(directory, name)):
        if whole or not fresh:
            raise Wrong("%s is not there" % name)
        return
    choices = allowed(directory, case)
    for tool in (KILN, "qemu-img"):
        what = name
        if tool == "qemu-img" and kind == "vhdx" and not whole:
            what = replay(directory, name)
        data, why = content(tool, directory, what, kind)
        if data is None and (whole or not fresh):
            raise Wrong("%s refuses %s: %s" % (os.path.basename(tool), name, why))
        if kind != "luks" or whole and sources or not fresh:  # what is not written reads as anything
            compare(tool, data, choices, case, killed)
        if data is not None and whole and fresh and sources:
            compare(tool, data, choices[1:], case)
        if data is not None and kind != "raw":
            check(tool, directory, what, kind)
    if "--shrink" not in words and not fresh and len(data) < SIZE:
        raise Wrong("%s has only %d bytes" % (name, len(data)))


def judge(directory, case, what, done):
    judge_words(case[1], what, done, FILES)
    judge_image(directory, case, done.returncode == 0, done.returncode == 9)


def judge_killed(directory, case):
    judge_image(directory, case, False, True)


def main():
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("skipped: no qemu-img")
        return 77
    runs, tried, wrong = 0, 0, []
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("KILN_BUILD_ROOT")
    every = list(cases())
    RNG.shuffle(every)
    only = os.environ.get("KILN_FAULT_CASES")
    end = time.monotonic() + SECONDS if SECONDS else None
    with tempfile.TemporaryDirectory(prefix="kiln-faults-", dir=place) as root:
        os.mkdir(os.path.join(root, "before"))
        for case in every:
            if (only and only not in case[0]) or (end and time.monotonic() > end):
                continue
            names = set()
            for word in re.findall(r"\b(?:base|patch|old|over-[a-z-]+|child|parent)\.[a-z0-9-]+",
                                   case[1] + " " + " ".join(str(source) for source in case[5])):
                names.update(make(os.path.join(root, "before"), word))
            n, found = try_faults(FAULTY, root, case, POINTS, RNG, judge, names)
            found += try_killing(KILN, root, case, POINTS or 10, RNG, judge_killed, names)
            runs, tried = runs + n + (POINTS or 10), tried + 1
            wrong += found
            for line in found:
                print("not right: " + line, flush=True)
    print("seed %d: %d of %d cases, %d runs, %d wrong" % (SEED, tried, len(every), runs, len(wrong)))
    return 1 if wrong or not tried else 0


sys.exit(main())
