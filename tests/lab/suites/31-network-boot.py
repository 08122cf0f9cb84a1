#!/usr/bin/python3
"""SeaBIOS and the iPXE of a virtio card boot from a network of virtkilnd's: DHCP and TFTP by dnsmasq,
a script, and by it a stock kernel with its initial RAM disk.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, TMP, check, guest_files, test, virsh, vmm_pid, wait_for, write  # noqa: E402

SECONDS = 400
NETWORK = """<network><name>boot</name><bridge name='virbr7' stp='off'/>
<ip address='192.168.77.1' prefix='24'><tftp root='%s'/>
<dhcp><range start='192.168.77.10' end='192.168.77.99'/><bootp file='boot.ipxe'/></dhcp></ip></network>"""
SCRIPT = """#!ipxe
echo KILN-PXE-SCRIPT ${net0/chip} ${net0/busloc} ${ip}
kernel vmlinuz console=ttyS0 quiet panic=-1 mitigations=off
initrd initrd
boot
"""
DOMAIN = """<domain type='kvm'><name>pxe</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><boot dev='network'/><bios useserial='yes'/></os>
<features><acpi/><apic/></features><cpu mode='host-passthrough'/>
<devices><interface type='network'><source network='boot'/><model type='virtio'/></interface>
<serial type='file'><source path='%s'/></serial></devices></domain>"""


def said(log, text):
    try:
        with open(log, errors="replace") as file:
            return text in file.read()
    except FileNotFoundError:
        return False


def boot():
    """A guest that has nothing but a network card, until the kernel's own system is up."""
    log = os.path.join(TMP, "pxe.log")
    virsh("create", write("pxe.xml", DOMAIN % log))
    try:
        for word in ("KILN-PXE-SCRIPT", "KILN-GUEST-READY"):
            wait_for("the guest says %r" % word, lambda word=word: said(log, word), SECONDS)
            check(vmm_pid("pxe"), "the guest is gone")
    finally:
        if os.path.exists(log):
            shutil.copy(log, os.environ["KILN_SUITE_OUT"])
        virsh("destroy", "pxe")


os.chmod(TMP, 0o755)                # dnsmasq reads as a user of its own
tftp = os.path.join(TMP, "tftp")
os.mkdir(tftp)
for name in ("vmlinuz", "initrd"):
    shutil.copy(os.path.join(guest_files(), name), tftp)
with open(os.path.join(tftp, "boot.ipxe"), "w") as file:
    file.write(SCRIPT)
with Daemon():
    virsh("net-create", write("boot.xml", NETWORK % tftp))
    with test("a stock kernel by iPXE"):
        boot()
    virsh("net-destroy", "boot")
