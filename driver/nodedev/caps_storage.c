/* caps_storage.c - <capability type='storage'> of a node device.
 *
 * libvirt formatnode of 9.0. Sizes are the kernel's, which counts in 512 bytes whatever the
 * device's blocks are.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/node/node_private.h"
#include "driver/nodedev/private.h"

static bool
is_set(const DeviceFacts *facts, const char *property)
{
    return g_strcmp0(device_property(facts, property), "1") == 0;
}

const char *
device_drive_type(const DeviceFacts *facts)
{
    const char *type = device_property(facts, "ID_TYPE");

    if (!type || strcmp(type, "generic") == 0) {
        if (is_set(facts, "ID_DRIVE_FLOPPY"))
            return "floppy";
        if (is_set(facts, "ID_CDROM"))
            return "cdrom";
        if (is_set(facts, "ID_DRIVE_FLASH_SD"))
            return "sd";
        /* Virtual and NVMe disks come without a type. */
        return g_str_has_prefix(facts->devnode, "/dev/vd") ||
                       g_str_has_prefix(facts->devnode, "/dev/nvme")
                   ? "disk"
                   : NULL;
    }
    /* The name before udev's is what clients know. */
    if (strcmp(type, "cd") == 0)
        return "cdrom";
    if (strcmp(type, "disk") == 0)
        return "disk";
    if (strcmp(type, "floppy") == 0)
        return "floppy";
    return strcmp(type, "sd") == 0 ? "sd" : NULL;
}

static void
optional_line(GString *xml, const char *element, const char *text)
{
    if (text)
        xml_line(xml, 2, "<%s>%s</%s>", element, text, element);
}

static void
format_blocks(GString *xml, unsigned depth, guint64 bytes, guint64 block)
{
    if (!block || !bytes)
        return;
    xml_line(xml, depth, "<logical_block_size>%" G_GUINT64_FORMAT "</logical_block_size>", block);
    xml_line(xml, depth, "<num_blocks>%" G_GUINT64_FORMAT "</num_blocks>", bytes / block);
}

static bool
has_medium(const DeviceFacts *facts, const char *type)
{
    if (strcmp(type, "cdrom") == 0)
        return is_set(facts, "ID_CDROM_MEDIA");
    return device_property(facts, "ID_CDROM_MEDIA") ? is_set(facts, "DKD_MEDIA_AVAILABLE")
                                                    : device_property(facts, "ID_FS_LABEL") != NULL;
}

void
device_format_storage(GString *xml, const char *root, const DeviceFacts *facts)
{
    const char *type = device_drive_type(facts);
    g_autofree char *vendor = device_attr(root, facts, "device/vendor");
    g_autofree char *model = device_attr(root, facts, "device/model");
    guint64 sectors = device_attr_number(root, facts, "size", 10, 0);
    guint64 block = device_attr_number(root, facts, "queue/logical_block_size", 10, 0);
    guint64 bytes = sectors <= G_MAXUINT64 / 512 ? sectors * 512 : 0;
    bool changes = type && (strcmp(type, "cdrom") == 0 || strcmp(type, "floppy") == 0);
    bool medium = changes && has_medium(facts, type);

    xml_line(xml, 2, "<block>%s</block>", facts->devnode);
    optional_line(xml, "bus", device_property(facts, "ID_BUS"));
    optional_line(xml, "drive_type", type);
    optional_line(xml, "model", model);
    optional_line(xml, "vendor", vendor);
    optional_line(xml, "serial", device_property(facts, "ID_SERIAL"));
    if (!changes || device_attr_number(root, facts, "removable", 10, 0) != 1) {
        if (changes && !medium)
            bytes = 0;
        xml_line(xml, 2, "<size>%" G_GUINT64_FORMAT "</size>", bytes);
        format_blocks(xml, 2, bytes, block);
        return;
    }
    if (!medium)
        bytes = 0;
    xml_line(xml, 2, "<capability type='removable'>");
    xml_line(xml, 3, "<media_available>%d</media_available>", medium);
    xml_line(xml, 3, "<media_size>%" G_GUINT64_FORMAT "</media_size>", bytes);
    if (medium && device_property(facts, "ID_FS_LABEL"))
        xml_line(xml, 3, "<media_label>%s</media_label>", device_property(facts, "ID_FS_LABEL"));
    format_blocks(xml, 3, bytes, block);
    xml_line(xml, 2, "</capability>");
}
