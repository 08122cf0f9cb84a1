/* domain_alias.c - the names that devices of a running guest go by, libvirt's.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_private.h"

#include <inttypes.h>
#include <string.h>

typedef struct {
    const char *alias;
    unsigned count;
} Count;

static bool
count_alias(const char *element, void *device, DomainDeviceInfo *info, void *opaque)
{
    Count *count = opaque;

    (void)element;
    (void)device;
    count->count += info->alias && strcmp(info->alias, count->alias) == 0;
    return true;
}

/* @stem with @number, or the next number that is free. */
static void
name_device(DomainDef *def, DomainDeviceInfo *info, const char *stem, unsigned number)
{
    for (;; number++) {
        g_autofree char *alias = g_strdup_printf("%s%u", stem, number);
        Count count = { alias, 0 };

        domain_def_each_device(def, count_alias, &count);
        if (count.count)
            continue;
        info->alias = g_steal_pointer(&alias);
        return;
    }
}

static void
name_disk(DomainDef *def, DomainDisk *disk)
{
    const DomainAddress *a = disk->info.address;
    int index = domain_disk_index(disk->target);
    g_autofree char *stem = NULL;

    if (disk->info.alias)
        return;
    if (a && a->type == DOMAIN_ADDRESS_DRIVE && disk->bus == DOMAIN_BUS_SCSI)
        disk->info.alias = g_strdup_printf("scsi%" PRIu64 "-%" PRIu64 "-%" PRIu64 "-%" PRIu64,
                                           a->controller, a->bus, a->target, a->unit);
    else if (a && a->type == DOMAIN_ADDRESS_DRIVE)
        disk->info.alias =
            g_strdup_printf("%s%" PRIu64 "-%" PRIu64 "-%" PRIu64, domain_disk_buses[disk->bus],
                            a->controller, a->bus, a->unit);
    else {
        stem = g_strdup_printf("%s-disk", domain_disk_buses[disk->bus]);
        name_device(def, &disk->info, stem, index < 0 ? 0 : (unsigned)index);
    }
}

static void
name_controller(DomainController *c)
{
    const char *type = domain_controller_types[c->type];

    if (c->info.alias)
        return;
    if (c->type == DOMAIN_CONTROLLER_PCI)
        c->info.alias = g_strdup_printf(
            c->pci_model == DOMAIN_PCIE_ROOT ? "pcie.%" PRIu64 : "pci.%" PRIu64, c->index);
    else if (c->index == 0 && c->type == DOMAIN_CONTROLLER_USB)
        c->info.alias = g_strdup("usb");
    else if (c->index == 0 && c->type == DOMAIN_CONTROLLER_SATA)
        /* The board's own AHCI controller. */
        c->info.alias = g_strdup("ide");
    else
        c->info.alias = g_strdup_printf("%s%" PRIu64, type, c->index);
}

static void
name_list(DomainDef *def, GPtrArray *list, size_t info_offset, const char *stem)
{
    for (guint i = 0; i < list->len; i++) {
        DomainDeviceInfo *info = (DomainDeviceInfo *)((char *)list->pdata[i] + info_offset);

        if (!info->alias)
            name_device(def, info, stem, i);
    }
}

void
domain_def_assign_aliases(DomainDef *def)
{
    bool mirrored = domain_def_console_is_serial(def, 0);

    for (guint i = 0; i < def->disks->len; i++)
        name_disk(def, def->disks->pdata[i]);
    for (guint i = 0; i < def->controllers->len; i++)
        name_controller(def->controllers->pdata[i]);
    name_list(def, def->interfaces, offsetof(DomainInterface, info), "net");
    name_list(def, def->serials, offsetof(DomainChar, info), "serial");
    name_list(def, def->parallels, offsetof(DomainChar, info), "parallel");
    for (guint i = mirrored; i < def->consoles->len; i++) {
        DomainChar *console = def->consoles->pdata[i];

        if (!console->info.alias)
            name_device(def, &console->info, "console", i);
    }
    name_list(def, def->channels, offsetof(DomainChar, info), "channel");
    name_list(def, def->inputs, offsetof(DomainInput, info), "input");
    name_list(def, def->tpms, offsetof(DomainTpm, info), "tpm");
    name_list(def, def->sounds, offsetof(DomainSound, info), "sound");
    name_list(def, def->videos, offsetof(DomainVideo, info), "video");
    name_list(def, def->redirdevs, offsetof(DomainRedirdev, info), "redir");
    name_list(def, def->hubs, offsetof(DomainHub, info), "hub");
    name_list(def, def->watchdogs, offsetof(DomainWatchdog, info), "watchdog");
    name_list(def, def->panics, offsetof(DomainPanic, info), "panic");
    if (def->vsock && !def->vsock->info.alias)
        def->vsock->info.alias = g_strdup("vsock0");
    if (def->balloon && def->balloon->model != DOMAIN_BALLOON_NONE && !def->balloon->info.alias)
        def->balloon->info.alias = g_strdup("balloon0");
    name_list(def, def->rngs, offsetof(DomainRng, info), "rng");
    domain_def_mirror_console(def);
}
