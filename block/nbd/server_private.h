/* server_private.h - inside of the NBD server: one connection.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_SERVER_PRIVATE_H
#define KILN_BLOCK_NBD_SERVER_PRIVATE_H

#include "block/nbd/nbd.h"
#include "block/nbd/server.h"

typedef enum {
    NBD_CONTEXT_IS_ALLOCATION,
    NBD_CONTEXT_IS_DEPTH,
    NBD_CONTEXT_IS_BITMAP
} NbdContextKind;

typedef struct {
    uint32_t id;
    NbdContextKind kind;
    unsigned bitmap; /* which of the export */
} NbdContext;

struct NbdServer {
    GPtrArray *exports; /* of NbdExport */
    NbdTls *tls;
    GMutex lock;
    GPtrArray *streams; /* of NbdStream, of connections being served; lock */
    bool ended;         /* lock */
};

typedef struct {
    NbdServer *server;
    NbdStream *stream;
    bool structured;
    NbdExport *export_;
    GArray *contexts; /* of NbdContext, selected by the client */

    /* Threads of one connection take turns at reading: who has the read lock reads one request,
     * lets the next thread read, does the request and writes its reply. */
    GMutex read_lock, write_lock;
    bool ended;       /* read lock */
    bool orderly;     /* read lock: the client said that it goes */
    gint at_read;     /* atomic: threads that read or wait to */
    GPtrArray *extra; /* read lock: of GThread, beside the first */
    /* Bytes that large requests of this client have for buffers; the lock is a leaf. */
    GMutex budget_lock;
    GCond budget_grew;
    size_t budget_used;
} NbdConnection;

/* Everything before the first command: 1 to go on with commands, 0 when the client only asked
 * questions and went, or -errno with @err set. */
int nbd_server_negotiate(NbdConnection *c, GError **err);
/* The commands, until the connection ends. */
void nbd_server_transmit(NbdConnection *c);

/* What the client may do with the export. */
uint16_t nbd_export_flags(const NbdExport *export_, bool structured);

/* status.c: the extents of [offset, offset + length) in @context, as pairs (length, flags) in the
 * order of the wire, at most @max of them. 0 or -errno. */
int nbd_status_extents(const NbdExport *export_, const NbdContext *context, uint64_t offset,
                       uint64_t length, unsigned max, GArray *ret_words);

#endif
