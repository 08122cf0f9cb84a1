#!/usr/bin/python3
"""28-vcpus - processors of a running guest that come and go, through the stock bindings. The guest is
the small program of the launcher's tests: it says '+' for a processor that it woke, '-' for one that it
gave back.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys
import time

import libvirt

from daemon import BUILD, Daemon, run

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
XML = """<domain type='kvm'>
  <name>vcpus</name>
  <memory unit='MiB'>32</memory>
  <vcpu current='1'>3</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <cmdline>plug</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <serial type='file'><source path='{serial}'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""
LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE


def told(path, text):
    until = time.monotonic() + 30
    while True:
        with open(path, encoding="ascii") as stream:
            said = stream.read().replace("\r", "")
        if said == text:
            return
        assert time.monotonic() < until, "the guest said %r, not %r" % (said, text)
        time.sleep(0.05)


def plugged_and_unplugged():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        serial = os.path.join(daemon.root, "serial")
        dom = conn.createXML(XML.format(kernel=BARE, serial=serial))
        said = "plug\n"
        told(serial, said)
        for number in range(3):
            dom.setVcpusFlags(2, LIVE)
            said += "+"
            told(serial, said)
            assert dom.vcpusFlags(LIVE) == 2
            assert [info[0] for info in dom.vcpus()[0]] == [0, 1]
            if number == 1:
                dom.setVcpu("1", 0, LIVE)
            else:
                dom.setVcpusFlags(1, LIVE)
            said += "-"
            told(serial, said)
            assert dom.vcpusFlags(LIVE) == 1
        try:
            dom.setVcpusFlags(4, LIVE)
            raise AssertionError("it was not refused")
        except libvirt.libvirtError as err:
            assert err.get_error_code() == libvirt.VIR_ERR_INVALID_ARG, err
        assert "<vcpu id='1' enabled='no' hotpluggable='yes'/>" in dom.XMLDesc()
        dom.destroy()
        conn.close()


if __name__ == "__main__":
    TESTS = [plugged_and_unplugged]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not os.path.exists(BARE):
        for test in TESTS:
            print("skip %s - no /dev/kvm for this user, or no program of the tests" % test.__name__.replace("_", "-"))
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
