#!/usr/bin/python3
"""34-events - what clients are told of a guest's viewers, trays and monitor, through the stock bindings.
SeaBIOS is guest enough.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import socket
import sys

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


if __name__ == "__main__":
    TESTS = [viewer_and_tray]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skip viewer-and-tray - no /dev/kvm for this user")
        sys.exit(0)
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        print("skip viewer-and-tray - SeaBIOS is not installed")
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
