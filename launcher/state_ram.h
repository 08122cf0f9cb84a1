/* state_ram.h - guest RAM in the stream of a saved guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_STATE_RAM_H
#define KILN_LAUNCHER_STATE_RAM_H

#include "hw/core/memory.h"
#include "launcher/state_stream.h"

/* Read by other threads while RAM is saved or loaded: atomic. */
typedef struct {
    uint64_t total;     /* bytes of RAM */
    uint64_t done;      /* of them looked at, or loaded */
    uint64_t duplicate; /* pages that hold zeroes */
    uint64_t normal;    /* pages in the stream */
} StateRamProgress;

/* Writes what is not zero, in sections; failures are the writer's. vCPUs and devices stand still.
 */
void state_ram_save(StateWriter *writer, const GuestMemory *memory, StateRamProgress *progress);

/* Reads one section into RAM, which holds zeroes where nothing was loaded yet. */
bool state_ram_load(StateReader *reader, GuestMemory *memory, StateRamProgress *progress,
                    GError **err);

#endif
