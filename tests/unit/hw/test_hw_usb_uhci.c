/* test_hw_usb_uhci.c - UHCI: a control transfer through the frame list, and lists that mean harm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/bytes.h"
#include "hw/pci/pci.h"
#include "hw/pci/regs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 4 << 20,
    PORT = 0xc000,
    LIST = 0x10000,
    QH = 0x20000,
    TDS = 0x21000,
    BUFFER = 0x30000,
    ACTIVE = 1 << 23,
    IOC = 1 << 24,
    HALTED = 1 << 5,
    SYSTEM_ERROR = 1 << 3,
};

typedef struct {
    FakeMachine *fake;
    bool stop;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciRoot *pci;
    Device *dev;
    uint16_t bdf;

    f->fake = fake_machine_new_q35(RAM);
    dev = fake_device(f->fake, "piix3-usb-uhci", "id", "usb", "addr", "5", NULL);
    fake_device(f->fake, "usb-kbd", "port", "1", NULL);
    fake_device_refused(f->fake, "has no companions", "ich9-usb-uhci1", "masterbus", "usb.0", NULL);
    pci = f->fake->machine->pci;
    bdf = pci_requester_id(pci_device(dev));
    pci_config_write(pci, bdf, PCI_BASE_ADDRESS_0 + 16, 4, PORT);
    pci_config_write(pci, bdf, PCI_COMMAND, 2, 5);
    machine_set_running(f->fake->machine, true);
    for (unsigned i = 0; i < 1024; i++)
        bytes_store(f->fake->ram + LIST + 4 * i, QH | 2, 4);
    bytes_store(f->fake->ram + QH, 1, 4);
    bytes_store(f->fake->ram + QH + 4, 1, 4);
    fake_out(f->fake, PORT + 8, 4, LIST);
    fake_out(f->fake, PORT + 4, 2, 15);
    fake_out(f->fake, PORT + 16, 2, 1 << 9);
    fake_out(f->fake, PORT + 16, 2, 1 << 2);
    assert_int_equal(fake_in(f->fake, PORT + 16, 2) & 5, 5);
    assert_true(fake_in(f->fake, PORT + 20, 2) & 0x80);
    fake_out(f->fake, PORT, 2, 1);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    machine_set_running(f->fake->machine, false);
    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

static void
put_td(Fixture *f, unsigned n, uint32_t next, uint32_t control, uint8_t pid, unsigned len,
       uint32_t buffer)
{
    uint8_t *td = f->fake->ram + TDS + n * 32;

    bytes_store(td, next, 4);
    bytes_store(td + 4, control, 4);
    bytes_store(td + 8, (uint32_t)((len - 1) & 0x7ff) << 21 | pid, 4);
    bytes_store(td + 12, buffer, 4);
}

static void
let_time_pass(Fixture *f, unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        fake_advance(f->fake, 1000000);
        g_usleep(1200);
    }
}

static void
descriptor_is_read(void **state)
{
    static const uint8_t setup_bytes[8] = { 0x80, 6, 0, 1, 0, 0, 18, 0 };
    Fixture *f = *state;
    const uint8_t *data = f->fake->ram + BUFFER + 16;

    memcpy(f->fake->ram + BUFFER, setup_bytes, 8);
    put_td(f, 0, TDS + 32, ACTIVE, 0x2d, 8, BUFFER);
    put_td(f, 1, TDS + 64, ACTIVE, 0x69, 8, BUFFER + 16);
    put_td(f, 2, TDS + 96, ACTIVE, 0x69, 10, BUFFER + 24);
    put_td(f, 3, 1, ACTIVE | IOC, 0xe1, 0, BUFFER);
    bytes_store(f->fake->ram + QH + 4, TDS, 4);
    let_time_pass(f, 40);
    assert_int_equal(bytes_load32(f->fake->ram + QH + 4) & 1, 1);
    assert_int_equal(data[0], 18);
    assert_int_equal(bytes_load16(data + 8), 0x0627);
    assert_int_equal(bytes_load32(f->fake->ram + TDS + 64 + 4) & 0x7ff, 9);
    assert_int_equal(fake_in(f->fake, PORT + 2, 2) & 3, 1);
    fake_out(f->fake, PORT + 2, 2, 1);
    assert_int_equal(fake_in(f->fake, PORT + 2, 2) & 3, 0);
}

/* Queue heads and transfers that lead in circles take a bounded time of each frame. */
static void
circles_are_left(void **state)
{
    Fixture *f = *state;
    uint64_t frame;

    bytes_store(f->fake->ram + QH, QH | 2, 4);
    put_td(f, 0, TDS, 0, 0x69, 8, BUFFER);
    bytes_store(f->fake->ram + QH + 4, TDS, 4);
    let_time_pass(f, 20);
    frame = fake_in(f->fake, PORT + 6, 2);
    let_time_pass(f, 20);
    assert_int_not_equal(fake_in(f->fake, PORT + 6, 2), frame);
    bytes_store(f->fake->ram + LIST, TDS, 4);
    for (unsigned i = 0; i < 1024; i++)
        bytes_store(f->fake->ram + LIST + 4 * i, TDS, 4);
    put_td(f, 0, TDS, ACTIVE, 0xe1, 0, BUFFER);
    let_time_pass(f, 20);
    assert_false(fake_in(f->fake, PORT + 2, 2) & HALTED);
}

static void
transfer_outside_ram_stops_the_controller(void **state)
{
    Fixture *f = *state;

    put_td(f, 0, 1, ACTIVE, 0x69, 8, 0xe0000000u);
    bytes_store(f->fake->ram + QH + 4, TDS, 4);
    let_time_pass(f, 40);
    assert_int_equal(fake_in(f->fake, PORT + 2, 2) & (HALTED | SYSTEM_ERROR),
                     HALTED | SYSTEM_ERROR);
    fake_out(f->fake, PORT, 2, 2);
    assert_int_equal(fake_in(f->fake, PORT + 2, 2), HALTED);
}

/* Hole class: transfers of no data, which no count of bytes would ever end. */
static void
empty_transfers_take_a_bounded_part_of_a_frame(void **state)
{
    static const uint8_t setup_bytes[8] = { 0x80, 6, 0, 1, 0, 0, 18, 0 };
    enum { AT = 0x100000, FIRST = (AT - TDS) / 32, N = 30000 };
    Fixture *f = *state;

    memcpy(f->fake->ram + BUFFER, setup_bytes, 8);
    put_td(f, FIRST, AT + 32, ACTIVE, 0x2d, 8, BUFFER);
    for (unsigned i = 1; i <= N; i++) /* all but the first few have nothing left to read */
        put_td(f, FIRST + i, i < N ? AT + 32 * (i + 1) : 1, ACTIVE, 0x69, 8, BUFFER + 16);
    bytes_store(f->fake->ram + QH, QH | 2, 4);
    bytes_store(f->fake->ram + QH + 4, AT, 4);
    fake_advance(f->fake, 2000000);
    for (unsigned i = 0; bytes_load32(f->fake->ram + AT + 4) & ACTIVE; i++) {
        assert_true(i < 10000);
        g_usleep(1000);
    }
    fake_in(f->fake, PORT + 2, 2); /* waits for the end of the frames that have begun */
    assert_true(bytes_load32(f->fake->ram + AT + 32 * N + 4) & ACTIVE);
    let_time_pass(f, 60);
    assert_false(bytes_load32(f->fake->ram + AT + 32 * N + 4) & ACTIVE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(descriptor_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(circles_are_left, setup, teardown),
        cmocka_unit_test_setup_teardown(transfer_outside_ram_stops_the_controller, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_transfers_take_a_bounded_part_of_a_frame, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
