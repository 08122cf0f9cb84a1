/* xmltab_schema.c - a RELAX NG grammar (ISO/IEC 19757-2) from table rows.
 *
 * Each type becomes one define: its attributes, then its child elements in any order. The arms of a
 * union become a choice, one alternative for each set of selector values that allows the same rows.
 * Limits that only a check function knows are not in the grammar.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <inttypes.h>
#include <string.h>

#define UNIT_PATTERN "([bB]([yY][tT][eE][sS]?)?)|([kKmMgGtTpPeE]([iI]?[bB])?)"
#define UUID_PATTERN "[a-fA-F0-9]{32}|[a-fA-F0-9]{8}-([a-fA-F0-9]{4}-){3}[a-fA-F0-9]{12}"
#define MAC_PATTERN "[a-fA-F0-9][02468aAcCeE](:[a-fA-F0-9]{2}){5}"
#define ANY_MAC_PATTERN "[a-fA-F0-9]{2}(:[a-fA-F0-9]{2}){5}"
#define IP_PATTERN "[0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*"
#define CPUSET_PATTERN "([0-9]+(-[0-9]+)?|\\^[0-9]+)(,([0-9]+(-[0-9]+)?|\\^[0-9]+))*"

/* A type whose rows stand in the one being described, by itself or as XML_INLINE. */
typedef struct {
    const XmlType *type;
    char *prefix;    /* path in front of its rows, NULL: none */
    GArray *groups;  /* uint64_t sets of selector values that allow the same rows */
    uint64_t chosen; /* the group of the arm being written */
} Scope;

/* An element (or, at the top, the type itself) of one arm. */
typedef struct Node Node;
struct Node {
    char *name;
    GString *attributes;
    char *text; /* pattern of its text, NULL: none */
    bool text_required;
    const char *ref; /* define of a nested type */
    bool any;        /* holds anything */
    bool repeats, required;
    GPtrArray *children; /* Node */
};

static void
scope_free(void *p)
{
    Scope *scope = p;

    g_free(scope->prefix);
    g_array_unref(scope->groups);
    g_free(scope);
}

static void
node_free(void *p)
{
    Node *node = p;

    g_free(node->name);
    g_string_free(node->attributes, TRUE);
    g_free(node->text);
    g_ptr_array_unref(node->children);
    g_free(node);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)

static Node *
node_new(const char *name, size_t length)
{
    Node *node = g_new0(Node, 1);

    node->name = g_strndup(name, length);
    node->attributes = g_string_new(NULL);
    node->children = g_ptr_array_new_with_free_func(node_free);
    return node;
}

static Node *
node_at(Node *node, const char *path)
{
    while (path && *path) {
        size_t length = strcspn(path, "/");
        Node *found = NULL;

        for (guint i = 0; i < node->children->len; i++) {
            Node *child = node->children->pdata[i];

            if (strlen(child->name) == length && memcmp(child->name, path, length) == 0)
                found = child;
        }
        if (!found) {
            found = node_new(path, length);
            g_ptr_array_add(node->children, found);
        }
        node = found;
        path += length + (path[length] == '/');
    }
    return node;
}

/* --- scopes and arms -------------------------------------------------------------------------- */

static const XmlRow *
selector_row(const XmlType *type)
{
    for (size_t i = 0; type->selector && i < type->n_rows; i++)
        if (type->rows[i].kind == XML_ENUM && type->rows[i].offset == type->selector - 1)
            return &type->rows[i];
    return NULL;
}

/* Whether values @a and @b allow the same rows. */
static bool
same_arm(const XmlType *type, unsigned a, unsigned b)
{
    for (size_t i = 0; i < type->n_rows; i++) {
        uint64_t when = type->rows[i].when;

        if (when && !(when & XML_WHEN(a)) != !(when & XML_WHEN(b)))
            return false;
    }
    return true;
}

static void
find_groups(const XmlType *type, GArray *groups)
{
    const XmlRow *selector = selector_row(type);
    uint64_t all = ~UINT64_C(0), done = 0;
    unsigned count = 1;

    if (!selector) {
        g_array_append_val(groups, all);
        return;
    }
    while (selector->names[count])
        count++;
    for (unsigned a = (selector->flags & XML_REQUIRED) || selector->min; a < count; a++) {
        uint64_t group = 0;

        if (done & XML_WHEN(a))
            continue;
        for (unsigned b = a; b < count; b++)
            if (same_arm(type, a, b))
                group |= XML_WHEN(b);
        done |= group;
        g_array_append_val(groups, group);
    }
}

static void
collect_scopes(GPtrArray *scopes, const XmlType *type, const char *prefix)
{
    Scope *scope = g_new0(Scope, 1);

    scope->type = type;
    scope->prefix = g_strdup(prefix);
    scope->groups = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    find_groups(type, scope->groups);
    g_ptr_array_add(scopes, scope);
    for (size_t i = 0; i < type->n_rows; i++) {
        const XmlRow *row = &type->rows[i];
        g_autofree char *path = NULL;

        if (row->kind != XML_INLINE)
            continue;
        path = prefix && row->path ? g_strdup_printf("%s/%s", prefix, row->path)
                                   : g_strdup(row->path ? row->path : prefix);
        collect_scopes(scopes, row->type, path);
    }
}

/* --- values ----------------------------------------------------------------------------------- */

static void
data(GString *out, const char *type, const char *pattern)
{
    g_autofree char *safe = xml_escape(pattern);

    g_string_append_printf(out, "<data type='%s'><param name='pattern'>%s</param></data>", type,
                           safe);
}

static void
number(GString *out, const XmlRow *row, bool limits)
{
    g_string_append(out, "<data type='unsignedLong'><param name='pattern'>[0-9]+</param>");
    if (limits && row->min)
        g_string_append_printf(out, "<param name='minInclusive'>%" PRIu64 "</param>", row->min);
    if (limits && row->max)
        g_string_append_printf(out, "<param name='maxInclusive'>%" PRIu64 "</param>", row->max);
    g_string_append(out, "</data>");
}

static void
words(GString *out, const char *const *names, uint64_t chosen)
{
    g_string_append(out, "<choice>");
    for (unsigned i = 1; names[i]; i++) {
        g_autofree char *safe = xml_escape(names[i]);

        if (i > 63 || (chosen & XML_WHEN(i)))
            g_string_append_printf(out, "<value>%s</value>", safe);
    }
    g_string_append(out, "</choice>");
}

static void
value(GString *out, const XmlRow *row, uint64_t chosen)
{
    static const char *const yes_no[] = { "", "yes", "no", NULL };
    static const char *const on_off[] = { "", "on", "off", NULL };

    switch (row->kind) {
    case XML_UINT:
        number(out, row, true);
        break;
    case XML_SIZE:
        number(out, row, false);
        break;
    case XML_HEX:
        g_string_append(out, "<choice>");
        data(out, "string", "0x[0-9a-fA-F]+");
        number(out, row, true);
        g_string_append(out, "</choice>");
        break;
    case XML_INT:
        g_string_append(out, "<data type='long'>");
        if (row->min || row->max)
            g_string_append_printf(out,
                                   "<param name='minInclusive'>%" PRId64 "</param>"
                                   "<param name='maxInclusive'>%" PRId64 "</param>",
                                   (int64_t)row->min, (int64_t)row->max);
        g_string_append(out, "</data>");
        break;
    case XML_ENUM:
        words(out, row->names, chosen);
        break;
    case XML_YESNO:
        words(out, yes_no, chosen);
        break;
    case XML_ONOFF:
        words(out, on_off, chosen);
        break;
    case XML_UUID:
        data(out, "string", UUID_PATTERN);
        break;
    case XML_MAC:
        data(out, "string", row->flags & XML_ANY_MAC ? ANY_MAC_PATTERN : MAC_PATTERN);
        break;
    case XML_IP:
        data(out, "string", IP_PATTERN);
        break;
    case XML_CPUSET:
        data(out, "string", CPUSET_PATTERN);
        break;
    default:
        if (row->pattern)
            data(out, "string", row->pattern);
        else
            g_string_append(out, "<text/>");
    }
}

static void
attribute(GString *out, const XmlRow *row, uint64_t chosen, bool required)
{
    g_string_append_printf(out, "%s<attribute name='%s'>", required ? "" : "<optional>", row->attr);
    value(out, row, chosen);
    g_string_append_printf(out, "</attribute>%s\n", required ? "" : "</optional>");
}

/* --- one arm ---------------------------------------------------------------------------------- */

static void
add_row(Node *top, const Scope *scope, const XmlRow *row)
{
    bool is_selector = row == selector_row(scope->type);
    uint64_t chosen = is_selector ? scope->chosen : ~UINT64_C(0);
    bool required = row->flags & XML_REQUIRED;
    Node *node = node_at(node_at(top, scope->prefix), row->path);
    GString *text;

    /* The arm of "absent" alone. */
    if (is_selector && chosen == 1)
        return;
    /* An arm that only some values of the selector open needs one of them. */
    if (is_selector && !(chosen & XML_WHEN(row->min)))
        required = true;
    switch (row->kind) {
    case XML_LIST:
        node->repeats = true;
        G_GNUC_FALLTHROUGH;
    case XML_STRUCT:
        node->ref = row->type->name;
        node->required |= required;
        return;
    case XML_KEPT:
        node->repeats = true;
        G_GNUC_FALLTHROUGH;
    case XML_VERBATIM:
        node->any = true;
        return;
    case XML_PRESENT:
        return;
    case XML_STRINGS:
        node->repeats = true;
        if (row->attr) {
            attribute(node->attributes, row, chosen, true);
            return;
        }
        break;
    default:
        if (row->kind == XML_SIZE) {
            g_string_append(node->attributes, "<optional><attribute name='unit'>");
            data(node->attributes, "string", UNIT_PATTERN);
            g_string_append(node->attributes, "</attribute></optional>\n");
        }
        if (row->attr) {
            attribute(node->attributes, row, chosen, required);
            if (is_selector && required)
                node->required = true;
            return;
        }
        node->required |= required;
    }
    text = g_string_new(NULL);
    value(text, row, chosen);
    g_free(node->text);
    node->text = g_string_free(text, FALSE);
    node->text_required = required;
}

static void content(GString *out, const Node *node, const XmlNamespace *spaces);

static void
element(GString *out, const Node *node, const XmlNamespace *spaces)
{
    const char *wrap = node->repeats    ? node->required ? "oneOrMore" : "zeroOrMore"
                       : node->required ? NULL
                                        : "optional";
    const char *colon = strchr(node->name, ':');

    if (wrap)
        g_string_append_printf(out, "<%s>", wrap);
    if (colon) {
        const XmlNamespace *space = spaces;

        while (space->prefix && !(g_str_has_prefix(node->name, space->prefix) &&
                                  strlen(space->prefix) == (size_t)(colon - node->name)))
            space++;
        g_string_append_printf(out, "<element name='%s' ns='%s'>\n", colon + 1, space->uri);
    } else {
        g_string_append_printf(out, "<element name='%s'>\n", node->name);
    }
    content(out, node, spaces);
    g_string_append(out, "</element>");
    if (wrap)
        g_string_append_printf(out, "</%s>", wrap);
    g_string_append_c(out, '\n');
}

static void
content(GString *out, const Node *node, const XmlNamespace *spaces)
{
    if (node->any) {
        g_string_append(out, "<ref name='anyContent'/>\n");
        return;
    }
    g_string_append(out, node->attributes->str);
    if (node->children->len || node->ref) {
        g_string_append(out, "<interleave>\n");
        for (guint i = 0; i < node->children->len; i++)
            element(out, node->children->pdata[i], spaces);
        if (node->ref)
            g_string_append_printf(out, "<ref name='%s'/>\n", node->ref);
        if (node->text)
            g_string_append(out, "<text/>\n");
        g_string_append(out, "</interleave>\n");
    } else if (node->text) {
        g_string_append_printf(out, node->text_required ? "%s\n" : "<choice>%s<empty/></choice>\n",
                               node->text);
    } else if (!node->attributes->len) {
        g_string_append(out, "<empty/>\n");
    }
}

static void
arms(GString *out, GPtrArray *scopes, guint at, const XmlNamespace *spaces)
{
    g_autoptr(Node) top = NULL;

    if (at < scopes->len) {
        Scope *scope = scopes->pdata[at];

        for (guint i = 0; i < scope->groups->len; i++) {
            scope->chosen = g_array_index(scope->groups, uint64_t, i);
            arms(out, scopes, at + 1, spaces);
        }
        return;
    }
    top = node_new("", 0);
    for (guint s = 0; s < scopes->len; s++) {
        const Scope *scope = scopes->pdata[s];

        for (size_t i = 0; i < scope->type->n_rows; i++) {
            const XmlRow *row = &scope->type->rows[i];

            if (row->kind != XML_INLINE && (!row->when || (row->when & scope->chosen)))
                add_row(top, scope, row);
        }
    }
    g_string_append(out, "<group>\n");
    content(out, top, spaces);
    g_string_append(out, "</group>\n");
}

/* --- grammar ---------------------------------------------------------------------------------- */

static void
define(GString *out, const XmlType *type, GHashTable *done, const XmlNamespace *spaces)
{
    g_autoptr(GPtrArray) scopes = NULL;

    if (!g_hash_table_add(done, (void *)type))
        return;
    /* a document inside another brings its own */
    if (type->namespaces)
        spaces = type->namespaces;
    scopes = g_ptr_array_new_with_free_func(scope_free);
    collect_scopes(scopes, type, NULL);
    g_string_append_printf(out, "<define name='%s'>\n<choice>\n", type->name);
    arms(out, scopes, 0, spaces);
    g_string_append(out, "</choice>\n</define>\n");
    for (guint s = 0; s < scopes->len; s++) {
        const Scope *scope = scopes->pdata[s];

        for (size_t i = 0; i < scope->type->n_rows; i++) {
            const XmlRow *row = &scope->type->rows[i];

            if (row->type && row->kind != XML_INLINE)
                define(out, row->type, done, spaces);
        }
    }
}

char *
xml_type_schema(const XmlType *type)
{
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    GString *out = g_string_new("<?xml version='1.0'?>\n"
                                "<grammar xmlns='http://relaxng.org/ns/structure/1.0' "
                                "datatypeLibrary='http://www.w3.org/2001/XMLSchema-datatypes'>\n");

    g_string_append_printf(out, "<start><element name='%s'><ref name='%s'/></element></start>\n",
                           type->name, type->name);
    define(out, type, done, type->namespaces);
    g_string_append(out, "<define name='anyContent'>\n<zeroOrMore><choice>\n"
                         "<attribute><anyName/><text/></attribute>\n<text/>\n"
                         "<element><anyName/><ref name='anyContent'/></element>\n"
                         "</choice></zeroOrMore>\n</define>\n</grammar>\n");
    return g_string_free(out, FALSE);
}
