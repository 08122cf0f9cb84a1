/* frame.h - checksums and segmentation that a network card or a back end does for its driver.
 *
 * RFC 1071 (the sum), RFC 791, 8200, 768, 9293 (where lengths, numbers and sums stand).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_FRAME_H
#define KILN_NET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where one checksum goes: sum the bytes from @start to @end (0: to the end of the frame, else the
 * last byte itself), and put it at @at. */
typedef struct {
    uint8_t start, at;
    uint16_t end;
} FrameSum;

/* What a driver asks for; everything in it is the guest's word and checked here. */
typedef struct {
    FrameSum ip, payload;
    bool sum_ip, sum_payload;
    /* Segmentation */
    bool segment;
    bool tcp;       /* else UDP */
    bool ipv4;      /* else IPv6 */
    uint8_t header; /* bytes in front of the data, repeated in each piece */
    uint16_t mss;   /* data bytes of a piece */
} FrameOffload;

/* One's complement sum of @len bytes, not inverted, not folded further than 16 bits. */
uint16_t frame_sum(const uint8_t *data, size_t len, uint32_t start);

/* Puts the checksums into the frame; what points outside of it is left out. */
void frame_checksum(uint8_t *frame, size_t len, const FrameOffload *offload);

/* How many pieces the frame makes: 1 without segmentation, 0 when its sizes are nonsense. */
unsigned frame_pieces(size_t len, const FrameOffload *offload);
/* Writes piece @n (from 0) with its checksums to @out, which has room for header + mss bytes, and
 * returns its length. @frame stays as it is. */
size_t frame_piece(const uint8_t *frame, size_t len, const FrameOffload *offload, unsigned n,
                   uint8_t *out);

#endif
