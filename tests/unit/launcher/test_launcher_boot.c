/* test_launcher_boot.c - kernels made here, loaded. SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "launcher/boot.h"

enum { RAM = 64 << 20, SETUP_SECTS = 3, PAYLOAD = 5000, LOAD = 0x1000000, INIT_SIZE = 0x800000 };

typedef struct {
    GuestMemory *memory;
    uint8_t *ram;
    uint8_t image[(SETUP_SECTS + 1) * 512 + PAYLOAD];
} Fixture;

static const BootE820 e820[] = {
    { 0, BOOT_LOW_RAM_END, BOOT_E820_RAM },
    { BOOT_HIGH_RAM, RAM - BOOT_HIGH_RAM, BOOT_E820_RAM },
};

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    GuestRam ram = { .size = RAM, .fd = -1 };

    f->ram = ram.host = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    f->memory = guest_memory_new();
    assert_true(guest_memory_add(f->memory, &ram, NULL));
    f->image[0x1f1] = SETUP_SECTS;
    bytes_store(f->image + 0x1fe, 0xaa55, 2);
    f->image[0x200] = 0xeb;
    f->image[0x201] = 0x6a;
    memcpy(f->image + 0x202, "HdrS", 4);
    bytes_store(f->image + 0x206, 0x20f, 2);
    f->image[0x211] = 1;
    bytes_store(f->image + 0x22c, 0x7fffffff, 4);
    bytes_store(f->image + 0x230, 0x200000, 4);
    f->image[0x234] = 1;
    bytes_store(f->image + 0x236, 3, 2);
    bytes_store(f->image + 0x238, 2047, 4);
    bytes_store(f->image + 0x258, LOAD, 8);
    bytes_store(f->image + 0x260, INIT_SIZE, 4);
    memset(f->image + (SETUP_SECTS + 1) * 512, 0x5a, PAYLOAD);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    guest_memory_free(f->memory);
    munmap(f->ram, RAM);
    g_free(f);
    return 0;
}

static int
file_of(const void *data, size_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    assert_int_equal(pwrite(fd, data, len, 0), len);
    return fd;
}

static bool
load(Fixture *f, const void *data, size_t len, int initrd, const char *cmdline, BootEntry *entry,
     GError **err)
{
    int fd = file_of(data, len);
    BootConfig config = {
        .kernel = { fd, "kernel" },
        .initrd = { initrd, "initrd" },
        .cmdline = cmdline,
        .rsdp = 0xe0000,
        .e820 = e820,
        .n_e820 = G_N_ELEMENTS(e820),
    };
    bool ok = boot_load(&config, f->memory, entry, err);

    close(fd);
    return ok;
}

static void
test_bzimage(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    int initrd = file_of("INITRD", 6);
    const uint8_t *zp = f->ram + BOOT_ZERO_PAGE;
    BootEntry entry;
    uint32_t at;

    assert_true(load(f, f->image, sizeof(f->image), initrd, "quiet", &entry, &err));
    close(initrd);
    assert_true(entry.long_mode);
    assert_int_equal(entry.entry, LOAD + 0x200);
    assert_int_equal(entry.argument, BOOT_ZERO_PAGE);
    assert_int_equal(f->ram[LOAD], 0x5a);
    assert_int_equal(f->ram[LOAD + PAYLOAD - 1], 0x5a);
    assert_int_equal(f->ram[LOAD + PAYLOAD], 0);
    assert_memory_equal(zp + 0x202, "HdrS", 4);
    assert_int_equal(zp[0x210], 0xff);
    assert_string_equal((char *)f->ram + bytes_load32(zp + 0x228), "quiet");
    assert_int_equal(bytes_load64(zp + 0x70), 0xe0000);
    assert_int_equal(zp[0x1e8], 2);
    assert_int_equal(bytes_load64(zp + 0x2d0 + 20), BOOT_HIGH_RAM);
    at = bytes_load32(zp + 0x218);
    assert_int_equal(at, RAM - 4096);
    assert_int_equal(bytes_load32(zp + 0x21c), 6);
    assert_memory_equal(f->ram + at, "INITRD", 6);
    /* The page tables map the kernel to itself: level 4, 3, 2. */
    assert_int_equal(bytes_load64(f->ram + BOOT_PAGE_TABLES) & ~0xfffull, BOOT_PAGE_TABLES + 4096);
    assert_int_equal(bytes_load64(f->ram + BOOT_PAGE_TABLES + 8192 + 8 * 8), LOAD | 0x83);
}

static void
assert_image_refused(Fixture *f, size_t len, const char *cmdline, const char *says)
{
    g_autoptr(GError) err = NULL;
    BootEntry entry;

    assert_false(load(f, f->image, len, -1, cmdline, &entry, &err));
    if (!strstr(err->message, says))
        fail_msg("'%s' does not say '%s'", err->message, says);
}

static void
test_broken_bzimages(void **state)
{
    Fixture *f = *state;
    static const struct {
        unsigned at, size;
        uint64_t value;
        const char *says;
    } rows[] = {
        { 0x206, 2, 0x20b, "older than 2.12" },
        { 0x236, 2, 0, "no 64-bit entry" },
        { 0x211, 1, 0, "zImage" },
        { 0x258, 8, 0x1000, "preferred address" },
        { 0x258, 8, UINT64_MAX - 10, "preferred address" },
        { 0x260, 4, 0xffffffff, "give the guest more with -m" },
        { 0x230, 4, 3, "power of two" },
        { 0x201, 1, 2, "header is shorter" },
        { 0x1f1, 1, 200, "ends inside its setup code" },
        { 0x202, 4, 0, "neither a bzImage nor an ELF" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t was = bytes_load(f->image + rows[i].at, rows[i].size);

        bytes_store(f->image + rows[i].at, rows[i].value, rows[i].size);
        assert_image_refused(f, sizeof(f->image), NULL, rows[i].says);
        bytes_store(f->image + rows[i].at, was, rows[i].size);
    }
    assert_image_refused(f, 0x300, NULL, "ends inside");
    assert_image_refused(f, 10, NULL, "neither");
    bytes_store(f->image + 0x238, 3, 4);
    assert_image_refused(f, sizeof(f->image), "four", "takes at most 3");
}

static void
test_initrd_without_room(void **state)
{
    Fixture *f = *state;
    int initrd = memfd_create("initrd", MFD_CLOEXEC);
    g_autoptr(GError) err = NULL;
    BootEntry entry;

    assert_int_equal(ftruncate(initrd, RAM), 0);
    assert_false(load(f, f->image, sizeof(f->image), initrd, NULL, &entry, &err));
    assert_non_null(strstr(err->message, "finds no room"));
    close(initrd);
}

/* A PVH kernel: one segment of four bytes, one note. */
static size_t
make_elf(uint8_t *e)
{
    memset(e, 0, 512);
    memcpy(e, "\177ELF\2\1\1", 7);
    bytes_store(e + 16, 2, 2);
    bytes_store(e + 18, 62, 2);
    bytes_store(e + 32, 64, 8);
    bytes_store(e + 54, 56, 2);
    bytes_store(e + 56, 2, 2);
    bytes_store(e + 64, 1, 4);
    bytes_store(e + 72, 256, 8);
    bytes_store(e + 88, 0x200000, 8);
    bytes_store(e + 96, 4, 8);
    bytes_store(e + 104, 4096, 8);
    bytes_store(e + 120, 4, 4);
    bytes_store(e + 128, 300, 8);
    bytes_store(e + 152, 20, 8);
    bytes_store(e + 160, 20, 8);
    memcpy(e + 256, "CODE", 4);
    bytes_store(e + 300, 4, 4);
    bytes_store(e + 304, 4, 4);
    bytes_store(e + 308, 18, 4);
    memcpy(e + 312, "Xen", 4);
    bytes_store(e + 316, 0x200002, 4);
    return 400;
}

static void
test_pvh(void **state)
{
    Fixture *f = *state;
    uint8_t e[512];
    size_t len = make_elf(e);
    int initrd = file_of("INITRD", 6);
    const uint8_t *info = f->ram + BOOT_PVH;
    BootEntry entry;

    f->ram[0x200004] = 1;
    assert_true(load(f, e, len, initrd, "a=b", &entry, NULL));
    close(initrd);
    assert_false(entry.long_mode);
    assert_int_equal(entry.entry, 0x200002);
    assert_memory_equal(f->ram + 0x200000, "CODE", 5);
    assert_int_equal(bytes_load32(info), 0x336ec578);
    assert_string_equal((char *)f->ram + bytes_load64(info + 24), "a=b");
    assert_int_equal(bytes_load32(info + 48), 2);
    assert_memory_equal(f->ram + bytes_load64(f->ram + bytes_load64(info + 16)), "INITRD", 6);
}

static void
test_broken_elfs(void **state)
{
    Fixture *f = *state;
    static const struct {
        unsigned at, size;
        uint64_t value;
        const char *says;
    } rows[] = {
        { 18, 2, 3000, "not an ELF executable" },
        { 56, 2, 65535, "program headers" },
        { 32, 8, UINT64_MAX - 3, "ends inside" },
        { 88, 8, 0x1000, "outside 1 MiB" },
        { 96, 8, 8192, "outside 1 MiB" },
        { 104, 8, UINT64_MAX, "outside 1 MiB" },
        { 104, 8, 0x7fffffff, "give the guest more" },
        { 300, 4, UINT32_MAX, "no PVH entry" },
        { 308, 4, 17, "no PVH entry" },
        { 316, 4, 0x100, "outside what it loads" },
        { 72, 8, 100000, "ends before" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t e[512];
        size_t len = make_elf(e);
        g_autoptr(GError) err = NULL;
        BootEntry entry;

        bytes_store(e + rows[i].at, rows[i].value, rows[i].size);
        assert_false(load(f, e, len, -1, NULL, &entry, &err));
        if (!strstr(err->message, rows[i].says))
            fail_msg("'%s' does not say '%s'", err->message, rows[i].says);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bzimage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_bzimages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_initrd_without_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pvh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_elfs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
