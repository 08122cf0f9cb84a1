/* test_hw_display.c - screens, pictures as files, and the VGA cards: modes, the window, hostile
 * registers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <png.h>
#include <string.h>

#include "fake_machine.h"
#include "hw/display/display.h"
#include "hw/display/edid.h"
#include "hw/display/vga.h"

enum { LFB = 0xc0000000, MMIO = 0xd0000000, DEVFN = 2 << 3, MIB = 1 << 20 };

static void
config_write(FakeMachine *fake, unsigned offset, unsigned size, uint32_t value)
{
    fake_out(fake, 0xcf8, 4, 0x80000000u | DEVFN << 8 | (offset & 0xfc));
    fake_out(fake, (uint16_t)(0xcfc + (offset & 3)), size, value);
}

static FakeMachine *
make(const char *driver, const char *memory, const char *value)
{
    FakeMachine *fake = fake_machine_new_q35(2 * MIB);

    fake_device(fake, driver, "id", "video0", "addr", "2", memory, value, NULL);
    config_write(fake, 0x10, 4, LFB);
    config_write(fake, 0x18, 4, MMIO);
    config_write(fake, 0x04, 2, 3);
    machine_reset(fake->machine);
    config_write(fake, 0x10, 4, LFB);
    config_write(fake, 0x18, 4, MMIO);
    config_write(fake, 0x04, 2, 3);
    return fake;
}

static Screen *
screen(FakeMachine *fake)
{
    Screen *found = displays_find(fake->machine->displays, "video0", 0);

    assert_non_null(found);
    return found;
}

static uint32_t
pixel(FakeMachine *fake, uint32_t x, uint32_t y)
{
    const Surface *surface = screen_surface(screen(fake));

    assert_true(x < surface->width && y < surface->height);
    return surface_row(surface, y)[x] & 0xffffff;
}

static void
indexed(FakeMachine *fake, uint16_t port, uint8_t index, uint8_t value)
{
    fake_out(fake, port, 2, (uint64_t)value << 8 | index);
}

static void
attribute(FakeMachine *fake, uint8_t index, uint8_t value)
{
    fake_in(fake, 0x3da, 1);
    fake_out(fake, 0x3c0, 1, index);
    fake_out(fake, 0x3c0, 1, value);
}

static void
screen_on(FakeMachine *fake)
{
    fake_in(fake, 0x3da, 1);
    fake_out(fake, 0x3c0, 1, 0x20);
}

static void
dac(FakeMachine *fake, uint8_t index, uint8_t r, uint8_t g, uint8_t b)
{
    fake_out(fake, 0x3c8, 1, index);
    fake_out(fake, 0x3c9, 1, r);
    fake_out(fake, 0x3c9, 1, g);
    fake_out(fake, 0x3c9, 1, b);
}

static void
vbe(FakeMachine *fake, uint16_t index, uint16_t value)
{
    fake_out(fake, 0x1ce, 2, index);
    fake_out(fake, 0x1cf, 2, value);
}

static void
vbe_set(FakeMachine *fake, uint16_t width, uint16_t height, uint16_t bpp)
{
    vbe(fake, VBE_ENABLE, 0);
    vbe(fake, VBE_XRES, width);
    vbe(fake, VBE_YRES, height);
    vbe(fake, VBE_BPP, bpp);
    vbe(fake, VBE_ENABLE, VBE_ENABLED | VBE_LFB);
    screen_on(fake);
}

/* 80x25, 16 lines a row, 8 dots; identity palette with DAC entry 7 grey and 15 white. */
static void
set_text_mode(FakeMachine *fake)
{
    static const uint8_t crtc[25] = {
        0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x20, 0x0f, 0x00,
        0x00, 0x00, 0x00, 0x9c, 0x0e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
    };

    fake_out(fake, 0x3c2, 1, 0x67);
    for (unsigned i = 0; i < sizeof(crtc); i++)
        indexed(fake, 0x3d4, (uint8_t)i, crtc[i]);
    indexed(fake, 0x3c4, 1, 1);
    indexed(fake, 0x3ce, 5, 0x00);
    indexed(fake, 0x3ce, 6, 0x04);
    /* glyph of 'A': its first line is 10000001, in plane 2 */
    indexed(fake, 0x3c4, 2, 4);
    indexed(fake, 0x3c4, 4, 6);
    indexed(fake, 0x3ce, 8, 0xff);
    fake_write(fake, 0xa0000 + 'A' * 32, 1, 0x81);
    indexed(fake, 0x3c4, 2, 3);
    indexed(fake, 0x3c4, 4, 2);
    indexed(fake, 0x3ce, 5, 0x10);
    indexed(fake, 0x3ce, 6, 0x0e);
    for (uint8_t i = 0; i < 16; i++)
        attribute(fake, i, i);
    attribute(fake, 0x12, 15);
    dac(fake, 1, 0, 0, 63);
    dac(fake, 7, 42, 42, 42);
    screen_on(fake);
}

static void
test_text(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    set_text_mode(fake);
    fake_write(fake, 0xb8000, 2, 0x1741); /* 'A' grey on blue, at 0, 0 */
    fake_write(fake, 0xb8000 + 2 * 81, 2, 0x0741);
    assert_int_equal(fake_read(fake, 0xb8000, 2), 0x1741);
    screen_refresh(screen(fake));
    assert_int_equal(screen_surface(screen(fake))->width, 640);
    assert_int_equal(screen_surface(screen(fake))->height, 400);
    assert_int_equal(pixel(fake, 0, 0), 0xaaaaaa);
    assert_int_equal(pixel(fake, 1, 0), 0x0000ff);
    assert_int_equal(pixel(fake, 7, 0), 0xaaaaaa);
    assert_int_equal(pixel(fake, 0, 1), 0x0000ff);
    assert_int_equal(pixel(fake, 8, 16), 0xaaaaaa);
    assert_int_equal(pixel(fake, 9, 16), 0);
    /* The split screen: behind line 15 the picture begins anew. */
    indexed(fake, 0x3d4, 0x11, 0);
    indexed(fake, 0x3d4, 7, 0x0f);
    indexed(fake, 0x3d4, 9, 0x0f);
    indexed(fake, 0x3d4, 0x18, 15);
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 0, 16), 0xaaaaaa);
    /* Panning by one pixel */
    attribute(fake, 0x13, 1);
    screen_on(fake);
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 6, 0), 0xaaaaaa);
    /* Nothing is shown while the palette belongs to the CPU. */
    fake_in(fake, 0x3da, 1);
    fake_out(fake, 0x3c0, 1, 0);
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 6, 0), 0);
    fake_machine_free(fake);
}

static void
test_cursor(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    set_text_mode(fake);
    indexed(fake, 0x3d4, 0x0a, 14);
    indexed(fake, 0x3d4, 0x0b, 15);
    indexed(fake, 0x3d4, 0x0f, 2);
    fake_write(fake, 0xb8004, 2, 0x0720);
    fake->clock = 0;
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 16, 14), 0xaaaaaa);
    assert_int_equal(pixel(fake, 16, 13), 0);
    fake->clock += 300000000;
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 16, 14), 0);
    fake_machine_free(fake);
}

/* 640x480, 16 colours. */
static void
set_planar_mode(FakeMachine *fake)
{
    fake_out(fake, 0x3c2, 1, 0xe3);
    indexed(fake, 0x3d4, 0x11, 0);
    indexed(fake, 0x3d4, 0x01, 0x4f);
    indexed(fake, 0x3d4, 0x07, 0x12);
    indexed(fake, 0x3d4, 0x09, 0x40);
    indexed(fake, 0x3d4, 0x12, 0xdf);
    indexed(fake, 0x3d4, 0x13, 0x28);
    indexed(fake, 0x3d4, 0x17, 0xe3);
    indexed(fake, 0x3d4, 0x18, 0xff);
    indexed(fake, 0x3c4, 2, 15);
    indexed(fake, 0x3c4, 4, 6);
    indexed(fake, 0x3ce, 5, 0);
    indexed(fake, 0x3ce, 6, 5);
    indexed(fake, 0x3ce, 8, 0xff);
    for (uint8_t i = 0; i < 16; i++) {
        attribute(fake, i, i);
        dac(fake, i, i, i, i);
    }
    attribute(fake, 0x10, 1);
    attribute(fake, 0x12, 15);
    screen_on(fake);
}

static void
test_planar(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    set_planar_mode(fake);
    indexed(fake, 0x3ce, 5, 2); /* write mode 2: a colour through the bit mask */
    indexed(fake, 0x3ce, 8, 0x80);
    fake_read(fake, 0xa0000, 1);
    fake_write(fake, 0xa0000, 1, 9);
    indexed(fake, 0x3ce, 5, 0); /* write mode 0 with set/reset: colour 5 for the next */
    indexed(fake, 0x3ce, 8, 0x40);
    indexed(fake, 0x3ce, 0, 5);
    indexed(fake, 0x3ce, 1, 15);
    fake_read(fake, 0xa0000, 1);
    fake_write(fake, 0xa0000, 1, 0);
    screen_refresh(screen(fake));
    assert_int_equal(screen_surface(screen(fake))->height, 480);
    assert_int_equal(pixel(fake, 0, 0), 0x242424);
    assert_int_equal(pixel(fake, 1, 0), 0x141414);
    assert_int_equal(pixel(fake, 2, 0), 0);
    /* read mode 1: which of the eight have colour 9 */
    indexed(fake, 0x3ce, 5, 8);
    indexed(fake, 0x3ce, 2, 9);
    indexed(fake, 0x3ce, 7, 15);
    assert_int_equal(fake_read(fake, 0xa0000, 1), 0x80);
    /* write mode 1 copies the latches, write mode 3 takes the byte as a mask */
    indexed(fake, 0x3ce, 5, 1);
    fake_write(fake, 0xa0001, 1, 0);
    indexed(fake, 0x3ce, 5, 3);
    indexed(fake, 0x3ce, 8, 0xff);
    indexed(fake, 0x3ce, 0, 15);
    fake_read(fake, 0xa0002, 1);
    fake_write(fake, 0xa0002, 1, 0x01);
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 8, 0), 0x242424);
    assert_int_equal(pixel(fake, 22, 0), 0);
    assert_int_equal(pixel(fake, 23, 0), 0x3c3c3c);
    fake_machine_free(fake);
}

static void
test_mode_13h(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    set_planar_mode(fake);
    indexed(fake, 0x3d4, 0x07, 0x1f);
    indexed(fake, 0x3d4, 0x09, 0x41);
    indexed(fake, 0x3d4, 0x12, 0x8f);
    indexed(fake, 0x3c4, 4, 0x0e);
    indexed(fake, 0x3ce, 5, 0x40);
    dac(fake, 200, 63, 0, 0);
    fake_write(fake, 0xa0000 + 320 + 1, 1, 200);
    screen_refresh(screen(fake));
    assert_int_equal(screen_surface(screen(fake))->width, 640);
    assert_int_equal(screen_surface(screen(fake))->height, 400);
    assert_int_equal(pixel(fake, 2, 2), 0xff0000);
    assert_int_equal(pixel(fake, 3, 3), 0xff0000);
    assert_int_equal(pixel(fake, 4, 2), 0);
    /* mode X: the same pixel through its plane */
    indexed(fake, 0x3c4, 4, 6);
    indexed(fake, 0x3c4, 2, 2);
    indexed(fake, 0x3ce, 8, 0xff);
    indexed(fake, 0x3ce, 1, 0);
    fake_write(fake, 0xa0000 + 80, 1, 0);
    screen_refresh(screen(fake));
    assert_int_equal(pixel(fake, 2, 2), 0);
    fake_machine_free(fake);
}

static void
test_vbe_depths(void **state)
{
    static const struct {
        uint16_t bpp;
        uint32_t value, rgb;
    } depths[] = {
        { 8, 3, 0xff0000 },         { 15, 0x7c00, 0xff0000 },   { 16, 0x07e0, 0x00ff00 },
        { 24, 0x123456, 0x123456 }, { 32, 0x654321, 0x654321 },
    };
    FakeMachine *fake = make("VGA", "vgamem_mb", "4");

    (void)state;
    fake_out(fake, 0x3c2, 1, 0x67);
    dac(fake, 3, 63, 0, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
        unsigned bytes = (depths[i].bpp + 7u) / 8;
        uint32_t at = (uint32_t)(800 * 2 + 5) * bytes;

        vbe_set(fake, 800, 600, depths[i].bpp);
        vbe(fake, VBE_BANK, (uint16_t)(at >> 16));
        for (unsigned b = 0; b < bytes; b++)
            fake_write(fake, 0xa0000 + ((at + b) & 0xffff), 1, depths[i].value >> (8 * b) & 0xff);
        screen_refresh(screen(fake));
        assert_int_equal(screen_surface(screen(fake))->width, 800);
        assert_int_equal(pixel(fake, 5, 2), depths[i].rgb);
        vbe(fake, VBE_Y_OFFSET, 2);
        vbe(fake, VBE_X_OFFSET, 4);
        screen_refresh(screen(fake));
        assert_int_equal(pixel(fake, 1, 0), depths[i].rgb);
    }
    fake_out(fake, 0x1ce, 2, VBE_ID);
    assert_int_equal(fake_in(fake, 0x1cf, 2), 0xb0c5);
    fake_out(fake, 0x1ce, 2, VBE_MEMORY_64K);
    assert_int_equal(fake_in(fake, 0x1cf, 2), 64);
    fake_machine_free(fake);
}

static void
test_bochs_display(void **state)
{
    FakeMachine *fake = make("bochs-display", "vgamem", "4M");

    (void)state;
    assert_int_equal(fake_read(fake, MMIO, 4), 0xffffff00);
    assert_int_equal(fake_read(fake, MMIO + 0x500, 2), 0xb0c5);
    assert_int_equal(fake_read(fake, MMIO + 0x604, 4), 0x1e1e1e1e);
    fake_write(fake, MMIO + 0x502, 2, 1024);
    fake_write(fake, MMIO + 0x504, 2, 768);
    fake_write(fake, MMIO + 0x506, 2, 32);
    fake_write(fake, MMIO + 0x508, 2, VBE_ENABLED | VBE_LFB);
    screen_refresh(screen(fake));
    assert_int_equal(screen_surface(screen(fake))->width, 1024);
    assert_int_equal(screen_surface(screen(fake))->stride, 4096);
    assert_int_equal(fake_in(fake, 0x3cc, 1), 0xff);
    fake_machine_free(fake);
}

/* Hole: a picture that does not fit into memory, or whose start lies behind its end. */
static void
test_hole_vbe_beyond_memory(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    fake_out(fake, 0x3c2, 1, 0x67);
    vbe_set(fake, 16000, 12000, 32);
    screen_refresh(screen(fake));
    assert_true(screen_surface(screen(fake))->width <= 640);
    vbe_set(fake, 640, 400, 32);
    vbe(fake, VBE_Y_OFFSET, 0xffff);
    vbe(fake, VBE_X_OFFSET, 0xffff);
    screen_refresh(screen(fake));
    assert_int_equal(screen_surface(screen(fake))->width, 640);
    vbe(fake, VBE_VIRT_WIDTH, 0xffff);
    screen_refresh(screen(fake));
    vbe(fake, VBE_BANK, 0xffff);
    fake_out(fake, 0x1ce, 2, VBE_BANK);
    assert_int_equal(fake_in(fake, 0x1cf, 2), 0);
    fake_machine_free(fake);
}

/* Hole: CRTC start, offset and line compare that lead around the end of memory. */
static void
test_hole_crtc_over_run(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");

    (void)state;
    for (unsigned mode = 0; mode < 4; mode++) {
        set_text_mode(fake);
        indexed(fake, 0x3d4, 0x11, 0);
        for (uint8_t i = 0; i < 25; i++)
            indexed(fake, 0x3d4, i, 0xff);
        indexed(fake, 0x3d4, 0x11, 0);
        indexed(fake, 0x3ce, 6, mode ? 5 : 0x0e);
        indexed(fake, 0x3ce, 5, (uint8_t)(mode * 0x20));
        indexed(fake, 0x3c4, 3, 0x3f);
        attribute(fake, 0x13, 15);
        screen_on(fake);
        screen_refresh(screen(fake));
        indexed(fake, 0x3d4, 0x01, 0);
        screen_refresh(screen(fake));
    }
    fake_machine_free(fake);
}

typedef struct {
    unsigned surfaces, updates, gone;
    ScreenRect last;
} Viewer;

static void
viewer_surface(void *opaque)
{
    ((Viewer *)opaque)->surfaces++;
}

static void
viewer_update(void *opaque, const ScreenRect *rect)
{
    ((Viewer *)opaque)->updates++;
    ((Viewer *)opaque)->last = *rect;
}

static void
viewer_ignore(void *opaque)
{
    (void)opaque;
}

static void
viewer_gone(void *opaque)
{
    ((Viewer *)opaque)->gone++;
}

static void
test_only_changes_are_told(void **state)
{
    static const ScreenViewerOps ops = {
        .surface = viewer_surface,
        .update = viewer_update,
        .cursor = viewer_ignore,
        .cursor_moved = viewer_ignore,
        .gone = viewer_gone,
    };
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");
    Viewer viewer = { 0 };

    (void)state;
    set_text_mode(fake);
    screen_refresh(screen(fake));
    screen_view(screen(fake), &ops, &viewer);
    screen_refresh(screen(fake));
    viewer = (Viewer){ 0 };
    screen_refresh(screen(fake));
    assert_int_equal(viewer.updates, 0);
    fake_write(fake, 0xb8000 + 160 * 3, 2, 0x1741);
    screen_refresh(screen(fake));
    assert_int_equal(viewer.updates, 1);
    assert_int_equal(viewer.last.y, 48);
    assert_int_equal(viewer.last.height, 16);
    assert_int_equal(viewer.surfaces, 0);
    fake_machine_free(fake);
    assert_int_equal(viewer.gone, 1);
}

static void
test_saved_state(void **state)
{
    FakeMachine *fake = make("VGA", "vgamem_mb", "1");
    FakeMachine *other = make("VGA", "vgamem_mb", "1");
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    (void)state;
    set_text_mode(fake);
    fake_write(fake, 0xb8000, 2, 0x1741);
    assert_true(machine_save(fake->machine, saved, &err));
    assert_true(machine_load(other->machine, saved->data, saved->len, &err));
    screen_refresh(screen(other));
    assert_int_equal(screen_surface(screen(other))->height, 400);
    assert_int_equal(pixel(other, 0, 0), 0xaaaaaa);
    fake_machine_free(other);
    fake_machine_free(fake);
}

static void
test_files(void **state)
{
    g_autoptr(Surface) surface = surface_new(3, 2);
    g_autoptr(GBytes) ppm = NULL, png = NULL;
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t rgb[18];
    gsize size;
    const uint8_t *bytes;

    (void)state;
    surface_row(surface, 1)[2] = 0x102030;
    ppm = surface_to_file(surface, PICTURE_PPM, NULL);
    bytes = g_bytes_get_data(ppm, &size);
    assert_int_equal(size, 11 + 18);
    assert_memory_equal(bytes, "P6\n3 2\n255\n", 11);
    assert_memory_equal(bytes + 26, "\x10\x20\x30", 3);
    png = surface_to_file(surface, PICTURE_PNG, NULL);
    bytes = g_bytes_get_data(png, &size);
    assert_true(png_image_begin_read_from_memory(&image, bytes, size));
    image.format = PNG_FORMAT_RGB;
    assert_int_equal(image.width, 3);
    assert_true(png_image_finish_read(&image, NULL, rgb, 0, NULL));
    assert_memory_equal(rgb + 15, "\x10\x20\x30", 3);
    assert_null(surface_new(0, 1));
    assert_null(surface_new(SCREEN_SIZE_MAX + 1, 1));
}

static void
test_edid(void **state)
{
    uint8_t edid[EDID_SIZE], sum = 0;

    (void)state;
    edid_make(edid, 1920, 1080);
    for (unsigned i = 0; i < EDID_SIZE; i++)
        sum = (uint8_t)(sum + edid[i]);
    assert_int_equal(sum, 0);
    assert_int_equal(edid[54 + 2] | (edid[54 + 4] >> 4) << 8, 1920);
    assert_int_equal(edid[54 + 5] | (edid[54 + 7] >> 4) << 8, 1080);
}

static const volatile uint8_t *slot_memory[64];
static unsigned n_slots;

static int
slot_map(void *host, uint64_t gpa, uint64_t size, void *memory, bool read_only)
{
    (void)host, (void)gpa, (void)size, (void)read_only;
    assert_true(n_slots < G_N_ELEMENTS(slot_memory));
    slot_memory[n_slots] = memory;
    return (int)n_slots++;
}

static void
slot_unmap(void *host, int slot)
{
    (void)host;
    /* A guest could still have read it. */
    (void)*slot_memory[slot];
}

/* What the guest reaches is taken from it before it is freed. */
static void
test_memory_outlives_its_mapping(void **state)
{
    static const char *const drivers[] = { "VGA", "virtio-vga" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        FakeMachine *fake = fake_machine_new_q35(2 * MIB);
        MachineOps ops = *fake->machine->ops;
        Device *card = fake_device(fake, drivers[i], "id", "video0", "addr", "2", NULL);

        ops.memory_map = slot_map;
        ops.memory_unmap = slot_unmap;
        fake->machine->ops = &ops;
        n_slots = 0;
        config_write(fake, 0x10, 4, LFB);
        config_write(fake, 0x04, 2, 3);
        assert_true(n_slots > 0);
        device_free(card);
        fake_machine_free(fake);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_cursor),
        cmocka_unit_test(test_planar),
        cmocka_unit_test(test_mode_13h),
        cmocka_unit_test(test_vbe_depths),
        cmocka_unit_test(test_bochs_display),
        cmocka_unit_test(test_hole_vbe_beyond_memory),
        cmocka_unit_test(test_hole_crtc_over_run),
        cmocka_unit_test(test_only_changes_are_told),
        cmocka_unit_test(test_saved_state),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_edid),
        cmocka_unit_test(test_memory_outlives_its_mapping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
