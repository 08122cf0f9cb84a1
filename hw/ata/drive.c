/* drive.c - ide-hd and ide-cd: the drives on an ATA bus.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/ata/ata.h"
#include "util/error.h"

bool
ata_bus_init(AtaBus *bus, Device *owner, const char *name, unsigned number, IoLoop *loop,
             unsigned units, bool serial, GError **err)
{
    bus->number = number;
    bus->bus = (Bus){ .name = name, .kind = BUS_IDE, .owner = owner, .impl = bus };
    bus->loop = loop;
    bus->units = units;
    bus->serial = serial;
    return bus_add(owner->machine, &bus->bus, err);
}

void
ata_bus_fini(AtaBus *bus)
{
    if (bus->bus.owner)
        bus_remove(bus->bus.owner->machine, &bus->bus);
}

/* ---- state ---- */

static void
drive_geometry(AtaDrive *drive)
{
    uint64_t size = drive_size(&drive->drive) / drive->drive.logical_block_size;

    drive->heads = 16;
    drive->sectors = 63;
    drive->cylinders = (uint16_t)CLAMP(size / (16 * 63), 2u, 16383u);
}

void
ata_drive_reset(AtaDrive *drive, bool power_on)
{
    drive_geometry(drive);
    drive->multiple = 16;
    drive->standby = false;
    drive->failed_tag = 0x80;
    if (!power_on)
        return;
    drive->transfer_mode = drive->bus->serial ? 0x45 : 0x22; /* Ultra DMA 5, multiword DMA 2 */
    drive->smart = true;
    drive_reset(&drive->drive);
    if (drive->atapi)
        scsi_lun_reset(&drive->lun);
}

void
ata_drive_signature(const AtaDrive *drive, AtaTaskfile *tf)
{
    tf->count = 1;
    tf->lba = drive->atapi ? 0xeb1401 : 1;
    tf->device &= ATA_DEV_SLAVE;
    tf->error = 1;
    tf->status = drive->atapi ? 0 : ATA_SR_READY | ATA_SR_SEEK;
}

/* ---- devices ---- */

static void
drive_medium(Drive *drive, bool loaded)
{
    scsi_lun_medium(&((AtaDrive *)drive->dev)->lun, loaded);
}

static void
drive_eject_request(Drive *drive)
{
    scsi_lun_eject_request(&((AtaDrive *)drive->dev)->lun);
}

static const DriveOps cd_drive_ops = { drive_medium, drive_eject_request };

static bool
drive_place(AtaDrive *drive, GError **err)
{
    AtaBus *bus = drive->bus;

    for (unsigned i = 0; drive->unit == UINT32_MAX && i < bus->units; i++) {
        if (!bus->drives[i])
            drive->unit = i;
    }
    if (drive->unit >= bus->units)
        return device_error(&drive->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "bus '%s' has room for %u drive%s, and no free unit like this",
                            bus->bus.name, bus->units, bus->units == 1 ? "" : "s");
    if (bus->drives[drive->unit])
        return device_error(&drive->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "unit %u of bus '%s' is taken by device '%s'", drive->unit,
                            bus->bus.name, bus->drives[drive->unit]->device.path);
    return true;
}

static void
drive_plug_call(void *opaque)
{
    AtaDrive *drive = opaque;

    ata_drive_reset(drive, true);
    drive->bus->drives[drive->unit] = drive;
    drive->plugged = true;
    if (drive->bus->changed)
        drive->bus->changed(drive->bus);
}

static void
drive_unplug_call(void *opaque)
{
    AtaDrive *drive = opaque;

    drive_drain(&drive->drive);
    drive->bus->drives[drive->unit] = NULL;
    drive->plugged = false;
    if (drive->bus->changed)
        drive->bus->changed(drive->bus);
}

static bool
drive_realize(AtaDrive *drive, bool atapi, GError **err)
{
    drive->bus = drive->device.bus->impl;
    drive->atapi = atapi;
    if (!drive_place(drive, err) ||
        !drive_open(&drive->drive, &drive->device, drive->bus->loop, ATA_QUEUE, atapi,
                    atapi ? &cd_drive_ops : NULL, err))
        return false;
    if (atapi) {
        scsi_lun_init(&drive->lun, &drive->device, &drive->drive, SCSI_CDROM);
        drive->lun.keeps_sense = true;
        drive->lun.product = drive->model;
        drive->lun.revision = drive->version;
    } else if (drive_read_only(&drive->drive)) {
        return device_error(&drive->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "block node '%s' is read-only, which an ATA disk cannot be",
                            block_node_name(drive->drive.node));
    } else if (drive->drive.logical_block_size > 4096) {
        return device_error(&drive->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "logical_block_size=%u is more than 4096",
                            drive->drive.logical_block_size);
    }
    io_loop_run_sync(drive->bus->loop, drive_plug_call, drive);
    return true;
}

static bool
hd_realize(Device *dev, GError **err)
{
    return drive_realize((AtaDrive *)dev, false, err);
}

static bool
cd_realize(Device *dev, GError **err)
{
    return drive_realize((AtaDrive *)dev, true, err);
}

static void
drive_unrealize(Device *dev)
{
    AtaDrive *drive = (AtaDrive *)dev;

    if (drive->plugged)
        io_loop_run_sync(drive->bus->loop, drive_unplug_call, drive);
    drive_close(&drive->drive);
}

static char *
drive_firmware_node(Device *dev)
{
    AtaDrive *drive = (AtaDrive *)dev;

    return g_strdup_printf("drive@%x/disk@%x", drive->bus->number, drive->unit);
}

static bool
drive_after_load(void *state, GError **err)
{
    AtaDrive *drive = state;

    if (drive->multiple > 16 || (drive->multiple & (drive->multiple - 1)) || drive->heads == 0 ||
        drive->heads > 16 || drive->sectors == 0 || drive->sectors > 255)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the drive's saved geometry %u/%u/%u or block of %u sectors is "
                              "impossible",
                              drive->cylinders, drive->heads, drive->sectors, drive->multiple);
    return true;
}

static const SavedField drive_fields[] = {
    SAVED_STRUCT(AtaDrive, drive, drive_saved, 1),
    SAVED_STRUCT(AtaDrive, lun, scsi_lun_saved, 1),
    SAVED(AtaDrive, cylinders, 1),
    SAVED(AtaDrive, heads, 1),
    SAVED(AtaDrive, sectors, 1),
    SAVED(AtaDrive, multiple, 1),
    SAVED(AtaDrive, transfer_mode, 1),
    SAVED(AtaDrive, smart, 1),
    SAVED(AtaDrive, standby, 1),
    SAVED(AtaDrive, failed_tag, 1),
    SAVED(AtaDrive, failed_status, 1),
    SAVED(AtaDrive, failed_error, 1),
    SAVED(AtaDrive, failed_lba, 1),
};

static const SavedTable ata_drive_saved = {
    .name = "ata-drive",
    .version = 1,
    .oldest = 1,
    .fields = drive_fields,
    .n_fields = G_N_ELEMENTS(drive_fields),
    .after_load = drive_after_load,
};

#define ATA_PROPS                                                                                  \
    DRIVE_PROPS(AtaDrive, drive),                                                                  \
        { "unit", PROP_UINT32, offsetof(AtaDrive, unit), "4294967295",                             \
          .help = "0: master, 1: slave; the next free one if not given" },                         \
        { "model", PROP_STRING, offsetof(AtaDrive, model), .help = "40 characters" },              \
        { "ver", PROP_STRING, offsetof(AtaDrive, version), .help = "8 characters" },               \
    {                                                                                              \
        "wwn", PROP_UINT64, offsetof(AtaDrive, wwn)                                                \
    }

static const DeviceProp hd_props[] = {
    DRIVE_IMAGE_PROP(AtaDrive, drive, true),
    ATA_PROPS,
    DRIVE_SIZE_PROPS(AtaDrive, drive),
    { "rotation_rate", PROP_UINT16, offsetof(AtaDrive, rotation_rate), "0",
      .help = "per minute; 1: no rotation, 0: not told" },
};

static const DeviceProp cd_props[] = {
    DRIVE_IMAGE_PROP(AtaDrive, drive, false),
    ATA_PROPS,
};

const DeviceClass ide_hd_class = {
    .name = "ide-hd",
    .description = "ATA disk",
    .bus = BUS_IDE,
    .state_size = sizeof(AtaDrive),
    .drive_offset = offsetof(AtaDrive, drive),
    .props = hd_props,
    .n_props = G_N_ELEMENTS(hd_props),
    .saved = &ata_drive_saved,
    .firmware_node = drive_firmware_node,
    .realize = hd_realize,
    .unrealize = drive_unrealize,
    .syscalls = block_queue_syscalls,
};

const DeviceClass ide_cd_class = {
    .name = "ide-cd",
    .description = "ATAPI drive for CDs and DVDs",
    .bus = BUS_IDE,
    .state_size = sizeof(AtaDrive),
    .drive_offset = offsetof(AtaDrive, drive),
    .props = cd_props,
    .n_props = G_N_ELEMENTS(cd_props),
    .saved = &ata_drive_saved,
    .firmware_node = drive_firmware_node,
    .realize = cd_realize,
    .unrealize = drive_unrealize,
    .syscalls = block_queue_syscalls,
};
