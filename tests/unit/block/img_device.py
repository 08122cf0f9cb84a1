#!/usr/bin/python3
"""img_device.py KILN-IMG - images on a block device whose blocks have 4096 bytes, past the host's page cache: what is
not aligned to them goes through all the same. Exit status 77 (skipped) where no such loop device can be made, or
without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

KILN = os.path.abspath(sys.argv[1])
QEMU = shutil.which("qemu-img")
LOSETUP = shutil.which("losetup", path="/usr/sbin:/sbin:" + os.environ["PATH"])
SIZE = 512 * 9001  # ends within a block
DIRECT = ["-t", "none", "-T", "none"]


class Device(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(dir=os.environ.get("KILN_BUILD_ROOT"))
        self.source = os.path.join(self.directory.name, "source")
        with open(self.source, "wb") as stream:
            stream.write(random.Random(4).randbytes(SIZE))

    def tearDown(self):
        self.directory.cleanup()

    def run_one(self, tool, *words):
        done = subprocess.run([tool, *words], capture_output=True, text=True, check=False, timeout=300)
        self.assertEqual(done.returncode, 0, "%s: %s%s" % (words, done.stdout, done.stderr))

    def test_raw(self):
        self.run_one(KILN, "convert", "-n", *DIRECT, "-f", "raw", "-O", "raw", self.source, DEVICE)
        with open(self.source, "rb") as source, open(DEVICE, "rb") as device:
            self.assertEqual(source.read(), device.read(SIZE))
        self.run_one(KILN, "bench", "-w", "-t", "none", "-f", "raw", "-c", "100", "-s", "512", "-S", "1536", DEVICE)

    def test_qcow2(self):
        for cluster in ("512", "64k"):
            self.run_one(KILN, "create", "-q", "-f", "qcow2", "-o", "cluster_size=" + cluster, DEVICE, str(SIZE))
            self.run_one(KILN, "convert", "-n", *DIRECT, "-f", "raw", "-O", "qcow2", self.source, DEVICE)
            for tool in (KILN, QEMU):
                self.run_one(tool, "compare", "-T", "none", "-f", "raw", "-F", "qcow2", self.source, DEVICE)
            self.run_one(KILN, "bench", "-w", "-t", "none", "-f", "qcow2", "-c", "200", "-s", "512", "-S", "1536", DEVICE)
            self.run_one(KILN, "snapshot", "-c", "kept", DEVICE)
            self.run_one(KILN, "bench", "-w", "-t", "none", "-f", "qcow2", "-c", "200", "-s", "512", "-S", "1536", DEVICE)
            for tool in (KILN, QEMU):
                self.run_one(tool, "check", "-f", "qcow2", DEVICE)


if __name__ == "__main__":
    if not QEMU or not LOSETUP:
        sys.exit(77)
    with tempfile.NamedTemporaryFile(dir=os.environ.get("KILN_BUILD_ROOT")) as backing:
        backing.truncate(32 << 20)
        made = subprocess.run([LOSETUP, "--sector-size", "4096", "--find", "--show", backing.name], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        DEVICE = made.stdout.strip()
        if made.returncode != 0 or not os.access(DEVICE, os.R_OK | os.W_OK):
            sys.exit(77)
        try:
            unittest.main(argv=sys.argv[:1])
        finally:
            subprocess.run([LOSETUP, "--detach", DEVICE], check=False)
