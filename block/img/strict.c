/* strict.c - what `compare -s` compares of two images beside their data.
 *
 * qemu-img compares all that its status call tells of a place: also whether the run that begins
 * there reaches the end of the disk. How far a run reaches at most is different from format to
 * format, and part of the verdict; the table below has it.
 *
 * Source: the behaviour of qemu-img 7.2 with pairs of images of each format.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <string.h>

enum {
    COMPARED = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA | BLOCK_STATUS_ZERO | BLOCK_STATUS_OFFSET,
    QCOW2_SLICE = 65536 /* bytes of an L2 table that a run stays within */
};

typedef enum {
    RUN_ANY,    /* as long as all of it is the same */
    RUN_BLOCK,  /* one block */
    RUN_ZEROES, /* one block of data; any number of others */
    RUN_SLICE,  /* the blocks of one slice of a table */
    RUN_UNTOLD, /* the format tells nothing: data everywhere */
} RunKind;

typedef struct {
    const char *driver;
    RunKind kind;
    bool bare; /* what is not there is not called zero */
    bool flat; /* may lie in one piece in a file, which is one run then */
} Telling;

static const Telling tellings[] = {
    { "qcow2", RUN_SLICE, false, false },  { "vdi", RUN_BLOCK, true, false },
    { "vmdk", RUN_BLOCK, false, true },    { "qcow", RUN_BLOCK, false, false },
    { "vpc", RUN_ZEROES, false, true },    { "vhdx", RUN_UNTOLD, false, false },
    { "bochs", RUN_UNTOLD, false, false }, { "cloop", RUN_UNTOLD, false, false },
    { "dmg", RUN_UNTOLD, false, false },
};

static const Telling *
telling_of(const BlockNode *node)
{
    static const Telling other = { NULL, RUN_ANY, false, false };

    for (unsigned i = 0; i < G_N_ELEMENTS(tellings); i++)
        if (strcmp(tellings[i].driver, block_node_driver(node)) == 0)
            return &tellings[i];
    return &other;
}

/* Bytes of one entry of a qcow2 image's tables. */
static unsigned
table_entry(BlockNode *node)
{
    JsonObject *specific = block_image_specific(node);
    JsonObject *data = json_object_get_object_member(specific, "data");
    bool extended = json_object_has_member(data, "extended-l2") &&
                    json_object_get_boolean_member(data, "extended-l2");

    json_object_unref(specific);
    return extended ? 16 : 8;
}

/* Bytes from @at that a run of @node with @flags has at most. */
static uint64_t
run_limit(BlockNode *node, const Telling *telling, uint64_t at, unsigned flags)
{
    uint64_t block = block_node_cluster_size(node);

    if (block == 0 || telling->kind == RUN_ANY || (telling->flat && flags & BLOCK_STATUS_RECURSED))
        return UINT64_MAX;
    if (telling->kind == RUN_ZEROES && !(flags & BLOCK_STATUS_DATA))
        return UINT64_MAX;
    if (telling->kind == RUN_SLICE && !(flags & BLOCK_STATUS_COMPRESSED))
        block *= MIN(block, (uint64_t)QCOW2_SLICE) / table_entry(node);
    return block - at % block;
}

/* The run that begins at @at in @node alone. */
static int
run_find(BlockNode *node, uint64_t at, uint64_t length, uint64_t *ret_length, unsigned *ret_flags)
{
    const Telling *telling = telling_of(node);
    uint64_t size = block_node_size(node), limit;
    BlockStatus first, next;
    int r;

    *ret_length = 0;
    *ret_flags = BLOCK_STATUS_EOF;
    if (at >= size)
        return 0;
    length = MIN(length, size - at);
    if (telling->kind == RUN_UNTOLD) {
        *ret_length = length;
        *ret_flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    } else {
        r = block_node_status(node, at, length, &first);
        if (r < 0)
            return r;
        limit = MIN(length, run_limit(node, telling, at, first.flags));
        *ret_length = MIN(first.length, limit);
        while (*ret_length < limit && !(first.flags & BLOCK_STATUS_COMPRESSED)) {
            r = block_node_status(node, at + *ret_length, limit - *ret_length, &next);
            if (r < 0)
                return r;
            if ((next.flags & COMPARED) != (first.flags & COMPARED) ||
                (first.flags & BLOCK_STATUS_OFFSET &&
                 (next.file != first.file || next.host_offset != first.host_offset + *ret_length)))
                break;
            *ret_length += next.length;
        }
        *ret_flags = first.flags & COMPARED;
        if (telling->bare && !(*ret_flags & BLOCK_STATUS_DATA))
            *ret_flags = 0;
        else if (*ret_flags == 0 && !block_node_backing(node))
            *ret_flags = BLOCK_STATUS_ZERO;
    }
    if (at + *ret_length == size)
        *ret_flags |= BLOCK_STATUS_EOF;
    return 0;
}

int
img_strict_status(BlockNode *node, uint64_t at, uint64_t length, uint64_t *ret_length,
                  unsigned *ret_flags)
{
    uint64_t told = 0, end = UINT64_MAX; /* of the disk, when the first run reaches it */
    unsigned flags = 0;

    for (BlockNode *n = node; n; n = block_node_backing(n)) {
        int r = run_find(n, at, length, &told, &flags);

        if (r < 0)
            return r;
        if (told == 0) {
            /* beyond the end of a shorter backing file */
            told = length;
            flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO;
            break;
        }
        if (n == node && flags & BLOCK_STATUS_EOF)
            end = at + told;
        if (flags & BLOCK_STATUS_ALLOCATED)
            break;
        length = told;
    }
    flags &= ~(unsigned)BLOCK_STATUS_EOF;
    if (at + told == end)
        flags |= BLOCK_STATUS_EOF;
    *ret_length = told;
    *ret_flags = flags;
    return 0;
}
