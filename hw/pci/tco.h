/* tco.h - the watchdog in the ICH9's LPC bridge.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_PCI_TCO_H
#define KILN_HW_PCI_TCO_H

#include "hw/core/device.h"
#include "hw/core/timer.h"

enum {
    TCO_OFFSET = 0x60, /* of its ports, behind the ACPI registers */
    TCO_SIZE = 0x20,
};

typedef struct {
    Machine *machine;
    IoRegion region; /* TCO_SIZE ports */
    DeviceTimer *timer;
    /* All below under the lock. */
    uint8_t regs[TCO_SIZE]; /* as they read, but for the count */
    bool no_reboot;         /* GCS.NR: the second timeout has no effect */
    bool running, expired;  /* counting; it has timed out once since it was fed */
    int64_t deadline;       /* machine clock, ns */
    uint64_t left;          /* saved state's, ns */
} Tco;

extern const SavedTable tco_saved;

/* @lock: of the device that holds @tco. The region is ready to be put into the port map. */
void tco_init(Tco *tco, Machine *machine, GMutex *lock);
void tco_fini(Tco *tco);
/* Platform reset; what the resume well keeps (that the second timeout came) stays. */
void tco_reset(Tco *tco);

/* General control and status of the chipset (RCBA + 3410h): no reboot. With the lock. */
enum { TCO_GCS = 0x3410, TCO_GCS_NO_REBOOT = 1 << 5 };
uint32_t tco_gcs(const Tco *tco);
void tco_gcs_write(Tco *tco, uint32_t value);

#endif
