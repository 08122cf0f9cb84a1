/* options.c - the command line of kiln-vmm.
 *
 * Walks the rows of option_table.c: name, kind of argument, where it goes, which keys it knows, its
 * line of -help. What the values mean together is settled where they are used.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/options.h"

#include <stddef.h>
#include <string.h>

#include "launcher/keyval.h"
#include "launcher/option_table.h"
#include "util/error.h"

static const Option *
option_find(const char *name)
{
    for (size_t i = 0; i < option_count; i++)
        if (!strcmp(option_table[i].name, name))
            return &option_table[i];
    return NULL;
}

static bool
option_unknown(const char *arg, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    for (size_t i = 0; i < option_refused_count; i++)
        if (!strcmp(option_refused[i].name, name))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-%s: %s", name,
                                  option_refused[i].why);
    for (size_t i = 0; i < option_count; i++)
        g_ptr_array_add(names, (void *)option_table[i].name);
    g_ptr_array_add(names, NULL);
    near = keyval_nearest(name, (const char *const *)names->pdata);
    if (near)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "%s: no such option; did you mean -%s?", arg, near);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "%s: no such option; 'kiln-vmm -help' lists them", arg);
}

static void
option_merge(JsonObject **into, JsonObject *obj)
{
    g_autoptr(GList) members = json_object_get_members(obj);

    if (!*into)
        *into = json_object_new();
    for (GList *l = members; l; l = l->next)
        json_object_set_member(*into, l->data, json_object_dup_member(obj, l->data));
}

/* A second image would take the place of the first. */
static bool
option_given_twice(const Option *o, const char *first, const char *second, GError **err)
{
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-%s %s: this drive has '%s' already; for another one use -drive",
                          o->name, second, first);
}

static bool
option_store(Options *options, const Option *o, const char *value, GError **err)
{
    void *field = (char *)options + o->offset;
    g_autoptr(JsonObject) obj = NULL;
    g_autofree char *what = NULL, *text = NULL;

    switch (o->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return true;
    case OPTION_TEXT:
        if (o->once && *(char **)field)
            return option_given_twice(o, *(char **)field, value, err);
        g_free(*(char **)field);
        *(char **)field = g_strdup(value);
        return true;
    case OPTION_TEXTS:
        g_ptr_array_add(*(GPtrArray **)field, g_strdup(value));
        return true;
    case OPTION_KEYVAL:
    case OPTION_KEYVALS:
        break;
    }
    what = g_strconcat("-", o->name, NULL);
    if (o->prefix) {
        g_autofree char *name = keyval_escape(value);

        text = g_strconcat(o->prefix, name, NULL);
    }
    obj = keyval_parse(what, text ? text : value, o->implied, err);
    if (!obj || (o->keys && !keyval_check(what, obj, o->keys, err)))
        return false;
    if (o->kind == OPTION_KEYVAL)
        option_merge(field, obj);
    else
        g_ptr_array_add(*(GPtrArray **)field, g_steal_pointer(&obj));
    return true;
}

/* A word without a dash is the first disk's image. */
static bool
options_set_disk(Options *options, const char *file, GError **err)
{
    if (options->hda)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s': '%s' is the first disk already; another one is -drive file=%s",
                              file, options->hda, file);
    options->hda = g_strdup(file);
    return true;
}

/* What -net says, one card and its back end, becomes a -nic. */
static bool
options_join_net(Options *options, GError **err)
{
    static const char *const keys[] = { "type", "model", "macaddr", "addr", NULL };
    static const char *const moved[][2] = { { "model", "model" },
                                            { "macaddr", "mac" },
                                            { "addr", "addr" } };
    JsonObject *card = NULL, *back_end = NULL;
    guint cards = 0, back_ends = 0;

    for (guint i = 0; i < options->nets->len; i++) {
        JsonObject *net = g_ptr_array_index(options->nets, i);
        const char *type = keyval_text(net, "type");

        if (!g_strcmp0(type, "none"))
            continue;
        if (g_strcmp0(type, "nic") != 0) {
            back_end = net;
            back_ends++;
            continue;
        }
        if (!keyval_check("-net nic", net, keys, err))
            return false;
        card = net;
        cards++;
    }
    if (cards == 0 && back_ends == 0)
        return true;
    if (cards != 1 || back_ends != 1)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "-net: there are %u cards (nic) and %u back ends, and there can be one "
            "of each; several are written as -nic user,model=virtio",
            cards, back_ends);
    for (size_t i = 0; i < G_N_ELEMENTS(moved); i++)
        if (json_object_has_member(card, moved[i][0]))
            json_object_set_string_member(back_end, moved[i][1], keyval_text(card, moved[i][0]));
    g_ptr_array_add(options->nics, json_object_ref(back_end));
    return true;
}

static Options *
options_new(void)
{
    Options *options = g_new0(Options, 1);

    for (size_t i = 0; i < option_count; i++) {
        const Option *o = &option_table[i];
        GPtrArray **field = (GPtrArray **)((char *)options + o->offset);

        if (o->kind == OPTION_TEXTS && !*field)
            *field = g_ptr_array_new_with_free_func(g_free);
        else if (o->kind == OPTION_KEYVALS && !*field)
            *field = g_ptr_array_new_with_free_func((GDestroyNotify)json_object_unref);
    }
    return options;
}

Options *
options_parse(int argc, char **argv, GError **err)
{
    g_autoptr(Options) options = options_new();

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *name = arg, *value = NULL;
        const Option *o;

        if (*name != '-' || !name[1]) {
            if (!options_set_disk(options, arg, err))
                return NULL;
            continue;
        }
        name += name[1] == '-' && name[2] ? 2 : 1;
        o = option_find(name);
        if (!o) {
            option_unknown(arg, name, err);
            return NULL;
        }
        if (o->kind != OPTION_FLAG) {
            value = argv[++i];
            if (i >= argc) {
                kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s: wants an argument: %s", arg,
                               o->argument);
                return NULL;
            }
        }
        if (!option_store(options, o, value, err))
            return NULL;
    }
    if (!options_join_net(options, err))
        return NULL;
    return g_steal_pointer(&options);
}

void
options_free(Options *options)
{
    if (!options)
        return;
    for (size_t i = 0; i < option_count; i++) {
        const Option *o = &option_table[i];
        void **field = (void **)((char *)options + o->offset);

        if (o->kind == OPTION_TEXT)
            g_clear_pointer(field, g_free);
        else if (o->kind == OPTION_KEYVAL)
            g_clear_pointer((JsonObject **)field, json_object_unref);
        else if (o->kind != OPTION_FLAG)
            g_clear_pointer((GPtrArray **)field, g_ptr_array_unref);
    }
    g_free(options);
}

char *
options_help(void)
{
    GString *text = g_string_new("kiln-vmm runs one KVM guest. Its options are written as QEMU's.\n"
                                 "usage: kiln-vmm [OPTION...] [DISK]\n\n");

    for (size_t i = 0; i < option_count; i++) {
        const Option *o = &option_table[i];
        g_autofree char *left = NULL;

        if (!o->help)
            continue;
        left = g_strdup_printf("-%s%s%s", o->name, o->argument ? " " : "",
                               o->argument ? o->argument : "");
        if (strlen(left) < 26)
            g_string_append_printf(text, "%-26s %s\n", left, o->help);
        else
            g_string_append_printf(text, "%s\n%27s%s\n", left, "", o->help);
    }
    g_string_append(text, "\n-device help lists devices, -device NAME,help their properties, "
                          "-machine help and -cpu help what can stand there.\n");
    return g_string_free(text, FALSE);
}
