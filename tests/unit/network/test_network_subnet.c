/* test_network_subnet.c - addresses as numbers, clashes with a made-up host, the choice of a free
 * network.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "network/subnet.h"
#include "util/error.h"

static IpAddr
ip_of(const char *text)
{
    IpAddr ip;

    assert_true(ip_parse(text, &ip));
    return ip;
}

static HostView *
host_new(void)
{
    HostView *view = g_new0(HostView, 1);

    view->addresses = g_ptr_array_new_with_free_func(g_free);
    view->routes = g_ptr_array_new_with_free_func(g_free);
    return view;
}

static void
add_address(HostView *view, const char *ifname, const char *ip, unsigned prefix)
{
    NetlinkAddress *a = g_new0(NetlinkAddress, 1);

    g_strlcpy(a->ifname, ifname, sizeof(a->ifname));
    a->ip = ip_of(ip);
    a->prefix = prefix;
    g_ptr_array_add(view->addresses, a);
}

static void
add_route(HostView *view, const char *ifname, const char *net, unsigned prefix, bool from_ra)
{
    NetlinkRoute *r = g_new0(NetlinkRoute, 1);

    g_strlcpy(r->ifname, ifname, sizeof(r->ifname));
    r->net = ip_of(net);
    r->prefix = prefix;
    r->from_ra = from_ra;
    g_ptr_array_add(view->routes, r);
}

static NetworkDef *
net_of(const char *address, unsigned prefix)
{
    g_autofree char *xml =
        g_strdup_printf("<network><name>n</name><ip %saddress='%s' prefix='%u'/></network>",
                        strchr(address, ':') ? "family='ipv6' " : "", address, prefix);
    g_autoptr(GError) err = NULL;
    NetworkDef *def = network_def_parse(xml, 0, &err);

    if (!def)
        fail_msg("%s", err->message);
    return def;
}

static void
check(const HostView *view, const char *address, unsigned prefix, const char *clash)
{
    g_autoptr(NetworkDef) def = net_of(address, prefix);
    g_autoptr(GError) err = NULL;
    bool ok = subnet_check(view, def, "virbr9", &err);

    if (!clash) {
        if (!ok)
            fail_msg("%s/%u: %s", address, prefix, err->message);
        return;
    }
    assert_false(ok);
    assert_true(g_error_matches(err, KILN_ERROR, VIR_ERR_INTERNAL_ERROR));
    if (!strstr(err->message, clash))
        fail_msg("no '%s' in: %s", clash, err->message);
}

static void
test_clash(void **state)
{
    g_autoptr(HostView) view = host_new();

    (void)state;
    add_address(view, "eth0", "192.168.122.50", 24);
    add_address(view, "vpn0", "10.8.0.6", 8);
    add_address(view, "virbr9", "192.168.77.1", 24);
    add_address(view, "eth0", "fe80::1", 64);
    add_address(view, "eth0", "2001:db8:1::5", 64);
    add_route(view, "eth0", "0.0.0.0", 0, false);
    add_route(view, "vpn0", "10.0.0.0", 8, false);
    add_route(view, "eth1", "172.16.5.0", 24, false);
    check(view, "192.168.122.1", 24, "eth0: it has the address 192.168.122.50/24");
    check(view, "192.168.0.1", 16, "192.168.122.50/24, which is in 192.168.0.0/16");
    check(view, "192.168.123.1", 24, NULL);
    check(view, "192.168.77.1", 24, NULL);
    /* Part of a wider route: the narrower one wins in the kernel. */
    check(view, "10.1.2.1", 24, NULL);
    check(view, "10.8.0.1", 24, "vpn0");
    check(view, "172.16.0.1", 16, "eth1: the host has a route to 172.16.5.0/24");
    check(view, "172.16.5.1", 24, "eth1");
    check(view, "2001:db8:1::1", 64, "2001:db8:1::5");
    check(view, "2001:db8:2::1", 64, NULL);
}

static void
test_choose(void **state)
{
    g_autoptr(HostView) view = host_new();
    g_autoptr(GPtrArray) taken = g_ptr_array_new();
    g_autoptr(GError) err = NULL;
    unsigned n = 0;

    (void)state;
    add_route(view, "eth0", "0.0.0.0", 0, false);
    assert_true(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 122);
    add_address(view, "eth0", "192.168.122.50", 24);
    assert_true(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 123);
    add_route(view, "eth1", "192.168.123.128", 25, false);
    g_ptr_array_add(taken, (void *)"192.168.124.1");
    g_ptr_array_add(taken, (void *)"nonsense");
    assert_true(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 125);
    add_route(view, "eth1", "192.168.120.0", 21, false);
    assert_true(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 128);
    add_route(view, "eth1", "192.168.128.0", 17, false);
    assert_true(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 0);
    add_route(view, "eth1", "192.168.0.0", 16, false);
    n = 7;
    assert_false(subnet_choose(view, taken, &n, &err));
    assert_int_equal(n, 7);
}

static int
accept_ra_one(const char *ifname)
{
    return strcmp(ifname, "good0") == 0 ? 2 : 1;
}

static void
test_router_advertisements(void **state)
{
    g_autoptr(HostView) view = host_new();
    g_autoptr(GError) err = NULL;

    (void)state;
    add_route(view, "good0", "2001:db8::", 64, true);
    add_route(view, "eth0", "2001:db8:1::", 64, false);
    assert_true(subnet_check_ra(view, accept_ra_one, &err));
    add_route(view, "eth0", "::", 0, true);
    assert_false(subnet_check_ra(view, accept_ra_one, &err));
    assert_non_null(strstr(err->message, "net.ipv6.conf.eth0.accept_ra=2"));
}

static void
test_numbers(void **state)
{
    IpAddr a = ip_of("192.168.130.77"), b = ip_of("2001:db8:ca2:2::1"), mask, start, end;
    g_autofree char *zone4 = ip_reverse_zone(&a, 24);
    g_autofree char *zone6 = ip_reverse_zone(&b, 64);
    g_autofree char *net = NULL;
    unsigned prefix = 99;

    (void)state;
    mask = ip_mask(&a, 20);
    net = ip_format(&mask);
    assert_string_equal(net, "192.168.128.0");
    assert_string_equal(zone4, "130.168.192.in-addr.arpa");
    assert_string_equal(zone6, "2.0.0.0.2.a.c.0.8.b.d.0.1.0.0.2.ip6.arpa");
    assert_null(ip_reverse_zone(&a, 20));
    mask = ip_of("255.255.240.0");
    assert_true(ip_netmask_to_prefix(&mask, &prefix));
    assert_int_equal(prefix, 20);
    mask = ip_of("255.0.255.0");
    assert_false(ip_netmask_to_prefix(&mask, &prefix));
    start = ip_of("10.0.0.0");
    end = ip_of("10.0.1.0");
    assert_int_equal(ip_range_size(&start, &end), 257);
    assert_int_equal(ip_range_size(&end, &start), 0);
    start = ip_of("0.0.0.0");
    end = ip_of("255.255.255.255");
    assert_true(ip_range_size(&start, &end) == UINT64_C(1) << 32);
    start = ip_of("2001:db8::ffff:ffff:ffff:ffff");
    end = ip_of("2001:db8:0:1::");
    assert_int_equal(ip_range_size(&start, &end), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clash),
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_router_advertisements),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
