#!/usr/bin/python3
"""20-life - the life of a guest through stock clients on this host's /dev/kvm, whatever its kind: the
guest need not get far for the daemon's part to be seen.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import signal
import subprocess
import sys
import threading
import time

import libvirt

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from console import Console  # noqa: E402
from daemon import Daemon, event_loop, run, wait_for  # noqa: E402

GUEST = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../lab/guest")
XML = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <cmdline>console=ttyS0</cmdline>
  </os>
  <features><acpi/></features>
  <devices><console type='pty'/></devices>
</domain>
"""


def xml(name):
    kernel = subprocess.run([GUEST], check=True, capture_output=True, text=True).stdout.split()[0]
    return XML.format(name=name, kernel=kernel)


def events_of(conn, seen):
    """Runs the event loop in a thread and notes lifecycle events."""
    conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                lambda c, dom, event, detail, opaque: seen.append((dom.name(), event)), None)


def whole_life_with_events():
    with Daemon() as daemon:
        seen = []
        conn = libvirt.open(daemon.uri("qemu"))
        events_of(conn, seen)
        dom = conn.defineXML(xml("life"))
        assert [d.name() for d in conn.listAllDomains()] == ["life"] and dom.ID() == -1
        dom.create()
        assert dom.ID() == 1 and dom.isActive() and dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert "life" in daemon.virsh("list", scheme="qemu")
        dom.suspend()
        assert dom.state()[0] == libvirt.VIR_DOMAIN_PAUSED
        dom.resume()
        assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        dom.destroy()
        assert dom.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF and conn.listAllDomains()[0].ID() == -1
        dom.undefine()
        assert conn.listAllDomains() == []
        # As libvirt tells it, a guest's processors are let run before it counts as started.
        want = [("life", event) for event in (
            libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_RESUMED,
            libvirt.VIR_DOMAIN_EVENT_STARTED,
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED,
            libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED)]
        wait_for("events", lambda: len(seen) >= len(want))
        assert seen == want, seen
        conn.close()


def statistics_of_all():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.defineXML(xml("off"))
        on = conn.createXML(xml("on"))
        stats = {dom.name(): params for dom, params in conn.getAllDomainStats(0)}
        assert sorted(stats) == ["off", "on"], stats
        assert stats["off"]["state.state"] == libvirt.VIR_DOMAIN_SHUTOFF
        assert stats["off"]["balloon.maximum"] == 131072 and "cpu.time" not in stats["off"]
        assert stats["on"]["state.state"] == libvirt.VIR_DOMAIN_RUNNING
        assert stats["on"]["vcpu.current"] == 1 and stats["on"]["cpu.time"] > 0
        assert stats["on"]["block.count"] == 0 and stats["on"]["net.count"] == 0
        active = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE,
                                        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE)
        assert [(dom.name(), sorted(params)) for dom, params in active] == [
            ("on", ["state.reason", "state.state"])], active
        one = conn.domainListGetStats([conn.lookupByName("off")], libvirt.VIR_DOMAIN_STATS_STATE)
        assert [dom.name() for dom, _ in one] == ["off"], one
        try:
            conn.getAllDomainStats(1 << 20,
                                   libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
            raise AssertionError("a group that is not there was not refused")
        except libvirt.libvirtError as err:
            assert err.get_error_code() == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, err
        on.destroy()
        conn.close()


def errors_have_their_codes():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(xml("codes"))
        for code, call in ((libvirt.VIR_ERR_NO_DOMAIN, lambda: conn.lookupByName("nobody")),
                           (libvirt.VIR_ERR_NO_DOMAIN, lambda: conn.lookupByID(77)),
                           (libvirt.VIR_ERR_OPERATION_INVALID, dom.destroy),
                           (libvirt.VIR_ERR_OPERATION_INVALID, dom.suspend),
                           (libvirt.VIR_ERR_XML_ERROR, lambda: conn.defineXML("<domain type='kvm'/>")),
                           (libvirt.VIR_ERR_NO_NETWORK, lambda: conn.networkLookupByName("none"))):
            try:
                call()
                raise AssertionError("error %d did not come" % code)
            except libvirt.libvirtError as err:
                assert err.get_error_code() == code, "%d instead of %d: %s" % (
                    err.get_error_code(), code, err)
        dom.undefine()
        conn.close()


def console_ends_with_its_guest():
    with Daemon() as daemon:
        path = os.path.join(daemon.root, "x.xml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(xml("talk"))
        daemon.virsh("create", path, scheme="qemu")
        virsh = ["virsh", "-c", daemon.uri("qemu")]
        with Console(virsh, "talk") as console:
            console.expect("Connected to domain", 20)
            with Console(virsh, "talk") as second:
                second.expect("Active console session exists", 20)
            daemon.virsh("destroy", "talk", scheme="qemu")
            assert console.closed(20), "the console outlived its guest"
        assert daemon.virsh("list", "--all", "--name", scheme="qemu").strip() == ""


def guest_outlives_its_daemon():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.defineXML(xml("stay")).create()
        pid = vmm_of("stay")
        daemon.stop(signal.SIGKILL)
        daemon.start()
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.lookupByName("stay")
        assert dom.ID() == 1 and dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        assert vmm_of("stay") == pid
        with Console(["virsh", "-c", daemon.uri("qemu")], "stay") as console:
            console.expect("Connected to domain", 20)
        dom.destroy()
        wait_for("the end of kiln-vmm", lambda: vmm_of("stay") is None)


def vmm_of(name):
    out = subprocess.run(["pgrep", "-f", "kiln-vmm.*guest=%s," % name], capture_output=True, text=True)
    return int(out.stdout.split()[0]) if out.stdout.split() else None


def guest_goes_with_its_client():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.createXML(xml("tied"), libvirt.VIR_DOMAIN_START_AUTODESTROY)
        other = libvirt.open(daemon.uri("qemu"))
        assert other.lookupByName("tied").isActive()
        conn.close()
        wait_for("the guest's end", lambda: not other.listAllDomains())
        other.close()


def slow_call_holds_up_nobody():
    """While calls that change guests are at work on a connection, others on it are answered."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        doms = [conn.defineXML(xml("busy%d" % i)) for i in range(3)]
        threads = [threading.Thread(target=lambda d=dom: (d.create(), d.destroy())) for dom in doms]
        for thread in threads:
            thread.start()
        worst = 0
        while any(thread.is_alive() for thread in threads):
            begun = time.monotonic()
            conn.getVersion()
            worst = max(worst, time.monotonic() - begun)
            time.sleep(0.001)
        assert worst < 1, "a version took %.1f s" % worst
        conn.close()


if __name__ == "__main__":
    TESTS = [whole_life_with_events, statistics_of_all, errors_have_their_codes,
             console_ends_with_its_guest, guest_outlives_its_daemon, guest_goes_with_its_client, slow_call_holds_up_nobody]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        for test in TESTS:
            print("skip %s - no /dev/kvm for this user" % test.__name__.replace("_", "-"))
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run(TESTS)
