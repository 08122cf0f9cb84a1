#!/usr/bin/python3
"""61-encrypted - snapshots of guests on encrypted disks, stopped and running: inside the images, and outside with new
images that are encrypted or not; made, gone back to, and merged again. Data are looked at with the secrets.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import importlib
import json
import os
import sys

import libvirt

from daemon import event_loop, guest_of, refused, run

snapshots = importlib.import_module("72-snapshots")
DISK_ONLY, UNSUPPORTED = snapshots.DISK_ONLY, snapshots.UNSUPPORTED
REUSE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
VALUES = {"10000000-0000-4000-8000-000000000001": "opens-the-old", "20000000-0000-4000-8000-000000000002": "opens-the-new"}
OLD, NEW = VALUES
SECRET = "<secret ephemeral='yes' private='yes'><uuid>%s</uuid></secret>"
XML = """<domain type='kvm'>
  <name>snap</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><cmdline>k</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='{form}'/><source file='{disk}'>{encryption}</source>
      <target dev='vda' bus='virtio'/></disk>
    <serial type='file'><source path='{serial}' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def encryption(uuid):
    return "<encryption format='luks'><secret type='passphrase' uuid='%s'/></encryption>" % uuid


class Guest(snapshots.Guest):
    """Images are lists, the uppermost first, of (path, format, uuid of the secret or None)."""

    def __init__(self, daemon, form):
        self.daemon, self.events = daemon, []
        self.disk = os.path.join(daemon.root, "disk." + form)
        self.base = (self.disk, form, OLD)
        options = "key-secret=%s" if form == "raw" else "encrypt.format=luks,encrypt.key-secret=%s"
        self.img("create", "-q", "-f", "luks" if form == "raw" else form, *self.keys(), "-o",
                 (options + ",%siter-time=10") % ("old", "" if form == "raw" else "encrypt."), self.disk, "1M")
        self.connect()
        for uuid, value in VALUES.items():
            self.conn.secretDefineXML(SECRET % uuid).setValue(value.encode())
        self.dom = self.conn.defineXML(XML.format(kernel=snapshots.BARE, form=form, disk=self.disk,
                                                  encryption=encryption(OLD), serial=self.serial()))

    @staticmethod
    def keys():
        return ["--object", "secret,id=old,data=" + VALUES[OLD], "--object", "secret,id=new,data=" + VALUES[NEW]]

    @staticmethod
    def name(layers):
        whole = None
        for path, form, uuid in reversed(layers):
            key = {OLD: "old", NEW: "new"}.get(uuid)
            image = {"driver": "luks" if form == "raw" and uuid else form, "file": {"driver": "file", "filename": path}}
            if key and form == "raw":
                image["key-secret"] = key
            elif key:
                image["encrypt"] = {"format": "luks", "key-secret": key}
            if whole:
                image["backing"] = whole
            whole = image
        return "json:" + json.dumps(whole)

    def write(self, text, *layers):
        whole = os.path.join(self.daemon.root, "whole")
        self.img("convert", *self.keys(), "-O", "raw", self.name(layers), whole)
        with open(whole, "r+b") as file:
            assert os.path.getsize(whole) == 1 << 20, os.path.getsize(whole)
            file.write(text.encode().ljust(512, b"."))
        self.img("convert", *self.keys(), "-n", "--image-opts", "driver=raw,file.filename=" + whole,
                 "--target-image-opts", ",".join(flat(json.loads(self.name(layers)[len("json:"):]))))

    def holds(self, *layers):
        whole = os.path.join(self.daemon.root, "whole")
        self.img("convert", *self.keys(), "-O", "raw", self.name(layers), whole)
        with open(whole, "rb") as file:
            return file.read(512).rstrip(b".").decode()

    def sealed(self, behind, form):
        """A new image with a secret of its own, made beforehand with keys that are weak and quick."""
        path = os.path.join(self.daemon.root, "sealed")
        self.img("create", "-q", "-f", "qcow2", *self.keys(), "-o",
                 "encrypt.format=luks,encrypt.key-secret=new,encrypt.iter-time=10", "-F", form, "-b", behind, path)
        return path, "<disks><disk name='vda' snapshot='external'><source file='%s'>%s</source></disk></disks>" % (
            path, encryption(NEW))

    def is_encrypted(self, path):
        return json.loads(self.img("info", "-U", "--output=json", path)).get("encrypted", False)

    def encryptions(self, flags=0):
        return self.dom.XMLDesc(flags | libvirt.VIR_DOMAIN_XML_SECURE).count("<encryption")


def flat(options, prefix=""):
    for key, value in options.items():
        if isinstance(value, dict):
            yield from flat(value, prefix + key + ".")
        else:
            yield "%s%s=%s" % (prefix, key, value)


def guest(form):
    return guest_of(lambda daemon: Guest(daemon, form))


def snapshots_are_inside_encrypted_images():
    with guest("qcow2") as one:
        one.write("first", one.base)
        first = one.make("one")
        one.write("second", one.base)
        one.dom.revertToSnapshot(first)
        assert one.holds(one.base) == "first" and one.in_image() == ["one"]
        one.dom.create()
        one.goes_on()
        live = one.make("live")
        one.goes_on()
        one.dom.revertToSnapshot(live)
        assert one.dom.info()[0] == libvirt.VIR_DOMAIN_RUNNING
        one.goes_on()
        second = one.make("second")
        live.delete()
        one.dom.destroy()
        assert one.in_image() == ["one", "second"]
        second.delete()
        first.delete()
        assert one.in_image() == [] and one.holds(one.base) == "first"


def new_images_lie_on_encrypted_ones():
    with guest("raw") as one:
        one.write("base", one.base)
        refused(UNSUPPORTED, one.make, "inside")
        first = one.make("e1", DISK_ONLY)
        over = (one.source(), "qcow2", None)
        assert not one.is_encrypted(over[0]) and one.encryptions(libvirt.VIR_DOMAIN_XML_INACTIVE) == 1
        one.write("changed", over, one.base)
        # the same of one that runs, with a new image that has a secret of its own
        path, more = one.sealed(over[0], "qcow2")
        one.dom.create()
        one.goes_on()
        refused(libvirt.VIR_ERR_XML_ERROR, one.make, "no", 0,
                "<disks><disk name='vda' snapshot='no'><source>%s</source></disk></disks>" % encryption(NEW))
        second = one.make("e2", DISK_ONLY | REUSE, more)
        one.judge(second)
        assert one.source() == path and one.is_encrypted(path)
        assert one.encryptions() == one.encryptions(libvirt.VIR_DOMAIN_XML_INACTIVE) == 2
        one.goes_on()
        one.dom.destroy()
        sealed = (path, "qcow2", NEW)
        assert one.holds(sealed, over, one.base) == "changed"
        one.write("sealed", sealed, over, one.base)
        # gone back to: the newest image, which the daemon makes, has the secret too
        one.dom.revertToSnapshot(second)
        assert one.source() != path and one.is_encrypted(one.source())
        assert one.holds((one.source(), "qcow2", NEW), over, one.base) == "changed"
        second.delete(snapshots.METADATA)
        third = one.make("e3", DISK_ONLY)
        third.delete()
        one.dom.create()
        one.goes_on()
        one.dom.destroy()
        assert first.getName() in one.names()


def encrypted_images_are_merged():
    with guest("raw") as one:
        one.write("base", one.base)
        path, more = one.sealed(one.disk, "luks")
        first = one.make("e1", DISK_ONLY | REUSE, more)
        sealed = (path, "qcow2", NEW)
        one.write("sealed", sealed, one.base)
        second = one.make("e2", DISK_ONLY)
        over = (one.source(), "qcow2", None)
        one.write("over", over, sealed, one.base)
        # in the middle of a chain, nobody running
        first.delete()
        assert one.names() == ["e2"] and not os.path.exists(path)
        assert one.holds(one.base) == "sealed" and one.holds(over, one.base) == "over"
        one.dom.create()
        one.goes_on()
        second.delete()
        one.goes_on()
        assert one.source() == one.source(libvirt.VIR_DOMAIN_XML_INACTIVE) == one.disk
        one.dom.destroy()
        assert one.holds(one.base) == "over" and one.encryptions(libvirt.VIR_DOMAIN_XML_INACTIVE) == 1
        one.dom.create()
        one.goes_on()


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skip encrypted - no /dev/kvm for this user")
        sys.exit(0)
    tests = [snapshots_are_inside_encrypted_images, new_images_lie_on_encrypted_ones, encrypted_images_are_merged]
    libvirt.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run([test for test in tests if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]])
