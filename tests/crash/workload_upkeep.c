/* workload_upkeep.c - what an administrator does to a qcow2 image, at random: snapshots, sizes,
 * bitmaps, commits, other options.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "tests/crash/workload.h"

enum { SNAPSHOTS_MAX = 4, DISK_MAX = 1 << 20 };

static unsigned
pick(Workload *w, unsigned n)
{
    return (unsigned)g_rand_int_range(w->rand, 0, (int)n);
}

static void
note(Workload *w, const char *what, const char *name, uint64_t begin, uint64_t end,
     const GError *err)
{
    g_string_append_printf(w->log, "%s '%s' at %" PRIu64 "-%" PRIu64 "%s%s\n", what, name, begin,
                           end, err ? ": " : "", err ? err->message : "");
    w->faults.dead |= err && w->faults.mode;
}

static void
do_snapshot(Workload *w)
{
    g_autofree char *name = g_strdup_printf("snapshot-%u", ++w->names);
    BlockSnapshot snapshot = { .name = name, .date_sec = 1700000000 };
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *content = workload_read(w->node, &err);
    uint64_t begin = record_now(w->record), end;
    bool ok = content && block_image_snapshot_create(w->node, &snapshot, &err);

    end = workload_end(w, ok);
    note(w, "snapshot", name, begin, end, err);
    if (ok || (content && (w->faults.mode || w->faults.dead)))
        model_snapshot(w->model, name, content, block_node_size(w->node), begin, end);
}

static void
do_delete(Workload *w, const char *name)
{
    g_autoptr(GError) err = NULL;
    uint64_t begin = record_now(w->record), end;
    bool ok = block_image_snapshot_delete(w->node, name, &err);

    end = workload_end(w, ok);
    note(w, "delete", name, begin, end, err);
    if (ok || w->faults.mode || w->faults.dead)
        model_snapshot_gone(w->model, name, begin, end);
}

static void
do_apply(Workload *w, const char *name)
{
    g_autoptr(GError) err = NULL;
    uint64_t begin = record_now(w->record), end;
    bool ok = block_image_snapshot_apply(w->node, name, &err);

    end = workload_end(w, ok);
    note(w, "apply", name, begin, end, err);
    if (ok || w->faults.mode || w->faults.dead)
        model_snapshot_apply(w->model, name, begin, end);
}

static void
do_resize(Workload *w)
{
    uint64_t size = (1 + pick(w, DISK_MAX / MODEL_SECTOR)) * (uint64_t)MODEL_SECTOR;
    uint64_t old = block_node_size(w->node);
    g_autofree char *text = g_strdup_printf("%" PRIu64, size);
    BlockPrealloc how = pick(w, 4) == 0 ? BLOCK_PREALLOC_METADATA : BLOCK_PREALLOC_OFF;
    g_autoptr(GError) err = NULL;
    uint64_t begin = record_now(w->record), end;
    bool ok = block_image_resize(w->node, size, how, true, &err);

    end = workload_end(w, ok);
    note(w, "resize", text, begin, end, err);
    if (ok || w->faults.mode || w->faults.dead)
        model_resize(w->model, old, size, begin, end);
}

static void
do_bitmap(Workload *w)
{
    g_autoptr(GPtrArray) all = block_image_bitmaps(w->node);
    g_autoptr(GError) err = NULL;
    const BlockBitmap *some = all->len ? all->pdata[pick(w, all->len)] : NULL;
    const BlockBitmap *other = all->len ? all->pdata[pick(w, all->len)] : NULL;
    g_autofree char *name = some ? g_strdup(some->name) : g_strdup("none");
    uint64_t begin = record_now(w->record);
    const char *what = "bitmap add";
    bool enable;

    switch (some ? pick(w, 5) : 0) {
    case 0:
        g_free(name);
        name = g_strdup_printf("bitmap-%u", ++w->names);
        block_image_bitmap_add(w->node, name, UINT64_C(512) << pick(w, 8), true, &err);
        if (!err)
            bitmaps_add(w->bitmaps, name);
        break;
    case 1:
        what = "bitmap remove";
        block_image_bitmap_remove(w->node, name, &err);
        bitmaps_clear(w->bitmaps, name, begin);
        break;
    case 2:
        what = "bitmap clear";
        block_image_bitmap_clear(w->node, name, &err);
        bitmaps_clear(w->bitmaps, name, begin);
        break;
    case 3:
        what = "bitmap enable or disable";
        enable = pick(w, 2);
        block_image_bitmap_enable(w->node, name, enable, &err);
        /* after a failure it may count, or not */
        bitmaps_enable(w->bitmaps, name, enable && !err);
        break;
    case 4:
        what = "bitmap merge";
        block_image_bitmap_merge(w->node, name, w->node, other->name, &err);
        break;
    }
    note(w, what, name, begin, record_now(w->record), err);
}

static void
do_vmstate(Workload *w)
{
    uint8_t buf[3000];
    uint64_t begin = record_now(w->record);
    int r;

    memset(buf, 0x5a, sizeof(buf));
    r = block_image_vmstate_write(w->node, pick(w, 20000), buf, sizeof(buf));
    note(w, r < 0 ? "machine's state (refused)" : "machine's state", "", begin,
         record_now(w->record), NULL);
}

static void
do_amend(Workload *w)
{
    static const char *const choices[][2] = {
        { "lazy_refcounts", "on" }, { "lazy_refcounts", "off" }, { "refcount_bits", "64" },
        { "refcount_bits", "16" },  { "refcount_bits", "8" },
    };
    unsigned i = pick(w, G_N_ELEMENTS(choices));
    g_autoptr(GHashTable) options = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    uint64_t begin = record_now(w->record);

    g_hash_table_insert(options, (char *)choices[i][0], (char *)choices[i][1]);
    block_image_amend(w->node, options, NULL, NULL, &err);
    note(w, choices[i][0], choices[i][1], begin, record_now(w->record), err);
}

/* As kiln-img commit does it: from the overlay alone into the base, and the overlay emptied. */
static bool
commit(Workload *w, GError **err)
{
    g_autofree char *top_path = g_build_filename(w->dir, "image", NULL);
    g_autofree char *base_path = g_build_filename(w->dir, "base", NULL);
    BlockImageOptions image = { 0 };
    g_autoptr(BlockNode) top = block_image_open(top_path, "qcow2", &image, err);
    g_autoptr(BlockNode) base =
        top ? block_image_open(base_path, block_node_backing_format(top), &image, err) : NULL;
    uint64_t size = top ? block_node_size(top) : 0;
    g_autofree uint8_t *buf = g_malloc(size + 1);

    if (!base || (block_node_size(base) < size &&
                  !block_image_resize(base, size, BLOCK_PREALLOC_OFF, false, err)))
        return false;
    for (uint64_t at = 0; at < size;) {
        BlockStatus s;
        int r = block_node_status(top, at, size - at, &s);

        if (r == 0 && s.flags & BLOCK_STATUS_ALLOCATED) {
            if (s.flags & BLOCK_STATUS_ZERO)
                r = block_node_write_zeroes(base, at, s.length, BLOCK_UNMAP);
            else if ((r = block_node_pread(top, at, buf, s.length)) == 0)
                r = block_node_pwrite(base, at, buf, s.length, 0);
        }
        if (r < 0)
            g_error("commit: %s", g_strerror(-r));
        at += s.length;
    }
    if (block_node_flush(base) < 0)
        g_error("commit: the base cannot be flushed");
    return block_image_make_empty(top, err);
}

static void
do_commit(Workload *w)
{
    g_autoptr(GError) err = NULL;
    uint64_t begin;

    /* snapshots of the overlay show the base where they have nothing of their own */
    if (!w->has_base || model_snapshots(w->model) > 0)
        return;
    workload_close(w);
    begin = record_now(w->record);
    commit(w, &err);
    note(w, "commit", "", begin, record_now(w->record), err);
    workload_reopen(w);
}

void
workload_upkeep(Workload *w)
{
    const char *name = model_snapshot_any(w->model, w->rand);

    switch (pick(w, 12)) {
    case 0:
    case 1:
        if (model_snapshots(w->model) < SNAPSHOTS_MAX)
            do_snapshot(w);
        break;
    case 2:
        if (name)
            do_delete(w, name);
        break;
    case 3:
        if (name)
            do_apply(w, name);
        break;
    case 4:
        do_resize(w);
        break;
    case 5:
    case 6:
        do_bitmap(w);
        break;
    case 7:
        do_vmstate(w);
        break;
    case 8:
        do_amend(w);
        break;
    case 9:
    case 10:
        do_commit(w);
        break;
    case 11:
        workload_close(w);
        workload_reopen(w);
        g_string_append(w->log, "closed and opened again\n");
        break;
    }
}
