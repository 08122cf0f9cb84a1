/* live.c - the definition of a run, which grows what only a running guest has.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/agent.h"

/* Those that were there at the start, then in the order in which they came. */
static gint
vcpu_compare(gconstpointer a, gconstpointer b)
{
    const DomainVcpu *x = *(DomainVcpu *const *)a, *y = *(DomainVcpu *const *)b;
    bool x_came = x->hotpluggable == TRISTATE_ON, y_came = y->hotpluggable == TRISTATE_ON;

    if (x_came != y_came)
        return x_came ? 1 : -1;
    if (x->order != y->order)
        return x->order < y->order ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void
domain_live_number_vcpus(DomainDef *live)
{
    g_autoptr(GPtrArray) on = g_ptr_array_new();

    for (guint i = 0; i < live->vcpu_list->len; i++) {
        DomainVcpu *vcpu = live->vcpu_list->pdata[i];

        if (vcpu->enabled == TRISTATE_ON)
            g_ptr_array_add(on, vcpu);
        else
            vcpu->order = XML_UNSET;
    }
    g_ptr_array_sort(on, vcpu_compare);
    for (guint i = 0; i < on->len; i++)
        ((DomainVcpu *)on->pdata[i])->order = i + 1;
}

DomainDef *
domain_live_new(const DomainDef *def, int id)
{
    DomainDef *live = domain_def_copy(def);

    live->id = id;
    domain_def_assign_aliases(live);
    domain_live_number_vcpus(live);
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
