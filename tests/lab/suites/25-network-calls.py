#!/usr/bin/python3
"""Networks through the daemon, with python3-libvirt and virsh: every call, error codes, events,
restart and kill -9 of the daemon.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import subprocess
import sys
import threading

import libvirt

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, check, fails, run, test, virsh, wait_for  # noqa: E402

libvirt.registerErrorHandler(lambda *unused: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()

SMALL = """<network><name>%s</name><bridge stp='off'/><ip address='%s' prefix='24'>
<dhcp><range start='%s' end='%s'/></dhcp></ip></network>"""
HOST = "<host mac='52:54:00:00:00:0%d' name='h%d' ip='192.168.122.20%d'/>"
ADD, DELETE, DHCP_HOST = 3, 2, 4
LIVE, CONFIG = 1, 2


def small(name, net):
    return SMALL % (name, net + ".1", net + ".2", net + ".99")


def code(function, *arguments):
    try:
        function(*arguments)
    except libvirt.libvirtError as error:
        print("%d %s" % (error.get_error_code(), error), flush=True)
        return error.get_error_code()
    return 0


def is_code(want, function, *arguments):
    got = code(function, *arguments)
    check(got == want, "code %d, not %d" % (got, want))


def dnsmasq_pid(name):
    with open("/run/kiln/network/%s.pid" % name, encoding="ascii") as file:
        return int(file.read())


def kernel_has(bridge):
    return os.path.exists("/sys/class/net/" + bridge)


daemon = Daemon().start()
link = libvirt.open("qemu:///system")
events = []

with test("default is there, active, with autostart"):
    out = virsh("net-list", "--all")
    check("default" in out and "active" in out and "yes" in out, out)
    default = link.networkLookupByName("default")
    check(default.isActive() and default.isPersistent() and default.autostart(), "its state")
    check(default.bridgeName() == "virbr0", default.bridgeName())
    check(link.networkLookupByUUIDString(default.UUIDString()).name() == "default", "by UUID")
    check("<port start='1024' end='65535'/>" in default.XMLDesc(), default.XMLDesc())
    check("<port" not in default.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE), "inactive XML")
with test("virsh net-info, net-dumpxml, net-dhcp-leases, net-uuid"):
    virsh("net-info", "default")
    virsh("net-dumpxml", "default", "--inactive")
    virsh("net-dhcp-leases", "default")
    virsh("net-uuid", "default")
with test("read-only clients look but do not touch"):
    reader = libvirt.openReadOnly("qemu:///system")
    check(reader.networkLookupByName("default").XMLDesc(), "no XML")
    is_code(libvirt.VIR_ERR_OPERATION_DENIED, reader.networkLookupByName("default").destroy)
with test("lists and numbers"):
    check(link.listNetworks() == ["default"] and link.numOfNetworks() == 1, str(link.listNetworks()))
    check(link.listDefinedNetworks() == [] and link.numOfDefinedNetworks() == 0, "defined")
    names = [n.name() for n in link.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)]
    check(names == ["default"], str(names))
    check(link.listAllNetworks(libvirt.VIR_CONNECT_LIST_NETWORKS_INACTIVE) == [], "inactive")
link.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                             lambda c, n, event, detail, o: events.append((n.name(), event)), None)
with test("a life, told by events"):
    net = link.networkDefineXML(small("life", "192.168.210"))
    check(not net.isActive() and net.isPersistent(), "state after define")
    net.create()
    check(kernel_has(net.bridgeName()), "no bridge")
    net.setAutostart(1)
    check(net.autostart() == 1, "autostart")
    bridge = net.bridgeName()
    net.undefine()
    check(net.isActive() and not net.isPersistent(), "undefine leaves it running")
    net.destroy()
    check(not kernel_has(bridge), "bridge left")
    is_code(libvirt.VIR_ERR_NO_NETWORK, net.isActive)
    wait_for("four events", lambda: len(events) >= 4, 10)
    check(events == [("life", 0), ("life", 2), ("life", 1), ("life", 3)], str(events))
with test("error codes"):
    is_code(libvirt.VIR_ERR_NO_NETWORK, link.networkLookupByName, "nobody")
    is_code(libvirt.VIR_ERR_OPERATION_INVALID, default.create)
    is_code(libvirt.VIR_ERR_OPERATION_FAILED, link.networkDefineXML, small("default", "192.168.211"))
    is_code(libvirt.VIR_ERR_XML_ERROR, link.networkDefineXML,
            "<network><name>n</name><forward mode='nat'/></network>")
    is_code(libvirt.VIR_ERR_XML_DETAIL, link.networkDefineXML, "<network><name>n</name>")
    is_code(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, link.networkCreateXML,
            "<network><name>n</name><bridge zone='dmz'/></network>")
    is_code(libvirt.VIR_ERR_XML_INVALID_SCHEMA, link.networkDefineXMLFlags,
            "<network><name>n</name><nonsense/></network>", libvirt.VIR_NETWORK_DEFINE_VALIDATE)
    is_code(libvirt.VIR_ERR_INVALID_ARG, default.XMLDesc, 64)
    is_code(libvirt.VIR_ERR_INTERNAL_ERROR, link.networkCreateXML, small("clash", "192.168.122"))
    fails("virsh", "-c", "qemu:///system", "net-start", "nobody", expect="failed to get network")
    check(len(link.listAllNetworks()) == 1, "something was left")
with test("virsh net-update in both definitions"):
    virsh("net-update", "default", "add", "ip-dhcp-host", HOST % (1, 1, 1), "--live", "--config")
    check("h1" in default.XMLDesc() and "h1" in default.XMLDesc(1), "not in both")
    default.update(ADD, DHCP_HOST, -1, HOST % (2, 2, 2), LIVE)
    check("h2" in default.XMLDesc() and "h2" not in default.XMLDesc(1), "live only")
    is_code(libvirt.VIR_ERR_OPERATION_INVALID, default.update, ADD, DHCP_HOST, -1, HOST % (2, 2, 2), LIVE)
    default.update(DELETE, DHCP_HOST, -1, "<host name='h1'/>", LIVE | CONFIG)
    check("h1" not in default.XMLDesc() and "h1" not in default.XMLDesc(1), "not deleted")
with test("a transient network is gone when stopped"):
    net = link.networkCreateXML(small("passing", "192.168.212"))
    is_code(libvirt.VIR_ERR_OPERATION_INVALID, net.setAutostart, 1)
    is_code(libvirt.VIR_ERR_OPERATION_INVALID, net.undefine)
    net.destroy()
    is_code(libvirt.VIR_ERR_NO_NETWORK, link.networkLookupByName, "passing")
with test("networks and dnsmasq outlive a killed daemon"):
    link.networkCreateXML(small("stays", "192.168.213"))
    before = dnsmasq_pid("default"), dnsmasq_pid("stays")
    daemon.kill()
    check(kernel_has("virbr0"), "bridge gone")
    daemon.start()
    link = libvirt.open("qemu:///system")
    check(sorted(link.listNetworks()) == ["default", "stays"], str(link.listNetworks()))
    check((dnsmasq_pid("default"), dnsmasq_pid("stays")) == before, "another dnsmasq")
    check("h2" in link.networkLookupByName("default").XMLDesc(), "live definition lost")
    check(not link.networkLookupByName("stays").isPersistent(), "transient no more")
with test("what was stopped by hand stays so over a restart"):
    link.networkLookupByName("stays").destroy()
    link.networkLookupByName("default").destroy()
    daemon.stop()
    daemon.start()
    link = libvirt.open("qemu:///system")
    check(link.listNetworks() == [], str(link.listNetworks()))
with test("nothing is left"):
    left = run("nft", "list", "tables") + run("ip", "-o", "link")
    check("kiln" not in left and "virbr" not in left, left)
    check(subprocess.run(["pgrep", "-f", "conf-file=/var/lib/libvirt/dnsmasq"], stdout=subprocess.DEVNULL,
                         check=False).returncode == 1, "a dnsmasq")
    check(os.listdir("/run/kiln/network") == ["autostarted"], str(os.listdir("/run/kiln/network")))
daemon.stop()
