#!/usr/bin/python3
"""Disks, interfaces and CDs come to and go from a running stock kernel by the stock virsh, the daemon
killed in the middle; nothing of them stays on the host.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, INTERFACE, TMP, check, console, fails, gone, guest_xml, run, taps, test, virsh,
                   vmm_pid, wait_for, write)  # noqa: E402
from vmm import initrd_with  # noqa: E402

MIB = 1 << 20
NAME = "plugged"
MAC = "52:54:00:4b:00:%02x"
PORTS = "".join("<controller type='pci' index='%d' model='pcie-root-port'/>" % i for i in range(1, 9))
DRIVE = "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"


def image(name, text):
    path = os.path.join(TMP, name)
    with open(path, "wb") as file:
        file.write(text.encode())
        file.truncate(4 * MIB)
    return path


def open_files():
    pid = vmm_pid(NAME)
    paths = (os.path.join("/proc/%d/fd" % pid, fd) for fd in os.listdir("/proc/%d/fd" % pid))
    return sorted(os.readlink(path) for path in paths if os.path.lexists(path))


class Shell:
    def __init__(self):
        self.console = console(NAME)
        self.console.expect("Connected to domain", 30)
        self.console.wake(240)

    def run(self, command):
        answer, status = self.console.command(command, 120)
        check(status == 0, "'%s' ended with %d: %s" % (command, status, answer))
        return answer.strip()

    def until(self, what, command):
        self.run("tries=0; until %s || [ $((tries += 1)) -gt 300 ]; do sleep 0.1; done; %s" % (command, command))


def rounds(daemon):
    shell, before = Shell(), open_files()
    shell.run("for module in /extra/*.ko; do insmod $module 2> /dev/null; done; true")
    disk = image("plug.img", "the disk that came")
    for number in range(3):
        with test("round %d: a disk and an interface come, work and go" % number):
            virsh("attach-disk", NAME, disk, "vdb", "--targetbus", "virtio", "--subdriver", "raw", "--live")
            shell.until("the disk", "[ -b /dev/vda ]")
            check("the disk that came" in shell.run("head -c 18 /dev/vda"), "another disk")
            virsh("attach-interface", NAME, "network", "default", "--model", "virtio", "--mac", MAC % number, "--live")
            shell.until("the card", "ls -d /sys/class/net/eth1 > /dev/null 2>&1")
            check(shell.run("cat /sys/class/net/eth1/address") == MAC % number, "another card")
            check(len(taps()) == 2, "taps: " + " ".join(taps()))
            virsh("domif-setlink", NAME, MAC % number, "down")
            shell.run("ip link set eth1 up")
            shell.until("the link down", "[ $(cat /sys/class/net/eth1/carrier) = 0 ]")
            virsh("domif-setlink", NAME, MAC % number, "up")
            virsh("domiftune", NAME, MAC % number, "--inbound", "2000,4000", "--live")
            check("16384Kbit" in run("tc", "class", "show", "dev", taps()[1]), "no limit")
            virsh("domiftune", NAME, MAC % number, "--inbound", "0", "--live")
            check("Kbit" not in run("tc", "class", "show", "dev", taps()[1]), "a limit is left")
            shell.until("the link up", "[ $(cat /sys/class/net/eth1/carrier) = 1 ]")
            if number == 1:
                daemon.kill()
                daemon.start()
                shell = Shell()
            check("vdb" in virsh("domblklist", NAME), "the disk is not told of")
            virsh("detach-disk", NAME, "vdb", "--live")
            virsh("detach-interface", NAME, "network", "--mac", MAC % number, "--live")
            wait_for("the devices are gone", lambda: "vdb" not in virsh("domblklist", NAME) and
                     MAC % number not in virsh("domiflist", NAME), 60)
            shell.until("no disk", "[ ! -b /dev/vda ]")
            check(len(taps()) == 1, "taps: " + " ".join(taps()))
            left = [path for path in open_files() if path not in before and "socket:" not in path]
            check(not left, "descriptors are left: " + " ".join(left))
    return shell


def discs(shell):
    first, second = image("first.iso", "the first disc"), image("second.iso", "the second disc")
    with test("discs are put in, changed and taken out"):
        for command, path, text in (("--insert", first, "the first disc"), ("--update", second, "the second disc")):
            virsh("change-media", NAME, "sda", path, command, "--live")
            shell.until("the disc", "head -c %d /dev/sr0 2> /dev/null | grep -q '%s'" % (len(text), text))
        virsh("change-media", NAME, "sda", "--eject", "--live", "--force")
        shell.until("no disc", "! head -c 1 /dev/sr0 > /dev/null 2>&1")
        check(not [path for path in open_files() if path.endswith(".iso")], "an image is left open")
    with test("both definitions are what they were"):
        check(not re.search("plug.img|iso", virsh("dumpxml", NAME) + virsh("dumpxml", NAME, "--inactive")),
              "something is left")
        fails("virsh", "-c", "qemu:///system", "detach-disk", NAME, "vdb", expect="(?i)no disk found|no target")


with Daemon() as DAEMON:
    initrd_path = initrd_with(os.path.join(TMP, "initrd"), ["virtio_blk", "ahci", "sr_mod"], {})
    guest = guest_xml(NAME, devices=PORTS + DRIVE + INTERFACE)
    virsh("define", write("plugged.xml",
                          re.sub("<initrd>.*</initrd>", "<initrd>%s</initrd>" % initrd_path, guest)))
    virsh("start", NAME)
    discs(rounds(DAEMON))
    with test("nothing is left"):
        virsh("destroy", NAME)
        gone(NAME)
