/* xmltab_strict.c - is every name in a document one that a row knows?
 *
 * An element can be described by several types at once (rows with a path, and a nested type in the
 * element at that path), so the walk carries a list of places, each a type and a path within it.
 * Which arm of a union is chosen is not looked at: that is the schema's part.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_strict.h"

#include "xmltab_private.h"

#include <string.h>

typedef struct {
    const XmlType *type;
    const char *path; /* within the type's rows, "" at its own element; borrowed from a row */
    size_t length;
} Place;

static bool check_node(const XmlNamespace *spaces, const GArray *places, xmlNode *node,
                       GError **err);

static void
add_place(GArray *places, const XmlType *type, const char *path, size_t length)
{
    const Place place = { type, path, length };

    for (guint i = 0; i < places->len; i++) {
        const Place *p = &g_array_index(places, Place, i);

        if (p->type == type && p->length == length && strncmp(p->path, path, length) == 0)
            return;
    }
    g_array_append_val(places, place);
    if (length)
        return;
    for (size_t i = 0; i < type->n_rows; i++)
        if (type->rows[i].kind == XML_INLINE && !type->rows[i].path)
            add_place(places, type->rows[i].type, "", 0);
}

/* The rest of @row's path below @place ("" when the row is about the place itself), or NULL. */
static const char *
below(const XmlRow *row, const Place *place)
{
    const char *path = row->path ? row->path : "";

    if (!place->length)
        return path;
    if (strncmp(path, place->path, place->length) != 0)
        return NULL;
    path += place->length;
    return *path == '/' ? path + 1 : *path ? NULL : path;
}

static bool
unknown(const char *kind, const char *name, const xmlNode *node, long line, GPtrArray *legal,
        GError **err)
{
    const char *near;

    g_ptr_array_add(legal, NULL);
    near = xml_nearest(name, (const char *const *)legal->pdata);
    return kiln_error_set(err, VIR_ERR_XML_INVALID_SCHEMA,
                          "%s '%s' is not allowed in element '%s' at line %ld%s%s%s", kind, name,
                          (const char *)node->name, line, near ? "; did you mean '" : "",
                          near ? near : "", near ? "'?" : "");
}

static bool
check_attributes(const GArray *places, xmlNode *node, GError **err)
{
    g_autoptr(GPtrArray) legal = g_ptr_array_new();

    for (guint p = 0; p < places->len; p++) {
        const Place *place = &g_array_index(places, Place, p);

        for (size_t i = 0; i < place->type->n_rows; i++) {
            const XmlRow *row = &place->type->rows[i];
            const char *rest = below(row, place);

            if (!rest || *rest)
                continue;
            if (row->attr)
                g_ptr_array_add(legal, (char *)row->attr);
            if (row->kind == XML_SIZE)
                g_ptr_array_add(legal, (char *)"unit");
        }
    }
    for (const xmlAttr *attr = node->properties; attr; attr = attr->next) {
        bool known = false;

        for (guint i = 0; i < legal->len; i++)
            known |= !attr->ns && strcmp(legal->pdata[i], (const char *)attr->name) == 0;
        if (!known)
            return unknown("attribute", (const char *)attr->name, node, xmlGetLineNo(node), legal,
                           err);
    }
    return true;
}

/* Where @child stands, into @ret; true also when a row keeps it whole. */
static bool
descend(const XmlNamespace *spaces, const GArray *places, const xmlNode *child, GArray *ret,
        bool *ret_whole, GPtrArray *legal)
{
    bool known = false;

    *ret_whole = false;
    for (guint p = 0; p < places->len; p++) {
        const Place *place = &g_array_index(places, Place, p);

        for (size_t i = 0; i < place->type->n_rows; i++) {
            const XmlRow *row = &place->type->rows[i];
            const char *rest = below(row, place);
            size_t length = rest ? strcspn(rest, "/") : 0;

            if (!length)
                continue;
            if (!rest[length])
                g_ptr_array_add(legal, (char *)rest);
            if (!xml_name_matches(rest, length, child, spaces))
                continue;
            known = true;
            if (!rest[length] && (row->kind == XML_VERBATIM || row->kind == XML_KEPT))
                *ret_whole = true;
            else if (!rest[length] && row->type)
                add_place(ret, row->type, "", 0);
            else
                add_place(ret, place->type, row->path, (size_t)(rest + length - row->path));
        }
    }
    return known;
}

static bool
check_node(const XmlNamespace *spaces, const GArray *places, xmlNode *node, GError **err)
{
    if (!check_attributes(places, node, err))
        return false;
    for (xmlNode *child = node->children; child; child = child->next) {
        g_autoptr(GArray) inside = g_array_new(FALSE, FALSE, sizeof(Place));
        g_autoptr(GPtrArray) legal = g_ptr_array_new();
        bool whole;

        if (child->type != XML_ELEMENT_NODE)
            continue;
        if (!descend(spaces, places, child, inside, &whole, legal))
            return unknown("element", (const char *)child->name, node, xmlGetLineNo(child), legal,
                           err);
        if (!whole && !check_node(spaces, inside, child, err))
            return false;
    }
    return true;
}

bool
xml_strict_check(const XmlType *type, xmlNode *node, GError **err)
{
    g_autoptr(GArray) places = g_array_new(FALSE, FALSE, sizeof(Place));

    add_place(places, type, "", 0);
    return check_node(type->namespaces, places, node, err);
}
