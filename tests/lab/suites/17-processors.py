#!/usr/bin/python3
"""The guest's processors: Hyper-V's leaves as a stock kernel reads them.

# timeout: 600

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, Daemon, check, run, test  # noqa: E402
from vmm import Guest  # noqa: E402

ENLIGHTENMENTS = ("relaxed", "vapic", "time", "vpindex", "runtime", "synic", "stimer",
                  "stimer-direct", "reset", "frequencies", "tlbflush", "ipi")


def hyperv():
    """A kernel looks at Hyper-V first only when KVM does not show itself."""
    cpu = "host,kvm=off,hv-spinlocks=0x1fff," + ",".join("hv-%s=on" % n for n in ENLIGHTENMENTS)
    with Guest("-smp", "2", "-cpu", cpu, cmdline='kiln.run="dmesg | grep -i -e hyper -e tsc; cat'
               ' /sys/devices/system/clocksource/clocksource0/current_clocksource"') as guest, \
            test("a stock kernel finds the Hyper-V that it is told of"):
        guest.wait_output("KILN-RUN-END 0")
        out = guest.output()
        check("Hypervisor detected: Microsoft Hyper-V" in out, "another hypervisor: " + out)
        flags = re.search(r"privilege flags low (0x\w+), high (0x\w+), hints (0x\w+), misc (0x\w+)", out)
        check(flags, "no flags were read: " + out)
        check([int(flag, 16) for flag in flags.groups()] == [0xaff, 0, 0xc2c, 0x80100],
              "other flags: " + flags.group())
        check("hyperv_clocksource" in out, "the clock is not Hyper-V's: " + out)


def windows():
    """What virt-install writes for Windows, as it is but for a disk: SeaBIOS is guest enough."""
    daemon = Daemon().start()
    try:
        with test("the definition that virt-install writes for Windows starts as it is"):
            xml = run("virt-install", "--connect", "qemu:///system", "--name", "windows", "--memory",
                      "256", "--osinfo", "win10", "--boot", "hd", "--disk", "none", "--network", "user",
                      "--graphics", "vnc", "--print-xml", timeout=300)
            xml = xml[xml.index("<domain"):]
            check("<hyperv>" in xml and "hypervclock" in xml, "it is no definition for Windows")
            path = os.path.join(TMP, "windows.xml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(xml)
            run("virsh", "-c", "qemu:///system", "create", path)
            check("running" in run("virsh", "-c", "qemu:///system", "domstate", "windows"), "it does not run")
            run("virsh", "-c", "qemu:///system", "destroy", "windows")
        with test("domain capabilities tell of Hyper-V"):
            caps = run("virsh", "-c", "qemu:///system", "domcapabilities")
            check("<hyperv supported='yes'>" in caps, "it is not offered")
            for name in ("relaxed", "vapic", "spinlocks", "stimer", "vendor_id"):
                check("<value>%s</value>" % name in caps.split("<hyperv")[1], name + " is not offered")
    finally:
        daemon.stop()


hyperv()
windows()
