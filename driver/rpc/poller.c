/* poller.c - readiness of many descriptors in one GLib main context. See poller.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/rpc/poller.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/error.h"

#define POLLER_BATCH 128

struct RpcWatch {
    RpcPoller *poller;
    int fd;
    RpcWatchFunc func; /* NULL once removed */
    void *opaque;
};

typedef struct {
    void (*func)(void *data);
    void *data;
} PollerPost;

struct RpcPoller {
    GSource source;
    int epoll;
    int wakeup; /* eventfd: posts are waiting */
    RpcWatch *wakeup_watch;
    GPtrArray *removed; /* watches to free after the batch that may still name them */
    GMutex lock;        /* posts */
    GArray *posts;      /* of PollerPost */
};

static void
poller_run_posts(uint32_t events, void *opaque)
{
    RpcPoller *poller = opaque;
    uint64_t count;
    GArray *posts;

    (void)events;
    if (read(poller->wakeup, &count, sizeof count) < 0 && errno != EAGAIN)
        return;
    g_mutex_lock(&poller->lock);
    posts = poller->posts;
    poller->posts = g_array_new(FALSE, FALSE, sizeof(PollerPost));
    g_mutex_unlock(&poller->lock);
    for (guint i = 0; i < posts->len; i++) {
        PollerPost *post = &g_array_index(posts, PollerPost, i);

        post->func(post->data);
    }
    g_array_unref(posts);
}

static gboolean
poller_dispatch(GSource *source, GSourceFunc callback, void *user_data)
{
    RpcPoller *poller = (RpcPoller *)source;
    struct epoll_event events[POLLER_BATCH];
    int n = epoll_wait(poller->epoll, events, POLLER_BATCH, 0);

    (void)callback;
    (void)user_data;
    for (int i = 0; i < n; i++) {
        RpcWatch *watch = events[i].data.ptr;

        if (watch->func)
            watch->func(events[i].events, watch->opaque);
    }
    g_ptr_array_set_size(poller->removed, 0);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs poller_funcs = { .dispatch = poller_dispatch };

RpcPoller *
rpc_poller_new(GMainContext *context, GError **err)
{
    RpcPoller *poller;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int wakeup = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (epoll < 0 || wakeup < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "cannot make the descriptor to wait for clients on");
        if (epoll >= 0)
            close(epoll);
        if (wakeup >= 0)
            close(wakeup);
        return NULL;
    }
    poller = (RpcPoller *)g_source_new(&poller_funcs, sizeof *poller);
    poller->epoll = epoll;
    poller->wakeup = wakeup;
    poller->removed = g_ptr_array_new_with_free_func(g_free);
    poller->posts = g_array_new(FALSE, FALSE, sizeof(PollerPost));
    g_mutex_init(&poller->lock);
    g_source_set_static_name(&poller->source, "rpc");
    g_source_add_unix_fd(&poller->source, epoll, G_IO_IN);
    poller->wakeup_watch = rpc_poller_add(poller, wakeup, EPOLLIN, poller_run_posts, poller);
    g_source_attach(&poller->source, context);
    return poller;
}

void
rpc_poller_free(RpcPoller *poller)
{
    if (!poller)
        return;
    poller_run_posts(EPOLLIN, poller);
    g_source_destroy(&poller->source);
    rpc_watch_remove(poller->wakeup_watch);
    close(poller->wakeup);
    close(poller->epoll);
    g_ptr_array_unref(poller->removed);
    g_array_unref(poller->posts);
    g_mutex_clear(&poller->lock);
    g_source_unref(&poller->source);
}

RpcWatch *
rpc_poller_add(RpcPoller *poller, int fd, uint32_t events, RpcWatchFunc func, void *opaque)
{
    RpcWatch *watch = g_new0(RpcWatch, 1);
    struct epoll_event event = { .events = events, .data.ptr = watch };

    watch->poller = poller;
    watch->fd = fd;
    watch->func = func;
    watch->opaque = opaque;
    if (epoll_ctl(poller->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        g_free(watch);
        return NULL;
    }
    return watch;
}

void
rpc_watch_set(RpcWatch *watch, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = watch };

    epoll_ctl(watch->poller->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void
rpc_watch_remove(RpcWatch *watch)
{
    if (!watch)
        return;
    epoll_ctl(watch->poller->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    watch->func = NULL;
    g_ptr_array_add(watch->poller->removed, watch);
}

void
rpc_poller_post(RpcPoller *poller, void (*func)(void *data), void *data)
{
    PollerPost post = { func, data };
    uint64_t one = 1;
    bool first;

    g_mutex_lock(&poller->lock);
    first = poller->posts->len == 0;
    g_array_append_val(poller->posts, post);
    g_mutex_unlock(&poller->lock);
    /* An eventfd write of 1 only fails when 2^64-1 wake-ups are waiting, and then one is enough. */
    if (first && write(poller->wakeup, &one, sizeof one) < 0)
        return;
}
