/* unit.c - scsi-hd and scsi-cd: logical units on a SCSI bus, and the bus itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/scsi/private.h"
#include "util/error.h"

typedef struct {
    Device device; /* first */
    Drive drive;
    ScsiLun lun;
    char *vendor, *product, *revision, *device_id;
    uint64_t wwn, port_wwn;
    uint16_t rotation_rate;
    int32_t channel, target, unit; /* -1: the next free one */
    ScsiBus *bus;
    bool plugged;
} ScsiUnit;

/* ---- the bus ---- */

bool
scsi_bus_init(ScsiBus *bus, Device *owner, const char *name, IoLoop *loop, GError **err)
{
    bus->bus = (Bus){ .name = name,
                      .kind = BUS_SCSI,
                      .owner = owner,
                      .impl = bus,
                      .hotplug = &bus_hotplug_plain };
    bus->loop = loop;
    bus->units = g_ptr_array_new();
    return bus_add(owner->machine, &bus->bus, err);
}

void
scsi_bus_fini(ScsiBus *bus)
{
    if (!bus->units)
        return;
    bus_remove(bus->bus.owner->machine, &bus->bus);
    g_clear_pointer(&bus->units, g_ptr_array_unref);
}

static ScsiUnit *
bus_unit(ScsiBus *bus, unsigned target, unsigned unit)
{
    for (guint i = 0; i < bus->units->len; i++) {
        ScsiUnit *u = bus->units->pdata[i];

        if (u->target == (int32_t)target && u->unit == (int32_t)unit)
            return u;
    }
    return NULL;
}

ScsiLun *
scsi_bus_find(ScsiBus *bus, unsigned target, unsigned unit)
{
    ScsiUnit *u = bus_unit(bus, target, unit);

    return u ? &u->lun : NULL;
}

unsigned
scsi_bus_units(ScsiBus *bus, unsigned target, uint16_t *units, unsigned max)
{
    unsigned n = 0;

    for (guint i = 0; i < bus->units->len; i++) {
        ScsiUnit *u = bus->units->pdata[i];

        if (u->target == (int32_t)target && n < max)
            units[n++] = (uint16_t)u->unit;
    }
    return n;
}

static void
bus_each(ScsiBus *bus, void (*fn)(Drive *drive))
{
    for (guint i = 0; i < bus->units->len; i++)
        fn(&((ScsiUnit *)bus->units->pdata[i])->drive);
}

void
scsi_bus_drain(ScsiBus *bus)
{
    bus_each(bus, drive_drain);
}

void
scsi_bus_pause(ScsiBus *bus)
{
    bus_each(bus, drive_pause);
}

void
scsi_bus_resume(ScsiBus *bus)
{
    bus_each(bus, drive_resume);
}

void
scsi_bus_submit(ScsiBus *bus)
{
    bus_each(bus, drive_submit);
}

void
scsi_bus_reset(ScsiBus *bus)
{
    for (guint i = 0; i < bus->units->len; i++) {
        ScsiUnit *u = bus->units->pdata[i];

        drive_reset(&u->drive);
        scsi_lun_reset(&u->lun);
    }
}

/* ---- units ---- */

static unsigned
unit_list(ScsiLun *lun, uint16_t *units, unsigned max)
{
    ScsiUnit *u = (ScsiUnit *)lun->dev;

    return scsi_bus_units(u->bus, (unsigned)u->target, units, max);
}

static void
unit_attention(ScsiLun *lun, uint8_t asc, uint8_t ascq)
{
    ScsiUnit *u = (ScsiUnit *)lun->dev;

    if (u->bus->attention)
        u->bus->attention(u->bus, (unsigned)u->target, (unsigned)u->unit, asc, ascq);
}

static void
unit_medium(Drive *drive, bool loaded)
{
    scsi_lun_medium(&((ScsiUnit *)drive->dev)->lun, loaded);
}

static void
unit_eject_request(Drive *drive)
{
    scsi_lun_eject_request(&((ScsiUnit *)drive->dev)->lun);
}

static const DriveOps unit_drive_ops = { unit_medium, unit_eject_request };

static bool
unit_place(ScsiUnit *u, GError **err)
{
    ScsiBus *bus = u->bus;

    if (u->channel > 0)
        return device_error(&u->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "channel=%d: bus '%s' has channel 0 only", u->channel, bus->bus.name);
    if (u->unit < 0 && u->target >= 0)
        u->unit = 0;
    for (unsigned t = 0; u->target < 0 && t <= bus->max_target; t++) {
        if (!bus_unit(bus, t, (unsigned)MAX(u->unit, 0)))
            u->target = (int32_t)t;
    }
    u->unit = MAX(u->unit, 0);
    if (u->target < 0 || (unsigned)u->target > bus->max_target || (unsigned)u->unit > bus->max_unit)
        return device_error(&u->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "scsi-id=%d,lun=%d is not free or beyond the %u targets of %u units on "
                            "bus '%s'",
                            u->target, u->unit, bus->max_target + 1, bus->max_unit + 1,
                            bus->bus.name);
    if (bus_unit(bus, (unsigned)u->target, (unsigned)u->unit))
        return device_error(&u->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "scsi-id=%d,lun=%d on bus '%s' is taken", u->target, u->unit,
                            bus->bus.name);
    return true;
}

static void
unit_plug_call(void *opaque)
{
    ScsiUnit *u = opaque;

    g_ptr_array_add(u->bus->units, u);
    u->plugged = true;
    if (u->bus->plugged)
        u->bus->plugged(u->bus, (unsigned)u->target, (unsigned)u->unit, true);
}

static void
unit_unplug_call(void *opaque)
{
    ScsiUnit *u = opaque;

    drive_drain(&u->drive);
    g_ptr_array_remove(u->bus->units, u);
    u->plugged = false;
    if (u->bus->plugged)
        u->bus->plugged(u->bus, (unsigned)u->target, (unsigned)u->unit, false);
}

static bool
unit_realize(ScsiUnit *u, ScsiKind kind, GError **err)
{
    u->bus = u->device.bus->impl;
    if (!unit_place(u, err) || !drive_open(&u->drive, &u->device, u->bus->loop, u->bus->depth,
                                           kind == SCSI_CDROM, &unit_drive_ops, err))
        return false;
    scsi_lun_init(&u->lun, &u->device, &u->drive, kind);
    u->lun.number = (uint8_t)u->unit;
    u->lun.vendor = u->vendor;
    u->lun.product = u->product;
    u->lun.revision = u->revision;
    u->lun.device_id = u->device_id;
    u->lun.wwn = u->wwn;
    u->lun.port_wwn = u->port_wwn;
    u->lun.rotation_rate = u->rotation_rate;
    u->lun.list_units = unit_list;
    u->lun.attention = unit_attention;
    io_loop_run_sync(u->bus->loop, unit_plug_call, u);
    return true;
}

static bool
hd_realize(Device *dev, GError **err)
{
    return unit_realize((ScsiUnit *)dev, SCSI_DISK, err);
}

static bool
cd_realize(Device *dev, GError **err)
{
    return unit_realize((ScsiUnit *)dev, SCSI_CDROM, err);
}

static void
unit_unrealize(Device *dev)
{
    ScsiUnit *u = (ScsiUnit *)dev;

    if (u->plugged)
        io_loop_run_sync(u->bus->loop, unit_unplug_call, u);
    drive_close(&u->drive);
}

static char *
unit_firmware_node(Device *dev)
{
    ScsiUnit *u = (ScsiUnit *)dev;

    return g_strdup_printf("channel@0/disk@%x,%x", (unsigned)u->target, (unsigned)u->unit);
}

static const SavedField unit_fields[] = {
    SAVED_STRUCT(ScsiUnit, drive, drive_saved, 1),
    SAVED_STRUCT(ScsiUnit, lun, scsi_lun_saved, 1),
};

static const SavedTable unit_saved = {
    .name = "scsi-unit",
    .version = 1,
    .oldest = 1,
    .fields = unit_fields,
    .n_fields = G_N_ELEMENTS(unit_fields),
};

#define UNIT_PROPS                                                                                 \
    DRIVE_PROPS(ScsiUnit, drive), { "channel", PROP_INT32, offsetof(ScsiUnit, channel), "0" },     \
        { "scsi-id", PROP_INT32, offsetof(ScsiUnit, target), "-1", .help = "target on the bus" },  \
        { "lun", PROP_INT32, offsetof(ScsiUnit, unit), "-1", .help = "unit of the target" },       \
        { "vendor", PROP_STRING, offsetof(ScsiUnit, vendor), .help = "8 characters" },             \
        { "product", PROP_STRING, offsetof(ScsiUnit, product), .help = "16 characters" },          \
        { "ver", PROP_STRING, offsetof(ScsiUnit, revision), .help = "4 characters" },              \
        { "device_id", PROP_STRING, offsetof(ScsiUnit, device_id),                                 \
          .help = "in the device identification page; default: serial" },                          \
        { "wwn", PROP_UINT64, offsetof(ScsiUnit, wwn) },                                           \
    {                                                                                              \
        "port_wwn", PROP_UINT64, offsetof(ScsiUnit, port_wwn)                                      \
    }

static const DeviceProp hd_props[] = {
    DRIVE_IMAGE_PROP(ScsiUnit, drive, true),
    UNIT_PROPS,
    DRIVE_SIZE_PROPS(ScsiUnit, drive),
    { "rotation_rate", PROP_UINT16, offsetof(ScsiUnit, rotation_rate), "0",
      .help = "per minute; 1: no rotation, 0: not told" },
};

static const DeviceProp cd_props[] = {
    DRIVE_IMAGE_PROP(ScsiUnit, drive, false),
    UNIT_PROPS,
};

const DeviceClass scsi_hd_class = {
    .name = "scsi-hd",
    .description = "SCSI disk",
    .bus = BUS_SCSI,
    .hotpluggable = true,
    .state_size = sizeof(ScsiUnit),
    .drive_offset = offsetof(ScsiUnit, drive),
    .props = hd_props,
    .n_props = G_N_ELEMENTS(hd_props),
    .saved = &unit_saved,
    .firmware_node = unit_firmware_node,
    .realize = hd_realize,
    .unrealize = unit_unrealize,
    .syscalls = block_queue_syscalls,
};

const DeviceClass scsi_cd_class = {
    .name = "scsi-cd",
    .description = "SCSI drive for CDs and DVDs",
    .bus = BUS_SCSI,
    .hotpluggable = true,
    .state_size = sizeof(ScsiUnit),
    .drive_offset = offsetof(ScsiUnit, drive),
    .props = cd_props,
    .n_props = G_N_ELEMENTS(cd_props),
    .saved = &unit_saved,
    .firmware_node = unit_firmware_node,
    .realize = cd_realize,
    .unrealize = unit_unrealize,
    .syscalls = block_queue_syscalls,
};
