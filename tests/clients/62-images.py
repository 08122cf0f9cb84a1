#!/usr/bin/python3
"""62-images - disks in qcow2 through python3-libvirt: GRUB booted from an overlay, the chain as the
live XML tells it, sizes, and the names in images that are not followed.

Skips without qemu-img (Debian package qemu-utils) or GRUB's rescue image (grub-rescue-pc).
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import subprocess
import sys
import time

import libvirt

from daemon import Daemon, run

GRUB = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
XML = """<domain type='kvm'>
  <name>layers</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='{top}'/>{store}
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{serial}'/></serial>
  </devices>
</domain>
"""


def qemu_img(*words):
    subprocess.run(["qemu-img", *words], check=True)


def boots(conn, xml, serial):
    if os.path.exists(serial):
        os.unlink(serial)
    dom = conn.createXML(xml)
    until = time.monotonic() + 60
    while not os.path.exists(serial) or b"GRUB loading" not in open(serial, "rb").read():
        assert time.monotonic() < until, "GRUB does not come"
        time.sleep(0.1)
    return dom


def refused(conn, xml, part):
    try:
        conn.createXML(xml)
    except libvirt.libvirtError as err:
        assert part in str(err), err
        return
    raise AssertionError("it was not refused")


def images():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        base, top, serial = (os.path.join(daemon.root, n) for n in ("base.qcow2", "top.qcow2", "serial"))
        qemu_img("convert", "-q", "-f", "raw", "-O", "qcow2", "-c", GRUB, base)
        qemu_img("resize", "-q", base, "64M")
        qemu_img("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", top)

        dom = boots(conn, XML.format(top=top, serial=serial, store=""), serial)
        live = dom.XMLDesc()
        assert "<source file='%s'" % base in live and "<backingStore/>" in live, live
        assert dom.blockInfo("vda")[0] == 64 << 20, dom.blockInfo("vda")
        assert dom.blockInfo("vda")[2] < 1 << 20
        dom.destroy()
        qemu_img("check", "-q", top)

        store = ("<backingStore type='file'><format type='qcow2'/><source file='%s'/><backingStore/>"
                 "</backingStore>" % base)
        boots(conn, XML.format(top=top, serial=serial, store=store), serial).destroy()

        qemu_img("rebase", "-u", "-f", "qcow2", "-b", "nbd://localhost/x", "-F", "raw", top)
        refused(conn, XML.format(top=top, serial=serial, store=""), "nbd://localhost/x")
        boots(conn, XML.format(top=top, serial=serial, store=store), serial).destroy()
        with open(top, "r+b") as image:
            image.seek(36)  # entries of the L1 table
            image.write(b"\xff" * 4)
        refused(conn, XML.format(top=top, serial=serial, store=""), "qcow2 image")


if __name__ == "__main__":
    why = ("no /dev/kvm for this user" if not os.access("/dev/kvm", os.R_OK | os.W_OK) else
           "qemu-utils or grub-rescue-pc is not installed"
           if not shutil.which("qemu-img") or not os.access(GRUB, os.R_OK) else None)
    if why:
        print("skip images - " + why)
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([images])
