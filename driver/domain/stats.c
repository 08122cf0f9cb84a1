/* stats.c - counters of a guest's disks, and its interfaces as the host knows them.
 *
 * QMP query-blockstats (QEMU QMP reference, block-core.json).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "util/error.h"

void
domain_block_stats_free(DomainBlockStats *stats)
{
    g_free(stats->target);
    g_free(stats->path);
    g_free(stats);
}

static void
interface_free(void *data)
{
    DomainInterfaceInfo *info = data;

    g_free(info->ifname);
    g_free(info->mac);
    g_free(info->network);
    g_free(info);
}

/* The entry of the answer whose device is @alias, or NULL. */
static JsonObject *
find_entry(JsonArray *list, const char *alias)
{
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *entry = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *device =
            entry ? json_object_get_string_member_with_default(entry, "qdev", NULL) : NULL;
        const char *last = device ? strrchr(device, '/') : NULL;
        JsonNode *stats;

        if (!device || strcmp(last ? last + 1 : device, alias) != 0)
            continue;
        stats = json_object_get_member(entry, "stats");
        return stats && JSON_NODE_HOLDS_OBJECT(stats) ? json_node_get_object(stats) : NULL;
    }
    return NULL;
}

static int64_t
count(JsonObject *entry, const char *name)
{
    return entry ? json_object_get_int_member_with_default(entry, name, -1) : -1;
}

static DomainBlockStats *
disk_stats(const DomainDisk *disk, JsonArray *answer)
{
    JsonObject *entry = find_entry(answer, disk->info.alias);
    DomainBlockStats *stats = g_new0(DomainBlockStats, 1);

    stats->target = g_strdup(disk->target);
    stats->path = g_strdup(disk->type == DOMAIN_DISK_BLOCK ? disk->dev : disk->file);
    stats->rd_req = count(entry, "rd_operations");
    stats->rd_bytes = count(entry, "rd_bytes");
    stats->wr_req = count(entry, "wr_operations");
    stats->wr_bytes = count(entry, "wr_bytes");
    stats->flush_req = count(entry, "flush_operations");
    stats->rd_ns = count(entry, "rd_total_time_ns");
    stats->wr_ns = count(entry, "wr_total_time_ns");
    stats->flush_ns = count(entry, "flush_total_time_ns");
    return stats;
}

GPtrArray *
domain_block_stats(Domain *domain, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) answer = NULL;
    GPtrArray *list;

    if (!run ||
        !(answer = qmp_execute(run->qmp, "query-blockstats", NULL, DOMAIN_QMP_SECONDS, err)))
        return NULL;
    if (!JSON_NODE_HOLDS_ARRAY(answer)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "query-blockstats did not answer with a list");
        return NULL;
    }
    list = g_ptr_array_new_with_free_func((GDestroyNotify)domain_block_stats_free);
    g_mutex_lock(&domain->lock);
    for (guint i = 0; domain->live && i < domain->live->disks->len; i++)
        g_ptr_array_add(list,
                        disk_stats(domain->live->disks->pdata[i], json_node_get_array(answer)));
    g_mutex_unlock(&domain->lock);
    return list;
}

GPtrArray *
domain_interfaces(Domain *domain, GError **err)
{
    GPtrArray *list = NULL;

    g_mutex_lock(&domain->lock);
    if (!domain->live)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    else
        list = g_ptr_array_new_with_free_func(interface_free);
    for (guint i = 0; list && i < domain->live->interfaces->len; i++) {
        const DomainInterface *net = domain->live->interfaces->pdata[i];
        DomainInterfaceInfo *info = g_new0(DomainInterfaceInfo, 1);

        info->ifname = net->type == DOMAIN_NET_USER ? NULL : g_strdup(net->ifname);
        info->mac = g_strdup(net->mac);
        info->network = net->type == DOMAIN_NET_NETWORK ? g_strdup(net->network) : NULL;
        g_ptr_array_add(list, info);
    }
    g_mutex_unlock(&domain->lock);
    return list;
}
