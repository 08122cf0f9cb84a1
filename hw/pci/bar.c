/* bar.c - BARs: what lies in them, where they are mapped, and the doorbells that move with them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"

static void
pci_bar_part_free(gpointer part)
{
    g_free(part);
}

void
pci_bars_init(PciDevice *dev)
{
    g_mutex_init(&dev->bar_lock);
}

static unsigned
pci_bar_register(const PciDevice *dev, unsigned n)
{
    if (n < PCI_ROM_BAR)
        return PCI_BASE_ADDRESS_0 + 4 * n;
    return (dev->config[PCI_HEADER_TYPE] & 0x7f) == PCI_HEADER_BRIDGE ? PCI_ROM_ADDRESS_BRIDGE
                                                                      : PCI_ROM_ADDRESS;
}

void
pci_bar_add(PciDevice *dev, unsigned n, PciBarKind kind, bool prefetch, uint64_t size)
{
    PciBar *bar = &dev->bars[n];
    unsigned at = pci_bar_register(dev, n);
    uint32_t flags = kind == PCI_BAR_IO ? PCI_BAR_SPACE_IO : 0;

    g_return_if_fail(n + (kind == PCI_BAR_MEM64) < PCI_BARS + (kind == PCI_BAR_ROM) &&
                     bar->kind == PCI_BAR_NONE);
    g_return_if_fail((size & (size - 1)) == 0 && size >= (kind == PCI_BAR_IO ? 4 : 16));
    if (kind == PCI_BAR_MEM64)
        flags |= PCI_BAR_64;
    if (prefetch)
        flags |= PCI_BAR_PREFETCH;
    *bar = (PciBar){ .kind = kind, .prefetch = prefetch, .size = size };
    bar->parts = g_ptr_array_new_with_free_func(pci_bar_part_free);
    pci_config_set(dev, at, 4, flags);
    pci_config_mask(dev, at, 4, (uint32_t) ~(size - 1) | (kind == PCI_BAR_ROM));
    if (kind == PCI_BAR_MEM64)
        pci_config_mask(dev, at + 4, 4, (uint32_t)(~(size - 1) >> 32));
}

MemoryOverlay *
pci_bar_add_memory(PciDevice *dev, unsigned n, uint64_t offset, uint64_t size, uint8_t *host,
                   bool read_only, bool log, const char *name)
{
    PciBar *bar = &dev->bars[n];
    PciBarPart *part;

    g_return_val_if_fail(bar->kind != PCI_BAR_NONE && bar->kind != PCI_BAR_IO && size > 0, NULL);
    g_return_val_if_fail(offset <= bar->size && size <= bar->size - offset, NULL);
    part = g_new0(PciBarPart, 1);
    part->offset = offset;
    part->overlay = (MemoryOverlay){ .name = name,
                                     .size = size,
                                     .host = host,
                                     .read_only = read_only,
                                     .log = log,
                                     .priority = OVERLAY_PRIORITY_BAR };
    g_ptr_array_add(bar->parts, part);
    return &part->overlay;
}

void
pci_bar_add_region(PciDevice *dev, unsigned n, uint64_t offset, uint64_t size, const IoOps *ops,
                   void *opaque, GMutex *lock, const char *name)
{
    PciBar *bar = &dev->bars[n];
    PciBarPart *part;

    g_return_if_fail(bar->kind != PCI_BAR_NONE && size > 0);
    g_return_if_fail(offset <= bar->size && size <= bar->size - offset);
    part = g_new0(PciBarPart, 1);
    part->offset = offset;
    part->region = (IoRegion){ name, ops, opaque, lock, size, IO_PRIORITY_BAR };
    g_ptr_array_add(bar->parts, part);
}

static void
pci_bar_part_map(PciDevice *dev, PciBar *bar, PciBarPart *part)
{
    Machine *machine = dev->device.machine;
    uint64_t at = bar->address + part->offset;

    if (part->region.size > 0) {
        /* -ERANGE, an I/O BAR beyond the ports, leaves the registers out of reach, as on a board.
         */
        (void)address_map_add(bar->kind == PCI_BAR_IO ? machine->pio : machine->mmio, &part->region,
                              at);
        return;
    }
    if (part->overlay.size > 0) {
        /* Where the host has no slot left the BAR reads as all ones. */
        part->overlay.gpa = at;
        (void)memory_layout_add(machine->layout, &part->overlay);
        return;
    }
    part->event.pio = bar->kind == PCI_BAR_IO;
    part->event.address = at;
    part->registered = machine->ops->ioeventfd_add(machine->host, &part->event) == 0;
}

static void
pci_bar_part_unmap(PciDevice *dev, PciBar *bar, PciBarPart *part)
{
    Machine *machine = dev->device.machine;

    if (part->region.size > 0) {
        address_map_remove(bar->kind == PCI_BAR_IO ? machine->pio : machine->mmio, &part->region);
    } else if (part->overlay.size > 0) {
        memory_layout_remove(machine->layout, &part->overlay);
    } else if (part->registered) {
        machine->ops->ioeventfd_remove(machine->host, &part->event);
        part->registered = false;
    }
}

void
pci_doorbell_add(PciDevice *dev, unsigned n, uint64_t offset, unsigned size, bool match,
                 uint64_t value, int fd)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&dev->bar_lock);
    PciBar *bar = &dev->bars[n];
    PciBarPart *part = g_new0(PciBarPart, 1);

    part->offset = offset;
    part->event = (IoEvent){ .size = size, .match = match, .value = value, .fd = fd };
    g_ptr_array_add(bar->parts, part);
    if (bar->mapped)
        pci_bar_part_map(dev, bar, part);
}

void
pci_doorbell_remove(PciDevice *dev, unsigned n, uint64_t offset, int fd)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&dev->bar_lock);
    PciBar *bar = &dev->bars[n];

    for (guint i = 0; bar->parts && i < bar->parts->len; i++) {
        PciBarPart *part = g_ptr_array_index(bar->parts, i);

        if (part->region.size == 0 && part->overlay.size == 0 && part->offset == offset &&
            part->event.fd == fd) {
            pci_bar_part_unmap(dev, bar, part);
            g_ptr_array_remove_index(bar->parts, i);
            return;
        }
    }
}

static void
pci_bar_move(PciDevice *dev, PciBar *bar, bool mapped, uint64_t address)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = NULL;
    AddressMap *map =
        bar->kind == PCI_BAR_IO ? dev->device.machine->pio : dev->device.machine->mmio;

    if (bar->mapped == mapped && (!mapped || bar->address == address))
        return;
    locker = g_mutex_locker_new(&dev->bar_lock);
    address_map_begin(map);
    memory_layout_begin(dev->device.machine->layout);
    /* Doorbells first: while a region is still mapped and its doorbell is not, a write reaches the
     * region's callback, never nothing. */
    for (guint pass = 0; bar->mapped && pass < 2; pass++) {
        for (guint i = 0; i < bar->parts->len; i++) {
            PciBarPart *part = g_ptr_array_index(bar->parts, i);

            if ((part->region.size > 0) == (pass == 1))
                pci_bar_part_unmap(dev, bar, part);
        }
    }
    bar->mapped = mapped;
    bar->address = address;
    for (guint i = 0; mapped && i < bar->parts->len; i++)
        pci_bar_part_map(dev, bar, g_ptr_array_index(bar->parts, i));
    (void)memory_layout_commit(dev->device.machine->layout);
    address_map_commit(map);
}

static void
pci_bar_update(PciDevice *dev, unsigned n)
{
    PciBar *bar = &dev->bars[n];
    unsigned at = pci_bar_register(dev, n);
    uint16_t command = (uint16_t)pci_config_get(dev, PCI_COMMAND, 2);
    uint64_t address = pci_config_get(dev, at, 4), last;
    bool decode;

    if (bar->kind == PCI_BAR_IO) {
        address &= ~UINT64_C(3);
        decode = command & PCI_COMMAND_IO;
    } else if (bar->kind == PCI_BAR_ROM) {
        decode = (command & PCI_COMMAND_MEMORY) && (address & PCI_ROM_ENABLE);
        address &= ~(uint64_t)2047;
    } else {
        address &= ~UINT64_C(15);
        if (bar->kind == PCI_BAR_MEM64)
            address |= (uint64_t)pci_config_get(dev, at + 4, 4) << 32;
        decode = command & PCI_COMMAND_MEMORY;
    }
    if (pci_asleep(dev))
        decode = false;
    last = address + (bar->size - 1);
    /* A 32-bit BAR full of ones is being sized, not placed. */
    if (address == 0 || last < address || (bar->kind != PCI_BAR_MEM64 && last >= UINT32_MAX) ||
        (bar->kind == PCI_BAR_IO && last > UINT16_MAX) ||
        !pci_bus_forwards(dev, bar->kind, address, bar->size))
        decode = false;
    pci_bar_move(dev, bar, decode, address);
}

void
pci_update_mappings(PciDevice *dev)
{
    for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
        if (dev->bars[n].kind != PCI_BAR_NONE)
            pci_bar_update(dev, n);
    }
    for (unsigned i = 0; dev->secondary && i < 256; i++) {
        if (dev->secondary->devices[i])
            pci_update_mappings(dev->secondary->devices[i]);
    }
}

void
pci_bars_fini(PciDevice *dev)
{
    PciRoot *root = dev->bus->root;

    for (unsigned n = 0; n <= PCI_ROM_BAR; n++) {
        PciBar *bar = &dev->bars[n];

        if (bar->kind == PCI_BAR_NONE)
            continue;
        /* While another function moves, the map would still show what is freed below. */
        g_mutex_lock(&root->lock);
        pci_bar_move(dev, bar, false, 0);
        g_mutex_unlock(&root->lock);
        address_map_synchronize(bar->kind == PCI_BAR_IO ? dev->device.machine->pio
                                                        : dev->device.machine->mmio);
        g_clear_pointer(&bar->parts, g_ptr_array_unref);
        bar->kind = PCI_BAR_NONE;
    }
    g_mutex_clear(&dev->bar_lock);
}
