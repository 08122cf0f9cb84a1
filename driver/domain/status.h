/* status.h - what the status file of a running guest holds.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_STATUS_H
#define KILN_DRIVER_DOMAIN_STATUS_H

#include "driver/domain/private.h"

typedef struct {
    uint64_t kind; /* NetworkPortKind */
    char *source, *portgroup, *ifname, *mac, *id;
    int isolated, managed; /* 0 or 1 */
} DomainStatusPort;

typedef struct {
    uint64_t state, reason; /* virDomainState */
    int starting;           /* 0 or 1: the guest never ran; kill what there is */
    int autodestroy;        /* 0 or 1: its client's daemon has died */
    int reset_after_shutdown;
    int64_t agent_timeout;
    uint64_t pid, start_time;
    char *monitor;
    GPtrArray *ports;   /* DomainStatusPort */
    GPtrArray *sockets; /* char * */
    DomainDef *def;     /* the live definition */
} DomainStatus;

extern const XmlType domain_status_type;
extern const XmlType domain_status_port_type;

#endif
