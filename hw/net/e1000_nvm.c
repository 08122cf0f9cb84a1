/* e1000_nvm.c - what lies beside the registers of Intel's gigabit cards: the EEPROM (SDM 5, DS 6)
 * and the transceiver (SDM 13.4.9; IEEE 802.3 clause 22, and the vendor's status register 17).
 *
 * The EEPROM is read only: what a driver writes to it is not kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

#include <string.h>

enum {
    EECD_CLOCK = 1 << 0,
    EECD_SELECT = 1 << 1,
    EECD_IN = 1 << 2,
    EECD_OUT = 1 << 3,
    EECD_REQUEST = 1 << 6,
    EECD_GRANT = 1 << 7,
    EERD_START = 1 << 0,
    WIRE_COMMAND = 9, /* bits: start, two of the operation, six of the address */
    WIRE_READ = 6,    /* start and operation */
    MDIC_WRITE = 1,
    MDIC_READ = 2,
    MDIC_READY = 1 << 28,
    MDIC_INTERRUPT = 1 << 29,
    MDIC_ERROR = 1 << 30,
    PHY_ADDRESS = 1,
    PHY_CONTROL = 0,
    PHY_STATUS = 1,
    PHY_ID1 = 2,
    PHY_ID2 = 3,
    PHY_ADVERTISED = 4,
    PHY_PARTNER = 5,
    PHY_EXPANSION = 6,
    PHY_1000_CONTROL = 9,
    PHY_1000_STATUS = 10,
    PHY_EXTENDED = 15,
    PHY_SPECIFIC_CONTROL = 16,
    PHY_SPECIFIC_STATUS = 17,
    PHY_PAGE_OLD = 22,
    PHY_PAGE = 31,
    PHY_RESET = 1 << 15,
    PHY_RESTART = 1 << 9,
    PHY_LINK = 1 << 2,
    PHY_COMPLETE = 1 << 5,
};

void
e1000_nvm_init(E1000 *card)
{
    uint16_t sum = 0;

    memset(card->nvm, 0, sizeof(card->nvm));
    for (unsigned i = 0; i < 3; i++)
        card->nvm[i] = (uint16_t)(card->nic.mac[2 * i] | card->nic.mac[2 * i + 1] << 8);
    card->nvm[0x04] = card->nvm[0x06] = card->nvm[0x07] = 0xffff;
    card->nvm[0x0a] = 0x400b; /* signature; identifiers are to be loaded */
    card->nvm[0x0b] = (uint16_t)pci_config_get(&card->pci, 0x2e, 2);
    card->nvm[0x0c] = (uint16_t)pci_config_get(&card->pci, 0x2c, 2);
    card->nvm[0x0d] = (uint16_t)pci_config_get(&card->pci, 0x02, 2);
    card->nvm[0x0e] = (uint16_t)pci_config_get(&card->pci, 0x00, 2);
    card->nvm[0x0f] = 0x3000; /* pause frames both ways */
    for (unsigned i = 0; i < E1000_NVM_WORDS - 1; i++)
        sum = (uint16_t)(sum + card->nvm[i]);
    card->nvm[E1000_NVM_WORDS - 1] = (uint16_t)(0xbaba - sum);
}

/* ---- the wire ---- */

static void
wire_clock(E1000 *card, bool in)
{
    E1000Wire *wire = &card->wire;

    if (wire->reading) {
        unsigned word = wire->position / 16 % E1000_NVM_WORDS;

        wire->out = card->nvm[word] >> (15 - wire->position % 16) & 1;
        wire->position = (uint16_t)((wire->position + 1) % (16 * E1000_NVM_WORDS));
        return;
    }
    wire->shifted = (uint16_t)(wire->shifted << 1 | in);
    if (wire->n_in == 0 && !in)
        return; /* no start bit yet */
    if (++wire->n_in < WIRE_COMMAND)
        return;
    wire->out = wire->shifted >> 6 != WIRE_READ; /* a read answers with a zero first, */
    wire->reading = !wire->out;                  /* all else is done at once */
    wire->position = (uint16_t)(16 * (wire->shifted & 63));
    wire->n_in = 0;
}

void
e1000_eecd_write(E1000 *card, uint32_t value)
{
    E1000Wire *wire = &card->wire;
    uint8_t lines = value & (EECD_CLOCK | EECD_SELECT | EECD_IN), before = wire->lines;

    *e1000_word(card, E1000_EECD) = value & EECD_REQUEST;
    wire->lines = lines;
    if (!(lines & EECD_SELECT)) {
        *wire = (E1000Wire){ .lines = lines, .out = true };
        return;
    }
    if (lines & ~before & EECD_SELECT)
        *wire = (E1000Wire){ .lines = lines, .out = true };
    if (lines & ~before & EECD_CLOCK)
        wire_clock(card, lines & EECD_IN);
}

uint32_t
e1000_eecd_read(E1000 *card)
{
    uint32_t value = e1000_get(card, E1000_EECD) | card->kind->eecd | card->wire.lines;

    if (value & EECD_REQUEST)
        value |= EECD_GRANT;
    if (card->wire.out)
        value |= EECD_OUT;
    return value;
}

void
e1000_eerd_write(E1000 *card, uint32_t value)
{
    const E1000Kind *kind = card->kind;
    uint32_t address = (value & 0xffff) >> kind->eerd_shift, *word = e1000_word(card, E1000_EERD);

    *word = value & 0xffff & ~((uint32_t)kind->eerd_done | EERD_START);
    if (value & EERD_START) {
        *word |= kind->eerd_done;
        if (address < E1000_NVM_WORDS)
            *word |= (uint32_t)card->nvm[address] << 16;
    }
}

/* ---- the transceiver ---- */

void
e1000_phy_link(E1000 *card, bool up)
{
    uint16_t *phy = card->phy[0];

    if (up)
        phy[PHY_STATUS] |= PHY_LINK | PHY_COMPLETE;
    else
        phy[PHY_STATUS] &= (uint16_t) ~(PHY_LINK | PHY_COMPLETE);
    phy[PHY_PARTNER] = up ? 0xcde1 : 0;
    phy[PHY_1000_STATUS] = up ? 0x7c00 : 0;
    phy[PHY_SPECIFIC_STATUS] = up ? 0xac08 | 1 << 10 : 0; /* 1000 Mb/s, full duplex, resolved */
}

void
e1000_phy_reset(E1000 *card)
{
    uint16_t *phy = card->phy[0];

    memset(card->phy, 0, sizeof(card->phy));
    phy[PHY_CONTROL] = 0x1140;
    phy[PHY_STATUS] = 0x7949;
    phy[PHY_ID1] = card->kind->phy_id[0];
    phy[PHY_ID2] = card->kind->phy_id[1];
    phy[PHY_ADVERTISED] = 0x0de1;
    phy[PHY_EXPANSION] = 0x000f;
    phy[PHY_1000_CONTROL] = 0x0e00;
    phy[PHY_EXTENDED] = 0x3000;
    phy[PHY_SPECIFIC_CONTROL] = 0x0078;
    e1000_phy_link(card, nic_link(&card->nic));
}

static void
phy_write(E1000 *card, unsigned page, unsigned reg, uint16_t value)
{
    switch (page ? UINT_MAX : reg) {
    case PHY_CONTROL:
        if (value & PHY_RESET) {
            e1000_phy_reset(card);
            return;
        }
        card->phy[0][PHY_CONTROL] = value & (uint16_t) ~(PHY_RESTART | 0x3f);
        if (value & PHY_RESTART)
            e1000_link_update(card, true);
        return;
    case PHY_STATUS:
    case PHY_ID1:
    case PHY_ID2:
    case PHY_PARTNER:
    case PHY_EXPANSION:
    case PHY_1000_STATUS:
    case PHY_EXTENDED:
    case PHY_SPECIFIC_STATUS:
        return; /* read only */
    }
    card->phy[page][reg] = value;
}

void
e1000_mdic_write(E1000 *card, uint32_t value)
{
    unsigned reg = value >> 16 & 31, address = value >> 21 & 31, op = value >> 26 & 3, page = 0;
    uint32_t *mdic = e1000_word(card, E1000_MDIC);

    if (card->kind->model == MODEL_82574 && reg != PHY_PAGE && reg != PHY_PAGE_OLD)
        page = card->phy[0][PHY_PAGE];
    *mdic = (value & ~(uint32_t)MDIC_ERROR) | MDIC_READY;
    if (address != PHY_ADDRESS || page >= E1000_PHY_PAGES || (op != MDIC_READ && op != MDIC_WRITE))
        *mdic |= MDIC_ERROR;
    else if (op == MDIC_WRITE)
        phy_write(card, page, reg, (uint16_t)value);
    else
        *mdic = (*mdic & 0xffff0000) | card->phy[page][reg];
    if (value & MDIC_INTERRUPT)
        e1000_interrupt(card, ICR_MDAC);
}
