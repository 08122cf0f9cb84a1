"""halting.py - a Linux kernel image that does nothing: each of its entries, of real, protected and long
mode, halts with interrupts disabled. A guest of it costs its host nothing but what every guest costs.

Header as in Documentation/arch/x86/boot.rst of Linux (protocol 2.12).

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import struct

HALT = b"\xfa\xf4\xeb\xfd"              # cli; hlt; jmp to the hlt
LOADED_HIGH, KERNEL_64 = 1, 1
ENTRY_64 = 0x200
PREFERRED_ADDRESS, SPACE = 16 << 20, 4096


def image():
    """The image's bytes: a boot sector, a sector of setup, and the protected-mode part."""
    setup = bytearray(1024)

    def put(offset, form, *values):
        struct.pack_into("<" + form, setup, offset, *values)
    put(0x1f1, "B", 1)                  # setup_sects
    put(0x1f4, "I", 512 * 2 // 16)      # syssize
    put(0x1fe, "H", 0xaa55)
    put(0x200, "2s4sH", b"\xeb\x7e", b"HdrS", 0x20c)    # a jump to 0x280
    put(0x211, "B", LOADED_HIGH)
    put(0x214, "I", 1 << 20)            # code32_start
    put(0x22c, "IIB", 0x7fffffff, 1 << 20, 1)           # initrd_addr_max, alignment, relocatable
    put(0x236, "HI", KERNEL_64, 255)    # xloadflags, cmdline_size
    put(0x258, "QI", PREFERRED_ADDRESS, SPACE)
    put(0x280, "4s", HALT)
    return bytes(setup) + (HALT.ljust(ENTRY_64, b"\0") + HALT).ljust(1024, b"\0")
