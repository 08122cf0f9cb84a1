/* test_hw_usb.c - xHCI and the devices behind it, as a driver meets them, and as one that means
 * harm does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/usb_driver.h"

#include "block/block.h"
#include "hw/core/bytes.h"
#include "hw/input/input.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    DISK = 1 << 20,
    USBSTS = 0x44,
    STS_ERROR = 1 << 12,
    CC_SUCCESS = 1,
    CC_DATA_BUFFER = 2,
    CC_TRANSACTION = 4,
    CC_TRB = 5,
    CC_STALL = 6,
    CC_SHORT = 13,
    CC_STOPPED = 26,
    BULK_OUT = 2,
    BULK_IN = 6,
    INTERRUPT_IN = 7,
    T_TRANSFER = 32,
    T_PORT = 34,
    SUPER = 1, /* first USB 3 port */
    HIGH = 5,  /* first USB 2 port of a controller with p3=4 */
};

typedef struct {
    FakeMachine *fake;
    Device *controller;
    XhciDriver xd;
    char path[64];
} Fixture;

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    (void)opaque;
    (void)err;
    return open(filename, flags);
}

static BlockNode *
find_node(void *opaque, const char *name)
{
    return machine_object_find(((FakeMachine *)opaque)->machine, OBJECT_BLOCK_NODE, name);
}

static void
add_node(FakeMachine *fake, const char *json)
{
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    BlockOpenOps ops = { fake, open_file, find_node };
    g_autoptr(GError) err = NULL;
    BlockNode *block = block_node_open(json_node_get_object(node), &ops, &err);

    if (!block)
        fail_msg("%s", err->message);
    assert_true(machine_object_add(fake->machine, OBJECT_BLOCK_NODE, block_node_name(block), block,
                                   (GDestroyNotify)block_node_unref, &err));
}

static void
make_machine(Fixture *f)
{
    g_autofree char *file =
        g_strdup_printf("{\"driver\":\"file\",\"filename\":\"%s\",\"node-name\":\"s\"}", f->path);

    f->fake = fake_machine_new_q35(XD_RAM);
    add_node(f->fake, file);
    add_node(f->fake, "{\"driver\":\"raw\",\"file\":\"s\",\"node-name\":\"d\"}");
    f->controller = fake_device(f->fake, "qemu-xhci", "id", "usb", "addr", "0x5", NULL);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    int fd;

    strcpy(f->path, "/tmp/kiln-usb-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0 && ftruncate(fd, DISK) == 0);
    close(fd);
    make_machine(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    machine_set_running(f->fake->machine, false);
    fake_machine_free(f->fake);
    unlink(f->path);
    g_free(f);
    return 0;
}

static void
start(Fixture *f)
{
    machine_set_running(f->fake->machine, true);
    xd_init(&f->xd, f->fake, f->controller);
}

static const uint8_t get_device[8] = { 0x80, 6, 0, 1, 0, 0, 18, 0 };

/* ---- enumeration ---- */

static void
tablet_is_found_and_tells_positions(void **state)
{
    static const uint8_t get_config[8] = { 0x80, 6, 0, 2, 0, 0, 0xff, 0 };
    static const uint8_t get_report[8] = { 0x81, 6, 0, 0x22, 0, 0, 0xff, 0 };
    Fixture *f = *state;
    Input *input = f->fake->machine->input;
    const uint8_t *data = NULL;
    uint32_t len;
    unsigned slot;
    XdTrb event;

    fake_device(f->fake, "usb-tablet", "id", "t", "bus", "usb.0", "port", "2", NULL);
    start(f);
    data = f->fake->ram + XD_BUFFER;
    assert_false(input_is_absolute(input));
    slot = xd_attach(&f->xd, HIGH + 1, 0);
    assert_int_equal(xd_control(&f->xd, slot, get_device, &len), CC_SUCCESS);
    assert_int_equal(len, 18);
    assert_int_equal(bytes_load16(data + 8), 0x0627);
    assert_int_equal(bytes_load16(data + 2), 0x0200);
    assert_int_equal(xd_control(&f->xd, slot, get_config, &len), CC_SUCCESS);
    assert_int_equal(len, 34);
    assert_int_equal(data[0x22 - 0x22], 9);
    assert_int_equal(xd_control(&f->xd, slot, get_report, &len), CC_SUCCESS);
    assert_int_equal(len, 74);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    assert_true(input_is_absolute(input));

    /* Nothing to say: the transfer waits, and ends when the user moves. */
    xd_queue(&f->xd, slot, 3, XD_BUFFER, 8);
    assert_false(xd_event(&f->xd, 20, &event));
    input_send_abs(input, INPUT_X, 400, 801);
    input_send_abs(input, INPUT_Y, 600, 601);
    input_sync(input);
    assert_int_equal(xd_expect(&f->xd, T_TRANSFER, &event), CC_SHORT);
    assert_int_equal(event.status & 0xffffff, 2);
    assert_int_equal(bytes_load16(data + 1), 0x3fff);
    assert_int_equal(bytes_load16(data + 3), 0x7fff);
    /* A click between two polls is two reports. */
    input_send_button(input, INPUT_BUTTON_LEFT, true);
    input_send_button(input, INPUT_BUTTON_LEFT, false);
    input_sync(input);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 8, NULL), CC_SHORT);
    assert_int_equal(data[0], 1);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 8, NULL), CC_SHORT);
    assert_int_equal(data[0], 0);
}

static void
keyboard_types_and_has_lights(void **state)
{
    static const uint8_t set_leds[8] = { 0x21, 9, 0, 2, 0, 0, 1, 0 };
    Fixture *f = *state;
    Input *input = f->fake->machine->input;
    const uint8_t *data;
    unsigned slot;

    fake_device(f->fake, "usb-kbd", NULL);
    start(f);
    data = f->fake->ram + XD_BUFFER;
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    input_send_key(input, KEYCODE_shift, true);
    input_send_key(input, KEYCODE_a, true);
    input_send_key(input, KEYCODE_a, true);
    input_send_key(input, KEYCODE_a, false);
    input_sync(input);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 8, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load64(data), 0x02);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 8, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load64(data), 0x40002);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 8, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load64(data), 0x02);
    f->fake->ram[XD_BUFFER] = 2;
    assert_int_equal(xd_control(&f->xd, slot, set_leds, NULL), CC_SUCCESS);
    assert_int_equal(input_leds(input), INPUT_LED_CAPS);
}

static void
device_behind_a_hub_is_reached_by_route(void **state)
{
    static const uint8_t power[8] = { 0x23, 3, 8, 0, 2, 0, 0, 0 };
    static const uint8_t reset[8] = { 0x23, 3, 4, 0, 2, 0, 0, 0 };
    static const uint8_t status[8] = { 0xa3, 0, 0, 0, 2, 0, 4, 0 };
    Fixture *f = *state;
    unsigned hub, slot;

    fake_device(f->fake, "usb-hub", "id", "h", "port", "1", NULL);
    fake_device(f->fake, "usb-mouse", "port", "1.2", NULL);
    fake_device_refused(f->fake, "is taken by usb-mouse", "usb-kbd", "port", "1.2", NULL);
    fake_device_refused(f->fake, "too high", "usb-kbd", "port", "1.9", NULL);
    fake_device_refused(f->fake, "there is no hub", "usb-kbd", "port", "1.2.1", NULL);
    start(f);
    hub = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, hub, 3, INTERRUPT_IN);
    assert_int_equal(xd_transfer(&f->xd, hub, 3, XD_BUFFER, 2, NULL), CC_SUCCESS);
    assert_int_equal(f->fake->ram[XD_BUFFER], 4);
    assert_int_equal(xd_control(&f->xd, hub, power, NULL), CC_SUCCESS);
    assert_int_equal(xd_control(&f->xd, hub, reset, NULL), CC_SUCCESS);
    assert_int_equal(xd_control(&f->xd, hub, status, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load32(f->fake->ram + XD_BUFFER), 0x00110103);
    slot = xd_attach(&f->xd, HIGH, 2);
    assert_int_equal(xd_control(&f->xd, slot, get_device, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load16(f->fake->ram + XD_BUFFER + 8), 0x0627);
}

static void
hub_goes_with_what_is_plugged_into_it(void **state)
{
    Fixture *f = *state;
    GPtrArray *qmp = f->fake->qmp;
    guint before;

    fake_device(f->fake, "usb-hub", "id", "h", "port", "1", NULL);
    fake_device(f->fake, "usb-hub", "id", "h2", "port", "1.1", NULL);
    fake_device(f->fake, "usb-kbd", "id", "k", "port", "1.1.1", NULL);
    fake_device(f->fake, "usb-tablet", "id", "t", "port", "1.2", NULL);
    fake_device(f->fake, "usb-mouse", "id", "m", "port", "2", NULL);
    start(f);
    before = qmp->len;
    assert_true(device_unplug(machine_device_find(f->fake->machine, "h"), NULL));
    fake_iterate(f->fake);
    assert_int_equal(qmp->len, before + 4);
    for (guint i = before; i < qmp->len; i++)
        assert_string_equal(g_ptr_array_index(qmp, i), "DEVICE_DELETED");
    for (const char *const *id = (const char *const[]){ "h", "h2", "k", "t", NULL }; *id; id++)
        assert_null(machine_device_find(f->fake->machine, *id));
    assert_non_null(machine_device_find(f->fake->machine, "m"));
}

/* Hole class: a device pulled out of a hub while its port is reset. */
static void
port_of_a_device_that_left_is_reset(void **state)
{
    static const uint8_t reset[8] = { 0x23, 3, 4, 0, 2, 0, 0, 0 };
    static const uint8_t status[8] = { 0xa3, 0, 0, 0, 2, 0, 4, 0 };
    Fixture *f = *state;
    Device *mouse;
    unsigned hub;

    fake_device(f->fake, "usb-hub", "id", "h", "port", "1", NULL);
    mouse = fake_device(f->fake, "usb-mouse", "port", "1.2", NULL);
    start(f);
    hub = xd_attach(&f->xd, HIGH, 0);
    assert_int_equal(xd_control(&f->xd, hub, status, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load16(f->fake->ram + XD_BUFFER) & 1, 1);
    device_free(mouse);
    assert_int_equal(xd_control(&f->xd, hub, reset, NULL), CC_SUCCESS);
    assert_int_equal(xd_control(&f->xd, hub, status, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load16(f->fake->ram + XD_BUFFER), 0x100);
}

/* ---- storage ---- */

static void
put_cbw(Fixture *f, uint32_t len, bool in, const uint8_t *cdb, unsigned n)
{
    uint8_t *cbw = f->fake->ram + XD_BUFFER - 64;

    memset(cbw, 0, 31);
    bytes_store(cbw, 0x43425355, 4);
    bytes_store(cbw + 4, 0x1234, 4);
    bytes_store(cbw + 8, len, 4);
    cbw[12] = in ? 0x80 : 0;
    cbw[14] = (uint8_t)n;
    memcpy(cbw + 15, cdb, n);
}

/* One SCSI command. Returns its status byte; *ret_residue may be NULL. */
static uint8_t
scsi(Fixture *f, unsigned slot, uint32_t len, bool in, const uint8_t *cdb, unsigned n,
     uint32_t *ret_residue)
{
    const uint8_t *csw = f->fake->ram + XD_BUFFER - 32;

    put_cbw(f, len, in, cdb, n);
    assert_int_equal(xd_transfer(&f->xd, slot, 4, XD_BUFFER - 64, 31, NULL), CC_SUCCESS);
    if (len) {
        unsigned code = xd_transfer(&f->xd, slot, in ? 3 : 4, XD_BUFFER, len, NULL);

        assert_true(code == CC_SUCCESS || code == CC_SHORT);
    }
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER - 32, 13, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load32(csw), 0x53425355);
    assert_int_equal(bytes_load32(csw + 4), 0x1234);
    if (ret_residue)
        *ret_residue = bytes_load32(csw + 8);
    return csw[12];
}

static unsigned
start_disk(Fixture *f)
{
    static const uint8_t ready[6] = { 0 };
    unsigned slot;

    fake_device(f->fake, "usb-storage", "id", "disk", "drive", "d", "port", "1", NULL);
    start(f);
    slot = xd_attach(&f->xd, SUPER, 0);
    xd_configure(&f->xd, slot, 3, BULK_IN);
    xd_configure(&f->xd, slot, 4, BULK_OUT);
    scsi(f, slot, 0, true, ready, 6, NULL); /* takes the unit attention */
    return slot;
}

static void
disk_keeps_what_is_written(void **state)
{
    static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 255 };
    static const uint8_t write[10] = { 0x2a, 0, 0, 0, 0, 8, 0, 2, 0 };
    static const uint8_t read[10] = { 0x28, 0, 0, 0, 0, 8, 0, 2, 0 };
    static const uint8_t beyond[10] = { 0x28, 0, 0, 0, 0x7f, 0xff, 0, 2, 0 };
    Fixture *f = *state;
    unsigned slot = start_disk(f);
    uint8_t *data = f->fake->ram + XD_BUFFER;
    const uint32_t len = 512 * 512;
    uint32_t residue;

    assert_int_equal(scsi(f, slot, 255, true, inquiry, 6, &residue), 0);
    assert_int_equal(data[0], 0);
    assert_memory_equal(data + 8, "Kiln", 4);
    assert_true(residue > 0);
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 7 + i / 512);
    assert_int_equal(scsi(f, slot, len, false, write, 10, &residue), 0);
    assert_int_equal(residue, 0);
    memset(data, 0, len);
    assert_int_equal(scsi(f, slot, len, true, read, 10, &residue), 0);
    assert_int_equal(residue, 0);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(data[i], (uint8_t)(i * 7 + i / 512));
    /* A failed read moves nothing and says so; the next command works. */
    assert_int_equal(scsi(f, slot, len, true, beyond, 10, &residue), 1);
    assert_int_equal(residue, len);
    /* The host asks for less than the command has: a phase error, not more data. */
    data[512] = 0xee;
    assert_int_equal(scsi(f, slot, 512, true, read, 10, NULL), 2);
    assert_int_equal(data[512], 0xee);
    assert_int_equal(scsi(f, slot, len, true, read, 10, &residue), 0);
}

/* The disk has no other way of telling why a command failed. */
static void
sense_of_a_failed_command_can_be_asked_for(void **state)
{
    static const uint8_t beyond[10] = { 0x28, 0, 0, 0, 0x7f, 0xff, 0, 2, 0 };
    static const uint8_t sense[6] = { 0x03, 0, 0, 0, 18 };
    Fixture *f = *state;
    unsigned slot = start_disk(f);
    const uint8_t *data = f->fake->ram + XD_BUFFER;

    assert_int_equal(scsi(f, slot, 512, true, beyond, 10, NULL), 1);
    assert_int_equal(scsi(f, slot, 18, true, sense, 6, NULL), 0);
    assert_int_equal(data[2], 5);
    assert_int_equal(data[12], 0x21);
    assert_int_equal(scsi(f, slot, 18, true, sense, 6, NULL), 0);
    assert_int_equal(data[2], 0);
}

/* Hole class: lengths near the end of 32 bits. */
static void
largest_length_ends_with_the_data(void **state)
{
    static const uint8_t inquiry[6] = { 0x12, 0, 0, 0, 255 };
    Fixture *f = *state;
    unsigned slot = start_disk(f);
    const uint8_t *csw = f->fake->ram + XD_BUFFER - 32;

    put_cbw(f, UINT32_MAX, true, inquiry, 6);
    assert_int_equal(xd_transfer(&f->xd, slot, 4, XD_BUFFER - 64, 31, NULL), CC_SUCCESS);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER, 255, NULL), CC_SHORT);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BUFFER - 32, 13, NULL), CC_SUCCESS);
    assert_int_equal(bytes_load32(csw + 8), UINT32_MAX - 36);
    assert_int_equal(csw[12], 0);
}

static void
nonsense_instead_of_a_command_stalls(void **state)
{
    static const uint8_t bot_reset[8] = { 0x21, 0xff };
    static const uint8_t clear_halt[8] = { 2, 1, 0, 0, 2, 0, 0, 0 };
    static const uint8_t ready[6] = { 0 };
    Fixture *f = *state;
    unsigned slot = start_disk(f);

    memset(f->fake->ram + XD_BUFFER, 0x5a, 64);
    assert_int_equal(xd_transfer(&f->xd, slot, 4, XD_BUFFER, 31, NULL), CC_STALL);
    assert_int_equal(xd_command(&f->xd, 0, 14 << 10 | slot << 24 | 4 << 16, NULL), CC_SUCCESS);
    assert_int_equal(xd_command(&f->xd,
                                (f->xd.rings[slot][4].base + f->xd.rings[slot][4].at * 16) |
                                    f->xd.rings[slot][4].cycle,
                                16 << 10 | slot << 24 | 4 << 16, NULL),
                     CC_SUCCESS);
    assert_int_equal(xd_control(&f->xd, slot, bot_reset, NULL), CC_SUCCESS);
    assert_int_equal(xd_control(&f->xd, slot, clear_halt, NULL), CC_SUCCESS);
    assert_int_equal(scsi(f, slot, 0, true, ready, 6, NULL), 0);
}

/* ---- known holes ---- */

static void
link_trbs_in_a_circle_end_the_controller_not_the_process(void **state)
{
    Fixture *f = *state;
    uint8_t *trb;

    start(f);
    trb = f->fake->ram + XD_COMMANDS;
    bytes_store(trb, XD_COMMANDS, 8);
    bytes_store(trb + 12, 6 << 10 | 1, 4);
    xd_doorbell(&f->xd, 0, 0);
    for (int i = 0; i < 5000 && !(xd_read(&f->xd, USBSTS) & STS_ERROR); i++)
        g_usleep(1000);
    assert_true(xd_read(&f->xd, USBSTS) & STS_ERROR);
    xd_start(&f->xd);
    assert_false(xd_read(&f->xd, USBSTS) & STS_ERROR);
    assert_int_equal(xd_command(&f->xd, 0, 23 << 10, NULL), CC_SUCCESS);
}

/* A chain that never ends, over a ring that wraps into itself. */
static void
endless_transfer_is_given_up(void **state)
{
    Fixture *f = *state;
    unsigned slot;

    fake_device(f->fake, "usb-kbd", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    for (unsigned i = 0; i < XD_RING_TRBS - 1; i++) {
        uint8_t *trb = f->fake->ram + f->xd.rings[slot][3].base + i * 16;

        bytes_store(trb, XD_BUFFER, 8);
        bytes_store(trb + 8, 8, 4);
        bytes_store(trb + 12, 1 << 10 | 1 << 4 | 1, 4);
    }
    /* The link does not toggle the cycle. */
    bytes_store(f->fake->ram + f->xd.rings[slot][3].base + (XD_RING_TRBS - 1) * 16,
                f->xd.rings[slot][3].base, 8);
    bytes_store(f->fake->ram + f->xd.rings[slot][3].base + (XD_RING_TRBS - 1) * 16 + 12,
                6 << 10 | 1 << 4 | 1, 4);
    xd_doorbell(&f->xd, slot, 3);
    for (int i = 0; i < 5000 && !(xd_read(&f->xd, USBSTS) & STS_ERROR); i++)
        g_usleep(1000);
    assert_true(xd_read(&f->xd, USBSTS) & STS_ERROR);
}

static void
transfer_to_registers_is_refused(void **state)
{
    Fixture *f = *state;
    unsigned slot;

    fake_device(f->fake, "usb-kbd", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    input_send_key(f->fake->machine->input, KEYCODE_a, true);
    input_sync(f->fake->machine->input);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_BAR, 8, NULL), CC_DATA_BUFFER);
}

static void
transfer_beyond_ram_is_refused(void **state)
{
    Fixture *f = *state;
    unsigned slot;

    fake_device(f->fake, "usb-kbd", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    assert_int_equal(xd_transfer(&f->xd, slot, 3, XD_RAM - 4, 8, NULL), CC_DATA_BUFFER);
}

static void
control_data_longer_than_the_buffer_stalls(void **state)
{
    static const uint8_t out[8] = { 0x21, 9, 0, 2, 0, 0, 0xff, 0xff };
    static const uint8_t in[8] = { 0x80, 6, 0, 2, 0, 0, 0xff, 0xff };
    Fixture *f = *state;
    uint32_t len;
    unsigned slot;

    fake_device(f->fake, "usb-kbd", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    assert_int_equal(xd_control(&f->xd, slot, in, &len), CC_SUCCESS);
    assert_int_equal(len, 34);
    assert_int_equal(xd_control(&f->xd, slot, out, NULL), CC_STALL);
}

static void
full_event_ring_holds_transfers_back(void **state)
{
    Fixture *f = *state;
    unsigned slot, n = 0;
    XdTrb event;

    start(f);
    /* 200 commands for a ring of 64, whose reader sleeps. */
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < 50; i++)
            xd_push(&f->xd, &f->xd.commands, 0, 0, 23 << 10);
        xd_doorbell(&f->xd, 0, 0);
        g_usleep(5000);
        assert_false(xd_read(&f->xd, USBSTS) & STS_ERROR);
        for (n = 0; n < 50; n++)
            assert_int_equal(xd_expect(&f->xd, 33, &event), CC_SUCCESS);
    }
    fake_device(f->fake, "usb-kbd", NULL);
    slot = xd_attach(&f->xd, HIGH, 0);
    assert_int_equal(xd_control(&f->xd, slot, get_device, NULL), CC_SUCCESS);
}

static void
unplugged_device_ends_its_transfers(void **state)
{
    Fixture *f = *state;
    unsigned slot;
    XdTrb event;
    Device *dev = fake_device(f->fake, "usb-tablet", NULL);

    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    xd_queue(&f->xd, slot, 3, XD_BUFFER, 8);
    assert_false(xd_event(&f->xd, 20, &event));
    device_free(dev);
    assert_true(xd_event(&f->xd, 5000, &event));
    if ((event.control >> 10 & 63) == T_PORT)
        assert_int_equal(xd_expect(&f->xd, T_TRANSFER, &event), CC_TRANSACTION);
    else
        assert_int_equal(event.status >> 24, CC_TRANSACTION);
    assert_false(xd_read(&f->xd, 0x480) & 1);
    fake_device(f->fake, "usb-mouse", NULL);
    assert_true(xd_read(&f->xd, 0x480) & 1);
}

/* A command under way when the guest resets the controller must write nothing afterwards. */
static void
reset_under_a_read_leaves_memory_alone(void **state)
{
    static const uint8_t read[10] = { 0x28, 0, 0, 0, 0, 0, 0, 2, 0 };
    static const uint8_t ready[6] = { 0 };
    Fixture *f = *state;
    unsigned slot = start_disk(f);

    for (int round = 0; round < 20; round++) {
        put_cbw(f, 512 * 512, true, read, 10);
        assert_int_equal(xd_transfer(&f->xd, slot, 4, XD_BUFFER - 64, 31, NULL), CC_SUCCESS);
        xd_queue(&f->xd, slot, 3, XD_BUFFER, 512 * 512);
        g_usleep((gulong)round * 20);
        xd_start(&f->xd);
        memset(f->fake->ram + XD_BUFFER, 0xaa, 512 * 512);
        g_usleep(2000);
        for (unsigned i = 0; i < 512 * 512; i++)
            assert_int_equal(f->fake->ram[XD_BUFFER + i], 0xaa);
        slot = xd_attach(&f->xd, SUPER, 0);
        xd_configure(&f->xd, slot, 3, BULK_IN);
        xd_configure(&f->xd, slot, 4, BULK_OUT);
        scsi(f, slot, 0, true, ready, 6, NULL);
    }
}

static void
stopped_endpoint_tells_where(void **state)
{
    Fixture *f = *state;
    unsigned slot;
    XdTrb event;

    fake_device(f->fake, "usb-tablet", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    xd_queue(&f->xd, slot, 3, XD_BUFFER, 8);
    assert_false(xd_event(&f->xd, 20, &event));
    xd_push(&f->xd, &f->xd.commands, 0, 0, 15 << 10 | slot << 24 | 3 << 16);
    xd_doorbell(&f->xd, 0, 0);
    assert_int_equal(xd_expect(&f->xd, T_TRANSFER, &event), CC_STOPPED);
    assert_int_equal(xd_expect(&f->xd, 33, &event), CC_SUCCESS);
    /* Ring the bell, and it goes on where it was. */
    xd_doorbell(&f->xd, slot, 3);
    input_send_abs_scaled(f->fake->machine->input, INPUT_X, 5);
    input_sync(f->fake->machine->input);
    assert_int_equal(xd_expect(&f->xd, T_TRANSFER, &event), CC_SHORT);
}

static void
state_is_kept_with_a_transfer_waiting(void **state)
{
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Fixture *f = *state, other = { 0 };
    unsigned slot;
    XdTrb event;

    fake_device(f->fake, "usb-tablet", NULL);
    fake_device(f->fake, "usb-storage", "drive", "d", NULL);
    start(f);
    slot = xd_attach(&f->xd, HIGH, 0);
    xd_configure(&f->xd, slot, 3, INTERRUPT_IN);
    xd_queue(&f->xd, slot, 3, XD_BUFFER, 8);
    assert_false(xd_event(&f->xd, 20, &event));
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));

    strcpy(other.path, "/dev/null");
    other.fake = fake_machine_new_q35(XD_RAM);
    {
        g_autofree char *file = g_strdup_printf("{\"driver\":\"file\",\"filename\":\"%s\","
                                                "\"node-name\":\"s\",\"locking\":\"off\"}",
                                                f->path);

        add_node(other.fake, file);
        add_node(other.fake, "{\"driver\":\"raw\",\"file\":\"s\",\"node-name\":\"d\"}");
    }
    other.controller = fake_device(other.fake, "qemu-xhci", "id", "usb", "addr", "0x5", NULL);
    fake_device(other.fake, "usb-tablet", NULL);
    fake_device(other.fake, "usb-storage", "drive", "d", NULL);
    if (!machine_load(other.fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    memcpy(other.fake->ram, f->fake->ram, XD_RAM);
    other.xd = f->xd;
    other.xd.fake = other.fake;
    machine_set_running(other.fake->machine, true);
    assert_true(input_is_absolute(other.fake->machine->input));
    assert_int_equal(xd_expect(&other.xd, T_TRANSFER, &event), CC_SHORT);
    machine_set_running(other.fake->machine, false);
    fake_machine_free(other.fake);
}

/* Hole class: registers written while the controller is being unplugged. */
static void
ports_are_written_while_the_controller_goes(void **state)
{
    enum { PORTSC5 = 0x480, DISABLE = 2, RESET = 1 << 4 };
    Fixture *f = *state;

    fake_device(f->fake, "usb-tablet", "port", "1", NULL);
    start(f);
    xd_attach(&f->xd, HIGH, 0);
    f->controller->class->unrealize(f->controller);
    xd_write(&f->xd, PORTSC5, DISABLE);
    xd_write(&f->xd, PORTSC5, RESET);
    assert_int_equal(xd_read(&f->xd, PORTSC5), 0);
}

static void
missing_ports_and_speeds_are_named(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "p2=0", "qemu-xhci", "p2", "0", NULL);
    for (int i = 0; i < 4; i++)
        fake_device(f->fake, "usb-mouse", "bus", "usb.0", NULL);
    fake_device_refused(f->fake, "every port", "usb-mouse", "bus", "usb.0", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tablet_is_found_and_tells_positions),
        TEST(keyboard_types_and_has_lights),
        TEST(device_behind_a_hub_is_reached_by_route),
        TEST(hub_goes_with_what_is_plugged_into_it),
        TEST(port_of_a_device_that_left_is_reset),
        TEST(disk_keeps_what_is_written),
        TEST(sense_of_a_failed_command_can_be_asked_for),
        TEST(largest_length_ends_with_the_data),
        TEST(nonsense_instead_of_a_command_stalls),
        TEST(link_trbs_in_a_circle_end_the_controller_not_the_process),
        TEST(endless_transfer_is_given_up),
        TEST(transfer_to_registers_is_refused),
        TEST(transfer_beyond_ram_is_refused),
        TEST(control_data_longer_than_the_buffer_stalls),
        TEST(full_event_ring_holds_transfers_back),
        TEST(unplugged_device_ends_its_transfers),
        TEST(reset_under_a_read_leaves_memory_alone),
        TEST(stopped_endpoint_tells_where),
        TEST(state_is_kept_with_a_transfer_waiting),
        TEST(ports_are_written_while_the_controller_goes),
        TEST(missing_ports_and_speeds_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
