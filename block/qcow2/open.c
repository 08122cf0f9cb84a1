/* open.c - opening and closing a qcow2 image: its tables in memory, its header kept true.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/open.h"
#include "block/qcow2/check.h"
#include "block/qcow2/crypt.h"
#include "block/qcow2/open.h"
#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum {
    L2_CACHE_DEFAULT = 32 << 20, /* maps 256 GiB of clusters of 64 KiB; grows as it is used */
    REFCOUNT_CACHE_DEFAULT = 1 << 20,
    CACHE_MIN = 64 << 10,
};

static const char *
image_name(const BlockNode *node)
{
    return block_node_filename(node) ? block_node_filename(node) : "";
}

/* ---- the header ---- */

static bool
header_load(BlockNode *node, Qcow2Header *ret, GError **err)
{
    uint8_t head[QCOW2_HEADER_V2] = { 0 };
    g_autofree uint8_t *cluster = NULL;
    uint32_t size;
    int r = block_node_pread(node->file, 0, head, sizeof(head));

    memset(ret, 0, sizeof(*ret));
    size = MAX(qcow2_header_cluster_size(head, sizeof(head)), 512u);
    cluster = g_malloc0(size);
    if (r == 0)
        r = block_node_pread(node->file, 0, cluster, size);
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                               "cannot read the header of image '%s'", image_name(node));
    return qcow2_header_parse(cluster, size, image_name(node), ret, err);
}

int
qcow2_header_update(Qcow2 *q)
{
    int r = g_atomic_int_get(&q->corrupt) == QCOW2_DISTRUSTED
                ? -EIO
                : qcow2_header_store(q->node->file, &q->header);

    if (r == 0)
        r = block_node_flush(q->node->file);
    if (r < 0)
        qcow2_distrust(q);
    return r;
}

void
qcow2_distrust(Qcow2 *q)
{
    g_atomic_int_set(&q->corrupt, QCOW2_DISTRUSTED);
}

int
qcow2_mark_corrupt(Qcow2 *q)
{
    uint8_t word[8];

    if (!g_atomic_int_compare_and_exchange(&q->corrupt, 0, 1))
        return -EIO;
    /* version 2 has no place to say it */
    if (q->header.version >= 3 && !block_node_read_only(q->node)) {
        q->header.incompatible |= QCOW2_INCOMPAT_CORRUPT;
        put_be64(word, q->header.incompatible);
        if (block_node_pwrite(q->node->file, 72, word, sizeof(word), 0) == 0)
            block_node_flush(q->node->file);
    }
    return -EIO;
}

/* ---- tables ---- */

static int
read_table(BlockNode *file, uint64_t offset, uint64_t entries, uint64_t **ret)
{
    uint64_t *table = g_try_malloc0(MAX(entries, 1) * 8);
    int r = table ? 0 : -ENOMEM;

    if (r == 0 && entries > 0)
        r = block_node_pread(file, offset, table, entries * 8);
    if (r < 0) {
        g_free(table);
        return r;
    }
    for (uint64_t i = 0; i < entries; i++)
        table[i] = GUINT64_FROM_BE(table[i]);
    g_free(*ret);
    *ret = table;
    return 0;
}

static void
note_tables(Qcow2 *q)
{
    const Qcow2Header *h = &q->header;

    g_hash_table_remove_all(q->metadata);
    qcow2_metadata_add(q, 0, q->cluster_size);
    qcow2_metadata_add(q, h->l1_offset, (uint64_t)h->l1_size * 8);
    qcow2_metadata_add(q, h->refcount_table_offset,
                       (uint64_t)h->refcount_table_clusters << h->cluster_bits);
    qcow2_metadata_add(q, h->luks.offset, h->luks.length);
    for (uint32_t i = 0; i < h->l1_size; i++)
        if (q->l1[i] & QCOW2_OFFSET_MASK)
            qcow2_metadata_add(q, q->l1[i] & QCOW2_OFFSET_MASK, q->cluster_size);
    for (uint64_t i = 0; i < q->refcount_entries; i++)
        if (q->refcount_table[i])
            qcow2_metadata_add(q, q->refcount_table[i] & QCOW2_OFFSET_MASK, q->cluster_size);
}

static bool
tables_load(Qcow2 *q, GError **err)
{
    const Qcow2Header *h = &q->header;
    uint64_t need = ((h->size + q->cluster_size - 1) >> h->cluster_bits);
    int r;

    need = (need + (UINT64_C(1) << q->l2_bits) - 1) >> q->l2_bits;
    if (h->l1_size < need)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "qcow2 image '%s' is damaged: its L1 table has %u entries, a disk of "
                              "%" G_GUINT64_FORMAT " bytes needs %" G_GUINT64_FORMAT,
                              image_name(q->node), h->l1_size, h->size, need);
    q->refcount_entries = ((uint64_t)h->refcount_table_clusters << h->cluster_bits) / 8;
    r = read_table(q->node->file, h->l1_offset, h->l1_size, &q->l1);
    if (r == 0)
        r = read_table(q->node->file, h->refcount_table_offset, q->refcount_entries,
                       &q->refcount_table);
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, q->node,
                               "cannot read the tables of image '%s'", image_name(q->node));
    note_tables(q);
    q->free_hint = 0;
    q->bytes_at = 0;
    q->fresh_from =
        q->node->file->fixed || q->node->file->file
            ? UINT64_MAX
            : (q->node->file->size + q->cluster_size - 1) / q->cluster_size * q->cluster_size;
    return true;
}

static void
geometry_set(Qcow2 *q)
{
    const Qcow2Header *h = &q->header;

    q->cluster_size = UINT64_C(1) << h->cluster_bits;
    q->extended_l2 = h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2;
    q->l2_entry_size = q->extended_l2 ? 16 : 8;
    q->l2_bits = h->cluster_bits - (q->extended_l2 ? 4 : 3);
    q->subcluster_size = q->extended_l2 ? q->cluster_size / QCOW2_SUBCLUSTERS : q->cluster_size;
}

static void
names_set(Qcow2 *q)
{
    g_free(q->node->backing_filename);
    g_free(q->node->backing_format);
    q->node->backing_filename = g_strdup(q->header.backing_file);
    q->node->backing_format = g_strdup(q->header.backing_format);
    q->node->size = (q->header.size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
}

bool
qcow2_reload(Qcow2 *q, GError **err)
{
    Qcow2Header header;

    qcow2_cache_forget(q->l2_cache, 0, UINT64_MAX);
    qcow2_cache_forget(q->refcount_cache, 0, UINT64_MAX);
    g_array_set_size(q->freed, 0);
    q->settled_freed = 0;
    q->l1_dirty = false;
    if (!header_load(q->node, &header, err)) {
        qcow2_header_clear(&header);
        qcow2_distrust(q);
        return false;
    }
    qcow2_header_clear(&q->header);
    q->header = header;
    g_atomic_int_set(&q->corrupt, !!(header.incompatible & QCOW2_INCOMPAT_CORRUPT));
    names_set(q);
    if (tables_load(q, err))
        return true;
    qcow2_distrust(q);
    return false;
}

/* ---- opening ---- */

static bool
features_refuse(BlockNode *node, const BlockImageOptions *image, GError **err)
{
    const Qcow2Header *h = &qcow2_of(node)->header;

    if (h->incompatible & QCOW2_INCOMPAT_CORRUPT && !block_node_read_only(node) && !image->check)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "qcow2 image '%s' is marked corrupt and can be read, not written; "
                              "mend it with kiln-img check -r all",
                              image_name(node));
    return true;
}

/* A relative name counts from the image's directory, as that of a backing file does. QEMU takes it
 * from the directory it runs in; what was made so is found there unless the image's has it. */
static BlockNode *
data_file_by_name(BlockNode *node, BlockOpening *opening, GError **err)
{
    const char *name = qcow2_of(node)->header.data_file;
    g_autofree char *beside = block_filename_beside(node, name, err);

    if (!beside)
        return NULL;
    return block_opening_path(opening, node,
                              access(beside, F_OK) < 0 && access(name, F_OK) == 0 ? name : beside,
                              node->read_only, err);
}

static bool
data_file_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    g_autoptr(GError) why = NULL;
    BlockNode *data;

    q->data = node->file;
    data = block_opening_option(opening, opts, "data-file", node->read_only, &why);
    if (why) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    if (!(q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE)) {
        if (!data)
            return true;
        block_node_unref(data);
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' has no data file, but the option 'data-file' gives "
                              "one",
                              image_name(node));
    }
    if (!data && node->read_only && block_opening_image(opening)->no_io) {
        q->has_data_file = true; /* its name is all that is asked for: it need not be there */
        return true;
    }
    if (!data && !q->header.data_file)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' keeps its data in another file and does not name "
                              "it; give the option 'data-file'",
                              image_name(node));
    if (!data)
        data = data_file_by_name(node, opening, err);
    if (!data)
        return false;
    node->extents = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_unref);
    g_ptr_array_add(node->extents, data);
    q->data = data;
    q->has_data_file = true;
    return true;
}

static bool
caches_open(Qcow2 *q, BlockOptions *opts, GError **err)
{
    uint64_t l2 = L2_CACHE_DEFAULT, refcount = REFCOUNT_CACHE_DEFAULT, both = 0;
    bool lazy;

    /* lazy refcounts are leave to be late, which this driver does not take */
    if (!block_options_take_size(opts, "cache-size", &both, err) ||
        !block_options_take_size(opts, "l2-cache-size", &l2, err) ||
        !block_options_take_size(opts, "refcount-cache-size", &refcount, err) ||
        !block_options_take_bool(opts, "lazy-refcounts", &lazy, err))
        return false;
    if (both > 0)
        l2 = both > refcount * 2 ? both - refcount : both / 2;
    q->l2_cache = qcow2_cache_new(q, MAX(l2, CACHE_MIN), qcow2_write_tables);
    q->refcount_cache = qcow2_cache_new(q, MAX(refcount, CACHE_MIN), qcow2_write_refcounts);
    return true;
}

bool
qcow2_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    const BlockImageOptions *image = block_opening_image(opening);
    Qcow2 *q = qcow2_of(node);
    g_autoptr(GError) why = NULL;

    q->node = node;
    g_mutex_init(&q->lock);
    g_mutex_init(&q->table_lock);
    g_cond_init(&q->settled);
    g_cond_init(&q->holds.gone);
    q->metadata = g_hash_table_new(NULL, NULL);
    q->freed = g_array_new(FALSE, FALSE, sizeof(Qcow2Freed));
    if (!header_load(node, &q->header, err) || !features_refuse(node, image, err))
        return false;
    geometry_set(q);
    names_set(q);
    q->corrupt = !!(q->header.incompatible & QCOW2_INCOMPAT_CORRUPT);
    if (!data_file_open(node, opts, opening, err) || !qcow2_crypt_open(node, opts, opening, err) ||
        !caches_open(q, opts, err))
        return false;
    if (tables_load(q, &why))
        return true;
    if (!image->check) {
        g_propagate_error(err, g_steal_pointer(&why));
        return false;
    }
    /* check reads the file itself; nothing else is done with the image */
    g_free(q->l1);
    q->l1 = g_malloc0(MAX(q->header.l1_size, 1) * sizeof(uint64_t));
    return true;
}

/* What an unclean end left is mended before anything is written. */
static bool
repair_dirty(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    BlockCheck check = { 0 };
    int r;

    if (!node->driver->check(node, BLOCK_CHECK_LEAKS | BLOCK_CHECK_ERRORS, &check, err))
        return false;
    g_mutex_lock(&q->lock);
    q->header.incompatible &= ~QCOW2_INCOMPAT_DIRTY;
    r = qcow2_header_update(q);
    g_mutex_unlock(&q->lock);
    return r == 0 || block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                                     "cannot write the header of image '%s'", image_name(node));
}

/* The first writes to an image that this process has. */
static bool
begin_use(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    int r = 0;

    if (!block_node_read_only(node)) {
        if (q->header.incompatible & QCOW2_INCOMPAT_DIRTY && !repair_dirty(node, err))
            return false;
        if (q->header.autoclear & ~QCOW2_AUTOCLEAR_KNOWN) {
            q->header.autoclear &= QCOW2_AUTOCLEAR_KNOWN;
            r = qcow2_header_update(q);
        }
        if (r < 0)
            return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                                   "cannot write the header of image '%s'", image_name(node));
    }
    return qcow2_upkeep_open(node, err);
}

bool
qcow2_opened(BlockNode *node, BlockOpening *opening, GError **err)
{
    return block_opening_image(opening)->check || (node->inactive && !node->read_only) ||
           begin_use(node, err);
}

/* Refcounts and tables wait in memory no longer. */
static void
settle_all(Qcow2 *q)
{
    g_mutex_lock(&q->lock);
    /* what the first flush gave free is counted by the second */
    for (unsigned i = 0; i < 3 && g_atomic_int_get(&q->dirty); i++)
        if (qcow2_flush_locked(q) < 0)
            break;
    g_mutex_unlock(&q->lock);
}

bool
qcow2_set_access(BlockNode *node, bool writable, GError **err)
{
    Qcow2 *q = qcow2_of(node);

    if (writable && (q->header.incompatible & (QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT) ||
                     g_atomic_int_get(&q->corrupt)))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "qcow2 image '%s' is marked dirty or corrupt; mend it with kiln-img "
                              "check -r all before it is written",
                              image_name(node));
    qcow2_upkeep_close(node);
    if (!writable)
        settle_all(q);
    node->read_only = !writable;
    if (writable && q->header.autoclear & ~QCOW2_AUTOCLEAR_KNOWN) {
        int r;

        q->header.autoclear &= QCOW2_AUTOCLEAR_KNOWN;
        r = qcow2_header_update(q);
        if (r < 0)
            return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                                   "cannot write the header of image '%s'", image_name(node));
    }
    return qcow2_upkeep_open(node, err);
}

bool
qcow2_deactivate(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    int r;

    r = qcow2_upkeep_close(node);
    settle_all(q);
    if (r == 0)
        r = qcow2_flush(node);
    return r == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                "cannot write what is left to image '%s'", image_name(node));
}

bool
qcow2_activate(BlockNode *node, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    const Qcow2Header *h = &q->header;
    unsigned cluster_bits = h->cluster_bits;
    uint64_t size = node->size, incompatible = h->incompatible;

    if (!qcow2_reload(q, err))
        return false;
    if (h->cluster_bits != cluster_bits || node->size != size ||
        (h->incompatible ^ incompatible) & ~(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT)) {
        qcow2_distrust(q);
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "image '%s' is another one than it was when it was opened",
                              image_name(node));
    }
    return begin_use(node, err);
}

void
qcow2_close(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);

    if (!q || !q->node)
        return;
    if (q->refcount_table && (!node->inactive || node->read_only))
        qcow2_upkeep_close(node);
    if (q->refcount_table && !node->inactive && !block_node_read_only(node) &&
        !g_atomic_int_get(&q->corrupt))
        settle_all(q);
    qcow2_crypt_close(q);
    qcow2_cache_free(q->l2_cache);
    qcow2_cache_free(q->refcount_cache);
    qcow2_header_clear(&q->header);
    g_free(q->l1);
    g_free(q->refcount_table);
    g_hash_table_unref(q->metadata);
    g_array_unref(q->freed);
    g_cond_clear(&q->settled);
    g_cond_clear(&q->holds.gone);
    g_mutex_clear(&q->lock);
    g_mutex_clear(&q->table_lock);
}

/* ---- alone ---- */

void
qcow2_lock_alone(Qcow2 *q)
{
    g_mutex_lock(&q->lock);
    while (q->changes)
        g_cond_wait(&q->settled, &q->lock);
    g_mutex_lock(&q->table_lock);
    q->holds.closed = true;
    while (q->holds.count[0] + q->holds.count[1] > 0)
        g_cond_wait(&q->holds.gone, &q->table_lock);
    g_mutex_unlock(&q->table_lock);
}

void
qcow2_unlock_alone(Qcow2 *q)
{
    g_mutex_lock(&q->table_lock);
    q->holds.closed = false;
    g_mutex_unlock(&q->table_lock);
    g_mutex_unlock(&q->lock);
}

/* ---- a longer L1 table ---- */

static int
l1_place_write(Qcow2 *q, uint64_t offset, uint32_t entries)
{
    uint8_t place[12];
    int r;

    put_be32(place, entries);
    put_be64(place + 4, offset);
    r = block_node_pwrite(q->node->file, 36, place, sizeof(place), 0);
    return r < 0 ? r : block_node_flush(q->node->file);
}

int
qcow2_l1_grow(Qcow2 *q, uint64_t entries)
{
    uint64_t old_bytes = (uint64_t)q->header.l1_size * 8, bytes = entries * 8, at, room;
    g_autofree uint8_t *out = NULL;
    uint64_t *l1;
    int r;

    if (entries <= q->header.l1_size)
        return 0;
    if (bytes > QCOW2_L1_BYTES_MAX)
        return -EFBIG;
    room = (old_bytes + q->cluster_size - 1) / q->cluster_size * q->cluster_size;
    at = q->header.l1_offset;
    l1 = g_try_malloc0(bytes);
    out = g_try_malloc0(bytes);
    if (!l1 || !out) {
        g_free(l1);
        return -ENOMEM;
    }
    memcpy(l1, q->l1, old_bytes);
    for (uint64_t i = 0; i < entries; i++)
        put_be64(out + i * 8, l1[i]);
    r = qcow2_write_tables(q);
    if (r == 0 && bytes > room)
        r = qcow2_alloc_metadata(q, bytes, &at);
    if (r == 0)
        r = block_node_pwrite(q->node->file, at, out, bytes, 0);
    if (r == 0)
        r = qcow2_write_tables(q);
    if (r == 0)
        r = block_node_flush(q->node->file);
    if (r == 0) {
        r = l1_place_write(q, at, entries);
        if (r < 0)
            qcow2_distrust(q);
    }
    if (r < 0) {
        g_free(l1);
        return r;
    }
    if (at != q->header.l1_offset)
        qcow2_free_metadata(q, q->header.l1_offset, old_bytes);
    else
        qcow2_metadata_add(q, at, bytes);
    g_mutex_lock(&q->table_lock);
    g_free(q->l1);
    q->l1 = l1;
    q->header.l1_size = entries;
    q->header.l1_offset = at;
    g_mutex_unlock(&q->table_lock);
    return 0;
}
