/* test_hw_power.c - D3hot, resets of single functions and what extended space keeps of its
 * registers, seen through an entropy device, its port and a network card.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"
#include "tests/unit/hw/virtio_driver.h"

#include "hw/core/bytes.h"
#include "hw/pci/lpc.h"
#include "hw/virtio/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 16 << 20,
    SIZE = 8,
    PORT_BDF = 2 << 3,
    RNG_BDF = 1 << 8, /* bus 1, behind the port */
    CARD_BDF = 5 << 3,
    CARD_GSI = 21, /* PIRQF, of slot 5 on bus 0 */
    PMC = 2,       /* places in the capability */
    PMCSR = 4,
    DEVCAP = 4,
    DEVCTL = 8,
    RESET = 1 << 15,
    D3HOT = 3,
    ICS = 0xc8, /* the card's registers */
    IMS = 0xd0,
    CARD_BAR = 0xc1000000,
    EXTENDED = 0x100,
    ERRORS_MASK = 0x08, /* places in the capability for errors */
    ERRORS_SEVERITY = 0x0c,
    ERRORS_ROOT_COMMAND = 0x2c,
};

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    Device *card;
    FakeNet *net;
} Fixture;

static uint32_t
get(Fixture *f, uint16_t bdf, unsigned reg, unsigned size)
{
    return pci_config_read(f->fake->machine->pci, bdf, reg, size);
}

static void
set(Fixture *f, uint16_t bdf, unsigned reg, unsigned size, uint32_t value)
{
    pci_config_write(f->fake->machine->pci, bdf, reg, size, value);
}

static unsigned
capability(Fixture *f, uint16_t bdf, uint8_t id)
{
    unsigned at = get(f, bdf, PCI_CAPABILITY_LIST, 1);

    while (at && get(f, bdf, at, 1) != id)
        at = get(f, bdf, at + 1, 1);
    return at;
}

static void
set_power(Fixture *f, uint16_t bdf, uint16_t value)
{
    set(f, bdf, capability(f, bdf, PCI_CAP_ID_PM) + PMCSR, 2, value);
}

static uint32_t
power(Fixture *f, uint16_t bdf)
{
    return get(f, bdf, capability(f, bdf, PCI_CAP_ID_PM) + PMCSR, 2);
}

/* Bus 1 behind the port, with windows around all that virtio_driver_init() places. */
static void
open_port(Fixture *f)
{
    set(f, PORT_BDF, PCI_PRIMARY_BUS, 4, 0x010100);
    set(f, PORT_BDF, PCI_MEMORY_BASE, 4, 0xcff0c000);
    set(f, PORT_BDF, PCI_PREF_BASE, 4, 0xfff10001);
    set(f, PORT_BDF, PCI_PREF_BASE_UPPER, 4, 2);
    set(f, PORT_BDF, PCI_PREF_LIMIT_UPPER, 4, 2);
    set(f, PORT_BDF, PCI_COMMAND, 2, 7);
}

static void
start_card(Fixture *f)
{
    set(f, CARD_BDF, PCI_BASE_ADDRESS_0, 4, CARD_BAR);
    set(f, CARD_BDF, PCI_COMMAND, 2, 7);
}

static Fixture *
fixture_new(void)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;

    f->fake = fake_machine_new_q35(RAM);
    g_hash_table_insert(props, (char *)"qom-type", (char *)"rng-builtin");
    g_hash_table_insert(props, (char *)"id", (char *)"r0");
    assert_true(rng_object_add(f->fake->machine, props, &err));
    f->net = fake_net_new(f->fake, "n0", 1, NET_CAP_HEADER);
    fake_device(f->fake, "pcie-root-port", "id", "port", "addr", "2", "chassis", "1", NULL);
    f->card = fake_device(f->fake, "e1000e", "id", "card", "netdev", "n0", "addr", "5", NULL);
    f->drv.dev =
        virtio_device(fake_device(f->fake, "virtio-rng-pci", "rng", "r0", "bus", "port", NULL));
    return f;
}

static void
start_rng(Fixture *f)
{
    open_port(f);
    virtio_driver_init(&f->drv, f->fake, virtio_base(f->drv.dev));
    assert_int_equal(f->drv.bdf, RNG_BDF);
    virtio_driver_start(&f->drv, 0, 1, SIZE);
}

static void
fixture_free(Fixture *f)
{
    fake_machine_free(f->fake);
    g_free(f);
}

static int
setup(void **state)
{
    *state = fixture_new();
    start_card(*state);
    start_rng(*state);
    return 0;
}

static int
teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

static void
expect_entropy(Fixture *f)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint32_t len;

    virtio_driver_add(&f->drv, &f->drv.q[0], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    assert_int_equal(len, 64);
}

/* Those that QEMU 7.2 has, and nowhere else. */
static void
test_capabilities(void **state)
{
    Fixture *f = *state;
    unsigned at = capability(f, RNG_BDF, PCI_CAP_ID_PM);

    assert_int_equal(get(f, RNG_BDF, at + PMC, 2), 0x0003);
    assert_int_equal(get(f, RNG_BDF, at + PMCSR, 4), 0);
    at = capability(f, CARD_BDF, PCI_CAP_ID_PM);
    assert_int_equal(get(f, CARD_BDF, at + PMC, 2), 0x0022);
    set(f, CARD_BDF, at + PMCSR, 4, 0xfffffffc);
    assert_int_equal(get(f, CARD_BDF, at + PMCSR, 4), 0x1f00);
    assert_int_equal(capability(f, PORT_BDF, PCI_CAP_ID_PM), 0);

    fake_device(f->fake, "qemu-xhci", "addr", "6", NULL);
    assert_int_equal(capability(f, 6 << 3, PCI_CAP_ID_PM), 0);
    fake_device(f->fake, "virtio-tablet-pci", "addr", "7", NULL);
    assert_int_equal(capability(f, 7 << 3, PCI_CAP_ID_PM), 0);
    fake_device(f->fake, "pcie-pci-bridge", "id", "b", "addr", "8", NULL);
    at = capability(f, 8 << 3, PCI_CAP_ID_PM);
    assert_int_equal(get(f, 8 << 3, at + PMC, 2), 0x0003);
    set_power(f, 8 << 3, D3HOT);
    assert_int_equal(power(f, 8 << 3), 0);
}

static void
test_sleep(void **state)
{
    Fixture *f = *state;
    DriverQueue *q = &f->drv.q[0];
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    unsigned flags = capability(f, RNG_BDF, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;

    expect_entropy(f);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 1);
    assert_non_null(fake_event_at(f->fake, f->drv.notify));
    set_power(f, RNG_BDF, D3HOT);
    assert_int_equal(power(f, RNG_BDF), D3HOT);
    assert_int_equal(get(f, RNG_BDF, PCI_VENDOR_ID, 4), 0x10441af4);
    assert_int_equal(fake_read(f->fake, f->drv.common, 4), UINT32_MAX);
    assert_null(fake_event_at(f->fake, f->drv.notify));
    /* neither by the doorbell nor through configuration space */
    virtio_driver_add(&f->drv, q, &buffer, 1, false);
    io_notifier_signal(&f->drv.dev->queues[0].kick);
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, q));
    /* and no interrupt, though a vector be enabled again */
    set(f, RNG_BDF, flags, 2, PCI_MSIX_ENABLE);
    assert_int_equal(pci_msix_use(&f->drv.dev->pci, 1), 0);
    pci_msix_notify(&f->drv.dev->pci, 1);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 0);
    pci_msix_unuse(&f->drv.dev->pci, 1);

    /* it wakes as after a reset, and works when it is set up again */
    set_power(f, RNG_BDF, 0);
    assert_int_equal(get(f, RNG_BDF, PCI_COMMAND, 2), 0);
    assert_int_equal(get(f, RNG_BDF, PCI_BASE_ADDRESS_0 + 20, 4), 0);
    assert_int_equal(get(f, RNG_BDF, flags, 2) & PCI_MSIX_ENABLE, 0);
    start_rng(f);
    expect_entropy(f);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 1);
}

/* D1 and D2 are not taken: the state stays. */
static void
test_absent_states(void **state)
{
    Fixture *f = *state;

    for (uint16_t value = 1; value <= 2; value++) {
        set_power(f, RNG_BDF, value);
        assert_int_equal(power(f, RNG_BDF), 0);
        expect_entropy(f);
    }
    set_power(f, RNG_BDF, D3HOT);
    set_power(f, RNG_BDF, 2);
    assert_int_equal(power(f, RNG_BDF), D3HOT);
    /* bytes beside it change nothing */
    set(f, RNG_BDF, capability(f, RNG_BDF, PCI_CAP_ID_PM) + PMCSR + 1, 1, 0xff);
    assert_int_equal(power(f, RNG_BDF), D3HOT);
}

static void
test_window_sleeps(void **state)
{
    Fixture *f = *state;
    unsigned at = capability(f, RNG_BDF, PCI_CAP_ID_VENDOR);

    while (get(f, RNG_BDF, at + 3, 1) != 5)
        at = get(f, RNG_BDF, at + 1, 1);
    set(f, RNG_BDF, at + 4, 1, 4);
    set(f, RNG_BDF, at + 8, 4, 0x14); /* the status register */
    set(f, RNG_BDF, at + 12, 4, 1);
    assert_int_equal(get(f, RNG_BDF, at + 16, 1), 0xf);
    set_power(f, RNG_BDF, D3HOT);
    set(f, RNG_BDF, at + 16, 1, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(f->drv.dev->status, 0);
}

static void
test_card(void **state)
{
    Fixture *f = *state;
    unsigned rose = 0;

    fake_write(f->fake, CARD_BAR + IMS, 4, 1 << 2);
    fake_write(f->fake, CARD_BAR + ICS, 4, 1 << 2);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        rose += f->fake->gsi[i];
    assert_true(rose > 0);
    assert_true(f->fake->gsi[CARD_GSI]);
    set_power(f, CARD_BDF, D3HOT);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        assert_false(f->fake->gsi[i]);
    assert_int_equal(fake_read(f->fake, CARD_BAR + IMS, 4), UINT32_MAX);
    set_power(f, CARD_BDF, 0);
    assert_int_equal(get(f, CARD_BDF, PCI_BASE_ADDRESS_0, 4), 0);
    start_card(f);
    assert_int_equal(fake_read(f->fake, CARD_BAR + IMS, 4), 0);
}

/* While it sleeps, frames find no buffers, whatever was set up. */
static void
test_card_receives_nothing(void **state)
{
    Fixture *f = *state;
    uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    machine_set_running(f->fake->machine, true);
    for (unsigned i = 0; i < SIZE; i++)
        bytes_store(f->fake->ram + 0x20000 + 16 * i, 0x80000 + 2048 * i, 8);
    fake_write(f->fake, CARD_BAR + 0x2800, 4, 0x20000);
    fake_write(f->fake, CARD_BAR + 0x2808, 4, SIZE * 16);
    fake_write(f->fake, CARD_BAR + 0x2818, 4, SIZE - 1);
    fake_write(f->fake, CARD_BAR + 0x100, 4, 1 << 1 | 1 << 15 | 1 << 26);
    fake_net_arrive(f->net, frame, sizeof(frame));
    assert_int_equal(f->fake->ram[0x80000], 0xff);
    f->fake->ram[0x80000 + 2048] = 0;
    set_power(f, CARD_BDF, D3HOT);
    fake_net_arrive(f->net, frame, sizeof(frame));
    assert_int_equal(f->fake->ram[0x80000 + 2048], 0);
}

static void
test_function_reset(void **state)
{
    Fixture *f = *state;
    unsigned at = capability(f, RNG_BDF, PCI_CAP_ID_EXPRESS);

    assert_true(get(f, RNG_BDF, at + DEVCAP, 4) & 1 << 28);
    set(f, RNG_BDF, at + DEVCTL, 2, 0x0007);
    expect_entropy(f);
    set(f, RNG_BDF, at + DEVCTL, 2, RESET | 0x0007);
    assert_int_equal(get(f, RNG_BDF, at + DEVCTL, 2), 0);
    assert_int_equal(get(f, RNG_BDF, PCI_COMMAND, 2), 0);
    assert_int_equal(f->drv.dev->status, 0);
    assert_null(fake_event_at(f->fake, f->drv.notify));
    start_rng(f);
    expect_entropy(f);
    /* the port cannot do it, nor can the card */
    at = capability(f, CARD_BDF, PCI_CAP_ID_EXPRESS);
    set(f, CARD_BDF, at + DEVCTL, 2, RESET);
    assert_int_equal(get(f, CARD_BDF, PCI_COMMAND, 2), 7);
}

static void
test_machine_reset(void **state)
{
    Fixture *f = *state;

    set_power(f, RNG_BDF, D3HOT);
    set_power(f, CARD_BDF, D3HOT | 0x100);
    machine_reset(f->fake->machine);
    assert_int_equal(power(f, CARD_BDF), 0);
    start_card(f);
    assert_int_not_equal(fake_read(f->fake, CARD_BAR + 8, 4), UINT32_MAX);
    start_rng(f);
    assert_int_equal(power(f, RNG_BDF), 0);
    expect_entropy(f);
}

static void
load(Fixture *f, const GByteArray *saved, Fixture *ret)
{
    g_autoptr(GError) err = NULL;

    memcpy(ret->fake->ram, f->fake->ram, RAM);
    if (!machine_load(ret->fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    ret->drv = f->drv;
    ret->drv.fake = ret->fake;
}

static void
test_saved_state(void **state)
{
    Fixture *f = *state, *other = fixture_new();
    VirtioDevice *rng = other->drv.dev;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    set_power(f, CARD_BDF, D3HOT | 0x100);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    load(f, saved, other);
    other->drv.dev = rng;
    machine_set_running(other->fake->machine, true);
    /* one sleeps, the other works */
    assert_int_equal(power(other, CARD_BDF), D3HOT | 0x100);
    assert_int_equal(fake_read(other->fake, CARD_BAR + 8, 4), UINT32_MAX);
    expect_entropy(other);
    set_power(other, CARD_BDF, 0);
    start_card(other);
    assert_int_not_equal(fake_read(other->fake, CARD_BAR + 8, 4), UINT32_MAX);
    fixture_free(other);
}

/* A device's state as a build wrote it that knew no extended space: the last field of the last
 * table. Returns whether it has that table. */
static bool
make_older(GByteArray *device)
{
    const char first[] = "\x0csaved_config", last[] = "\x0e"
                                                      "extended_saved";
    const uint8_t *table = memmem(device->data, device->len, first, sizeof(first) - 1);
    guint at;

    if (!table)
        return false;
    at = (guint)(table - device->data) - 4;
    assert_int_equal(bytes_load16(device->data + at), 3);
    bytes_store(device->data + at, 1, 2);
    bytes_store(device->data + at + 2, bytes_load16(device->data + at + 2) - 1, 2);
    table = memmem(device->data, device->len, last, sizeof(last) - 1);
    assert_non_null(table);
    g_byte_array_set_size(device, (guint)(table - device->data));
    return true;
}

/* As a build wrote it that knew no such capability: version 1, and zero in its place. */
static void
test_older_state(void **state)
{
    Fixture *f = *state, *other = fixture_new();
    VirtioDevice *rng = other->drv.dev;
    g_autoptr(GByteArray) saved = g_byte_array_new(), older = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    unsigned changed = 0;
    guint pos = 12; /* behind the number of devices */

    set(f, PORT_BDF, EXTENDED + ERRORS_MASK, 4, 0x1000);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    g_byte_array_append(older, saved->data, pos);
    while (pos < saved->len) {
        g_autoptr(GByteArray) device = g_byte_array_new();
        guint path = 2u + bytes_load16(saved->data + pos), length;
        uint8_t bytes[4];

        length = bytes_load32(saved->data + pos + path);
        g_byte_array_append(device, saved->data + pos + path + 4, length);
        changed += make_older(device);
        g_byte_array_append(older, saved->data + pos, path);
        bytes_store(bytes, device->len, 4);
        g_byte_array_append(older, bytes, 4);
        g_byte_array_append(older, device->data, device->len);
        pos += path + 4 + length;
    }
    assert_true(changed >= 3);
    load(f, older, other);
    assert_int_equal(get(other, PORT_BDF, EXTENDED + ERRORS_MASK, 4), 0);
    assert_int_equal(get(other, PORT_BDF, EXTENDED + ERRORS_SEVERITY, 4), 0x462030);
    other->drv.dev = rng;
    machine_set_running(other->fake->machine, true);
    assert_int_equal(power(other, RNG_BDF), 0);
    expect_entropy(other);
    fixture_free(other);
}

/* Offset of an extended capability; 0 when there is none. */
static unsigned
extended(Fixture *f, uint16_t bdf, uint16_t id, unsigned version)
{
    unsigned at = EXTENDED;
    uint32_t head;

    while (((head = get(f, bdf, at, 4)) & 0xfffff) != (id | version << 16)) {
        if (head >> 20 == 0)
            return 0;
        assert_true(head >> 20 > at);
        at = head >> 20;
    }
    return at;
}

/* What lspci names, in the places where the machines that people come from have it. */
static void
test_extended(void **state)
{
    Fixture *f = *state;

    assert_int_equal(extended(f, PORT_BDF, 1, 2), EXTENDED);
    assert_int_equal(extended(f, PORT_BDF, 0x0d, 1), 0x148);
    assert_int_equal(get(f, PORT_BDF, 0x148, 4) >> 20, 0);
    assert_int_equal(get(f, PORT_BDF, 0x14c, 4), 0x5f);
    assert_int_equal(extended(f, CARD_BDF, 1, 2), EXTENDED);
    assert_int_equal(extended(f, CARD_BDF, 3, 1), 0x140);
    /* 52:54:00:12:34:56 */
    assert_int_equal(get(f, CARD_BDF, 0x144, 4), 0xff123456);
    assert_int_equal(get(f, CARD_BDF, 0x148, 4), 0x525400ff);
    set(f, CARD_BDF, 0x144, 4, 0);
    assert_int_equal(get(f, CARD_BDF, 0x144, 4), 0xff123456);
    /* a function without any, and the end of the space */
    open_port(f);
    assert_int_equal(get(f, RNG_BDF, EXTENDED, 4), 0);
    assert_int_equal(get(f, PORT_BDF, 0xffc, 4), 0);
    set(f, PORT_BDF, 0xffc, 4, 1);
    assert_int_equal(get(f, PORT_BDF, 0xffc, 4), 0);
}

static void
test_extended_registers(void **state)
{
    Fixture *f = *state, *other = fixture_new();
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    set(f, PORT_BDF, EXTENDED, 4, 0);
    assert_int_equal(get(f, PORT_BDF, EXTENDED, 4), 0x14820001);
    set(f, PORT_BDF, EXTENDED + ERRORS_MASK, 4, UINT32_MAX);
    assert_int_equal(get(f, PORT_BDF, EXTENDED + ERRORS_MASK, 4), 0x03fff030);
    set(f, PORT_BDF, EXTENDED + ERRORS_ROOT_COMMAND, 1, 0xff);
    assert_int_equal(get(f, PORT_BDF, EXTENDED + ERRORS_ROOT_COMMAND, 4), 7);
    /* a card has no such register */
    set(f, CARD_BDF, EXTENDED + ERRORS_ROOT_COMMAND, 4, 7);
    assert_int_equal(get(f, CARD_BDF, EXTENDED + ERRORS_ROOT_COMMAND, 4), 0);
    set(f, CARD_BDF, EXTENDED + ERRORS_SEVERITY, 4, 0x1000);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    load(f, saved, other);
    assert_int_equal(get(other, PORT_BDF, EXTENDED + ERRORS_MASK, 4), 0x03fff030);
    assert_int_equal(get(other, CARD_BDF, EXTENDED + ERRORS_SEVERITY, 4), 0x1000);
    machine_set_running(f->fake->machine, true);
    /* a reset by itself, and one of the machine */
    set(f, CARD_BDF, EXTENDED + ERRORS_MASK, 4, 0x1000);
    set_power(f, CARD_BDF, D3HOT);
    assert_int_equal(get(f, CARD_BDF, EXTENDED + ERRORS_MASK, 4), 0x1000);
    set_power(f, CARD_BDF, 0);
    assert_int_equal(get(f, CARD_BDF, EXTENDED + ERRORS_MASK, 4), 0);
    machine_reset(f->fake->machine);
    assert_int_equal(get(f, PORT_BDF, EXTENDED + ERRORS_MASK, 4), 0);
    assert_int_equal(get(f, PORT_BDF, EXTENDED + ERRORS_SEVERITY, 4), 0x462030);
    fixture_free(other);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_capabilities),   TEST(test_sleep),         TEST(test_absent_states),
        TEST(test_window_sleeps),  TEST(test_card),          TEST(test_card_receives_nothing),
        TEST(test_function_reset), TEST(test_machine_reset), TEST(test_saved_state),
        TEST(test_older_state),    TEST(test_extended),      TEST(test_extended_registers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
