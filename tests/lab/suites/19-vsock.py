#!/usr/bin/python3
"""Virtio sockets: <vsock><cid auto='yes'/></vsock> through the daemon, two guests at once; the host
talks to a program in the guest and the guest to one on the host.

# timeout: 600

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (PROJECT, TMP, Daemon, check, fails, guest_files, guest_xml, run, test,  # noqa: E402
                   virsh, wait_for, write)
from vmm import initrd_with  # noqa: E402

GUEST_PORT, HOST_PORT = 1234, 4321
VSOCK = "<vsock model='virtio'><cid auto='yes'/></vsock>"
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
cp /extra/vsock /tmp/vsock
chmod 755 /tmp/vsock
while /tmp/vsock %d %d; do :; done
""" % (GUEST_PORT, HOST_PORT)


def make_initrd():
    program = os.path.join(TMP, "vsock")
    run("cc", "-static", "-O1", "-o", program, os.path.join(PROJECT, "tests/lab/vsock.c"))
    with open(program, "rb") as file:
        return initrd_with(os.path.join(TMP, "initrd-vsock"),
                           ["vmw_vsock_virtio_transport"],
                           {"vsock": file.read(), "run": SCRIPT.encode()})


def create(name, initrd, devices):
    log = os.path.join(TMP, name + ".serial")
    serial = "<serial type='file'><source path='%s'/></serial>" % log
    xml = guest_xml(name, devices=devices + serial, cmdline='kiln.run="sh /extra/run"')
    xml = xml.replace(os.path.join(guest_files(), "initrd"), initrd).replace("<console type='pty'/>", "")
    virsh("create", write(name + ".xml", xml))
    return log


def address(name):
    found = re.search(r"<cid auto='yes' address='(\d+)'/>", virsh("dumpxml", name))
    check(found, "the live definition has no address")
    return int(found[1])


def start(name, initrd):
    log = create(name, initrd, VSOCK)
    return address(name), log


def output(log):
    with open(log, errors="replace") as file:
        return file.read()


def wait_output(log, text):
    for _ in range(600):
        if text in output(log):
            return
        subprocess.run(["sleep", "0.25"], check=False)
    check(False, "no %r on the console: %s" % (text, output(log)[-500:]))


def talk(cid, size):
    data = os.urandom(size)
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as peer:
        peer.settimeout(60)
        peer.connect((cid, GUEST_PORT))
        got = b""
        for at in range(0, size, 4096):
            peer.sendall(data[at:at + 4096])
            while len(got) < min(at + 4096, size):
                piece = peer.recv(65536)
                check(piece, "the guest hung up")
                got += piece
    check(got == bytes((byte + 1) & 0xff for byte in data), "the guest sent something else back")


def talks(cid):
    """Whether there is somebody at @cid, who then answers."""
    try:
        talk(cid, 100000)
    except OSError:
        return False
    return True


run("modprobe", "vhost_vsock")
with Daemon(), socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
    listener.bind((socket.VMADDR_CID_ANY, HOST_PORT))
    listener.listen(2)
    listener.settimeout(60)
    with test("guests get addresses of their own"):
        ram_disk = make_initrd()
        one, two = start("one", ram_disk), start("two", ram_disk)
        check(one[0] >= 3 and two[0] >= 3 and one[0] != two[0], "addresses %r" % ((one, two),))
    for cid, log in (one, two):
        with test("the host talks to guest %d, and it to the host" % cid):
            wait_output(log, "LISTENING")
            talk(cid, 300000)
            wait_output(log, "ANSWERED 300000")
            peer, caller = listener.accept()
            check(caller[0] == cid, "a connection from %r" % (caller,))
            check(peer.recv(100) == b"hello from the guest\n", "another greeting")
            peer.close()
    with test("the addresses are free again"):
        virsh("destroy", "one")
        virsh("destroy", "two")
        check(start("three", ram_disk)[0] == min(one[0], two[0]), "another address")
    with test("a guest without one gets one while it runs, and gives it back"):
        log = create("late", ram_disk, "<controller type='pci' model='pcie-root-port'/>" * 4)
        wait_output(log, "LISTENING")
        device = write("vsock.xml", VSOCK)
        virsh("attach-device", "late", device, "--live")
        cid = address("late")
        fails("virsh", "-c", "qemu:///system", "attach-device", "late", device, "--live", expect="already has a vsock")
        wait_for("the guest's driver has it", lambda: talks(cid), 120)
        wait_output(log, "ANSWERED 100000")
        virsh("detach-device", "late", device, "--live")
        wait_for("the guest gives it back", lambda: "<vsock" not in virsh("dumpxml", "late"), 120)
        check(not talks(cid), "somebody answers at its address")
        virsh("attach-device", "late", device, "--live")
        check(address("late") == cid, "another address")
        virsh("destroy", "late")
