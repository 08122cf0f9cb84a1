/* secrets.h - the secrets that --object and -object describe.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_SECRETS_H
#define KILN_BLOCK_SECRETS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

typedef struct BlockSecrets BlockSecrets;

BlockSecrets *block_secrets_new(void);
void block_secrets_free(BlockSecrets *secrets); /* bytes are wiped */

/* Adds the secret whose options are @keys (texts by name): id, data or file, format=raw|base64, and
 * where it is itself encrypted (AES-256-CBC, PKCS#7 padding), keyid (a secret of 32 bytes, added
 * before) and iv (16 bytes in base64). An unknown name is refused.
 * @ops->open_file (NULL: open(2)) opens the file, @ops->need_crypto is asked before anything is
 * decrypted. */
bool block_secrets_add(BlockSecrets *secrets, GHashTable *keys, const BlockOpenOps *ops,
                       GError **err);

/* Whether there is a secret @id. */
bool block_secrets_has(const BlockSecrets *secrets, const char *id);

/* Forgets secret @id; false when there is none. @secrets may be NULL. */
bool block_secrets_remove(BlockSecrets *secrets, const char *id);

/* A copy of the bytes of secret @id, with a zero byte behind them that does not count; for
 * g_free(). NULL with VIR_ERR_NO_SECRET. @secrets may be NULL. */
uint8_t *block_secrets_get(const BlockSecrets *secrets, const char *id, size_t *ret_len,
                           GError **err);

#endif
