#!/usr/bin/python3
"""26-breadth - libvirt's whole domain format, piece by piece (breadth.xml): what a definition says is
there again when it is read, in a form that libvirt's own schema takes, and reading changes nothing.
What Kiln shows is also read and shown by libvirt's test driver: in the same words, but for what is named
here.

usage: 26-breadth.py [N...]      the cases of these numbers, from 0, with what was shown

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET

import libvirt

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
from daemon import Daemon, run  # noqa: E402

SCHEMA = "/usr/share/libvirt/schemas/domain.rng"
BASE = """<domain type="kvm"><name>case{number}</name><uuid>{number:08d}-0000-4000-8000-000000000000</uuid>
<memory unit="KiB">524288</memory><vcpu placement="static">4</vcpu>
<os><type arch="x86_64" machine="{machine}">hvm</type></os><devices/></domain>"""
with open(os.path.join(HERE, "breadth.xml"), encoding="utf-8") as STREAM:
    CASES = list(ET.parse(STREAM).getroot())


def definition(number):
    """The case's domain, as an element."""
    case = CASES[number]
    domain = ET.fromstring(BASE.format(number=number, machine=case.get("machine", "q35")))
    place = domain.find(case.get("into")) if case.get("into") else domain
    for piece in case:
        old = place.find(piece.tag)
        if place is domain and old is not None and piece.tag == "devices":
            old.extend(list(piece))
            continue
        if place is domain and old is not None:
            place.remove(old)
        place.append(piece)
    return domain


def told(element):
    return "<%s%s>" % (element.tag, "".join(" %s='%s'" % item for item in element.items()))


def lacks(given, shown):
    """What of @given is not in @shown, or None."""
    if (given.text or "").strip() != (shown.text or "").strip():
        return "the text '%s' of %s" % ((given.text or "").strip(), told(given))
    for name, value in given.items():
        if shown.get(name) != value:
            return "%s='%s' of %s, which is %r" % (name, value, told(given), shown.get(name))
    left = list(shown)
    for child in given:
        best = None
        for other in left:
            if other.tag != child.tag:
                continue
            lack = lacks(child, other)
            if lack is None:
                left.remove(other)
                break
            best = best or lack
        else:
            return best or "%s in %s" % (told(child), told(given))
    return None


def valid(names):
    """What libvirt's schema says against these files: {name: complaint}."""
    done = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA] + names,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    bad = {}
    for line in done.stdout.splitlines():
        name = line.split(":")[0]
        if name in names and not line.endswith(" validates"):
            bad.setdefault(name, line)
    for name in names:
        if name + " fails to validate" in done.stdout:
            bad.setdefault(name, "fails to validate")
    return bad


def wrong_with(conn, number, folder):
    given = definition(number)
    text = ET.tostring(given, encoding="unicode")
    try:
        dom = conn.defineXML(text)
    except libvirt.libvirtError as err:
        return "is refused: %s" % err
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    shown = dom.XMLDesc(flags)
    with open(os.path.join(folder, "%d.xml" % number), "w", encoding="utf-8") as stream:
        stream.write(shown)
    domain = ET.fromstring(shown)
    given.find("os/type").set("machine", domain.find("os/type").get("machine"))
    lack = lacks(given, domain)
    again = conn.defineXML(shown).XMLDesc(flags)
    dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
    if lack:
        return "loses " + lack
    return None if again == shown else "is another when it was read and defined again"


def everything_is_kept():
    numbers = [int(arg) for arg in sys.argv[1:]] or range(len(CASES))
    bad = []
    with Daemon() as daemon, tempfile.TemporaryDirectory() as folder:
        conn = libvirt.open(daemon.uri("qemu"))
        for number in numbers:
            why = wrong_with(conn, number, folder)
            if why:
                bad.append("case %d (%s) %s" % (number, told(CASES[number][0]), why))
        conn.close()
        names = sorted(os.path.join(folder, name) for name in os.listdir(folder))
        for name, complaint in valid(names).items():
            bad.append("case %s is shown as no XML of libvirt: %s" % (os.path.basename(name), complaint))
        if sys.argv[1:]:
            for name in names:
                with open(name, encoding="utf-8") as stream:
                    print(stream.read())
    for line in bad:
        print("# " + line)
    assert not bad, "%d of %d cases: %s" % (len(bad), len(CASES), bad[0])


# Lines in which the two may differ, and why.
OTHERS = "|".join((
    "<type arch=|<domain type=|<emulator>",  # the test driver's guests are of another kind
    "qemu:|</?qemu",                         # it does not know QEMU's name space
    "testnet0|<source dev='eth0'/>",         # it names taps, and knows no user networking with a device
    "vcpusched",                             # libvirt prints one for each vCPU
    "filesystem type=|<sandbox",             # kept as they were given from here on:
    "<usbdev|<address type='(drive|ccid)'|<controller type='(scsi|ccid)'|</?smartcard",
    "<cachetune|<driver name='vfio'/>|<policy>0x0001|<tb-cache|</?hyperv|<input .*mixingEngine",
    "<graphics type='rdp'|<channel name='cursor'",
    "<driver vgaconf",                       # lost by libvirt
    "<source mode='bind'/>",                 # Kiln says that the daemon chooses the socket
    "<event name='task_clock'",              # in libvirt's order there
    "<source file='/a.qcow2'/?>|</source>|<seclabel model='selinux'",  # only a security driver has labels
    "<host name='example.org' port='6000'",  # transport='tcp' is said here
    "<vcpu placement=|</?numatune>|<memory mode='strict' placement='auto'/>",  # no numad chooses
    "<address type='isa'",                   # of a serial port, said again of its console
))


def libvirt_prints_the_same():
    """What libvirt makes of Kiln's words; what its test driver cannot have is left out."""
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
    bad, compared = [], 0
    with Daemon() as daemon:
        conn, test = libvirt.open(daemon.uri("qemu")), libvirt.open("test:///default")
        for number, case in enumerate(CASES):
            dom = conn.defineXML(ET.tostring(definition(number), encoding="unicode"))
            shown = re.sub("^<domain type='kvm'", "<domain type='test'", dom.XMLDesc(flags))
            shown = re.sub("arch='x86_64' machine='[^']*'", "arch='i686'", shown)
            dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM)
            try:
                other = test.defineXML(shown)
            except libvirt.libvirtError:
                continue
            theirs = other.XMLDesc(flags)
            other.undefine()
            compared += 1
            for line in difflib.unified_diff(shown.splitlines(), theirs.splitlines(), n=0, lineterm=""):
                if not re.match(r"---|\+\+\+|@@", line) and not re.search(OTHERS, line):
                    bad.append("case %d (%s): %s" % (number, told(case[0]), line))
        test.close()
        conn.close()
    for line in bad:
        print("# " + line)
    assert not bad, "%d lines differ: %s" % (len(bad), bad[0])
    assert compared > len(CASES) * 0.9, "only %d of %d cases were compared" % (compared, len(CASES))


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([everything_is_kept] + ([] if sys.argv[1:] else [libvirt_prints_the_same]))
