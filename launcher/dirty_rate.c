/* dirty_rate.c - how fast a guest writes to its memory, by samples of its pages: QMP
 * calc-dirty-rate and query-dirty-rate (QEMU 7.2 qapi/migration.json).
 *
 * Pages chosen by chance are hashed, and again when the time is over; the part that changed stands
 * for all of memory. A few pages at a time, so that the main thread does not stand still. Leaves
 * out the modes dirty-bitmap and dirty-ring.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/dirty_rate.h"

#include <string.h>

#include "launcher/qmp_handlers.h"
#include "launcher/vm.h"
#include "util/error.h"

enum {
    SECONDS_MIN = 1,
    SECONDS_MAX = 60,
    SAMPLES_DEFAULT = 512, /* pages of each GiB */
    SAMPLES_MIN = 128,
    SAMPLES_MAX = 4096,
    SAMPLES_LEAST = 512, /* of a small guest's memory */
    PAGE = 4096,
    PAGES_AT_ONCE = 64,
};
#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

typedef struct {
    const uint8_t *page;
    uint64_t hash;
} Sample;

struct DirtyRate {
    uint64_t seconds, per_gib, memory; /* @memory: bytes */
    gint64 begun;                      /* seconds since 1970 */
    gint64 hashed;                     /* when the first page was, monotonic microseconds */
    GArray *samples;                   /* Sample */
    guint next;                        /* the first that is not looked at yet, in this pass */
    guint changed;
    bool again;      /* the second pass */
    GSource *source; /* what is under way; NULL: measured */
    int64_t rate;    /* MiB a second */
};

static gboolean look(void *opaque);

static void
schedule(DirtyRate *rate, GSource *source)
{
    if (rate->source) {
        g_source_destroy(rate->source);
        g_source_unref(rate->source);
    }
    rate->source = source;
    if (!source)
        return;
    g_source_set_callback(source, look, rate, NULL);
    g_source_attach(source, NULL);
}

void
dirty_rate_free(DirtyRate *rate)
{
    if (!rate)
        return;
    schedule(rate, NULL);
    g_array_unref(rate->samples);
    g_free(rate);
}

static uint64_t
hash_page(const uint8_t *page)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < PAGE; i += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, page + i, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return hash;
}

static void
finish(DirtyRate *rate)
{
    double seconds = (double)(g_get_monotonic_time() - rate->hashed) / G_USEC_PER_SEC;
    double part = (double)rate->changed / (double)rate->samples->len;

    rate->rate = (int64_t)(part * (double)rate->memory / (double)MIB / MAX(seconds, 0.001));
    g_array_set_size(rate->samples, 0);
    schedule(rate, NULL);
}

/* A few samples of this pass; after the first one the time goes by. */
static gboolean
look(void *opaque)
{
    DirtyRate *rate = opaque;
    guint end = MIN(rate->next + PAGES_AT_ONCE, rate->samples->len);

    for (; rate->next < end; rate->next++) {
        Sample *sample = &g_array_index(rate->samples, Sample, rate->next);
        uint64_t hash = hash_page(sample->page);

        rate->changed += rate->again && hash != sample->hash;
        sample->hash = hash;
    }
    if (rate->next < rate->samples->len) {
        if (rate->next == PAGES_AT_ONCE && rate->again)
            schedule(rate, g_idle_source_new()); /* was the timer */
        return G_SOURCE_CONTINUE;
    }
    rate->next = 0;
    if (rate->again)
        finish(rate);
    else
        schedule(rate, g_timeout_source_new((guint)rate->seconds * 1000));
    rate->again = true;
    return G_SOURCE_CONTINUE; /* of a source that is destroyed: of no consequence */
}

DirtyRate *
dirty_rate_new(const GuestMemory *memory, uint64_t seconds, uint64_t per_gib)
{
    DirtyRate *rate = g_new0(DirtyRate, 1);
    size_t n;
    const GuestRam *ram = guest_memory_list(memory, &n);

    rate->seconds = seconds;
    rate->per_gib = per_gib;
    rate->memory = guest_memory_size(memory);
    rate->begun = g_get_real_time() / G_USEC_PER_SEC;
    rate->hashed = g_get_monotonic_time();
    rate->samples = g_array_new(FALSE, FALSE, sizeof(Sample));
    for (size_t i = 0; i < n; i++) {
        uint64_t pages = ram[i].size / PAGE;
        uint64_t wanted = MAX(ram[i].size * per_gib / GIB, MIN(pages, SAMPLES_LEAST));

        for (uint64_t k = 0; k < wanted; k++) {
            /* one from each of as many equal parts: none twice */
            uint64_t from = pages * k / wanted, to = pages * (k + 1) / wanted;
            uint64_t page = from + (uint64_t)(g_random_double() * (double)(to - from));
            Sample sample = { ram[i].host + page * PAGE, 0 };

            g_array_append_val(rate->samples, sample);
        }
    }
    schedule(rate, g_idle_source_new());
    return rate;
}

/* ---- QMP ---- */

static bool
take_range(JsonObject *args, const char *key, uint64_t from, uint64_t to, uint64_t *value,
           GError **err)
{
    gint64 given = json_object_get_int_member_with_default(args, key, (gint64)*value);

    if (given < (gint64)from || given > (gint64)to)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "%s is out of range[%" G_GUINT64_FORMAT ", %" G_GUINT64_FORMAT "].",
                              key, from, to);
    *value = (uint64_t)given;
    return true;
}

JsonNode *
qmp_calc_dirty_rate(QmpSession *session, JsonObject *args, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    const char *mode = json_object_get_string_member_with_default(args, "mode", "page-sampling");
    uint64_t seconds = 0, samples = SAMPLES_DEFAULT;

    if (vm->dirty_rate && vm->dirty_rate->source)
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "the dirty rate is already being measured");
    else if (strcmp(mode, "page-sampling"))
        kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                       "mode '%s' is not offered; there is: page-sampling", mode);
    else if (take_range(args, "calc-time", SECONDS_MIN, SECONDS_MAX, &seconds, err) &&
             take_range(args, "sample-pages", SAMPLES_MIN, SAMPLES_MAX, &samples, err)) {
        dirty_rate_free(vm->dirty_rate);
        vm->dirty_rate = dirty_rate_new(vm->machine->memory, seconds, samples);
    }
    return NULL;
}

JsonNode *
qmp_query_dirty_rate(QmpSession *session, JsonObject *args, GError **err)
{
    const DirtyRate *rate = qmp_session_vm(session)->dirty_rate;
    JsonObject *info = json_object_new();

    (void)args, (void)err;
    json_object_set_string_member(info, "status",
                                  !rate          ? "unstarted"
                                  : rate->source ? "measuring"
                                                 : "measured");
    if (rate && !rate->source)
        json_object_set_int_member(info, "dirty-rate", rate->rate);
    json_object_set_int_member(info, "start-time", rate ? rate->begun : 0);
    json_object_set_int_member(info, "calc-time", rate ? (gint64)rate->seconds : 0);
    json_object_set_int_member(info, "sample-pages",
                               rate ? (gint64)rate->per_gib : SAMPLES_DEFAULT);
    json_object_set_string_member(info, "mode", "page-sampling");
    return qmp_node_object(info);
}
