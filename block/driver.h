/* driver.h - inside of the block room: what an image format or protocol is, and a node's fields.
 *
 * A driver is a const BlockDriver in a file of its own and one row of formats.def.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_DRIVER_H
#define KILN_BLOCK_DRIVER_H

#include "block/block.h"
#include "block/options.h"

typedef struct BlockDriver BlockDriver;

typedef enum { DETECT_ZEROES_OFF, DETECT_ZEROES_ON, DETECT_ZEROES_UNMAP } BlockDetectZeroes;
typedef enum { BLOCK_LOCKING_AUTO, BLOCK_LOCKING_ON, BLOCK_LOCKING_OFF } BlockLocking;

/* Where the bytes from some offset of a node are: in @fd at @offset, for @length bytes. */
typedef struct {
    int fd;
    uint64_t offset, length;
} BlockExtent;

struct BlockNode {
    gint refs; /* atomic */
    const BlockDriver *driver;
    char *name;
    BlockNode *file; /* the node below; NULL for a protocol */
    uint64_t size;   /* bytes, rounded up to BLOCK_SECTOR */

    /* options every node has; a format takes cache and filename from the node below */
    bool read_only, direct, no_flush, discard, use_threads;
    BlockDetectZeroes detect_zeroes;

    /* protocol nodes */
    char *filename;
    int fd;
    bool is_device; /* a block device, not a regular file */
    BlockLocking locking;
    unsigned mem_align, request_align; /* what O_DIRECT asks for; 1 and BLOCK_SECTOR otherwise */

    /* format nodes: window on the node below */
    uint64_t window_offset;

    /* claims by devices, main thread */
    unsigned claims, writers;
    bool claims_share;
    unsigned locks_used, locks_refused; /* permission bits as lock.c took them */

    /* Requests smaller than request_align read, change and write whole units, and no other write
     * may run meanwhile. Only used when request_align > BLOCK_SECTOR. */
    struct {
        GMutex lock;
        unsigned writers; /* writes in flight, the exclusive one included */
        bool exclusive;
        GQueue waiting;    /* of BlockRequest, in order */
        GPtrArray *queues; /* of BlockQueue, all of this node */
    } gate;
};

struct BlockDriver {
    const char *name;
    bool is_protocol;
    /* Fills the node from @opts, taking each option that it knows. */
    bool (*open)(BlockNode *node, BlockOptions *opts, const BlockOpenOps *ops, GError **err);
    void (*close)(BlockNode *node);
    /* Where the bytes at @offset are; @offset is inside the node. 0 or -errno. */
    int (*map)(const BlockNode *node, uint64_t offset, BlockExtent *ret);
};

/* The protocol node at the bottom. */
static inline BlockNode *
block_node_protocol(const BlockNode *node)
{
    while (node->file)
        node = node->file;
    return (BlockNode *)node;
}

/* Locks the image of a protocol node as QEMU does; see lock.c. */
bool block_lock_image(BlockNode *protocol, bool writable, bool share_rw, GError **err);
void block_unlock_image(BlockNode *protocol);

#endif
