/* mux.c - a character device of several front ends (mux=on): one of them has the input, and Ctrl-a,
 * the next character says what to do, passes it on.
 *
 * The keys are those of QEMU's "Keys in the character backend multiplexer". Main thread. Ctrl-a
 * s (commit disks) is answered by what can be done instead.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/private.h"

#include <string.h>

#include "util/error.h"

enum { ESCAPE = 1, WAITING = 64 };

typedef struct {
    const ChardevFrontend *frontend;
    void *opaque;
    bool open;                /* as it has heard */
    uint8_t waiting[WAITING]; /* input it could not take */
    size_t n;
} MuxUser;

struct ChardevMux {
    GPtrArray *users; /* MuxUser */
    guint focus;
    bool escape; /* the last character was Ctrl-a */

    /* with the chardev's lock */
    bool stamps;       /* the time stands before each line */
    bool in_line;      /* output ended in the middle of a line */
    int64_t stamps_us; /* monotonic time from which it counts */
};

static MuxUser *
mux_focused(const ChardevMux *mux)
{
    return mux->focus < mux->users->len ? g_ptr_array_index(mux->users, mux->focus) : NULL;
}

static size_t
user_room(const MuxUser *user)
{
    return user->frontend->can_read ? user->frontend->can_read(user->opaque) : WAITING;
}

static void
user_flush(MuxUser *user)
{
    while (user->n > 0 && user->frontend->read && user_room(user) > 0) {
        uint8_t byte = user->waiting[0];

        memmove(user->waiting, user->waiting + 1, --user->n);
        user->frontend->read(user->opaque, &byte, 1);
    }
}

static void
user_give(MuxUser *user, uint8_t byte)
{
    if (user->n < WAITING)
        user->waiting[user->n++] = byte;
    user_flush(user);
}

static size_t
mux_can_read(void *opaque)
{
    Chardev *chardev = opaque;
    MuxUser *user = mux_focused(chardev->mux);

    if (!user)
        return WAITING;
    user_flush(user);
    return WAITING - user->n;
}

static void
mux_say(Chardev *chardev, const char *text)
{
    chardev_write(chardev, (const uint8_t *)text, strlen(text));
}

static void
mux_switch(Chardev *chardev)
{
    ChardevMux *mux = chardev->mux;
    MuxUser *user;

    if (mux->users->len < 2)
        return;
    mux->focus = (mux->focus + 1) % mux->users->len;
    user = mux_focused(mux);
    if (user->frontend->focus)
        user->frontend->focus(user->opaque);
}

static void
mux_toggle_stamps(Chardev *chardev)
{
    ChardevMux *mux = chardev->mux;

    g_mutex_lock(&chardev->lock);
    mux->stamps = !mux->stamps;
    mux->stamps_us = g_get_monotonic_time();
    g_mutex_unlock(&chardev->lock);
}

size_t
chardev_mux_stamp(const ChardevMux *mux, char *ret)
{
    int64_t ms = (g_get_monotonic_time() - mux->stamps_us) / 1000;

    if (!mux->stamps || mux->in_line)
        return 0;
    return (size_t)g_snprintf(ret, CHARDEV_STAMP, "[%02d:%02d:%02d.%03d] ",
                              (int)(ms / 3600000 % 10000), (int)(ms / 60000 % 60),
                              (int)(ms / 1000 % 60), (int)(ms % 1000));
}

void
chardev_mux_stamped(ChardevMux *mux, bool line_ended)
{
    mux->in_line = !line_ended;
}

static void
mux_break(void *opaque)
{
    const Chardev *chardev = opaque;
    MuxUser *user = mux_focused(chardev->mux);

    if (user && user->frontend->line_break)
        user->frontend->line_break(user->opaque);
}

static void
mux_command(Chardev *chardev, uint8_t byte)
{
    switch (byte) {
    case 'h':
    case '?':
        mux_say(chardev, "\r\nC-a h    this help\r\n"
                         "C-a x    end the guest\r\n"
                         "C-a t    the time before each line, or no longer\r\n"
                         "C-a b    send a break\r\n"
                         "C-a c    to the next: console, monitor\r\n"
                         "C-a C-a  send C-a\r\n");
        break;
    case 'x':
        mux_say(chardev, "\r\nkiln-vmm: terminated\r\n");
        chardev->machine->ops->request(chardev->machine->host, MACHINE_QUIT, 0);
        break;
    case 'c':
        mux_switch(chardev);
        break;
    case 's':
        mux_say(chardev, "\r\nkiln-vmm: what -snapshot keeps apart is not written back; use "
                         "kiln-img, or block-commit by QMP\r\n");
        break;
    case 't':
        mux_toggle_stamps(chardev);
        break;
    case 'b':
        mux_break(chardev);
        break;
    case ESCAPE:
        if (mux_focused(chardev->mux))
            user_give(mux_focused(chardev->mux), ESCAPE);
        break;
    }
}

static void
mux_read(void *opaque, const uint8_t *data, size_t len)
{
    Chardev *chardev = opaque;
    ChardevMux *mux = chardev->mux;

    for (size_t i = 0; i < len; i++) {
        if (mux->escape) {
            mux->escape = false;
            mux_command(chardev, data[i]);
        } else if (data[i] == ESCAPE) {
            mux->escape = true;
        } else if (mux_focused(mux)) {
            user_give(mux_focused(mux), data[i]);
        }
    }
}

static void
mux_event(void *opaque, ChardevEvent event)
{
    const Chardev *chardev = opaque;
    bool open = event == CHARDEV_OPENED;

    for (guint i = 0; i < chardev->mux->users->len; i++) {
        MuxUser *user = g_ptr_array_index(chardev->mux->users, i);

        if (user->open == open)
            continue;
        user->open = open;
        user->n = 0;
        if (user->frontend->event)
            user->frontend->event(user->opaque, event);
        if (open && i == chardev->mux->focus && user->frontend->focus)
            user->frontend->focus(user->opaque);
    }
}

static void
mux_writable(void *opaque)
{
    const Chardev *chardev = opaque;

    for (guint i = 0; i < chardev->mux->users->len; i++) {
        MuxUser *user = g_ptr_array_index(chardev->mux->users, i);

        if (user->frontend->writable)
            user->frontend->writable(user->opaque);
    }
}

const ChardevFrontend chardev_mux_frontend = {
    .can_read = mux_can_read,
    .read = mux_read,
    .event = mux_event,
    .writable = mux_writable,
    .line_break = mux_break,
};

ChardevMux *
chardev_mux_new(void)
{
    ChardevMux *mux = g_new0(ChardevMux, 1);

    mux->users = g_ptr_array_new_with_free_func(g_free);
    return mux;
}

void
chardev_mux_free(ChardevMux *mux)
{
    if (!mux)
        return;
    g_ptr_array_unref(mux->users);
    g_free(mux);
}

void
chardev_mux_add(ChardevMux *mux, const ChardevFrontend *frontend, void *opaque)
{
    MuxUser *user = g_new0(MuxUser, 1);

    user->frontend = frontend;
    user->opaque = opaque;
    g_ptr_array_add(mux->users, user);
}

bool
chardev_mux_remove(ChardevMux *mux, const void *opaque)
{
    for (guint i = 0; i < mux->users->len; i++) {
        if (((MuxUser *)g_ptr_array_index(mux->users, i))->opaque != opaque)
            continue;
        g_ptr_array_remove_index(mux->users, i);
        if (mux->focus > i || mux->focus >= mux->users->len)
            mux->focus = mux->focus > 0 ? mux->focus - 1 : 0;
        break;
    }
    return mux->users->len > 0;
}
