#!/usr/bin/python3
"""Debian's own guest agent in a stock kernel: connected, asked, found by a new daemon; a snapshot of a guest whose
file systems it froze.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, Daemon, check, fails, guest_files, guest_xml, run, test, virsh, wait_for, write  # noqa: E402
from vmm import initrd_with  # noqa: E402

NAME, AGENT = "spoken-to", "/usr/sbin/qemu-ga"
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
mkdir -p /var/run /var/local/run
cp /extra/ld.so /tmp/ld.so
chmod 755 /tmp/ld.so
until [ -e /dev/vport0p1 ]; do sleep 0.1; done
(while :; do
    /tmp/ld.so --library-path /extra /extra/qemu-ga -m virtio-serial -p /dev/vport0p1 -t /tmp
    sleep 1
done) &
"""


def agent_files():
    """The agent with the libraries it is linked with, which the small guest does not have."""
    libraries = re.findall(r"(/\S+) \(", run("ldd", AGENT))
    files = {os.path.basename(path): path for path in libraries}
    files["ld.so"] = next(path for path in libraries if "ld-linux" in path)
    files["qemu-ga"] = AGENT
    found = {}
    for name, path in files.items():
        with open(path, "rb") as file:
            found[name] = file.read()
    return dict(found, run=SCRIPT.encode())


def connected():
    return "state='connected'" in virsh("dumpxml", NAME)


def answers():
    return subprocess.run(["virsh", "-c", "qemu:///system", "domtime", NAME], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode == 0


with Daemon() as DAEMON:
    initrd = initrd_with(os.path.join(TMP, "initrd-agent"), ["virtio_console"], agent_files())
    disk = os.path.join(TMP, "agent.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", disk, "4M")
    log = os.path.join(TMP, "agent.serial")
    serial = "<serial type='file'><source path='%s'/></serial>" % log
    text = guest_xml(NAME, devices=CHANNEL + serial, cmdline='kiln.run="sh /extra/run"', disk=disk)
    text = text.replace(os.path.join(guest_files(), "initrd"), initrd).replace("type='raw'", "type='qcow2'").replace(
        "<console type='pty'/>", "")
    virsh("define", write("agent.xml", text))
    virsh("start", NAME)
    with test("the agent is seen and answers"):
        wait_for("the agent", connected, 200)
        wait_for("an answer", answers, 60)
        check("kernel-release" in virsh("guestinfo", NAME, "--os"), "no system")
        check("127.0.0.1/8" in virsh("domifaddr", NAME, "--source", "agent", "--full") or
              "lo" in virsh("domifaddr", NAME, "--source", "agent"), "no interface")
        check(virsh("guestvcpus", NAME).split()[:3], "no processors")
        check("spoken-to" in virsh("domhostname", NAME, "--source", "agent"), "no name")
        check("return" in virsh("qemu-agent-command", NAME, '{"execute":"guest-ping"}'), "no answer")
        fails("virsh", "-c", "qemu:///system", "set-user-password", NAME, "nobody-there", "x", expect="(?i)agent")
    with test("a new daemon finds the agent"):
        DAEMON.kill()
        DAEMON.start()
        wait_for("the agent", connected, 60)
        wait_for("an answer", answers, 60)
    with test("a snapshot of frozen file systems"):
        virsh("snapshot-create-as", NAME, "frozen", "--disk-only", "--quiesce")
        check("agent.frozen" in virsh("domblklist", NAME), "the disk is where it was")
        wait_for("an answer", answers, 60)
    virsh("destroy", NAME)
    virsh("undefine", NAME, "--snapshots-metadata")
