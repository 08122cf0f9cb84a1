/* e1000_tx.c - sending on Intel's gigabit cards: legacy, context and data descriptors (SDM 3.3,
 * DS 7.2), checksums and segmentation.
 *
 * A frame is taken when all of its descriptors are there, so that nothing half done has to be kept
 * or saved.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

#include <string.h>

#include "hw/core/bytes.h"

enum {
    /* second quadword of a descriptor */
    CMD_EOP = 1 << 24,
    CMD_IC = 1 << 26,  /* legacy: insert a checksum */
    CMD_TSE = 1 << 26, /* data: segment */
    CMD_RS = 1 << 27,
    CMD_DEXT = 1 << 29,
    CMD_VLE = 1 << 30,
    TYPE_SHIFT = 20, /* of what DEXT means: 0 context, 1 data */
    TUCMD_TCP = 1 << 24,
    TUCMD_IP4 = 1 << 25,
    TUCMD_TSE = 1 << 26,
    STATUS_DD = 1 << 0,
    POPTS_IP = 1 << 8, /* in the upper word */
    POPTS_TCP = 1 << 9,
    FRAME_DESCRIPTORS = 256, /* more belong to no frame that any driver sends */
    VLAN_AT = 12,
    FRAME_MIN = 60,
};

typedef enum { KIND_LEGACY, KIND_CONTEXT, KIND_DATA, KIND_BAD } TxKind;

typedef struct {
    uint64_t address;
    uint32_t lower, upper;
    TxKind kind;
} TxDescriptor;

static bool
tx_fetch(E1000 *card, unsigned ring, uint32_t index, TxDescriptor *ret)
{
    uint8_t raw[E1000_DESCRIPTOR];
    uint64_t at = e1000_ring_base(card, ring) + (uint64_t)index * E1000_DESCRIPTOR;
    unsigned type;

    if (guest_memory_read(card->pci.device.machine->memory, at, raw, sizeof(raw)) < 0)
        return false;
    ret->address = bytes_load64(raw);
    ret->lower = bytes_load32(raw + 8);
    ret->upper = bytes_load32(raw + 12);
    type = ret->lower >> TYPE_SHIFT & 15;
    if (!(ret->lower & CMD_DEXT))
        ret->kind = KIND_LEGACY;
    else
        ret->kind = type == 0 ? KIND_CONTEXT : type == 1 ? KIND_DATA : KIND_BAD;
    return true;
}

/* Says that the descriptor is the driver's again, if it asked for that. */
static void
tx_write_back(E1000 *card, unsigned ring, uint32_t index, const TxDescriptor *d)
{
    uint64_t at = e1000_ring_base(card, ring) + (uint64_t)index * E1000_DESCRIPTOR + 12;
    uint8_t raw[4];

    if (!(d->lower & CMD_RS))
        return;
    bytes_store(raw, d->upper | STATUS_DD, 4);
    guest_memory_write(card->pci.device.machine->memory, at, raw, 4);
    card->causes |= ICR_TXDW | (ring == E1000_TX0 ? ICR_TXQ0 : ICR_TXQ1);
}

static void
tx_context(E1000TxContext *context, const TxDescriptor *d)
{
    FrameOffload *o = d->lower & TUCMD_TSE ? &context->tso : &context->sum;

    *o = (FrameOffload){
        .ip = { (uint8_t)d->address, (uint8_t)(d->address >> 8), (uint16_t)(d->address >> 16) },
        .payload = { (uint8_t)(d->address >> 32), (uint8_t)(d->address >> 40),
                     (uint16_t)(d->address >> 48) },
        .tcp = d->lower & TUCMD_TCP,
        .ipv4 = d->lower & TUCMD_IP4,
        .header = (uint8_t)(d->upper >> 8),
        .mss = (uint16_t)(d->upper >> 16),
    };
}

/* Descriptors from @head to the end of the frame that begins there; 0 when its end is not there
 * yet. A context stands alone. */
static uint32_t
tx_extent(E1000 *card, unsigned ring, uint32_t head, uint32_t tail, uint32_t size)
{
    TxDescriptor d;

    for (uint32_t n = 1, at = head; at != tail; n++, at = (at + 1) % size) {
        if (!tx_fetch(card, ring, at, &d) || d.kind == KIND_CONTEXT || d.kind == KIND_BAD)
            return n == 1 ? 1 : n - 1;
        if (d.lower & CMD_EOP || n == FRAME_DESCRIPTORS)
            return n;
    }
    return 0;
}

/* Adds a descriptor's data. False: it is not RAM, or the frame is too long. */
static bool
tx_gather(E1000 *card, const TxDescriptor *d)
{
    size_t len = d->lower & (d->kind == KIND_LEGACY ? 0xffff : 0xfffff);

    if (len > E1000_FRAME_MAX - card->frame_len ||
        guest_memory_read(card->pci.device.machine->memory, d->address,
                          card->frame + card->frame_len, len) < 0)
        return false;
    card->frame_len += len;
    return true;
}

/* What the first and last descriptor of a frame ask for. */
static void
tx_options(E1000 *card, const E1000TxContext *context, const TxDescriptor *first,
           const TxDescriptor *last)
{
    FrameOffload *o = &card->offload;

    memset(o, 0, sizeof(*o));
    if (first->kind == KIND_LEGACY) {
        o->sum_payload = first->lower & CMD_IC;
        o->payload = (FrameSum){ (uint8_t)(first->upper >> 8), (uint8_t)(first->lower >> 16), 0 };
    } else {
        *o = first->lower & CMD_TSE ? context->tso : context->sum;
        o->segment = first->lower & CMD_TSE;
        o->sum_ip = first->upper & POPTS_IP;
        o->sum_payload = first->upper & POPTS_TCP;
    }
    card->tag = 0;
    card->tagged = last->lower & CMD_VLE && e1000_get(card, E1000_CTRL) & CTRL_VME;
    if (card->tagged)
        card->tag = (uint16_t)(last->upper >> 16);
}

/* Takes the @n descriptors of a frame. Afterwards there may be one to send. */
static void
tx_take(E1000 *card, unsigned queue, uint32_t head, uint32_t n, uint32_t size)
{
    unsigned ring = E1000_TX0 + queue * E1000_QUEUE_STEP;
    E1000TxContext *context = &card->context[queue];
    TxDescriptor d = { 0 }, first = { 0 };
    bool good = true;

    card->frame_len = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (head + i) % size;

        if (!tx_fetch(card, ring, at, &d))
            return;
        if (i == 0)
            first = d;
        if (d.kind == KIND_CONTEXT)
            tx_context(context, &d);
        else
            good = good && d.kind != KIND_BAD && tx_gather(card, &d);
        tx_write_back(card, ring, at, &d);
    }
    if (d.kind == KIND_CONTEXT)
        return;
    if (d.lower & CMD_EOP && good && !context->discard && card->frame_len > 0) {
        tx_options(card, context, &first, &d);
        card->next_piece = 0;
        card->have_frame = frame_pieces(card->frame_len, &card->offload) > 0;
    }
    context->discard = !(d.lower & CMD_EOP);
}

static void
tx_count(E1000 *card, const uint8_t *frame, size_t len)
{
    static const uint16_t bins[] = { 64, 127, 255, 511, 1023 };
    unsigned bin = 0;

    while (bin < G_N_ELEMENTS(bins) && len + 4 > bins[bin])
        bin++;
    e1000_count(card, STAT_PTC64 + 4 * bin, 1);
    e1000_count(card, STAT_GPTC, 1);
    e1000_count(card, STAT_TPT, 1);
    e1000_count64(card, STAT_GOTC, len + 4);
    e1000_count64(card, STAT_TOT, len + 4);
    if (frame[0] & 1)
        e1000_count(card, frame[0] == 0xff ? STAT_BPTC : STAT_MPTC, 1);
}

static bool
tx_send_piece(E1000 *card)
{
    uint8_t *piece = card->piece;
    size_t len = frame_piece(card->frame, card->frame_len, &card->offload, card->next_piece, piece);

    if (card->tagged && len >= VLAN_AT) {
        uint32_t type = e1000_get(card, E1000_VET);

        memmove(piece + VLAN_AT + 4, piece + VLAN_AT, len - VLAN_AT);
        piece[VLAN_AT] = (uint8_t)(type >> 8);
        piece[VLAN_AT + 1] = (uint8_t)type;
        piece[VLAN_AT + 2] = (uint8_t)(card->tag >> 8);
        piece[VLAN_AT + 3] = (uint8_t)card->tag;
        len += 4;
    }
    if (len < FRAME_MIN && e1000_get(card, E1000_TCTL) & TCTL_PSP) {
        memset(piece + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    if (e1000_get(card, E1000_RCTL) & RCTL_LOOPBACK) {
        if (e1000_can_receive(&card->nic))
            e1000_receive(&card->nic, piece, len);
    } else if (!nic_send(&card->nic, piece, len)) {
        return false;
    }
    tx_count(card, piece, len);
    return true;
}

/* Sends what is left of the frame at hand. False: the back end has no room. */
static bool
tx_send(E1000 *card)
{
    unsigned n = frame_pieces(card->frame_len, &card->offload);

    while (card->have_frame && card->next_piece < n) {
        if (!tx_send_piece(card))
            return false;
        card->next_piece++;
    }
    if (card->have_frame && card->offload.segment)
        e1000_count(card, STAT_TSCTC, 1);
    card->have_frame = false;
    return true;
}

/* True when the queue may have more. */
static bool
tx_queue(E1000 *card, unsigned queue, unsigned budget)
{
    unsigned ring = E1000_TX0 + queue * E1000_QUEUE_STEP;
    uint32_t size = e1000_ring_size(card, ring), *head = e1000_word(card, ring + E1000_HEAD);
    uint32_t tail = e1000_get(card, ring + E1000_TAIL);
    bool moved = false;

    if (size == 0 || *head >= size || tail >= size)
        return false;
    while (*head != tail) {
        uint32_t n;

        if (budget-- == 0)
            return true;
        n = tx_extent(card, ring, *head, tail, size);
        if (n == 0)
            return false;
        tx_take(card, queue, *head, n, size);
        *head = (*head + n) % size;
        moved = true;
        if (!tx_send(card))
            return true;
    }
    if (moved)
        card->causes |= ICR_TXQE;
    return false;
}

bool
e1000_transmit(Nic *nic, unsigned budget)
{
    E1000 *card = e1000_of(nic);
    bool more = false;

    if (!tx_send(card) || !(e1000_get(card, E1000_TCTL) & TCTL_EN))
        return false;
    for (unsigned i = 0; i < card->kind->queues && !nic->blocked; i++)
        more |= tx_queue(card, i, budget);
    return more;
}
