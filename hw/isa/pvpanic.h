/* pvpanic.h - what the board's tables say about the panic port.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_PVPANIC_H
#define KILN_HW_ISA_PVPANIC_H

#include "hw/core/device.h"

/* True when @dev is the panic device on the ISA bus, which lies at *ret_port. */
bool pvpanic_port(const Device *dev, uint16_t *ret_port);

#endif
