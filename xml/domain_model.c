/* domain_model.c - the names of devices in QEMU 7.2, and the list of those that kiln-vmm lacks.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/domain_model.h"

#include <string.h>

/* kiln-vmm's to-do list, for guests that want one of them: refused when they start, and not offered
 * in the capabilities. A name leaves when `kiln-vmm -device help` shows it and it works. */
static const char *const unbuilt[] = {
    "am53c974",
    "buslogic",
    "dc390",
    "floppy",
    "i82551",
    "i82557b",
    "i82559er",
    "i82801b11-bridge",
    "ib700",
    "igb",
    "isa-fdc",
    "lsi",
    "megasas",
    "mptsas1068",
    "ne2k_isa",
    "ne2k_pci",
    "pci-ohci",
    "pcnet",
    "pvscsi",
    "pxb",
    "pxb-pcie",
    "qxl",
    "qxl-vga",
    "ramfb",
    "scsi-block",
    "tulip",
    "usb-ccid",
    "usb-net",
    "virtio-input-host-pci",
    "vmware-svga",
    "vmxnet3",
    "x3130-upstream",
    "xio3130-downstream",
};

bool
domain_model_is_built(const char *model)
{
    for (size_t i = 0; i < G_N_ELEMENTS(unbuilt); i++)
        if (model && strcmp(unbuilt[i], model) == 0)
            return false;
    return model != NULL;
}

/* A virtio device's names by its model. */
#define VIRTIO_NAMES(name)                                                                         \
    {                                                                                              \
        name, [DOMAIN_VIRTIO] = name, [DOMAIN_VIRTIO_TRANSITIONAL] = name "-transitional",         \
              [DOMAIN_VIRTIO_NON_TRANSITIONAL] = name "-non-transitional",                         \
    }

const char *
domain_disk_model(const DomainDisk *disk)
{
    static const char *const virtio[] = VIRTIO_NAMES("virtio-blk-pci");
    bool cdrom = disk->device == DOMAIN_DISK_DEVICE_CDROM;

    switch (disk->bus) {
    case DOMAIN_BUS_VIRTIO:
        return virtio[disk->model];
    case DOMAIN_BUS_SCSI:
        return disk->device == DOMAIN_DISK_DEVICE_LUN ? "scsi-block"
               : cdrom                                ? "scsi-cd"
                                                      : "scsi-hd";
    case DOMAIN_BUS_IDE:
    case DOMAIN_BUS_SATA:
        return cdrom ? "ide-cd" : "ide-hd";
    case DOMAIN_BUS_USB:
        return "usb-storage";
    case DOMAIN_BUS_FDC:
        return "floppy";
    default:
        return NULL;
    }
}

static const char *
pci_model(const DomainController *c)
{
    static const char *const names[] = {
        [DOMAIN_PCI_ROOT] = "",
        [DOMAIN_PCIE_ROOT] = "",
        [DOMAIN_PCI_BRIDGE] = "pci-bridge",
        [DOMAIN_DMI_TO_PCI_BRIDGE] = "i82801b11-bridge",
        [DOMAIN_PCIE_TO_PCI_BRIDGE] = "pcie-pci-bridge",
        [DOMAIN_PCIE_ROOT_PORT] = "pcie-root-port",
        [DOMAIN_PCIE_SWITCH_UPSTREAM_PORT] = "x3130-upstream",
        [DOMAIN_PCIE_SWITCH_DOWNSTREAM_PORT] = "xio3130-downstream",
        [DOMAIN_PCI_EXPANDER_BUS] = "pxb",
        [DOMAIN_PCIE_EXPANDER_BUS] = "pxb-pcie",
    };

    return names[c->pci_model];
}

static const char *
usb_model(const DomainController *c)
{
    static const char *const names[] = {
        [DOMAIN_USB_PIIX3_UHCI] = "piix3-usb-uhci",
        [DOMAIN_USB_PIIX4_UHCI] = "piix4-usb-uhci",
        [DOMAIN_USB_EHCI] = "usb-ehci",
        [DOMAIN_USB_ICH9_EHCI1] = "ich9-usb-ehci1",
        [DOMAIN_USB_ICH9_UHCI1] = "ich9-usb-uhci1",
        [DOMAIN_USB_ICH9_UHCI2] = "ich9-usb-uhci2",
        [DOMAIN_USB_ICH9_UHCI3] = "ich9-usb-uhci3",
        [DOMAIN_USB_PCI_OHCI] = "pci-ohci",
        [DOMAIN_USB_NEC_XHCI] = "nec-usb-xhci",
        [DOMAIN_USB_NONE] = "",
        [DOMAIN_USB_QEMU_XHCI] = "qemu-xhci",
    };

    return names[c->usb_model];
}

static const char *
scsi_model(const DomainController *c)
{
    static const char *const names[] = {
        [DOMAIN_SCSI_MODEL_ABSENT] = "virtio-scsi-pci",
        [DOMAIN_SCSI_AUTO] = "virtio-scsi-pci",
        [DOMAIN_SCSI_BUSLOGIC] = "buslogic",
        [DOMAIN_SCSI_LSILOGIC] = "lsi",
        [DOMAIN_SCSI_LSISAS1068] = "mptsas1068",
        [DOMAIN_SCSI_VMPVSCSI] = "pvscsi",
        [DOMAIN_SCSI_VIRTIO] = "virtio-scsi-pci",
        [DOMAIN_SCSI_LSISAS1078] = "megasas",
        [DOMAIN_SCSI_VIRTIO_TRANSITIONAL] = "virtio-scsi-pci-transitional",
        [DOMAIN_SCSI_VIRTIO_NON_TRANSITIONAL] = "virtio-scsi-pci-non-transitional",
        [DOMAIN_SCSI_DC390] = "dc390",
        [DOMAIN_SCSI_AM53C974] = "am53c974",
    };

    return names[c->scsi_model];
}

const char *
domain_controller_model(const DomainDef *def, const DomainController *c)
{
    static const char *const serial[] = VIRTIO_NAMES("virtio-serial-pci");
    bool pc = domain_def_is_pc(def);

    switch (c->type) {
    case DOMAIN_CONTROLLER_PCI:
        return pci_model(c);
    case DOMAIN_CONTROLLER_USB:
        return usb_model(c);
    case DOMAIN_CONTROLLER_SCSI:
        return scsi_model(c);
    case DOMAIN_CONTROLLER_SATA:
        return c->index == 0 && !pc ? "" : "ahci";
    case DOMAIN_CONTROLLER_IDE:
        return c->index == 0 && pc ? "" : NULL;
    case DOMAIN_CONTROLLER_VIRTIO_SERIAL:
        return serial[c->virtio_model];
    case DOMAIN_CONTROLLER_FDC:
        return "isa-fdc";
    case DOMAIN_CONTROLLER_CCID:
        return "usb-ccid";
    default:
        return NULL;
    }
}

const char *
domain_interface_model(const DomainInterface *net)
{
    static const char *const cards[] = {
        "e1000",    "e1000e", "i82551",  "i82557b", "i82559er", "igb",     "ne2k_isa",
        "ne2k_pci", "pcnet",  "rtl8139", "tulip",   "usb-net",  "vmxnet3",
    };

    if (strcmp(net->model, "virtio") == 0)
        return "virtio-net-pci";
    if (strcmp(net->model, "virtio-transitional") == 0)
        return "virtio-net-pci-transitional";
    if (strcmp(net->model, "virtio-non-transitional") == 0)
        return "virtio-net-pci-non-transitional";
    for (size_t i = 0; i < G_N_ELEMENTS(cards); i++)
        if (strcmp(cards[i], net->model) == 0)
            return cards[i];
    return NULL;
}

const char *
domain_rng_model(const DomainRng *rng)
{
    static const char *const virtio[] = VIRTIO_NAMES("virtio-rng-pci");

    return virtio[rng->model];
}

const char *
domain_balloon_model(const DomainBalloon *balloon)
{
    static const char *const names[] = {
        "virtio-balloon-pci",
        [DOMAIN_BALLOON_VIRTIO] = "virtio-balloon-pci",
        [DOMAIN_BALLOON_VIRTIO_TRANSITIONAL] = "virtio-balloon-pci-transitional",
        [DOMAIN_BALLOON_VIRTIO_NON_TRANSITIONAL] = "virtio-balloon-pci-non-transitional",
        [DOMAIN_BALLOON_NONE] = "",
    };

    return names[balloon->model];
}

const char *
domain_input_model(const DomainInput *input)
{
    static const char *const models[][5] = {
        [DOMAIN_INPUT_BUS_PS2] = { "", [DOMAIN_INPUT_MOUSE] = "", [DOMAIN_INPUT_KEYBOARD] = "" },
        [DOMAIN_INPUT_BUS_USB] = { "", [DOMAIN_INPUT_MOUSE] = "usb-mouse",
                                   [DOMAIN_INPUT_TABLET] = "usb-tablet",
                                   [DOMAIN_INPUT_KEYBOARD] = "usb-kbd" },
        [DOMAIN_INPUT_BUS_VIRTIO] = { "", [DOMAIN_INPUT_MOUSE] = "virtio-mouse-pci",
                                      [DOMAIN_INPUT_TABLET] = "virtio-tablet-pci",
                                      [DOMAIN_INPUT_KEYBOARD] = "virtio-keyboard-pci",
                                      [DOMAIN_INPUT_PASSTHROUGH] = "virtio-input-host-pci" },
    };

    if (input->type == DOMAIN_INPUT_EVDEV)
        return NULL;
    return models[input->bus][input->type];
}

const char *
domain_video_model(const DomainVideo *video, bool primary)
{
    switch (video->model) {
    case DOMAIN_VIDEO_NONE:
        return "";
    case DOMAIN_VIDEO_VGA:
        return primary ? "VGA" : "secondary-vga";
    case DOMAIN_VIDEO_CIRRUS:
        return primary ? "cirrus-vga" : NULL;
    case DOMAIN_VIDEO_VMVGA:
        return primary ? "vmware-svga" : NULL;
    case DOMAIN_VIDEO_QXL:
        return primary ? "qxl-vga" : "qxl";
    case DOMAIN_VIDEO_VIRTIO:
        return primary ? "virtio-vga" : "virtio-gpu-pci";
    case DOMAIN_VIDEO_BOCHS:
        return "bochs-display";
    case DOMAIN_VIDEO_RAMFB:
        return primary ? "ramfb" : NULL;
    default:
        return NULL;
    }
}

const char *
domain_watchdog_model(const DomainWatchdog *watchdog)
{
    return watchdog->model == DOMAIN_WATCHDOG_I6300ESB ? "i6300esb"
           : watchdog->model == DOMAIN_WATCHDOG_IB700  ? "ib700"
           : watchdog->model == DOMAIN_WATCHDOG_ITCO   ? ""
                                                       : NULL;
}

const char *
domain_panic_model(const DomainPanic *panic)
{
    return panic->model == DOMAIN_PANIC_ISA ? "pvpanic" : NULL;
}
