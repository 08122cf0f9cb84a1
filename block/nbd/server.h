/* server.h - an NBD server: exports, and the connections that use them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_SERVER_H
#define KILN_BLOCK_NBD_SERVER_H

#include "block/image.h"
#include "block/nbd/stream.h"

typedef struct NbdServer NbdServer;

typedef struct {
    char *name;        /* "" is the default export */
    char *description; /* NULL for none */
    BlockNode *node;
    bool read_only;
    bool write_through;    /* whatever is written is durable when it is answered */
    bool multi_conn;       /* several clients at once, which may rely on each other's flushes */
    bool allocation_depth; /* offers qemu:allocation-depth */
    char **bitmaps;        /* offered as qemu:dirty-bitmap:NAME; NULL for none */
    BlockNode **holders;   /* of each bitmap: the node, or one of the chain below it */
} NbdExport;

void nbd_export_free(NbdExport *export_);

NbdServer *nbd_server_new(void);
/* Ends all connections; nbd_server_serve() must have returned everywhere. */
void nbd_server_free(NbdServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdServer, nbd_server_free)

/* Takes @export_. Before the first connection. */
void nbd_server_add_export(NbdServer *server, NbdExport *export_);
/* Asks every client for TLS with @tls, which the server takes. Before the first connection. */
void nbd_server_set_tls(NbdServer *server, NbdTls *tls);

/* Serves the client at the other end of @fd (taken) until it goes, with threads of its own as its
 * requests need them. Any thread; several at once. False with @err when the connection did not come
 * to an orderly end; every acknowledged write is then done all the same. */
bool nbd_server_serve(NbdServer *server, int fd, GError **err);
/* Makes every nbd_server_serve() return soon. Any thread. */
void nbd_server_end(NbdServer *server);

#endif
