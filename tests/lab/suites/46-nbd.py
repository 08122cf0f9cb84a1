#!/usr/bin/python3
"""kiln-nbd and the kernel's block devices: a file system made, written, checked and read again through
/dev/nbdN over raw and qcow2, discards that reach the image, clients that are cut off.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import BUILD, TMP, check, run, test, wait_for  # noqa: E402

TOOL = os.path.join(BUILD, "block/nbd/kiln-nbd")
DEVICE, MOUNT = "/dev/nbd0", os.path.join(TMP, "mount")
MIB = 1 << 20


def size():
    with open("/sys/block/nbd0/size", encoding="ascii") as stream:
        return int(stream.read()) * 512


def connect(image, fmt, *more):
    run(TOOL, "-c", DEVICE, "-f", fmt, *more, image)
    wait_for("the device's size", lambda: size() == 64 * MIB, 20)


def disconnect():
    run(TOOL, "-d", DEVICE)
    wait_for("the device's end", lambda: size() == 0, 20)
    wait_for("the server's end", lambda: not os.path.exists("/sys/block/nbd0/pid"), 20)


def fill():
    """A file system with files; their digests by name."""
    run("mkfs.ext4", "-q", DEVICE)
    run("mount", DEVICE, MOUNT)
    digests = {}
    for number in range(8):
        data = os.urandom(MIB + number)
        with open("%s/%d" % (MOUNT, number), "wb") as stream:
            stream.write(data)
        digests[number] = hashlib.sha256(data).hexdigest()
    run("umount", MOUNT)
    return digests


def verify(digests):
    run("e2fsck", "-f", "-n", DEVICE)
    run("mount", "-o", "ro", DEVICE, MOUNT)
    for number, digest in digests.items():
        with open("%s/%d" % (MOUNT, number), "rb") as stream:
            check(hashlib.sha256(stream.read()).hexdigest() == digest, "file %d differs" % number)
    run("umount", MOUNT)


os.makedirs(MOUNT, exist_ok=True)
run("modprobe", "nbd", "max_part=4")
for FORMAT in ("raw", "qcow2"):
    IMAGE = os.path.join(TMP, "image." + FORMAT)
    with test("a file system on %s by the kernel's device" % FORMAT):
        run("qemu-img", "create", "-q", "-f", FORMAT, IMAGE, "64M")
        connect(IMAGE, FORMAT)
        DIGESTS = fill()
        disconnect()
        connect(IMAGE, FORMAT)
        verify(DIGESTS)
        disconnect()
        check("No errors" in run("qemu-img", "check", IMAGE) if FORMAT == "qcow2" else True, "qemu-img check")

with test("discards reach the image"):
    IMAGE = os.path.join(TMP, "trim.raw")
    with open(IMAGE, "wb") as image:
        image.write(os.urandom(64 * MIB))
    connect(IMAGE, "raw", "--discard=unmap")
    run("blkdiscard", "-o", str(16 * MIB), "-l", str(32 * MIB), DEVICE)
    disconnect()
    check(os.stat(IMAGE).st_blocks * 512 <= 33 * MIB, "%d blocks left" % os.stat(IMAGE).st_blocks)

with test("a read-only device"):
    connect(IMAGE, "raw", "-r")
    with open("/sys/block/nbd0/ro", encoding="ascii") as state:
        check(state.read().strip() == "1", "the kernel would write to it")
    disconnect()

with test("a server that is killed gives the device up"):
    connect(IMAGE, "raw")
    run("pkill", "-9", "kiln-nbd")
    wait_for("the device's size", lambda: size() == 0, 20)
    wait_for("the device's end", lambda: not os.path.exists("/sys/block/nbd0/pid"), 20)
    connect(IMAGE, "raw", "-r")
    run("dd", "if=" + DEVICE, "of=/dev/null", "bs=1M", "count=8", "iflag=direct")
    disconnect()
