/* storage_vol.c - the tables of <volume> (libvirt formatstorage; schema storagevol.rng of 9.0), and
 * its rules.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/storage_vol.h"

#include <string.h>

#include "util/error.h"
#include "xml/storage_private.h"

const char *const storage_vol_types[] = {
    "", "file", "block", "dir", "network", "netdir", "ploop", NULL,
};
const char *const storage_vol_formats[] = {
    "none", "raw",   "dir",  "bochs", "cloop", "dmg",   "iso", "vpc",  "vdi", "fat",
    "vhd",  "ploop", "luks", "cow",   "qcow",  "qcow2", "qed", "vmdk", NULL,
};
const char *const storage_vol_disk_formats[] = {
    "none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended", NULL,
};

/* --- tables ----------------------------------------------------------------------------------- */

static const XmlRow extent_rows[] = {
    { NULL, "start", XML_UINT, offsetof(StorageExtent, start), XML_REQUIRED },
    { NULL, "end", XML_UINT, offsetof(StorageExtent, end), XML_REQUIRED },
};
static const XmlType extent_xml = XML_TYPE("volume-extent", StorageExtent, extent_rows);

static const XmlRow device_rows[] = {
    { NULL, "path", XML_STRING, offsetof(StorageVolDevice, path), XML_REQUIRED },
    { "extent", NULL, XML_LIST, offsetof(StorageVolDevice, extents), .type = &extent_xml },
};
static const XmlType device_xml = XML_TYPE("volume-device", StorageVolDevice, device_rows);

static const XmlRow source_rows[] = {
    { "device", NULL, XML_LIST, offsetof(StorageVolSource, devices), .type = &device_xml },
};
static const XmlType source_xml = XML_TYPE("volume-source", StorageVolSource, source_rows);

#define TIMES(field) offsetof(StorageTimes, field)
#define TIME_TEXT .pattern = "[0-9]+(\\.[0-9]{0,9})?", .legal = "seconds since 1970"
static const XmlRow times_rows[] = {
    { "atime", NULL, XML_STRING, TIMES(atime), TIME_TEXT },
    { "mtime", NULL, XML_STRING, TIMES(mtime), TIME_TEXT },
    { "ctime", NULL, XML_STRING, TIMES(ctime), TIME_TEXT },
    { "btime", NULL, XML_STRING, TIMES(btime), TIME_TEXT },
};
static const XmlType times_xml = XML_TYPE("timestamps", StorageTimes, times_rows);

#define TARGET(field) offsetof(StorageVolTarget, field)
static const XmlRow target_rows[] = {
    { "path", NULL, XML_STRING, TARGET(path) },
    { "format", "type", XML_STRING, TARGET(format) },
    { "permissions", NULL, XML_STRUCT, TARGET(permissions), .type = &storage_permissions_xml },
    { "timestamps", NULL, XML_STRUCT, TARGET(times), .type = &times_xml },
    { "encryption", NULL, XML_STRUCT, TARGET(encryption), XML_OPEN,
      .type = &domain_encryption_type },
    { "compat", NULL, XML_STRING, TARGET(compat), .pattern = "[0-9]+\\.[0-9]+",
      .legal = "a version like '1.1'" },
    { "nocow", NULL, XML_PRESENT, TARGET(nocow), XML_NOT_OUT },
    { "clusterSize", NULL, XML_SIZE, TARGET(cluster_size), XML_NAMED_UNIT | XML_NOT_ZERO,
      .scale = 1 },
    { "features/lazy_refcounts", NULL, XML_PRESENT, TARGET(lazy_refcounts) },
    { "features/extended_l2", NULL, XML_PRESENT, TARGET(extended_l2) },
};
static const XmlType target_xml = XML_TYPE("target", StorageVolTarget, target_rows);

#define BACKING(field) offsetof(StorageVolBacking, field)
static const XmlRow backing_rows[] = {
    { "path", NULL, XML_STRING, BACKING(path), XML_REQUIRED },
    { "format", "type", XML_STRING, BACKING(format) },
    { "permissions", NULL, XML_STRUCT, BACKING(permissions), .type = &storage_permissions_xml },
    { "timestamps", NULL, XML_STRUCT, BACKING(times), .type = &times_xml },
};
static const XmlType backing_xml = XML_TYPE("backingStore", StorageVolBacking, backing_rows);

#define DEF(field) offsetof(StorageVolDef, field)
static const XmlRow volume_rows[] = {
    { NULL, "type", XML_ENUM, DEF(type), XML_UNKNOWN_WORD, .names = storage_vol_types },
    { "name", NULL, XML_STRING, DEF(name), XML_REQUIRED, .pattern = "[^/\\n\\r]+",
      .legal = "a name without '/' or line ends" },
    { "key", NULL, XML_STRING, DEF(key) },
    { "source", NULL, XML_STRUCT, DEF(source), XML_NOT_EMPTY, .type = &source_xml },
    { "capacity", NULL, XML_SIZE, DEF(capacity), XML_BYTES_UNIT, .scale = 1 },
    { "allocation", NULL, XML_SIZE, DEF(allocation), XML_BYTES_UNIT, .scale = 1 },
    { "physical", NULL, XML_SIZE, DEF(physical), XML_BYTES_UNIT | XML_NOT_ZERO, .scale = 1 },
    { "target", NULL, XML_STRUCT, DEF(target), .type = &target_xml },
    { "backingStore", NULL, XML_STRUCT, DEF(backing), .type = &backing_xml },
};
const XmlType storage_vol_def_type = XML_TYPE("volume", StorageVolDef, volume_rows);

/* --- volumes ---------------------------------------------------------------------------------- */

static bool
check_format(const char *format, GError **err)
{
    return !format || g_strv_contains(storage_vol_formats, format) ||
           g_strv_contains(storage_vol_disk_formats, format) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "unknown volume format type %s", format);
}

static void
fill(StorageVolDef *def)
{
    if (!def->source)
        def->source = xml_type_new(&source_xml);
    if (!def->target)
        def->target = xml_type_new(&target_xml);
}

static bool
complete(StorageVolDef *def, unsigned flags, GError **err)
{
    StorageVolTarget *target;

    fill(def);
    target = def->target;
    /* An empty element is no backing store. */
    if (!storage_check_name("volume", def->name, err) || !check_format(target->format, err) ||
        (def->backing && !check_format(def->backing->format, err)))
        return false;
    if (def->capacity == XML_UNSET && !(flags & STORAGE_DEF_NO_CAPACITY) &&
        !((flags & STORAGE_DEF_OPT_CAPACITY) && def->backing))
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "missing capacity element");
    if ((target->lazy_refcounts || target->extended_l2) && !target->compat)
        target->compat = g_strdup("1.1");
    storage_permissions_complete(target->permissions);
    if (def->backing)
        storage_permissions_complete(def->backing->permissions);
    return true;
}

/* What an image shall be able to do is never left out in silence. */
static bool
check_features(const xmlNode *volume, GError **err)
{
    static const char *const known[] = { "lazy_refcounts", "extended_l2", NULL };
    const xmlNode *list = xml_child(xml_child(volume, "target"), "features");

    for (const xmlNode *child = list ? list->children : NULL; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && !g_strv_contains(known, (const char *)child->name))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "unsupported feature %s",
                                  (const char *)child->name);
    return true;
}

StorageVolDef *
storage_vol_def_parse(const char *xml, unsigned flags, GError **err)
{
    g_autoptr(xmlDoc) doc =
        storage_read(&storage_vol_def_type, xml, flags, "storage_volume_definition", err);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    g_autoptr(StorageVolDef) def = doc ? xml_type_parse(&storage_vol_def_type, root, 0, err) : NULL;

    return def && check_features(root, err) && complete(def, flags, err) ? g_steal_pointer(&def)
                                                                         : NULL;
}

char *
storage_vol_def_format(const StorageVolDef *def)
{
    return xml_type_format(&storage_vol_def_type, def, 0);
}

StorageVolDef *
storage_vol_def_new(const char *name)
{
    StorageVolDef *def = xml_type_new(&storage_vol_def_type);

    def->name = g_strdup(name);
    def->capacity = def->allocation = 0;
    fill(def);
    return def;
}

StorageVolDef *
storage_vol_def_copy(const StorageVolDef *def)
{
    return xml_type_copy(&storage_vol_def_type, def);
}

void
storage_vol_def_free(StorageVolDef *def)
{
    xml_type_free(&storage_vol_def_type, def);
}

void
storage_vol_def_set_backing(StorageVolDef *def, const char *path, const char *format)
{
    xml_type_free(&backing_xml, def->backing);
    def->backing = NULL;
    if (!path)
        return;
    def->backing = xml_type_new(&backing_xml);
    def->backing->path = g_strdup(path);
    def->backing->format = g_strdup(format);
}

void
storage_vol_def_add_extent(StorageVolDef *def, const char *path, uint64_t start, uint64_t end)
{
    StorageVolDevice *device = xml_type_new(&device_xml);
    StorageExtent *extent = xml_type_new(&extent_xml);

    device->path = g_strdup(path);
    extent->start = start;
    extent->end = end;
    g_ptr_array_add(device->extents, extent);
    g_ptr_array_add(def->source->devices, device);
}

void
storage_vol_def_set_encryption(StorageVolDef *def, const DomainEncryption *encryption)
{
    xml_type_free(&domain_encryption_type, def->target->encryption);
    def->target->encryption =
        encryption ? xml_type_copy(&domain_encryption_type, encryption) : NULL;
}

void
storage_vol_def_set_encryption_format(StorageVolDef *def, int format)
{
    storage_vol_def_set_encryption(def, NULL);
    def->target->encryption = xml_type_new(&domain_encryption_type);
    def->target->encryption->format = format;
}

void
storage_vol_def_add_secret(StorageVolDef *def, const char *uuid)
{
    DomainDiskSecret *secret = xml_type_new(&domain_secret_type);

    secret->type = DOMAIN_SECRET_PASSPHRASE;
    secret->uuid = g_strdup(uuid);
    g_ptr_array_add(def->target->encryption->secrets, secret);
}

StorageTimes *
storage_times_new(void)
{
    return xml_type_new(&times_xml);
}

void
storage_times_free(StorageTimes *times)
{
    xml_type_free(&times_xml, times);
}
