#!/usr/bin/python3
"""27-calls - the calls of everyday commands one by one, with flags that are good and flags that are not,
and the events that they send, as libvirt 9.0.0's daemon has them.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import resource
import time

import libvirt

from daemon import Daemon, event_loop, refused, run

XML = """<domain type='kvm'>
  <name>calls</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices><serial type='pty'/><console type='pty'/></devices>
</domain>
"""
NET = "<network><name>calls</name><bridge name='kilncalls0'/><ip address='192.168.233.1' prefix='24'/></network>"
NOBODY = "00000000-1111-4222-8333-444444444444"
UNKNOWN = 1 << 30  # no call has such a flag


def unknown_flags_of_domains():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML)
        stream = conn.newStream(0)
        for function, *argv in ((conn.listAllDomains, UNKNOWN), (conn.defineXMLFlags, XML, UNKNOWN),
                                (conn.createXML, XML, UNKNOWN), (dom.createWithFlags, UNKNOWN),
                                (dom.destroyFlags, UNKNOWN), (dom.shutdownFlags, UNKNOWN),
                                (dom.reboot, UNKNOWN), (dom.reset, UNKNOWN), (dom.state, UNKNOWN),
                                (dom.XMLDesc, UNKNOWN), (dom.undefineFlags, UNKNOWN),
                                (dom.hasManagedSaveImage, UNKNOWN), (dom.snapshotNum, UNKNOWN),
                                (dom.messages, UNKNOWN), (dom.openConsole, None, stream, UNKNOWN),
                                # flags of other calls' or other hypervisors
                                (dom.createWithFlags, libvirt.VIR_DOMAIN_START_VALIDATE),
                                (conn.createXML, XML, libvirt.VIR_DOMAIN_START_BYPASS_CACHE),
                                (conn.createXML, XML, libvirt.VIR_DOMAIN_START_FORCE_BOOT),
                                (dom.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_SIGNAL),
                                (dom.reboot, libvirt.VIR_DOMAIN_REBOOT_PARAVIRT)):
            refused(libvirt.VIR_ERR_INVALID_ARG, function, *argv)
        assert not dom.isActive() and dom.isPersistent()
        conn.close()


def domains_that_are_off_or_unknown():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML)
        for function, *argv in ((dom.destroy,), (dom.destroyFlags, libvirt.VIR_DOMAIN_DESTROY_GRACEFUL),
                                (dom.shutdown,), (dom.reboot, 0), (dom.reset, 0), (dom.suspend,), (dom.resume,),
                                (dom.openConsole, None, conn.newStream(0), 0)):
            refused(libvirt.VIR_ERR_OPERATION_INVALID, function, *argv)
        assert dom.ID() == -1 and dom.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN]
        assert dom.info() == [libvirt.VIR_DOMAIN_SHUTOFF, 65536, 65536, 1, 0], dom.info()
        assert dom.OSType() == "hvm" and dom.hasManagedSaveImage() == 0 and dom.snapshotNum() == 0
        assert dom.messages() == [] and dom.securityLabel() == ["", False] and dom.isUpdated() == 0
        refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByName, "nobody")
        refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByID, 4711)
        refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByUUIDString, NOBODY)
        refused(libvirt.VIR_ERR_XML_DETAIL, conn.defineXML, "<domain")
        refused(libvirt.VIR_ERR_XML_ERROR, conn.defineXML, "<network/>")
        refused(libvirt.VIR_ERR_XML_INVALID_SCHEMA, conn.defineXMLFlags, XML.replace("<features>", "<nonsense/><features>"),
                libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.defineXML, XML.replace("</name>", "</name><uuid>%s</uuid>" % NOBODY))
        dom.setAutostart(1)
        assert dom.autostart() == 1 and [each.name() for each in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)] == ["calls"]
        dom.setAutostart(0)
        assert conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART) == []
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.undefineFlags,
                libvirt.VIR_DOMAIN_UNDEFINE_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
        dom.undefine()
        for function, *argv in ((dom.info,), (dom.state,), (dom.XMLDesc,), (dom.create,), (dom.undefine,),
                                (dom.autostart,), (dom.isPersistent,), (dom.shutdown,)):
            refused(libvirt.VIR_ERR_NO_DOMAIN, function, *argv)
        conn.close()


def read_only_connections():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.defineXML(XML)
        conn.networkDefineXML(NET)
        look = libvirt.openReadOnly(daemon.uri("qemu", read_only=True))
        dom, net = look.lookupByName("calls"), look.networkLookupByName("calls")
        for function, *argv in ((look.defineXML, XML), (look.createXML, XML, 0), (dom.create,), (dom.createWithFlags, 0),
                                (dom.destroy,), (dom.shutdown,), (dom.reboot, 0), (dom.reset, 0), (dom.suspend,),
                                (dom.resume,), (dom.setAutostart, 1), (dom.undefine,), (dom.undefineFlags, 0),
                                (dom.XMLDesc, libvirt.VIR_DOMAIN_XML_SECURE),
                                (dom.openConsole, None, look.newStream(0), 0),
                                (look.networkDefineXML, NET), (look.networkCreateXML, NET), (net.create,),
                                (net.destroy,), (net.undefine,), (net.setAutostart, 1),
                                (net.update, 3, 4, -1, "<host/>", 0)):
            refused(libvirt.VIR_ERR_OPERATION_DENIED, function, *argv)
        assert dom.info() and dom.XMLDesc() and net.XMLDesc() and look.getCapabilities() and look.getInfo()
        conn.close()


class Events:
    """What lifecycle events say, in the order of their coming."""

    def __init__(self, conn):
        self.seen = []
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                    lambda _, dom, event, detail, __: self.seen.append((dom.name(), event, detail)), None)
        conn.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                                     lambda _, net, event, __, ___: self.seen.append((net.name(), event)), None)

    def expect(self, *wanted):
        until = time.monotonic() + 20
        while len(self.seen) < len(wanted) and time.monotonic() < until:
            time.sleep(0.01)
        assert self.seen == list(wanted), "%r, not %r" % (self.seen, wanted)
        self.seen.clear()


def life_of_a_domain():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        events = Events(conn)
        dom = conn.defineXML(XML)
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_ADDED))
        conn.defineXMLFlags(XML.replace("</name>", "</name><uuid>%s</uuid>" % dom.UUIDString()),
                            libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_UPDATED))
        dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED | libvirt.VIR_DOMAIN_START_FORCE_BOOT |
                            libvirt.VIR_DOMAIN_START_BYPASS_CACHE | libvirt.VIR_DOMAIN_START_RESET_NVRAM)
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED),
                      ("calls", libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED))
        assert dom.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER], dom.state()
        assert dom.ID() > 0 and conn.lookupByID(dom.ID()).name() == "calls"
        assert "<alias" in dom.XMLDesc() and "<alias" not in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.create)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, conn.createXML, dom.XMLDesc(), 0)
        dom.suspend()  # of a guest that is paused: nothing to do, nothing to tell
        dom.resume()
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED))
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.resume)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, dom.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, dom.reboot, libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
        dom.suspend()
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_PAUSED))
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.reboot, libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
        dom.reset()
        held = conn.newStream(0)
        dom.openConsole(None, held, libvirt.VIR_DOMAIN_CONSOLE_SAFE)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, dom.openConsole, "serial0", conn.newStream(0), 0)
        dom.openConsole(None, conn.newStream(0), libvirt.VIR_DOMAIN_CONSOLE_FORCE)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, dom.openConsole, "serial7", conn.newStream(0), 0)
        dom.undefine()
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_REMOVED))
        assert dom.isActive() and not dom.isPersistent()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.undefine)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.setAutostart, 1)
        dom.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL | libvirt.VIR_DOMAIN_DESTROY_REMOVE_LOGS)
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED))
        refused(libvirt.VIR_ERR_NO_DOMAIN, dom.state)
        assert not any(name == "calls.log" for _, _, names in os.walk(daemon.root) for name in names)

        other = libvirt.open(daemon.uri("qemu"))
        other.createXML(XML, libvirt.VIR_DOMAIN_START_AUTODESTROY | libvirt.VIR_DOMAIN_START_VALIDATE)
        other.close()
        events.expect(("calls", libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_UNPAUSED),
                      ("calls", libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED),
                      ("calls", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED))
        conn.close()


def descriptors_kept_for_a_guest_are_high():
    """libnftables waits by select(2), which takes none above 1023: what is kept for guests leaves the low ones."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        return "this host lends too few descriptors"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        where = "/proc/%d/fd" % daemon.main_pid()
        before = set(os.listdir(where))
        dom = conn.createXML(XML)
        deadline = time.monotonic() + 10
        while True:  # what another thread opens for a moment (the default network starts) is not kept
            added = set(os.listdir(where)) - before
            low = {name for name in added if int(name) < 1024}
            if added and not low or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        what = {name: os.readlink(os.path.join(where, name)) for name in low if os.path.lexists(
            os.path.join(where, name))}
        dom.destroy()
        # The daemon's own stay: GLib's thread for children begins with the first one, a pool's perhaps.
        assert added and not low - set(os.listdir(where)), what
        conn.close()


def networks():
    if os.geteuid() != 0:
        return "networks need root"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        events = Events(conn)
        for function, *argv in ((conn.listAllNetworks, UNKNOWN), (conn.networkDefineXMLFlags, NET, UNKNOWN),
                                (conn.networkCreateXMLFlags, NET, UNKNOWN)):
            refused(libvirt.VIR_ERR_INVALID_ARG, function, *argv)
        refused(libvirt.VIR_ERR_NO_NETWORK, conn.networkLookupByName, "nobody")
        refused(libvirt.VIR_ERR_NO_NETWORK, conn.networkLookupByUUIDString, NOBODY)
        refused(libvirt.VIR_ERR_XML_DETAIL, conn.networkDefineXML, "<network")
        net = conn.networkDefineXMLFlags(NET, libvirt.VIR_NETWORK_DEFINE_VALIDATE)
        for function, *argv in ((net.XMLDesc, UNKNOWN), (net.DHCPLeases, None, UNKNOWN),
                                (net.update, 3, 4, -1, "<host/>", UNKNOWN)):
            refused(libvirt.VIR_ERR_INVALID_ARG, function, *argv)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, net.destroy)
        assert net.bridgeName() == "kilncalls0" and not net.isActive() and net.isPersistent() and not net.autostart()
        net.setAutostart(1)
        wanted = libvirt.VIR_CONNECT_LIST_NETWORKS_AUTOSTART | libvirt.VIR_CONNECT_LIST_NETWORKS_INACTIVE
        assert net.autostart() and "calls" in [each.name() for each in conn.listAllNetworks(wanted)]
        wanted = libvirt.VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART
        assert "calls" not in [each.name() for each in conn.listAllNetworks(wanted)]
        net.create()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, net.create)
        assert net.DHCPLeases() == [] and net.isActive()
        net.undefine()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, net.setAutostart, 1)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, net.undefine)
        net.destroy()
        refused(libvirt.VIR_ERR_NO_NETWORK, net.isActive)
        events.expect(*(("calls", event) for event in (
            libvirt.VIR_NETWORK_EVENT_DEFINED, libvirt.VIR_NETWORK_EVENT_STARTED,
            libvirt.VIR_NETWORK_EVENT_UNDEFINED, libvirt.VIR_NETWORK_EVENT_STOPPED)))
        conn.close()


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run([unknown_flags_of_domains, domains_that_are_off_or_unknown, read_only_connections, life_of_a_domain,
             descriptors_kept_for_a_guest_are_high, networks])
