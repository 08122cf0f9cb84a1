#!/usr/bin/python3
"""Cache modes, read-only, discard and detect-zeroes under a stock kernel: what the guest sees, and what
becomes of the image on the host. All disks hang on one guest.

The images lie on ext4, which tells with each extent whether its bytes have a place on the disk or
only in memory (FIEMAP_EXTENT_DELALLOC): with the kernel's own write-back held, that is whether
somebody asked for stable storage.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import fcntl
import hashlib
import os
import re
import struct
import sys

import libvirt

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, GuestShell, TMP, check, gone, guest_xml, run, test, vmm_pid)  # noqa: E402

MIB = 1 << 20
SIZE, DATA = 16 * MIB, 2 * MIB
FS_IOC_FIEMAP, DELALLOC, UNWRITTEN = 0xC020660B, 0x4, 0x800
DISKS = (                         # name, attributes of <driver>, further elements
    ("none", "cache='none'", ""),
    ("writeback", "cache='writeback'", ""),
    ("writethrough", "cache='writethrough'", ""),
    ("directsync", "cache='directsync' io='native'", ""),
    ("unsafe", "cache='unsafe' io='threads'", ""),
    ("readonly", "", "<readonly/>"),
    ("trim", "discard='unmap'", ""),
    ("zeroes", "detect_zeroes='on'", ""),
    ("punched", "discard='unmap' detect_zeroes='unmap'", ""),
)
DEVICE = {name: "/dev/vd" + "abcdefghi"[i] for i, (name, _, _) in enumerate(DISKS)}
IMAGES = os.path.join(TMP, "images")
libvirt.registerErrorHandler(lambda *unused: None, None)


def image(name):
    return os.path.join(IMAGES, name + ".img")


def disk_xml(name, driver, more):
    return """<disk type='file' device='disk'><driver name='qemu' type='raw' %s/><source file='%s'/>
      <target dev='%s' bus='virtio'/><serial>%s</serial>%s</disk>""" % (
          driver, image(name), DEVICE[name][len("/dev/"):], name, more)


def extents(name):
    """(offset, length, flags) of each piece of the image that is more than a hole."""
    room = 512
    with open(image(name), "rb") as file:
        asked = bytearray(struct.pack("=QQLLLL", 0, SIZE, 0, 0, room, 0) + bytes(56 * room))
        fcntl.ioctl(file, FS_IOC_FIEMAP, asked)
    found = []
    for i in range(struct.unpack_from("=L", asked, 20)[0]):
        at, _, length, _, _, flags = struct.unpack_from("=QQQQQL", asked, 32 + 56 * i)
        found.append((at, length, flags))
    return found


def only_in_memory(name, start=0, end=SIZE):
    return any(flags & DELALLOC for at, length, flags in extents(name)
               if at < end and at + length > start)


def used(name):
    return os.stat(image(name)).st_blocks * 512


def digest(name, start=0, length=DATA):
    with open(image(name), "rb") as file:
        file.seek(start)
        return hashlib.sha256(file.read(length)).hexdigest()


def descriptor_flags(pid, name):
    """What the guest's process may do with the image: flags of open(2)."""
    for fd in os.listdir("/proc/%d/fd" % pid):
        if os.readlink("/proc/%d/fd/%s" % (pid, fd)).endswith("/%s.img" % name):
            with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as info:
                return int(re.search(r"flags:\s*(\d+)", info.read())[1], 8)
    return check(False, "the process has not opened " + name)


def prepare():
    os.mkdir(IMAGES)
    run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "lazy_itable_init=1", "/dev/vda")
    run("mount", "/dev/vda", IMAGES)
    for knob in ("dirty_writeback_centisecs", "dirty_expire_centisecs"):
        with open("/proc/sys/vm/" + knob, "w", encoding="ascii") as file:
            file.write("0" if "writeback" in knob else "100000")
    for name, _, _ in DISKS:
        with open(image(name), "wb") as file:
            if name in ("zeroes", "punched", "readonly"):
                file.write(b"\xaa" * 4 * MIB)
                os.fsync(file.fileno())
            file.truncate(SIZE)


class Shell(GuestShell):
    """The guest's shell, and what it does with its disks."""

    def write(self, name, at=0, more=""):
        """DATA bytes, past the guest's own cache, at @at MiB."""
        self.run("dd if=/tmp/data of=%s bs=64k seek=%d oflag=direct%s 2>/dev/null"
                 % (DEVICE[name], at * 16, more))

    def zero(self, name, count):
        self.run("dd if=/dev/zero of=%s bs=1M count=%d oflag=direct 2>/dev/null"
                 % (DEVICE[name], count))


def modes(shell, pid):
    want = shell.run("dd if=/dev/urandom of=/tmp/data bs=64k count=%d 2>/dev/null; sha256sum /tmp/data"
                     % (DATA >> 16)).split()[0]
    names = ["none", "writeback", "writethrough", "directsync", "unsafe"]
    with test("every disk is the one its serial says"):
        out = shell.run("for f in /sys/block/vd?/serial /sys/block/vd?/queue/write_cache; do"
                        " echo $(cat $f); done").splitlines()
        check(out[:9] == [name for name, _, _ in DISKS], str(out))
    with test("the guest is told of a write cache where there is one"):
        told = dict(zip((name for name, _, _ in DISKS), out[9:]))
        for name in names:
            through = name in ("writethrough", "directsync")
            check(told[name] == ("write through" if through else "write back"), str(told))
    with test("what is written in each cache mode is read again, by guest and host"):
        for name in names:
            shell.write(name)
            check(digest(name) == want, name + ": the image has other bytes")
        out = shell.run("for d in a b c d e; do dd if=/dev/vd$d bs=64k count=%d iflag=direct 2>/dev/null"
                        " | sha256sum; done" % (DATA >> 16))
        check(out.count(want) == 5, out)
    with test("none and directsync go past the host's cache, the others through it"):
        for name in names:
            direct = bool(descriptor_flags(pid, name) & os.O_DIRECT)
            check(direct == (name in ("none", "directsync")), name)
    with test("writethrough and directsync are on stable storage at once"):
        for name in ("writethrough", "directsync"):
            check(extents(name) and not only_in_memory(name), "%s: %s" % (name, extents(name)))
    with test("writeback is on stable storage after the guest's flush, and not before"):
        check(only_in_memory("writeback"), "it was flushed before: %s" % extents("writeback"))
        shell.write("writeback", more=" conv=fsync,notrunc")
        check(not only_in_memory("writeback"), "the guest's flush was ignored")
    with test("unsafe ignores the guest's flush"):
        shell.write("unsafe", more=" conv=fsync,notrunc")
        check(only_in_memory("unsafe"), "it was flushed: %s" % extents("unsafe"))


def space(shell, pid):
    with test("a read-only disk says so, refuses writes, and is open for reading only"):
        check(shell.run("blockdev --getro " + DEVICE["readonly"]) == "1", "the guest may write")
        shell.run("dd if=/tmp/data of=%s bs=64k oflag=direct 2>/dev/null" % DEVICE["readonly"], 1)
        check(digest("readonly", 0, 4 * MIB) == hashlib.sha256(b"\xaa" * 4 * MIB).hexdigest(), "it changed")
        check(descriptor_flags(pid, "readonly") & os.O_ACCMODE == os.O_RDONLY, "open for writing")
    with test("discard=unmap gives space back, and its place reads as zeroes"):
        shell.write("trim")
        shell.write("trim", at=4)
        before = used("trim")
        shell.run("blkdiscard -o 0 -l %d %s" % (DATA, DEVICE["trim"]))
        check(before - used("trim") >= DATA, "%d bytes before, %d after" % (before, used("trim")))
        check(digest("trim") == hashlib.sha256(bytes(DATA)).hexdigest(), "something else is there")
        check(digest("trim", 4 * MIB) == digest("writeback"), "what was not discarded is gone")
    with test("a disk without it offers no discard"):
        check(shell.run("cat /sys/block/vdb/queue/discard_max_bytes") == "0", "it does")
    with test("detect_zeroes=on keeps the space but writes no zeroes"):
        before = used("zeroes")
        shell.zero("zeroes", 2)
        check(used("zeroes") == before, "%d bytes before, %d after" % (before, used("zeroes")))
        check(digest("zeroes") == hashlib.sha256(bytes(DATA)).hexdigest(), "no zeroes there")
        pieces = [e for e in extents("zeroes") if e[0] < DATA]
        check(all(flags & UNWRITTEN for _, _, flags in pieces), "they were written: %s" % pieces)
    with test("detect_zeroes=unmap gives the space back"):
        before = used("punched")
        shell.zero("punched", 2)
        check(before - used("punched") >= DATA, "%d bytes before, %d after" % (before, used("punched")))
        check(digest("punched", DATA) == hashlib.sha256(b"\xaa" * DATA).hexdigest(), "too much is gone")
    with test("zeroes are written as they are without it"):
        shell.zero("none", 1)
        check(not any(flags & UNWRITTEN for at, _, flags in extents("none") if at < MIB), "not written")


with Daemon():
    prepare()
    try:
        link = libvirt.open("qemu:///system")
        domain = link.defineXML(guest_xml("disks", devices="".join(disk_xml(*d) for d in DISKS)))
        domain.create()
        process = vmm_pid("disks")
        guest = Shell("disks")
        modes(guest, process)
        space(guest, process)
        with test("what was not flushed is, when the guest is destroyed; but not with unsafe"):
            guest.write("writeback", at=8)
            check(only_in_memory("writeback"), "it was flushed before")
            guest.console.close()
            domain.destroy()
            gone("disks")
            check(not only_in_memory("writeback"), "the end of the guest left it in memory")
            check(only_in_memory("unsafe"), "unsafe was flushed: %s" % extents("unsafe"))
        domain.undefine()
    finally:
        run("umount", IMAGES)
