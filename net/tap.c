/* tap.c - back end: a tap interface of the host, by open descriptors or by name (tun(4),
 * Documentation/networking/tuntap.rst of Linux).
 *
 * With vnet headers, checksums and segmentation cross the border undone. A packet is one readv or
 * writev straight from and to the guest's buffers. With vhost=on the kernel does even that.
 *
 * Leaves out: interface scripts, bridge helpers, sandboxed opening by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "util/error.h"

enum {
    HEADER_DEFAULT = 10, /* the least that the kernel knows */
    BARE_IOV = 8,        /* parts of a packet of a card that knows no headers */
};

typedef struct {
    struct NetTap *tap;
    unsigned index;
    int fd, vhost_fd;   /* -1: none */
    bool attached;      /* the kernel gives it packets */
    IoLoop *loop;       /* NULL while stopped */
    bool want, blocked; /* wants packets; a send found no room */
} TapQueue;

typedef struct NetTap {
    NetBackend base; /* first */
    char ifname[IFNAMSIZ];
    TapQueue *q;
    unsigned opened; /* queues that have an fd */
    bool multi;      /* interface has IFF_MULTI_QUEUE */
    bool vhost;
    bool bare; /* the interface has headers, the card none */
} NetTap;

static uint32_t
tap_interest(const TapQueue *q)
{
    return (q->want ? EPOLLIN : 0) | (q->blocked ? EPOLLOUT : 0);
}

static void
tap_event(void *opaque, uint32_t events)
{
    TapQueue *q = opaque;

    if (q->blocked && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        q->blocked = false;
        io_loop_modify_fd(q->loop, q->fd, tap_interest(q));
        net_backend_writable(&q->tap->base, q->index);
    }
    if (q->loop && q->want && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        net_backend_readable(&q->tap->base, q->index);
}

static int
tap_start(NetBackend *backend, unsigned queue, IoLoop *loop)
{
    TapQueue *q = &((NetTap *)backend)->q[queue];
    int r;

    if (q->loop)
        return 0;
    q->want = true;
    q->blocked = false;
    q->loop = loop;
    r = io_loop_add_fd(loop, q->fd, EPOLLIN, tap_event, q);
    if (r < 0)
        q->loop = NULL;
    return r;
}

static void
tap_stop(NetBackend *backend, unsigned queue)
{
    TapQueue *q = &((NetTap *)backend)->q[queue];

    if (!q->loop)
        return;
    io_loop_remove_fd(q->loop, q->fd);
    q->loop = NULL;
}

static void
tap_want_packets(NetBackend *backend, unsigned queue, bool want)
{
    TapQueue *q = &((NetTap *)backend)->q[queue];

    if (!q->loop || q->want == want)
        return;
    q->want = want;
    io_loop_modify_fd(q->loop, q->fd, tap_interest(q));
}

/* The interface's header before the packet's parts: the card neither gives nor takes one. */
static int
tap_put_header(const NetTap *tap, uint8_t header[HEADER_DEFAULT], const struct iovec *iov,
               int n_iov, struct iovec all[1 + BARE_IOV])
{
    if (!tap->bare)
        return 0;
    if (n_iov > BARE_IOV)
        return -EMSGSIZE;
    memset(header, 0, HEADER_DEFAULT);
    all[0] = (struct iovec){ header, HEADER_DEFAULT };
    memcpy(all + 1, iov, (size_t)n_iov * sizeof(*iov));
    return 1 + n_iov;
}

static ssize_t
tap_receive(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    const TapQueue *q = &((NetTap *)backend)->q[queue];
    uint8_t header[HEADER_DEFAULT];
    struct iovec all[1 + BARE_IOV];
    int bare = tap_put_header(q->tap, header, iov, n_iov, all);
    ssize_t n;

    if (bare < 0)
        return bare;
    do
        n = readv(q->fd, bare ? all : iov, bare ? bare : n_iov);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return bare ? MAX(n - HEADER_DEFAULT, 0) : n;
}

static ssize_t
tap_send(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    TapQueue *q = &((NetTap *)backend)->q[queue];
    uint8_t header[HEADER_DEFAULT];
    struct iovec all[1 + BARE_IOV];
    int bare = tap_put_header(q->tap, header, iov, n_iov, all);
    ssize_t n;

    if (bare < 0)
        return bare;
    do
        n = writev(q->fd, bare ? all : iov, bare ? bare : n_iov);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return bare ? MAX(n - HEADER_DEFAULT, 0) : n;
    if (errno == EAGAIN && !q->blocked) {
        q->blocked = true;
        io_loop_modify_fd(q->loop, q->fd, tap_interest(q));
    }
    return -errno;
}

static int
tap_set_header_len(NetBackend *backend, unsigned len)
{
    NetTap *tap = (NetTap *)backend;
    int size = len ? (int)len : HEADER_DEFAULT;

    if (!(backend->caps & NET_CAP_HEADER))
        return len == 0 ? 0 : -ENOTSUP;
    for (unsigned i = 0; i < tap->opened; i++) {
        if (ioctl(tap->q[i].fd, TUNSETVNETHDRSZ, &size) < 0)
            return -errno;
    }
    tap->bare = len == 0;
    return 0;
}

static int
tap_set_offload(NetBackend *backend, unsigned offload)
{
    static const struct {
        unsigned ours, tun;
    } map[] = {
        { NET_OFFLOAD_CSUM, TUN_F_CSUM }, { NET_OFFLOAD_TSO4, TUN_F_TSO4 },
        { NET_OFFLOAD_TSO6, TUN_F_TSO6 }, { NET_OFFLOAD_ECN, TUN_F_TSO_ECN },
        { NET_OFFLOAD_UFO, TUN_F_UFO },
    };
    NetTap *tap = (NetTap *)backend;
    unsigned long flags = 0;

    if (!(backend->caps & NET_CAP_HEADER))
        return offload == 0 ? 0 : -ENOTSUP;
    for (unsigned i = 0; i < G_N_ELEMENTS(map); i++) {
        if (offload & map[i].ours)
            flags |= map[i].tun;
    }
    /* the setting is the interface's, so one queue speaks for all */
    return ioctl(tap->q[0].fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

static int
tap_use_queues(NetBackend *backend, unsigned n)
{
    NetTap *tap = (NetTap *)backend;

    for (unsigned i = 0; tap->multi && i < tap->opened; i++) {
        TapQueue *q = &tap->q[i];
        struct ifreq req = { .ifr_flags = i < n ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

        if (q->attached == (i < n))
            continue;
        if (ioctl(q->fd, TUNSETQUEUE, &req) < 0)
            return -errno;
        q->attached = i < n;
    }
    return 0;
}

/* What an open queue is, and a first setting: no offloads, no limit on what is under way. */
static bool
tap_queue_check(NetTap *tap, TapQueue *q, uint64_t sndbuf, GError **err)
{
    struct ifreq req = { 0 };
    int buf = (int)sndbuf;
    int flags = fcntl(q->fd, F_GETFL);

    if (ioctl(q->fd, TUNGETIFF, &req) < 0)
        return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "descriptor %d is not a tap interface (%s)", q->fd,
                                 g_strerror(errno));
    if ((req.ifr_flags & IFF_TAP) == 0 || (req.ifr_flags & IFF_NO_PI) == 0)
        return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "interface '%s' gives no bare Ethernet frames: it must be opened "
                                 "with IFF_TAP and IFF_NO_PI",
                                 req.ifr_name);
    if (flags < 0 || fcntl(q->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return net_backend_error(&tap->base, err, VIR_ERR_SYSTEM_ERROR,
                                 "descriptor %d cannot be made non-blocking", q->fd);
    if (q->index == 0) {
        g_strlcpy(tap->ifname, req.ifr_name, sizeof(tap->ifname));
        tap->multi = req.ifr_flags & IFF_MULTI_QUEUE;
        if (req.ifr_flags & IFF_VNET_HDR)
            tap->base.caps |= NET_CAP_HEADER;
    }
    q->attached = true;
    (void)ioctl(q->fd, TUNSETSNDBUF, &buf); /* a macvtap has none, and that is as good */
    return true;
}

static void
tap_probe_offload(NetTap *tap)
{
    if (!(tap->base.caps & NET_CAP_HEADER))
        return;
    if (ioctl(tap->q[0].fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_UFO)) == 0)
        tap->base.caps |= NET_CAP_UFO;
    (void)ioctl(tap->q[0].fd, TUNSETOFFLOAD, 0UL);
    tap_set_header_len(&tap->base, HEADER_DEFAULT);
}

static bool
tap_add_queue(NetTap *tap, int fd, uint64_t sndbuf, GError **err)
{
    TapQueue *q = &tap->q[tap->opened];

    *q = (TapQueue){ .tap = tap, .index = tap->opened++, .fd = fd, .vhost_fd = -1 };
    return tap_queue_check(tap, q, sndbuf, err);
}

static bool
tap_take_fds(NetTap *tap, char **names, const NetOpenOps *ops, uint64_t sndbuf, GError **err)
{
    for (unsigned i = 0; names[i]; i++) {
        int fd = ops->take_fd(ops->opaque, names[i], err);

        if (fd < 0 || !tap_add_queue(tap, fd, sndbuf, err))
            return false;
    }
    return true;
}

static bool
tap_open_named(NetTap *tap, const char *ifname, unsigned n, const NetOpenOps *ops, uint64_t sndbuf,
               GError **err)
{
    struct ifreq req = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

    if (strlen(ifname) >= IFNAMSIZ)
        return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "interface name '%s' is longer than %d bytes", ifname,
                                 IFNAMSIZ - 1);
    g_strlcpy(req.ifr_name, ifname, IFNAMSIZ);
    if (n > 1)
        req.ifr_flags |= IFF_MULTI_QUEUE;
    for (unsigned i = 0; i < n; i++) {
        int fd = ops->open_file(ops->opaque, "/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK, err);

        if (fd < 0)
            return false;
        if (ioctl(fd, TUNSETIFF, &req) < 0) {
            int saved = errno;

            close(fd);
            return net_backend_error(&tap->base, err, VIR_ERR_SYSTEM_ERROR,
                                     "cannot open tap interface '%s' (%s): it needs the right to "
                                     "do so, or an interface made for this user by 'ip tuntap add'",
                                     ifname, g_strerror(saved));
        }
        if (!tap_add_queue(tap, fd, sndbuf, err))
            return false;
    }
    return true;
}

static bool
tap_open_vhost(NetTap *tap, const char *fds, const NetOpenOps *ops, GError **err)
{
    g_auto(GStrv) names = fds ? g_strsplit(fds, ":", -1) : NULL;

    if (names && g_strv_length(names) != tap->opened)
        return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "%u vhost descriptors are given for %u queues",
                                 g_strv_length(names), tap->opened);
    for (unsigned i = 0; i < tap->opened; i++) {
        int fd = names ? ops->take_fd(ops->opaque, names[i], err)
                       : ops->open_file(ops->opaque, "/dev/vhost-net", O_RDWR | O_CLOEXEC, err);

        if (fd < 0) {
            g_prefix_error(err, "netdev '%s': vhost=on: ", tap->base.id);
            return false;
        }
        tap->q[i].vhost_fd = fd;
    }
    if (!(tap->base.caps & NET_CAP_HEADER))
        return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "vhost=on needs an interface opened with IFF_VNET_HDR");
    tap->vhost = true;
    return true;
}

static bool
tap_script_check(const NetTap *tap, GHashTable *props, const char *name, GError **err)
{
    const char *script = g_hash_table_lookup(props, name);

    if (!script || !*script || strcmp(script, "no") == 0)
        return true;
    return net_backend_error(&tap->base, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "%s=%s: interface scripts are not run; use 'no' and set the interface "
                             "up beforehand",
                             name, script);
}

static bool
tap_open(NetBackend *backend, GHashTable *props, const NetOpenOps *ops, GError **err)
{
    NetTap *tap = (NetTap *)backend;
    const char *fds = g_hash_table_lookup(props, "fds"), *fd = g_hash_table_lookup(props, "fd");
    const char *ifname = g_hash_table_lookup(props, "ifname");
    const char *vhostfds = g_hash_table_lookup(props, "vhostfds");
    const char *vhostfd = g_hash_table_lookup(props, "vhostfd");
    g_auto(GStrv) names = fds || fd ? g_strsplit(fds ? fds : fd, ":", -1) : NULL;
    uint64_t queues = names ? g_strv_length(names) : 1, sndbuf = G_MAXINT32;
    bool vhost = vhostfds || vhostfd, force = false, ok;

    if (!tap_script_check(tap, props, "script", err) ||
        !tap_script_check(tap, props, "downscript", err) ||
        !net_option_bool(backend, props, "vhost", &vhost, err) ||
        !net_option_bool(backend, props, "vhostforce", &force, err) ||
        !net_option_uint(backend, props, "sndbuf", G_MAXINT32, &sndbuf, err) ||
        !net_option_uint(backend, props, "queues", NET_MAX_QUEUES, &queues, err))
        return false;
    if ((fds && fd) || (names && (ifname || g_hash_table_contains(props, "queues"))))
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "fd, fds and ifname with queues exclude each other");
    if (queues == 0 || queues > NET_MAX_QUEUES)
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "%" G_GUINT64_FORMAT " queues are not between 1 and %d", queues,
                                 NET_MAX_QUEUES);
    tap->q = g_new0(TapQueue, queues);
    ok = names ? tap_take_fds(tap, names, ops, sndbuf, err)
               : tap_open_named(tap, ifname ? ifname : "tap%d", (unsigned)queues, ops, sndbuf, err);
    if (!ok)
        return false;
    backend->queues = tap->opened;
    tap_probe_offload(tap);
    if (vhost || force)
        return tap_open_vhost(tap, vhostfds ? vhostfds : vhostfd, ops, err);
    return true;
}

static void
tap_close(NetBackend *backend)
{
    NetTap *tap = (NetTap *)backend;

    for (unsigned i = 0; i < tap->opened; i++) {
        if (tap->q[i].fd >= 0)
            close(tap->q[i].fd);
        if (tap->q[i].vhost_fd >= 0)
            close(tap->q[i].vhost_fd);
    }
    g_free(tap->q);
}

static char *
tap_describe(const NetBackend *backend)
{
    const NetTap *tap = (const NetTap *)backend;

    return g_strdup_printf("ifname=%s,queues=%u,vhost=%s", tap->ifname, backend->queues,
                           tap->vhost ? "on" : "off");
}

static int
tap_vhost_fd(const NetBackend *backend, unsigned queue)
{
    return ((const NetTap *)backend)->q[queue].vhost_fd;
}

static int
tap_packet_fd(const NetBackend *backend, unsigned queue)
{
    return ((const NetTap *)backend)->q[queue].fd;
}

static const char *const tap_options[] = {
    "fd",     "fds",   "ifname",  "queues",   "script",     "downscript",
    "sndbuf", "vhost", "vhostfd", "vhostfds", "vhostforce", NULL,
};

static const char *const tap_syscalls[] = { "readv", "writev", NULL };

const NetBackendClass net_tap_class = {
    .type = "tap",
    .help = "a tap interface of the host",
    .options = tap_options,
    .size = sizeof(NetTap),
    .syscalls = tap_syscalls,
    .open = tap_open,
    .close = tap_close,
    .describe = tap_describe,
    .set_header_len = tap_set_header_len,
    .set_offload = tap_set_offload,
    .use_queues = tap_use_queues,
    .start = tap_start,
    .stop = tap_stop,
    .want_packets = tap_want_packets,
    .receive = tap_receive,
    .send = tap_send,
    .vhost_fd = tap_vhost_fd,
    .packet_fd = tap_packet_fd,
};
