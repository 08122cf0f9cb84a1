/* test_driver_rpc_packets.c - connections as hostile and as honest clients use them: framing,
 * limits, order of replies, keepalive, descriptors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The server's side: procedure 1 answers with what it was sent, 2 waits until the test answers, 3
 * sends back the descriptors it got. */
enum { PROC_ECHO = 1, PROC_HOLD = 2, PROC_FDS = 3 };

typedef struct {
    GMutex lock;
    GCond cond;
    GPtrArray *held; /* of Held, in order of arrival */
    guint connected, disconnected;
} Program;

typedef struct {
    RpcClient *client;
    RpcMessage *msg;
} Held;

static void
program_reply(RpcClient *client, const RpcMessage *msg)
{
    RpcHeader header = rpc_header_reply(&msg->header, RPC_REPLY, RPC_OK);
    RpcMessage *reply = rpc_message_new(&header);

    rpc_message_append(reply, msg->bytes->data + msg->payload, msg->bytes->len - msg->payload);
    for (guint i = 0; msg->fds && i < msg->fds->len; i++)
        rpc_message_add_fd(reply, dup(g_array_index(msg->fds, int, i)));
    reply->ends_request = true;
    rpc_client_send(client, reply);
}

static void
program_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    Program *program = opaque;

    if (msg->header.proc == PROC_HOLD) {
        Held *held = g_new0(Held, 1);

        held->client = rpc_client_ref(client);
        held->msg = msg;
        g_mutex_lock(&program->lock);
        g_ptr_array_add(program->held, held);
        g_cond_broadcast(&program->cond);
        g_mutex_unlock(&program->lock);
        return;
    }
    program_reply(client, msg);
    rpc_message_free(msg);
}

static void
program_connected(RpcClient *client, void *opaque)
{
    Program *program = opaque;

    (void)client;
    g_atomic_int_inc((gint *)&program->connected);
}

static void
program_disconnected(RpcClient *client, void *opaque)
{
    Program *program = opaque;

    (void)client;
    g_atomic_int_inc((gint *)&program->disconnected);
}

static const RpcServerOps program_ops = {
    .connected = program_connected,
    .call = program_call,
    .disconnected = program_disconnected,
};

/* Waits until @n calls are held. */
static void
program_wait(Program *program, guint n)
{
    gint64 until = g_get_monotonic_time() + 5 * G_TIME_SPAN_SECOND;

    g_mutex_lock(&program->lock);
    while (program->held->len < n)
        assert_true(g_cond_wait_until(&program->cond, &program->lock, until));
    g_mutex_unlock(&program->lock);
}

/* Answers the held call with @serial, from this thread. */
static void
program_release(Program *program, uint32_t serial)
{
    Held *held = NULL;

    g_mutex_lock(&program->lock);
    for (guint i = 0; i < program->held->len && !held; i++) {
        Held *h = program->held->pdata[i];

        if (h->msg->header.serial == serial) {
            held = h;
            g_ptr_array_remove_index(program->held, i);
        }
    }
    g_mutex_unlock(&program->lock);
    assert_non_null(held);
    program_reply(held->client, held->msg);
    rpc_message_free(held->msg);
    rpc_client_unref(held->client);
    g_free(held);
}

typedef struct {
    Program program;
    Harness *harness;
} Fixture;

static Fixture *
fixture_new(const RpcLimits *limits)
{
    Fixture *fixture = g_new0(Fixture, 1);

    g_mutex_init(&fixture->program.lock);
    g_cond_init(&fixture->program.cond);
    fixture->program.held = g_ptr_array_new();
    fixture->harness = harness_new(&program_ops, &fixture->program, limits);
    return fixture;
}

static int
setup(void **state)
{
    *state = fixture_new(&harness_limits);
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;

    while (fixture->program.held->len) {
        Held *held = fixture->program.held->pdata[0];

        program_release(&fixture->program, held->msg->header.serial);
    }
    harness_free(fixture->harness);
    assert_int_equal(fixture->program.connected, fixture->program.disconnected);
    g_ptr_array_unref(fixture->program.held);
    g_mutex_clear(&fixture->program.lock);
    g_cond_clear(&fixture->program.cond);
    g_free(fixture);
    return 0;
}

static void
test_echo_from_serial_zero(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    for (uint32_t serial = 0; serial < 3; serial++) {
        g_autoptr(RpcMessage) msg = NULL;

        raw_call(fd, PROC_ECHO, serial, "abcd", 4);
        msg = raw_expect(fd, serial, RPC_OK);
        assert_int_equal(msg->header.prog, RPC_REMOTE_PROGRAM);
        assert_int_equal(msg->header.proc, PROC_ECHO);
        assert_int_equal(msg->bytes->len, 32);
        assert_memory_equal(msg->bytes->data + 28, "abcd", 4);
    }
    close(fd);
    assert_true(harness_wait_clients(fixture->harness, 0));
}

static void
test_byte_by_byte(void **state)
{
    static const uint8_t packet[] = { 0, 0, 0, 32, 0x20, 0, 0x80, 0x86, 0,   0,  0,
                                      1, 0, 0, 0,  1,    0, 0,    0,    0,   0,  0,
                                      0, 9, 0, 0,  0,    0, 'w',  'x',  'y', 'z' };
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    g_autoptr(RpcMessage) msg = NULL;

    for (size_t i = 0; i < sizeof packet; i++) {
        assert_int_equal(send(fd, packet + i, 1, 0), 1);
        g_usleep(500);
    }
    msg = raw_expect(fd, 9, RPC_OK);
    assert_memory_equal(msg->bytes->data + 28, "wxyz", 4);
    close(fd);
}

/* Lengths that cannot be: the connection ends, another one goes on. */
static void
test_bad_lengths_end_the_connection(void **state)
{
    static const uint32_t lengths[] = { 0, 3, 4, 27, 33554437, 0x7fffffff, 0xffffffff };
    Fixture *fixture = *state;
    int good = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
        int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
        uint8_t bytes[64] = { 0 };
        uint32_t length = GUINT32_TO_BE(lengths[i]);

        memcpy(bytes, &length, 4);
        assert_int_equal(send(fd, bytes, sizeof bytes, MSG_NOSIGNAL), sizeof bytes);
        raw_expect_eof(fd);
        close(fd);
    }
    raw_expect_alive(good);
    close(good);
}

static void
test_largest_packet(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    size_t len = RPC_BODY_MAX - RPC_HEADER_SIZE;
    g_autofree uint8_t *payload = g_malloc(len);
    g_autoptr(RpcMessage) msg = NULL;

    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 7 >> 3);
    raw_call(fd, PROC_ECHO, 5, payload, len);
    msg = raw_expect(fd, 5, RPC_OK);
    assert_int_equal(msg->bytes->len, len + 28);
    assert_memory_equal(msg->bytes->data + 28, payload, len);
    close(fd);
}

/* What a client has no business to send is passed over. */
static void
test_odd_packets_are_ignored(void **state)
{
    static const uint32_t types[] = { RPC_REPLY,       RPC_MESSAGE, RPC_STREAM, RPC_REPLY_WITH_FDS,
                                      RPC_STREAM_HOLE, 7,           0xffffffff };
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        RpcHeader header = { RPC_REMOTE_PROGRAM, 1, 201, types[i], 3, RPC_CONTINUE };
        RpcHeader odd = { RPC_KEEPALIVE_PROGRAM, 1, 77, RPC_MESSAGE, 0, RPC_OK };

        raw_send(fd, &header, "data", 4);
        raw_send(fd, &odd, NULL, 0);
    }
    raw_expect_alive(fd);
    close(fd);
}

static void
test_replies_out_of_order(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    for (uint32_t serial = 1; serial <= 3; serial++)
        raw_call(fd, PROC_HOLD, serial, NULL, 0);
    raw_call(fd, PROC_ECHO, 4, NULL, 0);
    rpc_message_free(raw_expect(fd, 4, RPC_OK));
    program_wait(&fixture->program, 3);
    program_release(&fixture->program, 3);
    rpc_message_free(raw_expect(fd, 3, RPC_OK));
    program_release(&fixture->program, 1);
    rpc_message_free(raw_expect(fd, 1, RPC_OK));
    program_release(&fixture->program, 2);
    rpc_message_free(raw_expect(fd, 2, RPC_OK));
    close(fd);
}

/* With five calls at work nothing more is read, not even a ping; one answer lets one more in. */
static void
test_sixth_request_waits(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    g_autoptr(RpcMessage) pong = NULL;

    for (uint32_t serial = 1; serial <= 6; serial++)
        raw_call(fd, PROC_HOLD, serial, NULL, 0);
    raw_ping(fd);
    program_wait(&fixture->program, 5);
    raw_expect_silence(fd, 200);
    assert_int_equal(fixture->program.held->len, 5);

    program_release(&fixture->program, 2);
    rpc_message_free(raw_expect(fd, 2, RPC_OK));
    program_wait(&fixture->program, 5);
    raw_expect_silence(fd, 100);
    program_release(&fixture->program, 6);
    rpc_message_free(raw_expect(fd, 6, RPC_OK));
    pong = raw_recv(fd);
    assert_int_equal(pong->header.proc, RPC_KEEPALIVE_PONG);
    close(fd);
}

/* A client that reads no answers is not read either, and others do not notice. */
static void
test_client_that_does_not_read(void **state)
{
    Fixture *fixture = *state;
    int deaf = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int good = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    g_autofree char *payload = g_malloc0(1 << 20);
    struct timeval limit = { .tv_usec = 300000 };
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, PROC_ECHO, RPC_CALL, 1, RPC_OK };
    g_autoptr(RpcMessage) msg = rpc_message_new(&header);
    int sent = 0;

    rpc_message_append(msg, payload, 1 << 20);
    rpc_message_seal(msg);
    setsockopt(deaf, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    while (send(deaf, msg->bytes->data, msg->bytes->len, MSG_NOSIGNAL) == (ssize_t)msg->bytes->len)
        sent++;
    /* Five echoes wait to be sent, and little more than the socket's buffers was taken. */
    assert_in_range(sent, 1, 10);
    raw_expect_alive(good);
    close(deaf);
    assert_true(harness_wait_clients(fixture->harness, 1));
    raw_expect_alive(good);
    close(good);
}

/* Nor does one that only pings, and reads no answer, get the daemon to keep them all. */
static void
test_pings_without_end(void **state)
{
    Fixture *fixture = *state;
    int deaf = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int good = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    struct timeval limit = { .tv_usec = 300000 };
    RpcHeader ping = { RPC_KEEPALIVE_PROGRAM, 1, RPC_KEEPALIVE_PING, RPC_MESSAGE, 0, RPC_OK };
    g_autoptr(RpcMessage) msg = rpc_message_new(&ping);
    guint sent = 0;

    rpc_message_seal(msg);
    setsockopt(deaf, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    while (sent < 1000000 && send(deaf, msg->bytes->data, msg->bytes->len, MSG_NOSIGNAL) == 28)
        sent++;
    assert_true(sent < 1000000);
    raw_expect_alive(good);
    for (guint i = 0; i < sent; i++)
        rpc_message_free(raw_recv(deaf));
    raw_expect_alive(deaf);
    close(deaf);
    close(good);
}

/* Three clients go wrong in three ways while a fourth works. */
static void
test_misbehaviour_costs_only_its_client(void **state)
{
    Fixture *fixture = *state;
    int good = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int dying = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int babbling = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int half = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    raw_call(dying, PROC_HOLD, 1, NULL, 0);
    raw_call(dying, PROC_HOLD, 2, NULL, 0);
    program_wait(&fixture->program, 2);
    close(dying);
    assert_int_equal(send(babbling, "\xff\xff\xff\xff GET / HTTP/1.0\r\n\r\n", 22, MSG_NOSIGNAL),
                     22);
    raw_expect_eof(babbling);
    assert_int_equal(send(half, "\0\0\1\0\x20\0", 6, MSG_NOSIGNAL), 6);
    close(half);
    close(babbling);
    assert_true(harness_wait_clients(fixture->harness, 1));
    /* The answers for the dead come now. */
    program_release(&fixture->program, 1);
    program_release(&fixture->program, 2);
    raw_expect_alive(good);
    raw_call(good, PROC_ECHO, 1, "yes!", 4);
    rpc_message_free(raw_expect(good, 1, RPC_OK));
    close(good);
}

static void
send_with_fd(int fd, int passed)
{
    char byte = 0;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(cmsg), &passed, sizeof passed);
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), 1);
}

static int
recv_fd(int fd)
{
    char byte;
    struct iovec iov = { &byte, 1 };
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof control.space };
    int passed;

    assert_int_equal(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), 1);
    assert_non_null(CMSG_FIRSTHDR(&msg));
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof passed);
    return passed;
}

/* Two descriptors go there and back, behind the packet, and the next call is understood. */
static void
test_descriptors(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, PROC_FDS, RPC_CALL_WITH_FDS, 1, RPC_OK };
    static const uint8_t payload[] = { 0, 0, 0, 2, 'a', 'b', 'c', 'd' };
    int pipes[2], back[2];
    g_autoptr(RpcMessage) msg = NULL;
    char text[4];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    raw_send(fd, &header, payload, sizeof payload);
    raw_expect_silence(fd, 50);
    send_with_fd(fd, pipes[0]);
    raw_expect_silence(fd, 50);
    send_with_fd(fd, pipes[1]);
    msg = raw_recv(fd);
    assert_non_null(msg);
    assert_int_equal(msg->header.type, RPC_REPLY_WITH_FDS);
    assert_int_equal(rpc_message_take_fd_count(msg), 2);
    assert_int_equal(msg->bytes->len - msg->payload, 4);
    back[0] = recv_fd(fd);
    back[1] = recv_fd(fd);
    assert_int_equal(write(back[1], "hey", 4), 4);
    assert_int_equal(read(back[0], text, 4), 4);
    assert_string_equal(text, "hey");
    raw_expect_alive(fd);
    for (int i = 0; i < 2; i++) {
        close(pipes[i]);
        close(back[i]);
    }
    close(fd);
}

static void
test_bad_descriptor_packets(void **state)
{
    static const uint8_t counts[][4] = { { 0, 0, 0, 33 }, { 0xff, 0xff, 0xff, 0xff } };
    Fixture *fixture = *state;
    RpcHeader header = { RPC_REMOTE_PROGRAM, 1, PROC_FDS, RPC_CALL_WITH_FDS, 1, RPC_OK };
    int fd;

    for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
        fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
        raw_send(fd, &header, counts[i], 4);
        raw_expect_eof(fd);
        close(fd);
    }
    fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    raw_send(fd, &header, NULL, 0);
    raw_expect_eof(fd);
    close(fd);
    /* Announced but not sent: the next byte carries none. */
    fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    raw_send(fd, &header, "\0\0\0\1", 4);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    raw_expect_eof(fd);
    close(fd);
    /* None announced is none. */
    fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    raw_send(fd, &header, "\0\0\0\0", 4);
    rpc_message_free(raw_expect(fd, 1, RPC_OK));
    close(fd);
}

static void
start_keepalive(void *data)
{
    Held *held = data;

    rpc_client_start_keepalive(held->client);
}

/* A client that said it answers pings and does not is let go; others are not asked. */
static void
test_keepalive(void **state)
{
    RpcLimits limits = harness_limits;
    Fixture *fixture;
    int asked, unasked;
    g_autoptr(RpcMessage) ping = NULL;
    RpcMessage *second;

    (void)state;
    limits.keepalive_interval = 1;
    limits.keepalive_count = 2;
    fixture = fixture_new(&limits);
    asked = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    unasked = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    raw_call(asked, PROC_HOLD, 1, NULL, 0);
    program_wait(&fixture->program, 1);
    harness_run(fixture->harness, start_keepalive, fixture->program.held->pdata[0]);
    program_release(&fixture->program, 1);
    rpc_message_free(raw_expect(asked, 1, RPC_OK));

    ping = raw_recv(asked);
    assert_non_null(ping);
    assert_int_equal(ping->header.prog, RPC_KEEPALIVE_PROGRAM);
    assert_int_equal(ping->header.proc, RPC_KEEPALIVE_PING);
    assert_int_equal(ping->header.type, RPC_MESSAGE);
    assert_int_equal(ping->bytes->len, 28);
    second = raw_recv(asked);
    assert_non_null(second);
    rpc_message_free(second);
    raw_expect_eof(asked);
    raw_expect_silence(unasked, 100);
    raw_expect_alive(unasked);
    close(asked);
    close(unasked);
    teardown((void **)&fixture);
}

/* Everything queued goes out before a connection that ends ends. */
static void
close_when_sent(void *data)
{
    Held *held = data;

    rpc_client_close_when_sent(held->client);
}

static void
test_delayed_close(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    raw_call(fd, PROC_HOLD, 1, NULL, 0);
    raw_call(fd, PROC_HOLD, 2, NULL, 0);
    program_wait(&fixture->program, 2);
    harness_run(fixture->harness, close_when_sent, fixture->program.held->pdata[0]);
    raw_call(fd, PROC_ECHO, 3, NULL, 0);
    program_release(&fixture->program, 2);
    rpc_message_free(raw_expect(fd, 2, RPC_OK));
    raw_expect_silence(fd, 50);
    program_release(&fixture->program, 1);
    rpc_message_free(raw_expect(fd, 1, RPC_OK));
    raw_expect_eof(fd);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_echo_from_serial_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_lengths_end_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_largest_packet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_packets_are_ignored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_replies_out_of_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sixth_request_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pings_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_misbehaviour_costs_only_its_client, setup, teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_descriptor_packets, setup, teardown),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test_setup_teardown(test_delayed_close, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
