/* test_network_leases.c - the lease and MAC files that libnss-libvirt reads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "network/leases.h"
#include "network/macs.h"
#include "util/error.h"

static const char file[] =
    "[\n"
    "  {\n"
    "    \"ip-address\": \"192.168.122.57\",\n"
    "    \"mac-address\": \"52:54:00:aa:aa:01\",\n"
    "    \"hostname\": \"one\",\n"
    "    \"client-id\": \"01:52:54:00:aa:aa:01\",\n"
    "    \"expiry-time\": 2000\n"
    "  },\n"
    "  { \"ip-address\": \"192.168.122.58\", \"mac-address\": \"52:54:00:aa:aa:02\",\n"
    "    \"expiry-time\": 0, \"something-new\": [ 1, 2 ] },\n"
    "  { \"ip-address\": \"2001:db8::5\", \"mac-address\": \"52:54:00:aa:aa:01\", \"iaid\": "
    "\"7\",\n"
    "    \"client-id\": \"00:01:02\", \"server-duid\": \"00:aa\", \"expiry-time\": 3000 },\n"
    "  { \"mac-address\": \"52:54:00:aa:aa:03\", \"expiry-time\": 9999 }\n"
    "]\n";

static GPtrArray *
parse(const char *text)
{
    g_autoptr(GError) err = NULL;
    GPtrArray *leases = leases_parse(text, strlen(text), &err);

    if (!leases)
        fail_msg("%s", err->message);
    return leases;
}

static void
test_parse(void **state)
{
    g_autoptr(GPtrArray) leases = parse(file);
    const Lease *one, *two, *six;

    (void)state;
    /* The one without an address does not count. */
    assert_int_equal(leases->len, 3);
    one = g_ptr_array_index(leases, 0);
    two = g_ptr_array_index(leases, 1);
    six = g_ptr_array_index(leases, 2);
    assert_string_equal(one->ip, "192.168.122.57");
    assert_string_equal(one->hostname, "one");
    assert_int_equal(one->expiry, 2000);
    assert_null(one->iaid);
    assert_null(two->hostname);
    assert_int_equal(two->expiry, 0);
    assert_string_equal(six->iaid, "7");
}

static void
test_round_trip(void **state)
{
    g_autoptr(GPtrArray) leases = parse(file);
    g_autofree char *text = leases_format(leases);
    g_autoptr(GPtrArray) again = parse(text);
    g_autofree char *twice = leases_format(again);

    (void)state;
    assert_int_equal(again->len, 3);
    assert_string_equal(text, twice);
}

static void
test_drop(void **state)
{
    g_autoptr(GPtrArray) leases = parse(file);

    (void)state;
    leases_drop(leases, "2001:db8::5", 2000);
    assert_int_equal(leases->len, 2);
    leases_drop(leases, NULL, 2001);
    /* The one that never ends. */
    assert_int_equal(leases->len, 1);
    assert_string_equal(((Lease *)g_ptr_array_index(leases, 0))->ip, "192.168.122.58");
}

static void
test_dnsmasq_form(void **state)
{
    g_autoptr(GPtrArray) leases = parse(file);
    g_autofree char *text = leases_format_dnsmasq(leases);

    (void)state;
    assert_string_equal(text, "2000 52:54:00:aa:aa:01 192.168.122.57 one 01:52:54:00:aa:aa:01\n"
                              "0 52:54:00:aa:aa:02 192.168.122.58 * *\n"
                              "duid 00:aa\n"
                              "3000 7 2001:db8::5 * 00:01:02\n");
}

static void
test_broken(void **state)
{
    static const char *const broken[] = { "{", "{}", "[ 1, \"x\"", "\xff\xfe", "[]x", "null" };
    g_autoptr(GPtrArray) empty = parse("");
    g_autoptr(GPtrArray) odd = parse("[ 1, null, [], { \"ip-address\": 7 } ]");

    (void)state;
    assert_int_equal(empty->len, 0);
    assert_int_equal(odd->len, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(leases_parse(broken[i], strlen(broken[i]), &err));
        assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INTERNAL_ERROR));
    }
}

static void
test_macs(void **state)
{
    MacsEntry entries[] = { { "beta", "52:54:00:00:00:02" },
                            { "alpha", "52:54:00:00:00:09" },
                            { "beta", "52:54:00:00:00:01" } };
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    g_autofree char *text = NULL;
    g_autofree char *none = macs_format(list);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(entries); i++)
        g_ptr_array_add(list, &entries[i]);
    text = macs_format(list);
    assert_string_equal(none, "[]");
    assert_string_equal(text, "[\n"
                              "  {\n"
                              "    \"domain\" : \"alpha\",\n"
                              "    \"macs\" : [\n"
                              "      \"52:54:00:00:00:09\"\n"
                              "    ]\n"
                              "  },\n"
                              "  {\n"
                              "    \"domain\" : \"beta\",\n"
                              "    \"macs\" : [\n"
                              "      \"52:54:00:00:00:01\",\n"
                              "      \"52:54:00:00:00:02\"\n"
                              "    ]\n"
                              "  }\n"
                              "]");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),  cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_drop),   cmocka_unit_test(test_dnsmasq_form),
        cmocka_unit_test(test_broken), cmocka_unit_test(test_macs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
