/* xml_validate.c - checking documents against the RELAX NG grammar of a table (libxml2's validator).
 *
 * Compiling a grammar takes some thirty times as long as using it, so who validates keeps an
 * XmlSchema.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"
#include "xmltab_strict.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/xmlschemastypes.h>
#include <string.h>

struct XmlSchema {
    const XmlType *type;
    GMutex lock;         /* of @grammar, which libxml2 does not promise to leave alone */
    xmlRelaxNG *grammar; /* NULL before its first use */
};

XmlSchema *
xml_schema_new(const XmlType *type)
{
    XmlSchema *schema = g_new0(XmlSchema, 1);

    schema->type = type;
    g_mutex_init(&schema->lock);
    return schema;
}

void
xml_schema_free(XmlSchema *schema)
{
    if (!schema)
        return;
    xmlRelaxNGFree(schema->grammar);
    g_mutex_clear(&schema->lock);
    g_free(schema);
}

/* libxml2 fills these tables at their first use, without a lock. */
static void
init_schema_types(void)
{
    static gsize done;

    if (g_once_init_enter(&done)) {
        xmlInitParser();
        xmlSchemaInitTypes();
        xmlRelaxNGInitTypes();
        g_once_init_leave(&done, 1);
    }
}

static void
take_error(void *opaque, const xmlError *error)
{
    GString *text = opaque;

    /* The first errors are about the outermost element and say least; keep the deepest line. */
    if (!error || !error->message)
        return;
    g_string_append_printf(text, "%sline %d: %s", text->len ? "; " : "", error->line,
                           error->message);
    g_strchomp(text->str);
    text->len = strlen(text->str);
}

static xmlRelaxNG *
compile(const XmlType *type, GString *errors)
{
    g_autofree char *text = xml_type_schema(type);
    xmlRelaxNGParserCtxt *parser;
    xmlRelaxNG *grammar = NULL;

    init_schema_types();
    parser = xmlRelaxNGNewMemParserCtxt(text, (int)strlen(text));
    if (parser) {
        xmlRelaxNGSetParserStructuredErrors(parser, (xmlStructuredErrorFunc)take_error, errors);
        grammar = xmlRelaxNGParse(parser);
    }
    xmlRelaxNGFreeParserCtxt(parser);
    return grammar;
}

/* 0: valid, above: not, below: could not be told. With the lock held. */
static int
validate(XmlSchema *schema, const xmlDoc *doc, GString *errors)
{
    xmlRelaxNGValidCtxt *valid = NULL;
    int result = -1;

    if (!schema->grammar)
        schema->grammar = compile(schema->type, errors);
    if (schema->grammar)
        valid = xmlRelaxNGNewValidCtxt(schema->grammar);
    if (valid) {
        xmlRelaxNGSetValidStructuredErrors(valid, (xmlStructuredErrorFunc)take_error, errors);
        result = xmlRelaxNGValidateDoc(valid, (xmlDoc *)doc);
    }
    xmlRelaxNGFreeValidCtxt(valid);
    return result;
}

bool
xml_schema_validate(XmlSchema *schema, const xmlDoc *doc, GError **err)
{
    g_autoptr(GString) errors = g_string_new(NULL);
    void *obj;
    int result;

    g_mutex_lock(&schema->lock);
    result = validate(schema, doc, errors);
    g_mutex_unlock(&schema->lock);
    if (result == 0)
        return true;
    if (result < 0)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Unable to use the RNG schema: %s",
                              errors->str);
    if (!xml_strict_check(schema->type, xmlDocGetRootElement(doc), err))
        return false;
    /* Most values have a better message of their own. */
    obj = xml_type_parse(schema->type, xmlDocGetRootElement(doc), 0, err);
    if (!obj) {
        if (err && *err && (*err)->domain == KILN_ERROR)
            (*err)->code = VIR_ERR_XML_INVALID_SCHEMA;
        return false;
    }
    xml_type_free(schema->type, obj);
    return kiln_error_set(err, VIR_ERR_XML_INVALID_SCHEMA, "%s", errors->str);
}
