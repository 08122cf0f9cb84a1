/* model.c - what a guest may find on its disk after a crash at any moment.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/model.h"

#include <inttypes.h>
#include <string.h>

#define NOISE (UINT64_C(1) << 32)

typedef struct {
    uint64_t begin, end, stamp;
    ModelFlags flags;
} Version;

typedef struct {
    uint64_t begin, end, size;
} Span;

typedef struct {
    char *name;
    uint8_t *content;
    uint64_t size, begin, end, gone_begin, gone_end;
} Snapshot;

struct Model {
    GArray **sectors; /* of Version, each */
    uint64_t n_sectors;
    GArray *sizes, *flushes; /* of Span */
    GPtrArray *snapshots;
};

static void
snapshot_free(gpointer data)
{
    Snapshot *s = data;

    g_free(s->name);
    g_free(s->content);
    g_free(s);
}

Model *
model_new(uint64_t size, uint64_t max_size)
{
    Model *m = g_new0(Model, 1);
    const Span span = { .size = size };
    const Version zero = { 0 };

    m->n_sectors = max_size / MODEL_SECTOR;
    m->sectors = g_new(GArray *, m->n_sectors);
    for (uint64_t i = 0; i < m->n_sectors; i++) {
        m->sectors[i] = g_array_new(FALSE, FALSE, sizeof(Version));
        g_array_append_val(m->sectors[i], zero);
    }
    m->sizes = g_array_new(FALSE, FALSE, sizeof(Span));
    g_array_append_val(m->sizes, span);
    m->flushes = g_array_new(FALSE, FALSE, sizeof(Span));
    m->snapshots = g_ptr_array_new_with_free_func(snapshot_free);
    return m;
}

void
model_free(Model *m)
{
    if (!m)
        return;
    for (uint64_t i = 0; i < m->n_sectors; i++)
        g_array_unref(m->sectors[i]);
    g_free(m->sectors);
    g_array_unref(m->sizes);
    g_array_unref(m->flushes);
    g_ptr_array_unref(m->snapshots);
    g_free(m);
}

static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void
model_fill(uint8_t *buf, uint64_t stamp, uint64_t n)
{
    for (uint64_t s = stamp; s < stamp + n; s++)
        for (unsigned i = 0; i < MODEL_SECTOR / 8; i++, buf += 8) {
            uint64_t word = i > 0 && s & NOISE ? mix(s + i * UINT64_C(0x9e3779b97f4a7c15)) : s;

            memcpy(buf, &word, 8);
        }
}

bool
model_stamp_of(const uint8_t *sector, uint64_t *ret)
{
    uint8_t should[MODEL_SECTOR];

    memcpy(ret, sector, 8);
    model_fill(should, *ret, 1);
    return memcmp(sector, should, MODEL_SECTOR) == 0;
}

void
model_change(Model *m, uint64_t first, uint64_t n, uint64_t stamp, ModelFlags flags, uint64_t begin,
             uint64_t end)
{
    for (uint64_t i = 0; i < n && first + i < m->n_sectors; i++) {
        Version v = { .begin = begin,
                      .end = end,
                      .flags = flags,
                      .stamp = flags & MODEL_SAME ? stamp : stamp + i };

        g_array_append_val(m->sectors[first + i], v);
    }
}

void
model_resize(Model *m, uint64_t old_size, uint64_t size, uint64_t begin, uint64_t end)
{
    const Span span = { .begin = begin, .end = end, .size = size };
    uint64_t from = MIN(size, old_size) / MODEL_SECTOR;

    model_change(m, from, m->n_sectors - from, 0, MODEL_SAME, begin, end);
    g_array_append_val(m->sizes, span);
}

void
model_flush(Model *m, uint64_t begin, uint64_t end)
{
    const Span span = { .begin = begin, .end = end };

    g_array_append_val(m->flushes, span);
}

/* What was over by then is on stable storage. */
static uint64_t
safe_until(const Model *m, uint64_t time)
{
    uint64_t safe = 0;

    for (guint i = 0; i < m->flushes->len; i++) {
        const Span *f = &g_array_index(m->flushes, Span, i);

        if (f->end <= time)
            safe = MAX(safe, f->begin);
    }
    return safe;
}

void
model_lose(Model *m, uint64_t time)
{
    uint64_t safe = safe_until(m, time);

    for (uint64_t i = 0; i < m->n_sectors; i++)
        for (guint k = 0; k < m->sectors[i]->len; k++) {
            Version *v = &g_array_index(m->sectors[i], Version, k);

            if (v->end > safe && !(v->flags & MODEL_DURABLE))
                v->end = MODEL_FOREVER;
        }
    for (guint i = 0; i < m->sizes->len; i++)
        if (g_array_index(m->sizes, Span, i).end > safe)
            g_array_index(m->sizes, Span, i).end = MODEL_FOREVER;
    for (guint i = 0; i < m->snapshots->len; i++) {
        Snapshot *s = m->snapshots->pdata[i];

        if (s->end > safe)
            s->end = MODEL_FOREVER;
        if (s->gone_end > safe)
            s->gone_end = MODEL_FOREVER;
    }
}

static bool
size_may_be(const Model *m, uint64_t size, uint64_t time, uint64_t safe)
{
    for (guint i = m->sizes->len; i-- > 0;) {
        const Span *s = &g_array_index(m->sizes, Span, i);

        if (s->begin > time)
            continue;
        if (s->size == size)
            return true;
        if (s->end <= safe)
            return false;
    }
    return false;
}

static bool
sector_may_be(const GArray *versions, uint64_t stamp, uint64_t time, uint64_t safe)
{
    for (guint i = versions->len; i-- > 0;) {
        const Version *v = &g_array_index(versions, Version, i);

        if (v->begin > time)
            continue;
        if (v->stamp == stamp)
            return true;
        if (!(v->flags & MODEL_MAYBE) &&
            (v->end <= safe || (v->flags & MODEL_DURABLE && v->end <= time)))
            return false;
    }
    return false;
}

static char *
sector_text(const GArray *versions, uint64_t sector, const uint8_t *content, uint64_t time,
            uint64_t safe)
{
    GString *text = g_string_new(NULL);
    uint64_t stamp;
    bool known = model_stamp_of(content, &stamp);

    g_string_append_printf(text,
                           "at moment %" PRIu64 " (safe until %" PRIu64 ") sector %" PRIu64
                           " is %s%" PRIx64 ", and not one of",
                           time, safe, sector, known ? "" : "broken, begins with ", stamp);
    for (guint i = versions->len; i-- > 0;) {
        const Version *v = &g_array_index(versions, Version, i);

        g_string_append_printf(text, " %" PRIx64 "@%" PRIu64 "-%" PRIu64 "%s", v->stamp, v->begin,
                               v->end, v->flags & MODEL_MAYBE ? "?" : "");
    }
    return g_string_free(text, FALSE);
}

char *
model_check(const Model *m, const uint8_t *content, uint64_t size, uint64_t time)
{
    uint64_t safe = safe_until(m, time);

    if (!size_may_be(m, size, time, safe))
        return g_strdup_printf("at moment %" PRIu64 " the disk has %" PRIu64 " bytes", time, size);
    for (uint64_t i = 0; i < size / MODEL_SECTOR && i < m->n_sectors; i++) {
        uint64_t stamp;

        if (!model_stamp_of(content + i * MODEL_SECTOR, &stamp) ||
            !sector_may_be(m->sectors[i], stamp, time, safe))
            return sector_text(m->sectors[i], i, content + i * MODEL_SECTOR, time, safe);
    }
    return NULL;
}

/* ---- snapshots ---- */

void
model_snapshot(Model *m, const char *name, const uint8_t *content, uint64_t size, uint64_t begin,
               uint64_t end)
{
    Snapshot *s = g_new0(Snapshot, 1);

    s->name = g_strdup(name);
    s->content = g_memdup2(content, size);
    s->size = size;
    s->begin = begin;
    s->end = end;
    s->gone_begin = s->gone_end = MODEL_FOREVER;
    g_ptr_array_add(m->snapshots, s);
}

static Snapshot *
find(const Model *m, const char *name)
{
    for (guint i = 0; i < m->snapshots->len; i++)
        if (strcmp(((Snapshot *)m->snapshots->pdata[i])->name, name) == 0)
            return m->snapshots->pdata[i];
    return NULL;
}

void
model_snapshot_gone(Model *m, const char *name, uint64_t begin, uint64_t end)
{
    Snapshot *s = find(m, name);

    s->gone_begin = begin;
    s->gone_end = end;
}

void
model_snapshot_apply(Model *m, const char *name, uint64_t begin, uint64_t end)
{
    const Snapshot *s = find(m, name);
    const Span span = { .begin = begin, .end = end, .size = s->size };

    for (uint64_t i = 0; i < m->n_sectors; i++) {
        Version v = { .begin = begin, .end = end };

        if (i < s->size / MODEL_SECTOR)
            memcpy(&v.stamp, s->content + i * MODEL_SECTOR, 8);
        g_array_append_val(m->sectors[i], v);
    }
    g_array_append_val(m->sizes, span);
}

static bool
is_there(const Snapshot *s)
{
    return s->gone_begin == MODEL_FOREVER;
}

unsigned
model_snapshots(const Model *m)
{
    unsigned n = 0;

    for (guint i = 0; i < m->snapshots->len; i++)
        n += ((Snapshot *)m->snapshots->pdata[i])->gone_end == MODEL_FOREVER;
    return n;
}

const char *
model_snapshot_any(const Model *m, GRand *rand)
{
    unsigned n = 0;
    const char *name = NULL;

    for (guint i = 0; i < m->snapshots->len; i++)
        if (is_there(m->snapshots->pdata[i]) && g_rand_int_range(rand, 0, (gint32)++n) == 0)
            name = ((Snapshot *)m->snapshots->pdata[i])->name;
    return name;
}

char *
model_check_snapshot(const Model *m, const char *name, const uint8_t *content, uint64_t size,
                     uint64_t time)
{
    const Snapshot *s = find(m, name);

    if (!s || s->begin > time)
        return g_strdup_printf("at moment %" PRIu64 " there is a snapshot '%s'", time, name);
    if (size != s->size)
        return g_strdup_printf("snapshot '%s' has %" PRIu64 " bytes, not %" PRIu64, name, size,
                               s->size);
    for (uint64_t at = 0; at < size; at += MODEL_SECTOR)
        if (memcmp(content + at, s->content + at, MODEL_SECTOR) != 0)
            return g_strdup_printf("at moment %" PRIu64 " snapshot '%s' (of %" PRIu64
                                   ") has other bytes in sector %" PRIu64,
                                   time, name, s->end, at / MODEL_SECTOR);
    return NULL;
}

char *
model_check_names(const Model *m, const char *const *names, uint64_t time)
{
    uint64_t safe = safe_until(m, time);

    for (guint i = 0; i < m->snapshots->len; i++) {
        const Snapshot *s = m->snapshots->pdata[i];
        bool found = g_strv_contains(names, s->name);

        if (!found && s->end <= safe && s->gone_begin > time)
            return g_strdup_printf("at moment %" PRIu64 " snapshot '%s' is lost", time, s->name);
        if (found && s->gone_end <= safe)
            return g_strdup_printf("at moment %" PRIu64 " snapshot '%s' is back", time, s->name);
    }
    return NULL;
}
