/* identity.h - who is at the other end of a unix socket.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_IDENTITY_H
#define KILN_DRIVER_RPC_IDENTITY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct RpcIdentity {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    uint64_t start_time; /* of the process, in clock ticks after boot; 0: gone, or not read */
} RpcIdentity;

/* Fills @ret_identity from the peer's credentials as they were when it connected (SO_PEERCRED), and
 * with @start_time from /proc/PID/stat. Fails with VIR_ERR_SYSTEM_ERROR. */
bool rpc_identity_read(int fd, bool start_time, RpcIdentity *ret_identity, GError **err);

#endif
