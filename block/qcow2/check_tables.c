/* check_tables.c - the snapshot table and the bitmaps of an image, in a check.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/check.h"
#include "block/qcow2/snapshot_table.h"

enum { SNAPSHOT_EXTRA_V3 = 16 }; /* bytes of extra data that version 3 asks for */

/* Puts @bytes in place of a table of @old_bytes at @offset. -EFBIG when there is no room, or the
 * disk has some of it. */
static int
table_replace(Qcow2Checker *c, uint64_t offset, const GByteArray *bytes, uint64_t old_bytes)
{
    if (qcow2_layout_div(bytes->len, c->cluster) > qcow2_layout_div(old_bytes, c->cluster) ||
        check_is_disk(c, offset, old_bytes))
        return -EFBIG;
    return check_write(c, offset, bytes->data, bytes->len);
}

static bool
snapshot_fits(Qcow2Checker *c, const Qcow2Snapshot *s)
{
    uint64_t bytes = (uint64_t)s->l1_size * 8;

    return s->l1_size <= (QCOW2_L1_BYTES_MAX / 8) && check_in_file(c, s->l1_offset, bytes) &&
           check_l1_fits(c, s->l1_offset, s->l1_size);
}

/* Drops the snapshots that nothing can be read from. Says whether the table has to be written. */
static bool
snapshots_sift(Qcow2Checker *c, GPtrArray *table)
{
    bool changed = false;

    for (guint i = 0; i < table->len;) {
        const Qcow2Snapshot *s = table->pdata[i];

        if (!snapshot_fits(c, s)) {
            check_report(
                c, FINDING_CORRUPTION, check_mends(c),
                "ERROR: the L1 table of snapshot '%s' (%s), %u entries at 0x%" G_GINT64_MODIFIER
                "x, is not in the file, or where something else is",
                s->id, s->name, s->l1_size, s->l1_offset);
            g_ptr_array_remove_index(table, i);
            changed = true;
            continue;
        }
        if (c->h->version >= 3 && s->extra_size < SNAPSHOT_EXTRA_V3) {
            check_report(c, FINDING_CORRUPTION, check_mends(c),
                         "ERROR: snapshot '%s' (%s) has %u bytes of extra data, %d at least are "
                         "asked for",
                         s->id, s->name, s->extra_size, SNAPSHOT_EXTRA_V3);
            changed = true;
        }
        i++;
    }
    return changed;
}

int
check_snapshot_table(Qcow2Checker *c)
{
    g_autoptr(GPtrArray) table = NULL;
    g_autoptr(GByteArray) bytes = NULL;
    uint64_t length = 0, old_offset = c->h->snapshots_offset;
    bool changed;
    int r;

    if (c->h->snapshots == 0)
        return check_claim(c, 0);
    r = qcow2_snapshot_table_read(c->file, old_offset, c->h->snapshots, c->h->size, &table,
                                  &length);
    if (r < 0 && r != -EINVAL)
        return r;
    if (r < 0 || !check_in_file(c, old_offset, length)) {
        check_report(c, FINDING_CORRUPTION, check_mends(c),
                     "ERROR: the snapshot table at 0x%" G_GINT64_MODIFIER
                     "x holds %u entries that make sense, the header says %u",
                     old_offset, table->len, c->h->snapshots);
        if (!check_in_file(c, old_offset, length)) {
            g_ptr_array_set_size(table, 0);
            length = 0;
        }
    }
    r = check_claim(c, length);
    if (r < 0)
        return r;
    changed = snapshots_sift(c, table) || table->len != c->h->snapshots;
    for (guint i = 0; i < table->len; i++) {
        const Qcow2Snapshot *s = table->pdata[i];

        check_list_l1(c, s->l1_offset, s->l1_size, false);
    }
    if (!changed || !check_mends(c)) {
        if (length > 0)
            check_count(c, old_offset, length, 1);
        return 0;
    }
    bytes = qcow2_snapshot_table_format(table);
    r = table->len > 0 ? table_replace(c, old_offset, bytes, length) : 0;
    if (r == -EFBIG) {
        /* the table moves behind the end, which a refcount is made for below */
        uint64_t end = c->file->size, at = qcow2_layout_div(end, c->cluster) * c->cluster;

        r = check_write(c, at, bytes->data, bytes->len);
        c->n_clusters = qcow2_layout_div(c->file->size, c->cluster);
        c->h->snapshots_offset = at;
        if (r == 0 && !qcow2_counts_grow(c->counts, c->n_clusters))
            r = -ENOMEM;
    }
    if (r < 0)
        return r;
    if (table->len == 0)
        c->h->snapshots_offset = 0;
    else
        check_count(c, c->h->snapshots_offset, bytes->len, 1);
    c->h->snapshots = table->len;
    c->wrote = true;
    r = block_node_flush(c->file);
    return r ? r : qcow2_header_store(c->file, c->h);
}

int
check_bitmap_table(Qcow2Checker *c, const Qcow2BitmapEntry *e, uint8_t **ret)
{
    uint64_t bytes = (uint64_t)e->table_size * 8;
    g_autofree uint8_t *table = NULL;
    int r;

    if (!check_in_file(c, e->table_offset, bytes) || check_is_l2(c, e->table_offset, bytes))
        return 0;
    table = g_malloc(bytes + 1);
    r = check_read(c, e->table_offset, table, bytes);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < e->table_size; i++) {
        uint64_t entry = be64(table + i * 8), host = entry & QCOW2_BITMAP_TABLE_OFFSET;

        if (entry & ~(QCOW2_BITMAP_TABLE_OFFSET | (host ? 0 : QCOW2_BITMAP_TABLE_ONES)) ||
            (host && (host < c->cluster || !check_in_file(c, host, c->cluster) ||
                      check_is_l2(c, host, c->cluster))))
            return 0;
    }
    *ret = g_steal_pointer(&table);
    return 0;
}

/* Counts the clusters of one bitmap, unless its table is of no use. */
static int
bitmap_count(Qcow2Checker *c, const Qcow2BitmapEntry *e, bool *ret_good)
{
    uint64_t bytes = (uint64_t)e->table_size * 8;
    g_autofree uint8_t *table = NULL;
    int r = 0;

    /* tables that lie on one another would be read as often as there are bitmaps */
    if (check_in_file(c, e->table_offset, bytes) &&
        !qcow2_counts_any(c->counts, e->table_offset / c->cluster,
                          qcow2_layout_div(bytes, c->cluster)))
        r = check_bitmap_table(c, e, &table);
    *ret_good = table != NULL;
    if (!table)
        return r;
    check_count(c, e->table_offset, bytes, 1);
    for (uint32_t i = 0; i < e->table_size; i++) {
        uint64_t host = be64(table + i * 8) & QCOW2_BITMAP_TABLE_OFFSET;

        if (host)
            check_count(c, host, c->cluster, 1);
    }
    return 0;
}

int
check_bitmaps(Qcow2Checker *c)
{
    Qcow2Header *h = c->h;
    g_autoptr(GPtrArray) directory = NULL;
    g_autoptr(GByteArray) bytes = NULL;
    uint64_t length = h->bitmaps.directory_size;
    bool changed;
    int r;

    /* without the autoclear bit nothing is known of them, nor is it to be kept */
    if (h->bitmaps.count == 0 || !(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS))
        return 0;
    r = qcow2_bitmap_directory_read(c->file, c->g.cluster_bits, h->bitmaps.directory_offset, length,
                                    h->bitmaps.count, &directory);
    if (r < 0 && r != -EINVAL)
        return r;
    if (r == 0 && !check_in_file(c, h->bitmaps.directory_offset, length))
        r = -EINVAL;
    changed = r < 0;
    if (changed) {
        check_report(c, FINDING_CORRUPTION, check_mends(c),
                     "ERROR: the bitmap directory at 0x%" G_GINT64_MODIFIER
                     "x makes no sense from entry %u on",
                     h->bitmaps.directory_offset, directory->len);
        g_ptr_array_set_size(directory, 0);
    }
    for (guint i = 0; i < directory->len;) {
        const Qcow2BitmapEntry *e = directory->pdata[i];
        bool good;

        r = bitmap_count(c, e, &good);
        if (r < 0)
            return r;
        if (good) {
            i++;
            continue;
        }
        check_report(c, FINDING_CORRUPTION, check_mends(c),
                     "ERROR: the table of bitmap '%s' at 0x%" G_GINT64_MODIFIER "x makes no sense",
                     e->name, e->table_offset);
        changed = true;
        g_ptr_array_remove_index(directory, i);
    }
    if (!changed || !check_mends(c)) {
        if (check_in_file(c, h->bitmaps.directory_offset, length))
            check_count(c, h->bitmaps.directory_offset, length, 1);
        return 0;
    }
    bytes = qcow2_bitmap_directory_format(directory);
    if (directory->len > 0) {
        check_count(c, h->bitmaps.directory_offset, bytes->len, 1);
        r = check_write(c, h->bitmaps.directory_offset, bytes->data, bytes->len);
        if (r == 0)
            r = block_node_flush(c->file);
        if (r < 0)
            return r;
    }
    h->bitmaps.count = directory->len;
    h->bitmaps.directory_size = bytes->len;
    if (directory->len == 0) {
        h->bitmaps.directory_offset = 0;
        h->autoclear &= ~(uint64_t)QCOW2_AUTOCLEAR_BITMAPS;
    }
    c->wrote = true;
    return qcow2_header_store(c->file, h);
}
