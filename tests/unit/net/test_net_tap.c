/* test_net_tap.c - a real tap in a network namespace of the test's own: the kernel answers an ARP
 * request that goes out through the back end. Skips where the host gives no tap.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEADER_MAX = 12, FRAME = 42 };

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

typedef struct {
    NetBackend *net;
    IoLoop *loop;
    int replies; /* atomic */
    int len;
    unsigned header; /* bytes before each frame */
} Fixture;

static int
open_file(void *opaque, const char *path, int flags, GError **err)
{
    int fd = open(path, flags);

    (void)opaque;
    if (fd < 0)
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_FAILED, "%s: %s", path, g_strerror(errno));
    return fd;
}

static NetBackend *
open_tap(const char *queues)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    NetOpenOps ops = { .open_file = open_file };
    NetBackend *net;

    g_hash_table_insert(props, (char *)"type", (char *)"tap");
    g_hash_table_insert(props, (char *)"id", (char *)"n0");
    g_hash_table_insert(props, (char *)"ifname", (char *)"kvtest0");
    g_hash_table_insert(props, (char *)"script", (char *)"no");
    g_hash_table_insert(props, (char *)"queues", (char *)queues);
    net = net_backend_open(props, &ops, &err);
    if (!net)
        print_message("%s\n", err->message);
    return net;
}

/* 10.9.9.1/8 and up. */
static bool
interface_up(void)
{
    struct ifreq req = { .ifr_name = "kvtest0" };
    struct sockaddr_in *addr = (struct sockaddr_in *)&req.ifr_addr;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool ok;

    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(0x0a090901);
    ok = ioctl(fd, SIOCSIFADDR, &req) == 0;
    req.ifr_flags = IFF_UP | IFF_RUNNING;
    ok = ok && ioctl(fd, SIOCSIFFLAGS, &req) == 0;
    close(fd);
    return ok;
}

static void
readable(void *opaque, unsigned queue)
{
    Fixture *f = opaque;
    uint8_t buf[2048];
    struct iovec iov = { buf, sizeof(buf) };
    ssize_t n;

    while ((n = net_queue_receive(f->net, queue, &iov, 1)) > 0) {
        const uint8_t *frame = buf + f->header;

        if (n >= f->header + FRAME && frame[12] == 8 && frame[13] == 6 && frame[21] == 2 &&
            memcmp(frame, mac, 6) == 0) {
            f->len = (int)n;
            g_atomic_int_inc(&f->replies);
        }
    }
}

static const NetFrontend frontend = { .readable = readable };

static void
ask(void *opaque)
{
    static const uint8_t head[] = { 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 };
    Fixture *f = opaque;
    uint8_t packet[HEADER_MAX + FRAME] = { 0 }, *frame = packet + f->header;
    struct iovec iov[2] = { { packet, f->header }, { frame, FRAME } };

    memset(frame, 0xff, 6);
    memcpy(frame + 6, mac, 6);
    memcpy(frame + 12, head, sizeof(head));
    memcpy(frame + 22, mac, 6);
    memcpy(frame + 28, "\x0a\x09\x09\x02", 4);
    memcpy(frame + 38, "\x0a\x09\x09\x01", 4);
    assert_int_equal(net_queue_send(f->net, 0, iov, 2), f->header + FRAME);
}

static bool
answered(Fixture *f)
{
    for (int i = 0; i < 2000 && g_atomic_int_get(&f->replies) == 0; i++)
        g_usleep(1000);
    return g_atomic_int_get(&f->replies) > 0;
}

static void
ask_and_answer(unsigned header)
{
    Fixture f = { .header = header };

    f.net = open_tap("2");
    if (!f.net || !interface_up()) {
        net_backend_free(f.net);
        skip();
    }
    f.loop = io_loop_new("tap", NULL);
    assert_int_equal(net_backend_queues(f.net), 2);
    assert_true(net_backend_caps(f.net) & NET_CAP_HEADER);
    assert_int_equal(net_backend_set_header_len(f.net, header), 0);
    assert_int_equal(net_backend_set_offload(f.net, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4), 0);
    assert_int_equal(net_backend_set_offload(f.net, 0), 0);
    assert_true(net_backend_attach(f.net, &frontend, &f, NULL));
    assert_int_equal(net_backend_use_queues(f.net, 2), 0);
    assert_int_equal(net_backend_use_queues(f.net, 1), 0);
    assert_int_equal(net_backend_use_queues(f.net, 3), -EINVAL);
    assert_int_equal(net_queue_start(f.net, 0, f.loop), 0);
    io_loop_run_sync(f.loop, ask, &f);
    assert_true(answered(&f));
    assert_int_equal(f.len, header + FRAME);
    /* no packets while none are wanted, and after a stop */
    net_queue_want_packets(f.net, 0, false);
    f.replies = 0;
    io_loop_run_sync(f.loop, ask, &f);
    g_usleep(50000);
    assert_int_equal(f.replies, 0);
    net_queue_want_packets(f.net, 0, true);
    assert_true(answered(&f));
    net_queue_stop(f.net, 0);
    net_backend_detach(f.net);
    net_backend_free(f.net);
    io_loop_free(f.loop);
}

static void
test_arp(void **state)
{
    (void)state;
    ask_and_answer(HEADER_MAX);
}

/* As cards do that are not virtio's: the interface has headers all the same. */
static void
test_arp_without_headers(void **state)
{
    (void)state;
    ask_and_answer(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_arp_without_headers),
    };

    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        print_message("skipped: no network namespace can be had (%s)\n", g_strerror(errno));
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
