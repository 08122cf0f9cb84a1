/* private.h - the manager and its secrets, as the files of this room see them.
 *
 * Locks are the registry's; `change` is held while files are written. Whoever holds it may read all
 * fields without `lock`.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_SECRET_PRIVATE_H
#define KILN_DRIVER_SECRET_PRIVATE_H

#include "driver/secret/secret.h"
#include "util/registry.h"
#include "xml/secret.h"

struct SecretManager {
    Registry registry; /* names are UUIDs */
    const SecretOps *ops;
    void *opaque;
};

struct Secret {
    RegistryObject object;
    SecretManager *manager;
    int usage_type; /* constant, as is the next */
    char *usage_id; /* "" when there is none */

    SecretDef *def;
    GBytes *value; /* NULL: none */
};

/* store.c; with `change` held */
bool secret_store_value(const SecretManager *manager, const SecretDef *def, GBytes *value,
                        GError **err);
/* The files that are there, of the definition and the value. */
bool secret_store_remove(const SecretManager *manager, const SecretDef *def, GError **err);
/* The value of @def's file; NULL with @err unset when there is none. */
GBytes *secret_store_read_value(const SecretManager *manager, const SecretDef *def, GError **err);

#endif
