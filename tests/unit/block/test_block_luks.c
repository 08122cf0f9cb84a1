/* test_block_luks.c - LUKS volumes: headers with numbers out of their bounds, ciphers beside
 * published vectors, bytes of any alignment, key slots, and the secrets that open them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <gnutls/crypto.h>

#include "block/luks/luks.h"
#include "block/numbers.h"
#include "block/secrets.h"
#include "tests/unit/block/block_fixture.h"
#include "util/error.h"

enum { DISK = 256 << 10, ROOM = 4 << 20 };

static void
unhex(const char *hex, uint8_t *ret)
{
    for (; hex[0] && hex[1]; hex += 2)
        *ret++ = (uint8_t)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
}

/* ---- ciphers ---- */

/* IEEE 1619-2007, annex B: vector 2, and vector 10 in 16 bytes of its first line. */
static void
xts_vectors(void **state)
{
    static const struct {
        const char *mode, *key;
        size_t key_bytes;
        uint64_t sector;
        const char *in, *out; /* 32 bytes; "": counted up from 0 */
    } rows[] = {
        { "xts-plain64", "1111111111111111111111111111111122222222222222222222222222222222", 32,
          0x3333333333, "4444444444444444444444444444444444444444444444444444444444444444",
          "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0" },
        { "xts-plain64",
          "2718281828459045235360287471352662497757247093699959574966967627314159265358979323846264"
          "3383"
          "279502884197169399375105820974944592",
          64, 0xff, "", "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint8_t key[LUKS_KEY_MAX], in[LUKS_SECTOR], buf[LUKS_SECTOR], out[32];
        LuksCipher *cipher;
        LuksSpec spec;

        unhex(rows[i].key, key);
        unhex(rows[i].out, out);
        for (unsigned j = 0; j < sizeof(in); j++)
            in[j] = (uint8_t)j;
        unhex(rows[i].in, in);
        memcpy(buf, in, sizeof(buf));
        assert_true(luks_spec_parse("aes", rows[i].mode, rows[i].key_bytes, &spec, NULL));
        cipher = luks_cipher_new(&spec, key, NULL);
        assert_int_equal(luks_cipher_encrypt(cipher, rows[i].sector, buf, sizeof(buf)), 0);
        assert_memory_equal(buf, out, sizeof(out));
        assert_int_equal(luks_cipher_decrypt(cipher, rows[i].sector, buf, sizeof(buf)), 0);
        assert_memory_equal(buf, in, sizeof(buf));
        luks_cipher_free(cipher);
    }
}

/* Each sector by itself, and in one call with others: the same bytes. */
static void
sectors_apart(void **state)
{
    static const char *const modes[] = { "xts-plain64", "cbc-essiv:sha256", "cbc-plain" };
    static const char *const names[] = { "aes", "serpent", "twofish" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(modes) * G_N_ELEMENTS(names); i++) {
        uint8_t key[LUKS_KEY_MAX] = { 7, 1 }, one[4 * LUKS_SECTOR] = { 5 }, many[sizeof(one)];
        const char *mode = modes[i / G_N_ELEMENTS(names)];
        LuksCipher *cipher;
        LuksSpec spec;

        memcpy(many, one, sizeof(many));
        assert_true(luks_spec_parse(names[i % G_N_ELEMENTS(names)], mode, mode[0] == 'x' ? 64 : 32,
                                    &spec, NULL));
        cipher = luks_cipher_new(&spec, key, NULL);
        luks_cipher_encrypt(cipher, 9, many, sizeof(many));
        for (unsigned s = 0; s < 4; s++)
            luks_cipher_encrypt(cipher, 9 + s, one + s * LUKS_SECTOR, LUKS_SECTOR);
        assert_memory_equal(one, many, sizeof(one));
        assert_memory_not_equal(many, many + LUKS_SECTOR, LUKS_SECTOR);
        luks_cipher_decrypt(cipher, 9, many, sizeof(many));
        assert_int_equal(many[0], 5);
        assert_int_equal(many[sizeof(many) - 1], 0);
        luks_cipher_free(cipher);
    }
}

/* A key lost in one stripe is lost. */
static void
stripes(void **state)
{
    uint8_t key[40], again[40];
    g_autofree uint8_t *split = g_malloc(sizeof(key) * 100);
    int hash = luks_hash_parse("sha1", NULL); /* 20 bytes: the last piece of 40 is whole */

    (void)state;
    memset(key, 0x5a, sizeof(key));
    assert_true(luks_split(hash, key, sizeof(key), 100, split, NULL));
    assert_true(luks_merge(hash, split, sizeof(key), 100, again, NULL));
    assert_memory_equal(key, again, sizeof(key));
    split[40 * 50] ^= 1;
    assert_true(luks_merge(hash, split, sizeof(key), 100, again, NULL));
    assert_memory_not_equal(key, again, sizeof(key));
}

/* ---- headers ---- */

static void
header_good(uint8_t *ret)
{
    LuksHeader h = { .digest_iterations = 1000 };

    strcpy(h.cipher, "aes");
    strcpy(h.mode, "xts-plain64");
    strcpy(h.hash, "sha256");
    strcpy(h.uuid, "c2f2e5a0-0000-4000-8000-000000000000");
    luks_header_layout(&h, 64);
    h.slots[0].active = true;
    h.slots[0].iterations = 1000;
    luks_header_format(&h, ret);
}

static void
header_bounds(void **state)
{
    static const struct {
        unsigned at, bytes;
        uint32_t value;
        const char *message;
    } rows[] = {
        { 0, 4, 0, "signature" },
        { 6, 2, 2, "version 2" },
        { 8, 4, 0x61000161, NULL }, /* the text ends before it */
        { 8, 4, 0x61ff6161, "no text" },
        { 104, 4, 0, "elsewhere" },
        { 104, 4, 4035, "key slot" }, /* the last slot reaches into it */
        { 104, 4, 0xffffffff, "payload" },
        { 108, 4, 0, "bytes of the key" },
        { 108, 4, 65, "bytes of the key" },
        { 108, 4, 0xffffffff, "bytes of the key" },
        { 164, 4, 0, "digest" },
        { 164, 4, 0xffffffff, "digest" },
        { 208, 4, 1, "state" },
        { 212, 4, 0, "iterations of a key slot" },
        { 212, 4, 0xffffffff, "iterations of a key slot" },
        { 260, 4, 0xffffffff, NULL }, /* of a slot that is not active */
        { 248, 4, 0, "place of a key slot" },
        { 248, 4, 1, "place of a key slot" },
        { 248, 4, 600, "inside of another" },
        { 248, 4, 0xffffffff, "place of a key slot" },
        { 252, 4, 0, "stripes" },
        { 252, 4, 0xffffffff, "stripes" },
    };
    uint8_t bytes[LUKS_HEADER_BYTES], again[LUKS_HEADER_BYTES];
    LuksHeader h;

    (void)state;
    header_good(bytes);
    assert_true(luks_header_is(bytes, sizeof(bytes)));
    assert_true(luks_header_parse(bytes, ROOM, "x", &h, NULL));
    luks_header_format(&h, again);
    assert_memory_equal(bytes, again, sizeof(bytes));
    assert_false(luks_header_parse(bytes, (uint64_t)h.payload * 512 - 1, "x", &h, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        header_good(bytes);
        if (rows[i].bytes == 2)
            put_be16(bytes + rows[i].at, (uint16_t)rows[i].value);
        else
            put_be32(bytes + rows[i].at, rows[i].value);
        if (!rows[i].message) {
            assert_true(luks_header_parse(bytes, ROOM, "x", &h, NULL));
            continue;
        }
        assert_false(luks_header_parse(bytes, ROOM, "x", &h, &err));
        if (!strstr(err->message, rows[i].message))
            fail_msg("row %u: '%s' does not say '%s'", i, err->message, rows[i].message);
    }
    header_good(bytes);
    memset(bytes + 40, 'a', LUKS_NAME);
    assert_false(luks_header_parse(bytes, ROOM, "x", &h, NULL));
}

static void
specs_refused(void **state)
{
    static const struct {
        const char *cipher, *mode;
        size_t bytes;
    } rows[] = {
        { "aes", "ecb", 32 },         { "aes", "", 32 },
        { "aes", "xts-plain64", 63 }, { "aes", "cbc-essiv:sha512", 32 },
        { "aes", "cbc-essiv:", 32 },  { "aes", "cbc-essiv", 32 },
        { "aes", "cbc-benbi", 32 },   { "cast5", "cbc-plain", 16 },
        { "", "cbc-plain", 16 },      { "aes", "xts-plain64", 0 },
        { "aes", "cbc-", 32 },        { "aes", "-", 32 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;
        LuksSpec spec;

        assert_false(luks_spec_parse(rows[i].cipher, rows[i].mode, rows[i].bytes, &spec, &err));
        assert_non_null(strstr(err->message, "not offered") ? err->message
                                                            : strstr(err->message, "essiv"));
    }
}

/* ---- images ---- */

static uint8_t *
secret_get(void *opaque, const char *id, size_t *ret_len, GError **err)
{
    (void)opaque;
    (void)err;
    *ret_len = strlen(id);
    return (uint8_t *)g_strdup(id); /* the passphrase of a secret is its name */
}

static const BlockImageOptions image_options = { .ops = { .secret = secret_get } };

static BlockNode *
image_open(const char *path, const char *secret, const BlockImageOptions *options, GError **err)
{
    g_autoptr(JsonObject) object = json_object_new();

    json_object_set_string_member(object, "driver", "luks");
    json_object_set_string_member(object, "file.filename", path);
    if (secret)
        json_object_set_string_member(object, "key-secret", secret);
    return block_image_open_options(object, options, err);
}

static void
image_make(const char *path)
{
    g_autoptr(GHashTable) options = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_insert(options, (char *)"size", g_strdup_printf("%d", DISK));
    g_hash_table_insert(options, (char *)"key-secret", (char *)"first");
    g_hash_table_insert(options, (char *)"iter-time", (char *)"1");
    assert_true(block_image_create(path, "luks", options, &image_options, NULL));
    g_free(g_hash_table_lookup(options, "size"));
}

static void
bytes_of_any_alignment(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(BLOCK_SECTOR);
    g_autofree uint8_t *model = g_malloc0(DISK), *buf = g_malloc(DISK);
    g_autoptr(GRand) rand = g_rand_new_with_seed(11);
    BlockNode *node;

    (void)state;
    image_make(f->path);
    node = image_open(f->path, "first", &image_options, NULL);
    assert_non_null(node);
    assert_int_equal(block_node_size(node), DISK);
    assert_int_equal(block_node_pwrite(node, 0, model, DISK, 0), 0);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t at = g_rand_int_range(rand, 0, DISK - 1);
        uint32_t length = g_rand_int_range(rand, 1, 3000);

        length = MIN(length, DISK - at);
        memset(model + at, (int)i + 1, length);
        assert_int_equal(block_node_pwrite(node, at, model + at, length, 0), 0);
        at = g_rand_int_range(rand, 0, DISK - 1);
        length = g_rand_int_range(rand, 1, 3000);
        length = MIN(length, DISK - at);
        assert_int_equal(block_node_pread(node, at, buf, length), 0);
        assert_memory_equal(buf, model + at, length);
    }
    block_node_unref(node);
    node = image_open(f->path, "first", &image_options, NULL);
    assert_int_equal(block_node_pread(node, 0, buf, DISK), 0);
    assert_memory_equal(buf, model, DISK);
    block_node_unref(node);
}

static bool
amend(const char *path, const char *secret, const char *const *words, GError **err)
{
    g_autoptr(GHashTable) options = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(BlockNode) node = image_open(path, secret, &image_options, err);

    for (; *words; words += 2)
        g_hash_table_insert(options, (char *)words[0], (char *)words[1]);
    return node && block_image_amend(node, options, NULL, NULL, err);
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void
key_slots(void **state)
{
    g_autoptr(BlockFixture) f = block_fixture_new(BLOCK_SECTOR);
    BlockImageOptions told = { .no_io = true };
    g_autoptr(BlockNode) locked = NULL;
    GError *err = NULL;
    uint8_t byte;

    (void)state;
    image_make(f->path);
    assert_false(amend(f->path, "first", WORDS("state", "active"), NULL));
    assert_false(
        amend(f->path, "first", WORDS("state", "active", "new-secret", "b", "keyslot", "0"), NULL));
    assert_false(
        amend(f->path, "first", WORDS("state", "active", "new-secret", "b", "keyslot", "8"), NULL));
    assert_true(amend(f->path, "first",
                      WORDS("state", "active", "new-secret", "second", "iter-time", "1"), NULL));
    assert_false(amend(f->path, "second", WORDS("state", "inactive"), NULL));
    assert_true(amend(f->path, "second", WORDS("state", "inactive", "old-secret", "first"), NULL));
    assert_null(image_open(f->path, "first", &image_options, &err));
    assert_int_equal(err->code, VIR_ERR_AUTH_FAILED);
    g_clear_error(&err);
    /* the last key is not thrown away by mistake */
    assert_false(
        amend(f->path, "second", WORDS("state", "inactive", "old-secret", "second"), NULL));
    assert_false(amend(f->path, "second", WORDS("state", "inactive", "keyslot", "1"), NULL));
    assert_null(image_open(f->path, NULL, &image_options, &err));
    assert_int_equal(err->code, VIR_ERR_NO_SECRET);
    g_clear_error(&err);
    locked = image_open(f->path, NULL, &told, NULL);
    assert_non_null(locked);
    assert_int_equal(block_node_pread(locked, 0, &byte, 1), -ENOKEY);
    g_clear_pointer(&locked, block_node_unref);
    assert_true(
        amend(f->path, "second", WORDS("state", "inactive", "keyslot", "1", "force", "on"), NULL));
    assert_null(image_open(f->path, "second", &image_options, NULL));
}

/* ---- secrets ---- */

static bool
secret_add(BlockSecrets *secrets, const char *text, GError **err)
{
    static const BlockOpenOps ops = { 0 };
    g_autoptr(GHashTable) keys = g_hash_table_new(g_str_hash, g_str_equal);
    g_auto(GStrv) words = g_strsplit(text, ",", -1);

    for (char **word = words; *word; word++) {
        char *equals = strchr(*word, '=');

        *equals = '\0';
        g_hash_table_insert(keys, *word, equals + 1);
    }
    return block_secrets_add(secrets, keys, &ops, err);
}

static void
secrets_known(void **state)
{
    BlockSecrets *secrets = block_secrets_new();
    uint8_t key[32] = { 1, 2, 3 }, iv[16] = { 9 }, data[32] = "a passphrase";
    gnutls_datum_t k = { key, sizeof(key) }, v = { iv, sizeof(iv) };
    gnutls_cipher_hd_t handle;
    g_autofree char *key64 = g_base64_encode(key, sizeof(key));
    g_autofree char *iv64 = g_base64_encode(iv, sizeof(iv));
    g_autofree char *data64 = NULL, *master = NULL, *text = NULL, *wrong = NULL;
    g_autofree uint8_t *got = NULL;
    size_t length = 0;

    (void)state;
    memset(data + 12, 4, 4); /* padding of 16 bytes */
    gnutls_cipher_init(&handle, GNUTLS_CIPHER_AES_256_CBC, &k, &v);
    gnutls_cipher_encrypt(handle, data, 16);
    gnutls_cipher_deinit(handle);
    data64 = g_base64_encode(data, 16);
    master = g_strdup_printf("id=master,format=base64,data=%s", key64);
    text = g_strdup_printf("id=s,keyid=master,format=base64,iv=%s,data=%s", iv64, data64);
    wrong = g_strdup_printf("id=t,keyid=master,format=base64,iv=%s,data=%s", data64, iv64);
    assert_false(secret_add(secrets, text, NULL)); /* its key comes first */
    assert_true(secret_add(secrets, master, NULL));
    assert_true(secret_add(secrets, text, NULL));
    assert_false(secret_add(secrets, wrong, NULL));
    got = block_secrets_get(secrets, "s", &length, NULL);
    assert_int_equal(length, 12);
    assert_string_equal((char *)got, "a passphrase");
    block_secrets_free(secrets);
}

static void
secrets_refused(void **state)
{
    static const char *const rows[] = {
        "data=x",
        "id=a",
        "id=a,data=x,file=/dev/null",
        "id=a,data=x,colour=red",
        "id=a,data=x,format=hex",
        "id=a,data=x!y=,format=base64",
        "id=a,data=abc,format=base64",
        "id=a,data=,format=base64",
        "id=a,data=x,iv=AAAA",
        "id=a,data=x,keyid=none",
        "id=a,file=/nonexistent/file",
    };
    BlockSecrets *secrets = block_secrets_new();
    size_t length;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        assert_false(secret_add(secrets, rows[i], &err));
        assert_non_null(err);
    }
    assert_null(block_secrets_get(secrets, "a", &length, NULL));
    assert_null(block_secrets_get(NULL, "a", &length, NULL));
    block_secrets_free(secrets);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xts_vectors),     cmocka_unit_test(sectors_apart),
        cmocka_unit_test(stripes),         cmocka_unit_test(header_bounds),
        cmocka_unit_test(specs_refused),   cmocka_unit_test(bytes_of_any_alignment),
        cmocka_unit_test(key_slots),       cmocka_unit_test(secrets_known),
        cmocka_unit_test(secrets_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
