/* test_net_user.c - user networking: a DHCP offer for packets made here, forwarded ports, options.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/backend.h"
#include "net/offload.h"
#include "net/user.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ETHER = 14,
    IP = 20,
    UDP = 8,
    BOOTP = 236,
    FRAME_MAX = 2048,
    DHCP_DISCOVER = 1,
    DHCP_OFFER = 2,
};

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

typedef struct {
    NetBackend *net;
    IoLoop *loop;
    GMutex lock;
    GCond changed;
    GPtrArray *packets; /* GBytes that came for the guest, without headers */
    unsigned header_len;
    uint8_t large[OFFLOAD_HEADER]; /* header of the last packet larger than the MTU */
} Fixture;

static NetBackend *
open_user(GError **err, ...)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    NetOpenOps ops = { 0 };
    const char *name;
    va_list args;

    g_hash_table_insert(props, (char *)"type", (char *)"user");
    g_hash_table_insert(props, (char *)"id", (char *)"n0");
    va_start(args, err);
    while ((name = va_arg(args, const char *)))
        g_hash_table_insert(props, (char *)name, va_arg(args, char *));
    va_end(args);
    return net_backend_open(props, &ops, err);
}

static void
readable(void *opaque, unsigned queue)
{
    Fixture *f = opaque;
    g_autofree uint8_t *data = g_malloc(NET_MAX_PACKET);
    struct iovec iov[2] = { { data, 100 }, { data + 100, NET_MAX_PACKET - 100 } };
    ssize_t n;

    while ((n = net_queue_receive(f->net, queue, iov, 2)) > (ssize_t)f->header_len) {
        size_t len = (size_t)n - f->header_len;

        g_mutex_lock(&f->lock);
        if (len > ETHER + OFFLOAD_MTU)
            memcpy(f->large, data, MIN(f->header_len, sizeof(f->large)));
        g_ptr_array_add(f->packets, g_bytes_new(data + f->header_len, len));
        g_cond_signal(&f->changed);
        g_mutex_unlock(&f->lock);
    }
    assert_int_equal(n, -EAGAIN);
}

static const NetFrontend frontend = { .readable = readable };

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->loop = io_loop_new("user", NULL);
    f->packets = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
    *state = f;
    return 0;
}

static void
start(Fixture *f)
{
    assert_true(net_backend_attach(f->net, &frontend, f, NULL));
    assert_int_equal(net_queue_start(f->net, 0, f->loop), 0);
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    if (f->net) {
        net_queue_stop(f->net, 0);
        net_backend_detach(f->net);
        net_backend_free(f->net);
    }
    io_loop_free(f->loop);
    g_ptr_array_unref(f->packets);
    g_free(f);
    return 0;
}

typedef struct {
    Fixture *f;
    const uint8_t *data;
    size_t len;
} SendCall;

static void
send_call(void *opaque)
{
    const SendCall *call = opaque;
    static const uint8_t header[12];
    struct iovec iov[3] = { { (void *)header, call->f->header_len },
                            { (void *)call->data, ETHER },
                            { (void *)(call->data + ETHER), call->len - ETHER } };

    assert_int_equal(net_queue_send(call->f->net, 0, iov, 3),
                     (ssize_t)(call->f->header_len + call->len));
}

static void
send_frame(Fixture *f, const uint8_t *data, size_t len)
{
    SendCall call = { f, data, len };

    io_loop_run_sync(f->loop, send_call, &call);
}

typedef struct {
    Fixture *f;
    bool want;
} WantCall;

static void
want_call(void *opaque)
{
    const WantCall *call = opaque;

    net_queue_want_packets(call->f->net, 0, call->want);
}

static void
want_packets(Fixture *f, bool want)
{
    WantCall call = { f, want };

    io_loop_run_sync(f->loop, want_call, &call);
}

/* Waits for a packet that @match likes. */
static GBytes *
wait_packet(Fixture *f, bool (*match)(const uint8_t *data, size_t len))
{
    gint64 end = g_get_monotonic_time() + 10 * G_TIME_SPAN_SECOND;
    GBytes *found = NULL;
    guint seen = 0;

    g_mutex_lock(&f->lock);
    while (!found) {
        for (; seen < f->packets->len && !found; seen++) {
            size_t len;
            const uint8_t *data = g_bytes_get_data(f->packets->pdata[seen], &len);

            if (match(data, len))
                found = g_bytes_ref(f->packets->pdata[seen]);
        }
        if (!found && !g_cond_wait_until(&f->changed, &f->lock, end))
            break;
    }
    g_mutex_unlock(&f->lock);
    if (!found)
        fail_msg("no such packet came");
    return found;
}

static void
put16(uint8_t *at, unsigned v)
{
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

static unsigned
checksum(const uint8_t *data, size_t len)
{
    unsigned sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += (unsigned)(data[i] << 8 | data[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* A discover message of RFC 2131 in UDP in IPv4 in Ethernet. */
static size_t
make_discover(uint8_t *frame)
{
    static const uint8_t options[] = { 0x63, 0x82, 0x53, 0x63, 53, 1, DHCP_DISCOVER, 255 };
    size_t udp_len = UDP + BOOTP + sizeof(options);
    uint8_t *ip = frame + ETHER, *udp = ip + IP, *bootp = udp + UDP;

    memset(frame, 0, ETHER + IP + udp_len);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(IP + udp_len));
    ip[8] = 64;
    ip[9] = 17;
    memset(ip + 16, 0xff, 4);
    put16(ip + 10, checksum(ip, IP));
    put16(udp, 68);
    put16(udp + 2, 67);
    put16(udp + 4, (unsigned)udp_len);
    bootp[0] = 1;
    bootp[1] = 1;
    bootp[2] = 6;
    memcpy(bootp + 4, "kiln", 4);
    memcpy(bootp + 28, guest_mac, 6);
    memcpy(bootp + BOOTP, options, sizeof(options));
    return ETHER + IP + udp_len;
}

static bool
is_offer(const uint8_t *data, size_t len)
{
    const uint8_t *bootp = data + ETHER + IP + UDP;

    return len > ETHER + IP + UDP + BOOTP + 7 && data[ETHER + 9] == 17 &&
           memcmp(bootp + 4, "kiln", 4) == 0 && bootp[BOOTP + 6] == DHCP_OFFER;
}

static void
test_dhcp(void **state)
{
    Fixture *f = *state;
    g_autoptr(GBytes) offer = NULL;
    uint8_t frame[FRAME_MAX];
    const uint8_t *bootp;

    f->net = open_user(NULL, "net", "192.168.50.0/24", "dhcpstart", "192.168.50.77", NULL);
    assert_non_null(f->net);
    assert_int_equal(net_backend_caps(f->net), NET_CAP_HEADER);
    start(f);
    send_frame(f, frame, make_discover(frame));
    offer = wait_packet(f, is_offer);
    bootp = (const uint8_t *)g_bytes_get_data(offer, NULL) + ETHER + IP + UDP;
    assert_memory_equal(bootp + 16, "\xc0\xa8\x32\x4d", 4);
}

static bool
is_syn(const uint8_t *data, size_t len)
{
    return len >= ETHER + IP + 20 && data[12] == 8 && data[13] == 0 && data[ETHER + 9] == 6 &&
           (data[ETHER + IP + 13] & 0x12) == 0x02 && data[ETHER + IP + 3] == 80;
}

static bool
is_arp(const uint8_t *data, size_t len)
{
    return len >= ETHER + 28 && data[12] == 8 && data[13] == 6;
}

/* Opens f->net with a port of the host's. */
static struct sockaddr_in
open_forwarded(Fixture *f)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t addr_len = sizeof(addr);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    g_autofree char *forward = NULL;

    assert_int_equal(bind(probe, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&addr, &addr_len), 0);
    close(probe);
    forward = g_strdup_printf("tcp:127.0.0.1:%d-:80", ntohs(addr.sin_port));
    f->net = open_user(NULL, "hostfwd", forward, NULL);
    assert_non_null(f->net);
    return addr;
}

/* Says who has the guest's address, when asked. */
static void
answer_arp(Fixture *f)
{
    g_autoptr(GBytes) arp = wait_packet(f, is_arp);
    const uint8_t *request = g_bytes_get_data(arp, NULL);
    uint8_t frame[64] = { 0 };

    memcpy(frame, request + 6, 6);
    memcpy(frame + 6, guest_mac, 6);
    memcpy(frame + 12, request + 12, 8);
    put16(frame + ETHER + 6, 2);
    memcpy(frame + ETHER + 8, guest_mac, 6);
    memcpy(frame + ETHER + 14, request + ETHER + 24, 4);
    memcpy(frame + ETHER + 18, request + ETHER + 8, 10);
    send_frame(f, frame, 60);
}

/* A segment without data; @mss 0: without that option. Acknowledges the SYN @answers, if any. */
static void
send_segment(Fixture *f, uint32_t host_address, unsigned ports[2], unsigned flags,
             uint32_t sequence, const uint8_t *answers, unsigned mss)
{
    size_t size = mss ? 24 : 20;
    uint8_t frame[ETHER + IP + 24] = { 0 }, *ip = frame + ETHER, *tcp = ip + IP;
    uint8_t pseudo[12 + 24] = { 0 };
    uint32_t guest = htonl(0x0a00020f), host = htonl(host_address);

    memcpy(frame, "\x52\x55\x0a\x00\x02\x02", 6);
    memcpy(frame + 6, guest_mac, 6);
    put16(frame + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(IP + size));
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, &guest, 4);
    memcpy(ip + 16, &host, 4);
    put16(ip + 10, checksum(ip, IP));
    put16(tcp, ports[0]);
    put16(tcp + 2, ports[1]);
    put16(tcp + 4, sequence >> 16);
    put16(tcp + 6, sequence & 0xffff);
    if (answers) {
        memcpy(tcp + 8, answers + ETHER + IP + 4, 4); /* a SYN counts as one */
        for (int i = 11; i >= 8 && ++tcp[i] == 0; i--)
            continue;
    }
    tcp[12] = (uint8_t)(size / 4 << 4);
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 0xffff);
    if (mss) {
        put16(tcp + 20, 0x0204);
        put16(tcp + 22, mss);
    }
    memcpy(pseudo, ip + 12, 8);
    pseudo[9] = 6;
    put16(pseudo + 10, (unsigned)size);
    memcpy(pseudo + 12, tcp, size);
    put16(tcp + 16, checksum(pseudo, 12 + size));
    send_frame(f, frame, ETHER + IP + size);
}

/* Connects to the forwarded port; the SYN that knocks at the guest's. */
static GBytes *
knock(Fixture *f, const struct sockaddr_in *addr, int *ret_fd)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
                errno == EINPROGRESS);
    answer_arp(f);
    *ret_fd = fd;
    return wait_packet(f, is_syn);
}

static void
test_forwarded_port(void **state)
{
    Fixture *f = *state;
    struct sockaddr_in addr = open_forwarded(f);
    g_autoptr(GBytes) syn = NULL;
    int fd;

    start(f);
    syn = knock(f, &addr, &fd);
    close(fd);
}

static bool
is_large(const uint8_t *data, size_t len)
{
    return len > ETHER + OFFLOAD_MTU && data[ETHER + 9] == 6;
}

/* A driver that takes many segments in one gets them so, however small the MSS that it offers. */
static void
test_large_packets(void **state)
{
    Fixture *f = *state;
    struct sockaddr_in addr = open_forwarded(f);
    g_autoptr(GBytes) syn = NULL, large = NULL;
    uint8_t text[20000] = { 0 };
    const uint8_t *tcp;
    int fd;

    f->header_len = 12;
    assert_int_equal(net_backend_set_header_len(f->net, 12), 0);
    assert_int_equal(net_backend_set_offload(f->net, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4), 0);
    start(f);
    syn = knock(f, &addr, &fd);
    tcp = (const uint8_t *)g_bytes_get_data(syn, NULL) + ETHER + IP;
    send_segment(f, 0x0a000202, (unsigned[]){ 80, (unsigned)tcp[0] << 8 | tcp[1] }, 0x12, 0,
                 tcp - ETHER - IP, OFFLOAD_MSS);
    assert_int_equal(send(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
    large = wait_packet(f, is_large);
    assert_memory_equal(f->large, "\x01\x01\x36\x00\xb4\x05\x22\x00\x10\x00", OFFLOAD_HEADER);
    close(fd);
}

static bool
is_syn_answer(const uint8_t *data, size_t len)
{
    return len >= ETHER + IP + 20 && data[12] == 8 && data[13] == 0 && data[ETHER + 9] == 6 &&
           (data[ETHER + IP + 13] & 0x12) == 0x12;
}

/* The 14th segment of the data: there were others before. */
static bool
is_far(const uint8_t *data, size_t len)
{
    return len > ETHER + IP + 20 && data[ETHER + 9] == 6 && data[ETHER + IP + 20] == 'z';
}

/* The stack does not heed the MSS of a guest that connects to a host: a driver of another kind gets
 * packets that fit all the same. */
static void
test_small_packets(void **state)
{
    Fixture *f = *state;
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t addr_len = sizeof(addr);
    g_autoptr(GBytes) answer = NULL, last = NULL;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    uint8_t text[20000];
    unsigned ports[2];

    memset(text, 'a', sizeof(text));
    memset(text + 15000, 'z', sizeof(text) - 15000);
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &addr_len), 0);
    ports[0] = 40000;
    ports[1] = ntohs(addr.sin_port);
    f->net = open_user(NULL, NULL);
    assert_non_null(f->net);
    start(f);
    send_segment(f, 0x0a000202, ports, 0x02, 1000, NULL, OFFLOAD_MSS);
    answer_arp(f);
    answer = wait_packet(f, is_syn_answer);
    fd = accept(listener, NULL, NULL);
    assert_true(fd >= 0);
    send_segment(f, 0x0a000202, ports, 0x10, 1001, g_bytes_get_data(answer, NULL), 0);
    assert_int_equal(send(fd, text, sizeof(text), 0), (ssize_t)sizeof(text));
    last = wait_packet(f, is_far);
    g_mutex_lock(&f->lock);
    for (guint i = 0; i < f->packets->len; i++)
        assert_true(g_bytes_get_size(f->packets->pdata[i]) <= ETHER + OFFLOAD_MTU);
    g_mutex_unlock(&f->lock);
    close(fd);
    close(listener);
}

/* More than all queues hold, to a guest that reads nothing: bounded, and alive afterwards. */
static void
test_unread(void **state)
{
    Fixture *f = *state;
    g_autoptr(GBytes) offer = NULL;
    uint8_t frame[FRAME_MAX];
    size_t len = make_discover(frame);

    f->net = open_user(NULL, NULL);
    start(f);
    want_packets(f, false);
    for (int i = 0; i < 2000; i++)
        send_frame(f, frame, len);
    assert_int_equal(f->packets->len, 0);
    want_packets(f, true);
    offer = wait_packet(f, is_offer);
    assert_true(f->packets->len < 1000);
}

/* Short and meaningless frames. */
static void
test_nonsense(void **state)
{
    Fixture *f = *state;
    g_autoptr(GBytes) offer = NULL;
    uint8_t frame[FRAME_MAX];
    size_t len = make_discover(frame);
    uint8_t whole[FRAME_MAX];

    memcpy(whole, frame, len);
    f->net = open_user(NULL, NULL);
    start(f);
    for (size_t n = ETHER; n < len; n += 3)
        send_frame(f, frame, n);
    for (size_t i = 12; i < ETHER + IP; i++) {
        memcpy(frame, whole, len);
        frame[i] ^= 0xff;
        send_frame(f, frame, len);
    }
    send_frame(f, whole, len);
    offer = wait_packet(f, is_offer);
}

static void
expect_refused(const char *text, const char *name, const char *value)
{
    g_autoptr(GError) err = NULL;

    assert_null(open_user(&err, name, value, NULL));
    assert_non_null(err);
    if (!strstr(err->message, text) || !strstr(err->message, "n0"))
        fail_msg("the message is \"%s\", expected \"%s\" in it", err->message, text);
}

static void
test_options(void **state)
{
    (void)state;
    expect_refused("no option 'smb'", "smb", "/tmp");
    expect_refused("net=10.0.2", "net", "10.0.2");
    expect_refused("not an address of the guest's network", "dns", "192.168.1.1");
    expect_refused("hostfwd=tcp::22", "hostfwd", "tcp::22");
    expect_refused("hostfwd=sctp::1-:2", "hostfwd", "sctp::1-:2");
    expect_refused("hostfwd=tcp::70000-:2", "hostfwd", "tcp::70000-:2");
    expect_refused("restrict=maybe", "restrict", "maybe");
    expect_refused("three addresses", "dns", "10.0.2.2");
    expect_refused("ipv6-prefixlen", "ipv6-prefixlen", "200");
}

static void
test_types(void **state)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    g_autofree char *help = net_backend_help();
    NetOpenOps ops = { 0 };

    (void)state;
    assert_non_null(strstr(help, "tap:"));
    assert_non_null(strstr(help, "user:"));
    assert_null(net_backend_open(props, &ops, &err));
    g_clear_error(&err);
    g_hash_table_insert(props, (char *)"id", (char *)"n1");
    g_hash_table_insert(props, (char *)"type", (char *)"vde");
    assert_null(net_backend_open(props, &ops, &err));
    assert_non_null(strstr(err->message, "'vde'"));
}

static int
take_fd(void *opaque, const char *text, GError **err)
{
    (void)opaque;
    (void)err;
    return dup(atoi(text));
}

/* A descriptor that is no tap is told apart, and closed. */
static void
test_tap_refused(void **state)
{
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        { "fd", "0", "is not a tap interface" },
        { "script", "/etc/up", "scripts are not run" },
        { "queues", "1000", "queues=1000" },
        { "ifname", "a-name-too-long-for-linux", "longer than 15" },
        { "vhost", "perhaps", "neither on nor off" },
    };
    NetOpenOps ops = { .take_fd = take_fd };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
        g_autoptr(GError) err = NULL;

        g_hash_table_insert(props, (char *)"id", (char *)"t0");
        g_hash_table_insert(props, (char *)"type", (char *)"tap");
        g_hash_table_insert(props, (char *)rows[i].name, (char *)rows[i].value);
        assert_null(net_backend_open(props, &ops, &err));
        if (!strstr(err->message, rows[i].text))
            fail_msg("the message is \"%s\", expected \"%s\" in it", err->message, rows[i].text);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_dhcp),
        TEST(test_forwarded_port),
        TEST(test_large_packets),
        TEST(test_small_packets),
        TEST(test_unread),
        TEST(test_nonsense),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_tap_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
