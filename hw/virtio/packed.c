/* packed.c - packed virtqueues (virtio 1.2, section 2.8) with indirect descriptors and event
 * suppression by descriptor.
 *
 * Descriptors and what becomes of them share one ring: what is given back overwrites descriptors of
 * chains that the device still has. Each is therefore copied when it is taken, and the copies are
 * what is walked, and saved with the state. Places in the ring carry the wrap counter in bit 15, as
 * the driver's and the device's event structures have it.
 *
 * A chain's head, for the device, is the number of its first copy; the driver's buffer id stays
 * here.
 *
 * Leaves out: VIRTIO_F_IN_ORDER, VIRTIO_F_NOTIFICATION_DATA.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/packed.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    DESC_AVAIL = 1 << 7,
    DESC_USED = 1 << 15,
    WRAP = 1 << 15,
    EVENT_ENABLE = 0,
    EVENT_DISABLE = 1,
    EVENT_DESC = 2,
    NONE = UINT16_MAX,
    SAVED_HEAD = 2,  /* u16 number of descriptors */
    SAVED_DESC = 16, /* as they lie in the ring */
};

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t id, flags;
} PackedDesc;

/* A descriptor that was taken. */
typedef struct {
    PackedDesc desc;
    uint16_t next; /* copy of the chain's next one, or the next free copy */
    /* of a chain's first: */
    uint16_t id, count;
    uint16_t older, newer; /* chains, in the order in which they were taken */
    bool again;            /* held where the state was saved, and not taken again yet */
} PackedCopy;

/* A chain to be given back. */
typedef struct {
    uint16_t head, at; /* at: its place in the ring */
    uint32_t written;
} PackedUsed;

struct PackedRing {
    uint16_t free, n_free;
    uint16_t oldest, newest;
    PackedCopy *copies;
    PackedUsed *used;
};

/* ---- places ---- */

static unsigned
place(uint16_t at)
{
    return at & (WRAP - 1);
}

static uint16_t
place_after(const VirtQueue *q, uint16_t at, unsigned count)
{
    unsigned to = place(at) + count;
    unsigned wrap = at & WRAP;

    if (to >= q->size) {
        to -= q->size;
        wrap ^= WRAP;
    }
    return (uint16_t)(to | wrap);
}

static uint16_t
place_before(const VirtQueue *q, uint16_t at, unsigned count)
{
    unsigned to = place(at);
    unsigned wrap = at & WRAP;

    if (to < count) {
        to += q->size;
        wrap ^= WRAP;
    }
    return (uint16_t)((to - count) | wrap);
}

static PackedDesc *
ring_desc(const VirtQueue *q, uint16_t at)
{
    return (PackedDesc *)q->ring->desc + place(at);
}

/* 2.8.1: available has the wrap counter's value, used has not. */
static bool
place_available(const VirtQueue *q, uint16_t at)
{
    uint16_t flags = GUINT16_FROM_LE(__atomic_load_n(&ring_desc(q, at)->flags, __ATOMIC_ACQUIRE));
    bool wrap = at & WRAP;

    return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

/* ---- copies ---- */

static void
ring_init(PackedRing *r, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        r->copies[i].next = (uint16_t)(i + 1);
    r->free = 0;
    r->n_free = (uint16_t)size;
    r->oldest = r->newest = NONE;
}

void
packed_new(VirtQueue *q)
{
    packed_free(q);
    q->packed = g_new0(PackedRing, 1);
    q->packed->copies = g_new0(PackedCopy, q->size);
    q->packed->used = g_new0(PackedUsed, q->size);
    ring_init(q->packed, q->size);
    q->last_avail = q->used_idx = WRAP;
}

void
packed_free(VirtQueue *q)
{
    if (!q->packed)
        return;
    g_free(q->packed->copies);
    g_free(q->packed->used);
    g_clear_pointer(&q->packed, g_free);
}

/* Adds a copy of @desc to the chain that begins at @head; the first one when that is NONE. */
static bool
copy_add(PackedRing *r, uint16_t *head, uint16_t *last, const PackedDesc *desc)
{
    uint16_t slot = r->free;
    PackedCopy *c = &r->copies[slot];

    if (r->n_free == 0)
        return false;
    r->free = c->next;
    r->n_free--;
    c->desc = *desc;
    if (*head == NONE) {
        *head = slot;
        c->count = 0;
        c->again = false;
    } else {
        r->copies[*last].next = slot;
    }
    *last = slot;
    r->copies[*head].count++;
    r->copies[*head].id = desc->id; /* that of the last one counts (2.8.6) */
    return true;
}

static void
copies_free(PackedRing *r, uint16_t head)
{
    uint16_t last = head;

    for (unsigned i = 1; i < r->copies[head].count; i++)
        last = r->copies[last].next;
    r->copies[last].next = r->free;
    r->free = head;
    r->n_free = (uint16_t)(r->n_free + r->copies[head].count);
}

static void
chain_link(PackedRing *r, uint16_t head)
{
    PackedCopy *c = &r->copies[head];

    c->older = r->newest;
    c->newer = NONE;
    if (r->newest == NONE)
        r->oldest = head;
    else
        r->copies[r->newest].newer = head;
    r->newest = head;
}

static void
chain_unlink(PackedRing *r, uint16_t head)
{
    const PackedCopy *c = &r->copies[head];

    if (c->older == NONE)
        r->oldest = c->newer;
    else
        r->copies[c->older].newer = c->newer;
    if (c->newer == NONE)
        r->newest = c->older;
    else
        r->copies[c->newer].older = c->older;
}

/* ---- mapping ---- */

int
packed_map(VirtQueue *q, Vring *ret_ring)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;

    if ((q->desc & 15) || (q->avail & 3) || (q->used & 3))
        return -EFAULT;
    ret_ring->desc = guest_memory_pointer(memory, q->desc, sizeof(PackedDesc) * q->size);
    ret_ring->avail = guest_memory_pointer(memory, q->avail, PACKED_EVENT_BYTES);
    ret_ring->used = guest_memory_pointer(memory, q->used, PACKED_EVENT_BYTES);
    return ret_ring->desc && ret_ring->avail && ret_ring->used ? 0 : -EFAULT;
}

/* ---- taking ---- */

/* 2.8.7: an indirect table is used whole, and of its flags only that for writing counts. */
static bool
walk_table(VirtQueue *q, const PackedDesc *d, VirtChain *chain)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    uint32_t len = GUINT32_FROM_LE(d->len), n = len / sizeof(*d);
    const PackedDesc *table;

    if (len == 0 || len % sizeof(*d) != 0 || n > VIRTIO_QUEUE_MAX)
        return false;
    table = guest_memory_look(memory, GUINT64_FROM_LE(d->addr), len);
    if (!table)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        PackedDesc copy;

        memcpy(&copy, table + i, sizeof(copy));
        atomic_signal_fence(memory_order_seq_cst); /* not to be read a second time */
        if (!virt_chain_add(memory, chain, GUINT64_FROM_LE(copy.addr), GUINT32_FROM_LE(copy.len),
                            GUINT16_FROM_LE(copy.flags) & VRING_DESC_WRITE))
            return false;
    }
    return true;
}

/* Finds the buffers of the copies that begin at @head; false when they are nonsense. */
static bool
walk_copies(VirtQueue *q, uint16_t head, VirtChain *chain)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    const PackedCopy *c = &q->packed->copies[head];

    virt_chain_begin(chain, head);
    for (unsigned left = c->count;;) {
        const PackedDesc *d = &c->desc;
        uint16_t flags = GUINT16_FROM_LE(d->flags);
        bool good = flags & VRING_DESC_INDIRECT
                        ? walk_table(q, d, chain)
                        : virt_chain_add(memory, chain, GUINT64_FROM_LE(d->addr),
                                         GUINT32_FROM_LE(d->len), flags & VRING_DESC_WRITE);

        if (!good)
            return false;
        if (--left == 0)
            return true;
        c = &q->packed->copies[c->next];
    }
}

/* Copies the chain at @at, and moves that behind it. */
static bool
take_copies(VirtQueue *q, uint16_t *at, uint16_t *ret_head)
{
    uint16_t head = NONE, last = NONE, flags;

    do {
        PackedDesc d;

        memcpy(&d, ring_desc(q, *at), sizeof(d));
        atomic_signal_fence(memory_order_seq_cst);
        flags = GUINT16_FROM_LE(d.flags);
        /* 2.8.6.1: only with the feature, and alone */
        if ((flags & VRING_DESC_INDIRECT) &&
            (!q->indirect || head != NONE || (flags & VRING_DESC_NEXT)))
            break;
        if (!copy_add(q->packed, &head, &last, &d))
            break;
        *at = place_after(q, *at, 1);
        if (!(flags & VRING_DESC_NEXT)) {
            *ret_head = head;
            return true;
        }
    } while (true);
    if (head != NONE)
        copies_free(q->packed, head);
    return false;
}

static int
pop_again(VirtQueue *q, VirtChain *chain)
{
    uint16_t head = q->packed->oldest;

    while (!q->packed->copies[head].again)
        head = q->packed->copies[head].newer;
    q->packed->copies[head].again = false;
    q->n_again--;
    q->last_head = head;
    q->last_again = true;
    return walk_copies(q, head, chain) ? 1 : virt_queue_nonsense(q);
}

int
packed_pop(VirtQueue *q, VirtChain *chain)
{
    uint16_t at = q->last_avail, head;

    if (q->n_again > 0)
        return pop_again(q, chain);
    q->avail_seen = at;
    if (!place_available(q, at))
        return 0;
    if (!take_copies(q, &at, &head))
        return virt_queue_nonsense(q);
    if (!walk_copies(q, head, chain)) {
        copies_free(q->packed, head);
        return virt_queue_nonsense(q);
    }
    chain_link(q->packed, head);
    q->last_avail = at;
    q->last_head = head;
    q->last_again = false;
    return 1;
}

void
packed_unpop(VirtQueue *q)
{
    PackedRing *r = q->packed;
    uint16_t head = r->newest;

    if (q->last_again) {
        r->copies[q->last_head].again = true;
        q->n_again++;
        return;
    }
    q->last_avail = place_before(q, q->last_avail, r->copies[head].count);
    chain_unlink(r, head);
    copies_free(r, head);
}

bool
packed_pending(VirtQueue *q)
{
    return q->n_again > 0 || place_available(q, q->last_avail);
}

/* ---- notifications ---- */

/* An event structure is the place, then the flags (2.8.14). */
static void
event_set(VirtQueue *q, uint16_t flags)
{
    __atomic_store_n(q->ring->used + 1, GUINT16_TO_LE(flags), __ATOMIC_RELEASE);
}

void
packed_disable_notify(VirtQueue *q)
{
    if (q->notify_enabled)
        event_set(q, EVENT_DISABLE);
    q->notify_enabled = false;
}

bool
packed_enable_notify(VirtQueue *q)
{
    q->notify_enabled = true;
    if (q->event_idx)
        __atomic_store_n(q->ring->used, GUINT16_TO_LE(q->last_avail), __ATOMIC_RELAXED);
    event_set(q, q->event_idx ? EVENT_DESC : EVENT_ENABLE);
    /* the driver writes its descriptor and then reads the event: here the other way round */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return packed_pending(q);
}

bool
packed_await_more(VirtQueue *q)
{
    q->notify_enabled = true;
    event_set(q, EVENT_ENABLE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return place_available(q, q->avail_seen);
}

/* 2.8.21.3.1: whether the driver wants an interrupt for what was given back since the last. */
bool
packed_wants_interrupt(VirtQueue *q)
{
    uint16_t old = q->signalled_used, flags, event;
    bool valid = q->signalled_valid;
    unsigned off;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    q->signalled_used = q->used_idx;
    q->signalled_valid = true;
    flags = GUINT16_FROM_LE(__atomic_load_n(q->ring->avail + 1, __ATOMIC_ACQUIRE)) & 3;
    if (flags != EVENT_DESC || !q->event_idx)
        return flags != EVENT_DISABLE;
    event = GUINT16_FROM_LE(__atomic_load_n(q->ring->avail, __ATOMIC_RELAXED));
    off = place(event) - ((event ^ q->used_idx) & WRAP ? q->size : 0);
    return !valid ||
           (uint16_t)(place(q->used_idx) - off - 1) < (uint16_t)(place(q->used_idx) - place(old));
}

/* ---- giving back ---- */

/* Nothing is written yet: what becomes visible together may still be taken back. */
void
packed_fill(VirtQueue *q, uint16_t head, uint64_t written, unsigned n)
{
    PackedUsed *u = &q->packed->used[n];

    u->head = head;
    u->written = (uint32_t)written;
    u->at = n == 0 ? q->used_idx : place_after(q, u[-1].at, q->packed->copies[u[-1].head].count);
}

void
packed_publish(VirtQueue *q, unsigned n)
{
    PackedRing *r = q->packed;
    uint16_t end;

    if (n == 0)
        return;
    end = place_after(q, r->used[n - 1].at, r->copies[r->used[n - 1].head].count);
    /* The driver looks at the first only: its flags come last. */
    for (unsigned i = n; i-- > 0;) {
        const PackedUsed *u = &r->used[i];
        PackedDesc *d = ring_desc(q, u->at);
        uint16_t flags = (uint16_t)((u->at & WRAP ? DESC_AVAIL | DESC_USED : 0) |
                                    (u->written > 0 ? VRING_DESC_WRITE : 0));

        __atomic_store_n(&d->len, GUINT32_TO_LE(u->written), __ATOMIC_RELAXED);
        __atomic_store_n(&d->id, r->copies[u->head].id, __ATOMIC_RELAXED);
        __atomic_store_n(&d->flags, GUINT16_TO_LE(flags), __ATOMIC_RELEASE);
        chain_unlink(r, u->head);
        copies_free(r, u->head);
    }
    /* a round since the last interrupt: places compared say nothing any more */
    if ((end ^ q->used_idx) & WRAP)
        q->signalled_valid = false;
    q->used_idx = end;
}

/* ---- saved state ---- */

void
packed_save(VirtQueue *q)
{
    const PackedRing *r = q->packed;

    g_byte_array_set_size(q->packed_held, 0);
    for (uint16_t head = r ? r->oldest : NONE; head != NONE; head = r->copies[head].newer) {
        unsigned count = r->copies[head].count;
        uint16_t at = head;
        uint8_t bytes[SAVED_HEAD];

        bytes_store(bytes, count, sizeof(bytes));
        g_byte_array_append(q->packed_held, bytes, sizeof(bytes));
        for (unsigned i = 0; i < count; i++, at = r->copies[at].next)
            g_byte_array_append(q->packed_held, (const guint8 *)&r->copies[at].desc, SAVED_DESC);
    }
}

static bool
load_chain(VirtQueue *q, const uint8_t *bytes, unsigned count)
{
    uint16_t head = NONE, last = NONE;

    for (unsigned i = 0; i < count; i++) {
        PackedDesc d;
        bool indirect;

        memcpy(&d, bytes + i * SAVED_DESC, sizeof(d));
        indirect = GUINT16_FROM_LE(d.flags) & VRING_DESC_INDIRECT;
        if ((indirect && (count > 1 || !q->indirect)) || !copy_add(q->packed, &head, &last, &d))
            return false;
    }
    q->packed->copies[head].again = true;
    chain_link(q->packed, head);
    q->n_again++;
    return true;
}

bool
packed_load(VirtQueue *q)
{
    uint16_t avail = q->last_avail, used = q->used_idx;
    GByteArray *held = q->packed_held;

    packed_new(q);
    q->last_avail = avail;
    q->used_idx = used;
    q->indirect = virtio_has_feature(q->dev, VIRTIO_F_INDIRECT_DESC_BIT);
    q->n_again = 0;
    if (place(avail) >= q->size || place(used) >= q->size)
        return false;
    for (guint at = 0; at < held->len;) {
        unsigned count;

        if (held->len - at < SAVED_HEAD)
            return false;
        count = bytes_load16(held->data + at);
        at += SAVED_HEAD;
        if (count == 0 || count > q->size || (held->len - at) / SAVED_DESC < count ||
            !load_chain(q, held->data + at, count))
            return false;
        at += count * SAVED_DESC;
    }
    return true;
}
