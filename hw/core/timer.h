/* timer.h - one-shot timers on the guest's clock, for registers that change by themselves.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_TIMER_H
#define KILN_HW_CORE_TIMER_H

#include "hw/core/machine.h"

typedef struct DeviceTimer DeviceTimer;

/* @fn runs in the main loop with @lock held. */
DeviceTimer *device_timer_new(Machine *machine, GMutex *lock, void (*fn)(void *opaque),
                              void *opaque);
/* Main thread, without the lock. NULL is accepted. */
void device_timer_free(DeviceTimer *timer);

/* All with the timer's lock held, any thread. @deadline: nanoseconds of machine_clock_ns(). */
void device_timer_set(DeviceTimer *timer, int64_t deadline);
void device_timer_cancel(DeviceTimer *timer);

/* Puts the timer in step with the clock after the guest was paused; machine_set_running() does it
 * for all. Main thread, without the lock. */
void device_timer_resync(DeviceTimer *timer);

#endif
