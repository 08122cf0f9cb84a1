/* test_hw_e1000.c - Intel's gigabit cards over a back end made by hand.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"

#include "hw/core/bytes.h"
#include "net/frame.h"
#include "hw/pci/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 4 << 20,
    SLOT = 5,
    BDF = SLOT << 3,
    CTRL = 0x0000,
    STATUS = 0x0008,
    EECD = 0x0010,
    EERD = 0x0014,
    MDIC = 0x0020,
    ICR = 0x00c0,
    IMS = 0x00d0,
    RCTL = 0x0100,
    TCTL = 0x0400,
    RX = 0x2800,
    TX = 0x3800,
    RING = 0x10000, /* in guest memory */
    RX_RING = 0x20000,
    RX_RING1 = 0x28000,
    DATA = 0x40000,
    BUFFERS = 0x80000,
    RING_SIZE = 8,
    EOP = 1 << 24,
    RS = 1 << 27,
    DEXT = 1 << 29,
    TSE = 1 << 26,
    DD = 1,
};
#define BAR UINT64_C(0xc1000000)

typedef struct {
    FakeMachine *fake;
    FakeNet *net;
    Device *dev;
    uint32_t tail;
} Fixture;

static uint32_t
get(Fixture *f, unsigned reg)
{
    return (uint32_t)fake_read(f->fake, BAR + reg, 4);
}

static void
set(Fixture *f, unsigned reg, uint32_t value)
{
    fake_write(f->fake, BAR + reg, 4, value);
}

static void
ring(Fixture *f, unsigned reg, uint32_t at, unsigned n)
{
    set(f, reg, at);
    set(f, reg + 4, 0);
    set(f, reg + 8, n * 16);
    set(f, reg + 0x10, 0);
    set(f, reg + 0x18, 0);
}

static Fixture *
start(const char *model)
{
    Fixture *f = g_new0(Fixture, 1);
    PciRoot *root;

    f->fake = fake_machine_new_q35(RAM);
    f->net = fake_net_new(f->fake, "n0", 1, NET_CAP_HEADER);
    f->net->header_len = 99;
    f->dev = fake_device(f->fake, model, "id", "net0", "netdev", "n0", "mac", "52:54:00:01:02:03",
                         "addr", "0x5", NULL);
    root = f->fake->machine->pci;
    pci_config_write(root, BDF, 0x10, 4, (uint32_t)BAR);
    pci_config_write(root, BDF, 4, 2, 7);
    machine_set_running(f->fake->machine, true);
    ring(f, TX, RING, RING_SIZE);
    ring(f, RX, RX_RING, RING_SIZE);
    set(f, TCTL, 2);
    for (unsigned i = 0; i < RING_SIZE; i++)
        bytes_store(f->fake->ram + RX_RING + 16 * i, BUFFERS + 2048 * i, 8);
    set(f, RCTL, 1 << 1 | 1 << 15 | 1 << 26); /* on, broadcasts, without check sequence */
    return f;
}

static int
setup(void **state)
{
    *state = start("e1000");
    return 0;
}

static int
setup_e(void **state)
{
    *state = start("e1000e");
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

/* Writes a descriptor and hands it over. */
static uint8_t *
give(Fixture *f, uint64_t low, uint32_t command, uint32_t options)
{
    uint8_t *d = f->fake->ram + RING + 16 * f->tail;

    bytes_store(d, low, 8);
    bytes_store(d + 8, command, 4);
    bytes_store(d + 12, options, 4);
    f->tail = (f->tail + 1) % RING_SIZE;
    set(f, TX + 0x18, f->tail);
    fake_net_settle(f->net);
    return d;
}

static void
frame_to(uint8_t *frame, size_t len, const char *mac)
{
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)i;
    memcpy(frame, mac, 6);
    frame[12] = 8;
    frame[13] = 0;
}

/* ---- what lies beside the registers ---- */

static void
check_nvm(Fixture *f, unsigned shift, uint32_t done)
{
    uint16_t sum = 0, words[3];

    for (unsigned i = 0; i < 64; i++) {
        uint32_t value;

        set(f, EERD, i << shift | 1);
        value = get(f, EERD);
        assert_true(value & done);
        if (i < 3)
            words[i] = (uint16_t)(value >> 16);
        sum = (uint16_t)(sum + (value >> 16));
    }
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(words[0], 0x5452);
    assert_int_equal(words[1], 0x0100);
    assert_int_equal(words[2], 0x0302);
    assert_int_equal(get(f, 0x5400), 0x01005452);
    assert_int_equal(get(f, 0x5404), 0x80000302);
}

static void
test_nvm(void **state)
{
    check_nvm(*state, 8, 1 << 4);
}

static void
test_nvm_e(void **state)
{
    check_nvm(*state, 2, 1 << 1);
}

static unsigned
wire_bit(Fixture *f, unsigned in)
{
    set(f, EECD, 1 << 6 | 2 | in << 2);
    set(f, EECD, 1 << 6 | 3 | in << 2);
    return get(f, EECD) >> 3 & 1;
}

/* As drivers of old cards read it: pin by pin. */
static void
test_nvm_wire(void **state)
{
    Fixture *f = *state;
    unsigned command = 6 << 6 | 2, word = 0; /* read word 2 */

    set(f, EECD, 1 << 6);
    assert_true(get(f, EECD) & 1 << 7);
    for (int i = 8; i >= 0; i--)
        assert_true(wire_bit(f, command >> i & 1) == (i > 0));
    for (unsigned i = 0; i < 16; i++)
        word = word << 1 | wire_bit(f, 0);
    assert_int_equal(word, 0x0302);
    set(f, EECD, 1 << 6);
}

static uint32_t
phy_read(Fixture *f, unsigned address, unsigned reg)
{
    set(f, MDIC, 2 << 26 | address << 21 | reg << 16);
    return get(f, MDIC);
}

static void
test_phy(void **state)
{
    Fixture *f = *state;

    assert_int_equal(phy_read(f, 1, 2) & 0xffff, 0x0141);
    assert_int_equal(phy_read(f, 1, 3) & 0xffff, 0x0c20);
    assert_true(phy_read(f, 1, 1) & 1 << 2);
    assert_true(phy_read(f, 2, 2) & 1 << 30);
    assert_true(get(f, STATUS) & 2);
    net_backend_set_link(&f->net->base, false);
    assert_false(get(f, STATUS) & 2);
    assert_false(phy_read(f, 1, 1) & 1 << 2);
    assert_true(get(f, ICR) & 1 << 2);
    assert_int_equal(get(f, ICR), 0);
}

/* ---- sending ---- */

static void
test_send(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA, *d;
    unsigned edges = 0;

    frame_to(frame, 100, "\x52\x54\x00\x11\x22\x33");
    set(f, IMS, 1);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        edges += f->fake->gsi_edges[i];
    give(f, DATA, 40, 0);
    assert_int_equal(f->net->sent->len, 0); /* its end is missing */
    d = give(f, DATA + 40, 60 | EOP | RS, 0);
    assert_int_equal(f->net->sent->len, 1);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 100);
    assert_memory_equal(g_bytes_get_data(f->net->sent->pdata[0], NULL), frame, 100);
    assert_int_equal(d[12] & DD, DD);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        edges -= f->fake->gsi_edges[i];
    assert_int_equal(edges, (unsigned)-1); /* one line rose once */
    assert_int_equal(get(f, ICR) & 3, 3);
    assert_int_equal(get(f, 0x4080), 1); /* counted, and cleared by that */
    assert_int_equal(get(f, 0x4080), 0);
    assert_int_equal(f->net->header_len, 0);
}

static void
writable(void *opaque)
{
    net_backend_writable(&((Fixture *)opaque)->net->base, 0);
}

/* A back end without room loses nothing. */
static void
test_send_later(void **state)
{
    Fixture *f = *state;

    frame_to(f->fake->ram + DATA, 100, "\x52\x54\x00\x11\x22\x33");
    f->net->full = true;
    give(f, DATA, 100 | EOP, 0);
    give(f, DATA, 90 | EOP, 0);
    assert_int_equal(f->net->sent->len, 0);
    f->net->full = false;
    io_loop_run_sync(f->net->loop[0], writable, f);
    fake_net_settle(f->net);
    assert_int_equal(f->net->sent->len, 2);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 100);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[1]), 90);
}

static void
test_tag(void **state)
{
    Fixture *f = *state;
    const uint8_t *sent;

    frame_to(f->fake->ram + DATA, 100, "\x52\x54\x00\x11\x22\x33");
    set(f, CTRL, 1 << 30);
    give(f, DATA, 100 | EOP | 1 << 30, 0x0123u << 16);
    assert_int_equal(f->net->sent->len, 1);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 104);
    sent = g_bytes_get_data(f->net->sent->pdata[0], NULL);
    assert_memory_equal(sent + 12, "\x81\x00\x01\x23\x08\x00", 6);
}

/* The sum over a pseudo header and @len bytes, computed anew: right when it is all ones. */
static uint16_t
tcp_sum(const uint8_t *frame, size_t len)
{
    const uint8_t *ip = frame + 14, *tcp = ip + 20;
    uint32_t size = (uint32_t)(len - 34), sum = 6 + size;

    for (unsigned i = 12; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    for (uint32_t i = 0; i < size; i++)
        sum += i % 2 ? tcp[i] : (uint32_t)tcp[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static uint16_t
ip_sum(const uint8_t *ip)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* 54 bytes of headers and 2,500 of data, as a driver leaves them for the card. */
static void
tcp_frame(uint8_t *frame)
{
    static const uint8_t ip[] = { 0x45, 0, 0,  0, 0x12, 0x34, 0x40, 0, 64, 6,
                                  0,    0, 10, 0, 2,    15,   10,   0, 2,  2 };
    uint32_t sum = 6;

    frame_to(frame, 2554, "\x52\x54\x00\x11\x22\x33");
    memcpy(frame + 14, ip, sizeof(ip));
    memset(frame + 34, 0, 20);
    frame[34 + 7] = 100; /* sequence */
    frame[34 + 12] = 0x50;
    frame[34 + 13] = 0x19; /* FIN, PSH, ACK */
    for (unsigned i = 12; i < 20; i += 2)
        sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
    frame[34 + 16] = (uint8_t)(sum >> 8);
    frame[34 + 17] = (uint8_t)sum;
}

static uint64_t
context(void)
{
    return 14 | 24 << 8 | 33 << 16 | UINT64_C(34) << 32 | UINT64_C(50) << 40;
}

static void
test_segments(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA;
    static const size_t sizes[] = { 1054, 1054, 554 };

    tcp_frame(frame);
    give(f, context(), DEXT | TSE | 1 << 24 | 1 << 25 | 2500, 54 << 8 | 1000u << 16);
    give(f, DATA, DEXT | 1 << 20 | EOP | RS | TSE | 2554, 3 << 8);
    assert_int_equal(f->net->sent->len, 3);
    for (unsigned i = 0; i < 3; i++) {
        size_t len;
        const uint8_t *p = g_bytes_get_data(f->net->sent->pdata[i], &len);

        assert_int_equal(len, sizes[i]);
        assert_int_equal(p[16] << 8 | p[17], len - 14);
        assert_int_equal(p[18] << 8 | p[19], 0x1234 + i);
        assert_int_equal(ip_sum(p + 14), 0xffff);
        assert_int_equal(tcp_sum(p, len), 0xffff);
        assert_int_equal(p[40] << 8 | p[41], 100 + 1000 * i);
        assert_int_equal(p[34 + 13], i == 2 ? 0x19 : 0x10);
        assert_memory_equal(p + 54, frame + 54 + 1000 * i, len - 54);
    }
}

static void
test_checksum(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA;
    const uint8_t *p;

    tcp_frame(frame);
    frame[17] = 120; /* the whole IP packet */
    /* without segmentation the driver's sum has the length */
    bytes_store(frame + 50, GUINT16_SWAP_LE_BE(GUINT16_SWAP_LE_BE(bytes_load16(frame + 50)) + 100),
                2);
    give(f, context(), DEXT | 1 << 24 | 1 << 25, 0);
    give(f, DATA, DEXT | 1 << 20 | EOP | 134, 3 << 8);
    assert_int_equal(f->net->sent->len, 1);
    p = g_bytes_get_data(f->net->sent->pdata[0], NULL);
    assert_int_equal(ip_sum(p + 14), 0xffff);
    assert_int_equal(tcp_sum(p, 134), 0xffff);
}

/* Nonsense in rings, descriptors and contexts sends nothing and hurts nobody. */
static void
test_nonsense(void **state)
{
    Fixture *f = *state;

    give(f, RAM - 10, 100 | EOP | RS, 0);                    /* beyond memory */
    give(f, BAR, 100 | EOP | RS, 0);                         /* registers, its own */
    give(f, context(), DEXT | TSE, 200 << 8);                /* pieces of nothing */
    give(f, DATA, DEXT | 1 << 20 | EOP | TSE | 100, 3 << 8); /* header beyond the frame, too */
    give(f, UINT64_MAX, DEXT | TSE | 0xfffff, UINT32_MAX & ~1u);
    give(f, DATA, DEXT | 1 << 20 | EOP | TSE | 0xfffff, UINT32_MAX);
    give(f, DATA, DEXT | 15 << 20 | EOP | 100, 0); /* no such kind */
    assert_int_equal(f->net->sent->len, 0);
    set(f, TX + 0x18, 0xffff); /* tail beyond the ring */
    fake_net_settle(f->net);
    set(f, TX + 8, 0); /* no ring */
    set(f, TX + 0x18, 1);
    fake_net_settle(f->net);
    set(f, TX, 0xfffffff0); /* not memory */
    set(f, TX + 4, UINT32_MAX >> 8);
    set(f, TX + 8, 128);
    set(f, TX + 0x10, 0);
    set(f, TX + 0x18, 3);
    fake_net_settle(f->net);
    assert_int_equal(f->net->sent->len, 0);
    assert_int_equal(get(f, TX + 0x10), 3); /* it went through them all the same */
}

/* More descriptors than any frame has, without an end: that frame is lost, the next is sent. */
static void
test_endless(void **state)
{
    Fixture *f = *state;

    ring(f, TX, RING, 512);
    for (unsigned i = 0; i < 300; i++) {
        bytes_store(f->fake->ram + RING + 16 * i, DATA, 8);
        bytes_store(f->fake->ram + RING + 16 * i + 8, 10 | (i == 298 ? EOP : 0), 8);
    }
    frame_to(f->fake->ram + DATA, 100, "\x52\x54\x00\x11\x22\x33");
    bytes_store(f->fake->ram + RING + 16 * 299 + 8, 100 | EOP, 8);
    set(f, TX + 0x18, 300);
    fake_net_settle(f->net);
    assert_int_equal(f->net->sent->len, 1);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 100);
}

/* ---- receiving ---- */

static void
arrive(Fixture *f, const char *mac, size_t len)
{
    uint8_t frame[4096];

    frame_to(frame, len, mac);
    fake_net_arrive(f->net, frame, len);
    fake_net_settle(f->net);
}

static void
test_receive(void **state)
{
    Fixture *f = *state;
    uint8_t frame[1514], *d = f->fake->ram + RX_RING;

    set(f, IMS, 1 << 7);
    set(f, RX + 0x18, 4);
    fake_net_settle(f->net);
    arrive(f, "\x52\x54\x00\x01\x02\x04", 100); /* somebody else's */
    assert_int_equal(get(f, RX + 0x10), 0);
    arrive(f, "\x52\x54\x00\x01\x02\x03", 1514);
    frame_to(frame, 1514, "\x52\x54\x00\x01\x02\x03");
    assert_int_equal(get(f, RX + 0x10), 1);
    assert_int_equal(bytes_load16(d + 8), 1514);
    assert_int_equal(d[12] & 3, 3);
    assert_memory_equal(f->fake->ram + BUFFERS, frame, 1514);
    assert_true(get(f, ICR) & 1 << 7);
    arrive(f, "\xff\xff\xff\xff\xff\xff", 20); /* short ones are filled up */
    assert_int_equal(bytes_load16(d + 16 + 8), 60);
    arrive(f, "\x01\x00\x5e\x00\x00\x01", 100);
    assert_int_equal(get(f, RX + 0x10), 2);
    set(f, 0x5200 + 4 * (0x010 >> 5), 1u << (0x010 & 31)); /* bits 47:36 of the address */
    arrive(f, "\x01\x00\x5e\x00\x00\x01", 100);
    assert_int_equal(get(f, RX + 0x10), 3);
}

/* A full ring stops packets where they come from. */
static void
test_receive_full(void **state)
{
    Fixture *f = *state;
    unsigned before;

    set(f, RX + 0x18, 2);
    fake_net_settle(f->net);
    arrive(f, "\x52\x54\x00\x01\x02\x03", 100);
    arrive(f, "\x52\x54\x00\x01\x02\x03", 100);
    assert_int_equal(get(f, RX + 0x10), 2);
    assert_false(f->net->want[0]);
    before = f->net->receives;
    arrive(f, "\x52\x54\x00\x01\x02\x03", 100);
    assert_int_equal(f->net->receives, before);
    set(f, RX + 0x18, 3);
    fake_net_settle(f->net);
    assert_int_equal(get(f, RX + 0x10), 3);
}

static void
test_receive_pieces(void **state)
{
    Fixture *f = *state;
    uint8_t *d = f->fake->ram + RX_RING;

    set(f, RCTL, get(f, RCTL) | 1 << 5 | 3 << 16); /* long frames, 256 bytes a buffer */
    set(f, RX + 0x18, 7);
    fake_net_settle(f->net);
    arrive(f, "\x52\x54\x00\x01\x02\x03", 600);
    assert_int_equal(get(f, RX + 0x10), 3);
    assert_int_equal(d[12] & 3, 1);
    assert_int_equal(d[16 + 12] & 3, 1);
    assert_int_equal(d[32 + 12] & 3, 3);
    assert_int_equal(bytes_load16(d + 32 + 8), 600 - 512);
}

static void
test_receive_tag(void **state)
{
    Fixture *f = *state;
    uint8_t frame[104], *d = f->fake->ram + RX_RING;

    set(f, CTRL, 1 << 30);
    set(f, RX + 0x18, 4);
    frame_to(frame, sizeof(frame), "\x52\x54\x00\x01\x02\x03");
    memcpy(frame + 12, "\x81\x00\x01\x23\x08\x00", 6);
    fake_net_arrive(f->net, frame, sizeof(frame));
    fake_net_settle(f->net);
    assert_int_equal(bytes_load16(d + 8), 100);
    assert_int_equal(bytes_load16(d + 14), 0x0123);
    assert_true(d[12] & 1 << 3);
    assert_memory_equal(f->fake->ram + BUFFERS + 12, "\x08\x00", 2);
    set(f, RCTL, get(f, RCTL) | 1 << 18); /* only tags of the table */
    fake_net_arrive(f->net, frame, sizeof(frame));
    fake_net_settle(f->net);
    assert_int_equal(get(f, RX + 0x10), 1);
    set(f, 0x5600 + 4 * (0x123 >> 5), 1u << (0x123 & 31));
    fake_net_arrive(f->net, frame, sizeof(frame));
    fake_net_settle(f->net);
    assert_int_equal(get(f, RX + 0x10), 2);
}

/* The key and the results of the verification suite that the makers of RSS publish. */
static void
test_rss(void **state)
{
    static const uint8_t key[] = { 0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                   0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                   0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                   0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa };
    static const uint8_t ip[] = { 0x45, 0, 0,  40, 0,   0,   0,   0,   64,  6,
                                  0,    0, 66, 9,  149, 187, 161, 142, 100, 80 };
    Fixture *f = *state;
    uint8_t frame[60] = { 0 }, *d = f->fake->ram + RX_RING1;

    memcpy(frame, "\x52\x54\x00\x01\x02\x03", 6);
    frame[12] = 8;
    memcpy(frame + 14, ip, sizeof(ip));
    memcpy(frame + 34, "\x0a\xea\x06\xe6", 4); /* ports 2794 and 1766 */
    ring(f, RX + 0x100, RX_RING1, RING_SIZE);
    bytes_store(d, BUFFERS, 8);
    set(f, 0x5008, 1 << 15);
    for (unsigned i = 0; i < 10; i++)
        set(f, 0x5c80 + 4 * i, bytes_load32(key + 4 * i));
    set(f, 0x5c00 + (0x51ccc178 & 127) / 4 * 4, 0x80u << 8 * (0x51ccc178 & 3));
    set(f, 0x5818, 1 | 1 << 16 | 1 << 17);
    set(f, RX + 0x18, 4);
    set(f, RX + 0x118, 4);
    fake_net_settle(f->net);
    fake_net_arrive(f->net, frame, sizeof(frame));
    fake_net_settle(f->net);
    assert_int_equal(get(f, RX + 0x10), 0);
    assert_int_equal(get(f, RX + 0x110), 1);
    assert_int_equal(bytes_load32(d), 1);
    assert_int_equal(bytes_load32(d + 4), 0x51ccc178);
    assert_int_equal(bytes_load32(d + 8) & 3, 3);
    assert_int_equal(bytes_load16(d + 12), 60);
    frame[14 + 9] = 17; /* not TCP: addresses only */
    fake_net_arrive(f->net, frame, sizeof(frame));
    fake_net_settle(f->net);
    assert_int_equal(bytes_load32(f->fake->ram + RX_RING + 4), 0x323e8fc2);
}

/* ---- life ---- */

static void
test_reset_and_state(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    set(f, 0x38, 0x88a8);
    give(f, context(), DEXT | TSE | 1 << 24 | 1 << 25, 54 << 8 | 1000u << 16);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    set(f, CTRL, 1 << 26);
    assert_int_equal(get(f, 0x38), 0x8100);
    assert_int_equal(get(f, TX + 8), 0);
    assert_int_equal(get(f, 0x5400), 0x01005452);
    assert_true(machine_load(f->fake->machine, saved->data, saved->len, &err));
    assert_int_equal(get(f, 0x38), 0x88a8);
    machine_set_running(f->fake->machine, true);
    tcp_frame(f->fake->ram + DATA); /* the context is still there */
    give(f, DATA, DEXT | 1 << 20 | EOP | TSE | 2554, 3 << 8);
    assert_int_equal(f->net->sent->len, 3);
    machine_reset(f->fake->machine);
    assert_int_equal(get(f, TX + 8), (uint32_t)-1); /* its BAR is gone */
}

static void
test_refusals(void **state)
{
    Fixture *f = *state;

    fake_net_new(f->fake, "n1", 1, 0);
    fake_device_refused(f->fake, "multicast", "e1000", "netdev", "n1", "mac", "01:00:00:00:00:01",
                        NULL);
    fake_device_refused(f->fake, "in use", "e1000", "netdev", "n0", NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nvm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nvm_e, setup_e, teardown),
        cmocka_unit_test_setup_teardown(test_nvm_wire, setup, teardown),
        cmocka_unit_test_setup_teardown(test_phy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_segments, setup_e, teardown),
        cmocka_unit_test_setup_teardown(test_checksum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup_e, teardown),
        cmocka_unit_test_setup_teardown(test_endless, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_receive_tag, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rss, setup_e, teardown),
        cmocka_unit_test_setup_teardown(test_reset_and_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
