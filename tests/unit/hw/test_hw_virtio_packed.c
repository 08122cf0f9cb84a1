/* test_hw_virtio_packed.c - packed queues: rounds of the ring, chains given back in any order,
 * event suppression, saved state, and rings with every kind of nonsense. The tests of the models
 * are run with packed queues too (meson.build).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/virtio/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A size that split queues cannot have. */
enum { RAM = 16 << 20, SIZE = 7 };

#define INDIRECT VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT)
#define EVENT_IDX VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT)
#define PACKED VIRTIO_F(VIRTIO_F_RING_PACKED_BIT)

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    DriverQueue *q;
} Fixture;

static Device *
make_rng(FakeMachine *fake)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;

    g_hash_table_insert(props, (char *)"qom-type", (char *)"rng-builtin");
    g_hash_table_insert(props, (char *)"id", (char *)"r0");
    assert_true(rng_object_add(fake->machine, props, &err));
    return fake_device(fake, "virtio-rng-pci", "rng", "r0", "addr", "5", "packed", "on", NULL);
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

/* A device with a queue from which nothing is taken but by the test. */
static int
setup_serial(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    virtio_driver_init(
        &f->drv, f->fake,
        fake_device(f->fake, "virtio-serial-pci", "addr", "5", "packed", "on", NULL));
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

static void
start(Fixture *f, uint64_t features)
{
    virtio_driver_start(&f->drv, features | PACKED, 1, SIZE);
}

static void
expect_request(Fixture *f, unsigned n, bool indirect)
{
    DriverBuffer buffers[SIZE];
    uint32_t len;
    uint16_t id;

    for (unsigned i = 0; i < n; i++)
        buffers[i] = (DriverBuffer){ 0x4000 + 64 * i, 64, true };
    memset(virtio_driver_memory(&f->drv, 0x4000), 0, 64 * n);
    id = virtio_driver_add(&f->drv, f->q, buffers, n, indirect);
    assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), id);
    assert_int_equal(len, 64 * n);
}

static void
expect_broken(Fixture *f)
{
    virtio_driver_kick(&f->drv, f->q);
    virtio_driver_wait_broken(&f->drv);
    /* and only a reset helps */
    start(f, f->drv.features);
    expect_request(f, 1, false);
}

static void
test_rounds(void **state)
{
    Fixture *f = *state;

    assert_true(virtio_driver_offered(&f->drv) & PACKED);
    start(f, INDIRECT);
    for (unsigned i = 0; i < 5 * SIZE; i++) {
        expect_request(f, 1 + i % SIZE, false);
        expect_request(f, 1 + i % 3, true);
    }
}

static void
test_split_still(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 1, 8);
    expect_request(f, 2, false);
    start(f, 0);
    expect_request(f, 2, false);
    virtio_driver_start(&f->drv, 0, 1, 8);
    expect_request(f, 2, false);
}

static void
test_queue_reset(void **state)
{
    Fixture *f = *state;

    start(f, VIRTIO_F(VIRTIO_F_RING_RESET_BIT));
    for (unsigned i = 0; i < 3; i++)
        expect_request(f, 1, false);
    fake_write(f->fake, f->drv.common + 0x16, 2, 0);
    fake_write(f->fake, f->drv.common + 0x3a, 2, 1);
    /* from the beginning of the ring again */
    virtio_driver_queue(&f->drv, 0, 4);
    for (unsigned i = 0; i < 9; i++)
        expect_request(f, 1 + i % 4, false);
}

static void
test_interrupts(void **state)
{
    Fixture *f = *state;
    uint16_t *event;

    start(f, EVENT_IDX);
    event = virtio_driver_memory(&f->drv, f->q->avail);
    expect_request(f, 1, false);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 1);
    event[1] = 1; /* none */
    expect_request(f, 1, false);
    virtio_driver_settle(&f->drv);
    assert_int_equal(virtio_driver_interrupts(&f->drv, 0), 0);
    event[0] = PACKED_WRAP | 4; /* for what is given back at place 4, which is the fifth */
    event[1] = 2;
    for (unsigned i = 2; i < 5; i++) {
        expect_request(f, 1, false);
        virtio_driver_settle(&f->drv);
        assert_int_equal(virtio_driver_interrupts(&f->drv, 0), i == 4);
    }
    /* the device says where it wants to hear of a new one */
    event = virtio_driver_memory(&f->drv, f->q->used);
    assert_int_equal(event[0], PACKED_WRAP | 5);
    assert_int_equal(event[1], 2);
    expect_request(f, 3, false);
    virtio_driver_settle(&f->drv);
    assert_int_equal(event[0], 1);
}

/* ---- any order ---- */

typedef struct {
    VirtQueue *q;
    VirtChain chains[4];
    uint16_t heads[4];
    unsigned n;
    bool more;
} Work;

static void
take_all(void *opaque)
{
    Work *w = opaque;

    w->n = 0;
    while (w->n < 4 && virt_queue_pop(w->q, &w->chains[w->n]) > 0) {
        w->heads[w->n] = w->chains[w->n].head;
        w->n++;
    }
}

static void
give_out_of_order(void *opaque)
{
    Work *w = opaque;

    virt_queue_push(w->q, w->heads[1], 10);
    virt_queue_fill(w->q, w->heads[2], 20, 0);
    virt_queue_fill(w->q, w->heads[0], 0, 1);
    virt_queue_publish(w->q, 2);
}

static void
run_in_loop(Fixture *f, Work *w, void (*fn)(void *opaque))
{
    w->q = &f->drv.dev->queues[0];
    io_loop_run_sync(w->q->loop, fn, w);
}

static void
work_clear(Work *w)
{
    for (unsigned i = 0; i < 4; i++)
        virt_chain_clear(&w->chains[i]);
}

static void
test_out_of_order(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[2] = { { 0x4000, 64, true }, { 0x5000, 64, true } };
    Work w = { .n = 0 };
    uint32_t len;

    start(f, 0);
    for (unsigned round = 0; round < 9; round++) {
        uint16_t a = virtio_driver_add(&f->drv, f->q, buffers, 2, false);
        uint16_t b = virtio_driver_add(&f->drv, f->q, buffers, 1, false);
        uint16_t c = virtio_driver_add(&f->drv, f->q, buffers, 2, false);

        run_in_loop(f, &w, take_all);
        assert_int_equal(w.n, 3);
        assert_int_equal(w.chains[0].in_len, 128);
        run_in_loop(f, &w, give_out_of_order);
        assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), b);
        assert_int_equal(len, 10);
        assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), c);
        assert_int_equal(len, 20);
        assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), a);
        assert_int_equal(len, 0);
        assert_false(virtio_driver_has_used(&f->drv, f->q));
    }
    work_clear(&w);
}

/* What was to be given back is taken back, as a card does whose packet needs more buffers. */
static void
give_back_in_vain(void *opaque)
{
    Work *w = opaque;

    take_all(w);
    assert_int_equal(w->n, 2);
    virt_queue_fill(w->q, w->heads[0], 64, 0);
    virt_queue_fill(w->q, w->heads[1], 64, 1);
    virt_queue_unpop(w->q);
    w->more = virt_queue_await_more(w->q);
}

static void
give_both(void *opaque)
{
    Work *w = opaque;

    assert_int_equal(virt_queue_pop(w->q, &w->chains[1]), 1);
    virt_queue_fill(w->q, w->heads[0], 64, 0);
    virt_queue_fill(w->q, w->chains[1].head, 32, 1);
    virt_queue_publish(w->q, 2);
}

static void
test_taken_back(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { 0x4000, 64, true };
    Work w = { .n = 0 };
    uint16_t ids[2];
    uint32_t len;

    start(f, EVENT_IDX);
    for (unsigned round = 0; round < 2 * SIZE; round++) {
        for (unsigned i = 0; i < 2; i++)
            ids[i] = virtio_driver_add(&f->drv, f->q, &buffer, 1, false);
        run_in_loop(f, &w, give_back_in_vain);
        assert_false(w.more);
        assert_false(virtio_driver_has_used(&f->drv, f->q));
        run_in_loop(f, &w, give_both);
        assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), ids[0]);
        assert_int_equal(len, 64);
        assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), ids[1]);
        assert_int_equal(len, 32);
    }
    work_clear(&w);
}

static void
give_last_of_three(void *opaque)
{
    Work *w = opaque;

    take_all(w);
    assert_int_equal(w->n, 3);
    /* lies where the first of the first chain lay */
    virt_queue_push(w->q, w->heads[2], 7);
}

static void
give_two(void *opaque)
{
    Work *w = opaque;

    take_all(w);
    assert_int_equal(w->n, 2);
    assert_int_equal(w->chains[0].in_len, 128);
    assert_int_equal(w->chains[1].in_len, 64);
    virt_queue_push(w->q, w->heads[0], 1);
    virt_queue_push(w->q, w->heads[1], 2);
}

/* Requests that a device holds while its state is saved are taken again where it is loaded, though
 * the ring has them no more. */
static void
test_saved_state(void **state)
{
    Fixture *f = *state, to = { 0 };
    DriverBuffer buffers[2] = { { 0x4000, 64, true }, { 0x5000, 64, true } };
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Work w = { .n = 0 };
    uint16_t ids[3];

    start(f, INDIRECT);
    ids[0] = virtio_driver_add(&f->drv, f->q, buffers, 2, false);
    ids[1] = virtio_driver_add(&f->drv, f->q, buffers, 1, true);
    ids[2] = virtio_driver_add(&f->drv, f->q, buffers, 1, false);
    run_in_loop(f, &w, give_last_of_three);
    assert_int_equal(virtio_driver_wait(&f->drv, f->q, NULL), ids[2]);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));

    to.fake = fake_machine_new_q35(RAM);
    to.drv = f->drv;
    to.drv.fake = to.fake;
    to.drv.dev =
        virtio_device(fake_device(to.fake, "virtio-serial-pci", "addr", "5", "packed", "on", NULL));
    to.q = &to.drv.q[0];
    memcpy(to.fake->ram, f->fake->ram, RAM);
    if (!machine_load(to.fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(to.fake->machine, true);
    run_in_loop(&to, &w, give_two);
    assert_int_equal(virtio_driver_wait(&to.drv, to.q, NULL), ids[0]);
    assert_int_equal(virtio_driver_wait(&to.drv, to.q, NULL), ids[1]);
    work_clear(&w);
    fake_machine_free(to.fake);
}

/* ---- nonsense ---- */

static void
test_endless_chain(void **state)
{
    Fixture *f = *state;

    start(f, 0);
    for (unsigned i = 0; i < SIZE; i++)
        virtio_driver_packed(&f->drv, f->q, 0x4000, 8, 1, DESC_WRITE | DESC_NEXT);
    expect_broken(f);
}

/* All of the ring stays available, whatever is taken of it. */
static void
test_more_than_the_ring(void **state)
{
    Fixture *f = *state;
    Work w = { .n = 0 };

    start(f, 0);
    for (unsigned i = 0; i < SIZE; i++)
        virtio_driver_packed(&f->drv, f->q, 0x4000, 8, 1, DESC_WRITE);
    run_in_loop(f, &w, take_all);
    run_in_loop(f, &w, take_all);
    assert_int_equal(w.n, SIZE - 4);
    virtio_driver_packed(&f->drv, f->q, 0x4000, 8, 1, DESC_WRITE);
    run_in_loop(f, &w, take_all);
    assert_int_equal(w.n, 0);
    assert_true(virtio_device_broken(f->drv.dev));
    work_clear(&w);
}

static void
test_bad_buffers(void **state)
{
    static const struct {
        uint64_t addr;
        uint32_t len;
    } bad[] = {
        { RAM, 64 }, { RAM - 32, 64 }, { UINT64_MAX - 8, 64 }, { 0, UINT32_MAX }, { 0xfee00000, 4 }
    };
    Fixture *f = *state;

    start(f, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        virtio_driver_packed(&f->drv, f->q, bad[i].addr, bad[i].len, 0, DESC_WRITE);
        expect_broken(f);
    }
    virtio_driver_packed(&f->drv, f->q, 0x4000, 8, 0, DESC_WRITE | DESC_NEXT);
    virtio_driver_packed(&f->drv, f->q, 0x5000, 8, 0, 0);
    expect_broken(f);
}

static void
test_bad_tables(void **state)
{
    static const struct {
        uint64_t features, addr;
        uint32_t len;
        uint16_t flags;
    } bad[] = {
        { 0, 0x8000, 16, 0 },                                 /* without the feature */
        { INDIRECT, 0x8000, 16, DESC_NEXT },                  /* with others */
        { INDIRECT, 0x8000, 0, 0 },                           /* empty */
        { INDIRECT, 0x8000, 24, 0 },                          /* one and a half */
        { INDIRECT, 0x8000, 16 * (VIRTIO_QUEUE_MAX + 1), 0 }, /* too long */
        { INDIRECT, RAM - 16, 32, 0 },                        /* outside RAM */
    };
    Fixture *f = *state;
    DriverQueue table = { .desc = 0x8000 };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        start(f, bad[i].features);
        virtio_driver_desc(&f->drv, &table, 0, 0x4000, 64, 0, DESC_WRITE);
        virtio_driver_packed(&f->drv, f->q, bad[i].addr, bad[i].len, 0,
                             bad[i].flags | DESC_INDIRECT);
        expect_broken(f);
    }
    /* not first of its chain */
    start(f, INDIRECT);
    virtio_driver_packed(&f->drv, f->q, 0x4000, 8, 0, DESC_WRITE | DESC_NEXT);
    virtio_driver_packed(&f->drv, f->q, 0x8000, 16, 0, DESC_INDIRECT);
    expect_broken(f);
    /* of a table's flags only that for writing counts */
    start(f, INDIRECT);
    virtio_driver_desc(&f->drv, &table, 0, 0x4000, 64, 0xffff,
                       DESC_WRITE | DESC_INDIRECT | DESC_NEXT);
    virtio_driver_packed(&f->drv, f->q, 0x8000, 16, 3, DESC_INDIRECT);
    f->q->counts[3] = 1;
    virtio_driver_kick(&f->drv, f->q);
    assert_int_equal(virtio_driver_wait(&f->drv, f->q, NULL), 3);
}

static void
test_bad_places(void **state)
{
    /* of the ring and of both event structures */
    static const struct {
        unsigned reg;
        uint32_t address;
    } bad[] = { { 0x20, RAM - 16 }, { 0x20, 0x1008 }, { 0x28, RAM - 2 },
                { 0x28, 0x1002 },   { 0x30, RAM },    { 0x30, 0x1002 } };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        assert_true(virtio_driver_negotiate(&f->drv, VIRTIO_F(VIRTIO_F_VERSION_1_BIT) | PACKED));
        fake_write(f->fake, f->drv.common + 0x16, 2, 0);
        fake_write(f->fake, f->drv.common + 0x18, 2, SIZE);
        for (unsigned reg = 0x20; reg <= 0x30; reg += 8)
            fake_write(f->fake, f->drv.common + reg, 4, reg << 8);
        fake_write(f->fake, f->drv.common + bad[i].reg, 4, bad[i].address);
        fake_write(f->fake, f->drv.common + 0x1c, 2, 1);
        virtio_driver_ok(&f->drv);
        virtio_driver_wait_broken(&f->drv);
    }
    start(f, 0);
    expect_request(f, 1, false);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_BY_HAND(fn) cmocka_unit_test_setup_teardown(fn, setup_serial, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rounds),
        TEST(test_split_still),
        TEST(test_queue_reset),
        TEST(test_interrupts),
        TEST_BY_HAND(test_out_of_order),
        TEST_BY_HAND(test_taken_back),
        TEST_BY_HAND(test_saved_state),
        TEST(test_endless_chain),
        TEST_BY_HAND(test_more_than_the_ring),
        TEST(test_bad_buffers),
        TEST(test_bad_tables),
        TEST(test_bad_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
