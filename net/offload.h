/* offload.h - what the kernel's tap does with virtio-net headers (virtio 1.2, section 5.1.6), for a
 * back end that has no kernel behind it.
 *
 * From the driver: the checksum that it left is put in, and a packet of many segments stays one,
 * because the stack at the other end takes packets of any size. To the driver: the stack's packets
 * are larger than the guest's MTU; they go whole to a driver that takes many segments in one, and
 * in pieces to another. libslirp heeds the guest's MSS (RFC 9293, 3.7.1) in some connections and
 * not in others, so it is raised in the guest's SYN while its driver takes large packets, and what
 * is too large is cut here in any case.
 *
 * All bytes are foreign: nothing here leaves its buffer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_OFFLOAD_H
#define KILN_NET_OFFLOAD_H

#include "net/frame.h"
#include "net/net.h"

enum {
    OFFLOAD_HEADER = 10, /* bytes of a virtio-net header that say something here */
    OFFLOAD_MTU = 1500,  /* what a guest takes at least */
    OFFLOAD_MSS = OFFLOAD_MTU - 40,
    OFFLOAD_STACK_MTU = 65520,
    /* a quarter of the window that the stack keeps to, which knows no scaling: more than one is
     * under way, and the guest need not wait for the next */
    OFFLOAD_STACK_MSS = 16384,
};

/* Puts in the checksum that a frame's @header says is left to do. 0, or -EINVAL when it is outside
 * of the frame. */
int offload_complete(const uint8_t header[OFFLOAD_HEADER], uint8_t *frame, size_t len);

/* The MSS in a guest's SYN, or 0 when the frame is none or has none. Where @offload (NET_OFFLOAD_…,
 * what its driver takes) has its IP version, the frame says OFFLOAD_STACK_MSS afterwards. @header
 * as above: a checksum that is complete already is kept right. */
uint16_t offload_take_mss(const uint8_t header[OFFLOAD_HEADER], uint8_t *frame, size_t len,
                          unsigned offload);

/* How a frame of the stack goes to the guest. */
typedef struct {
    uint8_t header[OFFLOAD_HEADER]; /* of each piece */
    unsigned pieces;
    FrameOffload cut; /* for TCP in more than one piece */
    bool fragments;   /* IPv4's, in more than one piece */
} OffloadPlan;

/* @mss: no connection of the guest has a smaller one (offload_take_mss). May change @frame's
 * checksum. False when the guest cannot get the frame in any form. */
bool offload_plan(uint8_t *frame, size_t len, unsigned offload, uint16_t mss, OffloadPlan *ret);
/* Writes piece @n (from 0) of a frame that goes in several to @out, which has room for @len bytes,
 * and returns its length. */
size_t offload_piece(const OffloadPlan *plan, const uint8_t *frame, size_t len, unsigned n,
                     uint8_t *out);

#endif
