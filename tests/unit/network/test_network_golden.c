/* test_network_golden.c - network XML in; XML, dnsmasq's files and nftables rules out, compared
 * with tests/golden/network. Every printed XML is also checked against libvirt's own schema.
 *
 * KILN_GOLDEN_WRITE=1 writes what is missing or different instead; look at the difference then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "network/dnsmasq_config.h"
#include "network/ruleset.h"
#include "tests/unit/golden.h"
#include "xml/network.h"

static const char *const names[] = {
    "default", "isolated",    "dual-stack",  "route-dev", "nat-dev",
    "open",    "host-bridge", "passthrough", "hostdev",   "bandwidth",
};

static char *
golden_path(const char *name, const char *suffix)
{
    return g_strdup_printf("%s/tests/golden/network/%s%s", g_getenv("KILN_SOURCE_ROOT"), name,
                           suffix);
}

static void
check_golden(const char *name, const char *suffix, const char *text)
{
    g_autofree char *path = golden_path(name, suffix);

    golden_check(path, text);
}

static NetworkDef *
parse_golden(const char *name)
{
    g_autofree char *path = golden_path(name, ".xml");
    g_autofree char *in = NULL;
    g_autoptr(GError) err = NULL;
    NetworkDef *def;

    assert_true(g_file_get_contents(path, &in, NULL, NULL));
    def = network_def_parse(in, 0, &err);
    if (!def)
        fail_msg("%s: %s", name, err->message);
    return def;
}

static void
test_xml(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(NetworkDef) def = parse_golden(names[i]);
        g_autofree char *out = network_def_format(def);
        g_autoptr(GError) err = NULL;
        g_autoptr(NetworkDef) again = NULL;
        g_autoptr(NetworkDef) copy = NULL;
        g_autofree char *twice = NULL;
        g_autofree char *copied = NULL;

        check_golden(names[i], ".out.xml", out);
        golden_check_schema("network.rng", names[i], out);
        again = network_def_parse(out, NETWORK_DEF_VALIDATE, &err);
        if (!again)
            fail_msg("%s does not validate by its own schema: %s", names[i], err->message);
        twice = network_def_format(again);
        assert_string_equal(out, twice);
        copy = network_def_copy(def);
        copied = network_def_format(copy);
        assert_string_equal(out, copied);
    }
}

static void
test_dnsmasq(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(NetworkDef) def = parse_golden(names[i]);
        g_autoptr(DnsmasqPaths) paths = NULL;
        g_autofree char *conf = NULL;
        g_autofree char *hosts = NULL;
        g_autofree char *addn = NULL;
        g_autofree char *all = NULL;

        if (!dnsmasq_config_needed(def))
            continue;
        paths = dnsmasq_paths_new("/var/lib/libvirt/dnsmasq", "/run/kiln/network", def->name,
                                  def->bridge->name);
        conf = dnsmasq_config_text(def, paths);
        hosts = dnsmasq_hosts_text(def);
        addn = dnsmasq_addn_hosts_text(def);
        all = g_strdup_printf("%s--- hostsfile\n%s--- addnhosts\n%s", conf, hosts, addn);
        check_golden(names[i], ".dnsmasq", all);
    }
}

static void
test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(NetworkDef) def = parse_golden(names[i]);
        g_autofree char *rules = ruleset_apply(def);

        if (rules)
            check_golden(names[i], ".nft", rules);
    }
}

static void
test_table_names(void **state)
{
    g_autofree char *plain = ruleset_table("virbr0");
    g_autofree char *odd = ruleset_table("br_0.1-a");

    (void)state;
    assert_string_equal(plain, "kiln_virbr0");
    assert_string_equal(odd, "kiln_br_5f0.1-a");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_dnsmasq),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_table_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
