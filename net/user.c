/* user.c - back end: user-mode networking, a small router and its NAT in this process (libslirp 4).
 *
 * The stack belongs to the I/O loop of its pair. It wants to be asked before each sleep which of
 * its sockets to watch; that is done once per turn in which something happened, and only
 * differences reach epoll. Packets for the guest wait in a bounded queue; while it is full the
 * sockets are left alone, so the hosts at the other end are held back rather than packets dropped.
 *
 * The stack makes packets as large as IP can carry, which saves most of the work for each byte;
 * what the guest's driver does not take so is cut (net/offload.h).
 *
 * Leaves out: TFTP, SMB, guestfwd, saving connections.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/user.h"

#include <errno.h>
#include <string.h>

#include "net/offload.h"
#include "util/error.h"

enum {
    SLOTS = 256,                  /* packets for the guest */
    SLOTS_CONGESTED = 128,        /* sockets are left alone from here on, */
    BYTES_CONGESTED = 512 * 1024, /* or from here */
    BYTES_MAX = 8 << 20,
    HEADER_MAX = 12, /* of virtio-net */
    MSS_MIN = 64,    /* a guest that says less gets many packets, but not endlessly many */
};

#define NS_PER_MS INT64_C(1000000)

typedef struct NetUser NetUser;

typedef struct {
    NetUser *user;
    SlirpTimerId id;
    void *opaque;     /* the stack's */
    IoTimer *timer;   /* NULL while stopped */
    int64_t deadline; /* nanoseconds, INT64_MAX: not armed */
} UserTimer;

/* A socket of the stack. */
typedef struct {
    NetUser *user;
    int fd;
    uint32_t asked; /* events asked of the loop */
    int events;     /* SLIRP_POLL_ that happened */
    bool seen;      /* in the last list */
} UserSocket;

struct NetUser {
    NetBackend base; /* first */
    Slirp *slirp;
    IoLoop *loop;        /* NULL while stopped */
    GPtrArray *timers;   /* UserTimer */
    GHashTable *sockets; /* fd -> UserSocket */
    GArray *listed;      /* fd of each index given out by the last list */
    IoTimer *poll_timer;
    bool poll_due, work_scheduled, want;
    struct {
        uint8_t *data;
        size_t len;
    } packets[SLOTS];
    unsigned first, count;
    size_t bytes;     /* of all packets */
    OffloadPlan plan; /* of the first packet */
    unsigned piece;   /* that goes next, 0: the plan is not made */
    uint8_t *cut;     /* a piece; NET_MAX_PACKET, as gather */
    uint8_t *gather;  /* what the guest sends */
    unsigned header_len, offload;
    uint16_t mss; /* the least that the guest asked for */
};

static void user_work(void *opaque);

static void
user_schedule(NetUser *user)
{
    if (!user->loop || user->work_scheduled)
        return;
    user->work_scheduled = true;
    io_loop_defer(user->loop, user_work, user);
}

/* ---- what the stack calls ---- */

static ssize_t
cb_send_packet(const void *buf, size_t len, void *opaque)
{
    NetUser *user = opaque;
    unsigned at = (user->first + user->count) % SLOTS;

    if (len == 0 || len > NET_MAX_PACKET || user->count == SLOTS || user->bytes + len > BYTES_MAX ||
        !user->cut || !net_backend_link(&user->base))
        return (ssize_t)len; /* lost on the wire: the protocols above cope */
    user->packets[at].data = g_memdup2(buf, len);
    user->packets[at].len = len;
    user->bytes += len;
    user->count++;
    user_schedule(user);
    return (ssize_t)len;
}

static void
cb_guest_error(const char *msg, void *opaque)
{
    (void)msg;
    (void)opaque;
}

static int64_t
cb_clock_ns(void *opaque)
{
    (void)opaque;
    return io_clock_ns();
}

static void
timer_fired(void *opaque)
{
    UserTimer *timer = opaque;

    timer->deadline = INT64_MAX;
    slirp_handle_timer(timer->user->slirp, timer->id, timer->opaque);
    user_schedule(timer->user);
}

static void *
cb_timer_new(SlirpTimerId id, void *timer_opaque, void *opaque)
{
    NetUser *user = opaque;
    UserTimer *timer = g_new0(UserTimer, 1);

    *timer = (UserTimer){ .user = user, .id = id, .opaque = timer_opaque, .deadline = INT64_MAX };
    if (user->loop)
        timer->timer = io_timer_new(user->loop, timer_fired, timer);
    g_ptr_array_add(user->timers, timer);
    return timer;
}

static void
cb_timer_free(void *opaque_timer, void *opaque)
{
    UserTimer *timer = opaque_timer;
    NetUser *user = opaque;

    io_timer_free(timer->timer);
    g_ptr_array_remove_fast(user->timers, timer);
    g_free(timer);
}

static void
cb_timer_mod(void *opaque_timer, int64_t expire_ms, void *opaque)
{
    UserTimer *timer = opaque_timer;

    (void)opaque;
    timer->deadline = expire_ms * NS_PER_MS;
    if (timer->timer)
        io_timer_set(timer->timer, timer->deadline);
}

static void
cb_register_fd(int fd, void *opaque)
{
    (void)fd;
    user_schedule(opaque);
}

/* Before the stack closes it. */
static void
cb_unregister_fd(int fd, void *opaque)
{
    NetUser *user = opaque;

    if (user->loop && g_hash_table_contains(user->sockets, GINT_TO_POINTER(fd)))
        io_loop_remove_fd(user->loop, fd);
    g_hash_table_remove(user->sockets, GINT_TO_POINTER(fd));
}

static void
cb_notify(void *opaque)
{
    user_schedule(opaque);
}

static void
cb_init_completed(Slirp *slirp, void *opaque)
{
    (void)slirp;
    (void)opaque;
}

static const SlirpCb user_callbacks = {
    .send_packet = cb_send_packet,
    .guest_error = cb_guest_error,
    .clock_get_ns = cb_clock_ns,
    .timer_free = cb_timer_free,
    .timer_mod = cb_timer_mod,
    .register_poll_fd = cb_register_fd,
    .unregister_poll_fd = cb_unregister_fd,
    .notify = cb_notify,
    .init_completed = cb_init_completed,
    .timer_new_opaque = cb_timer_new,
};

/* ---- sockets ---- */

static void
socket_event(void *opaque, uint32_t events)
{
    UserSocket *socket = opaque;

    socket->events |=
        (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
        (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
        (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
    socket->user->poll_due = true;
    user_schedule(socket->user);
}

/* Asks the loop for @events; a number that was closed and given out again without a word is taken
 * as the new socket that it is. */
static void
socket_ask(NetUser *user, UserSocket *socket, uint32_t events)
{
    if (socket->asked == events)
        return;
    if (io_loop_modify_fd(user->loop, socket->fd, events) < 0) {
        io_loop_remove_fd(user->loop, socket->fd);
        (void)io_loop_add_fd(user->loop, socket->fd, events, socket_event, socket);
    }
    socket->asked = events;
}

static int
list_add(int fd, int events, void *opaque)
{
    NetUser *user = opaque;
    UserSocket *socket = g_hash_table_lookup(user->sockets, GINT_TO_POINTER(fd));
    uint32_t asked = (events & SLIRP_POLL_IN ? EPOLLIN : 0) |
                     (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
                     (events & SLIRP_POLL_PRI ? EPOLLPRI : 0);

    if (!socket) {
        socket = g_new0(UserSocket, 1);
        *socket = (UserSocket){ .user = user, .fd = fd };
        g_hash_table_insert(user->sockets, GINT_TO_POINTER(fd), socket);
    }
    socket->seen = true;
    socket->events = 0;
    socket_ask(user, socket, asked);
    g_array_append_val(user->listed, fd);
    return (int)user->listed->len - 1;
}

static int
list_events(int index, void *opaque)
{
    NetUser *user = opaque;
    const UserSocket *socket = NULL;

    if (index >= 0 && (guint)index < user->listed->len)
        socket = g_hash_table_lookup(user->sockets,
                                     GINT_TO_POINTER(g_array_index(user->listed, int, index)));
    return socket ? socket->events : 0;
}

/* Lists the sockets anew; those that the stack does not care for now are watched no more. */
static void
user_list(NetUser *user, bool congested)
{
    GHashTableIter iter;
    gpointer value;
    uint32_t timeout = 60 * 1000;

    g_hash_table_iter_init(&iter, user->sockets);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        ((UserSocket *)value)->seen = false;
    g_array_set_size(user->listed, 0);
    if (!congested)
        slirp_pollfds_fill(user->slirp, &timeout, list_add, user);
    g_hash_table_iter_init(&iter, user->sockets);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        UserSocket *socket = value;

        if (!socket->seen)
            socket_ask(user, socket, 0);
    }
    if (congested)
        io_timer_cancel(user->poll_timer);
    else
        io_timer_set(user->poll_timer, io_clock_ns() + timeout * NS_PER_MS);
}

static void
poll_time(void *opaque)
{
    NetUser *user = opaque;

    user->poll_due = true;
    user_schedule(user);
}

static bool
user_congested(const NetUser *user)
{
    return user->count >= SLOTS_CONGESTED || user->bytes >= BYTES_CONGESTED;
}

/* The end of a turn in which something happened. */
static void
user_work(void *opaque)
{
    NetUser *user = opaque;

    user->work_scheduled = false;
    if (!user->loop)
        return;
    if (user->poll_due && !user_congested(user)) {
        user->poll_due = false;
        slirp_pollfds_poll(user->slirp, 0, list_events, user);
    }
    if (user->count > 0 && user->want)
        net_backend_readable(&user->base, 0);
    if (user->loop)
        user_list(user, user_congested(user));
}

/* ---- the back end ---- */

static void
packet_done(NetUser *user)
{
    bool congested = user_congested(user);

    user->bytes -= user->packets[user->first].len;
    g_clear_pointer(&user->packets[user->first].data, g_free);
    user->first = (user->first + 1) % SLOTS;
    user->count--;
    user->piece = 0;
    if (congested && !user_congested(user))
        user_schedule(user);
}

/* Copies @len bytes to @iov from its byte @at on; what does not fit is cut off. */
static void
scatter(const struct iovec *iov, int n_iov, size_t at, const uint8_t *data, size_t len)
{
    for (int i = 0; i < n_iov && len > 0; i++) {
        size_t piece = at < iov[i].iov_len ? MIN(iov[i].iov_len - at, len) : 0;

        if (piece > 0)
            memcpy((uint8_t *)iov[i].iov_base + at, data, piece);
        at = at < iov[i].iov_len ? 0 : at - iov[i].iov_len;
        data += piece;
        len -= piece;
    }
}

static ssize_t
user_receive(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    NetUser *user = (NetUser *)backend;
    uint8_t header[HEADER_MAX] = { 0 };
    const uint8_t *data;
    size_t len, room = 0;

    (void)queue;
    while (user->count > 0 && user->piece == 0 &&
           !offload_plan(user->packets[user->first].data, user->packets[user->first].len,
                         user->offload, user->mss, &user->plan))
        packet_done(user);
    if (user->count == 0)
        return -EAGAIN;
    data = user->packets[user->first].data;
    len = user->packets[user->first].len;
    if (user->plan.pieces > 1) {
        len = offload_piece(&user->plan, data, len, user->piece, user->cut);
        data = user->cut;
    }
    memcpy(header, user->plan.header, OFFLOAD_HEADER);
    scatter(iov, n_iov, 0, header, user->header_len);
    scatter(iov, n_iov, user->header_len, data, len);
    if (++user->piece == user->plan.pieces)
        packet_done(user);
    for (int i = 0; i < n_iov; i++)
        room += iov[i].iov_len;
    return (ssize_t)MIN(user->header_len + len, room);
}

static ssize_t
user_send(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    NetUser *user = (NetUser *)backend;
    uint8_t header[OFFLOAD_HEADER] = { 0 }, *frame = user->gather + user->header_len;
    size_t len = 0;
    uint16_t mss;

    (void)queue;
    for (int i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > NET_MAX_PACKET - len)
            return -EMSGSIZE;
        memcpy(user->gather + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    if (len < user->header_len)
        return -EINVAL;
    len -= user->header_len;
    if (user->header_len > 0)
        memcpy(header, user->gather, OFFLOAD_HEADER);
    mss = offload_take_mss(header, frame, len, user->offload);
    if (mss > 0 && mss < user->mss)
        user->mss = MAX(mss, MSS_MIN);
    if (offload_complete(header, frame, len) < 0)
        return -EINVAL;
    slirp_input(user->slirp, frame, (int)len);
    user_schedule(user);
    return (ssize_t)(user->header_len + len);
}

static int
user_set_header_len(NetBackend *backend, unsigned len)
{
    NetUser *user = (NetUser *)backend;

    if (len != 0 && len != OFFLOAD_HEADER && len != HEADER_MAX)
        return -EINVAL;
    user->header_len = len;
    if (len == 0)
        user->offload = 0;
    return 0;
}

static int
user_set_offload(NetBackend *backend, unsigned offload)
{
    NetUser *user = (NetUser *)backend;

    user->offload = offload;
    return 0;
}

static void
user_want_packets(NetBackend *backend, unsigned queue, bool want)
{
    NetUser *user = (NetUser *)backend;

    (void)queue;
    if (want && !user->want && user->count > 0)
        user_schedule(user);
    user->want = want;
}

typedef struct {
    NetUser *user;
    IoLoop *loop;
} StartCall;

static void
user_start_call(void *opaque)
{
    const StartCall *call = opaque;
    NetUser *user = call->user;

    user->loop = call->loop;
    user->want = true;
    user->poll_timer = io_timer_new(user->loop, poll_time, user);
    for (guint i = 0; i < user->timers->len; i++) {
        UserTimer *timer = user->timers->pdata[i];

        timer->timer = io_timer_new(user->loop, timer_fired, timer);
        io_timer_set(timer->timer, timer->deadline);
    }
    user_schedule(user);
}

static int
user_start(NetBackend *backend, unsigned queue, IoLoop *loop)
{
    NetUser *user = (NetUser *)backend;
    StartCall call = { .user = user, .loop = loop };

    (void)queue;
    if (user->loop)
        return 0;
    if (!user->cut)
        user->cut = g_malloc(NET_MAX_PACKET);
    if (!user->gather)
        user->gather = g_malloc(NET_MAX_PACKET);
    io_loop_run_sync(loop, user_start_call, &call);
    return 0;
}

static void
user_stop_call(void *opaque)
{
    NetUser *user = opaque;
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, user->sockets);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        io_loop_remove_fd(user->loop, GPOINTER_TO_INT(key));
    g_hash_table_remove_all(user->sockets);
    g_array_set_size(user->listed, 0);
    g_clear_pointer(&user->poll_timer, io_timer_free);
    for (guint i = 0; i < user->timers->len; i++)
        g_clear_pointer(&((UserTimer *)user->timers->pdata[i])->timer, io_timer_free);
    io_loop_cancel(user->loop, user_work, user);
    user->work_scheduled = false;
    user->loop = NULL;
}

static void
user_stop(NetBackend *backend, unsigned queue)
{
    NetUser *user = (NetUser *)backend;

    (void)queue;
    if (user->loop)
        io_loop_run_sync(user->loop, user_stop_call, user);
}

static bool
user_forwards(NetUser *user, const char *text, struct in_addr guest, GError **err)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (unsigned i = 0; lines[i]; i++) {
        UserForward fwd = { 0 };

        if (!user_forward_parse(&user->base, lines[i], &fwd, err))
            return false;
        if (fwd.guest.s_addr == 0)
            fwd.guest = guest;
        if (slirp_add_hostfwd(user->slirp, fwd.udp, fwd.host, fwd.host_port, fwd.guest,
                              fwd.guest_port) < 0)
            return net_backend_error(&user->base, err, VIR_ERR_OPERATION_FAILED,
                                     "hostfwd=%s: the host's port cannot be had (%s)", lines[i],
                                     g_strerror(errno));
    }
    return true;
}

static bool
user_open(NetBackend *backend, GHashTable *props, const NetOpenOps *ops, GError **err)
{
    NetUser *user = (NetUser *)backend;
    const char *forwards = g_hash_table_lookup(props, "hostfwd");
    g_auto(GStrv) search = NULL;
    SlirpConfig config;

    (void)ops;
    backend->caps |= NET_CAP_HEADER;
    user->mss = OFFLOAD_MSS;
    user->timers = g_ptr_array_new();
    user->sockets = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    user->listed = g_array_new(FALSE, FALSE, sizeof(int));
    if (!user_config_parse(backend, props, &config, &search, err))
        return false;
    user->slirp = slirp_new(&config, &user_callbacks, user);
    if (!user->slirp)
        return net_backend_error(backend, err, VIR_ERR_INTERNAL_ERROR,
                                 "libslirp does not take these options");
    return !forwards || user_forwards(user, forwards, config.vdhcp_start, err);
}

static void
user_close(NetBackend *backend)
{
    NetUser *user = (NetUser *)backend;

    if (user->slirp)
        slirp_cleanup(user->slirp);
    g_clear_pointer(&user->timers, g_ptr_array_unref);
    g_clear_pointer(&user->sockets, g_hash_table_unref);
    if (user->listed)
        g_array_unref(user->listed);
    while (user->count > 0)
        packet_done(user);
    g_free(user->cut);
    g_free(user->gather);
}

static char *
user_describe(const NetBackend *backend)
{
    (void)backend;
    return g_strdup("user");
}

static const char *const user_options[] = {
    "net",       "host",    "dns",  "dhcpstart", "restrict",    "hostname",       "domainname",
    "dnssearch", "hostfwd", "ipv4", "ipv6",      "ipv6-prefix", "ipv6-prefixlen", "ipv6-host",
    "ipv6-dns",  NULL,
};

static const char *const user_syscalls[] = {
    "socket",      "connect",     "bind",       "listen",     "accept",   "accept4",
    "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown", "sendto",
    "sendmsg",     "recvfrom",    "recvmsg",    "fcntl",      "close",    "poll",
    "openat",      "newfstatat",  "fstat",      "lseek",      "read",     NULL,
};

const NetBackendClass net_user_class = {
    .type = "user",
    .help = "a router with NAT inside the VMM, no rights needed (libslirp)",
    .options = user_options,
    .size = sizeof(NetUser),
    .syscalls = user_syscalls,
    .open = user_open,
    .close = user_close,
    .describe = user_describe,
    .set_header_len = user_set_header_len,
    .set_offload = user_set_offload,
    .start = user_start,
    .stop = user_stop,
    .want_packets = user_want_packets,
    .receive = user_receive,
    .send = user_send,
};
