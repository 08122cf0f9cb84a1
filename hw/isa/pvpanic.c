/* pvpanic.c - a register by which a guest's kernel says that it has panicked (QEMU's published
 * "PVPANIC device"), on the ISA bus and as a PCI function.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/pvpanic.h"

#include "hw/pci/pci.h"
#include "util/error.h"

enum {
    PVPANIC_PANICKED = 1,
    PVPANIC_CRASH_LOADED = 2, /* a kernel that dumps the crashed one runs now */
    PVPANIC_BAR_SIZE = 16,
};

typedef struct {
    Device device;
    uint32_t ioport;
    IoRegion region;
} PvpanicIsa;

typedef struct {
    PciDevice pci;
} PvpanicPci;

static uint64_t
pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    (void)size;
    return PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
}

static void
pvpanic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Machine *machine = opaque;
    JsonObject *data;

    (void)offset;
    (void)size;
    if (value & PVPANIC_PANICKED) {
        machine->ops->request(machine->host, MACHINE_PANIC, 0);
    } else if (value & PVPANIC_CRASH_LOADED) {
        data = json_object_new();
        json_object_set_string_member(data, "action", "run");
        machine->ops->event(machine->host, "GUEST_CRASHLOADED", data);
    }
}

static const IoOps pvpanic_ops = { pvpanic_read, pvpanic_write, .sizes = 1 };

static bool
pvpanic_isa_realize(Device *dev, GError **err)
{
    PvpanicIsa *p = (PvpanicIsa *)dev;

    p->region = (IoRegion){ "pvpanic", &pvpanic_ops, dev->machine, NULL, 1, IO_PRIORITY_BOARD };
    if (address_map_add(dev->machine->pio, &p->region, p->ioport) < 0)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no port 0x%x",
                            p->ioport);
    return true;
}

static void
pvpanic_isa_unrealize(Device *dev)
{
    address_map_remove(dev->machine->pio, &((PvpanicIsa *)dev)->region);
    address_map_synchronize(dev->machine->pio);
}

static bool
pvpanic_pci_realize(Device *dev, GError **err)
{
    PciDevice *pci = pci_device(dev);

    (void)err;
    pci_bar_add(pci, 0, PCI_BAR_MEM32, false, PVPANIC_BAR_SIZE);
    pci_bar_add_region(pci, 0, 0, 2, &pvpanic_ops, dev->machine, NULL, "pvpanic");
    return true;
}

static const DeviceProp pvpanic_isa_props[] = {
    { "ioport", PROP_UINT32, offsetof(PvpanicIsa, ioport), "0x505", .max = 0xffff,
      .help = "the port" },
};

static const PciDetails pvpanic_pci_details = {
    .vendor = 0x1b36,
    .device = 0x0011,
    .class_code = 0x088000,
    .revision = 1,
};

const DeviceClass pvpanic_class = {
    .name = "pvpanic",
    .description = "panic notification, ISA",
    .bus = BUS_ISA,
    .state_size = sizeof(PvpanicIsa),
    .props = pvpanic_isa_props,
    .n_props = G_N_ELEMENTS(pvpanic_isa_props),
    .realize = pvpanic_isa_realize,
    .unrealize = pvpanic_isa_unrealize,
};

const DeviceClass pvpanic_pci_class = {
    .name = "pvpanic-pci",
    .description = "panic notification, PCI",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(PvpanicPci),
    .realize = pvpanic_pci_realize,
    .details = &pvpanic_pci_details,
};

bool
pvpanic_port(const Device *dev, uint16_t *ret_port)
{
    if (dev->class != &pvpanic_class || !dev->realized)
        return false;
    *ret_port = (uint16_t)((const PvpanicIsa *)dev)->ioport;
    return true;
}
