/* sysinfo.c - <sysinfo type='smbios'> of the host, from what the kernel shows of its SMBIOS.
 *
 * libvirt formatdomain "SMBIOS System Information", as virConnectGetSysinfo tells it. Left out:
 * processors, memory devices and OEM strings, which /sys has only as raw tables.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"
#include "util/error.h"

typedef struct {
    const char *name, *file;
} Entry;

static const Entry bios[] = {
    { "vendor", "bios_vendor" },
    { "version", "bios_version" },
    { "date", "bios_date" },
    { "release", "bios_release" },
    { NULL, NULL },
};

static const Entry system_entries[] = {
    { "manufacturer", "sys_vendor" }, { "product", "product_name" },
    { "version", "product_version" }, { "serial", "product_serial" },
    { "uuid", "product_uuid" },       { "sku", "product_sku" },
    { "family", "product_family" },   { NULL, NULL },
};

static const Entry board[] = {
    { "manufacturer", "board_vendor" }, { "product", "board_name" },
    { "version", "board_version" },     { "serial", "board_serial" },
    { "asset", "board_asset_tag" },     { NULL, NULL },
};

static const Entry chassis[] = {
    { "manufacturer", "chassis_vendor" },
    { "version", "chassis_version" },
    { "serial", "chassis_serial" },
    { "asset", "chassis_asset_tag" },
    { NULL, NULL },
};

static const struct {
    const char *element;
    const Entry *entries;
} blocks[] = {
    { "bios", bios },
    { "system", system_entries },
    { "baseBoard", board },
    { "chassis", chassis },
};

static void
format_block(GString *xml, const char *root, const char *element, const Entry *entries)
{
    g_autoptr(GString) inner = g_string_new(NULL);

    for (; entries->name; entries++) {
        g_autofree char *text = sysfs_read_text(root, "/sys/class/dmi/id/%s", entries->file);

        if (text)
            xml_line(inner, 2, "<entry name='%s'>%s</entry>", entries->name, text);
    }
    if (!inner->len)
        return;
    xml_line(xml, 1, "<%s>", element);
    g_string_append(xml, inner->str);
    xml_line(xml, 1, "</%s>", element);
}

char *
node_get_sysinfo(Node *node, GError **err)
{
    const char *root = node_source(node)->root;
    GString *xml;

    if (!sysfs_exists(root, "/sys/class/dmi/id")) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "Host SMBIOS information is not available");
        return NULL;
    }
    xml = g_string_new("<sysinfo type='smbios'>\n");
    for (size_t i = 0; i < G_N_ELEMENTS(blocks); i++)
        format_block(xml, root, blocks[i].element, blocks[i].entries);
    g_string_append(xml, "</sysinfo>\n");
    return g_string_free(xml, FALSE);
}
