/* msi.c - message-signalled interrupts (PCI Local Bus 3.0, section 6.8.1), 64-bit with masks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"

void
pci_msi_init(PciDevice *dev, unsigned vectors)
{
    unsigned at = pci_capability_add(dev, PCI_CAP_ID_MSI, PCI_MSI_SIZE_64_MASK);
    unsigned log2 = (unsigned)__builtin_ctz(vectors);

    g_return_if_fail(at && vectors <= 32 && (vectors & (vectors - 1)) == 0);
    dev->msi_cap = at;
    pci_config_set(dev, at + PCI_MSI_FLAGS, 2, PCI_MSI_64BIT | PCI_MSI_MASKABLE | log2 << 1);
    pci_config_mask(dev, at + PCI_MSI_FLAGS, 2, PCI_MSI_ENABLE | PCI_MSI_QUEUE);
    pci_config_mask(dev, at + PCI_MSI_ADDRESS, 4, 0xfffffffc);
    pci_config_mask(dev, at + PCI_MSI_ADDRESS + 4, 4, 0xffffffff);
    pci_config_mask(dev, at + PCI_MSI_DATA_64, 2, 0xffff);
    pci_config_mask(dev, at + PCI_MSI_MASK_64, 4, (uint32_t)((UINT64_C(1) << vectors) - 1));
}

bool
pci_msi_enabled(const PciDevice *dev)
{
    return dev->msi_cap && (dev->config[dev->msi_cap + PCI_MSI_FLAGS] & PCI_MSI_ENABLE);
}

static unsigned
pci_msi_vectors(const PciDevice *dev)
{
    unsigned flags = pci_config_get(dev, dev->msi_cap + PCI_MSI_FLAGS, 2);
    unsigned granted = (flags & PCI_MSI_QUEUE) >> 4, capable = (flags >> 1) & 7;

    return 1u << MIN(granted, capable);
}

static void
pci_msi_compose(const PciDevice *dev, unsigned vector, MsiMessage *ret)
{
    unsigned at = dev->msi_cap;

    *ret = (MsiMessage){
        .address = bytes_load64(dev->config + at + PCI_MSI_ADDRESS),
        .data =
            (pci_config_get(dev, at + PCI_MSI_DATA_64, 2) & ~(pci_msi_vectors(dev) - 1)) | vector,
        .devid = pci_requester_id(dev),
    };
}

static void
pci_msi_send(PciDevice *dev, unsigned vector)
{
    Machine *machine = dev->device.machine;
    MsiMessage msg;

    pci_msi_compose(dev, vector, &msg);
    (void)machine->ops->msi_send(machine->host, &msg);
}

bool
pci_msi_take(PciDevice *dev, unsigned vector, MsiMessage *ret)
{
    unsigned at = dev->msi_cap;
    uint32_t bit;

    if (!pci_msi_enabled(dev) || pci_asleep(dev))
        return false;
    vector &= pci_msi_vectors(dev) - 1;
    bit = 1u << vector;
    if (pci_config_get(dev, at + PCI_MSI_MASK_64, 4) & bit) {
        pci_config_set(dev, at + PCI_MSI_PENDING_64, 4,
                       pci_config_get(dev, at + PCI_MSI_PENDING_64, 4) | bit);
        return false;
    }
    pci_msi_compose(dev, vector, ret);
    return true;
}

void
pci_msi_notify(PciDevice *dev, unsigned vector)
{
    Machine *machine = dev->device.machine;
    MsiMessage msg;

    if (pci_msi_take(dev, vector, &msg))
        (void)machine->ops->msi_send(machine->host, &msg);
}

void
pci_msi_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    unsigned at = dev->msi_cap;
    uint32_t ready;

    if (!at || offset + size <= at || offset >= at + PCI_MSI_SIZE_64_MASK ||
        !pci_msi_enabled(dev) || pci_asleep(dev))
        return;
    ready = pci_config_get(dev, at + PCI_MSI_PENDING_64, 4) &
            ~pci_config_get(dev, at + PCI_MSI_MASK_64, 4);
    pci_config_set(dev, at + PCI_MSI_PENDING_64, 4,
                   pci_config_get(dev, at + PCI_MSI_PENDING_64, 4) & ~ready);
    for (unsigned vector = 0; vector < 32; vector++) {
        if (ready & 1u << vector)
            pci_msi_send(dev, vector);
    }
}
