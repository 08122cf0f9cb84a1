/* node.c - image nodes: their life, their properties, and who claimed them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/open.h"

#include <sys/stat.h>

#include "block/slow.h"
#include "block/throttle.h"
#include "util/error.h"

BlockNode *
block_node_new(void)
{
    BlockNode *node = g_new0(BlockNode, 1);

    node->refs = 1;
    node->fd = -1;
    node->mem_align = 1;
    node->request_align = BLOCK_SECTOR;
    g_mutex_init(&node->gate.lock);
    g_mutex_init(&node->fault.lock);
    g_cond_init(&node->gate.left);
    g_queue_init(&node->gate.waiting);
    node->gate.queues = g_ptr_array_new();
    return node;
}

BlockNode *
block_node_ref(BlockNode *node)
{
    g_atomic_int_inc(&node->refs);
    return node;
}

void
block_node_unref(BlockNode *node)
{
    if (!node || !g_atomic_int_dec_and_test(&node->refs))
        return;
    if (node->driver && node->driver->close)
        node->driver->close(node);
    if (node->slow)
        g_thread_pool_free(node->slow, FALSE, TRUE);
    block_throttle_unref(node->throttle);
    if (node->extents)
        g_ptr_array_unref(node->extents);
    block_node_unref(node->file);
    block_node_unref(node->backing);
    g_ptr_array_unref(node->gate.queues);
    g_cond_clear(&node->gate.left);
    g_mutex_clear(&node->gate.lock);
    g_mutex_clear(&node->fault.lock);
    g_free(node->state);
    g_free(node->backing_filename);
    g_free(node->backing_format);
    g_free(node->filename);
    g_free(node->name);
    g_free(node);
}

const char *
block_node_name(const BlockNode *node)
{
    return node->name;
}

void
block_node_set_name(BlockNode *node, const char *name)
{
    g_free(node->name);
    node->name = g_strdup(name);
}

const char *
block_node_driver(const BlockNode *node)
{
    return node->driver->name;
}

const char *
block_node_filename(const BlockNode *node)
{
    return block_node_protocol(node)->filename;
}

uint64_t
block_node_size(const BlockNode *node)
{
    return node->size;
}

bool
block_node_read_only(const BlockNode *node)
{
    return node->read_only || (node->file && block_node_read_only(node->file));
}

bool
block_node_can_discard(const BlockNode *node)
{
    return node->discard && (!node->file || block_node_can_discard(node->file)) &&
           !block_node_read_only(node);
}

bool
block_node_direct(const BlockNode *node)
{
    return block_node_protocol(node)->direct;
}

bool
block_node_no_flush(const BlockNode *node)
{
    return node->no_flush || (node->file && block_node_no_flush(node->file));
}

bool
block_node_needs_zstd(const BlockNode *node)
{
    return (node->driver->needs_zstd && node->driver->needs_zstd(node)) ||
           (node->file && block_node_needs_zstd(node->file)) ||
           (node->backing && block_node_needs_zstd(node->backing));
}

BlockNode *
block_node_file(const BlockNode *node)
{
    return node->file;
}

BlockNode *
block_node_backing(const BlockNode *node)
{
    return node->backing;
}

const char *
block_node_backing_filename(const BlockNode *node)
{
    return node->backing_filename;
}

const char *
block_node_backing_format(const BlockNode *node)
{
    return node->backing_format;
}

uint32_t
block_node_cluster_size(const BlockNode *node)
{
    return node->driver->cluster_size ? node->driver->cluster_size(node) : 0;
}

uint64_t
block_node_host_bytes(const BlockNode *node)
{
    uint64_t bytes = 0;
    struct stat st;

    if (node->file)
        bytes = block_node_host_bytes(node->file);
    else if (node->fd >= 0 && fstat(node->fd, &st) == 0)
        bytes = (uint64_t)st.st_blocks * 512;
    for (guint i = 0; node->extents && i < node->extents->len; i++)
        bytes += block_node_host_bytes(node->extents->pdata[i]);
    return bytes;
}

/* ---- how far a file is written ---- */

bool
block_node_set_threshold(BlockNode *node, uint64_t bytes, BlockThresholdHook hook, void *opaque,
                         GError **err)
{
    if (!node->driver->is_protocol)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "node '%s' is of format '%s': a threshold is of the file below it",
                              node->name ? node->name : "", node->driver->name);
    __atomic_store_n(&node->threshold.bytes, 0, __ATOMIC_RELEASE);
    node->threshold.hook = hook;
    node->threshold.opaque = opaque;
    __atomic_store_n(&node->threshold.bytes, bytes, __ATOMIC_RELEASE);
    return true;
}

uint64_t
block_node_threshold(const BlockNode *node)
{
    return __atomic_load_n(&node->threshold.bytes, __ATOMIC_ACQUIRE);
}

uint64_t
block_node_written_end(const BlockNode *node)
{
    return __atomic_load_n(&node->written_end, __ATOMIC_RELAXED);
}

void
block_threshold_reached(BlockNode *protocol, uint64_t end)
{
    uint64_t bytes = __atomic_load_n(&protocol->threshold.bytes, __ATOMIC_ACQUIRE);

    /* of several writes at once one tells */
    if (bytes > 0 && end > bytes &&
        __atomic_compare_exchange_n(&protocol->threshold.bytes, &bytes, 0, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_RELAXED))
        protocol->threshold.hook(protocol->threshold.opaque, protocol, bytes, end - bytes);
}

/* ---- claims ---- */

static bool
protocol_claim(BlockNode *protocol, bool writable, bool share_rw, GError **err)
{
    if (protocol->claims > 0 && (writable || protocol->writers > 0) &&
        !(share_rw && protocol->claims_share))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is already used by another disk of this guest; give both "
                              "<shareable/> if the guest can share it",
                              protocol->filename);
    if (!block_lock_image(protocol, writable || protocol->writers > 0, share_rw, err))
        return false;
    protocol->claims_share = protocol->claims == 0 ? share_rw : protocol->claims_share && share_rw;
    protocol->claims++;
    protocol->writers += writable;
    return true;
}

static void
protocol_release(BlockNode *protocol)
{
    if (protocol->claims == 0 || --protocol->claims > 0)
        return;
    protocol->writers = 0;
    block_unlock_image(protocol);
}

bool
block_node_lock(BlockNode *node, bool writable, bool share_rw, GError **err)
{
    BlockNode *protocol = block_node_protocol(node);
    guint extents = 0;

    if (writable && block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is read-only; give the disk <readonly/>",
                              protocol->filename);
    if (!protocol_claim(protocol, writable, share_rw, err))
        return false;
    while (node->extents && extents < node->extents->len) {
        if (!block_node_lock(node->extents->pdata[extents], writable, share_rw, err))
            goto fail;
        extents++;
    }
    if (!node->backing || block_node_lock(node->backing, false, false, err))
        return true;
fail:
    while (extents > 0)
        block_node_release(node->extents->pdata[--extents]);
    protocol_release(protocol);
    return false;
}

bool
block_node_claim(BlockNode *node, bool writable, bool share_rw, GError **err)
{
    return block_slow_prepare(node, err) && block_node_lock(node, writable, share_rw, err);
}

void
block_node_release_alone(BlockNode *node)
{
    protocol_release(block_node_protocol(node));
    for (guint i = 0; node->extents && i < node->extents->len; i++)
        block_node_release(node->extents->pdata[i]);
}

void
block_node_release(BlockNode *node)
{
    block_node_release_alone(node);
    if (node->backing)
        block_node_release(node->backing);
}
