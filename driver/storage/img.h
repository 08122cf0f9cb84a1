/* img.h - calls of kiln-img, with the secrets of encrypted volumes in pipes. See crypt.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_IMG_H
#define KILN_DRIVER_STORAGE_IMG_H

#include "driver/storage/private.h"

/* One call. */
typedef struct {
    StorageManager *manager;
    GPtrArray *words; /* char * */
    GArray *pipes;    /* int: the secrets' values */
} StorageImg;

/* `kiln-img @command -q`; quiet, and what follows is added. */
void storage_img_init(StorageImg *img, StorageManager *manager, const char *command);
/* Of one that was not begun (all zero), nothing. */
void storage_img_clear(StorageImg *img);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StorageImg, storage_img_clear)

void storage_img_add(StorageImg *img, const char *word);
void storage_img_add_size(StorageImg *img, uint64_t bytes);
/* -o @key=@value, whatever @value is. */
void storage_img_add_option(StorageImg *img, const char *key, const char *value);
/* Once. */
bool storage_img_run(StorageImg *img, GError **err);

/* Makes the secret of @encryption known to the call, which wants one; its id there, g_free(). NULL
 * with VIR_ERR_NO_SECRET (66) when it is not there or has no value. */
char *storage_img_add_secret(StorageImg *img, const DomainEncryption *encryption, GError **err);
/* Options of a new image: a LUKS volume, or (@inside) qcow2. */
bool storage_img_add_encryption(StorageImg *img, const DomainEncryption *encryption, bool inside,
                                GError **err);
/* What opens the encrypted image of @target with --image-opts; g_free(). */
char *storage_img_options(StorageImg *img, const StorageVolTarget *target, GError **err);

/* Whether an image of @format can be encrypted as @def asks; codes as libvirt's. */
bool storage_crypt_check_new(const StorageVolDef *def, const char *format, GError **err);
/* Whether the volume can be opened, encrypted or not; @code when its secret is not known. */
bool storage_crypt_check_open(const StorageVolDef *def, int code, GError **err);
/* Names the secret that is used for the path of an encrypted volume, if none is known and there is
 * one. Without the registry's lock. */
void storage_crypt_complete(StorageManager *manager, StorageVolDef *def);

#endif
