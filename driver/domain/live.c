/* live.c - the definition of a run, which grows what only a running guest has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/agent.h"

DomainDef *
domain_live_new(const DomainDef *def, int id)
{
    DomainDef *live = domain_def_copy(def);

    live->id = id;
    domain_def_assign_aliases(live);
    for (guint i = 0; i < live->channels->len; i++) {
        DomainChar *channel = live->channels->pdata[i];

        if (channel->target == DOMAIN_CHANNEL_VIRTIO)
            channel->state = 1; /* disconnected until the guest opens it */
    }
    return live;
}

bool
domain_live_channel_state(DomainRun *run, DomainDef *live, const char *alias, bool open)
{
    int state = open ? 2 : 1;

    for (guint i = 0; i < live->channels->len; i++) {
        DomainChar *channel = live->channels->pdata[i];
        bool changed = channel->state != state;

        if (!channel->info.alias || strcmp(channel->info.alias, alias) != 0)
            continue;
        channel->state = state;
        if (!channel->name || strcmp(channel->name, AGENT_CHANNEL) != 0)
            return false;
        domain_agent_port(run->agent, open && channel->source.type == DOMAIN_CHAR_UNIX &&
                                              channel->source.mode == DOMAIN_CHAR_BIND
                                          ? channel->source.path
                                          : NULL);
        return changed;
    }
    return false;
}
