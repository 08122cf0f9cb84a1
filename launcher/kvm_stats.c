/* kvm_stats.c - the counters that KVM keeps. See kvm_stats.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/kvm_stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/error.h"

enum { NAME_MAX_BYTES = 1024, STATS_MAX = 4096, VALUES_MAX = 1024 };

static void
stat_free(gpointer data)
{
    KvmStat *stat = data;

    g_free(stat->name);
    g_free(stat->values);
    g_free(stat);
}

int
kvm_stats_open(int fd)
{
    return ioctl(fd, KVM_GET_STATS_FD, NULL);
}

static bool
read_whole(int fd, void *data, size_t size, uint64_t offset, GError **err)
{
    ssize_t got = pread(fd, data, size, (off_t)offset);

    if (got < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot read KVM's counters");
    return (size_t)got == size ||
           kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                          "KVM's counters end after %zd of %zu bytes at %" G_GUINT64_FORMAT, got,
                          size, offset);
}

static KvmStat *
stat_read(int fd, const struct kvm_stats_header *header, const struct kvm_stats_desc *desc,
          GError **err)
{
    KvmStat *stat = g_new0(KvmStat, 1);
    bool ok;

    stat->name = g_strndup(desc->name, header->name_size);
    stat->kind = desc->flags & KVM_STATS_TYPE_MASK;
    stat->unit = desc->flags & KVM_STATS_UNIT_MASK;
    stat->base = desc->flags & KVM_STATS_BASE_MASK;
    stat->exponent = desc->exponent;
    stat->bucket_size = desc->bucket_size;
    stat->n_values = desc->size;
    stat->values = g_new0(uint64_t, desc->size);
    ok = (desc->size <= VALUES_MAX ||
          kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "KVM's counter '%s' has %u values, above %d",
                         stat->name, desc->size, VALUES_MAX)) &&
         read_whole(fd, stat->values, desc->size * sizeof(uint64_t),
                    (uint64_t)header->data_offset + desc->offset, err);
    if (!ok)
        g_clear_pointer(&stat, stat_free);
    return stat;
}

GPtrArray *
kvm_stats_read(int fd, GError **err)
{
    g_autoptr(GPtrArray) stats = g_ptr_array_new_with_free_func(stat_free);
    struct kvm_stats_header header;
    g_autofree uint8_t *table = NULL;
    size_t step;

    if (fd < 0) {
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                       "this host's KVM does not give its counters (KVM_CAP_BINARY_STATS_FD)");
        return NULL;
    }
    if (!read_whole(fd, &header, sizeof(header), 0, err))
        return NULL;
    if (header.name_size == 0 || header.name_size > NAME_MAX_BYTES || header.num_desc > STATS_MAX) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                       "KVM tells of %u counters with names of %u bytes, above %d or %d",
                       header.num_desc, header.name_size, STATS_MAX, NAME_MAX_BYTES);
        return NULL;
    }
    /* a multiple of 8, as names are padded */
    step = sizeof(struct kvm_stats_desc) + header.name_size;
    table = g_malloc0(step * header.num_desc);
    if (!read_whole(fd, table, step * header.num_desc, header.desc_offset, err))
        return NULL;
    for (unsigned i = 0; i < header.num_desc; i++) {
        const struct kvm_stats_desc *desc = (const void *)(table + i * step);
        KvmStat *stat = stat_read(fd, &header, desc, err);

        if (!stat)
            return NULL;
        g_ptr_array_add(stats, stat);
    }
    return g_steal_pointer(&stats);
}
