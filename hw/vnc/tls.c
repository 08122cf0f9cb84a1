/* tls.c - TLS of the connections, by GnuTLS; credentials are read once, before files are out of
 * reach.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <gnutls/x509.h>
#include <unistd.h>

#include "hw/vnc/private.h"
#include "util/error.h"

struct VncTls {
    gnutls_certificate_credentials_t credentials;
    bool verify_peer;
    int refs;
};

VncTls *
vnc_tls_new(const char *dir, bool verify_peer, GError **err)
{
    g_autofree char *ca = g_build_filename(dir, "ca-cert.pem", NULL);
    g_autofree char *cert = g_build_filename(dir, "server-cert.pem", NULL);
    g_autofree char *key = g_build_filename(dir, "server-key.pem", NULL);
    VncTls *tls = g_new0(VncTls, 1);
    int ret = gnutls_certificate_allocate_credentials(&tls->credentials);
    const char *what = "credentials";

    tls->refs = 1;
    tls->verify_peer = verify_peer;
    if (ret >= 0 && (verify_peer || access(ca, F_OK) == 0)) {
        what = ca;
        ret = gnutls_certificate_set_x509_trust_file(tls->credentials, ca, GNUTLS_X509_FMT_PEM);
    }
    if (ret >= 0) {
        what = cert;
        ret =
            gnutls_certificate_set_x509_key_file(tls->credentials, cert, key, GNUTLS_X509_FMT_PEM);
    }
    if (ret >= 0)
        return tls;
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "TLS: cannot use '%s': %s", what,
                   gnutls_strerror(ret));
    vnc_tls_unref(tls);
    return NULL;
}

VncTls *
vnc_tls_ref(VncTls *tls)
{
    tls->refs++;
    return tls;
}

void
vnc_tls_unref(void *opaque)
{
    VncTls *tls = opaque;

    if (!tls || --tls->refs > 0)
        return;
    if (tls->credentials)
        gnutls_certificate_free_credentials(tls->credentials);
    g_free(tls);
}

bool
vnc_tls_verifies(const VncTls *tls)
{
    return tls->verify_peer;
}

bool
vnc_tls_begin(VncClient *client)
{
    VncTls *tls = client->server->tls;

    if (gnutls_init(&client->tls, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0 ||
        gnutls_set_default_priority(client->tls) < 0 ||
        gnutls_credentials_set(client->tls, GNUTLS_CRD_CERTIFICATE, tls->credentials) < 0)
        return false;
    gnutls_certificate_server_set_request(client->tls, tls->verify_peer ? GNUTLS_CERT_REQUIRE
                                                                        : GNUTLS_CERT_IGNORE);
    gnutls_transport_set_int(client->tls, client->fd);
    client->tls_state = VNC_TLS_HANDSHAKE;
    return true;
}

static bool
tls_check_peer(VncClient *client)
{
    unsigned status = 0;

    return !client->server->tls->verify_peer ||
           (gnutls_certificate_verify_peers2(client->tls, &status) == 0 && status == 0);
}

void
vnc_tls_step(VncClient *client)
{
    int ret = gnutls_handshake(client->tls);

    if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED)
        return;
    if (ret < 0) {
        if (gnutls_error_is_fatal(ret))
            vnc_client_close(client);
        return;
    }
    if (!tls_check_peer(client)) {
        vnc_client_close(client);
        return;
    }
    client->tls_state = VNC_TLS_ON;
    client->after_tls(client);
}

static ssize_t
tls_result(ssize_t ret)
{
    if (ret >= 0)
        return ret;
    if (ret == GNUTLS_E_AGAIN || ret == GNUTLS_E_INTERRUPTED)
        return -EAGAIN;
    /* A client need not say that it ends. */
    return ret == GNUTLS_E_PREMATURE_TERMINATION ? 0 : -EIO;
}

ssize_t
vnc_tls_recv(VncClient *client, void *buf, size_t len)
{
    return tls_result(gnutls_record_recv(client->tls, buf, len));
}

ssize_t
vnc_tls_send(VncClient *client, const void *buf, size_t len)
{
    return tls_result(gnutls_record_send(client->tls, buf, len));
}

bool
vnc_tls_wants_write(VncClient *client)
{
    return gnutls_record_get_direction(client->tls) == 1;
}
