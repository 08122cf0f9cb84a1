#!/usr/bin/python3
"""job_kills.py KILN-VMM KILN-VMM-FAULTY KILN-IMG WRITER [--seconds N] [--kills N] [--seed N] - kiln-vmm
killed at random moments, or before a random system call, while a guest (writer.c) writes and flushes
and a block job runs on its disk. The guest's journal lies in its memory, which this program holds as
well. Afterwards no image may be corrupt, and the disk has all that was acknowledged by a flush, or
what came after it.

Exit status 77 (skipped) without a usable /dev/kvm, or without qemu-img.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import collections
import contextlib
import json
import mmap
import os
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SECTOR = 512
SIZE = 4 << 20
PATIENCE = 120
# writer.h
SETTINGS, VERSIONS, DATA, JOURNAL, JOURNAL_END = 0x400000, 0x410000, 0x500000, 0x800000, 0x1fff000
BEGINS, ENDS, DIFFERS = 1, 2, 3
T_IN, T_FLUSH, UNKNOWN, FILL = 0, 4, 0xffffffff, b"\x5a"
DEPTH, LARGEST = 16, 64
MEMORY = 32 << 20


class Wrong(Exception):
    """What is said about a kill after which something was not right."""


class Killed(Exception):
    """kiln-vmm is gone."""


def img(*words):
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


def sector_of(number, version):
    if version == 0:
        return bytes(SECTOR)
    return struct.pack("<II", number, version) + FILL * (SECTOR - 12) + struct.pack("<I", version)


def versions_of(data):
    """What each sector of @data has; None for what no guest wrote as a whole."""
    found = []
    for number in range(len(data) // SECTOR):
        sector = data[number * SECTOR:(number + 1) * SECTOR]
        version = struct.unpack_from("<I", sector, 4)[0]
        found.append(version if sector == sector_of(number, version) else None)
    return found


class Journal:
    """What the guest asked for, and what it was told: for each sector the versions it may have."""

    def __init__(self, memory, before):
        self.before = before
        self.sectors = {}  # number: [(record at which it was done, or None, version)]
        self.floor = {}  # number: the first entry that may still be what the disk has
        self.done = collections.deque()  # (record, number, entry): not yet flushed
        self.requests = self.flushes = self.length = 0
        self.wrong = []
        slots = {}
        for at in range(JOURNAL, JOURNAL_END, 16):
            sector, version, count, slot, kind, event = struct.unpack_from("<IIHBBI", memory, at)
            if event == 0:
                break
            self.length += 1
            if event == BEGINS:
                slots[slot] = self.begin(kind, sector, count, version)
            elif event == ENDS:
                self.end(slots.pop(slot), kind)
            elif event == DIFFERS:
                self.wrong.append("the guest read another sector %d than version %d" % (sector, version))
            else:
                raise Wrong("the guest found no disk")

    def begin(self, kind, sector, count, version):
        entries = []
        for number in range(sector, sector + count) if kind not in (T_IN, T_FLUSH) else ():
            history = self.sectors.setdefault(number, [[-1, self.before[number]]])
            history.append([None, version])
            entries.append((number, len(history) - 1))
        return kind, entries, self.length

    def end(self, request, status):
        kind, entries, begun = request
        self.requests += 1
        if status != 0:
            self.wrong.append("request %d failed with status %d" % (kind, status))
        for number, entry in entries:
            self.sectors[number][entry][0] = self.length
            if status != 0:
                self.sectors[number][entry][1] = UNKNOWN
            self.done.append((self.length, number, entry))
        if kind == T_FLUSH and status == 0:
            self.flushes += 1
            while self.done and self.done[0][0] < begun:
                _, number, entry = self.done.popleft()
                self.floor[number] = entry

    def may_have(self, number):
        history = self.sectors[number]
        allowed = {version for _, version in history[self.floor.get(number, 0):]}
        if UNKNOWN in allowed:
            allowed = {version for _, version in history} | {0}
        return allowed

    def judge(self, data):
        """The first complaint about a disk that reads as @data, or None."""
        found = versions_of(data[:len(self.before) * SECTOR])
        if len(found) < len(self.before):
            return "the disk has %d sectors" % len(found)
        for number, version in enumerate(found):
            if number in self.sectors:
                allowed = self.may_have(number)
            else:
                allowed = {self.before[number]}
            if version not in allowed and UNKNOWN not in (self.before[number],):
                return "sector %d has version %s, not one of %s" % (
                    number, version, sorted(allowed, key=str)[:8])
        return None


class Machine:
    """kiln-vmm with the guest, its memory in hand."""

    def __init__(self, vmm, writer, folder, drive, environment):
        self.path = os.path.join(folder, "qmp")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        words = [vmm, "-S", "-m", str(MEMORY >> 20), "-M", "pc", "-nodefaults", "-display", "none",
                 "-sandbox", "off", "-qmp", "unix:%s,server=on,wait=off" % self.path,
                 "-object", "iothread,id=io", "-kernel", writer, *drive]
        self.process = subprocess.Popen(words, cwd=folder, env=dict(os.environ, **environment),
                                        stderr=subprocess.PIPE)
        self.peer = socket.socket(socket.AF_UNIX)
        self.text, self.events, self.memory = b"", [], None
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self.peer.connect(self.path)
                break
            except OSError as error:
                if self.process.poll() is not None:
                    raise Killed from error
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
        self.take(PATIENCE)
        self.ask("qmp_capabilities")

    def hold_memory(self):
        base = "/proc/%d/fd" % self.process.pid
        for name in os.listdir(base):
            with contextlib.suppress(OSError):
                if "memfd:guest-ram" in os.readlink(os.path.join(base, name)):
                    fd = os.open(os.path.join(base, name), os.O_RDWR)
                    self.memory = mmap.mmap(fd, MEMORY)
                    os.close(fd)
                    return
        raise Killed

    def take(self, timeout):
        """The next message, or None when none comes in time."""
        while b"\n" not in self.text:
            if not select.select([self.peer], [], [], max(timeout, 0))[0]:
                return None
            try:
                data = self.peer.recv(65536)
            except ConnectionResetError as error:
                raise Killed from error
            if not data:
                raise Killed
            self.text += data
        line, self.text = self.text.split(b"\n", 1)
        return json.loads(line)

    def ask(self, command, **arguments):
        """The answer, an error too."""
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            self.peer.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        except OSError as error:
            raise Killed from error
        while True:
            message = self.take(PATIENCE)
            if message is None:
                raise Wrong("no answer to %s" % command)
            if "event" not in message:
                return message
            self.events.append(message)

    def do(self, command, **arguments):
        answer = self.ask(command, **arguments)
        if "return" not in answer:
            raise Wrong("%s: %s" % (command, answer))
        return answer["return"]

    def listen(self, seconds, wanted=None):
        """Keeps events for a while, or until one of the name has come."""
        end = time.monotonic() + seconds
        while True:
            message = self.take(end - time.monotonic())
            if message is None:
                return False
            if "event" in message:
                self.events.append(message)
                if message["event"] == wanted:
                    return True

    def position(self):
        """How many records the journal has."""
        low, high = 0, (JOURNAL_END - JOURNAL) // 16
        while low < high:
            middle = (low + high) // 2
            if struct.unpack_from("<I", self.memory, JOURNAL + 16 * middle + 12)[0]:
                low = middle + 1
            else:
                high = middle
        return low

    def wait_records(self, n, seconds):
        """Until there are @n records; events are kept meanwhile."""
        end = time.monotonic() + seconds
        while self.position() < n and time.monotonic() < end:
            self.listen(0.001)

    def kill(self):
        """Its end, and what it had still said."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        with contextlib.suppress(Killed):
            while True:
                message = self.take(0)
                if message is None:
                    break
                if "event" in message:
                    self.events.append(message)
        self.peer.close()
        text = self.process.stderr.read().decode(errors="replace")
        self.process.stderr.close()
        if self.process.returncode not in (-signal.SIGKILL, 9):
            raise Wrong("kiln-vmm ended by itself with status %d: %s" % (self.process.returncode, text))

    def happened(self, name, **data):
        return any(event["event"] == name and data.items() <= event["data"].items() and
                   "error" not in event["data"] for event in self.events)


class Round:
    """One guest on one disk until the kill. @disk is the image it began with."""

    def __init__(self, run, disk, before):
        self.run, self.rng, self.before = run, run.rng, before
        self.disk = self.other = disk  # other: what may be the disk as well, or is it for sure
        self.sure = True
        self.copies = {}  # point-in-time copies that were completed: the records between which
        self.sizes = set()

    def path(self, name):
        return os.path.join(self.run.folder, name)

    def fresh(self, kind):
        return self.path("%s%d" % (kind, self.run.count()))

    def drive(self):
        rng = self.rng
        cache = rng.choice(("writeback", "writeback", "none"))
        aio = rng.choice(("io_uring", "threads"))
        words = "file=%s,format=qcow2,if=none,id=d,cache=%s,aio=%s,discard=%s,detect-zeroes=%s" % (
            self.disk, cache, aio, rng.choice(("unmap", "unmap", "ignore")),
            rng.choice(("off", "off", "unmap")))
        device = "virtio-blk-pci,drive=d,id=disk" + rng.choice(("", ",iothread=io"))
        return ["-drive", words, "-device", device]

    def begin(self):
        rng = self.rng
        self.by_call = rng.randrange(2)
        environment = {}
        if self.by_call:
            environment["KILN_FAULT"] = "wsz:%d:kill" % int(2 ** rng.uniform(3, 11))
        self.machine = Machine(self.run.faulty if self.by_call else self.run.vmm, self.run.writer,
                               self.run.folder, self.drive(), environment)
        self.machine.hold_memory()
        memory = self.machine.memory
        struct.pack_into("<6I", memory, SETTINGS, rng.getrandbits(32), SIZE // SECTOR,
                         self.run.version, rng.choice((1, 4, DEPTH)), rng.choice((8, LARGEST)),
                         rng.choice((0, 12)))
        struct.pack_into("<%dI" % len(self.before), memory, VERSIONS, *self.before)
        memory[DATA:DATA + DEPTH * LARGEST * SECTOR] = FILL * (DEPTH * LARGEST * SECTOR)

    def play(self, job):
        rng, machine = self.rng, self.machine
        if rng.randrange(2):
            machine.do("block-dirty-bitmap-add", node="disk", name="p%d" % self.run.count(),
                       persistent=True)
        prepare = getattr(self, "prepare_" + job, None)
        if prepare:
            prepare()
        machine.do("cont")
        machine.wait_records(rng.randrange(1, 60), 10)
        getattr(self, "job_" + job)()
        machine.wait_records(machine.position() + int(2 ** rng.uniform(0, 7)), 10)
        machine.listen(rng.uniform(0, 0.02))

    def speed(self):
        return {"speed": self.rng.randrange(1, 64) << 17} if self.rng.randrange(3) == 0 else {}

    def wait_end(self, name):
        """Waits for the job's end, more or less."""
        if self.rng.randrange(3):
            self.machine.listen(self.rng.choice((0.05, 0.3, 2)), name)

    # ---- jobs ----

    def job_stream(self):
        below = self.run.chain(self.disk)[1:]
        base = {"base": self.rng.choice(below[1:])} if len(below) > 1 and self.rng.randrange(2) else {}
        answer = self.machine.ask("block-stream", job_id="j", device="disk", **base, **self.speed())
        self.expect(answer)
        self.wait_end("BLOCK_JOB_COMPLETED")

    def job_commit(self):
        chain = self.run.chain(self.disk)
        if len(chain) < 3:
            return self.job_active()
        answer = self.machine.ask("block-commit", job_id="j", device="disk", top=chain[1],
                                  base=self.rng.choice(chain[2:]), **self.speed())
        self.expect(answer)
        return self.wait_end("BLOCK_JOB_COMPLETED")

    def job_active(self):
        chain = self.run.chain(self.disk)
        if len(chain) < 2:
            return self.job_mirror()
        base = self.rng.choice(chain[1:])
        self.expect(self.machine.ask("block-commit", job_id="j", device="disk", base=base,
                                     **self.speed()))
        return self.change_over(base)

    def job_mirror(self):
        target = self.fresh("mirror")
        options = {"sync": self.rng.choice(("full", "full", "top")), "format": "qcow2"}
        if self.rng.randrange(2):
            options["copy_mode"] = "write-blocking"
        self.expect(self.machine.ask("drive-mirror", job_id="j", device="disk", target=target,
                                     **options, **self.speed()))
        self.change_over(target)

    def job_blockdev_mirror(self):
        target = self.fresh("mirror")
        img("create", "-q", "-f", "qcow2", "-o", self.run.options(), target,
            str(self.run.size_of(self.disk)))
        self.machine.do("blockdev-add", driver="qcow2", node_name="target", discard="unmap",
                        file={"driver": "file", "filename": target})
        self.expect(self.machine.ask("blockdev-mirror", job_id="j", device="disk", target="target",
                                     sync="full", **self.speed()))
        self.change_over(target)

    def change_over(self, target):
        if not self.rng.randrange(4) or not self.machine.listen(
                self.rng.choice((0.1, 2, 5)), "BLOCK_JOB_READY"):
            return
        self.machine.wait_records(self.machine.position() + self.rng.randrange(40), 10)
        self.other, self.sure = target, False
        if "return" not in self.machine.ask("block-job-complete", device="j"):
            self.other, self.sure = self.disk, True
            return
        if self.rng.randrange(2):
            self.machine.listen(2, "BLOCK_JOB_COMPLETED")

    def job_backup(self):
        target = self.fresh("backup")
        self.expect(self.copy("drive-backup", target, job_id="j", device="disk", target=target,
                              sync=self.rng.choice(("full", "top")), format="qcow2",
                              **self.speed()))
        self.wait_end("BLOCK_JOB_COMPLETED")

    def prepare_bitmap(self):
        """What the disk is now, and a bitmap of what changes from here."""
        self.reference = self.fresh("reference")
        self.bitmap = "b%d" % self.run.count()
        img("convert", "-U", "-O", "qcow2", self.disk, self.reference)
        self.machine.do("block-dirty-bitmap-add", node="disk", name=self.bitmap, persistent=True)

    def job_bitmap(self):
        target = self.fresh("backup")
        img("create", "-q", "-f", "qcow2", "-b", self.reference, "-F", "qcow2", target)
        self.machine.do("blockdev-add", driver="qcow2", node_name="target",
                        file={"driver": "file", "filename": target})
        self.expect(self.copy("blockdev-backup", target, job_id="j", device="disk", target="target",
                              sync="incremental", bitmap=self.bitmap, **self.speed()))
        self.wait_end("BLOCK_JOB_COMPLETED")

    def copy(self, command, name, **arguments):
        """A backup: its content is of a moment between these two."""
        first = self.machine.position()
        answer = self.machine.ask(command, **arguments)
        self.copies[name] = (first, self.machine.position())
        return answer

    def job_snapshot(self):
        for _ in range(self.rng.randrange(1, 4)):
            target = self.fresh("over")
            self.other, self.sure = target, False
            self.expect(self.machine.ask("blockdev-snapshot-sync", device="disk",
                                         snapshot_file=target, format="qcow2"))
            self.disk, self.sure = target, True
            self.machine.wait_records(self.machine.position() + self.rng.randrange(30), 10)

    def job_resize(self):
        for _ in range(self.rng.randrange(1, 12)):
            size = SIZE + self.rng.randrange(0, 1 << 17) * 512 * self.rng.randrange(2)
            self.expect(self.machine.ask("block_resize", device="disk", size=size))
            self.machine.wait_records(self.machine.position() + self.rng.randrange(8), 10)

    def expect(self, answer):
        if "return" not in answer:
            raise Wrong("refused: %s" % answer["error"]["desc"])


class Run:
    """Guests on one chain of images, one killed after the other."""
    JOBS = ("stream", "commit", "active", "mirror", "blockdev_mirror", "backup", "bitmap", "snapshot",
            "resize")

    def __init__(self, arguments, folder, rng, figures):
        self.vmm, self.faulty, self.kiln, self.writer = (
            arguments.vmm, arguments.faulty, arguments.kiln, arguments.writer)
        self.folder, self.rng, self.figures = folder, rng, figures
        self.names, self.version = 0, 1
        self.disk = self.make()

    def count(self):
        self.names += 1
        return self.names

    def options(self):
        choose = self.rng.choice
        options = "cluster_size=%s" % choose(("512", "4k", "4k", "64k"))
        if choose((0, 0, 1)):
            options += ",lazy_refcounts=on"
        elif choose((0, 0, 0, 1)):
            options = "cluster_size=16k,extended_l2=on"
        return options

    def make(self):
        """A chain of one to three images whose parts guests might have written."""
        below, disk = None, bytearray(SIZE)
        for depth in range(self.rng.randrange(1, 4)):
            path = os.path.join(self.folder, "image%d" % depth)
            words = ["create", "-q", "-f", "qcow2", "-o", self.options()]
            img(*words, *(["-b", below, "-F", "qcow2"] if below else []), path, str(SIZE))
            commands = []
            for _ in range(6):
                count = self.rng.randrange(1, 600)
                at = self.rng.randrange(SIZE // SECTOR - count)
                data = b"".join(sector_of(at + i, self.version) for i in range(count))
                self.version += 1
                part = os.path.join(self.folder, "part%d" % len(commands))
                with open(part, "wb") as stream:
                    stream.write(data)
                commands += ["-c", "write -s %s %d %d" % (part, at * SECTOR, len(data))]
            subprocess.run(["qemu-io", "-f", "qcow2", *commands, path], check=True,
                           stdout=subprocess.DEVNULL)
            below = path
        return below

    def info(self, name):
        return json.loads(img("info", "-U", "--output=json", name))

    def size_of(self, name):
        return self.info(name)["virtual-size"]

    def chain(self, name):
        """The image and what it lies on."""
        return [entry["filename"] for entry in
                json.loads(img("info", "-U", "--backing-chain", "--output=json", name))]

    def content(self, name):
        """As both tools read it."""
        out = os.path.join(self.folder, "content")
        seen = []
        for tool in (self.kiln, "qemu-img"):
            done = subprocess.run([tool, "convert", "-O", "raw", name, out], capture_output=True,
                                  text=True, check=False)
            if done.returncode:
                raise Wrong("%s cannot read %s: %s" % (tool, name, done.stderr))
            with open(out, "rb") as stream:
                seen.append(stream.read())
            os.unlink(out)
        if seen[0] != seen[1]:
            raise Wrong("kiln-img and qemu-img read %s differently" % name)
        return seen[0]

    def check(self, name):
        """Leaks are what a kill may leave, and counts that a dirty bit says are to be made anew."""
        with open(name, "rb") as stream:
            head = stream.read(80)
        if len(head) < 80 or head[:4] != b"QFI\xfb":
            return False
        if head[79] & 1:
            for tool in (self.kiln, "qemu-img"):
                twin = name + ".twin"
                shutil.copy(name, twin)
                subprocess.run([tool, "check", "-q", "-r", "all", "-f", "qcow2", twin], check=False,
                               capture_output=True)
                self.check_with(tool, twin)
                os.unlink(twin)
            return True
        for tool in (self.kiln, "qemu-img"):
            self.check_with(tool, name)
        return True

    def check_with(self, tool, name):
        done = subprocess.run([tool, "check", "-f", "qcow2", name], capture_output=True, text=True,
                              check=False)
        if done.returncode not in (0, 3):
            raise Wrong("%s check of %s: status %d\n%s%s" % (
                os.path.basename(tool), os.path.basename(name), done.returncode, done.stdout,
                done.stderr))

    def judge(self, done):
        """What the images are after the kill; the disk from here on, and its content."""
        machine = done.machine
        self.figures["kills"] += 1
        if machine.memory is None:
            return done.disk
        journal = Journal(machine.memory, done.before)
        self.figures["requests"] += journal.requests
        self.figures["flushes"] += journal.flushes
        if journal.wrong:
            raise Wrong("; ".join(journal.wrong[:4]))
        whole = {name: self.check(os.path.join(self.folder, name)) for name in os.listdir(self.folder)
                 if name.startswith(("image", "mirror", "backup", "reference", "over"))}
        if not done.sure and machine.happened("BLOCK_JOB_COMPLETED", device="j"):
            done.disk, done.sure = done.other, True
            self.figures["changed over"] += 1
        elif machine.happened("BLOCK_JOB_COMPLETED", device="j"):
            self.figures["completed"] += 1
        data = self.content(done.disk)
        complaint = journal.judge(data)
        if complaint and not done.sure and whole.get(os.path.basename(done.other)):
            # between the change of images and the word of it
            done.disk, data = done.other, self.content(done.other)
            complaint = journal.judge(data)
            self.figures["changed over, and not said"] += 1
        if complaint:
            raise Wrong("%s: %s" % (os.path.basename(done.disk), complaint))
        self.judge_copies(done)
        return done.disk

    def judge_copies(self, done):
        for target, (first, last) in done.copies.items():
            if not done.machine.happened("BLOCK_JOB_COMPLETED", device="j"):
                continue
            complaint = moment(done.machine.memory, done.before, first, last).judge(
                self.content(target))
            self.figures["backups compared"] += 1
            if complaint:
                raise Wrong("%s, of records %d to %d: %s" % (os.path.basename(target), first, last,
                                                              complaint))

    def one(self, job):
        before = versions_of(self.content(self.disk)[:SIZE])
        done = Round(self, self.disk, before)
        try:
            done.begin()
            done.play(job)
        except Killed:
            pass
        finally:
            if hasattr(done, "machine"):
                done.machine.kill()
        if not hasattr(done, "machine"):
            return
        self.disk = self.judge(done)
        if done.machine.memory:
            self.version = struct.unpack_from("<I", done.machine.memory, SETTINGS + 8)[0]


def moment(memory, before, first, last):
    """A journal that says what the disk may have had between two records: acknowledged before the
    first, at least; begun before the last, at most."""
    class Cut(Journal):
        def end(self, request, status):
            super().end(request, status)
            if self.length <= first:
                while self.done:
                    _, number, entry = self.done.popleft()
                    self.floor[number] = entry

    part = bytearray(memory)
    part[JOURNAL + 16 * (last + 1):JOURNAL + 16 * (last + 2)] = bytes(16)
    return Cut(part, before)


def main():
    parser = argparse.ArgumentParser()
    for name in ("vmm", "faulty", "kiln", "writer"):
        parser.add_argument(name, type=os.path.abspath)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kills", type=int, default=1 << 30)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0, help="the chain to begin with")
    parser.add_argument("--jobs", nargs="+", default=Run.JOBS, choices=Run.JOBS)
    parser.add_argument("--keep", help="folder for the images of what was not right")
    arguments = parser.parse_args()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not shutil.which("qemu-img"):
        print("skipped: wants /dev/kvm and qemu-img")
        return 77
    figures, wrong = collections.Counter(), []
    end = time.monotonic() + arguments.seconds
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    chain, jobs = arguments.first, []
    while time.monotonic() < end and figures["kills"] < arguments.kills:
        rng = random.Random("%d/%d" % (arguments.seed, chain))
        chain += 1
        with tempfile.TemporaryDirectory(prefix="kiln-kills-", dir=place) as folder:
            run = Run(arguments, folder, rng, figures)
            job = None
            try:
                for _ in range(rng.randrange(2, 5)):
                    jobs = jobs or rng.sample(arguments.jobs, len(arguments.jobs))
                    job = jobs.pop()
                    run.one(job)
                    if time.monotonic() > end:
                        break
            except Wrong as reason:
                wrong.append("seed %d/%d, %s: %s" % (arguments.seed, chain - 1, job, reason))
                print("not right: " + wrong[-1], flush=True)
                if arguments.keep:
                    shutil.copytree(folder, os.path.join(arguments.keep, "%d-%d-%s" % (
                        arguments.seed, chain - 1, job)),
                                    ignore=shutil.ignore_patterns("qmp"), dirs_exist_ok=True)
    print("%d wrong; %s" % (len(wrong), ", ".join("%s %d" % item for item in figures.items())))
    return 1 if wrong or not figures["kills"] else 0


sys.exit(main())
