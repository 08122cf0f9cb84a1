/* test_hw_virtio.c - the virtio core: negotiation, rings with every kind of nonsense, interrupts,
 * reset and saved state, seen through the entropy device, whose buffers the device only fills.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/virtio/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RAM = 16 << 20, SIZE = 8 };

#define V1 VIRTIO_F(VIRTIO_F_VERSION_1_BIT)
#define INDIRECT VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT)
#define EVENT_IDX VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT)

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    DriverQueue *q;
} Fixture;

static void
add_source(FakeMachine *fake, const char *type, const char *id)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;

    g_hash_table_insert(props, (char *)"qom-type", (char *)type);
    g_hash_table_insert(props, (char *)"id", (char *)id);
    assert_true(rng_object_add(fake->machine, props, &err));
}

static Device *
make_rng(FakeMachine *fake)
{
    add_source(fake, "rng-builtin", "r0");
    return fake_device(fake, "virtio-rng-pci", "id", "rng0", "rng", "r0", "addr", "0x5",
                       "disable-legacy", "on", NULL);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    virtio_driver_init(&f->drv, f->fake, make_rng(f->fake));
    f->q = &f->drv.q[0];
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

/* The device answers to one ordinary request. */
static void
expect_alive(Fixture *f)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint16_t head = virtio_driver_add(&f->drv, f->q, &buffer, 1, false);
    uint32_t len;

    assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), head);
    assert_int_equal(len, 64);
}

static void
expect_broken(Fixture *f)
{
    virtio_driver_kick(&f->drv, f->q);
    virtio_driver_wait_broken(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, f->q));
    /* and only a reset helps */
    virtio_driver_start(&f->drv, f->drv.features, 1, SIZE);
    expect_alive(f);
}

static void
test_ids(void **state)
{
    Fixture *f = *state;
    PciRoot *root = f->fake->machine->pci;

    assert_int_equal(pci_config_read(root, f->drv.bdf, PCI_VENDOR_ID, 4), 0x10441af4);
    assert_int_equal(pci_config_read(root, f->drv.bdf, PCI_REVISION, 1), 1);
    assert_int_equal(pci_config_read(root, f->drv.bdf, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x12, 2), 1);
}

static void
test_refused_props(void **state)
{
    Fixture *f = *state;

    add_source(f->fake, "rng-builtin", "r1");
    fake_device_refused(f->fake, "ats", "virtio-rng-pci", "rng", "r1", "ats", "on", NULL);
    fake_device_refused(f->fake, "modern interface", "virtio-rng-pci", "rng", "r1", "packed", "on",
                        "disable-modern", "on", "disable-legacy", "off", NULL);
}

static void
test_page_per_queue(void **state)
{
    Fixture *f = *state;
    Device *dev;

    add_source(f->fake, "rng-builtin", "r1");
    dev = fake_device(f->fake, "virtio-rng-pci", "id", "rng1", "rng", "r1", "disable-legacy", "on",
                      "page-per-vq", "on", NULL);
    virtio_driver_init(&f->drv, f->fake, dev);
    assert_int_equal(f->drv.notify_step, 4096);
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
}

static void
test_negotiation(void **state)
{
    Fixture *f = *state;
    uint64_t offered = virtio_driver_offered(&f->drv);

    assert_true(offered & V1 && offered & INDIRECT && offered & EVENT_IDX);
    assert_true(virtio_driver_negotiate(&f->drv, V1));
    assert_false(virtio_driver_negotiate(&f->drv, 0));
    assert_false(virtio_driver_negotiate(&f->drv, V1 | VIRTIO_F(50)));
    assert_true(virtio_driver_negotiate(&f->drv, offered));
    /* the choice is fixed once it was accepted */
    fake_write(f->fake, f->drv.common + 8, 4, 0);
    fake_write(f->fake, f->drv.common + 0xc, 4, 0);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0xc, 4), (uint32_t)offered);
}

static void
test_driver_ok_without_features(void **state)
{
    Fixture *f = *state;

    virtio_driver_set_status(&f->drv, 0);
    virtio_driver_set_status(&f->drv, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                          VIRTIO_STATUS_DRIVER_OK);
    assert_true(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET);
}

static void
test_request(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    for (unsigned i = 0; i < 5 * SIZE; i++)
        expect_alive(f);
    virtio_driver_settle(&f->drv);
    assert_true(virtio_driver_interrupts(&f->drv, 0) > 0);
}

static void
test_no_interrupt_flag(void **state)
{
    Fixture *f = *state;
    uint16_t flags = 1;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    memcpy(virtio_driver_memory(&f->drv, f->q->avail), &flags, 2);
    expect_alive(f);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 0);
}

static void
test_event_index(void **state)
{
    Fixture *f = *state;
    uint16_t event, *avail_event;

    virtio_driver_start(&f->drv, EVENT_IDX, 1, SIZE);
    expect_alive(f);
    virtio_driver_settle(&f->drv);
    virtio_driver_interrupts(&f->drv, 0);
    /* not before the fourth from here */
    event = 4;
    memcpy(virtio_driver_memory(&f->drv, f->q->avail + 4 + 2 * SIZE), &event, 2);
    for (unsigned i = 0; i < 3; i++) {
        expect_alive(f);
        virtio_driver_settle(&f->drv);
        assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 0);
    }
    expect_alive(f);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 1);
    /* and the device asks for the next buffer */
    avail_event = virtio_driver_memory(&f->drv, f->q->used + 4 + 8 * SIZE);
    assert_int_equal(*avail_event, f->q->avail_idx);
}

static void
test_intx(void **state)
{
    Fixture *f = *state;
    unsigned edges = 0, after = 0;

    for (unsigned cap = 0x40; cap < 0x100; cap += 4) {
        if (pci_config_read(f->fake->machine->pci, f->drv.bdf, cap, 1) == PCI_CAP_ID_MSIX)
            pci_config_write(f->fake->machine->pci, f->drv.bdf, cap + 2, 2, 0);
    }
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        edges += f->fake->gsi_edges[i];
    expect_alive(f);
    virtio_driver_settle(&f->drv);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        after += f->fake->gsi_edges[i];
    assert_true(after > edges);
    assert_int_equal(fake_read(f->fake, f->drv.isr, 1), 1);
    assert_int_equal(fake_read(f->fake, f->drv.isr, 1), 0);
    for (unsigned i = 16; i < 24; i++)
        assert_false(f->fake->gsi[i]);
}

static void
test_indirect(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[20];
    uint32_t len;

    virtio_driver_start(&f->drv, INDIRECT, 1, SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(buffers); i++)
        buffers[i] = (DriverBuffer){ virtio_driver_alloc(&f->drv, 10), 10, true };
    virtio_driver_add(&f->drv, f->q, buffers, G_N_ELEMENTS(buffers), true);
    virtio_driver_wait(&f->drv, f->q, &len);
    assert_int_equal(len, 200);
}

static void
test_zero_length(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[3] = { { 0x1000, 0, true }, { 0x2000, 8, true }, { 0x3000, 0, true } };
    uint32_t len;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_add(&f->drv, f->q, buffers, 3, false);
    virtio_driver_wait(&f->drv, f->q, &len);
    assert_int_equal(len, 8);
}

static void
test_loop(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_desc(&f->drv, f->q, 0, 0x1000, 8, DESC_WRITE | DESC_NEXT, 1);
    virtio_driver_desc(&f->drv, f->q, 1, 0x1000, 8, DESC_WRITE | DESC_NEXT, 0);
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
}

static void
test_indirect_loop(void **state)
{
    Fixture *f = *state;
    DriverQueue table = { .size = 4 };

    virtio_driver_start(&f->drv, INDIRECT, 1, SIZE);
    table.desc = virtio_driver_alloc(&f->drv, 64);
    for (uint16_t i = 0; i < 4; i++)
        virtio_driver_desc(&f->drv, &table, i, 0x1000, 8, DESC_WRITE | DESC_NEXT, (i + 1) % 4);
    virtio_driver_desc(&f->drv, f->q, 0, table.desc, 64, DESC_INDIRECT, 0);
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
}

static void
test_indirect_nonsense(void **state)
{
    Fixture *f = *state;
    DriverQueue table = { .size = 4 };
    const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags;
    } rows[] = {
        { 0, 0, DESC_INDIRECT },         /* empty */
        { 0, 24, DESC_INDIRECT },        /* not whole descriptors */
        { 0, 16 * 1025, DESC_INDIRECT }, /* longer than any chain may be */
        { RAM - 16, 32, DESC_INDIRECT }, /* half out of RAM */
        { UINT64_MAX - 15, 32, DESC_INDIRECT },
        { 0, 16, DESC_INDIRECT | DESC_NEXT },
    };

    virtio_driver_start(&f->drv, INDIRECT, 1, SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        uint64_t addr = rows[i].addr ? rows[i].addr : virtio_driver_alloc(&f->drv, 16 * 1025);

        virtio_driver_desc(&f->drv, f->q, 0, addr, rows[i].len, rows[i].flags, 1);
        virtio_driver_offer(&f->drv, f->q, 0);
        expect_broken(f);
    }
    /* one table inside another */
    table.desc = virtio_driver_alloc(&f->drv, 64);
    virtio_driver_desc(&f->drv, &table, 0, table.desc, 16, DESC_INDIRECT, 0);
    virtio_driver_desc(&f->drv, f->q, 0, table.desc, 16, DESC_INDIRECT, 0);
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
    /* without the feature */
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_desc(&f->drv, &table, 0, 0x1000, 16, DESC_WRITE, 0);
    virtio_driver_desc(&f->drv, f->q, 0, table.desc, 16, DESC_INDIRECT, 0);
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
}

static void
test_bad_buffers(void **state)
{
    Fixture *f = *state;
    const DriverBuffer rows[] = {
        { RAM, 16, true },
        { RAM - 8, 16, true },
        { UINT64_MAX - 7, 16, true },
        { 0x1000, UINT32_MAX, true },
        { UINT64_C(1) << 63, 1, true },
    };

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        virtio_driver_add(&f->drv, f->q, &rows[i], 1, false);
        expect_broken(f);
    }
}

static void
test_readable_after_writable(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[2] = { { 0x1000, 16, true }, { 0x2000, 16, false } };

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_add(&f->drv, f->q, buffers, 2, false);
    expect_broken(f);
}

static void
test_head_out_of_range(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_offer(&f->drv, f->q, SIZE);
    expect_broken(f);
    virtio_driver_desc(&f->drv, f->q, 0, 0x1000, 8, DESC_WRITE | DESC_NEXT, SIZE);
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
}

static void
test_available_index_jumps(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    f->q->avail_idx = SIZE;
    virtio_driver_offer(&f->drv, f->q, 0);
    expect_broken(f);
}

static void
test_rings_out_of_ram(void **state)
{
    Fixture *f = *state;

    assert_true(virtio_driver_negotiate(&f->drv, V1));
    fake_write(f->fake, f->drv.common + 0x16, 2, 0);
    fake_write(f->fake, f->drv.common + 0x18, 2, SIZE);
    fake_write(f->fake, f->drv.common + 0x20, 4, RAM);
    fake_write(f->fake, f->drv.common + 0x28, 4, 0x1000);
    fake_write(f->fake, f->drv.common + 0x30, 4, 0x2000);
    fake_write(f->fake, f->drv.common + 0x1c, 2, 1);
    virtio_driver_ok(&f->drv);
    assert_true(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET);
}

static void
test_queue_size(void **state)
{
    Fixture *f = *state;
    const uint16_t bad[] = { 0, 3, 16, 0x8000 };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_true(virtio_driver_negotiate(&f->drv, V1));
        fake_write(f->fake, f->drv.common + 0x18, 2, bad[i]);
        assert_true(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET);
    }
}

static void
test_absent_queue(void **state)
{
    Fixture *f = *state;

    assert_true(virtio_driver_negotiate(&f->drv, V1));
    fake_write(f->fake, f->drv.common + 0x16, 2, 1);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x18, 2), 0);
    fake_write(f->fake, f->drv.common + 0x1c, 2, 1);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x1c, 2), 0);
    fake_write(f->fake, f->drv.notify + 4 * 77, 2, 77);
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
}

static void
test_vector(void **state)
{
    Fixture *f = *state;

    assert_true(virtio_driver_negotiate(&f->drv, V1));
    fake_write(f->fake, f->drv.common + 0x1a, 2, 1);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x1a, 2), 1);
    fake_write(f->fake, f->drv.common + 0x1a, 2, 900);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x1a, 2), VIRTIO_NO_VECTOR);
}

static void
test_queue_reset(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, VIRTIO_F(VIRTIO_F_RING_RESET_BIT), 1, SIZE);
    expect_alive(f);
    fake_write(f->fake, f->drv.common + 0x16, 2, 0);
    fake_write(f->fake, f->drv.common + 0x3a, 2, 1);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x3a, 2), 0);
    assert_int_equal(fake_read(f->fake, f->drv.common + 0x1c, 2), 0);
    virtio_driver_queue(&f->drv, 0, 4);
    expect_alive(f);
}

static void
test_window(void **state)
{
    Fixture *f = *state;
    PciRoot *root = f->fake->machine->pci;
    unsigned cap = pci_config_read(root, f->drv.bdf, PCI_CAPABILITY_LIST, 1);

    while (pci_config_read(root, f->drv.bdf, cap, 1) != PCI_CAP_ID_VENDOR ||
           pci_config_read(root, f->drv.bdf, cap + 3, 1) != 5)
        cap = pci_config_read(root, f->drv.bdf, cap + 1, 1);
    pci_config_write(root, f->drv.bdf, cap + 4, 1, 4);
    pci_config_write(root, f->drv.bdf, cap + 8, 4, 0x14);
    pci_config_write(root, f->drv.bdf, cap + 12, 4, 1);
    pci_config_write(root, f->drv.bdf, cap + 16, 1, VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(virtio_driver_status(&f->drv), VIRTIO_STATUS_ACKNOWLEDGE);
    assert_int_equal(pci_config_read(root, f->drv.bdf, cap + 16, 1), VIRTIO_STATUS_ACKNOWLEDGE);
    /* outside the BAR, and in no BAR at all */
    pci_config_write(root, f->drv.bdf, cap + 8, 4, 0x4000);
    pci_config_write(root, f->drv.bdf, cap + 16, 1, 0);
    pci_config_write(root, f->drv.bdf, cap + 8, 4, 0x14);
    pci_config_write(root, f->drv.bdf, cap + 4, 1, 2);
    pci_config_write(root, f->drv.bdf, cap + 16, 1, 0);
    assert_int_equal(virtio_driver_status(&f->drv), VIRTIO_STATUS_ACKNOWLEDGE);
}

static void
test_machine_reset(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
    machine_set_running(f->fake->machine, false);
    machine_reset(f->fake->machine);
    virtio_driver_init(&f->drv, f->fake, virtio_base(f->drv.dev));
    assert_int_equal(virtio_driver_status(&f->drv), 0);
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
}

static void
test_pause(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { 0x1000, 16, true };

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
    machine_set_running(f->fake->machine, false);
    virtio_driver_add(&f->drv, f->q, &buffer, 1, false);
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, f->q));
    machine_set_running(f->fake->machine, true);
    virtio_driver_wait(&f->drv, f->q, NULL);
}

static void
test_saved_state(void **state)
{
    Fixture *f = *state;
    Fixture other = { 0 };
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    virtio_driver_start(&f->drv, EVENT_IDX, 1, SIZE);
    for (unsigned i = 0; i < 3; i++)
        expect_alive(f);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));

    other.fake = fake_machine_new_q35(RAM);
    other.drv = f->drv;
    other.drv.fake = other.fake;
    other.drv.dev = virtio_device(make_rng(other.fake));
    other.q = &other.drv.q[0];
    memcpy(other.fake->ram, f->fake->ram, RAM);
    if (!machine_load(other.fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(other.fake->machine, true);
    for (unsigned i = 0; i < 2 * SIZE; i++)
        expect_alive(&other);
    virtio_driver_settle(&other.drv);
    assert_true(virtio_driver_interrupts(&other.drv, 0) > 0);
    fake_machine_free(other.fake);
}

static void
test_doorbell(void **state)
{
    Fixture *f = *state;
    const IoEvent *event = fake_event_at(f->fake, f->drv.notify);
    DriverBuffer buffer = { 0x1000, 16, true };
    uint64_t one = 1;

    assert_non_null(event);
    virtio_driver_start(&f->drv, 0, 1, SIZE);
    virtio_driver_desc(&f->drv, f->q, 0, buffer.addr, buffer.len, DESC_WRITE, 0);
    virtio_driver_offer(&f->drv, f->q, 0);
    assert_int_equal(write(event->fd, &one, sizeof(one)), sizeof(one));
    virtio_driver_wait(&f->drv, f->q, NULL);
}

static void
test_unplug(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, SIZE);
    expect_alive(f);
    device_free(virtio_base(f->drv.dev));
    assert_null(fake_event_at(f->fake, f->drv.notify));
    assert_int_equal(fake_read(f->fake, f->drv.common, 4), UINT32_MAX);
}

static void
test_rate_limit(void **state)
{
    Fixture *f = *state;
    VirtioDriver drv;
    DriverQueue *q = &drv.q[0];
    DriverBuffer buffer;
    int64_t start;
    uint32_t len;

    add_source(f->fake, "rng-random", "r1");
    virtio_driver_init(&drv, f->fake,
                       fake_device(f->fake, "virtio-rng-pci", "rng", "r1", "addr", "0x6",
                                   "max-bytes", "100", "period", "300", NULL));
    virtio_driver_start(&drv, 0, 1, SIZE);
    buffer = (DriverBuffer){ virtio_driver_alloc(&drv, 80), 80, true };
    start = io_clock_ns();
    virtio_driver_add(&drv, q, &buffer, 1, false);
    virtio_driver_wait(&drv, q, &len);
    assert_int_equal(len, 80);
    virtio_driver_add(&drv, q, &buffer, 1, false);
    virtio_driver_wait(&drv, q, &len);
    assert_int_equal(len, 20);
    virtio_driver_add(&drv, q, &buffer, 1, false);
    virtio_driver_wait(&drv, q, &len);
    assert_int_equal(len, 80);
    assert_true(io_clock_ns() - start >= 300 * 1000000);
}

/* A device that names no source has one of its own. */
static void
test_own_source(void **state)
{
    Fixture *f = *state;
    Fixture other = { .fake = f->fake, .q = &other.drv.q[0] };

    virtio_driver_init(&other.drv, f->fake,
                       fake_device(f->fake, "virtio-rng-pci", "addr", "0x6", NULL));
    virtio_driver_start(&other.drv, 0, 1, SIZE);
    expect_alive(&other);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ids),
        TEST(test_refused_props),
        TEST(test_page_per_queue),
        TEST(test_negotiation),
        TEST(test_driver_ok_without_features),
        TEST(test_request),
        TEST(test_no_interrupt_flag),
        TEST(test_event_index),
        TEST(test_intx),
        TEST(test_indirect),
        TEST(test_zero_length),
        TEST(test_loop),
        TEST(test_indirect_loop),
        TEST(test_indirect_nonsense),
        TEST(test_bad_buffers),
        TEST(test_readable_after_writable),
        TEST(test_head_out_of_range),
        TEST(test_available_index_jumps),
        TEST(test_rings_out_of_ram),
        TEST(test_queue_size),
        TEST(test_absent_queue),
        TEST(test_vector),
        TEST(test_queue_reset),
        TEST(test_window),
        TEST(test_machine_reset),
        TEST(test_pause),
        TEST(test_saved_state),
        TEST(test_doorbell),
        TEST(test_unplug),
        TEST(test_rate_limit),
        TEST(test_own_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
