#!/usr/bin/python3
"""69-nodedev - the host's devices through stock virsh and python3-libvirt: lists, names, parents,
XML that libvirt's schema knows, what is refused, and events of a device that changes.

What devices there are is the host's affair: the test compares with /sys. Skips events where udevd
runs, and where there is no disk.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import glob
import os
import re
import subprocess
import threading

import libvirt

from daemon import Daemon, event_loop, refused, run

SCHEMA = "/usr/share/libvirt/schemas/nodedev.rng"


def lasting(names):
    """Network interfaces of the host come and go while tests run."""
    return sorted(name for name in names if not name.startswith("net_"))


def lists():
    """What there is, by all the ways to ask."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        names = lasting(dev.name() for dev in conn.listAllDevices())
        assert "computer" in names
        assert names == lasting(conn.listDevices(None)), names
        assert conn.numOfDevices(None) >= len(names)
        pci = sorted(dev.name() for dev in conn.listAllDevices(
            libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV))
        want = sorted("pci_" + re.sub("[^0-9a-zA-Z]", "_", os.path.basename(path))
                      for path in glob.glob("/sys/bus/pci/devices/*"))
        assert pci == want, (pci, want)
        assert pci == sorted(conn.listDevices("pci"))
        assert conn.numOfDevices("pci") == len(pci)
        assert conn.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE) == []
        lo = [name for name in conn.listDevices("net") if name.startswith("net_lo_")]
        assert lo == ["net_lo_00_00_00_00_00_00"], lo
        out = daemon.virsh("nodedev-list", "--tree", scheme="qemu")
        assert out.startswith("computer\n"), out
        assert lasting(re.findall(r"[a-z]\w+", out)) == names, out
        out = daemon.virsh("nodedev-list", "--cap", "system")
        assert out.split() == ["computer"], out
        daemon.virsh("nodedev-info", "computer")
        conn.close()


def texts():
    """Every device's XML is known to libvirt's schema; parents lead to the computer."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        for name in lasting(conn.listDevices(None)) + ["net_lo_00_00_00_00_00_00"]:
            dev = conn.nodeDeviceLookupByName(name)
            text = dev.XMLDesc()
            subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, "-"], input=text, text=True,
                           check=True, capture_output=True)
            assert "<name>%s</name>" % name in text
            caps = dev.listCaps()
            assert len(caps) == dev.numOfCaps() > 0
            assert "<capability type='%s'>" % caps[0] in text
            assert dev.isActive() and dev.isPersistent() and dev.autostart()
            above, seen = dev, 0
            while above.name() != "computer":
                above = conn.nodeDeviceLookupByName(above.parent())
                seen += 1
                assert seen < 64
            assert above.parent() is None
        assert "<capability type='system'>" in daemon.virsh("nodedev-dumpxml", "computer")
        conn.close()


def refusals():
    """What is not there, and what is not done, by libvirt's codes."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        message = refused(libvirt.VIR_ERR_NO_NODE_DEVICE, conn.nodeDeviceLookupByName, "nothing")
        assert message == ("Node device not found: no node device with matching name 'nothing'")
        refused(libvirt.VIR_ERR_NO_NODE_DEVICE, conn.nodeDeviceLookupSCSIHostByWWN,
                "2001001b32a9da4e", "2101001b32a9da4e", 0)
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.nodeDeviceLookupSCSIHostByWWN, "a", "b", 1)
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.listAllDevices, 1 << 25)
        computer = conn.nodeDeviceLookupByName("computer")
        refused(libvirt.VIR_ERR_INVALID_ARG, computer.XMLDesc, 1)
        for call in (computer.dettach, computer.reAttach, computer.reset):
            refused(libvirt.VIR_ERR_INVALID_ARG, "device computer is not a PCI device", call)
        refused(libvirt.VIR_ERR_INVALID_ARG, computer.detachFlags, None, 1)
        refused(libvirt.VIR_ERR_INVALID_ARG, "unknown driver name", computer.detachFlags, "toaster", 0)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, computer.detachFlags, "kvm", 0)
        with_vfio = os.path.exists("/dev/vfio/vfio") and os.listdir("/sys/kernel/iommu_groups")
        for name in conn.listDevices("pci")[:1]:
            if not with_vfio:  # this host's devices must stay as they are
                refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, conn.nodeDeviceLookupByName(name).dettach)
        refused(libvirt.VIR_ERR_NO_SUPPORT, conn.nodeDeviceCreateXML, "<device/>", 0)
        assert conn.numOfDevices("toaster") == 0


def find_disk(conn):
    """A device here that the kernel can be asked to tell of again, and its file for that."""
    for name in conn.listDevices("storage"):
        block = re.search("<block>/dev/(.*)</block>", conn.nodeDeviceLookupByName(name).XMLDesc())
        path = "/sys/class/block/%s/uevent" % block.group(1)
        if os.access(path, os.W_OK):
            return name, path
    return None, None


def events():
    """A change that the kernel tells of reaches who asked, about this device or about any."""
    if os.path.exists("/run/udev/control"):
        return "udevd tells in its own network namespace only"
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        name, path = find_disk(conn)
        if not name:
            return "no disk here whose changes can be told again"
        changed, mine, other = threading.Event(), threading.Event(), []
        kind = libvirt.VIR_NODE_DEVICE_EVENT_ID_UPDATE
        ids = [
            conn.nodeDeviceEventRegisterAny(
                None, kind, lambda _c, dev, _o: changed.set() if dev.name() == name else None,
                None),
            conn.nodeDeviceEventRegisterAny(conn.nodeDeviceLookupByName(name), kind,
                                            lambda _c, _d, _o: mine.set(), None),
            conn.nodeDeviceEventRegisterAny(conn.nodeDeviceLookupByName("computer"), kind,
                                            lambda _c, dev, _o: other.append(dev.name()), None),
        ]
        with open(path, "w", encoding="ascii") as stream:
            stream.write("change")
        assert changed.wait(60), "no event"
        assert mine.wait(60)
        assert other == [], other
        for callback in ids:
            conn.nodeDeviceEventDeregisterAny(callback)
        conn.close()
    return None


def interfaces():
    """The host's network interfaces, which can be looked at."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        every = {one.name(): one for one in conn.listAllInterfaces()}
        active = sorted(one.name() for one in conn.listAllInterfaces(libvirt.VIR_CONNECT_LIST_INTERFACES_ACTIVE))
        assert active == sorted(conn.listInterfaces()) and conn.numOfInterfaces() == len(active), active
        assert sorted(every) == sorted(conn.listInterfaces() + conn.listDefinedInterfaces()), every
        assert set(every) <= set(os.listdir("/sys/class/net")) and "lo" in every, every
        lo = conn.interfaceLookupByName("lo")
        assert lo.MACString() == "00:00:00:00:00:00" and lo.isActive() == ("lo" in active)
        subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA.replace("nodedev", "interface"), "-"],
                       input=lo.XMLDesc(), text=True, check=True, capture_output=True)
        for name, one in every.items():
            if [other.MACString() for other in every.values()].count(one.MACString()) == 1:
                assert conn.interfaceLookupByMACString(one.MACString().upper()).name() == name
        assert "lo " in daemon.virsh("iface-list", "--all", scheme="qemu")
        refused(libvirt.VIR_ERR_NO_INTERFACE, conn.interfaceLookupByName, "nothing")
        refused(libvirt.VIR_ERR_NO_INTERFACE, conn.interfaceLookupByMACString, "52:54:00:12:34:56")
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.listAllInterfaces, 64)
        refused(libvirt.VIR_ERR_INVALID_ARG, lo.XMLDesc, 64)
        for call in (lo.destroy, lo.create, lo.undefine, conn.changeBegin):
            refused(libvirt.VIR_ERR_NO_SUPPORT, call)
        refused(libvirt.VIR_ERR_NO_SUPPORT, conn.interfaceDefineXML, lo.XMLDesc())
        conn.close()


if __name__ == "__main__":
    run([lists, texts, refusals, interfaces, events])
