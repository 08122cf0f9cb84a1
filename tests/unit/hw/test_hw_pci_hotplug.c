/* test_hw_pci_hotplug.c - devices that come to and go from conventional PCI buses by ACPI: the
 * registers as the DSDT's methods use them, resets, saved state.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/pci/board.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 16 << 20,
    UP = 0xae00,
    DOWN = 0xae04,
    EJECT = 0xae08,
    REMOVE = 0xae0c,
    SELECT = 0xae10,
    GPE = 0xafe0,
    GPE_BIT = 1 << 1,
};

static int
setup(void **state)
{
    MachineCpu cpu = { .present = true };
    MachineConfig config = { .name = "hot",
                             .ram_below_4g = RAM,
                             .cpus = &cpu,
                             .n_cpus = 1,
                             .max_cpus = 1,
                             .physical_bits = 40 };
    FakeMachine *fake = fake_machine_new(RAM, &config);
    g_autoptr(GError) err = NULL;

    if (!board_create(fake->machine, &board_pc, &err))
        fail_msg("%s", err->message);
    fake_device(fake, "pci-bridge", "id", "br", "addr", "4", NULL);
    fake_device(fake, "virtio-serial-pci", "id", "cold", "addr", "5", NULL);
    fake_device(fake, "piix3-usb-uhci", "id", "fixed", "addr", "6", NULL);
    machine_reset(fake->machine);
    machine_set_running(fake->machine, true);
    *state = fake;
    return 0;
}

static int
teardown(void **state)
{
    fake_machine_free(*state);
    return 0;
}

static Device *
plug(FakeMachine *fake, const char *id, const char *bus, const char *addr)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    Device *dev;

    g_hash_table_insert(props, (char *)"id", (char *)id);
    g_hash_table_insert(props, (char *)"bus", (char *)bus);
    g_hash_table_insert(props, (char *)"addr", (char *)addr);
    dev = device_plug(fake->machine, "virtio-serial-pci", props, &err);
    if (!dev)
        fail_msg("%s", err->message);
    return dev;
}

static bool
event_pending(FakeMachine *fake)
{
    bool pending = fake_in(fake, GPE, 1) & GPE_BIT;

    fake_out(fake, GPE, 1, 0xff);
    return pending;
}

static unsigned
deleted(FakeMachine *fake)
{
    unsigned n = 0;

    fake_iterate(fake);
    for (guint i = 0; i < fake->qmp->len; i++)
        n += strcmp(g_ptr_array_index(fake->qmp, i), "DEVICE_DELETED") == 0;
    return n;
}

static void
test_come_and_go(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GError) err = NULL;
    Device *dev;

    assert_false(event_pending(fake));
    dev = plug(fake, "new", "pci.0", "7");
    assert_true(event_pending(fake));
    fake_out(fake, SELECT, 4, 0);
    assert_int_equal(fake_in(fake, UP, 4), 1 << 7);
    assert_int_equal(fake_in(fake, UP, 4), 0);
    assert_int_equal(fake_in(fake, DOWN, 4), 0);
    /* what the board is made of, the bridge and the fixed device stay */
    assert_int_equal(fake_in(fake, REMOVE, 4),
                     0xffffffffu & ~(1u << 0 | 1u << 1 | 1u << 4 | 1u << 6));
    assert_true(device_unplug(dev, &err));
    assert_true(event_pending(fake));
    assert_int_equal(fake_in(fake, DOWN, 4), 1 << 7);
    assert_int_equal(deleted(fake), 0);
    /* asking again does no harm */
    assert_true(device_unplug(dev, &err));
    fake_out(fake, EJECT, 4, 1 << 7);
    assert_int_equal(fake_in(fake, DOWN, 4), 0);
    assert_int_equal(deleted(fake), 1);
    assert_null(machine_device_find(fake->machine, "new"));
    fake_out(fake, EJECT, 4, 1 << 7);
    assert_int_equal(deleted(fake), 1);
    /* the slot can be had again */
    plug(fake, "new", "pci.0", "7");
    assert_int_equal(fake_in(fake, UP, 4), 1 << 7);
}

/* A device that was there from the start goes too; what cannot go does not. */
static void
test_cold_and_fixed(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GError) err = NULL;

    assert_false(device_unplug(machine_device_find(fake->machine, "fixed"), &err));
    assert_non_null(strstr(err->message, "hotplugging"));
    fake_out(fake, SELECT, 4, 0);
    fake_out(fake, EJECT, 4, 1 << 6 | 1 << 4 | 1 << 1 | 1);
    assert_int_equal(deleted(fake), 0);
    fake_out(fake, EJECT, 4, 1 << 5);
    assert_int_equal(deleted(fake), 1);
    assert_null(machine_device_find(fake->machine, "cold"));
    assert_non_null(machine_device_find(fake->machine, "br"));
}

static void
test_behind_a_bridge(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GError) err = NULL;
    Device *dev = plug(fake, "new", "br", "3");

    fake_out(fake, SELECT, 4, 0);
    assert_int_equal(fake_in(fake, UP, 4), 0);
    fake_out(fake, SELECT, 4, 1);
    assert_int_equal(fake_in(fake, UP, 4), 1 << 3);
    assert_true(device_unplug(dev, &err));
    assert_int_equal(fake_in(fake, DOWN, 4), 1 << 3);
    fake_out(fake, EJECT, 4, UINT32_MAX);
    assert_int_equal(deleted(fake), 1);
    assert_non_null(machine_device_find(fake->machine, "cold"));
}

static void
test_nonsense(void **state)
{
    static const uint32_t selections[] = { 2, 31, 32, UINT32_MAX };
    FakeMachine *fake = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(selections); i++) {
        fake_out(fake, SELECT, 4, selections[i]);
        for (uint16_t port = UP; port < SELECT; port += 4) {
            assert_int_equal(fake_in(fake, port, 4), 0);
            fake_out(fake, port, 4, UINT32_MAX);
        }
    }
    assert_int_equal(deleted(fake), 0);
}

/* A reset takes the place of the guest's consent. */
static void
test_reset(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GError) err = NULL;
    Device *dev = plug(fake, "new", "pci.0", "7");

    assert_true(device_unplug(dev, &err));
    plug(fake, "other", "pci.0", "8");
    machine_reset(fake->machine);
    assert_int_equal(deleted(fake), 1);
    fake_out(fake, SELECT, 4, 0);
    assert_int_equal(fake_in(fake, UP, 4), 0);
    assert_int_equal(fake_in(fake, DOWN, 4), 0);
}

static void
test_saved_state(void **state)
{
    FakeMachine *fake = *state, *other;
    void *place = NULL;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    assert_true(device_unplug(machine_device_find(fake->machine, "cold"), &err));
    fake_out(fake, SELECT, 4, 1);
    machine_set_running(fake->machine, false);
    assert_true(machine_save(fake->machine, saved, &err));
    setup(&place);
    other = place;
    machine_set_running(other->machine, false);
    if (!machine_load(other->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    assert_int_equal(fake_in(other, SELECT, 4), 1);
    fake_out(other, SELECT, 4, 0);
    assert_int_equal(fake_in(other, DOWN, 4), 1 << 5);
    assert_true(event_pending(other));
    fake_machine_free(other);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_come_and_go), TEST(test_cold_and_fixed), TEST(test_behind_a_bridge),
        TEST(test_nonsense),    TEST(test_reset),          TEST(test_saved_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
