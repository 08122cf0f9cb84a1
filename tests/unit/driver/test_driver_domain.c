/* test_driver_domain.c - the life of guests, with a program that plays the VMM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_harness.h"

#include "driver/domain/graphics.h"
#include "driver/domain/native.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void
test_start_shows_the_live_guest(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autofree char *live = domain_xml(domain, 0, NULL);
    g_autofree char *inactive = domain_xml(domain, VIR_DOMAIN_XML_INACTIVE, NULL);
    g_autoptr(Domain) found = domain_manager_lookup_id(harness->manager, domain_id(domain), NULL);
    DomainInfo info;

    assert_ptr_equal(found, domain);
    assert_int_equal(domain_id(domain), 1);
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED);
    assert_non_null(strstr(live, "/dev/pts/"));
    assert_non_null(strstr(live, "<alias name='serial0'/>"));
    assert_null(strstr(inactive, "/dev/pts/"));
    assert_null(strstr(inactive, "<alias"));
    domain_info(domain, &info);
    assert_int_equal(info.vcpus, 2);
    assert_int_equal(info.max_memory, 65536);
    harness_wait_event(harness, "vm 4 0\nvm 2 0\n"); /* resumed, started */
}

static void
test_destroy_leaves_nothing(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    pid_t pid = harness_pid(harness, domain);
    g_autoptr(GError) err = NULL;

    assert_int_equal(kill(pid, 0), 0);
    assert_true(domain_destroy(domain, 0, NULL));
    assert_int_equal(domain_id(domain), -1);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED);
    assert_true(harness_has_event(harness, "vm 5 1\n"));
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
    assert_int_equal(harness_count(harness, "run", ".monitor"), 0);
    assert_false(domain_destroy(domain, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
}

static void
test_the_daemons_oom_score_stays_its_own(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = NULL;
    g_autofree char *before = NULL, *path = NULL, *theirs = NULL;

    assert_true(g_file_get_contents("/proc/self/oom_score_adj", &before, NULL, NULL));
    assert_true(g_file_set_contents_full("/proc/self/oom_score_adj", "300", -1,
                                         G_FILE_SET_CONTENTS_NONE, 0644, NULL));
    domain = harness_start(harness, "vm", "", "");
    path = g_strdup_printf("/proc/%d/oom_score_adj", (int)harness_pid(harness, domain));
    assert_true(g_file_get_contents(path, &theirs, NULL, NULL));
    assert_string_equal(theirs, "0\n");
    g_file_set_contents_full("/proc/self/oom_score_adj", before, -1, G_FILE_SET_CONTENTS_NONE, 0644,
                             NULL);
}

static void
test_ids_are_not_used_again(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");

    assert_true(domain_destroy(domain, 0, NULL));
    assert_true(domain_start(domain, 0, NULL, NULL));
    assert_int_equal(domain_id(domain), 2);
}

static void
test_graceful_destroy_spares_a_stubborn_guest(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "stubborn", "");
    g_autoptr(GError) err = NULL;

    assert_false(domain_destroy(domain, VIR_DOMAIN_DESTROY_GRACEFUL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_SYSTEM_ERROR);
    assert_true(domain_is_active(domain));
    kill(harness_pid(harness, domain), SIGKILL);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, -1);
}

static void
test_the_vmms_reason_reaches_the_error(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "fail", "");
    g_autofree char *log = g_strdup_printf("%s/log/vm.log", harness->dir);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    assert_false(domain_start(domain, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INTERNAL_ERROR);
    assert_non_null(strstr(err->message,
                           "process exited while connecting to monitor: kiln-vmm: this "
                           "guest was told to fail"));
    assert_non_null(strstr(err->message, log));
    assert_false(domain_is_active(domain));
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
    assert_true(g_file_get_contents(log, &text, NULL, NULL));
    assert_non_null(strstr(text, "-append fail"));
}

static void
test_a_vmm_that_speaks_nonsense_is_ended(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "garbage", "");
    g_autoptr(GError) err = NULL;

    assert_false(domain_start(domain, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INTERNAL_ERROR);
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
}

static void
test_a_guest_that_will_not_run_is_cleared_away(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "nocont", "");
    g_autoptr(GError) err = NULL;

    assert_false(domain_start(domain, 0, NULL, &err));
    assert_non_null(strstr(err->message, "does not want to"));
    assert_false(domain_is_active(domain));
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
}

static gpointer
start_thread(gpointer domain)
{
    GError *err = NULL;

    assert_false(domain_start(domain, 0, NULL, &err));
    return err;
}

static void
test_a_starting_guest_can_be_destroyed(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "mute", "");
    GThread *thread = g_thread_new("start", start_thread, domain);
    g_autoptr(GError) err = NULL;

    while (harness_count(harness, "run", ".status") == 0)
        g_usleep(1000);
    assert_true(domain_destroy(domain, 0, NULL));
    err = g_thread_join(thread);
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_ABORTED);
    assert_false(domain_is_active(domain));
}

static void
test_a_crash_is_told_apart(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");

    kill(harness_pid(harness, domain), SIGKILL);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED);
    harness_wait_event(harness, "vm 5 5\n");
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
    assert_true(domain_start(domain, 0, NULL, NULL));
}

static void
test_a_guest_that_dies_at_once(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "die", "");

    domain_start(domain, 0, NULL, NULL);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, -1);
    assert_false(domain_is_active(domain));
}

static void
test_shutdown_by_button(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");

    assert_true(domain_shutdown(domain, 0, NULL));
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN);
    harness_wait_event(harness, "vm 6 1\nvm 5 0\n"); /* shutdown by the guest, stopped */
}

static void
test_a_deaf_guest_stays(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "deaf", "");
    g_autoptr(GError) err = NULL;

    assert_true(domain_shutdown(domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN, NULL));
    assert_true(domain_is_active(domain));
    assert_false(domain_shutdown(domain, VIR_DOMAIN_SHUTDOWN_GUEST_AGENT, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_ARGUMENT_UNSUPPORTED);
}

static void
test_reboot_resets_in_place(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    pid_t pid = harness_pid(harness, domain);

    assert_true(domain_reboot(domain, 0, NULL));
    harness_wait_event(harness, "vm id1 ");
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, -1);
    assert_int_equal(harness_pid(harness, domain), pid);
    assert_int_equal(domain_id(domain), 1);
    assert_false(harness_has_event(harness, "vm 5 "));
}

static void
test_a_watchdog_that_pauses(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");

    harness_tell(domain, "x-watchdog");
    harness_wait_event(harness, "vm id3 ");
    harness_wait_event(harness, "vm 3 3\n"); /* suspended by the watchdog */
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_WATCHDOG);
    assert_false(harness_has_event(harness, "vm 3 0\n"));
    assert_true(domain_resume(domain, NULL));
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, -1);
}

static void
test_a_watchdog_that_dumps(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml =
        harness_xml(harness, "vm", "", "", "<watchdog model='i6300esb' action='dump'/>");
    g_autofree char *dir = g_build_filename(harness->dir, "lib", "dump", NULL);
    g_autoptr(Domain) domain = domain_manager_define(harness->manager, xml, 0, NULL);
    g_autoptr(GDir) files = NULL;

    assert_true(domain_start(domain, 0, NULL, NULL));
    harness_tell(domain, "x-watchdog");
    harness_wait_event(harness, "vm id3 ");
    harness_wait_event(harness, "vm 3 3\n"); /* suspended by the watchdog */
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_UNPAUSED);
    files = g_dir_open(dir, 0, NULL);
    assert_non_null(files);
    assert_true(g_str_has_prefix(g_dir_read_name(files), "1-vm-"));
    assert_null(g_dir_read_name(files));
}

static void
test_a_disk_that_fails(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");

    harness_tell(domain, "x-io-error");
    harness_wait_event(harness, "vm id4 ");
    harness_wait_event(harness, "vm 3 2\n"); /* suspended by an I/O error */
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR);
    assert_false(harness_has_event(harness, "vm 3 0\n"));
    assert_true(domain_resume(domain, NULL));
    harness_wait_state(domain, VIR_DOMAIN_RUNNING, -1);
}

/* The host's SMBIOS is asked for, also where a command line is only printed. */
static void
test_a_host_without_smbios(void **state)
{
    static const char xml[] = "<domain type='kvm'><name>n</name><memory unit='MiB'>64</memory><os>"
                              "<type arch='x86_64' machine='q35'>hvm</type><smbios mode='host'/>"
                              "</os></domain>";
    Harness *harness = *state;
    g_autoptr(GError) err = NULL;

    assert_null(domain_manager_to_native(harness->manager, "qemu-argv", xml, &err));
    assert_non_null(strstr(err->message, "SMBIOS"));
}

static void
test_actions_at_the_end(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) restart =
        harness_start(harness, "a", "", "<on_poweroff>restart</on_poweroff>");
    g_autoptr(Domain) preserve =
        harness_start(harness, "b", "", "<on_poweroff>preserve</on_poweroff>");
    g_autoptr(Domain) reboot = harness_start(harness, "c", "", "<on_reboot>destroy</on_reboot>");
    g_autoptr(Domain) crash = harness_start(harness, "d", "", "<on_crash>preserve</on_crash>");
    g_autoptr(Domain) gone = harness_start(harness, "e", "", "<on_crash>destroy</on_crash>");
    g_autoptr(GError) err = NULL;

    harness_tell(restart, "x-poweroff");
    harness_wait_event(harness, "a id1 ");
    harness_wait_state(restart, VIR_DOMAIN_RUNNING, -1);
    harness_tell(preserve, "x-poweroff");
    harness_wait_state(preserve, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SHUTTING_DOWN);
    assert_false(domain_resume(preserve, &err));
    assert_non_null(strstr(err->message, "reset it"));
    assert_true(domain_reset(preserve, NULL));
    assert_true(domain_resume(preserve, NULL));
    harness_tell(reboot, "x-reboot");
    harness_wait_state(reboot, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN);
    harness_tell(crash, "x-panic");
    harness_wait_state(crash, VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED);
    harness_tell(gone, "x-panic");
    harness_wait_state(gone, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED);
    harness_wait_event(harness, "e 5 2\n");
}

static void
test_suspend_and_resume(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(GError) err = NULL;

    assert_true(domain_suspend(domain, NULL));
    assert_int_equal(domain_state(domain, NULL), VIR_DOMAIN_PAUSED);
    assert_true(domain_suspend(domain, NULL)); /* nothing to do */
    assert_true(domain_resume(domain, NULL));
    assert_false(domain_resume(domain, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    harness_wait_event(harness, "vm 2 0\nvm 3 0\nvm 4 0\n");
}

static void
test_paused_start(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");

    assert_true(domain_start(domain, VIR_DOMAIN_START_PAUSED, NULL, NULL));
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
    harness_wait_event(harness, "vm 2 0\nvm 3 0\n");
    assert_true(domain_resume(domain, NULL));
}

static void
test_transient_guests_go_with_their_run(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml = harness_xml(harness, "vm", "", "", "");
    g_autoptr(Domain) domain = domain_manager_create(harness->manager, xml, 0, NULL, NULL);
    g_autoptr(Domain) again = NULL;
    g_autoptr(GError) err = NULL;

    assert_non_null(domain);
    assert_false(domain_is_persistent(domain));
    assert_false(domain_undefine(domain, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_INVALID);
    assert_true(domain_destroy(domain, 0, NULL));
    again = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_null(again);
}

static void
test_a_failed_transient_is_forgotten(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml = harness_xml(harness, "vm", "fail", "", "");
    g_autoptr(GPtrArray) all = NULL;

    assert_null(domain_manager_create(harness->manager, xml, 0, NULL, NULL));
    all = domain_manager_list(harness->manager, 0);
    assert_int_equal(all->len, 0);
}

static void
test_autodestroy(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");

    assert_true(domain_start(domain, VIR_DOMAIN_START_AUTODESTROY, harness, NULL));
    domain_manager_client_gone(harness->manager, state);
    assert_true(domain_is_active(domain));
    domain_manager_client_gone(harness->manager, harness);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DESTROYED);
}

/* --- the daemon's own end --------------------------------------------------------------------- */

static void
test_a_new_daemon_takes_guests_up(void **state)
{
    Harness *harness = *state;
    Domain *domain = harness_start(harness, "vm", "", "");
    g_autofree char *before = domain_xml(domain, 0, NULL);
    g_autofree char *after = NULL;
    pid_t pid = harness_pid(harness, domain);

    assert_true(domain_suspend(domain, NULL));
    domain_unref(domain);
    harness_stop(harness);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_non_null(domain);
    assert_int_equal(domain_id(domain), 1);
    assert_int_equal(harness_pid(harness, domain), pid);
    harness_wait_state(domain, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER);
    after = domain_xml(domain, 0, NULL);
    assert_string_equal(after, before);
    assert_true(domain_resume(domain, NULL));
    assert_true(domain_shutdown(domain, 0, NULL));
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_SHUTDOWN);
    domain_unref(domain);
}

static void
test_guests_that_died_meanwhile(void **state)
{
    Harness *harness = *state;
    Domain *domain = harness_start(harness, "vm", "", "");
    pid_t pid = harness_pid(harness, domain);

    domain_unref(domain);
    harness_stop(harness);
    kill(pid, SIGKILL);
    while (kill(pid, 0) == 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_non_null(domain);
    harness_wait_state(domain, VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED);
    assert_true(harness_has_warning(harness, "has ended while no daemon ran"));
    domain_unref(domain);
}

/* What a daemon that died half-way through a start left is killed. */
static void
test_half_started_guests_are_cleared_away(void **state)
{
    Harness *harness = *state;
    Domain *domain = harness_start(harness, "vm", "", "");
    g_autofree char *path = g_strdup_printf("%s/run/vm.status", harness->dir);
    g_autofree char *text = NULL;
    g_autofree char *changed = NULL;
    pid_t pid = harness_pid(harness, domain);
    const char *at;

    domain_unref(domain);
    harness_stop(harness);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    at = strstr(text, "<process");
    assert_non_null(at);
    changed = g_strdup_printf("%.*s<starting/>%s", (int)(at - text), text, at);
    assert_true(g_file_set_contents(path, changed, -1, NULL));
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    assert_false(domain_is_active(domain));
    assert_int_equal(kill(pid, 0), -1);
    domain_unref(domain);
}

/* --- console, hooks --------------------------------------------------------------------------- */

static char *
read_some(int fd, const char *until)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char part[256];

    for (int tries = 0; tries < 100 && !strstr(text->str, until); tries++) {
        struct pollfd ready = { fd, POLLIN, 0 };
        ssize_t n;

        if (poll(&ready, 1, 100) <= 0)
            continue;
        n = read(fd, part, sizeof(part));
        if (n > 0)
            g_string_append_len(text, part, n);
        else
            g_usleep(1000);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
set_flag(void *opaque)
{
    *(gint *)opaque = 1;
}

static void
test_console_has_one_holder(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(DomainConsole) first = domain_open_console(domain, NULL, 0, state, NULL);
    g_autoptr(DomainConsole) second = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *answer = NULL;
    gint revoked = 0;
    int fd;

    assert_non_null(first);
    domain_console_on_revoke(first, set_flag, &revoked, NULL);
    fd = domain_console_take_fd(first);
    assert_int_equal(write(fd, "hello\n", 6), 6);
    answer = read_some(fd, "hello");
    assert_string_equal(answer, "you said hello\n");
    assert_null(domain_open_console(domain, "serial0", 0, harness, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_OPERATION_FAILED);
    assert_string_equal(err->message, "Active console session exists for this domain");
    assert_int_equal(revoked, 0);
    second = domain_open_console(domain, "serial0", VIR_DOMAIN_CONSOLE_FORCE, harness, NULL);
    assert_non_null(second);
    assert_int_equal(revoked, 1);
    domain_console_end(first);
    close(fd);
    domain_console_end(second);
    g_clear_error(&err);
    assert_null(domain_open_console(domain, "serial9", 0, harness, &err));
    assert_non_null(strstr(err->message, "serial9"));
}

static gpointer
read_late(gpointer opaque)
{
    g_usleep(100000);
    return read_some(GPOINTER_TO_INT(opaque), "last words");
}

static void
test_console_keeps_the_last_words(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_start(harness, "vm", "", "");
    g_autoptr(DomainConsole) console = domain_open_console(domain, NULL, 0, state, NULL);
    int fd = domain_console_take_fd(console), n = 0;
    g_autofree char *said = NULL;
    GThread *reader;

    assert_int_equal(write(fd, "last words\n", 11), 11);
    while (n < 20) /* the guest's answer lies in the pty, unread */
        assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
    reader = g_thread_new("reader", read_late, GINT_TO_POINTER(fd));
    assert_true(domain_destroy(domain, 0, NULL));
    said = g_thread_join(reader);
    assert_string_equal(said, "you said last words\n");
    close(fd);
}

static void
test_console_works_after_a_restart_of_the_daemon(void **state)
{
    Harness *harness = *state;
    Domain *domain = harness_start(harness, "vm", "", "");
    g_autoptr(DomainConsole) console = NULL;
    g_autofree char *answer = NULL;
    int fd;

    domain_unref(domain);
    harness_stop(harness);
    harness_begin(harness);
    domain = domain_manager_lookup_name(harness->manager, "vm", NULL);
    console = domain_open_console(domain, NULL, 0, state, NULL);
    assert_non_null(console);
    fd = domain_console_take_fd(console);
    assert_int_equal(write(fd, "again\n", 6), 6);
    answer = read_some(fd, "again");
    assert_string_equal(answer, "you said again\n");
    domain_console_end(console);
    close(fd);
    domain_unref(domain);
}

static void
test_hooks_see_every_step(void **state)
{
    Harness *harness = *state;
    g_autofree char *seen = g_strdup_printf("%s/seen", harness->dir);
    g_autofree char *script = g_strdup_printf("#!/bin/sh\ngrep -q '<name>' || exit 9\n"
                                              "echo \"$*\" >> %s\n",
                                              seen);
    g_autofree char *text = NULL;
    g_autoptr(Domain) domain = NULL;

    harness_set_hook(harness, script);
    domain = harness_start(harness, "vm", "", "");
    assert_true(domain_destroy(domain, 0, NULL));
    assert_true(g_file_get_contents(seen, &text, NULL, NULL));
    assert_string_equal(text, "vm prepare begin -\nvm start begin -\nvm started begin -\n"
                              "vm stopped end -\nvm release end -\n");
}

static void
test_a_hook_can_refuse(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = harness_define(harness, "vm", "", "");
    g_autoptr(GError) err = NULL;

    harness_set_hook(harness, "#!/bin/sh\n[ $2 != started ] || { echo no room >&2; exit 3; }\n");
    assert_false(domain_start(domain, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_HOOK_SCRIPT_FAILED);
    assert_non_null(strstr(err->message, "status 3: no room"));
    assert_int_equal(harness_count(harness, "run", ".status"), 0);
}

static void
test_what_is_missing_is_named(void **state)
{
    Harness *harness = *state;
    g_autofree char *devices = g_strdup_printf("<disk type='file'><source file='%s/none.img'/>"
                                               "<target dev='vda' bus='virtio'/></disk>",
                                               harness->dir);
    g_autofree char *xml = harness_xml(harness, "vm", "", "", devices);
    g_autoptr(Domain) domain = domain_manager_define(harness->manager, xml, 0, NULL);
    g_autoptr(GError) err = NULL;

    assert_non_null(domain);
    assert_false(domain_start(domain, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_SYSTEM_ERROR);
    assert_non_null(strstr(err->message, "none.img"));
    assert_non_null(strstr(err->message, "'vda'"));
    g_clear_error(&err);
    unlink(harness->kernel);
    domain_unref(domain);
    domain = harness_define(harness, "other", "", "");
    assert_false(domain_start(domain, 0, NULL, &err));
    assert_non_null(strstr(err->message, "kernel"));
    assert_int_equal(harness_count(harness, "run", ".monitor"), 0);
}

static void
test_an_image_in_use_names_its_user(void **state)
{
    Harness *harness = *state;
    g_autofree char *image = g_strdup_printf("%s/disk.img", harness->dir);
    g_autofree char *link = g_strdup_printf("%s/link.img", harness->dir);
    g_autofree char *disk = g_strdup_printf("<disk type='file'><source file='%s'/>"
                                            "<target dev='vda' bus='virtio'/></disk>",
                                            image);
    g_autofree char *other = g_strdup_printf("<disk type='file'><source file='%s'/>"
                                             "<target dev='vdb' bus='virtio'/></disk>",
                                             link);
    g_autofree char *first_xml = harness_xml(harness, "first", "", "", disk);
    g_autofree char *second_xml = harness_xml(harness, "second", "", "", other);
    g_autoptr(GError) err = NULL;
    g_autoptr(Domain) first = NULL;

    assert_true(g_file_set_contents(image, "data", -1, NULL));
    assert_int_equal(symlink(image, link), 0);
    first = domain_manager_create(harness->manager, first_xml, 0, NULL, &err);
    assert_non_null(first);
    assert_null(domain_manager_create(harness->manager, second_xml, 0, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_RESOURCE_BUSY);
    assert_non_null(strstr(err->message, "'first'"));
}

/* Of <listen type='network'>: the bridge's address. */
static void
test_address_of_an_interface(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *loop = domain_graphics_interface_address("lo", NULL);

    (void)state;
    assert_string_equal(loop, "127.0.0.1");
    assert_null(domain_graphics_interface_address("kiln-none0", &err));
    assert_non_null(strstr(err->message, "interface 'kiln-none0' has no IP address"));
}

/* A daemon without networks cannot look one up. */
static void
test_network_of_a_screen(void **state)
{
    Harness *harness = *state;
    g_autofree char *xml = harness_xml(
        harness, "vm", "", "",
        "<graphics type='vnc' port='-1'><listen type='network' network='default'/></graphics>");
    g_autoptr(Domain) domain = domain_manager_define(harness->manager, xml, 0, NULL);
    g_autoptr(GError) err = NULL;

    assert_non_null(domain);
    assert_false(domain_start(domain, 0, NULL, &err));
    assert_non_null(strstr(err->message, "needs host networks"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

/* --- processors ------------------------------------------------------------------------------- */

enum { LIVE = VIR_DOMAIN_VCPU_LIVE, CONFIG = VIR_DOMAIN_VCPU_CONFIG };

static Domain *
start_with_vcpus(Harness *harness, const char *behaviour, const char *vcpus)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm'><name>vm</name><memory>65536</memory>%s<os><type "
                        "arch='x86_64' machine='q35'>hvm</type><kernel>/dev/null</kernel>"
                        "<cmdline>%s</cmdline></os></domain>",
                        vcpus, behaviour);
    Domain *domain = domain_manager_define(harness->manager, xml, 0, &err);

    if (!domain || !domain_start(domain, 0, NULL, &err))
        fail_msg("%s", err->message);
    return domain;
}

static void
refuse_vcpus(Domain *domain, unsigned count, unsigned flags, int code, const char *part)
{
    g_autoptr(GError) err = NULL;

    assert_false(domain_set_vcpus(domain, count, flags, &err));
    assert_int_equal(kiln_error_code(err), code);
    if (!strstr(err->message, part))
        fail_msg("'%s' lacks '%s'", err->message, part);
}

static void
check_xml(Domain *domain, unsigned flags, const char *part)
{
    g_autofree char *xml = domain_xml(domain, flags, NULL);

    if (!strstr(xml, part))
        fail_msg("%s lacks %s", xml, part);
}

static void
test_vcpus_come_and_go(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = start_with_vcpus(harness, "", "<vcpu current='2'>8</vcpu>");
    g_autoptr(GArray) infos = NULL;
    g_autoptr(GError) err = NULL;

    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 2);
    assert_int_equal(domain_vcpu_count(domain, LIVE | VIR_DOMAIN_VCPU_MAXIMUM, NULL), 8);
    if (!domain_set_vcpus(domain, 4, LIVE, &err))
        fail_msg("%s", err->message);
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 4);
    assert_int_equal(domain_vcpu_count(domain, CONFIG, NULL), 2);
    check_xml(domain, 0, "<vcpu placement='static' current='4'>8</vcpu>");
    check_xml(domain, 0, "<vcpu id='1' enabled='yes' hotpluggable='no' order='2'/>");
    check_xml(domain, 0, "<vcpu id='3' enabled='yes' hotpluggable='yes' order='4'/>");
    check_xml(domain, 0, "<vcpu id='4' enabled='no' hotpluggable='yes'/>");
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<vcpu placement='static' current='2'>8</vcpu>");
    assert_true(domain_set_vcpu(domain, "2", 0, VIR_DOMAIN_AFFECT_LIVE, NULL));
    infos = domain_vcpu_infos(domain, NULL);
    assert_int_equal(infos->len, 3);
    assert_int_equal(g_array_index(infos, DomainVcpuInfo, 2).number, 3);
    check_xml(domain, 0, "<vcpu id='3' enabled='yes' hotpluggable='yes' order='3'/>");
    assert_true(domain_set_vcpu(domain, "6-7", 1, VIR_DOMAIN_AFFECT_LIVE, NULL));
    check_xml(domain, 0, "<vcpu id='6' enabled='yes' hotpluggable='yes' order='4'/>");
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 5);
    assert_true(domain_set_vcpus(domain, 2, LIVE, NULL));
    check_xml(domain, 0, "<vcpu placement='static' current='2'>8</vcpu>");
    refuse_vcpus(domain, 1, LIVE, VIR_ERR_OPERATION_INVALID, "appropriate hotpluggable vcpus");
    refuse_vcpus(domain, 9, LIVE, VIR_ERR_INVALID_ARG, "live domain: 9 > 8");
    refuse_vcpus(domain, 9, CONFIG, VIR_ERR_INVALID_ARG, "persistent domain: 9 > 8");
    refuse_vcpus(domain, 9, LIVE | VIR_DOMAIN_VCPU_MAXIMUM, VIR_ERR_INVALID_ARG, "maximum vcpu");
    refuse_vcpus(domain, 2, VIR_DOMAIN_VCPU_GUEST, VIR_ERR_ARGUMENT_UNSUPPORTED, "agent");
    refuse_vcpus(domain, 0, LIVE, VIR_ERR_INVALID_ARG, "out of range");
    assert_false(domain_set_vcpu(domain, "0", 0, VIR_DOMAIN_AFFECT_LIVE, NULL));
    assert_false(domain_set_vcpu(domain, "3", 0, VIR_DOMAIN_AFFECT_LIVE, NULL));
    assert_false(domain_set_vcpu(domain, "8", 1, VIR_DOMAIN_AFFECT_LIVE, NULL));
    assert_false(domain_set_vcpu(domain, "x", 1, VIR_DOMAIN_AFFECT_LIVE, NULL));
    assert_true(domain_destroy(domain, 0, NULL));
}

static void
test_vcpus_of_a_definition(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain =
        start_with_vcpus(harness, "",
                         "<vcpu>4</vcpu><vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/>"
                         "<vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/>"
                         "<vcpu id='1' enabled='no'/></vcpus>");

    check_xml(domain, VIR_DOMAIN_XML_INACTIVE,
              "<vcpu id='2' enabled='yes' hotpluggable='yes' order='2'/>\n"
              "    <vcpu id='3' enabled='no' hotpluggable='yes'/>");
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 2);
    check_xml(domain, 0, "<vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>");
    assert_true(domain_set_vcpu(domain, "2", 0, VIR_DOMAIN_AFFECT_LIVE, NULL));
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 1);
    assert_true(domain_set_vcpus(domain, 3, CONFIG, NULL));
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<vcpu id='1' enabled='yes' hotpluggable='yes'/>");
    assert_true(domain_set_vcpus(domain, 2, CONFIG | VIR_DOMAIN_VCPU_MAXIMUM, NULL));
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<vcpu placement='static'>2</vcpu>");
    assert_int_equal(domain_vcpu_count(domain, CONFIG, NULL), 2);
    assert_true(domain_set_vcpus(domain, 6, CONFIG | VIR_DOMAIN_VCPU_MAXIMUM, NULL));
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<vcpu placement='static' current='2'>6</vcpu>");
    assert_true(domain_set_vcpus(domain, 3, CONFIG | VIR_DOMAIN_VCPU_HOTPLUGGABLE, NULL));
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<vcpu id='2' enabled='yes' hotpluggable='yes'/>");
    assert_true(domain_set_vcpu(domain, "5", 1, VIR_DOMAIN_AFFECT_CONFIG, NULL));
    assert_int_equal(domain_vcpu_count(domain, CONFIG, NULL), 4);
    assert_true(domain_destroy(domain, 0, NULL));
}

/* A guest that does not let go in time is not waited for; when it does, the definition follows. */
static void
test_vcpu_goes_late(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = start_with_vcpus(harness, "stuck", "<vcpu current='2'>3</vcpu>");

    assert_true(domain_set_vcpus(domain, 3, LIVE, NULL));
    refuse_vcpus(domain, 2, LIVE, VIR_ERR_OPERATION_TIMEOUT, "timed out");
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 3);
    g_free(domain_monitor_command(domain, "{\"execute\":\"x-unstick\"}", -1, false, NULL));
    for (int i = 0; i < 500 && domain_vcpu_count(domain, LIVE, NULL) == 3; i++)
        g_usleep(10000);
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 2);
    assert_true(domain_destroy(domain, 0, NULL));
}

/* A processor may go between the VMM's answer and the look at its thread. Threads that are not the
 * VMM's are not believed in. */
static void
test_vcpu_threads(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain = start_with_vcpus(harness, "ghost", "<vcpu current='2'>3</vcpu>");
    g_autoptr(Domain) other = harness_define(harness, "other", "foreign", "");
    g_autoptr(GError) err = NULL;

    assert_true(domain_set_vcpus(domain, 3, LIVE, NULL));
    assert_true(domain_set_vcpus(domain, 2, LIVE, NULL));
    assert_int_equal(domain_vcpu_count(domain, LIVE, NULL), 2);
    assert_true(domain_destroy(domain, 0, NULL));
    assert_false(domain_start(other, 0, NULL, &err));
    assert_non_null(strstr(err->message, "names thread 1, which is not its own"));
}

/* --- I/O threads, limits, counters ------------------------------------------------------------ */

static void
test_iothreads_of_a_definition(void **state)
{
    Harness *harness = *state;
    const unsigned config = VIR_DOMAIN_AFFECT_CONFIG;
    g_autoptr(Domain) domain =
        harness_define(harness, "vm", "",
                       "<iothreads>2</iothreads><cputune><iothreadpin iothread='2' cpuset='0'/>"
                       "<iothreadsched iothreads='1-2' scheduler='batch'/></cputune>");
    g_autofree char *after = NULL;
    g_autoptr(GError) err = NULL;

    assert_true(domain_add_iothread(domain, 5, config, NULL));
    check_xml(domain, 0, "<iothreads>3</iothreads>");
    check_xml(domain, 0, "<iothread id='5'/>");
    assert_false(domain_add_iothread(domain, 5, config, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    assert_true(domain_del_iothread(domain, 2, config, NULL));
    check_xml(domain, 0, "<iothreadsched iothreads='1' scheduler='batch'/>");
    assert_true(domain_del_iothread(domain, 1, config, NULL));
    after = domain_xml(domain, 0, NULL);
    assert_null(strstr(after, "iothreadpin"));
    assert_null(strstr(after, "iothreadsched"));
    assert_false(domain_del_iothread(domain, 1, config, NULL));
    assert_true(domain_start(domain, 0, NULL, NULL));
    /* this VMM knows no objects: nothing is noted */
    assert_false(domain_add_iothread(domain, 7, LIVE | config, NULL));
    check_xml(domain, 0, "<iothreads>1</iothreads>");
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<iothreads>1</iothreads>");
    assert_true(domain_destroy(domain, 0, NULL));
}

/* What the daemon of the test, which has no control groups, can do: definitions. */
static void
test_perf_events(void **state)
{
    Harness *harness = *state;
    g_autoptr(Domain) domain =
        harness_start(harness, "vm", "", "<perf><event name='page_faults' enabled='no'/></perf>");
    int wanted[DOMAIN_PERF_EVENTS];
    bool told[DOMAIN_PERF_EVENTS];
    g_autoptr(GError) err = NULL;

    for (unsigned i = 0; i < DOMAIN_PERF_EVENTS; i++)
        wanted[i] = strcmp(domain_perf_name(i), "page_faults") == 0  ? 1
                    : strcmp(domain_perf_name(i), "cpu_cycles") == 0 ? 0
                                                                     : -1;
    assert_true(domain_set_perf_events(domain, wanted, VIR_DOMAIN_AFFECT_CONFIG, NULL));
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<event name='cpu_cycles' enabled='no'/>");
    check_xml(domain, VIR_DOMAIN_XML_INACTIVE, "<event name='page_faults' enabled='yes'/>");
    check_xml(domain, 0, "<event name='page_faults' enabled='no'/>");
    assert_true(domain_perf_events(domain, VIR_DOMAIN_AFFECT_CONFIG, told, NULL));
    for (unsigned i = 0; i < DOMAIN_PERF_EVENTS; i++)
        assert_int_equal(told[i], wanted[i] == 1);
    wanted[0] = 1;
    assert_string_equal(domain_perf_name(0), "cmt");
    assert_false(domain_set_perf_events(domain, wanted, LIVE, &err));
    assert_true(domain_perf_events(domain, LIVE, told, NULL));
    assert_false(told[0]);
    assert_true(domain_destroy(domain, 0, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_address_of_an_interface),
        TEST(test_network_of_a_screen),
        TEST(test_start_shows_the_live_guest),
        TEST(test_destroy_leaves_nothing),
        TEST(test_the_daemons_oom_score_stays_its_own),
        TEST(test_ids_are_not_used_again),
        TEST(test_graceful_destroy_spares_a_stubborn_guest),
        TEST(test_the_vmms_reason_reaches_the_error),
        TEST(test_a_vmm_that_speaks_nonsense_is_ended),
        TEST(test_a_guest_that_will_not_run_is_cleared_away),
        TEST(test_a_starting_guest_can_be_destroyed),
        TEST(test_a_crash_is_told_apart),
        TEST(test_a_guest_that_dies_at_once),
        TEST(test_shutdown_by_button),
        TEST(test_a_deaf_guest_stays),
        TEST(test_reboot_resets_in_place),
        TEST(test_a_watchdog_that_pauses),
        TEST(test_a_watchdog_that_dumps),
        TEST(test_a_host_without_smbios),
        TEST(test_a_disk_that_fails),
        TEST(test_actions_at_the_end),
        TEST(test_suspend_and_resume),
        TEST(test_paused_start),
        TEST(test_transient_guests_go_with_their_run),
        TEST(test_a_failed_transient_is_forgotten),
        TEST(test_autodestroy),
        TEST(test_a_new_daemon_takes_guests_up),
        TEST(test_guests_that_died_meanwhile),
        TEST(test_half_started_guests_are_cleared_away),
        TEST(test_console_has_one_holder),
        TEST(test_console_keeps_the_last_words),
        TEST(test_console_works_after_a_restart_of_the_daemon),
        TEST(test_hooks_see_every_step),
        TEST(test_a_hook_can_refuse),
        TEST(test_what_is_missing_is_named),
        TEST(test_an_image_in_use_names_its_user),
        TEST(test_vcpus_come_and_go),
        TEST(test_vcpus_of_a_definition),
        TEST(test_vcpu_goes_late),
        TEST(test_vcpu_threads),
        TEST(test_iothreads_of_a_definition),
        TEST(test_perf_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
