/* domain_device.h - what all devices of a guest share (alias, address, boot order), and the small
 * devices: controllers, rng, memballoon, input, video (libvirt formatdomain "Devices", schema
 * of 9.0).
 *
 * Value conventions: xmltab.h. Enum values follow the names arrays of the same stem.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_DEVICE_H
#define KILN_XML_DOMAIN_DEVICE_H

#include "xml/xmltab.h"

typedef enum {
    DOMAIN_ADDRESS_NONE,
    DOMAIN_ADDRESS_PCI,
    DOMAIN_ADDRESS_DRIVE,
    DOMAIN_ADDRESS_VIRTIO_SERIAL,
    DOMAIN_ADDRESS_CCID,
    DOMAIN_ADDRESS_USB,
    DOMAIN_ADDRESS_SPAPR_VIO,
    DOMAIN_ADDRESS_CCW,
    DOMAIN_ADDRESS_ISA,
    DOMAIN_ADDRESS_VIRTIO_MMIO,
    DOMAIN_ADDRESS_DIMM,
    DOMAIN_ADDRESS_UNASSIGNED,
} DomainAddressType;
extern const char *const domain_address_types[];

typedef struct {
    int type;                        /* DomainAddressType */
    uint64_t domain, slot, function; /* PCI */
    int multifunction;               /* PCI: Tristate on/off */
    uint64_t controller;             /* DRIVE, VIRTIO_SERIAL, CCID */
    uint64_t bus;                    /* PCI, DRIVE, VIRTIO_SERIAL, USB */
    uint64_t target, unit;           /* DRIVE */
    uint64_t port;                   /* VIRTIO_SERIAL */
    char *usb_port;                  /* USB, "1.2" */
    uint64_t ccid_slot;              /* CCID */
    uint64_t iobase, irq;            /* ISA */
    uint64_t reg;                    /* SPAPR_VIO */
    uint64_t cssid, ssid, devno;     /* CCW */
    uint64_t dimm_slot, base;        /* DIMM */
} DomainAddress;

/* The largest controller= of an address of type 'drive' or 'virtio-serial'. */
enum { DOMAIN_ADDRESS_CONTROLLER_MAX = 99 };

typedef struct {
    uint64_t boot_order;
    char *boot_loadparm;
    char *alias;               /* always set in a live definition */
    uint64_t master_startport; /* USB companion controllers */
    int rom_enabled;           /* yes/no */
    int rom_bar;               /* on/off */
    char *rom_file;
    uint64_t acpi_index;
    DomainAddress *address;
} DomainDeviceInfo;

/* The virtio attributes of <driver>. */
typedef struct {
    int iommu, ats, packed, page_per_vq; /* on/off */
} DomainVirtioOptions;

/* model= of the virtio devices. */
typedef enum {
    DOMAIN_VIRTIO_NONE,
    DOMAIN_VIRTIO,
    DOMAIN_VIRTIO_TRANSITIONAL,
    DOMAIN_VIRTIO_NON_TRANSITIONAL,
} DomainVirtioModel;
extern const char *const domain_virtio_models[];

/* --- controllers ------------------------------------------------------------------------------ */

typedef enum {
    DOMAIN_CONTROLLER_NONE,
    DOMAIN_CONTROLLER_IDE,
    DOMAIN_CONTROLLER_FDC,
    DOMAIN_CONTROLLER_SCSI,
    DOMAIN_CONTROLLER_SATA,
    DOMAIN_CONTROLLER_VIRTIO_SERIAL,
    DOMAIN_CONTROLLER_CCID,
    DOMAIN_CONTROLLER_USB,
    DOMAIN_CONTROLLER_PCI,
    DOMAIN_CONTROLLER_XENBUS,
    DOMAIN_CONTROLLER_ISA,
} DomainControllerType;
extern const char *const domain_controller_types[];

typedef enum {
    DOMAIN_PCI_NONE,
    DOMAIN_PCI_ROOT,
    DOMAIN_PCIE_ROOT,
    DOMAIN_PCI_BRIDGE,
    DOMAIN_DMI_TO_PCI_BRIDGE,
    DOMAIN_PCIE_TO_PCI_BRIDGE,
    DOMAIN_PCIE_ROOT_PORT,
    DOMAIN_PCIE_SWITCH_UPSTREAM_PORT,
    DOMAIN_PCIE_SWITCH_DOWNSTREAM_PORT,
    DOMAIN_PCI_EXPANDER_BUS,
    DOMAIN_PCIE_EXPANDER_BUS,
} DomainPciModel;
extern const char *const domain_pci_models[];

typedef enum {
    DOMAIN_USB_MODEL_ABSENT,
    DOMAIN_USB_PIIX3_UHCI,
    DOMAIN_USB_PIIX4_UHCI,
    DOMAIN_USB_EHCI,
    DOMAIN_USB_ICH9_EHCI1,
    DOMAIN_USB_ICH9_UHCI1,
    DOMAIN_USB_ICH9_UHCI2,
    DOMAIN_USB_ICH9_UHCI3,
    DOMAIN_USB_VT82C686B_UHCI,
    DOMAIN_USB_PCI_OHCI,
    DOMAIN_USB_NEC_XHCI,
    DOMAIN_USB_NONE,
    DOMAIN_USB_QUSB1,
    DOMAIN_USB_QUSB2,
    DOMAIN_USB_QEMU_XHCI,
} DomainUsbModel;
extern const char *const domain_usb_models[];

typedef enum {
    DOMAIN_SCSI_MODEL_ABSENT,
    DOMAIN_SCSI_AUTO,
    DOMAIN_SCSI_BUSLOGIC,
    DOMAIN_SCSI_LSILOGIC,
    DOMAIN_SCSI_LSISAS1068,
    DOMAIN_SCSI_VMPVSCSI,
    DOMAIN_SCSI_IBMVSCSI,
    DOMAIN_SCSI_VIRTIO,
    DOMAIN_SCSI_LSISAS1078,
    DOMAIN_SCSI_VIRTIO_TRANSITIONAL,
    DOMAIN_SCSI_VIRTIO_NON_TRANSITIONAL,
    DOMAIN_SCSI_NCR53C90,
    DOMAIN_SCSI_DC390,
    DOMAIN_SCSI_AM53C974,
} DomainScsiModel;
extern const char *const domain_scsi_models[];

typedef struct {
    int type;         /* DomainControllerType */
    uint64_t index;   /* always set after domain_def_complete() */
    int pci_model;    /* DomainPciModel; type PCI */
    int usb_model;    /* DomainUsbModel; type USB */
    int scsi_model;   /* DomainScsiModel; type SCSI */
    int virtio_model; /* DomainVirtioModel; type VIRTIO_SERIAL */
    int ide_model;
    uint64_t ports;   /* VIRTIO_SERIAL, USB */
    uint64_t vectors; /* VIRTIO_SERIAL */
    uint64_t max_grant_frames, max_event_channels;
    char *model_name; /* PCI: <model name='pcie-root-port'/> */
    uint64_t chassis_nr, chassis, port, bus_nr, target_index; /* PCI <target> */
    int hotplug;                                              /* PCI <target>, on/off */
    uint64_t numa_node;                                       /* PCI <target><node> */
    uint64_t queues, cmd_per_lun, max_sectors, iothread;      /* <driver> */
    int ioeventfd;
    DomainVirtioOptions virtio;
    uint64_t pcihole64; /* KiB */
    DomainDeviceInfo info;
} DomainController;

/* --- rng -------------------------------------------------------------------------------------- */

typedef enum {
    DOMAIN_RNG_BACKEND_NONE,
    DOMAIN_RNG_RANDOM,
    DOMAIN_RNG_EGD,
    DOMAIN_RNG_BUILTIN,
} DomainRngBackend;
extern const char *const domain_rng_backends[];

typedef struct {
    int model;                        /* DomainVirtioModel */
    uint64_t rate_bytes, rate_period; /* bytes per period of ms */
    int backend;                      /* DomainRngBackend */
    char *path;                       /* RANDOM; NULL: /dev/urandom */
    char *egd_type;                   /* EGD: kind of character device */
    GPtrArray *kept;                  /* EGD: what the character device is about */
    DomainVirtioOptions virtio;
    DomainDeviceInfo info;
} DomainRng;

/* --- memballoon ------------------------------------------------------------------------------- */

typedef enum {
    DOMAIN_BALLOON_ABSENT,
    DOMAIN_BALLOON_VIRTIO,
    DOMAIN_BALLOON_VIRTIO_TRANSITIONAL,
    DOMAIN_BALLOON_VIRTIO_NON_TRANSITIONAL,
    DOMAIN_BALLOON_XEN,
    DOMAIN_BALLOON_NONE,
} DomainBalloonModel;
extern const char *const domain_balloon_models[];

typedef struct {
    int model;                            /* DomainBalloonModel */
    int autodeflate, free_page_reporting; /* on/off */
    uint64_t stats_period;                /* seconds; absent: no polling */
    DomainVirtioOptions virtio;
    DomainDeviceInfo info;
} DomainBalloon;

/* --- input, video ----------------------------------------------------------------------------- */

typedef enum {
    DOMAIN_INPUT_ABSENT,
    DOMAIN_INPUT_MOUSE,
    DOMAIN_INPUT_TABLET,
    DOMAIN_INPUT_KEYBOARD,
    DOMAIN_INPUT_PASSTHROUGH,
    DOMAIN_INPUT_EVDEV,
} DomainInputType;
extern const char *const domain_input_types[];

typedef enum {
    DOMAIN_INPUT_BUS_ABSENT,
    DOMAIN_INPUT_BUS_PS2,
    DOMAIN_INPUT_BUS_USB,
    DOMAIN_INPUT_BUS_XEN,
    DOMAIN_INPUT_BUS_VIRTIO,
} DomainInputBus;
extern const char *const domain_input_buses[];

typedef struct {
    int type;  /* DomainInputType */
    int bus;   /* DomainInputBus */
    int model; /* DomainVirtioModel */
    DomainVirtioOptions virtio;
    char *evdev; /* PASSTHROUGH */
    char *dev;   /* EVDEV */
    int grab, grab_toggle;
    int repeat; /* on/off */
    DomainDeviceInfo info;
} DomainInput;

typedef enum {
    DOMAIN_VIDEO_ABSENT,
    DOMAIN_VIDEO_VGA,
    DOMAIN_VIDEO_CIRRUS,
    DOMAIN_VIDEO_VMVGA,
    DOMAIN_VIDEO_XEN,
    DOMAIN_VIDEO_VBOX,
    DOMAIN_VIDEO_QXL,
    DOMAIN_VIDEO_VIRTIO,
    DOMAIN_VIDEO_GOP,
    DOMAIN_VIDEO_NONE,
    DOMAIN_VIDEO_BOCHS,
    DOMAIN_VIDEO_RAMFB,
} DomainVideoModel;
extern const char *const domain_video_models[];

typedef struct {
    char *driver_name;
    int vgaconf;
    DomainVirtioOptions virtio;
    int model;                          /* DomainVideoModel */
    uint64_t ram, vram, vram64, vgamem; /* KiB */
    uint64_t heads;
    int primary, accel2d, accel3d; /* yes/no */
    char *rendernode;
    uint64_t width, height;
    DomainDeviceInfo info;
} DomainVideo;

extern const XmlType domain_address_type;
extern const XmlType domain_device_info_type;
extern const XmlType domain_virtio_options_type;
extern const XmlType domain_controller_type;
extern const XmlType domain_rng_type;
extern const XmlType domain_balloon_type;
extern const XmlType domain_input_type;
extern const XmlType domain_video_type;

#endif
