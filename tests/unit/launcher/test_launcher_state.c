/* test_launcher_state.c - the stream of a saved guest: checksums, RAM, what is damaged.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "hw/core/bytes.h"
#include "launcher/state_ram.h"
#include "util/error.h"

enum { PAGE = 4096, RAM = 12 << 20, HIGH = 1 << 20 };
#define HIGH_AT UINT64_C(0x100000000)

typedef struct {
    GuestMemory *memory;
    int fd;
    uint8_t *ram;
} Guest;

static void
guest_init(Guest *g)
{
    GuestRam low = { .size = RAM - HIGH }, high = { .gpa = HIGH_AT, .size = HIGH };

    g->fd = memfd_create("ram", MFD_CLOEXEC);
    assert_int_equal(ftruncate(g->fd, RAM), 0);
    g->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
    low.fd = high.fd = g->fd;
    low.host = g->ram;
    high.host = g->ram + RAM - HIGH;
    high.fd_offset = RAM - HIGH;
    g->memory = guest_memory_new();
    assert_true(guest_memory_add(g->memory, &low, NULL));
    assert_true(guest_memory_add(g->memory, &high, NULL));
}

static void
guest_clear(Guest *g)
{
    guest_memory_free(g->memory);
    munmap(g->ram, RAM);
    close(g->fd);
}

/* What @fd holds, from its beginning. */
static GByteArray *
file_bytes(int fd)
{
    GByteArray *bytes = g_byte_array_new();
    off_t size = lseek(fd, 0, SEEK_END);

    g_byte_array_set_size(bytes, (guint)size);
    assert_int_equal(pread(fd, bytes->data, (size_t)size, 0), size);
    return bytes;
}

static GByteArray *
save(Guest *g, StateRamProgress *progress)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(StateWriter) w = state_writer_new(fd, NULL);
    GByteArray *bytes;

    state_writer_section(w, STATE_MACHINE, "machine", 7);
    state_ram_save(w, g->memory, progress);
    assert_int_equal(state_writer_finish(w), 0);
    bytes = file_bytes(fd);
    assert_int_equal(bytes->len, state_writer_bytes(w));
    close(fd);
    return bytes;
}

static bool
load(Guest *g, const uint8_t *data, size_t len, GError **err)
{
    g_autoptr(StateReader) r = state_reader_new_memory(data, len);
    StateRamProgress progress = { 0 };
    uint64_t length;
    int kind;

    while ((kind = state_reader_next(r, &length, err)) > STATE_END) {
        g_autoptr(GByteArray) bytes = NULL;

        if (kind == STATE_RAM && !state_ram_load(r, g->memory, &progress, err))
            return false;
        if (kind != STATE_RAM && !(bytes = state_reader_section(r, length, 100, err)))
            return false;
    }
    return kind == STATE_END;
}

static void
fill(Guest *g)
{
    for (size_t i = 0; i < RAM / PAGE; i += i % 7 + 1)
        memset(g->ram + i * PAGE, (int)i | 1, PAGE);
    /* touched, but nothing in it */
    memset(g->ram + 5 * PAGE, 0, PAGE);
}

static void
test_checksum(void **state)
{
    (void)state;
    assert_int_equal(state_checksum(0, "123456789", 9), 0xe3069283);
    assert_int_equal(state_checksum(state_checksum(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void
test_ram(void **state)
{
    StateRamProgress progress = { 0 };
    Guest from, to;
    g_autoptr(GByteArray) stream = NULL;
    g_autoptr(GError) err = NULL;

    (void)state;
    guest_init(&from);
    guest_init(&to);
    fill(&from);
    stream = save(&from, &progress);
    assert_int_equal(progress.done, RAM);
    assert_int_equal((progress.normal + progress.duplicate) * PAGE, RAM);
    assert_true(stream->len < progress.normal * PAGE + 4096);
    assert_true(load(&to, stream->data, stream->len, &err));
    assert_memory_equal(from.ram, to.ram, RAM);
    guest_clear(&from);
    guest_clear(&to);
}

/* Saving a guest must not give memory to what it never touched. */
static void
test_holes(void **state)
{
    StateRamProgress progress = { 0 };
    g_autoptr(GByteArray) stream = NULL;
    Guest g;

    (void)state;
    guest_init(&g);
    g.ram[3 << 20] = 1;
    stream = save(&g, &progress);
    assert_int_equal(progress.normal, 1);
    assert_int_equal(lseek(g.fd, 0, SEEK_DATA), 3 << 20);
    assert_int_equal(lseek(g.fd, 3 << 20, SEEK_HOLE), (3 << 20) + PAGE);
    guest_clear(&g);
}

static void
test_damage(void **state)
{
    StateRamProgress progress = { 0 };
    g_autoptr(GByteArray) stream = NULL;
    Guest g;

    (void)state;
    guest_init(&g);
    memset(g.ram, 1, 3 * PAGE);
    stream = save(&g, &progress);
    for (guint at = 0; at < stream->len; at += at < 300 || at + 300 > stream->len ? 1 : 61) {
        g_autoptr(GError) damaged = NULL, cut = NULL;

        stream->data[at] ^= 0x10;
        assert_false(load(&g, stream->data, stream->len, &damaged));
        assert_non_null(damaged);
        stream->data[at] ^= 0x10;
        assert_false(load(&g, stream->data, at, &cut));
        assert_non_null(strstr(cut->message, "too early"));
    }
    assert_true(load(&g, stream->data, stream->len, NULL));
    guest_clear(&g);
}

/* Good checksums around bytes that make no sense. */
static void
check_refused(Guest *g, uint64_t gpa, uint32_t pages, size_t more, const char *says)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(StateWriter) w = state_writer_new(fd, NULL);
    g_autofree uint8_t *section = g_malloc0(16 + more);
    g_autoptr(GByteArray) stream = NULL;
    g_autoptr(GError) err = NULL;

    bytes_store(section, gpa, 8);
    bytes_store(section + 8, pages, 4);
    if (more > 0)
        section[16] = 1;
    state_writer_section(w, STATE_RAM, section, 16 + more);
    assert_int_equal(state_writer_finish(w), 0);
    stream = file_bytes(fd);
    close(fd);
    assert_false(load(g, stream->data, stream->len, &err));
    assert_non_null(strstr(err->message, says));
}

static void
test_nonsense(void **state)
{
    Guest g;

    (void)state;
    guest_init(&g);
    check_refused(&g, 1, 1, 8 + PAGE, "memory at 0x1 ");
    check_refused(&g, RAM, 1, 8 + PAGE, "does not have");
    check_refused(&g, RAM - HIGH - PAGE, 2, 8 + 2 * PAGE, "does not have");
    check_refused(&g, 0, 1025, 136 + PAGE, "does not have");
    check_refused(&g, 0, UINT32_MAX, 8, "does not have");
    check_refused(&g, 0, 0, 8, "does not have");
    check_refused(&g, HIGH_AT, 1, 8 + PAGE - 1, "shorter than");
    check_refused(&g, HIGH_AT, 1, 8 + PAGE + 1, "longer than");
    check_refused(&g, HIGH_AT, 64, 7, "shorter than");
    guest_clear(&g);
}

static void
test_packed(void **state)
{
    StateRamProgress progress = { 0 };
    g_autoptr(GByteArray) stream = NULL;
    g_autofree uint8_t *packed = NULL;
    g_autoptr(GError) err = NULL;
    size_t room, len;
    Guest from, to;

    (void)state;
    guest_init(&from);
    guest_init(&to);
    fill(&from);
    stream = save(&from, &progress);
    room = ZSTD_compressBound(stream->len);
    packed = g_malloc(room);
    len = ZSTD_compress(packed, room, stream->data, stream->len, 1);
    assert_false(ZSTD_isError(len));
    assert_true(load(&to, packed, len, &err));
    assert_memory_equal(from.ram, to.ram, RAM);
    assert_false(load(&to, packed, len / 2, &err));
    assert_non_null(strstr(err->message, "damaged"));
    g_clear_error(&err);
    packed[len / 2] ^= 0x80;
    assert_false(load(&to, packed, len, &err));
    guest_clear(&from);
    guest_clear(&to);
}

/* A pipe that nobody reads does not hold up one who cancels. */
static void
test_cancel(void **state)
{
    StateRamProgress progress = { 0 };
    gint cancel = 0;
    StateWriter *w;
    int ends[2];
    Guest g;

    (void)state;
    guest_init(&g);
    fill(&g);
    assert_int_equal(pipe(ends), 0);
    w = state_writer_new(ends[1], &cancel);
    g_atomic_int_set(&cancel, 1);
    state_ram_save(w, g.memory, &progress);
    assert_int_equal(state_writer_finish(w), -ECANCELED);
    state_writer_free(w);
    cancel = 0;
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    w = state_writer_new(ends[1], &cancel);
    state_ram_save(w, g.memory, &progress);
    assert_int_equal(state_writer_finish(w), -EPIPE);
    state_writer_free(w);
    close(ends[1]);
    guest_clear(&g);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum), cmocka_unit_test(test_ram),
        cmocka_unit_test(test_holes),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_nonsense), cmocka_unit_test(test_packed),
        cmocka_unit_test(test_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
