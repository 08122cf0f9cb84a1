/* ioloop.c - an event loop over epoll with deferred functions, timers and busy polling.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/ioloop.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/error.h"

enum {
    LOOP_EVENTS = 64,     /* taken from epoll at once */
    POLL_NS_START = 4000, /* first step of the adaptive busy poll */
};

typedef struct {
    int fd;
    bool in_epoll, removed;
    IoFdFn fn;
    void *opaque;
} IoHandler;

typedef struct {
    IoFn fn;
    void *opaque;
} IoCall;

typedef struct {
    IoPollFn fn;
    void *opaque;
} IoPoll;

typedef struct {
    GSource source;
    IoLoop *loop;
    gpointer tag;
} IoSource;

struct IoTimer {
    IoLoop *loop;
    IoFn fn;
    void *opaque;
    int64_t deadline; /* INT64_MAX: not armed */
};

struct IoLoop {
    char *name;
    int epoll_fd;
    IoNotifier kick;
    GThread *thread;       /* NULL for a context's loop */
    GMainContext *context; /* NULL for a loop with a thread */
    GSource *source;
    pid_t tid;
    int stopped; /* atomic */
    void *data;  /* the user's (io_loop_set_data) */
    GDestroyNotify data_destroy;

    GMutex lock;          /* guards what follows up to the blank line */
    GCond changed;        /* thread has begun; a synchronous call is done */
    GHashTable *handlers; /* fd -> IoHandler */
    GArray *calls;        /* IoCall, deferred and not yet taken */
    bool quit;
    bool kicked; /* the kick's counter is or will be nonzero */

    /* loop's thread only */
    GArray *running; /* IoCall taken from calls; those before next_call have run */
    unsigned next_call;
    GPtrArray *dead; /* IoHandler removed during this batch of events */
    GPtrArray *timers;
    GArray *polls;
    uint64_t poll_max_ns, poll_ns;
};

typedef struct {
    IoFn fn;
    void *opaque;
    IoLoop *loop;
    bool done;
} IoSyncCall;

int64_t
io_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int
io_notifier_init(IoNotifier *notifier)
{
    notifier->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return notifier->fd < 0 ? -errno : 0;
}

void
io_notifier_fini(IoNotifier *notifier)
{
    if (notifier->fd >= 0)
        close(notifier->fd);
    notifier->fd = -1;
}

void
io_notifier_signal(const IoNotifier *notifier)
{
    /* EAGAIN means that the counter is full, so the other side is signalled already */
    while (eventfd_write(notifier->fd, 1) < 0 && errno == EINTR)
        ;
}

bool
io_notifier_clear(const IoNotifier *notifier)
{
    eventfd_t count;
    int r;

    do
        r = eventfd_read(notifier->fd, &count);
    while (r < 0 && errno == EINTR);
    return r == 0;
}

/* which loop's thread this is */
static GPrivate current_loop;

bool
io_loop_is_current(IoLoop *loop)
{
    if (g_atomic_int_get(&loop->stopped))
        return true;
    if (loop->thread)
        return g_private_get(&current_loop) == loop;
    return g_main_context_is_owner(loop->context);
}

static void
loop_run_calls(IoLoop *loop)
{
    GArray *calls;

    g_mutex_lock(&loop->lock);
    calls = loop->calls;
    loop->calls = loop->running;
    g_mutex_unlock(&loop->lock);
    loop->running = calls;

    for (loop->next_call = 0; loop->next_call < calls->len;) {
        IoCall call = g_array_index(calls, IoCall, loop->next_call++);

        if (call.fn)
            call.fn(call.opaque);
    }
    g_array_set_size(calls, 0);
    loop->next_call = 0;
}

static int64_t
loop_next_deadline(const IoLoop *loop)
{
    int64_t next = INT64_MAX;

    for (unsigned i = 0; i < loop->timers->len; i++) {
        const IoTimer *timer = loop->timers->pdata[i];

        next = MIN(next, timer->deadline);
    }
    return next;
}

static void
loop_run_timers(IoLoop *loop)
{
    unsigned runs = loop->timers->len;
    int64_t now;

    if (loop_next_deadline(loop) == INT64_MAX)
        return;
    now = io_clock_ns();
    /* a callback may free any timer, so the walk starts again after each; one that arms itself in
     * the past must not keep the loop from its descriptors */
    for (unsigned i = 0; i < loop->timers->len && runs > 0;) {
        IoTimer *timer = loop->timers->pdata[i++];

        if (timer->deadline <= now) {
            timer->deadline = INT64_MAX;
            timer->fn(timer->opaque);
            runs--;
            i = 0;
        }
    }
}

static void
loop_run_events(IoLoop *loop, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        IoHandler *handler = events[i].data.ptr;

        if (!handler) {
            io_notifier_clear(&loop->kick);
            g_mutex_lock(&loop->lock);
            loop->kicked = false;
            g_mutex_unlock(&loop->lock);
        } else if (!handler->removed) {
            handler->fn(handler->opaque, events[i].events);
        }
    }
    g_ptr_array_set_size(loop->dead, 0);
}

static bool
loop_has_calls(IoLoop *loop)
{
    bool any;

    g_mutex_lock(&loop->lock);
    any = loop->calls->len > 0;
    g_mutex_unlock(&loop->lock);
    return any;
}

/* Milliseconds until @deadline, rounded up so that a timer is never found not yet due. */
static int
loop_timeout_ms(int64_t deadline)
{
    int64_t left;

    if (deadline == INT64_MAX)
        return -1;
    left = deadline - io_clock_ns();
    if (left <= 0)
        return 0;
    return (int)MIN((left + 999999) / 1000000, G_MAXINT);
}

/* Calls the poll functions until one finds work or the time is over. */
static bool
loop_busy_poll(IoLoop *loop)
{
    int64_t end = io_clock_ns() + (int64_t)loop->poll_ns;

    do {
        bool any = false;

        for (unsigned i = 0; i < loop->polls->len; i++) {
            IoPoll poll = g_array_index(loop->polls, IoPoll, i);

            any |= poll.fn(poll.opaque);
        }
        if (any || loop_has_calls(loop))
            return true;
    } while (io_clock_ns() < end);
    return false;
}

static void
loop_adapt(IoLoop *loop, int64_t slept_ns)
{
    if (slept_ns > (int64_t)loop->poll_max_ns)
        loop->poll_ns = 0;
    else if (slept_ns > (int64_t)loop->poll_ns)
        loop->poll_ns = MIN(loop->poll_ns ? loop->poll_ns * 2 : POLL_NS_START, loop->poll_max_ns);
}

static void
loop_turn(IoLoop *loop)
{
    struct epoll_event events[LOOP_EVENTS];
    bool polling = loop->poll_max_ns > 0 && loop->polls->len > 0;
    int timeout = loop_has_calls(loop) ? 0 : loop_timeout_ms(loop_next_deadline(loop));
    int64_t start = 0;
    int n;

    if (polling && timeout != 0 && loop->poll_ns > 0 && loop_busy_poll(loop))
        timeout = 0;
    if (polling && timeout != 0)
        start = io_clock_ns();
    n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, timeout);
    if (start && n > 0)
        loop_adapt(loop, io_clock_ns() - start);
    loop_run_events(loop, events, n);
    loop_run_timers(loop);
    loop_run_calls(loop);
}

static void *
loop_thread(void *opaque)
{
    IoLoop *loop = opaque;
    bool quit = false;

    g_private_set(&current_loop, loop);
    g_mutex_lock(&loop->lock);
    loop->tid = (pid_t)syscall(SYS_gettid);
    g_cond_broadcast(&loop->changed);
    g_mutex_unlock(&loop->lock);

    while (!quit) {
        loop_turn(loop);
        g_mutex_lock(&loop->lock);
        quit = loop->quit && loop->calls->len == 0;
        g_mutex_unlock(&loop->lock);
    }
    g_private_set(&current_loop, NULL);
    return NULL;
}

static gboolean
io_source_prepare(GSource *source, gint *timeout)
{
    IoLoop *loop = ((IoSource *)source)->loop;

    *timeout = loop_has_calls(loop) ? 0 : loop_timeout_ms(loop_next_deadline(loop));
    return *timeout == 0;
}

static gboolean
io_source_check(GSource *source)
{
    IoSource *io = (IoSource *)source;

    return g_source_query_unix_fd(source, io->tag) != 0 || loop_has_calls(io->loop) ||
           loop_timeout_ms(loop_next_deadline(io->loop)) == 0;
}

static gboolean
io_source_dispatch(GSource *source, GSourceFunc fn, gpointer opaque)
{
    IoLoop *loop = ((IoSource *)source)->loop;
    struct epoll_event events[LOOP_EVENTS];

    (void)fn;
    (void)opaque;
    loop_run_events(loop, events, epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, 0));
    loop_run_timers(loop);
    loop_run_calls(loop);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs io_source_funcs = {
    .prepare = io_source_prepare,
    .check = io_source_check,
    .dispatch = io_source_dispatch,
};

static IoLoop *
loop_new(const char *name, GError **err)
{
    IoLoop *loop = g_new0(IoLoop, 1);
    struct epoll_event event = { .events = EPOLLIN };
    int r;

    loop->name = g_strdup(name);
    loop->tid = (pid_t)syscall(SYS_gettid);
    g_mutex_init(&loop->lock);
    g_cond_init(&loop->changed);
    loop->handlers = g_hash_table_new(NULL, NULL);
    loop->calls = g_array_sized_new(FALSE, FALSE, sizeof(IoCall), 64);
    loop->running = g_array_sized_new(FALSE, FALSE, sizeof(IoCall), 64);
    loop->dead = g_ptr_array_new_with_free_func(g_free);
    loop->timers = g_ptr_array_new();
    loop->polls = g_array_new(FALSE, FALSE, sizeof(IoPoll));
    loop->stopped = 1;
    r = io_notifier_init(&loop->kick);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0)
        r = -errno;
    else if (r == 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->kick.fd, &event) < 0)
        r = -errno;
    if (r < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r, "cannot make I/O loop '%s'", name);
        io_loop_free(loop);
        return NULL;
    }
    loop->stopped = 0;
    return loop;
}

IoLoop *
io_loop_new(const char *name, GError **err)
{
    IoLoop *loop = loop_new(name, err);
    g_autoptr(GError) why = NULL;

    if (!loop)
        return NULL;
    g_mutex_lock(&loop->lock);
    loop->tid = 0;
    loop->thread = g_thread_try_new(name, loop_thread, loop, &why);
    while (loop->thread && loop->tid == 0)
        g_cond_wait(&loop->changed, &loop->lock);
    g_mutex_unlock(&loop->lock);
    if (loop->thread)
        return loop;
    kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot start I/O thread '%s': %s", name,
                   why->message);
    loop->stopped = 1;
    io_loop_free(loop);
    return NULL;
}

IoLoop *
io_loop_new_for_context(GMainContext *context, const char *name, GError **err)
{
    IoLoop *loop = loop_new(name, err);

    if (!loop)
        return NULL;
    loop->context = g_main_context_ref(context ? context : g_main_context_default());
    loop->source = g_source_new(&io_source_funcs, sizeof(IoSource));
    ((IoSource *)loop->source)->loop = loop;
    ((IoSource *)loop->source)->tag = g_source_add_unix_fd(loop->source, loop->epoll_fd, G_IO_IN);
    g_source_attach(loop->source, loop->context);
    return loop;
}

void
io_loop_stop(IoLoop *loop)
{
    if (g_atomic_int_get(&loop->stopped))
        return;
    if (loop->thread) {
        g_mutex_lock(&loop->lock);
        loop->quit = true;
        g_mutex_unlock(&loop->lock);
        io_notifier_signal(&loop->kick);
        g_thread_join(loop->thread);
    } else {
        g_source_destroy(loop->source);
        while (loop_has_calls(loop))
            loop_run_calls(loop);
    }
    g_atomic_int_set(&loop->stopped, 1);
}

void
io_loop_free(IoLoop *loop)
{
    if (!loop)
        return;
    io_loop_stop(loop);
    if (loop->data_destroy)
        loop->data_destroy(loop->data);
    if (loop->source)
        g_source_unref(loop->source);
    if (loop->context)
        g_main_context_unref(loop->context);
    if (loop->epoll_fd >= 0)
        close(loop->epoll_fd);
    io_notifier_fini(&loop->kick);
    g_hash_table_unref(loop->handlers);
    g_array_unref(loop->calls);
    g_array_unref(loop->running);
    g_ptr_array_unref(loop->dead);
    g_ptr_array_unref(loop->timers);
    g_array_unref(loop->polls);
    g_cond_clear(&loop->changed);
    g_mutex_clear(&loop->lock);
    g_free(loop->name);
    g_free(loop);
}

void
io_loop_set_data(IoLoop *loop, void *data, GDestroyNotify destroy)
{
    loop->data = data;
    loop->data_destroy = destroy;
}

void *
io_loop_data(const IoLoop *loop)
{
    return loop->data;
}

const char *
io_loop_name(const IoLoop *loop)
{
    return loop->name;
}

pid_t
io_loop_thread_id(const IoLoop *loop)
{
    return loop->tid;
}

/* Brings epoll in step with what the handler wants: an interest of 0 is taken out altogether, since
 * epoll would report hang-ups for it without end. Lock held. */
static int
handler_update(IoLoop *loop, IoHandler *handler, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = handler };
    int op = EPOLL_CTL_MOD;

    if (events == 0 && !handler->in_epoll)
        return 0;
    if (events == 0)
        op = EPOLL_CTL_DEL;
    else if (!handler->in_epoll)
        op = EPOLL_CTL_ADD;
    if (epoll_ctl(loop->epoll_fd, op, handler->fd, &event) < 0)
        return -errno;
    handler->in_epoll = events != 0;
    return 0;
}

int
io_loop_add_fd(IoLoop *loop, int fd, uint32_t events, IoFdFn fn, void *opaque)
{
    IoHandler *handler;
    int r = -EEXIST;

    g_mutex_lock(&loop->lock);
    if (!g_hash_table_contains(loop->handlers, GINT_TO_POINTER(fd))) {
        handler = g_new0(IoHandler, 1);
        *handler = (IoHandler){ .fd = fd, .fn = fn, .opaque = opaque };
        r = handler_update(loop, handler, events);
        if (r == 0)
            g_hash_table_insert(loop->handlers, GINT_TO_POINTER(fd), handler);
        else
            g_free(handler);
    }
    g_mutex_unlock(&loop->lock);
    return r;
}

int
io_loop_modify_fd(IoLoop *loop, int fd, uint32_t events)
{
    IoHandler *handler;
    int r = -ENOENT;

    g_mutex_lock(&loop->lock);
    handler = g_hash_table_lookup(loop->handlers, GINT_TO_POINTER(fd));
    if (handler)
        r = handler_update(loop, handler, events);
    g_mutex_unlock(&loop->lock);
    return r;
}

typedef struct {
    IoLoop *loop;
    int fd;
} RemoveCall;

static void
loop_remove_fd(void *opaque)
{
    const RemoveCall *call = opaque;
    IoLoop *loop = call->loop;
    IoHandler *handler;

    g_mutex_lock(&loop->lock);
    handler = g_hash_table_lookup(loop->handlers, GINT_TO_POINTER(call->fd));
    if (handler) {
        g_hash_table_remove(loop->handlers, GINT_TO_POINTER(call->fd));
        handler_update(loop, handler, 0);
        handler->removed = true;
        /* events already taken from epoll may still point to it */
        g_ptr_array_add(loop->dead, handler);
    }
    g_mutex_unlock(&loop->lock);
}

void
io_loop_remove_fd(IoLoop *loop, int fd)
{
    RemoveCall call = { .loop = loop, .fd = fd };

    io_loop_run_sync(loop, loop_remove_fd, &call);
}

void
io_loop_defer(IoLoop *loop, IoFn fn, void *opaque)
{
    IoCall call = { .fn = fn, .opaque = opaque };
    bool kick;

    g_mutex_lock(&loop->lock);
    g_array_append_val(loop->calls, call);
    /* the loop looks at the calls before it sleeps, so its own thread needs no kick */
    kick = !loop->kicked && g_private_get(&current_loop) != loop;
    if (kick)
        loop->kicked = true;
    g_mutex_unlock(&loop->lock);
    if (kick)
        io_notifier_signal(&loop->kick);
}

static void
loop_sync_call(void *opaque)
{
    IoSyncCall *call = opaque;

    call->fn(call->opaque);
    g_mutex_lock(&call->loop->lock);
    call->done = true;
    g_cond_broadcast(&call->loop->changed);
    g_mutex_unlock(&call->loop->lock);
}

void
io_loop_run_sync(IoLoop *loop, IoFn fn, void *opaque)
{
    IoSyncCall call = { .fn = fn, .opaque = opaque, .loop = loop };

    if (io_loop_is_current(loop)) {
        fn(opaque);
        return;
    }
    /* nobody may be running the context at the moment: then this thread does it */
    if (loop->context && g_main_context_acquire(loop->context)) {
        fn(opaque);
        g_main_context_release(loop->context);
        return;
    }
    io_loop_defer(loop, loop_sync_call, &call);
    g_mutex_lock(&loop->lock);
    while (!call.done)
        g_cond_wait(&loop->changed, &loop->lock);
    g_mutex_unlock(&loop->lock);
}

static void
calls_cancel(GArray *calls, unsigned from, IoFn fn, const void *opaque)
{
    for (unsigned i = from; i < calls->len; i++) {
        IoCall *call = &g_array_index(calls, IoCall, i);

        if (call->fn == fn && call->opaque == opaque)
            call->fn = NULL;
    }
}

void
io_loop_cancel(IoLoop *loop, IoFn fn, void *opaque)
{
    calls_cancel(loop->running, loop->next_call, fn, opaque);
    g_mutex_lock(&loop->lock);
    calls_cancel(loop->calls, 0, fn, opaque);
    g_mutex_unlock(&loop->lock);
}

IoTimer *
io_timer_new(IoLoop *loop, IoFn fn, void *opaque)
{
    IoTimer *timer = g_new0(IoTimer, 1);

    *timer = (IoTimer){ .loop = loop, .fn = fn, .opaque = opaque, .deadline = INT64_MAX };
    g_ptr_array_add(loop->timers, timer);
    return timer;
}

void
io_timer_free(IoTimer *timer)
{
    if (!timer)
        return;
    g_ptr_array_remove_fast(timer->loop->timers, timer);
    g_free(timer);
}

void
io_timer_set(IoTimer *timer, int64_t deadline)
{
    timer->deadline = deadline;
}

void
io_timer_cancel(IoTimer *timer)
{
    timer->deadline = INT64_MAX;
}

typedef struct {
    IoLoop *loop;
    uint64_t max_ns;
} BusyPollCall;

static void
loop_set_busy_poll(void *opaque)
{
    const BusyPollCall *call = opaque;

    call->loop->poll_max_ns = call->max_ns;
    call->loop->poll_ns = 0;
}

void
io_loop_set_busy_poll(IoLoop *loop, uint64_t max_ns)
{
    BusyPollCall call = { .loop = loop, .max_ns = MIN(max_ns, (uint64_t)G_MAXINT32) };

    io_loop_run_sync(loop, loop_set_busy_poll, &call);
}

uint64_t
io_loop_busy_poll(const IoLoop *loop)
{
    return loop->poll_max_ns;
}

void
io_loop_add_poll(IoLoop *loop, IoPollFn fn, void *opaque)
{
    IoPoll poll = { .fn = fn, .opaque = opaque };

    g_array_append_val(loop->polls, poll);
}

void
io_loop_remove_poll(IoLoop *loop, IoPollFn fn, void *opaque)
{
    for (unsigned i = 0; i < loop->polls->len; i++) {
        IoPoll *poll = &g_array_index(loop->polls, IoPoll, i);

        if (poll->fn == fn && poll->opaque == opaque) {
            g_array_remove_index(loop->polls, i);
            return;
        }
    }
}

const char *const io_loop_syscalls[] = {
    "epoll_wait", "epoll_ctl", "read", "write", "futex", "clock_gettime", NULL,
};
