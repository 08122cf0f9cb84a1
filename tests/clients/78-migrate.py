#!/usr/bin/python3
"""78-migrate - guests go from one daemon to another through the stock virsh and bindings, while they change their
memory and look at it: running, standing still, cancelled, and with one side failing or its client gone.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import xml.etree.ElementTree as ET

import libvirt

from daemon import BUILD, Daemon, event_loop, refused, run, wait_for

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
IMG = os.path.abspath(os.path.join(BUILD, "block/img/kiln-img"))
XML = """<domain type='kvm'>
  <name>wanderer</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><cmdline>dirty</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <serial type='file'><source path='{serial}' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""
LIVE, UNSAFE = libvirt.VIR_MIGRATE_LIVE, libvirt.VIR_MIGRATE_UNSAFE
PAUSED = libvirt.VIR_MIGRATE_PAUSED
URI, NAME, SPEED = (libvirt.VIR_MIGRATE_PARAM_URI, libvirt.VIR_MIGRATE_PARAM_DEST_NAME,
                    libvirt.VIR_MIGRATE_PARAM_BANDWIDTH)
UNSUPPORTED = libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
STOPPED, SUSPENDED, RESUMED = (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
                               libvirt.VIR_DOMAIN_EVENT_RESUMED)


class Hosts:
    """Two daemons in one network, with a guest that runs at the first."""

    def __init__(self, here, there):
        self.here, self.there = here, there
        self.disk, self.serial = os.path.join(here.root, "disk.qcow2"), os.path.join(here.root, "serial")
        self.events = {here: [], there: []}
        # the VMM of the other daemon writes there as well
        os.chmod(here.root, 0o755)
        subprocess.run([IMG, "create", "-q", "-f", "qcow2", self.disk, "16M"], check=True)
        self.source, self.target = self.connect(here), self.connect(there)
        self.dom = self.source.defineXML(XML.format(kernel=BARE, disk=self.disk, serial=self.serial))
        self.dom.create()
        self.goes_on()

    def connect(self, daemon):
        conn = libvirt.open(daemon.uri("qemu"))
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.event, daemon)
        return conn

    def event(self, _conn, _dom, event, detail, daemon):
        self.events[daemon].append((event, detail))

    def said(self):
        with open(self.serial, encoding="ascii", errors="replace") as file:
            return file.read().split("\n")[-1]

    def goes_on(self):
        """A dot for each look at its memory that found all as it was left."""
        before = len(self.said())
        wait_for("the guest", lambda: len(self.said()) > before + 2)
        assert set(self.said()) == {"."}, self.said()

    def at(self):
        return "unix://%s/incoming" % self.there.root

    def params(self, **more):
        return {URI: self.at(), **more}

    def nothing_there(self):
        wait_for("the other daemon's guest to go", lambda: not self.target.listAllDomains())

    def stays(self):
        """The guest is here and nowhere else."""
        self.nothing_there()
        wait_for("the guest to run", lambda: self.dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING)
        self.goes_on()
        # no job is left over
        self.dom.suspend()
        self.dom.resume()
        self.goes_on()

    def start_slowly(self):
        """A migration that does not end by itself, in a thread; the list gets what it raised."""
        problems = []

        def migrate():
            try:
                self.dom.migrate3(self.target, self.params(**{SPEED: 1}), LIVE | UNSAFE)
                problems.append(None)
            except libvirt.libvirtError as problem:
                problems.append(problem)

        thread = threading.Thread(target=migrate)
        thread.start()
        wait_for("the migration", lambda: problems or self.dom.jobStats().get("memory_processed", 0) > 0)
        assert not problems, problems
        return thread, problems


@contextlib.contextmanager
def hosts():
    with Daemon() as here:
        wrap = []
        if here.wrap:
            space = ["nsenter", "--net=/proc/%d/ns/net" % here.main_pid()]
            subprocess.run(space + ["ip", "link", "set", "lo", "up"], check=True)
            wrap = space
        with Daemon(wrap=wrap or ["env"]) as there:
            both = Hosts(here, there)
            try:
                yield both
            finally:
                for conn in both.source, both.target:
                    for dom in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                        with contextlib.suppress(libvirt.libvirtError):
                            dom.destroy()
                    with contextlib.suppress(libvirt.libvirtError):
                        conn.close()


def virsh_takes_a_running_guest_along():
    with hosts() as both:
        to = both.there.uri("qemu")
        out = both.here.virsh("migrate", "--live", "wanderer", to, "--migrateuri", both.at(), expect=1, scheme="qemu")
        assert "Unsafe migration: Migration without shared storage is unsafe" in out, out
        both.here.virsh("migrate", "--live", "--persistent", "--undefinesource", "--unsafe", "--verbose", "wanderer", to,
                        "--migrateuri", "tcp://127.0.0.1", scheme="qemu", timeout=120)
        dom = both.target.lookupByName("wanderer")
        assert dom.state() == [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATED], dom.state()
        assert dom.isPersistent() and dom.UUIDString() == both.dom.UUIDString()
        both.goes_on()
        assert not both.source.listAllDomains()
        wait_for("events", lambda: (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED) in both.events[both.here])
        assert (SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED) in both.events[both.here], both.events
        wait_for("events", lambda: (RESUMED, libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED) in both.events[both.there])
        assert (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED) in both.events[both.there]
        # it is the other daemon's now: that one forgets nothing, and ends it
        both.target.close()
        both.there.stop()
        both.there.start()
        both.target = both.connect(both.there)
        dom = both.target.lookupByName("wanderer")
        assert dom.info()[0] == libvirt.VIR_DOMAIN_RUNNING
        both.goes_on()
        dom.destroy()
        done = subprocess.run([IMG, "check", "-q", both.disk], check=False)
        assert done.returncode == 0


def there_and_back_again():
    with hosts() as both:
        told, rounds = [], []
        both.source.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                           lambda _, __, stats, ___: told.append(stats), None)
        both.source.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                                           lambda _, __, iteration, ___: rounds.append(iteration), None)
        moved = both.dom.migrate3(both.target, both.params(), UNSAFE)
        both.goes_on()
        wait_for("the job's end", lambda: told)
        stats = both.dom.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        assert stats.pop("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED and stats == told[0], (stats, told)
        assert stats["operation"] == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, stats
        assert stats["memory_total"] == 32 << 20 and stats["memory_remaining"] == 0 < stats["memory_processed"], stats
        assert not both.dom.isActive() and both.dom.isPersistent() and not moved.isPersistent()
        assert (SUSPENDED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED) in both.events[both.here], both.events
        # under its own name and UUID it is known at the first; standing still it stays so
        moved.suspend()
        back = moved.migrate3(both.source, {URI: "unix://%s/back" % both.here.root}, LIVE | UNSAFE)
        assert back.state()[0] == libvirt.VIR_DOMAIN_PAUSED, back.state()
        assert back.UUIDString() == both.dom.UUIDString() and back.isPersistent()
        both.nothing_there()
        back.resume()
        both.goes_on()
        moved = both.dom.migrate3(both.target, both.params(**{NAME: "stranger"}), LIVE | UNSAFE | PAUSED)
        assert moved.name() == "stranger" and moved.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        wait_for("the job's end", lambda: len(told) == 2)
        assert rounds and rounds[-1] == told[1]["memory_iteration"], (rounds, told)
        assert "downtime" in told[1], told
        moved.resume()
        both.goes_on()
        moved.destroy()


def a_cancelled_guest_stays():
    with hosts() as both:
        thread, problems = both.start_slowly()
        stats = both.dom.jobStats()
        assert stats["operation"] == libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT and stats["memory_total"] == 32 << 20
        assert both.target.lookupByName("wanderer").state() == \
            [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION]
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "inmigrate", both.target.lookupByName("wanderer").resume)
        both.dom.abortJob()
        thread.join(120)
        assert problems and problems[0].get_error_code() == libvirt.VIR_ERR_OPERATION_ABORTED, problems
        both.stays()


def a_guest_is_destroyed_on_its_way():
    with hosts() as both:
        thread, problems = both.start_slowly()
        both.dom.destroy()
        thread.join(120)
        assert problems and problems[0], problems
        assert not both.dom.isActive()
        both.nothing_there()


def a_suspended_guest_arrives():
    with hosts() as both:
        thread, problems = both.start_slowly()
        both.dom.suspend()
        both.dom.migrateSetMaxSpeed(1000)
        thread.join(120)
        assert problems == [None], problems
        assert both.target.lookupByName("wanderer").state()[0] == libvirt.VIR_DOMAIN_RUNNING
        both.goes_on()


def a_guest_stays_when_the_other_side_fails():
    for kill_daemon in False, True:
        with hosts() as both:
            thread, problems = both.start_slowly()
            with open(both.there.root + "/run/kiln/domain/wanderer.status", encoding="utf-8") as file:
                pid = int(re.search(r"<process pid='(\d+)'", file.read())[1])
            if kill_daemon:
                os.kill(both.there.main_pid(), signal.SIGKILL)
                both.there.process.wait(20)
            os.kill(pid, signal.SIGKILL)
            thread.join(120)
            assert problems and problems[0], problems
            if kill_daemon:
                both.there.start()
                both.target = both.connect(both.there)
            both.stays()


def a_guest_stays_when_its_client_or_daemon_goes():
    with hosts() as both:
        client = subprocess.Popen(["virsh", "-c", both.here.uri("qemu"), "migrate", "--live", "--unsafe", "wanderer",
                                   both.there.uri("qemu"), "--migrateuri", both.at(), "--bandwidth", "1"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the migration", lambda: both.dom.jobStats().get("memory_processed", 0) > 0)
        client.kill()
        client.wait()
        both.stays()
        thread, problems = both.start_slowly()
        os.kill(both.here.main_pid(), signal.SIGKILL)
        both.here.process.wait(20)
        thread.join(120)
        assert problems and problems[0], problems
        both.here.start()
        both.source = both.connect(both.here)
        both.dom = both.source.lookupByName("wanderer")
        both.stays()


def what_is_not_offered_is_refused():
    with hosts() as both:
        refused(UNSUPPORTED, "shared storage", both.dom.migrate3, both.target, both.params(),
                LIVE | UNSAFE | libvirt.VIR_MIGRATE_NON_SHARED_DISK)
        refused(UNSUPPORTED, "post-copy", both.dom.migrate3, both.target, both.params(),
                LIVE | UNSAFE | libvirt.VIR_MIGRATE_POSTCOPY)
        refused(UNSUPPORTED, "'compression' is not offered", both.dom.migrate3, both.target,
                both.params(compression="xbzrle"), LIVE | UNSAFE)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "to the same host", both.dom.migrate3, both.source, both.params(),
                LIVE | UNSAFE)
        refused(UNSUPPORTED, "rdma", both.dom.migrate3, both.target, {URI: "rdma://there"}, LIVE | UNSAFE)
        assert both.dom.migrateGetMaxSpeed() == 8796093022207
        both.dom.migrateSetMaxSpeed(7)
        assert both.dom.migrateGetMaxSpeed() == 7
        both.dom.migrateSetMaxDowntime(1234)
        assert both.dom.migrateGetMaxDowntime() == 1234
        features = ET.fromstring(both.source.getCapabilities()).find("host/migration_features")
        assert features.find("live") is not None and \
            [t.text for t in features.findall("uri_transports/uri_transport")] == ["tcp"]
        both.stays()


if __name__ == "__main__":
    with event_loop():
        run([virsh_takes_a_running_guest_along, there_and_back_again, a_cancelled_guest_stays, a_guest_is_destroyed_on_its_way, a_suspended_guest_arrives,
             a_guest_stays_when_the_other_side_fails, a_guest_stays_when_its_client_or_daemon_goes,
             what_is_not_offered_is_refused])
