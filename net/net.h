/* net.h - back ends of a guest's network card: where its packets go and come from.
 *
 * A NetBackend has queue pairs. A front end (the card) attaches to it, starts pairs in an I/O loop
 * and pulls packets: when told that a pair is readable it receives until -EAGAIN, or stops asking
 * when it has no buffers, so that nothing spins and nothing is read only to be dropped.
 *
 * Packets are Ethernet frames without checksum, behind a virtio-net header of the negotiated length
 * (net_backend_set_header_len); a back end without NET_CAP_HEADER has none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_NET_H
#define KILN_NET_NET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/ioloop.h"

typedef struct NetBackend NetBackend;

enum {
    NET_MAX_QUEUES = 256,        /* queue pairs, the limit of tun(4) */
    NET_MAX_PACKET = 65536 + 64, /* largest packet with a header, bytes */
};

/* What net_backend_open() needs of whoever knows descriptors and files. */
typedef struct {
    void *opaque;
    /* Opens a path ("/dev/net/tun", "/dev/vhost-net", also "/dev/fdset/N"): a descriptor the caller
     * owns, or -1 with @err set. */
    int (*open_file)(void *opaque, const char *path, int flags, GError **err);
    /* The descriptor that "fd=TEXT" names: a number, or a name given by QMP getfd. It is the
     * caller's from then on. -1 with @err set. */
    int (*take_fd)(void *opaque, const char *text, GError **err);
    /* Main loop; NULL: the default context. */
    GMainContext *context;
} NetOpenOps;

/* Opens the back end that a property map (char * to char *, both borrowed) of -netdev describes:
 * "type" names it, "id" is required; lists are colon-separated as in QEMU, and the keys hostfwd and
 * guestfwd, which may be given several times, are joined by newlines. Unknown and bad properties
 * are refused by name. Main thread, before the sandbox. The caller owns the result, usually handed
 * to machine_object_add(). */
NetBackend *net_backend_open(GHashTable *props, const NetOpenOps *ops, GError **err);
/* The front end must be detached. NULL is accepted. Main thread. */
void net_backend_free(NetBackend *backend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NetBackend, net_backend_free)

const char *net_backend_id(const NetBackend *backend);
const char *net_backend_type(const NetBackend *backend); /* "tap", "user" */
/* Queue pairs it has, at least 1. */
unsigned net_backend_queues(const NetBackend *backend);
/* One line for people: "fd=21,vhost=on". Caller frees. */
char *net_backend_describe(const NetBackend *backend);
/* "-netdev help". Caller frees. */
char *net_backend_help(void);

/* ---- offloads ---- */

typedef enum {
    NET_CAP_HEADER = 1 << 0, /* takes and gives virtio-net headers */
    NET_CAP_UFO = 1 << 1,    /* can offload UDP fragmentation */
} NetCaps;
unsigned net_backend_caps(const NetBackend *backend);

/* Length of the header before each packet: 0, 10 or 12. Pairs stopped. Returns 0 or -errno
 * (-ENOTSUP without NET_CAP_HEADER, unless 0). */
int net_backend_set_header_len(NetBackend *backend, unsigned len);

/* What the receiver of packets can cope with: packets that the back end gives may then be so. */
typedef enum {
    NET_OFFLOAD_CSUM = 1 << 0,
    NET_OFFLOAD_TSO4 = 1 << 1,
    NET_OFFLOAD_TSO6 = 1 << 2,
    NET_OFFLOAD_ECN = 1 << 3,
    NET_OFFLOAD_UFO = 1 << 4,
} NetOffload;
/* Returns 0 or -errno. Any thread that no pair runs in at the time. */
int net_backend_set_offload(NetBackend *backend, unsigned offload);

/* ---- front end ---- */

typedef struct {
    /* Packets may be waiting on pair @queue. In the pair's loop. */
    void (*readable)(void *opaque, unsigned queue);
    /* A send that gave -EAGAIN may be tried again. In the pair's loop. */
    void (*writable)(void *opaque, unsigned queue);
    /* Somebody set the back end's link (net_backend_set_link). Main thread. */
    void (*link)(void *opaque, bool up);
} NetFrontend;

/* One front end at a time; @err names the back end. Main thread. */
bool net_backend_attach(NetBackend *backend, const NetFrontend *frontend, void *opaque,
                        GError **err);
/* All pairs must be stopped. Main thread. */
void net_backend_detach(NetBackend *backend);

/* Uses the first @n pairs: packets from the host go to these only. Returns 0 or -errno. */
int net_backend_use_queues(NetBackend *backend, unsigned n);

/* Starts pair @queue: readable() and writable() come in @loop, where alone receive and send may be
 * called until it is stopped. Begins asking for packets. Returns 0 or -errno. */
int net_queue_start(NetBackend *backend, unsigned queue, IoLoop *loop);
/* Afterwards no callback of the pair runs. Waits for the loop; nothing happens to a stopped one. */
void net_queue_stop(NetBackend *backend, unsigned queue);
/* @want false: readable() stops, and packets wait or are dropped at their source. In the pair's
 * loop. */
void net_queue_want_packets(NetBackend *backend, unsigned queue, bool want);

/* Takes one packet into @iov and returns its length with the header; -EAGAIN when there is none.
 * What does not fit is cut off. In the pair's loop. */
ssize_t net_queue_receive(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov);
/* Sends one packet and returns its length; -EAGAIN when there is no room: writable() follows. Other
 * errors mean that the packet was dropped. In the pair's loop. */
ssize_t net_queue_send(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov);

/* ---- link state ---- */

/* As QMP set_link does for a netdev: while it is down no packet passes. Main thread. */
void net_backend_set_link(NetBackend *backend, bool up);
bool net_backend_link(const NetBackend *backend);

/* ---- vhost ---- */

/* The kernel's data path for pair @queue, or -1: a vhost-net descriptor to drive with net/vhost.h.
 * Stays the back end's. */
int net_backend_vhost_fd(const NetBackend *backend, unsigned queue);
/* The descriptor that vhost reads and writes packets from (tap). */
int net_backend_packet_fd(const NetBackend *backend, unsigned queue);

/* System calls of its data path beyond those of a loop, NULL-terminated; for seccomp lists. */
const char *const *net_backend_syscalls(const NetBackend *backend);

#endif
