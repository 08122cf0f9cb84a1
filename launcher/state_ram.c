/* state_ram.c - guest RAM in the stream of a saved guest.
 *
 *   section := u64 guest address, u32 number of pages (up to 1024), u32 0, a bit for each page in
 *              whole 8 bytes, the 4096 bytes of each page whose bit is set
 *
 * What the guest never touched has no memory on the host, which the descriptor tells (lseek(2),
 * SEEK_DATA): it is neither read nor made. Pages of zeroes are left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/state_ram.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum { PAGE = 4096, CHUNK_PAGES = 1024, COPY_PAGES = 64, RAM_HEAD = 16 };

static bool
page_is_zero(const uint8_t *page)
{
    const uint64_t *p = (const uint64_t *)page;

    for (unsigned i = 0; i < PAGE / sizeof(*p); i += 8)
        if (p[i] | p[i + 1] | p[i + 2] | p[i + 3] | p[i + 4] | p[i + 5] | p[i + 6] | p[i + 7])
            return false;
    return true;
}

static void
progress_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* ---- saving ---- */

/* A stretch of RAM that the host has memory for: [start, end), offsets into @ram. */
typedef struct {
    const GuestRam *ram;
    uint64_t start, end;
} RamExtent;

/* The next one at or behind @from; start is the end of RAM when there is none. */
static void
ram_extent_next(RamExtent *e, uint64_t from)
{
    const GuestRam *ram = e->ram;
    off_t data = -1, hole = -1;

    if (ram->fd >= 0) {
        data = lseek(ram->fd, (off_t)(ram->fd_offset + from), SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            data = (off_t)(ram->fd_offset + ram->size);
        if (data >= 0)
            hole = lseek(ram->fd, data, SEEK_HOLE);
    }
    /* A file system that cannot tell: all of it is data. */
    e->start = data >= 0 ? MIN((uint64_t)data - ram->fd_offset, ram->size) : from;
    e->end = data >= 0 && hole > data ? MIN((uint64_t)hole - ram->fd_offset, ram->size) : ram->size;
}

static bool
chunk_has(const uint8_t *bitmap, unsigned page)
{
    return bitmap[page / 8] & 1u << page % 8;
}

/* The pages of [at, at + pages) that hold something; returns how many. */
static unsigned
chunk_look(RamExtent *e, uint64_t at, unsigned pages, uint8_t *bitmap)
{
    unsigned n = 0;

    for (unsigned i = 0; i < pages; i++) {
        uint64_t offset = at + (uint64_t)i * PAGE;

        if (offset >= e->end)
            ram_extent_next(e, offset);
        if (offset + PAGE <= e->start || page_is_zero(e->ram->host + offset))
            continue;
        bitmap[i / 8] |= (uint8_t)(1u << i % 8);
        n++;
    }
    return n;
}

/* @copy: what a guest that runs changes between the checksum and the descriptor must not differ. */
static void
run_write(StateWriter *w, const uint8_t *pages, size_t n, uint8_t *copy)
{
    if (!copy) {
        state_writer_put(w, pages, n * PAGE);
        return;
    }
    for (size_t done = 0, some; done < n; done += some) {
        some = MIN(n - done, (size_t)COPY_PAGES);
        memcpy(copy, pages + done * PAGE, some * PAGE);
        state_writer_put(w, copy, some * PAGE);
    }
}

/* Runs of neighbours go out in one piece. */
static void
chunk_write(StateWriter *w, const GuestRam *ram, uint64_t at, unsigned pages, const uint8_t *bitmap,
            unsigned n, uint8_t *copy)
{
    unsigned bitmap_bytes = (pages + 63) / 64 * 8;
    uint8_t head[RAM_HEAD] = { 0 };

    bytes_store(head, ram->gpa + at, 8);
    bytes_store(head + 8, pages, 4);
    state_writer_begin(w, STATE_RAM, sizeof(head) + bitmap_bytes + (uint64_t)n * PAGE);
    state_writer_put(w, head, sizeof(head));
    state_writer_put(w, bitmap, bitmap_bytes);
    for (unsigned i = 0; i < pages;) {
        unsigned run = 0;

        while (i + run < pages && chunk_has(bitmap, i + run))
            run++;
        if (run > 0)
            run_write(w, ram->host + at + (uint64_t)i * PAGE, run, copy);
        i += run + 1;
    }
    state_writer_end(w);
}

/* The pages of [at, at + pages) that are in @words, the stretch's; returns how many. */
static unsigned
chunk_pick(const uint64_t *words, uint64_t at, unsigned pages, uint8_t *bitmap)
{
    unsigned n = 0;

    for (unsigned i = 0; i < pages; i += 64) {
        uint64_t word = words[at / PAGE / 64 + i / 64];

        bytes_store(bitmap + i / 8, word, 8);
        n += (unsigned)__builtin_popcountll(word);
    }
    return n;
}

static void
ram_send_stretch(StateWriter *w, const GuestRam *ram, const uint64_t *words,
                 const StateRamRound *round, uint8_t *copy, StateRamProgress *progress)
{
    RamExtent extent = { .ram = ram };

    if (!words)
        ram_extent_next(&extent, 0);
    for (uint64_t at = 0; at < ram->size && state_writer_error(w) == 0;) {
        unsigned pages = (unsigned)MIN((ram->size - at) / PAGE, (uint64_t)CHUNK_PAGES), n = 0;
        uint64_t end = at + (uint64_t)pages * PAGE;
        uint8_t bitmap[CHUNK_PAGES / 8] = { 0 };

        if (words)
            n = chunk_pick(words, at, pages, bitmap);
        else if (extent.start < end)
            n = chunk_look(&extent, at, pages, bitmap);
        if (n > 0)
            chunk_write(w, ram, at, pages, bitmap, n, copy);
        progress_add(&progress->normal, n);
        if (!words)
            progress_add(&progress->duplicate, pages - n);
        progress_add(&progress->done, words ? (uint64_t)n * PAGE : end - at);
        if (round && round->pace && n > 0)
            round->pace(round->opaque, w);
        at = end;
    }
}

void
state_ram_save(StateWriter *writer, const GuestMemory *memory, StateRamProgress *progress)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(memory, &n);

    for (size_t i = 0; i < n; i++)
        ram_send_stretch(writer, &ram[i], NULL, NULL, NULL, progress);
}

void
state_ram_send(StateWriter *writer, const GuestMemory *memory, const StateRamRound *round,
               StateRamProgress *progress)
{
    g_autofree uint8_t *copy = g_malloc((size_t)COPY_PAGES * PAGE);
    size_t n;
    const GuestRam *ram = guest_memory_list(memory, &n);

    for (size_t i = 0; i < n; i++)
        ram_send_stretch(writer, &ram[i], round->pages ? round->pages[i] : NULL, round, copy,
                         progress);
}

/* ---- loading ---- */

static bool
chunk_read(StateReader *r, uint8_t *host, unsigned pages, const uint8_t *bitmap, GError **err)
{
    for (unsigned i = 0; i < pages;) {
        unsigned run = 0;

        while (i + run < pages && chunk_has(bitmap, i + run))
            run++;
        if (run > 0 && !state_reader_take(r, host + (uint64_t)i * PAGE, (size_t)run * PAGE, err))
            return false;
        i += run + 1;
    }
    return true;
}

bool
state_ram_load(StateReader *reader, GuestMemory *memory, StateRamProgress *progress, GError **err)
{
    uint8_t head[RAM_HEAD], bitmap[CHUNK_PAGES / 8] = { 0 };
    unsigned pages, n = 0;
    uint64_t gpa;
    uint8_t *host;

    if (!state_reader_take(reader, head, sizeof(head), err))
        return false;
    gpa = bytes_load64(head);
    pages = bytes_load32(head + 8);
    host = gpa % PAGE || pages > CHUNK_PAGES
               ? NULL
               : guest_memory_pointer(memory, gpa, (uint64_t)pages * PAGE);
    if (!host)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest has memory at 0x%" G_GINT64_MODIFIER
                              "x that this guest does not have",
                              gpa);
    if (!state_reader_take(reader, bitmap, (pages + 63) / 64 * 8, err) ||
        !chunk_read(reader, host, pages, bitmap, err) || !state_reader_end(reader, err))
        return false;
    for (unsigned i = 0; i < pages; i++)
        n += chunk_has(bitmap, i);
    progress_add(&progress->normal, n);
    progress_add(&progress->done, (uint64_t)n * PAGE);
    return true;
}
