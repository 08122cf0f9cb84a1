/* vhdx_create.c - a new VHDX image: headers, regions, metadata, block table.
 *
 * Source: [MS-VHDX] section 2. The order in the file is: headers (1 MiB), log, metadata (1 MiB),
 * block table, blocks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>

#include "block/numbers.h"
#include "block/vhdx.h"
#include "util/error.h"

enum {
    METADATA_ITEMS = 5,
    ITEM_FIRST = 64 << 10, /* items lie behind the table of the metadata region */
    ITEMS_END = ITEM_FIRST + 512,
    LOG_MAX = 64 << 20,
    IS_VIRTUAL_DISK = 2,
    IS_REQUIRED = 4,
};
#define SIZE_MAX_BYTES ((uint64_t)64 << 40)

typedef struct {
    uint64_t size, bat_at, bat_entries, first_block;
    uint32_t block, log, ratio, bat_length;
    bool fixed, zero;
} Plan;

static bool
plan_make(GHashTable *options, Plan *p, GError **err)
{
    const char *subformat = g_hash_table_lookup(options, "subformat");
    uint64_t block = mapped_option_size(options, "block_size", 0);
    uint64_t log = mapped_option_size(options, "log_size", VHDX_MIB), blocks;

    p->size = mapped_option_size(options, "size", 0);
    p->size = (p->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    p->fixed = subformat && strcmp(subformat, "fixed") == 0;
    p->zero = mapped_option_bool(options, "block_state_zero", true);
    if (subformat && !p->fixed && strcmp(subformat, "dynamic") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vhdx: subformat '%s' is neither 'dynamic' nor 'fixed'", subformat);
    if (p->size > SIZE_MAX_BYTES)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vhdx: size %" G_GUINT64_FORMAT " is beyond the limit of 64 TiB",
                              p->size);
    if (block == 0) {
        /* larger disks have larger blocks, so that the table stays small */
        block = p->size > (uint64_t)32 << 40    ? 64 << 20
                : p->size > (uint64_t)100 << 30 ? 32 << 20
                : p->size > (uint64_t)1 << 30   ? 16 << 20
                                                : 8 << 20;
    }
    if (block < VHDX_MIB || block > 256 << 20 || (block & (block - 1)) != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vhdx: block_size %" G_GUINT64_FORMAT
                              " is not a power of 2 from 1 MiB to 256 MiB",
                              block);
    log = (log + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB;
    if (log < VHDX_MIB || log > LOG_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "vhdx: log_size %" G_GUINT64_FORMAT " is not from 1 MiB to 64 MiB",
                              log);
    p->block = (uint32_t)block;
    p->log = (uint32_t)log;
    p->ratio = (uint32_t)((UINT64_C(1) << 23) * BLOCK_SECTOR / block);
    blocks = (p->size + block - 1) / block;
    p->bat_entries = blocks == 0 ? 0 : blocks + (blocks - 1) / p->ratio;
    p->bat_length =
        (uint32_t)MAX((p->bat_entries * 8 + VHDX_MIB - 1) / VHDX_MIB * VHDX_MIB, VHDX_MIB);
    p->bat_at = VHDX_MIB + log + VHDX_MIB;
    p->first_block = p->bat_at + p->bat_length;
    return true;
}

static bool
write_headers(BlockNode *file, const Plan *p, GError **err)
{
    static const char maker[] = "kiln";
    g_autofree uint8_t *h = g_malloc0(VHDX_HEADER_SIZE);
    uint8_t identifier[520] = "vhdxfile";

    for (unsigned i = 0; maker[i]; i++)
        put_le16(identifier + 8 + 2 * i, (uint16_t)maker[i]);
    memcpy(h, "head", 4);
    vhdx_guid_make(h + VHDX_H_FILE_GUID);
    vhdx_guid_make(h + VHDX_H_DATA_GUID);
    put_le16(h + VHDX_H_VERSION, 1);
    put_le32(h + VHDX_H_LOG_LENGTH, p->log);
    put_le64(h + VHDX_H_LOG_AT, VHDX_MIB);
    if (!mapped_write(file, 0, identifier, sizeof(identifier), err))
        return false;
    for (unsigned i = 0; i < 2; i++) {
        put_le64(h + VHDX_H_SEQUENCE, i + 1);
        put_le32(h + VHDX_H_CHECKSUM, vhdx_checksum(h, VHDX_HEADER_SIZE, VHDX_H_CHECKSUM));
        if (!mapped_write(file, i ? VHDX_HEADER2_AT : VHDX_HEADER1_AT, h, VHDX_HEADER_SIZE, err))
            return false;
    }
    return true;
}

static bool
write_regions(BlockNode *file, const Plan *p, GError **err)
{
    g_autofree uint8_t *t = g_malloc0(VHDX_REGIONS_SIZE);
    const struct {
        const uint8_t *guid;
        uint64_t at;
        uint32_t length;
    } regions[] = {
        { vhdx_bat_guid, p->bat_at, p->bat_length },
        { vhdx_metadata_guid, VHDX_MIB + p->log, VHDX_MIB },
    };

    memcpy(t, "regi", 4);
    put_le32(t + 8, G_N_ELEMENTS(regions));
    for (unsigned i = 0; i < G_N_ELEMENTS(regions); i++) {
        uint8_t *e = t + 16 + i * 32;

        memcpy(e, regions[i].guid, VHDX_GUID);
        put_le64(e + 16, regions[i].at);
        put_le32(e + 24, regions[i].length);
        put_le32(e + 28, 1); /* required */
    }
    put_le32(t + 4, vhdx_checksum(t, VHDX_REGIONS_SIZE, 4));
    return mapped_write(file, VHDX_REGIONS1_AT, t, VHDX_REGIONS_SIZE, err) &&
           mapped_write(file, VHDX_REGIONS2_AT, t, VHDX_REGIONS_SIZE, err);
}

static bool
write_metadata(BlockNode *file, const Plan *p, GError **err)
{
    g_autofree uint8_t *m = g_malloc0(ITEMS_END);
    uint8_t parameters[8], size[8], page83[VHDX_GUID], logical[4], physical[4];
    const struct {
        const uint8_t *guid, *value;
        uint32_t length, flags;
    } items[METADATA_ITEMS] = {
        { vhdx_parameters_guid, parameters, sizeof(parameters), IS_REQUIRED },
        { vhdx_size_guid, size, sizeof(size), IS_REQUIRED | IS_VIRTUAL_DISK },
        { vhdx_page83_guid, page83, sizeof(page83), IS_REQUIRED | IS_VIRTUAL_DISK },
        { vhdx_logical_guid, logical, sizeof(logical), IS_REQUIRED | IS_VIRTUAL_DISK },
        { vhdx_physical_guid, physical, sizeof(physical), IS_REQUIRED | IS_VIRTUAL_DISK },
    };
    uint32_t at = ITEM_FIRST;

    put_le32(parameters, p->block);
    put_le32(parameters + 4, p->fixed); /* bit 0: blocks stay allocated */
    put_le64(size, p->size);
    vhdx_guid_make(page83);
    put_le32(logical, BLOCK_SECTOR);
    put_le32(physical, BLOCK_SECTOR);
    memcpy(m, "metadata", 8);
    put_le16(m + 10, METADATA_ITEMS);
    for (unsigned i = 0; i < METADATA_ITEMS; i++) {
        uint8_t *e = m + 32 + i * 32;

        memcpy(e, items[i].guid, VHDX_GUID);
        put_le32(e + 16, at);
        put_le32(e + 20, items[i].length);
        put_le32(e + 24, items[i].flags);
        memcpy(m + at, items[i].value, items[i].length);
        at += items[i].length;
    }
    return mapped_write(file, VHDX_MIB + p->log, m, ITEMS_END, err);
}

static bool
write_table(BlockNode *file, const Plan *p, GError **err)
{
    uint64_t used = p->bat_entries * 8;
    g_autofree uint64_t *bat = g_try_malloc0(MAX(used, 1u));
    uint64_t block = 0;
    int r;

    if (!bat)
        return kiln_error_set(err, VIR_ERR_NO_MEMORY, "vhdx: a block table of %" PRIu64 " bytes",
                              used);
    for (uint64_t i = 0; i < p->bat_entries; i++) {
        if ((i + 1) % (p->ratio + 1ull) == 0)
            continue; /* of a sector bitmap, which only differencing disks have */
        bat[i] = p->fixed  ? GUINT64_TO_LE((p->first_block + block * p->block) | VHDX_PRESENT)
                 : p->zero ? GUINT64_TO_LE(VHDX_ZERO)
                           : VHDX_NOT_PRESENT;
        block++;
    }
    if (!mapped_write(file, p->bat_at, bat, used, err))
        return false;
    r = mapped_file_grow(file, p->first_block + (p->fixed ? block * p->block : 0));
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "'%s' cannot grow",
                               block_node_filename(file));
    return true;
}

bool
vhdx_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    Plan p = { 0 };

    (void)image;
    return plan_make(options, &p, err) && write_headers(file, &p, err) &&
           write_regions(file, &p, err) && write_metadata(file, &p, err) &&
           write_table(file, &p, err);
}

const BlockCreateOption vhdx_create_options[] = {
    { "size", "Virtual disk size, at most 64 TiB", NULL, BLOCK_OPTION_SIZE, false },
    { "log_size", "Size of the log, at least 1 MiB", "1048576", BLOCK_OPTION_SIZE, false },
    { "block_size", "Size of a block, 1 to 256 MiB; 0: by the size of the disk", "0",
      BLOCK_OPTION_SIZE, false },
    { "subformat", "Kind of disk: dynamic (default) or fixed", NULL, BLOCK_OPTION_STRING, false },
    { "block_state_zero", "New blocks are marked as zeroes, not as absent (default: on)", NULL,
      BLOCK_OPTION_BOOL, false },
    BLOCK_CREATE_OPTIONS_FILE,
    { 0 },
};
