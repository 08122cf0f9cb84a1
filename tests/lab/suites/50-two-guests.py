#!/usr/bin/python3
"""Two guests at once on the default network: they find each other by name.

# timeout: 600

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, TMP, address, check, console, define, fails, gone, guest_files, run, taps, test,
                   virsh, wait_ready, write, guest_xml)  # noqa: E402

LIMITED = """<interface type='network'><source network='default'/><model type='virtio'/>
  <bandwidth><inbound average='20000' burst='512'/><outbound average='10000'/></bandwidth></interface>"""

with Daemon():
    with test("two guests run at once"):
        disk = os.path.join(TMP, "shared.img")
        run("cp", os.path.join(guest_files(), "disk.img"), disk)
        define("alpha", disk=disk, devices=LIMITED)
        define("beta", vcpus=2)
        virsh("start", "alpha")
        virsh("start", "beta")
        out = virsh("list")
        check(re.search(r"1\s+alpha\s+running", out) and re.search(r"2\s+beta\s+running", out),
              "ids count from 1: " + out)
        wait_ready("alpha")
        wait_ready("beta")
    with test("an interface's bandwidth limits its tap, and no other"):
        check("rate 163840Kbit" in run("tc", "class", "show", "dev", "vnet0"), "inbound")
        check("rate 81920Kbit" in run("tc", "filter", "show", "dev", "vnet0", "ingress"), "outbound")
        check("htb" not in run("tc", "qdisc", "show", "dev", "vnet1"), "the other has a limit")
    with test("each has a lease of its own"):
        first, second = address("alpha"), address("beta")
        check(first != second, "both have %s" % first)
        leases = virsh("net-dhcp-leases", "default")
        check("alpha" in leases and "beta" in leases, leases)
    with test("they reach each other by name"):
        for here, there in (("alpha", "beta"), ("beta", "alpha")):
            with console(here) as terminal:
                terminal.expect("Connected to domain", 20)
                terminal.wake(30)
                answer, status = terminal.command("ping -c 2 -w 45 %s" % there, 60)
                check(status == 0, "%s does not reach %s: %s" % (here, there, answer))
    with test("net-destroy and net-start put the guests' taps back on the bridge"):
        virsh("net-destroy", "default")
        check(not os.path.exists("/sys/class/net/virbr0"), "the bridge is left")
        check(taps() == ["vnet0", "vnet1"], "the guests lost their taps")
        virsh("net-start", "default")
        for tap in taps():
            master = os.path.realpath("/sys/class/net/%s/master" % tap)
            check(os.path.basename(master) == "virbr0", "%s is on %s" % (tap, master))
        with console("beta") as terminal:
            terminal.expect("Connected to domain", 20)
            terminal.wake(30)
            for there in ("192.168.122.1", "alpha"):
                # the bridge listens and learns for some seconds before it forwards
                answer, status = terminal.command("for i in 1 2 3 4 5 6 7 8; do ping -c 1 -W 4 %s &&"
                                                  " break; done" % there, 90)
                check(status == 0, "beta does not reach %s any more: %s" % (there, answer))
    with test("the stock libnss-libvirt resolves the guests' names for the host"):
        for service, name in (("libvirt", "alpha"), ("libvirt_guest", "beta")):
            out = run("getent", "-s", service, "hosts", name)
            check((first if name == "alpha" else second) in out, out)
    with test("an image in use is refused to a second guest by name"):
        virsh("define", write("gamma.xml", guest_xml("gamma", disk=disk)))
        fails("virsh", "-c", "qemu:///system", "start", "gamma", expect=r"shared\.img")
        virsh("undefine", "gamma")
    with test("a clash of names and of UUIDs is refused"):
        uuid = virsh("domuuid", "alpha").strip()
        other = guest_xml("delta").replace("<name>", "<uuid>%s</uuid><name>" % uuid, 1)
        fails("virsh", "-c", "qemu:///system", "define", write("delta.xml", other), expect="alpha")
        fails("virsh", "-c", "qemu:///system", "start", "alpha", expect="already active|already running")
    with test("destroy leaves nothing behind"):
        virsh("destroy", "alpha")
        virsh("destroy", "beta")
        for name in ("alpha", "beta"):
            gone(name)
            virsh("undefine", name)
