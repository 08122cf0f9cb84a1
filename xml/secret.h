/* secret.h - <secret>: what a secret is for, as XML (libvirt formatsecret, schema secret.rng of
 * 9.0). Its value is never in the XML.
 *
 * Usage type 'none' and no <usage> at all are the same; neither is printed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_SECRET_H
#define KILN_XML_SECRET_H

#include <glib.h>

#include "xml/xmltab.h"

typedef struct {
    int type; /* virSecretUsageType + 1, never 0 */
    char *id; /* path, name or target; NULL for type none */
} SecretUsage;

typedef struct {
    int ephemeral, is_private; /* Tristate, never absent */
    char *uuid;                /* never NULL */
    char *description;
    SecretUsage *usage; /* NULL: for nothing in particular */
} SecretDef;

typedef enum {
    SECRET_DEF_VALIDATE = 1 << 0, /* refuse what the schema does not allow */
} SecretDefFlags;

/* The root's table. */
extern const XmlType secret_def_type;

/* Parses and checks; makes up a UUID when none is given. NULL with VIR_ERR_XML_ERROR,
 * VIR_ERR_XML_DETAIL (not well formed) or VIR_ERR_XML_INVALID_SCHEMA. */
SecretDef *secret_def_parse(const char *xml, unsigned flags, GError **err);

/* g_free() the text. */
char *secret_def_format(const SecretDef *def);

/* virSecretUsageType, and the thing it is used for or NULL. */
int secret_def_usage_type(const SecretDef *def);
const char *secret_def_usage_id(const SecretDef *def);

/* The name of a virSecretUsageType, or NULL when there is none. */
const char *secret_usage_name(int type);

SecretDef *secret_def_copy(const SecretDef *def);
void secret_def_free(SecretDef *def);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SecretDef, secret_def_free)

#endif
