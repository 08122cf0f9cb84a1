/* caches.h - the host's last-level caches as /sys shows them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_CACHES_H
#define KILN_DRIVER_NODE_CACHES_H

#include <glib.h>
#include <stdint.h>

typedef enum { HOST_CACHE_BOTH, HOST_CACHE_CODE, HOST_CACHE_DATA } HostCacheKind;

typedef struct {
    unsigned id, level;
    HostCacheKind kind;
    uint64_t size_kib;
    char *cpus; /* kernel list of the processors that share it */
} HostCache;

/* Those from level 3 on below @root ("" for the real host), by level, kind and number (array of
 * HostCache *, possibly empty; g_ptr_array_unref() it). Any thread. */
GPtrArray *host_caches_read(const char *root);

#endif
