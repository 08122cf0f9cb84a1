/* chardev.c - the common part of character devices: output buffer, main loop source, front end.
 *
 * Writers, in any thread, only put bytes into the buffer and wake the main loop; the main loop does
 * all reading and writing of descriptors. A burst of single bytes thus costs one write.
 *
 * Leaves out: terminal parameters of real serial lines, TLS.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/private.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    GSource source;
    Chardev *chardev;
} ChardevSource;

void *
chardev_state(Chardev *chardev)
{
    return chardev->state;
}

Machine *
chardev_machine(Chardev *chardev)
{
    return chardev->machine;
}

const char *
chardev_id(const Chardev *chardev)
{
    return chardev->id;
}

/* ---- output ---- */

static void
chardev_kick(Chardev *chardev)
{
    g_source_set_ready_time(chardev->source, 0);
}

/* With the lock; returns how many bytes there was room for. */
static size_t
chardev_put(Chardev *chardev, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, CHARDEV_BUFFER - chardev->len);
    size_t at = (chardev->head + chardev->len) % CHARDEV_BUFFER;
    size_t first = MIN(n, CHARDEV_BUFFER - at);

    memcpy(chardev->buffer + at, data, first);
    memcpy(chardev->buffer, data + first, n - first);
    chardev->len += n;
    return n;
}

/* The same with the time before each line. */
static size_t
chardev_put_stamped(Chardev *chardev, const uint8_t *data, size_t len)
{
    size_t done = 0;

    while (done < len) {
        const uint8_t *end = memchr(data + done, '\n', len - done);
        size_t piece = end ? (size_t)(end + 1 - data) - done : len - done, n;
        char stamp[CHARDEV_STAMP];
        size_t stamp_len = chardev_mux_stamp(chardev->mux, stamp);

        if (CHARDEV_BUFFER - chardev->len < stamp_len + 1)
            break;
        chardev_put(chardev, (const uint8_t *)stamp, stamp_len);
        n = chardev_put(chardev, data + done, piece);
        chardev_mux_stamped(chardev->mux, end && n == piece);
        done += n;
        if (n < piece)
            break;
    }
    return done;
}

size_t
chardev_write(Chardev *chardev, const uint8_t *data, size_t len)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&chardev->lock);
    bool idle = chardev->len == 0;
    size_t n;

    /* Nobody listens: the log alone still wants it. */
    if (!chardev->open && chardev->log < 0)
        return len;
    n = chardev->mux ? chardev_put_stamped(chardev, data, len) : chardev_put(chardev, data, len);
    if (n < len)
        chardev->full = true;
    if (idle && n > 0)
        chardev_kick(chardev);
    return n;
}

static void
chardev_want_output(Chardev *chardev, bool want)
{
    GIOCondition events = want ? G_IO_OUT : 0;

    if (chardev->out_tag == NULL || chardev->out_events == events)
        return;
    chardev->out_events = events;
    if (chardev->out_tag == chardev->in_tag)
        g_source_modify_unix_fd(chardev->source, chardev->in_tag, chardev->in_events | events);
    else
        g_source_modify_unix_fd(chardev->source, chardev->out_tag, events);
}

static void
chardev_log(Chardev *chardev, const uint8_t *data, size_t len)
{
    while (chardev->log >= 0 && len > 0) {
        ssize_t n = write(chardev->log, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        /* A full disk costs the log, not the guest. */
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

/* Writes what the buffer holds. The bytes being written stay in the buffer meanwhile, so the lock
 * is not held during the system call. */
void
chardev_flush(Chardev *chardev)
{
    bool blocked = false, room = false;

    g_mutex_lock(&chardev->lock);
    while (chardev->len > 0 && !blocked) {
        size_t n = MIN(chardev->len, CHARDEV_BUFFER - chardev->head);
        const uint8_t *data = chardev->buffer + chardev->head;
        bool open = chardev->open && chardev->out >= 0;
        ssize_t done = (ssize_t)n;

        g_mutex_unlock(&chardev->lock);
        if (open && chardev->backend->write)
            done = chardev->backend->write(chardev, chardev->out, data, MIN(n, CHARDEV_WRITE));
        else if (open)
            done = write(chardev->out, data, MIN(n, CHARDEV_WRITE));
        else if (chardev->backend->output)
            chardev->backend->output(chardev, data, n);
        if (done < 0 && errno == EINTR)
            done = 0;
        else if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            blocked = true;
        else if (done < 0)
            done = (ssize_t)MIN(
                n, CHARDEV_WRITE); /* the hang-up is seen by the input side; a file drops it */
        if (done > 0)
            chardev_log(chardev, data, (size_t)done);
        g_mutex_lock(&chardev->lock);
        if (done > 0) {
            chardev->head = (chardev->head + (size_t)done) % CHARDEV_BUFFER;
            chardev->len -= (size_t)done;
        }
    }
    if (chardev->len == 0)
        chardev->head = 0; /* stays in the same few pages */
    if (chardev->full && chardev->len <= CHARDEV_BUFFER / 2) {
        chardev->full = false;
        room = true;
    }
    g_mutex_unlock(&chardev->lock);
    chardev_want_output(chardev, blocked);
    if (room && chardev->frontend && chardev->frontend->writable)
        chardev->frontend->writable(chardev->frontend_opaque);
}

bool
chardev_write_fds(Chardev *chardev, const uint8_t *data, size_t len, const int *fds, unsigned n)
{
    union {
        char bytes[CMSG_SPACE(CHARDEV_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control = { 0 };
    struct iovec iov = { (void *)data, len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes };
    struct cmsghdr *cmsg;
    ssize_t done;

    if (!chardev->fd_passing || chardev->out < 0 || len == 0 || n == 0 || n > CHARDEV_MAX_FDS)
        return false;
    chardev_flush(chardev);
    msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
    cmsg = CMSG_FIRSTHDR(&msg);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    if (chardev->len > 0)
        return false;
    do
        done = sendmsg(chardev->out, &msg, MSG_NOSIGNAL);
    while (done < 0 && errno == EINTR);
    if (done < 0)
        return false;
    return chardev_write(chardev, data + done, len - (size_t)done) == len - (size_t)done;
}

/* ---- input ---- */

static size_t
chardev_room(Chardev *chardev)
{
    if (!chardev->frontend || !chardev->frontend->read)
        return chardev->frontend ? 4096 : 0;
    return chardev->frontend->can_read ? chardev->frontend->can_read(chardev->frontend_opaque)
                                       : 4096;
}

static void
chardev_want_input(Chardev *chardev)
{
    GIOCondition events = 0;

    if (chardev_room(chardev) > 0)
        events = G_IO_IN;
    if (chardev->in_waits && events) {
        chardev->in_waits = false;
        chardev->in_tag = g_source_add_unix_fd(chardev->source, chardev->in, events);
        chardev->in_events = events;
    }
    if (!chardev->in_tag)
        return;
    if (events == chardev->in_events)
        return;
    chardev->in_events = events;
    g_source_modify_unix_fd(chardev->source, chardev->in_tag,
                            events |
                                (chardev->in_tag == chardev->out_tag ? chardev->out_events : 0));
}

/* As read(2), taking descriptors along when the front end wants them. */
static ssize_t
chardev_receive(Chardev *chardev, uint8_t *buf, size_t len)
{
    union {
        char bytes[CMSG_SPACE(CHARDEV_MAX_FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { buf, len };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    ssize_t n;

    if (!chardev->fd_passing || !chardev->frontend->fds)
        return read(chardev->in, buf, len);
    n = recvmsg(chardev->in, &msg, MSG_CMSG_CLOEXEC);
    if (n < 0)
        return n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        int fds[CHARDEV_MAX_FDS];
        size_t bytes = c->cmsg_len - CMSG_LEN(0);

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || bytes > sizeof(fds))
            continue;
        memcpy(fds, CMSG_DATA(c), bytes);
        chardev->frontend->fds(chardev->frontend_opaque, fds, (unsigned)(bytes / sizeof(int)));
    }
    return n;
}

static void
chardev_hang_up(Chardev *chardev)
{
    if (chardev->backend->keeps_output) {
        chardev->backend->hung_up(chardev);
        return;
    }
    if (!chardev->backend->keeps_fds)
        chardev_set_fds(chardev, -1, -1, false);
    chardev_set_open(chardev, false);
    if (chardev->backend->hung_up)
        chardev->backend->hung_up(chardev);
}

void
chardev_send_break(Chardev *chardev)
{
    if (chardev->frontend && chardev->frontend->line_break)
        chardev->frontend->line_break(chardev->frontend_opaque);
}

/* Nothing is taken off the front end in between: it was asked how much it takes in all. */
static void
chardev_take_input(Chardev *chardev, uint8_t *data, size_t len)
{
    while (len > 0 && chardev->frontend) {
        size_t n = len, used = len;
        bool line_break = false;

        if (chardev->backend->decode)
            n = chardev->backend->decode(chardev, data, len, &used, &line_break);
        if (n > 0 && chardev->frontend->read)
            chardev->frontend->read(chardev->frontend_opaque, data, n);
        if (line_break)
            chardev_send_break(chardev);
        data += used;
        len -= used;
    }
}

static void
chardev_input(Chardev *chardev)
{
    uint8_t buf[4096];
    size_t room = MIN(chardev_room(chardev), sizeof(buf));
    ssize_t n;

    if (room == 0)
        return;
    n = chardev_receive(chardev, buf, room);
    if (n > 0) {
        chardev_take_input(chardev, buf, (size_t)n);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        chardev_hang_up(chardev);
    }
}

/* The other end is gone: what it wrote before is read first, when there is room for it. Until then
 * nothing is asked for, as poll(2) tells of the end whatever is. */
static void
chardev_input_ends(Chardev *chardev)
{
    if (chardev_room(chardev) > 0) {
        chardev_input(chardev);
    } else if (chardev->in_tag == chardev->out_tag) {
        chardev_hang_up(chardev);
    } else {
        g_source_remove_unix_fd(chardev->source, chardev->in_tag);
        chardev->in_tag = NULL;
        chardev->in_waits = true;
    }
}

void
chardev_accept_input(Chardev *chardev)
{
    chardev_kick(chardev);
}

/* ---- the main loop's source ---- */

static void
chardev_announce(Chardev *chardev)
{
    bool open = chardev_is_open(chardev);

    if (open == chardev->announced || !chardev->frontend)
        return;
    chardev->announced = open;
    if (chardev->frontend->event)
        chardev->frontend->event(chardev->frontend_opaque, open ? CHARDEV_OPENED : CHARDEV_CLOSED);
}

static gboolean
chardev_source_dispatch(GSource *source, GSourceFunc unused, gpointer unused_data)
{
    Chardev *chardev = ((ChardevSource *)source)->chardev;
    GIOCondition in = 0, watch = 0;
    bool due = chardev->wake_at >= 0 && g_get_monotonic_time() >= chardev->wake_at;

    (void)unused;
    (void)unused_data;
    if (chardev->in_tag)
        in = g_source_query_unix_fd(source, chardev->in_tag);
    if (chardev->watch_tag)
        watch = g_source_query_unix_fd(source, chardev->watch_tag);
    /* Before anything is looked at, so that a kick from another thread is never lost. */
    g_source_set_ready_time(source, due ? -1 : chardev->wake_at);
    chardev_announce(chardev);
    if (in & G_IO_IN)
        chardev_input(chardev);
    else if (in & G_IO_ERR)
        chardev_hang_up(chardev);
    else if (in & G_IO_HUP)
        chardev_input_ends(chardev);
    if (watch || due) {
        if (due)
            chardev->wake_at = -1;
        if (chardev->backend->wake)
            chardev->backend->wake(chardev);
    }
    chardev_announce(chardev);
    chardev_flush(chardev);
    chardev_want_input(chardev);
    return G_SOURCE_CONTINUE;
}

static const GSourceFuncs chardev_source_funcs = { .dispatch = chardev_source_dispatch };

void
chardev_add_source(Chardev *chardev)
{
    chardev->source = g_source_new((GSourceFuncs *)&chardev_source_funcs, sizeof(ChardevSource));
    ((ChardevSource *)chardev->source)->chardev = chardev;
    g_source_set_static_name(chardev->source, "chardev");
    g_source_set_ready_time(chardev->source, -1);
    g_source_attach(chardev->source, chardev->machine->context);
}

static void
chardev_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

void
chardev_set_fds(Chardev *chardev, int in, int out, bool poll_output)
{
    if (chardev->in_tag)
        g_source_remove_unix_fd(chardev->source, chardev->in_tag);
    if (chardev->out_tag && chardev->out_tag != chardev->in_tag)
        g_source_remove_unix_fd(chardev->source, chardev->out_tag);
    chardev->in_tag = chardev->out_tag = NULL;
    chardev->in_events = chardev->out_events = 0;
    chardev->in_waits = false;
    if (chardev->out >= 0 && chardev->out != chardev->in)
        close(chardev->out);
    if (chardev->in >= 0)
        close(chardev->in);
    chardev->in = in;
    chardev->out = out;
    chardev->fd_passing = false;
    if (in >= 0) {
        chardev_set_nonblocking(in);
        chardev->in_tag = g_source_add_unix_fd(chardev->source, in, 0);
    }
    if (out >= 0 && poll_output) {
        chardev_set_nonblocking(out);
        chardev->out_tag =
            out == in ? chardev->in_tag : g_source_add_unix_fd(chardev->source, out, 0);
    }
    chardev_kick(chardev);
}

void
chardev_suspend_fds(Chardev *chardev, bool suspend)
{
    if (suspend && chardev->in_tag) {
        g_source_remove_unix_fd(chardev->source, chardev->in_tag);
        chardev->in_tag = chardev->out_tag = NULL;
        chardev->in_events = chardev->out_events = 0;
    } else if (!suspend && !chardev->in_tag) {
        chardev->in_tag = chardev->out_tag = g_source_add_unix_fd(chardev->source, chardev->in, 0);
        chardev_kick(chardev);
    }
}

void
chardev_watch(Chardev *chardev, int fd)
{
    if (chardev->watch_tag)
        g_source_remove_unix_fd(chardev->source, chardev->watch_tag);
    chardev->watch_tag = fd >= 0 ? g_source_add_unix_fd(chardev->source, fd, G_IO_IN) : NULL;
}

void
chardev_wake_at(Chardev *chardev, int64_t time)
{
    chardev->wake_at = time;
    chardev_kick(chardev);
}

void
chardev_set_fd_passing(Chardev *chardev, bool on)
{
    chardev->fd_passing = on;
}

void
chardev_set_open(Chardev *chardev, bool open)
{
    bool room;

    g_mutex_lock(&chardev->lock);
    chardev->open = open;
    if (!open)
        chardev->head = chardev->len = 0;
    room = !open && chardev->full;
    if (room)
        chardev->full = false;
    g_mutex_unlock(&chardev->lock);
    chardev_kick(chardev);
    if (room && chardev->frontend && chardev->frontend->writable)
        chardev->frontend->writable(chardev->frontend_opaque);
}

bool
chardev_is_open(Chardev *chardev)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&chardev->lock);

    return chardev->open;
}

void
chardev_set_frontend_open(Chardev *chardev, bool open)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&chardev->lock);

    chardev->frontend_open = open;
}

bool
chardev_frontend_open(Chardev *chardev)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&chardev->lock);

    return chardev->frontend_open;
}

bool
chardev_attach(Chardev *chardev, const ChardevFrontend *frontend, void *opaque, GError **err)
{
    if (chardev->frontend && !chardev->mux)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "it has a front end already: with mux=on it can have several");
    if (chardev->mux) {
        chardev_mux_add(chardev->mux, frontend, opaque);
        frontend = &chardev_mux_frontend;
        opaque = chardev;
    }
    chardev->frontend = frontend;
    chardev->frontend_opaque = opaque;
    chardev->announced = false;
    chardev_kick(chardev);
    return true;
}

bool
chardev_is_mux(const Chardev *chardev)
{
    return chardev->mux != NULL;
}

void
chardev_detach(Chardev *chardev, const void *opaque)
{
    if (chardev->mux && chardev_mux_remove(chardev->mux, opaque))
        return;
    chardev->frontend = NULL;
    chardev->frontend_opaque = NULL;
    chardev->announced = false;
    chardev_set_frontend_open(chardev, false);
    chardev_want_input(chardev);
}

char *
chardev_filename(Chardev *chardev)
{
    return chardev->backend->filename ? chardev->backend->filename(chardev)
                                      : g_strdup(chardev->backend->name);
}
