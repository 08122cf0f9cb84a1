#!/usr/bin/python3
"""72-snapshots - snapshots of stopped and running guests through the stock bindings: made, listed, gone back to,
deleted, taken up by a new daemon. The guests are small programs; what their disks held is compared.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import libvirt

from daemon import BUILD, event_loop, guest_of, refused, run, wait_for

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
IMG = os.path.abspath(os.path.join(BUILD, "block/img/kiln-img"))
SCHEMA = "/usr/share/libvirt/schemas/domainsnapshot.rng"
XML = """<domain type='kvm'>
  <name>snap</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><cmdline>k</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <serial type='file'><source path='{serial}' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""
DISK_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
REDEFINE, CURRENT = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
INVALID, UNSUPPORTED = libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_CONFIG_UNSUPPORTED
METADATA = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
STARTED, STOPPED = libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STOPPED


def snapshot(name, more=""):
    return "<domainsnapshot><name>%s</name>%s</domainsnapshot>" % (name, more)


class Guest:
    def __init__(self, daemon):
        self.daemon, self.events = daemon, []
        self.disk = os.path.join(daemon.root, "disk.qcow2")
        self.img("create", "-q", "-f", "qcow2", self.disk, "1M")
        self.connect()
        self.dom = self.conn.defineXML(XML.format(kernel=BARE, disk=self.disk, serial=self.serial()))

    def serial(self):
        return os.path.join(self.daemon.root, "serial")

    def said(self):
        """The guest looks again and again whether memory and processor are as they were: a dot, or a letter."""
        with open(self.serial(), encoding="ascii", errors="replace") as file:
            return file.read().split("\n")[-1]

    def goes_on(self):
        before = len(self.said())
        wait_for("the guest", lambda: len(self.said()) > before + 2)
        assert set(self.said()) == {"."}, self.said()

    def connect(self):
        self.conn = libvirt.open(self.daemon.uri("qemu"))
        self.conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.event, None)

    def event(self, _conn, _dom, event, detail, _opaque):
        self.events.append((event, detail))

    def img(self, *args):
        done = subprocess.run([IMG] + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, "%s: %s" % (args, done.stdout)
        return done.stdout

    def fill(self, text, path=None):
        """What a guest would have written: the first sector of the image."""
        path, whole = path or self.disk, os.path.join(self.daemon.root, "whole")
        self.img("convert", "-f", "qcow2", "-O", "raw", path, whole)
        with open(whole, "r+b") as file:
            file.write(text.encode().ljust(512, b"."))
        self.img("convert", "-n", "-f", "raw", "-O", "qcow2", whole, path)

    def reads(self, path=None):
        whole = os.path.join(self.daemon.root, "whole")
        self.img("convert", "-f", "qcow2", "-O", "raw", path or self.disk, whole)
        with open(whole, "rb") as file:
            return file.read(512).rstrip(b".").decode()

    def in_image(self, path=None):
        return re.findall(r"^\d+\s+(\S+)", self.img("snapshot", "--keyless", "-l", path or self.disk), re.M)

    def source(self, flags=0):
        return ET.fromstring(self.dom.XMLDesc(flags)).find("devices/disk[1]/source").get("file")

    def names(self, flags=0):
        return [one.getName() for one in self.dom.listAllSnapshots(flags)]

    def make(self, name, flags=0, more=""):
        return self.dom.snapshotCreateXML(snapshot(name, more), flags)

    def judge(self, snap):
        """libvirt's own schema on what is printed."""
        path = os.path.join(self.daemon.root, "snapshot.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(snap.getXMLDesc())
        done = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, path], stderr=subprocess.PIPE, text=True,
                              check=False)
        assert done.returncode == 0, done.stderr + snap.getXMLDesc()
        return ET.fromstring(snap.getXMLDesc())


def guest():
    return guest_of(Guest)


def stopped_guests_go_back_and_forth():
    with guest() as one:
        one.fill("first")
        first = one.make("one")
        xml = one.judge(first)
        assert xml.findtext("state") == "shutoff" and xml.find("memory").get("snapshot") == "no"
        assert [(d.get("name"), d.get("snapshot")) for d in xml.findall("disks/disk")] == \
            [("vda", "internal"), ("sda", "no")], first.getXMLDesc()
        assert xml.find("domain/name").text == "snap" and one.in_image() == ["one"]
        one.fill("second")
        second = one.make("two", more="<description>a &amp; b</description>")
        assert second.getParent().getName() == "one" and one.dom.snapshotCurrent().getName() == "two"
        assert one.judge(second).findtext("description") == "a & b"
        one.fill("third")
        one.events.clear()
        one.dom.revertToSnapshot(first)
        wait_events(one, [(libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT)])
        assert one.reads() == "first" and one.dom.snapshotCurrent().getName() == "one"
        one.dom.revertToSnapshot(second)
        assert one.reads() == "second" and one.dom.info()[0] == libvirt.VIR_DOMAIN_SHUTOFF
        refused(libvirt.VIR_ERR_OPERATION_FAILED, "two already exists", one.make, "two")
        # to running, from the beginning
        one.dom.revertToSnapshot(first, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)
        assert one.dom.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT], one.dom.state()
        problem = refused(libvirt.VIR_ERR_SNAPSHOT_REVERT_RISKY, one.dom.revertToSnapshot, second,
                          libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING)
        assert "revert requires force" in problem, problem
        one.dom.revertToSnapshot(second)
        assert not one.dom.isActive()
        first.delete()
        assert one.in_image() == ["two"] and one.names() == ["two"] and second.numChildren() == 0
        refused(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT, second.getParent)
        refused(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT, one.dom.snapshotLookupByName, "one")


def trees_are_listed_and_pruned():
    with guest() as one:
        a = one.make("a")
        one.make("b")
        one.make("c")
        one.dom.revertToSnapshot(a)
        one.make("d")
        lists = libvirt
        assert sorted(one.names()) == ["a", "b", "c", "d"] and one.dom.snapshotNum() == 4
        assert one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_ROOTS) == ["a"]
        assert sorted(one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_LEAVES)) == ["c", "d"]
        assert sorted(one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES)) == ["a", "b"]
        assert one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA) == []
        assert one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE) == [] and \
            len(one.names(lists.VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE | lists.VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL)) == 4
        assert sorted(s.getName() for s in a.listAllChildren()) == ["b", "d"] and a.numChildren() == 2
        assert sorted(s.getName() for s in
                      a.listAllChildren(lists.VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS)) == ["b", "c", "d"]
        assert sorted(a.listChildrenNames()) == ["b", "d"] and sorted(one.dom.snapshotListNames()) == list("abcd")
        out = one.daemon.virsh("snapshot-list", "snap", "--tree", scheme="qemu")
        assert re.search(r"a\n.*\|.*\+- b", out, re.S), out
        one.dom.snapshotLookupByName("b").delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN)
        assert sorted(one.names()) == ["a", "d"] and sorted(one.in_image()) == ["a", "d"]
        a.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY | METADATA)
        assert one.names() == ["a"] and sorted(one.in_image()) == ["a", "d"]
        assert one.dom.snapshotCurrent().getName() == "a" and a.isCurrent() == 1 and a.hasMetadata() == 1


def what_is_known_outlives_the_daemon():
    with guest() as one:
        one.make("a")
        one.make("b")
        xml = one.dom.snapshotLookupByName("b").getXMLDesc()
        one.conn.close()
        one.daemon.stop()
        one.daemon.start()
        one.connect()
        one.dom = one.conn.lookupByName("snap")
        assert one.names() == ["a", "b"] and one.dom.snapshotCurrent().getName() == "b"
        assert one.dom.snapshotLookupByName("b").getXMLDesc() == xml
        # forgotten, and made known again
        assert "2 snapshots" in refused(INVALID, one.dom.undefine)
        for name in ("b", "a"):
            one.dom.snapshotLookupByName(name).delete(METADATA)
        refused(libvirt.VIR_ERR_INVALID_ARG, one.dom.snapshotCreateXML, xml, REDEFINE)  # its parent is not there
        parent = re.sub("(?s)<parent>.*?</parent>", "", xml)
        one.dom.snapshotCreateXML(parent, REDEFINE | CURRENT)
        assert one.names() == ["b"] and one.dom.hasCurrentSnapshot() == 1 and one.in_image() == ["a", "b"]
        other = parent.replace(one.dom.UUIDString(), "11111111-2222-3333-4444-555555555555")
        refused(libvirt.VIR_ERR_INVALID_ARG, one.dom.snapshotCreateXML, other, REDEFINE)
        one.dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        directory = os.path.join(one.daemon.root, "var/lib/kiln/snapshot/snap")
        assert not os.path.exists(directory) or not os.listdir(directory)


def running_guests_keep_their_memory():
    with guest() as one:
        one.fill("before")
        one.dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        snap = one.make("live")
        xml = one.judge(snap)
        assert xml.findtext("state") == "paused" and xml.find("memory").get("snapshot") == "internal"
        assert one.dom.info()[0] == libvirt.VIR_DOMAIN_PAUSED
        refused(UNSUPPORTED, one.make, "x", DISK_ONLY, "<disks><disk name='vda' snapshot='internal'/></disks>")
        one.dom.destroy()
        assert one.in_image() == ["live"]
        one.fill("after")
        one.events.clear()
        one.dom.revertToSnapshot(snap)
        assert one.dom.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_FROM_SNAPSHOT], one.dom.state()
        # while it runs: stopped, and begun again
        one.dom.revertToSnapshot(snap, libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)
        begun = [(STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT),
                 (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT),
                 (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT)]
        wait_events(one, begun + [(STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT)] + begun)
        one.make("second")
        snap.delete()
        one.dom.snapshotLookupByName("second").delete()
        one.dom.destroy()
        assert one.reads() == "before" and one.in_image() == [], one.in_image()
        directory = os.path.join(one.daemon.root, "var/lib/kiln/snapshot/snap")
        assert os.listdir(directory) == [], os.listdir(directory)


def running_guests_go_on():
    with guest() as one:
        one.fill("before")
        one.dom.create()
        one.goes_on()
        one.events.clear()
        snap = one.make("live")
        wait_events(one, [(libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED),
                          (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)])
        assert one.dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING and snap.getXMLDesc().find("running") > 0
        one.goes_on()
        one.make("ext", DISK_ONLY)
        one.goes_on()
        one.dom.revertToSnapshot(snap)
        assert one.dom.state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_FROM_SNAPSHOT], one.dom.state()
        assert one.source() == one.disk
        one.goes_on()
        one.make("last", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_HALT)
        assert one.dom.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT], one.dom.state()
        one.dom.revertToSnapshot(one.dom.snapshotCurrent(), libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED)
        assert one.dom.info()[0] == libvirt.VIR_DOMAIN_PAUSED
        one.dom.resume()
        one.goes_on()
        one.dom.destroy()
        # memory that is not whole is not begun with, and nothing is lost by trying
        path = os.path.join(one.daemon.root, "var/lib/kiln/snapshot/snap/last.memory")
        with open(path, "r+b") as file:
            file.truncate(100)
        one.fill("mine")
        refused(libvirt.VIR_ERR_OPERATION_FAILED, one.dom.revertToSnapshot, one.dom.snapshotCurrent())
        assert one.reads() == "mine"


def running_guests_run_while_their_memory_is_saved():
    live = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE
    with guest() as one:
        memory = os.path.join(one.daemon.root, "live.memory")
        outside = "<memory snapshot='external' file='%s'/>" % memory
        refused(libvirt.VIR_ERR_XML_ERROR, one.make, "off", live, outside)
        one.fill("before")
        one.dom.create()
        one.goes_on()
        for flags, more in ((live, ""), (live | DISK_ONLY, "")):
            refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, one.make, "no", flags, more)
        one.events.clear()
        jobs = []
        one.conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                        lambda _, __, stats, ___: jobs.append(stats), None)
        snap = one.make("run", live, outside)
        wait_events(one, [(libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED),
                          (libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED)])
        # it was not one round: the guest ran in the first one
        wait_for("the job", lambda: jobs)
        assert jobs[0]["memory_iteration"] >= 2 and jobs[0]["operation"] == libvirt.VIR_DOMAIN_JOB_OPERATION_SNAPSHOT, jobs
        assert one.dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING and one.judge(snap).findtext("state") == "running"
        one.goes_on()
        one.dom.destroy()
        one.dom.revertToSnapshot(snap)
        assert one.dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING, one.dom.state()
        one.goes_on()
        # a file that cannot be made leaves the guest as it was
        refused(libvirt.VIR_ERR_SYSTEM_ERROR, one.make, "nowhere", live,
                "<memory snapshot='external' file='%s/no/where'/>" % one.daemon.root)
        one.goes_on()
        # one that stands still is saved as ever
        one.dom.suspend()
        one.make("still", live, outside.replace("live.", "still."))
        assert one.dom.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER], one.dom.state()


def wait_events(one, expected):
    wait_for("events %s of %s" % (expected, one.events), lambda: len(one.events) >= len(expected))
    assert one.events == expected, one.events


def disks_go_over_to_new_images():
    with guest() as one:
        one.fill("base")
        one.dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        snap = one.make("ext", DISK_ONLY)
        xml = one.judge(snap)
        new = one.disk.replace(".qcow2", ".ext")
        assert xml.findtext("state") == "disk-snapshot" and \
            xml.find("disks/disk[@name='vda']/source").get("file") == new, snap.getXMLDesc()
        assert one.source() == new and one.source(libvirt.VIR_DOMAIN_XML_INACTIVE) == new
        chain = ET.fromstring(one.dom.XMLDesc()).find("devices/disk[1]/backingStore/source").get("file")
        assert chain == one.disk, one.dom.XMLDesc()
        # another on top, with memory; a file that is there is not overwritten
        refused(UNSUPPORTED, one.make, "bad", DISK_ONLY,
                "<disks><disk name='vda'><source file='%s'/></disk></disks>" % one.disk)
        # what could not be saved leaves what was there: no name is free beside one so long
        kept = os.path.join(one.daemon.root, "m" * 252)
        with open(kept, "w", encoding="ascii") as file:
            file.write("mine")
        refused(libvirt.VIR_ERR_SYSTEM_ERROR, one.make, "long", 0,
                "<memory snapshot='external' file='%s'/>" % kept)
        with open(kept, encoding="ascii") as file:
            assert file.read() == "mine"
        memory = os.path.join(one.daemon.root, "memory")
        full = one.make("full", 0, "<memory snapshot='external' file='%s'/>" % memory)
        one.judge(full)
        # numbers of nodes are the running guest's, also of what lies behind
        assert "index=" in one.dom.XMLDesc() and "backingStore" in full.getXMLDesc()
        assert not re.search(r"<(backingStore|source)[^>]* index=", full.getXMLDesc()), full.getXMLDesc()
        assert os.path.exists(memory) and one.source() == one.disk.replace(".qcow2", ".full")
        one.dom.destroy()
        assert one.reads(one.source()) == "base"
        one.fill("changed", one.source())
        assert one.names(libvirt.VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL) == ["ext", "full"]
        one.dom.revertToSnapshot(full)
        assert one.dom.info()[0] == libvirt.VIR_DOMAIN_PAUSED
        one.dom.destroy()
        assert one.reads(one.source()) == "base" and one.source() != one.disk.replace(".qcow2", ".full")
        one.dom.revertToSnapshot(snap)
        assert not one.dom.isActive() and one.reads(one.source()) == "base"


def new_images_are_merged_when_their_snapshot_is_deleted():
    with guest() as one:
        one.fill("base")
        first = one.make("e1", DISK_ONLY)
        one.fill("changed", one.source())
        second = one.make("e2", DISK_ONLY)
        overlays = [one.disk.replace(".qcow2", ".e1"), one.disk.replace(".qcow2", ".e2")]
        second.delete()
        assert one.source() == overlays[0] and not os.path.exists(overlays[1]) and one.names() == ["e1"]
        # the same while the guest runs
        one.dom.create()
        one.goes_on()
        second = one.make("e2", DISK_ONLY)
        assert one.source() == overlays[1]
        second.delete()
        assert one.source() == overlays[0] and one.source(libvirt.VIR_DOMAIN_XML_INACTIVE) == overlays[0]
        memory = os.path.join(one.daemon.root, "memory")
        one.daemon.virsh("snapshot-create-as", "snap", "whole", "--memspec", memory, scheme="qemu")
        one.dom.snapshotLookupByName("whole").delete()
        assert not os.path.exists(memory) and one.source() == overlays[0]
        first.delete()
        assert one.source() == one.disk and one.names() == []
        one.goes_on()
        one.dom.destroy()
        assert one.reads() == "changed"
        assert not [path for path in overlays if os.path.exists(path)]


def images_in_the_middle_are_merged():
    with guest() as one:
        over = [one.disk] + [one.disk.replace(".qcow2", ".m%d" % i) for i in range(1, 5)]
        snaps = [None]
        for i in range(1, 4):
            one.fill("state %d" % i, over[i - 1])
            snaps.append(one.make("m%d" % i, DISK_ONLY))
        one.fill("state 4", over[3])

        def lies_on(path):
            return json.loads(one.img("info", "-U", "--output=json", path))["backing-filename"]

        snaps[2].delete()
        assert one.names() == ["m1", "m3"] and not os.path.exists(over[2])
        assert lies_on(over[3]) == over[1] and one.source() == over[3]
        assert one.reads(over[1]) == "state 3" and one.reads(over[3]) == "state 4"
        # the same while the guest runs; what the snapshot above is of is another image then
        one.dom.create()
        one.goes_on()
        one.make("m4", DISK_ONLY)
        snaps[1].delete()
        assert one.names() == ["m3", "m4"] and not os.path.exists(over[1])
        assert one.source() == over[4] and lies_on(over[3]) == over[0]
        one.goes_on()
        one.dom.destroy()
        assert one.reads(over[4]) == "state 4" and one.reads(over[0]) == "state 3"
        snap = one.dom.snapshotLookupByName("m3")
        assert ET.fromstring(snap.getXMLDesc()).find("domain/devices/disk/source").get("file") == over[0]
        one.dom.revertToSnapshot(snap)
        assert one.source() not in over and one.reads(one.source()) == "state 3"
        # two images lie on it now, and the other one is needed as it is
        refused(UNSUPPORTED, snap.delete)
        snap.delete(METADATA)
        assert one.names() == ["m4"] and os.path.exists(over[3])


def stopped_guests_get_new_images():
    with guest() as one:
        one.fill("base")
        one.make("off", DISK_ONLY)
        assert one.source() == one.disk.replace(".qcow2", ".off") and one.reads(one.source()) == "base"
        assert one.judge(one.dom.snapshotCurrent()).findtext("state") == "shutoff"
        mine = os.path.join(one.daemon.root, "mine")
        one.img("create", "-q", "-f", "qcow2", "-b", one.source(), "-F", "qcow2", mine)
        more = "<disks><disk name='vda'><source file='%s'/></disk></disks>" % mine
        one.make("again", DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT |
                 libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA, more)
        assert one.source() == mine and one.names() == ["off"]
        # what has no guest to end or memory to keep is made all the same
        one.make("halted", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_HALT)
        assert sorted(one.names()) == ["halted", "off"] and one.dom.isActive() == 0


def variable_stores_come_along():
    with guest() as one:
        store, code = os.path.join(one.daemon.root, "vars.fd"), os.path.join(one.daemon.root, "code.fd")
        for path in (store, code):
            with open(path, "wb") as file:
                file.write(b"A" * 65536)
        firmware = "<loader readonly='yes' type='pflash'>%s</loader><nvram>%s</nvram></os>" % (code, store)
        text = re.sub("(?s)<kernel>.*</os>", firmware, one.dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        one.dom = one.conn.defineXML(text)
        snap = one.make("uefi")
        with open(store, "wb") as file:
            file.write(b"B" * 65536)
        one.dom.revertToSnapshot(snap)
        with open(store, "rb") as file:
            assert set(file.read()) == {ord("A")}
        snap.delete()
        directory = os.path.join(one.daemon.root, "var/lib/kiln/snapshot/snap")
        assert os.listdir(directory) == [], os.listdir(directory)
        one.dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)


def wrong_ones_are_refused():
    with guest() as one:
        argument = libvirt.VIR_ERR_INVALID_ARG
        refused(argument, one.make, "a", CURRENT)
        refused(argument, one.make, "a", 1 << 20)
        refused(argument, one.make, "a", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE)
        refused(libvirt.VIR_ERR_XML_DETAIL, one.make, "a/b")
        refused(UNSUPPORTED, one.make, "a", 0, "<disks><disk name='vdz'/></disks>")
        refused(libvirt.VIR_ERR_XML_ERROR, "'beside.qcow2' must be absolute", one.make, "a", DISK_ONLY,
                "<disks><disk name='vda'><source file='beside.qcow2'/></disk></disks>")
        bare = "<domainsnapshot><name>again</name><description>%s</description><state>shutoff</state>" \
            "<creationTime>15</creationTime><disks><disk name='vda' snapshot='external'>" \
            "<source file='/nowhere/new'/></disk></disks>%s</domainsnapshot>"
        refused(libvirt.VIR_ERR_XML_ERROR, "missing domain", one.dom.snapshotCreateXML, bare % ("first", ""), REDEFINE)
        whole = bare % ("first", re.sub(r"<\?xml.*\?>", "", one.dom.XMLDesc()))
        refused(argument, "requires disk-snapshot state", one.dom.snapshotCreateXML, whole, REDEFINE | DISK_ONLY)
        one.dom.snapshotCreateXML(whole, REDEFINE)
        # a known one keeps its guest's definition where none is given
        made = one.dom.snapshotCreateXML(bare % ("second", ""), REDEFINE)
        text = made.getXMLDesc()
        assert "<description>second" in text and "<domain type='kvm'>" in text, text
        assert "<disk name='vda' snapshot='external' type='file'>" in text, text
        made.delete(libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
        refused(UNSUPPORTED, one.make, "a", 0, "<disks><disk name='vda' snapshot='no'/></disks>")
        refused(libvirt.VIR_ERR_XML_INVALID_SCHEMA, one.make, "a", libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE,
                "<nonsense/>")
        refused(libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT, one.dom.snapshotCurrent)
        assert one.dom.hasCurrentSnapshot() == 0 and one.names() == [] and one.in_image() == []
        out = one.daemon.virsh("snapshot-create-as", "snap", "by-virsh", scheme="qemu")
        assert "by-virsh created" in out, out
        one.daemon.virsh("snapshot-create", "snap", expect=1, scheme="qemu", read_only=True)
        assert "by-virsh" in one.daemon.virsh("snapshot-list", "snap", scheme="qemu", read_only=True)


if __name__ == "__main__":
    with event_loop():
        tests = [stopped_guests_go_back_and_forth, trees_are_listed_and_pruned, what_is_known_outlives_the_daemon,
                 running_guests_keep_their_memory, running_guests_go_on,
                 running_guests_run_while_their_memory_is_saved, disks_go_over_to_new_images,
                 new_images_are_merged_when_their_snapshot_is_deleted, images_in_the_middle_are_merged,
                 stopped_guests_get_new_images,
                 variable_stores_come_along, wrong_ones_are_refused]
        run([test for test in tests if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]])
