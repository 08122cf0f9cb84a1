/* i6300esb.c - the watchdog of Intel's 6300ESB I/O controller hub ("Intel 6300ESB I/O Controller
 * Hub" datasheet, 300641, watchdog timer, D29:F4).
 *
 * What follows when it was not fed (WDT_TOUT#) is the launcher's to say. A timer that has ended
 * starts again when it is fed or enabled anew, so that a guest that was only paused or sent an NMI
 * goes on being watched.
 *
 * Leaves out: the SMI of the first stage, as no guest here has system management mode.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/timer.h"
#include "hw/pci/pci.h"
#include "util/error.h"

enum {
    /* configuration space */
    CONFIG = 0x60,
    CONFIG_INTERRUPT = 3 << 0, /* of the first stage; 0: INTA# */
    CONFIG_FAST = 1 << 2,      /* ticks of about 1 us, else of about 1 ms */
    CONFIG_NO_OUTPUT = 1 << 5, /* WDT_TOUT# is not driven */
    LOCK = 0x68,
    LOCK_LOCKED = 1 << 0,
    LOCK_ENABLE = 1 << 1,
    LOCK_FREE = 1 << 2, /* free running: the second preload over and over, no first stage */
    /* BAR 0 */
    BAR_SIZE = 16,
    PRELOAD1 = 0x0,
    PRELOAD2 = 0x4,
    INTERRUPT = 0x8,
    INTERRUPT_ACTIVE = 1 << 0,
    RELOAD = 0xc,
    RELOAD_FEED = 1 << 8,
    RELOAD_TIMED_OUT = 1 << 9,
    UNLOCK1 = 0x80,
    UNLOCK2 = 0x86,
    PRELOAD_MAX = 0xfffff,
    CLOCK_NS = 30, /* a PCI clock; the counter has 35 bits of them */
    SHIFT_SLOW = 15,
    SHIFT_FAST = 5,
    FREE_MIN_NS = 1000000, /* no shorter, whatever is preloaded: it would only keep the host busy */
};

typedef struct {
    PciDevice pci;      /* first */
    DeviceTimer *timer; /* NULL once the device is about to go */
    uint32_t preload[2];
    uint8_t unlocked; /* writes of the unlocking sequence seen */
    uint8_t stage;    /* 0: stands still; 1, 2 */
    bool interrupt;   /* the first stage is over */
    bool timed_out;   /* the second is; outlives a reset */
    bool output_low;  /* WDT_TOUT# in free running mode */
    int64_t deadline; /* of the stage, machine_clock_ns() */
    uint64_t left;    /* of the stage, nanoseconds; in saved state */
} Watchdog;

static void
watchdog_interrupt_update(Watchdog *w)
{
    pci_intx_set(&w->pci, w->interrupt && !(w->pci.config[CONFIG] & CONFIG_INTERRUPT));
}

static void
watchdog_stop(Watchdog *w)
{
    w->stage = 0;
    if (w->timer)
        device_timer_cancel(w->timer);
}

static void
watchdog_run(Watchdog *w, unsigned stage)
{
    unsigned shift = w->pci.config[CONFIG] & CONFIG_FAST ? SHIFT_FAST : SHIFT_SLOW;
    int64_t ns = ((int64_t)MAX(w->preload[stage - 1], 1) << shift) * CLOCK_NS;

    if (w->pci.config[LOCK] & LOCK_FREE)
        ns = MAX(ns, FREE_MIN_NS);
    w->stage = (uint8_t)stage;
    w->deadline = machine_clock_ns(w->pci.device.machine) + ns;
    if (w->timer)
        device_timer_set(w->timer, w->deadline);
}

static void
watchdog_start(Watchdog *w)
{
    if (!(w->pci.config[LOCK] & LOCK_ENABLE))
        return;
    watchdog_run(w, w->pci.config[LOCK] & LOCK_FREE ? 2 : 1);
}

static void
watchdog_bite(Watchdog *w)
{
    Machine *machine = w->pci.device.machine;

    if (!(w->pci.config[CONFIG] & CONFIG_NO_OUTPUT))
        machine->ops->request(machine->host, MACHINE_WATCHDOG, 0);
}

static void
watchdog_expired(void *opaque)
{
    Watchdog *w = opaque;

    if (w->pci.config[LOCK] & LOCK_FREE) {
        w->output_low = !w->output_low;
        if (w->output_low)
            watchdog_bite(w);
        watchdog_run(w, 2);
    } else if (w->stage == 1) {
        w->interrupt = true;
        watchdog_interrupt_update(w);
        watchdog_run(w, 2);
    } else {
        w->timed_out = true;
        watchdog_stop(w);
        watchdog_bite(w);
    }
}

/* ---- registers ---- */

static uint32_t
watchdog_register(const Watchdog *w, unsigned at)
{
    switch (at) {
    case PRELOAD1:
        return w->preload[0];
    case PRELOAD2:
        return w->preload[1];
    case INTERRUPT:
        return w->interrupt ? INTERRUPT_ACTIVE : 0;
    default:
        return w->timed_out ? RELOAD_TIMED_OUT : 0;
    }
}

static uint64_t
watchdog_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return watchdog_register(opaque, (unsigned)offset & ~3u) >> (8 * (offset & 3));
}

/* True when this write may have its effect. All but the interrupt's status want two others first.
 */
static bool
watchdog_unlock(Watchdog *w, unsigned offset, uint32_t value)
{
    bool whole = w->unlocked == 2;

    if (offset == RELOAD && !whole && value == (w->unlocked ? UNLOCK2 : UNLOCK1)) {
        w->unlocked++;
        return false;
    }
    w->unlocked = 0;
    return whole;
}

static void
watchdog_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Watchdog *w = opaque;
    unsigned at = (unsigned)offset & ~3u, shift = 8 * (unsigned)(offset & 3);
    uint32_t mask = (uint32_t)((UINT64_C(1) << (8 * size)) - 1) << shift;
    uint32_t bits = (uint32_t)value << shift & mask;

    if (at == INTERRUPT) {
        if (bits & INTERRUPT_ACTIVE)
            w->interrupt = false;
        watchdog_interrupt_update(w);
        return;
    }
    if (!watchdog_unlock(w, (unsigned)offset, (uint32_t)value))
        return;
    if (at == RELOAD) {
        if (bits & RELOAD_TIMED_OUT)
            w->timed_out = false;
        if (bits & RELOAD_FEED)
            watchdog_start(w);
    } else {
        uint32_t *preload = &w->preload[at == PRELOAD2];

        *preload = ((*preload & ~mask) | bits) & PRELOAD_MAX;
    }
}

static const IoOps watchdog_ops = { watchdog_read, watchdog_write, .sizes = 1 | 2 | 4 };

/* ---- configuration space ---- */

static void
watchdog_lock_update(Watchdog *w)
{
    w->pci.writable[LOCK] =
        w->pci.config[LOCK] & LOCK_LOCKED ? 0 : LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE;
}

static void
watchdog_config_written(PciDevice *pci, unsigned offset, unsigned size)
{
    Watchdog *w = (Watchdog *)pci;
    bool was_locked = !pci->writable[LOCK];

    watchdog_interrupt_update(w);
    if (offset > LOCK || offset + size <= LOCK || was_locked)
        return;
    watchdog_lock_update(w);
    if (!(pci->config[LOCK] & LOCK_ENABLE))
        watchdog_stop(w);
    else if (w->stage == 0)
        watchdog_start(w);
}

static void
watchdog_config_loaded(PciDevice *pci)
{
    pci->config[LOCK] = pci->saved_config[LOCK] & (LOCK_LOCKED | LOCK_ENABLE | LOCK_FREE);
    watchdog_lock_update((Watchdog *)pci);
}

/* ---- the device ---- */

static void
watchdog_clear(Watchdog *w)
{
    w->preload[0] = w->preload[1] = PRELOAD_MAX;
    w->unlocked = 0;
    w->interrupt = w->output_low = false;
    watchdog_stop(w);
}

static bool
watchdog_realize(Device *device, GError **err)
{
    Watchdog *w = (Watchdog *)device;

    (void)err;
    w->timer = device_timer_new(device->machine, &device->lock, watchdog_expired, w);
    pci_bar_add(&w->pci, 0, PCI_BAR_MEM32, false, BAR_SIZE);
    pci_bar_add_region(&w->pci, 0, 0, BAR_SIZE, &watchdog_ops, w, &device->lock, "i6300esb");
    pci_config_mask(&w->pci, CONFIG, 2, CONFIG_INTERRUPT | CONFIG_FAST | CONFIG_NO_OUTPUT);
    pci_intx_init(&w->pci);
    watchdog_lock_update(w);
    watchdog_clear(w);
    return true;
}

static void
watchdog_reset(Device *device)
{
    Watchdog *w = (Watchdog *)device;

    g_mutex_lock(&device->lock);
    watchdog_clear(w);
    pci_intx_set(&w->pci, false);
    w->pci.config[LOCK] = 0;
    watchdog_lock_update(w);
    g_mutex_unlock(&device->lock);
}

static void
watchdog_unrealize(Device *device)
{
    Watchdog *w = (Watchdog *)device;
    DeviceTimer *timer;

    g_mutex_lock(&device->lock);
    timer = g_steal_pointer(&w->timer);
    g_mutex_unlock(&device->lock);
    device_timer_free(timer);
}

static void
watchdog_before_save(void *state)
{
    Watchdog *w = state;
    int64_t left = w->deadline - machine_clock_ns(w->pci.device.machine);

    w->left = w->stage ? (uint64_t)MAX(left, 0) : 0;
}

static bool
watchdog_after_load(void *state, GError **err)
{
    Watchdog *w = state;

    if (w->preload[0] > PRELOAD_MAX || w->preload[1] > PRELOAD_MAX || w->stage > 2 ||
        w->unlocked > 2 || w->left > ((uint64_t)PRELOAD_MAX << SHIFT_SLOW) * CLOCK_NS)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved watchdog is in a state that there is not");
    g_mutex_lock(&w->pci.device.lock);
    if (w->stage) {
        w->deadline = machine_clock_ns(w->pci.device.machine) + (int64_t)w->left;
        device_timer_set(w->timer, w->deadline);
    } else {
        device_timer_cancel(w->timer);
    }
    watchdog_interrupt_update(w);
    g_mutex_unlock(&w->pci.device.lock);
    return true;
}

static const SavedField watchdog_fields[] = {
    SAVED_ARRAY(Watchdog, preload, 1), SAVED(Watchdog, unlocked, 1),
    SAVED(Watchdog, stage, 1),         SAVED(Watchdog, interrupt, 1),
    SAVED(Watchdog, timed_out, 1),     SAVED(Watchdog, output_low, 1),
    SAVED(Watchdog, left, 1),
};

static const SavedTable watchdog_saved = {
    .name = "i6300esb",
    .version = 1,
    .oldest = 1,
    .fields = watchdog_fields,
    .n_fields = G_N_ELEMENTS(watchdog_fields),
    .before_save = watchdog_before_save,
    .after_load = watchdog_after_load,
};

static const PciDetails watchdog_details = {
    .vendor = 0x8086,
    .device = 0x25ab,
    .class_code = 0x088000,
    .config_written = watchdog_config_written,
    .config_loaded = watchdog_config_loaded,
};

const DeviceClass i6300esb_class = {
    .name = "i6300esb",
    .description = "watchdog (Intel 6300ESB)",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(Watchdog),
    .saved = &watchdog_saved,
    .realize = watchdog_realize,
    .reset = watchdog_reset,
    .unrealize = watchdog_unrealize,
    .details = &watchdog_details,
};
