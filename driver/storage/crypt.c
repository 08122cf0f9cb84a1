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
#include <unistd.h>

#include "driver/secret/secret.h"
#include "driver/storage/img.h"
#include "util/error.h"

/* --- calls of kiln-img ------------------------------------------------------------------------ */

void
storage_img_init(StorageImg *img, StorageManager *m, const char *command)
{
    img->manager = m;
    img->words = g_ptr_array_new_with_free_func(g_free);
    img->pipes = g_array_new(FALSE, FALSE, sizeof(int));
    storage_img_add(img, m->img);
    storage_img_add(img, command);
    storage_img_add(img, "-q");
}

void
storage_img_clear(StorageImg *img)
{
    if (!img->words)
        return;
    for (guint i = 0; i < img->pipes->len; i++)
        close(g_array_index(img->pipes, int, i));
    g_array_unref(img->pipes);
    g_ptr_array_unref(img->words);
}

void
storage_img_add(StorageImg *img, const char *word)
{
    g_ptr_array_add(img->words, g_strdup(word));
}

void
storage_img_add_size(StorageImg *img, uint64_t bytes)
{
    g_ptr_array_add(img->words, g_strdup_printf("%" G_GUINT64_FORMAT, bytes));
}

void
storage_img_add_option(StorageImg *img, const char *key, const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    g_autofree char *escaped = g_strjoinv(",,", parts);

    storage_img_add(img, "-o");
    g_ptr_array_add(img->words, g_strconcat(key, "=", escaped, NULL));
}

bool
storage_img_run(StorageImg *img, GError **err)
{
    g_ptr_array_add(img->words, NULL);
    return storage_run_given((const char *const *)img->words->pdata, img->pipes, err);
}

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

char *
storage_img_add_secret(StorageImg *img, const DomainEncryption *encryption, GError **err)
{
    const StorageManager *m = img->manager;
    const DomainDiskSecret *secret = encryption->secrets->pdata[0];
    g_autoptr(GBytes) value = NULL;
    g_autofree char *id = NULL;
    int fd;

    if (!m->ops || !m->ops->secret) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "a volume is encrypted, and there are no secrets here");
        return NULL;
    }
    value =
        m->ops->secret(m->opaque, secret->uuid, VIR_SECRET_USAGE_TYPE_VOLUME, secret->usage, err);
    fd = value ? secret_value_pipe(value, err) : -1;
    if (fd < 0)
        return NULL;
    id = g_strdup_printf("secret%u", img->pipes->len);
    storage_img_add(img, "--object");
    g_ptr_array_add(img->words, g_strdup_printf("secret,id=%s,file=/dev/fd/%u", id,
                                                (unsigned)STORAGE_FD_FIRST + img->pipes->len));
    g_array_append_val(img->pipes, fd);
    return g_steal_pointer(&id);
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
add_crypt(StorageImg *img, bool inside, const char *key, const char *value)
{
    g_autofree char *full = inside ? g_strconcat("encrypt.", key, NULL) : g_strdup(key);

    if (value)
        storage_img_add_option(img, full, value);
}

bool
storage_img_add_encryption(StorageImg *img, const DomainEncryption *encryption, bool inside,
                           GError **err)
{
    const DomainCipher *cipher = encryption->cipher;
    g_autofree char *id = storage_img_add_secret(img, encryption, err);

    if (!id)
        return false;
    if (inside)
        storage_img_add_option(img, "encrypt.format", "luks");
    add_crypt(img, inside, "key-secret", id);
    if (cipher) {
        g_autofree char *name =
            g_strdup_printf("%s-%" G_GUINT64_FORMAT, cipher->name, cipher->size);

        add_crypt(img, inside, "cipher-alg", name);
        add_crypt(img, inside, "cipher-mode", cipher->mode);
        add_crypt(img, inside, "hash-alg", cipher->hash);
    }
    if (encryption->ivgen) {
        add_crypt(img, inside, "ivgen-alg", encryption->ivgen->name);
        add_crypt(img, inside, "ivgen-hash-alg", encryption->ivgen->hash);
    }
    return true;
}

char *
storage_img_options(StorageImg *img, const StorageVolTarget *target, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(target->path, ",", -1);
    g_autofree char *path = g_strjoinv(",,", parts);
    g_autofree char *id = storage_img_add_secret(img, target->encryption, err);

    if (!id)
        return NULL;
    return strcmp(target->format, "raw") == 0
               ? g_strdup_printf("driver=luks,key-secret=%s,file.filename=%s", id, path)
               : g_strdup_printf("driver=%s,encrypt.format=luks,encrypt.key-secret=%s,"
                                 "file.filename=%s",
                                 target->format, id, path);
}
