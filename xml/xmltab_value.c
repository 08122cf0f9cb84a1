/* xmltab_value.c - values of the XML front end: sizes with units, cpusets, UUIDs, MAC addresses,
 * escaping, and which legal word a wrong one was meant to be.
 *
 * Units and their rounding are those of libvirt's formatdomain ("Memory Allocation").
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <string.h>

/* --- words ------------------------------------------------------------------------------------ */

int
xml_enum_find(const char *const *names, const char *word)
{
    for (int i = 1; names[i]; i++)
        if (strcmp(names[i], word) == 0)
            return i;
    return 0;
}

/* Levenshtein's distance, with a swap of neighbours as one step; words longer than 63 are far. */
static unsigned
distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    unsigned row[3][64];

    if (n > 63 || m > 63)
        return 64;
    for (size_t j = 0; j <= m; j++)
        row[1][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[(i + 1) % 3], *last = row[i % 3], *before = row[(i + 2) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            char x = g_ascii_tolower(a[i - 1]), y = g_ascii_tolower(b[j - 1]);
            unsigned best = last[j - 1] + (x != y);

            best = MIN(best, last[j] + 1);
            best = MIN(best, now[j - 1] + 1);
            if (i > 1 && j > 1 && x == g_ascii_tolower(b[j - 2]) && y == g_ascii_tolower(a[i - 2]))
                best = MIN(best, before[j - 2] + 1);
            now[j] = best;
        }
    }
    return row[(n + 1) % 3][m];
}

const char *
xml_nearest(const char *word, const char *const *names)
{
    const char *nearest = NULL;
    unsigned best = (unsigned)MIN(strlen(word) / 2, 3) + 1;

    for (; *names; names++) {
        unsigned d;

        if (!**names)
            continue;
        d = distance(word, *names);
        if (d < best && d < strlen(*names)) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

/* --- sizes ------------------------------------------------------------------------------------ */

static bool
unit_bytes(const char *unit, uint64_t *ret)
{
    static const char letters[] = "kmgtpe";
    uint64_t base, factor = 1;
    const char *letter;

    if (g_ascii_strcasecmp(unit, "b") == 0 || g_ascii_strcasecmp(unit, "byte") == 0 ||
        g_ascii_strcasecmp(unit, "bytes") == 0) {
        *ret = 1;
        return true;
    }
    letter = unit[0] ? strchr(letters, g_ascii_tolower(unit[0])) : NULL;
    if (!letter)
        return false;
    if (!unit[1] || g_ascii_strcasecmp(unit + 1, "ib") == 0)
        base = 1024;
    else if (g_ascii_strcasecmp(unit + 1, "b") == 0)
        base = 1000;
    else
        return false;
    for (const char *l = letters; l <= letter; l++)
        factor *= base;
    *ret = factor;
    return true;
}

bool
xml_scale(uint64_t value, const char *unit, uint64_t scale, uint64_t *ret)
{
    uint64_t bytes = scale;

    if (unit && !unit_bytes(unit, &bytes))
        return false;
    if (value > INT64_MAX / bytes)
        return false;
    bytes *= value;
    *ret = bytes / scale + (bytes % scale != 0);
    return true;
}

/* --- cpusets ---------------------------------------------------------------------------------- */

enum { CPUSET_MAX = 16383 };

static bool
cpuset_number(const char **at, unsigned max, unsigned *ret)
{
    unsigned n = 0;

    if (!g_ascii_isdigit(**at))
        return false;
    for (; g_ascii_isdigit(**at); (*at)++) {
        n = n * 10 + (unsigned)(**at - '0');
        if (n > max)
            return false;
    }
    *ret = n;
    return true;
}

static char *
cpuset_print(const uint8_t *set, unsigned max)
{
    GString *out = g_string_new(NULL);

    for (unsigned i = 0; i <= max; i++) {
        unsigned last = i;

        if (!set[i])
            continue;
        while (last < max && set[last + 1])
            last++;
        g_string_append_printf(out, last > i ? "%s%u-%u" : "%s%u", out->len ? "," : "", i, last);
        i = last;
    }
    return g_string_free(out, FALSE);
}

char *
xml_cpuset_canonical(const char *text, unsigned max, GError **err)
{
    g_autofree uint8_t *set = g_malloc0((size_t)max + 1);
    const char *at = text;
    char *canonical;

    for (;;) {
        bool out;
        unsigned first, last;

        while (g_ascii_isspace(*at))
            at++;
        out = *at == '^';
        at += out;
        if (!cpuset_number(&at, max, &first))
            goto bad;
        last = first;
        if (*at == '-' && !out) {
            at++;
            if (!cpuset_number(&at, max, &last) || last < first)
                goto bad;
        }
        memset(set + first, !out, last - first + 1);
        while (g_ascii_isspace(*at))
            at++;
        if (!*at)
            break;
        if (*at++ != ',')
            goto bad;
    }
    canonical = cpuset_print(set, max);
    if (*canonical)
        return canonical;
    g_free(canonical);
bad:
    kiln_error_set(err, VIR_ERR_INVALID_ARG,
                   "'%s' is not a set of numbers up to %u, like '0-3,^2,8'", text, max);
    return NULL;
}

GArray *
xml_cpuset_numbers(const char *text)
{
    GArray *numbers = g_array_new(FALSE, FALSE, sizeof(unsigned));
    g_autofree char *canonical = text ? xml_cpuset_canonical(text, CPUSET_MAX, NULL) : NULL;
    const char *at = canonical;

    while (at && *at) {
        unsigned first = 0, last;

        if (!cpuset_number(&at, CPUSET_MAX, &first))
            break;
        last = first;
        if (*at == '-') {
            at++;
            if (!cpuset_number(&at, CPUSET_MAX, &last))
                break;
        }
        for (unsigned n = first; n <= last; n++)
            g_array_append_val(numbers, n);
        at += *at == ',';
    }
    return numbers;
}

bool
xml_cpuset_has(const char *text, unsigned number)
{
    g_autoptr(GArray) numbers = xml_cpuset_numbers(text);

    for (guint i = 0; i < numbers->len; i++)
        if (g_array_index(numbers, unsigned, i) == number)
            return true;
    return false;
}

char *
xml_cpuset_format(const GArray *numbers)
{
    g_autofree uint8_t *set = g_malloc0(CPUSET_MAX + 1);

    for (guint i = 0; i < numbers->len; i++)
        if (g_array_index(numbers, unsigned, i) <= CPUSET_MAX)
            set[g_array_index(numbers, unsigned, i)] = 1;
    return cpuset_print(set, CPUSET_MAX);
}

/* --- UUID, MAC -------------------------------------------------------------------------------- */

char *
xml_uuid_random(void)
{
    return g_uuid_string_random();
}

bool
xml_mac_parse(const char *text, uint8_t ret[6])
{
    uint8_t mac[6];

    for (unsigned i = 0; i < 6; i++) {
        int hi = g_ascii_xdigit_value(text[0]);
        int lo = hi < 0 ? -1 : g_ascii_xdigit_value(text[1]);

        if (lo < 0 || text[2] != (i == 5 ? '\0' : ':'))
            return false;
        mac[i] = (uint8_t)(hi << 4 | lo);
        text += 3;
    }
    memcpy(ret, mac, sizeof(mac));
    return true;
}

char *
xml_mac_format(const uint8_t mac[6])
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                           mac[5]);
}

/* --- escaping --------------------------------------------------------------------------------- */

char *
xml_escape(const char *text)
{
    GString *out = g_string_sized_new(strlen(text) + 16);

    for (const char *c = text; *c; c++)
        switch (*c) {
        case '<':
            g_string_append(out, "&lt;");
            break;
        case '>':
            g_string_append(out, "&gt;");
            break;
        case '&':
            g_string_append(out, "&amp;");
            break;
        case '\'':
            g_string_append(out, "&apos;");
            break;
        case '"':
            g_string_append(out, "&quot;");
            break;
        default:
            if ((unsigned char)*c >= 0x20 || *c == '\n' || *c == '\t' || *c == '\r')
                g_string_append_c(out, *c);
        }
    return g_string_free(out, FALSE);
}
