#!/usr/bin/python3
"""What a definition gets that says nothing of it: the processor that libvirt 9.0 writes, which the guest then has,
and what a stored definition keeps.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys
import tempfile

import libvirt

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import Daemon, run  # noqa: E402

XML = """<domain type='kvm'><name>%s</name><uuid>%08d-0000-4000-8000-000000000000</uuid><memory unit='MiB'>64</memory>
<os><type machine='%s'>hvm</type></os>%s</domain>"""
MODEL = "  <cpu mode='custom' match='exact' check='none'>\n    <model fallback='forbid'>qemu64</model>\n  </cpu>\n"


def command_line(daemon, name):
    with open("%s/run/kiln/domain/%s.status" % (daemon.root, name), encoding="utf-8") as stream:
        pid = re.search(r"<process pid='(\d+)'", stream.read())[1]
    with open("/proc/%s/cmdline" % pid, encoding="utf-8") as stream:
        return stream.read().split("\0")


def processor_is_written_and_given():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        assert re.search(r"<model usable='(yes|no)' vendor='unknown'>qemu64</model>", conn.getDomainCapabilities())
        for number, machine in enumerate(("q35", "pc")):
            dom = conn.defineXML(XML % (machine, number, machine, ""))
            assert MODEL in dom.XMLDesc(), dom.XMLDesc()
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return "no /dev/kvm for this user"
        for dom in (conn.lookupByName("q35"), conn.createXML(XML % ("made", 3, "q35", ""), 0)):
            if not dom.isActive():
                dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            assert MODEL in dom.XMLDesc(), dom.XMLDesc()
            line = command_line(daemon, dom.name())
            assert line[line.index("-cpu") + 1].split(",")[0] == "qemu64", line
            dom.destroy()
        conn.close()
    return None


def stored_guest_keeps_the_hosts():
    with tempfile.TemporaryDirectory(prefix="kiln-") as root:
        with Daemon(root=root) as daemon:
            conn = libvirt.open(daemon.uri("qemu"))
            conn.defineXML(XML % ("old", 1, "q35", ""))
            conn.close()
        path = root + "/etc/kiln/domains/old.xml"
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        assert MODEL in text, text
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text.replace(MODEL, ""))
        with Daemon(root=root) as daemon:
            conn = libvirt.open(daemon.uri("qemu"))
            dom = conn.lookupByName("old")
            assert "<cpu" not in dom.XMLDesc(), dom.XMLDesc()
            # an edit of something else is no change of the processor
            dom = conn.defineXML(dom.XMLDesc().replace("65536", "131072"))
            assert "<cpu" not in dom.XMLDesc() and "131072" in dom.XMLDesc(), dom.XMLDesc()
            dom = conn.defineXML(XML % ("old", 1, "q35", "<cpu><model>qemu64</model></cpu>"))
            dom = conn.defineXML(XML % ("old", 1, "q35", ""))
            assert MODEL in dom.XMLDesc(), dom.XMLDesc()
            if os.access("/dev/kvm", os.R_OK | os.W_OK):
                dom = conn.defineXML(XML % ("other", 2, "q35", "<cpu mode='host-passthrough'/>"))
                dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
                line = command_line(daemon, "other")
                assert line[line.index("-cpu") + 1].split(",")[0] == "host", line
                dom.destroy()
            conn.close()


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([processor_is_written_and_given, stored_guest_keeps_the_hosts])
