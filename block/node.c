/* node.c - image nodes: opening a graph, its properties, and who claimed it.
 *
 * Source: QEMU's documented -blockdev options.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/driver.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

#define X(driver) extern const BlockDriver driver;
#include "block/formats.def"
#undef X

static const BlockDriver *const drivers[] = {
#define X(driver) &driver,
#include "block/formats.def"
#undef X
};

static const BlockDriver *
driver_find(const char *name, GError **err)
{
    g_autoptr(GString) all = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
        g_string_append_printf(all, "%s%s", i ? ", " : "", drivers[i]->name);
    }
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "block driver '%s' is not offered; there are %s", name, all->str);
    return NULL;
}

static bool
node_take_common(BlockNode *node, BlockOptions *opts, GError **err)
{
    static const char *const detect[] = { "off", "on", "unmap", NULL };
    static const char *const discard[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const aio[] = { "io_uring", "threads", "native", NULL };
    int detect_zeroes = DETECT_ZEROES_OFF, discard_mode = 0, engine = 0;

    node->name = block_options_take(opts, "node-name");
    if (!block_options_take_bool(opts, "read-only", &node->read_only, err) ||
        !block_options_take_bool(opts, "cache.direct", &node->direct, err) ||
        !block_options_take_bool(opts, "cache.no-flush", &node->no_flush, err) ||
        !block_options_take_enum(opts, "discard", discard, &discard_mode, err) ||
        !block_options_take_enum(opts, "detect-zeroes", detect, &detect_zeroes, err) ||
        !block_options_take_enum(opts, "aio", aio, &engine, err))
        return false;
    node->discard = discard_mode >= 2;
    node->detect_zeroes = detect_zeroes;
    node->use_threads = engine == 1; /* native asks for kernel I/O: io_uring is that */
    if (node->detect_zeroes == DETECT_ZEROES_UNMAP && !node->discard)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "block option 'detect-zeroes' is 'unmap', which needs 'discard' to be "
            "'unmap' as well");
    return true;
}

static BlockNode *
node_open(BlockOptions *opts, const BlockOpenOps *ops, GError **err)
{
    g_autoptr(BlockNode) node = g_new0(BlockNode, 1);
    g_autofree char *driver = block_options_take(opts, "driver");

    node->refs = 1;
    node->fd = -1;
    node->mem_align = 1;
    node->request_align = BLOCK_SECTOR;
    g_mutex_init(&node->gate.lock);
    g_queue_init(&node->gate.waiting);
    node->gate.queues = g_ptr_array_new();
    if (!driver) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "a block node needs the option 'driver'");
        return NULL;
    }
    node->driver = driver_find(driver, err);
    if (!node->driver || !node_take_common(node, opts, err))
        return NULL;
    if (!node->driver->is_protocol) {
        g_autofree char *name = block_options_take(opts, "file");
        g_autoptr(BlockOptions) sub = block_options_take_sub(opts, "file");

        if (name) {
            BlockNode *below = ops->find_node ? ops->find_node(ops->opaque, name) : NULL;

            if (!below) {
                kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                               "block node '%s': there is no node '%s' for its option 'file'",
                               node->name ? node->name : driver, name);
                return NULL;
            }
            node->file = block_node_ref(below);
        } else if (sub) {
            node->file = node_open(sub, ops, err);
            if (!node->file)
                return NULL;
        } else {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "block driver '%s' needs the option 'file'", driver);
            return NULL;
        }
    }
    if (!node->driver->open(node, opts, ops, err) || !block_options_finish(opts, driver, err))
        return NULL;
    node->size = (node->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return g_steal_pointer(&node);
}

BlockNode *
block_node_open(JsonObject *options, const BlockOpenOps *ops, GError **err)
{
    g_autoptr(BlockOptions) opts = block_options_new(options, err);

    return opts ? node_open(opts, ops, err) : NULL;
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
    block_node_unref(node->file);
    g_ptr_array_unref(node->gate.queues);
    g_mutex_clear(&node->gate.lock);
    g_free(node->filename);
    g_free(node->name);
    g_free(node);
}

const char *
block_node_name(const BlockNode *node)
{
    return node->name;
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

int
block_node_flush(const BlockNode *node)
{
    if (block_node_read_only(node) || block_node_no_flush(node))
        return 0;
    return fdatasync(block_node_protocol(node)->fd) < 0 ? -errno : 0;
}

bool
block_node_claim(BlockNode *node, bool writable, bool share_rw, GError **err)
{
    BlockNode *protocol = block_node_protocol(node);

    if (writable && block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "image '%s' is read-only; give the disk <readonly/>",
                              protocol->filename);
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

void
block_node_release(BlockNode *node)
{
    BlockNode *protocol = block_node_protocol(node);

    if (protocol->claims == 0 || --protocol->claims > 0)
        return;
    protocol->writers = 0;
    block_unlock_image(protocol);
}
