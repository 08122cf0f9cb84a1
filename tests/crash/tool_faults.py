#!/usr/bin/python3
"""tool_faults.py KILN-IMG-WITH-FAULTS KILN-IMG [POINTS [SEED]] - each sub-command of kiln-img with one
call of its failing: EIO, ENOSPC, a short read or write, or the process killed. A failure ends with
status 1, an error that names a file and the cause, and images that are whole (or leak clusters);
what an image held before is still there. POINTS calls of each kind are tried (1; 0: every one), at
places that depend on SEED. Exit status 77 (skipped) without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

from faults import Wrong, judge_words, try_faults, try_killing

FAULTY, KILN = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
POINTS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
RNG = random.Random(int(sys.argv[4]) if len(sys.argv) > 4 else 4)
SIZE = 3 << 20
FILES = "base|base2|other|over|leaky|new"

# what it is, words, the image it changes (or None), image whose content must be the same afterwards,
# whether the target is made anew (then it may be of no use after a failure)
CASES = (
    ("create", "create -q -f qcow2 new.qcow2 8M", "new.qcow2", None, True),
    ("create, metadata", "create -q -f qcow2 -o preallocation=metadata,cluster_size=4k new.qcow2 4M",
     "new.qcow2", None, True),
    ("create vdi", "create -q -f vdi new.vdi 8M", None, None, True),
    ("create vhdx", "create -q -f vhdx new.vhdx 8M", None, None, True),
    ("convert raw", "convert -f raw -O qcow2 base.raw new.qcow2", "new.qcow2", "base.raw", True),
    ("convert -c", "convert -c -O qcow2 over.qcow2 new.qcow2", "new.qcow2", "over.qcow2", True),
    ("convert to raw", "convert -O raw over.qcow2 new.raw", None, "over.qcow2", True),
    ("convert to vmdk", "convert -O vmdk base.qcow2 new.vmdk", None, "base.qcow2", True),
    ("convert to vpc", "convert -O vpc base.qcow2 new.vpc", None, "base.qcow2", True),
    ("dd", "dd -O qcow2 if=over.qcow2 of=new.qcow2 bs=64k", "new.qcow2", "over.qcow2", True),
    ("commit", "commit -q over.qcow2", "over.qcow2", "over.qcow2", False),
    ("rebase", "rebase -q -b other.qcow2 -F qcow2 over.qcow2", "over.qcow2", "over.qcow2", False),
    ("rebase -u", "rebase -q -u -b base2.qcow2 -F qcow2 over.qcow2", "over.qcow2", "over.qcow2", False),
    ("resize", "resize -q over.qcow2 +1M", "over.qcow2", None, False),
    ("resize --shrink", "resize -q --shrink over.qcow2 1M", "over.qcow2", None, False),
    ("snapshot -c", "snapshot -c s2 over.qcow2", "over.qcow2", "over.qcow2", False),
    ("snapshot -a", "snapshot -a s1 over.qcow2", "over.qcow2", None, False),
    ("snapshot -d", "snapshot -d s1 over.qcow2", "over.qcow2", "over.qcow2", False),
    ("check -r all", "check -q -r all leaky.qcow2", "leaky.qcow2", "leaky.qcow2", False),
    ("amend", "amend -q -o refcount_bits=64 over.qcow2", "over.qcow2", "over.qcow2", False),
    ("amend compat", "amend -q -o compat=0.10 base.qcow2", "base.qcow2", "base.qcow2", False),
    ("bitmap --add", "bitmap --add over.qcow2 b2", "over.qcow2", "over.qcow2", False),
    ("bitmap --remove", "bitmap --remove over.qcow2 b1", "over.qcow2", "over.qcow2", False),
    ("bitmap --merge", "bitmap --merge b0 over.qcow2 b1", "over.qcow2", "over.qcow2", False),
    ("compare", "compare -q base.raw over.qcow2", None, "over.qcow2", False),
    ("map", "map over.qcow2", None, "over.qcow2", False),
    ("info", "info over.qcow2", None, "over.qcow2", False),
    ("measure", "measure -O qcow2 over.qcow2", None, "over.qcow2", False),
)


def qemu(directory, line):
    for part in line.split(" && "):
        subprocess.run(part.split(), cwd=directory, check=True, stdout=subprocess.DEVNULL)


def io(directory, name, *commands):
    words = ["qemu-io", "-f", "qcow2"]
    for command in commands:
        words += ["-c", command]
    subprocess.run(words + [name], cwd=directory, check=True, stdout=subprocess.DEVNULL)


def template(directory):
    disk = bytearray(SIZE)
    for _ in range(6):
        place = RNG.randrange(SIZE // 512 - 128) * 512
        disk[place:place + 65536] = RNG.randbytes(65536)
    with open(os.path.join(directory, "base.raw"), "wb") as stream:
        stream.write(disk)
    qemu(directory, "qemu-img convert -f raw -O qcow2 base.raw base.qcow2 && cp base.qcow2 base2.qcow2 && "
         "qemu-img create -q -f qcow2 other.qcow2 3M && "
         "qemu-img create -q -f qcow2 -o cluster_size=4k -b base.qcow2 -F qcow2 over.qcow2 && "
         "qemu-img create -q -f qcow2 -o cluster_size=4k leaky.qcow2 3M")
    io(directory, "other.qcow2", "write -P 9 1M 300k")
    io(directory, "over.qcow2", "write -P 1 100k 50k", "write -z 1M 100k", "write -P 2 2000k 9k")
    qemu(directory, "qemu-img snapshot -c s1 over.qcow2 && qemu-img bitmap --add over.qcow2 b0 && "
         "qemu-img bitmap --add over.qcow2 b1")
    io(directory, "over.qcow2", "write -P 3 120k 40k", "write -P 4 700k 30k")
    io(directory, "leaky.qcow2", "write -P 5 0 500k", "write -P 6 2M 300k")
    # clusters at the end that nothing refers to
    path = os.path.join(directory, "leaky.qcow2")
    with open(path, "r+b") as stream:
        stream.seek(48)
        table = int.from_bytes(stream.read(8), "big")
        stream.seek(table)
        block = int.from_bytes(stream.read(8), "big")
        for cluster in range(400, 420):
            stream.seek(block + cluster * 2)
            stream.write(b"\0\1")
        stream.truncate(420 * 4096)


def content(directory, name):
    """What a guest sees in the image."""
    out = os.path.join(directory, "content")
    done = subprocess.run(["qemu-img", "convert", "-O", "raw", name, out], cwd=directory, check=False,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise Wrong("%s is of no use any more: %s" % (name, done.stderr))
    with open(out, "rb") as stream:
        data = stream.read()
    os.unlink(out)
    return data


def check_image(directory, name, fresh):
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        return
    with open(path, "rb") as stream:
        if fresh and stream.read(4) != b"QFI\xfb":
            return
    for tool in (KILN, "qemu-img"):
        done = subprocess.run([tool, "check", "-f", "qcow2", name], cwd=directory, check=False,
                              capture_output=True, text=True)
        if done.returncode not in (0, 3):
            raise Wrong("%s check of %s: status %d\n%s%s" % (os.path.basename(tool), name, done.returncode,
                                                            done.stdout, done.stderr))


def judge(directory, case, what, done):
    """The outcome of one run."""
    _, words, image, same, fresh = case
    judge_words(words, what, done, FILES)
    if image:
        check_image(directory, image, fresh)
    if same and content(directory, same) != content(os.path.join(directory, "..", "before"), same):
        raise Wrong("%s has another content" % same)
    if done.returncode == 0 and fresh and same:
        # vpc rounds sizes up
        copy = content(directory, re.search(r"new\.[a-z0-9]+", words).group(0))
        source = content(os.path.join(directory, "..", "before"), same)
        if copy[:len(source)] != source or copy[len(source):].strip(b"\0"):
            raise Wrong("status 0, and the copy has another content")


def judge_killed(directory, case):
    if case[2]:
        check_image(directory, case[2], case[4])
    if case[3] and content(directory, case[3]) != content(os.path.join(directory, "..", "before"),
                                                          case[3]):
        raise Wrong("%s has another content" % case[3])


def main():
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("skipped: no qemu-img")
        return 77
    runs, wrong = 0, []
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else os.environ.get("KILN_BUILD_ROOT")
    with tempfile.TemporaryDirectory(prefix="kiln-faults-", dir=place) as root:
        os.mkdir(os.path.join(root, "before"))
        template(os.path.join(root, "before"))
        for case in CASES:
            n, found = try_faults(FAULTY, root, case, POINTS, RNG, judge)
            found += try_killing(KILN, root, case, POINTS or 10, RNG, judge_killed)
            runs += n + (POINTS or 10)
            wrong += found
            for line in found:
                print("not right: " + line, flush=True)
    print("%d sub-commands, %d runs, %d wrong" % (len(CASES), runs, len(wrong)))
    return 1 if wrong else 0


sys.exit(main())
