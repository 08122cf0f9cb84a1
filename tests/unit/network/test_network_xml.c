/* test_network_xml.c - what network XML is refused for, what is made up, and virNetworkUpdate.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <libvirt/libvirt.h>
#include <string.h>

#include "util/error.h"
#include "xml/network.h"

/* Parses <network> with this inside and expects it to be refused with @code and words of @text. */
static void
refused(int code, const char *text, const char *inside)
{
    g_autofree char *xml = g_strdup_printf("<network><name>n</name>%s</network>", inside);
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkDef) def = network_def_parse(xml, 0, &err);

    if (def)
        fail_msg("not refused: %s", inside);
    if (!g_error_matches(err, KILN_ERROR, code) || !strstr(err->message, text))
        fail_msg("%s: error %d, not %d with '%s': %s", inside, err->code, code, text, err->message);
}

#define IP4 "<ip address='192.168.122.1' netmask='255.255.255.0'>"

static void
test_refused(void **state)
{
    (void)state;
    refused(27, "no IP address", "<forward mode='nat'/>");
    refused(27, "Extra data", "<dns enable='no'><txt name='a' value='b'/></dns>");
    refused(27, "reversed",
            IP4 "<dhcp><range start='192.168.122.9' end='192.168.122.8'/></dhcp></ip>");
    refused(27, "not entirely within",
            IP4 "<dhcp><range start='192.168.122.9' end='192.168.123.8'/></dhcp></ip>");
    refused(27, "broadcast address",
            IP4 "<dhcp><range start='192.168.122.9' end='192.168.122.255'/></dhcp></ip>");
    refused(27, "network address",
            IP4 "<dhcp><range start='192.168.122.0' end='192.168.122.9'/></dhcp></ip>");
    refused(27, "2 minutes",
            IP4 "<dhcp><range start='192.168.122.2' end='192.168.122.9'>"
                "<lease expiry='119' unit='seconds'/></range></dhcp></ip>");
    refused(27, "mac or name", IP4 "<dhcp><host ip='192.168.122.9'/></dhcp></ip>");
    refused(27, "Missing IP", IP4 "<dhcp><host mac='52:54:00:00:00:01'/></dhcp></ip>");
    refused(67, "family", "<ip address='2001:db8::1' prefix='64'/>");
    refused(67, "netmask", "<ip family='ipv6' address='2001:db8::1' netmask='255.0.0.0'/>");
    refused(67, "both a prefix and a netmask",
            "<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>");
    refused(67, "not in one piece", "<ip address='10.0.0.1' netmask='255.0.255.0'/>");
    refused(67, "limit is 32", "<ip address='10.0.0.1' prefix='33'/>");
    refused(27, "multiple of 8", "<ip address='10.0.0.1' prefix='20' localPtr='yes'/>");
    refused(67, "Multiple IPv4 dhcp",
            IP4 "<dhcp><range start='192.168.122.2' end='192.168.122.9'/></dhcp></ip>"
                "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' "
                "end='10.0.0.9'/></dhcp></ip>");
    refused(67, "unreachable static route",
            IP4 "</ip><route address='10.0.0.0' prefix='8' gateway='192.168.123.1'/>");
    refused(27, "beyond its prefix",
            IP4 "</ip><route address='10.0.0.1' prefix='8' gateway='192.168.122.2'/>");
    refused(67, "<vlan>", "<vlan><tag id='5'/></vlan>");
    refused(67, "'sideways' is not one of", "<forward mode='sideways'/>");
    refused(67, "network-wide <bandwidth>",
            "<forward mode='vepa'><interface dev='e'/></forward>"
            "<bandwidth><inbound average='1'/></bandwidth>");
    refused(67, "in portgroup 'a'",
            "<forward mode='private'><interface dev='e'/></forward>"
            "<portgroup name='a'><bandwidth><inbound average='1'/></bandwidth></portgroup>");
    refused(67, "same name", "<portgroup name='a'/><portgroup name='a'/>");
    refused(67, "only one default",
            "<portgroup name='a' default='yes'/><portgroup name='b' default='yes'/>");
    refused(67, "<ip>", "<forward mode='bridge'/><bridge name='br0'/>" IP4 "</ip>");
    refused(27, "bridge name", "<forward mode='vepa'/><bridge name='br0'/>");
    refused(27, "not both", "<forward dev='eth0' mode='bridge'/><bridge name='br0'/>");
    refused(27, "mtu", "<forward mode='bridge'/><bridge name='br0'/><mtu size='9000'/>");
    refused(27, "forward dev not allowed", "<forward dev='eth0' mode='open'/>" IP4 "</ip>");
    refused(27, "must match",
            "<forward dev='eth0' mode='route'><interface dev='eth1'/></forward>" IP4 "</ip>");
    refused(27, "'mode' is 'nat'", "<forward mode='route'><nat/></forward>" IP4 "</ip>");
    refused(35, "without target", "<dns><srv service='a' protocol='tcp' port='5'/></dns>");
    refused(35, "protocol", "<dns><srv service='a'/></dns>");
    refused(35, "Missing hostname", "<dns><host ip='10.0.0.1'/></dns>");
    refused(67, "floor", "<bandwidth><inbound average='5' floor='5'/></bandwidth>");
    refused(27, "15", "<bridge name='a-name-too-long-for-linux'/>");
}

static void
test_bad_names(void **state)
{
    static const char *const bad[] = {
        "<network/>",
        "<network><name></name></network>",
        "<network><name>a/b</name></network>",
        "<network><name>.hidden</name></network>",
        "<domain/>",
        "<network>",
        "",
        "<network><name>n</name><uuid>nonsense</uuid></network>",
        "<network><name>n</name><mac address='01:00:5e:00:00:01'/></network>",
        "<network><name>n</name><ip address='1.2.3.4.5' prefix='8'/></network>",
        "<network><name>n</name><dns><txt name='a' "
        "value='b&#10;addn-hosts=/etc/shadow'/></dns></network>",
        "<network><name>n</name><bridge name='a&#10;b'/></network>",
        "<network><name>n&#10;m</name></network>",
    };
    g_autofree char *long_name = g_strnfill(NETWORK_NAME_MAX + 1, 'x');
    g_autofree char *xml = g_strdup_printf("<network><name>%s</name></network>", long_name);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad) + 1; i++) {
        g_autoptr(GError) err = NULL;

        assert_null(network_def_parse(i < G_N_ELEMENTS(bad) ? bad[i] : xml, 0, &err));
        assert_non_null(err);
    }
}

static void
test_made_up(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkDef) def =
        network_def_parse("<network><name>n</name><forward/>" IP4 "</ip></network>", 0, &err);
    g_autoptr(NetworkDef) other =
        network_def_parse("<network><name>n</name><forward/>" IP4 "</ip></network>", 0, &err);

    (void)state;
    assert_int_equal(strlen(def->uuid), 36);
    assert_true(g_str_has_prefix(def->mac, "52:54:00:"));
    assert_string_not_equal(def->uuid, other->uuid);
    assert_string_not_equal(def->mac, other->mac);
    assert_int_equal(network_def_mode(def), NETWORK_FORWARD_NAT);
}

/* Unknown names are passed over, but not when validation is asked for. */
static void
test_validate(void **state)
{
    static const char xml[] = "<network><name>n</name><nonsense/></network>";
    g_autoptr(GError) err = NULL;
    g_autoptr(NetworkDef) def = network_def_parse(xml, 0, &err);

    (void)state;
    assert_non_null(def);
    assert_null(network_def_parse(xml, NETWORK_DEF_VALIDATE, &err));
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_XML_INVALID_SCHEMA));
}

/* --- updates ---------------------------------------------------------------------------- */

enum {
    FIRST = VIR_NETWORK_UPDATE_COMMAND_ADD_FIRST,
    LAST = VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
    MODIFY = VIR_NETWORK_UPDATE_COMMAND_MODIFY,
    DELETE = VIR_NETWORK_UPDATE_COMMAND_DELETE
};

static NetworkDef *
base(void)
{
    g_autoptr(GError) err = NULL;
    NetworkDef *def = network_def_parse(
        "<network><name>n</name><forward mode='nat'/>"
        "<ip address='10.0.0.1' prefix='24'/>" IP4
        "<dhcp><range start='192.168.122.2' end='192.168.122.99'/>"
        "<host mac='52:54:00:00:00:01' name='one' ip='192.168.122.101'/></dhcp></ip>"
        "<portgroup name='a' default='yes'/></network>",
        0, &err);

    if (!def)
        fail_msg("%s", err->message);
    return def;
}

static void
update(NetworkDef *def, unsigned command, unsigned section, const char *xml)
{
    g_autoptr(GError) err = NULL;

    if (!network_def_update(def, command, section, -1, xml, &err))
        fail_msg("%s: %s", xml, err->message);
}

static void
update_refused(int code, const char *text, unsigned command, unsigned section, const char *xml)
{
    g_autoptr(NetworkDef) def = base();
    g_autoptr(GError) err = NULL;

    if (network_def_update(def, command, section, -1, xml, &err))
        fail_msg("not refused: %s", xml);
    if (!g_error_matches(err, KILN_ERROR, code) || !strstr(err->message, text))
        fail_msg("%s: error %d, not %d with '%s': %s", xml, err->code, code, text, err->message);
}

static const NetworkDhcp *
dhcp_of(const NetworkDef *def, guint index)
{
    return ((const NetworkIp *)g_ptr_array_index(def->ips, index))->dhcp;
}

static void
test_update_hosts(void **state)
{
    g_autoptr(NetworkDef) def = base();
    const NetworkDhcpHost *host;

    (void)state;
    update(def, LAST, VIR_NETWORK_SECTION_IP_DHCP_HOST,
           "<host mac='52:54:00:00:00:02' ip='192.168.122.102'/>");
    update(def, FIRST, VIR_NETWORK_SECTION_IP_DHCP_HOST,
           "<host mac='52:54:00:00:00:00' ip='192.168.122.100'/>");
    /* Goes to the <ip> that has DHCP, though it is the second one. */
    assert_null(dhcp_of(def, 0));
    assert_int_equal(dhcp_of(def, 1)->hosts->len, 3);
    host = g_ptr_array_index(dhcp_of(def, 1)->hosts, 0);
    assert_string_equal(host->ip, "192.168.122.100");
    update(def, MODIFY, VIR_NETWORK_SECTION_IP_DHCP_HOST,
           "<host mac='52:54:00:00:00:01' name='uno' ip='192.168.122.111'/>");
    host = g_ptr_array_index(dhcp_of(def, 1)->hosts, 1);
    assert_string_equal(host->name, "uno");
    update(def, DELETE, VIR_NETWORK_SECTION_IP_DHCP_HOST, "<host ip='192.168.122.111'/>");
    update(def, DELETE, VIR_NETWORK_SECTION_IP_DHCP_HOST, "<host mac='52:54:00:00:00:02'/>");
    assert_int_equal(dhcp_of(def, 1)->hosts->len, 1);
    update(def, DELETE, VIR_NETWORK_SECTION_IP_DHCP_HOST, "<host ip='192.168.122.100'/>");
    update(def, DELETE, VIR_NETWORK_SECTION_IP_DHCP_RANGE,
           "<range start='192.168.122.2' end='192.168.122.99'/>");
    /* An empty <dhcp> is none. */
    assert_null(dhcp_of(def, 1));
}

static void
test_update_others(void **state)
{
    g_autoptr(NetworkDef) def = base();

    (void)state;
    update(def, LAST, VIR_NETWORK_SECTION_IP_DHCP_RANGE,
           "<range start='192.168.122.200' end='192.168.122.210'/>");
    update(def, LAST, VIR_NETWORK_SECTION_DNS_TXT, "<txt name='t' value='v'/>");
    update(def, LAST, VIR_NETWORK_SECTION_DNS_SRV, "<srv service='s' protocol='udp'/>");
    update(def, LAST, VIR_NETWORK_SECTION_DNS_HOST,
           "<host ip='10.0.0.9'><hostname>h</hostname></host>");
    assert_int_equal(def->dns->txts->len, 1);
    update(def, DELETE, VIR_NETWORK_SECTION_DNS_TXT, "<txt name='t'/>");
    update(def, DELETE, VIR_NETWORK_SECTION_DNS_SRV, "<srv service='s' protocol='udp'/>");
    update(def, DELETE, VIR_NETWORK_SECTION_DNS_HOST, "<host><hostname>h</hostname></host>");
    assert_null(def->dns);
    update(def, LAST, VIR_NETWORK_SECTION_FORWARD_INTERFACE, "<interface dev='eth7'/>");
    assert_string_equal(def->forward->dev, "eth7");
    update(def, DELETE, VIR_NETWORK_SECTION_FORWARD_INTERFACE, "<interface dev='eth7'/>");
    assert_null(def->forward->dev);
    update(def, MODIFY, VIR_NETWORK_SECTION_PORTGROUP, "<portgroup name='a'/>");
    update(def, LAST, VIR_NETWORK_SECTION_PORTGROUP, "<portgroup name='b' default='yes'/>");
    update(def, DELETE, VIR_NETWORK_SECTION_PORTGROUP, "<portgroup name='a'/>");
    assert_int_equal(def->portgroups->len, 1);
}

static void
test_update_refused(void **state)
{
    (void)state;
    update_refused(55, "existing", LAST, VIR_NETWORK_SECTION_IP_DHCP_HOST,
                   "<host mac='52:54:00:00:00:01' ip='192.168.122.105'/>");
    update_refused(55, "existing", LAST, VIR_NETWORK_SECTION_IP_DHCP_RANGE,
                   "<range start='192.168.122.2' end='192.168.122.99'/>");
    update_refused(55, "couldn't locate", DELETE, VIR_NETWORK_SECTION_IP_DHCP_HOST,
                   "<host ip='192.168.122.105'/>");
    update_refused(27, "not entirely within", LAST, VIR_NETWORK_SECTION_IP_DHCP_RANGE,
                   "<range start='192.168.1.2' end='192.168.1.99'/>");
    update_refused(84, "cannot be modified", MODIFY, VIR_NETWORK_SECTION_DNS_TXT,
                   "<txt name='x'/>");
    update_refused(84, "bridge", LAST, VIR_NETWORK_SECTION_BRIDGE, "<bridge name='x'/>");
    update_refused(84, "unrecognized section", LAST, 99, "<x/>");
    update_refused(84, "command", 77, VIR_NETWORK_SECTION_DNS_TXT, "<txt name='x'/>");
    update_refused(27, "expecting <host>", LAST, VIR_NETWORK_SECTION_DNS_HOST, "<range/>");
    update_refused(55, "default", LAST, VIR_NETWORK_SECTION_PORTGROUP,
                   "<portgroup name='b' default='yes'/>");
    update_refused(35, "value", LAST, VIR_NETWORK_SECTION_DNS_TXT, "<txt name='x'/>");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_bad_names),
        cmocka_unit_test(test_made_up),        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_update_hosts),   cmocka_unit_test(test_update_others),
        cmocka_unit_test(test_update_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
