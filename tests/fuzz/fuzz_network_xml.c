/* fuzz_network_xml.c - network XML from a client: parse, print, parse again; make of it what
 * dnsmasq and nftables get; and use the second half of the input as an update.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/dnsmasq_config.h"
#include "network/ruleset.h"
#include "xml/network.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No name or value may bring a line of its own into dnsmasq's files. */
static void
check_lines(const NetworkDef *def)
{
    g_autoptr(DnsmasqPaths) paths = dnsmasq_paths_new("/d", "/r", def->name, def->bridge->name);
    g_autofree char *conf = dnsmasq_config_text(def, paths);
    g_autofree char *hosts = dnsmasq_hosts_text(def);
    g_autofree char *addn = dnsmasq_addn_hosts_text(def);
    g_autofree char *rules = ruleset_apply(def);

    if (strchr(conf, '\r') || strchr(hosts, '\r') || strchr(addn, '\r') ||
        (rules && strchr(rules, '\r')))
        abort();
}

static void
check_round_trip(const NetworkDef *def)
{
    g_autofree char *out = network_def_format(def);
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkDef) again = network_def_parse(out, 0, &err);
    g_autofree char *twice = again ? network_def_format(again) : NULL;

    if (!again || strcmp(out, twice) != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    char *second = strstr(text, "<!--update");
    g_autoptr(NetworkDef) def = NULL;
    unsigned command = size > 0 ? data[0] % 5 : 0;

    if (second) {
        *second = '\0';
        second += strlen("<!--update");
    }
    def = network_def_parse(text, 0, NULL);
    if (!def)
        return 0;
    check_round_trip(def);
    if (network_def_owns_bridge(def) && def->bridge->name)
        check_lines(def);
    for (unsigned section = 0; second && section < 13; section++)
        network_def_update(def, command, section, -1, second, NULL);
    return 0;
}
