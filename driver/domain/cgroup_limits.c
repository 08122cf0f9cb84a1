/* cgroup_limits.c - memory and block I/O of guests.
 *
 * Linux Documentation/admin-guide/cgroup-v2.rst (memory.max, memory.high, memory.swap.max, io.max,
 * io.weight), block/bfq-iosched.rst, cgroup-v1/memory.rst and cgroup-v1/blkio-controller.rst.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/cgroup_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "util/error.h"
#include "xml/xmltab.h"

/* --- memory ----------------------------------------------------------------------------------- */

static bool
put_kib(Cgroup *group, const char *file, uint64_t kib, GError **err)
{
    g_autofree char *text = kib != XML_UNSET ? g_strdup_printf("%" G_GUINT64_FORMAT, kib * 1024)
                                             : g_strdup(group->v2 ? "max" : "-1");

    return cgroup_put(group->dir[CGROUP_MEMORY], file, text, err);
}

/* The second version counts swap alone. */
static uint64_t
swap_alone(const CgroupMemory *memory)
{
    if (memory->swap_hard == XML_UNSET || memory->hard == XML_UNSET)
        return memory->swap_hard;
    return memory->swap_hard - MIN(memory->hard, memory->swap_hard);
}

static bool
set_memory_v2(Cgroup *group, const CgroupMemory *before, const CgroupMemory *now, GError **err)
{
    return (before->soft == now->soft || put_kib(group, "memory.high", now->soft, err)) &&
           (swap_alone(before) == swap_alone(now) ||
            put_kib(group, "memory.swap.max", swap_alone(now), err)) &&
           (before->hard == now->hard || put_kib(group, "memory.max", now->hard, err));
}

/* The first version has the limit of memory at or below that of memory and swap at every moment. */
static bool
set_memory_v1(Cgroup *group, const CgroupMemory *before, const CgroupMemory *now, GError **err)
{
    bool hard = before->hard != now->hard, lower = now->hard < before->hard;

    return (before->soft == now->soft ||
            put_kib(group, "memory.soft_limit_in_bytes", now->soft, err)) &&
           (!hard || !lower || put_kib(group, "memory.limit_in_bytes", now->hard, err)) &&
           (before->swap_hard == now->swap_hard ||
            put_kib(group, "memory.memsw.limit_in_bytes", now->swap_hard, err)) &&
           (!hard || lower || put_kib(group, "memory.limit_in_bytes", now->hard, err));
}

bool
cgroup_set_memory(Cgroup *group, const CgroupMemory *before, const CgroupMemory *now, GError **err)
{
    return cgroup_need(group, CGROUP_MEMORY, "<memtune>", err) &&
           (group->v2 ? set_memory_v2 : set_memory_v1)(group, before, now, err);
}

/* --- block I/O -------------------------------------------------------------------------------- */

/* Where and how the kernel takes weights: BFQ's file, or that of the scheduler built in. */
typedef struct {
    const char *file, *before; /* @before: the word in front of the number */
} WeightFile;

static const WeightFile *
weight_file(const Cgroup *group, GError **err)
{
    static const WeightFile files[2][2] = {
        { { "blkio.bfq.weight", "" }, { "blkio.weight", "" } },
        { { "io.bfq.weight", "" }, { "io.weight", "default " } },
    };

    for (int i = 0; i < 2; i++) {
        g_autofree char *path =
            g_build_filename(group->dir[CGROUP_BLKIO], files[group->v2][i].file, NULL);

        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return &files[group->v2][i];
    }
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "blkio weight is valid only for bfq or cfq scheduler, and the kernel offers "
                   "neither to '%s'",
                   group->dir[CGROUP_BLKIO]);
    return NULL;
}

bool
cgroup_set_io_weight(Cgroup *group, uint64_t weight, GError **err)
{
    const WeightFile *where;
    g_autofree char *text = NULL;

    if (!cgroup_need(group, CGROUP_BLKIO, "<blkiotune>", err) || !(where = weight_file(group, err)))
        return false;
    text = g_strdup_printf("%s%" G_GUINT64_FORMAT, where->before, weight);
    return cgroup_put(group->dir[CGROUP_BLKIO], where->file, text, err);
}

bool
cgroup_get_io_weight(Cgroup *group, uint64_t *ret, GError **err)
{
    const WeightFile *where;
    g_autofree char *text = NULL;
    const char *number;

    if (!cgroup_need(group, CGROUP_BLKIO, "a weight of block I/O", err) ||
        !(where = weight_file(group, err)))
        return false;
    text = cgroup_get(group->dir[CGROUP_BLKIO], where->file);
    number = text && g_str_has_prefix(text, "default ") ? text + strlen("default ") : text;
    if (!number || !g_ascii_isdigit(*number))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "'%s' of '%s' holds no weight",
                              where->file, group->dir[CGROUP_BLKIO]);
    *ret = g_ascii_strtoull(number, NULL, 10);
    return true;
}

/* "8:0", as the kernel names it. */
static char *
device_number(const char *path, GError **err)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "Path '%s' is not accessible", path);
        return NULL;
    }
    if (!S_ISBLK(st.st_mode)) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, EINVAL, "Path '%s' must be a block device",
                             path);
        return NULL;
    }
    return g_strdup_printf("%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

static bool
set_device_weight(Cgroup *group, const char *device, uint64_t weight, GError **err)
{
    const char *file = group->v2 ? "io.weight" : "blkio.weight_device";
    g_autofree char *path = g_build_filename(group->dir[CGROUP_BLKIO], file, NULL);
    g_autofree char *text = weight ? g_strdup_printf("%s %" G_GUINT64_FORMAT, device, weight)
                                   : g_strdup_printf("%s %s", device, group->v2 ? "default" : "0");

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "blkio device weight is valid only for cfq scheduler, and there is no "
            "'%s'",
            path);
    return cgroup_put(group->dir[CGROUP_BLKIO], file, text, err);
}

bool
cgroup_set_io_limit(Cgroup *group, const char *path, CgroupIoLimit limit, uint64_t value,
                    GError **err)
{
    static const struct {
        const char *v1, *v2;
    } names[] = {
        [CGROUP_IO_READ_IOPS] = { "blkio.throttle.read_iops_device", "riops" },
        [CGROUP_IO_WRITE_IOPS] = { "blkio.throttle.write_iops_device", "wiops" },
        [CGROUP_IO_READ_BYTES] = { "blkio.throttle.read_bps_device", "rbps" },
        [CGROUP_IO_WRITE_BYTES] = { "blkio.throttle.write_bps_device", "wbps" },
    };
    g_autofree char *device = NULL, *text = NULL;

    if (!cgroup_need(group, CGROUP_BLKIO, "<blkiotune>", err) ||
        !(device = device_number(path, err)))
        return false;
    if (limit == CGROUP_IO_WEIGHT)
        return set_device_weight(group, device, value, err);
    if (!group->v2)
        text = g_strdup_printf("%s %" G_GUINT64_FORMAT, device, value);
    else if (value)
        text = g_strdup_printf("%s %s=%" G_GUINT64_FORMAT, device, names[limit].v2, value);
    else
        text = g_strdup_printf("%s %s=max", device, names[limit].v2);
    return cgroup_put(group->dir[CGROUP_BLKIO], group->v2 ? "io.max" : names[limit].v1, text, err);
}
