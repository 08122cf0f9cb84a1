/* test_driver_rpc_server.c - listening sockets, limits on connections, many of them; the worker
 * pool.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/rpc/pool.h"
#include "driver/rpc/socket.h"
#include "util/error.h"

static void
nothing(RpcClient *client, void *opaque)
{
    (void)client;
    (void)opaque;
}

/* Answers, and takes any call for an authentication that went well. */
static void
program_call(RpcClient *client, RpcMessage *msg, void *opaque)
{
    RpcHeader header = rpc_header_reply(&msg->header, RPC_REPLY, RPC_OK);
    RpcMessage *reply = rpc_message_new(&header);

    (void)opaque;
    rpc_client_set_authenticated(client);
    reply->ends_request = true;
    rpc_client_send(client, reply);
    rpc_message_free(msg);
}

static const RpcServerOps program_ops = {
    .connected = nothing,
    .call = program_call,
    .disconnected = nothing,
};

typedef struct {
    char *dir, *path;
    Harness *harness;
    int fd;
    RpcAuth auth;
} Listening;

static void
listening_add(void *data)
{
    Listening *listening = data;

    assert_true(
        rpc_server_listen(listening->harness->server, listening->fd, false, listening->auth, NULL));
}

static Listening *
listening_new(const RpcLimits *limits, RpcAuth auth, int backlog)
{
    Listening *listening = g_new0(Listening, 1);
    RpcSocketSpec spec = { .mode = 0700, .gid = (gid_t)-1, .backlog = backlog };

    listening->dir = g_dir_make_tmp("kiln-rpc-XXXXXX", NULL);
    listening->path = g_build_filename(listening->dir, "sock", NULL);
    listening->harness = harness_new(&program_ops, NULL, limits);
    listening->auth = auth;
    spec.path = listening->path;
    listening->fd = rpc_socket_listen(&spec, NULL);
    assert_true(listening->fd >= 0);
    harness_run(listening->harness, listening_add, listening);
    return listening;
}

static void
listening_free(Listening *listening)
{
    harness_free(listening->harness);
    g_free(listening->path);
    harness_remove_tree(listening->dir);
    g_free(listening);
}

static int
connect_to(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    struct timeval limit = { .tv_sec = 10 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

/* Connects and asks for a sign of life, which does not come. */
static int
connect_and_wait(const Listening *listening)
{
    int fd = connect_to(listening->path);

    raw_ping(fd);
    raw_expect_silence(fd, 200);
    return fd;
}

/* The second of four leaves, and so the fourth is served; then all go. */
static void
leave_for(const int fds[4], Listening *listening)
{
    close(fds[1]);
    rpc_message_free(raw_recv(fds[3]));
    close(fds[0]);
    close(fds[2]);
    close(fds[3]);
    listening_free(listening);
}

/* Clients above the limit wait in the socket's queue until a place is free. */
static void
test_max_clients(void **state)
{
    RpcLimits limits = harness_limits;
    Listening *listening;
    int fds[4];

    (void)state;
    limits.max_clients = 3;
    listening = listening_new(&limits, RPC_AUTH_NONE, 10);
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_to(listening->path);
        raw_expect_alive(fds[i]);
    }
    fds[3] = connect_and_wait(listening);
    assert_int_equal(harness_n_clients(listening->harness), 3);
    leave_for(fds, listening);
}

/* Those not yet authenticated have a limit of their own; authenticating makes room. */
static void
test_max_anonymous_clients(void **state)
{
    RpcLimits limits = harness_limits;
    Listening *listening;
    int fds[4];

    (void)state;
    limits.max_anonymous_clients = 2;
    listening = listening_new(&limits, RPC_AUTH_POLKIT, 10);
    for (int i = 0; i < 2; i++) {
        fds[i] = connect_to(listening->path);
        raw_expect_alive(fds[i]);
    }
    fds[2] = connect_and_wait(listening);
    raw_call(fds[0], 70, 1, NULL, 0);
    rpc_message_free(raw_expect(fds[0], 1, RPC_OK));
    rpc_message_free(raw_recv(fds[2]));
    /* One that leaves without it makes room too. */
    fds[3] = connect_and_wait(listening);
    leave_for(fds, listening);
}

static void
test_many_clients(void **state)
{
    enum { MANY = 2000 };
    struct rlimit limit = { 2 * MANY + 200, 2 * MANY + 200 };
    Listening *listening;
    int *fds;

    (void)state;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < 2 * MANY + 100)
            skip();
    }
    fds = g_new(int, MANY);
    listening = listening_new(&harness_limits, RPC_AUTH_NONE, 1000);
    for (int i = 0; i < MANY; i++) {
        fds[i] = connect_to(listening->path);
        if (i % 100 == 0)
            raw_expect_alive(fds[i]);
    }
    assert_true(harness_wait_clients(listening->harness, MANY));
    for (int i = 0; i < MANY; i += 37)
        raw_expect_alive(fds[i]);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    assert_true(harness_wait_clients(listening->harness, 0));
    listening_free(listening);
    g_free(fds);
}

/* Listens in a process that ends, and leaves a child with the socket: its id. */
static pid_t
dead_listener(const RpcSocketSpec *spec)
{
    int fds[2], status = -1;
    pid_t pid, child = -1;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (rpc_socket_listen(spec, NULL) < 0 || (child = fork()) < 0)
            _exit(1);
        if (child == 0) {
            pause();
            _exit(0);
        }
        _exit(write(fds[1], &child, sizeof child) == (ssize_t)sizeof child ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(fds[0], &child, sizeof child), sizeof child);
    close(fds[0]);
    close(fds[1]);
    return child;
}

static void
test_socket_modes_and_owners(void **state)
{
    g_autofree char *dir = g_dir_make_tmp("kiln-rpc-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "sock", NULL);
    g_autofree char *plain = g_build_filename(dir, "file", NULL);
    g_autofree char *long_path = g_strdup_printf("%s/%0120d", dir, 1);
    RpcSocketSpec spec = { .path = path, .mode = 0751, .gid = (gid_t)-1, .backlog = 5 };
    g_autoptr(GError) err = NULL;
    struct stat st;
    int first, second;
    pid_t child;

    (void)state;
    first = rpc_socket_listen(&spec, NULL);
    assert_true(first >= 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0751);

    /* A living daemon's name is not taken. */
    second = rpc_socket_listen(&spec, &err);
    assert_int_equal(second, -1);
    assert_int_equal(err->code, VIR_ERR_OPERATION_FAILED);
    g_clear_error(&err);
    close(connect_to(path));

    /* A dead one's is. */
    close(first);
    second = rpc_socket_listen(&spec, NULL);
    assert_true(second >= 0);
    close(second);

    /* So is one whose sockets only a child has, that did not get to exec() yet. */
    child = dead_listener(&spec);
    second = rpc_socket_listen(&spec, NULL);
    kill(child, SIGKILL);
    assert_true(second >= 0);
    close(second);

    /* What is no socket is left alone. */
    assert_true(g_file_set_contents(plain, "precious", -1, NULL));
    spec.path = plain;
    assert_int_equal(rpc_socket_listen(&spec, &err), -1);
    assert_int_equal(err->code, VIR_ERR_SYSTEM_ERROR);
    assert_true(g_file_test(plain, G_FILE_TEST_IS_REGULAR));
    g_clear_error(&err);
    spec.path = long_path;
    assert_int_equal(rpc_socket_listen(&spec, &err), -1);
    assert_int_equal(err->code, VIR_ERR_CONFIG_UNSUPPORTED);
    harness_remove_tree(g_steal_pointer(&dir));
}

typedef struct {
    GMutex lock;
    GCond cond;
    int gate; /* 0: jobs wait */
    int started, ended, fast_ended;
} Jobs;

static void
job_wait(void *data)
{
    Jobs *jobs = data;

    g_mutex_lock(&jobs->lock);
    jobs->started++;
    g_cond_broadcast(&jobs->cond);
    while (!jobs->gate)
        g_cond_wait(&jobs->cond, &jobs->lock);
    jobs->ended++;
    g_mutex_unlock(&jobs->lock);
}

static void
job_fast(void *data)
{
    Jobs *jobs = data;

    g_mutex_lock(&jobs->lock);
    jobs->fast_ended++;
    g_cond_broadcast(&jobs->cond);
    g_mutex_unlock(&jobs->lock);
}

/* When every ordinary worker waits for a guest, priority calls still get through. */
static void
test_pool_keeps_workers_for_priority(void **state)
{
    Jobs jobs = { 0 };
    RpcPool *pool = rpc_pool_new(3, 1);
    gint64 until = g_get_monotonic_time() + 5 * G_TIME_SPAN_SECOND;

    (void)state;
    g_mutex_init(&jobs.lock);
    g_cond_init(&jobs.cond);
    for (int i = 0; i < 5; i++)
        rpc_pool_push(pool, false, job_wait, &jobs);
    g_mutex_lock(&jobs.lock);
    while (jobs.started < 3)
        assert_true(g_cond_wait_until(&jobs.cond, &jobs.lock, until));
    g_mutex_unlock(&jobs.lock);
    for (int i = 0; i < 10; i++)
        rpc_pool_push(pool, true, job_fast, &jobs);
    g_mutex_lock(&jobs.lock);
    while (jobs.fast_ended < 10)
        assert_true(g_cond_wait_until(&jobs.cond, &jobs.lock, until));
    assert_int_equal(jobs.started, 3);
    assert_false(rpc_pool_is_idle(pool));
    jobs.gate = 1;
    g_cond_broadcast(&jobs.cond);
    g_mutex_unlock(&jobs.lock);
    rpc_pool_free(pool);
    assert_int_equal(jobs.ended, 5);
    g_mutex_clear(&jobs.lock);
    g_cond_clear(&jobs.cond);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_clients),
        cmocka_unit_test(test_max_anonymous_clients),
        cmocka_unit_test(test_many_clients),
        cmocka_unit_test(test_socket_modes_and_owners),
        cmocka_unit_test(test_pool_keeps_workers_for_priority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
