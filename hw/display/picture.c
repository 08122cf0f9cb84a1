/* picture.c - a surface as the bytes of a PNG (by libpng) or a PPM file (Netpbm's P6).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <png.h>

#include "hw/display/display.h"
#include "util/error.h"

static void
picture_row(const Surface *surface, uint32_t y, uint8_t *rgb)
{
    const uint32_t *pixel = surface_row(surface, y);

    for (uint32_t x = 0; x < surface->width; x++, rgb += 3) {
        rgb[0] = (uint8_t)(pixel[x] >> 16);
        rgb[1] = (uint8_t)(pixel[x] >> 8);
        rgb[2] = (uint8_t)pixel[x];
    }
}

static GBytes *
picture_ppm(const Surface *surface)
{
    size_t row = (size_t)surface->width * 3;
    g_autofree char *head = g_strdup_printf("P6\n%u %u\n255\n", surface->width, surface->height);
    GByteArray *out = g_byte_array_new();

    g_byte_array_append(out, (const guint8 *)head, (guint)strlen(head));
    for (uint32_t y = 0; y < surface->height; y++) {
        guint at = out->len;

        g_byte_array_set_size(out, at + (guint)row);
        picture_row(surface, y, out->data + at);
    }
    return g_byte_array_free_to_bytes(out);
}

static void
picture_png_write(png_structp png, png_bytep data, png_size_t len)
{
    g_byte_array_append(png_get_io_ptr(png), data, (guint)len);
}

static void
picture_png_flush(png_structp png)
{
    (void)png;
}

static GBytes *
picture_png(const Surface *surface, GError **err)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    GByteArray *out = g_byte_array_new();
    uint8_t *row = g_malloc((size_t)surface->width * 3);

    if (!info || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        g_byte_array_unref(out);
        g_free(row);
        kiln_error_set(err, VIR_ERR_NO_MEMORY, "libpng cannot write the picture");
        return NULL;
    }
    png_set_write_fn(png, out, picture_png_write, picture_png_flush);
    png_set_IHDR(png, info, surface->width, surface->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, 3);
    png_write_info(png, info);
    for (uint32_t y = 0; y < surface->height; y++) {
        picture_row(surface, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    g_free(row);
    return g_byte_array_free_to_bytes(out);
}

GBytes *
surface_to_file(const Surface *surface, PictureFormat format, GError **err)
{
    return format == PICTURE_PNG ? picture_png(surface, err) : picture_ppm(surface);
}
