/* ram.h - guest RAM: memory back ends, and where they lie in the guest's address space.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_RAM_H
#define KILN_LAUNCHER_RAM_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "hw/core/memory.h"

enum { RAM_MAX_HOST_NODES = 1024 };

/* One -object memory-backend-*: a shared memfd, mapped once. */
typedef struct {
    char *id;
    uint64_t size, page_size; /* bytes */
    int fd;
    uint8_t *host;
    bool prealloc, used;
    int policy; /* MPOL_* of mbind(2) */
    unsigned long host_nodes[RAM_MAX_HOST_NODES / (8 * sizeof(unsigned long))];
} RamBackend;

typedef struct {
    GPtrArray *backends;         /* of RamBackend, owned */
    GPtrArray *order;            /* those in use, from guest address 0 upwards; not owned */
    uint64_t below_4g, above_4g; /* bytes */
} Ram;

Ram *ram_new(void);
void ram_free(Ram *ram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ram, ram_free)

/* Reads one memory-backend object; nothing is allocated yet. Refuses by name what it does not know.
 */
bool ram_add_backend(Ram *ram, JsonObject *object, GError **err);

/* Takes backend @id into use behind those before it, or a plain one of @size bytes when @id is
 * NULL. Returns its size, 0 with @err when there is none of that name or it is in use. */
uint64_t ram_use(Ram *ram, const char *id, uint64_t size, GError **err);

/* Makes, binds, maps and preallocates what is in use; tells @memory where it lies: up to @low_max
 * bytes from 0, the rest from 4 GiB. @lock: mlock it. Main thread. */
bool ram_map(Ram *ram, uint64_t low_max, bool lock, GuestMemory *memory, GError **err);

#endif
