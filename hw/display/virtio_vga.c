/* virtio_vga.c - virtio-vga: a standard VGA for firmware and text, and a virtio GPU in one card.
 *
 * The screen is the VGA's until the driver gives the first output a picture, and again after a
 * reset. BAR 0 holds the VGA's memory, BAR 2 its registers; virtio has BARs 1 and 4.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/vga_pci.h"
#include "hw/display/virtio_gpu.h"
#include "hw/virtio/core.h"

typedef struct {
    VirtioGpu gpu; /* first */
    Vga vga;
    VgaMmio mmio;
    uint32_t memory_mib;
    bool was_gpu; /* who drew last */
} VirtioVga;

static void
virtio_vga_refresh(void *opaque)
{
    VirtioVga *card = opaque;
    bool is_gpu = gpu_output_active(&card->gpu, 0);

    if (is_gpu) {
        gpu_output_refresh(&card->gpu, 0);
    } else {
        if (card->was_gpu)
            vga_invalidate(&card->vga);
        vga_refresh(&card->vga);
    }
    card->was_gpu = is_gpu;
}

static void
virtio_vga_suggest(void *opaque, uint32_t width, uint32_t height)
{
    gpu_output_suggest(&((VirtioVga *)opaque)->gpu, 0, width, height);
}

static void
virtio_vga_invalidate(void *opaque)
{
    vga_invalidate(&((VirtioVga *)opaque)->vga);
}

static const ScreenOps virtio_vga_screen_ops = {
    .refresh = virtio_vga_refresh,
    .suggest_size = virtio_vga_suggest,
    .invalidate = virtio_vga_invalidate,
};

static bool
virtio_vga_realize(VirtioDevice *dev, GError **err)
{
    VirtioVga *card = (VirtioVga *)dev;
    PciDevice *pci = &dev->pci;
    Vga *vga = &card->vga;

    if (!vga_init(vga, &pci->device, card->memory_mib, err))
        return false;
    vga->vbe_present = true;
    pci_bar_add(pci, 0, PCI_BAR_MEM32, true, vga->vram_size);
    vga_add_lfb(vga, pci, 0);
    pci_bar_add(pci, 2, PCI_BAR_MEM32, false, VGA_MMIO_SIZE);
    card->mmio.vga = vga;
    card->mmio.has_edid = card->gpu.edid;
    edid_make(card->mmio.edid, card->gpu.xres, card->gpu.yres);
    vga_mmio_add(&card->mmio, pci, 2, 0, true);
    vga->screen = screen_new(&pci->device, 0, &virtio_vga_screen_ops, card);
    card->gpu.outputs[0].screen = vga->screen;
    vga_add_legacy(vga);
    return gpu_realize(dev, err);
}

static void
virtio_vga_unrealize(VirtioDevice *dev)
{
    VirtioVga *card = (VirtioVga *)dev;

    card->gpu.outputs[0].screen = NULL;
    vga_fini(&card->vga);
    gpu_unrealize(dev);
}

/* The machine's reset; the driver's own leaves the VGA alone. */
static void
virtio_vga_device_reset(Device *device)
{
    vga_reset(&((VirtioVga *)device)->vga);
}

static const SavedField virtio_vga_fields[] = {
    SAVED_STRUCT(VirtioVga, gpu, gpu_saved, 1),
    SAVED_STRUCT(VirtioVga, vga, vga_saved, 1),
};

static const SavedTable virtio_vga_saved = {
    .name = "virtio-vga",
    .version = 1,
    .oldest = 1,
    .fields = virtio_vga_fields,
    .n_fields = G_N_ELEMENTS(virtio_vga_fields),
};

static const DeviceProp virtio_vga_props[] = {
    { "max_outputs", PROP_UINT32, offsetof(VirtioGpu, max_outputs), "1", .min = 1,
      .max = GPU_OUTPUTS_MAX, .help = "screens" },
    { "max_hostmem", PROP_SIZE, offsetof(VirtioGpu, max_hostmem), "256M", .min = 1 << 20,
      .max = 768 << 20, .help = "most bytes of pictures kept for the guest" },
    { "edid", PROP_BOOL, offsetof(VirtioGpu, edid), "on", .help = "monitors describe themselves" },
    { "xres", PROP_UINT32, offsetof(VirtioGpu, xres), "1280", .min = 16, .max = SCREEN_SIZE_MAX,
      .help = "pixels of the first screen, until a viewer wants others" },
    { "yres", PROP_UINT32, offsetof(VirtioGpu, yres), "800", .min = 16, .max = SCREEN_SIZE_MAX },
    { "vgamem_mb", PROP_UINT32, offsetof(VirtioVga, memory_mib), "8",
      .help = "the VGA's memory, MiB: 1 to 256, a power of two" },
};

static const VirtioClass virtio_vga_virtio_class = {
    .name = "virtio-gpu",
    .id = GPU_VIRTIO_ID,
    .class_code = 0x030000,
    .config_size = GPU_CONFIG_SIZE,
    .realize = virtio_vga_realize,
    .unrealize = virtio_vga_unrealize,
    .config_read = gpu_config_read,
    .config_write = gpu_config_write,
    .reset = gpu_reset,
};

const DeviceClass virtio_vga_class = {
    .name = "virtio-vga",
    .description = "virtio GPU, 2D, with a standard VGA",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .option_rom = "vgabios-virtio.bin",
    .state_size = sizeof(VirtioVga),
    .props = virtio_vga_props,
    .n_props = G_N_ELEMENTS(virtio_vga_props),
    .saved = &virtio_vga_saved,
    .reset = virtio_vga_device_reset,
    .details = &virtio_vga_virtio_class,
};
