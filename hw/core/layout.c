/* layout.c - what a guest reaches without leaving it: RAM, and what lies over RAM or beside it.
 *
 * RAM and overlays are painted, lowest priority first, into a sorted list of pieces; a piece with
 * memory is a slot of the host. RAM and overlays never share a slot, so that switching a few
 * kilobytes below 1 MiB leaves the gigabytes above alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/layout.h"

#include "hw/core/machine.h"

#include <errno.h>
#include <string.h>

enum { PAGE = 4096, NO_SLOT = -1 };

typedef struct {
    uint64_t gpa, size;
    uint8_t *host; /* NULL: a hole */
    bool read_only, log;
    const MemoryOverlay *overlay; /* NULL: RAM */
    int slot;
} LayoutPiece;

typedef struct {
    MemoryOverlay *overlay;
    uint64_t sequence;
} LayoutPlaced;

struct MemoryLayout {
    Machine *machine;
    /* Held from begin to commit as well: overlays change in between, while the pieces in force
     * still name them. */
    GRecMutex lock;
    GArray *placed; /* LayoutPlaced */
    GArray *pieces; /* LayoutPiece, in force */
    uint64_t sequence;
    unsigned depth;
    bool logs; /* what vCPUs write into RAM */
};

MemoryLayout *
memory_layout_new(Machine *machine)
{
    MemoryLayout *layout = g_new0(MemoryLayout, 1);

    layout->machine = machine;
    g_rec_mutex_init(&layout->lock);
    layout->placed = g_array_new(FALSE, FALSE, sizeof(LayoutPlaced));
    layout->pieces = g_array_new(FALSE, FALSE, sizeof(LayoutPiece));
    return layout;
}

void
memory_layout_free(MemoryLayout *layout)
{
    if (!layout)
        return;
    g_array_unref(layout->placed);
    g_array_unref(layout->pieces);
    g_rec_mutex_clear(&layout->lock);
    g_free(layout);
}

/* The part of @piece from @gpa on, @size bytes of it. */
static LayoutPiece
layout_part(LayoutPiece piece, uint64_t gpa, uint64_t size)
{
    if (piece.host)
        piece.host += gpa - piece.gpa;
    piece.gpa = gpa;
    piece.size = size;
    return piece;
}

static void
layout_paint(GArray *list, LayoutPiece piece)
{
    uint64_t last = piece.gpa + (piece.size - 1);
    guint at = 0;

    for (guint i = 0; i < list->len; i++) {
        LayoutPiece old = g_array_index(list, LayoutPiece, i);
        uint64_t old_last = old.gpa + (old.size - 1);

        if (old_last < piece.gpa) {
            at = i + 1;
            continue;
        }
        if (old.gpa > last)
            break;
        g_array_remove_index(list, i);
        if (old.gpa < piece.gpa) {
            LayoutPiece left = layout_part(old, old.gpa, piece.gpa - old.gpa);

            g_array_insert_val(list, i, left);
            i++;
            at = i;
        }
        if (old_last > last) {
            LayoutPiece right = layout_part(old, last + 1, old_last - last);

            g_array_insert_val(list, i, right);
            break;
        }
        i--;
    }
    g_array_insert_val(list, at, piece);
}

static gint
layout_compare(gconstpointer a, gconstpointer b)
{
    const LayoutPlaced *x = a, *y = b;

    if (x->overlay->priority != y->overlay->priority)
        return x->overlay->priority < y->overlay->priority ? -1 : 1;
    return x->sequence < y->sequence ? -1 : 1;
}

static bool
layout_joins(const LayoutPiece *a, const LayoutPiece *b)
{
    return a->overlay && b->overlay && !a->log && !b->log && a->read_only == b->read_only &&
           a->gpa + a->size == b->gpa && a->host && a->host + a->size == b->host;
}

/* What is to be seen: pieces with memory, neighbours joined. */
static GArray *
layout_flatten(MemoryLayout *layout)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(LayoutPiece));
    size_t n;
    const GuestRam *ram = guest_memory_list(layout->machine->memory, &n);

    for (size_t i = 0; i < n; i++)
        layout_paint(list, (LayoutPiece){ ram[i].gpa, ram[i].size, ram[i].host, false, false, NULL,
                                          NO_SLOT });
    g_array_sort(layout->placed, layout_compare);
    for (guint i = 0; i < layout->placed->len; i++) {
        const MemoryOverlay *o = g_array_index(layout->placed, LayoutPlaced, i).overlay;

        layout_paint(list,
                     (LayoutPiece){ o->gpa, o->size, o->host, o->read_only, o->log, o, NO_SLOT });
    }
    for (guint i = list->len; i > 0; i--) {
        LayoutPiece *piece = &g_array_index(list, LayoutPiece, i - 1);

        if (!piece->host) {
            g_array_remove_index(list, i - 1);
        } else if (i < list->len && layout_joins(piece, piece + 1)) {
            piece->size += piece[1].size;
            g_array_remove_index(list, i);
        }
    }
    return list;
}

/* Takes over the slots that stay as they are, and says whether others go and others come. */
static void
layout_keep(GArray *from, GArray *to, bool *ret_goes, bool *ret_comes)
{
    for (guint i = 0; i < to->len; i++) {
        LayoutPiece *piece = &g_array_index(to, LayoutPiece, i);

        for (guint j = 0; j < from->len && piece->slot == NO_SLOT; j++) {
            LayoutPiece *old = &g_array_index(from, LayoutPiece, j);

            if (old->slot == NO_SLOT || old->gpa != piece->gpa || old->size != piece->size ||
                old->host != piece->host || old->read_only != piece->read_only ||
                old->log != piece->log)
                continue;
            piece->slot = old->slot;
            old->slot = NO_SLOT;
        }
        *ret_comes |= piece->slot == NO_SLOT;
    }
    for (guint i = 0; i < from->len; i++)
        *ret_goes |= g_array_index(from, LayoutPiece, i).slot != NO_SLOT;
}

/* The guest address of the RAM that the piece shows, by itself or as an overlay; false: other
 * memory. */
static bool
layout_shows_ram(const Machine *machine, const LayoutPiece *piece, uint64_t *ret_gpa)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(machine->memory, &n);

    for (size_t i = 0; i < n; i++) {
        uint64_t offset = (uint64_t)(piece->host - ram[i].host);

        if (piece->host >= ram[i].host && offset < ram[i].size) {
            *ret_gpa = ram[i].gpa + offset;
            return true;
        }
    }
    return false;
}

static int
layout_map(MemoryLayout *layout, LayoutPiece *piece)
{
    Machine *machine = layout->machine;
    const MachineOps *ops = machine->ops;
    int ret =
        ops->memory_map(machine->host, piece->gpa, piece->size, piece->host, piece->read_only);
    uint64_t gpa;
    bool log;

    if (ret < 0)
        return ret;
    piece->slot = ret;
    log =
        piece->log || (layout->logs && !piece->read_only && layout_shows_ram(machine, piece, &gpa));
    return log && ops->memory_log ? ops->memory_log(machine->host, ret, true) : 0;
}

static void
layout_collect_ram(MemoryLayout *layout, const LayoutPiece *piece)
{
    const Machine *machine = layout->machine;
    const MachineOps *ops = machine->ops;
    uint64_t pages = piece->size / PAGE, gpa;
    size_t words = (pages + 63) / 64;
    g_autofree uint64_t *bits = NULL;

    if (piece->slot == NO_SLOT || piece->read_only || !layout_shows_ram(machine, piece, &gpa))
        return;
    bits = g_new0(uint64_t, words);
    if (!ops->memory_dirty ||
        ops->memory_dirty(machine->host, piece->slot, bits, words * sizeof(*bits)) < 0) {
        guest_memory_mark(machine->memory, gpa, piece->size);
        return;
    }
    for (size_t word = 0; word < words; word++) {
        for (uint64_t left = GUINT64_FROM_LE(bits[word]); left; left &= left - 1)
            guest_memory_mark(machine->memory,
                              gpa + (word * 64 + (unsigned)__builtin_ctzll(left)) * PAGE, PAGE);
    }
}

void
memory_layout_collect(MemoryLayout *layout)
{
    g_rec_mutex_lock(&layout->lock);
    for (guint i = 0; i < layout->pieces->len; i++)
        layout_collect_ram(layout, &g_array_index(layout->pieces, LayoutPiece, i));
    g_rec_mutex_unlock(&layout->lock);
}

int
memory_layout_log(MemoryLayout *layout, bool on)
{
    const Machine *machine = layout->machine;
    const MachineOps *ops = machine->ops;
    int ret = ops->memory_log ? 0 : -ENOTSUP;
    uint64_t gpa;

    g_rec_mutex_lock(&layout->lock);
    layout->logs = on;
    for (guint i = 0; ops->memory_log && i < layout->pieces->len; i++) {
        const LayoutPiece *piece = &g_array_index(layout->pieces, LayoutPiece, i);
        int done = 0;

        if (piece->slot != NO_SLOT && !piece->log && !piece->read_only &&
            layout_shows_ram(machine, piece, &gpa))
            done = ops->memory_log(machine->host, piece->slot, on);
        if (ret == 0)
            ret = done;
    }
    g_rec_mutex_unlock(&layout->lock);
    return ret;
}

static int
layout_apply(MemoryLayout *layout)
{
    Machine *machine = layout->machine;
    const MachineOps *ops = machine->ops;
    GArray *list = layout_flatten(layout);
    bool goes = false, comes = false, hold;
    int ret = 0;

    if (ops->memory_map)
        layout_keep(layout->pieces, list, &goes, &comes);
    /* What only comes or only goes leaves no moment in which something is missing, but one in which
     * writes are not noted. */
    hold = ops->memory_begin && (layout->logs ? goes || comes : goes && comes);
    if (hold)
        ops->memory_begin(machine->host);
    for (guint i = 0; goes && i < layout->pieces->len; i++) {
        int slot = g_array_index(layout->pieces, LayoutPiece, i).slot;

        if (slot == NO_SLOT)
            continue;
        /* what the host has noted of it goes with it */
        if (layout->logs)
            layout_collect_ram(layout, &g_array_index(layout->pieces, LayoutPiece, i));
        ops->memory_unmap(machine->host, slot);
    }
    for (guint i = 0; comes && i < list->len; i++) {
        LayoutPiece *piece = &g_array_index(list, LayoutPiece, i);
        int mapped = piece->slot == NO_SLOT ? layout_map(layout, piece) : 0;

        if (ret == 0)
            ret = mapped;
    }
    if (hold)
        ops->memory_commit(machine->host);
    g_array_unref(layout->pieces);
    layout->pieces = list;
    return ret;
}

void
memory_layout_begin(MemoryLayout *layout)
{
    g_rec_mutex_lock(&layout->lock);
    layout->depth++;
}

int
memory_layout_commit(MemoryLayout *layout)
{
    int ret = --layout->depth == 0 ? layout_apply(layout) : 0;

    g_rec_mutex_unlock(&layout->lock);
    return ret;
}

static guint
layout_find(const MemoryLayout *layout, const MemoryOverlay *overlay)
{
    guint i = 0;

    while (i < layout->placed->len &&
           g_array_index(layout->placed, LayoutPlaced, i).overlay != overlay)
        i++;
    return i;
}

int
memory_layout_add(MemoryLayout *layout, MemoryOverlay *overlay)
{
    LayoutPlaced placed = { .overlay = overlay };
    int ret = 0;

    if (overlay->size == 0 || ((overlay->gpa | overlay->size) & (PAGE - 1)) ||
        overlay->gpa + (overlay->size - 1) < overlay->gpa)
        return -EINVAL;
    g_rec_mutex_lock(&layout->lock);
    if (layout_find(layout, overlay) < layout->placed->len) {
        ret = -EEXIST;
    } else {
        placed.sequence = layout->sequence++;
        g_array_append_val(layout->placed, placed);
        if (layout->depth == 0)
            ret = layout_apply(layout);
    }
    g_rec_mutex_unlock(&layout->lock);
    return ret;
}

void
memory_layout_remove(MemoryLayout *layout, MemoryOverlay *overlay)
{
    guint at;

    g_rec_mutex_lock(&layout->lock);
    at = layout_find(layout, overlay);
    if (at < layout->placed->len) {
        g_array_remove_index(layout->placed, at);
        if (layout->depth == 0)
            layout_apply(layout);
    }
    g_rec_mutex_unlock(&layout->lock);
}

/* Adds the bits of a slot, which begins @first pages into the overlay, to the overlay's. */
static bool
layout_collect(MemoryLayout *layout, const LayoutPiece *piece, uint64_t first, uint8_t *bitmap)
{
    const MachineOps *ops = layout->machine->ops;
    uint64_t pages = piece->size / PAGE;
    size_t bytes = (pages + 63) / 64 * 8;
    g_autofree uint8_t *bits = g_malloc0(bytes);

    if (ops->memory_dirty(layout->machine->host, piece->slot, bits, bytes) < 0)
        return false;
    for (uint64_t i = 0; i < pages; i++) {
        if (bits[i / 8] & 1u << (i % 8))
            bitmap[(first + i) / 8] |= (uint8_t)(1u << ((first + i) % 8));
    }
    return true;
}

bool
memory_layout_dirty(MemoryLayout *layout, const MemoryOverlay *overlay, uint8_t *bitmap)
{
    bool found = false;

    if (!layout->machine->ops->memory_dirty)
        return false;
    g_rec_mutex_lock(&layout->lock);
    for (guint i = 0; i < layout->pieces->len; i++) {
        const LayoutPiece *piece = &g_array_index(layout->pieces, LayoutPiece, i);

        if (piece->overlay != overlay || piece->slot == NO_SLOT || !piece->log)
            continue;
        found = layout_collect(layout, piece, (piece->gpa - overlay->gpa) / PAGE, bitmap);
        if (!found)
            break;
    }
    g_rec_mutex_unlock(&layout->lock);
    return found;
}

void
memory_layout_visit(MemoryLayout *layout, MemoryLayoutVisit fn, void *opaque)
{
    g_rec_mutex_lock(&layout->lock);
    for (guint i = 0; i < layout->pieces->len; i++) {
        const LayoutPiece *piece = &g_array_index(layout->pieces, LayoutPiece, i);

        fn(piece->gpa, piece->size, piece->host, piece->read_only, opaque);
    }
    g_rec_mutex_unlock(&layout->lock);
}
