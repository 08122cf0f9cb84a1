/* call.h - one procedure call being run, as its handler sees it.
 *
 * A handler is `bool call_NAME(Call *call, const ARGS *args, RET *ret, GError **err)` where NAME,
 * ARGS and RET are columns of its row in procs.def; handlers.h declares them all. It runs in a
 * worker thread (rows FAST and SLOW) or in the main loop's thread (rows INLINE: it must not wait
 * for anything but short state locks). Before it runs the dispatcher has checked the right named in
 * the row (read-only connections, secret flags), that the connection is open, and has looked up the
 * object of rows that name one.
 *
 * The handler returns true with *ret filled (it starts zeroed; strings and arrays are from
 * g_malloc() or wire helpers, and are freed after they are sent), or false with *err set to a
 * KILN_ERROR; *ret may then be half filled.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_CALL_H
#define KILN_DRIVER_CALLS_CALL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/calls/events.h"
#include "driver/calls/wire.h"
#include "driver/paths.h"
#include "driver/protocol/connect.h"
#include "driver/protocol/domain.h"
#include "driver/protocol/migrate.h"
#include "driver/protocol/network.h"
#include "driver/protocol/nodedev.h"
#include "driver/protocol/secret.h"
#include "driver/protocol/snapshot.h"
#include "driver/protocol/storage.h"
#include "driver/protocol/types.h"
#include "driver/rpc/stream.h"
#include "util/error.h"

typedef struct Domain Domain;
typedef struct DomainManager DomainManager;
typedef struct Network Network;
typedef struct NetworkManager NetworkManager;
typedef struct Node Node;
typedef struct NodeDevices NodeDevices;
typedef struct Secret Secret;
typedef struct SecretManager SecretManager;
typedef struct StorageManager StorageManager;
typedef struct StoragePool StoragePool;
typedef struct StorageVol StorageVol;
typedef struct CallConnection CallConnection;

/* What the daemon offers to handlers. Set up by main.c before the first client and constant while
 * clients are served. The find functions return a new reference, or NULL with @err. */
typedef struct CallServices {
    const DaemonPaths *paths;
    EventHub *events;
    Node *node;
    NodeDevices *node_devices;

    DomainManager *domains;
    Domain *(*domain_find)(DomainManager *domains, const uint8_t uuid[16], const char *name_hint,
                           GError **err);
    void (*domain_unref)(Domain *domain);
    /* A connection ended (its address is the key that handlers gave to the manager):
     * auto-destroy and consoles. Called once when it ends, and again when the last of its calls
     * that were at work then is done. Must not wait. */
    void (*domain_client_gone)(DomainManager *domains, const void *connection);

    NetworkManager *networks;
    Network *(*network_find)(NetworkManager *networks, const uint8_t uuid[16], GError **err);
    void (*network_unref)(Network *network);

    SecretManager *secrets;
    Secret *(*secret_find)(SecretManager *secrets, const uint8_t uuid[16], GError **err);
    void (*secret_unref)(Secret *secret);

    StorageManager *storage;
    StoragePool *(*pool_find)(StorageManager *storage, const uint8_t uuid[16], GError **err);
    void (*pool_unref)(StoragePool *pool);
    StorageVol *(*volume_find)(StorageManager *storage, const char *pool, const char *name,
                               GError **err);
    void (*volume_unref)(StorageVol *volume);
} CallServices;

typedef struct Call {
    const CallServices *services;
    CallConnection *connection;
    /* The object of the row, looked up by the UUID in the arguments; borrowed from the dispatcher
     * for the length of the call. NULL in rows of object NONE. */
    Domain *domain;
    Network *network;
    Secret *secret;
    StoragePool *pool;
    StorageVol *volume;
} Call;

/* The connection was opened with a qemu: URI (false: kiln:). */
bool call_is_qemu(const Call *call);

/* User of the connection's peer, from SO_PEERCRED. */
uid_t call_peer_uid(const Call *call);

/* Takes the @index'th descriptor that came with the call out of it (the caller closes it; those not
 * taken are closed after the call); -1 for one that is not there or already taken. */
int call_take_fd(Call *call, guint index);

/* Sends @fd with the reply; the call owns it from now on. Only for rows marked FDS. */
void call_return_fd(Call *call, int fd);

/* Opens the stream of this call (only in rows marked STREAM), with @ops and @opaque as its far
 * side. Data flows once the reply is sent. When the call fails afterwards, @ops->close still
 * runs. Returns a new reference. Never fails for a row marked STREAM, unless one is already
 * open. */
RpcStream *call_open_stream(Call *call, const RpcStreamOps *ops, void *opaque);

/* Opens the stream of this call over @fd (pty, socket, pipe; taken over, made non-blocking).
 * @closed(@opaque) runs once in the main loop's thread when the stream is over, also when the call
 * fails; NULL for none. Returns a new reference. */
RpcStream *call_open_stream_fd(Call *call, int fd, RpcStreamDirection direction,
                               void (*closed)(void *opaque), void *opaque);

/* Refuses flags other than @allowed with libvirt's VIR_ERR_INVALID_ARG, naming them and
 * @function ("virDomainCreateWithFlags"). */
bool call_check_flags(unsigned int flags, unsigned int allowed, const char *function, GError **err);

#endif
