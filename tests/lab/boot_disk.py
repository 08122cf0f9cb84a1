"""boot_disk - a disk from which GRUB loads a kernel and its initial RAM disk, for BIOS and for UEFI.

Wants the packages grub-common, grub-pc-bin, grub-efi-amd64-bin, dosfstools and mtools.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import struct
import subprocess
import tempfile

START, MIB = 2048, 48               # of the partition, in sectors and in MiB


def make_boot_disk(disk, kernel, initrd, cmdline):
    """Makes @disk, with one FAT partition."""
    place = "%s@@%d" % (disk, START * 512)

    def call(*argv):
        subprocess.run(argv, check=True)
    with tempfile.TemporaryDirectory() as directory:
        def path(name):
            return os.path.join(directory, name)
        with open(path("grub.cfg"), "w", encoding="ascii") as stream:
            stream.write("linux /vmlinuz %s\ninitrd /initrd\nboot\n" % cmdline)
        for platform, core, modules in (("i386-pc", "core.img", ["biosdisk"]), ("x86_64-efi", "bootx64.efi", [])):
            call("grub-mkimage", "-O", platform, "-p", "(hd0,msdos1)/", "-o", path(core), "-c",
                 path("grub.cfg"), "part_msdos", "fat", "linux", "search", "normal", *modules)
        with open(disk, "wb") as stream:
            stream.truncate((START + MIB * 2048) * 512)
            with open("/usr/lib/grub/i386-pc/boot.img", "rb") as boot, open(path("core.img"), "rb") as core:
                stream.write(boot.read(440))
                stream.seek(446)
                stream.write(struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xef, b"\xfe\xff\xff", START,
                                         MIB * 2048))
                stream.seek(510)
                stream.write(b"\x55\xaa" + core.read())
        call("/sbin/mkfs.vfat", "-F", "32", "--offset", str(START), disk, str(MIB * 1024))
        call("mmd", "-i", place, "::/EFI", "::/EFI/BOOT")
        call("mcopy", "-i", place, path("bootx64.efi"), "::/EFI/BOOT/BOOTX64.EFI")
        call("mcopy", "-i", place, kernel, "::/vmlinuz")
        call("mcopy", "-i", place, initrd, "::/initrd")
