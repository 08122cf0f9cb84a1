/* parallel.h - what the board's tables say about parallel ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_PARALLEL_H
#define KILN_HW_ISA_PARALLEL_H

#include "hw/core/device.h"

enum { PARALLEL_PORTS = 3 };

typedef struct {
    unsigned index; /* 0: LPT1 */
    uint16_t iobase;
    uint8_t irq;
} ParallelPort;

/* True when @dev is a parallel port. */
bool parallel_port(const Device *dev, ParallelPort *ret);

#endif
