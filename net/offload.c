/* offload.c - what the kernel's tap does with virtio-net headers, for a back end that has no kernel
 * behind it (virtio 1.2, section 5.1.6; RFC 791, 1624, 8200, 9293).
 *
 * Leaves out: VLANs, IPv6's extension headers; frames with these pass as they are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/offload.h"

#include <errno.h>
#include <string.h>

enum {
    F_NEEDS_CSUM = 1,
    F_DATA_VALID = 2,
    GSO_TCPV4 = 1,
    GSO_TCPV6 = 4,

    ETHER = 14,
    ETHER_TYPE = 12,
    TYPE_IPV4 = 0x0800,
    TYPE_IPV6 = 0x86dd,
    IP4_MIN = 20,
    IP4_LENGTH = 2,
    IP4_FRAGMENT = 6, /* flags, and the offset in units of 8 bytes */
    IP4_DF = 0x4000,
    IP4_MF = 0x2000,
    IP4_PROTOCOL = 9,
    IP4_SUM = 10,
    IP4_ADDRESSES = 12,
    IP6_SIZE = 40,
    IP6_NEXT = 6,
    IP6_ADDRESSES = 8,
    PROTOCOL_TCP = 6,
    TCP_MIN = 20,
    TCP_OFFSET = 12,
    TCP_FLAGS = 13,
    TCP_SUM = 16,
    TCP_SYN = 0x02,
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_MSS_SIZE = 4,
    MSS_LEAST = 536, /* what every host takes; a guest that says less is left alone */
};

/* A frame whose headers are all there. */
typedef struct {
    bool ipv4, tcp;
    size_t payload; /* where TCP's header (or whatever) begins */
    size_t data;    /* where TCP's data begins */
} Layout;

static unsigned
load16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void
store16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* The header's numbers are little-endian. */
static unsigned
header_load(const uint8_t *p)
{
    return (unsigned)p[1] << 8 | p[0];
}

static void
header_store(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static bool
layout_find(const uint8_t *frame, size_t len, Layout *ret)
{
    const uint8_t *ip = frame + ETHER;
    unsigned protocol;

    *ret = (Layout){ 0 };
    if (len < ETHER + IP4_MIN)
        return false;
    if (load16(frame + ETHER_TYPE) == TYPE_IPV4) {
        size_t size = (size_t)(ip[0] & 15) * 4;

        if (ip[0] >> 4 != 4 || size < IP4_MIN || size > len - ETHER)
            return false;
        ret->ipv4 = true;
        ret->payload = ETHER + size;
        protocol = load16(ip + IP4_FRAGMENT) & (unsigned)~IP4_DF ? 0 : ip[IP4_PROTOCOL];
    } else if (load16(frame + ETHER_TYPE) == TYPE_IPV6) {
        if (ip[0] >> 4 != 6 || len < ETHER + IP6_SIZE)
            return false;
        ret->payload = ETHER + IP6_SIZE;
        protocol = ip[IP6_NEXT];
    } else {
        return false;
    }
    if (protocol == PROTOCOL_TCP && len - ret->payload >= TCP_MIN) {
        ret->data = ret->payload + (size_t)(frame[ret->payload + TCP_OFFSET] >> 4) * 4;
        ret->tcp = ret->data >= ret->payload + TCP_MIN && ret->data <= len;
    }
    return true;
}

int
offload_complete(const uint8_t header[OFFLOAD_HEADER], uint8_t *frame, size_t len)
{
    size_t start = header_load(header + 6), at = start + header_load(header + 8);
    uint16_t sum;

    if (!(header[0] & F_NEEDS_CSUM))
        return 0;
    if (start >= len || at + 2 > len)
        return -EINVAL;
    sum = (uint16_t)~frame_sum(frame + start, len - start, 0);
    store16(frame + at, sum ? sum : 0xffff);
    return 0;
}

/* Where the value of a SYN's MSS option stands, or 0. */
static size_t
mss_find(const uint8_t *frame, const Layout *layout)
{
    size_t at = layout->payload + TCP_MIN;

    while (at < layout->data && frame[at] != OPTION_END) {
        size_t left = layout->data - at;

        if (frame[at] == OPTION_NOP) {
            at++;
            continue;
        }
        if (left < 2 || frame[at + 1] < 2 || frame[at + 1] > left)
            return 0;
        if (frame[at] == OPTION_MSS)
            return frame[at + 1] == OPTION_MSS_SIZE ? at + 2 : 0;
        at += frame[at + 1];
    }
    return 0;
}

uint16_t
offload_take_mss(const uint8_t header[OFFLOAD_HEADER], uint8_t *frame, size_t len, unsigned offload)
{
    Layout layout;
    unsigned mss;
    size_t at;

    if (!layout_find(frame, len, &layout) || !layout.tcp ||
        !(frame[layout.payload + TCP_FLAGS] & TCP_SYN))
        return 0;
    at = mss_find(frame, &layout);
    mss = at ? load16(frame + at) : 0;
    if (mss < MSS_LEAST || mss >= OFFLOAD_STACK_MSS ||
        !(offload & (layout.ipv4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6)))
        return (uint16_t)mss;
    store16(frame + at, OFFLOAD_STACK_MSS);
    if (!(header[0] & F_NEEDS_CSUM)) {
        /* RFC 1624, equation 3: the sum changes by the difference; bytes at an odd place count
         * swapped */
        uint8_t *sum = frame + layout.payload + TCP_SUM;
        bool odd = (at - layout.payload) & 1;
        uint16_t was = (uint16_t)mss, is = OFFLOAD_STACK_MSS;

        if (odd) {
            was = GUINT16_SWAP_LE_BE(was);
            is = GUINT16_SWAP_LE_BE(is);
        }
        store16(sum, (uint16_t)~frame_sum(NULL, 0,
                                          (uint32_t)(uint16_t)~load16(sum) + (uint16_t)~was + is));
    }
    return (uint16_t)mss;
}

/* The sum over TCP's pseudo header, with @length in it. */
static uint16_t
pseudo_sum(const uint8_t *frame, const Layout *layout, size_t length)
{
    const uint8_t *ip = frame + ETHER;

    return frame_sum(ip + (layout->ipv4 ? IP4_ADDRESSES : IP6_ADDRESSES), layout->ipv4 ? 8 : 32,
                     (uint32_t)(PROTOCOL_TCP + length));
}

static void
plan_whole(uint8_t *frame, size_t len, const Layout *layout, uint16_t mss, OffloadPlan *plan)
{
    uint8_t *header = plan->header;

    header[0] = F_NEEDS_CSUM;
    header[1] = layout->ipv4 ? GSO_TCPV4 : GSO_TCPV6;
    header_store(header + 2, layout->data);
    header_store(header + 4, mss);
    header_store(header + 6, layout->payload);
    header_store(header + 8, TCP_SUM);
    store16(frame + layout->payload + TCP_SUM, pseudo_sum(frame, layout, len - layout->payload));
}

static void
plan_segments(uint8_t *frame, size_t len, const Layout *layout, uint16_t mss, OffloadPlan *plan)
{
    plan->cut = (FrameOffload){
        .ip = { ETHER, ETHER + IP4_SUM, (uint16_t)(layout->payload - 1) },
        .payload = { (uint8_t)layout->payload, (uint8_t)(layout->payload + TCP_SUM), 0 },
        .sum_ip = layout->ipv4,
        .sum_payload = true,
        .segment = true,
        .tcp = true,
        .ipv4 = layout->ipv4,
        .header = (uint8_t)layout->data, /* at most 14 + 60 + 60 */
        .mss = mss,
    };
    if (layout->ipv4)
        store16(frame + ETHER + IP4_SUM, 0);
    store16(frame + layout->payload + TCP_SUM, pseudo_sum(frame, layout, 0));
    plan->pieces = frame_pieces(len, &plan->cut);
}

/* Bytes of IP's payload in each fragment but the last. */
static size_t
fragment_size(size_t payload)
{
    return (OFFLOAD_MTU - (payload - ETHER)) & ~(size_t)7;
}

bool
offload_plan(uint8_t *frame, size_t len, unsigned offload, uint16_t mss, OffloadPlan *ret)
{
    Layout layout;
    size_t size;

    *ret = (OffloadPlan){ .pieces = 1 };
    if (offload & NET_OFFLOAD_CSUM)
        ret->header[0] = F_DATA_VALID;
    if (len <= ETHER + OFFLOAD_MTU)
        return true;
    if (!layout_find(frame, len, &layout))
        return false;
    if (layout.tcp) {
        if (len - layout.data <= mss)
            return true;
        if (offload & (layout.ipv4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6))
            plan_whole(frame, len, &layout, mss, ret);
        else
            plan_segments(frame, len, &layout, mss, ret);
        return ret->pieces > 0;
    }
    if (!layout.ipv4 || load16(frame + ETHER + IP4_FRAGMENT) != 0)
        return false;
    size = fragment_size(layout.payload);
    ret->fragments = true;
    ret->cut.header = (uint8_t)layout.payload;
    ret->pieces = (unsigned)((len - layout.payload + size - 1) / size);
    return true;
}

size_t
offload_piece(const OffloadPlan *plan, const uint8_t *frame, size_t len, unsigned n, uint8_t *out)
{
    size_t header = plan->cut.header, size, done, data;
    uint8_t *ip = out + ETHER;

    if (!plan->fragments)
        return frame_piece(frame, len, &plan->cut, n, out);
    size = fragment_size(header);
    done = n * size;
    data = MIN(size, len - header - done);
    memcpy(out, frame, header);
    memcpy(out + header, frame + header + done, data);
    store16(ip + IP4_LENGTH, (unsigned)(header - ETHER + data));
    store16(ip + IP4_FRAGMENT, (unsigned)(done / 8) | (done + data < len - header ? IP4_MF : 0));
    store16(ip + IP4_SUM, 0);
    store16(ip + IP4_SUM, (uint16_t)~frame_sum(ip, header - ETHER, 0));
    return header + data;
}
