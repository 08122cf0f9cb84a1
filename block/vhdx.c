/* vhdx.c - Microsoft VHDX, fixed and dynamic.
 *
 * Source: [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format", sections 2.1 to 2.6. Updates of the
 * block table are single aligned writes of 8 bytes after the data they name, so they need no log;
 * logs that others left are replayed (vhdx_log.c). Not here: differencing disks, disks with 4096
 * byte logical sectors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/vhdx.h"

#include <errno.h>

#include "block/numbers.h"
#include "util/error.h"

enum {
    REGION_ENTRY = 32,
    REGIONS_MAX = 2047,
    METADATA_ENTRY = 32,
    METADATA_HEAD = 64 << 10,
    METADATA_MAX = 2047,
    BLOCK_MAX = 256 << 20,
    FLAG_HAS_PARENT = 2,
};
#define SIZE_MAX_BYTES ((uint64_t)64 << 40)
#define BAT_PLACE UINT64_C(0xfffffffffff00000)

const uint8_t vhdx_bat_guid[VHDX_GUID] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                           0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
const uint8_t vhdx_metadata_guid[VHDX_GUID] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                                0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e };
const uint8_t vhdx_parameters_guid[VHDX_GUID] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                                  0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
const uint8_t vhdx_size_guid[VHDX_GUID] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                            0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8 };
const uint8_t vhdx_page83_guid[VHDX_GUID] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                              0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46 };
const uint8_t vhdx_logical_guid[VHDX_GUID] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                               0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };
const uint8_t vhdx_physical_guid[VHDX_GUID] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                                0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 };

typedef struct {
    Mapped mapped;
    uint8_t header[VHDX_HEADER_SIZE];  /* the one in force */
    bool second;                       /* and it is the second */
    bool announced;                    /* both say that we write */
    uint64_t *bat;                     /* as in the file */
    uint64_t bat_at, bat_entries, end; /* end: behind the last block, a multiple of 1 MiB */
    uint32_t ratio;                    /* blocks between bitmap entries */
} Vhdx;

uint32_t
vhdx_checksum(const uint8_t *bytes, size_t length, size_t checksum_at)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= i >= checksum_at && i < checksum_at + 4 ? 0 : bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

void
vhdx_guid_make(uint8_t *guid)
{
    for (unsigned i = 0; i < VHDX_GUID; i++)
        guid[i] = (uint8_t)g_random_int_range(0, 256);
    guid[7] = (guid[7] & 0x0f) | 0x40;
    guid[8] = (guid[8] & 0x3f) | 0x80;
}

static int
vhdx_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return length >= 8 && memcmp(head, "vhdxfile", 8) == 0 ? 100 : 0;
}

static uint64_t
bat_index(const Vhdx *v, uint64_t offset)
{
    uint64_t block = offset / v->mapped.block;

    return block + block / v->ratio;
}

static int
vhdx_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Vhdx *v = node->state;
    uint64_t entry = GUINT64_FROM_LE(v->bat[bat_index(v, offset)]);

    switch (entry & 7) {
    case VHDX_PRESENT:
        if ((entry & BAT_PLACE) > (uint64_t)G_MAXINT64 - BLOCK_MAX ||
            (entry & BAT_PLACE) < VHDX_MIB)
            return -EUCLEAN;
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
        ret->file = node->file;
        ret->offset = (entry & BAT_PLACE) + offset % v->mapped.block;
        return 0;
    case VHDX_NOT_PRESENT:
    case VHDX_UNDEFINED:
    case VHDX_UNMAPPED:
    case VHDX_ZERO:
        ret->flags = BLOCK_STATUS_ZERO;
        return 0;
    default: /* partly present: of differencing disks only */
        return -EUCLEAN;
    }
}

/* Before the first change: the headers get new marks, so that others see that the file changed. */
static int
announce(BlockNode *node)
{
    Vhdx *v = node->state;
    uint8_t *h = v->header;

    if (v->announced)
        return 0;
    vhdx_guid_make(h + VHDX_H_FILE_GUID);
    vhdx_guid_make(h + VHDX_H_DATA_GUID);
    for (unsigned i = 0; i < 2; i++) {
        int r;

        v->second = !v->second;
        put_le64(h + VHDX_H_SEQUENCE, le64(h + VHDX_H_SEQUENCE) + 1);
        put_le32(h + VHDX_H_CHECKSUM, vhdx_checksum(h, VHDX_HEADER_SIZE, VHDX_H_CHECKSUM));
        r = block_node_pwrite(node->file, v->second ? VHDX_HEADER2_AT : VHDX_HEADER1_AT, h,
                              VHDX_HEADER_SIZE, 0);
        /* one whole header is on the disk at any time */
        if (r == 0)
            r = block_node_flush(node->file);
        if (r < 0)
            return r;
    }
    v->announced = v->mapped.in_place = true;
    return 0;
}

static int
vhdx_place(BlockNode *node, uint64_t start, MappedRun *ret)
{
    Vhdx *v = node->state;
    int r = announce(node);

    (void)start;
    if (r < 0)
        return r;
    ret->file = node->file;
    ret->offset = v->end;
    ret->zeroed = v->end >= node->file->size;
    return mapped_file_grow(node->file, v->end + v->mapped.block);
}

static int
vhdx_enter(BlockNode *node, uint64_t start, const MappedRun *run)
{
    Vhdx *v = node->state;
    uint64_t index = bat_index(v, start), old = v->bat[index];
    int r;

    v->bat[index] = GUINT64_TO_LE(run->offset | VHDX_PRESENT);
    r = block_node_pwrite(node->file, v->bat_at + index * 8, &v->bat[index], 8, 0);
    if (r < 0) {
        v->bat[index] = old;
        return r;
    }
    v->end = run->offset + v->mapped.block;
    return 0;
}

static const MappedOps vhdx_ops = { .find = vhdx_find, .place = vhdx_place, .enter = vhdx_enter };

static bool
read_header(BlockNode *node, GError **err)
{
    Vhdx *v = node->state;
    g_autofree uint8_t *h = g_malloc(VHDX_HEADER_SIZE);
    uint64_t best = 0;
    bool found = false;

    for (unsigned i = 0; i < 2; i++) {
        if (!mapped_head(node, i ? VHDX_HEADER2_AT : VHDX_HEADER1_AT, h, VHDX_HEADER_SIZE, err))
            return false;
        if (memcmp(h, "head", 4) != 0 ||
            le32(h + VHDX_H_CHECKSUM) != vhdx_checksum(h, VHDX_HEADER_SIZE, VHDX_H_CHECKSUM) ||
            (found && le64(h + VHDX_H_SEQUENCE) <= best))
            continue;
        memcpy(v->header, h, VHDX_HEADER_SIZE);
        best = le64(h + VHDX_H_SEQUENCE);
        v->second = i == 1;
        found = true;
    }
    if (!found)
        return mapped_refuse(node, err, "neither header is whole");
    if (le16(v->header + VHDX_H_VERSION) != 1 || le16(v->header + VHDX_H_LOG_VERSION) != 0)
        return mapped_refuse(node, err, "version %u with log version %u; known are 1 and 0",
                             le16(v->header + VHDX_H_VERSION),
                             le16(v->header + VHDX_H_LOG_VERSION));
    return true;
}

typedef struct {
    uint64_t at;
    uint32_t length;
} Region;

static bool
read_regions(BlockNode *node, Region *bat, Region *metadata, GError **err)
{
    g_autofree uint8_t *t = g_malloc(VHDX_REGIONS_SIZE);
    bool whole = false;
    uint32_t count;

    for (unsigned i = 0; i < 2 && !whole; i++) {
        if (!mapped_head(node, i ? VHDX_REGIONS2_AT : VHDX_REGIONS1_AT, t, VHDX_REGIONS_SIZE, err))
            return false;
        whole = memcmp(t, "regi", 4) == 0 && le32(t + 4) == vhdx_checksum(t, VHDX_REGIONS_SIZE, 4);
    }
    count = le32(t + 8);
    if (!whole || count > REGIONS_MAX)
        return mapped_refuse(node, err, "neither region table is whole");
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *e = t + 16 + (size_t)i * REGION_ENTRY;
        Region region = { le64(e + 16), le32(e + 24) };

        if (region.at < VHDX_MIB || region.at % VHDX_MIB != 0 || region.length % VHDX_MIB != 0)
            return mapped_refuse(node, err, "region %u is not made of whole MiB", i);
        if (memcmp(e, vhdx_bat_guid, VHDX_GUID) == 0)
            *bat = region;
        else if (memcmp(e, vhdx_metadata_guid, VHDX_GUID) == 0)
            *metadata = region;
        else if (le32(e + 28) & 1)
            return mapped_refuse(node, err, "region %u is required and of an unknown kind", i);
    }
    if (bat->length == 0 || metadata->length == 0)
        return mapped_refuse(node, err, "it has no block table or no metadata region");
    return true;
}

/* The bytes of a metadata item. */
static bool
read_item(BlockNode *node, const Region *metadata, const uint8_t *head, const uint8_t *guid,
          const char *name, uint8_t *ret, uint32_t length, GError **err)
{
    uint16_t count = le16(head + 10);

    for (unsigned i = 0; i < MIN(count, METADATA_MAX); i++) {
        const uint8_t *e = head + 32 + (size_t)i * METADATA_ENTRY;

        if (memcmp(e, guid, VHDX_GUID) != 0)
            continue;
        if (le32(e + 16) > metadata->length || le32(e + 20) < length ||
            le32(e + 20) > metadata->length - le32(e + 16))
            return mapped_refuse(node, err, "its %s lies outside the metadata", name);
        return mapped_head(node, metadata->at + le32(e + 16), ret, length, err);
    }
    return mapped_refuse(node, err, "it does not say its %s", name);
}

static bool
read_metadata(BlockNode *node, const Region *metadata, uint32_t *ret_block, GError **err)
{
    g_autofree uint8_t *head = g_malloc(METADATA_HEAD);
    uint8_t parameters[8], size[8], logical[4];

    if (!mapped_head(node, metadata->at, head, METADATA_HEAD, err))
        return false;
    if (memcmp(head, "metadata", 8) != 0)
        return mapped_refuse(node, err, "the metadata region has no signature");
    if (!read_item(node, metadata, head, vhdx_parameters_guid, "block size", parameters, 8, err) ||
        !read_item(node, metadata, head, vhdx_size_guid, "disk size", size, 8, err) ||
        !read_item(node, metadata, head, vhdx_logical_guid, "sector size", logical, 4, err))
        return false;
    *ret_block = le32(parameters);
    node->size = le64(size);
    if (le32(parameters + 4) & FLAG_HAS_PARENT)
        return mapped_refuse(node, err, "it depends on a parent disk; merge them first");
    if (*ret_block < VHDX_MIB || *ret_block > BLOCK_MAX || (*ret_block & (*ret_block - 1)) != 0)
        return mapped_refuse(node, err, "blocks of %u bytes are not a power of 2 from 1 to 256 MiB",
                             *ret_block);
    if (le32(logical) != BLOCK_SECTOR)
        return mapped_refuse(node, err, "logical sectors of %u bytes; only %d are read",
                             le32(logical), BLOCK_SECTOR);
    if (node->size > SIZE_MAX_BYTES || node->size % BLOCK_SECTOR != 0)
        return mapped_refuse(
            node, err, "%" G_GUINT64_FORMAT " bytes are no whole sectors up to 64 TiB", node->size);
    return true;
}

/* Behind all that is in use. Blocks of two places, or that lie in the tables, are refused. */
static bool
find_end(BlockNode *node, const Region *bat, const Region *metadata, GError **err)
{
    Vhdx *v = node->state;
    uint64_t log_end = le64(v->header + VHDX_H_LOG_AT) + le32(v->header + VHDX_H_LOG_LENGTH);
    uint64_t end = MAX(bat->at + bat->length, metadata->at + metadata->length);

    v->end = MAX(MAX(end, log_end), (uint64_t)VHDX_MIB);
    for (uint64_t i = 0; i < v->bat_entries; i++) {
        uint64_t entry = GUINT64_FROM_LE(v->bat[i]), at = entry & BAT_PLACE;

        if ((entry & 7) != VHDX_PRESENT || (i + 1) % (v->ratio + 1ull) == 0)
            continue;
        if (at < VHDX_MIB || at > (uint64_t)G_MAXINT64 - BLOCK_MAX ||
            (at < bat->at + bat->length && at + v->mapped.block > bat->at) ||
            (at < metadata->at + metadata->length && at + v->mapped.block > metadata->at))
            return mapped_refuse(node, err, "block %" G_GUINT64_FORMAT " lies in its own tables",
                                 i);
        v->end = MAX(v->end, at + v->mapped.block);
    }
    v->end = (v->end + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    return true;
}

static bool
vhdx_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Vhdx *v = node->state;
    Region bat = { 0 }, metadata = { 0 };
    static const uint8_t no_log[VHDX_GUID];
    uint8_t head[8];
    uint32_t block = 0;
    uint64_t blocks;
    int r;

    (void)opts;
    (void)opening;
    if (!mapped_head(node, 0, head, sizeof(head), err))
        return false;
    if (memcmp(head, "vhdxfile", 8) != 0)
        return mapped_refuse(node, err, "no VHDX signature");
    if (!read_header(node, err) || !vhdx_log_replay(node, v->header, err) ||
        !read_regions(node, &bat, &metadata, err) || !read_metadata(node, &metadata, &block, err))
        return false;
    if (memcmp(v->header + VHDX_H_LOG_GUID, no_log, VHDX_GUID) != 0) {
        /* what was in it is done: nobody shall do it again over what is written now */
        memset(v->header + VHDX_H_LOG_GUID, 0, VHDX_GUID);
        r = announce(node);
        if (r < 0)
            return mapped_refuse(node, err, "its headers cannot be written: %s", g_strerror(-r));
    }
    mapped_init(node, &vhdx_ops, block);
    v->mapped.recurse = true; /* blocks are large and have holes of their own */
    v->ratio = (uint32_t)((UINT64_C(1) << 23) * BLOCK_SECTOR / block);
    blocks = (node->size + block - 1) / block;
    v->bat_at = bat.at;
    v->bat_entries = blocks == 0 ? 0 : blocks + (blocks - 1) / v->ratio;
    if (v->bat_entries * 8 > bat.length)
        return mapped_refuse(node, err,
                             "its block table has %u bytes, %" G_GUINT64_FORMAT " are needed",
                             bat.length, v->bat_entries * 8);
    v->bat = mapped_load(node, bat.at, v->bat_entries, sizeof(*v->bat), err);
    return v->bat && find_end(node, &bat, &metadata, err);
}

static void
vhdx_close(BlockNode *node)
{
    Vhdx *v = node->state;

    mapped_close(node);
    g_clear_pointer(&v->bat, g_free);
}

static int
vhdx_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    Vhdx *v = node->state;
    int r;

    g_mutex_lock(&v->mapped.lock);
    r = announce(node);
    g_mutex_unlock(&v->mapped.lock);
    return r < 0 ? r : mapped_pwrite(node, offset, buf, length, flags);
}

static int
vhdx_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    Vhdx *v = node->state;
    int r;

    g_mutex_lock(&v->mapped.lock);
    r = announce(node);
    g_mutex_unlock(&v->mapped.lock);
    return r < 0 ? r : mapped_write_zeroes(node, offset, length, flags);
}

static bool
vhdx_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err)
{
    (void)node;
    (void)fix;
    (void)ret;
    (void)err;
    return true; /* what is wrong is found by opening it, and mended by opening it for writing */
}

const BlockDriver block_vhdx_driver = {
    .name = "vhdx",
    .state_size = sizeof(Vhdx),
    .create_options = vhdx_create_options,
    .probe = vhdx_probe,
    .open = vhdx_open,
    .close = vhdx_close,
    .map = mapped_map,
    .unmap = mapped_unmap,
    .pread = mapped_pread,
    .pwrite = vhdx_pwrite,
    .write_zeroes = vhdx_write_zeroes,
    .status = mapped_status,
    .cluster_size = mapped_cluster_size,
    .create = vhdx_create,
    .check = vhdx_check,
};
