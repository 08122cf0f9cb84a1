/* block_settle.c - the live definition follows the images that the VMM has under a guest's disks.
 *
 * What a block job did is not remembered but looked at: which node a disk uses, and what lies
 * behind it. So it does not matter who listened when the job ended.
 *
 * QEMU QMP reference, block-core.json: query-block, query-named-block-nodes, blockdev-del, and the
 * events of block jobs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "util/error.h"

/* N of "libvirt-N-…", 0 for other names. */
static unsigned
node_index(const char *name)
{
    return g_str_has_prefix(name, "libvirt-")
               ? (unsigned)g_ascii_strtoull(name + strlen("libvirt-"), NULL, 10)
               : 0;
}

/* ---- one disk ---- */

/* The indexes of the images under a drive, its own first; empty when one of them is not ours. */
static GArray *
drive_indexes(JsonObject *drive, GHashTable *by_file)
{
    GArray *indexes = g_array_new(FALSE, FALSE, sizeof(unsigned));
    JsonObject *inserted = qmp_object(drive, "inserted");
    JsonObject *image = qmp_object(qmp_object(inserted, "image"), "backing-image");
    unsigned index = node_index(qmp_text(inserted, "node-name"));

    while (index > 0) {
        g_array_append_val(indexes, index);
        if (!image)
            return indexes;
        index = GPOINTER_TO_UINT(g_hash_table_lookup(by_file, qmp_text(image, "filename")));
        image = qmp_object(image, "backing-image");
    }
    g_array_set_size(indexes, 0);
    return indexes;
}

static ChainLayer *
layer_with(GPtrArray *layers, unsigned index)
{
    for (guint i = 0; i < layers->len; i++)
        if (((ChainLayer *)layers->pdata[i])->index == index)
            return layers->pdata[i];
    return NULL;
}

/* What the disk is being copied to; NULL: nothing. */
static DomainDisk *
disk_mirror(const DomainDisk *disk)
{
    return disk->mirror ? xml_type_parse_text(&domain_mirror_type, disk->mirror,
                                              strlen(disk->mirror), "disk_mirror", 0, NULL)
                        : NULL;
}

/* As the job of @disk has it, <mirror> says; without a job it goes, and so does the destination,
 * which is added to @gone unless the disk is there now. True when something changed. */
static bool
mirror_settle(DomainDisk *disk, JsonObject *job, GPtrArray *gone)
{
    DomainDisk *mirror = disk_mirror(disk);
    bool changed = false;

    if (!mirror)
        return false;
    if (!job) {
        /* an image that the disk lies on stays */
        if (mirror->source_index != disk->source_index &&
            g_strcmp0(mirror->mirror_job, DOMAIN_MIRROR_COMMIT) != 0)
            g_ptr_array_add(gone, argv_chain_layer_of(mirror));
        g_clear_pointer(&disk->mirror, g_free);
        changed = true;
    } else if (!mirror->mirror_ready &&
               json_object_get_boolean_member_with_default(job, "ready", FALSE)) {
        mirror->mirror_ready = g_strdup("yes");
        g_free(disk->mirror);
        disk->mirror = xml_type_format(&domain_mirror_type, mirror, XML_SECURE);
        changed = true;
    }
    xml_type_free(&domain_mirror_type, mirror);
    return changed;
}

/* @disk is made what @indexes say; those images that went are added to @gone. True when something
 * changed. */
static bool
disk_settle(DomainDisk *disk, const GArray *indexes, GPtrArray *gone)
{
    g_autoptr(GPtrArray) layers = argv_chain_parse(disk, NULL);
    g_autoptr(GPtrArray) left = g_ptr_array_new();
    DomainDisk *mirror = disk_mirror(disk);
    unsigned own = (unsigned)disk->source_index;
    guint behind;
    bool moved;

    if (!layers || indexes->len == 0 || disk->source_index == XML_UNSET) {
        xml_type_free(&domain_mirror_type, mirror);
        return false;
    }
    behind = layers->len;
    moved = g_array_index(indexes, unsigned, 0) != own;
    if (mirror && moved)
        g_ptr_array_add(layers, argv_chain_layer_of(mirror));
    xml_type_free(&domain_mirror_type, mirror);
    for (guint i = 0; i < indexes->len; i++) {
        ChainLayer *layer = layer_with(layers, g_array_index(indexes, unsigned, i));

        if (!layer && (i > 0 || moved))
            return false; /* an image that this definition does not know */
        if (i > 0)
            g_ptr_array_add(left, layer);
    }
    if (!moved && left->len == behind)
        return false;
    if (moved) {
        ChainLayer *layer = layer_with(layers, g_array_index(indexes, unsigned, 0));

        g_ptr_array_add(gone, argv_chain_layer_of(disk));
        domain_disk_take_source(disk, layer->source);
        disk->source_index = layer->index;
    }
    for (guint i = 0; i < behind; i++) {
        const ChainLayer *layer = layers->pdata[i];

        if (!g_ptr_array_find(left, layer, NULL) && layer->index != disk->source_index)
            g_ptr_array_add(gone, argv_chain_layer_of(layer->source));
    }
    g_free(disk->backing_store);
    disk->backing_store = argv_chain_xml(left, 0);
    return true;
}

/* ---- all disks ---- */

/* @kept, of the persistent definition, had the image of @old; @disk is what became of that. */
static bool
config_disk_follow(DomainDisk *kept, const DomainDisk *old, const DomainDisk *disk)
{
    g_autoptr(GPtrArray) before = argv_chain_parse(old, NULL), now = argv_chain_parse(disk, NULL);
    bool changed = false;

    if (old->source_index != disk->source_index) {
        g_autofree char *said = kept->backing_store;

        domain_disk_take_source(kept, disk);
        kept->backing_store = said ? g_strdup(disk->backing_store) : NULL;
        return true;
    }
    /* images that went from the middle of the chain */
    for (guint i = 0; before && now && i < before->len; i++) {
        const ChainLayer *layer = before->pdata[i];

        if (!layer_with(now, layer->index))
            changed |= argv_chain_remove(kept, layer->path);
    }
    return changed;
}

/* The persistent definition's disk moves too, if it was where the running one was. */
static void
config_follow(Domain *domain, const DomainDef *before, const DomainDef *now)
{
    g_autoptr(DomainDef) config = NULL;
    bool changed = false;

    g_mutex_lock(&domain->lock);
    config = domain->config ? domain_def_copy(domain->config) : NULL;
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; config && i < now->disks->len; i++) {
        const DomainDisk *old = before->disks->pdata[i], *disk = now->disks->pdata[i];

        for (guint j = 0; j < config->disks->len; j++) {
            DomainDisk *kept = config->disks->pdata[j];

            if (g_strcmp0(kept->target, disk->target) == 0 &&
                g_strcmp0(kept->file, old->file) == 0 && g_strcmp0(kept->dev, old->dev) == 0)
                changed |= config_disk_follow(kept, old, disk);
        }
    }
    if (changed)
        domain_config_replace(domain, g_steal_pointer(&config), NULL);
}

/* The files of the images from @gone[@first] on are needed by nothing. */
static void
delete_files(Domain *domain, const GPtrArray *gone, guint first)
{
    for (guint i = first; i < gone->len; i++) {
        const ChainLayer *layer = gone->pdata[i];

        if (layer->source->type == DOMAIN_DISK_FILE && unlink(layer->path) < 0)
            domain_manager_warn(domain->manager, "the committed image '%s' cannot be deleted: %s",
                                layer->path, g_strerror(errno));
    }
}

bool
domain_block_settle(DomainRun *run, const char *const *spent, GError **err)
{
    Domain *domain = run->domain;
    g_autoptr(JsonNode) nodes_owner = NULL, drives_owner = NULL;
    g_autoptr(GHashTable) by_file = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(argv_chain_layer_free);
    g_autoptr(DomainDef) def = NULL, before = NULL;
    JsonArray *nodes =
        qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &nodes_owner, err);
    JsonArray *drives =
        nodes ? qmp_execute_list(run->qmp, "query-block", NULL, &drives_owner, err) : NULL;
    bool changed = false;

    if (!drives)
        return false;
    for (guint i = 0; i < json_array_get_length(nodes); i++) {
        unsigned index = node_index(qmp_text(qmp_element(nodes, i), "node-name"));

        if (index > 0)
            g_hash_table_insert(by_file, (char *)qmp_text(qmp_element(nodes, i), "file"),
                                GUINT_TO_POINTER(index));
    }
    g_mutex_lock(&domain->lock);
    if (domain->run == run && domain->live) {
        def = domain_def_copy(domain->live);
        before = domain_def_copy(domain->live);
    }
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; def && i < def->disks->len; i++) {
        DomainDisk *disk = def->disks->pdata[i];
        guint first = gone->len;

        for (guint j = 0; j < json_array_get_length(drives); j++) {
            JsonObject *drive = qmp_element(drives, j);
            g_autoptr(GArray) indexes = NULL;

            if (g_strcmp0(qmp_text(drive, "qdev"), disk->info.alias) != 0)
                continue;
            indexes = drive_indexes(drive, by_file);
            changed |= disk_settle(disk, indexes, gone);
        }
        if (spent && g_strv_contains(spent, disk->target))
            delete_files(domain, gone, first);
        if (disk->mirror) {
            g_autoptr(JsonObject) job = domain_block_job_look(run, disk->target, NULL);

            changed |= mirror_settle(disk, job, gone);
        }
    }
    if (!changed)
        return true;
    config_follow(domain, before, def);
    domain_live_replace(domain, g_steal_pointer(&def));
    for (guint i = 0; i < gone->len; i++)
        domain_plug_drop_layer(run, gone->pdata[i]);
    return true;
}

/* ---- events ---- */

/* Tells of "STATUS KIND-TARGET". */
static void
event_tell(DomainRun *run, const char *event)
{
    static const char *const kinds[] = {
        [VIR_DOMAIN_BLOCK_JOB_TYPE_PULL] = "pull",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COPY] = "copy",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT] = "commit",
        [VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT] = "active",
    };
    Domain *domain = run->domain;
    int status = *event - '0';
    g_autofree char *source = NULL;
    const char *target = strchr(event, '-');
    const DomainDisk *disk;

    if (!target++)
        return;
    g_mutex_lock(&domain->lock);
    disk = domain->live ? domain_def_disk(domain->live, target) : NULL;
    source = g_strdup(disk ? domain_disk_path(disk) : NULL);
    g_mutex_unlock(&domain->lock);
    for (int type = 0; source && type < (int)G_N_ELEMENTS(kinds); type++) {
        if (!kinds[type] || !g_str_has_prefix(event + 1, kinds[type]))
            continue;
        domain_event_send(domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB, type, status, 0, source);
        domain_event_send(domain, VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, type, status, 0, target);
    }
}

/* First the definition is right, then clients hear of it. */
static void
after_event(DomainRun *run)
{
    Domain *domain = run->domain;
    g_autoptr(GPtrArray) events = NULL, spent = g_ptr_array_new();
    bool current;

    domain_job_begin_wait(domain, "the end of a block job");
    g_mutex_lock(&domain->lock);
    current = domain->run == run && domain->live;
    events = run->block_events;
    run->block_events = g_ptr_array_new_with_free_func(g_free);
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; i < events->len; i++) {
        const char *event = events->pdata[i];

        if (*event - '0' == VIR_DOMAIN_BLOCK_JOB_COMPLETED && domain_block_job_deletes(event + 1))
            g_ptr_array_add(spent, strchr(event, '-') + 1);
    }
    g_ptr_array_add(spent, NULL);
    if (current && events->len > 0)
        domain_block_settle(run, (const char *const *)spent->pdata, NULL);
    domain_job_end(domain);
    for (guint i = 0; current && i < events->len; i++)
        event_tell(run, events->pdata[i]);
}

void
domain_block_event(DomainRun *run, const char *name, const char *id, bool failed)
{
    int status = strcmp(name, "ready") == 0       ? VIR_DOMAIN_BLOCK_JOB_READY
                 : strcmp(name, "cancelled") == 0 ? VIR_DOMAIN_BLOCK_JOB_CANCELED
                 : failed                         ? VIR_DOMAIN_BLOCK_JOB_FAILED
                                                  : VIR_DOMAIN_BLOCK_JOB_COMPLETED;
    Domain *domain = run->domain;

    g_mutex_lock(&domain->lock);
    g_ptr_array_add(run->block_events, g_strdup_printf("%d%s", status, id));
    g_mutex_unlock(&domain->lock);
    domain_run_post(run, after_event);
}
