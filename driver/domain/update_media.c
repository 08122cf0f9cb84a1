/* update_media.c - another disc in a guest's CD drive.
 *
 * QMP blockdev-open-tray, blockdev-remove-medium, blockdev-insert-medium, blockdev-close-tray
 * (QEMU QMP reference, block.json): the guest, which may have locked the tray, is asked first.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "driver/domain/update.h"
#include "util/error.h"

enum { TRAY_SECONDS = 5, TRAY_TRY_MS = 50 };

static bool
tray_command(DomainRun *run, const char *command, const char *alias, const char *node, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "id", alias);
    if (node)
        json_object_set_string_member(arguments, "node-name", node);
    return qmp_command(run->qmp, command, arguments, DOMAIN_QMP_SECONDS, err);
}

typedef struct {
    bool open, filled;
} Tray;

static bool
tray_look(DomainRun *run, const char *alias, Tray *ret, GError **err)
{
    g_autoptr(JsonNode) answer =
        qmp_execute(run->qmp, "query-block", NULL, DOMAIN_QMP_SECONDS, err);
    JsonArray *list = answer && JSON_NODE_HOLDS_ARRAY(answer) ? json_node_get_array(answer) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *disk = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *id =
            disk ? json_object_get_string_member_with_default(disk, "qdev", NULL) : NULL;

        if (g_strcmp0(id, alias) != 0)
            continue;
        ret->open = json_object_get_boolean_member_with_default(disk, "tray_open", FALSE);
        ret->filled = json_object_has_member(disk, "inserted");
        return true;
    }
    if (answer)
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the VMM has no drive '%s'", alias);
    return false;
}

static bool
tray_open(DomainRun *run, const char *alias, bool force, GError **err)
{
    JsonObject *arguments = json_object_new();
    Tray tray;

    json_object_set_string_member(arguments, "id", alias);
    json_object_set_boolean_member(arguments, "force", force);
    if (!qmp_command(run->qmp, "blockdev-open-tray", arguments, DOMAIN_QMP_SECONDS, err))
        return false;
    for (unsigned i = 0; i < TRAY_SECONDS * 1000 / TRAY_TRY_MS; i++) {
        if (!tray_look(run, alias, &tray, err))
            return false;
        if (tray.open)
            return true;
        g_usleep(TRAY_TRY_MS * 1000);
    }
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "timed out waiting to open tray of '%s': the guest has locked it", alias);
}

/* With the tray open: @node (NULL: nothing) takes the place of @old. */
static bool
swap(DomainRun *run, const char *alias, const char *node, const char *old, GError **err)
{
    Tray tray;

    if (!tray_look(run, alias, &tray, err) ||
        (tray.filled && !tray_command(run, "blockdev-remove-medium", alias, NULL, err)))
        return false;
    if (!node || tray_command(run, "blockdev-insert-medium", alias, node, err))
        return tray_command(run, "blockdev-close-tray", alias, NULL, err);
    if (tray.filled && old)
        tray_command(run, "blockdev-insert-medium", alias, old, NULL);
    return false;
}

static void
take_medium(DomainDisk *drive, const DomainDisk *from)
{
    domain_disk_take_source(drive, from);
    g_free(drive->backing_store);
    drive->backing_store = domain_disk_has_source(from) ? g_strdup(from->backing_store) : NULL;
    if (!drive->format)
        drive->format = g_strdup("raw");
    drive->startup_policy = from->startup_policy;
    drive->source_index = XML_UNSET;
    drive->tray = 0;
}

static bool
change(DomainRun *run, DomainDef *def, DomainDisk *drive, const DomainDisk *old, bool force,
       GError **err)
{
    g_autoptr(DomainPlug) plug = NULL;
    g_autofree char *node = NULL, *old_node = NULL;
    bool has = domain_disk_has_source(drive);
    Argv *argv;

    if (!domain_def_complete(def, &run->domain->manager->defaults, err) ||
        !domain_def_unsupported(def, err) || (has && !domain_disk_check(run->domain, drive, err)) ||
        !(plug = domain_plug_new(run, def, err)))
        return false;
    argv = domain_plug_argv(plug);
    if (has && !argv_disk_image(argv, drive, argv->next_node++, &node, err))
        return false;
    if (old->source_index != XML_UNSET)
        old_node = g_strdup_printf("libvirt-%" G_GUINT64_FORMAT "-format", old->source_index);
    if (!domain_plug_send(plug, err))
        return false;
    if (tray_open(run, drive->info.alias, force, err) &&
        swap(run, drive->info.alias, node, old_node, err))
        return true;
    tray_command(run, "blockdev-close-tray", drive->info.alias, NULL, NULL);
    domain_plug_undo(plug);
    return false;
}

bool
domain_media_change(DomainRun *run, DomainDef *live, DomainDisk *drive, const DomainDisk *wanted,
                    bool force, GError **err)
{
    g_autoptr(DomainDef) def = live;
    DomainDisk *old;
    bool ok;

    if (wanted->kept->len > 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "a medium of type '%s' with more than a file or device is not "
                              "offered for disk '%s'",
                              domain_disk_types[wanted->type], drive->target);
    old = xml_type_copy(&domain_disk_type, drive);
    take_medium(drive, wanted);
    ok = change(run, def, drive, old, force, err);
    if (ok) {
        domain_plug_drop_image(run, old);
        domain_live_replace(run->domain, g_steal_pointer(&def));
    }
    xml_type_free(&domain_disk_type, old);
    return ok;
}
