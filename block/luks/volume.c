/* volume.c - a LUKS volume: opened, unlocked by a passphrase, and told about.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3, section 4.3 (master key recovery).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gnutls/crypto.h>
#include <string.h>

#include "block/luks/slots.h"
#include "util/error.h"

static const char *
volume_name(const BlockNode *file)
{
    const char *name = block_node_filename(file);

    return name ? name : "";
}

/* ---- secrets ---- */

bool
luks_crypto_need(const BlockOpenOps *ops, GError **err)
{
    return !ops->need_crypto || ops->need_crypto(ops->opaque, err);
}

uint8_t *
luks_secret_get(const BlockOpenOps *ops, const char *id, const char *name, const char *option,
                size_t *ret_len, GError **err)
{
    if (!id)
        kiln_error_set(err, VIR_ERR_NO_SECRET,
                       "Parameter '%s' is required for cipher: image '%s' is encrypted; give the "
                       "id of a secret object",
                       option, name);
    else if (!ops->secret)
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "image '%s' is encrypted, and there are no secrets here", name);
    else if (luks_crypto_need(ops, err))
        return ops->secret(ops->opaque, id, ret_len, err);
    return NULL;
}

void
luks_secret_free(uint8_t *secret, size_t length)
{
    if (secret)
        explicit_bzero(secret, length);
    g_free(secret);
}

/* ---- the header ---- */

bool
luks_open(Luks *luks, BlockNode *file, uint64_t base, uint64_t room, const BlockOpenOps *ops,
          GError **err)
{
    uint8_t bytes[LUKS_HEADER_BYTES];
    int r;

    luks->file = file;
    luks->base = base;
    g_mutex_init(&luks->lock);
    luks->made = true;
    if (!luks_crypto_need(ops, err))
        return false;
    r = block_node_pread(file, base, bytes, sizeof(bytes));
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file,
                               "cannot read the LUKS header of '%s'", volume_name(file));
    return luks_header_parse(bytes, room, volume_name(file), &luks->header, err) &&
           luks_spec_parse(luks->header.cipher, luks->header.mode, luks->header.key_bytes,
                           &luks->spec, err) &&
           (luks->hash = luks_hash_parse(luks->header.hash, err)) != 0;
}

void
luks_close(Luks *luks)
{
    if (!luks->made)
        return;
    luks_cipher_free(luks->cipher);
    luks->cipher = NULL;
    explicit_bzero(luks->key, sizeof(luks->key));
    g_mutex_clear(&luks->lock);
    luks->made = false;
}

/* ---- slots ---- */

LuksCipher *
luks_slot_cipher(const Luks *luks, const LuksSlot *slot, const uint8_t *pass, size_t length,
                 GError **err)
{
    uint8_t key[LUKS_KEY_MAX];
    LuksCipher *cipher = NULL;

    if (luks_pbkdf2(luks->hash, pass, length, slot->salt, slot->iterations, key,
                    luks->header.key_bytes, err))
        cipher = luks_cipher_new(&luks->spec, key, err);
    explicit_bzero(key, sizeof(key));
    return cipher;
}

bool
luks_key_digest(const Luks *luks, const uint8_t *key, uint8_t ret[LUKS_DIGEST], GError **err)
{
    return luks_pbkdf2(luks->hash, key, luks->header.key_bytes, luks->header.digest_salt,
                       luks->header.digest_iterations, ret, LUKS_DIGEST, err);
}

bool
luks_slot_try(const Luks *luks, unsigned slot, const uint8_t *pass, size_t length, uint8_t *ret_key,
              bool *ret_fits, GError **err)
{
    const LuksSlot *s = &luks->header.slots[slot];
    size_t bytes = luks_header_material(&luks->header);
    g_autofree uint8_t *split = g_malloc(bytes);
    uint8_t digest[LUKS_DIGEST];
    LuksCipher *cipher = luks_slot_cipher(luks, s, pass, length, err);
    bool fine;
    int r;

    if (!cipher)
        return false;
    r = block_node_pread(luks->file, luks->base + (uint64_t)s->offset * LUKS_SECTOR, split, bytes);
    if (r == 0)
        r = luks_cipher_decrypt(cipher, 0, split, bytes);
    luks_cipher_free(cipher);
    if (r < 0)
        return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, luks->file,
                               "cannot read key slot %u of LUKS volume '%s'", slot,
                               volume_name(luks->file));
    fine = luks_merge(luks->hash, split, luks->header.key_bytes, LUKS_STRIPES, ret_key, err) &&
           luks_key_digest(luks, ret_key, digest, err);
    explicit_bzero(split, bytes);
    if (fine)
        *ret_fits = gnutls_memcmp(digest, luks->header.digest, LUKS_DIGEST) == 0;
    return fine;
}

bool
luks_unlock(Luks *luks, const uint8_t *pass, size_t length, GError **err)
{
    bool fits = false;

    for (unsigned i = 0; i < LUKS_SLOTS && !fits; i++)
        if (luks->header.slots[i].active &&
            !luks_slot_try(luks, i, pass, length, luks->key, &fits, err))
            return false;
    if (!fits) {
        explicit_bzero(luks->key, sizeof(luks->key));
        return kiln_error_set(err, VIR_ERR_AUTH_FAILED,
                              "Invalid password, cannot unlock any keyslot of '%s'",
                              volume_name(luks->file));
    }
    luks->cipher = luks_cipher_new(&luks->spec, luks->key, err);
    return luks->cipher != NULL;
}

/* ---- what info tells ---- */

static JsonArray *
slots_describe(const LuksHeader *header)
{
    JsonArray *slots = json_array_new();

    for (unsigned i = 0; i < LUKS_SLOTS; i++) {
        const LuksSlot *s = &header->slots[i];
        JsonObject *slot = json_object_new();

        json_object_set_boolean_member(slot, "active", s->active);
        if (s->active) {
            json_object_set_int_member(slot, "iters", s->iterations);
            json_object_set_int_member(slot, "stripes", s->stripes);
        }
        json_object_set_int_member(slot, "key-offset", (gint64)s->offset * LUKS_SECTOR);
        json_array_add_object_element(slots, slot);
    }
    return slots;
}

JsonObject *
luks_describe(Luks *luks)
{
    JsonObject *info = json_object_new();

    g_mutex_lock(&luks->lock);
    luks_spec_describe(&luks->spec, info);
    json_object_set_string_member(info, "hash-alg", luks->header.hash);
    json_object_set_string_member(info, "uuid", luks->header.uuid);
    json_object_set_int_member(info, "payload-offset", (gint64)luks->header.payload * LUKS_SECTOR);
    json_object_set_int_member(info, "master-key-iters", luks->header.digest_iterations);
    json_object_set_array_member(info, "slots", slots_describe(&luks->header));
    g_mutex_unlock(&luks->lock);
    return info;
}
