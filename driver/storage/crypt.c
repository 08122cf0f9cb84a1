/* crypt.c - encrypted volumes: LUKS in a file of its own, or inside a qcow2 image.
 *
 * Follows libvirt's storage encryption (formatstorageencryption; storage driver of 9.0): such a
 * file is of format raw with <encryption format='luks'>. The secret that a volume was made with is
 * known as long as its file is the same and the daemon lives; else it is the one that is used for
 * the volume's path. Values go to kiln-img through pipes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/secret/secret.h"
#include "driver/storage/crypt.h"
#include "util/error.h"

/* --- secrets ---------------------------------------------------------------------------------- */

void
storage_crypt_complete(StorageManager *m, StorageVolDef *def)
{
    const DomainEncryption *encryption = def->target->encryption;
    g_autofree char *uuid = NULL;

    if (!encryption || encryption->secrets->len || !m->ops || !m->ops->secret_for)
        return;
    uuid = m->ops->secret_for(m->opaque, VIR_SECRET_USAGE_TYPE_VOLUME, def->target->path);
    if (uuid)
        storage_vol_def_add_secret(def, uuid);
}

/* The secret's id for the call; NULL with VIR_ERR_NO_SECRET when it is not there or has no value.
 */
static char *
add_secret(const StorageManager *m, ImgCall *call, const DomainEncryption *encryption, GError **err)
{
    const DomainDiskSecret *secret = encryption->secrets->pdata[0];
    g_autoptr(GBytes) value = NULL;
    int fd;

    if (!m->ops || !m->ops->secret) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "a volume is encrypted, and there are no secrets here");
        return NULL;
    }
    value =
        m->ops->secret(m->opaque, secret->uuid, VIR_SECRET_USAGE_TYPE_VOLUME, secret->usage, err);
    fd = value ? secret_value_pipe(value, err) : -1;
    return fd < 0 ? NULL : img_call_add_secret(call, fd);
}

/* --- images ----------------------------------------------------------------------------------- */

bool
storage_crypt_check_new(const StorageVolDef *def, const char *format, GError **err)
{
    const DomainEncryption *encryption = def->target->encryption;
    bool raw = strcmp(format, "raw") == 0;

    if (!encryption)
        return true;
    if (!raw && strcmp(format, "qcow2") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': encryption is not supported with format '%s', only "
                              "with raw and qcow2",
                              def->name, format);
    if (encryption->engine == DOMAIN_ENCRYPTION_ENGINE_LIBRBD)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s': <encryption engine='librbd'> is not supported",
                              def->name);
    if (encryption->secrets->len != 1)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "volume '%s': <encryption> wants one <secret type='passphrase'>, not "
                              "%u",
                              def->name, encryption->secrets->len);
    return encryption->format == DOMAIN_ENCRYPTION_LUKS ||
           kiln_error_set(err, raw ? VIR_ERR_INTERNAL_ERROR : VIR_ERR_CONFIG_UNSUPPORTED,
                          "volume '%s': <encryption format='%s'> cannot be made, only 'luks'",
                          def->name, domain_encryption_formats[encryption->format]);
}

bool
storage_crypt_check_open(const StorageVolDef *def, int code, GError **err)
{
    const DomainEncryption *encryption = def->target->encryption;

    if (!encryption)
        return true;
    if (encryption->format != DOMAIN_ENCRYPTION_LUKS)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "volume '%s' is encrypted with '%s', which is not offered", def->name,
                              domain_encryption_formats[encryption->format]);
    return encryption->secrets->len ||
           kiln_error_set(err, code,
                          "volume '%s' is encrypted, and no secret is known for it; define one "
                          "with <usage type='volume'><volume>%s</volume></usage>",
                          def->name, def->target->path);
}

static void
add_crypt(ImgCall *call, bool inside, const char *key, const char *value)
{
    g_autofree char *full = inside ? g_strconcat("encrypt.", key, NULL) : g_strdup(key);

    if (value)
        img_call_add_option(call, full, value);
}

bool
storage_crypt_add_new(StorageManager *m, ImgCall *call, const DomainEncryption *encryption,
                      bool inside, GError **err)
{
    const DomainCipher *cipher = encryption->cipher;
    g_autofree char *id = add_secret(m, call, encryption, err);

    if (!id)
        return false;
    if (inside)
        img_call_add_option(call, "encrypt.format", "luks");
    add_crypt(call, inside, "key-secret", id);
    if (cipher) {
        g_autofree char *name =
            g_strdup_printf("%s-%" G_GUINT64_FORMAT, cipher->name, cipher->size);

        add_crypt(call, inside, "cipher-alg", name);
        add_crypt(call, inside, "cipher-mode", cipher->mode);
        add_crypt(call, inside, "hash-alg", cipher->hash);
    }
    if (encryption->ivgen) {
        add_crypt(call, inside, "ivgen-alg", encryption->ivgen->name);
        add_crypt(call, inside, "ivgen-hash-alg", encryption->ivgen->hash);
    }
    return true;
}

char *
storage_crypt_options(StorageManager *m, ImgCall *call, const StorageVolTarget *target,
                      GError **err)
{
    g_auto(GStrv) parts = g_strsplit(target->path, ",", -1);
    g_autofree char *path = g_strjoinv(",,", parts);
    g_autofree char *id = add_secret(m, call, target->encryption, err);

    if (!id)
        return NULL;
    return strcmp(target->format, "raw") == 0
               ? g_strdup_printf("driver=luks,key-secret=%s,file.filename=%s", id, path)
               : g_strdup_printf("driver=%s,encrypt.format=luks,encrypt.key-secret=%s,"
                                 "file.filename=%s",
                                 target->format, id, path);
}
