#!/usr/bin/python3
"""img_formats.py KILN-IMG - images go both ways between kiln-img and qemu-img: what one makes the
other reads the same, calls the same, maps the same and finds sound. Random disks (the seed is told)
and hand-picked ones. Exit status 77 (skipped) without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

import made_images

KILN = os.path.abspath(sys.argv[1])
QEMU = shutil.which("qemu-img")
SEED = int(os.environ.get("KILN_TEST_SEED", random.randrange(1 << 30)))
SECTOR = 512

# (format, options): those that kiln-img writes, and those it only reads
BOTH = [("raw", ""), ("vdi", ""), ("vdi", "static=on"), ("vpc", ""), ("vpc", "subformat=fixed"),
        ("vpc", "force_size=on"), ("vhdx", ""), ("vhdx", "subformat=fixed"),
        ("vhdx", "block_size=1M"), ("vmdk", ""), ("vmdk", "zeroed_grain=on"),
        ("vmdk", "subformat=streamOptimized")]
READ = [("vmdk", "subformat=monolithicFlat"), ("vmdk", "subformat=twoGbMaxExtentSparse"),
        ("vmdk", "subformat=twoGbMaxExtentFlat"), ("qed", ""), ("qed", "cluster_size=4096"),
        ("parallels", ""), ("parallels", "cluster_size=65536"), ("qcow", "")]


def run(*words, ok=(0,)):
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    if result.returncode not in ok:
        raise AssertionError("%s: status %d\n%s%s" % (" ".join(words), result.returncode,
                                                      result.stdout, result.stderr))
    return result.stdout


def disks(rng):
    """Names and contents of disks."""
    yield "one sector", b"x" * SECTOR
    yield "last byte", bytes((3 << 20) - 1) + b"\1"
    for i in range(1):
        size = rng.randrange(1, 40000) * SECTOR
        disk = bytearray(size)
        for _ in range(40):
            at = rng.randrange(size // SECTOR) * SECTOR
            part = rng.randbytes(rng.choice((512, 4096, 65536, 300032)))
            disk[at:at + len(part)] = part[:size - at]
        yield "random %d" % i, bytes(disk)


class TwoWays(unittest.TestCase):
    def setUp(self):
        self.old = os.getcwd()
        self.directory = tempfile.TemporaryDirectory(dir=os.environ.get("KILN_BUILD_ROOT"))
        os.chdir(self.directory.name)

    def tearDown(self):
        os.chdir(self.old)
        self.directory.cleanup()

    def clean(self):
        for name in os.listdir("."):
            os.unlink(name)

    def each(self, kinds, check):
        """Calls @check(disk, kind, options) for every disk and format."""
        for name, disk in disks(random.Random(SEED)):
            for kind, options in kinds:
                with self.subTest(disk=name, format=kind, options=options, seed=SEED):
                    self.clean()
                    with open("disk", "wb") as stream:
                        stream.write(disk)
                    check(disk, kind, ["-o", options] if options else [])

    def same_content(self, image, kind, disk):
        run(KILN, "convert", "-f", kind, "-O", "raw", image, "back")
        with open("back", "rb") as stream:
            back = stream.read()
        self.assertEqual(back[:len(disk)], disk)
        self.assertFalse(any(back[len(disk):]))

    def test_read_what_qemu_makes(self):
        def check(disk, kind, options):
            run(QEMU, "convert", "-f", "raw", "-O", kind, *options, "disk", "image")
            self.same_content("image", kind, disk)
            run(KILN, "compare", "-f", kind, "-F", "raw", "image", "disk")
            for words in (["info"], ["info", "--output=json"]):
                self.assertEqual(run(KILN, *words, "image"), run(QEMU, *words, "image"))
            if kind != "vhdx":  # where kiln-img knows more than qemu-img
                words = ["map", "-f", kind, "--output=json", "image"]
                self.assertEqual(run(KILN, *words), run(QEMU, *words))

        self.each(BOTH + READ, check)

    def test_qemu_reads_what_is_made(self):
        def check(disk, kind, options):
            run(KILN, "convert", "-f", "raw", "-O", kind, *options, "disk", "image")
            run(QEMU, "compare", "-f", kind, "-F", "raw", "image", "disk")
            run(QEMU, "check", "-f", kind, "image", ok=(0, 63))
            run(KILN, "check", "-f", kind, "image", ok=(0, 63))
            self.same_content("image", kind, disk)

        self.each(BOTH, check)

    def test_write_into_what_qemu_makes(self):
        def check(disk, kind, options):
            size = str(max(len(disk), 2 << 20))
            run(QEMU, "create", "-q", "-f", kind, *options, "image", size)
            run(KILN, "convert", "-n", "-f", "raw", "-O", kind, "disk", "image")
            run(QEMU, "compare", "-f", kind, "-F", "raw", "image", "disk")
            run(QEMU, "check", "-f", kind, "image", ok=(0, 63))

        self.each(BOTH, check)

    def test_qemu_writes_into_what_is_made(self):
        def check(disk, kind, options):
            if "subformat=streamOptimized" in options:
                return  # qemu-img writes those only when it makes them
            size = str(max(len(disk), 2 << 20))
            run(KILN, "create", "-q", "-f", kind, *options, "image", size)
            run(QEMU, "convert", "-n", "-f", "raw", "-O", kind, "disk", "image")
            run(KILN, "compare", "-f", kind, "-F", "raw", "image", "disk")
            self.same_content("image", kind, disk)

        self.each(BOTH, check)

    def test_create_says_the_same(self):
        def check(disk, kind, options):
            words = ["create", "-f", kind, *options, "image", "20M"]
            self.assertEqual(run(KILN, *words), run(QEMU, *words))

        self.each(BOTH, check)

    def test_read_what_we_make_by_hand(self):
        def check(disk, kind, options):
            with open("image." + kind, "wb") as stream:
                stream.write(getattr(made_images, kind)(disk))
            self.same_content("image." + kind, kind, disk)
            run(QEMU, "compare", "-f", kind, "-F", "raw", "image." + kind, "disk")
            self.assertEqual(run(KILN, "info", "image." + kind), run(QEMU, "info", "image." + kind))

        self.each([(k, "") for k in ("bochs", "cloop", "dmg")], check)

    def test_empty_table(self):
        """A dmg whose table of chunks has no character, or one, is refused."""
        whole = made_images.dmg(b"\0" * 1024)
        begin, end = whole.index(b"<data>") + 6, whole.index(b"</data>")
        for text in (b"", b"b"):
            with open("image.dmg", "wb") as stream:
                rest = b" " * (end - begin - len(text))
                stream.write(whole[:begin] + text + b"</data>" + rest + whole[end + 7:])
            told = subprocess.run((KILN, "info", "image.dmg"), capture_output=True, text=True,
                                  check=False, timeout=300)
            self.assertEqual(told.returncode, 1)
            self.assertIn("a table of chunks is cut short", told.stderr)

    def test_overlay_of_vmdk(self):
        rng = random.Random(SEED)
        with open("disk", "wb") as stream:
            stream.write(rng.randbytes(1 << 20))
        run(QEMU, "convert", "-f", "raw", "-O", "vmdk", "disk", "base.vmdk")
        run(KILN, "create", "-q", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "top.vmdk")
        run(QEMU, "compare", "-f", "vmdk", "-F", "raw", "top.vmdk", "disk")
        run(KILN, "compare", "-f", "vmdk", "-F", "raw", "top.vmdk", "disk")
        self.assertEqual(run(KILN, "info", "top.vmdk"), run(QEMU, "info", "top.vmdk"))

    def test_cut_off(self):
        """A vpc whose blocks the file no longer has is opened by neither."""
        with open("disk", "wb") as stream:
            stream.write(b"data" * (1 << 20))
        run(QEMU, "convert", "-f", "raw", "-O", "vpc", "disk", "image")
        os.truncate("image", os.path.getsize("image") // 2)
        for tool in (QEMU, KILN):
            run(tool, "info", "-f", "vpc", "image", ok=(1,))

    def test_log_of_vhdx(self):
        """What is only in the log is carried out, and not looked at without."""
        with open("disk", "wb") as stream:
            stream.write(random.Random(SEED).randbytes(3 << 20))
        run(QEMU, "convert", "-f", "raw", "-O", "vhdx", "-o", "block_size=1M", "disk", "whole")
        with open("whole", "rb") as stream:
            logged = made_images.vhdx_with_log(stream.read())
        for name in ("ours", "theirs"):
            with open(name, "wb") as stream:
                stream.write(logged)
        refused = subprocess.run([KILN, "map", "ours"], capture_output=True, text=True, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("log", refused.stderr)
        run(KILN, "check", "-r", "leaks", "-f", "vhdx", "ours")
        run(QEMU, "check", "-r", "all", "-f", "vhdx", "theirs", ok=(0, 2, 3))
        for name in ("ours", "theirs"):
            run(QEMU, "compare", "-f", "vhdx", "-F", "raw", name, "disk")
            run(KILN, "compare", "-f", "vhdx", "-F", "raw", name, "disk")


if __name__ == "__main__":
    if not QEMU:
        print("skipped: no qemu-img")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
