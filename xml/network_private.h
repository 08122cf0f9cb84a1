/* network_private.h - what the files of <network> share: tables, and the rules that span fields.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_NETWORK_PRIVATE_H
#define KILN_XML_NETWORK_PRIVATE_H

#include "xml/network.h"
#include "xml/xmltab.h"

/* Tables of the root and of what virNetworkUpdate takes on its own. */
extern const XmlType network_def_type, network_range_xml, network_dhcp_host_xml,
    network_dns_host_xml, network_txt_xml, network_srv_xml, network_forward_interface_xml,
    network_portgroup_xml;
/* Those that are made outside of parsing. */
extern const XmlType network_dns_xml, network_dhcp_xml, network_bridge_xml, network_nat_xml,
    network_nat_port_xml;

void network_forward_free(NetworkForward *forward);

/* Makes up what a definition may leave out and clients read back. */
void network_def_complete(NetworkDef *def);
/* Rules of the whole network. The elements' own ones are checked by their tables. */
bool network_def_check(const NetworkDef *def, GError **err);
/* Whether @host may stand in an <ip> of @family. */
bool network_check_dhcp_host(const NetworkDhcpHost *host, int family, GError **err);

/* Check functions of the tables. */
bool network_check_nat_address(const void *obj, GError **err);
bool network_check_nat_port(const void *obj, GError **err);
bool network_check_forward(const void *obj, GError **err);
bool network_check_forwarder(const void *obj, GError **err);
bool network_check_txt(const void *obj, GError **err);
bool network_check_srv(const void *obj, GError **err);
bool network_check_dns_host(const void *obj, GError **err);
bool network_check_dns(const void *obj, GError **err);
bool network_check_vlan(const void *obj, GError **err);
bool network_check_rate(const void *obj, GError **err);
bool network_check_lease(const void *obj, GError **err);
bool network_check_range(const void *obj, GError **err);
bool network_check_ip(const void *obj, GError **err);
bool network_check_route(const void *obj, GError **err);

#endif
