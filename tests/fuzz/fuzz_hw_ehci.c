/* fuzz_hw_ehci.c - a guest's accesses to an EHCI controller and its companion: registers, schedules
 * in its RAM, ports that go from one to the other.
 *
 * The input is a row of records of 8 bytes: what to touch, width and which, offset (16 bits), value
 * (32 bits). Both controllers begin as a driver leaves them, with schedules that lead into a part
 * of RAM that the records write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_disk.h"

#include "hw/core/bytes.h"
#include "hw/input/input.h"
#include "hw/pci/pci.h"

#include <unistd.h>

enum {
    RECORD = 8,
    RAM = 1 << 20,
    BAR = 0xe0000000u,
    OP = BAR + 0x20,
    UHCI = 0xc000,
    LISTS = 0x10000, /* both frame lists */
    HEADS = 0x20000, /* queue heads and transfers of both */
    BYTES = 0x1000,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
enable(FakeMachine *fake, const char *id, unsigned bar, uint32_t address)
{
    uint16_t bdf = pci_requester_id(pci_device(machine_device_find(fake->machine, id)));

    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0 + 4 * bar, 4, address);
    pci_config_write(fake->machine->pci, bdf, PCI_COMMAND, 2, 7);
}

static void
start(FakeMachine *fake)
{
    for (unsigned i = 0; i < 1024; i++) {
        bytes_store(fake->ram + LISTS + 4 * i, HEADS | 2, 4);
        bytes_store(fake->ram + LISTS + 0x1000 + 4 * i, (HEADS + 0x800) | 2, 4);
    }
    for (unsigned i = 0; i < BYTES / 64; i++) {
        uint8_t *qh = fake->ram + HEADS + 64 * i;

        bytes_store(qh, (HEADS + (64 * (i + 1)) % BYTES) | 2, 4);
        bytes_store(qh + 4, 64u << 16 | (i == 0) << 15 | 1u << 14 | 2u << 12, 4);
        bytes_store(qh + 8, 1u << 30 | 1, 4);
        bytes_store(qh + 16, 1, 4);
        bytes_store(qh + 20, 1, 4);
    }
    fake_write(fake, OP + 0x14, 4, LISTS);
    fake_write(fake, OP + 0x18, 4, HEADS);
    fake_write(fake, OP + 0x40, 4, 1);
    fake_write(fake, OP, 4, 0x31);
    for (unsigned i = 0; i < 3; i++) {
        fake_write(fake, OP + 0x44 + 4 * i, 4, 1 << 8);
        fake_write(fake, OP + 0x44 + 4 * i, 4, i == 0 ? 1 << 13 : 0);
    }
    fake_out(fake, UHCI + 8, 4, LISTS + 0x1000);
    fake_out(fake, UHCI + 16, 2, 1 << 9);
    fake_out(fake, UHCI + 16, 2, 1 << 2);
    fake_out(fake, UHCI, 2, 1);
}

static void
user(FakeMachine *fake, uint32_t value)
{
    Input *input = fake->machine->input;

    input_send_key(input, (KeyCode)(value % KEYCODES), value >> 16 & 1);
    input_send_abs_scaled(input, INPUT_Y, (int)(value >> 8));
    input_sync(input);
}

/* The keyboard goes, or comes back, perhaps at another speed. */
static void
plug(FakeMachine *fake, uint32_t value)
{
    Device *keyboard = machine_device_find(fake->machine, "kbd");

    if (keyboard) {
        device_unplug(keyboard, NULL);
        fake_iterate(fake);
    } else {
        fake_device(fake, "usb-kbd", "id", "kbd", "port", "1", "usb_version", value & 1 ? "1" : "2",
                    NULL);
    }
}

static void
run_record(FakeMachine *fake, const uint8_t *r)
{
    unsigned offset = bytes_load16(r + 2), size = 1u << (r[1] & 3);
    uint32_t value = bytes_load32(r + 4);

    switch (r[0] % 10) {
    case 0:
        if (r[1] & 4)
            fake_write(fake, BAR + offset % 0x90, size, value);
        else
            fake_read(fake, BAR + offset % 0x90, size);
        break;
    case 1:
        if (r[1] & 4)
            fake_out(fake, (uint16_t)(UHCI + offset % 32), size, value);
        else
            fake_in(fake, (uint16_t)(UHCI + offset % 32), size);
        break;
    case 2:
    case 3: /* queue heads and transfers: links that stay among them */
        bytes_store(fake->ram + HEADS + offset % (BYTES - 3),
                    r[1] & 8 ? HEADS | (value & (BYTES - 1)) : value, 4);
        break;
    case 4: /* a transfer of a queue head's overlay */
        bytes_store(fake->ram + HEADS + offset % (BYTES / 64) * 64 + 24, value | 0x80, 4);
        break;
    case 5:
        fake_write(fake, OP + 0x44 + 4 * (r[1] % 6u), 4, value);
        break;
    case 6:
        fake_advance(fake, value % 20000000);
        g_usleep(50);
        break;
    case 7:
        user(fake, value);
        break;
    case 8:
        plug(fake, value);
        break;
    default:
        if (value % 4 == 0)
            machine_reset(fake->machine);
        else
            start(fake);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    int disk = fake_disk(fake, "d", 65536, false);

    fake_device(fake, "ich9-usb-ehci1", "id", "usb", "addr", "1d.7", "multifunction", "on", NULL);
    fake_device(fake, "ich9-usb-uhci1", "id", "uhci", "masterbus", "usb.0", "firstport", "0",
                "addr", "1d.0", "multifunction", "on", NULL);
    fake_device(fake, "usb-kbd", "id", "kbd", "port", "1", "usb_version", "1", NULL);
    fake_device(fake, "usb-storage", "port", "2", "drive", "d", NULL);
    fake_device(fake, "usb-tablet", "port", "3", NULL);
    enable(fake, "usb", 0, BAR);
    enable(fake, "uhci", 4, UHCI);
    machine_set_running(fake->machine, true);
    start(fake);
    for (size_t at = 0; at + RECORD <= size; at += RECORD)
        run_record(fake, data + at);
    machine_set_running(fake->machine, false);
    fake_machine_free(fake);
    close(disk);
    return 0;
}
