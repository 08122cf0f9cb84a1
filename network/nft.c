/* nft.c - runs a batch of nftables commands in one transaction.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/nft.h"

#include "util/error.h"

#include <nftables/libnftables.h>
#include <string.h>

bool
nft_run(const char *batch, GError **err)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    bool ok;

    if (!ctx)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot set up libnftables");
    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    ok = nft_run_cmd_from_buffer(ctx, batch) == 0;
    if (!ok) {
        const char *said = nft_ctx_get_error_buffer(ctx);
        g_autofree char *line = g_strndup(said ? said : "", said ? strcspn(said, "\n") : 0);

        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "nftables refused the network's rules: %s",
                       line[0] ? line : "no reason given (is the 'nf_tables' module there?)");
    }
    nft_ctx_free(ctx);
    return ok;
}
