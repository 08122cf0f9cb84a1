/* read.c - reading in a thread that may wait: compressed clusters, backing files, tables that are
 * not cached.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/qcow2/crypt.h"
#include "block/qcow2/tables.h"

static int
read_backing(BlockNode *node, uint64_t offset, uint8_t *buf, size_t length)
{
    BlockNode *backing = node->backing;
    size_t n = backing && offset < backing->size ? MIN(length, backing->size - offset) : 0;
    int r = n > 0 ? block_node_pread(backing, offset, buf, n) : 0;

    memset(buf + n, 0, length - n);
    return r;
}

static int
read_compressed(Qcow2 *q, const Qcow2Run *run, uint64_t offset, uint8_t *buf)
{
    uint64_t place, bytes;
    g_autofree uint8_t *in = NULL, *out = NULL;
    int r;

    qcow2_entry_compressed(q, run->entry, &place, &bytes);
    /* bytes has at most cluster_bits + 1 bits by its width in the entry */
    in = g_try_malloc(bytes);
    out = g_try_malloc(q->cluster_size);
    if (!in || !out)
        return -ENOMEM;
    r = block_node_pread(q->node->file, place, in, bytes);
    if (r == 0)
        r = qcow2_decompress(q->header.compression_type, in, bytes, out, q->cluster_size);
    if (r == 0)
        memcpy(buf, out + (offset & (q->cluster_size - 1)), run->length);
    return r;
}

int
qcow2_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    Qcow2 *q = qcow2_of(node);
    uint8_t *out = buf;

    while (length > 0) {
        Qcow2Run run;
        unsigned hold = 0;
        int r;

        g_mutex_lock(&q->lock);
        r = qcow2_run_find(q, offset, length, false, &run);
        g_mutex_lock(&q->table_lock);
        if (r == 0)
            hold = qcow2_hold(q);
        g_mutex_unlock(&q->table_lock);
        g_mutex_unlock(&q->lock);
        if (r < 0)
            return r;
        switch (run.kind) {
        case QCOW2_NORMAL:
            r = qcow2_data_read(q, offset, run.host, out, run.length);
            break;
        case QCOW2_COMPRESSED_DATA:
            r = read_compressed(q, &run, offset, out);
            break;
        case QCOW2_ZERO_PLAIN:
        case QCOW2_ZERO_ALLOCATED:
            memset(out, 0, run.length);
            break;
        default:
            r = read_backing(node, offset, out, run.length);
            break;
        }
        qcow2_hold_release(q, hold);
        if (r < 0)
            return r;
        out += run.length;
        offset += run.length;
        length -= run.length;
    }
    return 0;
}
