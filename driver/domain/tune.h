/* tune.h - where a guest's threads run and how much they may.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_TUNE_H
#define KILN_DRIVER_DOMAIN_TUNE_H

#include <sched.h>

#include "driver/domain/private.h"

/* Before the process is there: makes the group and sets what holds for all of it. */
bool domain_tune_group(DomainRun *run, const DomainDef *def, GError **err);

/* The CPUs that the process starts on; NULL for all. CPU_FREE() the result. */
cpu_set_t *domain_tune_initial_cpus(const DomainDef *def, size_t *ret_size);

/* Once the threads are known: binds, schedules and limits each. */
bool domain_tune_threads(DomainRun *run, const DomainDef *def, GError **err);

/* As above for vCPU @index alone. In a job. */
bool domain_tune_vcpu(DomainRun *run, const DomainDef *def, unsigned index, GError **err);

/* As above for I/O thread @id alone, which is there. In a job. */
bool domain_tune_iothread(DomainRun *run, const DomainDef *def, unsigned id, GError **err);

/* In a job: shares, periods and quotas of a running guest as @def has them, where @wanted names
 * them.
 */
bool domain_tune_limits(DomainRun *run, const DomainDef *def, const DomainSchedule *wanted,
                        GError **err);

/* tune_limits.c: memory and block I/O of the group as @def has them; nothing where it says nothing.
 */
bool domain_tune_resources(DomainRun *run, const DomainDef *def, GError **err);

/* Binds thread @tid to a canonical cpuset (NULL: all CPUs of the host). */
bool domain_tune_bind(pid_t tid, const char *cpus, GError **err);

/* The cpuset of vCPU @index, of I/O thread @id, or of everything else; NULL: all CPUs. */
const char *domain_tune_vcpu_cpus(const DomainDef *def, unsigned index);
const char *domain_tune_iothread_cpus(const DomainDef *def, unsigned id);
const char *domain_tune_emulator_cpus(const DomainDef *def);

#endif
