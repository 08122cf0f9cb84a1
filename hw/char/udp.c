/* udp.c - a character device of datagrams: each write is one, what one holds is input (RFC 768).
 *
 * Input goes through a pipe, so that a datagram may be read by pieces; what does not fit is lost,
 * as datagrams are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/backend.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"

enum { DATAGRAM_MAX = 65536 };

typedef struct {
    int socket, pipe; /* the end that is written to; -1: none */
} Udp;

/* A socket for the first address that does; @remote connects it, else it is bound. */
static int
udp_socket(const struct addrinfo *local, const struct addrinfo *remote)
{
    int fd = -1, saved = EADDRNOTAVAIL;

    for (const struct addrinfo *to = remote; to && fd < 0; to = to->ai_next) {
        const struct addrinfo *from = local;

        while (from && from->ai_family != to->ai_family)
            from = from->ai_next;
        if (local && !from)
            continue;
        fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && ((from && bind(fd, from->ai_addr, from->ai_addrlen) < 0) ||
                        connect(fd, to->ai_addr, to->ai_addrlen) < 0)) {
            saved = errno;
            close(fd);
            fd = -1;
        }
    }
    errno = saved;
    return fd;
}

static bool
udp_resolve(Chardev *chardev, const char *host, const char *port, struct addrinfo **ret,
            GError **err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE };
    int r;

    if (!chardev_check_port(chardev, port, err))
        return false;
    r = getaddrinfo(host && *host ? host : NULL, port, &hints, ret);
    return r == 0 ||
           chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED, "address '%s', port '%s': %s",
                         host ? host : "", port, gai_strerror(r));
}

static bool
udp_connect(Chardev *chardev, Udp *udp, GError **err)
{
    const char *host = chardev_option(chardev, "host"), *port = chardev_option(chardev, "port");
    const char *local = chardev_option(chardev, "localaddr");
    const char *local_port = chardev_option(chardev, "localport");
    struct addrinfo *from = NULL, *to = NULL;
    bool ok;

    if (!port)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED, "udp needs port=");
    ok = udp_resolve(chardev, host && *host ? host : "localhost", port, &to, err) &&
         ((!local && !local_port) ||
          udp_resolve(chardev, local, local_port ? local_port : "0", &from, err));
    if (ok) {
        udp->socket = udp_socket(from, to);
        if (udp->socket < 0)
            ok = kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "chardev '%s': udp",
                                      chardev_id(chardev));
    }
    g_clear_pointer(&from, freeaddrinfo);
    g_clear_pointer(&to, freeaddrinfo);
    return ok;
}

static bool
udp_open(Chardev *chardev, GError **err)
{
    Udp *udp = chardev_state(chardev);
    int pipes[2], out;

    udp->socket = udp->pipe = -1;
    if (!udp_connect(chardev, udp, err))
        return false;
    out = fcntl(udp->socket, F_DUPFD_CLOEXEC, 3);
    if (out < 0 || pipe2(pipes, O_CLOEXEC | O_NONBLOCK) < 0) {
        int saved = errno;

        if (out >= 0)
            close(out);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, saved, "chardev '%s': udp",
                                    chardev_id(chardev));
    }
    udp->pipe = pipes[1];
    chardev_set_fds(chardev, pipes[0], out, true);
    chardev_watch(chardev, udp->socket);
    chardev_set_open(chardev, true);
    return true;
}

static void
udp_close(Chardev *chardev)
{
    Udp *udp = chardev_state(chardev);

    chardev_watch(chardev, -1);
    if (udp->socket >= 0)
        close(udp->socket);
    if (udp->pipe >= 0)
        close(udp->pipe);
    udp->socket = udp->pipe = -1;
}

static void
udp_wake(Chardev *chardev)
{
    const Udp *udp = chardev_state(chardev);
    g_autofree uint8_t *datagram = g_malloc(DATAGRAM_MAX);
    ssize_t n = read(udp->socket, datagram, DATAGRAM_MAX);

    /* an error tells that nobody was there for what was sent */
    if (n > 0 && write(udp->pipe, datagram, (size_t)n) < n)
        return;
}

static char *
udp_filename(Chardev *chardev)
{
    const char *host = chardev_option(chardev, "host");

    return g_strdup_printf("udp:%s:%s", host && *host ? host : "localhost",
                           chardev_option(chardev, "port"));
}

static const char *const udp_options[] = { "host", "port", "localaddr", "localport", NULL };

const ChardevBackend chardev_udp = {
    .name = "udp",
    .help = "datagrams: host=, port=, localaddr=, localport=",
    .options = udp_options,
    .state_size = sizeof(Udp),
    .open = udp_open,
    .close = udp_close,
    .wake = udp_wake,
    .filename = udp_filename,
};
