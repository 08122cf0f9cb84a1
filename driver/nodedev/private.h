/* private.h - what a device's source tells of it, and what is made of that.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODEDEV_PRIVATE_H
#define KILN_DRIVER_NODEDEV_PRIVATE_H

#include "driver/nodedev/nodedev.h"

/* Capabilities; 1 << CAP is the flag of virConnectListAllNodeDevices. */
typedef enum {
    CAP_SYSTEM,
    CAP_PCI,
    CAP_USB_DEVICE,
    CAP_USB_INTERFACE,
    CAP_NET,
    CAP_SCSI_HOST,
    CAP_SCSI_TARGET,
    CAP_SCSI,
    CAP_STORAGE,
    CAP_FC_HOST,
    CAP_VPORTS,
    CAP_SCSI_GENERIC,
    CAP_DRM,
    CAP_MDEV_TYPES,
    CAP_MDEV,
    CAP_COUNT
} DeviceCap;

/* A device as its source has it. Bytes in it come from devices: they are text to quote, and numbers
 * to check. */
typedef struct {
    char *syspath;                                          /* "/sys/devices/…" */
    char *subsystem, *sysname, *devtype, *driver, *devnode; /* each may be NULL */
    char **links;                                           /* other names of devnode, or NULL */
    GHashTable *properties;                                 /* name → value */
} DeviceFacts;

DeviceFacts *device_facts_new(const char *syspath);
void device_facts_free(DeviceFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceFacts, device_facts_free)

/* A property, or NULL. */
const char *device_property(const DeviceFacts *facts, const char *key);

/* Where devices come from: udev, or a test. */
typedef struct DeviceSource DeviceSource;
typedef void (*DeviceFound)(void *opaque, const char *action, const DeviceFacts *facts);
struct DeviceSource {
    const char *root; /* before /sys and /usr; "" on a real host */
    /* Tells all there are, with action "add"; and begins to watch, telling @found of changes from
     * the main loop's thread. */
    void (*start)(DeviceSource *source, DeviceFound found, void *opaque);
    /* The device at @syspath as it is now; NULL when it is gone. Any thread. */
    DeviceFacts *(*look)(DeviceSource *source, const char *syspath);
    void (*free)(DeviceSource *source);
    /* Writes to a file of /sys; 0 or -errno. Loads a module of the kernel. Any thread. */
    int (*write)(DeviceSource *source, const char *path, const char *text);
    bool (*load)(DeviceSource *source, const char *module);
};
DeviceSource *device_source_udev(void);

/* Takes @source. */
NodeDevices *node_devices_new_from(DeviceSource *source, const NodeDeviceOps *ops, void *opaque);

/* manager.c: where the device comes from, a PCI device that nobody else works on until
 * node_devices_unlock_pci(); NULL with @err, and nothing locked. *ret is the caller's. */
DeviceSource *node_devices_lock_pci(NodeDevices *devices, const char *name, DeviceFacts **ret,
                                    GError **err);
void node_devices_unlock_pci(NodeDevices *devices);

/* caps.c */
/* What the device is; -1 when it is nothing that clients are told of. */
int device_cap(const DeviceFacts *facts);
/* Its name ("pci_0000_00_1f_2"); NULL when it is not told of after all. */
char *device_name(const char *root, const DeviceFacts *facts, DeviceCap cap);
/* Flags of all its capabilities. */
unsigned device_flags(const char *root, const DeviceFacts *facts, DeviceCap cap);
const char *device_cap_name(DeviceCap cap);
/* <device>; @parent may be NULL. @facts is NULL for the computer. */
char *device_format(const char *root, const DeviceFacts *facts, DeviceCap cap, const char *name,
                    const char *parent);
/* A world wide name of a host adapter ("node_name", "port_name", "fabric_name"), or NULL. */
char *device_wwn(const char *root, const DeviceFacts *facts, const char *which);

/* A number in a file of the device or a property; @fallback when there is none. */
guint64 device_attr_number(const char *root, const DeviceFacts *facts, const char *attr,
                           unsigned base, guint64 fallback);
guint64 device_number(const char *text, unsigned base, guint64 fallback);
/* A file's text without control characters; NULL for none and for an empty one. */
char *device_attr(const char *root, const DeviceFacts *facts, const char *attr);

/* <capability type='pci'>, 'net' and 'storage': caps_pci.c, caps_net.c, caps_storage.c */
void device_format_pci(GString *xml, const char *root, const DeviceFacts *facts);
void device_format_net(GString *xml, const char *root, const DeviceFacts *facts);
void device_format_storage(GString *xml, const char *root, const DeviceFacts *facts);
/* "disk", "cdrom", "floppy", "sd"; NULL for what is not told of. */
const char *device_drive_type(const DeviceFacts *facts);

#endif
