/* fuzz_hw_disk.c - a guest's accesses to the registers and tables of the disk controllers: AHCI,
 * IDE, and SCSI commands behind ATAPI.
 *
 * The first byte chooses the controller. Then records of 8 bytes: what to do, width and place (24
 * bits), value (32 bits).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "hw/block/drive.h"
#include "hw/core/bytes.h"
#include "hw/core/loop.h"
#include "hw/pci/pci.h"
#include "tests/unit/hw/fake_disk.h"

enum { RECORD = 8, RAM = 2 << 20, DISK = 64 << 10, ABAR = 0x20000000, BM = 0xc000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
nothing(void *opaque)
{
    (void)opaque;
}

/* Lets the loop do what it was asked. */
static void
settle(FakeMachine *fake)
{
    IoLoop *loop = machine_io_loop(fake->machine, NULL);

    for (unsigned i = 0; i < 3; i++)
        io_loop_run_sync(loop, nothing, NULL);
}

static void
prepare(FakeMachine *fake, Device *dev, bool ahci)
{
    PciRoot *root = fake->machine->pci;
    uint16_t bdf = pci_requester_id(pci_device(dev));

    pci_config_write(root, bdf, ahci ? 0x24 : 0x20, 4, ahci ? ABAR : BM);
    pci_config_write(root, bdf, 4, 2, 7);
    if (!ahci)
        return;
    for (unsigned port = 0; port < 2; port++) {
        fake_write(fake, ABAR + 0x100 + port * 0x80, 4, 0x1000 + port * 0x1000);
        fake_write(fake, ABAR + 0x108 + port * 0x80, 4, 0x3000);
        fake_write(fake, ABAR + 0x118 + port * 0x80, 4, 0x11);
        for (unsigned slot = 0; slot < 4; slot++) {
            uint8_t *header = fake->ram + 0x1000 + port * 0x1000 + slot * 32;
            uint8_t *table = fake->ram + 0x4000 + slot * 0x400;

            bytes_store(header, 5 | 4u << 16 | (port ? 1u << 5 : 0), 4);
            bytes_store(header + 8, 0x4000 + slot * 0x400, 4);
            table[0] = 0x27;
            table[1] = 0x80;
            table[2] = port ? 0xa0 : 0x25;
            for (unsigned i = 0; i < 4; i++) {
                bytes_store(table + 0x80 + i * 16, 0x10000 + i * 0x1000, 4);
                bytes_store(table + 0x8c + i * 16, 0xfff, 4);
            }
        }
    }
}

static void
run_record(FakeMachine *fake, const uint8_t *r, bool ahci)
{
    unsigned size = 1u << (r[1] & 3), offset = bytes_load16(r + 2);
    uint32_t value = bytes_load32(r + 4);

    switch (r[0] % 8) {
    case 0:
    case 1: /* registers */
        if (ahci)
            fake_write(fake, ABAR + (offset & 0x3ff), 4, value);
        else
            fake_out(fake, (uint16_t)(0x1f0 + (offset & 7)), size & 7 ? size : 1, value);
        break;
    case 2:
        if (ahci)
            fake_read(fake, ABAR + (offset & 0xfff), size);
        else
            fake_in(fake, (uint16_t)(0x1f0 + (offset & 7)), size & 7 ? size : 1);
        break;
    case 3: /* tables and command FISes */
        bytes_store(fake->ram + 0x1000 + (offset & 0x5fff), value, 4);
        break;
    case 4: /* start commands; the bus master */
        if (ahci) {
            fake_write(fake, ABAR + 0x134 + (offset & 1) * 0x80, 4, value);
            fake_write(fake, ABAR + 0x138 + (offset & 1) * 0x80, 4, value);
        } else {
            fake_out(fake, (uint16_t)(BM + (offset & 15)), size & 7 ? size : 1, value);
        }
        break;
    case 5:
        settle(fake);
        break;
    case 6: /* the other side: data, control, tray */
        if (!ahci && (offset & 1))
            fake_out(fake, 0x3f6, 1, value);
        for (unsigned i = 0; !ahci && i < (value & 0x3ff); i++) {
            fake_in(fake, 0x1f0, 2);
            fake_out(fake, 0x1f0, 2, value);
        }
        break;
    default:
        if (value == 0) {
            machine_set_running(fake->machine, false);
            machine_reset(fake->machine);
            machine_set_running(fake->machine, true);
        } else {
            Device *cd = machine_device_find(fake->machine, "cd");

            drive_move_tray(drive_of(cd), value & 1, value & 2, NULL, NULL);
        }
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake;
    Device *dev;
    bool ahci;
    int disk, cd;

    if (size < 1)
        return 0;
    ahci = data[0] & 1;
    fake = fake_machine_new_q35(RAM);
    disk = fake_disk(fake, "d", DISK, false);
    cd = fake_disk(fake, "c", DISK, true);
    dev = fake_device(fake, ahci ? "ich9-ahci" : "piix3-ide", "addr", "3", NULL);
    fake_device(fake, "ide-hd", "bus", "ide.0", "drive", "d", NULL);
    fake_device(fake, "ide-cd", "bus", ahci ? "ide.1" : "ide.0", "drive", "c", "id", "cd", NULL);
    machine_set_running(fake->machine, true);
    prepare(fake, dev, ahci);
    for (size_t at = 1; at + RECORD <= size; at += RECORD)
        run_record(fake, data + at, ahci);
    settle(fake);
    machine_set_running(fake->machine, false);
    fake_machine_free(fake);
    close(disk);
    close(cd);
    return 0;
}
