/* network_ip.c - IPv4 and IPv6 addresses as numbers.
 *
 * Reverse zones: RFC 1035 section 3.5, RFC 3596 section 2.5.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/network_ip.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

bool
ip_parse(const char *text, IpAddr *ret)
{
    IpAddr ip = { 0 };

    if (inet_pton(AF_INET, text, ip.bytes) == 1)
        ip.family = AF_INET;
    else if (inet_pton(AF_INET6, text, ip.bytes) == 1)
        ip.family = AF_INET6;
    else
        return false;
    *ret = ip;
    return true;
}

char *
ip_format(const IpAddr *ip)
{
    char text[INET6_ADDRSTRLEN];

    if (!inet_ntop(ip->family, ip->bytes, text, sizeof(text)))
        return g_strdup("");
    return g_strdup(text);
}

unsigned
ip_bits(const IpAddr *ip)
{
    return ip->family == AF_INET6 ? 128 : 32;
}

/* Sets or clears all bits from number @from on. */
static IpAddr
fill_from(const IpAddr *ip, unsigned from, bool set)
{
    IpAddr out = *ip;

    for (unsigned bit = from; bit < ip_bits(ip); bit++) {
        uint8_t mask = 0x80 >> (bit % 8);

        if (set)
            out.bytes[bit / 8] |= mask;
        else
            out.bytes[bit / 8] &= ~mask;
    }
    return out;
}

IpAddr
ip_mask(const IpAddr *ip, unsigned prefix)
{
    return fill_from(ip, prefix, false);
}

IpAddr
ip_last(const IpAddr *ip, unsigned prefix)
{
    return fill_from(ip, prefix, true);
}

bool
ip_in_subnet(const IpAddr *ip, const IpAddr *net, unsigned prefix)
{
    IpAddr a, b;

    if (ip->family != net->family)
        return false;
    a = ip_mask(ip, prefix);
    b = ip_mask(net, prefix);
    return ip_compare(&a, &b) == 0;
}

int
ip_compare(const IpAddr *a, const IpAddr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool
ip_netmask_to_prefix(const IpAddr *mask, unsigned *ret_prefix)
{
    unsigned prefix = 0;
    IpAddr again;

    while (prefix < ip_bits(mask) && (mask->bytes[prefix / 8] & (0x80 >> (prefix % 8))))
        prefix++;
    again = ip_prefix_to_netmask(mask->family, prefix);
    if (ip_compare(mask, &again) != 0)
        return false;
    *ret_prefix = prefix;
    return true;
}

IpAddr
ip_prefix_to_netmask(int family, unsigned prefix)
{
    IpAddr ones = { .family = family };

    memset(ones.bytes, 0xff, family == AF_INET6 ? 16 : 4);
    return ip_mask(&ones, prefix);
}

uint64_t
ip_range_size(const IpAddr *start, const IpAddr *end)
{
    size_t len = ip_bits(start) / 8;
    uint64_t a = 0, b = 0;

    if (start->family != end->family || ip_compare(start, end) > 0)
        return 0;
    if (len > 8 && memcmp(start->bytes, end->bytes, len - 8) != 0)
        return 0;
    for (size_t i = len - MIN(len, 8); i < len; i++) {
        a = a << 8 | start->bytes[i];
        b = b << 8 | end->bytes[i];
    }
    return b - a >= UINT64_C(1) << 32 ? 0 : b - a + 1;
}

char *
ip_reverse_zone(const IpAddr *ip, unsigned prefix)
{
    g_autoptr(GString) zone = NULL;
    unsigned step = ip->family == AF_INET6 ? 4 : 8;

    if (prefix == 0 || prefix > ip_bits(ip) || prefix % step != 0)
        return NULL;
    zone = g_string_new(NULL);
    for (unsigned bit = prefix; bit > 0; bit -= step) {
        uint8_t byte = ip->bytes[(bit - 1) / 8];

        if (step == 8)
            g_string_append_printf(zone, "%u.", byte);
        else
            g_string_append_printf(zone, "%x.", (unsigned)(bit % 8 == 0 ? byte & 15 : byte >> 4));
    }
    g_string_append(zone, step == 8 ? "in-addr.arpa" : "ip6.arpa");
    return g_string_free(g_steal_pointer(&zone), FALSE);
}

bool
ip_is_special(const IpAddr *ip)
{
    static const uint8_t zero[16], loop6[16] = { [15] = 1 };

    if (ip->family == AF_INET)
        return ip->bytes[0] == 0 || ip->bytes[0] == 127 || ip->bytes[0] >= 224;
    return ip->bytes[0] == 0xff || memcmp(ip->bytes, zero, 16) == 0 ||
           memcmp(ip->bytes, loop6, 16) == 0;
}
