/* secret.c - the table of <secret> (libvirt formatsecret; schema secret.rng of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/secret.h"

#include <libvirt/libvirt.h>
#include <string.h>

#include "util/error.h"

/* By virSecretUsageType, one on. */
static const char *const usage_types[] = {
    "", "none", "volume", "ceph", "iscsi", "tls", "vtpm", NULL,
};

SecretDef *
secret_def_parse(const char *xml, unsigned flags, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "secret_definition", err);
    SecretDef *def;
    xmlNode *root;

    if (!doc)
        return NULL;
    root = xmlDocGetRootElement(doc);
    if (!root || strcmp((const char *)root->name, "secret") != 0) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <secret>",
                       root ? (const char *)root->name : "");
        return NULL;
    }
    if ((flags & SECRET_DEF_VALIDATE) && !xml_type_validate(&secret_def_type, root, err))
        return NULL;
    def = xml_type_parse(&secret_def_type, root, 0, err);
    if (!def)
        return NULL;
    if (!def->uuid)
        def->uuid = xml_uuid_random();
    if (!def->ephemeral)
        def->ephemeral = TRISTATE_OFF;
    if (!def->is_private)
        def->is_private = TRISTATE_OFF;
    if (secret_def_usage_type(def) == VIR_SECRET_USAGE_TYPE_NONE)
        g_clear_pointer(&def->usage, g_free); /* it holds nothing more */
    return def;
}

char *
secret_def_format(const SecretDef *def)
{
    return xml_type_format(&secret_def_type, def, 0);
}

int
secret_def_usage_type(const SecretDef *def)
{
    return def->usage ? def->usage->type - 1 : VIR_SECRET_USAGE_TYPE_NONE;
}

const char *
secret_def_usage_id(const SecretDef *def)
{
    return def->usage ? def->usage->id : NULL;
}

const char *
secret_usage_name(int type)
{
    return type >= 0 && type < (int)G_N_ELEMENTS(usage_types) - 2 ? usage_types[type + 1] : NULL;
}

SecretDef *
secret_def_copy(const SecretDef *def)
{
    return xml_type_copy(&secret_def_type, def);
}

void
secret_def_free(SecretDef *def)
{
    xml_type_free(&secret_def_type, def);
}

static bool
check_usage(const void *obj, GError **err)
{
    static const char *const wanted[] = { "", NULL, "volume", "name", "target", "name", "name" };
    const SecretUsage *usage = obj;
    const char *element = wanted[usage->type];

    return !element || usage->id ||
           kiln_error_set(err, VIR_ERR_XML_ERROR, "%s usage specified, but <%s> is missing",
                          usage_types[usage->type], element);
}

#define USAGE(field) offsetof(SecretUsage, field)
#define FOR(name) XML_WHEN(VIR_SECRET_USAGE_TYPE_##name + 1)
static const XmlRow usage_rows[] = {
    { NULL, "type", XML_ENUM, USAGE(type), XML_REQUIRED | XML_UNKNOWN_WORD, .names = usage_types },
    { "volume", NULL, XML_STRING, USAGE(id), .when = FOR(VOLUME) },
    { "name", NULL, XML_STRING, USAGE(id), .when = FOR(CEPH) | FOR(TLS) | FOR(VTPM) },
    { "target", NULL, XML_STRING, USAGE(id), .when = FOR(ISCSI) },
};
static const XmlType usage_xml =
    XML_TYPE("secret-usage", SecretUsage, usage_rows, .check = check_usage,
             .selector = XML_SELECTOR(SecretUsage, type));

#define DEF(field) offsetof(SecretDef, field)
static const XmlRow secret_rows[] = {
    { NULL, "ephemeral", XML_YESNO, DEF(ephemeral) },
    { NULL, "private", XML_YESNO, DEF(is_private) },
    { "uuid", NULL, XML_UUID, DEF(uuid) },
    { "description", NULL, XML_STRING, DEF(description) },
    { "usage", NULL, XML_STRUCT, DEF(usage), .type = &usage_xml },
};
const XmlType secret_def_type = XML_TYPE("secret", SecretDef, secret_rows);
