/* attach_kinds.c - the kinds of devices that can be attached or detached: what stands for each in a
 * definition, in options of kiln-vmm, and which one an XML means.
 *
 * libvirt 9.0 virDomainDetachDeviceFlags: a disk is known by its target, an interface by its MAC
 * address (and its address and alias, where they are given), all else by what the XML says.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/domain/attach.h"

/* --- comparing -------------------------------------------------------------------------------- */

static bool
says(uint64_t wanted, uint64_t value)
{
    return wanted == XML_UNSET || wanted == value;
}

static bool
says_text(const char *wanted, const char *value)
{
    return !wanted || g_strcmp0(wanted, value) == 0;
}

static bool
says_enum(int wanted, int value)
{
    return wanted == 0 || wanted == value;
}

static bool
match_address(const DomainAddress *w, const DomainAddress *a)
{
    if (!w)
        return true;
    return a && w->type == a->type && says(w->domain, a->domain == XML_UNSET ? 0 : a->domain) &&
           says(w->bus, a->bus) && says(w->slot, a->slot) &&
           says(w->function, a->function == XML_UNSET ? 0 : a->function) &&
           says(w->controller, a->controller) && says(w->target, a->target) &&
           says(w->unit, a->unit) && says(w->port, a->port) && says_text(w->usb_port, a->usb_port);
}

static bool
match_info(const DomainDeviceInfo *wanted, const DomainDeviceInfo *info)
{
    return says_text(wanted->alias, info->alias) && match_address(wanted->address, info->address);
}

static bool
match_disk(const void *wanted, const void *device)
{
    const DomainDisk *w = wanted, *disk = device;

    return strcmp(w->target, disk->target) == 0;
}

static bool
match_interface(const void *wanted, const void *device)
{
    const DomainInterface *w = wanted, *net = device;

    return says_text(w->mac, net->mac) && match_info(&w->info, &net->info);
}

static bool
match_controller(const void *wanted, const void *device)
{
    const DomainController *w = wanted, *c = device;

    return w->type == c->type && says(w->index, c->index) && match_info(&w->info, &c->info);
}

static bool
match_input(const void *wanted, const void *device)
{
    const DomainInput *w = wanted, *input = device;

    return w->type == input->type && says_enum(w->bus, input->bus) &&
           says_enum(w->model, input->model) && match_info(&w->info, &input->info);
}

static bool
match_rng(const void *wanted, const void *device)
{
    const DomainRng *w = wanted, *rng = device;

    return says_enum(w->model, rng->model) && says_enum(w->backend, rng->backend) &&
           says_text(w->path, rng->path) && says(w->rate_bytes, rng->rate_bytes) &&
           says(w->rate_period, rng->rate_period) && match_info(&w->info, &rng->info);
}

static bool
match_watchdog(const void *wanted, const void *device)
{
    const DomainWatchdog *w = wanted, *watchdog = device;

    return says_enum(w->model, watchdog->model) && says_enum(w->action, watchdog->action) &&
           match_info(&w->info, &watchdog->info);
}

static bool
match_hub(const void *wanted, const void *device)
{
    const DomainHub *w = wanted, *hub = device;

    return w->type == hub->type && match_info(&w->info, &hub->info);
}

static bool
match_char(const void *wanted, const void *device)
{
    const DomainChar *w = wanted, *chr = device;

    return w->source.type == chr->source.type && says_text(w->source.path, chr->source.path) &&
           says_text(w->source.host, chr->source.host) &&
           says_text(w->source.service, chr->source.service) && says_enum(w->target, chr->target) &&
           says(w->port, chr->port) && says_text(w->name, chr->name) &&
           match_info(&w->info, &chr->info);
}

static bool
match_vsock(const void *wanted, const void *device)
{
    const DomainVsock *w = wanted, *vsock = device;

    return says_enum(w->model, vsock->model) && says_enum(w->auto_cid, vsock->auto_cid) &&
           says(w->cid, vsock->cid) && match_info(&w->info, &vsock->info);
}

static bool
match_graphics(const void *wanted, const void *device)
{
    return ((const DomainGraphics *)wanted)->type == ((const DomainGraphics *)device)->type;
}

/* --- the kinds -------------------------------------------------------------------------------- */

#define BUILDER(T, name)                                                                           \
    static bool build_##name(Argv *argv, void *device, GError **err)                               \
    {                                                                                              \
        T *d = device;                                                                             \
        return argv_##name(argv, d, err);                                                          \
    }
BUILDER(DomainDisk, disk)
BUILDER(DomainInterface, interface)
BUILDER(DomainController, controller)
BUILDER(DomainInput, input)
BUILDER(DomainRng, rng)
BUILDER(DomainWatchdog, watchdog)
BUILDER(DomainHub, hub)
BUILDER(DomainChar, console)
BUILDER(DomainChar, channel)
BUILDER(DomainVsock, vsock)

#define KIND(id, T, element, list, build, match)                                                   \
    {                                                                                              \
        id, #element, &domain_##element##_type, offsetof(DomainDef, list), offsetof(T, info),      \
            build, match                                                                           \
    }
#define NAMED(element)                                                                             \
    {                                                                                              \
        DEVICE_OTHER, element, NULL, 0, SIZE_MAX, NULL, NULL                                       \
    }
const DeviceKind domain_device_kinds[] = {
    KIND(DEVICE_DISK, DomainDisk, disk, disks, build_disk, match_disk),
    KIND(DEVICE_INTERFACE, DomainInterface, interface, interfaces, build_interface,
         match_interface),
    KIND(DEVICE_CONTROLLER, DomainController, controller, controllers, build_controller,
         match_controller),
    KIND(DEVICE_INPUT, DomainInput, input, inputs, build_input, match_input),
    KIND(DEVICE_RNG, DomainRng, rng, rngs, build_rng, match_rng),
    KIND(DEVICE_WATCHDOG, DomainWatchdog, watchdog, watchdogs, build_watchdog, match_watchdog),
    KIND(DEVICE_HUB, DomainHub, hub, hubs, build_hub, match_hub),
    KIND(DEVICE_SERIAL, DomainChar, serial, serials, NULL, match_char),
    KIND(DEVICE_PARALLEL, DomainChar, parallel, parallels, NULL, match_char),
    KIND(DEVICE_CONSOLE, DomainChar, console, consoles, build_console, match_char),
    KIND(DEVICE_CHANNEL, DomainChar, channel, channels, build_channel, match_char),
    { DEVICE_GRAPHICS, "graphics", &domain_graphics_type, offsetof(DomainDef, graphics), SIZE_MAX,
      NULL, match_graphics },
    { DEVICE_VSOCK, "vsock", &domain_vsock_type, offsetof(DomainDef, vsock),
      offsetof(DomainVsock, info), build_vsock, match_vsock, .single = true },
    NAMED("sound"),
    NAMED("video"),
    NAMED("memballoon"),
    NAMED("hostdev"),
    NAMED("filesystem"),
    NAMED("tpm"),
    NAMED("redirdev"),
    NAMED("smartcard"),
    NAMED("shmem"),
    NAMED("memory"),
    NAMED("lease"),
    NAMED("nvram"),
    NAMED("panic"),
    NAMED("iommu"),
    NAMED("audio"),
    NAMED("crypto"),
    { 0 },
};
