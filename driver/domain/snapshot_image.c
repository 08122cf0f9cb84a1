/* snapshot_image.c - what snapshots do to images: internal ones in qcow2 files, new images for
 * external ones, and the variable store of UEFI.
 *
 * Images that no guest has open are worked on by kiln-img, which reads them in its sandbox; those
 * of a running guest by its VMM (QEMU QMP reference, block-core.json:
 * blockdev-snapshot-internal-sync, blockdev-snapshot-delete-internal-sync, blockdev-snapshot in a
 * transaction).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/attach.h"
#include "driver/domain/qmp_answer.h"
#include "driver/domain/resources.h"
#include "driver/domain/snapshot.h"
#include "driver/storage/backend.h"
#include "util/error.h"
#include "util/file.h"

enum { NVRAM_MAX = 64 * 1024 * 1024 };

/* --- internal snapshots ----------------------------------------------------------------------- */

/* The disk that the running guest has under @target, if its image is still @path: its node. */
static char *
live_node(DomainRun *run, const char *target, const char *path)
{
    Domain *domain = run->domain;
    char *node = NULL;

    g_mutex_lock(&domain->lock);
    if (domain->live && domain->run == run) {
        const DomainDisk *disk = domain_def_disk(domain->live, target);

        if (disk && disk->source_index != XML_UNSET && g_strcmp0(domain_disk_path(disk), path) == 0)
            node = g_strdup_printf("libvirt-%" PRIu64 "-format", disk->source_index);
    }
    g_mutex_unlock(&domain->lock);
    return node;
}

static bool
image_do(DomainManager *manager, DomainRun *run, const SnapshotDisk *entry, const DomainDisk *disk,
         const char *name, const char *what, GError **err)
{
    g_autofree char *program = domain_image_program(manager);
    const char *path = domain_disk_path(disk);
    const char *option = strcmp(what, "create") == 0 ? "-c" : *what == 'a' ? "-a" : "-d";
    const char *const words[] = { program, "snapshot", "--keyless", option, name, path, NULL };
    g_autofree char *node = run ? live_node(run, entry->name, path) : NULL;

    if (node) {
        JsonObject *args = json_object_new();

        json_object_set_string_member(args, "device", node);
        json_object_set_string_member(args, "name", name);
        return qmp_command(run->qmp,
                           *what == 'c' ? "blockdev-snapshot-internal-sync"
                                        : "blockdev-snapshot-delete-internal-sync",
                           args, DOMAIN_SAVE_SECONDS, err);
    }
    return storage_run(words, -1, NULL, err);
}

bool
domain_snapshot_images(DomainManager *manager, DomainRun *run, const SnapshotDef *def,
                       const char *what, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];
        const DomainDisk *disk = domain_def_disk(def->domain, entry->name);

        if (entry->location != SNAPSHOT_INTERNAL || !disk || !domain_disk_path(disk))
            continue;
        if (image_do(manager, run, entry, disk, def->name, what, err))
            continue;
        while (*what == 'c' && i-- > 0) {
            entry = def->disks->pdata[i];
            disk = domain_def_disk(def->domain, entry->name);
            if (entry->location == SNAPSHOT_INTERNAL && disk && domain_disk_path(disk))
                image_do(manager, run, entry, disk, def->name, "delete", NULL);
        }
        return false;
    }
    return true;
}

/* --- new images ------------------------------------------------------------------------------- */

/* The size of the disk that the running guest has; 0 when it is not known. */
static uint64_t
live_size(DomainRun *run, const char *node)
{
    g_autoptr(JsonNode) owner = NULL;
    JsonArray *list = qmp_execute_list(run->qmp, "query-named-block-nodes", NULL, &owner, NULL);

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *entry = qmp_element(list, i);
        JsonNode *image = entry ? json_object_get_member(entry, "image") : NULL;

        if (strcmp(qmp_text(entry, "node-name"), node) == 0 && image &&
            JSON_NODE_HOLDS_OBJECT(image))
            return (uint64_t)MAX(0, qmp_number(json_node_get_object(image), "virtual-size"));
    }
    return 0;
}

DomainDisk *
domain_snapshot_source(const SnapshotDisk *entry)
{
    DomainDisk *source = xml_type_new(&domain_backing_type);

    source->type = entry->type == DOMAIN_DISK_BLOCK ? DOMAIN_DISK_BLOCK : DOMAIN_DISK_FILE;
    source->file = g_strdup(source->type == DOMAIN_DISK_FILE ? entry->file : NULL);
    source->dev = g_strdup(source->type == DOMAIN_DISK_BLOCK ? entry->dev : NULL);
    source->format = g_strdup(entry->format ? entry->format : "qcow2");
    if (entry->encryption)
        source->source_encryption = xml_type_copy(&domain_encryption_type, entry->encryption);
    return source;
}

/* Lying on @disk's image, by name only; its size is that of the image, which a running guest's VMM
 * knows and does not let others read. */
static bool
overlay_make(DomainManager *manager, DomainRun *run, const SnapshotDisk *entry,
             const DomainDisk *disk, GError **err)
{
    g_autofree char *node = run ? live_node(run, entry->name, domain_disk_path(disk)) : NULL;
    DomainDisk *image = domain_snapshot_source(entry);
    bool ok = domain_image_create(manager, image, disk, node ? live_size(run, node) : 0, err);

    xml_type_free(&domain_backing_type, image);
    return ok;
}

bool
domain_snapshot_overlays(DomainManager *manager, DomainRun *run, const SnapshotDef *def,
                         GPtrArray *made, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];
        const DomainDisk *disk = domain_def_disk(def->domain, entry->name);
        bool is_new;

        if (entry->location != SNAPSHOT_EXTERNAL || !disk)
            continue;
        is_new = access(snapshot_disk_path(entry), F_OK) < 0;
        if (!overlay_make(manager, run, entry, disk, err))
            return false;
        if (is_new)
            g_ptr_array_add(made, g_strdup(snapshot_disk_path(entry)));
    }
    return true;
}

/* @disk uses the new image; what that lies on is left to the image. */
static void
disk_follow(DomainDisk *disk, const SnapshotDisk *entry)
{
    DomainDisk *source = domain_snapshot_source(entry);

    domain_disk_take_source(disk, source);
    xml_type_free(&domain_backing_type, source);
    g_clear_pointer(&disk->backing_store, g_free);
}

/* What an image says of another is no help when that is encrypted, and not asked where the
 * definition says what there is. */
static bool
def_disk_follow(DomainDisk *disk, const SnapshotDisk *entry, GError **err)
{
    g_autofree char *under = NULL;

    if ((disk->backing_store || domain_disk_encryption(disk)) &&
        !(under = argv_chain_under(disk, err)))
        return false;
    disk_follow(disk, entry);
    disk->backing_store = g_steal_pointer(&under);
    return true;
}

bool
domain_snapshot_follow(DomainDef *def, const SnapshotDef *snapshot, GError **err)
{
    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const DomainDisk *old = domain_def_disk(snapshot->domain, entry->name);
        DomainDisk *disk = domain_def_disk(def, entry->name);

        if (entry->location == SNAPSHOT_EXTERNAL && disk && old &&
            g_strcmp0(domain_disk_path(disk), domain_disk_path(old)) == 0 &&
            !def_disk_follow(disk, entry, err))
            return false;
    }
    return true;
}

/* --- a running guest goes over ---------------------------------------------------------------- */

/* Opens the new image in the VMM, lying on nothing, and makes @disk, of the definition to be, use
 * it. */
static bool
overlay_open(DomainPlug *plug, DomainDisk *disk, const SnapshotDisk *entry, JsonArray *actions,
             GError **err)
{
    Argv *argv = domain_plug_argv(plug);
    g_autofree char *chain = argv_chain_under(disk, err), *node = NULL;
    g_autofree char *old = g_strdup_printf("libvirt-%" PRIu64 "-format", disk->source_index);
    JsonObject *action, *data;

    if (!chain)
        return false;
    disk_follow(disk, entry);
    disk->backing_store = g_strdup("<backingStore/>");
    if (!argv_disk_image(argv, disk, argv->next_node++, &node, err))
        return false;
    g_free(disk->backing_store);
    disk->backing_store = g_steal_pointer(&chain);
    action = json_object_new();
    data = json_object_new();
    json_object_set_string_member(data, "node", old);
    json_object_set_string_member(data, "overlay", node);
    json_object_set_string_member(action, "type", "blockdev-snapshot");
    json_object_set_object_member(action, "data", data);
    json_array_add_object_element(actions, action);
    return true;
}

bool
domain_snapshot_switch(DomainRun *run, const SnapshotDef *snapshot, GError **err)
{
    Domain *domain = run->domain;
    g_autoptr(DomainDef) live = NULL, config = NULL;
    g_autoptr(DomainPlug) plug = NULL;
    JsonArray *actions = json_array_new();
    JsonObject *args = json_object_new();
    bool ok = true;

    json_object_set_array_member(args, "actions", actions);
    g_mutex_lock(&domain->lock);
    live = domain_def_copy(domain->live);
    config = domain->config ? domain_def_copy(domain->config) : NULL;
    g_mutex_unlock(&domain->lock);
    plug = domain_plug_new(run, live, err);
    for (guint i = 0; plug && ok && i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        DomainDisk *disk = domain_def_disk(live, entry->name);

        if (entry->location == SNAPSHOT_EXTERNAL && disk)
            ok = overlay_open(plug, disk, entry, actions, err);
    }
    ok = plug && ok && domain_plug_send(plug, err);
    if (!ok) {
        json_object_unref(args);
        return false;
    }
    if (!qmp_command(run->qmp, "transaction", args, DOMAIN_SAVE_SECONDS, err)) {
        domain_plug_undo(plug);
        return false;
    }
    domain_live_replace(domain, g_steal_pointer(&live));
    return !config || (domain_snapshot_follow(config, snapshot, err) &&
                       domain_config_replace(domain, g_steal_pointer(&config), err));
}

/* --- the variable store ----------------------------------------------------------------------- */

bool
domain_snapshot_nvram(Domain *domain, const DomainDef *def, const char *snapshot, bool back,
                      GError **err)
{
    g_autofree char *store = domain_nvram_path(domain->manager, def);
    g_autofree char *kept = NULL, *bytes = NULL;
    const char *from, *to;
    size_t length = 0;

    if (!store)
        return true;
    kept = domain_snapshot_path(domain, snapshot, "nvram", !back, err);
    if (!kept)
        return false;
    from = back ? kept : store;
    to = back ? store : kept;
    if (access(from, F_OK) < 0)
        return true;
    bytes = file_read_limited(from, NVRAM_MAX, &length, err);
    return bytes && file_write_atomic(to, bytes, length, 0600, err);
}
