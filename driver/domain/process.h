/* process.h - a process told apart from later ones with the same number.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_PROCESS_H
#define KILN_DRIVER_DOMAIN_PROCESS_H

#include <glib.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "driver/domain/cgroup.h"

typedef struct {
    pid_t pid;           /* 0: none */
    uint64_t start_time; /* clock ticks since boot, field 22 of /proc/PID/stat */
    int fd;              /* pidfd, -1: none */
} DomainProcess;

void domain_process_init(DomainProcess *process);
/* Closes the descriptor; the process goes on. */
void domain_process_clear(DomainProcess *process);

/* Takes up @pid. With @start_time not 0 it must be the process that started then. False with
 * VIR_ERR_INTERNAL_ERROR when it is gone or another. */
bool domain_process_open(DomainProcess *process, pid_t pid, uint64_t start_time, GError **err);

void domain_process_signal(const DomainProcess *process, int signo);

/* Waits until the process has ended (and reaps it when it is ours), at most @ms. True when it has
 * ended, or there is none; @ret_status (may be NULL) gets a wait status, or -1 when the process was
 * not ours. */
bool domain_process_wait(const DomainProcess *process, int ms, int *ret_status);

/* Nanoseconds of processor time of a process, or of one thread of it; 0 when it is gone. */
uint64_t domain_process_cpu_time(pid_t pid, pid_t tid);

/* The same of the process, by what it did, in steps of the kernel's clock; false if it is gone. */
bool domain_process_times(pid_t pid, uint64_t *ret_user, uint64_t *ret_system);

/* The processor a thread last ran on, -1 when it is gone. */
int domain_process_last_cpu(pid_t pid, pid_t tid);

/* Nanoseconds that a thread waited: for anything (*ret_wait, 0 where the kernel does not tell), for
 * a processor. */
void domain_process_waits(pid_t pid, pid_t tid, uint64_t *ret_wait, uint64_t *ret_delay);

/* Bytes of resident memory; 0 when it is gone. */
uint64_t domain_process_resident(pid_t pid);

/* --- spawn.c -------------------------------------------------------------------------------- */

typedef struct {
    int fd;     /* here */
    int number; /* there; 3 and up, no two the same */
} SpawnFd;

typedef struct {
    char **argv; /* argv[0] is the program's absolute path */
    char **environment;
    const SpawnFd *fds;
    unsigned n_fds;
    int output;             /* standard output and error */
    const CgroupJoin *join; /* the control group it belongs to */
    const cpu_set_t *cpus;  /* NULL: as the daemon */
    size_t cpus_size;
} Spawn;

/* Makes a child in its own session that holds nothing but its descriptors and waits for
 * domain_spawn_release(); when the daemon dies before that the child ends too. What protects the
 * daemon from the kernel's out-of-memory killer does not protect the child. @ret_gate is for
 * domain_spawn_release(). */
bool domain_spawn(const Spawn *spawn, DomainProcess *ret_process, int *ret_gate, GError **err);

/* Lets the child execute the program; closes @gate. False with VIR_ERR_INTERNAL_ERROR naming the
 * step that failed. */
bool domain_spawn_release(const char *program, int gate, GError **err);

#endif
