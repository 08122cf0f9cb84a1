/* socket.c - character device over a unix or TCP socket: listening, connected, or connecting by
 * itself.
 *
 * One peer at a time: while there is one, others wait in the backlog. Connecting again is left to a
 * process of its own, as the guest's may not connect to anything.
 *
 * Leaves out: TLS, websocket.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/backend.h"
#include "hw/char/connector.h"
#include "hw/char/telnet.h"

#include "util/error.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { REPLY_MAX = 4096 }; /* bytes of protocol kept for a peer that does not read */

typedef struct {
    int listener; /* -1 for a client */
    bool server, connected;
    bool unlink; /* the path was bound here */
    bool own_listener;
    int64_t reconnect; /* seconds, 0: never */
    int connector;     /* with reconnect */
    bool asked;        /* it is connecting */
    struct sockaddr_storage address;
    socklen_t address_len;
    char *shown; /* "unix:/path", "tcp:host:port" */

    int peer; /* the connection; the chardev's */
    bool speaks_telnet;
    Telnet telnet;     /* of this connection */
    GByteArray *reply; /* of the protocol, goes before data */
    bool half;         /* the first of two IACs is written */
} Socket;

/* What the protocol has to say goes out whole, or there is a half in the way. -errno. */
static int
socket_write_reply(Socket *s, int fd)
{
    while (s->reply->len > 0) {
        ssize_t n = write(fd, s->reply->data, s->reply->len);

        if (n < 0)
            return -errno;
        g_byte_array_remove_range(s->reply, 0, (guint)n);
    }
    return 0;
}

/* Data with every IAC (255) doubled; returns how many bytes of it are gone. */
static ssize_t
socket_write_telnet(Socket *s, int fd, const uint8_t *data, size_t len)
{
    static const uint8_t twice[] = { TELNET_IAC, TELNET_IAC };
    const uint8_t *iac = memchr(data, TELNET_IAC, len);
    ssize_t n;

    if (!s->half && socket_write_reply(s, fd) < 0)
        return -1;
    if (iac != data)
        return write(fd, data, iac ? (size_t)(iac - data) : len);
    n = write(fd, twice, s->half ? 1 : 2);
    if (n <= 0)
        return n;
    s->half = !s->half && n == 1;
    return s->half ? 0 : 1;
}

static ssize_t
socket_write(Chardev *chardev, int fd, const uint8_t *data, size_t len)
{
    Socket *s = chardev_state(chardev);

    return s->speaks_telnet ? socket_write_telnet(s, fd, data, len) : write(fd, data, len);
}

static size_t
socket_decode(Chardev *chardev, uint8_t *data, size_t len, size_t *ret_used, bool *ret_break)
{
    Socket *s = chardev_state(chardev);
    size_t n = len;

    *ret_used = len;
    if (!s->speaks_telnet)
        return len;
    n = telnet_decode(&s->telnet, data, len, ret_used, ret_break, s->reply);
    /* What does not fit now goes before the next data. */
    if (!s->half)
        (void)socket_write_reply(s, s->peer);
    /* A peer that asks and never listens. */
    if (s->reply->len > REPLY_MAX)
        g_byte_array_set_size(s->reply, 0);
    return n;
}

static void
socket_set_peer(Chardev *chardev, int fd)
{
    Socket *s = chardev_state(chardev);
    int family = 0, on = 1;
    socklen_t len = sizeof(family);

    s->connected = true;
    s->peer = fd;
    chardev_watch(chardev, -1);
    chardev_set_fds(chardev, fd, fd, true);
    if (s->speaks_telnet) {
        s->telnet = (Telnet){ 0 };
        s->half = false;
        g_byte_array_set_size(s->reply, 0);
        if (s->server)
            telnet_greet(&s->telnet, s->reply);
        (void)socket_write_reply(s, fd);
    }
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family == AF_UNIX)
        chardev_set_fd_passing(chardev, true);
    else
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    chardev_set_open(chardev, true);
}

/* Waits for @events of @fd. What ends the process is blocked in all threads and read by the main
 * loop, which does not run yet: -EINTR when such a signal has come. */
static int
socket_wait(int fd, short events)
{
    struct pollfd p[] = { { fd, events, 0 }, { -1, POLLIN, 0 } };
    sigset_t set;
    int ret;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    p[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (p[1].fd < 0)
        return -errno;
    ret = poll(p, G_N_ELEMENTS(p), -1) < 0 ? -errno : 0;
    if (ret == 0 && p[1].revents)
        ret = -EINTR;
    close(p[1].fd);
    return ret;
}

static int
socket_connect(Socket *s)
{
    bool local = s->address.ss_family == AF_UNIX;
    int fd =
        socket(s->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | (local ? 0 : SOCK_NONBLOCK), 0);
    int status = 0;
    socklen_t len = sizeof(status);

    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&s->address, s->address_len) < 0)
        status = errno;
    if (status == EINPROGRESS) {
        status = -socket_wait(fd, POLLOUT);
        if (status == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &status, &len) < 0)
            status = errno;
    }
    if (status == 0)
        return fd;
    close(fd);
    return -status;
}

static void
socket_try_later(Chardev *chardev)
{
    const Socket *s = chardev_state(chardev);

    if (s->connector >= 0)
        chardev_wake_at(chardev, g_get_monotonic_time() + s->reconnect * G_USEC_PER_SEC);
}

/* The time to connect again has come, or an answer. */
static void
socket_wake_client(Chardev *chardev)
{
    Socket *s = chardev_state(chardev);
    int fd;

    if (!s->asked) {
        s->asked = connector_ask(s->connector);
        if (s->asked)
            chardev_watch(chardev, s->connector);
        return;
    }
    fd = connector_take(s->connector);
    if (fd == -EAGAIN)
        return;
    s->asked = false;
    chardev_watch(chardev, -1);
    if (fd >= 0)
        socket_set_peer(chardev, fd);
    else
        socket_try_later(chardev);
}

static void
socket_wake(Chardev *chardev)
{
    Socket *s = chardev_state(chardev);
    int fd;

    if (s->connected)
        return;
    if (!s->server) {
        socket_wake_client(chardev);
        return;
    }
    fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0)
        socket_set_peer(chardev, fd);
}

static void
socket_hung_up(Chardev *chardev)
{
    Socket *s = chardev_state(chardev);

    s->connected = false;
    if (s->server)
        chardev_watch(chardev, s->listener);
    else
        socket_try_later(chardev);
}

static bool
socket_unix_address(Chardev *chardev, const char *path, GError **err)
{
    Socket *s = chardev_state(chardev);
    struct sockaddr_un *address = (struct sockaddr_un *)&s->address;
    bool abstract;

    if (!chardev_option_bool(chardev, "abstract", false, &abstract, err))
        return false;
    if (strlen(path) + 1 > sizeof(address->sun_path) - 1)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "path '%s' is longer than the %zu bytes a unix socket allows", path,
                             sizeof(address->sun_path) - 2);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path + abstract, path, strlen(path));
    s->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
    s->shown = g_strdup_printf("unix:%s", path);
    s->unlink = !abstract;
    return true;
}

static bool
socket_tcp_address(Chardev *chardev, GError **err)
{
    Socket *s = chardev_state(chardev);
    const char *host = chardev_option(chardev, "host"), *port = chardev_option(chardev, "port");
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = s->server ? AI_PASSIVE : 0 };
    struct addrinfo *list = NULL;
    int r;

    if (!port)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "a socket needs path=, fd= or port=");
    if (!chardev_check_port(chardev, port, err))
        return false;
    r = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
    if (r != 0)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "cannot resolve '%s', port '%s': %s", host ? host : "", port,
                             gai_strerror(r));
    memcpy(&s->address, list->ai_addr, list->ai_addrlen);
    s->address_len = list->ai_addrlen;
    s->shown =
        g_strdup_printf("%s:%s:%s", s->speaks_telnet ? "telnet" : "tcp", host ? host : "", port);
    freeaddrinfo(list);
    return true;
}

static bool
socket_listen(Chardev *chardev, GError **err)
{
    Socket *s = chardev_state(chardev);
    int on = 1, fd = socket(s->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "chardev '%s': no socket",
                                    chardev_id(chardev));
    s->listener = fd;
    s->own_listener = true;
    if (s->address.ss_family == AF_UNIX && s->unlink)
        (void)unlink(((const struct sockaddr_un *)&s->address)->sun_path);
    else
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&s->address, s->address_len) < 0 || listen(fd, 1) < 0) {
        s->unlink = false;
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "chardev '%s': cannot listen on %s", chardev_id(chardev),
                                    s->shown);
    }
    return true;
}

/* The descriptor is the chardev's from here on. */
static bool
socket_open_fd(Chardev *chardev, int fd, GError **err)
{
    Socket *s = chardev_state(chardev);
    int listening = 0;
    socklen_t len = sizeof(listening);

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        close(fd);
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "descriptor %d is not a socket", fd);
    }
    if (listening != s->server) {
        close(fd);
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "descriptor %d is a %s socket, which needs server=%s", fd,
                             listening ? "listening" : "connected", listening ? "on" : "off");
    }
    s->shown = g_strdup_printf("fd:%d", fd);
    if (s->server) {
        s->listener = fd;
        s->own_listener = true;
    } else {
        socket_set_peer(chardev, fd);
    }
    return true;
}

static bool
socket_begin(Chardev *chardev, bool wait, GError **err)
{
    Socket *s = chardev_state(chardev);
    int fd, ret;

    if (s->server) {
        ret = wait ? socket_wait(s->listener, POLLIN) : 0;
        if (ret < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                        "chardev '%s': waiting for a client", chardev_id(chardev));
        chardev_watch(chardev, s->listener);
        if (wait)
            socket_wake(chardev);
        return true;
    }
    if (s->connected)
        return true;
    if (s->reconnect > 0) {
        s->connector = connector_start(&s->address, s->address_len);
        if (s->connector < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, s->connector,
                                        "chardev '%s': no process to connect again",
                                        chardev_id(chardev));
    }
    fd = socket_connect(s);
    if (fd >= 0)
        socket_set_peer(chardev, fd);
    else if (s->reconnect > 0)
        socket_try_later(chardev);
    else
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, fd,
                                    "chardev '%s': cannot connect to %s", chardev_id(chardev),
                                    s->shown);
    return true;
}

static bool
socket_open(Chardev *chardev, GError **err)
{
    Socket *s = chardev_state(chardev);
    const char *path = chardev_option(chardev, "path");
    int64_t fd;
    bool wait, delay;

    s->listener = s->connector = -1;
    if (!chardev_option_bool(chardev, "server", false, &s->server, err) ||
        !chardev_option_bool(chardev, "wait", s->server, &wait, err) ||
        !chardev_option_bool(chardev, "nodelay", true, &delay, err) ||
        !chardev_option_bool(chardev, "telnet", false, &s->speaks_telnet, err) ||
        !chardev_option_number(chardev, "reconnect", 0, 0, UINT32_MAX, &s->reconnect, err) ||
        !chardev_option_number(chardev, "fd", -1, 0, INT_MAX, &fd, err))
        return false;
    if (s->speaks_telnet)
        s->reply = g_byte_array_new();
    if (s->reconnect > 0 && (s->server || fd >= 0))
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "reconnect= is for a client that connects by itself");
    if (fd >= 0) {
        if (!socket_open_fd(chardev, (int)fd, err))
            return false;
    } else {
        if (!(path ? socket_unix_address(chardev, path, err) : socket_tcp_address(chardev, err)))
            return false;
        if (s->server && !socket_listen(chardev, err))
            return false;
    }
    return socket_begin(chardev, s->server && wait, err);
}

static void
socket_close(Chardev *chardev)
{
    Socket *s = chardev_state(chardev);

    chardev_watch(chardev, -1);
    if (s->connector >= 0)
        close(s->connector);
    if (s->own_listener)
        close(s->listener);
    if (s->own_listener && s->unlink)
        (void)unlink(((const struct sockaddr_un *)&s->address)->sun_path);
    g_free(s->shown);
    g_clear_pointer(&s->reply, g_byte_array_unref);
}

static char *
socket_filename(Chardev *chardev)
{
    const Socket *s = chardev_state(chardev);

    return g_strdup_printf("%s%s%s", s->connected ? "" : "disconnected:", s->shown,
                           s->server ? ",server=on" : "");
}

static const char *const socket_options[] = { "fd",        "path",   "abstract", "host",
                                              "port",      "server", "wait",     "nodelay",
                                              "reconnect", "telnet", NULL };

const ChardevBackend chardev_socket = {
    .name = "socket",
    .help = "a unix (path=), TCP (host=, port=) or given (fd=) socket; server=on listens, "
            "telnet=on speaks that",
    .options = socket_options,
    .state_size = sizeof(Socket),
    .open = socket_open,
    .close = socket_close,
    .hung_up = socket_hung_up,
    .wake = socket_wake,
    .decode = socket_decode,
    .write = socket_write,
    .filename = socket_filename,
};
