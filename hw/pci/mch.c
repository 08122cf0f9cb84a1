/* mch.c - the Q35 memory controller: ECAM, shadow RAM, SMRAM.
 *
 * Intel 3 Series Express Chipset Family (316966), chapter 5.
 *
 * Leaves out: lengths of PCIEXBAR other than 256 MiB, TSEG, EPBAR, MCHBAR and DMIBAR.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/board.h"
#include "hw/pci/mch.h"
#include "hw/pci/shadow.h"

enum { PCIEXBAR_ENABLE = 1 };

typedef struct {
    PciDevice pci;
    IoRegion ecam;
    bool mapped;
    uint64_t base;
    Shadow shadow;
    uint8_t smram; /* as it stood before a write */
} Mch;

static uint64_t
mch_ecam_read(void *opaque, uint64_t offset, unsigned size)
{
    return pci_config_read(((Mch *)opaque)->pci.bus->root, (uint16_t)(offset >> 12), offset & 0xfff,
                           size);
}

static void
mch_ecam_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    /* SeaBIOS 1.16, leaving a sleep, switches ECAM off by way of ECAM, and on again likewise. */
    if (offset == MCH_PCIEXBAR && !(value & PCIEXBAR_ENABLE))
        return;
    pci_config_write(((Mch *)opaque)->pci.bus->root, (uint16_t)(offset >> 12), offset & 0xfff, size,
                     (uint32_t)value);
}

static const IoOps mch_ecam_ops = { mch_ecam_read, mch_ecam_write };

static void
mch_update_ecam(Mch *mch)
{
    AddressMap *map = mch->pci.device.machine->mmio;
    uint64_t value = bytes_load64(mch->pci.config + MCH_PCIEXBAR);
    uint64_t base = value & ~(uint64_t)PCIEXBAR_ENABLE;
    bool enabled = value & PCIEXBAR_ENABLE;

    if (enabled == mch->mapped && (!enabled || base == mch->base))
        return;
    if (mch->mapped)
        address_map_remove(map, &mch->ecam);
    mch->base = base;
    mch->mapped = enabled && address_map_add(map, &mch->ecam, base) == 0;
}

static void
mch_update_shadow(Mch *mch)
{
    uint8_t *smram = &mch->pci.config[MCH_SMRAM];

    mch->smram = *smram = shadow_smram_write(mch->smram, *smram);
    shadow_update(&mch->shadow, mch->pci.config + MCH_PAM0, *smram);
}

static void
mch_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    Mch *mch = (Mch *)dev;

    mch_update_ecam(mch);
    if (offset <= MCH_SMRAM && offset + size > MCH_PAM0)
        mch_update_shadow(mch);
}

static void
mch_config_loaded(PciDevice *dev)
{
    Mch *mch = (Mch *)dev;

    mch_update_ecam(mch);
    mch->smram = dev->config[MCH_SMRAM];
    shadow_update(&mch->shadow, dev->config + MCH_PAM0, mch->smram);
}

static bool
mch_realize(Device *dev, GError **err)
{
    Mch *mch = (Mch *)dev;

    (void)err;
    mch->ecam =
        (IoRegion){ "pci-ecam", &mch_ecam_ops, mch, NULL, BOARD_ECAM_SIZE, IO_PRIORITY_BOARD };
    /* Length bits 2:1 stay 0: 256 MiB. */
    pci_config_mask(&mch->pci, MCH_PCIEXBAR, 4, 0xf0000000 | PCIEXBAR_ENABLE);
    pci_config_mask(&mch->pci, MCH_PCIEXBAR + 4, 4, 0x0000000f);
    for (unsigned i = 0; i < SHADOW_PAMS; i++)
        pci_config_mask(&mch->pci, MCH_PAM0 + i, 1, i == 0 ? 0x30 : 0x33);
    pci_config_set(&mch->pci, MCH_SMRAM, 1, SMRAM_BASE);
    pci_config_mask(&mch->pci, MCH_SMRAM, 1, 0x78);
    pci_config_set(&mch->pci, MCH_ESMRAMC, 1, 0x38); /* cacheability, read-only */
    shadow_init(&mch->shadow, dev->machine);
    return true;
}

/* Runs before the base puts the registers back to these values. */
static void
mch_reset(Device *dev)
{
    static const uint8_t pam[SHADOW_PAMS];
    Mch *mch = (Mch *)dev;

    if (mch->mapped)
        address_map_remove(dev->machine->mmio, &mch->ecam);
    mch->mapped = false;
    mch->smram = SMRAM_BASE;
    shadow_update(&mch->shadow, pam, SMRAM_BASE);
}

static void
mch_unrealize(Device *dev)
{
    Mch *mch = (Mch *)dev;

    if (mch->mapped)
        address_map_remove(dev->machine->mmio, &mch->ecam);
    address_map_synchronize(dev->machine->mmio);
    shadow_fini(&mch->shadow);
}

static const PciDetails mch_details = {
    .vendor = 0x8086,
    .device = 0x29c0,
    .class_code = 0x060000,
    .config_written = mch_config_written,
    .config_loaded = mch_config_loaded,
};

const DeviceClass mch_class = {
    .name = "mch",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(Mch),
    .realize = mch_realize,
    .reset = mch_reset,
    .unrealize = mch_unrealize,
    .details = &mch_details,
};
