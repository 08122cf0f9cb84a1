/* test_driver_rpc_streams.c - streams: both directions, end, failure, holes, flow control, death of
 * the client.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/protocol/types.h"
#include "driver/rpc/error.h"
#include "driver/rpc/stream_internal.h"
#include "util/error.h"

enum { PROC_FD = 201, PROC_SINK = 208, PROC_SPARSE = 209, PROC_FAILS = 211 };

/* The far side of streams of PROC_SINK and PROC_SPARSE: takes what it is sent into memory, and
 * gives what the test put there. Touched in the server's thread but for what the lock guards. */
typedef struct {
    GMutex lock;
    GCond cond;
    GString *taken;
    int64_t holes;
    size_t room; /* bytes it takes until it says EAGAIN */
    int write_error;
    const char *give; /* NULL: EAGAIN */
    int64_t give_hole;
    guint reads;
    const char *finish_error;
    guint closed;
    RpcStream *stream;
    int fd; /* of PROC_FD */
} Far;

static ssize_t
far_write(void *opaque, const uint8_t *data, size_t len)
{
    Far *far = opaque;
    size_t n;

    g_mutex_lock(&far->lock);
    n = MIN(len, far->room);
    if (far->write_error) {
        g_mutex_unlock(&far->lock);
        return far->write_error;
    }
    g_string_append_len(far->taken, (const char *)data, (gssize)n);
    far->room -= n;
    g_cond_broadcast(&far->cond);
    g_mutex_unlock(&far->lock);
    return n ? (ssize_t)n : -EAGAIN;
}

static int
far_write_hole(void *opaque, int64_t length)
{
    Far *far = opaque;

    far->holes += length;
    return 0;
}

static ssize_t
far_read(void *opaque, uint8_t *data, size_t len, int64_t *ret_hole)
{
    Far *far = opaque;
    ssize_t n = -EAGAIN;

    g_mutex_lock(&far->lock);
    far->reads++;
    if (far->give_hole) {
        *ret_hole = far->give_hole;
        far->give_hole = 0;
        n = 0;
    } else if (far->give) {
        n = (ssize_t)MIN(strlen(far->give), len);
        memcpy(data, far->give, (size_t)n);
        far->give = n ? "" : far->give;
    }
    g_mutex_unlock(&far->lock);
    return n;
}

static bool
far_finish(void *opaque, GError **err)
{
    Far *far = opaque;

    return far->finish_error
               ? kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "%s", far->finish_error)
               : true;
}

static void
far_close(void *opaque)
{
    Far *far = opaque;

    g_mutex_lock(&far->lock);
    far->closed++;
    g_cond_broadcast(&far->cond);
    g_mutex_unlock(&far->lock);
}

static const RpcStreamOps far_ops = {
    .write = far_write,
    .write_hole = far_write_hole,
    .read = far_read,
    .finish = far_finish,
    .close = far_close,
};

static void
far_wait(Far *far, size_t taken, guint closed)
{
    gint64 until = g_get_monotonic_time() + 5 * G_TIME_SPAN_SECOND;

    g_mutex_lock(&far->lock);
    while (far->taken->len < taken || far->closed < closed)
        assert_true(g_cond_wait_until(&far->cond, &far->lock, until));
    g_mutex_unlock(&far->lock);
}

static void
program_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    Far *far = opaque;
    RpcHeader header = rpc_header_reply(&msg->header, RPC_REPLY, RPC_OK);
    RpcMessage *reply = rpc_message_new(&header);
    RpcStream *stream = NULL;

    reply->ends_request = true;
    switch (msg->header.proc) {
    case PROC_FD:
        stream = rpc_stream_new_fd(client, &msg->header, far->fd, RPC_STREAM_BOTH, far_close, far);
        break;
    case PROC_SINK:
    case PROC_SPARSE:
    case PROC_FAILS:
        stream =
            rpc_stream_new(client, &msg->header, msg->header.proc == PROC_SPARSE, &far_ops, far);
    }
    if (stream)
        rpc_stream_register(stream);
    if (msg->header.proc == PROC_FAILS)
        rpc_stream_cancel(stream);
    far->stream = stream;
    rpc_client_send(client, reply);
    if (stream && msg->header.proc != PROC_FAILS)
        rpc_stream_start(stream);
    rpc_message_free(msg);
}

static void
program_nothing(RpcClient *client, void *opaque)
{
    (void)client;
    (void)opaque;
}

static const RpcServerOps program_ops = {
    .connected = program_nothing,
    .call = program_call,
    .disconnected = program_nothing,
};

typedef struct {
    Far far;
    Harness *harness;
    int fd;
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    g_mutex_init(&fixture->far.lock);
    g_cond_init(&fixture->far.cond);
    fixture->far.taken = g_string_new(NULL);
    fixture->far.room = SIZE_MAX;
    fixture->harness = harness_new(&program_ops, &fixture->far, &harness_limits);
    fixture->fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;

    close(fixture->fd);
    harness_wait_clients(fixture->harness, 0);
    if (fixture->far.stream) {
        assert_false(rpc_stream_is_open(fixture->far.stream));
        assert_int_equal(fixture->far.closed, 1);
    }
    rpc_stream_unref(fixture->far.stream);
    harness_free(fixture->harness);
    g_string_free(fixture->far.taken, TRUE);
    g_mutex_clear(&fixture->far.lock);
    g_cond_clear(&fixture->far.cond);
    g_free(fixture);
    return 0;
}

/* Opens a stream by a call with serial 4. */
static void
stream_open(Fixture *fixture, int32_t proc)
{
    raw_call(fixture->fd, proc, 4, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 4, RPC_OK));
}

static void
stream_send(Fixture *fixture, int32_t proc, RpcType type, RpcStatus status, const void *data,
            size_t len)
{
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, proc, type, 4, status };

    raw_send(fixture->fd, &header, data, len);
}

static void
stream_expect(Fixture *fixture, int32_t proc, RpcType type, RpcStatus status, const void *data,
              size_t len)
{
    g_autoptr(RpcMessage) msg = raw_recv(fixture->fd);

    assert_non_null(msg);
    assert_int_equal(msg->header.prog, RPC_REMOTE_PROGRAM);
    assert_int_equal(msg->header.proc, proc);
    assert_int_equal(msg->header.type, type);
    assert_int_equal(msg->header.serial, 4);
    assert_int_equal(msg->header.status, status);
    assert_int_equal(msg->bytes->len - msg->payload, len);
    if (len)
        assert_memory_equal(msg->bytes->data + msg->payload, data, len);
}

static void
stream_expect_error(Fixture *fixture, int32_t proc, const char *text)
{
    g_autoptr(RpcMessage) msg = raw_recv(fixture->fd);
    WireError err;

    assert_non_null(msg);
    assert_int_equal(msg->header.type, RPC_STREAM);
    assert_int_equal(msg->header.proc, proc);
    assert_int_equal(msg->header.status, RPC_ERROR);
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_WireError, &err, sizeof err));
    assert_string_equal(*err.message, text);
    xdr_free((xdrproc_t)xdr_WireError, &err);
}

static void
test_both_directions_and_finish(void **state)
{
    Fixture *fixture = *state;
    int fds[2];
    char text[8] = "";

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fixture->far.fd = fds[1];
    stream_open(fixture, PROC_FD);
    assert_int_equal(write(fds[0], "login: ", 7), 7);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, "login: ", 7);
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, "root\n", 5);
    assert_int_equal(read(fds[0], text, sizeof text), 5);
    assert_string_equal(text, "root\n");
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    far_wait(&fixture->far, 0, 1);
    assert_int_equal(read(fds[0], text, sizeof text), 0);
    /* The dead stream's packets are ignored. */
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, "late", 4);
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    raw_expect_alive(fixture->fd);
    close(fds[0]);
}

/* The guest powers off under its console: an empty packet, no error, and finish is answered. */
static void
test_hang_up_is_end_of_file(void **state)
{
    Fixture *fixture = *state;
    int master, slave;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    fixture->far.fd = slave;
    stream_open(fixture, PROC_FD);
    assert_int_equal(write(master, "bye\n", 4), 4);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, "bye\n", 4);
    close(master);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, NULL, 0);
    far_wait(&fixture->far, 0, 1);
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, "still there?", 12);
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    raw_expect_alive(fixture->fd);
}

static void
test_abort_does_not_wait(void **state)
{
    Fixture *fixture = *state;

    fixture->far.room = 0;
    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, "never taken", 11);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_ERROR, NULL, 0);
    stream_expect(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
    far_wait(&fixture->far, 0, 1);
    raw_expect_alive(fixture->fd);
}

static void
test_upload_in_large_packets(void **state)
{
    Fixture *fixture = *state;
    size_t len = 4 << 20;
    g_autofree char *data = g_malloc(len);

    memset(data, 'u', len);
    stream_open(fixture, PROC_SINK);
    for (int i = 0; i < 3; i++)
        stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, data, len);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
    assert_int_equal(fixture->far.taken->len, 3 * len);
}

static void
far_make_room(Far *far, size_t room)
{
    g_mutex_lock(&far->lock);
    far->room = room;
    g_mutex_unlock(&far->lock);
    rpc_stream_wake(far->stream);
}

/* A far side that takes nothing stops the reading of the connection, and goes on where it was. */
static void
test_backlog_stops_reading(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *data = g_strnfill(600 * 1024, 'b');
    g_autoptr(RpcMessage) pong = NULL;

    fixture->far.room = 10;
    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, data, 600 * 1024);
    raw_expect_alive(fixture->fd);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, data, 600 * 1024);
    raw_ping(fixture->fd);
    raw_expect_silence(fixture->fd, 200);
    far_make_room(&fixture->far, 600 * 1024);
    pong = raw_recv(fixture->fd);
    assert_int_equal(pong->header.proc, RPC_KEEPALIVE_PONG);
    far_make_room(&fixture->far, SIZE_MAX);
    far_wait(&fixture->far, 2 * 600 * 1024, 0);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_ERROR, NULL, 0);
    stream_expect(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
}

/* One packet of a stream waits to be sent at a time. */
static void
test_one_packet_on_its_way(void **state)
{
    Fixture *fixture = *state;
    int fds[2], size = 4096;
    g_autofree char *data = g_strnfill(RPC_STREAM_CHUNK, 'd');
    size_t sent = 0, got = 0;

    setsockopt(fixture->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    fixture->far.fd = fds[1];
    stream_open(fixture, PROC_FD);
    /* The client does not read: the guest's side fills up instead of the daemon's memory. */
    for (int idle = 0; idle < 20;) {
        ssize_t n = write(fds[0], data, 65536);

        if (n > 0) {
            sent += (size_t)n;
            idle = 0;
        } else {
            g_usleep(10000);
            idle++;
        }
    }
    assert_true(sent < 4 << 20);
    while (got < sent) {
        g_autoptr(RpcMessage) msg = raw_recv(fixture->fd);

        assert_int_equal(msg->header.type, RPC_STREAM);
        assert_int_equal(msg->header.status, RPC_CONTINUE);
        assert_in_range(msg->bytes->len - msg->payload, 1, RPC_STREAM_CHUNK);
        got += msg->bytes->len - msg->payload;
    }
    assert_int_equal(got, sent);
    close(fds[0]);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_CONTINUE, NULL, 0);
    stream_send(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect(fixture, PROC_FD, RPC_STREAM, RPC_OK, NULL, 0);
}

static void
test_holes(void **state)
{
    Fixture *fixture = *state;
    static const uint8_t hole[] = { 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0 };

    fixture->far.give_hole = 1 << 20;
    stream_open(fixture, PROC_SPARSE);
    stream_expect(fixture, PROC_SPARSE, RPC_STREAM_HOLE, RPC_CONTINUE, hole, sizeof hole);
    stream_send(fixture, PROC_SPARSE, RPC_STREAM_HOLE, RPC_CONTINUE, hole, sizeof hole);
    stream_send(fixture, PROC_SPARSE, RPC_STREAM, RPC_CONTINUE, "x", 1);
    stream_send(fixture, PROC_SPARSE, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect(fixture, PROC_SPARSE, RPC_STREAM, RPC_OK, NULL, 0);
    assert_int_equal(fixture->far.holes, 1 << 20);
    assert_string_equal(fixture->far.taken->str, "x");
}

/* A hole on a stream that was not opened for them ends the connection, as does half a hole. */
static void
test_bad_holes(void **state)
{
    Fixture *fixture = *state;
    static const uint8_t hole[12] = { 0 };

    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM_HOLE, RPC_CONTINUE, hole, sizeof hole);
    raw_expect_eof(fixture->fd);
    far_wait(&fixture->far, 0, 1);
    assert_true(harness_wait_clients(fixture->harness, 0));
    close(fixture->fd);
    rpc_stream_unref(fixture->far.stream);
    fixture->far.closed = 0;
    fixture->fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    stream_open(fixture, PROC_SPARSE);
    stream_send(fixture, PROC_SPARSE, RPC_STREAM_HOLE, RPC_CONTINUE, hole, 8);
    raw_expect_eof(fixture->fd);
}

static void
test_write_error_fails_the_stream(void **state)
{
    Fixture *fixture = *state;

    fixture->far.write_error = -ENOSPC;
    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, "full", 4);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, "more", 4);
    stream_expect_error(fixture, PROC_SINK, "cannot write to the stream: No space left on device");
    far_wait(&fixture->far, 0, 1);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
    raw_expect_alive(fixture->fd);
}

static void
test_finish_can_fail(void **state)
{
    Fixture *fixture = *state;

    fixture->far.finish_error = "checksum wrong";
    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_OK, NULL, 0);
    stream_expect_error(fixture, PROC_SINK, "operation failed: checksum wrong");
    raw_expect_alive(fixture->fd);
}

static void
test_unexpected_status(void **state)
{
    Fixture *fixture = *state;

    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, 9, NULL, 0);
    stream_expect_error(fixture, PROC_SINK, "stream aborted with unexpected status 9");
}

static void
test_closed_from_this_side(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) err = NULL;

    stream_open(fixture, PROC_SINK);
    kiln_error_set(&err, VIR_ERR_OPERATION_FAILED, "taken over");
    rpc_stream_close(fixture->far.stream, err);
    assert_false(rpc_stream_is_open(fixture->far.stream));
    stream_expect_error(fixture, PROC_SINK, "operation failed: taken over");
    far_wait(&fixture->far, 0, 1);
}

static void
test_call_that_fails_closes_the_far_side(void **state)
{
    Fixture *fixture = *state;

    stream_open(fixture, PROC_FAILS);
    far_wait(&fixture->far, 0, 1);
    raw_expect_alive(fixture->fd);
}

static void
test_client_dies(void **state)
{
    Fixture *fixture = *state;
    int other = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    fixture->far.room = 3;
    stream_open(fixture, PROC_SINK);
    stream_send(fixture, PROC_SINK, RPC_STREAM, RPC_CONTINUE, "half taken", 10);
    far_wait(&fixture->far, 3, 0);
    close(fixture->fd);
    far_wait(&fixture->far, 3, 1);
    raw_expect_alive(other);
    close(other);
    fixture->fd = -1;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_directions_and_finish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hang_up_is_end_of_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_abort_does_not_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upload_in_large_packets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_backlog_stops_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_packet_on_its_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_holes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_error_fails_the_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_finish_can_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unexpected_status, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_from_this_side, setup, teardown),
        cmocka_unit_test_setup_teardown(test_call_that_fails_closes_the_far_side, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_dies, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
