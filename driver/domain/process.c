/* process.c - a process told apart from later ones with the same number.
 *
 * Linux pidfd_open(2), pidfd_send_signal(2), proc(5).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/process.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

void
domain_process_init(DomainProcess *process)
{
    *process = (DomainProcess){ .fd = -1 };
}

void
domain_process_clear(DomainProcess *process)
{
    if (process->fd >= 0)
        close(process->fd);
    domain_process_init(process);
}

/* Field @index (1 is the pid; 3 and up here) of a stat file of proc(5). The second field is in
 * brackets and may hold anything, so fields are counted from the last one. */
static bool
stat_field(const char *path, unsigned index, uint64_t *ret_value)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) fields = NULL;
    const char *rest;

    if (!g_file_get_contents(path, &text, NULL, NULL) || !(rest = strrchr(text, ')')))
        return false;
    fields = g_strsplit(g_strstrip((char *)rest + 1), " ", -1);
    if (g_strv_length(fields) < index - 2)
        return false;
    *ret_value = g_ascii_strtoull(fields[index - 3], NULL, 10);
    return true;
}

bool
domain_process_open(DomainProcess *process, pid_t pid, uint64_t start_time, GError **err)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    DomainProcess found = { .pid = pid };

    found.fd = syscall(SYS_pidfd_open, pid, 0);
    if (found.fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, errno, "cannot watch process %d",
                                    (int)pid);
    found.fd = file_move_high(found.fd);
    /* after the pidfd is open the number cannot be given to another process unseen */
    if (!stat_field(path, 22, &found.start_time) ||
        (start_time != 0 && found.start_time != start_time)) {
        close(found.fd);
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "process %d is another one than before",
                              (int)pid);
    }
    *process = found;
    return true;
}

void
domain_process_signal(const DomainProcess *process, int signo)
{
    if (process->fd >= 0)
        syscall(SYS_pidfd_send_signal, process->fd, signo, NULL, 0);
}

bool
domain_process_wait(const DomainProcess *process, int ms, int *ret_status)
{
    struct pollfd ended = { .fd = process->fd, .events = POLLIN };
    gint64 deadline = g_get_monotonic_time() + (gint64)ms * 1000;
    int status = -1, r;

    if (process->fd < 0)
        return true;
    do
        r = poll(&ended, 1, MAX(0, (deadline - g_get_monotonic_time()) / 1000));
    while (r < 0 && errno == EINTR);
    if (r <= 0)
        return false;
    if (waitpid(process->pid, &status, WNOHANG) != process->pid)
        status = -1;
    if (ret_status)
        *ret_status = status;
    return true;
}

uint64_t
domain_process_cpu_time(pid_t pid, pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    g_autofree char *text = NULL;
    struct timespec time;
    clockid_t clock;

    if (tid == 0) {
        if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) < 0)
            return 0;
        return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
    }
    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
}

bool
domain_process_times(pid_t pid, uint64_t *ret_user, uint64_t *ret_system)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    uint64_t tick = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK), user, system;

    if (!stat_field(path, 14, &user) || !stat_field(path, 15, &system))
        return false;
    *ret_user = user * tick;
    *ret_system = system * tick;
    return true;
}

int
domain_process_last_cpu(pid_t pid, pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task/%d/stat", (int)pid, (int)tid);
    uint64_t cpu;

    return stat_field(path, 39, &cpu) ? (int)cpu : -1;
}

uint64_t
domain_process_resident(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid);
    uint64_t pages;

    return stat_field(path, 24, &pages) ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* A line "name : 12.345678" of /proc/PID/sched, in milliseconds, as nanoseconds. */
static uint64_t
sched_value(const char *text, const char *name)
{
    const char *line = strstr(text, name), *colon = line ? strchr(line, ':') : NULL;

    return colon ? (uint64_t)(g_ascii_strtod(colon + 1, NULL) * 1e6) : 0;
}

void
domain_process_waits(pid_t pid, pid_t tid, uint64_t *ret_wait, uint64_t *ret_delay)
{
    g_autofree char *sched = g_strdup_printf("/proc/%d/task/%d/sched", (int)pid, (int)tid);
    g_autofree char *stat = g_strdup_printf("/proc/%d/task/%d/schedstat", (int)pid, (int)tid);
    g_autofree char *text = NULL, *line = NULL;
    uint64_t delay;

    *ret_wait = *ret_delay = 0;
    if (g_file_get_contents(sched, &text, NULL, NULL))
        *ret_wait = sched_value(text, "wait_sum");
    if (g_file_get_contents(stat, &line, NULL, NULL) && sscanf(line, "%*u %" SCNu64, &delay) == 1)
        *ret_delay = delay;
}
