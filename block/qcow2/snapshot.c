/* snapshot.c - internal snapshots of a qcow2 image.
 *
 * A snapshot takes the active L1 table as its own; the image goes on with a copy. All changes are
 * put in force by one write (shadow.c). The state of a machine lies in the active L1 table behind
 * the last entry that describes the disk, and goes with the snapshot that is taken next.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Snapshots".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/qcow2/bitmap.h"
#include "block/qcow2/layout.h"
#include "block/qcow2/shadow.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum { NOTED_MAX = 1 << 20 }; /* clusters of inactive L1 tables that are kept in mind */

/* Entries of an L1 table that describe a disk of @size bytes: behind them is the machine's state.
 */
static uint64_t
l1_of_disk(const Qcow2 *q, uint64_t size)
{
    return qcow2_layout_div(qcow2_layout_div(size, q->cluster_size), UINT64_C(1) << q->l2_bits);
}

static uint64_t
state_base(const Qcow2 *q)
{
    return l1_of_disk(q, q->header.size) << q->l2_bits << q->header.cluster_bits;
}

/* *ret_bytes, if not NULL, is the table's length. */
static bool
table_read(BlockNode *node, GPtrArray **ret, uint64_t *ret_bytes, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t bytes = 0;
    int r = 0;

    *ret = NULL;
    if (q->header.snapshots > 0)
        r = qcow2_snapshot_table_read(node->file, q->header.snapshots_offset, q->header.snapshots,
                                      q->header.size, ret, &bytes);
    else
        *ret = g_ptr_array_new_with_free_func((GDestroyNotify)qcow2_snapshot_free);
    if (ret_bytes)
        *ret_bytes = bytes;
    if (r == 0)
        return true;
    g_clear_pointer(ret, g_ptr_array_unref);
    return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                           "the snapshot table of image '%s' cannot be read; repair it with "
                           "'check -r all'",
                           block_node_filename(node));
}

bool
qcow2_snapshots_note(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    g_autoptr(GPtrArray) table = NULL;
    uint64_t noted = 0, length;

    if (!table_read(node, &table, &length, err))
        return false;
    for (guint i = 0; i < table->len; i++) {
        const Qcow2Snapshot *s = table->pdata[i];
        uint64_t bytes = (uint64_t)s->l1_size * 8;

        if (bytes > QCOW2_L1_BYTES_MAX || s->l1_offset % q->cluster_size != 0 ||
            s->l1_offset > (uint64_t)G_MAXINT64 - bytes)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "snapshot '%s' of image '%s' has an L1 table of %u entries at "
                                  "offset %" G_GUINT64_FORMAT
                                  "; repair the image with 'check -r all'",
                                  s->id, block_node_filename(node), s->l1_size, s->l1_offset);
        noted += qcow2_layout_div(bytes, q->cluster_size);
        if (noted < NOTED_MAX && !block_node_read_only(node))
            qcow2_metadata_add(q, s->l1_offset, bytes);
    }
    if (table->len > 0 && !block_node_read_only(node))
        qcow2_metadata_add(q, q->header.snapshots_offset, length);
    return true;
}

/* An id before a name, as QEMU looks. */
static Qcow2Snapshot *
find(const GPtrArray *table, const char *id_or_name)
{
    for (guint i = 0; i < table->len; i++)
        if (strcmp(((Qcow2Snapshot *)table->pdata[i])->id, id_or_name) == 0)
            return table->pdata[i];
    for (guint i = 0; i < table->len; i++)
        if (strcmp(((Qcow2Snapshot *)table->pdata[i])->name, id_or_name) == 0)
            return table->pdata[i];
    return NULL;
}

static Qcow2Snapshot *
find_or_fail(BlockNode *node, const GPtrArray *table, const char *id_or_name, GError **err)
{
    Qcow2Snapshot *s = find(table, id_or_name);

    if (!s)
        kiln_error_set(err, VIR_ERR_NO_DOMAIN_SNAPSHOT, "image '%s' has no snapshot '%s'",
                       block_node_filename(node), id_or_name);
    return s;
}

static GPtrArray *
snapshot_list(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    g_autoptr(GPtrArray) table = NULL;
    GPtrArray *list;
    bool ok;

    g_mutex_lock(&q->lock);
    ok = table_read(node, &table, NULL, err);
    g_mutex_unlock(&q->lock);
    if (!ok)
        return NULL;
    list = g_ptr_array_new_with_free_func((GDestroyNotify)block_snapshot_free);
    for (guint i = 0; i < table->len; i++) {
        const Qcow2Snapshot *s = table->pdata[i];
        BlockSnapshot *out = g_new0(BlockSnapshot, 1);

        out->id = g_strdup(s->id);
        out->name = g_strdup(s->name);
        out->vm_state_size = s->vm_state_size;
        out->disk_size = s->disk_size;
        out->icount = s->icount;
        out->date_sec = s->date_sec;
        out->date_nsec = s->date_nsec;
        out->vm_clock_nsec = s->vm_clock_nsec;
        g_ptr_array_add(list, out);
    }
    return list;
}

/* One more than the greatest number that is an id. */
static char *
fresh_id(const GPtrArray *table)
{
    guint64 max = 0;

    for (guint i = 0; i < table->len; i++)
        max = MAX(max, g_ascii_strtoull(((Qcow2Snapshot *)table->pdata[i])->id, NULL, 10));
    return g_strdup_printf("%" G_GUINT64_FORMAT, max == G_MAXUINT64 ? max : max + 1);
}

static bool
refuse_data_file(const Qcow2 *q, BlockNode *node, GError **err)
{
    if (!q->has_data_file)
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                          "image '%s' keeps its data in a file of their own, and so has no "
                          "internal snapshots",
                          block_node_filename(node));
}

static bool
refuse_read_only(BlockNode *node, GError **err)
{
    return !block_node_read_only(node) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is open for reading only",
                          block_node_filename(node));
}

static bool
create_locked(BlockNode *node, const BlockSnapshot *snapshot, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Shadow shadow;
    Qcow2Snapshot *s;
    bool ok = false;

    if (!qcow2_shadow_init(&shadow, node, err))
        return false;
    if (snapshot->id && *snapshot->id && find(shadow.snapshots, snapshot->id)) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' has a snapshot '%s' already",
                       block_node_filename(node), snapshot->id);
    } else if (shadow.snapshots->len >= QCOW2_SNAPSHOTS_MAX) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "image '%s' has %d snapshots, the most there can be; delete one",
                       block_node_filename(node), QCOW2_SNAPSHOTS_MAX);
    } else {
        s = g_new0(Qcow2Snapshot, 1);
        s->id = snapshot->id && *snapshot->id ? g_strdup(snapshot->id) : fresh_id(shadow.snapshots);
        s->name = g_strndup(snapshot->name ? snapshot->name : "", UINT16_MAX);
        s->l1_offset = q->header.l1_offset;
        s->l1_size = q->header.l1_size;
        s->date_sec = snapshot->date_sec;
        s->date_nsec = snapshot->date_nsec;
        s->vm_clock_nsec = snapshot->vm_clock_nsec;
        s->vm_state_size = snapshot->vm_state_size;
        s->icount = snapshot->icount;
        s->disk_size = q->header.size;
        g_ptr_array_add(shadow.snapshots, s);
        shadow.l1_room = l1_of_disk(q, q->header.size);
        ok = qcow2_shadow_commit(&shadow, err);
    }
    qcow2_shadow_clear(&shadow);
    return ok;
}

static bool
snapshot_create(BlockNode *node, const BlockSnapshot *snapshot, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    bool ok;

    if (!refuse_data_file(q, node, err) || !refuse_read_only(node, err))
        return false;
    qcow2_lock_alone(q);
    ok = create_locked(node, snapshot, err);
    qcow2_unlock_alone(q);
    return ok;
}

/* Every byte of the disk may be another one now. */
static void
bitmaps_dirty_all(BlockNode *node)
{
    qcow2_bitmaps_dirty(node, 0, qcow2_of(node)->header.size);
}

static bool
apply_locked(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Bitmaps *all = q->upkeep;
    Qcow2Shadow shadow;
    const Qcow2Snapshot *s;
    bool ok = false;

    if (!qcow2_shadow_init(&shadow, node, err))
        return false;
    s = find_or_fail(node, shadow.snapshots, id_or_name, err);
    if (s && s->disk_size != q->header.size && all && all->list->len > 0) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "snapshot '%s' has a disk of %" G_GUINT64_FORMAT " bytes, image '%s' one of "
                       "%" G_GUINT64_FORMAT " and bitmaps; remove the bitmaps first",
                       id_or_name, s->disk_size, block_node_filename(node), q->header.size);
    } else if (s && l1_of_disk(q, s->disk_size) > QCOW2_L1_BYTES_MAX / 8) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "snapshot '%s' has a disk of %" G_GUINT64_FORMAT
                       " bytes, more than image '%s' can have",
                       id_or_name, s->disk_size, block_node_filename(node));
    } else if (s) {
        shadow.next.size = s->disk_size;
        shadow.l1_from = s->l1_offset;
        shadow.l1_entries = s->l1_size;
        shadow.l1_room = MAX(s->l1_size, l1_of_disk(q, s->disk_size));
        bitmaps_dirty_all(node);
        ok = qcow2_shadow_commit(&shadow, err);
    }
    qcow2_shadow_clear(&shadow);
    return ok;
}

static bool
snapshot_apply(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    bool ok;

    if (!refuse_data_file(q, node, err) || !refuse_read_only(node, err))
        return false;
    qcow2_lock_alone(q);
    ok = apply_locked(node, id_or_name, err);
    qcow2_unlock_alone(q);
    return ok;
}

static bool
snapshot_remove(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Shadow shadow;
    Qcow2Snapshot *s;
    bool ok = false;

    if (!refuse_read_only(node, err))
        return false;
    qcow2_lock_alone(q);
    if (qcow2_shadow_init(&shadow, node, err)) {
        s = find_or_fail(node, shadow.snapshots, id_or_name, err);
        if (s) {
            g_ptr_array_remove(shadow.snapshots, s);
            ok = qcow2_shadow_commit(&shadow, err);
        }
        qcow2_shadow_clear(&shadow);
    }
    qcow2_unlock_alone(q);
    return ok;
}

/* The snapshot's L1 table in the place of the active one, in memory alone. */
static bool
show_locked(BlockNode *node, const Qcow2Snapshot *s, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    uint32_t entries = MAX(s->l1_size, l1_of_disk(q, s->disk_size));
    g_autofree uint64_t *l1 = NULL;
    int r;

    if (l1_of_disk(q, s->disk_size) > QCOW2_L1_BYTES_MAX / 8)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "snapshot '%s' has a disk of %" G_GUINT64_FORMAT
                              " bytes, more than image '%s' can have",
                              s->id, s->disk_size, block_node_filename(node));
    l1 = g_malloc0((gsize)MAX(entries, 1) * 8);
    r = s->l1_size ? block_node_pread(node->file, s->l1_offset, l1, (size_t)s->l1_size * 8) : 0;
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                               "reading the L1 table of snapshot '%s' of image '%s'", s->id,
                               block_node_filename(node));
    for (uint32_t i = 0; i < entries; i++)
        l1[i] = GUINT64_FROM_BE(l1[i]);
    g_mutex_lock(&q->table_lock);
    g_free(q->l1);
    q->l1 = g_steal_pointer(&l1);
    q->header.l1_offset = s->l1_offset;
    q->header.l1_size = entries;
    q->header.size = s->disk_size;
    node->size = qcow2_layout_div(s->disk_size, BLOCK_SECTOR) * BLOCK_SECTOR;
    g_mutex_unlock(&q->table_lock);
    return true;
}

static bool
snapshot_show(BlockNode *node, const char *id_or_name, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    g_autoptr(GPtrArray) table = NULL;
    const Qcow2Snapshot *s;
    bool ok = false;

    if (!block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is open for writing; a snapshot is shown for reading",
                              block_node_filename(node));
    qcow2_lock_alone(q);
    if (table_read(node, &table, NULL, err)) {
        s = find_or_fail(node, table, id_or_name, err);
        ok = s && show_locked(node, s, err);
    }
    qcow2_unlock_alone(q);
    return ok;
}

static int
vmstate_read(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t base = state_base(q), end, inside;

    g_mutex_lock(&q->lock);
    end = (uint64_t)q->header.l1_size << q->l2_bits << q->header.cluster_bits;
    g_mutex_unlock(&q->lock);
    if (offset > (uint64_t)G_MAXINT64 - base || length > (uint64_t)G_MAXINT64 - base - offset)
        return -EFBIG;
    inside = base + offset < end ? MIN(end - base - offset, length) : 0;
    memset((uint8_t *)buf + inside, 0, length - inside);
    return inside ? qcow2_pread(node, base + offset, buf, inside) : 0;
}

static int
vmstate_write(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    Qcow2 *q = qcow2_of(node);
    uint64_t base = state_base(q), entries;
    int r;

    if (block_node_read_only(node))
        return -EROFS;
    if (q->has_data_file)
        return -ENOTSUP;
    if (offset > (uint64_t)G_MAXINT64 - base || length > (uint64_t)G_MAXINT64 - base - offset)
        return -EFBIG;
    entries = l1_of_disk(q, base + offset + length);
    if (entries > QCOW2_L1_BYTES_MAX / 8)
        return -EFBIG;
    g_mutex_lock(&q->lock);
    r = entries > q->header.l1_size ? qcow2_l1_grow(q, entries) : 0;
    g_mutex_unlock(&q->lock);
    return r ? r : qcow2_pwrite(node, base + offset, buf, length, 0);
}

const BlockSnapshotDriver qcow2_snapshot_driver = {
    .list = snapshot_list,
    .create = snapshot_create,
    .apply = snapshot_apply,
    .remove = snapshot_remove,
    .show = snapshot_show,
    .vmstate_read = vmstate_read,
    .vmstate_write = vmstate_write,
};
