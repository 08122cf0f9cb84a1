/* crypt.h - encrypted volumes: what a call of kiln-img is told of them. See crypt.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_CRYPT_H
#define KILN_DRIVER_STORAGE_CRYPT_H

#include "driver/storage/img_call.h"
#include "driver/storage/private.h"

/* Options of a new image: a LUKS volume, or (@inside) qcow2. */
bool storage_crypt_add_new(StorageManager *manager, ImgCall *call,
                           const DomainEncryption *encryption, bool inside, GError **err);
/* What opens the encrypted image of @target with --image-opts; g_free(). NULL with
 * VIR_ERR_NO_SECRET (66) when its secret is not there or has no value. */
char *storage_crypt_options(StorageManager *manager, ImgCall *call, const StorageVolTarget *target,
                            GError **err);

/* Whether an image of @format can be encrypted as @def asks; codes as libvirt's. */
bool storage_crypt_check_new(const StorageVolDef *def, const char *format, GError **err);
/* Whether the volume can be opened, encrypted or not; @code when its secret is not known. */
bool storage_crypt_check_open(const StorageVolDef *def, int code, GError **err);
/* Names the secret that is used for the path of an encrypted volume, if none is known and there is
 * one. Without the registry's lock. */
void storage_crypt_complete(StorageManager *manager, StorageVolDef *def);

#endif
