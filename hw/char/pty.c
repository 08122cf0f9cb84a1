/* pty.c - character device over a pseudo terminal: made here, or an open master that was handed
 * over.
 *
 * The master hangs up while no process has the slave open; polling it would then spin. So it is
 * left alone until an inotify watch on the slave says that somebody opened it (or, where that
 * cannot be watched, until a look once a second).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/backend.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

enum { PTY_LOOK_AGAIN_US = 1000000 };

typedef struct {
    int master;
    int inotify; /* -1 where the slave cannot be watched */
    char *path;
    bool open;
} Pty;

static bool
pty_slave_is_open(const Pty *pty)
{
    struct pollfd p = { pty->master, POLLIN, 0 };

    return poll(&p, 1, 0) >= 0 && !(p.revents & POLLHUP);
}

static void
pty_look(Chardev *chardev)
{
    Pty *pty = chardev_state(chardev);
    bool open = pty_slave_is_open(pty);

    if (open != pty->open) {
        pty->open = open;
        chardev_suspend_fds(chardev, !open);
        chardev_set_open(chardev, open);
    }
    if (!open && pty->inotify < 0)
        chardev_wake_at(chardev, g_get_monotonic_time() + PTY_LOOK_AGAIN_US);
}

static void
pty_wake(Chardev *chardev)
{
    Pty *pty = chardev_state(chardev);
    char events[4096];

    /* What happened does not matter, only that something did. */
    while (pty->inotify >= 0 && read(pty->inotify, events, sizeof(events)) > 0)
        ;
    pty_look(chardev);
}

static void
pty_hung_up(Chardev *chardev)
{
    Pty *pty = chardev_state(chardev);

    pty->open = false;
    chardev_suspend_fds(chardev, true);
    /* Somebody may have opened it just now, before the watch was looked at. */
    pty_look(chardev);
}

static bool
pty_prepare(Chardev *chardev, Pty *pty, GError **err)
{
    struct termios mode;
    char name[128];
    int slave;

    if (tcgetattr(pty->master, &mode) < 0 || ptsname_r(pty->master, name, sizeof(name)) != 0)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                             "descriptor %d is not the master of a pseudo terminal", pty->master);
    pty->path = g_strdup(name);
    cfmakeraw(&mode);
    (void)tcsetattr(pty->master, TCSAFLUSH, &mode);
    pty->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (pty->inotify >= 0 && inotify_add_watch(pty->inotify, name, IN_OPEN) < 0) {
        close(pty->inotify);
        pty->inotify = -1;
    }
    /* A slave that was never opened does not hang up. Open and close it once, so that from now on
     * the master always tells. */
    slave = ioctl(pty->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave >= 0)
        close(slave);
    return true;
}

static bool
pty_open(Chardev *chardev, GError **err)
{
    Pty *pty = chardev_state(chardev);
    int64_t fd;

    pty->inotify = -1;
    if (!chardev_option_number(chardev, "fd", -1, 0, INT_MAX, &fd, err))
        return false;
    pty->master = fd >= 0 ? (int)fd : posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (pty->master < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "chardev '%s': cannot make a pseudo terminal",
                                    chardev_id(chardev));
    if (fd < 0 && (grantpt(pty->master) < 0 || unlockpt(pty->master) < 0)) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "chardev '%s': cannot unlock its pseudo terminal",
                             chardev_id(chardev));
        close(pty->master);
        return false;
    }
    if (!pty_prepare(chardev, pty, err)) {
        close(pty->master);
        return false;
    }
    chardev_set_fds(chardev, pty->master, pty->master, true);
    chardev_watch(chardev, pty->inotify);
    pty->open = true;
    pty_look(chardev);
    if (pty->open)
        chardev_set_open(chardev, true);
    return true;
}

static void
pty_close(Chardev *chardev)
{
    Pty *pty = chardev_state(chardev);

    chardev_watch(chardev, -1);
    if (pty->inotify >= 0)
        close(pty->inotify);
    g_free(pty->path);
}

static char *
pty_filename(Chardev *chardev)
{
    const Pty *pty = chardev_state(chardev);

    return g_strdup_printf("pty:%s", pty->path);
}

static const char *const pty_options[] = { "fd", NULL };

const ChardevBackend chardev_pty = {
    .name = "pty",
    .help = "a pseudo terminal; fd=N takes an open master",
    .options = pty_options,
    .state_size = sizeof(Pty),
    .open = pty_open,
    .close = pty_close,
    .hung_up = pty_hung_up,
    .wake = pty_wake,
    .filename = pty_filename,
    .keeps_fds = true,
};
