/* board.c - making a board, and what firmware would do before a direct boot.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/board.h"

#include "hw/acpi/build.h"
#include "hw/core/bytes.h"
#include "hw/firmware/smbios.h"
#include "hw/firmware/vmgenid.h"
#include "hw/isa/rtc.h"
#include "util/error.h"

#include <string.h>

/* Where firmware looks why it runs, and what stands there after S3. */
enum { CMOS_SHUTDOWN = 0x0f, SHUTDOWN_RESUME = 0xfe, PAMS = 7, REAL_MODE_END = 0x100000 };
#define GIB (UINT64_C(1) << 30)
#define WINDOW64_MAX (1024 * GIB)

const Board *
board_find(const char *name)
{
    for (unsigned i = 0; board_list[i]; i++) {
        const Board *b = board_list[i];

        if (!strcmp(b->name, name) || g_strv_contains(b->aliases, name) ||
            (g_str_has_prefix(name, b->prefix) && g_ascii_isdigit(name[strlen(b->prefix)])))
            return b;
    }
    return NULL;
}

/* Parts that other rooms build, or that the configuration leaves out. */
static bool
board_wants(const Machine *machine, const char *driver)
{
    if (!strcmp(driver, "i8042") && machine->config.no_i8042)
        return false;
    if (!strcmp(driver, "hpet") && !machine->config.hpet)
        return false;
    if (!strcmp(driver, "cpu-hotplug") && machine->config.n_cpus == machine->config.max_cpus)
        return false;
    return device_class_find(driver) != NULL;
}

bool
board_create(Machine *machine, const Board *board, GError **err)
{
    machine->board = board;
    for (unsigned i = 0; i < board->n_devices; i++) {
        const BoardDevice *d = &board->devices[i];
        Device *dev;

        if (!board_wants(machine, d->driver))
            continue;
        if (d->addr)
            dev = device_new_board(machine, d->driver, err, "bus", board->pci_bus, "addr", d->addr,
                                   "multifunction", d->multifunction ? "on" : "off", NULL);
        else
            dev = device_new_board(machine, d->driver, err, NULL);
        if (!dev)
            return false;
    }
    return true;
}

Device *
board_function(Machine *machine, uint8_t devfn, const DeviceClass *class)
{
    PciDevice *dev = machine->pci ? machine->pci->bus.devices[devfn] : NULL;

    return dev && dev->device.class == class ? &dev->device : NULL;
}

/* Widens the window above 4 GiB to where firmware has put the BARs it placed there. */
static void
board_window_visit(PciDevice *dev, void *opaque)
{
    PciWindows *w = opaque;

    for (unsigned n = 0; n < PCI_BARS; n++) {
        const PciBar *bar = &dev->bars[n];

        if (bar->kind != PCI_BAR_MEM64 || !bar->mapped || bar->address < 4 * GIB)
            continue;
        w->mem64_base = w->mem64_base ? MIN(w->mem64_base, bar->address) : bar->address;
        w->mem64_end = MAX(w->mem64_end, bar->address + bar->size);
    }
}

void
board_windows(Machine *machine, PciWindows *ret)
{
    const MachineConfig *config = &machine->config;
    unsigned bits = config->physical_bits ? config->physical_bits : 36;
    uint64_t top = UINT64_C(1) << MIN(bits, 52);
    uint64_t base = 4 * GIB + config->ram_above_4g;

    *ret = (PciWindows){
        .io_base = BOARD_IO_WINDOW_BASE,
        .io_end = 0x10000,
        .mem32_base = machine->board->mmio32_base,
        .mem32_end = BOARD_MMIO32_END,
    };
    /* Firmware begins at the next round gigabyte, not at the first free byte. */
    if (config->ram_below_4g > ret->mem32_base)
        ret->mem32_base = (config->ram_below_4g + (GIB - 1)) & ~(GIB - 1);
    base = (base + (GIB - 1)) & ~(GIB - 1);
    if (base < top) {
        ret->mem64_base = base;
        ret->mem64_end = MIN(top, base + WINDOW64_MAX);
    }
    g_mutex_lock(&machine->pci->lock);
    pci_visit(machine->pci, board_window_visit, ret);
    g_mutex_unlock(&machine->pci->lock);
}

uint16_t
board_pm_base(const Machine *machine)
{
    uint16_t base = machine->board->pm_base(machine);

    return base ? base : BOARD_PM_BASE;
}

uint64_t
board_ecam(const Machine *machine)
{
    uint64_t base = machine->board->ecam ? machine->board->ecam(machine) : 0;

    return base ? base : BOARD_ECAM_BASE;
}

/* The registers and BARs that firmware sets. */
static bool
board_assign(Machine *machine, GError **err)
{
    PciWindows windows;
    bool ok;

    board_windows(machine, &windows);
    memory_layout_begin(machine->layout);
    machine->board->program(machine->pci);
    ok = pci_assign(machine->pci, &windows, err);
    (void)memory_layout_commit(machine->layout);
    return ok;
}

bool
board_prepare_boot(Machine *machine, uint64_t *ret_rsdp, GError **err)
{
    if (!machine->pci || !machine->board->pm(machine))
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the board has not been made");
    if (!board_assign(machine, err))
        return false;
    vmgenid_place(machine);
    return acpi_build(machine, BOARD_ACPI_BASE, BOARD_ACPI_SIZE, ret_rsdp, err) &&
           smbios_place(machine, BOARD_SMBIOS_BASE, BOARD_SMBIOS_SIZE, err);
}

void
board_power_button(Machine *machine)
{
    acpi_pm_power_button(machine->board->pm(machine));
}

void
board_suspend(Machine *machine)
{
    rtc_cmos_set(machine, CMOS_SHUTDOWN, SHUTDOWN_RESUME);
}

/* Firmware finds itself by what it left in memory below 1 MiB: that stays RAM. And SeaBIOS 1.16,
 * which goes on where it was, uses ECAM for its first writes to configuration space, before it has
 * switched it on again: what it lost so is the ICH9's PM base. */
void
board_wake(Machine *machine, AcpiWake reason)
{
    const Board *board = machine->board;
    uint32_t pam[PAMS], ecam[2];

    for (unsigned i = 0; i < PAMS; i++)
        pam[i] = pci_config_read(machine->pci, 0, board->pam + i, 1);
    for (unsigned i = 0; i < 2; i++)
        ecam[i] = pci_config_read(machine->pci, 0, board->pciexbar + 4 * i, 4);
    machine_reset(machine);
    for (unsigned i = 0; i < PAMS; i++)
        pci_config_write(machine->pci, 0, board->pam + i, 1, pam[i]);
    for (unsigned i = 2; board->pciexbar && i-- > 0;)
        pci_config_write(machine->pci, 0, board->pciexbar + 4 * i, 4, ecam[i]);
    acpi_pm_wake(board->pm(machine), reason);
}

bool
board_resume(Machine *machine, uint64_t *ret_vector, GError **err)
{
    uint8_t facs[ACPI_FACS_SIZE];
    uint64_t at = BOARD_ACPI_BASE + ACPI_FACS;

    if (!board_assign(machine, err))
        return false;
    if (guest_memory_read(machine->memory, at, facs, sizeof(facs)) < 0 ||
        memcmp(facs, "FACS", 4) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the guest's FACS, at 0x%" G_GINT64_MODIFIER "x, is gone: it cannot "
                              "be told where the guest goes on",
                              at);
    *ret_vector = bytes_load32(facs + ACPI_FACS_WAKING_VECTOR);
    return (*ret_vector && *ret_vector < REAL_MODE_END) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "the guest's FACS says that it goes on at 0x%" G_GINT64_MODIFIER
                          "x, which is not in the first MiB",
                          *ret_vector);
}

const Board *const board_list[] = { &board_q35, &board_pc, NULL };
