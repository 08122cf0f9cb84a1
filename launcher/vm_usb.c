/* vm_usb.c - -usb, -usbdevice and -machine usb=on: a controller, and simple devices on it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/pci/board.h"
#include "launcher/keyval.h"
#include "launcher/vm.h"
#include "util/error.h"

static bool
usb_add(Vm *vm, const char *driver, const char *addr, GError **err)
{
    g_autoptr(JsonObject) device = json_object_new();

    json_object_set_string_member(device, "driver", driver);
    if (addr) {
        json_object_set_string_member(device, "bus", vm->board->pci_bus);
        json_object_set_string_member(device, "addr", addr);
    }
    return vm_add_device(vm, device, err);
}

bool
vm_usb_add_controller(Vm *vm, GError **err)
{
    const Options *o = vm->options;
    bool wanted = o->usb || o->usbdevices->len > 0;

    if (o->machine && !keyval_bool("-machine", o->machine, "usb", &wanted, err))
        return false;
    if (!wanted)
        return true;
    /* Where each board's own USB 1 controller is. */
    return vm->board == &board_pc ? usb_add(vm, "piix3-usb-uhci", "1.2", err)
                                  : usb_add(vm, "ich9-usb-uhci1", "1d.0", err);
}

bool
vm_usb_add_devices(Vm *vm, GError **err)
{
    static const struct {
        const char *name, *driver;
    } known[] = {
        { "keyboard", "usb-kbd" },
        { "mouse", "usb-mouse" },
        { "tablet", "usb-tablet" },
    };

    for (guint i = 0; i < vm->options->usbdevices->len; i++) {
        const char *name = g_ptr_array_index(vm->options->usbdevices, i), *driver = NULL;

        for (size_t j = 0; j < G_N_ELEMENTS(known); j++) {
            if (!strcmp(known[j].name, name))
                driver = known[j].driver;
        }
        if (!driver)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-usbdevice %s: it can be keyboard, mouse or tablet; for others "
                                  "use -device",
                                  name);
        if (!usb_add(vm, driver, NULL, err))
            return false;
    }
    return true;
}
