/* agent.h - talking to the agent inside a guest, over its channel org.qemu.guest_agent.0.
 *
 * Nothing of it holds a job of the domain: an agent that does not answer keeps only those waiting
 * who want something of the same agent.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_AGENT_H
#define KILN_DRIVER_DOMAIN_AGENT_H

#include <json-glib/json-glib.h>

#include "driver/domain/private.h"

#define AGENT_CHANNEL "org.qemu.guest_agent.0"

enum {
    AGENT_SYNC_SECONDS = 5,       /* an agent that is there answers to that at once */
    AGENT_SHUTDOWN_SECONDS = 60,  /* asked to power off until the guest has */
    AGENT_PATIENCE_SECONDS = 600, /* what "wait for ever" (VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK)
                                   * comes to: freezing and trimming may take long */
};

/* Any thread. */
bool domain_has_agent_channel(const DomainDef *def);

DomainAgent *domain_agent_new(void);
void domain_agent_free(DomainAgent *agent);

/* Any thread. The guest has opened its end of the channel whose host end is the socket @path, or
 * (NULL) closed it. Never waits. */
void domain_agent_port(DomainAgent *agent, const char *path);
/* Any thread. The guest powers off, sleeps or is reset: all the answer that some commands get. */
void domain_agent_guest_ends(DomainAgent *agent);

/* The agent of a running guest, for one caller at a time; at most DOMAIN_JOB_SECONDS of waiting for
 * another. Agrees with the agent first on where its answers begin, so that those of earlier
 * callers, which may come late, are not taken for ours. VIR_ERR_ARGUMENT_UNSUPPORTED: no agent is
 * configured. VIR_ERR_AGENT_UNRESPONSIVE: not there, or does not answer. VIR_ERR_OPERATION_INVALID:
 * the guest does not run. VIR_ERR_OPERATION_TIMEOUT: another caller is at it. */
typedef struct {
    DomainRun *run; /* a reference */
    DomainAgent *agent;
    int timeout; /* virDomainAgentResponseTimeoutValues, or seconds, for commands */
} DomainAgentUse;
bool domain_agent_begin(Domain *domain, DomainAgentUse *ret, GError **err);
void domain_agent_end(DomainAgentUse *use);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DomainAgentUse, domain_agent_end)

/* Within domain_agent_begin(): executes @command with @args (taken over; NULL: none). The "return"
 * member as a node that the caller frees. VIR_ERR_INTERNAL_ERROR with the agent's words when it
 * refuses; *ret_unknown (NULL: not asked) tells whether it does not know the command at all. */
JsonNode *domain_agent_execute(DomainAgentUse *use, const char *command, JsonObject *args,
                               bool *ret_unknown, GError **err);
/* As above where nothing is expected back but success. */
bool domain_agent_command(DomainAgentUse *use, const char *command, JsonObject *args, GError **err);
/* As above for what ends in the guest's power-off, reset or sleep instead of an answer. */
bool domain_agent_command_ending(DomainAgentUse *use, const char *command, JsonObject *args,
                                 GError **err);
/* Sends @text, a whole command, and gives back the whole answer, refusals as errors. */
char *domain_agent_execute_text(DomainAgentUse *use, const char *text, GError **err);

/* A list that @command answers with; it lives as long as *ret_owner, which the caller frees. */
JsonArray *domain_agent_execute_list(DomainAgentUse *use, const char *command, JsonNode **ret_owner,
                                     bool *ret_unknown, GError **err);

/* Whether there is one to talk to, for callers that would rather do without. */
bool domain_agent_is_there(Domain *domain);

/* What the guest is asked to do with its own end: @mode is "powerdown" or "reboot". */
bool domain_agent_shutdown(Domain *domain, const char *mode, GError **err);

#endif
