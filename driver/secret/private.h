/* private.h - the manager and its secrets, as the files of this room see them.
 *
 * Locks, in the order in which they are taken:
 *   change   held while files are written; may be held long.
 *   lock     short; guards the table and the fields of secrets that are not marked constant.
 *            Whoever holds `change` may read them without it, and takes it to write.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_SECRET_PRIVATE_H
#define KILN_DRIVER_SECRET_PRIVATE_H

#include "driver/secret/secret.h"
#include "xml/secret.h"

struct SecretManager {
    gatomicrefcount refs;
    char *config_dir; /* constant */
    const SecretOps *ops;
    void *opaque;

    GMutex change, lock;
    GHashTable *by_uuid; /* uuid → Secret, a reference */
};

struct Secret {
    gatomicrefcount refs;
    SecretManager *manager; /* a reference */
    uint8_t uuid[16];       /* constant, as are the next two */
    int usage_type;
    char *usage_id; /* "" when there is none */

    SecretDef *def;
    GBytes *value; /* NULL: none */
    bool registered;
};

/* store.c; with `change` held */
bool secret_store_def(const SecretManager *manager, const SecretDef *def, GError **err);
bool secret_store_value(const SecretManager *manager, const SecretDef *def, GBytes *value,
                        GError **err);
/* The files that are there. */
bool secret_store_remove(const SecretManager *manager, const SecretDef *def, GError **err);
/* The value of @def's file; NULL with @err unset when there is none. */
GBytes *secret_store_read_value(const SecretManager *manager, const SecretDef *def, GError **err);
/* All readable definitions (SecretDef *); unreadable ones are told and passed over. */
GPtrArray *secret_store_load(const SecretManager *manager, GError **err);

void secret_manager_warn(const SecretManager *manager, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
