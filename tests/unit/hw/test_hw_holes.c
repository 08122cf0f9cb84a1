/* test_hw_holes.c - classes of holes that emulators have had, tried on several devices at once:
 * DMA into registers, division by what the guest chose, work that ends after its device has gone.
 *
 * What is particular to one device stands with its other tests; docs/architecture.md lists both.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"

#include "hw/core/bytes.h"
#include "hw/pci/board.h"
#include "hw/pci/pci.h"
#include "tests/unit/hw/usb_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 4 << 20,
    BDF = 5 << 3,
    DATA = 0x40000,
    /* e1000 */
    E_CTRL = 0x0000,
    E_ITR = 0x00c4,
    E_RCTL = 0x0100,
    E_TCTL = 0x0400,
    E_RX = 0x2800,
    E_TX = 0x3800,
    E_RDTR = 0x2820,
    /* rtl8139 */
    R_TSD = 0x10,
    R_TSAD = 0x20,
    R_RBSTART = 0x30,
    R_CR = 0x37,
    R_RCR = 0x44,
    R_TIMER = 0x48,
    R_INTERVAL = 0x54,
    R_CPCR = 0xe0,
};
#define BAR UINT64_C(0xc1000000)

typedef struct {
    FakeMachine *fake;
    FakeNet *net;
    Device *dev;
} Card;

static Card
card_new(const char *model)
{
    Card card = { .fake = fake_machine_new_q35(RAM) };
    bool realtek = strcmp(model, "rtl8139") == 0;

    card.net = fake_net_new(card.fake, "n0", 1, NET_CAP_HEADER);
    card.dev = fake_device(card.fake, model, "id", "net0", "netdev", "n0", "mac",
                           "52:54:00:01:02:03", "addr", "0x5", NULL);
    pci_config_write(card.fake->machine->pci, BDF, realtek ? 0x14 : 0x10, 4, (uint32_t)BAR);
    pci_config_write(card.fake->machine->pci, BDF, 4, 2, 7);
    machine_set_running(card.fake->machine, true);
    return card;
}

static uint32_t
get(const Card *card, unsigned reg)
{
    return (uint32_t)fake_read(card->fake, BAR + reg, 4);
}

static void
set(const Card *card, unsigned reg, unsigned size, uint32_t value)
{
    fake_write(card->fake, BAR + reg, size, value);
}

/* A frame for everybody. */
static void
arrive(const Card *card, size_t len)
{
    uint8_t frame[1600] = { 0 };

    memset(frame, 0xff, 6);
    frame[12] = 8;
    fake_net_arrive(card->net, frame, len);
    fake_net_settle(card->net);
}

static void
e_ring(const Card *card, unsigned reg, uint64_t at, uint32_t bytes)
{
    set(card, reg, 4, (uint32_t)at);
    set(card, reg + 4, 4, (uint32_t)(at >> 32));
    set(card, reg + 8, 4, bytes);
    set(card, reg + 0x10, 4, 0);
    set(card, reg + 0x18, 4, 0);
}

static void
e_start(const Card *card, uint64_t rx_ring, uint64_t rx_buffer)
{
    for (unsigned i = 0; i < 8; i++)
        bytes_store(card->fake->ram + 0x20000 + 16 * i, rx_buffer, 8);
    e_ring(card, E_RX, rx_ring, 8 * 16);
    e_ring(card, E_TX, 0x10000, 8 * 16);
    set(card, E_TCTL, 4, 2);
    set(card, E_RCTL, 4, 1 << 1 | 1 << 3 | 1 << 15);
    set(card, E_RX + 0x18, 4, 7);
    fake_net_settle(card->net);
}

/* Everything a card writes to memory is aimed at its own registers, in turn. */
static void
e_dma(const char *model)
{
    Card card = card_new(model);
    uint8_t *tx = card.fake->ram + 0x10000;
    uint32_t ctrl = get(&card, E_CTRL);

    e_start(&card, 0x20000, BAR); /* what arrives */
    arrive(&card, 600);
    assert_int_equal(get(&card, E_CTRL), ctrl);
    e_start(&card, BAR, DATA); /* the ring it is reported in */
    arrive(&card, 600);
    assert_int_equal(get(&card, E_CTRL), ctrl);
    e_start(&card, 0x20000, DATA);
    bytes_store(tx, BAR, 8); /* what is sent */
    bytes_store(tx + 8, 100 | 1 << 24 | 1 << 27, 8);
    set(&card, E_TX + 0x18, 4, 1);
    fake_net_settle(card.net);
    assert_int_equal(card.net->sent->len, 0);
    e_ring(&card, E_TX, BAR, 8 * 16); /* and where that is reported */
    set(&card, E_TX + 0x18, 4, 3);
    fake_net_settle(card.net);
    assert_int_equal(get(&card, E_CTRL), ctrl);
    e_start(&card, 0x20000, DATA); /* it still works */
    arrive(&card, 600);
    assert_int_equal(card.fake->ram[DATA], 0xff);
    fake_machine_free(card.fake);
}

static void
hole_dma_into_registers_e1000(void **state)
{
    (void)state;
    e_dma("e1000");
    e_dma("e1000e");
}

static void
r_start(const Card *card, uint32_t buffer)
{
    set(card, R_CR, 1, 0x10);
    set(card, R_RBSTART, 4, buffer);
    set(card, R_RCR, 4, 0x0f);
    set(card, R_CR, 1, 0x0c);
    fake_net_settle(card->net);
}

static void
hole_dma_into_registers_rtl8139(void **state)
{
    Card card = card_new("rtl8139");
    uint32_t mac = get(&card, 0);

    (void)state;
    r_start(&card, (uint32_t)BAR);
    arrive(&card, 600);
    assert_int_equal(get(&card, 0), mac);
    set(&card, R_TSAD, 4, (uint32_t)BAR);
    set(&card, R_TSD, 4, 100);
    fake_net_settle(card.net);
    assert_int_equal(card.net->sent->len, 0);
    set(&card, R_CPCR, 2, 3);
    set(&card, R_TSD, 4, (uint32_t)BAR | 8); /* its counters, in C+ mode */
    set(&card, 0x14, 4, 0);
    assert_int_equal(get(&card, 0), mac);
    r_start(&card, DATA);
    arrive(&card, 600);
    assert_int_equal(card.fake->ram[DATA + 4], 0xff);
    fake_machine_free(card.fake);
}

static void
hole_dma_into_registers_xhci(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(XD_RAM);
    Device *dev = fake_device(fake, "qemu-xhci", "id", "x", "addr", "0x4", NULL);
    XhciDriver xd;
    uint32_t caps;

    (void)state;
    xd_init(&xd, fake, dev);
    machine_set_running(fake->machine, true);
    caps = xd_read(&xd, 0);
    for (unsigned which = 0; which < 4; which++) {
        xd_start(&xd);
        xd_write(&xd, 0x40, 0);
        if (which == 0)
            bytes_store(fake->ram + XD_SEGMENTS, XD_BAR, 8); /* events */
        else if (which == 1)
            xd_write(&xd, 0x40 + 0x30, (uint32_t)XD_BAR); /* contexts */
        else if (which == 2)
            xd_write(&xd, 0x40 + 0x18, (uint32_t)XD_BAR | 1); /* commands */
        else
            xd_write(&xd, 0x1000 + 0x30, (uint32_t)XD_BAR); /* the segments of events */
        xd_write(&xd, 0x40, 1 | 4);
        xd_push(&xd, &xd.commands, 0, 0, 9 << 10); /* enable a slot */
        xd_push(&xd, &xd.commands, XD_INPUT, 0, 1 << 24 | 11 << 10);
        xd_doorbell(&xd, 0, 0);
        for (unsigned i = 0; i < 20; i++) {
            fake_iterate(fake);
            g_usleep(200);
        }
        assert_int_equal(xd_read(&xd, 0), caps);
    }
    xd_start(&xd);
    assert_int_equal(xd_command(&xd, 0, 9 << 10, NULL), 1);
    fake_machine_free(fake);
}

/* Lengths, rates and intervals of nothing, of one, and of all bits. */
static void
hole_division_e1000(void **state)
{
    static const uint32_t sizes[] = { 0, 1, 15, 16, 127, 128, 0xfff80, UINT32_MAX };

    (void)state;
    for (unsigned m = 0; m < 2; m++) {
        Card card = card_new(m ? "e1000e" : "e1000");

        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            e_start(&card, 0x20000, DATA);
            set(&card, E_RX + 8, 4, sizes[i]);
            set(&card, E_TX + 8, 4, sizes[i]);
            set(&card, E_ITR, 4, sizes[i]);
            set(&card, E_RDTR, 4, sizes[i]);
            set(&card, E_RX + 0x10, 4, sizes[i]);
            set(&card, E_TX + 0x18, 4, sizes[i]);
            set(&card, E_RX + 0x18, 4, sizes[i]);
            arrive(&card, 600);
            fake_advance(card.fake, 1000000);
        }
        e_start(&card, 0x20000, DATA);
        arrive(&card, 600);
        assert_int_equal(card.fake->ram[DATA], 0xff);
        fake_machine_free(card.fake);
    }
}

static void
hole_division_rtl8139(void **state)
{
    static const uint32_t values[] = { 0, 1, 2, 0x7fffffff, UINT32_MAX };
    Card card = card_new("rtl8139");

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        set(&card, R_INTERVAL, 4, values[i]);
        set(&card, R_TIMER, 4, values[i]);
        fake_advance(card.fake, 1000000);
        get(&card, R_TIMER);
    }
    r_start(&card, DATA);
    arrive(&card, 600);
    assert_int_equal(card.fake->ram[DATA + 4], 0xff);
    fake_machine_free(card.fake);
}

static FakeMachine *
clocks_new(void)
{
    MachineCpu cpu = { .present = true };
    MachineConfig config = { .ram_below_4g = RAM,
                             .cpus = &cpu,
                             .n_cpus = 1,
                             .max_cpus = 1,
                             .physical_bits = 40,
                             .hpet = true };
    FakeMachine *fake = fake_machine_new(RAM, &config);
    g_autoptr(GError) err = NULL;

    assert_true(board_create(fake->machine, &board_pc, &err));
    machine_reset(fake->machine);
    machine_set_running(fake->machine, true);
    return fake;
}

/* Every rate and divider of the clock; periods of the HPET, one of which is none. */
static void
hole_division_clocks(void **state)
{
    static const uint64_t periods[] = { 0, 1, UINT32_MAX, UINT64_MAX };
    FakeMachine *fake = clocks_new();

    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        fake_out(fake, 0x70, 1, 0x0a);
        fake_out(fake, 0x71, 1, a);
        fake_out(fake, 0x70, 1, 0x0b);
        fake_out(fake, 0x71, 1, 0x70 | (a & 7));
        fake_advance(fake, 100000);
        fake_out(fake, 0x70, 1, 0x0c);
        fake_in(fake, 0x71, 1);
    }
    fake_write(fake, 0xfed00010, 4, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(periods); i++) {
        fake_write(fake, 0xfed00100, 4, 20 << 9 | 0x4c);
        fake_write(fake, 0xfed00108, 8, periods[i]);
        fake_write(fake, 0xfed00108, 8, periods[i]);
        for (unsigned k = 0; k < 10; k++)
            fake_advance(fake, 100000);
    }
    assert_int_equal(fake_read(fake, 0xfed00004, 4), 10000000);
    fake_machine_free(fake);
}

/* Modes without width, height or depth, and rows of no bytes. */
static void
hole_division_screens(void **state)
{
    static const char *const models[] = { "VGA", "cirrus-vga", "bochs-display" };
    static const uint16_t values[] = { 0, 1, 3, 0x7fff, 0xffff };
    static const uint8_t depths[] = { 0, 1, 3, 4, 8, 15, 16, 24, 32, 255 };

    (void)state;
    for (unsigned m = 0; m < G_N_ELEMENTS(models); m++) {
        FakeMachine *fake = fake_machine_new_q35(RAM);

        fake_device(fake, models[m], "addr", "0x5", NULL);
        pci_config_write(fake->machine->pci, BDF, 0x10, 4, 0xd0000000);
        pci_config_write(fake->machine->pci, BDF, 0x18, 4, (uint32_t)BAR);
        pci_config_write(fake->machine->pci, BDF, 4, 2, 7);
        machine_set_running(fake->machine, true);
        for (unsigned i = 0; i < G_N_ELEMENTS(values) * G_N_ELEMENTS(depths); i++) {
            uint16_t value = values[i % G_N_ELEMENTS(values)];
            uint16_t vbe[] = { 0, value, value, depths[i / G_N_ELEMENTS(values)],
                               0, value, value, value };

            for (unsigned reg = 1; reg < G_N_ELEMENTS(vbe); reg++) {
                fake_out(fake, 0x1ce, 2, reg);
                fake_out(fake, 0x1cf, 2, reg == 4 ? 0 : vbe[reg]);
                fake_write(fake, BAR + 0x500 + 2 * reg, 2, reg == 4 ? 0 : vbe[reg]);
            }
            fake_out(fake, 0x1ce, 2, 4);
            fake_out(fake, 0x1cf, 2, 0x41);
            fake_write(fake, BAR + 0x508, 2, 0x41);
            for (unsigned crtc = 0; crtc < 0x19; crtc++) {
                fake_out(fake, 0x3d4, 1, crtc);
                fake_out(fake, 0x3d5, 1, value & 0xff);
            }
            fake_advance(fake, 20000000);
        }
        fake_machine_free(fake);
    }
}

/* A card leaves with a frame that the host has no room for yet, and others on their way in: none
 * of it arrives. */
static void
hole_completion_after_free_cards(void **state)
{
    static const char *const models[] = { "e1000", "e1000e", "rtl8139" };

    (void)state;
    for (unsigned m = 0; m < G_N_ELEMENTS(models); m++) {
        Card card = card_new(models[m]);
        uint8_t *tx = card.fake->ram + 0x10000;

        card.net->full = true;
        if (m < 2) {
            e_start(&card, 0x20000, DATA);
            bytes_store(tx, DATA + 0x10000, 8);
            bytes_store(tx + 8, 100 | 1 << 24 | 1 << 27, 8);
            set(&card, E_TX + 0x18, 4, 1);
        } else {
            r_start(&card, DATA);
            set(&card, R_TSAD, 4, DATA + 0x10000);
            set(&card, R_TSD, 4, 100);
        }
        fake_net_settle(card.net);
        device_unplug_later(card.dev);
        fake_iterate(card.fake);
        assert_null(machine_device_find(card.fake->machine, "net0"));
        card.net->full = false;
        memset(card.fake->ram + DATA, 0x5a, 4096);
        fake_net_arrive(card.net, card.fake->ram, 600);
        fake_iterate(card.fake);
        assert_int_equal(card.net->sent->len, 0);
        for (unsigned i = 0; i < 4096; i++)
            assert_int_equal(card.fake->ram[DATA + i], 0x5a);
        fake_machine_free(card.fake);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hole_dma_into_registers_e1000),
        cmocka_unit_test(hole_dma_into_registers_rtl8139),
        cmocka_unit_test(hole_dma_into_registers_xhci),
        cmocka_unit_test(hole_division_e1000),
        cmocka_unit_test(hole_division_rtl8139),
        cmocka_unit_test(hole_division_clocks),
        cmocka_unit_test(hole_division_screens),
        cmocka_unit_test(hole_completion_after_free_cards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
