/* boot.h - putting a kernel into guest memory so that the first processor can begin in it.
 *
 * No firmware runs before it: the structures that a kernel expects from its loader are written
 * here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_BOOT_H
#define KILN_LAUNCHER_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/core/memory.h"

/* Where things lie below 1 MiB. */
enum {
    BOOT_GDT = 0x500,
    BOOT_ZERO_PAGE = 0x7000,
    BOOT_STACK_TOP = 0x8ff0,
    BOOT_PAGE_TABLES = 0x9000, /* six pages */
    BOOT_PVH = 0x10000,        /* hvm_start_info, module list, memory map */
    BOOT_CMDLINE = 0x20000,
    BOOT_CMDLINE_MAX = 0x10000,
    BOOT_LOW_RAM_END = 0x9fc00,
    BOOT_HIGH_RAM = 0x100000,
};

/* Selectors of the GDT at BOOT_GDT: Linux's __BOOT_CS, __BOOT_DS, and a task state. */
enum { BOOT_CS = 0x10, BOOT_DS = 0x18, BOOT_TR = 0x20, BOOT_GDT_ENTRIES = 5 };

typedef enum { BOOT_E820_RAM = 1, BOOT_E820_RESERVED = 2 } BootE820Type;

typedef struct {
    uint64_t address, size;
    uint32_t type; /* BootE820Type */
} BootE820;

/* A file to load from: an open descriptor that can seek, and its name for messages. */
typedef struct {
    int fd; /* -1: none */
    const char *name;
} BootFile;

typedef struct {
    BootFile kernel, initrd;
    const char *cmdline; /* may be NULL */
    uint64_t rsdp;       /* guest address, 0: none */
    const BootE820 *e820;
    unsigned n_e820;
} BootConfig;

/* How the first processor begins: in 64-bit mode with the page tables at BOOT_PAGE_TABLES and the
 * zero page in RSI, in flat 32-bit mode with the start info in EBX, or in real mode, with the
 * paragraph of the entry in CS. */
typedef struct {
    bool long_mode, real_mode;
    uint64_t entry, argument;
} BootEntry;

/* Loads the kernel (bzImage with a 64-bit entry, or an ELF executable with a PVH note), initrd and
 * command line. Refuses what is broken or does not fit with VIR_ERR_CONFIG_UNSUPPORTED, naming
 * file, value and limit. May be called again for the next boot of the same guest. Main thread, with
 * no vCPU running. */
bool boot_load(const BootConfig *config, GuestMemory *memory, BootEntry *ret, GError **err);

/* For the formats: reads @len bytes at @offset of the file into guest memory at @gpa. */
bool boot_read(const BootFile *file, uint64_t offset, GuestMemory *memory, uint64_t gpa,
               uint64_t len, GError **err);
/* Finds room for the initrd below @limit (exclusive) outside [kernel, kernel_end), loads it.
 * *ret_gpa and *ret_size are 0 without one. */
bool boot_load_initrd(const BootConfig *config, GuestMemory *memory, uint64_t kernel,
                      uint64_t kernel_end, uint64_t limit, uint64_t *ret_gpa, uint64_t *ret_size,
                      GError **err);

/* The formats. @head: the first @len bytes of the file. */
enum { BOOT_HEAD = 4096 };
bool boot_linux_is(const uint8_t *head, size_t len);
bool boot_linux_load(const BootConfig *config, const uint8_t *head, size_t len, GuestMemory *memory,
                     BootEntry *ret, GError **err);
bool boot_elf_is(const uint8_t *head, size_t len);
bool boot_elf_load(const BootConfig *config, const uint8_t *head, size_t len, GuestMemory *memory,
                   BootEntry *ret, GError **err);

/* Writes the GDT, and the page tables that map the first 4 GiB to themselves. */
bool boot_write_gdt(GuestMemory *memory, bool long_mode, GError **err);
bool boot_write_page_tables(GuestMemory *memory, GError **err);

#endif
