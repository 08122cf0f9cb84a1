/* fuzz_object_xml.c - XML of the small objects from a client: parse, print, parse again, print the
 * same. The root element says which it is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "xml/secret.h"
#include "xml/snapshot.h"
#include "xml/storage_vol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_secret(const char *text)
{
    g_autoptr(SecretDef) def = secret_def_parse(text, 0, NULL);
    g_autofree char *out = def ? secret_def_format(def) : NULL;
    g_autoptr(SecretDef) again = out ? secret_def_parse(out, 0, NULL) : NULL;
    g_autofree char *twice = again ? secret_def_format(again) : NULL;

    if (g_strcmp0(out, twice) != 0)
        abort();
}

static void
check_pool(const char *text)
{
    g_autoptr(StoragePoolDef) def = storage_pool_def_parse(text, 0, NULL);
    g_autofree char *out = def ? storage_pool_def_format(def) : NULL;
    g_autoptr(StoragePoolDef) again = out ? storage_pool_def_parse(out, 0, NULL) : NULL;
    g_autofree char *twice = again ? storage_pool_def_format(again) : NULL;

    if (g_strcmp0(out, twice) != 0)
        abort();
}

static void
check_volume(const char *text)
{
    g_autoptr(StorageVolDef) def = storage_vol_def_parse(text, 0, NULL);
    g_autofree char *out = def ? storage_vol_def_format(def) : NULL;
    g_autoptr(StorageVolDef) again = out ? storage_vol_def_parse(out, 0, NULL) : NULL;
    g_autofree char *twice = again ? storage_vol_def_format(again) : NULL;

    if (g_strcmp0(out, twice) != 0)
        abort();
}

static void
check_snapshot(const char *text)
{
    static const DomainDefaults defaults = { .emulator = "/usr/bin/kiln-vmm" };
    g_autoptr(SnapshotDef) def = snapshot_def_parse(text, SNAPSHOT_PARSE_REDEFINE, &defaults, NULL);
    g_autofree char *out = NULL, *twice = NULL;
    g_autoptr(SnapshotDef) again = NULL;

    snapshot_def_free(snapshot_def_parse(text, 0, &defaults, NULL));
    if (!def || !def->domain)
        return;
    snapshot_def_align(def, SNAPSHOT_EXTERNAL, true, NULL);
    out = snapshot_def_format(def, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    again = snapshot_def_parse(out, SNAPSHOT_PARSE_REDEFINE, &defaults, NULL);
    twice =
        again ? snapshot_def_format(again, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE) : NULL;
    if (g_strcmp0(out, twice) != 0)
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);

    check_secret(text);
    check_pool(text);
    check_volume(text);
    check_snapshot(text);
    return 0;
}
