/* serve.c - kiln-nbd's clients: accepts them, gives each a thread, and knows when it is over.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "block/tools/sandbox.h"
#include "util/error.h"

typedef struct {
    const NbdArgs *args;
    NbdServer *server;
    BlockNode *node;
    NbdTls *tls;                 /* the server's */
    int listener, signals, gone; /* gone: an eventfd, written when a client has gone */
    GMutex lock;
    unsigned clients; /* lock */
    bool served;      /* there was a client */
    int ready_fd;
    GError *kernel_error;
} Serve;

typedef struct {
    Serve *serve;
    int fd;
} Client;

static void
tell_ready(void *opaque)
{
    Serve *s = opaque;

    if (s->ready_fd >= 0) {
        (void)!write(s->ready_fd, "1", 1);
        close(s->ready_fd);
        dup2(STDOUT_FILENO, STDERR_FILENO); /* in the background: /dev/null */
    }
    s->ready_fd = -1;
}

static void
client_count(Serve *s, int change)
{
    g_mutex_lock(&s->lock);
    s->clients += (unsigned)change;
    g_mutex_unlock(&s->lock);
    if (change < 0)
        eventfd_write(s->gone, 1);
}

static unsigned
clients_now(Serve *s)
{
    unsigned n;

    g_mutex_lock(&s->lock);
    n = s->clients;
    g_mutex_unlock(&s->lock);
    return n;
}

static void *
client_thread(void *opaque)
{
    Client *client = opaque;
    Serve *s = client->serve;
    g_autoptr(GError) err = NULL;

    if (s->args->verbose)
        fprintf(stderr, "kiln-nbd: a client came\n");
    if (!nbd_server_serve(s->server, client->fd, &err) && s->args->verbose)
        fprintf(stderr, "kiln-nbd: %s\n", err->message);
    else if (s->args->verbose)
        fprintf(stderr, "kiln-nbd: a client went\n");
    g_free(client);
    client_count(s, -1);
    return NULL;
}

static void
client_start(Serve *s, int fd)
{
    Client *client = g_new0(Client, 1);
    g_autoptr(GError) why = NULL;
    GThread *thread;

    client->serve = s;
    client->fd = fd;
    s->served = true;
    client_count(s, 1);
    thread = g_thread_try_new("nbd-client", client_thread, client, &why);
    if (thread) {
        g_thread_unref(thread);
        return;
    }
    nbd_fail("a client cannot be served: %s", why->message);
    close(fd);
    g_free(client);
    client_count(s, -1);
}

/* Until a signal comes, or the last client has gone. */
static void
clients_serve(Serve *s)
{
    for (;;) {
        unsigned n = clients_now(s);
        bool more = s->listener >= 0 && (s->args->shared == 0 || n < s->args->shared);
        struct pollfd fds[] = {
            { .fd = s->signals, .events = POLLIN },
            { .fd = s->gone, .events = POLLIN },
            { .fd = more ? s->listener : -1, .events = POLLIN },
        };
        eventfd_t count;

        if (s->served && n == 0 && !s->args->persistent)
            return;
        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        if (fds[1].revents)
            (void)eventfd_read(s->gone, &count);
        if (fds[2].revents) {
            int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);

            if (fd >= 0)
                client_start(s, fd);
        }
    }
}

static void
clients_end(Serve *s)
{
    eventfd_t count;

    nbd_server_end(s->server);
    while (clients_now(s) > 0)
        (void)eventfd_read(s->gone, &count);
}

/* ---- the kernel's device ---- */

static void *
kernel_thread(void *opaque)
{
    Client *client = opaque;
    Serve *s = client->serve;
    const char *name = s->args->export_name ? s->args->export_name : "";

    (void)nbd_kernel_serve(s->args->connect, client->fd, name, tell_ready, s, &s->kernel_error);
    g_free(client);
    return NULL;
}

/* The kernel is a client like others, at the other end of a pair of sockets. */
static bool
kernel_serve(Serve *s, GError **err)
{
    Client *client;
    GThread *thread;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make sockets");
    client = g_new0(Client, 1);
    client->serve = s;
    client->fd = ends[1];
    client_start(s, ends[0]);
    thread = g_thread_new("nbd-kernel", kernel_thread, client);
    clients_serve(s);
    if (clients_now(s) > 0)
        (void)nbd_kernel_disconnect(s->args->connect, NULL);
    clients_end(s);
    g_thread_join(thread);
    if (!s->kernel_error)
        return true;
    g_propagate_error(err, g_steal_pointer(&s->kernel_error));
    return false;
}

/* ---- the whole ---- */

/* The first of the chain that has the bitmap: an overlay is often made where a copy begins. */
static BlockNode *
bitmap_holder(BlockNode *node, const char *name)
{
    for (; node; node = block_node_backing(node)) {
        g_autoptr(GPtrArray) there = block_image_bitmaps(node);

        for (guint i = 0; there && i < there->len; i++)
            if (strcmp(((BlockBitmap *)g_ptr_array_index(there, i))->name, name) == 0)
                return node;
    }
    return NULL;
}

static NbdExport *
export_new(const NbdArgs *args, BlockNode *node, GError **err)
{
    NbdExport *export_ = g_new0(NbdExport, 1);

    export_->name = g_strdup(args->export_name ? args->export_name : "");
    export_->description = g_strdup(args->description);
    export_->node = block_node_ref(node);
    export_->read_only = block_node_read_only(node);
    export_->write_through =
        g_strcmp0(args->cache, "writethrough") == 0 || g_strcmp0(args->cache, "directsync") == 0;
    /* all clients write to one node: what one has flushed, the others read */
    export_->multi_conn = args->shared != 1;
    export_->allocation_depth = args->allocation_depth;
    export_->bitmaps = g_strdupv((char **)args->bitmaps->pdata);
    export_->holders = g_new0(BlockNode *, g_strv_length(export_->bitmaps) + 1);
    for (unsigned i = 0; export_->bitmaps[i]; i++) {
        export_->holders[i] = bitmap_holder(node, export_->bitmaps[i]);
        if (!export_->holders[i]) {
            kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "image '%s' has no bitmap '%s'",
                           args->file, export_->bitmaps[i]);
            nbd_export_free(export_);
            return NULL;
        }
    }
    return export_;
}

static bool
serve_set_up(Serve *s, GError **err)
{
    NbdExport *export_;
    sigset_t set;

    s->node = nbd_image_open(s->args, err);
    if (!s->node)
        return false;
    export_ = export_new(s->args, s->node, err);
    if (!export_)
        return false;
    nbd_server_add_export(s->server, export_);
    if (s->args->tls_creds) {
        NbdTls *tls = tool_objects_tls(s->args->objects, s->args->tls_creds, true, NULL, err);

        if (!tls)
            return false;
        nbd_server_set_tls(s->server, tls);
    }
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC);
    s->gone = eventfd(0, EFD_CLOEXEC);
    if (s->signals < 0 || s->gone < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make descriptors");
    if (s->args->connect)
        return true;
    s->listener = nbd_listen(s->args, err);
    return s->listener >= 0;
}

static bool
serve_run(Serve *s, GError **err)
{
    static const char *const more[] = { "accept4", "setsockopt", "dup2", "dup3",
                                        "splice",  "pipe2",      NULL };
    int r;

    if (s->args->connect) {
        if (!kernel_serve(s, err))
            return false;
    } else {
        if (!tool_sandbox_enter(more, err))
            return false;
        tell_ready(s);
        clients_serve(s);
        clients_end(s);
    }
    r = block_node_flush(s->node);
    if (r < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, r,
                                    "image '%s' could not be flushed at the end", s->args->file);
    return true;
}

bool
nbd_serve(const NbdArgs *args, int ready_fd, GError **err)
{
    Serve s = { .args = args, .listener = -1, .signals = -1, .gone = -1, .ready_fd = ready_fd };
    bool fine;

    g_mutex_init(&s.lock);
    s.server = nbd_server_new();
    fine = serve_set_up(&s, err) && serve_run(&s, err);
    if (s.ready_fd >= 0)
        close(s.ready_fd);
    nbd_server_free(s.server);
    block_node_unref(s.node);
    for (unsigned i = 0; i < 3; i++) {
        int fd = i == 0 ? s.listener : i == 1 ? s.signals : s.gone;

        if (fd >= 0)
            close(fd);
    }
    g_mutex_clear(&s.lock);
    return fine;
}
