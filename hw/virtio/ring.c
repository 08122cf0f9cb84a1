/* ring.c - virtqueues for models, and split ones (virtio 1.2, section 2.7) with indirect
 * descriptors and event index. Packed ones are in packed.c.
 *
 * The rings lie in guest RAM and the guest may change them while they are read: every value is
 * loaded once, checked, and used from the copy. A chain is bounded by the queue's size, an indirect
 * table and the chain with it by VIRTIO_QUEUE_MAX, so no walk is longer than that.
 *
 * Leaves out: VIRTIO_F_IN_ORDER, VIRTIO_F_ACCESS_PLATFORM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/packed.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum {
    CHAIN_START_IOV = 8, /* first allocation of a chain's buffer list */
    QUEUE_TURN = 256,    /* chains a handler takes before others have their turn */
};

static uint16_t
ring_load16(const uint16_t *p)
{
    return GUINT16_FROM_LE(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static void
ring_store16(uint16_t *p, uint16_t v)
{
    __atomic_store_n(p, GUINT16_TO_LE(v), __ATOMIC_RELAXED);
}

/* ---- places in the rings ---- */

static const uint16_t *
avail_flags(const VirtQueue *q)
{
    return q->ring->avail;
}

static uint16_t
avail_entry(const VirtQueue *q, uint16_t i)
{
    return ring_load16(q->ring->avail + 2 + (i & (q->size - 1)));
}

static const uint16_t *
avail_used_event(const VirtQueue *q)
{
    return q->ring->avail + 2 + q->size;
}

static VringUsedElem *
used_entry(const VirtQueue *q, uint16_t i)
{
    return (VringUsedElem *)(q->ring->used + 2) + (i & (q->size - 1));
}

static uint16_t *
used_avail_event(const VirtQueue *q)
{
    return q->ring->used + 2 + 4 * q->size;
}

/* ---- buffers ---- */

void
virt_chain_clear(VirtChain *chain)
{
    g_free(chain->iov);
    *chain = (VirtChain){ 0 };
}

/* ---- mapping ---- */

static int
split_map(VirtQueue *q, Vring *ret_ring)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;

    if ((q->size & (q->size - 1)) || (q->desc & 15) || (q->avail & 1) || (q->used & 3))
        return -EFAULT;
    ret_ring->desc = guest_memory_pointer(memory, q->desc, vring_desc_bytes(q->size));
    ret_ring->avail = guest_memory_pointer(memory, q->avail, vring_avail_bytes(q->size));
    ret_ring->used = guest_memory_pointer(memory, q->used, vring_used_bytes(q->size));
    return ret_ring->desc && ret_ring->avail && ret_ring->used ? 0 : -EFAULT;
}

int
virt_queue_map(VirtQueue *q)
{
    Vring ring;

    if (q->size == 0 || q->size > q->max_size ||
        (q->packed ? packed_map(q, &ring) : split_map(q, &ring)) < 0)
        return -EFAULT;
    q->ring = g_new(Vring, 1);
    *q->ring = ring;
    q->avail_seen = q->last_avail;
    q->signalled_valid = false;
    q->notify_enabled = true;
    q->notify_on_empty = virtio_has_feature(q->dev, VIRTIO_F_NOTIFY_ON_EMPTY_BIT);
    q->event_idx = virtio_has_feature(q->dev, VIRTIO_F_EVENT_IDX_BIT);
    q->indirect = virtio_has_feature(q->dev, VIRTIO_F_INDIRECT_DESC_BIT);
    return 0;
}

void
virt_queue_unmap(VirtQueue *q)
{
    g_clear_pointer(&q->ring, g_free);
}

void
virt_queue_reload_used(VirtQueue *q)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    const uint16_t *used = guest_memory_look(memory, q->used, 4);

    if (used && !(q->used & 1))
        q->used_idx = ring_load16(used + 1);
}

/* ---- taking ---- */

int
virt_queue_nonsense(VirtQueue *q)
{
    virtio_device_break(q->dev);
    return -EPROTO;
}

static bool
chain_room(VirtChain *chain, unsigned n)
{
    if (n >= VIRTIO_CHAIN_IOV_MAX)
        return false;
    if (n >= chain->capacity) {
        chain->capacity = MIN(MAX(chain->capacity * 2, CHAIN_START_IOV), VIRTIO_CHAIN_IOV_MAX);
        chain->iov = g_renew(struct iovec, chain->iov, chain->capacity);
    }
    return true;
}

void
virt_chain_begin(VirtChain *chain, uint16_t head)
{
    chain->head = head;
    chain->n_out = chain->n_in = 0;
    chain->out_len = chain->in_len = 0;
}

bool
virt_chain_add(const GuestMemory *memory, VirtChain *chain, uint64_t addr, uint32_t len, bool write)
{
    unsigned n = chain->n_out + chain->n_in;
    int pieces;

    if (!write && chain->n_in > 0)
        return false;
    if (len == 0)
        return true;
    for (;;) {
        if (!chain_room(chain, n))
            return false;
        pieces = (write ? guest_memory_iov : guest_memory_look_iov)(
            memory, addr, len, chain->iov + n, chain->capacity - n);
        if (pieces != -E2BIG)
            break;
        if (!chain_room(chain, chain->capacity))
            return false;
    }
    if (pieces < 0)
        return false;
    if (write) {
        chain->n_in += (unsigned)pieces;
        chain->in_len += len;
    } else {
        chain->n_out += (unsigned)pieces;
        chain->out_len += len;
    }
    return true;
}

/* Walks the chain that begins at @head; false when it is nonsense. */
static bool
chain_walk(VirtQueue *q, uint16_t head, VirtChain *chain)
{
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    const uint8_t *table = (const uint8_t *)q->ring->desc;
    unsigned size = q->size, left = q->size, i = head;
    bool in_table = false;

    virt_chain_begin(chain, head);
    for (;;) {
        VringDesc d;
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next;

        memcpy(&d, table + sizeof(d) * i, sizeof(d));
        atomic_signal_fence(memory_order_seq_cst); /* the copy is not to be read a second time */
        addr = GUINT64_FROM_LE(d.addr);
        len = GUINT32_FROM_LE(d.len);
        flags = GUINT16_FROM_LE(d.flags);
        next = GUINT16_FROM_LE(d.next);
        if (flags & VRING_DESC_INDIRECT) {
            /* 2.7.5.3: only with the feature, not nested, and as the last of its chain */
            if (!q->indirect || in_table || (flags & VRING_DESC_NEXT) || len == 0 ||
                len % sizeof(d) != 0 || len / sizeof(d) > VIRTIO_QUEUE_MAX)
                return false;
            size = len / sizeof(d);
            table = guest_memory_look(memory, addr, len);
            if (!table)
                return false;
            left = VIRTIO_QUEUE_MAX - (q->size - left);
            in_table = true;
            i = 0;
            continue;
        }
        if (!virt_chain_add(memory, chain, addr, len, flags & VRING_DESC_WRITE))
            return false;
        if (!(flags & VRING_DESC_NEXT))
            return true;
        if (next >= size || --left == 0)
            return false;
        i = next;
    }
}

/* Reads the available index anew; a negative result is nonsense. */
static int
queue_look(VirtQueue *q)
{
    q->avail_seen = GUINT16_FROM_LE(__atomic_load_n(q->ring->avail + 1, __ATOMIC_ACQUIRE));
    if ((uint16_t)(q->avail_seen - q->last_avail) > q->size)
        return virt_queue_nonsense(q);
    return 0;
}

static void
head_mark(uint8_t *heads, uint16_t head, bool on)
{
    uint8_t bit = (uint8_t)(1u << head % 8);

    heads[head / 8] = (uint8_t)(on ? heads[head / 8] | bit : heads[head / 8] & ~bit);
}

static bool
head_is_marked(const uint8_t *heads, uint16_t head)
{
    return heads[head / 8] & 1u << head % 8;
}

/* One of those that were taken where the state was saved. */
static int
queue_pop_again(VirtQueue *q, VirtChain *chain)
{
    uint16_t head = 0;

    while (!head_is_marked(q->again, head))
        head++;
    head_mark(q->again, head, false);
    q->n_again--;
    if (!chain_walk(q, head, chain))
        return virt_queue_nonsense(q);
    q->taken++;
    q->last_head = head;
    q->last_again = true;
    return 1;
}

bool
virt_queue_load_held(VirtQueue *q)
{
    if (q->enabled && virtio_has_feature(q->dev, VIRTIO_F_RING_PACKED_BIT))
        return packed_load(q);
    q->n_again = 0;
    for (uint16_t head = 0; head < VIRTIO_QUEUE_MAX; head++) {
        if (head_is_marked(q->held, head) && head >= q->size)
            return false;
        q->n_again += head_is_marked(q->held, head);
    }
    memcpy(q->again, q->held, sizeof(q->again));
    return true;
}

void
virt_queue_drop_held(VirtQueue *q)
{
    memset(q->held, 0, sizeof(q->held));
    memset(q->again, 0, sizeof(q->again));
    q->n_again = 0;
}

int
virt_queue_pop(VirtQueue *q, VirtChain *chain)
{
    uint16_t head;

    if (virtio_device_broken(q->dev))
        return -EPROTO;
    if (q->packed)
        return packed_pop(q, chain);
    if (q->n_again > 0)
        return queue_pop_again(q, chain);
    if (q->avail_seen == q->last_avail && queue_look(q) < 0)
        return -EPROTO;
    if (q->avail_seen == q->last_avail)
        return 0;
    head = avail_entry(q, q->last_avail);
    if (head >= q->size || q->taken >= q->size || !chain_walk(q, head, chain))
        return virt_queue_nonsense(q);
    q->last_avail++;
    q->taken++;
    head_mark(q->held, head, true);
    q->last_head = head;
    q->last_again = false;
    return 1;
}

void
virt_queue_unpop(VirtQueue *q)
{
    if (q->packed) {
        packed_unpop(q);
        return;
    }
    q->taken--;
    if (q->last_again) {
        head_mark(q->again, q->last_head, true);
        q->n_again++;
        return;
    }
    q->last_avail--;
    head_mark(q->held, q->last_head, false);
}

bool
virt_queue_pending(VirtQueue *q)
{
    if (virtio_device_broken(q->dev))
        return false;
    if (q->packed)
        return packed_pending(q);
    if (q->n_again > 0)
        return true;
    return q->avail_seen != q->last_avail || (queue_look(q) == 0 && q->avail_seen != q->last_avail);
}

void
virt_queue_disable_notify(VirtQueue *q)
{
    if (q->packed) {
        packed_disable_notify(q);
        return;
    }
    /* with event index the driver stays quiet by itself until the event is moved */
    if (q->notify_enabled && !q->event_idx)
        ring_store16(q->ring->used, VRING_USED_NO_NOTIFY);
    q->notify_enabled = false;
}

bool
virt_queue_enable_notify(VirtQueue *q)
{
    if (q->packed)
        return packed_enable_notify(q) && !virtio_device_broken(q->dev);
    q->notify_enabled = true;
    if (q->event_idx)
        ring_store16(used_avail_event(q), q->last_avail);
    else
        ring_store16(q->ring->used, 0);
    /* the driver writes the index and then reads the event: here it must be the other way round */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virt_queue_pending(q);
}

bool
virt_queue_await_more(VirtQueue *q)
{
    uint16_t seen = q->avail_seen;

    if (q->packed)
        return packed_await_more(q);
    q->notify_enabled = true;
    if (q->event_idx)
        ring_store16(used_avail_event(q), seen);
    else
        ring_store16(q->ring->used, 0);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return queue_look(q) == 0 && q->avail_seen != seen;
}

bool
virt_queue_next(VirtQueue *q, VirtChain *chain, unsigned *turn)
{
    if (*turn == 0)
        virt_queue_disable_notify(q);
    if (*turn >= QUEUE_TURN) {
        virt_queue_schedule(q);
        return false;
    }
    for (;;) {
        int r = virt_queue_pop(q, chain);

        if (r > 0) {
            ++*turn;
            return true;
        }
        if (r < 0 || !virt_queue_enable_notify(q))
            return false;
        virt_queue_disable_notify(q);
    }
}

static void
queue_run(void *opaque)
{
    VirtQueue *q = opaque;

    if (q->running && !virtio_device_broken(q->dev))
        q->handle(q);
}

static void
queue_scheduled(void *opaque)
{
    VirtQueue *q = opaque;

    q->scheduled = false;
    queue_run(q);
}

void
virt_queue_schedule(VirtQueue *q)
{
    if (q->scheduled)
        return;
    q->scheduled = true;
    io_loop_defer(q->loop, queue_scheduled, q);
}

void
virt_queue_schedule_remote(VirtQueue *q)
{
    io_loop_defer(q->loop, queue_run, q);
}

/* ---- giving back ---- */

void
virt_queue_fill(VirtQueue *q, uint16_t head, uint64_t written, unsigned n)
{
    VringUsedElem *entry;

    if (q->packed) {
        packed_fill(q, head, written, n);
        return;
    }
    entry = used_entry(q, (uint16_t)(q->used_idx + n));
    head_mark(q->held, head, false);
    __atomic_store_n(&entry->id, GUINT32_TO_LE(head), __ATOMIC_RELAXED);
    __atomic_store_n(&entry->len, GUINT32_TO_LE((uint32_t)written), __ATOMIC_RELAXED);
}

static void
queue_flush(void *opaque)
{
    virt_queue_flush(opaque);
}

static void
split_publish(VirtQueue *q, unsigned n)
{
    uint16_t old = q->used_idx;

    q->used_idx = (uint16_t)(old + n);
    q->taken -= MIN(n, q->taken);
    __atomic_store_n(q->ring->used + 1, GUINT16_TO_LE(q->used_idx), __ATOMIC_RELEASE);
    /* a whole round since the last interrupt: the comparison of indexes says nothing any more */
    if ((uint16_t)(q->used_idx - q->signalled_used) < (uint16_t)n)
        q->signalled_valid = false;
}

void
virt_queue_publish(VirtQueue *q, unsigned n)
{
    if (q->packed)
        packed_publish(q, n);
    else
        split_publish(q, n);
    if (!q->flush_scheduled) {
        q->flush_scheduled = true;
        io_loop_defer(q->loop, queue_flush, q);
    }
}

void
virt_queue_push(VirtQueue *q, uint16_t head, uint64_t written)
{
    virt_queue_fill(q, head, written, 0);
    virt_queue_publish(q, 1);
}

/* Section 2.7.7.2: whether the driver wants an interrupt for what was published since the last. */
static bool
split_wants_interrupt(VirtQueue *q)
{
    uint16_t old = q->signalled_used, event;
    bool valid = q->signalled_valid;

    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (q->notify_on_empty && q->taken == 0 && q->last_avail == ring_load16(q->ring->avail + 1))
        return true;
    if (!q->event_idx)
        return !(ring_load16(avail_flags(q)) & VRING_AVAIL_NO_INTERRUPT);
    event = ring_load16(avail_used_event(q));
    q->signalled_used = q->used_idx;
    q->signalled_valid = true;
    return !valid || (uint16_t)(q->used_idx - event - 1) < (uint16_t)(q->used_idx - old);
}

void
virt_queue_flush(VirtQueue *q)
{
    if (q->flush_scheduled) {
        q->flush_scheduled = false;
        if (q->ring && (q->packed ? packed_wants_interrupt(q) : split_wants_interrupt(q)))
            virtio_queue_interrupt(q);
    }
}

void
virt_queue_forget(void *opaque)
{
    VirtQueue *q = opaque;

    io_loop_cancel(q->loop, queue_run, q);
    io_loop_cancel(q->loop, queue_scheduled, q);
    io_loop_cancel(q->loop, queue_flush, q);
    q->scheduled = q->flush_scheduled = false;
}

static const SavedField virt_queue_fields[] = {
    SAVED(VirtQueue, size, 1),       SAVED(VirtQueue, enabled, 1),
    SAVED(VirtQueue, desc, 1),       SAVED(VirtQueue, avail, 1),
    SAVED(VirtQueue, used, 1),       SAVED(VirtQueue, saved_vector, 1),
    SAVED(VirtQueue, last_avail, 1), SAVED(VirtQueue, used_idx, 1),
    SAVED_BYTES(VirtQueue, held, 1), SAVED_BLOB(VirtQueue, packed_held, PACKED_HELD_MAX, 2),
};

const SavedTable virt_queue_saved = {
    .name = "virtqueue",
    .version = 2,
    .oldest = 1,
    .fields = virt_queue_fields,
    .n_fields = G_N_ELEMENTS(virt_queue_fields),
};
