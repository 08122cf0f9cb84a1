/* timer.c - one-shot timers on the guest's clock, as sources of the main loop.
 *
 * The deadline is kept in guest time and checked again with the lock held when the source fires, so
 * a timer that was set anew or cancelled meanwhile does not call its function.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/timer.h"

struct DeviceTimer {
    Machine *machine;
    GMutex *lock;
    void (*fn)(void *opaque);
    void *opaque;
    GSource *source;
    int64_t deadline; /* -1: not set */
};

typedef struct {
    GSource source;
    DeviceTimer *timer;
} TimerSource;

/* Main loop time is another clock than the guest's: convert by the distance from now. */
static void
device_timer_arm(DeviceTimer *timer)
{
    int64_t left, now = g_get_monotonic_time();

    if (timer->deadline < 0) {
        g_source_set_ready_time(timer->source, -1);
        return;
    }
    left = timer->deadline - machine_clock_ns(timer->machine);
    g_source_set_ready_time(timer->source, left <= 0 ? 0 : now + left / 1000 + 1);
}

static gboolean
timer_source_dispatch(GSource *source, GSourceFunc unused, gpointer unused_data)
{
    DeviceTimer *timer = ((TimerSource *)source)->timer;

    (void)unused;
    (void)unused_data;
    g_mutex_lock(timer->lock);
    g_source_set_ready_time(source, -1);
    if (timer->deadline >= 0 && timer->machine->running) {
        if (timer->deadline <= machine_clock_ns(timer->machine)) {
            timer->deadline = -1;
            timer->fn(timer->opaque);
        } else {
            device_timer_arm(timer);
        }
    }
    g_mutex_unlock(timer->lock);
    return G_SOURCE_CONTINUE;
}

static const GSourceFuncs timer_source_funcs = { .dispatch = timer_source_dispatch };

DeviceTimer *
device_timer_new(Machine *machine, GMutex *lock, void (*fn)(void *opaque), void *opaque)
{
    DeviceTimer *timer = g_new0(DeviceTimer, 1);

    *timer = (DeviceTimer){ machine, lock, fn, opaque, NULL, -1 };
    timer->source = g_source_new((GSourceFuncs *)&timer_source_funcs, sizeof(TimerSource));
    ((TimerSource *)timer->source)->timer = timer;
    g_source_set_static_name(timer->source, "device timer");
    g_source_set_ready_time(timer->source, -1);
    g_source_attach(timer->source, machine->context);
    g_ptr_array_add(machine->timers, timer);
    return timer;
}

void
device_timer_free(DeviceTimer *timer)
{
    if (!timer)
        return;
    g_ptr_array_remove_fast(timer->machine->timers, timer);
    g_source_destroy(timer->source);
    g_source_unref(timer->source);
    g_free(timer);
}

void
device_timer_set(DeviceTimer *timer, int64_t deadline)
{
    timer->deadline = MAX(deadline, 0);
    device_timer_arm(timer);
}

void
device_timer_cancel(DeviceTimer *timer)
{
    timer->deadline = -1;
    device_timer_arm(timer);
}

void
device_timer_resync(DeviceTimer *timer)
{
    g_mutex_lock(timer->lock);
    device_timer_arm(timer);
    g_mutex_unlock(timer->lock);
}
