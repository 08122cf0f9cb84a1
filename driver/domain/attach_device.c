/* attach_device.c - the XML of one device, and the device of a definition that it means.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"
#include "util/error.h"

/* --- parsing ---------------------------------------------------------------------------------- */

static const DeviceKind *
kind_find(const char *element)
{
    for (const DeviceKind *kind = domain_device_kinds; kind->element; kind++)
        if (strcmp(kind->element, element) == 0)
            return kind;
    return NULL;
}

bool
domain_device_parse(const char *xml, unsigned flags, DomainDevice *ret, GError **err)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), "device_definition", err);
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    const DeviceKind *kind;
    void *device = NULL;

    if (!doc)
        return false;
    kind = kind_find((const char *)root->name);
    if (!kind)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "unknown device type '%s'",
                              (const char *)root->name);
    if (kind->type) {
        device = xml_type_parse_text(kind->type, xml, strlen(xml), "device_definition", flags, err);
        if (!device)
            return false;
    }
    *ret = (DomainDevice){ kind, device };
    return true;
}

void
domain_device_clear(DomainDevice *device)
{
    if (device->device)
        xml_type_free(device->kind->type, device->device);
    *device = (DomainDevice){ 0 };
}

DomainDeviceInfo *
domain_device_info(const DomainDevice *device)
{
    return device->kind->info == SIZE_MAX
               ? NULL
               : (DomainDeviceInfo *)((char *)device->device + device->kind->info);
}

GPtrArray *
domain_device_list(const DomainDef *def, const DeviceKind *kind)
{
    return *(GPtrArray *const *)((const char *)def + kind->list);
}

/* The kind's devices in @def, however it keeps them. */
static void *const *
devices_of(const DomainDef *def, const DeviceKind *kind, guint *ret_n)
{
    const GPtrArray *list;
    void *const *slot;

    if (kind->single) {
        slot = (void *const *)((const char *)def + kind->list);
        *ret_n = *slot != NULL;
        return slot;
    }
    list = domain_device_list(def, kind);
    *ret_n = list->len;
    return list->pdata;
}

/* --- in a definition -------------------------------------------------------------------------- */

/* Disks of a bus stand together, in the order of their targets. */
static guint
disk_place(const GPtrArray *disks, const DomainDisk *disk)
{
    guint after = disks->len;
    bool seen = false;

    for (guint i = 0; i < disks->len; i++) {
        const DomainDisk *other = disks->pdata[i];

        if (other->bus != disk->bus)
            continue;
        if (strlen(other->target) > strlen(disk->target) ||
            (strlen(other->target) == strlen(disk->target) &&
             strcmp(other->target, disk->target) > 0))
            return seen ? after : i;
        after = i + 1;
        seen = true;
    }
    return after;
}

void
domain_device_insert(DomainDef *def, const DomainDevice *device, DomainDevice *ret)
{
    void *copy = xml_type_copy(device->kind->type, device->device);

    if (device->kind->id == DEVICE_DISK)
        domain_disk_give_bus(copy); /* it has its place by that */
    if (device->kind->single) {
        *(void **)((char *)def + device->kind->list) = copy;
    } else {
        GPtrArray *list = domain_device_list(def, device->kind);

        g_ptr_array_insert(
            list, device->kind->id == DEVICE_DISK ? (gint)disk_place(list, copy) : -1, copy);
    }
    if (ret)
        *ret = (DomainDevice){ device->kind, copy };
}

static void
missing(const DomainDevice *wanted, GError **err)
{
    const DomainDisk *disk = wanted->device;
    const DomainInterface *net = wanted->device;
    const DomainController *c = wanted->device;

    if (wanted->kind->id == DEVICE_DISK)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "no target device %s", disk->target);
    else if (wanted->kind->id == DEVICE_INTERFACE && net->mac)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "no device matching MAC address %s%s found",
                       net->mac, net->info.address ? " at that address" : "");
    else if (wanted->kind->id == DEVICE_CONTROLLER)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "controller %s:%" G_GUINT64_FORMAT " not found",
                       domain_controller_types[c->type], c->index == XML_UNSET ? 0 : c->index);
    else
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "no %s of the domain is as the XML given says",
                       wanted->kind->element);
}

bool
domain_device_find(const DomainDef *def, const DomainDevice *wanted, DomainDevice *ret,
                   GError **err)
{
    void *found = NULL;
    guint n;
    void *const *devices = devices_of(def, wanted->kind, &n);

    for (guint i = 0; i < n; i++) {
        if (!wanted->kind->match(wanted->device, devices[i]))
            continue;
        if (found && wanted->kind->id == DEVICE_INTERFACE)
            return kiln_error_set(
                err, VIR_ERR_OPERATION_FAILED,
                "multiple devices matching MAC address %s found; give its <address> or <alias>",
                ((const DomainInterface *)wanted->device)->mac);
        if (!found)
            found = devices[i];
    }
    if (!found) {
        missing(wanted, err);
        return false;
    }
    *ret = (DomainDevice){ wanted->kind, found };
    return true;
}

bool
domain_device_find_alias(const DomainDef *def, const char *alias, DomainDevice *ret)
{
    for (const DeviceKind *kind = domain_device_kinds; kind->element; kind++) {
        guint n = 0;
        void *const *devices = kind->type ? devices_of(def, kind, &n) : NULL;

        for (guint i = 0; kind->info != SIZE_MAX && i < n; i++) {
            DomainDevice device = { kind, devices[i] };

            if (g_strcmp0(domain_device_info(&device)->alias, alias) != 0)
                continue;
            *ret = device;
            return true;
        }
    }
    return false;
}

void
domain_device_remove(DomainDef *def, const DomainDevice *device)
{
    if (device->kind->single)
        *(void **)((char *)def + device->kind->list) = NULL;
    else if (!g_ptr_array_remove(domain_device_list(def, device->kind), device->device))
        return;
    xml_type_free(device->kind->type, device->device);
}

bool
domain_device_check_new(const DomainDef *def, const DomainDevice *device, bool live, GError **err)
{
    guint n;
    void *const *devices = devices_of(def, device->kind, &n);

    for (guint i = 0; i < n; i++) {
        if (device->kind->id == DEVICE_DISK && device->kind->match(device->device, devices[i]))
            return kiln_error_set(err, live ? VIR_ERR_OPERATION_FAILED : VIR_ERR_OPERATION_INVALID,
                                  "target %s already exists",
                                  ((const DomainDisk *)device->device)->target);
        if (device->kind->id == DEVICE_CONTROLLER) {
            const DomainController *c = device->device, *other = devices[i];

            if (c->type == other->type && c->index == other->index)
                return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                      "target %s:%" G_GUINT64_FORMAT " already exists",
                                      domain_controller_types[c->type], c->index);
        }
    }
    if ((device->kind->id == DEVICE_WATCHDOG || device->kind->single) && n > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain already has a %s device",
                              device->kind->element);
    return true;
}
