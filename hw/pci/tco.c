/* tco.c - the TCO timer of the ICH9 (Intel 316972, section 13.9): a watchdog that resets the
 * machine when it has expired twice.
 *
 * It counts from the first feeding or starting on, not from reset, so that a guest which knows
 * nothing of it needs no firmware that stops it. Leaves out: SMIs and what else software uses the
 * registers for between itself and SMM, intruder detection, the clock's century.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/tco.h"

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    RELOAD = 0x00,
    STATUS1 = 0x04,
    STATUS2 = 0x06,
    CONTROL1_HIGH = 0x09,
    SW_IRQ = 0x10,
    TIMER = 0x12,

    STATUS1_TIMEOUT = 1 << 3,
    STATUS2_SECOND = 1 << 1,
    STATUS2_BOOT = 1 << 2,
    CONTROL1_HALT = 1 << 3, /* bit 11 of the word */
    CONTROL1_LOCK = 1 << 4,
    TIMER_MIN = 2, /* smaller values are not allowed */
    TIMER_DEFAULT = 4,
    TIMER_MAX = 0x3ff,
    SW_IRQ_DEFAULT = 3,
};

static const int64_t tick_ns = 600000000;

/* What a write can change, and what a written one clears. */
static const uint8_t tco_writable[TCO_SIZE] = {
    [0x02] = 0xff, [0x03] = 0xff, [CONTROL1_HIGH] = 0x1a, [0x0a] = 0x3e,  [0x0c] = 0xff,
    [0x0d] = 0xff, [0x0e] = 0xff, [SW_IRQ] = 0x03,        [TIMER] = 0xff, [TIMER + 1] = 0x03,
};
static const uint8_t tco_clears[TCO_SIZE] = {
    [STATUS1] = 0xff,
    [STATUS1 + 1] = 0xff,
    [STATUS2] = 0x07,
};

static void
tco_stop(Tco *tco)
{
    tco->running = false;
    device_timer_cancel(tco->timer);
}

static void
tco_start(Tco *tco)
{
    unsigned ticks = bytes_load16(tco->regs + TIMER);

    if ((tco->regs[CONTROL1_HIGH] & CONTROL1_HALT) || ticks < TIMER_MIN) {
        tco_stop(tco);
        return;
    }
    tco->running = true;
    tco->deadline = machine_clock_ns(tco->machine) + ticks * tick_ns;
    device_timer_set(tco->timer, tco->deadline);
}

static void
tco_fired(void *opaque)
{
    Tco *tco = opaque;

    if (!tco->running)
        return;
    if (!tco->expired) {
        tco->expired = true;
        tco->regs[STATUS1] |= STATUS1_TIMEOUT;
        tco_start(tco);
        return;
    }
    tco->expired = false;
    tco_stop(tco);
    tco->regs[STATUS2] |= STATUS2_SECOND | STATUS2_BOOT;
    if (!tco->no_reboot)
        tco->machine->ops->request(tco->machine->host, MACHINE_WATCHDOG, 0);
}

static uint8_t
tco_read_byte(const Tco *tco, unsigned at)
{
    int64_t left = tco->deadline - machine_clock_ns(tco->machine);
    uint64_t count;

    if (at >= RELOAD + 2)
        return tco->regs[at];
    count =
        tco->running ? (uint64_t)MAX(left, 0) / (uint64_t)tick_ns : bytes_load16(tco->regs + TIMER);
    return (uint8_t)(MIN(count, TIMER_MAX) >> (8 * at));
}

static uint64_t
tco_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)tco_read_byte(opaque, (unsigned)offset + i) << (8 * i);
    return value;
}

static void
tco_write_byte(Tco *tco, unsigned at, uint8_t value)
{
    uint8_t writable = tco_writable[at];

    /* The lock lasts until the next reset. */
    if (at == CONTROL1_HIGH)
        value |= tco->regs[at] & CONTROL1_LOCK;
    tco->regs[at] = (uint8_t)((tco->regs[at] & ~writable) | (value & writable));
    tco->regs[at] &= (uint8_t) ~(value & tco_clears[at]);
}

static void
tco_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Tco *tco = opaque;
    bool halted = tco->regs[CONTROL1_HIGH] & CONTROL1_HALT;

    for (unsigned i = 0; i < size; i++)
        tco_write_byte(tco, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    if (offset < RELOAD + 2)
        tco->expired = false;
    if (offset < RELOAD + 2 || halted != !!(tco->regs[CONTROL1_HIGH] & CONTROL1_HALT))
        tco_start(tco);
}

static const IoOps tco_ops = { tco_read, tco_write };

uint32_t
tco_gcs(const Tco *tco)
{
    return tco->no_reboot ? TCO_GCS_NO_REBOOT : 0;
}

/* The speaker pin's strap, read at power-on, keeps software from clearing the bit. */
void
tco_gcs_write(Tco *tco, uint32_t value)
{
    tco->no_reboot = !tco->machine->config.tco_reboots || (value & TCO_GCS_NO_REBOOT);
}

static void
tco_defaults(Tco *tco)
{
    uint8_t kept = tco->regs[STATUS2];

    memset(tco->regs, 0, sizeof(tco->regs));
    tco->regs[STATUS2] = kept;
    tco->regs[SW_IRQ] = SW_IRQ_DEFAULT;
    tco->regs[TIMER] = TIMER_DEFAULT;
    tco->expired = false;
    tco_gcs_write(tco, 0);
}

void
tco_init(Tco *tco, Machine *machine, GMutex *lock)
{
    tco->machine = machine;
    tco->timer = device_timer_new(machine, lock, tco_fired, tco);
    tco->region = (IoRegion){ "tco", &tco_ops, tco, lock, TCO_SIZE, IO_PRIORITY_BOARD };
    tco_defaults(tco);
}

void
tco_fini(Tco *tco)
{
    g_clear_pointer(&tco->timer, device_timer_free);
}

void
tco_reset(Tco *tco)
{
    g_mutex_lock(tco->region.lock);
    tco_stop(tco);
    tco_defaults(tco);
    g_mutex_unlock(tco->region.lock);
}

static void
tco_before_save(void *state)
{
    Tco *tco = state;
    int64_t left = tco->deadline - machine_clock_ns(tco->machine);

    tco->left = tco->running ? (uint64_t)MAX(left, 0) : 0;
}

static bool
tco_after_load(void *state, GError **err)
{
    Tco *tco = state;

    if (tco->left > (uint64_t)(TIMER_MAX * tick_ns))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved TCO timer is set to longer than it can count");
    g_mutex_lock(tco->region.lock);
    for (unsigned i = 0; i < TCO_SIZE; i++)
        tco->regs[i] &= tco_writable[i] | tco_clears[i];
    tco_gcs_write(tco, tco_gcs(tco));
    tco->deadline = machine_clock_ns(tco->machine) + (int64_t)tco->left;
    if (tco->running)
        device_timer_set(tco->timer, tco->deadline);
    else
        device_timer_cancel(tco->timer);
    g_mutex_unlock(tco->region.lock);
    return true;
}

static const SavedField tco_fields[] = {
    SAVED_BYTES(Tco, regs, 1), SAVED(Tco, no_reboot, 1), SAVED(Tco, running, 1),
    SAVED(Tco, expired, 1),    SAVED(Tco, left, 1),
};

const SavedTable tco_saved = {
    .name = "tco",
    .version = 1,
    .oldest = 1,
    .fields = tco_fields,
    .n_fields = G_N_ELEMENTS(tco_fields),
    .before_save = tco_before_save,
    .after_load = tco_after_load,
};
