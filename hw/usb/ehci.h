/* ehci.h - the EHCI controllers, between their registers (ehci.c) and schedules (ehci_schedule.c).
 *
 * Names, bits and structures of the Enhanced Host Controller Interface Specification for Universal
 * Serial Bus 1.0. All is guarded by the device's lock, which is the bus's too.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_USB_EHCI_H
#define KILN_HW_USB_EHCI_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum {
    EHCI_PORTS = 6,
    EHCI_CMD_RUN = 1 << 0,
    EHCI_CMD_RESET = 1 << 1,
    EHCI_CMD_PERIODIC = 1 << 4,
    EHCI_CMD_ASYNC = 1 << 5,
    EHCI_CMD_DOORBELL = 1 << 6,
    EHCI_STS_DONE = 1 << 0,
    EHCI_STS_ERROR = 1 << 1,
    EHCI_STS_PORT = 1 << 2,
    EHCI_STS_ROLLOVER = 1 << 3,
    EHCI_STS_SYSTEM_ERROR = 1 << 4,
    EHCI_STS_ADVANCED = 1 << 5,
    EHCI_STS_CAUSES = 0x3f,
    EHCI_STS_HALTED = 1 << 12,
    EHCI_STS_RECLAMATION = 1 << 13,
    EHCI_STS_PERIODIC = 1 << 14,
    EHCI_STS_ASYNC = 1 << 15,
    EHCI_PORT_ENABLED = 1 << 2,
};

typedef struct {
    PciDevice pci; /* first */
    UsbBus bus;

    uint32_t cmd, sts, intr, frindex, periodic, async, configured;
    uint32_t ports[EHCI_PORTS];
    int64_t frame_at; /* guest's clock at the beginning of frame frindex */

    IoTimer *timer; /* the loop's */
    bool paused, scheduled;
    bool walking;   /* the schedules */
    bool kicked;    /* a device has come further: look before the next frame */
    unsigned idle;  /* turns */
    uint32_t bytes; /* of this walk */
} Ehci;

/* Drives the interrupt line as the registers say. */
void ehci_interrupt(Ehci *ehci);
/* Brings the bits that tell of running schedules in step with the command register. */
void ehci_settle_status(Ehci *ehci);

static inline bool
ehci_running(const Ehci *ehci)
{
    return (ehci->cmd & EHCI_CMD_RUN) && !(ehci->sts & EHCI_STS_HALTED);
}

/* Whole frames that have passed since frindex was brought up to date. */
int64_t ehci_frames_due(Ehci *ehci);
/* The loop's turn: walks the schedules for the frames that are due, sets the timer. */
void ehci_tick(void *opaque);
/* Has the loop look at the schedules at once. */
void ehci_schedule(Ehci *ehci);
/* The driver has rung the doorbell: nothing that it has taken out of the asynchronous list is
 * looked at any more. */
void ehci_doorbell(Ehci *ehci);

#endif
