/* test_hw_virtio_balloon.c - the virtio balloon: pages, statistics, reporting.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/virtio/balloon.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RAM = 16 << 20, SIZE = 16, F_STATS = 1, F_OOM = 2, F_REPORTING = 5, PAGE = 4096 };

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    Device *dev;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->dev = fake_device(f->fake, "virtio-balloon-pci", "id", "balloon0", "addr", "0x5",
                         "deflate-on-oom", "on", "free-page-reporting", "on", NULL);
    virtio_driver_init(&f->drv, f->fake, f->dev);
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

static uint8_t *
page(Fixture *f, unsigned n)
{
    return f->fake->ram + (8 << 20) + n * PAGE;
}

static void
give(Fixture *f, unsigned queue, const uint32_t *pfns, unsigned n)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 4 * n), 4 * n, false };

    memcpy(virtio_driver_memory(&f->drv, buffer.addr), pfns, 4 * n);
    virtio_driver_add(&f->drv, &f->drv.q[queue], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[queue], NULL);
}

static void
test_inflate(void **state)
{
    Fixture *f = *state;
    uint32_t base = (8 << 20) / PAGE;
    uint32_t pfns[] = { base + 2, base + 3, base + 5, base + 4, base + 8, RAM / PAGE, UINT32_MAX };

    virtio_driver_start(&f->drv, VIRTIO_F(F_STATS), 3, SIZE);
    for (unsigned i = 0; i < 10; i++)
        memset(page(f, i), 0x77, PAGE);
    give(f, 0, pfns, G_N_ELEMENTS(pfns));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(page(f, i)[17], (i >= 2 && i <= 5) || i == 8 ? 0 : 0x77);
    give(f, 1, pfns, 5);
    assert_int_equal(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET, 0);
}

static void
test_target(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, 0, 2, SIZE);
    assert_int_equal(virtio_balloon_actual(f->dev), RAM);
    virtio_balloon_set_target(f->dev, RAM - (1 << 20));
    assert_int_equal(virtio_driver_config(&f->drv, 0, 4), (1 << 20) / PAGE);
    virtio_balloon_set_target(f->dev, UINT64_MAX);
    assert_int_equal(virtio_driver_config(&f->drv, 0, 4), 0);
    fake_write(f->fake, f->drv.config + 4, 4, 16);
    assert_int_equal(virtio_balloon_actual(f->dev), RAM - 16 * PAGE);
    assert_string_equal(f->fake->qmp->pdata[f->fake->qmp->len - 1], "BALLOON_CHANGE");
    fake_write(f->fake, f->drv.config + 4, 4, UINT32_MAX);
    assert_int_equal(virtio_balloon_actual(f->dev), 0);
}

static void
post_stats(Fixture *f, uint64_t free_memory)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 25), 25, false };
    uint8_t *at = virtio_driver_memory(&f->drv, buffer.addr);
    uint16_t tags[2] = { 4, 900 };

    memcpy(at, &tags[0], 2);
    memcpy(at + 2, &free_memory, 8);
    memcpy(at + 10, &tags[1], 2);
    virtio_driver_add(&f->drv, &f->drv.q[2], &buffer, 1, false);
    virtio_driver_settle(&f->drv);
}

static int64_t
stat(Fixture *f, const char *name)
{
    g_autoptr(JsonObject) all = virtio_balloon_stats(f->dev);

    return json_object_get_int_member(json_object_get_object_member(all, "stats"), name);
}

static void
test_stats(void **state)
{
    Fixture *f = *state;
    g_autoptr(JsonObject) before = NULL;

    virtio_driver_start(&f->drv, VIRTIO_F(F_STATS), 3, SIZE);
    before = virtio_balloon_stats(f->dev);
    assert_int_equal(json_object_get_int_member(before, "last-update"), 0);
    post_stats(f, 12345);
    assert_int_equal(stat(f, "stat-free-memory"), 12345);
    assert_int_equal(stat(f, "stat-total-memory"), -1);
    /* the buffer stays with the device until new ones are wanted */
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[2]));
    virtio_balloon_set_polling_interval(f->dev, 1);
    assert_int_equal(virtio_balloon_polling_interval(f->dev), 1);
    virtio_driver_wait(&f->drv, &f->drv.q[2], NULL);
    post_stats(f, 777);
    assert_int_equal(stat(f, "stat-free-memory"), 777);
    virtio_driver_wait(&f->drv, &f->drv.q[2], NULL);
    /* paused and going on with the buffer held */
    post_stats(f, 778);
    machine_set_running(f->fake->machine, false);
    machine_set_running(f->fake->machine, true);
    virtio_driver_wait(&f->drv, &f->drv.q[2], NULL);
}

/* Without statistics the third queue is the one for reports. */
static void
test_reporting(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[2] = { { (8 << 20) + PAGE, 2 * PAGE, true },
                                { (8 << 20) + 4 * PAGE + 100, PAGE, true } };

    for (unsigned stats = 0; stats < 2; stats++) {
        unsigned queue = 2 + stats;

        virtio_driver_start(&f->drv, VIRTIO_F(F_REPORTING) | (stats ? VIRTIO_F(F_STATS) : 0),
                            3 + stats, SIZE);
        for (unsigned i = 0; i < 7; i++)
            memset(page(f, i), 0x77, PAGE);
        virtio_driver_add(&f->drv, &f->drv.q[queue], buffers, 2, false);
        virtio_driver_wait(&f->drv, &f->drv.q[queue], NULL);
        for (unsigned i = 0; i < 7; i++)
            assert_int_equal(page(f, i)[200], i == 1 || i == 2 ? 0 : 0x77);
    }
}

static void
test_refused(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "page-poison", "virtio-balloon-pci", "page-poison", "on", NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_inflate),   TEST(test_target),  TEST(test_stats),
        TEST(test_reporting), TEST(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
