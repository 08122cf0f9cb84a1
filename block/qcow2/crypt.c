/* crypt.c - encrypted qcow2 images: guest data on their way to and from the file.
 *
 * Method 2 is a LUKS volume inside of the image, whose payload are the image's clusters: sectors
 * are counted by their place in the file. Method 1, AES-128-CBC with the passphrase itself as key
 * and sectors counted by their place on the disk, gives known and chosen data away: it is read, so
 * that an image can be converted, and never written. Compressed clusters are not encrypted.
 *
 * Source: QEMU's docs/interop/qcow2.txt, "Full disk encryption header pointer", "Data encryption";
 * LUKS On-Disk Format Specification 1.2.3.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/qcow2/crypt.h"

#include <string.h>

#include "util/error.h"

enum { AES_KEY = 16 };

struct Qcow2Crypt {
    Luks luks;       /* QCOW2_CRYPT_LUKS */
    LuksCipher *aes; /* QCOW2_CRYPT_AES */
    LuksSectors sectors;
    BlockOpenOps ops;
};

static const char *
image_name(const BlockNode *node)
{
    return block_node_filename(node) ? block_node_filename(node) : "";
}

static bool
format_check(const Qcow2 *q, const char *format, GError **err)
{
    static const char *const names[] = { "off", "aes", "luks" };

    return !format || strcmp(format, names[q->header.crypt_method]) == 0 ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "qcow2 image '%s' has encryption %s, not '%s' as the option "
                          "'encrypt.format' says",
                          image_name(q->node), names[q->header.crypt_method], format);
}

static bool
aes_unlock(Qcow2Crypt *c, const uint8_t *pass, size_t length, GError **err)
{
    uint8_t key[AES_KEY] = { 0 };
    LuksSpec spec;

    memcpy(key, pass, MIN(length, sizeof(key)));
    if (luks_spec_parse("aes", "cbc-plain64", sizeof(key), &spec, err))
        c->aes = luks_cipher_new(&spec, key, err);
    explicit_bzero(key, sizeof(key));
    return c->aes != NULL;
}

static bool
crypt_unlock(BlockNode *node, Qcow2Crypt *c, const char *id, GError **err)
{
    bool is_luks = qcow2_of(node)->header.crypt_method == QCOW2_CRYPT_LUKS, fine;
    size_t length = 0;
    uint8_t *pass =
        luks_secret_get(&c->ops, id, image_name(node), "encrypt.key-secret", &length, err);

    fine = pass &&
           (is_luks ? luks_unlock(&c->luks, pass, length, err) : aes_unlock(c, pass, length, err));
    luks_secret_free(pass, length);
    c->sectors.cipher = is_luks ? c->luks.cipher : c->aes;
    return fine;
}

bool
qcow2_crypt_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    const BlockImageOptions *image = block_opening_image(opening);
    Qcow2 *q = qcow2_of(node);
    const Qcow2Header *h = &q->header;
    g_autofree char *format = block_options_take(opts, "encrypt.format");
    g_autofree char *id = block_options_take(opts, "encrypt.key-secret");
    Qcow2Crypt *c;

    if (h->crypt_method == 0)
        return (!format && !id) ||
               kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' is not encrypted, but options 'encrypt.…' are "
                              "given",
                              image_name(node));
    if (!format_check(q, format, err))
        return false;
    if (h->crypt_method == QCOW2_CRYPT_AES && !block_node_read_only(node) && !image->no_io)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "qcow2 image '%s' has the old encryption AES, which is read, not "
                              "written; convert it with kiln-img to encrypt.format=luks",
                              image_name(node));
    c = q->crypt = g_new0(Qcow2Crypt, 1);
    c->ops = image->ops;
    luks_sectors_init(&c->sectors, NULL);
    if (h->crypt_method == QCOW2_CRYPT_LUKS &&
        !luks_open(&c->luks, node->file, h->luks.offset, h->luks.length, &c->ops, err))
        return false;
    /* a check of metadata reads no data, but what it mends may */
    return image->no_io || crypt_unlock(node, c, id, err);
}

void
qcow2_crypt_close(Qcow2 *q)
{
    Qcow2Crypt *c = q->crypt;

    if (!c)
        return;
    luks_sectors_clear(&c->sectors);
    luks_cipher_free(c->aes);
    luks_close(&c->luks);
    g_clear_pointer(&q->crypt, g_free);
}

static uint64_t
sector_place(const Qcow2 *q, uint64_t guest, uint64_t host)
{
    return q->header.crypt_method == QCOW2_CRYPT_AES ? guest : host;
}

int
qcow2_data_read(Qcow2 *q, uint64_t guest, uint64_t host, void *buf, size_t length)
{
    return q->crypt ? luks_sectors_read(&q->crypt->sectors, q->data, host,
                                        sector_place(q, guest, host), buf, length)
                    : block_node_pread(q->data, host, buf, length);
}

int
qcow2_data_write(Qcow2 *q, uint64_t guest, uint64_t host, const void *buf, size_t length,
                 BlockFlags flags)
{
    return q->crypt ? luks_sectors_write(&q->crypt->sectors, q->data, host,
                                         sector_place(q, guest, host), buf, length)
                    : block_node_pwrite(q->data, host, buf, length, flags);
}

bool
qcow2_crypt_amend(BlockNode *node, GHashTable *options, GError **err)
{
    Qcow2 *q = qcow2_of(node);
    LuksOptions o;

    luks_options_find(options, "encrypt.", &o);
    if (!o.state && !o.new_secret && !o.old_secret && !o.keyslot && !o.iter_time)
        return true;
    if (q->header.crypt_method != QCOW2_CRYPT_LUKS)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "image '%s' has no LUKS encryption whose key slots could be amended",
                              image_name(node));
    return luks_amend(&q->crypt->luks, &o, &q->crypt->ops, err);
}

JsonObject *
qcow2_crypt_describe(BlockNode *node)
{
    Qcow2 *q = qcow2_of(node);
    bool is_luks = q->header.crypt_method == QCOW2_CRYPT_LUKS;
    JsonObject *info;

    if (!q->crypt)
        return NULL;
    info = is_luks ? luks_describe(&q->crypt->luks) : json_object_new();
    json_object_set_string_member(info, "format", is_luks ? "luks" : "aes");
    return info;
}
