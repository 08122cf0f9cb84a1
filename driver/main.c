/* main.c - virtkilnd: command line, signals, main loop.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "driver/daemon.h"
#include "driver/log.h"
#include "driver/pidfile.h"
#include "util/error.h"
#include "driver/node/node.h"

typedef struct {
    char *config;
    char *root;
    char *pid_file;
    int timeout; /* seconds of idleness until exit; -1: never */
    gboolean daemonize, foreground, verbose, version, check;
} MainOptions;

typedef struct {
    GMainLoop *loop;
    Daemon *daemon;
    const DaemonPaths *paths;
    const MainOptions *options;
    int ready;         /* where the starter waits to hear of it; -1: nowhere */
    GError *failure;   /* why the daemon cannot go on */
    gint64 idle_since; /* 0: not idle */
} Main;

static bool
main_parse(int *argc, char ***argv, MainOptions *options, GError **err)
{
    const GOptionEntry entries[] = {
        { "config", 'f', 0, G_OPTION_ARG_FILENAME, &options->config,
          "Settings file (default: virtkilnd.conf in the configuration directory)", "FILE" },
        { "root", 0, 0, G_OPTION_ARG_FILENAME, &options->root,
          "Keep everything below this directory", "DIR" },
        { "timeout", 't', 0, G_OPTION_ARG_INT, &options->timeout,
          "End after this long without clients, guests and networks", "SECONDS" },
        { "daemon", 'd', 0, G_OPTION_ARG_NONE, &options->daemonize,
          "Go to the background once clients are served", NULL },
        { "foreground", 0, 0, G_OPTION_ARG_NONE, &options->foreground,
          "Stay in the foreground (the default)", NULL },
        { "pid-file", 'p', 0, G_OPTION_ARG_FILENAME, &options->pid_file,
          "Process id file (default: virtkilnd.pid in the run directory)", "FILE" },
        { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options->verbose,
          "Log what happens, not only what goes wrong", NULL },
        { "version", 'V', 0, G_OPTION_ARG_NONE, &options->version, "Print the version", NULL },
        { "check", 0, 0, G_OPTION_ARG_NONE, &options->check,
          "Say what this host can and cannot do for Kiln, and what helps", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- manage guests for libvirt clients");
    g_autoptr(GError) failure = NULL;

    options->timeout = -1;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &failure))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "%s; see --help", failure->message);
    if (*argc > 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unexpected argument '%s'; see --help",
                              (*argv)[1]);
    if (options->daemonize && options->foreground)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "--daemon and --foreground exclude each other");
    if (options->timeout < -1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "--timeout %d is no number of seconds",
                              options->timeout);
    return true;
}

static DaemonConfig *
main_load_config(const MainOptions *options, const DaemonPaths *paths, GError **err)
{
    const char *path = options->config ? options->config : paths->config_file;
    DaemonConfig *config = daemon_config_load(path, options->config != NULL, err);

    if (config && options->verbose)
        config->log_level = MIN(config->log_level, 2);
    return config;
}

/* Forks; the child goes on with the write end of a pipe in *ret_ready, on which it says that it
 * serves. The parent waits for that and ends with the child's verdict. */
static bool
main_daemonize(int *ret_ready, GError **err)
{
    int fds[2];
    pid_t pid;
    char verdict = 1;

    if (!g_unix_open_pipe(fds, FD_CLOEXEC, NULL) || (pid = fork()) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "cannot go to the background");
    if (pid > 0) {
        close(fds[1]);
        while (read(fds[0], &verdict, 1) < 0 && errno == EINTR)
            ;
        _exit(verdict);
    }
    close(fds[0]);
    setsid();
    *ret_ready = fds[1];
    return true;
}

/* The daemon serves: its starter and systemd may know. In the background the terminal is let go and
 * the log goes to a file. */
static void
main_ready(const DaemonPaths *paths, int ready)
{
    g_autofree char *log = g_build_filename(paths->log_dir, "virtkilnd.log", NULL);
    char verdict = 0;

    sd_notify(0, "READY=1");
    if (ready < 0)
        return;
    if (chdir("/") == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        for (int fd = 0; null >= 0 && fd <= 2; fd++)
            dup2(fd > 0 && out >= 0 ? out : null, fd);
        if (null > 2)
            close(null);
        if (out > 2)
            close(out);
    }
    if (write(ready, &verdict, 1) != 1)
        g_warning("nobody waits for this daemon to be ready");
    close(ready);
}

static gboolean
main_on_term(gpointer data)
{
    Main *self = data;

    g_main_loop_quit(self->loop);
    return G_SOURCE_CONTINUE;
}

static gboolean
main_on_hup(gpointer data)
{
    Main *self = data;
    g_autoptr(GError) err = NULL;
    DaemonConfig *config = main_load_config(self->options, self->paths, &err);

    if (config) {
        daemon_reload(self->daemon, config);
        g_message("settings read again");
    } else {
        g_warning("settings stay as they are: %s", err->message);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean
main_on_tick(gpointer data)
{
    Main *self = data;
    gint64 now = g_get_monotonic_time();

    if (!daemon_is_idle(self->daemon)) {
        self->idle_since = 0;
    } else if (!self->idle_since) {
        self->idle_since = now;
    } else if (now - self->idle_since >= self->options->timeout * G_TIME_SPAN_SECOND) {
        g_message("idle for %d seconds: ending", self->options->timeout);
        g_main_loop_quit(self->loop);
    }
    return G_SOURCE_CONTINUE;
}

static void
main_on_loaded(const GError *err, void *opaque)
{
    Main *self = opaque;

    if (!err) {
        main_ready(self->paths, self->ready);
        return;
    }
    self->failure = g_error_copy(err);
    g_main_loop_quit(self->loop);
}

static bool
main_serve(const MainOptions *options, const DaemonPaths *paths, int ready, GError **err)
{
    DaemonConfig *config = main_load_config(options, paths, err);
    g_autoptr(Daemon) daemon = config ? daemon_new(paths, config, err) : NULL;
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    Main self = {
        .loop = loop, .daemon = daemon, .paths = paths, .options = options, .ready = ready
    };

    if (!daemon || !daemon_listen(daemon, err))
        return false;
    daemon_load(daemon, main_on_loaded, &self);
    g_unix_signal_add(SIGTERM, main_on_term, &self);
    g_unix_signal_add(SIGINT, main_on_term, &self);
    g_unix_signal_add(SIGHUP, main_on_hup, &self);
    if (options->timeout >= 0)
        g_timeout_add_seconds(1, main_on_tick, &self);
    g_main_loop_run(loop);
    sd_notify(0, "STOPPING=1");
    if (self.failure)
        g_propagate_error(err, self.failure);
    return !self.failure;
}

static bool
main_run(const MainOptions *options, GError **err)
{
    g_autoptr(DaemonPaths) paths = daemon_paths_new(options->root, geteuid() != 0, err);
    g_autofree char *pid_path = NULL;
    int ready = -1, lock;
    bool ok;

    if (!paths)
        return false;
    if (options->check)
        exit(node_doctor(paths, stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
    if (!daemon_paths_create(paths, err))
        return false;
    if (options->daemonize && !main_daemonize(&ready, err))
        return false;
    pid_path = options->pid_file ? g_strdup(options->pid_file)
                                 : g_build_filename(paths->run_dir, "virtkilnd.pid", NULL);
    lock = pidfile_acquire(pid_path, err);
    if (lock < 0)
        return false;
    ok = main_serve(options, paths, ready, err);
    pidfile_release(pid_path, lock);
    return ok;
}

int
main(int argc, char **argv)
{
    MainOptions options = { 0 };
    g_autoptr(GError) err = NULL;
    int status = EXIT_SUCCESS;

    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    umask(022);
    daemon_log_init();
    if (!main_parse(&argc, &argv, &options, &err)) {
        fprintf(stderr, "virtkilnd: %s\n", err->message);
        return EXIT_FAILURE;
    }
    if (options.version) {
        printf("virtkilnd (Kiln) %s\n", KILN_VERSION);
    } else if (!main_run(&options, &err)) {
        fprintf(stderr, "virtkilnd: %s\n", err->message);
        status = EXIT_FAILURE;
    }
    g_free(options.config);
    g_free(options.root);
    g_free(options.pid_file);
    return status;
}
