/* e1000_regs.c - the registers of Intel's gigabit cards: one row for each, or for a row of like
 * ones.
 *
 * SDM 13.4, DS 10.2. What no row names reads as zero, as on the cards. Leaves out: the packet
 * buffer as seen by diagnostics, wake-up filters, time stamps (their clock stands still), and
 * throttling: an interrupt comes at the end of each turn, whatever ITR, EITR and the delay
 * registers say.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

#include <string.h>

static const E1000Row *
row_find(unsigned offset)
{
    size_t low = 0, high = e1000_n_registers;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const E1000Row *row = &e1000_registers[middle];

        if (offset < row->offset)
            high = middle;
        else if (offset >= row->offset + 4u * row->count)
            low = middle + 1;
        else
            return row;
    }
    return NULL;
}

static unsigned
row_index(const E1000 *card, const E1000Row *row, unsigned offset)
{
    return card->first[row - e1000_registers] + (offset - row->offset) / 4;
}

uint32_t *
e1000_word(E1000 *card, unsigned offset)
{
    return &card->words[row_index(card, row_find(offset), offset)];
}

uint32_t
e1000_get(const E1000 *card, unsigned offset)
{
    return card->words[row_index(card, row_find(offset), offset)];
}

void
e1000_count(E1000 *card, unsigned statistic, uint32_t n)
{
    uint32_t *word = e1000_word(card, statistic);

    *word = *word + n < n ? UINT32_MAX : *word + n; /* they stick at their end */
}

void
e1000_count64(E1000 *card, unsigned statistic, uint64_t n)
{
    uint32_t *word = e1000_word(card, statistic);
    uint64_t sum = ((uint64_t)word[1] << 32 | word[0]) + n;

    word[0] = (uint32_t)sum;
    word[1] = (uint32_t)(sum >> 32);
}

void
e1000_registers_init(E1000 *card)
{
    unsigned at = 0;

    for (size_t i = 0; i < e1000_n_registers; i++) {
        card->first[i] = (uint16_t)at;
        at += e1000_registers[i].count;
    }
    g_assert(at <= E1000_WORDS && e1000_n_registers <= E1000_ROWS);
}

/* The card's own address, as the EEPROM gives it, in the first place of the filter (SDM 5.6). */
static void
load_address(E1000 *card)
{
    uint32_t *ra = e1000_word(card, E1000_RA);

    ra[0] = card->nvm[0] | (uint32_t)card->nvm[1] << 16;
    ra[1] = card->nvm[2] | 1u << 31;
}

void
e1000_link_update(E1000 *card, bool changed)
{
    bool up = nic_link(&card->nic);
    uint32_t *status = e1000_word(card, E1000_STATUS);

    *status = up ? *status | STATUS_LU : *status & ~(uint32_t)STATUS_LU;
    e1000_phy_link(card, up);
    if (changed)
        e1000_interrupt(card, ICR_LSC);
}

void
e1000_registers_reset(E1000 *card)
{
    for (size_t i = 0; i < e1000_n_registers; i++) {
        const E1000Row *row = &e1000_registers[i];

        for (unsigned n = 0; n < row->count; n++)
            card->words[card->first[i] + n] = row->reset;
    }
    if (card->kind->model == MODEL_82574) {
        *e1000_word(card, E1000_PBA) = 0x00140014;
        *e1000_word(card, E1000_STATUS) |= STATUS_GIO_MASTER | STATUS_PHY_RESET;
    }
    memset(&card->wire, 0, sizeof(card->wire));
    memset(card->context, 0, sizeof(card->context));
    card->have_frame = false;
    card->causes = 0;
    load_address(card);
    e1000_link_update(card, false);
    e1000_interrupt_update(card, 0);
}

/* ---- registers that do something ---- */

static void
ctrl_write(E1000 *card, unsigned offset, uint32_t value)
{
    uint32_t *status = e1000_word(card, E1000_STATUS);

    (void)offset;
    if (value & CTRL_RST) {
        e1000_registers_reset(card);
        return;
    }
    if (value & 1u << 31)
        e1000_phy_reset(card);
    *e1000_word(card, E1000_CTRL) = value & ~(UINT32_C(1) << 31);
    if (card->kind->model == MODEL_82574)
        *status = value & CTRL_GIO_MASTER_DISABLE ? *status & ~(uint32_t)STATUS_GIO_MASTER
                                                  : *status | STATUS_GIO_MASTER;
}

static void
status_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    if (!(value & STATUS_PHY_RESET))
        *e1000_word(card, E1000_STATUS) &= ~(uint32_t)STATUS_PHY_RESET;
}

static uint32_t
eecd_read(E1000 *card, unsigned offset)
{
    (void)offset;
    return e1000_eecd_read(card);
}

static void
eecd_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    e1000_eecd_write(card, value);
}

static void
eerd_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    e1000_eerd_write(card, value);
}

static void
mdic_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    e1000_mdic_write(card, value);
}

static void
ctrl_ext_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    *e1000_word(card, E1000_CTRL_EXT) = value & ~(uint32_t)(1 << 13); /* EE_RST is done at once */
}

static uint32_t
icr_read(E1000 *card, unsigned offset)
{
    (void)offset;
    return e1000_icr_read(card);
}

static void
icr_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    *e1000_word(card, E1000_ICR) &= ~value;
    e1000_interrupt_update(card, 0);
}

static void
ics_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    e1000_interrupt(card, value & ~(uint32_t)ICR_ASSERTED);
}

static void
ims_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    *e1000_word(card, E1000_IMS) |= value & ~(uint32_t)ICR_ASSERTED;
    e1000_interrupt_update(card, value);
}

static void
imc_write(E1000 *card, unsigned offset, uint32_t value)
{
    (void)offset;
    *e1000_word(card, E1000_IMS) &= ~value;
    e1000_interrupt_update(card, 0);
}

/* Stores, and looks whether packets can move now. */
static void
kick_write(E1000 *card, unsigned offset, uint32_t value)
{
    *e1000_word(card, offset) = value;
    nic_kick(&card->nic);
}

/* Semaphore: whoever reads it as free has it (DS 10.2.2.19). */
static uint32_t
swsm_read(E1000 *card, unsigned offset)
{
    uint32_t *word = e1000_word(card, offset), value = *word;

    *word |= 1;
    return value;
}

static uint32_t
statistic_read(E1000 *card, unsigned offset)
{
    uint32_t *word = e1000_word(card, offset), value = *word;

    switch (offset) {
    case STAT_GORC:
    case STAT_GOTC:
    case STAT_TOR:
    case STAT_TOT:
        return value; /* both halves clear with the upper one */
    case STAT_GORC + 4:
    case STAT_GOTC + 4:
    case STAT_TOR + 4:
    case STAT_TOT + 4:
        word[-1] = 0;
        break;
    }
    *word = 0;
    return value;
}

/* ---- accesses ---- */

static const E1000Row *
row_of(const E1000 *card, uint64_t offset)
{
    const E1000Row *row = row_find((unsigned)offset & ~3u);

    return row && row->models & 1u << card->kind->model ? row : NULL;
}

static uint64_t
register_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *card = opaque;
    unsigned at = (unsigned)offset;
    const E1000Row *row;

    (void)size;
    if (at == 4)
        at = E1000_CTRL; /* its double */
    row = row_of(card, at);
    if (!row)
        return 0;
    return row->read ? row->read(card, at) : card->words[row_index(card, row, at)];
}

static void
register_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    E1000 *card = opaque;
    unsigned at = (unsigned)offset;
    const E1000Row *row;

    (void)size;
    if (at == 4)
        at = E1000_CTRL;
    row = row_of(card, at);
    if (!row)
        return;
    if (row->write)
        row->write(card, at, (uint32_t)value & row->writable);
    else if (row->writable)
        card->words[row_index(card, row, at)] = (uint32_t)value & row->writable;
}

const IoOps e1000_register_ops = {
    .read = register_read,
    .write = register_write,
    .sizes = 4,
};

enum {
    OLD = 1 << MODEL_82540,
    NEW = 1 << MODEL_82574,
    BOTH = OLD | NEW,
};
#define ALL UINT32_MAX

/* offset, words, models, writable bits, at reset, read, write */
const E1000Row e1000_registers[] = {
    { 0x0000, 1, BOTH, ALL, 0x00000200 | CTRL_SLU, NULL, ctrl_write },
    { 0x0008, 1, BOTH, STATUS_PHY_RESET, STATUS_FD | STATUS_1000, NULL, status_write },
    { 0x0010, 1, BOTH, ALL, 0, eecd_read, eecd_write },
    { 0x0014, 1, BOTH, ALL, 0, NULL, eerd_write },
    { 0x0018, 1, BOTH, ALL, 0, NULL, ctrl_ext_write },
    { 0x001c, 1, BOTH, ALL, 0 }, /* FLA */
    { 0x0020, 1, BOTH, ALL, 0x10000000, NULL, mdic_write },
    { 0x0028, 3, BOTH, ALL, 0 }, /* FCAL, FCAH, FCT */
    { 0x0038, 1, BOTH, 0xffff, 0x8100 },
    { 0x00c0, 1, BOTH, ALL, 0, icr_read, icr_write },
    { 0x00c4, 1, BOTH, 0xffff, 0 }, /* ITR */
    { 0x00c8, 1, BOTH, ALL, 0, NULL, ics_write },
    { 0x00d0, 1, BOTH, ALL, 0, NULL, ims_write },
    { 0x00d8, 1, BOTH, ALL, 0, NULL, imc_write },
    { 0x00dc, 1, NEW, 0x01f00000, 0 }, /* EIAC */
    { 0x00e0, 1, NEW, ALL, 0 },        /* IAM */
    { 0x00e4, 1, NEW, 0x800fffff, 0 }, /* IVAR */
    { 0x00e8, 5, NEW, 0xffff, 0 },     /* EITR */
    { 0x0100, 1, BOTH, ALL, 0, NULL, kick_write },
    { 0x0170, 1, BOTH, 0xffff, 0 }, /* FCTTV */
    { 0x0178, 1, BOTH, ALL, 0 },    /* TXCW */
    { 0x0180, 1, BOTH, ALL, 0 },    /* RXCW */
    { 0x0400, 1, BOTH, ALL, TCTL_PSP, NULL, kick_write },
    { 0x0410, 1, BOTH, ALL, 0x00602008 },       /* TIPG */
    { 0x0458, 1, BOTH, ALL, 0 },                /* AIT */
    { 0x0e00, 1, BOTH, ALL, 0x07068302 },       /* LEDCTL */
    { 0x0f00, 1, NEW, ALL, 0 },                 /* EXTCNF_CTRL */
    { 0x0f08, 1, NEW, ALL, 0 },                 /* EXTCNF_SIZE */
    { 0x0f10, 1, NEW, ALL, 0 },                 /* PHY_CTRL */
    { 0x1000, 1, BOTH, ALL, 0x00100030 },       /* PBA */
    { 0x1008, 1, NEW, ALL, 0x28 },              /* PBS */
    { 0x1010, 1, NEW, 0, 0x000c0000 },          /* EEMNGCTL: configuration done */
    { 0x2160, 1, BOTH, ALL, 0 },                /* FCRTL */
    { 0x2168, 1, BOTH, ALL, 0 },                /* FCRTH */
    { 0x2170, 1, NEW, 0x3f3f3f7f, 0x00040402 }, /* PSRCTL */
    { 0x2800, 1, BOTH, 0xfffffff0, 0 },         /* receive queue 0 */
    { 0x2804, 1, BOTH, ALL, 0 },
    { 0x2808, 1, BOTH, 0xfff80, 0 },
    { 0x2810, 1, BOTH, 0xffff, 0 },
    { 0x2818, 1, BOTH, 0xffff, 0, NULL, kick_write },
    { 0x2820, 1, BOTH, 0xffff, 0 },    /* RDTR */
    { 0x2828, 1, BOTH, ALL, 0 },       /* RXDCTL */
    { 0x282c, 1, BOTH, 0xffff, 0 },    /* RADV */
    { 0x2900, 1, NEW, 0xfffffff0, 0 }, /* receive queue 1 */
    { 0x2904, 1, NEW, ALL, 0 },
    { 0x2908, 1, NEW, 0xfff80, 0 },
    { 0x2910, 1, NEW, 0xffff, 0 },
    { 0x2918, 1, NEW, 0xffff, 0, NULL, kick_write },
    { 0x2928, 1, NEW, ALL, 0 },
    { 0x2c00, 1, BOTH, 0xfff, 0 },      /* RSRPD */
    { 0x3800, 1, BOTH, 0xfffffff0, 0 }, /* transmit queue 0 */
    { 0x3804, 1, BOTH, ALL, 0 },
    { 0x3808, 1, BOTH, 0xfff80, 0 },
    { 0x3810, 1, BOTH, 0xffff, 0 },
    { 0x3818, 1, BOTH, 0xffff, 0, NULL, kick_write },
    { 0x3820, 1, BOTH, 0xffff, 0 },       /* TIDV */
    { 0x3828, 1, BOTH, ALL, 0 },          /* TXDCTL */
    { 0x382c, 1, BOTH, 0xffff, 0 },       /* TADV */
    { 0x3830, 1, BOTH, ALL, 0x01000400 }, /* TSPMT */
    { 0x3840, 1, NEW, ALL, 0x00000403 },  /* TARC0 */
    { 0x3900, 1, NEW, 0xfffffff0, 0 },    /* transmit queue 1 */
    { 0x3904, 1, NEW, ALL, 0 },
    { 0x3908, 1, NEW, 0xfff80, 0 },
    { 0x3910, 1, NEW, 0xffff, 0 },
    { 0x3918, 1, NEW, 0xffff, 0, NULL, kick_write },
    { 0x3928, 1, NEW, ALL, 0 },
    { 0x3940, 1, NEW, ALL, 0x00000403 }, /* TARC1 */
    { 0x4000, 64, BOTH, 0, 0, statistic_read },
    { 0x4100, 10, NEW, 0, 0, statistic_read },
    { 0x5000, 1, BOTH, ALL, 0 }, /* RXCSUM */
    { 0x5008, 1, NEW, ALL, 0 },  /* RFCTL */
    { 0x5200, 128, BOTH, ALL, 0 },
    { 0x5400, 32, BOTH, ALL, 0 },
    { 0x5600, 128, BOTH, ALL, 0 },
    { 0x5800, 1, BOTH, ALL, 0 }, /* WUC */
    { 0x5808, 1, BOTH, ALL, 0 }, /* WUFC */
    { 0x5810, 1, BOTH, ALL, 0 }, /* WUS */
    { 0x5818, 1, NEW, ALL, 0 },  /* MRQC */
    { 0x5820, 1, BOTH, ALL, 0 }, /* MANC */
    { 0x5838, 1, BOTH, ALL, 0 }, /* IPAV */
    { 0x5840, 8, BOTH, ALL, 0 }, /* IP4AT */
    { 0x5860, 1, NEW, ALL, 0 },  /* MANC2H */
    { 0x5880, 4, BOTH, ALL, 0 }, /* IP6AT */
    { 0x5b00, 1, NEW, ALL, 0 },  /* GCR */
    { 0x5b30, 1, NEW, 0, 0 },    /* FACTPS */
    { 0x5b50, 1, NEW, 3, 0, swsm_read },
    { 0x5b54, 1, NEW, 0, 0 }, /* FWSM: no firmware */
    { 0x5b58, 1, NEW, ALL, 0 },
    { 0x5b64, 1, NEW, ALL, 0 }, /* GCR2 */
    { 0x5c00, 32, NEW, ALL, 0 },
    { 0x5c80, 10, NEW, ALL, 0 },
    { 0xb600, 3, NEW, ALL, 0 }, /* SYSTIML, SYSTIMH, TIMINCA */
    { 0xb614, 1, NEW, ALL, 0 }, /* TSYNCTXCTL */
    { 0xb620, 1, NEW, ALL, 0 }, /* TSYNCRXCTL */
    { 0xb634, 3, NEW, ALL, 0 }, /* RXMTRL, RXUDP, … */
};
const size_t e1000_n_registers = G_N_ELEMENTS(e1000_registers);
