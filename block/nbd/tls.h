/* tls.h - credentials of the two ends of an NBD connection, by GnuTLS.
 *
 * The files have the names that QEMU's tls-creds-x509 and tls-creds-psk objects use: ca-cert.pem,
 * ca-crl.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem; keys.psk. All of
 * them are read here, before files get out of reach.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_NBD_TLS_H
#define KILN_BLOCK_NBD_TLS_H

#include "block/nbd/stream.h"

/* @verify_peer: the other side has to have a certificate of the same authority (a client always
 * asks that of its server). @hostname (clients): the name that the server's certificate has to
 * have, or NULL to leave it unchecked. */
NbdTls *nbd_tls_new_x509(const char *dir, bool server, bool verify_peer, const char *hostname,
                         GError **err);
/* @username (clients): whose key of the file is used; NULL is "qemu". */
NbdTls *nbd_tls_new_psk(const char *dir, bool server, const char *username, GError **err);

#endif
