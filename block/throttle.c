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

enum { TOTAL, READ, WRITE, KINDS };
enum { SECOND = 1000000000 };

#define LIMIT_MAX UINT64_C(1000000000000000) /* 10^15, of either unit */
#define LENGTH_MAX UINT64_C(86400)

typedef struct {
    uint64_t average, max, length; /* per second, and seconds; average 0: no limit */
    double level, burst;           /* what is in the buckets */
} Bucket;

struct BlockThrottle {
    gint refs; /* atomic */
    GMutex lock;
    Bucket bytes[KINDS], operations[KINDS];
    uint64_t operation_size; /* bytes that count as one operation; 0: any number */
    int64_t leaked;          /* until then; 0: not begun */
};

static const char *const kind_names[] = { "total", "read", "write" };

/* ---- options ---- */

static bool
take(BlockOptions *opts, const char *unit, const char *kind, const char *suffix, uint64_t max,
     uint64_t *ret, bool *ret_given, GError **err)
{
    g_autofree char *key = g_strconcat("throttling.", unit, kind, suffix, NULL);

    if (!block_options_has(opts, key))
        return true;
    *ret_given = true;
    if (!block_options_take_size(opts, key, ret, err))
        return false;
    return *ret <= max || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                         "block option '%s' is %" G_GUINT64_FORMAT
                                         ", more than %" G_GUINT64_FORMAT,
                                         key, *ret, max);
}

static bool
bucket_take(BlockOptions *opts, const char *unit, const char *kind, Bucket *b, bool *given,
            GError **err)
{
    b->length = 1;
    if (!take(opts, unit, kind, "", LIMIT_MAX, &b->average, given, err) ||
        !take(opts, unit, kind, "-max", LIMIT_MAX, &b->max, given, err) ||
        !take(opts, unit, kind, "-max-length", LENGTH_MAX, &b->length, given, err))
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
buckets_take(BlockOptions *opts, const char *unit, Bucket *b, bool *given, GError **err)
{
    for (unsigned i = 0; i < KINDS; i++)
        if (!bucket_take(opts, unit, kind_names[i], &b[i], given, err))
            return false;
    return (b[TOTAL].average == 0 || (b[READ].average == 0 && b[WRITE].average == 0)) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "throttling.%stotal and throttling.%sread or -write exclude each other",
                          unit, unit);
}

bool
block_throttle_take(BlockOptions *opts, BlockThrottle **ret, GError **err)
{
    BlockThrottle *t = g_new0(BlockThrottle, 1);
    bool given = false;

    t->refs = 1;
    g_mutex_init(&t->lock);
    if (!buckets_take(opts, "bps-", t->bytes, &given, err) ||
        !buckets_take(opts, "iops-", t->operations, &given, err) ||
        !take(opts, "iops-size", "", "", LIMIT_MAX, &t->operation_size, &given, err)) {
        block_throttle_unref(t);
        return false;
    }
    if (given)
        *ret = t;
    else
        block_throttle_unref(t);
    return true;
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
    g_free(throttle);
}

/* ---- buckets ---- */

static void
bucket_leak(Bucket *b, double seconds)
{
    b->level = MAX(b->level - (double)b->average * seconds, 0);
    b->burst = MAX(b->burst - (double)b->max * seconds, 0);
}

/* Seconds until a request may begin; 0 or less: now. */
static double
bucket_wait(const Bucket *b)
{
    double rim, wait;

    if (b->average == 0)
        return 0;
    rim = b->max > 0 ? (double)b->max * (double)b->length : (double)b->average / 10;
    wait = (b->level - rim) / (double)b->average;
    if (b->length > 1)
        wait = MAX(wait, (b->burst - (double)b->max / 10) / (double)b->max);
    return wait;
}

static void
bucket_fill(Bucket *b, double units)
{
    b->level += units;
    if (b->length > 1)
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
