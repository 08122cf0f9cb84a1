/* vnc.h - a VNC server: one screen of the guest for any number of viewers.
 *
 * RFC 6143 (RFB 3.3, 3.7, 3.8) and the community's extensions to it (rfbproto.rst): Tight, TightPNG
 * left out, extended and plain desktop size, cursor with alpha, LED state, desktop name, QEMU's
 * extended keys and pointer motion, xvp, VeNCrypt with X.509, WebSocket (RFC 6455).
 *
 * Everything runs in the main thread and waits for nobody: a viewer that does not read is sent
 * nothing more until it does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VNC_VNC_H
#define KILN_HW_VNC_VNC_H

#include <json-glib/json-glib.h>

#include "hw/core/machine.h"

typedef struct VncServer VncServer;
typedef struct VncTls VncTls;

typedef enum { VNC_SHARE_ALLOW_EXCLUSIVE, VNC_SHARE_FORCE_SHARED, VNC_SHARE_IGNORE } VncShare;

enum {
    VNC_PASSWORD_MAX = 8,    /* characters that count, by the protocol */
    VNC_CONNECTING_MAX = 32, /* clients that have not authenticated, unless the config says */
    VNC_CLIENTS_MAX = 64,
};

/* Credentials of a server (-object tls-creds-x509): files ca-cert.pem, server-cert.pem,
 * server-key.pem in @dir. With @verify_peer a client must show a certificate of that CA. NULL with
 * @err. */
VncTls *vnc_tls_new(const char *dir, bool verify_peer, GError **err);
VncTls *vnc_tls_ref(VncTls *tls);
void vnc_tls_unref(void *tls);

typedef struct {
    const char *id;     /* of the server, "default" */
    const char *name;   /* of the guest; may be NULL */
    const char *device; /* id of the video card; NULL: the first screen */
    unsigned head;
    const int *listen; /* listening sockets; taken over */
    unsigned n_listen;
    const int *websockets;
    unsigned n_websockets;
    bool password; /* VNC authentication; nobody gets in until one is set */
    VncTls *tls;   /* VeNCrypt with X.509; may be NULL. A reference is taken */
    VncShare share;
    bool power_control;
    unsigned connections; /* most clients that have not authenticated; 0: VNC_CONNECTING_MAX */
} VncConfig;

VncServer *vnc_server_new(Machine *machine, const VncConfig *config, GError **err);
/* Closes all connections. NULL is accepted. */
void vnc_server_free(VncServer *server);

const char *vnc_server_id(const VncServer *server);
/* NULL or empty: nobody gets in. False when the server asks for no password. */
bool vnc_server_set_password(VncServer *server, const char *password);
/* Seconds since 1970 after which the password is no good; INT64_MAX: never. */
bool vnc_server_expire_password(VncServer *server, int64_t when);
/* Takes a connected socket; @skip_auth: its peer needs no authentication. */
bool vnc_server_add_client(VncServer *server, int fd, bool skip_auth, GError **err);
/* VncInfo and VncInfo2 of QEMU's qapi/ui.json. */
JsonObject *vnc_server_info(const VncServer *server);
JsonObject *vnc_server_info2(const VncServer *server);

/* For tests and fuzzers: feeds @data as if a client that is past authentication had sent it.
 * Returns false when the server has closed the connection. */
typedef struct VncClient VncClient;
VncClient *vnc_server_fake_client(VncServer *server, int fd);
bool vnc_client_feed(VncClient *client, const uint8_t *data, size_t len);

#endif
