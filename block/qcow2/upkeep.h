/* upkeep.h - what keeps a qcow2 image in order beside its data path: creation, size, check and
 * repair, snapshots, dirty bitmaps.
 *
 * The calls of the driver are as driver.h describes them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_UPKEEP_H
#define KILN_BLOCK_QCOW2_UPKEEP_H

#include "block/driver.h"
#include "block/luks/luks.h"

extern const BlockCreateOption qcow2_create_options[];
extern const BlockSnapshotDriver qcow2_snapshot_driver;
extern const BlockBitmapDriver qcow2_bitmap_driver;

bool qcow2_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image,
                  GError **err);
bool qcow2_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err);
bool qcow2_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err);
JsonObject *qcow2_specific(BlockNode *node);
bool qcow2_is_encrypted(const BlockNode *node);
bool qcow2_is_dirty(const BlockNode *node);
bool qcow2_change_backing(BlockNode *node, const char *filename, const char *format, GError **err);
bool qcow2_amend(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
                 GError **err);
bool qcow2_measure(GHashTable *options, BlockNode *source, BlockMeasure *ret, GError **err);

/* What `create -o` and `amend -o` say, checked. Strings belong to the table of options. */
typedef struct {
    uint64_t size;
    unsigned version, cluster_bits, refcount_order, compression_type;
    bool has_size, lazy_refcounts, extended_l2, data_file_raw;
    BlockPrealloc prealloc;
    const char *backing_file, *backing_format, *data_file;
    bool encrypted; /* by a LUKS volume inside, as @luks says */
    LuksOptions luks;
} Qcow2CreateOptions;

/* Defaults are filled in. What is unknown, out of its limits or does not go together is refused by
 * name with VIR_ERR_INVALID_ARG, the old encryption AES with VIR_ERR_CONFIG_UNSUPPORTED. */
bool qcow2_create_options_parse(GHashTable *table, Qcow2CreateOptions *ret, GError **err);
/* The same for options that are each to change an image: what goes together is not looked at. */
bool qcow2_amend_options_parse(GHashTable *table, Qcow2CreateOptions *ret, GError **err);

/* Called by the data path: at the end of open (not when the image is opened to be checked; without
 * the lock); before a guest's bytes change (with the lock, or with table_lock and a hold, which
 * stays until they have changed; returns at once when no bitmap is enabled);
 * in close, without the lock, before what is dirty is written for the last time. */
bool qcow2_upkeep_open(BlockNode *node, GError **err);
void qcow2_bitmaps_dirty(BlockNode *node, uint64_t offset, uint64_t length);
int qcow2_upkeep_close(BlockNode *node);

/* The same with the lock held: before and after the file is changed behind the data path's back.
 * Nothing to do when upkeep is not there. */
int qcow2_upkeep_end(BlockNode *node);
bool qcow2_upkeep_begin(BlockNode *node, GError **err);

/* Tells the data path which clusters hold snapshots' and bitmaps' tables. Lock held. */
bool qcow2_upkeep_note(BlockNode *node, GError **err);
bool qcow2_snapshots_note(BlockNode *node, GError **err);

#endif
