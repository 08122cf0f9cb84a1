#!/usr/bin/python3
"""Guests straight on a device of the host (macvtap), by themselves and through networks.

# timeout: 600

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, TMP, check, define, fails, run, test, virsh, vmm_pid, wait_for, write)  # noqa: E402

DIRECT = """<interface type='direct'><mac address='52:54:00:00:52:0%d'/><source dev='%s' mode='%s'/>
  <model type='virtio'/></interface>"""
JOINED = """<interface type='network'><mac address='52:54:00:00:52:0%d'/><source network='%s'/>
  <model type='virtio'/></interface>"""
NETWORK = "<network><name>%s</name><forward mode='%s'>%s</forward></network>"


def cable(name, address):
    """A device of the host, and behind it the world @name, which gives guests their addresses."""
    run("ip", "netns", "add", "at-" + name)
    run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", "at-" + name)
    run("ip", "link", "set", name, "up")
    run("ip", "netns", "exec", "at-" + name, "ip", "address", "add", address + ".1/24", "dev", "eth0")
    run("ip", "netns", "exec", "at-" + name, "ip", "link", "set", "eth0", "up")
    run("ip", "netns", "exec", "at-" + name, "dnsmasq", "--conf-file=/dev/null", "--no-hosts", "--port=0",
        "--user=root", "--dhcp-range=%s.100,%s.200" % (address, address),
        "--dhcp-leasefile=%s/%s.leases" % (TMP, name), "--pid-file=%s/%s.pid" % (TMP, name),
        *["--dhcp-host=52:54:00:00:52:0%d,%s.1%d" % (i, address, i) for i in range(1, 6)])


def macvtaps():
    return sorted(name for name in os.listdir("/sys/class/net") if name.startswith("macvtap"))


def reaches(name, address):
    """What is behind the device gets an answer from the guest."""
    ping = ["ip", "netns", "exec", "at-" + name, "ping", "-c", "1", "-W", "2", address]
    wait_for("%s answers" % address,
             lambda: subprocess.run(ping, stdout=subprocess.DEVNULL, check=False).returncode == 0, 300)


def mac(name):
    with open("/sys/class/net/%s/address" % name, encoding="ascii") as stream:
        return stream.read().strip()


def valid(name, *options):
    xml = virsh("dumpxml", name, *options)
    run("virt-xml-validate", write("validate.xml", xml), "domain")
    return xml


cable("cable", "192.0.2")
cable("spare", "198.51.100")
with Daemon() as daemon:
    with test("a guest on a device of the host gets its address from what is behind it"):
        define("one", devices=DIRECT % (1, "cable", "bridge"))
        virsh("start", "one")
        reaches("cable", "192.0.2.11")
        check(macvtaps() == ["macvtap0"], str(macvtaps()))
        check(mac("macvtap0") == "52:54:00:00:52:01", "its address is " + mac("macvtap0"))
        xml = valid("one")
        check("<source dev='cable' mode='bridge'/>" in xml and "<target dev='macvtap0'/>" in xml, xml)
        check("macvtap0" not in valid("one", "--inactive"), "the inactive definition has the name")
    with test("its counters are the guest's, and limits hold in the right direction"):
        words = dict(line.split()[1:] for line in virsh("domifstat", "one", "macvtap0").splitlines() if line)
        with open("/sys/class/net/macvtap0/statistics/rx_bytes", encoding="ascii") as stream:
            check(0 < int(words["rx_bytes"]) <= int(stream.read()), str(words))
        virsh("domiftune", "one", "macvtap0", "--outbound", "1000", "--inbound", "2000", "--live")
        check("rate 8192Kbit" in run("tc", "class", "show", "dev", "macvtap0"), "outbound")
        check("rate 16384Kbit" in run("tc", "filter", "show", "dev", "macvtap0", "ingress"), "inbound")
    with test("a network of devices gives its guests one of them, and says so"):
        virsh("net-define", write("lan.xml", NETWORK % ("lan", "bridge", "<interface dev='cable'/>")))
        virsh("net-start", "lan")
        define("two", devices=JOINED % (2, "lan"))
        virsh("start", "two")
        xml = valid("two")
        check("<interface type='direct'>" in xml and "dev='cable' mode='bridge'" in xml
              and "network='lan'" in xml, xml)
        check("<interface type='network'>" in valid("two", "--inactive"), "the definition was changed")
        check("<interface dev='cable' connections='1'/>" in virsh("net-dumpxml", "lan"), "connections")
        reaches("cable", "192.0.2.12")
    with test("a device that is passed through serves one guest, and gets its own address back"):
        before = mac("spare")
        virsh("net-create", write("own.xml", NETWORK % ("own", "passthrough", "<interface dev='spare'/>")))
        define("three", devices=JOINED % (3, "own"))
        define("four", devices=JOINED % (4, "own"))
        virsh("start", "three")
        check(mac("spare") == "52:54:00:00:52:03", "the device has " + mac("spare"))
        fails("virsh", "-c", "qemu:///system", "start", "four", expect="exclusive access")
        virsh("destroy", "three")
        check(mac("spare") == before, "the device is left with " + mac("spare"))
    with test("devices that are down, missing or taken are named"):
        run("ip", "link", "set", "spare", "down")
        for name, device, mode, message in (("five", "nothing0", "vepa", "no network device 'nothing0'"),
                                            ("six", "spare", "private", "ip link set spare up"),
                                            ("seven", "cable", "passthrough", "'cable' is taken")):
            define(name, devices=DIRECT % (5, device, mode))
            fails("virsh", "-c", "qemu:///system", "start", name, expect=message)
        check(macvtaps() == ["macvtap0", "macvtap1"], str(macvtaps()))
    with test("a new daemon knows its guests' devices, and takes away those of a guest that ended meanwhile"):
        daemon.kill()
        os.kill(vmm_pid("one"), signal.SIGKILL)
        daemon.start()
        wait_for("the macvtap of the dead guest goes", lambda: macvtaps() == ["macvtap1"], 30)
        check("connections='1'" in virsh("net-dumpxml", "lan"), "the port is not counted")
        reaches("cable", "192.0.2.12")
    with test("nothing is left"):
        virsh("destroy", "two")
        check(not macvtaps(), str(macvtaps()))
        check("connections" not in virsh("net-dumpxml", "lan"), "a port is counted")
        virsh("net-destroy", "lan")
for world in "cable", "spare":
    with open("%s/%s.pid" % (TMP, world), encoding="ascii") as stream:
        os.kill(int(stream.read()), signal.SIGTERM)
    run("ip", "netns", "delete", "at-" + world)
