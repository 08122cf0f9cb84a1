/* list.c - kiln-nbd --list: the exports of a server, in the words of qemu-nbd.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "block/nbd/nbd.h"
#include "block/nbd/tool.h"

static const struct {
    uint16_t flag;
    const char *name;
} flag_names[] = {
    { NBD_READ_ONLY, "readonly" },
    { NBD_SEND_FLUSH, "flush" },
    { NBD_SEND_FUA, "fua" },
    { NBD_ROTATIONAL, "rotational" },
    { NBD_SEND_TRIM, "trim" },
    { NBD_SEND_WRITE_ZEROES, "zeroes" },
    { NBD_SEND_DF, "df" },
    { NBD_CAN_MULTI_CONN, "multi" },
    { NBD_SEND_RESIZE, "resize" },
    { NBD_SEND_CACHE, "cache" },
    { NBD_SEND_FAST_ZERO, "fast-zero" },
};

/* A server's text, without what would steer a terminal. */
static char *
clean(const char *text)
{
    char *copy = g_utf8_make_valid(text, -1);

    for (char *p = copy; *p; p++) {
        if (g_ascii_iscntrl(*p))
            *p = '?';
    }
    return copy;
}

static void
print_export(const NbdInfo *info)
{
    g_autofree char *name = clean(info->name);
    g_autofree char *description = info->description ? clean(info->description) : NULL;

    printf(" export: '%s'\n", name);
    if (description)
        printf("  description: %s\n", description);
    printf("  size:  %" PRIu64 "\n", info->size);
    printf("  flags: 0x%x (", info->flags);
    for (unsigned i = 0; i < G_N_ELEMENTS(flag_names); i++) {
        if (info->flags & flag_names[i].flag)
            printf(" %s", flag_names[i].name);
    }
    printf(" )\n");
    if (info->minimum) {
        printf("  min block: %u\n", info->minimum);
        printf("  opt block: %u\n", info->preferred);
        printf("  max block: %u\n", info->maximum);
    }
    if (info->contexts->len > 0) {
        printf("  available meta contexts: %u\n", info->contexts->len);
        for (guint i = 0; i < info->contexts->len; i++) {
            g_autofree char *context = clean(g_ptr_array_index(info->contexts, i));

            printf("   %s\n", context);
        }
    }
}

static GPtrArray *
list_ask(const NbdArgs *args, GError **err)
{
    g_autoptr(NbdStream) stream = NULL;
    g_autofree char *port = g_strdup_printf("%d", NBD_DEFAULT_PORT);
    const char *host = args->bind ? args->bind : "localhost";
    NbdTls *tls = NULL;
    GPtrArray *list = NULL;
    bool structured;
    int fd;

    if (args->tls_creds) {
        tls = tool_objects_tls(args->objects, args->tls_creds, false,
                              args->tls_hostname ? args->tls_hostname
                              : args->socket     ? NULL
                                                 : host,
                              err);
        if (!tls)
            return NULL;
    }
    fd = args->socket ? nbd_connect_unix(args->socket, err)
                      : nbd_connect_inet(host, args->port ? args->port : port, err);
    if (fd >= 0) {
        stream = nbd_stream_new(fd);
        if (nbd_negotiate_hello(stream, tls, true, &structured, err))
            list = nbd_negotiate_list(stream, structured, err);
    }
    if (tls) {
        g_clear_pointer(&stream, nbd_stream_free);
        tls->free(tls);
    }
    return list;
}

int
nbd_list(const NbdArgs *args)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) list = list_ask(args, &err);

    if (!list)
        return nbd_fail("%s", err->message);
    printf("exports available: %u\n", list->len);
    for (guint i = 0; i < list->len; i++)
        print_export(g_ptr_array_index(list, i));
    return 0;
}
