/* argv_device.c - controllers and the small devices on the command line of kiln-vmm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>

#include "driver/domain/argv.h"
#include "util/error.h"

static void
append_uint(GString *text, const char *name, uint64_t value)
{
    if (value != XML_UNSET)
        g_string_append_printf(text, ",%s=%" G_GUINT64_FORMAT, name, value);
}

static bool
argv_pci_controller(Argv *argv, const DomainController *controller, GError **err)
{
    g_autoptr(GString) text = g_string_new("pcie-root-port");

    if (controller->pci_model == DOMAIN_PCIE_ROOT)
        return true; /* part of the board */
    if (controller->pci_model != DOMAIN_PCIE_ROOT_PORT)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<controller type='pci' model='%s'> is not offered; use "
                              "'pcie-root-port'",
                              domain_pci_models[controller->pci_model]);
    append_uint(text, "port", controller->port);
    append_uint(text, "chassis", controller->chassis);
    g_string_append_printf(text, ",id=%s", controller->info.alias);
    argv_pci_address(argv, &controller->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

static void
argv_virtio_serial(Argv *argv, const DomainController *controller)
{
    g_autoptr(GString) text = g_string_new("virtio-serial-pci");

    g_string_append_printf(text, ",id=%s", controller->info.alias);
    append_uint(text, "max_ports", controller->ports);
    append_uint(text, "vectors", controller->vectors);
    argv_pci_address(argv, &controller->info, text);
    argv_add(argv, "-device", text->str);
}

/* Root ports before what is plugged into them. */
bool
argv_controllers(Argv *argv, GError **err)
{
    const GPtrArray *list = argv->def->controllers;

    for (guint i = 0; i < list->len; i++) {
        const DomainController *controller = list->pdata[i];

        if (controller->type == DOMAIN_CONTROLLER_PCI &&
            !argv_pci_controller(argv, controller, err))
            return false;
    }
    for (guint i = 0; i < list->len; i++) {
        const DomainController *controller = list->pdata[i];

        if (controller->type == DOMAIN_CONTROLLER_VIRTIO_SERIAL)
            argv_virtio_serial(argv, controller);
        else if (controller->type == DOMAIN_CONTROLLER_USB &&
                 controller->usb_model == DOMAIN_USB_NONE)
            continue;
        else if (controller->type != DOMAIN_CONTROLLER_PCI)
            return kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "<controller type='%s'> is not offered yet; remove it and what is "
                "plugged into it",
                domain_controller_types[controller->type]);
    }
    return true;
}

static bool
argv_rng(Argv *argv, const DomainRng *rng, GError **err)
{
    g_autoptr(GString) text = g_string_new("virtio-rng-pci");
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
    append_uint(text, "max-bytes", rng->rate_bytes);
    if (rng->rate_bytes != XML_UNSET)
        append_uint(text, "period", rng->rate_period == XML_UNSET ? 1000 : rng->rate_period);
    argv_pci_address(argv, &rng->info, text);
    argv_add(argv, "-device", text->str);
    return true;
}

static void
argv_balloon(Argv *argv, const DomainBalloon *balloon)
{
    g_autoptr(GString) text = g_string_new("virtio-balloon-pci");

    g_string_append_printf(text, ",id=%s", balloon->info.alias);
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
argv_others(Argv *argv, GError **err)
{
    const DomainDef *def = argv->def;

    for (guint i = 0; i < def->rngs->len; i++)
        if (!argv_rng(argv, def->rngs->pdata[i], err))
            return false;
    if (def->balloon && def->balloon->model != DOMAIN_BALLOON_NONE &&
        def->balloon->model != DOMAIN_BALLOON_ABSENT)
        argv_balloon(argv, def->balloon);
    return true;
}
