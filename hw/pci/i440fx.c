/* i440fx.c - the 82441FX host bridge: shadow RAM and SMRAM (Intel 290549).
 *
 * Leaves out: DRAM timing and row registers, which read zero.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/i440fx.h"

#include "hw/pci/shadow.h"

typedef struct {
    PciDevice pci;
    Shadow shadow;
    uint8_t smram; /* as it stood before a write */
} I440fx;

static void
i440fx_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    I440fx *fx = (I440fx *)dev;

    if (offset > I440FX_SMRAM || offset + size <= I440FX_PAM0)
        return;
    fx->smram = shadow_smram_write(fx->smram, dev->config[I440FX_SMRAM]);
    dev->config[I440FX_SMRAM] = fx->smram;
    shadow_update(&fx->shadow, dev->config + I440FX_PAM0, fx->smram);
}

static void
i440fx_config_loaded(PciDevice *dev)
{
    I440fx *fx = (I440fx *)dev;

    fx->smram = dev->config[I440FX_SMRAM];
    shadow_update(&fx->shadow, dev->config + I440FX_PAM0, fx->smram);
}

static bool
i440fx_realize(Device *dev, GError **err)
{
    I440fx *fx = (I440fx *)dev;

    (void)err;
    for (unsigned i = 0; i < SHADOW_PAMS; i++)
        pci_config_mask(&fx->pci, I440FX_PAM0 + i, 1, i == 0 ? 0x30 : 0x33);
    pci_config_set(&fx->pci, I440FX_SMRAM, 1, SMRAM_BASE);
    pci_config_mask(&fx->pci, I440FX_SMRAM, 1, 0x78);
    shadow_init(&fx->shadow, dev->machine);
    return true;
}

/* Runs before the base puts the registers back to these values. */
static void
i440fx_reset(Device *dev)
{
    static const uint8_t pam[SHADOW_PAMS];
    I440fx *fx = (I440fx *)dev;

    fx->smram = SMRAM_BASE;
    shadow_update(&fx->shadow, pam, SMRAM_BASE);
}

static void
i440fx_unrealize(Device *dev)
{
    shadow_fini(&((I440fx *)dev)->shadow);
}

static const PciDetails i440fx_details = {
    .vendor = 0x8086,
    .device = 0x1237,
    .class_code = 0x060000,
    .revision = 2,
    .config_written = i440fx_config_written,
    .config_loaded = i440fx_config_loaded,
};

const DeviceClass i440fx_class = {
    .name = "i440FX",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(I440fx),
    .realize = i440fx_realize,
    .reset = i440fx_reset,
    .unrealize = i440fx_unrealize,
    .details = &i440fx_details,
};
