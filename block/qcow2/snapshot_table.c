/* snapshot_table.c - the table of internal snapshots of a qcow2 image, from and to bytes.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Snapshots".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/snapshot_table.h"

#include <errno.h>
#include <string.h>

#include "block/numbers.h"

enum {
    AT_L1_OFFSET = 0,
    AT_L1_SIZE = 8,
    AT_ID_LENGTH = 12,
    AT_NAME_LENGTH = 14,
    AT_SECONDS = 16,
    AT_NANOSECONDS = 20,
    AT_CLOCK = 24,
    AT_STATE_SIZE_32 = 32,
    AT_EXTRA_SIZE = 36,
    FIXED = 40,

    EXTRA_STATE_SIZE = 0,
    EXTRA_DISK_SIZE = 8,
    EXTRA_ICOUNT = 16,
    EXTRA_KNOWN = 24,
};

void
qcow2_snapshot_free(Qcow2Snapshot *s)
{
    if (!s)
        return;
    g_free(s->id);
    g_free(s->name);
    g_clear_pointer(&s->unknown, g_bytes_unref);
    g_free(s);
}

static void
extra_parse(Qcow2Snapshot *s, const uint8_t *extra)
{
    if (s->extra_size >= EXTRA_STATE_SIZE + 8)
        s->vm_state_size = be64(extra + EXTRA_STATE_SIZE);
    if (s->extra_size >= EXTRA_DISK_SIZE + 8)
        s->disk_size = be64(extra + EXTRA_DISK_SIZE);
    if (s->extra_size >= EXTRA_ICOUNT + 8)
        s->icount = be64(extra + EXTRA_ICOUNT);
    if (s->extra_size > EXTRA_KNOWN)
        s->unknown = g_bytes_new(extra + EXTRA_KNOWN, s->extra_size - EXTRA_KNOWN);
}

static int
entry_read(BlockNode *file, uint64_t offset, uint64_t disk_size, Qcow2Snapshot **ret,
           uint64_t *ret_bytes)
{
    uint8_t fixed[FIXED];
    g_autofree uint8_t *rest = NULL;
    g_autoptr(Qcow2Snapshot) s = g_new0(Qcow2Snapshot, 1);
    size_t id_length, name_length;
    int r = block_node_pread(file, offset, fixed, sizeof(fixed));

    if (r < 0)
        return r;
    s->l1_offset = be64(fixed + AT_L1_OFFSET);
    s->l1_size = be32(fixed + AT_L1_SIZE);
    id_length = be16(fixed + AT_ID_LENGTH);
    name_length = be16(fixed + AT_NAME_LENGTH);
    s->date_sec = be32(fixed + AT_SECONDS);
    s->date_nsec = be32(fixed + AT_NANOSECONDS);
    s->vm_clock_nsec = be64(fixed + AT_CLOCK);
    s->vm_state_size = be32(fixed + AT_STATE_SIZE_32);
    s->extra_size = be32(fixed + AT_EXTRA_SIZE);
    s->disk_size = disk_size;
    s->icount = UINT64_MAX;
    if (s->extra_size > QCOW2_SNAPSHOT_EXTRA_MAX)
        return -EINVAL;
    rest = g_malloc(s->extra_size + id_length + name_length + 1);
    r = block_node_pread(file, offset + FIXED, rest, s->extra_size + id_length + name_length);
    if (r < 0)
        return r;
    extra_parse(s, rest);
    s->id = g_strndup((char *)rest + s->extra_size, id_length);
    s->name = g_strndup((char *)rest + s->extra_size + id_length, name_length);
    *ret_bytes = (FIXED + s->extra_size + id_length + name_length + 7) / 8 * 8;
    *ret = g_steal_pointer(&s);
    return 0;
}

int
qcow2_snapshot_table_read(BlockNode *file, uint64_t offset, uint32_t count, uint64_t disk_size,
                          GPtrArray **ret, uint64_t *ret_bytes)
{
    uint64_t at = 0;
    int r = count > QCOW2_SNAPSHOTS_MAX ? -EINVAL : 0;

    *ret = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_snapshot_free);
    for (uint32_t i = 0; i < MIN(count, (uint32_t)QCOW2_SNAPSHOTS_MAX); i++) {
        Qcow2Snapshot *s = NULL;
        uint64_t bytes = 0;
        int failed = entry_read(file, offset + at, disk_size, &s, &bytes);

        if (failed == 0 && at + bytes > QCOW2_SNAPSHOT_TABLE_MAX) {
            qcow2_snapshot_free(s);
            failed = -EINVAL;
        }
        if (failed < 0) {
            r = failed;
            break;
        }
        g_ptr_array_add(*ret, s);
        at += bytes;
    }
    *ret_bytes = at;
    return r;
}

GByteArray *
qcow2_snapshot_table_format(const GPtrArray *table)
{
    GByteArray *out = g_byte_array_new();

    for (guint i = 0; i < table->len; i++) {
        const Qcow2Snapshot *s = table->pdata[i];
        size_t unknown = 0, id_length = strlen(s->id), name_length = strlen(s->name);
        const void *more = s->unknown ? g_bytes_get_data(s->unknown, &unknown) : NULL;
        uint8_t fixed[FIXED + EXTRA_KNOWN], padding[8] = { 0 };

        put_be64(fixed + AT_L1_OFFSET, s->l1_offset);
        put_be32(fixed + AT_L1_SIZE, s->l1_size);
        put_be16(fixed + AT_ID_LENGTH, id_length);
        put_be16(fixed + AT_NAME_LENGTH, name_length);
        put_be32(fixed + AT_SECONDS, s->date_sec);
        put_be32(fixed + AT_NANOSECONDS, s->date_nsec);
        put_be64(fixed + AT_CLOCK, s->vm_clock_nsec);
        put_be32(fixed + AT_STATE_SIZE_32, s->vm_state_size > UINT32_MAX ? 0 : s->vm_state_size);
        put_be32(fixed + AT_EXTRA_SIZE, EXTRA_KNOWN + unknown);
        put_be64(fixed + FIXED + EXTRA_STATE_SIZE, s->vm_state_size);
        put_be64(fixed + FIXED + EXTRA_DISK_SIZE, s->disk_size);
        put_be64(fixed + FIXED + EXTRA_ICOUNT, s->icount);
        g_byte_array_append(out, fixed, sizeof(fixed));
        g_byte_array_append(out, more, unknown);
        g_byte_array_append(out, (const uint8_t *)s->id, id_length);
        g_byte_array_append(out, (const uint8_t *)s->name, name_length);
        g_byte_array_append(out, padding, (8 - out->len % 8) % 8);
    }
    return out;
}
