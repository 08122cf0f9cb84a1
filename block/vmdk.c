/* vmdk.c - VMware virtual disks: monolithicSparse, monolithicFlat, twoGbMaxExtentSparse and -Flat,
 * streamOptimized, vmfs.
 *
 * Source: "Virtual Disk Format 5.0" (VMware, 2011): a descriptor text and extents. A sparse extent
 * has a directory of tables of grains (32 bit sector numbers, little endian); in a streamOptimized
 * one each grain is a marker and a zlib stream. New grains are appended. Not here: ESX sparse
 * extents ("COWD", "seSparse"), devices as extents.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/vmdk.h"

#include <errno.h>

#include "block/inflate.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    GRAIN_MAX = 16 << 20,
    MARKER = 12, /* sector u64, size u32 */
    PACKED_EXTRA = 4096,
    FLAT_BLOCK = 1 << 16,
    GRAIN_ZERO = 1, /* table entry of a grain of zeroes */
};

typedef struct {
    BlockNode *file;        /* NULL: reads as zeroes */
    const char *kind;       /* as info tells it; constant */
    uint64_t start, length; /* bytes of the disk */
    uint64_t flat_at;
    bool sparse, compressed, markers, zero_grains;
    uint32_t grain;
    uint32_t *directory, *spare; /* as in the file; spare NULL without one */
    uint64_t directory_at, spare_at, entries;
    uint64_t end; /* behind the last grain */
} Extent;

typedef struct {
    Mapped mapped;
    GArray *extents; /* of Extent, by start */
    VmdkDescriptor *descriptor;
    uint64_t descriptor_at;
    bool sparse, marked; /* marked: this opening has written a new content id */
} Vmdk;

static int
vmdk_probe(const uint8_t *head, size_t length, const char *filename)
{
    static const char text[] = "# Disk DescriptorFile";

    (void)filename;
    if (length >= VMDK_HEAD && memcmp(head, "KDMV", 4) == 0)
        return 100;
    return length >= sizeof(text) && memcmp(head, text, sizeof(text) - 1) == 0 ? 100 : 0;
}

uint32_t
vmdk_cid(const BlockNode *node)
{
    const Vmdk *v = node->state;

    return v->descriptor ? v->descriptor->cid : 0;
}

static Extent *
extent_find(const Vmdk *v, uint64_t offset)
{
    guint low = 0, high = v->extents->len;

    while (low + 1 < high) {
        guint mid = low + (high - low) / 2;

        if (g_array_index(v->extents, Extent, mid).start <= offset)
            low = mid;
        else
            high = mid;
    }
    return &g_array_index(v->extents, Extent, low);
}

/* The table of the grain at @within of @e, NULL with *ret_error 0 when there is none. */
static uint8_t *
table_of(BlockNode *node, const Extent *e, uint64_t within, int *ret_error)
{
    uint64_t index = within / ((uint64_t)e->grain * VMDK_TABLE_ENTRIES);
    uint32_t at = GUINT32_FROM_LE(e->directory[index]);

    *ret_error = 0;
    return at == 0 ? NULL
                   : mapped_table(node, e->file, (uint64_t)at * BLOCK_SECTOR, VMDK_TABLE_BYTES,
                                  ret_error);
}

static int
find_sparse(BlockNode *node, const Extent *e, uint64_t within, MappedRun *ret)
{
    uint8_t *table;
    uint32_t at;
    int r;

    ret->length = e->grain - within % e->grain;
    table = table_of(node, e, within, &r);
    if (!table)
        return r;
    at = le32(table + within / e->grain % VMDK_TABLE_ENTRIES * 4);
    if (at == 0)
        return 0;
    ret->flags = BLOCK_STATUS_ALLOCATED;
    if (at == GRAIN_ZERO && e->zero_grains) {
        ret->flags |= BLOCK_STATUS_ZERO;
        return 0;
    }
    ret->flags |= BLOCK_STATUS_DATA;
    ret->file = e->file;
    ret->offset = (uint64_t)at * BLOCK_SECTOR;
    if (e->compressed)
        ret->flags |= BLOCK_STATUS_COMPRESSED;
    else
        ret->offset += within % e->grain;
    return 0;
}

static int
vmdk_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    const Extent *e = extent_find(node->state, offset);
    uint64_t within = offset - e->start;
    int r = 0;

    if (within >= e->length)
        return -EUCLEAN;
    ret->length = e->length - within;
    if (!e->file) {
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO;
    } else if (!e->sparse) {
        ret->flags = BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_DATA;
        ret->file = e->file;
        ret->offset = e->flat_at + within;
    } else {
        r = find_sparse(node, e, within, ret);
        ret->length = MIN(ret->length, e->length - within);
    }
    return r;
}

static int
vmdk_unpack(BlockNode *node, uint64_t start, const MappedRun *run, uint8_t *buf)
{
    const Extent *e = extent_find(node->state, start);
    uint64_t left = e->length - (start - e->start);
    size_t size = (size_t)MIN((uint64_t)e->grain, left);
    uint8_t marker[MARKER];
    uint32_t packed;
    g_autofree uint8_t *bytes = NULL;
    int r;

    if (!e->markers)
        return -ENOTSUP; /* no made image has this: the size of the data is not known */
    r = mapped_file_read(run->file, run->offset, marker, MARKER);
    if (r < 0)
        return r;
    packed = le32(marker + 8);
    if (packed == 0 || packed > e->grain + e->grain / 8 + PACKED_EXTRA ||
        le64(marker) != (start - e->start) / BLOCK_SECTOR)
        return -EUCLEAN;
    bytes = g_try_malloc(packed);
    r = bytes ? mapped_file_read(run->file, run->offset + MARKER, bytes, packed) : -ENOMEM;
    if (r < 0)
        return r;
    memset(buf, 0, e->grain);
    r = inflate_bytes(true, bytes, packed, buf, e->grain);
    /* makers cut the last grain at the end of the disk */
    return r == -EUCLEAN && size < e->grain ? inflate_bytes(true, bytes, packed, buf, size) : r;
}

/* A table for a part of the disk that has none yet. */
static int
table_make(BlockNode *node, Extent *e, uint64_t within)
{
    uint64_t index = within / ((uint64_t)e->grain * VMDK_TABLE_ENTRIES);
    uint64_t at = e->end;
    uint8_t zeroes[VMDK_TABLE_BYTES] = { 0 };
    uint32_t entry = GUINT32_TO_LE((uint32_t)(at / BLOCK_SECTOR));
    int r = block_node_pwrite(e->file, at, zeroes, sizeof(zeroes), 0);

    (void)node;
    if (r == 0)
        r = block_node_pwrite(e->file, e->directory_at + index * 4, &entry, 4, 0);
    if (r == 0) {
        e->directory[index] = entry;
        e->end = at + VMDK_TABLE_BYTES;
    }
    return r;
}

static int
vmdk_place(BlockNode *node, uint64_t start, MappedRun *ret)
{
    Extent *e = extent_find(node->state, start);
    int r = 0;

    if (!e->sparse || !e->file)
        return -EROFS; /* an extent that only reads as zeroes */
    if (!table_of(node, e, start - e->start, &r)) {
        if (r == 0)
            r = table_make(node, e, start - e->start);
        if (r < 0)
            return r;
    }
    if (e->end / BLOCK_SECTOR > UINT32_MAX)
        return -EFBIG;
    ret->file = e->file;
    ret->offset = e->end;
    ret->zeroed = e->end >= e->file->size;
    return mapped_file_grow(e->file, e->end + e->grain);
}

/* Enters sector @at for the grain at @start, in both tables. */
static int
grain_enter(BlockNode *node, Extent *e, uint64_t start, uint32_t at)
{
    uint64_t within = start - e->start, slot = within / e->grain % VMDK_TABLE_ENTRIES;
    uint64_t index = within / ((uint64_t)e->grain * VMDK_TABLE_ENTRIES);
    uint8_t *table, entry[4];
    int r;

    table = table_of(node, e, within, &r);
    if (!table)
        return r < 0 ? r : -EUCLEAN;
    put_le32(entry, at);
    if (e->spare && e->spare[index] != 0) {
        r = block_node_pwrite(e->file,
                              (uint64_t)GUINT32_FROM_LE(e->spare[index]) * BLOCK_SECTOR + slot * 4,
                              entry, 4, 0);
        if (r < 0)
            return r;
    }
    r = block_node_pwrite(e->file,
                          (uint64_t)GUINT32_FROM_LE(e->directory[index]) * BLOCK_SECTOR + slot * 4,
                          entry, 4, 0);
    if (r == 0)
        memcpy(table + slot * 4, entry, 4);
    return r;
}

static int
vmdk_enter(BlockNode *node, uint64_t start, const MappedRun *run)
{
    Extent *e = extent_find(node->state, start);
    int r = grain_enter(node, e, start, (uint32_t)(run->offset / BLOCK_SECTOR));

    if (r == 0)
        e->end = run->offset + e->grain;
    return r;
}

/* The grain of @start as marker and zlib stream, padded to sectors; its size in *ret_size. */
static uint8_t *
grain_pack(const Extent *e, uint64_t start, const uint8_t *buf,
           long (*deflate)(const void *in, size_t length, void *out, size_t room), size_t *ret_size,
           int *ret_error)
{
    size_t room = e->grain + e->grain / 8 + PACKED_EXTRA;
    g_autofree uint8_t *packed = g_try_malloc0(MARKER + room + BLOCK_SECTOR);
    long size = packed ? deflate(buf, e->grain, packed + MARKER, room) : -ENOMEM;

    if (size <= 0) {
        *ret_error = size < 0 ? (int)size : -EIO;
        return NULL;
    }
    put_le64(packed, (start - e->start) / BLOCK_SECTOR);
    put_le32(packed + 8, (uint32_t)size);
    *ret_size = (MARKER + (size_t)size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    return g_steal_pointer(&packed);
}

/* With the lock held. */
static int
grain_append(BlockNode *node, Extent *e, uint64_t start, const uint8_t *packed, size_t size)
{
    int r = 0;

    if (!table_of(node, e, start - e->start, &r)) {
        if (r == 0)
            r = table_make(node, e, start - e->start);
        if (r < 0)
            return r;
    }
    if (e->end / BLOCK_SECTOR > UINT32_MAX)
        return -EFBIG;
    r = block_node_pwrite(e->file, e->end, packed, size, 0);
    if (r == 0)
        r = grain_enter(node, e, start, (uint32_t)(e->end / BLOCK_SECTOR));
    if (r == 0)
        e->end += size;
    return r;
}

static int
vmdk_pack(BlockNode *node, uint64_t start, const uint8_t *buf)
{
    Extent *e = extent_find(node->state, start);
    size_t size;
    int r;
    g_autofree uint8_t *packed = grain_pack(e, start, buf, deflate_bytes, &size, &r);

    return packed ? grain_append(node, e, start, packed, size) : r;
}

static const MappedOps vmdk_ops = {
    .find = vmdk_find,
    .place = vmdk_place,
    .enter = vmdk_enter,
    .unpack = vmdk_unpack,
};

static const MappedOps vmdk_stream_ops = {
    .find = vmdk_find,
    .unpack = vmdk_unpack,
    .pack = vmdk_pack,
};

/* With the first write of an opening the image gets a new content id, so that overlays of it see
 * that it changed. */
static int
mark_changed(BlockNode *node)
{
    Vmdk *v = node->state;
    char digits[9];
    int r = 0;

    g_mutex_lock(&v->mapped.lock);
    if (!v->marked && v->descriptor->cid_at > 0) {
        uint32_t cid = g_random_int();

        cid = cid >= 0xfffffffe ? 1 : cid;
        g_snprintf(digits, sizeof(digits), "%08x", cid);
        r = block_node_pwrite(node->file, v->descriptor_at + v->descriptor->cid_at, digits, 8, 0);
        if (r == 0)
            v->descriptor->cid = cid;
    }
    v->marked |= r == 0;
    g_mutex_unlock(&v->mapped.lock);
    return r;
}

static int
vmdk_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    int r = mark_changed(node);

    return r < 0 ? r : mapped_pwrite(node, offset, buf, length, flags);
}

static int
vmdk_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    int r = mark_changed(node);

    return r < 0 ? r : mapped_write_zeroes(node, offset, length, flags);
}

static int
vmdk_pwrite_compressed(BlockNode *node, uint64_t offset, const void *buf, size_t length)
{
    Vmdk *v = node->state;
    Extent *e = extent_find(v, offset);
    g_autofree uint8_t *whole = NULL, *packed = NULL;
    MappedRun run = { 0 };
    size_t size;
    int r = v->mapped.ops->pack ? mark_changed(node) : -ENOTSUP;

    if (r < 0)
        return r;
    if (length < e->grain) {
        whole = g_try_malloc0(e->grain);
        if (!whole)
            return -ENOMEM;
        memcpy(whole, buf, length);
    }
    packed = grain_pack(e, offset, whole ? whole : buf, deflate_bytes_fast, &size, &r);
    if (!packed)
        return r;
    g_mutex_lock(&v->mapped.lock);
    r = vmdk_find(node, offset, &run);
    if (r == 0)
        r = run.flags & BLOCK_STATUS_ALLOCATED ? -EINVAL
                                               : grain_append(node, e, offset, packed, size);
    g_mutex_unlock(&v->mapped.lock);
    return r;
}

/* Reads the header of a sparse extent, or its copy at the end where that is the one that counts. */
static bool
sparse_head(BlockNode *node, BlockNode *file, uint8_t *h, GError **err)
{
    if (!mapped_head_from(node, file, 0, h, VMDK_HEAD, err))
        return false;
    if (memcmp(h, "KDMV", 4) != 0)
        return mapped_refuse(node, err, "'%s' has no header of a sparse extent",
                             block_node_filename(file));
    if (le64(h + VMDK_AT_DIRECTORY) != UINT64_MAX)
        return true;
    if (file->size < 3 * VMDK_HEAD)
        return mapped_refuse(node, err, "it is too short for its footer");
    if (!mapped_head_from(node, file, file->size - 2 * VMDK_HEAD, h, VMDK_HEAD, err))
        return false;
    if (memcmp(h, "KDMV", 4) != 0)
        return mapped_refuse(node, err, "no footer at its end");
    return true;
}

static bool
sparse_open(BlockNode *node, BlockNode *file, const uint8_t *h, const char *kind, uint64_t start,
            GError **err)
{
    Vmdk *v = node->state;
    uint32_t version = le32(h + VMDK_AT_VERSION), flags = le32(h + VMDK_AT_FLAGS);
    uint64_t capacity = le64(h + VMDK_AT_CAPACITY), grain = le64(h + VMDK_AT_GRAIN);
    Extent e = { .file = file, .kind = kind, .start = start, .sparse = true };

    if (version < 1 || version > 3)
        return mapped_refuse(node, err, "version %u is not from 1 to 3", version);
    if (le32(h + VMDK_AT_TABLE_ENTRIES) != VMDK_TABLE_ENTRIES)
        return mapped_refuse(node, err, "tables of %u grains; only %d are read",
                             le32(h + VMDK_AT_TABLE_ENTRIES), VMDK_TABLE_ENTRIES);
    if (grain == 0 || grain > GRAIN_MAX / BLOCK_SECTOR || (grain & (grain - 1)) != 0)
        return mapped_refuse(
            node, err, "grains of %" G_GUINT64_FORMAT " sectors are not a power of 2 up to %d",
            grain, GRAIN_MAX / BLOCK_SECTOR);
    e.grain = (uint32_t)grain * BLOCK_SECTOR;
    if (capacity > (uint64_t)UINT32_MAX * grain || start % e.grain != 0 ||
        (v->sparse && e.grain != v->mapped.block))
        return mapped_refuse(node, err,
                             "an extent of %" G_GUINT64_FORMAT
                             " sectors in grains of %" G_GUINT64_FORMAT
                             " does not go with the others",
                             capacity, grain);
    if (flags & VMDK_COMPRESSED && le16(h + VMDK_AT_COMPRESSION) != 1)
        return mapped_refuse(node, err, "compression %u is not deflate (1)",
                             le16(h + VMDK_AT_COMPRESSION));
    v->mapped.block = e.grain;
    v->sparse = true;
    e.length = capacity * BLOCK_SECTOR;
    e.compressed = flags & VMDK_COMPRESSED;
    e.markers = flags & VMDK_MARKERS;
    e.zero_grains = flags & VMDK_ZERO_GRAINS;
    e.entries = (capacity + grain * VMDK_TABLE_ENTRIES - 1) / (grain * VMDK_TABLE_ENTRIES);
    if (le64(h + VMDK_AT_DIRECTORY) > (uint64_t)G_MAXINT64 / BLOCK_SECTOR ||
        le64(h + VMDK_AT_SPARE_DIRECTORY) > (uint64_t)G_MAXINT64 / BLOCK_SECTOR)
        return mapped_refuse(node, err, "its directory lies beyond any file");
    e.directory_at = le64(h + VMDK_AT_DIRECTORY) * BLOCK_SECTOR;
    e.spare_at = le64(h + VMDK_AT_SPARE_DIRECTORY) * BLOCK_SECTOR;
    e.directory = mapped_load_from(node, file, e.directory_at, e.entries, 4, err);
    if (!e.directory)
        return false;
    if (flags & VMDK_SPARE_TABLES)
        e.spare = mapped_load_from(node, file, e.spare_at, e.entries, 4, NULL);
    e.end = MAX(file->size, le64(h + VMDK_AT_OVERHEAD) > UINT32_MAX
                                ? 0
                                : le64(h + VMDK_AT_OVERHEAD) * BLOCK_SECTOR);
    if (!e.compressed)
        e.end = (e.end + e.grain - 1) / e.grain * e.grain;
    g_array_append_val(v->extents, e);
    return true;
}

static BlockNode *
extent_file(BlockNode *node, BlockOpening *opening, const VmdkLine *line, GError **err)
{
    BlockNode *file;

    /* a name that could be anywhere is not taken from an image */
    if (!line->name || strchr(line->name, '/') || strchr(line->name, ':') || !*line->name) {
        mapped_refuse(node, err, "its extent '%s' is not a plain name in the image's directory",
                      line->name ? line->name : "");
        return NULL;
    }
    file = block_opening_extent(opening, node, line->name, node->read_only, err);
    if (!file)
        return NULL;
    if (!node->extents)
        node->extents = g_ptr_array_new_with_free_func((GDestroyNotify)block_node_unref);
    g_ptr_array_add(node->extents, file);
    return file;
}

static bool
extent_open(BlockNode *node, BlockOpening *opening, const VmdkLine *line, uint64_t start,
            GError **err)
{
    Vmdk *v = node->state;
    uint64_t length = line->sectors * BLOCK_SECTOR;
    bool flat = strcmp(line->kind, "FLAT") == 0 || strcmp(line->kind, "VMFS") == 0;
    Extent e = { .kind = "FLAT", .start = start, .length = length };
    uint8_t h[VMDK_HEAD];

    if (strcmp(line->access, "RW") != 0)
        return mapped_refuse(node, err, "its extents with access '%s' are not read; only RW are",
                             line->access);
    if (strcmp(line->kind, "ZERO") == 0) {
        e.kind = "ZERO";
        g_array_append_val(v->extents, e);
        return true;
    }
    if (!flat && strcmp(line->kind, "SPARSE") != 0)
        return mapped_refuse(node, err,
                             "extents of kind '%s' are not read; there are FLAT, SPARSE, VMFS and "
                             "ZERO",
                             line->kind);
    e.file = extent_file(node, opening, line, err);
    if (!e.file)
        return false;
    if (!flat) {
        if (!sparse_head(node, e.file, h, err) ||
            !sparse_open(node, e.file, h, "SPARSE", start, err))
            return false;
        if (g_array_index(v->extents, Extent, v->extents->len - 1).length < length)
            return mapped_refuse(node, err, "'%s' is shorter than its descriptor says", line->name);
        g_array_index(v->extents, Extent, v->extents->len - 1).length = length;
        return true;
    }
    if (*line->kind == 'V')
        e.kind = "VMFS";
    e.flat_at = line->at * BLOCK_SECTOR;
    if (e.flat_at > e.file->size || length > e.file->size - e.flat_at)
        return mapped_refuse(
            node, err, "'%s' has %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " are needed",
            line->name, e.file->size, e.flat_at + length);
    g_array_append_val(v->extents, e);
    return true;
}

/* The descriptor: the whole file, or the part of a sparse extent that its header names. */
static bool
read_descriptor(BlockNode *node, const uint8_t *h, GError **err)
{
    Vmdk *v = node->state;
    bool sparse = memcmp(h, "KDMV", 4) == 0;
    uint64_t at = sparse ? le64(h + VMDK_AT_DESCRIPTOR) : 0;
    uint64_t length = sparse ? le64(h + VMDK_AT_DESCRIPTOR_SIZE) : 0;
    g_autofree char *text = NULL;

    if (sparse && (at == 0 || at > (uint64_t)G_MAXINT64 / BLOCK_SECTOR ||
                   length > VMDK_DESCRIPTOR_MAX / BLOCK_SECTOR))
        return mapped_refuse(node, err,
                             "it has no descriptor of at most %d bytes; open the file that "
                             "describes the disk, not one of its extents",
                             VMDK_DESCRIPTOR_MAX);
    at *= BLOCK_SECTOR;
    length = sparse ? length * BLOCK_SECTOR : MIN(node->file->size, (uint64_t)VMDK_DESCRIPTOR_MAX);
    text = g_malloc0(length + 1);
    if (!mapped_head(node, at, text, length, err))
        return false;
    v->descriptor_at = at;
    v->descriptor = vmdk_descriptor_parse(node, text, err);
    return v->descriptor != NULL;
}

static bool
vmdk_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    Vmdk *v = node->state;
    uint8_t h[VMDK_HEAD] = { 0 };
    bool sparse;

    (void)opts;
    v->extents = g_array_new(FALSE, TRUE, sizeof(Extent));
    mapped_init(node, &vmdk_ops, FLAT_BLOCK);
    if (!mapped_head(node, 0, h, MIN(sizeof(h), node->file->size), err))
        return false;
    sparse = memcmp(h, "KDMV", 4) == 0;
    if (!sparse && !vmdk_probe(h, sizeof(h), NULL))
        return mapped_refuse(node, err, "neither a descriptor nor a sparse extent");
    if (!read_descriptor(node, h, err))
        return false;
    if (sparse) {
        if (!sparse_head(node, node->file, h, err) || !sparse_open(node, node->file, h, "", 0, err))
            return false;
        node->size = g_array_index(v->extents, Extent, 0).length;
        if (g_array_index(v->extents, Extent, 0).compressed)
            v->mapped.ops = &vmdk_stream_ops;
    } else {
        for (guint i = 0; i < v->descriptor->lines->len; i++) {
            const VmdkLine *line = v->descriptor->lines->pdata[i];

            if (line->sectors > (uint64_t)G_MAXINT64 / 2 / BLOCK_SECTOR - node->size / BLOCK_SECTOR)
                return mapped_refuse(node, err, "its extents are larger than any disk");
            if (!extent_open(node, opening, line, node->size, err))
                return false;
            node->size += line->sectors * BLOCK_SECTOR;
        }
        v->mapped.recurse = !v->sparse;
    }
    if (v->extents->len == 0)
        return mapped_refuse(node, err, "it has no extents");
    if (v->descriptor->parent_cid != VMDK_NO_PARENT) {
        if (!v->descriptor->parent_name)
            return mapped_refuse(node, err, "it has a parent but not its name");
        node->backing_filename = g_strdup(v->descriptor->parent_name);
        node->backing_format = g_strdup("vmdk");
    }
    return true;
}

static void
vmdk_close(BlockNode *node)
{
    Vmdk *v = node->state;

    mapped_close(node);
    for (guint i = 0; v->extents && i < v->extents->len; i++) {
        g_free(g_array_index(v->extents, Extent, i).directory);
        g_free(g_array_index(v->extents, Extent, i).spare);
    }
    g_clear_pointer(&v->extents, g_array_unref);
    g_clear_pointer(&v->descriptor, vmdk_descriptor_free);
}

static int
vmdk_flush(BlockNode *node)
{
    int r = 0;

    for (guint i = 0; r == 0 && node->extents && i < node->extents->len; i++)
        r = block_node_flush(node->extents->pdata[i]);
    return r == 0 ? block_node_flush(node->file) : r;
}

static uint32_t
vmdk_cluster_size(const BlockNode *node)
{
    const Vmdk *v = node->state;

    return v->sparse ? v->mapped.block : 0;
}

static JsonObject *
vmdk_specific(BlockNode *node)
{
    const Vmdk *v = node->state;
    JsonObject *whole = json_object_new(), *data = json_object_new();
    JsonArray *extents = json_array_new();

    json_object_set_string_member(data, "create-type", v->descriptor->create_type);
    json_object_set_int_member(data, "cid", v->descriptor->cid);
    json_object_set_int_member(data, "parent-cid", v->descriptor->parent_cid);
    for (guint i = 0; i < v->extents->len; i++) {
        const Extent *e = &g_array_index(v->extents, Extent, i);
        JsonObject *o = json_object_new();

        json_object_set_string_member(o, "filename", block_node_filename(e->file ? e->file : node));
        json_object_set_string_member(o, "format", e->kind);
        json_object_set_int_member(o, "virtual-size", (gint64)e->length);
        if (e->sparse)
            json_object_set_int_member(o, "cluster-size", e->grain);
        if (e->compressed)
            json_object_set_boolean_member(o, "compressed", TRUE);
        json_array_add_object_element(extents, o);
    }
    json_object_set_array_member(data, "extents", extents);
    json_object_set_string_member(whole, "type", "vmdk");
    json_object_set_object_member(whole, "data", data);
    return whole;
}

static bool
vmdk_check(BlockNode *node, unsigned fix, BlockCheck *ret, GError **err)
{
    Vmdk *v = node->state;

    if (fix & BLOCK_CHECK_ERRORS)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT, "vmdk images are checked, not mended");
    for (uint64_t at = 0; at < node->size;) {
        MappedRun run = { 0 };
        int r;

        g_mutex_lock(&v->mapped.lock);
        r = vmdk_find(node, at, &run);
        g_mutex_unlock(&v->mapped.lock);
        if (r < 0 && r != -EUCLEAN)
            return block_error_set(err, VIR_ERR_OPERATION_FAILED, r, node, "checking image '%s'",
                                   block_node_filename(node));
        if (r < 0 || (run.flags & BLOCK_STATUS_DATA && run.offset >= run.file->size)) {
            g_autofree char *line = g_strdup_printf(
                "ERROR: the grain of byte %" G_GUINT64_FORMAT " lies outside its file", at);

            ret->corruptions++;
            if (ret->report)
                ret->report(ret->opaque, line);
        }
        at += r < 0 ? v->mapped.block : run.length;
    }
    return true;
}

const BlockDriver block_vmdk_driver = {
    .name = "vmdk",
    .has_backing = true,
    .state_size = sizeof(Vmdk),
    .create_options = vmdk_create_options,
    .probe = vmdk_probe,
    .open = vmdk_open,
    .close = vmdk_close,
    .pread = mapped_pread,
    .pwrite = vmdk_pwrite,
    .write_zeroes = vmdk_write_zeroes,
    .flush = vmdk_flush,
    .pwrite_compressed = vmdk_pwrite_compressed,
    .status = mapped_status,
    .cluster_size = vmdk_cluster_size,
    .create = vmdk_create,
    .check = vmdk_check,
    .specific = vmdk_specific,
};
