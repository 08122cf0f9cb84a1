/* e1000_rx.c - receiving on Intel's gigabit cards: the address and VLAN filters (SDM 3.2, 14.1; DS
 * 7.1), legacy descriptors, and the 82574's extended and packet-split ones with RSS over two
 * queues.
 *
 * Checksums are left to the driver (IXSM), and the frame's check sequence, where the driver wants
 * it kept, is zero.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    RX_DD = 1 << 0,
    RX_EOP = 1 << 1,
    RX_IXSM = 1 << 2,
    RX_VP = 1 << 3,
    RX_PIF = 1 << 7, /* passed by the inexact filter */
    SPLIT_DESCRIPTOR = 32,
    SPLIT_BUFFERS = 4,
    FRAME_MIN = 60,
    FRAME_LONG = 1522 - 4, /* longest with a tag, without check sequence */
    FRAME_JUMBO = 16384 - 4,
    VLAN_AT = 12,
};

/* A frame on its way to the driver. */
typedef struct {
    const uint8_t *data; /* without a tag that was taken out */
    size_t len;          /* with check sequence, where the driver wants it */
    size_t real;         /* bytes at @data; the rest is zero */
    uint32_t status;
    uint16_t tag;
    uint32_t hash, hash_type;
} RxFrame;

static unsigned
rx_ring(unsigned queue)
{
    return E1000_RX0 + queue * E1000_QUEUE_STEP;
}

static uint32_t
rx_free(const E1000 *card, unsigned ring)
{
    uint32_t size = e1000_ring_size(card, ring), head = e1000_get(card, ring + E1000_HEAD);
    uint32_t tail = e1000_get(card, ring + E1000_TAIL);

    if (size == 0 || head >= size || tail >= size)
        return 0;
    return tail >= head ? tail - head : size - head + tail;
}

static bool
rx_extended(const E1000 *card)
{
    return card->kind->model == MODEL_82574 && e1000_get(card, E1000_RFCTL) & RFCTL_EXSTEN;
}

static bool
rx_split(const E1000 *card)
{
    return rx_extended(card) && (e1000_get(card, E1000_RCTL) & RCTL_DTYP) == 1 << 10;
}

/* Bytes of a buffer: RCTL's sizes, or the 82574's in kilobytes. */
static uint32_t
rx_buffer_size(const E1000 *card)
{
    uint32_t rctl = e1000_get(card, E1000_RCTL), code = rctl >> 16 & 3;

    if (card->kind->model == MODEL_82574 && rctl >> 27 & 15)
        return (rctl >> 27 & 15) * 1024;
    if (rctl & RCTL_BSEX && code != 0)
        return UINT32_C(32768) >> code;
    return UINT32_C(2048) >> code;
}

/* Sizes of the four buffers of a packet-split descriptor (DS 10.2.5.3). */
static void
rx_split_sizes(const E1000 *card, uint32_t ret[SPLIT_BUFFERS])
{
    uint32_t psrctl = e1000_get(card, E1000_PSRCTL);

    ret[0] = (psrctl & 0x7f) * 128;
    for (unsigned i = 1; i < SPLIT_BUFFERS; i++)
        ret[i] = (psrctl >> (8 * i) & 0x3f) * 1024;
}

static uint32_t
rx_descriptor_room(const E1000 *card)
{
    uint32_t sizes[SPLIT_BUFFERS], sum = 0;

    if (!rx_split(card))
        return rx_buffer_size(card);
    rx_split_sizes(card, sizes);
    for (unsigned i = 0; i < SPLIT_BUFFERS; i++)
        sum += sizes[i];
    return sum;
}

static bool
rx_room(const E1000 *card, unsigned ring, size_t len)
{
    uint32_t free = rx_free(card, ring);

    return (uint64_t)free * rx_descriptor_room(card) >= len && free > 0;
}

/* RSS over both queues is on. */
static bool
rx_spreads(const E1000 *card)
{
    return card->kind->queues > 1 && (e1000_get(card, E1000_MRQC) & 3) == 1;
}

bool
e1000_can_receive(Nic *nic)
{
    E1000 *card = e1000_of(nic);
    uint32_t rctl = e1000_get(card, E1000_RCTL);

    if (!(rctl & RCTL_EN))
        return false;
    /* a frame of usual length fits everywhere it may have to go */
    for (unsigned i = 0; i < card->kind->queues; i++) {
        if (i > 0 && !rx_spreads(card))
            break;
        if (!rx_room(card, rx_ring(i), FRAME_LONG + 4))
            return false;
    }
    return true;
}

/* ---- filters ---- */

static bool
rx_vlan_wanted(const E1000 *card, const uint8_t *frame, size_t len)
{
    unsigned id;

    if (!(e1000_get(card, E1000_RCTL) & RCTL_VFE) || len < VLAN_AT + 4 ||
        (uint32_t)(frame[VLAN_AT] << 8 | frame[VLAN_AT + 1]) != e1000_get(card, E1000_VET))
        return true;
    id = (frame[VLAN_AT + 2] << 8 | frame[VLAN_AT + 3]) & 0xfff;
    return e1000_get(card, E1000_VFTA + 4 * (id / 32)) >> (id % 32) & 1;
}

/* The multicast table's bit for an address (SDM 13.5.1): which twelve bits of its last 16 count. */
static bool
rx_multicast_wanted(const E1000 *card, const uint8_t *address)
{
    static const uint8_t shifts[] = { 4, 3, 2, 0 };
    unsigned shift = shifts[e1000_get(card, E1000_RCTL) >> 12 & 3];
    unsigned bit = (unsigned)(address[5] << 8 | address[4]) >> shift & 0xfff;

    return e1000_get(card, E1000_MTA + 4 * (bit / 32)) >> (bit % 32) & 1;
}

/* True when the driver wants it; sets RX_PIF in @status for one that only a hash let through. */
static bool
rx_wanted(const E1000 *card, const uint8_t *frame, size_t len, uint32_t *status)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    uint32_t rctl = e1000_get(card, E1000_RCTL);

    if (!rx_vlan_wanted(card, frame, len))
        return false;
    for (unsigned i = 0; i < 16; i++) {
        uint32_t low = e1000_get(card, E1000_RA + 8 * i),
                 high = e1000_get(card, E1000_RA + 8 * i + 4);

        if (high >> 31 && low == bytes_load32(frame) && (high & 0xffff) == bytes_load16(frame + 4))
            return true;
    }
    if (!memcmp(frame, broadcast, sizeof(broadcast)))
        return rctl & (RCTL_BAM | RCTL_MPE);
    if (!(frame[0] & 1))
        return rctl & RCTL_UPE;
    if (rctl & RCTL_MPE)
        return true;
    *status |= RX_PIF;
    return rx_multicast_wanted(card, frame);
}

/* ---- RSS (DS 7.1.11) ---- */

/* Toeplitz's hash with the key in RSSRK. */
static uint32_t
rx_toeplitz(const E1000 *card, const uint8_t *data, size_t len)
{
    uint32_t hash = 0;

    for (size_t i = 0; i < 8 * len; i++) {
        uint64_t window = 0;
        size_t byte = i / 8;

        if (!(data[byte] >> (7 - i % 8) & 1))
            continue;
        for (size_t k = byte; k < byte + 5; k++)
            window = window << 8 |
                     (e1000_get(card, E1000_RSSRK + 4 * (k / 4 % 10)) >> (8 * (k % 4)) & 0xff);
        hash ^= (uint32_t)(window >> (8 - i % 8));
    }
    return hash;
}

/* Hashes the frame if MRQC asks for its kind; returns the queue. */
static unsigned
rx_choose_queue(const E1000 *card, RxFrame *frame)
{
    enum { TCP4 = 1, IP4 = 2, TCP6 = 3, IP6 = 5 };
    uint32_t mrqc = e1000_get(card, E1000_MRQC), entry;
    const uint8_t *ip = frame->data + 14;
    uint8_t key[36];
    size_t n = 0;

    if (!rx_spreads(card) || frame->real < 14 + 40)
        return 0;
    if (frame->data[12] == 8 && frame->data[13] == 0 && ip[0] >> 4 == 4) {
        size_t header = 4 * (size_t)(ip[0] & 15);
        bool tcp = ip[9] == 6 && ((ip[6] & 0x3f) | ip[7]) == 0 && header >= 20 &&
                   frame->real >= 14 + header + 4;

        memcpy(key, ip + 12, 8);
        n = 8;
        if (tcp && mrqc & 1 << 16) {
            memcpy(key + 8, ip + header, 4);
            n = 12;
            frame->hash_type = TCP4;
        } else if (mrqc & 1 << 17) {
            frame->hash_type = IP4;
        }
    } else if (frame->data[12] == 0x86 && frame->data[13] == 0xdd && ip[0] >> 4 == 6) {
        memcpy(key, ip + 8, 32);
        n = 32;
        if (ip[6] == 6 && mrqc & 1 << 18 && frame->real >= 14 + 44) {
            memcpy(key + 32, ip + 40, 4);
            n = 36;
            frame->hash_type = TCP6;
        } else if (mrqc & 1 << 20) {
            frame->hash_type = IP6;
        }
    }
    if (frame->hash_type == 0)
        return 0;
    frame->hash = rx_toeplitz(card, key, n);
    entry = frame->hash & 127;
    return e1000_get(card, E1000_RETA + 4 * (entry / 4)) >> (8 * (entry % 4) + 7) & 1;
}

/* ---- descriptors ---- */

/* Copies bytes [from, from + n) of the frame; what lies behind its data is zero. */
static void
rx_copy(E1000 *card, const RxFrame *frame, size_t from, uint64_t to, size_t n)
{
    GuestMemory *memory = card->pci.device.machine->memory;
    size_t data = from < frame->real ? MIN(n, frame->real - from) : 0;

    guest_memory_write(memory, to, frame->data + MIN(from, frame->real), data);
    guest_memory_zero(memory, to + data, n - data);
}

/* Fills a split descriptor's four buffers; the first is for headers, which are not parted here. */
static size_t
rx_fill_split(E1000 *card, const RxFrame *frame, size_t from, uint8_t *raw)
{
    uint32_t sizes[SPLIT_BUFFERS], used[SPLIT_BUFFERS] = { 0 };
    size_t done = 0;

    rx_split_sizes(card, sizes);
    for (unsigned i = 0; i < SPLIT_BUFFERS && from + done < frame->len; i++) {
        used[i] = (uint32_t)MIN((size_t)sizes[i], frame->len - from - done);
        rx_copy(card, frame, from + done, bytes_load64(raw + 8 * i), used[i]);
        done += used[i];
    }
    memset(raw, 0, SPLIT_DESCRIPTOR);
    bytes_store(raw + 12, used[0], 2);
    for (unsigned i = 1; i < SPLIT_BUFFERS; i++)
        bytes_store(raw + 16 + 2 * i, used[i], 2);
    return done;
}

/* Puts as much of the frame as fits into the descriptor at @index and hands it over. */
static size_t
rx_fill(E1000 *card, const RxFrame *frame, size_t from, unsigned ring, uint32_t index)
{
    GuestMemory *memory = card->pci.device.machine->memory;
    bool split = rx_split(card);
    unsigned size = split ? SPLIT_DESCRIPTOR : E1000_DESCRIPTOR;
    uint64_t at = e1000_ring_base(card, ring) + (uint64_t)index * size;
    uint8_t raw[SPLIT_DESCRIPTOR];
    uint32_t status = frame->status | RX_DD | RX_IXSM;
    size_t done;

    if (guest_memory_read(memory, at, raw, size) < 0)
        return 0;
    if (split) {
        done = rx_fill_split(card, frame, from, raw);
    } else {
        done = MIN((size_t)rx_buffer_size(card), frame->len - from);
        rx_copy(card, frame, from, bytes_load64(raw), done);
    }
    if (from + done == frame->len)
        status |= RX_EOP;
    if (rx_extended(card)) {
        bytes_store(raw, frame->hash_type, 4);
        bytes_store(raw + 4, frame->hash, 4);
        bytes_store(raw + 8, status, 4);
        if (!split)
            bytes_store(raw + 12, done, 2);
        bytes_store(raw + 14, frame->tag, 2);
    } else {
        bytes_store(raw + 8, done, 2);
        bytes_store(raw + 10, 0, 2);
        raw[12] = (uint8_t)status;
        raw[13] = 0;
        bytes_store(raw + 14, frame->tag, 2);
    }
    guest_memory_write(memory, at, raw, size);
    return done;
}

/* Delivers the frame; there is room. */
static void
rx_deliver(E1000 *card, const RxFrame *frame, unsigned queue)
{
    unsigned ring = rx_ring(queue);
    uint32_t size = e1000_ring_size(card, ring), *head = e1000_word(card, ring + E1000_HEAD);
    uint32_t rctl = e1000_get(card, E1000_RCTL);

    for (size_t done = 0; done < frame->len && rx_free(card, ring) > 0;) {
        size_t n = rx_fill(card, frame, done, ring, *head);

        if (n == 0)
            return; /* the ring is not RAM */
        done += n;
        *head = (*head + 1) % size;
    }
    card->causes |= ICR_RXT0 | (queue ? ICR_RXQ1 : ICR_RXQ0);
    if (rx_free(card, ring) <= size >> (1 + (rctl >> 8 & 3)))
        card->causes |= ICR_RXDMT0;
}

static void
rx_count(E1000 *card, const uint8_t *data, size_t len)
{
    static const uint16_t bins[] = { 64, 127, 255, 511, 1023 };
    unsigned bin = 0;

    while (bin < G_N_ELEMENTS(bins) && len + 4 > bins[bin])
        bin++;
    e1000_count(card, STAT_PRC64 + 4 * bin, 1);
    e1000_count(card, STAT_GPRC, 1);
    e1000_count64(card, STAT_GORC, len + 4);
    if (data[0] & 1)
        e1000_count(card, data[0] == 0xff ? STAT_BPRC : STAT_MPRC, 1);
}

/* Takes the tag out, in place. */
static void
rx_untag(const E1000 *card, uint8_t *data, RxFrame *frame)
{
    if (!(e1000_get(card, E1000_CTRL) & CTRL_VME) || frame->real < VLAN_AT + 4 ||
        (uint32_t)(data[VLAN_AT] << 8 | data[VLAN_AT + 1]) != e1000_get(card, E1000_VET))
        return;
    frame->tag = (uint16_t)(data[VLAN_AT + 2] << 8 | data[VLAN_AT + 3]);
    frame->status |= RX_VP;
    memmove(data + VLAN_AT, data + VLAN_AT + 4, frame->real - VLAN_AT - 4);
    frame->real -= 4;
}

void
e1000_receive(Nic *nic, const uint8_t *data, size_t len)
{
    E1000 *card = e1000_of(nic);
    uint32_t rctl = e1000_get(card, E1000_RCTL);
    RxFrame frame = { .real = len };
    unsigned queue;

    if (len < 14)
        return;
    e1000_count(card, STAT_TPR, 1);
    e1000_count64(card, STAT_TOR, len + 4);
    if (len > (rctl & RCTL_LPE ? FRAME_JUMBO : FRAME_LONG)) {
        e1000_count(card, STAT_ROC, 1);
        return;
    }
    if (!rx_wanted(card, data, len, &frame.status))
        return;
    memmove(card->piece, data, len); /* between pieces it is free; in loopback it is @data */
    rx_untag(card, card->piece, &frame);
    frame.data = card->piece;
    frame.len = MAX(frame.real, (size_t)FRAME_MIN) + (rctl & RCTL_SECRC ? 0 : 4);
    queue = rx_choose_queue(card, &frame);
    if (!rx_room(card, rx_ring(queue), frame.len)) {
        e1000_count(card, STAT_MPC, 1);
        e1000_count(card, STAT_RNBC, 1);
        card->causes |= ICR_RXO;
        return;
    }
    rx_count(card, data, len);
    rx_deliver(card, &frame, queue);
}
