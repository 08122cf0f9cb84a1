/* crypt.h - encrypted qcow2 images: guest data on their way to and from the file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_QCOW2_CRYPT_H
#define KILN_BLOCK_QCOW2_CRYPT_H

#include "block/luks/luks.h"
#include "block/qcow2/qcow2.h"

/* Of an open image, its header known: options encrypt.format and encrypt.key-secret. Nothing to do
 * for plain images. */
bool qcow2_crypt_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err);
void qcow2_crypt_close(Qcow2 *q);

/* Guest data of plain and encrypted images, at @host of q->data; @guest is where the guest sees
 * them. Waits; without the lock. */
int qcow2_data_read(Qcow2 *q, uint64_t guest, uint64_t host, void *buf, size_t length);
int qcow2_data_write(Qcow2 *q, uint64_t guest, uint64_t host, const void *buf, size_t length,
                     BlockFlags flags);

/* The options "encrypt.…" of amend. */
bool qcow2_crypt_amend(BlockNode *node, GHashTable *options, GError **err);
/* The object "encrypt" of info; NULL for plain images. The caller owns it. */
JsonObject *qcow2_crypt_describe(BlockNode *node);

#endif
