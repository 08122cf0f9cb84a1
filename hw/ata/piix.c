/* piix.c - the IDE function of the PIIX3 (Intel 290550 chapter 2.3) and PIIX4 (290562): two
 * channels at the legacy ports and interrupts, bus-master DMA at BAR 4.
 *
 * Leaves out: native mode; the timing registers change nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/ata/piix.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/core/loop.h"
#include "util/error.h"

enum { BM_SIZE = 16, TIMING = 0x40, TIMING_SIZE = 0x10 };

static const struct {
    uint16_t ports, alternate;
    uint32_t gsi;
    const char *bus;
} legacy[PIIX_CHANNELS] = {
    { 0x1f0, 0x3f6, 14, "ide.0" },
    { 0x170, 0x376, 15, "ide.1" },
};

/* ---- bus master registers ---- */

static uint64_t
bm_read(void *opaque, uint64_t offset, unsigned size)
{
    Piix *piix = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        const PiixChannel *ch = &piix->channels[(offset + i) / 8 % PIIX_CHANNELS];
        unsigned reg = (offset + i) % 8;
        uint8_t byte = 0;

        if (reg == 0)
            byte = ch->bm_command;
        else if (reg == 2)
            byte = ch->bm_status;
        else if (reg >= 4)
            byte = (uint8_t)(ch->bm_table >> (8 * (reg - 4)));
        value |= (uint64_t)byte << (8 * i);
    }
    return value;
}

static void
bm_write_byte(PiixChannel *ch, unsigned reg, uint8_t value)
{
    uint8_t old = ch->bm_command;

    if (reg == 0) {
        ch->bm_command = value & (BM_START | BM_TO_MEMORY);
        if (!(old & BM_START) && (value & BM_START)) {
            ch->bm_status |= BM_ACTIVE;
            piix_channel_dma(ch);
        } else if (!(value & BM_START)) {
            ch->bm_status &= (uint8_t)~BM_ACTIVE;
        }
    } else if (reg == 2) {
        ch->bm_status = (uint8_t)((value & BM_CAPABLE) | (ch->bm_status & BM_ACTIVE) |
                                  (ch->bm_status & ~value & (BM_ERROR | BM_IRQ)));
    } else if (reg >= 4) {
        unsigned shift = 8 * (reg - 4);

        ch->bm_table = (ch->bm_table & ~(0xffu << shift)) | (uint32_t)value << shift;
        ch->bm_table &= ~3u;
    }
}

static void
bm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Piix *piix = opaque;

    for (unsigned i = 0; i < size; i++)
        bm_write_byte(&piix->channels[(offset + i) / 8 % PIIX_CHANNELS], (offset + i) % 8,
                      (uint8_t)(value >> (8 * i)));
}

static const IoOps bm_ops = { bm_read, bm_write, .sizes = 1 | 2 | 4, .unaligned = true };

/* ---- life ---- */

static void
channel_changed(AtaBus *bus)
{
    PiixChannel *ch = (PiixChannel *)((uint8_t *)bus - offsetof(PiixChannel, bus));

    g_mutex_lock(&ch->piix->pci.device.lock);
    piix_channel_power_on(ch);
    g_mutex_unlock(&ch->piix->pci.device.lock);
}

static bool
channel_init(Piix *piix, unsigned i, GError **err)
{
    Device *device = &piix->pci.device;
    PiixChannel *ch = &piix->channels[i];

    ch->piix = piix;
    ch->number = i;
    ch->buffer = g_malloc0(PIIX_PIO_MAX); /* pages that no guest has touched cost nothing */
    ch->buffer_size = PIIX_PIO_MAX;
    ch->irq = (GsiSource){ .machine = device->machine, .gsi = legacy[i].gsi };
    if (!ata_bus_init(&ch->bus, device, legacy[i].bus, i, piix->loop, ATA_UNITS, false, err))
        return false;
    ch->bus.changed = channel_changed;
    ch->ports = (IoRegion){ "ide", &piix_port_ops, ch, &device->lock, 8, IO_PRIORITY_BOARD };
    ch->alternate =
        (IoRegion){ "ide-control", &piix_alternate_ops, ch, &device->lock, 1, IO_PRIORITY_BOARD };
    address_map_add(device->machine->pio, &ch->ports, legacy[i].ports);
    address_map_add(device->machine->pio, &ch->alternate, legacy[i].alternate);
    return true;
}

static bool
piix_realize(Device *device, GError **err)
{
    Piix *piix = (Piix *)device;

    piix->loop = machine_io_loop(device->machine, err);
    if (!piix->loop)
        return false;
    pci_bar_add(&piix->pci, 4, PCI_BAR_IO, false, BM_SIZE);
    pci_bar_add_region(&piix->pci, 4, 0, BM_SIZE, &bm_ops, piix, &device->lock, "ide-bmdma");
    memset(piix->pci.writable + TIMING, 0xff, TIMING_SIZE);
    pci_config_set(&piix->pci, PCI_STATUS, 2, 0x0280);
    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        pci_config_set(&piix->pci, TIMING + 2 * i, 2, 0x8000); /* the channel decodes its ports */
        if (!channel_init(piix, i, err))
            return false;
    }
    return true;
}

static void
piix_reset_call(void *opaque)
{
    Piix *piix = opaque;

    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        PiixChannel *ch = &piix->channels[i];

        g_mutex_lock(&piix->pci.device.lock);
        ch->orphan = ch->active;
        ch->resetting = true;
        ch->control = 0;
        g_mutex_unlock(&piix->pci.device.lock);
        for (unsigned u = 0; u < ATA_UNITS; u++) {
            if (ch->bus.drives[u])
                ata_drive_reset(ch->bus.drives[u], true); /* ends what runs */
        }
        channel_changed(&ch->bus);
    }
}

static void
piix_reset(Device *device)
{
    Piix *piix = (Piix *)device;

    io_loop_run_sync(piix->loop, piix_reset_call, piix);
}

static void
piix_set_running_call(Piix *piix, void (*fn)(Drive *drive))
{
    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        for (unsigned u = 0; u < ATA_UNITS; u++) {
            if (piix->channels[i].bus.drives[u])
                fn(&piix->channels[i].bus.drives[u]->drive);
        }
    }
}

static void
piix_pause_call(void *opaque)
{
    Piix *piix = opaque;

    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        while (piix->channels[i].queued) {
            io_loop_cancel(piix->loop, piix_channel_run, &piix->channels[i]);
            piix_channel_run(&piix->channels[i]);
        }
    }
    piix_set_running_call(piix, drive_pause);
}

/* What was under way when the machine was saved begins anew when all devices are loaded: the
 * drives, which come behind their controller, and what they have to tell first. */
static void
piix_resume_call(void *opaque)
{
    Piix *piix = opaque;

    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        PiixChannel *ch = &piix->channels[i];

        g_mutex_lock(&piix->pci.device.lock);
        if (ch->restore)
            piix_channel_restore(ch);
        ch->restore = false;
        g_mutex_unlock(&piix->pci.device.lock);
    }
    piix_set_running_call(piix, drive_resume);
}

static void
piix_set_running(Device *device, bool running)
{
    Piix *piix = (Piix *)device;

    io_loop_run_sync(piix->loop, running ? piix_resume_call : piix_pause_call, piix);
}

static void
piix_cancel_call(void *opaque)
{
    Piix *piix = opaque;

    for (unsigned i = 0; i < PIIX_CHANNELS; i++)
        io_loop_cancel(piix->loop, piix_channel_run, &piix->channels[i]);
}

static void
piix_unrealize(Device *device)
{
    Piix *piix = (Piix *)device;

    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        address_map_remove(device->machine->pio, &piix->channels[i].ports);
        address_map_remove(device->machine->pio, &piix->channels[i].alternate);
    }
    address_map_synchronize(device->machine->pio);
    if (piix->loop)
        io_loop_run_sync(piix->loop, piix_cancel_call, piix);
    for (unsigned i = 0; i < PIIX_CHANNELS; i++) {
        PiixChannel *ch = &piix->channels[i];

        ata_bus_fini(&ch->bus);
        gsi_source_disconnect(&ch->irq);
        ata_request_clear(&ch->req);
        g_clear_pointer(&ch->iov, g_free);
        g_clear_pointer(&ch->buffer, g_free);
    }
}

/* ---- saved state ---- */

static void
channel_before_save(void *state)
{
    PiixChannel *ch = state;

    if (ch->restore)
        return; /* it is still as it was loaded */
    ch->saved_phase = (uint8_t)ch->req.phase;
    ch->saved_command = ch->req.tf.command;
    ch->saved_moved = ch->req.moved;
    memcpy(ch->saved_packet, ch->req.packet, sizeof(ch->saved_packet));
}

static bool
channel_after_load(void *state, GError **err)
{
    PiixChannel *ch = state;

    if (ch->pio_len == 0)
        ch->pio_at = 0; /* streams of before left it where the last packet had ended */
    if (ch->unit >= ATA_UNITS || ch->owner >= ATA_UNITS || ch->pio_len > PIIX_PIO_MAX ||
        ch->pio_at > ch->pio_len || ch->saved_phase > ATA_DONE)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the channel's saved position %u of %u bytes, unit %u or phase %u is "
                              "impossible",
                              ch->pio_at, ch->pio_len, ch->unit, ch->saved_phase);
    ch->bm_table &= ~3u;
    gsi_source_set(&ch->irq, ch->irq_pending && !(ch->control & CONTROL_NIEN));
    ch->restore = true;
    return true;
}

static const SavedField regs_fields[] = {
    SAVED_BYTES(PiixRegs, features, 1), SAVED_BYTES(PiixRegs, count, 1),
    SAVED_BYTES(PiixRegs, low, 1),      SAVED_BYTES(PiixRegs, mid, 1),
    SAVED_BYTES(PiixRegs, high, 1),     SAVED(PiixRegs, device, 1),
    SAVED(PiixRegs, status, 1),         SAVED(PiixRegs, error, 1),
};

static const SavedTable regs_saved = {
    .name = "ide-registers",
    .version = 1,
    .oldest = 1,
    .fields = regs_fields,
    .n_fields = G_N_ELEMENTS(regs_fields),
};

static const SavedField channel_fields[] = {
    SAVED_STRUCTS(PiixChannel, regs, regs_saved, 1),
    SAVED(PiixChannel, unit, 1),
    SAVED(PiixChannel, control, 1),
    SAVED(PiixChannel, irq_pending, 1),
    SAVED(PiixChannel, active, 1),
    SAVED(PiixChannel, owner, 1),
    SAVED(PiixChannel, dma_wanted, 1),
    SAVED(PiixChannel, pio_at, 1),
    SAVED(PiixChannel, pio_len, 1),
    SAVED(PiixChannel, pio_in, 1),
    SAVED(PiixChannel, bm_command, 1),
    SAVED(PiixChannel, bm_status, 1),
    SAVED(PiixChannel, bm_table, 1),
    SAVED(PiixChannel, saved_phase, 1),
    SAVED_BYTES(PiixChannel, saved_packet, 1),
    SAVED(PiixChannel, saved_moved, 1),
    SAVED(PiixChannel, saved_command, 1),
    SAVED_BUFFER(PiixChannel, buffer, buffer_size, 1),
};

static const SavedTable channel_saved = {
    .name = "ide-channel",
    .version = 1,
    .oldest = 1,
    .fields = channel_fields,
    .n_fields = G_N_ELEMENTS(channel_fields),
    .before_save = channel_before_save,
    .after_load = channel_after_load,
};

static const SavedField piix_fields[] = {
    SAVED_STRUCTS(Piix, channels, channel_saved, 1),
};

static const SavedTable piix_saved = {
    .name = "piix-ide",
    .version = 1,
    .oldest = 1,
    .fields = piix_fields,
    .n_fields = G_N_ELEMENTS(piix_fields),
};

#define PIIX_CLASS(ide_name, ide_details, text)                                                    \
    {                                                                                              \
        .name = ide_name, .description = text, .base = &pci_device_class, .bus = BUS_PCI,          \
        .state_size = sizeof(Piix), .saved = &piix_saved, .realize = piix_realize,                 \
        .reset = piix_reset, .set_running = piix_set_running, .unrealize = piix_unrealize,         \
        .details = &ide_details                                                                    \
    }

static const PciDetails piix3_details = {
    .vendor = 0x8086,
    .device = 0x7010,
    .class_code = 0x010180,
};

static const PciDetails piix4_details = {
    .vendor = 0x8086,
    .device = 0x7111,
    .class_code = 0x010180,
};

const DeviceClass piix3_ide_class =
    PIIX_CLASS("piix3-ide", piix3_details, "IDE controller of the PIIX3");
const DeviceClass piix4_ide_class =
    PIIX_CLASS("piix4-ide", piix4_details, "IDE controller of the PIIX4");
