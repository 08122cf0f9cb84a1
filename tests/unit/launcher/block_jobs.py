#!/usr/bin/python3
"""block_jobs.py KILN-VMM [OPTION...] - block jobs by QMP, on a guest that stands still, judged by
qemu-img. On any /dev/kvm.

Exit status 77 (skipped) without a usable /dev/kvm.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import array
import json
import os
import random
import select
import socket
import subprocess
import sys
import tempfile
import time
import unittest

VMM, *ALWAYS = sys.argv[1:]
SECONDS = 60
SIZE = 4 << 20
KILLS = int(os.environ.get("KILN_KILLS", "1"))  # how often each job is killed
RNG = random.Random(int(os.environ.get("KILN_SEED", "0")) or None)


def img(*words):
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


class Jobs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.make()

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self):
        """base, mid on it, top on that; "expect" is what top reads as."""
        path = self.path
        img("create", "-q", "-f", "qcow2", path("base"), str(SIZE))
        img("create", "-q", "-f", "qcow2", "-b", path("base"), "-F", "qcow2", path("mid"))
        img("create", "-q", "-f", "qcow2", "-b", path("mid"), "-F", "qcow2", path("top"))
        for name, words in (("base", "write -P 1 0 2M"), ("mid", "write -P 2 1M 512k"),
                            ("top", "write -P 3 1280k 512k")):
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", words, path(name)], check=True,
                           stdout=subprocess.DEVNULL)
        img("convert", "-O", "raw", path("top"), path("expect"))

    def start(self, *options):
        qmp = self.path("qmp")
        argv = [VMM, "-S", "-m", "32", "-M", "pc", "-nodefaults", "-display", "none", "-qmp",
                "unix:%s,server=on,wait=off" % qmp, *ALWAYS, *options]
        self.fds = []
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.kill)
        end = time.monotonic() + SECONDS
        self.peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(self.peer.close)
        while True:
            try:
                self.peer.connect(qmp)
                break
            except OSError:
                self.assertIsNone(self.process.poll())
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        self.text, self.events = b"", []
        self.message()
        self.ask("qmp_capabilities")

    def message(self):
        end = time.monotonic() + SECONDS
        while b"\n" not in self.text:
            left = end - time.monotonic()
            self.assertTrue(left > 0 and select.select([self.peer], [], [], left)[0], self.events)
            data = self.peer.recv(65536)
            self.assertTrue(data, "kiln-vmm is gone")
            self.text += data
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def answer(self, command, fds, arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        text = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        self.peer.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                             array.array("i", fds))] if fds else [])
        while True:
            message = self.message()
            if "event" not in message:
                return message
            self.events.append(message)

    def ask(self, command, fds=(), **arguments):
        message = self.answer(command, fds, arguments)
        self.assertIn("return", message)
        return message["return"]

    def refused(self, command, **arguments):
        return self.answer(command, (), arguments)["error"]

    def wait(self, name, **data):
        """The data of the next event @name with @data among them; all before it is forgotten."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name and data.items() <= event["data"].items():
                    return event["data"]
            message = self.message()
            self.assertIn("event", message)
            self.events.append(message)

    def end(self, *names):
        """What the images read as, and whether they are whole."""
        self.ask("quit")
        self.assertEqual(self.process.wait(SECONDS), 0)
        for name in names:
            img("compare", "-f", "raw", "-F", "qcow2", self.path("expect"), self.path(name))
            img("check", "-q", self.path(name))

    def drive(self):
        return ("-drive", "file=%s,format=qcow2,if=none,id=d" % self.path("top"),
                "-device", "virtio-blk-pci,drive=d,id=disk")

    def backing(self, name):
        return json.loads(img("info", "--output=json", self.path(name))).get("backing-filename")

    def test_commit_and_stream(self):
        self.start("-sandbox", "off", *self.drive())
        self.assertEqual(self.refused("block-stream", device="nothing")["class"], "DeviceNotFound")
        self.assertEqual(self.refused("block-job-cancel", device="nothing")["class"],
                         "DeviceNotActive")
        self.assertIn("is not in the chain",
                      self.refused("block-commit", device="disk", top="/no")["desc"])
        self.ask("block-commit", job_id="c", device="disk", top=self.path("mid"),
                 base=self.path("base"))
        self.assertEqual(self.wait("BLOCK_JOB_COMPLETED")["device"], "c")
        self.wait("JOB_STATUS_CHANGE", id="c", status="null")
        self.assertEqual(self.ask("query-block-jobs"), [])
        os.unlink(self.path("mid"))
        self.ask("block-stream", job_id="s", device="disk", speed=1 << 20)
        job = self.ask("query-block-jobs")[0]
        self.assertEqual((job["type"], job["device"], job["speed"]), ("stream", "s", 1 << 20))
        self.assertIn("is busy", self.refused("block_resize", device="disk", size=1 << 20)["desc"])
        self.ask("block-job-pause", device="s")
        self.wait("JOB_STATUS_CHANGE", id="s", status="paused")
        self.assertTrue(self.ask("query-block-jobs")[0]["paused"])
        self.ask("block-job-resume", device="s")
        self.ask("block-job-set-speed", device="s", speed=0)
        self.assertNotIn("error", self.wait("BLOCK_JOB_COMPLETED"))
        self.end("top")
        self.assertIsNone(self.backing("top"))

    def test_active_commit(self):
        self.start("-sandbox", "off", *self.drive())
        self.ask("block-commit", job_id="c", device="disk")
        self.wait("BLOCK_JOB_READY")
        self.assertTrue(self.ask("query-block-jobs")[0]["ready"])
        self.ask("block-job-complete", device="c")
        self.assertEqual(self.wait("BLOCK_JOB_COMPLETED")["type"], "commit")
        self.wait("JOB_STATUS_CHANGE", id="c", status="null")
        inserted = self.ask("query-block")[0]["inserted"]
        self.assertEqual(inserted["file"], self.path("base"))
        self.end("base")

    def test_mirror_and_snapshot(self):
        self.start("-sandbox", "off", *self.drive())
        self.ask("drive-mirror", job_id="m", device="disk", target=self.path("copy"), sync="full",
                 format="qcow2")
        self.wait("BLOCK_JOB_READY")
        self.ask("block-job-complete", device="m")
        self.wait("BLOCK_JOB_COMPLETED")
        self.wait("JOB_STATUS_CHANGE", id="m", status="null")
        self.ask("transaction", actions=[
            {"type": "blockdev-snapshot-sync", "data": {
                "device": "disk", "snapshot-file": self.path("over"), "format": "qcow2",
                "snapshot-node-name": "over"}},
            {"type": "block-dirty-bitmap-add", "data": {
                "node": "disk", "name": "b", "persistent": True}}])
        self.assertEqual(self.ask("query-block")[0]["inserted"]["node-name"], "over")
        self.ask("block_resize", device="disk", size=SIZE * 2)
        self.ask("block_resize", device="disk", size=SIZE)
        self.assertEqual(self.refused("job-cancel", id="m")["desc"], "Job not found")
        self.end("copy", "over", "top")
        self.assertEqual(self.backing("over"), self.path("copy"))

    def test_backup(self):
        self.start("-sandbox", "off", *self.drive())
        self.ask("drive-backup", job_id="b", device="disk", target=self.path("copy"), sync="full",
                 format="qcow2", auto_dismiss=False)
        self.wait("JOB_STATUS_CHANGE", id="b", status="concluded")
        self.assertEqual([(j["id"], j["status"]) for j in self.ask("query-jobs")],
                         [("b", "concluded")])
        self.ask("job-dismiss", id="b")
        self.assertEqual(self.ask("query-jobs"), [])
        self.end("copy", "top")

    def test_shallow_copies_keep_zeroes(self):
        """Zeroes of the top image hide what lies below, in copies of it alone as well."""
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -z 0 500k", "-c", "write -z 1M 70k",
                        self.path("top")], check=True, stdout=subprocess.DEVNULL)
        img("convert", "-O", "raw", self.path("top"), self.path("expect"))
        self.start("-sandbox", "off", *self.drive())
        self.ask("drive-backup", job_id="b", device="disk", target=self.path("backup"), sync="top",
                 format="qcow2")
        self.assertNotIn("error", self.wait("BLOCK_JOB_COMPLETED"))
        self.ask("drive-mirror", job_id="m", device="disk", target=self.path("copy"), sync="top",
                 format="qcow2")
        self.wait("BLOCK_JOB_READY")
        self.ask("block-job-complete", device="m")
        self.assertNotIn("error", self.wait("BLOCK_JOB_COMPLETED"))
        self.end("backup", "copy")
        self.assertEqual(self.backing("copy"), self.path("mid"))

    def kill_in(self, command, **arguments):
        """Begins a job, and kills the VMM at some moment of it, or of its end."""
        self.make()
        self.start("-sandbox", "off", *self.drive())
        self.ask("block-dirty-bitmap-add", node="disk", name="b", persistent=True)
        if RNG.randrange(2):
            arguments["speed"] = RNG.randrange(1, 64) << 17
        self.ask(command, job_id="j", device="disk", **arguments)
        if RNG.randrange(2) and (command == "drive-mirror" or "top" not in arguments):
            self.answer("job-complete", (), {"id": "j"})  # may be too early
        time.sleep(RNG.uniform(0, 0.3))
        self.process.kill()
        self.process.wait(SECONDS)
        self.peer.close()

    def judge(self, *names):
        """Leaks are what a crash may leave; the disk reads as before."""
        for name in names:
            if os.path.exists(self.path(name)):
                checked = subprocess.run(["qemu-img", "check", "-f", "qcow2", self.path(name)],
                                         capture_output=True, text=True, check=False)
                self.assertIn(checked.returncode, (0, 3), checked.stdout + checked.stderr)
        img("compare", "-f", "raw", "-F", "qcow2", self.path("expect"), self.path("top"))
        for name in ("copy", "top", "mid", "base"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))

    def test_killed(self):
        copy = {"target": self.path("copy"), "format": "qcow2", "sync": "full"}
        for _ in range(KILLS):
            for command, arguments in (
                    ("block-stream", {}), ("block-stream", {"base": self.path("base")}),
                    ("block-commit", {"top": self.path("mid")}), ("block-commit", {}),
                    ("drive-mirror", copy), ("drive-backup", copy)):
                with self.subTest(command=command, arguments=arguments):
                    self.kill_in(command, **arguments)
                    self.judge("base", "mid", "top", "copy")

    def add_fd(self, name, flags, number):
        fd = os.open(self.path(name), flags)
        self.ask("add-fd", (fd,), fdset_id=number)
        os.close(fd)
        return "/dev/fdset/%d" % number

    def test_only_descriptors(self):
        """As the daemon does it: nothing is opened by name, new files come as descriptors."""
        fds, options = [], []
        for number, (name, flags) in enumerate((("base", os.O_RDONLY), ("mid", os.O_RDONLY),
                                                ("top", os.O_RDWR))):
            fd = os.open(self.path(name), flags)
            os.set_inheritable(fd, True)
            fds.append(fd)
            options += ["-add-fd", "fd=%d,set=%d" % (fd, number)]
            node = {"driver": "qcow2", "node-name": name, "read-only": name != "top",
                    "backing": [None, "base", "mid"][number],
                    "file": {"driver": "file", "filename": "/dev/fdset/%d" % number,
                             "read-only": name != "top"}}
            options += ["-blockdev", json.dumps(node)]
        popen = subprocess.Popen
        subprocess.Popen = lambda argv, **more: popen(argv, pass_fds=fds, **more)
        try:
            self.start(*options, "-device", "virtio-blk-pci,drive=top,id=disk")
        finally:
            subprocess.Popen = popen
        self.assertIn("not open for writing", self.refused(
            "block-commit", job_id="c", device="disk", top_node="mid", base_node="base",
            backing_file=self.path("base"))["desc"])
        self.add_fd("base", os.O_RDWR, 0)
        self.ask("block-commit", job_id="c", device="disk", top_node="mid", base_node="base",
                 backing_file=self.path("base"))
        self.assertNotIn("error", self.wait("BLOCK_JOB_COMPLETED"))
        self.ask("blockdev-del", node_name="mid")
        img("create", "-q", "-f", "qcow2", "-u", "-b", self.path("top"), "-F", "qcow2",
            self.path("over"), str(SIZE))
        self.ask("blockdev-add", driver="qcow2", node_name="over", backing=None, file={
            "driver": "file", "filename": self.add_fd("over", os.O_RDWR, 7)})
        self.ask("blockdev-snapshot", node="top", overlay="over")
        self.ask("block-commit", job_id="a", device="over", base_node="top")
        self.wait("BLOCK_JOB_READY")
        self.ask("job-complete", id="a")
        self.assertNotIn("error", self.wait("BLOCK_JOB_COMPLETED"))
        self.assertEqual(self.ask("query-block")[0]["inserted"]["node-name"], "top")
        self.ask("blockdev-del", node_name="over")
        self.end("top")
        self.assertEqual(self.backing("top"), self.path("base"))


if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("skipped: wants /dev/kvm")
    sys.exit(77)
unittest.main(argv=sys.argv[:1], verbosity=2)
