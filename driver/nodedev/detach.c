/* detach.c - taking PCI devices from the host for guests, giving them back, resetting them.
 *
 * Follows virNodeDeviceDetachFlags, virNodeDeviceReAttach and virNodeDeviceReset of libvirt 9.0.
 * The kernel's side is Documentation/ABI/testing/sysfs-bus-pci of Linux: driver_override, unbind,
 * drivers_probe, reset. Left out: drivers other than vfio-pci, and resets that the kernel does not
 * do by itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/node/sysfs.h"
#include "driver/nodedev/private.h"
#include "util/error.h"

#define VFIO_DRIVER "vfio-pci"

enum { CONFIG_HEADER_TYPE = 0x0e, HEADER_ENDPOINT = 0, HEADER_FUNCTIONS = 0x80 };

typedef struct {
    DeviceSource *source;
    const char *syspath, *address; /* "0000:01:00.0" */
} PciDevice;

/* The last part of where @link of the device leads; NULL when it is not there. */
static char *
linked(const PciDevice *device, const char *link)
{
    g_autofree char *path = g_strdup_printf("%s%s/%s", device->source->root, device->syspath, link);
    g_autofree char *target = g_file_read_link(path, NULL);

    return target ? g_path_get_basename(target) : NULL;
}

static bool
told(int ret, const char *file, const PciDevice *device, GError **err)
{
    return ret == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                "cannot write '%s' of PCI device %s", file, device->address);
}

/* Writes @text to a file of the device. */
static bool
tell(const PciDevice *device, const char *file, const char *text, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s/%s", device->syspath, file);

    return told(device->source->write(device->source, path, text), file, device, err);
}

/* The device goes to the driver that now wants it. */
static bool
rebind(const PciDevice *device, GError **err)
{
    g_autofree char *driver = linked(device, "driver");

    return (!driver || tell(device, "driver/unbind", device->address, err)) &&
           told(
               device->source->write(device->source, "/sys/bus/pci/drivers_probe", device->address),
               "drivers_probe", device, err);
}

/* That it is no bridge: what lies behind one would go with it. */
static bool
check_endpoint(const PciDevice *device, const char *what, GError **err)
{
    g_autofree char *path = g_strdup_printf("%s%s/config", device->source->root, device->syspath);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t type = HEADER_ENDPOINT;
    bool read = fd >= 0 && pread(fd, &type, 1, CONFIG_HEADER_TYPE) == 1;

    if (fd >= 0)
        close(fd);
    if (!read)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "the configuration space of PCI device %s cannot be read",
                              device->address);
    return (type & ~HEADER_FUNCTIONS) == HEADER_ENDPOINT ||
           kiln_error_set(
               err, VIR_ERR_INTERNAL_ERROR,
               "Invalid attempt to %s PCI device %s. Only PCI endpoint devices can be %s", what,
               device->address, strcmp(what, "reset") == 0 ? "reset" : "detached");
}

/* That no guest has it: the kernel lets one program open an IOMMU group. Does not ask whose. */
static bool
check_unused(const PciDevice *device, GError **err)
{
    g_autofree char *driver = linked(device, "driver"), *group = linked(device, "iommu_group");
    g_autofree char *path = NULL;
    int fd;

    if (!group || g_strcmp0(driver, VFIO_DRIVER) != 0)
        return true;
    path = g_strdup_printf("%s/dev/vfio/%s", device->source->root, group);
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_INVALID, errno,
                                    "PCI device %s is in use by driver %s, through IOMMU group %s",
                                    device->address, driver, group);
    if (fd >= 0)
        close(fd);
    return true;
}

/* --- detaching -------------------------------------------------------------------------------- */

static bool
check_driver(const char *driver, GError **err)
{
    if (!driver || strcmp(driver, "vfio") == 0)
        return true;
    if (strcmp(driver, "kvm") == 0)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "KVM device assignment is no longer supported on this system");
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "unknown driver name '%s'", driver);
}

/* That the host can give devices to guests at all, and this one. */
static bool
check_vfio(const PciDevice *device, GError **err)
{
    const char *root = device->source->root;
    g_autofree char *groups = g_strconcat(root, "/sys/kernel/iommu_groups", NULL);
    g_autofree char *group = linked(device, "iommu_group");
    g_autoptr(GDir) dir = g_dir_open(groups, 0, NULL);

    if (!dir || !g_dir_read_name(dir) || !sysfs_exists(root, "/dev/vfio/vfio"))
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "VFIO device assignment is currently not supported on this system");
    return group || kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                                   "PCI device %s is in no IOMMU group: VFIO cannot give it to a "
                                   "guest",
                                   device->address);
}

/* As it was before. */
static void
detach_undo(const PciDevice *device)
{
    if (tell(device, "driver_override", "\n", NULL))
        rebind(device, NULL);
}

static bool
detach(const PciDevice *device, GError **err)
{
    DeviceSource *source = device->source;
    g_autofree char *before = linked(device, "driver"), *after = NULL;

    if (!check_vfio(device, err) || !check_endpoint(device, "detach", err))
        return false;
    if (g_strcmp0(before, VFIO_DRIVER) == 0)
        return check_unused(device, err);
    if (!sysfs_exists(source->root, "/sys/bus/pci/drivers/%s", VFIO_DRIVER) &&
        !source->load(source, VFIO_DRIVER))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "Failed to load PCI driver module %s",
                              VFIO_DRIVER);
    if (!tell(device, "driver_override", VFIO_DRIVER, err))
        return false;
    if (rebind(device, err)) {
        after = linked(device, "driver");
        if (g_strcmp0(after, VFIO_DRIVER) == 0)
            return true;
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "driver %s did not take PCI device %s",
                       VFIO_DRIVER, device->address);
    }
    detach_undo(device);
    return false;
}

/* --- giving back, resetting ------------------------------------------------------------------- */

static bool
reattach(const PciDevice *device, GError **err)
{
    g_autofree char *driver = linked(device, "driver");

    if (driver && strcmp(driver, VFIO_DRIVER) != 0)
        return true; /* the host has it */
    return check_unused(device, err) && tell(device, "driver_override", "\n", err) &&
           rebind(device, err);
}

static bool
reset(const PciDevice *device, GError **err)
{
    g_autofree char *driver = linked(device, "driver");

    if (!check_endpoint(device, "reset", err) || !check_unused(device, err))
        return false;
    /* VFIO does so itself, for each guest anew */
    if (g_strcmp0(driver, VFIO_DRIVER) == 0)
        return true;
    if (!sysfs_exists(device->source->root, "%s/reset", device->syspath))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "Unable to reset PCI device %s: no FLR, PM reset or bus reset "
                              "available",
                              device->address);
    return tell(device, "reset", "1", err);
}

/* --- by name ---------------------------------------------------------------------------------- */

static bool
work_on(NodeDevices *devices, const char *name, bool (*work)(const PciDevice *, GError **),
        GError **err)
{
    g_autoptr(DeviceFacts) facts = NULL;
    DeviceSource *source = node_devices_lock_pci(devices, name, &facts, err);
    bool ok;

    if (!source)
        return false;
    ok = work(&(PciDevice){ source, facts->syspath, facts->sysname }, err);
    node_devices_unlock_pci(devices);
    return ok;
}

bool
node_device_detach(NodeDevices *devices, const char *name, const char *driver, GError **err)
{
    return check_driver(driver, err) && work_on(devices, name, detach, err);
}

bool
node_device_reattach(NodeDevices *devices, const char *name, GError **err)
{
    return work_on(devices, name, reattach, err);
}

bool
node_device_reset(NodeDevices *devices, const char *name, GError **err)
{
    return work_on(devices, name, reset, err);
}
