/* mapped.h - what formats made of equal blocks and a map of them have in common.
 *
 * Such a format says where a block lies, makes room for a new one, and enters it in its map; the
 * rest (cutting requests, zeroes, backing files, filling up new blocks) is here. Its state begins
 * with a Mapped. What changes the map, or needs I/O to know it, goes the slow path, in threads that
 * may wait; formats whose map is in memory and whose blocks never move have mapped_map() as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_MAPPED_H
#define KILN_BLOCK_MAPPED_H

#include "block/driver.h"

enum {
    MAPPED_MAP_MAX = 256 << 20, /* bytes of a map that is kept in memory */
    MAPPED_TABLES = 32,         /* second-level tables kept */
};

typedef struct {
    unsigned flags;  /* BLOCK_STATUS_ALLOCATED, _DATA, _ZERO, _COMPRESSED */
    BlockNode *file; /* with DATA: whose bytes they are */
    uint64_t offset; /* in it */
    uint64_t length; /* from the asked offset: of which all this holds, at least 1 */
    uint64_t packed; /* with COMPRESSED: bytes at offset, at most */
    bool zeroed;     /* of place(): the place reads as zeroes */
} MappedRun;

/* All are called with the lock held. 0 or -errno. */
typedef struct {
    int (*find)(BlockNode *node, uint64_t offset, MappedRun *ret);
    /* For formats that are written: room for the block that starts at @start. */
    int (*place)(BlockNode *node, uint64_t start, MappedRun *ret);
    /* The block's bytes are at @run now. */
    int (*enter)(BlockNode *node, uint64_t start, const MappedRun *run);
    /* The block reads as zeroes from now on; NULL: zeroes are written. */
    int (*zero)(BlockNode *node, uint64_t start);
    /* For compressed blocks: the block that starts at @start, into @buf of a block's size. */
    int (*unpack)(BlockNode *node, uint64_t start, const MappedRun *run, uint8_t *buf);
    /* Puts a whole block there compressed; NULL: blocks are written plain. */
    int (*pack)(BlockNode *node, uint64_t start, const uint8_t *buf);
} MappedOps;

typedef struct {
    const MappedOps *ops;
    GMutex lock;
    uint32_t block; /* bytes */
    bool made;      /* the lock is */
    bool in_place;  /* guests may write straight into blocks that are there */
    bool recurse;   /* all blocks are there: the file's own holes say what is zero */
    uint8_t *unpacked;
    uint64_t unpacked_at; /* start of the block in it; UINT64_MAX: none */
    struct {
        BlockNode *file;
        uint64_t at; /* in file; 0: none */
        uint8_t *bytes;
    } tables[MAPPED_TABLES];
} Mapped;

/* Begins the state; then mapped_close() undoes it. */
void mapped_init(BlockNode *node, const MappedOps *ops, uint32_t block);
void mapped_close(BlockNode *node);

/* Callbacks of a driver. */
int mapped_pread(BlockNode *node, uint64_t offset, void *buf, size_t length);
int mapped_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length,
                  BlockFlags flags);
int mapped_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags);
int mapped_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret);
uint32_t mapped_cluster_size(const BlockNode *node);
/* The fast path, for formats whose find() does no I/O and whose blocks stay where they are. Writes
 * in place only where @in_place was set. mapped_unmap() has nothing to do: it says that there are
 * slow parts too. */
int mapped_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what,
               BlockExtent *ret);
void mapped_unmap(BlockNode *node, const BlockExtent *extent);

/* The table of @length bytes at @at of @file, from a small cache; with the lock held. It holds
 * until the next call. NULL with *ret_error set. */
uint8_t *mapped_table(BlockNode *node, BlockNode *file, uint64_t at, size_t length, int *ret_error);

/* Reads what must be there: -EUCLEAN past the end of the file. */
int mapped_file_read(BlockNode *file, uint64_t at, void *buf, size_t length);
/* For open(): a map of @count entries of @entry bytes at @at, bounded. NULL with @err set. */
void *mapped_load(BlockNode *node, uint64_t at, uint64_t count, size_t entry, GError **err);
/* The same from a further file of the image. */
void *mapped_load_from(BlockNode *node, BlockNode *file, uint64_t at, uint64_t count, size_t entry,
                       GError **err);
/* For open(): @length bytes at @at. */
bool mapped_head(BlockNode *node, uint64_t at, void *buf, size_t length, GError **err);
bool mapped_head_from(BlockNode *node, BlockNode *file, uint64_t at, void *buf, size_t length,
                      GError **err);
/* "FORMAT image 'NAME': MESSAGE"; returns false. */
bool mapped_refuse(const BlockNode *node, GError **err, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* Makes the file @size bytes long, zeroes where it grew. */
int mapped_file_grow(BlockNode *file, uint64_t size);
/* "size" and others of create()'s options, already checked by their rows. */
uint64_t mapped_option_size(GHashTable *options, const char *name, uint64_t fallback);
bool mapped_option_bool(GHashTable *options, const char *name, bool fallback);
bool mapped_write(BlockNode *file, uint64_t at, const void *buf, size_t length, GError **err);

#endif
