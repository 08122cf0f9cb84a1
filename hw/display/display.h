/* display.h - the screens of one guest: between the devices that draw and those who look (VNC,
 * screendump).
 *
 * A screen is pulled: while someone looks, a timer asks the device to bring its surface in step
 * (ScreenOps.refresh), and the device says which rectangles have changed. Nobody looking costs
 * nothing. A device that draws in another thread notes what it did under a lock of its own, calls
 * screen_kick(), and hands it over in its refresh.
 *
 * Threads: everything runs in the main thread, but screen_kick() and the references of surfaces and
 * cursors. Callbacks of devices run in the main thread with no lock held. The bytes of a surface
 * may change at any moment; who reads them must not trust what it reads twice.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_DISPLAY_DISPLAY_H
#define KILN_HW_DISPLAY_DISPLAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Displays Displays;
typedef struct Screen Screen;
struct Device;
struct Machine;

enum {
    SCREEN_SIZE_MAX = 16384,   /* pixels in either direction */
    SCREEN_CURSOR_MAX = 512,   /* of a pointer's shape */
    SCREEN_REFRESH_MS = 30,    /* between two refreshes while the picture changes */
    SCREEN_REFRESH_IDLE = 240, /* while it does not */
};

/* A picture: rows of 32-bit pixels 0x00RRGGBB in the host's byte order. */
typedef struct {
    uint8_t *data;
    uint32_t width, height; /* pixels, 1 to SCREEN_SIZE_MAX */
    uint32_t stride;        /* bytes from row to row, a multiple of 4 */
    int refs;
    void (*release)(void *opaque); /* of data that is not the surface's own; may be NULL */
    void *opaque;
    bool borrowed;
} Surface;

typedef struct {
    uint32_t x, y, width, height;
} ScreenRect;

/* A pointer's shape: width * height pixels 0xAARRGGBB, not premultiplied. */
typedef struct {
    uint32_t width, height; /* 1 to SCREEN_CURSOR_MAX */
    uint32_t hot_x, hot_y;
    int refs;
    uint32_t pixels[];
} Cursor;

/* A black picture. NULL when a size is 0 or too large, or memory is short. */
Surface *surface_new(uint32_t width, uint32_t height);
/* A picture over memory that stays where it is until @release(@opaque), which runs when the last
 * reference goes (any thread). NULL, without release, when a size is bad. */
Surface *surface_new_for(void *data, uint32_t width, uint32_t height, uint32_t stride,
                         void (*release)(void *opaque), void *opaque);
/* Any thread. */
Surface *surface_ref(Surface *surface);
void surface_unref(Surface *surface);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Surface, surface_unref)

static inline uint32_t *
surface_row(const Surface *surface, uint32_t y)
{
    return (uint32_t *)(void *)(surface->data + (size_t)surface->stride * y);
}

/* Transparent. NULL when a size is 0 or too large. */
Cursor *cursor_new(uint32_t width, uint32_t height, uint32_t hot_x, uint32_t hot_y);
/* Any thread. */
Cursor *cursor_ref(Cursor *cursor);
void cursor_unref(Cursor *cursor);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cursor, cursor_unref)

/* ---- for devices ---- */

typedef struct {
    /* Brings the surface in step: screen_set_surface(), screen_update(), cursor calls. */
    void (*refresh)(void *opaque);
    /* Optional. A viewer would like the screen to have this size; the guest decides. */
    void (*suggest_size)(void *opaque, uint32_t width, uint32_t height);
    /* Optional. Everything is to be drawn at the next refresh. */
    void (*invalidate)(void *opaque);
} ScreenOps;

/* Adds a screen of @device (its @head-th); it is black, 640 by 480, until the device says more. */
Screen *screen_new(struct Device *device, unsigned head, const ScreenOps *ops, void *opaque);
/* Those who look are told first. NULL is accepted. */
void screen_free(Screen *screen);

/* The picture is another one now; takes a reference of its own. All of it counts as changed. */
void screen_set_surface(Screen *screen, Surface *surface);
/* This part has changed; what lies outside the surface is cut off. */
void screen_update(Screen *screen, uint32_t x, uint32_t y, uint32_t width, uint32_t height);
/* The pointer that viewers draw themselves. NULL: the guest draws one or has none. */
void screen_set_cursor(Screen *screen, Cursor *cursor);
/* Where the guest has put it. */
void screen_move_cursor(Screen *screen, int32_t x, int32_t y);
/* Something has changed: refresh soon, if someone looks. Any thread, any lock held. */
void screen_kick(Screen *screen);

/* ---- for those who look ---- */

/* Calls made to a viewer, main thread. */
typedef struct {
    void (*surface)(void *opaque); /* another picture */
    void (*update)(void *opaque, const ScreenRect *rect);
    void (*cursor)(void *opaque);       /* another shape */
    void (*cursor_moved)(void *opaque); /* another place */
    void (*refreshed)(void *opaque);    /* optional: a refresh is over */
    void (*gone)(void *opaque);         /* the screen is going; its viewer is off it already */
} ScreenViewerOps;
typedef struct ScreenViewer ScreenViewer;

/* Made and freed by machine_new() and machine_free(). */
Displays *displays_new(GMainContext *context);
void displays_free(Displays *displays);

/* The screens in order of making; NULL behind the last. */
Screen *displays_get(Displays *displays, unsigned index);
/* By the id of its device and its head; NULL @id: the first screen. */
Screen *displays_find(Displays *displays, const char *id, unsigned head);

ScreenViewer *screen_view(Screen *screen, const ScreenViewerOps *ops, void *opaque);
/* NULL is accepted. */
void screen_unview(ScreenViewer *viewer);

/* Valid until the screen's surface changes, or with a reference of one's own. Never NULL. */
Surface *screen_surface(Screen *screen);
Cursor *screen_cursor(Screen *screen);
void screen_cursor_position(Screen *screen, int32_t *ret_x, int32_t *ret_y);
unsigned screen_head(Screen *screen);
struct Device *screen_device(Screen *screen);
/* Refreshes at once, for a picture that is up to date. */
void screen_refresh(Screen *screen);
/* Someone is at work: refresh often again. */
void screen_poke(Screen *screen);
/* True when the guest will be asked. */
bool screen_suggest_size(Screen *screen, uint32_t width, uint32_t height);

/* ---- pictures as files ---- */

typedef enum { PICTURE_PPM, PICTURE_PNG } PictureFormat;

/* The bytes of the picture in a file; NULL with @err when memory is short. */
GBytes *surface_to_file(const Surface *surface, PictureFormat format, GError **err);

#endif
