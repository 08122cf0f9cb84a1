/* luks.h - inside of LUKS volumes: header, key slots, and the cipher of the payload.
 *
 * A volume is a header with up to eight key slots, each of which keeps the master key under another
 * passphrase, and a payload that is encrypted sector by sector. It lies in a file of its own (the
 * format luks) or inside a qcow2 image, where the payload are the image's clusters.
 *
 * Source: LUKS On-Disk Format Specification, version 1.2.3.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_LUKS_LUKS_H
#define KILN_BLOCK_LUKS_LUKS_H

#include "block/driver.h"

enum {
    LUKS_HEADER_BYTES = 592,
    LUKS_SECTOR = 512,
    LUKS_SLOTS = 8,
    LUKS_STRIPES = 4000, /* the only number that is in use */
    LUKS_KEY_MAX = 64,   /* bytes of the longest master key */
    LUKS_SALT = 32,
    LUKS_DIGEST = 20,
    LUKS_NAME = 32,
    LUKS_UUID = 40,
    LUKS_ITERATIONS_MIN = 1000,
    LUKS_ITERATIONS_MAX = 1000000000, /* minutes of work: more is a way to hold up a reader */
};

/* ---- cipher.c ---- */

typedef struct LuksAlgorithm LuksAlgorithm; /* a cipher with one length of keys */
typedef struct LuksCipher LuksCipher;       /* one with a key, for sectors */

typedef enum { LUKS_MODE_CBC, LUKS_MODE_XTS } LuksMode;
typedef enum { LUKS_IV_PLAIN, LUKS_IV_PLAIN64, LUKS_IV_ESSIV } LuksIv;

typedef struct {
    const LuksAlgorithm *algorithm;
    LuksMode mode;
    LuksIv iv;
    int iv_hash; /* gnutls_digest_algorithm_t; with LUKS_IV_ESSIV */
} LuksSpec;

/* The spec that the header's two texts and its number of key bytes mean ("aes", "xts-plain64", 64).
 * False with @err set for what is not offered. */
bool luks_spec_parse(const char *cipher, const char *mode, size_t key_bytes, LuksSpec *ret,
                     GError **err);
/* The spec by the names of options ("aes-256", "xts", "plain64", "sha256"); NULL are defaults. */
bool luks_spec_from_options(const char *cipher, const char *mode, const char *iv,
                            const char *iv_hash, LuksSpec *ret, GError **err);
size_t luks_spec_key_bytes(const LuksSpec *spec);
/* The header's texts; the caller frees the mode. */
const char *luks_spec_cipher_name(const LuksSpec *spec);
char *luks_spec_mode_text(const LuksSpec *spec);
/* Sets cipher-alg, cipher-mode, ivgen-alg and ivgen-hash-alg as `info` has them. */
void luks_spec_describe(const LuksSpec *spec, JsonObject *info);

/* @key has luks_spec_key_bytes(). The caller frees the result. */
LuksCipher *luks_cipher_new(const LuksSpec *spec, const uint8_t *key, GError **err);
void luks_cipher_free(LuksCipher *cipher);
/* In place, @length bytes from the start of sector number @sector on; a last part of a sector is
 * a multiple of 16 bytes. Any thread, several at once. 0 or -errno. */
int luks_cipher_encrypt(LuksCipher *cipher, uint64_t sector, uint8_t *buf, size_t length);
int luks_cipher_decrypt(LuksCipher *cipher, uint64_t sector, uint8_t *buf, size_t length);

/* ---- key.c: hashes, keys from passphrases, and keys spread over stripes ---- */

/* gnutls_digest_algorithm_t by name, 0 with @err set when it is not offered; and back. */
int luks_hash_parse(const char *name, GError **err);
const char *luks_hash_name(int hash);
bool luks_pbkdf2(int hash, const uint8_t *pass, size_t pass_len, const uint8_t *salt,
                 uint32_t iterations, uint8_t *ret, size_t length, GError **err);
/* Iterations that take this processor about @ms milliseconds. */
bool luks_pbkdf2_count(int hash, size_t length, uint64_t ms, uint32_t *ret, GError **err);
/* @stripes pieces of @key_bytes each, all needed to get the key (section 2.4). */
bool luks_split(int hash, const uint8_t *key, size_t key_bytes, uint32_t stripes, uint8_t *ret,
                GError **err);
bool luks_merge(int hash, const uint8_t *split, size_t key_bytes, uint32_t stripes, uint8_t *ret,
                GError **err);
bool luks_random(void *buf, size_t length, GError **err);

/* ---- header.c ---- */

typedef struct {
    bool active;
    uint32_t iterations, offset, stripes; /* offset: sectors from the header */
    uint8_t salt[LUKS_SALT];
} LuksSlot;

typedef struct {
    char cipher[LUKS_NAME + 1], mode[LUKS_NAME + 1], hash[LUKS_NAME + 1], uuid[LUKS_UUID + 1];
    uint32_t payload; /* sectors from the header */
    uint32_t key_bytes;
    uint8_t digest[LUKS_DIGEST], digest_salt[LUKS_SALT];
    uint32_t digest_iterations;
    LuksSlot slots[LUKS_SLOTS];
} LuksHeader;

bool luks_header_is(const uint8_t *bytes, size_t length);
/* Every number bounded; @room: bytes that the file has from the header on. */
bool luks_header_parse(const uint8_t bytes[LUKS_HEADER_BYTES], uint64_t room, const char *name,
                       LuksHeader *ret, GError **err);
void luks_header_format(const LuksHeader *header, uint8_t ret[LUKS_HEADER_BYTES]);
/* Places of key slots and payload for keys of @key_bytes. */
void luks_header_layout(LuksHeader *header, uint32_t key_bytes);
/* Bytes of one slot's key material. */
size_t luks_header_material(const LuksHeader *header);

/* ---- volume.c ---- */

typedef struct {
    BlockNode *file; /* borrowed */
    uint64_t base;   /* of the header in it */
    LuksHeader header;
    LuksSpec spec;
    int hash;
    LuksCipher *cipher; /* NULL while locked */
    GMutex lock;        /* of slots that are changed */
    bool made;
    uint8_t key[LUKS_KEY_MAX];
} Luks;

/* Reads the header at @base, which with slots and payload's place has at most @room bytes. To be
 * closed in any case. */
bool luks_open(Luks *luks, BlockNode *file, uint64_t base, uint64_t room, const BlockOpenOps *ops,
               GError **err);
/* Finds the slot that @pass opens, VIR_ERR_AUTH_FAILED when none does. */
bool luks_unlock(Luks *luks, const uint8_t *pass, size_t length, GError **err);
void luks_close(Luks *luks);

/* ---- format.c ---- */

/* Names without the prefix "encrypt.", from create's and amend's options. NULL: not given. */
typedef struct {
    const char *prefix; /* for messages */
    const char *cipher, *mode, *iv, *iv_hash, *hash, *key_secret, *iter_time;
    const char *state, *new_secret, *old_secret, *keyslot;
    bool force;
} LuksOptions;

/* Looks "PREFIXcipher-alg" and others up in @table; texts stay the table's. */
void luks_options_find(GHashTable *table, const char *prefix, LuksOptions *ret);
/* Bytes of the header and its slots, for a volume with @options. */
bool luks_options_payload(const LuksOptions *options, uint64_t *ret, GError **err);
/* Writes a new header with one slot at @base of @file. */
bool luks_format(BlockNode *file, uint64_t base, const LuksOptions *options,
                 const BlockOpenOps *ops, GError **err);
/* Adds or erases key slots of an unlocked volume, as options 'state' and others say. */
bool luks_amend(Luks *luks, const LuksOptions *options, const BlockOpenOps *ops, GError **err);

/* ---- volume.c ---- */

/* ImageInfoSpecificLUKS of QEMU. The caller owns it. */
JsonObject *luks_describe(Luks *luks);

/* Before the first call that needs a library of ciphers. */
bool luks_crypto_need(const BlockOpenOps *ops, GError **err);
/* The bytes of secret @id through @ops, with the libraries loaded that a volume needs. NULL with
 * @err set. The caller frees them by luks_secret_free(). @name: of the image, @option: what asks.
 */
uint8_t *luks_secret_get(const BlockOpenOps *ops, const char *id, const char *name,
                         const char *option, size_t *ret_len, GError **err);
void luks_secret_free(uint8_t *secret, size_t length);

/* ---- sectors.c: encrypted bytes of any alignment in a file ---- */

typedef struct {
    LuksCipher *cipher;
    GRWLock lock; /* parts of sectors are written alone */
    bool made;
} LuksSectors;

void luks_sectors_init(LuksSectors *sectors, LuksCipher *cipher);
void luks_sectors_clear(LuksSectors *sectors);
/* @length bytes at @at of @file, whose first byte is byte @number of what sectors are counted in.
 */
int luks_sectors_read(LuksSectors *sectors, BlockNode *file, uint64_t at, uint64_t number,
                      void *buf, size_t length);
int luks_sectors_write(LuksSectors *sectors, BlockNode *file, uint64_t at, uint64_t number,
                       const void *buf, size_t length);

#endif
