/* agent_info.h - what a guest's agent tells, read without trust in its shape.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_AGENT_INFO_H
#define KILN_DRIVER_DOMAIN_AGENT_INFO_H

#include <json-glib/json-glib.h>

#include "driver/domain/domain.h"
#include "xml/domain.h"

/* One kind of virDomainGetGuestInfo(): the command that asks for it, and what makes parameters
 * (DomainGuestParam in @params) of the "return" member of the answer. @def: whose disks they are.
 */
typedef struct {
    unsigned type; /* virDomainGuestInfoTypes */
    const char *command;
    void (*add)(JsonNode *answer, const DomainDef *def, GArray *params);
} AgentInfo;
extern const AgentInfo agent_infos[];
extern const size_t agent_infos_n;

/* DomainGuestFs * of the answer to guest-get-fsinfo, owned by the array. */
GPtrArray *agent_filesystems(JsonNode *answer, const DomainDef *def);
/* DomainGuestInterface * of the answer to guest-network-get-interfaces. */
GPtrArray *agent_interfaces(JsonNode *answer);

/* The list that @node is, or NULL. */
JsonArray *agent_list(JsonNode *node);

#endif
