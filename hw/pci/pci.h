/* pci.h - PCI Express functions: configuration space, BARs, capabilities, INTx, MSI and MSI-X.
 *
 * PCI Local Bus 3.0, PCI Express Base 4.0, PCI-to-PCI Bridge 1.2. What a function declares here at
 * realize is all it does; the core answers configuration accesses, maps and moves BARs (only inside
 * the windows of the bridges above), re-registers doorbells when a BAR moves, and routes
 * interrupts.
 *
 * Order of locks: the root's (configuration accesses, topology), a device's, its MSI-X and BAR
 * locks, the address map's own. A callback that holds its device's lock must not make configuration
 * accesses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_PCI_H
#define KILN_HW_PCI_PCI_H

#include "hw/core/device.h"
#include "hw/pci/regs.h"

typedef struct PciDevice PciDevice;
typedef struct PciBus PciBus;
typedef struct PciMsix PciMsix;
typedef struct PciExtended PciExtended;

enum {
    PCI_CONFIG_SIZE = 256, /* without extended space */
    PCI_BARS = 6,
    PCI_ROM_BAR = 6,               /* the expansion ROM's place among the BARs */
    PCI_SUBSYSTEM_VENDOR = 0x1af4, /* of every emulated function that names no other */
    PCI_SUBSYSTEM_DEVICE = 0x1100,
};

/* What the PCI base wants to know of a class: DeviceClass.details of a class standing directly on
 * pci_device_class. A base class of its own (virtio) may leave it NULL and call pci_set_ids(). */
typedef struct {
    uint16_t vendor, device;
    uint16_t subsystem_vendor, subsystem; /* 0: the defaults above */
    uint32_t class_code;                  /* 24 bits: class, subclass, programming interface */
    uint8_t revision;
    uint8_t header_type; /* PCI_HEADER_NORMAL or PCI_HEADER_BRIDGE */
    /* Optional. After the core has stored a write to [offset, offset + size) of configuration
     * space. Root's and device's lock held. */
    void (*config_written)(PciDevice *dev, unsigned offset, unsigned size);
    /* Optional. After saved state has filled configuration space: do what follows from registers,
     * but not what a write triggers. Root's and device's lock held. */
    void (*config_loaded)(PciDevice *dev);
    /* Optional. Before a read of such bytes: bring them up to date. */
    void (*config_read)(PciDevice *dev, unsigned offset, unsigned size);
    /* Optional, but not with pci_power_add() or pci_express_add_reset(). Puts what is the model's
     * own into the state after power-on, and ends what it does in memory: when the function falls
     * asleep, wakes, or is reset by itself. Root's and device's lock held. */
    void (*function_reset)(PciDevice *dev);
    /* Optional. The file that the expansion ROM holds when firmware boots the machine and the
     * property romfile says nothing else: a name in the folders of pci_rom_open(). */
    const char *rom;
} PciDetails;

enum {
    /* PMC of pci_power_add() */
    PCI_PM_1_1 = 0x0002,
    PCI_PM_1_2 = 0x0003,
    PCI_PM_OWN_INIT = 0x0020, /* needs its driver after waking */
    /* PMCSR */
    PCI_PM_CONTROL_STATE = 0x0003,
    PCI_PM_CONTROL_PME = 0x0100,
    PCI_PM_CONTROL_DATA = 0x1e00,
};

typedef enum { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_ROM } PciBarKind;

/* Registers, memory or a doorbell at an offset of a BAR. */
typedef struct {
    uint64_t offset;
    IoRegion region;       /* of size 0: not registers */
    MemoryOverlay overlay; /* of size 0: not memory */
    IoEvent event;
    bool registered; /* the doorbell is known to the host */
} PciBarPart;

typedef struct {
    PciBarKind kind;
    bool prefetch;
    uint64_t size; /* power of two */
    bool mapped;
    uint64_t address; /* where it is mapped now */
    GPtrArray *parts; /* PciBarPart */
} PciBar;

struct PciDevice {
    Device device;             /* first */
    const PciDetails *details; /* NULL when the class has none */
    PciBus *bus;
    int32_t addr; /* property: devfn, -1 for the next free slot */
    bool multifunction;
    uint8_t devfn;
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t writable[PCI_CONFIG_SIZE];     /* bits the guest may write */
    uint8_t clearable[PCI_CONFIG_SIZE];    /* bits the guest clears by writing one */
    uint8_t initial[PCI_CONFIG_SIZE];      /* contents at reset, taken after realize */
    uint8_t saved_config[PCI_CONFIG_SIZE]; /* as it stands in saved state */
    GMutex bar_lock;                       /* mapping state of the BARs, doorbells */
    PciBar bars[PCI_BARS + 1];             /* the last: PCI_ROM_BAR */
    char *romfile;                         /* property: NULL for the class's own, "" for none */
    uint32_t rombar;                       /* property: 0 leaves the ROM out */
    uint8_t *rom;                          /* mapped file */
    uint64_t rom_size;
    unsigned caps_end;    /* next free byte for a capability */
    unsigned express_cap; /* offset, 0 when there is none */
    unsigned power_cap;   /* offset, 0 when there is none */
    GsiSource intx, intx_pic;
    bool intx_level;
    unsigned msi_cap; /* offset, 0 when there is none */
    PciMsix *msix;
    uint8_t *msix_state; /* table and pending bits */
    uint32_t msix_state_size;
    PciExtended *extended;   /* NULL when there is no extended capability */
    uint8_t *extended_saved; /* part of it */
    uint32_t extended_size;
    PciBus *secondary; /* of a bridge */
};

/* Base of every PCI function. Properties: addr, multifunction. Its realize plugs the function into
 * its bus. The class's own realize then adds BARs and capabilities; nothing can be added
 * afterwards. */
extern const DeviceClass pci_device_class;

static inline PciDevice *
pci_device(Device *dev)
{
    return (PciDevice *)dev;
}

/* For bases that do not use PciDetails; in realize. */
void pci_set_ids(PciDevice *dev, uint16_t vendor, uint16_t device, uint16_t subsystem_vendor,
                 uint16_t subsystem, uint32_t class_code, uint8_t revision);

/* Bus, device and function as a 16-bit requester id, with the bus numbers in force. */
uint16_t pci_requester_id(const PciDevice *dev);

/* ---- BARs; all in realize unless noted ---- */

/* Declares BAR @n; MEM64 takes n and n + 1. @size is a power of two, at least 16 (memory) or 4
 * (I/O). */
void pci_bar_add(PciDevice *dev, unsigned n, PciBarKind kind, bool prefetch, uint64_t size);

/* Puts registers at @offset of BAR @n. @lock is taken around accesses, usually &dev->device.lock;
 * NULL for none. Bytes of the BAR that no region covers read as all ones. */
void pci_bar_add_region(PciDevice *dev, unsigned n, uint64_t offset, uint64_t size,
                        const IoOps *ops, void *opaque, GMutex *lock, const char *name);

/* Puts memory of the device (a frame buffer) at @offset of BAR @n for direct access; whole pages.
 * @host stays the caller's and must live until unrealize has run. With @log the result can be asked
 * which pages were written: memory_layout_dirty(). It belongs to the BAR. */
MemoryOverlay *pci_bar_add_memory(PciDevice *dev, unsigned n, uint64_t offset, uint64_t size,
                                  uint8_t *host, bool read_only, bool log, const char *name);

/* An eventfd signalled by guest writes at @offset of BAR @n: see IoEvent. May be added and removed
 * at any time, with or without the device's lock; follows the BAR. @fd stays the caller's and must
 * be open until removal. Where the host refuses it, the write reaches the region's callback as
 * ever, so that callback must also do what the doorbell does. */
void pci_doorbell_add(PciDevice *dev, unsigned n, uint64_t offset, unsigned size, bool match,
                      uint64_t value, int fd);
void pci_doorbell_remove(PciDevice *dev, unsigned n, uint64_t offset, int fd);

/* ---- capabilities; in realize ---- */

/* Adds a capability of @size bytes (with its 2-byte head) and returns its offset; the bytes are
 * zero and read-only until set through config, writable, clearable. Returns 0 when there is no
 * room. */
unsigned pci_capability_add(PciDevice *dev, uint8_t id, unsigned size);

/* Adds the PCI Express capability: @type is PCI_EXP_TYPE_*. An endpoint on the root bus becomes a
 * root-complex integrated endpoint. */
unsigned pci_express_add(PciDevice *dev, unsigned type, uint8_t port);

/* Lets the guest reset an endpoint by itself, through that capability, which is there already. */
void pci_express_add_reset(PciDevice *dev);

/* Adds the capability for power management: @capabilities is its PMC register, @control the bits
 * of PMCSR that the guest can write (0: it stays in D0). Returns its offset, 0 without room. It
 * should be a function's last, so that older saved state finds the others in their places. */
unsigned pci_power_add(PciDevice *dev, uint16_t capabilities, uint16_t control);

/* Extended capabilities, of functions that have the PCI Express one already: registers for errors,
 * of which none ever happens; access control, of a root port; the serial number. */
void pci_extended_add_errors(PciDevice *dev);
void pci_extended_add_access_control(PciDevice *dev);
void pci_extended_add_serial(PciDevice *dev, uint64_t serial);

/* True while the guest has the function in D3hot, where it is to do nothing. Any thread. */
bool pci_asleep(const PciDevice *dev);

void pci_config_set(PciDevice *dev, unsigned offset, unsigned size, uint32_t value);
uint32_t pci_config_get(const PciDevice *dev, unsigned offset, unsigned size);
void pci_config_mask(PciDevice *dev, unsigned offset, unsigned size, uint32_t writable);

/* True when the guest lets the device read and write memory (bus master enable). Any thread. */
bool pci_bus_master(const PciDevice *dev);

/* Brings mappings of the function, and of all behind it, in step with the configuration. Root's
 * lock held, no device lock. */
void pci_update_mappings(PciDevice *dev);

/* ---- interrupts ---- */

/* Gives the function INTA#. In realize. */
void pci_intx_init(PciDevice *dev);
/* Drives it, with the device's lock held, honouring the command register's disable bit. Any thread,
 * with the device's lock held. */
void pci_intx_set(PciDevice *dev, bool level);

/* MSI with @vectors (1, 2, 4 … 32), 64-bit address, per-vector mask. In realize. */
void pci_msi_init(PciDevice *dev, unsigned vectors);
bool pci_msi_enabled(const PciDevice *dev);
/* Raises a vector, or makes it pending while masked; device's lock held. */
void pci_msi_notify(PciDevice *dev, unsigned vector);
/* The same for who sends by itself, without the lock, so that the guest's answer does not meet a
 * lock: true with the message for MachineOps.msi_send in *ret, false when there is nothing to send.
 */
bool pci_msi_take(PciDevice *dev, unsigned vector, MsiMessage *ret);

/* MSI-X with @vectors (1 to 2048); table and pending bits at the given offsets of BAR @n, which is
 * already declared and large enough. In realize. */
bool pci_msix_init(PciDevice *dev, unsigned vectors, unsigned n, uint64_t table, uint64_t pba,
                   GError **err);

/* MSI-X is on for the function. Any thread. */
bool pci_msix_enabled(const PciDevice *dev);
unsigned pci_msix_vectors(const PciDevice *dev);

/* A vector in use by the driver has an eventfd and, while neither it nor the function is masked, an
 * MSI route; use counts nest. Any thread but with no lock above the device's. Returns 0 or -errno.
 */
int pci_msix_use(PciDevice *dev, unsigned vector);
void pci_msix_unuse(PciDevice *dev, unsigned vector);

/* The eventfd of a vector in use: writing 8 bytes of 1 to it raises the interrupt, or makes it
 * pending while masked. It stays the same from first use to last unuse, so it can be given to an
 * I/O thread or vhost once. -1 for a vector not in use. */
int pci_msix_fd(PciDevice *dev, unsigned vector);

/* Raises a vector from any thread, with or without the device's lock; ignored when the vector is
 * not in use or out of range. */
void pci_msix_notify(PciDevice *dev, unsigned vector);

/* ---- the tree ---- */

struct PciBus {
    Bus bus;
    PciRoot *root;
    PciDevice *bridge;       /* NULL for bus 0 */
    unsigned slots;          /* 1 behind a port, 32 elsewhere; 0 stands for those */
    unsigned hotplug_number; /* the bus's in ACPI's registers for hot plugging, from 1; 0: none */
    PciDevice *devices[256]; /* by devfn */
};

/* True for the bus behind a PCI Express port. */
static inline bool
pci_bus_is_link(const PciBus *bus)
{
    return bus->bridge && bus->slots <= 1;
}

/* The host bridge's own state: bus 0 and the ways into configuration space. Root's lock: see above.
 */
struct PciRoot {
    Machine *machine;
    GMutex lock;
    PciBus bus;
    uint8_t pirq[8]; /* ISA interrupt of PIRQA to H; bit 7 set: none (PIC mode) */
};

void pci_root_init(PciRoot *root, Machine *machine);
void pci_root_fini(PciRoot *root);
/* Changes the PIC-mode routing of PIRQ @n and moves the functions that use it. */
void pci_root_route(PciRoot *root, unsigned n, uint8_t value);
/* The PIRQ (0 to 7) that INTA to INTD (0 to 3) of a function at @slot of bus 0 is wired to. */
unsigned pci_root_pirq(const PciRoot *root, unsigned slot, unsigned pin);

/* Adds the bus @name behind @bridge, NULL for bus 0. */
bool pci_bus_init(PciBus *bus, PciRoot *root, PciDevice *bridge, const char *name, GError **err);
void pci_bus_fini(PciBus *bus);
/* Number of the bus as the guest has set it. */
uint8_t pci_bus_number(const PciBus *bus);

/* Configuration access by requester id and offset, as ECAM and CF8/CFC make it: @size 1, 2 or 4,
 * inside one dword. Absent functions read all ones. Any thread, no device lock held. */
uint32_t pci_config_read(PciRoot *root, uint16_t bdf, unsigned offset, unsigned size);
void pci_config_write(PciRoot *root, uint16_t bdf, unsigned offset, unsigned size, uint32_t value);

/* Calls @fn for each function, bridges before what is behind them. Main thread. */
typedef void (*PciVisit)(PciDevice *dev, void *opaque);
void pci_visit(PciRoot *root, PciVisit fn, void *opaque);

#endif
