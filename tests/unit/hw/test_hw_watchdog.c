/* test_hw_watchdog.c - the 6300ESB's watchdog: stages, the unlocking sequence, the lock, state; and
 * the ICH9's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/pci/pci.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    RAM = 1 << 20,
    BDF = 5 << 3,
    CONFIG = 0x60,
    LOCK = 0x68,
    TICK = 32768 * 30, /* nanoseconds, without CONFIG's bit 2 */
};
#define BAR UINT64_C(0xc1000000)

/* The ICH9's, as firmware places it. */
enum {
    LPC = 0x1f << 3,
    TCO = 0x660,
    FEED = TCO,
    STATUS1 = TCO + 4,
    STATUS2 = TCO + 6,
    CONTROL1 = TCO + 8,
    COUNT = TCO + 0x12,
};
#define GCS UINT64_C(0xfed1f410)
#define SECONDS(n) (INT64_C(1000000000) * (n))

static PciRoot *
root_of(FakeMachine *fake)
{
    return fake->machine->pci;
}

static void
configure(FakeMachine *fake)
{
    pci_config_write(root_of(fake), BDF, 0x10, 4, (uint32_t)BAR);
    pci_config_write(root_of(fake), BDF, 4, 2, 2);
}

static int
setup(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);

    fake_device(fake, "i6300esb", "id", "watchdog0", "addr", "0x5", NULL);
    configure(fake);
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

static void
set(FakeMachine *fake, unsigned at, unsigned size, uint32_t value)
{
    fake_write(fake, BAR + 0xc, 2, 0x80);
    fake_write(fake, BAR + 0xc, 2, 0x86);
    fake_write(fake, BAR + at, size, value);
}

/* As Linux does it: both stages of @ticks, no interrupt. */
static void
arm(FakeMachine *fake, uint32_t ticks)
{
    pci_config_write(root_of(fake), BDF, CONFIG, 2, 3);
    set(fake, 0, 4, ticks);
    set(fake, 4, 4, ticks);
    set(fake, 0xc, 2, 0x100);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 2);
}

static unsigned
bites(FakeMachine *fake)
{
    unsigned n = 0;

    for (guint i = 0; i < fake->requests->len; i++)
        n += g_array_index(fake->requests, MachineRequest, i) == MACHINE_WATCHDOG;
    return n;
}

static unsigned
lines(FakeMachine *fake)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_GSIS; i++)
        n += fake->gsi[i];
    return n;
}

static void
test_stages(void **state)
{
    FakeMachine *fake = *state;

    arm(fake, 100);
    fake_advance(fake, INT64_C(199) * TICK);
    assert_int_equal(bites(fake), 0);
    assert_int_equal(fake_read(fake, BAR + 8, 4), 1); /* the first is over */
    assert_int_equal(lines(fake), 0);
    set(fake, 0xc, 2, 0x100);
    fake_advance(fake, INT64_C(99) * TICK);
    fake_advance(fake, INT64_C(2) * TICK);
    assert_int_equal(bites(fake), 0);
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0);
    fake_advance(fake, INT64_C(100) * TICK);
    assert_int_equal(bites(fake), 1);
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0x200);
    fake_advance(fake, INT64_C(1000) * TICK);
    assert_int_equal(bites(fake), 1);
    set(fake, 0xc, 2, 0x300); /* fed at last, and the flag cleared */
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0);
    fake_advance(fake, INT64_C(101) * TICK);
    fake_advance(fake, INT64_C(101) * TICK);
    assert_int_equal(bites(fake), 2);
}

static void
test_unlocking(void **state)
{
    FakeMachine *fake = *state;

    fake_write(fake, BAR, 4, 5);
    assert_int_equal(fake_read(fake, BAR, 4), 0xfffff);
    fake_write(fake, BAR + 0xc, 2, 0x86);
    fake_write(fake, BAR + 0xc, 2, 0x80);
    fake_write(fake, BAR, 4, 5);
    assert_int_equal(fake_read(fake, BAR, 4), 0xfffff);
    set(fake, 0, 4, UINT32_MAX);
    assert_int_equal(fake_read(fake, BAR, 4), 0xfffff);
    set(fake, 0, 4, 5);
    fake_write(fake, BAR + 4, 4, 6); /* one sequence, one write */
    assert_int_equal(fake_read(fake, BAR, 4), 5);
    assert_int_equal(fake_read(fake, BAR + 4, 4), 0xfffff);
    set(fake, 4, 1, 0);
    assert_int_equal(fake_read(fake, BAR + 4, 4), 0xfff00);
}

static void
test_interrupt(void **state)
{
    FakeMachine *fake = *state;

    arm(fake, 100);
    pci_config_write(root_of(fake), BDF, CONFIG, 2, 1 << 5); /* and no output */
    fake_advance(fake, INT64_C(101) * TICK);
    assert_true(lines(fake) > 0);
    fake_write(fake, BAR + 8, 4, 1);
    assert_int_equal(lines(fake), 0);
    fake_advance(fake, INT64_C(101) * TICK);
    assert_int_equal(bites(fake), 0);
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0x200);
}

static void
test_lock(void **state)
{
    FakeMachine *fake = *state;

    arm(fake, 100);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 0); /* it can be stopped */
    fake_advance(fake, INT64_C(101) * TICK);
    fake_advance(fake, INT64_C(101) * TICK);
    assert_int_equal(bites(fake), 0);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 3);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 0); /* until it is locked */
    assert_int_equal(pci_config_read(root_of(fake), BDF, LOCK, 1), 3);
    fake_advance(fake, INT64_C(101) * TICK);
    fake_advance(fake, INT64_C(101) * TICK);
    assert_int_equal(bites(fake), 1);
    machine_reset(fake->machine);
    configure(fake);
    assert_int_equal(pci_config_read(root_of(fake), BDF, LOCK, 1), 0);
    assert_int_equal(fake_read(fake, BAR, 4), 0xfffff);
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0x200); /* why it was reset */
    pci_config_write(root_of(fake), BDF, LOCK, 1, 4);
    assert_int_equal(pci_config_read(root_of(fake), BDF, LOCK, 1), 4);
}

/* The output falls every other time; a period of next to nothing is made longer. */
static void
test_free_running(void **state)
{
    FakeMachine *fake = *state;

    pci_config_write(root_of(fake), BDF, CONFIG, 2, 1 << 2);
    set(fake, 4, 4, 0);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 6);
    fake_advance(fake, 900000);
    assert_int_equal(bites(fake), 0);
    fake_advance(fake, 200000);
    assert_int_equal(bites(fake), 1);
    fake_advance(fake, 1100000);
    assert_int_equal(bites(fake), 1);
    fake_advance(fake, 1100000);
    assert_int_equal(bites(fake), 2);
    assert_int_equal(fake_read(fake, BAR + 8, 4), 0);
    assert_int_equal(fake_read(fake, BAR + 0xc, 2), 0);
}

static void
test_state(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    arm(fake, 100);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 3);
    fake_advance(fake, INT64_C(150) * TICK); /* the first stage ends here */
    fake_advance(fake, INT64_C(50) * TICK);
    machine_set_running(fake->machine, false);
    assert_true(machine_save(fake->machine, saved, &err));
    machine_reset(fake->machine);
    fake_advance(fake, INT64_C(500) * TICK);
    assert_true(machine_load(fake->machine, saved->data, saved->len, &err));
    machine_set_running(fake->machine, true);
    assert_int_equal(pci_config_read(root_of(fake), BDF, LOCK, 1), 3);
    pci_config_write(root_of(fake), BDF, LOCK, 1, 0);
    fake_advance(fake, INT64_C(49) * TICK);
    assert_int_equal(bites(fake), 0);
    fake_advance(fake, INT64_C(2) * TICK);
    assert_int_equal(bites(fake), 1);
}

/* ---- ICH9 ---- */

/* Does a reset, and what firmware does behind it. */
static void
tco_boot(FakeMachine *fake)
{
    machine_reset(fake->machine);
    pci_config_write(root_of(fake), LPC, 0x40, 4, 0x601);
    pci_config_write(root_of(fake), LPC, 0x44, 1, 0x80);
    pci_config_write(root_of(fake), LPC, 0xf0, 4, 0xfed1c001);
}

static int
setup_tco(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);

    fake->machine->config.tco_reboots = true;
    tco_boot(fake);
    machine_set_running(fake->machine, true);
    *state = fake;
    return 0;
}

/* As Linux does it, with 20 ticks of 0.6 seconds each time. */
static void
tco_arm(FakeMachine *fake)
{
    fake_write(fake, GCS, 4, fake_read(fake, GCS, 4) & ~UINT64_C(0x20));
    assert_int_equal(fake_read(fake, GCS, 4) & 0x20, 0);
    fake_out(fake, STATUS1, 2, 0x0008);
    fake_out(fake, STATUS2, 2, 0x0002);
    fake_out(fake, STATUS2, 2, 0x0004);
    fake_out(fake, CONTROL1, 2, 0x0800);
    fake_out(fake, COUNT, 2, 20);
    assert_int_equal(fake_in(fake, COUNT, 2), 20);
    fake_out(fake, FEED, 2, 1);
    fake_out(fake, CONTROL1, 2, 0);
    assert_int_equal(fake_in(fake, CONTROL1, 2) & 0x0800, 0);
}

static void
test_tco_bites(void **state)
{
    FakeMachine *fake = *state;

    assert_int_equal(fake_in(fake, COUNT, 2), 4);
    fake_advance(fake, SECONDS(60));
    tco_arm(fake);
    for (unsigned i = 0; i < 5; i++) {
        fake_advance(fake, SECONDS(9));
        assert_in_range(fake_in(fake, FEED, 2), 4, 5);
        fake_out(fake, FEED, 2, 1);
    }
    fake_advance(fake, SECONDS(13));
    assert_int_equal(fake_in(fake, STATUS1, 2), 8);
    fake_out(fake, STATUS1, 2, 8);
    assert_int_equal(fake_in(fake, STATUS1, 2), 0);
    assert_int_equal(bites(fake), 0);
    fake_advance(fake, SECONDS(12));
    assert_int_equal(bites(fake), 1);
    /* what happened is known after the reset, and it has stopped */
    tco_boot(fake);
    assert_int_equal(fake_in(fake, STATUS2, 2), 6);
    fake_out(fake, STATUS2, 2, 6);
    assert_int_equal(fake_in(fake, STATUS2, 2), 0);
    fake_advance(fake, SECONDS(100));
    assert_int_equal(bites(fake), 1);
}

static void
test_tco_stops(void **state)
{
    FakeMachine *fake = *state;

    tco_arm(fake);
    fake_advance(fake, SECONDS(20));
    fake_out(fake, CONTROL1, 2, 0x1800);
    fake_advance(fake, SECONDS(100));
    assert_int_equal(bites(fake), 0);
    /* the lock stays until the reset; values below two do not run */
    fake_out(fake, CONTROL1 + 1, 1, 0);
    assert_int_equal(fake_in(fake, CONTROL1, 2), 0x1000);
    fake_out(fake, COUNT, 2, 1);
    fake_out(fake, FEED, 2, 1);
    fake_advance(fake, SECONDS(100));
    assert_int_equal(bites(fake), 0);
    tco_boot(fake);
    assert_int_equal(fake_in(fake, CONTROL1, 2), 0);
}

static void
test_tco_strap(void **state)
{
    FakeMachine *fake = *state;

    fake->machine->config.tco_reboots = false;
    fake_write(fake, GCS, 4, 0);
    assert_int_equal(fake_read(fake, GCS, 4), 0x20);
    assert_int_equal(fake_read(fake, GCS - 8, 4), 0);
    fake_out(fake, FEED, 2, 1);
    fake_advance(fake, SECONDS(3));
    fake_advance(fake, SECONDS(3));
    assert_int_equal(fake_in(fake, STATUS2, 2), 6);
    assert_int_equal(bites(fake), 0);
}

static void
test_tco_state(void **state)
{
    FakeMachine *fake = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    tco_arm(fake);
    fake_advance(fake, SECONDS(13));
    fake_advance(fake, SECONDS(7));
    machine_set_running(fake->machine, false);
    assert_true(machine_save(fake->machine, saved, &err));
    machine_reset(fake->machine);
    fake_advance(fake, SECONDS(500));
    assert_true(machine_load(fake->machine, saved->data, saved->len, &err));
    machine_set_running(fake->machine, true);
    fake_advance(fake, SECONDS(3));
    assert_int_equal(bites(fake), 0);
    fake_advance(fake, SECONDS(3));
    assert_int_equal(bites(fake), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unlocking, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interrupt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tco_bites, setup_tco, teardown),
        cmocka_unit_test_setup_teardown(test_tco_stops, setup_tco, teardown),
        cmocka_unit_test_setup_teardown(test_tco_strap, setup_tco, teardown),
        cmocka_unit_test_setup_teardown(test_tco_state, setup_tco, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
