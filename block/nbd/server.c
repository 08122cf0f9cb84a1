/* server.c - an NBD server: its exports and the life of a connection. See server.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/server_private.h"

#include <errno.h>
#include <unistd.h>

#include "util/error.h"

void
nbd_export_free(NbdExport *export_)
{
    if (!export_)
        return;
    g_free(export_->name);
    g_free(export_->description);
    g_strfreev(export_->bitmaps);
    g_free(export_->holders);
    block_node_unref(export_->node);
    g_free(export_);
}

static void
export_destroy(void *export_)
{
    nbd_export_free(export_);
}

NbdServer *
nbd_server_new(void)
{
    NbdServer *server = g_new0(NbdServer, 1);

    server->exports = g_ptr_array_new_with_free_func(export_destroy);
    server->streams = g_ptr_array_new();
    g_mutex_init(&server->lock);
    return server;
}

void
nbd_server_free(NbdServer *server)
{
    if (!server)
        return;
    g_ptr_array_unref(server->exports);
    g_ptr_array_unref(server->streams);
    if (server->tls)
        server->tls->free(server->tls);
    g_mutex_clear(&server->lock);
    g_free(server);
}

void
nbd_server_add_export(NbdServer *server, NbdExport *export_)
{
    g_ptr_array_add(server->exports, export_);
}

void
nbd_server_set_tls(NbdServer *server, NbdTls *tls)
{
    server->tls = tls;
}

uint16_t
nbd_export_flags(const NbdExport *export_, bool structured)
{
    unsigned flags = NBD_HAS_FLAGS | NBD_SEND_FLUSH | NBD_SEND_FUA | NBD_SEND_CACHE;

    /* also where nothing is written: a client that is told so waits for a second connection */
    if (export_->multi_conn)
        flags |= NBD_CAN_MULTI_CONN;
    flags |= export_->read_only ? NBD_READ_ONLY : NBD_SEND_TRIM | NBD_SEND_WRITE_ZEROES;
    return (uint16_t)(flags | (structured ? (unsigned)NBD_SEND_DF : 0));
}

static bool
connection_add(NbdConnection *c)
{
    NbdServer *server = c->server;
    bool ended;

    g_mutex_lock(&server->lock);
    ended = server->ended;
    if (!ended)
        g_ptr_array_add(server->streams, c->stream);
    g_mutex_unlock(&server->lock);
    return !ended;
}

static void
connection_remove(NbdConnection *c)
{
    g_mutex_lock(&c->server->lock);
    g_ptr_array_remove_fast(c->server->streams, c->stream);
    g_mutex_unlock(&c->server->lock);
}

bool
nbd_server_serve(NbdServer *server, int fd, GError **err)
{
    NbdConnection c = { .server = server, .stream = nbd_stream_new(fd) };
    int r = 0;

    c.contexts = g_array_new(FALSE, TRUE, sizeof(NbdContext));
    c.extra = g_ptr_array_new();
    g_mutex_init(&c.read_lock);
    g_mutex_init(&c.write_lock);
    g_mutex_init(&c.budget_lock);
    g_cond_init(&c.budget_grew);
    if (connection_add(&c)) {
        r = nbd_server_negotiate(&c, err);
        if (r > 0) {
            nbd_server_transmit(&c);
            r = c.orderly ? 0 : -EPIPE;
            if (r < 0)
                kiln_error_set(err, VIR_ERR_RPC, "the client of export '%s' went without a word",
                               c.export_->name);
        }
        connection_remove(&c);
    }
    g_mutex_clear(&c.read_lock);
    g_mutex_clear(&c.write_lock);
    g_mutex_clear(&c.budget_lock);
    g_cond_clear(&c.budget_grew);
    g_ptr_array_unref(c.extra);
    g_array_unref(c.contexts);
    nbd_stream_free(c.stream);
    return r >= 0;
}

void
nbd_server_end(NbdServer *server)
{
    g_mutex_lock(&server->lock);
    server->ended = true;
    for (guint i = 0; i < server->streams->len; i++)
        nbd_stream_end(g_ptr_array_index(server->streams, i));
    g_mutex_unlock(&server->lock);
}
