/* extended.c - extended configuration space of PCI Express functions: the capabilities for errors
 * (PCI Express Base 4.0, section 7.8.4), access control (7.7.8) and the serial number (7.9.3).
 *
 * The registers are the guest's to set, and nothing is ever reported in them: the links here lose
 * nothing, and no transaction passes by the host bridge for access control to turn away.
 *
 * Leaves out: ECRC, more than one header in the log, prefixes of transactions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"

#include <string.h>

enum {
    ID_ERRORS = 0x0001,
    ID_SERIAL = 0x0003,
    ID_ACCESS_CONTROL = 0x000d,
    ERRORS_VERSION = 2,
    ERRORS_SIZE = 0x40,
    ERRORS_SIZE_PORT = 0x48, /* with the root's registers and the room for prefixes */
    ERRORS_UNCORRECTABLE = 0x04,
    ERRORS_MASK = 0x08,
    ERRORS_SEVERITY = 0x0c,
    ERRORS_CORRECTABLE = 0x10,
    ERRORS_CORRECTABLE_MASK = 0x14,
    ERRORS_ROOT_COMMAND = 0x2c,
    ERRORS_ROOT_STATUS = 0x30,
    UNCORRECTABLE = 0x03fff030,
    UNCORRECTABLE_FATAL = 0x00462030, /* as the specification has them after a reset */
    CORRECTABLE = 0xf1c1,
    CORRECTABLE_MASKED = 0xe000, /* advisory, internal, log overflow */
    ROOT_INTERRUPTS = 0x07,
    ROOT_RECEIVED = 0x7f,
    ACCESS_CONTROL_SIZE = 8,
    /* source validation, translation blocking, redirection of requests and completions, upstream
     * forwarding, direct translated requests: what a port has to have */
    ACCESS_CONTROLS = 0x005f,
    SERIAL_SIZE = 12,
};

/* Offset of a new capability of @size bytes within the space that is stored. */
static unsigned
extended_add(PciDevice *dev, uint16_t id, unsigned version, unsigned size)
{
    PciExtended *ext = dev->extended;
    unsigned at;

    if (!ext) {
        ext = dev->extended = g_new0(PciExtended, 1);
        dev->extended_size = sizeof(ext->saved);
        dev->extended_saved = ext->saved;
    } else {
        uint8_t *last = ext->config + ext->last;

        /* The upper 12 bits of a head are where the next one is. */
        bytes_store(last, bytes_load(last, 4) | (PCI_CONFIG_SIZE + ext->end) << 20, 4);
    }
    at = ext->last = ext->end;
    ext->end += size;
    g_assert(dev->express_cap && ext->end <= PCI_EXTENDED_SIZE);
    bytes_store(ext->config + at, id | version << 16, 4);
    return at;
}

void
pci_extended_add_errors(PciDevice *dev)
{
    bool port =
        pci_config_get(dev, dev->express_cap + PCI_EXP_FLAGS, 1) >> 4 == PCI_EXP_TYPE_ROOT_PORT;
    unsigned at =
        extended_add(dev, ID_ERRORS, ERRORS_VERSION, port ? ERRORS_SIZE_PORT : ERRORS_SIZE);
    uint8_t *config = dev->extended->config + at, *writable = dev->extended->writable + at,
            *clearable = dev->extended->clearable + at;

    bytes_store(clearable + ERRORS_UNCORRECTABLE, UNCORRECTABLE, 4);
    bytes_store(writable + ERRORS_MASK, UNCORRECTABLE, 4);
    bytes_store(writable + ERRORS_SEVERITY, UNCORRECTABLE, 4);
    bytes_store(config + ERRORS_SEVERITY, UNCORRECTABLE_FATAL, 4);
    bytes_store(clearable + ERRORS_CORRECTABLE, CORRECTABLE, 4);
    bytes_store(writable + ERRORS_CORRECTABLE_MASK, CORRECTABLE, 4);
    bytes_store(config + ERRORS_CORRECTABLE_MASK, CORRECTABLE_MASKED, 4);
    if (!port)
        return;
    bytes_store(writable + ERRORS_ROOT_COMMAND, ROOT_INTERRUPTS, 4);
    bytes_store(clearable + ERRORS_ROOT_STATUS, ROOT_RECEIVED, 4);
}

void
pci_extended_add_access_control(PciDevice *dev)
{
    unsigned at = extended_add(dev, ID_ACCESS_CONTROL, 1, ACCESS_CONTROL_SIZE);

    bytes_store(dev->extended->config + at + 4, ACCESS_CONTROLS, 2);
    bytes_store(dev->extended->writable + at + 6, ACCESS_CONTROLS, 2);
}

void
pci_extended_add_serial(PciDevice *dev, uint64_t serial)
{
    unsigned at = extended_add(dev, ID_SERIAL, 1, SERIAL_SIZE);

    bytes_store(dev->extended->config + at + 4, serial, 8);
}

void
pci_extended_ready(PciDevice *dev)
{
    PciExtended *ext = dev->extended;

    if (!ext)
        return;
    memcpy(ext->initial, ext->config, sizeof(ext->initial));
    /* What an older build saved has nothing of this space. */
    memcpy(ext->saved, ext->config, sizeof(ext->saved));
}

void
pci_extended_fini(PciDevice *dev)
{
    g_clear_pointer(&dev->extended, g_free);
    dev->extended_saved = NULL;
    dev->extended_size = 0;
}

uint32_t
pci_extended_read(const PciDevice *dev, unsigned offset, unsigned size)
{
    const PciExtended *ext = dev->extended;

    /* An express function without capabilities there reads zero; a conventional one has no such
     * space. */
    if (!dev->express_cap)
        return (uint32_t)bytes_all_ones(size);
    if (!ext || offset - PCI_CONFIG_SIZE >= PCI_EXTENDED_SIZE)
        return 0;
    return (uint32_t)bytes_load(ext->config + (offset - PCI_CONFIG_SIZE), size);
}

void
pci_extended_write(PciDevice *dev, unsigned offset, unsigned size, uint32_t value)
{
    PciExtended *ext = dev->extended;
    unsigned at = offset - PCI_CONFIG_SIZE;

    if (ext && at < PCI_EXTENDED_SIZE)
        pci_registers_write(ext->config + at, ext->writable + at, ext->clearable + at, size, value);
}

void
pci_extended_reset(PciDevice *dev)
{
    if (dev->extended)
        memcpy(dev->extended->config, dev->extended->initial, PCI_EXTENDED_SIZE);
}

void
pci_extended_before_save(PciDevice *dev)
{
    if (dev->extended)
        memcpy(dev->extended->saved, dev->extended->config, PCI_EXTENDED_SIZE);
}

void
pci_extended_loaded(PciDevice *dev)
{
    PciExtended *ext = dev->extended;

    if (ext)
        pci_registers_load(ext->config, ext->writable, ext->clearable, ext->saved,
                           PCI_EXTENDED_SIZE);
}
