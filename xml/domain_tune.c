/* domain_tune.c - the tables of <memtune>, <blkiotune>, memory backing, the vCPU list, I/O threads,
 * <cputune> and <numatune> (libvirt formatdomain, schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_tune.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

static const char *const memory_sources[] = { "", "file", "anonymous", "memfd", NULL };
static const char *const accesses[] = { "", "shared", "private", NULL };
static const char *const allocations[] = { "", "immediate", "ondemand", NULL };
static const char *const schedulers[] = { "", "batch", "idle", "fifo", "rr", NULL };
static const char *const numa_modes[] = {
    "", "strict", "preferred", "interleave", "restrictive", NULL,
};
static const char *const placements[] = { "", "static", "auto", NULL };

/* --- memtune, blkiotune ----------------------------------------------------------------------- */

#define LIMIT(name)                                                                                \
    {                                                                                              \
#name, NULL, XML_SIZE, offsetof(DomainMemtune, name), .scale = 1024                        \
    }
static const XmlRow memtune_rows[] = {
    LIMIT(hard_limit),
    LIMIT(soft_limit),
    LIMIT(min_guarantee),
    LIMIT(swap_hard_limit),
};
const XmlType domain_memtune_type = XML_TYPE("memtune", DomainMemtune, memtune_rows);

void
domain_memtune_tidy(DomainMemtune **memtune)
{
    static const size_t limits[] = {
        offsetof(DomainMemtune, hard_limit),
        offsetof(DomainMemtune, soft_limit),
        offsetof(DomainMemtune, min_guarantee),
        offsetof(DomainMemtune, swap_hard_limit),
    };
    DomainMemtune *t = *memtune;
    bool any = false;

    for (size_t i = 0; t && i < G_N_ELEMENTS(limits); i++) {
        uint64_t *limit = (uint64_t *)(void *)((char *)t + limits[i]);

        if (*limit == 0 || *limit >= DOMAIN_MEMORY_UNLIMITED)
            *limit = XML_UNSET;
        any |= *limit != XML_UNSET;
    }
    if (any)
        return;
    xml_type_free(&domain_memtune_type, t);
    *memtune = NULL;
}

#define B(field) offsetof(DomainBlkioDevice, field)
static const XmlRow blkio_device_rows[] = {
    { "path", NULL, XML_STRING, B(path), XML_REQUIRED, .pattern = "/.+",
      .legal = "an absolute path" },
    { "weight", NULL, XML_UINT, B(weight), XML_NOT_ZERO, .max = UINT32_MAX },
    { "read_iops_sec", NULL, XML_UINT, B(read_iops), XML_NOT_ZERO, .max = UINT32_MAX },
    { "write_iops_sec", NULL, XML_UINT, B(write_iops), XML_NOT_ZERO, .max = UINT32_MAX },
    { "read_bytes_sec", NULL, XML_UINT, B(read_bytes), XML_NOT_ZERO, .max = INT64_MAX },
    { "write_bytes_sec", NULL, XML_UINT, B(write_bytes), XML_NOT_ZERO, .max = INT64_MAX },
};
const XmlType domain_blkio_device_type =
    XML_TYPE("blkio-device", DomainBlkioDevice, blkio_device_rows);

static const XmlRow blkiotune_rows[] = {
    { "weight", NULL, XML_UINT, offsetof(DomainBlkiotune, weight), XML_NOT_ZERO,
      .max = UINT32_MAX },
    { "device", NULL, XML_LIST, offsetof(DomainBlkiotune, devices), .max = 1024,
      .type = &domain_blkio_device_type },
};

static bool
blkiotune_check(const void *obj, GError **err)
{
    const DomainBlkiotune *t = obj;

    for (guint i = 0; i < t->devices->len; i++)
        for (guint k = 0; k < i; k++) {
            const DomainBlkioDevice *a = t->devices->pdata[i], *b = t->devices->pdata[k];

            if (strcmp(a->path, b->path) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR, "duplicate blkio device path '%s'",
                                      a->path);
        }
    return true;
}

const XmlType domain_blkiotune_type =
    XML_TYPE("blkiotune", DomainBlkiotune, blkiotune_rows, .check = blkiotune_check);

static bool
says(uint64_t value)
{
    return value != 0 && value != XML_UNSET;
}

void
domain_blkiotune_tidy(DomainBlkiotune **tune)
{
    DomainBlkiotune *t = *tune;

    for (guint i = t ? t->devices->len : 0; i-- > 0;) {
        DomainBlkioDevice *d = t->devices->pdata[i];

        if (says(d->weight) || says(d->read_iops) || says(d->write_iops) || says(d->read_bytes) ||
            says(d->write_bytes))
            continue;
        g_ptr_array_remove_index(t->devices, i);
        xml_type_free(&domain_blkio_device_type, d);
    }
    if (!t || t->devices->len > 0 || says(t->weight))
        return;
    xml_type_free(&domain_blkiotune_type, t);
    *tune = NULL;
}

/* --- backing, vCPUs, I/O threads -------------------------------------------------------------- */

static const XmlRow page_rows[] = {
    { NULL, "size", XML_SIZE, offsetof(DomainHugepage, size), XML_REQUIRED, .min = 1,
      .scale = 1024 },
    { NULL, "nodeset", XML_CPUSET, offsetof(DomainHugepage, nodeset), .max = 127 },
};
static const XmlType page_type = XML_TYPE("hugepage", DomainHugepage, page_rows);

#define M(field) offsetof(DomainMemoryBacking, field)
static const XmlRow backing_rows[] = {
    { "hugepages", NULL, XML_PRESENT, M(hugepages) },
    { "hugepages/page", NULL, XML_LIST, M(pages), .max = 64, .type = &page_type },
    { "nosharepages", NULL, XML_PRESENT, M(nosharepages) },
    { "locked", NULL, XML_PRESENT, M(locked) },
    { "source", "type", XML_ENUM, M(source), XML_REQUIRED, .names = memory_sources },
    { "access", "mode", XML_ENUM, M(access), XML_REQUIRED, .names = accesses },
    { "allocation", "mode", XML_ENUM, M(allocation), .names = allocations },
    { "allocation", "threads", XML_UINT, M(allocation_threads), .min = 1, .max = UINT16_MAX },
    { "discard", NULL, XML_PRESENT, M(discard) },
};
const XmlType domain_memory_backing_type =
    XML_TYPE("memoryBacking", DomainMemoryBacking, backing_rows);

static const XmlRow vcpu_rows[] = {
    { NULL, "id", XML_UINT, offsetof(DomainVcpu, id), XML_REQUIRED | XML_ABI, .max = UINT16_MAX },
    { NULL, "enabled", XML_YESNO, offsetof(DomainVcpu, enabled), XML_REQUIRED | XML_ABI },
    { NULL, "hotpluggable", XML_YESNO, offsetof(DomainVcpu, hotpluggable) },
    { NULL, "order", XML_UINT, offsetof(DomainVcpu, order), .min = 1, .max = UINT16_MAX },
};
const XmlType domain_vcpu_type = XML_TYPE("vcpu-entry", DomainVcpu, vcpu_rows);

static const XmlRow iothread_rows[] = {
    { NULL, "id", XML_UINT, offsetof(DomainIothread, id), XML_REQUIRED, .min = 1,
      .max = UINT32_MAX },
    { NULL, "thread_pool_min", XML_UINT, offsetof(DomainIothread, pool_min), .max = INT32_MAX },
    { NULL, "thread_pool_max", XML_UINT, offsetof(DomainIothread, pool_max), .max = INT32_MAX },
};
const XmlType domain_iothread_type = XML_TYPE("iothread", DomainIothread, iothread_rows);

/* --- cputune ---------------------------------------------------------------------------------- */

static const XmlRow vcpupin_rows[] = {
    { NULL, "vcpu", XML_UINT, offsetof(DomainPin, id), XML_REQUIRED, .max = UINT16_MAX },
    { NULL, "cpuset", XML_CPUSET, offsetof(DomainPin, cpuset), XML_REQUIRED },
};
static const XmlType vcpupin_type = XML_TYPE("vcpupin", DomainPin, vcpupin_rows);

static const XmlRow iothreadpin_rows[] = {
    { NULL, "iothread", XML_UINT, offsetof(DomainPin, id), XML_REQUIRED, .min = 1,
      .max = UINT32_MAX },
    { NULL, "cpuset", XML_CPUSET, offsetof(DomainPin, cpuset), XML_REQUIRED },
};
static const XmlType iothreadpin_type = XML_TYPE("iothreadpin", DomainPin, iothreadpin_rows);

#define S(field) offsetof(DomainSched, field)
#define SCHEDULER                                                                                  \
    {                                                                                              \
        NULL, "scheduler", XML_ENUM, S(scheduler), XML_REQUIRED, .names = schedulers               \
    }
#define PRIORITY                                                                                   \
    {                                                                                              \
        NULL, "priority", XML_UINT, S(priority), XML_REQUIRED, .max = 99,                          \
                                                               .when = XML_WHEN(3) | XML_WHEN(4)   \
    }
static const XmlRow vcpusched_rows[] = {
    { NULL, "vcpus", XML_CPUSET, S(ids) },
    SCHEDULER,
    PRIORITY,
};
static const XmlType vcpusched_type = XML_TYPE("vcpusched", DomainSched, vcpusched_rows,
                                               .selector = XML_SELECTOR(DomainSched, scheduler));
static const XmlRow iothreadsched_rows[] = {
    { NULL, "iothreads", XML_CPUSET, S(ids) },
    SCHEDULER,
    PRIORITY,
};
static const XmlType iothreadsched_type =
    XML_TYPE("iothreadsched", DomainSched, iothreadsched_rows,
             .selector = XML_SELECTOR(DomainSched, scheduler));
static const XmlRow emulatorsched_rows[] = { SCHEDULER, PRIORITY };
static const XmlType emulatorsched_type =
    XML_TYPE("emulatorsched", DomainSched, emulatorsched_rows,
             .selector = XML_SELECTOR(DomainSched, scheduler));

#define T(field) offsetof(DomainCputune, field)
#define PERIOD(name)                                                                               \
    {                                                                                              \
#name, NULL, XML_UINT, T(name), XML_NOT_ZERO, .min = 1000, .max = 1000000                  \
    }
#define QUOTA(name)                                                                                \
    {                                                                                              \
#name, NULL, XML_INT, T(name), .min = (uint64_t)-1, .max = 17592186044415                  \
    }
static const XmlRow cputune_rows[] = {
    { "shares", NULL, XML_UINT, T(shares), .max = UINT32_MAX },
    PERIOD(period),
    QUOTA(quota),
    PERIOD(global_period),
    QUOTA(global_quota),
    PERIOD(emulator_period),
    QUOTA(emulator_quota),
    PERIOD(iothread_period),
    QUOTA(iothread_quota),
    { "vcpupin", NULL, XML_LIST, T(vcpupins), .max = 4096, .type = &vcpupin_type },
    { "emulatorpin", "cpuset", XML_CPUSET, T(emulatorpin), XML_REQUIRED | XML_SINGLE },
    { "iothreadpin", NULL, XML_LIST, T(iothreadpins), .max = 1024, .type = &iothreadpin_type },
    { "emulatorsched", NULL, XML_STRUCT, T(emulatorsched), XML_SINGLE,
      .type = &emulatorsched_type },
    { "vcpusched", NULL, XML_LIST, T(vcpuscheds), .type = &vcpusched_type },
    { "iothreadsched", NULL, XML_LIST, T(iothreadscheds), .type = &iothreadsched_type },
    { "cachetune", NULL, XML_KEPT, T(kept) },
    { "memorytune", NULL, XML_KEPT, T(kept) },
};

static bool
pins_check(const GPtrArray *pins, const char *what, GError **err)
{
    for (guint i = 0; i < pins->len; i++) {
        const DomainPin *a = pins->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainPin *b = pins->pdata[k];

            if (a->id == b->id)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "duplicate %s for the same id %" PRIu64, what, a->id);
        }
    }
    return true;
}

static bool
quota_check(int64_t quota, const char *name, GError **err)
{
    /* What the kernel calls "too little to run at all". */
    if (quota != XML_UNSET_INT && quota > 0 && quota < 1000)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "value of cputune '%s' must be in range "
                              "[1000, 17592186044415] or negative, not %" PRId64,
                              name, quota);
    return true;
}

static bool
cputune_check(const void *obj, GError **err)
{
    const DomainCputune *t = obj;

    return pins_check(t->vcpupins, "vcpupin", err) &&
           pins_check(t->iothreadpins, "iothreadpin", err) && quota_check(t->quota, "quota", err) &&
           quota_check(t->global_quota, "global_quota", err) &&
           quota_check(t->emulator_quota, "emulator_quota", err) &&
           quota_check(t->iothread_quota, "iothread_quota", err);
}

const XmlType domain_cputune_type =
    XML_TYPE("cputune", DomainCputune, cputune_rows, .check = cputune_check);

/* --- numatune --------------------------------------------------------------------------------- */

static const XmlRow memnode_rows[] = {
    { NULL, "cellid", XML_UINT, offsetof(DomainMemnode, cell), XML_REQUIRED, .max = 127 },
    { NULL, "mode", XML_ENUM, offsetof(DomainMemnode, mode), .names = numa_modes,
      .min = DOMAIN_NUMA_STRICT },
    { NULL, "nodeset", XML_CPUSET, offsetof(DomainMemnode, nodeset), XML_REQUIRED, .max = 1023 },
};
static const XmlType memnode_type = XML_TYPE("memnode", DomainMemnode, memnode_rows);

#define N(field) offsetof(DomainNumatune, field)
static const XmlRow numatune_rows[] = {
    { "memory", "mode", XML_ENUM, N(mode), .names = numa_modes },
    { "memory", "nodeset", XML_CPUSET, N(nodeset), .max = 1023 },
    { "memory", "placement", XML_ENUM, N(placement), .names = placements },
    { "memnode", NULL, XML_LIST, N(memnodes), .max = 128, .type = &memnode_type },
};

static bool
numatune_check(const void *obj, GError **err)
{
    const DomainNumatune *n = obj;

    if (n->placement == 1 && !n->nodeset)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<memory placement='static'> needs a 'nodeset'");
    for (guint i = 0; i < n->memnodes->len; i++) {
        const DomainMemnode *a = n->memnodes->pdata[i];

        for (guint k = 0; k < i; k++)
            if (((const DomainMemnode *)n->memnodes->pdata[k])->cell == a->cell)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "more than one <memnode> for cell %" PRIu64, a->cell);
    }
    return true;
}

const XmlType domain_numatune_type =
    XML_TYPE("numatune", DomainNumatune, numatune_rows, .check = numatune_check);
