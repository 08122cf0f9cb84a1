/* xmltab_row.c - one row's value: from text, to text, and whether it is shown.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include "util/uuid.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *const yes_no[] = { "", "yes", "no", NULL };
static const char *const on_off[] = { "", "on", "off", NULL };

bool
xml_row_applies(const XmlType *type, const XmlRow *row, const void *obj)
{
    int value;

    if (!row->when || !type->selector)
        return true;
    value = *(const int *)((const char *)obj + type->selector - 1);
    return value >= 0 && value < 64 && (row->when & XML_WHEN(value));
}

bool
xml_kind_is_scalar(XmlKind kind)
{
    return kind <= XML_CPUSET && kind != XML_PRESENT;
}

bool
xml_row_hidden(const XmlRow *row, unsigned flags)
{
    if ((row->flags & XML_STATUS_ONLY) && !(flags & XML_STATUS))
        return true;
    return (row->flags & XML_LIVE) && (flags & XML_INACTIVE) && !(flags & XML_STATUS);
}

bool
xml_text_hidden(const XmlRow *row, const char *text, unsigned flags)
{
    bool begins = false;

    if (!(row->flags & (XML_LIVE_IF | XML_LIVE_UNLESS)) || !(flags & XML_INACTIVE) ||
        (flags & XML_STATUS))
        return false;
    for (const char *const *p = row->names; *p; p++)
        begins |= g_str_has_prefix(text, *p);
    return (row->flags & XML_LIVE_IF) ? begins : !begins;
}

char *
xml_row_place(const XmlType *type, const XmlRow *row)
{
    const char *element = row->path ? row->path : type->name;

    return row->attr ? g_strdup_printf("attribute '%s' of <%s>", row->attr, element)
                     : g_strdup_printf("<%s>", element);
}

/* --- to text ---------------------------------------------------------------------------------- */

static const char *const *
row_names(const XmlRow *row)
{
    return row->kind == XML_YESNO ? yes_no : row->kind == XML_ONOFF ? on_off : row->names;
}

char *
xml_row_text(const XmlRow *row, const void *obj)
{
    switch (row->kind) {
    case XML_UINT:
    case XML_SIZE:
    case XML_HEX: {
        uint64_t n = XML_FIELD_CONST(obj, row, uint64_t);

        if (n == XML_UNSET || ((row->flags & XML_NOT_ZERO) && n == 0))
            return NULL;
        if (row->kind == XML_HEX)
            return g_strdup_printf("0x%0*" PRIx64, (int)row->width, n);
        return g_strdup_printf("%" PRIu64, n);
    }
    case XML_INT: {
        int64_t n = XML_FIELD_CONST(obj, row, int64_t);

        return n == XML_UNSET_INT ? NULL : g_strdup_printf("%" PRId64, n);
    }
    case XML_ENUM:
    case XML_YESNO:
    case XML_ONOFF: {
        int n = XML_FIELD_CONST(obj, row, int);

        return n > 0 ? g_strdup(row_names(row)[n]) : NULL;
    }
    case XML_STRING:
    case XML_UUID:
    case XML_MAC:
    case XML_IP:
    case XML_CPUSET:
        return g_strdup(XML_FIELD_CONST(obj, row, char *));
    case XML_PRESENT:
    case XML_VERBATIM:
    case XML_STRUCT:
    case XML_INLINE:
    case XML_LIST:
    case XML_STRINGS:
    case XML_KEPT:
        break;
    }
    return NULL;
}

/* --- from text -------------------------------------------------------------------------------- */

static char *
legal_range(const XmlRow *row, const char *what)
{
    if (row->max)
        return g_strdup_printf("%s from %" PRIu64 " to %" PRIu64, what, row->min, row->max);
    if (row->min)
        return g_strdup_printf("%s of at least %" PRIu64, what, row->min);
    return g_strdup(what);
}

static bool
read_unsigned(const char *text, int base, uint64_t *ret)
{
    char *end;
    uint64_t n;

    while (g_ascii_isspace(*text))
        text++;
    if (!g_ascii_isdigit(*text))
        return false;
    errno = 0;
    n = strtoull(text, &end, base);
    while (g_ascii_isspace(*end))
        end++;
    /* The last number stands for "absent". */
    if (errno || *end || n == XML_UNSET)
        return false;
    *ret = n;
    return true;
}

static bool
read_number(const XmlRow *row, void *obj, const char *text, char **ret_legal)
{
    uint64_t n;

    if (!read_unsigned(text, row->kind == XML_HEX ? 0 : 10, &n) || n < row->min ||
        (row->max && n > row->max)) {
        *ret_legal = legal_range(row, "a whole number");
        return false;
    }
    XML_FIELD(obj, row, uint64_t) = n;
    return true;
}

static bool
read_signed(const XmlRow *row, void *obj, const char *text, char **ret_legal)
{
    char *end;
    int64_t n;

    while (g_ascii_isspace(*text))
        text++;
    errno = 0;
    n = strtoll(text, &end, 10);
    if (end == text || errno || *end || n == XML_UNSET_INT ||
        ((row->min || row->max) && (n < (int64_t)row->min || n > (int64_t)row->max))) {
        *ret_legal = row->min || row->max
                         ? g_strdup_printf("a whole number from %" PRId64 " to %" PRId64,
                                           (int64_t)row->min, (int64_t)row->max)
                         : g_strdup("a whole number");
        return false;
    }
    XML_FIELD(obj, row, int64_t) = n;
    return true;
}

static bool
read_size(const XmlRow *row, void *obj, const char *text, const char *unit, char **ret_legal)
{
    uint64_t n;

    if (!read_unsigned(text, 10, &n)) {
        *ret_legal = g_strdup("a whole number with an optional attribute 'unit'");
        return false;
    }
    if (!xml_scale(n, unit, row->scale, &n)) {
        *ret_legal =
            g_strdup("at most 2^63 bytes, 'unit' being one of b, bytes, KB, k, KiB, MB, M, "
                     "MiB, GB, G, GiB, TB, T, TiB …");
        return false;
    }
    if (n < row->min || (row->max && n > row->max)) {
        g_autofree char *what = g_strdup_printf("a size (in %s)", row->scale == 1      ? "bytes"
                                                                  : row->scale == 1024 ? "KiB"
                                                                                       : "MiB");

        *ret_legal = legal_range(row, what);
        return false;
    }
    XML_FIELD(obj, row, uint64_t) = n;
    return true;
}

static bool
read_enum(const XmlRow *row, void *obj, const char *text, char **ret_legal)
{
    const char *const *names = row_names(row);
    int n = xml_enum_find(names, text);
    const char *near;
    GString *legal;

    if (n) {
        XML_FIELD(obj, row, int) = n;
        return true;
    }
    legal = g_string_new("one of ");
    for (int i = 1; names[i]; i++)
        g_string_append_printf(legal, i > 1 ? ", '%s'" : "'%s'", names[i]);
    near = xml_nearest(text, names + 1);
    if (near)
        g_string_append_printf(legal, "; did you mean '%s'?", near);
    *ret_legal = g_string_free(legal, FALSE);
    return false;
}

static char *
canonical_ip(const char *text)
{
    uint8_t bytes[16];
    char out[INET6_ADDRSTRLEN];

    for (int i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;

        if (inet_pton(family, text, bytes) == 1 && inet_ntop(family, bytes, out, sizeof(out)))
            return g_strdup(out);
    }
    return NULL;
}

/* The canonical form of a string kind, or NULL with what would have been legal. */
static char *
canonical_string(const XmlRow *row, const char *text, char **ret_legal)
{
    uint8_t bytes[16];
    char *canonical = NULL;
    unsigned max;

    switch (row->kind) {
    case XML_UUID:
        if (kiln_uuid_parse(text, bytes))
            return kiln_uuid_format(bytes);
        *ret_legal = g_strdup("a UUID: 32 hexadecimal digits, dashes between allowed");
        return NULL;
    case XML_MAC:
        if (xml_mac_parse(text, bytes) && ((row->flags & XML_ANY_MAC) || !(bytes[0] & 1)))
            return row->flags & XML_AS_GIVEN ? g_strdup(text) : xml_mac_format(bytes);
        *ret_legal =
            g_strdup((row->flags & XML_ANY_MAC) ? "a MAC address like 52:54:00:12:34:56"
                                                : "a unicast MAC address like 52:54:00:12:34:56");
        return NULL;
    case XML_IP:
        canonical = canonical_ip(text);
        if (!canonical)
            *ret_legal = g_strdup("an IPv4 or IPv6 address");
        return canonical;
    case XML_CPUSET:
        max = row->max ? (unsigned)row->max : 16383;
        canonical = xml_cpuset_canonical(text, max, NULL);
        if (!canonical)
            *ret_legal = g_strdup_printf("a set of numbers up to %u, like '0-3,^2,8'", max);
        return canonical;
    default:
        if (!row->pattern || xml_pattern_matches(row->pattern, text))
            return g_strdup(text);
        *ret_legal = g_strdup(row->legal ? row->legal : row->pattern);
        return NULL;
    }
}

bool
xml_row_read(const XmlRow *row, void *obj, const char *text, const char *unit, char **ret_legal)
{
    char *canonical;

    switch (row->kind) {
    case XML_UINT:
    case XML_HEX:
        return read_number(row, obj, text, ret_legal);
    case XML_INT:
        return read_signed(row, obj, text, ret_legal);
    case XML_SIZE:
        return read_size(row, obj, text, unit, ret_legal);
    case XML_ENUM:
    case XML_YESNO:
    case XML_ONOFF:
        return read_enum(row, obj, text, ret_legal);
    default:
        canonical = canonical_string(row, text, ret_legal);
        if (!canonical)
            return false;
        g_free(XML_FIELD(obj, row, char *));
        XML_FIELD(obj, row, char *) = canonical;
        return true;
    }
}
