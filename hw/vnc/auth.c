/* auth.c - version and security handshake (RFC 6143, 7.1 and 7.2; VeNCrypt 0.2 of rfbproto.rst).
 *
 * Offers exactly one way in: none, VNC authentication, or VeNCrypt with X.509 and one of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gnutls/crypto.h>
#include <nettle/des.h>
#include <string.h>

#include "hw/vnc/private.h"

enum {
    SECURITY_NONE = 1,
    SECURITY_VNC = 2,
    SECURITY_VENCRYPT = 19,
    VENCRYPT_X509_NONE = 260,
    VENCRYPT_X509_VNC = 261,

    WRONG_FREE = 3, /* wrong passwords that cost nothing */
    WRONG_PAUSE_US = 1000000,
    WRONG_WAIT_US = 10000000, /* the longest that one waits for others */
};

static bool
auth_wants_password(const VncClient *client)
{
    return client->server->auth_password && !client->skip_auth;
}

static uint8_t
auth_type(const VncClient *client)
{
    if (client->server->tls && client->tls_state == VNC_TLS_NONE && !client->skip_auth)
        return SECURITY_VENCRYPT;
    return auth_wants_password(client) ? SECURITY_VNC : SECURITY_NONE;
}

void
vnc_auth_refuse(VncClient *client, const char *why)
{
    vnc_put32(client, 1);
    if (client->minor >= 8) {
        vnc_put32(client, (uint32_t)strlen(why));
        vnc_put(client, why, strlen(why));
    }
    client->close_sent = true;
}

/* A password is a DES key whose bits stand in the opposite order. */
static void
auth_encrypt(const char *password, const uint8_t challenge[VNC_CHALLENGE],
             uint8_t out[VNC_CHALLENGE])
{
    uint8_t key[8] = { 0 };
    struct des_ctx des;

    for (unsigned i = 0; i < VNC_PASSWORD_MAX && password[i]; i++) {
        uint8_t c = (uint8_t)password[i];

        for (unsigned bit = 0; bit < 8; bit++)
            key[i] |= (uint8_t)((c >> bit & 1) << (7 - bit));
    }
    /* Weak keys are the user's choice. */
    (void)des_set_key(&des, key);
    des_encrypt(&des, VNC_CHALLENGE, out, challenge);
}

void
vnc_auth_judge(VncClient *client)
{
    VncServer *server = client->server;
    uint8_t expected[VNC_CHALLENGE];

    client->judged_at = 0;
    if (server->password && machine_wall_ns(server->machine) / 1000000000 < server->expires) {
        auth_encrypt(server->password, client->challenge, expected);
        if (gnutls_memcmp(expected, client->response, sizeof(expected)) == 0) {
            server->wrong = 0;
            vnc_put32(client, 0);
            vnc_session_begin(client);
            return;
        }
    }
    server->wrong = MIN(server->wrong + 1, (unsigned)WRONG_FREE);
    vnc_auth_refuse(client, "Authentication failed");
}

/* After some wrong passwords one response a second is looked at, of all clients together: to give
 * up early or to come again at once gains a guesser nothing. */
static size_t
auth_response(VncClient *client, const uint8_t *data)
{
    VncServer *server = client->server;
    int64_t now = g_get_monotonic_time();

    if (client->judged_at) { /* it has nothing to say now */
        vnc_client_close(client);
        return 0;
    }
    memcpy(client->response, data, sizeof(client->response));
    if (server->wrong < WRONG_FREE || client->fake) {
        vnc_auth_judge(client);
        return 0;
    }
    client->judged_at = CLAMP(server->next_try, now, now + WRONG_WAIT_US);
    server->next_try = client->judged_at + WRONG_PAUSE_US;
    return 0;
}

static void
auth_challenge(VncClient *client)
{
    if (gnutls_rnd(GNUTLS_RND_NONCE, client->challenge, sizeof(client->challenge)) < 0) {
        vnc_client_close(client);
        return;
    }
    vnc_put(client, client->challenge, sizeof(client->challenge));
    vnc_client_expect(client, VNC_CHALLENGE, auth_response);
}

static void
auth_none(VncClient *client)
{
    if (client->minor >= 8)
        vnc_put32(client, 0);
    vnc_session_begin(client);
}

/* ---- VeNCrypt ---- */

static void
auth_after_tls(VncClient *client)
{
    if (auth_wants_password(client))
        auth_challenge(client);
    else
        auth_none(client);
}

static uint32_t
auth_vencrypt_type(const VncClient *client)
{
    return auth_wants_password(client) ? VENCRYPT_X509_VNC : VENCRYPT_X509_NONE;
}

static size_t
auth_vencrypt_choice(VncClient *client, const uint8_t *data)
{
    if (vnc_get32(data) != auth_vencrypt_type(client)) {
        vnc_put8(client, 0);
        client->close_sent = true;
        return 0;
    }
    vnc_put8(client, 1);
    /* It must be out before the handshake takes the descriptor. */
    vnc_client_flush(client);
    if (client->closing)
        return 0;
    client->after_tls = auth_after_tls;
    if (vnc_client_pending(client) > 0 || !vnc_tls_begin(client))
        vnc_client_close(client);
    return 0;
}

static size_t
auth_vencrypt_version(VncClient *client, const uint8_t *data)
{
    if (data[0] != 0 || data[1] != 2) {
        vnc_put8(client, 0xff);
        client->close_sent = true;
        return 0;
    }
    vnc_put8(client, 0);
    vnc_put8(client, 1);
    vnc_put32(client, auth_vencrypt_type(client));
    vnc_client_expect(client, 4, auth_vencrypt_choice);
    return 0;
}

/* ---- 7.1 ---- */

static void
auth_start(VncClient *client)
{
    switch (auth_type(client)) {
    case SECURITY_VENCRYPT:
        vnc_put8(client, 0);
        vnc_put8(client, 2);
        vnc_client_expect(client, 2, auth_vencrypt_version);
        break;
    case SECURITY_VNC:
        auth_challenge(client);
        break;
    default:
        auth_none(client);
        break;
    }
}

static size_t
auth_choice(VncClient *client, const uint8_t *data)
{
    if (data[0] == auth_type(client))
        auth_start(client);
    else
        vnc_auth_refuse(client, "Authentication failed");
    return 0;
}

static size_t
auth_version(VncClient *client, const uint8_t *data)
{
    if (memcmp(data, "RFB 003.00", 10) != 0 || !g_ascii_isdigit(data[10]) || data[11] != '\n') {
        vnc_client_close(client);
        return 0;
    }
    client->minor = data[10] - '0';
    if (client->minor < 7)
        client->minor = 3;
    if (client->minor > 8)
        client->minor = 8;
    if (client->minor >= 7) {
        vnc_put8(client, 1);
        vnc_put8(client, auth_type(client));
        vnc_client_expect(client, 1, auth_choice);
        return 0;
    }
    if (auth_type(client) == SECURITY_VENCRYPT) {
        static const char why[] = "This server wants TLS, which RFB 3.3 does not know";

        vnc_put32(client, 0);
        vnc_put32(client, sizeof(why) - 1);
        vnc_put(client, why, sizeof(why) - 1);
        client->close_sent = true;
        return 0;
    }
    vnc_put32(client, auth_type(client));
    auth_start(client);
    return 0;
}

void
vnc_auth_begin(VncClient *client)
{
    static const char version[] = "RFB 003.008\n";

    vnc_put(client, version, sizeof(version) - 1);
    vnc_client_expect(client, sizeof(version) - 1, auth_version);
}
