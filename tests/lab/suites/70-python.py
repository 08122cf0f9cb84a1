#!/usr/bin/python3
"""python3-libvirt, unmodified: life, events, lists and error codes.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import sys
import threading
import time

import libvirt

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, check, gone, guest_xml, run, test, wait_for  # noqa: E402

libvirt.registerErrorHandler(lambda *unused: None, None)
libvirt.virEventRegisterDefaultImpl()


def loop():
    while True:
        libvirt.virEventRunDefaultImpl()


threading.Thread(target=loop, daemon=True).start()


def code(function, *arguments):
    try:
        function(*arguments)
    except libvirt.libvirtError as error:
        return error.get_error_code()
    return 0


class ConsoleStream:
    """A guest's console by the API: a stream that a thread reads."""

    def __init__(self, domain):
        self.text = ""
        self.stream = domain.connect().newStream()
        domain.openConsole(None, self.stream, 0)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        with contextlib.suppress(libvirt.libvirtError):
            while data := self.stream.recv(4096):
                self.text += data.decode(errors="replace").replace("\r", "")

    def prompt(self, timeout):
        def asked():
            self.stream.send(b"\n")
            time.sleep(1)
            return "kiln-guest# " in self.text
        wait_for("a prompt", asked, timeout)

    def command(self, command, timeout=60):
        self.text = ""
        self.stream.send(("echo BE''GIN; %s; echo E''ND\n" % command).encode())
        return wait_for("the end of '%s'" % command, lambda: re.search(
            r"(?s)BEGIN\n(.*)END\n", self.text), timeout).group(1)


def journey(link):
    with test("journey: define and start by the API"):
        network = link.networkLookupByName("default")
        check(network.isActive() and network.autostart(), "default")
        domain = link.defineXML(guest_xml("walker"))
        domain.create()
        check("walker" in [d.name() for d in link.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)], "it is not listed")
    with test("journey: the console is a stream in both directions"):
        console = ConsoleStream(domain)
        console.prompt(240)
        check("6 times 7 is 42" in console.command("echo 6 times 7 is $((6 * 7))"), console.text)
    with test("journey: the guest's address by interfaceAddresses and DHCPLeases"):
        source = libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE
        found = wait_for("a lease", lambda: domain.interfaceAddresses(source), 60)
        (name, card), = found.items()
        lease, = network.DHCPLeases(card["hwaddr"])
        check(name == "vnet0" or name.startswith("vnet"), name)
        check(card["addrs"][0]["addr"] == lease["ipaddr"] and lease["hostname"] == "walker", str(lease))
        run("ping", "-c", "1", "-W", "5", lease["ipaddr"])
    with test("journey: the guest reaches outside through NAT, and resolves a name"):
        answer = console.command("wget -qO- http://world.test/cgi-bin/peer")
        check("203.0.113.2" in answer, answer)
    with test("journey: shutdown by the power button, undefine"):
        domain.shutdown()
        wait_for("it powers itself off", lambda: not domain.isActive(), 90)
        check(domain.state() == [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN],
              str(domain.state()))
        domain.undefine()
        gone("walker")


with Daemon():
    link = libvirt.open("qemu:///system")
    with test("connection facts"):
        check(link.getType() == "QEMU", link.getType())
        check(link.getURI() == "qemu:///system", link.getURI())
        check(link.getVersion() >= 7002000, str(link.getVersion()))
        check(link.isAlive() and link.isSecure() in (0, 1), "not alive")
        check(libvirt.open("kiln:///system").getType() == "Kiln", "the kiln: type")
        check(link.getInfo()[1] > 0 and link.getMaxVcpus("kvm") == 255, str(link.getInfo()))
        check("<capabilities>" in link.getCapabilities(), "capabilities")
        check("<domainCapabilities>" in link.getDomainCapabilities(None, "x86_64", "q35", "kvm"), "caps")
    seen, networks = [], []
    with test("events of domains and networks can be registered"):
        link.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                    lambda c, d, event, detail, o: seen.append((d.name(), event, detail)),
                                    None)
        link.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE,
                                     lambda c, n, event, detail, o: networks.append((n.name(), event)),
                                     None)
        link.registerCloseCallback(lambda *unused: None, None)
    with test("a life, told by events in order"):
        domain = link.defineXML(guest_xml("pyguest"))
        check(domain.ID() == -1 and not domain.isActive() and domain.isPersistent(), "as defined")
        domain.create()
        check(domain.ID() > 0 and domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, str(domain.state()))
        domain.suspend()
        check(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED, str(domain.state()))
        domain.resume()
        domain.reset()
        domain.destroy()
        domain.undefine()
        expected = [(libvirt.VIR_DOMAIN_EVENT_DEFINED, 0), (libvirt.VIR_DOMAIN_EVENT_STARTED, 0),
                    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED, 0), (libvirt.VIR_DOMAIN_EVENT_RESUMED, 0),
                    (libvirt.VIR_DOMAIN_EVENT_STOPPED, 0), (libvirt.VIR_DOMAIN_EVENT_UNDEFINED, 0)]

        def told():
            kinds = [event for name, event, _ in seen if name == "pyguest"]
            position = 0
            for kind in kinds:
                if position < len(expected) and kind == expected[position][0]:
                    position += 1
            return position == len(expected)
        wait_for("all events: %s" % seen, told, 20)
    with test("a transient guest is gone when it stops"):
        domain = link.createXML(guest_xml("passing"), libvirt.VIR_DOMAIN_START_PAUSED)
        check(domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED and not domain.isPersistent(), "paused")
        check("passing" in [d.name() for d in link.listAllDomains()], "listed")
        domain.resume()
        domain.destroy()
        check(code(link.lookupByName, "passing") == libvirt.VIR_ERR_NO_DOMAIN, "still there")
        gone("passing")
    with test("an auto-destroy guest dies with its client"):
        other = libvirt.open("qemu:///system")
        other.createXML(guest_xml("bound"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
        check(link.lookupByName("bound").isActive(), "running")
        other.close()
        wait_for("it is gone", lambda: code(link.lookupByName, "bound") == libvirt.VIR_ERR_NO_DOMAIN, 20)
        gone("bound")
    with test("the old lists and look-ups"):
        domain = link.defineXML(guest_xml("listed"))
        check("listed" in link.listDefinedDomains() and link.numOfDefinedDomains() >= 1, "defined")
        domain.create()
        check(domain.ID() in link.listDomainsID() and link.numOfDomains() == 1, "running")
        check(link.lookupByID(domain.ID()).UUIDString() == domain.UUIDString(), "by id")
        check(link.lookupByUUIDString(domain.UUIDString()).name() == "listed", "by uuid")
        check(domain.info()[3] == 1 and domain.info()[1] == 192 * 1024, str(domain.info()))
        domain.setAutostart(True)
        check(domain.autostart() == 1, "autostart")
        domain.destroy()
        domain.undefine()
    with test("error codes"):
        check(code(link.lookupByName, "nobody") == libvirt.VIR_ERR_NO_DOMAIN, "no domain")
        check(code(link.networkLookupByName, "nonet") == libvirt.VIR_ERR_NO_NETWORK, "no network")
        check(code(link.defineXML, "<domain") == libvirt.VIR_ERR_XML_DETAIL, "not well formed: %d"
              % code(link.defineXML, "<domain"))
        check(code(link.defineXML, "<domain type='kvm'><name>x</name></domain>")
              in (libvirt.VIR_ERR_XML_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR,
                  libvirt.VIR_ERR_OS_TYPE), "incomplete")
        check(code(link.changeBegin) == libvirt.VIR_ERR_NO_SUPPORT, "what is not there is 3")
        domain = link.defineXML(guest_xml("codes"))
        check(code(domain.shutdown) == libvirt.VIR_ERR_OPERATION_INVALID, "not running")
        check(code(domain.destroy) == libvirt.VIR_ERR_OPERATION_INVALID, "not running")
        domain.undefine()
        reader = libvirt.openReadOnly("qemu:///system")
        check(code(reader.defineXML, guest_xml("x")) == libvirt.VIR_ERR_OPERATION_DENIED, "read-only")
    with test("networks by the API"):
        network = link.networkLookupByName("default")
        check(network.isActive() and network.autostart() and network.isPersistent(), "default")
        check(network.bridgeName() == "virbr0", network.bridgeName())
        made = link.networkDefineXML("<network><name>quiet</name><bridge name='virbr77'/>"
                                     "<ip address='10.99.0.1' netmask='255.255.255.0'/></network>")
        made.create()
        check("quiet" in link.listNetworks() and os.path.exists("/sys/class/net/virbr77"), "started")
        made.destroy()
        check(not os.path.exists("/sys/class/net/virbr77"), "its bridge is left")
        made.undefine()
        wait_for("network events: %s" % networks,
                 lambda: [e for n, e in networks if n == "quiet"] ==
                 [libvirt.VIR_NETWORK_EVENT_DEFINED, libvirt.VIR_NETWORK_EVENT_STARTED,
                  libvirt.VIR_NETWORK_EVENT_STOPPED, libvirt.VIR_NETWORK_EVENT_UNDEFINED], 10)
    journey(link)
