/* device.h - what a device model is: one const DeviceClass, listed in hw/devices.def.
 *
 * Properties, saved state, reset and listings are walks over the class's tables; a class may stand
 * on a base class (a PCI device, a virtio device) whose tables and functions come with it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_DEVICE_H
#define KILN_HW_CORE_DEVICE_H

#include "hw/core/machine.h"
#include "hw/core/saved.h"

typedef struct DeviceClass DeviceClass;

typedef enum {
    BUS_SYSTEM,
    BUS_ISA,
    BUS_PCI,
    BUS_VIRTIO_SERIAL,
    BUS_IDE,
    BUS_SCSI,
    BUS_USB
} BusKind;

typedef struct BusHotplug BusHotplug;

/* Where devices are plugged. Embedded in the device that offers it. */
struct Bus {
    const char *name; /* "pcie.0"; owned by the one who adds the bus */
    BusKind kind;
    Device *owner;     /* NULL: the board */
    void *impl;        /* PciBus, … */
    unsigned children; /* devices on it, counted by device_new */
    /* Hot plugging. NULL: devices come and go only while the machine is made. Main thread, without
     * device locks. */
    const BusHotplug *hotplug;
};

struct BusHotplug {
    /* Optional. Refuses, by name, what cannot be plugged in now. Before the device is made. */
    bool (*check)(Bus *bus, GHashTable *props, GError **err);
    /* Tells the guest of a device that has come. */
    void (*plugged)(Bus *bus, Device *dev);
    /* Asks the guest to let go of the device; once it has, whoever hears of it calls
     * device_unplug_later(). NULL: the device goes at once. */
    bool (*unplug)(Bus *bus, Device *dev, GError **err);
};

/* Of a bus whose devices tell the guest of themselves when they are realized, and go without
 * asking, as one that is pulled out. */
extern const BusHotplug bus_hotplug_plain;

bool bus_add(Machine *machine, Bus *bus, GError **err);
void bus_remove(Machine *machine, Bus *bus);
/* By name; NULL @name finds the first bus of that kind with room for a default device. */
Bus *bus_find(Machine *machine, BusKind kind, const char *name, GError **err);

/* How a property's text is read and what lies at its offset. */
typedef enum {
    PROP_BOOL,      /* bool: on, off, true, false, yes, no */
    PROP_ONOFFAUTO, /* int: OnOffAuto */
    PROP_UINT8,
    PROP_UINT16,
    PROP_UINT32,
    PROP_UINT64, /* decimal or 0x */
    PROP_INT32,
    PROP_SIZE,        /* uint64_t bytes; suffix K M G T */
    PROP_STRING,      /* char *, owned by the device */
    PROP_ENUM,        /* int: index into names */
    PROP_MAC,         /* uint8_t[6] */
    PROP_PCI_ADDRESS, /* int32_t devfn, -1 unset; hexadecimal "SLOT[.FUNCTION]" */
    PROP_BLOCK_NODE,
    PROP_NETDEV,
    PROP_CHARDEV,
    PROP_IOTHREAD,
    PROP_RNG,
    /* PropObject: claimed from the machine, released at the end */
} PropKind;

typedef enum { ONOFFAUTO_AUTO, ONOFFAUTO_ON, ONOFFAUTO_OFF } OnOffAuto;

typedef struct {
    char *id;
    void *object; /* NULL when the property was not given */
} PropObject;

typedef struct {
    const char *name;
    PropKind kind;
    size_t offset;        /* in the device's state struct */
    const char *fallback; /* text used when it is not given; NULL: zero, -1 or unset */
    bool required;
    uint64_t min, max;        /* numbers; max 0: the type's own limit */
    const char *const *names; /* PROP_ENUM, NULL-terminated */
    size_t set_offset;        /* if nonzero: bool set true when the property was given */
    const char *help;
} DeviceProp;

/* A name under which a class has other defaults: NAME, VALUE, … NULL. */
typedef struct {
    const char *name; /* NULL ends a list */
    const char *defaults[6];
} DeviceVariant;

/* A model. Functions may be NULL. Those of a base class run too: realize base first, all others
 * derived first. All are called in the main thread without the device's lock, vCPUs possibly
 * running. */
struct DeviceClass {
    const char *name;              /* as in -device */
    const char *const *aliases;    /* NULL-terminated, may be NULL */
    const DeviceVariant *variants; /* may be NULL */
    const char *description;
    const DeviceClass *base;
    BusKind bus;
    bool abstract; /* only a base */
    bool board;    /* made by the board, not by -device */
    bool hotpluggable;
    size_t state_size;   /* of the state struct, whose first member is a Device */
    size_t drive_offset; /* of a disk's Drive (hw/block/drive.h) in it; 0: no disk */
    const DeviceProp *props;
    size_t n_props;
    const SavedTable *saved; /* NULL: has no state */
    bool (*realize)(Device *dev, GError **err);
    void (*ready)(Device *dev);     /* after realize of the whole chain; base first */
    void (*reset)(Device *dev);     /* power-on state, in flight drained; vCPUs stand still */
    void (*unrealize)(Device *dev); /* undoes realize, also a partial one */
    void (*set_running)(Device *dev, bool running); /* false: drain, and start nothing new */
    /* What the device adds to the path by which firmware knows it, behind its bus's owner:
     * "disk@0,0", "channel@0/disk@0,0" (IEEE 1275 as QEMU's bootorder writes it). Each class of the
     * chain adds its part, base first. The caller frees. */
    char *(*firmware_node)(Device *dev);
    const char *option_rom;      /* a PCI function's, where PciDetails does not name it */
    const void *details;         /* what the base wants to know: PciDetails, … */
    const char *const *syscalls; /* beyond the common ones, NULL-terminated */
};

struct Device {
    const DeviceClass *class;
    Machine *machine;
    char *id;    /* NULL when none was given */
    char *path;  /* unique name in saved state: id, or class name and a number */
    Bus *bus;    /* NULL on BUS_SYSTEM */
    GMutex lock; /* guards the registers; taken by the access dispatcher */
    bool realized;
    bool unplugging; /* the guest was asked to let go of it; atomic */
    GSource *unplug; /* about to be freed */
};

/* A class by name, alias or variant; NULL when there is none. */
const DeviceClass *device_class_find(const char *name);
/* The variant of @class that @name says; NULL for the class itself. */
const DeviceVariant *device_variant_find(const DeviceClass *class, const char *name);
/* All classes of hw/devices.def in its order. */
const DeviceClass *const *device_class_list(size_t *ret_n);

/* Makes a device on @machine from a property map (char * to char *, both borrowed; "driver" is
 * ignored, "id" and "bus" are common to all). Refuses unknown, missing and bad properties by name.
 * The machine owns the result. Main thread. */
Device *device_new(Machine *machine, const char *driver, GHashTable *props, GError **err);
/* The same for the board's own devices, from NAME, VALUE, …, NULL. */
Device *device_new_board(Machine *machine, const char *driver, GError **err,
                         ...) G_GNUC_NULL_TERMINATED;

/* Unplugs and frees. No vCPU may be inside one of its callbacks when realize'd regions are removed:
 * unrealize removes them and synchronizes. Main thread. */
void device_free(Device *dev);

/* QMP device_add: makes a device on a running or paused machine and tells the guest. Refuses what
 * cannot be plugged in. Main thread. */
Device *device_plug(Machine *machine, const char *driver, GHashTable *props, GError **err);
/* QMP device_del: asks the guest to let go of the device. When that is done, or at once where
 * nobody need be asked, it is freed with a DEVICE_DELETED event. Main thread. */
bool device_unplug(Device *dev, GError **err);
/* The guest has let go: the device, and what is plugged into it, is freed in the main loop with
 * DEVICE_DELETED events. Any thread, with any lock. */
void device_unplug_later(Device *dev);
/* Frees the device now, and what is plugged into it before it, with DEVICE_DELETED events. Main
 * thread. */
void device_delete(Device *dev);
/* The guest will not let go: DEVICE_UNPLUG_GUEST_ERROR. Any thread. */
void device_unplug_refused(Device *dev);

/* Text of "-device help" (classes) and "-device NAME,help" (properties). Caller frees. */
char *device_help_classes(void);
char *device_help_props(const DeviceClass *class);
/* Whether devices of the class have a property of that name. */
bool device_class_has_prop(const DeviceClass *class, const char *name);

/* The path by which firmware knows the device: "/pci@i0cf8/scsi@3/disk@0,0". The caller frees. */
char *device_firmware_path(Device *dev);

/* True when @class is @base or stands on it. */
bool device_class_is(const DeviceClass *class, const DeviceClass *base);

/* Sets @err with "device 'ID' (CLASS): …"; returns false. */
bool device_error(Device *dev, GError **err, int code, const char *format, ...) G_GNUC_PRINTF(4, 5);

#endif
