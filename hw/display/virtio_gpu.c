/* virtio_gpu.c - virtio GPU device, 2D (virtio 1.2, 5.7): queues, configuration, outputs, state.
 *
 * Leaves out: 3D (VIRGL), blobs, and contexts, which are not offered.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/virtio_gpu.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    F_EDID = 1,
    CONTROL_SIZE = 256,
    CURSOR_SIZE = 16,
    EVENT_DISPLAY = 1,
    CONFIG_CLEAR = 4,
    SAVED_HEAD = 20, /* id, format, width, height, pieces */
    SAVED_PIECE = 12,
};

/* ---- outputs; main thread ---- */

bool
gpu_output_active(VirtioGpu *gpu, unsigned n)
{
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&gpu->lock);

    return gpu->outputs[n].surface != NULL;
}

void
gpu_output_refresh(VirtioGpu *gpu, unsigned n)
{
    GpuOutput *output = &gpu->outputs[n];
    g_autoptr(Surface) surface = NULL;
    g_autoptr(Cursor) cursor = NULL;
    ScreenRect damage;
    bool shown, pointed;
    int32_t x, y;

    g_mutex_lock(&gpu->lock);
    shown = output->surface_new;
    pointed = output->cursor_new;
    if (shown && output->surface)
        surface = surface_ref(output->surface);
    if (pointed && output->cursor)
        cursor = cursor_ref(output->cursor);
    damage = output->damage;
    x = output->cursor_x;
    y = output->cursor_y;
    output->surface_new = output->cursor_new = false;
    output->damage = (ScreenRect){ 0 };
    g_mutex_unlock(&gpu->lock);

    if (shown && !surface)
        surface = surface_new(640, 480);
    if (shown && surface)
        screen_set_surface(output->screen, surface);
    else if (damage.width > 0)
        screen_update(output->screen, damage.x, damage.y, damage.width, damage.height);
    if (pointed)
        screen_set_cursor(output->screen, cursor);
    screen_move_cursor(output->screen, x, y);
}

void
gpu_output_suggest(VirtioGpu *gpu, unsigned n, uint32_t width, uint32_t height)
{
    g_mutex_lock(&gpu->lock);
    gpu->outputs[n].width = width;
    gpu->outputs[n].height = height;
    g_mutex_unlock(&gpu->lock);
    virtio_device_lock(&gpu->virtio);
    gpu->events |= EVENT_DISPLAY;
    virtio_config_changed(&gpu->virtio);
    virtio_device_unlock(&gpu->virtio);
}

/* The output that a screen of a plain GPU belongs to. */
static void
gpu_refresh(void *opaque)
{
    GpuOutput *output = opaque;
    unsigned head = screen_head(output->screen);

    gpu_output_refresh((VirtioGpu *)screen_device(output->screen), head);
}

static void
gpu_suggest(void *opaque, uint32_t width, uint32_t height)
{
    GpuOutput *output = opaque;

    gpu_output_suggest((VirtioGpu *)screen_device(output->screen), screen_head(output->screen),
                       width, height);
}

static const ScreenOps gpu_screen_ops = { .refresh = gpu_refresh, .suggest_size = gpu_suggest };

/* ---- queues; the loop ---- */

static void
gpu_handle(VirtQueue *queue, bool cursor)
{
    VirtioGpu *gpu = (VirtioGpu *)queue->dev;
    unsigned turn = 0;
    uint64_t written;

    while (virt_queue_next(queue, &gpu->chain, &turn)) {
        if (!gpu_command(gpu, &gpu->chain, cursor, &written)) {
            virtio_device_break(queue->dev);
            return;
        }
        virt_queue_push(queue, gpu->chain.head, written);
    }
}

static void
gpu_handle_control(VirtQueue *queue)
{
    gpu_handle(queue, false);
}

static void
gpu_handle_cursor(VirtQueue *queue)
{
    gpu_handle(queue, true);
}

/* ---- configuration ---- */

void
gpu_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioGpu *gpu = (VirtioGpu *)dev;

    bytes_store(config, gpu->events, 4);
    bytes_store(config + 8, gpu->max_outputs, 4);
}

void
gpu_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioGpu *gpu = (VirtioGpu *)dev;

    if (offset < CONFIG_CLEAR + 4 && offset + size > CONFIG_CLEAR)
        gpu->events &= ~bytes_load32(config + CONFIG_CLEAR);
}

/* ---- life ---- */

bool
gpu_realize(VirtioDevice *dev, GError **err)
{
    VirtioGpu *gpu = (VirtioGpu *)dev;
    Device *device = virtio_base(dev);

    g_mutex_init(&gpu->lock);
    gpu->lock_made = true;
    gpu->resources = g_hash_table_new_full(NULL, NULL, NULL, gpu_resource_free);
    gpu->saved = g_byte_array_new();
    gpu->loop = machine_io_loop(device->machine, err);
    if (!gpu->loop)
        return false;
    if (gpu->edid)
        dev->host_features |= VIRTIO_F(F_EDID);
    virtio_queues_reserve(dev, 2);
    virtio_queue_add(dev, CONTROL_SIZE, gpu->loop, gpu_handle_control);
    virtio_queue_add(dev, CURSOR_SIZE, gpu->loop, gpu_handle_cursor);
    for (unsigned n = 0; n < gpu->max_outputs; n++) {
        if (!gpu->outputs[n].screen)
            gpu->outputs[n].screen = screen_new(device, n, &gpu_screen_ops, &gpu->outputs[n]);
    }
    gpu->outputs[0].width = gpu->xres;
    gpu->outputs[0].height = gpu->yres;
    return true;
}

static void
gpu_clear(VirtioGpu *gpu)
{
    g_hash_table_remove_all(gpu->resources);
    gpu->hostmem = gpu->n_backings = 0;
    for (unsigned n = 0; n < gpu->max_outputs; n++) {
        GpuOutput *output = &gpu->outputs[n];

        g_clear_pointer(&output->surface, surface_unref);
        g_clear_pointer(&output->cursor, cursor_unref);
        output->surface_new = output->cursor_new = true;
        output->resource = 0;
        output->damage = output->rect = (ScreenRect){ 0 };
        output->cursor_x = output->cursor_y = 0;
    }
}

void
gpu_unrealize(VirtioDevice *dev)
{
    VirtioGpu *gpu = (VirtioGpu *)dev;

    if (!gpu->lock_made)
        return;
    for (unsigned n = 0; n < GPU_OUTPUTS_MAX; n++) {
        screen_free(gpu->outputs[n].screen);
        gpu->outputs[n].screen = NULL;
    }
    gpu_clear(gpu);
    g_clear_pointer(&gpu->resources, g_hash_table_unref);
    g_clear_pointer(&gpu->saved, g_byte_array_unref);
    virt_chain_clear(&gpu->chain);
    g_mutex_clear(&gpu->lock);
    gpu->lock_made = false;
}

void
gpu_reset(VirtioDevice *dev)
{
    VirtioGpu *gpu = (VirtioGpu *)dev;

    g_mutex_lock(&gpu->lock);
    gpu_clear(gpu);
    g_mutex_unlock(&gpu->lock);
    gpu->events = 0;
    for (unsigned n = 0; n < gpu->max_outputs; n++)
        screen_kick(gpu->outputs[n].screen);
}

/* ---- saved state: resources one after another, number of them first ---- */

static void
saved_put(GByteArray *out, uint64_t value, unsigned size)
{
    uint8_t wire[8];

    bytes_store(wire, value, size);
    g_byte_array_append(out, wire, size);
}

static void
saved_put_resource(GByteArray *out, const GpuResource *r)
{
    saved_put(out, r->id, 4);
    saved_put(out, r->format, 4);
    saved_put(out, r->width, 4);
    saved_put(out, r->height, 4);
    saved_put(out, r->n_backing, 4);
    for (uint32_t i = 0; i < r->n_backing; i++) {
        saved_put(out, r->backing[i].gpa, 8);
        saved_put(out, r->backing[i].len, 4);
    }
    g_byte_array_append(out, r->image->data, r->width * r->height * 4);
}

static void
gpu_before_save(void *state)
{
    VirtioGpu *gpu = state;
    GHashTableIter iter;
    gpointer resource;

    g_byte_array_set_size(gpu->saved, 0);
    for (unsigned n = 0; n < GPU_OUTPUTS_MAX; n++) {
        const GpuOutput *o = &gpu->outputs[n];

        saved_put(gpu->saved, o->resource, 4);
        saved_put(gpu->saved, o->rect.x, 4);
        saved_put(gpu->saved, o->rect.y, 4);
        saved_put(gpu->saved, o->rect.width, 4);
        saved_put(gpu->saved, o->rect.height, 4);
    }
    saved_put(gpu->saved, g_hash_table_size(gpu->resources), 4);
    g_hash_table_iter_init(&iter, gpu->resources);
    while (g_hash_table_iter_next(&iter, NULL, &resource))
        saved_put_resource(gpu->saved, resource);
}

/* Takes one resource from *pos on; false when it makes no sense. */
static bool
saved_take_resource(VirtioGpu *gpu, size_t *pos)
{
    const uint8_t *p = gpu->saved->data + *pos;
    size_t left = gpu->saved->len - *pos, bytes;
    uint32_t id, n;
    GpuResource *resource;

    if (left < SAVED_HEAD)
        return false;
    id = bytes_load32(p);
    n = bytes_load32(p + 16);
    if (n > GPU_BACKING_MAX || left - SAVED_HEAD < (size_t)n * SAVED_PIECE ||
        gpu_resource_create(gpu, id, bytes_load32(p + 4), bytes_load32(p + 8),
                            bytes_load32(p + 12)) != GPU_RESP_OK_NODATA)
        return false;
    resource = gpu_resource_find(gpu, id);
    bytes = (size_t)resource->width * resource->height * 4;
    left -= SAVED_HEAD + (size_t)n * SAVED_PIECE;
    if (left < bytes)
        return false;
    if (n > 0) {
        GpuPiece *pieces = g_new0(GpuPiece, n);

        for (uint32_t i = 0; i < n; i++) {
            pieces[i].gpa = bytes_load64(p + SAVED_HEAD + (size_t)SAVED_PIECE * i);
            pieces[i].len = bytes_load32(p + SAVED_HEAD + (size_t)SAVED_PIECE * i + 8);
        }
        if (gpu_resource_attach(gpu, resource, pieces, n) != GPU_RESP_OK_NODATA)
            return false;
    }
    memcpy(resource->image->data, p + SAVED_HEAD + (size_t)n * SAVED_PIECE, bytes);
    *pos += SAVED_HEAD + (size_t)n * SAVED_PIECE + bytes;
    return true;
}

static bool
saved_take_all(VirtioGpu *gpu)
{
    size_t pos = GPU_OUTPUTS_MAX * 20;
    uint32_t n;

    if (gpu->saved->len < pos + 4)
        return false;
    n = bytes_load32(gpu->saved->data + pos);
    pos += 4;
    for (uint32_t i = 0; i < n; i++)
        if (!saved_take_resource(gpu, &pos))
            return false;
    for (unsigned o = 0; o < GPU_OUTPUTS_MAX; o++) {
        const uint8_t *p = gpu->saved->data + (size_t)o * 20;
        ScreenRect rect = { bytes_load32(p + 4), bytes_load32(p + 8), bytes_load32(p + 12),
                            bytes_load32(p + 16) };
        GpuResource *resource = gpu_resource_find(gpu, bytes_load32(p));

        if (bytes_load32(p) == 0)
            continue;
        if (!resource || o >= gpu->max_outputs ||
            gpu_set_scanout(gpu, o, resource, &rect) != GPU_RESP_OK_NODATA)
            return false;
    }
    return pos == gpu->saved->len;
}

static bool
gpu_after_load(void *state, GError **err)
{
    VirtioGpu *gpu = state;
    bool done;

    gpu_clear(gpu);
    done = saved_take_all(gpu);
    g_byte_array_set_size(gpu->saved, 0);
    return done || kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "saved state of virtio-gpu: its resources make no sense");
}

static const SavedField gpu_fields[] = {
    SAVED(VirtioGpu, events, 1),
    SAVED_BLOB(VirtioGpu, saved, GPU_SAVED_MAX, 1),
};

const SavedTable gpu_saved = {
    .name = "virtio-gpu",
    .version = 1,
    .oldest = 1,
    .fields = gpu_fields,
    .n_fields = G_N_ELEMENTS(gpu_fields),
    .before_save = gpu_before_save,
    .after_load = gpu_after_load,
};

/* ---- the plain device ---- */

const DeviceProp gpu_props[] = {
    { "max_outputs", PROP_UINT32, offsetof(VirtioGpu, max_outputs), "1", .min = 1,
      .max = GPU_OUTPUTS_MAX, .help = "screens" },
    { "max_hostmem", PROP_SIZE, offsetof(VirtioGpu, max_hostmem), "256M", .min = 1 << 20,
      .max = 768 << 20, .help = "most bytes of pictures kept for the guest" },
    { "edid", PROP_BOOL, offsetof(VirtioGpu, edid), "on", .help = "monitors describe themselves" },
    { "xres", PROP_UINT32, offsetof(VirtioGpu, xres), "1280", .min = 16, .max = SCREEN_SIZE_MAX,
      .help = "pixels of the first screen, until a viewer wants others" },
    { "yres", PROP_UINT32, offsetof(VirtioGpu, yres), "800", .min = 16, .max = SCREEN_SIZE_MAX },
};
const size_t gpu_n_props = G_N_ELEMENTS(gpu_props);

static const VirtioClass gpu_virtio_class = {
    .name = "virtio-gpu",
    .id = GPU_VIRTIO_ID,
    .class_code = 0x038000,
    .config_size = GPU_CONFIG_SIZE,
    .realize = gpu_realize,
    .unrealize = gpu_unrealize,
    .config_read = gpu_config_read,
    .config_write = gpu_config_write,
    .reset = gpu_reset,
};

static const char *const gpu_aliases[] = { "virtio-gpu", NULL };

const DeviceClass virtio_gpu_pci_class = {
    .name = "virtio-gpu-pci",
    .aliases = gpu_aliases,
    .description = "virtio GPU, 2D",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .state_size = sizeof(VirtioGpu),
    .props = gpu_props,
    .n_props = G_N_ELEMENTS(gpu_props),
    .saved = &gpu_saved,
    .details = &gpu_virtio_class,
};
