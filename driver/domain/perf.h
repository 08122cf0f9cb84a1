/* perf.h - counters of the kernel's perf for one guest's process.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_PERF_H
#define KILN_DRIVER_DOMAIN_PERF_H

#include "driver/domain/private.h"

/* The counters that are on; any thread. */
DomainPerf *domain_perf_new(void);
/* NULL is accepted. */
void domain_perf_free(DomainPerf *perf);

/* At the start of a run, or when a daemon takes it up: those that @def has on. VIR_ERR_SYSTEM_ERROR
 * when the kernel does not give one, VIR_ERR_ARGUMENT_UNSUPPORTED for those it has no more. */
bool domain_perf_start(DomainRun *run, const DomainDef *def, GError **err);

#endif
