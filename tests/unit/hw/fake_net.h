/* fake_net.h - a back end of a network card made by hand: packets wait in a queue of the test's,
 * sent ones are kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_HW_FAKE_NET_H
#define KILN_TESTS_HW_FAKE_NET_H

#include "net/backend.h"
#include "tests/unit/hw/fake_machine.h"

enum { FAKE_NET_PACKETS = 64, FAKE_NET_QUEUES = 4 };

typedef struct {
    NetBackend base;
    GMutex lock; /* guards what follows, up to receives */
    GBytes *in[FAKE_NET_PACKETS];
    unsigned first, count;
    GPtrArray *sent; /* GBytes */
    bool full;       /* nothing can be sent */
    unsigned header_len, offload, used, receives;
    bool want[FAKE_NET_QUEUES];
    IoLoop *loop[FAKE_NET_QUEUES]; /* NULL: the pair is stopped */
} FakeNet;

/* Adds a back end @id to the machine, which owns it. */
FakeNet *fake_net_new(FakeMachine *fake, const char *id, unsigned queues, unsigned caps);
/* A packet comes from the host for pair 0, and has been seen by the card when this returns. */
void fake_net_arrive(FakeNet *net, const void *packet, size_t len);
/* Lets the card do what it was told: pair 0's loop comes round a few times. */
void fake_net_settle(FakeNet *net);

#endif
