/* hpet.c - high precision event timers (IA-PC HPET 1.0a), three of them, 64 bits, periodic.
 *
 * The counter runs with the guest's clock, one tick each 10 ns, and interrupts go to I/O APIC
 * lines.
 *
 * Leaves out: legacy replacement (the PIT and the RTC keep their lines) and messages; the
 * capabilities say so.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/core/device.h"
#include "hw/core/timer.h"
#include "util/error.h"

enum {
    HPET_SIZE = 0x400,
    HPET_TIMERS = 3,
    TICK_NS = 10,
    CONFIG_ENABLE = 1,
    TIMER_LEVEL = 1 << 1,
    TIMER_INTERRUPT = 1 << 2,
    TIMER_PERIODIC = 1 << 3,
    TIMER_PERIODIC_CAPABLE = 1 << 4,
    TIMER_64BIT = 1 << 5,
    TIMER_SET = 1 << 6,
    TIMER_32BIT = 1 << 8,
    TIMER_ROUTE_SHIFT = 9,
    TIMER_ROUTE = 0x1f << TIMER_ROUTE_SHIFT,
    TIMER_WRITABLE =
        TIMER_LEVEL | TIMER_INTERRUPT | TIMER_PERIODIC | TIMER_SET | TIMER_32BIT | TIMER_ROUTE,
    REG_CAPABILITIES = 0x00,
    REG_CONFIG = 0x10,
    REG_STATUS = 0x20,
    REG_COUNTER = 0xf0,
    REG_TIMERS = 0x100,
    TIMER_STRIDE = 0x20,
    TIMER_CONFIG = 0x00,
    TIMER_COMPARE = 0x08,
};
#define HPET_BASE UINT64_C(0xfed00000)
/* 10 000 000 femtoseconds; Intel; no legacy routes; 64-bit counter; timers 0 to 2; revision 1
 */
#define HPET_CAPABILITIES (UINT64_C(10000000) << 32 | 0x80862201)
#define HPET_ROUTES UINT64_C(0x00f00000) /* lines 20 to 23 */

typedef struct {
    uint64_t config, compare, period;
} HpetTimer;

typedef struct {
    Device device;
    uint64_t config, status;
    uint64_t counter; /* as it stood when it was last stopped or saved */
    int64_t base;     /* clock at which a running counter was zero, ns */
    HpetTimer timers[HPET_TIMERS];
    GsiSource lines[HPET_TIMERS];
    DeviceTimer *alarm;
    IoRegion region;
} Hpet;

static uint64_t
hpet_counter(Hpet *h)
{
    if (!(h->config & CONFIG_ENABLE))
        return h->counter;
    return (uint64_t)((machine_clock_ns(h->device.machine) - h->base) / TICK_NS);
}

static bool
hpet_timer_is_32bit(const HpetTimer *t)
{
    return t->config & TIMER_32BIT;
}

/* Ticks until the comparator matches; a match now is a whole turn away. */
static uint64_t
hpet_ticks_left(const HpetTimer *t, uint64_t now)
{
    uint64_t left = hpet_timer_is_32bit(t) ? (uint32_t)(t->compare - now) : t->compare - now;

    return left ? left : hpet_timer_is_32bit(t) ? UINT64_C(1) << 32 : UINT64_MAX;
}

static void
hpet_fire(Hpet *h, unsigned n)
{
    HpetTimer *t = &h->timers[n];
    unsigned route = (unsigned)(t->config & TIMER_ROUTE) >> TIMER_ROUTE_SHIFT;

    if (!(t->config & TIMER_INTERRUPT))
        return;
    gsi_source_move(&h->lines[n], route);
    if (t->config & TIMER_LEVEL) {
        h->status |= UINT64_C(1) << n;
        gsi_source_set(&h->lines[n], true);
    } else {
        gsi_source_set(&h->lines[n], true);
        gsi_source_set(&h->lines[n], false);
    }
}

/* Fires what has come due between @from and now, and moves periodic comparators on. */
static void
hpet_run(Hpet *h, uint64_t from, uint64_t now)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        HpetTimer *t = &h->timers[n];

        if (hpet_ticks_left(t, from) > now - from)
            continue;
        hpet_fire(h, n);
        if ((t->config & TIMER_PERIODIC) && t->period) {
            uint64_t behind =
                hpet_timer_is_32bit(t) ? (uint32_t)(now - t->compare) : now - t->compare;

            t->compare += (behind / t->period + 1) * t->period;
        }
    }
}

static void
hpet_arm(Hpet *h)
{
    uint64_t now = hpet_counter(h), least = UINT64_MAX;

    if (h->config & CONFIG_ENABLE) {
        hpet_run(h, h->counter, now);
        h->counter = now;
    }
    for (unsigned n = 0; n < HPET_TIMERS && (h->config & CONFIG_ENABLE); n++) {
        if (h->timers[n].config & TIMER_INTERRUPT)
            least = MIN(least, hpet_ticks_left(&h->timers[n], now));
    }
    /* Beyond a century nobody waits. */
    if (least > UINT64_C(1) << 58)
        device_timer_cancel(h->alarm);
    else
        device_timer_set(h->alarm, h->base + (int64_t)(now + least) * TICK_NS);
}

static void
hpet_alarm(void *opaque)
{
    hpet_arm(opaque);
}

static uint64_t
hpet_read_register(Hpet *h, unsigned at)
{
    const HpetTimer *t;

    switch (at) {
    case REG_CAPABILITIES:
        return HPET_CAPABILITIES;
    case REG_CONFIG:
        return h->config;
    case REG_STATUS:
        return h->status;
    case REG_COUNTER:
        return hpet_counter(h);
    default:
        break;
    }
    if (at < REG_TIMERS || at >= REG_TIMERS + HPET_TIMERS * TIMER_STRIDE)
        return 0;
    t = &h->timers[(at - REG_TIMERS) / TIMER_STRIDE];
    switch (at % TIMER_STRIDE) {
    case TIMER_CONFIG:
        return t->config | TIMER_PERIODIC_CAPABLE | TIMER_64BIT | HPET_ROUTES << 32;
    case TIMER_COMPARE:
        return t->compare;
    default:
        return 0;
    }
}

static uint64_t
hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    Hpet *h = opaque;
    uint64_t value = hpet_read_register(h, (unsigned)offset & ~7u);

    return size == 8 ? value : (uint32_t)(value >> (8 * (offset & 4)));
}

static void
hpet_write_config(Hpet *h, uint64_t value)
{
    bool runs = value & CONFIG_ENABLE, ran = h->config & CONFIG_ENABLE;

    if (ran && !runs)
        h->counter = hpet_counter(h);
    if (runs && !ran)
        h->base = machine_clock_ns(h->device.machine) - (int64_t)h->counter * TICK_NS;
    h->config = value & CONFIG_ENABLE;
}

static void
hpet_write_timer(Hpet *h, unsigned n, unsigned at, uint64_t value)
{
    HpetTimer *t = &h->timers[n];

    if (at == TIMER_CONFIG) {
        t->config = value & TIMER_WRITABLE;
        if (hpet_timer_is_32bit(t)) {
            t->compare = (uint32_t)t->compare;
            t->period = (uint32_t)t->period;
        }
        if (!(t->config & TIMER_LEVEL) || !(t->config & TIMER_INTERRUPT)) {
            h->status &= ~(UINT64_C(1) << n);
            gsi_source_set(&h->lines[n], false);
        }
    } else if (at == TIMER_COMPARE) {
        if (hpet_timer_is_32bit(t))
            value = (uint32_t)value;
        /* A periodic timer takes its period, unless it was told that the comparator follows. */
        if (!(t->config & TIMER_PERIODIC) || (t->config & TIMER_SET))
            t->compare = value;
        if (t->config & TIMER_PERIODIC)
            t->period = value;
        t->config &= ~(uint64_t)TIMER_SET;
    }
}

static void
hpet_write_register(Hpet *h, unsigned at, uint64_t value)
{
    switch (at) {
    case REG_CONFIG:
        hpet_write_config(h, value);
        return;
    case REG_STATUS:
        for (unsigned n = 0; n < HPET_TIMERS; n++) {
            if (value & h->status & UINT64_C(1) << n)
                gsi_source_set(&h->lines[n], false);
        }
        h->status &= ~value;
        return;
    case REG_COUNTER:
        /* Undefined while it runs; then it is ignored. */
        if (!(h->config & CONFIG_ENABLE))
            h->counter = value;
        return;
    default:
        if (at >= REG_TIMERS && at < REG_TIMERS + HPET_TIMERS * TIMER_STRIDE)
            hpet_write_timer(h, (at - REG_TIMERS) / TIMER_STRIDE, at % TIMER_STRIDE, value);
        return;
    }
}

static void
hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Hpet *h = opaque;
    unsigned at = (unsigned)offset & ~7u, shift = 8 * (unsigned)(offset & 4);

    hpet_arm(h);
    if (size == 4) {
        uint64_t old = at == REG_STATUS ? 0 : hpet_read_register(h, at);

        value = (old & ~(UINT64_C(0xffffffff) << shift)) | (value & UINT32_MAX) << shift;
    }
    hpet_write_register(h, at, value);
    hpet_arm(h);
}

static const IoOps hpet_ops = { hpet_read, hpet_write, .sizes = 4 | 8 };

static bool
hpet_realize(Device *dev, GError **err)
{
    Hpet *h = (Hpet *)dev;

    (void)err;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        h->lines[n] = (GsiSource){ dev->machine, 0, false };
    h->alarm = device_timer_new(dev->machine, &dev->lock, hpet_alarm, h);
    h->region = (IoRegion){ "hpet", &hpet_ops, h, &dev->lock, HPET_SIZE, IO_PRIORITY_BOARD };
    return address_map_add(dev->machine->mmio, &h->region, HPET_BASE) == 0;
}

static void
hpet_unrealize(Device *dev)
{
    Hpet *h = (Hpet *)dev;

    address_map_remove(dev->machine->mmio, &h->region);
    address_map_synchronize(dev->machine->mmio);
    g_clear_pointer(&h->alarm, device_timer_free);
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        gsi_source_disconnect(&h->lines[n]);
}

static void
hpet_reset(Device *dev)
{
    Hpet *h = (Hpet *)dev;

    g_mutex_lock(&dev->lock);
    h->config = h->status = h->counter = 0;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        h->timers[n] = (HpetTimer){ .compare = UINT64_MAX };
        gsi_source_set(&h->lines[n], false);
    }
    hpet_arm(h);
    g_mutex_unlock(&dev->lock);
}

static void
hpet_before_save(void *state)
{
    Hpet *h = state;

    h->counter = hpet_counter(h);
}

static bool
hpet_after_load(void *state, GError **err)
{
    Hpet *h = state;

    if (h->counter > UINT64_C(1) << 58)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "the saved HPET is beyond all time");
    g_mutex_lock(&h->device.lock);
    h->config &= CONFIG_ENABLE;
    h->base = machine_clock_ns(h->device.machine) - (int64_t)h->counter * TICK_NS;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        h->timers[n].config &= TIMER_WRITABLE;
        gsi_source_move(&h->lines[n],
                        (uint32_t)(h->timers[n].config & TIMER_ROUTE) >> TIMER_ROUTE_SHIFT);
        gsi_source_set(&h->lines[n], h->status & UINT64_C(1) << n);
    }
    hpet_arm(h);
    g_mutex_unlock(&h->device.lock);
    return true;
}

static const SavedField hpet_timer_fields[] = {
    SAVED(HpetTimer, config, 1),
    SAVED(HpetTimer, compare, 1),
    SAVED(HpetTimer, period, 1),
};

static const SavedTable hpet_timer_saved = {
    .name = "hpet-timer",
    .version = 1,
    .oldest = 1,
    .fields = hpet_timer_fields,
    .n_fields = G_N_ELEMENTS(hpet_timer_fields),
};

static const SavedField hpet_fields[] = {
    SAVED(Hpet, config, 1),
    SAVED(Hpet, status, 1),
    SAVED(Hpet, counter, 1),
    SAVED_STRUCTS(Hpet, timers, hpet_timer_saved, 1),
};

static const SavedTable hpet_saved = {
    .name = "hpet",
    .version = 1,
    .oldest = 1,
    .fields = hpet_fields,
    .n_fields = G_N_ELEMENTS(hpet_fields),
    .before_save = hpet_before_save,
    .after_load = hpet_after_load,
};

const DeviceClass hpet_class = {
    .name = "hpet",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(Hpet),
    .saved = &hpet_saved,
    .realize = hpet_realize,
    .reset = hpet_reset,
    .unrealize = hpet_unrealize,
};
