/* network_ip.h - IPv4 and IPv6 addresses as numbers: parse, print, mask, compare.
 *
 * Text forms are those of inet_pton(3): no zone, no port, no shortened IPv4.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_NETWORK_IP_H
#define KILN_XML_NETWORK_IP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int family;        /* AF_INET, AF_INET6, or 0 for none */
    uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest is 0 */
} IpAddr;

bool ip_parse(const char *text, IpAddr *ret);
char *ip_format(const IpAddr *ip);

/* 32 or 128. */
unsigned ip_bits(const IpAddr *ip);

/* Clears all bits after the first @prefix. */
IpAddr ip_mask(const IpAddr *ip, unsigned prefix);
/* Sets them: the broadcast address of an IPv4 network. */
IpAddr ip_last(const IpAddr *ip, unsigned prefix);
bool ip_in_subnet(const IpAddr *ip, const IpAddr *net, unsigned prefix);

/* Like memcmp; families order before addresses. */
int ip_compare(const IpAddr *a, const IpAddr *b);

/* The prefix a contiguous netmask stands for; false for one with holes. */
bool ip_netmask_to_prefix(const IpAddr *mask, unsigned *ret_prefix);
IpAddr ip_prefix_to_netmask(int family, unsigned prefix);

/* Number of addresses from @start to @end, both included; 0 when the families differ, the range is
 * reversed or holds more than 2^32. */
uint64_t ip_range_size(const IpAddr *start, const IpAddr *end);

/* Name of the reverse zone of @ip/@prefix ("122.168.192.in-addr.arpa"), or NULL when the prefix
 * does not end at a label (8 bits in IPv4, 4 in IPv6) or is 0. */
char *ip_reverse_zone(const IpAddr *ip, unsigned prefix);

/* A multicast, unspecified or loopback address, which no network can have as its own. */
bool ip_is_special(const IpAddr *ip);

#endif
