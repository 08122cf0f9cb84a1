/* open.h - inside of the block room: the graph of nodes being opened.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_OPEN_H
#define KILN_BLOCK_OPEN_H

#include "block/driver.h"

enum { BLOCK_PROBE_HEAD = 2048 }; /* bytes that probing looks at */

struct BlockOpening {
    const BlockImageOptions *image;
    const BlockOpening *above; /* the opening of the image whose backing file this one is */
    const BlockNode *node;     /* being opened */
    unsigned depth;
    bool probe; /* nodes without a driver are probed */
};

/* The driver named @name, or NULL with @err set. */
const BlockDriver *block_driver_find(const char *name, GError **err);
/* NULL-terminated, in the order of formats.def. */
extern const BlockDriver *const block_drivers[];

/* A node without a driver: the driver of the options is not known yet. */
BlockNode *block_node_new(void);

/* block_node_claim() without making the node ready for queues. */
bool block_node_lock(BlockNode *node, bool writable, bool share_rw, GError **err);

/* @name as the image @image names it, relative to that image's directory. */
char *block_filename_beside(const BlockNode *image, const char *name, GError **err);

/* The format of what @file holds, by its first bytes. */
const BlockDriver *block_probe_node(BlockNode *file, GError **err);

#endif
