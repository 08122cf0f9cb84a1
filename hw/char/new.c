/* new.c - character devices: making them from options, listing them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/private.h"

#include "util/error.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const ChardevBackend *const chardev_backends[] = {
    &chardev_pty,  &chardev_socket, &chardev_udp,  &chardev_pipe,
    &chardev_file, &chardev_stdio,  &chardev_null, &chardev_ringbuf,
};

bool
chardev_error(Chardev *chardev, GError **err, int code, const char *format, ...)
{
    g_autofree char *detail = NULL;
    va_list args;

    va_start(args, format);
    detail = g_strdup_vprintf(format, args);
    va_end(args);
    return kiln_error_set(err, code, "chardev '%s': %s", chardev->id, detail);
}

const char *
chardev_option(Chardev *chardev, const char *name)
{
    return g_hash_table_lookup(chardev->options, name);
}

bool
chardev_option_bool(Chardev *chardev, const char *name, bool fallback, bool *ret, GError **err)
{
    static const char *const yes[] = { "on", "true", "yes", "y", NULL };
    static const char *const no[] = { "off", "false", "no", "n", NULL };
    const char *text = chardev_option(chardev, name);

    if (!text)
        *ret = fallback;
    else if (g_strv_contains(yes, text))
        *ret = true;
    else if (g_strv_contains(no, text))
        *ret = false;
    else
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "option '%s' cannot be '%s': expected on or off", name, text);
    return true;
}

bool
chardev_option_number(Chardev *chardev, const char *name, int64_t fallback, int64_t min,
                      int64_t max, int64_t *ret, GError **err)
{
    const char *text = chardev_option(chardev, name);

    if (!text) {
        *ret = fallback;
        return true;
    }
    if (!g_ascii_string_to_signed(text, 10, min, max, ret, NULL))
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "option '%s' cannot be '%s': expected a number from %" G_GINT64_FORMAT
                             " to %" G_GINT64_FORMAT,
                             name, text, min, max);
    return true;
}

bool
chardev_check_port(Chardev *chardev, const char *port, GError **err)
{
    guint64 number;

    if (port[strspn(port, "0123456789")] != '\0' ||
        g_ascii_string_to_unsigned(port, 10, 0, UINT16_MAX, &number, NULL))
        return true;
    return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                         "there is no port '%s': they go from 1 to %d", port, UINT16_MAX);
}

static bool
chardev_check_options(Chardev *chardev, GError **err)
{
    static const char *const common[] = { "id",        "backend", "type", "logfile",
                                          "logappend", "mux",     NULL };
    GHashTableIter iter;
    gpointer key;
    bool mux;

    g_hash_table_iter_init(&iter, chardev->options);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!g_strv_contains(common, key) && !g_strv_contains(chardev->backend->options, key))
            return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "back end '%s' has no option '%s'", chardev->backend->name,
                                 (const char *)key);
    }
    if (!chardev_option_bool(chardev, "mux", false, &mux, err))
        return false;
    if (mux)
        chardev->mux = chardev_mux_new();
    return true;
}

static bool
chardev_open_log(Chardev *chardev, GError **err)
{
    const char *path = chardev_option(chardev, "logfile");
    bool append;

    if (!chardev_option_bool(chardev, "logappend", false, &append, err))
        return false;
    if (!path)
        return true;
    chardev->log = machine_open_file(chardev->machine, path,
                                     O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0600, err);
    return chardev->log >= 0;
}

Chardev *
chardev_new(Machine *machine, GHashTable *props, GError **err)
{
    const char *id = g_hash_table_lookup(props, "id"),
               *name = g_hash_table_lookup(props, "backend");
    const ChardevBackend *backend = NULL;
    g_autoptr(Chardev) chardev = NULL;
    GHashTableIter iter;
    gpointer key, value;

    if (!name)
        name = g_hash_table_lookup(props, "type");
    for (size_t i = 0; name && i < G_N_ELEMENTS(chardev_backends); i++) {
        if (strcmp(chardev_backends[i]->name, name) == 0)
            backend = chardev_backends[i];
    }
    if (!id || !*id || !backend) {
        if (!backend)
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                           "there is no chardev back end '%s'; see -chardev help",
                           name ? name : "");
        else
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "chardev %s needs an id", name);
        return NULL;
    }
    chardev = g_new0(Chardev, 1);
    chardev->machine = machine;
    chardev->id = g_strdup(id);
    chardev->backend = backend;
    chardev->in = chardev->out = chardev->log = -1;
    chardev->wake_at = -1;
    g_mutex_init(&chardev->lock);
    chardev->buffer = g_malloc(CHARDEV_BUFFER);
    chardev->state = g_malloc0(backend->state_size + 1);
    chardev->options = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_hash_table_iter_init(&iter, props);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(chardev->options, g_strdup(key), g_strdup(value));
    chardev_add_source(chardev);
    if (!chardev_check_options(chardev, err) || !chardev_open_log(chardev, err) ||
        !backend->open(chardev, err))
        return NULL;
    return g_steal_pointer(&chardev);
}

void
chardev_free(Chardev *chardev)
{
    if (!chardev)
        return;
    chardev_flush(chardev);
    if (chardev->backend->close)
        chardev->backend->close(chardev);
    chardev_set_fds(chardev, -1, -1, false);
    if (chardev->log >= 0)
        close(chardev->log);
    g_source_destroy(chardev->source);
    g_source_unref(chardev->source);
    g_hash_table_unref(chardev->options);
    g_mutex_clear(&chardev->lock);
    chardev_mux_free(chardev->mux);
    g_free(chardev->buffer);
    g_free(chardev->state);
    g_free(chardev->id);
    g_free(chardev);
}

char *
chardev_help(void)
{
    GString *text = g_string_new("Available chardev backend types:\n");

    for (size_t i = 0; i < G_N_ELEMENTS(chardev_backends); i++)
        g_string_append_printf(text, "  %s - %s\n", chardev_backends[i]->name,
                               chardev_backends[i]->help);
    return g_string_free(text, FALSE);
}

static void
chardev_query_one(const char *id, void *object, void *opaque)
{
    Chardev *chardev = object;
    g_autofree char *filename = chardev_filename(chardev);
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "label", id);
    json_object_set_string_member(entry, "filename", filename);
    json_object_set_boolean_member(entry, "frontend-open", chardev_frontend_open(chardev));
    json_array_add_object_element(opaque, entry);
}

JsonArray *
chardev_query(Machine *machine)
{
    JsonArray *array = json_array_new();

    machine_object_visit(machine, OBJECT_CHARDEV, chardev_query_one, array);
    return array;
}
