/* caps.c - what a device is: its kind, its name, its capabilities, its XML.
 *
 * libvirt formatnode, schema nodedev.rng of 9.0. Left out: the vital product data of PCI devices,
 * vDPA, and the channel and crypto devices of s390.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"
#include "driver/nodedev/private.h"

/* How one kind of device is told of. */
typedef struct {
    const char *name;
    const char *devtype;   /* the DEVTYPE that says so, or NULL */
    const char *subsystem; /* the same for those without DEVTYPE */
    void (*format)(GString *xml, const char *root, const DeviceFacts *facts);
} CapClass;

DeviceFacts *
device_facts_new(const char *syspath)
{
    DeviceFacts *facts = g_new0(DeviceFacts, 1);

    facts->syspath = g_strdup(syspath);
    facts->properties = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return facts;
}

void
device_facts_free(DeviceFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->syspath);
    g_free(facts->subsystem);
    g_free(facts->sysname);
    g_free(facts->devtype);
    g_free(facts->driver);
    g_free(facts->devnode);
    g_strfreev(facts->links);
    g_hash_table_unref(facts->properties);
    g_free(facts);
}

const char *
device_property(const DeviceFacts *facts, const char *key)
{
    const char *value = g_hash_table_lookup(facts->properties, key);

    /* udevd makes them clean; the kernel's own are as they are. */
    for (const char *at = value; at && *at; at++)
        if (g_ascii_iscntrl(*at))
            return NULL;
    return value && g_utf8_validate(value, -1, NULL) ? value : NULL;
}

char *
device_attr(const char *root, const DeviceFacts *facts, const char *attr)
{
    return sysfs_read_text(root, "%s/%s", facts->syspath, attr);
}

guint64
device_number(const char *text, unsigned base, guint64 fallback)
{
    guint64 value;

    if (text && base != 10 && g_str_has_prefix(text, "0x"))
        text += 2;
    return text && g_ascii_string_to_unsigned(text, base, 0, G_MAXUINT64, &value, NULL) ? value
                                                                                        : fallback;
}

guint64
device_attr_number(const char *root, const DeviceFacts *facts, const char *attr, unsigned base,
                   guint64 fallback)
{
    g_autofree char *text = device_attr(root, facts, attr);

    return device_number(text, base, fallback);
}

/* --- the computer ----------------------------------------------------------------------------- */

static void
dmi_line(GString *xml, unsigned depth, const char *root, const char *element, const char *file)
{
    g_autofree char *text = sysfs_read_text(root, "/sys/class/dmi/id/%s", file);

    if (!text)
        return;
    g_string_append_printf(xml, "%*s", (int)depth * 2, "");
    xml_line(xml, 0, "<%s>%s</%s>", element, text, element);
}

static void
format_system(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autofree char *uuid = node_host_uuid(root);

    (void)facts;
    dmi_line(xml, 2, root, "product", "product_name");
    xml_line(xml, 2, "<hardware>");
    dmi_line(xml, 3, root, "vendor", "sys_vendor");
    dmi_line(xml, 3, root, "version", "product_version");
    dmi_line(xml, 3, root, "serial", "product_serial");
    xml_line(xml, 3, "<uuid>%s</uuid>", uuid ? uuid : "00000000-0000-0000-0000-000000000000");
    xml_line(xml, 2, "</hardware>");
    xml_line(xml, 2, "<firmware>");
    dmi_line(xml, 3, root, "vendor", "bios_vendor");
    dmi_line(xml, 3, root, "version", "bios_version");
    dmi_line(xml, 3, root, "release_date", "bios_date");
    xml_line(xml, 2, "</firmware>");
}

/* --- USB -------------------------------------------------------------------------------------- */

/* <product> or <vendor>: a number, and a name if somebody knows it. */
static void
format_usb_id(GString *xml, const char *root, const DeviceFacts *facts, const char *element,
              const char *const keys[4])
{
    const char *id = device_property(facts, keys[0]), *known = device_property(facts, keys[2]);
    g_autofree char *name = known ? g_strdup(known) : device_attr(root, facts, keys[3]);
    unsigned number = (unsigned)(id ? device_number(id, 16, 0)
                                    : device_attr_number(root, facts, keys[1], 16, 0)) &
                      0xffff;

    if (name)
        xml_line(xml, 2, "<%s id='0x%04x'>%s</%s>", element, number, name, element);
    else
        xml_line(xml, 2, "<%s id='0x%04x'/>", element, number);
}

static void
format_usb_device(GString *xml, const char *root, const DeviceFacts *facts)
{
    static const char *const product[] = { "ID_MODEL_ID", "idProduct", "ID_MODEL_FROM_DATABASE",
                                           "product" };
    static const char *const vendor[] = { "ID_VENDOR_ID", "idVendor", "ID_VENDOR_FROM_DATABASE",
                                          "manufacturer" };

    xml_line(xml, 2, "<bus>%u</bus>",
             (unsigned)device_number(device_property(facts, "BUSNUM"), 10, 0));
    xml_line(xml, 2, "<device>%u</device>",
             (unsigned)device_number(device_property(facts, "DEVNUM"), 10, 0));
    format_usb_id(xml, root, facts, "product", product);
    format_usb_id(xml, root, facts, "vendor", vendor);
}

static void
format_usb_interface(GString *xml, const char *root, const DeviceFacts *facts)
{
    static const char *const fields[][2] = {
        { "number", "bInterfaceNumber" },
        { "class", "bInterfaceClass" },
        { "subclass", "bInterfaceSubClass" },
        { "protocol", "bInterfaceProtocol" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++)
        xml_line(xml, 2, "<%s>%u</%s>", fields[i][0],
                 (unsigned)device_attr_number(root, facts, fields[i][1], 16, 0), fields[i][0]);
}

/* --- SCSI ------------------------------------------------------------------------------------- */

/* Up to four decimal numbers of @text, divided by ':'. How many there were. */
static unsigned
read_numbers(const char *text, unsigned ret[4])
{
    unsigned n = 0;

    while (n < 4 && g_ascii_isdigit(*text)) {
        char *end;

        ret[n++] = (unsigned)g_ascii_strtoull(text, &end, 10);
        text = *end == ':' ? end + 1 : end;
    }
    return n;
}

char *
device_wwn(const char *root, const DeviceFacts *facts, const char *which)
{
    char *text = sysfs_read_text(root, "/sys/class/fc_host/%s/%s", facts->sysname, which);

    if (text && g_str_has_prefix(text, "0x"))
        memmove(text, text + 2, strlen(text + 2) + 1);
    return text;
}

static bool
has_vports(const char *root, const DeviceFacts *facts)
{
    return sysfs_exists(root, "/sys/class/fc_host/%s/vport_create", facts->sysname) ||
           sysfs_exists(root, "/sys/class/scsi_host/%s/vport_create", facts->sysname);
}

static guint64
vport_number(const char *root, const DeviceFacts *facts, const char *file)
{
    uint64_t value = 0;

    if (!sysfs_read_uint(&value, root, "/sys/class/fc_host/%s/%s", facts->sysname, file))
        sysfs_read_uint(&value, root, "/sys/class/scsi_host/%s/%s", facts->sysname, file);
    return value;
}

static void
format_scsi_host(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autofree char *wwnn = device_wwn(root, facts, "node_name"),
                    *wwpn = device_wwn(root, facts, "port_name"),
                    *fabric = device_wwn(root, facts, "fabric_name");
    unsigned host[4] = { 0 };
    uint64_t unique;

    read_numbers(facts->sysname + strcspn(facts->sysname, "0123456789"), host);
    xml_line(xml, 2, "<host>%u</host>", host[0]);
    if (sysfs_read_uint(&unique, root, "/sys/class/scsi_host/%s/unique_id", facts->sysname))
        xml_line(xml, 2, "<unique_id>%" G_GUINT64_FORMAT "</unique_id>", unique);
    if (wwnn && wwpn) {
        xml_line(xml, 2, "<capability type='fc_host'>");
        xml_line(xml, 3, "<wwnn>%s</wwnn>", wwnn);
        xml_line(xml, 3, "<wwpn>%s</wwpn>", wwpn);
        if (fabric)
            xml_line(xml, 3, "<fabric_wwn>%s</fabric_wwn>", fabric);
        xml_line(xml, 2, "</capability>");
    }
    if (has_vports(root, facts)) {
        xml_line(xml, 2, "<capability type='vport_ops'>");
        xml_line(xml, 3, "<max_vports>%" G_GUINT64_FORMAT "</max_vports>",
                 vport_number(root, facts, "max_npiv_vports"));
        xml_line(xml, 3, "<vports>%" G_GUINT64_FORMAT "</vports>",
                 vport_number(root, facts, "npiv_vports_inuse"));
        xml_line(xml, 2, "</capability>");
    }
}

static void
format_scsi_target(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autofree char *above = g_path_get_dirname(facts->syspath);
    g_autofree char *rport = g_path_get_basename(above);
    g_autofree char *wwpn = sysfs_read_text(root, "/sys/class/fc_remote_ports/%s/port_name", rport);

    xml_line(xml, 2, "<target>%s</target>", facts->sysname);
    if (!wwpn || !g_str_has_prefix(wwpn, "0x"))
        return;
    xml_line(xml, 2, "<capability type='fc_remote_port'>");
    xml_line(xml, 3, "<rport>%s</rport>", rport);
    xml_line(xml, 3, "<wwpn>%s</wwpn>", wwpn + 2);
    xml_line(xml, 2, "</capability>");
}

static void
format_scsi(GString *xml, const char *root, const DeviceFacts *facts)
{
    /* SPC-4, peripheral device types. */
    static const char *const types[] = {
        [0] = "disk",    [1] = "tape", [3] = "processor", [4] = "worm",  [5] = "cdrom",
        [6] = "scanner", [7] = "mod",  [8] = "changer",   [12] = "raid", [13] = "enclosure",
    };
    guint64 type = device_attr_number(root, facts, "type", 10, G_MAXUINT64);
    unsigned at[4] = { 0 };

    read_numbers(facts->sysname, at);
    xml_line(xml, 2, "<host>%u</host>", at[0]);
    xml_line(xml, 2, "<bus>%u</bus>", at[1]);
    xml_line(xml, 2, "<target>%u</target>", at[2]);
    xml_line(xml, 2, "<lun>%u</lun>", at[3]);
    if (type < G_N_ELEMENTS(types) && types[type])
        xml_line(xml, 2, "<type>%s</type>", types[type]);
}

static void
format_scsi_generic(GString *xml, const char *root, const DeviceFacts *facts)
{
    (void)root;
    xml_line(xml, 2, "<char>%s</char>", facts->devnode);
}

/* --- others ----------------------------------------------------------------------------------- */

/* The kernel numbers a card's nodes in three groups of 64. */
static const char *
drm_type(const DeviceFacts *facts)
{
    static const char *const types[] = { "primary", "control", "render" };
    guint64 minor = device_number(device_property(facts, "MINOR"), 10, G_MAXUINT64);

    return minor / 64 < G_N_ELEMENTS(types) ? types[minor / 64] : NULL;
}

static void
format_drm(GString *xml, const char *root, const DeviceFacts *facts)
{
    (void)root;
    xml_line(xml, 2, "<type>%s</type>", drm_type(facts));
}

/* The last part of where a link of the device leads, or NULL. */
static char *
link_name(const char *root, const DeviceFacts *facts, const char *link)
{
    g_autofree char *path = g_strdup_printf("%s%s/%s", root, facts->syspath, link);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target ? g_path_get_basename(target) : NULL;
}

static void
format_mdev(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autofree char *type = link_name(root, facts, "mdev_type");
    g_autofree char *group = link_name(root, facts, "iommu_group");
    g_autofree char *above = g_path_get_dirname(facts->syspath);
    g_autofree char *parent = g_path_get_basename(above);

    xml_line(xml, 2, "<type id='%s'/>", type ? type : "");
    xml_line(xml, 2, "<uuid>%s</uuid>", facts->sysname);
    xml_line(xml, 2, "<parent_addr>%s</parent_addr>", parent);
    xml_line(xml, 2, "<iommuGroup number='%u'/>", (unsigned)device_number(group, 10, 0));
}

static const CapClass caps[CAP_COUNT] = {
    [CAP_SYSTEM] = { "system", .format = format_system },
    [CAP_PCI] = { "pci", .format = device_format_pci },
    [CAP_USB_DEVICE] = { "usb_device", "usb_device", .format = format_usb_device },
    [CAP_USB_INTERFACE] = { "usb", "usb_interface", .format = format_usb_interface },
    [CAP_NET] = { "net", "wlan", .format = device_format_net },
    [CAP_SCSI_HOST] = { "scsi_host", "scsi_host", .format = format_scsi_host },
    [CAP_SCSI_TARGET] = { "scsi_target", "scsi_target", .format = format_scsi_target },
    [CAP_SCSI] = { "scsi", "scsi_device", .format = format_scsi },
    [CAP_STORAGE] = { "storage", "disk", .format = device_format_storage },
    [CAP_FC_HOST] = { "fc_host" },
    [CAP_VPORTS] = { "vports" },
    [CAP_SCSI_GENERIC] = { "scsi_generic", NULL, "scsi_generic", format_scsi_generic },
    [CAP_DRM] = { "drm", "drm_minor", .format = format_drm },
    [CAP_MDEV_TYPES] = { "mdev_types" },
    [CAP_MDEV] = { "mdev", NULL, "mdev", format_mdev },
};

/* --- what a device is ------------------------------------------------------------------------- */

const char *
device_cap_name(DeviceCap cap)
{
    return caps[cap].name;
}

int
device_cap(const DeviceFacts *facts)
{
    for (int i = 0; i < CAP_COUNT; i++) {
        const char *want = facts->devtype ? caps[i].devtype : caps[i].subsystem;
        const char *have = facts->devtype ? facts->devtype : facts->subsystem;

        if (want && g_strcmp0(want, have) == 0)
            return i;
    }
    if (facts->devtype)
        return -1;
    /* USB devices have INTERFACE as well, but a DEVTYPE too. */
    if (device_property(facts, "INTERFACE"))
        return CAP_NET;
    return device_property(facts, "PCI_CLASS") ? CAP_PCI : -1;
}

/* What cannot be told of in the way its kind is. */
static bool
is_told_of(const DeviceFacts *facts, DeviceCap cap)
{
    unsigned numbers[4];

    switch (cap) {
    case CAP_STORAGE:
        return facts->devnode && device_drive_type(facts);
    case CAP_SCSI_GENERIC:
        return facts->devnode;
    case CAP_DRM:
        return drm_type(facts);
    case CAP_SCSI:
        return read_numbers(facts->sysname, numbers) == 4;
    default:
        return true;
    }
}

char *
device_name(const char *root, const DeviceFacts *facts, DeviceCap cap)
{
    g_autofree char *more = NULL;
    char *name;

    if (!facts->subsystem || !facts->sysname || !is_told_of(facts, cap))
        return NULL;
    if (cap == CAP_NET)
        more = device_attr(root, facts, "address");
    else if (cap == CAP_STORAGE)
        more = g_strdup(device_property(facts, "ID_SERIAL"));
    name = g_strdup_printf("%s_%s%s%s", facts->subsystem, facts->sysname, more ? "_" : "",
                           more ? more : "");
    for (char *at = name; *at; at++)
        if (!g_ascii_isalnum(*at))
            *at = '_';
    return name;
}

unsigned
device_flags(const char *root, const DeviceFacts *facts, DeviceCap cap)
{
    unsigned flags = 1U << cap;

    if (cap == CAP_SCSI_HOST && sysfs_exists(root, "/sys/class/fc_host/%s", facts->sysname))
        flags |= 1U << CAP_FC_HOST;
    if (cap == CAP_SCSI_HOST && has_vports(root, facts))
        flags |= 1U << CAP_VPORTS;
    if (cap == CAP_PCI && sysfs_exists(root, "%s/mdev_supported_types", facts->syspath))
        flags |= 1U << CAP_MDEV_TYPES;
    return flags;
}

char *
device_format(const char *root, const DeviceFacts *facts, DeviceCap cap, const char *name,
              const char *parent)
{
    GString *xml = g_string_new("<device>\n");

    xml_line(xml, 1, "<name>%s</name>", name);
    if (facts) {
        xml_line(xml, 1, "<path>%s</path>", facts->syspath);
        if (facts->devnode)
            xml_line(xml, 1, "<devnode type='dev'>%s</devnode>", facts->devnode);
        for (char **link = facts->links; link && *link; link++)
            xml_line(xml, 1, "<devnode type='link'>%s</devnode>", *link);
        if (parent)
            xml_line(xml, 1, "<parent>%s</parent>", parent);
        if (facts->driver) {
            xml_line(xml, 1, "<driver>");
            xml_line(xml, 2, "<name>%s</name>", facts->driver);
            xml_line(xml, 1, "</driver>");
        }
    }
    xml_line(xml, 1, "<capability type='%s'>", caps[cap].name);
    caps[cap].format(xml, root, facts);
    xml_line(xml, 1, "</capability>");
    g_string_append(xml, "</device>\n");
    return g_string_free(xml, FALSE);
}
