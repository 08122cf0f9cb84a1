/* pm.c - the ACPI fixed hardware (ACPI 6.4, section 4.8; Intel ICH9 316972, section 13.8.3).
 *
 * ACPI mode is always on: there is no SMI command port. Leaves out: S1 and S2, SMI: its enable
 * register says that the APM port is taken care of, which is how firmware knows to leave SMM alone.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/pm.h"

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    PM1_TIMER = 1 << 0,
    PM1_GLOBAL = 1 << 5,
    PM1_POWER_BUTTON = 1 << 8,
    PM1_SLEEP_BUTTON = 1 << 9,
    PM1_RTC = 1 << 10,
    PM1_WAKE = 1 << 15,
    PM1_STATUS = PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC | PM1_WAKE,
    PM1_ENABLE = PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC,
    CONTROL_SCI_ENABLE = 1 << 0,
    CONTROL_KEPT = 0x1c03,
    CONTROL_SLEEP_ENABLE = 1 << 13,
    CONTROL_SLEEP_TYPE_SHIFT = 10,
    SMI_ENABLE_APMC = 0x20,
    TIMER_HALF = 1 << 23, /* the status bit is set whenever this bit of the timer changes */
    TIMER_MASK = (1 << 24) - 1,
};

static int64_t
acpi_pm_ticks_of(int64_t ns)
{
    return (int64_t)((__int128)ns * ACPI_PM_TIMER_HZ / 1000000000);
}

static int64_t
acpi_pm_ticks(AcpiPm *pm)
{
    return acpi_pm_ticks_of(machine_clock_ns(pm->machine)) + pm->timer_base;
}

static int64_t
acpi_pm_next_overflow(int64_t ticks)
{
    return (ticks | (TIMER_HALF - 1)) + 1;
}

static void
acpi_pm_update(AcpiPm *pm)
{
    bool level = (pm->status & pm->enable) != 0;

    for (unsigned i = 0; i < sizeof(pm->gpe_status); i++)
        level |= (pm->gpe_status[i] & pm->gpe_enable[i]) != 0;
    gsi_source_set(&pm->sci, level);
    if ((pm->enable & PM1_TIMER) && !(pm->status & PM1_TIMER)) {
        __int128 ns = ((__int128)(pm->overflow - pm->timer_base) * 1000000000) / ACPI_PM_TIMER_HZ;

        device_timer_set(pm->timer, (int64_t)ns + 1000);
    } else {
        device_timer_cancel(pm->timer);
    }
}

/* Brings the timer's status bit up to date. */
static void
acpi_pm_run_timer(AcpiPm *pm)
{
    int64_t now = acpi_pm_ticks(pm);

    if (now >= pm->overflow) {
        pm->status |= PM1_TIMER;
        pm->overflow = acpi_pm_next_overflow(now);
    }
}

static void
acpi_pm_timer_fired(void *opaque)
{
    AcpiPm *pm = opaque;

    acpi_pm_run_timer(pm);
    acpi_pm_update(pm);
}

static uint8_t
acpi_pm_read_gpe(const AcpiPm *pm, unsigned at)
{
    unsigned half = pm->gpe_size / 2;

    return at < half ? pm->gpe_status[at] : pm->gpe_enable[at - half];
}

static void
acpi_pm_write_gpe(AcpiPm *pm, unsigned at, uint8_t value)
{
    unsigned half = pm->gpe_size / 2;

    if (at < half)
        pm->gpe_status[at] &= (uint8_t)~value;
    else
        pm->gpe_enable[at - half] = value;
}

static uint8_t
acpi_pm_read_byte(AcpiPm *pm, unsigned at)
{
    if (at < ACPI_PM1_EVENT + 2)
        return (uint8_t)(pm->status >> (8 * at));
    if (at < ACPI_PM1_EVENT + 4)
        return (uint8_t)(pm->enable >> (8 * (at - 2)));
    if (at >= ACPI_PM1_CONTROL && at < ACPI_PM1_CONTROL + 2)
        return (uint8_t)(pm->control >> (8 * (at - ACPI_PM1_CONTROL)));
    if (!pm->gpe_port && at >= ACPI_GPE0 && at < ACPI_GPE0 + ACPI_GPE0_SIZE)
        return acpi_pm_read_gpe(pm, at - ACPI_GPE0);
    if (!pm->gpe_port && at == ACPI_SMI_ENABLE)
        return SMI_ENABLE_APMC;
    return 0;
}

static uint64_t
acpi_pm_read(void *opaque, uint64_t offset, unsigned size)
{
    AcpiPm *pm = opaque;
    uint64_t value = 0;

    /* One instant for all bytes of the timer. */
    if (offset >= ACPI_PM_TIMER && offset + size <= ACPI_PM_TIMER + 4)
        return ((uint64_t)acpi_pm_ticks(pm) & TIMER_MASK) >> (8 * (offset - ACPI_PM_TIMER));
    if (offset < 2)
        acpi_pm_run_timer(pm);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)acpi_pm_read_byte(pm, (unsigned)offset + i) << (8 * i);
    return value;
}

static void
acpi_pm_sleep(AcpiPm *pm, unsigned type)
{
    const MachineConfig *config = &pm->machine->config;
    MachineRequest request;

    /* Other types are not in the DSDT; the guest that writes one stays awake. */
    if (type == ACPI_SLEEP_TYPE_OFF)
        request = MACHINE_SHUTDOWN;
    else if (type == ACPI_SLEEP_TYPE_S3 && config->s3)
        request = MACHINE_SUSPEND;
    else if (type == ACPI_SLEEP_TYPE_S4 && config->s4)
        request = MACHINE_SUSPEND_DISK;
    else
        return;
    pm->machine->ops->request(pm->machine->host, request, 0);
}

static void
acpi_pm_write_byte(AcpiPm *pm, unsigned at, uint8_t value)
{
    unsigned shift = 8 * (at & 1);
    uint16_t mask = (uint16_t)(0xff << shift), word = (uint16_t)(value << shift);

    if (at < ACPI_PM1_EVENT + 2) {
        pm->status &= (uint16_t) ~(word & PM1_STATUS);
    } else if (at < ACPI_PM1_EVENT + 4) {
        pm->enable = (uint16_t)((pm->enable & ~mask) | (word & PM1_ENABLE));
    } else if (at >= ACPI_PM1_CONTROL && at < ACPI_PM1_CONTROL + 2) {
        pm->control =
            (uint16_t)((pm->control & ~mask) | (word & CONTROL_KEPT) | CONTROL_SCI_ENABLE);
        if (word & CONTROL_SLEEP_ENABLE)
            acpi_pm_sleep(pm, (pm->control >> CONTROL_SLEEP_TYPE_SHIFT) & 7);
    } else if (!pm->gpe_port && at >= ACPI_GPE0 && at < ACPI_GPE0 + ACPI_GPE0_SIZE) {
        acpi_pm_write_gpe(pm, at - ACPI_GPE0, value);
    }
}

static void
acpi_pm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    AcpiPm *pm = opaque;

    acpi_pm_run_timer(pm);
    for (unsigned i = 0; i < size; i++)
        acpi_pm_write_byte(pm, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    acpi_pm_update(pm);
}

static uint64_t
acpi_gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)acpi_pm_read_gpe(opaque, (unsigned)offset + i) << (8 * i);
    return value;
}

static void
acpi_gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        acpi_pm_write_gpe(opaque, (unsigned)offset + i, (uint8_t)(value >> (8 * i)));
    acpi_pm_update(opaque);
}

static const IoOps acpi_gpe_ops = { acpi_gpe_read, acpi_gpe_write };
static const IoOps acpi_pm_ops = { acpi_pm_read, acpi_pm_write };

void
acpi_pm_init(AcpiPm *pm, Machine *machine, GMutex *lock, unsigned size)
{
    pm->machine = machine;
    pm->lock = lock;
    pm->sci = (GsiSource){ machine, ACPI_SCI_IRQ, false };
    pm->timer = device_timer_new(machine, lock, acpi_pm_timer_fired, pm);
    pm->region = (IoRegion){ "acpi-pm", &acpi_pm_ops, pm, lock, size, IO_PRIORITY_BOARD };
    pm->control = CONTROL_SCI_ENABLE;
    pm->gpe_size = ACPI_GPE0_SIZE;
    pm->overflow = acpi_pm_next_overflow(acpi_pm_ticks(pm));
}

void
acpi_pm_place_gpe(AcpiPm *pm, uint16_t port, unsigned size)
{
    pm->gpe_port = port;
    pm->gpe_size = (uint8_t)size;
    pm->gpe_region = (IoRegion){ "acpi-gpe", &acpi_gpe_ops, pm, pm->lock, size, IO_PRIORITY_BOARD };
    (void)address_map_add(pm->machine->pio, &pm->gpe_region, port);
}

void
acpi_pm_fini(AcpiPm *pm)
{
    if (pm->gpe_port) {
        address_map_remove(pm->machine->pio, &pm->gpe_region);
        address_map_synchronize(pm->machine->pio);
    }
    g_clear_pointer(&pm->timer, device_timer_free);
    gsi_source_disconnect(&pm->sci);
}

void
acpi_pm_reset(AcpiPm *pm)
{
    g_mutex_lock(pm->lock);
    pm->status = pm->enable = 0;
    pm->control = CONTROL_SCI_ENABLE;
    for (unsigned i = 0; i < sizeof(pm->gpe_status); i++)
        pm->gpe_status[i] = pm->gpe_enable[i] = 0;
    pm->overflow = acpi_pm_next_overflow(acpi_pm_ticks(pm));
    acpi_pm_update(pm);
    g_mutex_unlock(pm->lock);
}

uint16_t
acpi_pm_gpe_port(const AcpiPm *pm, uint16_t base)
{
    return pm->gpe_port ? pm->gpe_port : (uint16_t)(base + ACPI_GPE0);
}

void
acpi_pm_gpe(AcpiPm *pm, unsigned n)
{
    g_mutex_lock(pm->lock);
    pm->gpe_status[n / 8] |= (uint8_t)(1u << (n % 8));
    acpi_pm_update(pm);
    g_mutex_unlock(pm->lock);
}

bool
acpi_pm_may_wake(AcpiPm *pm, AcpiWake reason)
{
    bool may;

    g_mutex_lock(pm->lock);
    may = reason != ACPI_WAKE_RTC || (pm->enable & PM1_RTC);
    g_mutex_unlock(pm->lock);
    return may;
}

void
acpi_pm_wake(AcpiPm *pm, AcpiWake reason)
{
    static const uint16_t bits[] = {
        [ACPI_WAKE_BUTTON] = PM1_POWER_BUTTON,
        [ACPI_WAKE_RTC] = PM1_RTC,
    };

    g_mutex_lock(pm->lock);
    pm->status |= (uint16_t)(PM1_WAKE | bits[reason]);
    acpi_pm_update(pm);
    g_mutex_unlock(pm->lock);
}

void
acpi_pm_power_button(AcpiPm *pm)
{
    g_mutex_lock(pm->lock);
    pm->status |= PM1_POWER_BUTTON;
    acpi_pm_update(pm);
    g_mutex_unlock(pm->lock);
}

static void
acpi_pm_before_save(void *state)
{
    AcpiPm *pm = state;

    pm->timer_ticks = acpi_pm_ticks(pm);
}

static bool
acpi_pm_after_load(void *state, GError **err)
{
    AcpiPm *pm = state;

    if (pm->timer_ticks < 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "the saved PM timer is negative");
    g_mutex_lock(pm->lock);
    pm->status &= PM1_STATUS;
    pm->enable &= PM1_ENABLE;
    pm->control = (pm->control & CONTROL_KEPT) | CONTROL_SCI_ENABLE;
    pm->timer_base = 0;
    pm->timer_base = pm->timer_ticks - acpi_pm_ticks(pm);
    pm->overflow = acpi_pm_next_overflow(pm->timer_ticks);
    acpi_pm_update(pm);
    g_mutex_unlock(pm->lock);
    return true;
}

static const SavedField acpi_pm_fields[] = {
    SAVED(AcpiPm, status, 1),           SAVED(AcpiPm, enable, 1),
    SAVED(AcpiPm, control, 1),          SAVED_BYTES(AcpiPm, gpe_status, 1),
    SAVED_BYTES(AcpiPm, gpe_enable, 1), SAVED(AcpiPm, timer_ticks, 1),
};

const SavedTable acpi_pm_saved = {
    .name = "acpi-pm",
    .version = 1,
    .oldest = 1,
    .fields = acpi_pm_fields,
    .n_fields = G_N_ELEMENTS(acpi_pm_fields),
    .before_save = acpi_pm_before_save,
    .after_load = acpi_pm_after_load,
};
