#!/usr/bin/python3
"""Boot loaders and small systems of other makers, from CDs, floppy images on disks, and by their own
drivers: GRUB's rescue images from each controller, ISOLINUX with iPXE, memtest86+; seen on the screen.
The latter two here; all by
    run-suites 32-boot-programs -- --env KILN_WHOLE=1

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import PROJECT, TMP, check, test, wait_for  # noqa: E402
from vmm import Guest  # noqa: E402

sys.path.insert(0, os.path.join(PROJECT, "tests"))
from screen import read_ppm  # noqa: E402

WHOLE = "KILN_WHOLE" in os.environ
SECONDS = 300
GRUB_CD, GRUB_FLOPPY = ("/usr/lib/grub-rescue/grub-rescue-%s" % name for name in ("cdrom.iso", "floppy.img"))
IPXE, MEMTEST = "/usr/lib/ipxe/ipxe.iso", "/usr/lib/memtest86+/memtest86+x64.iso"
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
    ("q35", "USB by xHCI"): ["-device", "qemu-xhci,id=usb0", "-device",
                             "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
    ("q35", "virtio-blk"): ["-device", "virtio-blk-pci,drive=disk0,bootindex=1"],
    ("pc", "IDE"): ["-device", "ide-hd,bus=ide.0,drive=disk0,bootindex=1"],
    ("pc", "USB by UHCI"): ["-device", "piix3-usb-uhci,id=usb0", "-device",
                            "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"],
    ("pc", "virtio-scsi"): ["-device", "virtio-scsi-pci,id=scsi0", "-device",
                            "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"],
}


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


def shows(name, machine, options, *texts):
    """@texts: what must stand on the screen, one after the other."""
    with test(name), Guest("-machine", machine, "-device", "VGA", "-sandbox", "off", *options, kernel=None,
                           sandbox=False) as guest:
        for text in texts:
            seen = []

            def look(seen=seen, text=text):
                seen[:] = screen(guest)
                return any(text in line for line in seen)
            try:
                wait_for("%r on the screen" % text, look, SECONDS)
            finally:
                print("\n".join(line for line in seen if line), flush=True)


def program(name, path, machine, place, options, *texts):
    if os.path.exists(path):
        shows("%s, %s: %s" % (machine, place, name), machine, drive(path, path.endswith("iso")) + options,
              *texts)
    else:
        print("skip %s, %s: %s - %s is not installed" % (machine, place, name, path), flush=True)


floppy = os.path.join(TMP, "floppy.img")
if os.path.exists(GRUB_FLOPPY):
    with open(GRUB_FLOPPY, "rb") as source, open(floppy, "wb") as copy:
        copy.write(source.read())
        copy.truncate(16 << 20)
for (machine, place), options in CD.items() if WHOLE else ():
    program("GRUB's CD", GRUB_CD, machine, place, options, "GNU GRUB")
for (machine, place), options in DISK.items() if WHOLE else ():
    program("GRUB's floppy image", floppy, machine, place, options, "GNU GRUB")
program("ISOLINUX and iPXE", IPXE, "q35", "SATA", CD["q35", "SATA"], "ISOLINUX", "iPXE ")
program("memtest86+", MEMTEST, "q35", "SATA", CD["q35", "SATA"], "Memtest86+")
program("memtest86+", MEMTEST, "pc", "IDE", CD["pc", "IDE"], "Memtest86+")
