/* ruleset.h - the nftables rules of one network, as text (nft(8), nftables 1.0).
 *
 * Every network has one table of its own, `inet kiln_BRIDGE`, that is replaced as a whole in one
 * transaction and deleted when the network stops. No other table is ever named. In nftables a
 * packet must be accepted by every table, so a host firewall that drops forwarded packets still
 * does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_RULESET_H
#define KILN_NETWORK_RULESET_H

#include "xml/network.h"

/* The name of the table for a bridge. */
char *ruleset_table(const char *bridge);

/* The batch that puts the rules of @def in place, whatever was there before; NULL for modes that
 * have no rules (open, bridge …). @def has its bridge name. */
char *ruleset_apply(const NetworkDef *def);

/* The batch that removes them, also when they are not there. */
char *ruleset_remove(const char *bridge);

#endif
