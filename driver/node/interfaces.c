/* interfaces.c - the host's network interfaces, out of /sys/class/net.
 *
 * Follows libvirt's interface objects (formatinterface, virInterface* API of 9.0) as its udev
 * driver fills them: ethernet, bridge, bond, vlan with what the kernel tells of them, without
 * addresses. Members of bridges and taps are not listed by themselves. Left out: definitions that
 * the host would bring up, and changes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/interfaces.h"

#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"
#include "util/error.h"

#define NET "/sys/class/net/%s"

typedef enum { KIND_ETHERNET, KIND_BRIDGE, KIND_BOND, KIND_VLAN } Kind;

static const char *const kinds[] = { "ethernet", "bridge", "bond", "vlan" };

/* Members in members: a vlan on a bond on … is not told of further. */
enum { DEPTH_MAX = 4 };

void
node_interface_free(NodeInterface *interface)
{
    if (!interface)
        return;
    g_free(interface->name);
    g_free(interface->mac);
    g_free(interface);
}

static bool
is_name(const char *name)
{
    return *name && *name != '.' && !strchr(name, '/');
}

/* NULL when there is none. */
static NodeInterface *
look(const char *root, const char *name)
{
    NodeInterface *interface;
    g_autofree char *state = NULL;

    if (!is_name(name) || !sysfs_exists(root, NET "/ifindex", name))
        return NULL;
    interface = g_new0(NodeInterface, 1);
    state = sysfs_read(root, NET "/operstate", name);
    interface->name = g_strdup(name);
    interface->mac = sysfs_read_text(root, NET "/address", name);
    interface->active = g_strcmp0(state, "up") == 0;
    if (!interface->mac)
        interface->mac = g_strdup("");
    return interface;
}

static int
compare(gconstpointer a, gconstpointer b)
{
    const NodeInterface *const *one = a, *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

GPtrArray *
host_interfaces(const char *root, bool active, bool inactive)
{
    GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)node_interface_free);
    g_autofree char *path = g_strconcat(root, "/sys/class/net", NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autoptr(NodeInterface) interface = look(root, name);

        if (interface && (interface->active ? active : inactive) &&
            !sysfs_exists(root, NET "/brport", name) && !sysfs_exists(root, NET "/tun_flags", name))
            g_ptr_array_add(all, g_steal_pointer(&interface));
    }
    g_ptr_array_sort(all, compare);
    return all;
}

/* --- XML -------------------------------------------------------------------------------------- */

static Kind
kind_of(const char *root, const char *name)
{
    if (sysfs_exists(root, NET "/bridge", name))
        return KIND_BRIDGE;
    if (sysfs_exists(root, NET "/bonding", name))
        return KIND_BOND;
    return sysfs_exists(root, "/proc/net/vlan/%s", name) ? KIND_VLAN : KIND_ETHERNET;
}

static void format(GString *xml, const char *root, const char *name, unsigned depth);

static int
compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in a directory below the device, or in a file of it, in order. */
static GPtrArray *
members(const char *root, const char *name, Kind kind)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    if (kind == KIND_BRIDGE) {
        g_autofree char *path = g_strdup_printf("%s" NET "/brif", root, name);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *member;

        while (dir && (member = g_dir_read_name(dir)))
            g_ptr_array_add(names, g_strdup(member));
    } else {
        g_autofree char *text = sysfs_read(root, NET "/bonding/slaves", name);
        g_auto(GStrv) words = g_strsplit(text ? text : "", " ", -1);

        for (char **word = words; *word; word++)
            if (is_name(*word))
                g_ptr_array_add(names, g_strdup(*word));
    }
    g_ptr_array_sort(names, compare_names);
    return names;
}

static void
format_members(GString *xml, const char *root, const char *name, Kind kind, unsigned depth)
{
    g_autoptr(GPtrArray) names = members(root, name, kind);

    for (guint i = 0; i < names->len; i++)
        format(xml, root, names->pdata[i], depth);
}

static void
format_bridge(GString *xml, const char *root, const char *name, unsigned depth)
{
    uint64_t stp = 0, delay = 0;

    sysfs_read_uint(&stp, root, NET "/bridge/stp_state", name);
    sysfs_read_uint(&delay, root, NET "/bridge/forward_delay", name);
    /* the kernel counts hundredths of a second */
    xml_line(xml, depth, "<bridge stp='%s' delay='%g'>", stp ? "on" : "off", (double)delay / 100);
    format_members(xml, root, name, KIND_BRIDGE, depth + 1);
    xml_line(xml, depth, "</bridge>");
}

static void
format_bond(GString *xml, const char *root, const char *name, unsigned depth)
{
    g_autofree char *text = sysfs_read_text(root, NET "/bonding/mode", name);
    char *mode = text ? text : (char *)"";

    /* "active-backup 1" */
    mode[strcspn(mode, " ")] = '\0';
    xml_line(xml, depth, "<bond mode='%s'>", mode);
    format_members(xml, root, name, KIND_BOND, depth + 1);
    xml_line(xml, depth, "</bond>");
}

static void
format_vlan(GString *xml, const char *root, const char *name, unsigned depth)
{
    g_autofree char *text = sysfs_read(root, "/proc/net/vlan/%s", name);
    g_autofree char *on = text ? sysfs_find_line(text, "Device") : NULL;
    const char *tag = text ? strstr(text, "VID: ") : NULL;

    xml_line(xml, depth, "<vlan tag='%u'>",
             tag ? (unsigned)g_ascii_strtoull(tag + strlen("VID: "), NULL, 10) : 0);
    if (on)
        xml_line(xml, depth + 1, "<interface name='%s'/>", on);
    xml_line(xml, depth, "</vlan>");
}

static void
format_link(GString *xml, const char *root, const char *name, unsigned depth)
{
    g_autofree char *state = sysfs_read_text(root, NET "/operstate", name);
    uint64_t speed;

    if (!state)
        return;
    if (strcmp(state, "up") == 0 && sysfs_read_uint(&speed, root, NET "/speed", name))
        xml_line(xml, depth, "<link speed='%" G_GUINT64_FORMAT "' state='%s'/>", speed, state);
    else
        xml_line(xml, depth, "<link state='%s'/>", state);
}

static void
format(GString *xml, const char *root, const char *name, unsigned depth)
{
    g_autoptr(NodeInterface) interface = look(root, name);
    Kind kind = kind_of(root, name);
    uint64_t mtu;

    if (!interface || depth > 2 * DEPTH_MAX)
        return;
    xml_line(xml, depth, "<interface type='%s' name='%s'>", kinds[kind], name);
    /* of a member it is the whole's affair */
    if (depth == 0 && sysfs_read_uint(&mtu, root, NET "/mtu", name))
        xml_line(xml, depth + 1, "<mtu size='%" G_GUINT64_FORMAT "'/>", mtu);
    if (kind != KIND_BRIDGE)
        format_link(xml, root, name, depth + 1);
    if (*interface->mac)
        xml_line(xml, depth + 1, "<mac address='%s'/>", interface->mac);
    if (kind == KIND_BRIDGE)
        format_bridge(xml, root, name, depth + 1);
    else if (kind == KIND_BOND)
        format_bond(xml, root, name, depth + 1);
    else if (kind == KIND_VLAN)
        format_vlan(xml, root, name, depth + 1);
    xml_line(xml, depth, "</interface>");
}

static bool
missing(const char *name, GError **err)
{
    return kiln_error_set(err, VIR_ERR_NO_INTERFACE, "couldn't find interface named '%s'", name);
}

char *
host_interface_xml(const char *root, const char *name, GError **err)
{
    g_autoptr(GString) xml = g_string_new(NULL);

    if (is_name(name))
        format(xml, root, name, 0);
    if (xml->len == 0)
        missing(name, err);
    return xml->len ? g_string_free(g_steal_pointer(&xml), FALSE) : NULL;
}

/* --- of this host ----------------------------------------------------------------------------- */

GPtrArray *
node_interfaces(Node *node, bool active, bool inactive)
{
    return host_interfaces(node_source(node)->root, active, inactive);
}

char *
node_interface_xml(Node *node, const char *name, GError **err)
{
    return host_interface_xml(node_source(node)->root, name, err);
}

NodeInterface *
node_interface_find(Node *node, const char *name, GError **err)
{
    NodeInterface *interface = look(node_source(node)->root, name);

    if (!interface)
        missing(name, err);
    return interface;
}

NodeInterface *
node_interface_find_mac(Node *node, const char *mac, GError **err)
{
    g_autoptr(GPtrArray) all = node_interfaces(node, true, true);
    const NodeInterface *found = NULL;
    unsigned n = 0;

    for (guint i = 0; i < all->len; i++) {
        const NodeInterface *interface = all->pdata[i];

        if (g_ascii_strcasecmp(interface->mac, mac) == 0) {
            found = interface;
            n++;
        }
    }
    if (n == 1)
        return node_interface_find(node, found->name, err);
    if (n == 0)
        kiln_error_set(err, VIR_ERR_NO_INTERFACE, "couldn't find interface with MAC address '%s'",
                       mac);
    else
        kiln_error_set(err, VIR_ERR_MULTIPLE_INTERFACES,
                       "the MAC address '%s' matches multiple interfaces", mac);
    return NULL;
}
