/* migrate_uri.c - where a guest that comes from another host is waited for, and how it is reached.
 *
 * tcp://HOST[:PORT] (also tcp:HOST:PORT, as older libvirts wrote it) with ports 49152 to 49215, and
 * unix:///PATH. Left out: RDMA, TLS.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/domain/migrate.h"
#include "util/error.h"

enum { PORT_FIRST = 49152, PORT_LAST = 49215 };

typedef struct {
    char *host, *path; /* one of them */
    unsigned port;     /* 0: none given */
} MigrateUri;

static void
uri_clear(MigrateUri *uri)
{
    g_free(uri->host);
    g_free(uri->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MigrateUri, uri_clear)

static bool
uri_bad(const char *text, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "'%s' is no address for a migration: tcp://HOST[:PORT] or unix:///PATH",
                          text);
}

static bool
uri_parse(const char *text, MigrateUri *ret, GError **err)
{
    const char *rest, *end, *port = NULL;
    guint64 number = 0;

    if (g_str_has_prefix(text, "unix://") && text[7] == '/' &&
        strlen(text + 7) < sizeof(((struct sockaddr_un *)0)->sun_path)) {
        ret->path = g_strdup(text + 7);
        return true;
    }
    if (!g_str_has_prefix(text, "tcp:"))
        return strchr(text, ':') && !g_str_has_prefix(text, "unix:")
                   ? kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                                    "migration to '%s' is not offered: use tcp://HOST[:PORT] or "
                                    "unix:///PATH",
                                    text)
                   : uri_bad(text, err);
    rest = text + strlen("tcp:");
    if (g_str_has_prefix(rest, "//"))
        rest += 2;
    end = rest + strcspn(rest, "/?#");
    if (*rest == '[') {
        const char *close = memchr(rest, ']', (size_t)(end - rest));

        if (!close)
            return uri_bad(text, err);
        ret->host = g_strndup(rest + 1, (gsize)(close - rest - 1));
        port = close + 1 < end && close[1] == ':' ? close + 2 : NULL;
        if (!port && close + 1 != end)
            return uri_bad(text, err);
    } else {
        const char *colon = memchr(rest, ':', (size_t)(end - rest));

        ret->host = g_strndup(rest, (gsize)((colon ? colon : end) - rest));
        port = colon ? colon + 1 : NULL;
    }
    if (port) {
        g_autofree char *digits = g_strndup(port, (gsize)(end - port));

        if (!g_ascii_string_to_unsigned(digits, 10, 1, 65535, &number, NULL))
            return uri_bad(text, err);
    }
    ret->port = (unsigned)number;
    return *ret->host || uri_bad(text, err);
}

/* ---- waiting ---- */

static int
listen_at(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    int error;

    if (fd < 0)
        return -errno;
    /* one that is accepted has it too: a source that is gone is noticed */
    if (address->sa_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    }
    if (bind(fd, address, len) == 0 && listen(fd, 1) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

static int
listen_port(const char *address, unsigned port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    g_autofree char *service = g_strdup_printf("%u", port);
    struct addrinfo *list = NULL;
    int fd;

    if (getaddrinfo(address, service, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    fd = listen_at(list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return fd;
}

/* At all addresses: of IPv6, which takes those of IPv4 too, where the host has it. */
static int
listen_everywhere(unsigned port)
{
    int fd = listen_port("::", port);

    return fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL ? listen_port("0.0.0.0", port) : fd;
}

static int
listen_tcp(const char *address, unsigned *port, GError **err)
{
    unsigned from = *port ? *port : PORT_FIRST, to = *port ? *port : PORT_LAST;
    int fd = -EADDRINUSE;

    for (unsigned n = from; n <= to && fd == -EADDRINUSE; n++) {
        fd = address ? listen_port(address, n) : listen_everywhere(n);
        *port = n;
    }
    if (fd >= 0)
        return fd;
    kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, fd,
                         "cannot wait for the guest at '%s', ports %u to %u",
                         address ? address : "all addresses", from, to);
    return -1;
}

static int
listen_unix(const char *path, GError **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    fd = listen_at((struct sockaddr *)&address, sizeof(address));
    if (fd >= 0)
        return fd;
    kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, fd, "cannot wait for the guest at '%s'",
                         path);
    return -1;
}

/* By which name the source reaches this host. */
static char *
own_name(GError **err)
{
    char name[256] = "";

    if (gethostname(name, sizeof(name) - 1) == 0 && *name && strcmp(name, "localhost") != 0 &&
        !g_str_has_prefix(name, "localhost."))
        return g_strdup(name);
    kiln_error_set(
        err, VIR_ERR_INTERNAL_ERROR,
        "hostname on destination resolved to localhost, but migration requires an FQDN: "
        "give this host a name, or say where it is reached (--migrateuri tcp://ADDRESS)");
    return NULL;
}

int
migrate_listen(const char *wanted, const char *listen_address, char **ret_uri, GError **err)
{
    g_auto(MigrateUri) uri = { .port = 0 };
    int fd;

    if (wanted ? !uri_parse(wanted, &uri, err) : !(uri.host = own_name(err)))
        return -1;
    if (uri.path) {
        fd = listen_unix(uri.path, err);
        if (fd >= 0)
            *ret_uri = g_strdup(wanted);
        return fd;
    }
    fd = listen_tcp(listen_address, &uri.port, err);
    if (fd >= 0)
        *ret_uri = g_strdup_printf(strchr(uri.host, ':') ? "tcp:[%s]:%u" : "tcp:%s:%u", uri.host,
                                   uri.port);
    return fd;
}

/* ---- reaching ---- */

static int
connect_to(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, error;

    if (fd < 0)
        return -errno;
    if (connect(fd, address, len) == 0) {
        if (address->sa_family != AF_UNIX) {
            setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
        return fd;
    }
    error = -errno;
    close(fd);
    return error;
}

static int
connect_tcp(const MigrateUri *uri)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    g_autofree char *service = g_strdup_printf("%u", uri->port);
    struct addrinfo *list = NULL;
    int fd = -EHOSTUNREACH;

    if (getaddrinfo(uri->host, service, &hints, &list) != 0)
        return -EHOSTUNREACH;
    for (const struct addrinfo *i = list; i && fd < 0; i = i->ai_next)
        fd = connect_to(i->ai_addr, i->ai_addrlen);
    freeaddrinfo(list);
    return fd;
}

int
migrate_connect(const char *text, GError **err)
{
    g_auto(MigrateUri) uri = { .port = 0 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (!uri_parse(text, &uri, err))
        return -1;
    if (uri.host && !uri.port) {
        uri_bad(text, err);
        return -1;
    }
    if (uri.path) {
        g_strlcpy(address.sun_path, uri.path, sizeof(address.sun_path));
        fd = connect_to((struct sockaddr *)&address, sizeof(address));
    } else {
        fd = connect_tcp(&uri);
    }
    if (fd >= 0)
        return fd;
    kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, fd, "unable to connect to server at '%s'",
                         text);
    return -1;
}
