/* rtl8139_tx.c - sending on the RTL8139C+: the four slots (DS 5.1), and the two rings of C+ mode
 * with checksums, large send and tags (C+ DS 8).
 *
 * A frame is taken when all of its descriptors are there, so that nothing half done has to be kept
 * or saved.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/rtl8139.h"

#include <string.h>

enum {
    TX_OWN = 1u << 31,
    TX_RING_END = 1 << 30,
    TX_FIRST = 1 << 29,
    TX_LAST = 1 << 28,
    TX_LARGE = 1 << 27,
    TX_MSS_SHIFT = 16,
    TX_MSS = 0x7ff,
    TX_SUM_IP = 1 << 18,
    TX_SUM_UDP = 1 << 17,
    TX_SUM_TCP = 1 << 16,
    TX_SIZE = 0xffff,
    TX_TAG = 1 << 17, /* second word */
    SLOT_MAX = 1792,  /* bytes that a slot may hold */
    FRAME_MIN = 60,
    VLAN_AT = 12,
    ETHER = 14,
    IP_HEADER = 20,
    IP_SUM = 10,
    IP_PROTOCOL = 9,
    IP_SOURCE = 12,
    TCP = 6,
    UDP = 17,
    TCP_HEADER = 20,
    TCP_SUM = 16,
    TCP_OFFSET = 12,
    UDP_HEADER = 8,
    UDP_SUM = 6,
};

/* ---- what a frame asks for ---- */

/* Puts the sum over the pseudo header, with length unless the frame is cut, to where the card's own
 * sum begins. */
static void
tx_seed(uint8_t *frame, const FrameOffload *o, uint16_t length)
{
    const uint8_t *ip = frame + ETHER;
    uint16_t sum = frame_sum(ip + IP_SOURCE, 8, (uint32_t)ip[IP_PROTOCOL] + length);

    frame[o->payload.at] = (uint8_t)(sum >> 8);
    frame[o->payload.at + 1] = (uint8_t)sum;
}

/* Only IPv4 is known to the card. Works out where things stand; what does not hold together is sent
 * as it is. */
static void
tx_options(Rtl8139 *card, uint32_t first)
{
    FrameOffload *o = &card->offload;
    const uint8_t *ip = card->frame + ETHER;
    size_t len = card->frame_len, header, payload, total;
    bool large = first & TX_LARGE, tcp, udp;

    memset(o, 0, sizeof(*o));
    if (len < ETHER + IP_HEADER || card->frame[12] != 8 || card->frame[13] != 0 || ip[0] >> 4 != 4)
        return;
    header = (ip[0] & 15) * 4u;
    payload = ETHER + header;
    total = (size_t)(ip[2] << 8 | ip[3]);
    if (header < IP_HEADER || payload > len)
        return;
    o->ipv4 = true;
    o->ip = (FrameSum){ ETHER, ETHER + IP_SUM, (uint16_t)(payload - 1) };
    o->sum_ip = large || first & TX_SUM_IP;
    tcp = ip[IP_PROTOCOL] == TCP && len >= payload + TCP_HEADER && (large || first & TX_SUM_TCP);
    udp = ip[IP_PROTOCOL] == UDP && len >= payload + UDP_HEADER && !large && first & TX_SUM_UDP;
    if (tcp || udp) {
        o->tcp = tcp;
        o->payload =
            (FrameSum){ (uint8_t)payload, (uint8_t)(payload + (tcp ? TCP_SUM : UDP_SUM)), 0 };
        o->sum_payload = true;
    }
    if (tcp && large) {
        o->segment = true;
        o->header = (uint8_t)(payload + (card->frame[payload + TCP_OFFSET] >> 4) * 4u);
        o->mss = first >> TX_MSS_SHIFT & TX_MSS;
    } else if (o->sum_payload) {
        /* what fills up a short frame is no part of the packet */
        if (total > header && ETHER + total <= len)
            o->payload.end = (uint16_t)(ETHER + total - 1);
        else
            total = len - ETHER;
    }
    if (o->sum_ip)
        card->frame[ETHER + IP_SUM] = card->frame[ETHER + IP_SUM + 1] = 0;
    if (o->sum_payload)
        tx_seed(card->frame, o, o->segment ? 0 : (uint16_t)(total - header));
}

/* ---- sending ---- */

/* A frame that the card sends to itself, or to the back end. False: there is no room now. */
static bool
tx_out(Rtl8139 *card, uint8_t *frame, size_t len)
{
    if (len < FRAME_MIN) {
        memset(frame + len, 0, FRAME_MIN - len);
        len = FRAME_MIN;
    }
    if ((rtl_get(card, RTL_TCR, 4) & TCR_LOOPBACK) == TCR_LOOPBACK) {
        if (rtl_can_receive(&card->nic))
            rtl_receive(&card->nic, frame, len);
    } else if (!nic_send(&card->nic, frame, len)) {
        return false;
    }
    card->tally.sent++;
    return true;
}

static bool
tx_send_piece(Rtl8139 *card)
{
    uint8_t *piece = card->piece;
    size_t len = frame_piece(card->frame, card->frame_len, &card->offload, card->next_piece, piece);

    if (card->tagged && len >= VLAN_AT) {
        memmove(piece + VLAN_AT + 4, piece + VLAN_AT, len - VLAN_AT);
        piece[VLAN_AT] = 0x81;
        piece[VLAN_AT + 1] = 0;
        bytes_store(piece + VLAN_AT + 2, card->tag, 2);
        len += 4;
    }
    return tx_out(card, piece, len);
}

/* Sends what is left of the frame at hand. False: the back end has no room. */
static bool
tx_send(Rtl8139 *card)
{
    unsigned n = card->have_frame ? frame_pieces(card->frame_len, &card->offload) : 0;

    while (card->have_frame && card->next_piece < n) {
        if (!tx_send_piece(card))
            return false;
        card->next_piece++;
    }
    card->have_frame = false;
    return true;
}

/* ---- the four slots ---- */

/* False: the back end has no room. */
static bool
tx_slot(Rtl8139 *card, unsigned n, uint32_t status)
{
    size_t len = status & TSD_SIZE;
    uint64_t at = rtl_get(card, RTL_TSAD + 4 * n, 4);

    if (len > SLOT_MAX ||
        guest_memory_read(card->pci.device.machine->memory, at, card->piece, len) < 0) {
        card->tally.send_errors++;
        rtl_put(card, RTL_TSD + 4 * n, 4, status | TSD_OWN | TSD_ABORTED);
        rtl_interrupt(card, ISR_TER);
        return true;
    }
    if (!tx_out(card, card->piece, len))
        return false;
    rtl_put(card, RTL_TSD + 4 * n, 4, status | TSD_OWN | TSD_TOK);
    rtl_interrupt(card, ISR_TOK);
    return true;
}

static void
tx_slots(Rtl8139 *card)
{
    for (unsigned i = 0; i < RTL_TX_SLOTS; i++) {
        uint32_t status = rtl_get(card, RTL_TSD + 4u * card->tx_slot, 4);

        if (status & TSD_OWN || !tx_slot(card, card->tx_slot, status))
            return;
        card->tx_slot = (card->tx_slot + 1) % RTL_TX_SLOTS;
    }
}

/* ---- rings ---- */

static uint64_t
tx_address(const Rtl8139 *card, unsigned ring, unsigned index)
{
    return (bytes_load64(card->regs + RTL_TSAD + 8 * ring) & ~UINT64_C(255)) +
           (uint64_t)index * RTL_DESCRIPTOR;
}

static unsigned
tx_next(unsigned index, uint32_t word)
{
    return word & TX_RING_END ? 0 : (index + 1) % RTL_RING_MAX;
}

static bool
tx_fetch(const Rtl8139 *card, unsigned ring, unsigned index, uint8_t raw[RTL_DESCRIPTOR])
{
    return guest_memory_read(card->pci.device.machine->memory, tx_address(card, ring, index), raw,
                             RTL_DESCRIPTOR) == 0 &&
           bytes_load32(raw) & TX_OWN;
}

/* Descriptors of the frame at the ring's head; 0 when its end is not there yet. A ring without an
 * end of a frame is taken as a whole. */
static unsigned
tx_extent(const Rtl8139 *card, unsigned ring)
{
    uint8_t raw[RTL_DESCRIPTOR];
    unsigned index = card->tx_index[ring];

    for (unsigned n = 1; n <= RTL_RING_MAX; n++) {
        if (!tx_fetch(card, ring, index, raw))
            return 0;
        index = tx_next(index, bytes_load32(raw));
        if (bytes_load32(raw) & TX_LAST || n == RTL_RING_MAX || index == card->tx_index[ring])
            return n;
    }
    return 0;
}

/* Takes the @n descriptors of a frame. Afterwards there may be one to send. */
static void
tx_take(Rtl8139 *card, unsigned ring, unsigned n)
{
    GuestMemory *memory = card->pci.device.machine->memory;
    uint32_t first = 0, word = 0;
    bool good = true;

    card->frame_len = 0;
    card->tagged = false;
    for (unsigned i = 0; i < n; i++) {
        uint64_t at = tx_address(card, ring, card->tx_index[ring]);
        uint8_t raw[RTL_DESCRIPTOR];
        size_t len;

        if (!tx_fetch(card, ring, card->tx_index[ring], raw))
            return;
        word = bytes_load32(raw);
        len = word & TX_SIZE;
        if (i == 0) {
            first = word;
            card->tagged = bytes_load32(raw + 4) & TX_TAG;
            card->tag = bytes_load16(raw + 4);
        }
        if (len > RTL_FRAME_MAX - card->frame_len ||
            guest_memory_read(memory, bytes_load64(raw + 8), card->frame + card->frame_len, len) <
                0)
            good = false;
        else
            card->frame_len += len;
        bytes_store(raw, word & ~(uint32_t)TX_OWN, 4);
        guest_memory_write(memory, at, raw, 4);
        card->tx_index[ring] = (uint8_t)tx_next(card->tx_index[ring], word);
    }
    if (!good || !(first & TX_FIRST) || !(word & TX_LAST) || card->frame_len == 0) {
        card->tally.send_errors++;
        rtl_interrupt(card, ISR_TER);
        return;
    }
    tx_options(card, first);
    card->next_piece = 0;
    card->have_frame = true;
    rtl_interrupt(card, ISR_TOK);
}

/* True when the ring may have more. */
static bool
tx_ring(Rtl8139 *card, unsigned ring, uint8_t poll, unsigned budget)
{
    while (card->regs[RTL_TPPOLL] & poll) {
        unsigned n = budget-- ? tx_extent(card, ring) : RTL_RING_MAX + 1;

        if (n > RTL_RING_MAX)
            return true;
        if (n == 0) {
            card->regs[RTL_TPPOLL] &= (uint8_t)~poll;
            rtl_interrupt(card, ISR_TDU);
            break;
        }
        tx_take(card, ring, n);
        if (!tx_send(card))
            return true;
    }
    return false;
}

bool
rtl_transmit(Nic *nic, unsigned budget)
{
    Rtl8139 *card = rtl_of(nic);

    if (!tx_send(card) || !(card->regs[RTL_CR] & CR_TE))
        return false;
    if (!(rtl_get(card, RTL_CPCR, 2) & CPCR_TX)) {
        tx_slots(card);
        return false;
    }
    return tx_ring(card, 1, TPPOLL_HIGH, budget) || tx_ring(card, 0, TPPOLL_NORMAL, budget);
}
