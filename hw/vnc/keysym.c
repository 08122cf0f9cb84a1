/* keysym.c - keysyms of the X11 protocol (appendix A, keysymdef) on a US keyboard.
 *
 * For viewers without QEMU's extended key event; they send what the user's layout makes of a key,
 * so that only a guest with a US layout sees the same.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/vnc/keysym.h"

#include <glib.h>

typedef struct {
    uint32_t keysym;
    KeyCode key;
} Keysym;

/* Both characters of a key: unshifted, shifted */
static const struct {
    char characters[3];
    KeyCode key;
} keysym_punctuation[] = {
    { "1!", KEYCODE_1 },
    { "2@", KEYCODE_2 },
    { "3#", KEYCODE_3 },
    { "4$", KEYCODE_4 },
    { "5%", KEYCODE_5 },
    { "6^", KEYCODE_6 },
    { "7&", KEYCODE_7 },
    { "8*", KEYCODE_8 },
    { "9(", KEYCODE_9 },
    { "0)", KEYCODE_0 },
    { "-_", KEYCODE_minus },
    { "=+", KEYCODE_equal },
    { "[{", KEYCODE_bracket_left },
    { "]}", KEYCODE_bracket_right },
    { ";:", KEYCODE_semicolon },
    { "'\"", KEYCODE_apostrophe },
    { "`~", KEYCODE_grave_accent },
    { "\\|", KEYCODE_backslash },
    { ",<", KEYCODE_comma },
    { ".>", KEYCODE_dot },
    { "/?", KEYCODE_slash },
    { "  ", KEYCODE_spc },
};

static const KeyCode keysym_letters[26] = {
    KEYCODE_a, KEYCODE_b, KEYCODE_c, KEYCODE_d, KEYCODE_e, KEYCODE_f, KEYCODE_g,
    KEYCODE_h, KEYCODE_i, KEYCODE_j, KEYCODE_k, KEYCODE_l, KEYCODE_m, KEYCODE_n,
    KEYCODE_o, KEYCODE_p, KEYCODE_q, KEYCODE_r, KEYCODE_s, KEYCODE_t, KEYCODE_u,
    KEYCODE_v, KEYCODE_w, KEYCODE_x, KEYCODE_y, KEYCODE_z,
};

static const Keysym keysym_named[] = {
    { 0xfe03, KEYCODE_alt_r },       { 0xfe20, KEYCODE_tab },
    { 0xff08, KEYCODE_backspace },   { 0xff09, KEYCODE_tab },
    { 0xff0d, KEYCODE_ret },         { 0xff13, KEYCODE_pause },
    { 0xff14, KEYCODE_scroll_lock }, { 0xff15, KEYCODE_sysrq },
    { 0xff1b, KEYCODE_esc },         { 0xff50, KEYCODE_home },
    { 0xff51, KEYCODE_left },        { 0xff52, KEYCODE_up },
    { 0xff53, KEYCODE_right },       { 0xff54, KEYCODE_down },
    { 0xff55, KEYCODE_pgup },        { 0xff56, KEYCODE_pgdn },
    { 0xff57, KEYCODE_end },         { 0xff61, KEYCODE_print },
    { 0xff63, KEYCODE_insert },      { 0xff67, KEYCODE_menu },
    { 0xff6b, KEYCODE_pause },       { 0xff7f, KEYCODE_num_lock },
    { 0xff8d, KEYCODE_kp_enter },    { 0xff95, KEYCODE_kp_7 },
    { 0xff96, KEYCODE_kp_4 },        { 0xff97, KEYCODE_kp_8 },
    { 0xff98, KEYCODE_kp_6 },        { 0xff99, KEYCODE_kp_2 },
    { 0xff9a, KEYCODE_kp_9 },        { 0xff9b, KEYCODE_kp_3 },
    { 0xff9c, KEYCODE_kp_1 },        { 0xff9d, KEYCODE_kp_5 },
    { 0xff9e, KEYCODE_kp_0 },        { 0xff9f, KEYCODE_kp_decimal },
    { 0xffaa, KEYCODE_kp_multiply }, { 0xffab, KEYCODE_kp_add },
    { 0xffac, KEYCODE_kp_comma },    { 0xffad, KEYCODE_kp_subtract },
    { 0xffae, KEYCODE_kp_decimal },  { 0xffaf, KEYCODE_kp_divide },
    { 0xffb0, KEYCODE_kp_0 },        { 0xffb1, KEYCODE_kp_1 },
    { 0xffb2, KEYCODE_kp_2 },        { 0xffb3, KEYCODE_kp_3 },
    { 0xffb4, KEYCODE_kp_4 },        { 0xffb5, KEYCODE_kp_5 },
    { 0xffb6, KEYCODE_kp_6 },        { 0xffb7, KEYCODE_kp_7 },
    { 0xffb8, KEYCODE_kp_8 },        { 0xffb9, KEYCODE_kp_9 },
    { 0xffbd, KEYCODE_kp_equals },   { 0xffbe, KEYCODE_f1 },
    { 0xffbf, KEYCODE_f2 },          { 0xffc0, KEYCODE_f3 },
    { 0xffc1, KEYCODE_f4 },          { 0xffc2, KEYCODE_f5 },
    { 0xffc3, KEYCODE_f6 },          { 0xffc4, KEYCODE_f7 },
    { 0xffc5, KEYCODE_f8 },          { 0xffc6, KEYCODE_f9 },
    { 0xffc7, KEYCODE_f10 },         { 0xffc8, KEYCODE_f11 },
    { 0xffc9, KEYCODE_f12 },         { 0xffe1, KEYCODE_shift },
    { 0xffe2, KEYCODE_shift_r },     { 0xffe3, KEYCODE_ctrl },
    { 0xffe4, KEYCODE_ctrl_r },      { 0xffe5, KEYCODE_caps_lock },
    { 0xffe7, KEYCODE_alt },         { 0xffe8, KEYCODE_alt_r },
    { 0xffe9, KEYCODE_alt },         { 0xffea, KEYCODE_alt_r },
    { 0xffeb, KEYCODE_meta_l },      { 0xffec, KEYCODE_meta_r },
    { 0xffff, KEYCODE_delete },
};

KeyCode
keysym_key(uint32_t keysym)
{
    if (keysym >= 'a' && keysym <= 'z')
        return keysym_letters[keysym - 'a'];
    if (keysym >= 'A' && keysym <= 'Z')
        return keysym_letters[keysym - 'A'];
    for (unsigned i = 0; i < G_N_ELEMENTS(keysym_punctuation); i++)
        if (keysym == (uint8_t)keysym_punctuation[i].characters[0] ||
            keysym == (uint8_t)keysym_punctuation[i].characters[1])
            return keysym_punctuation[i].key;
    for (unsigned i = 0; i < G_N_ELEMENTS(keysym_named); i++)
        if (keysym == keysym_named[i].keysym)
            return keysym_named[i].key;
    return KEYCODE_unmapped;
}
