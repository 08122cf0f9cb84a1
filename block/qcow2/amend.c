/* amend.c - changes to a qcow2 image that is there: version, refcount width, names in the header.
 *
 * Version 2 has no zero clusters: on the way down those of the disk become written zeroes, and
 * those of snapshots absent ones, which over a backing file would show what that has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/crypt.h"
#include "block/qcow2/layout.h"
#include "block/qcow2/shadow.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum { V2_REFCOUNT_ORDER = 4 };

typedef struct {
    BlockNode *node;
    Qcow2 *q;
    GHashTable *table;
    Qcow2CreateOptions o;
    BlockProgress progress;
    void *opaque;
} Amend;

static bool
given(const Amend *a, const char *name)
{
    return g_hash_table_contains(a->table, name);
}

/* Writes the header after a change to it. */
static bool
header_write(BlockNode *node, const char *what, GError **err)
{
    int r = qcow2_header_update(qcow2_of(node));

    return r == 0 ? true
                  : block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node,
                                    "writing %s into the header of image '%s'", what,
                                    block_node_filename(node));
}

static bool
read_only_refuse(BlockNode *node, GError **err)
{
    return !block_node_read_only(node) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is open for reading only",
                          block_node_filename(node));
}

bool
qcow2_change_backing(BlockNode *node, const char *filename, const char *format, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    Qcow2Header *h = &q->header;
    char *old_file, *old_format;
    bool ok;

    if (!read_only_refuse(node, err))
        return false;
    filename = filename && *filename ? filename : NULL;
    format = filename && format && *format ? format : NULL;
    if (filename && strlen(filename) > QCOW2_BACKING_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "the name of the backing file has %zu bytes, at most %d fit into "
                              "qcow2",
                              strlen(filename), QCOW2_BACKING_NAME_MAX);
    if (filename && h->autoclear & QCOW2_AUTOCLEAR_RAW_DATA_FILE)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has a raw data file, and so no backing file",
                              block_node_filename(node));
    g_mutex_lock(&q->lock);
    old_file = h->backing_file;
    old_format = h->backing_format;
    h->backing_file = g_strdup(filename);
    h->backing_format = g_strdup(format);
    ok = header_write(node, "the backing file", err);
    if (ok) {
        g_free(node->backing_filename);
        g_free(node->backing_format);
        node->backing_filename = g_strdup(filename);
        node->backing_format = g_strdup(format);
        g_free(old_file);
        g_free(old_format);
    } else {
        g_free(h->backing_file);
        g_free(h->backing_format);
        h->backing_file = old_file;
        h->backing_format = old_format;
    }
    g_mutex_unlock(&q->lock);
    return ok;
}

/* Only options that can be amended; others may be there when they say what is so already. */
static bool
check_given(const Amend *a, GError **err)
{
    const Qcow2Header *h = &a->q->header;
    GHashTableIter it;
    gpointer key;

    g_hash_table_iter_init(&it, a->table);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const BlockCreateOption *row = qcow2_create_options;
        bool same = (strcmp(key, "cluster_size") == 0 && a->o.cluster_bits == h->cluster_bits) ||
                    (strcmp(key, "compression_type") == 0 &&
                     a->o.compression_type == h->compression_type) ||
                    (strcmp(key, "extended_l2") == 0 && a->o.extended_l2 == a->q->extended_l2);

        while (row->name && strcmp(row->name, key) != 0)
            row++;
        if (!row->amend && !same && strcmp(key, "force") != 0)
            return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "option '%s' of a qcow2 image cannot be amended; convert it to "
                                  "a new one",
                                  (char *)key);
    }
    return true;
}

static bool
check_data_file(const Amend *a, GError **err)
{
    if (given(a, "data_file") && !a->q->has_data_file)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has its data in itself: data_file cannot be amended",
                              block_node_filename(a->node));
    if (given(a, "data_file_raw") && a->o.data_file_raw &&
        !(a->q->header.autoclear & QCOW2_AUTOCLEAR_RAW_DATA_FILE))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "data_file_raw of image '%s' can be turned off, not on",
                              block_node_filename(a->node));
    return true;
}

static bool
shadow_amend(Amend *a, unsigned version, unsigned refcount_order, GError **err)
{
    Qcow2Shadow shadow;
    bool ok = false;

    qcow2_lock_alone(a->q);
    if (qcow2_shadow_init(&shadow, a->node, err)) {
        shadow.next.version = version;
        shadow.next.refcount_order = refcount_order;
        ok = qcow2_shadow_commit(&shadow, err);
        qcow2_shadow_clear(&shadow);
    }
    qcow2_unlock_alone(a->q);
    return ok;
}

/* Version 3 asks for more in the snapshot table: that is written anew as well. */
static bool
version_raise(Amend *a, GError **err)
{
    if (a->q->header.version >= 3)
        return true;
    return shadow_amend(a, 3, a->q->header.refcount_order, err);
}

static bool
version_lower_refuse(const Amend *a, GError **err)
{
    const Qcow2Header *h = &a->q->header;
    const char *why = h->refcount_order != V2_REFCOUNT_ORDER     ? "refcount_bits other than 16"
                      : h->incompatible & QCOW2_INCOMPAT_DIRTY   ? "the dirty bit set"
                      : h->incompatible & QCOW2_INCOMPAT_CORRUPT ? "the corrupt bit set"
                      : a->q->has_data_file                      ? "a data file"
                      : a->q->extended_l2                        ? "extended L2 entries"
                      : h->compression_type                      ? "compression other than zlib"
                                                                 : NULL;

    return !why || kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "image '%s' has %s, which compat=0.10 does not know",
                                  block_node_filename(a->node), why);
}

/* The L2 tables of all snapshots: offset to how many entries of L1 tables lead there. 0 or -errno.
 */
static int
snapshot_tables(Amend *a, const GPtrArray *snapshots, GHashTable *tables)
{
    BlockNode *file = a->node->file;
    uint64_t cluster = a->q->cluster_size;
    int r = 0;

    for (guint i = 0; i < snapshots->len && r == 0; i++) {
        const Qcow2Snapshot *s = snapshots->pdata[i];
        g_autofree uint8_t *l1 = NULL;

        if (s->l1_size > QCOW2_L1_BYTES_MAX / 8 || s->l1_offset > file->size ||
            (uint64_t)s->l1_size * 8 > file->size - s->l1_offset)
            return -EUCLEAN;
        l1 = g_try_malloc((size_t)s->l1_size * 8 + 1);
        if (!l1)
            return -ENOMEM;
        r = block_node_pread(file, s->l1_offset, l1, (size_t)s->l1_size * 8);
        for (uint32_t k = 0; k < s->l1_size && r == 0; k++) {
            gint64 host = be64(l1 + (size_t)k * 8) & QCOW2_OFFSET_MASK;
            gpointer n;

            if (host == 0)
                continue;
            if (host % cluster != 0 || host + cluster > file->size)
                return -EUCLEAN;
            n = g_hash_table_lookup(tables, &host);
            g_hash_table_insert(tables, g_memdup2(&host, sizeof(host)),
                                GUINT_TO_POINTER(GPOINTER_TO_UINT(n) + 1));
        }
    }
    return r;
}

/* Goes through the zero clusters of one such table: -EEXIST when there is one, or, with @expand,
 * makes them absent and gives up what they have taken. Lock held (alone). */
static int
snapshot_table_walk(Amend *a, uint64_t host, unsigned uses, uint8_t *table, bool expand)
{
    Qcow2 *q = a->q;
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    bool changed = false;
    int r = block_node_pread(a->node->file, host, table, q->cluster_size);

    for (uint64_t i = 0; i < q->cluster_size && r == 0; i += 8) {
        uint64_t entry = be64(table + i), place = entry & QCOW2_OFFSET_MASK;

        if (entry & QCOW2_COMPRESSED || !(entry & QCOW2_ZERO))
            continue;
        if (!expand)
            return -EEXIST;
        if (place)
            g_array_append_val(places, place);
        put_be64(table + i, 0);
        changed = true;
    }
    if (r == 0 && changed)
        r = block_node_pwrite(a->node->file, host, table, q->cluster_size, 0);
    if (r == 0 && places->len > 0)
        r = block_node_flush(a->node->file); /* nothing leads there any more */
    for (guint i = 0; i < places->len && r == 0; i++)
        for (unsigned n = 0; n < uses; n++)
            qcow2_free(q, g_array_index(places, uint64_t, i), q->cluster_size, false);
    return r;
}

/* Whether snapshots can be what version 2 has; with @expand they become that. Lock held (alone). */
static bool
snapshots_lower(Amend *a, bool expand, GError **err)
{
    const Qcow2Header *h = &a->q->header;
    bool backed = a->node->backing || a->node->backing_filename;
    g_autoptr(GPtrArray) snapshots = NULL;
    g_autoptr(GHashTable) tables = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    g_autofree uint8_t *table = g_malloc(a->q->cluster_size);
    const char *name = block_node_filename(a->node);
    GHashTableIter it;
    gpointer host, uses;
    uint64_t bytes;
    int r = 0;

    if (h->snapshots == 0)
        return true;
    r = qcow2_snapshot_table_read(a->node->file, h->snapshots_offset, h->snapshots, h->size,
                                  &snapshots, &bytes);
    for (guint i = 0; i < snapshots->len && r == 0; i++) {
        const Qcow2Snapshot *s = snapshots->pdata[i];

        if (s->disk_size != h->size || s->vm_state_size > UINT32_MAX)
            return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                                  "snapshot '%s' of image '%s' has another size than the disk, or "
                                  "4 GiB of VM state: compat=0.10 has no room to say so",
                                  s->name, name);
    }
    if (r == 0)
        r = snapshot_tables(a, snapshots, tables);
    g_hash_table_iter_init(&it, tables);
    while (r == 0 && (expand || backed) && g_hash_table_iter_next(&it, &host, &uses))
        r = snapshot_table_walk(a, *(gint64 *)host, GPOINTER_TO_UINT(uses), table, expand);
    if (r == -EEXIST)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "snapshots of image '%s' have zero clusters over its backing file, "
                              "which compat=0.10 does not know",
                              name);
    return r == 0 || block_error_set(err, VIR_ERR_OPERATION_FAILED, r, a->node,
                                     "the snapshots of image '%s'", name);
}

/* Version 2 has none; left in the file they would be clusters that nothing leads to. */
static bool
bitmaps_remove(BlockNode *node, GError **err)
{
    g_autoptr(GPtrArray) list = node->driver->bitmaps->list(node);
    bool ok = true;

    for (guint i = 0; i < list->len && ok; i++) {
        const BlockBitmap *bitmap = list->pdata[i];

        ok = node->driver->bitmaps->remove(node, bitmap->name, err);
    }
    return ok;
}

/* One cluster that is marked as zeroes becomes one without the mark. */
static int
zero_expand(Amend *a, uint64_t cluster, const uint8_t *zeroes)
{
    Qcow2 *q = a->q;
    Qcow2Entry e;
    int r;

    g_mutex_lock(&q->lock);
    r = qcow2_entry_get(q, cluster, &e);
    if (r == 0 && !(e.entry & QCOW2_COMPRESSED) && e.entry & QCOW2_ZERO) {
        if (!a->node->backing && !a->node->backing_filename) {
            r = qcow2_entry_set(q, cluster, (Qcow2Entry){ 0 });
            if (r == 0)
                qcow2_free_entry(q, e, true);
        } else {
            g_mutex_unlock(&q->lock);
            return qcow2_pwrite(a->node, cluster << q->header.cluster_bits, zeroes, q->cluster_size,
                                0);
        }
    }
    g_mutex_unlock(&q->lock);
    return r;
}

static bool
tell(const Amend *a, double part, GError **err)
{
    return !a->progress || a->progress(a->opaque, part) ||
           kiln_error_set_errno(err, VIR_ERR_OPERATION_ABORTED, -ECANCELED, "amending image '%s'",
                                block_node_filename(a->node));
}

static bool
version_lower(Amend *a, GError **err)
{
    Qcow2 *q = a->q;
    uint64_t n = (uint64_t)q->header.l1_size << q->l2_bits;
    g_autofree uint8_t *zeroes = g_malloc0(q->cluster_size);
    bool ok;
    int r = 0;

    if (!version_lower_refuse(a, err))
        return false;
    qcow2_lock_alone(q);
    ok = snapshots_lower(a, false, err);
    qcow2_unlock_alone(q);
    if (!ok || !bitmaps_remove(a->node, err))
        return false;
    for (uint64_t c = 0; c < n && r == 0; c++) {
        if (!(q->l1[c >> q->l2_bits] & QCOW2_OFFSET_MASK)) {
            c |= (UINT64_C(1) << q->l2_bits) - 1;
            continue;
        }
        if (c % 4096 == 0 && !tell(a, (double)c / n, err))
            return false;
        r = zero_expand(a, c, zeroes);
    }
    qcow2_lock_alone(q);
    if (r == 0)
        r = qcow2_flush_locked(q);
    if (r < 0)
        block_error_set(err, VIR_ERR_OPERATION_FAILED, r, a->node,
                        "writing the zero clusters of image '%s'", block_node_filename(a->node));
    /* tables that the disk shared with snapshots had their zeroes, and so are the disk's alone now
     */
    ok = r == 0 && snapshots_lower(a, true, err);
    if (ok) {
        r = qcow2_flush_locked(q);
        ok = r == 0 ||
             block_error_set(err, VIR_ERR_OPERATION_FAILED, r, a->node,
                             "writing the tables of image '%s'", block_node_filename(a->node));
    }
    if (ok) {
        q->header.version = 2;
        q->header.header_length = QCOW2_HEADER_V2;
        q->header.incompatible = q->header.compatible = q->header.autoclear = 0;
        ok = header_write(a->node, "version 2", err);
    }
    qcow2_unlock_alone(q);
    return ok;
}

static bool
header_amend(Amend *a, GError **err)
{
    Qcow2Header *h = &a->q->header;
    bool changed = false, ok = true;

    g_mutex_lock(&a->q->lock);
    if (given(a, "lazy_refcounts")) {
        h->compatible &= ~QCOW2_COMPAT_LAZY_REFCOUNTS;
        h->compatible |= a->o.lazy_refcounts ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0;
        changed = true;
    }
    if (given(a, "data_file_raw") && !a->o.data_file_raw) {
        h->autoclear &= ~QCOW2_AUTOCLEAR_RAW_DATA_FILE;
        changed = true;
    }
    if (given(a, "data_file")) {
        g_free(h->data_file);
        h->data_file = g_strdup(a->o.data_file);
        changed = true;
    }
    if (changed)
        ok = header_write(a->node, "what was amended", err);
    g_mutex_unlock(&a->q->lock);
    return ok;
}

static bool
amend_all(Amend *a, GError **err)
{
    Qcow2Header *h = &a->q->header;
    bool down = given(a, "compat") && a->o.version < 3 && h->version >= 3;

    if (given(a, "compat") && a->o.version >= 3 && !version_raise(a, err))
        return false;
    if (h->version < 3 && ((given(a, "lazy_refcounts") && a->o.lazy_refcounts) ||
                           (given(a, "refcount_bits") && a->o.refcount_order != V2_REFCOUNT_ORDER)))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "image '%s' has version 2 of qcow2; give compat=1.1 as well",
                              block_node_filename(a->node));
    if (down && given(a, "refcount_bits") && a->o.refcount_order != V2_REFCOUNT_ORDER)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "image '%s': compat=0.10 has refcount_bits=16 only",
                              block_node_filename(a->node));
    if (!tell(a, 0, err))
        return false;
    if (given(a, "refcount_bits") && a->o.refcount_order != h->refcount_order &&
        !shadow_amend(a, h->version, a->o.refcount_order, err))
        return false;
    if (!header_amend(a, err) || !qcow2_crypt_amend(a->node, a->table, err))
        return false;
    if ((given(a, "backing_file") || given(a, "backing_fmt")) &&
        !qcow2_change_backing(
            a->node, given(a, "backing_file") ? a->o.backing_file : h->backing_file,
            given(a, "backing_fmt") ? a->o.backing_format : h->backing_format, err))
        return false;
    if (a->o.has_size && !block_image_resize(a->node, a->o.size, BLOCK_PREALLOC_OFF, true, err))
        return false;
    if (down && !version_lower(a, err))
        return false;
    return tell(a, 1, err);
}

bool
qcow2_amend(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
            GError **err)
{
    Amend a = {
        .node = node, .q = qcow2_of(node), .table = options, .progress = progress, .opaque = opaque
    };

    return read_only_refuse(node, err) && qcow2_amend_options_parse(options, &a.o, err) &&
           check_given(&a, err) && check_data_file(&a, err) && amend_all(&a, err);
}
