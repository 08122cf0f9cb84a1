/* check_claims.c - which clusters belong to the disk as it is now, to its bitmaps, and to what
 * leads to them.
 *
 * A damaged entry may say that an L1 or L2 table is where the image has something else, which would
 * be mended as if it were a table, and lost. So what is where is asked first, and what lies on
 * something else is taken for a table only when nothing in it has to be mended.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/qcow2/check.h"

enum {
    RUN = 64 << 10, /* bytes of a table read at once */

    PIECE_BITS = 16,
    PIECE = 1 << PIECE_BITS, /* clusters, a byte for each */
    PIECES_MAX = 8192,       /* 512 MiB of memory */

    DISK = 1 << 0,         /* data of the disk, or what leads to them */
    L2_TABLE = 1 << 1,     /* … as an L2 table */
    OTHER = 1 << 2,        /* what is surely no L2 table: other metadata, bitmaps */
    BITMAP_TABLE = 1 << 3, /* … of these the table of a bitmap */
    JUDGED = 1 << 4,       /* was looked at as if it were an L2 table */
    SOUND = 1 << 5,        /* … and nothing in it would be mended */
};

struct CheckClaims {
    uint64_t limit, n_pieces;
    unsigned n_made;
    bool is_full;
    uint8_t *pieces[]; /* each made when something in it is marked */
};

static CheckClaims *
claims_new(uint64_t limit)
{
    uint64_t n = (limit >> PIECE_BITS) + 1;
    /* as many as the counts of references have pointers */
    CheckClaims *m = g_try_malloc0(sizeof(*m) + n * sizeof(m->pieces[0]));

    if (m) {
        m->limit = limit;
        m->n_pieces = n;
    }
    return m;
}

void
check_claims_free(CheckClaims *m)
{
    for (uint64_t i = 0; m && i < m->n_pieces; i++)
        g_free(m->pieces[i]);
    g_free(m);
}

static uint8_t *
kinds_get(CheckClaims *m, uint64_t cluster)
{
    uint8_t **piece = &m->pieces[cluster >> PIECE_BITS];

    if (!*piece && m->n_made < PIECES_MAX) {
        *piece = g_try_malloc0(PIECE);
        m->n_made++;
    }
    m->is_full |= !*piece;
    return *piece ? *piece + cluster % PIECE : NULL;
}

static void
mark(const Qcow2Checker *c, uint64_t offset, uint64_t bytes, uint8_t kinds)
{
    uint64_t end = qcow2_layout_div(offset + bytes, c->cluster);

    if (offset + bytes < offset || end > c->claims->limit)
        return;
    for (uint64_t i = offset / c->cluster; i < end && !c->claims->is_full; i++) {
        uint8_t *known = kinds_get(c->claims, i);

        if (known)
            *known |= kinds;
    }
}

/* Whether some of [offset, offset + bytes) is one of @kinds. */
static bool
is_any(const Qcow2Checker *c, uint64_t offset, uint64_t bytes, uint8_t kinds)
{
    CheckClaims *m = c->claims;
    uint64_t end = MIN(qcow2_layout_div(offset + bytes, c->cluster), m ? m->limit : 0);

    for (uint64_t i = offset / c->cluster; i < end; i++) {
        const uint8_t *piece = m->pieces[i >> PIECE_BITS];

        if (piece && piece[i % PIECE] & kinds)
            return true;
    }
    return false;
}

/* ---- what is sound as a table ---- */

/* The sectors of a compressed cluster. */
static void
packed_place(const Qcow2Checker *c, uint64_t word, uint64_t *ret_offset, uint64_t *ret_bytes)
{
    unsigned x = 62 - (c->g.cluster_bits - 8);

    *ret_offset = (word & ((UINT64_C(1) << x) - 1)) / 512 * 512;
    *ret_bytes = (((word & ~(QCOW2_COPIED | QCOW2_COMPRESSED)) >> x) + 1) * 512;
}

/* Whether check_mapping() would leave an entry as it is. */
static bool
entry_is_sound(const Qcow2Checker *c, uint64_t index, uint64_t word, uint64_t subclusters)
{
    uint64_t zero = c->g.extended_l2 || c->h->version < 3 ? 0 : QCOW2_ZERO;
    uint64_t host = word & QCOW2_OFFSET_MASK, offset, bytes;
    bool has_place = host || (c->has_data_file && word & QCOW2_COPIED);

    if (word & QCOW2_COMPRESSED) {
        packed_place(c, word, &offset, &bytes);
        return !(word & QCOW2_COPIED) && subclusters == 0 && !c->has_data_file &&
               offset >= c->cluster && offset / c->cluster < c->n_clusters &&
               qcow2_layout_div(offset + bytes, c->cluster) <= c->n_clusters;
    }
    if (word & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED | zero) || subclusters >> 32 & subclusters ||
        (!has_place && subclusters & UINT32_MAX))
        return false;
    if (!has_place)
        return true;
    return c->has_data_file ? host % c->cluster == 0 &&
                                  host / c->cluster % qcow2_layout_l2_entries(&c->g) == index
                            : check_in_file(c, host, c->cluster);
}

/* Reads each table once: L1 tables may name one as often as they have entries. */
static bool
l2_is_sound(Qcow2Checker *c, uint64_t host)
{
    g_autofree uint8_t *table = NULL;
    size_t width = c->g.extended_l2 ? 16 : 8;
    bool sound = true;
    int r;

    if (is_any(c, host, c->cluster, JUDGED))
        return is_any(c, host, c->cluster, SOUND);
    table = g_malloc(c->cluster);
    r = check_read(c, host, table, c->cluster);
    if (r < 0)
        c->failed = r;
    for (uint64_t i = 0; i < c->cluster / width && r == 0 && sound; i++)
        sound = entry_is_sound(c, i, be64(table + i * width),
                               width == 16 ? be64(table + i * width + 8) : 0);
    mark(c, host, c->cluster, JUDGED | (sound ? SOUND : 0));
    return sound;
}

bool
check_l2_fits(Qcow2Checker *c, uint64_t host, bool active)
{
    /* what a snapshot shares with the disk is a table of both */
    bool lies_on = active ? is_any(c, host, c->cluster, OTHER)
                          : is_any(c, host, c->cluster, DISK | OTHER) &&
                                !is_any(c, host, c->cluster, L2_TABLE);

    return !lies_on || l2_is_sound(c, host);
}

bool
check_l1_fits(Qcow2Checker *c, uint64_t offset, uint32_t entries)
{
    g_autofree uint8_t *run = NULL;
    uint64_t bytes = (uint64_t)entries * 8;
    bool fits = true;
    int r = 0;

    if (!is_any(c, offset, bytes, DISK | OTHER))
        return true;
    run = g_malloc(RUN);
    for (uint64_t at = 0, part; fits && r == 0 && at < bytes; at += part) {
        part = MIN(bytes - at, (uint64_t)RUN);
        r = check_read(c, offset + at, run, part);
        for (uint64_t i = 0; fits && r == 0 && i < part; i += 8) {
            uint64_t word = be64(run + i), host = word & QCOW2_OFFSET_MASK;

            fits = !(word & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED)) &&
                   (host == 0 || (host >= c->cluster && check_in_file(c, host, c->cluster) &&
                                  check_l2_fits(c, host, false)));
        }
    }
    if (r < 0)
        c->failed = r;
    return fits;
}

bool
check_is_disk(const Qcow2Checker *c, uint64_t offset, uint64_t bytes)
{
    return is_any(c, offset, bytes, DISK);
}

bool
check_is_l2(const Qcow2Checker *c, uint64_t offset, uint64_t bytes)
{
    return is_any(c, offset, bytes, L2_TABLE);
}

/* ---- what belongs to what ---- */

typedef int (*ClaimWord)(Qcow2Checker *c, uint64_t word);

/* Calls @claim for what is in a table of @n words, each the first of @width bytes. */
static int
table_walk(Qcow2Checker *c, uint64_t offset, uint64_t n, size_t width, ClaimWord claim)
{
    g_autofree uint8_t *run = g_malloc(RUN);
    int r = 0;

    for (uint64_t at = 0, left; r == 0 && at < n * width; at += left) {
        left = MIN(n * width - at, (uint64_t)RUN);
        r = check_read(c, offset + at, run, left);
        for (uint64_t i = 0; r == 0 && i < left; i += width)
            r = claim(c, be64(run + i));
    }
    return r;
}

static int
claim_block(Qcow2Checker *c, uint64_t word)
{
    if (word && check_in_file(c, word, c->cluster))
        mark(c, word, c->cluster, DISK | OTHER);
    return 0;
}

static int
claim_data(Qcow2Checker *c, uint64_t word)
{
    uint64_t offset, bytes;

    if (word & QCOW2_COMPRESSED) {
        packed_place(c, word, &offset, &bytes);
        mark(c, offset, bytes, DISK);
    } else if (word & QCOW2_OFFSET_MASK && !c->has_data_file) {
        mark(c, word & QCOW2_OFFSET_MASK, c->cluster, DISK);
    }
    return 0;
}

static int
claim_l2(Qcow2Checker *c, uint64_t word)
{
    uint64_t host = word & QCOW2_OFFSET_MASK;

    /* each table once: a damaged L1 table may name one of them as often as it has entries */
    if (host == 0 || !check_in_file(c, host, c->cluster) || check_is_l2(c, host, c->cluster) ||
        !check_l2_fits(c, host, true))
        return 0;
    mark(c, host, c->cluster, DISK | L2_TABLE);
    /* data matter to the tables of snapshots only */
    if (c->h->snapshots == 0)
        return 0;
    return table_walk(c, host, qcow2_layout_l2_entries(&c->g), c->g.extended_l2 ? 16 : 8,
                      claim_data);
}

static int
claim_bitmap(Qcow2Checker *c, const Qcow2BitmapEntry *e)
{
    uint64_t bytes = (uint64_t)e->table_size * 8;
    g_autofree uint8_t *table = NULL;
    int r;

    /* no part of a table is read twice, however many bitmaps say that it is theirs */
    if (is_any(c, e->table_offset, bytes, BITMAP_TABLE))
        return 0;
    r = check_bitmap_table(c, e, &table);
    if (r < 0 || !table)
        return r;
    mark(c, e->table_offset, bytes, OTHER | BITMAP_TABLE);
    for (uint32_t i = 0; i < e->table_size; i++)
        if (be64(table + i * 8) & QCOW2_BITMAP_TABLE_OFFSET)
            mark(c, be64(table + i * 8) & QCOW2_BITMAP_TABLE_OFFSET, c->cluster, OTHER);
    return 0;
}

/* A directory that makes no sense is given up by check_bitmaps(). */
static int
claim_bitmaps(Qcow2Checker *c)
{
    const Qcow2Header *h = c->h;
    g_autoptr(GPtrArray) directory = NULL;
    int r = qcow2_bitmap_directory_read(c->file, c->g.cluster_bits, h->bitmaps.directory_offset,
                                        h->bitmaps.directory_size, h->bitmaps.count, &directory);

    if (r < 0 || !check_in_file(c, h->bitmaps.directory_offset, h->bitmaps.directory_size))
        return r == -EINVAL ? 0 : r;
    mark(c, h->bitmaps.directory_offset, h->bitmaps.directory_size, OTHER);
    for (guint i = 0; i < directory->len && r == 0; i++)
        r = claim_bitmap(c, directory->pdata[i]);
    return r;
}

int
check_claim(Qcow2Checker *c, uint64_t snapshot_table_bytes)
{
    const Qcow2Header *h = c->h;
    uint64_t blocks = h->refcount_table_clusters * c->cluster, l1 = (uint64_t)h->l1_size * 8;
    bool has_bitmaps = h->bitmaps.count > 0 && h->autoclear & QCOW2_AUTOCLEAR_BITMAPS;
    int r = 0;

    if (!check_mends(c) || (h->snapshots == 0 && h->luks.length == 0 && !has_bitmaps))
        return 0;
    c->claims = claims_new(c->n_clusters);
    if (!c->claims)
        return -ENOMEM;
    mark(c, 0, c->cluster, DISK | OTHER);
    mark(c, h->luks.offset, h->luks.length, DISK | OTHER);
    mark(c, h->l1_offset, l1, DISK | OTHER);
    mark(c, h->refcount_table_offset, blocks, DISK | OTHER);
    mark(c, h->snapshots_offset, snapshot_table_bytes, OTHER);
    if (check_in_file(c, h->refcount_table_offset, blocks))
        r = table_walk(c, h->refcount_table_offset, blocks / 8, 8, claim_block);
    if (r == 0 && has_bitmaps)
        r = claim_bitmaps(c);
    if (r == 0 && check_in_file(c, h->l1_offset, l1))
        r = table_walk(c, h->l1_offset, h->l1_size, 8, claim_l2);
    return r == 0 && c->claims->is_full ? -ENOMEM : r;
}
