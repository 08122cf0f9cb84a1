/* cache.h - inside of the qcow2 driver: a bounded cache of slices of tables, written back.
 *
 * A slice is 4 KiB of an L2 table or refcount block (a whole one where clusters are smaller), known
 * by its place in the file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_CACHE_H
#define KILN_BLOCK_QCOW2_CACHE_H

#include "block/qcow2/qcow2.h"

/* @make_room: writes dirty slices in legal order when all are dirty and there is no room. */
Qcow2Cache *qcow2_cache_new(Qcow2 *q, size_t max_bytes, int (*make_room)(Qcow2 *q));
void qcow2_cache_free(Qcow2Cache *cache);
uint32_t qcow2_cache_slice(const Qcow2Cache *cache); /* bytes */

/* The slice at @offset (a multiple of the slice's size), read if need be. It stays until the next
 * call on the cache. Lock held. 0 or -errno. */
int qcow2_cache_get(Qcow2Cache *cache, uint64_t offset, uint8_t **ret);
/* The slice if it is there, else NULL. table_lock or lock held. */
uint8_t *qcow2_cache_peek(Qcow2Cache *cache, uint64_t offset);
/* To be called with the slice changed. Lock held. */
void qcow2_cache_dirty(Qcow2Cache *cache, uint64_t offset);
bool qcow2_cache_is_dirty(const Qcow2Cache *cache);
/* Writes what is dirty, in order of place, without a sync. Lock held. */
int qcow2_cache_write(Qcow2Cache *cache);
/* Drops slices inside [offset, offset + bytes), dirty or not; UINT64_MAX: all. Lock held. */
void qcow2_cache_forget(Qcow2Cache *cache, uint64_t offset, uint64_t bytes);

#endif
