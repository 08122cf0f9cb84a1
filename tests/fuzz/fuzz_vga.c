/* fuzz_vga.c - a guest's accesses to a VGA card's ports, window and registers, and the pictures
 * that come of them.
 *
 * The input is a row of records of 4 bytes: where, which register there, value (16 bits).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/bytes.h"
#include "hw/display/display.h"

enum { RAM = 1 << 20, RECORD = 4, RECORDS_MAX = 512, DRAWN_MAX = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
run_record(FakeMachine *fake, const uint8_t *r, unsigned *drawn)
{
    static const uint16_t indexed[] = { 0x3c4, 0x3ce, 0x3d4, 0x3b4 };
    uint16_t value = bytes_load16(r + 2);

    switch (r[0] & 7) {
    case 0:
        fake_out(fake, (uint16_t)(0x3b0 + r[1] % 48), 1, value & 255);
        break;
    case 1:
        fake_in(fake, (uint16_t)(0x3b0 + r[1] % 48), 1);
        break;
    case 2:
        fake_out(fake, indexed[r[0] >> 3 & 3], 2, (uint64_t)(value & 255) << 8 | r[1]);
        break;
    case 3:
        fake_out(fake, 0x1ce, 2, r[1] % 12);
        fake_out(fake, 0x1cf, 2, value);
        break;
    case 4:
        fake_write(fake, 0xa0000 + (((uint32_t)r[1] << 9 ^ value) & 0x1ffff), 1u << (r[0] >> 3 & 3),
                   value * 0x10001u);
        break;
    case 5:
        fake_read(fake, 0xa0000 + (((uint32_t)r[1] << 9 ^ value) & 0x1ffff), 1u << (r[0] >> 3 & 3));
        break;
    case 6:
        fake_in(fake, 0x3da, 1);
        fake_out(fake, 0x3c0, 1, r[1]);
        fake_out(fake, 0x3c0, 1, value & 255);
        break;
    default:
        if ((*drawn)++ < DRAWN_MAX)
            screen_refresh(displays_get(fake->machine->displays, 0));
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake;
    unsigned drawn = 0;

    if (size < RECORD || size > RECORD * RECORDS_MAX)
        return 0;
    fake = fake_machine_new_q35(RAM);
    fake_device(fake, "VGA", "vgamem_mb", "1", NULL);
    machine_reset(fake->machine);
    for (size_t at = 0; at + RECORD <= size; at += RECORD)
        run_record(fake, data + at, &drawn);
    screen_refresh(displays_get(fake->machine->displays, 0));
    fake_machine_free(fake);
    return 0;
}
