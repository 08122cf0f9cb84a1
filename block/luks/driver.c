/* driver.c - the format luks: a LUKS volume as an image of its own.
 *
 * All bytes go through threads that may wait, where they are encrypted and decrypted. Left out:
 * headers in a file of their own.
 *
 * Source: LUKS On-Disk Format Specification 1.2.3; options as qemu-img(1) has them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "block/luks/luks.h"
#include "block/mapped.h"
#include "util/error.h"

typedef struct {
    Luks luks;
    LuksSectors sectors;
    BlockOpenOps ops; /* for secrets of key slots */
    uint64_t payload;
} LuksImage;

static int
image_probe(const uint8_t *head, size_t length, const char *filename)
{
    (void)filename;
    return luks_header_is(head, length) ? 100 : 0;
}

static bool
image_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    const BlockImageOptions *image = block_opening_image(opening);
    LuksImage *m = node->state;
    g_autofree char *id = block_options_take(opts, "key-secret");
    size_t length = 0;
    uint8_t *pass;
    bool fine;

    m->ops = image->ops;
    if (!luks_open(&m->luks, node->file, 0, node->file->size, &m->ops, err))
        return false;
    m->payload = (uint64_t)m->luks.header.payload * LUKS_SECTOR;
    node->size = node->file->size - m->payload;
    luks_sectors_init(&m->sectors, NULL);
    if (image->no_io)
        return true;
    pass = luks_secret_get(&m->ops, id, block_node_filename(node), "key-secret", &length, err);
    fine = pass && luks_unlock(&m->luks, pass, length, err);
    luks_secret_free(pass, length);
    m->sectors.cipher = m->luks.cipher;
    return fine;
}

static void
image_close(BlockNode *node)
{
    LuksImage *m = node->state;

    if (!m)
        return;
    luks_sectors_clear(&m->sectors);
    luks_close(&m->luks);
}

static int
image_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    LuksImage *m = node->state;

    return luks_sectors_read(&m->sectors, node->file, m->payload + offset, offset, buf, length);
}

static int
image_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    LuksImage *m = node->state;

    (void)flags;
    return luks_sectors_write(&m->sectors, node->file, m->payload + offset, offset, buf, length);
}

static bool
payload_resize(BlockNode *file, uint64_t payload, uint64_t size, BlockPrealloc prealloc,
               GError **err)
{
    if (size > (uint64_t)G_MAXINT64 - BLOCK_SECTOR - payload)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "a LUKS volume of %" G_GUINT64_FORMAT " bytes is too large; its "
                              "limit is %" G_GUINT64_FORMAT,
                              size, (uint64_t)G_MAXINT64 - BLOCK_SECTOR - payload);
    size = payload + (size + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
    return block_image_resize(file, size, prealloc, true, err);
}

static bool
image_create(BlockNode *file, GHashTable *options, const BlockImageOptions *image, GError **err)
{
    BlockPrealloc prealloc = BLOCK_PREALLOC_OFF;
    LuksOptions o;
    uint64_t payload = 0;

    luks_options_find(options, "", &o);
    return block_prealloc_parse(g_hash_table_lookup(options, "preallocation"), &prealloc, err) &&
           luks_crypto_need(&image->ops, err) && luks_options_payload(&o, &payload, err) &&
           payload_resize(file, payload, mapped_option_size(options, "size", 0), prealloc, err) &&
           luks_format(file, 0, &o, &image->ops, err);
}

static bool
image_resize(BlockNode *node, uint64_t size, BlockPrealloc prealloc, GError **err)
{
    LuksImage *m = node->state;

    if (!payload_resize(node->file, m->payload, size, prealloc, err))
        return false;
    node->size = node->file->size - m->payload;
    return true;
}

static JsonObject *
image_specific(BlockNode *node)
{
    LuksImage *m = node->state;
    JsonObject *info = json_object_new();

    json_object_set_string_member(info, "type", "luks");
    json_object_set_object_member(info, "data", luks_describe(&m->luks));
    return info;
}

static bool
image_is_encrypted(const BlockNode *node)
{
    (void)node;
    return true;
}

static bool
image_amend(BlockNode *node, GHashTable *options, BlockProgress progress, void *opaque,
            GError **err)
{
    LuksImage *m = node->state;
    LuksOptions o;

    (void)progress;
    (void)opaque;
    if (block_node_read_only(node))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "image '%s' is open for reading only",
                              block_node_filename(node));
    luks_options_find(options, "", &o);
    return luks_amend(&m->luks, &o, &m->ops, err);
}

static bool
image_measure(GHashTable *options, BlockNode *source, BlockMeasure *ret, GError **err)
{
    uint64_t size = source ? source->size : mapped_option_size(options, "size", 0), payload = 0;
    LuksOptions o;

    luks_options_find(options, "", &o);
    if (!luks_options_payload(&o, &payload, err))
        return false;
    size = payload + (size + LUKS_SECTOR - 1) / LUKS_SECTOR * LUKS_SECTOR;
    *ret = (BlockMeasure){ .required = size, .fully_allocated = size };
    return true;
}

static const BlockCreateOption create_options[] = {
    { "size", "Virtual disk size", NULL, BLOCK_OPTION_SIZE, false },
    { "key-secret", "ID of the secret object with the passphrase", NULL, BLOCK_OPTION_STRING,
      false },
    { "cipher-alg", "Cipher: aes-256, serpent-256, twofish-256, …", NULL, BLOCK_OPTION_STRING,
      false },
    { "cipher-mode", "Mode of the cipher: xts, cbc", NULL, BLOCK_OPTION_STRING, false },
    { "ivgen-alg", "Initial vectors of sectors: plain64, plain, essiv", NULL, BLOCK_OPTION_STRING,
      false },
    { "ivgen-hash-alg", "Hash of essiv", NULL, BLOCK_OPTION_STRING, false },
    { "hash-alg", "Hash of passphrases: sha256, sha1, sha512, …", NULL, BLOCK_OPTION_STRING,
      false },
    { "iter-time", "Milliseconds that trying a passphrase takes", NULL, BLOCK_OPTION_NUMBER, true },
    BLOCK_CREATE_OPTIONS_FILE,
    { .name = "preallocation",
      .help = "What is allocated at once: off, falloc, full",
      .kind = BLOCK_OPTION_STRING,
      .of_file = true },
    { "keyslot", "Key slot to change, 0 to 7", NULL, BLOCK_OPTION_NUMBER, true, true },
    { "new-secret", "ID of the secret object that a slot gets", NULL, BLOCK_OPTION_STRING, true,
      true },
    { "old-secret", "ID of the secret object whose slots are erased", NULL, BLOCK_OPTION_STRING,
      true, true },
    { "state", "What slots become: active, inactive", NULL, BLOCK_OPTION_STRING, true, true },
    { 0 },
};

const BlockDriver block_luks_driver = {
    .name = "luks",
    .is_plain = true,
    .state_size = sizeof(LuksImage),
    .create_options = create_options,
    .probe = image_probe,
    .open = image_open,
    .close = image_close,
    .pread = image_pread,
    .pwrite = image_pwrite,
    .create = image_create,
    .resize = image_resize,
    .specific = image_specific,
    .is_encrypted = image_is_encrypted,
    .amend = image_amend,
    .measure = image_measure,
};
