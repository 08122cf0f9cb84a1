/* nft.h - runs a batch of nftables commands in one transaction (libnftables(3)).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NETWORK_NFT_H
#define KILN_NETWORK_NFT_H

#include <glib.h>
#include <stdbool.h>

/* All of @batch or nothing. One caller at a time: libnftables keeps state of its own. The kernel's
 * or parser's words are in @err (VIR_ERR_INTERNAL_ERROR, as libvirt reports a firewall that cannot
 * be set up). */
bool nft_run(const char *batch, GError **err);

#endif
