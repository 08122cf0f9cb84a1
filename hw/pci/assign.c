/* assign.c - bus numbers, bridge windows and BARs for a boot without firmware.
 *
 * Two walks for each kind of space: one adds up what lies behind each bridge, with alignments, the
 * other hands out addresses. Largest alignment goes first, so nothing is lost between neighbours.
 *
 * Leaves out: room for hotplug.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/assign.h"

#include "util/error.h"

typedef enum { SPACE_IO, SPACE_MEM32, SPACE_PREF64, SPACES } Space;

typedef struct {
    PciDevice *dev;
    int bar; /* -1: the window of the bridge @dev */
    uint64_t size, align;
} Item;

static const uint64_t space_granule[SPACES] = { 4096, 1 << 20, 1 << 20 };
static const char *const space_names[SPACES] = { "I/O ports", "32-bit memory", "64-bit memory" };

static uint64_t
align_up(uint64_t value, uint64_t align)
{
    return (value + align - 1) & ~(align - 1);
}

static void
config_write(PciDevice *dev, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(dev->bus->root, pci_requester_id(dev), offset, size, value);
}

static uint32_t
config_read(PciDevice *dev, unsigned offset, unsigned size)
{
    return pci_config_read(dev->bus->root, pci_requester_id(dev), offset, size);
}

/* Only a 64-bit prefetchable BAR may lie above 4 GiB: a bridge has no other window there. */
static Space
bar_space(const PciBar *bar, bool have_64)
{
    if (bar->kind == PCI_BAR_IO)
        return SPACE_IO;
    return bar->kind == PCI_BAR_MEM64 && bar->prefetch && have_64 ? SPACE_PREF64 : SPACE_MEM32;
}

static gint
item_compare(gconstpointer a, gconstpointer b)
{
    const Item *x = a, *y = b;

    if (x->align != y->align)
        return x->align > y->align ? -1 : 1;
    return x->size > y->size ? -1 : x->size < y->size;
}

static GArray *bus_items(PciBus *bus, Space space, bool have_64);

/* Room the bus needs when it begins at a multiple of *ret_align. */
static uint64_t
bus_size(PciBus *bus, Space space, bool have_64, uint64_t *ret_align)
{
    g_autoptr(GArray) items = bus_items(bus, space, have_64);
    uint64_t size = 0;

    *ret_align = space_granule[space];
    for (guint i = 0; i < items->len; i++) {
        const Item *item = &g_array_index(items, Item, i);

        size = align_up(size, item->align) + item->size;
        *ret_align = MAX(*ret_align, item->align);
    }
    return align_up(size, space_granule[space]);
}

static GArray *
bus_items(PciBus *bus, Space space, bool have_64)
{
    GArray *items = g_array_new(FALSE, FALSE, sizeof(Item));

    for (unsigned i = 0; i < 256; i++) {
        PciDevice *dev = bus->devices[i];

        if (!dev)
            continue;
        for (int n = 0; n < PCI_BARS; n++) {
            const PciBar *bar = &dev->bars[n];
            Item item = { dev, n, bar->size, bar->size };

            if (bar->kind != PCI_BAR_NONE && bar_space(bar, have_64) == space)
                g_array_append_val(items, item);
        }
        if (dev->secondary) {
            Item item = { dev, -1, 0, 0 };

            item.size = bus_size(dev->secondary, space, have_64, &item.align);
            if (item.size > 0)
                g_array_append_val(items, item);
        }
    }
    g_array_sort(items, item_compare);
    return items;
}

static void
bridge_set_window(PciDevice *bridge, Space space, uint64_t base, uint64_t limit)
{
    switch (space) {
    case SPACE_IO:
        config_write(bridge, PCI_IO_BASE, 1, (uint32_t)(base >> 8) & 0xf0);
        config_write(bridge, PCI_IO_LIMIT, 1, (uint32_t)(limit >> 8) & 0xf0);
        break;
    case SPACE_MEM32:
        config_write(bridge, PCI_MEMORY_BASE, 2, (uint32_t)(base >> 16) & 0xfff0);
        config_write(bridge, PCI_MEMORY_LIMIT, 2, (uint32_t)(limit >> 16) & 0xfff0);
        break;
    default:
        config_write(bridge, PCI_PREF_BASE_UPPER, 4, (uint32_t)(base >> 32));
        config_write(bridge, PCI_PREF_LIMIT_UPPER, 4, (uint32_t)(limit >> 32));
        config_write(bridge, PCI_PREF_BASE, 2, (uint32_t)(base >> 16) & 0xfff0);
        config_write(bridge, PCI_PREF_LIMIT, 2, (uint32_t)(limit >> 16) & 0xfff0);
        break;
    }
}

static bool
bus_place(PciBus *bus, Space space, bool have_64, uint64_t base, uint64_t end, GError **err)
{
    g_autoptr(GArray) items = bus_items(bus, space, have_64);

    for (guint i = 0; i < items->len; i++) {
        const Item *item = &g_array_index(items, Item, i);
        unsigned at = PCI_BASE_ADDRESS_0 + 4 * (unsigned)item->bar;

        base = align_up(base, item->align);
        if (base > end || item->size > end - base)
            return device_error(&item->dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "no room for %" G_GUINT64_FORMAT " bytes of %s: use fewer devices",
                                item->size, space_names[space]);
        if (item->bar < 0) {
            bridge_set_window(item->dev, space, base, base + item->size - 1);
            if (!bus_place(item->dev->secondary, space, have_64, base, base + item->size, err))
                return false;
        } else {
            config_write(item->dev, at, 4, (uint32_t)base);
            if (item->dev->bars[item->bar].kind == PCI_BAR_MEM64)
                config_write(item->dev, at + 4, 4, (uint32_t)(base >> 32));
        }
        base += item->size;
    }
    return true;
}

/* Depth first: a bridge's subordinate number is known when all behind it has numbers. */
static bool
bus_number(PciBus *bus, unsigned *next, GError **err)
{
    for (unsigned i = 0; i < 256; i++) {
        PciDevice *dev = bus->devices[i];
        unsigned number;

        if (!dev || !dev->secondary)
            continue;
        if (*next > 255)
            return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                                "there are more than 255 buses: use fewer root ports");
        number = (*next)++;
        config_write(dev, PCI_PRIMARY_BUS, 1, pci_bus_number(bus));
        config_write(dev, PCI_SECONDARY_BUS, 1, number);
        config_write(dev, PCI_SUBORDINATE_BUS, 1, 255);
        if (!bus_number(dev->secondary, next, err))
            return false;
        config_write(dev, PCI_SUBORDINATE_BUS, 1, *next - 1);
    }
    return true;
}

static void
device_enable(PciDevice *dev, void *opaque)
{
    uint32_t command = config_read(dev, PCI_COMMAND, 2);

    (void)opaque;
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (dev->bars[n].kind == PCI_BAR_IO)
            command |= PCI_COMMAND_IO;
        else if (dev->bars[n].kind != PCI_BAR_NONE)
            command |= PCI_COMMAND_MEMORY;
    }
    if (dev->secondary)
        command |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    config_write(dev, PCI_COMMAND, 2, command);
}

bool
pci_assign(PciRoot *root, const PciWindows *windows, GError **err)
{
    bool have_64 = false, ok;
    unsigned next = 1;

    if (windows->mem64_base) {
        uint64_t align, size = bus_size(&root->bus, SPACE_PREF64, true, &align);

        have_64 = align_up(windows->mem64_base, align) + size <= windows->mem64_end;
    }
    /* One table for all that moves. */
    address_map_begin(root->machine->mmio);
    address_map_begin(root->machine->pio);
    ok =
        bus_number(&root->bus, &next, err) &&
        bus_place(&root->bus, SPACE_IO, have_64, windows->io_base, windows->io_end, err) &&
        bus_place(&root->bus, SPACE_MEM32, have_64, windows->mem32_base, windows->mem32_end, err) &&
        (!have_64 || bus_place(&root->bus, SPACE_PREF64, have_64, windows->mem64_base,
                               windows->mem64_end, err));
    if (ok)
        pci_visit(root, device_enable, NULL);
    address_map_commit(root->machine->pio);
    address_map_commit(root->machine->mmio);
    return ok;
}
