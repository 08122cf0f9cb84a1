/* tls.c - TLS on an NBD connection. See tls.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

enum { KEY_FILE_MAX = 1 << 20 };

typedef struct {
    NbdTls tls; /* first */
    bool server, verify_peer;
    char *hostname;
    gnutls_certificate_credentials_t x509;
    gnutls_psk_server_credentials_t psk_server;
    gnutls_psk_client_credentials_t psk_client;
    GHashTable *keys; /* hexadecimal texts by name: files are out of reach when a client comes */
} Credentials;

static void
credentials_free(NbdTls *tls)
{
    Credentials *creds = (Credentials *)tls;

    if (creds->x509)
        gnutls_certificate_free_credentials(creds->x509);
    if (creds->psk_server)
        gnutls_psk_free_server_credentials(creds->psk_server);
    if (creds->psk_client)
        gnutls_psk_free_client_credentials(creds->psk_client);
    g_clear_pointer(&creds->keys, g_hash_table_unref);
    g_free(creds->hostname);
    g_free(creds);
}

/* ---- sessions ---- */

static ssize_t
session_result(ssize_t r)
{
    if (r >= 0)
        return r;
    if (r == GNUTLS_E_AGAIN)
        return -ETIMEDOUT;
    return r == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -EIO;
}

static ssize_t
session_read(void *session, void *buf, size_t length)
{
    ssize_t n;

    do
        n = gnutls_record_recv(session, buf, length);
    while (n == GNUTLS_E_INTERRUPTED);
    return session_result(n);
}

static ssize_t
session_write(void *session, const void *buf, size_t length)
{
    ssize_t n;

    do
        n = gnutls_record_send(session, buf, length);
    while (n == GNUTLS_E_INTERRUPTED);
    return session_result(n);
}

static void
session_free(void *session)
{
    gnutls_deinit(session);
}

static const NbdTransport session_transport = {
    .read = session_read,
    .write = session_write,
    .free = session_free,
};

static int
session_set_up(const Credentials *creds, gnutls_session_t session)
{
    int r;

    if (creds->x509) {
        r = gnutls_set_default_priority(session);
        if (r >= 0)
            r = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, creds->x509);
        if (creds->server)
            gnutls_certificate_server_set_request(session, creds->verify_peer ? GNUTLS_CERT_REQUIRE
                                                                              : GNUTLS_CERT_IGNORE);
        if (r >= 0 && creds->hostname)
            r = gnutls_server_name_set(session, GNUTLS_NAME_DNS, creds->hostname,
                                       strlen(creds->hostname));
        if (r >= 0 && (!creds->server || creds->verify_peer))
            gnutls_session_set_verify_cert(session, creds->hostname, 0);
        return r;
    }
    r = gnutls_set_default_priority_append(session, "+ECDHE-PSK:+DHE-PSK:+PSK", NULL, 0);
    if (r >= 0)
        r = gnutls_credentials_set(session, GNUTLS_CRD_PSK,
                                   creds->server ? (void *)creds->psk_server
                                                 : (void *)creds->psk_client);
    return r;
}

static bool
credentials_start(NbdTls *tls, NbdStream *stream, GError **err)
{
    const Credentials *creds = (const Credentials *)tls;
    gnutls_session_t session;
    int r =
        gnutls_init(&session, (creds->server ? GNUTLS_SERVER : GNUTLS_CLIENT) | GNUTLS_NO_SIGNAL);

    if (r < 0)
        return kiln_error_set(err, VIR_ERR_RPC, "TLS: %s", gnutls_strerror(r));
    gnutls_session_set_ptr(session, (void *)creds);
    gnutls_transport_set_int(session, nbd_stream_fd(stream));
    r = session_set_up(creds, session);
    while (r >= 0) {
        r = gnutls_handshake(session);
        if (r == GNUTLS_E_SUCCESS) {
            nbd_stream_set_transport(stream, &session_transport, session);
            return true;
        }
        if (r == GNUTLS_E_INTERRUPTED ||
            (r < 0 && r != GNUTLS_E_AGAIN && !gnutls_error_is_fatal(r)))
            r = 0;
    }
    kiln_error_set(err, VIR_ERR_RPC, "TLS: the handshake failed: %s", gnutls_strerror(r));
    gnutls_deinit(session);
    return false;
}

static Credentials *
credentials_new(bool server)
{
    Credentials *creds = g_new0(Credentials, 1);

    creds->tls = (NbdTls){ .start = credentials_start, .free = credentials_free };
    creds->server = server;
    return creds;
}

/* ---- credentials ---- */

NbdTls *
nbd_tls_new_x509(const char *dir, bool server, bool verify_peer, const char *hostname, GError **err)
{
    g_autofree char *ca = g_build_filename(dir, "ca-cert.pem", NULL);
    g_autofree char *crl = g_build_filename(dir, "ca-crl.pem", NULL);
    g_autofree char *cert =
        g_build_filename(dir, server ? "server-cert.pem" : "client-cert.pem", NULL);
    g_autofree char *key =
        g_build_filename(dir, server ? "server-key.pem" : "client-key.pem", NULL);
    Credentials *creds = credentials_new(server);
    const char *what = "credentials";
    int r = gnutls_certificate_allocate_credentials(&creds->x509);

    creds->verify_peer = verify_peer;
    creds->hostname = g_strdup(hostname);
    if (r >= 0 && (!server || verify_peer || access(ca, F_OK) == 0)) {
        what = ca;
        r = gnutls_certificate_set_x509_trust_file(creds->x509, ca, GNUTLS_X509_FMT_PEM);
    }
    if (r >= 0 && access(crl, F_OK) == 0) {
        what = crl;
        r = gnutls_certificate_set_x509_crl_file(creds->x509, crl, GNUTLS_X509_FMT_PEM);
    }
    /* a client may be without a certificate of its own: then the server has to be content */
    if (r >= 0 && (server || access(cert, F_OK) == 0)) {
        what = cert;
        r = gnutls_certificate_set_x509_key_file(creds->x509, cert, key, GNUTLS_X509_FMT_PEM);
    }
    if (r >= 0)
        return &creds->tls;
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "TLS: cannot use '%s': %s", what,
                   gnutls_strerror(r));
    credentials_free(&creds->tls);
    return NULL;
}

/* The lines NAME:HEX of a file as texts by name. */
static GHashTable *
psk_load(const char *path, GError **err)
{
    g_autoptr(GHashTable) keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    gsize length;

    if (!g_file_get_contents(path, &text, &length, err))
        return NULL;
    if (length > KEY_FILE_MAX) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "TLS: '%s' has %zu bytes, at most %d are read", path, (size_t)length,
                       KEY_FILE_MAX);
        return NULL;
    }
    lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        char *colon = strchr(*line, ':');

        if (colon && colon > *line)
            g_hash_table_replace(keys, g_strndup(*line, (gsize)(colon - *line)),
                                 g_strchomp(g_strdup(colon + 1)));
    }
    return g_steal_pointer(&keys);
}

/* GnuTLS asks for the key of a client that connects. */
static int
psk_of_client(gnutls_session_t session, const char *username, gnutls_datum_t *key)
{
    const Credentials *creds = gnutls_session_get_ptr(session);
    const char *hex = g_hash_table_lookup(creds->keys, username);
    gnutls_datum_t text = { .data = (unsigned char *)hex, .size = hex ? (unsigned)strlen(hex) : 0 };

    return hex ? gnutls_hex_decode2(&text, key) : GNUTLS_E_INSUFFICIENT_CREDENTIALS;
}

NbdTls *
nbd_tls_new_psk(const char *dir, bool server, const char *username, GError **err)
{
    g_autofree char *path = g_build_filename(dir, "keys.psk", NULL);
    Credentials *creds = credentials_new(server);
    const char *name = username ? username : "qemu", *key = NULL;
    int r = -1;

    creds->keys = psk_load(path, err);
    if (creds->keys)
        key = g_hash_table_lookup(creds->keys, name);
    if (!creds->keys) {
        /* said already */
    } else if (server) {
        r = gnutls_psk_allocate_server_credentials(&creds->psk_server);
        if (r >= 0)
            gnutls_psk_set_server_credentials_function(creds->psk_server, psk_of_client);
    } else if (key) {
        gnutls_datum_t text = { .data = (unsigned char *)key, .size = (unsigned)strlen(key) };

        r = gnutls_psk_allocate_client_credentials(&creds->psk_client);
        if (r >= 0)
            r = gnutls_psk_set_client_credentials(creds->psk_client, name, &text,
                                                  GNUTLS_PSK_KEY_HEX);
    } else {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "TLS: '%s' has no key for the name '%s'",
                       path, name);
    }
    if (r >= 0)
        return &creds->tls;
    if (creds->keys && (server || key))
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "TLS: cannot use '%s': %s", path,
                       gnutls_strerror(r));
    credentials_free(&creds->tls);
    return NULL;
}
