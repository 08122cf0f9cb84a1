/* cipher.c - ciphers of LUKS volumes: names, initial vectors, and sectors encrypted in place.
 *
 * AES goes through GnuTLS, which uses the processor's instructions for whole sectors; what GnuTLS
 * lacks (Serpent, Twofish, AES-192 with XTS, the single blocks of ESSIV) through Nettle, on which
 * GnuTLS itself stands. Left out: CAST, and the modes ECB and CTR, which hide less than a disk
 * needs.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3, appendix A; IEEE 1619 (XTS).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <gnutls/crypto.h>
#include <nettle/aes.h>
#include <nettle/cbc.h>
#include <nettle/serpent.h>
#include <nettle/twofish.h>
#include <nettle/xts.h>
#include <string.h>

#include "block/luks/luks.h"
#include "block/numbers.h"
#include "util/error.h"

enum { BLOCK_BYTES = 16, HASH_MAX = 64 };

struct LuksAlgorithm {
    const char *option, *name; /* "aes-256", and "aes" in headers */
    size_t key_bytes;
    gnutls_cipher_algorithm_t cbc, xts; /* 0: not by GnuTLS */
    nettle_set_key_func *set_encrypt, *set_decrypt;
    nettle_cipher_func *encrypt, *decrypt;
};

typedef union {
    struct aes128_ctx aes128;
    struct aes192_ctx aes192;
    struct aes256_ctx aes256;
    struct serpent_ctx serpent;
    struct twofish_ctx twofish;
} CipherKey;

struct LuksCipher {
    LuksSpec spec;
    /* GnuTLS: a handle does one sector at a time, so each thread takes one */
    gnutls_cipher_algorithm_t algorithm; /* 0: Nettle */
    uint8_t key[LUKS_KEY_MAX];
    GMutex lock;
    GQueue idle; /* of gnutls_cipher_hd_t */
    /* Nettle: never changed once it is made */
    CipherKey encrypt, decrypt, tweak;
    const LuksAlgorithm *essiv;
    CipherKey essiv_key;
};

static const LuksAlgorithm algorithms[];

static const char *const mode_names[] = { "cbc", "xts", NULL };
static const char *const iv_names[] = { "plain", "plain64", "essiv", NULL };

/* ---- names ---- */

static bool
name_find(const char *what, const char *const *names, const char *text, int *ret, GError **err)
{
    g_autofree char *all = NULL;

    for (*ret = 0; names[*ret]; ++*ret)
        if (strcmp(names[*ret], text) == 0)
            return true;
    all = g_strjoinv(", ", (char **)names);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s '%s' is not offered; there are %s",
                          what, text, all);
}

static const LuksAlgorithm *
algorithm_find(const char *name, size_t key_bytes)
{
    for (const LuksAlgorithm *a = algorithms; a->name; a++)
        if (strcmp(a->name, name) == 0 && a->key_bytes == key_bytes)
            return a;
    return NULL;
}

/* ESSIV needs a cipher whose key is as long as the hash. */
static bool
spec_check(const LuksSpec *spec, GError **err)
{
    size_t hash;

    if (spec->iv != LUKS_IV_ESSIV)
        return true;
    hash = gnutls_hash_get_len(spec->iv_hash);
    return algorithm_find(spec->algorithm->name, hash) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "essiv with hash %s of %zu bytes: %s has no key of that length; use "
                          "sha256",
                          luks_hash_name(spec->iv_hash), hash, spec->algorithm->name);
}

bool
luks_spec_parse(const char *cipher, const char *mode, size_t key_bytes, LuksSpec *ret, GError **err)
{
    g_auto(GStrv) words = g_strsplit(mode, "-", 2);
    g_auto(GStrv) iv = g_strsplit(words[0] && words[1] ? words[1] : "plain", ":", 2);
    LuksSpec spec = { 0 };
    int found;

    if (!name_find("cipher mode", mode_names, words[0] ? words[0] : "", &found, err))
        return false;
    spec.mode = found;
    if (!name_find("generator of initial vectors", iv_names, iv[0] ? iv[0] : "", &found, err))
        return false;
    spec.iv = found;
    if (spec.iv == LUKS_IV_ESSIV && !(spec.iv_hash = luks_hash_parse(iv[1] ? iv[1] : "", err)))
        return false;
    spec.algorithm = algorithm_find(cipher, spec.mode == LUKS_MODE_XTS ? key_bytes / 2 : key_bytes);
    if (!spec.algorithm)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "cipher '%s' in mode '%s' with keys of %zu bytes is not offered; "
                              "there are aes, serpent and twofish with keys of 16, 24 or 32 bytes, "
                              "twice that in xts",
                              cipher, mode, key_bytes);
    if (!spec_check(&spec, err))
        return false;
    *ret = spec;
    return true;
}

bool
luks_spec_from_options(const char *cipher, const char *mode, const char *iv, const char *iv_hash,
                       LuksSpec *ret, GError **err)
{
    LuksSpec spec = { .algorithm = algorithms };
    int found = 0;

    while (spec.algorithm->name && strcmp(spec.algorithm->option, cipher ? cipher : "aes-256") != 0)
        spec.algorithm++;
    if (!spec.algorithm->name)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "cipher-alg '%s' is not offered; there are aes-128, aes-192, aes-256 "
                              "and the same of serpent and twofish",
                              cipher);
    if (!name_find("cipher-mode", mode_names, mode ? mode : "xts", &found, err))
        return false;
    spec.mode = found;
    if (!name_find("ivgen-alg", iv_names, iv ? iv : "plain64", &found, err))
        return false;
    spec.iv = found;
    if (iv_hash && spec.iv != LUKS_IV_ESSIV)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "ivgen-hash-alg is for ivgen-alg=essiv, not for %s",
                              iv_names[spec.iv]);
    if (spec.iv == LUKS_IV_ESSIV &&
        !(spec.iv_hash = luks_hash_parse(iv_hash ? iv_hash : "sha256", err)))
        return false;
    if (!spec_check(&spec, err))
        return false;
    *ret = spec;
    return true;
}

size_t
luks_spec_key_bytes(const LuksSpec *spec)
{
    return spec->algorithm->key_bytes * (spec->mode == LUKS_MODE_XTS ? 2 : 1);
}

const char *
luks_spec_cipher_name(const LuksSpec *spec)
{
    return spec->algorithm->name;
}

char *
luks_spec_mode_text(const LuksSpec *spec)
{
    bool essiv = spec->iv == LUKS_IV_ESSIV;

    return g_strdup_printf("%s-%s%s%s", mode_names[spec->mode], iv_names[spec->iv],
                           essiv ? ":" : "", essiv ? luks_hash_name(spec->iv_hash) : "");
}

void
luks_spec_describe(const LuksSpec *spec, JsonObject *info)
{
    json_object_set_string_member(info, "cipher-alg", spec->algorithm->option);
    json_object_set_string_member(info, "cipher-mode", mode_names[spec->mode]);
    json_object_set_string_member(info, "ivgen-alg", iv_names[spec->iv]);
    if (spec->iv == LUKS_IV_ESSIV)
        json_object_set_string_member(info, "ivgen-hash-alg", luks_hash_name(spec->iv_hash));
}

/* ---- keys ---- */

static bool
essiv_set(LuksCipher *c, GError **err)
{
    uint8_t salt[HASH_MAX];
    size_t length = gnutls_hash_get_len(c->spec.iv_hash);
    int r = gnutls_hash_fast(c->spec.iv_hash, c->key, luks_spec_key_bytes(&c->spec), salt);

    if (r < 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "hashing a key: %s", gnutls_strerror(r));
    c->essiv = algorithm_find(c->spec.algorithm->name, length);
    c->essiv->set_encrypt(&c->essiv_key, salt);
    explicit_bzero(salt, sizeof(salt));
    return true;
}

LuksCipher *
luks_cipher_new(const LuksSpec *spec, const uint8_t *key, GError **err)
{
    const LuksAlgorithm *a = spec->algorithm;
    LuksCipher *c = g_new0(LuksCipher, 1);
    bool xts = spec->mode == LUKS_MODE_XTS;

    c->spec = *spec;
    c->algorithm = xts ? a->xts : a->cbc;
    memcpy(c->key, key, luks_spec_key_bytes(spec));
    g_mutex_init(&c->lock);
    g_queue_init(&c->idle);
    if (!c->algorithm) {
        a->set_encrypt(&c->encrypt, key);
        a->set_decrypt(&c->decrypt, key);
        if (xts)
            a->set_encrypt(&c->tweak, key + a->key_bytes);
    }
    if (spec->iv != LUKS_IV_ESSIV || essiv_set(c, err))
        return c;
    luks_cipher_free(c);
    return NULL;
}

void
luks_cipher_free(LuksCipher *cipher)
{
    gnutls_cipher_hd_t handle;

    if (!cipher)
        return;
    while ((handle = g_queue_pop_head(&cipher->idle)))
        gnutls_cipher_deinit(handle);
    g_mutex_clear(&cipher->lock);
    explicit_bzero(cipher, sizeof(*cipher));
    g_free(cipher);
}

/* ---- sectors ---- */

static void
sector_iv(const LuksCipher *c, uint64_t sector, uint8_t iv[BLOCK_BYTES])
{
    memset(iv, 0, BLOCK_BYTES);
    if (c->spec.iv == LUKS_IV_PLAIN)
        put_le32(iv, (uint32_t)sector);
    else
        put_le64(iv, sector);
    if (c->spec.iv == LUKS_IV_ESSIV)
        c->essiv->encrypt(&c->essiv_key, BLOCK_BYTES, iv, iv);
}

static gnutls_cipher_hd_t
handle_take(LuksCipher *c)
{
    static const uint8_t zeroes[BLOCK_BYTES];
    gnutls_datum_t key = { c->key, luks_spec_key_bytes(&c->spec) };
    gnutls_datum_t iv = { (void *)zeroes, sizeof(zeroes) };
    gnutls_cipher_hd_t handle;

    g_mutex_lock(&c->lock);
    handle = g_queue_pop_head(&c->idle);
    g_mutex_unlock(&c->lock);
    if (!handle && gnutls_cipher_init(&handle, c->algorithm, &key, &iv) < 0)
        return NULL;
    return handle;
}

static int
run_gnutls(LuksCipher *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t length)
{
    gnutls_cipher_hd_t handle = handle_take(c);
    int r = handle ? 0 : GNUTLS_E_MEMORY_ERROR;

    while (r >= 0 && length > 0) {
        size_t part = MIN(length, (size_t)LUKS_SECTOR);
        uint8_t iv[BLOCK_BYTES];

        sector_iv(c, sector++, iv);
        gnutls_cipher_set_iv(handle, iv, sizeof(iv));
        r = encrypt ? gnutls_cipher_encrypt2(handle, buf, part, buf, part)
                    : gnutls_cipher_decrypt2(handle, buf, part, buf, part);
        buf += part;
        length -= part;
    }
    if (handle) {
        g_mutex_lock(&c->lock);
        g_queue_push_head(&c->idle, handle);
        g_mutex_unlock(&c->lock);
    }
    return r < 0 ? -EIO : 0;
}

static void
sector_nettle(const LuksCipher *c, bool encrypt, uint8_t iv[BLOCK_BYTES], uint8_t *buf, size_t part)
{
    const LuksAlgorithm *a = c->spec.algorithm;

    if (c->spec.mode == LUKS_MODE_XTS && encrypt)
        xts_encrypt_message(&c->encrypt, &c->tweak, a->encrypt, iv, part, buf, buf);
    else if (c->spec.mode == LUKS_MODE_XTS)
        xts_decrypt_message(&c->decrypt, &c->tweak, a->decrypt, a->encrypt, iv, part, buf, buf);
    else if (encrypt)
        cbc_encrypt(&c->encrypt, a->encrypt, BLOCK_BYTES, iv, part, buf, buf);
    else
        cbc_decrypt(&c->decrypt, a->decrypt, BLOCK_BYTES, iv, part, buf, buf);
}

static int
cipher_run(LuksCipher *c, bool encrypt, uint64_t sector, uint8_t *buf, size_t length)
{
    if (length % BLOCK_BYTES != 0)
        return -EINVAL;
    if (c->algorithm)
        return run_gnutls(c, encrypt, sector, buf, length);
    while (length > 0) {
        size_t part = MIN(length, (size_t)LUKS_SECTOR);
        uint8_t iv[BLOCK_BYTES];

        sector_iv(c, sector++, iv);
        sector_nettle(c, encrypt, iv, buf, part);
        buf += part;
        length -= part;
    }
    return 0;
}

int
luks_cipher_encrypt(LuksCipher *cipher, uint64_t sector, uint8_t *buf, size_t length)
{
    return cipher_run(cipher, true, sector, buf, length);
}

int
luks_cipher_decrypt(LuksCipher *cipher, uint64_t sector, uint8_t *buf, size_t length)
{
    return cipher_run(cipher, false, sector, buf, length);
}

#define KEY(function) ((nettle_set_key_func *)(void (*)(void))(function))
#define RUN(function) ((nettle_cipher_func *)(void (*)(void))(function))
#define AES(bits, cbc, xts)                                                                        \
    {                                                                                              \
        "aes-" #bits, "aes", bits / 8, cbc, xts, KEY(aes##bits##_set_encrypt_key),                 \
            KEY(aes##bits##_set_decrypt_key), RUN(aes##bits##_encrypt), RUN(aes##bits##_decrypt)   \
    }
#define OTHER(cipher, bits)                                                                        \
    {                                                                                              \
#cipher "-" #bits, #cipher, bits / 8, 0, 0, KEY(cipher##bits##_set_key),                   \
            KEY(cipher##bits##_set_key), RUN(nettle_##cipher##_encrypt),                           \
            RUN(nettle_##cipher##_decrypt)                                                         \
    }

static const LuksAlgorithm algorithms[] = {
    AES(128, GNUTLS_CIPHER_AES_128_CBC, GNUTLS_CIPHER_AES_128_XTS),
    AES(192, GNUTLS_CIPHER_AES_192_CBC, 0),
    AES(256, GNUTLS_CIPHER_AES_256_CBC, GNUTLS_CIPHER_AES_256_XTS),
    OTHER(serpent, 128),
    OTHER(serpent, 192),
    OTHER(serpent, 256),
    OTHER(twofish, 128),
    OTHER(twofish, 192),
    OTHER(twofish, 256),
    { 0 },
};
