/* rtl8139_rx.c - receiving on the RTL8139C+: the address filter, the ring buffer (DS 5.2) and the
 * descriptors of C+ mode (C+ DS 9).
 *
 * The check sequence behind each frame is zero; checksums are left to the driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/rtl8139.h"

#include <string.h>

enum {
    /* head of a frame in the ring buffer */
    HEAD_SIZE = 4,
    HEAD_OK = 1 << 0,
    HEAD_BROADCAST = 1 << 13,
    HEAD_OWN = 1 << 14,
    HEAD_MULTICAST = 1 << 15,
    CAPR_BIAS = 16, /* CAPR stands that far before what is read next */
    /* descriptor */
    RX_OWN = 1u << 31,
    RX_RING_END = 1 << 30,
    RX_FIRST = 1 << 29,
    RX_LAST = 1 << 28,
    RX_MULTICAST = 1 << 26,
    RX_UNICAST = 1 << 25,
    RX_BROADCAST = 1 << 24,
    RX_SIZE = 0x1fff,
    RX_TAGGED = 1 << 16,
    CHECK = 4, /* bytes of a check sequence */
    FRAME_MIN = 60,
    FRAME_LONG = 1792,
    VLAN_AT = 12,
    RCR_64K = 3,
};

typedef enum { TO_NOBODY, TO_US, TO_ALL, TO_GROUP } RxTarget;

/* The six bits of a multicast address that choose its bit of MAR: the first of its CRC-32. */
static unsigned
rx_hash(const uint8_t *address)
{
    uint32_t crc = UINT32_MAX;

    for (unsigned i = 0; i < 6; i++)
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ ((crc >> 31 ^ address[i] >> bit) & 1 ? 0x04c11db7 : 0);
    return crc >> 26;
}

static RxTarget
rx_target(const Rtl8139 *card, const uint8_t *frame)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    uint32_t rcr = rtl_get(card, RTL_RCR, 4);
    unsigned hash;

    if (!memcmp(frame, broadcast, sizeof(broadcast)))
        return rcr & (RCR_ALL | RCR_BROADCAST) ? TO_ALL : TO_NOBODY;
    if (frame[0] & 1) {
        hash = rx_hash(frame);
        if (rcr & RCR_ALL ||
            (rcr & RCR_MULTICAST && card->regs[RTL_MAR + hash / 8] >> hash % 8 & 1))
            return TO_GROUP;
        return TO_NOBODY;
    }
    if (rcr & RCR_ALL || (rcr & RCR_OWN && !memcmp(frame, card->regs + RTL_IDR, 6)))
        return TO_US;
    return TO_NOBODY;
}

/* ---- the ring buffer ---- */

static uint32_t
rx_buffer_size(const Rtl8139 *card)
{
    return UINT32_C(8192) << (rtl_get(card, RTL_RCR, 4) >> 11 & 3);
}

/* Bytes in the buffer that the driver has not read. */
static uint32_t
rx_waiting(const Rtl8139 *card)
{
    uint32_t read = rtl_get(card, RTL_CAPR, 2) + CAPR_BIAS;

    return (rtl_get(card, RTL_CBR, 2) - read) & (rx_buffer_size(card) - 1);
}

bool
rtl_buffer_empty(const Rtl8139 *card)
{
    return rx_waiting(card) == 0;
}

/* Bytes that a frame takes; a full buffer would look like an empty one. */
static uint32_t
rx_need(size_t len)
{
    return (HEAD_SIZE + (uint32_t)len + CHECK + 3) & ~3u;
}

static bool
rx_fits(const Rtl8139 *card, size_t len)
{
    return rx_waiting(card) + rx_need(len) < rx_buffer_size(card);
}

static void
rx_to_buffer(Rtl8139 *card, const uint8_t *frame, size_t len, RxTarget target)
{
    static const uint16_t kinds[] = {
        [TO_US] = HEAD_OWN, [TO_ALL] = HEAD_BROADCAST, [TO_GROUP] = HEAD_MULTICAST
    };
    GuestMemory *memory = card->pci.device.machine->memory;
    uint64_t start = rtl_get(card, RTL_RBSTART, 4);
    uint32_t rcr = rtl_get(card, RTL_RCR, 4), size = rx_buffer_size(card);
    uint32_t at = rtl_get(card, RTL_CBR, 2) & (size - 1), total = HEAD_SIZE + (uint32_t)len + CHECK;
    uint8_t whole[HEAD_SIZE + FRAME_LONG + CHECK] = { 0 };
    uint32_t first = total;

    bytes_store(whole, HEAD_OK | kinds[target], 2);
    bytes_store(whole + 2, len + CHECK, 2);
    memcpy(whole + HEAD_SIZE, frame, len);
    /* Either the frame runs over the buffer's end, or it goes on at its start. */
    if (!(rcr & RCR_WRAP) || (rcr >> 11 & 3) == RCR_64K)
        first = MIN(total, size - at);
    guest_memory_write(memory, start + at, whole, first);
    guest_memory_write(memory, start, whole + first, total - first);
    rtl_put(card, RTL_CBR, 2, (at + rx_need(len)) & (size - 1));
}

/* ---- descriptors ---- */

static uint64_t
rx_descriptor(const Rtl8139 *card)
{
    return (bytes_load64(card->regs + RTL_RDSAR) & ~UINT64_C(255)) +
           (uint64_t)card->rx_index * RTL_DESCRIPTOR;
}

/* False: the next one is not the card's. */
static bool
rx_fetch(const Rtl8139 *card, uint8_t raw[RTL_DESCRIPTOR])
{
    return guest_memory_read(card->pci.device.machine->memory, rx_descriptor(card), raw,
                             RTL_DESCRIPTOR) == 0 &&
           bytes_load32(raw) & RX_OWN;
}

/* False: there is no room. A frame has one descriptor, or several when it is longer than one. */
static bool
rx_to_ring(Rtl8139 *card, const uint8_t *frame, size_t len, RxTarget target)
{
    static const uint32_t kinds[] = {
        [TO_US] = RX_UNICAST, [TO_ALL] = RX_BROADCAST, [TO_GROUP] = RX_MULTICAST
    };
    GuestMemory *memory = card->pci.device.machine->memory;
    uint8_t whole[FRAME_LONG + CHECK] = { 0 }, raw[RTL_DESCRIPTOR];
    uint32_t tag = 0, status = RX_FIRST | kinds[target];
    size_t total, done = 0;

    memcpy(whole, frame, len);
    if (rtl_get(card, RTL_CPCR, 2) & CPCR_RX_VLAN && len >= VLAN_AT + 4 && frame[VLAN_AT] == 0x81 &&
        frame[VLAN_AT + 1] == 0) {
        tag = RX_TAGGED | bytes_load16(frame + VLAN_AT + 2);
        len = MAX(len - 4, FRAME_MIN);
        memset(whole + VLAN_AT, 0, sizeof(whole) - VLAN_AT);
        memcpy(whole + VLAN_AT, frame + VLAN_AT + 4, len - VLAN_AT);
    }
    total = len + CHECK;
    for (unsigned i = 0; i < RTL_RING_MAX && done < total; i++) {
        uint64_t at = rx_descriptor(card);
        uint32_t word, size;

        if (!rx_fetch(card, raw))
            return false;
        word = bytes_load32(raw);
        size = (uint32_t)MIN(word & RX_SIZE, total - done);
        guest_memory_write(memory, bytes_load64(raw + 8), whole + done, size);
        done += size;
        if (done == total)
            status |= RX_LAST | (uint32_t)total;
        else
            status |= size;
        bytes_store(raw, (word & RX_RING_END) | status, 4);
        bytes_store(raw + 4, tag, 4);
        if (guest_memory_write(memory, at, raw, 8) < 0)
            return false;
        card->rx_index = word & RX_RING_END ? 0 : (card->rx_index + 1) % RTL_RING_MAX;
        status &= ~(uint32_t)(RX_FIRST | RX_SIZE);
    }
    return done == total;
}

/* ---- what the back end sees ---- */

bool
rtl_can_receive(Nic *nic)
{
    Rtl8139 *card = rtl_of(nic);
    uint8_t raw[RTL_DESCRIPTOR];

    if (!(card->regs[RTL_CR] & CR_RE))
        return false;
    if (!(rtl_get(card, RTL_CPCR, 2) & CPCR_RX))
        return rx_fits(card, FRAME_LONG);
    if (rx_fetch(card, raw)) {
        card->starved = false;
        return true;
    }
    if (!card->starved)
        rtl_interrupt(card, ISR_RX_FULL);
    card->starved = true;
    return false;
}

static void
rx_count(Rtl8139 *card, RxTarget target)
{
    card->tally.received++;
    if (target == TO_US)
        card->tally.unicasts++;
    else if (target == TO_ALL)
        card->tally.broadcasts++;
    else
        card->tally.multicasts++;
}

void
rtl_receive(Nic *nic, const uint8_t *frame, size_t len)
{
    Rtl8139 *card = rtl_of(nic);
    RxTarget target = len <= FRAME_LONG ? rx_target(card, frame) : TO_NOBODY;
    uint8_t padded[FRAME_MIN] = { 0 };
    bool good = true;

    if (target == TO_NOBODY)
        return;
    if (len < FRAME_MIN) {
        memcpy(padded, frame, len);
        frame = padded;
        len = FRAME_MIN;
    }
    if (rtl_get(card, RTL_CPCR, 2) & CPCR_RX)
        good = rx_to_ring(card, frame, len, target);
    else if ((good = rx_fits(card, len)))
        rx_to_buffer(card, frame, len, target);
    if (good) {
        rx_count(card, target);
        rtl_interrupt(card, ISR_ROK);
        return;
    }
    rtl_put(card, RTL_MPC, 3, rtl_get(card, RTL_MPC, 3) + 1);
    card->tally.missed++;
    rtl_interrupt(card, ISR_RX_FULL);
}
