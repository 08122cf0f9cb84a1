/* port.h - what a PC's serial and parallel ports have in common: one of a few places, an interrupt,
 * and a character device behind them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_PORT_H
#define KILN_HW_ISA_PORT_H

#include "hw/char/chardev.h"
#include "hw/core/device.h"

/* First in the state of a port. */
typedef struct {
    Device device;
    /* properties */
    PropObject chardev;
    int32_t index; /* -1: the first that is free */
    uint16_t iobase;
    uint8_t irq; /* both 0: those of the index */

    GsiSource line;
    IoRegion region;
} IsaPort;

typedef struct {
    const char *name; /* "serial" */
    const uint16_t *bases;
    const uint8_t *irqs;
    unsigned n; /* places */
    unsigned registers;
    const IoOps *ops; /* opaque is the port */
    const ChardevFrontend *frontend;
} IsaPortKind;

/* Chooses the place, resets the port, and connects it. Main thread. */
bool isa_port_realize(IsaPort *port, const IsaPortKind *kind, GError **err);
/* Undoes it, also when partial. */
void isa_port_unrealize(Device *dev);

#endif
