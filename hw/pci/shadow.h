/* shadow.h - what the host bridge shows below 1 MiB: RAM, firmware or nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_SHADOW_H
#define KILN_HW_PCI_SHADOW_H

#include "hw/core/machine.h"

enum {
    SHADOW_PAMS = 7,      /* registers */
    SHADOW_SEGMENTS = 13, /* ranges that they switch */
    SMRAM_OPEN = 0x40,
    SMRAM_CLOSED = 0x20,
    SMRAM_LOCKED = 0x10,
    SMRAM_ENABLE = 0x08,
    SMRAM_BASE = 0x02, /* the only place, 0xa0000 */
};

/* Embedded in the host bridge. */
typedef struct {
    Machine *machine;
    uint8_t attributes[SHADOW_SEGMENTS]; /* bit 0: reads see RAM, bit 1: writes reach it */
    MemoryOverlay segments[SHADOW_SEGMENTS];
    MemoryOverlay video, smram;
    bool smram_open;
    IoRegion region;
} Shadow;

/* Nothing is RAM from 0xa0000 to 0x100000 until the registers say so. */
void shadow_init(Shadow *shadow, Machine *machine);
void shadow_fini(Shadow *shadow);
/* Shows what the registers say, in one exchange. */
void shadow_update(Shadow *shadow, const uint8_t pam[SHADOW_PAMS], uint8_t smram);
/* What SMRAM reads after @value is written where @old was: a locked register keeps its bits. */
uint8_t shadow_smram_write(uint8_t old, uint8_t value);

#endif
