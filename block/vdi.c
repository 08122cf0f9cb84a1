/* vdi.c - VirtualBox disk image, version 1.1, dynamic and fixed, without parents.
 *
 * Source: the header as VirtualBox writes it (its VDICore.h names the fields):
 *
 *   0       64   text, ignored            360   4   sector size, 512
 *   64       4   signature 0xbeda107f     368   8   disk size, bytes
 *   68       4   version 0x00010001       376   4   block size, 1 MiB
 *   72       4   size of the header       384   4   blocks in image
 *   76       4   type: 1 dynamic, 2 fixed 388   4   blocks allocated
 *   340      4   offset of the block map  392  16   uuid of the image
 *   344      4   offset of the data       424  32   uuids of links to parents
 *
 * Map entry: index of the block in the data area, ~0 not allocated, ~0 - 1 zero. Every number comes
 * from the file and is bounded before it is used. Not here: differencing images, other block sizes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "block/mapped.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    VDI_HEAD = 512,
    VDI_BLOCK = 1 << 20,
    VDI_DYNAMIC = 1,
    VDI_FIXED = 2,
    VDI_HEADER_SIZE = 400,
    VDI_MAX_BLOCKS = MAPPED_MAP_MAX / 4, /* 64 TiB */
    AT_SIGNATURE = 64,
    AT_VERSION = 68,
    AT_HEADER_SIZE = 72,
    AT_TYPE = 76,
    AT_MAP = 340,
    AT_DATA = 344,
    AT_SECTOR = 360,
    AT_SIZE = 368,
    AT_BLOCK = 376,
    AT_BLOCKS = 384,
    AT_ALLOCATED = 388,
    AT_UUID = 392,
    AT_LINKS = 424,
};
#define VDI_SIGNATURE 0xbeda107fu
#define VDI_VERSION 0x00010001u
#define VDI_FREE 0xffffffffu
#define VDI_ZERO 0xfffffffeu

typedef struct {
    Mapped mapped;
    uint32_t *map;         /* as in the file */
    uint32_t blocks, next; /* next: data block behind the last one in use */
    uint64_t map_at, data_at;
} Vdi;

static int
vdi_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= VDI_HEAD && le32(head + AT_SIGNATURE) == VDI_SIGNATURE ? 100 : 0;
}

static int
vdi_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Vdi *v = node->state;
    uint32_t at = GUINT32_FROM_LE(v->map[offset / VDI_BLOCK]);

    if (at == VDI_FREE || at == VDI_ZERO) {
        ret->flags = BLOCK_STATUS_ZERO | BLOCK_STATUS_ALLOCATED; /* there is no parent */
        return 0;
    }
    if (at >= v->blocks)
        return -EUCLEAN;
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = v->data_at + (uint64_t)at * VDI_BLOCK + offset % VDI_BLOCK;
    return 0;
}

static int
vdi_place(BlockNode *node, uint64_t start, MappedRun *ret)
{
    Vdi *v = node->state;
    uint64_t end;
    int r;

    (void)start;
    if (v->next >= v->blocks)
        return -ENOSPC; /* a map that names data blocks it has no use for */
    ret->file = node->file;
    ret->offset = v->data_at + (uint64_t)v->next * VDI_BLOCK;
    end = ret->offset + VDI_BLOCK;
    ret->zeroed = ret->offset >= node->file->size;
    r = mapped_file_grow(node->file, end);
    return r;
}

static int
vdi_enter(BlockNode *node, uint64_t start, const MappedRun *run)
{
    Vdi *v = node->state;
    uint32_t index = (uint32_t)(start / VDI_BLOCK), old = v->map[index], count;
    int r;

    (void)run;
    v->map[index] = GUINT32_TO_LE(v->next);
    r = block_node_pwrite(node->file, v->map_at + index * 4ull, &v->map[index], 4, 0);
    if (r < 0) {
        v->map[index] = old;
        return r;
    }
    v->next++;
    count = GUINT32_TO_LE(v->next);
    return block_node_pwrite(node->file, AT_ALLOCATED, &count, sizeof(count), 0);
}

static const MappedOps vdi_ops = {
    .find = vdi_find,
    .place = vdi_place,
    .enter = vdi_enter,
};

static bool
vdi_check_head(const BlockNode *node, const uint8_t *h, GError **err)
{
    static const uint8_t none[32];
    uint64_t size = le64(h + AT_SIZE);

    if (le32(h + AT_SIGNATURE) != VDI_SIGNATURE)
        return mapped_refuse(node, err, "no VDI signature");
    if (le32(h + AT_VERSION) != VDI_VERSION)
        return mapped_refuse(node, err, "version %u.%u is not 1.1", le32(h + AT_VERSION) >> 16,
                             le32(h + AT_VERSION) & 0xffff);
    if (le32(h + AT_TYPE) != VDI_DYNAMIC && le32(h + AT_TYPE) != VDI_FIXED)
        return mapped_refuse(node, err, "type %u: only dynamic (1) and fixed (2) images are read",
                             le32(h + AT_TYPE));
    if (le32(h + AT_BLOCK) != VDI_BLOCK || le32(h + AT_SECTOR) != BLOCK_SECTOR)
        return mapped_refuse(node, err,
                             "blocks of %u bytes and sectors of %u: only %d and %d are read",
                             le32(h + AT_BLOCK), le32(h + AT_SECTOR), VDI_BLOCK, BLOCK_SECTOR);
    if (memcmp(h + AT_LINKS, none, sizeof(none)) != 0)
        return mapped_refuse(node, err, "it depends on a parent image; merge them in VirtualBox");
    if (le32(h + AT_BLOCKS) > VDI_MAX_BLOCKS || size > (uint64_t)le32(h + AT_BLOCKS) * VDI_BLOCK)
        return mapped_refuse(node, err,
                             "%" G_GUINT64_FORMAT " bytes do not fit in %u blocks (at most %d)",
                             size, le32(h + AT_BLOCKS), VDI_MAX_BLOCKS);
    if (le32(h + AT_MAP) % BLOCK_SECTOR != 0 || le32(h + AT_DATA) % BLOCK_SECTOR != 0 ||
        le32(h + AT_MAP) < VDI_HEAD ||
        (uint64_t)le32(h + AT_MAP) + 4ull * le32(h + AT_BLOCKS) > le32(h + AT_DATA))
        return mapped_refuse(node, err, "map at byte %u and data at byte %u do not fit together",
                             le32(h + AT_MAP), le32(h + AT_DATA));
    return true;
}

static bool
vdi_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Vdi *v = node->state;
    uint8_t h[VDI_HEAD];

    (void)opts;
    (void)opening;
    mapped_init(node, &vdi_ops, VDI_BLOCK);
    v->mapped.in_place = true;
    if (!mapped_head(node, 0, h, sizeof(h), err) || !vdi_check_head(node, h, err))
        return false;
    v->blocks = le32(h + AT_BLOCKS);
    v->map_at = le32(h + AT_MAP);
    v->data_at = le32(h + AT_DATA);
    v->map = mapped_load(node, v->map_at, v->blocks, sizeof(*v->map), err);
    if (!v->map)
        return false;
    for (uint32_t i = 0; i < v->blocks; i++) {
        uint32_t at = GUINT32_FROM_LE(v->map[i]);

        if (at < v->blocks)
            v->next = MAX(v->next, at + 1);
    }
    v->mapped.recurse = le32(h + AT_TYPE) == VDI_FIXED;
    node->size = le64(h + AT_SIZE);
    return true;
}

static void
vdi_close(BlockNode *node)
{
    Vdi *v = node->state;

    mapped_close(node);
    g_clear_pointer(&v->map, g_free);
}

static bool
vdi_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    uint64_t size = mapped_option_size(options, "size", 0);
    bool fixed = mapped_option_bool(options, "static", false);
    uint64_t blocks = (size + VDI_BLOCK - 1) / VDI_BLOCK;
    uint64_t map_size = (blocks * 4 + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    uint8_t h[VDI_HEAD] = "<<< Kiln disk image in the VDI format >>>\n";
    g_autofree uint32_t *map = NULL;
    int r;

    (void)image;
    if (blocks > VDI_MAX_BLOCKS)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vdi: size %" G_GUINT64_FORMAT " is beyond the limit of %" PRIu64
                              " bytes",
                              size, (uint64_t)VDI_MAX_BLOCKS * VDI_BLOCK);
    map = g_try_malloc(MAX(map_size, 1u));
    if (!map)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY, "vdi: a map of %" PRIu64 " blocks", blocks);
    for (uint64_t i = 0; i < map_size / 4; i++)
        map[i] = fixed && i < blocks ? GUINT32_TO_LE((uint32_t)i) : VDI_FREE;
    put_le32(h + AT_SIGNATURE, VDI_SIGNATURE);
    put_le32(h + AT_VERSION, VDI_VERSION);
    put_le32(h + AT_HEADER_SIZE, VDI_HEADER_SIZE);
    put_le32(h + AT_TYPE, fixed ? VDI_FIXED : VDI_DYNAMIC);
    put_le32(h + AT_MAP, VDI_HEAD);
    put_le32(h + AT_DATA, (uint32_t)(VDI_HEAD + map_size));
    put_le32(h + AT_SECTOR, BLOCK_SECTOR);
    put_le64(h + AT_SIZE, size);
    put_le32(h + AT_BLOCK, VDI_BLOCK);
    put_le32(h + AT_BLOCKS, (uint32_t)blocks);
    put_le32(h + AT_ALLOCATED, fixed ? (uint32_t)blocks : 0);
    for (unsigned i = 0; i < 16; i++)
        h[AT_UUID + i] = (uint8_t)g_random_int_range(0, 256);
    if (!mapped_write(file, VDI_HEAD, map, map_size, err))
        return false;
    r = fixed ? mapped_file_grow(file, VDI_HEAD + map_size + blocks * VDI_BLOCK) : 0;
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "'%s' cannot grow",
                               block_node_filename(file));
    /* last: what is not all there is no image */
    return mapped_write(file, 0, h, sizeof(h), err);
}

static bool
vdi_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err)
{
    Vdi *v = node->state;
    g_autofree uint8_t *seen = g_try_malloc0(MAX(v->blocks, 1u));

    if (!seen)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY, "check of %u blocks", v->blocks);
    if (fix & BLOCK_CHECK_ERRORS)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "vdi images are checked, not mended");
    for (uint32_t i = 0; i < v->blocks; i++) {
        uint32_t at = GUINT32_FROM_LE(v->map[i]);
        g_autofree char *line = NULL;

        if (at == VDI_FREE || at == VDI_ZERO)
            continue;
        if (at < v->blocks && !seen[at]) {
            seen[at] = 1;
            continue;
        }
        ret->corruptions++;
        line = g_strdup_printf(at < v->blocks ? "ERROR: block index %u also used by %u"
                                              : "ERROR: block index %u out of range, is %u",
                               i, at);
        if (ret->report)
            ret->report(ret->opaque, line);
    }
    return true;
}

static const BlockCreateOption vdi_create_options[] = {
    { "size", "Virtual disk size", NULL, BLOCK_OPTION_SIZE, false },
    { "static", "All blocks allocated from the beginning", "off", BLOCK_OPTION_BOOL, false },
    BLOCK_CREATE_OPTIONS_FILE,
    { 0 },
};

const BlockDriver block_vdi_driver = {
    .name = "vdi",
    .state_size = sizeof(Vdi),
    .create_options = vdi_create_options,
    .probe = vdi_probe,
    .open = vdi_open,
    .close = vdi_close,
    .map = mapped_map,
    .unmap = mapped_unmap,
    .pread = mapped_pread,
    .pwrite = mapped_pwrite,
    .write_zeroes = mapped_write_zeroes,
    .status = mapped_status,
    .cluster_size = mapped_cluster_size,
    .create = vdi_create,
    .check = vdi_check,
};
