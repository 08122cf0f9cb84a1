/* e1000_irq.c - interrupts of Intel's gigabit cards: causes, masks, and with MSI-X the vectors of
 * the 82574 (SDM 13.4.17 to 13.4.20, DS 7.4 and 10.2.4).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

enum { VECTOR_VALID = 8 };

#define QUEUE_CAUSES ((uint32_t)(ICR_RXQ0 | ICR_RXQ1 | ICR_TXQ0 | ICR_TXQ1))
#define OTHER_CAUSES ((uint32_t)(ICR_LSC | ICR_RXO | ICR_MDAC | 1 << 3 | 1 << 17 | 1 << 18))

/* The cause bits from ICR_RXQ0 on stand in IVAR in the same order, four bits each. */
static void
msix_raise(E1000 *card, uint32_t causes)
{
    uint32_t ivar = e1000_get(card, E1000_IVAR), *icr = e1000_word(card, E1000_ICR);
    uint32_t auto_clear = e1000_get(card, E1000_EIAC);

    for (unsigned i = 0; i < 5; i++) {
        uint32_t cause = (uint32_t)ICR_RXQ0 << i;
        unsigned entry = ivar >> (4 * i) & 15;

        if (!(causes & cause) || !(entry & VECTOR_VALID))
            continue;
        pci_msix_notify(&card->pci, entry & 7);
        *icr &= ~(cause & auto_clear);
        if (e1000_get(card, E1000_CTRL_EXT) & CTRL_EXT_EIAME)
            *e1000_word(card, E1000_IMS) &= ~(cause & e1000_get(card, E1000_IAM));
    }
}

void
e1000_interrupt_update(E1000 *card, uint32_t edges)
{
    uint32_t *icr = e1000_word(card, E1000_ICR), active = *icr & e1000_get(card, E1000_IMS);
    bool asserted = *icr & ICR_ASSERTED;

    active &= ~(uint32_t)ICR_ASSERTED;
    if (card->kind->model == MODEL_82574)
        *icr = active ? *icr | ICR_ASSERTED : *icr & ~(uint32_t)ICR_ASSERTED;
    if (pci_msix_enabled(&card->pci)) {
        msix_raise(card, active & edges);
    } else if (pci_msi_enabled(&card->pci)) {
        if (active && !asserted)
            pci_msi_notify(&card->pci, 0);
    } else {
        pci_intx_set(&card->pci, active != 0);
    }
}

void
e1000_interrupt(E1000 *card, uint32_t causes)
{
    uint32_t *icr = e1000_word(card, E1000_ICR);

    if (card->kind->model == MODEL_82574) {
        /* without MSI-X the queues' causes are the classic ones only (DS 7.4.2) */
        if (!pci_msix_enabled(&card->pci))
            causes &= ~QUEUE_CAUSES;
        if (causes & OTHER_CAUSES)
            causes |= ICR_OTHER;
    }
    *icr |= causes;
    e1000_interrupt_update(card, causes);
}

uint32_t
e1000_icr_read(E1000 *card)
{
    uint32_t *icr = e1000_word(card, E1000_ICR), value = *icr;
    uint32_t *ims = e1000_word(card, E1000_IMS);

    if (card->kind->model == MODEL_82540) {
        *icr = 0;
    } else if (*ims == 0 || value & ICR_ASSERTED) {
        *icr = 0;
        if (value & ICR_ASSERTED && e1000_get(card, E1000_CTRL_EXT) & CTRL_EXT_IAME)
            *ims &= ~e1000_get(card, E1000_IAM);
    }
    e1000_interrupt_update(card, 0);
    return value;
}
