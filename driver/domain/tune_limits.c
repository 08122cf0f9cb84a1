/* tune_limits.c - how much memory and block I/O of the host a guest may use: <memtune>,
 * <blkiotune>, virDomainGetMemoryParameters, virDomainSetBlkioParameters and their counterparts.
 *
 * libvirt formatdomain "Memory Tuning" and "Block I/O Tuning".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/tune.h"
#include "util/error.h"

static bool
can_tune(Domain *domain, const char *what, GError **err)
{
    return domain->manager->privileged ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "%s tuning is not available in session mode", what);
}

/* --- memory ----------------------------------------------------------------------------------- */

static const CgroupMemory unlimited = { XML_UNSET, XML_UNSET, XML_UNSET };

static CgroupMemory
memory_of(const DomainMemtune *t)
{
    return t ? (CgroupMemory){ t->hard_limit, t->soft_limit, t->swap_hard_limit } : unlimited;
}

static bool
has_memory(Domain *domain, GError **err)
{
    return cgroup_host_has(domain->manager->cgroups, CGROUP_MEMORY) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "cgroup memory controller is not mounted, or not this daemon's to use");
}

bool
domain_memory_limits(Domain *domain, unsigned flags, DomainMemoryLimits *ret, GError **err)
{
    CgroupMemory memory = unlimited;
    const DomainDef *def;
    bool live;

    if (!can_tune(domain, "Memory", err))
        return false;
    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    live = def && def == domain->live;
    if (def)
        memory = memory_of(def->memtune);
    g_mutex_unlock(&domain->lock);
    if (!def || (live && !has_memory(domain, err)))
        return false;
    *ret = (DomainMemoryLimits){ MIN(memory.hard, DOMAIN_MEMORY_UNLIMITED),
                                 MIN(memory.soft, DOMAIN_MEMORY_UNLIMITED),
                                 MIN(memory.swap_hard, DOMAIN_MEMORY_UNLIMITED) };
    return true;
}

static bool
memory_note(DomainDef *def, const DomainMemoryLimits *wanted, GError **err)
{
    DomainMemtune *t =
        def->memtune ? def->memtune : (def->memtune = xml_type_new(&domain_memtune_type));

    if (wanted->hard != XML_UNSET)
        t->hard_limit = wanted->hard;
    if (wanted->soft != XML_UNSET)
        t->soft_limit = wanted->soft;
    if (wanted->swap_hard != XML_UNSET)
        t->swap_hard_limit = wanted->swap_hard;
    /* what is absent is the largest number there is */
    if ((wanted->hard != XML_UNSET || wanted->swap_hard != XML_UNSET) &&
        MIN(t->hard_limit, DOMAIN_MEMORY_UNLIMITED) >
            MIN(t->swap_hard_limit, DOMAIN_MEMORY_UNLIMITED))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "memory hard_limit tunable value must be lower than or equal to "
                              "swap_hard_limit");
    domain_memtune_tidy(&def->memtune);
    return true;
}

static bool
memory_note_config(DomainDef *config, const DomainDef *live, void *wanted, GError **err)
{
    (void)live;
    return memory_note(config, wanted, err);
}

static bool
memory_apply(DomainRun *run, DomainDef *live, void *wanted, GError **err)
{
    CgroupMemory before = memory_of(live->memtune), now;

    if (!has_memory(run->domain, err) || !memory_note(live, wanted, err))
        return false;
    now = memory_of(live->memtune);
    return cgroup_set_memory(run->cgroup, &before, &now, err);
}

static const DomainTuning memory_change = { "memory limits", memory_note_config, memory_apply,
                                            NULL };

bool
domain_set_memory_limits(Domain *domain, const DomainMemoryLimits *wanted, unsigned flags,
                         GError **err)
{
    const uint64_t values[] = { wanted->hard, wanted->soft, wanted->swap_hard };

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++)
        if (values[i] != XML_UNSET && values[i] > DOMAIN_MEMORY_UNLIMITED)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "Memory '%" G_GUINT64_FORMAT
                                  "' must be less than %" G_GUINT64_FORMAT,
                                  values[i], DOMAIN_MEMORY_UNLIMITED);
    return can_tune(domain, "Memory", err) &&
           domain_tune(domain, &memory_change, (void *)wanted, flags, err);
}

/* --- block I/O -------------------------------------------------------------------------------- */

static const size_t blkio_offsets[DOMAIN_BLKIO_LIMITS] = {
    [CGROUP_IO_WEIGHT] = offsetof(DomainBlkioDevice, weight),
    [CGROUP_IO_READ_IOPS] = offsetof(DomainBlkioDevice, read_iops),
    [CGROUP_IO_WRITE_IOPS] = offsetof(DomainBlkioDevice, write_iops),
    [CGROUP_IO_READ_BYTES] = offsetof(DomainBlkioDevice, read_bytes),
    [CGROUP_IO_WRITE_BYTES] = offsetof(DomainBlkioDevice, write_bytes),
};
static const char *const blkio_names[DOMAIN_BLKIO_LIMITS] = {
    [CGROUP_IO_WEIGHT] = VIR_DOMAIN_BLKIO_DEVICE_WEIGHT,
    [CGROUP_IO_READ_IOPS] = VIR_DOMAIN_BLKIO_DEVICE_READ_IOPS,
    [CGROUP_IO_WRITE_IOPS] = VIR_DOMAIN_BLKIO_DEVICE_WRITE_IOPS,
    [CGROUP_IO_READ_BYTES] = VIR_DOMAIN_BLKIO_DEVICE_READ_BPS,
    [CGROUP_IO_WRITE_BYTES] = VIR_DOMAIN_BLKIO_DEVICE_WRITE_BPS,
};
G_STATIC_ASSERT((int)CGROUP_IO_LIMITS == (int)DOMAIN_BLKIO_LIMITS);

static uint64_t *
blkio_field(DomainBlkioDevice *device, int limit)
{
    return (uint64_t *)(void *)((char *)device + blkio_offsets[limit]);
}

static DomainBlkioDevice *
blkio_device(DomainBlkiotune *tune, const char *path)
{
    for (guint i = 0; i < tune->devices->len; i++) {
        DomainBlkioDevice *device = tune->devices->pdata[i];

        if (strcmp(device->path, path) == 0)
            return device;
    }
    return NULL;
}

static char *
blkio_text(const DomainBlkiotune *tune, int limit)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; tune && i < tune->devices->len; i++) {
        DomainBlkioDevice *device = tune->devices->pdata[i];
        uint64_t value = *blkio_field(device, limit);

        if (value != XML_UNSET && value != 0)
            g_string_append_printf(text, "%s%s,%" G_GUINT64_FORMAT, text->len ? "," : "",
                                   device->path, value);
    }
    return g_string_free(text, FALSE);
}

static bool
has_blkio(Domain *domain, GError **err)
{
    return cgroup_host_has(domain->manager->cgroups, CGROUP_BLKIO) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "blkio cgroup isn't mounted, or not this daemon's to use");
}

bool
domain_blkio(Domain *domain, unsigned flags, DomainBlkio *ret, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    const DomainDef *def;
    DomainBlkiotune *tune = NULL;

    if (!can_tune(domain, "Block I/O", err))
        return false;
    g_mutex_lock(&domain->lock);
    def = domain_impact_def(domain, flags, err);
    if (def && def == domain->live)
        run = domain_run_ref(domain->run);
    if (def && def->blkiotune)
        tune = xml_type_copy(&domain_blkiotune_type, def->blkiotune);
    g_mutex_unlock(&domain->lock);
    *ret = (DomainBlkio){ .weight = tune && tune->weight != XML_UNSET ? tune->weight : 0 };
    if (!def || (run && (!has_blkio(domain, err) ||
                         !cgroup_get_io_weight(run->cgroup, &ret->weight, err)))) {
        xml_type_free(&domain_blkiotune_type, tune);
        return false;
    }
    for (int i = 0; i < DOMAIN_BLKIO_LIMITS; i++)
        ret->devices[i] = blkio_text(tune, i);
    xml_type_free(&domain_blkiotune_type, tune);
    return true;
}

typedef struct {
    int limit; /* CgroupIoLimit */
    char *path;
    uint64_t value;
} BlkioChange;

typedef struct {
    uint64_t weight;
    GArray *changes; /* BlkioChange, its paths borrowed from @texts */
    GPtrArray *texts;
} WantedBlkio;

static bool
wanted_take(WantedBlkio *wanted, int limit, const char *text, GError **err)
{
    char **words = g_strsplit(text, ",", -1);
    guint n = g_strv_length(words);

    g_ptr_array_add(wanted->texts, words);
    if (n % 2 != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unable to parse blkio device '%s' '%s'",
                              blkio_names[limit], text);
    for (guint i = 0; i < n; i += 2) {
        BlkioChange change = { limit, words[i], 0 };
        uint64_t most = limit < CGROUP_IO_READ_BYTES ? UINT32_MAX : INT64_MAX;

        if (*words[i] != '/')
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "unable to parse blkio device '%s' '%s'", blkio_names[limit],
                                  text);
        if (!g_ascii_string_to_unsigned(words[i + 1], 10, 0, most, &change.value, NULL))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "invalid value '%s' for parameter '%s' of device '%s'",
                                  words[i + 1], blkio_names[limit], words[i]);
        g_array_append_val(wanted->changes, change);
    }
    return true;
}

static bool
blkio_note(DomainDef *def, const WantedBlkio *wanted, GError **err)
{
    DomainBlkiotune *tune =
        def->blkiotune ? def->blkiotune : (def->blkiotune = xml_type_new(&domain_blkiotune_type));

    if (wanted->weight != XML_UNSET)
        tune->weight = wanted->weight ? wanted->weight : XML_UNSET;
    for (guint i = 0; i < wanted->changes->len; i++) {
        const BlkioChange *change = &g_array_index(wanted->changes, BlkioChange, i);
        DomainBlkioDevice *device = blkio_device(tune, change->path);

        if (!device) {
            device = xml_type_new(&domain_blkio_device_type);
            device->path = g_strdup(change->path);
            g_ptr_array_add(tune->devices, device);
        }
        *blkio_field(device, change->limit) = change->value ? change->value : XML_UNSET;
    }
    domain_blkiotune_tidy(&def->blkiotune);
    return !def->blkiotune || xml_type_check(&domain_blkiotune_type, def->blkiotune, err);
}

static bool
blkio_note_config(DomainDef *config, const DomainDef *live, void *wanted, GError **err)
{
    (void)live;
    return blkio_note(config, wanted, err);
}

/* What the guest had before the first @n changes. */
static void
blkio_take_back(DomainRun *run, const DomainDef *live, const WantedBlkio *wanted, guint n)
{
    for (guint i = 0; i < n; i++) {
        const BlkioChange *change = &g_array_index(wanted->changes, BlkioChange, i);
        DomainBlkioDevice *device =
            live->blkiotune ? blkio_device(live->blkiotune, change->path) : NULL;
        uint64_t value = device ? *blkio_field(device, change->limit) : XML_UNSET;

        cgroup_set_io_limit(run->cgroup, change->path, change->limit,
                            value == XML_UNSET ? 0 : value, NULL);
    }
}

static bool
blkio_apply(DomainRun *run, DomainDef *live, void *opaque, GError **err)
{
    const WantedBlkio *wanted = opaque;

    if (!has_blkio(run->domain, err))
        return false;
    for (guint i = 0; i < wanted->changes->len; i++) {
        const BlkioChange *change = &g_array_index(wanted->changes, BlkioChange, i);

        if (!cgroup_set_io_limit(run->cgroup, change->path, change->limit, change->value, err)) {
            blkio_take_back(run, live, wanted, i);
            return false;
        }
    }
    if (wanted->weight != XML_UNSET && !cgroup_set_io_weight(run->cgroup, wanted->weight, err)) {
        blkio_take_back(run, live, wanted, wanted->changes->len);
        return false;
    }
    return blkio_note(live, wanted, err);
}

static const DomainTuning blkio_change = { "block I/O limits", blkio_note_config, blkio_apply,
                                           NULL };

bool
domain_set_blkio(Domain *domain, const DomainBlkio *wanted, unsigned flags, GError **err)
{
    WantedBlkio parsed = { wanted->weight, g_array_new(FALSE, FALSE, sizeof(BlkioChange)),
                           g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev) };
    bool ok = can_tune(domain, "Block I/O", err);

    for (int i = 0; ok && i < DOMAIN_BLKIO_LIMITS; i++)
        ok = !wanted->devices[i] || wanted_take(&parsed, i, wanted->devices[i], err);
    ok = ok && domain_tune(domain, &blkio_change, &parsed, flags, err);
    g_array_free(parsed.changes, TRUE);
    g_ptr_array_free(parsed.texts, TRUE);
    return ok;
}

/* --- at start --------------------------------------------------------------------------------- */

bool
domain_tune_resources(DomainRun *run, const DomainDef *def, GError **err)
{
    const DomainBlkiotune *tune = def->blkiotune;

    if (def->memtune) {
        CgroupMemory now = memory_of(def->memtune);

        if (!cgroup_set_memory(run->cgroup, &unlimited, &now, err))
            return false;
    }
    if (tune && tune->weight != XML_UNSET && !cgroup_set_io_weight(run->cgroup, tune->weight, err))
        return false;
    for (guint i = 0; tune && i < tune->devices->len; i++) {
        DomainBlkioDevice *device = tune->devices->pdata[i];

        for (int k = 0; k < DOMAIN_BLKIO_LIMITS; k++) {
            uint64_t value = *blkio_field(device, k);

            if (value != XML_UNSET &&
                !cgroup_set_io_limit(run->cgroup, device->path, k, value, err))
                return false;
        }
    }
    return true;
}
