/* network_update.c - one virNetworkUpdate applied to a definition (libvirt's virNetworkUpdate and
 * "virsh net-update", sections and matching rules of 9.0).
 *
 * Offered sections: ip-dhcp-host, ip-dhcp-range, forward-interface, portgroup, dns-host, dns-txt,
 * dns-srv. The others (bridge, domain, ip, forward, forward-pf) are refused by libvirt as well.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/network_private.h"

#include "util/error.h"

#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/socket.h>

/* What one section does. @list is where its elements are in @def; @matches says which of them the
 * given one means, and is asked with the command because adding and deleting look for different
 * things. */
typedef struct {
    unsigned section;
    const char *element; /* the root the client sends */
    const char *what;    /* in messages */
    const XmlType *type;
    bool modifiable;
    GPtrArray *(*list)(NetworkDef *def, int parent_index, GError **err);
    bool (*matches)(const void *have, const void *given, unsigned command);
    /* Rules for an element that comes in; NULL for none. */
    bool (*admit)(const NetworkDef *def, const void *given, GError **err);
} UpdateSection;

static bool
is_add(unsigned command)
{
    return command == VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST ||
           command == VIR_NETWORK_UPDATE_COMMAND_ADD_LAST;
}

/* Absent in what was given: no condition. */
static bool
same_or_absent(const char *have, const char *given)
{
    return !given || g_strcmp0(have, given) == 0;
}

static bool
same(const char *have, const char *given)
{
    return given && g_strcmp0(have, given) == 0;
}

/* They stand as they were given, in either case. */
static bool
same_mac(const char *have, const char *given)
{
    return have && given && g_ascii_strcasecmp(have, given) == 0;
}

/* --- <ip><dhcp> ------------------------------------------------------------------------- */

static bool
ip_has_dhcp(const NetworkIp *ip)
{
    return ip->dhcp && (ip->dhcp->ranges->len > 0 || ip->dhcp->hosts->len > 0);
}

/* The <ip> meant by @index; -1: the one with DHCP, else the first IPv4 one, else the first. */
static NetworkIp *
find_ip(NetworkDef *def, int index, GError **err)
{
    NetworkIp *first4 = NULL;

    if (index >= 0 && (guint)index < def->ips->len)
        return g_ptr_array_index(def->ips, index);
    if (index >= 0) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "couldn't update dhcp entry - no <ip> element "
                       "found at index %d in network '%s'",
                       index, def->name);
        return NULL;
    }
    for (guint i = 0; i < def->ips->len; i++) {
        NetworkIp *ip = g_ptr_array_index(def->ips, i);

        if (ip_has_dhcp(ip))
            return ip;
        if (!first4 && g_strcmp0(ip->family, "ipv6") != 0)
            first4 = ip;
    }
    if (!first4 && def->ips->len > 0)
        first4 = g_ptr_array_index(def->ips, 0);
    if (!first4)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "couldn't update dhcp entry - no <ip> element "
                       "found in network '%s'",
                       def->name);
    return first4;
}

static NetworkDhcp *
find_dhcp(NetworkDef *def, int index, GError **err)
{
    NetworkIp *ip = find_ip(def, index, err);

    if (ip && !ip->dhcp)
        ip->dhcp = xml_type_new(&network_dhcp_xml);
    return ip ? ip->dhcp : NULL;
}

static GPtrArray *
list_dhcp_hosts(NetworkDef *def, int index, GError **err)
{
    NetworkDhcp *dhcp = find_dhcp(def, index, err);

    return dhcp ? dhcp->hosts : NULL;
}

static GPtrArray *
list_dhcp_ranges(NetworkDef *def, int index, GError **err)
{
    NetworkDhcp *dhcp = find_dhcp(def, index, err);

    return dhcp ? dhcp->ranges : NULL;
}

static bool
match_dhcp_host(const void *have, const void *given, unsigned command)
{
    const NetworkDhcpHost *a = have, *b = given;

    if (command == VIR_NETWORK_UPDATE_COMMAND_DELETE)
        return (!a->mac || !b->mac || same_mac(a->mac, b->mac)) &&
               same_or_absent(a->name, b->name) && same_or_absent(a->ip, b->ip);
    return same_mac(a->mac, b->mac) || same(a->name, b->name) || same(a->ip, b->ip);
}

static bool
match_dhcp_range(const void *have, const void *given, unsigned command)
{
    const NetworkRange *a = have, *b = given;

    (void)command;
    return same(a->start, b->start) && same(a->end, b->end);
}

/* --- <forward>, <portgroup> ------------------------------------------------------------- */

static GPtrArray *
list_interfaces(NetworkDef *def, int index, GError **err)
{
    (void)index;
    if (!def->forward)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                       "network '%s' has no <forward> element for an "
                       "interface",
                       def->name);
    return def->forward ? def->forward->interfaces : NULL;
}

static bool
match_interface(const void *have, const void *given, unsigned command)
{
    const NetworkForwardInterface *a = have, *b = given;

    (void)command;
    return same(a->dev, b->dev);
}

static GPtrArray *
list_portgroups(NetworkDef *def, int index, GError **err)
{
    (void)index;
    (void)err;
    return def->portgroups;
}

static bool
match_portgroup(const void *have, const void *given, unsigned command)
{
    const NetworkPortgroup *a = have, *b = given;

    (void)command;
    return same(a->name, b->name);
}

static bool
admit_portgroup(const NetworkDef *def, const void *given, GError **err)
{
    const NetworkPortgroup *group = given;

    for (guint i = 0; group->is_default == TRISTATE_ON && i < def->portgroups->len; i++) {
        const NetworkPortgroup *other = g_ptr_array_index(def->portgroups, i);

        if (other->is_default == TRISTATE_ON && strcmp(other->name, group->name) != 0)
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "a different portgroup entry in "
                                  "network '%s' is already set as the default. Only one default is "
                                  "allowed.",
                                  def->name);
    }
    return true;
}

/* --- <dns> ------------------------------------------------------------------------------ */

static NetworkDns *
find_dns(NetworkDef *def)
{
    if (!def->dns)
        def->dns = xml_type_new(&network_dns_xml);
    return def->dns;
}

static GPtrArray *
list_dns_hosts(NetworkDef *def, int index, GError **err)
{
    (void)index;
    (void)err;
    return find_dns(def)->hosts;
}

static bool
match_dns_host(const void *have, const void *given, unsigned command)
{
    const NetworkDnsHost *a = have, *b = given;

    if (same(a->ip, b->ip))
        return true;
    /* Several addresses may share a name, so adding looks at the address only. */
    for (guint i = 0; !is_add(command) && i < b->hostnames->len; i++)
        for (guint j = 0; j < a->hostnames->len; j++)
            if (same(g_ptr_array_index(a->hostnames, j), g_ptr_array_index(b->hostnames, i)))
                return true;
    return false;
}

static GPtrArray *
list_dns_txts(NetworkDef *def, int index, GError **err)
{
    (void)index;
    (void)err;
    return find_dns(def)->txts;
}

static bool
match_dns_txt(const void *have, const void *given, unsigned command)
{
    const NetworkTxt *a = have, *b = given;

    (void)command;
    return same(a->name, b->name);
}

static GPtrArray *
list_dns_srvs(NetworkDef *def, int index, GError **err)
{
    (void)index;
    (void)err;
    return find_dns(def)->srvs;
}

static bool
match_dns_srv(const void *have, const void *given, unsigned command)
{
    const NetworkSrv *a = have, *b = given;

    (void)command;
    return same_or_absent(a->domain, b->domain) && same_or_absent(a->service, b->service) &&
           same_or_absent(a->protocol, b->protocol) && same_or_absent(a->target, b->target);
}

/* --- applying --------------------------------------------------------------------------- */

static const UpdateSection sections[] = {
    { VIR_NETWORK_SECTION_IP_DHCP_HOST, "host", "dhcp host", &network_dhcp_host_xml, true,
      list_dhcp_hosts, match_dhcp_host, NULL },
    { VIR_NETWORK_SECTION_IP_DHCP_RANGE, "range", "dhcp range", &network_range_xml, false,
      list_dhcp_ranges, match_dhcp_range, NULL },
    { VIR_NETWORK_SECTION_FORWARD_INTERFACE, "interface", "forward interface",
      &network_forward_interface_xml, false, list_interfaces, match_interface, NULL },
    { VIR_NETWORK_SECTION_PORTGROUP, "portgroup", "portgroup", &network_portgroup_xml, true,
      list_portgroups, match_portgroup, admit_portgroup },
    { VIR_NETWORK_SECTION_DNS_HOST, "host", "DNS HOST", &network_dns_host_xml, false,
      list_dns_hosts, match_dns_host, NULL },
    { VIR_NETWORK_SECTION_DNS_TXT, "txt", "DNS TXT", &network_txt_xml, false, list_dns_txts,
      match_dns_txt, NULL },
    { VIR_NETWORK_SECTION_DNS_SRV, "srv", "DNS SRV", &network_srv_xml, false, list_dns_srvs,
      match_dns_srv, NULL },
};

static const UpdateSection *
find_section(unsigned section, GError **err)
{
    static const char *const refused[] = {
        [VIR_NETWORK_SECTION_BRIDGE] = "bridge",
        [VIR_NETWORK_SECTION_DOMAIN] = "domain",
        [VIR_NETWORK_SECTION_IP] = "ip",
        [VIR_NETWORK_SECTION_FORWARD] = "forward",
        [VIR_NETWORK_SECTION_FORWARD_PF] = "forward pf",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(sections); i++)
        if (sections[i].section == section)
            return &sections[i];
    if (section < G_N_ELEMENTS(refused) && refused[section])
        kiln_error_set(
            err, VIR_ERR_OPERATION_UNSUPPORTED,
            "can't update '%s' section of network; define the network again and restart it",
            refused[section]);
    else
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                       "can't update unrecognized section of network");
    return NULL;
}

static bool
check_command(const UpdateSection *s, unsigned command, GError **err)
{
    if (!is_add(command) && command != VIR_NETWORK_UPDATE_COMMAND_MODIFY &&
        command != VIR_NETWORK_UPDATE_COMMAND_DELETE)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "unrecognized network update command code %u", command);
    if (command == VIR_NETWORK_UPDATE_COMMAND_MODIFY && !s->modifiable)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "%s entries cannot be modified, only added or deleted", s->what);
    return true;
}

/* What an element that only names another may leave out, and what it may not. */
static bool
check_given(const UpdateSection *s, NetworkDef *def, int index, unsigned command, const void *given,
            GError **err)
{
    if (s->section == VIR_NETWORK_SECTION_IP_DHCP_HOST) {
        const NetworkDhcpHost *host = given;
        const NetworkIp *ip = find_ip(def, index, err);
        IpAddr address;

        if (command == VIR_NETWORK_UPDATE_COMMAND_DELETE && !host->mac && !host->name && !host->ip)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "At least one of name, mac, or ip attribute must be specified "
                                  "for static host definition in network '%s'",
                                  def->name);
        return command != VIR_NETWORK_UPDATE_COMMAND_MODIFY || !ip ||
               !ip_parse(ip->address, &address) ||
               network_check_dhcp_host(host, address.family, err);
    }
    if (s->section == VIR_NETWORK_SECTION_DNS_HOST && is_add(command) &&
        !((const NetworkDnsHost *)given)->hostnames->len)
        return kiln_error_set(err, VIR_ERR_XML_DETAIL,
                              "Missing hostname in network '%s' DNS HOST record", def->name);
    return true;
}

/* Changes @list, taking *@given over when it goes in. */
static bool
apply(const NetworkDef *def, const UpdateSection *s, GPtrArray *list, unsigned command,
      void **given, GError **err)
{
    guint found = 0, count = 0;

    for (guint i = 0; i < list->len; i++)
        if (s->matches(g_ptr_array_index(list, i), *given, command)) {
            if (count++ == 0)
                found = i;
        }
    if (is_add(command) && count > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "there is an existing %s entry in "
                              "network '%s' that matches the one to add",
                              s->what, def->name);
    if (!is_add(command) && count == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "couldn't locate a matching %s entry in "
                              "network '%s'",
                              s->what, def->name);
    if (command == VIR_NETWORK_UPDATE_COMMAND_DELETE) {
        if (count > 1 && g_str_has_prefix(s->what, "DNS"))
            return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                                  "multiple matching %s records were "
                                  "found in network '%s'",
                                  s->what, def->name);
        xml_type_free(s->type, g_ptr_array_steal_index(list, found));
        return true;
    }
    if (s->admit && !s->admit(def, *given, err))
        return false;
    if (!is_add(command)) {
        xml_type_free(s->type, g_ptr_array_steal_index(list, found));
        g_ptr_array_insert(list, (gint)found, g_steal_pointer(given));
    } else if (command == VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST) {
        g_ptr_array_insert(list, 0, g_steal_pointer(given));
    } else {
        g_ptr_array_add(list, g_steal_pointer(given));
    }
    return true;
}

/* <forward dev=''> repeats the first interface. */
static void
follow_first_interface(NetworkForward *forward)
{
    const NetworkForwardInterface *first =
        forward->interfaces->len ? g_ptr_array_index(forward->interfaces, 0) : NULL;

    g_free(forward->dev);
    forward->dev = g_strdup(first ? first->dev : NULL);
}

bool
network_def_update(NetworkDef *def, unsigned command, unsigned section, int parent_index,
                   const char *xml, GError **err)
{
    const UpdateSection *s = find_section(section, err);
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root;
    GPtrArray *list;
    void *given;
    bool ok;

    if (!s ||
        /* of these libvirt looks at the command first */
        (command == VIR_NETWORK_UPDATE_COMMAND_MODIFY && g_str_has_prefix(s->what, "DNS") &&
         !check_command(s, command, err)))
        return false;
    doc = xml_read(xml, strlen(xml), "network_update_xml", err);
    root = doc ? xmlDocGetRootElement(doc) : NULL;
    if (!root)
        return false;
    if (strcmp((const char *)root->name, s->element) != 0)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "unexpected element <%s>, expecting <%s>, while "
                              "updating network '%s'",
                              (const char *)root->name, s->element, def->name);
    list = s->list(def, parent_index, err);
    given = list && check_command(s, command, err) ? xml_type_parse(s->type, root, 0, err) : NULL;
    if (!given)
        return false;
    ok = check_given(s, def, parent_index, command, given, err) &&
         apply(def, s, list, command, &given, err);
    xml_type_free(s->type, given);
    if (!ok)
        return false;
    if (section == VIR_NETWORK_SECTION_FORWARD_INTERFACE)
        follow_first_interface(def->forward);
    network_def_complete(def);
    return xml_type_check(&network_def_type, def, err) && network_def_check(def, err);
}
