/* rtl8139_regs.c - registers of the RTL8139C+ (DS 6, C+ DS 7): plain ones, those with an effect,
 * the 93C46, the transceiver, the timer and the dump of counters.
 *
 * The EEPROM is read only: what a driver writes to it is not kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/rtl8139.h"

#include <string.h>

enum {
    EEM = 3 << 6, /* of 9346CR: what the configuration may be used for */
    EEM_LOAD = 1 << 6,
    EEM_PROGRAM = 2 << 6,
    EEM_CONFIG = 3 << 6,
    WIRE_SELECT = 1 << 3,
    WIRE_CLOCK = 1 << 2,
    WIRE_IN = 1 << 1,
    WIRE_OUT = 1 << 0,
    WIRE_COMMAND = 9,
    WIRE_READ = 6, /* start and operation */
    BMCR_RESET = 1 << 15,
    BMCR_RESTART = 1 << 9,
    BMSR_UP = 1 << 5 | 1 << 2,
    TALLY_SIZE = 64,
    TALLY_DUMP = 1 << 3,
    TICK_NS = 30, /* of TCTR: a PCI clock */
};

/* What a driver may write as it is. */
static const struct {
    uint8_t at, count, mask;
    bool config; /* only while EEM says so */
} writable[] = {
    { RTL_IDR, 6, 0xff, false },
    { RTL_MAR, 8, 0xff, false },
    { RTL_TSAD, 20, 0xff, false }, /* and RBSTART */
    { RTL_CR, 1, CR_RE | CR_TE, false },
    { RTL_CAPR, 2, 0xff, false },
    { RTL_IMR, 2, 0xff, false },
    { RTL_TCR, 1, 0xf0, false },
    { RTL_TCR + 1, 1, 0x07, false },
    { RTL_TCR + 2, 1, 0x07, false },
    { RTL_TCR + 3, 1, 0x03, false },
    { RTL_RCR, 4, 0xff, false },
    { RTL_9346CR, 1, EEM, false },
    { RTL_CONFIG1, 1, 0xff, true },
    { RTL_TIMERINT, 4, 0xff, false },
    { RTL_MSR, 1, 0xc0, false },
    { RTL_CONFIG3, 2, 0xff, true },
    { 0x5c, 2, 0xff, false }, /* MULINT */
    { RTL_ANAR, 2, 0xff, false },
    { 0x70, 2, 0xff, false },
    { 0x74, 2, 0xff, false },
    { 0x78, 8, 0xff, false },
    { 0x80, 1, 0xff, false },
    { 0x84, 0x54, 0xff, false }, /* wake-up, to CONFIG5 */
    { RTL_CONFIG5, 1, 0xff, true },
    { RTL_TPPOLL, 1, 0xc0, false },
    { RTL_CPCR, 1, 0x7b, false },
    { RTL_CPCR + 1, 1, 0x02, false },
    { 0xe2, 2, 0xff, false },
    { RTL_RDSAR, 8, 0xff, false },
    { 0xec, 1, 0x3f, false },
};

/* ---- interrupts, timer, link ---- */

void
rtl_interrupt(Rtl8139 *card, uint16_t causes)
{
    uint32_t isr = rtl_get(card, RTL_ISR, 2) | causes;

    rtl_put(card, RTL_ISR, 2, isr);
    pci_intx_set(&card->pci, isr & rtl_get(card, RTL_IMR, 2));
}

static int64_t
rtl_now(const Rtl8139 *card)
{
    return machine_clock_ns(card->pci.device.machine) - card->timer_base;
}

/* TCTR has 32 bits and goes round, and meets TimerInt once each time. */
void
rtl_timer_update(Rtl8139 *card)
{
    uint32_t due = rtl_get(card, RTL_TIMERINT, 4);
    int64_t turn = (INT64_C(1) << 32) * TICK_NS, at = (int64_t)due * TICK_NS, now = rtl_now(card);

    if (!card->timer)
        return;
    if (due == 0) {
        device_timer_cancel(card->timer);
        return;
    }
    if (now >= at)
        at += ((now - at) / turn + 1) * turn;
    device_timer_set(card->timer, card->timer_base + at);
}

void
rtl_timer_expired(void *opaque)
{
    Rtl8139 *card = opaque;

    rtl_interrupt(card, ISR_TIMEOUT);
    rtl_timer_update(card);
}

void
rtl_link_update(Rtl8139 *card, bool tell)
{
    bool up = nic_link(&card->nic), was = !(card->regs[RTL_MSR] & MSR_NO_LINK);
    uint32_t bmsr = rtl_get(card, RTL_BMSR, 2) & ~(uint32_t)BMSR_UP;

    card->regs[RTL_MSR] &= (uint8_t)~MSR_NO_LINK;
    card->regs[RTL_MSR] |= up ? 0 : MSR_NO_LINK;
    rtl_put(card, RTL_BMSR, 2, bmsr | (up ? BMSR_UP : 0));
    rtl_put(card, RTL_ANLPAR, 2, up ? 0x45e1 : 0);
    if (tell && up != was)
        rtl_interrupt(card, ISR_LINK);
}

/* ---- the 93C46 ---- */

void
rtl_nvm_init(Rtl8139 *card)
{
    const uint8_t *mac = card->nic.mac;

    memset(card->nvm, 0, sizeof(card->nvm));
    card->nvm[0] = 0x8129; /* there is something in it */
    for (unsigned i = 0; i < 4; i++) {
        static const uint8_t places[] = { 0x00, 0x02, 0x2c, 0x2e };

        card->nvm[1 + i] = (uint16_t)pci_config_get(&card->pci, places[i], 2);
    }
    for (unsigned i = 0; i < 3; i++)
        card->nvm[7 + i] = bytes_load16(mac + 2 * i);
}

static void
wire_clock(Rtl8139 *card, bool in)
{
    RtlWire *wire = &card->wire;

    if (wire->reading) {
        wire->out =
            card->nvm[wire->position / 16 % RTL_NVM_WORDS] >> (15 - wire->position % 16) & 1;
        wire->position = (uint16_t)((wire->position + 1) % (16 * RTL_NVM_WORDS));
        return;
    }
    if (wire->n_in == 0 && !in)
        return; /* no start bit yet */
    wire->shifted = (uint16_t)(wire->shifted << 1 | in);
    if (++wire->n_in < WIRE_COMMAND)
        return;
    wire->reading = (wire->shifted >> 6 & 7) == WIRE_READ;
    wire->out = !wire->reading; /* a read answers with a zero first, all else is done at once */
    wire->position = (uint16_t)(16 * (wire->shifted & 63));
    wire->n_in = 0;
}

static void
wire_write(Rtl8139 *card, uint8_t value)
{
    RtlWire *wire = &card->wire;
    uint8_t lines = value & (WIRE_SELECT | WIRE_CLOCK | WIRE_IN), before = wire->lines;

    if ((value & EEM) == EEM_LOAD) {
        memcpy(card->regs + RTL_IDR, card->nic.mac, 6);
        card->regs[RTL_9346CR] &= (uint8_t)~EEM;
    }
    if ((value & EEM) != EEM_PROGRAM)
        return;
    if (!(lines & before & WIRE_SELECT))
        *wire = (RtlWire){ .out = true };
    wire->lines = lines;
    if (lines & WIRE_SELECT && lines & ~before & WIRE_CLOCK)
        wire_clock(card, lines & WIRE_IN);
}

/* ---- reading ---- */

/* Brings up to date what is worked out when it is read. */
static void
rtl_refresh(Rtl8139 *card)
{
    uint16_t all = 0;

    for (unsigned i = 0; i < RTL_TX_SLOTS; i++) {
        uint32_t status = rtl_get(card, RTL_TSD + 4 * i, 4);

        all |= (uint16_t)((status & TSD_OWN ? 1 << i : 0) | (status & TSD_ABORTED ? 16 << i : 0) |
                          (status & TSD_TUN ? 256 << i : 0) | (status & TSD_TOK ? 4096 << i : 0));
    }
    rtl_put(card, RTL_TSAD_ALL, 2, all);
    rtl_put(card, RTL_TCTR, 4, (uint32_t)(rtl_now(card) / TICK_NS));
    card->regs[RTL_CR] &= (uint8_t)~CR_BUFFER_EMPTY;
    card->regs[RTL_CR] |= rtl_buffer_empty(card) ? CR_BUFFER_EMPTY : 0;
    card->regs[RTL_9346CR] &= EEM;
    if ((card->regs[RTL_9346CR] & EEM) == EEM_PROGRAM)
        card->regs[RTL_9346CR] |= card->wire.lines | (card->wire.out ? WIRE_OUT : 0);
}

static uint64_t
rtl_read(void *opaque, uint64_t offset, unsigned size)
{
    Rtl8139 *card = opaque;

    rtl_refresh(card);
    return bytes_load(card->regs + offset, size);
}

/* ---- writing ---- */

static void
rtl_store(Rtl8139 *card, unsigned at, uint64_t value, unsigned size)
{
    bool config = (card->regs[RTL_9346CR] & EEM) == EEM_CONFIG;

    for (unsigned row = 0; row < G_N_ELEMENTS(writable); row++) {
        for (unsigned i = 0; i < size; i++) {
            uint8_t byte = (uint8_t)(value >> (8 * i)), mask = writable[row].mask;

            if (at + i < writable[row].at || at + i >= writable[row].at + writable[row].count ||
                (writable[row].config && !config))
                continue;
            card->regs[at + i] = (uint8_t)((card->regs[at + i] & ~mask) | (byte & mask));
        }
    }
}

static void
rtl_dump_tally(Rtl8139 *card)
{
    uint64_t at = bytes_load64(card->regs + RTL_TSD) & ~UINT64_C(63);
    const RtlTally *t = &card->tally;
    uint8_t raw[TALLY_SIZE] = { 0 };

    bytes_store(raw, t->sent, 8);
    bytes_store(raw + 8, t->received, 8);
    bytes_store(raw + 16, t->send_errors, 8);
    bytes_store(raw + 28, t->missed, 2);
    bytes_store(raw + 40, t->unicasts, 8);
    bytes_store(raw + 48, t->broadcasts, 8);
    bytes_store(raw + 56, t->multicasts, 4);
    guest_memory_write(card->pci.device.machine->memory, at, raw, sizeof(raw));
    card->regs[RTL_TSD] &= (uint8_t)~TALLY_DUMP;
}

static void
rtl_write_slots(Rtl8139 *card, unsigned at, uint64_t value, unsigned size)
{
    unsigned slot = (at - RTL_TSD) / 4;

    if (rtl_get(card, RTL_CPCR, 2) & (CPCR_TX | CPCR_RX)) {
        bytes_store(card->regs + at, value, size);
        if (slot == 0 && card->regs[RTL_TSD] & TALLY_DUMP)
            rtl_dump_tally(card);
    } else if (size == 4) {
        /* a slot that is on its way stays as it is */
        if (rtl_get(card, RTL_TSD + 4 * slot, 4) & TSD_OWN)
            rtl_put(card, RTL_TSD + 4 * slot, 4, (uint32_t)value & (TSD_SIZE | TSD_OWN | 0x3f0000));
    }
}

static void
rtl_write_command(Rtl8139 *card, uint8_t before)
{
    uint8_t now = card->regs[RTL_CR];

    if (now & ~before & CR_TE) {
        card->tx_slot = 0;
        memset(card->tx_index, 0, sizeof(card->tx_index));
    }
    if (now & ~before & CR_RE) {
        card->rx_index = 0;
        rtl_put(card, RTL_CBR, 2, 0);
    }
}

static void
rtl_write_bmcr(Rtl8139 *card, uint16_t value)
{
    if (value & BMCR_RESET)
        value = 0x3100;
    if (value & BMCR_RESTART)
        rtl_link_update(card, true);
    rtl_put(card, RTL_BMCR, 2, value & 0x3100);
}

static void
rtl_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Rtl8139 *card = opaque;
    unsigned at = (unsigned)offset, end = at + size;
    uint8_t command = card->regs[RTL_CR];

    if (at >= RTL_TSD && at < RTL_TSAD)
        rtl_write_slots(card, at, value, size);
    else
        rtl_store(card, at, value, size);
    if (at <= RTL_CR && end > RTL_CR) {
        if (value >> (8 * (RTL_CR - at)) & CR_RST)
            rtl_registers_reset(card);
        else
            rtl_write_command(card, command);
    }
    for (unsigned i = at; i < end; i++)
        if (i == RTL_ISR || i == RTL_ISR + 1)
            card->regs[i] &= (uint8_t) ~(value >> (8 * (i - at)));
    if (at == RTL_9346CR) {
        wire_write(card, (uint8_t)value);
        return;
    }
    if (at <= RTL_TCTR && end > RTL_TCTR)
        card->timer_base = machine_clock_ns(card->pci.device.machine);
    if (at == RTL_MPC)
        rtl_put(card, RTL_MPC, 3, 0);
    if (at == RTL_BMCR && size >= 2)
        rtl_write_bmcr(card, (uint16_t)value);
    if (at == RTL_TCTR || at == RTL_TIMERINT)
        rtl_timer_update(card);
    rtl_interrupt(card, 0);
    nic_kick(&card->nic);
}

void
rtl_registers_reset(Rtl8139 *card)
{
    uint8_t mac[6];

    memcpy(mac, card->regs, sizeof(mac));
    memset(card->regs, 0, sizeof(card->regs));
    memcpy(card->regs, mac, sizeof(mac));
    for (unsigned i = 0; i < RTL_TX_SLOTS; i++)
        rtl_put(card, RTL_TSD + 4 * i, 4, TSD_OWN);
    rtl_put(card, RTL_CAPR, 2, 0xfff0);
    rtl_put(card, RTL_TCR, 4, 0x74800000); /* which of the family it is */
    card->regs[RTL_CONFIG1] = 0x0c;        /* registers are in I/O and in memory */
    card->regs[RTL_CONFIG3] = 0x01;
    card->regs[RTL_RERID] = 0x10;
    rtl_put(card, RTL_BMCR, 2, 0x3100);
    rtl_put(card, RTL_BMSR, 2, 0x7809);
    rtl_put(card, RTL_ANAR, 2, 0x05e1);
    rtl_put(card, RTL_ANER, 2, 1);
    card->timer_base = machine_clock_ns(card->pci.device.machine);
    card->tx_slot = card->rx_index = 0;
    memset(card->tx_index, 0, sizeof(card->tx_index));
    card->starved = card->have_frame = false;
    card->tally = (RtlTally){ 0 };
    card->wire = (RtlWire){ .out = true };
    rtl_link_update(card, false);
    rtl_timer_update(card);
    pci_intx_set(&card->pci, false);
}

const IoOps rtl_register_ops = { .read = rtl_read, .write = rtl_write, .sizes = 1 | 2 | 4 };
