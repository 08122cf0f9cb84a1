/* xmltab_parse.c - from an XML tree to an object, row by row.
 *
 * Reads as libvirt does: the first of several elements counts, the order of elements is free,
 * unknown elements and attributes are passed over unless XML_STRICT is given, when each part of the
 * tree that a row reads is marked, and what has no mark at the end is refused.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"
#include "xmltab_strict.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    unsigned flags;
    const XmlNamespace *spaces;
} Parse;

/* In _private of elements and attributes. */
enum { MARK_READ = 1 << 0, MARK_TEXT = 1 << 1, MARK_WHOLE = 1 << 2 };

static void
mark(const Parse *parse, void **private, unsigned marks)
{
    if (parse->flags & XML_STRICT)
        *private = GUINT_TO_POINTER(GPOINTER_TO_UINT(*private) | marks);
}

static bool
has_mark(void *private, unsigned marks)
{
    return GPOINTER_TO_UINT(private) & marks;
}

static bool parse_into(const Parse *parse, const XmlType *type, void *obj, xmlNode *node,
                       GError **err);

bool
xml_name_matches(const char *part, size_t length, const xmlNode *node, const XmlNamespace *spaces)
{
    const char *colon = memchr(part, ':', length);
    const char *name = (const char *)node->name;
    size_t prefix = colon ? (size_t)(colon - part) : 0;

    if (node->type != XML_ELEMENT_NODE)
        return false;
    if (!colon)
        return !node->ns && strlen(name) == length && memcmp(name, part, length) == 0;
    if (!node->ns || !node->ns->href || strlen(name) != length - prefix - 1 ||
        memcmp(name, colon + 1, length - prefix - 1) != 0)
        return false;
    for (; spaces && spaces->prefix; spaces++)
        if (strlen(spaces->prefix) == prefix && memcmp(spaces->prefix, part, prefix) == 0)
            return strcmp((const char *)node->ns->href, spaces->uri) == 0;
    return false;
}

/* Calls for every element that @path leads to, in document order, until one call returns false. */
typedef bool (*FoundFunc)(xmlNode *node, void *opaque);

static bool
find_each(const Parse *parse, xmlNode *node, const char *path, FoundFunc found, void *opaque)
{
    size_t length = strcspn(path, "/");
    bool first = true;

    for (xmlNode *child = node->children; child; child = child->next) {
        if (!xml_name_matches(path, length, child, parse->spaces))
            continue;
        if (path[length] && first)
            mark(parse, &child->_private, MARK_READ);
        first = false;
        if (path[length] ? !find_each(parse, child, path + length + 1, found, opaque)
                         : !found(child, opaque))
            return false;
    }
    return true;
}

typedef struct {
    xmlNode *first;
    unsigned count;
} First;

static bool
take_first(xmlNode *node, void *opaque)
{
    First *first = opaque;

    if (!first->count++)
        first->first = node;
    return first->count < 2;
}

static bool
bad_value(const XmlRow *row, const xmlNode *node, const char *value, const char *legal,
          GError **err)
{
    const char *element = (const char *)node->name;
    long line = xmlGetLineNo((xmlNode *)node);
    int code = row->flags & XML_UNKNOWN_WORD ? VIR_ERR_CONFIG_UNSUPPORTED : VIR_ERR_XML_ERROR;

    if (row->attr)
        return kiln_error_set(
            err, code,
            "Invalid value for attribute '%s' in element '%s' at line %ld: '%s' is "
            "not %s",
            row->attr, element, line, value, legal);
    return kiln_error_set(err, code, "Invalid value for element '%s' at line %ld: '%s' is not %s",
                          element, line, value, legal);
}

static bool
missing(const XmlRow *row, const xmlNode *node, GError **err)
{
    const char *element = (const char *)node->name;
    long line = xmlGetLineNo((xmlNode *)node);

    if (row->attr)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Missing required attribute '%s' in element '%s' at line %ld",
                              row->attr, element, line);
    return kiln_error_set(err, VIR_ERR_XML_ERROR,
                          "Missing required element '%s' in element '%s' at line %ld",
                          row->path ? row->path : "text", element, line);
}

/* The text a scalar row or string list reads from @node, NULL when it is not there. */
static char *
attribute_text(const Parse *parse, xmlNode *node, const char *name)
{
    xmlAttr *attr = xmlHasNsProp(node, (const xmlChar *)name, NULL);
    xmlChar *raw = attr ? xmlNodeGetContent((const xmlNode *)attr) : NULL;
    char *text = raw ? g_strdup((const char *)raw) : NULL;

    xmlFree(raw);
    if (attr)
        mark(parse, &attr->_private, MARK_READ);
    return text;
}

static char *
node_text(const Parse *parse, const XmlRow *row, xmlNode *node)
{
    xmlChar *raw;
    char *text;

    if (row->attr)
        return attribute_text(parse, node, row->attr);
    raw = xmlNodeGetContent(node);
    text = raw ? g_strdup((const char *)raw) : NULL;
    xmlFree(raw);
    mark(parse, &node->_private, MARK_TEXT);
    if (text && !*text && !(row->flags & XML_KEEP_EMPTY))
        g_clear_pointer(&text, g_free);
    return text;
}

static bool
parse_scalar(const Parse *parse, const XmlRow *row, void *obj, xmlNode *node, GError **err)
{
    g_autofree char *text = node_text(parse, row, node);
    g_autofree char *legal = NULL;
    g_autofree char *unit = NULL;

    if (!text)
        return !((row->flags & XML_REQUIRED) && row->attr) || missing(row, node, err);
    if (xml_text_hidden(row, text, parse->flags))
        return true;
    if (row->kind == XML_SIZE) {
        unit = attribute_text(parse, node, "unit");
        if (unit && !*unit)
            g_clear_pointer(&unit, g_free);
    }
    if (!xml_row_read(row, obj, text, unit, &legal)) {
        g_autofree char *shown = unit ? g_strdup_printf("%s %s", text, unit) : NULL;

        return bad_value(row, node, shown ? shown : text, legal, err);
    }
    return true;
}

/* --- lists ------------------------------------------------------------------------------------ */

typedef struct {
    const Parse *parse;
    const XmlRow *row;
    GPtrArray *list;
    GError **err;
} Listing;

static bool
take_item(xmlNode *node, void *opaque)
{
    const Listing *l = opaque;
    uint64_t most = l->row->max ? l->row->max : XML_MAX_ITEMS;
    g_autofree char *text = NULL;

    mark(l->parse, &node->_private, l->row->kind == XML_KEPT ? MARK_READ | MARK_WHOLE : MARK_READ);
    if (l->list->len >= most && l->row->kind != XML_KEPT)
        return kiln_error_set(l->err, VIR_ERR_XML_ERROR,
                              "at most %" PRIu64 " elements '%s' are "
                              "accepted (line %ld)",
                              most, (const char *)node->name, xmlGetLineNo(node));

    if (l->row->kind == XML_LIST) {
        void *item = xml_type_new(l->row->type);

        g_ptr_array_add(l->list, item);
        return parse_into(l->parse, l->row->type, item, node, l->err);
    }
    if (l->row->kind == XML_KEPT) {
        XmlKept *kept = g_new(XmlKept, 1);

        kept->path = g_strdup(l->row->path);
        kept->xml = xml_node_dump(node, l->parse->spaces);
        g_ptr_array_add(l->list, kept);
        return true;
    }
    text = node_text(l->parse, l->row, node);
    if (!text)
        return !(l->row->flags & XML_REQUIRED) || missing(l->row, node, l->err);
    if (l->row->pattern) {
        /* The field of a scalar row of the same pattern, so that both are read alike. */
        XmlRow scalar = *l->row;
        char *value = NULL;
        g_autofree char *legal = NULL;
        bool ok;

        scalar.kind = XML_STRING;
        scalar.offset = 0;
        ok = xml_row_read(&scalar, &value, text, NULL, &legal);
        g_free(value);
        if (!ok)
            return bad_value(l->row, node, text, legal, l->err);
    }
    g_ptr_array_add(l->list, g_steal_pointer(&text));
    return true;
}

static bool
parse_list(const Parse *parse, const XmlRow *row, void *obj, xmlNode *node, GError **err)
{
    Listing listing = { parse, row, XML_FIELD(obj, row, GPtrArray *), err };
    guint before = listing.list->len;

    if (!find_each(parse, node, row->path, take_item, &listing))
        return false;
    if ((row->flags & XML_REQUIRED) && listing.list->len == before)
        return missing(row, node, err);
    return true;
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool
parse_row(const Parse *parse, const XmlRow *row, void *obj, xmlNode *node, GError **err)
{
    First first = { 0 };
    xmlNode *at = node;

    if (row->kind == XML_LIST || row->kind == XML_STRINGS || row->kind == XML_KEPT)
        return parse_list(parse, row, obj, node, err);
    if (row->path) {
        find_each(parse, node, row->path, take_first, &first);
        at = first.first;
        if ((row->flags & XML_SINGLE) && first.count > 1)
            return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                  "only one element '%s' is allowed in element '%s' at line %ld",
                                  row->path, (const char *)node->name, xmlGetLineNo(node));
    }
    if (!at)
        return !(row->flags & XML_REQUIRED) || (row->attr && xml_kind_is_scalar(row->kind)) ||
               missing(row, node, err);
    mark(parse, &at->_private, row->kind == XML_VERBATIM ? MARK_READ | MARK_WHOLE : MARK_READ);
    switch (row->kind) {
    case XML_PRESENT:
        XML_FIELD(obj, row, int) = 1;
        return true;
    case XML_VERBATIM:
        g_free(XML_FIELD(obj, row, char *));
        XML_FIELD(obj, row, char *) = xml_node_dump(at, NULL);
        return true;
    case XML_STRUCT:
        if (XML_FIELD(obj, row, void *))
            return true;
        XML_FIELD(obj, row, void *) = xml_type_new(row->type);
        return parse_into(parse, row->type, XML_FIELD(obj, row, void *), at, err);
    case XML_INLINE:
        return parse_into(parse, row->type, (char *)obj + row->offset, at, err);
    default:
        if (!parse_scalar(parse, row, obj, at, err))
            return false;
        if ((row->flags & XML_REQUIRED) && !row->attr) {
            g_autofree char *text = xml_row_text(row, obj);

            return text || missing(row, node, err);
        }
        return true;
    }
}

static bool
parse_into(const Parse *parse, const XmlType *type, void *obj, xmlNode *node, GError **err)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        if (!xml_row_applies(type, row, obj) || xml_row_hidden(row, parse->flags))
            continue;
        if (!parse_row(parse, row, obj, node, err))
            return false;
    }
    if (!type->check || type->check(obj, err))
        return true;
    g_prefix_error(err, "<%s> at line %ld: ", (const char *)node->name, xmlGetLineNo(node));
    return false;
}

/* --- what no row read ------------------------------------------------------------------------- */

static bool
not_allowed(const char *kind, const char *name, const xmlNode *node, long line, bool twice,
            GError **err)
{
    return kiln_error_set(err, VIR_ERR_XML_INVALID_SCHEMA,
                          "%s '%s' is not allowed in element '%s' at line %ld: it %s", kind, name,
                          (const char *)node->name, line,
                          twice ? "stands there a second time"
                                : "does not go with the other values given there");
}

static bool
check_marks(const xmlNode *node, GError **err)
{
    if (has_mark(node->_private, MARK_WHOLE))
        return true;
    for (const xmlAttr *attr = node->properties; attr; attr = attr->next)
        if (!has_mark(attr->_private, MARK_READ))
            return not_allowed("attribute", (const char *)attr->name, node,
                               xmlGetLineNo((xmlNode *)node), false, err);
    for (const xmlNode *child = node->children; child; child = child->next) {
        if (child->type == XML_TEXT_NODE && !has_mark(node->_private, MARK_TEXT) &&
            !xmlIsBlankNode((xmlNode *)child))
            return kiln_error_set(err, VIR_ERR_XML_INVALID_SCHEMA,
                                  "text is not allowed in element '%s' at line %ld",
                                  (const char *)node->name, xmlGetLineNo((xmlNode *)node));
        if (child->type != XML_ELEMENT_NODE)
            continue;
        if (!has_mark(child->_private, MARK_READ)) {
            bool twice = false;

            for (const xmlNode *before = child->prev; before; before = before->prev)
                twice |=
                    has_mark(before->_private, MARK_READ) && xmlStrEqual(before->name, child->name);
            return not_allowed("element", (const char *)child->name, node,
                               xmlGetLineNo((xmlNode *)child), twice, err);
        }
        if (!check_marks(child, err))
            return false;
    }
    return true;
}

void *
xml_type_parse(const XmlType *type, xmlNode *node, unsigned flags, GError **err)
{
    const Parse parse = { flags, type->namespaces };
    void *obj;

    if ((flags & XML_STRICT) && !xml_strict_check(type, node, err))
        return NULL;
    obj = xml_type_new(type);
    if (parse_into(&parse, type, obj, node, err) &&
        (!(flags & XML_STRICT) || check_marks(node, err)))
        return obj;
    xml_type_free(type, obj);
    return NULL;
}

bool
xml_type_validate(const XmlType *type, xmlNode *root, GError **err)
{
    void *obj = xml_type_parse(type, root, XML_STRICT, err);

    if (obj) {
        xml_type_free(type, obj);
        return true;
    }
    if (err && *err && (*err)->domain == KILN_ERROR)
        (*err)->code = VIR_ERR_XML_INVALID_SCHEMA;
    return false;
}

void *
xml_type_parse_text(const XmlType *type, const char *xml, size_t length, const char *what,
                    unsigned flags, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, length, what, err);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!root)
        return NULL;
    if (!xml_name_matches(type->name, strlen(type->name), root, type->namespaces)) {
        kiln_error_set(err, VIR_ERR_XML_ERROR, "unexpected root element <%s>, expecting <%s>",
                       (const char *)root->name, type->name);
        return NULL;
    }
    return xml_type_parse(type, root, flags, err);
}
