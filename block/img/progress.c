/* progress.c - how far a long command has come: "(12.34/100%)" with -p, and on SIGUSR1.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <signal.h>
#include <stdio.h>

enum { DRAW_EVERY_MS = 100 };

struct ImgProgress {
    GMutex lock;
    bool enabled;
    double part, drawn;
    gint64 drawn_at;
};

/* SIGUSR1 is blocked in every thread and taken here: no handler, nothing global. */
static bool
was_asked(void)
{
    const struct timespec now = { 0 };
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &now) == SIGUSR1;
}

static void
draw(ImgProgress *progress)
{
    printf("    (%3.2f/100%%)\r", progress->part * 100);
    fflush(stdout);
    progress->drawn = progress->part;
    progress->drawn_at = g_get_monotonic_time();
}

ImgProgress *
img_progress_new(bool enabled)
{
    ImgProgress *progress = g_new0(ImgProgress, 1);
    sigset_t set;

    g_mutex_init(&progress->lock);
    progress->enabled = enabled;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL); /* before there are other threads */
    if (enabled)
        draw(progress);
    return progress;
}

void
img_progress_set(ImgProgress *progress, double part)
{
    if (!progress)
        return;
    g_mutex_lock(&progress->lock);
    progress->part = CLAMP(part, progress->part, 1.0);
    if (was_asked())
        fprintf(stderr, "    (%3.2f/100%%)\n", progress->part * 100);
    if (progress->enabled && progress->part > progress->drawn &&
        g_get_monotonic_time() - progress->drawn_at >= DRAW_EVERY_MS * 1000)
        draw(progress);
    g_mutex_unlock(&progress->lock);
}

bool
img_progress_report(void *progress, double part)
{
    img_progress_set(progress, part);
    return true;
}

void
img_progress_free(ImgProgress *progress)
{
    if (!progress)
        return;
    if (progress->enabled) {
        if (progress->part > progress->drawn)
            draw(progress);
        putchar('\n');
        fflush(stdout);
    }
    g_mutex_clear(&progress->lock);
    g_free(progress);
}
