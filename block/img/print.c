/* print.c - sizes, JSON and tables of snapshots as qemu-img prints them.
 *
 * QEMU prints the members of a JSON object in the order of its hash table: 512 buckets, the bucket
 * from the hash that TDB uses. Scripts have come to diff that text, so the order is kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { QEMU_BUCKETS = 512, INDENT = 4 };

#define ONE_LINE UINT_MAX /* instead of an indent */

char *
img_size_text(uint64_t bytes)
{
    static const char *const units[] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
    unsigned unit = 0;

    /* 1000 of a unit is printed as 0.98 of the next: three digits are always enough */
    while (unit < G_N_ELEMENTS(units) - 1 && ldexp((double)bytes, -10 * (int)unit) >= 1000)
        unit++;
    return g_strdup_printf("%.3g %sB", ldexp((double)bytes, -10 * (int)unit), units[unit]);
}

static unsigned
member_bucket(const char *name)
{
    uint32_t value = UINT32_C(0x238F13AF) * (uint32_t)strlen(name);

    for (unsigned i = 0; name[i]; i++)
        value += (uint32_t)(unsigned char)name[i] << (i * 5 % 24);
    return (UINT32_C(1103515243) * value + UINT32_C(12345)) % QEMU_BUCKETS;
}

static int
member_compare(gconstpointer a, gconstpointer b)
{
    const char *left = *(const char *const *)a, *right = *(const char *const *)b;
    unsigned x = member_bucket(left), y = member_bucket(right);

    return x != y ? (x < y ? -1 : 1) : strcmp(left, right);
}

static GPtrArray *
members_sorted(JsonObject *object)
{
    g_autoptr(GList) names = json_object_get_members(object);
    GPtrArray *sorted = g_ptr_array_new();

    for (GList *l = names; l; l = l->next)
        g_ptr_array_add(sorted, l->data);
    g_ptr_array_sort(sorted, member_compare);
    return sorted;
}

static void
text_add(GString *out, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    g_string_append_c(out, '"');
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '"' || c == '\\')
            g_string_append_printf(out, "\\%c", (char)c);
        else if (c == '\b' || c == '\f' || c == '\n' || c == '\r' || c == '\t')
            g_string_append_printf(out, "\\%c", "btn?fr"[c - '\b']);
        else if (c >= 0x20 && c < 0x7f)
            g_string_append_c(out, (char)c);
        else if (c > 0xffff)
            g_string_append_printf(out, "\\u%04X\\u%04X", 0xd800 + ((c - 0x10000) >> 10),
                                   0xdc00 + ((c - 0x10000) & 0x3ff));
        else
            g_string_append_printf(out, "\\u%04X", c);
    }
    g_string_append_c(out, '"');
}

static void
line_begin(GString *out, unsigned indent)
{
    if (indent != ONE_LINE)
        g_string_append_printf(out, "\n%*s", (int)(indent * INDENT), "");
    else if (out->str[out->len - 1] == ',')
        g_string_append_c(out, ' ');
}

static void
node_add(GString *out, JsonNode *node, unsigned indent)
{
    unsigned inner = indent == ONE_LINE ? ONE_LINE : indent + 1;

    if (JSON_NODE_HOLDS_OBJECT(node)) {
        g_autoptr(GPtrArray) names = members_sorted(json_node_get_object(node));

        g_string_append_c(out, '{');
        for (guint i = 0; i < names->len; i++) {
            if (i > 0)
                g_string_append_c(out, ',');
            line_begin(out, inner);
            text_add(out, names->pdata[i]);
            g_string_append(out, ": ");
            node_add(out, json_object_get_member(json_node_get_object(node), names->pdata[i]),
                     inner);
        }
        line_begin(out, indent);
        g_string_append_c(out, '}');
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);

        g_string_append_c(out, '[');
        for (guint i = 0; i < json_array_get_length(array); i++) {
            if (i > 0)
                g_string_append_c(out, ',');
            line_begin(out, inner);
            node_add(out, json_array_get_element(array, i), inner);
        }
        line_begin(out, indent);
        g_string_append_c(out, ']');
    } else if (JSON_NODE_HOLDS_NULL(node)) {
        g_string_append(out, "null");
    } else if (json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        g_string_append(out, json_node_get_boolean(node) ? "true" : "false");
    } else if (json_node_get_value_type(node) == G_TYPE_STRING) {
        text_add(out, json_node_get_string(node));
    } else {
        g_string_append_printf(out, "%" PRId64, json_node_get_int(node));
    }
}

char *
img_json_text(JsonNode *node)
{
    GString *out = g_string_new(NULL);

    node_add(out, node, ONE_LINE);
    return g_string_free(out, FALSE);
}

void
img_json_print(JsonNode *node)
{
    g_autoptr(GString) out = g_string_new(NULL);

    node_add(out, node, 0);
    puts(out->str);
}

void
img_json_print_object(JsonObject *object)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    img_json_print(node);
}

static void
dump_value(JsonNode *node, unsigned indent)
{
    if (JSON_NODE_HOLDS_OBJECT(node)) {
        putchar('\n');
        img_dump_object(json_node_get_object(node), indent + 1);
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);

        putchar('\n');
        for (guint i = 0; i < json_array_get_length(array); i++) {
            JsonNode *element = json_array_get_element(array, i);

            printf("%*s[%u]:", (int)((indent + 1) * INDENT), "", i);
            if (!JSON_NODE_HOLDS_OBJECT(element) && !JSON_NODE_HOLDS_ARRAY(element))
                putchar(' ');
            dump_value(element, indent + 1);
        }
    } else if (json_node_get_value_type(node) == G_TYPE_BOOLEAN) {
        puts(json_node_get_boolean(node) ? "true" : "false");
    } else if (json_node_get_value_type(node) == G_TYPE_STRING) {
        puts(json_node_get_string(node));
    } else {
        printf("%" PRId64 "\n", json_node_get_int(node));
    }
}

void
img_dump_object(JsonObject *object, unsigned indent)
{
    g_autoptr(GPtrArray) names = members_sorted(object);

    for (guint i = 0; i < names->len; i++) {
        g_autofree char *label = g_strdelimit(g_strdup(names->pdata[i]), "-", ' ');
        JsonNode *node = json_object_get_member(object, names->pdata[i]);

        printf("%*s%s:", (int)(indent * INDENT), "", label);
        if (!JSON_NODE_HOLDS_OBJECT(node) && !JSON_NODE_HOLDS_ARRAY(node))
            putchar(' ');
        dump_value(node, indent);
    }
}

void
img_snapshots_print(GPtrArray *snapshots)
{
    printf("%-10s%-17s%8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (guint i = 0; i < snapshots->len; i++) {
        const BlockSnapshot *s = snapshots->pdata[i];
        g_autofree char *size = img_size_text(s->vm_state_size);
        char date[32] = "", icount[24] = "";
        time_t at = s->date_sec;
        struct tm tm;
        unsigned seconds = (unsigned)(s->vm_clock_nsec / 1000000000);
        g_autofree char *clock =
            g_strdup_printf("%02u:%02u:%02u.%03u", seconds / 3600, seconds / 60 % 60, seconds % 60,
                            (unsigned)(s->vm_clock_nsec / 1000000 % 1000));

        if (localtime_r(&at, &tm))
            strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
        if (s->icount != UINT64_MAX)
            g_snprintf(icount, sizeof(icount), "%" PRIu64, s->icount);
        printf("%-9s %-16s %8s%20s%13s%11s\n", s->id, s->name, size, date, clock, icount);
    }
}
