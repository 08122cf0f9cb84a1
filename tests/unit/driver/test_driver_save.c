/* test_driver_save.c - saving and restoring guests, with a program that plays the VMM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "driver/domain/save_file.h"

static char *
path_in(const Harness *harness, const char *name)
{
    return g_build_filename(harness->dir, name, NULL);
}

static void
check_refused(bool done, GError **err, int code, const char *says)
{
    assert_false(done);
    assert_int_equal(kiln_error_code(*err), code);
    assert_non_null(strstr((*err)->message, says));
    g_clear_error(err);
}

static void
test_save_and_restore(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = path_in(harness, "vm.save"), *xml = NULL;
    g_autoptr(GError) err = NULL;
    DomainJobProgress job;
    struct stat st;

    domain_job_finished(domain, false, &job);
    assert_int_equal(job.operation, 0);
    assert_true(domain_save(domain, path, NULL, 0, &err));
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED);
    /* suspended, stopped: saved, and the job is over */
    harness_wait_event(harness, "vm 3 0\nvm id21 0\nvm 5 4\n");
    domain_job_finished(domain, true, &job);
    assert_true(job.completed);
    assert_int_equal(job.operation, VIR_DOMAIN_JOB_OPERATION_SAVE);
    assert_int_equal(job.total, 1000);
    domain_job_finished(domain, false, &job);
    assert_int_equal(job.total, 1000);
    domain_job_finished(domain, true, &job);
    assert_int_equal(job.operation, 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(harness_count(harness, ".", "vm.save"), 1);
    assert_false(domain_has_managed_save(domain));
    xml = domain_save_image_xml(harness->manager, path, 0, &err);
    assert_non_null(strstr(xml, "<name>vm</name>"));
    assert_null(strstr(xml, "<alias"));
    assert_true(domain_manager_restore(harness->manager, path, NULL, 0, &err));
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_RESTORED);
    harness_wait_event(harness, "vm 2 2\nvm 4 0\n"); /* started: restored, resumed */
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_OPERATION_INVALID, "already active");
    assert_true(domain_destroy(domain, 0, NULL));
    check_refused(domain_save(domain, path, NULL, 0, &err), &err, VIR_ERR_OPERATION_INVALID,
                  "not running");
}

static void
test_states_and_flags(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = path_in(harness, "vm.save");
    g_autoptr(GError) err = NULL;

    check_refused(domain_save(domain, path, NULL, 64, &err), &err, VIR_ERR_INVALID_ARG,
                  "unsupported flags (0x40)");
    check_refused(
        domain_save(domain, path, NULL, VIR_DOMAIN_SAVE_RUNNING | VIR_DOMAIN_SAVE_PAUSED, &err),
        &err, VIR_ERR_INVALID_ARG, "mutually exclusive");
    check_refused(domain_save(domain, "vm.save", NULL, 0, &err), &err, VIR_ERR_INVALID_ARG,
                  "not an absolute path");
    check_refused(domain_save(domain, harness->dir, NULL, 0, &err), &err, VIR_ERR_OPERATION_FAILED,
                  "is not a file");
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, -1);
    assert_true(domain_save(domain, path, NULL, VIR_DOMAIN_SAVE_PAUSED, &err));
    assert_true(domain_manager_restore(harness->manager, path, NULL, 0, &err));
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, -1);
    harness_wait_event(harness, "vm 2 2\nvm 3 4\n"); /* started, suspended: restored */
    assert_true(domain_save(domain, path, NULL, 0, &err));
    assert_true(
        domain_manager_restore(harness->manager, path, NULL, VIR_DOMAIN_SAVE_RUNNING, &err));
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_RESTORED);
    assert_true(domain_destroy(domain, 0, NULL));
}

static void
test_managed_save(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(GPtrArray) with = NULL;
    g_autofree char *xml = NULL;
    g_autoptr(GError) err = NULL;

    check_refused(domain_managed_save_xml(domain, 0, &err) != NULL, &err, VIR_ERR_OPERATION_INVALID,
                  "does not have managed save image");
    assert_true(domain_managed_save(domain, NULL, 0, &err));
    assert_true(domain_has_managed_save(domain));
    with = domain_manager_list(harness->manager, VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE);
    assert_int_equal(with->len, 1);
    xml = domain_managed_save_xml(domain, 0, &err);
    assert_true(domain_managed_save_define(domain, xml, VIR_DOMAIN_SAVE_PAUSED, &err));
    check_refused(domain_undefine(domain, 0, &err), &err, VIR_ERR_OPERATION_INVALID,
                  "managed save image exists");
    check_refused(domain_rename(domain, "other", &err), &err, VIR_ERR_OPERATION_INVALID,
                  "can't be renamed");
    g_clear_pointer(&with, g_ptr_array_unref);
    domain_unref(domain);
    harness_stop(harness);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_true(domain_has_managed_save(domain));
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED);
    assert_true(domain_start(domain, 0, NULL, &err));
    assert_false(domain_has_managed_save(domain));
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, -1);
    assert_int_equal(harness_count(harness, "lib/save", ""), 0);
    assert_true(domain_managed_save(domain, NULL, 0, &err));
    assert_true(domain_start(domain, VIR_DOMAIN_START_FORCE_BOOT, NULL, &err));
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED);
    assert_true(domain_managed_save(domain, NULL, 0, &err));
    assert_true(domain_managed_save_remove(domain, &err));
    check_refused(domain_managed_save_remove(domain, &err), &err, VIR_ERR_OPERATION_INVALID,
                  "does not have managed save image");
    assert_true(domain_undefine(domain, 0, &err));
}

static void
test_a_failed_save_leaves_the_guest_running(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "unsaved", "");
    g_autofree char *path = path_in(harness, "vm.save");
    g_autoptr(GError) err = NULL;
    DomainJobProgress job;

    check_refused(domain_save(domain, path, NULL, 0, &err), &err, VIR_ERR_OPERATION_FAILED,
                  "the disk is full");
    domain_job_finished(domain, true, &job);
    assert_int_equal(job.operation, 0);
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_SAVE_CANCELED);
    assert_int_equal(harness_count(harness, ".", "save"), 0);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(domain_destroy(domain, 0, NULL));
}

static gpointer
abort_soon(gpointer opaque)
{
    Domain *domain = opaque;
    DomainJobProgress progress = { 0 };

    while (progress.remaining == 0)
        assert_true(domain_job_progress(domain, &progress, NULL));
    assert_int_equal(progress.operation, VIR_DOMAIN_JOB_OPERATION_SAVE);
    assert_int_equal(progress.total, 1000);
    assert_true(domain_job_abort(domain, NULL));
    return NULL;
}

static void
test_a_save_can_be_aborted(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "endless", "");
    g_autofree char *path = path_in(harness, "vm.save");
    g_autoptr(GError) err = NULL;
    GThread *other;

    check_refused(domain_job_abort(domain, &err), &err, VIR_ERR_OPERATION_INVALID, "no job");
    other = g_thread_new("abort", abort_soon, domain);
    check_refused(domain_save(domain, path, NULL, 0, &err), &err, VIR_ERR_OPERATION_ABORTED,
                  "canceled by client");
    g_thread_join(other);
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_SAVE_CANCELED);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(domain_destroy(domain, 0, NULL));
}

static void
test_a_failed_restore_leaves_nothing(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml = harness_xml(harness, "vm", "unloaded", "", "");
    g_autoptr(Domain) domain = domain_manager_create(harness->manager, xml, 0, NULL, NULL);
    g_autofree char *path = path_in(harness, "vm.save");
    g_autoptr(GError) err = NULL;

    assert_true(domain_save(domain, path, NULL, 0, &err));
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_OPERATION_FAILED, "the disk is full");
    check_refused(domain_manager_lookup_name(harness->manager, "vm", &err) != NULL, &err,
                  VIR_ERR_NO_DOMAIN, "vm");
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
}

static void
test_damaged_heads(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = path_in(harness, "vm.save"), *bytes = NULL;
    g_autoptr(GError) err = NULL;
    gsize len;

    assert_true(domain_save(domain, path, NULL, 0, &err));
    assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    for (gsize at = 0; at < len; at += at < 200 ? 1 : 97) {
        if (bytes[at] == 0 && at >= 64)
            continue; /* room behind the definition */
        bytes[at] ^= 1;
        assert_true(g_file_set_contents(path, bytes, (gssize)len, NULL));
        assert_false(domain_manager_restore(harness->manager, path, NULL, 0, &err));
        assert_non_null(err);
        g_clear_error(&err);
        bytes[at] ^= 1;
    }
    assert_true(g_file_set_contents(path, bytes, 100, NULL));
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_OPERATION_FAILED, "too early");
    assert_true(g_file_set_contents(path, "<domain/>", -1, NULL));
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_OPERATION_FAILED, "too short");
    check_refused(domain_manager_restore(harness->manager, "/nonexistent", NULL, 0, &err), &err,
                  VIR_ERR_SYSTEM_ERROR, "cannot open");
}

static void
test_definitions_in_the_file(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = path_in(harness, "vm.save"), *xml = NULL, *now = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GString) other = NULL;

    assert_true(domain_save(domain, path, NULL, 0, &err));
    xml = domain_save_image_xml(harness->manager, path, 0, &err);
    other = g_string_new(xml);
    g_string_replace(other, "</name>", "</name>\n<title>edited</title>", 1);
    assert_true(domain_save_image_define(harness->manager, path, other->str, 0, &err));
    now = domain_save_image_xml(harness->manager, path, 0, &err);
    assert_non_null(strstr(now, "<title>edited</title>"));
    g_string_assign(other, xml);
    g_string_replace(other, "<vcpu placement='static'>2</vcpu>",
                     "<vcpu placement='static'>3</vcpu>", 1);
    assert_string_not_equal(other->str, xml);
    check_refused(domain_save_image_define(harness->manager, path, other->str, 0, &err), &err,
                  VIR_ERR_CONFIG_UNSUPPORTED, "3");
    assert_true(domain_manager_restore(harness->manager, path, NULL, 0, &err));
    assert_true(domain_destroy(domain, 0, NULL));
}

/* Hooks change what is restored, by virsh restore and from a managed save, as far as the guest
 * cannot tell; they can refuse. */
static void
test_hooks_change_what_is_restored(void **state)
{
    Harness *harness = *state;
    g_autofree char *path = path_in(harness, "vm.save"), *xml = NULL, *managed = NULL;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(GError) err = NULL;

    assert_true(domain_save(domain, path, NULL, 0, &err));
    harness_set_hook(harness, "#!/bin/sh\n[ $2 != restore ] || "
                              "sed 's,</name>,</name><title>by the hook</title>,'\n");
    if (!domain_manager_restore(harness->manager, path, NULL, 0, &err))
        fail_msg("%s", err->message);
    xml = domain_xml(domain, 0, &err);
    assert_non_null(strstr(xml, "<title>by the hook</title>"));
    harness_set_hook(harness, "#!/bin/sh\n[ $2 != restore ] || "
                              "sed 's,<title>.*,<title>of a managed save</title>,'\n");
    assert_true(domain_managed_save(domain, NULL, 0, &err));
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SAVED);
    if (!domain_start(domain, 0, NULL, &err))
        fail_msg("%s", err->message);
    managed = domain_xml(domain, 0, &err);
    assert_non_null(strstr(managed, "<title>of a managed save</title>"));
    assert_true(domain_destroy(domain, 0, NULL));
    harness_set_hook(harness, "#!/bin/sh\n[ $2 != restore ] || { echo not today >&2; exit 4; }\n");
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_HOOK_SCRIPT_FAILED, "status 4: not today");
    harness_set_hook(harness, "#!/bin/sh\n[ $2 != restore ] || sed 's,>2</vcpu>,>3</vcpu>,'\n");
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_CONFIG_UNSUPPORTED, "hook script");
    harness_set_hook(harness, "#!/bin/sh\n[ $2 != restore ] || echo nonsense\n");
    check_refused(domain_manager_restore(harness->manager, path, NULL, 0, &err), &err,
                  VIR_ERR_XML_DETAIL, "hook script");
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
}

static void
test_packing(void **state)
{
    int from = memfd_create("from", 0), to = memfd_create("to", 0);
    const size_t size = 5 << 20;
    g_autofree uint8_t *data = g_malloc(size), *back = g_malloc(size), *packed = NULL;
    off_t len;

    (void)state;
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i >> 9 ^ i * 7);
    assert_int_equal(write(from, data, size), size);
    lseek(from, 0, SEEK_SET);
    assert_int_equal(save_pack(from, to), 0);
    len = lseek(to, 0, SEEK_END);
    assert_true(len < (off_t)size / 2);
    packed = g_malloc((size_t)len);
    assert_int_equal(pread(to, packed, (size_t)len, 0), len);
    assert_int_equal(ZSTD_decompress(back, size, packed, (size_t)len), size);
    assert_memory_equal(data, back, size);
    close(to);
    lseek(from, 0, SEEK_SET);
    to = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(save_pack(from, to), -ENOSPC);
    close(from);
    close(to);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
        TEST(test_save_and_restore),
        TEST(test_states_and_flags),
        TEST(test_managed_save),
        TEST(test_a_failed_save_leaves_the_guest_running),
        TEST(test_a_save_can_be_aborted),
        TEST(test_a_failed_restore_leaves_nothing),
        TEST(test_damaged_heads),
        TEST(test_definitions_in_the_file),
        TEST(test_hooks_change_what_is_restored),
        cmocka_unit_test(test_packing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
