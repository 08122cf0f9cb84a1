/* socket.h - making the daemon's listening sockets, or taking them from systemd.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_SOCKET_H
#define KILN_DRIVER_RPC_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct RpcSocketSpec {
    const char *path;
    mode_t mode;
    gid_t gid; /* (gid_t)-1: leave it */
    int backlog;
} RpcSocketSpec;

/* Makes and listens on a unix socket at @spec->path. A socket left behind by a daemon that is
 * gone is replaced; one that a living process listens on is not: VIR_ERR_OPERATION_FAILED.
 * Returns the descriptor or -1. */
int rpc_socket_listen(const RpcSocketSpec *spec, GError **err);

/* A listening socket handed over by systemd. */
typedef struct RpcActivatedSocket {
    int fd;
    bool read_only; /* its path ends in -ro */
    char *path;     /* NULL when it has none */
} RpcActivatedSocket;

/* The sockets systemd passed to this process (array of RpcActivatedSocket, empty when none); those
 * that are no listening unix stream socket are refused with VIR_ERR_CONFIG_UNSUPPORTED. Once. */
GArray *rpc_socket_activated(GError **err);

#endif
