/* vmdk.h - VMware virtual disks: what the files of the format share.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_VMDK_H
#define KILN_BLOCK_VMDK_H

#include "block/mapped.h"

enum {
    VMDK_HEAD = 512,
    VMDK_TABLE_ENTRIES = 512, /* of a grain table; the only number there is */
    VMDK_TABLE_BYTES = VMDK_TABLE_ENTRIES * 4,
    VMDK_DESCRIPTOR_MAX = 1 << 20,
    VMDK_EXTENTS_MAX = 4096,
    /* in a sparse extent's header */
    VMDK_AT_VERSION = 4,
    VMDK_AT_FLAGS = 8,
    VMDK_AT_CAPACITY = 12,
    VMDK_AT_GRAIN = 20,
    VMDK_AT_DESCRIPTOR = 28,
    VMDK_AT_DESCRIPTOR_SIZE = 36,
    VMDK_AT_TABLE_ENTRIES = 44,
    VMDK_AT_SPARE_DIRECTORY = 48,
    VMDK_AT_DIRECTORY = 56,
    VMDK_AT_OVERHEAD = 64,
    VMDK_AT_NEWLINES = 73,
    VMDK_AT_COMPRESSION = 77,
    /* its flags */
    VMDK_NEWLINE_TEST = 1 << 0,
    VMDK_SPARE_TABLES = 1 << 1,
    VMDK_ZERO_GRAINS = 1 << 2,
    VMDK_COMPRESSED = 1 << 16,
    VMDK_MARKERS = 1 << 17,
};
#define VMDK_NO_PARENT 0xffffffffu

typedef struct {
    char *access, *kind, *name; /* name: NULL for ZERO */
    uint64_t sectors, at;       /* at: sector in a flat file */
} VmdkLine;

/* The text that describes an image. */
typedef struct {
    char *create_type, *parent_name;
    uint32_t cid, parent_cid;
    size_t cid_at;    /* of its eight digits in the text; 0: none */
    GPtrArray *lines; /* of VmdkLine: its extents */
} VmdkDescriptor;

VmdkDescriptor *vmdk_descriptor_parse(const BlockNode *node, const char *text, GError **err);
void vmdk_descriptor_free(VmdkDescriptor *descriptor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmdkDescriptor, vmdk_descriptor_free)

bool vmdk_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image,
                 GError **err);
extern const BlockCreateOption vmdk_create_options[];
/* The content id of an open vmdk node. */
uint32_t vmdk_cid(const BlockNode *node);

#endif
