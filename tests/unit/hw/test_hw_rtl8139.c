/* test_hw_rtl8139.c - Realtek's RTL8139C+ in both of its modes over a back end made by hand.
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
    BDF = 5 << 3,
    TSD = 0x10,
    TSAD = 0x20,
    RBSTART = 0x30,
    CR = 0x37,
    CAPR = 0x38,
    CBR = 0x3a,
    IMR = 0x3c,
    ISR = 0x3e,
    TCR = 0x40,
    RCR = 0x44,
    EE = 0x50,
    CPCR = 0xe0,
    TX_RING = 0x10000, /* in guest memory */
    RX_RING = 0x20000,
    BUFFER = 0x40000,
    DATA = 0x80000,
    DUMP = 0xa0000,
    FS = 1 << 29,
    LS = 1 << 28,
    EOR = 1 << 30,
    OK = 1,
};
#define OWN (1u << 31)
#define BAR UINT64_C(0xc1000000)
#define US "\x52\x54\x00\x01\x02\x03"
#define PEER "\x52\x54\x00\x11\x22\x33"

typedef struct {
    FakeMachine *fake;
    FakeNet *net;
    unsigned tail;
} Fixture;

static uint32_t
get(Fixture *f, unsigned reg, unsigned size)
{
    return (uint32_t)fake_read(f->fake, BAR + reg, size);
}

static void
set(Fixture *f, unsigned reg, unsigned size, uint32_t value)
{
    fake_write(f->fake, BAR + reg, size, value);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->net = fake_net_new(f->fake, "n0", 1, NET_CAP_HEADER);
    fake_device(f->fake, "rtl8139", "id", "net0", "netdev", "n0", "mac", "52:54:00:01:02:03",
                "addr", "0x5", NULL);
    pci_config_write(f->fake->machine->pci, BDF, 0x14, 4, (uint32_t)BAR);
    pci_config_write(f->fake->machine->pci, BDF, 4, 2, 7);
    machine_set_running(f->fake->machine, true);
    set(f, CR, 1, 0x10);
    set(f, RBSTART, 4, BUFFER);
    set(f, RCR, 4, 0x0a); /* ours and broadcasts, 8 KiB */
    set(f, CR, 1, 0x0c);
    fake_net_settle(f->net);
    *state = f;
    return 0;
}

/* C+ mode: rings of eight descriptors. */
static int
setup_plus(void **state)
{
    Fixture *f;

    setup(state);
    f = *state;
    set(f, CR, 1, 0);
    set(f, CPCR, 2, 3);
    set(f, TSAD, 4, TX_RING);
    set(f, 0xe4, 4, RX_RING);
    for (unsigned i = 0; i < 8; i++) {
        bytes_store(f->fake->ram + RX_RING + 16 * i, OWN | 2048 | (i == 7 ? EOR : 0), 4);
        bytes_store(f->fake->ram + RX_RING + 16 * i + 8, BUFFER + 2048 * i, 8);
    }
    set(f, CR, 1, 0x0c);
    fake_net_settle(f->net);
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

static void
frame_to(uint8_t *frame, size_t len, const char *mac)
{
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)i;
    memcpy(frame, mac, 6);
    frame[12] = 8;
    frame[13] = 0;
}

static void
arrive(Fixture *f, const char *mac, size_t len)
{
    uint8_t frame[4096];

    frame_to(frame, len, mac);
    fake_net_arrive(f->net, frame, len);
    fake_net_settle(f->net);
}

static const uint8_t *
sent(Fixture *f, unsigned n, size_t *len)
{
    assert_true(n < f->net->sent->len);
    return g_bytes_get_data(f->net->sent->pdata[n], len);
}

/* ---- beside the rings ---- */

static unsigned
wire_bit(Fixture *f, unsigned in)
{
    set(f, EE, 1, 0x88 | in << 1);
    set(f, EE, 1, 0x8c | in << 1);
    return get(f, EE, 1) & 1;
}

/* @bits of address, as a driver tries both kinds of EEPROM. */
static unsigned
nvm_word(Fixture *f, unsigned bits, unsigned at)
{
    unsigned command = 6u << bits | at, word = 0;

    set(f, EE, 1, 0x80);
    set(f, EE, 1, 0x88);
    for (int i = 4 + (int)bits; i >= 0; i--)
        wire_bit(f, command >> i & 1);
    for (unsigned i = 0; i < 16; i++)
        word = word << 1 | wire_bit(f, 0);
    set(f, EE, 1, 0);
    return word;
}

static void
test_identity(void **state)
{
    Fixture *f = *state;

    assert_int_equal(nvm_word(f, 6, 0), 0x8129);
    assert_int_not_equal(nvm_word(f, 8, 0), 0x8129);
    assert_int_equal(nvm_word(f, 6, 1), 0x10ec);
    assert_int_equal(nvm_word(f, 6, 7), 0x5452);
    assert_int_equal(nvm_word(f, 6, 9), 0x0302);
    assert_int_equal(get(f, 0, 4), 0x01005452);
    assert_int_equal(get(f, 4, 2), 0x0302);
    assert_int_equal(get(f, TCR, 4) & 0x7cc00000, 0x74800000);
    set(f, 0x52, 1, 0xff); /* not without leave */
    assert_int_equal(get(f, 0x52, 1), 0x0c);
    set(f, 0, 4, 0);
    set(f, EE, 1, 0x40); /* from the EEPROM again */
    assert_int_equal(get(f, 0, 4), 0x01005452);
    assert_int_equal(get(f, EE, 1), 0);
}

static void
test_link(void **state)
{
    Fixture *f = *state;

    assert_int_equal(get(f, 0x58, 1) & 4, 0);
    assert_int_equal(get(f, 0x64, 2) & 0x24, 0x24);
    net_backend_set_link(&f->net->base, false);
    assert_int_equal(get(f, 0x58, 1) & 4, 4);
    assert_int_equal(get(f, 0x64, 2) & 0x24, 0);
    assert_int_equal(get(f, ISR, 2), 1 << 5);
    set(f, ISR, 2, 1 << 5);
    assert_int_equal(get(f, ISR, 2), 0);
}

static void
test_timer(void **state)
{
    Fixture *f = *state;

    set(f, 0x48, 4, 0);
    set(f, 0x54, 4, 1000);
    fake_advance(f->fake, 29999);
    assert_int_equal(get(f, ISR, 2), 0);
    assert_int_equal(get(f, 0x48, 4), 999);
    fake_advance(f->fake, 2);
    assert_int_equal(get(f, ISR, 2), 1 << 14);
}

/* ---- C mode ---- */

static void
test_slots(void **state)
{
    Fixture *f = *state;
    size_t len;
    const uint8_t *p;

    for (unsigned i = 0; i < 6; i++) {
        frame_to(f->fake->ram + DATA, 100 + i, PEER);
        set(f, TSAD + 4 * (i % 4), 4, DATA);
        set(f, TSD + 4 * (i % 4), 4, 100 + i);
        fake_net_settle(f->net);
        assert_int_equal(f->net->sent->len, i + 1);
        p = sent(f, i, &len);
        assert_int_equal(len, 100 + i);
        assert_memory_equal(p, f->fake->ram + DATA, len);
        assert_int_equal(get(f, TSD + 4 * (i % 4), 4) & 0xe000, 0xa000);
    }
    assert_int_equal(get(f, ISR, 2), 1 << 2);
    set(f, TSAD + 8, 4, RAM - 10); /* beyond memory */
    set(f, TSD + 8, 4, 100);
    fake_net_settle(f->net);
    assert_true(get(f, TSD + 8, 4) & 1 << 30);
    set(f, TSAD + 12, 4, DATA);
    set(f, TSD + 12, 4, 0x1fff); /* too long */
    fake_net_settle(f->net);
    assert_true(get(f, TSD + 12, 4) & 1 << 30);
    assert_int_equal(get(f, 0x60, 2), 0x30cf);
    set(f, TSD, 4, 20); /* short ones are filled up */
    fake_net_settle(f->net);
    sent(f, 6, &len);
    assert_int_equal(len, 60);
}

static void
writable(void *opaque)
{
    net_backend_writable(&((Fixture *)opaque)->net->base, 0);
}

static void
test_slots_later(void **state)
{
    Fixture *f = *state;

    f->net->full = true;
    for (unsigned i = 0; i < 4; i++) {
        set(f, TSAD + 4 * i, 4, DATA);
        set(f, TSD + 4 * i, 4, 100 + i);
    }
    fake_net_settle(f->net);
    set(f, TSD, 4, 500); /* it is the card's */
    assert_int_equal(f->net->sent->len, 0);
    f->net->full = false;
    io_loop_run_sync(f->net->loop[0], writable, f);
    fake_net_settle(f->net);
    assert_int_equal(f->net->sent->len, 4);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[0]), 100);
    assert_int_equal(g_bytes_get_size(f->net->sent->pdata[3]), 103);
}

static void
test_buffer(void **state)
{
    Fixture *f = *state;
    uint8_t frame[1514], *buffer = f->fake->ram + BUFFER;

    set(f, IMR, 2, OK);
    assert_int_equal(get(f, CR, 1), 0x0d);
    arrive(f, "\x52\x54\x00\x01\x02\x04", 100); /* somebody else's */
    assert_int_equal(get(f, CR, 1), 0x0d);
    arrive(f, US, 1514);
    assert_int_equal(get(f, CR, 1), 0x0c);
    assert_int_equal(bytes_load16(buffer), 1 | 1 << 14);
    assert_int_equal(bytes_load16(buffer + 2), 1518);
    frame_to(frame, 1514, US);
    assert_memory_equal(buffer + 4, frame, 1514);
    assert_int_equal(get(f, CBR, 2), 1524);
    assert_int_equal(get(f, ISR, 2), OK);
    arrive(f, "\xff\xff\xff\xff\xff\xff", 20);
    assert_int_equal(bytes_load16(buffer + 1524), 1 | 1 << 13);
    assert_int_equal(bytes_load16(buffer + 1526), 64);
    arrive(f, "\x01\x00\x5e\x00\x00\x01", 100);
    assert_int_equal(get(f, CBR, 2), 1524 + 68);
    set(f, RCR, 4, 0x0e);
    set(f, 0x08, 4, UINT32_MAX); /* the wrong half of the table */
    arrive(f, "\x01\x00\x5e\x00\x00\x01", 100);
    assert_int_equal(get(f, CBR, 2), 1524 + 68 + 108); /* 224.0.0.1: bit 31 */
    set(f, 0x08, 4, 0x7fffffff);
    arrive(f, "\x01\x00\x5e\x00\x00\x01", 100);
    assert_int_equal(get(f, CBR, 2), 1524 + 68 + 108);
}

/* A frame at the buffer's end goes on at its start, or behind its end, as RCR says. */
static void
run_wrap(Fixture *f, uint32_t rcr, bool split)
{
    uint8_t frame[1514], *buffer = f->fake->ram + BUFFER;

    frame_to(frame, 1514, US);
    set(f, RCR, 4, rcr);
    for (unsigned i = 0; i < 6; i++) {
        uint32_t at = get(f, CBR, 2), first = MIN(1514, 8192 - at - 4);

        memset(buffer, 0, 16384);
        arrive(f, US, 1514);
        assert_memory_equal(buffer + at + 4, frame, split ? first : 1514);
        if (split)
            assert_memory_equal(buffer, frame + first, 1514 - first);
        assert_int_equal(get(f, CBR, 2), (at + 1524) % 8192);
        set(f, CAPR, 2, (get(f, CBR, 2) - 16) & 0xffff);
        assert_true(get(f, CR, 1) & 1);
    }
}

static void
test_wrap(void **state)
{
    run_wrap(*state, 0x0a, true);
}

static void
test_no_wrap(void **state)
{
    run_wrap(*state, 0x8a, false);
}

static void
test_buffer_full(void **state)
{
    Fixture *f = *state;
    unsigned before;

    for (unsigned i = 0; i < 5; i++)
        arrive(f, US, 1514);
    before = f->net->receives;
    arrive(f, US, 1514); /* stays where it is */
    assert_int_equal(f->net->receives, before);
    assert_int_equal(get(f, CBR, 2), 5 * 1524);
    set(f, CAPR, 2, 5 * 1524 - 16);
    fake_net_settle(f->net);
    assert_int_equal(get(f, CBR, 2), 6 * 1524 % 8192);
    set(f, RBSTART, 4, RAM - 16); /* not memory, no harm */
    arrive(f, US, 1514);
    set(f, CAPR, 2, 0x1237); /* odd */
    arrive(f, US, 1514);
}

/* ---- C+ mode ---- */

static uint8_t *
give(Fixture *f, uint32_t word, uint32_t tag, uint64_t at)
{
    uint8_t *d = f->fake->ram + TX_RING + 16 * f->tail;

    f->tail = (f->tail + 1) % 8;
    bytes_store(d, word | OWN | (f->tail == 0 ? EOR : 0), 4);
    bytes_store(d + 4, tag, 4);
    bytes_store(d + 8, at, 8);
    return d;
}

static void
poll(Fixture *f)
{
    set(f, 0xd9, 1, 0x40);
    fake_net_settle(f->net);
}

static void
test_ring(void **state)
{
    Fixture *f = *state;
    const uint8_t *p;
    uint8_t *d;
    size_t len;

    frame_to(f->fake->ram + DATA, 100, PEER);
    for (unsigned i = 0; i < 10; i++) {
        d = give(f, FS | 40, 0, DATA);
        poll(f);
        assert_int_equal(f->net->sent->len, i); /* its end is missing */
        give(f, LS | 60, 0, DATA + 40);
        poll(f);
        p = sent(f, i, &len);
        assert_int_equal(len, 100);
        assert_memory_equal(p, f->fake->ram + DATA, 100);
        assert_false(bytes_load32(d) & OWN);
    }
    assert_int_equal(get(f, ISR, 2), 1 << 2 | 1 << 7);
    give(f, FS | LS | 100, 1 << 17 | 0x2301, DATA);
    poll(f);
    p = sent(f, 10, &len);
    assert_int_equal(len, 104);
    assert_memory_equal(p + 12, "\x81\x00\x01\x23\x08\x00", 6);
    set(f, TSD + 4, 4, 0);
    set(f, TSD, 4, DUMP | 8);
    assert_int_equal(get(f, TSD, 4), DUMP);
    assert_int_equal(bytes_load64(f->fake->ram + DUMP), 11);
}

static uint16_t
sum_over(const uint8_t *data, size_t len, uint32_t start)
{
    uint32_t sum = start;

    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void
check_sums(const uint8_t *p, size_t total)
{
    uint32_t size = (uint32_t)(total - 20);

    assert_int_equal(p[16] << 8 | p[17], total);
    assert_int_equal(sum_over(p + 14, 20, 0), 0xffff);
    assert_int_equal(sum_over(p + 34, size, sum_over(p + 26, 8, p[23] + size)), 0xffff);
}

/* Headers of 54 bytes with nonsense for sums; the IP packet has @total bytes. */
static void
ip_frame(uint8_t *frame, unsigned protocol, unsigned total)
{
    const uint8_t ip[] = { 0x45,
                           0,
                           (uint8_t)(total >> 8),
                           (uint8_t)total,
                           0x12,
                           0x34,
                           0x40,
                           0,
                           64,
                           (uint8_t)protocol,
                           0xaa,
                           0xbb,
                           10,
                           0,
                           2,
                           15,
                           10,
                           0,
                           2,
                           2 };

    frame_to(frame, 2554, PEER);
    memcpy(frame + 14, ip, sizeof(ip));
    frame[34 + 12] = 0x50;
    frame[34 + 13] = 0x19; /* FIN, PSH, ACK */
}

static void
test_sums(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA;
    size_t len;

    ip_frame(frame, 6, 120);
    give(f, FS | LS | 1 << 18 | 1 << 16 | 134, 0, DATA);
    poll(f);
    check_sums(sent(f, 0, &len), 120);
    ip_frame(frame, 17, 41); /* odd, and filled up */
    give(f, FS | LS | 1 << 18 | 1 << 17 | 60, 0, DATA);
    poll(f);
    check_sums(sent(f, 1, &len), 41);
    assert_int_equal(len, 60);
    give(f, FS | LS | 60, 0, DATA); /* nothing asked, nothing done */
    poll(f);
    assert_memory_equal(sent(f, 2, &len), frame, 60);
}

static void
test_large_send(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA;
    static const size_t sizes[] = { 1040, 1040, 540 };

    ip_frame(frame, 6, 2540);
    give(f, FS | LS | 1 << 27 | 1000 << 16 | 2554, 0, DATA);
    poll(f);
    assert_int_equal(f->net->sent->len, 3);
    for (unsigned i = 0; i < 3; i++) {
        size_t len;
        const uint8_t *p = sent(f, i, &len);

        assert_int_equal(len, sizes[i] + 14);
        check_sums(p, sizes[i]);
        assert_memory_equal(p + 54, frame + 54 + 1000 * i, len - 54);
        assert_int_equal(p[34 + 13], i == 2 ? 0x19 : 0x10);
    }
}

/* Nonsense in rings and descriptors sends nothing and hurts nobody. */
static void
test_nonsense(void **state)
{
    Fixture *f = *state;
    uint8_t *frame = f->fake->ram + DATA, *ring = f->fake->ram + TX_RING;

    give(f, FS | LS | 100, 0, RAM - 10); /* beyond memory */
    give(f, FS | LS | 100, 0, BAR);      /* registers, its own */
    give(f, LS | 100, 0, DATA);          /* an end without a beginning */
    give(f, FS | LS, 0, DATA);           /* nothing in it */
    ip_frame(frame, 6, 2540);
    give(f, FS | LS | 1 << 27 | 2554, 0, DATA); /* pieces of nothing */
    frame[46] = 0xf0;                           /* a header beyond the frame */
    give(f, FS | LS | 1 << 27 | 1000 << 16 | 60, 0, DATA);
    poll(f);
    assert_int_equal(f->net->sent->len, 0);
    frame[14] = 0x4f;
    give(f, FS | LS | 7 << 16 | 40, 0, DATA); /* as it is: its header does not hold together */
    poll(f);
    assert_int_equal(f->net->sent->len, 1);
    for (unsigned i = 0; i < 64; i++) { /* no end anywhere, neither of a frame nor of the ring */
        bytes_store(ring + 16 * i, OWN | 0xffff, 4);
        bytes_store(ring + 16 * i + 8, DATA, 8);
    }
    poll(f);
    bytes_store(ring, OWN | EOR | FS | 10, 4); /* a ring of one, without an end */
    set(f, CR, 1, 0);
    set(f, CR, 1, 0x0c);
    poll(f);
    assert_int_equal(f->net->sent->len, 1);
    assert_false(bytes_load32(ring) & OWN);
    set(f, TSAD + 4, 4, UINT32_MAX); /* rings that are nowhere */
    set(f, 0xe8, 4, UINT32_MAX);
    set(f, 0xd9, 1, 0xc0);
    fake_net_settle(f->net);
    arrive(f, US, 100);
    set(f, TSD + 4, 4, UINT32_MAX);
    set(f, TSD, 4, UINT32_MAX);
    assert_int_equal(f->net->sent->len, 1);
}

static void
test_ring_receive(void **state)
{
    Fixture *f = *state;
    uint8_t frame[1514], *d = f->fake->ram + RX_RING;
    unsigned before;

    frame_to(frame, 1514, US);
    arrive(f, US, 1514);
    assert_int_equal(bytes_load32(d), FS | LS | 1 << 25 | 1518);
    assert_memory_equal(f->fake->ram + BUFFER, frame, 1514);
    bytes_store(d + 16, OWN | 1000, 4); /* too small: two */
    arrive(f, "\xff\xff\xff\xff\xff\xff", 1514);
    assert_int_equal(bytes_load32(d + 16), FS | 1 << 24 | 1000);
    assert_int_equal(bytes_load32(d + 32), LS | 1 << 24 | 1518);
    set(f, CPCR, 2, 0x43);
    memcpy(frame + 12, "\x81\x00\x01\x23\x08\x00", 6);
    fake_net_arrive(f->net, frame, 104);
    fake_net_settle(f->net);
    assert_int_equal(bytes_load32(d + 48), FS | LS | 1 << 25 | 104);
    assert_int_equal(bytes_load32(d + 52), 1 << 16 | 0x2301);
    assert_memory_equal(f->fake->ram + BUFFER + 3 * 2048 + 12, "\x08\x00", 2);
    for (unsigned i = 0; i < 4; i++)
        arrive(f, US, 100);
    assert_true(bytes_load32(d + 16 * 7) & EOR);
    assert_true(get(f, ISR, 2) & 1 << 4); /* no more */
    before = f->net->receives;
    arrive(f, US, 100);
    assert_int_equal(f->net->receives, before);
    bytes_store(d, OWN | 2048, 4);
    set(f, ISR, 2, 0xffff);
    fake_net_settle(f->net);
    assert_int_equal(bytes_load32(d), FS | LS | 1 << 25 | 104);
    bytes_store(d + 16, OWN, 4); /* of no size: passed over, and the frame is lost */
    set(f, ISR, 2, 0xffff);
    arrive(f, US, 100);
    assert_true(get(f, 0x4c, 4) > 0);
}

/* ---- life ---- */

static void
test_state(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    size_t len;

    frame_to(f->fake->ram + DATA, 100, PEER);
    give(f, FS | LS | 100, 0, DATA);
    poll(f);
    set(f, IMR, 2, 0x1234);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    set(f, CR, 1, 0x10);
    assert_int_equal(get(f, IMR, 2), 0);
    assert_true(machine_load(f->fake->machine, saved->data, saved->len, &err));
    assert_int_equal(get(f, IMR, 2), 0x1234);
    machine_set_running(f->fake->machine, true);
    give(f, FS | LS | 90, 0, DATA); /* at the second place */
    poll(f);
    sent(f, 1, &len);
    assert_int_equal(len, 90);
    machine_reset(f->fake->machine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_link, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
        cmocka_unit_test_setup_teardown(test_slots_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_wrap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_buffer_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ring, setup_plus, teardown),
        cmocka_unit_test_setup_teardown(test_sums, setup_plus, teardown),
        cmocka_unit_test_setup_teardown(test_large_send, setup_plus, teardown),
        cmocka_unit_test_setup_teardown(test_nonsense, setup_plus, teardown),
        cmocka_unit_test_setup_teardown(test_ring_receive, setup_plus, teardown),
        cmocka_unit_test_setup_teardown(test_state, setup_plus, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
