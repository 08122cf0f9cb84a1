/* vcpu_plug.h - single processors of a guest: where each sits, by what names the VMM knows them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_VCPU_PLUG_H
#define KILN_DRIVER_DOMAIN_VCPU_PLUG_H

#include "driver/domain/private.h"

typedef struct {
    unsigned socket, die, core, thread;
} DomainVcpuPlace;

/* Where processor @index of @def sits. */
void domain_vcpu_place(const DomainDef *def, unsigned index, DomainVcpuPlace *ret);

/* The VMM's device type of @def's processors; the caller frees. */
char *domain_vcpu_driver(const DomainDef *def);

/* In a worker: a processor has gone from @run. */
void domain_vcpus_catch_up(DomainRun *run);

#endif
