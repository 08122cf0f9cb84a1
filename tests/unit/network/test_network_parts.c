/* test_network_parts.c - what of a manager works without rights, interface names.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "network/network.h"
#include "network/tap.h"
#include "util/error.h"

static void
test_session(void **state)
{
    const NetworkConfig config = { .config_dir = "/nowhere/c",
                                   .run_dir = "/nowhere/r",
                                   .dnsmasq_dir = "/nowhere/d",
                                   .leases_helper = "/nowhere/h" };
    NetworkManager *manager = network_manager_new(&config, NULL, NULL);
    static const uint8_t uuid[16] = { 7 };
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GError) err = NULL;
    NetworkPortRequest req = { .kind = NETWORK_PORT_NETWORK, .source = "default" };

    (void)state;
    assert_true(network_manager_load(manager, &err));
    list = network_manager_list(manager, 0);
    assert_int_equal(list->len, 0);
    assert_null(network_manager_define(manager, "<network><name>n</name></network>", 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_OPERATION_UNSUPPORTED));
    assert_non_null(strstr(err->message, "<interface type='user'>"));
    g_clear_error(&err);
    assert_null(network_manager_create(manager, "<network><name>n</name></network>", 0, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_OPERATION_UNSUPPORTED));
    g_clear_error(&err);
    assert_null(network_manager_lookup_name(manager, "n", &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_NETWORK));
    g_clear_error(&err);
    assert_null(network_manager_lookup_uuid(manager, uuid, &err));
    assert_non_null(strstr(err->message, "07000000-0000-0000-0000-000000000000"));
    g_clear_error(&err);
    assert_null(network_port_open(manager, &req, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_NO_NETWORK));
    network_manager_free(manager);
}

static void
test_names(void **state)
{
    static const char *const good[] = { "vnet0", "a", "tap-1.2", "123456789012345" };
    static const char *const bad[] = { "",      ".",   "..",   "1234567890123456",
                                       "a/b",   "a b", "a:b",  "a\nb",
                                       "a\"b",  "x%s", "%d%d", "a%",
                                       "a%d%n", "a\\b" };
    int fd = -1;
    char name[IFNAMSIZ];
    g_autoptr(GError) err = NULL;

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(tap_name_valid(good[i], false));
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(tap_name_valid(bad[i], true));
    assert_true(tap_name_valid("vnet%d", true));
    assert_false(tap_name_valid("vnet%d", false));
    assert_false(tap_open("a/b", 1, true, false, name, &fd, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_CONFIG_UNSUPPORTED));
    assert_int_equal(fd, -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
