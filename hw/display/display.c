/* display.c - the list of screens, their viewers, and the timer that pulls pictures.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/display/display.h"

#include "hw/core/device.h"

struct ScreenViewer {
    Screen *screen;
    const ScreenViewerOps *ops;
    void *opaque;
};

struct Screen {
    Displays *displays;
    Device *device;
    unsigned head;
    const ScreenOps *ops;
    void *opaque;
    Surface *surface;
    Cursor *cursor;
    int32_t cursor_x, cursor_y;
    GPtrArray *viewers;
    bool changed; /* since the timer looked last */
};

struct Displays {
    GMainContext *context;
    GPtrArray *screens;
    GSource *timer; /* NULL while nobody looks */
    unsigned interval;
    GMutex kick_lock;
    bool watched;  /* under kick_lock: somebody looks */
    GSource *kick; /* under kick_lock: a refresh is on its way */
};

enum { DEFAULT_WIDTH = 640, DEFAULT_HEIGHT = 480 };

Displays *
displays_new(GMainContext *context)
{
    Displays *displays = g_new0(Displays, 1);

    displays->context = context;
    displays->screens = g_ptr_array_new();
    g_mutex_init(&displays->kick_lock);
    displays->interval = SCREEN_REFRESH_MS;
    return displays;
}

static void
displays_drop_source(GSource **source)
{
    if (!*source)
        return;
    g_source_destroy(*source);
    g_source_unref(*source);
    *source = NULL;
}

void
displays_free(Displays *displays)
{
    if (!displays)
        return;
    displays_drop_source(&displays->timer);
    displays_drop_source(&displays->kick);
    g_ptr_array_unref(displays->screens);
    g_mutex_clear(&displays->kick_lock);
    g_free(displays);
}

Screen *
displays_get(Displays *displays, unsigned index)
{
    return index < displays->screens->len ? g_ptr_array_index(displays->screens, index) : NULL;
}

Screen *
displays_find(Displays *displays, const char *id, unsigned head)
{
    for (guint i = 0; i < displays->screens->len; i++) {
        Screen *screen = g_ptr_array_index(displays->screens, i);

        if (!id || (g_strcmp0(screen->device->id, id) == 0 && screen->head == head))
            return screen;
    }
    return NULL;
}

/* ---- the pull ---- */

static void
screen_pull(Screen *screen)
{
    if (screen->ops->refresh)
        screen->ops->refresh(screen->opaque);
    for (guint i = 0; i < screen->viewers->len; i++) {
        ScreenViewer *viewer = g_ptr_array_index(screen->viewers, i);

        if (viewer->ops->refreshed)
            viewer->ops->refreshed(viewer->opaque);
    }
}

/* Returns whether some picture changed. */
static bool
displays_pull(Displays *displays)
{
    bool changed = false;

    for (guint i = 0; i < displays->screens->len; i++) {
        Screen *screen = g_ptr_array_index(displays->screens, i);

        if (screen->viewers->len == 0)
            continue;
        screen_pull(screen);
        changed |= screen->changed;
        screen->changed = false;
    }
    return changed;
}

static gboolean displays_tick(void *opaque);

static void
displays_set_timer(Displays *displays, unsigned interval)
{
    displays_drop_source(&displays->timer);
    displays->interval = interval;
    displays->timer = g_timeout_source_new(interval);
    g_source_set_callback(displays->timer, displays_tick, displays, NULL);
    g_source_attach(displays->timer, displays->context);
}

static gboolean
displays_tick(void *opaque)
{
    Displays *displays = opaque;
    bool changed = displays_pull(displays);
    unsigned interval = changed
                            ? SCREEN_REFRESH_MS
                            : MIN(displays->interval + SCREEN_REFRESH_MS / 2, SCREEN_REFRESH_IDLE);

    if (!displays->timer || interval == displays->interval)
        return displays->timer != NULL;
    displays_set_timer(displays, interval);
    return G_SOURCE_REMOVE;
}

/* Starts or ends the pull as there are viewers. */
static void
displays_update(Displays *displays)
{
    bool watched = false;

    for (guint i = 0; i < displays->screens->len; i++)
        watched |= ((Screen *)g_ptr_array_index(displays->screens, i))->viewers->len > 0;
    g_mutex_lock(&displays->kick_lock);
    displays->watched = watched;
    if (!watched)
        displays_drop_source(&displays->kick);
    g_mutex_unlock(&displays->kick_lock);
    if (watched && !displays->timer)
        displays_set_timer(displays, SCREEN_REFRESH_MS);
    else if (!watched)
        displays_drop_source(&displays->timer);
}

static gboolean
displays_kicked(void *opaque)
{
    Displays *displays = opaque;

    g_mutex_lock(&displays->kick_lock);
    displays_drop_source(&displays->kick);
    g_mutex_unlock(&displays->kick_lock);
    if (displays_pull(displays) && displays->timer && displays->interval != SCREEN_REFRESH_MS)
        displays_set_timer(displays, SCREEN_REFRESH_MS);
    return G_SOURCE_REMOVE;
}

void
screen_kick(Screen *screen)
{
    Displays *displays = screen->displays;

    g_mutex_lock(&displays->kick_lock);
    if (displays->watched && !displays->kick) {
        /* Not at once: a guest that draws in many small steps is shown their sum. */
        displays->kick = g_timeout_source_new(SCREEN_REFRESH_MS / 3);
        g_source_set_callback(displays->kick, displays_kicked, displays, NULL);
        g_source_attach(displays->kick, displays->context);
    }
    g_mutex_unlock(&displays->kick_lock);
}

void
screen_poke(Screen *screen)
{
    Displays *displays = screen->displays;

    if (displays->timer && displays->interval != SCREEN_REFRESH_MS)
        displays_set_timer(displays, SCREEN_REFRESH_MS);
}

void
screen_refresh(Screen *screen)
{
    screen_pull(screen);
}

/* ---- devices ---- */

Screen *
screen_new(Device *device, unsigned head, const ScreenOps *ops, void *opaque)
{
    Screen *screen = g_new0(Screen, 1);

    screen->displays = device->machine->displays;
    screen->device = device;
    screen->head = head;
    screen->ops = ops;
    screen->opaque = opaque;
    screen->surface = surface_new(DEFAULT_WIDTH, DEFAULT_HEIGHT);
    screen->viewers = g_ptr_array_new();
    g_ptr_array_add(screen->displays->screens, screen);
    return screen;
}

void
screen_free(Screen *screen)
{
    if (!screen)
        return;
    while (screen->viewers->len > 0) {
        ScreenViewer *viewer = g_ptr_array_steal_index(screen->viewers, screen->viewers->len - 1);
        const ScreenViewerOps *ops = viewer->ops;
        void *opaque = viewer->opaque;

        g_free(viewer);
        ops->gone(opaque);
    }
    g_ptr_array_remove(screen->displays->screens, screen);
    displays_update(screen->displays);
    g_ptr_array_unref(screen->viewers);
    surface_unref(screen->surface);
    cursor_unref(screen->cursor);
    g_free(screen);
}

void
screen_set_surface(Screen *screen, Surface *surface)
{
    if (surface == screen->surface)
        return;
    surface_unref(screen->surface);
    screen->surface = surface_ref(surface);
    screen->changed = true;
    for (guint i = 0; i < screen->viewers->len; i++) {
        ScreenViewer *viewer = g_ptr_array_index(screen->viewers, i);

        viewer->ops->surface(viewer->opaque);
    }
}

void
screen_update(Screen *screen, uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
    const Surface *surface = screen->surface;
    ScreenRect rect;

    if (x >= surface->width || y >= surface->height || width == 0 || height == 0)
        return;
    rect = (ScreenRect){ x, y, MIN(width, surface->width - x), MIN(height, surface->height - y) };
    screen->changed = true;
    for (guint i = 0; i < screen->viewers->len; i++) {
        ScreenViewer *viewer = g_ptr_array_index(screen->viewers, i);

        viewer->ops->update(viewer->opaque, &rect);
    }
}

void
screen_set_cursor(Screen *screen, Cursor *cursor)
{
    if (cursor == screen->cursor)
        return;
    cursor_unref(screen->cursor);
    screen->cursor = cursor ? cursor_ref(cursor) : NULL;
    for (guint i = 0; i < screen->viewers->len; i++) {
        ScreenViewer *viewer = g_ptr_array_index(screen->viewers, i);

        viewer->ops->cursor(viewer->opaque);
    }
}

void
screen_move_cursor(Screen *screen, int32_t x, int32_t y)
{
    if (x == screen->cursor_x && y == screen->cursor_y)
        return;
    screen->cursor_x = x;
    screen->cursor_y = y;
    for (guint i = 0; i < screen->viewers->len; i++) {
        ScreenViewer *viewer = g_ptr_array_index(screen->viewers, i);

        viewer->ops->cursor_moved(viewer->opaque);
    }
}

/* ---- viewers ---- */

ScreenViewer *
screen_view(Screen *screen, const ScreenViewerOps *ops, void *opaque)
{
    ScreenViewer *viewer = g_new0(ScreenViewer, 1);

    viewer->screen = screen;
    viewer->ops = ops;
    viewer->opaque = opaque;
    if (screen->ops->invalidate)
        screen->ops->invalidate(screen->opaque);
    g_ptr_array_add(screen->viewers, viewer);
    displays_update(screen->displays);
    screen_poke(screen);
    return viewer;
}

void
screen_unview(ScreenViewer *viewer)
{
    if (!viewer)
        return;
    g_ptr_array_remove(viewer->screen->viewers, viewer);
    displays_update(viewer->screen->displays);
    g_free(viewer);
}

Surface *
screen_surface(Screen *screen)
{
    return screen->surface;
}

Cursor *
screen_cursor(Screen *screen)
{
    return screen->cursor;
}

void
screen_cursor_position(Screen *screen, int32_t *ret_x, int32_t *ret_y)
{
    *ret_x = screen->cursor_x;
    *ret_y = screen->cursor_y;
}

unsigned
screen_head(Screen *screen)
{
    return screen->head;
}

Device *
screen_device(Screen *screen)
{
    return screen->device;
}

bool
screen_suggest_size(Screen *screen, uint32_t width, uint32_t height)
{
    if (!screen->ops->suggest_size || width == 0 || height == 0 || width > SCREEN_SIZE_MAX ||
        height > SCREEN_SIZE_MAX)
        return false;
    screen->ops->suggest_size(screen->opaque, width, height);
    return true;
}
