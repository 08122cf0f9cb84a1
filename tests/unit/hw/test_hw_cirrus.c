/* test_hw_cirrus.c - cirrus-vga: modes, blits by their table, and blits that mean harm.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/bytes.h"
#include "hw/display/display.h"
#include "hw/pci/pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 1 << 20,
    LFB = 0xe0000000u,
    BLIT = LFB + (16 << 20),
    MMIO = 0xe2000000u,
    VRAM = 4 << 20,
    COPY = 0x0d,
    BACKWARDS = 0x01,
    FROM_CPU = 0x04,
    TRANSPARENT = 0x08,
    PATTERN = 0x40,
    EXPAND = 0x80,
    BUSY = 0x01,
};

typedef struct {
    FakeMachine *fake;
} Fixture;

static void
seq(Fixture *f, uint8_t index, uint8_t value)
{
    fake_out(f->fake, 0x3c4, 2, (uint64_t)value << 8 | index);
}

static void
gfx(Fixture *f, uint8_t index, uint8_t value)
{
    fake_out(f->fake, 0x3ce, 2, (uint64_t)value << 8 | index);
}

static void
crtc(Fixture *f, uint8_t index, uint8_t value)
{
    fake_out(f->fake, 0x3d4, 2, (uint64_t)value << 8 | index);
}

static uint8_t
gfx_read(Fixture *f, uint8_t index)
{
    fake_out(f->fake, 0x3ce, 1, index);
    return (uint8_t)fake_in(f->fake, 0x3cf, 1);
}

static uint8_t
peek(Fixture *f, uint32_t at)
{
    return (uint8_t)fake_read(f->fake, LFB + at, 1);
}

static void
poke(Fixture *f, uint32_t at, uint8_t value)
{
    fake_write(f->fake, LFB + at, 1, value);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    Device *dev;
    uint16_t bdf;

    f->fake = fake_machine_new_q35(RAM);
    fake_device_refused(f->fake, "4, 8 or 16", "cirrus-vga", "vgamem_mb", "2", NULL);
    dev = fake_device(f->fake, "cirrus-vga", "id", "video0", "addr", "2", NULL);
    machine_reset(f->fake->machine);
    bdf = pci_requester_id(pci_device(dev));
    pci_config_write(f->fake->machine->pci, bdf, PCI_BASE_ADDRESS_0, 4, LFB);
    pci_config_write(f->fake->machine->pci, bdf, PCI_BASE_ADDRESS_0 + 4, 4, MMIO);
    pci_config_write(f->fake->machine->pci, bdf, PCI_COMMAND, 2, 7);
    fake_out(f->fake, 0x3c2, 1, 1);
    seq(f, 6, 0x12);
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

/* 640 by 480, @depth as SR7 has it, rows of @pitch bytes. */
static void
set_mode(Fixture *f, uint8_t depth, unsigned pitch)
{
    seq(f, 1, 1);
    seq(f, 4, 0x0e);
    seq(f, 7, depth | 1);
    gfx(f, 5, 0x40);
    gfx(f, 6, 0x05);
    crtc(f, 0x11, 0);
    crtc(f, 1, 79);
    crtc(f, 7, 0x1f);
    crtc(f, 9, 0x40);
    crtc(f, 0x12, 0xdf);
    crtc(f, 0x13, (uint8_t)(pitch >> 3));
    crtc(f, 0x18, 0xff);
    crtc(f, 0x1b, (uint8_t)(0x02 | (pitch >> 3 & 0x100) >> 4));
    fake_in(f->fake, 0x3da, 1);
    fake_out(f->fake, 0x3c0, 1, 0x20);
}

typedef struct {
    unsigned width, height;
    uint32_t to, from;
    unsigned to_pitch, from_pitch;
    uint8_t mode, rop, extension, skip;
} Blit;

/* By the registers in memory. */
static void
blit(Fixture *f, const Blit *b)
{
    fake_write(f->fake, MMIO + 0x108, 4, (b->width - 1) | (b->height - 1) << 16);
    fake_write(f->fake, MMIO + 0x10c, 4, b->to_pitch | b->from_pitch << 16);
    fake_write(f->fake, MMIO + 0x110, 2, b->to);
    fake_write(f->fake, MMIO + 0x112, 1, b->to >> 16);
    fake_write(f->fake, MMIO + 0x114, 2, b->from);
    fake_write(f->fake, MMIO + 0x116, 1, b->from >> 16);
    fake_write(f->fake, MMIO + 0x117, 1, b->skip);
    fake_write(f->fake, MMIO + 0x118, 1, b->mode);
    fake_write(f->fake, MMIO + 0x11a, 1, b->rop);
    fake_write(f->fake, MMIO + 0x11b, 1, b->extension);
    fake_write(f->fake, MMIO + 0x140, 1, 0);
    fake_write(f->fake, MMIO + 0x140, 1, 2);
}

static void
colors(Fixture *f, uint32_t front, uint32_t back)
{
    fake_write(f->fake, MMIO + 0x100, 4, back);
    fake_write(f->fake, MMIO + 0x104, 4, front);
}

static void
chip_is_known_by_its_registers(void **state)
{
    Fixture *f = *state;

    assert_int_equal(fake_in(f->fake, 0x3c5, 1), 0x12);
    seq(f, 6, 0);
    assert_int_equal(fake_in(f->fake, 0x3c5, 1), 0x0f);
    fake_out(f->fake, 0x3d4, 1, 0x27);
    assert_int_equal(fake_in(f->fake, 0x3d5, 1), 0xb8);
    fake_out(f->fake, 0x3d5, 1, 0);
    assert_int_equal(fake_in(f->fake, 0x3d5, 1), 0xb8);
    /* The hidden register behind the DAC's mask. */
    for (unsigned i = 0; i < 4; i++)
        fake_in(f->fake, 0x3c6, 1);
    fake_out(f->fake, 0x3c6, 1, 0xc5);
    for (unsigned i = 0; i < 4; i++)
        fake_in(f->fake, 0x3c6, 1);
    assert_int_equal(fake_in(f->fake, 0x3c6, 1), 0xc5);
    /* The same registers, by BAR 1. */
    fake_write(f->fake, MMIO + 4, 1, 6);
    fake_write(f->fake, MMIO + 5, 1, 0x12);
    assert_int_equal(fake_read(f->fake, MMIO + 5, 1), 0x12);
}

static uint32_t
pixel(Fixture *f, unsigned x, unsigned y)
{
    Screen *screen = displays_get(f->fake->machine->displays, 0);

    screen_refresh(screen);
    assert_int_equal(screen_surface(screen)->width, 640);
    assert_int_equal(screen_surface(screen)->height, 480);
    return surface_row(screen_surface(screen), y)[x];
}

static void
every_depth_is_drawn(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        fake_in(f->fake, 0x3c6, 1);
    fake_out(f->fake, 0x3c6, 1, 0xc1);
    set_mode(f, 6, 1280);
    fake_write(f->fake, LFB + 1280 * 3 + 20, 2, 0xf800);
    assert_int_equal(pixel(f, 10, 3), 0xff0000);
    set_mode(f, 4, 1920);
    fake_write(f->fake, LFB + 1920 * 479 + 30, 4, 0x123456);
    assert_int_equal(pixel(f, 10, 479), 0x123456);
    set_mode(f, 8, 2560);
    fake_write(f->fake, LFB + 2560 * 100 + 400, 4, 0xabcdef);
    assert_int_equal(pixel(f, 100, 100), 0xabcdef);
    set_mode(f, 0, 640);
    fake_out(f->fake, 0x3c6, 1, 0xff);
    fake_out(f->fake, 0x3c8, 1, 7);
    for (unsigned i = 0; i < 3; i++)
        fake_out(f->fake, 0x3c9, 1, 63);
    poke(f, 640 * 2 + 5, 7);
    assert_int_equal(pixel(f, 5, 2), 0xffffff);
    crtc(f, 0x0d, 160); /* begins one row lower */
    assert_int_equal(pixel(f, 5, 1), 0xffffff);
}

static void
cursor_is_painted(void **state)
{
    Fixture *f = *state;

    set_mode(f, 8, 2560);
    seq(f, 0x12, 3);
    fake_out(f->fake, 0x3c8, 1, 15);
    for (unsigned i = 0; i < 3; i++)
        fake_out(f->fake, 0x3c9, 1, 63);
    seq(f, 0x12, 5);
    seq(f, 0x10 | 0x20, 10 >> 3); /* x 9 */
    seq(f, 0x11, 16 >> 3);
    seq(f, 0x13, 0);
    poke(f, VRAM - 16384, 0xc0);
    poke(f, VRAM - 16384 + 8, 0x80);
    assert_int_equal(pixel(f, 9, 16), 0xffffff);
    assert_int_equal(pixel(f, 10, 16), 0xffffff); /* inverted black */
    assert_int_equal(pixel(f, 11, 16), 0);
    seq(f, 0x10 | 0xe0, 0xff); /* beyond the edge */
    seq(f, 0x11 | 0xe0, 0xff);
    seq(f, 0x13, 0xff);
    assert_int_equal(pixel(f, 9, 16), 0);
}

static void
banks_and_write_modes(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0, 640);
    gfx(f, 9, 0x10); /* 64 KiB */
    fake_write(f->fake, 0xa0005, 1, 0x42);
    assert_int_equal(peek(f, 0x10005), 0x42);
    gfx(f, 0x0b, 0x21); /* two, by 16 KiB */
    gfx(f, 0x0a, 0x02);
    fake_write(f->fake, 0xa8001, 1, 0x43);
    assert_int_equal(peek(f, 0x8001), 0x43);
    gfx(f, 9, 0xff); /* the last one; what is behind it is nowhere */
    gfx(f, 0x0a, 0xff);
    fake_write(f->fake, 0xa7fff, 1, 0x44);
    fake_write(f->fake, 0xaffff, 1, 0x44);
    assert_int_equal(fake_read(f->fake, 0xa7fff, 1), 0xff);
    gfx(f, 0x0b, 0x06); /* eight pixels a byte */
    gfx(f, 9, 0);
    gfx(f, 0, 0x11);
    gfx(f, 1, 0x22);
    gfx(f, 5, 0x45);
    poke(f, 2, 0xa0);
    gfx(f, 5, 0x40);
    gfx(f, 0x0b, 0);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(peek(f, 16 + i), i == 0 || i == 2 ? 0x22 : 0x11);
    gfx(f, 0x0b, 0x16);
    gfx(f, 5, 0x45);
    poke(f, VRAM - 1, 0xff); /* wraps */
}

static void
blits_copy_both_ways(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 64; i++)
        poke(f, 1000 + i, (uint8_t)(i + 1));
    blit(f, &(Blit){ 16, 2, 5000, 1000, 100, 16, 0, COPY, 0, 0 });
    assert_int_equal(peek(f, 5000), 1);
    assert_int_equal(peek(f, 5015), 16);
    assert_int_equal(peek(f, 5016), 0);
    assert_int_equal(peek(f, 5100), 17);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
    /* One onto the other, the last byte first. */
    blit(f, &(Blit){ 32, 1, 1000 + 4 + 31, 1000 + 31, 0, 0, BACKWARDS, COPY, 0, 0 });
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(peek(f, 1004 + i), i + 1);
    blit(f, &(Blit){ 4, 1, 5000, 5000, 0, 0, 0, 0x59, 0, 0 });
    assert_int_equal(peek(f, 5003), 0);
    /* What has the transparent colour is left. */
    fake_write(f->fake, MMIO + 0x11c, 2, 3);
    poke(f, 6002, 0x77);
    poke(f, 1002, 3);
    blit(f, &(Blit){ 4, 1, 6000, 1000, 0, 0, TRANSPARENT, COPY, 0, 0 });
    assert_int_equal(peek(f, 6002), 0x77);
    assert_int_equal(peek(f, 6003), peek(f, 1003));
}

static void
rops_are_those_of_the_manual(void **state)
{
    static const struct {
        uint8_t rop, result; /* of 1100 and 1010 */
    } table[] = {
        { 0x00, 0x0 }, { 0x05, 0x8 }, { 0x06, 0xa }, { 0x09, 0x4 }, { 0x0b, 0x5 }, { 0x0d, 0xc },
        { 0x0e, 0xf }, { 0x50, 0x2 }, { 0x59, 0x6 }, { 0x6d, 0xe }, { 0x90, 0x7 }, { 0x95, 0x9 },
        { 0xad, 0xd }, { 0xd0, 0x3 }, { 0xd6, 0xb }, { 0xda, 0x1 },
    };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        poke(f, 0, 0x0c);
        poke(f, 10, 0x0a);
        blit(f, &(Blit){ 1, 1, 10, 0, 0, 0, 0, table[i].rop, 0, 0 });
        assert_int_equal(peek(f, 10) & 15, table[i].result);
    }
}

static void
patterns_and_bits_are_expanded(void **state)
{
    Fixture *f = *state;

    colors(f, 0x00332211, 0x00665544);
    poke(f, 0x100, 0xa0);
    poke(f, 0x101, 0x40);
    blit(f, &(Blit){ 8, 2, 0x1000, 0x100, 100, 0, EXPAND | 0x10, COPY, 0, 0 });
    assert_int_equal(fake_read(f->fake, LFB + 0x1000, 4), 0x55442211);
    assert_int_equal(fake_read(f->fake, LFB + 0x1064, 4), 0x22115544);
    /* Only the set bits, in 24 bit, from the second pixel on. */
    blit(f, &(Blit){ 12, 1, 0x2000, 0x100, 100, 0, EXPAND | TRANSPARENT | 0x20, COPY, 0, 3 });
    assert_int_equal(fake_read(f->fake, LFB + 0x2000, 4), 0);
    assert_int_equal(fake_read(f->fake, LFB + 0x2006, 4) & 0xffffff, 0x332211);
    /* A pattern of bits, its second row first. */
    for (unsigned i = 0; i < 8; i++)
        poke(f, 0x200 + i, i == 1 ? 0x80 : 0);
    blit(f, &(Blit){ 16, 8, 0x3000, 0x201, 64, 0, EXPAND | PATTERN, COPY, 0, 0 });
    assert_int_equal(peek(f, 0x3000), 0x11);
    assert_int_equal(peek(f, 0x3001), 0x44);
    assert_int_equal(peek(f, 0x3008), 0x11);
    assert_int_equal(peek(f, 0x3040), 0x44);
    /* A pattern of colours. */
    for (unsigned i = 0; i < 64; i++)
        poke(f, 0x400 + i, (uint8_t)i);
    blit(f, &(Blit){ 20, 9, 0x4000, 0x400, 64, 0, PATTERN, COPY, 0, 0 });
    assert_int_equal(peek(f, 0x4000 + 64 * 3 + 13), 8 * 3 + 5);
    assert_int_equal(peek(f, 0x4000 + 64 * 8 + 1), 1);
    /* One colour. */
    blit(f, &(Blit){ 6, 2, 0x5000, 0, 64, 0, PATTERN | EXPAND | 0x10, COPY, 4, 0 });
    assert_int_equal(fake_read(f->fake, LFB + 0x5044, 2), 0x2211);
    assert_int_equal(fake_read(f->fake, LFB + 0x5046, 2), 0);
}

static void
processor_writes_the_source(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0, 640);
    blit(f, &(Blit){ 6, 2, 0x1000, 0, 100, 0, FROM_CPU, COPY, 0, 0 });
    assert_int_equal(gfx_read(f, 0x31) & BUSY, BUSY);
    for (unsigned i = 0; i < 4; i++) /* rows of whole doublewords */
        fake_write(f->fake, i % 2 ? BLIT : LFB + 0x77, 4, 0x04030201 + i * 0x10101010);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
    assert_int_equal(fake_read(f->fake, LFB + 0x1000, 4), 0x04030201);
    assert_int_equal(fake_read(f->fake, LFB + 0x1004, 4), 0x1211);
    assert_int_equal(fake_read(f->fake, LFB + 0x1064, 4), 0x24232221);
    assert_int_equal(peek(f, 0x77), 0);
    colors(f, 1, 2);
    blit(f, &(Blit){ 10, 2, 0x2000, 0, 100, 0, FROM_CPU | EXPAND, COPY, 0, 0 });
    fake_write(f->fake, 0xa0000, 4, 0x8000c080);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
    assert_int_equal(peek(f, 0x2000), 1);
    assert_int_equal(peek(f, 0x2001), 2);
    assert_int_equal(peek(f, 0x2008), 1);
    assert_int_equal(peek(f, 0x2009), 1);
    assert_int_equal(peek(f, 0x206c), 1);
    blit(f, &(Blit){ 8, 8, 0x3000, 0, 100, 0, FROM_CPU | PATTERN, COPY, 0, 0 });
    for (unsigned i = 0; i < 16; i++)
        fake_write(f->fake, BLIT, 4, i);
    assert_int_equal(peek(f, 0x3000 + 700), 14);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
}

/* ---- what means harm ---- */

/* Hole class: blits that leave video memory at its end, at its beginning, by their pitches. */
static void
blits_stay_in_video_memory(void **state)
{
    static const uint32_t places[] = { 0, 3, VRAM - 1, VRAM - 8192, VRAM / 2 };
    static const uint8_t modes[] = { 0,
                                     BACKWARDS,
                                     TRANSPARENT,
                                     TRANSPARENT | BACKWARDS,
                                     PATTERN,
                                     EXPAND,
                                     PATTERN | EXPAND,
                                     EXPAND | TRANSPARENT,
                                     PATTERN | EXPAND | TRANSPARENT | BACKWARDS };
    Fixture *f = *state;

    colors(f, 0xffffffff, 0x5a5a5a5a);
    for (unsigned p = 0; p < G_N_ELEMENTS(places); p++)
        for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++)
            for (unsigned depth = 0; depth < 4; depth++)
                for (unsigned e = 0; e < 8; e += 3) {
                    blit(f, &(Blit){ 8192, 9, places[p], places[(p + m) % 5], 0x1fff, 0x1fff,
                                     (uint8_t)(modes[m] | depth << 4), 0x59, (uint8_t)e, 0xff });
                    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
                }
    set_mode(f, 8, 2560);
    pixel(f, 0, 0);
}

/* Hole class: a pattern at the very end of video memory. */
static void
pattern_at_the_end_wraps(void **state)
{
    Fixture *f = *state;

    for (unsigned depth = 0; depth < 4; depth++) {
        blit(f, &(Blit){ 4096, 16, 0x1000, VRAM - 1, 4096, 0, (uint8_t)(PATTERN | depth << 4), COPY,
                         0, 0x1f });
        blit(f, &(Blit){ 4096, 16, VRAM - 5, VRAM - 1, 4096, 0,
                         (uint8_t)(PATTERN | EXPAND | depth << 4), COPY, 0, 0x1f });
    }
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
}

/* Hole class: registers that change, or a reset, while the processor still writes the source. */
static void
changes_under_a_blit_keep_its_bounds(void **state)
{
    Fixture *f = *state;

    set_mode(f, 0, 640);
    for (unsigned round = 0; round < 8; round++) {
        blit(f, &(Blit){ 5, 3, VRAM - 2, 0, 0x1fff, 0,
                         (uint8_t)(FROM_CPU | (round & 1 ? EXPAND : 0) | (round & 2 ? PATTERN : 0) |
                                   0x30),
                         COPY, 0, 0 });
        fake_write(f->fake, BLIT, 1, 0xff);
        gfx(f, 0x20, 0xff);
        gfx(f, 0x21, 0xff);
        gfx(f, 0x30, 0xc4);
        gfx(f, 0x2a, 0x3f);
        if (round & 4) {
            gfx(f, 0x31, 4);
            gfx(f, 0x31, 0);
            assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
        }
        for (unsigned i = 0; i < 20000; i++)
            fake_write(f->fake, BLIT, 8, UINT64_MAX);
        assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
    }
    /* One that starts by itself with each write of its address. */
    gfx(f, 0x31, 0x80);
    for (unsigned i = 0; i < 64; i++)
        gfx(f, 0x2a, (uint8_t)i);
    gfx(f, 0x31, 0);
    blit(f, &(Blit){ 8192, 2048, 0, 0, 0, 0, FROM_CPU, COPY, 0, 0 });
    machine_reset(f->fake->machine);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
}

static void
state_is_kept_under_a_blit(void **state)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    Fixture *f = *state;

    set_mode(f, 0, 640);
    blit(f, &(Blit){ 8, 2, 0x1000, 0, 100, 0, FROM_CPU, COPY, 0, 0 });
    fake_write(f->fake, BLIT, 8, 0x0807060504030201);
    fake_write(f->fake, BLIT, 2, 0x1211);
    assert_true(machine_save(f->fake->machine, bytes, &err));
    machine_reset(f->fake->machine);
    if (!machine_load(f->fake->machine, bytes->data, bytes->len, &err))
        fail_msg("%s", err->message);
    fake_write(f->fake, BLIT, 4, 0x16151413);
    fake_write(f->fake, BLIT, 2, 0x1817);
    assert_int_equal(gfx_read(f, 0x31) & BUSY, 0);
    assert_int_equal(fake_read(f->fake, LFB + 0x1064, 8), 0x1817161514131211);
    assert_int_equal(peek(f, 0x1007), 8);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(chip_is_known_by_its_registers),
        TEST(every_depth_is_drawn),
        TEST(cursor_is_painted),
        TEST(banks_and_write_modes),
        TEST(blits_copy_both_ways),
        TEST(rops_are_those_of_the_manual),
        TEST(patterns_and_bits_are_expanded),
        TEST(processor_writes_the_source),
        TEST(blits_stay_in_video_memory),
        TEST(pattern_at_the_end_wraps),
        TEST(changes_under_a_blit_keep_its_bounds),
        TEST(state_is_kept_under_a_blit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
