/* test_hw_virtio_net.c - the virtio network card over a back end made by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"
#include "tests/unit/hw/virtio_driver.h"

#include "hw/virtio/net.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 32 << 20,
    SIZE = 64,
    HEADER = 12,
    F_CSUM = 0,
    F_GUEST_CSUM = 1,
    F_CTRL_OFFLOADS = 2,
    F_GUEST_TSO4 = 7,
    F_MRG = 15,
    F_STATUS = 16,
    F_CTRL_VQ = 17,
    F_CTRL_RX = 18,
    F_CTRL_VLAN = 19,
    F_CTRL_RX_EXTRA = 20,
    F_MQ = 22,
    F_MAC_ADDR = 23,
};

#define FEATURES                                                                                   \
    (VIRTIO_F(F_MRG) | VIRTIO_F(F_STATUS) | VIRTIO_F(F_CTRL_VQ) | VIRTIO_F(F_CTRL_RX) |            \
     VIRTIO_F(F_CTRL_VLAN) | VIRTIO_F(F_CTRL_RX_EXTRA) | VIRTIO_F(F_MAC_ADDR) |                    \
     VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT))

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    FakeNet *net;
    Device *dev;
} Fixture;

static int
setup_caps(void **state, unsigned caps)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->net = fake_net_new(f->fake, "n0", 2, caps);
    f->dev = fake_device(f->fake, "virtio-net-pci", "id", "net0", "netdev", "n0", "mac",
                         "52:54:00:01:02:03", "mq", "on", "addr", "0x5", "host_mtu", "1400", NULL);
    virtio_driver_init(&f->drv, f->fake, f->dev);
    *state = f;
    return 0;
}

static int
setup(void **state)
{
    return setup_caps(state, NET_CAP_HEADER);
}

static int
setup_plain(void **state)
{
    return setup_caps(state, 0);
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

/* A packet of @len bytes from @dst on arrives from the host, with @header bytes before it. */
static void
arrive(Fixture *f, const char *dst, unsigned len, unsigned header)
{
    uint8_t *data = g_malloc0(header + len);
    unsigned mac[6];

    sscanf(dst, "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]);
    for (unsigned i = 0; i < len; i++)
        data[header + i] = i < 6 ? (uint8_t)mac[i] : i == 12 || i == 13 ? 8 : (uint8_t)i;
    fake_net_arrive(f->net, data, header + len);
    g_free(data);
}

static uint64_t
post(Fixture *f, uint32_t len)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, len), len, true };

    virtio_driver_add(&f->drv, &f->drv.q[0], &buffer, 1, false);
    virtio_driver_settle(&f->drv);
    return buffer.addr;
}

static uint16_t
num_buffers(Fixture *f, uint64_t at)
{
    uint16_t n;

    memcpy(&n, virtio_driver_memory(&f->drv, at + 10), 2);
    return n;
}

static void
test_config(void **state)
{
    Fixture *f = *state;
    uint64_t offered = virtio_driver_offered(&f->drv);

    assert_int_equal(virtio_driver_config(&f->drv, 0, 4), 0x01005452);
    assert_int_equal(virtio_driver_config(&f->drv, 4, 2), 0x0302);
    assert_int_equal(virtio_driver_config(&f->drv, 6, 2), 1);
    assert_int_equal(virtio_driver_config(&f->drv, 8, 2), 2);
    assert_int_equal(virtio_driver_config(&f->drv, 10, 2), 1400);
    assert_true(offered & VIRTIO_F(F_MQ) && offered & VIRTIO_F(F_CSUM) &&
                offered & VIRTIO_F(F_GUEST_TSO4));
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x12, 2), 5);
    /* 5.1.3.1: segmentation without checksums, multiqueue without a control queue */
    assert_false(virtio_driver_negotiate(&f->drv, VIRTIO_F(VIRTIO_F_VERSION_1_BIT) |
                                                      VIRTIO_F(F_GUEST_TSO4)));
    assert_false(
        virtio_driver_negotiate(&f->drv, VIRTIO_F(VIRTIO_F_VERSION_1_BIT) | VIRTIO_F(F_MQ)));
}

static void
test_plain_offers(void **state)
{
    Fixture *f = *state;
    uint64_t offered = virtio_driver_offered(&f->drv);

    assert_false(offered & (VIRTIO_F(F_CSUM) | VIRTIO_F(F_GUEST_CSUM) | VIRTIO_F(F_GUEST_TSO4)));
    assert_true(offered & VIRTIO_F(F_MRG));
}

static void
test_send(void **state)
{
    Fixture *f = *state;
    uint64_t at = virtio_driver_alloc(&f->drv, 100);
    DriverBuffer buffers[2] = { { at, HEADER, false }, { at + HEADER, 60, false } };
    GBytes *packet;

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    assert_int_equal(f->net->header_len, HEADER);
    memset(virtio_driver_memory(&f->drv, at + HEADER), 0x42, 60);
    virtio_driver_add(&f->drv, &f->drv.q[1], buffers, 2, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(f->net->sent->len, 1);
    packet = f->net->sent->pdata[0];
    assert_int_equal(g_bytes_get_size(packet), HEADER + 60);
}

static void
test_send_plain(void **state)
{
    Fixture *f = *state;
    uint64_t at = virtio_driver_alloc(&f->drv, 100);
    DriverBuffer buffers[2] = { { at, 40, false }, { at + 40, 32, false } };

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    virtio_driver_add(&f->drv, &f->drv.q[1], buffers, 2, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 60);
}

static void
writable(void *opaque)
{
    Fixture *f = opaque;

    f->net->full = false;
    net_backend_writable(&f->net->base, 0);
}

/* While the back end is full nothing is lost and nothing spins. */
static void
test_send_waits(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 100), 72, false };

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    f->net->full = true;
    for (unsigned i = 0; i < 5; i++)
        virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[1]));
    io_loop_run_sync(f->net->loop[0], writable, f);
    for (unsigned i = 0; i < 5; i++)
        virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(f->net->sent->len, 5);
    /* and a reset while it is full gives up what waits */
    f->net->full = true;
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_settle(&f->drv);
    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    f->net->full = false;
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
}

static void
test_send_too_short(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { 0x1000, 11, false };

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_wait_broken(&f->drv);
}

static void
test_receive(void **state)
{
    Fixture *f = *state;
    uint64_t at;
    uint32_t len;

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    at = post(f, 2048);
    arrive(f, "52:54:0:1:2:3", 60, HEADER);
    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    assert_int_equal(len, HEADER + 60);
    assert_int_equal(num_buffers(f, at), 1);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, at + HEADER + 59), 59);
    virtio_driver_settle(&f->drv);
    assert_true(virtio_driver_interrupts(&f->drv, 0) > 0);
}

static void
test_receive_plain(void **state)
{
    Fixture *f = *state;
    uint64_t at;
    uint32_t len;

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    at = post(f, 2048);
    memset(virtio_driver_memory(&f->drv, at), 0xff, HEADER);
    arrive(f, "52:54:0:1:2:3", 60, 0);
    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    assert_int_equal(len, HEADER + 60);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, at), 0);
    assert_int_equal(num_buffers(f, at), 1);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, at + HEADER), 0x52);
}

/* A large packet takes as many buffers as it needs, and waits for those that are missing. */
static void
test_receive_merged(void **state)
{
    Fixture *f = *state;
    uint64_t at[5];
    uint32_t len, sum = 0;

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    for (unsigned i = 0; i < 3; i++)
        at[i] = post(f, 1000);
    arrive(f, "52:54:0:1:2:3", 4500, HEADER);
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[0]));
    at[3] = post(f, 1000);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[0]));
    at[4] = post(f, 1000);
    for (unsigned i = 0; i < 5; i++) {
        virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
        sum += len;
    }
    assert_int_equal(sum, 4500 + HEADER);
    assert_int_equal(num_buffers(f, at[0]), 5);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, at[3] + 10), (uint8_t)(3010 - 12));
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, at[4] + 500), (uint8_t)(4500 - 12));
}

static void
test_receive_too_long(void **state)
{
    Fixture *f = *state;
    VirtioNetStats stats;
    uint32_t len;

    virtio_driver_start(&f->drv, FEATURES & ~VIRTIO_F(F_MRG), 3, SIZE);
    post(f, 200);
    arrive(f, "52:54:0:1:2:3", 1000, HEADER);
    arrive(f, "52:54:0:1:2:3", 100, HEADER);
    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    assert_int_equal(len, HEADER + 100);
    virtio_driver_settle(&f->drv);
    assert_true(virtio_net_stats(f->dev, &stats));
    assert_int_equal(stats.rx_dropped, 1);
    assert_int_equal(stats.rx_packets, 1);
    assert_int_equal(stats.rx_bytes, 100);
}

/* Without buffers the back end is not asked, however many packets there are. */
static void
test_no_buffers_no_polling(void **state)
{
    Fixture *f = *state;
    unsigned before;

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    arrive(f, "52:54:0:1:2:3", 60, HEADER);
    virtio_driver_settle(&f->drv);
    assert_false(f->net->want[0]);
    before = f->net->receives;
    for (unsigned i = 0; i < 10; i++)
        arrive(f, "52:54:0:1:2:3", 60, HEADER);
    assert_int_equal(f->net->receives, before);
    post(f, 2048);
    virtio_driver_wait(&f->drv, &f->drv.q[0], NULL);
}

/* Runs a command and returns the answer. */
static uint8_t
control(Fixture *f, unsigned queue, uint8_t class, uint8_t command, const void *data, uint32_t len)
{
    uint64_t head = virtio_driver_alloc(&f->drv, 2), body = virtio_driver_alloc(&f->drv, len + 1);
    uint64_t ack = virtio_driver_alloc(&f->drv, 1);
    DriverBuffer buffers[3] = { { head, 2, false }, { body, len, false }, { ack, 1, true } };
    uint8_t bytes[2] = { class, command };

    memcpy(virtio_driver_memory(&f->drv, head), bytes, 2);
    if (len)
        memcpy(virtio_driver_memory(&f->drv, body), data, len);
    virtio_driver_add(&f->drv, &f->drv.q[queue], buffers, 3, false);
    virtio_driver_wait(&f->drv, &f->drv.q[queue], NULL);
    return *(uint8_t *)virtio_driver_memory(&f->drv, ack);
}

static bool
passes(Fixture *f, const char *dst)
{
    bool passed;

    arrive(f, dst, 60, HEADER);
    virtio_driver_settle(&f->drv);
    passed = virtio_driver_has_used(&f->drv, &f->drv.q[0]);
    if (passed) {
        virtio_driver_wait(&f->drv, &f->drv.q[0], NULL);
        post(f, 2048);
    }
    return passed;
}

static void
test_filter(void **state)
{
    Fixture *f = *state;
    uint8_t off = 0, on = 1, mac[6] = { 0x52, 0x54, 0, 9, 9, 9 };
    uint8_t table[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1 };

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    post(f, 2048);
    assert_true(passes(f, "2:0:0:0:0:9"));
    assert_int_equal(control(f, 2, 0, 0, &off, 1), 0);
    assert_false(passes(f, "2:0:0:0:0:9"));
    assert_true(passes(f, "52:54:0:1:2:3"));
    assert_true(passes(f, "ff:ff:ff:ff:ff:ff"));
    assert_false(passes(f, "33:33:0:0:0:1"));
    assert_int_equal(control(f, 2, 1, 0, table, sizeof(table)), 0);
    assert_true(passes(f, "33:33:0:0:0:1"));
    assert_true(passes(f, "2:0:0:0:0:1"));
    assert_false(passes(f, "33:33:0:0:0:2"));
    assert_int_equal(control(f, 2, 0, 1, &on, 1), 0);
    assert_true(passes(f, "33:33:0:0:0:2"));
    assert_int_equal(control(f, 2, 0, 5, &on, 1), 0);
    assert_false(passes(f, "ff:ff:ff:ff:ff:ff"));
    assert_int_equal(control(f, 2, 1, 1, mac, 6), 0);
    assert_true(passes(f, "52:54:0:9:9:9"));
    assert_false(passes(f, "52:54:0:1:2:3"));
    assert_int_equal(virtio_driver_config(&f->drv, 4, 2), 0x0909);
}

static void
test_bad_commands(void **state)
{
    Fixture *f = *state;
    uint8_t table[4] = { 0xff, 0xff, 0xff, 0xff }, vlan[2] = { 0xff, 0xff }, pairs[2] = { 3, 0 };
    uint64_t offloads = VIRTIO_F(40);

    virtio_driver_start(&f->drv, FEATURES | VIRTIO_F(F_MQ), 5, SIZE);
    assert_int_equal(control(f, 4, 1, 0, table, 4), 1);
    assert_int_equal(control(f, 4, 1, 1, table, 4), 1);
    assert_int_equal(control(f, 4, 2, 0, vlan, 2), 1);
    assert_int_equal(control(f, 4, 4, 0, pairs, 2), 1);
    pairs[0] = 0;
    assert_int_equal(control(f, 4, 4, 0, pairs, 2), 1);
    assert_int_equal(control(f, 4, 5, 0, &offloads, 8), 1);
    assert_int_equal(control(f, 4, 0, 9, table, 1), 1);
    assert_int_equal(control(f, 4, 99, 0, NULL, 0), 1);
    assert_int_equal(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET, 0);
}

static void
test_multiqueue(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 100), 72, false };
    uint8_t pairs[2] = { 2, 0 };

    virtio_driver_start(&f->drv, FEATURES | VIRTIO_F(F_MQ), 5, SIZE);
    assert_int_equal(f->net->used, 1);
    assert_null(f->net->loop[1]);
    assert_int_equal(control(f, 4, 4, 0, pairs, 2), 0);
    assert_int_equal(f->net->used, 2);
    assert_non_null(f->net->loop[1]);
    virtio_driver_add(&f->drv, &f->drv.q[3], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[3], NULL);
    pairs[0] = 1;
    assert_int_equal(control(f, 4, 4, 0, pairs, 2), 0);
    assert_null(f->net->loop[1]);
}

static void
test_offloads(void **state)
{
    Fixture *f = *state;
    uint64_t bits = VIRTIO_F(F_GUEST_CSUM);

    virtio_driver_start(&f->drv,
                        FEATURES | VIRTIO_F(F_GUEST_CSUM) | VIRTIO_F(F_GUEST_TSO4) |
                            VIRTIO_F(F_CTRL_OFFLOADS),
                        3, SIZE);
    assert_int_equal(f->net->offload, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    assert_int_equal(control(f, 2, 5, 0, &bits, 8), 0);
    assert_int_equal(f->net->offload, NET_OFFLOAD_CSUM);
    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    assert_int_equal(f->net->offload, 0);
}

static void
test_link(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 100), 72, false };

    virtio_driver_start(&f->drv, FEATURES, 3, SIZE);
    post(f, 2048);
    assert_true(virtio_net_set_link(f->dev, false));
    assert_int_equal(virtio_driver_config(&f->drv, 6, 2), 0);
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(f->net->sent->len, 0);
    arrive(f, "52:54:0:1:2:3", 60, HEADER);
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[0]));
    assert_true(virtio_net_set_link(f->dev, true));
    virtio_driver_wait(&f->drv, &f->drv.q[0], NULL);
    net_backend_set_link(&f->net->base, false);
    assert_int_equal(virtio_driver_config(&f->drv, 6, 2), 0);
    net_backend_set_link(&f->net->base, true);
    assert_int_equal(virtio_driver_config(&f->drv, 6, 2), 1);
}

static void
test_refused(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "in use", "virtio-net-pci", "netdev", "n0", NULL);
    fake_device_refused(f->fake, "nope", "virtio-net-pci", "netdev", "nope", NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_PLAIN(fn) cmocka_unit_test_setup_teardown(fn, setup_plain, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config),
        TEST_PLAIN(test_plain_offers),
        TEST(test_send),
        TEST_PLAIN(test_send_plain),
        TEST(test_send_waits),
        TEST(test_send_too_short),
        TEST(test_receive),
        TEST_PLAIN(test_receive_plain),
        TEST(test_receive_merged),
        TEST(test_receive_too_long),
        TEST(test_no_buffers_no_polling),
        TEST(test_filter),
        TEST(test_bad_commands),
        TEST(test_multiqueue),
        TEST(test_offloads),
        TEST(test_link),
        TEST(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
