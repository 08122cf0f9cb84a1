/* test_hw_virtio_input.c - virtio keyboard, mouse and tablet.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/core/bytes.h"
#include "hw/input/input.h"

#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RAM = 16 << 20, SIZE = 64 };

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    uint64_t buffers[SIZE];
    unsigned taken;
} Fixture;

static void
begin(Fixture *f, const char *driver)
{
    f->fake = fake_machine_new_q35(RAM);
    virtio_driver_init(&f->drv, f->fake, fake_device(f->fake, driver, "addr", "0x5", NULL));
    machine_set_running(f->fake->machine, true);
}

static void
start(Fixture *f)
{
    virtio_driver_start(&f->drv, 0, 2, SIZE);
    for (unsigned i = 0; i < SIZE / 2; i++) {
        DriverBuffer b = { virtio_driver_alloc(&f->drv, 8), 8, true };

        f->buffers[i] = b.addr;
        virtio_driver_add(&f->drv, &f->drv.q[0], &b, 1, false);
    }
}

static void
end(Fixture *f)
{
    machine_set_running(f->fake->machine, false);
    fake_machine_free(f->fake);
}

static uint8_t
select_config(Fixture *f, uint8_t select, uint8_t subselect)
{
    fake_write(f->fake, f->drv.config, 1, select);
    fake_write(f->fake, f->drv.config + 1, 1, subselect);
    return (uint8_t)virtio_driver_config(&f->drv, 2, 1);
}

static void
expect(Fixture *f, unsigned type, unsigned code, uint32_t value)
{
    const uint8_t *event;
    uint32_t len;

    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    event = virtio_driver_memory(&f->drv, f->buffers[f->taken++]);
    assert_int_equal(len, 8);
    assert_int_equal(bytes_load16(event), type);
    assert_int_equal(bytes_load16(event + 2), code);
    assert_int_equal(bytes_load32(event + 4), value);
}

static void
keyboard_types(void **state)
{
    static const uint8_t caps[8] = { EV_LED, 0, LED_CAPSL, 0, 1 };
    Fixture fixture = { 0 }, *f = &fixture;
    Input *input;
    DriverBuffer b;

    (void)state;
    begin(f, "virtio-keyboard-pci");
    input = f->fake->machine->input;
    assert_true(select_config(f, 0x01, 0) > 0);
    assert_int_equal(select_config(f, 0x11, EV_KEY), KEY_MAX / 8 > 28 ? 29 : 0);
    assert_int_equal(virtio_driver_config(&f->drv, 8 + KEY_A / 8, 1) >> KEY_A % 8 & 1, 1);
    assert_int_equal(select_config(f, 0x11, EV_ABS), 0);
    assert_int_equal(select_config(f, 0x77, 0), 0);
    start(f);
    input_send_key(input, KEYCODE_a, true);
    input_sync(input);
    expect(f, EV_KEY, KEY_A, 1);
    expect(f, EV_SYN, SYN_REPORT, 0);
    b = (DriverBuffer){ virtio_driver_alloc(&f->drv, 8), 8, false };
    memcpy(virtio_driver_memory(&f->drv, b.addr), caps, 8);
    virtio_driver_add(&f->drv, &f->drv.q[1], &b, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(input_leds(input), INPUT_LED_CAPS);
    end(f);
}

static void
tablet_points(void **state)
{
    Fixture fixture = { 0 }, *f = &fixture;
    Input *input;

    (void)state;
    begin(f, "virtio-tablet-pci");
    input = f->fake->machine->input;
    assert_int_equal(select_config(f, 0x12, ABS_X), 20);
    assert_int_equal(virtio_driver_config(&f->drv, 12, 4), INPUT_ABS_MAX);
    assert_false(input_is_absolute(input));
    start(f);
    assert_true(input_is_absolute(input));
    input_send_abs_scaled(input, INPUT_X, 123);
    input_send_button(input, INPUT_BUTTON_RIGHT, true);
    input_send_button(input, INPUT_BUTTON_WHEEL_DOWN, true);
    input_sync(input);
    expect(f, EV_ABS, ABS_X, 123);
    expect(f, EV_KEY, BTN_RIGHT, 1);
    expect(f, EV_REL, REL_WHEEL, (uint32_t)-1);
    expect(f, EV_SYN, SYN_REPORT, 0);
    end(f);
}

/* Events without buffers stay bounded, and come whole when there are some. */
static void
mouse_waits_for_buffers(void **state)
{
    Fixture fixture = { 0 }, *f = &fixture;
    Input *input;

    (void)state;
    begin(f, "virtio-mouse-pci");
    input = f->fake->machine->input;
    start(f);
    for (int i = 0; i < 3000; i++) {
        input_send_rel(input, INPUT_X, 1);
        input_sync(input);
    }
    for (unsigned i = 0; i < SIZE / 4; i++) {
        expect(f, EV_REL, REL_X, 1);
        expect(f, EV_SYN, SYN_REPORT, 0);
    }
    virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[0]));
    end(f);
}

static void
short_buffer_breaks_the_device(void **state)
{
    Fixture fixture = { 0 }, *f = &fixture;
    DriverBuffer b;

    (void)state;
    begin(f, "virtio-mouse-pci");
    virtio_driver_start(&f->drv, 0, 2, SIZE);
    b = (DriverBuffer){ virtio_driver_alloc(&f->drv, 8), 4, true };
    virtio_driver_add(&f->drv, &f->drv.q[0], &b, 1, false);
    input_send_rel(f->fake->machine->input, INPUT_X, 1);
    input_sync(f->fake->machine->input);
    virtio_driver_wait_broken(&f->drv);
    end(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyboard_types),
        cmocka_unit_test(tablet_points),
        cmocka_unit_test(mouse_waits_for_buffers),
        cmocka_unit_test(short_buffer_breaks_the_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
