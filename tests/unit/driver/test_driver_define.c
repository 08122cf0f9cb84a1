/* test_driver_define.c - definitions: files, clashes, loading, changes, one job at a time.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_harness.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "driver/domain/private.h"

#define UUID_A "<uuid>11111111-2222-4333-8444-555555555555</uuid>"
#define UUID_B "<uuid>11111111-2222-4333-8444-666666666666</uuid>"

static char *
config_path(const Harness *harness, const char *name)
{
    return g_strdup_printf("%s/etc/%s", harness->dir, name);
}

static char *
read_config(const Harness *harness, const char *name)
{
    g_autofree char *path = config_path(harness, name);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

/* Definitions under the same harness that libvirt would refuse. */
static void
define_refused(Harness *harness, const char *name, const char *uuid, int code, const char *why)
{
    g_autofree char *xml = harness_xml(harness, name, "", uuid, "");
    g_autoptr(GError) err = NULL;

    assert_null(domain_manager_define(harness->manager, xml, 0, &err));
    assert_int_equal(kiln_error_code(err), code);
    if (!strstr(err->message, why))
        fail_msg("'%s' does not say '%s'", err->message, why);
}

static void
test_definitions_last(void **state)
{
    Harness *harness = *state;
    g_autofree char *text = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    Domain *domain = harness_define(harness, "vm", "a -- b", UUID_A);

    assert_true(harness_has_event(harness, "vm 0 0\n"));
    assert_true(domain_set_autostart(domain, true, NULL));
    before = domain_xml(domain, 0, NULL);
    text = read_config(harness, "vm.xml");
    assert_non_null(strstr(text, "virsh edit vm"));
    domain_unref(domain);
    harness_stop(harness);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    after = domain_xml(domain, 0, NULL);
    assert_string_equal(after, before);
    assert_true(domain_autostart(domain));
    assert_true(domain_is_persistent(domain));
    domain_unref(domain);
}

static void
test_clashes(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", UUID_A);
    g_autoptr(Domain) again = harness_define(harness, "vm", "changed", UUID_A);

    assert_ptr_equal(domain, again);
    assert_true(harness_has_event(harness, "vm 0 1\n"));
    define_refused(harness, "other", UUID_A, VIR_ERR_OPERATION_FAILED,
                   "domain 'vm' is already defined with uuid 11111111-2222-4333-8444-555555555555");
    define_refused(harness, "vm", UUID_B, VIR_ERR_OPERATION_FAILED,
                   "domain 'vm' already exists with uuid 11111111-2222-4333-8444-555555555555");
}

static void
test_looking_up(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", UUID_A);
    g_autoptr(Domain) found =
        domain_manager_lookup_uuid(harness->manager, domain_uuid(domain), NULL, NULL);
    const uint8_t other[16] = { 1 };
    g_autoptr(GError) err = NULL;

    assert_ptr_equal(found, domain);
    assert_null(domain_manager_lookup_name(harness->manager, "none", &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_NO_DOMAIN);
    assert_string_equal(err->message, "no domain with matching name 'none'");
    g_clear_error(&err);
    assert_null(domain_manager_lookup_id(harness->manager, 5, &err));
    assert_string_equal(err->message, "no domain with matching id 5");
    g_clear_error(&err);
    assert_null(domain_manager_lookup_uuid(harness->manager, other, "old", &err));
    assert_string_equal(err->message, "no domain with matching uuid "
                                      "'01000000-0000-0000-0000-000000000000' (old)");
}

static void
test_undefine(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");
    g_autoptr(GPtrArray) all = NULL;
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(domain_set_autostart(domain, true, NULL));
    assert_true(domain_undefine(domain,
                                VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_NVRAM |
                                    VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
                                NULL));
    assert_true(harness_has_event(harness, "vm 1 0\n"));
    text = read_config(harness, "vm.xml");
    assert_null(text);
    assert_int_equal(harness_count(harness, "etc/autostart", ""), 0);
    all = domain_manager_list(harness->manager, 0);
    assert_int_equal(all->len, 0);
    assert_false(domain_start(domain, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_NO_DOMAIN);
}

static void
test_a_running_guest_keeps_its_definition(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "first", UUID_A);
    g_autoptr(Domain) again = harness_define(harness, "vm", "second", UUID_A);
    g_autofree char *live = domain_xml(domain, 0, NULL);
    g_autofree char *config = domain_xml(domain, VIR_DOMAIN_XML_INACTIVE, NULL);

    assert_non_null(strstr(live, "first"));
    assert_non_null(strstr(config, "second"));
    assert_true(domain_is_updated(domain));
    assert_true(domain_undefine(domain, 0, NULL));
    assert_false(domain_is_persistent(domain));
    assert_true(domain_is_active(domain));
    assert_true(domain_destroy(domain, 0, NULL));
    g_clear_pointer(&again, domain_unref);
    again = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_null(again);
}

/* virt-install starts a transient guest and then defines it. */
static void
test_a_transient_guest_becomes_persistent(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml = harness_xml(harness, "vm", "", UUID_A, "");
    g_autoptr(Domain) domain = domain_manager_create(harness->manager, xml, 0, NULL, NULL);
    g_autoptr(Domain) defined = harness_define(harness, "vm", "", UUID_A);
    g_autoptr(GError) err = NULL;

    assert_ptr_equal(domain, defined);
    assert_true(domain_is_persistent(domain));
    assert_null(domain_manager_create(harness->manager, xml, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    assert_string_equal(err->message, "domain 'vm' is already active");
    assert_true(domain_destroy(domain, 0, NULL));
    assert_true(domain_is_persistent(domain));
}

/* A file-size limit makes write(2) fail half-way, as a full disk does. */
static void
test_a_full_disk_keeps_the_old_definition(void **state)
{
    Harness *harness = *state;
    g_autofree char *long_text = g_strnfill(1 << 16, 'x');
    g_autofree char *title = g_strdup_printf(UUID_A "<description>%s</description>", long_text);
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", UUID_A);
    g_autofree char *before = read_config(harness, "vm.xml");
    g_autofree char *changed = harness_xml(harness, "vm", "", title, "");
    g_autofree char *fresh = harness_xml(harness, "new", "", "<title>new</title>", "");
    g_autofree char *after = NULL;
    g_autofree char *xml = NULL;
    g_autoptr(Domain) none = NULL;
    g_autoptr(GError) err = NULL;
    struct rlimit saved, small;

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &saved);
    small = saved;
    small.rlim_cur = 16384;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_null(domain_manager_define(harness->manager, changed, 0, &err));
    small.rlim_cur = 16;
    setrlimit(RLIMIT_FSIZE, &small);
    assert_null(domain_manager_define(harness->manager, fresh, 0, NULL));
    setrlimit(RLIMIT_FSIZE, &saved);
    assert_int_equal(kiln_error_code(err), VIR_ERR_SYSTEM_ERROR);
    after = read_config(harness, "vm.xml");
    assert_string_equal(after, before);
    xml = domain_xml(domain, 0, NULL);
    assert_null(strstr(xml, "xxxx"));
    none = domain_manager_lookup_name(harness->manager, "new", NULL);
    assert_null(none);
}

static void
test_a_broken_file_is_named_and_kept(void **state)
{
    Harness *harness = *state;
    g_autofree char *broken = config_path(harness, "broken.xml");
    g_autofree char *misnamed = config_path(harness, "misnamed.xml");
    g_autofree char *xml = harness_xml(harness, "other", "", "", "");
    g_autoptr(GPtrArray) all = NULL;

    harness_stop(harness);
    assert_true(g_file_set_contents(broken, "<domain", -1, NULL));
    assert_true(g_file_set_contents(misnamed, xml, -1, NULL));
    harness_begin(harness);
    all = domain_manager_list(harness->manager, 0);
    assert_int_equal(all->len, 0);
    assert_true(harness_has_warning(harness, "broken.xml"));
    assert_true(harness_has_warning(harness, "misnamed.xml"));
    assert_int_equal(access(broken, F_OK), 0);
}

static void
test_rename(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "old", "", UUID_A);
    g_autoptr(Domain) taken = harness_define(harness, "taken", "", UUID_B);
    g_autofree char *name = NULL;
    g_autofree char *gone = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(domain_set_autostart(domain, true, NULL));
    assert_false(domain_rename(domain, "taken", &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    g_clear_error(&err);
    assert_false(domain_rename(domain, "a/b", &err));
    assert_true(domain_rename(domain, "new", NULL));
    name = domain_dup_name(domain);
    assert_string_equal(name, "new");
    gone = read_config(harness, "old.xml");
    assert_null(gone);
    assert_int_equal(harness_count(harness, "etc/autostart", "new.xml"), 1);
    assert_int_equal(harness_count(harness, "etc/autostart", "old.xml"), 0);
}

static unsigned
list_count(Harness *harness, unsigned flags)
{
    g_autoptr(GPtrArray) list = domain_manager_list(harness->manager, flags);

    return list->len;
}

static void
test_list_filters(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) a = harness_define(harness, "a", "", "");
    g_autoptr(Domain) b = harness_start(harness, "b", "", "");
    g_autofree char *xml = harness_xml(harness, "c", "", "", "");
    g_autoptr(Domain) c =
        domain_manager_create(harness->manager, xml, VIR_DOMAIN_START_PAUSED, NULL, NULL);

    assert_true(domain_set_autostart(a, true, NULL));
    assert_int_equal(list_count(harness, 0), 3);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_ACTIVE), 2);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_INACTIVE), 1);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_TRANSIENT), 1);
    assert_int_equal(
        list_count(harness, VIR_CONNECT_LIST_DOMAINS_PERSISTENT | VIR_CONNECT_LIST_DOMAINS_ACTIVE),
        1);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_AUTOSTART), 1);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_PAUSED), 1);
    assert_int_equal(
        list_count(harness, VIR_CONNECT_LIST_DOMAINS_SHUTOFF | VIR_CONNECT_LIST_DOMAINS_RUNNING),
        2);
    assert_int_equal(list_count(harness, VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT), 0);
}

static void
test_metadata(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");
    const char *uri = "http://example.org/x";
    g_autofree char *element = NULL;
    g_autofree char *title = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(
        domain_set_metadata(domain, VIR_DOMAIN_METADATA_TITLE, "A title", NULL, NULL, 0, NULL));
    title = domain_metadata(domain, VIR_DOMAIN_METADATA_TITLE, NULL, 0, NULL);
    assert_string_equal(title, "A title");
    assert_true(domain_set_metadata(domain, VIR_DOMAIN_METADATA_ELEMENT, "<a><b c='1'/></a>", "x",
                                    uri, VIR_DOMAIN_AFFECT_CONFIG, NULL));
    element = domain_metadata(domain, VIR_DOMAIN_METADATA_ELEMENT, uri, 0, NULL);
    assert_non_null(strstr(element, "<b c=\"1\"/>"));
    assert_true(harness_has_event(harness, "vm id23 "));
    assert_true(domain_set_metadata(domain, VIR_DOMAIN_METADATA_ELEMENT, NULL, NULL, uri, 0, NULL));
    assert_null(domain_metadata(domain, VIR_DOMAIN_METADATA_ELEMENT, uri, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_NO_DOMAIN_METADATA);
    g_clear_error(&err);
    assert_false(domain_set_metadata(domain, VIR_DOMAIN_METADATA_TITLE, "x", NULL, NULL,
                                     VIR_DOMAIN_AFFECT_LIVE, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
}

static void
test_memory_and_pins(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(GPtrArray) pins = NULL;
    g_autoptr(GError) err = NULL;
    DomainInfo info;

    assert_true(domain_set_memory(domain, 32768, VIR_DOMAIN_AFFECT_LIVE, NULL));
    harness_wait_event(harness, "vm id13 32768\n");
    domain_info(domain, &info);
    assert_int_equal(info.memory, 32768);
    assert_false(domain_set_memory(domain, 1 << 20, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    g_clear_error(&err);
    assert_false(domain_set_memory(domain, 1 << 20, VIR_DOMAIN_MEM_MAXIMUM, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    g_clear_error(&err);
    assert_true(domain_pin(domain, DOMAIN_PIN_VCPU, 1, "0",
                           VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, NULL));
    pins = domain_pins(domain, DOMAIN_PIN_VCPU, VIR_DOMAIN_AFFECT_CONFIG, NULL);
    assert_int_equal(pins->len, 2);
    assert_null(((DomainPinInfo *)pins->pdata[0])->cpus);
    assert_string_equal(((DomainPinInfo *)pins->pdata[1])->cpus, "0");
    assert_false(domain_pin(domain, DOMAIN_PIN_VCPU, 2, "0", 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    assert_int_equal(
        domain_vcpu_count(domain, VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_VCPU_CONFIG, NULL), 2);
}

/* Several threads that start and destroy one guest get one after the other, and queries go on. */
static gpointer
churn(gpointer opaque)
{
    for (int i = 0; i < 8; i++) {
        domain_start(opaque, 0, NULL, NULL);
        domain_suspend(opaque, NULL);
        domain_destroy(opaque, 0, NULL);
    }
    return NULL;
}

static void
test_jobs_take_turns(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");
    GThread *threads[4];
    gint64 slowest = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("churn", churn, domain);
    for (int i = 0; i < 200; i++) {
        gint64 start = g_get_monotonic_time();
        g_autofree char *xml = domain_xml(domain, 0, NULL);

        assert_non_null(xml);
        slowest = MAX(slowest, g_get_monotonic_time() - start);
        g_usleep(1000);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    assert_false(domain_is_active(domain));
    /* far less than any job here takes, though this machine may be busy */
    assert_true(slowest < G_USEC_PER_SEC);
}

/* The status file of a guest is written by who has its job: one who stops the guest removes it. */
static void
test_news_of_a_guest_wait_for_its_job(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = g_strdup_printf("%s/run/vm.status", harness->dir);
    g_autofree char *before = NULL;
    g_autofree char *during = NULL;
    g_autofree char *after = NULL;

    assert_true(domain_job_begin(domain, "test", NULL));
    assert_true(g_file_get_contents(path, &before, NULL, NULL));
    harness_tell(domain, "stop");
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, -1);
    g_usleep(100000);
    assert_true(g_file_get_contents(path, &during, NULL, NULL));
    domain_job_end(domain);
    assert_string_equal(before, during);
    for (int ms = 0; ms < 10000; ms += 10) {
        g_clear_pointer(&after, g_free);
        assert_true(g_file_get_contents(path, &after, NULL, NULL));
        if (strcmp(before, after) != 0)
            return;
        g_usleep(10000);
    }
    fail_msg("the status file was not written:\n%s", after);
}

static void
test_undefine_asks_about_the_variable_store(void **state)
{
    Harness *harness = *state;
    g_autofree char *store = g_strdup_printf("%s/vars.fd", harness->dir);
    g_autofree char *xml = g_strdup_printf(
        "<domain type='kvm'><name>vm</name><memory unit='MiB'>64</memory><os>"
        "<type arch='x86_64' machine='q35'>hvm</type>"
        "<loader readonly='yes' type='pflash'>%s</loader><nvram>%s</nvram></os></domain>",
        harness->kernel, store);
    g_autoptr(GError) err = NULL;
    Domain *domain = domain_manager_define(harness->manager, xml, 0, NULL);

    assert_non_null(domain);
    assert_true(g_file_set_contents(store, "vars", -1, NULL));
    assert_false(domain_undefine(domain, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    assert_non_null(strstr(err->message, "nvram"));
    assert_true(domain_undefine(domain, VIR_DOMAIN_UNDEFINE_KEEP_NVRAM, NULL));
    domain_unref(domain);
    assert_int_equal(access(store, F_OK), 0);

    domain = domain_manager_define(harness->manager, xml, 0, NULL);
    assert_non_null(domain);
    assert_true(domain_undefine(domain, VIR_DOMAIN_UNDEFINE_NVRAM, NULL));
    assert_int_equal(access(store, F_OK), -1);
    domain_unref(domain);
}

static void
test_autostart_once_for_each_boot(void **state)
{
    Harness *harness = *state;
    g_autofree char *marker = g_strdup_printf("%s/run/autostarted", harness->dir);
    Domain *domain = harness_define(harness, "vm", "", "");

    assert_true(domain_set_autostart(domain, true, NULL));
    domain_unref(domain);
    harness_stop(harness);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_false(domain_is_active(domain));
    domain_unref(domain);
    harness_stop(harness);
    assert_int_equal(g_remove(marker), 0);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, -1);
    domain_unref(domain);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_definitions_last),
        TEST(test_clashes),
        TEST(test_looking_up),
        TEST(test_undefine),
        TEST(test_a_running_guest_keeps_its_definition),
        TEST(test_a_transient_guest_becomes_persistent),
        TEST(test_a_full_disk_keeps_the_old_definition),
        TEST(test_a_broken_file_is_named_and_kept),
        TEST(test_rename),
        TEST(test_list_filters),
        TEST(test_metadata),
        TEST(test_memory_and_pins),
        TEST(test_jobs_take_turns),
        TEST(test_news_of_a_guest_wait_for_its_job),
        TEST(test_undefine_asks_about_the_variable_store),
        TEST(test_autostart_once_for_each_boot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
