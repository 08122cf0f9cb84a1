/* test_net_offload.c - checksums, large packets and their pieces, against sums made anew here.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/offload.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ETHER = 14,
    IP4 = 20,
    IP6 = 40,
    TCP = 20,
    BIG = 40000,
    MSS = 1460,
    ACK = 0x10,
    FIN_PSH_ACK = 0x19,
    SYN = 0x02,
};

typedef struct {
    uint8_t bytes[NET_MAX_PACKET];
    size_t len, payload;
    bool ipv4;
} Frame;

static void
put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static unsigned
get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* One byte after the other, as RFC 1071 defines it. */
static unsigned
plain_sum(const uint8_t *data, size_t len, unsigned sum)
{
    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? data[i] : (unsigned)data[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static unsigned
pseudo(const uint8_t *frame, bool ipv4, unsigned protocol, size_t length)
{
    unsigned sum = plain_sum(frame + ETHER + (ipv4 ? 12 : 8), ipv4 ? 8 : 32, protocol);

    sum += (unsigned)length;
    return (sum & 0xffff) + (sum >> 16);
}

static void
assert_tcp_sum(const uint8_t *frame, size_t len, size_t payload, bool ipv4)
{
    unsigned sum = pseudo(frame, ipv4, 6, len - payload);

    assert_int_equal(plain_sum(frame + payload, len - payload, sum), 0xffff);
    if (ipv4)
        assert_int_equal(plain_sum(frame + ETHER, IP4, 0), 0xffff);
}

/* @options are TCP's, @n of them a multiple of 4. */
static void
make_tcp(Frame *f, bool ipv4, unsigned flags, const uint8_t *options, size_t n, size_t data)
{
    uint8_t *ip = f->bytes + ETHER, *tcp;

    *f = (Frame){ .ipv4 = ipv4, .payload = ETHER + (ipv4 ? IP4 : IP6) };
    tcp = f->bytes + f->payload;
    f->len = f->payload + TCP + n + data;
    put16(f->bytes + 12, ipv4 ? 0x0800 : 0x86dd);
    if (ipv4) {
        ip[0] = 0x45;
        put16(ip + 2, (unsigned)(f->len - ETHER));
        put16(ip + 4, 0x1234);
        put16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = 6;
        memcpy(ip + 12, "\x0a\x00\x02\x02\x0a\x00\x02\x0f", 8);
        put16(ip + 10, ~plain_sum(ip, IP4, 0) & 0xffff);
    } else {
        ip[0] = 0x60;
        put16(ip + 4, (unsigned)(f->len - f->payload));
        ip[6] = 6;
        memset(ip + 8, 0xfe, 16);
        memset(ip + 24, 0x31, 16);
    }
    put16(tcp, 80);
    put16(tcp + 2, 40000);
    put16(tcp + 4, 0xffff); /* the number wraps on the way */
    put16(tcp + 6, 0xf000);
    tcp[12] = (uint8_t)((TCP + n) / 4 << 4);
    tcp[13] = (uint8_t)flags;
    if (n > 0)
        memcpy(tcp + TCP, options, n);
    for (size_t i = 0; i < data; i++)
        tcp[TCP + n + i] = (uint8_t)(i * 7 + (i >> 8));
    put16(tcp + 16,
          ~plain_sum(tcp, f->len - f->payload, pseudo(f->bytes, ipv4, 6, f->len - f->payload)) &
              0xffff);
}

static void
test_complete(void **state)
{
    uint8_t header[OFFLOAD_HEADER] = { 1, 0, 0, 0, 0, 0, ETHER + IP4, 0, 16, 0 };
    Frame f, whole;

    (void)state;
    make_tcp(&whole, true, ACK, NULL, 0, 1001);
    f = whole;
    put16(f.bytes + f.payload + 16, pseudo(f.bytes, true, 6, f.len - f.payload));
    assert_int_equal(offload_complete(header, f.bytes, f.len), 0);
    assert_memory_equal(f.bytes, whole.bytes, f.len);
    header[0] = 0; /* nothing is left to do */
    header[6] = 255;
    assert_int_equal(offload_complete(header, f.bytes, f.len), 0);
    assert_memory_equal(f.bytes, whole.bytes, f.len);
}

static void
test_complete_outside(void **state)
{
    uint8_t header[OFFLOAD_HEADER] = { 1, 0, 0, 0, 0, 0, 60, 0, 0, 0 };
    uint8_t bytes[64] = { 0 };

    (void)state;
    assert_int_equal(offload_complete(header, bytes, 60), -EINVAL);
    assert_int_equal(offload_complete(header, bytes, 61), -EINVAL);
    assert_int_equal(offload_complete(header, bytes, 62), 0);
    memset(header + 6, 0xff, 4);
    assert_int_equal(offload_complete(header, bytes, sizeof(bytes)), -EINVAL);
}

static void
test_mss_raised(void **state)
{
    static const uint8_t even[4] = { 2, 4, MSS >> 8, MSS & 255 };
    static const uint8_t odd[8] = { 1, 2, 4, MSS >> 8, MSS & 255, 1, 0, 0 };
    uint8_t header[OFFLOAD_HEADER] = { 0 };
    Frame f;

    (void)state;
    for (unsigned ipv4 = 0; ipv4 < 2; ipv4++) {
        unsigned offload = NET_OFFLOAD_CSUM | (ipv4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6);

        make_tcp(&f, ipv4, SYN, even, sizeof(even), 0);
        assert_int_equal(offload_take_mss(header, f.bytes, f.len, offload), MSS);
        assert_int_equal(get16(f.bytes + f.payload + TCP + 2), OFFLOAD_STACK_MSS);
        assert_tcp_sum(f.bytes, f.len, f.payload, ipv4);
        make_tcp(&f, ipv4, SYN | ACK, odd, sizeof(odd), 0);
        assert_int_equal(offload_take_mss(header, f.bytes, f.len, offload), MSS);
        assert_int_equal(get16(f.bytes + f.payload + TCP + 3), OFFLOAD_STACK_MSS);
        assert_tcp_sum(f.bytes, f.len, f.payload, ipv4);
        /* the driver takes only the other kind */
        make_tcp(&f, ipv4, SYN, even, sizeof(even), 0);
        offload ^= NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6;
        assert_int_equal(offload_take_mss(header, f.bytes, f.len, offload), MSS);
        assert_int_equal(get16(f.bytes + f.payload + TCP + 2), MSS);
        assert_tcp_sum(f.bytes, f.len, f.payload, ipv4);
    }
}

static void
test_mss_left_alone(void **state)
{
    static const uint8_t mss[4] = { 2, 4, MSS >> 8, MSS & 255 };
    static const uint8_t small[4] = { 2, 4, 0, 88 };
    static const uint8_t broken[][4] = { { 2, 3, 5, 180 }, { 8, 0, 0, 0 }, { 1, 1, 1, 2 },
                                         { 8, 200, 2, 4 }, { 0, 2, 4, 5 }, { 1, 1, 2, 4 } };
    uint8_t header[OFFLOAD_HEADER] = { 0 };
    Frame f;

    (void)state;
    make_tcp(&f, true, ACK, mss, 4, 0);
    assert_int_equal(offload_take_mss(header, f.bytes, f.len, NET_OFFLOAD_TSO4), 0);
    make_tcp(&f, true, SYN, small, 4, 0);
    assert_int_equal(offload_take_mss(header, f.bytes, f.len, NET_OFFLOAD_TSO4), 88);
    assert_int_equal(get16(f.bytes + f.payload + TCP + 2), 88);
    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        make_tcp(&f, true, SYN, broken[i], 4, 0);
        assert_int_equal(offload_take_mss(header, f.bytes, f.len, NET_OFFLOAD_TSO4), 0);
    }
    for (size_t len = 0; len < ETHER + IP4 + TCP + 4; len++) {
        make_tcp(&f, true, SYN, mss, 4, 0);
        assert_int_equal(offload_take_mss(header, f.bytes, len, NET_OFFLOAD_TSO4), 0);
    }
}

static void
test_whole(void **state)
{
    static const uint8_t want4[OFFLOAD_HEADER] = { 1, 1, 54, 0, MSS & 255, MSS >> 8, 34, 0, 16, 0 };
    static const uint8_t want6[OFFLOAD_HEADER] = { 1, 4, 74, 0, MSS & 255, MSS >> 8, 54, 0, 16, 0 };
    OffloadPlan plan;
    Frame f;

    (void)state;
    for (unsigned ipv4 = 0; ipv4 < 2; ipv4++) {
        make_tcp(&f, ipv4, ACK, NULL, 0, BIG);
        assert_true(offload_plan(f.bytes, f.len,
                                 NET_OFFLOAD_CSUM | (ipv4 ? NET_OFFLOAD_TSO4 : NET_OFFLOAD_TSO6),
                                 MSS, &plan));
        assert_int_equal(plan.pieces, 1);
        assert_memory_equal(plan.header, ipv4 ? want4 : want6, OFFLOAD_HEADER);
        assert_int_equal(get16(f.bytes + f.payload + 16),
                         pseudo(f.bytes, ipv4, 6, f.len - f.payload));
    }
}

/* A driver without large packets gets segments that make up the whole. */
static void
test_segments(void **state)
{
    g_autofree uint8_t *piece = g_malloc(NET_MAX_PACKET), *got = g_malloc(BIG);
    OffloadPlan plan;
    Frame f;

    (void)state;
    for (unsigned ipv4 = 0; ipv4 < 2; ipv4++) {
        size_t done = 0;
        Frame whole;

        make_tcp(&whole, ipv4, FIN_PSH_ACK, NULL, 0, BIG);
        f = whole;
        assert_true(offload_plan(f.bytes, f.len, NET_OFFLOAD_CSUM, MSS, &plan));
        assert_int_equal(plan.pieces, (BIG + MSS - 1) / MSS);
        assert_int_equal(plan.header[0], 2);
        for (unsigned n = 0; n < plan.pieces; n++) {
            size_t len = offload_piece(&plan, f.bytes, f.len, n, piece);
            const uint8_t *tcp = piece + f.payload;
            size_t data = len - f.payload - TCP;

            assert_true(data <= MSS && done + data <= BIG);
            assert_tcp_sum(piece, len, f.payload, ipv4);
            assert_int_equal(get16(piece + ETHER + (ipv4 ? 2 : 4)),
                             ipv4 ? len - ETHER : len - f.payload);
            assert_int_equal((uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6),
                             (uint32_t)(0xfffff000 + done));
            assert_int_equal(tcp[13], n + 1 == plan.pieces ? FIN_PSH_ACK : ACK);
            memcpy(got + done, tcp + TCP, data);
            done += data;
        }
        assert_int_equal(done, BIG);
        assert_memory_equal(got, whole.bytes + f.payload + TCP, BIG);
    }
}

static void
test_fragments(void **state)
{
    enum { DATA = 4001 };
    uint8_t piece[NET_MAX_PACKET], got[DATA];
    OffloadPlan plan;
    size_t done = 0;
    Frame f;

    (void)state;
    make_tcp(&f, true, 0, NULL, 0, DATA - TCP);
    f.bytes[ETHER + 9] = 17;
    put16(f.bytes + ETHER + 6, 0);
    assert_true(offload_plan(f.bytes, f.len, 0, MSS, &plan));
    assert_int_equal(plan.pieces, 3);
    for (unsigned n = 0; n < plan.pieces; n++) {
        size_t len = offload_piece(&plan, f.bytes, f.len, n, piece), data = len - ETHER - IP4;
        unsigned where = get16(piece + ETHER + 6);

        assert_true(len <= ETHER + OFFLOAD_MTU);
        assert_int_equal(plain_sum(piece + ETHER, IP4, 0), 0xffff);
        assert_int_equal(get16(piece + ETHER + 2), len - ETHER);
        assert_int_equal(get16(piece + ETHER + 4), 0x1234);
        assert_int_equal((where & 0x1fff) * 8, done);
        assert_int_equal(where >> 13, n + 1 < plan.pieces);
        memcpy(got + done, piece + ETHER + IP4, data);
        done += data;
    }
    assert_int_equal(done, DATA);
    assert_memory_equal(got, f.bytes + ETHER + IP4, DATA);
    put16(f.bytes + ETHER + 6, 0x4000); /* must not be fragmented */
    assert_false(offload_plan(f.bytes, f.len, 0, MSS, &plan));
}

static void
test_small(void **state)
{
    OffloadPlan plan;
    Frame f, whole;

    (void)state;
    make_tcp(&whole, true, ACK, NULL, 0, MSS);
    f = whole;
    assert_true(offload_plan(f.bytes, f.len, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4, 536, &plan));
    assert_int_equal(plan.pieces, 1);
    assert_int_equal(plan.header[0], 2);
    assert_int_equal(plan.header[1], 0);
    assert_true(offload_plan(f.bytes, f.len, 0, MSS, &plan));
    assert_int_equal(plan.header[0], 0);
    assert_memory_equal(f.bytes, whole.bytes, f.len);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete),   cmocka_unit_test(test_complete_outside),
        cmocka_unit_test(test_mss_raised), cmocka_unit_test(test_mss_left_alone),
        cmocka_unit_test(test_whole),      cmocka_unit_test(test_segments),
        cmocka_unit_test(test_fragments),  cmocka_unit_test(test_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
