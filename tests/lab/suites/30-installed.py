#!/usr/bin/python3
"""An installed Debian starts by SeaBIOS and by OVMF from each kind of disk on both machines, and
powers off on the power button.

Two of them here; all of them, or those that begin with some words:
    KILN_WHOLE=1 run-suites 30-installed
    KILN_WHOLE=1 run-suites 30-installed -- --env "KILN_ONLY=pc SeaBIOS,q35 OVMF xhci"

# debian:
# timeout: 9000

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test, wait_for  # noqa: E402
from vmm import Guest, debian_image, flash  # noqa: E402

BOOT_SECONDS = 900
WHOLE = "KILN_WHOLE" in os.environ
NODE = ["-blockdev", "driver=file,node-name=file0,filename=%s",
        "-blockdev", "driver=raw,node-name=disk0,file=file0"]
# Each kind of disk: the machine's options, and where /sys shows it.
DISKS = {
    "virtio-blk": (["-device", "virtio-blk-pci,drive=disk0,bootindex=1"], "/virtio"),
    "virtio-scsi": (["-device", "virtio-scsi-pci,id=scsi0", "-device",
                     "scsi-hd,bus=scsi0.0,drive=disk0,bootindex=1"], "/virtio"),
    "sata": (["-device", "ide-hd,bus=ide.0,drive=disk0,bootindex=1"], "/ata"),
    "ide": (["-device", "ide-hd,bus=ide.0,unit=0,drive=disk0,bootindex=1"], "/ata"),
    "ahci": (["-device", "ich9-ahci,id=sata1", "-device",
              "ide-hd,bus=sata1.0,drive=disk0,bootindex=1"], "/ata"),
    "xhci": (["-device", "qemu-xhci,id=usb0", "-device",
              "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"], "/usb"),
    "ehci": (["-device", "usb-ehci,id=usb0", "-device",
              "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"], "/usb"),
    "uhci": (["-device", "piix3-usb-uhci,id=usb0", "-device",
              "usb-storage,bus=usb0.0,drive=disk0,bootindex=1"], "/usb"),
}
ALL = [("q35", disk) for disk in ("virtio-blk", "virtio-scsi", "sata", "xhci", "ehci")]
ALL += [("pc", disk) for disk in ("virtio-blk", "virtio-scsi", "ide", "ahci", "xhci", "ehci", "uhci")]
FEW = [("q35", "SeaBIOS", "sata"), ("q35", "OVMF", "sata")]


def system(machine, firmware, disk):
    argv = ["-machine", machine, "-smp", "2", *DISKS[disk][0]]
    argv += [word % IMAGE if "%s" in word else word for word in NODE]
    if firmware == "OVMF":
        argv += flash(os.path.join(TMP, "vars.fd"))
    with test("%s, %s, %s: Debian, to its end" % (machine, firmware, disk)), \
            Guest(*argv, kernel=None, memory="512") as guest:
        guest.wait_output("KILN-DEBIAN-UP ", timeout=BOOT_SECONDS)
        # getty writes its prompt in parts, and the line above may have come between them
        guest.wait_output("login:")

        def said():
            # a line of its own, but for what getty puts into it, which may also come before its end
            return guest.output().split("KILN-DEBIAN-UP ")[1][:300].replace("\r", "").replace("\n", "")
        wait_for("its root, at %s" % DISKS[disk][1], lambda: DISKS[disk][1] in said(), 60)
        check(said().startswith({"OVMF": "UEFI", "SeaBIOS": "BIOS"}[firmware]), "booted by " + said())
        guest.qmp.do("system_powerdown")
        guest.qmp.drain()
        check(guest.qmp.events[-1]["data"] == {"guest": True, "reason": "guest-shutdown"},
              repr(guest.qmp.events[-1]))
        check(guest.end() == (0, ""), "it did not end well")


IMAGE = debian_image("a Debian that boots")
if IMAGE:
    wanted = [(m, f, d) for m, d in ALL for f in ("OVMF", "SeaBIOS")] if WHOLE else FEW
    if only := os.environ.get("KILN_ONLY"):
        wanted = [row for row in wanted if " ".join(row).startswith(tuple(only.split(",")))]
    for row in wanted:
        system(*row)
