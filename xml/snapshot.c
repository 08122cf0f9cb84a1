/* snapshot.c - the table of <domainsnapshot> (libvirt formatsnapshot; schema domainsnapshot.rng of
 * 9.0), and how its disks follow those of the guest.
 *
 * Left out: <source> of kinds other than file and block, <cookie>.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/snapshot.h"

#include <inttypes.h>
#include <string.h>

#include "util/error.h"

static const char *const locations[] = { "", "no", "internal", "external", "manual", NULL };
static const char *const states[] = {
    "",        "nostate", "running",     "blocked",       "paused", "shutdown",
    "shutoff", "crashed", "pmsuspended", "disk-snapshot", NULL
};

/* --- text ------------------------------------------------------------------------------------- */

/* What libvirt's parser does with a snapshot that is to be made. */
static bool
prepare_new(SnapshotDef *def, GError **err)
{
    g_clear_pointer(&def->parent, g_free);
    g_clear_pointer(&def->domain, domain_def_free);
    g_clear_pointer(&def->inactive, domain_def_free);
    def->creation_time = (uint64_t)g_get_real_time() / G_USEC_PER_SEC;
    def->state = SNAPSHOT_STATE_ABSENT;
    if (!def->name)
        def->name = g_strdup_printf("%" PRIu64, def->creation_time);
    if (def->memory == SNAPSHOT_EXTERNAL && !def->memory_file)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "external memory snapshots require a filename");
    return true;
}

static bool
prepare_existing(SnapshotDef *def, bool stored, const DomainDefaults *defaults, GError **err)
{
    if (!def->name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "a redefined snapshot must have a name");
    if (def->creation_time == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing creationTime from existing snapshot");
    if (!def->state)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing state from existing snapshot");
    if (stored && !def->domain)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing domain in snapshot");
    return (!def->domain || domain_def_complete(def->domain, defaults, err)) &&
           (!def->inactive || domain_def_complete(def->inactive, defaults, err));
}

static bool
check_names(const SnapshotDef *def, GError **err)
{
    if (!*def->name || strchr(def->name, '/') || def->name[0] == '.')
        return kiln_error_set(
            err, VIR_ERR_XML_DETAIL,
            "invalid snapshot name '%s': name can't contain '/' or begin with '.'", def->name);
    if (def->memory_file && !g_path_is_absolute(def->memory_file))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "memory snapshot file path (%s) must be absolute", def->memory_file);
    if (def->memory_file && def->memory != SNAPSHOT_EXTERNAL)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "memory filename '%s' requires external snapshot", def->memory_file);
    return true;
}

/* A relative name would be looked up where the daemon happens to stand. */
static bool
check_paths(const SnapshotDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++) {
        const SnapshotDisk *entry = def->disks->pdata[i];
        const char *path = entry->file ? entry->file : entry->dev;

        if (path && !g_path_is_absolute(path))
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "disk snapshot image path '%s' must be absolute", path);
    }
    return true;
}

SnapshotDef *
snapshot_def_parse(const char *xml, unsigned flags, const DomainDefaults *defaults, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "domain_snapshot", err);
    bool existing = flags & (SNAPSHOT_PARSE_REDEFINE | SNAPSHOT_PARSE_STATUS);
    unsigned how = flags & SNAPSHOT_PARSE_STATUS ? XML_STATUS : XML_INACTIVE;
    g_autoptr(SnapshotDef) def = NULL;
    xmlNode *root;

    if (!doc)
        return NULL;
    root = xmlDocGetRootElement(doc);
    if (!root || strcmp((const char *)root->name, "domainsnapshot") != 0) {
        kiln_error_set(err, VIR_ERR_XML_ERROR,
                       "unexpected root element <%s>, expecting <domainsnapshot>",
                       root ? (const char *)root->name : "");
        return NULL;
    }
    if ((flags & SNAPSHOT_PARSE_VALIDATE) && !xml_type_validate(&snapshot_def_type, root, err))
        return NULL;
    def = xml_type_parse(&snapshot_def_type, root, how, err);
    if (def && def->memory_file && !def->memory)
        def->memory = SNAPSHOT_EXTERNAL;
    if (!def ||
        !(existing ? prepare_existing(def, flags & SNAPSHOT_PARSE_STATUS, defaults, err)
                   : prepare_new(def, err)) ||
        !check_names(def, err) || (!(flags & SNAPSHOT_PARSE_STATUS) && !check_paths(def, err)))
        return NULL;
    return g_steal_pointer(&def);
}

char *
snapshot_def_format(const SnapshotDef *def, unsigned flags)
{
    unsigned how = flags & DOMAIN_FORMAT_STATUS ? XML_STATUS : XML_INACTIVE;

    return xml_type_format(&snapshot_def_type, def,
                           how | (flags & DOMAIN_FORMAT_SECURE ? XML_SECURE : 0));
}

void
snapshot_def_free(SnapshotDef *def)
{
    xml_type_free(&snapshot_def_type, def);
}

/* --- disks ------------------------------------------------------------------------------------ */

bool
snapshot_def_is_external(const SnapshotDef *def)
{
    if (def->memory == SNAPSHOT_EXTERNAL)
        return true;
    for (guint i = 0; i < def->disks->len; i++)
        if (((const SnapshotDisk *)def->disks->pdata[i])->location == SNAPSHOT_EXTERNAL)
            return true;
    return false;
}

const char *
snapshot_disk_path(const SnapshotDisk *entry)
{
    return entry->type == DOMAIN_DISK_BLOCK ? entry->dev : entry->file;
}

static SnapshotDisk *
entry_of(const SnapshotDef *def, const char *target)
{
    for (guint i = 0; i < def->disks->len; i++) {
        SnapshotDisk *entry = def->disks->pdata[i];

        if (strcmp(entry->name, target) == 0)
            return entry;
    }
    return NULL;
}

/* "/dir/disk.img" and "s1" to "/dir/disk.s1", as libvirt names overlays. */
static char *
overlay_name(const char *source, const char *snapshot)
{
    const char *base = strrchr(source, '/'), *dot = strrchr(base ? base : source, '.');

    return g_strdup_printf("%.*s.%s", (int)(dot ? (size_t)(dot - source) : strlen(source)), source,
                           snapshot);
}

static bool
name_overlay(const SnapshotDef *def, SnapshotDisk *entry, const DomainDisk *disk, GError **err)
{
    const char *source = domain_disk_path(disk);

    if (entry->file || entry->dev)
        return true;
    if (disk->type != DOMAIN_DISK_FILE || !source)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "cannot generate external snapshot name for disk '%s' without source "
                              "or on a '%s' device: name the new file",
                              disk->target, domain_disk_types[disk->type]);
    if (!g_path_is_absolute(source))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the new image of disk '%s' cannot be named after '%s', which is no "
                              "absolute path: name it",
                              disk->target, source);
    entry->type = DOMAIN_DISK_FILE;
    entry->file = overlay_name(source, def->name);
    return strcmp(entry->file, source) != 0 ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "the new image of disk '%s' would have the name of the old one, '%s': "
                          "name it",
                          disk->target, source);
}

static bool
align_one(SnapshotDef *def, const DomainDisk *disk, SnapshotDisk *entry, int fallback, bool mixed,
          GError **err)
{
    bool empty = !domain_disk_has_source(disk) && disk->type != DOMAIN_DISK_VOLUME;

    if (!entry->location) {
        if (disk->snapshot && (!entry->file && !entry->dev))
            entry->location = disk->snapshot;
        else if (entry->file || entry->dev)
            entry->location = SNAPSHOT_EXTERNAL;
        else
            entry->location = empty || disk->readonly ? SNAPSHOT_NO : fallback;
    }
    if (entry->location == SNAPSHOT_MANUAL)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "snapshot='manual' of disk '%s' is not supported by Kiln",
                              disk->target);
    if ((entry->file || entry->dev) && entry->location != SNAPSHOT_EXTERNAL)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "file '%s' for disk '%s' requires use of external snapshot mode",
                              entry->file ? entry->file : entry->dev, disk->target);
    if (entry->encryption && entry->location != SNAPSHOT_EXTERNAL)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<encryption> for disk '%s' requires use of external snapshot mode",
                              disk->target);
    if (fallback == SNAPSHOT_EXTERNAL && entry->location == SNAPSHOT_INTERNAL && !mixed)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "disk '%s' must use snapshot mode 'external'", disk->target);
    return entry->location != SNAPSHOT_EXTERNAL || name_overlay(def, entry, disk, err);
}

bool
snapshot_def_align(SnapshotDef *def, int fallback, bool mixed, GError **err)
{
    GPtrArray *aligned;

    for (guint i = 0; i < def->disks->len; i++) {
        SnapshotDisk *entry = def->disks->pdata[i];
        const DomainDisk *disk = domain_def_disk_named(def->domain, entry->name);

        if (!disk)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "no disk named '%s'",
                                  entry->name);
        g_free(entry->name);
        entry->name = g_strdup(disk->target);
        if (entry_of(def, disk->target) != entry)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "disk '%s' specified twice",
                                  disk->target);
    }
    /* in the guest's order */
    aligned = g_ptr_array_new();
    for (guint i = 0; i < def->domain->disks->len; i++) {
        const DomainDisk *disk = def->domain->disks->pdata[i];
        SnapshotDisk *entry = entry_of(def, disk->target);

        if (!entry) {
            entry = xml_type_new(&snapshot_disk_type);
            entry->name = g_strdup(disk->target);
            g_ptr_array_add(def->disks, entry);
        }
        g_ptr_array_add(aligned, entry);
    }
    for (guint i = 0; i < aligned->len; i++)
        def->disks->pdata[i] = aligned->pdata[i];
    g_ptr_array_unref(aligned);
    for (guint i = 0; i < def->disks->len; i++) {
        SnapshotDisk *entry = def->disks->pdata[i];
        const DomainDisk *disk = def->domain->disks->pdata[i];

        if (!align_one(def, disk, entry, fallback, mixed, err))
            return false;
        if (entry->location == SNAPSHOT_EXTERNAL && entry->file && !entry->type)
            entry->type = DOMAIN_DISK_FILE;
    }
    return true;
}

#define DISK(field) offsetof(SnapshotDisk, field)
static const XmlRow disk_rows[] = {
    { NULL, "name", XML_STRING, DISK(name), XML_REQUIRED },
    { NULL, "snapshot", XML_ENUM, DISK(location), .names = locations },
    { NULL, "type", XML_ENUM, DISK(type), .names = domain_disk_types },
    { "driver", "type", XML_STRING, DISK(format) },
    { "source", "file", XML_STRING, DISK(file) },
    { "source", "dev", XML_STRING, DISK(dev) },
    { "source/encryption", NULL, XML_STRUCT, DISK(encryption), .type = &domain_encryption_type },
};
const XmlType snapshot_disk_type = XML_TYPE("snapshot-disk", SnapshotDisk, disk_rows);

#define DEF(field) offsetof(SnapshotDef, field)
static const XmlRow snapshot_rows[] = {
    { "name", NULL, XML_STRING, DEF(name) },
    { "description", NULL, XML_STRING, DEF(description) },
    { "state", NULL, XML_ENUM, DEF(state), .names = states },
    { "parent/name", NULL, XML_STRING, DEF(parent) },
    { "creationTime", NULL, XML_UINT, DEF(creation_time) },
    { "memory", "snapshot", XML_ENUM, DEF(memory), .names = locations },
    { "memory", "file", XML_STRING, DEF(memory_file) },
    { "disks/disk", NULL, XML_LIST, DEF(disks), .type = &snapshot_disk_type },
    { "domain", NULL, XML_STRUCT, DEF(domain), .type = &domain_def_type },
    { "inactiveDomain", NULL, XML_STRUCT, DEF(inactive), .type = &domain_def_type },
    { "active", NULL, XML_UINT, DEF(active), XML_STATUS_ONLY, .max = 1 },
};
const XmlType snapshot_def_type = XML_TYPE("domainsnapshot", SnapshotDef, snapshot_rows);
