/* argv_device.c - controllers and the small devices on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>

#include "driver/domain/argv.h"
#include "util/error.h"
#include "xml/domain_model.h"

static void
argv_pci_controller(Argv *argv, const DomainController *c, GString *text)
{
    argv_uint(text, "port", c->port);
    argv_uint(text, "chassis", c->chassis);
    argv_uint(text, "chassis_nr", c->chassis_nr);
    argv_switch(text, "hotplug", c->hotplug);
    g_string_append_printf(text, ",id=%s", c->info.alias);
    argv_pci_address(argv, &c->info, text);
}

static void
argv_usb_controller(Argv *argv, const DomainController *c, GString *text)
{
    if (c->usb_model == DOMAIN_USB_QEMU_XHCI || c->usb_model == DOMAIN_USB_NEC_XHCI) {
        argv_uint(text, "p2", c->ports);
        argv_uint(text, "p3", c->ports);
    }
    if (c->info.master_startport != XML_UNSET) {
        /* the companion's ports are the EHCI's, whose bus is named after the index */
        g_string_append(text, ",masterbus=usb");
        if (c->index)
            g_string_append_printf(text, "%" G_GUINT64_FORMAT, c->index);
        g_string_append_printf(text, ".0,firstport=%" G_GUINT64_FORMAT, c->info.master_startport);
    } else {
        g_string_append_printf(text, ",id=%s", c->info.alias);
    }
    argv_pci_address(argv, &c->info, text);
}

static void
argv_other_controller(Argv *argv, const DomainController *c, GString *text)
{
    g_string_append_printf(text, ",id=%s", c->info.alias);
    if (c->type == DOMAIN_CONTROLLER_VIRTIO_SERIAL) {
        argv_uint(text, "max_ports", c->ports);
        argv_uint(text, "vectors", c->vectors);
    } else if (c->type == DOMAIN_CONTROLLER_SCSI) {
        argv_uint(text, "num_queues", c->queues);
        argv_uint(text, "cmd_per_lun", c->cmd_per_lun);
        argv_uint(text, "max_sectors", c->max_sectors);
        if (c->iothread != XML_UNSET)
            g_string_append_printf(text, ",iothread=iothread%" G_GUINT64_FORMAT, c->iothread);
    }
    argv_virtio(text, &c->virtio);
    argv_pci_address(argv, &c->info, text);
}

bool
argv_controller(Argv *argv, const DomainController *c, GError **err)
{
    const char *model = domain_controller_model(argv->def, c);
    g_autoptr(GString) text = NULL;

    if (model && !*model)
        return true; /* part of the board */
    /* Every definition has a USB controller, because libvirt adds one. With nothing plugged in it
     * would only cost the guest the time to find it. */
    if (c->type == DOMAIN_CONTROLLER_USB && !domain_usb_in_use(argv->def, c->index))
        return true;
    if (!domain_model_is_built(model))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<controller type='%s'>%s%s%s is not offered; remove it and what is "
                              "plugged into it",
                              domain_controller_types[c->type], model ? " (device '" : "",
                              model ? model : "", model ? "')" : "");
    text = g_string_new(model);
    if (c->type == DOMAIN_CONTROLLER_PCI)
        argv_pci_controller(argv, c, text);
    else if (c->type == DOMAIN_CONTROLLER_USB)
        argv_usb_controller(argv, c, text);
    else
        argv_other_controller(argv, c, text);
    argv_add(argv, "-device", text->str);
    return true;
}

bool
argv_hub(Argv *argv, const DomainHub *hub, GError **err)
{
    g_autoptr(GString) text = g_string_new("usb-hub");

    (void)err;
    g_string_append_printf(text, ",id=%s", hub->info.alias);
    argv_usb_address(argv, &hub->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

/* PCI bridges and root ports before what is plugged into them. */
bool
argv_controllers(Argv *argv, GError **err)
{
    const GPtrArray *list = argv->def->controllers;

    for (int pci = 1; pci >= 0; pci--)
        for (guint i = 0; i < list->len; i++) {
            const DomainController *c = list->pdata[i];

            if ((c->type == DOMAIN_CONTROLLER_PCI) == pci && !argv_controller(argv, c, err))
                return false;
        }
    for (guint i = 0; i < argv->def->hubs->len; i++)
        if (!argv_hub(argv, argv->def->hubs->pdata[i], err))
            return false;
    return true;
}

bool
argv_rng(Argv *argv, const DomainRng *rng, GError **err)
{
    g_autoptr(GString) text = g_string_new(domain_rng_model(rng));
    g_autofree char *name = NULL;

    if (rng->backend == DOMAIN_RNG_EGD)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "<rng> with back end 'egd' is not offered; use 'random' or 'builtin'");
    name =
        argv_file(argv, rng->path ? rng->path : "/dev/urandom", O_RDONLY, "source of <rng>", err);
    if (!name)
        return false;
    argv_addf(argv, "-object", "rng-random,id=obj%s,filename=%s", rng->info.alias, name);
    g_string_append_printf(text, ",rng=obj%s,id=%s", rng->info.alias, rng->info.alias);
    argv_uint(text, "max-bytes", rng->rate_bytes);
    if (rng->rate_bytes != XML_UNSET)
        argv_uint(text, "period", rng->rate_period == XML_UNSET ? 1000 : rng->rate_period);
    argv_virtio(text, &rng->virtio);
    argv_pci_address(argv, &rng->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

static void
argv_balloon(Argv *argv, const DomainBalloon *balloon)
{
    g_autoptr(GString) text = g_string_new(domain_balloon_model(balloon));

    g_string_append_printf(text, ",id=%s", balloon->info.alias);
    argv_virtio(text, &balloon->virtio);
    argv_pci_address(argv, &balloon->info, text);
    if (balloon->autodeflate != TRISTATE_ABSENT)
        g_string_append_printf(text, ",deflate-on-oom=%s",
                               balloon->autodeflate == TRISTATE_ON ? "on" : "off");
    if (balloon->free_page_reporting != TRISTATE_ABSENT)
        g_string_append_printf(text, ",free-page-reporting=%s",
                               balloon->free_page_reporting == TRISTATE_ON ? "on" : "off");
    argv_add(argv, "-device", text->str);
}

bool
argv_vsock(Argv *argv, DomainVsock *vsock, GError **err)
{
    g_autoptr(GString) text = g_string_new("vhost-vsock-pci");
    int fd = argv->config->ops->vsock(argv->config->opaque, vsock, err);

    if (fd < 0)
        return false;
    g_string_append_printf(text, ",id=%s,guest-cid=%" G_GUINT64_FORMAT ",vhostfd=%d",
                           vsock->info.alias, vsock->cid, fd);
    argv_virtio(text, &vsock->virtio);
    argv_pci_address(argv, &vsock->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

bool
argv_watchdog(Argv *argv, const DomainWatchdog *watchdog, GError **err)
{
    const char *model = domain_watchdog_model(watchdog);
    g_autoptr(GString) text = g_string_new(model);

    (void)err;
    if (*model) {
        g_string_append_printf(text, ",id=%s", watchdog->info.alias);
        argv_pci_address(argv, &watchdog->info, text);
        argv_add(argv, "-device", text->str);
    } else { /* the chipset's, which wants to be let bite */
        argv_add(argv, "-global", "ICH9-LPC.noreboot=off");
    }
    /* the core file is the daemon's to write, while the guest stands still */
    argv_addf(argv, "-action", "watchdog=%s",
              watchdog->action == DOMAIN_WATCHDOG_DUMP ? "pause"
                                                       : domain_watchdog_actions[watchdog->action]);
    return true;
}

static bool
argv_small(Argv *argv, GError **err)
{
    const DomainDef *def = argv->def;

    if (def->vsock && !argv_vsock(argv, def->vsock, err))
        return false;
    for (guint i = 0; i < def->watchdogs->len; i++)
        if (!argv_watchdog(argv, def->watchdogs->pdata[i], err))
            return false;
    for (guint i = 0; i < def->panics->len; i++) {
        const DomainPanic *panic = def->panics->pdata[i];
        const DomainAddress *a = panic->info.address;
        g_autoptr(GString) text = g_string_new(domain_panic_model(panic));

        if (a && a->type == DOMAIN_ADDRESS_ISA)
            argv_uint(text, "ioport", a->iobase);
        argv_add(argv, "-device", text->str);
    }
    if (def->genid_present && def->genid)
        argv_addf(argv, "-device", "vmgenid,guid=%s,id=vmgenid0", def->genid);
    return true;
}

bool
argv_others(Argv *argv, GError **err)
{
    const DomainDef *def = argv->def;

    for (guint i = 0; i < def->rngs->len; i++)
        if (!argv_rng(argv, def->rngs->pdata[i], err))
            return false;
    if (def->balloon && def->balloon->model != DOMAIN_BALLOON_NONE &&
        def->balloon->model != DOMAIN_BALLOON_ABSENT)
        argv_balloon(argv, def->balloon);
    return argv_small(argv, err);
}
