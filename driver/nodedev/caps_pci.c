/* caps_pci.c - <capability type='pci'> of a node device.
 *
 * libvirt formatnode of 9.0; configuration space: PCI Local Bus 3.0, 6.1 and 6.7; PCI Express Base
 * 4.0, 7.5.3. Names come from udev's data base or from pci.ids.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"
#include "driver/nodedev/private.h"
#include "util/file.h"

enum {
    CONFIG_SIZE = 256,
    CONFIG_STATUS = 0x06,
    STATUS_CAPABILITIES = 0x10,
    CONFIG_HEADER = 0x0e,
    CONFIG_CAPABILITIES = 0x34,
    CAPABILITIES_MAX = 48,
    CAPABILITY_EXPRESS = 0x10,
    EXPRESS_FLAGS = 0x02,
    EXPRESS_ROOT_ENDPOINT = 0x9, /* types without a link */
    EXPRESS_ROOT_COLLECTOR = 0xa,
    EXPRESS_LINK_CAP = 0x0c,
    EXPRESS_LINK_STATUS = 0x12,
    FUNCTIONS_MAX = 4096, /* far above what a card has */
    PCI_IDS_MAX = 16 * 1024 * 1024,
};

typedef struct {
    unsigned domain, bus, slot, function;
} Address;

typedef struct {
    uint8_t data[CONFIG_SIZE]; /* what could not be read is 0 */
} Config;

/* "0000:00:1f.2" */
static bool
parse_address(const char *text, Address *ret)
{
    unsigned *const parts[] = { &ret->domain, &ret->bus, &ret->slot, &ret->function };
    static const char ends[] = { ':', ':', '.', '\0' };

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        char *end;
        guint64 value = g_ascii_strtoull(text, &end, 16);

        if (!g_ascii_isxdigit(*text) || *end != ends[i] || value > G_MAXUINT32)
            return false;
        *parts[i] = (unsigned)value;
        text = end + 1;
    }
    return true;
}

static void
format_address(GString *xml, const Address *at)
{
    xml_line(xml, 3, "<address domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>",
             at->domain, at->bus, at->slot, at->function);
}

/* Where @link of the device leads, when that is a PCI device. */
static bool
linked_address(const char *root, const DeviceFacts *facts, const char *link, Address *ret)
{
    g_autofree char *path = g_strdup_printf("%s%s/%s", root, facts->syspath, link);
    g_autofree char *target = g_file_read_link(path, NULL);
    g_autofree char *name = target ? g_path_get_basename(target) : NULL;

    return name && parse_address(name, ret);
}

/* --- names ------------------------------------------------------------------------------------ */

/* The name in the line that begins with @key and two blanks, between @from and @to. */
static const char *
ids_line(const char *from, const char *to, const char *key)
{
    size_t len = strlen(key);

    while (from < to) {
        const char *end = memchr(from, '\n', (size_t)(to - from));

        if ((size_t)(to - from) > len + 2 && memcmp(from, key, len) == 0 && from[len] == ' ')
            return from + len + strspn(from + len, " ");
        if (!end)
            break;
        from = end + 1;
    }
    return NULL;
}

static char *
ids_name(const char *at)
{
    return at ? g_strndup(at, strcspn(at, "\n")) : NULL;
}

/* Looks up what udev does not tell; names stay NULL where nobody knows. */
static void
ids_look_up(const char *root, unsigned vendor, unsigned device, char **ret_vendor,
            char **ret_device)
{
    static const char *const places[] = { "/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids" };
    g_autofree char *text = NULL;
    char key[8];
    const char *at, *next;
    size_t len;

    for (size_t i = 0; !text && i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_strconcat(root, places[i], NULL);

        text = file_read_limited(path, PCI_IDS_MAX, &len, NULL);
    }
    if (!text)
        return;
    g_snprintf(key, sizeof(key), "%04x", vendor & 0xffff);
    at = ids_line(text, text + len, key);
    if (!at)
        return;
    *ret_vendor = ids_name(at);
    /* Its devices are indented, up to the next line that is not. */
    for (next = strchr(at, '\n'); next && (next[1] == '\t' || next[1] == '#');
         next = strchr(next + 1, '\n'))
        ;
    g_snprintf(key, sizeof(key), "\t%04x", device & 0xffff);
    *ret_device = ids_name(ids_line(at, next ? next : text + len, key));
}

static void
format_id(GString *xml, const char *element, unsigned id, const char *name)
{
    if (name && g_utf8_validate(name, -1, NULL))
        xml_line(xml, 2, "<%s id='0x%04x'>%s</%s>", element, id, name, element);
    else
        xml_line(xml, 2, "<%s id='0x%04x'/>", element, id);
}

static void
format_ids(GString *xml, const char *root, const DeviceFacts *facts)
{
    unsigned vendor = (unsigned)device_attr_number(root, facts, "vendor", 16, 0);
    unsigned product = (unsigned)device_attr_number(root, facts, "device", 16, 0);
    g_autofree char *vendor_name = g_strdup(device_property(facts, "ID_VENDOR_FROM_DATABASE"));
    g_autofree char *product_name = g_strdup(device_property(facts, "ID_MODEL_FROM_DATABASE"));

    if (!vendor_name && !product_name)
        ids_look_up(root, vendor, product, &vendor_name, &product_name);
    format_id(xml, "product", product, product_name);
    format_id(xml, "vendor", vendor, vendor_name);
}

/* --- functions, groups ------------------------------------------------------------------------ */

static void
format_functions(GString *xml, const char *root, const DeviceFacts *facts)
{
    guint64 most = device_attr_number(root, facts, "sriov_totalvfs", 10, 0);
    g_autoptr(GString) inner = g_string_new(NULL);
    Address at;

    if (linked_address(root, facts, "physfn", &at)) {
        xml_line(xml, 2, "<capability type='phys_function'>");
        format_address(xml, &at);
        xml_line(xml, 2, "</capability>");
    }
    for (unsigned i = 0; i < MIN(most, FUNCTIONS_MAX); i++) {
        g_autofree char *link = g_strdup_printf("virtfn%u", i);

        if (!linked_address(root, facts, link, &at))
            break;
        format_address(inner, &at);
    }
    if (most == 0)
        return;
    xml_line(xml, 2, "<capability type='virt_functions' maxCount='%u'%s>", (unsigned)most,
             inner->len ? "" : "/");
    if (inner->len) {
        g_string_append(xml, inner->str);
        xml_line(xml, 2, "</capability>");
    }
}

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a directory below the device (char *, owned by the array), sorted; none is no error. */
static GPtrArray *
list_names(const char *root, const DeviceFacts *facts, const char *dir)
{
    g_autofree char *path = g_strdup_printf("%s%s/%s", root, facts->syspath, dir);
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while (entries && names->len < FUNCTIONS_MAX && (name = g_dir_read_name(entries)))
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void
format_mdev_types(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autoptr(GPtrArray) types = list_names(root, facts, "mdev_supported_types");

    if (types->len == 0)
        return;
    xml_line(xml, 2, "<capability type='mdev_types'>");
    for (guint i = 0; i < types->len; i++) {
        const char *type = types->pdata[i];
        g_autofree char *name_file = g_strdup_printf("mdev_supported_types/%s/name", type);
        g_autofree char *api_file = g_strdup_printf("mdev_supported_types/%s/device_api", type);
        g_autofree char *free_file =
            g_strdup_printf("mdev_supported_types/%s/available_instances", type);
        g_autofree char *name = device_attr(root, facts, name_file);
        g_autofree char *api = device_attr(root, facts, api_file);

        xml_line(xml, 3, "<type id='%s'>", type);
        if (name)
            xml_line(xml, 4, "<name>%s</name>", name);
        xml_line(xml, 4, "<deviceAPI>%s</deviceAPI>", api ? api : "vfio-pci");
        xml_line(xml, 4, "<availableInstances>%u</availableInstances>",
                 (unsigned)device_attr_number(root, facts, free_file, 10, 0));
        xml_line(xml, 3, "</type>");
    }
    xml_line(xml, 2, "</capability>");
}

static void
format_iommu(GString *xml, const char *root, const DeviceFacts *facts)
{
    g_autofree char *path = g_strdup_printf("%s%s/iommu_group", root, facts->syspath);
    g_autofree char *target = g_file_read_link(path, NULL);
    g_autofree char *group = target ? g_path_get_basename(target) : NULL;
    g_autoptr(GPtrArray) members = NULL;
    g_autoptr(GString) inner = g_string_new(NULL);

    if (!group)
        return;
    members = list_names(root, facts, "iommu_group/devices");
    for (guint i = 0; i < members->len; i++) {
        Address at;

        if (parse_address(members->pdata[i], &at))
            format_address(inner, &at);
    }
    if (!inner->len)
        return;
    xml_line(xml, 2, "<iommuGroup number='%u'>", (unsigned)device_number(group, 10, 0));
    g_string_append(xml, inner->str);
    xml_line(xml, 2, "</iommuGroup>");
}

/* --- configuration space ---------------------------------------------------------------------- */

/* The kernel gives the first 64 bytes to everyone, the rest to the superuser. */
static void
config_read(Config *config, const char *root, const DeviceFacts *facts)
{
    g_autofree char *path = g_strdup_printf("%s%s/config", root, facts->syspath);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    memset(config, 0, sizeof(*config));
    if (fd < 0)
        return;
    if (pread(fd, config->data, sizeof(config->data), 0) < 0)
        memset(config, 0, sizeof(*config));
    close(fd);
}

/* @len bytes at @at, least first; 0 beyond the end. */
static uint32_t
config_get(const Config *config, unsigned at, unsigned len)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < len && at + i < CONFIG_SIZE; i++)
        value |= (uint32_t)config->data[at + i] << (8 * i);
    return value;
}

/* Where the PCI Express capability is; 0 when there is none. */
static unsigned
config_find_express(const Config *config)
{
    unsigned at;

    if (!(config_get(config, CONFIG_STATUS, 2) & STATUS_CAPABILITIES))
        return 0;
    at = config_get(config, CONFIG_CAPABILITIES, 1) & ~3U;
    for (int i = 0; i < CAPABILITIES_MAX && at; i++) {
        if (config_get(config, at, 1) == CAPABILITY_EXPRESS)
            return at;
        at = config_get(config, at + 1, 1) & ~3U;
    }
    return 0;
}

static void
format_link(GString *xml, const char *validity, int port, unsigned speed, unsigned width)
{
    static const char *const speeds[] = { NULL, "2.5", "5", "8", "16", "32", "64" };
    g_autoptr(GString) more = g_string_new(NULL);

    if (port >= 0)
        g_string_append_printf(more, " port='%d'", port);
    if (speed < G_N_ELEMENTS(speeds) && speeds[speed])
        g_string_append_printf(more, " speed='%s'", speeds[speed]);
    g_string_append_printf(xml, "      <link validity='%s'%s width='%u'/>\n", validity, more->str,
                           width);
}

static void
format_express(GString *xml, const Config *config)
{
    unsigned at = config_find_express(config), type;
    uint32_t cap, status;

    if (!at)
        return;
    type = config_get(config, at + EXPRESS_FLAGS, 2) >> 4 & 0xf;
    if (type == EXPRESS_ROOT_ENDPOINT || type == EXPRESS_ROOT_COLLECTOR) {
        xml_line(xml, 2, "<pci-express/>");
        return;
    }
    cap = config_get(config, at + EXPRESS_LINK_CAP, 4);
    status = config_get(config, at + EXPRESS_LINK_STATUS, 2);
    xml_line(xml, 2, "<pci-express>");
    format_link(xml, "cap", (int)(cap >> 24), cap & 0xf, cap >> 4 & 0x3f);
    format_link(xml, "sta", -1, status & 0xf, status >> 4 & 0x3f);
    xml_line(xml, 2, "</pci-express>");
}

void
device_format_pci(GString *xml, const char *root, const DeviceFacts *facts)
{
    static const char *const bridges[] = { NULL, "pci-bridge", "cardbus-bridge" };
    const char *class = device_property(facts, "PCI_CLASS");
    g_autofree char *numa = device_attr(root, facts, "numa_node");
    Address at = { 0 };
    unsigned header;
    Config config;

    config_read(&config, root, facts);
    header = config_get(&config, CONFIG_HEADER, 1) & 0x7f;
    parse_address(facts->sysname, &at);
    if (class)
        xml_line(xml, 2, "<class>0x%06x</class>", (unsigned)device_number(class, 16, 0) & 0xffffff);
    xml_line(xml, 2, "<domain>%u</domain>", at.domain);
    xml_line(xml, 2, "<bus>%u</bus>", at.bus);
    xml_line(xml, 2, "<slot>%u</slot>", at.slot);
    xml_line(xml, 2, "<function>%u</function>", at.function);
    format_ids(xml, root, facts);
    format_functions(xml, root, facts);
    if (header < G_N_ELEMENTS(bridges) && bridges[header])
        xml_line(xml, 2, "<capability type='%s'/>", bridges[header]);
    format_mdev_types(xml, root, facts);
    format_iommu(xml, root, facts);
    if (numa && numa[0] != '-')
        xml_line(xml, 2, "<numa node='%u'/>", (unsigned)device_number(numa, 10, 0));
    format_express(xml, &config);
}
