#!/usr/bin/python3
"""Boot loaders and small systems of other makers, seen on the screen: ISOLINUX with iPXE from CDs,
SYSLINUX with memtest86+ from disks (where the package syslinux is there), at each controller that SeaBIOS
drives, and memtest86+ from its own CD. GRUB from each controller is tests/unit/launcher/firmware.py's.

Three of them here; all, or those that begin with some words, by
    KILN_WHOLE=1 run-suites 32-boot-programs
    KILN_WHOLE=1 run-suites 32-boot-programs -- --env "KILN_ONLY=pc, IDE"

# timeout: 2400

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import PROJECT, TMP, run, test, wait_for  # noqa: E402
from vmm import Guest  # noqa: E402

sys.path.insert(0, os.path.join(PROJECT, "tests"))
from screen import read_ppm  # noqa: E402

WHOLE, ONLY = "KILN_WHOLE" in os.environ, os.environ.get("KILN_ONLY", "")
SECONDS = 300
IPXE, MEMTEST = "/usr/lib/ipxe/ipxe.iso", "/usr/lib/memtest86+/memtest86+x64.iso"
MEMTEST_KERNEL = "/boot/memtest86+x64.bin"
CD = {
    ("q35", "SATA"): ["-device", "ide-cd,bus=ide.0,drive=disk0,bootindex=1"],
    ("q35", "virtio-scsi"): ["-device", "virtio-scsi-pci,id=scsi0", "-device",
                             "scsi-cd,bus=scsi0.0,drive=disk0,bootindex=1"],
    ("pc", "IDE"): ["-device", "ide-cd,bus=ide.1,unit=0,drive=disk0,bootindex=1"],
    ("pc", "virtio-scsi"): ["-device", "virtio-scsi-pci,id=scsi0", "-device",
                            "scsi-cd,bus=scsi0.0,drive=disk0,bootindex=1"],
    ("pc", "AHCI"): ["-device", "ich9-ahci,id=sata1", "-device",
                     "ide-cd,bus=sata1.0,drive=disk0,bootindex=1"],
}
DISK = {
    ("q35", "SATA"): ["-device", "ide-hd,bus=ide.0,drive=disk0,bootindex=1"],
    ("q35", "virtio-blk"): ["-device", "virtio-blk-pci,drive=disk0,bootindex=1"],
    ("q35", "virtio-scsi"): ["-device", "virtio-scsi-pci,id=scsi0", "-device",
                             "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
    ("q35", "USB by xHCI"): ["-device", "qemu-xhci,id=usb0", "-device",
                             "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
    ("q35", "USB by EHCI"): ["-device", "usb-ehci,id=usb0", "-device",
                             "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
    ("pc", "IDE"): ["-device", "ide-hd,bus=ide.0,drive=disk0,bootindex=1"],
    ("pc", "AHCI"): ["-device", "ich9-ahci,id=sata1", "-device",
                     "ide-hd,bus=sata1.0,drive=disk0,bootindex=1"],
    ("pc", "virtio-blk"): ["-device", "virtio-blk-pci,drive=disk0,bootindex=1"],
    ("pc", "USB by UHCI"): ["-device", "piix3-usb-uhci,id=usb0", "-device",
                            "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
}
SYSLINUX = """prompt 1
timeout 20
default memtest
label memtest
kernel memtest
"""


def drive(path, read_only):
    mode = "on" if read_only else "off"
    return ["-blockdev", "driver=file,node-name=file0,filename=%s,read-only=%s" % (path, mode),
            "-blockdev", "driver=raw,node-name=disk0,file=file0,read-only=" + mode]


def screen(guest):
    """Lines of the guest's text screen, or none while it shows something else."""
    path = os.path.join(TMP, "screen.ppm")
    guest.qmp.do("screendump", filename=path)
    with open(path, "rb") as file:
        picture = read_ppm(file.read())
    return picture.text() if picture.height == 400 else []


def shows(name, machine, options, *texts, memory="256"):
    """@texts: what must stand on the screen, one after the other."""
    if not name.startswith(ONLY):
        return
    with test(name), Guest("-machine", machine, "-device", "VGA", "-sandbox", "off", *options, kernel=None,
                           memory=memory, sandbox=False) as guest:
        for text in texts:
            seen = []

            def look(seen=seen, text=text):
                seen[:] = screen(guest)
                return any(text in line for line in seen)
            try:
                wait_for("%r on the screen" % text, look, SECONDS)
            finally:
                print("\n".join(line for line in seen if line), flush=True)


def from_cd(name, path, place, *texts, **more):
    title = "%s, %s: %s" % (*place, name)
    if os.path.exists(path):
        shows(title, place[0], drive(path, True) + CD[place], *texts, **more)
    else:
        print("skip %s - %s is not installed" % (title, path), flush=True)


def syslinux_disk():
    """A disk whose boot loader is SYSLINUX, on a FAT file system without a partition table, or None."""
    if not shutil.which("syslinux") or not os.path.exists(MEMTEST_KERNEL):
        print("skip SYSLINUX - the package syslinux or memtest86+ is not installed", flush=True)
        return None
    path, config = os.path.join(TMP, "syslinux.img"), os.path.join(TMP, "syslinux.cfg")
    with open(config, "w", encoding="ascii") as file:
        file.write(SYSLINUX)
    with open(path, "wb") as file:
        file.truncate(16 << 20)
    run("/sbin/mkfs.vfat", "-F", "16", path)
    run("mcopy", "-i", path, config, "::/syslinux.cfg")
    run("mcopy", "-i", path, MEMTEST_KERNEL, "::/memtest")
    run("syslinux", "--install", path)
    return path


from_cd("ISOLINUX and iPXE", IPXE, ("q35", "SATA"), "ISOLINUX", "iPXE ")
from_cd("memtest86+", MEMTEST, ("q35", "SATA"), "Memtest86+")
from_cd("memtest86+ in 64 MiB", MEMTEST, ("pc", "IDE"), "Memtest86+", memory="64")
if WHOLE:
    for cd_place in list(CD)[1:]:
        from_cd("ISOLINUX and iPXE", IPXE, cd_place, "ISOLINUX", "iPXE ")
    disk = syslinux_disk()
    for disk_place, where in DISK.items() if disk else ():
        shows("%s, %s: SYSLINUX and memtest86+" % disk_place, disk_place[0], drive(disk, False) + where,
              "SYSLINUX", "Memtest86+")
