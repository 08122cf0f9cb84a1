/* vhost.h - driving vhost-net: the kernel takes packets from a guest's rings to a tap and back; and
 * vhost-vsock, where it does so for sockets (linux/vhost.h).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_VHOST_H
#define KILN_NET_VHOST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VHOST_NET_RX = 0, VHOST_NET_TX = 1 };

/* One stretch of guest RAM. */
typedef struct {
    uint64_t gpa, size;
    void *host;
} VhostRegion;

/* One ring; desc, avail and used point into the mapped guest RAM. */
typedef struct {
    unsigned size;
    uint16_t last_avail;
    void *desc, *avail, *used;
    int kick_fd, call_fd; /* eventfds: from the driver, to it */
} VhostRing;

/* Makes this process the owner of @fd, whose worker thread then runs in its control groups. Once,
 * main thread. Returns 0 or -errno, as all. */
int vhost_net_own(int fd);
int vhost_net_features(int fd, uint64_t *ret_features);

/* Hands the two rings over; packets go to and come from @packet_fd (-1: none pass until
 * vhost_net_connect). On failure nothing is handed over. */
int vhost_net_start(int fd, uint64_t features, const VhostRegion *regions, size_t n_regions,
                    const VhostRing rings[2], int packet_fd);
/* Takes them back and says how far the available rings were read. */
int vhost_net_stop(int fd, uint16_t ret_last_avail[2]);
int vhost_net_connect(int fd, int packet_fd);
int vhost_net_set_call(int fd, unsigned ring, int call_fd);

/* Gives @fd, a vhost-vsock device, the guest's address: -EADDRINUSE when another has it. */
int vhost_vsock_set_cid(int fd, uint64_t cid);
/* Hands the two data rings over, and takes them back; as for vhost-net. */
int vhost_vsock_start(int fd, uint64_t features, const VhostRegion *regions, size_t n_regions,
                      const VhostRing rings[2]);
int vhost_vsock_stop(int fd, uint16_t ret_last_avail[2]);

#endif
