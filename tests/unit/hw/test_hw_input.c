/* test_hw_input.c - the keyboard controller and what is plugged into it, as a driver meets them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/input/input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { RAM = 2 << 20, DATA = 0x60, COMMAND = 0x64, FULL = 1, AUX = 0x20, IRQ1 = 1, IRQ12 = 12 };

static int
setup(void **state)
{
    *state = fake_machine_new_q35(RAM);
    machine_set_running(((FakeMachine *)*state)->machine, true);
    return 0;
}

static int
teardown(void **state)
{
    machine_set_running(((FakeMachine *)*state)->machine, false);
    fake_machine_free(*state);
    return 0;
}

static void
expect_byte(FakeMachine *fake, uint8_t value, bool aux)
{
    uint64_t status = fake_in(fake, COMMAND, 1);

    assert_true(status & FULL);
    assert_int_equal(!!(status & AUX), aux);
    assert_int_equal(fake_in(fake, DATA, 1), value);
}

static void
expect_nothing(FakeMachine *fake)
{
    assert_false(fake_in(fake, COMMAND, 1) & FULL);
}

static void
keyboard(FakeMachine *fake, uint8_t byte)
{
    fake_out(fake, DATA, 1, byte);
    expect_byte(fake, 0xfa, false);
}

static void
mouse(FakeMachine *fake, uint8_t byte)
{
    fake_out(fake, COMMAND, 1, 0xd4);
    fake_out(fake, DATA, 1, byte);
    expect_byte(fake, 0xfa, true);
}

static void
press(FakeMachine *fake, KeyCode key, bool down)
{
    input_send_key(fake->machine->input, key, down);
    input_sync(fake->machine->input);
}

/* What Linux's driver does at its start: it waits for none of it. */
static void
controller_answers_at_once(void **state)
{
    FakeMachine *fake = *state;

    expect_nothing(fake);
    fake_out(fake, COMMAND, 1, 0xaa);
    expect_byte(fake, 0x55, false);
    fake_out(fake, COMMAND, 1, 0x20);
    expect_byte(fake, 0x47, false);
    fake_out(fake, COMMAND, 1, 0xab);
    expect_byte(fake, 0, false);
    fake_out(fake, COMMAND, 1, 0xa9);
    expect_byte(fake, 0, false);
    fake_out(fake, COMMAND, 1, 0xa7);
    fake_out(fake, COMMAND, 1, 0x20);
    expect_byte(fake, 0x67, false);
    fake_out(fake, COMMAND, 1, 0xa8);
    /* The loop-back test must show the byte as the mouse's, with interrupt 12. */
    fake_out(fake, COMMAND, 1, 0xd3);
    fake_out(fake, DATA, 1, 0x5a);
    assert_true(fake->gsi[IRQ12]);
    expect_byte(fake, 0x5a, true);
    assert_false(fake->gsi[IRQ12]);
    fake_out(fake, COMMAND, 1, 0xd0);
    assert_true(fake_in(fake, DATA, 1) & 2);
    expect_nothing(fake);
}

static void
controller_resets_the_machine(void **state)
{
    FakeMachine *fake = *state;

    fake_out(fake, COMMAND, 1, 0xff);
    assert_int_equal(fake->requests->len, 0);
    fake_out(fake, COMMAND, 1, 0xfe);
    assert_int_equal(fake->requests->len, 1);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_RESET);
    fake_out(fake, COMMAND, 1, 0xd1);
    fake_out(fake, DATA, 1, 0xfe);
    assert_int_equal(fake->requests->len, 2);
}

static void
keys_come_translated(void **state)
{
    FakeMachine *fake = *state;
    unsigned edges = fake->gsi_edges[IRQ1];

    press(fake, KEYCODE_a, true);
    assert_true(fake->gsi[IRQ1]);
    expect_byte(fake, 0x1e, false);
    press(fake, KEYCODE_a, false);
    expect_byte(fake, 0x9e, false);
    press(fake, KEYCODE_up, true);
    press(fake, KEYCODE_up, false);
    expect_byte(fake, 0xe0, false);
    expect_byte(fake, 0x48, false);
    expect_byte(fake, 0xe0, false);
    expect_byte(fake, 0xc8, false);
    expect_nothing(fake);
    assert_int_equal(fake->gsi_edges[IRQ1] - edges, 6);
    press(fake, KEYCODE_pause, true);
    press(fake, KEYCODE_pause, false);
    for (const char *p = "\xe1\x1d\x45\xe1\x9d\xc5"; *p; p++)
        expect_byte(fake, (uint8_t)*p, false);
    expect_nothing(fake);
    press(fake, KEYCODE_print, true);
    press(fake, KEYCODE_print, false);
    for (const char *p = "\xe0\x2a\xe0\x37\xe0\xb7\xe0\xaa"; *p; p++)
        expect_byte(fake, (uint8_t)*p, false);
    expect_nothing(fake);
}

/* The controller's table and the key table are two sources of the same facts. */
static void
translation_agrees_with_the_key_table(void **state)
{
    FakeMachine *fake = *state;

    for (int i = 1; i < KEYCODES; i++) {
        unsigned set1 = key_code_number((KeyCode)i, KEYSET_AT1);

        if (i == KEYCODE_pause || i == KEYCODE_print || i == KEYCODE_lang1 || i == KEYCODE_lang2 ||
            key_code_number((KeyCode)i, KEYSET_AT2) == 0)
            continue; /* sequences of their own, and codes that are not translated */
        press(fake, (KeyCode)i, true);
        press(fake, (KeyCode)i, false);
        if (set1 > 0xff)
            expect_byte(fake, (uint8_t)(set1 >> 8), false);
        if (fake_in(fake, COMMAND, 1) & FULL) {
            uint8_t code = (uint8_t)fake_in(fake, DATA, 1);

            if (code != (set1 & 0xff))
                fail_msg("%s: 0x%02x, in the table 0x%02x", key_code_name((KeyCode)i), code,
                         set1 & 0xff);
        }
        if (set1 > 0xff)
            expect_byte(fake, (uint8_t)(set1 >> 8), false);
        expect_byte(fake, (uint8_t)(set1 | 0x80), false);
    }
    expect_nothing(fake);
}

static void
keyboard_knows_its_commands(void **state)
{
    FakeMachine *fake = *state;

    fake_out(fake, COMMAND, 1, 0x60);
    fake_out(fake, DATA, 1, 0x07); /* no translation */
    keyboard(fake, 0xff);
    expect_byte(fake, 0xaa, false);
    keyboard(fake, 0xf2);
    expect_byte(fake, 0xab, false);
    expect_byte(fake, 0x83, false);
    keyboard(fake, 0xed);
    keyboard(fake, 0x02);
    assert_int_equal(input_leds(fake->machine->input), INPUT_LED_NUM);
    fake_out(fake, DATA, 1, 0xee);
    expect_byte(fake, 0xee, false);
    fake_out(fake, DATA, 1, 0xfe);
    expect_byte(fake, 0xee, false);
    keyboard(fake, 0xf0);
    keyboard(fake, 0x00);
    expect_byte(fake, 2, false);
    keyboard(fake, 0xf0);
    keyboard(fake, 0x03);
    press(fake, KEYCODE_a, true);
    press(fake, KEYCODE_a, false);
    expect_byte(fake, 0x1c, false); /* set 3 sends no break code unless told to */
    expect_nothing(fake);
    keyboard(fake, 0xfa);
    press(fake, KEYCODE_kp_enter, true);
    press(fake, KEYCODE_kp_enter, false);
    expect_byte(fake, 0x79, false);
    expect_byte(fake, 0xf0, false);
    expect_byte(fake, 0x79, false);
    keyboard(fake, 0xf5);
    press(fake, KEYCODE_b, true);
    expect_nothing(fake);
    fake_out(fake, DATA, 1, 0xf1);
    expect_byte(fake, 0xfe, false);
}

static void
keyboard_repeats_a_held_key(void **state)
{
    FakeMachine *fake = *state;

    press(fake, KEYCODE_x, true);
    expect_byte(fake, 0x2d, false);
    press(fake, KEYCODE_x, true); /* the viewer's own repetition */
    expect_nothing(fake);
    fake_advance(fake, INT64_C(499000000));
    expect_nothing(fake);
    fake_advance(fake, INT64_C(2000000));
    expect_byte(fake, 0x2d, false);
    fake_advance(fake, INT64_C(92000000));
    expect_byte(fake, 0x2d, false);
    press(fake, KEYCODE_x, false);
    expect_byte(fake, 0xad, false);
    fake_advance(fake, INT64_C(1000000000));
    expect_nothing(fake);
}

static void
mouse_grows_with_its_driver(void **state)
{
    FakeMachine *fake = *state;
    Input *input = fake->machine->input;

    mouse(fake, 0xff);
    expect_byte(fake, 0xaa, true);
    expect_byte(fake, 0, true);
    for (const char *p = "\xf3\xc8\xf3\xc8\xf3\x50"; *p; p++)
        mouse(fake, (uint8_t)*p);
    mouse(fake, 0xf2);
    expect_byte(fake, 4, true);
    mouse(fake, 0xf4);
    input_send_rel(input, INPUT_X, 300);
    input_send_rel(input, INPUT_Y, 2);
    input_send_button(input, INPUT_BUTTON_LEFT, true);
    input_sync(input);
    assert_true(fake->gsi[IRQ12]);
    for (const char *p = "\x29\xff\xfe"; *p; p++)
        expect_byte(fake, (uint8_t)*p, true);
    expect_byte(fake, 0, true);
    expect_byte(fake, 0x09, true);
    expect_byte(fake, 45, true);
    expect_byte(fake, 0, true);
    expect_byte(fake, 0, true);
    input_send_button(input, INPUT_BUTTON_LEFT, false);
    input_send_button(input, INPUT_BUTTON_WHEEL_UP, true);
    input_send_button(input, INPUT_BUTTON_WHEEL_UP, false);
    input_sync(input);
    expect_byte(fake, 0x08, true);
    fake_in(fake, DATA, 1);
    fake_in(fake, DATA, 1);
    expect_byte(fake, 0, true);
    expect_byte(fake, 0x08, true);
    fake_in(fake, DATA, 1);
    fake_in(fake, DATA, 1);
    expect_byte(fake, 0x0f, true);
    expect_nothing(fake);
}

/* Input nobody reads must neither grow nor lose the last release. */
static void
full_queues_stay_bounded(void **state)
{
    FakeMachine *fake = *state;
    uint8_t last = 0;

    mouse(fake, 0xf4);
    for (int i = 0; i < 5000; i++) {
        press(fake, KEYCODE_a, true);
        press(fake, KEYCODE_a, false);
        input_send_rel(fake->machine->input, INPUT_X, 100);
        input_sync(fake->machine->input);
    }
    for (int i = 0; fake_in(fake, COMMAND, 1) & FULL; i++) {
        bool aux = fake_in(fake, COMMAND, 1) & AUX;
        uint8_t byte = (uint8_t)fake_in(fake, DATA, 1);

        if (!aux)
            last = byte;
        assert_true(i < 10000);
    }
    assert_int_equal(last, 0x9e);
}

static void
typed_keys_go_down_and_up(void **state)
{
    FakeMachine *fake = *state;
    const KeyCode keys[] = { KEYCODE_ctrl, KEYCODE_c };

    assert_true(input_type_keys(fake->machine->input, keys, 2, 1));
    for (int i = 0; i < 20; i++) {
        g_usleep(1000);
        fake_iterate(fake);
    }
    for (const char *p = "\x1d\x2e\xae\x9d"; *p; p++)
        expect_byte(fake, (uint8_t)*p, false);
}

static void
state_is_kept(void **state)
{
    FakeMachine *fake = *state, *other = fake_machine_new_q35(RAM);
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    press(fake, KEYCODE_a, true);
    press(fake, KEYCODE_a, false);
    machine_set_running(fake->machine, false);
    assert_true(machine_save(fake->machine, saved, &err));
    assert_true(machine_load(other->machine, saved->data, saved->len, &err));
    machine_set_running(fake->machine, true);
    assert_true(other->gsi[IRQ1]);
    expect_byte(other, 0x1e, false);
    expect_byte(other, 0x9e, false);
    fake_machine_free(other);
}

static void
keys_have_names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(key_code_find("ret"), KEYCODE_ret);
    assert_int_equal(key_code_find("no such key"), KEYCODE_unmapped);
    assert_string_equal(key_code_name(KEYCODE_f12), "f12");
    assert_null(key_code_name(KEYCODES));
    assert_int_equal(key_code_number(KEYCODE_delete, KEYSET_QNUM), 0xd3);
    assert_int_equal(key_code_from(KEYSET_QNUM, 0xd3), KEYCODE_delete);
    assert_int_equal(key_code_from(KEYSET_QNUM, 0xe053), KEYCODE_delete);
    assert_int_equal(key_code_from(KEYSET_LINUX, 28), KEYCODE_ret);
    assert_int_equal(key_code_from(KEYSET_MACOS, 0), KEYCODE_a);
    assert_int_equal(key_code_from(KEYSET_USB, 0xffff), KEYCODE_unmapped);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(controller_answers_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(controller_resets_the_machine, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_come_translated, setup, teardown),
        cmocka_unit_test_setup_teardown(translation_agrees_with_the_key_table, setup, teardown),
        cmocka_unit_test_setup_teardown(keyboard_knows_its_commands, setup, teardown),
        cmocka_unit_test_setup_teardown(keyboard_repeats_a_held_key, setup, teardown),
        cmocka_unit_test_setup_teardown(mouse_grows_with_its_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(full_queues_stay_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(typed_keys_go_down_and_up, setup, teardown),
        cmocka_unit_test_setup_teardown(state_is_kept, setup, teardown),
        cmocka_unit_test(keys_have_names_and_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
