/* config.c - virtkilnd.conf. See config.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/config.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"

#define CONFIG_FILE_MAX (1u << 20)

typedef enum {
    CONFIG_NUMBER,
    CONFIG_STRING,
    CONFIG_MODE,  /* octal number in a string */
    CONFIG_AUTH,  /* "none" or "polkit" */
    CONFIG_IMAGE, /* "raw" or "zstd" */
    CONFIG_NAMES, /* list of file name parts */
} ConfigKind;

typedef struct {
    const char *key;
    ConfigKind kind;
    size_t offset;
    gint64 min, max; /* of numbers */
} ConfigKey;

#define KEY(name, kind, min, max)                                                                  \
    {                                                                                              \
#name, kind, offsetof(DaemonConfig, name), min, max                                        \
    }

static const ConfigKey config_keys[] = {
    KEY(sockets, CONFIG_NAMES, 0, 0),
    KEY(unix_sock_group, CONFIG_STRING, 0, 0),
    KEY(unix_sock_rw_perms, CONFIG_MODE, 0, 0777),
    KEY(unix_sock_ro_perms, CONFIG_MODE, 0, 0777),
    KEY(auth_unix_rw, CONFIG_AUTH, 0, 0),
    KEY(auth_unix_ro, CONFIG_AUTH, 0, 0),
    KEY(max_clients, CONFIG_NUMBER, 1, 1000000),
    KEY(max_anonymous_clients, CONFIG_NUMBER, 0, 1000000),
    KEY(max_queued_clients, CONFIG_NUMBER, 1, 65535),
    KEY(max_workers, CONFIG_NUMBER, 1, 1000),
    KEY(prio_workers, CONFIG_NUMBER, 1, 1000),
    KEY(max_client_requests, CONFIG_NUMBER, 1, 1000),
    KEY(keepalive_interval, CONFIG_NUMBER, -1, 86400),
    KEY(keepalive_count, CONFIG_NUMBER, 0, 1000),
    KEY(log_level, CONFIG_NUMBER, 1, 4),
    KEY(vmm_user, CONFIG_STRING, 0, 0),
    KEY(save_image_format, CONFIG_IMAGE, 0, 0),
    KEY(vnc_listen, CONFIG_STRING, 0, 0),
    KEY(vnc_password, CONFIG_STRING, 0, 0),
    KEY(vnc_tls, CONFIG_NUMBER, 0, 1),
    KEY(vnc_tls_x509_cert_dir, CONFIG_STRING, 0, 0),
    KEY(vnc_tls_x509_verify, CONFIG_NUMBER, 0, 1),
};

/* Where the parser is. */
typedef struct {
    const char *at;
    const char *name;
    guint line;
} ConfigReader;

static bool
config_fail(const ConfigReader *reader, GError **err, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start(args, format);
    what = g_strdup_vprintf(format, args);
    va_end(args);
    return kiln_error_set(err, VIR_ERR_CONF_SYNTAX, "%s:%u: %s", reader->name, reader->line, what);
}

/* Skips blanks, and with @lines also ends of line and comments. */
static void
config_skip(ConfigReader *reader, bool lines)
{
    for (;; reader->at++) {
        if (lines && *reader->at == '#')
            while (*reader->at && *reader->at != '\n')
                reader->at++;
        if (lines && *reader->at == '\n')
            reader->line++;
        else if (*reader->at != ' ' && *reader->at != '\t' && *reader->at != '\r')
            return;
    }
}

static char *
config_read_string(ConfigReader *reader, GError **err)
{
    char quote = *reader->at;
    const char *end;
    char *text;

    if (quote != '"' && quote != '\'') {
        config_fail(reader, err, "a string in quotes is expected here");
        return NULL;
    }
    end = strpbrk(reader->at + 1, quote == '"' ? "\"\n" : "'\n");
    if (!end || *end == '\n') {
        config_fail(reader, err, "the string that begins here has no closing quote");
        return NULL;
    }
    text = g_strndup(reader->at + 1, (gsize)(end - reader->at - 1));
    reader->at = end + 1;
    return text;
}

static bool
config_read_number(ConfigReader *reader, const ConfigKey *key, gint64 *ret_value, GError **err)
{
    char *end;
    gint64 value = g_ascii_strtoll(reader->at, &end, 10);

    if (end == reader->at)
        return config_fail(reader, err, "'%s' takes a number", key->key);
    if (value < key->min || value > key->max)
        return config_fail(reader, err,
                           "'%s' is %" G_GINT64_FORMAT ", but must be from %" G_GINT64_FORMAT
                           " to %" G_GINT64_FORMAT,
                           key->key, value, key->min, key->max);
    reader->at = end;
    *ret_value = value;
    return true;
}

static bool
config_read_names(ConfigReader *reader, const ConfigKey *key, char ***ret_names, GError **err)
{
    g_autoptr(GStrvBuilder) names = g_strv_builder_new();
    char **list;

    if (*reader->at != '[')
        return config_fail(reader, err, "'%s' takes a list: [ \"…\", \"…\" ]", key->key);
    reader->at++;
    for (;;) {
        g_autofree char *text = NULL;

        config_skip(reader, true);
        if (*reader->at == ']')
            break;
        text = config_read_string(reader, err);
        if (!text)
            return false;
        if (!*text || strchr(text, '/'))
            return config_fail(reader, err, "'%s' in '%s' is no name of a socket", text, key->key);
        g_strv_builder_add(names, text);
        config_skip(reader, true);
        if (*reader->at == ',')
            reader->at++;
        else if (*reader->at != ']')
            return config_fail(reader, err, "',' or ']' is missing in '%s'", key->key);
    }
    reader->at++;
    list = g_strv_builder_end(names);
    if (!*list) {
        g_strfreev(list);
        return config_fail(reader, err, "'%s' is an empty list", key->key);
    }
    g_strfreev(*ret_names);
    *ret_names = list;
    return true;
}

static bool
config_read_text(ConfigReader *reader, const ConfigKey *key, void *field, GError **err)
{
    g_autofree char *text = config_read_string(reader, err);
    guint64 mode;

    if (!text)
        return false;
    if (key->kind == CONFIG_MODE) {
        char *end;

        mode = g_ascii_strtoull(text, &end, 8);
        if (*end || end == text || mode > (guint64)key->max)
            return config_fail(reader, err,
                               "'%s' is \"%s\", but must be an octal mode up to "
                               "\"0777\"",
                               key->key, text);
        *(guint *)field = (guint)mode;
        return true;
    }
    if (key->kind == CONFIG_AUTH && strcmp(text, "none") && strcmp(text, "polkit"))
        return config_fail(reader, err, "'%s' is \"%s\", but must be \"none\" or \"polkit\"",
                           key->key, text);
    if (key->kind == CONFIG_IMAGE && strcmp(text, "raw") && strcmp(text, "zstd"))
        return config_fail(reader, err, "'%s' is \"%s\", but must be \"raw\" or \"zstd\"", key->key,
                           text);
    g_free(*(char **)field);
    *(char **)field = g_steal_pointer(&text);
    return true;
}

static bool
config_read_value(ConfigReader *reader, const ConfigKey *key, DaemonConfig *config, GError **err)
{
    void *field = (char *)config + key->offset;
    gint64 number = 0;

    switch (key->kind) {
    case CONFIG_NUMBER:
        if (!config_read_number(reader, key, &number, err))
            return false;
        *(int *)field = (int)number;
        return true;
    case CONFIG_NAMES:
        return config_read_names(reader, key, field, err);
    default:
        return config_read_text(reader, key, field, err);
    }
}

static bool
config_read_line(ConfigReader *reader, DaemonConfig *config, GError **err)
{
    size_t len = strspn(reader->at, "abcdefghijklmnopqrstuvwxyz_0123456789");
    g_autofree char *name = g_strndup(reader->at, len);
    const ConfigKey *key = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(config_keys); i++)
        if (!strcmp(config_keys[i].key, name))
            key = &config_keys[i];
    if (!len)
        return config_fail(reader, err, "a key is expected here");
    if (!key)
        return config_fail(reader, err, "there is no setting '%s'", name);
    reader->at += len;
    config_skip(reader, false);
    if (*reader->at != '=')
        return config_fail(reader, err, "'=' is missing after '%s'", name);
    reader->at++;
    config_skip(reader, false);
    if (!config_read_value(reader, key, config, err))
        return false;
    config_skip(reader, false);
    if (*reader->at && *reader->at != '\n' && *reader->at != '#')
        return config_fail(reader, err, "there is more on the line after '%s'", name);
    return true;
}

DaemonConfig *
daemon_config_new(void)
{
    static const char *const sockets[] = { "virtkilnd", "virtqemud", "libvirt", NULL };
    DaemonConfig *config = g_new0(DaemonConfig, 1);

    config->sockets = g_strdupv((char **)sockets);
    config->unix_sock_rw_perms = 0770;
    config->unix_sock_ro_perms = 0777;
    config->auth_unix_rw = g_strdup("none");
    config->auth_unix_ro = g_strdup("none");
    config->max_clients = 5000;
    config->max_anonymous_clients = 20;
    config->max_queued_clients = 1000;
    config->max_workers = 20;
    config->prio_workers = 5;
    config->max_client_requests = 5;
    config->keepalive_interval = 5;
    config->keepalive_count = 5;
    config->log_level = 3;
    config->vmm_user = g_strdup("kiln");
    config->save_image_format = g_strdup("raw");
    config->vnc_listen = g_strdup("127.0.0.1");
    return config;
}

DaemonConfig *
daemon_config_parse(const char *text, const char *name, GError **err)
{
    g_autoptr(DaemonConfig) config = daemon_config_new();
    ConfigReader reader = { text, name, 1 };

    for (config_skip(&reader, true); *reader.at; config_skip(&reader, true))
        if (!config_read_line(&reader, config, err))
            return NULL;
    return g_steal_pointer(&config);
}

DaemonConfig *
daemon_config_load(const char *path, bool required, GError **err)
{
    g_autofree char *text = NULL;

    if (!required && !g_file_test(path, G_FILE_TEST_EXISTS))
        return daemon_config_new();
    text = file_read_limited(path, CONFIG_FILE_MAX, NULL, err);
    return text ? daemon_config_parse(text, path, err) : NULL;
}

RpcLimits
daemon_config_limits(const DaemonConfig *config)
{
    return (RpcLimits){
        .max_clients = config->max_clients,
        .max_anonymous_clients = config->max_anonymous_clients,
        .max_client_requests = config->max_client_requests,
        .keepalive_interval = config->keepalive_interval,
        .keepalive_count = config->keepalive_count,
    };
}

RpcAuth
daemon_config_auth(const DaemonConfig *config, bool read_only)
{
    const char *name = read_only ? config->auth_unix_ro : config->auth_unix_rw;

    return strcmp(name, "polkit") ? RPC_AUTH_NONE : RPC_AUTH_POLKIT;
}

void
daemon_config_free(DaemonConfig *config)
{
    if (!config)
        return;
    g_strfreev(config->sockets);
    g_free(config->unix_sock_group);
    g_free(config->auth_unix_rw);
    g_free(config->auth_unix_ro);
    g_free(config->vmm_user);
    g_free(config->save_image_format);
    g_free(config->vnc_listen);
    g_free(config->vnc_password);
    g_free(config->vnc_tls_x509_cert_dir);
    g_free(config);
}
