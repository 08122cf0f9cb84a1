/* identify.c - IDENTIFY DEVICE and IDENTIFY PACKET DEVICE data (ATA8-ACS 7.16, 7.17).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/ata/ata.h"
#include "hw/core/bytes.h"

static void
word(uint8_t *page, unsigned n, unsigned value)
{
    bytes_store(page + (size_t)n * 2, value, 2);
}

/* Two characters to a word, the first in its upper byte. */
static void
text(uint8_t *page, unsigned n, unsigned words, const char *from)
{
    size_t len = strlen(from);

    for (size_t i = 0; i < (size_t)words * 2; i++)
        page[(size_t)n * 2 + (i ^ 1)] = i < len ? (uint8_t)from[i] : ' ';
}

/* Words that disks and CD drives have in common: identity, transfer modes, links. */
static void
identify_common(const AtaDrive *drive, uint8_t *page)
{
    unsigned mode = drive->transfer_mode & 0x07, kind = drive->transfer_mode >> 3;

    text(page, 10, 10, drive->drive.serial ? drive->drive.serial : "");
    text(page, 23, 4, drive->version ? drive->version : "1.0");
    text(page, 27, 20,
         drive->model   ? drive->model
         : drive->atapi ? "KILN DVD-ROM"
                        : "KILN HARDDISK");
    word(page, 48, 0x4000); /* no trusted computing */
    word(page, 53, 7); /* words 54-58, 64-70, 88 hold */
    word(page, 63, 7u | (kind == 4 ? 1u << (8 + MIN(mode, 2u)) : 0)); /* multiword DMA 0-2 */
    word(page, 64, 3);                                                /* PIO 3 and 4 */
    for (unsigned i = 65; i <= 68; i++)
        word(page, i, 120);                                              /* ns for a cycle */
    word(page, 88, 0x3fu | (kind == 8 ? 1u << (8 + MIN(mode, 5u)) : 0)); /* Ultra DMA 0-5 */
    word(page, 80, 0x1f0); /* ATA/ATAPI-4 to ATA8-ACS */
    if (drive->bus->serial)
        word(page, 93, 0);
    else
        word(page, 93, 0x6001u | (drive->unit ? 0x0100u : 0)); /* 80 wires, passed diagnostics */
    if (drive->bus->serial)
        word(page, 76, drive->atapi ? 0x06 : 0x0106); /* 1.5 and 3 Gb/s, NCQ */
    if (drive->wwn) {
        word(page, 87, 0x4100);
        for (unsigned i = 0; i < 4; i++)
            word(page, 108 + i, (unsigned)(drive->wwn >> (48 - 16 * i)) & 0xffff);
    }
}

static void
identify_disk(const AtaDrive *drive, uint8_t *page)
{
    const Drive *d = &drive->drive;
    uint32_t logical = d->logical_block_size;
    uint64_t sectors = drive_size(d) / logical;
    unsigned low = (unsigned)MIN(sectors, 0x0fffffff), per = 0;
    uint64_t chs = (uint64_t)drive->cylinders * drive->heads * drive->sectors;
    unsigned cache = drive_writeback(d) ? 1u << 5 : 0;

    word(page, 0, 0x0040);
    word(page, 1, drive->cylinders);
    word(page, 3, drive->heads);
    word(page, 6, drive->sectors);
    word(page, 47, 0x8000 | 16); /* sectors of READ MULTIPLE */
    word(page, 49, 0x0f00);      /* LBA, DMA, IORDY */
    word(page, 50, 0x4000);
    word(page, 54, drive->cylinders);
    word(page, 55, drive->heads);
    word(page, 56, drive->sectors);
    word(page, 57, (unsigned)chs & 0xffff);
    word(page, 58, (unsigned)(chs >> 16));
    word(page, 59, drive->multiple ? 0x100u | drive->multiple : 0);
    word(page, 60, low & 0xffff);
    word(page, 61, low >> 16);
    word(page, 75, ATA_QUEUE - 1);
    word(page, 82, 0x4000 | 1u << 5 | 1);                    /* NOP, write cache, SMART */
    word(page, 83, 0x4000 | 1u << 13 | 1u << 12 | 1u << 10); /* FLUSH (EXT), 48 bits */
    word(page, 84, 0x4000 | 1u << 6 | 1u << 5 | (drive->wwn ? 0x100u : 0)); /* FUA, logs */
    word(page, 85, 0x4000 | cache | (drive->smart ? 1 : 0));
    word(page, 86, 1u << 13 | 1u << 12 | 1u << 10);
    word(page, 87, 0x4000 | 1u << 6 | 1u << 5 | (drive->wwn ? 0x100u : 0));
    for (unsigned i = 0; i < 4; i++)
        word(page, 100 + i, (unsigned)(sectors >> (16 * i)) & 0xffff);
    while (logical << per < d->physical_block_size)
        per++;
    word(page, 106, 0x4000 | (per ? 0x2000 | per : 0) | (logical > ATA_SECTOR ? 0x1000 : 0));
    word(page, 117, logical > ATA_SECTOR ? logical / 2 & 0xffff : 0);
    word(page, 118, logical > ATA_SECTOR ? logical / 2 >> 16 : 0);
    word(page, 217, drive->rotation_rate);
    if (drive->bus->serial)
        word(page, 222, 0x1020); /* SATA, ATA8-AST */
    if (d->node && block_node_can_discard(d->node)) {
        word(page, 105, 1); /* blocks of DATA SET MANAGEMENT */
        word(page, 169, 1); /* TRIM */
    }
}

static void
identify_packet(uint8_t *page)
{
    word(page, 0, 0x85c0); /* ATAPI CD, removable, packets of 12 bytes */
    word(page, 49, 0x0f00);
    word(page, 71, 30);
    word(page, 72, 30);
    word(page, 82, 0x4000 | 1u << 9 | 1u << 4); /* NOP, DEVICE RESET, PACKET */
    word(page, 83, 0x4000);
    word(page, 84, 0x4000);
    word(page, 85, 0x4000 | 1u << 9 | 1u << 4);
    word(page, 87, 0x4000);
}

void
ata_identify(const AtaDrive *drive, uint8_t *page)
{
    uint8_t sum = 0;

    memset(page, 0, ATA_SECTOR);
    identify_common(drive, page);
    if (drive->atapi)
        identify_packet(page);
    else
        identify_disk(drive, page);
    page[510] = 0xa5; /* integrity word */
    for (unsigned i = 0; i < 511; i++)
        sum += page[i];
    page[511] = (uint8_t)-sum;
}
