/* fuzz_kernel_image.c - any file as a kernel: bzImage and ELF, and as an initrd.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launcher/boot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RAM = 32 << 20 };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const BootE820 e820[] = {
        { 0, BOOT_LOW_RAM_END, BOOT_E820_RAM },
        { BOOT_HIGH_RAM, RAM - BOOT_HIGH_RAM, BOOT_E820_RAM },
    };
    GuestRam ram = { .size = RAM, .fd = -1 };
    g_autoptr(GuestMemory) memory = guest_memory_new();
    g_autoptr(GError) err = NULL;
    int fd = memfd_create("kernel", MFD_CLOEXEC);
    BootConfig config = {
        .kernel = { fd, "kernel" },
        .initrd = { fd, "initrd" },
        .cmdline = "a",
        .e820 = e820,
        .n_e820 = G_N_ELEMENTS(e820),
    };
    BootEntry entry;

    ram.host =
        mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fd < 0 || ram.host == MAP_FAILED || !guest_memory_add(memory, &ram, NULL) ||
        pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    boot_load(&config, memory, &entry, &err);
    close(fd);
    munmap(ram.host, RAM);
    return 0;
}
