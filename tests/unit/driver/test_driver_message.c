/* test_driver_message.c - packets and the structs in them, byte by byte.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "driver/calls/wire.h"
#include "driver/protocol/connect.h"
#include "driver/protocol/domain.h"
#include "driver/protocol/network.h"
#include "driver/rpc/error.h"
#include "util/error.h"

static const RpcHeader call_header = { RPC_REMOTE_PROGRAM, 1, 16, RPC_CALL, 7, RPC_OK };

/* @hex: pairs of digits, blanks between. */
static GByteArray *
bytes_of(const char *hex)
{
    GByteArray *bytes = g_byte_array_new();

    for (; *hex; hex++) {
        uint8_t byte;

        if (*hex == ' ')
            continue;
        byte = (uint8_t)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
        g_byte_array_append(bytes, &byte, 1);
        hex++;
    }
    return bytes;
}

static void
assert_payload(RpcMessage *msg, const char *hex)
{
    g_autoptr(GByteArray) want = bytes_of(hex);

    assert_int_equal(msg->bytes->len - msg->payload, want->len);
    assert_memory_equal(msg->bytes->data + msg->payload, want->data, want->len);
}

static RpcMessage *
incoming(const char *hex)
{
    g_autoptr(GByteArray) payload = bytes_of(hex);
    RpcMessage *msg = rpc_message_new(&call_header);

    rpc_message_append(msg, payload->data, payload->len);
    return msg;
}

static void
test_header(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    g_autoptr(GByteArray) want = bytes_of("0000001c 20008086 00000001 00000010 00000000 00000007 "
                                          "00000000");
    RpcHeader back;

    (void)state;
    rpc_message_seal(msg);
    assert_int_equal(msg->bytes->len, want->len);
    assert_memory_equal(msg->bytes->data, want->data, want->len);
    rpc_header_parse(msg->bytes->data, &back);
    assert_memory_equal(&back, &call_header, sizeof back);
}

static void
test_domain_info(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    DomainGetInfoRet ret = { 1, 0x0000000200000001, 524288, 2, 0x1122334455667788 };

    (void)state;
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_DomainGetInfoRet, &ret));
    /* An unsigned char and an unsigned short take a word each. */
    assert_payload(msg, "00000001 0000000200000001 0000000000080000 00000002 1122334455667788");
}

static void
test_node_info(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    NodeGetInfoRet ret = { .model = "x86_64",
                           .memory = 1024,
                           .cpus = 2,
                           .mhz = 3,
                           .nodes = 1,
                           .sockets = 1,
                           .cores = 2,
                           .threads = 1 };

    (void)state;
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_NodeGetInfoRet, &ret));
    rpc_message_seal(msg);
    /* 32 characters in a word each, an eight-byte size, six words: 188 with header and length. */
    assert_int_equal(msg->bytes->len, 188);
    assert_memory_equal(msg->bytes->data + msg->payload,
                        "\0\0\0x\0\0\0"
                        "8\0\0\0"
                        "6",
                        12);
}

static void
test_char_array(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    WireSecurityLabel ret = { .enforcing = 1 };

    (void)state;
    wire_chars_set("ab", &ret.label.label_len, &ret.label.label_val);
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_WireSecurityLabel, &ret));
    assert_payload(msg, "00000003 00000061 00000062 00000000 00000001");
    xdr_free((xdrproc_t)xdr_WireSecurityLabel, &ret);
}

static void
test_lease(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    WireLease lease = {
        .iface = (char *)"vb", .expiry = 5, .type = 0, .ip = (char *)"10.0.0.2", .prefix = 24
    };

    (void)state;
    lease.mac = wire_opt_string("aa");
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_WireLease, &lease));
    assert_payload(msg, "00000002 76620000 0000000000000005 00000000 00000001 00000002 61610000 "
                        "00000000 00000008 31302e302e302e32 00000018 00000000 00000000");
    lease.iface = lease.ip = NULL;
    xdr_free((xdrproc_t)xdr_WireLease, &lease);
}

static void
test_typed_params(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    WireParams *params = wire_params_new();
    DomainParamsRet ret = { .nparams = 2 }, back;

    (void)state;
    wire_params_add_ullong(params, "a", 1);
    wire_params_add_string(params, "b", "cd");
    wire_params_steal(params, &ret.params.params_len, &ret.params.params_val);
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_DomainParamsRet, &ret));
    assert_payload(msg, "00000002 00000001 61000000 00000004 0000000000000001 "
                        "00000001 62000000 00000007 00000002 63640000 00000002");
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_DomainParamsRet, &back, sizeof back));
    assert_non_null(wire_params_find(back.params.params_val, back.params.params_len, "b"));
    assert_null(wire_params_find(back.params.params_val, back.params.params_len, "c"));
    xdr_free((xdrproc_t)xdr_DomainParamsRet, &ret);
    xdr_free((xdrproc_t)xdr_DomainParamsRet, &back);
}

/* Any word but 0 says that an optional value follows. */
static void
test_optional_is_any_nonzero(void **state)
{
    static const char *const words[] = { "00000001", "01000000", "80000000", "ffffffff" };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autofree char *hex = g_strdup_printf("%s 00000004 71656d75 00000001", words[i]);
        g_autoptr(RpcMessage) msg = incoming(hex);
        ConnectOpenArgs args;

        assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_ConnectOpenArgs, &args, sizeof args));
        assert_non_null(args.name);
        assert_string_equal(*args.name, "qemu");
        assert_int_equal(args.flags, 1);
        xdr_free((xdrproc_t)xdr_ConnectOpenArgs, &args);
    }
    {
        g_autoptr(RpcMessage) msg = incoming("00000000 00000002");
        ConnectOpenArgs args;

        assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_ConnectOpenArgs, &args, sizeof args));
        assert_null(args.name);
        assert_int_equal(args.flags, 2);
    }
}

static void
test_decode_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "00000001",
        "00000001 00000005 71656d75",          /* string longer than what is there */
        "00000001 00400001 71656d75 00000000", /* longer than the protocol allows */
        "00000001 ffffffff",
        "00000001 00000004 71656d75 000000", /* flags cut off */
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(RpcMessage) msg = incoming(bad[i]);
        ConnectOpenArgs args;

        assert_false(rpc_message_decode(msg, (xdrproc_t)xdr_ConnectOpenArgs, &args, sizeof args));
        assert_null(args.name);
    }
}

static void
test_decode_ignores_what_follows(void **state)
{
    g_autoptr(RpcMessage) msg = incoming("00000003 deadbeef");
    MaxArgs args;

    (void)state;
    assert_true(rpc_message_decode(msg, (xdrproc_t)xdr_MaxArgs, &args, sizeof args));
    assert_int_equal(args.max, 3);
}

static void
test_encode_limits(void **state)
{
    g_autoptr(RpcMessage) msg = rpc_message_new(&call_header);
    g_autofree char *text = g_strnfill(WIRE_STRING_MAX, 'x');
    g_autofree char *long_text = g_strnfill(WIRE_STRING_MAX + 1, 'x');
    StringRet ret = { text };
    WireString names[9];
    NamesRet many = { { G_N_ELEMENTS(names), names } };

    (void)state;
    assert_true(rpc_message_encode(msg, (xdrproc_t)xdr_StringRet, &ret));
    assert_int_equal(msg->bytes->len, 28 + 4 + WIRE_STRING_MAX);
    ret.value = long_text;
    assert_false(rpc_message_encode(msg, (xdrproc_t)xdr_StringRet, &ret));
    assert_int_equal(msg->bytes->len, 28 + 4 + WIRE_STRING_MAX);
    /* Nine of the longest strings are more than a packet holds. */
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        names[i] = text;
    assert_false(rpc_message_encode(msg, (xdrproc_t)xdr_NamesRet, &many));
    ret.value = NULL;
    assert_false(rpc_message_encode(msg, (xdrproc_t)xdr_StringRet, &ret));
}

static void
test_fd_count(void **state)
{
    g_autoptr(RpcMessage) none = incoming("0000");
    g_autoptr(RpcMessage) many = incoming("00000021");
    g_autoptr(RpcMessage) good = incoming("00000020 00000001");
    g_autoptr(RpcMessage) reply = NULL;
    RpcHeader header = rpc_header_reply(&call_header, RPC_REPLY, RPC_OK);

    (void)state;
    assert_int_equal(rpc_message_take_fd_count(none), -1);
    assert_int_equal(rpc_message_take_fd_count(many), -1);
    assert_int_equal(rpc_message_take_fd_count(good), 32);
    assert_payload(good, "00000001");

    reply = rpc_message_new(&header);
    rpc_message_append(reply, "abcd", 4);
    rpc_message_add_fd(reply, dup(0));
    rpc_message_seal(reply);
    assert_payload(reply, "00000001 61626364");
    assert_int_equal(reply->bytes->data[19], RPC_REPLY_WITH_FDS);
    assert_int_equal(reply->bytes->data[3], reply->bytes->len);
}

static void
test_error_object(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(RpcMessage) msg = NULL;

    (void)state;
    kiln_error_set(&err, VIR_ERR_NO_DOMAIN, "xy");
    msg = rpc_error_message(&call_header, false, VIR_FROM_QEMU, err);
    assert_int_equal(msg->header.type, RPC_REPLY);
    assert_int_equal(msg->header.status, RPC_ERROR);
    assert_payload(msg, "0000002a 0000000a "
                        "00000001 00000014 446f6d61696e206e6f7420666f756e643a207879 "
                        "00000002 00000000 "
                        "00000001 00000014 446f6d61696e206e6f7420666f756e643a202573 "
                        "00000001 00000002 78790000 "
                        "00000000 ffffffff ffffffff 00000000");
}

static void
test_error_texts(void **state)
{
    static const struct {
        int code;
        const char *text;
    } cases[] = {
        { VIR_ERR_INTERNAL_ERROR, "internal error: %d" },
        { VIR_ERR_NO_SUPPORT, "this function is not supported by the connection driver: %d" },
        { VIR_ERR_NO_CONNECT, "no connection driver available for %d" },
        { VIR_ERR_SYSTEM_ERROR, "%d" },
        { VIR_ERR_RPC, "%d" },
        { VIR_ERR_OPERATION_INVALID, "Requested operation is not valid: %d" },
        { VIR_ERR_DOM_EXIST, "domain %d exists already" },
        { 9999, "%d" },
    };

    (void)state;
    /* A detail with conversions in it stays as it is. */
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = rpc_error_text(cases[i].code, "%d");

        assert_string_equal(text, cases[i].text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_domain_info),
        cmocka_unit_test(test_node_info),
        cmocka_unit_test(test_char_array),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_typed_params),
        cmocka_unit_test(test_optional_is_any_nonzero),
        cmocka_unit_test(test_decode_refuses),
        cmocka_unit_test(test_decode_ignores_what_follows),
        cmocka_unit_test(test_encode_limits),
        cmocka_unit_test(test_fd_count),
        cmocka_unit_test(test_error_object),
        cmocka_unit_test(test_error_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
