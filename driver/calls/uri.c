/* uri.c - the connection URIs that clients open. See uri.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/calls/uri.h"

#include <string.h>

#include "util/error.h"

bool
call_uri_parse(const char *name, bool session, bool *ret_qemu, char **ret_uri, GError **err)
{
    const char *path = session ? "/session" : "/system";
    g_autofree char *scheme = NULL;
    const char *rest, *end;

    /* Clients without a URI know no other hypervisor than the ones libvirt ships. */
    if (!name || !*name) {
        *ret_qemu = true;
        *ret_uri = g_strdup_printf("qemu://%s", path);
        return true;
    }
    rest = strstr(name, "://");
    if (!rest)
        return kiln_error_set(err, VIR_ERR_NO_CONNECT, "%s", name);
    scheme = g_strndup(name, (gsize)(rest - name));
    end = strchr(scheme, '+');
    if (end)
        scheme[end - scheme] = '\0';
    rest += strlen("://");
    end = rest + strcspn(rest, "?#");
    if (strcmp(scheme, "qemu") && strcmp(scheme, "kiln"))
        return kiln_error_set(err, VIR_ERR_NO_CONNECT, "%s", name);
    /* As libvirtd does, the system daemon takes /session too: that is what root's clients say. */
    if (!session && !strncmp(rest, "/session", (gsize)(end - rest)) && end - rest == 8)
        path = "/session";
    if (strlen(path) != (gsize)(end - rest) || strncmp(rest, path, strlen(path)))
        return kiln_error_set(err, VIR_ERR_NO_CONNECT, "%s (this daemon serves %s://%s)", name,
                              scheme, path);
    *ret_qemu = !strcmp(scheme, "qemu");
    *ret_uri = g_strdup_printf("%s://%s", scheme, path);
    return true;
}
