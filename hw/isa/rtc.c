/* rtc.c - real-time clock and CMOS memory, MC146818 as in the PC (ports 0x70 and 0x71, IRQ 8).
 *
 * Motorola MC146818A data sheet. The time is the host's, at a distance the guest may change; the
 * flags of register C are worked out when they are looked at, so an idle clock costs nothing.
 *
 * Leaves out: daylight saving, square wave output, the clock divider (time never stops but for
 * SET).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/isa/rtc.h"

#include "hw/core/device.h"
#include "hw/core/timer.h"
#include "util/error.h"

#include <time.h>

enum {
    RTC_PORT = 0x70,
    RTC_IRQ = 8,
    RTC_BYTES = 128,
    RTC_SECONDS = 0,
    RTC_SECONDS_ALARM = 1,
    RTC_MINUTES = 2,
    RTC_MINUTES_ALARM = 3,
    RTC_HOURS = 4,
    RTC_HOURS_ALARM = 5,
    RTC_WEEKDAY = 6,
    RTC_DAY = 7,
    RTC_MONTH = 8,
    RTC_YEAR = 9,
    RTC_A = 10,
    RTC_B = 11,
    RTC_C = 12,
    RTC_D = 13,
    RTC_CENTURY = 0x32,
    A_UPDATING = 0x80,
    A_RATE = 0x0f,
    B_SET = 0x80,
    B_PERIODIC = 0x40,
    B_ALARM = 0x20,
    B_UPDATE = 0x10,
    B_BINARY = 0x04,
    B_24H = 0x02,
    C_IRQ = 0x80,
    C_PERIODIC = 0x40,
    C_ALARM = 0x20,
    C_UPDATE = 0x10,
    D_VALID = 0x80,
    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0,
    UPDATE_NS = 244000, /* the time reads as being updated so long before each second */
    DAY = 86400,
};
#define NS_PER_S INT64_C(1000000000)
#define RTC_LIMIT                                                                                  \
    INT64_C(6000000000) /* seconds either side of 1970 that ns arithmetic keeps to                 \
                         */

typedef struct {
    Device device;
    uint8_t index;
    uint8_t cmos[RTC_BYTES];
    int64_t offset;       /* ns: RTC time is the host's plus this */
    int64_t start_offset; /* the same when the machine was made */
    int64_t seen_second;  /* up to which update and alarm flags are worked out */
    int64_t seen_period;  /* the same for the periodic flag, in periods of guest time */
    GsiSource line;
    DeviceTimer *timer;
    IoRegion region;
} Rtc;

static int64_t
rtc_now(Rtc *rtc)
{
    return machine_wall_ns(rtc->device.machine) + rtc->offset;
}

/* Seconds as floor, also before 1970. */
static int64_t
rtc_second(int64_t ns)
{
    return ns >= 0 ? ns / NS_PER_S : -((-ns + NS_PER_S - 1) / NS_PER_S);
}

static uint8_t
rtc_encode(const Rtc *rtc, unsigned value)
{
    return (uint8_t)(rtc->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static unsigned
rtc_decode(const Rtc *rtc, uint8_t value)
{
    return rtc->cmos[RTC_B] & B_BINARY ? value : (unsigned)(value >> 4) * 10 + (value & 15);
}

static uint8_t
rtc_encode_hour(const Rtc *rtc, unsigned hour)
{
    if (rtc->cmos[RTC_B] & B_24H)
        return rtc_encode(rtc, hour);
    return (uint8_t)(rtc_encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static unsigned
rtc_decode_hour(const Rtc *rtc, uint8_t value)
{
    if (rtc->cmos[RTC_B] & B_24H)
        return rtc_decode(rtc, value);
    return rtc_decode(rtc, value & 0x7f) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Puts the time of @second into the registers. */
static void
rtc_load_time(Rtc *rtc, int64_t second)
{
    time_t t = (time_t)second;
    struct tm tm;
    unsigned year;

    if (!gmtime_r(&t, &tm) || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900)
        return;
    year = (unsigned)tm.tm_year + 1900;
    rtc->cmos[RTC_SECONDS] = rtc_encode(rtc, (unsigned)tm.tm_sec);
    rtc->cmos[RTC_MINUTES] = rtc_encode(rtc, (unsigned)tm.tm_min);
    rtc->cmos[RTC_HOURS] = rtc_encode_hour(rtc, (unsigned)tm.tm_hour);
    rtc->cmos[RTC_WEEKDAY] = rtc_encode(rtc, (unsigned)tm.tm_wday + 1);
    rtc->cmos[RTC_DAY] = rtc_encode(rtc, (unsigned)tm.tm_mday);
    rtc->cmos[RTC_MONTH] = rtc_encode(rtc, (unsigned)tm.tm_mon + 1);
    rtc->cmos[RTC_YEAR] = rtc_encode(rtc, year % 100);
    rtc->cmos[RTC_CENTURY] = rtc_encode(rtc, year / 100);
}

/* QMP RTC_CHANGE: how many seconds the guest has moved its clock from where it started. */
static void
rtc_tell_change(Rtc *rtc)
{
    Machine *machine = rtc->device.machine;
    JsonObject *data = json_object_new();

    json_object_set_int_member(data, "offset",
                               rtc_second(rtc->offset - rtc->start_offset + NS_PER_S / 2));
    machine->ops->event(machine->host, "RTC_CHANGE", data);
}

/* Makes the time what the registers say. */
static void
rtc_store_time(Rtc *rtc)
{
    struct tm tm = {
        .tm_sec = (int)rtc_decode(rtc, rtc->cmos[RTC_SECONDS]),
        .tm_min = (int)rtc_decode(rtc, rtc->cmos[RTC_MINUTES]),
        .tm_hour = (int)rtc_decode_hour(rtc, rtc->cmos[RTC_HOURS]),
        .tm_mday = (int)rtc_decode(rtc, rtc->cmos[RTC_DAY]),
        .tm_mon = (int)rtc_decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
        .tm_year = (int)(rtc_decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
                         rtc_decode(rtc, rtc->cmos[RTC_YEAR])) -
                   1900,
    };
    int64_t second = CLAMP((int64_t)timegm(&tm), -RTC_LIMIT, RTC_LIMIT);

    rtc->offset = second * NS_PER_S - machine_wall_ns(rtc->device.machine);
    rtc->seen_second = second;
    rtc_tell_change(rtc);
}

static bool
rtc_halted(const Rtc *rtc)
{
    return rtc->cmos[RTC_B] & B_SET;
}

static bool
rtc_alarm_matches(const Rtc *rtc, int64_t second)
{
    unsigned of_day = (unsigned)(((second % DAY) + DAY) % DAY);
    uint8_t s = rtc->cmos[RTC_SECONDS_ALARM], m = rtc->cmos[RTC_MINUTES_ALARM];
    uint8_t h = rtc->cmos[RTC_HOURS_ALARM];

    return (s >= ALARM_ANY || rtc_decode(rtc, s) == of_day % 60) &&
           (m >= ALARM_ANY || rtc_decode(rtc, m) == of_day / 60 % 60) &&
           (h >= ALARM_ANY || rtc_decode_hour(rtc, h) == of_day / 3600);
}

/* Length of the periodic interrupt's period in ns, 0 when it is off. */
static int64_t
rtc_period(const Rtc *rtc)
{
    unsigned rate = rtc->cmos[RTC_A] & A_RATE;

    if (rate == 0)
        return 0;
    /* With the 32768 Hz crystal rates 1 and 2 are those of 8 and 9. */
    if (rate <= 2)
        rate += 7;
    return (INT64_C(1) << (rate - 1)) * NS_PER_S / 32768;
}

/* Works out the flags of register C up to now. */
static void
rtc_catch_up(Rtc *rtc)
{
    int64_t second = rtc_second(rtc_now(rtc)), period = rtc_period(rtc);

    if (!rtc_halted(rtc) && second > rtc->seen_second) {
        int64_t first = MAX(rtc->seen_second + 1, second - DAY + 1);

        rtc->cmos[RTC_C] |= C_UPDATE;
        for (int64_t s = first; s <= second && !(rtc->cmos[RTC_C] & C_ALARM); s++) {
            if (rtc_alarm_matches(rtc, s))
                rtc->cmos[RTC_C] |= C_ALARM;
        }
    }
    rtc->seen_second = second;
    if (period) {
        int64_t now = machine_clock_ns(rtc->device.machine) / period;

        if (now != rtc->seen_period)
            rtc->cmos[RTC_C] |= C_PERIODIC;
        rtc->seen_period = now;
    }
}

static void
rtc_update(Rtc *rtc)
{
    uint8_t enabled = rtc->cmos[RTC_B] & (B_PERIODIC | B_ALARM | B_UPDATE);
    int64_t now = machine_clock_ns(rtc->device.machine), deadline = INT64_MAX;
    int64_t period = rtc_period(rtc);

    if (rtc->cmos[RTC_C] & enabled & B_ALARM && !(rtc->cmos[RTC_C] & C_IRQ))
        rtc->device.machine->ops->request(rtc->device.machine->host, MACHINE_WAKEUP, 0);
    if (rtc->cmos[RTC_C] & enabled)
        rtc->cmos[RTC_C] |= C_IRQ;
    else
        rtc->cmos[RTC_C] &= (uint8_t)~C_IRQ;
    gsi_source_set(&rtc->line, rtc->cmos[RTC_C] & C_IRQ);

    if ((enabled & B_PERIODIC) && period)
        deadline = (now / period + 1) * period;
    if ((enabled & (B_ALARM | B_UPDATE)) && !rtc_halted(rtc)) {
        int64_t rtc_ns = rtc_now(rtc);

        deadline = MIN(deadline, now + (rtc_second(rtc_ns) + 1) * NS_PER_S - rtc_ns);
    }
    /* While the line is high nothing more can happen that the guest would notice. */
    if (deadline == INT64_MAX || (rtc->cmos[RTC_C] & C_IRQ))
        device_timer_cancel(rtc->timer);
    else
        device_timer_set(rtc->timer, deadline);
}

static void
rtc_timer_fired(void *opaque)
{
    Rtc *rtc = opaque;

    rtc_catch_up(rtc);
    rtc_update(rtc);
}

static uint8_t
rtc_read_register(Rtc *rtc, unsigned at)
{
    int64_t now = rtc_now(rtc), second = rtc_second(now);
    uint8_t value;

    switch (at) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_WEEKDAY:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case RTC_CENTURY:
        if (!rtc_halted(rtc))
            rtc_load_time(rtc, second);
        return rtc->cmos[at];
    case RTC_A:
        value = rtc->cmos[RTC_A];
        if (!rtc_halted(rtc) && (second + 1) * NS_PER_S - now <= UPDATE_NS)
            value |= A_UPDATING;
        return value;
    case RTC_C:
        rtc_catch_up(rtc);
        rtc_update(rtc);
        value = rtc->cmos[RTC_C];
        rtc->cmos[RTC_C] = 0;
        rtc_update(rtc);
        return value;
    default:
        return rtc->cmos[at];
    }
}

static void
rtc_write_register(Rtc *rtc, unsigned at, uint8_t value)
{
    switch (at) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_WEEKDAY:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case RTC_CENTURY:
        if (!rtc_halted(rtc))
            rtc_load_time(rtc, rtc_second(rtc_now(rtc)));
        rtc->cmos[at] = value;
        if (!rtc_halted(rtc))
            rtc_store_time(rtc);
        break;
    case RTC_A:
        rtc_catch_up(rtc);
        rtc->cmos[RTC_A] = value & (uint8_t)~A_UPDATING;
        if (rtc_period(rtc))
            rtc->seen_period = machine_clock_ns(rtc->device.machine) / rtc_period(rtc);
        break;
    case RTC_B:
        rtc_catch_up(rtc);
        if ((value & B_SET) && !rtc_halted(rtc))
            rtc_load_time(rtc, rtc_second(rtc_now(rtc)));
        if (!(value & B_SET) && rtc_halted(rtc)) {
            rtc->cmos[RTC_B] = value;
            rtc_store_time(rtc);
        }
        /* SET ends update interrupts. */
        rtc->cmos[RTC_B] = value & B_SET ? value & (uint8_t)~B_UPDATE : value;
        break;
    case RTC_C:
    case RTC_D:
        return;
    default:
        rtc_catch_up(rtc);
        rtc->cmos[at] = value;
        break;
    }
    rtc_update(rtc);
}

static uint64_t
rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    Rtc *rtc = opaque;

    (void)size;
    return offset == 0 ? 0xff : rtc_read_register(rtc, rtc->index);
}

static void
rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Rtc *rtc = opaque;

    (void)size;
    /* Bit 7 of the index port masks NMI, which this machine does not raise. */
    if (offset == 0)
        rtc->index = value & (RTC_BYTES - 1);
    else
        rtc_write_register(rtc, rtc->index, (uint8_t)value);
}

static const IoOps rtc_ops = { rtc_read, rtc_write, .sizes = 1, .split = true };

static void
rtc_put(Rtc *rtc, unsigned at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        rtc->cmos[at + i] = (uint8_t)(value >> (8 * i));
}

/* Firmware waits until as many have come up. */
static void
rtc_put_cpus(Rtc *rtc)
{
    rtc_put(rtc, 0x5f, MIN(rtc->device.machine->config.n_cpus - 1, 255), 1);
}

/* What PC firmware finds about memory and processors. */
static void
rtc_describe_machine(Rtc *rtc)
{
    const MachineConfig *config = &rtc->device.machine->config;
    uint64_t low = config->ram_below_4g;
    uint64_t kib = low > 1 << 20 ? (low - (1 << 20)) >> 10 : 0;
    uint64_t above_16m = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;

    rtc_put(rtc, 0x14, 0x06, 1); /* FPU, mouse port */
    rtc_put(rtc, 0x15, 640, 2);
    rtc_put(rtc, 0x17, MIN(kib, 0xffff), 2);
    rtc_put(rtc, 0x30, MIN(kib, 0xffff), 2);
    rtc_put(rtc, 0x34, MIN(above_16m, 0xffff), 2);
    rtc_put(rtc, 0x5b, config->ram_above_4g >> 16, 3);
    rtc_put_cpus(rtc);
}

static void
rtc_start_time(Rtc *rtc)
{
    const MachineConfig *config = &rtc->device.machine->config;
    int64_t wall = machine_wall_ns(rtc->device.machine);

    rtc->offset = 0;
    if (config->rtc_base == RTC_BASE_TIME) {
        rtc->offset = config->rtc_seconds * NS_PER_S - wall;
    } else if (config->rtc_base == RTC_BASE_LOCALTIME) {
        time_t t = (time_t)rtc_second(wall);
        struct tm tm;

        if (localtime_r(&t, &tm))
            rtc->offset = tm.tm_gmtoff * NS_PER_S;
    }
    rtc->start_offset = rtc->offset;
    rtc->seen_second = rtc_second(rtc_now(rtc));
}

static bool
rtc_realize(Device *dev, GError **err)
{
    Rtc *rtc = (Rtc *)dev;

    (void)err;
    rtc->line = (GsiSource){ dev->machine, RTC_IRQ, false };
    rtc->timer = device_timer_new(dev->machine, &dev->lock, rtc_timer_fired, rtc);
    rtc->cmos[RTC_A] = 0x26;
    rtc->cmos[RTC_B] = B_24H;
    rtc->cmos[RTC_D] = D_VALID;
    rtc_describe_machine(rtc);
    rtc_start_time(rtc);
    rtc->region = (IoRegion){ "rtc", &rtc_ops, rtc, &dev->lock, 2, IO_PRIORITY_BOARD };
    return address_map_add(dev->machine->pio, &rtc->region, RTC_PORT) == 0;
}

static void
rtc_unrealize(Device *dev)
{
    Rtc *rtc = (Rtc *)dev;

    address_map_remove(dev->machine->pio, &rtc->region);
    address_map_synchronize(dev->machine->pio);
    g_clear_pointer(&rtc->timer, device_timer_free);
    gsi_source_disconnect(&rtc->line);
}

/* The battery keeps time and memory; the chip's reset line clears enables and flags. */
static void
rtc_reset(Device *dev)
{
    Rtc *rtc = (Rtc *)dev;

    g_mutex_lock(&dev->lock);
    rtc_put_cpus(rtc);
    rtc->cmos[RTC_B] &= (uint8_t) ~(B_PERIODIC | B_ALARM | B_UPDATE);
    rtc->cmos[RTC_C] = 0;
    rtc_update(rtc);
    g_mutex_unlock(&dev->lock);
}

static bool
rtc_after_load(void *state, GError **err)
{
    Rtc *rtc = state;

    if (rtc->offset > RTC_LIMIT * NS_PER_S || rtc->offset < -RTC_LIMIT * NS_PER_S)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the clock's offset is beyond all time");
    g_mutex_lock(&rtc->device.lock);
    rtc->index &= RTC_BYTES - 1;
    rtc->seen_second = rtc_second(rtc_now(rtc));
    rtc_update(rtc);
    g_mutex_unlock(&rtc->device.lock);
    return true;
}

static const SavedField rtc_fields[] = {
    SAVED(Rtc, index, 1),
    SAVED_BYTES(Rtc, cmos, 1),
    SAVED(Rtc, offset, 1),
};

static const SavedTable rtc_saved = {
    .name = "mc146818rtc",
    .version = 1,
    .oldest = 1,
    .fields = rtc_fields,
    .n_fields = G_N_ELEMENTS(rtc_fields),
    .after_load = rtc_after_load,
};

const DeviceClass rtc_class = {
    .name = "mc146818rtc",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(Rtc),
    .saved = &rtc_saved,
    .realize = rtc_realize,
    .reset = rtc_reset,
    .unrealize = rtc_unrealize,
};

void
rtc_cmos_set(Machine *machine, unsigned at, uint8_t value)
{
    g_return_if_fail(at > RTC_D && at < RTC_BYTES);
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->class == &rtc_class)
            ((Rtc *)dev)->cmos[at] = value;
    }
}
