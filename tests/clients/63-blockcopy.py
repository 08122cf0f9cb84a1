#!/usr/bin/python3
"""63-blockcopy - the disks of a running guest copied to other places by virsh and python3-libvirt: all of
it and what lies on top only, given up and changed over to, with <mirror> and events.

Skips without qemu-img (Debian package qemu-utils).
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import subprocess
import sys

import libvirt

from daemon import Daemon, event_loop, refused, run, wait_for

SECONDS = 120
XML = """<domain type='kvm'>
  <name>copied</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='{top}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""
DEST = "<disk type='file'><driver type='%s'/><source file='%s'/></disk>"


def qemu_img(*words):
    return subprocess.run(["qemu-img", *words], check=True, capture_output=True, text=True).stdout


def flows(daemon, conn):
    path = {n: os.path.join(daemon.root, n) for n in ("base", "top", "whole", "raw", "thin", "old")}
    qemu_img("create", "-q", "-f", "qcow2", path["base"], "8M")
    subprocess.run(["qemu-io", "-c", "write -P 7 1M 2M", path["base"]], check=True,
                   capture_output=True)
    qemu_img("create", "-q", "-f", "qcow2", "-b", path["base"], "-F", "qcow2", path["top"])
    subprocess.run(["qemu-io", "-c", "write -P 9 2M 2M", path["top"]], check=True,
                   capture_output=True)
    qemu_img("convert", "-O", "raw", path["top"], path["old"])
    dom = conn.defineXML(XML.format(top=path["top"]))
    dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    seen = []
    conn.domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
                                lambda conn, dom, disk, kind, status, opaque:
                                seen.append((disk, kind, status)), None)
    ready = ("vda", libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY, libvirt.VIR_DOMAIN_BLOCK_JOB_READY)
    transient = libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB

    refused(libvirt.VIR_ERR_OPERATION_INVALID, "not transient", dom.blockCopy, "vda",
            DEST % ("qcow2", path["whole"]), {}, 0)
    refused(libvirt.VIR_ERR_INVALID_ARG, "vdz", dom.blockCopy, "vdz",
            DEST % ("qcow2", path["whole"]), {}, transient)
    refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "already exists", dom.blockCopy, "vda",
            DEST % ("qcow2", path["base"]), {}, transient)
    refused(libvirt.VIR_ERR_SYSTEM_ERROR, "missing destination", dom.blockCopy, "vda",
            DEST % ("qcow2", path["whole"]), {},
            transient | libvirt.VIR_DOMAIN_BLOCK_COPY_REUSE_EXT)
    assert not os.path.exists(path["whole"])

    # a copy that is let go is what the disk was then; the guest stays
    dom.blockCopy("vda", DEST % ("raw", path["raw"]), {"granularity": 65536}, transient)
    wait_for("READY in %s" % seen, lambda: ready in seen)
    live = dom.XMLDesc()
    assert "<mirror type='file' job='copy' ready='yes'>" in live and path["raw"] in live, live
    info = dom.blockJobInfo("vda")
    assert info["type"] == libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY and info["cur"] == info["end"]
    refused(libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, "active block job", dom.blockPull, "vda")
    refused(libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, "active block job", dom.blockResize, "vda", 16 << 10)
    refused(libvirt.VIR_ERR_OPERATION_INVALID, "active block job", dom.save,
            os.path.join(daemon.root, "saved"))
    refused(libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, "active block job", dom.detachDeviceFlags,
            "<disk type='file' device='disk'><source file='%s'/><target dev='vda' bus='virtio'/>"
            "</disk>" % path["top"], libvirt.VIR_DOMAIN_AFFECT_LIVE)
    dom.blockJobAbort("vda")
    assert "<mirror" not in dom.XMLDesc() and path["top"] in dom.XMLDesc()
    qemu_img("compare", "-q", "-f", "raw", "-F", "raw", path["raw"], path["old"])

    # what lies on top, by stock virsh, changed over to
    daemon.virsh("blockcopy", "copied", "vda", path["thin"], "--shallow", "--transient-job",
                 "--wait", "--pivot", "--verbose", timeout=SECONDS)
    live = dom.XMLDesc()
    assert "<mirror" not in live and path["thin"] in live and path["base"] in live, live
    assert path["top"] not in live and path["thin"] in dom.XMLDesc(
        libvirt.VIR_DOMAIN_XML_INACTIVE), live

    # all of it, into an image that was there, whose format is looked at
    qemu_img("create", "-q", "-f", "qcow2", path["whole"], "8M")
    daemon.virsh("blockcopy", "copied", "vda", path["whole"], "--reuse-external",
                 "--transient-job", "--bandwidth", "100", "--wait", "--pivot", timeout=SECONDS)
    live = dom.XMLDesc()
    assert path["whole"] in live and path["base"] not in live and path["thin"] not in live, live
    dom.destroy()
    qemu_img("check", "-q", path["whole"])
    for image in (path["whole"], path["thin"]):
        qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", path["old"], image)
    dom.undefine()


def copies():
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        try:
            flows(daemon, conn)
        finally:
            for dom in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                dom.destroy()
            conn.close()


if __name__ == "__main__":
    why = ("no /dev/kvm for this user" if not os.access("/dev/kvm", os.R_OK | os.W_OK) else
           "qemu-utils is not installed" if not shutil.which("qemu-img") else None)
    if why:
        print("skip copies - " + why)
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([copies])
