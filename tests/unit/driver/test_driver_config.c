/* test_driver_config.c - settings, paths and the lock file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/config.h"
#include "driver/paths.h"
#include "driver/pidfile.h"
#include "util/error.h"

static void
test_defaults(void **state)
{
    g_autoptr(DaemonConfig) config = daemon_config_load("/nonexistent/file", false, NULL);
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_non_null(config);
    assert_string_equal(config->sockets[0], "virtkilnd");
    assert_string_equal(config->sockets[1], "virtqemud");
    assert_string_equal(config->sockets[2], "libvirt");
    assert_null(config->sockets[3]);
    assert_int_equal(config->max_clients, 5000);
    assert_int_equal(config->unix_sock_rw_perms, 0770);
    assert_int_equal(daemon_config_auth(config, false), RPC_AUTH_NONE);
    assert_null(daemon_config_load("/nonexistent/file", true, &err));
    assert_non_null(strstr(err->message, "/nonexistent/file"));
}

static void
test_values(void **state)
{
    g_autoptr(DaemonConfig) config = daemon_config_parse("# comment\n"
                                                         "max_clients = 17   # trailing\n"
                                                         "\n"
                                                         "  unix_sock_rw_perms=\"0600\"\n"
                                                         "auth_unix_rw = 'polkit'\n"
                                                         "sockets = [ \"virtkilnd\",   # mine\n"
                                                         "            'other', ]\n"
                                                         "keepalive_interval = -1\n"
                                                         "vnc_tls = 1\n"
                                                         "vnc_listen = '::'\n"
                                                         "vmm_user = \"nobody\"",
                                                         "test", NULL);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->max_clients, 17);
    assert_int_equal(config->unix_sock_rw_perms, 0600);
    assert_int_equal(daemon_config_auth(config, false), RPC_AUTH_POLKIT);
    assert_int_equal(daemon_config_auth(config, true), RPC_AUTH_NONE);
    assert_string_equal(config->sockets[1], "other");
    assert_null(config->sockets[2]);
    assert_int_equal(config->keepalive_interval, -1);
    assert_string_equal(config->vmm_user, "nobody");
    assert_int_equal(config->vnc_tls, 1);
    assert_int_equal(config->vnc_tls_x509_verify, 0);
    assert_string_equal(config->vnc_listen, "::");
    assert_null(config->vnc_password);
    assert_int_equal(daemon_config_limits(config).max_clients, 17);
}

static void
test_refusals_name_the_line(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "max_clients = 0", "f:1: 'max_clients' is 0, but must be from 1 to 1000000" },
        { "\nmax_clients = x", "f:2: 'max_clients' takes a number" },
        { "max_clients 5", "f:1: '=' is missing after 'max_clients'" },
        { "max_cleints = 5", "f:1: there is no setting 'max_cleints'" },
        { "max_clients = 5 6", "f:1: there is more on the line after 'max_clients'" },
        { "= 5", "f:1: a key is expected here" },
        { "auth_unix_rw = \"sasl\"",
          "f:1: 'auth_unix_rw' is \"sasl\", but must be \"none\" or \"polkit\"" },
        { "auth_unix_rw = \"none", "f:1: the string that begins here has no closing quote" },
        { "auth_unix_rw = none", "f:1: a string in quotes is expected here" },
        { "unix_sock_ro_perms = \"0888\"",
          "f:1: 'unix_sock_ro_perms' is \"0888\", but must be an octal mode up to \"0777\"" },
        { "sockets = []", "f:1: 'sockets' is an empty list" },
        { "sockets = [ \"a\" \"b\" ]", "f:1: ',' or ']' is missing in 'sockets'" },
        { "sockets = [ \"../a\" ]", "f:1: '../a' in 'sockets' is no name of a socket" },
        { "sockets = \"a\"", "f:1: 'sockets' takes a list: [ \"…\", \"…\" ]" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(daemon_config_parse(cases[i].text, "f", &err));
        assert_int_equal(err->code, VIR_ERR_CONF_SYNTAX);
        assert_string_equal(err->message, cases[i].message);
    }
}

static void
test_paths(void **state)
{
    char *root = g_dir_make_tmp("kiln-paths-XXXXXX", NULL);
    g_autoptr(DaemonPaths) system = daemon_paths_new(NULL, false, NULL);
    g_autoptr(DaemonPaths) prefixed = daemon_paths_new(root, false, NULL);
    g_autofree char *sockets = g_build_filename(root, "run/libvirt", NULL);
    struct stat st;

    (void)state;
    assert_string_equal(system->etc_dir, "/etc/kiln");
    assert_string_equal(system->domains_run, "/run/kiln/domain");
    assert_string_equal(system->socket_dir, "/run/libvirt");
    assert_string_equal(system->dnsmasq_dir, "/var/lib/libvirt/dnsmasq");
    assert_string_equal(prefixed->socket_dir, sockets);
    assert_true(daemon_paths_create(prefixed, NULL));
    assert_true(daemon_paths_create(prefixed, NULL));
    assert_int_equal(stat(prefixed->domains_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    /* made for its own sake, not on the way to a narrower one */
    assert_int_equal(stat(prefixed->run_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);

    g_setenv("XDG_CONFIG_HOME", "/home/u/conf", TRUE);
    g_setenv("XDG_RUNTIME_DIR", "/run/user/7", TRUE);
    {
        g_autoptr(DaemonPaths) session = daemon_paths_new(NULL, true, NULL);

        assert_string_equal(session->config_file, "/home/u/conf/kiln/virtkilnd.conf");
        assert_string_equal(session->socket_dir, "/run/user/7/libvirt");
    }
    harness_remove_tree(root);
}

/* Runs @body in a process of its own; its exit status. */
static int
run_apart(int (*body)(const char *path), const char *path)
{
    pid_t pid = fork();
    int status = -1;

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(body(path));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int
is_refused(const char *path)
{
    g_autofree char *want = g_strdup_printf("process %d", (int)getppid());
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;

    return pidfile_acquire(path, &err) == -1 && strstr(err->message, want) &&
                   g_file_get_contents(path, &text, NULL, NULL) && atoi(text) == getppid()
               ? 0
               : 1;
}

/* A daemon that dies while a child of its is about to become another program. */
static int
dies_with_a_child(const char *path)
{
    g_autofree char *note = g_strdup_printf("%s.child", path);
    g_autofree char *text = NULL;
    pid_t child;

    if (pidfile_acquire(path, NULL) < 0 || (child = fork()) < 0)
        return 1;
    if (child == 0) {
        pause();
        _exit(0);
    }
    text = g_strdup_printf("%d", (int)child);
    return g_file_set_contents(note, text, -1, NULL) ? 0 : 1;
}

static void
test_pidfile(void **state)
{
    char *dir = g_dir_make_tmp("kiln-pid-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "pid", NULL);
    g_autofree char *note = g_strdup_printf("%s.child", path);
    g_autofree char *child = NULL;
    int fd = pidfile_acquire(path, NULL);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(run_apart(is_refused, path), 0);
    pidfile_release(path, fd);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_int_equal(run_apart(dies_with_a_child, path), 0);
    fd = pidfile_acquire(path, NULL);
    assert_true(g_file_get_contents(note, &child, NULL, NULL));
    kill(atoi(child), SIGKILL);
    assert_true(fd >= 0);
    pidfile_release(path, fd);
    harness_remove_tree(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals_name_the_line),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_pidfile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
