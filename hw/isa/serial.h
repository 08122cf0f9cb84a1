/* serial.h - what the board's tables say about serial ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_SERIAL_H
#define KILN_HW_ISA_SERIAL_H

#include "hw/core/device.h"

typedef struct {
    unsigned index; /* 0: COM1 */
    uint16_t iobase;
    uint8_t irq;
} SerialPort;

/* True when @dev is a serial port. */
bool serial_port(const Device *dev, SerialPort *ret);

#endif
