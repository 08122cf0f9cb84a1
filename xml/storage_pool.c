/* storage_pool.c - the tables of <pool> (libvirt formatstorage; schema storagepool.rng of 9.0), and
 * its rules.
 *
 * Not read: <adapter> and <initiator> of the types without back end.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/storage_pool.h"

#include <string.h>

#include "util/error.h"
#include "xml/storage_private.h"

#define FS_NAMESPACE "http://libvirt.org/schemas/storagepool/fs/1.0"

const char *const storage_pool_types[] = {
    "",     "dir",   "fs",  "netfs",    "logical", "disk", "iscsi",    "iscsi-direct",
    "scsi", "mpath", "rbd", "sheepdog", "gluster", "zfs",  "vstorage", NULL,
};

static const char *const fs_formats[] = {
    "auto", "ext2", "ext3", "ext4", "ufs",   "iso9660", "udf", "gfs",
    "gfs2", "vfat", "hfs+", "xfs",  "ocfs2", "vmfs",    NULL,
};
static const char *const netfs_formats[] = { "auto", "nfs", "glusterfs", "cifs", NULL };
static const char *const logical_formats[] = { "lvm2", "unknown", NULL };
static const char *const disk_formats[] = {
    "unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2", NULL,
};

const char *const *
storage_pool_formats(int type)
{
    switch (type) {
    case STORAGE_POOL_FS:
        return fs_formats;
    case STORAGE_POOL_NETFS:
        return netfs_formats;
    case STORAGE_POOL_LOGICAL:
        return logical_formats;
    case STORAGE_POOL_DISK:
        return disk_formats;
    default:
        return NULL;
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

#define PERM(field) offsetof(StoragePermissions, field)
static const XmlRow permission_rows[] = {
    { "mode", NULL, XML_STRING, PERM(mode), .pattern = "[0-7]{1,6}", .legal = "an octal mode" },
    { "owner", NULL, XML_INT, PERM(owner) },
    { "group", NULL, XML_INT, PERM(group) },
    { "label", NULL, XML_STRING, PERM(label) },
};

static bool
check_permissions(const void *obj, GError **err)
{
    const StoragePermissions *p = obj;
    int64_t ids[] = { p->owner, p->group };

    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++)
        if (ids[i] != XML_UNSET_INT && (ids[i] < -1 || ids[i] > UINT32_MAX))
            return kiln_error_set(err, VIR_ERR_XML_ERROR, "malformed %s element",
                                  i ? "group" : "owner");
    return true;
}
const XmlType storage_permissions_xml =
    XML_TYPE("permissions", StoragePermissions, permission_rows, .check = check_permissions);

static const XmlRow host_rows[] = {
    { NULL, "name", XML_STRING, offsetof(StoragePoolHost, name), XML_REQUIRED,
      .pattern = "[a-zA-Z0-9._:%-]+", .legal = "a host name or an address" },
    { NULL, "port", XML_UINT, offsetof(StoragePoolHost, port), .max = 65535 },
};
static const XmlType host_xml = XML_TYPE("pool-host", StoragePoolHost, host_rows);

static const XmlRow extent_rows[] = {
    { NULL, "start", XML_UINT, offsetof(StorageExtent, start), XML_REQUIRED },
    { NULL, "end", XML_UINT, offsetof(StorageExtent, end), XML_REQUIRED },
};
static const XmlType free_extent_xml = XML_TYPE("pool-extent", StorageExtent, extent_rows);

#define DEVICE(field) offsetof(StoragePoolDevice, field)
static const XmlRow device_rows[] = {
    { NULL, "path", XML_STRING, DEVICE(path), XML_REQUIRED, .pattern = "[^\\n\\r]+",
      .legal = "the path of a device" },
    { NULL, "part_separator", XML_YESNO, DEVICE(part_separator) },
    { "freeExtent", NULL, XML_LIST, DEVICE(free), .type = &free_extent_xml },
};
static const XmlType device_xml = XML_TYPE("pool-device", StoragePoolDevice, device_rows);

#define AUTH(field) offsetof(StorageAuth, field)
static const XmlRow auth_rows[] = {
    { NULL, "type", XML_STRING, AUTH(type) },
    { NULL, "username", XML_STRING, AUTH(username) },
    { "secret", NULL, XML_PRESENT, AUTH(has_secret) },
    { "secret", "uuid", XML_UUID, AUTH(secret_uuid) },
    { "secret", "usage", XML_STRING, AUTH(secret_usage) },
};

static bool
check_auth(const void *obj, GError **err)
{
    const StorageAuth *auth = obj;

    if (!auth->type)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "storage pool missing auth type");
    if (strcmp(auth->type, "chap") != 0 && strcmp(auth->type, "ceph") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "unknown auth type '%s'",
                              auth->type);
    if (!auth->username)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing username for auth");
    if (!auth->has_secret)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "Missing <secret> element in auth");
    if (!auth->secret_uuid == !auth->secret_usage)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<secret> in auth names its secret by either uuid or usage");
    return true;
}
static const XmlType auth_xml = XML_TYPE("pool-auth", StorageAuth, auth_rows, .check = check_auth);

#define SOURCE(field) offsetof(StoragePoolSource, field)
static const XmlRow source_rows[] = {
    { "host", NULL, XML_LIST, SOURCE(hosts), .type = &host_xml },
    { "device", NULL, XML_LIST, SOURCE(devices), .type = &device_xml },
    { "dir", "path", XML_STRING, SOURCE(dir), .pattern = "[^\\n\\r]+", .legal = "a path" },
    { "name", NULL, XML_STRING, SOURCE(name) },
    { "format", "type", XML_STRING, SOURCE(format) },
    { "auth", NULL, XML_STRUCT, SOURCE(auth), .type = &auth_xml },
    { "protocol", "ver", XML_STRING, SOURCE(protocol_ver), .pattern = "[0-9.]+",
      .legal = "a version" },
    { "vendor", "name", XML_STRING, SOURCE(vendor) },
    { "product", "name", XML_STRING, SOURCE(product) },
};
static const XmlType source_xml = XML_TYPE("source", StoragePoolSource, source_rows);

#define DEF(field) offsetof(StoragePoolDef, field)
static const XmlRow pool_rows[] = {
    { NULL, "type", XML_ENUM, DEF(type), XML_REQUIRED, .names = storage_pool_types },
    { "name", NULL, XML_STRING, DEF(name), .pattern = "[^/\\n\\r]+",
      .legal = "a name without '/' or line ends" },
    { "uuid", NULL, XML_UUID, DEF(uuid) },
    { "capacity", NULL, XML_SIZE, DEF(capacity), XML_BYTES_UNIT, .scale = 1 },
    { "allocation", NULL, XML_SIZE, DEF(allocation), XML_BYTES_UNIT, .scale = 1 },
    { "available", NULL, XML_SIZE, DEF(available), XML_BYTES_UNIT, .scale = 1 },
    { "features/cow", "state", XML_YESNO, DEF(cow) },
    { "source", NULL, XML_STRUCT, DEF(source), XML_OPEN, .type = &source_xml },
    { "target/path", NULL, XML_STRING, DEF(path), STORAGE_PATH_TEXT },
    { "target/permissions", NULL, XML_STRUCT, DEF(permissions), XML_NOT_EMPTY,
      .type = &storage_permissions_xml },
    { "refresh/volume", "allocation", XML_STRING, DEF(refresh_allocation),
      .pattern = "default|capacity", .legal = "'default' or 'capacity'" },
    { "fs:mount_opts/fs:option", "name", XML_STRINGS, DEF(mount_opts),
      .pattern = "[a-zA-Z0-9_.:=@%+/-]+", .legal = "one option of mount(8), without commas" },
};
static const XmlNamespace pool_namespaces[] = { { "fs", FS_NAMESPACE }, { NULL, NULL } };
const XmlType storage_pool_def_type =
    XML_TYPE("pool", StoragePoolDef, pool_rows, .namespaces = pool_namespaces);

/* --- what is shared with volumes -------------------------------------------------------------- */

xmlDoc *
storage_read(const XmlType *type, const char *xml, unsigned flags, const char *what, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), what, err);
    xmlNode *root;

    if (!doc)
        return NULL;
    root = xmlDocGetRootElement(doc);
    if (!root || strcmp((const char *)root->name, type->name) != 0) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <%s>",
                       root ? (const char *)root->name : "", type->name);
        return NULL;
    }
    if ((flags & STORAGE_DEF_VALIDATE) && !xml_type_validate(type, root, err))
        return NULL;
    return g_steal_pointer(&doc);
}

void *
storage_parse(const XmlType *type, const char *xml, unsigned flags, const char *what, GError **err)
{
    g_autoptr(xmlDoc) doc = storage_read(type, xml, flags, what, err);

    return doc ? xml_type_parse(type, xmlDocGetRootElement(doc), 0, err) : NULL;
}

bool
storage_check_name(const char *what, const char *name, GError **err)
{
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "%s name '%s' names a directory", what, name);
    if (strpbrk(name, "/\n\r"))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "%s name '%s' has a '/' or a line end", what,
                              name);
    if (strlen(name) > STORAGE_NAME_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "%s name has %zu bytes, limit is %d", what,
                              strlen(name), STORAGE_NAME_MAX);
    return true;
}

char *
storage_clean_path(char *path)
{
    char *to = path;

    for (const char *from = path; from && *from; from++)
        if (*from != '/' || to == path || to[-1] != '/')
            *to++ = *from;
    if (path)
        *(to > path + 1 && to[-1] == '/' ? to - 1 : to) = '\0';
    return path;
}

void
storage_permissions_complete(StoragePermissions *p)
{
    char *mode;

    if (!p)
        return;
    if (p->mode) {
        mode = g_strdup_printf("0%o", storage_permissions_mode(p, 0));
        g_free(p->mode);
        p->mode = mode;
    }
    if (p->owner == -1)
        p->owner = XML_UNSET_INT;
    if (p->group == -1)
        p->group = XML_UNSET_INT;
}

StoragePermissions *
storage_permissions_new(unsigned mode, unsigned owner, unsigned group)
{
    StoragePermissions *p = xml_type_new(&storage_permissions_xml);

    p->mode = g_strdup_printf("0%o", mode & 0777);
    p->owner = owner;
    p->group = group;
    return p;
}

unsigned
storage_permissions_mode(const StoragePermissions *p, unsigned fallback)
{
    return p && p->mode ? (unsigned)g_ascii_strtoull(p->mode, NULL, 8) & 07777 : fallback;
}

/* --- pools ------------------------------------------------------------------------------------ */

/* Of a device they are what is on it, not what a client says. */
static void
forget_extents(StoragePoolSource *source)
{
    for (guint i = 0; i < source->devices->len; i++) {
        StoragePoolDevice *device = source->devices->pdata[i];

        for (guint k = 0; k < device->free->len; k++)
            xml_type_free(&free_extent_xml, device->free->pdata[k]);
        g_ptr_array_set_size(device->free, 0);
    }
}

static bool
check_source(const StoragePoolDef *def, GError **err)
{
    const StoragePoolSource *source = def->source;
    const char *const *formats = storage_pool_formats(def->type);

    if (source->format && formats && !g_strv_contains(formats, source->format))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "unknown pool format type %s",
                              source->format);
    if (def->type == STORAGE_POOL_NETFS && !source->hosts->len)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing storage pool source host name");
    if (def->type == STORAGE_POOL_NETFS && !source->dir)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing storage pool source path");
    if ((def->type == STORAGE_POOL_FS || def->type == STORAGE_POOL_DISK) && !source->devices->len)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing storage pool source device name");
    if (def->mount_opts->len && def->type != STORAGE_POOL_FS && def->type != STORAGE_POOL_NETFS)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<fs:mount_opts> is for pools of type fs and netfs, not '%s'",
                              storage_pool_types[def->type]);
    return true;
}

static bool
complete(StoragePoolDef *def, GError **err)
{
    const char *const *formats = storage_pool_formats(def->type);

    if (def->type >= STORAGE_POOL_ISCSI)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "missing backend for pool type %d (%s)",
                              def->type - 1, storage_pool_types[def->type]);
    if (!def->source)
        def->source = xml_type_new(&source_xml);
    if (!def->name && def->type == STORAGE_POOL_LOGICAL)
        def->name = g_strdup(def->source->name);
    if (!def->name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing pool source name element");
    if (!storage_check_name("pool", def->name, err) || !check_source(def, err))
        return false;
    if (def->type == STORAGE_POOL_LOGICAL && !def->source->name)
        def->source->name = g_strdup(def->name);
    if (formats && !def->source->format)
        def->source->format = g_strdup(formats[0]);
    if (def->type == STORAGE_POOL_LOGICAL) {
        g_free(def->path);
        def->path = g_strdup_printf("/dev/%s", def->source->name);
    }
    if (!def->path)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing storage pool target path");
    def->path = storage_clean_path(def->path);
    def->source->dir = storage_clean_path(def->source->dir);
    storage_permissions_complete(def->permissions);
    if (!def->uuid)
        def->uuid = xml_uuid_random();
    /* They are what the pool says, not what a client says. */
    def->capacity = def->allocation = def->available = 0;
    forget_extents(def->source);
    return true;
}

StoragePoolDef *
storage_pool_def_parse(const char *xml, unsigned flags, GError **err)
{
    g_autoptr(StoragePoolDef) def =
        storage_parse(&storage_pool_def_type, xml, flags, "storage_pool_definition", err);

    return def && complete(def, err) ? g_steal_pointer(&def) : NULL;
}

char *
storage_pool_def_format(const StoragePoolDef *def)
{
    return xml_type_format(&storage_pool_def_type, def, 0);
}

StoragePoolDef *
storage_pool_def_copy(const StoragePoolDef *def)
{
    return xml_type_copy(&storage_pool_def_type, def);
}

void
storage_pool_def_free(StoragePoolDef *def)
{
    xml_type_free(&storage_pool_def_type, def);
}

const char *
storage_pool_def_device(const StoragePoolDef *def)
{
    return def->source->devices->len
               ? ((const StoragePoolDevice *)def->source->devices->pdata[0])->path
               : NULL;
}

/* --- sources ---------------------------------------------------------------------------------- */

StoragePoolSource *
storage_pool_source_parse(const char *xml, GError **err)
{
    return storage_parse(&source_xml, xml, 0, "storage_source", err);
}

StoragePoolSource *
storage_pool_source_new(void)
{
    return xml_type_new(&source_xml);
}

void
storage_pool_source_free(StoragePoolSource *source)
{
    xml_type_free(&source_xml, source);
}

void
storage_pool_source_add_device(StoragePoolSource *source, const char *path)
{
    StoragePoolDevice *device = xml_type_new(&device_xml);

    device->path = g_strdup(path);
    g_ptr_array_add(source->devices, device);
}

void
storage_pool_source_set_free(StoragePoolSource *source, const StorageExtent *extents, size_t n)
{
    StoragePoolDevice *device = source->devices->pdata[0];

    forget_extents(source);
    for (size_t i = 0; i < n; i++) {
        StorageExtent *extent = xml_type_new(&free_extent_xml);

        *extent = extents[i];
        g_ptr_array_add(device->free, extent);
    }
}

void
storage_pool_source_add_host(StoragePoolSource *source, const char *name)
{
    StoragePoolHost *host = xml_type_new(&host_xml);

    host->name = g_strdup(name);
    g_ptr_array_add(source->hosts, host);
}

char *
storage_pool_sources_format(const GPtrArray *sources)
{
    GString *text = g_string_new("<sources>\n");

    for (guint i = 0; i < sources->len; i++) {
        g_autofree char *one = xml_type_format_at(&source_xml, sources->pdata[i], 0, 1);

        g_string_append(text, one);
    }
    g_string_append(text, "</sources>\n");
    return g_string_free(text, FALSE);
}
