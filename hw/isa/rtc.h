/* rtc.h - CMOS memory as the board fills it for firmware.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ISA_RTC_H
#define KILN_HW_ISA_RTC_H

#include "hw/core/machine.h"

/* Sets byte @at (14 to 127) of the machine's CMOS memory. Main thread. */
void rtc_cmos_set(Machine *machine, unsigned at, uint8_t value);

#endif
