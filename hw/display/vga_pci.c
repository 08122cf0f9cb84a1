/* vga_pci.c - VGA cards on PCI: VGA (the standard one), secondary-vga, bochs-display.
 *
 * Registers in BAR 2 as QEMU's docs/specs/standard-vga.txt has them: EDID, the VGA's ports, Bochs'
 * VBE, byte order. Leaves out the big-endian frame buffer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/vga_pci.h"

#include "util/error.h"

enum {
    LITTLE_ENDIAN_ORDER = 0x1e1e1e1e,
    EXTENDED_SIZE = 8,
};

typedef struct {
    PciDevice pci; /* first */
    Vga vga;
    VgaMmio mmio;
    uint32_t memory_mib;
    uint64_t memory; /* bytes, of bochs-display */
    uint32_t xres, yres, xmax, ymax, refresh_rate;
    bool edid, has_mmio, extended;
} VgaCard;

/* ---- BAR 2 ---- */

static uint64_t
mmio_edid_read(void *opaque, uint64_t offset, unsigned size)
{
    const VgaMmio *mmio = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        if (offset + i < EDID_SIZE)
            value |= (uint64_t)mmio->edid[offset + i] << (8 * i);
    return value;
}

static const IoOps mmio_edid_ops = { .read = mmio_edid_read, .sizes = 1 | 2 | 4 };

static uint64_t
mmio_port_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return vga_port_read(((VgaMmio *)opaque)->vga, (uint16_t)(0x3c0 + offset));
}

static void
mmio_port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vga_port_write(((VgaMmio *)opaque)->vga, (uint16_t)(0x3c0 + offset), (uint8_t)value);
}

static const IoOps mmio_port_ops = {
    .read = mmio_port_read,
    .write = mmio_port_write,
    .sizes = 1,
    .split = true,
};

static uint64_t
mmio_vbe_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return vbe_read(((VgaMmio *)opaque)->vga, (unsigned)(offset / 2));
}

static void
mmio_vbe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)size;
    vbe_write(((VgaMmio *)opaque)->vga, (unsigned)(offset / 2), (uint16_t)value);
}

static const IoOps mmio_vbe_ops = {
    .read = mmio_vbe_read,
    .write = mmio_vbe_write,
    .sizes = 2,
};

static uint64_t
mmio_extended_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)size;
    return offset == 0 ? EXTENDED_SIZE : LITTLE_ENDIAN_ORDER;
}

static const IoOps mmio_extended_ops = { .read = mmio_extended_read, .sizes = 4 };

void
vga_mmio_add(VgaMmio *mmio, PciDevice *pci, unsigned n, uint64_t offset, bool ports)
{
    GMutex *lock = &pci->device.lock;

    if (mmio->has_edid)
        pci_bar_add_region(pci, n, offset + VGA_MMIO_EDID, 256, &mmio_edid_ops, mmio, lock, "edid");
    if (ports)
        pci_bar_add_region(pci, n, offset + VGA_MMIO_PORTS, 32, &mmio_port_ops, mmio, lock,
                           "vga ports");
    pci_bar_add_region(pci, n, offset + VGA_MMIO_VBE, 2 * VBE_REGISTERS, &mmio_vbe_ops, mmio, lock,
                       "vbe");
    pci_bar_add_region(pci, n, offset + VGA_MMIO_EXTENDED, EXTENDED_SIZE, &mmio_extended_ops, mmio,
                       lock, "vga extended");
}

/* ---- BAR 0 ---- */

static bool
vga_pci_lfb_mapped(Vga *vga)
{
    const PciDevice *pci = pci_device(vga->device);

    return pci->bars[vga->lfb_bar].mapped;
}

void
vga_add_lfb(Vga *vga, PciDevice *pci, unsigned n)
{
    vga->lfb = pci_bar_add_memory(pci, n, 0, vga->vram_size, vga->vram, false, true, "vga memory");
    vga->lfb_bar = n;
    vga->lfb_mapped = vga_pci_lfb_mapped;
}

/* ---- cards ---- */

static bool
vga_card_init(VgaCard *card, bool ports, GError **err)
{
    PciDevice *pci = &card->pci;
    Vga *vga = &card->vga;

    if (!vga_init(vga, &pci->device, card->memory_mib, err))
        return false;
    vga->vbe_present = true;
    pci_bar_add(pci, 0, PCI_BAR_MEM32, true, vga->vram_size);
    vga_add_lfb(vga, pci, 0);
    if (card->has_mmio) {
        pci_bar_add(pci, 2, PCI_BAR_MEM32, false, VGA_MMIO_SIZE);
        card->mmio.vga = vga;
        card->mmio.has_edid = card->edid;
        edid_make(card->mmio.edid, card->xres, card->yres);
        vga_mmio_add(&card->mmio, pci, 2, 0, ports);
    }
    vga->screen = screen_new(&pci->device, 0, &vga_screen_ops, vga);
    return true;
}

static bool
vga_card_realize(Device *device, GError **err)
{
    VgaCard *card = (VgaCard *)device;

    if (!vga_card_init(card, true, err))
        return false;
    vga_add_legacy(&card->vga);
    return true;
}

static bool
secondary_vga_realize(Device *device, GError **err)
{
    VgaCard *card = (VgaCard *)device;

    card->has_mmio = true;
    return vga_card_init(card, true, err);
}

static bool
bochs_display_realize(Device *device, GError **err)
{
    VgaCard *card = (VgaCard *)device;

    card->memory_mib = (uint32_t)(card->memory >> 20);
    if (card->memory & 0xfffff)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "vgamem=%" G_GUINT64_FORMAT " is not a number of MiB", card->memory);
    card->has_mmio = true;
    return vga_card_init(card, false, err);
}

static void
vga_card_reset(Device *device)
{
    vga_reset(&((VgaCard *)device)->vga);
}

static void
vga_card_unrealize(Device *device)
{
    vga_fini(&((VgaCard *)device)->vga);
}

static const SavedField vga_card_fields[] = {
    SAVED_STRUCT(VgaCard, vga, vga_saved, 1),
};

static const SavedTable vga_card_saved = {
    .name = "vga-card",
    .version = 1,
    .oldest = 1,
    .fields = vga_card_fields,
    .n_fields = G_N_ELEMENTS(vga_card_fields),
};

#define MONITOR_PROPS                                                                              \
    { "edid", PROP_BOOL, offsetof(VgaCard, edid), "on", .help = "the monitor describes itself" },  \
        { "xres", PROP_UINT32,         offsetof(VgaCard, xres),                                    \
          "1280", .max = VBE_XRES_MAX, .help = "pixels that the monitor prefers" },                \
        { "yres", PROP_UINT32, offsetof(VgaCard, yres), "800", .max = VBE_YRES_MAX },              \
        { "xmax", PROP_UINT32,         offsetof(VgaCard, xmax),                                    \
          "0",    .max = VBE_XRES_MAX, .help = "accepted; the monitor names no limit" },           \
        { "ymax", PROP_UINT32, offsetof(VgaCard, ymax), "0", .max = VBE_YRES_MAX },                \
    {                                                                                              \
        "refresh_rate", PROP_UINT32, offsetof(VgaCard, refresh_rate), "0",                         \
            .help = "accepted; pictures are pulled by who looks"                                   \
    }

static const DeviceProp vga_card_props[] = {
    { "vgamem_mb", PROP_UINT32, offsetof(VgaCard, memory_mib), "16",
      .help = "video memory, MiB: 1 to 256, a power of two" },
    { "mmio", PROP_BOOL, offsetof(VgaCard, has_mmio), "on", .help = "registers in BAR 2 too" },
    { "qemu-extended-regs", PROP_BOOL, offsetof(VgaCard, extended), "on",
      .help = "accepted; they are always there" },
    MONITOR_PROPS,
};

static const DeviceProp secondary_vga_props[] = {
    { "vgamem_mb", PROP_UINT32, offsetof(VgaCard, memory_mib), "16",
      .help = "video memory, MiB: 1 to 256, a power of two" },
    { "qemu-extended-regs", PROP_BOOL, offsetof(VgaCard, extended), "on",
      .help = "accepted; they are always there" },
    MONITOR_PROPS,
};

static const DeviceProp bochs_display_props[] = {
    { "vgamem", PROP_SIZE, offsetof(VgaCard, memory), "16M",
      .help = "video memory: 1M to 256M, a power of two" },
    MONITOR_PROPS,
};

static const PciDetails vga_details = {
    .vendor = 0x1234,
    .device = 0x1111,
    .class_code = 0x030000,
    .revision = 2,
    .rom = "vgabios-stdvga.bin",
};

static const PciDetails secondary_vga_details = {
    .vendor = 0x1234,
    .device = 0x1111,
    .class_code = 0x038000,
    .revision = 2,
};

static const PciDetails bochs_display_details = {
    .vendor = 0x1234,
    .device = 0x1111,
    .class_code = 0x038000,
    .revision = 2,
    .rom = "vgabios-bochs-display.bin",
};

#define VGA_CARD(symbol, text, about, props_of, realize_of, details_of)                            \
    const DeviceClass symbol = {                                                                   \
        .name = text,                                                                              \
        .description = about,                                                                      \
        .base = &pci_device_class,                                                                 \
        .bus = BUS_PCI,                                                                            \
        .state_size = sizeof(VgaCard),                                                             \
        .props = props_of,                                                                         \
        .n_props = G_N_ELEMENTS(props_of),                                                         \
        .saved = &vga_card_saved,                                                                  \
        .realize = realize_of,                                                                     \
        .reset = vga_card_reset,                                                                   \
        .unrealize = vga_card_unrealize,                                                           \
        .details = &details_of,                                                                    \
    }

VGA_CARD(vga_class, "VGA", "standard VGA with Bochs VBE", vga_card_props, vga_card_realize,
         vga_details);
VGA_CARD(secondary_vga_class, "secondary-vga", "standard VGA without its old addresses",
         secondary_vga_props, secondary_vga_realize, secondary_vga_details);
VGA_CARD(bochs_display_class, "bochs-display", "Bochs VBE display without a VGA",
         bochs_display_props, bochs_display_realize, bochs_display_details);
