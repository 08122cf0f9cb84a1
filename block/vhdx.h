/* vhdx.h - Microsoft VHDX: what its files share: places, checksums, the log.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_VHDX_H
#define KILN_BLOCK_VHDX_H

#include "block/mapped.h"

enum {
    VHDX_MIB = 1 << 20,
    VHDX_HEADER_SIZE = 4096,
    VHDX_HEADER1_AT = 64 << 10,
    VHDX_HEADER2_AT = 128 << 10,
    VHDX_REGIONS1_AT = 192 << 10,
    VHDX_REGIONS2_AT = 256 << 10,
    VHDX_REGIONS_SIZE = 64 << 10,
    VHDX_GUID = 16,
    /* in a header */
    VHDX_H_CHECKSUM = 4,
    VHDX_H_SEQUENCE = 8,
    VHDX_H_FILE_GUID = 16,
    VHDX_H_DATA_GUID = 32,
    VHDX_H_LOG_GUID = 48,
    VHDX_H_LOG_VERSION = 64,
    VHDX_H_VERSION = 66,
    VHDX_H_LOG_LENGTH = 68,
    VHDX_H_LOG_AT = 72,
    /* block states */
    VHDX_NOT_PRESENT = 0,
    VHDX_UNDEFINED = 1,
    VHDX_ZERO = 2,
    VHDX_UNMAPPED = 3,
    VHDX_PRESENT = 6,
    VHDX_PARTIAL = 7,
};

extern const uint8_t vhdx_bat_guid[VHDX_GUID], vhdx_metadata_guid[VHDX_GUID],
    vhdx_parameters_guid[VHDX_GUID], vhdx_size_guid[VHDX_GUID], vhdx_page83_guid[VHDX_GUID],
    vhdx_logical_guid[VHDX_GUID], vhdx_physical_guid[VHDX_GUID];

/* CRC-32C of @bytes, with the four bytes at @checksum_at taken as zeroes. */
uint32_t vhdx_checksum(const uint8_t *bytes, size_t length, size_t checksum_at);
void vhdx_guid_make(uint8_t *guid);

/* Brings the metadata up to date from the log that @header tells of. A read-only node is refused
 * when there is something to bring. */
bool vhdx_log_replay(BlockNode *node, const uint8_t *header, GError **err);

bool vhdx_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image,
                 GError **err);
extern const BlockCreateOption vhdx_create_options[];

#endif
