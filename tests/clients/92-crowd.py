#!/usr/bin/python3
"""92-crowd - a thousand defined domains, many of them running at once on this host's /dev/kvm: lists, bulk
statistics, events, a daemon that dies and comes back, autostart, and a clean end of all.

usage: 92-crowd.py [--defined N] [--running N]

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import os
import signal
import sys
import time

import libvirt

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from daemon import Daemon, event_loop, run, wait_for  # noqa: E402
from halting import image  # noqa: E402

XML = """<domain type='kvm'><name>{name}</name><memory unit='MiB'>{mib}</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os><features><acpi/></features>
<devices><controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"""
MIB = 20
RUNNING = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE


class Crowd:
    def __init__(self, daemon, options):
        self.daemon, self.running = daemon, options.running
        self.names = ["crowd-%04d" % i for i in range(options.defined)]
        self.kernel = os.path.join(daemon.root, "halting")
        with open(self.kernel, "wb") as stream:
            stream.write(image())
        self.events = []
        self.connect()

    def connect(self):
        self.conn = libvirt.open(self.daemon.uri("qemu"))
        self.conn.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda conn, dom, event, detail, opaque: self.events.append((dom.name(), event)), None)

    def happened(self, event):
        return [name for name, what in self.events if what == event]

    def await_events(self, event, names):
        """One of @event for each of @names, in their order, and no others."""
        wait_for("events %d" % event, lambda: len(self.happened(event)) >= len(names))
        found = self.happened(event)
        assert found == names, "%d events %d, not %d: %r" % (len(found), event, len(names), found[:5])

    def processes(self):
        """By the names of those that run: their id and process."""
        return {dom.name(): (dom.ID(), self.pid(dom)) for dom in self.conn.listAllDomains(RUNNING)}

    def pid(self, dom):
        path = os.path.join(self.daemon.root, "run/kiln/domain", dom.name() + ".status")
        with open(path, encoding="utf-8") as stream:
            return int(stream.read().split("<process pid='")[1].split("'")[0])

    def look(self, running):
        """What lists and statistics say of a crowd of which the first @running run."""
        self.seen = {}
        begin = time.monotonic()
        domains = {dom.name(): dom for dom in self.conn.listAllDomains()}
        self.seen["list"] = time.monotonic() - begin
        assert sorted(domains) == self.names
        active = sorted(dom.name() for dom in self.conn.listAllDomains(RUNNING))
        assert active == self.names[:running], "%d run, not %d" % (len(active), running)
        assert sorted(dom.ID() for dom in domains.values() if dom.ID() > 0) == sorted(self.conn.listDomainsID())
        assert self.conn.numOfDomains() == running
        assert self.conn.numOfDefinedDomains() == len(self.names) - running
        begin = time.monotonic()
        stats = {dom.name(): record for dom, record in self.conn.getAllDomainStats()}
        self.seen["statistics"] = time.monotonic() - begin
        assert sorted(stats) == self.names
        for name, record in stats.items():
            on = name in active
            assert record["state.state"] == (libvirt.VIR_DOMAIN_RUNNING if on else libvirt.VIR_DOMAIN_SHUTOFF)
            assert record["balloon.maximum"] == MIB * 1024 and record["vcpu.maximum"] == 1, record
            # only those that run have used a processor
            assert ("cpu.time" in record and record["cpu.time"] > 0) == on, record
        return domains


def runs(pid):
    """Whether a process has more left of it than what its parent has not asked for."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as stream:
            return stream.read().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


def tell(crowd, what):
    print("# %s: %s" % (what, ", ".join("%s %.1f ms" % (name, took * 1000) for name, took in crowd.seen.items())))


def crowd_lives(options):
    with Daemon() as daemon, event_loop():
        crowd = Crowd(daemon, options)
        for name in crowd.names:
            crowd.conn.defineXML(XML.format(name=name, mib=MIB, kernel=crowd.kernel))
        crowd.await_events(libvirt.VIR_DOMAIN_EVENT_DEFINED, crowd.names)
        domains = crowd.look(0)
        tell(crowd, "%d defined" % len(crowd.names))
        chosen = crowd.names[:crowd.running]
        begin = time.monotonic()
        for name in chosen:
            domains[name].create()
        print("# each start %.1f ms" % ((time.monotonic() - begin) * 1000 / len(chosen)))
        crowd.await_events(libvirt.VIR_DOMAIN_EVENT_STARTED, chosen)
        crowd.look(len(chosen))
        tell(crowd, "%d of them running" % len(chosen))

        before = crowd.processes()
        daemon.stop(signal.SIGKILL)
        crowd.conn.close()
        begin = time.monotonic()
        daemon.start()
        print("# found again in %.1f ms" % ((time.monotonic() - begin) * 1000))
        crowd.connect()
        domains = crowd.look(len(chosen))
        assert crowd.processes() == before

        for name in chosen:
            domains[name].setAutostart(1)
        crowd.events.clear()
        for name in chosen:
            domains[name].destroy()
        crowd.await_events(libvirt.VIR_DOMAIN_EVENT_STOPPED, chosen)
        crowd.look(0)
        wait_for("the processes' end", lambda: not any(runs(pid) for _, pid in before.values()), 20)

        # the host begins anew: /run is empty
        crowd.conn.close()
        daemon.stop()
        os.unlink(os.path.join(daemon.root, "run/kiln/domain/autostarted"))
        begin = time.monotonic()
        daemon.start()
        crowd.connect()
        wait_for("autostart", lambda: crowd.conn.numOfDomains() == len(chosen))
        print("# all autostarted in %.1f ms" % ((time.monotonic() - begin) * 1000))
        domains = crowd.look(len(chosen))
        crowd.events.clear()
        for dom in domains.values():
            if dom.isActive():
                dom.destroy()
            dom.undefine()
        crowd.await_events(libvirt.VIR_DOMAIN_EVENT_UNDEFINED, crowd.names)
        assert crowd.conn.listAllDomains() == []
        crowd.conn.close()
        assert daemon.stop() == 0
        left = [name for _, _, names in os.walk(os.path.join(daemon.root, "run")) for name in names
                if name.startswith("crowd-")]
        assert not left, left


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--defined", type=int, default=1000, metavar="N")
    parser.add_argument("--running", type=int, default=100, metavar="N")
    options = parser.parse_args()

    def a_crowd_is_listed_counted_found_again_and_ended():
        crowd_lives(options)
    run([a_crowd_is_listed_counted_found_again_and_ended])


main()
