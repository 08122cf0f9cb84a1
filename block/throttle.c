/* throttle.c - limits on how fast queues begin requests, by leaky buckets.
 *
 * A limit is a bucket that leaks at its average. A request begins while the bucket is not above its
 * rim, and then fills it, be it over the rim; so no request is too large to begin ever. The rim
 * is a tenth of a second of the average or, with a maximum, what the maximum lets through in its
 * length of a burst; within a burst longer than a second the maximum is a limit of the same kind.
 *
 * Source: QEMU's docs/throttle.txt. Here all requests of one kind wait in order, in each queue.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/throttle.h"

#include <string.h>

#include "util/error.h"

enum { TOTAL = BLOCK_LIMIT_TOTAL, READ = BLOCK_LIMIT_READ, WRITE = BLOCK_LIMIT_WRITE };
enum { KINDS = BLOCK_LIMIT_KINDS, SECOND = 1000000000 };

#define LIMIT_MAX UINT64_C(1000000000000000) /* 10^15, of either unit */
#define LENGTH_MAX UINT64_C(86400)

typedef struct {
    BlockLimit limit;
    double level, burst; /* what is in the buckets */
} Bucket;

struct BlockThrottle {
    gint refs; /* atomic */
    char *name;
    GMutex lock;
    Bucket bytes[KINDS], operations[KINDS];
    uint64_t operation_size;
    int64_t leaked; /* until then; 0: not begun */
};

static const char *const kind_names[] = { "total", "read", "write" };

/* ---- options ---- */

void
block_limits_init(BlockLimits *limits)
{
    *limits = (BlockLimits){ 0 };
    for (unsigned i = 0; i < KINDS; i++)
        limits->bytes[i].length = limits->operations[i].length = 1;
}

bool
block_limits_any(const BlockLimits *limits)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (limits->bytes[i].average > 0 || limits->operations[i].average > 0)
            return true;
    return false;
}

static bool
check_value(const char *unit, const char *kind, const char *suffix, uint64_t value, uint64_t most,
            GError **err)
{
    return value <= most || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                           "throttling.%s%s%s is %" G_GUINT64_FORMAT
                                           ", more than %" G_GUINT64_FORMAT,
                                           unit, kind, suffix, value, most);
}

static bool
limit_check(const BlockLimit *b, const char *unit, const char *kind, GError **err)
{
    if (!check_value(unit, kind, "", b->average, LIMIT_MAX, err) ||
        !check_value(unit, kind, "-max", b->max, LIMIT_MAX, err) ||
        !check_value(unit, kind, "-max-length", b->length, LENGTH_MAX, err))
        return false;
    if (b->length == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "throttling.%s%s-max-length is 0; give a number of seconds from 1",
                              unit, kind);
    if (b->max > 0 && b->average == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "throttling.%s%s-max needs throttling.%s%s", unit, kind, unit, kind);
    if (b->max > 0 && b->max < b->average)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "throttling.%s%s-max is less than throttling.%s%s", unit, kind, unit,
                              kind);
    if (b->length > 1 && b->max == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "throttling.%s%s-max-length needs throttling.%s%s-max", unit, kind,
                              unit, kind);
    return true;
}

static bool
kinds_check(const BlockLimit *b, const char *unit, GError **err)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (!limit_check(&b[i], unit, kind_names[i], err))
            return false;
    return (b[TOTAL].average == 0 || (b[READ].average == 0 && b[WRITE].average == 0)) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "throttling.%stotal and throttling.%sread or -write exclude each other",
                          unit, unit);
}

bool
block_limits_check(const BlockLimits *limits, GError **err)
{
    return kinds_check(limits->bytes, "bps-", err) &&
           kinds_check(limits->operations, "iops-", err) &&
           check_value("iops-size", "", "", limits->operation_size, LIMIT_MAX, err);
}

static bool
take(BlockOptions *opts, const char *prefix, const char *unit, const char *kind, const char *suffix,
     uint64_t *ret, bool *ret_given, GError **err)
{
    g_autofree char *key = g_strconcat(prefix, unit, kind, suffix, NULL);

    if (!block_options_has(opts, key))
        return true;
    *ret_given = true;
    return block_options_take_size(opts, key, ret, err);
}

bool
block_limits_take(BlockOptions *opts, const char *prefix, BlockLimits *ret, bool *ret_given,
                  GError **err)
{
    BlockLimits limits;

    block_limits_init(&limits);
    for (unsigned i = 0; i < 2 * KINDS; i++) {
        BlockLimit *b = i < KINDS ? &limits.bytes[i] : &limits.operations[i - KINDS];
        const char *unit = i < KINDS ? "bps-" : "iops-", *kind = kind_names[i % KINDS];

        if (!take(opts, prefix, unit, kind, "", &b->average, ret_given, err) ||
            !take(opts, prefix, unit, kind, "-max", &b->max, ret_given, err) ||
            !take(opts, prefix, unit, kind, "-max-length", &b->length, ret_given, err))
            return false;
    }
    if (!take(opts, prefix, "iops-size", "", "", &limits.operation_size, ret_given, err) ||
        !block_limits_check(&limits, err))
        return false;
    *ret = limits;
    return true;
}

/* ---- groups ---- */

BlockThrottle *
block_throttle_new(const char *name, const BlockLimits *limits)
{
    BlockThrottle *t = g_new0(BlockThrottle, 1);

    t->refs = 1;
    t->name = g_strdup(name);
    g_mutex_init(&t->lock);
    block_throttle_set(t, limits);
    return t;
}

const char *
block_throttle_name(const BlockThrottle *throttle)
{
    return throttle->name;
}

void
block_throttle_set(BlockThrottle *throttle, const BlockLimits *limits)
{
    g_mutex_lock(&throttle->lock);
    for (unsigned i = 0; i < KINDS; i++) {
        throttle->bytes[i] = (Bucket){ .limit = limits->bytes[i] };
        throttle->operations[i] = (Bucket){ .limit = limits->operations[i] };
    }
    throttle->operation_size = limits->operation_size;
    g_mutex_unlock(&throttle->lock);
}

void
block_throttle_get(BlockThrottle *throttle, BlockLimits *ret)
{
    g_mutex_lock(&throttle->lock);
    for (unsigned i = 0; i < KINDS; i++) {
        ret->bytes[i] = throttle->bytes[i].limit;
        ret->operations[i] = throttle->operations[i].limit;
    }
    ret->operation_size = throttle->operation_size;
    g_mutex_unlock(&throttle->lock);
}

BlockThrottle *
block_throttle_ref(BlockThrottle *throttle)
{
    g_atomic_int_inc(&throttle->refs);
    return throttle;
}

void
block_throttle_unref(BlockThrottle *throttle)
{
    if (!throttle || !g_atomic_int_dec_and_test(&throttle->refs))
        return;
    g_mutex_clear(&throttle->lock);
    g_free(throttle->name);
    g_free(throttle);
}

/* ---- buckets ---- */

static void
bucket_leak(Bucket *b, double seconds)
{
    b->level = MAX(b->level - (double)b->limit.average * seconds, 0);
    b->burst = MAX(b->burst - (double)b->limit.max * seconds, 0);
}

/* Seconds until a request may begin; 0 or less: now. */
static double
bucket_wait(const Bucket *b)
{
    double rim, wait;

    if (b->limit.average == 0)
        return 0;
    rim = b->limit.max > 0 ? (double)b->limit.max * (double)b->limit.length
                           : (double)b->limit.average / 10;
    wait = (b->level - rim) / (double)b->limit.average;
    if (b->limit.length > 1)
        wait = MAX(wait, (b->burst - (double)b->limit.max / 10) / (double)b->limit.max);
    return wait;
}

static void
bucket_fill(Bucket *b, double units)
{
    b->level += units;
    if (b->limit.length > 1)
        b->burst += units;
}

int64_t
block_throttle_ask(BlockThrottle *throttle, bool write, uint64_t bytes, int64_t now)
{
    unsigned kind = write ? WRITE : READ;
    Bucket *buckets[] = { &throttle->bytes[TOTAL], &throttle->bytes[kind],
                          &throttle->operations[TOTAL], &throttle->operations[kind] };
    double wait = 0, operations = 1;

    g_mutex_lock(&throttle->lock);
    if (throttle->leaked != 0 && now > throttle->leaked)
        for (unsigned i = 0; i < KINDS; i++) {
            bucket_leak(&throttle->bytes[i], (double)(now - throttle->leaked) / SECOND);
            bucket_leak(&throttle->operations[i], (double)(now - throttle->leaked) / SECOND);
        }
    throttle->leaked = MAX(now, throttle->leaked);
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets); i++)
        wait = MAX(wait, bucket_wait(buckets[i]));
    if (wait <= 0) {
        if (throttle->operation_size > 0 && bytes > throttle->operation_size)
            operations = (double)bytes / (double)throttle->operation_size;
        for (unsigned i = 0; i < G_N_ELEMENTS(buckets); i++)
            bucket_fill(buckets[i], i < 2 ? (double)bytes : operations);
    }
    g_mutex_unlock(&throttle->lock);
    return wait <= 0 ? 0 : (int64_t)(wait * SECOND) + 1;
}
