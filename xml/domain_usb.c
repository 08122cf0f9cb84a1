/* domain_usb.c - which USB port each device of a guest is plugged into, as libvirt counts them: the
 * lowest free port of the lowest controller, else one of a hub.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include "util/error.h"
#include "xml/domain_model.h"

#include <inttypes.h>
#include <string.h>

enum { HUB_PORTS = 8 };

typedef struct {
    DomainDef *def;
    GHashTable *taken; /* "bus:port" */
    bool placing;      /* second walk: give addresses to those without */
    GError **err;
} Ports;

/* Ports of the root hub, 0: no USB controller. */
static unsigned
ports_of(const DomainController *c)
{
    switch (c->usb_model) {
    case DOMAIN_USB_NONE:
        return 0;
    case DOMAIN_USB_PIIX3_UHCI:
    case DOMAIN_USB_PIIX4_UHCI:
    case DOMAIN_USB_VT82C686B_UHCI:
        return 2;
    case DOMAIN_USB_EHCI:
    case DOMAIN_USB_ICH9_EHCI1:
        return 6;
    case DOMAIN_USB_PCI_OHCI:
        return 3;
    case DOMAIN_USB_QEMU_XHCI:
    case DOMAIN_USB_NEC_XHCI:
        return c->ports == XML_UNSET ? 4 : (unsigned)MIN(c->ports, 15);
    default: /* companions: their ports are the EHCI's */
        return 0;
    }
}

static bool
take(Ports *ports, uint64_t bus, const char *port)
{
    return g_hash_table_add(ports->taken, g_strdup_printf("%" PRIu64 ":%s", bus, port));
}

static bool
give(Ports *ports, DomainDeviceInfo *info, uint64_t bus, const char *prefix, unsigned count)
{
    for (unsigned n = 1; n <= count; n++) {
        g_autofree char *port = g_strdup_printf("%s%u", prefix, n);

        if (!take(ports, bus, port))
            continue;
        domain_new_address(info, DOMAIN_ADDRESS_USB);
        info->address->bus = bus;
        info->address->usb_port = g_steal_pointer(&port);
        return true;
    }
    return false;
}

static bool
find_port(Ports *ports, const char *element, DomainDeviceInfo *info)
{
    const DomainDef *def = ports->def;
    bool any = false;

    for (guint i = 0; i < def->controllers->len; i++) {
        const DomainController *c = def->controllers->pdata[i];

        if (c->type != DOMAIN_CONTROLLER_USB)
            continue;
        any |= ports_of(c) > 0;
        if (give(ports, info, c->index, "", ports_of(c)))
            return true;
    }
    for (guint i = 0; i < def->hubs->len; i++) {
        const DomainAddress *a = ((const DomainHub *)def->hubs->pdata[i])->info.address;
        g_autofree char *prefix = a && a->usb_port ? g_strdup_printf("%s.", a->usb_port) : NULL;

        /* The deepest that USB allows, and the row's pattern. */
        if (prefix && strlen(prefix) <= 12 && give(ports, info, a->bus, prefix, HUB_PORTS))
            return true;
    }
    if (!any)
        return kiln_error_set(ports->err, VIR_ERR_XML_ERROR,
                              "USB is disabled for this domain, but a USB device (<%s>) is there; "
                              "remove <controller type='usb' model='none'/> or the device",
                              element);
    return kiln_error_set(ports->err, VIR_ERR_XML_ERROR,
                          "No free USB port for <%s>: give the controller more 'ports', or add "
                          "<hub type='usb'/>",
                          element);
}

static bool
is_usb(const char *element, const void *device)
{
    if (strcmp(element, "hub") == 0 || strcmp(element, "redirdev") == 0)
        return true;
    if (strcmp(element, "disk") == 0)
        return ((const DomainDisk *)device)->bus == DOMAIN_BUS_USB;
    if (strcmp(element, "input") == 0)
        return ((const DomainInput *)device)->bus == DOMAIN_INPUT_BUS_USB;
    if (strcmp(element, "sound") == 0)
        return ((const DomainSound *)device)->model == DOMAIN_SOUND_USB;
    if (strcmp(element, "serial") == 0)
        return ((const DomainChar *)device)->target == DOMAIN_SERIAL_USB;
    if (strcmp(element, "controller") == 0)
        return ((const DomainController *)device)->type == DOMAIN_CONTROLLER_CCID;
    return false;
}

static bool
place(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Ports *ports = opaque;
    DomainAddress *a = info->address;

    if (!is_usb(element, device))
        return true;
    if (a && a->type == DOMAIN_ADDRESS_USB && a->usb_port) {
        if (a->bus == XML_UNSET)
            a->bus = 0;
        return ports->placing || take(ports, a->bus, a->usb_port) ||
               kiln_error_set(ports->err, VIR_ERR_XML_ERROR,
                              "Duplicate USB address bus %" PRIu64 " port %s of <%s>", a->bus,
                              a->usb_port, element);
    }
    return !ports->placing || find_port(ports, element, info);
}

typedef struct {
    uint64_t bus;
    bool any;
} InUse;

static bool
find_plugged(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    InUse *in_use = opaque;

    (void)element;
    (void)device;
    in_use->any |= info->address && info->address->type == DOMAIN_ADDRESS_USB &&
                   info->address->bus == in_use->bus;
    return true;
}

bool
domain_usb_in_use(const DomainDef *def, uint64_t index)
{
    InUse in_use = { index, false };

    domain_def_each_device((DomainDef *)def, find_plugged, &in_use);
    return in_use.any;
}

bool
domain_place_usb(DomainDef *def, GError **err)
{
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Ports ports = { def, taken, false, err };

    if (!domain_def_each_device(def, place, &ports))
        return false;
    ports.placing = true;
    for (guint i = 0; i < def->hubs->len; i++)
        if (!place("hub", def->hubs->pdata[i], &((DomainHub *)def->hubs->pdata[i])->info, &ports))
            return false;
    return domain_def_each_device(def, place, &ports);
}
