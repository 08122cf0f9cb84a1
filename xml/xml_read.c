/* xml_read.c - reading untrusted XML text with libxml2.
 *
 * No network, no document type and so no entities of the document's own, bounded length and depth.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <string.h>

enum {
    READ_OPTIONS = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOBLANKS |
                   XML_PARSE_NOCDATA
};

/* What xml_read() wants to know of the parser's way, in xmlParserCtxt._private. */
typedef struct {
    bool doctype;
    char *message; /* of the first error; the later ones only follow from it */
} Report;

static void
refuse_doctype(void *opaque, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxt *ctxt = opaque;
    Report *report = ctxt->_private;

    (void)name;
    (void)external;
    (void)system;
    report->doctype = true;
    xmlStopParser(ctxt);
}

/* The line that the parser stopped in and a caret below the place. */
static char *
context_of(xmlParserCtxt *ctxt)
{
    const xmlParserInput *input = ctxt->input;
    const xmlChar *cur, *base;
    GString *text;
    size_t before = 0, after = 0, caret;

    if (!input || !input->base || !input->cur)
        return g_strdup("");
    cur = input->cur;
    base = input->base;
    while (cur > base && (*cur == '\n' || *cur == '\r' || !*cur))
        cur--;
    while (before < 60 && cur - before > base && cur[-(ptrdiff_t)before - 1] != '\n')
        before++;
    while (after < 20 && cur[after] && cur[after] != '\n')
        after++;
    text = g_string_new("\n");
    g_string_append_len(text, (const char *)cur - before, (gssize)(before + after));
    g_string_append_c(text, '\n');
    for (caret = 0; caret < before; caret++)
        g_string_append_c(text, '-');
    g_string_append_c(text, '^');
    for (gsize i = 0; i < text->len; i++)
        if ((signed char)text->str[i] < 0 || (text->str[i] < 0x20 && text->str[i] != '\n'))
            text->str[i] = '.';
    return g_string_free(text, FALSE);
}

static void
note_error(void *opaque, xmlError *error)
{
    xmlParserCtxt *ctxt = opaque;
    Report *report = ctxt->_private;
    g_autofree char *context = NULL;
    g_autofree char *message = NULL;

    if (report->message || error->level < XML_ERR_ERROR)
        return;
    context = context_of(ctxt);
    message = g_utf8_make_valid(error->message ? error->message : "unknown error", -1);
    g_strchomp(message);
    report->message = g_strdup_printf("%d: %s%s", error->line, message, context);
}

static bool
too_deep(const xmlNode *node, unsigned depth)
{
    if (depth > XML_MAX_DEPTH)
        return true;
    for (const xmlNode *child = node->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && too_deep(child, depth + 1))
            return true;
    return false;
}

static xmlDoc *
read_text(xmlParserCtxt *ctxt, const char *xml, size_t length, const char *what, GError **err)
{
    Report report = { 0 };
    g_autoptr(xmlDoc) doc = NULL;
    g_autofree char *message = NULL;

    ctxt->_private = &report;
    ctxt->sax->internalSubset = refuse_doctype;
    ctxt->sax->serror = note_error;
    doc = xmlCtxtReadMemory(ctxt, xml, (int)length, NULL, NULL, READ_OPTIONS);
    message = report.message;
    if (report.doctype)
        kiln_error_set(
            err, VIR_ERR_XML_ERROR,
            "(%s): a document type declaration (<!DOCTYPE …>) is not accepted; remove it "
            "and write entities out",
            what);
    else if (message || !doc || !ctxt->wellFormed || !xmlDocGetRootElement(doc))
        kiln_error_set(err, VIR_ERR_XML_DETAIL, "(%s):%s", what,
                       message ? message : "1: the document is empty");
    else if (too_deep(xmlDocGetRootElement(doc), 1))
        kiln_error_set(err, VIR_ERR_XML_ERROR,
                       "(%s): elements are nested deeper than the limit of %d", what,
                       XML_MAX_DEPTH);
    else
        return g_steal_pointer(&doc);
    return NULL;
}

const xmlNode *
xml_child(const xmlNode *node, const char *name)
{
    for (const xmlNode *child = node ? node->children : NULL; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && strcmp((const char *)child->name, name) == 0)
            return child;
    return NULL;
}

xmlDoc *
xml_read(const char *xml, size_t length, const char *what, GError **err)
{
    xmlParserCtxt *ctxt;
    xmlDoc *doc;

    if (length > XML_MAX_LENGTH) {
        kiln_error_set(err, VIR_ERR_XML_ERROR,
                       "(%s): the document of %zu bytes is larger than the limit of %d", what,
                       length, XML_MAX_LENGTH);
        return NULL;
    }
    xmlInitParser();
    ctxt = xmlNewParserCtxt();
    if (!ctxt) {
        kiln_error_set(err, VIR_ERR_NO_MEMORY, "(%s): no memory for the XML parser", what);
        return NULL;
    }
    doc = read_text(ctxt, xml, length, what, err);
    xmlFreeParserCtxt(ctxt);
    return doc;
}

/* --- fragments -------------------------------------------------------------------------------- */

xmlDoc *
xml_parse_fragment(const char *xml)
{
    xmlParserCtxt *ctxt;
    xmlDoc *doc;

    xmlInitParser();
    ctxt = xmlNewParserCtxt();
    if (!ctxt)
        return NULL;
    doc = xmlCtxtReadMemory(ctxt, xml, (int)strlen(xml), NULL, NULL, READ_OPTIONS);
    xmlFreeParserCtxt(ctxt);
    if (doc && !xmlDocGetRootElement(doc))
        g_clear_pointer(&doc, xmlFreeDoc);
    return doc;
}

/* The same namespace always by the same prefix, so that what was printed reads back alike. */
static void
rename_prefixes(xmlNode *node, const XmlNamespace *space)
{
    for (xmlNs *ns = node->nsDef; ns; ns = ns->next)
        if (ns->href && ns->prefix && strcmp((const char *)ns->href, space->uri) == 0 &&
            strcmp((const char *)ns->prefix, space->prefix) != 0) {
            xmlFree((xmlChar *)ns->prefix);
            ns->prefix = xmlStrdup((const xmlChar *)space->prefix);
        }
    for (xmlNode *child = node->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE)
            rename_prefixes(child, space);
}

char *
xml_node_dump(xmlNode *node, const XmlNamespace *spaces)
{
    g_autoptr(xmlDoc) doc = xmlNewDoc((const xmlChar *)"1.0");
    xmlNode *copy = doc ? xmlDocCopyNode(node, doc, 1) : NULL;
    xmlBuffer *buffer = xmlBufferCreate();
    char *text = NULL;

    if (copy) {
        xmlDocSetRootElement(doc, copy);
        for (; spaces && spaces->prefix; spaces++)
            rename_prefixes(copy, spaces);
        if (buffer && xmlNodeDump(buffer, doc, copy, 0, 0) >= 0)
            text = g_strdup((const char *)xmlBufferContent(buffer));
    }
    xmlBufferFree(buffer);
    return text ? text : g_strdup("");
}
