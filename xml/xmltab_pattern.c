/* xmltab_pattern.c - whether a text matches a row's pattern as a whole.
 *
 * The patterns are the part that PCRE and XML Schema regular expressions (XML Schema Part 2:
 * Datatypes, appendix F) have in common and that the tables use: characters, '.', '\' before a
 * character, \n \r \t, classes, groups, '|', and the quantifiers ? * + {n} {n,} {n,m}. They are
 * written by us; the text is foreign. All ways through the pattern are followed at once, so that no
 * text takes more than (its length) x (the pattern's length) steps, repeated groups aside. Nothing
 * is compiled or kept: a program that reads a thousand definitions spends less here than on
 * compiling.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xmltab_private.h"

#include <limits.h>
#include <string.h>

/* Places in the text, from @first to @last; none when @first is above @last. */
typedef struct {
    size_t first, last;
    uint8_t *at;
} Places;

typedef struct {
    const char *text;
    size_t length;
} Subject;

static const char *alternatives(const Subject *s, const char *p, const Places *from, Places *to);

static Places
places_new(const Subject *s)
{
    return (Places){ 1, 0, g_malloc0(s->length + 1) };
}

static bool
places_empty(const Places *set)
{
    return set->first > set->last;
}

static void
places_add(Places *set, size_t place)
{
    if (places_empty(set)) {
        set->first = set->last = place;
    } else {
        set->first = MIN(set->first, place);
        set->last = MAX(set->last, place);
    }
    set->at[place] = 1;
}

/* True when @to grew. */
static bool
places_join(Places *to, const Places *from)
{
    bool grew = false;

    for (size_t i = from->first; i <= from->last && !places_empty(from); i++)
        if (from->at[i] && !to->at[i]) {
            places_add(to, i);
            grew = true;
        }
    return grew;
}

static gunichar
escaped(char c)
{
    return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : (guchar)c;
}

static gunichar
next_member(const char **p)
{
    gunichar c;

    if (**p == '\\') {
        c = escaped((*p)[1]);
        *p += 2;
        return c;
    }
    c = g_utf8_get_char(*p);
    *p = g_utf8_next_char(*p);
    return c;
}

/* Behind the class at @p, and whether @c is in it. */
static const char *
in_class(const char *p, gunichar c, bool *ret)
{
    bool not = *++p == '^', in = false;

    p += not ;
    while (*p && *p != ']') {
        gunichar low = next_member(&p), high = low;

        if (*p == '-' && p[1] != ']') {
            p++;
            high = next_member(&p);
        }
        in |= c >= low && c <= high;
    }
    *ret = in != not ;
    return *p ? p + 1 : p;
}

/* Behind the single-character atom at @p, and whether @c is it. */
static const char *
one(const char *p, gunichar c, bool *ret)
{
    if (*p == '[')
        return in_class(p, c, ret);
    if (*p == '.') {
        *ret = c != '\n' && c != '\r';
        return p + 1;
    }
    *ret = next_member(&p) == c;
    return p;
}

/* One step over the atom at @p from each place. */
static const char *
step(const Subject *s, const char *p, const Places *from, Places *to)
{
    const char *end;
    bool ignored;

    if (*p == '(') {
        end = alternatives(s, p + 1, from, to);
        return *end ? end + 1 : end;
    }
    end = one(p, 0, &ignored);
    for (size_t i = from->first; i <= from->last && !places_empty(from); i++) {
        const char *c = s->text + i;
        bool matches;

        if (!from->at[i] || i >= s->length)
            continue;
        one(p, g_utf8_get_char(c), &matches);
        if (matches)
            places_add(to, (size_t)(g_utf8_next_char(c) - s->text));
    }
    return end;
}

static const char *
quantifier(const char *p, unsigned *ret_least, unsigned *ret_most)
{
    char *end;

    *ret_least = *p != '?' && *p != '*';
    *ret_most = *p == '*' || *p == '+' ? UINT_MAX : 1;
    if (*p == '?' || *p == '*' || *p == '+')
        return p + 1;
    if (*p != '{')
        return p;
    *ret_least = *ret_most = (unsigned)g_ascii_strtoull(p + 1, &end, 10);
    if (*end == ',')
        *ret_most = end[1] == '}' ? UINT_MAX : (unsigned)g_ascii_strtoull(end + 1, &end, 10);
    end = strchr(end, '}');
    return end ? end + 1 : p + strlen(p);
}

/* A run of one character's class, to its end from each place, in one go. */
static void
run(const Subject *s, const char *p, Places *set)
{
    if (places_empty(set))
        return;
    for (size_t i = set->first; i <= set->last && i < s->length; i++) {
        bool matches;

        if (!set->at[i])
            continue;
        one(p, g_utf8_get_char(s->text + i), &matches);
        if (matches)
            places_add(set, (size_t)(g_utf8_next_char(s->text + i) - s->text));
    }
}

/* The atom at @p as often as its quantifier says; @set moves on. Behind both. */
static const char *
piece(const Subject *s, const char *p, Places *set)
{
    Places at = *set, reached = places_new(s), next = places_new(s);
    const char *end = step(s, p, &at, &next);
    unsigned least, most;
    const char *after = quantifier(end, &least, &most);

    if (least == 0)
        places_join(&reached, &at);
    for (unsigned n = 1; n <= most && !places_empty(&next); n++) {
        if (n >= least && *p != '(' && most == UINT_MAX) {
            places_join(&reached, &next);
            run(s, p, &reached);
            break;
        }
        if (n >= least && !places_join(&reached, &next) && most == UINT_MAX)
            break;
        if (n == most)
            break;
        g_free(at.at);
        at = next;
        next = places_new(s);
        step(s, p, &at, &next);
    }
    g_free(at.at);
    g_free(next.at);
    *set = reached;
    return after;
}

static const char *
alternatives(const Subject *s, const char *p, const Places *from, Places *to)
{
    for (;; p++) {
        Places set = places_new(s);

        places_join(&set, from);
        while (*p && *p != '|' && *p != ')')
            p = piece(s, p, &set);
        places_join(to, &set);
        g_free(set.at);
        if (*p != '|')
            return p;
    }
}

bool
xml_pattern_matches(const char *pattern, const char *text)
{
    const Subject s = { text, strlen(text) };
    Places from, to;
    bool matches;

    if (!g_utf8_validate_len(text, s.length, NULL))
        return false;
    from = places_new(&s);
    to = places_new(&s);
    places_add(&from, 0);
    alternatives(&s, pattern, &from, &to);
    matches = to.at[s.length];
    g_free(from.at);
    g_free(to.at);
    return matches;
}
