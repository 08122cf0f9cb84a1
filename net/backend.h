/* backend.h - what a back end of a network card is: one const NetBackendClass, listed in
 * net/backends.def.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_NET_BACKEND_H
#define KILN_NET_BACKEND_H

#include "net/net.h"

typedef struct {
    const char *type; /* as in -netdev */
    const char *help;
    const char *const *options; /* keys it knows beside type and id, NULL-terminated */
    size_t size;                /* of its struct, whose first member is a NetBackend */
    const char *const *syscalls;

    /* Sets queues and caps. Main thread. */
    bool (*open)(NetBackend *backend, GHashTable *props, const NetOpenOps *ops, GError **err);
    /* Also after a failed open. */
    void (*close)(NetBackend *backend);
    char *(*describe)(const NetBackend *backend);
    /* As net.h says of net_backend_… and net_queue_…; NULL: nothing to do, or not to be had. */
    int (*set_header_len)(NetBackend *backend, unsigned len);
    int (*set_offload)(NetBackend *backend, unsigned offload);
    int (*use_queues)(NetBackend *backend, unsigned n);
    int (*start)(NetBackend *backend, unsigned queue, IoLoop *loop);
    void (*stop)(NetBackend *backend, unsigned queue);
    void (*want_packets)(NetBackend *backend, unsigned queue, bool want);
    ssize_t (*receive)(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov);
    ssize_t (*send)(NetBackend *backend, unsigned queue, const struct iovec *iov, int n_iov);
    int (*vhost_fd)(const NetBackend *backend, unsigned queue);
    int (*packet_fd)(const NetBackend *backend, unsigned queue);
} NetBackendClass;

struct NetBackend {
    const NetBackendClass *class;
    char *id;
    unsigned queues, caps;
    const NetFrontend *frontend; /* NULL while none is attached */
    void *opaque;
    int link; /* atomic */
};

/* Sets @err with "netdev 'ID': …"; returns false. */
bool net_backend_error(const NetBackend *backend, GError **err, int code, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* An on/off option; *ret keeps its value when it is not given. */
bool net_option_bool(const NetBackend *backend, GHashTable *props, const char *name, bool *ret,
                     GError **err);
/* A number up to @max. */
bool net_option_uint(const NetBackend *backend, GHashTable *props, const char *name, uint64_t max,
                     uint64_t *ret, GError **err);

static inline void
net_backend_readable(NetBackend *backend, unsigned queue)
{
    if (backend->frontend && backend->frontend->readable)
        backend->frontend->readable(backend->opaque, queue);
}

static inline void
net_backend_writable(NetBackend *backend, unsigned queue)
{
    if (backend->frontend && backend->frontend->writable)
        backend->frontend->writable(backend->opaque, queue);
}

#endif
