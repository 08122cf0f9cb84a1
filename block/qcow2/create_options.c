/* create_options.c - what `create -o` and `amend -o` take for qcow2, and the limits of each.
 *
 * Source: QEMU's documentation of qemu-img ("Image formats", qcow2) and docs/interop/qcow2.txt for
 * the limits. Left out: making images with the old encryption AES, which is refused by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/upkeep.h"

#include <string.h>

#include "util/error.h"

enum {
    CLUSTER_BITS_MIN = 9,
    CLUSTER_BITS_MAX = 21,
    CLUSTER_BITS_DEFAULT = 16,
    EXTENDED_CLUSTER_BITS_MIN = 14,
    REFCOUNT_ORDER_MAX = 6,
    REFCOUNT_ORDER_DEFAULT = 4,
    NAME_MAX_BYTES = 1023,
};

static const char *
option(GHashTable *table, const char *name)
{
    return g_hash_table_lookup(table, name);
}

static bool
parse_number(GHashTable *table, const char *name, uint64_t *ret, bool *ret_given, GError **err)
{
    static const char suffixes[] = "kmgtpe";
    const char *text = option(table, name);
    const char *unit;
    char *end;
    uint64_t n;
    unsigned shift = 0;

    *ret_given = text != NULL;
    if (!text)
        return true;
    n = g_ascii_strtoull(text, &end, 10);
    if (*end && (unit = strchr(suffixes, g_ascii_tolower(*end)))) {
        shift = 10 * (unit - suffixes + 1);
        end++;
    } else if (*end == 'b' || *end == 'B') {
        end++;
    }
    if (!g_ascii_isdigit(text[0]) || *end || n > (uint64_t)G_MAXINT64 >> shift)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "option '%s' is a number of at most %" G_GINT64_FORMAT
                              ", as 512, 64k or 10G, not '%s'",
                              name, G_MAXINT64, text);
    *ret = n << shift;
    return true;
}

static bool
parse_bool(GHashTable *table, const char *name, bool *ret, GError **err)
{
    const char *text = option(table, name);

    if (!text)
        return true;
    if (strcmp(text, "on") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 ||
        strcmp(text, "y") == 0)
        *ret = true;
    else if (strcmp(text, "off") == 0 || strcmp(text, "false") == 0 || strcmp(text, "no") == 0 ||
             strcmp(text, "n") == 0)
        *ret = false;
    else
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "option '%s' is 'on' or 'off', not '%s'",
                              name, text);
    return true;
}

static bool
parse_version(GHashTable *table, unsigned *ret, GError **err)
{
    const char *text = option(table, "compat");

    if (!text)
        return true;
    if (strcmp(text, "0.10") == 0 || strcmp(text, "v2") == 0)
        *ret = 2;
    else if (strcmp(text, "1.1") == 0 || strcmp(text, "v3") == 0)
        *ret = 3;
    else
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "option 'compat' is 0.10 (v2) or 1.1 (v3), not '%s'", text);
    return true;
}

static bool
parse_prealloc(GHashTable *table, BlockPrealloc *ret, GError **err)
{
    static const char *const names[] = { "off", "metadata", "falloc", "full" };
    const char *text = option(table, "preallocation");

    if (!text)
        return true;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i], text) == 0) {
            *ret = i;
            return true;
        }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "option 'preallocation' is off, metadata, falloc or full, not '%s'",
                          text);
}

/* @text is a power of two between 1 << @min and 1 << @max. */
static bool
parse_power(GHashTable *table, const char *name, unsigned min, unsigned max, unsigned *ret_bits,
            GError **err)
{
    uint64_t n = 0;
    bool given;

    if (!parse_number(table, name, &n, &given, err))
        return false;
    if (!given)
        return true;
    if (n < UINT64_C(1) << min || n > UINT64_C(1) << max || (n & (n - 1)) != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "option '%s' is a power of two from %u to %u, not '%s'", name,
                              1u << min, 1u << max, option(table, name));
    *ret_bits = g_bit_storage(n) - 1;
    return true;
}

static bool
parse_encryption(GHashTable *table, Qcow2CreateOptions *o, GError **err)
{
    const char *format = option(table, "encrypt.format");
    bool old = false;

    if (!parse_bool(table, "encryption", &old, err))
        return false;
    if (old || g_strcmp0(format, "aes") == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "option '%s': the old encryption AES is read, not made; give "
                              "encrypt.format=luks",
                              old ? "encryption" : "encrypt.format");
    if (format && strcmp(format, "luks") != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "option 'encrypt.format' is luks, not '%s'",
                              format);
    o->encrypted = format != NULL;
    luks_options_find(table, "encrypt.", &o->luks);
    return true;
}

static bool
check_names(GHashTable *table, GError **err)
{
    GHashTableIter it;
    gpointer key;

    g_hash_table_iter_init(&it, table);
    while (g_hash_table_iter_next(&it, &key, NULL)) {
        const BlockCreateOption *row = qcow2_create_options;

        if (strcmp(key, "force") == 0) /* no option of images: how amend changes key slots */
            continue;
        while (row->name && strcmp(row->name, key) != 0)
            row++;
        if (!row->name)
            return kiln_error_set(err, VIR_ERR_INVALID_ARG, "qcow2 has no option '%s'",
                                  (char *)key);
    }
    return true;
}

static bool
check_together(const Qcow2CreateOptions *o, GError **err)
{
    const char *v3 = o->lazy_refcounts                             ? "lazy_refcounts"
                     : o->extended_l2                              ? "extended_l2"
                     : o->compression_type                         ? "compression_type"
                     : o->data_file                                ? "data_file"
                     : o->refcount_order != REFCOUNT_ORDER_DEFAULT ? "refcount_bits"
                                                                   : NULL;

    if (o->version < 3 && v3)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "option '%s' needs compat=1.1 (v3)", v3);
    if (o->extended_l2 && o->cluster_bits < EXTENDED_CLUSTER_BITS_MIN)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "extended_l2 needs a cluster_size of %u at least, not %u",
                              1u << EXTENDED_CLUSTER_BITS_MIN, 1u << o->cluster_bits);
    if (o->data_file_raw && !o->data_file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "data_file_raw needs data_file");
    if (o->data_file_raw && o->backing_file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "data_file_raw and backing_file exclude each other");
    if (o->data_file_raw && o->encrypted)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "data_file_raw and encrypt.format exclude each other");
    if (!o->encrypted && (o->luks.key_secret || o->luks.cipher || o->luks.mode || o->luks.iv ||
                          o->luks.iv_hash || o->luks.hash || o->luks.iter_time))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "options 'encrypt.…' need encrypt.format=luks");
    if (o->backing_file && o->prealloc != BLOCK_PREALLOC_OFF && !o->extended_l2)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "preallocation with a backing file needs extended_l2=on");
    if (o->backing_format && !o->backing_file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "backing_fmt needs backing_file");
    return true;
}

static bool
check_name_length(const char *option_name, const char *text, GError **err)
{
    if (text && strlen(text) > NAME_MAX_BYTES)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "the name in option '%s' has %zu bytes; qcow2 takes at most %d",
                              option_name, strlen(text), NAME_MAX_BYTES);
    return true;
}

bool
qcow2_amend_options_parse(GHashTable *table, Qcow2CreateOptions *ret, GError **err)
{
    const char *compression = option(table, "compression_type");
    const char *backing = option(table, "backing_file");
    Qcow2CreateOptions o = {
        .version = 3,
        .cluster_bits = CLUSTER_BITS_DEFAULT,
        .refcount_order = REFCOUNT_ORDER_DEFAULT,
        .backing_file = backing && *backing ? backing : NULL,
        .backing_format = option(table, "backing_fmt"),
        .data_file = option(table, "data_file"),
    };

    if (!check_names(table, err) || !parse_number(table, "size", &o.size, &o.has_size, err) ||
        !parse_power(table, "cluster_size", CLUSTER_BITS_MIN, CLUSTER_BITS_MAX, &o.cluster_bits,
                     err) ||
        !parse_power(table, "refcount_bits", 0, REFCOUNT_ORDER_MAX, &o.refcount_order, err) ||
        !parse_version(table, &o.version, err) || !parse_prealloc(table, &o.prealloc, err) ||
        !parse_bool(table, "lazy_refcounts", &o.lazy_refcounts, err) ||
        !parse_bool(table, "extended_l2", &o.extended_l2, err) ||
        !parse_bool(table, "data_file_raw", &o.data_file_raw, err) ||
        !check_name_length("backing_file", o.backing_file, err) ||
        !check_name_length("data_file", o.data_file, err))
        return false;
    if (!parse_encryption(table, &o, err))
        return false;
    if (compression && strcmp(compression, "zstd") == 0)
        o.compression_type = 1;
    else if (compression && strcmp(compression, "zlib") != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "option 'compression_type' is zlib or zstd, not '%s'", compression);
    *ret = o;
    return true;
}

bool
qcow2_create_options_parse(GHashTable *table, Qcow2CreateOptions *ret, GError **err)
{
    return qcow2_amend_options_parse(table, ret, err) && check_together(ret, err);
}

/* In the order in which qemu-img prints them. */
const BlockCreateOption qcow2_create_options[] = {
    { "encryption", "Encrypt by the old method AES (refused)", NULL, BLOCK_OPTION_BOOL, false },
    { "encrypt.format", "Encryption of data: luks", NULL, BLOCK_OPTION_STRING, false },
    { "encrypt.key-secret", "ID of the secret object with the passphrase", NULL,
      BLOCK_OPTION_STRING, false },
    { "encrypt.cipher-alg", "Cipher: aes-256, serpent-256, twofish-256, …", NULL,
      BLOCK_OPTION_STRING, false },
    { "encrypt.cipher-mode", "Mode of the cipher: xts, cbc", NULL, BLOCK_OPTION_STRING, false },
    { "encrypt.ivgen-alg", "Initial vectors of sectors: plain64, plain, essiv", NULL,
      BLOCK_OPTION_STRING, false },
    { "encrypt.ivgen-hash-alg", "Hash of essiv", NULL, BLOCK_OPTION_STRING, false },
    { "encrypt.hash-alg", "Hash of passphrases: sha256, sha1, sha512, …", NULL, BLOCK_OPTION_STRING,
      false },
    { "encrypt.iter-time", "Milliseconds that trying a passphrase takes", NULL, BLOCK_OPTION_NUMBER,
      true },
    { "encrypt.keyslot", "Key slot to change, 0 to 7", NULL, BLOCK_OPTION_NUMBER, true, true },
    { "encrypt.new-secret", "ID of the secret object that a slot gets", NULL, BLOCK_OPTION_STRING,
      true, true },
    { "encrypt.old-secret", "ID of the secret object whose slots are erased", NULL,
      BLOCK_OPTION_STRING, true, true },
    { "encrypt.state", "What slots become: active, inactive", NULL, BLOCK_OPTION_STRING, true,
      true },
    { "cluster_size", "Bytes of one cluster, a power of two", "65536", BLOCK_OPTION_SIZE, false },
    { "extended_l2", "Allocate in 1/32 of a cluster", "off", BLOCK_OPTION_BOOL, false },
    { "preallocation", "What is allocated at once: off, metadata, falloc, full", NULL,
      BLOCK_OPTION_STRING, false },
    { "compression_type", "Compressor of clusters: zlib, zstd", "zlib", BLOCK_OPTION_STRING,
      false },
    { "size", "Size of the virtual disk", NULL, BLOCK_OPTION_SIZE, true },
    { "compat", "Version of the format: 0.10 (v2), 1.1 (v3)", NULL, BLOCK_OPTION_STRING, true },
    { "backing_file", "Image below this one", NULL, BLOCK_OPTION_STRING, true },
    { "backing_fmt", "Format of the image below", NULL, BLOCK_OPTION_STRING, true },
    { "data_file", "File that holds the guest's data instead", NULL, BLOCK_OPTION_STRING, true },
    { "data_file_raw", "Keep the data file a raw image at all times", NULL, BLOCK_OPTION_BOOL,
      true },
    { "lazy_refcounts", "Write reference counts late; a check mends them", "off", BLOCK_OPTION_BOOL,
      true },
    { "refcount_bits", "Bits of one reference count, 1 to 64", "16", BLOCK_OPTION_NUMBER, true },
    BLOCK_CREATE_OPTIONS_FILE,
    { NULL, NULL, NULL, BLOCK_OPTION_STRING, false },
};
