/* create.c - makes a qcow2 image, with as much of it allocated as was asked for.
 *
 * Source: QEMU's docs/interop/qcow2.txt. The parts lie in this order: header, refcount table,
 * refcount blocks, L1 table, the header of encryption and, preallocated, the L2 tables and the
 * guest's clusters. All metadata in one piece is written and later checked in long runs. The header
 * comes last: a file whose creation was cut short is no image.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/layout.h"
#include "block/qcow2/qcow2.h"
#include "block/qcow2/upkeep.h"
#include "util/error.h"

enum { WRITE_CHUNK = 2 << 20 }; /* a multiple of every cluster size */

typedef struct {
    BlockNode *file;
    const Qcow2CreateOptions *o;
    Qcow2Geometry g;
    Qcow2Mapping map;
    bool prealloc;
    /* clusters */
    uint64_t table_at, table_clusters, blocks_at, blocks, l1_at, luks_at, luks_clusters, l2_at,
        data_at, end;
    uint64_t luks_bytes; /* of the header of encryption; 0 for plain images */
} Plan;

typedef uint64_t (*PlanWord)(const Plan *p, uint64_t i);

static uint64_t
word_refcount_table(const Plan *p, uint64_t i)
{
    return i < p->blocks ? (p->blocks_at + i) << p->g.cluster_bits : 0;
}

static uint64_t
word_l1(const Plan *p, uint64_t i)
{
    return p->prealloc && i < p->map.l2_tables ? QCOW2_COPIED | (p->l2_at + i) << p->g.cluster_bits
                                               : 0;
}

static uint64_t
word_l2(const Plan *p, uint64_t i)
{
    uint64_t cluster = p->g.extended_l2 ? i / 2 : i;

    if (cluster >= p->map.guest_clusters)
        return 0;
    if (p->g.extended_l2 && i % 2)
        /* below a backing file the space is there, its content is not */
        return p->o->backing_file ? 0 : UINT32_MAX;
    return QCOW2_COPIED | (p->data_at + cluster) << p->g.cluster_bits;
}

/* Writes @clusters clusters of 64-bit words from cluster @at on. */
static int
write_words(const Plan *p, uint64_t at, uint64_t clusters, PlanWord word)
{
    uint64_t n = clusters << p->g.cluster_bits >> 3, done = 0;
    g_autofree uint64_t *chunk = g_malloc(WRITE_CHUNK);
    uint64_t offset = at << p->g.cluster_bits;
    int r = 0;

    while (done < n && r == 0) {
        uint64_t part = MIN(n - done, (uint64_t)WRITE_CHUNK / 8);

        for (uint64_t i = 0; i < part; i++)
            chunk[i] = GUINT64_TO_BE(word(p, done + i));
        r = block_node_pwrite(p->file, offset + done * 8, chunk, part * 8, 0);
        done += part;
    }
    return r;
}

/* Sets the first @n refcounts of @block to 1. */
static void
block_fill(const Plan *p, uint8_t *block, uint64_t n)
{
    static const uint8_t ones[] = { 0xff, 0x55, 0x11, 0x01 };
    unsigned order = p->g.refcount_order;
    size_t width;

    memset(block, 0, 1u << p->g.cluster_bits);
    if (order < 4) {
        uint64_t bits = n << order;

        memset(block, ones[order], bits / 8);
        if (bits % 8)
            block[bits / 8] = ones[order] & ((1u << bits % 8) - 1);
        return;
    }
    width = 1u << (order - 3);
    for (uint64_t i = 0; i < n; i++)
        block[i * width + width - 1] = 1;
}

static int
write_refcounts(const Plan *p)
{
    uint64_t per_block = qcow2_layout_block_entries(&p->g), left = p->end;
    size_t cluster = (size_t)1 << p->g.cluster_bits, per_chunk = WRITE_CHUNK / cluster;
    size_t whole = 0; /* so many blocks of the chunk are full of ones already */
    g_autofree uint8_t *chunk = g_malloc(WRITE_CHUNK);
    int r = write_words(p, p->table_at, p->table_clusters, word_refcount_table);

    for (uint64_t b = 0; b < p->blocks && r == 0; b += per_chunk) {
        size_t part = MIN(p->blocks - b, per_chunk);

        for (size_t i = 0; i < part; i++) {
            uint64_t n = MIN(left, per_block);

            if (n < per_block || i >= whole)
                block_fill(p, chunk + i * cluster, n);
            if (n == per_block)
                whole = MAX(whole, i + 1);
            left -= n;
        }
        r = block_node_pwrite(p->file, (p->blocks_at + b) << p->g.cluster_bits, chunk,
                              part * cluster, 0);
    }
    return r;
}

static bool
plan_make(Plan *p, GError **err)
{
    const Qcow2CreateOptions *o = p->o;
    uint64_t others;

    p->g = (Qcow2Geometry){ o->cluster_bits, o->refcount_order, o->extended_l2 };
    p->map = qcow2_layout_mapping(&p->g, o->size);
    p->prealloc = o->prealloc != BLOCK_PREALLOC_OFF || o->data_file_raw;
    if (p->map.l1_entries > (QCOW2_L1_BYTES_MAX / 8))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a disk of %" G_GUINT64_FORMAT " bytes is too large for clusters of "
                              "%u bytes; its limit is %" G_GUINT64_FORMAT
                              ": give a larger cluster_size",
                              o->size, 1u << o->cluster_bits,
                              (uint64_t)(QCOW2_L1_BYTES_MAX / 8) *
                                  (qcow2_layout_l2_entries(&p->g) << o->cluster_bits));
    if (o->encrypted && !luks_options_payload(&o->luks, &p->luks_bytes, err))
        return false;
    p->luks_clusters = qcow2_layout_div(p->luks_bytes, UINT64_C(1) << o->cluster_bits);
    others = 1 + p->map.l1_clusters + p->luks_clusters;
    if (p->prealloc)
        others += p->map.l2_tables + (o->data_file ? 0 : p->map.guest_clusters);
    qcow2_layout_refcounts(&p->g, others, &p->blocks, &p->table_clusters);
    if (p->table_clusters << o->cluster_bits > QCOW2_REFTABLE_BYTES_MAX)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "the refcount table of this image would have %" G_GUINT64_FORMAT
                              " bytes, more than %d: give a larger cluster_size or fewer "
                              "refcount_bits",
                              p->table_clusters << o->cluster_bits, QCOW2_REFTABLE_BYTES_MAX);
    p->table_at = 1;
    p->blocks_at = p->table_at + p->table_clusters;
    p->l1_at = p->blocks_at + p->blocks;
    p->luks_at = p->l1_at + p->map.l1_clusters;
    p->l2_at = p->luks_at + p->luks_clusters;
    p->data_at = o->data_file ? 0 : p->l2_at + p->map.l2_tables;
    p->end = others + p->blocks + p->table_clusters;
    return true;
}

static void
plan_header(const Plan *p, Qcow2Header *h)
{
    const Qcow2CreateOptions *o = p->o;

    h->version = o->version;
    h->cluster_bits = o->cluster_bits;
    h->size = o->size;
    h->l1_size = p->map.l1_entries;
    h->l1_offset = p->map.l1_entries ? p->l1_at << o->cluster_bits : 0;
    h->refcount_table_offset = p->table_at << o->cluster_bits;
    h->refcount_table_clusters = p->table_clusters;
    h->refcount_order = o->refcount_order;
    h->compression_type = o->compression_type;
    h->incompatible = (o->data_file ? QCOW2_INCOMPAT_DATA_FILE : 0) |
                      (o->compression_type ? QCOW2_INCOMPAT_COMPRESSION : 0) |
                      (o->extended_l2 ? QCOW2_INCOMPAT_EXTENDED_L2 : 0);
    h->compatible = o->lazy_refcounts ? QCOW2_COMPAT_LAZY_REFCOUNTS : 0;
    h->autoclear = o->data_file_raw ? QCOW2_AUTOCLEAR_RAW_DATA_FILE : 0;
    if (o->encrypted) {
        h->crypt_method = QCOW2_CRYPT_LUKS;
        h->luks.offset = p->luks_at << o->cluster_bits;
        h->luks.length = p->luks_bytes;
    }
    h->backing_file = g_strdup(o->backing_file);
    h->backing_format = g_strdup(o->backing_format);
    h->data_file = g_strdup(o->data_file);
}

/* Lets the file reach to @end; what is new is allocated as @prealloc says. */
static bool
file_reach(BlockNode *file, uint64_t end, BlockPrealloc prealloc, GError **err)
{
    if (file->size >= end)
        return true;
    if (file->is_device)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "device '%s' has %" G_GUINT64_FORMAT " bytes, the image needs "
                              "%" G_GUINT64_FORMAT,
                              block_node_filename(file), file->size, end);
    return block_image_resize(file, end, prealloc, false, err);
}

static bool
data_file_create(const Qcow2CreateOptions *o, const BlockImageOptions *image, GError **err)
{
    static const char *const names[] = { "off", "off", "falloc", "full" };
    g_autoptr(GHashTable) options = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);

    g_hash_table_insert(options, (char *)"size", g_strdup_printf("%" G_GUINT64_FORMAT, o->size));
    if (o->prealloc >= BLOCK_PREALLOC_FALLOC)
        g_hash_table_insert(options, (char *)"preallocation", g_strdup(names[o->prealloc]));
    return block_image_create(o->data_file, "raw", options, image, err);
}

bool
qcow2_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    Qcow2CreateOptions o;
    Plan p = { .file = file, .o = &o };
    Qcow2Header h = { 0 };
    g_autofree uint8_t *first = NULL;
    uint64_t meta_end;
    int r;

    if (!qcow2_create_options_parse(options, &o, err))
        return false;
    if (!o.has_size)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "a qcow2 image needs the option 'size'");
    if ((o.encrypted && !luks_crypto_need(&image->ops, err)) || !plan_make(&p, err))
        return false;
    first = g_malloc0((size_t)1 << o.cluster_bits);
    plan_header(&p, &h);
    r = qcow2_header_format(&h, first, (size_t)1 << o.cluster_bits);
    qcow2_header_clear(&h);
    if (r < 0)
        return kiln_error_set_errno(err, VIR_ERR_INVALID_ARG, r,
                                    "the names of the backing file and the data file do not fit "
                                    "into a first cluster of %u bytes; give a larger cluster_size",
                                    1u << o.cluster_bits);
    if (o.data_file && !data_file_create(&o, image, err))
        return false;
    meta_end = p.prealloc && !o.data_file ? p.data_at : p.end;
    if (!file_reach(file, meta_end << o.cluster_bits, BLOCK_PREALLOC_OFF, err))
        return false;
    r = write_refcounts(&p);
    if (r == 0)
        r = write_words(&p, p.l1_at, p.map.l1_clusters, word_l1);
    if (r == 0 && p.prealloc)
        r = write_words(&p, p.l2_at, p.map.l2_tables, word_l2);
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, file,
                               "writing the tables of image '%s'", block_node_filename(file));
    if (!file_reach(file, p.end << o.cluster_bits,
                    o.prealloc == BLOCK_PREALLOC_METADATA ? BLOCK_PREALLOC_OFF : o.prealloc, err))
        return false;
    if (o.encrypted && !luks_format(file, p.luks_at << o.cluster_bits, &o.luks, &image->ops, err))
        return false;
    r = block_node_flush(file);
    if (r == 0)
        r = block_node_pwrite(file, 0, first, (size_t)1 << o.cluster_bits, 0);
    if (r == 0)
        r = block_node_flush(file);
    if (r < 0)
        return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, file,
                               "writing the header of image '%s'", block_node_filename(file));
    return true;
}
