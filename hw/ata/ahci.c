/* ahci.c - the SATA controller of the ICH9 in AHCI mode (Intel 316972 chapter 15; AHCI 1.3.1
 * sections 2 and 3.1): six ports, 32 commands each, NCQ, 64 bit addresses, MSI.
 *
 * Leaves out: port multipliers, command completion coalescing, enclosure management, staggered
 * spin-up and link power management, none of which CAP offers; IDE mode; hotplug of drives.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/ata/ahci.h"

#include "hw/core/bytes.h"
#include "hw/core/loop.h"
#include "util/error.h"

enum {
    ABAR_SIZE = 4096,
    PORTS_AT = 0x100,
    PORT_SIZE = 0x80,
    PAIR_SIZE = 32,
    PAIR_INDEX = 16,
    PAIR_DATA = 20,
    VERSION_1_3_1 = 0x00010301,
    CAP_SATA = 0x12, /* PCI capability */
    MAP_AHCI = 0x40, /* address map register, 0x90 */
};
/* 64 bits, NCQ, command list override, 3 Gb/s, AHCI only, 32 slots, 6 ports */
#define CAP (1u << 31 | 1u << 30 | 1u << 24 | 2u << 20 | 1u << 18 | 31u << 8 | (AHCI_PORTS - 1))

/* ---- interrupts ---- */

void
ahci_update_irq(Ahci *ahci, bool raised)
{
    uint32_t old = ahci->is;
    bool level;

    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (ahci->ports[i].is & ahci->ports[i].ie)
            ahci->is |= 1u << i;
    }
    level = (ahci->ghc & GHC_IE) && ahci->is;
    if (!pci_msi_enabled(&ahci->pci))
        pci_intx_set(&ahci->pci, level);
    else if (level && (raised || ahci->is != old))
        ahci->message = true;
}

void
ahci_lock(Ahci *ahci)
{
    g_mutex_lock(&ahci->pci.device.lock);
}

/* Takes what is due, with the lock held. The guest may have served the interrupt meanwhile. */
static bool
ahci_take_message(Ahci *ahci, MsiMessage *ret)
{
    bool due = ahci->message && (ahci->ghc & GHC_IE) && ahci->is;

    ahci->message = false;
    return due && pci_msi_take(&ahci->pci, 0, ret);
}

void
ahci_unlock(Ahci *ahci)
{
    Machine *machine = ahci->pci.device.machine;
    uint32_t called = ahci->called;
    MsiMessage msg;
    bool send = ahci_take_message(ahci, &msg);

    ahci->called = 0;
    g_mutex_unlock(&ahci->pci.device.lock);
    if (send)
        (void)machine->ops->msi_send(machine->host, &msg);
    for (; called; called &= called - 1)
        io_loop_defer(ahci->loop, ahci_port_run, &ahci->ports[__builtin_ctz(called)]);
}

/* Nothing is due because of a read: what is noted belongs to the loop, which is about to tell it
 * together with what ends next. */
static void
ahci_unlock_read(Ahci *ahci)
{
    g_mutex_unlock(&ahci->pci.device.lock);
}

static void
ahci_settle(void *opaque)
{
    Ahci *ahci = opaque;
    uint32_t called;

    ahci->settling = false;
    ahci_lock(ahci);
    called = ahci->called;
    ahci->called = 0;
    ahci_unlock(ahci);
    for (; called; called &= called - 1)
        ahci_port_run(&ahci->ports[__builtin_ctz(called)]);
}

void
ahci_settle_later(Ahci *ahci)
{
    if (ahci->settling)
        return;
    ahci->settling = true;
    io_loop_defer(ahci->loop, ahci_settle, ahci);
}

void
ahci_port_rested(Ahci *ahci)
{
    if (!(ahci->ghc & GHC_HR))
        return;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        if (ahci->ports[i].running > 0 || ahci->ports[i].resetting)
            return;
    }
    ahci->ghc &= ~(uint32_t)GHC_HR;
}

static void
port_power_on(AhciPort *port)
{
    port->clb = port->fb = 0;
    port->is = port->ie = port->serr = port->sctl = 0;
    port->cmd = PX_CMD_SUD | PX_CMD_POD;
    port->halted = port->link_down = false;
    ahci_port_reset(port);
}

/* GHC.HR (10.4.3): HR reads as one until all ports have come to rest. */
static void
ahci_hba_reset(Ahci *ahci)
{
    ahci->ghc = GHC_AE | GHC_HR;
    ahci->is = 0;
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        port_power_on(&ahci->ports[i]);
    ahci_port_rested(ahci);
    pci_intx_set(&ahci->pci, false);
}

/* ---- registers ---- */

static uint64_t
ahci_read(void *opaque, uint64_t offset, unsigned size)
{
    Ahci *ahci = opaque;

    (void)size;
    if (offset >= PORTS_AT) {
        unsigned port = (unsigned)(offset - PORTS_AT) / PORT_SIZE;

        return port < AHCI_PORTS ? ahci_port_read(&ahci->ports[port], (unsigned)offset % PORT_SIZE)
                                 : 0;
    }
    switch (offset) {
    case 0x00:
        return CAP;
    case 0x04:
        return ahci->ghc;
    case 0x08:
        return ahci->is;
    case 0x0c:
        return (1u << AHCI_PORTS) - 1;
    case 0x10:
        return VERSION_1_3_1;
    default:
        return 0;
    }
}

static void
ahci_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ahci *ahci = opaque;

    (void)size;
    if (offset >= PORTS_AT) {
        unsigned port = (unsigned)(offset - PORTS_AT) / PORT_SIZE;

        if (port < AHCI_PORTS && !(ahci->ghc & GHC_HR))
            ahci_port_write(&ahci->ports[port], (unsigned)offset % PORT_SIZE, (uint32_t)value);
        return;
    }
    if (offset == 0x04) {
        if (value & GHC_HR) {
            ahci_hba_reset(ahci);
            return;
        }
        ahci->ghc = GHC_AE | (ahci->ghc & GHC_HR) | ((uint32_t)value & GHC_IE);
        ahci_update_irq(ahci, true);
    } else if (offset == 0x08) {
        ahci->is &= ~(uint32_t)value;
        ahci_update_irq(ahci, ahci->is != 0);
    }
}

static uint64_t
ahci_bar_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value;

    ahci_lock(opaque);
    value = ahci_read(opaque, offset, size);
    ahci_unlock_read(opaque);
    return value;
}

static void
ahci_bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ahci_lock(opaque);
    ahci_write(opaque, offset, value, size);
    ahci_unlock(opaque);
}

static const IoOps ahci_ops = { ahci_bar_read, ahci_bar_write, .sizes = 4, .split = true };

/* The index-data pair (AHCI 1.3.1, 10.14): the same registers by ports. */
static uint64_t
ahci_pair_read(void *opaque, uint64_t offset, unsigned size)
{
    Ahci *ahci = opaque;
    uint64_t value = 0;

    ahci_lock(ahci);
    if (offset == PAIR_INDEX)
        value = ahci->index;
    else if (offset == PAIR_DATA)
        value = ahci_read(ahci, ahci->index, size);
    ahci_unlock_read(ahci);
    return value;
}

static void
ahci_pair_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Ahci *ahci = opaque;

    ahci_lock(ahci);
    if (offset == PAIR_INDEX)
        ahci->index = (uint32_t)value & (ABAR_SIZE - 4);
    else if (offset == PAIR_DATA)
        ahci_write(ahci, ahci->index, value, size);
    ahci_unlock(ahci);
}

static const IoOps ahci_pair_ops = { ahci_pair_read, ahci_pair_write, .sizes = 4 };

/* ---- life ---- */

static void
port_changed(AtaBus *bus)
{
    AhciPort *port = (AhciPort *)((uint8_t *)bus - offsetof(AhciPort, bus));

    ahci_lock(port->ahci);
    ahci_port_reset(port);
    ahci_unlock(port->ahci);
}

static bool
ahci_realize(Device *device, GError **err)
{
    Ahci *ahci = (Ahci *)device;
    PciDevice *dev = &ahci->pci;
    unsigned sata;

    ahci->loop = machine_io_loop(device->machine, err);
    if (!ahci->loop)
        return false;
    pci_bar_add(dev, 4, PCI_BAR_IO, false, PAIR_SIZE);
    pci_bar_add_region(dev, 4, 0, PAIR_SIZE, &ahci_pair_ops, ahci, NULL, "ahci-idp");
    pci_bar_add(dev, 5, PCI_BAR_MEM32, false, ABAR_SIZE);
    pci_bar_add_region(dev, 5, 0, ABAR_SIZE, &ahci_ops, ahci, NULL, "ahci");
    pci_intx_init(dev);
    pci_msi_init(dev, 1);
    sata = pci_capability_add(dev, CAP_SATA, 8);
    pci_config_set(dev, sata + 2, 2, 0x0010); /* revision 1.0 */
    pci_config_set(dev, sata + 4, 4, 0x0048); /* the pair is in BAR 4, at 16 */
    pci_config_set(dev, 0x90, 1, MAP_AHCI);
    ahci->ghc = GHC_AE;
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *port = &ahci->ports[i];
        /* The board's own has no name of its own; it may also be made after another. */
        bool first =
            !device->id && (ahci->buses || !bus_find(device->machine, BUS_IDE, "ide.0", NULL));

        ahci->buses = first;
        port->ahci = ahci;
        port->number = i;
        port->name = first ? g_strdup_printf("ide.%u", i)
                           : g_strdup_printf("%s.%u", device->id ? device->id : device->path, i);
        if (!ata_bus_init(&port->bus, device, port->name, i, ahci->loop, 1, true, err))
            return false;
        port->bus.changed = port_changed;
    }
    return true;
}

static void
ahci_reset_call(void *opaque)
{
    Ahci *ahci = opaque;

    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *port = &ahci->ports[i];
        AtaDrive *drive = port->bus.drives[0];

        ahci_lock(ahci);
        port->cmd &= ~(uint32_t)PX_CMD_ST;
        ahci_port_reset(port);
        ahci_unlock(ahci);
        if (drive)
            ata_drive_reset(drive, true); /* ends what runs; the port hears of it */
        ahci_lock(ahci);
        port_power_on(port);
        ahci_unlock(ahci);
    }
}

static void
ahci_reset(Device *device)
{
    Ahci *ahci = (Ahci *)device;

    io_loop_run_sync(ahci->loop, ahci_reset_call, ahci);
    ahci->ghc = GHC_AE;
    ahci->is = ahci->index = 0;
}

static void
ahci_pause_call(void *opaque)
{
    Ahci *ahci = opaque;

    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        ahci_port_run(&ahci->ports[i]);
        if (ahci->ports[i].bus.drives[0])
            drive_pause(&ahci->ports[i].bus.drives[0]->drive);
    }
    /* An interrupt that is due belongs to the state that may be saved now. */
    ahci_settle(ahci);
}

static void
ahci_resume_call(void *opaque)
{
    Ahci *ahci = opaque;

    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        AhciPort *port = &ahci->ports[i];

        /* What was loaded may wait for the end of what ran where it was saved. */
        ahci_lock(ahci);
        ahci_port_rest(port);
        ahci_unlock(ahci);
        if (port->bus.drives[0])
            drive_resume(&port->bus.drives[0]->drive);
        ahci_port_run(port);
    }
}

static void
ahci_set_running(Device *device, bool running)
{
    Ahci *ahci = (Ahci *)device;

    io_loop_run_sync(ahci->loop, running ? ahci_resume_call : ahci_pause_call, ahci);
}

/* Before the first run nobody has reset the ports. */
static void
ahci_ready(Device *device)
{
    ahci_reset(device);
}

static void
ahci_cancel_call(void *opaque)
{
    Ahci *ahci = opaque;

    for (unsigned i = 0; i < AHCI_PORTS; i++)
        io_loop_cancel(ahci->loop, ahci_port_run, &ahci->ports[i]);
    io_loop_cancel(ahci->loop, ahci_settle, ahci);
}

static void
ahci_unrealize(Device *device)
{
    Ahci *ahci = (Ahci *)device;

    if (ahci->loop)
        io_loop_run_sync(ahci->loop, ahci_cancel_call, ahci);
    for (unsigned i = 0; i < AHCI_PORTS; i++) {
        ahci_port_clear(&ahci->ports[i]);
        ata_bus_fini(&ahci->ports[i].bus);
        g_clear_pointer(&ahci->ports[i].name, g_free);
    }
}

static const SavedField port_fields[] = {
    SAVED(AhciPort, clb, 1),     SAVED(AhciPort, fb, 1),         SAVED(AhciPort, is, 1),
    SAVED(AhciPort, ie, 1),      SAVED(AhciPort, cmd, 1),        SAVED(AhciPort, tfd, 1),
    SAVED(AhciPort, sig, 1),     SAVED(AhciPort, ssts, 1),       SAVED(AhciPort, sctl, 1),
    SAVED(AhciPort, serr, 1),    SAVED(AhciPort, sact, 1),       SAVED(AhciPort, ci, 1),
    SAVED(AhciPort, halted, 1),  SAVED(AhciPort, soft_reset, 1), SAVED(AhciPort, link_down, 1),
    SAVED(AhciPort, started, 1), SAVED(AhciPort, resetting, 1),
};

/* A command that stopped the guest by an error is taken again from its slot. */
static bool
port_after_load(void *state, GError **err)
{
    AhciPort *port = state;

    (void)err;
    port->clb &= ~UINT64_C(0x3ff);
    port->fb &= ~UINT64_C(0xff);
    port->ci |= port->started;
    port->started = 0;
    return true;
}

static const SavedTable port_saved = {
    .name = "ahci-port",
    .version = 1,
    .oldest = 1,
    .fields = port_fields,
    .n_fields = G_N_ELEMENTS(port_fields),
    .after_load = port_after_load,
};

static const SavedField ahci_fields[] = {
    SAVED_STRUCTS(Ahci, ports, port_saved, 1),
    SAVED(Ahci, ghc, 1),
    SAVED(Ahci, is, 1),
    SAVED(Ahci, index, 1),
};

static bool
ahci_after_load(void *state, GError **err)
{
    Ahci *ahci = state;

    if (ahci->is >> AHCI_PORTS || ahci->index >= ABAR_SIZE)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved interrupt state %#x or index %#x is beyond the ports",
                              ahci->is, ahci->index);
    ahci->ghc = GHC_AE | (ahci->ghc & GHC_IE);
    return true;
}

static const SavedTable ahci_saved = {
    .name = "ahci",
    .version = 1,
    .oldest = 1,
    .fields = ahci_fields,
    .n_fields = G_N_ELEMENTS(ahci_fields),
    .after_load = ahci_after_load,
};

static const PciDetails ahci_details = {
    .vendor = 0x8086,
    .device = 0x2922,
    .class_code = 0x010601,
    .revision = 2,
};

static const char *const ahci_aliases[] = { "ahci", NULL };

const DeviceClass ahci_class = {
    .name = "ich9-ahci",
    .aliases = ahci_aliases,
    .description = "SATA controller (AHCI)",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(Ahci),
    .saved = &ahci_saved,
    .realize = ahci_realize,
    .ready = ahci_ready,
    .reset = ahci_reset,
    .set_running = ahci_set_running,
    .unrealize = ahci_unrealize,
    .details = &ahci_details,
};
