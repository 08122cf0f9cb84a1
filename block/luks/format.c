/* format.c - LUKS volumes made, and their key slots added and erased.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3, sections 4.1 (initialization), 4.2 (adding new
 * passwords) and 4.4 (password revocation); names of options and what goes together as qemu-img(1)
 * has them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/luks/slots.h"
#include "util/error.h"

enum {
    ITER_TIME_DEFAULT = 2000, /* ms */
    ITER_TIME_MAX = 600000,
    DIGEST_PART = 8, /* the key's digest is made with a part of the time: it guards random bytes */
};

static const char *
volume_name(const BlockNode *file)
{
    const char *name = block_node_filename(file);

    return name ? name : "";
}

static bool
write_failed(BlockNode *file, const char *what, int r, GError **err)
{
    return block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, file, "writing %s of LUKS volume '%s'",
                           what, volume_name(file));
}

/* ---- options ---- */

void
luks_options_find(GHashTable *table, const char *prefix, LuksOptions *ret)
{
    static const struct {
        const char *name;
        size_t at;
    } rows[] = {
        { "cipher-alg", offsetof(LuksOptions, cipher) },
        { "cipher-mode", offsetof(LuksOptions, mode) },
        { "ivgen-alg", offsetof(LuksOptions, iv) },
        { "ivgen-hash-alg", offsetof(LuksOptions, iv_hash) },
        { "hash-alg", offsetof(LuksOptions, hash) },
        { "key-secret", offsetof(LuksOptions, key_secret) },
        { "iter-time", offsetof(LuksOptions, iter_time) },
        { "state", offsetof(LuksOptions, state) },
        { "new-secret", offsetof(LuksOptions, new_secret) },
        { "old-secret", offsetof(LuksOptions, old_secret) },
        { "keyslot", offsetof(LuksOptions, keyslot) },
    };

    *ret = (LuksOptions){ .prefix = prefix, .force = g_hash_table_contains(table, "force") };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *name = g_strconcat(prefix, rows[i].name, NULL);

        *(const char **)((char *)ret + rows[i].at) = g_hash_table_lookup(table, name);
    }
}

static bool
options_number(const LuksOptions *o, const char *name, const char *text, uint64_t min, uint64_t max,
               uint64_t *ret, GError **err)
{
    return !text || g_ascii_string_to_unsigned(text, 10, min, max, ret, NULL) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "option '%s%s' is a number from %" G_GUINT64_FORMAT
                          " to %" G_GUINT64_FORMAT ", not '%s'",
                          o->prefix, name, min, max, text);
}

static bool
options_spec(const LuksOptions *o, LuksSpec *ret, int *ret_hash, GError **err)
{
    return (*ret_hash = luks_hash_parse(o->hash ? o->hash : "sha256", err)) != 0 &&
           luks_spec_from_options(o->cipher, o->mode, o->iv, o->iv_hash, ret, err);
}

bool
luks_options_payload(const LuksOptions *options, uint64_t *ret, GError **err)
{
    LuksHeader header = { 0 };
    LuksSpec spec;
    int hash;

    if (!options_spec(options, &spec, &hash, err))
        return false;
    luks_header_layout(&header, (uint32_t)luks_spec_key_bytes(&spec));
    *ret = (uint64_t)header.payload * LUKS_SECTOR;
    return true;
}

/* ---- writing ---- */

static bool
header_write(Luks *luks, GError **err)
{
    uint8_t bytes[LUKS_HEADER_BYTES];
    int r;

    luks_header_format(&luks->header, bytes);
    r = block_node_pwrite(luks->file, luks->base, bytes, sizeof(bytes), 0);
    if (r == 0)
        r = block_node_flush(luks->file);
    return r == 0 || write_failed(luks->file, "the header", r, err);
}

/* Key material first: a slot is active only once its key is there. */
static bool
slot_fill(Luks *luks, unsigned slot, uint64_t ms, const uint8_t *pass, size_t length, GError **err)
{
    LuksSlot s = luks->header.slots[slot];
    size_t bytes = luks_header_material(&luks->header);
    g_autofree uint8_t *split = g_malloc(bytes);
    LuksCipher *cipher;
    int r;

    if (!luks_random(s.salt, LUKS_SALT, err) ||
        !luks_pbkdf2_count(luks->hash, luks->header.key_bytes, ms, &s.iterations, err) ||
        !(cipher = luks_slot_cipher(luks, &s, pass, length, err)))
        return false;
    if (!luks_split(luks->hash, luks->key, luks->header.key_bytes, LUKS_STRIPES, split, err)) {
        luks_cipher_free(cipher);
        return false;
    }
    r = luks_cipher_encrypt(cipher, 0, split, bytes);
    luks_cipher_free(cipher);
    if (r == 0)
        r = block_node_pwrite(luks->file, luks->base + (uint64_t)s.offset * LUKS_SECTOR, split,
                              bytes, 0);
    if (r == 0)
        r = block_node_flush(luks->file);
    if (r < 0)
        return write_failed(luks->file, "a key slot", r, err);
    s.active = true;
    luks->header.slots[slot] = s;
    return true;
}

/* The header says so first, so that nothing is tried that is half gone; then nothing is left of the
 * key but what a storage that moves its blocks may keep. */
static bool
slot_erase(Luks *luks, unsigned slot, GError **err)
{
    LuksSlot *s = &luks->header.slots[slot];
    size_t bytes = luks_header_material(&luks->header);
    g_autofree uint8_t *noise = g_malloc(bytes);
    int r;

    s->active = false;
    s->iterations = 0;
    memset(s->salt, 0, LUKS_SALT);
    if (!header_write(luks, err) || !luks_random(noise, bytes, err))
        return false;
    r = block_node_pwrite(luks->file, luks->base + (uint64_t)s->offset * LUKS_SECTOR, noise, bytes,
                          0);
    if (r == 0)
        r = block_node_flush(luks->file);
    return r == 0 || write_failed(luks->file, "an erased key slot", r, err);
}

/* ---- a new volume ---- */

static bool
volume_make(Luks *luks, const LuksOptions *o, uint64_t *ret_ms, GError **err)
{
    LuksHeader *h = &luks->header;
    g_autofree char *mode = NULL, *uuid = g_uuid_string_random();
    uint64_t ms = ITER_TIME_DEFAULT;

    if (!options_spec(o, &luks->spec, &luks->hash, err) ||
        !options_number(o, "iter-time", o->iter_time, 1, ITER_TIME_MAX, &ms, err))
        return false;
    mode = luks_spec_mode_text(&luks->spec);
    g_strlcpy(h->cipher, luks_spec_cipher_name(&luks->spec), sizeof(h->cipher));
    g_strlcpy(h->mode, mode, sizeof(h->mode));
    g_strlcpy(h->hash, luks_hash_name(luks->hash), sizeof(h->hash));
    g_strlcpy(h->uuid, uuid, sizeof(h->uuid));
    luks_header_layout(h, (uint32_t)luks_spec_key_bytes(&luks->spec));
    *ret_ms = ms;
    return luks_random(luks->key, h->key_bytes, err) &&
           luks_random(h->digest_salt, LUKS_SALT, err) &&
           luks_pbkdf2_count(luks->hash, LUKS_DIGEST, MAX(ms / DIGEST_PART, 1),
                             &h->digest_iterations, err) &&
           luks_key_digest(luks, luks->key, h->digest, err);
}

bool
luks_format(BlockNode *file, uint64_t base, const LuksOptions *options, const BlockOpenOps *ops,
            GError **err)
{
    Luks luks = { .file = file, .base = base, .made = true };
    g_autofree char *option = g_strconcat(options->prefix, "key-secret", NULL);
    size_t length = 0;
    uint8_t *pass =
        luks_secret_get(ops, options->key_secret, volume_name(file), option, &length, err);
    uint64_t ms = 0;
    bool fine;

    g_mutex_init(&luks.lock);
    fine = pass && volume_make(&luks, options, &ms, err) &&
           slot_fill(&luks, 0, ms, pass, length, err) && header_write(&luks, err);
    luks_secret_free(pass, length);
    luks_close(&luks);
    return fine;
}

/* ---- key slots of a volume that is there ---- */

typedef struct {
    Luks *luks;
    const LuksOptions *o;
    const BlockOpenOps *ops;
    const char *name;
    uint64_t slot; /* LUKS_SLOTS: not given */
} Amend;

static unsigned
slots_active(const Luks *luks)
{
    unsigned n = 0;

    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        n += luks->header.slots[i].active;
    return n;
}

static bool
amend_refuse(const Amend *a, const char *option, const char *why, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s%s' %s", a->o->prefix, option, why);
}

static bool
amend_add(Amend *a, GError **err)
{
    Luks *luks = a->luks;
    g_autofree char *option = g_strconcat(a->o->prefix, "new-secret", NULL);
    uint64_t ms = ITER_TIME_DEFAULT;
    size_t length = 0;
    uint8_t *pass;
    bool fine;

    if (!a->o->new_secret)
        return amend_refuse(a, "new-secret", "is required to activate a keyslot", err);
    if (a->o->old_secret)
        return amend_refuse(a, "old-secret", "must not be given when activating keyslots", err);
    if (!options_number(a->o, "iter-time", a->o->iter_time, 1, ITER_TIME_MAX, &ms, err))
        return false;
    if (a->slot == LUKS_SLOTS)
        for (a->slot = 0; a->slot < LUKS_SLOTS && luks->header.slots[a->slot].active;)
            a->slot++;
    if (a->slot == LUKS_SLOTS)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Can't add a keyslot - all keyslots of '%s' are in use; erase one "
                              "first",
                              a->name);
    if (luks->header.slots[a->slot].active && !a->o->force)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Refusing to overwrite active keyslot %" G_GUINT64_FORMAT
                              " - please erase it first",
                              a->slot);
    pass = luks_secret_get(a->ops, a->o->new_secret, a->name, option, &length, err);
    fine = pass && slot_fill(luks, (unsigned)a->slot, ms, pass, length, err) &&
           header_write(luks, err);
    luks_secret_free(pass, length);
    return fine;
}

/* Which of the active slots the old passphrase opens. */
static bool
slots_of_secret(const Amend *a, bool matches[LUKS_SLOTS], GError **err)
{
    g_autofree char *option = g_strconcat(a->o->prefix, "old-secret", NULL);
    uint8_t key[LUKS_KEY_MAX];
    size_t length = 0;
    uint8_t *pass = luks_secret_get(a->ops, a->o->old_secret, a->name, option, &length, err);
    bool fine = pass != NULL;

    for (unsigned i = 0; fine && i < LUKS_SLOTS; i++)
        if (a->luks->header.slots[i].active && (a->slot == LUKS_SLOTS || a->slot == i))
            fine = luks_slot_try(a->luks, i, pass, length, key, &matches[i], err);
    explicit_bzero(key, sizeof(key));
    luks_secret_free(pass, length);
    return fine;
}

static bool
slots_to_erase(const Amend *a, bool erase[LUKS_SLOTS], GError **err)
{
    unsigned n = 0;

    if (a->o->old_secret && !slots_of_secret(a, erase, err))
        return false;
    if (!a->o->old_secret && a->slot == LUKS_SLOTS)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "To erase keyslot(s), either explicit keyslot index or the password "
                              "currently contained in them must be given");
    if (!a->o->old_secret) {
        if (!a->luks->header.slots[a->slot].active && !a->o->force)
            return kiln_error_set(
                err, VIR_ERR_OPERATION_INVALID,
                "Given keyslot %" G_GUINT64_FORMAT " is already erased (inactive)", a->slot);
        erase[a->slot] = true;
    }
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        n += erase[i] && a->luks->header.slots[i].active;
    if (n == 0 && a->o->old_secret)
        return kiln_error_set(err, VIR_ERR_AUTH_FAILED,
                              "No keyslots match given (old) password for erase operation");
    if (n > 0 && n == slots_active(a->luks) && !a->o->force)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Attempt to erase all active keyslots of '%s' which will erase all "
                              "the data in the image irreversibly - refusing operation; give "
                              "--force if that is wanted",
                              a->name);
    return true;
}

static bool
amend_erase(Amend *a, GError **err)
{
    bool erase[LUKS_SLOTS] = { false };

    if (a->o->new_secret)
        return amend_refuse(a, "new-secret", "must not be given when erasing keyslots", err);
    if (a->o->iter_time)
        return amend_refuse(a, "iter-time", "must not be given when erasing keyslots", err);
    if (!slots_to_erase(a, erase, err))
        return false;
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        if (erase[i] && !slot_erase(a->luks, i, err))
            return false;
    return true;
}

bool
luks_amend(Luks *luks, const LuksOptions *options, const BlockOpenOps *ops, GError **err)
{
    Amend a = { luks, options, ops, volume_name(luks->file), LUKS_SLOTS };
    bool fine;

    if (!luks->cipher)
        return kiln_error_set(err, VIR_ERR_NO_SECRET,
                              "LUKS volume '%s' is locked: its key slots are changed by who has a "
                              "passphrase; give '%skey-secret'",
                              a.name, options->prefix);
    if (!options_number(options, "keyslot", options->keyslot, 0, LUKS_SLOTS - 1, &a.slot, err))
        return false;
    g_mutex_lock(&luks->lock);
    if (options->state && strcmp(options->state, "active") == 0)
        fine = amend_add(&a, err);
    else if (options->state && strcmp(options->state, "inactive") == 0)
        fine = amend_erase(&a, err);
    else
        fine = kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "option '%sstate' is active or inactive, not '%s'", options->prefix,
                              options->state ? options->state : "");
    g_mutex_unlock(&luks->lock);
    return fine;
}
