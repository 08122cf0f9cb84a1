/* memory.c - guest RAM as devices see it: bounded access by guest physical address.
 *
 * The list of stretches is immutable and replaced as a whole, so readers need no lock. Replaced
 * lists are kept until the end: RAM is added a handful of times in a guest's life.
 *
 * Leaves out: taking RAM away.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/memory.h"

#include "util/error.h"

#include <errno.h>
#include <string.h>

enum { PAGE_BITS = 12, WORD_PAGES = 64 };

typedef struct {
    size_t n;
    GuestRam ram[];
} RamList;

/* Which pages were written, for the stretches there were when it was first switched on. */
typedef struct {
    const RamList *list;
    uint64_t *pages[]; /* by stretch; words are atomic */
} RamLog;

struct GuestMemory {
    RamList *list;    /* atomic */
    GPtrArray *lists; /* every list there has been, the current one too */
    RamLog *log;      /* NULL: never used. Kept to the end once made: threads look at it */
    bool logs;        /* atomic */
};

static RamList *
guest_memory_current(const GuestMemory *memory)
{
    return __atomic_load_n(&memory->list, __ATOMIC_ACQUIRE);
}

GuestMemory *
guest_memory_new(void)
{
    GuestMemory *memory = g_new0(GuestMemory, 1);

    memory->lists = g_ptr_array_new_with_free_func(g_free);
    memory->list = g_malloc0(sizeof(RamList));
    g_ptr_array_add(memory->lists, memory->list);
    return memory;
}

void
guest_memory_free(GuestMemory *memory)
{
    if (!memory)
        return;
    if (memory->log)
        for (size_t i = 0; i < memory->log->list->n; i++)
            g_free(memory->log->pages[i]);
    g_free(memory->log);
    g_ptr_array_unref(memory->lists);
    g_free(memory);
}

bool
guest_memory_add(GuestMemory *memory, const GuestRam *ram, GError **err)
{
    const RamList *old = guest_memory_current(memory);
    RamList *list;
    size_t at = 0;

    if (ram->size == 0 || ((ram->size | ram->gpa) & 4095) || ram->gpa + ram->size < ram->gpa)
        return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                              "guest RAM at 0x%" G_GINT64_MODIFIER "x of %" G_GUINT64_FORMAT
                              " bytes is not whole pages",
                              ram->gpa, ram->size);
    for (size_t i = 0; i < old->n; i++) {
        if (old->ram[i].gpa < ram->gpa + ram->size && ram->gpa < old->ram[i].gpa + old->ram[i].size)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "guest RAM at 0x%" G_GINT64_MODIFIER
                                  "x overlaps that at 0x%" G_GINT64_MODIFIER "x",
                                  ram->gpa, old->ram[i].gpa);
        if (old->ram[i].gpa < ram->gpa)
            at = i + 1;
    }
    list = g_malloc0(sizeof(*list) + (old->n + 1) * sizeof(GuestRam));
    list->n = old->n + 1;
    memcpy(list->ram, old->ram, at * sizeof(GuestRam));
    list->ram[at] = *ram;
    memcpy(list->ram + at + 1, old->ram + at, (old->n - at) * sizeof(GuestRam));
    g_ptr_array_add(memory->lists, list);
    __atomic_store_n(&memory->list, list, __ATOMIC_RELEASE);
    return true;
}

const GuestRam *
guest_memory_list(const GuestMemory *memory, size_t *ret_n)
{
    const RamList *list = guest_memory_current(memory);

    *ret_n = list->n;
    return list->ram;
}

uint64_t
guest_memory_size(const GuestMemory *memory)
{
    const RamList *list = guest_memory_current(memory);
    uint64_t size = 0;

    for (size_t i = 0; i < list->n; i++)
        size += list->ram[i].size;
    return size;
}

/* The stretch that holds @gpa. A guest has few stretches, so a walk is as good as a search. */
static const GuestRam *
ram_list_find(const RamList *list, uint64_t gpa)
{
    for (size_t i = 0; i < list->n; i++) {
        if (gpa - list->ram[i].gpa < list->ram[i].size)
            return &list->ram[i];
    }
    return NULL;
}

/* ---- the log ---- */

bool
guest_memory_logs(const GuestMemory *memory)
{
    return __atomic_load_n(&memory->logs, __ATOMIC_ACQUIRE);
}

size_t
guest_memory_log_words(const GuestRam *ram)
{
    return (size_t)((ram->size >> PAGE_BITS) + WORD_PAGES - 1) / WORD_PAGES;
}

static void
log_mark(const RamLog *log, uint64_t gpa, uint64_t len)
{
    const GuestRam *ram = ram_list_find(log->list, gpa);
    uint64_t first, last;

    if (!ram || len == 0)
        return;
    first = (gpa - ram->gpa) >> PAGE_BITS;
    last = (gpa - ram->gpa + MIN(len, ram->size - (gpa - ram->gpa)) - 1) >> PAGE_BITS;
    for (uint64_t page = first; page <= last; page++)
        __atomic_fetch_or(&log->pages[ram - log->list->ram][page / WORD_PAGES],
                          UINT64_C(1) << page % WORD_PAGES, __ATOMIC_RELAXED);
}

void
guest_memory_mark(const GuestMemory *memory, uint64_t gpa, uint64_t len)
{
    if (guest_memory_logs(memory))
        log_mark(memory->log, gpa, len);
}

void
guest_memory_log(GuestMemory *memory, bool on)
{
    if (on && !memory->log) {
        RamList *list = guest_memory_current(memory);
        RamLog *log = g_malloc(sizeof(*log) + list->n * sizeof(log->pages[0]));

        log->list = list;
        for (size_t i = 0; i < list->n; i++)
            log->pages[i] = g_new0(uint64_t, guest_memory_log_words(&list->ram[i]));
        memory->log = log;
    } else if (on) {
        for (size_t i = 0; i < memory->log->list->n; i++)
            memset(memory->log->pages[i], 0,
                   guest_memory_log_words(&memory->log->list->ram[i]) * sizeof(uint64_t));
    }
    __atomic_store_n(&memory->logs, on, __ATOMIC_RELEASE);
}

uint64_t
guest_memory_log_take(GuestMemory *memory, size_t i, uint64_t *bitmap)
{
    size_t words = guest_memory_log_words(&memory->log->list->ram[i]);
    uint64_t n = 0;

    for (size_t word = 0; word < words; word++) {
        bitmap[word] = __atomic_exchange_n(&memory->log->pages[i][word], 0, __ATOMIC_RELAXED);
        n += (uint64_t)__builtin_popcountll(bitmap[word]);
    }
    return n;
}

/* ---- access ---- */

const void *
guest_memory_look(const GuestMemory *memory, uint64_t gpa, uint64_t len)
{
    const GuestRam *ram = ram_list_find(guest_memory_current(memory), gpa);

    if (!ram || len == 0 || len > ram->size - (gpa - ram->gpa))
        return NULL;
    return ram->host + (gpa - ram->gpa);
}

void *
guest_memory_pointer(const GuestMemory *memory, uint64_t gpa, uint64_t len)
{
    void *host = (void *)guest_memory_look(memory, gpa, len);

    if (host)
        guest_memory_mark(memory, gpa, len);
    return host;
}

static int
memory_iov(const GuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov, unsigned max,
           bool write)
{
    const RamList *list = guest_memory_current(memory);
    unsigned n = 0;

    while (len > 0) {
        const GuestRam *ram = ram_list_find(list, gpa);
        uint64_t piece;

        if (!ram)
            return -EFAULT;
        if (n == max)
            return -E2BIG;
        piece = MIN(len, ram->size - (gpa - ram->gpa));
        if (write)
            guest_memory_mark(memory, gpa, piece);
        iov[n++] = (struct iovec){ ram->host + (gpa - ram->gpa), piece };
        gpa += piece;
        len -= piece;
    }
    return (int)n;
}

int
guest_memory_iov(const GuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov,
                 unsigned max)
{
    return memory_iov(memory, gpa, len, iov, max, true);
}

int
guest_memory_look_iov(const GuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov,
                      unsigned max)
{
    return memory_iov(memory, gpa, len, iov, max, false);
}

static bool
ram_list_covers(const RamList *list, uint64_t gpa, uint64_t len)
{
    while (len > 0) {
        const GuestRam *ram = ram_list_find(list, gpa);
        uint64_t piece;

        if (!ram)
            return false;
        piece = MIN(len, ram->size - (gpa - ram->gpa));
        gpa += piece;
        len -= piece;
    }
    return true;
}

int
guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *buf, size_t len)
{
    const RamList *list = guest_memory_current(memory);
    uint8_t *to = buf;

    if (!ram_list_covers(list, gpa, len))
        return -EFAULT;
    while (len > 0) {
        const GuestRam *ram = ram_list_find(list, gpa);
        size_t piece = MIN(len, ram->size - (gpa - ram->gpa));

        memcpy(to, ram->host + (gpa - ram->gpa), piece);
        gpa += piece;
        to += piece;
        len -= piece;
    }
    return 0;
}

int
guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *buf, size_t len)
{
    const RamList *list = guest_memory_current(memory);
    const uint8_t *from = buf;

    if (!ram_list_covers(list, gpa, len))
        return -EFAULT;
    while (len > 0) {
        const GuestRam *ram = ram_list_find(list, gpa);
        size_t piece = MIN(len, ram->size - (gpa - ram->gpa));

        memcpy(ram->host + (gpa - ram->gpa), from, piece);
        guest_memory_mark(memory, gpa, piece);
        gpa += piece;
        from += piece;
        len -= piece;
    }
    return 0;
}

int
guest_memory_zero(GuestMemory *memory, uint64_t gpa, uint64_t len)
{
    const RamList *list = guest_memory_current(memory);

    if (!ram_list_covers(list, gpa, len))
        return -EFAULT;
    while (len > 0) {
        const GuestRam *ram = ram_list_find(list, gpa);
        uint64_t piece = MIN(len, ram->size - (gpa - ram->gpa));

        memset(ram->host + (gpa - ram->gpa), 0, piece);
        guest_memory_mark(memory, gpa, piece);
        gpa += piece;
        len -= piece;
    }
    return 0;
}
