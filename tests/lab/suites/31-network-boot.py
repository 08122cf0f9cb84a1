#!/usr/bin/python3
"""SeaBIOS and the iPXE of each network card boot from a network of virtkilnd's: DHCP and TFTP by
dnsmasq. By virtio: a script, and by it a stock kernel with its initial RAM disk; PXELINUX, and by it the
installer of Debian up to its first question. By the other cards: a script.

The first two and e1000 here; all, or those that begin with some words, by
    KILN_WHOLE=1 run-suites 31-network-boot
    KILN_WHOLE=1 run-suites 31-network-boot -- --env "KILN_ONLY=pc, rtl8139"

# timeout: 2400

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, TMP, check, guest_files, test, virsh, vmm_pid, wait_for, write  # noqa: E402

WHOLE, ONLY = "KILN_WHOLE" in os.environ, os.environ.get("KILN_ONLY", "")
SECONDS = 400
INSTALLER = "/usr/lib/debian-installer/images/12/amd64/text"
INSTALLER_SECONDS = 1200
NETWORK = """<network><name>boot</name><bridge name='virbr7' stp='off'/>
<ip address='192.168.77.1' prefix='24'><tftp root='%s'/>
<dhcp><range start='192.168.77.10' end='192.168.77.99'/><bootp file='%s'/></dhcp></ip></network>"""
# Card number 1 goes on to the kernel.
SCRIPT = """#!ipxe
echo KILN-PXE-SCRIPT ${net0/chip} ${net0/busloc} ${ip}
iseq ${net0/mac} 52:54:00:77:00:01 || shell
kernel vmlinuz console=ttyS0 quiet panic=-1 mitigations=off
initrd initrd
boot
"""
PXELINUX = """serial 0 115200
default install
prompt 0
label install
kernel debian-installer/amd64/linux
append initrd=debian-installer/amd64/initrd.gz console=ttyS0 mitigations=off quiet
"""
DOMAIN = """<domain type='kvm'><name>pxe</name><memory unit='MiB'>%(mib)d</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='%(machine)s'>hvm</type><boot dev='network'/><bios useserial='yes'/></os>
<features><acpi/><apic/></features><cpu mode='host-passthrough'/>
<devices><interface type='network'><mac address='52:54:00:77:00:0%(number)d'/><source network='boot'/>
<model type='%(model)s'/></interface>
<serial type='file'><source path='%(log)s'/></serial></devices></domain>"""


def said(log, text):
    try:
        with open(log, errors="replace") as file:
            return text in file.read()
    except FileNotFoundError:
        return False


def boot(what, machine, model, number, words, seconds=SECONDS, mib=512):
    """A guest that has nothing but a network card, until it has said all the @words."""
    name = "%s, %s: %s" % (machine, model, what)
    if not name.startswith(ONLY):
        return
    log = os.path.join(TMP, "pxe-%d.log" % number)
    with test(name):
        virsh("create", write("pxe.xml", DOMAIN % {"machine": machine, "model": model, "mib": mib,
                                                   "number": number, "log": log}))
        try:
            for word in words:
                wait_for("the guest says %r" % word, lambda word=word: said(log, word), seconds)
                check(vmm_pid("pxe"), "the guest is gone")
        finally:
            if os.path.exists(log):
                shutil.copy(log, os.environ["KILN_SUITE_OUT"])
            virsh("destroy", "pxe")


def served(directory, name, text):
    """A directory for TFTP, with one file made here."""
    os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
    with open(os.path.join(directory, name), "w", encoding="ascii") as file:
        file.write(text)
    return directory


def by_ipxe():
    tftp = served(os.path.join(TMP, "tftp"), "boot.ipxe", SCRIPT)
    for name in ("vmlinuz", "initrd"):
        shutil.copy(os.path.join(guest_files(), name), tftp)
    virsh("net-create", write("boot.xml", NETWORK % (tftp, "boot.ipxe")))
    boot("a stock kernel by iPXE", "q35", "virtio", 1, ["KILN-PXE-SCRIPT", "KILN-GUEST-READY"])
    scripted = (("pc", "e1000"), ("pc", "virtio"), ("q35", "e1000e"), ("pc", "rtl8139"))
    for number, (machine, model) in enumerate(scripted if WHOLE else scripted[:1], 2):
        boot("iPXE runs a script from TFTP", machine, model, number, ["KILN-PXE-SCRIPT", "iPXE>"])
    virsh("net-destroy", "boot")


def by_pxelinux():
    tftp = os.path.join(TMP, "installer")
    shutil.copytree(INSTALLER, tftp, symlinks=True)
    os.unlink(os.path.join(tftp, "pxelinux.cfg"))
    served(tftp, "pxelinux.cfg/default", PXELINUX)
    virsh("net-create", write("boot.xml", NETWORK % (tftp, "pxelinux.0")))
    boot("the installer of Debian by PXELINUX", "q35", "virtio", 7, ["PXELINUX", "elect a language"],
         INSTALLER_SECONDS, 1024)
    virsh("net-destroy", "boot")


os.chmod(TMP, 0o755)                # dnsmasq reads as a user of its own
with Daemon():
    by_ipxe()
    by_pxelinux()
