#!/usr/bin/python3
"""34-events - what clients are told of a guest's viewers, trays and monitor, through the stock bindings.
SeaBIOS is guest enough.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import socket
import sys
import threading

import libvirt
import libvirt_qemu

from daemon import Daemon, event_loop, refused, run, wait_for

XML = """<domain type='kvm'>
  <name>told</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='%s'/>
      <target dev='sda' bus='sata'/><readonly/></disk>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    <video><model type='vga'/></video>
    <memballoon model='none'/>
  </devices>
</domain>
"""
# VNC listens on the loopback device, which a new network namespace has down.
WRAP = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else ()


def viewer_and_tray():
    with event_loop(), Daemon(wrap=WRAP) as daemon:
        image = os.path.join(daemon.root, "cd.iso")
        with open(image, "wb") as stream:
            stream.truncate(1 << 20)
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(XML % image)
        phases, trays, told = [], [], []
        ids = [conn.domainEventRegisterAny(
            dom, libvirt.VIR_DOMAIN_EVENT_ID_GRAPHICS,
            lambda _, __, phase, local, remote, auth, subject, ___: phases.append((phase, auth)), None),
            conn.domainEventRegisterAny(
                dom, libvirt.VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
                lambda _, __, alias, reason, ___: trays.append((alias, reason)), None)]
        monitor = libvirt_qemu.qemuMonitorEventRegister(
            conn, dom, "vnc_.*", lambda _, __, event, ___, ____, details, _____:
            told.append((event, json.loads(details)["server"]["auth"])), None,
            libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX |
            libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE)
        other = libvirt_qemu.qemuMonitorEventRegister(
            conn, None, "STOP", lambda _, __, event, ___, ____, details, _____:
            told.append((event, details)), None, 0)
        with socket.socket(fileno=dom.openGraphicsFD(0, 0)) as viewer:
            viewer.settimeout(60)
            assert viewer.recv(12) == b"RFB 003.008\n"
            viewer.sendall(b"RFB 003.008\n")
            viewer.recv(viewer.recv(1)[0])
            viewer.sendall(b"\1")
            assert viewer.recv(4) == b"\0\0\0\0"
            viewer.sendall(b"\1")
            wait_for("the viewer is in", lambda: len(phases) == 2)
        wait_for("the viewer has gone", lambda: len(phases) == 3)
        assert phases == [(0, "none"), (1, "none"), (2, "none")], phases
        wait_for("the monitor's words", lambda: len(told) == 3)
        assert told == [("VNC_CONNECTED", "none"), ("VNC_INITIALIZED", "none"),
                        ("VNC_DISCONNECTED", "none")], told
        dom.suspend()
        wait_for("another's", lambda: told[3:] == [("STOP", None)])
        dom.resume()

        # a file goes along with a command
        command = '{"execute": "%s", "arguments": {"fdname": "word"}}'
        with open(image, "rb") as stream:
            answer, files = libvirt_qemu.qemuMonitorCommandWithFiles(dom, command % "getfd", [stream.fileno()], 0)
            assert json.loads(answer)["return"] == {} and files == [], (answer, files)
            refused(libvirt.VIR_ERR_INVALID_ARG, libvirt_qemu.qemuMonitorCommandWithFiles, dom, command % "getfd",
                    [stream.fileno()] * 2, 0)
        answer, _ = libvirt_qemu.qemuMonitorCommandWithFiles(dom, command % "closefd", [], 0)
        assert "return" in json.loads(answer), answer
        answer, _ = libvirt_qemu.qemuMonitorCommandWithFiles(dom, command % "closefd", [], 0)
        assert "error" in json.loads(answer), answer

        tuned = []
        ids.append(conn.domainEventRegisterAny(
            dom, libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE, lambda _, __, params, ___: tuned.append(params), None))
        dom.pinVcpu(0, (True,))
        wait_for("the pinning", lambda: tuned == [{"cputune.vcpupin0": "0"}])
        stats = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_BLOCK,
                                       libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING)[0][1]
        assert stats["block.count"] == 1 and stats["block.0.path"] == image, stats
        daemon.virsh("change-media", "told", "sda", "--eject", "--live", scheme="qemu")
        wait_for("the tray", lambda: trays)
        opened, closed = (libvirt.VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN,
                          libvirt.VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE)
        assert trays[0] == ("sata0-0-0", opened) and set(trays[1:]) <= {("sata0-0-0", closed)}, trays
        libvirt_qemu.qemuMonitorEventDeregister(conn, monitor)
        libvirt_qemu.qemuMonitorEventDeregister(conn, other)
        for each in ids:
            conn.domainEventDeregisterAny(each)
        refused(libvirt.VIR_ERR_INVALID_ARG, libvirt_qemu.qemuMonitorEventRegister, conn, None, "(",
                lambda *_: None, None, libvirt_qemu.VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX)
        dom.destroy()
        conn.close()


DISKS = """<disk type='file' device='disk'><driver name='qemu' type='raw'/>
      <source file='%s/none.img' startupPolicy='optional'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
      <source file='%s/%s.iso' startupPolicy='%s'/><target dev='sda' bus='sata'/><readonly/></disk>"""


def jobs_and_missing_images():
    with event_loop(), Daemon(wrap=WRAP) as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        head, rest = XML.split("    <disk", 1)
        head = head.replace("</name>", "</name><uuid>6b3b1f5e-0c1d-4e2a-9f37-000000000034</uuid>")
        xml = head + DISKS + rest.split("</disk>", 1)[1]
        told, changed = [], []
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                                    lambda _, dom, stats, ___: told.append(stats), None)
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_DISK_CHANGE,
                                    lambda _, dom, *what: changed.append(what[:-1]), None)
        # a requisite image must be there when the guest boots
        dom = conn.defineXML(xml % (daemon.root, daemon.root, "none", "requisite"))
        refused(libvirt.VIR_ERR_SYSTEM_ERROR, "none.iso", dom.create)
        dom = conn.defineXML(xml % (daemon.root, daemon.root, "none", "optional"))
        dom.create()
        wait_for("both disks", lambda: len(changed) == 2)
        assert changed == [(daemon.root + "/none.img", None, "virtio-disk0",
                            libvirt.VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START),
                           (daemon.root + "/none.iso", None, "sata0-0-0",
                            libvirt.VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START)], changed
        live = dom.XMLDesc()
        assert "none.i" not in live and "dev='vda'" not in live and "dev='sda'" in live, live
        assert "none.iso" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)

        assert dom.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED) == {"type": libvirt.VIR_DOMAIN_JOB_NONE}
        dom.coreDump(os.path.join(daemon.root, "core"), libvirt.VIR_DUMP_MEMORY_ONLY)
        wait_for("the dump", lambda: told)
        assert told[0]["operation"] == libvirt.VIR_DOMAIN_JOB_OPERATION_DUMP, told
        assert told[0]["memory_total"] == told[0]["memory_processed"] == 64 << 20, told
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.abortJob)
        stopped = libvirt.VIR_DOMAIN_EVENT_STOPPED
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                    lambda _, dom, event, __, ___: event == stopped and told.append(event), None)
        dom.save(os.path.join(daemon.root, "saved"))
        wait_for("the save, and then the end", lambda: told[2:] == [stopped])
        keep = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        stats = dom.jobStats(keep)
        assert stats.pop("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED and stats == told[1], (stats, told)
        assert stats["operation"] == libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE and stats["memory_total"] >= 64 << 20, stats
        assert stats["memory_remaining"] == 0 and stats["memory_processed"] > 0 and stats["time_elapsed"] >= 0, stats
        words = daemon.virsh("domjobinfo", "told", "--completed", scheme="qemu")
        assert "Completed" in words and "Save" in words, words
        assert dom.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)["type"] == libvirt.VIR_DOMAIN_JOB_NONE

        # one that went away meanwhile is done without
        image = os.path.join(daemon.root, "some.iso")
        with open(image, "wb") as stream:
            stream.truncate(1 << 20)
        dom = conn.defineXML(xml % (daemon.root, daemon.root, "some", "requisite"))
        dom.create()
        dom.managedSave()
        os.unlink(image)
        changed.clear()
        dom.create()
        wait_for("the CD", lambda: len(changed) == 1)
        assert changed[0][0] == image, changed
        dom.destroy()
        conn.close()


def definitions():
    """What tells a list of domains to drop the old name and to take the new one."""
    seen = []
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML % "/nowhere")
        call = conn.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            lambda _, who, event, detail, __: seen.append((who.name(), event, detail)), None)
        dom.rename("retold")
        wait_for("the events", lambda: len(seen) == 2)
        assert seen == [("told", libvirt.VIR_DOMAIN_EVENT_UNDEFINED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED),
                        ("retold", libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED)], seen
        conn.domainEventDeregisterAny(call)
        conn.close()


def network_that_is_starting():
    """virt-manager asks a network whether it runs as soon as it is defined, and never again if the
    answer comes between the start and its event."""
    with Daemon(wrap=WRAP) as daemon:
        hooks = os.path.join(daemon.root, "etc/kiln/hooks")
        os.makedirs(hooks, exist_ok=True)
        hook = os.path.join(hooks, "network")
        with open(hook, "w", encoding="utf-8") as stream:
            stream.write("#!/bin/sh\ntest $1-$2 != slow-start || { touch %s/begun; sleep 1; }\n" % daemon.root)
        os.chmod(hook, 0o755)
        conn, other = libvirt.open(daemon.uri("qemu")), libvirt.open(daemon.uri("qemu"))
        net = conn.networkDefineXML("<network><name>slow</name><bridge name='kilnslow'/></network>")
        starter = threading.Thread(target=net.create)
        starter.start()
        wait_for("the start", lambda: os.path.exists(os.path.join(daemon.root, "begun")))
        assert other.networkLookupByName("slow").isActive(), "it was told as it had been"
        starter.join()
        net.destroy()
        assert not net.isActive()
        for each in (conn, other):
            each.close()


if __name__ == "__main__":
    TESTS = [definitions, viewer_and_tray, jobs_and_missing_images]
    if os.geteuid() == 0:
        TESTS.append(network_that_is_starting)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skip viewer-and-tray - no /dev/kvm for this user")
        sys.exit(0)
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        print("skip viewer-and-tray - SeaBIOS is not installed")
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
