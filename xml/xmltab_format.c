/* xmltab_format.c - from an object to libvirt's XML text: two spaces a level, single quotes.
 *
 * Rows fill a small tree first, because rows that share an element need not stand side by side.
 * Unlike libvirt, line ends and tabs in attributes are written as character references, so that
 * they come back as they went.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <inttypes.h>
#include <string.h>

typedef struct Out Out;
struct Out {
    char *name;
    GPtrArray *attrs; /* name, value, name, value … */
    char *text;
    char *verbatim;      /* XML text of the whole element instead */
    GPtrArray *children; /* Out */
    bool closed;         /* an item of a list: no other row adds to it */
    bool open;           /* two tags, though it may be empty */
};

static void
out_free(void *p)
{
    Out *out = p;

    g_free(out->name);
    g_ptr_array_unref(out->attrs);
    g_free(out->text);
    g_free(out->verbatim);
    g_ptr_array_unref(out->children);
    g_free(out);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Out, out_free)

static Out *
out_new(const char *name, size_t length)
{
    Out *out = g_new0(Out, 1);

    out->name = g_strndup(name, length);
    out->attrs = g_ptr_array_new_with_free_func(g_free);
    out->children = g_ptr_array_new_with_free_func(out_free);
    return out;
}

static void
out_attr(Out *out, const char *name, const char *value)
{
    g_ptr_array_add(out->attrs, g_strdup(name));
    g_ptr_array_add(out->attrs, g_strdup(value));
}

static Out *
out_child(Out *out, const char *name, size_t length)
{
    Out *child = out_new(name, length);

    g_ptr_array_add(out->children, child);
    return child;
}

/* The open element at @path below @out, made if need be; with @fresh the last part is always new.
 */
static Out *
out_at(Out *out, const char *path, bool fresh)
{
    while (path) {
        size_t length = strcspn(path, "/");
        const char *rest = path[length] ? path + length + 1 : NULL;
        Out *found = NULL;

        for (guint i = 0; i < out->children->len && (rest || !fresh); i++) {
            Out *child = out->children->pdata[i];

            if (!child->closed && strlen(child->name) == length &&
                memcmp(child->name, path, length) == 0)
                found = child;
        }
        out = found ? found : out_child(out, path, length);
        path = rest;
    }
    out->closed = fresh;
    return out;
}

static bool
out_is_empty(const Out *out)
{
    return !out->attrs->len && !out->text && !out->children->len;
}

/* --- kept elements ---------------------------------------------------------------------------- */

static void
out_name(GString *name, const xmlNs *ns, const xmlChar *local)
{
    if (ns && ns->prefix)
        g_string_append_printf(name, "%s:", (const char *)ns->prefix);
    g_string_append(name, (const char *)local);
}

static void
fill_from_node(Out *out, const xmlNode *node)
{
    for (const xmlNs *ns = node->nsDef; ns; ns = ns->next) {
        g_autofree char *name =
            ns->prefix ? g_strdup_printf("xmlns:%s", (const char *)ns->prefix) : g_strdup("xmlns");

        out_attr(out, name, ns->href ? (const char *)ns->href : "");
    }
    for (const xmlAttr *attr = node->properties; attr; attr = attr->next) {
        g_autoptr(GString) name = g_string_new(NULL);
        xmlChar *value = xmlNodeGetContent((const xmlNode *)attr);

        out_name(name, attr->ns, attr->name);
        out_attr(out, name->str, value ? (const char *)value : "");
        xmlFree(value);
    }
    for (const xmlNode *child = node->children; child; child = child->next) {
        if (child->type == XML_ELEMENT_NODE) {
            g_autoptr(GString) name = g_string_new(NULL);

            out_name(name, child->ns, child->name);
            fill_from_node(out_child(out, name->str, name->len), child);
        } else if (child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) {
            char *text =
                g_strconcat(out->text ? out->text : "", (const char *)child->content, NULL);

            g_free(out->text);
            out->text = text;
        }
    }
    /* Text between elements is no part of any libvirt element. */
    if (out->children->len)
        g_clear_pointer(&out->text, g_free);
}

static void
format_verbatim(Out *out, const XmlRow *row, const void *obj)
{
    const char *xml = XML_FIELD_CONST(obj, row, char *);
    g_autoptr(xmlDoc) doc = NULL;

    if (!xml)
        return;
    if (!(row->flags & XML_OWN_LOOK)) {
        out_at(out, row->path, true)->verbatim = g_strdup(xml);
        return;
    }
    doc = xml_parse_fragment(xml);
    if (doc)
        fill_from_node(out_at(out, row->path, true), xmlDocGetRootElement(doc));
}

static void
remove_attr(Out *out, const char *name)
{
    for (guint i = 0; i < out->attrs->len; i += 2)
        if (strcmp(out->attrs->pdata[i], name) == 0) {
            g_ptr_array_remove_range(out->attrs, i, 2);
            return;
        }
}

static void
format_kept(Out *out, const XmlRow *row, const void *obj, unsigned flags)
{
    const GPtrArray *list = XML_FIELD_CONST(obj, row, GPtrArray *);

    for (guint i = 0; i < list->len; i++) {
        const XmlKept *kept = list->pdata[i];
        g_autoptr(xmlDoc) doc = NULL;
        Out *at;

        if (strcmp(kept->path, row->path) != 0)
            continue;
        doc = xml_parse_fragment(kept->xml);
        if (!doc)
            continue;
        at = out_at(out, row->path, true);
        fill_from_node(at, xmlDocGetRootElement(doc));
        if (row->attr && !(flags & (XML_SECURE | XML_STATUS)))
            remove_attr(at, row->attr);
    }
}

/* --- rows ------------------------------------------------------------------------------------- */

static void fill(Out *out, const XmlType *type, const void *obj, unsigned flags);

static const char *
unit_name(const XmlRow *row)
{
    return row->scale == 1024              ? "KiB"
           : row->scale == 1048576         ? "MiB"
           : (row->flags & XML_NAMED_UNIT) ? "B"
           : (row->flags & XML_BYTES_UNIT) ? "bytes"
                                           : NULL;
}

static void
format_scalar(Out *out, const XmlRow *row, const void *obj, unsigned flags)
{
    g_autofree char *text = xml_row_text(row, obj);
    const char *unit = row->kind == XML_SIZE ? unit_name(row) : NULL;
    Out *at;

    if (!text || xml_text_hidden(row, text, flags))
        return;
    at = out_at(out, row->path, false);
    if (row->attr)
        out_attr(at, row->attr, text);
    if (unit)
        out_attr(at, "unit", unit);
    if (!row->attr) {
        g_free(at->text);
        at->text = g_steal_pointer(&text);
    }
}

static void
format_inline(Out *out, const XmlRow *row, const void *obj, unsigned flags)
{
    g_autoptr(Out) inside = out_new("", 0);
    Out *at;

    if (!row->path) {
        fill(out, row->type, (const char *)obj + row->offset, flags);
        return;
    }
    fill(inside, row->type, (const char *)obj + row->offset, flags);
    if (out_is_empty(inside))
        return;
    at = out_at(out, row->path, false);
    g_ptr_array_extend_and_steal(at->attrs, g_ptr_array_ref(inside->attrs));
    g_ptr_array_extend_and_steal(at->children, g_ptr_array_ref(inside->children));
    if (inside->text) {
        g_free(at->text);
        at->text = g_steal_pointer(&inside->text);
    }
}

static void
format_list(Out *out, const XmlRow *row, const void *obj, unsigned flags)
{
    const GPtrArray *list = XML_FIELD_CONST(obj, row, GPtrArray *);

    for (guint i = 0; i < list->len; i++) {
        Out *at = out_at(out, row->path, true);

        at->open = row->flags & XML_OPEN;
        if (row->kind == XML_LIST)
            fill(at, row->type, list->pdata[i], flags);
        else if (row->attr)
            out_attr(at, row->attr, list->pdata[i]);
        else
            at->text = g_strdup(list->pdata[i]);
    }
}

static void
format_struct(Out *out, const XmlRow *row, const void *obj, unsigned flags)
{
    const void *nested = XML_FIELD_CONST(obj, row, void *);
    Out *at;

    if (!nested)
        return;
    if (row->flags & XML_NOT_EMPTY) {
        g_autoptr(Out) probe = out_new("", 0);

        fill(probe, row->type, nested, flags);
        if (out_is_empty(probe))
            return;
    }
    at = out_at(out, row->path, false);
    at->open = row->flags & XML_OPEN;
    fill(at, row->type, nested, flags);
}

static void
fill(Out *out, const XmlType *type, const void *obj, unsigned flags)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        if (!xml_row_applies(type, row, obj) || xml_row_hidden(row, flags) ||
            (row->flags & XML_NOT_OUT) ||
            ((row->flags & XML_SECRET) && !(flags & (XML_SECURE | XML_STATUS))))
            continue;
        switch (row->kind) {
        case XML_PRESENT:
            if (XML_FIELD_CONST(obj, row, int))
                out_at(out, row->path, false);
            break;
        case XML_VERBATIM:
            format_verbatim(out, row, obj);
            break;
        case XML_STRUCT:
            format_struct(out, row, obj, flags);
            break;
        case XML_INLINE:
            format_inline(out, row, obj, flags);
            break;
        case XML_LIST:
        case XML_STRINGS:
            format_list(out, row, obj, flags);
            break;
        case XML_KEPT:
            format_kept(out, row, obj, flags);
            break;
        default:
            format_scalar(out, row, obj, flags);
        }
    }
}

/* --- to text ---------------------------------------------------------------------------------- */

static void
print_escaped(GString *to, const char *text, bool attribute)
{
    g_autofree char *safe = xml_escape(text);

    for (const char *c = safe; *c; c++) {
        if (*c == '\r' || (attribute && (*c == '\n' || *c == '\t')))
            g_string_append_printf(to, "&#%d;", *c);
        else
            g_string_append_c(to, *c);
    }
}

static void
print_indent(GString *to, unsigned level)
{
    for (unsigned i = 0; i < level; i++)
        g_string_append(to, "  ");
}

static void
print_verbatim(GString *to, const char *xml, unsigned level)
{
    g_autoptr(xmlDoc) doc = xml_parse_fragment(xml);
    xmlBuffer *buffer;

    if (!doc)
        return;
    buffer = xmlBufferCreate();
    if (buffer && xmlNodeDump(buffer, doc, xmlDocGetRootElement(doc), (int)level, 1) >= 0)
        g_string_append_printf(to, "%s\n", (const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
}

static void
print(GString *to, const Out *out, unsigned level)
{
    print_indent(to, level);
    if (out->verbatim) {
        print_verbatim(to, out->verbatim, level);
        return;
    }
    g_string_append_printf(to, "<%s", out->name);
    for (guint i = 0; i < out->attrs->len; i += 2) {
        g_string_append_printf(to, " %s='", (const char *)out->attrs->pdata[i]);
        print_escaped(to, out->attrs->pdata[i + 1], true);
        g_string_append_c(to, '\'');
    }
    if (out->children->len || (out->open && !(out->text && *out->text))) {
        g_string_append(to, ">\n");
        for (guint i = 0; i < out->children->len; i++)
            print(to, out->children->pdata[i], level + 1);
        print_indent(to, level);
        g_string_append_printf(to, "</%s>\n", out->name);
    } else if (out->text && *out->text) {
        g_string_append_c(to, '>');
        print_escaped(to, out->text, false);
        g_string_append_printf(to, "</%s>\n", out->name);
    } else {
        g_string_append(to, "/>\n");
    }
}

static bool
uses_prefix(const Out *out, const char *prefix)
{
    size_t length = strlen(prefix);

    if (strncmp(out->name, prefix, length) == 0 && out->name[length] == ':')
        return true;
    for (guint i = 0; i < out->children->len; i++)
        if (uses_prefix(out->children->pdata[i], prefix))
            return true;
    return false;
}

static bool
has_attr(const Out *out, const char *name)
{
    for (guint i = 0; i < out->attrs->len; i += 2)
        if (strcmp(out->attrs->pdata[i], name) == 0)
            return true;
    return false;
}

/* The declaration of a prefix moves from the kept elements that brought it along to the root, where
 * libvirt prints it. */
static void
drop_attr(Out *out, const char *name, const char *value)
{
    for (guint i = 0; i < out->attrs->len; i += 2)
        if (strcmp(out->attrs->pdata[i], name) == 0 &&
            strcmp(out->attrs->pdata[i + 1], value) == 0) {
            g_ptr_array_remove_range(out->attrs, i, 2);
            break;
        }
    for (guint i = 0; i < out->children->len; i++)
        drop_attr(out->children->pdata[i], name, value);
}

char *
xml_type_format_at(const XmlType *type, const void *obj, unsigned flags, unsigned indent)
{
    g_autoptr(Out) root = out_new(type->name, strlen(type->name));
    GString *to = g_string_new(NULL);

    fill(root, type, obj, flags);
    for (const XmlNamespace *space = type->namespaces; space && space->prefix; space++) {
        g_autofree char *name = g_strdup_printf("xmlns:%s", space->prefix);

        if (!uses_prefix(root, space->prefix) || has_attr(root, name))
            continue;
        drop_attr(root, name, space->uri);
        out_attr(root, name, space->uri);
    }
    print(to, root, indent);
    return g_string_free(to, FALSE);
}

char *
xml_type_format(const XmlType *type, const void *obj, unsigned flags)
{
    return xml_type_format_at(type, obj, flags, 0);
}
