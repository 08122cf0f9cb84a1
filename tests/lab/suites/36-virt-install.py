#!/usr/bin/python3
"""The definitions that virt-install writes for a system it does not know, for Debian and for Windows
start as they are. With the installed Debian as its disk, the first one's comes up to its login and ends on
`virsh shutdown` by
    KILN_WHOLE=1 run-suites 36-virt-install

# timeout: 1200
# late:

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, TMP, check, console, run, state, test, virsh, wait_for, write  # noqa: E402
from vmm import debian_image  # noqa: E402

BOOT_SECONDS = 600
WHOLE = "KILN_WHOLE" in os.environ
# By name: what virt-install is told, and what must stand in what it writes.
GUESTS = {
    "generic": ("generic", ['bus="sata"', "ich9-ehci1", "e1000e", 'model type="vga"']),
    "windows": ("win10", ["<hyperv>", "hypervclock", 'bus="sata"', "e1000e"]),
    "debian": ("debian11", ['bus="virtio"', "qemu-xhci", "org.qemu.guest_agent.0", "<rng"]),
}


def written(name, disk):
    system, expected = GUESTS[name]
    xml = run("virt-install", "--connect", "qemu:///system", "--name", name, "--memory", "512",
              "--vcpus", "2", "--disk", "path=%s,format=raw" % disk, "--network", "network=default",
              "--graphics", "vnc", "--import", "--osinfo", system, "--print-xml", timeout=300)
    xml = xml[xml.index("<domain"):]
    for text in expected:
        check(text in xml, "it does not have %s: %s" % (text, xml))
    return write(name + ".xml", xml)


def comes_up(name):
    with console(name) as terminal:
        terminal.expect("KILN-DEBIAN-UP BIOS", BOOT_SECONDS)
        terminal.expect("login:", BOOT_SECONDS)
    virsh("shutdown", name)
    wait_for("the guest ends", lambda: state(name) == "shut off", BOOT_SECONDS)


def empty_image():
    path = os.path.join(TMP, "empty.img")
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    os.chmod(path, 0o666)
    return path


image = debian_image("what virt-install writes boots") if WHOLE else empty_image()
if not image:
    sys.exit()
with Daemon():
    virsh("net-start", "default", check_status=False)
    for name in GUESTS:
        with test("virt-install's definition for %s starts as it is" % name):
            virsh("define", written(name, image))
            try:
                virsh("start", name)
                check(state(name) == "running", "it is " + state(name))
                if WHOLE and name == "generic":
                    comes_up(name)
            finally:
                virsh("destroy", name, check_status=False)
                virsh("undefine", name)
