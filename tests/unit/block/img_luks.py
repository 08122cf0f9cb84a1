#!/usr/bin/python3
"""img_luks.py KILN-IMG - encrypted images, made by one of kiln-img and qemu-img and read by the other:
LUKS volumes and qcow2 with LUKS inside, key slots added and erased, and qcow2's old AES; a volume of
kiln-img's as cryptsetup sees it. Exit status 77 (skipped) without qemu-img.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

KILN = os.path.abspath(sys.argv[1])
QEMU = shutil.which("qemu-img")
CRYPTSETUP = shutil.which("cryptsetup", path="/usr/sbin:/sbin:" + os.environ["PATH"])
SIZE = 600 << 10
SECRETS = [word for name in ("one", "two") for word in ("--object", "secret,id=%s,file=%s" % (name, name))]
# the options of a volume, without "encrypt."
VOLUMES = ("", "cipher-mode=cbc,ivgen-alg=essiv", "cipher-alg=serpent-256,hash-alg=sha512",
           "cipher-alg=twofish-128,cipher-mode=cbc,ivgen-alg=plain,hash-alg=sha1")
ACTUAL = re.compile(r"disk size: .*|\"actual-size\": \d+")


class Luks(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(dir=os.environ.get("KILN_BUILD_ROOT"))
        for name in ("one", "two"):
            self.write(name, name.encode())
        rng = random.Random(3)
        self.write("r.raw", rng.randbytes(SIZE // 3 + 512) + bytes(SIZE // 3) + rng.randbytes(SIZE // 3 - 512))

    def tearDown(self):
        self.directory.cleanup()

    def write(self, name, data):
        with open(os.path.join(self.directory.name, name), "wb") as stream:
            stream.write(data)

    def run_one(self, tool, words, good=True):
        # qemu-img gives up when so little work takes no time on its clock: it is asked again
        for _ in range(20):
            done = subprocess.run([tool, *words], cwd=self.directory.name, capture_output=True, text=True,
                                  check=False, timeout=300)
            if tool != QEMU or "accurate CPU usage" not in done.stderr:
                break
        if good is not None:
            self.assertEqual(done.returncode == 0, good, "%s %s: %s%s" % (tool, words, done.stdout, done.stderr))
        return done

    def convert(self, tool, source, kind, name, options):
        self.run_one(tool, ["convert", *SECRETS, "-O", kind, "-o", options, *source, name])

    def assert_same(self, tool, image, secret="one"):
        """@image has what r.raw has, as @tool reads it."""
        key = "key-secret" if image.endswith("luks") else "encrypt.key-secret"
        kind = "luks" if image.endswith("luks") else "qcow2"
        self.run_one(tool, ["compare", *SECRETS, "--image-opts",
                            "driver=%s,%s=%s,file.filename=%s" % (kind, key, secret, image),
                            "driver=raw,file.filename=r.raw"])

    def assert_same_info(self, image):
        for output in ("human", "json"):
            kiln, qemu = (ACTUAL.sub("", self.run_one(tool, ["info", "--output", output, image]).stdout)
                          for tool in (KILN, QEMU))
            self.assertEqual(kiln, qemu)

    def test_volumes(self):
        for options in VOLUMES:
            with self.subTest(options=options):
                options = "key-secret=one,iter-time=1" + ("," + options if options else "")
                self.convert(KILN, ["r.raw"], "luks", "k.luks", options)
                self.convert(QEMU, ["r.raw"], "luks", "q.luks", options)
                self.assert_same(QEMU, "k.luks")
                self.assert_same(KILN, "q.luks")
                self.assert_same_info("k.luks")
                self.assert_same_info("q.luks")

    def test_qcow2(self):
        for cluster, options in zip(("512", "16k,extended_l2=on", "64k,compat=0.10"), VOLUMES):
            with self.subTest(options=options, cluster=cluster):
                words = ["format=luks", "key-secret=one", "iter-time=1"] + (options.split(",") if options else [])
                text = ",".join(["cluster_size=" + cluster] + ["encrypt." + word for word in words])
                self.convert(KILN, ["r.raw"], "qcow2", "k.qcow2", text)
                self.convert(QEMU, ["r.raw"], "qcow2", "q.qcow2", text)
                self.assert_same(QEMU, "k.qcow2")
                self.assert_same(KILN, "q.qcow2")
                for image in ("k.qcow2", "q.qcow2"):
                    self.assert_same_info(image)
                    self.run_one(KILN, ["check", "--keyless", image])
                    self.run_one(QEMU, ["check", *SECRETS, "--image-opts",
                                        "driver=qcow2,encrypt.key-secret=one,file.filename=" + image])

    def test_keyless(self):
        """What qemu-img wants a key for is refused without one, unless it was said that none is needed."""
        self.convert(KILN, ["r.raw"], "qcow2", "k.qcow2", "encrypt.format=luks,encrypt.key-secret=one,encrypt.iter-time=1")
        self.run_one(KILN, ["create", "-f", "qcow2", "-b", "k.qcow2", "-F", "qcow2", "o.qcow2"])
        for line in ("snapshot -l k.qcow2", "snapshot -c a k.qcow2", "snapshot -l o.qcow2", "check k.qcow2",
                     "check -r all k.qcow2", "rebase -u -b r.raw -F raw k.qcow2", "rebase -u k.qcow2"):
            with self.subTest(line=line):
                self.run_one(QEMU, line.split(), good=False)
                told = self.run_one(KILN, line.split(), good=False).stderr
                self.assertIn("give the id of a secret object", told)
                command, *words = line.split()
                self.run_one(KILN, [command, "--keyless", *words])

    def test_header_stays(self):
        """A damaged entry says that a table is where the keys are: check must not mend them."""
        whole = "driver=qcow2,encrypt.key-secret=one,file.filename=k.qcow2"
        path = os.path.join(self.directory.name, "k.qcow2")
        for cluster in ("4k", "64k"):
            # a table of the disk, which is behind what r.raw has, an L1 and an L2 table of the snapshot
            for victim in ("disk", "l1", "l2"):
                with self.subTest(cluster=cluster, victim=victim):
                    self.run_one(QEMU, ["create", *SECRETS, "-f", "qcow2", "-o", "encrypt.format=luks,"
                                        "encrypt.key-secret=one,encrypt.iter-time=1,cluster_size=" + cluster,
                                        "k.qcow2", "1G"])
                    self.run_one(KILN, ["convert", *SECRETS, "-n", "--target-image-opts", "r.raw", whole])
                    self.run_one(KILN, ["snapshot", "--keyless", "-c", "one", "k.qcow2"])
                    with open(path, "r+b") as image:
                        head = image.read(1024)
                        entries, l1, = struct.unpack_from(">IQ", head, 36)
                        snapshots, = struct.unpack_from(">Q", head, 64)
                        at = head.index(struct.pack(">II", 0x0537be77, 16))
                        luks, length = struct.unpack_from(">QQ", head, at + 8)
                        image.seek(luks)
                        before = image.read(length)
                        image.seek(snapshots)
                        snapshot_l1, = struct.unpack(">Q", image.read(8))
                        place = {"disk": l1 + entries * 8 - 8, "l1": snapshots, "l2": snapshot_l1}[victim]
                        image.seek(place)
                        image.write(struct.pack(">Q", luks | (1 << 63 if victim == "disk" else 0)))
                    self.run_one(KILN, ["check", "--keyless", "k.qcow2"], good=False)
                    self.run_one(KILN, ["check", "--keyless", "-r", "all", "k.qcow2"])
                    with open(path, "rb") as image:
                        image.seek(luks)
                        self.assertEqual(image.read(length), before)
                    self.run_one(QEMU, ["check", *SECRETS, "--image-opts", whole])
                    for tool in (KILN, QEMU):
                        self.assert_same(tool, "k.qcow2")

    def test_overlay(self):
        """Copy-on-write under encryption, with snapshots."""
        self.run_one(QEMU, ["create", "-q", *SECRETS, "-f", "qcow2", "-b", "r.raw", "-F", "raw", "-o",
                            "encrypt.format=luks,encrypt.key-secret=one,encrypt.iter-time=1", "o.qcow2"])
        image = "driver=qcow2,encrypt.key-secret=one,file.filename=o.qcow2"
        self.write("part", b"written over " * 50)
        self.run_one(KILN, ["bench", *SECRETS, "--image-opts", "-w", "-c", "7", "-s", "1k", "-S", "70k", "-d", "1",
                            "--pattern", "65", image])
        self.run_one(KILN, ["snapshot", *SECRETS, "--image-opts", "-c", "before", image])
        self.run_one(KILN, ["bench", *SECRETS, "--image-opts", "-w", "-c", "9", "-s", "512", "-S", "61k", "-d", "1",
                            "--pattern", "66", image])
        self.run_one(QEMU, ["check", *SECRETS, "--image-opts", image])
        for tool, name in ((KILN, "k.raw"), (QEMU, "q.raw")):
            self.run_one(tool, ["convert", *SECRETS, "--image-opts", "-O", "raw", image, name])
            self.run_one(tool, ["convert", *SECRETS, "--image-opts", "-l", "before", "-O", "raw", image,
                                "before-" + name])
        for prefix in ("", "before-"):
            with open(os.path.join(self.directory.name, prefix + "k.raw"), "rb") as left, \
                    open(os.path.join(self.directory.name, prefix + "q.raw"), "rb") as right:
                data = left.read()
                self.assertEqual(data, right.read())
                self.assertEqual(data.count(b"A" * 1024) >= 5, True)

    def test_key_slots(self):
        for kind, prefix in (("luks", ""), ("qcow2", "encrypt.")):
            name = "a." + kind
            options = "%skey-secret=one,%siter-time=1%s" % (
                prefix, prefix, ",encrypt.format=luks" if prefix else "")
            with self.subTest(kind=kind):
                self.convert(QEMU, ["r.raw"], kind, name, options)
                opened = "driver=%s,%skey-secret=%%s,file.filename=%s" % (kind, prefix, name)
                words = ["amend", *SECRETS, "--image-opts"]

                def amend(tool, secret, what, good=True):
                    texts = ",".join(prefix + word for word in what.split(","))
                    self.run_one(tool, words + ["-o", texts, opened % secret], good)

                amend(KILN, "one", "state=active,new-secret=two,keyslot=5,iter-time=1")
                self.assert_same(QEMU, name, "two")
                self.assert_same_info(name)
                amend(KILN, "two", "state=inactive,old-secret=one")
                self.run_one(QEMU, ["compare", *SECRETS, "--image-opts", opened % "one",
                                    "driver=raw,file.filename=r.raw"], False)
                amend(KILN, "two", "state=inactive,keyslot=5", False)
                amend(QEMU, "two", "state=active,new-secret=one,iter-time=10")
                self.assert_same(KILN, name, "one")
                amend(QEMU, "one", "state=inactive,keyslot=5")
                self.run_one(KILN, ["compare", *SECRETS, "--image-opts", opened % "two",
                                    "driver=raw,file.filename=r.raw"], False)
                self.assert_same_info(name)

    def test_old_aes(self):
        self.convert(QEMU, ["r.raw"], "qcow2", "a.qcow2", "encrypt.format=aes,encrypt.key-secret=one")
        self.assert_same(KILN, "a.qcow2")
        self.assert_same_info("a.qcow2")
        refused = self.run_one(KILN, ["create", *SECRETS, "-f", "qcow2", "-o",
                                      "encrypt.format=aes,encrypt.key-secret=one", "b.qcow2", "1M"], False)
        self.assertIn("encrypt.format=luks", refused.stderr)

    def test_words(self):
        self.convert(KILN, ["r.raw"], "luks", "k.luks", "key-secret=one,iter-time=1")
        for words, said in ((["compare", "k.luks", "r.raw"], "'key-secret' is required"),
                            (["compare", "--object", "secret,id=one,data=no", "--image-opts",
                              "driver=luks,key-secret=one,file.filename=k.luks", "driver=raw,file.filename=r.raw"],
                             "Invalid password"),
                            (["create", "-f", "luks", "x.luks", "1M"], "'key-secret' is required"),
                            (["create", *SECRETS, "-f", "luks", "-o", "key-secret=one,cipher-mode=ecb", "x.luks", "1M"],
                             "cbc, xts"),
                            (["create", *SECRETS, "-f", "luks", "-o", "state=active", "x.luks", "1M"],
                             "Invalid parameter 'state'"),
                            (["convert", "-c", *SECRETS, "-O", "qcow2", "-o",
                              "encrypt.format=luks,encrypt.key-secret=one,encrypt.iter-time=1", "r.raw", "x.qcow2"],
                             "Compression and encryption not supported")):
            self.assertIn(said, self.run_one(KILN, words, None).stderr)
        resized = ["resize", *SECRETS, "--image-opts", "driver=luks,key-secret=one,file.filename=k.luks"]
        self.run_one(KILN, resized + ["+4k"])
        self.assertIn("(%d bytes)" % (SIZE + 4096), self.run_one(QEMU, ["info", "k.luks"]).stdout)

    @unittest.skipUnless(CRYPTSETUP, "no cryptsetup")
    def test_cryptsetup(self):
        self.convert(KILN, ["r.raw"], "luks", "k.luks", "key-secret=one,iter-time=1")
        dump = self.run_one(CRYPTSETUP, ["luksDump", "k.luks"]).stdout
        for text in (r"Version:\s+1", r"Cipher name:\s+aes", r"Cipher mode:\s+xts-plain64", r"Hash spec:\s+sha256",
                     r"Payload offset:\s+4040", r"MK bits:\s+512", r"Key Slot 0: ENABLED", r"Key Slot 7: DISABLED"):
            self.assertRegex(dump, text)
        self.run_one(CRYPTSETUP, ["open", "--test-passphrase", "--key-file", "one", "k.luks"])
        self.run_one(CRYPTSETUP, ["open", "--test-passphrase", "--key-file", "two", "k.luks"], False)


if __name__ == "__main__":
    if not QEMU:
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
