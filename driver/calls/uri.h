/* uri.h - the connection URIs that clients open.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_URI_H
#define KILN_DRIVER_CALLS_URI_H

#include <glib.h>
#include <stdbool.h>

/* Reads the name a client opens: NULL or "" (the client looked for any driver), or
 * SCHEME[+TRANSPORT]:///PATH[?…] with scheme qemu or kiln and path /system or /session. A
 * session daemon (@session) has /session only. Sets *ret_qemu, and *ret_uri to the URI without
 * transport and query (g_free() it). Anything else is VIR_ERR_NO_CONNECT. */
bool call_uri_parse(const char *name, bool session, bool *ret_qemu, char **ret_uri, GError **err);

#endif
