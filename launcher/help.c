/* help.c - the options that only print.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/board.h"
#include "launcher/help.h"

#include <string.h>

#include "hw/char/chardev.h"
#include "hw/core/device.h"
#include "launcher/keyval.h"
#include "net/net.h"
#include "launcher/cpu_model.h"
#include "util/cpumap.h"
#include "util/error.h"

static bool
help_wanted(const char *text)
{
    return text && (!strcmp(text, "help") || !strcmp(text, "?"));
}

/* "-device help", "-device NAME,help". */
static char *
help_devices(const Options *options, GError **err)
{
    for (guint i = 0; i < options->devices->len; i++) {
        JsonObject *device = g_ptr_array_index(options->devices, i);
        const char *driver = keyval_text(device, "driver");
        const DeviceClass *class;

        if (help_wanted(driver))
            return device_help_classes();
        if (!json_object_has_member(device, "help") || !driver)
            continue;
        class = device_class_find(driver);
        if (class)
            return device_help_props(class);
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "-device %s: no such device; '-device help' lists them", driver);
        return NULL;
    }
    return NULL;
}

static bool
help_in_list(GPtrArray *list, const char *key)
{
    for (guint i = 0; i < list->len; i++)
        if (help_wanted(keyval_text(g_ptr_array_index(list, i), key)))
            return true;
    return false;
}

static char *
help_machines(void)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; board_list[i]; i++)
        g_string_append_printf(text, "%-20s %s (%salias: %s; %sN.N is the same)\n",
                               board_list[i]->name, board_list[i]->description,
                               i == 0 ? "default; " : "", board_list[i]->aliases[0],
                               board_list[i]->prefix);
    return g_string_free(text, FALSE);
}

char *
help_text(const Options *options, GError **err)
{
    if (options->help)
        return options_help();
    if (options->version)
        return g_strdup("kiln-vmm " KILN_VERSION "\n");
    if (options->machine && help_wanted(keyval_text(options->machine, "type")))
        return help_machines();
    if (options->accel && help_wanted(keyval_text(options->accel, "accel")))
        return g_strdup("kvm\n");
    if (help_wanted(options->cpu))
        return cpu_help(CPUMAP_DEFAULT_DIR);
    if (help_in_list(options->objects, "qom-type"))
        return g_strdup(
            "memory-backend-memfd\nmemory-backend-ram\niothread\nmain-loop\nrng-random\n"
            "rng-builtin\nsecret\nthrottle-group\ntls-creds-x509\n");
    if (help_in_list(options->netdevs, "type"))
        return net_backend_help();
    if (help_in_list(options->chardevs, "backend"))
        return chardev_help();
    return help_devices(options, err);
}
