/* qmp.c - the daemon's end of a guest's QMP socket.
 *
 * QEMU Machine Protocol specification 1.0: greeting, qmp_capabilities, commands matched by id,
 * events. Leaves out out-of-band execution.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/domain/qmp_parse.h"
#include "util/error.h"
#include "util/file.h"

enum { QMP_READ_SIZE = 16384, QMP_READS_PER_WAKE = 64, QMP_WAIT_SLICE_US = 500000 };

/* A thread that waits for a reply; on its stack, in the table while it waits. */
typedef struct {
    JsonObject *reply;
} QmpWaiter;

/* Locks: callbacks (held while a callback runs and while closing), then lock. */
struct Qmp {
    gint refs;
    const QmpOps *ops;
    void *opaque;

    IoLoop *loop;
    GRecMutex callbacks;
    QmpParser parser; /* the loop's thread only */
    bool watched;     /* guarded by callbacks; the loop has a reference then */

    GMutex write_lock; /* keeps commands of several threads apart on the socket */

    GMutex lock;
    GCond changed;
    int fd; /* -1 once closed; the descriptor itself lives until the last ref */
    int socket;
    bool greeted;
    char *failure; /* why it closed */
    unsigned next_id;
    GHashTable *waiters; /* char *id -> QmpWaiter * */
};

Qmp *
qmp_ref(Qmp *qmp)
{
    g_atomic_int_inc(&qmp->refs);
    return qmp;
}

void
qmp_unref(Qmp *qmp)
{
    if (!qmp || !g_atomic_int_dec_and_test(&qmp->refs))
        return;
    qmp_parser_clear(&qmp->parser);
    g_rec_mutex_clear(&qmp->callbacks);
    g_mutex_clear(&qmp->write_lock);
    g_mutex_clear(&qmp->lock);
    g_cond_clear(&qmp->changed);
    g_hash_table_unref(qmp->waiters);
    g_free(qmp->failure);
    close(qmp->socket);
    g_free(qmp);
}

/* Wakes every waiter with a failure. True when it was open until now. */
static bool
qmp_fail(Qmp *qmp, const char *reason)
{
    bool was_open;

    g_mutex_lock(&qmp->lock);
    was_open = qmp->fd >= 0;
    if (was_open) {
        qmp->failure = g_strdup(reason);
        qmp->fd = -1;
        shutdown(qmp->socket, SHUT_RDWR);
    }
    g_cond_broadcast(&qmp->changed);
    g_mutex_unlock(&qmp->lock);
    return was_open;
}

/* No callback begins from here on. True when the loop must let go of the socket, which waits for a
 * callback that runs: not with the lock of callbacks held. */
static bool
qmp_stop_watching(Qmp *qmp)
{
    bool watched;

    g_rec_mutex_lock(&qmp->callbacks);
    watched = qmp->watched;
    qmp->watched = false;
    g_rec_mutex_unlock(&qmp->callbacks);
    return watched;
}

static void
qmp_let_go(Qmp *qmp)
{
    io_loop_remove_fd(qmp->loop, qmp->socket);
    qmp_unref(qmp);
}

void
qmp_close(Qmp *qmp)
{
    qmp_fail(qmp, "the monitor was closed");
    if (qmp_stop_watching(qmp))
        qmp_let_go(qmp);
}

bool
qmp_is_open(Qmp *qmp)
{
    bool open;

    g_mutex_lock(&qmp->lock);
    open = qmp->fd >= 0;
    g_mutex_unlock(&qmp->lock);
    return open;
}

static void
qmp_reply(Qmp *qmp, JsonObject *message)
{
    JsonNode *id = json_object_get_member(message, "id");
    const char *text = id && JSON_NODE_HOLDS_VALUE(id) ? json_node_get_string(id) : NULL;
    QmpWaiter *waiter;

    if (!text)
        return;
    g_mutex_lock(&qmp->lock);
    waiter = g_hash_table_lookup(qmp->waiters, text);
    if (waiter && !waiter->reply) {
        waiter->reply = json_object_ref(message);
        g_cond_broadcast(&qmp->changed);
    }
    g_mutex_unlock(&qmp->lock);
}

static JsonObject *
member_object(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static const char *
member_string(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_string(node) : NULL;
}

static void
qmp_message(void *opaque, JsonObject *message)
{
    Qmp *qmp = opaque;
    const char *event = member_string(message, "event");

    if (event) {
        if (qmp->watched)
            qmp->ops->event(qmp->opaque, event, member_object(message, "data"));
    } else if (json_object_has_member(message, "QMP")) {
        g_mutex_lock(&qmp->lock);
        qmp->greeted = true;
        g_cond_broadcast(&qmp->changed);
        g_mutex_unlock(&qmp->lock);
    } else {
        qmp_reply(qmp, message);
    }
}

static void
qmp_readable(void *opaque, uint32_t events)
{
    g_autoptr(Qmp) qmp = qmp_ref(opaque);
    g_autoptr(GError) err = NULL;
    char part[QMP_READ_SIZE];
    bool ended = false;

    (void)events;
    g_rec_mutex_lock(&qmp->callbacks);
    for (int i = 0; i < QMP_READS_PER_WAKE && qmp->watched && !ended; i++) {
        ssize_t n = recv(qmp->socket, part, sizeof(part), MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        ended = n <= 0 || !qmp_parser_feed(&qmp->parser, part, n, qmp_message, qmp, &err);
        if (ended && qmp_fail(qmp, err ? err->message : n < 0 ? g_strerror(errno) : "end of file"))
            qmp->ops->closed(qmp->opaque, qmp->failure);
        if (n < (ssize_t)sizeof(part))
            break;
    }
    ended = ended && qmp_stop_watching(qmp);
    g_rec_mutex_unlock(&qmp->callbacks);
    if (ended)
        qmp_let_go(qmp);
}

Qmp *
qmp_connect(const char *path, IoLoop *loop, const QmpOps *ops, void *opaque, GError **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd, r;
    Qmp *qmp;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                       "monitor path '%s' is longer than the %zu bytes of a unix socket's name",
                       path, sizeof(address.sun_path) - 1);
        return NULL;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, errno,
                             "cannot connect to the monitor socket '%s'", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    fd = file_move_high(fd);
    qmp = g_new0(Qmp, 1);
    qmp->refs = 1;
    qmp->ops = ops;
    qmp->opaque = opaque;
    qmp->fd = qmp->socket = fd;
    g_rec_mutex_init(&qmp->callbacks);
    g_mutex_init(&qmp->write_lock);
    g_mutex_init(&qmp->lock);
    g_cond_init(&qmp->changed);
    qmp->waiters = g_hash_table_new(g_str_hash, g_str_equal);
    qmp_parser_init(&qmp->parser);
    qmp->loop = loop;
    qmp->watched = true;
    r = io_loop_add_fd(loop, fd, EPOLLIN, qmp_readable, qmp_ref(qmp));
    if (r == 0)
        return qmp;
    kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, r, "cannot watch the monitor socket '%s'",
                         path);
    qmp_unref(qmp);
    qmp_unref(qmp);
    return NULL;
}

/* Called with qmp->lock held. */
static bool
closed_error(Qmp *qmp, GError **err)
{
    return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the monitor connection is closed: %s",
                          qmp->failure ? qmp->failure : "unknown reason");
}

bool
qmp_handshake(Qmp *qmp, gint64 deadline, bool (*cancel)(void *opaque), void *opaque, GError **err)
{
    bool ok = true;

    g_mutex_lock(&qmp->lock);
    while (ok && !qmp->greeted) {
        gint64 now = g_get_monotonic_time();

        if (qmp->fd < 0)
            ok = closed_error(qmp, err);
        else if (now >= deadline)
            ok = kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                                "no greeting from the monitor in time");
        else if (cancel && cancel(opaque))
            ok = kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the process has ended");
        else
            g_cond_wait_until(&qmp->changed, &qmp->lock, MIN(deadline, now + QMP_WAIT_SLICE_US));
    }
    g_mutex_unlock(&qmp->lock);
    return ok && qmp_command(qmp, "qmp_capabilities", NULL,
                             MAX(1, (deadline - g_get_monotonic_time()) / G_USEC_PER_SEC), err);
}

/* Sends the first byte of @text together with @fd. Called with the write lock held. */
static bool
write_with_fd(Qmp *qmp, const char *text, int fd, gint64 deadline, GError **err)
{
    struct iovec iov = { (void *)(uintptr_t)text, 1 };
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    struct msghdr message = { .msg_iov = &iov,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    struct pollfd ready = { .fd = qmp->socket, .events = POLLOUT };
    ssize_t n;

    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    do {
        gint64 left = (deadline - g_get_monotonic_time()) / 1000;

        if (left <= 0 || poll(&ready, 1, (int)left) == 0)
            return kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                                  "the monitor does not take the command");
        n = sendmsg(qmp->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    return n == 1 ||
           kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, errno, "cannot write to the monitor");
}

/* Called with the write lock held. */
static bool
write_all(Qmp *qmp, const char *text, size_t len, gint64 deadline, GError **err)
{
    while (len > 0) {
        struct pollfd ready = { .fd = qmp->socket, .events = POLLOUT };
        ssize_t n = send(qmp->socket, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n >= 0) {
            text += n;
            len -= n;
        } else if (errno == EAGAIN) {
            gint64 left = (deadline - g_get_monotonic_time()) / 1000;

            if (left <= 0 || poll(&ready, 1, left) == 0)
                return kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                                      "the monitor does not take the command");
        } else if (errno != EINTR) {
            return kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, errno,
                                        "cannot write to the monitor");
        }
    }
    return true;
}

static bool
wait_reply(Qmp *qmp, QmpWaiter *waiter, const char *what, gint64 deadline, GError **err)
{
    while (!waiter->reply) {
        if (qmp->fd < 0)
            return closed_error(qmp, err);
        if (!g_cond_wait_until(&qmp->changed, &qmp->lock, deadline) && !waiter->reply)
            return kiln_error_set(err, VIR_ERR_OPERATION_TIMEOUT,
                                  "the monitor did not answer '%s' in time", what);
    }
    return true;
}

/* @fd goes along with the command; -1: none. */
static JsonObject *
execute(Qmp *qmp, JsonObject *command, int fd, unsigned seconds, GError **err)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)seconds * G_USEC_PER_SEC;
    const char *what = member_string(command, "execute");
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL, *line = NULL, *id = NULL;
    QmpWaiter waiter = { NULL };
    bool ok;

    g_mutex_lock(&qmp->lock);
    id = g_strdup_printf("kiln-%u", ++qmp->next_id);
    g_hash_table_insert(qmp->waiters, id, &waiter);
    g_mutex_unlock(&qmp->lock);

    json_object_set_string_member(command, "id", id);
    json_node_set_object(node, command);
    text = json_to_string(node, FALSE);
    line = g_strconcat(text, "\r\n", NULL);
    g_mutex_lock(&qmp->write_lock);
    ok = fd < 0 || write_with_fd(qmp, line, fd, deadline, err);
    ok = ok && write_all(qmp, line + (fd >= 0), strlen(line) - (fd >= 0), deadline, err);
    g_mutex_unlock(&qmp->write_lock);

    g_mutex_lock(&qmp->lock);
    ok = ok && wait_reply(qmp, &waiter, what ? what : "the command", deadline, err);
    g_hash_table_remove(qmp->waiters, id);
    g_mutex_unlock(&qmp->lock);
    if (!ok)
        g_clear_pointer(&waiter.reply, json_object_unref);
    return waiter.reply;
}

JsonObject *
qmp_execute_raw(Qmp *qmp, JsonObject *command, int fd, unsigned seconds, GError **err)
{
    return execute(qmp, command, fd, seconds, err);
}

JsonNode *
qmp_execute(Qmp *qmp, const char *command, JsonObject *arguments, unsigned seconds, GError **err)
{
    return qmp_execute_fd(qmp, command, arguments, -1, seconds, err);
}

JsonNode *
qmp_execute_fd(Qmp *qmp, const char *command, JsonObject *arguments, int fd, unsigned seconds,
               GError **err)
{
    g_autoptr(JsonObject) request = json_object_new();
    g_autoptr(JsonObject) reply = NULL;
    JsonObject *failure;
    const char *why;

    json_object_set_string_member(request, "execute", command);
    if (arguments)
        json_object_set_object_member(request, "arguments", arguments);
    if (!(reply = execute(qmp, request, fd, seconds, err)))
        return NULL;
    if (json_object_has_member(reply, "return"))
        return json_object_dup_member(reply, "return");
    failure = member_object(reply, "error");
    why = failure ? member_string(failure, "desc") : NULL;
    kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unable to execute the monitor command '%s': %s",
                   command, why ? why : "an answer without a reason");
    return NULL;
}

bool
qmp_command(Qmp *qmp, const char *command, JsonObject *arguments, unsigned seconds, GError **err)
{
    g_autoptr(JsonNode) result = qmp_execute(qmp, command, arguments, seconds, err);

    return result != NULL;
}
