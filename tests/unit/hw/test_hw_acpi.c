/* test_hw_acpi.c - the tables as ACPICA sees them, and the fixed hardware behind them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/char/chardev.h"
#include "hw/acpi/build.h"
#include "hw/acpi/cpu_hotplug.h"
#include "hw/core/bytes.h"
#include "hw/pci/lpc.h"
#include "hw/pci/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t
prepare(FakeMachine *fake)
{
    g_autoptr(GError) err = NULL;
    uint64_t rsdp = 0;

    if (!board_prepare_boot(fake->machine, &rsdp, &err))
        fail_msg("board_prepare_boot: %s", err->message);
    machine_set_running(fake->machine, true);
    return rsdp;
}

static uint8_t
sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;

    while (n--)
        s = (uint8_t)(s + *p++);
    return s;
}

static void
test_checksums(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    const uint8_t *rsdp = fake->ram + prepare(fake);
    const uint8_t *xsdt;

    (void)state;
    assert_memory_equal(rsdp, "RSD PTR ", 8);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    xsdt = fake->ram + bytes_load64(rsdp + 24);
    assert_memory_equal(xsdt, "XSDT", 4);
    assert_int_equal(sum(xsdt, bytes_load32(xsdt + 4)), 0);
    for (uint32_t at = 36; at < bytes_load32(xsdt + 4); at += 8) {
        const uint8_t *table = fake->ram + bytes_load64(xsdt + at);

        assert_int_equal(sum(table, bytes_load32(table + 4)), 0);
    }
    fake_machine_free(fake);
}

static void
run_iasl(const char *dir, const char *name)
{
    g_autofree char *aml = g_strdup_printf("%s/%s.dat", dir, name);
    g_autofree char *dsl = g_strdup_printf("%s/%s.dsl", dir, name);
    g_autofree char *out = NULL, *text = NULL;
    const char *disassemble[] = { "iasl", "-d", aml, NULL };
    const char *compile[] = { "iasl", "-vw", "3073", dsl, NULL };
    int status;

    assert_true(g_spawn_sync(dir, (char **)disassemble, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                             &text, &status, NULL));
    if (status != 0 || strstr(out, "Error") || strstr(text, "Error") || strstr(text, "Warning"))
        fail_msg("iasl -d %s: %s%s", name, out, text);
    if (strcmp(name, "DSDT") != 0)
        return;
    g_free(out);
    g_free(text);
    assert_true(g_spawn_sync(dir, (char **)compile, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out,
                             &text, &status, NULL));
    if (status != 0 || !strstr(out, " 0 Errors, 0 Warnings"))
        fail_msg("iasl %s: %s%s", name, out, text);
}

static void
check_tables(FakeMachine *fake)
{
    const uint8_t *rsdp = fake->ram + prepare(fake);
    const uint8_t *xsdt = fake->ram + bytes_load64(rsdp + 24);
    g_autofree char *dir = g_dir_make_tmp("kiln-acpi-XXXXXX", NULL);
    const char *clean[] = { "rm", "-r", dir, NULL };

    for (uint32_t at = 36; at <= bytes_load32(xsdt + 4); at += 8) {
        /* One more than the XSDT lists: the DSDT, which the FADT names. */
        bool dsdt = at == bytes_load32(xsdt + 4);
        const uint8_t *fadt = fake->ram + bytes_load64(xsdt + 36);
        const uint8_t *table = fake->ram + bytes_load64(dsdt ? fadt + 140 : xsdt + at);
        g_autofree char *name = g_strndup((const char *)table, 4);
        g_autofree char *path = g_strdup_printf("%s/%s.dat", dir, name);

        assert_true(g_file_set_contents(path, (const char *)table, bytes_load32(table + 4), NULL));
        run_iasl(dir, name);
    }
    assert_true(g_spawn_sync(NULL, (char **)clean, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                             NULL, NULL, NULL));
}

static bool
have_iasl(void)
{
    g_autofree char *path = g_find_program_in_path("iasl");

    if (!path)
        print_message("iasl (package acpica-tools) is not installed\n");
    return path != NULL;
}

/* The ports that have characters behind them. */
static void
add_ports(FakeMachine *fake)
{
    static const char *const drivers[] = { "isa-serial", "isa-parallel" };

    for (size_t i = 0; i < G_N_ELEMENTS(drivers); i++) {
        g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);

        g_hash_table_insert(props, (char *)"id", (char *)drivers[i]);
        g_hash_table_insert(props, (char *)"backend", (char *)"null");
        assert_true(machine_object_add(fake->machine, OBJECT_CHARDEV, drivers[i],
                                       chardev_new(fake->machine, props, NULL),
                                       (GDestroyNotify)chardev_free, NULL));
        fake_device(fake, drivers[i], "chardev", drivers[i], NULL);
    }
}

static void
test_iasl(void **state)
{
    FakeMachine *fake;

    (void)state;
    if (!have_iasl())
        skip();
    fake = fake_machine_new_q35(64 << 20);
    fake_device(fake, "pcie-root-port", "id", "pci.1", "addr", "1", NULL);
    add_ports(fake);
    check_tables(fake);
    fake_machine_free(fake);
}

/* Both boards with all that the tables can tell of. */
static void
test_iasl_full(void **state)
{
    MachineCpu cpu = { .present = true };
    MachineConfig config = { .name = "full",
                             .ram_below_4g = 64 << 20,
                             .cpus = &cpu,
                             .n_cpus = 1,
                             .max_cpus = 1,
                             .physical_bits = 40,
                             .hpet = true,
                             .s3 = true,
                             .s4 = true };
    const Board *const boards[] = { &board_q35, &board_pc };

    (void)state;
    if (!have_iasl())
        skip();
    for (size_t i = 0; i < G_N_ELEMENTS(boards); i++) {
        FakeMachine *fake = fake_machine_new(64 << 20, &config);
        g_autoptr(GError) err = NULL;

        assert_true(board_create(fake->machine, boards[i], &err));
        fake_device(fake, "pvpanic", NULL);
        fake_device(fake, "vmgenid", "guid", "12345678-9abc-def0-1122-334455667788", NULL);
        fake_device_refused(fake, "only one", "vmgenid", NULL);
        fake_device(fake, i ? "pci-bridge" : "pcie-pci-bridge", "id", "br1", NULL);
        check_tables(fake);
        assert_memory_equal(fake->ram + 0xfb000 + 40, "\x78\x56\x34\x12\xbc\x9a\xf0\xde\x11\x22",
                            10);
        fake_machine_free(fake);
    }
}

static const uint8_t *
find_table(const FakeMachine *fake, uint64_t rsdp, const char *signature)
{
    const uint8_t *xsdt = fake->ram + bytes_load64(fake->ram + rsdp + 24);

    for (uint32_t at = 36; at < bytes_load32(xsdt + 4); at += 8) {
        const uint8_t *table = fake->ram + bytes_load64(xsdt + at);

        if (memcmp(table, signature, 4) == 0)
            return table;
    }
    fail_msg("no table %s", signature);
    return NULL;
}

/* Two nodes, the second around the hole below 4 GiB: ACPI 6.4, 5.2.16 and 5.2.17. */
static void
test_numa(void **state)
{
    static uint8_t near[] = { 10, 31 }, far[] = { 17, 10 };
    MachineNode nodes[] = { { .memory = 48 << 20, .distances = near },
                            { .memory = 32 << 20, .distances = far } };
    MachineCpu cpus[] = { { .apic_id = 0, .node = 0, .present = true },
                          { .apic_id = 300, .node = 1, .present = true } };
    MachineConfig config = { .name = "numa",
                             .ram_below_4g = 64 << 20,
                             .ram_above_4g = 16 << 20,
                             .cpus = cpus,
                             .n_cpus = 2,
                             .max_cpus = 2,
                             .nodes = nodes,
                             .n_nodes = 2,
                             .physical_bits = 40 };
    static const struct {
        uint32_t node;
        uint64_t base, length;
    } want[] = {
        { 0, 0, 48 << 20 },
        { 1, 48 << 20, 16 << 20 },
        { 1, UINT64_C(4) << 30, 16 << 20 },
    };
    FakeMachine *fake = fake_machine_new(64 << 20, &config);
    const uint8_t *srat, *slit, *at;
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    (void)state;
    assert_true(board_create(fake->machine, &board_q35, &err));
    rsdp = prepare(fake);
    srat = find_table(fake, rsdp, "SRAT");
    slit = find_table(fake, rsdp, "SLIT");
    assert_int_equal(bytes_load64(slit + 36), 2);
    assert_memory_equal(slit + 44, "\x0a\x1f\x11\x0a", 4);
    at = srat + 48;
    assert_memory_equal(at, "\0\x10\0\0\1\0\0\0", 8); /* the APIC 0 is of node 0 */
    at += at[1];
    assert_int_equal(at[0], 2); /* a number beyond 254 needs the x2APIC's form */
    assert_int_equal(bytes_load32(at + 4), 1);
    assert_int_equal(bytes_load32(at + 8), 300);
    for (size_t i = 0; i < G_N_ELEMENTS(want); i++) {
        at += at[1];
        assert_int_equal(at[0], 1);
        assert_int_equal(bytes_load32(at + 2), want[i].node);
        assert_int_equal(bytes_load64(at + 8), want[i].base);
        assert_int_equal(bytes_load64(at + 16), want[i].length);
        assert_int_equal(bytes_load32(at + 28), 1);
    }
    assert_ptr_equal(at + at[1], srat + bytes_load32(srat + 4));
    assert_int_equal(bytes_load32(find_table(fake, rsdp, "WAET") + 36),
                     2); /* the PM timer is good */
    fake_machine_free(fake);
}

/* Firmware runs these commands: every place they name lies in its blob, and what they sum up is a
 * whole table. */
static void
test_loader(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GByteArray) tables = g_byte_array_new(), rsdp = g_byte_array_new();
    g_autoptr(GByteArray) loader = g_byte_array_new();
    unsigned pointers = 0, sums = 0;

    (void)state;
    acpi_build_blobs(fake->machine, tables, rsdp, loader);
    assert_int_equal(rsdp->len, 36);
    assert_int_equal(loader->len % 128, 0);
    for (guint at = 0; at < loader->len; at += 128) {
        const uint8_t *c = loader->data + at;
        const GByteArray *file = !strcmp((const char *)c + 4, "etc/acpi/rsdp") ? rsdp : tables;

        switch (bytes_load32(c)) {
        case 1:
            assert_int_equal(c[64], file == rsdp ? 2 : 1);
            break;
        case 2:
            assert_string_equal((const char *)c + 60, "etc/acpi/tables");
            assert_in_range(bytes_load32(c + 116) + c[120], 4, file->len);
            assert_in_range(bytes_load(file->data + bytes_load32(c + 116), c[120]), 0,
                            tables->len - 1);
            pointers++;
            break;
        case 3:
            assert_in_range(bytes_load32(c + 64) + bytes_load32(c + 68), 20, file->len);
            assert_int_equal(file->data[bytes_load32(c + 60)], 0);
            sums++;
            break;
        default:
            fail();
        }
    }
    assert_in_range(pointers, 8, 40);
    assert_in_range(sums, 8, 20);
    fake_machine_free(fake);
}

static void
test_iasl_large(void **state)
{
    MachineCpu cpus[300] = { { .present = true } };
    uint8_t near[] = { 10, 21 }, far[] = { 21, 10 };
    MachineNode nodes[2] = { { 100 << 20, near }, { 28 << 20, far } };
    MachineConfig config = { .name = "large",
                             .ram_below_4g = 128 << 20,
                             .cpus = cpus,
                             .n_cpus = 200,
                             .max_cpus = 300,
                             .nodes = nodes,
                             .n_nodes = 2,
                             .physical_bits = 46 };
    g_autoptr(GError) err = NULL;
    FakeMachine *fake;

    (void)state;
    if (!have_iasl())
        skip();
    for (unsigned i = 0; i < 300; i++)
        cpus[i] = (MachineCpu){ .apic_id = i, .node = i & 1, .present = i < 200 };
    fake = fake_machine_new(128 << 20, &config);
    assert_true(board_create(fake->machine, &board_q35, &err));
    check_tables(fake);
    fake_machine_free(fake);
}

/* ---- processors that come and go ---- */

/* Two of four are there. */
static FakeMachine *
new_with_cpus(bool pc)
{
    MachineCpu cpus[4] = { { 0, 0, true }, { 1, 0, true }, { 2, 0, false }, { 3, 0, false } };
    MachineConfig config = {
        .ram_below_4g = 64 << 20, .cpus = cpus, .n_cpus = 2, .max_cpus = 4, .physical_bits = 40
    };
    FakeMachine *fake = fake_machine_new(64 << 20, &config);
    g_autoptr(GError) err = NULL;

    assert_true(board_create(fake->machine, pc ? &board_pc : &board_q35, &err));
    machine_reset(fake->machine);
    return fake;
}

static unsigned
cpu_flags(FakeMachine *fake, uint16_t port, uint32_t index)
{
    fake_out(fake, port, 4, index);
    return (unsigned)fake_in(fake, port + 4, 1);
}

/* What the DSDT's methods do, and OVMF's count of processors. */
static void
test_cpu_hotplug(void **state)
{
    for (unsigned pc = 0; pc < 2; pc++) {
        FakeMachine *fake = new_with_cpus(pc);
        uint16_t port = pc ? 0xaf00 : 0xcd8, gpe = pc ? 0xafe0 : 0x620;
        uint32_t possible = 0, there = 0;

        (void)state;
        prepare(fake);
        assert_int_equal(cpu_hotplug_port(fake->machine), port);
        if (have_iasl())
            check_tables(fake);
        fake_out(fake, port, 4, 0);
        fake_out(fake, port + 5, 1, 0);
        assert_int_equal(fake_in(fake, port, 4), 0);
        do {
            there += fake_in(fake, port + 4, 1) & 1;
            fake_out(fake, port, 4, ++possible);
        } while (fake_in(fake, port + 8, 4) > 0);
        assert_int_equal(possible, 4);
        assert_int_equal(there, 2);
        fake_out(fake, port + 4, 1, 0xff); /* of none: nothing happens */

        fake_out(fake, gpe + (pc ? 2 : 8), 1, 1 << 2);
        cpu_hotplug_plug(fake->machine, 3, true);
        assert_true(fake->gsi[9]);
        assert_int_equal(fake->machine->config.n_cpus, 3);
        fake_out(fake, gpe, 1, 1 << 2);
        assert_false(fake->gsi[9]);
        fake_out(fake, port, 4, 0);
        fake_out(fake, port + 5, 1, 0);
        assert_int_equal(fake_in(fake, port + 8, 4), 3);
        assert_int_equal(fake_in(fake, port + 4, 1), 3);
        fake_out(fake, port + 4, 1, 2);
        assert_int_equal(fake_in(fake, port + 4, 1), 1);
        fake_out(fake, port + 5, 1, 3);
        assert_int_equal(fake_in(fake, port + 8, 4), 3); /* APIC id */

        cpu_hotplug_unplug(fake->machine, 3);
        assert_true(fake->gsi[9]);
        assert_int_equal(cpu_flags(fake, port, 3), 5);
        fake_out(fake, port + 5, 1, 1);
        fake_out(fake, port + 8, 4, 0x103);
        fake_out(fake, port + 5, 1, 2);
        fake_out(fake, port + 8, 4, 0x84);
        assert_int_equal(fake->cpu_event, 0x103);
        assert_int_equal(fake->cpu_status, 0x84);
        fake_out(fake, port + 4, 1, 4);
        fake_out(fake, port + 4, 1, 8);
        assert_int_equal(fake->ejected, 1 << 3);
        assert_int_equal(cpu_flags(fake, port, 3), 0);
        fake_out(fake, port + 4, 1, 8); /* once is enough */
        cpu_hotplug_gone(fake->machine, 3);
        assert_int_equal(fake->machine->config.n_cpus, 2);
        /* Nor can what is not there be ejected, or the first one. */
        fake->ejected = 0;
        fake_out(fake, port, 4, 2);
        fake_out(fake, port + 4, 1, 8);
        fake_out(fake, port, 4, 0);
        fake_out(fake, port + 4, 1, 8);
        assert_int_equal(fake->ejected, 0);
        /* A reset ends what was asked for; firmware hears of those that are there. */
        cpu_hotplug_plug(fake->machine, 2, true);
        machine_reset(fake->machine);
        assert_int_equal(cpu_flags(fake, port, 2), 1);
        fake_out(fake, 0x510, 2, 5);
        assert_int_equal(fake_in(fake, 0x511, 1), 3);
        fake_out(fake, 0x70, 1, 0x5f);
        assert_int_equal(fake_in(fake, 0x71, 1), 2);
        fake_machine_free(fake);
    }
}

static void
test_no_cpu_hotplug(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    (void)state;
    prepare(fake);
    assert_int_equal(cpu_hotplug_port(fake->machine), 0);
    assert_int_equal(fake_in(fake, 0xcd8, 4), UINT32_MAX);
    fake_machine_free(fake);
}

static void
test_power_button(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    (void)state;
    prepare(fake);
    assert_int_equal(fake_in(fake, 0x604, 2) & 1, 1); /* SCI_EN */
    board_power_button(fake->machine);
    assert_false(fake->gsi[9]);
    fake_out(fake, 0x602, 2, 0x100);
    assert_true(fake->gsi[9]);
    assert_int_equal(fake_in(fake, 0x600, 2), 0x100);
    fake_out(fake, 0x600, 2, 0x100);
    assert_false(fake->gsi[9]);
    /* S5 */
    fake_out(fake, 0x604, 2, 0x2001);
    assert_int_equal(fake->requests->len, 1);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_SHUTDOWN);
    fake_machine_free(fake);
}

static void
test_pm_timer(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    uint64_t before, after;

    (void)state;
    prepare(fake);
    before = fake_in(fake, 0x608, 4);
    fake_advance(fake, 1000000000);
    after = fake_in(fake, 0x608, 4);
    assert_in_range((after - before) & 0xffffff, 3579544, 3579546);
    /* Half the 24-bit range is 2.343 s: the status bit follows, and raises the SCI when enabled. */
    fake_out(fake, 0x600, 2, 1);
    fake_out(fake, 0x602, 2, 1);
    assert_false(fake->gsi[9]);
    fake_advance(fake, 2400000000);
    assert_true(fake->gsi[9]);
    assert_int_equal(fake_in(fake, 0x600, 2) & 1, 1);
    fake_machine_free(fake);
}

static void
test_reset_register(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    (void)state;
    fake_out(fake, 0xcf9, 1, 0x02);
    assert_int_equal(fake->requests->len, 0);
    fake_out(fake, 0xcf9, 1, 0x0e);
    assert_int_equal(fake->requests->len, 1);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_RESET);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums),   cmocka_unit_test(test_iasl),
        cmocka_unit_test(test_iasl_full),   cmocka_unit_test(test_loader),
        cmocka_unit_test(test_iasl_large),  cmocka_unit_test(test_power_button),
        cmocka_unit_test(test_cpu_hotplug), cmocka_unit_test(test_no_cpu_hotplug),
        cmocka_unit_test(test_pm_timer),    cmocka_unit_test(test_reset_register),
        cmocka_unit_test(test_numa),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
