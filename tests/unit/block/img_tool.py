#!/usr/bin/python3
"""img_tool.py KILN-IMG - kiln-img beside qemu-img: the same words, given to both on equal images in two
directories, end with the same status and print the same text, but for how much room an image takes
on the host. Exit status 77 (skipped) without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

KILN = os.path.abspath(sys.argv[1])
QEMU = shutil.which("qemu-img")
HOST = re.compile(r"^ *(disk size: .*|\"actual-size\": .*|Image end offset: .*|"
                  r"\"image-end-offset\": .*|\"fragmented-clusters\": .*)$\n?", re.M)
MOVES = re.compile(r"[0-9.]+% fragmented|20\d\d-\d\d-\d\d \d\d:\d\d:\d\d|\"date-n?sec\": \d+|"
                   r", \"offset\": \d+|\"(required|fully-allocated)\": \d+|c?cid: \d+|"
                   r"\"(parent-)?cid\": \d+")
SIZE = 5 << 20


def plain(text):
    return re.sub(r",(\s*})", r"\1", MOVES.sub("", HOST.sub("", text)))


class Beside(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(dir=os.environ.get("KILN_BUILD_ROOT"))
        self.at = {KILN: os.path.join(self.directory.name, "kiln"),
                   QEMU: os.path.join(self.directory.name, "qemu")}
        rng = random.Random(7)
        disk = bytearray(SIZE)
        for _ in range(12):
            place = rng.randrange(SIZE // 512) * 512
            part = rng.randbytes(rng.choice((512, 65536, 200000)))
            disk[place:place + len(part)] = part[:SIZE - place]
        for where in self.at.values():
            os.mkdir(where)
            with open(os.path.join(where, "base.raw"), "wb") as stream:
                stream.write(disk)

    def tearDown(self):
        self.directory.cleanup()

    def run_one(self, tool, words):
        # qemu-img gives up when so little work takes no time on its clock: it is asked again
        for _ in range(20):
            done = subprocess.run([tool, *words], cwd=self.at[tool], capture_output=True, text=True,
                                  check=False, timeout=120)
            if tool != QEMU or "accurate CPU usage" not in done.stderr:
                break
        return done

    def both(self, line, same_text=True, status=None):
        """Runs @line with both; their results must agree."""
        words = line.split() if isinstance(line, str) else line
        kiln, qemu = self.run_one(KILN, words), self.run_one(QEMU, words)
        told = "%s\nkiln-img: %s%s\nqemu-img: %s%s" % (line, kiln.stdout, kiln.stderr, qemu.stdout,
                                                      qemu.stderr)
        self.assertEqual(kiln.returncode, qemu.returncode, told)
        if status is not None:
            self.assertEqual(kiln.returncode, status, told)
        if same_text:
            self.assertEqual(plain(kiln.stdout), plain(qemu.stdout), told)
        if kiln.returncode not in (0, 2, 3) and "compare" not in line:
            self.assertTrue(kiln.stderr.startswith("kiln-img: "), told)
        return kiln

    def lines(self, text):
        for line in text.strip().splitlines():
            with self.subTest(line=line.strip()):
                self.both(line)

    def test_raw(self):
        self.lines("""
            create -f raw a.raw 3M
            info a.raw
            info --output=json a.raw
            map --output=json base.raw
            map base.raw
            map --output=json -s 1000 -l 70000 base.raw
            map --output=json --start-offset=1M --max-length=1 base.raw
            convert base.raw b.raw
            compare base.raw b.raw
            compare -s base.raw b.raw
            compare base.raw a.raw
            compare -q base.raw a.raw
            compare -s base.raw a.raw
            measure base.raw
            measure --output=json --size 1G
            measure -O qcow2 base.raw
            resize -f raw a.raw 5M
            resize -f raw a.raw +1M
            resize -f raw a.raw -1M
            resize -f raw --shrink a.raw -1M
            resize -f raw a.raw 7x
            info a.raw
            check a.raw
            snapshot -l a.raw
            dd bs=1M skip=1 count=3 if=base.raw of=c.raw
            info c.raw
            dd bs=7 count=9 skip=2 if=base.raw of=d.raw
            dd bs=1M skip=100 if=base.raw of=e.raw
            convert -S 3 base.raw bad.raw
            convert -S 32M base.raw bad.raw
            convert --bitmaps -O qcow2 base.raw bad.qcow2
            create -f qcow2 -o size=3M bad.qcow2 1M
            create -f qcow2 -o cluster_size=1000 bad.qcow2 1M
            info bad.qcow2
            convert base.raw base.raw two.raw
            info two.raw
            compare two.raw base.raw
        """)

    def test_no_direct(self):
        """A file system without O_DIRECT is named as what it is, also when images are made there."""
        told = self.both("convert -T none -f raw -O raw /proc/version a.raw", status=1)
        self.assertIn("cannot open '/proc/version' past the page cache", told.stderr)
        told = self.both("convert -n -t none -f raw -O raw base.raw /proc/self/comm", status=1)
        self.assertIn("cannot open '/proc/self/comm' past the page cache", told.stderr)

    def test_qcow2(self):
        self.lines("""
            create -f qcow2 a.qcow2 5M
            info a.qcow2
            info --output=json a.qcow2
            check a.qcow2
            create -f qcow2 -b base.raw -F raw o.qcow2
            info o.qcow2
            info --output=json o.qcow2
            info --backing-chain o.qcow2
            info --backing-chain --output=json o.qcow2
            map o.qcow2
            map --output=json o.qcow2
            convert -m 1 -O qcow2 base.raw c.qcow2
            check c.qcow2
            check --output=json c.qcow2
            map --output=json c.qcow2
            compare c.qcow2 base.raw
            convert -c -O qcow2 base.raw cc.qcow2
            check cc.qcow2
            compare cc.qcow2 base.raw
            convert -c -O qcow2 -o compression_type=zstd base.raw cz.qcow2
            info cz.qcow2
            compare cz.qcow2 base.raw
            convert -O qcow2 -o compat=0.10 base.raw old.qcow2
            info old.qcow2
            measure -O qcow2 c.qcow2
            measure -O raw c.qcow2
            create -f qcow2 -o size=5M,cluster_size=4k small.qcow2
            info small.qcow2
            resize c.qcow2 9M
            resize --shrink c.qcow2 2M
            info c.qcow2
            check c.qcow2
            amend -o compat=0.10 a.qcow2
            info a.qcow2
            info --image-opts driver=qcow2,file.filename=a.qcow2
            info json:{"driver":"qcow2","file":{"driver":"file","filename":"a.qcow2"}}
        """)

    def test_snapshots(self):
        self.lines("""
            create -f qcow2 a.qcow2 5M
            snapshot -c first a.qcow2
            convert -n -O qcow2 base.raw a.qcow2
            snapshot -c second a.qcow2
            convert -l first -O raw a.qcow2 first.raw
            convert -l snapshot.name=second -O raw a.qcow2 second.raw
            snapshot a.qcow2
            compare second.raw base.raw
            compare first.raw base.raw
            snapshot -a first a.qcow2
            compare a.qcow2 first.raw
            snapshot -d first a.qcow2
            snapshot -d first a.qcow2
            check a.qcow2
            convert -l nothing -O raw a.qcow2 nothing.raw
        """)

    def test_bitmaps(self):
        self.lines("""
            create -f qcow2 a.qcow2 5M
            bitmap --add a.qcow2 b0
            bitmap --add -g 128k a.qcow2 b1
            bitmap --add a.qcow2 b0
            info a.qcow2
            bitmap --merge b0 a.qcow2 b1
            bitmap --disable a.qcow2 b0
            info --output=json a.qcow2
            convert -O qcow2 --bitmaps a.qcow2 b.qcow2
            info b.qcow2
            bitmap --remove a.qcow2 b0
            bitmap --remove a.qcow2 b0
            bitmap a.qcow2 b1
            info a.qcow2
        """)

    def test_chains(self):
        self.lines("""
            convert -O qcow2 base.raw mid.qcow2
            create -f qcow2 -b mid.qcow2 -F qcow2 top.qcow2
            compare top.qcow2 base.raw
            rebase -b base.raw -F raw top.qcow2
            map --output=json top.qcow2
            compare top.qcow2 base.raw
            rebase -u -b mid.qcow2 -F qcow2 top.qcow2
            info top.qcow2
            rebase -b base.raw top.qcow2
            convert -n -O qcow2 mid.qcow2 top.qcow2
            commit -d top.qcow2
            commit top.qcow2
            compare top.qcow2 base.raw
            check top.qcow2
            compare mid.qcow2 base.raw
            commit base.raw
            convert -O qcow2 -B mid.qcow2 -F qcow2 top.qcow2 thin.qcow2
            compare thin.qcow2 base.raw
            create -f qcow2 -b mid.qcow2 x.qcow2
            create -f qcow2 -b nothing -F raw x.qcow2
            create -f qcow2 -u -b nothing -F raw x.qcow2 1M
            info x.qcow2
            convert -O raw x.qcow2 x.raw
        """)

    def test_woven_chain(self):
        """Layers whose pieces end in other places than those below them: mapped, copied, compared and
        rebased as qemu-img does."""
        rng = random.Random(11)
        self.make("convert", "-O", "qcow2", "base.raw", "layer0")
        for i in range(1, 5):
            size = SIZE + (i % 2) * 1048576
            self.both("create -f qcow2 -o cluster_size=%dk -b layer%d -F qcow2 layer%d %d" % (
                (4, 64, 16, 64)[i - 1], i - 1, i, size))
            for _ in range(30):
                at, length = rng.randrange(size // 512 - 1) * 512, rng.randrange(1, 200) * 512
                what = rng.choice(("write -P %d" % rng.randrange(1, 9), "write -z", "write -zu"))
                command = "%s %d %d" % (what, at, min(length, size - at))
                for where in self.at.values():
                    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, "layer%d" % i], cwd=where,
                                   check=True, stdout=subprocess.DEVNULL)
        self.both("create -f qcow2 -b layer1 -F qcow2 other")
        for line in ("map --output=json layer4", "map layer3", "map -s 300k -l 2M --output=json layer4",
                     "convert -O raw layer4 out.raw", "convert -O qcow2 -B layer2 -F qcow2 layer4 thin",
                     "compare layer4 thin", "compare layer4 layer3", "compare out.raw layer4",
                     "rebase -b layer1 -F qcow2 layer4", "compare out.raw layer4",
                     "rebase -b base.raw -F raw layer4", "compare out.raw layer4",
                     "rebase -b layer3 -F qcow2 other", "commit -b layer1 layer3"):
            self.both(line)
        for name in ("out.raw", "thin", "layer4", "other", "layer1"):
            self.same_image(name)

    def test_dirty(self):
        """lazy_refcounts, and the writer killed: the counts are behind, and the image says so."""
        def leave(name):
            for where in self.at.values():
                subprocess.run([QEMU, "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", name, "8M"],
                               cwd=where, check=True)
                subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 300k", "-c", "flush",
                                "-c", "sigraise 9", name], cwd=where, check=False,
                               stdout=subprocess.DEVNULL)

        leave("l.qcow2")
        self.assertTrue(json.loads(self.both("info --output=json l.qcow2").stdout)["dirty-flag"])
        self.both("check l.qcow2", same_text=False, status=2)
        self.both("compare l.qcow2 l.qcow2")
        self.both("check -q -r all l.qcow2", same_text=False, status=0)
        self.both("check l.qcow2", status=0)
        leave("w.qcow2")
        # whoever writes mends first
        self.both("resize -q w.qcow2 9M", status=0)
        self.assertFalse(json.loads(self.both("info --output=json w.qcow2").stdout)["dirty-flag"])
        self.both("check w.qcow2", status=0)
        done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 1M 300k", "w.qcow2"],
                              cwd=self.at[KILN], check=True, capture_output=True, text=True)
        self.assertNotIn("failed", done.stdout)

    def test_compressed_vmdk(self):
        """-c means something to streamOptimized only, and is taken for the others."""
        self.lines("""
            convert -c -O vmdk base.raw a.vmdk
            compare a.vmdk base.raw
            convert -c -O vmdk -o subformat=streamOptimized base.raw b.vmdk
            compare b.vmdk base.raw
        """)

    def test_corrupt_mark(self):
        """An image that was marked as corrupt, with nothing wrong in it, is good again after a check."""
        for mark in (1, 2, 3):
            self.make("create", "-q", "-f", "qcow2", "m.qcow2", "8M")
            for where in self.at.values():
                with open(os.path.join(where, "m.qcow2"), "r+b") as stream:
                    stream.seek(79)
                    stream.write(bytes([mark]))
            self.both("check m.qcow2")
            self.both("check -r all m.qcow2", status=0)
            self.both("info m.qcow2")
            self.both("resize m.qcow2 9M", status=0)
            self.both("check m.qcow2", status=0)

    def test_many_bitmaps(self):
        """Thousands of bitmaps whose tables are one and the same take no time."""
        where = self.at[KILN]
        for bitmaps, clusters in ((65535, 1 << 20), (60000, 8192)):
            self.make("create", "-q", "-f", "qcow2", "-o", "cluster_size=512", "many.qcow2", "1M")
            path = os.path.join(where, "many.qcow2")
            with open(path, "r+b") as image:
                head = bytearray(image.read(512))
                at = -(-os.path.getsize(path) // 512) * 512
                table = at + (4 << 20)
                directory = b"".join(struct.pack(">QIIBBHI8s", table, clusters, 2, 1, 16, 7, 0, b"%07d" % i)
                                     for i in range(bitmaps))
                begin = struct.unpack_from(">I", head, 100)[0]
                struct.pack_into(">IIIIQQII", head, begin, 0x23852875, 24, bitmaps, 0, len(directory), at, 0, 0)
                struct.pack_into(">Q", head, 88, 1)
                image.seek(0)
                image.write(head)
                image.seek(at)
                image.write(directory)
                image.truncate(table + clusters * 8)
            for words in ("check", "resize", "snapshot -c x", "check -r all"):
                with self.subTest(words=words, clusters=clusters):
                    start = time.monotonic()
                    self.run_one(KILN, [*words.split(), "many.qcow2"] + (["2M"] if words == "resize" else []))
                    self.assertLess(time.monotonic() - start, 20)
            self.assertEqual(self.run_one(KILN, ["check", "many.qcow2"]).returncode, 0)

    def test_quiet_check(self):
        """What is wrong with an image is said all the same."""
        for tool, where in self.at.items():
            self.run_one(QEMU, ["create", "-q", "-f", "qcow2", os.path.join(where, "q.qcow2"), "8M"])
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 1M", "q.qcow2"], cwd=where, check=True,
                           stdout=subprocess.DEVNULL)
            with open(os.path.join(where, "q.qcow2"), "r+b") as stream:
                stream.seek(0x20008)    # a cluster's reference count
                stream.write(b"\0\7")
            done = self.run_one(tool, ["check", "-q", "q.qcow2"])
            self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
            self.assertIn("ERROR", done.stderr)

    def test_refused(self):
        for line in """
            create
            create -f raw x
            create -f raw x 1Z
            create -f nothing x 1M
            create -f qcow2 -o nothing=1 x 1M
            create -f qcow2 -o cluster_size=3 x 1M
            info
            info nothing
            info --output=xml base.raw
            info --nothing base.raw
            info -f qcow2 base.raw
            check -r nothing base.raw
            convert base.raw
            convert -O nothing base.raw x
            convert -c -O raw base.raw x
            convert --target-is-zero -O raw base.raw x
            convert -n -O raw base.raw nothing
            convert -t nothing base.raw x
            convert -m 17 base.raw x
            compare base.raw
            compare base.raw nothing
            resize base.raw
            resize base.raw 0
            amend -o size=1G base.raw
            measure
            measure --size 1G base.raw
            rebase base.raw
            dd if=base.raw
            dd if=base.raw of=x nothing=1
            bench -c 1 --flush-interval 4 base.raw
            nothing
        """.strip().splitlines():
            with self.subTest(line=line.strip()):
                self.both(line, same_text=False)

    def same_image(self, name):
        """What both made is an image of the same size that reads the same."""
        told = [self.run_one(QEMU, ["info", "--output=json", os.path.join(self.at[tool], name)])
                for tool in (KILN, QEMU)]
        self.assertEqual(*[json.loads(t.stdout)["virtual-size"] for t in told], name)
        subprocess.run([QEMU, "compare", "-q", *[os.path.join(at, name) for at in self.at.values()]],
                       check=True)

    def test_sizes(self):
        """Sizes between two sectors are the next one; a qcow2 image is not resized to such."""
        for line in ("create -f qcow2 a.qcow2 3000", "create -f raw a.raw 3000",
                     "create -f vdi a.vdi 3000", "create -f vmdk a.vmdk 3000",
                     "dd -O qcow2 if=base.raw of=b.qcow2 bs=1000 count=3",
                     "dd -O qcow2 if=base.raw of=c.qcow2 bs=1000 count=999 skip=1",
                     "dd if=base.raw of=b.raw bs=1000 count=3"):
            self.both(line, status=0)
            self.same_image(re.search(r"[abc]\.(qcow2|raw|vdi|vmdk)(?! of)", line.split("of=")[-1])[0])
        self.assertEqual(os.path.getsize(os.path.join(self.at[KILN], "a.raw")), 3072)
        self.lines("""
            resize b.qcow2 +100
            resize b.qcow2 5242881
            resize --preallocation=full b.qcow2 3072
            resize -f raw b.raw 5001
            info --output=json b.qcow2
            map --output=json -s 5M base.raw
            map --output=json -s 6M base.raw
            map -s 6M base.raw
            map --output=json -l 0 base.raw
            map --image-opts --output=json driver=raw,offset=1M,size=2M,file.filename=base.raw
            convert --image-opts driver=raw,offset=1M,size=1M,file.filename=base.raw w.raw
            measure --image-opts --size 1G -O qcow2
            measure -f raw --size 1G
            measure -l one --size 1G
        """)
        self.same_image("w.raw")

    def test_option_values(self):
        self.lines("""
            create -f raw -o nocow=on a.raw 1M
            create -f raw -o nocow=on,preallocation=full b.raw 1M
            create -f vdi -o nocow=on a.vdi 1M
            create -f qcow2 -o nocow=on,lazy_refcounts=yes a.qcow2 1M
            info a.qcow2
            create -f qcow2 -o lazy_refcounts=n b.qcow2 1M
            create -f qcow2 -o lazy_refcounts=perhaps c.qcow2 1M
            amend -o lazy_refcounts=true b.qcow2
            amend -o refcount_bits=8,compat=0.10 b.qcow2
            info b.qcow2
            create -f bochs -o help
            create -u -f qcow2 -b nothing c.qcow2 1M
            convert -n -O qcow2 -o size=10M base.raw b.qcow2
        """)
        self.both(["create", "-f", "qcow2", "-o", "", "c.qcow2", "1M"], status=1)
        self.both(["amend", "-o", "", "b.qcow2"], status=1)

    def test_option_help(self):
        """-o help lists the same names: the format's, and with a file's name the file's too."""
        def names(text):
            return re.findall(r"^  ([^ ].*?) +- ", text, re.M)

        for format_ in ("raw", "qcow2", "luks"):
            for name in ([], ["new"]):
                words = ["create", "-f", format_, "-o", "help", *name]
                kiln, qemu = self.run_one(KILN, words).stdout, self.run_one(QEMU, words).stdout
                self.assertTrue(names(qemu))
                self.assertEqual(names(kiln), names(qemu), words)
                self.assertEqual(kiln.splitlines()[0], qemu.splitlines()[0])
        self.assertEqual(os.listdir(self.at[KILN]), ["base.raw"])
        self.lines("""
            create -f qcow2 -o extent_size_hint=2M a.qcow2 1M
            create -f raw -o extent_size_hint=0 a.raw 1M
        """)
        self.both("create -q -f raw -o extent_size_hint=4G bad.raw 1M", status=1)

    def test_bench_sizes(self):
        """Requests of any size, and where they begin."""
        self.both("convert -O qcow2 base.raw a.qcow2")
        for line, status in (("-s 1000 -f raw base.raw", 0), ("-w -s 1000 --pattern=7 a.qcow2", 0),
                             ("-S 1 -o 100 a.qcow2", 0), ("-w -s 700 --flush-interval=8 -d 4 a.qcow2", 0),
                             ("-o 5242880 a.qcow2", 1), ("-s 6M a.qcow2", 1)):
            words = ["bench", "-c", "40", *line.split()]
            kiln, qemu = self.run_one(KILN, words), self.run_one(QEMU, words)
            self.assertEqual((kiln.returncode, qemu.returncode), (status, status), line)
            if status == 0:
                self.assertEqual(kiln.stdout.splitlines()[:-1], qemu.stdout.splitlines()[:-1])
        # qemu-img starts over behind the end, and fails
        self.assertEqual(self.run_one(KILN, "bench -c 9 -s 5242879 -o 1 -f raw base.raw".split()).returncode, 0)
        self.both("check a.qcow2", status=0)
        self.same_image("a.qcow2")

    def test_amend_loses(self):
        """amend cuts an image, and takes away bitmaps, as qemu-img does; kiln-img says so."""
        self.both("create -q -f qcow2 a.qcow2 5M")
        self.both("bitmap --add a.qcow2 one", same_text=False)
        self.assertIn("is cut from", self.both("amend -o size=2M a.qcow2", status=0).stderr)
        self.assertIn("bitmap 'one'", self.both("amend -o compat=0.10 a.qcow2", status=0).stderr)
        self.both("check -q -r leaks a.qcow2", status=0)
        self.both("info a.qcow2", status=0)
        check = self.run_one(KILN, ["check", "--output=json", "a.qcow2"])
        self.assertNotIn("leaks", json.loads(check.stdout))

    def test_info_names(self):
        """A file looked at as a file; a chain behind an image that was named without it."""
        for where in self.at.values():
            subprocess.run([QEMU, "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw",
                            "o.qcow2"], cwd=where, check=True)
        self.lines("""
            info -f file base.raw
            info -f file --output=json base.raw
            info -f file o.qcow2
            info -f host_device o.qcow2
            info --image-opts driver=qcow2,backing=,file.filename=o.qcow2
        """)
        for none in ("null", '""'):
            name = 'json:{"driver":"qcow2","backing":%s,"file":{"driver":"file",' \
                   '"filename":"o.qcow2"}}' % none
            for words in (["info"], ["info", "--backing-chain"],
                          ["info", "--backing-chain", "--output=json"], ["map"]):
                told = self.both([*words, name], status=0)
                self.assertEqual("deprecated" in told.stderr, none != "null", told.stderr)

    def test_data_file(self):
        """A data file that was named from another directory than the image's."""
        for where in self.at.values():
            os.mkdir(os.path.join(where, "deep"))
        self.lines("""
            create -q -f qcow2 -o data_file=deep/one.raw deep/one.qcow2 1M
            convert -O qcow2 -o data_file=deep/two.raw base.raw deep/two.qcow2
            compare base.raw deep/two.qcow2
            info deep/two.qcow2
            map deep/two.qcow2
            check deep/two.qcow2
            convert -O raw deep/one.qcow2 one.raw
        """)
        self.same_image("one.raw")

    def test_backing_names(self):
        """amend changes no backing file, rebase -u alone takes it away, formats have to be known."""
        for where in self.at.values():
            subprocess.run([QEMU, "create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw",
                            "o.qcow2"], cwd=where, check=True)
        self.lines("""
            amend -o backing_file=e.raw,backing_fmt=raw o.qcow2
            amend -o backing_file= o.qcow2
            amend -o backing_fmt=raw o.qcow2
            info o.qcow2
            amend -o backing_file=base.raw,backing_fmt=raw o.qcow2
            measure -O qcow2 -o backing_file=base.raw o.qcow2
            rebase -u -b e.raw -F nothing o.qcow2
            info o.qcow2
            rebase -u o.qcow2
            info o.qcow2
        """)

    def test_snapshot_names(self):
        """-d takes names only, -l ids, names or both; a new one ran no instruction."""
        for words in (["create", "-q", "-f", "qcow2", "a.qcow2", "5M"], ["snapshot", "-c", "one", "a.qcow2"],
                      ["snapshot", "-c", "1", "a.qcow2"]):
            for tool in self.at:
                self.assertEqual(self.run_one(tool, words).returncode, 0)
        self.lines("""
            snapshot -l a.qcow2
            info --output=json a.qcow2
            measure -O qcow2 -l snapshot.name=one a.qcow2
            measure -O qcow2 -l snapshot.id=2 a.qcow2
            measure -O qcow2 -l snapshot.id=1,snapshot.name=1 a.qcow2
            convert -l snapshot.id=1,snapshot.name=one a.qcow2 a.raw
            convert -l snapshot.id=2,snapshot.name=one a.qcow2 b.raw
            convert -l snapshot.nothing=2 a.qcow2 b.raw
            snapshot -d 2 a.qcow2
            snapshot -d 1 a.qcow2
            snapshot -l a.qcow2
            snapshot -U -c x a.qcow2
            snapshot -U -l a.qcow2
            check -U -r all a.qcow2
            bench -U -w -c 2 a.qcow2
            check --output=json --image-opts driver=qcow2,file.filename=a.qcow2
        """)

    def test_broken_table(self):
        """An entry that points between clusters: compare's exit code, and what --salvage leaves."""
        for where in self.at.values():
            path = os.path.join(where, "a.qcow2")
            subprocess.run([QEMU, "convert", "-O", "qcow2", os.path.join(where, "base.raw"), path],
                           check=True)
            with open(path, "r+b") as image:
                image.seek(40)
                image.seek(int.from_bytes(image.read(8), "big"))
                table = int.from_bytes(image.read(8), "big") & 0x00fffffffffffe00
                image.seek(table)
                entries = [int.from_bytes(image.read(8), "big") for _ in range(SIZE >> 16)]
                broken = [i for i, entry in enumerate(entries) if entry][1]
                image.seek(table + 8 * broken)
                image.write((entries[broken] + 512).to_bytes(8, "big"))
        self.both("compare a.qcow2 base.raw", status=3)
        self.both("convert a.qcow2 b.raw", status=1)
        self.both("convert --salvage a.qcow2 c.raw", same_text=False, status=0)
        self.same_image("c.raw")

    def test_bench(self):
        for line in ("bench -f raw -c 100 -d 4 base.raw",
                     "bench -w -f raw -c 500 --flush-interval 64 --pattern 3 base.raw",
                     "bench -q -S 0 -f raw -c 10 base.raw",
                     "bench -w -f raw -c 9 -d 2 --flush-interval 4 --no-drain base.raw"):
            first = self.both(line, same_text=False, status=0).stdout.splitlines()
            self.assertRegex(first[0], r"^Sending \d+ (read|write) requests, 4096 bytes each")
            self.assertRegex(first[-1], r"^Run completed in [0-9.]+ seconds\.$")
            self.assertEqual(first[:-1], self.run_one(QEMU, line.split()).stdout.splitlines()[:-1])
        self.both("compare base.raw base.raw")

    def test_secrets(self):
        for line in ("info --object secret,id=a,data=x base.raw",
                     "info --object secret,data=x base.raw", "info --object secret,id=a base.raw",
                     "info --object nothing,id=a base.raw"):
            self.both(line)
        for text in ('{"qom-type":"secret","id":"a","data":"x"}', '{"qom-type": "secret", "id": "a"}',
                     '{"id": "a", "data": "x"}', '{"qom-type": "secret", "id": "a", "data": 5}', "{"):
            self.both(["info", "--object", text, "base.raw"])
        for first, second in (("secret,id=a,data=x", "secret,id=a,data=y"),
                              ("secret,id=a,data=x", "tls-creds-psk,id=a,dir=/"),
                              ("secret,id=a,data=x", "secret,id=b.c-2_,data=y"),
                              ("secret,id=1a,data=x", "secret,id=b,data=y"),
                              ("secret,id=a b,data=x", "secret,id=b,data=y")):
            self.both(["info", "--object", first, "--object", second, "base.raw"])

    def make(self, *words, shared=False):
        """Both directories get the image that qemu-img makes; @shared: it is one and the same."""
        subprocess.run([QEMU, *words], cwd=self.at[QEMU], check=True, stdout=subprocess.DEVNULL)
        if not shared:
            subprocess.run([QEMU, *words], cwd=self.at[KILN], check=True, stdout=subprocess.DEVNULL)

    def test_names(self):
        """An image that a file name does not say has its options for a name."""
        self.make("create", "-q", "-f", "qcow2", "a.qcow2", "5M")
        self.make("create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "o.qcow2")
        self.run_one(KILN, ["create", "-f", "luks", "--object", "secret,id=s,data=x", "-o",
                            "key-secret=s,iter-time=10", "l.luks", "1M"])
        shutil.copy(os.path.join(self.at[KILN], "l.luks"), self.at[QEMU])
        self.lines("""
            info --image-opts driver=raw,file.driver=qcow2,file.file.filename=a.qcow2
            info --output=json --image-opts driver=raw,file.driver=qcow2,file.file.filename=a.qcow2
            info --image-opts driver=raw,offset=1M,size=1M,file.filename=base.raw
            info --image-opts driver=raw,offset=100,file.filename=base.raw
            info --image-opts driver=raw,file.driver=raw,file.file.filename=base.raw
            info --image-opts driver=qcow2,file.driver=raw,file.offset=0,file.file.filename=a.qcow2
            info --image-opts driver=qcow2,cache.direct=off,discard=unmap,file.filename=a.qcow2
            info --backing-chain --image-opts driver=qcow2,file.driver=raw,file.file.filename=o.qcow2
            info --output=json --backing-chain --image-opts driver=qcow2,file.driver=raw,file.file.filename=o.qcow2
            info --object secret,id=s,data=x --image-opts driver=luks,key-secret=s,file.filename=l.luks
            info --image-opts filename=a.qcow2
            info --image-opts driver=file,filename=a.qcow2
            info --image-opts driver=qcow2,file.filename=o.qcow2,backing.driver=raw,backing.file.filename=base.raw
            convert --image-opts driver=file,filename=a.qcow2 copy
            compare -f raw -F raw copy a.qcow2
            map -f file a.qcow2
            create -u -f qcow2 -b x.qcow2 -F qcow2 x.qcow2 1M
        """)
        window = 'json:{"driver":"raw","offset":512,"file":{"driver":"file","filename":"base.raw"}}'
        for words in (["info", window], ["info", "-f", "raw", 'json:{"driver":"qcow2","file":{"driver":"file",'
                                         '"filename":"a.qcow2"}}'],
                      ["info", 'json:{"driver":"file","filename":"a.qcow2"}'], ["info", 'json:{"filename":"a.qcow2"}'],
                      ["create", "-f", "qcow2", "-b", window, "-F", "raw", "w.qcow2"],
                      ["info", "--backing-chain", "w.qcow2"],
                      ["info", "--backing-chain", "--output=json", "w.qcow2"]):
            self.both(words)

    def test_strict(self):
        """compare -s has one verdict; map, of images whose clusters were taken beforehand."""
        rng = random.Random(9)
        disk = bytearray(SIZE)
        for at in (300 << 10, 1 << 20, 3 << 20):
            disk[at:at + 100000] = rng.randbytes(25000) * 4
        with open(os.path.join(self.at[QEMU], "s.raw"), "wb") as stream:
            for at in range(0, SIZE, 4096):
                stream.seek(at)
                if any(disk[at:at + 4096]):
                    stream.write(disk[at:at + 4096])
            stream.truncate(SIZE)
        made = {"q.qcow2": "", "c.qcow2": "-c", "q4.qcow2": "-o cluster_size=4k", "q05.qcow2": "-o cluster_size=512",
                "m.qcow2": "-o preallocation=metadata", "v.vdi": "", "s.vdi": "-o static=on", "v.vpc": "",
                "f.vpc": "-o subformat=fixed", "v.vmdk": "", "f.vmdk": "-o subformat=monolithicFlat",
                "p.vmdk": "-o subformat=streamOptimized", "v.qed": "", "v.vhdx": "", "v.qcow": ""}
        for name, options in made.items():
            self.make("convert", "-O", name.split(".")[1], *options.split(), "s.raw", name, shared=True)
        self.make("create", "-f", "qcow2", "-b", "q.qcow2", "-F", "qcow2", "o.qcow2", "9M", shared=True)
        self.make("convert", "-O", "qcow2", "q.qcow2", "n.qcow2", shared=True)
        self.make("snapshot", "-c", "one", "n.qcow2", shared=True)
        self.make("create", "-f", "qcow2", "-o", "preallocation=metadata", "e.qcow2", "5M", shared=True)
        self.make("create", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=128k", "x.qcow2", "5M", shared=True)
        subprocess.run(["qemu-io", "-c", "write 10k 6k", "-c", "write -z 200k 8k", "x.qcow2"], cwd=self.at[QEMU],
                       check=True, stdout=subprocess.DEVNULL)
        self.at[KILN] = self.at[QEMU]    # the holes of the files count as well
        names = ["s.raw", *made, "o.qcow2", "n.qcow2", "e.qcow2", "x.qcow2"]
        for one in names:
            for two in names:
                with self.subTest(one=one, two=two):
                    self.both(["compare", "-s", one, two])
        for name in ("m.qcow2", "e.qcow2", "x.qcow2", "s.raw"):
            for output in ("human", "json"):
                told, want = (self.run_one(tool, ["map", "--output", output, name]).stdout for tool in (KILN, QEMU))
                self.assertEqual(told, want, name)

    def test_missing_parts(self):
        """info wants neither the data file of an image nor its key; measure wants the key."""
        self.make("create", "-f", "qcow2", "-o", "data_file=d.data", "d.qcow2", "1M")
        for where in self.at.values():
            os.unlink(os.path.join(where, "d.data"))
        self.lines("""
            info d.qcow2
            info --output=json d.qcow2
            map d.qcow2
            measure -O luks --size 1G
            measure -O luks --object secret,id=s,data=x -o key-secret=s --size 1G
            measure -O luks -o key-secret=s --size 1G
            measure -O qcow2 -o encrypt.format=luks --size 1G
            measure -O qcow2 -o encrypt.format=luks,encrypt.key-secret=s --object secret,id=s,data=x --size 1G
        """)

    def test_short_options(self):
        self.lines("""
            create -f qcow2 -o nolazy_refcounts a.qcow2 1M
            create -f qcow2 -o nopreallocation,lazy_refcounts b.qcow2 1M
            create -f qcow2 -o lazy_refcounts=on,nolazy_refcounts c.qcow2 1M
            create -f qcow2 -o nocompat bad.qcow2 1M
            create -f raw -o nocow bad.raw 1M
            create -f raw -o nonocow d.raw 1M
            create -f qcow2 -o size=1M, bad.qcow2
            amend -o nolazy_refcounts b.qcow2
            info b.qcow2
            convert -O qcow2 -o nolazy_refcounts base.raw e.qcow2
            measure -O qcow2 -o noextended_l2 base.raw
            info --image-opts driver=qcow2,file.filename=a.qcow2,noread-only
            info --image-opts driver=qcow2,file.filename=a.qcow2,nothing
            info --image-opts a.qcow2
            info --object qom-type=secret,id=s,data=x a.qcow2
            info --object secret,noid,data=x a.qcow2
        """)
        told = self.both("info --image-opts driver=qcow2,file.filename=a.qcow2,nocache.direct", status=0)
        self.assertIn("warning: write 'cache.direct=off'", told.stderr)
        for words in ("help", "?", "secret,help", "secret,id=s,help", "nothing,help", "tls-creds-psk,?"):
            told = self.both(["info", "--object", words, "nothing"], same_text=False, status=0).stdout
            self.assertIn("keyid=" if "secret" in words else "username=" if "psk" in words else "\n  secret\n", told)
        self.both("info --object help,nothing a.qcow2", status=1)

    def test_preallocated(self):
        """Space that was asked for stays with the image where the source has zeroes."""
        for format_, options in (("raw", ""), ("qcow2", ""), ("qcow2", ",cluster_size=4k,extended_l2=off"),
                                 ("qcow2", ",cluster_size=128k,extended_l2=on"), ("qcow2", ",data_file=x.data"),
                                 ("qcow2", ",data_file=x.data,data_file_raw=on")):
            for mode in ("metadata", "falloc", "full"):
                if (format_, mode) == ("raw", "metadata"):
                    continue
                with self.subTest(format=format_, options=options, mode=mode):
                    # what was there before does not show through
                    for where in self.at.values():
                        for name in ("x", "x.data"):
                            with open(os.path.join(where, name), "wb") as stream:
                                stream.write(b"old" * SIZE)
                    self.both("convert -O %s -o preallocation=%s%s base.raw x" % (format_, mode, options), status=0)
                    self.both("compare x base.raw", status=0)
                    if mode == "metadata":
                        told = self.both("map --output=json x", same_text=False).stdout
                        self.assertEqual([r["start"] for r in json.loads(told) if "offset" not in r], [], told)
                        continue
                    holder = os.path.join(self.at[KILN], "x.data" if "data_file" in options else "x")
                    self.assertGreaterEqual(os.stat(holder).st_blocks * 512, SIZE)
                    if format_ == "qcow2":
                        # kiln-img marks subclusters as data at once, which reads the same
                        self.both("map --output=json x", same_text="extended_l2=on" not in options)
                        self.both("check x", status=0)

    def test_fixed(self):
        """Formats that place every block beforehand still keep the holes of a new file."""
        for words in ("vdi -o static=on", "vpc -o subformat=fixed", "vhdx -o subformat=fixed"):
            with self.subTest(words=words):
                self.both("convert -O %s base.raw x" % words, status=0)
                self.both("compare x base.raw")
                self.assertLess(os.stat(os.path.join(self.at[KILN], "x")).st_blocks * 512, SIZE // 2)

    def test_progress(self):
        """-p ends at 100; SIGUSR1 tells how far it is."""
        text = self.both("convert -p -O raw base.raw x.raw", same_text=False, status=0).stdout
        # carriage returns are line ends to Python
        self.assertTrue(text.startswith("    (0.00/100%)\n"), text)
        self.assertTrue(text.endswith("(100.00/100%)\n"), text)
        with subprocess.Popen([KILN, "convert", "-r", "3M", "base.raw", "slow.raw"],
                              cwd=self.at[KILN], stderr=subprocess.PIPE, text=True) as process:
            time.sleep(0.7)
            process.send_signal(signal.SIGUSR1)
            self.assertRegex(process.communicate(timeout=60)[1], r"^    \([0-9.]+/100%\)\n$")
            self.assertEqual(process.returncode, 0)

    def test_locks(self):
        """An image in use is refused, and -U looks at it all the same."""
        self.both("create -q -f qcow2 a.qcow2 1M")
        with subprocess.Popen(["qemu-io", "-f", "qcow2", "a.qcow2"], cwd=self.at[KILN],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
            user.stdin.write(b"read 0 512\n")
            user.stdin.flush()
            user.stdout.readline()
            busy = self.run_one(KILN, ["info", "a.qcow2"])
            shared = self.run_one(KILN, ["info", "-U", "a.qcow2"])
            changed = self.run_one(KILN, ["resize", "a.qcow2", "2M"])
            overlay = self.run_one(KILN, ["create", "-f", "qcow2", "-b", "a.qcow2", "-F", "qcow2", "o.qcow2"])
            again = self.run_one(KILN, ["create", "-f", "qcow2", "a.qcow2", "1M"])
            user.communicate(b"quit\n")
        self.assertEqual((busy.returncode, shared.returncode, changed.returncode), (1, 0, 1))
        # what lies on an image in use can be made, but not the image itself again
        self.assertEqual((overlay.returncode, again.returncode), (0, 1), overlay.stderr)


if __name__ == "__main__":
    if not QEMU:
        print("skipped: no qemu-img")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
