/* ioloop.h - an event loop over epoll: the body of an I/O thread.
 *
 * A loop has its own thread, or lives in a GLib main context (then "the loop's thread" is whoever
 * runs that context). Its callbacks run in its thread, one at a time, so what only they touch needs
 * no lock. Functions marked "any thread" may be called with locks held unless the comment says that
 * they wait for the loop: a caller that waits must hold no lock that a callback takes.
 *
 * One turn of the loop: callbacks of ready descriptors, timers that are due, then the functions
 * deferred before or during these; what they defer in their turn runs in the next turn.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_IOLOOP_H
#define KILN_UTIL_IOLOOP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

typedef struct IoLoop IoLoop;
typedef struct IoTimer IoTimer;

typedef void (*IoFn)(void *opaque);
/* @events: EPOLLIN, … as epoll_wait(2) reports them. */
typedef void (*IoFdFn)(void *opaque, uint32_t events);
/* Looks for work without a system call and does it; true when there was some. */
typedef bool (*IoPollFn)(void *opaque);

/* Starts a thread called @name (the kernel shows 15 bytes of it). NULL with @err on failure. */
IoLoop *io_loop_new(const char *name, GError **err);
/* A loop without a thread, run by @context (NULL: the default one). */
IoLoop *io_loop_new_for_context(GMainContext *context, const char *name, GError **err);

/* Ends the thread after the current turn and the functions deferred so far. From then on the loop
 * has no events; the caller's thread counts as its own. Waits for the loop; not from its thread. */
void io_loop_stop(IoLoop *loop);
/* Stops it first. All descriptors must have been removed. NULL is accepted. */
void io_loop_free(IoLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IoLoop, io_loop_free)

const char *io_loop_name(const IoLoop *loop);
/* One thing that goes with the loop: @destroy (NULL: nothing) gets it when the loop is freed, after
 * its last turn. NULL when none was set. In the thread that makes and frees the loop. */
void io_loop_set_data(IoLoop *loop, void *data, GDestroyNotify destroy);
void *io_loop_data(const IoLoop *loop);
/* Kernel's id of the loop's thread, for pinning; of the creating thread for a context's loop. */
pid_t io_loop_thread_id(const IoLoop *loop);
/* True in the loop's thread, and anywhere once it is stopped. */
bool io_loop_is_current(IoLoop *loop);

/* Calls @fn when @fd has one of @events (EPOLLIN, EPOLLOUT; EPOLLET for an eventfd whose counter
 * nobody reads; EPOLLERR and EPOLLHUP come unasked). One callback per descriptor. The descriptor
 * stays the caller's and must be removed before it is closed. Any thread. Returns 0 or -errno. */
int io_loop_add_fd(IoLoop *loop, int fd, uint32_t events, IoFdFn fn, void *opaque);
/* 0 keeps the descriptor but asks for nothing. Any thread. -ENOENT when @fd was not added. */
int io_loop_modify_fd(IoLoop *loop, int fd, uint32_t events);
/* When it returns, the callback is not running (unless it is the caller) and will not run again.
 * Nothing happens when @fd was not added. Any thread; waits for the loop. */
void io_loop_remove_fd(IoLoop *loop, int fd);

/* Runs @fn in the loop, in order of deferral. Any thread; does not wait or allocate in the steady
 * state. */
void io_loop_defer(IoLoop *loop, IoFn fn, void *opaque);
/* Runs @fn in the loop and returns when it is done; at once when the caller is the loop's thread.
 * Any thread; waits for the loop. */
void io_loop_run_sync(IoLoop *loop, IoFn fn, void *opaque);
/* Takes back all deferred calls of @fn with @opaque that have not begun. In the loop's thread. */
void io_loop_cancel(IoLoop *loop, IoFn fn, void *opaque);

/* One-shot timer, in the loop's thread only; made unarmed. Never fires early; late by up to a
 * millisecond. */
IoTimer *io_timer_new(IoLoop *loop, IoFn fn, void *opaque);
/* NULL is accepted. */
void io_timer_free(IoTimer *timer);
/* @deadline: nanoseconds of CLOCK_MONOTONIC; replaces an earlier one. */
void io_timer_set(IoTimer *timer, int64_t deadline);
void io_timer_cancel(IoTimer *timer);
/* CLOCK_MONOTONIC in nanoseconds. */
int64_t io_clock_ns(void);

/* Busy polling: before it sleeps the loop calls the poll functions for a while, at most @max_ns
 * nanoseconds (0, as made: never). The time adapts: it grows while wake-ups come soon after the
 * loop fell asleep, and shrinks to nothing while they do not. For loops with a thread. Any thread;
 * waits for the loop. */
void io_loop_set_busy_poll(IoLoop *loop, uint64_t max_ns);
uint64_t io_loop_busy_poll(const IoLoop *loop);
/* In the loop's thread. */
void io_loop_add_poll(IoLoop *loop, IoPollFn fn, void *opaque);
void io_loop_remove_poll(IoLoop *loop, IoPollFn fn, void *opaque);

/* An eventfd: signalled from any thread, watched by a loop. */
typedef struct {
    int fd; /* non-blocking, close-on-exec; -1 when there is none */
} IoNotifier;

/* Returns 0 or -errno. */
int io_notifier_init(IoNotifier *notifier);
void io_notifier_fini(IoNotifier *notifier);
void io_notifier_signal(const IoNotifier *notifier);
/* True when it was signalled since the last time. */
bool io_notifier_clear(const IoNotifier *notifier);

/* System calls a loop's thread makes by itself, NULL-terminated; for seccomp lists. */
extern const char *const io_loop_syscalls[];

#endif
