/* main.c - kiln-nbd: opens the image, listens, and goes to the background.
 *
 * With a unix socket a small process stays outside the sandbox to remove the socket at the end; the
 * server itself, which reads the image and talks to clients, is its child.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/nbd/serve.h"
#include "block/nbd/tool.h"
#include "util/error.h"

static void
signals_fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

/* Passes signals on to the server until it ends, and removes its socket; its exit status. */
static int
supervise(const NbdArgs *args, pid_t server)
{
    sigset_t set;
    int status = 0, number;

    signals_fill(&set);
    sigaddset(&set, SIGCHLD);
    while (waitpid(server, &status, WNOHANG) != server) {
        if (sigwait(&set, &number) == 0 && number != SIGCHLD)
            kill(server, number);
    }
    unlink(args->socket);
    if (WIFSIGNALED(status))
        return nbd_fail("the server was killed by signal %d (%s)", WTERMSIG(status),
                        strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status);
}

static bool
pid_file_write(const char *path, pid_t pid)
{
    g_autofree char *text = g_strdup_printf("%d\n", (int)pid);
    g_autoptr(GError) why = NULL;

    if (!path || g_file_set_contents(path, text, -1, &why))
        return true;
    nbd_fail("%s", why->message);
    return false;
}

/* Waits until the server tells that clients can connect, or has ended. */
static int
wait_for_server(int fd, pid_t child)
{
    char byte;
    int status;

    if (read(fd, &byte, 1) == 1)
        return 0;
    if (waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    return 1;
}

/* In the process that is to live on: standard input and output are given up; errors stay on
 * standard error until clients can connect. */
static void
detach(void)
{
    int null = open("/dev/null", O_RDWR);

    setsid();
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
}

static int
run_server(const NbdArgs *args, int ready_fd)
{
    g_autoptr(GError) err = NULL;

    if (nbd_serve(args, ready_fd, &err))
        return 0;
    return nbd_fail("%s", err->message);
}

/* The server, with its supervisor where there is a socket to be removed. */
static int
run(const NbdArgs *args, int ready_fd)
{
    pid_t self = getpid(), server;

    if (!pid_file_write(args->pid_file, self))
        return 1;
    if (!args->socket || args->connect)
        return run_server(args, ready_fd);
    server = fork();
    if (server < 0)
        return nbd_fail("cannot start a process: %s", g_strerror(errno));
    if (server > 0) {
        if (ready_fd >= 0) {
            close(ready_fd);
            dup2(STDOUT_FILENO, STDERR_FILENO); /* in the background: /dev/null */
        }
        return supervise(args, server);
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != self)
        return 1;
    return run_server(args, ready_fd);
}

static int
run_in_background(const NbdArgs *args)
{
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return nbd_fail("cannot make a pipe: %s", g_strerror(errno));
    child = fork();
    if (child < 0)
        return nbd_fail("cannot start a process: %s", g_strerror(errno));
    if (child > 0) {
        close(ends[1]);
        return wait_for_server(ends[0], child);
    }
    close(ends[0]);
    detach();
    return run(args, ends[1]);
}

static int
run_mode(const NbdArgs *args)
{
    g_autoptr(GError) err = NULL;
    sigset_t set;

    if (args->list)
        return nbd_list(args);
    if (args->disconnect)
        return nbd_kernel_disconnect(args->disconnect, &err) ? 0 : nbd_fail("%s", err->message);
    signals_fill(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return args->fork || args->connect ? run_in_background(args) : run(args, -1);
}

int
main(int argc, char **argv)
{
    NbdArgs args = { 0 };
    int status;

    if (nbd_args_parse(argc, argv, &args, &status))
        status = run_mode(&args);
    nbd_args_clear(&args);
    return status;
}
