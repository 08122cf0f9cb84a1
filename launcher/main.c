/* main.c - kiln-vmm: one guest from its command line to its end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "hw/display/display.h"
#include "launcher/chardev_words.h"
#include "launcher/daemonize.h"
#include "launcher/help.h"
#include "launcher/keyval.h"
#include "launcher/lazy.h"
#include "launcher/migration.h"
#include "launcher/options.h"
#include "launcher/qmp.h"
#include "launcher/sandbox.h"
#include "launcher/vm.h"
#include "launcher/vm_display.h"
#include "launcher/vm_vnc.h"
#include "util/error.h"

/* Threads that do little else than wait share one heap, so that each does not keep its own. Stacks
 * are below the 2 MiB of a huge page, which the kernel would else give to the first byte used. */
enum { ARENAS = 2, TRIM = 64 * 1024, BIG_BLOCK = 64 * 1024, STACK = 512 * 1024 };

static void
main_save_memory(void)
{
    pthread_attr_t attr;

    mallopt(M_ARENA_MAX, ARENAS);
    mallopt(M_TRIM_THRESHOLD, TRIM);
    mallopt(M_MMAP_THRESHOLD, BIG_BLOCK);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
}

static gboolean
main_on_signal(int fd, GIOCondition condition, void *opaque)
{
    struct signalfd_siginfo info;

    (void)condition;
    if (read(fd, &info, sizeof(info)) == sizeof(info))
        vm_quit(opaque, "host-signal", false, EXIT_SUCCESS);
    return G_SOURCE_CONTINUE;
}

/* Signals that end the guest arrive on a descriptor. Before any thread exists: all of them inherit
 * that the signals are blocked. Returns the descriptor. */
static int
main_take_signals(GError **err)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "signalfd");
    return fd;
}

static bool
main_prepare(const Options *options, GError **err)
{
    bool timestamps = false;

    if (options->msg && !keyval_bool("-msg", options->msg, "timestamp", &timestamps, err))
        return false;
    vm_warn_timestamps(timestamps);
    sandbox_close_stray(options);
    if (options->log_file) {
        int fd = open(options->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

        if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
            return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-D %s",
                                        options->log_file);
        close(fd);
    }
    return vm_display_check(options, err);
}

static bool
main_has_credentials(const Options *options)
{
    for (guint i = 0; i < options->objects->len; i++) {
        const char *type = keyval_text(g_ptr_array_index(options->objects, i), "qom-type");

        if (type && vm_vnc_takes_object(type))
            return true;
    }
    return false;
}

/* In the sandbox there are no files to load from: without one all can still be asked for. An image
 * that comes by the monitor may be compressed, which costs next to nothing to be ready for. */
static bool
main_load_libraries(const Options *options, GError **err)
{
    JsonObject *sandbox = options->sandbox;
    bool monitor = options->qmps->len > 0 || options->pretty_qmps->len > 0 ||
                   options->monitors->len > 0 || options->mons->len > 0;
    bool on = true, crypto = false;

    if (sandbox && (!keyval_bool("-sandbox", sandbox, "enable", &on, err) ||
                    !keyval_bool("-sandbox", sandbox, "crypto", &crypto, err)))
        return false;
    crypto |= !on || options->vncs->len > 0 || main_has_credentials(options);
    return ((on && !options->incoming && !monitor) || lazy_load(LAZY_ZSTD, err)) &&
           ((on && !sandbox_has_user_network(options)) || lazy_load(LAZY_SLIRP, err)) &&
           (!crypto || (lazy_load(LAZY_GNUTLS, err) && lazy_load(LAZY_NETTLE, err))) &&
           (on || lazy_load(LAZY_PNG, err));
}

/* An image that comes when nothing can be loaded any more is refused. */
static bool
main_need_zstd(GError **err)
{
    return lazy_load(LAZY_ZSTD, err);
}

static bool
main_need_crypto(GError **err)
{
    if (lazy_load(LAZY_GNUTLS, err) && lazy_load(LAZY_NETTLE, err))
        return true;
    g_prefix_error(err,
                   "what encrypted images need is loaded before the sandbox closes: with -sandbox "
                   "on,crypto=on, which virtkilnd says where a secret is defined when the guest is "
                   "started; ");
    return false;
}

/* The kernel shows 15 bytes of it. */
static void
main_set_name(const Options *options)
{
    const char *process = options->name ? keyval_text(options->name, "process") : NULL;

    prctl(PR_SET_NAME, process ? process : "vmm main");
}

/* -incoming: what the guest is loaded from, while files can be opened; -1 when QMP will say. */
static bool
main_open_incoming(Vm *vm, int *ret_fd, GError **err)
{
    const char *uri = vm->options->incoming;

    if (!uri || strcmp(uri, "defer") == 0)
        return true;
    *ret_fd = migration_open(vm, uri, false, err);
    if (*ret_fd < 0)
        g_prefix_error(err, "-incoming: ");
    return *ret_fd >= 0;
}

static bool
main_run(Vm *vm, Sandbox *sandbox, const Options *options, Daemonize *daemon, GError **err)
{
    g_autoptr(Qmp) qmp = NULL;
    int signals = main_take_signals(err), incoming = -1;

    vm->need_zstd = main_need_zstd;
    vm->need_crypto = main_need_crypto;
    if (signals < 0 || !main_load_libraries(options, err) || !vm_create(vm, err) ||
        !main_open_incoming(vm, &incoming, err))
        return false;
    if (displays_get(vm->machine->displays, 0) && !lazy_load(LAZY_PNG, err))
        return false;
    vm->loop = g_main_loop_new(NULL, FALSE);
    qmp = qmp_new(vm, err);
    if (!qmp || !daemonize_write_pidfile(options->pidfile, err))
        return false;
    g_unix_fd_add(signals, G_IO_IN, main_on_signal, vm);
    if (!sandbox_enter(sandbox, vm, err) || !vm_start_vcpus(vm, err))
        return false;
    daemonize_ready(daemon);
    if (options->incoming
            ? incoming >= 0 && !migration_receive(vm, incoming, !options->paused, true, err)
            : !options->paused && !vm_resume(vm, err))
        return false;
    if (vm->exit_status < 0)
        g_main_loop_run(vm->loop);
    qmp_flush(qmp);
    return true;
}

int
main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(Options) options = NULL;
    g_autoptr(Sandbox) sandbox = NULL; /* outlives the vCPUs, which confine themselves */
    g_autoptr(Vm) vm = NULL;
    g_autofree char *text = NULL;
    Daemonize daemon = DAEMONIZE_NONE;
    int status = EXIT_FAILURE;

    main_save_memory();
    signal(SIGPIPE, SIG_IGN);
    options = options_parse(argc, argv, &err);
    text = options ? help_text(options, &err) : NULL;
    if (text) {
        fputs(text, stdout);
        return EXIT_SUCCESS;
    }
    if (!err && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) &&
        chardev_words_take_terminal(options))
        vm_warn("the guest's first serial port is on this terminal (Ctrl-a h shows the keys); with "
                "-vnc :0 its screen can be looked at");
    if (!err && main_prepare(options, &err) && (vm = vm_new(options, &err)) &&
        daemonize_begin(&daemon, options->daemonize, &err)) {
        main_set_name(options);
        sandbox = sandbox_new(options, &err);
        if (sandbox && main_run(vm, sandbox, options, &daemon, &err))
            status = vm->exit_status;
    }
    if (err) {
        g_autofree char *said = vm ? fdset_name_files(vm->fdsets, err->message) : NULL;

        vm_warn("%s", said ? said : err->message);
    }
    daemonize_fail(&daemon);
    return status;
}
