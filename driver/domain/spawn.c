/* spawn.c - a child that gets exactly the descriptors it is meant to have.
 *
 * Between fork and exec only async-signal-safe calls are made: the daemon has other threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/domain/process.h"
#include "util/error.h"

typedef enum { STEP_SESSION, STEP_GROUP, STEP_CPUS, STEP_FDS, STEP_EXEC } SpawnStep;

typedef struct {
    SpawnStep step;
    int errnum;
} SpawnFailure;

static const char *const step_names[] = {
    [STEP_SESSION] = "make a session for",
    [STEP_GROUP] = "put into its control group",
    [STEP_CPUS] = "bind to its host CPUs",
    [STEP_FDS] = "hand descriptors to",
    [STEP_EXEC] = "execute",
};

static void G_GNUC_NORETURN
child_fail(int gate, SpawnStep step)
{
    SpawnFailure failure = { step, errno };
    ssize_t n = write(gate, &failure, sizeof(failure));

    _exit(n == sizeof(failure) ? 126 : 127);
}

/* Moves every descriptor out of the way first, so that no number is overwritten before its turn. */
static void
child_move_fds(const Spawn *spawn, SpawnFd *moved, int *gate)
{
    int top = 3, null;

    for (unsigned i = 0; i < spawn->n_fds; i++)
        top = MAX(top, spawn->fds[i].number + 1);
    *gate = fcntl(*gate, F_DUPFD_CLOEXEC, top);
    for (unsigned i = 0; i < spawn->n_fds; i++) {
        moved[i].fd = fcntl(spawn->fds[i].fd, F_DUPFD_CLOEXEC, top);
        moved[i].number = spawn->fds[i].number;
        if (moved[i].fd < 0)
            child_fail(*gate, STEP_FDS);
    }
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(spawn->output, STDOUT_FILENO) < 0 ||
        dup2(spawn->output, STDERR_FILENO) < 0 || dup2(null, STDIN_FILENO) < 0 ||
        syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        child_fail(*gate, STEP_FDS);
    for (unsigned i = 0; i < spawn->n_fds; i++)
        if (dup2(moved[i].fd, moved[i].number) < 0)
            child_fail(*gate, STEP_FDS);
}

/* The guest is killed rather than the daemon that knows of all others. Who has no such protection
 * may not be allowed to write, and need not. */
static void
child_drop_protection(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : write(fd, "0", 1);

    (void)n;
    if (fd >= 0)
        close(fd);
}

static void G_GNUC_NORETURN
child_run(const Spawn *spawn, SpawnFd *moved, int gate)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t none;
    char go;

    for (int i = 1; i < NSIG; i++)
        sigaction(i, &standard, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    umask(0077);
    if (setsid() < 0 || chdir("/") < 0)
        child_fail(gate, STEP_SESSION);
    for (unsigned i = 0; i < spawn->join->n_files; i++)
        if (write(spawn->join->files[i], "0\n", 2) != 2)
            child_fail(gate, STEP_GROUP);
    child_drop_protection();
    if (spawn->cpus && sched_setaffinity(0, spawn->cpus_size, spawn->cpus) < 0)
        child_fail(gate, STEP_CPUS);
    child_move_fds(spawn, moved, &gate);
    if (read(gate, &go, 1) != 1)
        _exit(125); /* the daemon died: nobody would know of this process */
    execve(spawn->argv[0], spawn->argv, spawn->environment);
    child_fail(gate, STEP_EXEC);
}

/* fork(), but born in control group @dir unless that is -1. Without libc's own care for locks: the
 * child makes system calls only. */
static pid_t
spawn_fork(int dir)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP,
        .exit_signal = SIGCHLD,
        .cgroup = dir,
    };

    return dir < 0 ? fork() : (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

bool
domain_spawn(const Spawn *spawn, DomainProcess *ret_process, int *ret_gate, GError **err)
{
    g_autofree SpawnFd *moved = g_new0(SpawnFd, spawn->n_fds + 1);
    sigset_t all, saved;
    int gate[2], errnum;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a socket pair");
    /* no handler of the daemon may run in the child */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    pid = spawn_fork(spawn->join->dir);
    if (pid == 0) {
        close(gate[0]);
        child_run(spawn, moved, gate[1]);
    }
    errnum = errno;
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    close(gate[1]);
    if (pid < 0) {
        close(gate[0]);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errnum, "cannot fork");
    }
    if (!domain_process_open(ret_process, pid, 0, err)) {
        close(gate[0]); /* the child sees that and ends */
        waitpid(pid, NULL, 0);
        return false;
    }
    *ret_gate = gate[0];
    return true;
}

bool
domain_spawn_release(const char *program, int gate, GError **err)
{
    SpawnFailure failure;
    ssize_t n = send(gate, "g", 1, MSG_NOSIGNAL);

    (void)n; /* a child that failed early has left its reason to be read */
    do
        n = recv(gate, &failure, sizeof(failure), 0);
    while (n < 0 && errno == EINTR);
    close(gate);
    if (n != sizeof(failure))
        return true;
    return kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, failure.errnum, "cannot %s '%s'",
                                failure.step <= STEP_EXEC ? step_names[failure.step] : "start",
                                program);
}
