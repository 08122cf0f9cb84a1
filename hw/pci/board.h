/* board.h - the boards: machines that stock kernels and firmware know.
 *
 * A board's name carries its version: what a name stands for never changes once it is released.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_BOARD_H
#define KILN_HW_PCI_BOARD_H

#include "hw/acpi/pm.h"
#include "hw/pci/assign.h"

enum {
    BOARD_IO_APIC_PINS = 24,
    BOARD_PM_BASE = 0x600, /* where a boot without firmware puts the PM registers */
    BOARD_ECAM_SIZE = 256 << 20,
    BOARD_IO_WINDOW_BASE = 0x1000, /* first port that a boot without firmware gives away */
};
#define BOARD_ECAM_BASE UINT64_C(0xb0000000)
#define BOARD_MMIO32_END UINT64_C(0xfec00000)  /* first byte that no BAR may use */
#define BOARD_ACPI_BASE UINT64_C(0x000e0000)   /* RAM that direct boot keeps for ACPI tables */
#define BOARD_ACPI_SIZE UINT64_C(0x0001b000)   /* then a page for the generation identifier */
#define BOARD_SMBIOS_BASE UINT64_C(0x000fc000) /* and behind them for SMBIOS tables */
#define BOARD_SMBIOS_SIZE UINT64_C(0x00004000)

/* A fixed device: NULL @bus for the board itself. */
typedef struct {
    const char *driver, *addr;
    bool multifunction;
} BoardDevice;

typedef struct Board Board;
struct Board {
    const char *name;
    const char *const *aliases; /* NULL-terminated */
    const char *prefix;         /* QEMU's versioned names begin so: "pc-q35-" */
    const char *description;
    const char *product;  /* what SMBIOS calls it */
    const char *pci_bus;  /* name of bus 0 */
    uint64_t ram_low_max; /* RAM below 4 GiB ends here at most */
    uint64_t mmio32_base; /* BARs below 4 GiB begin here, or at the end of RAM if that is later */
    bool express;         /* has ECAM, root ports and an I/O APIC line for each PIRQ */
    const BoardDevice *devices;
    unsigned n_devices;
    uint8_t pam;       /* first of the shadow registers in the host bridge */
    uint8_t pciexbar;  /* ECAM's register in the host bridge; 0 without ECAM */
    uint8_t isa_devfn; /* of the function with the PIRQ registers */
    /* Wiring of INTA to INTD (0 to 3) of a function of bus 0 to PIRQs. */
    unsigned (*pirq)(unsigned slot, unsigned pin);
    unsigned n_pirqs;
    int pirq_gsi; /* I/O APIC line of PIRQA; -1: the ISA interrupts serve in both modes */
    /* Sets the registers that firmware sets on every such board. */
    void (*program)(PciRoot *root);
    AcpiPm *(*pm)(Machine *machine);
    /* Where the guest has put the PM registers and ECAM; 0: nowhere. Any thread. */
    uint16_t (*pm_base)(const Machine *machine);
    uint64_t (*ecam)(const Machine *machine); /* NULL without ECAM */
};

extern const Board board_q35, board_pc;

/* By name, alias or QEMU's versioned name; NULL when there is none. */
const Board *board_find(const char *name);
/* All boards, NULL-terminated, the default first. */
extern const Board *const board_list[];

/* Makes the board's fixed devices. Main thread, once per machine, before any device_new(). */
bool board_create(Machine *machine, const Board *board, GError **err);

/* For a boot without firmware, before the first run and after each machine_reset(): gives bus
 * numbers, bridge windows and BARs to all PCI functions and writes the ACPI tables to
 * BOARD_ACPI_BASE. *ret_rsdp is where the RSDP is. The caller reserves BOARD_ACPI_BASE in the
 * guest's memory map. */
bool board_prepare_boot(Machine *machine, uint64_t *ret_rsdp, GError **err);

/* The same after board_wake(), for a guest that booted so: registers and BARs, but not the tables,
 * which are the guest's. *ret_vector is the address in its FACS at which the guest wants to go on,
 * in real mode (ACPI 6.4, section 16.3.2); VIR_ERR_OPERATION_FAILED when it left none. */
bool board_resume(Machine *machine, uint64_t *ret_vector, GError **err);

/* Where the board lets BARs go, as its ACPI tables say; where firmware has put some elsewhere above
 * 4 GiB, there too. Any thread, without the root's lock. */
void board_windows(Machine *machine, PciWindows *ret);

/* Where PM registers and ECAM lie now, or will when nobody says otherwise. Any thread. */
uint16_t board_pm_base(const Machine *machine);
uint64_t board_ecam(const Machine *machine);

/* Presses the power button: sets PWRBTN_STS and raises the SCI. Main thread. */
void board_power_button(Machine *machine);

/* The machine falls asleep (S3), with the vCPUs out of the guest; firmware will find why it is
 * begun anew. board_wake() resets everything but memory, as firmware and guest expect to find it,
 * and the way into configuration space; the vCPUs are the caller's to reset, before (the machine
 * not running). Main thread. */
void board_suspend(Machine *machine);
void board_wake(Machine *machine, AcpiWake reason);

/* The function with class @class at @devfn of bus 0, NULL when it is another or none. */
Device *board_function(Machine *machine, uint8_t devfn, const DeviceClass *class);

#endif
