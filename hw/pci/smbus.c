/* smbus.c - the SMBus host controller of ICH9 (Intel 316972, section 20.2), a function of its own,
 * and of PIIX4 (Intel 290562, section 7.3), behind its power management function.
 *
 * No device is on the bus: whatever the guest sends, nobody acknowledges its address, and the
 * controller says so (DEV_ERR) at once.
 *
 * Leaves out: devices, among them memory modules' descriptions; the slave interface, SMBALERT, SMI.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/smbus.h"

#include <string.h>

#include "util/error.h"

enum {
    REG_STATUS = 0,
    REG_CONTROL = 2,
    REG_COMMAND = 3,
    REG_ADDRESS = 4,
    REG_DATA0 = 5,
    REG_DATA1 = 6,
    REG_BLOCK = 7,

    STATUS_DEVICE_ERROR = 0x04,
    STATUS_FAILED = 0x10,
    STATUS_IN_USE = 0x40, /* a semaphore: reading sets it */
    STATUS_CLEARABLE = 0xfe,
    STATUS_RAISES = 0x1e,
    CONTROL_INTERRUPT = 0x01,
    CONTROL_KILL = 0x02,
    CONTROL_START = 0x40,

    ICH9_BAR = 4,
    ICH9_HOSTC = 0x40,
    ICH9_HOSTC_MASK = 0x07,
    HOST_ENABLE = 0x01,
};

static void
smbus_interrupt(Smbus *smbus)
{
    /* PIIX4's is one of the ISA interrupts or an SMI, which no driver uses. */
    if (smbus->size == SMBUS_ICH9_SIZE)
        pci_intx_set(smbus->pci,
                     (smbus->control & CONTROL_INTERRUPT) && (smbus->status & STATUS_RAISES));
}

static uint8_t
smbus_read_byte(Smbus *smbus, unsigned at)
{
    uint8_t value;

    switch (at) {
    case REG_STATUS:
        value = smbus->status;
        if (smbus->size == SMBUS_ICH9_SIZE)
            smbus->status |= STATUS_IN_USE;
        return value;
    case REG_CONTROL:
        smbus->block_at = 0; /* a read of this register begins the block anew */
        return smbus->control;
    case REG_COMMAND:
        return smbus->command;
    case REG_ADDRESS:
        return smbus->address;
    case REG_DATA0:
    case REG_DATA1:
        return smbus->data[at - REG_DATA0];
    case REG_BLOCK:
        return smbus->block[smbus->block_at++ % SMBUS_BLOCK];
    default:
        return 0; /* the slave's, which nobody addresses */
    }
}

static void
smbus_write_control(Smbus *smbus, uint8_t value)
{
    smbus->control = value & (uint8_t)~CONTROL_START;
    smbus->block_at = 0;
    if (value & CONTROL_KILL)
        smbus->status |= STATUS_FAILED;
    else if ((value & CONTROL_START) && smbus->enabled)
        smbus->status |= STATUS_DEVICE_ERROR;
}

static void
smbus_write_byte(Smbus *smbus, unsigned at, uint8_t value)
{
    switch (at) {
    case REG_STATUS:
        smbus->status &= (uint8_t) ~(value & STATUS_CLEARABLE);
        break;
    case REG_CONTROL:
        smbus_write_control(smbus, value);
        break;
    case REG_COMMAND:
        smbus->command = value;
        break;
    case REG_ADDRESS:
        smbus->address = value;
        break;
    case REG_DATA0:
    case REG_DATA1:
        smbus->data[at - REG_DATA0] = value;
        break;
    case REG_BLOCK:
        smbus->block[smbus->block_at++ % SMBUS_BLOCK] = value;
        break;
    }
}

static uint64_t
smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return smbus_read_byte(opaque, (unsigned)offset);
}

static void
smbus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    smbus_write_byte(opaque, (unsigned)offset, (uint8_t)value);
    smbus_interrupt(opaque);
}

void
smbus_init(Smbus *smbus, PciDevice *pci, unsigned size)
{
    smbus->pci = pci;
    smbus->size = size;
}

void
smbus_reset(Smbus *smbus)
{
    Smbus empty = { .pci = smbus->pci, .size = smbus->size };

    *smbus = empty;
}

/* ---- ICH9's function ---- */

typedef struct {
    PciDevice pci;
    Smbus smbus;
} Ich9Smbus;

static void
ich9_update(PciDevice *dev)
{
    ((Ich9Smbus *)dev)->smbus.enabled = dev->config[ICH9_HOSTC] & HOST_ENABLE;
}

static void
ich9_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    (void)offset;
    (void)size;
    ich9_update(dev);
}

static bool
ich9_realize(Device *device, GError **err)
{
    Ich9Smbus *ich9 = (Ich9Smbus *)device;
    PciDevice *dev = &ich9->pci;

    (void)err;
    pci_config_set(dev, PCI_STATUS, 2, 0x0280);
    pci_config_mask(dev, ICH9_HOSTC, 1, ICH9_HOSTC_MASK);
    pci_intx_init(dev);
    smbus_init(&ich9->smbus, dev, SMBUS_ICH9_SIZE);
    pci_bar_add(dev, ICH9_BAR, PCI_BAR_IO, false, SMBUS_ICH9_SIZE);
    pci_bar_add_region(dev, ICH9_BAR, 0, SMBUS_ICH9_SIZE, &smbus_ops, &ich9->smbus, &device->lock,
                       "smbus");
    return true;
}

static void
ich9_reset(Device *device)
{
    g_mutex_lock(&device->lock);
    smbus_reset(&((Ich9Smbus *)device)->smbus);
    g_mutex_unlock(&device->lock);
}

static const SavedField smbus_fields[] = {
    SAVED(Smbus, status, 1),      SAVED(Smbus, control, 1),    SAVED(Smbus, command, 1),
    SAVED(Smbus, address, 1),     SAVED_BYTES(Smbus, data, 1), SAVED(Smbus, block_at, 1),
    SAVED_BYTES(Smbus, block, 1),
};

const SavedTable smbus_saved = {
    .name = "smbus",
    .version = 1,
    .oldest = 1,
    .fields = smbus_fields,
    .n_fields = G_N_ELEMENTS(smbus_fields),
};

static const SavedField ich9_fields[] = {
    SAVED_STRUCT(Ich9Smbus, smbus, smbus_saved, 1),
};

static const SavedTable ich9_saved = {
    .name = "ich9-smbus",
    .version = 1,
    .oldest = 1,
    .fields = ich9_fields,
    .n_fields = G_N_ELEMENTS(ich9_fields),
};

const IoOps smbus_ops = { smbus_read, smbus_write, .sizes = 1, .split = true };

static const PciDetails ich9_details = {
    .vendor = 0x8086,
    .device = 0x2930,
    .class_code = 0x0c0500,
    .revision = 2,
    .config_written = ich9_config_written,
    .config_loaded = ich9_update,
};

const DeviceClass ich9_smbus_class = {
    .name = "ICH9-SMB",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .board = true,
    .state_size = sizeof(Ich9Smbus),
    .saved = &ich9_saved,
    .realize = ich9_realize,
    .reset = ich9_reset,
    .details = &ich9_details,
};
