/* backend.c - opening, attaching and driving back ends by their class.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/backend.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "util/error.h"

#define NET_BACKEND(symbol) extern const NetBackendClass symbol;
#include "net/backends.def"
#undef NET_BACKEND

#define NET_BACKEND(symbol) &symbol,
static const NetBackendClass *const net_classes[] = {
#include "net/backends.def"
};
#undef NET_BACKEND

bool
net_backend_error(const NetBackend *backend, GError **err, int code, const char *format, ...)
{
    g_autofree char *detail = NULL;
    va_list args;

    va_start(args, format);
    detail = g_strdup_vprintf(format, args);
    va_end(args);
    return kiln_error_set(err, code, "netdev '%s': %s", backend->id, detail);
}

bool
net_option_bool(const NetBackend *backend, GHashTable *props, const char *name, bool *ret,
                GError **err)
{
    const char *text = g_hash_table_lookup(props, name);

    if (!text)
        return true;
    if (strcmp(text, "on") == 0 || strcmp(text, "yes") == 0 || strcmp(text, "true") == 0)
        *ret = true;
    else if (strcmp(text, "off") == 0 || strcmp(text, "no") == 0 || strcmp(text, "false") == 0)
        *ret = false;
    else
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "%s=%s is neither on nor off", name, text);
    return true;
}

bool
net_option_uint(const NetBackend *backend, GHashTable *props, const char *name, uint64_t max,
                uint64_t *ret, GError **err)
{
    const char *text = g_hash_table_lookup(props, name);

    if (!text || g_ascii_string_to_unsigned(text, 10, 0, max, ret, NULL))
        return true;
    return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "%s=%s is not a number from 0 to %" G_GUINT64_FORMAT, name, text, max);
}

static const NetBackendClass *
class_find(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(net_classes); i++) {
        if (strcmp(net_classes[i]->type, type) == 0)
            return net_classes[i];
    }
    return NULL;
}

static bool
options_check(const NetBackend *backend, GHashTable *props, GError **err)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, props);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const char *name = key;

        if (strcmp(name, "type") != 0 && strcmp(name, "id") != 0 &&
            !g_strv_contains(backend->class->options, name)) {
            g_autofree char *known = g_strjoinv(", ", (char **)backend->class->options);

            return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                     "type %s has no option '%s'; it has: id, %s",
                                     backend->class->type, name, known);
        }
    }
    return true;
}

NetBackend *
net_backend_open(GHashTable *props, const NetOpenOps *ops, GError **err)
{
    const char *type = g_hash_table_lookup(props, "type"), *id = g_hash_table_lookup(props, "id");
    const NetBackendClass *class = type ? class_find(type) : NULL;
    NetBackend *backend;

    if (!id || !*id) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "a netdev needs an id");
        return NULL;
    }
    if (!class) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "netdev '%s': there is no type '%s'; see -netdev help", id,
                       type ? type : "");
        return NULL;
    }
    backend = g_malloc0(class->size);
    backend->class = class;
    backend->id = g_strdup(id);
    backend->link = true;
    backend->queues = 1;
    if (options_check(backend, props, err) && class->open(backend, props, ops, err))
        return backend;
    net_backend_free(backend);
    return NULL;
}

void
net_backend_free(NetBackend *backend)
{
    if (!backend)
        return;
    backend->class->close(backend);
    g_free(backend->id);
    g_free(backend);
}

const char *
net_backend_id(const NetBackend *backend)
{
    return backend->id;
}

const char *
net_backend_type(const NetBackend *backend)
{
    return backend->class->type;
}

unsigned
net_backend_queues(const NetBackend *backend)
{
    return backend->queues;
}

char *
net_backend_describe(const NetBackend *backend)
{
    return backend->class->describe(backend);
}

char *
net_backend_help(void)
{
    GString *text = g_string_new("Available netdev backend types:\n");

    for (unsigned i = 0; i < G_N_ELEMENTS(net_classes); i++)
        g_string_append_printf(text, "%s: %s\n", net_classes[i]->type, net_classes[i]->help);
    return g_string_free(text, FALSE);
}

unsigned
net_backend_caps(const NetBackend *backend)
{
    return backend->caps;
}

int
net_backend_set_header_len(NetBackend *backend, unsigned len)
{
    if (backend->class->set_header_len)
        return backend->class->set_header_len(backend, len);
    return len == 0 ? 0 : -ENOTSUP;
}

int
net_backend_set_offload(NetBackend *backend, unsigned offload)
{
    if (backend->class->set_offload)
        return backend->class->set_offload(backend, offload);
    return offload == 0 ? 0 : -ENOTSUP;
}

bool
net_backend_attach(NetBackend *backend, const NetFrontend *frontend, void *opaque, GError **err)
{
    if (backend->frontend)
        return net_backend_error(backend, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "it is in use by another network card");
    backend->opaque = opaque;
    backend->frontend = frontend;
    return true;
}

void
net_backend_detach(NetBackend *backend)
{
    backend->frontend = NULL;
}

int
net_backend_use_queues(NetBackend *backend, unsigned n)
{
    if (n == 0 || n > backend->queues)
        return -EINVAL;
    return backend->class->use_queues ? backend->class->use_queues(backend, n) : 0;
}

int
net_queue_start(NetBackend *backend, unsigned queue, IoLoop *loop)
{
    return queue < backend->queues ? backend->class->start(backend, queue, loop) : -EINVAL;
}

void
net_queue_stop(NetBackend *backend, unsigned queue)
{
    if (queue < backend->queues)
        backend->class->stop(backend, queue);
}

void
net_queue_want_packets(NetBackend *backend, unsigned queue, bool want)
{
    backend->class->want_packets(backend, queue, want);
}

ssize_t
net_queue_receive(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    return backend->class->receive(backend, queue, iov, n_iov);
}

ssize_t
net_queue_send(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov)
{
    return backend->class->send(backend, queue, iov, n_iov);
}

void
net_backend_set_link(NetBackend *backend, bool up)
{
    if (g_atomic_int_get(&backend->link) == up)
        return;
    g_atomic_int_set(&backend->link, up);
    if (backend->frontend && backend->frontend->link)
        backend->frontend->link(backend->opaque, up);
}

bool
net_backend_link(const NetBackend *backend)
{
    return g_atomic_int_get(&backend->link);
}

int
net_backend_vhost_fd(const NetBackend *backend, unsigned queue)
{
    return backend->class->vhost_fd ? backend->class->vhost_fd(backend, queue) : -1;
}

int
net_backend_packet_fd(const NetBackend *backend, unsigned queue)
{
    return backend->class->packet_fd ? backend->class->packet_fd(backend, queue) : -1;
}

const char *const *
net_backend_syscalls(const NetBackend *backend)
{
    return backend->class->syscalls;
}
