/* fuzz_hw_net.c - a guest's accesses to network cards, their rings, and packets from outside.
 *
 * The first byte chooses the card; then records of 8 bytes: what, place (16 bits), count, value (32
 * bits). Realtek's card has registers of all widths in 256 bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"

#include "hw/core/bytes.h"
#include "hw/pci/pci.h"

enum { RECORD = 8, RAM = 2 << 20, BDF = 5 << 3, RECORDS_MAX = 256, KINDS = 8 };
#define BAR UINT64_C(0xc1000000)

/* Registers by which packets move, so that the fuzzer need not find them. */
static const uint16_t interesting[] = {
    0x0000, 0x0010, 0x0014, 0x0020, 0x00c0, 0x00c8, 0x00d0, 0x0100, 0x0400, 0x2170, 0x2800,
    0x2804, 0x2808, 0x2810, 0x2818, 0x2900, 0x2908, 0x2910, 0x2918, 0x3800, 0x3804, 0x3808,
    0x3810, 0x3818, 0x3908, 0x3918, 0x5000, 0x5008, 0x5400, 0x5404, 0x5818, 0x5c00,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
nothing(void *opaque)
{
    (void)opaque;
}

static void
arrive(FakeNet *net, unsigned len, uint32_t seed)
{
    uint8_t packet[4096] = { 0x52, 0x54, 0, 1, 2, 3 };

    for (unsigned i = 6; i < len; i++)
        packet[i] = (uint8_t)(seed >> (8 * (i % 4)));
    packet[0] = (uint8_t)(seed & 1 ? 0xff : 0x52);
    if (net->count < FAKE_NET_PACKETS)
        fake_net_arrive(net, packet, len);
}

static void
run_record(FakeMachine *fake, FakeNet *net, bool realtek, const uint8_t *r)
{
    unsigned place = bytes_load16(r + 1), width = 1u << (r[3] & 3);
    uint32_t value = bytes_load32(r + 4);

    switch (realtek && r[0] % KINDS < 4 ? KINDS + r[0] % 2 : r[0] % KINDS) {
    case KINDS:
        fake_write(fake, BAR + place % 256, width, value);
        break;
    case KINDS + 1:
        fake_read(fake, BAR + place % 256, width);
        break;
    case 0:
        fake_write(fake, BAR + (place << 2 & 0x1fffc), 4, value);
        break;
    case 1:
        fake_read(fake, BAR + (place << 2 & 0x1fffc), 4);
        break;
    case 2:
        fake_write(fake, BAR + interesting[place % G_N_ELEMENTS(interesting)], 4, value);
        break;
    case 3: /* a small number, as heads and tails are */
        fake_write(fake, BAR + interesting[place % G_N_ELEMENTS(interesting)], 4, r[3]);
        break;
    case 4: /* rings lie in the first 64 KiB */
        bytes_store(fake->ram + (place & ~7u), (uint64_t)r[3] << 56 | value, 8);
        break;
    case 5:
        arrive(net, 14 + place % 4000, value);
        break;
    case 6:
        net->full = r[3] & 1;
        if (!net->full && net->loop[0])
            net_backend_writable(&net->base, 0);
        break;
    case 7:
        if (r[3] == 0)
            net_backend_set_link(&net->base, value & 1);
        else
            pci_config_write(fake->machine->pci, BDF, place & 0xfc, 4, value);
        break;
    }
    if (net->loop[0])
        io_loop_run_sync(net->loop[0], nothing, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const cards[] = { "e1000", "e1000e", "rtl8139" };
    FakeMachine *fake;
    FakeNet *net;
    bool realtek;

    if (size < 1)
        return 0;
    realtek = data[0] % G_N_ELEMENTS(cards) == 2;
    fake = fake_machine_new_q35(RAM);
    net = fake_net_new(fake, "n0", 1, NET_CAP_HEADER);
    fake_device(fake, cards[data[0] % G_N_ELEMENTS(cards)], "netdev", "n0", "mac",
                "52:54:00:01:02:03", "addr", "0x5", NULL);
    pci_config_write(fake->machine->pci, BDF, realtek ? 0x14 : 0x10, 4, (uint32_t)BAR);
    pci_config_write(fake->machine->pci, BDF, 4, 2, 7);
    machine_set_running(fake->machine, true);
    for (size_t i = 0; i < RECORDS_MAX && 1 + (i + 1) * RECORD <= size; i++)
        run_record(fake, net, realtek, data + 1 + i * RECORD);
    machine_set_running(fake->machine, false);
    machine_reset(fake->machine);
    fake_machine_free(fake);
    return 0;
}
