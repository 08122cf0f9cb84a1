/* sysfs.c - small files of /proc and /sys below a root that tests can choose. See sysfs.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/sysfs.h"

#include <string.h>
#include <unistd.h>

#include "util/file.h"

#define SYSFS_FILE_MAX (1u << 20) /* /proc/cpuinfo of 255 CPUs has some 400 KiB */
#define SYSFS_LIST_MAX 65536      /* far above the kernel's limit of CPUs */

static char *
sysfs_path(const char *root, const char *format, va_list args)
{
    g_autofree char *path = g_strdup_vprintf(format, args);

    return g_strconcat(root, path, NULL);
}

char *
sysfs_read(const char *root, const char *format, ...)
{
    g_autofree char *path = NULL;
    char *text;
    va_list args;

    va_start(args, format);
    path = sysfs_path(root, format, args);
    va_end(args);
    text = file_read_limited(path, SYSFS_FILE_MAX, NULL, NULL);
    return text ? g_strstrip(text) : NULL;
}

char *
sysfs_read_text(const char *root, const char *format, ...)
{
    g_autofree char *path = NULL;
    char *text, *to;
    va_list args;

    va_start(args, format);
    path = sysfs_path(root, format, args);
    va_end(args);
    to = text = file_read_limited(path, SYSFS_FILE_MAX, NULL, NULL);
    for (const char *at = text; at && *at; at++)
        if (!g_ascii_iscntrl(*at))
            *to++ = *at;
    if (!text)
        return NULL;
    *to = '\0';
    if (!g_utf8_validate(text, -1, NULL) || !*g_strstrip(text))
        g_clear_pointer(&text, g_free);
    return text;
}

bool
sysfs_read_uint(uint64_t *ret, const char *root, const char *format, ...)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    guint64 value;
    va_list args;

    va_start(args, format);
    path = sysfs_path(root, format, args);
    va_end(args);
    text = file_read_limited(path, SYSFS_FILE_MAX, NULL, NULL);
    if (!text || !g_ascii_string_to_unsigned(g_strstrip(text), 10, 0, G_MAXUINT64, &value, NULL))
        return false;
    *ret = value;
    return true;
}

bool
sysfs_exists(const char *root, const char *format, ...)
{
    g_autofree char *path = NULL;
    va_list args;

    va_start(args, format);
    path = sysfs_path(root, format, args);
    va_end(args);
    return access(path, F_OK) == 0;
}

char *
sysfs_find_line(const char *text, const char *key)
{
    size_t len = strlen(key);

    for (const char *line = text; line; line = strchr(line, '\n')) {
        const char *at;

        line += *line == '\n';
        if (strncmp(line, key, len) != 0)
            continue;
        at = line + len + strspn(line + len, " \t");
        if (*at == ':')
            at++;
        else if (at == line + len)
            continue;
        return g_strstrip(g_strndup(at, strcspn(at, "\n")));
    }
    return NULL;
}

GArray *
sysfs_parse_list(const char *text)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(unsigned));

    for (const char *at = text; at && *at;) {
        char *end;
        guint64 first = g_ascii_strtoull(at, &end, 10), last = first;

        if (end == at)
            break;
        if (*end == '-') {
            at = end + 1;
            last = g_ascii_strtoull(at, &end, 10);
            if (end == at)
                break;
        }
        for (guint64 n = first; n <= last && n < SYSFS_LIST_MAX; n++) {
            unsigned id = n;

            g_array_append_val(list, id);
        }
        if (*end != ',')
            break;
        at = end + 1;
    }
    return list;
}
