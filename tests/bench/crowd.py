"""crowd.py - many small guests at once, beside many that are only defined: what the daemon's calls take
then, and what the guests weigh together.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys
import time

import libvirt

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
from halting import image  # noqa: E402

MIB = 20
GUEST = """<domain type='kvm'><name>{name}</name><memory unit='MiB'>{mib}</memory>
<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os><features><acpi/></features>
<clock offset='utc'><timer name='pit' tickpolicy='discard'/></clock>
<devices><controller type='usb' model='none'/><memballoon model='none'/>
<video><model type='none'/></video></devices></domain>"""
MARKERS = ("/run/libvirt/qemu/autostarted", "/run/kiln/domain/autostarted")
SECONDS = 600


def took(call, *arguments):
    begin = time.monotonic()
    call(*arguments)
    return time.monotonic() - begin


def crowd(bench, running):
    """@running of options.domains guests, that halt. Rows crowd_*."""
    kernel = "/var/tmp/bench-halting"
    with open(kernel, "wb") as stream:
        stream.write(image())
    names = ["crowd-%04d" % i for i in range(bench.options.domains)]
    conn = libvirt.open(bench.stack.uri)
    for name in names:
        conn.defineXML(GUEST.format(name=name, mib=MIB, kernel=kernel))
    domains = [conn.lookupByName(name) for name in names[:running]]
    bench.add("crowd_start", sum(took(dom.create) for dom in domains) / running)
    for _ in range(bench.options.repeat):
        bench.add("crowd_list", took(conn.listAllDomains))
        bench.add("crowd_stats", took(conn.getAllDomainStats))
    bench.add("crowd_memory", sum(bench.private_memory(name) for name in names[:running]) / running)
    conn.close()
    bench.stack.stop()
    bench.add("crowd_again", bench.stack.start())
    conn = libvirt.open(bench.stack.uri)
    # a daemon that answers may still be looking for its guests
    begin = time.monotonic()
    wait_for(conn, running, begin)
    domains = [conn.lookupByName(name) for name in names[:running]]
    for dom in domains:
        dom.setAutostart(1)
    bench.add("crowd_stop", sum(took(dom.destroy) for dom in domains) / running)
    conn.close()
    bench.stack.stop()
    for path in MARKERS:
        if os.path.exists(path):
            os.unlink(path)
    begin = time.monotonic()
    bench.stack.start()
    conn = libvirt.open(bench.stack.uri)
    bench.add("crowd_autostart", wait_for(conn, running, begin))
    for dom in conn.listAllDomains():
        if dom.isActive():
            dom.destroy()
        dom.undefine()
    conn.close()


def wait_for(conn, running, begin):
    """Seconds from @begin until so many run."""
    while conn.numOfDomains() < running:
        if time.monotonic() > begin + SECONDS:
            raise ValueError("%d guests run, not %d" % (conn.numOfDomains(), running))
        time.sleep(0.05)
    return time.monotonic() - begin
