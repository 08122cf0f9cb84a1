/* frame.c - checksums and segmentation that a network card or a back end does for its driver.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/frame.h"

#include <glib.h>
#include <string.h>

enum {
    IP4_LENGTH = 2,
    IP4_ID = 4,
    IP6_LENGTH = 4,
    IP6_HEADER = 40,
    TCP_SEQUENCE = 4,
    TCP_FLAGS = 13,
    TCP_FIN_PSH = 0x09,
    UDP_LENGTH = 4,
};

static uint32_t
load_be(const uint8_t *p, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

/* Stores at frame[at], or does nothing when that leaves the frame. */
static void
store_be(uint8_t *frame, size_t len, size_t at, uint32_t v, unsigned n)
{
    if (at > len || n > len - at)
        return;
    for (unsigned i = n; i > 0; i--, v >>= 8)
        frame[at + i - 1] = (uint8_t)v;
}

uint16_t
frame_sum(const uint8_t *data, size_t len, uint32_t start)
{
    uint64_t sum = start, words;

    /* 2^32 is 1 here (RFC 1071, 2 (C)): four bytes at a time sum up to the same */
    for (; len >= 8; data += 8, len -= 8) {
        memcpy(&words, data, 8);
        words = GUINT64_FROM_BE(words);
        sum += (words >> 32) + (words & UINT32_MAX);
    }
    for (; len >= 2; data += 2, len -= 2)
        sum += (uint32_t)data[0] << 8 | data[1];
    if (len)
        sum += (uint32_t)data[0] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* @zero: what stands for a sum of zero, which in UDP means that there is none. */
static void
put_sum(uint8_t *frame, size_t len, const FrameSum *where, uint16_t zero)
{
    size_t end = where->end ? (size_t)where->end + 1 : len;
    uint16_t sum;

    end = MIN(end, len);
    if (where->start >= end)
        return;
    sum = (uint16_t)~frame_sum(frame + where->start, end - where->start, 0);
    store_be(frame, len, where->at, sum ? sum : zero, 2);
}

void
frame_checksum(uint8_t *frame, size_t len, const FrameOffload *offload)
{
    if (offload->sum_payload)
        put_sum(frame, len, &offload->payload, 0xffff);
    if (offload->sum_ip)
        put_sum(frame, len, &offload->ip, 0);
}

unsigned
frame_pieces(size_t len, const FrameOffload *offload)
{
    if (!offload->segment)
        return 1;
    if (offload->mss == 0 || offload->header == 0 || len <= offload->header)
        return 0;
    return (unsigned)((len - offload->header + offload->mss - 1) / offload->mss);
}

/* Makes the copied header that of piece @n, whose data begins @done bytes into the whole. */
static void
adapt_header(uint8_t *out, size_t len, const FrameOffload *o, unsigned n, size_t done, bool last)
{
    size_t ip = o->ip.start, payload = o->payload.start, sum = o->payload.at;

    if (o->ipv4) {
        store_be(out, len, ip + IP4_LENGTH, (uint32_t)(len - MIN(ip, len)), 2);
        if (ip + IP4_ID + 2 <= len)
            store_be(out, len, ip + IP4_ID, load_be(out + ip + IP4_ID, 2) + n, 2);
    } else {
        store_be(out, len, ip + IP6_LENGTH, (uint32_t)(len - MIN(ip + IP6_HEADER, len)), 2);
    }
    if (o->tcp) {
        if (payload + TCP_FLAGS < len) {
            store_be(out, len, payload + TCP_SEQUENCE,
                     load_be(out + payload + TCP_SEQUENCE, 4) + (uint32_t)done, 4);
            if (!last)
                out[payload + TCP_FLAGS] &= (uint8_t)~TCP_FIN_PSH;
        }
    } else {
        store_be(out, len, payload + UDP_LENGTH, (uint32_t)(len - MIN(payload, len)), 2);
    }
    /* The driver's sum over the pseudo header leaves the length out. */
    if (o->sum_payload && sum + 2 <= len && payload < len)
        store_be(out, len, sum,
                 frame_sum(NULL, 0, load_be(out + sum, 2) + (uint32_t)(len - payload)), 2);
}

size_t
frame_piece(const uint8_t *frame, size_t len, const FrameOffload *offload, unsigned n, uint8_t *out)
{
    size_t done, data;

    if (!offload->segment) {
        memcpy(out, frame, len);
        frame_checksum(out, len, offload);
        return len;
    }
    done = (size_t)n * offload->mss;
    data = MIN((size_t)offload->mss, len - offload->header - done);
    memcpy(out, frame, offload->header);
    memcpy(out + offload->header, frame + offload->header + done, data);
    adapt_header(out, offload->header + data, offload, n, done,
                 done + data == len - offload->header);
    frame_checksum(out, offload->header + data, offload);
    return offload->header + data;
}
