/* test_hw_core.c - address maps, guest memory, saved state, properties.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A region that answers with its tag and the offset, and remembers the last write. */
typedef struct {
    IoRegion region;
    uint64_t tag, written;
    unsigned width, accesses;
    bool dead;
} Probe;

static uint64_t
probe_read(void *opaque, uint64_t offset, unsigned size)
{
    Probe *probe = opaque;

    if (__atomic_load_n(&probe->dead, __ATOMIC_SEQ_CST))
        abort();
    probe->width = size;
    probe->accesses++;
    return probe->tag | offset;
}

static void
probe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Probe *probe = opaque;

    probe->written = probe->written << (8 * size) | value;
    probe->width = size;
    probe->accesses++;
    (void)offset;
}

static const IoOps probe_ops = { probe_read, probe_write };
static const IoOps probe_byte_ops = { probe_read, probe_write, .sizes = 1, .split = true };
static const IoOps probe_word_ops = { probe_read, probe_write, .sizes = 2 };
static const IoOps probe_loose_ops = { probe_read, probe_write, .unaligned = true };

static void
probe_init(Probe *probe, const IoOps *ops, uint64_t size, uint64_t tag, int priority)
{
    *probe = (Probe){ .tag = tag };
    probe->region = (IoRegion){ "probe", ops, probe, NULL, size, priority };
}

static uint64_t
read_at(AddressReader *reader, uint64_t addr, unsigned size)
{
    uint64_t value = 0;

    address_read(reader, addr, size, &value);
    return value;
}

static void
test_map_rules(void **state)
{
    g_autoptr(AddressMap) map = address_map_new("test", 0);
    g_autoptr(AddressReader) reader = address_reader_new(map);
    Probe a, b, c, d;
    uint64_t value;

    (void)state;
    probe_init(&a, &probe_ops, 0x100, 0xa000, 0);
    probe_init(&b, &probe_word_ops, 0x10, 0xb000, 0);
    probe_init(&c, &probe_byte_ops, 8, 0xc0, 0);
    probe_init(&d, &probe_loose_ops, 8, 0xd000, 0);
    assert_int_equal(address_map_add(map, &a.region, 0x1000), 0);
    assert_int_equal(address_map_add(map, &a.region, 0x2000), -EEXIST);
    assert_int_equal(address_map_add(map, &b.region, 0x1100), 0);
    assert_int_equal(address_map_add(map, &c.region, UINT64_MAX - 7), 0);
    assert_int_equal(address_map_add(map, &d.region, UINT64_MAX - 6), -ERANGE);
    assert_int_equal(address_map_add(map, &d.region, 0x3000), 0);

    assert_int_equal(read_at(reader, 0x1010, 4), 0xa010);
    /* nothing there; straddling two regions; running over the end */
    assert_int_equal(read_at(reader, 0xfff, 1), 0xff);
    assert_int_equal(read_at(reader, 0x10fe, 4), 0xffffffff);
    assert_int_equal(read_at(reader, 0x110e, 4), 0xffffffff);
    assert_int_equal(a.accesses, 1);
    assert_int_equal(b.accesses, 0);
    /* alignment, and sizes the region does not take */
    assert_int_equal(read_at(reader, 0x1001, 2), 0xffff);
    assert_int_equal(read_at(reader, 0x1000, 8), UINT64_MAX);
    assert_int_equal(read_at(reader, 0x1100, 1), 0xff);
    assert_int_equal(read_at(reader, 0x1100, 4), 0xffffffff);
    assert_int_equal(read_at(reader, 0x1102, 2), 0xb002);
    assert_int_equal(read_at(reader, 0x3001, 4), 0xd001);
    assert_false(address_read(reader, 0x1000, 3, &value));
    assert_false(address_read(reader, 0x1000, 0, &value));
    /* a wide access is cut up where the region says so */
    assert_int_equal(read_at(reader, UINT64_MAX - 7, 4), 0xc3c2c1c0);
    assert_true(address_write(reader, UINT64_MAX - 3, 4, 0x04030201));
    assert_int_equal(c.written, 0x01020304);
    assert_false(address_write(reader, UINT64_MAX - 1, 4, 0));
    /* gone is gone */
    address_map_remove(map, &a.region);
    assert_int_equal(read_at(reader, 0x1010, 4), 0xffffffff);
    address_map_remove(map, &a.region);
}

static void
test_map_priorities(void **state)
{
    g_autoptr(AddressMap) map = address_map_new("test", 0x10000);
    g_autoptr(AddressReader) reader = address_reader_new(map);
    Probe low, high, later;

    (void)state;
    probe_init(&low, &probe_ops, 0x1000, 0x10000, 0);
    probe_init(&high, &probe_ops, 0x100, 0x20000, 5);
    probe_init(&later, &probe_ops, 0x200, 0x30000, 0);
    assert_int_equal(address_map_add(map, &high.region, 0x400), 0);
    assert_int_equal(address_map_add(map, &low.region, 0), 0);
    assert_int_equal(read_at(reader, 0x3f0, 4), 0x103f0);
    assert_int_equal(read_at(reader, 0x400, 4), 0x20000);
    assert_int_equal(read_at(reader, 0x500, 4), 0x10500);
    assert_int_equal(read_at(reader, 0x3fe, 4), 0xffffffff);
    assert_int_equal(address_map_add(map, &later.region, 0x480), 0);
    assert_int_equal(read_at(reader, 0x480, 4), 0x20080);
    assert_int_equal(read_at(reader, 0x500, 4), 0x30080);
    assert_int_equal(read_at(reader, 0x680, 4), 0x10680);
    address_map_remove(map, &high.region);
    assert_int_equal(read_at(reader, 0x440, 4), 0x10440);
    assert_int_equal(read_at(reader, 0x480, 4), 0x30000);
    assert_int_equal(address_map_add(map, &high.region, 0x10000), -ERANGE);
    assert_int_equal(address_map_add(map, &high.region, 0xff80), -ERANGE);
}

static void
test_map_batch(void **state)
{
    g_autoptr(AddressMap) map = address_map_new("test", 0);
    g_autoptr(AddressReader) reader = address_reader_new(map);
    Probe a;

    (void)state;
    probe_init(&a, &probe_ops, 0x10, 0x100, 0);
    address_map_begin(map);
    address_map_begin(map);
    assert_int_equal(address_map_add(map, &a.region, 0), 0);
    address_map_commit(map);
    assert_int_equal(read_at(reader, 0, 4), 0xffffffff);
    address_map_commit(map);
    assert_int_equal(read_at(reader, 0, 4), 0x100);
}

typedef struct {
    AddressMap *map;
    bool stop;
    uint64_t wrong, reads;
} Hammer;

static gpointer
hammer_run(gpointer data)
{
    Hammer *hammer = data;
    g_autoptr(AddressReader) reader = address_reader_new(hammer->map);

    while (!__atomic_load_n(&hammer->stop, __ATOMIC_SEQ_CST)) {
        for (uint64_t at = 0; at < 0x400; at += 0x40) {
            uint64_t value = read_at(reader, at, 4);

            /* The fixed region always answers; the moving ones with their tag or not at all. */
            if (at < 0x40 ? value != 0xf000 + at : value != 0xffffffff && (value >> 12) != 0xe)
                hammer->wrong++;
        }
        hammer->reads++;
    }
    return NULL;
}

static void
test_map_concurrent(void **state)
{
    g_autoptr(AddressMap) map = address_map_new("test", 0);
    Hammer hammer[3];
    GThread *threads[3];
    Probe fixed;

    (void)state;
    probe_init(&fixed, &probe_ops, 0x40, 0xf000, 0);
    assert_int_equal(address_map_add(map, &fixed.region, 0), 0);
    for (int i = 0; i < 3; i++) {
        hammer[i] = (Hammer){ .map = map };
        threads[i] = g_thread_new("reader", hammer_run, &hammer[i]);
    }
    for (int round = 0; round < 2000; round++) {
        Probe *moving = g_new(Probe, 1);

        probe_init(moving, &probe_ops, 0x100, 0xe000, 0);
        assert_int_equal(address_map_add(map, &moving->region, 0x40 + 0x40 * (round % 12)), 0);
        if (round % 16 == 0)
            g_usleep(100);
        address_map_remove(map, &moving->region);
        address_map_synchronize(map);
        /* From here on a reader in it would abort, or be caught by the address sanitizer. */
        __atomic_store_n(&moving->dead, true, __ATOMIC_SEQ_CST);
        g_free(moving);
    }
    for (int i = 0; i < 3; i++) {
        __atomic_store_n(&hammer[i].stop, true, __ATOMIC_SEQ_CST);
        g_thread_join(threads[i]);
        assert_int_equal(hammer[i].wrong, 0);
        assert_true(hammer[i].reads > 0);
    }
}

static void
test_memory(void **state)
{
    g_autoptr(GuestMemory) memory = guest_memory_new();
    static uint8_t low[8192], high[4096];
    GuestRam a = { 0, sizeof(low), low, -1, 0 }, b = { 8192, sizeof(high), high, -1, 0 };
    GuestRam odd = { 100, 4096, low, -1, 0 }, wrap = { UINT64_MAX - 4095, 8192, low, -1, 0 };
    uint8_t buf[16] = "0123456789abcdef", back[16];
    struct iovec iov[2];

    (void)state;
    assert_true(guest_memory_add(memory, &b, NULL));
    assert_true(guest_memory_add(memory, &a, NULL));
    assert_false(guest_memory_add(memory, &a, NULL));
    assert_false(guest_memory_add(memory, &odd, NULL));
    assert_false(guest_memory_add(memory, &wrap, NULL));
    assert_int_equal(guest_memory_size(memory), 12288);
    assert_ptr_equal(guest_memory_pointer(memory, 8191, 1), low + 8191);
    assert_null(guest_memory_pointer(memory, 8191, 2));
    assert_null(guest_memory_pointer(memory, 0, 0));
    assert_null(guest_memory_pointer(memory, 12288, 1));
    assert_null(guest_memory_pointer(memory, 4, UINT64_MAX));
    assert_int_equal(guest_memory_write(memory, 8184, buf, 16), 0);
    assert_memory_equal(high, "89abcdef", 8);
    assert_int_equal(guest_memory_read(memory, 8184, back, 16), 0);
    assert_memory_equal(back, buf, 16);
    /* refused as a whole */
    assert_int_equal(guest_memory_write(memory, 12280, "xxxxxxxxxxxxxxxx", 16), -EFAULT);
    assert_int_equal(high[4095 - 7], 0);
    assert_int_equal(guest_memory_zero(memory, 8184, UINT64_MAX), -EFAULT);
    assert_int_equal(guest_memory_iov(memory, 8184, 16, iov, 2), 2);
    assert_int_equal(iov[0].iov_len, 8);
    assert_ptr_equal(iov[1].iov_base, high);
    assert_int_equal(guest_memory_iov(memory, 8184, 16, iov, 1), -E2BIG);
    assert_int_equal(guest_memory_iov(memory, 12280, 16, iov, 2), -EFAULT);
    assert_int_equal(guest_memory_zero(memory, 8184, 16), 0);
    assert_int_equal(high[0], 0);
}

static uint64_t
log_word(GuestMemory *memory, size_t i, uint64_t pages)
{
    uint64_t word = 0;

    assert_int_equal(guest_memory_log_take(memory, i, &word), pages);
    return word;
}

/* What is written, or handed out to be written, is logged; what is only looked at is not. */
static void
test_memory_log(void **state)
{
    static uint8_t low[3 * 4096], high[4096];
    g_autoptr(GuestMemory) memory = guest_memory_new();
    GuestRam a = { 0, sizeof(low), low, -1, 0 }, b = { sizeof(low), sizeof(high), high, -1, 0 };
    uint8_t buf[16] = { 1 };
    struct iovec iov[2];

    (void)state;
    assert_true(guest_memory_add(memory, &a, NULL));
    assert_true(guest_memory_add(memory, &b, NULL));
    assert_int_equal(guest_memory_write(memory, 0, buf, 16), 0); /* not yet */
    guest_memory_log(memory, true);
    assert_true(guest_memory_logs(memory));
    assert_int_equal(guest_memory_log_words(&a), 1);
    assert_int_equal(log_word(memory, 0, 0), 0);
    assert_int_equal(guest_memory_write(memory, 3 * 4096 - 8, buf, 16), 0);
    assert_int_equal(log_word(memory, 0, 1), 4);
    assert_int_equal(log_word(memory, 1, 1), 1);
    assert_int_equal(log_word(memory, 1, 0), 0);
    assert_int_equal(guest_memory_zero(memory, 4095, 2), 0);
    assert_int_equal(log_word(memory, 0, 2), 3);
    assert_non_null(guest_memory_look(memory, 0, 16));
    assert_int_equal(guest_memory_look_iov(memory, 3 * 4096 - 8, 16, iov, 2), 2);
    assert_int_equal(guest_memory_read(memory, 0, buf, 16), 0);
    assert_int_equal(log_word(memory, 0, 0), 0);
    assert_non_null(guest_memory_pointer(memory, 4096, 8192));
    assert_int_equal(log_word(memory, 0, 2), 6);
    assert_int_equal(guest_memory_iov(memory, 3 * 4096 - 8, 16, iov, 2), 2);
    assert_int_equal(log_word(memory, 0, 1), 4);
    assert_int_equal(log_word(memory, 1, 1), 1);
    guest_memory_mark(memory, 1 << 20, 4096); /* no RAM */
    guest_memory_mark(memory, 0, 1);
    guest_memory_log(memory, true); /* begun anew, with nothing in it */
    assert_int_equal(log_word(memory, 0, 0), 0);
    guest_memory_log(memory, false);
    assert_int_equal(guest_memory_write(memory, 0, buf, 16), 0);
    assert_int_equal(log_word(memory, 0, 0), 0);
}

/* ---- saved state ---- */

typedef struct {
    uint8_t small;
    uint64_t large;
} Part;

typedef struct {
    bool flag;
    uint16_t words[3];
    uint8_t bytes[4];
    Part part, parts[2];
    uint32_t n_more;
    Part *more;
    uint32_t n_buffer;
    uint8_t *buffer;
    uint32_t newer;
} Whole;

static const SavedField part_fields[] = { SAVED(Part, small, 1), SAVED(Part, large, 1) };
static const SavedTable part_table = {
    .name = "part", .version = 1, .oldest = 1, .fields = part_fields, .n_fields = 2
};
static const SavedField whole_fields[] = {
    SAVED(Whole, flag, 1),
    SAVED_ARRAY(Whole, words, 1),
    SAVED_BYTES(Whole, bytes, 1),
    SAVED_STRUCT(Whole, part, part_table, 1),
    SAVED_STRUCTS(Whole, parts, part_table, 1),
    SAVED_STRUCTS_PTR(Whole, more, n_more, part_table, 1),
    SAVED_BUFFER(Whole, buffer, n_buffer, 1),
    SAVED(Whole, newer, 2),
};
static const SavedTable whole_table = { .name = "whole",
                                        .version = 2,
                                        .oldest = 1,
                                        .fields = whole_fields,
                                        .n_fields = G_N_ELEMENTS(whole_fields) };
static const SavedTable whole_old_table = { .name = "whole",
                                            .version = 1,
                                            .oldest = 1,
                                            .fields = whole_fields,
                                            .n_fields = G_N_ELEMENTS(whole_fields) - 1 };

static bool
load_whole(const GByteArray *stream, size_t len, Whole *whole, char **ret_message)
{
    g_autoptr(GError) err = NULL;
    size_t pos = 0;
    bool ok = saved_table_load(&whole_table, whole, stream->data, len, &pos, &err);

    if (!ok)
        *ret_message = g_strdup(err->message);
    return ok;
}

static void
test_saved(void **state)
{
    Part more[2] = { { 7, 8 }, { 9, 10 } }, more_back[2] = { { 0 } };
    uint8_t buffer[5] = "hello", buffer_back[5] = "";
    Whole whole = { .flag = true,
                    .words = { 1, 2, 0xffff },
                    .bytes = { 1, 2, 3, 4 },
                    .part = { 5, UINT64_MAX },
                    .parts = { { 1, 2 }, { 3, 4 } },
                    .n_more = 2,
                    .more = more,
                    .n_buffer = 5,
                    .buffer = buffer,
                    .newer = 77 };
    Whole back = { .n_more = 2, .more = more_back, .n_buffer = 5, .buffer = buffer_back };
    g_autoptr(GByteArray) stream = g_byte_array_new();
    g_autofree char *message = NULL;
    char *at;

    (void)state;
    saved_table_save(&whole_table, &whole, stream);
    assert_true(load_whole(stream, stream->len, &back, &message));
    assert_true(back.flag);
    assert_memory_equal(back.words, whole.words, sizeof(back.words));
    assert_memory_equal(back.bytes, whole.bytes, sizeof(back.bytes));
    assert_int_equal(back.part.large, UINT64_MAX);
    assert_int_equal(back.parts[1].large, 4);
    assert_int_equal(more_back[1].large, 10);
    assert_memory_equal(buffer_back, "hello", 5);
    assert_int_equal(back.newer, 77);

    /* every shorter stream is refused */
    for (guint len = 0; len < stream->len; len++) {
        assert_false(load_whole(stream, len, &back, &message));
        g_clear_pointer(&message, g_free);
    }
    /* a bool that is neither, a field of another name, an array of another length: by name */
    at = memmem(stream->data, stream->len, "flag", 4);
    at[8] = 2;
    assert_false(load_whole(stream, stream->len, &back, &message));
    assert_non_null(strstr(message, "'flag'"));
    at[8] = 1;
    g_clear_pointer(&message, g_free);
    at[0] = 'F';
    assert_false(load_whole(stream, stream->len, &back, &message));
    assert_non_null(strstr(message, "'Flag'"));
    at[0] = 'f';
    g_clear_pointer(&message, g_free);
    back.n_buffer = 4;
    assert_false(load_whole(stream, stream->len, &back, &message));
    assert_non_null(strstr(message, "'buffer'"));
    back.n_buffer = 5;
    g_clear_pointer(&message, g_free);

    /* an older version has no 'newer'; a newer version is not read */
    g_byte_array_set_size(stream, 0);
    saved_table_save(&whole_old_table, &whole, stream);
    back.newer = 5;
    assert_true(load_whole(stream, stream->len, &back, &message));
    assert_int_equal(back.newer, 5);
    stream->data[0] = 2;
    assert_false(load_whole(stream, stream->len, &back, &message));
    assert_non_null(strstr(message, "'newer'"));
    stream->data[0] = 3;
    g_clear_pointer(&message, g_free);
    assert_false(load_whole(stream, stream->len, &back, &message));
    assert_non_null(strstr(message, "version 3"));
}

/* ---- devices ---- */

static void
test_properties(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autofree char *classes = device_help_classes();
    g_autofree char *props = device_help_props(device_class_find("pcie-root-port"));

    (void)state;
    fake_device_refused(fake, "did you mean 'pcie-root-port'", "pcie-root-prt", NULL);
    fake_device_refused(fake, "part of the board", "mch", NULL);
    fake_device_refused(fake, "there is no device model 'pci-device'", "pci-device", NULL);
    fake_device_refused(fake, "did you mean 'chassis'", "pcie-root-port", "chasis", "1", NULL);
    fake_device_refused(fake, "'port' cannot be '256'", "pcie-root-port", "port", "256", NULL);
    fake_device_refused(fake, "'addr' cannot be '20'", "pcie-root-port", "addr", "20", NULL);
    fake_device_refused(fake, "no bus 'nowhere'", "pcie-root-port", "bus", "nowhere", NULL);
    fake_device_refused(fake, "is a ISA bus", "pcie-root-port", "bus", "isa.0", NULL);
    fake_device_refused(fake, "'chardev'", "isa-serial", NULL);
    fake_device_refused(fake, "there is no chardev 'c'", "isa-serial", "chardev", "c", NULL);
    fake_device(fake, "pcie-root-port", "id", "a", "addr", "0x3.0x0", NULL);
    fake_device_refused(fake, "id 'a' already", "pcie-root-port", "id", "a", NULL);
    fake_device_refused(fake, "slot 3.0 of bus 'pcie.0' is taken", "pcie-root-port", "addr", "3",
                        NULL);
    fake_device_refused(fake, "needs multifunction=on", "pcie-root-port", "addr", "3.1", NULL);
    fake_device_refused(fake, "hotplug", "pcie-root-port", "hotplug", "maybe", NULL);
    assert_non_null(strstr(classes, "name \"pcie-root-port\", bus PCI"));
    assert_null(strstr(classes, "mch"));
    assert_non_null(strstr(props, "chassis="));
    assert_non_null(strstr(props, "multifunction="));
    fake_machine_free(fake);
}

static void
test_machine_state(void **state)
{
    FakeMachine *from = fake_machine_new_q35(64 << 20), *to = fake_machine_new_q35(64 << 20);
    FakeMachine *other = fake_machine_new_q35(64 << 20);
    g_autoptr(GByteArray) stream = g_byte_array_new(), again = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    (void)state;
    fake_device(from, "pcie-root-port", "id", "p", "addr", "1", NULL);
    fake_device(to, "pcie-root-port", "id", "p", "addr", "1", NULL);
    fake_out(from, 0xcf8, 4, 0x80000860);
    fake_out(from, 0xcfc, 4, 0x12340000);
    fake_out(from, 0x70, 1, 0x40);
    fake_out(from, 0x71, 1, 0x5a);
    assert_true(machine_save(from->machine, stream, &err));
    assert_true(machine_load(to->machine, stream->data, stream->len, &err));
    assert_int_equal(fake_in(to, 0xcf8, 4), 0x80000860);
    assert_int_equal(fake_in(to, 0x71, 1), 0x5a);
    assert_true(machine_save(to->machine, again, &err));
    assert_int_equal(again->len, stream->len);

    assert_false(machine_load(other->machine, stream->data, stream->len, &err));
    assert_non_null(strstr(err->message, "'/p'"));
    for (guint len = 0; len < stream->len; len += 7) {
        g_autoptr(GError) cut = NULL;

        assert_false(machine_load(to->machine, stream->data, len, &cut));
        assert_non_null(cut);
    }
    fake_machine_free(from);
    fake_machine_free(to);
    fake_machine_free(other);
}

/* ---- layout, and threads that change it at once ---- */

enum { LAYOUT_AT = 0x40000000, LAYOUT_SIZE = 0x8000 };

typedef struct {
    Machine *machine;
    MemoryOverlay overlay;
    uint8_t *bitmap;
    bool begun, found; /* atomic */
} LayoutRace;

static unsigned layout_slots;

static int
layout_map(void *host, uint64_t gpa, uint64_t size, void *memory, bool read_only)
{
    (void)host, (void)gpa, (void)size, (void)memory, (void)read_only;
    return (int)++layout_slots;
}

static void
layout_unmap(void *host, int slot)
{
    (void)host, (void)slot;
    layout_slots--;
}

static int
layout_log(void *host, int slot, bool on)
{
    (void)host, (void)slot, (void)on;
    return 0;
}

static int
layout_dirty(void *host, int slot, void *bitmap, size_t size)
{
    (void)host, (void)slot;
    memset(bitmap, 0, size);
    ((uint8_t *)bitmap)[0] = 0x81;
    return 0;
}

static FakeMachine *
layout_race(LayoutRace *race, MachineOps *ops)
{
    FakeMachine *fake = fake_machine_new(1 << 20, NULL);

    *ops = *fake->machine->ops;
    ops->memory_map = layout_map;
    ops->memory_unmap = layout_unmap;
    ops->memory_log = layout_log;
    ops->memory_dirty = layout_dirty;
    fake->machine->ops = ops;
    layout_slots = 0;
    *race = (LayoutRace){ .machine = fake->machine,
                          .overlay = { .name = "test",
                                       .gpa = LAYOUT_AT,
                                       .size = LAYOUT_SIZE,
                                       .host = fake->ram,
                                       .log = true } };
    assert_int_equal(memory_layout_add(fake->machine->layout, &race->overlay), 0);
    return fake;
}

static void *
layout_look(void *opaque)
{
    LayoutRace *race = opaque;

    __atomic_store_n(&race->begun, true, __ATOMIC_SEQ_CST);
    race->found = memory_layout_dirty(race->machine->layout, &race->overlay, race->bitmap);
    return NULL;
}

/* A frame buffer's BAR moves in a vCPU while the main thread looks for what was written in it: the
 * pieces in force still lie where it was. */
static void
test_layout_dirty_while_moving(void **state)
{
    const size_t bytes = LAYOUT_AT / 4096 / 8 + 64;
    g_autofree uint8_t *bitmap = g_malloc0(bytes);
    MachineOps ops;
    LayoutRace race;
    FakeMachine *fake = layout_race(&race, &ops);
    MemoryLayout *layout = fake->machine->layout;
    GThread *thread;

    (void)state;
    race.bitmap = bitmap;
    memory_layout_begin(layout);
    memory_layout_remove(layout, &race.overlay);
    race.overlay.gpa = 0x100000;
    thread = g_thread_new("main", layout_look, &race);
    while (!__atomic_load_n(&race.begun, __ATOMIC_SEQ_CST))
        g_usleep(100);
    g_usleep(30000);
    assert_int_equal(memory_layout_add(layout, &race.overlay), 0);
    assert_int_equal(memory_layout_commit(layout), 0);
    g_thread_join(thread);
    assert_true(race.found);
    assert_int_equal(bitmap[0], 0x81);
    for (size_t i = 1; i < bytes; i++)
        assert_int_equal(bitmap[i], 0);
    fake_machine_free(fake);
}

static void *
layout_hold(void *opaque)
{
    LayoutRace *race = opaque;

    memory_layout_begin(race->machine->layout);
    __atomic_store_n(&race->begun, true, __ATOMIC_SEQ_CST);
    g_usleep(30000);
    memory_layout_commit(race->machine->layout);
    return NULL;
}

/* What is removed may be freed, whatever another thread has begun. */
static void
test_layout_remove_is_final(void **state)
{
    MachineOps ops;
    LayoutRace race;
    FakeMachine *fake = layout_race(&race, &ops);
    unsigned before = layout_slots;
    GThread *thread;

    (void)state;
    thread = g_thread_new("vcpu", layout_hold, &race);
    while (!__atomic_load_n(&race.begun, __ATOMIC_SEQ_CST))
        g_usleep(100);
    memory_layout_remove(fake->machine->layout, &race.overlay);
    assert_int_equal(layout_slots, before - 1);
    g_thread_join(thread);
    fake_machine_free(fake);
}

/* What vCPUs wrote into RAM is collected, also from slots that go. */
static void
test_layout_collects(void **state)
{
    MachineOps ops;
    LayoutRace race;
    FakeMachine *fake = layout_race(&race, &ops);
    MemoryLayout *layout = fake->machine->layout;
    GuestMemory *memory = fake->machine->memory;
    MemoryOverlay hole = { .name = "hole", .gpa = 0x8000, .size = 0x1000 };
    uint64_t word[4];

    (void)state;
    memory_layout_remove(layout, &race.overlay);
    assert_int_equal(memory_layout_commit((memory_layout_begin(layout), layout)), 0);
    guest_memory_log(memory, true);
    assert_int_equal(memory_layout_log(layout, true), 0);
    memory_layout_collect(layout);
    assert_int_equal(guest_memory_log_take(memory, 0, word), 2);
    assert_int_equal(word[0], 0x81);
    assert_int_equal(memory_layout_add(layout, &hole), 0);
    assert_int_equal(guest_memory_log_take(memory, 0, word), 2);
    assert_int_equal(word[0], 0x81);
    memory_layout_collect(layout); /* two slots now: the second begins at page 9 */
    assert_int_equal(guest_memory_log_take(memory, 0, word), 4);
    assert_int_equal(word[0], 0x81 | 0x81 << 9);
    assert_int_equal(memory_layout_log(layout, false), 0);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_rules),
        cmocka_unit_test(test_map_priorities),
        cmocka_unit_test(test_map_batch),
        cmocka_unit_test(test_map_concurrent),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_log),
        cmocka_unit_test(test_saved),
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_machine_state),
        cmocka_unit_test(test_layout_dirty_while_moving),
        cmocka_unit_test(test_layout_remove_is_final),
        cmocka_unit_test(test_layout_collects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
