/* gpu_command.c - commands of the virtio GPU (virtio 1.2, 5.7.6): reading, carrying out, answering.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/core/bytes.h"
#include "hw/display/virtio_gpu.h"

enum {
    COMMAND_MAX = 64, /* bytes of the longest command, without a backing's pieces */
    PIECE = 16,
    DISPLAY_INFO = GPU_HEAD + GPU_OUTPUTS_MAX * 24,
    EDID_BYTES = 1024,
    EDID_INFO = GPU_HEAD + 8 + EDID_BYTES,
    CURSOR_SIDE = 64, /* 5.7.6.10: its resource has this size */
};

static ScreenRect
command_rect(const uint8_t *p)
{
    return (ScreenRect){ bytes_load32(p), bytes_load32(p + 4), bytes_load32(p + 8),
                         bytes_load32(p + 12) };
}

/* Bytes beyond the head that a command has; -1 for one that there is not. */
static int
command_size(uint32_t type)
{
    switch (type) {
    case GPU_CMD_GET_DISPLAY_INFO:
        return 0;
    case GPU_CMD_RESOURCE_CREATE_2D:
        return 16;
    case GPU_CMD_RESOURCE_UNREF:
    case GPU_CMD_RESOURCE_ATTACH_BACKING:
    case GPU_CMD_RESOURCE_DETACH_BACKING:
    case GPU_CMD_GET_EDID:
        return 8;
    case GPU_CMD_SET_SCANOUT:
    case GPU_CMD_RESOURCE_FLUSH:
        return 24;
    case GPU_CMD_TRANSFER_TO_HOST_2D:
        return 32;
    case GPU_CMD_UPDATE_CURSOR:
    case GPU_CMD_MOVE_CURSOR:
        return 32;
    default:
        return -1;
    }
}

/* ---- answers ---- */

static uint32_t
command_display_info(VirtioGpu *gpu, uint8_t *out)
{
    for (unsigned n = 0; n < gpu->max_outputs; n++) {
        uint8_t *mode = out + GPU_HEAD + 24 * n;

        bytes_store(mode + 8, gpu->outputs[n].width, 4);
        bytes_store(mode + 12, gpu->outputs[n].height, 4);
        bytes_store(mode + 16, gpu->outputs[n].width > 0, 4);
    }
    return GPU_RESP_OK_DISPLAY_INFO;
}

static uint32_t
command_edid(VirtioGpu *gpu, const uint8_t *in, uint8_t *out)
{
    uint32_t n = bytes_load32(in);

    if (n >= gpu->max_outputs || !gpu->edid)
        return GPU_RESP_ERR_INVALID_PARAMETER;
    bytes_store(out + GPU_HEAD, EDID_SIZE, 4);
    edid_make(out + GPU_HEAD + 8, gpu->outputs[n].width, gpu->outputs[n].height);
    return GPU_RESP_OK_EDID;
}

/* ---- commands ---- */

static uint32_t
command_attach(VirtioGpu *gpu, const VirtChain *chain, const uint8_t *in)
{
    GpuResource *resource = gpu_resource_find(gpu, bytes_load32(in));
    uint32_t n = bytes_load32(in + 4);
    g_autofree uint8_t *wire = NULL;
    size_t len = (size_t)n * PIECE;
    GpuPiece *pieces;

    if (!resource)
        return GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (n == 0 || n > GPU_BACKING_MAX)
        return GPU_RESP_ERR_UNSPEC;
    wire = g_malloc(len);
    if (iov_read(virt_chain_out(chain), chain->n_out, GPU_HEAD + 8, wire, len) != len)
        return GPU_RESP_ERR_UNSPEC;
    pieces = g_new0(GpuPiece, n);
    for (uint32_t i = 0; i < n; i++) {
        pieces[i].gpa = bytes_load64(wire + (size_t)PIECE * i);
        pieces[i].len = bytes_load32(wire + (size_t)PIECE * i + 8);
    }
    return gpu_resource_attach(gpu, resource, pieces, n);
}

static uint32_t
command_set_scanout(VirtioGpu *gpu, const uint8_t *in)
{
    ScreenRect rect = command_rect(in);
    uint32_t n = bytes_load32(in + 16), id = bytes_load32(in + 20);
    GpuResource *resource = id ? gpu_resource_find(gpu, id) : NULL;

    if (n >= gpu->max_outputs)
        return GPU_RESP_ERR_INVALID_SCANOUT_ID;
    if (id && !resource)
        return GPU_RESP_ERR_INVALID_RESOURCE_ID;
    return gpu_set_scanout(gpu, n, resource, &rect);
}

static uint32_t
command_flush(VirtioGpu *gpu, const uint8_t *in)
{
    ScreenRect rect = command_rect(in);
    GpuResource *resource = gpu_resource_find(gpu, bytes_load32(in + 16));

    if (!resource)
        return GPU_RESP_ERR_INVALID_RESOURCE_ID;
    if (rect.x > resource->width || rect.y > resource->height ||
        rect.width > resource->width - rect.x || rect.height > resource->height - rect.y)
        return GPU_RESP_ERR_INVALID_PARAMETER;
    gpu_flush(gpu, resource, &rect);
    return GPU_RESP_OK_NODATA;
}

/* Drivers send colours already multiplied by alpha; viewers want them as they are. */
static uint32_t
cursor_pixel(uint32_t pixel)
{
    uint32_t alpha = pixel >> 24, out = alpha << 24;

    if (alpha == 0 || alpha == 255)
        return alpha ? pixel : 0;
    for (unsigned shift = 0; shift < 24; shift += 8)
        out |= MIN((pixel >> shift & 255) * 255 / alpha, 255) << shift;
    return out;
}

static Cursor *
cursor_from(VirtioGpu *gpu, uint32_t id, uint32_t hot_x, uint32_t hot_y)
{
    const GpuResource *resource = gpu_resource_find(gpu, id);
    Cursor *cursor;

    /* No resource hides the pointer; one of another size is none. */
    if (!resource || resource->width != CURSOR_SIDE || resource->height != CURSOR_SIDE)
        return cursor_new(1, 1, 0, 0);
    cursor = cursor_new(CURSOR_SIDE, CURSOR_SIDE, hot_x, hot_y);
    for (uint32_t y = 0; y < CURSOR_SIDE; y++)
        for (uint32_t x = 0; x < CURSOR_SIDE; x++)
            cursor->pixels[y * CURSOR_SIDE + x] = cursor_pixel(surface_row(resource->image, y)[x]);
    return cursor;
}

static uint32_t
command_cursor(VirtioGpu *gpu, uint32_t type, const uint8_t *in)
{
    uint32_t n = bytes_load32(in);
    GpuOutput *output = &gpu->outputs[MIN(n, GPU_OUTPUTS_MAX - 1)];

    if (n >= gpu->max_outputs)
        return GPU_RESP_ERR_INVALID_SCANOUT_ID;
    output->cursor_x = (int32_t)bytes_load32(in + 4);
    output->cursor_y = (int32_t)bytes_load32(in + 8);
    if (type == GPU_CMD_UPDATE_CURSOR) {
        cursor_unref(output->cursor);
        output->cursor =
            cursor_from(gpu, bytes_load32(in + 16), bytes_load32(in + 20), bytes_load32(in + 24));
        output->cursor_new = true;
    }
    screen_kick(output->screen);
    return GPU_RESP_OK_NODATA;
}

static uint32_t
command_run(VirtioGpu *gpu, const VirtChain *chain, uint32_t type, const uint8_t *in, uint8_t *out)
{
    GpuResource *resource;
    ScreenRect rect;

    switch (type) {
    case GPU_CMD_GET_DISPLAY_INFO:
        return command_display_info(gpu, out);
    case GPU_CMD_GET_EDID:
        return command_edid(gpu, in, out);
    case GPU_CMD_RESOURCE_CREATE_2D:
        return gpu_resource_create(gpu, bytes_load32(in), bytes_load32(in + 4),
                                   bytes_load32(in + 8), bytes_load32(in + 12));
    case GPU_CMD_RESOURCE_UNREF:
        return gpu_resource_destroy(gpu, bytes_load32(in));
    case GPU_CMD_SET_SCANOUT:
        return command_set_scanout(gpu, in);
    case GPU_CMD_RESOURCE_FLUSH:
        return command_flush(gpu, in);
    case GPU_CMD_RESOURCE_ATTACH_BACKING:
        return command_attach(gpu, chain, in);
    case GPU_CMD_TRANSFER_TO_HOST_2D:
        rect = command_rect(in);
        resource = gpu_resource_find(gpu, bytes_load32(in + 24));
        return resource ? gpu_resource_transfer(resource, &rect, bytes_load64(in + 16))
                        : GPU_RESP_ERR_INVALID_RESOURCE_ID;
    case GPU_CMD_RESOURCE_DETACH_BACKING:
        resource = gpu_resource_find(gpu, bytes_load32(in));
        if (!resource || !resource->backing)
            return GPU_RESP_ERR_INVALID_RESOURCE_ID;
        gpu_resource_detach(gpu, resource);
        return GPU_RESP_OK_NODATA;
    default:
        return command_cursor(gpu, type, in);
    }
}

static size_t
answer_size(uint32_t answer)
{
    return answer == GPU_RESP_OK_DISPLAY_INFO ? DISPLAY_INFO
           : answer == GPU_RESP_OK_EDID       ? EDID_INFO
                                              : GPU_HEAD;
}

bool
gpu_command(VirtioGpu *gpu, const VirtChain *chain, bool cursor, uint64_t *written)
{
    uint8_t in[COMMAND_MAX] = { 0 }, out[EDID_INFO] = { 0 };
    size_t have = iov_read(virt_chain_out(chain), chain->n_out, 0, in, sizeof(in));
    uint32_t type = bytes_load32(in), flags = bytes_load32(in + 4), answer;
    int size = command_size(type);

    *written = 0;
    if (have < GPU_HEAD)
        return false;
    if (size < 0 || have < GPU_HEAD + (size_t)size || (type >= GPU_CMD_UPDATE_CURSOR) != cursor) {
        answer = GPU_RESP_ERR_UNSPEC;
    } else {
        g_mutex_lock(&gpu->lock);
        answer = command_run(gpu, chain, type, in + GPU_HEAD, out);
        g_mutex_unlock(&gpu->lock);
    }
    bytes_store(out, answer, 4);
    if (flags & GPU_FLAG_FENCE) {
        bytes_store(out + 4, GPU_FLAG_FENCE, 4);
        memcpy(out + 8, in + 8, 12); /* fence and context */
    }
    *written = iov_write(virt_chain_in(chain), chain->n_in, 0, out,
                         MIN(answer_size(answer), chain->in_len));
    return true;
}
