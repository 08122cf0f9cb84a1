/* stats.c - counters of a guest's disks, and its interfaces as the host knows them.
 *
 * QMP query-blockstats, query-block, query-named-block-nodes (QEMU QMP reference, block-core.json).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/domain/private.h"
#include "driver/domain/qmp_answer.h"
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

/* The answer's entry whose device is @alias, or NULL. */
static JsonObject *
find_device(JsonArray *list, const char *alias)
{
    for (guint i = 0; i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *entry = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *device =
            entry ? json_object_get_string_member_with_default(entry, "qdev", NULL) : NULL;
        const char *last = device ? strrchr(device, '/') : NULL;

        if (device && strcmp(last ? last + 1 : device, alias) == 0)
            return entry;
    }
    return NULL;
}

/* Its member @name, or NULL. */
static JsonObject *
find_entry(JsonArray *list, const char *alias, const char *name)
{
    JsonObject *entry = find_device(list, alias);
    JsonNode *member = entry ? json_object_get_member(entry, name) : NULL;

    return member && JSON_NODE_HOLDS_OBJECT(member) ? json_node_get_object(member) : NULL;
}

static int64_t
count(JsonObject *entry, const char *name)
{
    return entry ? json_object_get_int_member_with_default(entry, name, -1) : -1;
}

/* What the guest sees of the image, by the VMM's answer to query-block (NULL: none). */
static int64_t
capacity(const DomainDisk *disk, JsonArray *blocks)
{
    JsonObject *inserted = blocks ? find_entry(blocks, disk->info.alias, "inserted") : NULL;
    JsonNode *image = inserted ? json_object_get_member(inserted, "image") : NULL;

    return image && JSON_NODE_HOLDS_OBJECT(image)
               ? count(json_node_get_object(image), "virtual-size")
               : -1;
}

/* What the disk fails with, by the same answer. */
static int
disk_error(const DomainDisk *disk, JsonArray *blocks)
{
    JsonObject *entry = blocks ? find_device(blocks, disk->info.alias) : NULL;
    const char *status = entry ? qmp_text(entry, "io-status") : "";

    if (strcmp(status, "nospace") == 0)
        return VIR_DOMAIN_DISK_ERROR_NO_SPACE;
    return strcmp(status, "failed") == 0 ? VIR_DOMAIN_DISK_ERROR_UNSPEC
                                         : VIR_DOMAIN_DISK_ERROR_NONE;
}

/* How far the file of the @depth-th image of the disk's chain was written since the guest started:
 * what libvirt calls its allocation. */
static int64_t
written_end(JsonArray *answer, const DomainDisk *disk, unsigned depth)
{
    JsonObject *entry = find_device(answer, disk->info.alias);

    for (unsigned i = 0; i < depth; i++)
        entry = qmp_object(entry, "backing");
    return count(qmp_object(qmp_object(entry, "parent"), "stats"), "wr_highest_offset");
}

/* What it takes on the host; the whole of a file that takes nothing yet. */
static void
add_sizes(DomainBlockStats *stats)
{
    DomainBlockInfo info;

    stats->physical = stats->path && domain_host_block_info(stats->path, &info, NULL)
                          ? (int64_t)(info.allocation ? info.allocation : info.physical)
                          : -1;
}

static DomainBlockStats *
disk_stats(const DomainDisk *disk, JsonArray *answer, JsonArray *blocks)
{
    JsonObject *entry = find_entry(answer, disk->info.alias, "stats");
    DomainBlockStats *stats = g_new0(DomainBlockStats, 1);

    stats->target = g_strdup(disk->target);
    stats->path = g_strdup(domain_disk_path(disk));
    stats->index = disk->source_index == XML_UNSET ? 0 : (unsigned)disk->source_index;
    stats->rd_req = count(entry, "rd_operations");
    stats->rd_bytes = count(entry, "rd_bytes");
    stats->wr_req = count(entry, "wr_operations");
    stats->wr_bytes = count(entry, "wr_bytes");
    stats->flush_req = count(entry, "flush_operations");
    stats->rd_ns = count(entry, "rd_total_time_ns");
    stats->wr_ns = count(entry, "wr_total_time_ns");
    stats->flush_ns = count(entry, "flush_total_time_ns");
    stats->capacity = capacity(disk, blocks);
    stats->allocation = written_end(answer, disk, 0);
    stats->error = disk_error(disk, blocks);
    return stats;
}

/* The images below the disk's own; nothing is counted for them. */
static void
add_chain(GPtrArray *list, const DomainDisk *disk, JsonArray *answer)
{
    g_autoptr(GPtrArray) chain = argv_chain_parse(disk, NULL);

    for (guint i = 0; chain && i < chain->len; i++) {
        const ChainLayer *layer = chain->pdata[i];
        DomainBlockStats *stats = g_new0(DomainBlockStats, 1);

        stats->target = g_strdup(disk->target);
        stats->path = g_strdup(domain_disk_path(layer->source));
        stats->index = layer->index;
        stats->rd_req = stats->rd_bytes = stats->wr_req = stats->wr_bytes = -1;
        stats->flush_req = stats->rd_ns = stats->wr_ns = stats->flush_ns = -1;
        stats->capacity = -1;
        stats->allocation = written_end(answer, disk, i + 1);
        g_ptr_array_add(list, stats);
    }
}

/* The VMM's node of image @index, its "format" or its "storage". */
static JsonObject *
find_node(JsonArray *nodes, unsigned index, const char *part)
{
    g_autofree char *name = g_strdup_printf("libvirt-%u-%s", index, part);

    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        JsonObject *node = qmp_element(nodes, i);

        if (strcmp(qmp_text(node, "node-name"), name) == 0)
            return node;
    }
    return NULL;
}

/* What only the images' nodes tell. This is one more question to the VMM: it is asked for chains,
 * and for guests that may have a threshold, until there is none. @orders are those from before. */
static void
add_nodes(DomainRun *run, unsigned orders, GPtrArray *list)
{
    g_autoptr(JsonNode) answer = NULL;
    JsonArray *nodes = qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &answer, NULL);
    bool any = false;

    for (guint i = 0; nodes && i < list->len; i++) {
        DomainBlockStats *stats = list->pdata[i];
        JsonObject *image = qmp_object(find_node(nodes, stats->index, "format"), "image");

        stats->threshold = qmp_number(find_node(nodes, stats->index, "storage"), "write_threshold");
        any = any || stats->threshold > 0;
        if (stats->capacity < 0 && image)
            stats->capacity = count(image, "virtual-size");
    }
    if (nodes && !any)
        g_atomic_int_set(&run->fill_none, orders);
}

GPtrArray *
domain_block_stats(Domain *domain, bool chains, GError **err)
{
    g_autoptr(DomainRun) run = domain_run_get(domain, err);
    g_autoptr(JsonNode) answer = NULL;
    g_autoptr(JsonNode) blocks = NULL;
    g_autoptr(GPtrArray) list = NULL;
    JsonArray *stats, *sizes;
    unsigned orders;
    bool any;

    if (!run)
        return NULL;
    orders = (unsigned)g_atomic_int_get(&run->fill_orders);
    list = g_ptr_array_new_with_free_func((GDestroyNotify)domain_block_stats_free);
    g_mutex_lock(&domain->lock);
    any = domain->live && domain->live->disks->len > 0;
    g_mutex_unlock(&domain->lock);
    if (!any)
        return g_steal_pointer(&list);
    if (!(stats = qmp_execute_list(run->qmp, "query-blockstats", NULL, &answer, err)))
        return NULL;
    sizes = qmp_execute_list(run->qmp, "query-block", NULL, &blocks, NULL);
    g_mutex_lock(&domain->lock);
    for (guint i = 0; domain->live && i < domain->live->disks->len; i++) {
        g_ptr_array_add(list, disk_stats(domain->live->disks->pdata[i], stats, sizes));
        if (chains)
            add_chain(list, domain->live->disks->pdata[i], stats);
    }
    g_mutex_unlock(&domain->lock);
    if (chains || orders != (unsigned)g_atomic_int_get(&run->fill_none))
        add_nodes(run, orders, list);
    for (guint i = 0; i < list->len; i++)
        add_sizes(list->pdata[i]);
    return g_steal_pointer(&list);
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
