#!/usr/bin/python3
"""64-blockjobs - images under a running guest: pulled, committed and made larger by virsh and
python3-libvirt, with the live XML and the events that go with it.

Skips without qemu-img (Debian package qemu-utils) or GRUB's rescue image (grub-rescue-pc).
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from xml.etree import ElementTree

import libvirt

from daemon import Daemon, event_loop, refused, run, wait_for

GRUB = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
SECONDS = 120
XML = """<domain type='kvm'>
  <name>layers</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='{top}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{serial}'/></serial>
  </devices>
</domain>
"""


def qemu_img(*words):
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


def backing_of(path):
    """The name that the image has of the one it lies on."""
    return json.loads(qemu_img("info", "-U", "--output=json", path)).get("backing-filename")


def mirror_of(dom, flags=0):
    return ElementTree.fromstring(dom.XMLDesc(flags)).find("devices/disk/mirror")


class Events:
    """A thread that collects events of block jobs."""

    def __init__(self, conn, dom):
        self.seen, self.fills = [], []
        conn.domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD, self.take_fill,
                                    None)
        conn.domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, self.take, None)

    def take(self, conn, dom, disk, kind, status, opaque):
        self.seen.append((disk, kind, status))

    def take_fill(self, conn, dom, dev, path, threshold, excess, opaque):
        self.fills.append((dev, path, threshold, excess))

    def forget(self):
        self.seen = []

    def wait(self, event):
        until = time.monotonic() + SECONDS
        while event not in self.seen:
            assert time.monotonic() < until, (event, self.seen)
            time.sleep(0.05)


def chain_of(dom):
    """The sources in the live XML's one disk, its own first."""
    text = dom.XMLDesc()
    disk = text[text.index("<disk "):text.index("</disk>")]
    return [os.path.basename(part.split("'")[0]) for part in disk.split("<source file='")[1:]]


def jobs():
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        path = {n: os.path.join(daemon.root, n) for n in ("base", "low", "mid", "high", "top", "serial")}
        qemu_img("convert", "-q", "-f", "raw", "-O", "qcow2", "-c", GRUB, path["base"])
        qemu_img("resize", "-q", path["base"], "64M")
        for upper, lower in (("low", "base"), ("mid", "low"), ("high", "mid"), ("top", "high")):
            qemu_img("create", "-q", "-f", "qcow2", "-b", lower, "-F", "qcow2", path[upper])
        qemu_img("convert", "-q", "-O", "raw", path["top"], path["base"] + ".raw")
        dom = conn.defineXML(XML.format(top=path["top"], serial=path["serial"]))
        dom.create()
        assert "block.0.allocation=0\n" in daemon.virsh("domstats", "layers", "--block")  # nothing is written
        events = Events(conn, dom)
        wait_for("the guest", lambda: os.path.exists(path["serial"]) and
                 b"GRUB loading" in open(path["serial"], "rb").read())
        assert chain_of(dom) == ["top", "high", "mid", "low", "base"], dom.XMLDesc()
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.blockPull, "vdz")
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.blockJobAbort, "vda")
        assert dom.blockJobInfo("vda") in ({}, None)

        # what is between goes down, by stock virsh; names stay relative, and the file goes
        daemon.virsh("blockcommit", "layers", "vda", "--top", path["mid"], "--base", path["low"],
                     "--keep-relative", "--delete", "--wait", "--verbose", timeout=SECONDS)
        events.wait(("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT,
                     libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED))
        assert chain_of(dom) == ["top", "high", "low", "base"], dom.XMLDesc()
        assert not os.path.exists(path["mid"])
        assert backing_of(path["high"]) == "low"
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.blockRebase, "vda", None, 0,
                libvirt.VIR_DOMAIN_BLOCK_REBASE_RELATIVE)
        daemon.virsh("blockpull", "layers", "vda", "--base", path["low"], "--keep-relative", "--wait",
                     timeout=SECONDS)
        wait_for("the pull's end", lambda: chain_of(dom) == ["top", "low", "base"])
        assert backing_of(path["top"]) == "low"
        os.unlink(path["high"])

        # the disk's own image too: the guest goes on with what it lay on
        dom.blockCommit("vda", path["low"], None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE)
        mirror = mirror_of(dom)
        assert mirror.get("type") == "file" and mirror.get("job") == "active-commit", dom.XMLDesc()
        assert mirror.find("source").get("file") == path["low"], dom.XMLDesc()
        assert mirror.find("format").get("type") == "qcow2", dom.XMLDesc()
        events.wait(("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT,
                     libvirt.VIR_DOMAIN_BLOCK_JOB_READY))
        assert mirror_of(dom).get("ready") == "yes", dom.XMLDesc()
        assert mirror_of(dom, libvirt.VIR_DOMAIN_XML_INACTIVE) is None
        # given up, the image stays the guest's; then all of it again, to its end
        dom.blockJobAbort("vda", 0)
        assert mirror_of(dom) is None and chain_of(dom) == ["top", "low", "base"], dom.XMLDesc()
        events.forget()
        dom.blockCommit("vda", path["low"], None, 0, libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE |
                        libvirt.VIR_DOMAIN_BLOCK_COMMIT_DELETE)
        events.wait(("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT,
                     libvirt.VIR_DOMAIN_BLOCK_JOB_READY))
        refused(libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, dom.blockPull, "vda")
        assert dom.blockJobInfo("vda")["type"] == libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT
        dom.blockJobAbort("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)
        assert chain_of(dom) == ["low", "base"], dom.XMLDesc()
        assert "file='%s'" % path["low"] in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert mirror_of(dom) is None and not os.path.exists(path["top"])

        # slowly, and given up; then all of it
        dom.blockPull("vda", 1024, libvirt.VIR_DOMAIN_BLOCK_PULL_BANDWIDTH_BYTES)
        dom.blockJobSetSpeed("vda", 2048, libvirt.VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES)
        dom.blockJobAbort("vda", 0)
        events.wait(("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL,
                     libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED))
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.setBlockThreshold, "vdz", 1)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.setBlockThreshold, "vda[77]", 1)
        daemon.virsh("domblkthreshold", "layers", "vda", "524288")
        told = daemon.virsh("domstats", "layers", "--block")
        assert "block.0.threshold=524288\n" in told and "block.1.threshold" not in told, told
        # the images below have their sizes
        assert daemon.virsh("domstats", "layers", "--block", "--backing").count(".capacity=") >= 2
        daemon.virsh("blockpull", "layers", "vda", "--wait", timeout=SECONDS)
        wait_for("the threshold", lambda: len(events.fills) >= 2)
        assert [e[0].split("[")[0] for e in events.fills] == ["vda", "vda"], events.fills
        assert all(e[1:3] == (path["low"], 524288) and e[3] > 0 for e in events.fills), events.fills
        told = daemon.virsh("domstats", "layers", "--block")
        written = int(re.search(r"block\.0\.allocation=(\d+)", told).group(1))
        assert 524288 < written <= os.path.getsize(path["low"]), told
        here = os.stat(path["low"])
        assert dom.blockInfo("vda")[1:] == [here.st_blocks * 512, here.st_size], dom.blockInfo("vda")
        assert "block.0.physical=%d\n" % (here.st_blocks * 512) in told, told
        events.wait(("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL,
                     libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED))
        assert chain_of(dom) == ["low"], dom.XMLDesc()
        os.unlink(path["base"])

        daemon.virsh("blockresize", "layers", "vda", "128M")
        assert dom.blockInfo("vda")[0] == 128 << 20, dom.blockInfo("vda")
        dom.blockResize("vda", 64 << 10, 0)
        dom.destroy()
        qemu_img("check", "-q", path["low"])
        qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", path["base"] + ".raw", path["low"])
        dom.undefine()


if __name__ == "__main__":
    why = ("no /dev/kvm for this user" if not os.access("/dev/kvm", os.R_OK | os.W_OK) else
           "qemu-utils or grub-rescue-pc is not installed"
           if not shutil.which("qemu-img") or not os.access(GRUB, os.R_OK) else None)
    if why:
        print("skip jobs - " + why)
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([jobs])
