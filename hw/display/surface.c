/* surface.c - pictures and pointers' shapes, shared by reference.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/display.h"

static bool
surface_size_ok(uint32_t width, uint32_t height)
{
    return width > 0 && height > 0 && width <= SCREEN_SIZE_MAX && height <= SCREEN_SIZE_MAX;
}

Surface *
surface_new_for(void *data, uint32_t width, uint32_t height, uint32_t stride,
                void (*release)(void *opaque), void *opaque)
{
    Surface *surface;

    if (!surface_size_ok(width, height) || stride % 4 != 0 || stride / 4 < width ||
        (uintptr_t)data % 4 != 0)
        return NULL;
    surface = g_new(Surface, 1);
    *surface = (Surface){ .data = data,
                          .width = width,
                          .height = height,
                          .stride = stride,
                          .refs = 1,
                          .release = release,
                          .opaque = opaque,
                          .borrowed = true };
    return surface;
}

Surface *
surface_new(uint32_t width, uint32_t height)
{
    Surface *surface;
    void *data;

    if (!surface_size_ok(width, height))
        return NULL;
    data = g_try_malloc0((size_t)width * height * 4);
    if (!data)
        return NULL;
    surface = surface_new_for(data, width, height, width * 4, NULL, NULL);
    surface->borrowed = false;
    return surface;
}

Surface *
surface_ref(Surface *surface)
{
    g_atomic_int_inc(&surface->refs);
    return surface;
}

void
surface_unref(Surface *surface)
{
    if (!surface || !g_atomic_int_dec_and_test(&surface->refs))
        return;
    if (!surface->borrowed)
        g_free(surface->data);
    else if (surface->release)
        surface->release(surface->opaque);
    g_free(surface);
}

Cursor *
cursor_new(uint32_t width, uint32_t height, uint32_t hot_x, uint32_t hot_y)
{
    Cursor *cursor;

    if (width == 0 || height == 0 || width > SCREEN_CURSOR_MAX || height > SCREEN_CURSOR_MAX)
        return NULL;
    cursor = g_malloc0(sizeof(*cursor) + (size_t)width * height * 4);
    cursor->width = width;
    cursor->height = height;
    cursor->hot_x = MIN(hot_x, width - 1);
    cursor->hot_y = MIN(hot_y, height - 1);
    cursor->refs = 1;
    return cursor;
}

Cursor *
cursor_ref(Cursor *cursor)
{
    g_atomic_int_inc(&cursor->refs);
    return cursor;
}

void
cursor_unref(Cursor *cursor)
{
    if (cursor && g_atomic_int_dec_and_test(&cursor->refs))
        g_free(cursor);
}
