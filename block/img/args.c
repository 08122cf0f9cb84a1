/* args.c - the command line of a sub-command, by its table of options; sizes and objects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/error.h"

enum { LONG_BASE = 256, OPTIONS_MAX = 64 };

int
img_fail(const char *format, ...)
{
    va_list list;

    fflush(stdout);
    fputs("kiln-img: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    return IMG_FAILED;
}

int
img_fail_error(const GError *err)
{
    return img_fail("%s", err ? err->message : "failed for an unknown reason");
}

bool
img_flush(BlockNode *node, GError **err)
{
    int r = block_node_flush(node);

    return r == 0 || block_error_set(err, VIR_ERR_SYSTEM_ERROR, r, node,
                                     "'%s' could not be flushed", block_node_filename(node));
}

void
img_warn(const char *format, ...)
{
    va_list list;

    fputs("kiln-img: warning: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

bool
img_size_parse(const char *text, uint64_t *ret)
{
    static const char units[] = "bkmgtpe";
    char *end = NULL;
    const char *unit;
    uint64_t whole, factor = 1;
    double fraction = 0;

    if (!g_ascii_isdigit(text[0]))
        return false;
    errno = 0;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        whole = g_ascii_strtoull(text, &end, 16);
        if (errno != 0 || *end != '\0' || whole > G_MAXINT64)
            return false;
        *ret = whole;
        return true;
    }
    whole = g_ascii_strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    if (*end == '.') {
        char *after = end + 1;

        for (double scale = 0.1; g_ascii_isdigit(*after); after++, scale /= 10)
            fraction += (*after - '0') * scale;
        end = after;
    }
    if (*end != '\0') {
        unit = strchr(units, g_ascii_tolower(*end));
        if (!unit || end[1] != '\0')
            return false;
        factor = UINT64_C(1) << (unit - units) * 10;
    }
    if (fraction > 0 && factor == 1)
        return false;
    if (whole > (uint64_t)G_MAXINT64 / factor)
        return false;
    whole = whole * factor + (uint64_t)(fraction * (double)factor);
    if (whole > G_MAXINT64)
        return false;
    *ret = whole;
    return true;
}

static size_t
commas_at_end(const char *text)
{
    size_t length = strlen(text), n = 0;

    while (n < length && text[length - n - 1] == ',')
        n++;
    return n;
}

GHashTable *
img_options(const ImgArgs *args, bool *ret_help, GError **err)
{
    g_autoptr(GHashTable) all = tool_keyval_new();
    bool help = false;

    for (guint i = 0; i < args->options->len; i++) {
        const char *text = args->options->pdata[i];
        g_auto(GStrv) words = g_strsplit(text, ",", -1);

        for (unsigned j = 0; words[j]; j++)
            help |= strcmp(words[j], "help") == 0 || strcmp(words[j], "?") == 0;
        if (*text == '\0' || commas_at_end(text) % 2 == 1) {
            kiln_error_set(err, VIR_ERR_INVALID_ARG, "Invalid option list '%s': %s", text,
                           *text ? "nothing follows the last comma" : "it is empty");
            return NULL;
        }
        if (!tool_keyval_parse(text, TOOL_SHORT_TAKE, all, err)) {
            g_prefix_error(err, "Invalid option list '%s': ", text);
            return NULL;
        }
    }
    if (ret_help)
        *ret_help = help;
    return g_steal_pointer(&all);
}

bool
img_output_is_json(const ImgArgs *args, bool *ret_ok)
{
    *ret_ok = true;
    if (!args->output || strcmp(args->output, "human") == 0)
        return false;
    if (strcmp(args->output, "json") == 0)
        return true;
    img_fail("--output must be used with human or json as argument.");
    *ret_ok = false;
    return false;
}

char *
img_usage(const ImgCommand *command)
{
    GString *text = g_string_new(command->name);

    for (const ImgOption *o = command->options; o->letter || o->name; o++) {
        if (o->letter && o->name)
            g_string_append_printf(text, " [-%c|--%s", o->letter, o->name);
        else if (o->letter)
            g_string_append_printf(text, " [-%c", o->letter);
        else
            g_string_append_printf(text, " [--%s", o->name);
        if (o->value)
            g_string_append_printf(text, "%s%s", o->letter ? " " : "=", o->value);
        g_string_append_c(text, ']');
    }
    g_string_append_printf(text, " %s", command->operands);
    return g_string_free(text, FALSE);
}

static bool
option_store(const ImgOption *option, const char *value, ImgArgs *args)
{
    char *at = (char *)args + option->at;
    uint64_t number;

    switch (option->kind) {
    case IMG_FLAG:
        *(bool *)at = true;
        return true;
    case IMG_TEXT:
        *(const char **)at = value;
        return true;
    case IMG_LIST:
        g_ptr_array_add(*(GPtrArray **)at, (char *)value);
        return true;
    case IMG_ACTION: {
        ImgAction action = { .name = option->name, .value = value };

        g_array_append_val(*(GArray **)at, action);
        return true;
    }
    case IMG_SIZE:
        if (!img_size_parse(value, &number)) {
            img_fail("Invalid %s specified: '%s'. It is a number of bytes from 0 to %" PRId64
                     "; use k, M, G, T, P or E for 1024 and its powers",
                     option->value, value, G_MAXINT64);
            return false;
        }
        *(uint64_t *)at = number;
        return true;
    case IMG_NUMBER:
        if (!(g_str_has_prefix(value, "0x")
                  ? g_ascii_string_to_unsigned(value + 2, 16, 0, G_MAXINT64, &number, NULL)
                  : g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT64, &number, NULL))) {
            img_fail("Invalid %s specified: '%s' is not a whole number from 0 to %" PRId64,
                     option->value, value, G_MAXINT64);
            return false;
        }
        *(uint64_t *)at = number;
        return true;
    }
    return false;
}

static void
args_init(const ImgCommand *command, ImgArgs *args)
{
    *args = (ImgArgs){
        .command = command,
        .sparse = IMG_UNSET,
        .rate = IMG_UNSET,
        .parallel = IMG_UNSET,
        .start_offset = IMG_UNSET,
        .max_length = IMG_UNSET,
        .size = IMG_UNSET,
        .granularity = IMG_UNSET,
        .count = IMG_UNSET,
        .depth = IMG_UNSET,
        .buffer_size = IMG_UNSET,
        .step = IMG_UNSET,
        .offset = IMG_UNSET,
        .flush_interval = IMG_UNSET,
        .pattern = IMG_UNSET,
        .objects = g_ptr_array_new(),
        .options = g_ptr_array_new(),
        .actions = g_array_new(FALSE, TRUE, sizeof(ImgAction)),
        .by_id = tool_objects_new(),
    };
}

void
img_args_clear(ImgArgs *args)
{
    g_ptr_array_unref(args->objects);
    g_ptr_array_unref(args->options);
    g_array_unref(args->actions);
    tool_objects_free(args->by_id);
}

bool
img_args_parse(const ImgCommand *command, int argc, char **argv, ImgArgs *args)
{
    struct option longs[OPTIONS_MAX] = { { "help", no_argument, NULL, 'h' } };
    g_autoptr(GString) shorts = g_string_new(":h");
    unsigned n = 1;
    int found;

    args_init(command, args);
    if (command->last_is_size && argc > 2)
        args->last = argv[--argc];
    for (const ImgOption *o = command->options; o->letter || o->name; o++) {
        int has = o->value ? required_argument : no_argument;

        if (o->letter)
            g_string_append_printf(shorts, "%c%s", o->letter, o->value ? ":" : "");
        g_assert(n < OPTIONS_MAX - 1); /* a table of ours */
        if (o->name)
            longs[n++] =
                (struct option){ o->name, has, NULL, LONG_BASE + (int)(o - command->options) };
    }
    optind = 0;
    opterr = 0;
    while ((found = getopt_long(argc, argv, shorts->str, longs, NULL)) != -1) {
        const ImgOption *o = command->options;

        if (found == 'h') {
            args->help = true;
            return true;
        }
        if (found == ':' || found == '?') {
            img_fail(found == ':'
                         ? "missing argument for option '%s'\nTry 'kiln-img --help' for more "
                           "information"
                         : "unrecognized option '%s'\nTry 'kiln-img --help' for more information",
                     argv[optind - 1]);
            return false;
        }
        if (found >= LONG_BASE)
            o += found - LONG_BASE;
        else
            while (o->letter != found)
                o++;
        if (!option_store(o, optarg, args))
            return false;
    }
    args->files = argv + optind;
    args->n_files = argc - optind;
    for (guint i = 0; i < args->objects->len; i++) {
        g_autoptr(GError) err = NULL;

        if (!tool_objects_add(args->by_id, args->objects->pdata[i], &args->told, &err)) {
            img_fail_error(err);
            return false;
        }
        if (args->told)
            return true;
    }
    return true;
}
