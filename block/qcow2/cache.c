/* cache.c - a bounded cache of slices of tables, written back.
 *
 * What was not used since the hand passed last is dropped first, clean slices before dirty ones.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/cache.h"

#include <errno.h>
#include <string.h>

enum { SLICE_MAX = 4096, SLICES_MIN = 4 };

typedef struct {
    uint64_t offset;
    GList link;
    bool dirty, used;
    uint8_t data[];
} Slice;

struct Qcow2Cache {
    Qcow2 *q;
    GHashTable *slices; /* offset → Slice, owned */
    GQueue ring;
    uint32_t slice;
    size_t max, dirty;
    int (*make_room)(Qcow2 *q);
};

Qcow2Cache *
qcow2_cache_new(Qcow2 *q, size_t max_bytes, int (*make_room)(Qcow2 *q))
{
    Qcow2Cache *c = g_new0(Qcow2Cache, 1);

    c->q = q;
    c->slice = MIN(q->cluster_size, SLICE_MAX);
    c->max = MAX(max_bytes / c->slice, SLICES_MIN);
    c->slices = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
    c->make_room = make_room;
    g_queue_init(&c->ring);
    return c;
}

void
qcow2_cache_free(Qcow2Cache *c)
{
    if (!c)
        return;
    g_hash_table_unref(c->slices);
    g_free(c);
}

uint32_t
qcow2_cache_slice(const Qcow2Cache *c)
{
    return c->slice;
}

static void
slice_drop(Qcow2Cache *c, Slice *s)
{
    g_mutex_lock(&c->q->table_lock);
    c->dirty -= s->dirty;
    g_queue_unlink(&c->ring, &s->link);
    g_hash_table_remove(c->slices, &s->offset);
    g_mutex_unlock(&c->q->table_lock);
}

/* A clean slice that was not used lately, or NULL when all are dirty. */
static Slice *
cache_victim(Qcow2Cache *c)
{
    for (guint n = c->ring.length * 2; n > 0; n--) {
        GList *link = g_queue_pop_head_link(&c->ring);
        Slice *s = link->data;

        g_queue_push_tail_link(&c->ring, link);
        if (!s->used && !s->dirty)
            return s;
        if (!s->dirty)
            s->used = false;
    }
    return NULL;
}

static int
cache_reserve(Qcow2Cache *c)
{
    while (c->ring.length >= c->max) {
        Slice *s = cache_victim(c);
        int r = 0;

        if (s)
            slice_drop(c, s);
        else
            r = c->make_room(c->q);
        if (r < 0)
            return r;
        if (!s && c->dirty > 0)
            return -EIO; /* make_room() could not */
    }
    return 0;
}

uint8_t *
qcow2_cache_peek(Qcow2Cache *c, uint64_t offset)
{
    Slice *s = g_hash_table_lookup(c->slices, &offset);

    if (!s)
        return NULL;
    s->used = true;
    return s->data;
}

int
qcow2_cache_get(Qcow2Cache *c, uint64_t offset, uint8_t **ret)
{
    uint8_t *found = qcow2_cache_peek(c, offset);
    Slice *s;
    int r;

    if (found) {
        *ret = found;
        return 0;
    }
    r = cache_reserve(c);
    if (r < 0)
        return r;
    s = g_try_malloc(sizeof(*s) + c->slice);
    if (!s)
        return -ENOMEM;
    *s = (Slice){ .offset = offset, .used = true };
    s->link.data = s;
    r = block_node_pread(c->q->node->file, offset, s->data, c->slice);
    if (r < 0) {
        g_free(s);
        return r;
    }
    g_mutex_lock(&c->q->table_lock);
    g_hash_table_insert(c->slices, &s->offset, s);
    g_queue_push_tail_link(&c->ring, &s->link);
    g_mutex_unlock(&c->q->table_lock);
    *ret = s->data;
    return 0;
}

void
qcow2_cache_dirty(Qcow2Cache *c, uint64_t offset)
{
    Slice *s = g_hash_table_lookup(c->slices, &offset);

    if (s && !s->dirty) {
        s->dirty = true;
        c->dirty++;
    }
    g_atomic_int_set(&c->q->dirty, 1);
}

bool
qcow2_cache_is_dirty(const Qcow2Cache *c)
{
    return c->dirty > 0;
}

static int
compare_offsets(const void *a, const void *b)
{
    const Slice *x = *(Slice *const *)a, *y = *(Slice *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int
qcow2_cache_write(Qcow2Cache *c)
{
    g_autoptr(GPtrArray) dirty = NULL;

    if (c->dirty == 0)
        return 0;
    dirty = g_ptr_array_sized_new(c->dirty);
    for (GList *l = c->ring.head; l; l = l->next)
        if (((Slice *)l->data)->dirty)
            g_ptr_array_add(dirty, l->data);
    qsort(dirty->pdata, dirty->len, sizeof(gpointer), compare_offsets);
    for (guint i = 0; i < dirty->len; i++) {
        Slice *s = dirty->pdata[i];
        int r = block_node_pwrite(c->q->node->file, s->offset, s->data, c->slice, 0);

        if (r < 0)
            return r;
        s->dirty = false;
        c->dirty--;
    }
    return 0;
}

void
qcow2_cache_forget(Qcow2Cache *c, uint64_t offset, uint64_t bytes)
{
    if (bytes == UINT64_MAX) {
        while (c->ring.head)
            slice_drop(c, c->ring.head->data);
        return;
    }
    for (uint64_t at = offset / c->slice * c->slice; at < offset + bytes; at += c->slice) {
        Slice *s = g_hash_table_lookup(c->slices, &at);

        if (s)
            slice_drop(c, s);
    }
}
