/* sysctl.c - kernel settings below /proc/sys/net (Linux Documentation/networking/ip-sysctl.rst).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/sysctl.h"

#include "util/error.h"
#include "util/file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool
sysctl_write(const char *path, const char *value, GError **err)
{
    g_autofree char *now = NULL;
    int ret;

    /* A read-only /proc/sys is no obstacle to a setting that is right already. */
    if (g_file_get_contents(path, &now, NULL, NULL) && strcmp(g_strstrip(now), value) == 0)
        return true;
    ret = file_put_setting(path, value);
    return ret == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                            "cannot write %s to '%s'", value, path);
}

bool
sysctl_enable_forwarding(bool v4, bool v6, GError **err)
{
    if (v4 && !sysctl_write("/proc/sys/net/ipv4/ip_forward", "1", err))
        return false;
    return !v6 || sysctl_write("/proc/sys/net/ipv6/conf/all/forwarding", "1", err);
}

bool
sysctl_set_bridge_ipv6(const char *bridge, bool ipv6, GError **err)
{
    static const char *const settings[][2] = { { "accept_ra", "0" }, { "autoconf", "0" } };
    g_autofree char *disable = g_strdup_printf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", bridge);

    if (access(disable, F_OK) < 0 && errno == ENOENT) {
        if (!ipv6)
            return true;
        return kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                              "bridge '%s' cannot have IPv6 addresses: this kernel has no IPv6",
                              bridge);
    }
    if (!sysctl_write(disable, ipv6 ? "0" : "1", err))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autofree char *path =
            g_strdup_printf("/proc/sys/net/ipv6/conf/%s/%s", bridge, settings[i][0]);

        if (!sysctl_write(path, settings[i][1], err))
            return false;
    }
    return true;
}

int
sysctl_accept_ra(const char *ifname)
{
    g_autofree char *path = g_strdup_printf("/proc/sys/net/ipv6/conf/%s/accept_ra", ifname);
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return -1;
    return (int)g_ascii_strtoll(text, NULL, 10);
}
