/* hmp_devices.c - the human monitor tells what is plugged in: "info usb", "info roms".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"
#include "launcher/hmp.h"

/* "1.2": the second port of a hub at the first. */
static void
port_path(const UsbPort *port, GString *out)
{
    if (port->hub) {
        port_path(port->hub->port, out);
        g_string_append_c(out, '.');
    }
    g_string_append_printf(out, "%u", port->number);
}

static void
usb_one(Device *dev, void *opaque)
{
    static const char *const speeds[] = {
        [USB_LOW] = "1.5", [USB_FULL] = "12", [USB_HIGH] = "480", [USB_SUPER] = "5000"
    };
    const UsbDevice *usb = (const UsbDevice *)dev;
    g_autoptr(GString) path = g_string_new(NULL);

    if (dev->class->bus != BUS_USB || !usb->port)
        return;
    port_path(usb->port, path);
    g_string_append_printf((GString *)opaque,
                           "  Device 0.%u, Port %s, Speed %s Mb/s, Product %s%s%s\n", usb->address,
                           path->str, speeds[usb->speed], usb->class->name, dev->id ? ", ID: " : "",
                           dev->id ? dev->id : "");
}

void
hmp_usb(HmpCall *call)
{
    machine_device_visit(qmp_session_vm(call->session)->machine, usb_one, call->out);
}

static void
rom_one(PciDevice *dev, void *opaque)
{
    const char *name = dev->device.class->option_rom;

    if (dev->details && dev->details->rom)
        name = dev->details->rom;
    if (dev->romfile)
        name = dev->romfile;
    if (dev->rom)
        g_string_append_printf((GString *)opaque,
                               "addr=%016" PRIx64 " size=0x%06" PRIx64 " mem=rom name=\"%s\"\n",
                               dev->bars[PCI_ROM_BAR].mapped ? dev->bars[PCI_ROM_BAR].address : 0,
                               dev->rom_size, name);
}

/* The system's firmware, and those of PCI functions, which are at 0 where nothing shows them. */
void
hmp_roms(HmpCall *call)
{
    const Vm *vm = qmp_session_vm(call->session);
    const Machine *machine = vm->machine;

    if (machine->rom)
        g_string_append_printf(call->out,
                               "addr=%016" PRIx64 " size=0x%06" PRIx64 " mem=rom name=\"%s\"\n",
                               (UINT64_C(4) << 30) - machine->rom_size, machine->rom_size,
                               vm->options->bios ? vm->options->bios : "bios");
    g_mutex_lock(&machine->pci->lock);
    pci_visit(machine->pci, rom_one, call->out);
    g_mutex_unlock(&machine->pci->lock);
}
