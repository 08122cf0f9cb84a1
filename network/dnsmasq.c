/* dnsmasq.c - runs one network's dnsmasq.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/dnsmasq.h"

#include "util/error.h"
#include "util/file.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    START_WAIT_MS = 30000,
    STOP_WAIT_MS = 3000,
    SAID_MAX = 4096,
    PID_FILE_MAX = 64,
    CMDLINE_MAX = 65536
};

bool
dnsmasq_write_files(const NetworkDef *def, const DnsmasqPaths *paths, GError **err)
{
    g_autofree char *conf = dnsmasq_config_text(def, paths);
    g_autofree char *hosts = dnsmasq_hosts_text(def);
    g_autofree char *addn = dnsmasq_addn_hosts_text(def);

    return file_write_atomic(paths->conf, conf, strlen(conf), 0644, err) &&
           file_write_atomic(paths->hosts, hosts, strlen(hosts), 0644, err) &&
           file_write_atomic(paths->addn_hosts, addn, strlen(addn), 0644, err);
}

/* The last line that says something: dnsmasq puts one reason there. */
static char *
last_line(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (guint i = g_strv_length(lines); i-- > 0;) {
        g_strstrip(lines[i]);
        if (lines[i][0])
            return g_strdup(lines[i]);
    }
    return g_strdup("it gave no reason");
}

/* Waits for a child; false when it is still there after START_WAIT_MS, and then ends it. */
static bool
wait_child(pid_t pid, int *ret_status)
{
    struct pollfd ended = { .fd = pidfd_open(pid, 0), .events = POLLIN };
    bool in_time = true;
    int n;

    if (ended.fd >= 0) {
        do
            n = poll(&ended, 1, START_WAIT_MS);
        while (n < 0 && errno == EINTR);
        in_time = n != 0;
    }
    if (!in_time)
        kill(pid, SIGKILL);
    while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
        continue;
    if (ended.fd >= 0)
        close(ended.fd);
    return in_time;
}

/* Runs the program until it is in the background or has failed. Its stderr goes to a file in
 * memory: the end of a pipe would never come if an option makes dnsmasq keep it. */
static bool
run_program(char **argv, char **envp, char **ret_said, int *ret_status, GError **err)
{
    int said = memfd_create("dnsmasq", MFD_CLOEXEC);
    g_autofree char *text = g_malloc0(SAID_MAX + 1);
    g_autoptr(GError) inner = NULL;
    bool in_time;
    GPid pid;

    if (said < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot make a file in memory");
    if (!g_spawn_async_with_fds("/", argv, envp,
                                G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
                                &pid, -1, -1, said, &inner)) {
        close(said);
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "cannot run '%s': %s (install the package dnsmasq-base)", argv[0],
                              inner->message);
    }
    in_time = wait_child(pid, ret_status);
    if (pread(said, text, SAID_MAX, 0) < 0)
        text[0] = '\0';
    close(said);
    if (!in_time)
        return kiln_error_set(
            err, VIR_ERR_INTERNAL_ERROR,
            "dnsmasq did not go to the background within %d seconds; an option of "
            "the network (keep-in-foreground, no-daemon) may keep it from that",
            START_WAIT_MS / 1000);
    *ret_said = g_steal_pointer(&text);
    return true;
}

bool
dnsmasq_start(const DnsmasqSetup *setup, const char *bridge, const DnsmasqPaths *paths,
              pid_t *ret_pid, GError **err)
{
    g_autofree char *conf = g_strdup_printf("--conf-file=%s", paths->conf);
    g_autofree char *script = g_strdup_printf("--dhcp-script=%s", setup->helper);
    char *argv[] = { (char *)setup->program, conf, (char *)"--leasefile-ro", script, NULL };
    g_auto(GStrv) envp = g_get_environ();
    g_autofree char *said = NULL;
    int status;
    pid_t pid;

    envp = g_environ_setenv(envp, "KILN_BRIDGE", bridge, TRUE);
    envp = g_environ_setenv(envp, "KILN_LEASES_DIR", setup->dir, TRUE);
    if (!run_program(argv, envp, &said, &status, err))
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        g_autofree char *reason = last_line(said);

        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "dnsmasq for bridge '%s' failed (%s %d): %s", bridge,
                              WIFEXITED(status) ? "exit status" : "signal",
                              WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), reason);
    }
    pid = dnsmasq_find(paths);
    if (pid == 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "dnsmasq for bridge '%s' ended as soon as it had started", bridge);
    *ret_pid = pid;
    return true;
}

/* Whether process @pid was started with our configuration file. */
static bool
is_ours(pid_t pid, const DnsmasqPaths *paths)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
    g_autofree char *want = g_strdup_printf("--conf-file=%s", paths->conf);
    g_autofree char *args = NULL;
    size_t len = 0;

    args = file_read_limited(path, CMDLINE_MAX, &len, NULL);
    for (size_t at = 0; args && at < len; at += strlen(args + at) + 1)
        if (strcmp(args + at, want) == 0)
            return true;
    return false;
}

pid_t
dnsmasq_find(const DnsmasqPaths *paths)
{
    g_autofree char *text = file_read_limited(paths->pid, PID_FILE_MAX, NULL, NULL);
    guint64 pid;

    if (!text || !g_ascii_string_to_unsigned(g_strstrip(text), 10, 2, G_MAXINT32, &pid, NULL) ||
        !is_ours((pid_t)pid, paths))
        return 0;
    return (pid_t)pid;
}

bool
dnsmasq_reload(const DnsmasqPaths *paths, GError **err)
{
    pid_t pid = dnsmasq_find(paths);

    if (pid == 0 || kill(pid, SIGHUP) < 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "dnsmasq with configuration '%s' is not running", paths->conf);
    return true;
}

void
dnsmasq_stop(const DnsmasqPaths *paths)
{
    static const int signals[] = { SIGTERM, SIGKILL };

    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        pid_t pid = dnsmasq_find(paths);
        struct pollfd gone = { .events = POLLIN };

        if (pid == 0)
            return;
        gone.fd = pidfd_open(pid, 0);
        /* Looked at again through the descriptor's eyes: the pid cannot have changed hands since.
         */
        if (gone.fd < 0 || dnsmasq_find(paths) != pid) {
            if (gone.fd >= 0)
                close(gone.fd);
            continue;
        }
        pidfd_send_signal(gone.fd, signals[i], NULL, 0);
        while (poll(&gone, 1, STOP_WAIT_MS) < 0 && errno == EINTR)
            continue;
        close(gone.fd);
    }
}

void
dnsmasq_remove_files(const DnsmasqPaths *paths, bool leases)
{
    const char *const files[] = { paths->conf, paths->hosts, paths->addn_hosts,
                                  paths->pid,  paths->macs,  leases ? paths->status : NULL };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        if (files[i])
            file_remove(files[i], NULL);
}
