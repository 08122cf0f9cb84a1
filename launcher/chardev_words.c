/* chardev_words.c - the short words for character devices, and who has the terminal (qemu(1)).
 *
 * Leaves out: vc, websockets, the host's serial and parallel ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/chardev_words.h"

#include <string.h>

#include "launcher/keyval.h"
#include "util/error.h"

/* "HOST:PORT" as options; HOST may be empty or in brackets. The caller frees. */
static char *
words_address(const char *text, const char *host_name, const char *port_name)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = NULL;

    if (!colon || colon[1] == '\0')
        return NULL;
    host = *text == '[' && colon > text + 1 && colon[-1] == ']'
               ? g_strndup(text + 1, (gsize)(colon - text) - 2)
               : g_strndup(text, (gsize)(colon - text));
    return *host ? g_strdup_printf(",%s=%s,%s=%s", host_name, host, port_name, colon + 1)
                 : g_strdup_printf(",%s=%s", port_name, colon + 1);
}

/* udp:[HOST]:PORT[@[LOCAL]:PORT] */
static char *
words_udp(const char *rest)
{
    g_auto(GStrv) ends = g_strsplit(rest, "@", 2);
    g_autofree char *to = words_address(ends[0], "host", "port");
    g_autofree char *from = ends[1] ? words_address(ends[1], "localaddr", "localport") : NULL;

    return to && (!ends[1] || from) ? g_strconcat("udp", to, from, NULL) : NULL;
}

/* What comes before the first comma, as options without an id; NULL: not known. */
static char *
words_backend(const char *word)
{
    g_autofree char *address = NULL;

    if (!strcmp(word, "stdio") || !strcmp(word, "pty") || !strcmp(word, "null"))
        return g_strdup(word);
    if (g_str_has_prefix(word, "file:"))
        return g_strconcat("file,path=", word + 5, NULL);
    if (g_str_has_prefix(word, "pipe:"))
        return g_strconcat("pipe,path=", word + 5, NULL);
    if (g_str_has_prefix(word, "unix:"))
        return g_strconcat("socket,path=", word + 5, NULL);
    if (g_str_has_prefix(word, "udp:"))
        return words_udp(word + 4);
    if (g_str_has_prefix(word, "tcp:") &&
        (address = words_address(word + 4, "host", "port")) != NULL)
        return g_strconcat("socket", address, NULL);
    if (g_str_has_prefix(word, "telnet:") &&
        (address = words_address(word + strlen("telnet:"), "host", "port")) != NULL)
        return g_strconcat("socket", address, ",telnet=on", NULL);
    return NULL;
}

char *
chardev_words(const char *what, const char *text, const char *id, GError **err)
{
    bool shared = g_str_has_prefix(text, "mon:");
    const char *words = shared ? text + strlen("mon:") : text;
    const char *comma = strchr(words, ',');
    g_autofree char *first = comma ? g_strndup(words, (gsize)(comma - words)) : g_strdup(words);
    g_autofree char *backend = words_backend(first);

    if (!backend) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "%s %s; it can be: stdio, pty, null, file:FILE, pipe:PATH, unix:PATH,…, "
                       "tcp:HOST:PORT,…, telnet:HOST:PORT,…, udp:HOST:PORT",
                       what, text);
        return NULL;
    }
    /* With a monitor behind it the interrupt key is the guest's. */
    return g_strconcat(backend, ",id=", id, shared ? ",mux=on" : "",
                       shared && !strcmp(first, "stdio") ? ",signal=off" : "", comma, NULL);
}

static bool
words_take_stdio(GPtrArray *list)
{
    for (guint i = 0; i < list->len; i++) {
        const char *word = g_ptr_array_index(list, i);

        if (g_str_has_prefix(word, "stdio") || g_str_has_prefix(word, "mon:stdio"))
            return true;
    }
    return false;
}

static bool
words_have(GPtrArray *list, const char *key, const char *value)
{
    for (guint i = 0; i < list->len; i++)
        if (!g_strcmp0(keyval_text(g_ptr_array_index(list, i), key), value))
            return true;
    return false;
}

bool
chardev_words_take_terminal(Options *options)
{
    if (options->nographic || options->nodefaults || options->daemonize || options->display ||
        options->vncs->len > 0 || options->serials->len > 0 ||
        words_take_stdio(options->monitors) || words_take_stdio(options->qmps) ||
        words_take_stdio(options->pretty_qmps) || words_take_stdio(options->parallels) ||
        (options->debugcon && g_str_has_prefix(options->debugcon, "stdio")) ||
        !g_strcmp0(options->gdb, "stdio") || words_have(options->devices, "driver", "isa-serial") ||
        words_have(options->chardevs, "backend", "stdio") ||
        words_have(options->chardevs, "type", "stdio"))
        return false;
    options->nographic = true;
    return true;
}

bool
chardev_words_on_terminal(const Options *options)
{
    return options->nographic && options->serials->len == 0 && !options->nodefaults;
}

bool
chardev_words_shared(const Options *options, unsigned n)
{
    if (n < options->serials->len)
        return g_str_has_prefix(g_ptr_array_index(options->serials, n), "mon:");
    return n == 0 && chardev_words_on_terminal(options) && options->monitors->len == 0 &&
           options->mons->len == 0 && options->qmps->len == 0 && options->pretty_qmps->len == 0;
}
