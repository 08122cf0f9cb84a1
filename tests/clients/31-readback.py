#!/usr/bin/python3
"""31-readback - what someone at virsh reads back after a change: metadata, the XML for another host, names,
memory, pins, the order of disks; and what is refused where it would only fail later. The guest stands still.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET

import libvirt

from daemon import BUILD, guest_of, refused, run

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
XML = """<domain type='kvm'>
  <name>read</name>
  <metadata>
    <k1:a xmlns:k1='http://x.test/1' xmlns:z='http://z.test/' k1:p='1' q='2' z:r='3'><k1:b/><z:c/><d/></k1:a>
    <e xmlns='http://x.test/2'><f/></e>
  </metadata>
  <memory unit='MiB'>32</memory>
  <vcpu current='1'>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os>
  <features><acpi/></features>
  <devices>
    {ports}
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <serial type='pty'/>
    <graphics type='vnc'><listen type='socket'/></graphics>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""
PORTS = "".join("<controller type='pci' index='%d' model='pcie-root-port'/>" % i for i in range(1, 10))
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
ELEMENT = libvirt.VIR_DOMAIN_METADATA_ELEMENT
INACTIVE, MIGRATABLE = libvirt.VIR_DOMAIN_XML_INACTIVE, libvirt.VIR_DOMAIN_XML_MIGRATABLE


class Guest:
    def __init__(self, daemon):
        self.daemon = daemon
        self.conn = libvirt.open(daemon.uri("qemu"))
        self.dom = self.conn.defineXML(XML.format(kernel=BARE, ports=PORTS, disk=self.image("a.img")))

    def image(self, name):
        path = os.path.join(self.daemon.root, name)
        with open(path, "wb") as file:
            file.truncate(1 << 20)
        return path

    def start(self):
        self.dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)

    def virsh(self, *argv, expect=0):
        return self.daemon.virsh(*argv, expect=expect, scheme="qemu").strip()

    def again(self):
        """A new daemon, after the old one was killed."""
        self.conn.close()
        self.daemon.stop(signal.SIGKILL)
        self.daemon.start()
        self.conn = libvirt.open(self.daemon.uri("qemu"))
        self.dom = self.conn.lookupByName("read")

    def find(self, path, flags=0):
        return ET.fromstring(self.dom.XMLDesc(flags)).find(path)


def guest():
    return guest_of(Guest)


def metadata_comes_back_as_it_was_set():
    with guest() as one:
        one.dom.setMetadata(ELEMENT, "<mine n='1'><b/></mine>", "key", "http://x.test/3", CONFIG)
        for _ in range(2):
            assert one.dom.metadata(ELEMENT, "http://x.test/3", CONFIG) == "<mine n=\"1\">\n  <b/>\n</mine>", \
                one.dom.metadata(ELEMENT, "http://x.test/3", CONFIG)
            # what was written with a prefix, or with a default namespace, and another one's in it
            assert one.dom.metadata(ELEMENT, "http://x.test/1").split() == \
                '<a xmlns:z="http://z.test/" p="1" q="2" z:r="3"> <b/> <z:c/> <d/> </a>'.split(), \
                one.dom.metadata(ELEMENT, "http://x.test/1")
            assert one.dom.metadata(ELEMENT, "http://x.test/2").split() == "<e> <f/> </e>".split()
            one.again()
        # the definition keeps it
        assert one.find("metadata/{http://x.test/3}mine", INACTIVE) is not None, one.dom.XMLDesc(INACTIVE)
        assert one.find("metadata/{http://x.test/1}a/{http://x.test/1}b", INACTIVE) is not None
        # and what was read can be set again
        one.dom.setMetadata(ELEMENT, one.dom.metadata(ELEMENT, "http://x.test/3"), "key", "http://x.test/3")
        assert "<mine n=" in one.dom.metadata(ELEMENT, "http://x.test/3")


def xml_for_another_host_says_nothing_of_this_one():
    with guest() as one:
        one.start()
        one.virsh("attach-disk", "read", one.image("b.img"), "vdb", "--live")
        text = one.dom.XMLDesc(MIGRATABLE)
        domain = ET.fromstring(text)
        assert domain.get("id") is None and not domain.findall(".//alias"), text
        assert one.find("devices/graphics/listen").get("socket") is not None
        assert domain.find("devices/graphics/listen").attrib == {"type": "socket"}, text
        assert domain.find("devices/serial/source") is None, text
        assert domain.find("devices/disk/source").get("index") is None, text
        assert one.find("devices/channel/source") is not None and domain.find("devices/channel/source") is None, text
        # but it is the running guest's, with its addresses
        assert [disk.get("dev") for disk in domain.findall("devices/disk/target")] == ["vda", "vdb", "sda"], text
        assert domain.find("devices/disk[2]/address") is not None, text
        assert one.dom.XMLDesc(INACTIVE).count("<disk ") == 2
        assert domain.find("devices/disk[2]/target").get("dev") == "vdb"


def a_running_guest_s_images_say_what_they_lie_on():
    """Programs that walk a chain want its end said."""
    with guest() as one:
        one.start()
        one.virsh("attach-disk", "read", one.image("b.img"), "vdb", "--live")
        for target in ("vda", "vdb"):
            store = one.find("devices/disk/target[@dev='%s']/../backingStore" % target)
            assert store is not None and not store.attrib and not len(store), one.dom.XMLDesc()
        assert one.find("devices/disk/target[@dev='sda']/../backingStore") is None  # no medium
        assert one.find("devices/disk/backingStore", INACTIVE) is None


def a_device_is_as_large_as_it_is():
    """A thin image on a block device: how large the device is tells when it has to grow."""
    with guest() as one:
        backing = one.image("device")
        os.truncate(backing, 16 << 20)
        loop = subprocess.run(["losetup", "-f", "--show", backing], capture_output=True, text=True, check=False)
        if loop.returncode != 0:
            return "no loop device: " + loop.stderr.strip()
        device = loop.stdout.strip()
        try:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", device, "64M"], check=True)
            one.start()
            one.virsh("attach-disk", "read", device, "vdb", "--sourcetype", "block", "--subdriver", "qcow2",
                      "--live")
            told = one.virsh("domstats", "read", "--block")
            assert "capacity=67108864" in told and "physical=16777216" in told, told
            assert one.dom.blockInfo("vdb") == [64 << 20, 0, 16 << 20], one.dom.blockInfo("vdb")
        finally:
            one.dom.destroy()
            subprocess.run(["losetup", "-d", device], check=False)
    return None


def what_kvm_counts_is_told_of_each_processor():
    with guest() as one:
        one.start()
        stats = one.conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL)[0][1]
        assert stats["vcpu.0.exits.sum"] >= 0 and stats["vcpu.0.guest_mode.cur"] is False, stats
        assert not any(name.startswith("vcpu.1.") or "hist" in name for name in stats), stats
        assert {"cpu.haltpoll.success.time", "cpu.haltpoll.fail.time"} < set(stats), stats


def disks_stand_by_their_bus_whether_it_is_said_or_not():
    with guest() as one:
        one.start()
        for flag in ["--live", "--config"]:
            one.virsh("attach-disk", "read", one.image("b.img"), "vdb", flag)
        for which in [[], ["--inactive"]]:
            assert re.findall(r"^ *(\w\w\w) ", one.virsh("domblklist", "read", *which), re.M) == \
                ["vda", "vdb", "sda"], one.virsh("domblklist", "read", *which)


def memory_is_what_the_guest_has():
    with guest() as one:
        one.start()
        # nobody in this guest drives its balloon
        one.dom.setMemoryFlags(16384, LIVE | CONFIG)
        for _ in range(2):
            assert one.dom.info()[2] == 32768
            assert one.find("currentMemory").text == "32768", one.dom.XMLDesc()
            assert one.find("currentMemory", INACTIVE).text == "16384"
            one.again()


def pins_of_processors_that_are_not_there_yet():
    with guest() as one:
        one.start()
        one.dom.pinVcpuFlags(1, (True, False), LIVE)
        refused(libvirt.VIR_ERR_INVALID_ARG, "vcpu 2", one.dom.pinVcpuFlags, 2, (True,), LIVE)
        assert one.find("cputune/vcpupin").attrib == {"vcpu": "1", "cpuset": "0"}, one.dom.XMLDesc()
        one.dom.setVcpus(2)
        assert one.dom.vcpus()[1][1][0] is True and not any(one.dom.vcpus()[1][1][1:]), one.dom.vcpus()
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, "vcpu '0'", one.dom.setVcpu, "0", 0, LIVE)


def what_would_fail_later_is_refused_now():
    with guest() as one:
        limits = {"inbound.average": 100}
        for flags in [CONFIG, LIVE]:
            refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "52:54:00:00:00:01.*user networking",
                    one.dom.setInterfaceParameters, "52:54:00:00:00:01", limits, flags)
            if flags == CONFIG:
                one.start()
        assert one.find("devices/interface/bandwidth", INACTIVE) is None
        one.dom.destroy()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, "'read'.* itself", one.dom.rename, "read")
        for name in ["a/b", "../up", "two\nlines"]:
            refused(libvirt.VIR_ERR_XML_ERROR, "no name for a domain", one.dom.rename, name)
        assert one.dom.name() == "read"


def names_of_guests_come_from_the_agent():
    with guest() as one:
        one.start()
        one.dom.resume()
        refused(libvirt.VIR_ERR_AGENT_UNRESPONSIVE, "not connected", one.dom.hostname)
        refused(libvirt.VIR_ERR_NO_HOSTNAME, one.dom.hostname, libvirt.VIR_DOMAIN_GET_HOSTNAME_LEASE)


if __name__ == "__main__":
    if not os.path.exists("/dev/kvm"):
        print("skip all - there is no /dev/kvm")
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([metadata_comes_back_as_it_was_set, xml_for_another_host_says_nothing_of_this_one,
         a_running_guest_s_images_say_what_they_lie_on, disks_stand_by_their_bus_whether_it_is_said_or_not,
         memory_is_what_the_guest_has, a_device_is_as_large_as_it_is,
         what_kvm_counts_is_told_of_each_processor, pins_of_processors_that_are_not_there_yet,
         what_would_fail_later_is_refused_now,
         names_of_guests_come_from_the_agent])
