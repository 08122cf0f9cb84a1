/* test_hw_virtio_gpu.c - the virtio GPU: pictures, outputs, cursor, resize, saved state, hostile
 * commands.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/core/bytes.h"
#include "hw/display/virtio_gpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RAM = 16 << 20, QUEUE = 16, WIDTH = 64, HEIGHT = 32, PICTURE = WIDTH * HEIGHT * 4 };

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    Device *dev;
    uint8_t answer[2048];
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    f->dev = fake_device(f->fake, "virtio-gpu-pci", "id", "video0", "addr", "0x5", "max_outputs",
                         "2", "max_hostmem", "1M", NULL);
    virtio_driver_init(&f->drv, f->fake, f->dev);
    virtio_driver_start(&f->drv, VIRTIO_F(1), 2, QUEUE);
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

static Screen *
screen(FakeMachine *fake, unsigned head)
{
    return displays_find(fake->machine->displays, "video0", head);
}

/* Sends a command of 32-bit words behind its head; returns the answer's type. */
static uint32_t
command(Fixture *f, unsigned queue, uint32_t type, unsigned n, const uint32_t *words)
{
    uint32_t len = GPU_HEAD + 4 * n;
    DriverBuffer buffers[2] = {
        { virtio_driver_alloc(&f->drv, len), len, false },
        { virtio_driver_alloc(&f->drv, sizeof(f->answer)), sizeof(f->answer), true },
    };
    uint8_t *out = virtio_driver_memory(&f->drv, buffers[0].addr);

    bytes_store(out, type, 4);
    bytes_store(out + 4, GPU_FLAG_FENCE, 4);
    bytes_store(out + 8, 77, 8);
    for (unsigned i = 0; i < n; i++)
        bytes_store(out + GPU_HEAD + 4 * i, words[i], 4);
    virtio_driver_add(&f->drv, &f->drv.q[queue], buffers, 2, false);
    virtio_driver_wait(&f->drv, &f->drv.q[queue], NULL);
    memcpy(f->answer, virtio_driver_memory(&f->drv, buffers[1].addr), sizeof(f->answer));
    assert_int_equal(bytes_load64(f->answer + 8), 77);
    return bytes_load32(f->answer);
}

#define COMMAND(f, queue, type, ...)                                                               \
    command(f, queue, type, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (uint32_t[]){ __VA_ARGS__ })

static uint64_t
make_picture(Fixture *f, uint32_t id)
{
    uint64_t at = virtio_driver_alloc(&f->drv, PICTURE);

    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, id, 2, WIDTH, HEIGHT),
                     GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, id, 2, (uint32_t)at, 0, 100, 0,
                             (uint32_t)at + 100, 0, PICTURE - 100, 0),
                     GPU_RESP_OK_NODATA);
    return at;
}

static void
test_picture(void **state)
{
    Fixture *f = *state;
    uint64_t at = make_picture(f, 3);
    uint32_t *pixels = virtio_driver_memory(&f->drv, at);

    for (unsigned i = 0; i < WIDTH * HEIGHT; i++)
        pixels[i] = i;
    assert_int_equal(COMMAND(f, 0, GPU_CMD_SET_SCANOUT, 0, 0, WIDTH, HEIGHT, 0, 3),
                     GPU_RESP_OK_NODATA);
    assert_int_equal(
        COMMAND(f, 0, GPU_CMD_TRANSFER_TO_HOST_2D, 8, 4, 16, 8, (4 * WIDTH + 8) * 4, 0, 3, 0),
        GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_FLUSH, 0, 0, WIDTH, HEIGHT, 3, 0),
                     GPU_RESP_OK_NODATA);
    screen_refresh(screen(f->fake, 0));
    assert_int_equal(screen_surface(screen(f->fake, 0))->width, WIDTH);
    assert_int_equal(surface_row(screen_surface(screen(f->fake, 0)), 4)[8], 4 * WIDTH + 8);
    assert_int_equal(surface_row(screen_surface(screen(f->fake, 0)), 11)[23], 11 * WIDTH + 23);
    assert_int_equal(surface_row(screen_surface(screen(f->fake, 0)), 3)[8], 0);
    /* Nothing is shown once the resource is gone. */
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_UNREF, 3, 0), GPU_RESP_OK_NODATA);
    screen_refresh(screen(f->fake, 0));
    assert_int_equal(screen_surface(screen(f->fake, 0))->width, 640);
}

static void
test_display_info_and_resize(void **state)
{
    Fixture *f = *state;

    assert_int_equal(command(f, 0, GPU_CMD_GET_DISPLAY_INFO, 0, NULL), GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(bytes_load32(f->answer + GPU_HEAD + 8), 1280);
    assert_int_equal(bytes_load32(f->answer + GPU_HEAD + 16), 1);
    assert_int_equal(bytes_load32(f->answer + GPU_HEAD + 24 + 16), 0);
    assert_true(screen_suggest_size(screen(f->fake, 1), 1000, 700));
    assert_int_equal(virtio_driver_config(&f->drv, 0, 4), 1);
    assert_int_equal(command(f, 0, GPU_CMD_GET_DISPLAY_INFO, 0, NULL), GPU_RESP_OK_DISPLAY_INFO);
    assert_int_equal(bytes_load32(f->answer + GPU_HEAD + 24 + 12), 700);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_GET_EDID, 0, 0), GPU_RESP_OK_EDID);
    assert_int_equal(bytes_load32(f->answer + GPU_HEAD), EDID_SIZE);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_GET_EDID, 2, 0), GPU_RESP_ERR_INVALID_PARAMETER);
}

static void
test_cursor(void **state)
{
    Fixture *f = *state;
    uint64_t at = virtio_driver_alloc(&f->drv, 64 * 64 * 4);
    uint32_t *pixels = virtio_driver_memory(&f->drv, at);
    int32_t x, y;

    pixels[5] = 0x80404040;
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 9, 1, 64, 64), GPU_RESP_OK_NODATA);
    assert_int_equal(
        COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, 9, 1, (uint32_t)at, 0, 64 * 64 * 4, 0),
        GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_TRANSFER_TO_HOST_2D, 0, 0, 64, 64, 0, 0, 9, 0),
                     GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 1, GPU_CMD_UPDATE_CURSOR, 0, 30, 40, 0, 9, 1, 2, 0),
                     GPU_RESP_OK_NODATA);
    screen_refresh(screen(f->fake, 0));
    assert_non_null(screen_cursor(screen(f->fake, 0)));
    assert_int_equal(screen_cursor(screen(f->fake, 0))->hot_y, 2);
    assert_int_equal(screen_cursor(screen(f->fake, 0))->pixels[5], 0x807f7f7f);
    screen_cursor_position(screen(f->fake, 0), &x, &y);
    assert_int_equal(x, 30);
    assert_int_equal(y, 40);
    /* A cursor command on the control queue is none. */
    assert_int_equal(COMMAND(f, 0, GPU_CMD_MOVE_CURSOR, 0, 0, 0, 0, 0, 0, 0, 0),
                     GPU_RESP_ERR_UNSPEC);
}

/* Hole: pictures so large that their size wraps, or that fill the host's memory. */
static void
test_hole_huge_resource(void **state)
{
    Fixture *f = *state;

    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 0x40000001, 4),
                     GPU_RESP_ERR_INVALID_PARAMETER);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 0, 4),
                     GPU_RESP_ERR_INVALID_PARAMETER);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 16384, 16384),
                     GPU_RESP_ERR_OUT_OF_MEMORY);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 512, 300), GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 2, 2, 512, 300),
                     GPU_RESP_ERR_OUT_OF_MEMORY);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 16, 16),
                     GPU_RESP_ERR_INVALID_RESOURCE_ID);
}

/* Hole: a picture backed by a device's registers, or by nothing. */
static void
test_hole_backing_outside_ram(void **state)
{
    Fixture *f = *state;

    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_CREATE_2D, 1, 2, 16, 16), GPU_RESP_OK_NODATA);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, 1, 1, 0xfec00000, 0, 1024, 0),
                     GPU_RESP_ERR_UNSPEC);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, 1, 1, RAM - 512, 0, 1024, 0),
                     GPU_RESP_ERR_UNSPEC);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, 1, 0xffffffff),
                     GPU_RESP_ERR_UNSPEC);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_ATTACH_BACKING, 1, 16, 0, 0, 16, 0),
                     GPU_RESP_ERR_UNSPEC);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_TRANSFER_TO_HOST_2D, 0, 0, 16, 16, 0, 0, 1, 0),
                     GPU_RESP_ERR_UNSPEC);
}

/* Hole: rectangles and offsets that leave the picture or wrap. */
static void
test_hole_transfer_over_run(void **state)
{
    static const uint32_t rects[][6] = {
        { 0, 0, WIDTH + 1, 1, 0, 0 },   { 1, 0, WIDTH, 1, 0, 0 },
        { 0xffffffff, 0, 2, 1, 0, 0 },  { 0, 1, 1, HEIGHT, 0, 0 },
        { 0, 0, WIDTH, HEIGHT, 4, 0 },  { 0, 0, 1, 1, 0xfffffffc, 0xffffffff },
        { 0, 0, 1, 2, PICTURE - 4, 0 }, { 0, 0xffffffff, 1, 0xffffffff, 0, 0 },
    };
    Fixture *f = *state;

    make_picture(f, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(rects); i++) {
        const uint32_t *r = rects[i];

        assert_int_equal(
            COMMAND(f, 0, GPU_CMD_TRANSFER_TO_HOST_2D, r[0], r[1], r[2], r[3], r[4], r[5], 1, 0),
            GPU_RESP_ERR_INVALID_PARAMETER);
    }
    assert_int_equal(COMMAND(f, 0, GPU_CMD_SET_SCANOUT, 32, 0, WIDTH, HEIGHT, 0, 1),
                     GPU_RESP_ERR_INVALID_PARAMETER);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_SET_SCANOUT, 0, 0, WIDTH, HEIGHT, 2, 1),
                     GPU_RESP_ERR_INVALID_SCANOUT_ID);
    assert_int_equal(COMMAND(f, 0, GPU_CMD_RESOURCE_FLUSH, 0xffffffff, 0, 2, 1, 1, 0),
                     GPU_RESP_ERR_INVALID_PARAMETER);
    assert_int_equal(COMMAND(f, 0, 0x4242, 0), GPU_RESP_ERR_UNSPEC);
}

static void
test_saved_state(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    uint64_t at = make_picture(f, 5);

    *(uint32_t *)virtio_driver_memory(&f->drv, at) = 0x123456;
    COMMAND(f, 0, GPU_CMD_TRANSFER_TO_HOST_2D, 0, 0, WIDTH, HEIGHT, 0, 0, 5, 0);
    COMMAND(f, 0, GPU_CMD_SET_SCANOUT, 0, 0, WIDTH, HEIGHT, 0, 5);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    machine_reset(f->fake->machine);
    screen_refresh(screen(f->fake, 0));
    assert_int_equal(screen_surface(screen(f->fake, 0))->width, 640);
    if (!machine_load(f->fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    screen_refresh(screen(f->fake, 0));
    assert_int_equal(screen_surface(screen(f->fake, 0))->width, WIDTH);
    assert_int_equal(surface_row(screen_surface(screen(f->fake, 0)), 0)[0], 0x123456);
    /* Damaged resources are refused. */
    for (guint i = saved->len - 6; i > 0; i--) {
        if (memcmp(saved->data + i, "\5saved", 6) == 0) {
            saved->data[i + 6 + 4 + 20 * GPU_OUTPUTS_MAX] = 9;
            break;
        }
    }
    assert_false(machine_load(f->fake->machine, saved->data, saved->len, &err));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_picture, setup, teardown),
        cmocka_unit_test_setup_teardown(test_display_info_and_resize, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cursor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole_huge_resource, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole_backing_outside_ram, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hole_transfer_over_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_saved_state, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
