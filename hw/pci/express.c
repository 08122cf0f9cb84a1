/* express.c - the PCI Express capability (PCI Express Base 4.0, section 7.5.3).
 *
 * Links are reported as trained at their full width and speed. Leaves out: ASPM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/internal.h"

enum {
    EXPRESS_VERSION = 2,
    EXPRESS_SLOT = 0x0100,
    EXPRESS_ROLE_ERRORS = 1 << 15,
    EXPRESS_CONTROL = 0x00ff & ~0x08 & ~0xe0, /* error enables, relaxed order, no-snoop off */
    EXPRESS_NO_SNOOP = 1 << 11,
    EXPRESS_CAN_RESET = 1 << 28, /* DEVCAP */
    EXPRESS_RESET = 0x80,        /* DEVCTL's upper byte: reads as zero */
    LINK_SPEED = 4,              /* 16 GT/s */
    LINK_SPEEDS = 0x1e,          /* 2.5 to 16 GT/s, as LNKCAP2 counts */
    LINK_WIDTH = 16,
    LINK_ACTIVE_REPORTING = 1 << 20,
    LINK_ACTIVE = 1 << 13,
    SLOT_PRESENT = 1 << 6,
};

unsigned
pci_express_add(PciDevice *dev, unsigned type, uint8_t port)
{
    unsigned at = pci_capability_add(dev, PCI_CAP_ID_EXPRESS, PCI_EXP_SIZE);
    bool root_port = type == PCI_EXP_TYPE_ROOT_PORT;
    uint32_t link = (uint32_t)port << 24 | LINK_WIDTH << 4 | LINK_SPEED;

    if (!at)
        return 0;
    if (type == PCI_EXP_TYPE_ENDPOINT && !dev->bus->bridge)
        type = PCI_EXP_TYPE_RC_ENDPOINT;
    dev->express_cap = at;
    pci_config_set(dev, at + PCI_EXP_FLAGS, 2,
                   EXPRESS_VERSION | type << 4 | (root_port ? EXPRESS_SLOT : 0));
    pci_config_set(dev, at + PCI_EXP_DEVCAP, 4, EXPRESS_ROLE_ERRORS);
    pci_config_mask(dev, at + PCI_EXP_DEVCTL, 2, EXPRESS_CONTROL | EXPRESS_NO_SNOOP);
    dev->clearable[at + PCI_EXP_DEVSTA] = 0x0f;
    /* A root-complex integrated endpoint has no link. */
    if (type == PCI_EXP_TYPE_RC_ENDPOINT)
        return at;
    pci_config_set(dev, at + PCI_EXP_LNKCAP, 4, link | (root_port ? LINK_ACTIVE_REPORTING : 0));
    pci_config_mask(dev, at + PCI_EXP_LNKCTL, 2, 0x00c0);
    pci_config_set(dev, at + PCI_EXP_LNKSTA, 2, LINK_WIDTH << 4 | LINK_SPEED);
    pci_config_set(dev, at + PCI_EXP_LNKCAP2, 4, LINK_SPEEDS);
    pci_config_set(dev, at + PCI_EXP_LNKCTL2, 2, LINK_SPEED);
    pci_config_mask(dev, at + PCI_EXP_LNKCTL2, 2, 0x000f);
    return at;
}

void
pci_express_add_reset(PciDevice *dev)
{
    unsigned at = dev->express_cap + PCI_EXP_DEVCAP;

    g_return_if_fail(dev->express_cap && dev->details && dev->details->function_reset);
    pci_config_set(dev, at, 4, pci_config_get(dev, at, 4) | EXPRESS_CAN_RESET);
}

bool
pci_express_reset_touched(const PciDevice *dev, unsigned offset, unsigned size)
{
    unsigned at = dev->express_cap + PCI_EXP_DEVCTL + 1;

    return dev->express_cap && offset <= at && at < offset + size &&
           (pci_config_get(dev, dev->express_cap + PCI_EXP_DEVCAP, 4) & EXPRESS_CAN_RESET);
}

void
pci_express_config_written(PciDevice *dev, unsigned offset, unsigned size, uint32_t value)
{
    unsigned at = dev->express_cap + PCI_EXP_DEVCTL + 1;

    if (pci_express_reset_touched(dev, offset, size) &&
        (value >> (8 * (at - offset)) & EXPRESS_RESET))
        pci_function_reset(dev);
}

void
pci_express_set_slot(PciDevice *dev, unsigned slot)
{
    unsigned at = dev->express_cap;

    pci_config_set(dev, at + PCI_EXP_SLTCAP, 4, slot << 19);
    pci_config_mask(dev, at + PCI_EXP_RTCTL, 2, 0x0008);
}

void
pci_express_set_present(PciDevice *dev, bool present)
{
    unsigned at = dev->express_cap;
    uint32_t status = pci_config_get(dev, at + PCI_EXP_SLTSTA, 2) & ~(uint32_t)SLOT_PRESENT;

    pci_config_set(dev, at + PCI_EXP_SLTSTA, 2, status | (present ? SLOT_PRESENT : 0));
    pci_config_set(dev, at + PCI_EXP_LNKSTA, 2,
                   LINK_WIDTH << 4 | LINK_SPEED | (present ? LINK_ACTIVE : 0));
}
