/* test_hw_usb_ehci.c - EHCI: transfers through both schedules, ports that its companions share, and
 * lists that mean harm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_disk.h"

#include "hw/core/bytes.h"
#include "hw/input/input.h"
#include "hw/pci/pci.h"
#include "hw/pci/regs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    RAM = 4 << 20,
    DISK = 1 << 20,
    BAR = 0xe0000000u,
    OP = BAR + 0x20,
    CMD = OP,
    STS = OP + 4,
    INTR = OP + 8,
    FRINDEX = OP + 0xc,
    PERIODIC = OP + 0x14,
    ASYNC = OP + 0x18,
    CONFIGFLAG = OP + 0x40,
    PORTSC = OP + 0x44,
    UHCI = 0xc000, /* its ports' first */
    RUN = 1 << 0,
    RUN_PERIODIC = 1 << 4,
    RUN_ASYNC = 1 << 5,
    DOORBELL = 1 << 6,
    ADVANCED = 1 << 5,
    SYSTEM_ERROR = 1 << 4,
    HALTED = 1 << 12,
    PORT_RESET = 1 << 8,
    PORT_OWNER = 1 << 13,
    HEAD = 0x20000, /* an idle queue head */
    QH = 0x20100,
    QTDS = 0x21000,
    BUFFER = 0x30000,
    LIST = 0x40000,
    OUT = 0,
    IN = 1 << 8,
    SETUP = 2 << 8,
    ACTIVE = 1 << 7,
    TD_HALTED = 1 << 6,
    TD_ERROR = 1 << 3,
    ERRORS_LEFT = 3 << 10,
    IOC = 1 << 15,
    ENDPOINT_IN = 1,
    ENDPOINT_OUT = 2,
};
#define TOGGLE (1u << 31)

typedef struct {
    FakeMachine *fake;
    int disk;
} Fixture;

static void
put32(Fixture *f, uint32_t at, uint32_t value)
{
    bytes_store(f->fake->ram + at, value, 4);
}

static uint32_t
get32(Fixture *f, uint32_t at)
{
    return bytes_load32(f->fake->ram + at);
}

static uint32_t
qtd(unsigned n)
{
    return QTDS + n * 32;
}

static void
put_qtd(Fixture *f, unsigned n, uint32_t next, uint32_t token, uint32_t buffer)
{
    put32(f, qtd(n), next);
    put32(f, qtd(n) + 4, 1);
    put32(f, qtd(n) + 8, token | ERRORS_LEFT);
    for (unsigned i = 0; i < 5; i++)
        put32(f, qtd(n) + 12 + 4 * i, i == 0 ? buffer : (buffer & ~0xfffu) + i * 0x1000);
}

/* A queue head of an endpoint at high speed, without transfers. */
static void
put_qh(Fixture *f, uint32_t at, uint32_t next, unsigned address, unsigned endpoint, bool head)
{
    memset(f->fake->ram + at, 0, 48);
    put32(f, at, next | 2);
    put32(f, at + 4,
          512u << 16 | (head ? 1u << 15 : 0) | 1u << 14 | 2u << 12 | endpoint << 8 | address);
    put32(f, at + 8, 1u << 30);
    put32(f, at + 16, 1);
    put32(f, at + 20, 1);
}

static Device *
find(Fixture *f, const char *id)
{
    return machine_device_find(f->fake->machine, id);
}

static uint64_t
reg(Fixture *f, uint64_t at)
{
    return fake_read(f->fake, at, 4);
}

static void
set(Fixture *f, uint64_t at, uint32_t value)
{
    fake_write(f->fake, at, 4, value);
}

static void
let_time_pass(Fixture *f, unsigned frames)
{
    for (unsigned i = 0; i < frames; i++) {
        fake_advance(f->fake, 1000000);
        g_usleep(1200);
    }
}

/* Until the transfer is no longer active. */
static uint32_t
wait_qtd(Fixture *f, unsigned n)
{
    for (unsigned i = 0; i < 3000 && (get32(f, qtd(n) + 8) & ACTIVE); i++)
        let_time_pass(f, 1);
    return get32(f, qtd(n) + 8);
}

static void
open_bar(Fixture *f, const char *id, unsigned bar, uint32_t address)
{
    PciRoot *pci = f->fake->machine->pci;
    uint16_t bdf = pci_requester_id(pci_device(find(f, id)));

    pci_config_write(pci, bdf, PCI_BASE_ADDRESS_0 + 4 * bar, 4, address);
    pci_config_write(pci, bdf, PCI_COMMAND, 2, 7);
}

static void
reset_port(Fixture *f, unsigned i)
{
    set(f, PORTSC + 4 * i, PORT_RESET);
    set(f, PORTSC + 4 * i, 0);
}

static void
start(Fixture *f)
{
    open_bar(f, "usb", 0, BAR);
    machine_set_running(f->fake->machine, true);
    put_qh(f, HEAD, QH, 0, 0, true);
    put_qh(f, QH, HEAD, 0, 0, false);
    set(f, ASYNC, HEAD);
    set(f, CONFIGFLAG, 1);
    set(f, CMD, RUN | RUN_ASYNC);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->disk = fake_disk(f->fake, "d", DISK, false);
    fake_device(f->fake, "usb-ehci", "id", "usb", "addr", "5", NULL);
    fake_device(f->fake, "usb-storage", "id", "disk", "port", "1", "drive", "d", NULL);
    fake_device_refused(f->fake, "no speed in common", "usb-hub", "port", "2", NULL);
    start(f);
    reset_port(f, 0);
    assert_int_equal(reg(f, PORTSC) & 5, 5);
    *state = f;
    return 0;
}

/* With companions, and a keyboard that knows no high speed. */
static int
setup_companions(void **state)
{
    static const char *const uhci[] = { "ich9-usb-uhci1", "ich9-usb-uhci2", "ich9-usb-uhci3" };
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->disk = fake_disk(f->fake, "d", DISK, false);
    fake_device(f->fake, "ich9-usb-ehci1", "id", "usb", "addr", "1d.7", "multifunction", "on",
                NULL);
    for (unsigned i = 0; i < 3; i++) {
        char id[] = { 'u', (char)('0' + i), 0 }, addr[] = { '1', 'd', '.', (char)('0' + i), 0 };
        char first[] = { (char)('0' + 2 * i), 0 };

        fake_device(f->fake, uhci[i], "id", id, "masterbus", "usb.0", "firstport", first, "addr",
                    addr, "multifunction", "on", NULL);
    }
    fake_device(f->fake, "usb-kbd", "id", "kbd", "port", "1", "usb_version", "1", NULL);
    fake_device(f->fake, "usb-storage", "id", "disk", "port", "2", "drive", "d", NULL);
    open_bar(f, "u0", 4, UHCI);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    machine_set_running(f->fake->machine, false);
    fake_machine_free(f->fake);
    close(f->disk);
    g_free(f);
    return 0;
}

/* A control transfer of the device at address 0 or @address. */
static uint32_t
control(Fixture *f, unsigned address, const uint8_t *request)
{
    unsigned length = request[6];

    memcpy(f->fake->ram + BUFFER, request, 8);
    put_qtd(f, 0, qtd(1), 8u << 16 | SETUP | ACTIVE, BUFFER);
    put_qtd(f, 1, qtd(2), TOGGLE | length << 16 | (length ? (uint32_t)IN : OUT) | ACTIVE,
            BUFFER + 16);
    put_qtd(f, 2, 1, TOGGLE | IOC | (length ? (uint32_t)OUT : IN) | ACTIVE, 0);
    if (!length)
        put_qtd(f, 0, qtd(2), 8u << 16 | SETUP | ACTIVE, BUFFER);
    put_qh(f, QH, HEAD, address, 0, false);
    put32(f, QH + 16, qtd(0));
    return wait_qtd(f, 2);
}

static const uint8_t get_device[8] = { 0x80, 6, 0, 1, 0, 0, 18, 0 };
static const uint8_t set_address[8] = { 0, 5, 1, 0, 0, 0, 0, 0 };
static const uint8_t set_configuration[8] = { 0, 9, 1, 0, 0, 0, 0, 0 };

static void
descriptor_is_read(void **state)
{
    Fixture *f = *state;

    set(f, INTR, 3);
    control(f, 0, get_device);
    assert_int_equal(get32(f, qtd(2) + 8) & 0xff, 0);
    assert_int_equal(get32(f, qtd(1) + 8) >> 16 & 0x7fff, 0);
    assert_int_equal(f->fake->ram[BUFFER + 16], 18);
    assert_int_equal(bytes_load16(f->fake->ram + BUFFER + 18), 0x0200);
    assert_int_equal(reg(f, STS) & 3, 1);
    set(f, STS, 3);
    assert_int_equal(reg(f, STS) & 3, 0);
}

/* Sends the disk a command that reads @blocks from the beginning, or one without data. */
static void
send_command(Fixture *f, uint8_t code, unsigned blocks)
{
    uint8_t *cbw = f->fake->ram + BUFFER + 0x800;

    memset(cbw, 0, 31);
    bytes_store(cbw, 0x43425355, 4);
    bytes_store(cbw + 8, blocks * 512, 4);
    cbw[12] = 0x80;
    cbw[14] = 10;
    cbw[15] = code;
    cbw[23] = (uint8_t)blocks;
    put_qtd(f, 3, 1, 31u << 16 | OUT | ACTIVE, BUFFER + 0x800);
    put_qh(f, QH, HEAD, 1, ENDPOINT_OUT, false);
    put32(f, QH + 16, qtd(3));
    assert_int_equal(wait_qtd(f, 3) & 0xff, 0);
}

/* Configures the disk, takes its word that it is new, and begins to read. */
static void
begin_read(Fixture *f, unsigned blocks)
{
    assert_int_equal(control(f, 0, set_address) & 0xff, 0);
    assert_int_equal(control(f, 1, set_configuration) & 0xff, 0);
    send_command(f, 0, 0);
    put_qtd(f, 5, 1, 13u << 16 | IN | IOC | ACTIVE, BUFFER + 0x400);
    put_qh(f, QH, HEAD, 1, ENDPOINT_IN, false);
    put32(f, QH + 16, qtd(5));
    assert_int_equal(wait_qtd(f, 5) & 0x7fff00ff, 0);
    send_command(f, 0x28, blocks);
}

static void
disk_is_read_through_the_asynchronous_list(void **state)
{
    Fixture *f = *state;

    begin_read(f, 16);
    put_qtd(f, 4, qtd(5), 8192u << 16 | IN | ACTIVE, BUFFER + 0x1200);
    put_qtd(f, 5, 1, 13u << 16 | IN | IOC | ACTIVE, BUFFER + 0x400);
    put_qh(f, QH, HEAD, 1, ENDPOINT_IN, false);
    put32(f, QH + 16, qtd(4));
    assert_int_equal(wait_qtd(f, 5) & 0x7fff00ff, 0);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(f->fake->ram[BUFFER + 0x1200 + 512 * i], i + 1);
    assert_int_equal(get32(f, BUFFER + 0x400), 0x53425355);
    assert_int_equal(f->fake->ram[BUFFER + 0x400 + 12], 0);
}

static void
interrupt_endpoint_is_asked_in_its_frames(void **state)
{
    Fixture *f = *state;

    fake_device(f->fake, "usb-tablet", "id", "tablet", "port", "2", NULL);
    assert_int_equal(reg(f, PORTSC + 4) & 3, 3);
    reset_port(f, 1);
    reset_port(f, 0); /* the disk has the address 0 too */
    set(f, PORTSC, 0);
    control(f, 0, set_address);
    control(f, 1, set_configuration);
    for (unsigned i = 0; i < 1024; i++)
        put32(f, LIST + 4 * i, i % 8 ? 1 : 0x20202);
    put_qh(f, 0x20200, 1, 1, 1, false);
    put32(f, 0x20200, 1);
    put32(f, 0x20208, 1u << 30 | 1);
    put_qtd(f, 6, 1, 6u << 16 | IN | IOC | ACTIVE, BUFFER + 0x100);
    put32(f, 0x20210, qtd(6));
    set(f, PERIODIC, LIST);
    set(f, CMD, RUN | RUN_PERIODIC | RUN_ASYNC);
    assert_int_equal(reg(f, STS) >> 14 & 3, 3);
    let_time_pass(f, 20);
    assert_true(get32(f, qtd(6) + 8) & ACTIVE);
    input_send_button(f->fake->machine->input, INPUT_BUTTON_LEFT, true);
    input_sync(f->fake->machine->input);
    assert_int_equal(wait_qtd(f, 6) & 0xff, 0);
    assert_int_equal(f->fake->ram[BUFFER + 0x100], 1);
}

static void
frame_list_rolls_over(void **state)
{
    Fixture *f = *state;

    set(f, CMD, 0);
    assert_true(reg(f, STS) & HALTED);
    set(f, FRINDEX, 0x1ff8);
    set(f, INTR, 8);
    set(f, STS, 0x3f);
    set(f, CMD, RUN);
    let_time_pass(f, 12);
    for (unsigned i = 0; i < 1000 && !(reg(f, STS) & 8); i++)
        let_time_pass(f, 1);
    assert_true(reg(f, STS) & 8);
    assert_true(reg(f, FRINDEX) >= 0x2000);
}

/* ---- companions ---- */

static void
port_goes_to_whom_it_is_given(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "firstport=5", "ich9-usb-uhci4", "masterbus", "usb.0", "firstport",
                        "5", NULL);
    fake_device_refused(f->fake, "has a companion controller already", "ich9-usb-uhci4",
                        "masterbus", "usb.0", "firstport", "4", NULL);
    fake_device_refused(f->fake, "there is none", "ich9-usb-uhci4", "firstport", "2", NULL);
    fake_device_refused(f->fake, "nowhere.0", "ich9-usb-uhci4", "masterbus", "nowhere.0", NULL);
    start(f);
    assert_int_equal(fake_read(f->fake, BAR + 4, 4), 0x3206);
    set(f, CONFIGFLAG, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(reg(f, PORTSC + 4 * i) & (PORT_OWNER | 1), PORT_OWNER);
        assert_true(fake_in(f->fake, (uint16_t)(UHCI + 16 + 2 * i), 2) & 1);
    }
    set(f, CONFIGFLAG, 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(reg(f, PORTSC + 4 * i) & (PORT_OWNER | 3), 3);
        assert_false(fake_in(f->fake, (uint16_t)(UHCI + 16 + 2 * i), 2) & 1);
        reset_port(f, i);
    }
    assert_int_equal(reg(f, PORTSC) & 5, 1); /* full speed */
    assert_int_equal(reg(f, PORTSC + 4) & 5, 5);
    set(f, PORTSC, PORT_OWNER);
    assert_int_equal(reg(f, PORTSC) & (PORT_OWNER | 5), PORT_OWNER);
    assert_int_equal(fake_in(f->fake, UHCI + 16, 2) & 3, 3);
    fake_out(f->fake, UHCI + 16, 2, 1 << 9);
    fake_out(f->fake, UHCI + 16, 2, 1 << 2);
    assert_int_equal(fake_in(f->fake, UHCI + 16, 2) & 5, 5);
    /* A reset of the one does nothing to the other's. */
    fake_out(f->fake, UHCI, 2, 2);
    assert_int_equal(reg(f, PORTSC + 4) & 5, 5);
    assert_int_equal(fake_in(f->fake, UHCI + 16, 2) & 5, 1);
    control(f, 0, get_device);
    assert_int_equal(f->fake->ram[BUFFER + 16], 18);
    /* It leaves: the next one is this controller's again. */
    assert_true(device_unplug(find(f, "kbd"), NULL));
    fake_iterate(f->fake);
    assert_int_equal(fake_in(f->fake, UHCI + 16, 2) & 1, 0);
    assert_int_equal(reg(f, PORTSC) & (PORT_OWNER | 1), 0);
    fake_device(f->fake, "usb-kbd", "id", "kbd", "port", "1", NULL);
    assert_int_equal(reg(f, PORTSC) & (PORT_OWNER | 3), 3);
    reset_port(f, 0);
    assert_int_equal(reg(f, PORTSC) & 5, 5);
}

static void
given_port_is_kept_over_a_save(void **state)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Fixture *f = *state, *other;
    void *another;

    start(f);
    reset_port(f, 1);
    set(f, PORTSC, PORT_OWNER);
    fake_out(f->fake, UHCI + 16, 2, 1 << 9);
    fake_out(f->fake, UHCI + 16, 2, 1 << 2);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, bytes, &err));
    setup_companions(&another);
    other = another;
    open_bar(other, "usb", 0, BAR);
    if (!machine_load(other->fake->machine, bytes->data, bytes->len, &err))
        fail_msg("%s", err->message);
    memcpy(other->fake->ram, f->fake->ram, RAM);
    assert_int_equal(reg(other, PORTSC), reg(f, PORTSC));
    assert_int_equal(reg(other, PORTSC + 4), reg(f, PORTSC + 4));
    assert_int_equal(fake_in(other->fake, UHCI + 16, 2) & 5, 5);
    machine_set_running(other->fake->machine, true);
    control(other, 0, get_device);
    assert_int_equal(other->fake->ram[BUFFER + 16], 18);
    teardown(&another);
}

/* ---- what means harm ---- */

static void
circles_are_left(void **state)
{
    Fixture *f = *state;
    uint64_t frame;

    put_qh(f, HEAD, HEAD, 0, 0, false); /* no head: a circle without end */
    set(f, PERIODIC, LIST);
    for (unsigned i = 0; i < 1024; i++)
        put32(f, LIST + 4 * i, 0x50000 | 6); /* an FSTN to itself */
    put32(f, 0x50000, 0x50000 | 6);
    set(f, CMD, RUN | RUN_PERIODIC | RUN_ASYNC);
    let_time_pass(f, 20);
    frame = reg(f, FRINDEX);
    let_time_pass(f, 20);
    assert_int_not_equal(reg(f, FRINDEX), frame);
    assert_false(reg(f, STS) & HALTED);
}

static void
transfer_outside_ram_stops_the_controller(void **state)
{
    Fixture *f = *state;

    put_qtd(f, 0, 1, 8u << 16 | IN | ACTIVE, BAR);
    put32(f, QH + 16, qtd(0));
    for (unsigned i = 0; i < 1000 && !(reg(f, STS) & HALTED); i++)
        let_time_pass(f, 1);
    assert_int_equal(reg(f, STS) & (HALTED | SYSTEM_ERROR), HALTED | SYSTEM_ERROR);
}

/* Hole class: more than five pages. */
static void
transfer_over_its_pages_is_refused(void **state)
{
    Fixture *f = *state;

    put_qtd(f, 2, 1, 0x7fffu << 16 | IN | ACTIVE, BUFFER);
    put32(f, QH + 16, qtd(2));
    assert_int_equal(wait_qtd(f, 2) & 0xff, TD_HALTED | 1 << 5);
    put_qh(f, QH, HEAD, 0, 0, false);
    put_qtd(f, 2, 1, 0x1001u << 16 | 4u << 12 | IN | ACTIVE, BUFFER);
    put32(f, QH + 16, qtd(2));
    assert_int_equal(wait_qtd(f, 2) & 0xff, TD_HALTED | 1 << 5);
}

static void
device_of_full_speed_is_not_reached(void **state)
{
    Fixture *f = *state;

    memcpy(f->fake->ram + BUFFER, get_device, 8);
    put_qtd(f, 2, 1, 8u << 16 | SETUP | ACTIVE, BUFFER);
    put32(f, QH + 4, get32(f, QH + 4) & ~(3u << 12));
    put32(f, QH + 16, qtd(2));
    assert_int_equal(wait_qtd(f, 2) & (ERRORS_LEFT | 0xff), TD_HALTED | TD_ERROR);
    assert_true(reg(f, STS) & 2);
}

/* Hole class: a queue head that the driver has taken out and freed. */
static void
doorbell_leaves_what_was_taken_out(void **state)
{
    Fixture *f = *state;

    for (unsigned round = 0; round < 20; round++) {
        put_qh(f, QH, HEAD, 0, 0, false);
        put32(f, HEAD, QH | 2);
        set(f, ASYNC, round % 2 ? QH : HEAD);
        let_time_pass(f, 2);
        put32(f, HEAD, HEAD | 2);
        set(f, CMD, RUN | RUN_ASYNC | DOORBELL);
        assert_true(reg(f, STS) & ADVANCED);
        set(f, STS, ADVANCED);
        memset(f->fake->ram + QH, 0xee, 48);
        let_time_pass(f, 2);
        assert_false(reg(f, STS) & (HALTED | 2));
    }
}

/* Hole class: the device goes, or all is reset, while the disk still reads. */
static int64_t
hasty_clock_ns(void *host)
{
    return __atomic_add_fetch(&((FakeMachine *)host)->clock, 3000000, __ATOMIC_SEQ_CST);
}

/* Frames become due faster than they are walked: registers are read between two turns all the same.
 */
static void
slow_walks_let_others_in(void **state)
{
    Fixture *f = *state;
    const MachineOps *old = f->fake->machine->ops;
    MachineOps ops = *old;

    ops.clock_ns = hasty_clock_ns;
    __atomic_store_n(&f->fake->machine->ops, &ops, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < 50; i++) {
        g_usleep(2000);
        assert_int_equal(reg(f, STS) & HALTED, 0);
    }
    set(f, CMD, 0);
    assert_int_equal(reg(f, STS) & HALTED, HALTED);
    machine_set_running(f->fake->machine, false);
    __atomic_store_n(&f->fake->machine->ops, old, __ATOMIC_SEQ_CST);
}

static void
nothing_arrives_after_an_end(void **state)
{
    Fixture *f = *state;

    for (unsigned round = 0; round < 12; round++) {
        begin_read(f, 128);
        put_qtd(f, 4, 1, 0x4000u << 16 | IN | ACTIVE, BUFFER + 0x1000);
        put_qh(f, QH, HEAD, 1, ENDPOINT_IN, false);
        put32(f, QH + 16, qtd(4));
        if (round % 4 > 1)
            let_time_pass(f, 1);
        if (round % 2) {
            set(f, CMD, 2);
            assert_int_equal(reg(f, CMD) & 0x3f, 0);
        } else {
            assert_true(device_unplug(find(f, "disk"), NULL));
            fake_iterate(f->fake);
            assert_null(find(f, "disk"));
            assert_int_equal(reg(f, PORTSC) & 5, 0);
        }
        memset(f->fake->ram + BUFFER, 0x5a, 0x8000);
        let_time_pass(f, 3);
        for (unsigned i = 0; i < 0x8000; i++)
            assert_int_equal(f->fake->ram[BUFFER + i], 0x5a);
        if (!find(f, "disk"))
            fake_device(f->fake, "usb-storage", "id", "disk", "port", "1", "drive", "d", NULL);
        start(f);
        reset_port(f, 0);
    }
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_SHARED(name) cmocka_unit_test_setup_teardown(name, setup_companions, teardown)
    const struct CMUnitTest tests[] = {
        TEST(descriptor_is_read),
        TEST(disk_is_read_through_the_asynchronous_list),
        TEST(interrupt_endpoint_is_asked_in_its_frames),
        TEST(frame_list_rolls_over),
        TEST_SHARED(port_goes_to_whom_it_is_given),
        TEST_SHARED(given_port_is_kept_over_a_save),
        TEST(circles_are_left),
        TEST(transfer_outside_ram_stops_the_controller),
        TEST(transfer_over_its_pages_is_refused),
        TEST(device_of_full_speed_is_not_reached),
        TEST(doorbell_leaves_what_was_taken_out),
        TEST(slow_walks_let_others_in),
        TEST(nothing_arrives_after_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
