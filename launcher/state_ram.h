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
    uint64_t goal;      /* of them this round is about */
    uint64_t done;      /* of those looked at, or loaded */
    uint64_t duplicate; /* pages that hold zeroes */
    uint64_t normal;    /* pages in the stream */
} StateRamProgress;

/* Writes what is not zero, in sections; failures are the writer's. vCPUs and devices stand still.
 */
void state_ram_save(StateWriter *writer, const GuestMemory *memory, StateRamProgress *progress);

/* The same while the guest may run: what it writes meanwhile has to be sent again. */
typedef struct {
    uint64_t *const *pages; /* only those in these bitmaps, zeroes too; a bitmap for each stretch as
                             * guest_memory_log_take() fills it. NULL: what is not zero */
    /* Called between sections; NULL: nothing to do there. */
    void (*pace)(void *opaque, const StateWriter *writer);
    void *opaque;
} StateRamRound;
void state_ram_send(StateWriter *writer, const GuestMemory *memory, const StateRamRound *round,
                    StateRamProgress *progress);

/* Reads one section into RAM, which holds zeroes where nothing was loaded yet. */
bool state_ram_load(StateReader *reader, GuestMemory *memory, StateRamProgress *progress,
                    GError **err);

#endif
