/* slots.h - inside of LUKS volumes: key slots, for those who open and those who change them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_LUKS_SLOTS_H
#define KILN_BLOCK_LUKS_SLOTS_H

#include "block/luks/luks.h"

/* The cipher of a slot's key material under passphrase @pass. */
LuksCipher *luks_slot_cipher(const Luks *luks, const LuksSlot *slot, const uint8_t *pass,
                             size_t length, GError **err);
/* The key's digest with the header's salt and iterations. */
bool luks_key_digest(const Luks *luks, const uint8_t *key, uint8_t ret[LUKS_DIGEST], GError **err);
/* Whether @pass opens slot @slot; *ret_key has the key then, and nonsense otherwise. */
bool luks_slot_try(const Luks *luks, unsigned slot, const uint8_t *pass, size_t length,
                   uint8_t *ret_key, bool *ret_fits, GError **err);

#endif
