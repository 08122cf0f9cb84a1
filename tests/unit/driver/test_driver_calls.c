/* test_driver_calls.c - calls as clients make them: authentication, opening, rights, refusals, the
 * whole table, events.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rpc_harness.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <unistd.h>

#include "driver/calls/dispatch.h"
#include "driver/calls/table.h"
#include "driver/managers.h"
#include "driver/node/node.h"
#include "driver/protocol/events.h"

enum {
    OPEN = 1,
    CLOSE = 2,
    GET_TYPE = 3,
    GET_VERSION = 4,
    DOMAIN_DESTROY = 12,
    DOMAIN_XML = 14,
    SUPPORTS_FEATURE = 60,
    AUTH_LIST = 66,
    SASL_INIT = 67,
    AUTH_POLKIT = 70,
    EVENT_REGISTER = 105,
    EVENT_DEREGISTER = 106,
    GET_URI = 110,
    IS_SECURE = 149,
    LIB_VERSION = 157,
    EVENT_REGISTER_ANY = 167,
    EVENT_DEREGISTER_ANY = 168,
    NET_EVENT_REGISTER = 313,
    NET_EVENT_DEREGISTER = 314,
    CALLBACK_REGISTER = 316,
    CALLBACK_DEREGISTER = 317,
    CLOSE_REGISTER = 360,
    CLOSE_UNREGISTER = 361,
};

typedef struct {
    char *root;
    DaemonPaths *paths;
    DaemonConfig *config;
    CallServices services;
    RpcPool *pool;
    CallDispatcher *dispatcher;
    Harness *harness;
    int fd;
} Fixture;

static int
setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->root = g_dir_make_tmp("kiln-calls-XXXXXX", NULL);
    fixture->paths = daemon_paths_new(fixture->root, false, NULL);
    fixture->config = daemon_config_new();
    assert_true(daemon_paths_create(fixture->paths, NULL));
    fixture->services.paths = fixture->paths;
    fixture->services.events = event_hub_new();
    fixture->services.node = node_new(fixture->paths);
    managers_init(&fixture->services, fixture->config);
    fixture->pool = rpc_pool_new(20, 5);
    fixture->dispatcher = call_dispatcher_new(&fixture->services, fixture->pool);
    fixture->harness = harness_new(&call_server_ops, fixture->dispatcher, &harness_limits);
    fixture->fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    *state = fixture;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *fixture = *state;

    if (fixture->fd >= 0)
        close(fixture->fd);
    assert_true(harness_wait_clients(fixture->harness, 0));
    rpc_pool_free(fixture->pool);
    call_dispatcher_free(fixture->dispatcher);
    managers_clear(&fixture->services);
    harness_free(fixture->harness);
    node_free(fixture->services.node);
    event_hub_free(fixture->services.events);
    daemon_config_free(fixture->config);
    daemon_paths_free(fixture->paths);
    harness_remove_tree(fixture->root);
    g_free(fixture);
    return 0;
}

static void
send_open(int fd, const char *name, unsigned int flags)
{
    char *text = (char *)name;
    ConnectOpenArgs args = { name ? &text : NULL, flags };

    raw_call_xdr(fd, OPEN, 1, (xdrproc_t)xdr_ConnectOpenArgs, &args);
}

static void
open_as(int fd, const char *name, unsigned int flags)
{
    send_open(fd, name, flags);
    rpc_message_free(raw_expect(fd, 1, RPC_OK));
}

static void
check_int(int fd, uint32_t serial, int value)
{
    g_autoptr(RpcMessage) msg = raw_expect(fd, serial, RPC_OK);
    IntRet ret;

    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_IntRet, &ret, sizeof ret));
    assert_int_equal(ret.value, value);
}

static void
check_string(int fd, int32_t proc, const char *value)
{
    g_autoptr(RpcMessage) msg = NULL;
    StringRet ret;

    raw_call(fd, proc, 3, NULL, 0);
    msg = raw_expect(fd, 3, RPC_OK);
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_StringRet, &ret, sizeof ret));
    assert_string_equal(ret.value, value);
    xdr_free((xdrproc_t)xdr_StringRet, &ret);
}

static void
check_hyper(int fd, int32_t proc, uint64_t value)
{
    g_autoptr(RpcMessage) msg = NULL;
    HyperRet ret;

    raw_call(fd, proc, 3, NULL, 0);
    msg = raw_expect(fd, 3, RPC_OK);
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_HyperRet, &ret, sizeof ret));
    assert_true(ret.value == value);
}

static void
test_unknown_programs(void **state)
{
    Fixture *fixture = *state;
    RpcHeader header = { 0x68000, 1, 1, RPC_CALL, 1, RPC_OK };
    g_autoptr(RpcMessage) msg = NULL;

    raw_send(fixture->fd, &header, NULL, 0);
    msg = raw_recv(fixture->fd);
    assert_int_equal(msg->header.prog, 0x68000);
    assert_int_equal(msg->header.status, RPC_ERROR);
    header.prog = RPC_REMOTE_PROGRAM;
    header.vers = 2;
    raw_send(fixture->fd, &header, NULL, 0);
    raw_expect_error(fixture->fd, 1, VIR_ERR_RPC, "Cannot find program 536903814 version 2");
    header.vers = 1;
    header.status = RPC_CONTINUE;
    raw_send(fixture->fd, &header, NULL, 0);
    raw_expect_error(fixture->fd, 1, VIR_ERR_RPC, "Unexpected message status 2");
}

static void
test_unknown_procedures(void **state)
{
    static const int32_t numbers[] = { 0, -1, 444, 100000, 107, 318, 362, INT32_MIN, INT32_MAX };
    Fixture *fixture = *state;
    RpcHeader header = { RPC_QEMU_PROGRAM, 1, 8, RPC_CALL, 2, RPC_OK };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *text = g_strdup_printf("unknown procedure: %d", numbers[i]);

        raw_call(fixture->fd, numbers[i], 2, NULL, 0);
        raw_expect_error(fixture->fd, 2, VIR_ERR_RPC, text);
    }
    raw_send(fixture->fd, &header, NULL, 0);
    raw_expect_error(fixture->fd, 2, VIR_ERR_RPC, "unknown procedure: 8");
}

/* A number is a call or an event, each of the 443, and nothing beyond. */
static void
test_table_is_whole(void **state)
{
    guint calls = 0;

    (void)state;
    for (int32_t number = -2; number < 500; number++) {
        const CallProc *proc = call_proc_find(RPC_REMOTE_PROGRAM, number);

        if (!proc)
            continue;
        assert_in_range(number, 1, 443);
        assert_true(g_str_has_prefix(proc->api, "vir"));
        assert_true(!proc->run || (proc->args_xdr && proc->ret_xdr));
        calls++;
    }
    assert_int_equal(calls, 443 - 51);
    calls = 0;
    for (int32_t number = 0; number < 20; number++)
        calls += call_proc_find(RPC_QEMU_PROGRAM, number) != NULL;
    assert_int_equal(calls, 6);
    assert_null(call_proc_find(RPC_KEEPALIVE_PROGRAM, 1));
}

/* Every procedure is answered, whatever it is sent: nothing at all, or nonsense. */
static void
test_every_procedure_is_answered(void **state)
{
    Fixture *fixture = *state;
    uint8_t junk[64];

    memset(junk, 0xff, sizeof junk);
    open_as(fixture->fd, "qemu:///system", 0);
    for (int32_t number = 1; number <= 443; number++) {
        if (number == CLOSE)
            continue;
        raw_call(fixture->fd, number, 7, NULL, 0);
        rpc_message_free(raw_recv(fixture->fd));
        raw_call(fixture->fd, number, 8, junk, sizeof junk);
        rpc_message_free(raw_recv(fixture->fd));
    }
    raw_expect_alive(fixture->fd);
}

static void
test_truncated_arguments(void **state)
{
    Fixture *fixture = *state;

    raw_call(fixture->fd, OPEN, 1, "\0\0\0\1\0\0\0\4qe", 10);
    raw_expect_error(fixture->fd, 1, VIR_ERR_RPC, "Unable to decode message payload");
    open_as(fixture->fd, "qemu:///system", 0);
    raw_call(fixture->fd, DOMAIN_DESTROY, 2, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 2, RPC_ERROR));
}

static void
test_before_open(void **state)
{
    Fixture *fixture = *state;
    ConnectSupportsFeatureArgs keepalive = { 10 }, events = { 14 };

    raw_call(fixture->fd, GET_TYPE, 1, NULL, 0);
    raw_expect_error(fixture->fd, 1, VIR_ERR_INTERNAL_ERROR, "internal error: connection not open");
    raw_call_xdr(fixture->fd, SUPPORTS_FEATURE, 2, (xdrproc_t)xdr_ConnectSupportsFeatureArgs,
                 &events);
    raw_expect_error(fixture->fd, 2, VIR_ERR_INTERNAL_ERROR,
                     "internal error: hypervisor connection not open");
    raw_call_xdr(fixture->fd, SUPPORTS_FEATURE, 3, (xdrproc_t)xdr_ConnectSupportsFeatureArgs,
                 &keepalive);
    check_int(fixture->fd, 3, 1);
    /* Not even that something is not supported. */
    raw_call(fixture->fd, 220, 4, NULL, 0);
    raw_expect_error(fixture->fd, 4, VIR_ERR_INTERNAL_ERROR, "internal error: connection not open");
}

static void
test_open_names(void **state)
{
    static const struct {
        const char *name, *uri, *type;
        uint64_t version;
    } good[] = {
        { NULL, "qemu:///system", "QEMU", 7002000 },
        { "", "qemu:///system", "QEMU", 7002000 },
        { "qemu:///system", "qemu:///system", "QEMU", 7002000 },
        { "qemu+unix:///system?socket=/x", "qemu:///system", "QEMU", 7002000 },
        { "kiln:///system", "kiln:///system", "Kiln", 1000 },
        { "kiln+ssh:///system", "kiln:///system", "Kiln", 1000 },
        { "kiln:///session", "kiln:///session", "Kiln", 1000 },
    };
    static const char *const bad[] = { "xen:///system",
                                       "qemu",
                                       "qemu:",
                                       "qemu:///",
                                       "qemu://",
                                       "qemu:///systemd",
                                       "qemu:///syste",
                                       "kiln://host/system",
                                       "test:///default",
                                       "qemu:///embed?root=/x",
                                       "://" };
    Fixture *fixture = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        int fd = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

        open_as(fd, good[i].name, 0);
        check_string(fd, GET_URI, good[i].uri);
        check_string(fd, GET_TYPE, good[i].type);
        check_hyper(fd, GET_VERSION, good[i].version);
        check_hyper(fd, LIB_VERSION, 9000000);
        close(fd);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(RpcMessage) msg = NULL;

        send_open(fixture->fd, bad[i], 0);
        msg = raw_expect(fixture->fd, 1, RPC_ERROR);
        assert_memory_equal(msg->bytes->data + msg->payload, "\0\0\0\5\0\0\0\0", 8);
    }
    fixture->paths->session = true;
    send_open(fixture->fd, "qemu:///system", 0);
    rpc_message_free(raw_expect(fixture->fd, 1, RPC_ERROR));
    open_as(fixture->fd, NULL, 0);
    check_string(fixture->fd, GET_URI, "qemu:///session");
    send_open(fixture->fd, "qemu:///session", 0);
    raw_expect_error(fixture->fd, 1, VIR_ERR_INTERNAL_ERROR,
                     "internal error: connection already open");
    /* The refused second opening does not harm the first. */
    check_string(fixture->fd, GET_TYPE, "QEMU");
}

/* go-libvirt says "there is a name" with 01 00 00 00. */
static void
test_open_as_go_libvirt(void **state)
{
    static const uint8_t payload[] = { 1,   0,   0,   0,   0,   0,   0,   14,  'q', 'e',
                                       'm', 'u', ':', '/', '/', '/', 's', 'y', 's', 't',
                                       'e', 'm', 0,   0,   0,   0,   0,   0 };
    Fixture *fixture = *state;
    g_autoptr(RpcMessage) auth = NULL;

    raw_call(fixture->fd, AUTH_LIST, 1, NULL, 0);
    auth = raw_expect(fixture->fd, 1, RPC_OK);
    assert_memory_equal(auth->bytes->data + auth->payload, "\0\0\0\1\0\0\0\0", 8);
    raw_call(fixture->fd, OPEN, 2, payload, sizeof payload);
    rpc_message_free(raw_expect(fixture->fd, 2, RPC_OK));
    check_string(fixture->fd, GET_URI, "qemu:///system");
    raw_call(fixture->fd, CLOSE, 4, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 4, RPC_OK));
    raw_expect_eof(fixture->fd);
}

static void
test_features(void **state)
{
    static const int supported[] = { 6, 7, 8, 9, 10, 11, 13, 14, 15, 16 };
    Fixture *fixture = *state;

    open_as(fixture->fd, NULL, 0);
    for (int feature = -1; feature < 40; feature++) {
        ConnectSupportsFeatureArgs args = { feature };
        int want = 0;

        for (size_t i = 0; i < G_N_ELEMENTS(supported); i++)
            want |= supported[i] == feature;
        raw_call_xdr(fixture->fd, SUPPORTS_FEATURE, 9, (xdrproc_t)xdr_ConnectSupportsFeatureArgs,
                     &args);
        check_int(fixture->fd, 9, want);
    }
    raw_call(fixture->fd, IS_SECURE, 10, NULL, 0);
    check_int(fixture->fd, 10, 1);
}

/* Clients send flags of their own beside the read-only one. */
static void
test_open_passes_over_flags(void **state)
{
    Fixture *fixture = *state;

    open_as(fixture->fd, "qemu:///system", 0xfffffffe);
    raw_call(fixture->fd, 220, 3, NULL, 0);
    raw_expect_error(fixture->fd, 3, VIR_ERR_NO_SUPPORT,
                     "this function is not supported by the "
                     "connection driver: virInterfaceChangeBegin");
}

static void
test_read_only(void **state)
{
    Fixture *fixture = *state;
    DomainFlagsArgs xml = { .dom = { .name = (char *)"d", .id = -1 } };
    DomainArgs destroy = { .dom = { .name = (char *)"d", .id = -1 } };
    int socket = harness_connect(fixture->harness, true, RPC_AUTH_NONE);
    int fds[] = { fixture->fd, socket };

    /* By the flag of the opening, and by the socket it came by. */
    open_as(fixture->fd, "qemu:///system", VIR_CONNECT_RO);
    open_as(socket, "qemu:///system", 0);
    for (size_t i = 0; i < G_N_ELEMENTS(fds); i++) {
        raw_call_xdr(fds[i], DOMAIN_DESTROY, 2, (xdrproc_t)xdr_DomainArgs, &destroy);
        raw_expect_error(fds[i], 2, VIR_ERR_OPERATION_DENIED,
                         "operation forbidden: read only "
                         "access prevents virDomainDestroy");
        /* Also what there is no handler for. */
        raw_call(fds[i], 220, 3, NULL, 0);
        raw_expect_error(fds[i], 3, VIR_ERR_OPERATION_DENIED,
                         "operation forbidden: read only "
                         "access prevents virInterfaceChangeBegin");
        check_string(fds[i], GET_TYPE, "QEMU");
    }
    xml.flags = VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE;
    raw_call_xdr(socket, DOMAIN_XML, 4, (xdrproc_t)xdr_DomainFlagsArgs, &xml);
    raw_expect_error(socket, 4, VIR_ERR_OPERATION_DENIED,
                     "operation forbidden: read only "
                     "access prevents virDomainGetXMLDesc with flags 0x1");
    /* Whatever there is no handler for and would change something, by its name. */
    for (int32_t number = 1; number <= 443; number++) {
        const CallProc *proc = call_proc_find(RPC_REMOTE_PROGRAM, number);
        g_autofree char *text = NULL;

        if (!proc || proc->run || proc->right != CALL_RIGHT_WRITE)
            continue;
        text = g_strdup_printf("operation forbidden: read only access prevents %s", proc->api);
        raw_call(socket, number, 5, NULL, 0);
        raw_expect_error(socket, 5, VIR_ERR_OPERATION_DENIED, text);
    }
    close(socket);
}

static void
test_not_supported_by_name(void **state)
{
    Fixture *fixture = *state;
    RpcHeader header = { RPC_QEMU_PROGRAM, 1, 2, RPC_CALL, 3, RPC_OK };

    open_as(fixture->fd, "qemu:///system", 0);
    raw_call(fixture->fd, 220, 2, NULL, 0);
    raw_expect_error(fixture->fd, 2, VIR_ERR_NO_SUPPORT,
                     "this function is not supported by the "
                     "connection driver: virInterfaceChangeBegin");
    raw_send(fixture->fd, &header, NULL, 0);
    raw_expect_error(fixture->fd, 3, VIR_ERR_NO_SUPPORT,
                     "this function is not supported by the "
                     "connection driver: virDomainQemuAttach");
}

static void
test_authentication_comes_first(void **state)
{
    Fixture *fixture = *state;
    int fd = harness_connect(fixture->harness, false, RPC_AUTH_POLKIT);
    g_autoptr(RpcMessage) auth = NULL;

    send_open(fd, "qemu:///system", 0);
    raw_expect_error(fd, 1, VIR_ERR_RPC, "authentication required");
    raw_call(fd, GET_TYPE, 2, NULL, 0);
    raw_expect_error(fd, 2, VIR_ERR_RPC, "authentication required");
    raw_call(fd, 9999, 3, NULL, 0);
    raw_expect_error(fd, 3, VIR_ERR_RPC, "unknown procedure: 9999");
    raw_call(fd, SASL_INIT, 4, NULL, 0);
    raw_expect_error(fd, 4, VIR_ERR_NO_SUPPORT,
                     "this function is not supported by the connection "
                     "driver: virAuthSASLInit");
    raw_call(fd, AUTH_LIST, 5, NULL, 0);
    auth = raw_expect(fd, 5, RPC_OK);
    /* Root is not asked; anyone else is to turn to polkit. */
    if (getuid() == 0) {
        assert_memory_equal(auth->bytes->data + auth->payload, "\0\0\0\1\0\0\0\0", 8);
        open_as(fd, "qemu:///system", 0);
        raw_call(fd, AUTH_POLKIT, 6, NULL, 0);
        rpc_message_free(raw_expect(fd, 6, RPC_ERROR));
    } else {
        assert_memory_equal(auth->bytes->data + auth->payload, "\0\0\0\1\0\0\0\2", 8);
    }
    close(fd);
}

static void
hold_calls(void *data)
{
    call_dispatcher_hold(data);
}

static void
release_calls(void *data)
{
    call_dispatcher_release(data);
}

/* While the daemon loads, a client can authenticate and open; what it asks for then waits, and is
 * answered in its order. */
static void
test_calls_wait_for_loading(void **state)
{
    Fixture *fixture = *state;
    int leaving = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    harness_run(fixture->harness, hold_calls, fixture->dispatcher);
    raw_call(fixture->fd, AUTH_LIST, 0, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 0, RPC_OK));
    open_as(fixture->fd, "qemu:///system", 0);
    open_as(leaving, "qemu:///system", 0);
    raw_call(fixture->fd, GET_TYPE, 2, NULL, 0);
    raw_call(fixture->fd, GET_VERSION, 3, NULL, 0);
    raw_call(leaving, GET_VERSION, 2, NULL, 0);
    raw_expect_alive(fixture->fd);
    raw_expect_silence(fixture->fd, 50);
    close(leaving);
    assert_true(harness_wait_clients(fixture->harness, 1));
    harness_run(fixture->harness, release_calls, fixture->dispatcher);
    rpc_message_free(raw_expect(fixture->fd, 2, RPC_OK));
    rpc_message_free(raw_expect(fixture->fd, 3, RPC_OK));
    check_string(fixture->fd, GET_TYPE, "QEMU");
}

/* A daemon that ends before it loaded everything drops what waits. */
static void
test_end_while_loading(void **state)
{
    Fixture *fixture = *state;

    harness_run(fixture->harness, hold_calls, fixture->dispatcher);
    open_as(fixture->fd, "qemu:///system", 0);
    raw_call(fixture->fd, GET_TYPE, 2, NULL, 0);
    raw_expect_alive(fixture->fd);
}

static int
register_domain(int fd, int event, const char *uuid)
{
    WireDomain dom = { .name = (char *)"d", .id = -1 };
    ConnectDomainEventCallbackRegisterAnyArgs args = { event, uuid ? &dom : NULL };
    g_autoptr(RpcMessage) msg = NULL;
    CallbackRet ret;

    if (uuid)
        memcpy(dom.uuid, uuid, 16);
    raw_call_xdr(fd, CALLBACK_REGISTER, 5, (xdrproc_t)xdr_ConnectDomainEventCallbackRegisterAnyArgs,
                 &args);
    msg = raw_expect(fd, 5, RPC_OK);
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_CallbackRet, &ret, sizeof ret));
    return ret.id;
}

static RpcMessage *
check_event(int fd, int32_t proc)
{
    RpcMessage *msg = raw_recv(fd);

    assert_non_null(msg);
    assert_int_equal(msg->header.prog, RPC_REMOTE_PROGRAM);
    assert_int_equal(msg->header.type, RPC_MESSAGE);
    assert_int_equal(msg->header.proc, proc);
    assert_int_equal(msg->header.serial, 1);
    assert_int_equal(msg->header.status, RPC_OK);
    return msg;
}

static const uint8_t uuid_a[16] = "aaaaaaaaaaaaaaa", uuid_b[16] = "bbbbbbbbbbbbbbb";

static void
test_modern_events(void **state)
{
    Fixture *fixture = *state;
    EventHub *hub = fixture->services.events;
    EventDomain a = { "a", uuid_a, 3 }, b = { "b", uuid_b, -1 };
    ConnectNetworkEventRegisterAnyArgs net = { VIR_NETWORK_EVENT_ID_LIFECYCLE, NULL };
    EventNetwork default_net = { "default", uuid_b };
    CallbackArgs gone;
    g_autoptr(RpcMessage) reply = NULL;
    g_autoptr(RpcMessage) first = NULL;
    g_autoptr(RpcMessage) second = NULL;
    CallbackRet ret;
    int all, only_b, reboot;

    open_as(fixture->fd, "qemu:///system", 0);
    all = register_domain(fixture->fd, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    only_b = register_domain(fixture->fd, VIR_DOMAIN_EVENT_ID_LIFECYCLE, (const char *)uuid_b);
    reboot = register_domain(fixture->fd, VIR_DOMAIN_EVENT_ID_REBOOT, NULL);
    raw_call_xdr(fixture->fd, NET_EVENT_REGISTER, 6,
                 (xdrproc_t)xdr_ConnectNetworkEventRegisterAnyArgs, &net);
    reply = raw_expect(fixture->fd, 6, RPC_OK);
    assert_true(rpc_message_decode(reply, (xdrproc_t)xdr_CallbackRet, &ret, sizeof ret));
    assert_true(all != only_b && only_b != reboot && reboot != ret.id && ret.id != all);

    event_hub_domain_lifecycle(hub, &a, VIR_DOMAIN_EVENT_STARTED, 7);
    first = check_event(fixture->fd, 318);
    assert_int_equal(first->bytes->len, 28 + 4 + 8 + 16 + 4 + 8);
    assert_int_equal(first->bytes->data[31], all);
    assert_memory_equal(first->bytes->data + 32, "\0\0\0\1a\0\0\0", 8);
    assert_memory_equal(first->bytes->data + 40, uuid_a, 16);
    assert_memory_equal(first->bytes->data + 56, "\0\0\0\3\0\0\0\2\0\0\0\7", 12);

    /* Two registrations match: two messages, in the order of registration. */
    event_hub_domain_lifecycle(hub, &b, VIR_DOMAIN_EVENT_STOPPED, 0);
    second = check_event(fixture->fd, 318);
    assert_int_equal(second->bytes->data[31], all);
    rpc_message_free(check_event(fixture->fd, 318));
    event_hub_domain_reboot(hub, &a);
    rpc_message_free(check_event(fixture->fd, 319));
    event_hub_network_lifecycle(hub, &default_net, VIR_NETWORK_EVENT_STARTED, 0);
    rpc_message_free(check_event(fixture->fd, 315));

    gone.id = all;
    raw_call_xdr(fixture->fd, CALLBACK_DEREGISTER, 7, (xdrproc_t)xdr_CallbackArgs, &gone);
    rpc_message_free(raw_expect(fixture->fd, 7, RPC_OK));
    raw_call_xdr(fixture->fd, CALLBACK_DEREGISTER, 8, (xdrproc_t)xdr_CallbackArgs, &gone);
    rpc_message_free(raw_expect(fixture->fd, 8, RPC_ERROR));
    /* A callback of another class is not this one's to end. */
    gone.id = only_b;
    raw_call_xdr(fixture->fd, NET_EVENT_DEREGISTER, 9, (xdrproc_t)xdr_CallbackArgs, &gone);
    rpc_message_free(raw_expect(fixture->fd, 9, RPC_ERROR));
    event_hub_domain_lifecycle(hub, &a, VIR_DOMAIN_EVENT_STARTED, 7);
    raw_expect_alive(fixture->fd);
}

static void
test_every_event_id_registers(void **state)
{
    Fixture *fixture = *state;
    ConnectDomainEventCallbackRegisterAnyArgs bad = { 27, NULL };

    open_as(fixture->fd, "qemu:///system", 0);
    for (int event = 0; event <= VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE; event++)
        assert_true(register_domain(fixture->fd, event, NULL) > 0);
    raw_call_xdr(fixture->fd, CALLBACK_REGISTER, 5,
                 (xdrproc_t)xdr_ConnectDomainEventCallbackRegisterAnyArgs, &bad);
    raw_expect_error(fixture->fd, 5, VIR_ERR_INTERNAL_ERROR,
                     "internal error: unsupported event ID 27");
    bad.event = -1;
    raw_call_xdr(fixture->fd, CALLBACK_REGISTER, 5,
                 (xdrproc_t)xdr_ConnectDomainEventCallbackRegisterAnyArgs, &bad);
    raw_expect_error(fixture->fd, 5, VIR_ERR_INTERNAL_ERROR,
                     "internal error: unsupported event ID -1");
}

static void
test_callbacks_have_a_limit(void **state)
{
    Fixture *fixture = *state;
    ConnectDomainEventCallbackRegisterAnyArgs one_more = { 0, NULL };

    open_as(fixture->fd, "qemu:///system", 0);
    for (int i = 0; i < 1024; i++)
        register_domain(fixture->fd, 0, NULL);
    raw_call_xdr(fixture->fd, CALLBACK_REGISTER, 5,
                 (xdrproc_t)xdr_ConnectDomainEventCallbackRegisterAnyArgs, &one_more);
    raw_expect_error(fixture->fd, 5, VIR_ERR_OPERATION_FAILED,
                     "operation failed: a connection can "
                     "have 1024 event callbacks; deregister some");
}

static void
test_legacy_events(void **state)
{
    Fixture *fixture = *state;
    EventHub *hub = fixture->services.events;
    EventDomain a = { "a", uuid_a, 3 };
    CallbackArgs reboot = { VIR_DOMAIN_EVENT_ID_REBOOT };
    CallbackArgs too_new = { VIR_DOMAIN_EVENT_ID_TUNABLE };
    g_autoptr(RpcMessage) msg = NULL;

    open_as(fixture->fd, "qemu:///system", 0);
    raw_call(fixture->fd, EVENT_REGISTER, 2, NULL, 0);
    check_int(fixture->fd, 2, 1);
    raw_call(fixture->fd, EVENT_REGISTER, 3, NULL, 0);
    raw_expect_error(fixture->fd, 3, VIR_ERR_INTERNAL_ERROR,
                     "internal error: domain event 0 already registered");
    raw_call_xdr(fixture->fd, EVENT_REGISTER_ANY, 4, (xdrproc_t)xdr_CallbackArgs, &reboot);
    rpc_message_free(raw_expect(fixture->fd, 4, RPC_OK));
    raw_call_xdr(fixture->fd, EVENT_REGISTER_ANY, 4, (xdrproc_t)xdr_CallbackArgs, &too_new);
    rpc_message_free(raw_expect(fixture->fd, 4, RPC_ERROR));

    event_hub_domain_lifecycle(hub, &a, VIR_DOMAIN_EVENT_STARTED, 7);
    msg = check_event(fixture->fd, 107);
    assert_int_equal(msg->bytes->len, 28 + 8 + 16 + 4 + 8);
    event_hub_domain_reboot(hub, &a);
    rpc_message_free(check_event(fixture->fd, 169));
    /* Without a form of the legacy family. */
    event_hub_domain_agent_lifecycle(hub, &a, 1, 1);

    raw_call(fixture->fd, EVENT_DEREGISTER, 5, NULL, 0);
    check_int(fixture->fd, 5, 0);
    raw_call_xdr(fixture->fd, EVENT_DEREGISTER_ANY, 6, (xdrproc_t)xdr_CallbackArgs, &reboot);
    rpc_message_free(raw_expect(fixture->fd, 6, RPC_OK));
    raw_call_xdr(fixture->fd, EVENT_DEREGISTER_ANY, 7, (xdrproc_t)xdr_CallbackArgs, &reboot);
    rpc_message_free(raw_expect(fixture->fd, 7, RPC_ERROR));
    event_hub_domain_lifecycle(hub, &a, VIR_DOMAIN_EVENT_STARTED, 7);
    event_hub_domain_reboot(hub, &a);
    raw_expect_alive(fixture->fd);
}

static void
test_close_event(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(RpcMessage) msg = NULL;
    int other = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    open_as(fixture->fd, "qemu:///system", 0);
    raw_call(fixture->fd, CLOSE_UNREGISTER, 2, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 2, RPC_ERROR));
    raw_call(fixture->fd, CLOSE_REGISTER, 3, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 3, RPC_OK));
    event_hub_connection_closed(fixture->services.events, VIR_CONNECT_CLOSE_REASON_EOF);
    msg = check_event(fixture->fd, 362);
    assert_int_equal(msg->bytes->len, 32);
    assert_int_equal(msg->bytes->data[31], VIR_CONNECT_CLOSE_REASON_EOF);
    raw_call(fixture->fd, CLOSE_UNREGISTER, 4, NULL, 0);
    rpc_message_free(raw_expect(fixture->fd, 4, RPC_OK));
    raw_expect_silence(other, 50);
    close(other);
}

/* Events for a client that is gone, and for one that does not read, hold nobody up. */
static void
test_events_for_the_dead_and_the_deaf(void **state)
{
    Fixture *fixture = *state;
    EventDomain a = { "a", uuid_a, 3 };
    int deaf = harness_connect(fixture->harness, false, RPC_AUTH_NONE);
    int dead = harness_connect(fixture->harness, false, RPC_AUTH_NONE);

    open_as(fixture->fd, "qemu:///system", 0);
    open_as(deaf, "qemu:///system", 0);
    open_as(dead, "qemu:///system", 0);
    register_domain(deaf, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    register_domain(dead, VIR_DOMAIN_EVENT_ID_LIFECYCLE, NULL);
    close(dead);
    for (int i = 0; i < 20000; i++)
        event_hub_domain_lifecycle(fixture->services.events, &a, 2, 0);
    raw_expect_alive(fixture->fd);
    for (int i = 0; i < 20000; i++)
        rpc_message_free(check_event(deaf, 318));
    raw_expect_alive(deaf);
    close(deaf);
    assert_true(harness_wait_clients(fixture->harness, 1));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_unknown_programs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_procedures, setup, teardown),
        cmocka_unit_test(test_table_is_whole),
        cmocka_unit_test_setup_teardown(test_every_procedure_is_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_before_open, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_as_go_libvirt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_features, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_passes_over_flags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_supported_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authentication_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_wait_for_loading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_while_loading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_modern_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_event_id_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_callbacks_have_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_legacy_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_event, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events_for_the_dead_and_the_deaf, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
