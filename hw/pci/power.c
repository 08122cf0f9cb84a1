/* power.c - power management of a function (PCI Bus Power Management Interface 1.2, chapters 3 and
 * 5), and its reset by itself (PCI Express Base 4.0, section 6.6.2).
 *
 * A function has the states D0 and D3hot. In D3hot it answers configuration accesses only: nothing
 * of it is decoded, it raises no interrupt and touches no memory. Its registers are lost there, as
 * No_Soft_Reset is clear, and it wakes as after a reset.
 *
 * Leaves out: D1 and D2, D3cold (a reset of the machine ends D3hot), PME, power data.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/internal.h"

enum { PM_SIZE = 8, PM_CAPABILITIES = 2, PM_CONTROL = 4, PM_STATE = 3, PM_D0 = 0, PM_D3HOT = 3 };

unsigned
pci_power_add(PciDevice *dev, uint16_t capabilities, uint16_t control)
{
    unsigned at;

    g_return_val_if_fail(control == 0 || (dev->details && dev->details->function_reset), 0);
    at = pci_capability_add(dev, PCI_CAP_ID_PM, PM_SIZE);
    if (!at)
        return 0;
    dev->power_cap = at;
    pci_config_set(dev, at + PM_CAPABILITIES, 2, capabilities);
    pci_config_mask(dev, at + PM_CONTROL, 2, control);
    return at;
}

bool
pci_asleep(const PciDevice *dev)
{
    return dev->power_cap &&
           (__atomic_load_n(&dev->config[dev->power_cap + PM_CONTROL], __ATOMIC_RELAXED) &
            PM_STATE) == PM_D3HOT;
}

static void
power_set_state(PciDevice *dev, uint8_t state)
{
    uint8_t *control = &dev->config[dev->power_cap + PM_CONTROL];

    __atomic_store_n(control, (uint8_t)((*control & ~PM_STATE) | state), __ATOMIC_RELAXED);
}

bool
pci_power_touched(const PciDevice *dev, unsigned offset, unsigned size)
{
    unsigned at = dev->power_cap + PM_CONTROL;

    return dev->power_cap && offset <= at && at < offset + size;
}

void
pci_power_config_written(PciDevice *dev, unsigned offset, unsigned size, bool was_asleep)
{
    unsigned state;

    if (!pci_power_touched(dev, offset, size))
        return;
    state = dev->config[dev->power_cap + PM_CONTROL] & PM_STATE;
    /* 3.2.4: a state that the function has not is not taken. */
    if (state != PM_D0 && state != PM_D3HOT)
        power_set_state(dev, was_asleep ? PM_D3HOT : PM_D0);
    if (pci_asleep(dev) == was_asleep)
        return;
    if (was_asleep) {
        pci_function_reset(dev);
        return;
    }
    dev->details->function_reset(dev);
    pci_intx_update(dev);
    pci_msix_update(dev);
}

void
pci_power_loaded(PciDevice *dev)
{
    if (dev->power_cap && !pci_asleep(dev))
        power_set_state(dev, PM_D0);
}
