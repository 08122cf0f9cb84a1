/* dirty_rate.h - how fast a guest writes to its memory.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_DIRTY_RATE_H
#define KILN_LAUNCHER_DIRTY_RATE_H

#include "hw/core/memory.h"

/* One measurement, in the default main context. */
typedef struct DirtyRate DirtyRate;

/* Takes @per_gib pages of each GiB and looks at them again after @seconds. @memory, and its
 * stretches, must live as long. Main thread. */
DirtyRate *dirty_rate_new(const GuestMemory *memory, uint64_t seconds, uint64_t per_gib);
/* Ends it. NULL is accepted. */
void dirty_rate_free(DirtyRate *rate);

#endif
