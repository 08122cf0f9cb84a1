/* nic.h - what every emulated network card shares: its back end, its I/O loop, and the turns in
 * which packets move.
 *
 * Packets move in the card's loop, with the card's lock held, a limited number per turn. A card
 * pulls: it is offered a packet only while it says that it has room.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_NET_NIC_H
#define KILN_HW_NET_NIC_H

#include "hw/core/device.h"
#include "net/net.h"

typedef struct Nic Nic;

/* All with the card's lock held; in its loop unless noted. */
typedef struct {
    /* Sends at most @budget packets by nic_send(). True when there may be more to send. */
    bool (*transmit)(Nic *nic, unsigned budget);
    bool (*can_receive)(Nic *nic);
    /* A whole frame without check sequence, at least 14 bytes. */
    void (*receive)(Nic *nic, const uint8_t *frame, size_t len);
    /* The turn is over: raise what interrupts it has caused. */
    void (*turn_ended)(Nic *nic);
    /* The cable was plugged or pulled. Main thread. */
    void (*link_changed)(Nic *nic);
} NicOps;

/* Embedded in the card; its properties are NIC_PROPS. */
struct Nic {
    PropObject netdev;
    uint8_t mac[6];
    bool mac_given;
    int32_t bootindex;

    /*< private >*/
    Device *device;
    const NicOps *ops;
    NetBackend *backend; /* NULL until attached */
    IoLoop *loop;
    bool open;      /* packets may move */
    bool scheduled; /* a turn is due */
    bool blocked;   /* the back end has no room */
    uint8_t *buffer;
};

#define NIC_PROPS(T, f)                                                                            \
    { "netdev", PROP_NETDEV, offsetof(T, f.netdev), .required = true, .help = "id of a -netdev" }, \
        { "mac", PROP_MAC, offsetof(T, f.mac), .set_offset = offsetof(T, f.mac_given) },           \
    {                                                                                              \
        "bootindex", PROP_INT32, offsetof(T, f.bootindex), "-1", .help = "place in boot order"     \
    }

/* In realize; checks the address, or chooses one. @nic must be zero but for its properties. */
bool nic_init(Nic *nic, Device *device, const NicOps *ops, GError **err);
/* In unrealize; also after a failed init. */
void nic_fini(Nic *nic);
/* For DeviceClass.set_running. */
void nic_set_running(Nic *nic, bool running);

/* A turn is wanted: there is something to send, or new room to receive. Card's lock held. */
void nic_kick(Nic *nic);
/* The cable is in and the back end's link is up. Any thread. */
bool nic_link(const Nic *nic);
/* Sends a frame. False: not now, the same frame is to be offered in a later turn. In transmit(). A
 * frame that cannot be sent at all is gone, as on a wire. */
bool nic_send(Nic *nic, const void *frame, size_t len);

#endif
