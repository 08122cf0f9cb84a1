/* fuzz_hw_usb.c - a guest's accesses to USB controllers: registers, and rings in its RAM.
 *
 * The input is a row of records of 8 bytes: what to touch, width, offset (16 bits), value (32
 * bits). The controllers begin as a driver leaves them, so that the first bytes already reach
 * transfers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/usb_driver.h"

#include "hw/core/bytes.h"
#include "hw/input/input.h"

enum { RECORD = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
user(FakeMachine *fake, uint32_t value)
{
    Input *input = fake->machine->input;

    input_send_key(input, (KeyCode)(value % KEYCODES), value >> 16 & 1);
    input_send_rel(input, INPUT_X, (int)(value >> 8));
    input_send_abs_scaled(input, INPUT_Y, (int)(value >> 8));
    input_send_button(input, (InputButton)(value >> 24 & 7), value >> 17 & 1);
    input_sync(input);
}

static void
run_record(XhciDriver *xd, unsigned slot, const uint8_t *r)
{
    FakeMachine *fake = xd->fake;
    unsigned offset = bytes_load16(r + 2), size = 1u << (r[1] & 3);
    uint32_t value = bytes_load32(r + 4);

    switch (r[0] % 8) {
    case 0:
        if (r[1] & 4)
            fake_write(fake, XD_BAR + offset % 0x3000, size, value);
        else
            fake_read(fake, XD_BAR + offset % 0x3000, size);
        break;
    case 1: /* contexts, rings and buffers */
        bytes_store(fake->ram + XD_DCBAA + (r[1] << 12) + offset % 0xfff8, value, 4);
        break;
    case 2:
        xd_push(xd, &xd->commands, (uint64_t)XD_INPUT + (r[1] & 1 ? value : 0), 0,
                (uint32_t)(9 + r[1] % 16) << 10 | slot << 24 | (offset & 31u) << 16);
        xd_doorbell(xd, 0, 0);
        break;
    case 3:
        xd_push(xd, &xd->rings[slot][1 + offset % 4], r[1] & 1 ? value : XD_BUFFER, value,
                (uint32_t)bytes_load16(r + 2) << 10 | (r[1] & 0x76));
        xd_doorbell(xd, slot, 1 + offset % 4);
        break;
    case 4:
        user(fake, value);
        break;
    case 5:
        fake_advance(fake, value);
        break;
    case 6:
        if (value == 0)
            machine_reset(fake->machine);
        else if (value == 1)
            xd_start(xd);
        else
            g_usleep(50);
        break;
    default:
        xd_write(xd, 0x2000 + (slot << 2), 1 + offset % 31);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake = fake_machine_new_q35(XD_RAM);
    Device *controller = fake_device(fake, "qemu-xhci", "addr", "5", NULL);
    XhciDriver xd;
    unsigned slot;

    fake_device(fake, "usb-hub", "port", "1", NULL);
    fake_device(fake, "usb-kbd", "port", "1.1", NULL);
    fake_device(fake, "usb-tablet", "port", "2", NULL);
    fake_device(fake, "usb-mouse", "port", "3", NULL);
    machine_set_running(fake->machine, true);
    xd_init(&xd, fake, controller);
    /* behind the four ports for USB 3 */
    slot = xd_attach(&xd, size & 1 ? 6 : 5, 0);
    xd_configure(&xd, slot, 3, 7);
    for (size_t at = 0; at + RECORD <= size; at += RECORD)
        run_record(&xd, slot, data + at);
    machine_set_running(fake->machine, false);
    fake_machine_free(fake);
    return 0;
}
