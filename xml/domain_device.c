/* domain_device.c - tables of what all devices share and of the small devices: controllers, rng,
 * memballoon, input, video (libvirt formatdomain "Devices", schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_device.h"

#include "util/error.h"

#include <inttypes.h>

const char *const domain_address_types[] = {
    "",    "pci", "drive",       "virtio-serial", "ccid",       "usb", "spapr-vio",
    "ccw", "isa", "virtio-mmio", "dimm",          "unassigned", NULL,
};
const char *const domain_virtio_models[] = {
    "", "virtio", "virtio-transitional", "virtio-non-transitional", NULL,
};
const char *const domain_controller_types[] = {
    "", "ide", "fdc", "scsi", "sata", "virtio-serial", "ccid", "usb", "pci", "xenbus", "isa", NULL,
};
const char *const domain_pci_models[] = {
    "",
    "pci-root",
    "pcie-root",
    "pci-bridge",
    "dmi-to-pci-bridge",
    "pcie-to-pci-bridge",
    "pcie-root-port",
    "pcie-switch-upstream-port",
    "pcie-switch-downstream-port",
    "pci-expander-bus",
    "pcie-expander-bus",
    NULL,
};
const char *const domain_usb_models[] = {
    "",           "piix3-uhci", "piix4-uhci",     "ehci",     "ich9-ehci1", "ich9-uhci1",
    "ich9-uhci2", "ich9-uhci3", "vt82c686b-uhci", "pci-ohci", "nec-xhci",   "none",
    "qusb1",      "qusb2",      "qemu-xhci",      NULL,
};
const char *const domain_scsi_models[] = {
    "",
    "auto",
    "buslogic",
    "lsilogic",
    "lsisas1068",
    "vmpvscsi",
    "ibmvscsi",
    "virtio-scsi",
    "lsisas1078",
    "virtio-transitional",
    "virtio-non-transitional",
    "ncr53c90",
    "dc390",
    "am53c974",
    NULL,
};
static const char *const ide_models[] = { "", "piix3", "piix4", "ich6", NULL };
const char *const domain_rng_backends[] = { "", "random", "egd", "builtin", NULL };
const char *const domain_balloon_models[] = {
    "", "virtio", "virtio-transitional", "virtio-non-transitional", "xen", "none", NULL,
};
const char *const domain_input_types[] = {
    "", "mouse", "tablet", "keyboard", "passthrough", "evdev", NULL,
};
const char *const domain_input_buses[] = { "", "ps2", "usb", "xen", "virtio", NULL };
static const char *const grabs[] = { "", "all", NULL };
static const char *const grab_toggles[] = {
    "", "ctrl-ctrl", "alt-alt", "shift-shift", "meta-meta", "scrolllock", "ctrl-scrolllock", NULL,
};
const char *const domain_video_models[] = {
    "",       "vga", "cirrus", "vmvga", "xen",   "vbox", "qxl",
    "virtio", "gop", "none",   "bochs", "ramfb", NULL,
};
static const char *const vgaconfs[] = { "", "io", "on", "off", NULL };
static const char *const user_alias[] = { "ua-", NULL };

/* --- shared ----------------------------------------------------------------------------------- */

#define A(field) offsetof(DomainAddress, field)
#define PCI XML_WHEN(DOMAIN_ADDRESS_PCI)
#define DRIVE XML_WHEN(DOMAIN_ADDRESS_DRIVE)
#define VIRTIO_SERIAL XML_WHEN(DOMAIN_ADDRESS_VIRTIO_SERIAL)
#define CCID XML_WHEN(DOMAIN_ADDRESS_CCID)
#define USB XML_WHEN(DOMAIN_ADDRESS_USB)
#define ISA XML_WHEN(DOMAIN_ADDRESS_ISA)
#define CCW XML_WHEN(DOMAIN_ADDRESS_CCW)
#define DIMM XML_WHEN(DOMAIN_ADDRESS_DIMM)

static const XmlRow address_rows[] = {
    { NULL, "type", XML_ENUM, A(type), XML_REQUIRED | XML_ABI, .names = domain_address_types },
    { NULL, "domain", XML_HEX, A(domain), XML_ABI, .max = 0xffff, .width = 4, .when = PCI },
    { NULL, "controller", XML_UINT, A(controller), XML_ABI, .max = DOMAIN_ADDRESS_CONTROLLER_MAX,
      .when = DRIVE | VIRTIO_SERIAL | CCID },
    { NULL, "bus", XML_HEX, A(bus), XML_ABI, .max = 0xff, .width = 2, .when = PCI },
    { NULL, "bus", XML_UINT, A(bus), XML_ABI, .max = 99, .when = DRIVE | VIRTIO_SERIAL },
    { NULL, "bus", XML_UINT, A(bus), XML_ABI, .max = 0xfff, .when = USB },
    { NULL, "slot", XML_HEX, A(slot), XML_ABI, .max = 0x1f, .width = 2, .when = PCI },
    { NULL, "function", XML_HEX, A(function), XML_ABI, .max = 7, .width = 1, .when = PCI },
    { NULL, "multifunction", XML_ONOFF, A(multifunction), XML_ABI, .when = PCI },
    { NULL, "target", XML_UINT, A(target), XML_ABI, .max = 99, .when = DRIVE },
    { NULL, "unit", XML_UINT, A(unit), XML_ABI, .max = 99999, .when = DRIVE },
    { NULL, "port", XML_UINT, A(port), XML_ABI, .max = 99, .when = VIRTIO_SERIAL },
    { NULL, "port", XML_STRING, A(usb_port), XML_ABI, .when = USB,
      .pattern = "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}", .legal = "a port path like '1' or '1.2.4'" },
    { NULL, "slot", XML_UINT, A(ccid_slot), XML_ABI, .max = 99, .when = CCID },
    { NULL, "iobase", XML_HEX, A(iobase), XML_ABI, .max = 0xffff, .width = 1, .when = ISA },
    { NULL, "irq", XML_HEX, A(irq), XML_ABI, .max = 0xff, .width = 1, .when = ISA },
    { NULL, "reg", XML_HEX, A(reg), XML_ABI, .max = UINT32_MAX, .width = 8,
      .when = XML_WHEN(DOMAIN_ADDRESS_SPAPR_VIO) },
    { NULL, "cssid", XML_HEX, A(cssid), XML_ABI, .max = 0xfe, .width = 1, .when = CCW },
    { NULL, "ssid", XML_HEX, A(ssid), XML_ABI, .max = 3, .width = 1, .when = CCW },
    { NULL, "devno", XML_HEX, A(devno), XML_ABI, .max = 0xffff, .width = 4, .when = CCW },
    { NULL, "slot", XML_UINT, A(dimm_slot), XML_ABI, .max = UINT32_MAX, .when = DIMM },
    { NULL, "base", XML_HEX, A(base), XML_ABI, .width = 1, .when = DIMM },
};
const XmlType domain_address_type =
    XML_TYPE("address", DomainAddress, address_rows, .selector = XML_SELECTOR(DomainAddress, type));

#define I(field) offsetof(DomainDeviceInfo, field)
static const XmlRow info_rows[] = {
    { "boot", "order", XML_UINT, I(boot_order), XML_REQUIRED, .min = 1, .max = INT32_MAX },
    { "boot", "loadparm", XML_STRING, I(boot_loadparm), .pattern = "[a-zA-Z0-9. ]{1,8}",
      .legal = "1 to 8 letters, digits, dots or spaces" },
    { "alias", "name", XML_STRING, I(alias), XML_LIVE_UNLESS, .names = user_alias,
      .pattern = "[a-zA-Z0-9_.-]+", .legal = "letters, digits, '_', '.' and '-'" },
    { "master", "startport", XML_UINT, I(master_startport), XML_REQUIRED | XML_ABI, .max = 255 },
    { "rom", "enabled", XML_YESNO, I(rom_enabled), XML_ABI },
    { "rom", "bar", XML_ONOFF, I(rom_bar), XML_ABI },
    { "rom", "file", XML_STRING, I(rom_file) },
    { "acpi", "index", XML_UINT, I(acpi_index), XML_ABI, .max = 16383 },
    { "address", NULL, XML_STRUCT, I(address), XML_ABI, .type = &domain_address_type },
};
const XmlType domain_device_info_type = XML_TYPE("device-info", DomainDeviceInfo, info_rows);

#define V(field) offsetof(DomainVirtioOptions, field)
static const XmlRow virtio_rows[] = {
    { NULL, "iommu", XML_ONOFF, V(iommu), XML_ABI },
    { NULL, "ats", XML_ONOFF, V(ats), XML_ABI },
    { NULL, "packed", XML_ONOFF, V(packed), XML_ABI },
    { NULL, "page_per_vq", XML_ONOFF, V(page_per_vq), XML_ABI },
};
const XmlType domain_virtio_options_type =
    XML_TYPE("virtio-options", DomainVirtioOptions, virtio_rows);

#define INFO(T)                                                                                    \
    {                                                                                              \
        NULL, NULL, XML_INLINE, offsetof(T, info), XML_ABI, .type = &domain_device_info_type       \
    }
#define VIRTIO(T)                                                                                  \
    {                                                                                              \
        "driver", NULL, XML_INLINE, offsetof(T, virtio), XML_ABI,                                  \
            .type = &domain_virtio_options_type                                                    \
    }

/* --- controllers ------------------------------------------------------------------------------ */

#define C(field) offsetof(DomainController, field)
#define C_PCI XML_WHEN(DOMAIN_CONTROLLER_PCI)
#define C_USB XML_WHEN(DOMAIN_CONTROLLER_USB)
#define C_SERIAL XML_WHEN(DOMAIN_CONTROLLER_VIRTIO_SERIAL)
static const XmlRow controller_rows[] = {
    { NULL, "type", XML_ENUM, C(type), XML_REQUIRED | XML_ABI, .names = domain_controller_types },
    { NULL, "index", XML_UINT, C(index), XML_ABI, .max = INT32_MAX },
    { NULL, "model", XML_ENUM, C(pci_model), XML_ABI, .names = domain_pci_models, .when = C_PCI },
    { NULL, "model", XML_ENUM, C(usb_model), XML_ABI, .names = domain_usb_models, .when = C_USB },
    { NULL, "model", XML_ENUM, C(scsi_model), XML_ABI, .names = domain_scsi_models,
      .when = XML_WHEN(DOMAIN_CONTROLLER_SCSI) },
    { NULL, "model", XML_ENUM, C(virtio_model), XML_ABI, .names = domain_virtio_models,
      .when = C_SERIAL },
    { NULL, "model", XML_ENUM, C(ide_model), XML_ABI, .names = ide_models,
      .when = XML_WHEN(DOMAIN_CONTROLLER_IDE) },
    { NULL, "ports", XML_UINT, C(ports), XML_ABI, .max = INT32_MAX, .when = C_SERIAL | C_USB },
    { NULL, "vectors", XML_UINT, C(vectors), XML_ABI, .max = INT32_MAX, .when = C_SERIAL },
    { NULL, "maxGrantFrames", XML_UINT, C(max_grant_frames), XML_ABI, .max = INT32_MAX,
      .when = XML_WHEN(DOMAIN_CONTROLLER_XENBUS) },
    { NULL, "maxEventChannels", XML_UINT, C(max_event_channels), XML_ABI, .max = INT32_MAX,
      .when = XML_WHEN(DOMAIN_CONTROLLER_XENBUS) },
    { "model", "name", XML_STRING, C(model_name), XML_ABI, .when = C_PCI,
      .pattern = "spapr-pci-host-bridge|pci-bridge|i82801b11-bridge|pcie-pci-bridge|ioh3420|"
                 "pcie-root-port|x3130-upstream|xio3130-downstream|pxb|pxb-pcie",
      .legal = "a PCI controller's model name such as 'pcie-root-port'" },
    { "target", "chassisNr", XML_UINT, C(chassis_nr), XML_ABI, .max = 255, .when = C_PCI },
    { "target", "chassis", XML_UINT, C(chassis), XML_ABI, .max = 255, .when = C_PCI },
    { "target", "port", XML_HEX, C(port), XML_ABI, .max = 255, .width = 1, .when = C_PCI },
    { "target", "busNr", XML_UINT, C(bus_nr), XML_ABI, .max = 254, .when = C_PCI },
    { "target", "index", XML_UINT, C(target_index), XML_ABI, .max = 255, .when = C_PCI },
    { "target", "hotplug", XML_ONOFF, C(hotplug), XML_ABI, .when = C_PCI },
    { "target/node", NULL, XML_UINT, C(numa_node), XML_ABI, .max = 255, .when = C_PCI },
    { "driver", "queues", XML_UINT, C(queues), XML_ABI, .max = UINT32_MAX },
    { "driver", "cmd_per_lun", XML_UINT, C(cmd_per_lun), XML_ABI, .max = UINT32_MAX },
    { "driver", "max_sectors", XML_UINT, C(max_sectors), XML_ABI, .max = UINT32_MAX },
    { "driver", "ioeventfd", XML_ONOFF, C(ioeventfd), XML_ABI },
    { "driver", "iothread", XML_UINT, C(iothread), .min = 1, .max = UINT32_MAX },
    VIRTIO(DomainController),
    INFO(DomainController),
    { "pcihole64", NULL, XML_SIZE, C(pcihole64), XML_ABI, .scale = 1024, .when = C_PCI },
};

static bool
controller_check(const void *obj, GError **err)
{
    const DomainController *c = obj;

    if (c->type == DOMAIN_CONTROLLER_PCI && !c->pci_model)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "a PCI controller needs the attribute 'model', "
                              "such as 'pcie-root-port'");
    if (c->pcihole64 != XML_UNSET && c->pci_model != DOMAIN_PCI_ROOT &&
        c->pci_model != DOMAIN_PCIE_ROOT)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "<pcihole64> is for pci-root and "
                              "pcie-root only, not for '%s'",
                              domain_pci_models[c->pci_model]);
    if ((c->pci_model == DOMAIN_PCI_ROOT || c->pci_model == DOMAIN_PCIE_ROOT) && c->info.address)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "pci-root and pcie-root controllers should not have an address");
    return true;
}

const XmlType domain_controller_type =
    XML_TYPE("controller", DomainController, controller_rows,
             .selector = XML_SELECTOR(DomainController, type), .check = controller_check);

/* --- rng -------------------------------------------------------------------------------------- */

#define R(field) offsetof(DomainRng, field)
#define EGD XML_WHEN(DOMAIN_RNG_EGD)
static const XmlRow rng_rows[] = {
    { NULL, "model", XML_ENUM, R(model), XML_REQUIRED | XML_ABI, .names = domain_virtio_models },
    { "rate", "bytes", XML_UINT, R(rate_bytes), XML_REQUIRED, .min = 1, .max = UINT32_MAX },
    { "rate", "period", XML_UINT, R(rate_period), .min = 1, .max = UINT32_MAX },
    { "backend", "model", XML_ENUM, R(backend), XML_REQUIRED, .names = domain_rng_backends },
    { "backend", NULL, XML_STRING, R(path), .when = XML_WHEN(DOMAIN_RNG_RANDOM), .pattern = "/.+",
      .legal = "an absolute path such as /dev/urandom" },
    { "backend", "type", XML_STRING, R(egd_type), .when = EGD },
    { "backend/source", NULL, XML_KEPT, R(kept), .when = EGD },
    { "backend/protocol", NULL, XML_KEPT, R(kept), .when = EGD },
    { "backend/log", NULL, XML_KEPT, R(kept), .when = EGD },
    VIRTIO(DomainRng),
    INFO(DomainRng),
};

static bool
rng_check(const void *obj, GError **err)
{
    const DomainRng *rng = obj;

    if (!rng->backend)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "missing <backend model='random|egd|builtin'>");
    return true;
}

const XmlType domain_rng_type = XML_TYPE(
    "rng", DomainRng, rng_rows, .selector = XML_SELECTOR(DomainRng, backend), .check = rng_check);

/* --- memballoon ------------------------------------------------------------------------------- */

#define B(field) offsetof(DomainBalloon, field)
static const XmlRow balloon_rows[] = {
    { NULL, "model", XML_ENUM, B(model), XML_REQUIRED | XML_ABI, .names = domain_balloon_models },
    { NULL, "autodeflate", XML_ONOFF, B(autodeflate), XML_ABI },
    { NULL, "freePageReporting", XML_ONOFF, B(free_page_reporting), XML_ABI },
    { "stats", "period", XML_UINT, B(stats_period), XML_NOT_ZERO, .max = INT32_MAX },
    INFO(DomainBalloon),
    VIRTIO(DomainBalloon),
};
const XmlType domain_balloon_type = XML_TYPE("memballoon", DomainBalloon, balloon_rows);

/* --- input, video ----------------------------------------------------------------------------- */

#define N(field) offsetof(DomainInput, field)
#define EVDEV XML_WHEN(DOMAIN_INPUT_EVDEV)
static const XmlRow input_rows[] = {
    { NULL, "type", XML_ENUM, N(type), XML_REQUIRED | XML_ABI, .names = domain_input_types },
    { NULL, "bus", XML_ENUM, N(bus), XML_ABI, .names = domain_input_buses, .when = ~EVDEV },
    { NULL, "model", XML_ENUM, N(model), XML_ABI, .names = domain_virtio_models },
    VIRTIO(DomainInput),
    { "source", "evdev", XML_STRING, N(evdev), .when = XML_WHEN(DOMAIN_INPUT_PASSTHROUGH) },
    { "source", "dev", XML_STRING, N(dev), .when = EVDEV },
    { "source", "grab", XML_ENUM, N(grab), .names = grabs, .when = EVDEV },
    { "source", "grabToggle", XML_ENUM, N(grab_toggle), .names = grab_toggles, .when = EVDEV },
    { "source", "repeat", XML_ONOFF, N(repeat), .when = EVDEV },
    INFO(DomainInput),
};
const XmlType domain_input_type =
    XML_TYPE("input", DomainInput, input_rows, .selector = XML_SELECTOR(DomainInput, type));

#define G(field) offsetof(DomainVideo, field)
#define QXL XML_WHEN(DOMAIN_VIDEO_QXL)
static const XmlRow video_model_rows[] = {
    { NULL, "type", XML_ENUM, G(model), XML_ABI, .names = domain_video_models },
    { NULL, "ram", XML_UINT, G(ram), XML_ABI, .max = UINT32_MAX, .when = QXL },
    { NULL, "vram", XML_UINT, G(vram), XML_ABI, .max = UINT32_MAX },
    { NULL, "vram64", XML_UINT, G(vram64), XML_ABI, .max = UINT32_MAX, .when = QXL },
    { NULL, "vgamem", XML_UINT, G(vgamem), XML_ABI, .max = UINT32_MAX, .when = QXL },
    { NULL, "heads", XML_UINT, G(heads), XML_ABI, .max = UINT32_MAX },
    { NULL, "primary", XML_YESNO, G(primary), XML_ABI },
    { "acceleration", "accel3d", XML_YESNO, G(accel3d), XML_ABI },
    { "acceleration", "accel2d", XML_YESNO, G(accel2d), XML_ABI },
    { "acceleration", "rendernode", XML_STRING, G(rendernode) },
    { "resolution", "x", XML_UINT, G(width), XML_ABI | XML_REQUIRED, .max = UINT32_MAX },
    { "resolution", "y", XML_UINT, G(height), XML_ABI | XML_REQUIRED, .max = UINT32_MAX },
};
static const XmlType video_model_type = XML_TYPE("video-model", DomainVideo, video_model_rows,
                                                 .selector = XML_SELECTOR(DomainVideo, model));

static const XmlRow video_rows[] = {
    { "driver", "name", XML_STRING, G(driver_name), .pattern = "qemu|vhostuser",
      .legal = "'qemu' or 'vhostuser'" },
    { "driver", "vgaconf", XML_ENUM, G(vgaconf), .names = vgaconfs },
    VIRTIO(DomainVideo),
    /* The model's rows are about the same struct. */
    { "model", NULL, XML_INLINE, 0, XML_ABI, .type = &video_model_type },
    INFO(DomainVideo),
};
const XmlType domain_video_type = XML_TYPE("video", DomainVideo, video_rows);
