/* fuzz_cirrus.c - a guest's accesses to a Cirrus card: registers, memory, blits, and the pictures
 * that come of them.
 *
 * The input is a row of records of 8 bytes: what, width and which, offset (16 bits), value (32
 * bits).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/bytes.h"
#include "hw/display/display.h"
#include "hw/pci/pci.h"

enum {
    RAM = 1 << 20,
    RECORD = 8,
    RECORDS_MAX = 256,
    DRAWN_MAX = 4,
    BLITS_MAX = 24,
    LFB = 0xe0000000u,
    BLIT = LFB + (16 << 20),
    MMIO = 0xe2000000u,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
run_record(FakeMachine *fake, const uint8_t *r, unsigned *drawn, unsigned *blits)
{
    static const uint16_t indexed[] = { 0x3c4, 0x3ce, 0x3d4, 0x3ce };
    unsigned offset = bytes_load16(r + 2), size = 1u << (r[1] & 3);
    uint32_t value = bytes_load32(r + 4);

    switch (r[0] % 10) {
    case 0:
        fake_out(fake, (uint16_t)(0x3b0 + offset % 48), 1, value & 255);
        break;
    case 1:
        fake_in(fake, (uint16_t)(0x3b0 + offset % 48), 1);
        break;
    case 2:
    case 3:
        fake_out(fake, indexed[r[1] >> 2 & 3], 2, value & 0xffff);
        break;
    case 4: /* the blit's registers but its start */
        fake_write(fake, MMIO + 0x100 + offset % 0x3d, 4, value);
        break;
    case 5:
        if ((*blits)++ < BLITS_MAX) {
            fake_write(fake, MMIO + 0x140, 1, value & 0x84);
            fake_write(fake, MMIO + 0x140, 1, (value & 0x80) | 2);
        }
        break;
    case 6: /* the end of memory more often than its middle */
        if (r[1] & 4)
            fake_write(fake, LFB + (r[1] & 8 ? 0x3fffffu - offset % 256 : value & 0x3fffff), size,
                       value);
        else
            fake_read(fake, LFB + (r[1] & 8 ? 0x3fffffu - offset % 256 : value & 0x3fffff), size);
        break;
    case 7:
        if (r[1] & 4)
            fake_write(fake, 0xa0000 + (offset << 1 & 0x1ffff), size, value);
        else
            fake_read(fake, 0xa0000 + (offset << 1 & 0x1ffff), size);
        break;
    case 8:
        for (unsigned i = 0; i < offset % 64u; i++)
            fake_write(fake, BLIT + (value & 0x3fffff), 8, value * UINT64_C(0x100000001));
        break;
    default:
        if (value % 16 == 0)
            machine_reset(fake->machine);
        else if ((*drawn)++ < DRAWN_MAX)
            screen_refresh(displays_get(fake->machine->displays, 0));
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned drawn = 0, blits = 0;
    FakeMachine *fake;
    Device *dev;
    uint16_t bdf;

    if (size < RECORD || size > RECORD * RECORDS_MAX)
        return 0;
    fake = fake_machine_new_q35(RAM);
    dev = fake_device(fake, "cirrus-vga", "addr", "2", NULL);
    machine_reset(fake->machine);
    bdf = pci_requester_id(pci_device(dev));
    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0, 4, LFB);
    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0 + 4, 4, MMIO);
    pci_config_write(fake->machine->pci, bdf, PCI_COMMAND, 2, 7);
    fake_out(fake, 0x3c2, 1, 1);
    for (size_t at = 0; at + RECORD <= size; at += RECORD)
        run_record(fake, data + at, &drawn, &blits);
    screen_refresh(displays_get(fake->machine->displays, 0));
    fake_machine_free(fake);
    return 0;
}
