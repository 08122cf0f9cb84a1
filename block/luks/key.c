/* key.c - LUKS keys: hashes, keys from passphrases, and keys spread over stripes.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3, sections 2.3 (PBKDF2) and 2.4 (anti-forensic
 * splitter). PBKDF2 is that of RFC 8018. Left out: RIPEMD-160, with which GnuTLS has none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gnutls/crypto.h>
#include <string.h>
#include <time.h>

#include "block/luks/luks.h"
#include "block/numbers.h"
#include "util/error.h"

enum {
    HASH_MAX = 64,
    COUNT_FIRST = 4096, /* iterations of the first measurement */
    COUNT_ENOUGH_MS = 40,
};

static const struct {
    const char *name;
    int hash;
} hashes[] = {
    { "sha1", GNUTLS_DIG_SHA1 },     { "sha224", GNUTLS_DIG_SHA224 },
    { "sha256", GNUTLS_DIG_SHA256 }, { "sha384", GNUTLS_DIG_SHA384 },
    { "sha512", GNUTLS_DIG_SHA512 },
};

static bool
gnutls_refuse(GError **err, const char *what, int r)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "%s: %s", what, gnutls_strerror(r));
}

int
luks_hash_parse(const char *name, GError **err)
{
    for (size_t i = 0; i < G_N_ELEMENTS(hashes); i++)
        if (strcmp(hashes[i].name, name) == 0)
            return hashes[i].hash;
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "hash '%s' is not offered; there are sha1, sha224, sha256, sha384 and sha512",
                   name);
    return 0;
}

const char *
luks_hash_name(int hash)
{
    for (size_t i = 0; i < G_N_ELEMENTS(hashes); i++)
        if (hashes[i].hash == hash)
            return hashes[i].name;
    return "";
}

bool
luks_pbkdf2(int hash, const uint8_t *pass, size_t pass_len, const uint8_t *salt,
            uint32_t iterations, uint8_t *ret, size_t length, GError **err)
{
    gnutls_datum_t key = { (void *)pass, pass_len }, salted = { (void *)salt, LUKS_SALT };
    /* digests and codes made of them have the same numbers */
    int r = gnutls_pbkdf2((gnutls_mac_algorithm_t)hash, &key, &salted, iterations, ret, length);

    return r == 0 || gnutls_refuse(err, "making a key from a passphrase", r);
}

static double
thread_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

bool
luks_pbkdf2_count(int hash, size_t length, uint64_t ms, uint32_t *ret, GError **err)
{
    static const uint8_t salt[LUKS_SALT] = { 1 };
    uint8_t out[LUKS_KEY_MAX];
    uint32_t iterations = COUNT_FIRST;

    for (;;) {
        double begin = thread_ms(), took, count;

        if (!luks_pbkdf2(hash, salt, sizeof(salt), salt, iterations, out, length, err))
            return false;
        took = thread_ms() - begin;
        if (took < COUNT_ENOUGH_MS && iterations < LUKS_ITERATIONS_MAX / 4) {
            iterations *= 4;
            continue;
        }
        count = iterations / MAX(took, 1e-3) * (double)ms;
        *ret = (uint32_t)CLAMP(count, LUKS_ITERATIONS_MIN, LUKS_ITERATIONS_MAX);
        return true;
    }
}

bool
luks_random(void *buf, size_t length, GError **err)
{
    int r = gnutls_rnd(GNUTLS_RND_KEY, buf, length);

    return r == 0 || gnutls_refuse(err, "random bytes", r);
}

/* Each piece of a hash's length is replaced by the hash of its number and itself. */
static bool
diffuse(int hash, uint8_t *buf, size_t length, GError **err)
{
    size_t unit = gnutls_hash_get_len(hash);

    for (uint32_t i = 0; i * unit < length; i++) {
        uint8_t in[4 + HASH_MAX], out[HASH_MAX];
        size_t part = MIN(unit, length - i * unit);
        int r;

        put_be32(in, i);
        memcpy(in + 4, buf + i * unit, part);
        r = gnutls_hash_fast(hash, in, 4 + part, out);
        if (r < 0)
            return gnutls_refuse(err, "hashing a key", r);
        memcpy(buf + i * unit, out, part);
    }
    return true;
}

static void
mix(uint8_t *into, const uint8_t *from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        into[i] ^= from[i];
}

bool
luks_split(int hash, const uint8_t *key, size_t key_bytes, uint32_t stripes, uint8_t *ret,
           GError **err)
{
    uint8_t sum[LUKS_KEY_MAX] = { 0 };
    uint8_t *last = ret + (stripes - 1) * key_bytes;

    if (!luks_random(ret, (stripes - 1) * key_bytes, err))
        return false;
    for (uint8_t *stripe = ret; stripe < last; stripe += key_bytes) {
        mix(sum, stripe, key_bytes);
        if (!diffuse(hash, sum, key_bytes, err))
            return false;
    }
    memcpy(last, key, key_bytes);
    mix(last, sum, key_bytes);
    explicit_bzero(sum, sizeof(sum));
    return true;
}

bool
luks_merge(int hash, const uint8_t *split, size_t key_bytes, uint32_t stripes, uint8_t *ret,
           GError **err)
{
    const uint8_t *last = split + (stripes - 1) * key_bytes;

    memset(ret, 0, key_bytes);
    for (const uint8_t *stripe = split; stripe < last; stripe += key_bytes) {
        mix(ret, stripe, key_bytes);
        if (!diffuse(hash, ret, key_bytes, err))
            return false;
    }
    mix(ret, last, key_bytes);
    return true;
}
