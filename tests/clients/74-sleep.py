#!/usr/bin/python3
"""74-sleep - guests that sleep in memory: their state, the events of both, waking them, a daemon that begins
anew meanwhile; through the stock bindings. The guest is the boot sector of the firmware's tests, which
sleeps once.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import signal

import libvirt

from daemon import BUILD, Daemon, event_loop, refused, run, wait_for

SLEEPER = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/sleep_boot"))
XML = """<domain type='kvm'>
  <name>sleeper</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>{boot}</os>
  <features><acpi/></features>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def sleeps(dom):
    return dom.state()[0] == libvirt.VIR_DOMAIN_PMSUSPENDED


def asleep_and_awake():
    with event_loop(), Daemon() as daemon:
        disk = os.path.join(daemon.root, "sleeper.img")
        shutil.copy(SLEEPER, disk)
        os.truncate(disk, 1 << 20)
        conn = libvirt.open(daemon.uri("qemu"))
        seen = []
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                    lambda conn, dom, event, detail, _: seen.append((event, detail)), None)
        for event, name in ((libvirt.VIR_DOMAIN_EVENT_ID_PMSUSPEND, "suspend"),
                            (libvirt.VIR_DOMAIN_EVENT_ID_PMWAKEUP, "wakeup")):
            conn.domainEventRegisterAny(None, event,
                                        lambda conn, dom, reason, name: seen.append((name, reason)), name)
        for machine in ("q35", "pc"):
            seen.clear()
            dom = conn.createXML(XML.format(machine=machine, disk=disk, boot=""))
            wait_for("the guest sleeps", lambda: sleeps(dom))
            refused(libvirt.VIR_ERR_OPERATION_INVALID, "pmsuspended", dom.suspend)
            refused(libvirt.VIR_ERR_OPERATION_INVALID, "pmsuspended", dom.resume)
            dom.pMWakeup()
            wait_for("the guest is awake", lambda: dom.state() == [libvirt.VIR_DOMAIN_RUNNING,
                                                                   libvirt.VIR_DOMAIN_RUNNING_WAKEUP])
            wait_for("all events", lambda: ("wakeup", 0) in seen)
            assert seen[-4:] == [(libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED, 0), ("suspend", 0),
                                 (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP),
                                 ("wakeup", 0)], seen
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, "not in suspended state", dom.pMWakeup)
            dom.destroy()
        dom = conn.createXML(XML.format(machine="q35", disk=disk, boot=""))
        wait_for("the guest sleeps", lambda: sleeps(dom))
        conn.close()
        daemon.stop(signal.SIGKILL)
        daemon.start()
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.lookupByName("sleeper")
        wait_for("the new daemon knows that it sleeps", lambda: sleeps(dom))
        dom.reset()
        wait_for("a reset wakes it", lambda: dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING)
        dom.destroy()


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([asleep_and_awake])
