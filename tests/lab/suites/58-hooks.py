#!/usr/bin/python3
"""The administrator's hook scripts /etc/kiln/hooks/qemu and qemu.d: when they are called, what they are
given, that they can refuse, and change what is restored. Guests are not booted for it.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

import libvirt

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, TMP, check, fails, gone, guest_xml, taps, test, vmm_pid  # noqa: E402

HOOK = "/etc/kiln/hooks/qemu"
FOLDER = HOOK + ".d"
FILTER = """#!/bin/sh
[ $2 != restore ] || sed 's,</name>,</name><title>by the hook</title>,'
"""
LOG, REFUSE = os.path.join(TMP, "hook.log"), os.path.join(TMP, "hook.refuse")
SCRIPT = """#!/bin/sh
cat > %s/hook.$2.xml
ls /sys/class/net | grep -c vnet > %s/hook.$2.taps
echo "$1 $2 $3 $4" >> %s
if [ "$(cat %s 2>/dev/null)" = "$2" ]; then
    echo "this host is being serviced" >&2
    exit 3
fi
""" % (TMP, TMP, LOG, REFUSE)
libvirt.registerErrorHandler(lambda *unused: None, None)


def calls():
    """What the hook was called with since the last time."""
    try:
        with open(LOG, encoding="ascii") as log:
            lines = log.read().splitlines()
        os.unlink(LOG)
    except FileNotFoundError:
        lines = []
    print(lines, flush=True)
    return lines


def given(operation):
    with open("%s/hook.%s.xml" % (TMP, operation), encoding="utf-8") as stream:
        return stream.read()


def refuse(operation):
    with open(REFUSE, "w", encoding="ascii") as stream:
        stream.write(operation)


def accept():
    os.unlink(REFUSE)


def write_script(path, text):
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)
    os.chmod(path, 0o755)


def is_refused(domain, operation, then):
    refuse(operation)
    try:
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
    except libvirt.libvirtError as error:
        check(error.get_error_code() == libvirt.VIR_ERR_HOOK_SCRIPT_FAILED, str(error))
        check("this host is being serviced" in str(error) and "status 3" in str(error), str(error))
    else:
        check(False, "the start was not refused")
    finally:
        accept()
    check(calls() == ["hooked %s -" % call for call in then], "it was called otherwise")
    check(not domain.isActive() and not taps(), "something is left")
    gone("hooked")


os.makedirs(FOLDER)
write_script(HOOK, SCRIPT)

daemon = Daemon().start()
try:
    link = libvirt.open("qemu:///system")
    guest = link.defineXML(guest_xml("hooked"))
    begin = ["prepare begin", "start begin", "started begin"]
    end = ["stopped end", "release end"]
    with test("a start calls prepare, start, started"):
        guest.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        check(calls() == ["hooked %s -" % call for call in begin], "it was called otherwise")
    with test("each is given the definition"):
        for operation in ("prepare", "start", "started"):
            check("<name>hooked</name>" in given(operation), operation)
            check(guest.UUIDString() in given(operation), operation)
        check("<target dev='vnet" in given("started"), "the live definition lacks the tap")
    with test("a new daemon that finds the guest calls reconnect"):
        pid = vmm_pid("hooked")
        link.close()
        daemon.kill()
        daemon.start()
        link = libvirt.open("qemu:///system")
        guest = link.lookupByName("hooked")
        check(calls() == ["hooked reconnect begin -"], "it was called otherwise")
        check("<name>hooked</name>" in given("reconnect") and vmm_pid("hooked") == pid, "another guest")
    with test("the end calls stopped, and release when all is given back"):
        guest.destroy()
        check(calls() == ["hooked %s -" % call for call in end], "it was called otherwise")
        check("<name>hooked</name>" in given("release"), "definition")
        with open(TMP + "/hook.release.taps", encoding="ascii") as stream:
            check(stream.read().strip() == "0", "the tap was still there at release")
    with test("prepare can refuse"):
        is_refused(guest, "prepare", ["prepare begin"] + end)
    with test("start can refuse, when everything is made ready"):
        is_refused(guest, "start", ["prepare begin", "start begin"] + end)
    with test("started can refuse, when the process runs"):
        is_refused(guest, "started", begin + end)
    with test("a guest is not kept by a hook that fails at reconnect"):
        guest.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        link.close()
        daemon.kill()
        refuse("reconnect")
        daemon.start()
        accept()
        link = libvirt.open("qemu:///system")
        guest = link.lookupByName("hooked")
        check(not guest.isActive(), "it runs on")
        gone("hooked")
        calls()
    with test("what is restored goes through the scripts, which can refuse and change it"):
        guest.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        saved = os.path.join(TMP, "hooked.save")
        guest.save(saved)
        write_script(FOLDER + "/10-title", FILTER)
        calls()
        link.restore(saved)
        check(calls() == ["hooked restore begin -"] + ["hooked %s -" % call for call in begin], "otherwise")
        check("<name>hooked</name>" in given("restore"), "definition")
        check("<title>by the hook</title>" in guest.XMLDesc(), "the title is not there")
        guest.destroy()
        refuse("restore")
        fails("virsh", "-c", "qemu:///system", "restore", saved, expect="this host is being serviced")
        accept()
        os.unlink(FOLDER + "/10-title")
        check(not guest.isActive(), "it runs")
    with test("a hook that cannot be run is named"):
        write_script(HOOK, "#!/nowhere/interpreter\n")
        fails("virsh", "-c", "qemu:///system", "start", "hooked", expect=HOOK)
        gone("hooked")
    guest.undefine()
    link.close()
finally:
    daemon.stop()
    os.unlink(HOOK)
    os.rmdir(FOLDER)
