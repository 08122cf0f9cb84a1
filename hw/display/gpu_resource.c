/* gpu_resource.c - pictures that a driver keeps in the virtio GPU: making, backing, transfer
 * (virtio 1.2, 5.7.6.8).
 *
 * A resource's bytes are brought into one pixel order when they are transferred, so that showing
 * them costs nothing. Every rectangle and offset is checked against both picture and backing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/core/bytes.h"
#include "hw/display/virtio_gpu.h"

/* 5.7.6.8: byte order in memory */
enum {
    FORMAT_B8G8R8A8 = 1,
    FORMAT_B8G8R8X8 = 2,
    FORMAT_A8R8G8B8 = 3,
    FORMAT_X8R8G8B8 = 4,
    FORMAT_R8G8B8A8 = 67,
    FORMAT_X8B8G8R8 = 68,
    FORMAT_A8B8G8R8 = 121,
    FORMAT_R8G8B8X8 = 134,
};

static bool
format_known(uint32_t format)
{
    return (format >= FORMAT_B8G8R8A8 && format <= FORMAT_X8R8G8B8) || format == FORMAT_R8G8B8A8 ||
           format == FORMAT_X8B8G8R8 || format == FORMAT_A8B8G8R8 || format == FORMAT_R8G8B8X8;
}

/* In place: a pixel as it lies in guest memory to 0xAARRGGBB. */
static void
format_convert(uint32_t format, uint32_t *pixel, size_t n)
{
    switch (format) {
    case FORMAT_B8G8R8A8:
    case FORMAT_B8G8R8X8:
        break;
    case FORMAT_A8R8G8B8:
    case FORMAT_X8R8G8B8:
        for (size_t i = 0; i < n; i++)
            pixel[i] = GUINT32_SWAP_LE_BE(pixel[i]);
        break;
    case FORMAT_A8B8G8R8:
    case FORMAT_X8B8G8R8:
        for (size_t i = 0; i < n; i++)
            pixel[i] = pixel[i] << 24 | pixel[i] >> 8;
        break;
    default: /* red first */
        for (size_t i = 0; i < n; i++)
            pixel[i] = (pixel[i] & 0xff00ff00) | (pixel[i] & 255) << 16 | (pixel[i] >> 16 & 255);
        break;
    }
}

GpuResource *
gpu_resource_find(VirtioGpu *gpu, uint32_t id)
{
    return g_hash_table_lookup(gpu->resources, GUINT_TO_POINTER(id));
}

void
gpu_resource_free(gpointer opaque)
{
    GpuResource *resource = opaque;

    surface_unref(resource->image);
    g_free(resource->backing);
    g_free(resource);
}

uint32_t
gpu_resource_create(VirtioGpu *gpu, uint32_t id, uint32_t format, uint32_t width, uint32_t height)
{
    uint64_t bytes = (uint64_t)width * height * 4;
    GpuResource *resource;
    Surface *image;

    if (id == 0 || gpu_resource_find(gpu, id))
        return GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (!format_known(format) || width == 0 || height == 0 || width > SCREEN_SIZE_MAX ||
        height > SCREEN_SIZE_MAX)
        return GPU_RESP_ERR_INVALID_PARAMETER;
    if (bytes > gpu->max_hostmem - MIN(gpu->hostmem, gpu->max_hostmem) ||
        g_hash_table_size(gpu->resources) >= GPU_RESOURCES_MAX)
        return GPU_RESP_ERR_OUT_OF_MEMORY;
    image = surface_new(width, height);
    if (!image)
        return GPU_RESP_ERR_OUT_OF_MEMORY;
    resource = g_new0(GpuResource, 1);
    *resource = (GpuResource){
        .id = id, .format = format, .width = width, .height = height, .image = image
    };
    gpu->hostmem += bytes;
    g_hash_table_insert(gpu->resources, GUINT_TO_POINTER(id), resource);
    return GPU_RESP_OK_NODATA;
}

uint32_t
gpu_resource_destroy(VirtioGpu *gpu, uint32_t id)
{
    GpuResource *resource = gpu_resource_find(gpu, id);

    if (!resource)
        return GPU_RESP_ERR_INVALID_RESOURCE_ID;
    for (unsigned n = 0; n < gpu->max_outputs; n++)
        if (gpu->outputs[n].resource == id)
            gpu_set_scanout(gpu, n, NULL, NULL);
    gpu_resource_detach(gpu, resource);
    gpu->hostmem -= (uint64_t)resource->width * resource->height * 4;
    g_hash_table_remove(gpu->resources, GUINT_TO_POINTER(id));
    return GPU_RESP_OK_NODATA;
}

/* ---- backing ---- */

void
gpu_resource_detach(VirtioGpu *gpu, GpuResource *resource)
{
    gpu->n_backings -= resource->n_backing;
    g_clear_pointer(&resource->backing, g_free);
    resource->n_backing = 0;
    resource->backing_bytes = 0;
}

uint32_t
gpu_resource_attach(VirtioGpu *gpu, GpuResource *resource, GpuPiece *pieces, uint32_t n)
{
    const GuestMemory *memory = virtio_base(&gpu->virtio)->machine->memory;
    uint64_t bytes = 0;

    if (resource->backing || gpu->n_backings + n > GPU_BACKINGS_MAX) {
        g_free(pieces);
        return GPU_RESP_ERR_UNSPEC;
    }
    for (uint32_t i = 0; i < n; i++) {
        /* RAM only: registers of a device cannot be made a picture. */
        pieces[i].host = guest_memory_pointer(memory, pieces[i].gpa, pieces[i].len);
        if (!pieces[i].host) {
            g_free(pieces);
            return GPU_RESP_ERR_UNSPEC;
        }
        bytes += pieces[i].len;
    }
    resource->backing = pieces;
    resource->n_backing = n;
    resource->backing_bytes = bytes;
    gpu->n_backings += n;
    return GPU_RESP_OK_NODATA;
}

/* Where a walk over a backing stands. */
typedef struct {
    const GpuResource *resource;
    uint32_t piece;
    uint64_t start; /* of the piece, in the backing */
} BackingWalk;

/* Copies [offset, offset + len), which lies inside the backing; offsets do not decrease. */
static void
backing_read(BackingWalk *walk, uint64_t offset, uint8_t *out, size_t len)
{
    const GpuResource *r = walk->resource;

    while (len > 0 && walk->piece < r->n_backing) {
        const GpuPiece *piece = &r->backing[walk->piece];
        uint64_t at = offset - walk->start;
        size_t n;

        if (at >= piece->len) {
            walk->start += piece->len;
            walk->piece++;
            continue;
        }
        n = MIN(len, piece->len - at);
        memcpy(out, piece->host + at, n);
        out += n;
        offset += n;
        len -= n;
    }
}

static bool
rect_inside(const ScreenRect *rect, uint32_t width, uint32_t height)
{
    return rect->x <= width && rect->y <= height && rect->width <= width - rect->x &&
           rect->height <= height - rect->y;
}

uint32_t
gpu_resource_transfer(GpuResource *resource, const ScreenRect *rect, uint64_t offset)
{
    uint64_t stride = (uint64_t)resource->width * 4, row = (uint64_t)rect->width * 4;
    BackingWalk walk = { .resource = resource };

    if (!resource->backing)
        return GPU_RESP_ERR_UNSPEC;
    if (!rect_inside(rect, resource->width, resource->height))
        return GPU_RESP_ERR_INVALID_PARAMETER;
    if (rect->width == 0 || rect->height == 0)
        return GPU_RESP_OK_NODATA;
    if (offset > resource->backing_bytes ||
        stride * (rect->height - 1) + row > resource->backing_bytes - offset)
        return GPU_RESP_ERR_INVALID_PARAMETER;
    for (uint32_t y = 0; y < rect->height; y++) {
        uint32_t *out = surface_row(resource->image, rect->y + y) + rect->x;

        backing_read(&walk, offset + stride * y, (uint8_t *)out, row);
        format_convert(resource->format, out, rect->width);
    }
    return GPU_RESP_OK_NODATA;
}

/* ---- outputs ---- */

static void
release_image(void *image)
{
    surface_unref(image);
}

uint32_t
gpu_set_scanout(VirtioGpu *gpu, unsigned n, GpuResource *resource, const ScreenRect *rect)
{
    GpuOutput *output = &gpu->outputs[n];
    Surface *surface = NULL, *image;

    if (resource) {
        if (!rect_inside(rect, resource->width, resource->height) || rect->width < 16 ||
            rect->height < 16)
            return GPU_RESP_ERR_INVALID_PARAMETER;
        image = resource->image;
        surface = surface_new_for(surface_row(image, rect->y) + rect->x, rect->width, rect->height,
                                  image->stride, release_image, surface_ref(image));
        if (!surface) {
            surface_unref(image);
            return GPU_RESP_ERR_INVALID_PARAMETER;
        }
    }
    surface_unref(output->surface);
    output->surface = surface;
    output->surface_new = true;
    output->resource = resource ? resource->id : 0;
    output->rect = resource ? *rect : (ScreenRect){ 0 };
    output->damage = (ScreenRect){ 0 };
    screen_kick(output->screen);
    return GPU_RESP_OK_NODATA;
}

/* The smallest rectangle around both. */
static void
rect_join(ScreenRect *to, const ScreenRect *rect)
{
    uint32_t right, bottom;

    if (to->width == 0 || to->height == 0) {
        *to = *rect;
        return;
    }
    right = MAX(to->x + to->width, rect->x + rect->width);
    bottom = MAX(to->y + to->height, rect->y + rect->height);
    to->x = MIN(to->x, rect->x);
    to->y = MIN(to->y, rect->y);
    to->width = right - to->x;
    to->height = bottom - to->y;
}

void
gpu_flush(VirtioGpu *gpu, const GpuResource *resource, const ScreenRect *rect)
{
    for (unsigned n = 0; n < gpu->max_outputs; n++) {
        GpuOutput *output = &gpu->outputs[n];
        uint32_t left, top, right, bottom;

        if (output->resource != resource->id)
            continue;
        left = MAX(rect->x, output->rect.x);
        top = MAX(rect->y, output->rect.y);
        right = MIN(rect->x + rect->width, output->rect.x + output->rect.width);
        bottom = MIN(rect->y + rect->height, output->rect.y + output->rect.height);
        if (left >= right || top >= bottom)
            continue;
        rect_join(&output->damage, &(ScreenRect){ left - output->rect.x, top - output->rect.y,
                                                  right - left, bottom - top });
        screen_kick(output->screen);
    }
}
