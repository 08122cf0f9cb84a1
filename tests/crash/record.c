/* record.c - a log of what was done to files, and the files as a crash may leave them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, FILES_MAX = 4, WHOLE = 4096 };

typedef struct {
    HookKind kind;
    unsigned file;
    uint64_t offset, length, start, end; /* end: 0 while it is under way */
    bool durable, keep_size;
    uint8_t *data;
} Change;

typedef struct {
    GByteArray *bytes;  /* on stable storage */
    GPtrArray *pending; /* of Change, borrowed, by start */
    char *name;
    dev_t device;
    ino_t inode;
} File;

struct Record {
    File files[FILES_MAX];
    unsigned n_files, n_changes;
    GMutex lock;
    uint64_t clock;
    GPtrArray *events; /* of Change, by their end */
    GPtrArray *starts; /* of Change, by their start; owned */
    guint at_event, at_start;
    int (*fault)(void *opaque, HookCall *call);
    void *opaque;
};

static Record *recording;

/* Which of the files a call is on, or how many there are. */
static unsigned
file_of(const HookCall *call)
{
    struct stat st;
    unsigned file = 0;

    if (fstat(call->fd, &st) < 0)
        return recording->n_files;
    while (file < recording->n_files && (recording->files[file].device != st.st_dev ||
                                         recording->files[file].inode != st.st_ino))
        file++;
    return file;
}

static Change *
change_new(const HookCall *call, unsigned file)
{
    Change *c = g_new0(Change, 1);
    size_t done = 0;

    c->kind = call->kind;
    c->file = file;
    c->offset = call->offset;
    c->length = call->length;
    c->durable = call->durable != 0;
    c->keep_size = call->keep_size != 0;
    if (call->kind == HOOK_WRITE) {
        c->data = g_malloc(call->length + 1);
        for (int i = 0; i < call->n_iov && done < call->length; i++) {
            size_t n = MIN(call->iov[i].iov_len, call->length - done);

            memcpy(c->data + done, call->iov[i].iov_base, n);
            done += n;
        }
    }
    return c;
}

static int
record_begin(HookCall *call)
{
    unsigned file = file_of(call);
    int r = 0;
    Change *c;

    call->token = NULL;
    if (file == recording->n_files)
        return 0;
    if (recording->fault)
        r = recording->fault(recording->opaque, call);
    if (r < 0 || call->kind == HOOK_READ)
        return r;
    call->token = c = change_new(call, file);
    g_mutex_lock(&recording->lock);
    c->start = ++recording->clock;
    g_ptr_array_add(recording->starts, c);
    recording->n_changes += c->kind != HOOK_SYNC;
    g_mutex_unlock(&recording->lock);
    return 0;
}

static void
record_end(const HookCall *call, int64_t result)
{
    Change *c = call->token;

    if (!c)
        return;
    g_mutex_lock(&recording->lock);
    c->end = ++recording->clock;
    if (c->kind == HOOK_WRITE)
        c->length = result > 0 ? (uint64_t)result : 0;
    else if (result < 0)
        c->length = 0, c->kind = HOOK_PUNCH; /* nothing */
    g_ptr_array_add(recording->events, c);
    g_mutex_unlock(&recording->lock);
}

static const Hooks record_hooks = { .begin = record_begin, .end = record_end };

static void
change_free(gpointer data)
{
    g_free(((Change *)data)->data);
    g_free(data);
}

Record *
record_start(const char *dir, const char *const *names)
{
    Record *r = g_new0(Record, 1);

    g_mutex_init(&r->lock);
    r->events = g_ptr_array_new();
    r->starts = g_ptr_array_new_with_free_func(change_free);
    for (; names[r->n_files]; r->n_files++) {
        File *f = &r->files[r->n_files];
        g_autofree char *path = g_build_filename(dir, names[r->n_files], NULL);
        g_autofree char *text = NULL;
        struct stat st;
        gsize length;

        if (!g_file_get_contents(path, &text, &length, NULL) || stat(path, &st) < 0)
            g_error("'%s' cannot be read", path);
        f->bytes = g_byte_array_new();
        g_byte_array_append(f->bytes, (uint8_t *)text, length);
        f->pending = g_ptr_array_new();
        f->name = g_strdup(names[r->n_files]);
        f->device = st.st_dev;
        f->inode = st.st_ino;
    }
    recording = r;
    hooks_set(&record_hooks);
    return r;
}

void
record_stop(Record *r)
{
    if (recording != r)
        return;
    hooks_set(NULL);
    recording = NULL;
}

void
record_set_fault(Record *r, int (*fault)(void *opaque, HookCall *call), void *opaque)
{
    g_mutex_lock(&r->lock);
    r->opaque = opaque;
    r->fault = fault;
    g_mutex_unlock(&r->lock);
}

void
record_free(Record *r)
{
    if (!r)
        return;
    record_stop(r);
    for (unsigned i = 0; i < r->n_files; i++) {
        g_byte_array_unref(r->files[i].bytes);
        g_ptr_array_unref(r->files[i].pending);
        g_free(r->files[i].name);
    }
    g_ptr_array_unref(r->events);
    g_ptr_array_unref(r->starts);
    g_mutex_clear(&r->lock);
    g_free(r);
}

uint64_t
record_now(Record *r)
{
    uint64_t now;

    g_mutex_lock(&r->lock);
    now = ++r->clock;
    g_mutex_unlock(&r->lock);
    return now;
}

unsigned
record_changes(const Record *r)
{
    return r->n_changes;
}

/* ---- replay ---- */

static void
file_grow(GByteArray *bytes, uint64_t size)
{
    guint old = bytes->len;

    if (size <= old)
        return;
    g_byte_array_set_size(bytes, (guint)size);
    memset(bytes->data + old, 0, size - old);
}

/* Does @c to @bytes; with @torn only to some sectors. */
static void
change_apply(const Change *c, GByteArray *bytes, GRand *torn)
{
    uint64_t end = c->offset + c->length;

    if (c->kind == HOOK_TRUNCATE) {
        file_grow(bytes, c->length);
        g_byte_array_set_size(bytes, (guint)c->length);
        return;
    }
    if (c->length == 0 || c->kind == HOOK_SYNC)
        return;
    if (c->kind == HOOK_ALLOCATE || c->kind == HOOK_ZERO) {
        if (!c->keep_size)
            file_grow(bytes, end);
        if (c->kind == HOOK_ALLOCATE)
            return;
    }
    if (c->kind != HOOK_WRITE)
        end = MIN(end, bytes->len);
    for (uint64_t at = c->offset; at < end;) {
        uint64_t to = torn ? MIN(end, (at / SECTOR + 1) * SECTOR) : end;

        if (!torn || g_rand_boolean(torn)) {
            file_grow(bytes, to);
            if (c->kind == HOOK_WRITE)
                memcpy(bytes->data + at, c->data + (at - c->offset), to - at);
            else
                memset(bytes->data + at, 0, to - at);
        }
        at = to;
    }
}

static bool
overlaps(const Change *a, const Change *b)
{
    return a->kind == HOOK_TRUNCATE || b->kind == HOOK_TRUNCATE ||
           (a->offset < b->offset + b->length && b->offset < a->offset + a->length);
}

/* With @c, which is durable, everything that was done before to the same places is on stable
 * storage, and what was done to those places before that: otherwise the earlier would be played
 * after the later. */
static void
mark_below(GPtrArray *pending, const Change *c, bool *marks)
{
    for (guint i = pending->len; i-- > 0;) {
        const Change *p = pending->pdata[i];

        marks[i] |= p == c || (p->start < c->start && overlaps(p, c));
        for (guint j = 0; marks[i] && j < i; j++)
            marks[j] |= overlaps(pending->pdata[j], p);
    }
}

/* @c is over: what it makes durable is no longer pending. */
static void
settle(Record *r, const Change *c)
{
    File *f = &r->files[c->file];
    g_autofree bool *marks = g_new0(bool, f->pending->len + 1);
    guint kept = 0;

    if (c->kind != HOOK_SYNC)
        mark_below(f->pending, c, marks);
    for (guint i = 0; i < f->pending->len; i++) {
        const Change *p = f->pending->pdata[i];

        if (c->kind == HOOK_SYNC ? p->end && p->end < c->start : marks[i])
            change_apply(p, f->bytes, NULL);
        else
            f->pending->pdata[kept++] = f->pending->pdata[i];
    }
    g_ptr_array_set_size(f->pending, (gint)kept);
}

bool
record_next(Record *r, uint64_t *ret_time)
{
    const Change *c;

    if (r->at_event == r->events->len)
        return false;
    c = r->events->pdata[r->at_event++];
    for (; r->at_start < r->starts->len; r->at_start++) {
        Change *s = r->starts->pdata[r->at_start];

        if (s->start > c->end)
            break;
        if (s->kind != HOOK_SYNC)
            g_ptr_array_add(r->files[s->file].pending, s);
    }
    if (c->kind == HOOK_SYNC || c->durable)
        settle(r, c);
    *ret_time = c->end;
    return true;
}

unsigned
record_pending(const Record *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->n_files; i++)
        n += r->files[i].pending->len;
    return n;
}

/* Holes where there is nothing: a replay directory may be in memory. */
static void
file_write(const char *path, const GByteArray *bytes)
{
    static const uint8_t zeroes[WHOLE];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && ftruncate(fd, bytes->len) == 0;

    for (guint at = 0, next; ok && at < bytes->len; at = next) {
        guint n = MIN(WHOLE, bytes->len - at);

        next = at + n;
        if (memcmp(bytes->data + at, zeroes, n) == 0)
            continue;
        while (next < bytes->len &&
               memcmp(bytes->data + next, zeroes, MIN(WHOLE, bytes->len - next)) != 0)
            next += MIN(WHOLE, bytes->len - next);
        ok = pwrite(fd, bytes->data + at, next - at, at) == (ssize_t)(next - at);
    }
    if (!ok)
        g_error("'%s' cannot be written: %s", path, g_strerror(errno));
    close(fd);
}

void
record_write(Record *r, RecordChoice choice, GRand *rand, const char *dir)
{
    static const double chance[RECORD_CHOICES] = {
        [RECORD_ALL] = 1,    [RECORD_SOME] = 0.5, [RECORD_FEW] = 0.15,
        [RECORD_MOST] = 0.9, [RECORD_TORN] = 1,   [RECORD_NONE] = 0,
    };

    for (unsigned i = 0; i < r->n_files; i++) {
        File *f = &r->files[i];
        g_autofree char *path = g_build_filename(dir, f->name, NULL);
        g_autoptr(GByteArray) bytes = g_byte_array_new();

        g_byte_array_append(bytes, f->bytes->data, f->bytes->len);
        for (guint k = 0; k < f->pending->len; k++)
            if (chance[choice] >= 1 || g_rand_double(rand) < chance[choice])
                change_apply(f->pending->pdata[k], bytes, choice == RECORD_TORN ? rand : NULL);
        file_write(path, bytes);
    }
}
