#!/usr/bin/python3
"""Disks of a SAN: LUNs with sectors of 512 and of 4096 bytes, by tgt's target and Open-iSCSI, under
kiln-img beside qemu-img and under a guest, past the host's cache; and what becomes of the guest when
the target goes away and comes back.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

import libvirt

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, GuestShell, IMG, TMP, check, fails, guest_xml, run, state, test,  # noqa: E402
                   virsh, vmm_pid, wait_for, write)

MIB = 1 << 20
FILES = os.path.join(TMP, "files")      # on ext4: the tmpfs of this kernel is without O_DIRECT
SIZE = 64 * MIB
PORTAL, TARGET = "127.0.0.1", "iqn.2026-01.test.kiln:disks"
GIVEN_UP = 2                # seconds until the initiator reports an error to those who wait
LUNS = (512, 4096, 512)     # the sectors of each
DISK = """<disk type='block' device='disk'><driver name='qemu' type='%s' cache='none' %s/>
  <source dev='%s'/><target dev='%s' bus='virtio'/>%s</disk>"""
libvirt.registerErrorHandler(lambda *unused: None, None)


# --- the target and the initiator

def tgtadm(*words):
    return run("tgtadm", "--lld", "iscsi", *words)


def iscsiadm(*words):
    return run("iscsiadm", "-m", "node", "-T", TARGET, "-p", PORTAL, *words)


class Target:
    """The target, with its LUNs in files."""

    def __init__(self):
        self.process = None
        for number in range(len(LUNS)):
            with open(self.backing(number), "wb") as file:
                file.truncate(SIZE)

    @staticmethod
    def backing(number):
        return os.path.join(TMP, "lun%d" % number)

    def start(self):
        with open(os.path.join(TMP, "tgtd.log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(["tgtd", "-f", "--iscsi", "portal=" + PORTAL],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("tgtd answers", lambda: subprocess.run(
            ["tgtadm", "--lld", "iscsi", "--op", "show", "--mode", "target"], capture_output=True,
            check=False).returncode == 0, 20)
        tgtadm("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET)
        for number, sector in enumerate(LUNS):
            tgtadm("--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", str(number + 1),
                   "-b", self.backing(number), "--blocksize", str(sector))
        tgtadm("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")

    def kill(self):
        self.process.kill()
        self.process.wait(30)


def device_of(number):
    """The disk that a LUN is, once it is there."""
    for name in os.listdir("/sys/block"):
        link = os.path.realpath("/sys/block/%s/device" % name)
        if link.endswith(":%d" % (number + 1)) and "/session" in link and os.path.exists("/dev/" + name):
            return "/dev/" + name
    return None


@contextlib.contextmanager
def initiator():
    os.makedirs("/run/lock/iscsi", exist_ok=True)
    with open("/etc/iscsi/initiatorname.iscsi", "w", encoding="ascii") as file:
        file.write("InitiatorName=iqn.2026-01.test.kiln:lab\n")
    run("modprobe", "-a", "iscsi_tcp", "sd_mod")
    process = subprocess.Popen(["iscsid", "-f"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        wait_for("a target is found", lambda: TARGET in subprocess.run(
            ["iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", PORTAL], capture_output=True,
            text=True, check=False).stdout, 30)
        iscsiadm("-o", "update", "-n", "node.session.timeo.replacement_timeout", "-v", str(GIVEN_UP))
        iscsiadm("--login")
        yield [wait_for("LUN %d" % number, lambda number=number: device_of(number), 30)
               for number in range(len(LUNS))]
    finally:
        subprocess.run(["iscsiadm", "-m", "node", "-T", TARGET, "-p", PORTAL, "--logout"], check=False)
        process.kill()
        process.wait(30)


# --- kiln-img

def sector_of(device):
    return int(run("blockdev", "--getss", device))


def make_source():
    path = os.path.join(FILES, "source")
    with open(path, "wb") as file:
        for place in (0, 5 * MIB, 5 * MIB + 4608, 39 * MIB):
            file.seek(place)
            file.write(os.urandom(300 * 1024))
        file.truncate(40 * MIB)
    return path


def info(tool, device, fmt):
    return json.loads(run(tool, "info", "-f", fmt, "--output=json", device))


def images(devices):
    source = make_source()
    with test("the LUNs have the sectors that they were given"):
        check([sector_of(device) for device in devices] == list(LUNS), str(devices))
    for device, sector in zip(devices[:2], LUNS):
        with test("raw on a LUN with sectors of %d bytes: converted to it and from it" % sector):
            for cache in ("none", "writeback"):
                run("blkdiscard", "-z", device)
                run(IMG, "convert", "-n", "-t", cache, "-T", cache, "-f", "raw", "-O", "raw", source, device)
                with open(source, "rb") as file, open(device, "rb") as disk:
                    check(file.read() == disk.read(40 * MIB) and not any(disk.read()), "other bytes")
                back = source + ".back"
                run(IMG, "convert", "-T", cache, "-f", "raw", "-O", "qcow2", device, back)
                run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", device, back)
                run(IMG, "compare", "-T", cache, "-f", "raw", "-F", "qcow2", device, back)
            ours, theirs = info(IMG, device, "raw"), info("qemu-img", device, "raw")
            check({k: ours.get(k) for k in theirs} == theirs and ours["virtual-size"] == SIZE,
                  "%s\n%s" % (ours, theirs))
        with test("qcow2 on a LUN with sectors of %d bytes" % sector):
            run(IMG, "create", "-f", "qcow2", device, "48M")
            check(info("qemu-img", device, "qcow2")["virtual-size"] == 48 * MIB, "another size")
            for tool, other in ((IMG, "qemu-img"), ("qemu-img", IMG)):
                run(tool, "convert", "-t", "none", "-f", "raw", "-O", "qcow2", source, device)
                run(other, "check", "-f", "qcow2", device)
                run(other, "compare", "-T", "none", "-f", "raw", "-F", "qcow2", source, device)
            fails(IMG, "create", "-f", "raw", device, "128M", expect="'%s'.*67108864" % device)


# --- a guest

class Events:
    """What the daemon tells of errors: (disk, action, reason), from a thread."""

    def __init__(self):
        self.seen = []
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._run, daemon=True).start()
        self.link = libvirt.open("qemu:///system")
        self.link.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._told, None)

    @staticmethod
    def _run():
        while True:
            libvirt.virEventRunDefaultImpl()

    def _told(self, _link, _domain, path, alias, action, reason, _opaque):
        print("event:", path, alias, action, reason, flush=True)
        self.seen.append((path, action, reason))


def guest_devices(devices):
    plain, large, other = devices
    blockio = "<blockio logical_block_size='4096' physical_block_size='4096'/>"
    return "".join((DISK % ("raw", "error_policy='stop'", plain, "vda", ""),
                    DISK % ("raw", "io='native' error_policy='report'", large, "vdb", ""),
                    DISK % ("qcow2", "error_policy='stop' rerror_policy='report'", other, "vdc", blockio)))


def contents(shell, devices):
    want = shell.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null; sha256sum /tmp/data")
    want = want.split()[0]
    with test("the guest sees sectors of 512 bytes, and of 4096 where the definition says so"):
        out = shell.run("cat /sys/block/vd[abc]/queue/logical_block_size").split()
        check(out == ["512", "512", "4096"], str(out))
    with test("what a guest writes to a LUN is what it reads again, and what the target has"):
        for name in "abc":
            shell.run("dd if=/tmp/data of=/dev/vd%s bs=64k seek=16 oflag=direct conv=fsync 2>/dev/null" % name)
            out = shell.run("dd if=/dev/vd%s bs=64k skip=16 count=32 iflag=direct 2>/dev/null | sha256sum" % name)
            check(out.split()[0] == want, "vd%s: %s" % (name, out))
        for number in (0, 1):
            with open(Target.backing(number), "rb") as file:
                file.seek(MIB)
                check(hashlib.sha256(file.read(2 * MIB)).hexdigest() == want, "LUN %d" % number)
    with test("a write of one sector of 512 bytes changes its neighbours in the LUN's sector not"):
        shell.run("head -c 512 /dev/zero | tr '\\0' k > /tmp/one")
        for place in (2048, 2051, 2055, 4095):
            shell.run("dd if=/tmp/one of=/dev/vdb bs=512 seek=%d count=1 oflag=direct conv=fsync 2>/dev/null"
                      % place)
        with open(Target.backing(1), "rb") as file, open(Target.backing(0), "rb") as plain:
            file.seek(MIB)
            plain.seek(MIB)
            expected = bytearray(plain.read(2 * MIB))
            for place in (2048, 2051, 2055, 4095):
                at = place * 512 - MIB
                expected[at:at + 512] = b"k" * 512
            check(file.read(2 * MIB) == expected, "the neighbours")
        out = shell.run("dd if=/dev/vdb bs=512 skip=2051 count=1 iflag=direct 2>/dev/null | cmp - /tmp/one; echo $?")
        check(out == "0", out)
    with test("a LUN in use is refused to another guest"):
        xml = guest_xml("second", devices=DISK % ("raw", "", devices[0], "vda", ""))
        fails("virsh", "-c", "qemu:///system", "create", write("second.xml", xml),
              expect="in use by domain 'on-lun'")
        fails("qemu-io", "-f", "raw", "-c", "write 0 512", devices[0], expect="Failed to get")
        fails(IMG, "info", "-f", "qcow2", devices[2], expect="in use by another process")


def gone_and_back(shell, devices, target, events):
    pid = vmm_pid("on-lun")
    shell.run("echo 3 > /proc/sys/vm/drop_caches")
    with test("target away, error_policy=report: the guest gets the error, and goes on"):
        target.kill()
        time.sleep(GIVEN_UP)
        shell.run("dd if=/tmp/data of=/dev/vdb bs=4096 count=1 oflag=direct 2>/dev/null", 1)
        check(state("on-lun") == "running" and vmm_pid("on-lun") == pid, state("on-lun"))
        wait_for("the event", lambda: (devices[1], libvirt.VIR_DOMAIN_EVENT_IO_ERROR_REPORT, "")
                 in events.seen, 10)
        shell.run("dd if=/dev/vdc of=/dev/null bs=4096 skip=300 count=1 iflag=direct 2>/dev/null", 1)
        check(state("on-lun") == "running", "rerror_policy did not count")
    with test("target away, error_policy=stop: the guest is paused, with the reason"):
        shell.console.send("dd if=/tmp/data of=/dev/vda bs=64k seek=200 oflag=direct conv=fsync; echo done $?\n")
        wait_for("the guest stops", lambda: state("on-lun") == "paused", 30)
        check("paused (I/O error)" in virsh("domstate", "--reason", "on-lun"), "another reason")
        wait_for("the event", lambda: (devices[0], libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE, "")
                 in events.seen, 10)
        out = virsh("domblkerror", "on-lun")
        check("vda: unspecified error" in out and vmm_pid("on-lun") == pid, out)
        virsh("resume", "on-lun")
        wait_for("it stops again", lambda: state("on-lun") == "paused", 30)
    with test("target back: the guest goes on from where it was, and nothing is lost"):
        target.start()
        wait_for("the session is back", lambda: "LOGGED_IN" in subprocess.run(
            ["iscsiadm", "-m", "session", "-P", "3"], capture_output=True, text=True, check=False).stdout
            and all(device_runs(device) for device in devices), 60)
        virsh("resume", "on-lun")
        shell.console.expect(r"done (\d+)", 60)
        shell.run("dd if=/dev/vda bs=64k skip=200 count=32 iflag=direct 2>/dev/null | cmp - /tmp/data")
        shell.run("dd if=/tmp/data of=/dev/vdb bs=4096 count=1 oflag=direct 2>/dev/null")
        check(state("on-lun") == "running" and "No errors" in virsh("domblkerror", "on-lun"), "errors are left")


def device_runs(device):
    with open("/sys/block/%s/device/state" % os.path.basename(device), encoding="ascii") as file:
        return file.read().strip() == "running"


def guest(devices, target):
    run(IMG, "create", "-f", "qcow2", devices[2], "48M")
    for device in devices[:2]:
        run("blkdiscard", "-z", device)
    virsh("define", write("guest.xml", guest_xml("on-lun", devices=guest_devices(devices))))
    events = Events()
    virsh("start", "on-lun")
    try:
        shell = GuestShell("on-lun")
        contents(shell, devices)
        gone_and_back(shell, devices, target, events)
        shell.console.close()
    finally:
        virsh("destroy", "on-lun")
        virsh("undefine", "on-lun")
    with test("after the guest the image on the LUN is whole"):
        run("qemu-img", "check", "-f", "qcow2", devices[2])
        run(IMG, "check", "-f", "qcow2", devices[2])
        run(IMG, "convert", "-f", "qcow2", "-O", "raw", devices[2], os.path.join(TMP, "flat"))
        with open(os.path.join(TMP, "flat"), "rb") as file, open(devices[0], "rb") as plain:
            file.seek(MIB)
            plain.seek(MIB)
            check(file.read(2 * MIB) == plain.read(2 * MIB), "other bytes")


run("mkfs.ext4", "-q", "/dev/vda")
os.mkdir(FILES)
run("mount", "/dev/vda", FILES)
san = Target()
san.start()
with initiator() as disks, Daemon():
    images(disks)
    guest(disks, san)
san.kill()
run("umount", FILES)
