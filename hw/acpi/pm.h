/* pm.h - the ACPI fixed hardware: power button, sleep, SCI, PM timer, GPE0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_PM_H
#define KILN_HW_ACPI_PM_H

#include "hw/core/saved.h"
#include "hw/core/timer.h"

enum {
    ACPI_SCI_IRQ = 9,
    ACPI_PM1_EVENT = 0x00,
    ACPI_PM1_CONTROL = 0x04,
    ACPI_PM_TIMER = 0x08,
    ACPI_GPE0 = 0x20,
    ACPI_GPE0_SIZE = 16, /* status, then as much enable */
    ACPI_SMI_ENABLE = 0x30,
    ACPI_PM_TIMER_HZ = 3579545,
    ACPI_SLEEP_TYPE_OFF = 0, /* S5, as the DSDT's _S5 says */
    ACPI_SLEEP_TYPE_S3 = 1,
    ACPI_SLEEP_TYPE_S4 = 2,
};

/* Register state, embedded in the chipset device that has the registers. */
typedef struct {
    Machine *machine;
    uint16_t status, enable, control;
    uint8_t gpe_status[ACPI_GPE0_SIZE / 2], gpe_enable[ACPI_GPE0_SIZE / 2];
    int64_t timer_ticks; /* of the PM timer, as it stands in saved state */
    int64_t timer_base;  /* added to the guest clock's ticks */
    int64_t overflow;    /* tick at which the timer's status bit is set next */
    GsiSource sci;
    DeviceTimer *timer;
    GMutex *lock;
    IoRegion region;
    uint16_t gpe_port; /* where the events lie apart from the other registers; 0: with them */
    uint8_t gpe_size;  /* bytes: status, then as much enable */
    IoRegion gpe_region;
} AcpiPm;

extern const SavedTable acpi_pm_saved;

/* @lock: of the device that holds @pm. The region, @size bytes, is ready to be put into the port
 * map. */
void acpi_pm_init(AcpiPm *pm, Machine *machine, GMutex *lock, unsigned size);
/* Puts the general purpose events at a port of their own, for good. */
void acpi_pm_place_gpe(AcpiPm *pm, uint16_t port, unsigned size);
void acpi_pm_fini(AcpiPm *pm);
void acpi_pm_reset(AcpiPm *pm);

/* Where the general purpose events lie when the other registers lie at @base. */
uint16_t acpi_pm_gpe_port(const AcpiPm *pm, uint16_t base);

/* General purpose event @n has happened. Any thread, without the lock. */
void acpi_pm_gpe(AcpiPm *pm, unsigned n);
/* Why the machine wakes from S3. */
typedef enum { ACPI_WAKE_OTHER, ACPI_WAKE_BUTTON, ACPI_WAKE_RTC } AcpiWake;
/* Whether the guest wants to be woken by that. Any thread, without the lock. */
bool acpi_pm_may_wake(AcpiPm *pm, AcpiWake reason);
/* The machine wakes from S3: sets WAK_STS, and the bit of what woke it. Main thread, without the
 * lock. */
void acpi_pm_wake(AcpiPm *pm, AcpiWake reason);

/* Presses the power button. Any thread, without the lock. */
void acpi_pm_power_button(AcpiPm *pm);

#endif
