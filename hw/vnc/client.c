/* client.c - one connection: its bytes in and out, through TLS and WebSocket when there.
 *
 * A connection that has failed is only marked; its own event source frees it, so that nobody up the
 * stack holds a client that is gone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hw/vnc/private.h"

typedef struct {
    GSource source;
    VncClient *client;
} ClientSource;

enum {
    READ_SIZE = 16384,
    READ_TURNS = 8, /* reads before other work of the main loop has its turn */
    TLS_RECORD = 16384,
    WEB_FRAME = 65536,
};

/* ---- out ---- */

void
vnc_put(VncClient *client, const void *data, size_t len)
{
    g_byte_array_append(client->out, data, (guint)len);
}

void
vnc_put8(VncClient *client, uint8_t value)
{
    vnc_put(client, &value, 1);
}

void
vnc_put16(VncClient *client, uint16_t value)
{
    const uint8_t wire[] = { (uint8_t)(value >> 8), (uint8_t)value };

    vnc_put(client, wire, sizeof(wire));
}

void
vnc_put32(VncClient *client, uint32_t value)
{
    const uint8_t wire[] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                             (uint8_t)value };

    vnc_put(client, wire, sizeof(wire));
}

uint8_t *
vnc_put_room(VncClient *client, size_t len)
{
    guint at = client->out->len;

    g_byte_array_set_size(client->out, at + (guint)len);
    return client->out->data + at;
}

size_t
vnc_client_pending(const VncClient *client)
{
    return client->out->len - client->out_at + client->wire->len - client->wire_at;
}

bool
vnc_client_may_answer(VncClient *client)
{
    if (++client->answers <= VNC_ANSWERS_MAX)
        return true;
    vnc_client_close(client);
    return false;
}

static void
client_set_events(VncClient *client)
{
    GIOCondition events = G_IO_IN | G_IO_HUP | G_IO_ERR;

    if (!client->source)
        return;
    if (client->tls_state == VNC_TLS_HANDSHAKE ? vnc_tls_wants_write(client)
                                               : vnc_client_pending(client) > 0)
        events |= G_IO_OUT;
    g_source_modify_unix_fd(client->source, client->tag, events);
}

void
vnc_client_close(VncClient *client)
{
    client->closing = true;
    if (client->source)
        g_source_set_ready_time(client->source, 0);
}

static ssize_t
client_send(VncClient *client, const uint8_t *data, size_t len)
{
    ssize_t n;

    if (client->tls_state == VNC_TLS_ON)
        return vnc_tls_send(client, data, MIN(len, TLS_RECORD));
    do
        n = send(client->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Sends of @buf from *at on; false when the peer takes no more now. */
static bool
client_drain(VncClient *client, GByteArray *buf, size_t *at)
{
    while (*at < buf->len) {
        ssize_t n = client_send(client, buf->data + *at, buf->len - *at);

        if (n <= 0) {
            if (n != -EAGAIN && n != -EWOULDBLOCK)
                vnc_client_close(client);
            return false;
        }
        *at += (size_t)n;
    }
    /* A large picture has passed: give its memory back. */
    if (buf->len > VNC_OUT_FULL) {
        g_free(g_byte_array_steal(buf, NULL));
    } else {
        g_byte_array_set_size(buf, 0);
    }
    *at = 0;
    return true;
}

/* Takes RFB bytes into frames. */
static void
client_frame(VncClient *client)
{
    while (client->out_at < client->out->len) {
        size_t n = MIN(client->out->len - client->out_at, WEB_FRAME);
        uint8_t head[10];
        size_t len = vnc_web_head(head, 2, n);

        g_byte_array_append(client->wire, head, (guint)len);
        g_byte_array_append(client->wire, client->out->data + client->out_at, (guint)n);
        client->out_at += n;
    }
    g_byte_array_set_size(client->out, 0);
    client->out_at = 0;
}

void
vnc_client_flush(VncClient *client)
{
    bool empty;

    if (client->fake) {
        g_byte_array_set_size(client->out, 0);
        client->out_at = 0;
        client->answers = 0;
        return;
    }
    if (client->closing || client->tls_state == VNC_TLS_HANDSHAKE)
        return;
    empty = client_drain(client, client->wire, &client->wire_at);
    if (empty && client->web.on) {
        if (client->web.ready && client->out->len > 0) {
            client_frame(client);
            empty = client_drain(client, client->wire, &client->wire_at);
        }
    } else if (empty) {
        empty = client_drain(client, client->out, &client->out_at);
    }
    if (empty)
        client->answers = 0;
    if (empty && client->close_sent)
        vnc_client_close(client);
    client_set_events(client);
}

/* ---- in ---- */

void
vnc_client_expect(VncClient *client, size_t bytes, VncHandler handler)
{
    client->expect = bytes;
    client->handle = handler;
}

static void
client_parse(VncClient *client)
{
    size_t at = 0;

    while (!client->closing && !client->close_sent) {
        size_t left = client->in->len - at, used = client->expect, more;

        if (client->skip > 0) {
            size_t n = MIN(client->skip, left);

            client->skip -= (uint32_t)n;
            at += n;
            if (client->skip > 0)
                break;
            continue;
        }
        if (left < used)
            break;
        more = client->handle(client, client->in->data + at);
        if (more > 0) {
            if (used + more > VNC_IN_MAX)
                vnc_client_close(client);
            client->expect = used + more;
            continue;
        }
        at += used;
        if (client->tls_state == VNC_TLS_HANDSHAKE) {
            /* What was said in the clear before must not count as said in secret. */
            if (at < client->in->len)
                vnc_client_close(client);
            break;
        }
    }
    g_byte_array_remove_range(client->in, 0, (guint)MIN(at, client->in->len));
}

static bool
client_take(VncClient *client, const uint8_t *data, size_t len)
{
    /* Nobody listens any more; what comes must not pile up. */
    if (client->close_sent)
        return true;
    if (client->web.on) {
        if (!vnc_web_take(client, data, len))
            vnc_client_close(client);
    } else {
        g_byte_array_append(client->in, data, (guint)len);
    }
    if (!client->closing)
        client_parse(client);
    return !client->closing;
}

static void
client_receive(VncClient *client)
{
    uint8_t buf[READ_SIZE];

    for (unsigned turn = 0; turn < READ_TURNS; turn++) {
        ssize_t n;

        if (client->tls_state == VNC_TLS_HANDSHAKE)
            return;
        if (client->tls_state == VNC_TLS_ON) {
            n = vnc_tls_recv(client, buf, sizeof(buf));
        } else {
            do
                n = recv(client->fd, buf, sizeof(buf), MSG_DONTWAIT);
            while (n < 0 && errno == EINTR);
            n = n < 0 ? -errno : n;
        }
        if (n == -EAGAIN || n == -EWOULDBLOCK)
            return;
        if (n <= 0) {
            vnc_client_close(client);
            return;
        }
        if (!client_take(client, buf, (size_t)n))
            return;
    }
    /* TLS may hold what the socket no longer shows. */
    g_source_set_ready_time(client->source, 0);
}

static gboolean
client_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    VncClient *client = ((ClientSource *)source)->client;
    GIOCondition ready = g_source_query_unix_fd(source, client->tag);

    (void)callback;
    (void)data;
    g_source_set_ready_time(source, -1);
    if (!client->closing && client->tls_state == VNC_TLS_HANDSHAKE)
        vnc_tls_step(client);
    if (!client->closing && ((ready & ~G_IO_OUT) || client->tls_state == VNC_TLS_ON))
        client_receive(client);
    if (!client->closing && client->judged_at && g_get_monotonic_time() >= client->judged_at)
        vnc_auth_judge(client);
    if (!client->closing)
        vnc_client_flush(client);
    if (!client->closing)
        vnc_update(client);
    if (client->closing) {
        vnc_server_client_gone(client->server, client);
        return G_SOURCE_REMOVE;
    }
    client_set_events(client);
    if (client->judged_at)
        g_source_set_ready_time(source, client->judged_at);
    return G_SOURCE_CONTINUE;
}

/* ---- life ---- */

static void
client_name_peer(VncClient *client)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(address);
    char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";

    if (getpeername(client->fd, (struct sockaddr *)&address, &len) == 0 &&
        (address.ss_family == AF_INET || address.ss_family == AF_INET6))
        getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    client->host = g_strdup(host);
    client->service = g_strdup(service);
    client->family = g_strdup(address.ss_family == AF_INET    ? "ipv4"
                              : address.ss_family == AF_INET6 ? "ipv6"
                              : address.ss_family == AF_UNIX  ? "unix"
                                                              : "unknown");
}

static VncClient *
client_new(VncServer *server, int fd)
{
    VncClient *client = g_new0(VncClient, 1);

    client->server = server;
    client->fd = fd;
    client->in = g_byte_array_new();
    client->out = g_byte_array_new();
    client->wire = g_byte_array_new();
    client->web.raw = g_byte_array_new();
    client->web.control = g_byte_array_new();
    client->format = vnc_native_format;
    client->encoding = RFB_ENCODING_RAW;
    client->level = 1;
    client_name_peer(client);
    g_ptr_array_add(server->clients, client);
    return client;
}

VncClient *
vnc_client_new(VncServer *server, int fd, bool websocket, bool skip_auth)
{
    static GSourceFuncs funcs = { .dispatch = client_dispatch };
    VncClient *client = client_new(server, fd);

    client->skip_auth = skip_auth;
    client->web.on = websocket;
    client->source = g_source_new(&funcs, sizeof(ClientSource));
    ((ClientSource *)client->source)->client = client;
    client->tag = g_source_add_unix_fd(client->source, fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
    g_source_attach(client->source, server->machine->context);
    vnc_server_event(server, client, "VNC_CONNECTED");
    if (websocket && server->tls) {
        client->after_tls = vnc_auth_begin;
        if (!vnc_tls_begin(client))
            vnc_client_close(client);
        return client;
    }
    vnc_auth_begin(client);
    vnc_client_flush(client);
    return client;
}

VncClient *
vnc_server_fake_client(VncServer *server, int fd)
{
    VncClient *client = client_new(server, fd);

    client->fake = true;
    client->minor = 8;
    vnc_session_begin(client);
    return client;
}

bool
vnc_client_feed(VncClient *client, const uint8_t *data, size_t len)
{
    return client_take(client, data, len);
}

void
vnc_client_free(VncClient *client)
{
    if (client->source) {
        g_source_destroy(client->source);
        g_source_unref(client->source);
    }
    vnc_release_input(client);
    vnc_encode_free(client);
    if (client->tls)
        gnutls_deinit(client->tls);
    if (client->fd >= 0)
        close(client->fd);
    g_byte_array_unref(client->in);
    g_byte_array_unref(client->out);
    g_byte_array_unref(client->wire);
    g_byte_array_unref(client->web.raw);
    g_byte_array_unref(client->web.control);
    g_free(client->dirty);
    g_free(client->host);
    g_free(client->service);
    g_free(client->family);
    g_free(client->x509_name);
    g_free(client);
}
