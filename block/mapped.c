/* mapped.c - reading, writing and status of formats made of equal blocks and a map of them.
 *
 * A new block's bytes are written before the map names it: a crash leaks a block at worst.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/mapped.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

enum { STATUS_RUNS = 4096 }; /* blocks looked at for one status */

void
mapped_init(BlockNode *node, const MappedOps *ops, uint32_t block)
{
    Mapped *m = node->state;

    m->ops = ops;
    m->block = block;
    m->unpacked_at = UINT64_MAX;
    g_mutex_init(&m->lock);
    m->made = true;
}

void
mapped_close(BlockNode *node)
{
    Mapped *m = node->state;

    if (!m || !m->made)
        return;
    for (unsigned i = 0; i < MAPPED_TABLES; i++)
        g_free(m->tables[i].bytes);
    g_free(m->unpacked);
    g_mutex_clear(&m->lock);
    m->made = false;
}

int
mapped_file_read(BlockNode *file, uint64_t at, void *buf, size_t length)
{
    if (at > file->size || length > file->size - at)
        return -EUCLEAN;
    return block_node_pread(file, at, buf, length);
}

uint8_t *
mapped_table(BlockNode *node, BlockNode *file, uint64_t at, size_t length, int *ret_error)
{
    Mapped *m = node->state;
    unsigned slot = (unsigned)(at / length % MAPPED_TABLES);
    int r;

    if (m->tables[slot].file == file && m->tables[slot].at == at && m->tables[slot].bytes)
        return m->tables[slot].bytes;
    m->tables[slot].file = NULL;
    if (!m->tables[slot].bytes)
        m->tables[slot].bytes = g_try_malloc(length);
    r = m->tables[slot].bytes ? mapped_file_read(file, at, m->tables[slot].bytes, length) : -ENOMEM;
    if (r < 0) {
        *ret_error = r;
        return NULL;
    }
    m->tables[slot].file = file;
    m->tables[slot].at = at;
    return m->tables[slot].bytes;
}

bool
mapped_refuse(const BlockNode *node, GError **err, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list list;

    va_start(list, format);
    text = g_strdup_vprintf(format, list);
    va_end(list);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s image '%s': %s",
                          node->driver ? node->driver->name : "new", block_node_filename(node),
                          text);
}

bool
mapped_head_from(BlockNode *node, BlockNode *file, uint64_t at, void *buf, size_t length,
                 GError **err)
{
    int r = mapped_file_read(file, at, buf, length);

    if (r == -EUCLEAN)
        return mapped_refuse(node, err,
                             "the file ends before byte %" G_GUINT64_FORMAT ", inside its header",
                             at + length);
    if (r < 0)
        return mapped_refuse(node, err, "cannot be read at byte %" G_GUINT64_FORMAT ": %s", at,
                             g_strerror(-r));
    return true;
}

void *
mapped_load_from(BlockNode *node, BlockNode *file, uint64_t at, uint64_t count, size_t entry,
                 GError **err)
{
    g_autofree void *map = NULL;

    if (count > MAPPED_MAP_MAX / entry) {
        mapped_refuse(node, err, "a map of %" G_GUINT64_FORMAT " entries is beyond the limit of %u",
                      count, (unsigned)(MAPPED_MAP_MAX / entry));
        return NULL;
    }
    if (at > file->size || count * entry > file->size - at) {
        mapped_refuse(node, err,
                      "its map of %" G_GUINT64_FORMAT " entries at byte %" G_GUINT64_FORMAT
                      " runs past the end of the file",
                      count, at);
        return NULL;
    }
    map = g_try_malloc0(MAX(count * entry, 1u));
    if (!map) {
        mapped_refuse(node, err, "no memory for a map of %" G_GUINT64_FORMAT " entries", count);
        return NULL;
    }
    if (!mapped_head_from(node, file, at, map, count * entry, err))
        return NULL;
    return g_steal_pointer(&map);
}

bool
mapped_head(BlockNode *node, uint64_t at, void *buf, size_t length, GError **err)
{
    return mapped_head_from(node, node->file, at, buf, length, err);
}

void *
mapped_load(BlockNode *node, uint64_t at, uint64_t count, size_t entry, GError **err)
{
    return mapped_load_from(node, node->file, at, count, entry, err);
}

int
mapped_file_grow(BlockNode *file, uint64_t size)
{
    if (size <= file->size)
        return 0;
    /* writing tells why it failed */
    if (file->driver->is_protocol)
        return block_node_pwrite(file, size - 1, "", 1, 0);
    return file->driver->resize && file->driver->resize(file, size, BLOCK_PREALLOC_OFF, NULL)
               ? 0
               : -ENOSPC;
}

uint64_t
mapped_option_size(GHashTable *options, const char *name, uint64_t fallback)
{
    const char *text = g_hash_table_lookup(options, name);

    return text ? g_ascii_strtoull(text, NULL, 10) : fallback;
}

bool
mapped_option_bool(GHashTable *options, const char *name, bool fallback)
{
    const char *text = g_hash_table_lookup(options, name);

    return text ? strcmp(text, "on") == 0 : fallback;
}

bool
mapped_write(BlockNode *file, uint64_t at, const void *buf, size_t length, GError **err)
{
    int r = block_node_pwrite(file, at, buf, length, 0);

    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file,
                               "'%s' cannot be written at byte %" G_GUINT64_FORMAT,
                               block_node_filename(file), at);
    return true;
}

uint32_t
mapped_cluster_size(const BlockNode *node)
{
    const Mapped *m = node->state;

    return m->block;
}

/* find(), cut to the end of the block and of the node. */
static int
run_find(BlockNode *node, uint64_t offset, MappedRun *ret)
{
    Mapped *m = node->state;
    MappedRun run = { .length = m->block - offset % m->block };
    int r = m->ops->find(node, offset, &run);

    if (r < 0)
        return r;
    run.length = CLAMP(run.length, 1, node->size - offset);
    *ret = run;
    return 0;
}

static bool
run_has_bytes(const MappedRun *run)
{
    return run->flags & BLOCK_STATUS_DATA && !(run->flags & BLOCK_STATUS_ZERO);
}

/* What is not in this image: of the backing file, zeroes without one and past its end. */
static int
read_behind(BlockNode *node, uint64_t offset, uint8_t *buf, size_t length)
{
    uint64_t size = node->backing ? node->backing->size : 0;
    size_t there = offset >= size ? 0 : (size_t)MIN((uint64_t)length, size - offset);

    memset(buf + there, 0, length - there);
    return there > 0 ? block_node_pread(node->backing, offset, buf, there) : 0;
}

/* With the lock held. */
static int
read_unpacked(BlockNode *node, uint64_t offset, const MappedRun *run, uint8_t *buf, size_t length)
{
    Mapped *m = node->state;
    uint64_t start = offset - offset % m->block;

    if (!m->unpacked)
        m->unpacked = g_try_malloc(m->block);
    if (!m->unpacked)
        return -ENOMEM;
    if (m->unpacked_at != start) {
        int r;

        m->unpacked_at = UINT64_MAX;
        r = m->ops->unpack(node, start, run, m->unpacked);
        if (r < 0)
            return r;
        m->unpacked_at = start;
    }
    memcpy(buf, m->unpacked + offset % m->block, length);
    return 0;
}

static int
read_run(BlockNode *node, uint64_t offset, const MappedRun *run, uint8_t *buf, size_t length,
         bool locked)
{
    Mapped *m = node->state;
    int r;

    if (run_has_bytes(run) && run->flags & BLOCK_STATUS_COMPRESSED) {
        if (!locked)
            g_mutex_lock(&m->lock);
        r = read_unpacked(node, offset, run, buf, length);
        if (!locked)
            g_mutex_unlock(&m->lock);
        return r;
    }
    if (run_has_bytes(run))
        return block_node_pread(run->file, run->offset, buf, length);
    if (run->flags & BLOCK_STATUS_ZERO) {
        memset(buf, 0, length);
        return 0;
    }
    return read_behind(node, offset, buf, length);
}

int
mapped_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    Mapped *m = node->state;
    uint8_t *out = buf;

    while (length > 0) {
        MappedRun run;
        size_t part;
        int r;

        g_mutex_lock(&m->lock);
        r = run_find(node, offset, &run);
        g_mutex_unlock(&m->lock);
        if (r < 0)
            return r;
        part = (size_t)MIN(run.length, (uint64_t)length);
        r = read_run(node, offset, &run, out, part, false);
        if (r < 0)
            return r;
        offset += part;
        out += part;
        length -= part;
    }
    return 0;
}

/* The block around [offset, offset + length), which lies in one, as it reads with @buf in it. */
static uint8_t *
block_merged(BlockNode *node, uint64_t offset, const void *buf, size_t length, int *ret_error)
{
    Mapped *m = node->state;
    uint64_t start = offset - offset % m->block;
    g_autofree uint8_t *whole = g_try_malloc0(m->block);
    int r = whole ? 0 : -ENOMEM;

    for (uint64_t at = start; r == 0 && at < MIN(start + m->block, node->size);) {
        MappedRun run;

        r = run_find(node, at, &run);
        if (r == 0)
            r = read_run(node, at, &run, whole + (at - start), run.length, true);
        at += run.length;
    }
    if (r < 0) {
        *ret_error = r;
        return NULL;
    }
    memcpy(whole + (offset - start), buf, length);
    return g_steal_pointer(&whole);
}

/* With the lock held: a block that is not there, or packed, gets bytes. */
static int
write_new(BlockNode *node, uint64_t offset, const MappedRun *old, const void *buf, size_t length)
{
    Mapped *m = node->state;
    uint64_t start = offset - offset % m->block;
    bool behind = !(old->flags & (BLOCK_STATUS_ALLOCATED | BLOCK_STATUS_ZERO)) && node->backing;
    g_autofree uint8_t *whole = NULL;
    MappedRun run = { 0 };
    int r = 0;

    if (m->ops->pack || behind || old->flags & BLOCK_STATUS_COMPRESSED) {
        whole = block_merged(node, offset, buf, length, &r);
        if (!whole)
            return r;
    }
    if (m->unpacked_at == start)
        m->unpacked_at = UINT64_MAX;
    if (m->ops->pack)
        return m->ops->pack(node, start, whole);
    r = m->ops->place(node, start, &run);
    if (r < 0)
        return r;
    if (whole) {
        r = block_node_pwrite(run.file, run.offset, whole, m->block, 0);
    } else {
        if (!run.zeroed)
            r = block_node_write_zeroes(run.file, run.offset, m->block, 0);
        if (r == 0)
            r = block_node_pwrite(run.file, run.offset + (offset - start), buf, length, 0);
    }
    return r < 0 ? r : m->ops->enter(node, start, &run);
}

int
mapped_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    Mapped *m = node->state;
    const uint8_t *in = buf;

    (void)flags;
    while (length > 0) {
        MappedRun run;
        size_t part;
        bool in_place = false;
        int r;

        g_mutex_lock(&m->lock);
        r = run_find(node, offset, &run);
        part = r < 0 ? 0 : (size_t)MIN(run.length, (uint64_t)length);
        if (r == 0)
            in_place = run_has_bytes(&run) && !(run.flags & BLOCK_STATUS_COMPRESSED);
        if (r == 0 && !in_place) {
            part = MIN(part, (size_t)(m->block - offset % m->block));
            r = m->ops->place || m->ops->pack ? write_new(node, offset, &run, in, part) : -ENOTSUP;
        }
        g_mutex_unlock(&m->lock);
        if (in_place)
            r = block_node_pwrite(run.file, run.offset, in, part, 0);
        if (r < 0)
            return r;
        offset += part;
        in += part;
        length -= part;
    }
    return 0;
}

/* [offset, offset + length) is of one run. */
static int
zero_run(BlockNode *node, uint64_t offset, const MappedRun *run, uint64_t length)
{
    Mapped *m = node->state;
    uint64_t start = offset - offset % m->block;
    bool whole = offset == start && length == MIN(m->block, node->size - start);
    g_autofree uint8_t *zeroes = NULL;

    if (run->flags & BLOCK_STATUS_ZERO ||
        (!(run->flags & BLOCK_STATUS_ALLOCATED) && !node->backing))
        return 0;
    if (whole && m->ops->zero) {
        if (m->unpacked_at == start)
            m->unpacked_at = UINT64_MAX;
        return m->ops->zero(node, start);
    }
    if (run_has_bytes(run) && !(run->flags & BLOCK_STATUS_COMPRESSED))
        return block_node_write_zeroes(run->file, run->offset, length, 0);
    zeroes = g_try_malloc0(length);
    if (!zeroes)
        return -ENOMEM;
    return m->ops->place || m->ops->pack ? write_new(node, offset, run, zeroes, length) : -ENOTSUP;
}

int
mapped_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    Mapped *m = node->state;

    (void)flags;
    while (length > 0) {
        MappedRun run;
        uint64_t part = 0;
        int r;

        g_mutex_lock(&m->lock);
        r = run_find(node, offset, &run);
        if (r == 0) {
            part = MIN(MIN(run.length, length), m->block - offset % m->block);
            r = zero_run(node, offset, &run, part);
        }
        g_mutex_unlock(&m->lock);
        if (r < 0)
            return r;
        offset += part;
        length -= part;
    }
    return 0;
}

int
mapped_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    Mapped *m = node->state;
    MappedRun first, next;
    uint64_t done;
    int r;

    g_mutex_lock(&m->lock);
    r = run_find(node, offset, &first);
    done = r < 0 ? 0 : first.length;
    for (unsigned i = 0; r == 0 && done < length && i < STATUS_RUNS; i++) {
        r = run_find(node, offset + done, &next);
        if (r < 0 || next.flags != first.flags || next.flags & BLOCK_STATUS_COMPRESSED ||
            (run_has_bytes(&first) &&
             (next.file != first.file || next.offset != first.offset + done)))
            break;
        done += next.length;
    }
    g_mutex_unlock(&m->lock);
    if (done == 0)
        return r;
    *ret = (BlockStatus){ .flags = first.flags, .length = MIN(done, length) };
    if (run_has_bytes(&first) && !(first.flags & BLOCK_STATUS_COMPRESSED)) {
        ret->flags |= BLOCK_STATUS_OFFSET;
        ret->host_offset = first.offset;
        ret->file = first.file;
    }
    if (m->recurse && ret->flags & BLOCK_STATUS_OFFSET) {
        BlockStatus below;

        r = block_node_status(ret->file, ret->host_offset, ret->length, &below);
        if (r < 0)
            return r;
        ret->length = below.length;
        ret->flags |= BLOCK_STATUS_RECURSED | (below.flags & BLOCK_STATUS_ZERO);
    }
    return 0;
}

int
mapped_map(BlockNode *node, uint64_t offset, uint64_t length, BlockMapFor what, BlockExtent *ret)
{
    Mapped *m = node->state;
    MappedRun run = { 0 };
    int r = -EAGAIN;

    *ret = (BlockExtent){ .kind = BLOCK_EXTENT_SLOW, .length = length };
    /* somebody makes a new block: waiting for that is for threads that may */
    if (what == BLOCK_MAP_ZERO || (what == BLOCK_MAP_WRITE && !m->in_place) ||
        !g_mutex_trylock(&m->lock))
        return 0;
    r = run_find(node, offset, &run);
    g_mutex_unlock(&m->lock);
    if (r < 0)
        return 0; /* the slow path says why */
    length = MIN(length, run.length);
    if (run_has_bytes(&run) && run.offset % BLOCK_SECTOR)
        return 0;
    if (run_has_bytes(&run) && !(run.flags & BLOCK_STATUS_COMPRESSED))
        return block_node_map(run.file, run.offset, length, what, ret);
    ret->length = length;
    if (what == BLOCK_MAP_READ && (run.flags & BLOCK_STATUS_ZERO ||
                                   (!(run.flags & BLOCK_STATUS_ALLOCATED) && !node->backing)))
        ret->kind = BLOCK_EXTENT_ZERO;
    return 0;
}

void
mapped_unmap(BlockNode *node, const BlockExtent *extent)
{
    (void)node, (void)extent;
}
