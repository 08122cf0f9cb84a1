/* nodedev.h - the host's devices as clients see them: found through libudev, told by XML.
 *
 * Follows libvirt's node device objects (formatnode, virNodeDevice* API of libvirt 9.0): names,
 * parents and capabilities are what libvirt's udev driver makes of the same device. Devices are
 * looked for on first use, and watched from then on; what a device says of itself is read when
 * somebody asks. Making devices (mediated ones) is not offered.
 *
 * Threads: every function may be called from any thread. Callbacks of NodeDeviceOps come with the
 * room's lock held: they must not call back.
 *
 * Errors are GErrors in KILN_ERROR with libvirt's codes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODEDEV_NODEDEV_H
#define KILN_DRIVER_NODEDEV_NODEDEV_H

#include <glib.h>
#include <stdbool.h>

typedef struct NodeDevices NodeDevices;

typedef struct {
    /* virNodeDeviceEventLifecycleType. */
    void (*lifecycle)(void *opaque, const char *name, int event);
    void (*updated)(void *opaque, const char *name);
} NodeDeviceOps;

/* @ops and @opaque must outlive it. Touches nothing on the host. */
NodeDevices *node_devices_new(const NodeDeviceOps *ops, void *opaque);
void node_devices_free(NodeDevices *devices);

/* Begins to look and watch, for a client that asked for events only. */
void node_devices_watch(NodeDevices *devices);

/* Names (char *, owned by the array) of devices that match @flags, which are
 * virConnectListAllNodeDevicesFlags, sorted. */
GPtrArray *node_devices_list(NodeDevices *devices, unsigned flags);

/* The flag of a capability's name ("pci"); 0 for one that nothing has. */
unsigned node_device_cap_flag(const char *cap);

/* Functions that name a device fail with VIR_ERR_NO_NODE_DEVICE (53) when there is none. */
bool node_devices_has(NodeDevices *devices, const char *name, GError **err);

/* The name of the host adapter with these world wide names; g_free() it. */
char *node_devices_find_wwn(NodeDevices *devices, const char *wwnn, const char *wwpn, GError **err);

/* g_free() the text. */
char *node_device_xml(NodeDevices *devices, const char *name, GError **err);

/* The name of the nearest device above it, NULL in *ret_parent for the computer; g_free() it. */
bool node_device_parent(NodeDevices *devices, const char *name, char **ret_parent, GError **err);

/* Names of the device's capabilities (char *, owned by the array), what it is first. */
GPtrArray *node_device_caps(NodeDevices *devices, const char *name, GError **err);

/* A PCI device goes from its driver on the host to the one that lends it to guests (@driver:
 * "vfio", NULL for that), and back; and is reset. They wait for the kernel, one after the other.
 * VIR_ERR_INVALID_ARG for other devices, VIR_ERR_OPERATION_INVALID while a guest has it,
 * VIR_ERR_ARGUMENT_UNSUPPORTED where the host cannot. */
bool node_device_detach(NodeDevices *devices, const char *name, const char *driver, GError **err);
bool node_device_reattach(NodeDevices *devices, const char *name, GError **err);
bool node_device_reset(NodeDevices *devices, const char *name, GError **err);

#endif
