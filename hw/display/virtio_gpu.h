/* virtio_gpu.h - the virtio GPU device: what its files share, and its bases for cards made of it.
 *
 * Threads: commands are carried out in the queues' I/O loop, pictures are pulled in the main
 * thread; VirtioGpu.lock guards all that both touch. It is innermost but for the screens' own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_VIRTIO_GPU_H
#define KILN_HW_DISPLAY_VIRTIO_GPU_H

#include "hw/display/display.h"
#include "hw/display/edid.h"
#include "hw/virtio/virtio.h"

enum {
    GPU_OUTPUTS_MAX = 16,
    GPU_RESOURCES_MAX = 16384,
    GPU_BACKING_MAX = 16384,    /* pieces of one resource */
    GPU_BACKINGS_MAX = 1 << 20, /* of all */
    GPU_SAVED_MAX = 1 << 30,    /* bytes of saved resources */
};

/* virtio 1.2, 5.7.6.7 and .8 */
enum {
    GPU_CMD_GET_DISPLAY_INFO = 0x0100,
    GPU_CMD_RESOURCE_CREATE_2D,
    GPU_CMD_RESOURCE_UNREF,
    GPU_CMD_SET_SCANOUT,
    GPU_CMD_RESOURCE_FLUSH,
    GPU_CMD_TRANSFER_TO_HOST_2D,
    GPU_CMD_RESOURCE_ATTACH_BACKING,
    GPU_CMD_RESOURCE_DETACH_BACKING,
    GPU_CMD_GET_CAPSET_INFO,
    GPU_CMD_GET_CAPSET,
    GPU_CMD_GET_EDID,
    GPU_CMD_UPDATE_CURSOR = 0x0300,
    GPU_CMD_MOVE_CURSOR,
    GPU_RESP_OK_NODATA = 0x1100,
    GPU_RESP_OK_DISPLAY_INFO,
    GPU_RESP_OK_EDID = 0x1104,
    GPU_RESP_ERR_UNSPEC = 0x1200,
    GPU_RESP_ERR_OUT_OF_MEMORY,
    GPU_RESP_ERR_INVALID_SCANOUT_ID,
    GPU_RESP_ERR_INVALID_RESOURCE_ID,
    GPU_RESP_ERR_INVALID_CONTEXT_ID,
    GPU_RESP_ERR_INVALID_PARAMETER,
    GPU_HEAD = 24, /* bytes of virtio_gpu_ctrl_hdr */
    GPU_FLAG_FENCE = 1,
};

typedef struct {
    uint64_t gpa;
    uint32_t len;
    uint8_t *host; /* NULL: not RAM in one piece */
} GpuPiece;

typedef struct {
    uint32_t id, format, width, height;
    Surface *image; /* 0xAARRGGBB whatever the format */
    GpuPiece *backing;
    uint32_t n_backing;
    uint64_t backing_bytes;
} GpuResource;

typedef struct {
    Screen *screen;
    uint32_t resource;      /* 0: shows nothing */
    ScreenRect rect;        /* of the resource */
    uint32_t width, height; /* as the viewer wants the screen */
    /* not yet handed to the screen */
    Surface *surface; /* what is shown; NULL: nothing */
    bool surface_new;
    ScreenRect damage; /* width 0: none */
    Cursor *cursor;
    bool cursor_new;
    int32_t cursor_x, cursor_y;
} GpuOutput;

typedef struct {
    VirtioDevice virtio; /* first */
    uint32_t max_outputs, xres, yres;
    uint64_t max_hostmem;
    bool edid;

    IoLoop *loop;
    VirtChain chain; /* the loop's */
    GMutex lock;
    bool lock_made;
    GpuOutput outputs[GPU_OUTPUTS_MAX];
    GHashTable *resources; /* id -> GpuResource */
    uint64_t hostmem;      /* bytes of all images */
    uint64_t n_backings;
    uint32_t events; /* the device's lock: bit 0, sizes have changed */
    GByteArray *saved;
} VirtioGpu;

/* The virtio side, for VirtioClass rows of cards. */
bool gpu_realize(VirtioDevice *dev, GError **err);
void gpu_unrealize(VirtioDevice *dev);
void gpu_reset(VirtioDevice *dev);
void gpu_config_read(VirtioDevice *dev, uint8_t *config);
void gpu_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size);
/* ScreenOps.refresh and .suggest_size of an output. */
void gpu_output_refresh(VirtioGpu *gpu, unsigned n);
void gpu_output_suggest(VirtioGpu *gpu, unsigned n, uint32_t width, uint32_t height);
bool gpu_output_active(VirtioGpu *gpu, unsigned n);
extern const SavedTable gpu_saved;
extern const DeviceProp gpu_props[];
extern const size_t gpu_n_props;
enum { GPU_CONFIG_SIZE = 16, GPU_VIRTIO_ID = 16 };

/* gpu_command.c: carries out the command in @chain and answers; false when it makes no sense at
 * all. Returns in @written the bytes answered. The loop. */
bool gpu_command(VirtioGpu *gpu, const VirtChain *chain, bool cursor, uint64_t *written);

/* gpu_resource.c; gpu->lock held. Return GPU_RESP_ codes. */
GpuResource *gpu_resource_find(VirtioGpu *gpu, uint32_t id);
uint32_t gpu_resource_create(VirtioGpu *gpu, uint32_t id, uint32_t format, uint32_t width,
                             uint32_t height);
uint32_t gpu_resource_destroy(VirtioGpu *gpu, uint32_t id);
void gpu_resource_detach(VirtioGpu *gpu, GpuResource *resource);
/* Takes @pieces, @n of them, whose host members it fills. */
uint32_t gpu_resource_attach(VirtioGpu *gpu, GpuResource *resource, GpuPiece *pieces, uint32_t n);
uint32_t gpu_resource_transfer(GpuResource *resource, const ScreenRect *rect, uint64_t offset);
void gpu_resource_free(gpointer resource);
/* Shows @rect of a resource (NULL: nothing) on output @n. */
uint32_t gpu_set_scanout(VirtioGpu *gpu, unsigned n, GpuResource *resource, const ScreenRect *rect);
void gpu_flush(VirtioGpu *gpu, const GpuResource *resource, const ScreenRect *rect);

#endif
