/* volumes.c - <disk type='volume'>: the file or device behind a volume of a storage pool.
 *
 * Looked up when the guest starts or the disk is plugged in; the live definition says what the
 * guest has: a file or a block device. The format is the disk's own (raw when it says none), never
 * what the volume looks like: a guest could have written that. Not used: mode= of iSCSI pools.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "xml/xmltab.h"

/* The <source> that was kept whole; NULL when there is none. */
static const XmlKept *
kept_source(const DomainDisk *disk)
{
    for (guint i = 0; i < disk->kept->len; i++) {
        const XmlKept *kept = disk->kept->pdata[i];

        if (strcmp(kept->path, "source") == 0)
            return kept;
    }
    return NULL;
}

static void
drop_source(DomainDisk *disk)
{
    XmlKept *kept = (XmlKept *)kept_source(disk);

    g_ptr_array_remove(disk->kept, kept);
    g_free(kept->path);
    g_free(kept->xml);
    g_free(kept);
}

static char *
attribute(xmlNode *node, const char *name)
{
    xmlChar *text = xmlGetNoNsProp(node, (const xmlChar *)name);
    char *copy = g_strdup((const char *)text);

    xmlFree(text);
    return copy;
}

bool
domain_disk_resolve(DomainManager *manager, DomainDisk *disk, GError **err)
{
    const XmlKept *source = kept_source(disk);
    g_autofree char *pool = NULL, *name = NULL, *path = NULL;
    g_autoptr(xmlDoc) doc = NULL;
    bool block = false;

    /* An empty drive stays one. */
    if (disk->type != DOMAIN_DISK_VOLUME || !source)
        return true;
    doc = xml_read(source->xml, strlen(source->xml), "disk_source", err);
    if (!doc)
        return false;
    pool = attribute(xmlDocGetRootElement(doc), "pool");
    name = attribute(xmlDocGetRootElement(doc), "volume");
    if (!pool || !name)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<source> of disk '%s' wants the attributes pool and volume",
                              disk->target);
    if (!manager->ops || !manager->ops->volume)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "disk '%s' is a volume, and there are no storage pools",
                              disk->target);
    if (!manager->ops->volume(manager->opaque, pool, name, &path, &block, err))
        return false;
    drop_source(disk);
    disk->type = block ? DOMAIN_DISK_BLOCK : DOMAIN_DISK_FILE;
    *(block ? &disk->dev : &disk->file) = g_steal_pointer(&path);
    return true;
}

bool
domain_disks_resolve(DomainManager *manager, DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->disks->len; i++)
        if (!domain_disk_resolve(manager, def->disks->pdata[i], err))
            return false;
    return true;
}
