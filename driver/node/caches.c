/* caches.c - the host's last-level caches. See caches.h.
 *
 * Linux: Documentation/ABI/testing/sysfs-devices-system-cpu, cpu*\/cache/index*.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/caches.h"

#include <stdbool.h>
#include <string.h>

#include "driver/node/sysfs.h"

#define CPU_DIR "/sys/devices/system/cpu"

enum { LEVEL_MIN = 3, INDEX_MAX = 16 };

static void
cache_free(gpointer data)
{
    HostCache *cache = data;

    g_free(cache->cpus);
    g_free(cache);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostCache, cache_free)

static bool
cache_read_kind(HostCache *cache, const char *root, const char *dir)
{
    g_autofree char *type = sysfs_read(root, "%s/type", dir);

    if (g_strcmp0(type, "Unified") == 0)
        cache->kind = HOST_CACHE_BOTH;
    else if (g_strcmp0(type, "Instruction") == 0)
        cache->kind = HOST_CACHE_CODE;
    else if (g_strcmp0(type, "Data") == 0)
        cache->kind = HOST_CACHE_DATA;
    else
        return false;
    return true;
}

/* NULL for what is too near to a processor, or not whole. */
static HostCache *
cache_read(const char *root, const char *dir)
{
    g_autoptr(HostCache) cache = g_new0(HostCache, 1);
    g_autofree char *size = sysfs_read(root, "%s/size", dir);
    uint64_t level, id;
    char *unit;

    if (!size || !sysfs_read_uint(&level, root, "%s/level", dir) || level < LEVEL_MIN ||
        !sysfs_read_uint(&id, root, "%s/id", dir) || !cache_read_kind(cache, root, dir))
        return NULL;
    cache->level = (unsigned)level;
    cache->id = (unsigned)id;
    cache->size_kib = g_ascii_strtoull(size, &unit, 10);
    cache->cpus = sysfs_read(root, "%s/shared_cpu_list", dir);
    if (strcmp(unit, "K") != 0 || !cache->size_kib || !cache->cpus)
        return NULL;
    return g_steal_pointer(&cache);
}

static gint
cache_compare(gconstpointer a, gconstpointer b)
{
    const HostCache *x = *(HostCache *const *)a, *y = *(HostCache *const *)b;

    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool
caches_have(const GPtrArray *caches, const HostCache *cache)
{
    for (guint i = 0; i < caches->len; i++)
        if (cache_compare(&caches->pdata[i], &cache) == 0)
            return true;
    return false;
}

GPtrArray *
host_caches_read(const char *root)
{
    GPtrArray *caches = g_ptr_array_new_with_free_func(cache_free);
    g_autofree char *online = sysfs_read(root, CPU_DIR "/online");
    g_autoptr(GArray) cpus = sysfs_parse_list(online);

    for (guint i = 0; i < cpus->len; i++) {
        for (unsigned index = 0; index < INDEX_MAX; index++) {
            g_autofree char *dir = g_strdup_printf(CPU_DIR "/cpu%u/cache/index%u",
                                                   g_array_index(cpus, unsigned, i), index);
            g_autoptr(HostCache) cache = NULL;

            if (!sysfs_exists(root, "%s", dir))
                break;
            cache = cache_read(root, dir);
            if (cache && !caches_have(caches, cache))
                g_ptr_array_add(caches, g_steal_pointer(&cache));
        }
    }
    g_ptr_array_sort(caches, cache_compare);
    return caches;
}
