/* counts.c - how often each cluster of an image is referred to, counted by several threads.
 *
 * A cell has 16 bits; what goes beyond is kept in a hash table. Cells are made in pieces when they
 * are first needed, so that a sparse file of any length costs what it holds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/counts.h"

#include <string.h>

enum {
    PIECE_BITS = 16,
    PIECE = 1 << PIECE_BITS, /* clusters: 4 GiB of 64 KiB each */
    PIECES_MAX = 8192,       /* 1 GiB of memory */
    POINTERS_MAX = 1 << 26,  /* 512 MiB of memory, when a file is that long */
    CELL_FULL = UINT16_MAX,
};

struct Qcow2Counts {
    uint64_t limit, n_pieces;
    uint16_t **pieces; /* each set once, by compare and exchange */
    gint n_made;       /* atomic */
    GMutex lock;
    GHashTable *beyond; /* cluster → uint64_t, for cells that are CELL_FULL; the lock */
};

Qcow2Counts *
qcow2_counts_new(uint64_t limit)
{
    Qcow2Counts *c = g_new0(Qcow2Counts, 1);

    c->limit = limit;
    c->n_pieces = (limit >> PIECE_BITS) + 1;
    c->pieces = c->n_pieces <= POINTERS_MAX ? g_try_new0(uint16_t *, c->n_pieces) : NULL;
    if (!c->pieces) {
        g_free(c);
        return NULL;
    }
    g_mutex_init(&c->lock);
    c->beyond = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, g_free);
    return c;
}

void
qcow2_counts_free(Qcow2Counts *c)
{
    if (!c)
        return;
    for (uint64_t i = 0; i < c->n_pieces; i++)
        g_free(c->pieces[i]);
    g_free(c->pieces);
    g_hash_table_unref(c->beyond);
    g_mutex_clear(&c->lock);
    g_free(c);
}

static uint16_t *
piece_get(Qcow2Counts *c, uint64_t i)
{
    uint16_t *piece = __atomic_load_n(&c->pieces[i], __ATOMIC_ACQUIRE), *made;

    if (piece)
        return piece;
    if (g_atomic_int_add(&c->n_made, 1) >= PIECES_MAX)
        return NULL;
    made = g_try_new0(uint16_t, PIECE);
    if (!made)
        return NULL;
    if (__atomic_compare_exchange_n(&c->pieces[i], &piece, made, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE))
        return made;
    g_free(made);
    return piece;
}

static void
add_beyond(Qcow2Counts *c, uint64_t cluster, uint64_t old, uint64_t weight)
{
    uint64_t *sum;

    g_mutex_lock(&c->lock);
    sum = g_hash_table_lookup(c->beyond, &cluster);
    if (!sum) {
        sum = g_new0(uint64_t, 1);
        g_hash_table_insert(c->beyond, g_memdup2(&cluster, sizeof(cluster)), sum);
    }
    *sum += (old == CELL_FULL ? 0 : old) + weight;
    g_mutex_unlock(&c->lock);
}

static void
cell_add(Qcow2Counts *c, uint16_t *cell, uint64_t cluster, uint64_t weight)
{
    uint16_t old = __atomic_load_n(cell, __ATOMIC_RELAXED), new;

    do {
        new = weight >= (uint64_t)(CELL_FULL - old) ? CELL_FULL : old + weight;
    } while (
        !__atomic_compare_exchange_n(cell, &old, new, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    if (new == CELL_FULL)
        add_beyond(c, cluster, old, weight);
}

bool
qcow2_counts_add(Qcow2Counts *c, uint64_t cluster, uint64_t n, uint64_t weight)
{
    g_return_val_if_fail(cluster <= c->limit && n <= c->limit - cluster, false);
    while (n > 0) {
        uint64_t at = cluster % PIECE, part = MIN(n, PIECE - at);
        uint16_t *piece = piece_get(c, cluster >> PIECE_BITS);

        if (!piece)
            return false;
        for (uint64_t i = 0; i < part; i++)
            cell_add(c, &piece[at + i], cluster + i, weight);
        cluster += part;
        n -= part;
    }
    return true;
}

uint64_t
qcow2_counts_get(Qcow2Counts *c, uint64_t cluster)
{
    uint16_t *piece = cluster < c->limit ? c->pieces[cluster >> PIECE_BITS] : NULL;
    uint64_t n = piece ? piece[cluster % PIECE] : 0;

    if (n == CELL_FULL) {
        g_mutex_lock(&c->lock);
        n = *(uint64_t *)g_hash_table_lookup(c->beyond, &cluster);
        g_mutex_unlock(&c->lock);
    }
    return n;
}

void
qcow2_counts_take(Qcow2Counts *c, uint64_t cluster)
{
    uint16_t *piece = cluster < c->limit ? c->pieces[cluster >> PIECE_BITS] : NULL;

    if (!piece || piece[cluster % PIECE] == 0)
        return;
    if (piece[cluster % PIECE] < CELL_FULL) {
        piece[cluster % PIECE]--;
        return;
    }
    /* the sum stays beyond the cell, which is right for any number there */
    *(uint64_t *)g_hash_table_lookup(c->beyond, &cluster) -= 1;
}

uint64_t
qcow2_counts_end(Qcow2Counts *c)
{
    for (uint64_t i = c->n_pieces; i-- > 0;)
        for (unsigned k = c->pieces[i] ? PIECE : 0; k-- > 0;)
            if (c->pieces[i][k])
                return (i << PIECE_BITS) + k + 1;
    return 0;
}

bool
qcow2_counts_any(Qcow2Counts *c, uint64_t cluster, uint64_t n)
{
    uint64_t end = cluster + MIN(n, c->limit - MIN(cluster, c->limit));

    while (cluster < end) {
        uint16_t *piece = c->pieces[cluster >> PIECE_BITS];

        if (!piece) {
            cluster = ((cluster >> PIECE_BITS) + 1) << PIECE_BITS;
        } else if (piece[cluster % PIECE]) {
            return true;
        } else {
            cluster++;
        }
    }
    return false;
}

bool
qcow2_counts_grow(Qcow2Counts *c, uint64_t limit)
{
    uint64_t n = (limit >> PIECE_BITS) + 1;
    uint16_t **pieces = n <= POINTERS_MAX ? g_try_renew(uint16_t *, c->pieces, n) : NULL;

    if (!pieces)
        return false;
    memset(pieces + c->n_pieces, 0, (n - c->n_pieces) * sizeof(*pieces));
    c->pieces = pieces;
    c->n_pieces = n;
    c->limit = limit;
    return true;
}
