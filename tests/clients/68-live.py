#!/usr/bin/python3
"""68-live - devices that come to, go from and change in a running guest and its definition, through the
stock bindings. The guest stands still: what needs its agreement is awaited in the lab.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import libvirt

from daemon import BUILD, Daemon, event_loop, refused, run, wait_for

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
XML = """<domain type='kvm'>
  <name>live</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os>
  <features><acpi/></features>
  <devices>
    {ports}
    <controller type='usb' model='qemu-xhci'/>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <input type='tablet' bus='usb'/>
    <interface type='user'><mac address='52:54:00:00:00:01'/></interface>
    <serial type='null'/>
    {more}
    <memballoon model='none'/>
  </devices>
</domain>
"""
PORTS = "".join("<controller type='pci' index='%d' model='pcie-root-port'/>" % i for i in range(1, 9))
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
FORCE = libvirt.VIR_DOMAIN_DEVICE_MODIFY_FORCE
MISSING, UNSUPPORTED = libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_UNSUPPORTED
EVENTS = {libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: "added",
          libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: "removed",
          libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: "kept"}


def disk(path, target, bus, more="", kind="raw", device="disk"):
    source = "<source file='%s'/>" % path if path else ""
    return ("<disk type='file' device='%s'><driver name='qemu' type='%s'/>%s<target dev='%s' bus='%s'/>%s"
            "</disk>" % (device, kind, source, target, bus, more))


def refused_any(call, *args):
    try:
        call(*args)
    except libvirt.libvirtError:
        return
    raise AssertionError("%s%s was not refused" % (call.__name__, args))


class Guest:
    """A guest that stands still, with what happened to its devices."""

    def __init__(self, daemon, more="", define=True):
        self.daemon, self.seen = daemon, []
        text = XML.format(kernel=BARE, ports=PORTS, more=more)
        self.connect()
        if define:
            self.dom = self.conn.defineXML(text)
            self.dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        else:
            self.dom = self.conn.createXML(text, libvirt.VIR_DOMAIN_START_PAUSED)

    def connect(self):
        self.conn = libvirt.open(self.daemon.uri("qemu"))
        for event in EVENTS:
            self.conn.domainEventRegisterAny(None, event, self.event, EVENTS[event])

    def event(self, _conn, _dom, alias, what):
        self.seen.append((what, alias))

    def expect(self, *events):
        wait_for("event %s of %s" % (events, self.seen), lambda: len(self.seen) >= len(events))
        assert self.seen == list(events), self.seen
        self.seen = []

    def xml(self, flags=0):
        return ET.fromstring(self.dom.XMLDesc(flags))

    def find(self, path, config=False):
        return self.xml(libvirt.VIR_DOMAIN_XML_INACTIVE if config else 0).find("devices/" + path)

    def vmm_files(self):
        with open(os.path.join(self.daemon.root, "run/kiln/domain/live.status"), encoding="utf-8") as file:
            pid = re.search(r"pid='(\d+)'", file.read()).group(1)
        names = []
        for fd in os.listdir("/proc/%s/fd" % pid):
            with contextlib.suppress(OSError):
                names.append(os.readlink("/proc/%s/fd/%s" % (pid, fd)))
        return sorted(name for name in names if name.startswith(self.daemon.root))

    def qmp(self, command):
        return self.daemon.virsh("qemu-monitor-command", "live", command, scheme="qemu")


@contextlib.contextmanager
def guest(more="", define=True):
    with Daemon() as daemon:
        one = Guest(daemon, more, define)
        try:
            yield one
        finally:
            one.dom.destroy()
            one.conn.close()


def image(one, name, size=1 << 20):
    path = os.path.join(one.daemon.root, name)
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def disks_come():
    with guest() as one:
        path = image(one, "a.img")
        before = one.vmm_files()
        one.dom.attachDeviceFlags(disk(path, "vda", "virtio", "<serial>ONE</serial>"), LIVE | CONFIG)
        one.expect(("added", "virtio-disk0"))
        assert one.find("disk/alias[@name='virtio-disk0']/../address").get("type") == "pci"
        assert one.find("disk/target[@dev='vda']", config=True) is not None
        assert one.find("disk/alias[@name='virtio-disk0']", config=True) is None
        assert path in one.vmm_files()
        assert '"virtio-disk0"' in one.qmp('{"execute":"query-block"}')
        assert path not in one.qmp('{"execute":"query-fdsets"}')
        refused(libvirt.VIR_ERR_OPERATION_FAILED, one.dom.attachDeviceFlags, disk(path, "vda", "virtio"), LIVE)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, one.dom.attachDeviceFlags, disk(path, "vda", "virtio"),
                CONFIG)
        # A second writer of one image, a file that is not there, a bus that takes nothing: as before.
        middle = one.vmm_files(), one.dom.XMLDesc()
        for xml in (disk(path, "vdb", "virtio"), disk(path + ".none", "vdc", "virtio"),
                    disk(image(one, "b.img"), "sdb", "sata"), disk(image(one, "b.img"), "vdd", "virtio",
                                                                  kind="qcow2")):
            refused_any(one.dom.attachDeviceFlags, xml, LIVE | CONFIG)
        assert (one.vmm_files(), one.dom.XMLDesc()) == middle
        assert len(before) < len(middle[0]) and not one.seen
        assert one.find("disk/target[@dev='vdb']", config=True) is None


def usb_comes_and_goes_at_once():
    with guest() as one:
        path, before = image(one, "stick.img"), one.vmm_files()
        for _ in range(3):
            one.dom.attachDeviceFlags(disk(path, "sdc", "usb"), LIVE)
            assert one.find("disk/target[@dev='sdc']/../address").get("type") == "usb"
            one.dom.detachDeviceFlags(disk(path, "sdc", "usb"), LIVE)
            one.expect(("added", "usb-disk2"), ("removed", "usb-disk2"))
        one.dom.attachDeviceFlags("<input type='keyboard' bus='usb'/>", LIVE | CONFIG)
        one.expect(("added", one.find("input[@bus='usb'][@type='keyboard']/alias").get("name")))
        one.dom.detachDeviceFlags("<input type='keyboard' bus='usb'/>", LIVE | CONFIG)
        assert one.find("input[@bus='usb'][@type='keyboard']") is None
        assert one.find("input[@bus='usb'][@type='keyboard']", config=True) is None
        alias = one.find("input[@type='tablet']/alias").get("name")
        one.dom.detachDeviceAlias(alias, LIVE)
        assert one.find("input[@type='tablet']") is None and one.find("input[@type='tablet']", config=True) is not None
        refused(MISSING, one.dom.detachDeviceAlias, alias, LIVE)
        refused(MISSING, one.dom.detachDeviceFlags, disk(path, "sdc", "usb"), LIVE)
        assert one.vmm_files() == before


def scsi_brings_its_controller():
    with guest() as one:
        path, before = image(one, "scsi.img", 3 << 20), one.vmm_files()
        one.dom.attachDeviceFlags(disk(path, "sdb", "scsi"), LIVE | CONFIG)
        one.expect(("added", "scsi0-0-0-1"))
        for config in (False, True):
            assert one.find("controller[@type='scsi']", config).get("model") == "virtio-scsi"
        stats = one.conn.domainListGetStats([one.dom], libvirt.VIR_DOMAIN_STATS_BLOCK)[0][1]
        at = [i for i in range(stats["block.count"]) if stats["block.%d.name" % i] == "sdb"][0]
        assert stats["block.%d.capacity" % at] == stats["block.%d.physical" % at] == 3 << 20, stats
        one.dom.detachDeviceFlags(disk(path, "sdb", "scsi"), LIVE | CONFIG)
        one.expect(("removed", "scsi0-0-0-1"))
        assert one.vmm_files() == before
        refused(libvirt.VIR_ERR_OPERATION_FAILED, one.dom.attachDeviceFlags,
                "<controller type='scsi' index='0' model='virtio-scsi'/>", LIVE)


def channels():
    with guest("<channel type='null'><target type='virtio' name='first'/></channel>") as one:
        channel = "<channel type='unix'><target type='virtio' name='org.example.0'/></channel>"
        one.dom.attachDeviceFlags(channel, LIVE | CONFIG)
        one.expect(("added", "channel1"))
        path = one.find("channel/alias[@name='channel1']/../source").get("path")
        assert os.path.exists(path) and one.find("channel/target[@name='org.example.0']", config=True) is not None
        one.dom.detachDeviceFlags(channel, LIVE | CONFIG)
        one.expect(("removed", "channel1"))
        assert not os.path.exists(path) and one.find("channel/target[@name='org.example.0']") is None
        log = os.path.join(one.daemon.root, "lines")
        one.dom.attachDeviceFlags("<channel type='pty'><log file='%s' append='on'/><target type='virtio' "
                                  "name='org.example.1'/></channel>" % log, LIVE)
        one.expect(("added", "channel1"))
        assert log in one.vmm_files()
        assert one.find("channel/alias[@name='channel1']/../source").get("path").startswith("/dev/pts/")
        one.dom.detachDeviceAlias("channel1", LIVE)
        one.expect(("removed", "channel1"))
        # what kiln-vmm would have to open itself comes with the next start, and only with that
        for number, source in enumerate(("type='udp'><source mode='connect' host='127.0.0.1' service='9'/>",
                                         "type='pipe'><source path='%s'/>" % log,
                                         "type='unix'><source mode='connect' path='%s'>"
                                         "<reconnect enabled='yes' timeout='1'/></source>" % log)):
            name = "org.example.later.%d" % number
            channel = "<channel %s<target type='virtio' name='%s'/></channel>" % (source, name)
            refused(UNSUPPORTED, one.dom.attachDeviceFlags, channel, LIVE | CONFIG)
            assert one.find("channel/target[@name='%s']" % name) is None, channel
            assert one.find("channel/target[@name='%s']" % name, config=True) is None, channel
            one.dom.attachDeviceFlags(channel, CONFIG)
            assert one.find("channel/target[@name='%s']" % name, config=True) is not None, channel
        assert log not in one.vmm_files()


def a_chain_of_images():
    with guest() as one:
        base, top = image(one, "base.img"), os.path.join(one.daemon.root, "top.qcow2")
        subprocess.run([os.path.join(BUILD, "block/img/kiln-img"), "create", "-q", "-f", "qcow2", "-F", "raw",
                        "-b", base, top], check=True)
        before = one.vmm_files()
        one.dom.attachDeviceFlags(disk(top, "sdc", "usb", kind="qcow2"), LIVE)
        assert one.find("disk/target[@dev='sdc']/../backingStore/source").get("file") == base
        assert {base, top} <= set(one.vmm_files())
        one.dom.detachDeviceFlags(disk(top, "sdc", "usb"), LIVE)
        assert one.vmm_files() == before, one.vmm_files()
        assert "libvirt-" not in one.qmp('{"execute":"query-named-block-nodes"}')


def media():
    with guest() as one:
        first, second = image(one, "first.iso"), image(one, "second.iso")
        drive = "disk/target[@dev='sda']/../source"
        before = one.vmm_files()
        one.dom.updateDeviceFlags(disk(first, "sda", "sata", device="cdrom"), LIVE)
        assert one.find(drive).get("file") == first and one.find(drive, config=True) is None
        assert one.vmm_files() == sorted(before + [first])
        one.dom.updateDeviceFlags(disk(second, "sda", "sata", device="cdrom"), LIVE | CONFIG | FORCE)
        assert one.find(drive).get("file") == second == one.find(drive, config=True).get("file")
        assert one.vmm_files() == sorted(before + [second])
        refused_any(one.dom.updateDeviceFlags, disk(first + ".none", "sda", "sata", device="cdrom"), LIVE)
        assert one.find(drive).get("file") == second and one.vmm_files() == sorted(before + [second])
        one.daemon.virsh("change-media", "live", "sda", "--eject", "--live", "--config", scheme="qemu")
        assert one.find(drive) is None and one.find(drive, config=True) is None
        assert one.vmm_files() == before
        one.daemon.virsh("change-media", "live", "sda", first, "--insert", "--live", scheme="qemu")
        assert one.find(drive).get("file") == first
        refused(UNSUPPORTED, one.dom.detachDeviceFlags, disk("", "sda", "sata", device="cdrom"), LIVE)


def interfaces():
    with guest() as one:
        nic = "<interface type='user'><mac address='52:54:00:00:00:02'/><model type='virtio'/></interface>"
        one.dom.attachDeviceFlags(nic, LIVE | CONFIG)
        one.expect(("added", "net1"))
        assert one.find("interface/alias[@name='net1']/../address").get("type") == "pci"
        one.daemon.virsh("domif-setlink", "live", "52:54:00:00:00:02", "down", scheme="qemu")
        assert one.find("interface/mac[@address='52:54:00:00:00:02']/../link").get("state") == "down"
        assert one.find("interface/mac[@address='52:54:00:00:00:02']/../link", config=True) is None
        assert "down" in one.daemon.virsh("domif-getlink", "live", "52:54:00:00:00:02", scheme="qemu")
        one.daemon.virsh("domif-setlink", "live", "52:54:00:00:00:02", "up", scheme="qemu")
        refused(UNSUPPORTED, one.dom.updateDeviceFlags, nic.replace("virtio", "e1000"), LIVE)
        refused(MISSING, one.dom.detachDeviceFlags, nic.replace("00:02", "00:03"), LIVE)
        one.dom.detachDeviceFlags(nic, CONFIG)
        assert one.find("interface/mac[@address='52:54:00:00:00:02']", config=True) is None
        assert one.find("interface/mac[@address='52:54:00:00:00:02']") is not None


def taps():
    if os.geteuid() != 0:
        return "needs root"
    with guest() as one:
        inside = ["nsenter", "-t", str(one.daemon.main_pid()), "-n", "ip"]
        subprocess.run(inside + ["link", "add", "kiln-live", "type", "bridge"], check=True)
        nic = "<interface type='bridge'><source bridge='%s'/><mac address='52:54:00:00:00:05'/></interface>"
        def links():
            return subprocess.run(inside + ["-o", "link"], check=True, capture_output=True, text=True).stdout

        if not os.path.exists("/dev/net/tun"):
            return "no /dev/net/tun"
        refused_any(one.dom.attachDeviceFlags, nic % "nobridge", LIVE)
        assert "vnet" not in links(), links()
        one.dom.attachDeviceFlags(nic % "kiln-live", LIVE)
        one.expect(("added", "net1"))
        tap = one.find("interface/alias[@name='net1']/../target").get("dev")
        assert tap in links()
        one.daemon.virsh("domif-setlink", "live", tap, "down", scheme="qemu")
        assert one.find("interface/alias[@name='net1']/../link").get("state") == "down"
        tc = inside[:-1] + ["tc", "class", "show", "dev", tap]
        if subprocess.run(tc[:-5] + ["tc", "qdisc", "add", "dev", tap, "root", "htb"], check=False,
                          capture_output=True).returncode:
            return None  # this kernel cannot limit
        one.dom.setInterfaceParameters(tap, {"inbound.average": 2000, "inbound.peak": 4000}, LIVE)
        assert "16384Kbit" in subprocess.run(tc, check=True, capture_output=True, text=True).stdout
        assert one.dom.interfaceParameters(tap, LIVE)["inbound.peak"] == 4000
        assert one.find("interface/alias[@name='net1']/../bandwidth/inbound").get("average") == "2000"
        one.dom.setInterfaceParameters(tap, {"inbound.average": 0}, LIVE)
        assert "Kbit" not in subprocess.run(tc, check=True, capture_output=True, text=True).stdout
        refused(libvirt.VIR_ERR_INVALID_ARG, one.dom.interfaceParameters, "vnet77", LIVE)
        return None


def what_the_daemon_forgets_not():
    with guest() as one:
        path = image(one, "stick.img")
        one.dom.attachDeviceFlags(disk(path, "sdc", "usb"), LIVE)
        one.dom.attachDeviceFlags("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
                                  LIVE | CONFIG)
        one.expect(("added", "usb-disk2"), ("added", "rng0"))
        text = one.dom.XMLDesc()
        one.conn.close()
        one.daemon.stop(signal.SIGKILL)
        one.daemon.start()
        one.connect()
        one.dom = one.conn.lookupByName("live")
        assert one.dom.XMLDesc() == text
        one.dom.detachDeviceFlags(disk(path, "sdc", "usb"), LIVE)
        one.expect(("removed", "usb-disk2"))
        assert path not in one.vmm_files()
        # One that goes while no daemon listens.
        one.dom.attachDeviceFlags(disk(path, "sdc", "usb"), LIVE)
        one.expect(("added", "usb-disk2"))
        one.qmp('{"execute":"device_del","arguments":{"id":"usb-disk2"}}')
        wait_for("the disk", lambda: one.find("disk/target[@dev='sdc']") is None)
        one.expect(("removed", "usb-disk2"))


def images_by_their_names():
    """The VMM is given descriptors; what it says of them names the files."""
    with guest() as one:
        path = image(one, "used")
        with open(path, "rb") as stream:
            fcntl.lockf(stream, fcntl.LOCK_SH, 1, 201)  # as QEMU does: others may not write
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, "image '%s' is in use" % path,
                    one.dom.attachDeviceFlags, disk(path, "vdb", "virtio"), LIVE)
        one.dom.attachDeviceFlags(disk(path, "vdb", "virtio"), LIVE)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "error: image '%s' is not in qcow2 format" % path,
                one.dom.attachDeviceFlags, disk(path, "vdc", "virtio", kind="qcow2"), LIVE)


def definitions_alone():
    with guest() as one:
        path = image(one, "a.img")
        one.dom.destroy()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, one.dom.attachDeviceFlags, disk(path, "vda", "virtio"), LIVE)
        one.dom.attachDeviceFlags(disk(path, "vdb", "virtio"), 0)
        one.dom.attachDeviceFlags(disk(path, "vda", "virtio"), CONFIG)
        targets = [t.get("dev") for t in one.xml().findall("devices/disk/target")]
        assert targets == ["sda", "vda", "vdb"], targets
        one.dom.detachDeviceFlags(disk(path, "vda", "virtio"), CONFIG)
        refused(MISSING, one.dom.detachDeviceFlags, disk(path, "vda", "virtio"), CONFIG)
        vsock = "<vsock model='virtio'><cid auto='no' address='%d'/></vsock>"
        one.dom.attachDeviceFlags(vsock % 7, CONFIG)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, one.dom.attachDeviceFlags, vsock % 8, CONFIG)
        refused(MISSING, one.dom.detachDeviceFlags, vsock % 8, CONFIG)
        assert one.find("vsock/cid").get("address") == "7" and one.find("vsock/address").get("type") == "pci"
        one.dom.detachDeviceFlags(vsock % 7, CONFIG)
        assert one.find("vsock") is None
        refused(MISSING, one.dom.detachDeviceFlags, vsock % 7, CONFIG)
        refused(UNSUPPORTED, one.dom.updateDeviceFlags, vsock % 7, CONFIG)
        refused(UNSUPPORTED, one.dom.attachDeviceFlags, "<memballoon model='virtio'/>", CONFIG)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, one.dom.attachDeviceFlags, "<nonsense/>", CONFIG)
        refused(libvirt.VIR_ERR_INVALID_ARG, one.dom.attachDeviceFlags, disk(path, "vda", "virtio"), 64)
        one.dom.updateDeviceFlags("<interface type='user'><mac address='52:54:00:00:00:01'/>"
                                  "<model type='e1000'/></interface>", CONFIG)
        assert one.find("interface/model").get("type") == "e1000"
        one.dom.create()
        targets = [t.get("dev") for t in one.xml().findall("devices/disk/target")]
        assert targets == ["sda", "vdb"], targets


def a_screen_s_password():
    screen = "<graphics type='vnc' passwd='%s'><listen type='socket'/></graphics>"
    with guest(screen % "first" + "<video><model type='vga'/></video>") as one:
        one.dom.updateDeviceFlags(screen % "other", LIVE)
        text = ET.fromstring(one.dom.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE))
        assert text.find("devices/graphics").get("passwd") == "other"
        refused(UNSUPPORTED, one.dom.updateDeviceFlags, "<graphics type='vnc' port='5999' passwd='x'/>", LIVE)


TESTS = [definitions_alone, disks_come, usb_comes_and_goes_at_once, scsi_brings_its_controller, channels,
         a_chain_of_images, media, interfaces, taps,
         images_by_their_names, what_the_daemon_forgets_not, a_screen_s_password]


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        for test in TESTS:
            print("skip %s - no /dev/kvm for this user" % test.__name__.replace("_", "-"))
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run(TESTS)
