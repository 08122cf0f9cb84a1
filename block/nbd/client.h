/* client.h - an NBD client: the negotiation, and a connection that any thread may use.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_CLIENT_H
#define KILN_BLOCK_NBD_CLIENT_H

#include <stdint.h>

#include "block/nbd/stream.h"

typedef struct NbdClient NbdClient;

/* What a server says of an export. */
typedef struct {
    char *name, *description; /* description: NULL when it has none */
    uint64_t size;
    uint16_t flags;                       /* transmission flags */
    uint32_t minimum, preferred, maximum; /* block sizes; 0 where the server does not say */
    GPtrArray *contexts;                  /* names of meta contexts; nbd_negotiate_list() only */
    bool structured;
    bool has_allocation;    /* base:allocation was selected … */
    uint32_t allocation_id; /* … and has this number */
} NbdInfo;
void nbd_info_clear(NbdInfo *info);
void nbd_info_free(void *info);

/* The negotiation's steps, each waiting for the server. First hello(), which starts TLS when @tls
 * is given and asks for structured replies when @structured; then list() any number of times, and
 * go() at most once: commands follow. */
bool nbd_negotiate_hello(NbdStream *stream, NbdTls *tls, bool structured, bool *ret_structured,
                         GError **err);
/* Selects @name. @structured is what hello() returned. Fills @ret, which nbd_info_clear() clears.
 */
bool nbd_negotiate_go(NbdStream *stream, const char *name, bool structured, NbdInfo *ret,
                      GError **err);
/* All exports, as a GPtrArray of NbdInfo; ends the negotiation in order. */
GPtrArray *nbd_negotiate_list(NbdStream *stream, bool structured, GError **err);

/* Connects to a unix socket's path or to a host and port (a number or a service's name); -1 with
 * @err set. */
int nbd_connect_unix(const char *path, GError **err);
int nbd_connect_inet(const char *host, const char *port, GError **err);

/* Takes @stream after nbd_negotiate_go() and @info's contents. NULL when no thread can be made. */
NbdClient *nbd_client_new(NbdStream *stream, NbdInfo *info, GError **err);
/* Says that it goes, and ends. No call may be under way. */
void nbd_client_free(NbdClient *client);
const NbdInfo *nbd_client_info(const NbdClient *client);

/* The commands. Any thread, many at once; each waits for its reply. Ranges are inside the export,
 * multiples of the minimum block size; data is cut into commands as the server's maximum asks.
 * 0 or -errno; -EIO for everything once the connection is lost. @fua: durable when done. */
int nbd_client_read(NbdClient *client, uint64_t offset, void *buf, size_t length);
int nbd_client_write(NbdClient *client, uint64_t offset, const void *buf, size_t length, bool fua);
int nbd_client_write_zeroes(NbdClient *client, uint64_t offset, uint64_t length, bool may_unmap,
                            bool fua);
int nbd_client_trim(NbdClient *client, uint64_t offset, uint64_t length);
int nbd_client_flush(NbdClient *client);
/* Flags of base:allocation for the first *length bytes, which is cut to what they hold for. */
int nbd_client_status(NbdClient *client, uint64_t offset, uint64_t *length, uint32_t *ret_flags);

#endif
