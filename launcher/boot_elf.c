/* boot_elf.c - ELF kernels by their PVH entry.
 *
 * System V ABI (ELF-64, ELF-32 program headers and notes); Xen docs/misc/pvh.pandoc and
 * public/arch-x86/hvm/start_info.h, version 1: the kernel names its 32-bit entry in a note (owner
 * "Xen", type 18) and gets the address of hvm_start_info in EBX. Left out: section headers, dynamic
 * relocation.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "launcher/boot.h"
#include "util/error.h"

enum {
    ELF_CLASS = 4,
    ELF_DATA = 5,
    ELF_CLASS_32 = 1,
    ELF_CLASS_64 = 2,
    ELF_LITTLE_ENDIAN = 1,
    ELF_TYPE = 16,
    ELF_MACHINE = 18,
    ELF_EXECUTABLE = 2,
    ELF_386 = 3,
    ELF_X86_64 = 62,
    ELF_HEADER_64 = 64,
    ELF_HEADER_32 = 52,
    ELF_PH_MAX = 64,
    PT_LOAD = 1,
    PT_NOTE = 4,
    NOTE_HEAD = 12,
    NOTES_MAX = 65536,
    NOTE_PHYS32_ENTRY = 18,
    PVH_VERSION = 1,
    PVH_START_INFO = 56,
    PVH_MODULE = 32,
    PVH_E820 = 24,
    PVH_AT_MODULES = 0x40,
    PVH_AT_E820 = 0x80,
    PVH_E820_MAX = 256,
};
#define PVH_MAGIC 0x336ec578u

typedef struct {
    uint32_t type;
    uint64_t offset, address, file_size, memory_size;
} ElfSegment;

typedef struct {
    ElfSegment segments[ELF_PH_MAX];
    unsigned n_segments;
    uint64_t low, high; /* physical bounds of what is loaded */
} ElfImage;

bool
boot_elf_is(const uint8_t *head, size_t len)
{
    return len >= ELF_HEADER_64 && !memcmp(head, "\177ELF", 4);
}

static bool
elf_refuse(const BootConfig *config, GError **err, const char *why)
{
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "kernel '%s': %s", config->kernel.name,
                          why);
}

static bool
elf_read(const BootConfig *config, uint64_t offset, void *buf, size_t len, GError **err)
{
    if (offset > INT64_MAX || pread(config->kernel.fd, buf, len, offset) != (ssize_t)len)
        return elf_refuse(config, err, "the file ends inside its headers");
    return true;
}

static ElfSegment
elf_segment(const uint8_t *p, bool wide)
{
    return wide ? (ElfSegment){
        .type = bytes_load32(p), .offset = bytes_load64(p + 8), .address = bytes_load64(p + 24),
        .file_size = bytes_load64(p + 32), .memory_size = bytes_load64(p + 40),
    } : (ElfSegment){
        .type = bytes_load32(p), .offset = bytes_load32(p + 4), .address = bytes_load32(p + 12),
        .file_size = bytes_load32(p + 16), .memory_size = bytes_load32(p + 20),
    };
}

static bool
elf_parse(const BootConfig *config, const uint8_t *h, ElfImage *ret, GError **err)
{
    bool wide = h[ELF_CLASS] == ELF_CLASS_64;
    uint16_t machine = bytes_load16(h + ELF_MACHINE);
    uint64_t table = wide ? bytes_load64(h + 32) : bytes_load32(h + 28);
    unsigned entry = bytes_load16(h + (wide ? 54 : 42)), n = bytes_load16(h + (wide ? 56 : 44));
    uint8_t p[56];

    if ((h[ELF_CLASS] != ELF_CLASS_32 && !wide) || h[ELF_DATA] != ELF_LITTLE_ENDIAN ||
        (machine != ELF_386 && machine != ELF_X86_64) ||
        bytes_load16(h + ELF_TYPE) != ELF_EXECUTABLE)
        return elf_refuse(config, err, "not an ELF executable for x86");
    if (entry != (wide ? 56 : 32) || n == 0 || n > ELF_PH_MAX)
        return elf_refuse(config, err, "its program headers are not those of a kernel");
    ret->n_segments = n;
    ret->low = UINT64_MAX;
    ret->high = 0;
    for (unsigned i = 0; i < n; i++) {
        ElfSegment *s = &ret->segments[i];

        if (!elf_read(config, table + (uint64_t)i * entry, p, entry, err))
            return false;
        *s = elf_segment(p, wide);
        if (s->type != PT_LOAD || s->memory_size == 0)
            continue;
        if (s->file_size > s->memory_size || s->address < BOOT_HIGH_RAM ||
            s->address >= UINT64_C(1) << 32 || s->memory_size > UINT64_C(1) << 32 ||
            s->offset > INT64_MAX)
            return elf_refuse(
                config, err,
                "a segment lies outside 1 MiB to 4 GiB, or is larger in the file than in "
                "memory");
        ret->low = MIN(ret->low, s->address);
        ret->high = MAX(ret->high, s->address + s->memory_size);
    }
    if (ret->high == 0)
        return elf_refuse(config, err, "it has nothing to load");
    return true;
}

/* Looks for the entry in one segment of notes. */
static bool
elf_find_entry(const uint8_t *notes, size_t len, uint32_t *ret)
{
    size_t at = 0;

    while (len - at >= NOTE_HEAD) {
        uint64_t name = bytes_load32(notes + at), value = bytes_load32(notes + at + 4);
        uint32_t type = bytes_load32(notes + at + 8);
        uint64_t value_at = at + NOTE_HEAD + ((name + 3) & ~UINT64_C(3));

        if (value_at + value > len)
            return false;
        if (type == NOTE_PHYS32_ENTRY && name == 4 && value >= 4 &&
            !memcmp(notes + at + NOTE_HEAD, "Xen", 4)) {
            *ret = bytes_load32(notes + value_at);
            return true;
        }
        at = MIN(value_at + ((value + 3) & ~UINT64_C(3)), len);
    }
    return false;
}

static bool
elf_entry(const BootConfig *config, const ElfImage *image, uint32_t *ret, GError **err)
{
    for (unsigned i = 0; i < image->n_segments; i++) {
        const ElfSegment *s = &image->segments[i];
        g_autofree uint8_t *notes = NULL;

        if (s->type != PT_NOTE || s->file_size == 0 || s->file_size > NOTES_MAX)
            continue;
        notes = g_malloc(s->file_size);
        if (!elf_read(config, s->offset, notes, s->file_size, err))
            return false;
        if (!elf_find_entry(notes, s->file_size, ret))
            continue;
        if (*ret < image->low || *ret >= image->high)
            return elf_refuse(config, err, "its PVH entry lies outside what it loads");
        return true;
    }
    return elf_refuse(config, err,
                      "no PVH entry (a note of owner Xen, type 18): "
                      "build it with CONFIG_PVH, or give the bzImage");
}

static bool
elf_write_start_info(const BootConfig *config, uint64_t initrd, uint64_t initrd_size,
                     GuestMemory *memory, GError **err)
{
    g_autofree uint8_t *page = g_malloc0(PVH_AT_E820 + PVH_E820_MAX * PVH_E820);
    const char *cmdline = config->cmdline ? config->cmdline : "";
    unsigned n = MIN(config->n_e820, (unsigned)PVH_E820_MAX);

    bytes_store(page, PVH_MAGIC, 4);
    bytes_store(page + 4, PVH_VERSION, 4);
    bytes_store(page + 12, initrd_size ? 1 : 0, 4);
    bytes_store(page + 16, initrd_size ? BOOT_PVH + PVH_AT_MODULES : 0, 8);
    bytes_store(page + 24, BOOT_CMDLINE, 8);
    bytes_store(page + 32, config->rsdp, 8);
    bytes_store(page + 40, BOOT_PVH + PVH_AT_E820, 8);
    bytes_store(page + 48, n, 4);
    bytes_store(page + PVH_AT_MODULES, initrd, 8);
    bytes_store(page + PVH_AT_MODULES + 8, initrd_size, 8);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *e = page + PVH_AT_E820 + i * PVH_E820;

        bytes_store(e, config->e820[i].address, 8);
        bytes_store(e + 8, config->e820[i].size, 8);
        bytes_store(e + 16, config->e820[i].type, 4);
    }
    if (guest_memory_write(memory, BOOT_PVH, page, PVH_AT_E820 + n * PVH_E820) < 0 ||
        guest_memory_write(memory, BOOT_CMDLINE, cmdline, strlen(cmdline) + 1) < 0)
        return elf_refuse(config, err, "the guest has no memory for the start information");
    return true;
}

bool
boot_elf_load(const BootConfig *config, const uint8_t *head, size_t len, GuestMemory *memory,
              BootEntry *ret, GError **err)
{
    ElfImage image = { 0 };
    uint64_t initrd, initrd_size;
    uint32_t entry = 0;

    (void)len; /* boot_elf_is() saw a whole header */
    if (!elf_parse(config, head, &image, err) || !elf_entry(config, &image, &entry, err))
        return false;
    for (unsigned i = 0; i < image.n_segments; i++) {
        const ElfSegment *s = &image.segments[i];

        if (s->type != PT_LOAD || s->memory_size == 0)
            continue;
        if (guest_memory_zero(memory, s->address, s->memory_size) < 0)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "kernel '%s' wants memory up to %" PRIu64
                                  " MiB; give the guest more with -m",
                                  config->kernel.name, (image.high + (1 << 20) - 1) >> 20);
        if (s->file_size > 0 &&
            !boot_read(&config->kernel, s->offset, memory, s->address, s->file_size, err))
            return false;
    }
    if (!boot_load_initrd(config, memory, image.low, image.high, UINT64_C(1) << 32, &initrd,
                          &initrd_size, err) ||
        !elf_write_start_info(config, initrd, initrd_size, memory, err) ||
        !boot_write_gdt(memory, false, err))
        return false;
    *ret = (BootEntry){ .long_mode = false, .entry = entry, .argument = BOOT_PVH };
    return true;
}
