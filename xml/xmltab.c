/* xmltab.c - the life of objects described by tables: new, copy, compare, check, free.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <inttypes.h>
#include <string.h>

static void
kept_free(XmlKept *kept)
{
    g_free(kept->path);
    g_free(kept->xml);
    g_free(kept);
}

void
xml_obj_init(const XmlType *type, void *obj)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        switch (row->kind) {
        case XML_UINT:
        case XML_HEX:
        case XML_SIZE:
            XML_FIELD(obj, row, uint64_t) = XML_UNSET;
            break;
        case XML_INT:
            XML_FIELD(obj, row, int64_t) = XML_UNSET_INT;
            break;
        case XML_ENUM:
            if (row->min)
                XML_FIELD(obj, row, int) = (int)row->min;
            break;
        case XML_INLINE:
            xml_obj_init(row->type, (char *)obj + row->offset);
            break;
        case XML_LIST:
        case XML_STRINGS:
        case XML_KEPT:
            /* Rows of different union arms may share the list. */
            if (!XML_FIELD(obj, row, GPtrArray *))
                XML_FIELD(obj, row, GPtrArray *) = g_ptr_array_new();
            break;
        default:
            break;
        }
    }
}

void *
xml_type_new(const XmlType *type)
{
    void *obj = g_malloc0(type->size);

    xml_obj_init(type, obj);
    return obj;
}

static void
list_clear(const XmlRow *row, GPtrArray *list)
{
    for (guint i = 0; list && i < list->len; i++) {
        if (row->kind == XML_LIST)
            xml_type_free(row->type, list->pdata[i]);
        else if (row->kind == XML_KEPT)
            kept_free(list->pdata[i]);
        else
            g_free(list->pdata[i]);
    }
    if (list)
        g_ptr_array_set_size(list, 0);
}

void
xml_obj_clear(const XmlType *type, void *obj)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        switch (row->kind) {
        case XML_STRING:
        case XML_UUID:
        case XML_MAC:
        case XML_IP:
        case XML_CPUSET:
        case XML_VERBATIM:
            g_clear_pointer(&XML_FIELD(obj, row, char *), g_free);
            break;
        case XML_STRUCT:
            xml_type_free(row->type, XML_FIELD(obj, row, void *));
            XML_FIELD(obj, row, void *) = NULL;
            break;
        case XML_INLINE:
            xml_obj_clear(row->type, (char *)obj + row->offset);
            break;
        case XML_LIST:
        case XML_STRINGS:
        case XML_KEPT:
            list_clear(row, XML_FIELD(obj, row, GPtrArray *));
            g_clear_pointer(&XML_FIELD(obj, row, GPtrArray *), g_ptr_array_unref);
            break;
        default:
            break;
        }
    }
}

void
xml_type_free(const XmlType *type, void *obj)
{
    if (!obj)
        return;
    xml_obj_clear(type, obj);
    g_free(obj);
}

/* --- copy ------------------------------------------------------------------------------------- */

static void
list_copy(const XmlRow *row, GPtrArray *to, const GPtrArray *from)
{
    list_clear(row, to);
    for (guint i = 0; i < from->len; i++) {
        if (row->kind == XML_LIST) {
            g_ptr_array_add(to, xml_type_copy(row->type, from->pdata[i]));
        } else if (row->kind == XML_KEPT) {
            const XmlKept *old = from->pdata[i];
            XmlKept *kept = g_new(XmlKept, 1);

            kept->path = g_strdup(old->path);
            kept->xml = g_strdup(old->xml);
            g_ptr_array_add(to, kept);
        } else {
            g_ptr_array_add(to, g_strdup(from->pdata[i]));
        }
    }
}

/* Without a look at union arms, so that what was set by hand is copied too. */
static void
obj_copy(const XmlType *type, void *to, const void *from)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        switch (row->kind) {
        case XML_UINT:
        case XML_HEX:
        case XML_SIZE:
        case XML_INT:
            XML_FIELD(to, row, uint64_t) = XML_FIELD_CONST(from, row, uint64_t);
            break;
        case XML_ENUM:
        case XML_YESNO:
        case XML_ONOFF:
        case XML_PRESENT:
            XML_FIELD(to, row, int) = XML_FIELD_CONST(from, row, int);
            break;
        case XML_STRUCT:
            xml_type_free(row->type, XML_FIELD(to, row, void *));
            XML_FIELD(to, row, void *) =
                xml_type_copy(row->type, XML_FIELD_CONST(from, row, void *));
            break;
        case XML_INLINE:
            obj_copy(row->type, (char *)to + row->offset, (const char *)from + row->offset);
            break;
        case XML_LIST:
        case XML_STRINGS:
        case XML_KEPT:
            list_copy(row, XML_FIELD(to, row, GPtrArray *),
                      XML_FIELD_CONST(from, row, GPtrArray *));
            break;
        default:
            g_free(XML_FIELD(to, row, char *));
            XML_FIELD(to, row, char *) = g_strdup(XML_FIELD_CONST(from, row, char *));
        }
    }
}

void *
xml_type_copy(const XmlType *type, const void *obj)
{
    void *copy;

    if (!obj)
        return NULL;
    copy = xml_type_new(type);
    obj_copy(type, copy, obj);
    return copy;
}

void
xml_type_assign(const XmlType *type, void *to, const void *from)
{
    if (to != from)
        obj_copy(type, to, from);
}

/* --- compare ---------------------------------------------------------------------------------- */

typedef struct {
    bool abi; /* only rows that the guest can see; explain the difference */
    GError **err;
} Compare;

static bool obj_equal(const XmlType *type, const void *a, const void *b, const Compare *how);

static bool
differ(const XmlType *type, const XmlRow *row, const char *a, const char *b, const Compare *how)
{
    if (how->abi) {
        g_autofree char *place = xml_row_place(type, row);

        kiln_error_set(how->err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "<%s>: %s would change for the guest from %s%s%s to %s%s%s", type->name,
                       place, a ? "'" : "", a ? a : "none", a ? "'" : "", b ? "'" : "",
                       b ? b : "none", b ? "'" : "");
    }
    return false;
}

static bool
count_differs(const XmlType *type, const XmlRow *row, guint a, guint b, const Compare *how)
{
    if (how->abi)
        kiln_error_set(how->err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "<%s>: the number of <%s> would change for the guest from %u to %u",
                       type->name, row->path, a, b);
    return false;
}

static bool
list_equal(const XmlType *type, const XmlRow *row, const GPtrArray *a, const GPtrArray *b,
           const Compare *how)
{
    if (a->len != b->len)
        return count_differs(type, row, a->len, b->len, how);
    for (guint i = 0; i < a->len; i++) {
        if (row->kind == XML_LIST) {
            if (!obj_equal(row->type, a->pdata[i], b->pdata[i], how))
                return false;
        } else if (row->kind == XML_KEPT) {
            const XmlKept *x = a->pdata[i], *y = b->pdata[i];

            if (strcmp(x->path, y->path) != 0 || strcmp(x->xml, y->xml) != 0)
                return differ(type, row, x->xml, y->xml, how);
        } else if (strcmp(a->pdata[i], b->pdata[i]) != 0) {
            return differ(type, row, a->pdata[i], b->pdata[i], how);
        }
    }
    return true;
}

static bool
row_equal(const XmlType *type, const XmlRow *row, const void *a, const void *b, const Compare *how)
{
    switch (row->kind) {
    case XML_PRESENT:
        if (XML_FIELD_CONST(a, row, int) != XML_FIELD_CONST(b, row, int))
            return differ(type, row, XML_FIELD_CONST(a, row, int) ? "present" : NULL,
                          XML_FIELD_CONST(b, row, int) ? "present" : NULL, how);
        return true;
    case XML_STRUCT: {
        const void *x = XML_FIELD_CONST(a, row, void *), *y = XML_FIELD_CONST(b, row, void *);

        if (!x != !y)
            return differ(type, row, x ? "present" : NULL, y ? "present" : NULL, how);
        return !x || obj_equal(row->type, x, y, how);
    }
    case XML_INLINE:
        return obj_equal(row->type, (const char *)a + row->offset, (const char *)b + row->offset,
                         how);
    case XML_LIST:
    case XML_STRINGS:
    case XML_KEPT:
        return list_equal(type, row, XML_FIELD_CONST(a, row, GPtrArray *),
                          XML_FIELD_CONST(b, row, GPtrArray *), how);
    case XML_VERBATIM: {
        const char *x = XML_FIELD_CONST(a, row, char *), *y = XML_FIELD_CONST(b, row, char *);

        return g_strcmp0(x, y) == 0 || differ(type, row, x, y, how);
    }
    default: {
        g_autofree char *x = xml_row_text(row, a), *y = xml_row_text(row, b);

        return g_strcmp0(x, y) == 0 || differ(type, row, x, y, how);
    }
    }
}

static bool
obj_equal(const XmlType *type, const void *a, const void *b, const Compare *how)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];

        if (how->abi && !(row->flags & XML_ABI))
            continue;
        if (!xml_row_applies(type, row, a) && !xml_row_applies(type, row, b))
            continue;
        if (!row_equal(type, row, a, b, how))
            return false;
    }
    return true;
}

bool
xml_type_equal(const XmlType *type, const void *a, const void *b)
{
    const Compare how = { 0 };

    return obj_equal(type, a, b, &how);
}

bool
xml_type_abi_check(const XmlType *type, const void *a, const void *b, GError **err)
{
    const Compare how = { .abi = true, .err = err };

    return obj_equal(type, a, b, &how);
}

/* --- check ------------------------------------------------------------------------------------ */

bool
xml_type_check(const XmlType *type, const void *obj, GError **err)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];
        const GPtrArray *list;

        if (!xml_row_applies(type, row, obj))
            continue;
        switch (row->kind) {
        case XML_STRUCT:
            if (XML_FIELD_CONST(obj, row, void *) &&
                !xml_type_check(row->type, XML_FIELD_CONST(obj, row, void *), err))
                return false;
            break;
        case XML_INLINE:
            if (!xml_type_check(row->type, (const char *)obj + row->offset, err))
                return false;
            break;
        case XML_LIST:
            list = XML_FIELD_CONST(obj, row, GPtrArray *);
            for (guint k = 0; k < list->len; k++)
                if (!xml_type_check(row->type, list->pdata[k], err))
                    return false;
            break;
        default:
            break;
        }
    }
    if (!type->check || type->check(obj, err))
        return true;
    g_prefix_error(err, "<%s>: ", type->name);
    return false;
}
