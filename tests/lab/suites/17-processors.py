#!/usr/bin/python3
"""The guest's processors: Hyper-V's leaves as a stock kernel reads them, hot plug.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, Daemon, check, run, test, wait_for  # noqa: E402
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


# Brings up every processor that has come, and tells of each change.
WATCH = ("last=; while :; do for c in /sys/devices/system/cpu/cpu[1-9]*; do"
         " grep -q 0 $c/online && echo 1 > $c/online; done 2>/dev/null;"
         " now=$(cat /sys/devices/system/cpu/online); [ x$now = x$last ] || echo KILN-CPUS $now.;"
         " last=$now; sleep 0.5; done")
ROUNDS = 3 if "KILN_WHOLE" in os.environ else 1


def say(guest, online, seen):
    """Waits until the guest tells of @online once more."""
    seen[online] = seen.get(online, 0) + 1
    guest.wait_output("KILN-CPUS %s." % online, times=seen[online])


def wait_event(qmp, name, count):
    wait_for("%d events %s" % (count, name),
             lambda: qmp.names().count(name) >= count or not qmp.do("query-name") and None, 60)


def hotplug(machine):
    with Guest("-machine", machine, "-smp", "2,maxcpus=4,sockets=1,cores=4",
               "-device", "host-x86_64-cpu,id=third,core-id=2",
               cmdline='kiln.run="%s"' % WATCH) as guest, \
            test("processors come and go on " + machine):
        qmp, seen = guest.qmp, {}
        slots = qmp.do("query-hotpluggable-cpus")
        check([slot["props"]["core-id"] for slot in slots] == [3, 2, 1, 0], repr(slots))
        check(["qom-path" in slot for slot in slots] == [False, True, True, True], repr(slots))
        check(slots[1]["qom-path"] == "/machine/peripheral/third", repr(slots))
        say(guest, "0-2", seen)
        for number in range(1, ROUNDS + 1):
            qmp.do("device_add", driver=slots[0]["type"], id="vcpu3", **slots[0]["props"])
            say(guest, "0-3", seen)
            check([cpu["cpu-index"] for cpu in qmp.do("query-cpus-fast")] == [0, 1, 2, 3], "one is missing")
            again = qmp.send("device_add", driver=slots[0]["type"], id="more", **slots[0]["props"])
            check("is there already" in again["error"]["desc"], repr(again))
            qmp.do("device_del", id="vcpu3")
            say(guest, "0-2", seen)
            wait_event(qmp, "DEVICE_DELETED", number)
            check([cpu["cpu-index"] for cpu in qmp.do("query-cpus-fast")] == [0, 1, 2], "one is left")
        qmp.do("device_del", id="third")
        say(guest, "0-1", seen)
        wait_event(qmp, "DEVICE_DELETED", ROUNDS + 1)
        check(qmp.send("device_del", id="third")["error"]["desc"] == "Device 'third' not found", "it is found")
        # a reset finds what is there
        qmp.do("device_add", driver=slots[0]["type"], id="vcpu3", **slots[0]["props"])
        say(guest, "0-1,3", seen)
        qmp.do("system_reset")
        say(guest, "0-2", seen)
        check([cpu["cpu-index"] for cpu in qmp.do("query-cpus-fast")] == [0, 1, 3], "others are there")


hyperv()
windows()
for board in ("q35", "pc"):
    hotplug(board)
