/* test_driver_migrate.c - the steps of a migration between two managers, with programs that play
 * the VMMs: the order of steps, what each failure leaves, addresses and cookies.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_harness.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/domain/migrate.h"

static void
check_refused(bool done, GError **err, int code, const char *says)
{
    assert_false(done);
    assert_int_equal(kiln_error_code(*err), code);
    assert_non_null(strstr((*err)->message, says));
    g_clear_error(err);
}

static void
test_what_is_refused(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    DomainMigrate migrate = { .flags = VIR_MIGRATE_TUNNELLED };
    g_autofree char *cookie = NULL, *xml = NULL, *uri = NULL;
    g_autoptr(GError) err = NULL;

    check_refused(domain_migrate_begin(domain, &migrate, NULL, &cookie, &err) != NULL, &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "tunnelled");
    migrate.flags = 0;
    xml = domain_migrate_begin(domain, &migrate, NULL, &cookie, &err);
    assert_non_null(xml);
    migrate.xml = xml;
    check_refused(
        domain_manager_migrate_prepare(harness->manager, &migrate, NULL, &uri, &uri, &err), &err,
        VIR_ERR_INTERNAL_ERROR, "no cookie");
    migrate.cookie = cookie;
    migrate.cookie_length = strlen(cookie);
    check_refused(
        domain_manager_migrate_prepare(harness->manager, &migrate, NULL, &uri, &uri, &err), &err,
        VIR_ERR_INTERNAL_ERROR, "to the same host");
    migrate.cookie_length /= 2;
    assert_false(
        domain_manager_migrate_prepare(harness->manager, &migrate, NULL, &uri, &uri, NULL));
    assert_int_equal(domain_migrate_speed(domain), DOMAIN_MIGRATE_SPEED_MAX);
    assert_true(domain_migrate_set_speed(domain, 12, &err));
    assert_int_equal(domain_migrate_speed(domain), 12);
    check_refused(domain_migrate_set_speed(domain, UINT64_MAX, &err), &err, VIR_ERR_OVERFLOW,
                  "less than");
    assert_true(domain_migrate_set_downtime(domain, 5, &err));
    assert_true(domain_migrate_downtime(domain, &migrate.bandwidth, &err));
    assert_int_equal(migrate.bandwidth, 321);
    assert_true(domain_destroy(domain, 0, &err));
}

static void
test_addresses(void **state)
{
    static const char *const bad[] = { "tcp://",      "tcp://[::1", "tcp:h:0",
                                       "tcp:h:65536", "tcp:h:1x",   "unix:rel",
                                       "unix://rel",  "nonsense",   "tcp://[::1]x" };
    g_autofree char *uri = NULL;
    g_autoptr(GError) err = NULL;
    int fd, peer, connected;

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
        check_refused(migrate_listen(bad[i], NULL, &uri, &err) >= 0, &err, VIR_ERR_INVALID_ARG,
                      "no address");
    check_refused(migrate_listen("rdma://h", NULL, &uri, &err) >= 0, &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "not offered");
    check_refused(migrate_connect("tcp://127.0.0.1", &err) >= 0, &err, VIR_ERR_INVALID_ARG,
                  "no address");
    fd = migrate_listen("tcp://127.0.0.1", "127.0.0.1", &uri, &err);
    assert_true(fd >= 0);
    assert_true(g_str_has_prefix(uri, "tcp:127.0.0.1:49"));
    connected = migrate_connect(uri, &err);
    assert_true(connected >= 0);
    peer = accept(fd, NULL, NULL);
    assert_true(peer >= 0);
    close(peer);
    close(connected);
    close(fd);
    check_refused(migrate_connect(uri, &err) >= 0, &err, VIR_ERR_OPERATION_FAILED,
                  "unable to connect");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_refused, harness_setup, harness_teardown),
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
