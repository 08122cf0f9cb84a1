/* vpc.c - Microsoft virtual hard disk (VHD), fixed and dynamic.
 *
 * Source: "Virtual Hard Disk Image Format Specification" 1.0 (Microsoft, 2006): hard disk footer,
 * dynamic disk header, block allocation table. All numbers are big endian. The size of the disk is
 * what the footer's geometry says for makers that count so, and the footer's size for the others;
 * which is which is as QEMU has it. Not here: differencing disks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/mapped.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    FOOTER = 512,
    HEADER = 1024,
    HEADER_AT = 512,
    TABLE_AT = HEADER_AT + HEADER,
    TYPE_FIXED = 2,
    TYPE_DYNAMIC = 3,
    BLOCK = 2 << 20,
    BLOCK_MAX = 64 << 20,
    SECTORS_CHS_MAX = 65535 * 16 * 255, /* 127 GiB: what a geometry can say */
    EPOCH = 946684800,                  /* 2000-01-01 in Unix time */
    F_FEATURES = 8,
    F_VERSION = 12,
    F_DATA_OFFSET = 16,
    F_TIME = 24,
    F_CREATOR = 28,
    F_CREATOR_VERSION = 32,
    F_CREATOR_OS = 36,
    F_ORIGINAL_SIZE = 40,
    F_SIZE = 48,
    F_CYLINDERS = 56,
    F_HEADS = 58,
    F_SECTORS = 59,
    F_TYPE = 60,
    F_CHECKSUM = 64,
    F_UUID = 68,
    H_DATA_OFFSET = 8,
    H_TABLE_OFFSET = 16,
    H_VERSION = 24,
    H_ENTRIES = 28,
    H_BLOCK = 32,
    H_CHECKSUM = 36,
};
#define VPC_VERSION 0x00010000u
#define VPC_FREE 0xffffffffu
#define VPC_SIZE_MAX ((uint64_t)2040 << 30) /* sectors of a 32 bit table entry, less overhead */

typedef struct {
    Mapped mapped;
    uint8_t footer[FOOTER];
    uint32_t *table; /* as in the file; NULL for a fixed disk */
    uint32_t entries;
    uint64_t table_at, end; /* end: behind the last block, where the footer is */
    uint32_t bitmap;        /* bytes before each block's data */
} Vpc;

static uint32_t
vpc_checksum(const uint8_t *bytes, size_t length, size_t checksum_at)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < length; i++)
        if (i < checksum_at || i >= checksum_at + 4)
            sum += bytes[i];
    return ~sum;
}

static int
vpc_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= 8 && memcmp(head, "conectix", 8) == 0 ? 100 : 0;
}

static int
vpc_find_fixed(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = offset;
    ret->length = node->size - offset;
    return 0;
}

static int
vpc_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Vpc *v = node->state;
    uint32_t block = v->mapped.block, at = GUINT32_FROM_BE(v->table[offset / block]);

    if (at == VPC_FREE) {
        ret->flags = BLOCK_STATUS_ZERO | BLOCK_STATUS_ALLOCATED; /* there is no parent */
        return 0;
    }
    ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
    ret->file = node->file;
    ret->offset = (uint64_t)at * BLOCK_SECTOR + v->bitmap + offset % block;
    return 0;
}

/* The new block takes the place of the footer, which moves behind it first. */
static int
vpc_place(BlockNode *node, uint64_t start, MappedRun *ret)
{
    Vpc *v = node->state;
    uint64_t end = v->end + v->bitmap + v->mapped.block, old_end = node->file->size;
    g_autofree uint8_t *bitmap = NULL;
    int r;

    (void)start;
    if (end / BLOCK_SECTOR >= VPC_FREE)
        return -ENOSPC;
    bitmap = g_try_malloc(v->bitmap);
    if (!bitmap)
        return -ENOMEM;
    memset(bitmap, 0xff, v->bitmap);
    r = block_node_pwrite(node->file, end, v->footer, FOOTER, 0);
    if (r == 0)
        r = block_node_pwrite(node->file, v->end, bitmap, v->bitmap, 0);
    ret->file = node->file;
    ret->offset = v->end + v->bitmap;
    /* the old footer lay where the bitmap is now */
    ret->zeroed = v->bitmap >= FOOTER && old_end <= v->end + FOOTER;
    return r;
}

static int
vpc_enter(BlockNode *node, uint64_t start, const MappedRun *run)
{
    Vpc *v = node->state;
    uint32_t index = (uint32_t)(start / v->mapped.block), old = v->table[index];
    int r;

    v->table[index] = GUINT32_TO_BE((uint32_t)((run->offset - v->bitmap) / BLOCK_SECTOR));
    r = block_node_pwrite(node->file, v->table_at + index * 4ull, &v->table[index], 4, 0);
    if (r < 0) {
        v->table[index] = old;
        return r;
    }
    v->end = run->offset + v->mapped.block;
    return 0;
}

static const MappedOps vpc_dynamic_ops = {
    .find = vpc_find,
    .place = vpc_place,
    .enter = vpc_enter,
};

static const MappedOps vpc_fixed_ops = { .find = vpc_find_fixed };

/* Makers whose size counts, not their geometry. */
static bool
size_counts(const uint8_t *footer)
{
    static const char makers[][4] = { "win ", "qem2",
                                      "d2v ", { 't', 'a', 'p', 0 },
                                      "CTXS", { 'w', 'a', 0, 0 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(makers); i++)
        if (memcmp(footer + F_CREATOR, makers[i], 4) == 0)
            return true;
    return false;
}

static uint64_t
footer_size(const uint8_t *footer)
{
    uint64_t sectors = (uint64_t)be16(footer + F_CYLINDERS) * footer[F_HEADS] * footer[F_SECTORS];

    if (size_counts(footer) || sectors == SECTORS_CHS_MAX)
        return be64(footer + F_SIZE) / BLOCK_SECTOR * BLOCK_SECTOR;
    return sectors * BLOCK_SECTOR;
}

static bool
read_footer(BlockNode *node, uint8_t *footer, GError **err)
{
    uint64_t end = node->file->size;

    if (!mapped_head(node, 0, footer, FOOTER, err))
        return false;
    if (memcmp(footer, "conectix", 8) != 0 &&
        (end < FOOTER || !mapped_head(node, end - FOOTER, footer, FOOTER, err)))
        return false;
    if (memcmp(footer, "conectix", 8) != 0)
        return mapped_refuse(node, err, "no VHD footer at its start or end");
    if (be32(footer + F_CHECKSUM) != vpc_checksum(footer, FOOTER, F_CHECKSUM))
        return mapped_refuse(node, err, "the footer's checksum is wrong: the image is damaged");
    if (be32(footer + F_TYPE) != TYPE_FIXED && be32(footer + F_TYPE) != TYPE_DYNAMIC)
        return mapped_refuse(node, err, "type %u: only fixed (2) and dynamic (3) disks are read",
                             be32(footer + F_TYPE));
    return true;
}

static bool
open_dynamic(BlockNode *node, GError **err)
{
    Vpc *v = node->state;
    uint8_t h[HEADER];
    uint32_t block;

    if (be64(v->footer + F_DATA_OFFSET) > G_MAXINT64 / 2 ||
        !mapped_head(node, be64(v->footer + F_DATA_OFFSET), h, sizeof(h), err))
        return err && *err ? false : mapped_refuse(node, err, "its header lies past any file");
    if (memcmp(h, "cxsparse", 8) != 0 ||
        be32(h + H_CHECKSUM) != vpc_checksum(h, HEADER, H_CHECKSUM))
        return mapped_refuse(node, err, "the dynamic disk header is damaged");
    block = be32(h + H_BLOCK);
    if (block < BLOCK_SECTOR || block > BLOCK_MAX || (block & (block - 1)) != 0)
        return mapped_refuse(node, err, "blocks of %u bytes are not a power of 2 from %d to %d",
                             block, BLOCK_SECTOR, BLOCK_MAX);
    v->entries = be32(h + H_ENTRIES);
    if ((uint64_t)v->entries * block < node->size)
        return mapped_refuse(node, err,
                             "%u blocks of %u bytes are too few for %" G_GUINT64_FORMAT " bytes",
                             v->entries, block, node->size);
    mapped_init(node, &vpc_dynamic_ops, block);
    v->mapped.in_place = true;
    v->bitmap = (block / BLOCK_SECTOR / 8 + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    v->table_at = be64(h + H_TABLE_OFFSET);
    v->table = mapped_load(node, v->table_at, v->entries, sizeof(*v->table), err);
    if (!v->table)
        return false;
    v->end = v->table_at + (v->entries * 4ull + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    for (uint32_t i = 0; i < v->entries; i++) {
        uint32_t at = GUINT32_FROM_BE(v->table[i]);

        if (at != VPC_FREE)
            v->end = MAX(v->end, (uint64_t)at * BLOCK_SECTOR + v->bitmap + block);
    }
    if (v->end > node->file->size)
        return mapped_refuse(node, err,
                             "its blocks reach to byte %" G_GUINT64_FORMAT
                             ", but the file ends at %" G_GUINT64_FORMAT ": it has been cut off",
                             v->end, node->file->size);
    return true;
}

static bool
vpc_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Vpc *v = node->state;

    (void)opts;
    (void)opening;
    if (!read_footer(node, v->footer, err))
        return false;
    node->size = footer_size(v->footer);
    if (node->size > VPC_SIZE_MAX)
        return mapped_refuse(
            node, err, "%" G_GUINT64_FORMAT " bytes are beyond the limit of %" G_GUINT64_FORMAT,
            node->size, VPC_SIZE_MAX);
    if (be32(v->footer + F_TYPE) == TYPE_DYNAMIC)
        return open_dynamic(node, err);
    if (node->size > node->file->size - FOOTER)
        return mapped_refuse(node, err,
                             "%" G_GUINT64_FORMAT
                             " bytes of disk, but the file has only %" G_GUINT64_FORMAT,
                             node->size, node->file->size);
    mapped_init(node, &vpc_fixed_ops, 1u << 31);
    v->mapped.in_place = true;
    v->mapped.recurse = true;
    return true;
}

static void
vpc_close(BlockNode *node)
{
    Vpc *v = node->state;

    mapped_close(node);
    g_clear_pointer(&v->table, g_free);
}

static uint32_t
vpc_cluster_size(const BlockNode *node)
{
    const Vpc *v = node->state;

    return v->table ? v->mapped.block : 0;
}

/* The appendix of the specification: cylinders, heads and sectors for a number of sectors. */
static void
geometry(uint64_t sectors, uint32_t *cylinders, uint32_t *heads, uint32_t *per_track)
{
    uint64_t tracks;

    sectors = MIN(sectors, (uint64_t)SECTORS_CHS_MAX);
    if (sectors >= 65535 * 16 * 63) {
        *per_track = 255;
        *heads = 16;
    } else {
        *per_track = 17;
        tracks = sectors / 17;
        *heads = (uint32_t)MAX((tracks + 1023) / 1024, 4u);
        if (tracks >= *heads * 1024ull || *heads > 16) {
            *per_track = 31;
            *heads = 16;
            tracks = sectors / 31;
        }
        if (tracks >= *heads * 1024ull)
            *per_track = 63;
    }
    *cylinders = (uint32_t)(sectors / *per_track / *heads);
}

static void
fill_footer(uint8_t *f, uint64_t *size, bool fixed, bool exact)
{
    uint64_t sectors = (*size + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
    uint32_t cylinders = 0, heads = 0, per_track = 0;

    geometry(sectors, &cylinders, &heads, &per_track);
    if (!exact && sectors < SECTORS_CHS_MAX) {
        /* the smallest geometry that holds all of it */
        for (uint64_t more = 1; (uint64_t)cylinders * heads * per_track < sectors; more++)
            geometry(sectors + more, &cylinders, &heads, &per_track);
        sectors = (uint64_t)cylinders * heads * per_track;
    }
    *size = sectors * BLOCK_SECTOR;
    memcpy(f, "conectix", 8);
    put_be32(f + F_FEATURES, 2); /* "reserved", always set */
    put_be32(f + F_VERSION, VPC_VERSION);
    put_be64(f + F_DATA_OFFSET, fixed ? UINT64_MAX : HEADER_AT);
    put_be32(f + F_TIME, (uint32_t)(g_get_real_time() / G_USEC_PER_SEC - EPOCH));
    memcpy(f + F_CREATOR, exact ? "win " : "kiln", 4); /* see size_counts() */
    put_be32(f + F_CREATOR_VERSION, VPC_VERSION);
    memcpy(f + F_CREATOR_OS, "Wi2k", 4);
    put_be64(f + F_ORIGINAL_SIZE, *size);
    put_be64(f + F_SIZE, *size);
    put_be16(f + F_CYLINDERS, (uint16_t)cylinders);
    f[F_HEADS] = (uint8_t)heads;
    f[F_SECTORS] = (uint8_t)per_track;
    put_be32(f + F_TYPE, fixed ? TYPE_FIXED : TYPE_DYNAMIC);
    for (unsigned i = 0; i < 16; i++)
        f[F_UUID + i] = (uint8_t)g_random_int_range(0, 256);
    put_be32(f + F_CHECKSUM, vpc_checksum(f, FOOTER, F_CHECKSUM));
}

static bool
create_dynamic(BlockNode *file, const uint8_t *footer, uint64_t size, GError **err)
{
    uint64_t entries = (size + BLOCK - 1) / BLOCK;
    size_t table_size = (entries * 4 + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    g_autofree uint8_t *table = g_malloc(MAX(table_size, 1u));
    uint8_t h[HEADER] = "cxsparse";

    put_be64(h + H_DATA_OFFSET, UINT64_MAX);
    put_be64(h + H_TABLE_OFFSET, TABLE_AT);
    put_be32(h + H_VERSION, VPC_VERSION);
    put_be32(h + H_ENTRIES, (uint32_t)entries);
    put_be32(h + H_BLOCK, BLOCK);
    put_be32(h + H_CHECKSUM, vpc_checksum(h, HEADER, H_CHECKSUM));
    memset(table, 0xff, table_size);
    return mapped_write(file, 0, footer, FOOTER, err) &&
           mapped_write(file, HEADER_AT, h, sizeof(h), err) &&
           mapped_write(file, TABLE_AT, table, table_size, err) &&
           mapped_write(file, TABLE_AT + table_size, footer, FOOTER, err);
}

static bool
vpc_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    uint64_t size = mapped_option_size(options, "size", 0);
    const char *subformat = g_hash_table_lookup(options, "subformat");
    bool fixed = subformat && strcmp(subformat, "fixed") == 0;
    uint8_t footer[FOOTER] = { 0 };

    (void)image;
    if (subformat && !fixed && strcmp(subformat, "dynamic") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vpc: subformat '%s' is neither 'dynamic' nor 'fixed'", subformat);
    if (size > VPC_SIZE_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vpc: size %" G_GUINT64_FORMAT " is beyond the limit of "
                              "%" G_GUINT64_FORMAT " bytes; use vhdx",
                              size, VPC_SIZE_MAX);
    fill_footer(footer, &size, fixed, mapped_option_bool(options, "force_size", false));
    if (!fixed)
        return create_dynamic(file, footer, size, err);
    return mapped_write(file, size, footer, sizeof(footer), err);
}

static const BlockCreateOption vpc_create_options[] = {
    { "size", "Virtual disk size", NULL, BLOCK_OPTION_SIZE, false },
    { "subformat", "Kind of disk: dynamic (default) or fixed", NULL, BLOCK_OPTION_STRING, false },
    { "force_size", "Exactly the given size, not the next one that has a geometry", NULL,
      BLOCK_OPTION_BOOL, false },
    BLOCK_CREATE_OPTIONS_FILE,
    { 0 },
};

const BlockDriver block_vpc_driver = {
    .name = "vpc",
    .state_size = sizeof(Vpc),
    .create_options = vpc_create_options,
    .probe = vpc_probe,
    .open = vpc_open,
    .close = vpc_close,
    .map = mapped_map,
    .unmap = mapped_unmap,
    .pread = mapped_pread,
    .pwrite = mapped_pwrite,
    .write_zeroes = mapped_write_zeroes,
    .status = mapped_status,
    .cluster_size = vpc_cluster_size,
    .create = vpc_create,
};
