/* vm_display.c - -vga and -display: which video card a guest gets, and who looks at it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_display.h"

#include <string.h>

#include "hw/core/device.h"
#include "launcher/keyval.h"
#include "util/error.h"

static const struct {
    const char *name, *driver; /* driver NULL: not to be had */
} display_cards[] = {
    { "none", "" },
    { "std", "VGA" },
    { "virtio", "virtio-vga" },
    { "cirrus", "cirrus-vga" },
    { "qxl", NULL },
    { "vmware", NULL },
    { "tcx", NULL },
    { "cg3", NULL },
    { "xenfb", NULL },
};

/* The class behind a word of -vga: "" for none, NULL with @err. */
static const char *
display_card(const char *name, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(display_cards); i++) {
        const char *driver = display_cards[i].driver;

        if (strcmp(display_cards[i].name, name) != 0)
            continue;
        if (driver && (*driver == '\0' || device_class_find(driver)))
            return driver;
    }
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "-vga %s: there is no such card here; it can be none, std, cirrus or "
                   "virtio",
                   name);
    return NULL;
}

bool
vm_display_check(const Options *options, GError **err)
{
    if (options->vga && !display_card(options->vga, err))
        return false;
    if (options->display && strcmp(options->display, "none") != 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-display %s: there are no windows here; use -display none, and -vnc "
                              "for a screen to look at",
                              options->display);
    return true;
}

/* True for a class of video card: PCI class 03h. */
static bool
display_is_card(const char *driver)
{
    static const char *const words[] = { "VGA",        "secondary-vga",  "bochs-display",
                                         "virtio-vga", "virtio-gpu-pci", "cirrus-vga" };
    const DeviceClass *class = driver ? device_class_find(driver) : NULL;

    for (unsigned i = 0; class && i < G_N_ELEMENTS(words); i++)
        if (class == device_class_find(words[i]))
            return true;
    return false;
}

static bool
display_wants_default(const Vm *vm)
{
    const Options *o = vm->options;

    if (o->nodefaults || (o->kernel && o->vncs->len == 0))
        return false;
    for (guint i = 0; i < o->devices->len; i++)
        if (display_is_card(keyval_text(g_ptr_array_index(o->devices, i), "driver")))
            return false;
    return true;
}

bool
vm_display_add_card(Vm *vm, GError **err)
{
    const char *driver = "";
    g_autoptr(JsonObject) device = NULL;

    if (vm->options->vga)
        driver = display_card(vm->options->vga, err);
    else if (display_wants_default(vm))
        driver = "VGA";
    if (!driver || *driver == '\0')
        return driver != NULL;
    device = json_object_new();
    json_object_set_string_member(device, "driver", driver);
    return vm_add_device(vm, device, err);
}
