/* boot.c - loading a kernel: what the formats share.
 *
 * The file may be anything: every number in it is bounded before use, and memory is only reached
 * through GuestMemory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

enum { PAGE = 4096, READ_MAX = 1 << 30, TABLE_ENTRIES = 512, TABLES_2M = 4 };
enum { PTE_PRESENT_WRITE = 0x3, PTE_LARGE = 0x80 };

/* The stretch of RAM that @gpa lies in, or NULL. */
static const GuestRam *
boot_find_ram(const GuestMemory *memory, uint64_t gpa)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(memory, &n);

    for (size_t i = 0; i < n; i++)
        if (gpa >= ram[i].gpa && gpa - ram[i].gpa < ram[i].size)
            return &ram[i];
    return NULL;
}

/* From file to file: three times as fast as reading through the mapping, where each page is cleared
 * and faulted in first. Memory in huge pages cannot be written that way, nor can all files be sent;
 * those are read. */
static ssize_t
boot_read_some(const BootFile *file, off_t offset, const GuestRam *ram, uint64_t at, size_t len)
{
    ssize_t got = -1;

    if (ram->fd >= 0 && lseek(ram->fd, ram->fd_offset + at, SEEK_SET) >= 0)
        got = sendfile(ram->fd, file->fd, &offset, len);
    return got < 0 ? pread(file->fd, ram->host + at, len, offset) : got;
}

bool
boot_read(const BootFile *file, uint64_t offset, GuestMemory *memory, uint64_t gpa, uint64_t len,
          GError **err)
{
    while (len > 0) {
        const GuestRam *ram = boot_find_ram(memory, gpa);
        uint64_t at = ram ? gpa - ram->gpa : 0;
        ssize_t got;

        if (!ram)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "'%s' does not fit: it wants guest memory 0x%" PRIx64
                                  "…0x%" PRIx64
                                  ", which the guest does not have; give it more with -m",
                                  file->name, gpa, gpa + len);
        got = boot_read_some(file, offset, ram, at, MIN(MIN(len, ram->size - at), READ_MAX));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read '%s'",
                                        file->name);
        if (got == 0)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "'%s' ends before byte %" PRIu64 ", which its header promises",
                                  file->name, offset + len);
        guest_memory_mark(memory, gpa, (uint64_t)got);
        offset += got;
        gpa += got;
        len -= got;
    }
    return true;
}

bool
boot_load_initrd(const BootConfig *config, GuestMemory *memory, uint64_t kernel,
                 uint64_t kernel_end, uint64_t limit, uint64_t *ret_gpa, uint64_t *ret_size,
                 GError **err)
{
    struct stat st;
    uint64_t size, gpa = 0;
    size_t n_ram;
    const GuestRam *ram = guest_memory_list(memory, &n_ram);

    *ret_gpa = *ret_size = 0;
    if (config->initrd.fd < 0)
        return true;
    if (fstat(config->initrd.fd, &st) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read '%s'",
                                    config->initrd.name);
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'%s' is %s: not an initrd",
                              config->initrd.name,
                              S_ISREG(st.st_mode) ? "empty" : "not a regular file");
    size = ((uint64_t)st.st_size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    /* The highest place that fits, as boot loaders do. */
    for (size_t i = n_ram; i-- > 0 && gpa == 0;) {
        uint64_t low = MAX(ram[i].gpa, (uint64_t)BOOT_HIGH_RAM);
        uint64_t high = MIN(ram[i].gpa + ram[i].size, limit) & ~(uint64_t)(PAGE - 1);

        if (low < kernel_end && high > kernel) {
            if (high >= kernel_end && high - kernel_end >= size)
                low = kernel_end;
            else
                high = kernel;
        }
        if (high > low && high - low >= size)
            gpa = high - size;
    }
    if (gpa == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' of %" PRIu64 " KiB finds no room below 0x%" PRIx64
                              " beside the kernel; give the guest more memory with -m",
                              config->initrd.name, size / 1024, limit);
    if (!boot_read(&config->initrd, 0, memory, gpa, st.st_size, err))
        return false;
    *ret_gpa = gpa;
    *ret_size = st.st_size;
    return true;
}

static bool
boot_write(GuestMemory *memory, uint64_t gpa, const void *data, size_t len, GError **err)
{
    if (guest_memory_write(memory, gpa, data, len) == 0)
        return true;
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "the guest has too little memory to boot: nothing at 0x%" PRIx64, gpa);
}

bool
boot_write_gdt(GuestMemory *memory, bool long_mode, GError **err)
{
    /* Flat segments: access byte, limit 4 GiB, granularity; L for 64-bit code, else D. The task
     * state's limit is the smallest legal one. */
    const uint64_t gdt[BOOT_GDT_ENTRIES] = {
        [BOOT_CS / 8] = long_mode ? UINT64_C(0x00af9b000000ffff) : UINT64_C(0x00cf9b000000ffff),
        [BOOT_DS / 8] = UINT64_C(0x00cf93000000ffff),
        [BOOT_TR / 8] = UINT64_C(0x00008b0000000067),
    };

    return boot_write(memory, BOOT_GDT, gdt, sizeof(gdt), err);
}

bool
boot_write_page_tables(GuestMemory *memory, GError **err)
{
    uint64_t table[TABLE_ENTRIES] = { 0 };
    uint64_t at = BOOT_PAGE_TABLES;

    table[0] = (at + PAGE) | PTE_PRESENT_WRITE;
    if (!boot_write(memory, at, table, sizeof(table), err))
        return false;
    for (int i = 0; i < TABLES_2M; i++)
        table[i] = (at + (2 + i) * PAGE) | PTE_PRESENT_WRITE;
    if (!boot_write(memory, at + PAGE, table, sizeof(table), err))
        return false;
    for (int t = 0; t < TABLES_2M; t++) {
        for (int i = 0; i < TABLE_ENTRIES; i++)
            table[i] = ((uint64_t)t * TABLE_ENTRIES + i) << 21 | PTE_PRESENT_WRITE | PTE_LARGE;
        if (!boot_write(memory, at + (2 + t) * PAGE, table, sizeof(table), err))
            return false;
    }
    return true;
}

bool
boot_load(const BootConfig *config, GuestMemory *memory, BootEntry *ret, GError **err)
{
    uint8_t head[BOOT_HEAD];
    ssize_t len = pread(config->kernel.fd, head, sizeof(head), 0);

    if (len < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read '%s'",
                                    config->kernel.name);
    if (config->cmdline && strlen(config->cmdline) >= BOOT_CMDLINE_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-append: %zu bytes; the limit is %d", strlen(config->cmdline),
                              BOOT_CMDLINE_MAX - 1);
    if (boot_linux_is(head, len))
        return boot_linux_load(config, head, len, memory, ret, err);
    if (boot_elf_is(head, len))
        return boot_elf_load(config, head, len, memory, ret, err);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "'%s' is neither a bzImage nor an ELF kernel", config->kernel.name);
}
