/* write.c - writing in a thread that may wait: new clusters, with the old content around what is
 * written copied in the same write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/crypt.h"
#include "block/qcow2/refcount.h"
#include "block/qcow2/tables.h"
#include "block/qcow2/upkeep.h"

enum { WRITE_MAX = 4 << 20 }; /* bytes of new clusters at once */

/* What is written: bytes in memory, or (buf NULL) those of a file whose blocks are shared. */
typedef struct {
    const uint8_t *buf;
    int fd;
    uint64_t from;
} Content;

/* New clusters for a write of [offset, offset + length). */
typedef struct {
    uint64_t offset, length;
    uint64_t cluster, count; /* of the guest */
    uint64_t host;           /* of the first */
    bool fresh;              /* they read as zeroes */
    bool reuse;              /* the cluster is the guest's already; only its content is made */
    uint64_t low, high;      /* what has to be written in the end, old content included */
    Qcow2Entry *old;         /* count entries */
} Place;

static uint64_t
cluster_of(const Qcow2 *q, uint64_t offset)
{
    return offset >> q->header.cluster_bits;
}

/* Whether the entry's cluster is the guest's own, to be filled without another one. */
static bool
entry_is_own(const Qcow2 *q, Qcow2Entry e)
{
    return qcow2_entry_has_cluster(q, e) && e.entry & QCOW2_COPIED;
}

/* How far old content has to be copied at @at, inside the cluster of @e: to the next border of a
 * subcluster where the others may stay what they are, else of the cluster. */
static uint64_t
copy_unit(const Qcow2 *q, Qcow2Entry e)
{
    if (!q->extended_l2 || e.entry & QCOW2_COMPRESSED)
        return q->cluster_size;
    /* data that cannot be written in place: the new cluster has to have all of it */
    if (qcow2_entry_has_cluster(q, e) && !entry_is_own(q, e))
        return q->cluster_size;
    return q->subcluster_size;
}

/* From where to where old content stands around the write. */
static void
place_borders(const Qcow2 *q, Place *p)
{
    uint64_t end = p->offset + p->length;
    Qcow2Entry first = p->old[0], last = p->old[p->count - 1];
    unsigned sub;

    p->low = p->offset / copy_unit(q, first) * copy_unit(q, first);
    p->high = (end + copy_unit(q, last) - 1) / copy_unit(q, last) * copy_unit(q, last);
    if (!p->reuse || !q->extended_l2)
        return;
    /* subclusters that are there keep their bytes */
    sub = (p->offset & (q->cluster_size - 1)) / q->subcluster_size;
    if (qcow2_entry_kind(q, first, sub) == QCOW2_NORMAL)
        p->low = p->offset;
    sub = ((end - 1) & (q->cluster_size - 1)) / q->subcluster_size;
    if (qcow2_entry_kind(q, last, sub) == QCOW2_NORMAL)
        p->high = end;
}

/* Clusters from the write's first on that all need new ones, within one L2 table. */
static int
place_count(Qcow2 *q, Place *p)
{
    uint64_t last = cluster_of(q, p->offset + p->length - 1), in_table;
    int r;

    in_table = (UINT64_C(1) << q->l2_bits) - (p->cluster & ((UINT64_C(1) << q->l2_bits) - 1));
    last = MIN(last, p->cluster + in_table - 1);
    last = MIN(last, p->cluster + MAX(WRITE_MAX >> q->header.cluster_bits, 1) - 1);
    p->old = g_try_new0(Qcow2Entry, last - p->cluster + 1);
    if (!p->old)
        return -ENOMEM;
    for (uint64_t c = p->cluster; c <= last; c++) {
        Qcow2Entry e;

        r = qcow2_entry_get(q, c, &e);
        if (r < 0)
            return r;
        for (unsigned s = 0; s < (q->extended_l2 ? QCOW2_SUBCLUSTERS : 1); s++)
            if (qcow2_entry_kind(q, e, s) == QCOW2_INVALID)
                return qcow2_mark_corrupt(q);
        if (c > p->cluster && (p->reuse || entry_is_own(q, e)))
            break;
        if (c == p->cluster)
            p->reuse = entry_is_own(q, e);
        p->old[p->count++] = e;
    }
    p->length = MIN(p->length, ((p->cluster + p->count) << q->header.cluster_bits) - p->offset);
    return 0;
}

/* Where the new content goes. Lock held. */
static int
place_take(Qcow2 *q, Place *p)
{
    int r = place_count(q, p);

    if (r == 0)
        r = qcow2_table_need(q, p->cluster);
    if (r < 0)
        return r;
    if (p->reuse) {
        p->host = qcow2_entry_place(p->old[0]);
        r = qcow2_is_data(q, p->host, q->cluster_size) ? 0 : qcow2_mark_corrupt(q);
    } else if (q->has_data_file) {
        p->host = p->cluster << q->header.cluster_bits;
    } else {
        r = qcow2_alloc_data(q, p->count << q->header.cluster_bits, &p->host, &p->fresh);
    }
    if (r == 0)
        place_borders(q, p);
    return r;
}

/* Whether old content at @offset, of the cluster with @e, is known to be zeroes. */
static bool
old_is_zero(const Qcow2 *q, Qcow2Entry e, uint64_t from, uint64_t to)
{
    const BlockNode *backing = q->node->backing;
    uint64_t mask = q->cluster_size - 1;
    unsigned last = to > from ? ((to - 1) & mask) / q->subcluster_size : 0;

    for (unsigned s = (from & mask) / q->subcluster_size; from < to && s <= last; s++) {
        Qcow2Kind kind = qcow2_entry_kind(q, e, s);

        if (!qcow2_kind_is_zero(kind) &&
            !(qcow2_kind_is_backing(kind) && (!backing || from >= backing->size)))
            return false;
    }
    return true;
}

static int
content_write(Qcow2 *q, const Content *content, uint64_t offset, uint64_t host, uint64_t length,
              BlockFlags flags)
{
    if (content->buf)
        return qcow2_data_write(q, offset, host, content->buf, length, flags);
    return block_node_reflink(q->data, host, content->fd, content->from, length);
}

static int
place_write(Qcow2 *q, const Place *p, const Content *content)
{
    uint64_t end = p->offset + p->length, low = p->low, high = p->high;
    uint64_t base = p->cluster << q->header.cluster_bits;
    BlockFlags flags = p->fresh ? BLOCK_FRESH : 0;
    g_autofree uint8_t *whole = NULL;
    int r = 0;

    /* what is not written would not read as zeroes once it is decrypted */
    if (p->fresh && !q->crypt && old_is_zero(q, p->old[0], low, p->offset))
        low = p->offset;
    if (p->fresh && !q->crypt && old_is_zero(q, p->old[p->count - 1], end, high))
        high = end;
    if (low < p->offset || end < high) {
        whole = g_try_malloc(high - low);
        if (!whole)
            return -ENOMEM;
        r = low < p->offset ? qcow2_pread(q->node, low, whole, p->offset - low) : 0;
        if (r == 0 && end < high)
            r = qcow2_pread(q->node, end, whole + (end - low), high - end);
        if (r < 0)
            return r;
        memcpy(whole + (p->offset - low), content->buf, p->length);
        return qcow2_data_write(q, low, p->host + (low - base), whole, high - low, flags);
    }
    return content_write(q, content, low, p->host + (low - base), high - low, flags);
}

/* What the entry of the write's cluster number @i becomes. */
static Qcow2Entry
place_entry(const Qcow2 *q, const Place *p, uint64_t i)
{
    Qcow2Entry e = p->old[i], ret = { 0 };
    uint64_t base = (p->cluster + i) << q->header.cluster_bits;
    uint64_t from = MAX(p->low, base), to = MIN(p->high, base + q->cluster_size);

    ret.entry = (p->host + (i << q->header.cluster_bits)) | QCOW2_COPIED;
    if (!q->extended_l2)
        return ret;
    if (copy_unit(q, e) == q->subcluster_size)
        ret.bitmap = e.bitmap;
    for (uint64_t s = (from - base) / q->subcluster_size; s <= (to - 1 - base) / q->subcluster_size;
         s++) {
        ret.bitmap |= UINT64_C(1) << s;
        ret.bitmap &= ~(UINT64_C(1) << (s + QCOW2_SUBCLUSTERS));
    }
    return ret;
}

void
qcow2_free_entry(Qcow2 *q, Qcow2Entry e, bool discard)
{
    uint64_t place, bytes;

    if (e.entry & QCOW2_COMPRESSED) {
        qcow2_entry_compressed(q, e, &place, &bytes);
        qcow2_free(q, place, bytes, discard);
    } else if (qcow2_entry_has_cluster(q, e) && !q->has_data_file) {
        qcow2_free(q, qcow2_entry_place(e), q->cluster_size, discard);
    }
}

/* The guest's clusters are the new ones. Lock held. */
static int
place_finish(Qcow2 *q, const Place *p)
{
    for (uint64_t i = 0; i < p->count; i++) {
        int r = qcow2_entry_set(q, p->cluster + i, place_entry(q, p, i));

        if (r < 0) {
            if (!p->reuse && !q->has_data_file)
                qcow2_free(q, p->host + (i << q->header.cluster_bits),
                           (p->count - i) << q->header.cluster_bits, false);
            return r;
        }
        if (!p->reuse)
            qcow2_free_entry(q, p->old[i], false);
    }
    return 0;
}

/* Writes from @offset on into new clusters; *ret: bytes done. Lock held, left for the I/O. */
static int
write_new(Qcow2 *q, uint64_t offset, const Content *content, uint64_t length, uint64_t *ret)
{
    Place p = { .offset = offset, .length = length, .cluster = cluster_of(q, offset) };
    Qcow2Change change;
    int r = place_take(q, &p);

    if (r < 0) {
        g_free(p.old);
        return r;
    }
    change = (Qcow2Change){ .first = p.cluster, .end = p.cluster + p.count };
    qcow2_change_begin(q, &change);
    qcow2_bitmaps_dirty(q->node, p.offset, p.length);
    g_mutex_unlock(&q->lock);
    r = place_write(q, &p, content);
    g_mutex_lock(&q->lock);
    if (r == 0)
        r = place_finish(q, &p);
    else if (!p.reuse && !q->has_data_file)
        qcow2_free(q, p.host, p.count << q->header.cluster_bits, false);
    qcow2_change_end(q, &change);
    g_free(p.old);
    *ret = p.length;
    return r;
}

/* Writes in place what is the image's own. Lock held, left for the I/O. */
static int
write_in_place(Qcow2 *q, uint64_t offset, const Qcow2Run *run, const Content *content)
{
    unsigned hold;
    int r;

    if (!qcow2_is_data(q, run->host, run->length))
        return qcow2_mark_corrupt(q);
    g_mutex_lock(&q->table_lock);
    hold = qcow2_hold(q);
    g_mutex_unlock(&q->table_lock);
    qcow2_bitmaps_dirty(q->node, offset, run->length);
    g_mutex_unlock(&q->lock);
    r = content_write(q, content, offset, run->host, run->length, 0);
    qcow2_hold_release(q, hold);
    g_mutex_lock(&q->lock);
    return r;
}

static int
write_content(BlockNode *node, uint64_t offset, Content content, uint64_t length)
{
    Qcow2 *q = qcow2_of(node);
    int r = 0;

    g_mutex_lock(&q->lock);
    while (r == 0 && length > 0) {
        uint64_t done = MIN(length, WRITE_MAX);
        Qcow2Run run;

        if (g_atomic_int_get(&q->corrupt)) {
            r = -EIO;
            break;
        }
        qcow2_change_wait(q, cluster_of(q, offset), cluster_of(q, offset + done - 1) + 1);
        r = qcow2_run_find(q, offset, length, false, &run);
        if (r < 0)
            break;
        if (run.kind == QCOW2_NORMAL && run.copied) {
            done = run.length;
            r = write_in_place(q, offset, &run, &content);
        } else {
            r = write_new(q, offset, &content, done, &done);
        }
        if (content.buf)
            content.buf += done;
        content.from += done;
        offset += done;
        length -= done;
    }
    g_mutex_unlock(&q->lock);
    return r;
}

int
qcow2_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    (void)flags;
    return write_content(node, offset, (Content){ .buf = buf }, length);
}

/* Whole clusters: no old content is around them. Whether it can be done is asked before clusters
 * are taken, which would leave their places behind. */
int
qcow2_reflink(BlockNode *node, uint64_t offset, int fd, uint64_t from, uint64_t length)
{
    Qcow2 *q = qcow2_of(node);
    int r;

    if (q->crypt || (offset | length) % q->cluster_size != 0)
        return -EOPNOTSUPP;
    r = block_node_reflink(q->data, q->cluster_size, fd, from, 0);
    if (r < 0 || length == 0)
        return r;
    return write_content(node, offset, (Content){ .fd = fd, .from = from }, length);
}
